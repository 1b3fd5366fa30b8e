"""Elements and rows of a table that index tensors name: read, written, or added to.

All these ops are one loop nest. It runs over the places of the index and of the dims that are not indexed; at each, the
table's element lies at its own offset plus, for each index tensor, the index's value times the stride of the dim that it
indexes. The other operand has an element for each place.

What is written several times has an order: dims along which two places may name the same element are walked as PyTorch and
NumPy walk them, in the order of rows, by one thread. All others are free: they are walked as memory has them, and the outermost one is
shared out. Where no index changes along the innermost dim, it is copied (or added) in vectors.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from .. import dtypes as dt
from ..shape import Layout, Shape, as_one_dim, broadcast_shapes, expand_strides, is_injective
from .emit import LANES, Builder, Value, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .nests import Bound, Form, elementwise_call, strided_copy
from .terms import FLOATS, MEMORY, Term, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan

_LOOPS_AT_MOST = 6
_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16


class _Index(NamedTuple):
    """An index tensor over the places: its values count steps of `step` elements of the table, from the end if negative."""

    operand: int
    type: str
    strides: Shape
    size: int
    step: int


class _Constant(NamedTuple):
    """A number that is no operand, as the bits of a double."""

    bits: int

    @classmethod
    def of(cls, number: float) -> _Constant:
        return cls(struct.unpack("q", struct.pack("d", number))[0])


class _Variant(NamedTuple):
    """What a kernel's code depends on."""

    type: str
    mode: str  # "read", "set", "add", "mul", "maximum" or "minimum"
    indices: tuple[str, ...]  # their types
    loops: int
    inner: str  # "1": vectors of both operands, "0": of the table, the other has one element for the row; "" for one by one
    units: tuple[bool, ...]  # for each operand and index whether it moves by one element along the innermost loop
    number: str  # the type of the other operand if that is a number
    scaled: bool  # whether the other operand is multiplied by a number first


def gather(plan: Plan) -> Lowered | None:
    """``gather``: the index has an element for each place, and stands for the place along one dim."""
    table, index = plan.operands
    (out,) = plan.outs
    if not table.ndim:
        return None
    return _lower(out.dtype, index.shape, *_along(plan, table, index, 1), (2, out.stride), "read")


def scatter(plan: Plan, mode: str) -> Lowered | None:
    """``scatter`` and ``scatter_add``."""
    table, index, source = plan.operands
    (out,) = plan.outs
    if not table.ndim or (isinstance(source, Layout) and (source.ndim != index.ndim or source.dtype is not out.dtype)):
        return None
    free = [d != plan.params["dim"] for d in range(index.ndim)]
    return _written(plan, index.shape, *_along(plan, out, index, 1), source, (2, source.stride if isinstance(source, Layout) else ()), mode, free)


def _along(plan: Plan, table: Layout, index: Layout, operand: int) -> tuple[tuple[int, Shape], list[_Index]]:
    dim = plan.params["dim"]
    strides = tuple(0 if d == dim else s for d, s in enumerate(table.stride))
    return (0, strides), [_Index(operand, MEMORY[index.dtype], index.stride, table.shape[dim], table.stride[dim])]


def slices(plan: Plan, mode: str) -> Lowered | None:
    """``index_select``, ``index_copy`` and ``index_add``: whole slices of one dim."""
    table, index, *sources = plan.operands
    (out,) = plan.outs
    other = sources[0] if sources else out
    dim = plan.params["dim"]
    alpha = plan.params.get("alpha", 1)
    if not table.ndim or other.ndim != table.ndim or (out.dtype not in FLOATING and not isinstance(alpha, int)):
        return None
    whole = table if mode == "read" else out
    shape = tuple(index.numel if d == dim else n for d, n in enumerate(whole.shape))
    strides = tuple(0 if d == dim else s for d, s in enumerate(whole.stride))
    step = index.stride[0] if index.ndim else 0
    found = _Index(1, MEMORY[index.dtype], tuple(step if d == dim else 0 for d in range(len(shape))), whole.shape[dim], whole.stride[dim])
    if mode == "read":
        return _lower(out.dtype, shape, (0, strides), [found], (2, out.stride), mode)
    return _written(plan, shape, (0, strides), [found], other, (2, other.stride), mode, [d != dim for d in range(len(shape))], alpha)


def fill(plan: Plan) -> Lowered | None:
    """``index_fill``: whole slices of one dim are set to a number, or to a tensor of one element."""
    table, index, value = plan.operands
    (out,) = plan.outs
    dim = plan.params["dim"]
    if not table.ndim or (isinstance(value, Layout) and value.dtype is not out.dtype):
        return None
    shape = tuple(index.numel if d == dim else n for d, n in enumerate(out.shape))
    strides = tuple(0 if d == dim else s for d, s in enumerate(out.stride))
    step = index.stride[0] if index.ndim else 0
    found = _Index(1, MEMORY[index.dtype], tuple(step if d == dim else 0 for d in range(len(shape))), out.shape[dim], out.stride[dim])
    return _written(plan, shape, (0, strides), [found], value, (2, (0,) * len(shape)), "set", [d != dim for d in range(len(shape))])


def take(plan: Plan) -> Lowered | None:
    """``take``: the table is seen as flat."""
    table, index = plan.operands
    (out,) = plan.outs
    if not table.contiguous:
        return None
    found = _Index(1, MEMORY[index.dtype], index.stride, table.numel, 1)
    return _lower(out.dtype, index.shape, (0, (0,) * index.ndim), [found], (2, out.stride), "read")


def put(plan: Plan) -> Lowered | None:
    """``put``: the places of index and source, both seen as flat, are walked in order."""
    _, index, source = plan.operands
    (out,) = plan.outs
    flat = [as_one_dim(o.shape, o.stride) for o in (index, source)]
    if not out.contiguous or None in flat or source.dtype is not out.dtype:
        return None
    (count, step), (_, source_step) = flat  # type: ignore[misc]
    found = _Index(1, MEMORY[index.dtype], (step,), out.numel, 1)
    return _written(plan, (count,), (0, (0,)), [found], source, (2, (source_step,)), "add" if plan.params["accumulate"] else "set", [False])


_COMBINING = {"sum": "add", "add": "add", "mean": "add", "prod": "mul", "multiply": "mul", "amax": "maximum", "amin": "minimum"}
#: What a combination of floats starts from where the old value does not count.
_NEUTRAL = {"add": 0.0, "mul": 1.0, "maximum": -math.inf, "minimum": math.inf}


def scatter_reduce(plan: Plan) -> Lowered | None:
    """``scatter_reduce`` of floats: for a mean, what is added up is counted next to it and divided in the end."""
    table, index, source = plan.operands
    (out,) = plan.outs
    reduce, include_self = plan.params["reduce"], plan.params["include_self"]
    if not table.ndim or out.dtype not in FLOATING or not out.contiguous or (isinstance(source, Layout) and (source.ndim != index.ndim or source.dtype is not out.dtype)):
        return None
    mode, type = _COMBINING[reduce], MEMORY[out.dtype]
    free = [d != plan.params["dim"] for d in range(index.ndim)]
    (_, strides), indices = _along(plan, out, index, 1)
    number = "" if isinstance(source, Layout) else "double" if source is float else "i64"
    other = (2, source.stride if isinstance(source, Layout) else ())
    target, nowhere = 3, (0,) * index.ndim
    calls = [_copied(type, table, out, 3)]
    if not include_self:
        calls.append(_lower(out.dtype, index.shape, (target, strides), indices, (_Constant.of(_NEUTRAL[mode]), nowhere), "set", free, "double"))
    calls.append(_lower(out.dtype, index.shape, (target, strides), indices, other, mode, free, number))
    workspace = 0
    if reduce == "mean":
        counts, workspace = WORKSPACE, out.nbytes
        calls.append(_everywhere(type, out.numel, [], counts, lambda k: k.constant(float(include_self), type)))
        calls.append(_lower(out.dtype, index.shape, (counts, strides), indices, (_Constant.of(1.0), nowhere), "add", free, "double"))
        calls.append(_everywhere(type, out.numel, [target, counts], target, lambda k: k.load(0, type, type) / k.maximum(k.load(1, type, type), 1.0)))
    if any(c is None for c in calls):
        return None
    return Lowered(tuple(call for c in calls if c is not None for call in c.calls), workspace)


def _everywhere(type: str, size: int, inputs: Sequence[int], out: int, body: Callable[[Terms], Term]) -> Lowered:
    """A loop over all elements of some contiguous memory."""
    k = Terms()
    k.store(len(inputs), body(k), type)
    return Lowered((elementwise_call(Form((), size, k.nodes, [Bound(Pointer(n), type, (), 1) for n in (*inputs, out)])),))


def index(plan: Plan) -> Lowered | None:
    """``x[i, j]``"""
    table, *indices = plan.operands
    (out,) = plan.outs
    table_strides, found, _ = _indexed(plan, table, indices, 1, out.shape)
    return _lower(out.dtype, out.shape, (0, table_strides), found, (len(plan.operands), out.stride), "read")


def index_put(plan: Plan) -> Lowered | None:
    """``x[i, j] = values``, or ``+=``"""
    table, values, *indices = plan.operands
    (out,) = plan.outs
    positions = plan.params["positions"]
    common = broadcast_shapes(*(i.shape for i in indices))
    kept = tuple(n for d, n in enumerate(table.shape) if d not in positions)
    before = positions[0] if _adjacent(positions) else 0
    shape = (*kept[:before], *common, *kept[before:])
    strides, found, ordered = _indexed(plan, out, indices, 2, shape)
    values_strides = expand_strides(values.shape, values.stride, shape)
    return _written(plan, shape, (0, strides), found, values, (1, values_strides), "add" if plan.params["accumulate"] else "set", [d not in ordered for d in range(len(shape))])


def _adjacent(positions: Shape) -> bool:
    return positions == tuple(range(positions[0], positions[0] + len(positions)))


def _indexed(plan: Plan, table: Layout, indices: Sequence[Layout], first: int, shape: Shape) -> tuple[Shape, list[_Index], range]:
    """The table's strides over the places, its indices, and the dims of the places that are theirs."""
    positions = plan.params["positions"]
    common = broadcast_shapes(*(i.shape for i in indices))
    before = positions[0] if _adjacent(positions) else 0
    kept = tuple(s for d, s in enumerate(table.stride) if d not in positions)
    after = len(shape) - before - len(common)
    found = []
    for n, (position, i) in enumerate(zip(positions, indices, strict=True)):
        strides = ((0,) * before) + expand_strides(i.shape, i.stride, common) + ((0,) * after)
        found.append(_Index(first + n, MEMORY[i.dtype], strides, table.shape[position], table.stride[position]))
    return (*kept[:before], *(0,) * len(common), *kept[before:]), found, range(before, before + len(common))


def _written(
    plan: Plan, shape: Shape, table: tuple[int, Shape], indices: list[_Index], source: Layout | type, other: tuple[int, Shape], mode: str, free: Sequence[bool], alpha: float = 1
) -> Lowered | None:
    """The first operand is copied to the output, which is the table."""
    input, (out,) = plan.operands[0], plan.outs
    target = len(plan.operands)
    type = MEMORY[out.dtype]
    number = "" if isinstance(source, Layout) else "double" if source is float else "i64"
    if out.dtype is dt.bool_ and (mode == "add" or number):
        return None
    if number == "double" and type not in FLOATS:
        return None
    before = _copied(type, input, out, target)
    found = _lower(out.dtype, shape, (target, table[1]), indices, other, mode, free, number, alpha)
    return None if before is None or found is None else Lowered((*before.calls, *found.calls))


def _copied(type: str, input: Layout, out: Layout, target: int) -> Lowered | None:
    if input.stride == out.stride and out.dense:
        return Lowered((Call(_copy_kernel(type), (Pointer(0), Pointer(target), out.numel)),))
    if not is_injective(out.shape, out.stride):
        return None  # elements that share their place, in an order that is the interpreter's
    return strided_copy(type, out.shape, (Pointer(0), input.stride), (Pointer(target), out.stride))


@cache
def _copy_kernel(type: str) -> Kernel:
    """A copy of so many elements, of which nothing is to be done where an entry writes to its own operand."""
    k = Builder("copy_unless_same", [("ptr", "args"), ("i64", "chunk")])
    source, target, size = (k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 2 else "i64") for n in range(3))
    wanted = k.select(k.compare("eq", source, target), k.constant(0, "i64"), size)
    with k.loop(0, wanted, LANES) as at:
        mask = k.first_lanes(k.sub(size, at.index))
        k.masked_store(k.masked_load(k.address(source, at.index, type), type, mask, k.constant(0, type, LANES)), k.address(target, at.index, type), mask)
    return Kernel("copy_unless_same", module([k]))


def _lower(
    dtype: object, shape: Shape, table: tuple[int, Shape], indices: list[_Index], other: tuple[int | _Constant, Shape], mode: str, free: Sequence[bool] = (), number: str = "", alpha: float = 1
) -> Lowered | None:
    """The call of a nest; `free` are the dims whose places name different elements (of a table that is read, all are)."""
    if not math.prod(shape):
        return Lowered(())
    strides = [table[1], other[1] or (0,) * len(shape), *(i.strides for i in indices)]
    loops = _loops(shape, strides, free or [True] * len(shape))
    if len(loops) > _LOOPS_AT_MOST:
        return None
    extent, steps, first_free = loops[0]
    row_steps = loops[-1][1]
    inner = ""
    if row_steps[0] == 1 and not any(row_steps[2:]) and row_steps[1] in (0, 1):
        inner = str(row_steps[1])
    variant = _Variant(MEMORY[dtype], mode, tuple(i.type for i in indices), len(loops), inner, tuple(s == 1 for s in row_steps), number, alpha != 1)  # type: ignore[index]
    chunks = min(_CHUNKS_AT_MOST, max(1, math.prod(shape) // _CHUNK_WORK)) if first_free else 1
    each = -(-extent // chunks)
    if len(loops) == 1 and inner:
        each = -(-each // LANES) * LANES
    words: list[int | Pointer] = [Pointer(table[0]), other[0].bits if isinstance(other[0], _Constant) else Pointer(other[0]), *(Pointer(i.operand) for i in indices), each]
    words += [n for n, _, _ in loops]
    for operand in range(len(strides)):
        words += [s[operand] for _, s, _ in loops]
    for i in indices:
        words += [i.size, i.step]
    if variant.scaled:
        words.append(_Constant.of(alpha).bits if variant.type in FLOATS else int(alpha))
    return Lowered((Call(_kernel(variant), tuple(words), -(-extent // each)),))


def _loops(shape: Shape, strides: Sequence[Shape], free: Sequence[bool]) -> list[tuple[int, list[int], bool]]:
    """Extent, strides and whether it is free of each loop, outermost first."""
    dims = [(n, [s[d] for s in strides], free[d]) for d, n in enumerate(shape) if n != 1]
    unordered = sorted((d for d in dims if d[2]), key=lambda d: -d[1][0])
    ordered = [d for d in dims if not d[2]]
    if all(free):
        # All are free: in the order of what is written.
        unordered.sort(key=lambda d: -d[1][1])
        rows: list[tuple[int, list[int], bool]] = []
    else:
        rows = [unordered.pop()] if unordered and unordered[-1][1][0] == 1 and not any(unordered[-1][1][2:]) else []
    found: list[tuple[int, list[int], bool]] = []
    for part in (unordered, ordered, rows):
        start = len(found)
        for n, steps, is_free in part:
            if len(found) > start and all(a == n * b for a, b in zip(found[-1][1], steps, strict=True)):
                found[-1] = (found[-1][0] * n, steps, is_free)
            else:
                found.append((n, steps, is_free))
    return found or [(1, [0] * len(strides), True)]


@cache
def _kernel(variant: _Variant) -> Kernel:
    k = Builder(f"table_{variant.mode}", [("ptr", "args"), ("i64", "chunk")])
    count, loops = len(variant.indices), variant.loops
    at = 0

    def word(type: str = "i64") -> Value:
        nonlocal at
        at += 1
        return k.load(k.address(k.parameters["args"], at - 1, "i64"), type)

    table = word("ptr")
    number = k.convert(word(variant.number), variant.type) if variant.number else None
    other = word("ptr") if number is None else table
    pointers = [word("ptr") for _ in range(count)]
    each = word()
    extents = [word() for _ in range(loops)]
    strides = [[word() for _ in range(loops)] for _ in range(2 + count)]
    dims = [(word(), word()) for _ in range(count)]
    factor = k.convert(word("double" if variant.type in FLOATS else "i64"), variant.type) if variant.scaled else None
    begin = k.mul(k.parameters["chunk"], each)
    end = k.intrinsic("smin", k.add(begin, each), extents[0])

    def named(offsets: Sequence[Value]) -> Value:
        """The offset of the table's element."""
        place = offsets[0]
        for pointer, type, offset, (size, step) in zip(pointers, variant.indices, offsets[2:], dims, strict=True):
            value = k.convert(k.load(k.address(pointer, offset, type), type), "i64")
            value = k.select(k.compare("slt", value, k.constant(0, "i64")), k.add(value, size), value)
            place = k.add(place, k.mul(value, step))
        return place

    def moved(place: Value, source: Value, mask: Value | None = None, lanes: int = 1) -> None:
        """Move one element or some."""
        there, here = k.address(table, place, variant.type), k.address(other, source, variant.type)

        def load(pointer: Value) -> Value:
            if mask is not None:
                return k.masked_load(pointer, variant.type, mask, k.constant(0, variant.type, lanes))
            return k.load(pointer, variant.type, lanes)

        if variant.mode == "read":
            value, target = load(there), here
        else:
            value, target = number or (k.load(here, variant.type) if variant.inner == "0" else load(here)), there
            value = k.splat(value, lanes) if lanes > 1 else value
            if factor is not None:
                value = k.mul(value, factor)
            if variant.mode != "set":
                value = getattr(k, variant.mode)(load(there), value)
        if mask is not None:
            k.masked_store(value, target, mask)
        else:
            k.store(value, target)

    def walk(depth: int, offsets: Sequence[Value]) -> None:
        first, last = (begin, end) if depth == 0 else (k.constant(0, "i64"), extents[depth])
        if depth == loops - 1 and variant.inner:
            place = named(offsets)
            source = offsets[1]
            whole = k.add(first, k.and_(k.sub(last, first), k.constant(-LANES, "i64")))

            def along(index: Value) -> Value:
                return k.add(source, index) if variant.inner == "1" else source

            with k.loop(first, whole, LANES) as row:
                moved(k.add(place, row.index), along(row.index), None, LANES)
            with k.loop(whole, last, LANES) as row:
                moved(k.add(place, row.index), along(row.index), k.first_lanes(k.sub(last, row.index)), LANES)
            return
        with k.loop(first, last) as loop:
            by_one = variant.units if depth == loops - 1 else [False] * len(offsets)
            here = [k.add(o, loop.index if unit else k.mul(loop.index, s[depth])) for o, s, unit in zip(offsets, strides, by_one, strict=True)]
            if depth == loops - 1:
                moved(named(here), here[1])
            else:
                walk(depth + 1, here)

    walk(0, [k.constant(0, "i64")] * (2 + count))
    return Kernel(k.name, module([k]))
