"""The singular value decomposition and what follows from it: pseudoinverses, ranks, condition numbers, low-rank forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types
from ...autocasting import SINGLE, autocasts
from ...errors import LinAlgError, sizes
from ...shape import Layout, contiguous
from ...storage import TensorBase
from ..card import Card, apply
from ..define import EXACT, as_tensor_argument, write_out
from .checks import check_float, check_matrix, check_square, column_major, follows_gradient

if TYPE_CHECKING:
    from ...tensor import Tensor


def _finite(A: np.ndarray) -> None:
    if not np.isfinite(A).all():
        raise LinAlgError("linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.")


def _svd_rule(A: np.ndarray, full_matrices: bool) -> tuple[np.ndarray, ...]:
    _finite(A)
    U, S, Vh = np.linalg.svd(A, full_matrices=full_matrices)
    if 1 < A.shape[-2] < A.shape[-1]:
        # Signs of vector pairs are free. PyTorch's LAPACK takes one reflection more than NumPy's for wide matrices,
        # which mostly shows in the first pair.
        U[..., :, 0] *= -1
        Vh[..., 0, :] *= -1
    return U, S, Vh


def _infer_svd(A: Layout, full_matrices: bool) -> tuple[Layout, ...]:
    *batch, m, n = A.shape
    k = min(m, n)
    return (
        column_major((*batch, m, m if full_matrices else k), A.dtype),
        contiguous((*batch, k), A.dtype.to_real()),
        column_major((*batch, n if full_matrices else k, n), A.dtype),
    )


def _skew(X: Tensor) -> Tensor:
    return X - X.mH


def _svd_gradient(g: Any, U: Tensor, S: Tensor, Vh: Tensor, layouts: Sequence[Layout]) -> Tensor:
    """Of the reduced form, also when all of U and Vh were asked for; https://arxiv.org/abs/1909.02659."""
    gU, gS, gVh = g
    m, n = layouts[0].shape[-2:]
    k = min(m, n)
    U, Vh = U.narrow(-1, 0, k), Vh.narrow(-2, 0, k)
    gU = None if gU is None else gU.narrow(-1, 0, k)
    gVh = None if gVh is None else gVh.narrow(-2, 0, k)
    if gU is None and gVh is None:
        return (U * gS.unsqueeze(-2)) @ Vh
    squares = S * S
    between = squares.unsqueeze(-2) - squares.unsqueeze(-1)
    between = between + between.new_ones(k).diag()
    core = None
    if gU is not None:
        turned = _skew(U.mH @ gU)
        core = turned / between * S.unsqueeze(-2)
        if layouts[0].dtype.is_complex:
            core = core + (turned.diagonal(0, -2, -1) / (2 * S)).diag_embed()
    if gVh is not None:
        turned = S.unsqueeze(-1) * (_skew(Vh @ gVh.mH) / between)
        core = turned if core is None else core + turned
    if gS is not None:
        core = core + gS.diag_embed()
    if m > k and gU is not None:
        # The part of gU outside the columns of U.
        return (U @ core + (gU - U @ (U.mH @ gU)) / S.unsqueeze(-2)) @ Vh
    if n > k and gVh is not None:
        return U @ (core @ Vh + (gVh - (gVh @ Vh.mH) @ Vh) / S.unsqueeze(-1))
    return U @ core @ Vh


_svd = Card(
    "linalg_svd", "A",
    statics="full_matrices", outputs="U S Vh",
    infer=_infer_svd, numpy=_svd_rule, grads={"A": _svd_gradient},
)  # fmt: skip


def _svdvals_rule(A: np.ndarray) -> np.ndarray:
    _finite(A)
    return np.linalg.svd(A, compute_uv=False)


_svdvals = Card(
    "linalg_svdvals", "A",
    infer=lambda A: contiguous((*A.shape[:-2], min(A.shape[-2:])), A.dtype.to_real()),
    numpy=_svdvals_rule, no_grad_reason="the gradient needs the singular vectors",
)  # fmt: skip


def _decompose(A: Tensor, full_matrices: bool) -> tuple[Any, ...]:
    here = as_tensor_argument(A, "linalg_svd")._layout
    check_matrix("linalg.svd", here)
    check_float("linalg.svd", here)
    found = apply(_svd, (A,), (full_matrices,))
    _settle()
    return found


def _settle() -> None:
    """Let an error about the values come from this call."""
    from ... import tape

    tape.flush("check")


@autocasts(SINGLE)
def linalg_svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """``A = U @ diag(S) @ Vh`` with orthonormal U and Vh, square unless `full_matrices` is False, and S descending.

    >>> torch.linalg.svd(torch.tensor([[3., 0.], [0., -2.]])).S
    tensor([3., 2.])
    """
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")
    found = return_types.linalg_svd(*_decompose(A, bool(full_matrices)))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of each matrix, descending.

    >>> torch.linalg.svdvals(torch.tensor([[3., 0.], [0., -2.]]))
    tensor([3., 2.])
    """
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")
    here = as_tensor_argument(A, "linalg_svdvals", "A")._layout
    check_matrix("linalg.svd", here)
    check_float("linalg.svd", here)
    if follows_gradient(A):
        found = _decompose(A, False)[1]
    else:
        found = apply(_svdvals, (A,))
        _settle()
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """``input = U @ diag(S) @ V.mH``: the older form of `linalg.svd`, with V rather than its adjoint.

    >>> torch.svd(torch.tensor([[3., 0.], [0., -2.]])).S
    tensor([3., 2.])
    """
    shape = as_tensor_argument(input, "svd")._layout.shape
    if len(shape) < 2:
        raise RuntimeError(f"linalg.svd: input should have at least 2 dimensions, but has {len(shape)} dimensions instead")
    if compute_uv:
        U, S, Vh = _decompose(input, not some)
        found = return_types.svd(U, S, Vh.mH)
    else:
        *batch, m, n = shape
        found = return_types.svd(input.new_zeros((*batch, m, m)), linalg_svdvals(input), input.new_zeros((*batch, n, n)))
    return found if out is None else write_out(out, found, exact=EXACT)


# Pseudoinverse and rank


def _spectrum(A: np.ndarray, atol: Any, rtol: Any, hermitian: bool) -> tuple[Any, ...]:
    """Left vectors, signed values, adjoint of the right vectors, and which values are above the tolerance."""
    _finite(A)
    if hermitian:
        values, U = np.linalg.eigh(A)
        Vh = U.swapaxes(-1, -2).conj()
    else:
        U, values, Vh = np.linalg.svd(A, full_matrices=False)
    size = np.abs(values)
    largest = np.max(size, -1, keepdims=True) if size.shape[-1] else np.zeros((*size.shape[:-1], 1), size.dtype)
    bound = np.maximum(np.asarray(atol)[..., None], np.asarray(rtol)[..., None] * largest)
    return U, values, Vh, size > bound


def _pinv_rule(A: np.ndarray, atol: Any, rtol: Any, hermitian: bool) -> np.ndarray:
    if not A.size:
        return A.swapaxes(-1, -2)
    U, values, Vh, counts = _spectrum(A, atol, rtol, hermitian)
    inverse = np.where(counts, 1 / np.where(counts, values, 1), 0).astype(values.dtype)
    return Vh.swapaxes(-1, -2).conj() @ (inverse[..., None] * U.swapaxes(-1, -2).conj())


def pinv_gradient(g: Tensor, A: Tensor, output: Tensor) -> Tensor:
    """Golub and Pereyra (1973): the differential of a pseudoinverse of constant rank."""
    P_H, g_H = output.mH, g.mH
    along = -(P_H @ g @ P_H)
    outside_rows = (g_H - A @ (output @ g_H)) @ (output @ P_H)
    outside_columns = (P_H @ output) @ (g_H - (g_H @ output) @ A)
    return along + outside_rows + outside_columns


_pinv = Card(
    "linalg_pinv", "A atol rtol",
    statics="hermitian",
    infer=lambda A, atol, rtol, hermitian: contiguous((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype),
    numpy=_pinv_rule, grads={"A": pinv_gradient},
)  # fmt: skip


def _tolerances(here: Layout, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Both given; without `rtol`, zero beside a positive `atol`, else the precision of the dtype."""
    if rtol is None:
        precision = float(np.finfo(here.dtype.numpy).eps) * max(here.shape[-2:])
        if isinstance(atol, TensorBase):
            rtol = (atol == 0) * precision  # type: ignore[operator]
        else:
            rtol = 0.0 if atol is not None and atol > 0 else precision
    return 0.0 if atol is None else _tolerance(atol), _tolerance(rtol)


def _tolerance(value: Any) -> Any:
    return value if isinstance(value, TensorBase) else float(value)


def linalg_pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None) -> Tensor:
    """The Moore-Penrose inverse, with singular values up to ``max(atol, rtol * largest)`` taken as zero.

    >>> torch.linalg.pinv(torch.tensor([[2., 0.], [0., 0.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    here = as_tensor_argument(A, "linalg_pinv")._layout
    if here.ndim < 2 or here.dtype.category < dt.FLOAT or here.dtype in dt.LOW_PRECISION:
        raise RuntimeError(f"linalg.pinv({here.dtype.type_name}{{{sizes(here.shape)}}}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types")
    if hermitian:
        check_square("linalg.pinv", here)
    if rcond is not None:
        atol, rtol = (0.0 if atol is None else atol), rcond
    found = apply(_pinv, (A, *_tolerances(here, atol, rtol)), (bool(hermitian),))
    _settle()
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`linalg.pinv` with a relative tolerance of `rcond`.

    >>> torch.pinverse(torch.tensor([[2.]]))
    tensor([[0.5000]])
    """
    return linalg_pinv(input, rcond)


_matrix_rank = Card("linalg_matrix_rank", "A atol rtol", statics="hermitian", numpy=lambda A, atol, rtol, hermitian: np.sum(_spectrum(A, atol, rtol, hermitian)[3], -1, dtype=np.int64))


@autocasts(SINGLE)
def linalg_matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None) -> Tensor:
    """The number of singular values above ``max(atol, rtol * largest)``.

    >>> torch.linalg.matrix_rank(torch.ones(3, 3))
    tensor(1)
    """
    here = as_tensor_argument(A, "linalg_matrix_rank")._layout
    check_matrix("torch.linalg.matrix_rank", here, "input")
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if hermitian:
        check_square("linalg.matrix_rank", here)
    for name, value in (("atol", atol), ("rtol", rtol), ("tol", tol)):
        if isinstance(value, TensorBase) and value._layout.dtype.is_complex:
            raise RuntimeError(f"torch.linalg.matrix_rank: {name} tensor of complex type is not supported.")
    if tol is not None:
        atol, rtol = tol, 0.0
    if not here.numel:
        found = A.new_zeros(here.shape[:-2], dtype=dt.int64)
    else:
        found = apply(_matrix_rank, (A.detach(), *_tolerances(here, atol, rtol)), (bool(hermitian),))
    return found if out is None else write_out(out, found, exact=EXACT)


# Low-rank forms (Halko, Martinsson and Tropp, 2011, https://arxiv.org/abs/0909.4061)


def _basis(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """An orthonormal basis of about the span of the columns of ``A - M`` (algorithm 4.4)."""
    from ..random import randn
    from .orthogonal import linalg_qr

    def times(by: Tensor, adjoint: bool) -> Tensor:
        found = (A.mH if adjoint else A) @ by
        return found if M is None else found - (M.mH if adjoint else M) @ by

    Q = linalg_qr(times(randn(A._layout.shape[-1], q, dtype=A._layout.dtype), False)).Q
    for _ in range(niter):
        Q = linalg_qr(times(Q, True)).Q
        Q = linalg_qr(times(Q, False)).Q
    return Q


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """About the first `q` singular values and vectors of ``A - M``, from random projections: (U, S, V).

    >>> torch.svd_lowrank(torch.ones(4, 3), q=1)[1]
    tensor([3.4641])
    """
    m, n = A._layout.shape[-2:]
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    if M is not None:
        M = M.broadcast_to(A._layout.shape)
    wide = m < n
    if wide:
        A, M = A.mH, None if M is None else M.mH
    Q = _basis(A, q, niter, M)
    B = Q.mH @ A
    if M is not None:
        B = B - Q.mH @ M
    U, S, Vh = _decompose(B, False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """`svd_lowrank` of `A` with the mean of its rows subtracted: about the first `q` principal components.

    >>> torch.pca_lowrank(torch.ones(4, 3), q=1)[1]
    tensor([0.])
    """
    m, n = A._layout.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
