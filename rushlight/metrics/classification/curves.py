"""Curves over all thresholds and the areas under them, accumulated over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ... import ops
from ...dtypes import int64
from ...tensor import Tensor
from ..functional.classification.curve_tasks import (
    BinaryCurveTask,
    CurveTask,
    MulticlassCurveTask,
    MultilabelCurveTask,
    State,
    Thresholds,
    threshold_tensor,
)
from ..functional.classification.curves import (
    AREA_AVERAGES,
    auroc_of,
    average_precision_of,
    check_max_fpr,
    precision_recall_of,
    roc_of,
)
from ..functional.classification.inputs import size_for, task_of
from ..metric import Metric
from ..utilities.data import dim_zero_cat
from .base import TaskWrapper


class _CurveMetric(Metric):
    """All scores and targets seen, or, given thresholds, a confusion matrix for each; and what is computed of them."""

    is_differentiable = False
    full_state_update = False
    value: ClassVar[Callable[..., Any]]
    preds: list[Tensor]
    target: list[Tensor]
    confmat: Tensor

    def _set_up(self, task: CurveTask, validate_args: bool) -> None:
        if validate_args:
            is_area = type(self).value in (auroc_of, average_precision_of)
            task.check_arguments(*([AREA_AVERAGES[type(task)]] if is_area else []))
        self.validate_args = validate_args
        self.ignore_index = task.ignore_index
        task.thresholds = threshold_tensor(task.thresholds)
        self.task = task
        self.register_buffer("thresholds", task.thresholds, persistent=False)
        if task.thresholds is None:
            self.add_state("preds", default=[], dist_reduce_fx="cat")
            self.add_state("target", default=[], dist_reduce_fx="cat")
            return
        pooled = isinstance(task, BinaryCurveTask) or (
            isinstance(task, MulticlassCurveTask) and task.average == "micro"
        )
        classes = () if pooled else (task.classes,)
        shape = (len(task.thresholds), *classes, 2, 2)  # type: ignore[arg-type]
        self.add_state("confmat", default=ops.zeros(shape, dtype=int64), dist_reduce_fx="sum")  # type: ignore[arg-type]

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.validate_args:
            self.task.check(preds, target)
        state = self.task.state(preds, target)
        if isinstance(state, Tensor):
            self.confmat = self.confmat + state
        else:
            self.preds.append(state[0])
            self.target.append(state[1])

    def _state(self) -> State:
        return (dim_zero_cat(self.preds), dim_zero_cat(self.target)) if self.thresholds is None else self.confmat

    def compute(self) -> Any:
        return type(self).value(self.task, self._state())


class _BinaryCurveMetric(_CurveMetric):
    def __init__(
        self, thresholds: Thresholds = None, ignore_index: int | None = None, validate_args: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(BinaryCurveTask(thresholds, ignore_index), validate_args)


class _MulticlassCurveMetric(_CurveMetric):
    def __init__(
        self,
        num_classes: int,
        thresholds: Thresholds = None,
        average: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.average = average
        self._set_up(MulticlassCurveTask(thresholds, ignore_index, average, num_classes), validate_args)


class _MultilabelCurveMetric(_CurveMetric):
    def __init__(
        self,
        num_labels: int,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self._set_up(MultilabelCurveTask(thresholds, ignore_index, None, num_labels), validate_args)


class _MulticlassAreaMetric(_CurveMetric):
    higher_is_better = True

    def __init__(
        self,
        num_classes: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.average = average
        self._set_up(MulticlassCurveTask(thresholds, ignore_index, average, num_classes), validate_args)


class _MultilabelAreaMetric(_CurveMetric):
    higher_is_better = True

    def __init__(
        self,
        num_labels: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.average = average
        self._set_up(MultilabelCurveTask(thresholds, ignore_index, average, num_labels), validate_args)


class BinaryROC(_BinaryCurveMetric):
    """False and true positive rates, and their thresholds.

    >>> from rushlight.metrics.classification import BinaryROC
    >>> BinaryROC(thresholds=3)(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    (tensor([0., 0., 1.]), tensor([0.0000, 0.5000, 1.0000]), tensor([1.0000, 0.5000, 0.0000]))
    """

    value = staticmethod(roc_of)


class MulticlassROC(_MulticlassCurveMetric):
    """False and true positive rates of each class against the others, and their thresholds.

    >>> from rushlight.metrics.classification import MulticlassROC
    >>> preds = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    >>> [part.shape for part in MulticlassROC(num_classes=3, thresholds=3)(preds, torch.tensor([0, 1, 2, 2]))]
    [torch.Size([3, 3]), torch.Size([3, 3]), torch.Size([3])]
    """

    value = staticmethod(roc_of)


class MultilabelROC(_MultilabelCurveMetric):
    """False and true positive rates of each label, and their thresholds.

    >>> from rushlight.metrics.classification import MultilabelROC
    >>> preds = torch.tensor([[0.2, 0.7], [0.8, 0.6], [0.9, 0.3]])
    >>> [part.shape for part in MultilabelROC(num_labels=2, thresholds=3)(preds, torch.tensor([[0, 0], [1, 1], [1, 0]]))]
    [torch.Size([2, 3]), torch.Size([2, 3]), torch.Size([3])]
    """

    value = staticmethod(roc_of)


class BinaryPrecisionRecallCurve(_BinaryCurveMetric):
    """Precision, recall, and their thresholds.

    >>> from rushlight.metrics.classification import BinaryPrecisionRecallCurve
    >>> BinaryPrecisionRecallCurve(thresholds=3)(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    (tensor([0.5000, 1.0000,    nan, 1.0000]), tensor([1.0000, 0.5000, 0.0000, 0.0000]), tensor([0.0000, 0.5000, 1.0000]))
    """

    value = staticmethod(precision_recall_of)


class MulticlassPrecisionRecallCurve(_MulticlassCurveMetric):
    """Precision and recall of each class against the others, and their thresholds.

    >>> from rushlight.metrics.classification import MulticlassPrecisionRecallCurve
    >>> preds = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    >>> [part.shape for part in MulticlassPrecisionRecallCurve(num_classes=3, thresholds=3)(preds, torch.tensor([0, 1, 2, 2]))]
    [torch.Size([3, 4]), torch.Size([3, 4]), torch.Size([3])]
    """

    value = staticmethod(precision_recall_of)


class MultilabelPrecisionRecallCurve(_MultilabelCurveMetric):
    """Precision and recall of each label, and their thresholds.

    >>> from rushlight.metrics.classification import MultilabelPrecisionRecallCurve
    >>> preds = torch.tensor([[0.2, 0.7], [0.8, 0.6], [0.9, 0.3]])
    >>> [part.shape for part in MultilabelPrecisionRecallCurve(num_labels=2, thresholds=3)(preds, torch.tensor([[0, 0], [1, 1], [1, 0]]))]
    [torch.Size([2, 4]), torch.Size([2, 4]), torch.Size([3])]
    """

    value = staticmethod(precision_recall_of)


class BinaryAUROC(_CurveMetric):
    """The area under the ROC curve, with `max_fpr` only up to there.

    >>> from rushlight.metrics.classification import BinaryAUROC
    >>> BinaryAUROC()(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.7500)
    """

    higher_is_better = True
    value = staticmethod(auroc_of)

    def __init__(
        self,
        max_fpr: float | None = None,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if validate_args:
            check_max_fpr(max_fpr)
        self.max_fpr = max_fpr
        self._set_up(BinaryCurveTask(thresholds, ignore_index), validate_args)

    def compute(self) -> Tensor:
        return auroc_of(self.task, self._state(), self.max_fpr)


class MulticlassAUROC(_MulticlassAreaMetric):
    """The area under each class's ROC curve, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassAUROC
    >>> preds = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    >>> MulticlassAUROC(num_classes=3)(preds, torch.tensor([0, 1, 2, 2]))
    tensor(0.9583)
    """

    value = staticmethod(auroc_of)


class MultilabelAUROC(_MultilabelAreaMetric):
    """The area under each label's ROC curve, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelAUROC
    >>> preds = torch.tensor([[0.2, 0.7], [0.8, 0.6], [0.9, 0.3]])
    >>> MultilabelAUROC(num_labels=2)(preds, torch.tensor([[0, 0], [1, 1], [1, 0]]))
    tensor(0.7500)
    """

    value = staticmethod(auroc_of)


class BinaryAveragePrecision(_BinaryCurveMetric):
    """The mean of the precisions, each weighted by the recall that it adds.

    >>> from rushlight.metrics.classification import BinaryAveragePrecision
    >>> BinaryAveragePrecision()(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.8333)
    """

    higher_is_better = True
    value = staticmethod(average_precision_of)


class MulticlassAveragePrecision(_MulticlassAreaMetric):
    """The average precision of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassAveragePrecision
    >>> preds = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    >>> MulticlassAveragePrecision(num_classes=3)(preds, torch.tensor([0, 1, 2, 2]))
    tensor(0.9444)
    """

    value = staticmethod(average_precision_of)


class MultilabelAveragePrecision(_MultilabelAreaMetric):
    """The average precision of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelAveragePrecision
    >>> preds = torch.tensor([[0.2, 0.7], [0.8, 0.6], [0.9, 0.3]])
    >>> MultilabelAveragePrecision(num_labels=2)(preds, torch.tensor([[0, 0], [1, 1], [1, 0]]))
    tensor(0.7500)
    """

    value = staticmethod(average_precision_of)


class _AnyCurve(TaskWrapper):
    forms: ClassVar[dict[str, type[Metric]]]

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        thresholds: Thresholds = None,
        num_classes: int | None = None,
        num_labels: int | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = task_of(task)
        size = size_for(kind, num_classes, num_labels)
        kwargs |= {"thresholds": thresholds, "ignore_index": ignore_index, "validate_args": validate_args}
        return cls.forms[kind](**size, **kwargs)


class ROC(_AnyCurve):
    """The ROC curve for any task.

    >>> from rushlight.metrics import ROC
    >>> ROC(task="binary", thresholds=3)(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    (tensor([0., 0., 1.]), tensor([0.0000, 0.5000, 1.0000]), tensor([1.0000, 0.5000, 0.0000]))
    """

    forms = {"binary": BinaryROC, "multiclass": MulticlassROC, "multilabel": MultilabelROC}


class PrecisionRecallCurve(_AnyCurve):
    """The precision-recall curve for any task.

    >>> from rushlight.metrics import PrecisionRecallCurve
    >>> PrecisionRecallCurve(task="binary", thresholds=3)(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    (tensor([0.5000, 1.0000,    nan, 1.0000]), tensor([1.0000, 0.5000, 0.0000, 0.0000]), tensor([0.0000, 0.5000, 1.0000]))
    """

    forms = {
        "binary": BinaryPrecisionRecallCurve,
        "multiclass": MulticlassPrecisionRecallCurve,
        "multilabel": MultilabelPrecisionRecallCurve,
    }


class AUROC(_AnyCurve):
    """The area under the ROC curve, for any task.

    >>> from rushlight.metrics import AUROC
    >>> metric = AUROC(task="binary")
    >>> metric(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.7500)
    """

    forms = {"binary": BinaryAUROC, "multiclass": MulticlassAUROC, "multilabel": MultilabelAUROC}

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        thresholds: Thresholds = None,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = "macro",
        max_fpr: float | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kwargs |= {"max_fpr": max_fpr} if task_of(task) == "binary" else {"average": average}
        return super().__new__(cls, task, thresholds, num_classes, num_labels, ignore_index, validate_args, **kwargs)


class AveragePrecision(_AnyCurve):
    """The average precision, for any task.

    >>> from rushlight.metrics import AveragePrecision
    >>> AveragePrecision(task="binary")(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.8333)
    """

    forms = {
        "binary": BinaryAveragePrecision,
        "multiclass": MulticlassAveragePrecision,
        "multilabel": MultilabelAveragePrecision,
    }

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        thresholds: Thresholds = None,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        if task_of(task) != "binary":
            kwargs["average"] = average
        return super().__new__(cls, task, thresholds, num_classes, num_labels, ignore_index, validate_args, **kwargs)
