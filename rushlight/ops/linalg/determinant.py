"""Determinants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import return_types
from ...shape import Layout, contiguous
from ..card import Card, apply, array_of
from ..combine import where
from ..creation import eye
from ..define import EXACT, as_tensor_argument, write_out
from .checks import check_float, check_square
from .singular import linalg_svd
from .solve import linalg_inv_ex

if TYPE_CHECKING:
    from ...tensor import Tensor


def _det_gradient(g: Tensor, A: Tensor, output: Tensor) -> Tensor:
    if np.all(array_of(output) != 0):
        return (g * output.conj()).unsqueeze(-1).unsqueeze(-1) * linalg_inv_ex(A).inverse.mH
    # The adjugate of a singular matrix, through the products of all singular values but one.
    U, S, Vh = linalg_svd(A)
    size = S._layout.shape[-1]
    others = S.unsqueeze(-2).expand(*S._layout.shape, size)
    others = where(eye(size) == 1, 1.0, others).to(S._layout.dtype).prod(-1)
    turn = g * (linalg_det(U) * linalg_det(Vh)).conj()
    return turn.unsqueeze(-1).unsqueeze(-1) * ((U * others.unsqueeze(-2)) @ Vh)


_det = Card(
    "linalg_det", "A",
    infer=lambda A: contiguous(A.shape[:-2], A.dtype),
    numpy=lambda A: np.linalg.det(A), grads={"A": _det_gradient},
)  # fmt: skip


def _check(function: str, A: Tensor) -> None:
    here: Layout = as_tensor_argument(A, function.replace(".", "_"))._layout
    check_square(function, here)
    check_float(function, here)


def linalg_det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant of each square matrix.

    >>> torch.linalg.det(torch.tensor([[2., 1.], [0., 3.]]))
    tensor(6.)
    """
    _check("linalg.det", A)
    found = apply(_det, (A,))
    return found if out is None else write_out(out, found, exact=EXACT)


def _slogdet_gradient(g: Any, A: Tensor, sign: Tensor) -> Tensor:
    """With t the trace of ``A^-1 dA``: d log|det| is Re t, and d sign is ``i * sign * Im t``."""
    of_sign, of_log = g
    factor = of_log
    if of_sign is not None and A._layout.dtype.is_complex:
        turn = (of_sign.conj() * sign).imag * -1j
        factor = turn if factor is None else factor + turn
    if factor is None:
        return A * 0
    return factor.unsqueeze(-1).unsqueeze(-1) * linalg_inv_ex(A).inverse.mH


_slogdet = Card(
    "linalg_slogdet", "A",
    outputs="sign logabsdet",
    infer=lambda A: (contiguous(A.shape[:-2], A.dtype), contiguous(A.shape[:-2], A.dtype.to_real())),
    numpy=lambda A: tuple(np.linalg.slogdet(A)), grads={"A": _slogdet_gradient},
)  # fmt: skip


def linalg_slogdet(A: Tensor, *, out: Any = None) -> Any:
    """The sign of the determinant and the logarithm of its absolute value.

    >>> torch.linalg.slogdet(torch.tensor([[-1., 0.], [0., 1.]]))
    torch.return_types.linalg_slogdet(
    sign=tensor(-1.),
    logabsdet=tensor(0.))
    """
    _check("linalg.slogdet", A)
    found = return_types.linalg_slogdet(*apply(_slogdet, (A,)))
    return found if out is None else write_out(out, found, exact=EXACT)


def slogdet(input: Tensor, *, out: Any = None) -> Any:
    """`linalg.slogdet` under its older name.

    >>> torch.slogdet(torch.eye(2)).logabsdet
    tensor(0.)
    """
    found = return_types.slogdet(*linalg_slogdet(input))
    return found if out is None else write_out(out, found, exact=EXACT)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; nan where that is negative.

    >>> torch.logdet(torch.eye(2))
    tensor(0.)
    """
    _check("logdet", input)
    sign, logabsdet = apply(_slogdet, (input,))
    if input._layout.dtype.is_complex:
        return sign.log() + logabsdet
    return where(sign == -1, float("nan"), logabsdet)
