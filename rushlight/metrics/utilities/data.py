"""Small tensor helpers shared by the metrics, and the reductions that merge states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import ops
from ...tensor import Tensor


def dim_zero_cat(x: Tensor | Sequence[Tensor]) -> Tensor:
    """The tensors of a list one after the other; a tensor stays as it is.

    >>> from rushlight.metrics.utilities import dim_zero_cat
    >>> dim_zero_cat([torch.tensor(1), torch.tensor([2, 3])])
    tensor([1, 2, 3])
    """
    if isinstance(x, Tensor):
        return x
    parts = [part.unsqueeze(0) if part.ndim == 0 else part for part in x]
    if not parts:
        raise ValueError("No samples to concatenate")
    return ops.cat(parts, dim=0)


def dim_zero_sum(x: Tensor) -> Tensor:
    return x.sum(dim=0)


def dim_zero_mean(x: Tensor) -> Tensor:
    return x.mean(dim=0)


def dim_zero_max(x: Tensor) -> Tensor:
    return x.amax(dim=0)


def dim_zero_min(x: Tensor) -> Tensor:
    return x.amin(dim=0)


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """`value` with `function` applied to each tensor in it, through lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(item, function) for item in value)
    return value


def safe_divide(numerator: Tensor, denominator: Tensor, zero_division: float = 0.0) -> Tensor:
    """The quotient, in floating point, and `zero_division` where the denominator is 0."""
    numerator = numerator if numerator.is_floating_point() else numerator.float()
    denominator = denominator if denominator.is_floating_point() else denominator.float()
    otherwise = ops.full((), zero_division, dtype=numerator.dtype)
    return ops.where(denominator != 0, numerator / denominator, otherwise)


def probabilities(preds: Tensor, normalization: str = "sigmoid") -> Tensor:
    """`preds`, through sigmoid or softmax over dim 1 if a value lies outside [0, 1], so that they must be logits."""
    if ((preds >= 0) & (preds <= 1)).all():
        return preds
    return preds.sigmoid() if normalization == "sigmoid" else preds.softmax(dim=1)
