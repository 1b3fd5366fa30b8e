"""Remainders, integer quotients and neighbours of floats as IR: what IEEE and two's complement fix to the bit, of any width."""

from __future__ import annotations

from .emit import BITS, INTEGER_OF, Builder, Value

#: Bits of the significand.
_DIGITS = {"float": 24, "double": 53}
#: How far a divisor is scaled up at once, and how many times that takes for any two doubles, or any two floats as doubles.
_SCALING = 50
_ROUNDS = {"float": 6, "double": 42}


def fmod(k: Builder, x: Value, y: Value) -> Value:
    """The remainder of ``x / y`` cut off towards zero, with the sign of `x`: exact, as in C."""
    lanes = max(x.lanes, y.lanes)
    x, y = k.splat(x, lanes), k.splat(y, lanes)
    a, b = k.abs(x), k.abs(y)
    # A quotient below 2^digits - 1, rounded and cut off, is the right one or larger by one; either way the difference is exact.
    many = k.compare("oge", k.div(a, b), k.like(2.0 ** (_DIGITS[x.type] - 1), x))
    possible = k.and_(k.compare("olt", a, k.like(float("inf"), a)), k.compare("une", b, k.like(0, b)))
    (found,) = k.rarely(k.and_(many, possible), [_reduced(k, a, b)], lambda: [_of_many(k, a, b)])
    found = k.select(k.compare("oeq", b, k.like(float("inf"), b)), a, found)
    found = k.select(k.and_(possible, k.compare("oeq", b, b)), found, k.like(float("nan"), a))
    return k.intrinsic("copysign", found, x)


def _reduced(k: Builder, a: Value, b: Value) -> Value:
    quotient = k.intrinsic("trunc", k.div(a, b))
    rest = k.fma(k.neg(quotient), b, a)
    return k.select(k.compare("olt", rest, k.like(0, rest)), k.add(rest, b), rest)


def _of_many(k: Builder, a: Value, b: Value) -> Value:
    """Long division: by multiples of `b` that are powers of two, the largest first."""
    rounds = _ROUNDS[a.type]
    wide, divisor = k.convert(a, "double"), k.convert(b, "double")
    with k.loop(0, rounds, 1, [wide]) as outer:
        (rest,) = outer.carried
        bound = k.mul(rest, k.like(2.0 ** (-_SCALING - 2), rest))
        with k.loop(outer.index, rounds, 1, [divisor]) as inner:
            (scaled,) = inner.carried
            inner.next = [k.select(k.compare("ole", scaled, bound), k.mul(scaled, k.like(2.0**_SCALING, scaled)), scaled)]
        outer.next = [_reduced(k, rest, inner.results[0])]
    return k.convert(outer.results[0], a.type)


def quotient(k: Builder, x: Value, y: Value) -> Value:
    """``x / y`` of integers, cut off towards zero; `x` itself where `y` is 0, since machines stop there."""
    inverse, divisor = _divisor(k, y)
    return k.select(inverse, k.neg(x), k.binary("sdiv", x, divisor))


def rest(k: Builder, x: Value, y: Value) -> Value:
    """What `quotient` leaves."""
    inverse, divisor = _divisor(k, y)
    return k.select(inverse, k.like(0, x), k.binary("srem", x, divisor))


def _divisor(k: Builder, y: Value) -> tuple[Value, Value]:
    """Whether it is -1, by which not every number can be divided, and one by which all can."""
    inverse = k.compare("eq", y, k.like(-1, y))
    return inverse, k.select(k.or_(inverse, k.compare("eq", y, k.like(0, y))), k.like(1, y), y)


def nextafter(k: Builder, x: Value, y: Value) -> Value:
    """The next float after `x` towards `y`."""
    kind = INTEGER_OF[x.type]
    bits = k.bitcast(x, kind)
    lowest = k.like(-(1 << (BITS[kind] - 1)), bits)
    away = k.xor(k.compare("olt", x, y), k.compare("slt", bits, k.like(0, bits)))
    moved = k.select(away, k.add(bits, k.like(1, bits)), k.sub(bits, k.like(1, bits)))
    smallest = k.or_(k.and_(k.bitcast(y, kind), lowest), k.like(1, bits))
    moved = k.select(k.compare("oeq", x, k.like(0, x)), smallest, moved)
    found = k.select(k.compare("oeq", x, y), y, k.bitcast(moved, x.type))
    return k.select(k.compare("uno", x, y), k.add(x, y), found)
