"""Regression metrics as functions of one batch, and the sums of which they are made."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from ... import ops
from ...dtypes import finfo
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
    """The mean of the absolute errors.

    >>> from rushlight.metrics.functional import mean_absolute_error
    >>> mean_absolute_error(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.6667)
    """
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


#: What keeps a division by a target from being one by 0.
_EPSILON = 1.17e-06


def _percentage(preds: Tensor, target: Tensor) -> Tensor:
    return (preds - target).abs() / target.abs().clamp(min=_EPSILON)


def _symmetric_percentage(preds: Tensor, target: Tensor) -> Tensor:
    return 2 * (preds - target).abs() / (target.abs() + preds.abs()).clamp(min=_EPSILON)


def _squared_log(preds: Tensor, target: Tensor) -> Tensor:
    return (preds.log1p() - target.log1p()).square()


def _summed(error: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[Tensor, int]]:
    """The sum of an error over everything, and how many errors that is."""

    def total(preds: Tensor, target: Tensor) -> tuple[Tensor, int]:
        check_same_shape(preds, target)
        return error(preds, target).sum(), target.numel()

    return total


percentage_sum, symmetric_percentage_sum, squared_log_sum = map(_summed, (_percentage, _symmetric_percentage, _squared_log))


def mean_absolute_percentage_error(preds: Tensor, target: Tensor) -> Tensor:
    """The mean of the errors relative to the targets.

    >>> from rushlight.metrics.functional import mean_absolute_percentage_error
    >>> mean_absolute_percentage_error(torch.tensor([2.0, 3.0]), torch.tensor([4.0, 3.0]))
    tensor(0.2500)
    """
    total, count = percentage_sum(preds, target)
    return total / count


def symmetric_mean_absolute_percentage_error(preds: Tensor, target: Tensor) -> Tensor:
    """The mean of the errors relative to the mean size of prediction and target.

    >>> from rushlight.metrics.functional import symmetric_mean_absolute_percentage_error
    >>> symmetric_mean_absolute_percentage_error(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.2074)
    """
    total, count = symmetric_percentage_sum(preds, target)
    return total / count


def mean_squared_log_error(preds: Tensor, target: Tensor) -> Tensor:
    """The mean of the squared differences of ``log(1 + x)``.

    >>> from rushlight.metrics.functional import mean_squared_log_error
    >>> mean_squared_log_error(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0]))
    tensor(0.0387)
    """
    total, count = squared_log_sum(preds, target)
    return total / count


MULTIOUTPUT = ("raw_values", "uniform_average", "variance_weighted")


def check_multioutput(multioutput: str) -> None:
    if multioutput not in MULTIOUTPUT:
        raise ValueError(f"Invalid input to argument `multioutput`. Choose one of the following: {MULTIOUTPUT}")


def variance_sums(preds: Tensor, target: Tensor) -> tuple[int, Tensor, Tensor, Tensor, Tensor]:
    """The number of samples, and the sums of errors, squared errors, targets and squared targets."""
    check_same_shape(preds, target)
    error = target - preds
    return preds.shape[0], error.sum(0), (error * error).sum(0), target.sum(0), (target * target).sum(0)


def explained_variance_of(
    count: int | Tensor, error: Tensor, squared_error: Tensor, total: Tensor, squares: Tensor, multioutput: str
) -> Tensor:
    """1 - the variance of the errors over that of the targets, averaged over outputs as `multioutput` says."""
    unexplained = squared_error / count - (error / count).square()
    variance = squares / count - (total / count).square()
    scores = ops.where(variance != 0, 1 - unexplained / variance, ops.zeros_like(variance))
    scores = ops.where(unexplained != 0, scores, ops.ones_like(scores))
    if multioutput == "raw_values":
        return scores
    return scores.mean() if multioutput == "uniform_average" else (variance / variance.sum() * scores).sum()


def explained_variance(preds: Tensor, target: Tensor, multioutput: str = "uniform_average") -> Tensor:
    """The part of the targets' variance that the predictions explain, whatever the mean error is.

    >>> from rushlight.metrics.functional import explained_variance
    >>> explained_variance(torch.tensor([2.5, 0.0, 2.0, 8.0]), torch.tensor([3.0, -0.5, 2.0, 7.0]))
    tensor(0.9572)
    """
    check_multioutput(multioutput)
    return explained_variance_of(*variance_sums(preds, target), multioutput)


def check_cosine(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32 rows of vectors."""
    check_same_shape(preds, target)
    if preds.ndim != 2:
        raise ValueError(
            "Expected input to cosine similarity to be 2D tensors of shape `[N,D]` where `N` is the number of samples"
            f" and `D` is the number of dimensions, but got tensor of shape {preds.shape}"
        )
    return preds.float(), target.float()


def cosine_of(preds: Tensor, target: Tensor, reduction: str | None) -> Tensor:
    found = (preds * target).sum(-1) / (preds.norm(dim=-1) * target.norm(dim=-1))
    return {"sum": found.sum, "mean": found.mean}.get(reduction or "none", lambda: found)()


def cosine_similarity(preds: Tensor, target: Tensor, reduction: str | None = "sum") -> Tensor:
    """The cosines of the angles between rows, added up, averaged or one by one.

    >>> from rushlight.metrics.functional import cosine_similarity
    >>> cosine_similarity(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.0], [1.0, -1.0]]), None)
    tensor([1., 0.])
    """
    return cosine_of(*check_cosine(preds, target), reduction)


#: Of predictions and of targets: means, the largest distances from them, sums of squared distances; sums of products; the number of samples.
Moments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def add_moments(preds: Tensor, target: Tensor, before: Moments, num_outputs: int) -> Moments:
    """The moments of what was seen before and of one batch more (Chan, Golub and LeVeque, 1983)."""
    check_same_shape(preds, target)
    if preds.ndim > 2 or target.ndim > 2:
        raise ValueError(
            "Expected both predictions and target to be either 1- or 2-dimensional tensors,"
            f" but got {target.ndim} and {preds.ndim}."
        )
    if (num_outputs == 1 and preds.ndim != 1) or (num_outputs > 1 and num_outputs != preds.shape[-1]):
        raise ValueError(
            f"Expected argument `num_outputs` to match the second dimension of input, but got {num_outputs}"
            f" and {preds.shape[1]}."
        )
    mean_x, mean_y, far_x, far_y, var_x, var_y, cov, seen = before
    count = preds.shape[0]
    total = seen + count
    shift_x, shift_y = preds.mean(0) - mean_x, target.mean(0) - mean_y
    mean_x, mean_y = mean_x + shift_x * count / total, mean_y + shift_y * count / total
    x, y = preds - preds.mean(0), target - target.mean(0)
    apart = seen * count / total
    return (
        mean_x,
        mean_y,
        ops.maximum(far_x, (preds - mean_x).abs().amax(0)),
        ops.maximum(far_y, (target - mean_y).abs().amax(0)),
        var_x + (x * x).sum(0) + shift_x.square() * apart,
        var_y + (y * y).sum(0) + shift_y.square() * apart,
        cov + (x * y).sum(0) + shift_x * shift_y * apart,
        total,
    )


def no_moments(num_outputs: int) -> Moments:
    nothing = ops.zeros(num_outputs)
    return (nothing,) * 8  # type: ignore[return-value]


def pearson_of(moments: Moments) -> Tensor:
    """The covariance over the deviations, nan where one is next to nothing."""
    _, _, far_x, far_y, var_x, var_y, cov, count = moments
    var_x, var_y = var_x / (count - 1) / far_x.square(), var_y / (count - 1) / far_y.square()
    cov = cov / (count - 1) / (far_x * far_y)
    bound = math.sqrt(finfo(var_x.dtype).eps)
    sound = (var_x >= bound) & (var_y >= bound) & var_x.isfinite() & var_y.isfinite() & cov.isfinite()
    if not sound.all():
        warnings.warn(
            "The variance of predictions or target is close to zero. This can cause instability in Pearson correlation"
            "coefficient, leading to wrong results. Consider re-scaling the input if possible or computing using a"
            f"larger dtype (currently using {var_x.dtype}). Setting the correlation coefficient to nan.",
            UserWarning,
            stacklevel=3,
        )
    found = (cov / (var_x * var_y).sqrt()).clamp(-1.0, 1.0)
    return ops.where(sound, found, ops.full_like(found, math.nan)).squeeze()


def pearson_corrcoef(preds: Tensor, target: Tensor) -> Tensor:
    """Pearson's correlation of predictions and targets (of each output).

    >>> from rushlight.metrics.functional import pearson_corrcoef
    >>> pearson_corrcoef(torch.tensor([2.5, 0.0, 2.0, 8.0]), torch.tensor([3.0, -0.5, 2.0, 7.0]))
    tensor(0.9849)
    """
    outputs = 1 if preds.ndim == 1 else preds.shape[-1]
    return pearson_of(add_moments(preds, target, no_moments(outputs), outputs))
