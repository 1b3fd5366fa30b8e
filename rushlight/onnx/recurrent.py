"""ONNX nodes of recurrent layers: one RNN, LSTM or GRU node for each direction of each layer, of any length.

Packed sequences are padded ones in the graph, with their lengths, which the nodes take as an input.
ONNX has a dim for directions, first in weights and states and second in outputs, and an order of gates of its own.
Single steps, projections and float64, which onnxruntime has no such nodes for, are written step by step in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import float64, int32
from .builders import card
from .errors import UnsupportedOperatorError
from .graph import Graph, Packed
from .trace import Op, Value

#: For each kind of layer ONNX's operator, where its gates are among PyTorch's (input, output, forget, cell of an
#: LSTM; update, reset, new of a GRU), and attributes.
_KINDS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "lstm_layer": ("LSTM", (0, 3, 1, 2), {}),
    "gru_layer": ("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "rnn_tanh_layer": ("RNN", (0,), {"activations": ["Tanh"]}),
    "rnn_relu_layer": ("RNN", (0,), {"activations": ["Relu"]}),
}


@card(*_KINDS)
def _recurrent_layer(g: Graph, op: Op) -> tuple[str, ...]:
    """A layer over sequences of which all have all steps."""
    output, *last = _node(g, op, op.name, g.read(op.inputs[0]), "")
    return output, *last


@card("pack_padded_sequence")
def _pack(g: Graph, op: Op) -> tuple[str, str]:
    steps, lengths = op.inputs
    g.pack(op.outputs[0], Packed(g.read(steps), g.read_as(lengths, int32), steps.shape[0], zeroed=False))
    return "", ""


@card(*(f"packed_{name}" for name in _KINDS))
def _packed_layer(g: Graph, op: Op) -> tuple[str, ...]:
    """A layer over a packed sequence: the node gives zeros after the end of each, and its state there."""
    packed = g.packed(op.inputs[0])
    if packed is None or op.params["projected"] or op.inputs[0].dtype is float64:
        raise UnsupportedOperatorError(
            op.name, g.opset, "packed sequences of pack_padded_sequence, without projections, in float32 or float16 only"
        )
    output, *last = _node(g, op, op.name.removeprefix("packed_"), packed.padded, packed.lengths)
    g.pack(op.outputs[0], packed._replace(padded=output, zeroed=True))
    return "", *last


@card("pad_packed_sequence")
def _pad(g: Graph, op: Op) -> tuple[str, str]:
    """The padded sequence, as long as what was packed, with the padding that is asked for."""
    padded, lengths = op.outputs
    packed, value = g.packed(op.inputs[0]), op.params["padding_value"]
    if packed is None:
        raise UnsupportedOperatorError(op.name, g.opset, "only what pack_padded_sequence or a recurrent layer gave")
    steps = padded.shape[0]
    if (int(steps), getattr(steps, "others", ())) != (int(packed.steps), getattr(packed.steps, "others", ())):
        raise UnsupportedOperatorError(op.name, g.opset, "total_length can only be the length before packing")
    name = packed.padded
    if value or not packed.zeroed:
        zero, one = g.constant(0, np.int32), g.constant(1, np.int32)
        count = g.node("Squeeze", g.cast(g.size(steps), int32), g.integers(0))
        places = g.node("Unsqueeze", g.node("Range", zero, count, one), g.integers(1))
        inside = g.node("Less", places, packed.lengths)
        inside = g.node("Unsqueeze", inside, g.integers(*range(2, len(padded.shape)))) if len(padded.shape) > 2 else inside
        name = g.node("Where", inside, name, g.number(value, padded.dtype))
    return name, g.cast(packed.lengths, lengths.dtype)


def _node(g: Graph, op: Op, kind: str, input: str, lengths: str) -> tuple[str, ...]:
    """The output, ``(time, batch, size)``, and the last states."""
    op_type, order, attributes = _KINDS[kind]
    _, weight_ih, weight_hh, bias_ih, bias_hh, *states = op.inputs
    size = int(weight_hh.shape[1])
    hidden, *cell = (g.read(state) for state in states)
    output, *last = g.node(
        op_type,
        input,
        _arranged(g, "W", [weight_ih], order, size),
        _arranged(g, "R", [weight_hh], order, size),
        _arranged(g, "B", [bias_ih, bias_hh], order, size),
        lengths,
        hidden,
        *cell,
        outputs=1 + len(states),
        hidden_size=size,
        direction="reverse" if op.params["reverse"] else "forward",
        **attributes,
    )
    return g.node("Squeeze", output, g.integers(1)), *last


def _arranged(g: Graph, role: str, parts: Sequence[Any], order: Sequence[int], size: int) -> str:
    """Weights or biases one after another, each with its gates in ONNX's order, under a dim for the direction.

    Weights of the model are rearranged here, because many run times want constants in these places.
    """
    parts = [part for part in parts if isinstance(part, Value)]
    if not parts:
        return ""
    count = len(order)
    names = [g.weight_name(part) for part in parts]
    if names[0] and all(names):
        arrays = [part.tensor.detach().numpy() for part in parts]
        gates = [array.reshape(count, size, *array.shape[1:])[list(order)].reshape(array.shape) for array in arrays]
        return g.add_weight(f"{names[0]}.{role}", np.concatenate(gates)[None])
    if count == 1:
        pieces = [g.read(part) for part in parts]
    else:
        lengths = g.integers(*[size] * count)
        split = [g.node("Split", g.read(part), lengths, axis=0, outputs=count) for part in parts]
        pieces = [gates[gate] for gates in split for gate in order]
    joined = pieces[0] if len(pieces) == 1 else g.node("Concat", *pieces, axis=0)
    return g.node("Unsqueeze", joined, g.integers(0))
