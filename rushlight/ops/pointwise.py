"""Functions of one value or two: powers, exponentials, comparisons, tests.

Each is one card; NumPy's ufunc is the rule where NumPy and PyTorch agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop
from ..graph import grad_state
from ..storage import TensorBase
from .card import Pointwise, apply
from .define import CARD_OF, alias, as_operand, as_tensor_argument, binary, kernel_for, unary, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor

exp = unary(
    "exp", np.exp,
    """e to the power of each element.

    >>> torch.exp(torch.tensor([0., 1.]))
    tensor([1.0000, 2.7183])
    """,
    result="float", grad=lambda g, output: g * output.conj(), onnx="Exp", lowering=Loop(lambda k, input: k.exp(input)),
)  # fmt: skip
log = unary(
    "log", np.log,
    """The natural logarithm.

    >>> torch.log(torch.tensor([1., 10.]))
    tensor([0.0000, 2.3026])
    """,
    result="float", grad=lambda g, input: g / input.conj(), onnx="Log", lowering=Loop(lambda k, input: k.log(input)),
)  # fmt: skip
sqrt = unary(
    "sqrt", np.sqrt,
    """The square root; nan for negative numbers.

    >>> torch.sqrt(torch.tensor([4., 9.]))
    tensor([2., 3.])
    """,
    result="float", grad=lambda g, output: g / (2 * output.conj()), onnx="Sqrt", lowering=Loop(lambda k, input: k.sqrt(input)),
)  # fmt: skip
abs = unary(
    "abs", np.abs,
    """The absolute value, or the modulus of complex numbers.

    >>> torch.abs(torch.tensor([-1, 2]))
    tensor([1, 2])
    """,
    result=kernel_for("abs_cpu", bools="none", integers="same", output="real"), grad=lambda g, input: g * input.sgn(), onnx="Abs", out_dtype="same", lowering=Loop(lambda k, input: k.abs(input)),
)  # fmt: skip


def _relu_dtypes(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.category == dt.BOOL:
        raise RuntimeError("Boolean inputs not supported for relu")
    if common.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return common, common


_threshold_backward = Pointwise(
    "threshold_backward", "grad_output input",
    statics="threshold", outputs="grad_input",
    numpy=lambda grad_output, input, threshold: np.where(input <= threshold, grad_output.dtype.type(0), grad_output),
    lowering=Loop(lambda k, grad_output, input, threshold: k.select(input <= threshold, 0, grad_output)),
    grads={
        "grad_output": lambda g, input, threshold: threshold_backward(g, input, threshold),
        "input": lambda g: g.new_zeros(g.shape),
    },
)  # fmt: skip


def threshold_backward(grad_output: Tensor, input: Tensor, threshold: float) -> Tensor:
    """`grad_output` where `input` is above `threshold`, else 0."""
    return apply(_threshold_backward, (grad_output, input), (threshold,))


relu = unary(
    "relu", lambda x: np.maximum(x, x.dtype.type(0)),
    """The positive part: ``max(0, input)``.

    >>> torch.relu(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """,
    result=_relu_dtypes, grad=lambda g, output: threshold_backward(g, output, 0), onnx="Relu", out_dtype="none",
    lowering=Loop(lambda k, input: k.maximum(input, 0)),
)  # fmt: skip
isnan = unary(
    "isnan", lambda x: x != x,
    """Whether each element is nan.

    >>> torch.isnan(torch.tensor([1., float("nan")]))
    tensor([False,  True])
    """,
    result="bool", out_dtype="none", lowering=Loop(lambda k, input: k.compare("ne", input, input)),
)  # fmt: skip


def _comparison(name: str, ufunc: Any, sign: str, example: str) -> Any:
    return binary(
        name, ufunc,
        f"""``input {sign} other``, element by element, as bools.

    >>> torch.{name}(torch.tensor([1, 2, 3]), 2)
    tensor([{example}])
    """,
        result="bool" if name in ("eq", "ne") else kernel_for(f"{name}_cpu", bools="same", integers="same", complex=False, output="bool"),
        lowering=Loop(lambda k, input, other: k.compare(name, input, other)),
    )  # fmt: skip


eq = _comparison("eq", np.equal, "==", "False,  True, False")
ne = _comparison("ne", np.not_equal, "!=", " True, False,  True")
lt = _comparison("lt", np.less, "<", " True, False, False")
le = _comparison("le", np.less_equal, "<=", " True,  True, False")
gt = _comparison("gt", np.greater, ">", "False, False,  True")
ge = _comparison("ge", np.greater_equal, ">=", "False,  True,  True")


def _pow_rule(a: Any, b: Any) -> Any:
    kind = np.result_type(a, b).kind
    if kind in "iu":
        negative = np.less(b, 0)
        if np.any(negative):
            # The integer quotient 1 / a**-b: 1 and -1 have one, everything else gives 0.
            found = np.power(a, np.where(negative, 0, b))
            odd = np.not_equal(np.remainder(b, 2), 0)
            inverse = np.where(np.equal(a, 1), 1, np.where(np.equal(a, -1), np.where(odd, -1, 1), 0))
            return np.where(negative, inverse, found).astype(found.dtype)
    if kind == "b":
        return np.logical_or(a, np.logical_not(b))
    return np.power(a, b)


def _pow_grad_input(g: Tensor, input: Any, other: Any) -> Tensor:
    exponent: Any = other
    if not isinstance(other, TensorBase):
        return g * 0 if other == 0 else g * (exponent * input ** (exponent - 1)).conj()
    zero = exponent == 0
    return g * _choose(zero, 0.0, exponent * input ** (exponent - 1)).conj()


def _choose(condition: Any, a: Any, b: Any) -> Any:
    from .combine import where

    return where(condition, a, b)


def _pow_grad_other(g: Tensor, input: Any, other: Any, output: Tensor) -> Tensor:
    if not isinstance(input, TensorBase):
        import cmath
        import math

        if input == 0:
            return g * _choose(other >= 0 if not other.is_complex() else other == 0, 0.0, output * -math.inf)
        factor = cmath.log(input) if isinstance(input, complex) or input < 0 else math.log(input)
        return g * (output * (factor if output.is_complex() or not isinstance(factor, complex) else math.nan)).conj()
    allowed = (input == 0) if other.is_complex() else (input == 0) & (other >= 0)
    return g * _choose(allowed, 0.0, output * log(input)).conj()


_pow = Pointwise("pow", "input other", numpy=_pow_rule, grads={"input": _pow_grad_input, "other": _pow_grad_other}, result=kernel_for("pow", bools="none", integers="same"), overloads="102", onnx="Pow", lowering=Loop(lambda k, input, other: k.function("pow", input, other)))


#: Powers that are products, quotients and square roots, as formulas over a value, 1 and a square root.
_POWERS: dict[float, Callable[[Any, Any, Callable[[Any], Any]], Any]] = {
    2: lambda x, one, sqrt: x * x,
    3: lambda x, one, sqrt: x * x * x,
    0.5: lambda x, one, sqrt: sqrt(x),
    -0.5: lambda x, one, sqrt: one / sqrt(x),
    -1: lambda x, one, sqrt: one / x,
    -2: lambda x, one, sqrt: one / (x * x),
}


def _power_by_gradient(g: Tensor, input: Tensor, exponent: float) -> Tensor:
    if exponent in (2, 3):
        return g * (2 * input if exponent == 2 else 3 * (input * input))
    return g * (exponent * input ** (exponent - 1))


_power_by = Pointwise(
    "power_by", "input",
    statics="exponent",
    numpy=lambda input, exponent: _POWERS[exponent](input, input.dtype.type(1), np.sqrt),
    lowering=Loop(lambda k, input, exponent: _POWERS[exponent](input, 1, k.sqrt)),
    grads={"input": _power_by_gradient},
    node_name="PowBackward0",
)  # fmt: skip


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent``. Integers to a negative number are refused.

    >>> torch.pow(torch.tensor([1., 2., 3.]), 2)
    tensor([1., 4., 9.])
    """
    input = as_operand(input, "pow", "input", 1)
    exponent = as_operand(exponent, "pow", "exponent")
    if not isinstance(input, TensorBase) and not isinstance(exponent, TensorBase):
        as_tensor_argument(input, "pow")
    if type(exponent) is int and exponent < 0 and input._layout.dtype.category < dt.FLOAT:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if type(exponent) is bool and input._layout.dtype is dt.bool_:
        found = input.clone() if exponent else input.new_ones(input.shape)
    elif _is_small_power(input, exponent):
        found = apply(_power_by, (input,), (int(exponent) if exponent == int(exponent) else exponent,))
    else:
        found = apply(_pow, (input, exponent))
    return found if out is None else write_out(out, found, input, exponent)


def _is_small_power(input: Any, exponent: Any) -> bool:
    """Whether it is one of _POWERS. A recorded graph keeps it as a power."""
    return type(exponent) in (int, float) and exponent in _POWERS and input._layout.dtype.is_floating_point and grad_state.tracer is None


CARD_OF[pow] = _pow
absolute = alias(abs, "absolute")
greater, greater_equal, less, less_equal, not_equal = alias(gt, "greater"), alias(ge, "greater_equal"), alias(lt, "less"), alias(le, "less_equal"), alias(ne, "not_equal")
