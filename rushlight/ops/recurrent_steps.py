"""One step of each recurrent network, written in public ops: what `nn.LSTM` and its kin say in formulas.

`run_steps` runs them over a sequence. Most sequences run as one entry instead (recurrent_entry.py), which has its second
derivatives from here; so do the single steps that are exported to ONNX, where the parts are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .combine import stack
from .matmul import linear

if TYPE_CHECKING:
    from ..tensor import Tensor

    State = tuple[Tensor, ...]  # (hidden,), or (hidden, cell) of an LSTM; each (1, batch, size)


class Weights(NamedTuple):
    """The parameters of one direction of one layer, in the order in which they are passed."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None  # projection of an LSTM's hidden state


class Network(NamedTuple):
    """A kind of recurrent network."""

    gates: int  # rows of the weights for each hidden unit
    states: int
    step: Callable[[Tensor, State, Weights], State]  # input gates, state and weights to the next state


def _lstm_step(input_gates: Tensor, state: State, weights: Weights) -> State:
    hidden, cell = state
    gates = input_gates + linear(hidden, weights.hh, weights.bias_hh)
    input_gate, forget_gate, cell_gate, output_gate = gates.chunk(4, -1)
    cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * cell_gate.tanh()
    hidden = output_gate.sigmoid() * cell.tanh()
    if weights.hr is not None:
        hidden = linear(hidden, weights.hr)
    return hidden, cell


def _gru_step(input_gates: Tensor, state: State, weights: Weights) -> State:
    (hidden,) = state
    reset_in, update_in, new_in = input_gates.chunk(3, -1)
    reset_hidden, update_hidden, new_hidden = linear(hidden, weights.hh, weights.bias_hh).chunk(3, -1)
    reset = (reset_in + reset_hidden).sigmoid()
    update = (update_in + update_hidden).sigmoid()
    new = (new_in + reset * new_hidden).tanh()
    return ((hidden - new) * update + new,)


def _rnn_tanh_step(input_gates: Tensor, state: State, weights: Weights) -> State:
    return ((input_gates + linear(state[0], weights.hh, weights.bias_hh)).tanh(),)


def _rnn_relu_step(input_gates: Tensor, state: State, weights: Weights) -> State:
    return ((input_gates + linear(state[0], weights.hh, weights.bias_hh)).relu(),)


LSTM = Network(4, 2, _lstm_step)
GRU = Network(3, 1, _gru_step)
RNN_TANH = Network(1, 1, _rnn_tanh_step)
RNN_RELU = Network(1, 1, _rnn_relu_step)


def run_steps(network: Network, input: Tensor, state: State, weights: Weights, reverse: bool) -> tuple[Tensor, State]:
    """A sequence ``(time, batch, features)``, from the last step to the first if `reverse`: hidden states, last state."""
    gates = linear(input, weights.ih, weights.bias_ih).unbind(0)
    state = tuple(part.squeeze(0) for part in state)
    outputs: list[Tensor] = []
    for input_gates in reversed(gates) if reverse else gates:
        state = network.step(input_gates, state, weights)
        outputs.append(state[0])
    return stack(outputs[::-1] if reverse else outputs), tuple(part.unsqueeze(0) for part in state)
