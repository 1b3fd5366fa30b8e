"""Activation functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import LOWER, autocasts
from ..engine.lowering import LOOPED, Loop, Space
from ..shape import wrap_dim
from ..storage import TensorBase
from .activation_backward import (
    elu_backward,
    gelu_backward,
    hardsigmoid_backward,
    hardswish_backward,
    hardtanh_backward,
    leaky_relu_backward,
    log_sigmoid_backward,
    logistic,
    mish_backward,
    shrink_backward,
    silu_backward,
    softplus_backward,
)
from .card import Pointwise, apply, write_into
from .compound import clamp, clamp_
from .define import NOT_FLOAT, as_tensor_argument, kernel_for, refuse_dtypes, titled, unary
from .erf import by_pieces, erf_array
from .pointwise import relu as _relu, threshold_backward
from .trigonometry import tanh as _tanh

if TYPE_CHECKING:
    from ..tensor import Tensor


def _activate(card: Pointwise, input: Any, static: tuple[Any, ...] = (), inplace: bool = False) -> Any:
    as_tensor_argument(input, card.name)
    return write_into(card, input, (input,), static) if inplace else apply(card, (input,), static)


def _floating(name: str) -> Any:
    """The type rule of an activation that PyTorch has for real floats alone."""
    return kernel_for(name, bools="none", integers="none", complex=False)


def _narrow(input: TensorBase, *numbers: float) -> tuple[float, ...]:
    """Numbers as the dtype of `input` holds them, for the activations that compare with them in half precision."""
    dtype = input._layout.dtype
    return tuple(float(dtype.numpy.type(number)) for number in numbers) if dtype in dt.LOW_PRECISION else numbers


_sigmoid_backward = Pointwise(
    "sigmoid_backward", "grad_output output",
    outputs="grad_input",
    numpy=lambda grad_output, output: grad_output * ((1 - output) * output).conj(),
    lowering=Loop(lambda k, grad_output, output: grad_output * ((1 - output) * output)),
    grads={
        "grad_output": lambda g, output: apply(_sigmoid_backward, (g, output.conj())),
        "output": lambda g, grad_output, output: g.conj() * grad_output * (1 - 2 * output.conj()),
    },
)  # fmt: skip

sigmoid = unary(
    "sigmoid", logistic,
    """``1 / (1 + exp(-input))``.

    >>> torch.sigmoid(torch.tensor([0.]))
    tensor([0.5000])
    """,
    result="float", grad=lambda g, output: apply(_sigmoid_backward, (g, output)), onnx="Sigmoid", lowering=Loop(lambda k, input: k.function("sigmoid", input)),
)  # fmt: skip


def functional_relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(0, input)`` (`F.relu`).

    >>> F.relu(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else _relu(input)  # type: ignore[attr-defined]


functional_relu.__name__ = "relu"


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent (`F.tanh`)."""
    return _tanh(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` clamped to ``min_val .. max_val``; the gradient is 0 at the bounds.

    >>> F.hardtanh(torch.tensor([-2., 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input._layout.dtype is dt.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input._layout.dtype is dt.uint8 and (int(min_val) < 0 or int(max_val) < 0):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    if input._layout.dtype.category == dt.INTEGER:
        return (clamp_ if inplace else clamp)(input, int(min_val), int(max_val))
    return _activate(_hardtanh, input, _narrow(input, float(min_val), float(max_val)), inplace)


def _hardtanh_dtypes(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return common, common


def _hardtanh_terms(k: Any, input: Any, min_val: float, max_val: float) -> Any:
    # Of equal zeros the input's stays, as in np.clip.
    raised = k.select(input < min_val, min_val, input)
    return k.select(raised > max_val, max_val, raised)


_hardtanh = Pointwise(
    "hardtanh", "input",
    statics="min_val max_val",
    numpy=lambda input, min_val, max_val: np.clip(input, min_val, max_val), result=_hardtanh_dtypes,
    lowering=Loop(_hardtanh_terms),
    grads={"input": hardtanh_backward},
)  # fmt: skip


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(0, input), 6)``.

    >>> F.relu6(torch.tensor([-1., 8.]))
    tensor([0., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def _gelu_rule(x: np.ndarray, approximate: str) -> np.ndarray:
    return by_pieces(_gelu_by_tanh if approximate == "tanh" else _gelu_by_erf, x)


def _gelu_by_tanh(x: np.ndarray) -> np.ndarray:
    number = x.dtype.type
    found = x * x
    found *= number(0.044715)
    found += number(1)
    found *= x
    found *= number(math.sqrt(2 / math.pi))
    found = np.tanh(found)
    found += number(1)
    found *= x
    return found * number(0.5)


def _gelu_by_erf(x: np.ndarray) -> np.ndarray:
    found = erf_array(x * x.dtype.type(math.sqrt(0.5)))
    found += x.dtype.type(1)
    found *= x
    return found * x.dtype.type(0.5)


_gelu = Pointwise("gelu", "input", statics="approximate", numpy=_gelu_rule, result=_floating("GeluKernelImpl"), grads={"input": gelu_backward}, onnx="Gelu", lowering=Loop(lambda k, input, approximate: k.function("gelu_tanh" if approximate == "tanh" else "gelu", input)))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``input * P(X <= input)`` for a normal X, or its `approximate` "tanh" form (https://arxiv.org/abs/1606.08415).

    >>> F.gelu(torch.tensor([1.]))
    tensor([0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _activate(_gelu, input, (approximate,))


_silu = Pointwise(
    "silu", "input",
    numpy=lambda input: input * logistic(input), result=kernel_for("silu_cpu", bools="none", integers="none"),
    grads={"input": silu_backward}, lowering=Loop(lambda k, input: k.function("silu", input)),
)  # fmt: skip


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)`` (https://arxiv.org/abs/1702.03118).

    >>> F.silu(torch.tensor([1.]))
    tensor([0.7311])
    """
    return _activate(_silu, input, inplace=inplace)


def _log1p_exp(x: np.ndarray) -> np.ndarray:
    """``log(1 + exp(x))`` without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


_mish = Pointwise(
    "mish", "input",
    numpy=lambda input: input * np.tanh(_log1p_exp(input)), result=_floating("mish_cpu"), lowering=Loop(lambda k, input: k.function("mish", input)),
    grads={"input": mish_backward},
)  # fmt: skip


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * tanh(softplus(input))`` (https://arxiv.org/abs/1908.08681).

    >>> F.mish(torch.tensor([1.]))
    tensor([0.8651])
    """
    return _activate(_mish, input, inplace=inplace)


_softplus = Pointwise(
    "softplus", "input",
    statics="beta threshold",
    numpy=lambda input, beta, threshold: np.where(input * beta > threshold, input, np.log1p(np.exp(np.minimum(input * beta, threshold))) / beta).astype(input.dtype),
    result=_floating("softplus_cpu"), lowering=Loop(lambda k, input, beta, threshold: k.select(input * beta > threshold, input, k.function("log1p_exp", input * beta) / beta)),
    grads={"input": softplus_backward},
)  # fmt: skip


def _where(condition: Any, a: Any, b: Any) -> Any:
    from .combine import where

    return where(condition, a, b)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, linear above `threshold`.

    >>> F.softplus(torch.tensor([0.]))
    tensor([0.6931])
    """
    return _activate(_softplus, input, (float(beta), float(threshold)))


def _elu_rule(input: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    number = input.dtype.type
    below = np.minimum(input, number(0))
    below *= number(input_scale)
    below = np.expm1(below)
    below *= number(alpha * scale)
    # One of the two terms is 0, or both are nan.
    return np.maximum(input, number(0)) * number(scale) + below


def _elu_terms(k: Any, input: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return k.maximum(input, 0) * scale + k.function("expm1", k.minimum(input, 0) * input_scale) * (alpha * scale)


_elu = Pointwise("elu", "input", statics="alpha scale input_scale", numpy=_elu_rule, result=_floating("elu_cpu"), grads={"input": elu_backward}, lowering=Loop(_elu_terms))
_celu = Pointwise("celu", "input", statics="alpha scale input_scale", numpy=_elu_rule, result=_floating("elu_cpu"), grads={"input": elu_backward}, lowering=Loop(_elu_terms))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` where positive, ``alpha * (exp(input) - 1)`` elsewhere (https://arxiv.org/abs/1511.07289).

    >>> F.elu(torch.tensor([-1., 1.]))
    tensor([-0.6321,  1.0000])
    """
    return _activate(_elu, input, (float(alpha), 1.0, 1.0), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising ELU (https://arxiv.org/abs/1706.02515).

    >>> F.selu(torch.tensor([1.]))
    tensor([1.0507])
    """
    return _activate(_elu, input, (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (https://arxiv.org/abs/1704.07483).

    >>> F.celu(torch.tensor([-1.]), 2.0)
    tensor([-0.7869])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _activate(_celu, input, (float(alpha), 1.0, 1.0 / alpha), inplace)


def leaky_relu_rule(input: np.ndarray, negative_slope: float) -> np.ndarray:
    below = input * input.dtype.type(negative_slope)
    return np.maximum(input, below) if 0 <= negative_slope <= 1 else np.where(input > 0, input, below)


def leaky_relu_terms(k: Any, input: Any, negative_slope: float) -> Any:
    below = input * negative_slope
    return k.maximum(input, below) if 0 <= negative_slope <= 1 else k.select(input > 0, input, below)


_leaky_relu = Pointwise(
    "leaky_relu", "input",
    statics="negative_slope",
    numpy=leaky_relu_rule, lowering=Loop(leaky_relu_terms),
    result=_floating("leaky_relu_cpu"),
    grads={"input": leaky_relu_backward},
)  # fmt: skip


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """`input` where positive, ``negative_slope * input`` elsewhere.

    >>> F.leaky_relu(torch.tensor([-1., 1.]), 0.1)
    tensor([-0.1000,  1.0000])
    """
    return _activate(_leaky_relu, input, (float(negative_slope),), inplace)


_prelu = Pointwise(
    "prelu", "input weight",
    rounds_numbers=False, node_name="PreluKernelBackward0",
    numpy=lambda input, weight: np.where(input > 0, input, input * weight),
    lowering=Loop(lambda k, input, weight: k.select(input > 0, input, input * weight)),
    grads={
        "input": lambda g, input, weight: _where(input > 0, g, g * weight),
        "weight": lambda g, input: _where(input > 0, 0.0, g * input),
    },
)  # fmt: skip


@autocasts(LOWER)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`leaky_relu` with a learned slope, one for all or one per channel (dim 1) (https://arxiv.org/abs/1502.01852).

    >>> torch.prelu(torch.tensor([-2.]), torch.tensor([0.5]))
    tensor([-1.])
    """
    here, there = as_tensor_argument(input, "prelu")._layout, as_tensor_argument(weight, "prelu", "weight", 2)._layout
    if here.dtype is not there.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {here.dtype.type_name} and {there.dtype.type_name}")
    if there.numel != 1:
        if not here.ndim:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = here.shape[1] if here.ndim >= 2 else 1
        if channels != there.numel:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {there.numel} and channel size = {channels}.")
    if there.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {there.ndim}")
    refuse_dtypes("prelu_cpu", here.dtype, NOT_FLOAT)
    slope: Any = weight
    if there.ndim == 1 and here.ndim != 1:
        slope = weight.reshape([there.numel if d == 1 else 1 for d in range(here.ndim)]) if here.ndim >= 2 else weight.reshape(())
    return apply(_prelu, (input, slope))


_hardsigmoid = Pointwise(
    "hardsigmoid", "input",
    numpy=lambda input: np.clip(input + 3, 0, 6) / input.dtype.type(6),
    result=_floating("hardsigmoid_cpu"), lowering=Loop(lambda k, input: k.minimum(k.maximum(input + 3, 0), 6) / 6),
    grads={"input": hardsigmoid_backward},
)  # fmt: skip


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(input + 3, 0), 6) / 6``.

    >>> F.hardsigmoid(torch.tensor([0.]))
    tensor([0.5000])
    """
    return _activate(_hardsigmoid, input, inplace=inplace)


_hardswish = Pointwise(
    "hardswish", "input",
    numpy=lambda input: input * np.clip(input + 3, 0, 6) / input.dtype.type(6),
    result=_floating("hardswish_cpu"), lowering=Loop(lambda k, input: input * k.minimum(k.maximum(input + 3, 0), 6) / 6),
    grads={"input": hardswish_backward},
)  # fmt: skip


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * hardsigmoid(input)`` (https://arxiv.org/abs/1905.02244).

    >>> F.hardswish(torch.tensor([1.]))
    tensor([0.6667])
    """
    return _activate(_hardswish, input, inplace=inplace)


_hardshrink = Pointwise(
    "hardshrink", "input",
    statics="lambd",
    numpy=lambda input, lambd: np.where((input >= -lambd) & (input <= lambd), 0, input).astype(input.dtype),
    result=_floating("hardshrink_cpu"),
    lowering=Loop(lambda k, input, lambd: k.select(k.apply("and", input >= -lambd, input <= lambd), 0, input)),
    grads={"input": shrink_backward},
)  # fmt: skip


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` where its magnitude is above `lambd`, else 0.

    >>> F.hardshrink(torch.tensor([0.4, 0.6]))
    tensor([0.0000, 0.6000])
    """
    return _activate(_hardshrink, input, _narrow(as_tensor_argument(input, "hardshrink"), float(lambd)))


_softshrink = Pointwise(
    "softshrink", "input",
    statics="lambd",
    numpy=lambda input, lambd: np.where(input > lambd, input - input.dtype.type(lambd), np.where(input < -lambd, input + input.dtype.type(lambd), input * 0)),
    result=_floating("softshrink_check"),
    lowering=Loop(lambda k, input, lambd: k.select(input > lambd, input - lambd, k.select(input < -lambd, input + lambd, input * 0))),
    grads={"input": shrink_backward},
)  # fmt: skip


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` moved towards 0 by `lambd`, and 0 within it.

    >>> F.softshrink(torch.tensor([0.4, 0.75]))
    tensor([0.0000, 0.2500])
    """
    dtype = as_tensor_argument(input, "softshrink")._layout.dtype
    if dtype.is_floating_point and not 0 <= lambd <= dt.finfo(dtype).max:
        raise RuntimeError(f"lambda must be in range [0, {dt.finfo(dtype).max:g}] for input dtype {dtype.type_name}, but found {lambd:g}")
    return _activate(_softshrink, input, (float(lambd),))


def _float_space(plan: Any) -> Space | None:
    return Space(plan.outs[0].shape) if plan.operands[0].dtype in LOOPED else None


_threshold = Pointwise(
    "threshold", "input",
    statics="threshold value",
    numpy=lambda input, threshold, value: np.where(input <= threshold, np.asarray(value).astype(input.dtype), input),
    lowering=Loop(lambda k, input, threshold, value: k.select(input <= threshold, value, input), _float_space),
    result=kernel_for("threshold_cpu", bools="none", integers="same", complex=False),
    grads={"input": threshold_backward},
)  # fmt: skip


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """`input` where above `threshold`, else `value`.

    >>> F.threshold(torch.tensor([0., 2.]), 1, 9)
    tensor([9., 2.])
    """
    return _activate(_threshold, input, (threshold, value), inplace)


_logsigmoid = Pointwise(
    "logsigmoid", "input",
    numpy=lambda input: np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input))),
    result=_floating("log_sigmoid_cpu"), node_name="LogSigmoidBackward0", lowering=Loop(lambda k, input: k.function("log_sigmoid", input)),
    grads={"input": log_sigmoid_backward},
)  # fmt: skip


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(input))``.

    >>> F.logsigmoid(torch.tensor([0.]))
    tensor([-0.6931])
    """
    as_tensor_argument(input, "log_sigmoid")
    return _activate(_logsigmoid, input.contiguous())


def softsign(input: Tensor) -> Tensor:
    """``input / (1 + |input|)``.

    >>> F.softsign(torch.tensor([1.]))
    tensor([0.5000])
    """
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``.

    >>> F.tanhshrink(torch.tensor([1.]))
    tensor([0.2384])
    """
    return input - _tanh(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of `dim` times the sigmoid of the second half (https://arxiv.org/abs/1612.08083).

    >>> F.glu(torch.tensor([3., 0.]))
    tensor([1.5000])
    """
    if not input._layout.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = wrap_dim(dim, input._layout.ndim)
    size = input._layout.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    refuse_dtypes("glu_cpu", input._layout.dtype, NOT_FLOAT)
    return titled(input.narrow(dim, 0, size // 2) * sigmoid(input.narrow(dim, size // 2, size // 2)), "GluBackward0")


def _in_place(function: Any) -> Any:
    """The in-place form that `torch.nn.functional` has beside ``inplace=True``."""

    def op(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)

    name = function.__name__.removeprefix("functional_")
    op.__name__ = op.__qualname__ = f"{name}_"
    op.__doc__ = f"In-place version of `{name}`."
    return op


relu_, celu_, elu_, hardtanh_ = _in_place(functional_relu), _in_place(celu), _in_place(elu), _in_place(hardtanh)
leaky_relu_, selu_, threshold_ = _in_place(leaky_relu), _in_place(selu), _in_place(threshold)
