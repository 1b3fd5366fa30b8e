"""Losses that are a function of each prediction and its target, then reduced: one entry, and one for the gradient.

They take tensors of one shape and one floating-point dtype; other arguments go through public ops (`loss.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.lowering import LOOPED, ROW_BLOCK, Loop, Space
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


def _space(plan: Any) -> Space | None:
    input, target, *_ = plan.operands
    if input.dtype not in LOOPED:
        return None
    return Space(input.shape) if plan.params["reduction"] == "none" else Space(input.shape, 0, input.numel > ROW_BLOCK)


def _loss(name: str, value: Callable[..., np.ndarray], slope: Callable[..., Any], formula: Callable[..., Tensor], to_target: Callable[..., Tensor] | None = None, terms: tuple[Callable[..., Any], Callable[..., Any]] | None = None) -> Card:
    """The card of a loss, and that of its gradient beside it.

    value, slope: rules on arrays (input, target, bound); `bound` is the number that some losses have. `formula` is the slope in public ops.
    terms: value and slope in the engine's terms, ``(k, input, target, bound)``.
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

    def value_terms(k: Any, input: Any, target: Any, *bound: Any, reduction: str) -> Any:
        found = terms[0](k, input, target, *(k.convert(b, input.type) for b in bound))  # type: ignore[index]
        if reduction == "none":
            return found
        return k.sum(found) / float(math.prod(k.space.shape)) if reduction == "mean" else k.sum(found)

    def slope_terms(k: Any, grad_output: Any, input: Any, target: Any, scale: Any, *bound: Any) -> Any:
        return grad_output * terms[1](k, input, target, *bound) * scale  # type: ignore[index]

    backward = Pointwise(
        f"{name}_backward", "grad_output input target scale bound",
        outputs="grad_input",
        numpy=lambda grad_output, input, target, scale, bound=None: grad_output * slope(input, target, bound) * scale,
        lowering=Loop(slope_terms) if terms else None,
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

    return Card(name, "input target bound", statics="reduction", infer=_infer, numpy=rule, backward=gradients, lowering=Loop(value_terms, _space) if terms else None)


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
    terms=(lambda k, input, target: (input - target) * (input - target), lambda k, input, target: 2 * (input - target)),
)
smooth_l1 = _loss(
    "smooth_l1_loss",
    value=_smooth_l1,
    slope=lambda input, target, beta: np.clip(input - target, -beta, beta) / beta,
    formula=lambda input, target, beta: (input - target).clamp(-beta, beta) / beta,
    terms=(
        lambda k, input, target, beta: k.select(k.abs(input - target) < beta, 0.5 * k.abs(input - target) * k.abs(input - target) / beta, k.abs(input - target) - 0.5 * beta),
        lambda k, input, target, beta: k.minimum(k.maximum(input - target, -beta), beta) / beta,
    ),
)
huber = _loss(
    "huber_loss",
    value=_huber,
    slope=lambda input, target, delta: np.clip(input - target, -delta, delta),
    formula=lambda input, target, delta: (input - target).clamp(-delta, delta),
    terms=(
        lambda k, input, target, delta: k.select(k.abs(input - target) <= delta, 0.5 * k.abs(input - target) * k.abs(input - target), delta * (k.abs(input - target) - 0.5 * delta)),
        lambda k, input, target, delta: k.minimum(k.maximum(input - target, -delta), delta),
    ),
)
with_logits = _loss(
    "binary_cross_entropy_with_logits",
    value=_with_logits,
    slope=lambda input, target, bound: 1 / (1 + np.exp(-input)) - target,
    formula=lambda input, target: input.sigmoid() - target,
    to_target=lambda g, input, scale: g * -input * scale,
    terms=(
        lambda k, input, target: (1 - target) * input - k.minimum(input, 0) + k.function("log1p", k.exp(-k.abs(input))),
        lambda k, input, target: k.function("sigmoid", input) - target,
    ),
)
