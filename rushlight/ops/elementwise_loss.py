"""Losses that are a function of each prediction and its target, then reduced: one entry, and one for the gradient.

They take tensors of one shape and one floating-point dtype; other arguments go through public ops (`loss.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shape import Layout, contiguous, layout
from .card import Card, Pointwise, apply, pointwise_strides
from .gradient_entry import through
from .reduction import widened

if TYPE_CHECKING:
    from ..tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


def fits(input: Tensor, target: Tensor, reduction: str) -> bool:
    """Whether a loss of these may be one entry."""
    here, there = input._layout, target._layout
    return here.shape == there.shape and here.dtype is there.dtype and here.dtype.is_floating_point and reduction in _REDUCTIONS


def _infer(input: Layout, target: Layout, bound: float | None = None, *, reduction: str) -> Layout:
    if reduction != "none":
        return contiguous((), input.dtype)
    return layout(input.shape, pointwise_strides((input.shape, target.shape), (input.stride, target.stride), input.shape), input.dtype)


def _loss(name: str, value: Callable[..., np.ndarray], slope: Callable[..., Any], formula: Callable[..., Tensor], to_target: Callable[..., Tensor] | None = None) -> Card:
    """The card of a loss, and that of its gradient beside it.

    value, slope: rules on arrays (input, target, bound); `bound` is the number that some losses have. `formula` is the slope in public ops.
    to_target: the gradient of the target from (g, input, scale), where it is not that of the input with both exchanged.
    """

    def rule(input: np.ndarray, target: np.ndarray, bound: float | None = None, *, reduction: str) -> Any:
        found = value(widened(input), widened(target), bound)
        if reduction == "none":
            return found
        total = np.sum(found, dtype=found.dtype)
        return total / total.dtype.type(input.size) if reduction == "mean" else total

    def backward_formula(grad_output: Tensor, input: Tensor, target: Tensor, scale: float, *bound: float) -> Tensor:
        return grad_output * formula(input, target, *bound) * scale

    backward = Pointwise(
        f"{name}_backward", "grad_output input target scale bound",
        outputs="grad_input",
        numpy=lambda grad_output, input, target, scale, bound=None: grad_output * slope(input, target, bound) * scale,
        backward=lambda g, grad_output, input, target, scale, bound, needs: through(
            backward_formula, g, needs, (grad_output, input, target, scale, bound)[: len(needs)]
        ),
    )  # fmt: skip

    def gradients(g: Tensor, input: Tensor, target: Tensor, bound: float | None, needs: Any, reduction: str) -> list[Any]:
        scale = 1.0 / (input._layout.numel or 1) if reduction == "mean" else 1.0
        rest = (scale, bound)[: len(needs) - 1]
        of_input = apply(backward, (g, input, target, *rest)) if needs[0] else None
        of_target = None
        if needs[1]:
            of_target = to_target(g, input, scale) if to_target else apply(backward, (g, target, input, *rest))
        return [of_input, of_target, None][: len(needs)]

    return Card(name, "input target bound", statics="reduction", infer=_infer, numpy=rule, backward=gradients)


def _absolute(input: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.abs(input - target)


def _smooth_l1(input: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    error = _absolute(input, target)
    return np.where(error < beta, 0.5 * error * error / beta, error - 0.5 * beta)


def _huber(input: np.ndarray, target: np.ndarray, delta: float) -> np.ndarray:
    error = _absolute(input, target)
    return np.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))


def _with_logits(input: np.ndarray, target: np.ndarray, bound: None) -> np.ndarray:
    return (1 - target) * input - np.minimum(input, 0) + np.log1p(np.exp(-np.abs(input)))


mse = _loss(
    "mse_loss",
    value=lambda input, target, bound: np.square(input - target),
    slope=lambda input, target, bound: 2 * (input - target),
    formula=lambda input, target: 2 * (input - target),
)
smooth_l1 = _loss(
    "smooth_l1_loss",
    value=_smooth_l1,
    slope=lambda input, target, beta: np.clip(input - target, -beta, beta) / beta,
    formula=lambda input, target, beta: (input - target).clamp(-beta, beta) / beta,
)
huber = _loss(
    "huber_loss",
    value=_huber,
    slope=lambda input, target, delta: np.clip(input - target, -delta, delta),
    formula=lambda input, target, delta: (input - target).clamp(-delta, delta),
)
with_logits = _loss(
    "binary_cross_entropy_with_logits",
    value=_with_logits,
    slope=lambda input, target, bound: 1 / (1 + np.exp(-input)) - target,
    formula=lambda input, target: input.sigmoid() - target,
    to_target=lambda g, input, scale: g * -input * scale,
)
