"""Convolutions and transposed convolutions over one, two and three spatial dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...autograd import no_grad
from .. import functional as F, init
from ..module import Module
from ..parameter import UninitializedParameter
from .lazy import LazyModuleMixin, materialize
from .utils import _ntuple, _reverse_repeat_tuple, empty_parameter

if TYPE_CHECKING:
    from ...dtypes import dtype as DType
    from ...tensor import Tensor
    from .utils import DeviceLike, Sizes


class _ConvNd(Module):
    """Parameters, checks and ``repr`` of every convolution. Sizes arrive here as tuples."""

    __constants__ = [
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    ]
    _num_spatial_dims: ClassVar[int]
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        valid_strings = {"same", "valid"}
        if isinstance(padding, str):
            if padding not in valid_strings:
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {valid_strings}")
            if padding == "same" and any(step != 1 for step in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        valid_modes = {"zeros", "reflect", "replicate", "circular"}
        if padding_mode not in valid_modes:
            raise ValueError(f"padding_mode must be one of {valid_modes}, but got padding_mode='{padding_mode}'")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._padding_for_pad()
        self.weight = empty_parameter(self._weight_shape(), device, dtype)
        self.register_parameter("bias", empty_parameter(out_channels, device, dtype) if bias else None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def _padding_for_pad(self) -> Sequence[int]:
        """The padding as ``F.pad`` wants it: last dimension first, left and right of each."""
        if not isinstance(self.padding, str):
            return _reverse_repeat_tuple(self.padding, 2)
        pads: list[int] = []
        for size, spread in zip(reversed(self.kernel_size), reversed(self.dilation), strict=True):
            total = spread * (size - 1) if self.padding == "same" else 0
            pads += [total // 2, total - total // 2]
        return pads

    def reset_parameters(self) -> None:
        """Draw the weight, then the bias, uniform in ``±1/sqrt(fan_in)``."""
        with no_grad():
            # The draws follow the logical order, so a weight in another memory format is filled through a copy.
            if self.weight.is_contiguous():
                init.kaiming_uniform_(self.weight, a=math.sqrt(5))
            else:
                self.weight.copy_(init.kaiming_uniform_(self.weight.contiguous(), a=math.sqrt(5)))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            f"padding={self.padding}" if self.padding != (0,) * len(self.padding) else "",
            f"dilation={self.dilation}" if self.dilation != (1,) * len(self.dilation) else "",
            f"output_padding={self.output_padding}" if any(self.output_padding) else "",
            f"groups={self.groups}" if self.groups != 1 else "",
            "bias=False" if self.bias is None else "",
            f"padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "",
        ]
        return ", ".join(part for part in parts if part)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not hasattr(self, "padding_mode"):
            self.padding_mode = "zeros"


class _Convolution(_ConvNd):
    """What Conv1d, Conv2d and Conv3d share; each names its number of dimensions and its function."""

    _convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        per_dim = _ntuple(self._num_spatial_dims)
        super().__init__(
            in_channels,
            out_channels,
            per_dim(kernel_size),
            per_dim(stride),
            padding if isinstance(padding, str) else per_dim(padding),
            per_dim(dilation),
            False,
            per_dim(0),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * self._num_spatial_dims
        return self._convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Convolution):
    """Cross-correlation of ``(N, C_in, L)`` or ``(C_in, L)`` with ``out_channels`` kernels.

    ``padding`` is a number, ``"valid"`` or ``"same"``. See
    https://pytorch.org/docs/stable/generated/torch.nn.Conv1d.html for the output length.

    >>> nn.Conv1d(16, 33, 3, stride=2)(torch.zeros(20, 16, 50)).shape
    torch.Size([20, 33, 24])
    """

    _num_spatial_dims = 1
    _convolve = staticmethod(F.conv1d)


class Conv2d(_Convolution):
    """Cross-correlation of ``(N, C_in, H, W)`` or ``(C_in, H, W)`` with ``out_channels`` kernels.

    ``padding`` is a number, one per dimension, ``"valid"`` or ``"same"``.

    >>> nn.Conv2d(16, 33, 3, padding="same")(torch.zeros(2, 16, 10, 12)).shape
    torch.Size([2, 33, 10, 12])
    """

    _num_spatial_dims = 2
    _convolve = staticmethod(F.conv2d)


class Conv3d(_Convolution):
    """Cross-correlation of ``(N, C_in, D, H, W)`` or ``(C_in, D, H, W)`` with ``out_channels`` kernels.

    >>> nn.Conv3d(4, 5, 3, stride=(2, 1, 1))(torch.zeros(2, 4, 5, 6, 7)).shape
    torch.Size([2, 5, 2, 4, 5])
    """

    _num_spatial_dims = 3
    _convolve = staticmethod(F.conv3d)


class _ConvTransposeNd(_ConvNd):
    """What the transposed convolutions share."""

    _convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        per_dim = _ntuple(self._num_spatial_dims)
        super().__init__(
            in_channels,
            out_channels,
            per_dim(kernel_size),
            per_dim(stride),
            per_dim(padding),
            per_dim(dilation),
            True,
            per_dim(output_padding),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> Sequence[int]:
        """The output padding that gives ``output_size``; with a stride, several output sizes fit one input."""
        if output_size is None:
            return self.output_padding
        dims = self._num_spatial_dims
        leading = input.dim() - dims
        sizes = output_size[leading:] if len(output_size) == leading + dims else output_size
        if len(sizes) != dims:
            raise ValueError(
                f"ConvTranspose{dims}D: for {input.dim()}D input, output_size must have {dims} "
                f"or {leading + dims} elements (got {len(sizes)})"
            )
        smallest = [
            (input.size(leading + i) - 1) * self.stride[i]
            - 2 * self.padding[i]
            + self.dilation[i] * (self.kernel_size[i] - 1)
            + 1
            for i in range(dims)
        ]
        largest = [low + step - 1 for low, step in zip(smallest, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(smallest, sizes, largest, strict=True)):
            raise ValueError(
                f"requested an output size of {sizes}, but valid sizes range from {smallest} to {largest} "
                f"(for an input of {input.size()[2:]})"
            )
        return [size - low for size, low in zip(sizes, smallest, strict=True)]

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return self._convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """The gradient of Conv1d with respect to its input, as a layer: ``(N, C_in, L)`` to ``(N, C_out, L_out)``.

    ``output_padding``, or ``output_size`` in the call, chooses among the lengths that a strided Conv1d maps to one.

    >>> nn.ConvTranspose1d(4, 5, 3, stride=2)(torch.zeros(2, 4, 6)).shape
    torch.Size([2, 5, 13])
    """

    _num_spatial_dims = 1
    _convolve = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """The gradient of Conv2d with respect to its input, as a layer.

    >>> upsample = nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1)
    >>> upsample(torch.zeros(1, 16, 6, 6), output_size=(12, 12)).shape
    torch.Size([1, 16, 12, 12])
    """

    _num_spatial_dims = 2
    _convolve = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """The gradient of Conv3d with respect to its input, as a layer.

    >>> nn.ConvTranspose3d(4, 5, 3)(torch.zeros(2, 4, 3, 4, 5)).shape
    torch.Size([2, 5, 5, 6, 7])
    """

    _num_spatial_dims = 3
    _convolve = staticmethod(F.conv_transpose3d)


class _LazyConvMixin(LazyModuleMixin, _ConvNd):
    """A convolution whose ``in_channels`` comes from the first input; arguments as its class's, without the first."""

    def __init__(self, out_channels: int, *args: Any, **kwargs: Any) -> None:
        # The base class makes an empty layer; tensors without a shape replace its empty ones.
        super().__init__(0, 0, *args, **kwargs)
        device, dtype = self.weight.device, self.weight.dtype
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if self.bias is not None:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._get_in_channels(input)
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        materialize(self.weight, self._weight_shape())
        materialize(self.bias, (self.out_channels,))
        self.reset_parameters()

    def _get_in_channels(self, input: Tensor) -> int:
        unbatched = self._num_spatial_dims + 1
        if input.dim() not in (unbatched, unbatched + 1):
            raise RuntimeError(
                f"Expected {unbatched}D (unbatched) or {unbatched + 1}D (batched) input to {type(self).__name__}, "
                f"but got input of size: {input.shape}"
            )
        return input.shape[input.dim() - unbatched]


class LazyConv1d(_LazyConvMixin, Conv1d):
    """A Conv1d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConv1d(5, 2)(torch.ones(1, 4, 3)).shape
    torch.Size([1, 5, 2])
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvMixin, Conv2d):
    """A Conv2d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConv2d(5, 2)(torch.ones(1, 4, 3, 3)).shape
    torch.Size([1, 5, 2, 2])
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvMixin, Conv3d):
    """A Conv3d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConv3d(5, 2)(torch.ones(1, 4, 3, 3, 3)).shape
    torch.Size([1, 5, 2, 2, 2])
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvMixin, ConvTranspose1d):
    """A ConvTranspose1d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConvTranspose1d(5, 2)(torch.ones(1, 4, 3)).shape
    torch.Size([1, 5, 4])
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvMixin, ConvTranspose2d):
    """A ConvTranspose2d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConvTranspose2d(5, 2)(torch.ones(1, 4, 3, 3)).shape
    torch.Size([1, 5, 4, 4])
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvMixin, ConvTranspose3d):
    """A ConvTranspose3d whose ``in_channels`` is the channel count of the first input.

    >>> nn.LazyConvTranspose3d(5, 2)(torch.ones(1, 4, 3, 3, 3)).shape
    torch.Size([1, 5, 4, 4, 4])
    """

    cls_to_become = ConvTranspose3d
