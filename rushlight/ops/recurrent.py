"""Recurrent networks: whole stacks (`lstm`, `gru`, `rnn_tanh`, `rnn_relu`) and single steps (their ``_cell`` forms).

One direction of one layer is one entry (recurrent_entry.py), or where it cannot be one, a loop of public ops over its
steps (recurrent_steps.py). A packed sequence runs in stretches of as many rows: in each, some sequences have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..autocasting import LOWER, autocasts
from ..graph import exported_whole, grad_state
from .combine import cat
from .define import titled
from .dropout import dropout as drop
from .matmul import linear
from .recurrent_entry import is_entry, name_of, run_entry
from .recurrent_steps import GRU, LSTM, RNN_RELU, RNN_TANH, Network, Weights, run_steps

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .recurrent_steps import State


def _run_layer(network: Network, input: Tensor, state: State, weights: Weights, reverse: bool) -> tuple[Tensor, State]:
    """One direction of one layer over a sequence in which every step has all rows."""
    low = input._layout.dtype
    if low in dt.HALF and all(part._layout.dtype is low for part in state) and (grad_state.autocast is not None or weights.ih._layout.dtype is low):
        # Half precision is rounded at the end, not after every operation of every step.
        wide = Weights(weights.ih.float(), weights.hh.float(), *(None if w is None else w.float() for w in weights[2:]))
        output, last = _run_layer(network, input.float(), tuple(part.float() for part in state), wide, reverse)
        return output.to(low), tuple(part.to(low) for part in last)
    run = run_entry if is_entry(network, input, state, weights) else run_steps
    return run(network, input, state, weights, reverse)


def _run_packed_layer(network: Network, data: Tensor, batch_sizes: Sequence[int], initial: State, weights: Weights, reverse: bool) -> tuple[Tensor, State]:
    """The same over a packed sequence."""
    operands = (data, weights.ih, weights.hh, *(0.0 if bias is None else bias for bias in weights[2:4]), *initial)
    output, *last = exported_whole(
        f"packed_{name_of(network)}", operands, {"reverse": reverse, "projected": weights.hr is not None},
        lambda: _run_stretches(network, data, batch_sizes, initial, weights, reverse),
    )  # fmt: skip
    return output, tuple(last)


def _run_stretches(network: Network, data: Tensor, batch_sizes: Sequence[int], initial: State, weights: Weights, reverse: bool) -> tuple[Tensor, ...]:
    """The hidden states of a packed sequence, and the last states.

    Row ``i`` of every step belongs to the same sequence. Sequences are sorted by length, so that the last rows drop
    out as their sequences end; backwards in time they join as their sequences begin.
    """
    stretches = _stretches(batch_sizes)
    state = tuple(part[:, : (stretches[-1] if reverse else stretches[0])[1]] for part in initial)
    outputs: list[Tensor] = []
    ended: list[State] = []
    parts = data.split([steps * rows for steps, rows in stretches], 0)
    for (steps, rows), part in list(zip(stretches, parts, strict=True))[:: -1 if reverse else 1]:
        running = state[0].size(1)
        if rows < running:
            ended.append(tuple(s[:, rows:] for s in state))
            state = tuple(s[:, :rows] for s in state)
        elif rows > running:
            state = tuple(cat([s, start[:, running:rows]], 1) for s, start in zip(state, initial, strict=True))
        output, state = _run_layer(network, part.reshape(steps, rows, -1), state, weights, reverse)
        outputs.append(output.reshape(steps * rows, -1))
    if ended:
        state = tuple(cat(found, 1) for found in zip(state, *reversed(ended), strict=True))
    return cat(outputs[::-1] if reverse else outputs), *state


def _stretches(batch_sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Steps one after another that have as many rows: how many steps, and rows."""
    found: list[tuple[int, int]] = []
    for rows in batch_sizes:
        if found and found[-1][1] == rows:
            found[-1] = (found[-1][0] + 1, rows)
        else:
            found.append((1, rows))
    return found


def _run_layers(
    network: Network,
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
    if network is LSTM and len(initial) != 2:
        raise RuntimeError("lstm expects two hidden states")
    layers = _group_parameters(params, has_biases, num_layers * (2 if bidirectional else 1))
    starts = [tuple(part.split(1)) if part.size(0) > 1 else (part,) for part in initial]
    finals: list[State] = []
    directions = (False, True) if bidirectional else (False,)
    for layer in range(num_layers):
        outputs: list[Tensor] = []
        for reverse in directions:
            weights, start = layers[len(finals)], tuple(part[len(finals)] for part in starts)
            if batch_sizes is None:
                output, final = _run_layer(network, input, start, weights, reverse)
            else:
                output, final = _run_packed_layer(network, input, batch_sizes, start, weights, reverse)
            outputs.append(output)
            finals.append(final)
        input = cat(outputs, -1) if bidirectional else outputs[0]
        if dropout and train and layer < num_layers - 1:
            input = drop(input, dropout, True)
    if len(finals) == 1:
        return input, finals[0]
    return input, tuple(titled(cat(parts), "StackBackward0") for parts in zip(*finals, strict=True))


def _group_parameters(params: Sequence[Tensor], has_biases: bool, groups: int) -> list[Weights]:
    each = len(params) // groups
    without_projection = 4 if has_biases else 2
    if each * groups != len(params) or each - without_projection not in (0, 1):
        raise RuntimeError("got an incorrect number of RNN parameters")
    found = []
    for start in range(0, len(params), each):
        ih, hh, *rest = params[start : start + each]
        bias_ih, bias_hh = rest[:2] if has_biases else (None, None)
        found.append(Weights(ih, hh, bias_ih, bias_hh, rest[-1] if each > without_projection else None))
    return found


def _run_padded(
    network: Network,
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
        network, input, None, hx, params, has_biases, num_layers, dropout, train, bidirectional
    )
    return (titled(output.transpose(0, 1), "TransposeBackward1") if batch_first else output), state


def _run_packed(
    network: Network,
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
        network, data, batch_sizes.tolist(), hx, params, has_biases, num_layers, dropout, train, bidirectional
    )


def _run(network: Network, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, State]:
    """Tell the two signatures apart: in the packed one the parameters come fourth, not third."""
    is_packed = "batch_sizes" in kwargs or (len(args) > 3 and isinstance(args[3], (list, tuple)))
    return (_run_packed if is_packed else _run_padded)(network, *args, **kwargs)


@autocasts(LOWER)
def lstm(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Layers of LSTM; see `nn.LSTM` for the formulas. Returns the output, and the last hidden and cell states.

    Signatures: ``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or for
    packed sequences ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.

    >>> weights = [torch.zeros(8, 3), torch.zeros(8, 2)]
    >>> state = (torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    >>> torch.lstm(torch.ones(4, 1, 3), state, weights, False, 1, 0.0, False, False, False)[0].shape
    torch.Size([4, 1, 2])
    """
    output, (hidden, cell) = _run(LSTM, args, kwargs)
    return output, hidden, cell


def gru(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of GRU; see `nn.GRU` for the formulas and `lstm` for the arguments, with one tensor as ``hx``.

    >>> weights = [torch.zeros(6, 3), torch.zeros(6, 2)]
    >>> torch.gru(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(GRU, args, kwargs)
    return output, hidden


@autocasts(LOWER)
def rnn_tanh(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of Elman networks with tanh; arguments as `gru`.

    >>> weights = [torch.zeros(2, 3), torch.zeros(2, 2)]
    >>> torch.rnn_tanh(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(RNN_TANH, args, kwargs)
    return output, hidden


@autocasts(LOWER)
def rnn_relu(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Layers of Elman networks with ReLU; arguments as `gru`.

    >>> weights = [torch.zeros(2, 3), torch.zeros(2, 2)]
    >>> torch.rnn_relu(torch.ones(4, 1, 3), torch.zeros(1, 1, 2), weights, False, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 1, 2])
    """
    output, (hidden,) = _run(RNN_RELU, args, kwargs)
    return output, hidden


def _run_cell(network: Network, input: Tensor, state: State, weights: Weights) -> State:
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
    if is_entry(network, input, state, weights):
        return run_entry(network, input, state, weights, False)[1]
    return network.step(linear(input, weights.ih, weights.bias_ih), state, weights)


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
    hidden, cell = _run_cell(LSTM, input, tuple(hx), Weights(w_ih, w_hh, b_ih, b_hh))
    return hidden, cell


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One GRU step: input ``(N, input_size)`` and hidden state to the next hidden state.

    >>> torch.gru_cell(torch.ones(1, 3), torch.ones(1, 2), torch.zeros(6, 3), torch.zeros(6, 2))
    tensor([[0.5000, 0.5000]])
    """
    return _run_cell(GRU, input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh))[0]


@autocasts(LOWER)
def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of an Elman network with tanh.

    >>> torch.rnn_tanh_cell(torch.ones(1, 3), torch.ones(1, 2), torch.zeros(2, 3), torch.zeros(2, 2))
    tensor([[0., 0.]])
    """
    return _run_cell(RNN_TANH, input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh))[0]


@autocasts(LOWER)
def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of an Elman network with ReLU.

    >>> torch.rnn_relu_cell(torch.ones(1, 3), torch.ones(1, 2), torch.ones(2, 3), torch.zeros(2, 2))
    tensor([[3., 3.]])
    """
    return _run_cell(RNN_RELU, input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh))[0]
