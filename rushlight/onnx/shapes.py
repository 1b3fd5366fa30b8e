"""ONNX nodes of views, copies, joining, indexing and creation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..dtypes import BOOL, int64
from .builders import argument, card
from .errors import UnsupportedOperatorError
from .graph import INT64_MAX, Graph
from .trace import Op, Value, Varying


@card("detach")
def _same(g: Graph, op: Op) -> str:
    return g.read(op.inputs[0])


@card("view", "unsafe_view")
def _view(g: Graph, op: Op) -> str:
    return g.node("Reshape", g.read(op.inputs[0]), g.shape(op.outputs[0].shape, infer=True), allowzero=_allow_zero(op))


def _allow_zero(op: Op) -> int | None:
    return 1 if 0 in op.outputs[0].shape else None


@card("permute")
def _permute(g: Graph, op: Op) -> str:
    return g.node("Transpose", g.read(op.inputs[0]), perm=list(op.params["dims"]))


@card("transpose", "t")
def _transpose(g: Graph, op: Op) -> str:
    order = list(range(len(op.inputs[0].shape)))
    first, second = (op.params["dim0"], op.params["dim1"]) if op.name == "transpose" else (0, -1)
    if order:
        order[first], order[second] = order[second], order[first]
    return g.node("Transpose", g.read(op.inputs[0]), perm=order)


@card("unsqueeze")
def _unsqueeze(g: Graph, op: Op) -> str:
    return g.node("Unsqueeze", g.read(op.inputs[0]), g.integers(op.params["dim"]))


@card("squeeze", "squeeze_dim", "squeeze_dims")
def _squeeze(g: Graph, op: Op) -> str:
    dims = op.params["dims"]
    return g.node("Squeeze", g.read(op.inputs[0]), g.integers(*dims)) if dims else g.read(op.inputs[0])


@card("expand")
def _expand(g: Graph, op: Op) -> str:
    return g.node("Expand", g.read(op.inputs[0]), g.shape(op.outputs[0].shape))


@card("select")
def _select(g: Graph, op: Op) -> str:
    index = op.params["index"]
    size = op.inputs[0].shape[op.params["dim"]]
    if isinstance(index, Varying) and _follows(index, size):
        index = int(index) - int(size)
    picked = (
        g.node("Squeeze", g.size(index), g.integers(0)) if isinstance(index, Varying) else g.constant(index, np.int64)
    )
    return g.node("Gather", g.read(op.inputs[0]), picked, axis=op.params["dim"])


def _follows(value: int, size: int) -> bool:
    """Whether `value` is at the same distance from the end of a dim in all runs."""
    return (
        isinstance(value, Varying)
        and isinstance(size, Varying)
        and all(v - s == value - size for v, s in zip(value.others, size.others, strict=True))
    )


@card("slice")
def _slice(g: Graph, op: Op) -> str:
    dim, start, length, step = (op.params[name] for name in ("dim", "start", "length", "step"))
    size = op.inputs[0].shape[dim]
    if _follows(start, size):
        first = g.integers(int(start) - int(size))
    else:
        first = g.size(start)
    stop = _end(start, length, step, size)
    return g.node("Slice", g.read(op.inputs[0]), first, g.size(stop), g.integers(dim), g.integers(step))


def _end(start: int, length: int, step: int, size: int) -> int:
    """Where a slice ends: a number from the start, from the end, or the end itself."""
    runs = [tuple(int(v) for v in (start, length, step, size))]
    count = max((len(v.others) for v in (start, length, size) if isinstance(v, Varying)), default=0)
    for n in range(count):
        runs.append(tuple(v.others[n] if isinstance(v, Varying) else v for v in (start, length, step, size)))
    if all(a + n * s >= end for a, n, s, end in runs):
        return INT64_MAX
    stops = [a + n * s for a, n, s, _ in runs]
    if all(stop == stops[0] for stop in stops):
        return stops[0]
    from_end = [stop - end for stop, (_, _, _, end) in zip(stops, runs, strict=True)]
    if all(value == from_end[0] for value in from_end):
        return from_end[0]
    return Varying.of(stops[0], stops[1:])


@card("split", "split_with_sizes")
def _split(g: Graph, op: Op) -> tuple[str, ...]:
    lengths, dim = op.params["lengths"], op.params["dim"]
    source = g.read(op.inputs[0])
    if len(lengths) == 1:
        return (g.node("Identity", source),)
    return g.node("Split", source, g.shape(lengths), axis=dim, outputs=len(lengths))


@card("unbind")
def _unbind(g: Graph, op: Op) -> tuple[str, ...]:
    source, dim = g.read(op.inputs[0]), op.params["dim"]
    return tuple(g.node("Gather", source, g.constant(n, np.int64), axis=dim) for n in range(len(op.outputs)))


@card("to_copy", "clone_strided")
def _to_copy(g: Graph, op: Op) -> str:
    dtype = op.params["dtype"]
    source = g.read(op.inputs[0])
    return g.node("Identity", source) if op.inputs[0].dtype is dtype else g.cast(source, dtype)


@card("cat")
def _cat(g: Graph, op: Op) -> str:
    dtype = op.outputs[0].dtype
    sequences = [g.packed(value) for value in op.inputs]
    if sequences[0] and op.params["dim"] == 1 and all(s and s.lengths == sequences[0].lengths for s in sequences):
        joined = g.node("Concat", *(s.padded for s in sequences if s), axis=-1)
        g.pack(op.outputs[0], sequences[0]._replace(padded=joined, zeroed=all(s.zeroed for s in sequences if s)))
        return ""
    # PyTorch lets an empty vector join anything.
    parts = [value for value in op.inputs if value.shape != (0,)] or list(op.inputs)
    return g.node("Concat", *(g.read_as(t, dtype) for t in parts), axis=op.params["dim"])


@card("stack")
def _stack(g: Graph, op: Op) -> str:
    dtype, dim = op.outputs[0].dtype, op.params["dim"]
    axes = g.shape((dim,))
    return g.node("Concat", *(g.node("Unsqueeze", g.read_as(t, dtype), axes) for t in op.inputs), axis=dim)


@card("where")
def _where(g: Graph, op: Op) -> str:
    condition, *values = op.inputs
    dtype = op.outputs[0].dtype
    return g.node("Where", g.read(condition), *(g.read_as(value, dtype) for value in values))


@card("fill", "full")
def _fill(g: Graph, op: Op) -> str:
    value = g.read_as(argument(op, "value"), op.outputs[0].dtype)
    return g.node("Expand", value, g.shape(op.outputs[0].shape))


@card("arange")
def _arange(g: Graph, op: Op) -> str:
    dtype = op.outputs[0].dtype
    numbers = [op.params[name] for name in ("start", "end", "step")]
    if not any(isinstance(number, Varying) for number in numbers):
        return g.constant(op.outputs[0].tensor.detach().numpy())
    return g.node("Range", *(g.number(number, dtype) for number in numbers))


@card("masked_fill", "mask_put")
def _masked_fill(g: Graph, op: Op) -> str:
    input, mask = op.inputs[:2]
    value = g.read_as(argument(op, "value"), input.dtype)
    return g.node("Where", g.read(mask), value, g.read(input))


def _leading(positions: Sequence[int], ndim: int) -> list[int]:
    """The order of dims that brings `positions` to the front."""
    return [*positions, *(d for d in range(ndim) if d not in positions)]


def _broadcast(indices: Sequence[Value]) -> tuple[int, ...]:
    """The shape of index tensors together, whose sizes may be dynamic."""
    aligned = itertools.zip_longest(*(reversed(t.shape) for t in indices), fillvalue=1)
    return tuple(max(sizes, key=lambda n: (int(n) != 1, isinstance(n, Varying))) for sizes in aligned)[::-1]


def _stacked_indices(g: Graph, op: Op, indices: Sequence[Value]) -> str:
    """Index tensors, broadcast together, as one tensor with the coordinates in its last dim."""
    shape = _broadcast(indices)
    columns = []
    for index in indices:
        name = g.read_as(index, int64)
        if tuple(index.shape) != shape:
            name = g.node("Expand", name, g.shape(shape))
        columns.append(g.node("Unsqueeze", name, g.integers(-1)))
    return columns[0] if len(columns) == 1 else g.node("Concat", *columns, axis=-1)


@card("index")
def _index(g: Graph, op: Op) -> str:
    input, *indices = op.inputs
    positions = op.params["positions"]
    ndim = len(op.inputs[0].shape)
    _refuse_masks(g, op, indices)
    if len(indices) == 1:
        return g.node("Gather", g.read(input), g.read_as(indices[0], int64), axis=positions[0])
    order = _leading(positions, ndim)
    source = g.read(input)
    if order != list(range(ndim)):
        source = g.node("Transpose", source, perm=order)
    found = g.node("GatherND", source, _stacked_indices(g, op, indices))
    together = list(positions) == list(range(positions[0], positions[0] + len(positions)))
    if together and positions[0]:
        # The indexed dims stand where the first of them stood.
        added, before = max(len(t.shape) for t in indices), positions[0]
        rank = len(op.outputs[0].shape)
        order = [*range(added, added + before), *range(added), *range(added + before, rank)]
        found = g.node("Transpose", found, perm=order)
    return found


def _refuse_masks(g: Graph, op: Op, indices: Sequence[Value]) -> None:
    if any(t.dtype.category == BOOL for t in indices):
        raise UnsupportedOperatorError(op.name, g.opset, "indexing with a mask gives a shape that depends on values")


@card("index_put")
def _index_put(g: Graph, op: Op) -> str:
    input, values, *indices = op.inputs
    positions = op.params["positions"]
    _refuse_masks(g, op, indices)
    ndim = len(op.inputs[0].shape)
    order = _leading(positions, ndim)
    if order != list(range(ndim)):
        raise UnsupportedOperatorError(op.name, g.opset, "only leading dims can be written by index")
    coordinates = _stacked_indices(g, op, indices)
    shape = (*_broadcast(indices), *op.inputs[0].shape[len(positions) :])
    updates = g.node("Expand", g.read_as(values, input.dtype), g.shape(shape))
    reduction = "add" if op.params["accumulate"] else None
    return g.node("ScatterND", g.read(input), coordinates, updates, reduction=reduction)


@card("gather")
def _gather(g: Graph, op: Op) -> str:
    return g.node("GatherElements", g.read(op.inputs[0]), g.read_as(op.inputs[1], int64), axis=op.params["dim"])


@card("index_select")
def _index_select(g: Graph, op: Op) -> str:
    return g.node("Gather", g.read(op.inputs[0]), g.read_as(op.inputs[1], int64), axis=op.params["dim"])


@card("embedding")
def _embedding(g: Graph, op: Op) -> str:
    weight, index = op.inputs
    return g.node("Gather", g.read(weight), g.read_as(index, int64))


@card("flip")
def _flip(g: Graph, op: Op) -> str:
    dims = op.params["dims"]
    count = len(dims)
    return g.node(
        "Slice",
        g.read(op.inputs[0]),
        g.integers(*[-1] * count),
        g.integers(*[-INT64_MAX] * count),
        g.integers(*dims),
        g.integers(*[-1] * count),
    )


@card("roll")
def _roll(g: Graph, op: Op) -> str:
    name = g.read(op.inputs[0])
    for shift, dim in zip(op.params["shifts"], op.params["dims"], strict=True):
        size = op.inputs[0].shape[dim]
        # A dynamic size is taken to be more than the shift.
        cut = -shift if isinstance(size, Varying) else -shift % max(size, 1)
        if cut:
            axis, start, end = g.integers(dim), g.integers(0), g.integers(INT64_MAX)
            tail = g.node("Slice", name, g.integers(cut), end, axis)
            name = g.node("Concat", tail, g.node("Slice", name, start, g.integers(cut), axis), axis=dim)
    return name


@card("scatter", "scatter_add", "scatter_reduce")
def _scatter(g: Graph, op: Op) -> str:
    """Values into places along a dim, or added to (multiplied with, ...) what is there."""
    input, index, source = op.inputs
    reduction = {"scatter": None, "scatter_add": "add"}.get(op.name, _REDUCTIONS.get(op.params.get("reduce", "")))
    if op.name == "scatter_reduce" and (reduction is None or not op.params["include_self"]):
        raise UnsupportedOperatorError(op.name, g.opset, "only sum, prod, amax and amin that include the input")
    values = g.read_as(source, input.dtype)
    if not isinstance(source, Value):
        values = g.node("Expand", values, g.shape(index.shape))
    elif source.shape != index.shape:
        sizes, rank = g.shape(index.shape), len(index.shape)
        values = g.node("Slice", values, g.integers(*[0] * rank), sizes, g.integers(*range(rank)))
    name = g.read_as(index, int64)
    return g.node("ScatterElements", g.read(input), name, values, axis=op.params["dim"], reduction=reduction)


_REDUCTIONS = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min"}


@card("index_add", "index_copy", "index_fill")
def _index_rows(g: Graph, op: Op) -> str:
    """Slices along a dim added to, replaced or filled: ScatterND writes to slices of the first dim."""
    input, index, source = op.inputs
    dim, rank = op.params["dim"], len(input.shape)
    rows, swap = index.shape[0] if index.shape else 1, list(range(rank))
    if not rank:
        raise UnsupportedOperatorError(op.name, g.opset, "a tensor without dims has no slices")
    swap[0], swap[dim] = dim, 0
    target, values = g.read(input), g.read_as(source, input.dtype)
    if op.params.get("alpha", 1) != 1:
        values = g.node("Mul", values, g.number(op.params["alpha"], input.dtype))
    if dim:
        target = g.node("Transpose", target, perm=swap)
    if op.name == "index_fill":
        values = g.node("Expand", values, g.shape([rows, *(input.shape[d] for d in swap[1:])]))
    elif dim:
        values = g.node("Transpose", values, perm=swap)
    places = g.node("Reshape", g.read_as(index, int64), g.integers(-1, 1))
    found = g.node("ScatterND", target, places, values, reduction="add" if op.name == "index_add" else None)
    return g.node("Transpose", found, perm=swap) if dim else found


@card("take")
def _take(g: Graph, op: Op) -> str:
    flat = g.node("Reshape", g.read(op.inputs[0]), g.integers(-1))
    return g.node("Gather", flat, g.read_as(op.inputs[1], int64))


@card("tril", "triu")
def _triangle(g: Graph, op: Op) -> str:
    diagonal = g.constant(op.params["diagonal"], np.int64)
    return g.node("Trilu", g.read(op.inputs[0]), diagonal, upper=int(op.name == "triu"))


@card("one_hot")
def _one_hot(g: Graph, op: Op) -> str:
    return g.node("OneHot", g.read(op.inputs[0]), g.integers(op.params["classes"]), g.integers(0, 1), axis=-1)
