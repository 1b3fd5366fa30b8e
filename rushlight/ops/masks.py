"""Reading and writing by masks, and where values are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop
from ..errors import sizes
from ..shape import Layout, broadcast_shapes, can_broadcast_to, contiguous, is_injective
from ..storage import ON_META, TensorBase
from .card import Card, apply, array_of, write_into
from .define import as_operand, as_tensor_argument, write_out
from .index import nonzero_places
from .overlapping import memory_of, warn_of_expanded
from .scalars import C_NAMES, fitting
from .scatter import in_place_disjoint, zeros_of

if TYPE_CHECKING:
    from ..tensor import Tensor


# Masks


def _check_mask(mask: TensorBase, function: str) -> None:
    if mask._layout.dtype is not dt.bool_:
        raise RuntimeError(
            f"{function} only supports boolean masks, but got mask with dtype {dt.c_name(mask._layout.dtype) if function == 'masked_fill_' else mask._layout.dtype.type_name}"
            if function != "masked_select"
            else "masked_select: expected BoolTensor for mask"
        )


def _infer_masked_fill(input: Layout, mask: Layout, value: Any) -> Layout:
    return contiguous(broadcast_shapes(input.shape, mask.shape), input.dtype)


_masked_fill = Card(
    "masked_fill", "input mask value",
    infer=_infer_masked_fill,
    numpy=lambda input, mask, value: np.where(mask, np.asarray(value).astype(input.dtype), input),
    lowering=Loop(lambda k, input, mask, value: k.select(mask, k.convert(value, input.type), input)),
    grads={
        "input": lambda g, mask: g.masked_fill(mask, 0),
        "value": lambda g, mask: g.masked_fill(~mask, 0).sum(),
    },
)  # fmt: skip


def _mask_value(input: TensorBase, value: Any) -> Any:
    if isinstance(value, TensorBase):
        if value._layout.ndim:
            raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._layout.ndim} dimension(s).")
        if value._layout.dtype.category > input._layout.dtype.category:
            raise RuntimeError(f"value cannot be converted to type {C_NAMES.get(input._layout.dtype, input._layout.dtype.name)} without overflow")
        return value
    return fitting(as_operand(value, "masked_fill", "value", 3), input._layout.dtype, half_overflows=True)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value` where `mask` holds.

    >>> torch.masked_fill(torch.tensor([1, 2]), torch.tensor([True, False]), 9)
    tensor([9, 2])
    """
    as_tensor_argument(input, "masked_fill")
    _check_mask(as_tensor_argument(mask, "masked_fill", "mask", 2), "masked_fill_")
    return apply(_masked_fill, (input, mask, _mask_value(input, value)))


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """In-place version of `masked_fill`."""
    _check_mask(as_tensor_argument(mask, "masked_fill_", "mask", 1), "masked_fill_")
    if not can_broadcast_to(mask._layout.shape, self._layout.shape):
        broadcast_shapes(self._layout.shape, mask._layout.shape)
        raise RuntimeError(f"output with shape {sizes(self._layout.shape)} doesn't match the broadcast shape {sizes(broadcast_shapes(self._layout.shape, mask._layout.shape))}")
    if not is_injective(self._layout.shape, self._layout.stride):
        warn_of_expanded(self, "masked_fill_")
        memory, places = memory_of(self)
        memory.index_fill_(0, places.masked_select(mask), _mask_value(self, value))
        return self
    return write_into(_masked_fill, self, (self, mask, _mask_value(self, value)))


def _masked_select_rule(input: np.ndarray, mask: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(input.shape, mask.shape)
    where = np.flatnonzero(np.broadcast_to(mask, shape))  # much quicker than a mask as an index
    return np.broadcast_to(input, shape).reshape(-1)[where]


_masked_select = Card(
    "masked_select", "input mask",
    numpy=_masked_select_rule,
    grads={"input": lambda g, mask, layouts: zeros_of(contiguous(broadcast_shapes(layouts[0].shape, layouts[1].shape), layouts[0].dtype), g).masked_scatter(mask, g)},
)  # fmt: skip


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where `mask` holds, in order, as one dim.

    >>> torch.masked_select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    as_tensor_argument(input, "masked_select")
    as_tensor_argument(mask, "masked_select", "mask", 2)
    _check_mask(mask, "masked_select")
    found = apply(_masked_select, (input, mask))
    return found if out is None else write_out(out, found, input, mask, disjoint=True, exact="masked_select(): self and result must have the same scalar type")


def _masked_scatter_rule(input: np.ndarray, mask: np.ndarray, source: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(input.shape, mask.shape)
    found = np.array(np.broadcast_to(input, shape), order="C")
    where = np.flatnonzero(np.broadcast_to(mask, shape))
    found.reshape(-1)[where] = source.reshape(-1)[: where.size]
    return found


def _masked_scatter_source(g: Tensor, mask: Tensor, layouts: Any) -> Tensor:
    taken = g.masked_select(mask)
    flat = zeros_of(contiguous((layouts[2].numel,), layouts[2].dtype), g)
    flat.narrow(0, 0, taken.numel()).copy_(taken)
    return flat.reshape(layouts[2].shape)


_masked_scatter = Card(
    "masked_scatter", "input mask source",
    infer=lambda input, mask, source: _infer_masked_fill(input, mask, None),
    numpy=_masked_scatter_rule,
    grads={"input": lambda g, mask: g.masked_fill(mask, 0), "source": _masked_scatter_source},
)  # fmt: skip


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements of `source`, in order, where `mask` holds.

    >>> torch.masked_scatter(torch.zeros(3), torch.tensor([True, False, True]), torch.tensor([1., 2.]))
    tensor([1., 0., 2.])
    """
    as_tensor_argument(input, "masked_scatter")
    as_tensor_argument(mask, "masked_scatter", "mask", 2)
    as_tensor_argument(source, "masked_scatter", "source", 3)
    _check_mask(mask, "masked_scatter_")
    if source._layout.dtype is not input._layout.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{input._layout.dtype.type_name} and {source._layout.dtype.type_name}")
    if mask._storage.special != ON_META:
        wanted = np.count_nonzero(np.broadcast_to(array_of(mask), broadcast_shapes(input._layout.shape, mask._layout.shape)))
        if wanted > source._layout.numel:
            raise RuntimeError("Number of elements of source < number of ones in mask")
    return apply(_masked_scatter, (input, mask, source))


masked_scatter_ = in_place_disjoint(masked_scatter)


# Where values are


_nonzero = Card("nonzero", "input", numpy=lambda input: nonzero_places(input) if input.ndim else np.zeros((0, int(bool(input))), np.int64))


def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: a row each, or with `as_tuple` one tensor per dim.

    >>> torch.nonzero(torch.tensor([0, 3, 5]))
    tensor([[1],
            [2]])
    """
    as_tensor_argument(input, "nonzero")
    if as_tuple:
        if not input._layout.ndim:
            return nonzero(input.unsqueeze(0), as_tuple=True)
        return nonzero(input).unbind(1)
    found = apply(_nonzero, (input,)).t()  # PyTorch, too, writes them dim by dim
    found._base = None
    return found if out is None else write_out(out, found, exact="nonzero: Expected out tensor to have scalar type {want} but got scalar type{have}")


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """`nonzero` cut or filled up to `size` rows.

    >>> torch.nonzero_static(torch.tensor([0, 3]), size=2)
    tensor([[ 1],
            [-1]])
    """
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    from .combine import cat
    from .creation import full

    rows = nonzero(input)[:size]
    missing = size - rows.shape[0]
    found = cat([rows, full((missing, input._layout.ndim), fill_value, dtype=dt.int64)]) if missing else rows
    return found if out is None else write_out(out, found)


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, a row each.

    >>> torch.argwhere(torch.tensor([[1, 0]]))
    tensor([[0, 0]])
    """
    return nonzero(input)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Flat indices into `shape` as one index tensor per dim.

    >>> torch.unravel_index(torch.tensor([3]), (2, 2))
    (tensor([1]), tensor([1]))
    """
    from .from_data import tensor

    if indices._layout.dtype.category != dt.INTEGER:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not isinstance(shape, (int, tuple, list)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in wanted:
        if not isinstance(n, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(n)}")
    if any(n < 0 for n in wanted):
        raise ValueError(f"'shape' cannot have negative values, but got {wanted}")
    steps = [math.prod(wanted[d + 1 :]) for d in range(len(wanted))]
    places = indices.unsqueeze(-1).floor_divide(tensor(steps, dtype=dt.int64)) % tensor(wanted, dtype=dt.int64)
    return places.unbind(-1)

