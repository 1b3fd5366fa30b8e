"""The QR decomposition and products of Householder reflections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt, return_types
from ...autocasting import SINGLE, autocasts
from ...shape import Layout, contiguous
from ..card import Card, apply
from ..creation import eye
from ..define import EXACT, as_tensor_argument, refuse_dtypes, write_out
from .checks import check_float, check_matrix, column_major
from .triangular import linalg_solve_triangular

if TYPE_CHECKING:
    from ...tensor import Tensor


def _infer_qr(A: Layout, mode: str) -> tuple[Layout, Layout]:
    *batch, m, n = A.shape
    k = min(m, n)
    columns = m if mode == "complete" else k
    Q = contiguous((0,), A.dtype) if mode == "r" else column_major((*batch, m, columns), A.dtype)
    return Q, column_major((*batch, k if mode == "r" else columns, n), A.dtype)


def _qr_rule(A: np.ndarray, mode: Any) -> tuple[Any, Any]:
    if mode == "r":
        return np.empty(0, A.dtype), np.linalg.qr(A, "r")
    Q, R = np.linalg.qr(A, mode)
    return Q, R


def _qr_gradient(g: Any, Q: Tensor, R: Tensor, layouts: Any, mode: str) -> Tensor:
    """Roberts and Roberts, https://arxiv.org/abs/2009.10071, also for matrices wider than tall."""
    gQ, gR = g
    m, n = layouts[0].shape[-2:]
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr.")
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    gQ = Q * 0 if gQ is None else gQ
    gR = R * 0 if gR is None else gR
    if m >= n:
        core = (R @ gR.mH - gQ.mH @ Q).tril()
        return linalg_solve_triangular(R.mH, gQ + Q @ _hermitian_of_lower(core), upper=False, left=False)
    # A = [X Y] and R = [U V] with X = Q U and Y = Q V: the first m columns decide Q.
    U, V, gU, gV = R.narrow(-1, 0, m), R.narrow(-1, m, n - m), gR.narrow(-1, 0, m), gR.narrow(-1, m, n - m)
    gQ = gQ + Q @ (V @ gV.mH)
    core = (U @ gU.mH - gQ.mH @ Q).tril()
    gX = linalg_solve_triangular(U.mH, gQ + Q @ _hermitian_of_lower(core), upper=False, left=False)
    return _side_by_side(gX, Q @ gV)


def _hermitian_of_lower(lower: Tensor) -> Tensor:
    diagonal = lower.diagonal(0, -2, -1).real
    strict = lower.tril(-1)
    return strict + strict.mH + diagonal.diag_embed()


def _side_by_side(a: Tensor, b: Tensor) -> Tensor:
    from ..combine import cat

    return cat((a, b), -1)


_qr = Card(
    "linalg_qr", "A",
    statics="mode", outputs="Q R",
    infer=_infer_qr, numpy=_qr_rule, grads={"A": _qr_gradient},
)  # fmt: skip


@autocasts(SINGLE)
def linalg_qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """``A = Q @ R`` with orthonormal columns in Q and an upper triangular R; `mode` is "reduced", "complete" or "r" (only R).

    >>> torch.linalg.qr(torch.tensor([[-2., 1.], [0., 3.]])).R
    tensor([[-2.,  1.],
            [ 0.,  3.]])
    """
    here = as_tensor_argument(A, "linalg_qr")._layout
    check_matrix("linalg.qr", here)
    check_float("linalg.qr", here, low_precision=True)
    refuse_dtypes("geqrf_cpu", here.dtype, dt.LOW_PRECISION)
    if mode not in ("reduced", "r", "complete"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    found = return_types.linalg_qr(*apply(_qr, (A,), (mode,)))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """The older form of `linalg.qr`: reduced if `some`, else complete.

    >>> torch.qr(torch.tensor([[-2., 1.], [0., 3.]])).R
    tensor([[-2.,  1.],
            [ 0.,  3.]])
    """
    found = return_types.qr(*linalg_qr(input, "reduced" if some else "complete"))
    return found if out is None else write_out(out, found, exact=EXACT)


def _geqrf_rule(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reflectors, tau = np.linalg.qr(A, "raw")
    return reflectors.swapaxes(-1, -2), tau


_geqrf = Card(
    "geqrf", "A",
    outputs="a tau",
    infer=lambda A: (column_major(A.shape, A.dtype), contiguous((*A.shape[:-2], min(A.shape[-2:])), A.dtype)),
    numpy=_geqrf_rule, no_grad_reason="the derivative for 'geqrf' is not implemented.", node_name="GeqrfBackward0",
)  # fmt: skip


@autocasts(SINGLE)
def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """LAPACK's form of the QR decomposition: R above, Householder vectors below the diagonal, and their scales tau.

    >>> torch.geqrf(torch.tensor([[-2., 1.], [0., 3.]])).tau
    tensor([0., 0.])
    """
    here = as_tensor_argument(input, "geqrf")._layout
    if here.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    if here.dtype.category < dt.FLOAT or here.dtype in dt.LOW_PRECISION:
        raise NotImplementedError(f"\"geqrf_cpu\" not implemented for '{here.dtype.type_name}'")
    found = return_types.geqrf(*apply(_geqrf, (input,)))
    return found if out is None else write_out(out, found, exact=EXACT)


def _reflect(target: Tensor, reflectors: Tensor, tau: Tensor, order: Any) -> Tensor:
    """Apply ``I - tau[k] v[k] v[k]^H`` to `target` from the left for each k in turn; v[k] has a one at k and zeros above."""
    lower = reflectors.tril(-1)
    size = reflectors._layout.shape[-1]
    vectors = lower + eye(reflectors._layout.shape[-2], size, dtype=reflectors._layout.dtype)
    for k in order:
        v = vectors.narrow(-1, k, 1)
        target = target - tau.narrow(-1, k, 1).unsqueeze(-1) * (v @ (v.mH @ target))
    return target


def _check_reflectors(function: str, input: Layout, tau: Layout) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"{function}: input must have at least 2 dimensions.")
    if function.endswith("householder_product") and input.shape[-2] < input.shape[-1]:
        raise RuntimeError(f"{function}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if input.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{function}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if input.ndim - tau.ndim != 1:
        raise RuntimeError(f"{function}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and input.ndim is equal to {input.ndim}")
    if input.shape[:-2] != tau.shape[:-1]:
        raise RuntimeError(f"{function}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}")
    if tau.dtype is not input.dtype:
        raise RuntimeError(f"{function}: tau dtype {tau.dtype.type_name} does not match input dtype {input.dtype.type_name}")


@autocasts(SINGLE)
def linalg_householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of the Householder reflections that `geqrf` gives.

    >>> torch.linalg.householder_product(*torch.geqrf(torch.tensor([[-2., 1.], [0., 3.]])))
    tensor([[1., 0.],
            [0., 1.]])
    """
    here, scales = as_tensor_argument(A, "linalg_householder_product")._layout, as_tensor_argument(tau, "linalg_householder_product", "tau", 2)._layout
    _check_reflectors("torch.linalg.householder_product", here, scales)
    start = A.clone().copy_(eye(*here.shape[-2:], dtype=here.dtype))
    found = _reflect(start, A, tau, reversed(range(scales.shape[-1])))
    return found if out is None else write_out(out, found, exact=EXACT)


@autocasts(SINGLE)
def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The product of the whole Q of Householder reflections with `other`: Q or Q^H (`transpose`), from the left or the right.

    >>> torch.ormqr(*torch.geqrf(torch.tensor([[-2., 1.], [0., 3.]])), torch.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    here, scales, target = as_tensor_argument(input, "ormqr")._layout, tau._layout, other._layout
    function = "torch.ormqr"
    if here.ndim < 2:
        raise RuntimeError(f"{function}: input must have at least 2 dimensions.")
    if target.ndim < 2:
        raise RuntimeError(f"{function}: other must have at least 2 dimensions.")
    side = -2 if left else -1
    if target.shape[side] < scales.shape[-1]:
        raise RuntimeError(f"{function}: other.shape[{side}] must be greater than or equal to tau.shape[-1]")
    if target.shape[side] != here.shape[-2]:
        raise RuntimeError(f"{function}: other.shape[{side}] must be equal to input.shape[-2]")
    _check_reflectors(function, here, scales)
    if target.ndim != here.ndim:
        raise RuntimeError(f"{function}: Expected other to have the same number of dimensions as input, but got other.ndim equal to {target.ndim} and input.ndim is equal to {here.ndim}")
    if target.shape[:-2] != here.shape[:-2]:
        raise RuntimeError(f"{function}: Expected batch dimensions of other to be equal to input.shape[:-2], but got {list(target.shape[:-2])}")
    if target.dtype is not here.dtype:
        raise RuntimeError(f"{function}: Expected input and other to have the same dtype, but input has dtype {here.dtype.type_name} and other has dtype {target.dtype.type_name}")
    # X Q = (Q^H X^H)^H, and Q^H is the reflections with conj(tau) in the other order.
    adjoint = bool(transpose) == bool(left)
    order = range(scales.shape[-1])
    found = _reflect(other if left else other.mH, input, tau.conj() if adjoint else tau, order if adjoint else reversed(order))
    found = found if left else found.mH
    return found if out is None else write_out(out, found, exact=EXACT)
