"""ONNX nodes of recurrent layers: one RNN, LSTM or GRU node for each direction of each layer, of any length.

ONNX has a dim for directions, first in weights and states and second in outputs, and an order of gates of its own.
Single steps, projections and float64, which onnxruntime has no such nodes for, are written step by step in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .builders import card
from .graph import Graph
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
    op_type, order, attributes = _KINDS[op.name]
    input, weight_ih, weight_hh, bias_ih, bias_hh, *states = op.inputs
    size = int(weight_hh.shape[1])
    hidden, *cell = (g.read(state) for state in states)
    output, *last = g.node(
        op_type,
        g.read(input),
        _arranged(g, "W", [weight_ih], order, size),
        _arranged(g, "R", [weight_hh], order, size),
        _arranged(g, "B", [bias_ih, bias_hh], order, size),
        "",  # all sequences of the batch have all steps
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
