"""Recurrent layers as machine code: a chunk is some rows of the batch, which run through all steps.

The rows of a batch do not meet in a recurrence, so that chunks need not wait for each other. A step of the forward is a
product of the input and one of the hidden states, each with a packed weight, and a loop over the gates; a step of the gradient
is a loop over the gates, from the last step to the first, and a product that takes their slopes to the hidden state before. The
products are those of gemm_kernel.py, panel by panel. Where a chunk has few rows, the products of the input of all steps have
been computed before by one product, and `input_panels` is 0.

`saved` is ``(time, batch, blocks, hidden)``; its blocks are described in ops/recurrent_entry.py. Strides in time are negative
in reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from .emit import LANES, Builder, Value, module
from .functions import sigmoid, tanh
from .gemm_kernel import invoke, panel, read_word, share
from .gemm_pack import packing
from .gemm_variant import Variant, panel_bytes
from .kernel import Kernel, kernel_of

#: Each kernel's words: addresses, then numbers. Steps are in elements.
PACK = (("source", "packed"), ("source_step", "depth", "columns", "panel_size", "panels", "more_panels"))
_ROWS = ("first_blocks", "blocks", "more_blocks")  # how a chunk's rows fall in blocks; see gemm_kernel.py
_PRODUCT = ("panels", "panel_size")
FORWARD = (
    (
        "saved", "output", "packed", "bias", "input", "input_packed", "input_bias", "inside", "outside",
        "hidden", "last_hidden", "cell", "last_cell",
    ),
    (
        "steps", "size", "features", "saved_step", "output_step", "inside_step", "input_step", "input_row", "hidden_step", "cell_step",
        "has_bias", "has_input_bias", "input_panels", "input_panel_size", *_PRODUCT, *_ROWS,
    ),
)  # fmt: skip
BACKWARD = (
    ("saved", "grad_output", "packed", "inside", "outside", "grad_hidden", "grad_last_hidden", "cell", "grad_cell", "grad_last_cell"),
    (
        "steps", "products", "size", "saved_step", "slopes_step", "grad_step", "grad_row", "has_grad",
        "last_hidden_step", "has_last_hidden", "cell_step", "last_cell_step", "has_last_cell", *_PRODUCT, *_ROWS,
    ),
)  # fmt: skip


_Values = tuple[Value, Value, Value]


class Gates(NamedTuple):
    """What the kernels know of a kind of network."""

    gates: int
    blocks: int
    apart: bool  # whether the gates' hidden parts are not just added to their input parts
    next: Callable[[_Step, Sequence[Value], Sequence[Value], Value], tuple[list[Value], Value]]
    slopes: Callable[[_Step, Value, Sequence[Value]], tuple[list[Value], list[Value]]]

    @property
    def has_cell(self) -> bool:
        return self.blocks == 6


class _Step:
    """One vector of units of one row at one step: what its gates read and write besides the blocks."""

    def __init__(self, k: Builder, mask: Value) -> None:
        self.k, self.mask = k, mask
        self.cell: Value | None = None  # where the cell before the step is
        self.grad_cell: Value | None = None  # where its gradient is
        self.carry: Value | None = None  # where the gradient of the hidden state before the step is summed

    def get(self, address: Value | None) -> Value:
        assert address is not None
        return self.k.masked_load(address, "float", self.mask, self.k.constant(0, "float", self.mask.lanes))

    def put(self, value: Value, address: Value | None) -> None:
        assert address is not None
        self.k.masked_store(value, address, self.mask)


# Gates: the blocks to save (but for the last) and the hidden state, from the inputs' parts, the hidden parts and the hidden state.


def _lstm_next(step: _Step, inside: Sequence[Value], outside: Sequence[Value], hidden: Value) -> tuple[list[Value], Value]:
    k = step.k
    input_gate, forget_gate, output_gate = (sigmoid(k, k.add(inside[n], outside[n])) for n in (0, 1, 3))
    cell_gate = tanh(k, k.add(inside[2], outside[2]))
    cell = k.add(k.mul(forget_gate, step.get(step.cell)), k.mul(input_gate, cell_gate))
    return [input_gate, forget_gate, cell_gate, output_gate, cell], k.mul(output_gate, tanh(k, cell))


def _gru_next(step: _Step, inside: Sequence[Value], outside: Sequence[Value], hidden: Value) -> tuple[list[Value], Value]:
    k = step.k
    reset, update = (sigmoid(k, k.add(inside[n], outside[n])) for n in (0, 1))
    new = tanh(k, k.add(inside[2], k.mul(reset, outside[2])))
    return [reset, update, new, outside[2]], k.add(k.mul(k.sub(hidden, new), update), new)


def _tanh_next(step: _Step, inside: Sequence[Value], outside: Sequence[Value], hidden: Value) -> tuple[list[Value], Value]:
    found = tanh(step.k, step.k.add(inside[0], outside[0]))
    return [found], found


def _relu_next(step: _Step, inside: Sequence[Value], outside: Sequence[Value], hidden: Value) -> tuple[list[Value], Value]:
    found = step.k.add(inside[0], outside[0])
    found = step.k.maximum(found, step.k.like(0, found))
    return [found], found


# Slopes: the gradients of the gates' input parts and of their hidden parts, from the gradient of the hidden state and the blocks.


def _less(k: Builder, x: Value) -> Value:
    return k.sub(k.like(1, x), x)


def _sigmoid_slope(k: Builder, x: Value) -> Value:
    return k.mul(x, _less(k, x))


def _tanh_slope(k: Builder, x: Value) -> Value:
    return _less(k, k.mul(x, x))


def _lstm_slopes(step: _Step, grad: Value, blocks: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    k = step.k
    input_gate, forget_gate, cell_gate, output_gate, cell, _ = blocks
    limited = tanh(k, cell)
    grad_cell = k.add(step.get(step.grad_cell), k.mul(k.mul(grad, output_gate), _tanh_slope(k, limited)))
    step.put(k.mul(grad_cell, forget_gate), step.grad_cell)
    slopes = [
        k.mul(k.mul(grad_cell, cell_gate), _sigmoid_slope(k, input_gate)),
        k.mul(k.mul(grad_cell, step.get(step.cell)), _sigmoid_slope(k, forget_gate)),
        k.mul(k.mul(grad_cell, input_gate), _tanh_slope(k, cell_gate)),
        k.mul(k.mul(grad, limited), _sigmoid_slope(k, output_gate)),
    ]
    return slopes, slopes


def _gru_slopes(step: _Step, grad: Value, blocks: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    k = step.k
    reset, update, new, new_hidden, hidden = blocks
    of_new = k.mul(k.mul(grad, _less(k, update)), _tanh_slope(k, new))
    of_update = k.mul(k.mul(grad, k.sub(hidden, new)), _sigmoid_slope(k, update))
    of_reset = k.mul(k.mul(of_new, new_hidden), _sigmoid_slope(k, reset))
    step.put(k.mul(grad, update), step.carry)
    return [of_reset, of_update, of_new], [of_reset, of_update, k.mul(of_new, reset)]


def _tanh_slopes(step: _Step, grad: Value, blocks: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    slopes = [step.k.mul(grad, _tanh_slope(step.k, blocks[0]))]
    return slopes, slopes


def _relu_slopes(step: _Step, grad: Value, blocks: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    zero = step.k.like(0, grad)
    slopes = [step.k.select(step.k.compare("ole", blocks[0], zero), zero, grad)]
    return slopes, slopes


NETWORKS = {
    "lstm": Gates(4, 6, False, _lstm_next, _lstm_slopes),
    "gru": Gates(3, 5, True, _gru_next, _gru_slopes),
    "rnn_tanh": Gates(1, 2, False, _tanh_next, _tanh_slopes),
    "rnn_relu": Gates(1, 2, False, _relu_next, _relu_slopes),
}


# Kernels


class _Writer(Builder):
    """A kernel with its words by name."""

    def __init__(self, name: str, words: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        super().__init__(name, [("ptr", "args"), ("i64", "chunk")])
        self.words = words[0] + words[1]
        self.known = {name: read_word(self, n, "ptr" if n < len(words[0]) else "i64") for n, name in enumerate(self.words)}

    def __getitem__(self, name: str) -> Value:
        return self.known[name]

    def number(self, n: int) -> Value:
        return self.constant(n, "i64")

    def at(self, base: Value, *steps: Value | tuple[Value, Value]) -> Value:
        """An address so many elements behind another: numbers, or products of two."""
        for step in steps:
            base = self.address(base, step if isinstance(step, Value) else self.mul(*step), "float")
        return base


class _Recurrence(_Writer):
    """A kernel over the rows of a chunk and the steps."""

    def __init__(self, name: str, words: tuple[tuple[str, ...], tuple[str, ...]], variant: Variant, network: Gates) -> None:
        super().__init__(name, words)
        self.variant, self.network = variant, network
        self.size = self["size"]
        self.width = self.mul(self.size, self.number(network.gates))
        self.row_step = self.mul(self.size, self.number(network.blocks))  # of a row of `saved`
        self.sizes = [self.mul(self.size, self.number(n)) for n in range(network.blocks)]
        block, stop = share(self, self.parameters["chunk"], self.words.index("blocks"))
        first = self.intrinsic("smin", block, self["first_blocks"])
        self.firsts = self.sub(self.intrinsic("smin", stop, self["first_blocks"]), first)
        self.seconds = self.sub(self.sub(stop, block), self.firsts)
        large, small = self.number(variant.rows[0]), self.number(variant.rows[-1])
        self.row = self.add(self.mul(first, large), self.mul(self.sub(block, first), small))
        self.rows = self.add(self.mul(self.firsts, large), self.mul(self.seconds, small))

    def rows_of(self, name: str, step: Value) -> Value:
        """Where the chunk's rows of an operand begin."""
        return self.at(self[name], (self.row, step))

    def product(self, a: Value, a_step: Value, depth: Value, out: Value, out_step: Value, columns: Value, panels: Value, start: Value | None = None) -> None:
        """``out = a @ packed``, or ``out += a @ packed`` if that is where it starts, over the chunk's rows."""
        starts = self.constant(int(start is not None), "i1")
        self._panels(a, a_step, depth, (self["packed"], self["panel_size"], panels), (out, out_step, starts), out, out_step, columns)

    def product_of_input(self, a: Value, out: Value) -> None:
        """The same with the weight of the input, from its bias on."""
        none = self.number(0)
        start = self["input_bias"], none, self.compare("ne", self["has_input_bias"], none)
        packed = self["input_packed"], self["input_panel_size"], self["input_panels"]
        self._panels(a, self["input_row"], self["features"], packed, start, out, self.width, self.width)

    def _panels(self, a: Value, a_step: Value, depth: Value, packed: _Values, start: _Values, out: Value, out_step: Value, columns: Value) -> None:
        """`packed` is where the panels are, their size and how many there are; `start` an address, its step, and whether to start there."""
        width, none = self.number(self.variant.width), self.number(0)
        with self.loop(0, packed[2]) as turn:
            column = self.mul(turn.index, width)
            panel, target = self.at(packed[0], (turn.index, packed[1])), self.at(out, column)
            inside = self.intrinsic("smin", width, self.sub(columns, column))
            invoke(self, "panel", [depth, a, a_step, panel, none, self.at(start[0], column), start[1], target, out_step, inside, self.firsts, self.seconds, start[2]])

    def each(self, write: Callable[[_Step, Value, Value], None], once: Callable[[_Step, Value], None] | None = None) -> None:
        """``write(step, row, unit)`` for every vector of units of every row, and ``once(step, unit)`` before its rows."""
        with self.loop(0, self.size, LANES) as units:
            step = _Step(self, self.first_lanes(self.sub(self.size, units.index)))
            if once:
                once(step, units.index)
            with self.loop(0, self.rows) as rows:
                write(step, rows.index, units.index)

    def copy(self, source: Value, source_step: Value, target: Value) -> None:
        """A row of units for every row."""
        self.each(lambda step, row, unit: step.put(step.get(self.at(source, (row, source_step), unit)), self.at(target, (row, self.size), unit)))

    def blocks(self, address: Value, count: int) -> list[Value]:
        return [self.at(address, self.sizes[n]) for n in range(count)]

    def either(self, condition: Value, a: tuple[Value, Value], b: tuple[Value, Value]) -> tuple[Value, Value]:
        """One of two addresses with their steps."""
        return self.select(condition, a[0], b[0]), self.select(condition, a[1], b[1])


def _variant(rows: tuple[int, ...], vectors: int, b_rows: bool = True) -> Variant:
    return Variant("float", "float", False, rows, vectors, 0, True, False, b_rows, True)


def weight_panels(vectors: int, depth: int) -> tuple[int, int]:
    """The columns of a panel, and its elements when packed."""
    variant = _variant((1,), vectors)
    return variant.width, panel_bytes(variant, depth) // 4


@lru_cache(maxsize=16)
def pack_kernel(vectors: int, b_rows: bool) -> Kernel:
    """Panels of a weight; `b_rows` if its rows are those of the product's right side, otherwise they are its columns."""
    variant = _variant((1,), vectors, b_rows)
    k = _Writer("pack_weight", PACK)
    with k.loop(*share(k, k.parameters["chunk"], k.words.index("panels"))) as turn:
        column = k.mul(turn.index, k.number(variant.width))
        source = k.at(k["source"], column if b_rows else (column, k["source_step"]))
        packed = k.at(k["packed"], (turn.index, k["panel_size"]))
        columns = k.intrinsic("smin", k.number(variant.width), k.sub(k["columns"], column))
        invoke(k, "pack", [source, k["source_step"], packed, k["depth"], columns])
    return kernel_of(k.name, [k, *packing(variant)])


@lru_cache(maxsize=64)
def forward_kernel(name: str, rows: tuple[int, ...], vectors: int, keep: bool) -> Kernel:
    """All steps of some rows: hidden states, the last states, and `saved` if that is to be kept."""
    network, variant = NETWORKS[name], _variant(rows, vectors)
    k = _Recurrence(f"{name}_layer", FORWARD, variant, network)
    saved, output = k.rows_of("saved", k.row_step), k.rows_of("output", k.size)
    input, hidden = k.rows_of("input", k["input_row"]), k.rows_of("hidden", k["hidden_step"])
    inside, outside = k.rows_of("inside", k.width), k.rows_of("outside", k.width)
    cell, last_cell = k.rows_of("cell", k["cell_step"]), k.rows_of("last_cell", k.size)
    last_hidden = k.rows_of("last_hidden", k.size)
    if network.has_cell:  # it changes in place
        k.copy(cell, k["cell_step"], last_cell)
    has_bias = k.compare("ne", k["has_bias"], k.number(0))
    with k.loop(0, k["steps"]) as turn:
        begun = k.compare("ne", turn.index, k.number(0))
        before = k.at(output, (k.sub(turn.index, k.number(1)), k["output_step"]))
        here, out = k.at(saved, (turn.index, k["saved_step"])), k.at(output, (turn.index, k["output_step"]))
        old, old_step = k.select(begun, before, hidden), k.select(begun, k.size, k["hidden_step"])
        parts = k.at(inside, (turn.index, k["inside_step"]))
        k.product_of_input(k.at(input, (turn.index, k["input_step"])), parts)
        if network.apart:
            k.product(old, old_step, k.size, outside, k.width, k.width, k["panels"])
        else:
            k.product(old, old_step, k.size, parts, k.width, k.width, k["panels"], parts)
        biases: list[Value] = []

        def load_biases(step: _Step, unit: Value) -> None:
            given = _Step(k, k.first_lanes(k.select(has_bias, k.sub(k.size, unit), k.number(0))))
            biases[:] = [given.get(k.at(k["bias"], k.sizes[n], unit)) for n in range(network.gates)]

        def gates(step: _Step, row: Value, unit: Value) -> None:
            found = [step.get(p) for p in k.blocks(k.at(parts, (row, k.width), unit), network.gates)]
            others = biases
            if network.apart:
                hidden_parts = k.blocks(k.at(outside, (row, k.width), unit), network.gates)
                others = [k.add(step.get(p), bias) for p, bias in zip(hidden_parts, biases, strict=True)]
            step.cell = k.at(last_cell, (row, k.size), unit)
            state = step.get(k.at(old, (row, old_step), unit))
            kept, following = network.next(step, found, others, state)
            if network.has_cell:
                step.put(kept[-1], step.cell)
            if keep:
                for value, place in zip((*kept, state), k.blocks(k.at(here, (row, k.row_step), unit), network.blocks), strict=True):
                    step.put(value, place)
            step.put(following, k.at(out, (row, k.size), unit))

        k.each(gates, load_biases)
    k.copy(k.at(output, (k.sub(k["steps"], k.number(1)), k["output_step"])), k.size, last_hidden)
    return Kernel(k.name, module([k, panel(variant, "panel", variant.vectors)]))


@lru_cache(maxsize=64)
def backward_kernel(name: str, rows: tuple[int, ...], vectors: int) -> Kernel:
    """All steps of some rows, from the last to the first: the slopes of the gates, and the gradients of the first states."""
    network, variant = NETWORKS[name], _variant(rows, vectors)
    k = _Recurrence(f"{name}_layer_backward", BACKWARD, variant, network)
    saved, given = k.rows_of("saved", k.row_step), k.rows_of("grad_output", k["grad_row"])
    inside, outside = k.rows_of("inside", k.width), k.rows_of("outside", k.width)
    carries = [(k.rows_of("grad_hidden", k.size), "hidden")]
    cell = k.rows_of("cell", k["cell_step"])
    if network.has_cell:
        carries.append((k.rows_of("grad_cell", k.size), "cell"))
    for carry, state in carries:
        source, source_step = k.rows_of(f"grad_last_{state}", k[f"last_{state}_step"]), k[f"last_{state}_step"]
        there = k.compare("ne", k[f"has_last_{state}"], k.number(0))

        def begin(step: _Step, row: Value, unit: Value, carry: Value = carry, source: Value = source, source_step: Value = source_step, there: Value = there) -> None:
            given = _Step(k, k.and_(step.mask, there))
            step.put(given.get(k.at(source, (row, source_step), unit)), k.at(carry, (row, k.size), unit))

        k.each(begin)
    has_grad = k.compare("ne", k["has_grad"], k.number(0))
    last = k.sub(k["steps"], k.number(1))
    with k.loop(0, k["steps"]) as turn:
        here, grad = k.at(saved, (turn.index, k["saved_step"])), k.at(given, (turn.index, k["grad_step"]))
        slopes_in, slopes_out = (k.at(s, (turn.index, k["slopes_step"])) for s in (inside, outside))
        if network.has_cell:
            at_first = k.compare("eq", turn.index, last)
            cells, cells_step = k.either(at_first, (cell, k["cell_step"]), (k.at(here, k["saved_step"], k.sizes[4]), k.row_step))

        def gates(step: _Step, row: Value, unit: Value) -> None:
            places = k.blocks(k.at(here, (row, k.row_step), unit), network.blocks)
            step.carry = k.at(carries[0][0], (row, k.size), unit)
            if network.has_cell:
                step.grad_cell = k.at(carries[1][0], (row, k.size), unit)
                step.cell = k.at(cells, (row, cells_step), unit)
            of_output = _Step(k, k.and_(step.mask, has_grad)).get(k.at(grad, (row, k["grad_row"]), unit))
            found = network.slopes(step, k.add(step.get(step.carry), of_output), [step.get(p) for p in places])
            for values, base in zip(found, (slopes_in, slopes_out) if network.apart else (slopes_in,), strict=False):
                for value, place in zip(values, k.blocks(k.at(base, (row, k.width), unit), network.gates), strict=True):
                    step.put(value, place)

        k.each(gates)
        panels = k.select(k.compare("slt", turn.index, k["products"]), k["panels"], k.number(0))
        carry = carries[0][0]
        k.product(slopes_out if network.apart else slopes_in, k.width, k.width, carry, k.size, k.size, panels, carry if network.apart else None)
    return Kernel(k.name, module([k, panel(variant, "panel", variant.vectors)]))
