"""Folding an evaluated batch norm into the convolution or linear layer before it."""

from __future__ import annotations

from typing import Any, TypeVar

from ... import ops
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

AnyModule = TypeVar("AnyModule", bound=Module)


def _check_and_copy(layer: AnyModule, bn: Any) -> AnyModule:
    from copy import deepcopy

    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    return deepcopy(layer)


def fuse_conv_bn_eval(conv: AnyModule, bn: Any, transpose: bool = False) -> AnyModule:
    """A copy of ``conv`` that computes ``bn(conv(x))``; both must be in evaluation mode.

    >>> conv, norm = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    >>> image = torch.ones(1, 1, 3, 3)
    >>> torch.allclose(nn.utils.fuse_conv_bn_eval(conv, norm)(image), norm(conv(image)))
    True
    """
    fused: Any = _check_and_copy(conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a convolution with a batch norm folded in.

    >>> one, zero = torch.ones(1), torch.zeros(1)
    >>> weight, bias = nn.utils.fuse_conv_bn_weights(torch.ones(1, 1, 1), zero, zero, one, 0.0, one * 2, one)
    >>> weight.flatten().detach(), bias.detach()
    (tensor([2.]), tensor([1.]))
    """
    conv_b = ops.zeros_like(bn_rm, dtype=conv_w.dtype) if conv_b is None else conv_b
    bn_w = ops.ones_like(bn_rm) if bn_w is None else bn_w
    bn_b = ops.zeros_like(bn_rm) if bn_b is None else bn_b
    inverse_std = ops.rsqrt(bn_rv + bn_eps)
    scale_shape = [1] * conv_w.dim()
    scale_shape[1 if transpose else 0] = -1
    weight = (conv_w * (bn_w * inverse_std).reshape(scale_shape)).to(dtype=conv_w.dtype)
    bias = ((conv_b - bn_rm) * inverse_std * bn_w + bn_b).to(dtype=conv_b.dtype)
    return Parameter(weight, conv_w.requires_grad), Parameter(bias, conv_b.requires_grad)


def fuse_linear_bn_eval(linear: AnyModule, bn: Any) -> AnyModule:
    """A copy of ``linear`` that computes ``bn(linear(x))``; both must be in evaluation mode.

    >>> linear, norm = nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval()
    >>> x = torch.ones(1, 2)
    >>> fused = nn.utils.fuse_linear_bn_eval(linear, norm)
    >>> torch.allclose(fused(x), norm(linear(x)))
    True
    """
    fused: Any = _check_and_copy(linear, bn)
    if fused.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={fused.out_features} and bn.num_features={bn.num_features}"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a linear layer with a batch norm folded in.

    >>> one, zero = torch.ones(1), torch.zeros(1)
    >>> weight, bias = nn.utils.fuse_linear_bn_weights(torch.ones(1, 1), zero, zero, one, 0.0, one * 2, one)
    >>> weight.detach(), bias.detach()
    (tensor([[2.]]), tensor([1.]))
    """
    linear_b = ops.zeros_like(bn_rm, dtype=linear_w.dtype) if linear_b is None else linear_b
    scale = bn_w * ops.rsqrt(bn_rv + bn_eps)
    weight = linear_w * scale.unsqueeze(-1).to(dtype=linear_w.dtype)
    bias = ((linear_b - bn_rm) * scale + bn_b).to(dtype=linear_b.dtype)
    return Parameter(weight, linear_w.requires_grad), Parameter(bias, linear_b.requires_grad)
