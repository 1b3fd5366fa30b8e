"""Regression metrics as functions of one batch, and the sums of which they are made."""

from __future__ import annotations

import warnings

from ... import ops
from ...tensor import Tensor
from .classification.inputs import check_same_shape


def _columns(preds: Tensor, target: Tensor, num_outputs: int) -> tuple[Tensor, Tensor]:
    check_same_shape(preds, target)
    return (preds.reshape(-1), target.reshape(-1)) if num_outputs == 1 else (preds, target)


def squared_error_sum(preds: Tensor, target: Tensor, num_outputs: int) -> tuple[Tensor, int]:
    """The sum of squared errors (of each output), and how many errors that is."""
    preds, target = _columns(preds, target, num_outputs)
    difference = preds - target
    return (difference * difference).sum(dim=0), target.shape[0]


def absolute_error_sum(preds: Tensor, target: Tensor, num_outputs: int) -> tuple[Tensor, int]:
    """The sum of absolute errors (of each output), and how many errors that is."""
    preds, target = _columns(preds, target, num_outputs)
    return (preds - target).abs().sum(dim=0), target.shape[0]


def mean_of_squares(total: Tensor, count: int | Tensor, squared: bool) -> Tensor:
    return total / count if squared else (total / count).sqrt()


def mean_squared_error(preds: Tensor, target: Tensor, squared: bool = True, num_outputs: int = 1) -> Tensor:
    """The mean of the squared errors, or with ``squared=False`` its root.

    >>> from rushlight.metrics.functional import mean_squared_error
    >>> mean_squared_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    return mean_of_squares(*squared_error_sum(preds, target, num_outputs), squared)


def mean_absolute_error(preds: Tensor, target: Tensor, num_outputs: int = 1) -> Tensor:
    """The mean of the absolute errors."""
    total, count = absolute_error_sum(preds, target, num_outputs)
    return total / count


def r2_sums(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """Sums of the squared targets, of the targets and of the squared errors, and the number of samples."""
    check_same_shape(preds, target)
    if preds.ndim > 2:
        raise ValueError(
            "Expected both prediction and target to be 1D or 2D tensors,"
            f" but received tensors with dimension {preds.shape}"
        )
    error = target - preds
    return (target * target).sum(dim=0), target.sum(dim=0), (error * error).sum(dim=0), target.shape[0]


def check_adjusted(adjusted: int) -> None:
    if not isinstance(adjusted, int) or adjusted < 0:
        raise ValueError("`adjusted` parameter should be an integer larger or equal to 0.")


def r2_from_sums(
    squares: Tensor, total: Tensor, errors: Tensor, count: int | Tensor, adjusted: int, multioutput: str
) -> Tensor:
    """1 - errors / variance of each output, averaged as `multioutput` says."""
    if count < 2:
        raise ValueError("Needs at least two samples to calculate r2 score.")
    variance = squares - total * (total / count)
    zero = ops.zeros_like(errors)
    # A target that hardly varies leaves nothing to explain: 0, or 1 if there is no error either.
    wrong, varies = ~errors.isclose(zero, atol=1e-4), ~variance.isclose(zero, atol=1e-4)
    scores = ops.where(wrong, ops.where(varies, 1 - errors / variance, zero), ops.ones_like(errors))
    if multioutput == "raw_values":
        r2 = scores
    elif multioutput == "uniform_average":
        r2 = scores.mean()
    elif multioutput == "variance_weighted":
        r2 = (variance / variance.sum() * scores).sum()
    else:
        raise ValueError(
            "Argument `multioutput` must be either `raw_values`,"
            f" `uniform_average` or `variance_weighted`. Received {multioutput}."
        )
    check_adjusted(adjusted)
    if adjusted == 0:
        return r2
    if adjusted >= count - 1:
        reason = "More independent regressions than data points" if adjusted > count - 1 else "Division by zero"
        warnings.warn(f"{reason} in adjusted r2 score. Falls back to standard r2 score.", UserWarning, stacklevel=3)
        return r2
    return 1 - (1 - r2) * (count - 1) / (count - adjusted - 1)


def r2_score(preds: Tensor, target: Tensor, adjusted: int = 0, multioutput: str = "uniform_average") -> Tensor:
    """The part of the targets' variance that the predictions explain.

    >>> from rushlight.metrics.functional import r2_score
    >>> r2_score(torch.tensor([2.5, 0.0, 2.0, 8.0]), torch.tensor([3.0, -0.5, 2.0, 7.0]))
    tensor(0.9486)
    """
    return r2_from_sums(*r2_sums(preds, target), adjusted, multioutput)
