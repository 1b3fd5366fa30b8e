"""Recurrent networks: whole stacks (`lstm`, `gru`, `rnn_tanh`, `rnn_relu`) and single steps (their ``_cell`` forms).

A layer multiplies all its inputs by its input weights at once; what is left for each step is one product with the
hidden state and the gates. Padded and packed sequences run through the same loop: it is given the inputs of one step
after another, and in packed ones a step may have fewer rows than the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .combine import cat, stack
from .dropout import dropout as drop
from .matmul import linear

if TYPE_CHECKING:
    from ..tensor import Tensor

    State = tuple[Tensor, ...]  # (hidden,), or (hidden, cell) of an LSTM


class _Weights(NamedTuple):
    """The parameters of one direction of one layer, in the order in which they are passed."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None  # projection of an LSTM's hidden state


Step = Callable[["Tensor", "State", _Weights], "State"]  # input gates, state, weights: to the next state


def _lstm_step(input_gates: Tensor, state: State, weights: _Weights) -> State:
    hidden, cell = state
    gates = input_gates + linear(hidden, weights.hh, weights.bias_hh)
    input_gate, forget_gate, cell_gate, output_gate = gates.chunk(4, 1)
    cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * cell_gate.tanh()
    hidden = output_gate.sigmoid() * cell.tanh()
    if weights.hr is not None:
        hidden = linear(hidden, weights.hr)
    return hidden, cell


def _gru_step(input_gates: Tensor, state: State, weights: _Weights) -> State:
    (hidden,) = state
    reset_in, update_in, new_in = input_gates.chunk(3, 1)
    reset_hidden, update_hidden, new_hidden = linear(hidden, weights.hh, weights.bias_hh).chunk(3, 1)
    reset = (reset_in + reset_hidden).sigmoid()
    update = (update_in + update_hidden).sigmoid()
    new = (new_in + reset * new_hidden).tanh()
    return ((hidden - new) * update + new,)


def _rnn_tanh_step(input_gates: Tensor, state: State, weights: _Weights) -> State:
    return ((input_gates + linear(state[0], weights.hh, weights.bias_hh)).tanh(),)


def _rnn_relu_step(input_gates: Tensor, state: State, weights: _Weights) -> State:
    return ((input_gates + linear(state[0], weights.hh, weights.bias_hh)).relu(),)


def _run_direction(
    steps: Sequence[Tensor], initial: State, weights: _Weights, step: Step
) -> tuple[list[Tensor], State]:
    """Run one direction of one layer over the input gates of its steps: the hidden states, and the last state.

    Row ``i`` of every step belongs to the same sequence. Sequences are sorted by length, so that the last rows drop
    out as their sequences end; backwards in time they join as their sequences begin.
    """
    state = tuple(part[: steps[0].size(0)] for part in initial)
    outputs: list[Tensor] = []
    ended: list[State] = []
    for input_gates in steps:
        rows, running = input_gates.size(0), state[0].size(0)
        if rows < running:
            ended.append(tuple(part[rows:] for part in state))
            state = tuple(part[:rows] for part in state)
        elif rows > running:
            state = tuple(cat([part, start[running:rows]]) for part, start in zip(state, initial, strict=True))
        state = step(input_gates, state, weights)
        outputs.append(state[0])
    if ended:
        state = tuple(cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return outputs, state


def _run_layers(
    step: Step,
    input: Tensor,
    batch_sizes: list[int] | None,
    hx: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, State]:
    """All layers over a sequence ``(time, batch, features)``, or a packed one ``(rows, features)``."""
    initial = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
    if step is _lstm_step and len(initial) != 2:
        raise RuntimeError("lstm expects two hidden states")
    layers = _group_parameters(params, has_biases, num_layers * (2 if bidirectional else 1))
    starts = list(zip(*(part.unbind(0) for part in initial), strict=True))
    finals: list[State] = []
    directions = (False, True) if bidirectional else (False,)
    for layer in range(num_layers):
        outputs: list[Tensor] = []
        for reverse in directions:
            weights, start = layers[len(finals)], starts[len(finals)]
            gates = linear(input, weights.ih, weights.bias_ih)
            steps = list(gates.unbind(0) if batch_sizes is None else gates.split(batch_sizes, 0))
            hidden, final = _run_direction(steps[::-1] if reverse else steps, start, weights, step)
            if reverse:
                hidden.reverse()
            outputs.append(stack(hidden) if batch_sizes is None else cat(hidden))
            finals.append(final)
        input = cat(outputs, -1) if bidirectional else outputs[0]
        if dropout and train and layer < num_layers - 1:
            input = drop(input, dropout, True)
    return input, tuple(stack(parts) for parts in zip(*finals, strict=True))


def _group_parameters(params: Sequence[Tensor], has_biases: bool, groups: int) -> list[_Weights]:
    each = len(params) // groups
    without_projection = 4 if has_biases else 2
    if each * groups != len(params) or each - without_projection not in (0, 1):
        raise RuntimeError("got an incorrect number of RNN parameters")
    found = []
    for start in range(0, len(params), each):
        ih, hh, *rest = params[start : start + each]
        bias_ih, bias_hh = rest[:2] if has_biases else (None, None)
        found.append(_Weights(ih, hh, bias_ih, bias_hh, rest[-1] if each > without_projection else None))
    return found


def _run_padded(
    step: Step,
    input: Tensor,
    hx: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, State]:
    if batch_first:
        input = input.transpose(0, 1)
    if input.size(0) == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    output, state = _run_layers(
        step, input, None, hx, params, has_biases, num_layers, dropout, train, bidirectional
    )
    return (output.transpose(0, 1) if batch_first else output), state


def _run_packed(
    step: Step,
    data: Tensor,
    batch_sizes: Tensor,
    hx: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, State]:
    return _run_layers(
        step, data, batch_sizes.tolist(), hx, params, has_biases, num_layers, dropout, train, bidirectional
    )


def _run(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, State]:
    """Tell the two signatures apart: in the packed one the parameters come fourth, not third."""
    is_packed = "batch_sizes" in kwargs or (len(args) > 3 and isinstance(args[3], (list, tuple)))
    return (_run_packed if is_packed else _run_padded)(step, *args, **kwargs)


def lstm(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Layers of LSTM; see `nn.LSTM` for the formulas. Returns the output, and the last hidden and cell states.

    Signatures: ``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or for
    packed sequences ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.

    >>> weights = [torch.zeros(8, 3), torch.zeros(8, 2)]
    >>> state = (torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    >>> torch.lstm(torch.ones(4, 1, 3), state, weights, False, 1, 0.0, False, False, False)[0].shape
    torch.Size([4, 1, 2])
    """
    output, (hidden, cell) = _run(_lstm_step, args, kwargs)
    return output, hidden, cell


def gru(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of GRU; see `nn.GRU` for the formulas and `lstm` for the arguments, with one tensor as ``hx``.

    >>> weights = [torch.zeros(6, 3), torch.zeros(6, 2)]
    >>> torch.gru(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(_gru_step, args, kwargs)
    return output, hidden


def rnn_tanh(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of Elman networks with tanh; arguments as `gru`.

    >>> weights = [torch.zeros(2, 3), torch.zeros(2, 2)]
    >>> torch.rnn_tanh(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(_rnn_tanh_step, args, kwargs)
    return output, hidden


def rnn_relu(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of Elman networks with ReLU; arguments as `gru`.

    >>> weights = [torch.zeros(2, 3), torch.zeros(2, 2)]
    >>> torch.rnn_relu(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(_rnn_relu_step, args, kwargs)
    return output, hidden


def _run_cell(step: Step, input: Tensor, state: State, weights: _Weights) -> State:
    """One step of a batch, with PyTorch's checks of the sizes."""
    if input.size(1) != weights.ih.size(1):
        raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)} expected {weights.ih.size(1)}")
    for number, part in enumerate(state):
        if input.size(0) != part.size(0):
            raise RuntimeError(
                f"Input batch size {input.size(0)} doesn't match hidden{number} batch size {part.size(0)}"
            )
        if part.size(1) != weights.hh.size(1):
            raise RuntimeError(
                f"hidden{number} has inconsistent hidden_size: got {part.size(1)}, expected {weights.hh.size(1)}"
            )
    return step(linear(input, weights.ih, weights.bias_ih), state, weights)


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One LSTM step: input ``(N, input_size)`` and state ``(hidden, cell)`` to the next state.

    >>> state = (torch.zeros(1, 2), torch.ones(1, 2))
    >>> torch.lstm_cell(torch.ones(1, 3), state, torch.zeros(8, 3), torch.zeros(8, 2))[1]
    tensor([[0.5000, 0.5000]])
    """
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    hidden, cell = _run_cell(_lstm_step, input, tuple(hx), _Weights(w_ih, w_hh, b_ih, b_hh))
    return hidden, cell


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One GRU step: input ``(N, input_size)`` and hidden state to the next hidden state.

    >>> torch.gru_cell(torch.ones(1, 3), torch.ones(1, 2), torch.zeros(6, 3), torch.zeros(6, 2))
    tensor([[0.5000, 0.5000]])
    """
    return _run_cell(_gru_step, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of an Elman network with tanh.

    >>> torch.rnn_tanh_cell(torch.ones(1, 3), torch.ones(1, 2), torch.zeros(2, 3), torch.zeros(2, 2))
    tensor([[0., 0.]])
    """
    return _run_cell(_rnn_tanh_step, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of an Elman network with ReLU.

    >>> torch.rnn_relu_cell(torch.ones(1, 3), torch.ones(1, 2), torch.ones(2, 3), torch.zeros(2, 2))
    tensor([[3., 3.]])
    """
    return _run_cell(_rnn_relu_step, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]
