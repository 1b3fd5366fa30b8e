"""Eigenvalues and eigenvectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types, tape
from ...autocasting import SINGLE, autocasts
from ...errors import LinAlgError
from ...shape import Layout, contiguous
from ..card import Card, apply
from ..creation import eye
from ..define import EXACT, as_tensor_argument, write_out
from .checks import check_square, column_major, follows_gradient

if TYPE_CHECKING:
    from ...tensor import Tensor


def _differences(L: Tensor) -> Tensor:
    """``L[j] - L[i]`` for each pair, infinite where i = j, so that a quotient by it is zero there."""
    return (L.unsqueeze(-2) - L.unsqueeze(-1)).masked_fill(eye(L._layout.shape[-1], dtype=dt.bool_), float("inf"))


# Hermitian matrices


def _converging(A: np.ndarray) -> None:
    if not np.isfinite(A).all():
        raise LinAlgError(
            "linalg.eigh: The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues "
            f"(error code: {max(A.shape[-1] - 1, 1)})."
        )


def _eigh_rule(A: np.ndarray, UPLO: Any) -> tuple[np.ndarray, np.ndarray]:
    _converging(A)
    values, vectors = np.linalg.eigh(A, UPLO)
    return values, vectors


def _eigvalsh_rule(A: np.ndarray, UPLO: Any) -> np.ndarray:
    _converging(A)
    return np.linalg.eigvalsh(A, UPLO)


def _eigh_gradient(g: Any, L: Tensor, V: Tensor) -> Tensor:
    gL, gV = g
    if gV is None:
        return (V * gL.unsqueeze(-2)) @ V.mH
    turned = V.mH @ gV
    # Only this part moves along unitary matrices.
    core = (turned - turned.mH) / 2 / _differences(L)
    if gL is not None:
        core = core + gL.diag_embed()
    return V @ core @ V.mH


_eigh = Card(
    "linalg_eigh", "A",
    statics="UPLO", outputs="L V",
    infer=lambda A, UPLO: (contiguous(A.shape[:-1], A.dtype.to_real()), column_major(A.shape, A.dtype)),
    numpy=_eigh_rule, grads={"A": _eigh_gradient},
)  # fmt: skip
_eigvalsh = Card(
    "linalg_eigvalsh", "A",
    statics="UPLO",
    infer=lambda A, UPLO: contiguous(A.shape[:-1], A.dtype.to_real()),
    numpy=_eigvalsh_rule, no_grad_reason="the gradient needs the eigenvectors",
)  # fmt: skip


def _check_hermitian(A: Tensor, UPLO: str) -> str:
    here = as_tensor_argument(A, "linalg_eigh")._layout
    check_square("linalg.eigh", here)
    if here.dtype.category < dt.FLOAT or here.dtype in dt.LOW_PRECISION:
        raise NotImplementedError(f"\"linalg_eigh_cpu\" not implemented for '{here.dtype.type_name}'")
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


@autocasts(SINGLE)
def linalg_eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues, ascending, and orthonormal eigenvectors (as columns) of a Hermitian matrix, of which one triangle is read.

    >>> torch.linalg.eigh(torch.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    found = return_types.linalg_eigh(*apply(_eigh, (A,), (_check_hermitian(A, UPLO),)))
    tape.flush("check")
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of a Hermitian matrix, ascending.

    >>> torch.linalg.eigvalsh(torch.tensor([[2., 0.], [0., 1.]]))
    tensor([1., 2.])
    """
    UPLO = _check_hermitian(A, UPLO)
    found = apply(_eigh, (A,), (UPLO,))[0] if follows_gradient(A) else apply(_eigvalsh, (A,), (UPLO,))
    tape.flush("check")
    return found if out is None else write_out(out, found, exact=EXACT)


# General matrices


def _eig_gradient(g: Any, L: Tensor, V: Tensor, layouts: Any) -> Tensor:
    """Boeddeker et al., https://arxiv.org/abs/1701.00392, section 4.4, for eigenvectors of norm one."""
    gL, gV = g
    V_H = V.mH
    if gV is None:
        core = gL.diag_embed()
    else:
        turned = V_H @ gV
        norms = turned.diagonal(0, -2, -1).real.unsqueeze(-2)
        core = (turned - (V_H @ V) * norms) / _differences(L).conj()
        if gL is not None:
            core = core + gL.diag_embed()
    from .solve import linalg_solve

    found = linalg_solve(V_H, core @ V_H)
    return found if layouts[0].dtype.is_complex else found.real


_eig = Card(
    "linalg_eig", "A",
    outputs="L V",
    infer=lambda A: (contiguous(A.shape[:-1], A.dtype.to_complex()), column_major(A.shape, A.dtype.to_complex())),
    numpy=lambda A: tuple(np.linalg.eig(A)), grads={"A": _eig_gradient},
)  # fmt: skip
_eigvals = Card(
    "linalg_eigvals", "A",
    infer=lambda A: contiguous(A.shape[:-1], A.dtype.to_complex()),
    numpy=lambda A: np.linalg.eigvals(A), no_grad_reason="the gradient needs the eigenvectors",
)  # fmt: skip


def _check_general(function: str, A: Tensor) -> None:
    here: Layout = as_tensor_argument(A, function)._layout
    check_square(function.replace("_", ".", 1), here)
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(f"Unknown Complex ScalarType for {here.dtype.type_name}")
    if here.dtype in dt.LOW_PRECISION:
        raise NotImplementedError(f"\"{function}\" not implemented for '{here.dtype.type_name}'")
    if here.numel and not bool(A.detach().isfinite().all()):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@autocasts(SINGLE)
def linalg_eig(A: Tensor, *, out: Any = None) -> Any:
    """The eigenvalues and eigenvectors (as columns of norm one) of a square matrix; always complex, in no given order.

    >>> torch.linalg.eig(torch.tensor([[0., -1.], [1., 0.]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    _check_general("linalg_eig", A)
    found = return_types.linalg_eig(*apply(_eig, (A,)))
    tape.flush("check")
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def linalg_eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of a square matrix; always complex, in no given order.

    >>> torch.linalg.eigvals(torch.tensor([[0., -1.], [1., 0.]]))
    tensor([0.+1.j, 0.-1.j])
    """
    _check_general("linalg_eigvals", A)
    found = apply(_eig, (A,))[0] if follows_gradient(A) else apply(_eigvals, (A,))
    tape.flush("check")
    return found if out is None else write_out(out, found, exact=EXACT)
