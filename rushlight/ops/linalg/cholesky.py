"""The Cholesky factorization and what is solved with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types
from ...autocasting import SINGLE, autocasts
from ...shape import Layout, broadcast_shapes, contiguous
from ..card import Card, apply
from ..creation import eye
from ..define import EXACT, as_tensor_argument, write_out
from .checks import check_float, check_sizes, check_square, column_major, each_matrix, unless_zero
from .triangular import linalg_solve_triangular, solve_triangular

if TYPE_CHECKING:
    from ...tensor import Tensor


def _first_bad_minor(matrix: np.ndarray) -> int:
    """The order of the first leading minor that is not positive-definite, by bisection: all after it are bad too."""
    good, bad = 0, matrix.shape[0]
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            np.linalg.cholesky(matrix[:middle, :middle])
            good = middle
        except np.linalg.LinAlgError:
            bad = middle
    return bad


def _cholesky_rule(A: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    A = A.swapaxes(-1, -2).conj() if upper else A
    info = np.zeros(A.shape[:-2], np.int32)
    try:
        found = np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        found = np.tril(A)
        for n, (matrix,) in each_matrix(A):
            try:
                found[n] = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                info[n] = _first_bad_minor(matrix)
    return (found.swapaxes(-1, -2).conj() if upper else found), info


def _cholesky_gradient(g: Tensor, L: Tensor, upper: bool) -> Tensor:
    """Iain Murray, "Differentiation of the Cholesky decomposition" (2016), section 3.1; the gradient is Hermitian."""
    if upper:
        g, L = g.mH, L.mH
    phi = (L.mH @ g).tril()
    phi = (phi + phi.tril(-1).mH) / 2
    phi = linalg_solve_triangular(L.mH, phi, upper=True)
    return linalg_solve_triangular(L, phi, upper=False, left=False)


_cholesky_ex = Card(
    "linalg_cholesky_ex", "A",
    statics="upper", outputs="L info",
    infer=lambda A, upper: (column_major(A.shape, A.dtype), contiguous(A.shape[:-2], dt.int32)),
    numpy=_cholesky_rule, grads={"A": _cholesky_gradient},
)  # fmt: skip


def _minor_is_bad(order: int) -> str:
    return f"The factorization could not be completed because the input is not positive-definite (the leading minor of order {order} is not positive-definite)."


def _factor(function: str, A: Tensor, upper: bool, check: bool) -> tuple[Tensor, Tensor]:
    here = as_tensor_argument(A, function)._layout
    check_square(function, here)
    check_float(function, here)
    L, info = apply(_cholesky_ex, (A,), (bool(upper),))
    if check:
        unless_zero(function, info, _minor_is_bad)
    return L, info


@autocasts(SINGLE)
def linalg_cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The lower triangular L with positive diagonal whose ``L @ L.mH`` is `A` (its adjoint with `upper`); LinAlgError if there is none.

    >>> torch.linalg.cholesky(torch.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    found, _ = _factor("linalg.cholesky", A, upper, True)
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """`linalg.cholesky` and, instead of an error, the order of the first minor that is not positive-definite, or zero.

    >>> torch.linalg.cholesky_ex(-torch.eye(2)).info
    tensor(1, dtype=torch.int32)
    """
    found = return_types.linalg_cholesky_ex(*_factor("linalg.cholesky_ex", A, upper, check_errors))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The older form of `linalg.cholesky`.

    >>> torch.cholesky(torch.tensor([[4.]]))
    tensor([[2.]])
    """
    found, _ = _factor("cholesky", input, upper, True)
    return found if out is None else write_out(out, found, exact=EXACT)


def _infer_cholesky_solve(B: Layout, L: Layout, upper: bool) -> Layout:
    batch = broadcast_shapes(L.shape[:-2], B.shape[:-2])
    return column_major((*batch, *B.shape[-2:]), B.dtype)


def _cholesky_solve_rule(B: np.ndarray, L: np.ndarray, upper: bool) -> np.ndarray:
    adjoint = L.swapaxes(-1, -2).conj()
    first, second = (adjoint, L) if upper else (L, adjoint)
    inner = solve_triangular(first, B, upper=False, left=True, unitriangular=False)
    return solve_triangular(second, inner, upper=True, left=True, unitriangular=False)


def _cholesky_solve_gradient(g: Tensor, L: Tensor, X: Tensor, upper: bool, needs: tuple[bool, ...]) -> list[Any]:
    of_B = apply(_cholesky_solve, (g, L), (upper,))
    both = of_B @ X.mH
    both = both + both.mH
    return [of_B, (-(L @ both) if upper else -(both @ L)) if needs[1] else None]


_cholesky_solve = Card(
    "cholesky_solve", "B L",
    statics="upper", outputs="X",
    infer=_infer_cholesky_solve, numpy=_cholesky_solve_rule, backward=_cholesky_solve_gradient,
)  # fmt: skip


@autocasts(SINGLE)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The solution X of ``A @ X = input`` from the Cholesky factor of A.

    >>> torch.cholesky_solve(torch.tensor([[8.]]), torch.tensor([[2.]]))
    tensor([[2.]])
    """
    b, factor = as_tensor_argument(input, "cholesky_solve")._layout, as_tensor_argument(L, "cholesky_solve", "input2", 2)._layout
    for name, here in (("b", b), ("u", factor)):
        if here.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {here.ndim} dimensions instead")
    check_sizes("cholesky_solve", b, factor)
    found = apply(_cholesky_solve, (input, L), (bool(upper),))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A from its Cholesky factor.

    >>> torch.cholesky_inverse(torch.tensor([[2.]]))
    tensor([[0.2500]])
    """
    here = as_tensor_argument(L, "cholesky_inverse")._layout
    check_square("cholesky_inverse", here)
    found = cholesky_solve(eye(here.shape[-1], dtype=here.dtype).expand(here.shape), L, upper)
    return found if out is None else write_out(out, found, exact=EXACT)
