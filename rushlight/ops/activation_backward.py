"""The gradients of activation functions of their input, one entry each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.lowering import Loop
from .card import Pointwise, apply
from .erf import erf_array
from .gradient_entry import through

if TYPE_CHECKING:
    from ..tensor import Tensor


def logistic(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, which never overflows in float arithmetic that saturates."""
    found = np.negative(x, out=np.empty_like(x))
    np.exp(found, out=found)
    found += 1
    return np.reciprocal(found, out=found)


def _where(condition: Any, a: Any, b: Any) -> Any:
    from .combine import where

    return where(condition, a, b)


def _gated(grad_output: np.ndarray, passes: np.ndarray) -> np.ndarray:
    return np.where(passes, grad_output, grad_output.dtype.type(0))


# Smooth ones


def _gelu_rule(grad_output: np.ndarray, input: np.ndarray, approximate: str) -> np.ndarray:
    number = input.dtype.type
    if approximate == "tanh":
        square = input * input
        scale = number(math.sqrt(2 / math.pi))
        t = np.tanh(scale * input * (1 + number(0.044715) * square))
        slope = number(0.5) * (1 + t) + number(0.5) * input * (1 - t * t) * scale * (1 + number(3 * 0.044715) * square)
    else:
        slope = erf_array(input * number(math.sqrt(0.5)))
        slope += 1
        slope *= number(0.5)
        slope += input * np.exp(number(-0.5) * input * input) * number(1 / math.sqrt(2 * math.pi))
    return grad_output * slope


def _gelu_formula(grad_output: Tensor, input: Tensor, approximate: str) -> Tensor:
    if approximate == "tanh":
        scale = math.sqrt(2 / math.pi)
        t = (scale * (input + 0.044715 * input * input * input)).tanh()
        return grad_output * (0.5 * (1 + t) + 0.5 * input * (1 - t * t) * scale * (1 + 3 * 0.044715 * input * input))
    cdf = 0.5 * (1 + (input * math.sqrt(0.5)).erf())
    return grad_output * (cdf + input * (-0.5 * input * input).exp() * (1 / math.sqrt(2 * math.pi)))


_gelu = Pointwise(
    "gelu_backward", "grad_output input",
    statics="approximate", outputs="grad_input",
    numpy=_gelu_rule, lowering=Loop(lambda k, grad_output, input, approximate: k.function("gelu_tanh_gradient" if approximate == "tanh" else "gelu_gradient", grad_output, input)),
    backward=lambda g, grad_output, input, needs, approximate: through(_gelu_formula, g, needs, (grad_output, input), approximate),
)  # fmt: skip


def gelu_backward(grad_output: Tensor, input: Tensor, approximate: str) -> Tensor:
    return apply(_gelu, (grad_output, input), (approximate,))


def _silu_rule(grad_output: np.ndarray, input: np.ndarray) -> np.ndarray:
    s = logistic(input)
    return grad_output * (s * (1 + input * (1 - s))).conj()


def _silu_formula(grad_output: Tensor, input: Tensor) -> Tensor:
    s = input.sigmoid()
    return grad_output * (s * (1 + input * (1 - s))).conj()


_silu = Pointwise(
    "silu_backward", "grad_output input",
    outputs="grad_input", numpy=_silu_rule, lowering=Loop(lambda k, grad_output, input: _silu_terms(k, grad_output, input)),
    backward=lambda g, grad_output, input, needs: through(_silu_formula, g, needs, (grad_output, input)),
)  # fmt: skip


def _silu_terms(k: Any, grad_output: Any, input: Any) -> Any:
    s = k.function("sigmoid", input)
    return grad_output * (s * (1 + input * (1 - s)))


def silu_backward(grad_output: Tensor, input: Tensor) -> Tensor:
    return apply(_silu, (grad_output, input))


def _mish_rule(grad_output: np.ndarray, input: np.ndarray) -> np.ndarray:
    t = np.tanh(np.maximum(input, 0) + np.log1p(np.exp(-np.abs(input))))
    return grad_output * (t + input * logistic(input) * (1 - t * t))


def _mish_formula(grad_output: Tensor, input: Tensor) -> Tensor:
    from .activation import softplus

    t = softplus(input).tanh()
    return grad_output * (t + input * input.sigmoid() * (1 - t * t))


def _mish_terms(k: Any, grad_output: Any, input: Any) -> Any:
    t = k.function("tanh", k.function("log1p_exp", input))
    return grad_output * (t + input * k.function("sigmoid", input) * (1 - t * t))


_mish = Pointwise(
    "mish_backward", "grad_output input",
    outputs="grad_input", numpy=_mish_rule, lowering=Loop(_mish_terms),
    backward=lambda g, grad_output, input, needs: through(_mish_formula, g, needs, (grad_output, input)),
)  # fmt: skip


def mish_backward(grad_output: Tensor, input: Tensor) -> Tensor:
    return apply(_mish, (grad_output, input))


def _softplus_formula(grad_output: Tensor, input: Tensor, beta: float, threshold: float) -> Tensor:
    return _where(input * beta > threshold, grad_output, grad_output * (input * beta).sigmoid())


_softplus = Pointwise(
    "softplus_backward", "grad_output input",
    statics="beta threshold", outputs="grad_input",
    numpy=lambda grad_output, input, beta, threshold: np.where(input * beta > threshold, grad_output, grad_output * logistic(input * beta)),
    lowering=Loop(lambda k, grad_output, input, beta, threshold: k.select(input * beta > threshold, grad_output, grad_output * k.function("sigmoid", input * beta))),
    backward=lambda g, grad_output, input, needs, beta, threshold: through(_softplus_formula, g, needs, (grad_output, input), beta, threshold),
)  # fmt: skip


def softplus_backward(grad_output: Tensor, input: Tensor, beta: float, threshold: float) -> Tensor:
    return apply(_softplus, (grad_output, input), (beta, threshold))


def _elu_rule(grad_output: np.ndarray, input: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    number = input.dtype.type
    slope = np.minimum(input, number(0))
    slope *= number(input_scale)
    slope = np.exp(slope)
    slope *= number(alpha * scale * input_scale)
    return grad_output * np.where(input <= 0, slope, number(scale))


def _elu_terms(k: Any, grad_output: Any, input: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = k.exp(k.minimum(input, 0) * input_scale) * (alpha * scale * input_scale)
    return grad_output * k.select(input <= 0, below, scale)


def _elu_formula(grad_output: Tensor, input: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    below = (input.clamp(max=0) * input_scale).exp() * (alpha * scale * input_scale)
    return grad_output * _where(input <= 0, below, scale)


_elu = Pointwise(
    "elu_backward", "grad_output input",
    statics="alpha scale input_scale", outputs="grad_input", numpy=_elu_rule, lowering=Loop(_elu_terms),
    backward=lambda g, grad_output, input, needs, alpha, scale, input_scale: through(_elu_formula, g, needs, (grad_output, input), alpha, scale, input_scale),
)  # fmt: skip


def elu_backward(grad_output: Tensor, input: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    return apply(_elu, (grad_output, input), (alpha, scale, input_scale))


_log_sigmoid = Pointwise(
    "log_sigmoid_backward", "grad_output input",
    outputs="grad_input",
    numpy=lambda grad_output, input: grad_output * logistic(-input),
    lowering=Loop(lambda k, grad_output, input: grad_output * k.function("sigmoid", -input)),
    backward=lambda g, grad_output, input, needs: through(lambda grad_output, input: grad_output * (-input).sigmoid(), g, needs, (grad_output, input)),
)  # fmt: skip


def log_sigmoid_backward(grad_output: Tensor, input: Tensor) -> Tensor:
    return apply(_log_sigmoid, (grad_output, input))


def _hardswish_rule(grad_output: np.ndarray, input: np.ndarray) -> np.ndarray:
    number = input.dtype.type
    return np.where(input <= -3, number(0), np.where(input < 3, grad_output * (input / number(3) + number(0.5)), grad_output))


def _hardswish_formula(grad_output: Tensor, input: Tensor) -> Tensor:
    return _where(input <= -3, 0.0, _where(input < 3, grad_output * (input / 3 + 0.5), grad_output))


_hardswish = Pointwise(
    "hardswish_backward", "grad_output input",
    outputs="grad_input", numpy=_hardswish_rule,
    lowering=Loop(lambda k, grad_output, input: k.select(input <= -3, 0, k.select(input < 3, grad_output * (input / 3 + 0.5), grad_output))),
    backward=lambda g, grad_output, input, needs: through(_hardswish_formula, g, needs, (grad_output, input)),
)  # fmt: skip


def hardswish_backward(grad_output: Tensor, input: Tensor) -> Tensor:
    return apply(_hardswish, (grad_output, input))


# Piecewise linear ones, whose gradient is linear in `grad_output` and has slope zero in `input`


def _no_slope(g: Tensor) -> Tensor:
    return g.new_zeros(g.shape)


_leaky_relu = Pointwise(
    "leaky_relu_backward", "grad_output input",
    statics="negative_slope", outputs="grad_input",
    numpy=lambda grad_output, input, negative_slope: np.where(input > 0, grad_output, grad_output * input.dtype.type(negative_slope)),
    lowering=Loop(lambda k, grad_output, input, negative_slope: k.select(input > 0, grad_output, grad_output * negative_slope)),
    grads={"grad_output": lambda g, input, negative_slope: leaky_relu_backward(g, input, negative_slope), "input": _no_slope},
)  # fmt: skip


def leaky_relu_backward(grad_output: Tensor, input: Tensor, negative_slope: float) -> Tensor:
    return apply(_leaky_relu, (grad_output, input), (negative_slope,))


_hardtanh = Pointwise(
    "hardtanh_backward", "grad_output input",
    statics="min_val max_val", outputs="grad_input",
    numpy=lambda grad_output, input, min_val, max_val: _gated(grad_output, ~((input <= min_val) | (input >= max_val))),
    lowering=Loop(lambda k, grad_output, input, min_val, max_val: k.select(k.apply("or", input <= min_val, input >= max_val), 0, grad_output)),
    grads={"grad_output": lambda g, input, min_val, max_val: hardtanh_backward(g, input, min_val, max_val), "input": _no_slope},
)  # fmt: skip


def hardtanh_backward(grad_output: Tensor, input: Tensor, min_val: float, max_val: float) -> Tensor:
    return apply(_hardtanh, (grad_output, input), (min_val, max_val))


_hardsigmoid = Pointwise(
    "hardsigmoid_backward", "grad_output input",
    outputs="grad_input",
    numpy=lambda grad_output, input: _gated(grad_output / grad_output.dtype.type(6), (input > -3) & (input < 3)),
    lowering=Loop(lambda k, grad_output, input: k.select(k.apply("and", input > -3, input < 3), grad_output / 6, 0)),
    grads={"grad_output": lambda g, input: hardsigmoid_backward(g, input), "input": _no_slope},
)  # fmt: skip


def hardsigmoid_backward(grad_output: Tensor, input: Tensor) -> Tensor:
    return apply(_hardsigmoid, (grad_output, input))


_shrink = Pointwise(
    "shrink_backward", "grad_output input",
    statics="lambd", outputs="grad_input",
    numpy=lambda grad_output, input, lambd: _gated(grad_output, ~((input >= -lambd) & (input <= lambd))),
    lowering=Loop(lambda k, grad_output, input, lambd: k.select(k.apply("and", input >= -lambd, input <= lambd), 0, grad_output)),
    grads={"grad_output": lambda g, input, lambd: shrink_backward(g, input, lambd), "input": _no_slope},
)  # fmt: skip


def shrink_backward(grad_output: Tensor, input: Tensor, lambd: float) -> Tensor:
    """Of `hardshrink` and `softshrink`: `grad_output` where the magnitude of `input` is above `lambd`."""
    return apply(_shrink, (grad_output, input), (lambd,))
