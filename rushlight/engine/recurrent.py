"""Kernel calls of recurrent layers and of their gradients.

Forward: the weights packed, then the recurrence; for few rows, one product of the input of all steps before. Gradient: the
hidden weight packed the other way, the recurrence backwards, which gives the slopes of all gates, and from these each
wanted gradient by one product or sum over all steps and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import dtypes as dt
from ..shape import Layout, as_one_dim, contiguous_strides
from . import llvm
from .emit import BITS
from .gemm import Product, lower, row_blocks, tile
from .gemm_kernel import shares
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .nests import Bound, strided_copy, sum_over_rows
from .recurrent_kernel import (
    BACKWARD,
    FORWARD,
    NETWORKS,
    PACK,
    Gates,
    backward_kernel,
    forward_kernel,
    pack_kernel,
    weight_panels,
)

if TYPE_CHECKING:
    from ..ops.card import Plan

#: Memory of an entry's own, behind what its products need; it becomes part of the workspace.
_SCRATCH = -2
_ALIGNMENT = 64
#: Multiplications that a chunk should have at least, and rows: every chunk reads the weight at each step. Where a second-level
#: cache does not hold that, it should have more.
_CHUNK_WORK = 500_000
_CHUNK_ROWS, _CHUNK_ROWS_OF_LARGE = 4, 8
_LARGE = 1 << 20
_MOST_CHUNKS = 8
#: Below so many rows in a chunk the input is multiplied for all steps at once: a product of few rows waits for the weight.
_FEW_ROWS = 4
#: Elements that a chunk of packing should have at least.
_PACK_WORK = 50_000
#: What the gates of a unit take, in multiplications.
_GATES_WORK = 200


class _Rows(NamedTuple):
    """A matrix whose rows are contiguous."""

    pointer: Pointer
    step: int


class _Calls:
    """The calls of one entry, in order."""

    def __init__(self) -> None:
        self.parts: list[Lowered] = []
        self.used = 0

    def room(self, elements: int) -> Pointer:
        start = self.used
        self.used += -(-elements * 4 // _ALIGNMENT) * _ALIGNMENT
        return Pointer(_SCRATCH, start)

    def add(self, lowered: Lowered) -> None:
        self.parts.append(lowered)

    def call(self, kernel: Kernel, names: tuple[tuple[str, ...], tuple[str, ...]], values: dict[str, int | Pointer], chunks: int) -> None:
        self.add(Lowered((Call(kernel, tuple([values.get(name, 0) for name in names[0] + names[1]]), chunks),)))

    def product(self, m: int, n: int, k: int, a: tuple[Pointer, int, int], b: tuple[Pointer, int, int], out: tuple[Pointer, int, int], bias: tuple[Pointer, int, int] | None = None) -> None:
        """``out = a @ b + bias``; of each operand its address and its two strides."""
        operands = [operand for operand in (a, b, bias, out) if operand is not None]
        pointers = [pointer for pointer, *_ in operands]
        numbers, offsets = tuple(p.operand for p in pointers), tuple(p.offset // 4 for p in pointers)
        self.add(lower(Product(m, n, k, a[1:], b[1:], out[1:], bias_strides=bias and bias[1:], operands=numbers, offsets=offsets)))

    def dense(self, operand: int, layout: Layout) -> tuple[Pointer, tuple[int, ...]]:
        """An operand whose last dim is contiguous, and its strides: itself or a copy."""
        if layout.stride[-1] == 1 or layout.shape[-1] == 1:
            return Pointer(operand), layout.stride
        return self._copy(operand, layout)

    def rows(self, operand: int, layout: Layout) -> _Rows:
        """An operand as a matrix of all its rows: itself or a copy."""
        found = as_one_dim(layout.shape[:-1], layout.stride[:-1])
        if found is not None and (layout.stride[-1] == 1 or layout.shape[-1] == 1):
            return _Rows(Pointer(operand), layout.shape[-1] if found[0] == 1 else found[1])
        return _Rows(self._copy(operand, layout)[0], layout.shape[-1])

    def _copy(self, operand: int, layout: Layout) -> tuple[Pointer, tuple[int, ...]]:
        target, strides = self.room(layout.numel), contiguous_strides(layout.shape)
        copied = strided_copy("float", layout.shape, (Pointer(operand), layout.stride), (target, strides))
        assert copied is not None
        self.add(copied)
        return target, strides

    def lowered(self) -> Lowered:
        base = max(-(-part.workspace // _ALIGNMENT) * _ALIGNMENT for part in self.parts)

        def name(word: Pointer) -> Pointer:
            return Pointer(WORKSPACE, base + word.offset) if word.operand == _SCRATCH else word

        return Lowered(tuple(call.renamed(name) for part in self.parts for call in part.calls), base + self.used)


class _Layer(NamedTuple):
    """The sizes of an entry."""

    name: str
    network: Gates
    steps: int
    rows: int
    features: int
    size: int

    @property
    def width(self) -> int:
        return self.network.gates * self.size

    @property
    def saved_row(self) -> int:
        return self.network.blocks * self.size

    def along(self, first: Pointer, step: int, backwards: bool) -> tuple[Pointer, int]:
        """Where an operand begins in the order of the steps, and its stride from one to the next."""
        return (first._replace(offset=first.offset + (self.steps - 1) * step * 4), -step) if backwards else (first, step)


def _layer(plan: Plan, input: Any, weight_hh: Any) -> _Layer | None:
    """None where there is no native form: it is for float32."""
    if any(isinstance(o, Layout) and (o.dtype is not dt.float32 or not o.numel) for o in plan.operands):
        return None
    name = plan.card.name.removesuffix("_backward").removesuffix("_layer").removesuffix("_cell")
    steps, rows, features = (1, *input.shape)[-3:]
    return _Layer(name, NETWORKS[name], steps, rows, features, weight_hh.shape[1])


class _Shares(NamedTuple):
    """How a recurrence is cut up."""

    each: int  # rows of a chunk at most
    sizes: tuple[int, ...]  # of blocks of rows
    vectors: int  # of a panel
    chunks: int
    words: dict[str, int | Pointer]


def _shares(layer: _Layer, columns: int) -> _Shares:
    work = layer.steps * layer.rows * layer.size * (layer.width + _GATES_WORK)
    least = _CHUNK_ROWS_OF_LARGE if layer.size * layer.width * 4 > _LARGE else _CHUNK_ROWS
    # The number of steps decides nothing that kernels are made for.
    parts = max(1, min(_MOST_CHUNKS, layer.rows // least))
    each = -(-layer.rows // parts)
    most, vectors = tile(each, columns, llvm.vector_width() // BITS["float"])
    count = parts * -(-each // most)
    sizes, first_blocks = row_blocks(layer.rows, count, most)
    chunks = max(1, min(work // _CHUNK_WORK, parts))
    blocks, more_blocks = shares(count, chunks)
    words: dict[str, int | Pointer] = {"first_blocks": first_blocks, "blocks": blocks, "more_blocks": more_blocks}
    return _Shares(each, sizes, vectors, chunks, words | {"steps": layer.steps, "size": layer.size})


def _packed(c: _Calls, operand: int, weight: Layout, vectors: int, depth: int, columns: int, turned: bool) -> tuple[Pointer, int, int]:
    """A weight in panels, with its rows as the product's columns if `turned`: where, how many panels, and their size."""
    width, panel_size = weight_panels(vectors, depth)
    panels = -(-columns // width)
    packed = c.room(panels * panel_size)
    source, strides = c.dense(operand, weight)
    chunks = max(1, min(depth * columns // _PACK_WORK, panels, _MOST_CHUNKS))
    each, more = shares(panels, chunks)
    words: dict[str, int | Pointer] = {
        "source": source, "packed": packed, "source_step": strides[0], "depth": depth, "columns": columns,
        "panel_size": panel_size, "panels": each, "more_panels": more,
    }  # fmt: skip
    c.call(pack_kernel(vectors, not turned), PACK, words, chunks)
    return packed, panels, panel_size


def lower_layer(plan: Plan) -> Lowered | None:
    """Operands: input, weights, biases, states; outputs: hidden states, last states, perhaps `saved`."""
    input, weight_ih, weight_hh, *biases = plan.operands[:5]
    states = plan.operands[5:]
    layer = _layer(plan, input, weight_hh)
    if layer is None:
        return None
    c, reverse, keep = _Calls(), plan.params["reverse"], plan.params["keep"]
    width, output = layer.width, len(plan.operands)
    cut = _shares(layer, width)
    words = cut.words
    given = [isinstance(b, Layout) for b in biases]
    if cut.each < _FEW_ROWS and layer.steps > 1:
        x = c.rows(0, input)
        inside = c.room(layer.steps * layer.rows * width)
        bias = (Pointer(3), 0, biases[0].stride[0]) if given[0] else None
        weight = (Pointer(1), weight_ih.stride[1], weight_ih.stride[0])
        c.product(layer.steps * layer.rows, width, layer.features, (x.pointer, x.step, 1), weight, (inside, width, 1), bias)
        words["inside"], words["inside_step"] = layer.along(inside, layer.rows * width, reverse)
    else:
        x_pointer, strides = c.dense(0, input)
        words["input"], words["input_step"] = layer.along(x_pointer, (0, *strides)[-3], reverse)
        words["input_row"], words["features"] = strides[-2], layer.features
        words["inside"] = c.room(layer.rows * width)
        if given[0]:
            words["input_bias"], words["has_input_bias"] = c.dense(3, biases[0])[0], 1
        words["input_packed"], words["input_panels"], words["input_panel_size"] = _packed(c, 1, weight_ih, cut.vectors, layer.features, width, True)
    if given[1]:
        words["bias"], words["has_bias"] = c.dense(4, biases[1])[0], 1
    words["packed"], words["panels"], words["panel_size"] = _packed(c, 2, weight_hh, cut.vectors, layer.size, width, True)
    words["output"], words["output_step"] = layer.along(Pointer(output), layer.rows * layer.size, reverse)
    if keep:
        words["saved"], words["saved_step"] = layer.along(Pointer(output + len(plan.outs) - 1), layer.rows * layer.saved_row, reverse)
    if layer.network.apart:
        words["outside"] = c.room(layer.rows * width)
    for n, (state, layout) in enumerate(zip(("hidden", "cell"), states, strict=False)):
        words[state], strides = c.dense(5 + n, layout)
        words[f"{state}_step"] = strides[-2]
        words[f"last_{state}"] = Pointer(output + 1 + n)
    c.call(forward_kernel(layer.name, cut.sizes, cut.vectors, keep), FORWARD, words, cut.chunks)
    return c.lowered()


def lower_layer_backward(plan: Plan) -> Lowered | None:
    """Operands: `saved`, input, weights, biases, states, gradients of hidden states and of last states; the wanted gradients."""
    _, input, weight_ih, weight_hh = plan.operands[:4]
    layer = _layer(plan, input, weight_hh)
    if layer is None:
        return None
    mask, reverse = plan.params["output_mask"], plan.params["reverse"]
    count = len(mask) - 5
    states, grads = plan.operands[6 : 6 + count], plan.operands[6 + count :]
    targets = dict(zip([n for n, wanted in enumerate(mask) if wanted], range(len(plan.operands), len(plan.operands) + len(plan.outs)), strict=True))
    c = _Calls()
    steps, rows, width, size = layer.steps, layer.rows, layer.width, layer.size
    cut = _shares(layer, size)
    words = cut.words
    words["packed"], words["panels"], words["panel_size"] = _packed(c, 3, weight_hh, cut.vectors, width, size, False)
    inside = c.room(steps * rows * width)
    outside = c.room(steps * rows * width) if layer.network.apart else inside
    words["saved"], words["saved_step"] = layer.along(Pointer(0), rows * layer.saved_row, not reverse)
    words["inside"], words["slopes_step"] = layer.along(inside, rows * width, not reverse)
    words["outside"], _ = layer.along(outside, rows * width, not reverse)
    words["products"] = steps if 5 in targets else steps - 1
    first_grad = 6 + count
    if isinstance(grads[0], Layout):
        pointer, strides = c.dense(first_grad, grads[0])
        words["grad_output"], words["grad_step"] = layer.along(pointer, (0, *strides)[-3], not reverse)
        words["grad_row"], words["has_grad"] = strides[-2], 1
    for n, (state, layout) in enumerate(zip(("hidden", "cell"), states, strict=False)):
        words[f"grad_{state}"] = Pointer(targets[5 + n]) if 5 + n in targets else c.room(rows * size)
        if isinstance(grads[1 + n], Layout):
            words[f"grad_last_{state}"], strides = c.dense(first_grad + 1 + n, grads[1 + n])
            words[f"last_{state}_step"], words[f"has_last_{state}"] = strides[-2], 1
        if state == "cell":
            words["cell"], strides = c.dense(6 + n, layout)
            words["cell_step"] = strides[-2]
    c.call(backward_kernel(layer.name, cut.sizes, cut.vectors), BACKWARD, words, cut.chunks)
    _parameter_gradients(c, layer, input, weight_ih, (inside, outside), {n: Pointer(operand) for n, operand in targets.items()})
    return c.lowered()


def _parameter_gradients(c: _Calls, layer: _Layer, input: Layout, weight_ih: Layout, slopes: Sequence[Pointer], targets: dict[int, Pointer]) -> None:
    """What follows from the slopes: the gradients of the input, the weights and the biases."""
    inside, outside = slopes
    rows, width, size, features = layer.steps * layer.rows, layer.width, layer.size, layer.features
    if 0 in targets:
        c.product(rows, features, width, (inside, width, 1), (Pointer(2), weight_ih.stride[0], weight_ih.stride[1]), (targets[0], features, 1))
    if 1 in targets:
        x = c.rows(1, input)
        c.product(width, features, rows, (inside, 1, width), (x.pointer, x.step, 1), (targets[1], features, 1))
    if 2 in targets:
        before = Pointer(0, (layer.saved_row - size) * 4)
        c.product(width, size, rows, (outside, 1, width), (before, layer.saved_row, 1), (targets[2], size, 1))
    summed: dict[Pointer, Pointer] = {}  # where the sums of these slopes already are
    for n, source in ((3, inside), (4, outside)):
        if n in targets and source in summed:
            copied = strided_copy("float", (width,), (summed[source], (1,)), (targets[n], (1,)))
            assert copied is not None
            c.add(copied)
        elif n in targets:
            summed[source] = targets[n]
            c.add(sum_over_rows(Bound(source, "float", (width,), 1), Bound(targets[n], "float", (0,), 1), rows, width))
