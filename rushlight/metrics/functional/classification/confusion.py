"""Confusion matrices: how often which class was taken for which."""

from __future__ import annotations

import warnings

from .... import ops
from ....tensor import Tensor
from ...utilities.data import probabilities
from .inputs import (
    check_choice,
    check_class_shapes,
    check_class_values,
    check_ignore_index,
    check_label_dim,
    check_same_shape,
    check_size,
    check_threshold,
    check_zeros_and_ones,
    size_for,
    task_of,
)


def check_confusion_arguments(normalize: str | None, ignore_index: int | None) -> None:
    check_ignore_index(ignore_index)
    check_choice("normalize", normalize, ("true", "pred", "all", "none", None))


def normalized(confusion: Tensor, normalize: str | None) -> Tensor:
    """Counts as parts of the true class ("true"), of the predicted class ("pred") or of everything ("all")."""
    if normalize in (None, "none"):
        return confusion
    dims = {"true": [-1], "pred": [-2], "all": [-2, -1]}[normalize]
    confusion = confusion.float()
    confusion = confusion / confusion.sum(dim=dims, keepdim=True)
    missing = confusion.isnan()
    if missing.any():
        count = int(missing.sum())
        warnings.warn(
            f"{count} NaN values found in confusion matrix have been replaced with zeros.", UserWarning, stacklevel=3
        )
    return confusion.masked_fill(missing, 0)


def check_binary_confusion(preds: Tensor, target: Tensor, ignore_index: int | None) -> None:
    check_same_shape(preds, target)
    check_zeros_and_ones(preds, target, ignore_index)


def count_binary_confusion(preds: Tensor, target: Tensor, threshold: float, ignore_index: int | None) -> Tensor:
    preds, target = preds.flatten(), target.flatten()
    if ignore_index is not None:
        kept = target != ignore_index
        preds, target = preds[kept], target[kept]
    if preds.is_floating_point():
        preds = probabilities(preds) > threshold
    return ops.bincount((target * 2 + preds).long(), minlength=4).reshape(2, 2)


def binary_confusion_matrix(
    preds: Tensor,
    target: Tensor,
    threshold: float = 0.5,
    normalize: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The 2 x 2 matrix with the true class by row and the predicted one by column.

    >>> from rushlight.metrics.functional.classification import binary_confusion_matrix
    >>> binary_confusion_matrix(torch.tensor([0.2, 0.8, 0.6]), torch.tensor([0, 1, 0]))
    tensor([[1, 1],
            [0, 1]])
    """
    if validate_args:
        check_threshold(threshold)
        check_confusion_arguments(normalize, ignore_index)
        check_binary_confusion(preds, target, ignore_index)
    return normalized(count_binary_confusion(preds, target, threshold, ignore_index), normalize)


def check_multiclass_confusion(preds: Tensor, target: Tensor, num_classes: int, ignore_index: int | None) -> None:
    check_class_shapes(preds, target, num_classes)
    check_class_values(preds, target, num_classes, ignore_index)


def count_multiclass_confusion(preds: Tensor, target: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    if preds.ndim == target.ndim + 1:
        preds = preds.argmax(dim=1)
    preds, target = preds.flatten(), target.flatten()
    if ignore_index is not None:
        kept = target != ignore_index
        preds, target = preds[kept], target[kept]
    pairs = target.long() * num_classes + preds.long()
    return ops.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def multiclass_confusion_matrix(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    normalize: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The C x C matrix with the true class by row and the predicted one by column.

    >>> from rushlight.metrics.functional.classification import multiclass_confusion_matrix
    >>> multiclass_confusion_matrix(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), num_classes=3)
    tensor([[1, 0, 0],
            [0, 2, 1],
            [0, 0, 0]])
    """
    if validate_args:
        check_size("num_classes", num_classes)
        check_confusion_arguments(normalize, ignore_index)
        check_multiclass_confusion(preds, target, num_classes, ignore_index)
    return normalized(count_multiclass_confusion(preds, target, num_classes, ignore_index), normalize)


def check_multilabel_confusion(preds: Tensor, target: Tensor, num_labels: int, ignore_index: int | None) -> None:
    check_same_shape(preds, target)
    check_label_dim(preds, num_labels)
    check_zeros_and_ones(preds, target, ignore_index)


def count_multilabel_confusion(
    preds: Tensor, target: Tensor, num_labels: int, threshold: float, ignore_index: int | None
) -> Tensor:
    if preds.is_floating_point():
        preds = probabilities(preds) > threshold
    preds = preds.movedim(1, -1).reshape(-1, num_labels)
    target = target.movedim(1, -1).reshape(-1, num_labels)
    bins = 2 * target + preds + 4 * ops.arange(num_labels)
    bins = bins.flatten() if ignore_index is None else bins[target != ignore_index]
    return ops.bincount(bins.long(), minlength=4 * num_labels).reshape(num_labels, 2, 2)


def multilabel_confusion_matrix(
    preds: Tensor,
    target: Tensor,
    num_labels: int,
    threshold: float = 0.5,
    normalize: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """One 2 x 2 matrix for each label.

    >>> from rushlight.metrics.functional.classification import multilabel_confusion_matrix
    >>> multilabel_confusion_matrix(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]), num_labels=2).flatten(1)
    tensor([[1, 0, 0, 2],
            [1, 1, 0, 1]])
    """
    if validate_args:
        check_size("num_labels", num_labels)
        check_threshold(threshold)
        check_confusion_arguments(normalize, ignore_index)
        check_multilabel_confusion(preds, target, num_labels, ignore_index)
    return normalized(count_multilabel_confusion(preds, target, num_labels, threshold, ignore_index), normalize)


def confusion_matrix(
    preds: Tensor,
    target: Tensor,
    task: str,
    threshold: float = 0.5,
    num_classes: int | None = None,
    num_labels: int | None = None,
    normalize: str | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The confusion matrix for any task.

    >>> from rushlight.metrics.functional import confusion_matrix
    >>> confusion_matrix(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), task="binary")
    tensor([[1, 1],
            [0, 2]])
    """
    kind = task_of(task)
    size = size_for(kind, num_classes, num_labels)
    shared = {"normalize": normalize, "ignore_index": ignore_index, "validate_args": validate_args}
    if kind == "binary":
        return binary_confusion_matrix(preds, target, threshold, **shared)  # type: ignore[arg-type]
    if kind == "multiclass":
        return multiclass_confusion_matrix(preds, target, **size, **shared)  # type: ignore[arg-type]
    return multilabel_confusion_matrix(preds, target, threshold=threshold, **size, **shared)  # type: ignore[arg-type]
