"""What losses share: the reduction, and weights kept as a buffer."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from ...module import Module

if TYPE_CHECKING:
    from ....tensor import Tensor


class _Loss(Module):
    """A loss and its reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    ``size_average`` and ``reduce`` are the deprecated way to say it.
    """

    reduction: str

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = "mean" if reduce is None or reduce else "none"
            if reduction == "mean" and size_average is not None and not size_average:
                reduction = "sum"
            warnings.warn(
                f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                stacklevel=3,
            )
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss with an optional ``weight``, kept as a buffer."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
