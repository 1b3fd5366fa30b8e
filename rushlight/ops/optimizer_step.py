"""Running an optimizer's update rule over the parameters of a group: the one place that knows how a step is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..tensor import Tensor

# rule(param, grad, *buffers, **scalars) changes `param` and `buffers` in place. It never reads a value, so that it can
# be recorded; what depends on values or on the number of the step comes as a scalar.
UpdateRule = Callable[..., None]


class ParamUpdate(NamedTuple):
    """One parameter's share of a step: what its update rule is called with."""

    param: Tensor
    grad: Tensor
    buffers: Sequence[Tensor]
    scalars: dict[str, Any]


def optimizer_step(
    rule: UpdateRule,
    updates: Sequence[ParamUpdate],
    *,
    maximize: bool = False,
    weight_decay: float | Tensor | None = None,
    shrink: float | Tensor | None = None,
) -> None:
    """Apply ``rule`` to every update.

    ``maximize`` negates the gradients, ``shrink`` multiplies the parameters first (decoupled weight decay), and
    ``weight_decay`` adds that much of a parameter to its gradient.
    """
    for param, grad, buffers, scalars in updates:
        if maximize:
            grad = -grad
        if shrink is not None:
            param.mul_(shrink)
        if weight_decay is not None:
            grad = add_scaled(grad, param, weight_decay)
        rule(param, grad, *buffers, **scalars)


def add_scaled(input: Tensor, other: Tensor, scale: float | Tensor) -> Tensor:
    """``input + scale * other``. The scale is a tensor when a step is differentiated by its hyperparameters."""
    return input.add(other, alpha=scale) if isinstance(scale, int | float) else input + other * scale


def add_scaled_(input: Tensor, other: Tensor, scale: float | Tensor) -> Tensor:
    """`add_scaled` in place."""
    return input.add_(other, alpha=scale) if isinstance(scale, int | float) else input.add_(other * scale)


def fill_scalars(scalars: Sequence[Tensor], values: Sequence[float]) -> None:
    """Write one value into each 0-dim tensor."""
    for scalar, value in zip(scalars, values, strict=True):
        scalar.fill_(value)
