"""Orthogonal polynomials, by their recurrences in the degree.

The degree `n` is a tensor or a number like the argument; a negative one gives 0. PyTorch has no gradient for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage import TensorBase
from .card import Pointwise, apply
from .define import as_operand, as_tensor_argument, kernel_for, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor

#: ``step(k, x, q, p)``: the polynomial of degree k + 1 from those of degree k and k - 1.
Step = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _by_recurrence(first: Callable[[np.ndarray], np.ndarray], step: Step, x: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The polynomials of degree `n` at `x`, from degree 0 (which is 1) and 1 (which is `first`) upwards."""
    before, current = np.ones_like(x), first(x)
    found = np.where(n == 0, before, np.where(n == 1, current, x.dtype.type(0)))
    for k in range(1, int(n.max(initial=0))):
        before, current = current, step(k, x, current, before)
        found = np.where(n == k + 1, current, found)
        stopped = np.isnan(current)
        if stopped.all():
            break
        # What has become nan stays nan.
        current = np.where(np.isnan(before), before, current) if stopped.any() else current
    else:
        return found
    return np.where(n > k + 1, current, found)


def _arrays(x: Any, n: Any) -> tuple[np.ndarray, np.ndarray]:
    x, n = np.broadcast_arrays(x, n)
    return x, np.where(np.isfinite(n), n, -1).astype(np.int64)


def _recurrence(first: Callable[[np.ndarray], np.ndarray], step: Step, limits: dict[int, int] | None = None) -> Callable[[Any, Any], np.ndarray]:
    """The rule of a family. `limits`: the degree, by item size, above which the result is nan."""

    def rule(x: Any, n: Any) -> np.ndarray:
        x, n = _arrays(x, n)
        if limits is None:
            return _by_recurrence(first, step, x, n)
        beyond = n > limits[x.dtype.itemsize]
        return np.where(beyond, x.dtype.type(np.nan), _by_recurrence(first, step, x, np.where(beyond, 0, n)))

    return rule


def _chebyshev(first: Callable[[np.ndarray], np.ndarray], angle: Callable[[np.ndarray, np.ndarray], np.ndarray], at_one: Any, at_minus_one: Any, recurrence_up_to: int) -> Callable[[Any, Any], np.ndarray]:
    """A kind of Chebyshev polynomials: exact at -1 and 1, by angles between them for high degrees, else by recurrence."""

    def rule(x: Any, n: Any) -> np.ndarray:
        x, n = _arrays(x, n)
        at_end = np.abs(x) == 1
        by_angle = (n > recurrence_up_to) & (np.abs(x) < 1)
        even = n % 2 == 0
        found = _by_recurrence(first, lambda k, x, q, p: (x + x) * q - p, x, np.where(at_end | by_angle, 0, n))
        found = np.where(by_angle, angle(n, np.arccos(np.clip(x, -1, 1))), found)
        ends = np.where(x > 0, at_one(n), np.where(even, 1, -1) * at_minus_one(n))
        return np.where(n < 0, 0, np.where(at_end, ends, found)).astype(x.dtype)

    return rule


def _ones(n: np.ndarray) -> np.ndarray:
    return np.ones_like(n)


_CHEBYSHEV = {
    "t": _chebyshev(lambda x: x, lambda n, a: np.cos(n * a), _ones, _ones, 6),
    "u": _chebyshev(lambda x: x + x, lambda n, a: np.sin((n + 1) * a) / np.sin(a), lambda n: n + 1, lambda n: n + 1, 8),
    "v": _chebyshev(lambda x: x + x - 1, lambda n, a: np.cos((n + 0.5) * a) / np.cos(a / 2), _ones, lambda n: n + n + 1, 8),
    "w": _chebyshev(lambda x: x + x + 1, lambda n, a: np.sin((n + 0.5) * a) / np.sin(a / 2), lambda n: n + n + 1, _ones, 8),
}


def _shifted(kind: str) -> Callable[[Any, Any], np.ndarray]:
    return lambda x, n: _CHEBYSHEV[kind](x + x - 1, n)


def _polynomial(name: str, rule: Callable[[Any, Any], np.ndarray], meaning: str, at: tuple[str, str]) -> Callable[..., Tensor]:
    """The public function; `at` gives the values at 0.5 and 2 for n = 3."""
    card = Pointwise(name, "x n", numpy=rule, result=kernel_for(f"{name}_cpu", complex=False, half=False), differentiable=())

    def op(x: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(x, TensorBase) and not isinstance(n, TensorBase):
            as_tensor_argument(x, name, "x")
        found = apply(card, (as_operand(x, name, "x", 1), as_operand(n, name, "n")))
        return found if out is None else write_out(out, found, x, n)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"""The {meaning} of degree `n` at `x`.

    >>> torch.special.{name}(torch.tensor([0.5, 2.]), 3)
    tensor([{at[0]}, {at[1]}])
    """
    return op


chebyshev_polynomial_t = _polynomial("chebyshev_polynomial_t", _CHEBYSHEV["t"], "Chebyshev polynomial of the first kind", ("-1.", "26."))
chebyshev_polynomial_u = _polynomial("chebyshev_polynomial_u", _CHEBYSHEV["u"], "Chebyshev polynomial of the second kind", ("-1.", "56."))
chebyshev_polynomial_v = _polynomial("chebyshev_polynomial_v", _CHEBYSHEV["v"], "Chebyshev polynomial of the third kind", ("-1.", "41."))
chebyshev_polynomial_w = _polynomial("chebyshev_polynomial_w", _CHEBYSHEV["w"], "Chebyshev polynomial of the fourth kind", ("-1.", "71."))
shifted_chebyshev_polynomial_t = _polynomial("shifted_chebyshev_polynomial_t", _shifted("t"), "Chebyshev polynomial of the first kind on 0..1", ("-0.", "99."))
shifted_chebyshev_polynomial_u = _polynomial("shifted_chebyshev_polynomial_u", _shifted("u"), "Chebyshev polynomial of the second kind on 0..1", (" -0.", "204."))
shifted_chebyshev_polynomial_v = _polynomial("shifted_chebyshev_polynomial_v", _shifted("v"), "Chebyshev polynomial of the third kind on 0..1", ("  1.", "169."))
shifted_chebyshev_polynomial_w = _polynomial("shifted_chebyshev_polynomial_w", _shifted("w"), "Chebyshev polynomial of the fourth kind on 0..1", (" -1.", "239."))

_HERMITE_LIMITS = {4: 128, 8: 512}

hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h", _recurrence(lambda x: x + x, lambda k, x, q, p: (x + x) * q - (k + k) * p, _HERMITE_LIMITS), "physicists' Hermite polynomial", ("-5.", "40.")
)
hermite_polynomial_he = _polynomial("hermite_polynomial_he", _recurrence(lambda x: x, lambda k, x, q, p: x * q - k * p, _HERMITE_LIMITS), "probabilists' Hermite polynomial", ("-1.3750", " 2.0000"))
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l", _recurrence(lambda x: 1 - x, lambda k, x, q, p: ((k + k + 1 - x) * q - k * p) / (k + 1)), "Laguerre polynomial", ("-0.1458", "-0.3333")
)
legendre_polynomial_p = _polynomial("legendre_polynomial_p", _recurrence(lambda x: x, lambda k, x, q, p: ((k + k + 1) * x * q - k * p) / (k + 1)), "Legendre polynomial", ("-0.4375", "17.0000"))
