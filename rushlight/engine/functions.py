"""Elementary functions of float32 values as IR: each takes a `Builder` and a value of any number of lanes.

Every function is branch-free polynomial arithmetic with the same bits in every lane and for every number of lanes. The
docstrings give the largest error over all float32 arguments, in units in the last place of the exact result.
Polynomials were fitted for the smallest maximum of the relative error, with coefficients rounded to float32; they are
written from the lowest power up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .emit import Builder, Value

INFINITY = float("inf")
NAN = float("nan")

# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2) / 2
_EXP = (0.4999999403953552, 0.16666516661643982, 0.041668280959129333, 0.008369249291718006, 0.001382077345624566)
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.4286068203094172e-06  # the first has 16 bits: exact times an exponent
#: 2^23 * 1.5 + 126: added to a small float, it leaves the nearest integer plus 126 in the lowest bits.
_ROUNDER = 12582912.0 + 126.0
#: Below this argument exp is computed times 2^64, so that its scale is a normal number.
_SMALL_EXP = -86.0
#: Here the scale times 2^64 is exactly 0.
_ZERO_EXP = -131.69796

# log(1 + f) = f - f^2 / 2 + f^3 p(f) for sqrt(1/2) - 1 <= f < sqrt(2) - 1
_LOG = (
    0.3333331346511841, -0.25000008940696716, 0.2000207155942917, -0.16667990386486053, 0.14220362901687622,
    -0.12406208366155624, 0.1188347116112709, -0.11670183390378952, 0.06749540567398071,
)  # fmt: skip

# tanh(x) = x + x^3 p(x^2) for |x| < 0.6
_TANH = (-0.33333298563957214, 0.13331936299800873, -0.05378471687436104, 0.02079862542450428, -0.005897966679185629)

# erf(x) = x + x p(x^2) for |x| < 0.93
_ERF = (
    0.12837916612625122, -0.3761262893676758, 0.11283625662326813, -0.02685573138296604, 0.005192405078560114,
    -0.0008049769676290452, 7.996649947017431e-05,
)  # fmt: skip
# erf(x) = 1 - exp(x p(x) - x) above
_ERF_TAIL = (
    -0.12864850461483002, -0.6351512670516968, -0.10623694211244583, 0.02376210130751133, -0.003642467549070716,
    0.00032280301093123853, -1.1230839845666196e-05,
)  # fmt: skip

# a P(X <= -a) = v p(v) exp(-a^2 / 2) for v = a / (a + 3), a normal X and 0 <= a <= 14.5
_NORMAL_TAIL = (
    1.5, -2.0904808044433594, 1.0690553188323975, 0.2067822515964508, -0.2567717432975769, -0.1380426287651062,
    0.11372511088848114, -0.10995621234178543, 0.2592596113681793, -0.21002940833568573, 0.05540499836206436,
)  # fmt: skip


# Pieces


def _check(*values: Value) -> None:
    assert all(v.type == "float" for v in values), "these functions are written for float32"


def _polynomial(k: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """By Horner's rule."""
    total = k.like(coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        total = k.fma(total, x, k.like(coefficient, x))
    return total


def _at_least(k: Builder, x: Value, bound: float) -> Value:
    """`x` or the bound; nan stays nan."""
    lowest = k.like(bound, x)
    return k.select(k.compare("olt", x, lowest), lowest, x)


def _at_most(k: Builder, x: Value, bound: float) -> Value:
    highest = k.like(bound, x)
    return k.select(k.compare("ogt", x, highest), highest, x)


def _copysign(k: Builder, magnitude: Value, sign: Value) -> Value:
    return k.intrinsic("copysign", magnitude, sign)


class _Power(NamedTuple):
    """``exp(x) = (1 + fraction) * 2 * half_scale``, where `half_scale` is a power of two."""

    fraction: Value
    half_scale: Value

    def value(self, k: Builder) -> Value:
        two = k.like(2, self.fraction)
        return k.mul(k.fma(self.fraction, two, two), self.half_scale)

    def times(self, k: Builder, factor: Value) -> Value:
        """``factor * exp(x)`` with one rounding less; for x < 88."""
        return k.mul(k.fma(self.fraction, factor, factor), k.add(self.half_scale, self.half_scale))


def _power(k: Builder, x: Value, small: Value | None = None, rest: Value | None = None, precise: bool = False) -> _Power:
    """``exp(x)`` for -86 <= x < 89; where `small` is set, times 2^64 and for -131.7 <= x.

    `rest` is what `x` lacks, below its last place. The fraction is off by about 2^-25, or half of it if `precise`.
    """
    rounded = k.fma(x, k.like(_LOG2_E, x), k.like(_ROUNDER, x))
    n = k.sub(rounded, k.like(_ROUNDER, x))
    high, minus_low = k.fma(n, k.like(-_LN2_HIGH, x), x), k.like(-_LN2_LOW, x)
    if precise or rest is not None:
        low = k.mul(n, minus_low) if rest is None else k.fma(n, minus_low, rest)
        r = k.add(high, low)
        fraction = k.add(high, k.fma(_polynomial(k, r, _EXP), k.mul(r, r), low))
    else:
        r = k.fma(n, minus_low, high)
        fraction = k.fma(_polynomial(k, r, _EXP), k.mul(r, r), r)
    bits = k.bitcast(rounded, "i32")
    if small is not None:
        bits = k.select(small, k.add(bits, k.like(64, bits)), bits)
    return _Power(fraction, k.bitcast(k.shl(bits, 23), "float"))


def _unscale(k: Builder, small: Value, value: Value) -> Value:
    """Undo the 2^64 of `_power`."""
    return k.select(small, k.mul(value, k.like(2.0**-64, value)), value)


# Exponentials


def exp(k: Builder, x: Value) -> Value:
    """``e ** x``."""
    _check(x)
    x = _at_most(k, _at_least(k, x, _ZERO_EXP), 89.0)
    small = k.compare("olt", x, k.like(_SMALL_EXP, x))
    return _unscale(k, small, _power(k, x, small).value(k))


def sigmoid(k: Builder, x: Value) -> Value:
    """``1 / (1 + exp(-x))``."""
    _check(x)
    return _sigmoid_times(k, x, None)


def silu(k: Builder, x: Value) -> Value:
    """``x * sigmoid(x)``; nan for -inf, as in PyTorch."""
    _check(x)
    return _sigmoid_times(k, x, x)


def _sigmoid_times(k: Builder, x: Value, factor: Value | None) -> Value:
    # exp(x) / (1 + exp(x)) below 0 and 1 / (1 + exp(-x)) above: the exponential never exceeds 1.
    bounded = _at_most(k, _at_least(k, x, _ZERO_EXP), 30.0)
    small = k.compare("olt", x, k.like(_SMALL_EXP, x))
    power = _power(k, k.neg(k.abs(bounded)), small, precise=True)
    below = k.compare("olt", x, k.like(0, x))
    e = power.value(k)
    one = k.like(1, x)
    if factor is None:
        numerator = k.select(below, e, one)
    else:
        numerator = k.select(below, power.times(k, factor), factor)
    return _unscale(k, small, k.div(numerator, k.add(e, one)))


def tanh(k: Builder, x: Value) -> Value:
    """The hyperbolic tangent."""
    _check(x)
    magnitude = _at_most(k, k.abs(x), 9.5)
    one = k.like(1, x)
    e = _power(k, k.add(magnitude, magnitude)).value(k)
    large = k.sub(one, k.div(k.like(2, x), k.add(e, one)))
    square = k.mul(x, x)
    little = k.fma(k.mul(_polynomial(k, square, _TANH), square), x, x)
    return k.select(k.compare("olt", magnitude, k.like(0.6, x)), little, _copysign(k, large, x))


# Logarithms


def _exponent(k: Builder, x: Value) -> tuple[Value, Value]:
    """``x = (1 + f) * 2^e`` for normal x > 0, with sqrt(1/2) <= 1 + f < sqrt(2): f, and e as i32."""
    bits = k.bitcast(x, "i32")
    e = k.ashr(k.sub(bits, k.like(0x3F3504F3, bits)), 23)
    mantissa = k.bitcast(k.sub(bits, k.shl(e, 23)), "float")
    return k.sub(mantissa, k.like(1, x)), e


def _log_of_subnormals(k: Builder, x: Value) -> tuple[Value, Value]:
    """`_exponent` for subnormal x too, with e as float."""
    tiny = k.compare("olt", x, k.like(2.0**-126, x))
    f, e = _exponent(k, k.select(tiny, k.mul(x, k.like(2.0**23, x)), x))
    exponent = k.convert(e, "float")
    return f, k.select(tiny, k.sub(exponent, k.like(23, exponent)), exponent)


def _log_outside(k: Builder, x: Value, found: Value) -> Value:
    """`found`, and what the logarithms are at zeros, infinity, nan and below 0."""
    found = k.select(k.compare("olt", x, k.like(INFINITY, x)), found, x)
    found = k.select(k.compare("olt", x, k.like(0, x)), k.like(NAN, x), found)
    return k.select(k.compare("oeq", x, k.like(0, x)), k.like(-INFINITY, x), found)


def log(k: Builder, x: Value) -> Value:
    """The natural logarithm."""
    _check(x)
    f, e = _log_of_subnormals(k, x)
    return _log_outside(k, x, _log_of_parts(k, f, e))


def _log_of_parts(k: Builder, f: Value, e: Value) -> Value:
    """``log((1 + f) * 2^e)``."""
    square = k.mul(f, f)
    rest = k.fma(e, k.like(_LN2_LOW, f), k.mul(k.mul(_polynomial(k, f, _LOG), f), square))
    rest = k.fma(square, k.like(-0.5, f), rest)
    return k.fma(e, k.like(_LN2_HIGH, f), k.add(f, rest))


# The normal distribution


def erf(k: Builder, x: Value) -> Value:
    """The error function."""
    _check(x)
    magnitude = _at_most(k, k.abs(x), 4.0)
    tail = k.fma(_polynomial(k, magnitude, _ERF_TAIL), magnitude, k.neg(magnitude))
    large = k.sub(k.like(1, x), _power(k, tail).value(k))
    little = k.fma(_polynomial(k, k.mul(magnitude, magnitude), _ERF), x, x)
    return k.select(k.compare("olt", magnitude, k.like(0.93, x)), little, _copysign(k, large, x))


def gelu(k: Builder, x: Value) -> Value:
    """``x * P(X <= x)`` for a normal X; nan for -inf, as in PyTorch."""
    _check(x)
    # x P(X <= x) = max(x, 0) - a P(X <= -a) for a = |x|.
    a = k.abs(_at_most(k, x, 30.0))
    v = k.div(a, k.add(a, k.like(3, x)))  # nan for -inf
    factor = k.mul(v, _polynomial(k, v, _NORMAL_TAIL))
    a = _at_most(k, a, 16.2)
    half = k.mul(a, k.like(-0.5, x))
    power = k.mul(half, a)
    rest = k.fma(half, a, k.neg(power))
    small = k.compare("olt", power, k.like(_SMALL_EXP, x))
    tail = _unscale(k, small, _power(k, power, small, rest).times(k, factor))
    return k.sub(_at_least(k, x, -0.0), tail)
