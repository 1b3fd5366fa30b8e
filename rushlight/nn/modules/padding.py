"""Padding layers over one, two and three spatial dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .. import functional as F
from ..module import Module
from .utils import _ntuple

if TYPE_CHECKING:
    from ...tensor import Tensor
    from .utils import Sizes


class _PadNd(Module):
    """Padding by a fixed rule: one width for all sides, or ``(left, right)`` from the last dimension backwards."""

    __constants__ = ["padding"]
    _num_spatial_dims: ClassVar[int]
    _mode: ClassVar[str]
    padding: tuple[int, ...]

    def __init__(self, padding: Sizes) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._num_spatial_dims)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        unbatched = self._num_spatial_dims + 1
        if input.dim() not in (unbatched, unbatched + 1):
            raise ValueError(f"expected {unbatched}D or {unbatched + 1}D input (got {input.dim()}D input)")
        return super().forward(input)


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class _ConstantPadNd(_PadNd):
    __constants__ = ["padding", "value"]
    value: float

    def __init__(self, padding: Sizes, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: Sizes) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class CircularPad1d(_CircularPadNd):
    """Pad ``(N, C, W)`` or ``(C, W)`` with values from the opposite side.

    >>> nn.CircularPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 1., 2., 3., 1.]])
    """

    _num_spatial_dims = 1


class CircularPad2d(_CircularPadNd):
    """Pad ``(N, C, H, W)`` or ``(C, H, W)`` with values from the opposite side.

    >>> nn.CircularPad2d((1, 1, 2, 0))(torch.ones(1, 1, 3, 3)).shape
    torch.Size([1, 1, 5, 5])
    """

    _num_spatial_dims = 2


class CircularPad3d(_CircularPadNd):
    """Pad ``(N, C, D, H, W)`` or ``(C, D, H, W)`` with values from the opposite side.

    >>> nn.CircularPad3d(1)(torch.ones(1, 1, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 5, 6])
    """

    _num_spatial_dims = 3


class ConstantPad1d(_ConstantPadNd):
    """Pad the last dimension with ``value``.

    >>> nn.ConstantPad1d(1, 7.0)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[7., 1., 2., 3., 7.]])
    """

    _num_spatial_dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Pad the last two dimensions with ``value``.

    >>> nn.ConstantPad2d((1, 1, 2, 0), 3.5)(torch.ones(1, 1, 3, 3)).shape
    torch.Size([1, 1, 5, 5])
    """

    _num_spatial_dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Pad the last three dimensions with ``value``.

    >>> nn.ConstantPad3d(1, 3.5)(torch.ones(1, 1, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 5, 6])
    """

    _num_spatial_dims = 3


class ReflectionPad1d(_ReflectionPadNd):
    """Pad ``(N, C, W)`` or ``(C, W)`` with the mirror image of the input, the edge not repeated.

    >>> nn.ReflectionPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 1., 2., 3., 2.]])
    """

    _num_spatial_dims = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pad ``(N, C, H, W)`` or ``(C, H, W)`` with the mirror image of the input, the edge not repeated.

    >>> nn.ReflectionPad2d((1, 1, 2, 0))(torch.ones(1, 1, 3, 3)).shape
    torch.Size([1, 1, 5, 5])
    """

    _num_spatial_dims = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pad ``(N, C, D, H, W)`` or ``(C, D, H, W)`` with the mirror image of the input, the edge not repeated.

    >>> nn.ReflectionPad3d(1)(torch.ones(1, 1, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 5, 6])
    """

    _num_spatial_dims = 3


class ReplicationPad1d(_ReplicationPadNd):
    """Pad ``(N, C, W)`` or ``(C, W)`` with copies of the edge.

    >>> nn.ReplicationPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 1., 2., 3., 3.]])
    """

    _num_spatial_dims = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pad ``(N, C, H, W)`` or ``(C, H, W)`` with copies of the edge.

    >>> nn.ReplicationPad2d((1, 1, 2, 0))(torch.ones(1, 1, 3, 3)).shape
    torch.Size([1, 1, 5, 5])
    """

    _num_spatial_dims = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pad ``(N, C, D, H, W)`` or ``(C, D, H, W)`` with copies of the edge.

    >>> nn.ReplicationPad3d(1)(torch.ones(1, 1, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 5, 6])
    """

    _num_spatial_dims = 3


class ZeroPad1d(_ZeroPadNd, ConstantPad1d):
    """Pad the last dimension with zeros.

    >>> nn.ZeroPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[0., 1., 2., 3., 0.]])
    """

    _num_spatial_dims = 1


class ZeroPad2d(_ZeroPadNd, ConstantPad2d):
    """Pad the last two dimensions with zeros.

    >>> nn.ZeroPad2d((1, 1, 2, 0))(torch.ones(1, 1, 3, 3)).shape
    torch.Size([1, 1, 5, 5])
    """

    _num_spatial_dims = 2


class ZeroPad3d(_ZeroPadNd, ConstantPad3d):
    """Pad the last three dimensions with zeros.

    >>> nn.ZeroPad3d(1)(torch.ones(1, 1, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 5, 6])
    """

    _num_spatial_dims = 3
