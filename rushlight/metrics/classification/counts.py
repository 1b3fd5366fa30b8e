"""Metrics made of true and false positives and negatives, accumulated over batches."""

from __future__ import annotations

from typing import Any, ClassVar

from ... import ops
from ...dtypes import int64
from ...tensor import Tensor
from ..functional.classification.counts import (
    BinaryTask,
    Counts,
    MulticlassTask,
    MultilabelTask,
    Task,
    accuracy_of,
    check_beta,
    f1_of,
    fbeta_of,
    hamming_of,
    precision_of,
    recall_of,
    specificity_of,
    stat_scores_of,
)
from ..functional.classification.inputs import size_for, task_of
from ..metric import Metric
from ..utilities.data import dim_zero_cat
from .base import TaskWrapper

_STATES = ("tp", "fp", "tn", "fn")


class _CountMetric(Metric):
    """Counts of all batches (or, by sample, lists of counts), and a score of them."""

    is_differentiable = False
    full_state_update = False
    score: ClassVar[Any]  # a Score, as a static method
    tp: Any
    fp: Any
    tn: Any
    fn: Any

    def _set_up(self, task: Task, size: int, validate_args: bool) -> None:
        if validate_args:
            task.check_arguments()
        self.task = task
        self.validate_args = validate_args
        for name, value in vars(task).items():
            setattr(self, name, value)
        by_sample = task.multidim_average == "samplewise"
        for name in _STATES:
            default: Any = [] if by_sample else ops.zeros(size, dtype=int64)
            self.add_state(name, default, dist_reduce_fx="cat" if by_sample else "sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.validate_args:
            self.task.check(preds, target)
        for name, count in zip(_STATES, self.task.count(preds, target), strict=True):
            state = getattr(self, name)
            setattr(self, name, [*state, count] if isinstance(state, list) else state + count)

    def _counts(self) -> Counts:
        return Counts(*(dim_zero_cat(getattr(self, name)) for name in _STATES))

    def compute(self) -> Tensor:
        return type(self).score(self._counts(), self.task)


class BinaryStatScores(_CountMetric):
    """[tp, fp, tn, fn, support] of class 1.

    >>> from rushlight.metrics.classification import BinaryStatScores
    >>> BinaryStatScores()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor([2, 1, 1, 0, 2])
    """

    score = staticmethod(stat_scores_of)

    def __init__(
        self,
        threshold: float = 0.5,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_up(BinaryTask(multidim_average, ignore_index, zero_division, threshold), 1, validate_args)


class MulticlassStatScores(_CountMetric):
    """[tp, fp, tn, fn, support] of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassStatScores
    >>> MulticlassStatScores(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor([1.0000, 0.3333, 2.3333, 0.3333, 1.3333])
    """

    score = staticmethod(stat_scores_of)

    def __init__(
        self,
        num_classes: int | None = None,
        top_k: int = 1,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        task = MulticlassTask(multidim_average, ignore_index, zero_division, num_classes, average, top_k)
        self._set_up(task, 1 if average == "micro" and top_k == 1 else num_classes or 1, validate_args)


class MultilabelStatScores(_CountMetric):
    """[tp, fp, tn, fn, support] of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelStatScores
    >>> MultilabelStatScores(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor([1.5000, 0.5000, 1.0000, 0.0000, 1.5000])
    """

    score = staticmethod(stat_scores_of)

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        task = MultilabelTask(multidim_average, ignore_index, zero_division, num_labels, threshold, average)
        self._set_up(task, num_labels, validate_args)


class BinaryAccuracy(BinaryStatScores):
    """The part of the predictions that is right.

    >>> from rushlight.metrics.classification import BinaryAccuracy
    >>> BinaryAccuracy()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.7500)
    """

    higher_is_better = True
    score = staticmethod(accuracy_of)


class MulticlassAccuracy(MulticlassStatScores):
    """The part of each class that is found, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassAccuracy
    >>> MulticlassAccuracy(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.5556)
    """

    higher_is_better = True
    score = staticmethod(accuracy_of)


class MultilabelAccuracy(MultilabelStatScores):
    """Accuracy of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelAccuracy
    >>> MultilabelAccuracy(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.8333)
    """

    higher_is_better = True
    score = staticmethod(accuracy_of)


class BinaryHammingDistance(BinaryStatScores):
    """The part of the predictions that is wrong.

    >>> from rushlight.metrics.classification import BinaryHammingDistance
    >>> BinaryHammingDistance()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.2500)
    """

    higher_is_better = False
    score = staticmethod(hamming_of)


class MulticlassHammingDistance(MulticlassStatScores):
    """The part of each class that is missed, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassHammingDistance
    >>> MulticlassHammingDistance(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.4444)
    """

    higher_is_better = False
    score = staticmethod(hamming_of)


class MultilabelHammingDistance(MultilabelStatScores):
    """The part of each label's predictions that is wrong, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelHammingDistance
    >>> MultilabelHammingDistance(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.1667)
    """

    higher_is_better = False
    score = staticmethod(hamming_of)


class BinaryPrecision(BinaryStatScores):
    """Precision of class 1.

    >>> from rushlight.metrics.classification import BinaryPrecision
    >>> BinaryPrecision()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.6667)
    """

    higher_is_better = True
    score = staticmethod(precision_of)


class MulticlassPrecision(MulticlassStatScores):
    """Precision of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassPrecision
    >>> MulticlassPrecision(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.6667)
    """

    higher_is_better = True
    score = staticmethod(precision_of)


class MultilabelPrecision(MultilabelStatScores):
    """Precision of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelPrecision
    >>> MultilabelPrecision(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.7500)
    """

    higher_is_better = True
    score = staticmethod(precision_of)


class BinaryRecall(BinaryStatScores):
    """Recall of class 1.

    >>> from rushlight.metrics.classification import BinaryRecall
    >>> BinaryRecall()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(1.)
    """

    higher_is_better = True
    score = staticmethod(recall_of)


class MulticlassRecall(MulticlassStatScores):
    """Recall of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassRecall
    >>> MulticlassRecall(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.5556)
    """

    higher_is_better = True
    score = staticmethod(recall_of)


class MultilabelRecall(MultilabelStatScores):
    """Recall of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelRecall
    >>> MultilabelRecall(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(1.)
    """

    higher_is_better = True
    score = staticmethod(recall_of)


class BinarySpecificity(BinaryStatScores):
    """Specificity of class 1.

    >>> from rushlight.metrics.classification import BinarySpecificity
    >>> BinarySpecificity()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5000)
    """

    score = staticmethod(specificity_of)


class MulticlassSpecificity(MulticlassStatScores):
    """Specificity of each class, averaged as `average` says.

    >>> from rushlight.metrics.classification import MulticlassSpecificity
    >>> MulticlassSpecificity(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.9167)
    """

    score = staticmethod(specificity_of)


class MultilabelSpecificity(MultilabelStatScores):
    """Specificity of each label, averaged as `average` says.

    >>> from rushlight.metrics.classification import MultilabelSpecificity
    >>> MultilabelSpecificity(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.7500)
    """

    score = staticmethod(specificity_of)


class BinaryFBetaScore(BinaryStatScores):
    """F-beta of class 1: the harmonic mean of precision and recall, recall weighing `beta` times as much.

    >>> from rushlight.metrics.classification import BinaryFBetaScore
    >>> BinaryFBetaScore(beta=2.0)(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.9091)
    """

    higher_is_better = True

    def __init__(self, beta: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.validate_args:
            check_beta(beta)
        self.beta = beta

    def compute(self) -> Tensor:
        return fbeta_of(self.beta)(self._counts(), self.task)


class BinaryF1Score(BinaryStatScores):
    """F1 of class 1: the harmonic mean of precision and recall.

    >>> from rushlight.metrics.classification import BinaryF1Score
    >>> BinaryF1Score()(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.8000)
    """

    higher_is_better = True
    score = staticmethod(f1_of)


class MulticlassFBetaScore(MulticlassStatScores):
    """F-beta of each class, averaged as `average` says.

    It is the harmonic mean of precision and recall, recall weighing `beta` times as much.

    >>> from rushlight.metrics.classification import MulticlassFBetaScore
    >>> MulticlassFBetaScore(beta=2.0, num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.5714)
    """

    higher_is_better = True

    def __init__(self, beta: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.validate_args:
            check_beta(beta)
        self.beta = beta

    def compute(self) -> Tensor:
        return fbeta_of(self.beta)(self._counts(), self.task)


class MulticlassF1Score(MulticlassStatScores):
    """F1 of each class, averaged as `average` says: the harmonic mean of precision and recall.

    >>> from rushlight.metrics.classification import MulticlassF1Score
    >>> MulticlassF1Score(num_classes=3)(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]))
    tensor(0.6000)
    """

    higher_is_better = True
    score = staticmethod(f1_of)


class MultilabelFBetaScore(MultilabelStatScores):
    """F-beta of each label, averaged as `average` says.

    It is the harmonic mean of precision and recall, recall weighing `beta` times as much.

    >>> from rushlight.metrics.classification import MultilabelFBetaScore
    >>> MultilabelFBetaScore(beta=2.0, num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.9167)
    """

    higher_is_better = True

    def __init__(self, beta: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.validate_args:
            check_beta(beta)
        self.beta = beta

    def compute(self) -> Tensor:
        return fbeta_of(self.beta)(self._counts(), self.task)


class MultilabelF1Score(MultilabelStatScores):
    """F1 of each label, averaged as `average` says: the harmonic mean of precision and recall.

    >>> from rushlight.metrics.classification import MultilabelF1Score
    >>> MultilabelF1Score(num_labels=2)(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]))
    tensor(0.8333)
    """

    higher_is_better = True
    score = staticmethod(f1_of)


class _AnyCountMetric(TaskWrapper):
    forms: ClassVar[dict[str, type[Metric]]]

    def __new__(  # type: ignore[misc]
        cls,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = "micro",
        multidim_average: str = "global",
        top_k: int = 1,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> Metric:
        kind = task_of(task)
        kwargs |= size_for(kind, num_classes, num_labels)
        kwargs |= {"multidim_average": multidim_average, "ignore_index": ignore_index, "validate_args": validate_args}
        if kind != "multiclass":
            kwargs["threshold"] = threshold
        else:
            kwargs["top_k"] = top_k
        if kind != "binary":
            kwargs["average"] = average
        return cls.forms[kind](**kwargs)


class StatScores(_AnyCountMetric):
    """[tp, fp, tn, fn, support] for any task.

    >>> from rushlight.metrics import StatScores
    >>> StatScores(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor([2, 1, 1, 0, 2])
    """

    forms = {"binary": BinaryStatScores, "multiclass": MulticlassStatScores, "multilabel": MultilabelStatScores}


class Accuracy(_AnyCountMetric):
    """The part of the predictions that is right, for any task.

    >>> from rushlight.metrics import Accuracy
    >>> accuracy = Accuracy(task="multiclass", num_classes=3)
    >>> accuracy(torch.tensor([0, 2, 1]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    >>> accuracy(torch.tensor([2, 2, 2]), torch.tensor([2, 2, 2])), accuracy.compute()
    (tensor(1.), tensor(0.8333))
    """

    forms = {"binary": BinaryAccuracy, "multiclass": MulticlassAccuracy, "multilabel": MultilabelAccuracy}


class HammingDistance(_AnyCountMetric):
    """The part of the predictions that is wrong, for any task.

    >>> from rushlight.metrics import HammingDistance
    >>> HammingDistance(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.2500)
    """

    forms = {"binary": BinaryHammingDistance, "multiclass": MulticlassHammingDistance, "multilabel": MultilabelHammingDistance}


class Precision(_AnyCountMetric):
    """Precision, tp / (tp + fp), for any task.

    >>> from rushlight.metrics import Precision
    >>> Precision(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.6667)
    """

    forms = {"binary": BinaryPrecision, "multiclass": MulticlassPrecision, "multilabel": MultilabelPrecision}


class Recall(_AnyCountMetric):
    """Recall, tp / (tp + fn), for any task.

    >>> from rushlight.metrics import Recall
    >>> Recall(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(1.)
    """

    forms = {"binary": BinaryRecall, "multiclass": MulticlassRecall, "multilabel": MultilabelRecall}


class Specificity(_AnyCountMetric):
    """Specificity, tn / (tn + fp), for any task.

    >>> from rushlight.metrics import Specificity
    >>> Specificity(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5000)
    """

    forms = {"binary": BinarySpecificity, "multiclass": MulticlassSpecificity, "multilabel": MultilabelSpecificity}


class F1Score(_AnyCountMetric):
    """F1, the harmonic mean of precision and recall, for any task.

    >>> from rushlight.metrics import F1Score
    >>> F1Score(task="binary")(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.8000)
    """

    forms = {"binary": BinaryF1Score, "multiclass": MulticlassF1Score, "multilabel": MultilabelF1Score}


class FBetaScore(_AnyCountMetric):
    """F-beta, the harmonic mean of precision and recall with recall weighing `beta` times as much, for any task.

    >>> from rushlight.metrics import FBetaScore
    >>> FBetaScore(task="binary", beta=2.0)(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]))
    tensor(0.9091)
    """

    forms = {"binary": BinaryFBetaScore, "multiclass": MulticlassFBetaScore, "multilabel": MultilabelFBetaScore}

    def __new__(cls, task: str, beta: float = 1.0, *args: Any, **kwargs: Any) -> Metric:  # type: ignore[misc]
        return super().__new__(cls, task, *args, beta=beta, **kwargs)
