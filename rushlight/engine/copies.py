"""Ops that move elements without computing: flips, rolls, shuffles, padding, sliding blocks, triangles.

Each is a few copies from strides to strides, of parts of the input to parts of the output (`_Part`). Where blocks
overlap, parts are added, in the order of the blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..shape import Layout, Shape, as_one_dim, contiguous_strides
from .emit import LANES, Builder, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .nests import OUTER_AT_MOST, Bound, Form, elementwise_call, row_call, strided_copy
from .terms import FLOATS, MEMORY, Node

if TYPE_CHECKING:
    from ..ops.card import Plan

_PARTS_AT_MOST = 64
#: A row of so many elements is long enough for vectors; a dim of fewer does not make the row if another one can.
_LONG_ROW = 16


class _Part(NamedTuple):
    """Some elements of a tensor: where they begin, and their strides, in elements."""

    operand: int
    first: int
    strides: Shape

    def moved(self, places: int, dim: int) -> _Part:
        return self._replace(first=self.first + places * self.strides[dim])

    def bound(self, type: str, size: int, loops: Sequence[tuple[int, tuple[int, ...]]], n: int) -> Bound:
        *outer, row = [steps[n] for _, steps in loops]
        return Bound(Pointer(self.operand, self.first * size), type, tuple(outer), row)


def flip(plan: Plan) -> Lowered | None:
    (input,), (out,) = plan.operands, plan.outs
    dims = {d % input.ndim for d in plan.params["dims"]}
    first = sum((input.shape[d] - 1) * input.stride[d] for d in dims)
    return _copied(out, out.shape, _Part(0, first, tuple(-s if d in dims else s for d, s in enumerate(input.stride))), _Part(1, 0, out.stride))


def roll(plan: Plan) -> Lowered | None:
    """Each dim that is rolled comes in two parts, which change places."""
    (input,), (out,) = plan.operands, plan.outs
    shifts = dict.fromkeys(range(input.ndim), 0)
    for shift, dim in zip(plan.params["shifts"], plan.params["dims"], strict=True):
        shifts[dim] += shift
    parts = []
    for dim, n in enumerate(input.shape):
        shift = shifts[dim] % n
        # (from, to, how many)
        parts.append([(0, shift, n - shift), (n - shift, 0, shift)] if shift else [(0, 0, n)])
    calls: list[Call] = []
    for chosen in itertools.product(*parts):
        if len(calls) > _PARTS_AT_MOST:
            return None
        first, to = (sum(c[side] * s for c, s in zip(chosen, l.stride, strict=True)) for side, l in ((0, input), (1, out)))
        copied = _copied(out, tuple(c[2] for c in chosen), _Part(0, first, input.stride), _Part(1, to, out.stride))
        if copied is None:
            return None
        calls.extend(copied.calls)
    return Lowered(tuple(calls))


def pixel_shuffle(plan: Plan) -> Lowered | None:
    (input,), (out,) = plan.operands, plan.outs
    shape, source, target = _blocks(input, out, plan.params["factor"])
    return _copied(out, shape, _Part(0, 0, source), _Part(1, 0, target))


def pixel_unshuffle(plan: Plan) -> Lowered | None:
    (input,), (out,) = plan.operands, plan.outs
    shape, target, source = _blocks(out, input, plan.params["factor"])
    return _copied(out, shape, _Part(0, 0, source), _Part(1, 0, target))


def _blocks(deep: Layout, wide: Layout, factor: int) -> tuple[Shape, Shape, Shape]:
    """Both sides of a pixel shuffle as dims (..., channel, row in a block, column in it, row, column)."""
    *lead, channel, row, column = deep.stride
    *wide_lead, wide_channel, wide_row, wide_column = wide.stride
    shape = (*deep.shape[:-3], deep.shape[-3] // factor**2, factor, factor, *deep.shape[-2:])
    return (
        shape,
        (*lead, channel * factor**2, channel * factor, channel, row, column),
        (*wide_lead, wide_channel, wide_row, wide_column, wide_row * factor, wide_column * factor),
    )


def channel_shuffle(plan: Plan) -> Lowered | None:
    (input,), (out,) = plan.operands, plan.outs
    groups = plan.params["groups"]
    each = input.shape[1] // groups
    first, channel, *rest = input.stride
    out_first, out_channel, *out_rest = out.stride
    shape = (input.shape[0], groups, each, *input.shape[2:])
    return _copied(out, shape, _Part(0, 0, (first, channel * each, channel, *rest)), _Part(1, 0, (out_first, out_channel, out_channel * groups, *out_rest)))


def constant_pad(plan: Plan) -> Lowered | None:
    """The part of the input that is kept, and the borders, dim by dim."""
    input, value = plan.operands
    (out,) = plan.outs
    pad = plan.params["pad"]
    pairs = [(0, 0)] * (input.ndim - len(pad) // 2) + [(pad[n], pad[n + 1]) for n in range(len(pad) - 2, -1, -2)]
    type = MEMORY[out.dtype]
    if isinstance(value, Layout) or (value is float and type not in FLOATS) or type == "i8":
        return None
    kept = [n - max(-a, 0) - max(-b, 0) for n, (a, b) in zip(input.shape, pairs, strict=True)]
    if min(kept) <= 0:
        return None
    inside = [max(a, 0) for a, _ in pairs]
    first = sum(max(-a, 0) * s for (a, _), s in zip(pairs, input.stride, strict=True))
    to = sum(a * s for a, s in zip(inside, out.stride, strict=True))
    found = [_copied(out, tuple(kept), _Part(0, first, input.stride), _Part(2, to, out.stride))]
    shape, begin = list(out.shape), 0
    for d, (n, size) in enumerate(zip(kept, out.shape, strict=True)):
        for at, count in ((0, inside[d]), (inside[d] + n, size - inside[d] - n)):
            if count:
                shape[d] = count
                found.append(_filled(out, tuple(shape), value, _Part(2, begin + at * out.stride[d], out.stride)))
        shape[d] = n
        begin += inside[d] * out.stride[d]
    return _all(found)


def chosen(plan: Plan, indices: Sequence[np.ndarray]) -> Lowered | None:
    """For each of the last dims which places of the input it shows: runs of them at even steps are copied together."""
    (input,), (out,) = plan.operands, plan.outs
    lead = input.ndim - len(indices)
    runs = [[(0, 0, n, 1)] for n in input.shape[:lead]] + [_runs(index) for index in indices]
    if math.prod(map(len, runs)) > _PARTS_AT_MOST:
        return None
    found = []
    for parts in itertools.product(*runs):
        source = _Part(0, sum(p[0] * s for p, s in zip(parts, input.stride, strict=True)), tuple(p[3] * s for p, s in zip(parts, input.stride, strict=True)))
        found.append(_copied(out, tuple(p[2] for p in parts), source, _Part(1, sum(p[1] * s for p, s in zip(parts, out.stride, strict=True)), out.stride)))
    return _all(found)


def _runs(index: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The first number of each run, where it stands, how many there are, and the step from one to the next."""
    found: list[tuple[int, int, int, int]] = []
    steps = np.diff(index)
    at = 0
    while at < len(index):
        step = int(steps[at]) if at < len(steps) else 1
        other = np.flatnonzero(steps[at:] != step)
        count = int(other[0]) + 1 if len(other) else len(index) - at
        found.append((int(index[at]), at, count, step))
        at += count
    return found


def columns(plan: Plan) -> Lowered | None:
    """``im2col``: for each place of the kernel a copy of what it sees."""
    (input,), (out,) = plan.operands, plan.outs
    planes, wide = _columns_of(out)
    found: list[Lowered | None] = []
    places = _places(input.shape[-2:], **plan.params)
    if len(places) > _PARTS_AT_MOST:
        return None
    counts = _counts(input.shape[-2:], **plan.params)
    width = counts[1]
    steps = plan.params["stride"]
    lead, (row, column) = input.stride[:-2], input.stride[-2:]
    if any(plan.params["padding"]):
        found.append(_filled(out, out.shape, None, _Part(1, 0, out.stride)))
    kernel = plan.params["kernel"]
    for (r, c), (rows, row_from, row_at), (cols, column_from, column_at) in places:
        if rows and cols:
            shape = (*input.shape[:-2], rows, cols)
            target = _Part(1, (r * kernel[1] + c) * planes + row_at * width * wide + column_at * wide, (*_channel_strides(out, kernel, input.ndim - 2), width * wide, wide))
            found.append(_copied(out, shape, _Part(0, row_from * row + column_from * column, (*lead, row * steps[0], column * steps[1])), target))
    return _all(found)


def _columns_of(columns: Layout) -> tuple[int, int]:
    """The strides of the rows and of the columns of a matrix of blocks."""
    return columns.stride[-2], columns.stride[-1]


def _channel_strides(columns: Layout, kernel: Shape, dims: int) -> Shape:
    """The strides of samples and channels, each of which is a row for every place of the kernel."""
    return (*columns.stride[: dims - 1], columns.stride[-2] * math.prod(kernel))


def _counts(size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> tuple[int, ...]:
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True))


_Along = tuple[int, int, int]


def _places(size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> list[tuple[tuple[int, int], _Along, _Along]]:
    """For each place of the kernel, along both dims: how many blocks have it inside of the image, where the first of them has it, and which that is."""
    counts = _counts(size, kernel, dilation, padding, stride)
    along: list[list[_Along]] = []
    for n, k, d, p, s, count in zip(size, kernel, dilation, padding, stride, counts, strict=True):
        here = []
        for place in range(k):
            start = place * d - p
            first = max(0, -(start // s)) if start < 0 else 0
            last = min(count, (n - 1 - start) // s + 1)
            here.append((max(0, last - first), start + first * s, first))
        along.append(here)
    return [((r, c), along[0][r], along[1][c]) for r in range(kernel[0]) for c in range(kernel[1])]


def blocks(plan: Plan) -> Lowered | None:
    """``col2im``: what the places of the kernel saw, added up in their order."""
    (input,), (out,) = plan.operands, plan.outs
    params = dict(plan.params)
    size, kernel, steps = params.pop("size"), params["kernel"], params["stride"]
    places = _places(size, **params)
    if len(places) > _PARTS_AT_MOST or out.dtype not in FLOATING:
        return None
    planes, wide = _columns_of(input)
    width = _counts(size, **params)[1]
    lead, (row, column) = out.stride[:-2], out.stride[-2:]
    found = [_filled(out, out.shape, None, _Part(1, 0, out.stride))]
    for (r, c), (rows, row_to, row_at), (cols, column_to, column_at) in places:
        if rows and cols:
            shape = (*out.shape[:-2], rows, cols)
            source = _Part(0, (r * kernel[1] + c) * planes + row_at * width * wide + column_at * wide, (*_channel_strides(input, kernel, out.ndim - 2), width * wide, wide))
            found.append(_copied(out, shape, source, _Part(1, row_to * row + column_to * column, (*lead, row * steps[0], column * steps[1])), adds=True))
    return _all(found)


def _all(parts: Sequence[Lowered | None]) -> Lowered | None:
    if any(p is None for p in parts):
        return None
    return Lowered(tuple(call for p in parts if p is not None for call in p.calls))


def _copied(out: Layout, shape: Shape, source: _Part, target: _Part, adds: bool = False) -> Lowered | None:
    type = MEMORY[out.dtype]
    loops = _loops(shape, [source.strides, target.strides])
    if loops is None:
        # Too many: one call for each place of the shortest dim.
        d = min((d for d, n in enumerate(shape) if n > 1), key=lambda d: shape[d])
        rest = (*shape[:d], 1, *shape[d + 1 :])
        if shape[d] > _PARTS_AT_MOST:
            return None
        return _all([_copied(out, rest, source.moved(n, d), target.moved(n, d), adds) for n in range(shape[d])])
    size = out.dtype.itemsize
    bound = [part.bound(type, size, loops, n) for n, part in enumerate((source, target))]
    nodes = [Node("load", (), type, 0)]
    if adds:
        nodes += [Node("load", (), type, 1), Node("add", (1, 0), type)]
    nodes.append(Node("store", (len(nodes) - 1,), type, 1))
    return _called(loops, nodes, bound)


def _filled(out: Layout, shape: Shape, value: type | None, target: _Part) -> Lowered | None:
    """A fill with the second operand, a number, or with zeros."""
    type = MEMORY[out.dtype]
    loops = _loops(shape, [target.strides])
    if loops is None:
        return None
    bound = [target.bound(type, out.dtype.itemsize, loops, 0)]
    if value is None:
        return _called(loops, [Node("constant", (), type), Node("store", (0,), type, 0)], bound)
    wide = "double" if value is float else "i64"
    nodes = [Node("number", (), wide, 1), Node("convert", (0,), type), Node("store", (1,), type, 0)]
    return _called(loops, nodes, [*bound, Bound(Pointer(1), wide, number=True)])


def _called(loops: Sequence[tuple[int, tuple[int, ...]]], nodes: list[Node], bound: list[Bound]) -> Lowered:
    *outer, (row, _) = loops
    form = Form(tuple(n for n, _ in outer), row, nodes, bound)
    return row_call(form) if outer else Lowered((elementwise_call(form),))


def _loops(shape: Shape, strides: Sequence[Shape]) -> list[tuple[int, tuple[int, ...]]] | None:
    """The loops over a shape, outermost first and the row last, each with its strides; None if there are too many."""
    dims = sorted((d for d, n in enumerate(shape) if n != 1), key=lambda d: -strides[-1][d])
    if dims and shape[dims[-1]] < _LONG_ROW:
        # A short row takes a vector for a few elements: a longer dim makes a better one, even with a stride.
        best = max(dims, key=lambda d: (min(shape[d], _LONG_ROW), -max(abs(s[d]) for s in strides)))
        dims.remove(best)
        dims.append(best)
    loops: list[tuple[int, tuple[int, ...]]] = []
    for d in dims:
        steps = tuple(s[d] for s in strides)
        if loops and all(outer == shape[d] * inner for outer, inner in zip(loops[-1][1], steps, strict=True)):
            loops[-1] = (loops[-1][0] * shape[d], steps)
        else:
            loops.append((shape[d], steps))
    return (loops or [(1, (1,) * len(strides))]) if len(loops) <= OUTER_AT_MOST + 1 else None


# Triangles


def triangle(plan: Plan, upper: bool) -> Lowered | None:
    (input,), (out,) = plan.operands, plan.outs
    rows, width = input.shape[-2:]
    stride = input.stride
    found = as_one_dim(input.shape[:-2], stride[:-2])
    if found is not None:
        (count, step), (inner, inner_step) = found, (1, 0)
    elif input.ndim == 4:
        (count, inner), (step, inner_step) = input.shape[:2], stride[:2]
    source, before, workspace = Pointer(0), Lowered(()), 0
    if found is None and input.ndim != 4 or (stride[-1] != 1 and width != 1):
        # The kernel reads rows: what has none is copied first.
        copied = strided_copy(MEMORY[out.dtype], input.shape, (Pointer(0), stride), (Pointer(WORKSPACE), contiguous_strides(input.shape)))
        if copied is None:
            return None
        source, before, workspace, stride = Pointer(WORKSPACE), copied, out.nbytes, contiguous_strides(input.shape)
        count, step, inner, inner_step = math.prod(input.shape[:-2]), rows * width, 1, 0
    work = max(1, count * inner * rows * width // (1 << 16))
    each = -(-count // min(work, count, 16))
    words = (source, Pointer(1), count, each, inner, rows, width, step, inner_step, stride[-2], plan.params["diagonal"])
    return Lowered((*before.calls, Call(_triangle_kernel(MEMORY[out.dtype], upper), words, -(-count // each))), workspace)


@cache
def _triangle_kernel(type: str, upper: bool) -> Kernel:
    """Each row is copied on one side of the diagonal and zero on the other."""
    k = Builder("upper_triangle" if upper else "lower_triangle", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 2 else "i64") for n in range(11)]
    input, out, count, each, inner, rows, width, step, inner_step, row_step, diagonal = words
    zero = k.constant(0, type, LANES)
    begin = k.mul(k.parameters["chunk"], each)
    with k.loop(begin, k.intrinsic("smin", k.add(begin, each), count)) as outer, k.loop(0, inner) as matrix, k.loop(0, rows) as row:
        start = k.add(k.mul(outer.index, step), k.mul(matrix.index, inner_step))
        source = k.address(input, k.add(start, k.mul(row.index, row_step)), type)
        number = k.add(k.mul(outer.index, inner), matrix.index)
        target = k.address(out, k.mul(k.add(k.mul(number, rows), row.index), width), type)
        first = k.add(row.index, k.add(diagonal, k.constant(0 if upper else 1, "i64")))
        first = k.intrinsic("smax", k.constant(0, "i64"), k.intrinsic("smin", first, width))
        with k.loop(0, width, LANES) as along:
            inside, before = (k.first_lanes(k.intrinsic("smax", k.constant(0, "i64"), k.sub(n, along.index))) for n in (width, first))
            kept = k.and_(inside, k.xor(before, k.constant(1, "i1", LANES))) if upper else k.and_(inside, before)
            k.masked_store(k.masked_load(k.address(source, along.index, type), type, kept, zero), k.address(target, along.index, type), inside)
    return Kernel(k.name, module([k]))
