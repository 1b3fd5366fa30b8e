"""Systems of equations with a triangular matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import return_types
from ...autocasting import SINGLE, autocasts
from ...shape import Layout, broadcast_shapes
from ..card import Card, apply
from ..define import EXACT, as_tensor_argument, write_out
from .checks import (
    check_equation,
    check_matrix,
    check_same_dtype,
    check_sizes,
    check_square,
    column_major,
    each_matrix,
    same_batch,
    scipy_linalg,
)

if TYPE_CHECKING:
    from ...tensor import Tensor


def solve_triangular(A: np.ndarray, B: np.ndarray, upper: bool, left: bool, unitriangular: bool) -> np.ndarray:
    """The solution by BLAS, which gives inf and nan for a singular matrix."""
    A, B = same_batch(A, B)
    found = np.empty(B.shape, B.dtype)
    if found.size:
        (solve,) = scipy_linalg().get_blas_funcs(("trsm",), dtype=A.dtype)
        for n, (a, b) in each_matrix(A, B):
            found[n] = solve(1, a, b, side=not left, lower=not upper, diag=unitriangular)
    return found


def _gradient(g: Tensor, A: Tensor, X: Tensor, upper: bool, left: bool, unitriangular: bool, needs: tuple[bool, ...]) -> list[Any]:
    of_B = linalg_solve_triangular(A.mH, g, upper=not upper, left=left, unitriangular=unitriangular)
    of_A = None
    if needs[0]:
        of_A = -(of_B @ X.mH) if left else -(X.mH @ of_B)
        of_A = of_A.triu(int(unitriangular)) if upper else of_A.tril(-int(unitriangular))
    return [of_A, of_B]


def _infer(A: Layout, B: Layout, upper: bool, left: bool, unitriangular: bool) -> Layout:
    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    return column_major((*batch, *B.shape[-2:]), B.dtype)


_solve_triangular = Card(
    "linalg_solve_triangular", "A B",
    statics="upper left unitriangular", outputs="X",
    infer=_infer, numpy=solve_triangular, backward=_gradient,
)  # fmt: skip


def linalg_solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None) -> Tensor:
    """The solution of ``A @ X = B`` (``X @ A = B`` unless `left`), reading only one triangle of `A`.

    >>> torch.linalg.solve_triangular(torch.tensor([[2., 1.], [0., 1.]]), torch.tensor([[4.], [2.]]), upper=True)
    tensor([[1.],
            [2.]])
    """
    function = "linalg.solve_triangular"
    a, b = as_tensor_argument(A, "linalg_solve_triangular")._layout, as_tensor_argument(B, "linalg_solve_triangular", "B", 2)._layout
    check_same_dtype(function, a, b)
    check_square(function, a)
    check_matrix(function, b, "B")
    check_equation(function, a, b, left)
    found = apply(_solve_triangular, (A, B), (bool(upper), bool(left), bool(unitriangular)))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def triangular_solve(b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: Any = None) -> Any:
    """The solution of ``A @ X = b`` (``A.mT @ X = b`` with `transpose`) and a copy of `A`; the older form of `linalg.solve_triangular`.

    >>> torch.triangular_solve(torch.tensor([[4.]]), torch.tensor([[2.]])).solution
    tensor([[2.]])
    """
    have, matrix = as_tensor_argument(b, "triangular_solve")._layout, as_tensor_argument(A, "triangular_solve", "A", 2)._layout
    for name, here in (("b", have), ("A", matrix)):
        if here.ndim < 2:
            raise RuntimeError(f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has {here.ndim} dimensions instead")
    check_sizes("triangular_solve", have, matrix)
    batch = broadcast_shapes(matrix.shape[:-2], have.shape[:-2])
    solution = linalg_solve_triangular(A.mT if transpose else A, b, upper=bool(upper) != bool(transpose), unitriangular=unitriangular)
    found = return_types.triangular_solve(solution, A.expand(*batch, *matrix.shape[-2:]).mT.clone(memory_format=_row_major()).mT)
    return found if out is None else write_out(out, found, exact=EXACT)


def _row_major() -> Any:
    from ...memory_formats import contiguous_format

    return contiguous_format
