"""Norms of vectors, and the distances and rescaling built on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import LOOPED, Loop, Space
from ..shape import Layout, Shape, contiguous, wrap_dim
from .card import Card, apply
from .combine import where
from .define import EXACT, as_tensor_argument, by_numpy_names, titled, write_out
from .reduction import keep_dims, over_other_dims, reduced_count, reduced_shape, reduction_dims, row_space, widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def _norm_rule(input: np.ndarray, ord: float, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    values = widened(input)
    if values.dtype.itemsize < dtype.itemsize:
        values = values.astype(dtype.numpy)
    over: dict[str, Any] = {"axis": dims, "keepdims": keepdim}
    if ord == 0:
        return np.sum(values != 0, **over)
    if ord == 2:
        squares = np.square(values) if values.dtype.kind == "f" else values.real**2 + values.imag**2
        return np.sqrt(np.sum(squares, **over))
    size = np.abs(values)
    if ord == 1:
        return np.sum(size, **over)
    if ord == math.inf:
        return np.max(size, **over)
    if ord == -math.inf:
        return np.min(size, **over)
    return np.power(np.sum(np.power(size, ord), **over), size.dtype.type(1 / ord))


def _norm_gradient(g: Tensor, input: Tensor, output: Tensor, layouts: Sequence[Layout], ord: float, dims: Shape, keepdim: bool) -> Tensor | None:
    """None for the count of nonzeros, which is constant almost everywhere. Otherwise zero where the norm is not smooth: at zero, and away from the extreme elements of an infinite norm."""
    g, norm = keep_dims(g, layouts, dims, keepdim), keep_dims(output, layouts, dims, keepdim)
    if ord == 0:
        return None
    if ord == 1:
        return g * input.sgn()
    if ord == 2:
        return input * (g / norm).masked_fill(norm == 0, 0)
    size = input.abs()
    if abs(ord) == math.inf:
        extreme = (size == norm) | (size.isnan() & norm.isnan())
        return input.sgn() * (g / extreme.sum(dims, keepdim=True)) * extreme
    if ord < 1:
        return (input.sgn() * size ** (ord - 1)).masked_fill(input == 0, 0) * g * norm ** (1 - ord)
    scale = (g / norm ** (ord - 1)).masked_fill(norm == 0, 0)
    if ord < 2:
        return input.sgn() * size ** (ord - 1) * scale
    return input * size ** (ord - 2) * scale


def _norm_terms(k: Any, input: Any, ord: float, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    if ord == 0:
        return k.sum(k.select(k.compare("ne", input, 0), k.constant(1, input.type), 0))
    if ord == 2:
        return k.sqrt(k.sum(input * input))
    size = k.abs(input)
    return k.sum(size) if ord == 1 else k.max(size) if ord > 0 else k.min(size)


def _is_usual(plan: Any) -> bool:
    (input,), params = plan.operands, plan.params
    return params["ord"] in (0, 1, 2, math.inf, -math.inf) and input.dtype in LOOPED and params["dtype"] is input.dtype


def _norm_space(plan: Any) -> Space | None:
    return row_space(plan.operands[0], plan.params["dims"]) if _is_usual(plan) else None


_vector_norm = Card(
    "vector_norm", "input",
    statics="ord dims keepdim dtype",
    infer=lambda input, ord, dims, keepdim, dtype: contiguous(reduced_shape(input.shape, dims, keepdim), dtype.to_real()),
    numpy=_norm_rule, lowering=Loop(_norm_terms, _norm_space, otherwise=over_other_dims(_norm_terms, fits=_is_usual)), grads={"input": _norm_gradient},
    node_name="LinalgVectorNormBackward0",
)  # fmt: skip


def vector_norm(x: Tensor, ord: float = 2, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The `ord`-norm of `x` as a vector, over `dim` or over everything; any number, `inf` and `-inf` included.

    >>> torch.linalg.vector_norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    if names:
        return by_numpy_names(vector_norm, locals())
    here = as_tensor_argument(x, "linalg_vector_norm", "self")._layout
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {here.dtype.type_name}")
    if dtype is not None:
        if dtype.category < dt.FLOAT:
            raise RuntimeError(f"linalg.vector_norm: dtype should be floating point or complex, but got {dtype.type_name}")
        if dtype.is_complex != here.dtype.is_complex:
            raise RuntimeError(
                f"linalg.vector_norm: dtype should be {'complex for complex' if here.dtype.is_complex else 'real for real'} inputs, but got {'ComplexFloat' if dtype is dt.complex64 else dtype.type_name}"
            )
    dims = reduction_dims(dim, here.ndim)
    ord = float(ord)
    if reduced_count(here.shape, dims) == 0 and (ord < 0 or ord == math.inf):
        named = "inf" if ord == math.inf else f"{ord:g}"
        if dim is None or not any(here.shape[d] for d in dims):
            raise RuntimeError(f"linalg.vector_norm cannot compute the {named} norm on an empty tensor because the operation does not have an identity")
        raise RuntimeError(f"linalg.vector_norm cannot compute the {named} norm on the dimension {next(d for d in dims if not here.shape[d])} because this dimension is empty and the operation does not have an identity")
    found = apply(_vector_norm, (x,), (ord, dims, bool(keepdim), dtype or here.dtype))
    return found if out is None else write_out(out, found, exact=EXACT)


def _matrix_dims(dim: Any) -> tuple[int, int]:
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    return dims[0], dims[1]


def nuclear_norm(input: Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The sum of the singular values of the matrices in `dim`.

    >>> torch.nuclear_norm(torch.eye(2))
    tensor(2.)
    """
    first, second = _matrix_dims((-2, -1) if dim is None else dim)
    ndim = input._layout.ndim
    if ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    first, second = wrap_dim(first, ndim), wrap_dim(second, ndim)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({first}, {second})")
    found = input.movedim((first, second), (-2, -1)).svd().S.sum(-1)
    if keepdim:
        found = found.unsqueeze(min(first, second)).unsqueeze(max(first, second))
    return found if out is None else write_out(out, found)


def frobenius_norm(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The square root of the sum of squares over `dim` (one or two), or over everything.

    >>> torch.frobenius_norm(torch.tensor([[3., 0.], [0., 4.]]), (0, 1))
    tensor(5.)
    """
    return vector_norm(input, 2, dim, keepdim, out=out)


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Tensor | None = None, dtype: dt.dtype | None = None) -> Tensor:
    """The `p`-norm over `dim`, or over everything; `p` may be "fro" (2) or "nuc", the sum of singular values.

    >>> torch.norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    as_tensor_argument(input, "norm")
    if isinstance(p, str):
        if p == "nuc":
            input = input if dtype is None else input.to(dtype)
            return nuclear_norm(input, None if dim is None else dim, keepdim, out=out)
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        if isinstance(dim, (tuple, list)) and len(dim) > 2:
            _matrix_dims(dim)
        p = 2
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype, out=out)


def tensor_norm(self: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: dt.dtype | None = None) -> Tensor:
    """`torch.norm` of this tensor.

    >>> torch.tensor([3.0, 4.0]).norm()
    tensor(5.)
    """
    return norm(self, p, dim, keepdim, dtype=dtype)


tensor_norm.__name__ = "norm"


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The `p`-norm of ``input - other``.

    >>> torch.dist(torch.tensor([1., 2.]), torch.tensor([4., 6.]))
    tensor(5.)
    """
    difference = as_tensor_argument(input, "dist") - as_tensor_argument(other, "dist", "other", 2)
    if difference._layout.dtype.category < dt.FLOAT:
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {difference._layout.dtype.type_name} instead.")
    return titled(vector_norm(difference, p), "DistBackward0")


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """`input` with each slice along `dim` scaled down to a `p`-norm of at most `maxnorm`.

    >>> torch.renorm(torch.tensor([[3., 4.], [0., 1.]]), 2, 0, 1)
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    here = as_tensor_argument(input, "renorm")._layout
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if here.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {here.ndim} dimensions")
    dim = wrap_dim(dim, here.ndim)
    size = vector_norm(input, p, [d for d in range(here.ndim) if d != dim], keepdim=True)
    # PyTorch's guard against division by zero, which keeps the norm just below the bound.
    found = input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0).to(here.dtype)
    return found if out is None else write_out(out, found, exact=EXACT)
