"""Overlap of classes, and agreement beyond chance, accumulated over batches as a confusion matrix."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from ..functional.classification.agreement import (
    check_average,
    check_weights,
    jaccard_of,
    kappa_of,
    matthews_of,
    without_labels,
)
from ..functional.classification.inputs import size_for, task_of
from ..metric import Metric
from .base import TaskWrapper
from .confusion import BinaryConfusionMatrix, MulticlassConfusionMatrix, MultilabelConfusionMatrix


class BinaryJaccardIndex(BinaryConfusionMatrix):
    """The intersection of class 1's targets and predictions over their union.

    >>> from rushlight.metrics.classification import BinaryJaccardIndex
    >>> BinaryJaccardIndex()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.6667)
    """

    higher_is_better = True

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)
        self.zero_division = zero_division

    def compute(self) -> Tensor:
        return jaccard_of(self.confmat, "binary", zero_division=self.zero_division)


class MulticlassJaccardIndex(MulticlassConfusionMatrix):
    """The intersection over union of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassJaccardIndex
    >>> MulticlassJaccardIndex(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.5556)
    """

    higher_is_better = True

    def __init__(
        self,
        num_classes: int,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)
        if validate_args:
            check_average(average)
        self.average = average
        self.zero_division = zero_division

    def compute(self) -> Tensor:
        return jaccard_of(self.confmat, self.average, self.ignore_index, self.zero_division)


class MultilabelJaccardIndex(MultilabelConfusionMatrix):
    """The intersection over union of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelJaccardIndex
    >>> MultilabelJaccardIndex(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.7500)
    """

    higher_is_better = True

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, threshold, ignore_index, None, validate_args, **kwargs)
        if validate_args:
            check_average(average)
        self.average = average
        self.zero_division = zero_division

    def compute(self) -> Tensor:
        return jaccard_of(self.confmat, self.average, self.ignore_index, self.zero_division)


class JaccardIndex(TaskWrapper):
    """The Jaccard index, or intersection over union, for any task.

    >>> from rushlight.metrics import JaccardIndex
    >>> JaccardIndex(task="binary")(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    tensor(0.5000)
    """

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = task_of(task)
        kwargs |= size_for(kind, num_classes, num_labels)
        kwargs |= {"ignore_index": ignore_index, "validate_args": validate_args}
        if kind == "binary":
            return BinaryJaccardIndex(threshold, **kwargs)
        if kind == "multiclass":
            return MulticlassJaccardIndex(average=average, **kwargs)
        return MultilabelJaccardIndex(threshold=threshold, average=average, **kwargs)


class BinaryCohenKappa(BinaryConfusionMatrix):
    """Cohen's kappa of two classes.

    >>> from rushlight.metrics.classification import BinaryCohenKappa
    >>> BinaryCohenKappa()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5000)
    """

    higher_is_better = True

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        weights: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)
        if validate_args:
            check_weights(weights)
        self.weights = weights

    def compute(self) -> Tensor:
        return kappa_of(self.confmat, self.weights)


class MulticlassCohenKappa(MulticlassConfusionMatrix):
    """Cohen's kappa of many classes.

    >>> from rushlight.metrics.classification import MulticlassCohenKappa
    >>> MulticlassCohenKappa(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.5556)
    """

    higher_is_better = True

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        weights: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)
        if validate_args:
            check_weights(weights)
        self.weights = weights

    def compute(self) -> Tensor:
        return kappa_of(self.confmat, self.weights)


class CohenKappa(TaskWrapper):
    """Cohen's kappa: agreement beyond chance.

    >>> from rushlight.metrics import CohenKappa
    >>> CohenKappa(task="binary")(torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]))
    tensor(0.5000)
    """

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        weights: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = without_labels(task)
        kwargs |= size_for(kind, num_classes, None)
        kwargs |= {"weights": weights, "ignore_index": ignore_index, "validate_args": validate_args}
        return BinaryCohenKappa(threshold, **kwargs) if kind == "binary" else MulticlassCohenKappa(**kwargs)


class BinaryMatthewsCorrCoef(BinaryConfusionMatrix):
    """The correlation of targets and predictions of two classes.

    >>> from rushlight.metrics.classification import BinaryMatthewsCorrCoef
    >>> BinaryMatthewsCorrCoef()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5774)
    """

    higher_is_better = True

    def __init__(
        self, threshold: float = 0.5, ignore_index: int | None = None, validate_args: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)

    def compute(self) -> Tensor:
        return matthews_of(self.confmat)


class MulticlassMatthewsCorrCoef(MulticlassConfusionMatrix):
    """The correlation of targets and predictions of many classes.

    >>> from rushlight.metrics.classification import MulticlassMatthewsCorrCoef
    >>> MulticlassMatthewsCorrCoef(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.6455)
    """

    higher_is_better = True

    def __init__(
        self, num_classes: int, ignore_index: int | None = None, validate_args: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)

    def compute(self) -> Tensor:
        return matthews_of(self.confmat)


class MultilabelMatthewsCorrCoef(MultilabelConfusionMatrix):
    """The correlation of targets and predictions over all labels.

    >>> from rushlight.metrics.classification import MultilabelMatthewsCorrCoef
    >>> MultilabelMatthewsCorrCoef(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.7071)
    """

    higher_is_better = True

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, threshold, ignore_index, None, validate_args, **kwargs)

    def compute(self) -> Tensor:
        return matthews_of(self.confmat)


class MatthewsCorrCoef(TaskWrapper):
    """Matthews' correlation coefficient for any task.

    >>> from rushlight.metrics import MatthewsCorrCoef
    >>> MatthewsCorrCoef(task="binary")(torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]))
    tensor(0.5774)
    """

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        num_labels: int | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = task_of(task)
        kwargs |= size_for(kind, num_classes, num_labels)
        kwargs |= {"ignore_index": ignore_index, "validate_args": validate_args}
        if kind == "binary":
            return BinaryMatthewsCorrCoef(threshold, **kwargs)
        if kind == "multiclass":
            return MulticlassMatthewsCorrCoef(**kwargs)
        return MultilabelMatthewsCorrCoef(threshold=threshold, **kwargs)
