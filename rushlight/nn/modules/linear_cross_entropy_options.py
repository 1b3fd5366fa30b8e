"""How ``F.linear_cross_entropy`` may trade memory for speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import dtypes

if TYPE_CHECKING:
    from ...dtypes import dtype as DType

_ACC_POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """Hints on chunking and accumulation; the value of the loss does not depend on them.

    ``batch_chunk_size`` rows are worked on at a time, or as many as ``chunking_method`` says (``"aspect_ratio:N"``).
    See https://pytorch.org/docs/stable/generated/torch.nn.LinearCrossEntropyOptions.html.

    >>> nn.LinearCrossEntropyOptions(batch_chunk_size=64).acc_policy
    'auto'
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in _ACC_POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            factor_is_valid = not colon or (factor.isdigit() and int(factor) > 0)
            if name != "aspect_ratio" or not factor_is_valid:
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        accumulators = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
        if self.acc_dtype is not None and self.acc_dtype not in accumulators:
            raise ValueError(
                "acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, torch.float64}, "
                f"got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )
