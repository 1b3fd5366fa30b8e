"""Confusion matrices that accumulate over batches."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...dtypes import int64
from ...tensor import Tensor
from ..functional.classification.confusion import (
    check_binary_confusion,
    check_confusion_arguments,
    check_multiclass_confusion,
    check_multilabel_confusion,
    count_binary_confusion,
    count_multiclass_confusion,
    count_multilabel_confusion,
    normalized,
)
from ..functional.classification.inputs import check_size, check_threshold, size_for, task_of
from ..metric import Metric
from .base import TaskWrapper


class _ConfusionMetric(Metric):
    is_differentiable = False
    full_state_update = False
    confmat: Tensor

    def _set_up(
        self, shape: tuple[int, ...], normalize: str | None, ignore_index: int | None, validate_args: bool
    ) -> None:
        if validate_args:
            check_confusion_arguments(normalize, ignore_index)
        self.normalize = normalize
        self.ignore_index = ignore_index
        self.validate_args = validate_args
        self.add_state("confmat", ops.zeros(shape, dtype=int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        return normalized(self.confmat, self.normalize)


class BinaryConfusionMatrix(_ConfusionMetric):
    """The 2 x 2 matrix with the true class by row and the predicted one by column.

    >>> from rushlight.metrics.classification import BinaryConfusionMatrix
    >>> BinaryConfusionMatrix()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor([[1, 1],
            [0, 2]])
    """

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if validate_args:
            check_threshold(threshold)
        self.threshold = threshold
        self._set_up((2, 2), normalize, ignore_index, validate_args)

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.validate_args:
            check_binary_confusion(preds, target, self.ignore_index)
        self.confmat = self.confmat + count_binary_confusion(preds, target, self.threshold, self.ignore_index)


class MulticlassConfusionMatrix(_ConfusionMetric):
    """The C x C matrix with the true class by row and the predicted one by column.

    >>> from rushlight.metrics.classification import MulticlassConfusionMatrix
    >>> MulticlassConfusionMatrix(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor([[1, 0, 0],
            [0, 2, 1],
            [0, 0, 0]])
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if validate_args:
            check_size("num_classes", num_classes)
        self.num_classes = num_classes
        self._set_up((num_classes, num_classes), normalize, ignore_index, validate_args)

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.validate_args:
            check_multiclass_confusion(preds, target, self.num_classes, self.ignore_index)
        self.confmat = self.confmat + count_multiclass_confusion(preds, target, self.num_classes, self.ignore_index)


class MultilabelConfusionMatrix(_ConfusionMetric):
    """One 2 x 2 matrix for each label.

    >>> from rushlight.metrics.classification import MultilabelConfusionMatrix
    >>> MultilabelConfusionMatrix(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]])).flatten(1)
    tensor([[1, 0, 0, 2],
            [1, 1, 0, 1]])
    """

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if validate_args:
            check_size("num_labels", num_labels)
            check_threshold(threshold)
        self.num_labels = num_labels
        self.threshold = threshold
        self._set_up((num_labels, 2, 2), normalize, ignore_index, validate_args)

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.validate_args:
            check_multilabel_confusion(preds, target, self.num_labels, self.ignore_index)
        found = count_multilabel_confusion(preds, target, self.num_labels, self.threshold, self.ignore_index)
        self.confmat = self.confmat + found


class ConfusionMatrix(TaskWrapper):
    """The confusion matrix for any task.

    >>> from rushlight.metrics import ConfusionMatrix
    >>> metric = ConfusionMatrix(task="multiclass", num_classes=2)
    >>> metric(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    tensor([[1, 1],
            [0, 1]])
    """

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        num_labels: int | None = None,
        normalize: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = task_of(task)
        kwargs |= size_for(kind, num_classes, num_labels)
        kwargs |= {"normalize": normalize, "ignore_index": ignore_index, "validate_args": validate_args}
        if kind == "multiclass":
            return MulticlassConfusionMatrix(**kwargs)
        return (BinaryConfusionMatrix if kind == "binary" else MultilabelConfusionMatrix)(threshold=threshold, **kwargs)
