"""Scores made of four counts: true and false positives, true and false negatives.

A task (`BinaryTask`, `MulticlassTask`, `MultilabelTask`) holds the arguments and turns predictions into counts; a score
turns counts into a number. Each function of the interface is one task with one score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .... import ops
from ....nn.functional import one_hot
from ....tensor import Tensor
from ...utilities.data import probabilities, safe_divide
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

_AVERAGES = ("micro", "macro", "weighted", "none", None)


class Counts(NamedTuple):
    """True positives, false positives, true negatives, false negatives, each by class (or sample and class)."""

    tp: Tensor
    fp: Tensor
    tn: Tensor
    fn: Tensor

    def total(self, dim: int) -> Counts:
        return Counts(*(count.sum(dim=dim) for count in self))


def _compare(preds: Tensor, target: Tensor, dims: list[int]) -> Counts:
    """Counts of 0 and 1 in `preds` against `target`; a negative target counts nowhere."""
    equal, positive, negative = target == preds, target == 1, target == 0
    pairs = (equal & positive, ~equal & negative, equal & negative, ~equal & positive)
    return Counts(*(pair.sum(dims) for pair in pairs))


@dataclass(frozen=True)
class _Task:
    multidim_average: str = "global"
    ignore_index: int | None = None
    zero_division: float = 0

    def check_arguments(self) -> None:
        check_choice("multidim_average", self.multidim_average, ("global", "samplewise"))
        check_ignore_index(self.ignore_index)
        if self.zero_division not in (0, 1):
            raise ValueError(f"Expected argument `zero_division` to be 0 or 1, but got {self.zero_division}.")

    @property
    def class_dim(self) -> int:
        """The dimension of the counts that goes over the classes."""
        return 0 if self.multidim_average == "global" else 1

    def _masked(self, target: Tensor) -> Tensor:
        return target if self.ignore_index is None else target.masked_fill(target == self.ignore_index, -1)


@dataclass(frozen=True)
class BinaryTask(_Task):
    """Two classes; `preds` are labels, probabilities or logits of class 1, of any shape (N, ...)."""

    threshold: float = 0.5
    average: ClassVar[str | None] = "binary"
    top_k: ClassVar[int] = 1
    multilabel: ClassVar[bool] = False

    def check_arguments(self) -> None:
        check_threshold(self.threshold)
        super().check_arguments()

    def check(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape(preds, target)
        check_zeros_and_ones(preds, target, self.ignore_index)
        if self.multidim_average != "global" and preds.ndim < 2:
            raise ValueError("Expected input to be at least 2D when multidim_average is set to `samplewise`")

    def count(self, preds: Tensor, target: Tensor) -> Counts:
        if preds.is_floating_point():
            preds = probabilities(preds) > self.threshold
        preds, target = preds.reshape(preds.shape[0], -1), self._masked(target).reshape(target.shape[0], -1)
        counts = _compare(preds, target, [0, 1] if self.multidim_average == "global" else [1])
        return Counts(*(count.squeeze() for count in counts))


@dataclass(frozen=True)
class MulticlassTask(_Task):
    """One of C classes; `preds` are labels (N, ...) or scores (N, C, ...)."""

    num_classes: int | None = None
    average: str | None = "macro"
    top_k: int = 1
    multilabel: ClassVar[bool] = False

    def check_arguments(self) -> None:
        if self.num_classes is None and self.average != "micro":
            raise ValueError(
                f"Argument `num_classes` can only be `None` for `average='micro'`, but got `average={self.average}`."
            )
        if self.num_classes is not None:
            check_size("num_classes", self.num_classes)
        if not isinstance(self.top_k, int) or self.top_k < 1:
            raise ValueError(
                f"Expected argument `top_k` to be an integer larger than or equal to 1, but got {self.top_k}"
            )
        if self.top_k > (self.num_classes or 1):
            raise ValueError(
                "Expected argument `top_k` to be smaller or equal to `num_classes` but got "
                f"{self.top_k} and {self.num_classes}"
            )
        check_choice("average", self.average, _AVERAGES)
        super().check_arguments()

    def check(self, preds: Tensor, target: Tensor) -> None:
        check_class_shapes(preds, target, self.num_classes)
        if self.multidim_average != "global":
            if preds.ndim == target.ndim + 1 and preds.ndim < 3:
                raise ValueError(
                    "If `preds` have one dimension more than `target`, the shape of `preds` should be"
                    " at least 3D when multidim_average is set to `samplewise`"
                )
            if preds.ndim == target.ndim and preds.ndim < 2:
                raise ValueError(
                    "When `preds` and `target` have the same shape, the shape of `preds` should be"
                    " at least 2D when multidim_average is set to `samplewise`"
                )
        check_class_values(preds, target, self.num_classes, self.ignore_index)

    def count(self, preds: Tensor, target: Tensor) -> Counts:
        if preds.ndim == target.ndim + 1 and self.top_k == 1:
            preds = preds.argmax(dim=1)
        if self.multidim_average == "samplewise" or self.top_k != 1:
            return self._count_one_hot(preds, target)
        return self._count_labels(preds.flatten(), target.flatten())

    def _count_labels(self, preds: Tensor, target: Tensor) -> Counts:
        classes = self.num_classes or 1
        if self.ignore_index is not None:
            kept = target != self.ignore_index
            preds, target = preds[kept], target[kept]
        if self.average == "micro":
            tp, wrong = (preds == target).sum(), (preds != target).sum()
            return Counts(tp, wrong, classes * preds.numel() - (2 * wrong + tp), wrong)
        confusion = ops.bincount(target.long() * classes + preds.long(), minlength=classes**2).reshape(classes, classes)
        tp = confusion.diagonal()
        fp, fn = confusion.sum(0) - tp, confusion.sum(1) - tp
        return Counts(tp, fp, confusion.sum() - (fp + fn + tp), fn)

    def _count_one_hot(self, preds: Tensor, target: Tensor) -> Counts:
        classes = self.num_classes or 1
        target = target.reshape(target.shape[0], -1).long()
        ignored = None if self.ignore_index is None else target == self.ignore_index
        if self.top_k > 1:
            labels = _best_of_top(preds.reshape(*preds.shape[:2], -1), target, self.top_k)
        else:
            labels = preds.reshape(preds.shape[0], -1).long()
        if ignored is not None:
            # Any class will do: the row is masked below.
            inside = self.ignore_index in range(classes)
            target = target.masked_fill(ignored, 0)
            if not inside and self.top_k == 1:
                labels = labels.masked_fill(ignored, 0)
        wanted, found = one_hot(target, classes), one_hot(labels, classes)
        if ignored is not None:
            wanted = wanted.masked_fill(ignored.unsqueeze(-1), -1)
        return _compare(found, wanted, [0, 1] if self.multidim_average == "global" else [1])


def _best_of_top(scores: Tensor, target: Tensor, k: int) -> Tensor:
    """The label to judge by: the target where it is among the k best of dim 1, else the best."""
    best = scores.topk(k, dim=1).indices
    hit = (best == target.unsqueeze(1)).any(dim=1)
    return ops.where(hit, target, best[:, 0])


@dataclass(frozen=True)
class MultilabelTask(_Task):
    """L yes-or-no questions; `preds` are labels, probabilities or logits (N, L, ...)."""

    num_labels: int = 0
    threshold: float = 0.5
    average: str | None = "macro"
    top_k: ClassVar[int] = 1
    multilabel: ClassVar[bool] = True

    def check_arguments(self) -> None:
        check_size("num_labels", self.num_labels)
        check_threshold(self.threshold)
        check_choice("average", self.average, _AVERAGES)
        super().check_arguments()

    def check(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape(preds, target)
        check_label_dim(preds, self.num_labels)
        check_zeros_and_ones(preds, target, self.ignore_index)
        if self.multidim_average != "global" and preds.ndim < 3:
            raise ValueError("Expected input to be at least 3D when multidim_average is set to `samplewise`")

    def count(self, preds: Tensor, target: Tensor) -> Counts:
        if preds.is_floating_point():
            preds = probabilities(preds) > self.threshold
        preds = preds.reshape(*preds.shape[:2], -1)
        target = self._masked(target).reshape(*target.shape[:2], -1)
        counts = _compare(preds, target, [0, -1] if self.multidim_average == "global" else [-1])
        return Counts(*(count.squeeze() for count in counts))


Task = BinaryTask | MulticlassTask | MultilabelTask
Score = Callable[[Counts, Any], Tensor]


def _over_classes(score: Tensor, counts: Counts, task: Task, by_support: bool) -> Tensor:
    """The mean of the classes' scores that `task.average` asks for.

    A class that occurs neither in the targets nor, unless `by_support`, in the predictions does not count.
    """
    if task.average in (None, "none"):
        return score
    tp, fp, _, fn = counts
    if task.average == "weighted":
        weights = tp + fn
    else:
        occurs = tp + fn if by_support else tp + fp + fn
        weights = ops.ones_like(score) if task.multilabel else (occurs != 0).to(score.dtype)
    return safe_divide(weights * score, weights.sum(-1, keepdim=True)).sum(-1)


def _averaged(
    ratio: Callable[[Counts], tuple[Tensor, Tensor]],
    counts: Counts,
    task: Task,
    zero_division: float = 0,
    by_support: bool = False,
) -> Tensor:
    """`ratio`'s quotient: of all classes' counts added up, or of each class and then averaged."""
    if task.average == "micro":
        counts = counts.total(task.class_dim)
    score = safe_divide(*ratio(counts), zero_division)
    return score if task.average in ("micro", "binary") else _over_classes(score, counts, task, by_support)


def _right(task: Task) -> Callable[[Counts], tuple[Tensor, Tensor]]:
    def ratio(c: Counts) -> tuple[Tensor, Tensor]:
        if task.average == "binary" or task.multilabel:
            return c.tp + c.tn, c.tp + c.tn + c.fp + c.fn
        return c.tp, c.tp + c.fn

    return ratio


def accuracy_of(counts: Counts, task: Task) -> Tensor:
    """The part that is right; for one class of many, the part of its samples that is found.

    >>> from rushlight.metrics.functional import accuracy
    >>> accuracy(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), task="multiclass", num_classes=3)
    tensor(0.7500)
    """

    return _averaged(_right(task), counts, task, by_support=task.top_k > 1)


def hamming_of(counts: Counts, task: Task) -> Tensor:
    """The part that is wrong; for one class of many, the part of its samples that is missed.

    >>> from rushlight.metrics.functional import hamming_distance
    >>> hamming_distance(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), task="multiclass", num_classes=3)
    tensor(0.2500)
    """
    return 1 - _averaged(_right(task), counts, task)


def precision_of(counts: Counts, task: Task) -> Tensor:
    """tp / (tp + fp): how much of what is found is right.

    >>> from rushlight.metrics.functional import precision
    >>> precision(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), task="binary")
    tensor(0.5000)
    """
    return _averaged(lambda c: (c.tp, c.tp + c.fp), counts, task, task.zero_division, task.top_k > 1)


def recall_of(counts: Counts, task: Task) -> Tensor:
    """tp / (tp + fn): how much of what is there is found.

    >>> from rushlight.metrics.functional import recall
    >>> recall(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), task="binary")
    tensor(1.)
    """
    return _averaged(lambda c: (c.tp, c.tp + c.fn), counts, task, task.zero_division, task.top_k > 1)


def specificity_of(counts: Counts, task: Task) -> Tensor:
    """tn / (tn + fp): how much of what is not there is left alone.

    >>> from rushlight.metrics.functional import specificity
    >>> specificity(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), task="binary")
    tensor(0.5000)
    """
    return _averaged(lambda c: (c.tn, c.tn + c.fp), counts, task)


def fbeta_of(beta: float) -> Score:
    """The harmonic mean of precision and recall, in which recall weighs `beta` times as much."""
    squared = beta**2

    def score(counts: Counts, task: Task) -> Tensor:
        def ratio(c: Counts) -> tuple[Tensor, Tensor]:
            return (1 + squared) * c.tp, (1 + squared) * c.tp + squared * c.fn + c.fp

        return _averaged(ratio, counts, task, task.zero_division)

    return score


def f1_of(counts: Counts, task: Task) -> Tensor:
    """2 tp / (2 tp + fp + fn): the harmonic mean of precision and recall.

    >>> from rushlight.metrics.functional import f1_score
    >>> f1_score(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), task="binary")
    tensor(0.6667)
    """
    return fbeta_of(1.0)(counts, task)


def stat_scores_of(counts: Counts, task: Task) -> Tensor:
    """[tp, fp, tn, fn, support] in the last dimension.

    >>> from rushlight.metrics.functional import stat_scores
    >>> stat_scores(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), task="binary")
    tensor([2, 1, 1, 0, 2])
    """
    tp, fp, tn, fn = counts
    support = tp + fn
    if task.average == "binary":
        return ops.stack([tp, fp, tn, fn, support], dim=task.class_dim).squeeze()
    found = ops.stack([tp, fp, tn, fn, support], dim=-1)
    if task.average == "micro":
        return found.sum(task.class_dim) if found.ndim > 1 else found
    if task.average == "macro":
        return found.float().mean(task.class_dim)
    if task.average == "weighted":
        by_sample = task.multidim_average == "samplewise" and not task.multilabel
        share = support / (support.sum(-1, keepdim=True) if by_sample else support.sum())
        return (found * share.unsqueeze(-1)).sum(task.class_dim)
    return found


def _evaluate(score: Score, task: Task, preds: Tensor, target: Tensor, validate_args: bool) -> Tensor:
    if validate_args:
        task.check_arguments()
        task.check(preds, target)
    return score(task.count(preds, target), task)


Form = Callable[..., Tensor]


def _forms(name: str, score: Score) -> tuple[Form, Form, Form, Form]:
    """The functions ``binary_<name>``, ``multiclass_<name>``, ``multilabel_<name>`` and ``<name>`` of a score."""

    def binary(
        preds: Tensor,
        target: Tensor,
        threshold: float = 0.5,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
    ) -> Tensor:
        task = BinaryTask(multidim_average, ignore_index, zero_division, threshold)
        return _evaluate(score, task, preds, target, validate_args)

    def multiclass(
        preds: Tensor,
        target: Tensor,
        num_classes: int | None = None,
        average: str | None = "macro",
        top_k: int = 1,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
    ) -> Tensor:
        task = MulticlassTask(multidim_average, ignore_index, zero_division, num_classes, average, top_k)
        return _evaluate(score, task, preds, target, validate_args)

    def multilabel(
        preds: Tensor,
        target: Tensor,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
    ) -> Tensor:
        task = MultilabelTask(multidim_average, ignore_index, zero_division, num_labels, threshold, average)
        return _evaluate(score, task, preds, target, validate_args)

    def any_task(
        preds: Tensor,
        target: Tensor,
        task: str,
        threshold: float = 0.5,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = "micro",
        multidim_average: str = "global",
        top_k: int = 1,
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
    ) -> Tensor:
        kind = make_task(
            task, threshold, num_classes, num_labels, average, multidim_average, top_k, ignore_index, zero_division
        )
        return _evaluate(score, kind, preds, target, validate_args)

    forms = (binary, multiclass, multilabel, any_task)
    for form, prefix in zip(forms, ("binary_", "multiclass_", "multilabel_", ""), strict=True):
        form.__name__ = form.__qualname__ = prefix + name
        form.__doc__ = score.__doc__
    return forms


def make_task(
    task: str,
    threshold: float,
    num_classes: int | None,
    num_labels: int | None,
    average: str | None,
    multidim_average: str,
    top_k: int,
    ignore_index: int | None,
    zero_division: float,
) -> Task:
    """The task of this name with those of the arguments that it takes."""
    kind = task_of(task)
    size = size_for(kind, num_classes, num_labels)
    shared = {"multidim_average": multidim_average, "ignore_index": ignore_index, "zero_division": zero_division}
    if kind == "binary":
        return BinaryTask(threshold=threshold, **shared)  # type: ignore[arg-type]
    if kind == "multiclass":
        return MulticlassTask(average=average, top_k=top_k, **size, **shared)  # type: ignore[arg-type]
    return MultilabelTask(threshold=threshold, average=average, **size, **shared)  # type: ignore[arg-type]


binary_accuracy, multiclass_accuracy, multilabel_accuracy, accuracy = _forms("accuracy", accuracy_of)
binary_hamming_distance, multiclass_hamming_distance, multilabel_hamming_distance, hamming_distance = _forms(
    "hamming_distance", hamming_of
)
binary_precision, multiclass_precision, multilabel_precision, precision = _forms("precision", precision_of)
binary_recall, multiclass_recall, multilabel_recall, recall = _forms("recall", recall_of)
binary_specificity, multiclass_specificity, multilabel_specificity, specificity = _forms("specificity", specificity_of)
binary_f1_score, multiclass_f1_score, multilabel_f1_score, f1_score = _forms("f1_score", f1_of)
binary_stat_scores, multiclass_stat_scores, multilabel_stat_scores, stat_scores = _forms("stat_scores", stat_scores_of)


def check_beta(beta: Any) -> None:
    if not (isinstance(beta, float) and beta > 0):
        raise ValueError(f"Expected argument `beta` to be a float larger than 0, but got {beta}.")


def binary_fbeta_score(
    preds: Tensor,
    target: Tensor,
    beta: float,
    threshold: float = 0.5,
    multidim_average: str = "global",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """F-beta of class 1.

    >>> from rushlight.metrics.functional import fbeta_score
    >>> fbeta_score(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), task="binary", beta=2.0)
    tensor(0.8333)
    """
    task = BinaryTask(multidim_average, ignore_index, zero_division, threshold)
    return _evaluate_fbeta(beta, task, preds, target, validate_args)


def multiclass_fbeta_score(
    preds: Tensor,
    target: Tensor,
    beta: float,
    num_classes: int,
    average: str | None = "macro",
    top_k: int = 1,
    multidim_average: str = "global",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """F-beta of each class, averaged as `average` says.

    >>> from rushlight.metrics.functional.classification import multiclass_fbeta_score
    >>> multiclass_fbeta_score(torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 1]), num_classes=3, beta=2.0)
    tensor(0.5714)
    """
    task = MulticlassTask(multidim_average, ignore_index, zero_division, num_classes, average, top_k)
    return _evaluate_fbeta(beta, task, preds, target, validate_args)


def multilabel_fbeta_score(
    preds: Tensor,
    target: Tensor,
    beta: float,
    num_labels: int,
    threshold: float = 0.5,
    average: str | None = "macro",
    multidim_average: str = "global",
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """F-beta of each label, averaged as `average` says.

    >>> from rushlight.metrics.functional.classification import multilabel_fbeta_score
    >>> multilabel_fbeta_score(torch.tensor([[0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0], [1, 0]]), num_labels=2, beta=2.0)
    tensor(0.9167)
    """
    task = MultilabelTask(multidim_average, ignore_index, zero_division, num_labels, threshold, average)
    return _evaluate_fbeta(beta, task, preds, target, validate_args)


def fbeta_score(
    preds: Tensor,
    target: Tensor,
    task: str,
    beta: float = 1.0,
    threshold: float = 0.5,
    num_classes: int | None = None,
    num_labels: int | None = None,
    average: str | None = "micro",
    multidim_average: str = "global",
    top_k: int = 1,
    ignore_index: int | None = None,
    validate_args: bool = True,
    zero_division: float = 0,
) -> Tensor:
    """F-beta for any task.

    >>> from rushlight.metrics.functional import fbeta_score
    >>> fbeta_score(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), task="binary", beta=2.0)
    tensor(0.9091)
    """
    kind = make_task(
        task, threshold, num_classes, num_labels, average, multidim_average, top_k, ignore_index, zero_division
    )
    return _evaluate_fbeta(beta, kind, preds, target, validate_args)


def _evaluate_fbeta(beta: float, task: Task, preds: Tensor, target: Tensor, validate_args: bool) -> Tensor:
    if validate_args:
        check_beta(beta)
    return _evaluate(fbeta_of(beta), task, preds, target, validate_args)
