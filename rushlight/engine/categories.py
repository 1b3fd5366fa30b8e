"""Categories drawn by their weights as native code: running sums of each row, and a binary search for each uniform number."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..buffers import address_of
from . import llvm
from .by_hand import functions
from .emit import LANES, Builder

_TYPES = {"f4": "float", "f8": "double"}
#: Below so many weights NumPy does it: native code has to be loaded.
_NATIVE_FROM = 1 << 12


def draw(weights: np.ndarray, uniforms: np.ndarray) -> np.ndarray | None:
    """For each row of `weights` the places of its row of `uniforms` (float64) in the running sums, of which the last counts as 1; None where NumPy is to do it."""
    type = _TYPES.get(weights.dtype.str[1:])
    if not llvm.AVAILABLE or type is None or weights.size < _NATIVE_FROM:
        return None
    weights, uniforms = np.ascontiguousarray(weights), np.ascontiguousarray(uniforms)
    (rows, size), count = weights.shape, uniforms.shape[1]
    sums, found = np.empty(size, weights.dtype), np.empty((rows, count), np.int64)
    _function(type)(address_of(weights), address_of(uniforms), address_of(sums), address_of(found), rows, size, count, size.bit_length())
    return found


@cache
def _function(type: str) -> Callable[..., None]:
    return functions([_kernel(type)])[0]


def _kernel(type: str) -> Builder:
    k = Builder("draw_categories", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 4 else "i64") for n in range(8)]
    weights, uniforms, sums, found, rows, size, count, halvings = words
    zero, one, nothing = k.constant(0, "i64"), k.constant(1, "i64"), k.constant(0, type, LANES)
    last = k.sub(size, one)
    with k.loop(0, rows) as row:
        line = k.address(weights, k.mul(row.index, size), type)
        first = k.load(line, type)
        k.store(first, sums)
        with k.loop(1, size, carried=[first]) as at:
            at.next = [k.add(at.carried[0], k.load(k.address(line, at.index, type), type))]
            k.store(at.next[0], k.address(sums, at.index, type))
        total = k.splat(at.results[0])
        with k.loop(0, size, LANES) as block:
            mask, place = k.first_lanes(k.sub(size, block.index)), k.address(sums, block.index, type)
            k.masked_store(k.div(k.masked_load(place, type, mask, nothing), total), place, mask)
        k.store(k.constant(1, type), k.address(sums, last, type))
        with k.loop(0, count) as draw:
            number = k.add(k.mul(row.index, count), draw.index)
            uniform = k.load(k.address(uniforms, number, "double"), "double")
            # The place is among the `left` ones from `begin` on, or behind them.
            with k.loop(0, halvings, carried=[zero, size]) as turn:
                begin, left = turn.carried
                half = k.lshr(left, 1)
                probe = k.intrinsic("smin", k.add(begin, half), last)
                below = k.compare("olt", k.convert(k.load(k.address(sums, probe, type), type), "double"), uniform)
                below = k.and_(below, k.compare("sgt", left, zero))
                beyond = k.add(half, one)
                turn.next = [k.select(below, k.add(begin, beyond), begin), k.select(below, k.sub(left, beyond), half)]
            k.store(turn.results[0], k.address(found, number, "i64"))
    return k
