"""The gradients of batch, layer and group norm, one entry each.

When a gradient is itself differentiated, the statistics are computed anew from the input, so that they carry gradients too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import channel_norm
from ..engine.lowering import AS_FLOAT, AS_GIVEN, Calls, Column, Loop, Space, rows
from ..shape import Layout, Shape, contiguous
from .card import Card
from .gradient_entry import masked, results, through
from .reduction import widened
from .separable import in_format_of

if TYPE_CHECKING:
    from ..tensor import Tensor


def per_channel(value: Any, ndim: int) -> Any:
    """A vector as a factor for dim 1 of a tensor of `ndim` dims. Numbers, which stand for a missing weight or bias, stay."""
    return value.reshape(-1, *[1] * (ndim - 2)) if hasattr(value, "reshape") else value


def channel_dims(ndim: int) -> tuple[int, ...]:
    return tuple(d for d in range(ndim) if d != 1)


def _scaled(grad_output: np.ndarray, weight: Any) -> np.ndarray:
    return grad_output * weight.astype(grad_output.dtype, copy=False) if isinstance(weight, np.ndarray) else grad_output


def _normalized(values: np.ndarray, mean: np.ndarray, rstd: np.ndarray) -> np.ndarray:
    found = values - mean.astype(values.dtype, copy=False)
    found *= rstd.astype(values.dtype, copy=False)
    return found


def _input_gradient(scaled: np.ndarray, values: np.ndarray, mean: np.ndarray, rstd: np.ndarray, axes: Shape) -> np.ndarray:
    """The gradient of the input of layer and group norm when `scaled` is that of the normalized input, in PyTorch's form and rounding."""
    if not scaled.size:
        return scaled
    mean, rstd = mean.astype(values.dtype, copy=False), rstd.astype(values.dtype, copy=False)
    along = scaled.mean(axes, keepdims=True, dtype=scaled.dtype)
    found = scaled * values
    slope = (along * mean - found.mean(axes, keepdims=True, dtype=scaled.dtype)) * rstd * rstd * rstd
    np.multiply(scaled, rstd, out=found)
    found += slope * values
    found -= slope * mean + along * rstd
    return found


def _centred_input_gradient(scaled: np.ndarray, values: np.ndarray, mean: np.ndarray, rstd: np.ndarray, axes: Shape) -> np.ndarray:
    """The same for batch norm, whose mean may be far from zero: the input less its mean comes first."""
    if not scaled.size:
        return scaled
    normalized = _normalized(values, mean, rstd)
    found = scaled * normalized
    np.multiply(normalized, found.mean(axes, keepdims=True, dtype=found.dtype), out=found)
    np.subtract(scaled, found, out=found)
    found -= scaled.mean(axes, keepdims=True, dtype=found.dtype)
    found *= rstd.astype(found.dtype, copy=False)
    return found


def _parameter_gradients(grad_output: np.ndarray, values: np.ndarray, mean: np.ndarray, rstd: np.ndarray, axes: Shape, output_mask: Sequence[bool]) -> list[np.ndarray]:
    """The gradients of the weight and the bias, as far as they are wanted."""
    found = []
    if output_mask[1]:
        along = _normalized(values, mean, rstd)
        along *= grad_output
        found.append(np.sum(along, axes))
    if output_mask[2]:
        found.append(np.sum(grad_output, axes))
    return found


def _input_formula(grad: Tensor, input: Tensor, dims: Sequence[int], eps: float) -> tuple[Tensor, Tensor]:
    """The gradient of the input when `grad` is that of the normalized input, and the normalized input."""
    centred = input - input.mean(dims, keepdim=True)
    rstd = (centred.square().mean(dims, keepdim=True) + eps).rsqrt()
    normalized = centred * rstd
    return rstd * (grad - grad.mean(dims, keepdim=True) - normalized * (grad * normalized).mean(dims, keepdim=True)), normalized


def _through(formula: Any, g: Any, needs: Sequence[bool], operands: Sequence[Any], *static: Any) -> list[Any]:
    """`through` a formula without the saved statistics, which have no gradients."""
    return [*through(formula, g, needs[:3], operands, *static), None, None]


def _card(name: str, statics: str, **rules: Any) -> Card:
    return Card(f"{name}_backward", "grad_output input weight mean rstd", statics=f"{statics} output_mask", outputs="grad_input grad_weight grad_bias", node_name=f"Native{name.title().replace('_', '')}BackwardBackward0", **rules)


# Layer norm


def _infer_layer_norm(grad_output: Layout, input: Layout, weight: Any, mean: Layout, rstd: Layout, count: int, eps: float, output_mask: Sequence[bool]) -> list[Layout]:
    parameter = contiguous(input.shape[input.ndim - count :], mean.dtype)
    return masked(output_mask, contiguous(input.shape, input.dtype), parameter, parameter)


def _layer_norm_rule(grad_output: np.ndarray, input: np.ndarray, weight: Any, mean: np.ndarray, rstd: np.ndarray, count: int, eps: float, output_mask: Sequence[bool]) -> Any:
    split = input.ndim - count
    g, values = widened(grad_output), widened(input)
    found = [_input_gradient(_scaled(g, weight), values, mean, rstd, tuple(range(split, input.ndim)))] if output_mask[0] else []
    return results([*found, *_parameter_gradients(g, values, mean, rstd, tuple(range(split)), output_mask)])


def _layer_norm_formula(grad_output: Tensor, input: Tensor, weight: Any, count: int, eps: float, output_mask: Sequence[bool]) -> list[Any]:
    rows, dims = tuple(range(input.dim() - count)), tuple(range(input.dim() - count, input.dim()))
    found, normalized = _input_formula(grad_output * weight, input, dims, eps)
    sums = [t.sum(rows) if rows else t for t in (grad_output * normalized, grad_output)]
    return masked(output_mask, found, *sums)


def _layer_norm_space(plan: Any) -> Space | None:
    same = all(not isinstance(o, Layout) or o.dtype is plan.operands[0].dtype for o in plan.operands)
    return rows(plan.operands[1], plan.params["count"]) if same else None


def _layer_norm_terms(k: Any, grad_output: Any, input: Any, weight: Any, mean: Any, rstd: Any, count: int, eps: float, output_mask: Sequence[bool]) -> Any:
    size = float(math.prod(k.space.shape[k.space.split :]))
    scaled = grad_output * k.convert(weight, input.type)
    along = k.sum(scaled) / size
    slope = (along * mean - k.sum(scaled * input) / size) * rstd * rstd * rstd
    return masked(
        output_mask,
        scaled * rstd + slope * input - (slope * mean + along * rstd),
        Column((input - mean) * rstd * grad_output),
        Column(grad_output),
    )


layer_norm_backward = _card(
    "layer_norm", "count eps", lowering=Loop(_layer_norm_terms, _layer_norm_space),
    infer=_infer_layer_norm, numpy=_layer_norm_rule,
    backward=lambda g, grad_output, input, weight, needs, count, eps, output_mask: _through(_layer_norm_formula, g, needs, (grad_output, input, weight), count, eps, output_mask),
)  # fmt: skip


# Batch norm


def _infer_batch_norm(grad_output: Layout, input: Layout, weight: Any, mean: Layout, rstd: Layout, eps: float, output_mask: Sequence[bool]) -> list[Layout]:
    parameter = contiguous(mean.shape, mean.dtype)
    return masked(output_mask, in_format_of(input, input.shape), parameter, parameter)


def _batch_norm_rule(grad_output: np.ndarray, input: np.ndarray, weight: Any, mean: np.ndarray, rstd: np.ndarray, eps: float, output_mask: Sequence[bool]) -> Any:
    axes = channel_dims(input.ndim)
    weight, mean, rstd = (per_channel(value, input.ndim) for value in (weight, mean, rstd))
    g, values = widened(grad_output), widened(input)
    found = [_centred_input_gradient(_scaled(g, weight), values, mean, rstd, axes)] if output_mask[0] else []
    return results([*found, *_parameter_gradients(g, values, mean, rstd, axes, output_mask)])


def _batch_norm_formula(grad_output: Tensor, input: Tensor, weight: Any, eps: float, output_mask: Sequence[bool]) -> list[Any]:
    dims = channel_dims(input.dim())
    found, normalized = _input_formula(grad_output * per_channel(weight, input.dim()), input, dims, eps)
    return masked(output_mask, found, (grad_output * normalized).sum(dims), grad_output.sum(dims))


batch_norm_backward = _card(
    "batch_norm", "eps", lowering=Calls(channel_norm.batch_norm_backward, half=AS_GIVEN),
    infer=_infer_batch_norm, numpy=_batch_norm_rule,
    backward=lambda g, grad_output, input, weight, needs, eps, output_mask: _through(_batch_norm_formula, g, needs, (grad_output, input, weight), eps, output_mask),
)  # fmt: skip


def fixed_scale(weight: Any, mean: Any, variance: Any, eps: float, ndim: int) -> tuple[Any, Any]:
    """The mean and the factor of every channel under given statistics."""
    return per_channel(mean, ndim), per_channel(weight * (variance + eps) ** -0.5, ndim)


def _batch_norm_eval_rule(grad_output: np.ndarray, input: np.ndarray, weight: Any, running_mean: np.ndarray, running_var: np.ndarray, eps: float, output_mask: Sequence[bool]) -> Any:
    g, variance = widened(grad_output), widened(running_var)
    mean, scale = fixed_scale(weight, widened(running_mean), variance, eps, input.ndim)
    found = [g * scale.astype(g.dtype)] if output_mask[0] else []
    rstd = per_channel((variance + eps) ** -0.5, input.ndim)
    return results([*found, *_parameter_gradients(g, widened(input), mean, rstd, channel_dims(input.ndim), output_mask)])


def _batch_norm_eval_formula(grad_output: Tensor, input: Tensor, weight: Any, running_mean: Tensor, running_var: Tensor, eps: float, output_mask: Sequence[bool]) -> list[Any]:
    dims = channel_dims(input.dim())
    mean, scale = fixed_scale(weight, running_mean, running_var, eps, input.dim())
    return masked(output_mask, grad_output * scale, (grad_output * (input - mean)).sum(dims) * (running_var + eps).rsqrt(), grad_output.sum(dims))


batch_norm_eval_backward = Card(
    "batch_norm_eval_backward", "grad_output input weight running_mean running_var",
    statics="eps output_mask", outputs="grad_input grad_weight grad_bias",
    infer=_infer_batch_norm, numpy=_batch_norm_eval_rule, node_name="NativeBatchNormBackwardBackward0",
    lowering=Calls(channel_norm.batch_norm_eval_backward, half=AS_GIVEN),
    backward=lambda g, grad_output, input, weight, running_mean, running_var, needs, eps, output_mask: through(
        _batch_norm_eval_formula, g, needs, (grad_output, input, weight, running_mean, running_var), eps, output_mask
    ),
)  # fmt: skip


# Group norm


def _infer_group_norm(grad_output: Layout, input: Layout, weight: Any, mean: Layout, rstd: Layout, groups: int, eps: float, output_mask: Sequence[bool]) -> list[Layout]:
    parameter = contiguous((input.shape[1],), mean.dtype)
    return masked(output_mask, contiguous(input.shape, input.dtype), parameter, parameter)


def _group_norm_rule(grad_output: np.ndarray, input: np.ndarray, weight: Any, mean: np.ndarray, rstd: np.ndarray, groups: int, eps: float, output_mask: Sequence[bool]) -> Any:
    shape = input.shape
    rows = (shape[0], groups, math.prod(shape[1:]) // groups)
    each = (*mean.shape, 1)
    g, values = widened(grad_output), widened(input).reshape(rows)
    found = [_input_gradient(_scaled(g, per_channel(weight, len(shape))).reshape(rows), values, mean.reshape(each), rstd.reshape(each), (2,)).reshape(shape)] if output_mask[0] else []
    mean, rstd = (np.repeat(t, shape[1] // groups, 1).reshape(*shape[:2], *[1] * (len(shape) - 2)) for t in (mean, rstd))
    return results([*found, *_parameter_gradients(g, values.reshape(shape), mean, rstd, channel_dims(len(shape)), output_mask)])


def _group_norm_formula(grad_output: Tensor, input: Tensor, weight: Any, groups: int, eps: float, output_mask: Sequence[bool]) -> list[Any]:
    shape = input.shape
    rows = (shape[0], groups, math.prod(shape[1:]) // groups)
    dims = channel_dims(len(shape))
    scaled = grad_output * per_channel(weight, len(shape))
    found, normalized = _input_formula(scaled.reshape(rows), input.reshape(rows), [2], eps)
    return masked(output_mask, found.reshape(shape), (grad_output * normalized.reshape(shape)).sum(dims), grad_output.sum(dims))


group_norm_backward = _card(
    "group_norm", "groups eps", lowering=Calls(channel_norm.group_norm_backward, half=AS_FLOAT),
    infer=_infer_group_norm, numpy=_group_norm_rule,
    backward=lambda g, grad_output, input, weight, needs, groups, eps, output_mask: _through(_group_norm_formula, g, needs, (grad_output, input, weight), groups, eps, output_mask),
)  # fmt: skip


def statistics_gradient(g_mean: Tensor | None, g_rstd: Tensor | None, input: Tensor, groups: int, eps: float) -> Tensor:
    """The gradient of the input through the mean and the reciprocal deviation of every group, the outputs of the native forms."""
    shape = input.shape
    rows = input.reshape(shape[0], groups, math.prod(shape[1:]) // groups)
    count = rows.shape[2]
    centred = rows - rows.mean(2, keepdim=True)
    found = rows.new_zeros(()) if g_mean is None else g_mean.unsqueeze(-1) / count
    if g_rstd is not None:
        rstd = (centred.square().mean(2, keepdim=True) + eps).rsqrt()
        found = found - centred * (rstd**3 * g_rstd.unsqueeze(-1) / count)
    return found.expand_as(rows).reshape(shape)
