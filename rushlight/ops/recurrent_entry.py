"""One direction of one recurrent layer as one entry with one gradient entry, over a whole sequence or a single step.

Besides the hidden states the forward gives `saved`, ``(time, batch, blocks, hidden)``, from which the gradient is computed, if
it is told to `keep` that.
Its blocks for each kind of network, of which the last is the hidden state before the step:

    LSTM  input gate, forget gate, cell gate, output gate, next cell, hidden
    GRU   reset gate, update gate, new, hidden part of new, hidden
    RNN   next hidden, hidden

The native forms are in engine/recurrent.py. A bias that is not there is the number 0.0, and so is the gradient of a result
that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import float32
from ..engine.lowering import FLOATING, Calls
from ..graph import grad_state
from ..shape import Layout, contiguous
from .activation_backward import logistic
from .card import Card, apply
from .gradient_entry import apply_masked, masked, results, through
from .recurrent_steps import GRU, LSTM, RNN_RELU, RNN_TANH, Network, Weights, run_steps

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan
    from .recurrent_steps import State

    Arrays = Sequence[np.ndarray]


def is_entry(network: Network, input: Tensor, state: State, weights: Weights) -> bool:
    """Whether this layer can be one entry: all of one dtype and of the right shapes, and no projection."""
    x, ih, hh = input._layout, weights.ih._layout, weights.hh._layout
    if grad_state.tracer is not None and (x.ndim != 3 or x.dtype is not float32):
        return False  # a recorded graph has the parts, where ONNX has no node for the whole that run times know
    if weights.hr is not None or x.ndim not in (2, 3) or hh.ndim != 2 or not x.numel:
        return False
    rows, size = hh.shape
    biases = [b._layout for b in (weights.bias_ih, weights.bias_hh) if b is not None]
    states = [part._layout for part in state]
    shape = (x.shape[-2], size) if x.ndim == 2 else (1, x.shape[-2], size)
    return (
        x.dtype in FLOATING
        and all(o.dtype is x.dtype for o in (ih, hh, *biases, *states))
        and rows == network.gates * size
        and ih.shape == (rows, x.shape[-1])
        and all(b.shape == (rows,) for b in biases)
        and all(s.shape == shape for s in states)
    )


def run_entry(network: Network, input: Tensor, state: State, weights: Weights, reverse: bool) -> tuple[Tensor, State]:
    """What `run_steps` gives, as one entry; a step ``(batch, features)`` has a state without the first dim."""
    ih, hh, bias_ih, bias_hh, _ = weights
    operands = (input, ih, hh, 0.0 if bias_ih is None else bias_ih, 0.0 if bias_hh is None else bias_hh, *state)
    keep = grad_state.enabled and any(not isinstance(t, float) and t.requires_grad for t in operands)
    card = (_CELLS if input._layout.ndim == 2 else _LAYERS)[network]
    output, *last = apply(card, operands, (reverse, keep))
    return output, tuple(last[: network.states])


# NumPy rules


def _order(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _forward(step: Callable[..., Any], blocks: int, input: np.ndarray, states: Arrays, weights: Sequence[Any], reverse: bool, keep: bool) -> tuple[np.ndarray, ...]:
    """``step(inside, outside, states)`` gives the next states and the blocks to save, without the last."""
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    sequence = input if input.ndim == 3 else input[None]
    steps, rows, features = sequence.shape
    size = weight_hh.shape[1]
    inside = sequence.reshape(-1, features) @ weight_ih.T + bias_ih
    inside = inside.reshape(steps, rows, -1)
    now = [state.reshape(rows, size) for state in states]
    output = np.empty((steps, rows, size), input.dtype)
    saved = np.empty((steps if keep else 0, rows, blocks, size), input.dtype)
    for t in _order(steps, reverse):
        hidden = now[0]
        now, kept = step(inside[t], hidden @ weight_hh.T + bias_hh, now)
        for n, block in enumerate((*kept, hidden) if keep else ()):
            saved[t, :, n] = block
        output[t] = now[0]
    last = [found.reshape(given.shape) for found, given in zip(now, states, strict=True)]
    return output.reshape(*input.shape[:-1], size), *last, *([saved] if keep else [])


def _lstm_forward(inside: np.ndarray, outside: np.ndarray, states: Arrays) -> tuple[Arrays, Arrays]:
    gates = np.split(inside + outside, 4, -1)
    input_gate, forget_gate, output_gate = (logistic(gates[n]) for n in (0, 1, 3))
    cell_gate = np.tanh(gates[2])
    cell = forget_gate * states[1] + input_gate * cell_gate
    return [output_gate * np.tanh(cell), cell], [input_gate, forget_gate, cell_gate, output_gate, cell]


def _gru_forward(inside: np.ndarray, outside: np.ndarray, states: Arrays) -> tuple[Arrays, Arrays]:
    (reset_in, update_in, new_in), (reset_hidden, update_hidden, new_hidden) = (np.split(part, 3, -1) for part in (inside, outside))
    reset, update = logistic(reset_in + reset_hidden), logistic(update_in + update_hidden)
    new = np.tanh(new_in + reset * new_hidden)
    return [(states[0] - new) * update + new], [reset, update, new, new_hidden]


def _tanh_forward(inside: np.ndarray, outside: np.ndarray, states: Arrays) -> tuple[Arrays, Arrays]:
    hidden = np.tanh(inside + outside)
    return [hidden], [hidden]


def _relu_forward(inside: np.ndarray, outside: np.ndarray, states: Arrays) -> tuple[Arrays, Arrays]:
    hidden = np.maximum(inside + outside, 0)
    return [hidden], [hidden]


def _backward(
    slopes: Callable[..., Any], grads: Sequence[Any], input: np.ndarray, states: Arrays, weights: Arrays, saved: np.ndarray, reverse: bool, output_mask: Sequence[bool]
) -> Any:  # fmt: skip
    """``slopes(grads, blocks, cell)`` gives, from the gradients of the states after a step, those of the gates' input and hidden
    parts, and of the states before it, but for what goes through the product with the weight.
    """
    weight_ih, weight_hh = weights
    steps, rows, _, size = saved.shape
    grad_output = np.broadcast_to(grads[0], input.shape[:-1] + (size,)).reshape(steps, rows, size)
    now = [np.broadcast_to(g, state.shape).reshape(rows, size) for g, state in zip(grads[1:], states, strict=True)]
    inside, outside = (np.empty((steps, rows, weight_hh.shape[0]), input.dtype) for _ in range(2))
    order = _order(steps, reverse)
    for place in range(steps - 1, -1, -1):
        t = order[place]
        cell = None if len(states) == 1 else saved[order[place - 1], :, 4] if place else states[1].reshape(rows, size)
        inside[t], outside[t], now = slopes([now[0] + grad_output[t], *now[1:]], saved[t].swapaxes(0, 1), cell)
        now[0] = now[0] + outside[t] @ weight_hh
    inside, outside = inside.reshape(steps * rows, -1), outside.reshape(steps * rows, -1)
    found: list[Callable[[], np.ndarray]] = [
        lambda: (inside @ weight_ih).reshape(input.shape),
        lambda: inside.T @ input.reshape(steps * rows, -1),
        lambda: outside.T @ saved[:, :, -1].reshape(steps * rows, size),
        lambda: inside.sum(0),
        lambda: outside.sum(0),
        *(lambda g=g, state=state: g.reshape(state.shape) for g, state in zip(now, states, strict=True)),  # type: ignore[misc]
    ]
    return results([gradient() for gradient in masked(output_mask, *found)])


def _lstm_slopes(grads: Arrays, blocks: Arrays, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    input_gate, forget_gate, cell_gate, output_gate, cell, _ = blocks
    limited = np.tanh(cell)
    grad_cell = grads[1] + grads[0] * output_gate * (1 - limited * limited)
    slopes = np.concatenate(
        [
            grad_cell * cell_gate * (input_gate * (1 - input_gate)),
            grad_cell * before * (forget_gate * (1 - forget_gate)),
            grad_cell * input_gate * (1 - cell_gate * cell_gate),
            grads[0] * limited * (output_gate * (1 - output_gate)),
        ],
        -1,
    )
    return slopes, slopes, [0, grad_cell * forget_gate]


def _gru_slopes(grads: Arrays, blocks: Arrays, before: None) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    reset, update, new, new_hidden, hidden = blocks
    of_new = grads[0] * (1 - update) * (1 - new * new)
    of_update = grads[0] * (hidden - new) * (update * (1 - update))
    of_reset = of_new * new_hidden * (reset * (1 - reset))
    inside, outside = (np.concatenate([of_reset, of_update, last], -1) for last in (of_new, of_new * reset))
    return inside, outside, [grads[0] * update]


def _tanh_slopes(grads: Arrays, blocks: Arrays, before: None) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    slopes = grads[0] * (1 - blocks[0] * blocks[0])
    return slopes, slopes, [0]


def _relu_slopes(grads: Arrays, blocks: Arrays, before: None) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    slopes = np.where(blocks[0] <= 0, 0, grads[0])
    return slopes, slopes, [0]


# Gradients of gradients


def _formula(network: Network, grads: Sequence[Any], operands: Sequence[Any], reverse: bool, output_mask: Sequence[bool]) -> list[Tensor]:
    """The gradients of the operands that the mask says, in public ops."""
    from ..autograd import grad

    own = [t.detach().requires_grad_() if wanted and not t.requires_grad else t for t, wanted in zip(operands, output_mask, strict=True)]
    input, ih, hh, *biases = own[:5]
    state, weights = own[5:], Weights(ih, hh, *(None if type(b) is float else b for b in biases))
    if input.dim() == 2:
        input, state = input.unsqueeze(0), [part.unsqueeze(0) for part in state]
    output, last = run_steps(network, input, tuple(state), weights, reverse)
    pairs = [(found, g.view_as(found)) for found, g in zip((output, *last), grads, strict=True) if type(g) is not float]
    return list(grad([found for found, _ in pairs], masked(output_mask, *own), [g for _, g in pairs], create_graph=True))


# Cards


def _lower(plan: Plan) -> Lowered | None:
    from ..engine.recurrent import lower_layer

    return lower_layer(plan)


def _lower_backward(plan: Plan) -> Lowered | None:
    from ..engine.recurrent import lower_layer_backward

    return lower_layer_backward(plan)


def _cards(name: str, network: Network, blocks: int, step: Callable[..., Any], slopes: Callable[..., Any], sends: tuple[int, ...], node: str, cell_sends: tuple[int, ...], cell_node: str) -> tuple[Card, Card]:
    """The cards of a layer and of a single step, with one of their gradient. The order of the operands is input, weights, biases, states.

    They are many ops in PyTorch. Leaves have their gradients in the order that follows from these, and a node is called as the last of them.
    """
    states = ("hidden", "cell")[: network.states]

    def infer(input: Layout, weight_ih: Layout, weight_hh: Layout, bias_ih: Any, bias_hh: Any, *states: Layout, reverse: bool, keep: bool) -> list[Layout]:
        size, steps = weight_hh.shape[1], (1, *input.shape)[-3:-1]
        found = [contiguous((*input.shape[:-1], size), input.dtype), *(contiguous(state.shape, input.dtype) for state in states)]
        return [*found, contiguous((*steps, blocks, size), input.dtype)] if keep else found

    def rule(input: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: Any, bias_hh: Any, *states: np.ndarray, reverse: bool, keep: bool) -> Any:
        return _forward(step, blocks, input, states, (weight_ih, weight_hh, bias_ih, bias_hh), reverse, keep)

    def infer_backward(saved: Layout, *layouts: Any, reverse: bool, output_mask: Sequence[bool]) -> list[Layout]:
        return [contiguous(o.shape, o.dtype) for o in masked(output_mask, *layouts[: len(output_mask)])]

    def rule_backward(saved: np.ndarray, input: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: Any, bias_hh: Any, *others: Any, reverse: bool, output_mask: Sequence[bool]) -> Any:
        states, grads = others[: network.states], others[network.states :]
        return _backward(slopes, grads, input, states, (weight_ih, weight_hh), saved, reverse, output_mask)

    def gradient_of_gradient(g: Any, input: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Any, bias_hh: Any, states_and_grads: tuple[Any, ...], needs: tuple[bool, ...], reverse: bool, output_mask: tuple[bool, ...]) -> list[Tensor | None]:
        def formula(*operands: Any) -> list[Tensor]:
            count = len(output_mask)
            return _formula(network, operands[count:], operands[:count], reverse, output_mask)

        return [None, *through(formula, g, needs[1:], (input, weight_ih, weight_hh, bias_ih, bias_hh, *states_and_grads))]

    backward_card = Card(
        f"{name}_layer_backward", "saved input weight_ih weight_hh bias_ih bias_hh states_and_grads", variadic=True,
        statics="reverse output_mask", outputs=" ".join(["grad_input grad_weight_ih grad_weight_hh grad_bias_ih grad_bias_hh", *(f"grad_{state}" for state in states)]),
        infer=infer_backward, numpy=rule_backward, backward=gradient_of_gradient, lowering=Calls(_lower_backward),
    )  # fmt: skip

    def gradient(g: tuple[Tensor | None, ...], input: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Any, bias_hh: Any, states: tuple[Tensor, ...], saved: Tensor, needs: tuple[bool, ...], reverse: bool) -> list[Tensor | None]:
        grads = [0.0 if of_result is None else of_result for of_result in g[:-1]]  # the last would be that of `saved`
        return apply_masked(backward_card, (saved, input, weight_ih, weight_hh, bias_ih, bias_hh, *states, *grads), (reverse,), needs)

    def card(name: str, sends: tuple[int, ...], node_name: str) -> Card:
        return Card(
            name, "input weight_ih weight_hh bias_ih bias_hh states", variadic=True,
            statics="reverse keep", outputs=" ".join(["output", *(f"last_{state}" for state in states), "saved"]),
            differentiable=range(1 + len(states)), infer=infer, numpy=rule, backward=gradient, lowering=Calls(_lower), sends=sends, node_name=node_name,
        )  # fmt: skip

    return card(f"{name}_layer", sends, node), card(f"{name}_cell", cell_sends, cell_node)


_CARDS = {
    LSTM: _cards("lstm", LSTM, 6, _lstm_forward, _lstm_slopes, (0, 1, 2, 4, 3), "MkldnnRnnLayerBackward0", (6, 3, 0, 1, 4, 5, 2), "MulBackward0"),
    GRU: _cards("gru", GRU, 5, _gru_forward, _gru_slopes, (4, 2, 3, 1, 0), "StackBackward0", (4, 5, 2, 3, 0, 1), "AddBackward0"),
    RNN_TANH: _cards("rnn_tanh", RNN_TANH, 2, _tanh_forward, _tanh_slopes, (4, 2, 3, 1, 0), "StackBackward0", (3, 0, 1, 4, 5, 2), "TanhBackward0"),
    RNN_RELU: _cards("rnn_relu", RNN_RELU, 2, _relu_forward, _relu_slopes, (4, 2, 3, 1, 0), "StackBackward0", (3, 0, 1, 4, 5, 2), "ReluBackward0"),
}
_LAYERS = {network: layer for network, (layer, _) in _CARDS.items()}
_CELLS = {network: cell for network, (_, cell) in _CARDS.items()}


def name_of(network: Network) -> str:
    """What a layer of this kind is called as an entry."""
    return _LAYERS[network].name
