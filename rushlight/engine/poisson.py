"""Poisson numbers as native code, from a line of uniform ones.

Products of uniform numbers against ``exp(-rate)``; from a rate of 10 on Hörmann's transformed rejection (1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ..buffers import address_of
from .by_hand import functions
from .emit import Builder, Value
from .gamma_functions import log_gamma

#: From this rate on numbers are rejected.
LARGE = 10.0


class Counts:
    """Poisson numbers with positive rates (float64), as uniform ones come in."""

    def __init__(self, rates: np.ndarray) -> None:
        self.size = rates.size
        large = rates >= LARGE
        # One element more, which is looked at but not used. A product is compared once at least, and never of what is rejected otherwise.
        self._rates, self._limits = np.ones((2, rates.size + 1))
        self._rates[:-1] = rates
        np.exp(-rates, out=self._limits[:-1])
        np.minimum(self._limits, 1 - 2.0**-53, out=self._limits)
        self._limits[:-1][large] = np.inf
        self._each = float((np.minimum(rates, LARGE).sum() + rates.size - 8 * np.count_nonzero(large)) / max(rates.size, 1))
        self._found = np.empty(rates.size + 1)
        self._state = np.zeros(2, np.int64)  # the element, and how many uniform numbers have been taken
        self._element = np.array([1.0, 0.0])  # the product, and how many factors it has

    @property
    def found(self) -> np.ndarray | None:
        """The numbers, if all are there."""
        return self._found[: self.size] if self._state[0] == self.size else None

    def take(self, uniforms: np.ndarray) -> int:
        """How many of these have been taken: all, but perhaps one, or as many as it needs."""
        self._state[1] = 0
        arrays = (self._rates, self._limits, self._found, self._state, self._element, uniforms)
        _function()(*map(address_of, arrays), self.size, uniforms.size)
        return int(self._state[1])

    def expected(self) -> int:
        """About how many uniform numbers it still takes."""
        return int(self._each * (self.size - int(self._state[0])))


@cache
def _function() -> Callable[..., None]:
    return functions([_kernel()])[0]


def _kernel() -> Builder:
    from .double_functions import log

    k = Builder("poisson_numbers", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 6 else "i64") for n in range(8)]
    rates, limits, found, state, element_state, uniforms, size, available = words
    zero, one, two = (k.constant(n, "i64") for n in (0, 1, 2))
    nothing, unit = k.constant(0, "double"), k.constant(1, "double")
    last = k.sub(available, two)
    begin = [k.load(state, "i64"), zero, k.load(element_state, "double"), k.load(k.address(element_state, 1, "double"), "double")]

    def both_left(carried: Sequence[Value]) -> Value:
        return k.and_(k.compare("slt", carried[0], size), k.compare("sle", carried[1], last))

    def plus_times(constant: float, factor: float, x: Value) -> Value:
        return k.add(k.mul(x, k.like(factor, x)), k.like(constant, x))

    def inverse(x: Value, less: float) -> Value:
        return k.div(k.like(1, x), k.sub(x, k.like(less, x)))

    with k.turns(both_left, begin) as turn:
        element = turn.carried[0]
        rate, limit = (k.load(k.address(each, element, "double"), "double") for each in (rates, limits))

        def goes_on(carried: Sequence[Value], limit: Value = limit) -> Value:
            return k.and_(k.compare("ogt", carried[1], limit), k.compare("slt", carried[0], available))

        with k.turns(goes_on, turn.carried[1:]) as step:
            position, product, factors = step.carried
            uniform = k.load(k.address(uniforms, position, "double"), "double")
            step.next = [k.add(position, one), k.mul(product, uniform), k.add(factors, unit)]
        position, product, factors = step.results

        def rejected(position: Value = position, rate: Value = rate) -> list[Value]:
            u, v = (k.load(k.address(uniforms, at, "double"), "double") for at in (position, k.add(position, one)))
            u, b = k.sub(u, k.like(0.5, u)), plus_times(0.931, 2.53, k.sqrt(rate))
            a = plus_times(-0.059, 0.02483, b)
            edge = k.sub(k.like(0.5, u), k.abs(u))
            number = k.intrinsic("floor", k.add(k.add(k.mul(k.add(k.div(k.add(a, a), edge), b), u), rate), k.like(0.43, u)))
            quick = k.and_(k.compare("oge", edge, k.like(0.07, u)), k.compare("ole", v, plus_times(0.9277, -3.6224, inverse(b, 2))))

            def slow() -> list[Value]:
                above = k.sub(k.add(log(k, v), log(k, plus_times(1.1239, 1.1328, inverse(b, 3.4)))), log(k, k.add(k.div(a, k.mul(edge, edge)), b)))
                below = k.sub(k.sub(k.mul(number, log(k, rate)), rate), log_gamma(k, k.intrinsic("maxnum", k.add(number, unit), unit)))
                far = k.or_(k.compare("olt", number, nothing), k.and_(k.compare("olt", edge, k.like(0.013, u)), k.compare("ogt", v, edge)))
                outside = k.or_(far, k.compare("oeq", edge, nothing))
                return [k.and_(k.compare("ole", above, below), k.xor(outside, k.like(1, outside)))]

            (accepted,) = k.rarely(k.xor(quick, k.like(1, quick)), [quick], slow)
            return [accepted, number, k.add(position, two)]

        given = [k.compare("ole", product, limit), k.sub(factors, unit), position]
        done, value, position = k.rarely(k.compare("oge", rate, k.like(LARGE, rate)), given, rejected)
        k.store(value, k.address(found, element, "double"))
        turn.next = [k.select(done, k.add(element, one), element), position, k.select(done, unit, product), k.select(done, nothing, factors)]
    for value, target in zip(turn.results, (state, k.address(state, 1, "i64"), element_state, k.address(element_state, 1, "double")), strict=True):
        k.store(value, target)
    return k
