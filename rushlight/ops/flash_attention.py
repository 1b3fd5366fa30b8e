"""Attention as one entry with one gradient entry: the common case of `scaled_dot_product_attention`.

The native form never holds the matrix of weights (engine/attention.py); the NumPy rules do, one like PyTorch's
reference. The forward also gives the log of the sum of each query's exponentials, from which the gradient has the
weights again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import AS_GIVEN, Calls
from ..graph import grad_state
from ..shape import Layout, contiguous, layout
from .card import Card, apply, pointwise_strides
from .creation import ones
from .gradient_entry import through
from .matmul import product
from .reduction import widened

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan

_NEGATIVE_INFINITY = float("-inf")


def is_common(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float) -> bool:
    """Whether PyTorch computes this attention with its fused kernel: four dims, no broadcasting, a mask without gradient."""
    q, k, v = query._layout, key._layout, value._layout
    return (
        dropout_p == 0
        and grad_state.tracer is None  # a recorded graph has the parts
        and q.ndim == k.ndim == v.ndim == 4
        and q.dtype is k.dtype is v.dtype
        and q.dtype.is_floating_point
        and q.numel > 0
        and k.numel > 0
        and k.shape == v.shape == (*q.shape[:2], k.shape[2], q.shape[3])
        and q.stride[3] == k.stride[3] == v.stride[3] == 1
        and (attn_mask is None or _is_common_mask(attn_mask, q.dtype, (*q.shape[:3], k.shape[2])))
    )


def _is_common_mask(mask: Tensor, dtype: dt.dtype, scores: tuple[int, ...]) -> bool:
    shape = mask._layout.shape
    return (
        len(shape) in (2, 4)
        and mask._layout.dtype in (dt.bool_, dt.float32, dtype)
        and all(n in (1, wanted) for n, wanted in zip(shape, scores[-len(shape) :], strict=True))
        and not mask.requires_grad
    )


def flash_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, scale: float | None, is_causal: bool) -> Tensor:
    """The attention of tensors that `is_common` accepts."""
    if scale is None:
        scale = 1 / math.sqrt(query._layout.shape[3])
    masks = () if attn_mask is None else (attn_mask.expand(*query.shape[:3], key.shape[2]),)
    return apply(_attention, (query, key, value, *masks), (float(scale), bool(is_causal)))[0]


# Forward


def _infer(query: Layout, key: Layout, value: Layout, *masks: Layout, scale: float, is_causal: bool) -> list[Layout]:
    strides = pointwise_strides([query.shape], [query.stride], query.shape)
    return [layout(query.shape, strides, query.dtype), contiguous(query.shape[:3], _accumulated(query.dtype))]


def _accumulated(dtype: dt.dtype) -> dt.dtype:
    return dt.float32 if dtype in dt.LOW_PRECISION else dtype


def _scores(query: np.ndarray, key: np.ndarray, masks: tuple[np.ndarray, ...], scale: float, is_causal: bool) -> np.ndarray:
    scores = product(query, key.swapaxes(-1, -2))
    scores *= scale
    for mask in masks:
        scores = np.where(mask, scores, _NEGATIVE_INFINITY) if mask.dtype == bool else scores + widened(mask)
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, _NEGATIVE_INFINITY)
    return scores.astype(query.dtype, copy=False)


def _rule(query: np.ndarray, key: np.ndarray, value: np.ndarray, *masks: np.ndarray, scale: float, is_causal: bool) -> tuple[np.ndarray, np.ndarray]:
    query, key, value = widened(query), widened(key), widened(value)
    weights = _scores(query, key, masks, scale, is_causal)
    highest = weights.max(-1, keepdims=True)
    nothing = highest == _NEGATIVE_INFINITY  # a query that may attend to no key gives zeros
    highest = np.where(nothing, 0, highest)
    np.exp(np.subtract(weights, highest, out=weights), out=weights)
    total = weights.sum(-1, keepdims=True)
    logsumexp = np.where(nothing, -_NEGATIVE_INFINITY, np.log(total) + highest)
    return product(weights, value) / np.where(nothing, 1, total), logsumexp[..., 0]


def _lower(plan: Plan) -> Lowered | None:
    from ..engine import attention, attention_pairs, half

    if plan.outs[0].dtype in (dt.bfloat16, dt.float16):
        return attention_pairs.lower_forward(*plan.operands, *plan.outs, **plan.params) or half.as_float(plan, _lower)
    return attention.lower_forward(*plan.operands, *plan.outs, **plan.params)


# Backward


def _infer_backward(g: Layout, query: Layout, key: Layout, value: Layout, *others: Layout, scale: float, is_causal: bool) -> list[Layout]:
    return [_heads_inside(operand) for operand in (query, key, value)]


def _heads_inside(operand: Layout) -> Layout:
    """The layout that PyTorch gives these gradients: that of a transposed ``(batch, position, head, element)``."""
    _, heads, length, size = operand.shape
    return layout(operand.shape, (length * heads * size, size, heads * size, 1), operand.dtype)


def _rule_backward(
    g: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray, output: np.ndarray, logsumexp: np.ndarray,
    *masks: np.ndarray, scale: float, is_causal: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    g, query, key, value, output = map(widened, (g, query, key, value, output))
    weights = _scores(query, key, masks, scale, is_causal)
    np.exp(np.subtract(weights, logsumexp[..., None], out=weights), out=weights)
    slopes = product(g, value.swapaxes(-1, -2))
    slopes -= (g * output).sum(-1, keepdims=True)
    slopes *= weights
    slopes *= scale
    return product(slopes, key), product(slopes.swapaxes(-1, -2), query), product(weights.swapaxes(-1, -2), g)


def _lower_backward(plan: Plan) -> Lowered | None:
    from ..engine import attention, attention_pairs, half

    if plan.outs[0].dtype in (dt.bfloat16, dt.float16):
        return attention_pairs.lower_backward(*plan.operands, *plan.outs, **plan.params) or half.as_float(plan, _lower_backward)
    return attention.lower_backward(*plan.operands, *plan.outs, **plan.params)


def attention_weights(query: Tensor, key: Tensor, attn_mask: Tensor | None, scale: float, is_causal: bool) -> Tensor:
    """``softmax(query @ key.T * scale + mask)`` in public ops."""
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        allowed = ones(scores.shape[-2:], dtype=dt.bool_, device=query.device).tril()
        scores = scores.masked_fill(allowed.logical_not(), _NEGATIVE_INFINITY)
    if attn_mask is None:
        return scores.softmax(-1)
    if attn_mask.dtype == dt.bool_:
        scores = scores.masked_fill(attn_mask.logical_not(), _NEGATIVE_INFINITY)
    else:
        scores = scores + attn_mask
    # Zero instead of nan where a whole row is -inf.
    nothing = (scores == _NEGATIVE_INFINITY).all(-1, keepdim=True)
    return scores.masked_fill(nothing, 0.0).softmax(-1).masked_fill(nothing, 0.0)


def _gradient_formula(g: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, is_causal: bool) -> list[Tensor]:
    weights = attention_weights(query, key, mask, scale, is_causal)
    slopes = g @ value.transpose(-2, -1)
    slopes = (slopes - (slopes * weights).sum(-1, keepdim=True)) * weights * scale
    return [slopes @ key, slopes.transpose(-2, -1) @ query, weights.transpose(-2, -1) @ g]


def _gradient_of_gradient(g: Any, grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, masks: tuple[Tensor, ...], needs: tuple[bool, ...], scale: float, is_causal: bool) -> list[Tensor | None]:
    # As functions of the first four operands: output and logsumexp follow from them.
    mask = masks[0] if masks else None
    found = through(_gradient_formula, g, (*needs[:4], False), (grad_output, query, key, value, mask), scale, is_causal)
    return [*found[:4], *[None] * (len(needs) - 4)]


_attention_backward = Card(
    "scaled_dot_product_attention_backward", "grad_output query key value output logsumexp masks",
    statics="scale is_causal", outputs="grad_query grad_key grad_value", variadic=True,
    infer=_infer_backward, numpy=_rule_backward, backward=_gradient_of_gradient, lowering=Calls(_lower_backward, half=AS_GIVEN),
)  # fmt: skip


def _gradient(g: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logsumexp: Tensor, masks: tuple[Tensor, ...], needs: tuple[bool, ...], scale: float, is_causal: bool) -> list[Tensor | None]:
    grads = apply(_attention_backward, (g, query, key, value, output, logsumexp, *masks), (scale, is_causal))
    return [*(grad if needed else None for grad, needed in zip(grads, needs, strict=False)), *[None] * len(masks)]


_attention = Card(
    "scaled_dot_product_attention", "query key value masks",
    statics="scale is_causal", outputs="output logsumexp", differentiable=(0,), variadic=True,
    infer=_infer, numpy=_rule, backward=_gradient, lowering=Calls(_lower, half=AS_GIVEN),
    node_name="ScaledDotProductFlashAttentionForCpuBackward0",
)  # fmt: skip
