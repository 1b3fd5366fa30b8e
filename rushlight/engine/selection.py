"""The few largest or smallest elements of each row, with their places.

A row's best so far lie in order in the workspace. Elements are compared 16 at a time with the last of these, and only
those that beat it are looked at one by one; of equal elements the first ones are taken. nan counts as the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from ..shape import as_one_dim, contiguous_strides
from .emit import LANES, Builder, Value, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .nests import strided_copy
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

#: More are better found by partitioning.
_AT_MOST = 32
_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16


def top(plan: Plan, above: int) -> Lowered | None:
    """``topk`` of tensors of more than `above` elements."""
    (input,) = plan.operands
    count, dim = plan.params["k"], plan.params["dim"]
    if input.numel <= above or input.dtype not in MEMORY or not input.ndim or not 0 < count <= _AT_MOST or input.shape[dim] < 2 * count:
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
    return Lowered((*calls, Call(_kernel(type, plan.params["largest"]), words, chunks)), used + chunks * count * 16)


def _beats(k: Builder, a: Value, b: Value, largest: bool) -> Value:
    """Whether `a` comes before `b`, to which it is not equal."""
    if not a.floating:
        return k.compare("sgt" if largest else "slt", a, b)
    first, second = (a, b) if largest else (b, a)  # nan comes before numbers among the largest, behind them otherwise
    return k.or_(k.compare("ogt" if largest else "olt", a, b), k.and_(k.compare("uno", first, first), k.compare("ord", second, second)))


@cache
def _kernel(type: str, largest: bool) -> Kernel:
    k = Builder("top_largest" if largest else "top_smallest", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 4 else "i64") for n in range(10)]
    input, values, indices, scratch, rows, each, step, size, count, inner = words
    chunk, zero, one = k.parameters["chunk"], k.constant(0, "i64"), k.constant(1, "i64")
    best = k.address(scratch, k.mul(chunk, k.mul(count, k.constant(2, "i64"))), "i64")  # room for eight bytes each
    places = k.address(best, count, "i64")
    last = k.address(best, k.sub(count, one), type)

    def insert(value: Value, place: Value) -> None:
        """Put an element before the first that it beats, and move on the others; the last one falls out."""
        with k.loop(0, count, carried=[value, place, k.constant(0, "i1")]) as at:
            moving, where, moved = at.carried
            here, there = k.address(best, at.index, type), k.address(places, at.index, "i64")
            old, old_place = k.load(here, type), k.load(there, "i64")
            taken = k.or_(moved, k.or_(_beats(k, moving, old, largest), k.compare("slt", old_place, zero)))
            k.store(k.select(taken, moving, old), here)
            k.store(k.select(taken, where, old_place), there)
            at.next = [k.select(taken, old, moving), k.select(taken, old_place, where), taken]

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
        with k.loop(0, count) as at:
            k.store(k.constant(-1, "i64"), k.address(places, at.index, "i64"))

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
    return Kernel(k.name, module([k]))
