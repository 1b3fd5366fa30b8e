"""Scores of a confusion matrix as a whole: overlap of classes, and agreement beyond chance."""

from __future__ import annotations

import math
from typing import Any

from .... import ops
from ....dtypes import finfo, float32
from ....tensor import Tensor
from ...utilities.data import safe_divide
from .confusion import binary_confusion_matrix, multiclass_confusion_matrix, multilabel_confusion_matrix
from .inputs import check_choice, size_for, task_of

AVERAGES = ("micro", "macro", "weighted", "none", None)


def check_average(average: str | None) -> None:
    if average not in AVERAGES:
        raise ValueError(f"Expected argument `average` to be one of {AVERAGES}, but got {average}.")


def check_weights(weights: str | None) -> None:
    check_choice("weight", weights, ("linear", "quadratic", "none", None))


def jaccard_of(
    confusion: Tensor, average: str | None, ignore_index: int | None = None, zero_division: float = 0.0
) -> Tensor:
    """The intersection of each class's targets and predictions over their union, averaged as `average` says."""
    confusion = confusion.float()
    if average == "binary":
        return safe_divide(confusion[1, 1], confusion.sum() - confusion[0, 0], zero_division)
    if confusion.ndim == 3:
        common, support = confusion[:, 1, 1], confusion[:, 1].sum(-1)
        found = confusion[:, :, 1].sum(-1)
        occurs = ops.ones_like(common)
    else:
        common, support, found = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        occurs = (support + found != 0).float()
    union = support + found - common
    ignored = ignore_index is not None and 0 <= ignore_index < confusion.shape[0]
    if average == "micro":
        left_out = union[ignore_index] if ignored else 0.0
        return safe_divide(common.sum(), union.sum() - left_out, zero_division)
    score = safe_divide(common, union, zero_division)
    if average in ("none", None):
        return score
    if average == "macro":
        weights = occurs
        if ignored:
            weights = weights.index_fill(0, ops.tensor(ignore_index), 0.0)
    else:
        weights = support
    return (weights * score / weights.sum()).sum()


def kappa_of(confusion: Tensor, weights: str | None = None) -> Tensor:
    """1 less the weighted disagreement over that of chance (Cohen, 1960)."""
    confusion = confusion.float()
    classes = ops.arange(confusion.shape[0], dtype=confusion.dtype)
    apart = (classes - classes.unsqueeze(1)).abs()
    cost = {"linear": apart, "quadratic": apart.square()}.get(weights or "none", (apart != 0).float())
    by_chance = ops.outer(confusion.sum(1), confusion.sum(0)) / confusion.sum()
    return 1 - (cost * confusion).sum() / (cost * by_chance).sum()


def _degenerate_matthews(tn: Tensor, fp: Tensor, fn: Tensor, tp: Tensor) -> Tensor:
    """torchmetrics' value where a row or a column of a 2 x 2 matrix is empty: a limit, over a small denominator."""
    eps = finfo(float32).eps
    small = math.sqrt(eps)
    if fn == 0 and tn == 0:
        above = small * (tp - fp)
    elif fp == 0 and tn == 0:
        above = small * (tp - fn)
    elif tp == 0 and fn == 0:
        above = small * (tn - fp)
    elif tp == 0 and fp == 0:
        above = small * (tn - fn)
    else:
        return ops.tensor(0, dtype=tn.dtype)
    return above / ((tp + fp + eps) * (tp + fn + eps) * (tn + fp + eps) * (tn + fn + eps)).sqrt()


def matthews_of(confusion: Tensor) -> Tensor:
    """The correlation of targets and predictions (Gorodkin, 2004); labels are counted as one binary problem."""
    confusion = confusion.sum(0) if confusion.ndim == 3 else confusion
    kind = confusion.dtype
    if confusion.numel() == 4:
        tn, fp, fn, tp = confusion.reshape(-1)
        if (tp + tn == 0) != (fp + fn == 0):
            return ops.tensor(-1.0 if tp + tn == 0 else 1.0, dtype=kind)
    counts = confusion.float()
    support, found, total = counts.sum(-1), counts.sum(-2), counts.sum()
    covariance = counts.trace() * total - (support * found).sum()
    spread = (total**2 - (found * found).sum()) * (total**2 - (support * support).sum())
    if spread != 0:
        return covariance / spread.sqrt()
    return _degenerate_matthews(tn, fp, fn, tp) if confusion.numel() == 4 else ops.tensor(0, dtype=kind)


def binary_jaccard_index(
    preds: Tensor,
    target: Tensor,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """The intersection of class 1's targets and predictions over their union.

    >>> from rushlight.metrics.functional.classification import binary_jaccard_index
    >>> binary_jaccard_index(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.6667)
    """
    confusion = binary_confusion_matrix(preds, target, threshold, None, ignore_index, validate_args)
    return jaccard_of(confusion, "binary", zero_division=zero_division)


def multiclass_jaccard_index(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    average: str | None = "macro",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0.0,
) -> Tensor:
    """The intersection over union of each class, averaged as `average` says.

    >>> from rushlight.metrics.functional.classification import multiclass_jaccard_index
    >>> multiclass_jaccard_index(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), num_classes=3)
    tensor(0.5556)
    """
    if validate_args:
        check_average(average)
    confusion = multiclass_confusion_matrix(preds, target, num_classes, None, ignore_index, validate_args)
    return jaccard_of(confusion, average, ignore_index, zero_division)


def multilabel_jaccard_index(
    preds: Tensor,
    target: Tensor,
    num_labels: int,
    threshold: float = 0.5,
    average: str | None = "macro",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """The intersection over union of each label, averaged as `average` says.

    >>> from rushlight.metrics.functional.classification import multilabel_jaccard_index
    >>> multilabel_jaccard_index(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]), num_labels=2)
    tensor(0.7500)
    """
    if validate_args:
        check_average(average)
    confusion = multilabel_confusion_matrix(preds, target, num_labels, threshold, None, ignore_index, validate_args)
    return jaccard_of(confusion, average, ignore_index, zero_division)


def jaccard_index(
    preds: Tensor,
    target: Tensor,
    task: str,
    threshold: float = 0.5,
    num_classes: int | None = None,
    num_labels: int | None = None,
    average: str | None = "macro",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """The Jaccard index, or intersection over union, for any task.

    >>> from rushlight.metrics.functional import jaccard_index
    >>> jaccard_index(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), task="binary")
    tensor(0.5000)
    """
    kind = task_of(task)
    size: Any = size_for(kind, num_classes, num_labels)
    shared: Any = {"ignore_index": ignore_index, "validate_args": validate_args, "zero_division": zero_division}
    if kind == "binary":
        return binary_jaccard_index(preds, target, threshold, **shared)
    if kind == "multiclass":
        return multiclass_jaccard_index(preds, target, average=average, **size, **shared)
    return multilabel_jaccard_index(preds, target, threshold=threshold, average=average, **size, **shared)


def binary_cohen_kappa(
    preds: Tensor,
    target: Tensor,
    threshold: float = 0.5,
    weights: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """Cohen's kappa of two classes.

    >>> from rushlight.metrics.functional.classification import binary_cohen_kappa
    >>> binary_cohen_kappa(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5000)
    """
    if validate_args:
        check_weights(weights)
    return kappa_of(binary_confusion_matrix(preds, target, threshold, None, ignore_index, validate_args), weights)


def multiclass_cohen_kappa(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    weights: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """Cohen's kappa of many classes.

    >>> from rushlight.metrics.functional.classification import multiclass_cohen_kappa
    >>> multiclass_cohen_kappa(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), num_classes=3)
    tensor(0.5556)
    """
    if validate_args:
        check_weights(weights)
    return kappa_of(multiclass_confusion_matrix(preds, target, num_classes, None, ignore_index, validate_args), weights)


def without_labels(task: str) -> str:
    """The task, which must be one of classes that exclude each other."""
    if task not in ("binary", "multiclass"):
        raise ValueError(f"Invalid Classification: expected one of ['BINARY', 'MULTICLASS'], but got {task}.")
    return task


def cohen_kappa(
    preds: Tensor,
    target: Tensor,
    task: str,
    threshold: float = 0.5,
    num_classes: int | None = None,
    weights: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """Cohen's kappa: agreement beyond chance.

    >>> from rushlight.metrics.functional import cohen_kappa
    >>> cohen_kappa(torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]), task="binary")
    tensor(0.5000)
    """
    kind = without_labels(task)
    size: Any = size_for(kind, num_classes, None)
    shared: Any = {"weights": weights, "ignore_index": ignore_index, "validate_args": validate_args}
    if kind == "binary":
        return binary_cohen_kappa(preds, target, threshold, **shared)
    return multiclass_cohen_kappa(preds, target, **size, **shared)


def binary_matthews_corrcoef(
    preds: Tensor,
    target: Tensor,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The correlation of targets and predictions of two classes.

    >>> from rushlight.metrics.functional.classification import binary_matthews_corrcoef
    >>> binary_matthews_corrcoef(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5774)
    """
    return matthews_of(binary_confusion_matrix(preds, target, threshold, None, ignore_index, validate_args))


def multiclass_matthews_corrcoef(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The correlation of targets and predictions of many classes.

    >>> from rushlight.metrics.functional.classification import multiclass_matthews_corrcoef
    >>> multiclass_matthews_corrcoef(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), num_classes=3)
    tensor(0.6455)
    """
    return matthews_of(multiclass_confusion_matrix(preds, target, num_classes, None, ignore_index, validate_args))


def multilabel_matthews_corrcoef(
    preds: Tensor,
    target: Tensor,
    num_labels: int,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The correlation of targets and predictions over all labels.

    >>> from rushlight.metrics.functional.classification import multilabel_matthews_corrcoef
    >>> multilabel_matthews_corrcoef(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]), num_labels=2)
    tensor(0.7071)
    """
    return matthews_of(
        multilabel_confusion_matrix(preds, target, num_labels, threshold, None, ignore_index, validate_args)
    )


def matthews_corrcoef(
    preds: Tensor,
    target: Tensor,
    task: str,
    threshold: float = 0.5,
    num_classes: int | None = None,
    num_labels: int | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """Matthews' correlation coefficient for any task.

    >>> from rushlight.metrics.functional import matthews_corrcoef
    >>> matthews_corrcoef(torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]), task="binary")
    tensor(0.5774)
    """
    kind = task_of(task)
    size: Any = size_for(kind, num_classes, num_labels)
    shared: Any = {"ignore_index": ignore_index, "validate_args": validate_args}
    if kind == "binary":
        return binary_matthews_corrcoef(preds, target, threshold, **shared)
    if kind == "multiclass":
        return multiclass_matthews_corrcoef(preds, target, **size, **shared)
    return multilabel_matthews_corrcoef(preds, target, threshold=threshold, **size, **shared)
