"""Batch normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ... import ops
from ...dtypes import int64
from .. import functional as F, init
from ..module import Module
from ..parameter import UninitializedBuffer, UninitializedParameter
from .lazy import LazyModuleMixin, materialize
from .utils import empty_parameter

if TYPE_CHECKING:
    from ...dtypes import dtype as DType
    from ...tensor import Tensor
    from .utils import DeviceLike


class _NormBase(Module):
    """Parameters and running statistics of batch and instance normalization."""

    _version = 2
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]
    _input_dims: ClassVar[tuple[int, ...]]  # the numbers of dimensions an input may have
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", empty_parameter(num_features, device, dtype) if affine else None)
        self.register_parameter("bias", empty_parameter(num_features, device, dtype) if affine and bias else None)
        statistics: dict[str, Tensor | None] = dict.fromkeys(("running_mean", "running_var", "num_batches_tracked"))
        if track_running_stats:
            statistics["running_mean"] = ops.zeros(num_features, device=device, dtype=dtype)
            statistics["running_var"] = ops.ones(num_features, device=device, dtype=dtype)
            statistics["num_batches_tracked"] = ops.tensor(0, device=device, dtype=int64)
        for name, buffer in statistics.items():
            self.register_buffer(name, buffer)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1, no batches."""
        for statistic, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if statistic is not None:
                statistic.fill_(start)

    def reset_parameters(self) -> None:
        """Forget the statistics; scale 1 and shift 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._input_dims:
            allowed = " or ".join(f"{dims}D" for dims in self._input_dims)
            raise ValueError(f"expected {allowed} input (got {input.dim()}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats:
            # Version 2 added num_batches_tracked.
            counter = self.num_batches_tracked
            if counter is None or counter.device.type == "meta":
                counter = ops.tensor(0, dtype=int64)
            state_dict.setdefault(prefix + "num_batches_tracked", counter)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class _BatchNorm(_NormBase):
    """The forward of BatchNorm1d, 2d and 3d, which differ only in the inputs they accept."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        # momentum=None asks for the plain mean over all batches seen.
        average_factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                average_factor = 1.0 / float(self.num_batches_tracked)
        # Without running statistics the batch's own are used, in training or not.
        use_batch_statistics = self.training or (self.running_mean is None and self.running_var is None)
        keep_running = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if keep_running else None,
            self.running_var if keep_running else None,
            self.weight,
            self.bias,
            use_batch_statistics,
            average_factor,
            self.eps,
        )


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """A normalization whose ``num_features`` is dimension 1 of the first input."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        # The base class makes an empty layer; tensors without a shape replace its empty ones.
        super().__init__(0, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias)
        if self.weight is not None:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
        if self.bias is not None:
            self.bias = UninitializedParameter(device=device, dtype=dtype)
        if self.track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
            materialize(tensor, (self.num_features,))
        self.reset_parameters()


class BatchNorm1d(_BatchNorm):
    """Normalize each feature of ``(N, C)`` or ``(N, C, L)`` over the batch (Ioffe and Szegedy, 2015).

    Training uses the batch's mean and biased variance and keeps running averages of mean and unbiased variance,
    which evaluation uses.

    >>> nn.BatchNorm1d(1)(torch.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.0000],
            [ 1.0000]])
    """

    _input_dims = (2, 3)


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A BatchNorm1d whose ``num_features`` comes from the first input.

    >>> nn.LazyBatchNorm1d()(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    cls_to_become = BatchNorm1d
    _input_dims = BatchNorm1d._input_dims


class BatchNorm2d(_BatchNorm):
    """Normalize each channel of ``(N, C, H, W)`` over the batch and the positions.

    >>> nn.BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _input_dims = (4,)


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A BatchNorm2d whose ``num_features`` comes from the first input.

    >>> nn.LazyBatchNorm2d()(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    cls_to_become = BatchNorm2d
    _input_dims = BatchNorm2d._input_dims


class BatchNorm3d(_BatchNorm):
    """Normalize each channel of ``(N, C, D, H, W)`` over the batch and the positions.

    >>> nn.BatchNorm3d(2)(torch.ones(1, 2, 2, 2, 2)).shape
    torch.Size([1, 2, 2, 2, 2])
    """

    _input_dims = (5,)


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A BatchNorm3d whose ``num_features`` comes from the first input.

    >>> nn.LazyBatchNorm3d()(torch.ones(1, 2, 2, 2, 2)).shape
    torch.Size([1, 2, 2, 2, 2])
    """

    cls_to_become = BatchNorm3d
    _input_dims = BatchNorm3d._input_dims
