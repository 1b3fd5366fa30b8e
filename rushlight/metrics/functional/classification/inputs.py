"""What all classification metrics ask of their arguments and inputs, and the three tasks by name."""

from __future__ import annotations

from typing import Any

from ....tensor import Tensor

TASKS = ("binary", "multiclass", "multilabel")


def task_of(name: str) -> str:
    """One of `TASKS`, from a name in any case."""
    task = name.replace("-", "_").lower()
    if task not in TASKS:
        allowed = [value.upper() for value in TASKS]
        raise ValueError(f"Invalid Classification: expected one of {allowed}, but got {name}.")
    return task


def size_for(task: str, num_classes: int | None, num_labels: int | None) -> dict[str, int]:
    """The size that `task` needs, under its argument's name."""
    needed = {"binary": {}, "multiclass": {"num_classes": num_classes}, "multilabel": {"num_labels": num_labels}}[task]
    for name, value in needed.items():
        if not isinstance(value, int):
            raise ValueError(f"`{name}` is expected to be `int` but `{type(value)} was passed.`")
    return needed  # type: ignore[return-value]


def check_threshold(threshold: Any) -> None:
    if not (isinstance(threshold, float) and 0 <= threshold <= 1):
        raise ValueError(f"Expected argument `threshold` to be a float in the [0,1] range, but got {threshold}.")


def check_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"Expected argument `{name}` to be one of {allowed}, but got {value}")


def check_ignore_index(ignore_index: Any) -> None:
    if ignore_index is not None and not isinstance(ignore_index, int):
        raise ValueError(f"Expected argument `ignore_index` to either be `None` or an integer, but got {ignore_index}")


def check_size(name: str, size: Any) -> None:
    if not isinstance(size, int) or size < 2:
        raise ValueError(f"Expected argument `{name}` to be an integer larger than 1, but got {size}")


def check_same_shape(preds: Tensor, target: Tensor) -> None:
    if preds.shape != target.shape:
        raise RuntimeError(
            f"Predictions and targets are expected to have the same shape, but got {preds.shape} and {target.shape}."
        )


def check_label_dim(preds: Tensor, num_labels: int) -> None:
    if preds.shape[1] != num_labels:
        raise ValueError(
            "Expected both `target.shape[1]` and `preds.shape[1]` to be equal to the number of labels"
            f" but got {preds.shape[1]} and expected {num_labels}"
        )


def check_zeros_and_ones(preds: Tensor, target: Tensor, ignore_index: int | None) -> None:
    """`target`, and `preds` if it holds labels, may contain 0, 1 and, the target, `ignore_index`."""
    values = target.unique()
    wrong = (values != 0) & (values != 1)
    if ignore_index is not None:
        wrong = wrong & (values != ignore_index)
    if wrong.any():
        raise RuntimeError(
            f"Detected the following values in `target`: {values} but expected only"
            f" the following values {[0, 1] if ignore_index is None else [ignore_index]}."
        )
    if not preds.is_floating_point():
        values = preds.unique()
        if ((values != 0) & (values != 1)).any():
            raise RuntimeError(
                f"Detected the following values in `preds`: {values} but expected only"
                " the following values [0,1] since `preds` is a label tensor."
            )


def check_class_shapes(preds: Tensor, target: Tensor, num_classes: int | None) -> None:
    """`preds` is (N, ...) labels, or (N, C, ...) scores for a `target` of shape (N, ...)."""
    if preds.ndim == target.ndim + 1:
        if not preds.is_floating_point():
            raise ValueError("If `preds` have one dimension more than `target`, `preds` should be a float tensor.")
        if num_classes is not None and preds.shape[1] != num_classes:
            raise ValueError(
                "If `preds` have one dimension more than `target`, `preds.shape[1]` should be"
                " equal to number of classes."
            )
        if preds.shape[2:] != target.shape[1:]:
            raise ValueError(
                "If `preds` have one dimension more than `target`, the shape of `preds` should be"
                " (N, C, ...), and the shape of `target` should be (N, ...)."
            )
    elif preds.ndim != target.ndim:
        raise ValueError(
            "Either `preds` and `target` both should have the (same) shape (N, ...), or `target` should be (N, ...)"
            " and `preds` should be (N, C, ...)."
        )
    elif preds.shape != target.shape:
        raise ValueError(
            "The `preds` and `target` should have the same shape,"
            f" got `preds` with shape={preds.shape} and `target` with shape={target.shape}."
        )


def check_class_values(preds: Tensor, target: Tensor, num_classes: int | None, ignore_index: int | None) -> None:
    """No more different labels than there are classes."""
    if num_classes is None or preds.is_floating_point():
        return
    allowed = num_classes if ignore_index is None else num_classes + 1
    for name, labels in (("target", target), ("preds", preds)):
        values = labels.unique()
        if len(values) > allowed:
            raise RuntimeError(
                f"Detected more unique values in `{name}` than expected. Expected only {allowed} but found"
                f" {len(values)} in `{name}`. Found values: {values}."
            )
