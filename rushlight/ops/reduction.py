"""Sums, means, norms and extrema over dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..errors import sizes
from ..shape import Layout, Shape, can_broadcast_to, contiguous, wrap_dims
from .card import Card, apply
from .define import as_tensor_argument, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor


def reduced_shape(shape: Shape, dims: Shape, keepdim: bool) -> Shape:
    """The shape after reducing `dims` (non-negative)."""
    return tuple(1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims)


def keep_dims(grad: Tensor, layouts: Sequence[Any], dims: Shape, keepdim: bool) -> Tensor:
    """A gradient of a reduction with the reduced dims back as dims of size one."""
    return grad if keepdim else grad.reshape(reduced_shape(layouts[0].shape, dims, True))


_sum = Card(
    "sum", "input",
    statics="dims keepdim dtype",
    infer=lambda input, dims, keepdim, dtype: contiguous(reduced_shape(input.shape, dims, keepdim), dtype),
    numpy=lambda input, dims, keepdim, dtype: np.sum(
        input, axis=dims, keepdims=keepdim, dtype=np.float32 if dtype in dt.LOW_PRECISION else dtype.numpy
    ),
    grads={"input": lambda g, layouts, dims, keepdim: keep_dims(g, layouts, dims, keepdim).expand(layouts[0].shape)},
)  # fmt: skip


def sum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None) -> Tensor:
    """The sum over `dim`, or over everything. Integers and bools sum to int64.

    >>> torch.sum(torch.tensor([[1, 2], [3, 4]]), 0)
    tensor([4, 6])
    """
    here: Layout = as_tensor_argument(input, "sum")._layout
    if dtype is None:
        dtype = here.dtype if here.dtype.category >= dt.FLOAT else dt.int64
    found = apply(_sum, (input,), (wrap_dims(dim, here.ndim), keepdim, dtype))
    return found if out is None else write_out(out, found)


_mean = Card(
    "mean", "input",
    statics="dims keepdim dtype",
    infer=lambda input, dims, keepdim, dtype: contiguous(reduced_shape(input.shape, dims, keepdim), dtype),
    numpy=lambda input, dims, keepdim, dtype: np.true_divide(
        np.sum(input, axis=dims, keepdims=keepdim, dtype=np.float32 if dtype in dt.LOW_PRECISION else dtype.numpy),
        np.float32(_count(input.shape, dims)) if dtype is not dt.float64 else np.float64(_count(input.shape, dims)),
    ),
    grads={
        "input": lambda g, layouts, dims, keepdim: keep_dims(g, layouts, dims, keepdim).expand(layouts[0].shape) / max(1, _count(layouts[0].shape, dims))
    },
)  # fmt: skip


def _count(shape: Shape, dims: Shape) -> int:
    count = 1
    for d in dims:
        count *= shape[d]
    return count


def mean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None) -> Tensor:
    """The mean over `dim`, or over everything. Integers are refused unless a float `dtype` is given.

    >>> torch.mean(torch.tensor([1., 2., 4., 5.]))
    tensor(3.)
    """
    here: Layout = as_tensor_argument(input, "mean")._layout
    if dtype is None:
        dtype = here.dtype
        if dtype.category < dt.FLOAT:
            raise RuntimeError(f"mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {dtype.type_name}")
    elif dtype.category < dt.FLOAT:
        raise RuntimeError(f"mean(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. Got: {dtype.type_name}")
    found = apply(_mean, (input,), (wrap_dims(dim, here.ndim), keepdim, dtype))
    return found if out is None else write_out(out, found)


is_expandable_to = can_broadcast_to


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """`input` summed over the dims that broadcasting from `size` would have made.

    >>> torch.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    shape = input._layout.shape
    wanted = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)
    if not can_broadcast_to(wanted, shape):
        raise RuntimeError(f"size {{{sizes(wanted)}}} is not expandable to size {{{sizes(shape)}}}.")
    lead = len(shape) - len(wanted)
    dims = tuple(range(lead)) + tuple(d + lead for d, n in enumerate(wanted) if n == 1 and shape[d + lead] != 1)
    if not dims:
        return input
    found = sum(input, dims, keepdim=True)
    return found.reshape(wanted) if lead else found
