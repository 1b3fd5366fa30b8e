"""Recurrent layers and cells; their arithmetic is in ``ops/recurrent.py``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ... import ops
from ...graph import grad_state
from .. import init
from ..module import Module
from ..utils.rnn import PackedSequence
from .utils import changed, empty_parameter

if TYPE_CHECKING:
    from ...dtypes import dtype as DType
    from ...tensor import Tensor
    from ..parameter import Parameter
    from .utils import DeviceLike

    State = Tensor | tuple[Tensor, Tensor]  # hidden, or (hidden, cell) of an LSTM

# Rows of the weights per hidden unit: the number of gates.
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

_RECURRENCES: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "LSTM": ops.lstm,
    "GRU": ops.gru,
    "RNN_TANH": ops.rnn_tanh,
    "RNN_RELU": ops.rnn_relu,
}


class RNNBase(Module):
    """Weights, checks and forward of RNN, LSTM and GRU.

    Layer ``k`` has ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}`` and, of an LSTM with
    projections, ``weight_hr_l{k}``; the names of the backward direction end in ``_reverse``.

    >>> [name for name, _ in nn.RNNBase("GRU", 2, 3).named_parameters()]
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    """

    __constants__ = [
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    ]
    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        _check_dropout(dropout, num_layers)
        _check_type("bias", bias, bool)
        _check_type("batch_first", batch_first, bool)
        _check_type("input_size", input_size, int)
        if input_size <= 0:
            raise ValueError("input_size must be greater than zero")
        _check_type("hidden_size", hidden_size, int)
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size

        self._all_weights: list[list[str]] = []
        gate_rows = _GATES[mode] * hidden_size
        for layer in range(num_layers):
            layer_input = input_size if layer == 0 else self._output_size * self._num_directions
            for suffix in ("", "_reverse")[: self._num_directions]:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (gate_rows, layer_input),
                    "weight_hh": (gate_rows, self._output_size),
                }
                if bias:
                    shapes |= {"bias_ih": (gate_rows,), "bias_hh": (gate_rows,)}
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{kind}_l{layer}{suffix}": shape for kind, shape in shapes.items()}
                for name, shape in names.items():
                    setattr(self, name, empty_parameter(shape, device, dtype))
                self._all_weights.append(list(names))
        self.reset_parameters()

    @property
    def _num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        """The width of the hidden state that a direction passes on."""
        return self.proj_size if self.proj_size > 0 else self.hidden_size

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each direction of each layer."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def flatten_parameters(self) -> None:
        """For programs that call it: on the CPU there is no packed copy of the weights to refresh."""

    def reset_parameters(self) -> None:
        """Draw all parameters, in their order, uniform in ``±1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        options = changed(
            self, proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0, bidirectional=False
        )
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *options])

    def __getstate__(self) -> dict[str, Any]:
        # PyTorch keeps as attributes what is computed here, and reads them from a file.
        return self.__dict__ | {"_flat_weights_names": self._flat_weights_names, "_flat_weights": self._flat_weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({k: v for k, v in state.items() if k not in ("_flat_weights_names", "_flat_weights")})
        self.__dict__.setdefault("proj_size", 0)

    # Checks, in the order in which the forward makes them

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise unless the input, padded or packed, has the weights' dtype, the right dimensions and width."""
        weight_dtype = self._flat_weights[0].dtype
        if input.dtype != weight_dtype and grad_state.autocast is None:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight_dtype}). "
                f"Convert input: input.to({weight_dtype}), or convert model: model.to({input.dtype})"
            )
        expected_dims = 2 if batch_sizes is not None else 3
        if input.dim() != expected_dims:
            raise RuntimeError(f"input must have {expected_dims} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _state_size(self, input: Tensor, batch_sizes: Tensor | None, width: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0 if self.batch_first else 1)
        return (self.num_layers * self._num_directions, batch, width)

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of the hidden state for this input."""
        return self._state_size(input, batch_sizes, self._output_size)

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """Raise unless ``hx`` has the expected shape."""
        if hx.size() != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise unless input and state fit the module."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its sequences in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    def _zero_state(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        size = self.get_expected_hidden_size(input, batch_sizes)
        return ops.zeros(size, dtype=input.dtype, device=input.device)

    def _with_layer_dim(self, hx: Any, is_batched: bool) -> Any:
        """The given state as ``(layers, batch, width)``."""
        if is_batched:
            if hx.dim() != 3:
                raise RuntimeError(f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor")
            return hx
        if hx.dim() != 2:
            raise RuntimeError(f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor")
        return hx.unsqueeze(1)

    def _without_batch_dim(self, hx: Any) -> Any:
        return hx.squeeze(1)

    def _run(self, *sequence_and_state: Any, batch_first: bool | None = None) -> tuple[Tensor, Any]:
        layout = () if batch_first is None else (batch_first,)
        output, *state = _RECURRENCES[self.mode](
            *sequence_and_state,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            *layout,
        )
        return output, tuple(state) if len(state) > 1 else state[0]

    def forward(self, input: Tensor | PackedSequence, hx: State | None = None) -> tuple[Tensor | PackedSequence, State]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            tensor = " tensor" if self.mode.startswith("RNN") else ""
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D{tensor} instead"
            )
        is_batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if not is_batched:
            input = input.unsqueeze(batch_dim)
        hx = self._zero_state(input, None) if hx is None else self._with_layer_dim(hx, is_batched)
        self.check_forward_args(input, hx, None)
        output, state = self._run(input, hx, batch_first=self.batch_first)
        if not is_batched:
            return output.squeeze(batch_dim), self._without_batch_dim(state)
        return output, state

    def _forward_packed(self, input: PackedSequence, hx: State | None) -> tuple[PackedSequence, State]:
        data, batch_sizes, sorted_indices, unsorted_indices = input
        if hx is None:
            hx = self._zero_state(data, batch_sizes)
        else:
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(data, hx, batch_sizes)
        output, state = self._run(data, batch_sizes, hx)
        packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self.permute_hidden(state, unsorted_indices)


def _check_dropout(dropout: float, num_layers: int) -> None:
    if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )


def _check_type(name: str, value: Any, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} should be of type {expected.__name__}, got: {type(value).__name__}")


def _refuse_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """Elman network: ``h = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with ``nonlinearity="relu"``.

    Arguments: ``input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False,
    dropout=0.0, bidirectional=False``. Input ``(L, N, input_size)``, state ``(layers * directions, N, hidden_size)``.

    >>> output, hidden = nn.RNN(10, 20, 2)(torch.zeros(5, 3, 10))
    >>> output.shape, hidden.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    nonlinearity: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); gates in the order input, forget, cell, output.

    Arguments: ``input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, proj_size=0``. The state is ``(hidden, cell)``; ``proj_size`` projects the hidden state.

    >>> output, (hidden, cell) = nn.LSTM(10, 20, 2)(torch.zeros(5, 3, 10))
    >>> output.shape, cell.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of the cell state for this input."""
        return self._state_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: tuple[Tensor, Tensor], batch_sizes: Tensor | None) -> None:
        self.check_input(input, batch_sizes)
        hidden_size = self.get_expected_hidden_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], hidden_size, "Expected hidden[0] size {}, got {}")
        cell_size = self.get_expected_cell_size(input, batch_sizes)
        self.check_hidden_size(hidden[1], cell_size, "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: tuple[Tensor, Tensor], permutation: Tensor | None) -> tuple[Tensor, Tensor]:
        if permutation is None:
            return hx
        return hx[0].index_select(1, permutation), hx[1].index_select(1, permutation)

    def _zero_state(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        cell_size = self.get_expected_cell_size(input, batch_sizes)
        cell = ops.zeros(cell_size, dtype=input.dtype, device=input.device)
        return super()._zero_state(input, batch_sizes), cell

    def _with_layer_dim(self, hx: tuple[Tensor, Tensor], is_batched: bool) -> tuple[Tensor, Tensor]:
        hidden, cell = hx[0], hx[1]  # a tensor, given by mistake, has rows
        dims = 3 if is_batched else 2
        if hidden.dim() != dims or cell.dim() != dims:
            kind = "batched 3-D" if is_batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {dims}-D "
                f"but got ({hidden.dim()}-D, {cell.dim()}-D) tensors"
            )
        if len(hx) != 2:
            raise RuntimeError("lstm expects two hidden states")
        return hx if is_batched else (hidden.unsqueeze(1), cell.unsqueeze(1))

    def _without_batch_dim(self, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return hx[0].squeeze(1), hx[1].squeeze(1)


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al., 2014); gates in the order reset, update, new.

    Arguments: ``input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False``. Input ``(L, N, input_size)``, or ``(N, L, input_size)`` with ``batch_first``.

    >>> output, hidden = nn.GRU(10, 20, bidirectional=True)(torch.zeros(5, 3, 10))
    >>> output.shape, hidden.shape
    (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """Weights and checks of the cells, which make one step at a time."""

    __constants__ = ["input_size", "hidden_size", "bias"]
    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gate_rows = num_chunks * hidden_size
        self.weight_ih = empty_parameter((gate_rows, input_size), device, dtype)
        self.weight_hh = empty_parameter((gate_rows, hidden_size), device, dtype)
        self.register_parameter("bias_ih", empty_parameter(gate_rows, device, dtype) if bias else None)
        self.register_parameter("bias_hh", empty_parameter(gate_rows, device, dtype) if bias else None)
        self.reset_parameters()

    def extra_repr(self) -> str:
        bias = f", bias={self.bias}" if self.bias is not True else ""
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        suffix = f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else ""
        return f"{self.input_size}, {self.hidden_size}{bias}{suffix}"

    def reset_parameters(self) -> None:
        """Draw all parameters, in their order, uniform in ``±1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _check_dims(self, tensor: Tensor, name: str) -> None:
        if tensor.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {tensor.dim()}D instead"
            )

    def _step(
        self, cell: Callable[..., Tensor | tuple[Tensor, Tensor]], input: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, ...]:
        """One step of ``cell``; an input without a batch dimension is a batch of one."""
        is_batched = input.dim() == 2
        if not is_batched:
            input = input.unsqueeze(0)
        if state is None:
            zeros = ops.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
            state = (zeros, zeros) if cell is ops.lstm_cell else (zeros,)
        elif not is_batched:
            state = tuple(part.unsqueeze(0) for part in state)
        hx = state if cell is ops.lstm_cell else state[0]
        found = cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        parts = found if isinstance(found, tuple) else (found,)
        return parts if is_batched else tuple(part.squeeze(0) for part in parts)


class RNNCell(RNNCellBase):
    """One step of an Elman network: input ``(N, input_size)`` or ``(input_size)`` and the hidden state to the next.

    >>> nn.RNNCell(10, 20)(torch.zeros(3, 10)).shape
    torch.Size([3, 20])
    """

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check_dims(input, "input")
        if hx is not None:
            self._check_dims(hx, "hidden")
        cells = {"tanh": ops.rnn_tanh_cell, "relu": ops.rnn_relu_cell}
        if self.nonlinearity not in cells:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(cells[self.nonlinearity], input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One LSTM step: input and ``(hidden, cell)`` to the next ``(hidden, cell)``.

    >>> hidden, cell = nn.LSTMCell(10, 20)(torch.zeros(3, 10))
    >>> hidden.shape
    torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        self._check_dims(input, "input")
        for index, part in enumerate(() if hx is None else hx):
            self._check_dims(part, f"hx[{index}]")
        if hx is not None and not isinstance(hx, (tuple, list)):
            raise TypeError("lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor")
        hidden, cell = self._step(ops.lstm_cell, input, hx)
        return hidden, cell


class GRUCell(RNNCellBase):
    """One GRU step: input and the hidden state to the next hidden state.

    >>> nn.GRUCell(10, 20)(torch.zeros(3, 10)).shape
    torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check_dims(input, "input")
        if hx is not None:
            self._check_dims(hx, "hidden")
        return self._step(ops.gru_cell, input, None if hx is None else (hx,))[0]
