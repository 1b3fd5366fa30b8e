"""Places in sorted sequences as native code: a binary search for 16 values at a time, without branches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..buffers import address_of
from . import llvm
from .by_hand import functions
from .emit import LANES, Builder

_TYPES = {"f4": "float", "f8": "double", "i4": "i32", "i8": "i64"}
#: Below so many values NumPy does it: native code has to be loaded.
_NATIVE_FROM = 1 << 10


def places(ordered: np.ndarray, values: np.ndarray, right: bool) -> np.ndarray:
    """As ``np.searchsorted(ordered, values, side)`` for one-dimensional `ordered`; any place for nan."""
    type = _TYPES.get(values.dtype.str[1:])
    if not llvm.AVAILABLE or values.size < _NATIVE_FROM or type is None or ordered.dtype != values.dtype or not 0 < ordered.size < 1 << 31:
        return np.searchsorted(ordered, values, "right" if right else "left")
    ordered, values = np.ascontiguousarray(ordered), np.ascontiguousarray(values)
    found = np.empty(values.shape, np.int64)
    steps = (ordered.size - 1).bit_length()
    _function(type, right)(address_of(ordered), address_of(values), address_of(found), values.size, steps, ordered.size)
    return found


@cache
def _function(type: str, right: bool) -> Callable[..., None]:
    return functions([_kernel(type, right)])[0]


def _kernel(type: str, right: bool) -> Builder:
    k = Builder("search", [("ptr", "args"), ("i64", "chunk")])
    ordered, values, found, count, steps, size = (k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(6))
    before = ("ole" if right else "olt") if type in ("float", "double") else "sle" if right else "slt"
    zero, none, one = k.constant(0, type, LANES), k.constant(0, "i32", LANES), k.constant(1, "i32", LANES)
    with k.loop(0, count, LANES) as at:
        mask = k.first_lanes(k.sub(count, at.index))
        value = k.masked_load(k.address(values, at.index, type), type, mask, zero)
        # The place is among the `left` ones from `first` on, or behind them all.
        with k.loop(0, steps, carried=[none, k.convert(size, "i32")]) as step:
            first, left = step.carried
            half = k.lshr(left, 1)
            middle = k.add(first, k.splat(half))
            probe = k.gather(k.addresses(ordered, k.sub(middle, one), type), type, None, zero)
            step.next = [k.select(k.compare(before, probe, value), middle, first), k.sub(left, half)]
        first, _ = step.results
        last = k.gather(k.addresses(ordered, first, type), type, None, zero)
        place = k.add(first, k.select(k.compare(before, last, value), one, none))
        k.masked_store(k.convert(place, "i64"), k.address(found, at.index, "i64"), mask)
    return k
