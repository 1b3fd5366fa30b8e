"""Clamps, interpolation, and short formulas of one, two or three operands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop
from ..storage import TensorBase
from .card import Pointwise, apply, write_into
from .define import CARD_OF, alias, as_operand, as_tensor_argument, binary, kernel_for, unary, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor

square = unary(
    "square", np.square,
    """``input * input``.

    >>> torch.square(torch.tensor([3.]))
    tensor([9.])
    """,
    grad=lambda g, input: g * (2 * input).conj(), node_name="PowBackward0",
    result=lambda common: (dt.int64, dt.int64) if common.category == dt.BOOL else (common, common),
    lowering=Loop(lambda k, input: input * input),
)  # fmt: skip
reciprocal = unary(
    "reciprocal", lambda x: 1 / x,
    """``1 / input``.

    >>> torch.reciprocal(torch.tensor([4.]))
    tensor([0.2500])
    """,
    result="float", grad=lambda g, output: -g * (output * output).conj(), onnx="Reciprocal",
    lowering=Loop(lambda k, input: 1 / input),
)  # fmt: skip
rsqrt = unary(
    "rsqrt", lambda x: 1 / np.sqrt(x),
    """``1 / sqrt(input)``.

    >>> torch.rsqrt(torch.tensor([4.]))
    tensor([0.5000])
    """,
    result="float", grad=lambda g, output: -0.5 * g * (output * output * output).conj(), lowering=Loop(lambda k, input: 1 / k.sqrt(input)),
)  # fmt: skip
exp2 = unary(
    "exp2", np.exp2,
    """Two to the power of each element.

    >>> torch.exp2(torch.tensor([3.]))
    tensor([8.])
    """,
    result="float", grad=lambda g, output: g * (output * math.log(2)).conj(), lowering=Loop(lambda k, input: k.function("exp2", input)),
)  # fmt: skip
expm1 = unary(
    "expm1", np.expm1,
    """``exp(input) - 1``, exact for small numbers.

    >>> torch.expm1(torch.tensor([0.]))
    tensor([0.])
    """,
    result="float", grad=lambda g, output: g * (output + 1).conj(), lowering=Loop(lambda k, input: k.function("expm1", input)),
)  # fmt: skip
log2 = unary(
    "log2", np.log2,
    """The logarithm to base 2.

    >>> torch.log2(torch.tensor([8.]))
    tensor([3.])
    """,
    result="float", grad=lambda g, input: g / (input * math.log(2)).conj(), lowering=Loop(lambda k, input: k.function("log2", input)),
)  # fmt: skip
def _log10_rule(x: np.ndarray) -> np.ndarray:
    # NumPy's float32 log10 misses exact powers of ten by a bit.
    return np.log10(x.astype(np.float64)).astype(x.dtype) if x.dtype == np.float32 else np.log10(x)


log10 = unary(
    "log10", _log10_rule,
    """The logarithm to base 10.

    >>> torch.log10(torch.tensor([100.]))
    tensor([2.])
    """,
    result="float", grad=lambda g, input: g / (input * math.log(10)).conj(), lowering=Loop(lambda k, input: k.function("log10", input)),
)  # fmt: skip
log1p = unary(
    "log1p", np.log1p,
    """``log(1 + input)``, exact for small numbers.

    >>> torch.log1p(torch.tensor([0.]))
    tensor([0.])
    """,
    result="float", grad=lambda g, input: g / (input + 1).conj(), node_name="Log1PBackward0", lowering=Loop(lambda k, input: k.function("log1p", input)),
)  # fmt: skip
sinc = unary(
    "sinc", lambda x: np.sinc(x),
    """``sin(pi x) / (pi x)``, 1 at 0.

    >>> torch.sinc(torch.tensor([0.]))
    tensor([1.])
    """,
    result="float",
    grad=lambda g, input: g * (((input * math.pi).cos() * (input * math.pi) - (input * math.pi).sin()) / (input * input * math.pi)).masked_fill(input == 0, 0).conj(),
    lowering=Loop(lambda k, input: k.select(k.compare("eq", input, 0), 1, k.function("sin", input * math.pi) / (input * math.pi))),
)  # fmt: skip


def _no_complex(name: str) -> Any:
    def rule(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        if common.is_complex:
            raise RuntimeError(f"{name} is not supported for complex tensors.")
        return (common,) * 2 if common.category == dt.FLOAT else (dt.get_default_dtype(),) * 2

    return rule


deg2rad = unary(
    "deg2rad", lambda x: x * x.dtype.type(math.pi / 180),
    """Degrees to radians.

    >>> torch.deg2rad(torch.tensor([180.]))
    tensor([3.1416])
    """,
    result=_no_complex("deg2rad"), grad=lambda g: g * (math.pi / 180), node_name="Deg2RadBackward0",
    lowering=Loop(lambda k, input: input * (math.pi / 180)),
)  # fmt: skip
rad2deg = unary(
    "rad2deg", lambda x: x * x.dtype.type(180 / math.pi),
    """Radians to degrees.

    >>> torch.rad2deg(torch.tensor([3.14159274]))
    tensor([180.])
    """,
    result=_no_complex("rad2deg"), grad=lambda g: g * (180 / math.pi), node_name="Rad2DegBackward0",
    lowering=Loop(lambda k, input: input * (180 / math.pi)),
)  # fmt: skip


def positive(input: Tensor) -> Tensor:
    """`input` itself; bool is refused.

    >>> torch.positive(torch.tensor([-1]))
    tensor([-1])
    """
    if input._layout.dtype is dt.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


_logit = Pointwise(
    "logit", "input",
    statics="eps",
    numpy=lambda input, eps: _logit_rule(input, eps), result=kernel_for("logit_cpu", complex=False),
    grads={"input": lambda g, input, eps: _logit_grad(g, input, eps)}, lowering=Loop(lambda k, input, eps: _logit_terms(k, input, eps)),
)  # fmt: skip


def _logit_rule(x: np.ndarray, eps: float | None) -> np.ndarray:
    if eps is not None:
        x = np.clip(x, x.dtype.type(eps), x.dtype.type(1 - eps))
    return np.log(x / (1 - x))


def _logit_terms(k: Any, input: Any, eps: float | None) -> Any:
    if eps is not None:
        input = k.minimum(k.maximum(input, eps), 1 - eps)
    return k.log(input / (1 - input))


def _logit_grad(g: Tensor, input: Tensor, eps: float | None) -> Tensor:
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    outside = (input < low) | (input > high)
    return (g / (input * (1 - input))).masked_fill(outside, math.nan if eps is None else 0.0)


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """``log(input / (1 - input))``, with `input` clamped to ``eps .. 1 - eps`` when `eps` is given.

    >>> torch.logit(torch.tensor([0.5]))
    tensor([0.])
    """
    found = apply(_logit, (as_tensor_argument(input, "logit"),), (eps,))
    return found if out is None else write_out(out, found, input)


# Two operands


hypot = binary(
    "hypot", np.hypot,
    """``sqrt(input ** 2 + other ** 2)``.

    >>> torch.hypot(torch.tensor([3.]), torch.tensor([4.]))
    tensor([5.])
    """,
    result=kernel_for("hypot_cpu", bools="none", integers="none", complex=False), numbers="none",
    grad_input=lambda g, input, output: g * (input / output),
    grad_other=lambda g, other, output: g * (other / output), lowering=Loop(lambda k, input, other: k.function("hypot", input, other)),
)  # fmt: skip


def _logaddexp_rule(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "c":
        return np.logaddexp(a, b)
    larger = np.where(a.real >= b.real, a, b)
    return larger + np.log(np.exp(a - larger) + np.exp(b - larger))


def _logaddexp_terms(k: Any, input: Any, other: Any) -> Any:
    apart = k.abs(input - other)  # nan for two infinities of one sign
    apart = k.select(k.compare("eq", input, other), 0.0, apart)
    return k.maximum(input, other) + k.function("log1p", k.exp(-apart))


logaddexp = binary(
    "logaddexp", _logaddexp_rule,
    """``log(exp(input) + exp(other))``, without overflow.

    >>> torch.logaddexp(torch.tensor([0.]), torch.tensor([0.]))
    tensor([0.6931])
    """,
    result=kernel_for("logaddexp_cpu", bools="none", integers="none"), numbers="none",
    grad_input=lambda g, input, other: g / (1 + (other - input).exp()).conj(),
    grad_other=lambda g, input, other: g / (1 + (input - other).exp()).conj(),
    lowering=Loop(lambda k, input, other: _logaddexp_terms(k, input, other)),
)  # fmt: skip
def _logaddexp2_terms(k: Any, input: Any, other: Any) -> Any:
    apart = k.select(k.compare("eq", input, other), 0.0, k.abs(input - other))
    return k.maximum(input, other) + k.function("log1p", k.function("exp2", -apart)) * (1 / math.log(2))


logaddexp2 = binary(
    "logaddexp2", np.logaddexp2,
    """``log2(2 ** input + 2 ** other)``, without overflow.

    >>> torch.logaddexp2(torch.tensor([0.]), torch.tensor([0.]))
    tensor([1.])
    """,
    result=kernel_for("logaddexp2_cpu", bools="none", integers="none", complex=False), numbers="none",
    grad_input=lambda g, input, other: g / (1 + (other - input).exp2()),
    grad_other=lambda g, input, other: g / (1 + (input - other).exp2()),
    lowering=Loop(lambda k, input, other: _logaddexp2_terms(k, input, other)),
)  # fmt: skip


def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place version of `float_power`, for float64 or complex128."""
    wide = any(v._layout.dtype.is_complex if isinstance(v, TensorBase) else isinstance(v, complex) for v in (self, exponent))
    dtype = dt.complex128 if wide else dt.float64
    if self._layout.dtype is not dtype:
        raise RuntimeError(f"the base given to float_power_ has dtype {self._layout.dtype.type_name} but the operation's result requires dtype {dtype.type_name}")
    return self.pow_(exponent.to(dtype) if isinstance(exponent, TensorBase) else exponent)  # type: ignore[attr-defined]


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent`` in float64, or complex128.

    >>> torch.float_power(torch.tensor([2]), 3)
    tensor([8.], dtype=torch.float64)
    """
    wide = [v for v in (input, exponent) if (v._layout.dtype.is_complex if isinstance(v, TensorBase) else isinstance(v, complex))]
    dtype = dt.complex128 if wide else dt.float64
    base, power = (v.to(dtype) if isinstance(v, TensorBase) else dtype.numpy.type(v).item() for v in (input, exponent))  # type: ignore[attr-defined]
    found = base**power
    return found if out is None else write_out(out, found, input, exponent)


# Clamp


def _clamp_rule(*arrays: Any, has_min: bool, has_max: bool) -> Any:
    x, *bounds = arrays
    if has_min:
        x = np.maximum(x, bounds[0])
    if has_max:
        x = np.minimum(x, bounds[-1])
    return x


def _clamp_backward(g: Tensor, input: Tensor, bounds: Any, needs: Any, has_min: bool, has_max: bool) -> list[Any]:
    low: Any = bounds[0] if has_min else None
    high: Any = bounds[-1] if has_max else None
    inside: Any = None
    if has_min:
        inside = input >= low
    if has_max:
        inside = input <= high if inside is None else inside & (input <= high)
    grads: list[Any] = [g * inside if needs[0] else None]
    if has_min:
        below = input < low if not has_max else (input < low) & (low < high)
        grads.append(g * below if needs[1] else None)
    if has_max:
        above = input > high if not has_min else (input > high) | (high < low)
        grads.append(g * above if needs[-1] else None)
    return grads


def _clamp_terms(k: Any, input: Any, *bounds: Any, has_min: bool, has_max: bool) -> Any:
    if has_min:
        input = k.maximum(input, bounds[0])
    return k.minimum(input, bounds[-1]) if has_max else input


def _clamp_card(name: str, overloads: str) -> Pointwise:
    return Pointwise(
        name, "input bounds",
        statics="has_min has_max",
        numpy=_clamp_rule, backward=_clamp_backward, result=lambda common: _no_complex_clamp(common),
        variadic=True, overloads=overloads, onnx="Clip", lowering=Loop(_clamp_terms),
    )  # fmt: skip


_clamp, _clamp_min, _clamp_max = _clamp_card("clamp", "01"), _clamp_card("clamp_min", "10"), _clamp_card("clamp_max", "10")


def _no_complex_clamp(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return common, common


def _check_clamp(function: str, dtype: dt.dtype, bounds: tuple[Any, ...], only_max: bool) -> None:
    """Refuse the dtypes for which PyTorch has no kernel: one bound that is a tensor is `maximum` or `minimum`, which take bools."""
    one = len(bounds) == 1
    if one and isinstance(bounds[0], TensorBase):
        if dtype.is_complex and function[:6] == "clamp_" and function[6:]:
            raise NotImplementedError(f"\"{'minimum' if only_max else 'maximum'}_cpu\" not implemented for '{dtype.type_name}'")
    elif dtype is dt.bool_ and all((b._layout.dtype if isinstance(b, TensorBase) else type(b)) in (dt.bool_, bool) for b in bounds):
        kernel = "clamp_cpu" if isinstance(bounds[0], TensorBase) else "clamp_scalar_cpu" if not one else f"clamp_{'max' if only_max else 'min'}_scalar_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _clamp_operands(input: Any, min: Any, max: Any, function: str) -> tuple[tuple[Any, ...], tuple[bool, bool]]:
    as_tensor_argument(input, function)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if min is not None and max is not None and isinstance(min, TensorBase) is not isinstance(max, TensorBase):
        raise TypeError(f"{function}() received an invalid combination of arguments: min and max must both be tensors or both be numbers")
    bounds = tuple(as_operand(b, function, name, n) for n, (name, b) in enumerate((("min", min), ("max", max)), 2) if b is not None)
    _check_clamp(function, input._layout.dtype, bounds, min is None)
    return (input, *bounds), (min is not None, max is not None)


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """`input` with what is below `min` raised to it and what is above `max` lowered to it.

    >>> torch.clamp(torch.tensor([-1., 0.5, 2.]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    found = apply(_clamp, *_clamp_operands(input, min, max, "clamp"))
    exact = None if isinstance(min, TensorBase) or isinstance(max, TensorBase) else "Found dtype {have} but expected {want}"
    return found if out is None else write_out(out, found, input, min, max, exact=exact)


def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place version of `clamp`."""
    operands, given = _clamp_operands(self, min, max, "clamp_")
    dtype = self._layout.dtype
    if dtype.category < dt.FLOAT and any(isinstance(b, float) for b in operands[1:]):
        raise RuntimeError(f"result type Float can't be cast to the desired output type {dt.c_name(dtype)}")
    return write_into(_clamp, self, operands, given)


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """`input` with what is below `min` raised to it.

    >>> torch.clamp_min(torch.tensor([-1., 2.]), 0)
    tensor([0., 2.])
    """
    found = apply(_clamp_min, *_clamp_operands(input, min, None, "clamp_min"))
    return found if out is None else write_out(out, found, input, min)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """`input` with what is above `max` lowered to it.

    >>> torch.clamp_max(torch.tensor([-1., 2.]), 0)
    tensor([-1.,  0.])
    """
    found = apply(_clamp_max, *_clamp_operands(input, None, max, "clamp_max"))
    return found if out is None else write_out(out, found, input, max)


# Three operands


def _lerp_rule(input: Any, end: Any, weight: Any) -> Any:
    # From the nearer end, so that weight 1 gives `end` exactly.
    return np.where(np.abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))


def _conjugate(value: Any) -> Any:
    return value.conjugate() if isinstance(value, int | float | complex) else value.conj()


_lerp = Pointwise(
    "lerp", "input end weight",
    numpy=_lerp_rule, rounds_numbers=False, overloads="10",
    lowering=Loop(lambda k, input, end, weight: k.select(k.abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))),
    grads={
        "input": lambda g, weight: g * _conjugate(1 - weight),
        "end": lambda g, weight: g * _conjugate(weight),
        "weight": lambda g, input, end: g * (end - input).conj(),
    },
)  # fmt: skip


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """``input + weight * (end - input)``.

    >>> torch.lerp(torch.tensor([0.]), torch.tensor([10.]), 0.25)
    tensor([2.5000])
    """
    found = apply(_lerp, _lerp_operands("lerp", input, end, weight))
    return found if out is None else write_out(out, found, input, end, weight)


def _lerp_operands(function: str, input: Tensor, end: Tensor, weight: Any) -> tuple[Any, ...]:
    dtype = as_tensor_argument(input, function)._layout.dtype
    _same_dtype(input, as_tensor_argument(end, function, "end", 2), "end")
    if isinstance(weight, TensorBase):
        if weight._layout.ndim:
            _same_dtype(input, weight, "weight")
    else:
        weight = as_operand(weight, function, "weight", 3)
    if dtype.category < dt.FLOAT:
        kernel = "lerp_kernel_tensor" if isinstance(weight, TensorBase) and weight._layout.ndim else "lerp_kernel_scalar"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")
    if isinstance(weight, complex) and not dtype.is_complex:
        raise RuntimeError(f"value cannot be converted to type {dt.c_name(dtype)} without overflow")
    return input, end, weight


def _same_dtype(input: TensorBase, other: TensorBase, name: str) -> None:
    if input._layout.dtype is not other._layout.dtype:
        raise RuntimeError(f"expected dtype {dt.c_name(input._layout.dtype)} for `{name}` but got dtype {dt.c_name(other._layout.dtype)}")


def lerp_(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    """In-place version of `lerp`."""
    return write_into(_lerp, self, _lerp_operands("lerp_", self, end, weight))


_addcmul = Pointwise(
    "addcmul", "input tensor1 tensor2 value",
    numpy=lambda input, tensor1, tensor2, value: input + np.asarray(value, np.result_type(input)) * tensor1 * tensor2, rounds_numbers=False,
    result=kernel_for("addcmul_cpu_out", bools="none", integers="same"),
    unpromoted=(3,), lowering=Loop(lambda k, input, tensor1, tensor2, value: input + k.convert(value, input.type) * tensor1 * tensor2),
    grads={
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * (tensor2 * value).conj(),
        "tensor2": lambda g, tensor1, value: g * (tensor1 * value).conj(),
    },
)  # fmt: skip
_addcdiv = Pointwise(
    "addcdiv", "input tensor1 tensor2 value",
    numpy=lambda input, tensor1, tensor2, value: input + np.asarray(value, np.result_type(input)) * (tensor1 / tensor2), rounds_numbers=False,
    unpromoted=(3,), lowering=Loop(lambda k, input, tensor1, tensor2, value: input + k.convert(value, input.type) * (tensor1 / tensor2)),
    grads={
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * (value / tensor2).conj(),
        "tensor2": lambda g, tensor1, tensor2, value: -g * (value * tensor1 / (tensor2 * tensor2)).conj(),
    },
)  # fmt: skip


def _check_integer_division(tensor1: TensorBase, tensor2: TensorBase) -> None:
    if tensor1._layout.dtype.category < dt.FLOAT and tensor2._layout.dtype.category < dt.FLOAT:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
        )


def _scaled_operands(function: str, first: int, input: Tensor, tensor1: Any, tensor2: Any, value: Any) -> tuple[Any, ...]:
    """The operands of `addcmul` and `addcdiv`; `first` is the position of `tensor1`."""
    for n, (name, tensor) in enumerate((("tensor1", tensor1), ("tensor2", tensor2)), first):
        as_tensor_argument(tensor, function, name, n)
    value = as_operand(value, function, "value", 4)
    common = dt.promote_cached(dt.promote_cached(input._layout.dtype, tensor1._layout.dtype), tensor2._layout.dtype)
    if isinstance(value, complex) and not common.is_complex:
        raise RuntimeError(f"value cannot be converted to type {dt.c_name(common)} without overflow")
    return input, tensor1, tensor2, value


def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input + value * tensor1 * tensor2``.

    >>> torch.addcmul(torch.tensor([1.]), torch.tensor([2.]), torch.tensor([3.]), value=10)
    tensor([61.])
    """
    as_tensor_argument(input, "addcmul")
    found = apply(_addcmul, _scaled_operands("addcmul", 2, input, tensor1, tensor2, value))
    return found if out is None else write_out(out, found, input, tensor1, tensor2)


def addcmul_(self: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """In-place version of `addcmul`."""
    return write_into(_addcmul, self, _scaled_operands("addcmul_", 1, self, tensor1, tensor2, value))


def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input + value * tensor1 / tensor2``.

    >>> torch.addcdiv(torch.tensor([1.]), torch.tensor([6.]), torch.tensor([3.]), value=10)
    tensor([21.])
    """
    as_tensor_argument(input, "addcdiv")
    operands = _scaled_operands("addcdiv", 2, input, tensor1, tensor2, value)
    _check_integer_division(tensor1, tensor2)
    found = apply(_addcdiv, operands)
    return found if out is None else write_out(out, found, input, tensor1, tensor2)


def addcdiv_(self: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """In-place version of `addcdiv`."""
    operands = _scaled_operands("addcdiv_", 1, self, tensor1, tensor2, value)
    _check_integer_division(tensor1, tensor2)
    return write_into(_addcdiv, self, operands)


_angle = Pointwise(
    "angle", "input",
    numpy=lambda input: np.where(np.isnan(input), input, np.where(np.less(input, 0), input.dtype.type(np.pi), input.dtype.type(0))) if input.dtype.kind == "f" else np.angle(input),
    result=lambda common: (common, common.to_real()) if common.category >= dt.FLOAT else (dt.get_default_dtype(),) * 2,
    grads={"input": lambda g, input: g * 0 if not input.is_complex() else _angle_grad(g, input)},
)  # fmt: skip


def _angle_grad(g: Tensor, input: Tensor) -> Tensor:
    square = (input * input.conj()).real
    return ((g * 1j) * input / square).masked_fill(square == 0, 0)


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The angle of complex numbers; 0 or pi of real ones.

    >>> torch.angle(torch.tensor([1j, -1]))
    tensor([1.5708, 3.1416])
    """
    found = apply(_angle, (input,))
    return found if out is None else write_out(out, found, input)


CARD_OF[angle] = _angle
clip, clip_ = alias(clamp, "clip"), alias(clamp_, "clip_")
