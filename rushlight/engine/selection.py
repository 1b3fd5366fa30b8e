"""The few largest or smallest elements of each row, with their places.

A row's best so far lie in order in the workspace. Elements are compared 16 at a time with the last of these, and only
those that beat it are looked at one by one; of equal elements the first ones are taken. nan counts as the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..buffers import address_of
from ..shape import as_one_dim, contiguous_strides
from . import llvm
from .by_hand import functions
from .emit import LANES, Builder, Value, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .nests import strided_copy
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

#: More are better found by partitioning, and already half as many if they are not few among the row's.
_AT_MOST = 64
_FEW_OF = 64
#: After so many elements of small tensors, native code is worth loading for them.
_WARM = 1 << 12
_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16


def top(plan: Plan, above: int) -> Lowered | None:
    """``topk`` of tensors of more than `above` elements."""
    (input,) = plan.operands
    count, dim = plan.params["k"], plan.params["dim"]
    if input.numel <= above or input.dtype not in MEMORY or not input.ndim or not _few(count, input.shape[dim]) or input.shape[dim] < 2 * count:
        return None
    type = MEMORY[input.dtype]
    size, inner = input.shape[dim], math.prod(input.shape[dim + 1 :])
    rows = input.numel // size
    calls: tuple[Call, ...] = ()
    used = 0
    source, along = Pointer(0), as_one_dim(input.shape[:dim], input.stride[:dim])
    if inner == 1 and along is not None and input.stride[dim] == 1:
        step = along[1]
    else:
        order = [d for d in range(input.ndim) if d != dim] + [dim]
        shape = tuple(input.shape[d] for d in order)
        source, step, used = Pointer(WORKSPACE), size, -(-input.numel * input.dtype.itemsize // 64) * 64
        copied = strided_copy(type, shape, (Pointer(0), tuple(input.stride[d] for d in order)), (source, contiguous_strides(shape)))
        if copied is None:
            return None
        calls = copied.calls
    each = -(-rows // min(_CHUNKS_AT_MOST, rows, max(1, input.numel // _CHUNK_WORK)))
    chunks = -(-rows // each)
    words = (source, Pointer(1), Pointer(2), Pointer(WORKSPACE, used), rows, each, step, size, count, inner)
    return Lowered((*calls, Call(_kernel(type, plan.params["largest"]), words, chunks)), used + chunks * _room_for(count) * 16)


def _few(count: int, size: int) -> bool:
    return 0 < count <= (_AT_MOST if size >= _FEW_OF * count else _AT_MOST // 2)


_TYPES = {"f4": "float", "f8": "double", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64"}
_seen = 0


def places_of_distinct(slices: np.ndarray, count: int, dim: int, largest: bool) -> np.ndarray | None:
    """The places of the first `count` along `dim`, if no two of them are equal, nor the last one and the next; None if it is not known."""
    global _seen
    size, type = slices.shape[dim], _TYPES.get(slices.dtype.str[1:])
    if not llvm.AVAILABLE or type is None or not _few(count, size) or not slices.size:
        return None
    _seen += slices.size
    if _seen < _WARM:
        return None
    rows = np.ascontiguousarray(slices if dim == slices.ndim - 1 else np.moveaxis(slices, dim, -1))
    seen = min(count + 1, size)
    shape = (*rows.shape[:-1], seen)
    values, indices, scratch = np.empty(shape, slices.dtype), np.empty(shape, np.int64), np.empty(2 * _room_for(seen), np.int64)
    number = rows.size // size
    addresses = (address_of(array) for array in (rows, values, indices, scratch))
    _function(type, largest)(*addresses, number, number, size, size, seen, 1)
    before, after = values[..., :-1], values[..., 1:]
    if (before == after).any() or (slices.dtype.kind == "f" and np.isnan(before).any()):
        return None
    indices = indices[..., :count]
    return indices if dim == slices.ndim - 1 else np.moveaxis(indices, -1, dim)


def _room_for(count: int) -> int:
    """Of one of the arrays that hold the best so far: elements of eight bytes."""
    return -(-count // LANES) * LANES + 2 * LANES


def _room(k: Builder, count: Value) -> Value:
    return k.add(k.and_(k.add(count, k.constant(LANES - 1, "i64")), k.constant(-LANES, "i64")), k.constant(2 * LANES, "i64"))


@cache
def _function(type: str, largest: bool) -> Callable[..., None]:
    return functions([_builder(type, largest)])[0]


def _beats(k: Builder, a: Value, b: Value, largest: bool) -> Value:
    """Whether `a` comes before `b`, to which it is not equal."""
    if not a.floating:
        return k.compare("sgt" if largest else "slt", a, b)
    first, second = (a, b) if largest else (b, a)  # nan comes before numbers among the largest, behind them otherwise
    return k.or_(k.compare("ogt" if largest else "olt", a, b), k.and_(k.compare("uno", first, first), k.compare("ord", second, second)))


@cache
def _kernel(type: str, largest: bool) -> Kernel:
    k = _builder(type, largest)
    return Kernel(k.name, module([k]))


def _builder(type: str, largest: bool) -> Builder:
    k = Builder("top_largest" if largest else "top_smallest", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 4 else "i64") for n in range(10)]
    input, values, indices, scratch, rows, each, step, size, count, inner = words
    chunk, zero, one = k.parameters["chunk"], k.constant(0, "i64"), k.constant(1, "i64")
    size_of_room = k.mul(_room(k, count), k.constant(2, "i64"))
    room = k.address(scratch, k.mul(chunk, size_of_room), "i64")
    # Of each array there is something before its first element and behind its last one.
    best, places = (k.address(at, LANES, "i64") for at in (room, k.address(room, _room(k, count), "i64")))
    last = k.address(best, k.sub(count, one), type)
    lanes = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)

    def insert(value: Value, place: Value) -> None:
        """Put an element before the first that it beats, and move on the others; the last one falls out."""
        value, place, none = k.splat(value), k.splat(place), k.constant(0, "i64", LANES)
        top = k.and_(k.sub(count, one), k.constant(-LANES, "i64"))
        with k.loop(0, k.add(top, one), LANES) as turn:
            at = k.sub(top, turn.index)
            found, behind = [], []
            for first in (at, k.sub(at, one)):
                elements, where = k.load(k.address(best, first, type), type, LANES), k.load(k.address(places, first, "i64"), "i64", LANES)
                behind.append(k.or_(_beats(k, value, elements, largest), k.compare("slt", where, none)))
                found.append((elements, where))
            (here, here_place), (before, before_place) = found
            moves = k.and_(behind[1], k.compare("ne", k.add(lanes, k.splat(at)), none))
            for old, moved, new, to, kind in ((here, before, value, best, type), (here_place, before_place, place, places, "i64")):
                k.store(k.select(behind[0], k.select(moves, moved, new), old), k.address(to, at, kind))

    def when(condition: Value, then: Callable[[], None]) -> None:
        yes, after = k.fresh("then"), k.fresh("after")
        k.branch(condition, yes, after)
        k.label(yes)
        then()
        k.jump(after)
        k.label(after)

    begin = k.mul(chunk, each)
    with k.loop(begin, k.intrinsic("smin", k.add(begin, each), rows)) as row:
        start = k.address(input, k.mul(row.index, step), type)
        with k.loop(0, count, LANES) as at:
            k.store(k.constant(-1, "i64", LANES), k.address(places, at.index, "i64"))

        def one_by_one(first: Value, stop: Value, start: Value = start) -> None:
            with k.loop(first, stop) as at:
                value = k.load(k.address(start, at.index, type), type)
                better = k.or_(_beats(k, value, k.load(last, type), largest), k.compare("slt", k.load(k.address(places, k.sub(count, one), "i64"), "i64"), zero))
                when(better, lambda: insert(value, at.index))

        whole = k.add(count, k.and_(k.sub(size, count), k.constant(-LANES, "i64")))
        one_by_one(zero, count)
        with k.loop(count, whole, LANES) as block:
            better = _beats(k, k.load(k.address(start, block.index, type), type, LANES), k.splat(k.load(last, type)), largest)
            some = k.compare("ne", k.new(f"bitcast {better.typed} to i{LANES}", f"i{LANES}"), Value("0", f"i{LANES}"))
            when(some, lambda: one_by_one(block.index, k.add(block.index, k.constant(LANES, "i64"))))
        one_by_one(whole, size)
        group = k.binary("sdiv", row.index, inner)
        target = k.add(k.mul(group, k.mul(count, inner)), k.sub(row.index, k.mul(group, inner)))
        with k.loop(0, count) as at:
            to = k.add(target, k.mul(at.index, inner))
            k.store(k.load(k.address(best, at.index, type), type), k.address(values, to, type))
            k.store(k.load(k.address(places, at.index, "i64"), "i64"), k.address(indices, to, "i64"))
    return k
