"""Regression metrics that accumulate over batches."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from .functional.regression import (
    absolute_error_sum,
    check_adjusted,
    mean_of_squares,
    r2_from_sums,
    r2_sums,
    squared_error_sum,
)
from .metric import Metric


def _check_num_outputs(num_outputs: int) -> None:
    if not (isinstance(num_outputs, int) and num_outputs > 0):
        raise ValueError(f"Expected num_outputs to be a positive integer but got {num_outputs}")


class MeanSquaredError(Metric):
    """The mean of the squared errors, or with ``squared=False`` its root.

    >>> from rushlight.metrics import MeanSquaredError
    >>> metric = MeanSquaredError(squared=False)
    >>> metric(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0]))
    tensor(1.4142)
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    sum_squared_error: Tensor
    total: Tensor

    def __init__(self, squared: bool = True, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(squared, bool):
            raise ValueError(f"Expected argument `squared` to be a boolean but got {squared}")
        _check_num_outputs(num_outputs)
        self.squared = squared
        self.num_outputs = num_outputs
        self.add_state("sum_squared_error", default=ops.zeros(num_outputs), dist_reduce_fx="sum")
        self.add_state("total", default=ops.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        errors, count = squared_error_sum(preds, target, self.num_outputs)
        self.sum_squared_error = self.sum_squared_error + errors
        self.total = self.total + count

    def compute(self) -> Tensor:
        return mean_of_squares(self.sum_squared_error, self.total, self.squared)


class MeanAbsoluteError(Metric):
    """The mean of the absolute errors."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    sum_abs_error: Tensor
    total: Tensor

    def __init__(self, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_num_outputs(num_outputs)
        self.num_outputs = num_outputs
        self.add_state("sum_abs_error", default=ops.zeros(num_outputs), dist_reduce_fx="sum")
        self.add_state("total", default=ops.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        errors, count = absolute_error_sum(preds, target, self.num_outputs)
        self.sum_abs_error = self.sum_abs_error + errors
        self.total = self.total + count

    def compute(self) -> Tensor:
        return self.sum_abs_error / self.total


class R2Score(Metric):
    """The part of the targets' variance that the predictions explain."""

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    sum_squared_error: Tensor
    sum_error: Tensor
    residual: Tensor
    total: Tensor

    def __init__(self, adjusted: int = 0, multioutput: str = "uniform_average", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_adjusted(adjusted)
        allowed = ("raw_values", "uniform_average", "variance_weighted")
        if multioutput not in allowed:
            raise ValueError(f"Invalid input to argument `multioutput`. Choose one of the following: {allowed}")
        self.adjusted = adjusted
        self.multioutput = multioutput
        for name in ("sum_squared_error", "sum_error", "residual"):
            self.add_state(name, default=ops.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", default=ops.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        squares, total, errors, count = r2_sums(preds, target)
        self.sum_squared_error = self.sum_squared_error + squares
        self.sum_error = self.sum_error + total
        self.residual = self.residual + errors
        self.total = self.total + count

    def compute(self) -> Tensor:
        return r2_from_sums(
            self.sum_squared_error, self.sum_error, self.residual, self.total, self.adjusted, self.multioutput
        )
