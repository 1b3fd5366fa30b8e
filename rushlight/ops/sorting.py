"""Sorting, and what needs sorted values: distinct elements, places in sorted sequences, membership."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from .. import return_types
from ..shape import Layout, layout, preserved_strides, wrap_dim
from ..storage import TensorBase
from .card import Card, apply
from .define import as_tensor_argument, write_out
from .extrema import put_at_indices, ranks, with_a_dim

if TYPE_CHECKING:
    from ..tensor import Tensor


def _infer_sort(input: Layout, dim: int, descending: bool) -> tuple[Layout, Layout]:
    stride = preserved_strides(input.shape, input.stride)
    return layout(input.shape, stride, input.dtype), layout(input.shape, stride, dt.int64)


def _sort_rule(input: np.ndarray, dim: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    slices = with_a_dim(input)
    indices = ranks(slices, dim, descending)
    return np.take_along_axis(slices, indices, dim).reshape(input.shape), indices.reshape(input.shape)


_sort = Card(
    "sort", "input",
    statics="dim descending", outputs="values indices",
    infer=_infer_sort, numpy=_sort_rule, grads={"input": put_at_indices},
    differentiable=(0,),
)  # fmt: skip


def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False, out: Any = None) -> Any:
    """The values along `dim` in order and their indices. nan counts as the largest; equal values keep their order.

    >>> torch.sort(torch.tensor([3, 1, 2]))
    torch.return_types.sort(
    values=tensor([1, 2, 3]),
    indices=tensor([1, 2, 0]))
    """
    here = as_tensor_argument(input, "sort")._layout
    if here.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    found = return_types.sort(apply(_sort, (input,), (wrap_dim(dim, here.ndim), bool(descending))))
    return found if out is None else write_out(out, found)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """The indices that sort `input` along `dim`.

    >>> torch.argsort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending, stable=stable).indices


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The values along the first dim in order.

    >>> torch.msort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 3])
    """
    found = sort(input, 0, stable=True).values
    return found if out is None else write_out(out, found)
