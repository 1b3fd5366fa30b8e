"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ... import dtypes as dt
from ...autocasting import SINGLE, autocasts
from ...errors import sizes
from ...shape import wrap_dim
from ..define import EXACT, as_tensor_argument, by_numpy_names, write_out
from ..vector_norm import vector_norm
from .checks import check_float, check_matrix, check_square
from .singular import linalg_svdvals
from .solve import linalg_inv_ex

if TYPE_CHECKING:
    from ...tensor import Tensor


def linalg_matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None) -> Tensor:
    """The norm of the matrices in `dim`: "fro", "nuc", or 1, 2 or inf, or one of these negated.

    >>> torch.linalg.matrix_norm(torch.tensor([[3., 0.], [0., -4.]]), ord=2)
    tensor(4.)
    """
    function = "linalg.matrix_norm"
    here = as_tensor_argument(A, "linalg_matrix_norm")._layout
    check_matrix(function, here)
    check_float(function, here, low_precision=True)
    dims = list(dim) if isinstance(dim, (tuple, list)) else [dim]
    if len(dims) != 2:
        raise RuntimeError(f"{function}: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    first, second = (wrap_dim(d, here.ndim) for d in dims)
    if first == second:
        raise RuntimeError(f"{function}: dims must be different. Got ({dims[0]}, {dims[1]})")
    if dtype is not None and dtype.category < dt.FLOAT:
        raise RuntimeError(f"{function}: dtype should be floating point or complex, but got {dtype.type_name}")
    if ord == "fro":
        return vector_norm(A, 2, (first, second), keepdim, dtype=dtype, out=out)
    A = A if dtype is None else A.to(dtype)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        values = linalg_svdvals(A.movedim((first, second), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord > 0 else values.amin(-1)
        if keepdim:
            found = found.unsqueeze(min(first, second)).unsqueeze(max(first, second))
    elif not isinstance(ord, str) and abs(ord) in (1, math.inf):
        summed, compared = (first, second) if abs(ord) == 1 else (second, first)
        sums = vector_norm(A, 1, summed, keepdim=True)
        found = sums.amax(compared, True) if ord > 0 else sums.amin(compared, True)
        found = found if keepdim else found.squeeze((first, second))
    else:
        raise RuntimeError(f"{function}: Order {ord} not supported.")
    return found if out is None else write_out(out, found, exact=EXACT)


def linalg_norm(A: Tensor, ord: Any = None, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, out: Tensor | None = None, dtype: dt.dtype | None = None, **names: Any) -> Tensor:
    """The norm of a vector (one dim) or a matrix (two); of all elements as a vector if neither `ord` nor `dim` is given.

    >>> torch.linalg.norm(torch.tensor([[3., 0.], [0., 4.]]), "nuc")
    tensor(7.)
    """
    if names:
        return by_numpy_names(linalg_norm, locals())
    ndim = as_tensor_argument(A, "linalg_norm")._layout.ndim
    if dim is not None:
        dims: list[int] = [dim] if isinstance(dim, int) else list(dim)
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {sizes(dims)}")
    elif ord is not None and ndim not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {ndim}D.")
    if isinstance(ord, str):
        return linalg_matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    is_matrix = len(dims) == 2 if dim is not None else ndim == 2
    if ord is not None and is_matrix:
        return linalg_matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


@autocasts(SINGLE)
def linalg_cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number for the norm `p`: ``norm(A) * norm(inv(A))``; infinite for a singular matrix.

    >>> torch.linalg.cond(torch.tensor([[4., 0.], [0., 2.]]))
    tensor(2.)
    """
    here = as_tensor_argument(A, "linalg_cond")._layout
    if here.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        if not here.numel:
            return A.new_zeros(here.shape[:-2], dtype=here.dtype.to_real())
        values = linalg_svdvals(A)
        largest, smallest = values.select(-1, 0), values.select(-1, -1)
        found = smallest / largest if p is not None and p < 0 else largest / smallest
    else:
        check_square(f"linalg.cond(ord={p})", here)
        inverse, info = linalg_inv_ex(A)
        found = linalg_matrix_norm(A, p) * linalg_matrix_norm(inverse.nan_to_num(nan=0.0), p)
        found = found.masked_fill(info != 0, math.inf)
    return found if out is None else write_out(out, found, exact=EXACT)


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norm over all dims but `dim`, which keep a size of one; over everything for a `dim` of -1.

    >>> torch.norm_except_dim(torch.tensor([[3., 4.], [6., 8.]]))
    tensor([[ 5.],
            [10.]])
    """
    if dim == -1:
        return vector_norm(v, pow)
    ndim = v._layout.ndim
    kept = wrap_dim(dim, ndim)
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if ndim == 1:
        return vector_norm(v.unsqueeze(1), pow, [1])
    return vector_norm(v, pow, [d for d in range(ndim) if d != kept], keepdim=True)


linalg_vector_norm = vector_norm
