"""What the inputs of a curve are, by task, and the state that they are brought into.

The state is all scores and targets, for exact curves, or with given `thresholds` one 2 x 2 confusion matrix for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .... import ops
from ....nn.functional import one_hot
from ....tensor import Tensor
from ...utilities.data import probabilities
from .inputs import check_ignore_index, check_label_dim, check_same_shape, check_size, check_zeros_and_ones

Thresholds = int | list[float] | Tensor | None
State = Tensor | tuple[Tensor, Tensor]


def threshold_tensor(thresholds: Thresholds) -> Tensor | None:
    """`thresholds` as a tensor: a number of them is spread evenly over [0, 1]."""
    if isinstance(thresholds, int):
        return ops.linspace(0, 1, thresholds)
    return ops.tensor(thresholds) if isinstance(thresholds, list) else thresholds


def _check_thresholds(thresholds: Any) -> None:
    if thresholds is not None and not isinstance(thresholds, (list, int, Tensor)):
        raise ValueError(
            "Expected argument `thresholds` to either be an integer, list of floats or"
            f" tensor of floats, but got {thresholds}"
        )
    if isinstance(thresholds, int) and thresholds < 2:
        raise ValueError(
            f"If argument `thresholds` is an integer, expected it to be larger than 1, but got {thresholds}"
        )
    if isinstance(thresholds, list) and not all(isinstance(t, float) and 0 <= t <= 1 for t in thresholds):
        raise ValueError(
            "If argument `thresholds` is a list, expected all elements to be floats in the [0,1] range,"
            f" but got {thresholds}"
        )
    if isinstance(thresholds, Tensor) and thresholds.ndim != 1:
        raise ValueError("If argument `thresholds` is an tensor, expected the tensor to be 1d")


def _check_scores(preds: Tensor, target: Tensor) -> None:
    if target.is_floating_point():
        raise ValueError(
            "Expected argument `target` to be an int or long tensor with ground truth labels"
            f" but got tensor with dtype {target.dtype}"
        )
    if not preds.is_floating_point():
        raise ValueError(
            "Expected argument `preds` to be an floating tensor with probability/logit scores,"
            f" but got tensor with dtype {preds.dtype}"
        )


@dataclass
class _CurveTask:
    thresholds: Thresholds = None
    ignore_index: int | None = None
    average: str | None = None

    def check_arguments(self, averages: tuple[str | None, ...] = (None,)) -> None:
        _check_thresholds(self.thresholds)
        check_ignore_index(self.ignore_index)
        if self.average not in averages:
            # An area's message and a curve's are worded differently.
            listed = f"{averages}" if "weighted" in averages else "None, 'micro' or 'macro',"
            raise ValueError(f"Expected argument `average` to be one of {listed} but got {self.average}")

    def _kept(self, preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.ignore_index is None:
            return preds, target
        kept = target != self.ignore_index
        return preds[kept], target[kept]


@dataclass
class BinaryCurveTask(_CurveTask):
    """Scores and targets of any one shape."""

    classes: int | None = None

    def check(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape(preds, target)
        _check_scores(preds, target)
        check_zeros_and_ones(preds, target, self.ignore_index)

    def state(self, preds: Tensor, target: Tensor) -> State:
        preds, target = self._kept(preds.flatten(), target.flatten())
        preds = probabilities(preds)
        thresholds = threshold_tensor(self.thresholds)
        if thresholds is None:
            return preds, target
        return _confusion_at(preds.unsqueeze(1), (target == 1).unsqueeze(1), thresholds).squeeze(1)

    def each(self, state: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """By class: scores, targets, and which target is the class's."""
        yield *state, 1

    def support(self, state: State) -> Tensor:
        raise ValueError("Received an incompatible combinations of inputs to make reduction.")


@dataclass
class MulticlassCurveTask(_CurveTask):
    """Scores (N, C, ...) and targets (N, ...). With `average` "micro" all classes are one pool of yes-or-no scores."""

    classes: int = 0

    def check_arguments(self, averages: tuple[str | None, ...] = (None, "micro", "macro")) -> None:
        check_size("num_classes", self.classes)
        super().check_arguments(averages)

    def check(self, preds: Tensor, target: Tensor) -> None:
        if preds.ndim != target.ndim + 1:
            raise ValueError(
                f"Expected `preds` to have one more dimension than `target` but got {preds.ndim} and {target.ndim}"
            )
        _check_scores(preds, target)
        if preds.shape[1] != self.classes:
            raise ValueError(
                "Expected `preds.shape[1]` to be equal to the number of classes but"
                f" got {preds.shape[1]} and {self.classes}."
            )
        if preds.shape[0] != target.shape[0] or preds.shape[2:] != target.shape[1:]:
            raise ValueError(
                "Expected the shape of `preds` should be (N, C, ...) and the shape of `target` should be (N, ...)"
                f" but got {preds.shape} and {target.shape}"
            )
        found, allowed = len(target.unique()), self.classes + (self.ignore_index is not None)
        if found > allowed:
            raise RuntimeError(
                "Detected more unique values in `target` than `num_classes`. Expected only "
                f"{allowed} but found {found} in `target`."
            )

    def state(self, preds: Tensor, target: Tensor) -> State:
        preds, target = self._kept(preds.movedim(1, -1).reshape(-1, self.classes), target.flatten())
        preds = probabilities(preds, "softmax")
        thresholds = threshold_tensor(self.thresholds)
        if self.average == "micro":
            return BinaryCurveTask(thresholds).state(preds, one_hot(target.long(), self.classes))
        if thresholds is None:
            return preds, target
        return _confusion_at(preds, one_hot(target.long(), self.classes) == 1, thresholds)

    def each(self, state: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor, int]]:
        preds, target = state
        if self.average == "micro":
            yield preds, target, 1
            return
        for label in range(self.classes):
            yield preds[:, label], target, label

    def support(self, state: State) -> Tensor:
        """How often each class is the target."""
        if isinstance(state, Tensor):
            return state[0, :, 1].sum(-1)
        return ops.bincount(state[1].long(), minlength=self.classes).float()


@dataclass
class MultilabelCurveTask(_CurveTask):
    """Scores and targets (N, L, ...). With `average` "micro" all labels are one pool."""

    classes: int = 0

    def check_arguments(self, averages: tuple[str | None, ...] = (None,)) -> None:
        check_size("num_labels", self.classes)
        super().check_arguments(averages)

    def check(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape(preds, target)
        _check_scores(preds, target)
        check_zeros_and_ones(preds, target, self.ignore_index)
        check_label_dim(preds, self.classes)

    def state(self, preds: Tensor, target: Tensor) -> State:
        preds = probabilities(preds.movedim(1, -1).reshape(-1, self.classes))
        target = target.movedim(1, -1).reshape(-1, self.classes)
        thresholds = threshold_tensor(self.thresholds)
        if thresholds is None:
            return preds, target
        counted = None if self.ignore_index is None else target != self.ignore_index
        return _confusion_at(preds, target == 1, thresholds, counted)

    def each(self, state: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor, int]]:
        preds, target = state
        columns = (
            [(preds.flatten(), target.flatten())] if self.average == "micro" else zip(preds.T, target.T, strict=True)
        )
        for scores, labels in columns:
            yield *self._kept(scores, labels), 1

    def support(self, state: State) -> Tensor:
        """How often each label is set."""
        return state[0, :, 1].sum(-1) if isinstance(state, Tensor) else (state[1] == 1).sum(dim=0).float()


CurveTask = BinaryCurveTask | MulticlassCurveTask | MultilabelCurveTask


def _confusion_at(preds: Tensor, positive: Tensor, thresholds: Tensor, counted: Tensor | None = None) -> Tensor:
    """Confusion matrices (T, C, 2, 2) of scores (N, C) at each threshold, of the elements that are `counted`."""
    counted = ops.ones_like(positive) if counted is None else counted
    yes, no = positive & counted, ~positive & counted
    matrices = []
    for threshold in thresholds:  # one at a time: all at once would need memory for T x N x C
        above = preds >= threshold
        tp, fp = (yes & above).sum(0), (no & above).sum(0)
        matrices.append(ops.stack([no.sum(0) - fp, fp, yes.sum(0) - tp, tp], dim=-1))
    return ops.stack(matrices).reshape(len(thresholds), preds.shape[1], 2, 2)
