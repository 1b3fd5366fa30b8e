"""Division of half precision rounded to whole numbers: PyTorch rounds each step of it to half precision, as if it were an op.

It does so where the divisor has several elements. By one element it divides in float32, as the cards in `arithmetic.py` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop, elementwise
from ..shape import Layout
from .card import Plan, Pointwise, Static


class Division(Pointwise):
    """A card whose steps are another card's, `stepwise`, where they are rounded: the plan says which."""

    def __init__(self, *args: Any, stepwise: Pointwise, **rules: Any) -> None:
        super().__init__(*args, **rules)
        self.stepwise = stepwise

    def plan(self, operands: Sequence[Any], static: Static, target: Layout | None) -> Plan:
        plan = super().plan(operands, static, target)
        other = plan.operands[1]
        if plan.low is None or not isinstance(other, Layout) or other.numel == 1:
            return plan
        return self.stepwise.plan(operands, (dt.from_numpy(plan.low),), target)


def _rounding(dtype: dt.dtype) -> Any:
    return lambda x: x.astype(dtype.numpy).astype(np.float32)


def _trunc_rule(a: Any, b: Any, half: dt.dtype) -> Any:
    return np.trunc(_rounding(half)(np.true_divide(a, b)))


def _floor_rule(a: Any, b: Any, half: dt.dtype) -> Any:
    rounded = _rounding(half)
    rest = np.fmod(a, b)
    quotient = rounded(rounded(a - rest) / b)
    quotient = np.where((rest != 0) & ((b < 0) != (rest < 0)), rounded(quotient - 1), quotient)
    whole = np.floor(quotient)
    whole = np.where(rounded(quotient - whole) > 0.5, rounded(whole + 1), whole)
    plain = np.true_divide(a, b)
    whole = np.where(quotient == 0, np.copysign(np.float32(0), plain), whole)
    return np.where(np.equal(b, 0), plain, whole)


def _trunc_terms(k: Any, input: Any, other: Any, half: dt.dtype) -> Any:
    return k.apply("trunc", k.rounded(input / other, half))


def _floor_terms(k: Any, input: Any, other: Any, half: dt.dtype) -> Any:
    rest = k.apply("fmod", input, other)
    quotient = k.rounded(k.rounded(input - rest, half) / other, half)
    apart = k.compare("ne", k.select(other < 0, k.constant(1, "i8"), 0), k.select(rest < 0, k.constant(1, "i8"), 0))
    quotient = k.select(k.apply("and", k.compare("ne", rest, 0), apart), k.rounded(quotient - 1, half), quotient)
    whole = k.apply("floor", quotient)
    whole = k.select(k.rounded(quotient - whole, half) > 0.5, k.rounded(whole + 1, half), whole)
    plain = input / other
    whole = k.select(k.compare("eq", quotient, 0), k.apply("copysign", k.constant(0.0, input.type), plain), whole)
    return k.select(k.compare("eq", other, 0), plain, whole)


#: What a rounded quotient says of its gradient: `div` with a rounding mode has zeros, `floor_divide` has none.
ROUNDED: dict[str, Any] = {"node_name": "DivBackward2", "overloads": "232", "grads": {"input": lambda g: g * 0, "other": lambda g: g * 0}}
UNDERIVABLE: dict[str, Any] = {"no_grad_reason": "derivative for aten::floor_divide is not implemented"}

DIV_FLOOR_STEPWISE, FLOOR_STEPWISE = (
    Pointwise(name, "input other", statics="half", numpy=_floor_rule, lowering=Loop(_floor_terms, elementwise), **gradient)
    for name, gradient in (("div_floor_half", ROUNDED), ("floor_divide_half", UNDERIVABLE))
)
TRUNC_STEPWISE = Pointwise(
    "trunc_divide_half", "input other", statics="half",
    numpy=_trunc_rule, lowering=Loop(_trunc_terms, elementwise), **ROUNDED,
)  # fmt: skip
