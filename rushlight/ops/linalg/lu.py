"""The LU and LDL factorizations and what is solved with them. SciPy's LAPACK does them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types
from ...autocasting import SINGLE, autocasts
from ...errors import sizes
from ...shape import Layout, contiguous
from ..card import Card, apply, array_of
from ..combine import cat
from ..creation import eye
from ..define import EXACT, as_tensor_argument, write_out
from .checks import (
    check_equation,
    check_float,
    check_matrix,
    check_same_dtype,
    check_square,
    column_major,
    each_matrix,
    same_batch,
    scipy_linalg,
    unless_zero,
)
from .triangular import linalg_solve_triangular

if TYPE_CHECKING:
    from ...tensor import Tensor


def _lu_rule(A: np.ndarray) -> tuple[np.ndarray, ...]:
    LU = np.array(A)
    pivots = np.zeros((*A.shape[:-2], min(A.shape[-2:])), np.int32)
    info = np.zeros(A.shape[:-2], np.int32)
    if A.size:
        (factor,) = scipy_linalg().get_lapack_funcs(("getrf",), dtype=A.dtype)
        for n, (matrix,) in each_matrix(A):
            LU[n], pivots[n], info[n] = factor(matrix)
    return LU, pivots + 1, info


def _infer_lu(A: Layout) -> tuple[Layout, ...]:
    batch = A.shape[:-2]
    return column_major(A.shape, A.dtype), contiguous((*batch, min(A.shape[-2:])), dt.int32), contiguous(batch, dt.int32)


def _lu_gradient(g: Tensor, LU: Tensor, pivots: Tensor, layouts: Sequence[Layout]) -> Tensor:
    """From ``dA = P (dL U + L dU)``, for square, wide and tall matrices."""
    m, n = layouts[0].shape[-2:]
    k = min(m, n)
    P, L, U = lu_unpack(LU, pivots)
    gL, gU = g.narrow(-1, 0, k).tril(-1), g.narrow(-2, 0, k).triu()
    top, left = L.narrow(-2, 0, k), U.narrow(-1, 0, k)
    of_L, of_U = top.mH @ gL.narrow(-2, 0, k), gU.narrow(-1, 0, k) @ left.mH
    if n > k:
        of_L = of_L - gU.narrow(-1, k, n - k) @ U.narrow(-1, k, n - k).mH
    if m > k:
        of_U = of_U - L.narrow(-2, k, m - k).mH @ gL.narrow(-2, k, m - k)
    core = of_L.tril(-1) + of_U.triu()
    core = linalg_solve_triangular(top.mH, core, upper=True, unitriangular=True)
    found = linalg_solve_triangular(left.mH, core, upper=False, left=False)
    if n > k:
        found = cat((found, linalg_solve_triangular(top.mH, gU.narrow(-1, k, n - k), upper=True, unitriangular=True)), -1)
    if m > k:
        found = cat((found, linalg_solve_triangular(left.mH, gL.narrow(-2, k, m - k), upper=False, left=False)), -2)
    return P @ found


_lu_factor_ex = Card(
    "linalg_lu_factor_ex", "A",
    outputs="LU pivots info",
    infer=_infer_lu, numpy=_lu_rule, grads={"A": _lu_gradient},
)  # fmt: skip


def _factor(function: str, A: Tensor, pivot: bool) -> tuple[Tensor, Tensor, Tensor]:
    here = as_tensor_argument(A, function)._layout
    if here.ndim < 2:
        raise RuntimeError(f"{'torch.lu_factor' if function != 'linalg.lu' else function}: Expected tensor with 2 or more dimensions. Got size: {sizes(here.shape)} instead")
    if not pivot:
        raise RuntimeError(f"{function}: LU without pivoting is not implemented on the CPU")
    if here.dtype.category < dt.FLOAT or here.dtype in dt.LOW_PRECISION:
        raise NotImplementedError(f"\"lu_cpu\" not implemented for '{here.dtype.type_name}'")
    return apply(_lu_factor_ex, (A,))


def _zero_on_diagonal(place: int) -> str:
    return (
        f"U[{place},{place}] is zero and using it on lu_solve would result in a division by zero. "
        "If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
    )


def linalg_lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """The LU factorization with partial pivoting in LAPACK's compact form: both triangles in one matrix, and row swaps counted from one.

    >>> torch.linalg.lu_factor(torch.tensor([[1., 2.], [4., 4.]]))
    torch.return_types.linalg_lu_factor(
    LU=tensor([[4.0000, 4.0000],
            [0.2500, 1.0000]]),
    pivots=tensor([2, 2], dtype=torch.int32))
    """
    LU, pivots, info = _factor("linalg.lu_factor", A, pivot)
    unless_zero("torch.linalg.lu_factor", info, _zero_on_diagonal)
    found = return_types.linalg_lu_factor(LU, pivots)
    return found if out is None else write_out(out, found, exact=EXACT)


def linalg_lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """`linalg.lu_factor` and, instead of an error, the number of the first zero on the diagonal of U, or zero.

    >>> torch.linalg.lu_factor_ex(torch.zeros(1, 1)).info
    tensor(1, dtype=torch.int32)
    """
    found = return_types.linalg_lu_factor_ex(*_factor("linalg.lu_factor", A, pivot))
    if check_errors:
        unless_zero("torch.linalg.lu_factor_ex", found.info, _zero_on_diagonal)
    return found if out is None else write_out(out, found, exact=EXACT)


def linalg_lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """``A = P @ L @ U`` with a permutation, a unit lower and an upper triangular matrix.

    >>> torch.linalg.lu(torch.tensor([[1., 2.], [4., 4.]])).U
    tensor([[4., 4.],
            [0., 1.]])
    """
    LU, pivots, _ = _factor("linalg.lu_factor", A, pivot)
    found = return_types.linalg_lu(*lu_unpack(LU, pivots))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """The older form of `linalg.lu_factor`.

    >>> torch.lu(torch.tensor([[2.]]))
    (tensor([[2.]]), tensor([1], dtype=torch.int32))
    """
    LU, pivots, info = _factor("linalg.lu_factor", A, pivot)
    if not get_infos:
        unless_zero("torch.linalg.lu_factor_ex", info, _zero_on_diagonal)
    found = (LU, pivots, info) if get_infos else (LU, pivots)
    return found if out is None else write_out(out, found, exact=EXACT)


def _permutation_rule(pivots: np.ndarray, rows: int) -> np.ndarray:
    P = np.zeros((*pivots.shape[:-1], rows, rows), np.float32)
    for n in np.ndindex(pivots.shape[:-1]):
        order = np.arange(rows)
        for row, swapped in enumerate(pivots[n] - 1):
            order[[row, swapped]] = order[[swapped, row]]
        P[(*n, order, np.arange(rows))] = 1
    return P


_permutation = Card("lu_permutation", "pivots", statics="rows", infer=lambda pivots, rows: contiguous((*pivots.shape[:-1], rows, rows), dt.float32), numpy=_permutation_rule, no_grad_reason="pivots are integers")


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None) -> Any:
    """P, L and U from the result of `lu_factor`; those not asked for are empty.

    >>> torch.lu_unpack(*torch.linalg.lu_factor(torch.tensor([[1., 2.], [4., 4.]]))).P
    tensor([[0., 1.],
            [1., 0.]])
    """
    here, pivots = as_tensor_argument(LU_data, "lu_unpack", "LU_data")._layout, as_tensor_argument(LU_pivots, "lu_unpack", "LU_pivots", 2)._layout
    check_matrix("torch.lu_unpack", here, "LU_data")
    if unpack_pivots and pivots.dtype is not dt.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\nNote: this function is intended to be used with the output produced by torch.linalg.lu_factor")
    m, n = here.shape[-2:]
    k = min(m, n)
    P = L = U = LU_data.new_empty((0,))
    if unpack_pivots:
        swaps = array_of(LU_pivots)
        if np.any((swaps < 1) | (swaps > m)):
            raise RuntimeError("pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.Did you properly pass the result of lu_factor?")
        P = apply(_permutation, (LU_pivots,), (m,)).to(here.dtype)
    if unpack_data:
        L = LU_data.narrow(-1, 0, k).tril(-1) + eye(m, k, dtype=here.dtype)
        U = LU_data.narrow(-2, 0, k).triu()
    found = return_types.lu_unpack(P, L, U)
    return found if out is None else write_out(out, found, exact=EXACT)


def linalg_lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Tensor | None = None) -> Tensor:
    """The solution of ``A @ X = B`` from the LU factorization of A; of ``X @ A = B`` unless `left`; with A^H for `adjoint`.

    >>> torch.linalg.lu_solve(*torch.linalg.lu_factor(torch.tensor([[2.]])), torch.tensor([[4.]]))
    tensor([[2.]])
    """
    function = "linalg.lu_solve"
    here, right = as_tensor_argument(LU, "linalg_lu_solve", "LU")._layout, as_tensor_argument(B, "linalg_lu_solve", "B", 3)._layout
    check_float(function, here)
    check_same_dtype(function, here, right, ("LU", "B"))
    check_square(function, here, "LU")
    check_matrix(function, right, "B")
    check_equation(function, here, right, left)
    if pivots._layout.dtype is not dt.int32:
        raise RuntimeError(f"{function}: pivots should be a Tensor of scalar type torch.int32")
    if pivots._layout.shape != here.shape[:-1]:
        raise RuntimeError(f"{function}: Number of pivots per batch should be same as the dimension of the matrix")
    found = _lu_solve(LU, lu_unpack(LU, pivots, unpack_data=False)[0], B, left, adjoint)
    return found if out is None else write_out(out, found, exact=EXACT)


def _lu_solve(LU: Tensor, P: Tensor, B: Tensor, left: bool, adjoint: bool) -> Tensor:
    if not left:
        return _lu_solve(LU, P, B.mH, True, not adjoint).mH
    if adjoint:
        inner = linalg_solve_triangular(LU.mH, B, upper=False)
        return P @ linalg_solve_triangular(LU.mH, inner, upper=True, unitriangular=True)
    inner = linalg_solve_triangular(LU, P.mT @ B, upper=False, unitriangular=True)
    return linalg_solve_triangular(LU, inner, upper=True)


@autocasts(SINGLE)
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The older form of `linalg.lu_solve`, with the right hand side first.

    >>> torch.lu_solve(torch.tensor([[4.]]), *torch.linalg.lu_factor(torch.tensor([[2.]])))
    tensor([[2.]])
    """
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


# Symmetric and Hermitian indefinite matrices


def _name(stem: str, hermitian: bool, dtype: np.dtype) -> str:
    return ("he" if hermitian and dtype.kind == "c" else "sy") + stem


def _ldl_rule(A: np.ndarray, hermitian: bool) -> tuple[np.ndarray, ...]:
    LD = np.array(A)
    pivots = np.zeros(A.shape[:-1], np.int32)
    info = np.zeros(A.shape[:-2], np.int32)
    if A.size:
        (factor,) = scipy_linalg().get_lapack_funcs((_name("trf", hermitian, A.dtype),), dtype=A.dtype)
        for n, (matrix,) in each_matrix(A):
            found, pivots[n], info[n] = factor(matrix, lower=1)
            LD[n] = np.tril(found)
    return LD, pivots, info


_ldl_factor_ex = Card(
    "linalg_ldl_factor_ex", "A",
    statics="hermitian", outputs="LD pivots info",
    infer=lambda A, hermitian: (column_major(A.shape, A.dtype), contiguous(A.shape[:-1], dt.int32), contiguous(A.shape[:-2], dt.int32)),
    numpy=_ldl_rule, no_grad_reason="derivative for aten::linalg_ldl_factor_ex is not implemented",
)  # fmt: skip


def linalg_ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """`linalg.ldl_factor` and LAPACK's number of the first zero block of D, or zero.

    >>> torch.linalg.ldl_factor_ex(torch.eye(2)).info
    tensor(0, dtype=torch.int32)
    """
    here = as_tensor_argument(A, "linalg_ldl_factor_ex")._layout
    check_square("torch.linalg.ldl_factor_ex", here)
    check_float("torch.linalg.ldl_factor_ex", here)
    found = return_types.linalg_ldl_factor_ex(*apply(_ldl_factor_ex, (A,), (bool(hermitian),)))
    if check_errors:
        unless_zero("torch.linalg.ldl_factor_ex", found.info, _zero_block)
    return found if out is None else write_out(out, found, exact=EXACT)


def _zero_block(place: int) -> str:
    return f"D[{place},{place}] is zero and using it on ldl_solve would result in a division by zero."


def linalg_ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """The LDL factorization of a symmetric (or Hermitian) matrix in LAPACK's compact form, from its lower triangle.

    >>> torch.linalg.ldl_factor(torch.eye(2)).pivots
    tensor([1, 2], dtype=torch.int32)
    """
    LD, pivots, info = linalg_ldl_factor_ex(A, hermitian=hermitian)
    unless_zero("torch.linalg.ldl_factor", info, _zero_block)
    found = return_types.linalg_ldl_factor(LD, pivots)
    return found if out is None else write_out(out, found, exact=EXACT)


def _ldl_solve_rule(LD: np.ndarray, pivots: np.ndarray, B: np.ndarray, hermitian: bool) -> np.ndarray:
    LD, B = same_batch(LD, B)
    pivots = np.broadcast_to(pivots, LD.shape[:-1])
    found = np.array(B)
    if B.size:
        (solve,) = scipy_linalg().get_lapack_funcs((_name("trs", hermitian, LD.dtype),), dtype=LD.dtype)
        for n, (a, b) in each_matrix(LD, B):
            found[n], _ = solve(a, pivots[n], b, lower=1)
    return found


def _infer_ldl_solve(LD: Layout, pivots: Layout, B: Layout, hermitian: bool) -> Layout:
    batch = np.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    return column_major((*batch, *B.shape[-2:]), B.dtype)


_ldl_solve = Card("linalg_ldl_solve", "LD pivots B", statics="hermitian", infer=_infer_ldl_solve, numpy=_ldl_solve_rule, no_grad_reason="derivative for aten::linalg_ldl_solve is not implemented")


def linalg_ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """The solution of ``A @ X = B`` from the LDL factorization of A.

    >>> torch.linalg.ldl_solve(*torch.linalg.ldl_factor(torch.tensor([[2.]])), torch.tensor([[4.]]))
    tensor([[2.]])
    """
    function = "torch.linalg.ldl_solve"
    here, swaps, right = as_tensor_argument(LD, "linalg_ldl_solve", "LD")._layout, pivots._layout, as_tensor_argument(B, "linalg_ldl_solve", "B", 3)._layout
    check_square(function, here, "LD")
    check_float(function, here)
    check_same_dtype(function, here, right, ("LD", "B"))
    check_matrix(function, right, "B")
    check_equation(function, here, right, True)
    if swaps.ndim < 1 or swaps.shape != here.shape[:-1]:
        raise RuntimeError(f"{function}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {sizes(swaps.shape)} instead")
    if swaps.dtype.category != dt.INTEGER:
        raise RuntimeError(f"{function}: Expected pivots to be integers. Got {swaps.dtype.type_name}")
    found = apply(_ldl_solve, (LD, pivots, B), (bool(hermitian),))
    return found if out is None else write_out(out, found, exact=EXACT)
