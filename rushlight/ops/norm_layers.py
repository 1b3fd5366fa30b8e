"""Normalisation by the mean and variance of a batch, a layer or a group of channels, and by norms of neighbours.

Batch, layer and group norm are one entry each, and so are their gradients (`norm_backward.py`). Their statistics are
outputs of the entry, for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import channel_norm
from ..engine.lowering import AS_FLOAT, AS_GIVEN, FLOATING, LOOPED, Calls, Loop, Space, rows
from ..errors import sizes
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .define import as_tensor_argument
from .gradient_entry import apply_masked
from .norm_backward import (
    batch_norm_backward,
    batch_norm_eval_backward,
    channel_dims,
    group_norm_backward,
    layer_norm_backward,
    per_channel,
    statistics_gradient,
)
from .pool import avg_pool2d, avg_pool3d
from .reduction import widened
from .rms_norm import fits, rms_norm_entry
from .separable import in_format_of

if TYPE_CHECKING:
    from ..tensor import Tensor


def _statistics_dtype(input: Layout, *parameters: Any) -> dt.dtype:
    """The dtype of saved statistics: that of the weight or bias, which may be wider than a half-precision input."""
    return next((p.dtype for p in parameters if isinstance(p, Layout)), input.dtype)


def _centred(values: np.ndarray, axes: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean, the biased variance (dims kept) and a fresh array of the values less their mean."""
    mean = values.mean(axes, keepdims=True, dtype=values.dtype)
    centred = values - mean
    variance = np.square(centred).mean(axes, keepdims=True, dtype=values.dtype)
    return mean, variance, centred


def _affine(centred: np.ndarray, scale: Any, bias: Any) -> np.ndarray:
    """``centred * scale + bias``, in place."""
    centred *= np.asarray(scale).astype(centred.dtype)
    if isinstance(bias, np.ndarray) or bias:
        centred += np.asarray(bias).astype(centred.dtype)
    return centred


# Batch norm: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167


def _infer_batch_norm(input: Layout, weight: Any, bias: Any, eps: float) -> list[Layout]:
    return [in_format_of(input, input.shape), *[contiguous((input.shape[1],), _statistics_dtype(input, weight, bias))] * 3]


def _batch_norm_rule(input: np.ndarray, weight: Any, bias: Any, eps: float) -> tuple[np.ndarray, ...]:
    axes = channel_dims(input.ndim)
    if not input.size:
        each = np.zeros(input.shape[1], widened(input).dtype)
        return input, each, each, each
    mean, variance, centred = _centred(widened(input), axes)
    rstd = 1 / np.sqrt(variance + variance.dtype.type(eps))
    out = _affine(centred, rstd * per_channel(weight, input.ndim), per_channel(bias, input.ndim))
    return out, mean.reshape(-1), rstd.reshape(-1), variance.reshape(-1)


def _batch_norm_gradient(g: Tensor, input: Tensor, weight: Any, mean: Tensor, rstd: Tensor, needs: tuple[bool, ...], eps: float) -> list[Any]:
    return apply_masked(batch_norm_backward, (g, input, weight, mean, rstd), (eps,), needs)


_batch_norm = Card(
    "batch_norm", "input weight bias",
    statics="eps", outputs="output mean rstd variance", differentiable=(0,),
    infer=_infer_batch_norm, numpy=_batch_norm_rule, backward=_batch_norm_gradient, lowering=Calls(channel_norm.batch_norm, half=AS_GIVEN),
    node_name="NativeBatchNormBackward0", onnx="BatchNormalization",
)  # fmt: skip


def _batch_norm_eval_rule(input: np.ndarray, weight: Any, bias: Any, running_mean: np.ndarray, running_var: np.ndarray, eps: float) -> np.ndarray:
    values = widened(input)
    mean, variance, weight, bias = (widened(v).astype(values.dtype, copy=False) if isinstance(v, np.ndarray) else v for v in (running_mean, running_var, weight, bias))
    scale = weight / np.sqrt(variance + values.dtype.type(eps))
    return (values - per_channel(mean, input.ndim)) * per_channel(scale, input.ndim) + per_channel(bias, input.ndim)


def _batch_norm_eval_gradient(g: Tensor, input: Tensor, weight: Any, running_mean: Tensor, running_var: Tensor, needs: tuple[bool, ...], eps: float) -> list[Any]:
    return [*apply_masked(batch_norm_eval_backward, (g, input, weight, running_mean, running_var), (eps,), needs[:3]), None, None]


def _alike(plan: Any) -> Space | None:
    """Every element, where parameters are floats as the elements are; those of half precision may be float32."""
    input = plan.operands[0]
    dtypes = {o.dtype for o in plan.operands if isinstance(o, Layout)}
    allowed = {input.dtype} if input.dtype in FLOATING else {input.dtype, dt.float32}
    return Space(input.shape) if input.dtype in LOOPED and dtypes <= allowed else None


def _batch_norm_eval_terms(k: Any, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, eps: float) -> Any:
    scale = k.convert(weight, input.type) / k.sqrt(running_var + eps)
    return (input - running_mean) * scale + k.convert(bias, input.type)


_batch_norm_eval = Card(
    "batch_norm_eval", "input weight bias running_mean running_var",
    statics="eps",
    infer=lambda input, weight, bias, running_mean, running_var, eps: in_format_of(input, input.shape),
    numpy=_batch_norm_eval_rule, backward=_batch_norm_eval_gradient,
    lowering=Loop(_batch_norm_eval_terms, _alike, channels=(1, 2, 3, 4)),
    node_name="NativeBatchNormBackward0", onnx="BatchNormalization",
)  # fmt: skip


def _mixed(here: Layout, parameters: Sequence[Any]) -> str:
    wrong = next(value for value in parameters if value is not None)._layout.dtype is not dt.float32
    return "mixed dtype (CPU): " + ("expect parameter to have scalar type of Float" if wrong else "all inputs must share same datatype.")


def _check_batch_norm(here: Layout, given: Sequence[tuple[str, Any]], training: bool) -> None:
    channels = here.shape[1] if here.ndim > 1 else 0
    for name, value in given:
        if value is None:
            if name.startswith("running") and not training:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        elif value._layout.numel != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {value._layout.numel}")
        elif name.startswith("running") and value._layout.ndim != 1:
            raise RuntimeError(f"TensorAccessor expected 1 dims but tensor has {value._layout.ndim}")
    if not here.dtype.is_floating_point:
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{here.dtype.type_name}'")
    if here.shape[0] and not _parameters_fit(here, [value for _, value in given]):
        raise RuntimeError(_mixed(here, [value for _, value in given]))


def _parameters_fit(here: Layout, parameters: Sequence[Any]) -> bool:
    """Whether the parameters have the input's dtype, or all float32 for an input of half precision."""
    found = {value._layout.dtype for value in parameters if value is not None}
    return found <= {here.dtype} or (here.dtype in dt.HALF and found == {dt.float32})


def native_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None, training: bool, momentum: float, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`F.batch_norm`, with the mean and the reciprocal deviation of every channel (both empty when not training).

    >>> torch.native_batch_norm(torch.tensor([[1.], [3.]]), None, None, None, None, True, 0.1, 0.)
    (tensor([[-1.],
            [ 1.]]), tensor([2.]), tensor([1.]))
    """
    from .creation import empty, ones

    here = as_tensor_argument(input, "batch_norm")._layout
    if (running_mean is None) is not (running_var is None) and training:
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    _check_batch_norm(here, (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)), training)
    scale = 1.0 if weight is None else weight if weight._layout.ndim == 1 else weight.reshape(-1)
    shift = 0.0 if bias is None else bias if bias._layout.ndim == 1 else bias.reshape(-1)
    if not training:
        found = apply(_batch_norm_eval, (input, scale, shift, running_mean, running_var), (float(eps),))
        nothing = empty(0, dtype=_statistics_dtype(here), device=input.device)
        return found, nothing, empty(0, dtype=_statistics_dtype(here), device=input.device)
    if weight is None and here.dtype in dt.HALF and running_mean is not None and running_mean._layout.dtype is dt.float32:
        scale = ones(here.shape[1], dtype=dt.float32)  # the batch's statistics are as exact as the running ones
    found, mean, rstd, variance = apply(_batch_norm, (input, scale, shift), (float(eps),))
    if not here.numel:
        return found, mean, rstd
    count = here.numel // here.shape[1]
    if running_mean is not None:
        _move_towards(running_mean, mean, momentum)
    if running_var is not None:
        _move_towards(running_var, variance * (count / max(count - 1, 1) if count > 1 else math.nan), momentum)
    return found, mean, rstd


def _move_towards(running: Any, value: Any, momentum: float) -> None:
    """``running = (1 - momentum) * running + momentum * value``, in place and outside of any graph."""
    from ..grad_mode import no_grad

    with no_grad():
        running.mul_(1 - momentum).add_(value, alpha=momentum)


def torch_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None, training: bool, momentum: float, eps: float, cudnn_enabled: bool) -> Tensor:
    """`F.batch_norm` with the arguments in another order.

    >>> torch.batch_norm(torch.tensor([[1.], [3.]]), None, None, None, None, True, 0.1, 0., False)
    tensor([[-1.],
            [ 1.]])
    """
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def _check_several_values(size: Sequence[int]) -> None:
    if math.prod((size[0], *size[2:])) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Every channel (dim 1) less its mean, over its deviation, times `weight` plus `bias`.

    When `training`, the statistics are the batch's, and the running ones move towards them by `momentum`; else the running ones are used.

    >>> F.batch_norm(torch.tensor([[1.], [3.]]), None, None, training=True, eps=1e-12)
    tensor([[-1.],
            [ 1.]])
    """
    if training:
        _check_several_values(input.size())
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


# Instance norm: Ulyanov, Vedaldi and Lempitsky, https://arxiv.org/abs/1607.08022


def torch_instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None, use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool) -> Tensor:
    """`F.instance_norm` with the arguments in another order.

    >>> torch.instance_norm(torch.tensor([[[1., 3.]]]), None, None, None, None, True, 0.1, 0., False)
    tensor([[[-1.,  1.]]])
    """
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    shape = input.shape
    batch, channels = shape[0], shape[1]
    repeated = [None if value is None else value.repeat(batch) for value in (weight, bias, running_mean, running_var)]
    scale, shift, mean, variance = repeated
    rows = input.contiguous().view(1, batch * channels, *shape[2:])
    found = native_batch_norm(rows, scale, shift, mean, variance, use_input_stats, momentum, eps)[0]
    for running, each in ((running_mean, mean), (running_var, variance)):
        if running is not None and each is not None and use_input_stats:
            running.copy_(each.view(batch, channels).mean(0))
    return found.view(shape)


def instance_norm(input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """`batch_norm` of every sample on its own.

    >>> F.instance_norm(torch.tensor([[[1., 3.]]]), eps=0)
    tensor([[[-1.,  1.]]])
    """
    size = input.size()
    if use_input_stats and math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {size}")
    return torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, False)


# Layer norm: Ba, Kiros and Hinton, https://arxiv.org/abs/1607.06450


def _infer_layer_norm(input: Layout, weight: Any, bias: Any, count: int, eps: float) -> list[Layout]:
    rows = contiguous((*input.shape[: input.ndim - count], *[1] * count), _statistics_dtype(input, weight, bias))
    return [contiguous(input.shape, input.dtype), rows, rows]


def _layer_norm_rule(input: np.ndarray, weight: Any, bias: Any, count: int, eps: float) -> tuple[np.ndarray, ...]:
    if not input.size:
        rows = np.zeros((*input.shape[: input.ndim - count], *[1] * count), widened(input).dtype)
        return input, rows, rows
    mean, variance, centred = _centred(widened(input), tuple(range(input.ndim - count, input.ndim)))
    rstd = 1 / np.sqrt(variance + variance.dtype.type(eps))
    centred *= rstd
    if isinstance(weight, np.ndarray):
        centred *= weight.astype(centred.dtype, copy=False)
    if isinstance(bias, np.ndarray):
        centred += bias.astype(centred.dtype, copy=False)
    return centred, mean, rstd


def _layer_norm_space(plan: Any) -> Space | None:
    return rows(plan.operands[0], plan.params["count"]) if plan.outs[1].dtype is plan.operands[0].dtype else None


def _layer_norm_terms(k: Any, input: Any, weight: Any, bias: Any, count: int, eps: float) -> Any:
    size = float(math.prod(k.space.shape[k.space.split :]))
    mean = k.sum(input) / size
    centred = input - mean
    rstd = 1 / k.sqrt(k.sum(centred * centred) / size + eps)
    return centred * rstd * k.convert(weight, input.type) + k.convert(bias, input.type), mean, rstd


def _layer_norm_gradient(g: Tensor, input: Tensor, weight: Any, mean: Tensor, rstd: Tensor, needs: tuple[bool, ...], count: int, eps: float) -> list[Any]:
    return apply_masked(layer_norm_backward, (g, input, weight, mean, rstd), (count, eps), needs)


_layer_norm = Card(
    "layer_norm", "input weight bias",
    statics="count eps", outputs="output mean rstd", differentiable=(0,),
    infer=_infer_layer_norm, numpy=_layer_norm_rule, backward=_layer_norm_gradient, lowering=Loop(_layer_norm_terms, _layer_norm_space),
    node_name="NativeLayerNormBackward0", onnx="LayerNormalization",
)  # fmt: skip


def _check_normalized_shape(function: str, here: Layout, normalized_shape: Any, weight: Any, bias: Any = None) -> Shape:
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(f"{function}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(normalized_shape).__name__}")
    wanted = tuple(int(n) for n in normalized_shape)
    if not wanted:
        raise RuntimeError(f"Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = {sizes(wanted)}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value._layout.shape != wanted:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {sizes(value._layout.shape)} and normalized_shape = {sizes(wanted)}")
    if here.shape[max(here.ndim - len(wanted), 0) :] != wanted:
        raise RuntimeError(f"Given normalized_shape={sizes(wanted)}, expected input with shape [*{', ' if function == 'layer_norm' else ''}{', '.join(map(str, wanted))}], but got input of size{sizes(here.shape)}")
    return wanted


def _check_floating(here: Layout, kernel: str, *parameters: Any) -> None:
    if not _parameters_fit(here, parameters):
        raise RuntimeError(_mixed(here, parameters))
    if not here.dtype.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{here.dtype.type_name}'")


def native_layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`F.layer_norm`, with the means and the reciprocal deviations.

    >>> torch.native_layer_norm(torch.tensor([1., 3.]), (2,), None, None, 0.)
    (tensor([-1.,  1.]), tensor([2.]), tensor([1.]))
    """
    here = as_tensor_argument(input, "layer_norm")._layout
    wanted = _check_normalized_shape("layer_norm", here, normalized_shape, weight, bias)
    _check_floating(here, "LayerNormKernelImpl", weight, bias)
    return apply(_layer_norm, (input, 1.0 if weight is None else weight, 0.0 if bias is None else bias), (len(wanted), float(eps)))


def layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """The values over the last dims, of `normalized_shape`, less their mean, over their deviation, times `weight` plus `bias`.

    >>> F.layer_norm(torch.tensor([1., 3.]), (2,), eps=0)
    tensor([-1.,  1.])
    """
    return native_layer_norm(input, normalized_shape, weight, bias, eps)[0]


def torch_layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, cudnn_enable: bool = True) -> Tensor:
    """`F.layer_norm`.

    >>> torch.layer_norm(torch.tensor([1., 3.]), (2,), eps=0)
    tensor([-1.,  1.])
    """
    return native_layer_norm(input, normalized_shape, weight, bias, eps)[0]


# Group norm: Wu and He, https://arxiv.org/abs/1803.08494


def _infer_group_norm(input: Layout, weight: Any, bias: Any, groups: int, eps: float) -> list[Layout]:
    each = contiguous((input.shape[0], groups), _statistics_dtype(input, weight, bias))
    return [in_format_of(input, input.shape), each, each]


def _group_norm_rule(input: np.ndarray, weight: Any, bias: Any, groups: int, eps: float) -> tuple[np.ndarray, ...]:
    batch = input.shape[0]
    if not input.size:
        each = np.full((batch, groups), np.nan, widened(input).dtype)
        return input, each, each
    mean, variance, centred = _centred(widened(input).reshape(batch, groups, -1), (2,))
    rstd = 1 / np.sqrt(variance + variance.dtype.type(eps))
    centred *= rstd
    out = centred.reshape(input.shape)
    return _affine(out, per_channel(weight, input.ndim), per_channel(bias, input.ndim)), mean[..., 0], rstd[..., 0]


def _group_norm_gradient(g: Any, input: Tensor, weight: Any, mean: Tensor, rstd: Tensor, needs: tuple[bool, ...], groups: int, eps: float) -> list[Any]:
    g, g_mean, g_rstd = g
    found: list[Any] = [None] * 3 if g is None else apply_masked(group_norm_backward, (g, input, weight, mean.detach(), rstd.detach()), (groups, eps), needs)
    if needs[0] and (g_mean is not None or g_rstd is not None):
        more = statistics_gradient(g_mean, g_rstd, input, groups, eps)
        found[0] = more if found[0] is None else found[0] + more
    return found


_group_norm = Card(
    "group_norm", "input weight bias",
    statics="groups eps", outputs="output mean rstd",
    infer=_infer_group_norm, numpy=_group_norm_rule, backward=_group_norm_gradient, lowering=Calls(channel_norm.group_norm, half=AS_FLOAT),
    node_name="NativeGroupNormBackward0", onnx="GroupNormalization",
)  # fmt: skip


def torch_group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, cudnn_enabled: bool = True) -> Tensor:
    """`F.group_norm`, without the check for several values in every group.

    >>> torch.group_norm(torch.tensor([[1., 3.]]), 1, eps=0)
    tensor([[-1.,  1.]])
    """
    here = as_tensor_argument(input, "group_norm")._layout
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if here.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {here.ndim}")
    channels = here.shape[1]
    if channels % num_groups:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got input of shape {sizes(here.shape)} and num_groups={num_groups}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value._layout.shape != (channels,):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {sizes(value._layout.shape)} and input of shape {sizes(here.shape)}")
    _check_floating(here, "GroupNormKernelImpl", weight, bias)
    return apply(_group_norm, (input, 1.0 if weight is None else weight, 0.0 if bias is None else bias), (int(num_groups), float(eps)))[0]


def native_group_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`F.group_norm`, with the mean and the reciprocal deviation of every group.

    >>> torch.native_group_norm(torch.tensor([[1., 3.]]), None, None, 1, 2, 1, 1, 0.)
    (tensor([[-1.,  1.]]), tensor([[2.]]), tensor([[1.]]))
    """
    here = as_tensor_argument(input, "native_group_norm")._layout
    if group <= 0 or C % group:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got input of shape {sizes(here.shape)} and num_groups={group}")
    _check_floating(here, "GroupNormKernelImpl", weight, bias)
    return apply(_group_norm, (input, 1.0 if weight is None else weight, 0.0 if bias is None else bias), (int(group), float(eps)))


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Groups of channels less their mean, over their deviation, times `weight` plus `bias` of each channel.

    >>> F.group_norm(torch.tensor([[1., 3.]]), 1, eps=0)
    tensor([[-1.,  1.]])
    """
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    size = input.size()
    _check_several_values([size[0] * size[1] // num_groups, num_groups, *size[2:]])
    return torch_group_norm(input, num_groups, weight, bias, eps)


# Norms without means


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """The values over the last dims, of `normalized_shape`, over the root of the mean of their squares, times `weight`.

    Zhang and Sennrich, https://arxiv.org/abs/1910.07467. `eps` is the machine epsilon when None.

    >>> F.rms_norm(torch.tensor([1., 7.]), (2,))
    tensor([0.2000, 1.4000])
    """
    here = as_tensor_argument(input, "rms_norm")._layout
    wanted = _check_normalized_shape("rms_norm", here, normalized_shape, weight)
    if here.dtype.category < dt.FLOAT:
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{here.dtype.type_name}'")
    wide = dt.float32 if here.dtype in dt.HALF else here.dtype
    epsilon = float(np.finfo(wide.to_real().numpy).eps) if eps is None else eps
    if fits(input, weight):
        return rms_norm_entry(input, weight, len(wanted), float(epsilon))
    values = input.to(wide)
    found = values * (values.pow(2).mean(tuple(range(-len(wanted), 0)), keepdim=True) + epsilon).rsqrt()
    if weight is not None:
        found = found * weight
    return found.to(here.dtype)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Every value over ``(k + alpha * mean of the squares of `size` neighbouring channels) ** beta``.

    >>> F.local_response_norm(torch.ones(1, 2, 1), 1, alpha=1.0, beta=1.0)
    tensor([[[0.5000],
             [0.5000]]])
    """
    ndim = input.dim()
    if ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality                          input (got {ndim} dimensions)")
    if input.numel() == 0:
        return input
    from .padding import pad

    squares = input.mul(input)
    before, after = size // 2, (size - 1) // 2
    if ndim == 3:
        mean = avg_pool2d(pad(squares.unsqueeze(1), (0, 0, before, after)), (size, 1), stride=1).squeeze(1)
    else:
        shape = input.size()
        planes = squares.reshape(shape[0], 1, shape[1], shape[2], -1)
        mean = avg_pool3d(pad(planes, (0, 0, 0, 0, before, after)), (size, 1, 1), stride=1).squeeze(1).reshape(shape)
    return input / mean.mul(alpha).add(k).pow(beta)


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """`input` over its p-norm along `dim`, which counts as `eps` at least.

    >>> F.normalize(torch.tensor([3., 4.]), dim=0)
    tensor([0.6000, 0.8000])
    """
    from .arithmetic import div

    norms = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return div(input, norms, out=out)
