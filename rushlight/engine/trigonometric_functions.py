"""Trigonometric functions of float32 values as IR, their inverses, and those of the hyperbolic functions, in the manner of functions.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .emit import Builder, Value
from .functions import DOUBLE_ROUNDER, NAN, check, copysign, log2_double, polynomial

# sin(r) = r + r^3 p(r^2) and cos(r) = 1 - r^2 / 2 + r^4 p(r^2) for |r| <= pi / 4: in float32, and in double for tan
_SIN = (-0.16666655242443085, 0.008332187309861183, -0.00019517909095156938)
_COS = (0.04166664555668831, -0.0013887309469282627, 2.4432336431345902e-05)
_SIN_DOUBLE = (-0.16666666640586056, 0.008333329280289417, -0.00019839304347392625, 2.7180458886502453e-06)
_COS_DOUBLE = (0.04166664555265987, -0.0013887309782458592, 2.443240390976485e-05)
_HALF_PI, _HALF_PI_REST = 1.5707963267948966, 6.123233995736766e-17
#: 2 / pi in pieces of 24 bits, the first before 2^-24: a float32 times one of them is exact in double.
_TWO_OVER_PI = (0xA2F983, 0x6E4E44, 0x1529FC, 0x2757D1, 0xF534DD, 0xC0DB62, 0x95993C, 0x439041, 0xFE5163)

# atan(x) = x + x^3 p(x^2) for |x| <= 1; asin, asinh and atanh alike for |x| <= 1/2
_ATAN = (
    -0.33333298563957214, 0.1999853104352951, -0.14264051616191864, 0.10951175540685654, -0.08400480449199677,
    0.05790668725967407, -0.031127188354730606, 0.010887479409575462, -0.0017875764751806855,
)  # fmt: skip
_ASIN = (0.16666752099990845, 0.0749531015753746, 0.045469023287296295, 0.024185465648770332, 0.04215710610151291)
_ASINH = (-0.1666664332151413, 0.07498642802238464, -0.044383447617292404, 0.028164222836494446, -0.013229700736701488)
_ATANH = (0.33333301544189453, 0.2000245302915573, 0.1422378569841385, 0.11816386132433388, 0.05160436034202576, 0.1763785034418106)
_HALF_PI_SINGLE, _HALF_PI_SINGLE_REST = 1.5707963705062866, -4.371139000186241e-08


def sin(k: Builder, x: Value) -> Value:
    """The sine, for arguments of any size. Within 1.58 ulp."""
    check(x)
    r, quarters = _quarter_turns(k, x)
    return _sine(k, k.convert(r, "float"), quarters)


def cos(k: Builder, x: Value) -> Value:
    """The cosine, for arguments of any size. Within 1.58 ulp."""
    check(x)
    r, quarters = _quarter_turns(k, x)
    return _sine(k, k.convert(r, "float"), k.add(quarters, k.like(1, quarters)))


def tan(k: Builder, x: Value) -> Value:
    """The tangent, for arguments of any size. Within 0.51 ulp."""
    check(x)
    r, quarters = _quarter_turns(k, x)
    sine, cosine = _sine_and_cosine(k, r, _SIN_DOUBLE, _COS_DOUBLE)
    odd = k.compare("ne", k.and_(quarters, k.like(1, quarters)), k.like(0, quarters))
    return k.convert(k.div(k.select(odd, k.neg(cosine), sine), k.select(odd, sine, cosine)), "float")


def _sine(k: Builder, r: Value, quarters: Value) -> Value:
    """``sin(r + quarters * pi / 2)``."""
    sine, cosine = _sine_and_cosine(k, r, _SIN, _COS)
    odd = k.compare("ne", k.and_(quarters, k.like(1, quarters)), k.like(0, quarters))
    sign = k.shl(k.and_(quarters, k.like(2, quarters)), 30)
    return k.bitcast(k.xor(k.bitcast(k.select(odd, cosine, sine), "i32"), sign), "float")


def _sine_and_cosine(k: Builder, r: Value, sine: Sequence[float], cosine: Sequence[float]) -> tuple[Value, Value]:
    square = k.mul(r, r)
    s = k.fma(k.fma(polynomial(k, square, sine), square, k.like(0, r)), r, r)  # adding 0 keeps the sign of r = -0
    c = k.fma(k.mul(square, square), polynomial(k, square, cosine), k.fma(square, k.like(-0.5, r), k.like(1, r)))
    return s, c


def _quarter_turns(k: Builder, x: Value) -> tuple[Value, Value]:
    """``x = r + quarters * pi / 2``: r as double within pi / 4, and the lowest bits of the quarters as i32."""
    wide = k.convert(x, "double")
    # With fewer than 2^52 quarters the first product and difference are exact.
    n, quarters = _round_double(k, k.mul(wide, k.like(2 / math.pi, wide)))
    r = k.fma(n, k.like(-_HALF_PI_REST, wide), k.fma(n, k.like(-_HALF_PI, wide), wide))
    huge = k.compare("oge", k.abs(x), k.like(2.0**40, x))
    r, quarters = k.rarely(huge, (r, quarters), lambda: _quarter_turns_of_huge(k, wide))
    return r, quarters


def _quarter_turns_of_huge(k: Builder, x: Value) -> tuple[Value, Value]:
    # Each product with a piece of 2 / pi has 48 bits. Multiples of 4 are dropped from each, whole quarters counted from
    # the sum; every sum is exact, or is rounded relative to what is left when only smaller pieces follow.
    total, quarters = k.like(0, x), k.constant(0, "i32", x.lanes)
    for i, piece in enumerate(_TWO_OVER_PI):
        product = k.mul(x, k.like(piece * 2.0 ** (-24 * (i + 1)), x))
        turns = k.intrinsic("rint", k.mul(product, k.like(0.25, x)))
        total = k.add(total, k.fma(turns, k.like(-4, x), product))
        n, whole = _round_double(k, total)
        total, quarters = k.sub(total, n), k.add(quarters, whole)
    return k.mul(total, k.like(_HALF_PI, x)), quarters


def _round_double(k: Builder, x: Value) -> tuple[Value, Value]:
    """The nearest integer below 2^51, as double and its low half as i32."""
    rounder = k.like(DOUBLE_ROUNDER, x)
    rounded = k.add(x, rounder)
    return k.sub(rounded, rounder), k.convert(k.bitcast(rounded, "i64"), "i32")


# Inverses


def atan(k: Builder, x: Value) -> Value:
    """The arctangent. Within 1.4 ulp."""
    check(x)
    return copysign(k, _angle(k, k.abs(x), k.like(1, x)), x)


def atan2(k: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), with the special cases of IEEE 754. Within 1.7 ulp."""
    check(x, y)
    angle = _angle(k, k.abs(y), k.abs(x))
    left = k.compare("olt", copysign(k, k.like(1, x), x), k.like(0, x))
    opposite = k.add(k.sub(k.like(2 * _HALF_PI_SINGLE, x), angle), k.like(2 * _HALF_PI_SINGLE_REST, x))
    return copysign(k, k.select(left, opposite, angle), y)


def _angle(k: Builder, y: Value, x: Value) -> Value:
    """The angle of a point neither of whose coordinates is negative."""
    steep = k.compare("ogt", y, x)
    smaller, larger = k.select(steep, x, y), k.select(steep, y, x)
    t = k.select(k.compare("oeq", smaller, larger), k.like(1, x), k.div(smaller, larger))  # also of two infinities
    t = k.select(k.compare("oeq", k.add(x, y), k.like(0, x)), k.like(0, x), t)
    flat = _odd(k, t, _ATAN)
    return k.select(steep, k.add(k.sub(k.like(_HALF_PI_SINGLE, x), flat), k.like(_HALF_PI_SINGLE_REST, x)), flat)


def _odd(k: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """``x + x^3 p(x^2)``"""
    square = k.mul(x, x)
    return k.fma(k.mul(polynomial(k, square, coefficients), square), x, x)


def asin(k: Builder, x: Value) -> Value:
    """The arcsine; nan outside -1..1. Within 1.6 ulp."""
    check(x)
    a = k.abs(x)
    root, rest = _half_arc(k, a)
    large = k.sub(k.sub(k.like(_HALF_PI_SINGLE, x), root), k.sub(rest, k.like(_HALF_PI_SINGLE_REST, x)))
    return copysign(k, k.select(k.compare("olt", a, k.like(0.5, x)), _odd(k, a, _ASIN), large), x)


def acos(k: Builder, x: Value) -> Value:
    """The arccosine; nan outside -1..1. Within 1.1 ulp."""
    check(x)
    a = k.abs(x)
    root, rest = _half_arc(k, a)
    square = k.mul(x, x)
    beyond = k.mul(k.mul(polynomial(k, square, _ASIN), square), x)  # asin(x) = x + beyond
    little = k.sub(k.sub(k.like(_HALF_PI_SINGLE, x), x), k.sub(beyond, k.like(_HALF_PI_SINGLE_REST, x)))
    negative = k.sub(k.sub(k.like(2 * _HALF_PI_SINGLE, x), root), k.sub(rest, k.like(2 * _HALF_PI_SINGLE_REST, x)))
    large = k.select(k.compare("olt", x, k.like(0, x)), negative, k.add(root, rest))
    return k.select(k.compare("olt", a, k.like(0.5, x)), little, large)


def _half_arc(k: Builder, a: Value) -> tuple[Value, Value]:
    """``2 asin(sqrt((1 - a) / 2))``, which is the arccosine of `a`, for a >= 1/2: as a float and what it lacks."""
    half = k.like(0.5, a)
    square = k.fma(a, k.neg(half), half)
    root = k.sqrt(square)
    lost = k.div(k.fma(k.neg(root), root, square), k.add(root, k.like(1e-30, a)))  # twice what the root lacks
    beyond = k.mul(k.mul(polynomial(k, square, _ASIN), square), root)
    return k.add(root, root), k.add(k.add(beyond, beyond), lost)


def asinh(k: Builder, x: Value) -> Value:
    """The inverse hyperbolic sine. Within 0.6 ulp."""
    check(x)
    a = k.abs(x)
    wide = k.convert(a, "double")
    large = _log_double(k, k.add(wide, k.sqrt(k.fma(wide, wide, k.like(1, wide)))))
    return copysign(k, k.select(k.compare("olt", a, k.like(0.5, x)), _odd(k, a, _ASINH), large), x)


def acosh(k: Builder, x: Value) -> Value:
    """The inverse hyperbolic cosine; nan below 1. Within 0.51 ulp."""
    check(x)
    wide = k.convert(x, "double")
    found = _log_double(k, k.add(wide, k.sqrt(k.fma(wide, wide, k.like(-1, wide)))))
    return k.select(k.compare("olt", x, k.like(1, x)), k.like(NAN, x), found)


def atanh(k: Builder, x: Value) -> Value:
    """The inverse hyperbolic tangent; nan outside -1..1. Within 0.7 ulp."""
    check(x)
    a = k.abs(x)
    wide = k.convert(a, "double")
    one = k.like(1, wide)
    large = k.mul(_log_double(k, k.div(k.add(one, wide), k.sub(one, wide))), k.like(0.5, x))
    large = k.select(k.compare("ogt", a, k.like(1, x)), k.like(NAN, x), large)
    return copysign(k, k.select(k.compare("olt", a, k.like(0.5, x)), _odd(k, a, _ATANH), large), x)


def _log_double(k: Builder, x: Value) -> Value:
    """The natural logarithm of doubles, as `log2_double` has them, as float."""
    return k.convert(k.mul(log2_double(k, x), k.like(math.log(2), x)), "float")
