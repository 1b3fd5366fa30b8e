"""Curves over all thresholds, and the areas under them: ROC, AUROC, precision-recall, average precision.

A curve is computed from the state into which a task brings the inputs (`curve_tasks.py`), an area from the curves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from .... import ops
from ....dtypes import int64
from ....tensor import Tensor
from ...utilities.data import safe_divide
from .curve_tasks import (
    BinaryCurveTask,
    CurveTask,
    MulticlassCurveTask,
    MultilabelCurveTask,
    State,
    Thresholds,
    threshold_tensor,
)
from .inputs import size_for, task_of

Curve = tuple[Tensor, Tensor, Tensor]
Curves = tuple[list[Tensor], list[Tensor], list[Tensor]]


def _cumulative(preds: Tensor, target: Tensor, label: int) -> Curve:
    """False and true positives at each distinct score, from the highest down, and these scores."""
    order = preds.argsort(descending=True)
    preds, positive = preds[order], (target[order] == label).to(int64)
    last = ops.tensor([preds.numel() - 1])
    ends = ops.cat([(preds[1:] != preds[:-1]).nonzero().flatten(), last])
    tps = positive.cumsum(0)[ends]
    return 1 + ends - tps, tps, preds[ends]


def _share(counts: Tensor, like: Tensor, kind: str) -> Tensor:
    if counts[-1] > 0:
        return counts / counts[-1]
    sample, rate = ("negative", "false positive") if kind == "fpr" else ("positive", "true positive")
    warnings.warn(
        f"No {sample} samples in targets, {rate} value should be meaningless. Returning zero tensor in {rate} score",
        UserWarning,
        stacklevel=4,
    )
    return ops.zeros_like(like)


def _exact_roc(preds: Tensor, target: Tensor, label: int) -> Curve:
    fps, tps, scores = _cumulative(preds, target, label)
    zero = ops.zeros(1, dtype=int64)  # so that the curve starts at (0, 0)
    scores = ops.cat([ops.ones(1, dtype=scores.dtype), scores])
    return (
        _share(ops.cat([zero, fps]), scores, "fpr"),
        _share(ops.cat([zero, tps]), scores, "tpr"),
        scores,
    )


def _binned_roc(confusion: Tensor, thresholds: Tensor) -> Curve:
    tps, fps, fns, tns = (confusion[..., i, j] for i, j in ((1, 1), (0, 1), (1, 0), (0, 0)))
    tpr, fpr = safe_divide(tps, tps + fns).flip(0), safe_divide(fps, fps + tns).flip(0)
    return fpr.T if fpr.ndim > 1 else fpr, tpr.T if tpr.ndim > 1 else tpr, thresholds.flip(0)


def _exact_precision_recall(preds: Tensor, target: Tensor, label: int) -> Curve:
    fps, tps, scores = _cumulative(preds, target, label)
    precision, recall = tps / (tps + fps), tps / tps[-1]
    if (target == 0).all():
        warnings.warn(
            "No positive samples found in target, recall is undefined. Setting recall to one for all thresholds.",
            UserWarning,
            stacklevel=4,
        )
        recall = ops.ones_like(recall)
    end = [ops.ones(1, dtype=precision.dtype), ops.zeros(1, dtype=recall.dtype)]
    return ops.cat([precision.flip(0), end[0]]), ops.cat([recall.flip(0), end[1]]), scores.flip(0)


def _binned_precision_recall(confusion: Tensor, thresholds: Tensor) -> Curve:
    tps, fps, fns = (confusion[..., i, j] for i, j in ((1, 1), (0, 1), (1, 0)))
    nan = float("nan")
    precision, recall = safe_divide(tps, tps + fps, nan), safe_divide(tps, tps + fns, nan)
    end = precision[:1]
    precision, recall = ops.cat([precision, ops.ones_like(end)]), ops.cat([recall, ops.zeros_like(end)])
    return precision.T if precision.ndim > 1 else precision, recall.T if recall.ndim > 1 else recall, thresholds


def _curves(task: CurveTask, state: State, exact: Callable[..., Curve], binned: Callable[..., Curve]) -> Any:
    if isinstance(state, Tensor):
        thresholds = threshold_tensor(task.thresholds)
        assert thresholds is not None
        if task.average == "micro" and state.ndim == 4:
            state = state.sum(1)
        return binned(state, thresholds)
    found = [exact(*each) for each in task.each(state)]
    if isinstance(task, BinaryCurveTask) or task.average == "micro":
        return found[0]
    return tuple(map(list, zip(*found, strict=True)))


def _mean_curve(task: CurveTask, curves: Any, descending: bool) -> Curve:
    """One curve for all classes: on all their points on the first axis together, the mean of the second."""
    points, others, thresholds = curves
    binned = isinstance(points, Tensor)
    thresholds = thresholds.repeat(task.classes) if binned else ops.cat(thresholds)
    grid = (points.flatten() if binned else ops.cat(points)).sort().values
    mean = ops.stack([_interpolate(grid, points[n], others[n]) for n in range(task.classes or 1)]).mean(0)
    return grid, mean, thresholds.sort(descending=descending).values


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    slope = safe_divide(ys[1:] - ys[:-1], xs[1:] - xs[:-1])
    start = ys[:-1] - slope * xs[:-1]
    piece = ((x.unsqueeze(1) >= xs.unsqueeze(0)).sum(1) - 1).clamp(0, len(slope) - 1)
    return slope[piece] * x + start[piece]


def roc_of(task: CurveTask, state: State) -> Any:
    """False and true positive rates, and their thresholds from the highest down; lists of them by class where exact.

    >>> from rushlight.metrics.functional import roc
    >>> roc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    (tensor([0.0000, 0.0000, 0.5000, 0.5000, 1.0000]), tensor([0.0000, 0.5000, 0.5000, 1.0000, 1.0000]), tensor([1.0000, 0.8000, 0.4000, 0.3500, 0.1000]))
    """
    curves = _curves(task, state, _exact_roc, _binned_roc)
    return _mean_curve(task, curves, descending=True) if task.average == "macro" else curves


def precision_recall_of(task: CurveTask, state: State) -> Any:
    """Precision, recall, and their thresholds from the lowest up; lists of them by class where exact.

    >>> from rushlight.metrics.functional import precision_recall_curve
    >>> precision_recall_curve(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    (tensor([0.5000, 0.6667, 0.5000, 1.0000, 1.0000]), tensor([1.0000, 1.0000, 0.5000, 0.5000, 0.0000]), tensor([0.1000, 0.3500, 0.4000, 0.8000]))
    """
    curves = _curves(task, state, _exact_precision_recall, _binned_precision_recall)
    return _mean_curve(task, curves, descending=False) if task.average == "macro" else curves


def _area(x: Tensor, y: Tensor) -> Tensor:
    return ((x[..., 1:] - x[..., :-1]) * (y[..., 1:] + y[..., :-1])).sum(-1) / 2


def _average_precision(precision: Tensor, recall: Tensor) -> Tensor:
    return -((recall[..., 1:] - recall[..., :-1]) * precision[..., :-1]).sum(-1)


def _reduced(areas: Tensor, task: CurveTask, average: str | None, state: State) -> Tensor:
    if average in (None, "none"):
        return areas
    undefined = areas.isnan()
    if undefined.any():
        warnings.warn(
            f"Average precision score for one or more classes was `nan`. Ignoring these classes in {average}-average",
            UserWarning,
            stacklevel=4,
        )
    if average == "macro":
        return areas[~undefined].mean()
    weights = task.support(state)[~undefined]
    return (areas[~undefined] * safe_divide(weights, weights.sum())).sum()


def _areas_of(
    task: CurveTask, state: State, curve: Callable[..., Any], area: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The area under each curve, averaged. The curves themselves are of each class, or of the pool for "micro"."""
    average = task.average
    if average != "micro":
        task = type(task)(task.thresholds, task.ignore_index, None, task.classes)  # type: ignore[arg-type]
    first, second, _ = curve(task, state)
    if isinstance(first, Tensor):
        # A rate that is 0 / 0 adds nothing. Among exact curves it stands for a class that is absent, and stays.
        first, second = first.nan_to_num(), second.nan_to_num()
    if isinstance(task, BinaryCurveTask) or average == "micro":
        return area(first, second)
    areas = area(first, second) if isinstance(first, Tensor) else ops.stack(list(map(area, first, second)))
    return _reduced(areas, task, average, state)


def auroc_of(task: CurveTask, state: State, max_fpr: float | None = None) -> Tensor:
    """The area under the ROC curve; with `max_fpr` only up to there, scaled so that guessing gives 0.5 (McClish).

    >>> from rushlight.metrics.functional import auroc
    >>> auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    tensor(0.7500)
    """
    if max_fpr is None or max_fpr == 1:
        return _areas_of(task, state, roc_of, _area)
    fpr, tpr, _ = roc_of(task, state)
    if fpr.sum() == 0 or tpr.sum() == 0:
        return _area(fpr, tpr)
    stop = int((fpr <= max_fpr).sum())
    weight = (max_fpr - fpr[stop - 1]) / (fpr[stop] - fpr[stop - 1])
    height = tpr[stop - 1] + weight * (tpr[stop] - tpr[stop - 1])
    edge = ops.tensor([max_fpr], dtype=fpr.dtype)
    partial = _area(ops.cat([fpr[:stop], edge]), ops.cat([tpr[:stop], height.reshape(1)]))
    least = 0.5 * max_fpr**2
    return 0.5 * (1 + (partial - least) / (max_fpr - least))


def average_precision_of(task: CurveTask, state: State) -> Tensor:
    """The mean of the precisions, each weighted by the recall that it adds.

    >>> from rushlight.metrics.functional import average_precision
    >>> average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    tensor(0.8333)
    """
    return _areas_of(task, state, precision_recall_of, _average_precision)


AREA_AVERAGES = {
    BinaryCurveTask: (None,),
    MulticlassCurveTask: ("macro", "weighted", "none", None),
    MultilabelCurveTask: ("micro", "macro", "weighted", "none", None),
}


def check_max_fpr(max_fpr: Any) -> None:
    if max_fpr is not None and not (isinstance(max_fpr, float) and 0 < max_fpr <= 1):
        raise ValueError(f"Arguments `max_fpr` should be a float in range (0, 1], but got: {max_fpr}")


def _evaluate(
    value: Callable[..., Any], task: CurveTask, preds: Tensor, target: Tensor, validate_args: bool, *area: Any
) -> Any:
    """`value` of the inputs; `area` is empty for a curve, else what its value takes beyond the state."""
    if validate_args:
        if value in (auroc_of, average_precision_of):
            task.check_arguments(AREA_AVERAGES[type(task)])
        else:
            task.check_arguments()
        task.check(preds, target)
    return value(task, task.state(preds, target), *area)


Form = Callable[..., Any]


def _name(forms: tuple[Form, ...], prefixes: tuple[str, ...], name: str, doc: str | None) -> tuple[Form, ...]:
    for form, prefix in zip(forms, prefixes, strict=True):
        form.__name__ = form.__qualname__ = prefix + name
        form.__doc__ = doc
    return forms


def _curve_forms(name: str, value: Callable[..., Any]) -> tuple[Form, ...]:
    """The functions ``binary_<name>``, ``multiclass_<name>``, ``multilabel_<name>`` and ``<name>`` of a curve."""

    def binary(
        preds: Tensor,
        target: Tensor,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Curve:
        return _evaluate(value, BinaryCurveTask(thresholds, ignore_index), preds, target, validate_args)

    def multiclass(
        preds: Tensor,
        target: Tensor,
        num_classes: int,
        thresholds: Thresholds = None,
        average: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Curve | Curves:
        task = MulticlassCurveTask(thresholds, ignore_index, average, num_classes)
        return _evaluate(value, task, preds, target, validate_args)

    def multilabel(
        preds: Tensor,
        target: Tensor,
        num_labels: int,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Curve | Curves:
        task = MultilabelCurveTask(thresholds, ignore_index, None, num_labels)
        return _evaluate(value, task, preds, target, validate_args)

    def any_task(
        preds: Tensor,
        target: Tensor,
        task: str,
        thresholds: Thresholds = None,
        num_classes: int | None = None,
        num_labels: int | None = None,
        average: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Curve | Curves:
        kind = task_of(task)
        size = size_for(kind, num_classes, num_labels)
        shared: dict[str, Any] = {
            "thresholds": thresholds,
            "ignore_index": ignore_index,
            "validate_args": validate_args,
        }
        if kind == "multiclass":
            shared["average"] = average
        forms: dict[str, Form] = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}
        return forms[kind](preds, target, **size, **shared)

    return _name(
        (binary, multiclass, multilabel, any_task), ("binary_", "multiclass_", "multilabel_", ""), name, value.__doc__
    )


def _area_forms(name: str, value: Callable[..., Any]) -> tuple[Form, ...]:
    """The functions ``multiclass_<name>`` and ``multilabel_<name>`` of an area under a curve."""

    def multiclass(
        preds: Tensor,
        target: Tensor,
        num_classes: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Tensor:
        task = MulticlassCurveTask(thresholds, ignore_index, average, num_classes)
        return _evaluate(value, task, preds, target, validate_args)

    def multilabel(
        preds: Tensor,
        target: Tensor,
        num_labels: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
    ) -> Tensor:
        task = MultilabelCurveTask(thresholds, ignore_index, average, num_labels)
        return _evaluate(value, task, preds, target, validate_args)

    return _name((multiclass, multilabel), ("multiclass_", "multilabel_"), name, value.__doc__)


binary_roc, multiclass_roc, multilabel_roc, roc = _curve_forms("roc", roc_of)
(
    binary_precision_recall_curve,
    multiclass_precision_recall_curve,
    multilabel_precision_recall_curve,
    precision_recall_curve,
) = _curve_forms("precision_recall_curve", precision_recall_of)
multiclass_auroc, multilabel_auroc = _area_forms("auroc", auroc_of)
multiclass_average_precision, multilabel_average_precision = _area_forms("average_precision", average_precision_of)


def binary_auroc(
    preds: Tensor,
    target: Tensor,
    max_fpr: float | None = None,
    thresholds: Thresholds = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The area under the ROC curve; with `max_fpr` only up to there, scaled so that guessing gives 0.5 (McClish).

    >>> from rushlight.metrics.functional.classification import binary_auroc
    >>> binary_auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.7500)
    """
    if validate_args:
        check_max_fpr(max_fpr)
    return _evaluate(auroc_of, BinaryCurveTask(thresholds, ignore_index), preds, target, validate_args, max_fpr)


def binary_average_precision(
    preds: Tensor,
    target: Tensor,
    thresholds: Thresholds = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The mean of the precisions, each weighted by the recall that it adds.

    >>> from rushlight.metrics.functional.classification import binary_average_precision
    >>> binary_average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.8333)
    """
    return _evaluate(average_precision_of, BinaryCurveTask(thresholds, ignore_index), preds, target, validate_args)


def auroc(
    preds: Tensor,
    target: Tensor,
    task: str,
    thresholds: Thresholds = None,
    num_classes: int | None = None,
    num_labels: int | None = None,
    average: str | None = "macro",
    max_fpr: float | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The area under the ROC curve, for any task.

    >>> from rushlight.metrics.functional import auroc
    >>> auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    tensor(0.7500)
    """
    kind = task_of(task)
    if kind == "binary":
        return binary_auroc(preds, target, max_fpr, thresholds, ignore_index, validate_args)
    size = size_for(kind, num_classes, num_labels)
    form = multiclass_auroc if kind == "multiclass" else multilabel_auroc
    return form(preds, target, *size.values(), average, thresholds, ignore_index, validate_args)


def average_precision(
    preds: Tensor,
    target: Tensor,
    task: str,
    thresholds: Thresholds = None,
    num_classes: int | None = None,
    num_labels: int | None = None,
    average: str | None = "macro",
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The mean of the precisions, each weighted by the recall that it adds, for any task.

    >>> from rushlight.metrics.functional import average_precision
    >>> average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), task="binary")
    tensor(0.8333)
    """
    kind = task_of(task)
    if kind == "binary":
        return binary_average_precision(preds, target, thresholds, ignore_index, validate_args)
    size = size_for(kind, num_classes, num_labels)
    form = multiclass_average_precision if kind == "multiclass" else multilabel_average_precision
    return form(preds, target, *size.values(), average, thresholds, ignore_index, validate_args)
