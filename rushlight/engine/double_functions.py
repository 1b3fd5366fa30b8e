"""Elementary functions of float64 values as IR, in the manner of functions.py: polynomials and selects, the same bits in every lane.

Polynomials interpolate at Chebyshev's points and are written from the lowest power up; the logarithm's is that of fdlibm. The
docstrings give the largest error that was found over a large sample, in units in the last place of the exact result.
"""

from __future__ import annotations

import math

from .emit import Builder, Value
from .functions import INFINITY, NAN, at_least, at_most, copysign, inverse_and_quotient, polynomial, times_polynomial

# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2) / 2
_EXP = (
    0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326084, 0.0013888888888883711, 0.0001984126987500228,
    2.480158732567746e-05, 2.755725517000089e-06, 2.755727347871858e-07, 2.5105312729622103e-08, 2.09147553258932e-09,
)  # fmt: skip
_LOG2_E = 1.4426950408889634
_LN2, _LN2_REST = 0.6931471805599453, 2.3190468138462996e-17
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first has 33 bits: exact times an exponent
_ROUNDER = 6755399441055744.0  # 2^52 * 1.5: added to a number, it leaves the nearest integer in the lowest bits
_ROUNDER_BITS = 0x4338000000000000

# log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + s^2 p(s^2)) for s = f / (2 + f)
_LOG = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
)  # fmt: skip

# erf(x) = x + x p(x^2) for |x| <= 1
_ERF = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792, 0.0052239776248180145,
    -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05, 1.6461000484121368e-06, -1.6350312701054695e-07,
    1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11,
)  # fmt: skip
# erfc(x) = exp(-x^2) t p(x t - centre) for t = 1 / (x + 2.125) and 0.4 <= x <= 27.3
_ERFC = (
    1.1267387195956637, -1.611945481572563, 1.4020957785620405, -0.4723468348374185, -0.32518377552665856, 0.27039410742042835,
    0.16093953908511308, -0.13335696391807214, -0.13339093054064302, 0.040771987502186066, 0.11327920714488719, 0.031311955350750854,
    -0.06916831659975146, -0.07365994108511353, 0.0026899294616295985, 0.06609521160856206, 0.05357271076334445, -0.0029251144499298823,
    -0.051684334207373006, -0.10728165537519296, 0.017476356732047626, 0.2220468887192186, -0.14149011421152813,
)  # fmt: skip
_ERFC_REST = 9.720516785469188e-18


# sin(r) = r + r^3 p(r^2) and cos(r) = 1 - r^2 / 2 + r^4 p(r^2) for |r| <= pi / 4, as in fdlibm
_SIN = (
    -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04, 2.75573137070700676789e-06,
    -2.50507602534068634195e-08, 1.58969099521155010221e-10,
)  # fmt: skip
_COS = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05, -2.75573143513906633035e-07,
    2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)  # in three parts
_MANY_TURNS = 2.0**30


def _power(k: Builder, x: Value, rest: Value | None = None) -> tuple[Value, Value]:
    """``exp(x + rest) = (1 + fraction) * 2^n``: the fraction, in +-0.42, and n as i64."""
    rounder = k.like(_ROUNDER, x)
    rounded = k.fma(x, k.like(_LOG2_E, x), rounder)
    n = k.sub(rounded, rounder)
    high = k.fma(n, k.like(-_LN2_HIGH, x), x)
    low = k.mul(n, k.like(-_LN2_LOW, x)) if rest is None else k.fma(n, k.like(-_LN2_LOW, x), rest)
    return _fraction(k, high, low), _integer(k, rounded)


def _fraction(k: Builder, high: Value, low: Value) -> Value:
    r = k.add(high, low)
    return k.add(high, k.fma(polynomial(k, r, _EXP), k.mul(r, r), low))


def _integer(k: Builder, rounded: Value) -> Value:
    bits = k.bitcast(rounded, "i64")
    return k.sub(bits, k.like(_ROUNDER_BITS, bits))


def _two_to(k: Builder, n: Value) -> Value:
    return k.bitcast(k.shl(k.add(n, k.like(1023, n)), 52), "double")


def _scaled(k: Builder, fraction: Value, n: Value, factor: Value | None = None) -> Value:
    """``(1 + fraction) * 2^n``, times a factor if there is one, in two steps: 2^n may be too large or too small a number."""
    half = k.ashr(n, 1)
    first = _two_to(k, half)
    found = k.fma(fraction, first, first)
    return k.mul(found if factor is None else k.mul(found, factor), _two_to(k, k.sub(n, half)))


def _quotient(k: Builder, a: Value, total: Value, lost: Value) -> Value:
    """``a / (total + lost)``, nearly as if rounded once."""
    inverse = k.div(k.like(1, a), total)
    found = k.mul(a, inverse)
    rest = k.fma(k.neg(found), lost, k.fma(k.neg(found), total, a))
    size = k.abs(found)
    usual = k.and_(k.compare("olt", size, k.like(INFINITY, a)), k.compare("ogt", size, k.like(0, a)))
    return k.select(usual, k.fma(rest, inverse, found), found)


def exp(k: Builder, x: Value) -> Value:
    """``e ** x``. Within 1.1 ulp."""
    return _scaled(k, *_power(k, at_most(k, at_least(k, x, -746.0), 710.0)))


def exp2(k: Builder, x: Value) -> Value:
    """``2 ** x``. Within 1.1 ulp."""
    x = at_most(k, at_least(k, x, -1076.0), 1025.0)
    rounder = k.like(_ROUNDER, x)
    rounded = k.add(x, rounder)
    d = k.sub(x, k.sub(rounded, rounder))
    high = k.mul(d, k.like(_LN2, x))
    low = k.fma(d, k.like(_LN2_REST, x), k.fma(d, k.like(_LN2, x), k.neg(high)))
    return _scaled(k, _fraction(k, high, low), _integer(k, rounded))


def expm1(k: Builder, x: Value) -> Value:
    """``e ** x - 1``. Within 1.5 ulp."""
    fraction, n = _power(k, at_most(k, at_least(k, x, -40.0), 710.0))
    half_scale = _two_to(k, k.sub(n, k.like(1, n)))
    half = k.fma(fraction, half_scale, k.sub(half_scale, k.like(0.5, x)))
    return copysign(k, k.add(half, half), x)


def tanh(k: Builder, x: Value) -> Value:
    """The hyperbolic tangent. Within 1.9 ulp."""
    a = at_most(k, k.abs(x), 22.0)
    grown, two = expm1(k, k.add(a, a)), k.like(2, x)
    total = k.add(grown, two)
    # Of a sum, what the larger one and the result leave of the smaller one is exact.
    lost = k.select(k.compare("olt", grown, two), k.sub(grown, k.sub(total, two)), k.sub(two, k.sub(total, grown)))
    return copysign(k, _quotient(k, grown, total, lost), x)


def sigmoid(k: Builder, x: Value) -> Value:
    """``1 / (1 + exp(-x))``. Within 1.9 ulp."""
    e, one = exp(k, k.neg(k.abs(x))), k.like(1, x)
    return _over_one_plus(k, k.select(k.compare("olt", x, k.like(0, x)), e, one), e)


def silu(k: Builder, x: Value) -> Value:
    """``x * sigmoid(x)``; nan for -inf, as in PyTorch. Within 2.3 ulp."""
    power = _power(k, at_least(k, k.neg(k.abs(x)), -760.0))
    e = _scaled(k, *power)
    # Where e is subnormal its product with x would be worse than that of x and e before it is scaled; where it is 0, -inf gives nan.
    small = k.select(k.compare("oge", x, k.like(-750, x)), _scaled(k, *power, x), k.mul(x, e))
    return _over_one_plus(k, k.select(k.compare("olt", x, k.like(0, x)), small, x), e)


def _over_one_plus(k: Builder, a: Value, e: Value) -> Value:
    """``a / (1 + e)`` for 0 <= e <= 1."""
    one = k.like(1, e)
    total = k.add(one, e)
    return _quotient(k, a, total, k.sub(e, k.sub(total, one)))


def _exponent(k: Builder, x: Value) -> tuple[Value, Value]:
    """``x = (1 + f) * 2^e`` for x > 0, with sqrt(1/2) <= 1 + f < sqrt(2): f and e."""
    tiny = k.compare("olt", x, k.like(2.0**-1022, x))
    bits = k.bitcast(k.select(tiny, k.mul(x, k.like(2.0**54, x)), x), "i64")
    e = k.ashr(k.sub(bits, k.like(0x3FE6A09E667F3BCD, bits)), 52)
    mantissa = k.bitcast(k.sub(bits, k.shl(e, 52)), "double")
    exponent = k.convert(e, "double")
    return k.sub(mantissa, k.like(1, x)), k.select(tiny, k.sub(exponent, k.like(54, x)), exponent)


def _log_of_parts(k: Builder, f: Value, e: Value, rest: Value) -> Value:
    """``log((1 + f) * 2^e) + rest``"""
    s = k.div(f, k.add(k.like(2, f), f))
    square = k.mul(s, s)
    half = k.mul(k.mul(f, k.like(0.5, f)), f)
    inner = k.fma(s, k.fma(square, polynomial(k, square, _LOG), half), k.fma(e, k.like(_LN2_LOW, f), rest))
    return k.fma(e, k.like(_LN2_HIGH, f), k.sub(f, k.sub(half, inner)))


def _outside(k: Builder, x: Value, found: Value, lowest: float) -> Value:
    """`found`, and what a logarithm is where x is `lowest`, below it, infinite or nan."""
    found = k.select(k.compare("olt", x, k.like(INFINITY, x)), found, x)
    found = k.select(k.compare("olt", x, k.like(lowest, x)), k.like(NAN, x), found)
    return k.select(k.compare("oeq", x, k.like(lowest, x)), k.like(-INFINITY, x), found)


def log(k: Builder, x: Value) -> Value:
    """The natural logarithm. Within 1 ulp."""
    return _outside(k, x, _log_of_parts(k, *_exponent(k, x), k.like(0, x)), 0.0)


def log1p(k: Builder, x: Value) -> Value:
    """``log(1 + x)``. Within 1.2 ulp."""
    one = k.like(1, x)
    u = k.add(x, one)
    lost = k.select(k.compare("ogt", x, one), k.sub(one, k.sub(u, x)), k.sub(x, k.sub(u, one)))
    found = _outside(k, x, _log_of_parts(k, *_exponent(k, u), k.div(lost, u)), -1.0)
    return k.select(k.compare("oeq", x, k.like(0, x)), x, found)


def log_sigmoid(k: Builder, x: Value) -> Value:
    """``log(sigmoid(x))``. Within 2 ulp."""
    return k.sub(at_most(k, x, 0.0), log1p(k, exp(k, k.neg(k.abs(x)))))


def log1p_exp(k: Builder, x: Value) -> Value:
    """``log(1 + exp(x))``. Within 2 ulp."""
    return k.add(at_least(k, x, 0.0), log1p(k, exp(k, k.neg(k.abs(x)))))


def _erf_near_zero(k: Builder, x: Value) -> Value:
    return k.fma(polynomial(k, k.mul(x, x), _ERF), x, x)


def _tail(k: Builder, a: Value, rest: Value) -> Value:
    """``erfc(a + rest)`` for a from 0.4 on."""
    square = k.mul(a, a)
    square_rest = k.fma(k.add(a, a), rest, k.fma(a, a, k.neg(square)))
    fraction, n = _power(k, at_least(k, k.neg(square), -800.0), k.neg(square_rest))
    factor, factor_rest = times_polynomial(k, *inverse_and_quotient(k, a, 2.125), _ERFC, _ERFC_REST)
    total = k.add(factor, k.fma(fraction, factor, k.fma(fraction, factor_rest, factor_rest)))
    half = k.ashr(n, 1)
    return k.mul(k.mul(total, _two_to(k, half)), _two_to(k, k.sub(n, half)))


def erf(k: Builder, x: Value) -> Value:
    """The error function. Within 1 ulp."""
    a = at_most(k, k.abs(x), 6.5)
    large = k.sub(k.like(1, x), _tail(k, a, k.like(0, x)))
    return copysign(k, k.select(k.compare("olt", a, k.like(1, x)), _erf_near_zero(k, a), large), x)


def _above(k: Builder, a: Value, rest: Value) -> Value:
    """``erfc(a + rest)`` for a >= 0."""
    little = k.sub(k.like(1, a), k.add(_erf_near_zero(k, a), k.mul(rest, k.like(2 / math.sqrt(math.pi), a))))
    return k.select(k.compare("olt", a, k.like(0.45, a)), little, _tail(k, a, rest))


def erfc(k: Builder, x: Value) -> Value:
    """``1 - erf(x)``. Within 2 ulp."""
    found = _above(k, at_most(k, k.abs(x), 28.0), k.like(0, x))
    return k.select(k.compare("olt", x, k.like(0, x)), k.sub(k.like(2, x), found), found)


def gelu(k: Builder, x: Value) -> Value:
    """``x * P(X <= x)`` for a normal X; nan for -inf, as in PyTorch. Within 2 ulp, but for subnormal results."""
    # x P(X <= x) = max(x, 0) - a P(X <= -a) for a = |x|, and P(X <= -a) = erfc(a / sqrt(2)) / 2.
    a = k.abs(at_most(k, x, 40.0))
    bounded = at_most(k, a, 39.5)
    root = k.like(math.sqrt(0.5), x)
    y = k.mul(bounded, root)
    rest = k.fma(bounded, k.like(-4.833646656726457e-17, x), k.fma(bounded, root, k.neg(y)))
    return k.sub(at_least(k, x, -0.0), k.mul(k.mul(a, k.like(0.5, x)), _above(k, y, rest)))


def gelu_gradient(k: Builder, g: Value, x: Value) -> Value:
    """``g`` times the derivative of `gelu`, as on its card."""
    below = k.mul(k.add(erf(k, k.mul(x, k.like(math.sqrt(0.5), x))), k.like(1, x)), k.like(0.5, x))
    density = k.mul(exp(k, k.mul(k.mul(x, k.like(-0.5, x)), x)), k.like(1 / math.sqrt(2 * math.pi), x))
    return k.mul(g, k.fma(x, density, below))


def sin(k: Builder, x: Value) -> Value:
    """The sine. Within 0.8 ulp; the C library's for arguments from 2^30 on."""
    return _turned(k, x, 0, "sin")


def cos(k: Builder, x: Value) -> Value:
    """The cosine. Within 0.8 ulp; the C library's for arguments from 2^30 on."""
    return _turned(k, x, 1, "cos")


def _turned(k: Builder, x: Value, quarters: int, name: str) -> Value:
    """The sine of `x` and so many quarter turns more."""
    rounder = k.like(_ROUNDER, x)
    rounded = k.fma(x, k.like(2 / math.pi, x), rounder)
    n = k.sub(rounded, rounder)
    high, middle, low = (k.like(part, x) for part in _HALF_PI)
    first = k.fma(k.neg(n), high, x)  # exact: below 1, and as far as `high` or `x` goes
    product = k.mul(n, middle)
    r = k.sub(first, product)
    rest = k.sub(k.sub(k.sub(first, r), product), k.fma(n, low, k.fma(n, middle, k.neg(product))))
    square, one = k.mul(r, r), k.like(1, x)
    cube = k.mul(square, r)
    sine = k.add(r, k.fma(cube, polynomial(k, square, _SIN), k.fma(k.mul(square, k.like(-0.5, x)), rest, rest)))
    sine = k.select(k.compare("oeq", r, k.like(0, x)), r, sine)  # keeps the sign of zero
    half = k.mul(square, k.like(0.5, x))
    most = k.sub(one, half)
    cosine = k.add(most, k.add(k.sub(k.sub(one, most), half), k.fma(k.mul(square, square), polynomial(k, square, _COS), k.neg(k.mul(r, rest)))))
    turns = k.add(_integer(k, rounded), k.constant(quarters, "i64", x.lanes))
    odd = k.compare("ne", k.and_(turns, k.like(1, turns)), k.like(0, turns))
    sign = k.shl(k.and_(turns, k.like(2, turns)), 62)
    found = k.bitcast(k.xor(k.bitcast(k.select(odd, cosine, sine), "i64"), sign), "double")
    many = k.compare("oge", k.abs(x), k.like(_MANY_TURNS, x))
    return k.rarely(many, [found], lambda: [k.intrinsic(name, x)])[0]


def hypot(k: Builder, x: Value, y: Value) -> Value:
    """``sqrt(x^2 + y^2)``, infinite if one of them is: with what rounding took from the squares and their sum. Within 0.51 ulp."""
    lanes = max(x.lanes, y.lanes)
    a, b = (k.abs(k.splat(v, lanes)) for v in (x, y))
    larger = k.compare("oge", a, b)
    high, low = k.select(larger, a, b), k.select(larger, b, a)
    one = k.like(1, a)
    large, small = k.compare("ogt", high, k.like(2.0**500, a)), k.compare("olt", high, k.like(2.0**-400, a))
    scale = k.select(large, k.like(2.0**-600, a), k.select(small, k.like(2.0**600, a), one))
    back = k.select(large, k.like(2.0**600, a), k.select(small, k.like(2.0**-600, a), one))
    high, low = k.mul(high, scale), k.mul(low, scale)
    square, other = k.mul(high, high), k.mul(low, low)
    total = k.add(square, other)
    lost = k.add(k.sub(other, k.sub(total, square)), k.add(k.fma(high, high, k.neg(square)), k.fma(low, low, k.neg(other))))
    root = k.sqrt(total)
    rest = k.div(k.add(k.fma(k.neg(root), root, total), lost), k.add(root, root))
    # Of 0, inf and nan there is no rest.
    found = k.mul(k.select(k.compare("olt", k.abs(rest), root), k.add(root, rest), root), back)
    infinite = k.or_(*(k.compare("oeq", v, k.like(INFINITY, v)) for v in (a, b)))
    return k.select(infinite, k.like(INFINITY, a), found)
