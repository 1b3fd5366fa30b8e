"""Elementary functions of float32 values as IR: each takes a `Builder` and a value of any number of lanes.

They are polynomials and selects, with the same bits in every lane and for every number of lanes, and right for nan,
infinities, zeros and subnormals. The docstrings give the largest error that was found, in units in the last place of
the exact result: for exp, log, tanh, erf and sigmoid over all 2^32 floats, for the others over a large sample
(benchmarks/functions.py, --all). Polynomials were fitted for the smallest maximum of the relative error, with
coefficients rounded to float32; they are written from the lowest power up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .emit import Builder, Value

INFINITY = float("inf")
NAN = float("nan")

# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2) / 2
_EXP = (0.4999999403953552, 0.16666516661643982, 0.041668280959129333, 0.008369249291718006, 0.001382077345624566)
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.4286068203094172e-06  # the first has 16 bits: exact times an exponent
#: 2^23 * 1.5 + 127: added to a float of a few digits, it leaves the nearest integer plus 127 in the lowest bits.
_ROUNDER = 12582912.0 + 127.0
#: 2^52 * 1.5: the same for double, with the integer itself in the lowest bits.
DOUBLE_ROUNDER = 6755399441055744.0
#: A little over 192 log(2): the scale of this exponential times 2^-64 is infinite, its fraction positive.
_INFINITE_EXP = 133.1

# 2^r = 1 + r p(r) for |r| <= 1/2
_EXP2 = (
    0.6931471824645996, 0.24022650718688965, 0.055504050105810165, 0.009618086740374565, 0.0013337951386347413,
    0.00015452185471076518, 1.432927638234105e-05,
)  # fmt: skip
# sinh(x) = x + x^3 p(x^2) for |x| < 1
_SINH = (0.1666666716337204, 0.00833331048488617, 0.00019842895562760532, 2.7822131869470468e-06)

# log(1 + f) = f - f^2 / 2 + f^3 p(f) for sqrt(1/2) - 1 <= f < sqrt(2) - 1
_LOG = (
    0.3333331346511841, -0.25000008940696716, 0.2000207155942917, -0.16667990386486053, 0.14220362901687622,
    -0.12406208366155624, 0.1188347116112709, -0.11670183390378952, 0.06749540567398071,
)  # fmt: skip


class _Base(NamedTuple):
    """``log_b(1 + f) = slope f + f p(f)`` and ``log_b(2) = high + low``, the first exact times an exponent."""

    slope: float
    coefficients: tuple[float, ...]
    high: float
    low: float


_BASE_2 = _Base(
    1.4426950216293335,
    (
        1.9198640899276143e-08, -0.7213473320007324, 0.4808982014656067, -0.36069849133491516, 0.28857192397117615,
        -0.23957736790180206, 0.20447884500026703, -0.19125795364379883, 0.18708185851573944, -0.11065617948770523,
    ),
    1.0, 0.0,
)  # fmt: skip
_BASE_10 = _Base(
    0.4342944920063019,
    (
        -1.0121409488306199e-08, -0.21714718639850616, 0.14476479589939117, -0.10858084261417389, 0.0868675634264946,
        -0.07212470471858978, 0.061585329473018646, -0.05756693333387375, 0.056094616651535034, -0.03303871303796768,
    ),
    0.301025390625, 4.605039066518657e-06,
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

# P(X <= -a) = p(v) exp(-a^2 / 2) for v = a / (a + 3.5), a normal X and 0 <= a <= 13.3
_NORMAL_TAIL = (
    0.5, -1.3962973356246948, 1.6661937236785889, -0.9729219079017639, 0.0671386644244194, 0.18027617037296295,
    0.02989768050611019, -0.11425548791885376, 0.04001447558403015,
)  # fmt: skip
# erfc(x) = exp(-x^2) t p(x t - centre) for t = 1 / (x + 2.125) and 0.4 <= x <= 10.2
_ERFC = (
    1.1267386674880981, -1.611945390701294, 1.4020960330963135, -0.4723605811595917, -0.3251900374889374,
    0.2709873914718628, 0.16053803265094757, -0.14320515096187592, -0.11935881525278091, 0.09835264831781387,
)  # fmt: skip
_ERFC_REST = 5.123603941115107e-08
_TAIL_CENTRE = 0.4375

# In double: erfinv(x) = x p(w - 5/2) for w = -log(1 - x^2) < 5, and x p(sqrt(w) - 3) above, after Giles, Approximating the erfinv function (2011)
_ERFINV = (
    1.5014093511463846, 0.2466402767403131, -0.0041773182377175914, -0.0012527079278797197, 0.00021825147476788856,
    -4.996029618507289e-06, -3.4176942296297313e-06, 4.787016025086294e-07, 1.3874210399083739e-08, -1.086382670551569e-08,
    8.06222302597326e-10, 1.2359445367881516e-10, -1.9768830701189505e-11,
)  # fmt: skip
_ERFINV_TAIL = (
    2.8329767984094554, 1.0016752732429899, 0.00944555357337675, -0.00764368955033253, 0.00568464658517002,
    -0.0035598128338758177, 0.001487283762793049, -0.00014558490869857343, -0.00029444073980120194, 0.00020214264491517838,
    -2.853666444120005e-05, -2.5450647720346558e-05, 9.615057831576157e-06,
)  # fmt: skip

# -2 sqrt(2 / pi) (x + 0.044715 x^3) = x (linear + cubic x^2), the coefficients in two floats each
_GELU_LINEAR, _GELU_LINEAR_REST = -1.5957691669464111, 4.534068054340423e-08
_GELU_CUBIC, _GELU_CUBIC_REST = -0.07135481387376785, -2.3988324659995897e-09

# In double: log2((1 + s) / (1 - s)) = s p(s^2) for a quotient between sqrt(1/2) and sqrt(2), and 2^r = p(r), |r| <= 1/2
_LOG2_DOUBLE = (2.8853900817901406, 0.9617966732842691, 0.5770835944401853, 0.41167221988827796, 0.3407383165010231)
_EXP2_DOUBLE = (
    1.0000000005542478, 0.6931472057369966, 0.24022646890031846, 0.055503287774018965, 0.009618489022293297,
    0.00133999310521898, 0.00015345793377432253,
)  # fmt: skip


# Pieces


def check(*values: Value) -> None:
    assert all(v.type == "float" for v in values), "these functions are written for float32"


def polynomial(k: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """By Horner's rule."""
    total = k.like(coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        total = k.fma(total, x, k.like(coefficient, x))
    return total


def at_least(k: Builder, x: Value, bound: float) -> Value:
    """`x` or the bound; nan stays nan."""
    lowest = k.like(bound, x)
    return k.select(k.compare("olt", x, lowest), lowest, x)


def at_most(k: Builder, x: Value, bound: float) -> Value:
    highest = k.like(bound, x)
    return k.select(k.compare("ogt", x, highest), highest, x)


def copysign(k: Builder, magnitude: Value, sign: Value) -> Value:
    return k.intrinsic("copysign", magnitude, sign)


def _power(
    k: Builder, x: Value, rest: Value | None = None, precise: bool = False, shift: Value | None = None, halvings: int = 0
) -> tuple[Value, Value]:
    """``exp(x) = (1 + fraction) * scale``: the fraction, in +-0.42, and the scale, a power of two, for -87 < x < 88.

    `rest` is what `x` lacks, below its last place. The fraction is off by 2^-25, or half of that if `precise`. `shift`
    (i32) is added to the exponent of the scale, and `halvings` are taken off; where that takes it to the limits, the
    scale is 0 or infinity.
    """
    rounder = k.like(_ROUNDER - halvings, x)
    rounded = k.fma(x, k.like(_LOG2_E, x), rounder)
    n = k.sub(rounded, rounder)
    high, minus_low = k.fma(n, k.like(-_LN2_HIGH, x), x), k.like(-_LN2_LOW, x)
    if precise or rest is not None:
        low = k.mul(n, minus_low) if rest is None else k.fma(n, minus_low, rest)
        r = k.add(high, low)
        fraction = k.add(high, k.fma(polynomial(k, r, _EXP), k.mul(r, r), low))
    else:
        r = k.fma(n, minus_low, high)
        fraction = k.fma(polynomial(k, r, _EXP), k.mul(r, r), r)
    bits = k.bitcast(rounded, "i32")
    if shift is not None:
        bits = k.add(bits, shift)
    return fraction, k.bitcast(k.shl(bits, 23), "float")


def _shift_where(k: Builder, where: Value, by: int) -> Value:
    return k.select(where, k.constant(by, "i32", where.lanes), k.constant(0, "i32", where.lanes))


def _unscale(k: Builder, where: Value, value: Value) -> Value:
    """``value * 2^-64`` in some lanes: the way to subnormal results, whose own scale would not be a normal number."""
    return k.select(where, k.mul(value, k.like(2.0**-64, value)), value)


# Exponentials


def exp(k: Builder, x: Value) -> Value:
    """``e ** x``. Within 1.02 ulp."""
    check(x)
    x = at_most(k, at_least(k, x, -104.0), 89.0)
    small = k.compare("olt", x, k.like(-86, x))
    fraction, half_scale = _power(k, x, shift=_shift_where(k, small, 64), halvings=1)
    return _unscale(k, small, k.mul(_twice(k, fraction), half_scale))


def exp_below(k: Builder, x: Value) -> Value:
    """``e ** x`` for ``x <= 0``; 0 where that is less than 2^-126.5. Within 0.90 ulp of what is not."""
    check(x)
    rounder = k.like(_ROUNDER, x)
    bounded = at_least(k, x, -88.0)  # where the bits of the scale are 0
    rounded = k.fma(bounded, k.like(_LOG2_E, x), rounder)
    n = k.sub(rounded, rounder)
    r = k.fma(n, k.like(-_LN2_LOW, x), k.fma(n, k.like(-_LN2_HIGH, x), bounded))
    return k.mul(polynomial(k, r, (1.0, 1.0, *_EXP)), k.bitcast(k.shl(k.bitcast(rounded, "i32"), 23), "float"))


def _twice(k: Builder, fraction: Value) -> Value:
    """``2 * (1 + fraction)``, for a scale that would overflow if it were not halved."""
    two = k.like(2, fraction)
    return k.fma(fraction, two, two)


def exp2(k: Builder, x: Value) -> Value:
    """``2 ** x``. Within 1.02 ulp."""
    check(x)
    x = at_most(k, at_least(k, x, -151.0), 129.0)
    small = k.compare("olt", x, k.like(-124, x))
    rounder = k.like(_ROUNDER - 1, x)
    rounded = k.add(x, rounder)
    r = k.sub(x, k.sub(rounded, rounder))
    bits = k.add(k.bitcast(rounded, "i32"), _shift_where(k, small, 64))
    half_scale = k.bitcast(k.shl(bits, 23), "float")
    return _unscale(k, small, k.mul(_twice(k, k.mul(polynomial(k, r, _EXP2), r)), half_scale))


def expm1(k: Builder, x: Value) -> Value:
    """``e ** x - 1``. Within 1.46 ulp."""
    check(x)
    bounded = at_most(k, at_least(k, x, -20.0), 89.0)
    fraction, half_scale = _power(k, bounded, precise=True, halvings=1)
    half = k.fma(fraction, half_scale, k.sub(half_scale, k.like(0.5, x)))
    return copysign(k, k.add(half, half), x)


def sigmoid(k: Builder, x: Value) -> Value:
    """``1 / (1 + exp(-x))``. Within 1.66 ulp."""
    check(x)
    return _divided_by_one_plus_exp(k, k.like(1, x), k.neg(x))


def silu(k: Builder, x: Value) -> Value:
    """``x * sigmoid(x)``; nan for -inf, as in PyTorch. Within 1.63 ulp."""
    check(x)
    return _divided_by_one_plus_exp(k, x, k.neg(x))


def _divided_by_one_plus_exp(k: Builder, numerator: Value, x: Value, rest: Value | None = None) -> Value:
    """``numerator / (1 + exp(x + rest))``."""
    x = at_least(k, x, -80.0)
    x = k.select(k.compare("ogt", x, k.like(110, x)), k.like(_INFINITE_EXP, x), x)
    large = k.compare("ogt", x, k.like(86, x))
    fraction, scale = _power(k, x, rest, precise=True, shift=_shift_where(k, large, -64))
    # Where the scale is shifted, 1 is nothing beside it. From 2^12 on it joins the small part, not to be lost at 2^24.
    one, zero = k.like(1, x), k.like(0, x)
    apart = k.compare("oge", scale, k.like(4096, x))
    denominator = k.fma(fraction, scale, k.select(apart, one, k.add(scale, one)))
    return _unscale(k, large, k.div(numerator, k.add(denominator, k.select(apart, scale, zero))))


def tanh(k: Builder, x: Value) -> Value:
    """The hyperbolic tangent. Within 1.23 ulp."""
    check(x)
    magnitude = at_most(k, k.abs(x), 9.5)
    one = k.like(1, x)
    fraction, scale = _power(k, k.add(magnitude, magnitude))
    large = k.sub(one, k.div(k.like(2, x), k.fma(fraction, scale, k.add(scale, one))))
    square = k.mul(magnitude, magnitude)
    little = k.fma(k.mul(polynomial(k, square, _TANH), square), magnitude, magnitude)
    return copysign(k, k.select(k.compare("olt", magnitude, k.like(0.6, x)), little, large), x)


def sinh(k: Builder, x: Value) -> Value:
    """The hyperbolic sine. Within 1.62 ulp."""
    check(x)
    magnitude = at_most(k, k.abs(x), 90.0)
    half = _half_exp(k, magnitude)
    large = k.sub(half, k.div(k.like(0.25, x), half))
    square = k.mul(magnitude, magnitude)
    little = k.fma(k.mul(polynomial(k, square, _SINH), square), x, x)
    return k.select(k.compare("olt", magnitude, k.like(1, x)), little, copysign(k, large, x))


def cosh(k: Builder, x: Value) -> Value:
    """The hyperbolic cosine. Within 1.35 ulp."""
    check(x)
    half = _half_exp(k, at_most(k, k.abs(x), 90.0))
    return k.add(half, k.div(k.like(0.25, x), half))


def _half_exp(k: Builder, x: Value) -> Value:
    """``exp(x) / 2`` for 0 <= x <= 90."""
    fraction, quarter_scale = _power(k, x, precise=True, halvings=2)
    return k.mul(_twice(k, fraction), quarter_scale)


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
    """The natural logarithm. Within 0.80 ulp."""
    check(x)
    f, e = _log_of_subnormals(k, x)
    return _log_outside(k, x, _log_of_parts(k, f, e))


def _log_of_parts(k: Builder, f: Value, e: Value) -> Value:
    """``log((1 + f) * 2^e)``."""
    square = k.mul(f, f)
    rest = k.fma(e, k.like(_LN2_LOW, f), k.mul(k.mul(polynomial(k, f, _LOG), f), square))
    rest = k.fma(square, k.like(-0.5, f), rest)
    return k.fma(e, k.like(_LN2_HIGH, f), k.add(f, rest))


def log2(k: Builder, x: Value) -> Value:
    """The logarithm to base 2. Within 0.95 ulp."""
    return _log_to_base(k, x, _BASE_2)


def log10(k: Builder, x: Value) -> Value:
    """The logarithm to base 10. Within 0.95 ulp."""
    return _log_to_base(k, x, _BASE_10)


def _log_to_base(k: Builder, x: Value, base: _Base) -> Value:
    check(x)
    f, e = _log_of_subnormals(k, x)
    rest = k.mul(f, polynomial(k, f, base.coefficients))
    if base.low:
        rest = k.fma(e, k.like(base.low, x), rest)
    return _log_outside(k, x, k.fma(e, k.like(base.high, x), k.fma(f, k.like(base.slope, x), rest)))


def log1p(k: Builder, x: Value) -> Value:
    """``log(1 + x)``. Within 1.39 ulp."""
    check(x)
    total = k.add(x, k.like(1, x))
    found = _log_outside(k, total, _log1p_inside(k, x))
    return copysign(k, found, x)


def _log1p_inside(k: Builder, x: Value) -> Value:
    """For -1 < x < infinity; 0 for -0."""
    one = k.like(1, x)
    total = k.add(x, one)
    added = k.sub(total, one)
    lost = k.add(k.sub(one, k.sub(total, added)), k.sub(x, added))  # x + 1 = total + lost
    f, e = _exponent(k, total)
    limited = k.intrinsic("smin", e, k.like(127, e))  # nothing is lost beyond
    scale = k.bitcast(k.sub(k.bitcast(one, "i32"), k.shl(limited, 23)), "float")  # 2^-e
    return _log_of_parts(k, k.fma(lost, scale, f), k.convert(e, "float"))


def log_sigmoid(k: Builder, x: Value) -> Value:
    """``log(sigmoid(x))``. Within 1.68 ulp."""
    check(x)
    return k.sub(at_most(k, x, 0.0), _log1p_inside(k, exp(k, k.neg(k.abs(x)))))


def log1p_exp(k: Builder, x: Value) -> Value:
    """``log(1 + exp(x))``, what softplus is below its threshold. Within 1.68 ulp."""
    check(x)
    return k.add(at_least(k, x, 0.0), _log1p_inside(k, exp(k, k.neg(k.abs(x)))))


# The normal distribution


def erf(k: Builder, x: Value) -> Value:
    """The error function. Within 0.92 ulp."""
    check(x)
    magnitude = at_most(k, k.abs(x), 4.0)
    tail = k.fma(polynomial(k, magnitude, _ERF_TAIL), magnitude, k.neg(magnitude))
    fraction, scale = _power(k, tail)
    large = k.fma(k.neg(fraction), scale, k.sub(k.like(1, x), scale))
    little = k.fma(polynomial(k, k.mul(magnitude, magnitude), _ERF), x, x)
    return k.select(k.compare("olt", magnitude, k.like(0.93, x)), little, copysign(k, large, x))


def gelu(k: Builder, x: Value) -> Value:
    """``x * P(X <= x)`` for a normal X; nan for -inf, as in PyTorch; 0 below 2^-124. Within 3 ulp
    for x > -1, 13 for x > -5.
    """
    check(x)
    # x P(X <= x) = max(x, 0) - a P(X <= -a) for a = |x|.
    a = k.abs(at_most(k, x, 30.0))
    ratio, power = _normal_tail(k, a)
    return k.fma(k.mul(k.neg(a), power), ratio, at_least(k, x, -0.0))


def _normal_tail(k: Builder, a: Value) -> tuple[Value, Value]:
    """``P(X <= -a)`` for a normal X and ``a >= 0`` as two factors: one is nan for infinity, and ``exp(-a^2 / 2)``, or 0 where that is less than 2^-126.5."""
    ratio = polynomial(k, k.div(a, k.add(a, k.like(3.5, a))), _NORMAL_TAIL)
    bounded = at_most(k, a, 13.2665)  # where the bits of the scale are 0
    half = k.mul(bounded, k.like(-0.5, a))
    rounder = k.like(_ROUNDER, a)
    rounded = k.fma(k.mul(half, bounded), k.like(_LOG2_E, a), rounder)
    n = k.sub(rounded, rounder)
    r = k.fma(n, k.like(-_LN2_LOW, a), k.fma(half, bounded, k.mul(n, k.like(-_LN2_HIGH, a))))
    power = k.mul(polynomial(k, r, (1.0, 1.0, *_EXP)), k.bitcast(k.shl(k.bitcast(rounded, "i32"), 23), "float"))
    return ratio, power


def inverse_and_quotient(k: Builder, a: Value, shift: float) -> tuple[Value, Value, Value, Value]:
    """``1 / (a + shift)`` and ``a / (a + shift)``, each as a float and what it lacks."""
    b, one = k.like(shift, a), k.like(1, a)
    total = k.add(a, b)
    added = k.sub(total, a)
    lost = k.add(k.sub(a, k.sub(total, added)), k.sub(b, added))  # a + shift = total + lost
    inverse = k.div(one, total)
    inverse_rest = k.mul(k.fma(k.neg(inverse), lost, k.fma(k.neg(inverse), total, one)), inverse)
    quotient = k.mul(a, inverse)
    quotient_rest = k.mul(k.fma(k.neg(quotient), lost, k.fma(k.neg(quotient), total, a)), inverse)
    return inverse, inverse_rest, quotient, quotient_rest


def times_polynomial(k: Builder, factor: Value, factor_rest: Value, v: Value, v_rest: Value, coefficients: Sequence[float], first_rest: float) -> tuple[Value, Value]:
    """``factor * p(v - centre)``, as a float and what it lacks; `first_rest` is what the first coefficient lacks."""
    u = k.sub(v, k.like(_TAIL_CENTRE, v))
    first, second = (k.like(c, v) for c in coefficients[:2])
    rest = polynomial(k, u, coefficients[2:])
    slope = k.fma(u, rest, second)  # of the secant from the centre, and nearly that at u
    slope_rest = k.fma(u, rest, k.sub(second, slope))
    p = k.fma(u, slope, first)
    p_rest = k.add(k.fma(u, slope, k.sub(first, p)), k.fma(v_rest, slope, k.fma(u, slope_rest, k.like(first_rest, v))))
    product = k.mul(factor, p)
    return product, k.fma(factor, p_rest, k.fma(factor_rest, p, k.fma(factor, p, k.neg(product))))


def _exp_times(k: Builder, x: Value, y: Value, factor: Value, factor_rest: Value) -> Value:
    """``exp(x * y) * (factor + factor_rest)`` for a product that is not positive."""
    power = k.mul(x, y)
    small = k.compare("olt", power, k.like(-86, x))
    fraction, scale = _power(k, power, k.fma(x, y, k.neg(power)), shift=_shift_where(k, small, 64))
    rest = k.fma(fraction, factor, k.fma(fraction, factor_rest, factor_rest))
    return _unscale(k, small, k.mul(k.add(factor, rest), scale))


def gelu_tanh(k: Builder, x: Value) -> Value:
    """``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2``; nan for -inf, as in PyTorch. Within 1.68 ulp."""
    check(x)
    # It is x / (1 + exp(-2 y)), the argument in two floats.
    bounded = at_most(k, at_least(k, x, -12.0), 12.0)
    square = k.mul(bounded, bounded)
    square_rest = k.fma(bounded, bounded, k.neg(square))
    linear, cubic = k.like(_GELU_LINEAR, x), k.like(_GELU_CUBIC, x)
    product = k.mul(square, cubic)
    slope = k.add(product, linear)
    added = k.sub(slope, linear)
    slope_rest = k.add(k.sub(linear, k.sub(slope, added)), k.sub(product, added))
    slope_rest = k.add(slope_rest, k.fma(square, cubic, k.neg(product)))
    slope_rest = k.add(slope_rest, k.fma(square_rest, cubic, k.like(_GELU_LINEAR_REST, x)))
    slope_rest = k.fma(square, k.like(_GELU_CUBIC_REST, x), slope_rest)
    y = k.mul(bounded, slope)
    rest = k.fma(bounded, slope_rest, k.fma(bounded, slope, k.neg(y)))
    return _divided_by_one_plus_exp(k, x, y, rest)


def erfc(k: Builder, x: Value) -> Value:
    """``1 - erf(x)``. Within 1.9 ulp."""
    check(x)
    a = at_most(k, k.abs(x), 10.2)
    tail = _exp_times(k, k.neg(a), a, *times_polynomial(k, *inverse_and_quotient(k, a, 2.125), _ERFC, _ERFC_REST))
    large = k.select(k.compare("olt", x, k.like(0, x)), k.sub(k.like(2, x), tail), tail)
    little = k.sub(k.like(1, x), k.fma(polynomial(k, k.mul(a, a), _ERF), x, x))
    return k.select(k.compare("olt", a, k.like(0.45, x)), little, large)


def erfinv(k: Builder, x: Value) -> Value:
    """The inverse of `erf`; infinite at -1 and 1, nan beyond. Within 0.51 ulp."""
    check(x)
    wide = k.convert(x, "double")
    one = k.like(1, wide)
    w = k.mul(log2_double(k, k.mul(k.sub(one, wide), k.add(one, wide))), k.like(-math.log(2), wide))
    centre = polynomial(k, k.sub(w, k.like(2.5, w)), _ERFINV)

    def tail() -> list[Value]:
        return [polynomial(k, k.sub(k.sqrt(w), k.like(3, w)), _ERFINV_TAIL)]

    (factor,) = k.rarely(k.compare("oge", w, k.like(5, w)), [centre], tail)
    edge = k.select(k.compare("oeq", k.abs(x), k.like(1, x)), copysign(k, k.like(INFINITY, x), x), k.like(NAN, x))
    return k.select(k.compare("olt", k.abs(x), k.like(1, x)), k.convert(k.mul(factor, wide), "float"), edge)


def gelu_gradient(k: Builder, g: Value, x: Value) -> Value:
    """``g`` times the derivative of `gelu`, as on its card: ``P(X <= x) + x exp(-x^2 / 2) / sqrt(2 pi)``."""
    ratio, power = _normal_tail(k, k.abs(x))
    tail = k.mul(ratio, power)
    below = k.select(k.compare("olt", x, k.like(0, x)), tail, k.sub(k.like(1, x), tail))
    return k.mul(g, k.fma(x, k.mul(power, k.like(1 / math.sqrt(2 * math.pi), x)), below))


def gelu_tanh_gradient(k: Builder, g: Value, x: Value) -> Value:
    """``g`` times the derivative of `gelu_tanh`, as on its card."""
    # For s = sigmoid(2 y) = (1 + tanh(y)) / 2 and e = exp(-2 y) it is s + 2 x y' s (1 - s), and 1 - s = e s.
    x = at_most(k, at_least(k, x, -10.0), 10.0)
    square, one = k.mul(x, x), k.like(1, x)
    linear, cubic = k.like(_GELU_LINEAR, x), k.like(_GELU_CUBIC, x)
    fraction, scale = _power(k, k.mul(x, k.fma(square, cubic, linear)))
    e = k.fma(fraction, scale, scale)
    s = k.div(one, k.add(e, one))
    slope = k.fma(square, k.like(-3 * _GELU_CUBIC, x), k.neg(linear))
    return k.mul(g, k.fma(k.mul(x, slope), k.mul(k.mul(e, s), s), s))


def mish(k: Builder, x: Value) -> Value:
    """``x * tanh(log(1 + exp(x)))``; nan for -inf, as in PyTorch. Within 1.0 ulp."""
    check(x)
    # tanh(log(1 + e)) = n / (n + 2) for n = e (e + 2), here in two floats each
    bounded = at_most(k, at_least(k, x, -132.4), 20.0)  # the shifted scale is 0 at the first
    small = k.compare("olt", x, k.like(-86, x))
    fraction, scale = _power(k, bounded, precise=True, shift=_shift_where(k, small, 64))
    one, two = k.like(1, x), k.like(2, x)
    total = k.add(fraction, one)
    e, e_rest = k.mul(total, scale), k.mul(k.sub(fraction, k.sub(total, one)), scale)
    twice = k.add(e, e)
    n = k.fma(e, e, twice)
    n_rest = k.fma(e_rest, k.add(twice, two), k.fma(e, e, k.sub(twice, n)))
    below = k.add(n, two)
    added = k.sub(below, n)
    below_rest = k.add(n_rest, k.add(k.sub(n, k.sub(below, added)), k.sub(two, added)))
    inverse = k.div(one, below)
    quotient = k.mul(n, inverse)
    lacking = k.add(k.fma(k.neg(quotient), below, n), k.fma(k.neg(quotient), below_rest, n_rest))
    rest = k.mul(bounded, k.mul(lacking, inverse))  # 0 for infinity
    found = _unscale(k, small, k.fma(x, quotient, rest))
    return k.select(k.compare("oeq", x, k.like(0, x)), x, found)


# Powers


def reciprocal(k: Builder, x: Value) -> Value:
    """``1 / x``, rounded once."""
    check(x)
    return k.div(k.like(1, x), x)


def rsqrt(k: Builder, x: Value) -> Value:
    """``1 / sqrt(x)``. Within 1.48 ulp."""
    check(x)
    return k.div(k.like(1, x), k.sqrt(x))


def hypot(k: Builder, x: Value, y: Value) -> Value:
    """``sqrt(x^2 + y^2)``, infinite if one of them is. Within 0.51 ulp."""
    check(x, y)
    a, b = k.convert(x, "double"), k.convert(y, "double")
    found = k.convert(k.sqrt(k.fma(a, a, k.mul(b, b))), "float")
    infinite = k.or_(k.compare("oeq", k.abs(x), k.like(INFINITY, x)), k.compare("oeq", k.abs(y), k.like(INFINITY, x)))
    return k.select(infinite, k.like(INFINITY, x), found)


def pow(k: Builder, x: Value, y: Value) -> Value:
    """``x ** y``, with the special cases of IEEE 754: ``x ** 0`` and ``1 ** y`` are 1 even for nan. Within 0.54 ulp."""
    check(x, y)
    lanes = max(x.lanes, y.lanes)
    x, y = k.splat(x, lanes), k.splat(y, lanes)
    power = k.mul(k.convert(y, "double"), log2_double(k, k.convert(k.abs(x), "double")))
    magnitude_one = k.compare("oeq", k.abs(x), k.like(1, x))
    power = k.select(k.or_(magnitude_one, k.compare("oeq", y, k.like(0, y))), k.like(0, power), power)
    result = k.convert(_exp2_double(k, at_most(k, at_least(k, power, -300.0), 300.0)), "float")

    half = k.mul(y, k.like(0.5, y))
    whole = k.compare("oeq", k.intrinsic("trunc", y), y)
    odd = k.and_(whole, k.compare("une", k.intrinsic("trunc", half), half))
    sign = k.select(odd, k.and_(k.bitcast(x, "i32"), k.constant(-(2**31), "i32", lanes)), k.constant(0, "i32", lanes))
    result = k.bitcast(k.xor(k.bitcast(result, "i32"), sign), "float")
    negative = k.and_(k.compare("olt", x, k.like(0, x)), k.compare("ogt", x, k.like(-INFINITY, x)))
    imaginary = k.and_(negative, k.xor(whole, k.like(1, whole)))
    return k.select(imaginary, k.like(NAN, x), result)


def log2_double(k: Builder, x: Value) -> Value:
    """The logarithm to base 2 of doubles that are 0, infinite, nan, or positive and normal, to about 38 bits."""
    bits = k.bitcast(x, "i64")
    e = k.ashr(k.sub(bits, k.like(0x3FE6A09E667F3BCD, bits)), 52)
    mantissa = k.bitcast(k.sub(bits, k.shl(e, 52)), "double")
    s = k.div(k.sub(mantissa, k.like(1, x)), k.add(mantissa, k.like(1, x)))
    found = k.fma(s, polynomial(k, k.mul(s, s), _LOG2_DOUBLE), k.convert(e, "double"))
    found = k.select(k.compare("olt", x, k.like(INFINITY, x)), found, x)
    return k.select(k.compare("oeq", x, k.like(0, x)), k.like(-INFINITY, x), found)


def _exp2_double(k: Builder, x: Value) -> Value:
    """``2 ** x`` for |x| <= 300, to about 28 bits."""
    rounder = k.like(DOUBLE_ROUNDER + 1023, x)
    rounded = k.add(x, rounder)
    scale = k.bitcast(k.shl(k.bitcast(rounded, "i64"), 52), "double")
    return k.mul(polynomial(k, k.sub(x, k.sub(rounded, rounder)), _EXP2_DOUBLE), scale)
