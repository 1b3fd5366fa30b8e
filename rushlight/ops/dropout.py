"""Dropout in all its forms, and the other activations that draw: rrelu and gumbel_softmax.

The functions of `torch.nn.functional` and those of `torch` differ in their arguments and errors, not in what they do.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import draws, dtypes as dt
from ..engine.lowering import Loop
from ..memory_formats import contiguous_format
from ..random import Generator
from ..shape import contiguous
from .activation import leaky_relu_rule, leaky_relu_terms
from .activation_backward import leaky_relu_backward
from .card import Card, Pointwise, apply
from .creation import empty, empty_like, ones_like, zeros, zeros_like
from .define import as_tensor_argument
from .random_fill import bernoulli_, exponential_, generator_argument

if TYPE_CHECKING:
    from ..tensor import Tensor

_ALPHA = 1.7580993408473766  # the negative saturation of SELU, scale times alpha


def _drop(input: Tensor, p: float, inplace: bool, *, features: bool = False, alpha: bool = False) -> Tensor:
    """Multiply by noise: 0 with probability p, else what keeps the mean (for `alpha` also the variance, with a shift)."""
    multiply = input.mul_ if inplace else input.mul
    if p == 1:
        return multiply(zeros((), dtype=input.dtype, device=input.device))
    noise = bernoulli_(_feature_noise(input) if features else empty_like(input), 1 - p)
    if not alpha:
        return multiply(noise.div_(1 - p))
    scale = 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    shift = noise.add(-1).mul_(_ALPHA * scale).add_(_ALPHA * scale * p)
    return (input.mul_ if inplace else input.mul)(noise.mul_(scale)).add_(shift)


def _feature_noise(input: Tensor) -> Tensor:
    """Room for one number for each sample and channel."""
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return empty(*input.shape[:2], *(1 for _ in input.shape[2:]), dtype=input.dtype, device=input.device)


def _torch_form(name: str, doc: str, *, inplace: bool = False, **kind: bool) -> Callable[[Tensor, float, bool], Tensor]:
    """The function of the torch namespace: ``name(input, p, train)``."""

    def op(input: Tensor, p: float, train: bool) -> Tensor:
        as_tensor_argument(input, name)
        if not 0 <= p <= 1:
            raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
        return input if p == 0 or not train or not input.numel() else _drop(input, p, inplace, **kind)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


_DOC = "The {} of `torch.nn.functional` as ``torch.{}(input, p, train)``{}."


def _torch_forms(name: str, described: str, **kind: bool) -> tuple[Any, Any]:
    return (
        _torch_form(name, _DOC.format(described, name, ""), **kind),
        _torch_form(name + "_", _DOC.format(described, name + "_", ", in place"), inplace=True, **kind),
    )


torch_dropout, torch_dropout_ = _torch_forms("dropout", "dropout")
torch_alpha_dropout, torch_alpha_dropout_ = _torch_forms("alpha_dropout", "alpha_dropout", alpha=True)
torch_feature_dropout, torch_feature_dropout_ = _torch_forms("feature_dropout", "channel-wise dropout", features=True)
torch_feature_alpha_dropout, torch_feature_alpha_dropout_ = _torch_forms(
    "feature_alpha_dropout", "feature_alpha_dropout", alpha=True, features=True
)


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """What dropout keeps, scaled, and where it is kept.

    >>> torch.native_dropout(torch.ones(2), 0.5, False)
    (tensor([1., 1.]), tensor([True, True]))
    """
    if train is False:
        return as_tensor_argument(input, "native_dropout").clone(), ones_like(input, dtype=dt.bool_)
    kept = bernoulli_(empty_like(input, dtype=dt.bool_), 1 - p)
    return input * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


def _check_probability(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero each element with probability `p` and scale the others by ``1 / (1 - p)``.

    >>> _ = torch.manual_seed(0)
    >>> F.dropout(torch.ones(4), 0.5)
    tensor([0., 0., 2., 0.])
    """
    _check_probability(p)
    return (torch_dropout_ if inplace else torch_dropout)(input, p, training)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of inputs that came through SELU (https://arxiv.org/abs/1706.02515).

    >>> F.alpha_dropout(torch.ones(2), 0.5, training=False)
    tensor([1., 1.])
    """
    _check_probability(p)
    return (torch_alpha_dropout_ if inplace else torch_alpha_dropout)(input, p, training)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels.

    >>> F.feature_alpha_dropout(torch.ones(1, 2), 0.5, training=False)
    tensor([[1., 1.]])
    """
    _check_probability(p)
    return (torch_feature_alpha_dropout_ if inplace else torch_feature_alpha_dropout)(input, p, training)


def _drop_channels(input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    op = torch_feature_dropout_ if inplace else torch_feature_dropout
    if batched:
        return op(input, p, training)
    if inplace:
        return op(input.unsqueeze_(0), p, training).squeeze_(0)
    return op(input.unsqueeze(0), p, training).squeeze(0)


def _warn_of_dims(function: str, dims: int, spatial: int) -> None:
    warnings.warn(
        f"{function}: Received a {dims}-D input to {function}, which is deprecated and will result in an error in a future "
        "release. To retain the behavior and silence this warning, please use dropout instead. Note that "
        f"{function} exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel dimension, "
        f"and an optional batch dimension (i.e. {spatial + 1}D or {spatial + 2}D inputs).",
        stacklevel=3,
    )


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero whole channels of an (N, C, L) or (C, L) input with probability `p`.

    >>> F.dropout1d(torch.ones(1, 2, 3), 0.5).shape
    torch.Size([1, 2, 3])
    """
    _check_probability(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to provide "
            "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension "
            "(i.e. 2D or 3D inputs)."
        )
    return _drop_channels(input, p, training, inplace, input.dim() == 3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero whole channels of an (N, C, H, W) input with probability `p`; (N, C, L) is taken as `dropout1d` does.

    >>> F.dropout2d(torch.ones(1, 2, 3, 4), 0.5).shape
    torch.Size([1, 2, 3, 4])
    """
    _check_probability(p)
    if input.dim() not in (3, 4):
        _warn_of_dims("dropout2d", input.dim(), 2)
    if input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input "
            "is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future release to "
            "interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _drop_channels(input, p, training, inplace, True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero whole channels of an (N, C, D, H, W) or (C, D, H, W) input with probability `p`.

    >>> F.dropout3d(torch.ones(1, 2, 3, 4, 5), 0.5).shape
    torch.Size([1, 2, 3, 4, 5])
    """
    _check_probability(p)
    if input.dim() not in (4, 5):
        _warn_of_dims("dropout3d", input.dim(), 3)
    return _drop_channels(input, p, training, inplace, input.dim() == 5)


def _rrelu_rule(
    input: np.ndarray, lower: float, upper: float, generator: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The output, and the factor at each element: drawn where the input is not positive."""
    factors = np.ones(input.shape, np.float64)
    negative = input <= 0
    factors[negative] = draws.uniform(generator, int(np.count_nonzero(negative)), "float64", lower, upper)
    noise = factors.astype(input.dtype)
    return input * noise, noise


_rrelu = Card(
    "rrelu_with_noise", "input lower upper generator", outputs="output noise", differentiable=(0,),
    infer=lambda input, *_: (contiguous(input.shape, input.dtype), contiguous(input.shape, input.dtype)),
    numpy=_rrelu_rule, grads={"input": lambda g, noise: g * noise},
)  # fmt: skip
_rrelu_at_rest = Pointwise(
    "rrelu_at_rest", "input", statics="negative_slope",
    numpy=leaky_relu_rule, lowering=Loop(leaky_relu_terms), grads={"input": leaky_relu_backward}, node_name="RreluWithNoiseBackward0",
)  # fmt: skip


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False, generator: Generator | None = None
) -> Tensor:
    """``x`` where positive, else ``a * x`` with `a` uniform in [lower, upper), or their mean outside of training.

    >>> F.rrelu(torch.tensor([-8., 3.]), 0.25, 0.75)
    tensor([-4.,  3.])
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if input.dtype not in (dt.float32, dt.float64) and (training or input.dtype not in (dt.float16, dt.bfloat16)):
        raise NotImplementedError(f"\"{'rrelu_with_noise_out_cpu' if training else 'leaky_relu_cpu'}\" not implemented for '{input.dtype.type_name}'")
    if training:
        found, _ = apply(_rrelu, (input, float(lower), float(upper), generator_argument(generator, "rrelu")))
    else:
        found = apply(_rrelu_at_rest, (input,), ((float(lower) + float(upper)) / 2,))
    return input.copy_(found) if inplace else found


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Generator | None = None) -> Tensor:
    """In-place version of `rrelu`."""
    return rrelu(input, lower, upper, training, True, generator)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A differentiable sample of a category (https://arxiv.org/abs/1611.01144); `hard` gives one-hot values.

    >>> F.gumbel_softmax(torch.tensor([[0., 100.]]), hard=True)
    tensor([[0., 1.]])
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -exponential_(empty_like(logits, memory_format=contiguous_format)).log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    chosen = soft.max(dim, keepdim=True)[1]
    one_hot = zeros_like(logits, memory_format=contiguous_format).scatter_(dim, chosen, 1.0)
    return one_hot - soft.detach() + soft
