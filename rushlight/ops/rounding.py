"""Rounding, signs, and the parts of floating-point numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import FLOATING, Loop, elementwise
from ..engine.terms import FLOATS
from ..storage import TensorBase
from .card import Card, Pointwise, apply
from .complex import sign_rule, sign_terms
from .define import CARD_OF, alias, as_tensor_argument, binary, kernel_for, unary, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor


def _rounding(name: str) -> Any:
    """The type rule of ceil, floor and trunc: complex is refused, and bool, for which PyTorch has no kernel."""
    kernel = kernel_for(f"{name}_vml_cpu", bools="none", integers="same")

    def rule(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        if common.is_complex:
            raise NotImplementedError(f"{name} is not supported for complex inputs")
        return kernel(common)

    return rule


def _on_floats(ufunc: Any) -> Any:
    """A rounding as a rule that leaves integers as they are."""
    return lambda x: ufunc(x) if x.dtype.kind == "f" else x.copy()


def _on_float_terms(op: str) -> Loop:
    return Loop(lambda k, input: k.apply(op, input) if input.type in FLOATS else input)


ceil = unary(
    "ceil", _on_floats(np.ceil),
    """The smallest integer not below each element.

    >>> torch.ceil(torch.tensor([0.2, -0.2]))
    tensor([1., -0.])
    """,
    result=_rounding("ceil"), grad=lambda g: g * 0, onnx="Ceil", out_dtype="same", lowering=_on_float_terms("ceil"),
)  # fmt: skip
floor = unary(
    "floor", _on_floats(np.floor),
    """The largest integer not above each element.

    >>> torch.floor(torch.tensor([0.2, -0.2]))
    tensor([ 0., -1.])
    """,
    result=_rounding("floor"), grad=lambda g: g * 0, onnx="Floor", out_dtype="same", lowering=_on_float_terms("floor"),
)  # fmt: skip
trunc = unary(
    "trunc", _on_floats(np.trunc),
    """The integer part.

    >>> torch.trunc(torch.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """,
    result=_rounding("trunc"), grad=lambda g: g * 0, out_dtype="same", lowering=_on_float_terms("trunc"),
)  # fmt: skip
fix = alias(trunc, "fix")
frac = unary(
    "frac", lambda x: x - np.trunc(x),
    """The part behind the point, with the sign of the number.

    >>> torch.frac(torch.tensor([1.5, -2.25]))
    tensor([ 0.5000, -0.2500])
    """,
    result=kernel_for("frac_cpu", bools="none", integers="none", complex=False), grad=lambda g: g, out_dtype="same",
    lowering=Loop(lambda k, input: input - k.apply("trunc", input)),
)  # fmt: skip


def _round_rule(input: np.ndarray, decimals: int) -> np.ndarray:
    if input.dtype.kind != "f":
        return input.copy()
    if decimals == 0:
        return np.rint(input)
    scale = input.dtype.type(10.0 ** abs(decimals))
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


def _round_terms(k: Any, input: Any, decimals: int) -> Any:
    if input.type not in FLOATS:
        return input
    if decimals == 0:
        return k.apply("rint", input)
    scale = 10.0 ** abs(decimals)
    return k.apply("rint", input * scale) / scale if decimals > 0 else k.apply("rint", input / scale) * scale


_round = Pointwise("round", "input", statics="decimals", numpy=_round_rule, lowering=Loop(_round_terms), result=kernel_for("round_vml_cpu", bools="none", integers="same", complex=False), grads={"input": lambda g: g * 0}, onnx="Round")


def round(input: Tensor, *, decimals: int | None = None, out: Tensor | None = None) -> Tensor:
    """Rounded to the nearest integer, halves to even, or to `decimals` places.

    >>> torch.round(torch.tensor([0.5, 1.5, 2.5]))
    tensor([0., 2., 2.])
    """
    as_tensor_argument(input, "round")
    if decimals is not None and input._layout.dtype.category < dt.FLOAT:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{input._layout.dtype.type_name}'")
    found = apply(_round, (input,), (decimals or 0,))
    if out is not None and out._layout.dtype is not found._layout.dtype:
        raise RuntimeError(f"Found dtype {out._layout.dtype.type_name} but expected {found._layout.dtype.type_name}")
    return found if out is None else write_out(out, found, input)


sign = unary(
    "sign", sign_rule,
    """-1, 0 or 1 by the sign of each element.

    >>> torch.sign(torch.tensor([-2., 0., 5.]))
    tensor([-1.,  0.,  1.])
    """,
    result=lambda common: _no_complex_sign(common), grad=lambda g: g * 0, out_dtype="same", onnx="Sign",
    lowering=Loop(lambda k, input: sign_terms(k, input)),
)  # fmt: skip


def _no_complex_sign(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.is_complex:
        raise NotImplementedError("Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.")
    return common, common


def _no_complex(name: str) -> Any:
    def rule(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        if common.is_complex:
            raise NotImplementedError(f"{name} is not implemented for complex tensors.")
        return common, dt.bool_

    return rule


signbit = unary(
    "signbit", lambda x: np.signbit(x) if x.dtype.kind == "f" else np.less(x, 0),
    """Whether the sign bit is set (also of -0.0).

    >>> torch.signbit(torch.tensor([-0., 1.]))
    tensor([ True, False])
    """,
    result=_no_complex("signbit"), out_dtype="bool",
    lowering=Loop(lambda k, input: (k.apply("copysign", k.constant(1, input.type), input) if input.type in FLOATS else input) < 0),
)  # fmt: skip

copysign = binary(
    "copysign", lambda a, b: np.copysign(a, b),
    """The magnitude of `input` with the sign of `other`.

    >>> torch.copysign(torch.tensor([1., -2.]), -1)
    tensor([-1., -2.])
    """,
    result=kernel_for("copysign_cpu", complex=False), overloads="010",
    grad_input=lambda g, input, output: g * (output / input).masked_fill(input == 0, 0),
    grad_other=lambda g, input: g * 0,
    lowering=Loop(lambda k, input, other: k.apply("copysign", input, other)),
)  # fmt: skip
def _no_complex_heaviside(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    return common, common


_heaviside = binary(
    "heaviside", lambda a, b: np.where(np.equal(a, 0), b, np.greater(a, 0).astype(np.result_type(a))),
    "The card of the function below, for operands of one dtype.",
    result=lambda common: _no_complex_heaviside(common), numbers="none", second="values",
    no_grad_reason="derivative for aten::heaviside is not implemented",
    lowering=Loop(lambda k, a, b: k.select(k.compare("eq", a, 0), b, k.convert(a > 0, a.type))),
)  # fmt: skip


def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 where `input` is negative, 1 where it is positive, `values` where it is 0. The dtypes must be equal.

    >>> torch.heaviside(torch.tensor([-1., 0., 2.]), torch.tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    same = isinstance(input, TensorBase) and isinstance(values, TensorBase) and input._layout.dtype is values._layout.dtype
    if isinstance(input, TensorBase) and isinstance(values, TensorBase) and (not same or (out is not None and out._layout.dtype is not input._layout.dtype)):
        if input._layout.dtype.is_complex or values._layout.dtype.is_complex:
            raise RuntimeError("heaviside is not yet implemented for complex tensors.")
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return _heaviside(input, values, out=out)


class _InOwnPrecision(Pointwise):
    """A rule that works in half precision itself, as the distance to the next number depends on it."""

    def plan(self, operands: Any, static: Any, target: Any) -> Any:
        found = super().plan(operands, static, target)
        found.compute = found.low or found.compute
        return found


_nextafter = _InOwnPrecision(
    "nextafter", "input other",
    numpy=np.nextafter, result=kernel_for("nextafter_cpu", bools="none", integers="none", complex=False), lowering=Loop(lambda k, input, other: k.apply("nextafter", input, other), lambda plan: elementwise(plan) if plan.outs[0].dtype in FLOATING else None),
    grads={"input": lambda g, input, other: g * (input != other), "other": lambda g: g * 0},
)  # fmt: skip


def nextafter(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The next number after `input` towards `other`.

    >>> torch.nextafter(torch.tensor([1.]), torch.tensor([2.])) > 1
    tensor([True])
    """
    found = apply(_nextafter, (as_tensor_argument(input, "nextafter"), as_tensor_argument(other, "nextafter", "other", 2)))
    return found if out is None else write_out(out, found, input, other)


CARD_OF[nextafter] = _nextafter
ldexp_factor = unary("ldexp_factor", np.exp2, "Two to the power of each element.", result="float", lowering=Loop(lambda k, input: k.function("exp2", input)), grad=lambda g, output: g * (output * math.log(2)).conj())


def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``input * 2 ** other``.

    >>> torch.ldexp(torch.tensor([1.5]), torch.tensor([2]))
    tensor([6.])
    """
    as_tensor_argument(input, "ldexp")
    as_tensor_argument(other, "ldexp", "other", 2)
    if input._layout.dtype in dt.HALF and other._layout.dtype.category < dt.FLOAT:
        # Half precision would lose the factor.
        found = (input.to(dt.float32) * ldexp_factor(other.to(dt.float32))).to(input._layout.dtype)
    else:
        found = input * ldexp_factor(other)
    return found if out is None else write_out(out, found, input, other)


_frexp = Card(
    "frexp", "input",
    infer=lambda input: (input, input_as_int(input)),
    numpy=lambda input: np.frexp(input.astype(np.float32) if input.dtype.itemsize == 2 else input),
    outputs="mantissa exponent", differentiable=(0,),
    grads={"input": lambda g, exponent: g / ldexp_factor(exponent.to(g.dtype))},
)  # fmt: skip


def input_as_int(input: Any) -> Any:
    from ..shape import layout

    return layout(input.shape, input.stride, dt.int32)


def frexp(input: Tensor, *, out: tuple[Tensor, Tensor] | None = None) -> Any:
    """The mantissa, between 0.5 and 1, and the exponent of two of each element.

    >>> torch.frexp(torch.tensor([6.])).exponent
    tensor([3], dtype=torch.int32)
    """
    as_tensor_argument(input, "frexp")
    if input._layout.dtype.category != dt.FLOAT:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    if out is not None and not isinstance(out, (tuple, list)):
        raise TypeError(f"frexp(): argument 'out' must be tuple of Tensors, not {type(out).__name__}")
    from ..return_types import frexp as result

    dense = input if input._layout.dense else input.contiguous()
    found = result(*apply(_frexp, (dense,)))
    return found if out is None else write_out(out, found, input)


def _nan_to_num_rule(input: np.ndarray, nan: Any, posinf: Any, neginf: Any) -> np.ndarray:
    if input.dtype.kind not in "fc":
        return input.copy()
    real = input.real.dtype
    info = np.finfo(real)
    return np.nan_to_num(input, copy=True, nan=0.0 if nan is None else nan, posinf=float(info.max) if posinf is None else posinf, neginf=float(info.min) if neginf is None else neginf)


def _nan_to_num_terms(k: Any, input: Any, nan: float | None, posinf: float | None, neginf: float | None) -> Any:
    if input.type not in FLOATS:
        return input
    largest = float(np.finfo(np.float32 if input.type == "float" else np.float64).max)
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf
    finite = k.select(k.compare("eq", input, math.inf), high, k.select(k.compare("eq", input, -math.inf), low, input))
    return k.select(k.compare("ne", input, input), nan or 0.0, finite)


_nan_to_num = Pointwise(
    "nan_to_num", "input",
    statics="nan posinf neginf",
    numpy=_nan_to_num_rule, lowering=Loop(_nan_to_num_terms),
    grads={"input": lambda g, input: g * input.isfinite()},
)  # fmt: skip


def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """nan replaced by `nan` (0), the infinities by `posinf` and `neginf` (the largest finite numbers).

    >>> torch.nan_to_num(torch.tensor([float("nan"), 1.]))
    tensor([0., 1.])
    """
    here = as_tensor_argument(input, "nan_to_num")._layout.dtype
    if out is not None and out._layout.dtype is not here:
        raise RuntimeError(f"nan_to_num: dtype of out: {out._layout.dtype.type_name} should be same as input: {here.type_name}")
    if here in dt.HALF:
        limits = dt.finfo(here)
        posinf, neginf = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    found = apply(_nan_to_num, (input,), (nan, posinf, neginf))
    return found if out is None else write_out(out, found, input)
