"""Regression metrics that accumulate over batches."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from .functional.regression import (
    absolute_error_sum,
    add_moments,
    check_adjusted,
    check_cosine,
    check_multioutput,
    cosine_of,
    explained_variance_of,
    mean_of_squares,
    no_moments,
    pearson_of,
    percentage_sum,
    r2_from_sums,
    r2_sums,
    squared_error_sum,
    squared_log_sum,
    symmetric_percentage_sum,
    variance_sums,
)
from .metric import Metric
from .utilities.data import dim_zero_cat


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
    """The mean of the absolute errors.

    >>> from rushlight.metrics import MeanAbsoluteError
    >>> MeanAbsoluteError()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.6667)
    """

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
    """The part of the targets' variance that the predictions explain.

    >>> from rushlight.metrics import R2Score
    >>> R2Score()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.7500)
    """

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
        check_multioutput(multioutput)
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


class MeanAbsolutePercentageError(Metric):
    """The mean of the errors relative to the targets.

    >>> from rushlight.metrics import MeanAbsolutePercentageError
    >>> MeanAbsolutePercentageError()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.1778)
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    sum_abs_per_error: Tensor
    total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sum_abs_per_error", default=ops.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", default=ops.tensor(0.0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        errors, count = percentage_sum(preds, target)
        self.sum_abs_per_error = self.sum_abs_per_error + errors
        self.total = self.total + count

    def compute(self) -> Tensor:
        return self.sum_abs_per_error / self.total


class SymmetricMeanAbsolutePercentageError(MeanAbsolutePercentageError):
    """The mean of the errors relative to the mean size of prediction and target.

    >>> from rushlight.metrics import SymmetricMeanAbsolutePercentageError
    >>> SymmetricMeanAbsolutePercentageError()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.2074)
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        errors, count = symmetric_percentage_sum(preds, target)
        self.sum_abs_per_error = self.sum_abs_per_error + errors
        self.total = self.total + count


class MeanSquaredLogError(Metric):
    """The mean of the squared differences of ``log(1 + x)``.

    >>> from rushlight.metrics import MeanSquaredLogError
    >>> MeanSquaredLogError()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.0387)
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    sum_squared_log_error: Tensor
    total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sum_squared_log_error", default=ops.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", default=ops.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        errors, count = squared_log_sum(preds, target)
        self.sum_squared_log_error = self.sum_squared_log_error + errors
        self.total = self.total + count

    def compute(self) -> Tensor:
        return self.sum_squared_log_error / self.total


class ExplainedVariance(Metric):
    """The part of the targets' variance that the predictions explain, whatever the mean error is.

    >>> from rushlight.metrics import ExplainedVariance
    >>> ExplainedVariance()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.9167)
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False

    _sums = ("num_obs", "sum_error", "sum_squared_error", "sum_target", "sum_squared_target")

    def __init__(self, multioutput: str = "uniform_average", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_multioutput(multioutput)
        self.multioutput = multioutput
        for name in self._sums:
            self.add_state(name, default=ops.tensor(0.0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        for name, value in zip(self._sums, variance_sums(preds, target), strict=True):
            setattr(self, name, getattr(self, name) + value)

    def compute(self) -> Tensor:
        count, error, squared_error, total, squares = (getattr(self, name) for name in self._sums)
        return explained_variance_of(count, error, squared_error, total, squares, self.multioutput)


class CosineSimilarity(Metric):
    """The cosines of the angles between rows, added up, averaged or one by one.

    >>> from rushlight.metrics import CosineSimilarity
    >>> CosineSimilarity(reduction="mean")(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(0.6000)
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    preds: list[Tensor]
    target: list[Tensor]

    def __init__(self, reduction: str | None = "sum", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        allowed = ("sum", "mean", "none", None)
        if reduction not in allowed:
            raise ValueError(f"Expected argument `reduction` to be one of {allowed} but got {reduction}")
        self.reduction = reduction
        self.add_state("preds", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        rows, wanted = check_cosine(preds, target)
        self.preds.append(rows)
        self.target.append(wanted)

    def compute(self) -> Tensor:
        return cosine_of(dim_zero_cat(self.preds), dim_zero_cat(self.target), self.reduction)


class PearsonCorrCoef(Metric):
    """Pearson's correlation of predictions and targets (of each output).

    >>> from rushlight.metrics import PearsonCorrCoef
    >>> PearsonCorrCoef()(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.9820)
    """

    is_differentiable = True
    higher_is_better = None  # both -1 and 1 are optimal
    full_state_update = True

    _moments = ("mean_x", "mean_y", "max_abs_dev_x", "max_abs_dev_y", "var_x", "var_y", "corr_xy", "n_total")

    def __init__(self, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_outputs, int) or num_outputs < 1:
            raise ValueError("Expected argument `num_outputs` to be an int larger than 0, but got {num_outputs}")
        self.num_outputs = num_outputs
        for name, nothing in zip(self._moments, no_moments(num_outputs), strict=True):
            self.add_state(name, default=nothing, dist_reduce_fx=None)

    def _seen(self) -> Any:
        return tuple(getattr(self, name) for name in self._moments)

    def update(self, preds: Tensor, target: Tensor) -> None:
        for name, value in zip(self._moments, add_moments(preds, target, self._seen(), self.num_outputs), strict=True):
            setattr(self, name, value)

    def compute(self) -> Tensor:
        return pearson_of(self._seen())
