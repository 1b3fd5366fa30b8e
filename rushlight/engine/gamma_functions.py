"""The logarithm of the gamma function and its first two derivatives for float32 values as IR, computed in double precision.

Stirling's series holds from 8 on; smaller arguments are moved there by the recurrence, and negative ones reflected.
"""

from __future__ import annotations

import math
from functools import reduce

from . import double_functions
from .emit import Builder, Value
from .functions import INFINITY, NAN, check, polynomial

_FROM = 8
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
# Of lgamma in 1 / x^2, times 1 / x; of digamma in 1 / x^2, times 1 / x^2; of trigamma in 1 / x^2, times 1 / x^3
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_SLOPES = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)
_BENDS = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def log_gamma(k: Builder, a: Value) -> Value:
    """The logarithm of the gamma function of doubles that are not negative: 0 at 1 and 2, off by 1e-15 of what is added up."""
    factors = [k.add(a, k.like(n, a)) if n else a for n in range(_FROM)]
    near = k.compare("olt", a, k.like(_FROM, a))
    product = k.select(near, reduce(k.mul, factors), k.like(1, a))
    y = k.select(near, k.add(a, k.like(_FROM, a)), a)
    inverse = k.div(k.like(1, y), y)
    series = k.mul(inverse, polynomial(k, k.mul(inverse, inverse), _SERIES))
    log = double_functions.log(k, y)
    main = k.add(k.sub(k.mul(k.sub(y, k.like(0.5, y)), log), y), k.add(k.like(_HALF_LOG_TWO_PI, y), series))
    found = k.sub(main, double_functions.log(k, product))
    zero = k.or_(*(k.compare("oeq", a, k.like(n, a)) for n in (1, 2)))
    return k.select(zero, k.like(0, a), found)


def lgamma(k: Builder, x: Value) -> Value:
    """The logarithm of the absolute value of the gamma function. Within 1.4 ulp next to its zeros, 0.6 elsewhere."""
    check(x)
    a = k.convert(k.abs(x), "double")
    found = log_gamma(k, a)

    def reflected() -> list[Value]:
        size = k.mul(a, k.abs(double_functions.sin(k, _of_pi(k, a))))
        return [k.sub(double_functions.log(k, k.div(k.like(math.pi, a), size)), found)]

    (found,) = k.rarely(k.compare("olt", x, k.like(0, x)), [found], reflected)
    found = k.select(k.compare("oeq", a, k.like(INFINITY, a)), a, found)
    return k.convert(found, "float")


def digamma(k: Builder, x: Value) -> Value:
    """The derivative of `lgamma`: nan at the negative integers. Within 0.6 ulp."""
    check(x)
    a = k.convert(k.abs(x), "double")
    near = k.compare("olt", a, k.like(_FROM, a))
    # The sum of 1 / (a + n) as one fraction.
    above, below = k.like(1, a), a
    for n in range(1, _FROM):
        factor = k.add(a, k.like(n, a))
        above, below = k.fma(above, factor, below), k.mul(below, factor)
    y = k.select(near, k.add(a, k.like(_FROM, a)), a)
    inverse = k.div(k.like(1, y), y)
    square = k.mul(inverse, inverse)
    series = k.fma(square, polynomial(k, square, _SLOPES), k.mul(inverse, k.like(-0.5, y)))
    found = k.add(double_functions.log(k, y), series)
    found = k.select(near, k.sub(found, k.div(above, below)), found)

    def reflected() -> list[Value]:
        angle = _of_pi(k, a)
        sine = double_functions.sin(k, angle)
        slope = k.div(k.mul(k.like(math.pi, a), double_functions.cos(k, angle)), sine)
        moved = k.add(k.add(found, k.div(k.like(1, a), a)), slope)
        return [k.select(k.compare("oeq", sine, k.like(0, a)), k.like(NAN, a), moved)]

    (found,) = k.rarely(k.compare("olt", x, k.like(0, x)), [found], reflected)
    pole = k.intrinsic("copysign", k.like(INFINITY, x), k.neg(x))
    return k.select(k.compare("oeq", x, k.like(0, x)), pole, k.convert(found, "float"))


def trigamma(k: Builder, x: Value) -> Value:
    """The derivative of `digamma`: infinite at 0 and at the negative integers. Within 0.6 ulp."""
    check(x)
    a = k.convert(k.abs(x), "double")
    near = k.compare("olt", a, k.like(_FROM, a))
    # The sum of 1 / (a + n)^2 as one fraction.
    above, below = k.like(1, a), k.mul(a, a)
    for n in range(1, _FROM):
        factor = k.add(a, k.like(n, a))
        factor = k.mul(factor, factor)
        above, below = k.fma(above, factor, below), k.mul(below, factor)
    y = k.select(near, k.add(a, k.like(_FROM, a)), a)
    inverse = k.div(k.like(1, y), y)
    series = k.fma(inverse, polynomial(k, k.mul(inverse, inverse), _BENDS), k.like(0.5, y))
    found = k.fma(k.mul(inverse, inverse), series, inverse)
    found = k.select(near, k.add(found, k.div(above, below)), found)

    def reflected() -> list[Value]:
        sine = double_functions.sin(k, _of_pi(k, a))
        slope = k.div(k.like(math.pi, a), sine)
        return [k.add(k.sub(k.mul(slope, slope), found), k.div(k.like(1, a), k.mul(a, a)))]

    (found,) = k.rarely(k.compare("olt", x, k.like(0, x)), [found], reflected)
    return k.convert(found, "float")


def _of_pi(k: Builder, a: Value) -> Value:
    """Pi times what `a` is beyond the nearest integer."""
    return k.mul(k.sub(a, k.intrinsic("rint", a)), k.like(math.pi, a))
