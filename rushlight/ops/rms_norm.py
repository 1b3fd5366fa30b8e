"""Root mean square norm: one entry, and one for its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Column, Loop, Space, rows
from ..shape import Layout, contiguous
from .card import Card, apply
from .gradient_entry import apply_masked, masked, results, through
from .reduction import widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def fits(input: Tensor, weight: Tensor | None) -> bool:
    """Whether the norm of these may be one entry; else it is a composition of public ops."""
    dtype = input._layout.dtype
    return dtype.is_floating_point and (weight is None or weight._layout.dtype is dtype)


def _statistics(input: Layout, count: int) -> Layout:
    dtype = dt.float32 if input.dtype in dt.LOW_PRECISION else input.dtype
    return contiguous((*input.shape[: input.ndim - count], *[1] * count), dtype)


def _dims(ndim: int, count: int) -> tuple[int, ...]:
    return tuple(range(ndim - count, ndim))


def _rule(input: np.ndarray, weight: Any, count: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    values = widened(input)
    size = np.prod(input.shape[input.ndim - count :], dtype=np.int64)
    squares = np.sum(values * values, _dims(input.ndim, count), keepdims=True, dtype=values.dtype) / values.dtype.type(size)
    rstd = 1 / np.sqrt(squares + values.dtype.type(eps))
    found = values * rstd
    return found * widened(weight) if isinstance(weight, np.ndarray) else found, rstd


def _infer_backward(grad_output: Layout, input: Layout, weight: Any, rstd: Layout, count: int, eps: float, output_mask: Sequence[bool]) -> list[Layout]:
    return masked(output_mask, contiguous(input.shape, input.dtype), contiguous(input.shape[input.ndim - count :], input.dtype))


def _backward_rule(grad_output: np.ndarray, input: np.ndarray, weight: Any, rstd: np.ndarray, count: int, eps: float, output_mask: Sequence[bool]) -> Any:
    g, normalized = widened(grad_output), widened(input) * rstd
    found = []
    if output_mask[0]:
        scaled = g * widened(weight) if isinstance(weight, np.ndarray) else g
        size = scaled.dtype.type(max(np.prod(input.shape[input.ndim - count :], dtype=np.int64), 1))
        along = np.sum(scaled * normalized, _dims(input.ndim, count), keepdims=True, dtype=scaled.dtype) / size
        found.append((scaled - normalized * along) * rstd)
    if output_mask[1]:
        found.append(np.sum(g * normalized, tuple(range(input.ndim - count))))
    return results(found)


def _formula(grad_output: Tensor, input: Tensor, weight: Any, count: int, eps: float, output_mask: Sequence[bool]) -> list[Any]:
    dims, rows = _dims(input.dim(), count), tuple(range(input.dim() - count))
    rstd = (input.square().mean(dims, keepdim=True) + eps).rsqrt()
    normalized, scaled = input * rstd, grad_output * weight
    along = grad_output * normalized
    return masked(
        output_mask,
        (scaled - normalized * (scaled * normalized).mean(dims, keepdim=True)) * rstd,
        along.sum(rows) if rows else along,
    )


def _space(plan: Any) -> Space | None:
    same = all(not isinstance(o, Layout) or o.dtype is plan.operands[0].dtype for o in plan.operands)
    return rows(plan.operands[0], plan.params["count"]) if same else None


def _row_size(k: Any) -> float:
    return float(math.prod(k.space.shape[k.space.split :]))


def _terms(k: Any, input: Any, weight: Any, count: int, eps: float) -> Any:
    rstd = 1 / k.sqrt(k.sum(input * input) / _row_size(k) + eps)
    return input * rstd * k.convert(weight, input.type), rstd


def _backward_terms(k: Any, grad_output: Any, input: Any, weight: Any, rstd: Any, count: int, eps: float, output_mask: Sequence[bool]) -> Any:
    normalized, scaled = input * rstd, grad_output * k.convert(weight, input.type)
    along = k.sum(scaled * normalized) / _row_size(k)
    return masked(output_mask, (scaled - normalized * along) * rstd, Column(grad_output * normalized))


_rms_norm_backward = Card(
    "rms_norm_backward", "grad_output input weight rstd",
    statics="count eps output_mask", outputs="grad_input grad_weight",
    infer=_infer_backward, numpy=_backward_rule, lowering=Loop(_backward_terms, _space),
    backward=lambda g, grad_output, input, weight, needs, count, eps, output_mask: [
        *through(_formula, g, needs[:3], (grad_output, input, weight), count, eps, output_mask), None
    ],
)  # fmt: skip


def _gradient(g: Tensor, input: Tensor, weight: Any, rstd: Tensor, needs: tuple[bool, ...], count: int, eps: float) -> list[Any]:
    return apply_masked(_rms_norm_backward, (g, input, weight, rstd), (count, eps), needs)


# PyTorch composes it on the CPU; its last step is a product.
_rms_norm = Card(
    "rms_norm", "input weight",
    statics="count eps", outputs="output rstd", differentiable=(0,),
    infer=lambda input, weight, count, eps: [contiguous(input.shape, input.dtype), _statistics(input, count)],
    numpy=_rule, backward=_gradient, lowering=Loop(_terms, _space), node_name="MulBackward0", onnx="RMSNormalization",
)  # fmt: skip


def rms_norm_entry(input: Tensor, weight: Tensor | None, count: int, eps: float) -> Tensor:
    return apply(_rms_norm, (input, 1.0 if weight is None else weight), (count, eps))[0]
