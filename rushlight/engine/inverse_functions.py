"""Inverse trigonometric and hyperbolic functions of float32 values as IR, in the manner of functions.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .emit import Builder, Value
from .functions import NAN, check, copysign, log2_double, polynomial

# atan(x) = x + x^3 p(x^2) for |x| <= 1; asin, asinh and atanh alike for |x| <= 1/2
_ATAN = (
    -0.33333298563957214, 0.1999853104352951, -0.14264051616191864, 0.10951175540685654, -0.08400480449199677,
    0.05790668725967407, -0.031127188354730606, 0.010887479409575462, -0.0017875764751806855,
)  # fmt: skip
_ASIN = (0.16666752099990845, 0.0749531015753746, 0.045469023287296295, 0.024185465648770332, 0.04215710610151291)
_ASINH = (-0.1666664332151413, 0.07498642802238464, -0.044383447617292404, 0.028164222836494446, -0.013229700736701488)
_ATANH = (0.33333301544189453, 0.2000245302915573, 0.1422378569841385, 0.11816386132433388, 0.05160436034202576, 0.1763785034418106)
_HALF_PI_SINGLE, _HALF_PI_SINGLE_REST = 1.5707963705062866, -4.371139000186241e-08


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
