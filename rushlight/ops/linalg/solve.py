"""Inverses, systems of linear equations and least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types
from ...autocasting import SINGLE, autocasts
from ...shape import Layout, broadcast_shapes, contiguous, numel
from ..card import Card, apply
from ..define import EXACT, as_tensor_argument, write_out
from .checks import (
    check_equation,
    check_float,
    check_same_dtype,
    check_square,
    column_major,
    each_matrix,
    same_batch,
    unless_zero,
)
from .singular import linalg_pinv, pinv_gradient

if TYPE_CHECKING:
    from ...tensor import Tensor


def _zero_pivot(matrix: np.ndarray) -> int:
    """The number of the first zero pivot of Gaussian elimination with partial pivoting, as LAPACK's getrf counts."""
    rest = np.array(matrix)
    size = rest.shape[0]
    for k in range(size):
        pivot = k + int(np.argmax(np.abs(rest[k:, k])))
        if rest[pivot, k] == 0:
            return k + 1
        rest[[k, pivot]] = rest[[pivot, k]]
        rest[k + 1 :, k:] -= np.outer(rest[k + 1 :, k] / rest[k, k], rest[k, k:])
    return size


def _solve_rule(A: np.ndarray, B: np.ndarray, left: bool) -> tuple[np.ndarray, np.ndarray]:
    if not left:
        found, info = _solve_rule(A.swapaxes(-1, -2), B.swapaxes(-1, -2), True)
        return found.swapaxes(-1, -2), info
    A, B = same_batch(A, B)
    info = np.zeros(A.shape[:-2], np.int32)
    try:
        return np.linalg.solve(A, B), info
    except np.linalg.LinAlgError:
        found = np.full(B.shape, np.nan, B.dtype)
        for n, (a, b) in each_matrix(A, B):
            try:
                found[n] = np.linalg.solve(a, b)
            except np.linalg.LinAlgError:
                info[n] = _zero_pivot(a)
        return found, info


def _infer_solve(A: Layout, B: Layout, left: bool) -> tuple[Layout, Layout]:
    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    shape = (*batch, *B.shape[-2:])
    return column_major(shape, B.dtype) if left else contiguous(shape, B.dtype), contiguous(batch, dt.int32)


def _solve_gradient(g: Tensor, A: Tensor, X: Tensor, left: bool, needs: tuple[bool, ...]) -> list[Any]:
    of_B = apply(_solve_ex, (A.mH, g), (left,))[0]
    return [(-(of_B @ X.mH) if left else -(X.mH @ of_B)) if needs[0] else None, of_B]


_solve_ex = Card(
    "linalg_solve_ex", "A B",
    statics="left", outputs="X info",
    infer=_infer_solve, numpy=_solve_rule, backward=_solve_gradient,
)  # fmt: skip


def _is_vector(A: Layout, B: Layout) -> bool:
    """Whether `B` is a batch of vectors rather than of matrices."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])


def _solve(function: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Tensor]:
    a, b = as_tensor_argument(A, function)._layout, as_tensor_argument(B, function, "B", 2)._layout
    check_same_dtype("linalg.solve", a, b)
    check_float("linalg.solve", a)
    check_square("linalg.solve", a)
    vector = _is_vector(a, b)
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)")
    right = B.unsqueeze(-1) if vector else B
    check_equation("linalg.solve", a, right._layout, left)
    found, info = apply(_solve_ex, (A, right), (bool(left),))
    return (found.squeeze(-1) if vector else found), info


def linalg_solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """`linalg.solve` and, instead of an error, the number of the first zero pivot, or zero.

    >>> torch.linalg.solve_ex(torch.zeros(1, 1), torch.ones(1)).info
    tensor(1, dtype=torch.int32)
    """
    solution, info = _solve("linalg_solve_ex", A, B, left)
    if check_errors:
        unless_zero("torch.linalg.solve_ex", info, _solver_failed)
    found = return_types.linalg_solve_ex(solution, info)
    return found if out is None else write_out(out, found, exact=EXACT)


def _solver_failed(pivot: int) -> str:
    return "The solver failed because the input matrix is singular."


@autocasts(SINGLE)
def linalg_solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """The solution of ``A @ X = B`` (``X @ A = B`` unless `left`); LinAlgError if a matrix is singular.

    >>> torch.linalg.solve(torch.tensor([[2., 0.], [0., 4.]]), torch.tensor([2., 2.]))
    tensor([1.0000, 0.5000])
    """
    found, info = _solve("linalg_solve", A, B, left)
    unless_zero("torch.linalg.solve", info, _solver_failed)
    return found if out is None else write_out(out, found, exact=EXACT)


def _inv_rule(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _solve_rule(A, np.broadcast_to(np.eye(A.shape[-1], dtype=A.dtype), A.shape), True)


_inv_ex = Card(
    "linalg_inv_ex", "A",
    outputs="inverse info",
    infer=lambda A: (column_major(A.shape, A.dtype), contiguous(A.shape[:-2], dt.int32)),
    numpy=_inv_rule, grads={"A": lambda g, inverse: -(inverse.mH @ g @ inverse.mH)},
)  # fmt: skip


def _invert(function: str, A: Tensor, check: bool) -> tuple[Tensor, Tensor]:
    here = as_tensor_argument(A, function)._layout
    check_square(function, here)
    check_float(function, here)
    inverse, info = apply(_inv_ex, (A,))
    if check:
        unless_zero(function, info, lambda pivot: f"The diagonal element {pivot} is zero, the inversion could not be completed because the input matrix is singular.")
    return inverse, info


@autocasts(SINGLE)
def linalg_inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of each square matrix; LinAlgError if one is singular.

    >>> torch.linalg.inv(torch.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    found, _ = _invert("linalg.inv", A, True)
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """`linalg.inv` and, instead of an error, the number of the first zero pivot, or zero.

    >>> torch.linalg.inv_ex(torch.eye(2)).info
    tensor(0, dtype=torch.int32)
    """
    found = return_types.linalg_inv_ex(*_invert("linalg.inv_ex", A, check_errors))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`linalg.inv` under its older name.

    >>> torch.inverse(torch.tensor([[2.]]))
    tensor([[0.5000]])
    """
    return linalg_inv(input, out=out)


@autocasts(SINGLE)
def linalg_tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse for `tensordot` of `A` as a map from its last dims to its first `ind` dims.

    >>> torch.linalg.tensorinv(torch.eye(4).reshape(2, 2, 4), ind=2).shape
    torch.Size([4, 2, 2])
    """
    shape = as_tensor_argument(A, "linalg_tensorinv")._layout.shape
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    rows, columns = numel(shape[:ind]), numel(shape[ind:])
    if rows != columns:
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {columns} != {rows}")
    found = _invert("inv", A.reshape(rows, columns), True)[0].reshape((*shape[ind:], *shape[:ind]))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The X whose ``tensordot`` with `A` over all dims of X is `B`; `dims` of `A` are moved to the end first.

    >>> torch.linalg.tensorsolve(torch.eye(4).reshape(2, 2, 4), torch.ones(2, 2))
    tensor([1., 1., 1., 1.])
    """
    ndim = as_tensor_argument(A, "linalg_tensorsolve")._layout.ndim
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(ndim - len(dims), ndim)))
    shape, known = A._layout.shape, as_tensor_argument(B, "linalg_tensorsolve", "other", 2)._layout.ndim
    rows, columns = numel(shape[:known]), numel(shape[known:])
    if rows != columns or rows != B._layout.numel:
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got {columns} != {rows}")
    found = linalg_solve(A.reshape(rows, columns), B.reshape(rows)).reshape(shape[known:])
    return found if out is None else write_out(out, found, exact=EXACT)


# Least squares

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _lstsq_rule(A: np.ndarray, B: np.ndarray, rcond: float) -> tuple[np.ndarray, ...]:
    rows, columns = A.shape[-2:]
    own = tuple(slice(n) for n in A.shape[:-2])  # rank and singular values are those of A, once, however many B there are
    A, B = same_batch(A, B)
    solution = np.empty((*A.shape[:-2], columns, B.shape[-1]), B.dtype)
    rank = np.empty(A.shape[:-2], np.int64)
    values = np.empty((*A.shape[:-2], min(rows, columns)), A.real.dtype)
    for n, (a, b) in each_matrix(A, B):
        solution[n], _, rank[n], values[n] = np.linalg.lstsq(a, b, rcond)
    return solution, rank[own], values[own]


def _infer_lstsq(A: Layout, B: Layout, rcond: float) -> tuple[Layout, ...]:
    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    rows, columns = A.shape[-2:]
    return (
        contiguous((*batch, columns, B.shape[-1]), A.dtype),
        contiguous(A.shape[:-2], dt.int64),
        contiguous((*A.shape[:-2], min(rows, columns)), A.dtype.to_real()),
    )


def _lstsq_gradient(g: Tensor, A: Tensor, B: Tensor, needs: tuple[bool, ...]) -> list[Any]:
    """Of ``pinv(A) @ B``."""
    inverse = linalg_pinv(A)
    return [pinv_gradient(g @ B.mH, A, inverse) if needs[0] else None, inverse.mH @ g]


_lstsq = Card(
    "linalg_lstsq", "A B",
    statics="rcond", outputs="solution rank singular_values",
    infer=_infer_lstsq, numpy=_lstsq_rule, backward=_lstsq_gradient, differentiable=(0,),
)  # fmt: skip


@autocasts(SINGLE)
def linalg_lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The X of least norm that minimises the norm of ``A @ X - B``, the residuals, the rank and the singular values of `A`.

    Which of them are given depends on `driver`: one of gels, gelsy (the default), gelsd and gelss.

    >>> torch.linalg.lstsq(torch.tensor([[1.], [1.]]), torch.tensor([[1.], [3.]])).solution.round()
    tensor([[2.]])
    """
    a, b = as_tensor_argument(A, "linalg_lstsq")._layout, as_tensor_argument(B, "linalg_lstsq", "B", 2)._layout
    function = "torch.linalg.lstsq"
    if a.ndim < 2:
        raise RuntimeError(f"{function}: input must have at least 2 dimensions.")
    if b.ndim < 1:
        raise RuntimeError(f"{function}: other must have at least 1 dimension.")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{function}: Expected input and other to have the same dtype, but got input's dtype {a.dtype.type_name} and other's dtype {b.dtype.type_name}")
    if not 0 <= a.ndim - b.ndim <= 1:
        raise RuntimeError(f"{function}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1")
    vector = a.ndim - b.ndim == 1
    right = B.unsqueeze(-1) if vector else B
    if a.shape[-2] != right._layout.shape[-2]:
        raise RuntimeError(f"{function}: input.size(-2) should match other.size({-1 if vector else -2})")
    driver = "gelsy" if driver is None else driver
    if driver not in _DRIVERS:
        raise RuntimeError(f"{function}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    check_float("linalg.lstsq", a)
    rows, columns = a.shape[-2:]
    if rcond is None or driver == "gels":
        rcond = float(np.finfo(a.dtype.numpy).eps) * max(rows, columns)
    solution, rank, values = apply(_lstsq, (A, right), (float(rcond),))
    residuals = A.new_empty((0,), dtype=a.dtype.to_real())
    if rows > columns and driver != "gelsy" and bool((rank == columns).all()):
        # The minimum does not move with the solution, so no gradient goes through it.
        difference = (A @ solution.detach() - right).abs()
        residuals = (difference * difference).sum(-2)
    return return_types.linalg_lstsq(
        solution.squeeze(-1) if vector else solution,
        residuals,
        rank if driver != "gels" else rank.new_empty((0,)),
        values if driver in ("gelsd", "gelss") else values.new_empty((0,)),
    )
