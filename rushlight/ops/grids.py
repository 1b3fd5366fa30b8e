"""Grids, products and combinations of tensors of one dim; matrices put together along the diagonal."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..errors import sizes
from .combine import cat, stack, tuple_of_tensors
from .define import as_tensor_argument

if TYPE_CHECKING:
    from ..tensor import Tensor


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Views of vectors over the grid that they span: rows first ("ij") or columns first ("xy").

    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), indexing="ij")[0]
    tensor([[1],
            [2]])
    """
    vectors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for v in tuple_of_tensors(vectors, "meshgrid"):
        if v._layout.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {v}")
        if v._layout.dtype is not vectors[0]._layout.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing is None:
        import warnings

        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=2)
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(vectors) > 1
    order = (vectors[1], vectors[0], *vectors[2:]) if swap else vectors
    shape = tuple(v.numel() for v in order)
    grids = [v.reshape([-1 if m == n else 1 for m in range(len(order))]).expand(shape) for n, v in enumerate(order)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each.

    >>> torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3]))
    tensor([[1, 3],
            [2, 3]])
    """
    for t in tuple_of_tensors(tensors, "cartesian_prod"):
        if t._layout.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector in order, a row each.

    >>> torch.combinations(torch.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    as_tensor_argument(input, "combinations")
    from .creation import empty
    from .from_data import tensor

    if input._layout.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {sizes(input._layout.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return empty(0, dtype=input.dtype)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input._layout.numel), r)), np.int64).reshape(-1, r)
    return input.index_select(0, tensor(rows.reshape(-1))).reshape(rows.shape)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given ones along its diagonal.

    >>> torch.block_diag(torch.tensor([[1]]), torch.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]])
    """
    from .creation import zeros

    blocks = [t if t.dim() == 2 else t.reshape(1, -1) for t in tuple_of_tensors(tensors, "block_diag")]
    for n, t in enumerate(tensors):
        if t.dim() > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {n} has {t.dim()} dimensions")
    if not blocks:
        return zeros(1, 0)
    dtype = blocks[0].dtype
    for b in blocks[1:]:
        dtype = dt.promote(dtype, b.dtype)
    width = sum(b.shape[1] for b in blocks)
    rows, start = [], 0
    for b in blocks:
        left = zeros(b.shape[0], start, dtype=dtype)
        right = zeros(b.shape[0], width - start - b.shape[1], dtype=dtype)
        rows.append(cat([left, b, right], 1))
        start += b.shape[1]
    return cat(rows, 0)
