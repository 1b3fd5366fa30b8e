"""Indexing with brackets: ``x[...]`` and ``x[...] = value``.

An index is walked once: ints, slices, None and Ellipsis make views; tensors, lists and bools become index tensors of
one `index` (or `index_put`) entry over that view. Out-of-range values are refused before anything is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..errors import sizes
from ..shape import Layout, Shape, broadcast_shapes, contiguous
from ..storage import ON_META, TensorBase
from .card import Card, apply, array_of, tensor_of_array, write_into
from .define import NUMBERS
from .views import _select, _unsqueeze, slice_view
from .card import apply_view

if TYPE_CHECKING:
    from ..tensor import Tensor


def check_bounds(index: TensorBase, size: int, dim: int) -> None:
    """Raise PyTorch's IndexError if a value of `index` is outside a dim of `size`."""
    if index._layout.numel == 0 or index._storage.special == ON_META:
        return
    values = array_of(index)
    low, high = int(values.min()), int(values.max())
    if low < -size or high >= size:
        bad = low if low < -size else high
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {size}")


def _indexed_shape(shape: Shape, positions: Shape, indices: Sequence[Layout]) -> Shape:
    try:
        common = broadcast_shapes(*(i.shape for i in indices))
    except RuntimeError:
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {', '.join(sizes(i.shape) for i in indices)}"
        ) from None
    if any(n == 0 for d, n in enumerate(shape) if d in positions) and 0 not in common:
        d = next(d for d in positions if shape[d] == 0)
        raise IndexError(f"index is out of bounds for dimension with size {shape[d]}")
    if list(positions) == list(range(positions[0], positions[0] + len(positions))):
        return (*shape[: positions[0]], *common, *shape[positions[-1] + 1 :])
    return (*common, *(n for d, n in enumerate(shape) if d not in positions))


def _full_index(ndim: int, positions: Shape, indices: Sequence[np.ndarray]) -> tuple[Any, ...]:
    found: list[Any] = [slice(None)] * ndim
    for d, i in zip(positions, indices, strict=True):
        found[d] = i
    return tuple(found)


_index = Card(
    "index", "input indices",
    statics="positions",
    infer=lambda input, *indices, positions: contiguous(_indexed_shape(input.shape, positions, indices), input.dtype),
    numpy=lambda input, *indices, positions: input[_full_index(input.ndim, positions, indices)],
    backward=lambda g, indices, layouts, positions: [_index_backward(g, indices, layouts[0], positions), *[None] * len(indices)],
    variadic=True,
)  # fmt: skip


def _index_backward(g: Tensor, indices: Sequence[Tensor], input: Layout, positions: Shape) -> Tensor:
    from .creation import zeros

    return apply(_index_put, (zeros(input.shape, dtype=g.dtype, device=g.device), g, *indices), (positions, True))


def _infer_index_put(input: Layout, values: Layout, *indices: Layout, positions: Shape, accumulate: bool) -> Layout:
    shape = _indexed_shape(input.shape, positions, indices)
    if broadcast_shapes(shape, values.shape) != shape:
        raise RuntimeError(f"shape mismatch: value tensor of shape {sizes(values.shape)} cannot be broadcast to indexing result of shape {sizes(shape)}")
    if values.dtype is not input.dtype:
        raise RuntimeError(f"Index put requires the source and destination dtypes match, got {input.dtype.type_name} for the destination and {values.dtype.type_name} for the source.")
    return contiguous(input.shape, input.dtype)


def _index_put_rule(input: np.ndarray, values: np.ndarray, *indices: np.ndarray, positions: Shape, accumulate: bool) -> np.ndarray:
    found = np.array(input, order="C")
    where = _full_index(input.ndim, positions, indices)
    if not accumulate:
        found[where] = values
    elif found.dtype.kind == "b":
        np.logical_or.at(found, where, values)
    elif len(indices) == 1 and positions[0] == 0:
        rows = np.broadcast_to(values, (*indices[0].shape, *found.shape[1:]))
        add_along(found, indices[0].reshape(-1), rows.reshape(-1, *found.shape[1:]))
    else:
        np.add.at(found, where, values)
    return found


def add_along(target: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """``target[index] += values`` with repeats adding up in the order of `index`, which is flat.

    Sorted runs and one `reduceat` are many times as fast as `np.add.at` where rows are wide or many.
    """
    if index.size == 0:
        return
    if target.dtype.kind == "b":
        np.logical_or.at(target, index, values)
        return
    index = np.where(index < 0, index + target.shape[0], index)
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    wide = np.float32 if target.dtype.itemsize == 2 and target.dtype.kind not in "iu" else target.dtype
    sums = np.add.reduceat(values[order], starts, axis=0, dtype=wide) if starts.size < index.size else values[order]
    target[ordered[starts]] = (target[ordered[starts]] + sums).astype(target.dtype)


def _index_put_backward(g: Tensor, indices: Sequence[Tensor], layouts: Sequence[Layout], positions: Shape, accumulate: bool, needs: tuple[bool, ...]) -> list[Any]:
    from .creation import zeros

    through = None
    if needs[0]:
        through = g if accumulate else apply(_index_put, (g, zeros((), dtype=g.dtype), *indices), (positions, False))
    values = apply(_index, (g, *indices), (positions,)) if needs[1] else None
    return [through, values, *[None] * len(indices)]


_index_put = Card(
    "index_put", "input values indices",
    statics="positions accumulate",
    infer=_infer_index_put, numpy=_index_put_rule, backward=_index_put_backward,
    variadic=True,
)  # fmt: skip


# Walking an index


def _is_index_list(value: Any) -> bool:
    return isinstance(value, (list, np.ndarray)) or (hasattr(value, "__array__") and not isinstance(value, (TensorBase, np.generic)))


def _is_int(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, np.integer)) or (
        isinstance(value, TensorBase) and value._layout.ndim == 0 and value._layout.dtype.category == dt.INTEGER and value._layout.dtype is not dt.uint8
    )


def _entries(index: Any) -> tuple[Any, ...]:
    """The index as a tuple, with PyTorch's treatment of a list of slices or lists as a tuple."""
    if isinstance(index, tuple):
        return index
    return (index,)


def _dims_taken(entry: Any) -> int:
    if entry is None or entry is Ellipsis or isinstance(entry, (bool, np.bool_)):
        return 0
    if isinstance(entry, TensorBase) and entry._layout.dtype in (dt.bool_, dt.uint8):
        return entry._layout.ndim
    return 1


def _as_index(value: Any) -> Any:
    """A list or array in an index as a tensor."""
    if isinstance(value, TensorBase):
        return value
    if isinstance(value, np.ndarray):
        return tensor_of_array(value)
    from .creation import tensor

    found = tensor(value) if len(value) else tensor(value, dtype=dt.int64)
    return found


def _bool_expansion(mask: TensorBase, shape: Shape, dim: int) -> list[Tensor]:
    """One int64 index per dim of a bool mask."""
    for d, n in enumerate(mask._layout.shape):
        if n != shape[dim + d]:
            raise IndexError(f"The shape of the mask {sizes(mask._layout.shape)} at index {d} does not match the shape of the indexed tensor {sizes(shape)} at index {dim + d}")
    return [tensor_of_array(a) for a in np.nonzero(array_of(mask))]


def walk(input: Tensor, index: Any) -> tuple[Any, list[int], list[Tensor]]:
    """The view that the basic part of an index makes, and the positions and tensors of the advanced part."""
    entries = tuple(_as_index(e) if _is_index_list(e) else e for e in _entries(index))
    taken = sum(map(_dims_taken, entries))
    ndim = input._layout.ndim
    if taken > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    view: Any = input
    dim = 0
    positions: list[int] = []
    indices: list[Tensor] = []
    for entry in entries:
        if entry is Ellipsis:
            dim += ndim - taken
        elif entry is None:
            view = apply_view(_unsqueeze, view, (dim,))
            dim += 1
        elif isinstance(entry, slice):
            bounds = [b if b is None or type(b) is int else b.__index__() for b in (entry.start, entry.stop, entry.step)]
            if bounds != [None, None, None]:
                view = slice_view(view, dim, *bounds)
            elif not view._layout.ndim:
                raise IndexError("slice() cannot be applied to a 0-dim tensor.")
            dim += 1
        elif isinstance(entry, (bool, np.bool_)):
            view = apply_view(_unsqueeze, view, (dim,))
            positions.append(dim)
            indices.append(tensor_of_array(np.zeros(1 if entry else 0, np.int64)))
            dim += 1
        elif _is_int(entry):
            n = int(entry)
            size = view._layout.shape[dim]
            if not -size <= n < size:
                raise IndexError(f"index {n} is out of bounds for dimension {dim} with size {size}")
            view = apply_view(_select, view, (dim, n + size if n < 0 else n))
        elif isinstance(entry, TensorBase):
            if entry._layout.dtype in (dt.bool_, dt.uint8):
                if entry._layout.dtype is dt.uint8:
                    import warnings

                    warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.", stacklevel=4)
                if entry._layout.ndim == 0:
                    view = apply_view(_unsqueeze, view, (dim,))
                    positions.append(dim)
                    indices.append(tensor_of_array(np.zeros(1 if bool(array_of(entry)) else 0, np.int64)))
                    dim += 1
                else:
                    for n, found in enumerate(_bool_expansion(entry, view._layout.shape, dim)):
                        positions.append(dim + n)
                        indices.append(found)
                    dim += entry._layout.ndim
            else:
                if entry._layout.dtype.category != dt.INTEGER:
                    raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
                check_bounds(entry, view._layout.shape[dim], dim)
                positions.append(dim)
                indices.append(entry)  # type: ignore[arg-type]
                dim += 1
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                f"(got {type(entry).__name__})" if not isinstance(entry, str) else "too many indices for tensor"
            )
    return view, positions, indices


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for ints, slices, None and Ellipsis; a copy where tensors, lists or masks take part."""
    if type(index) is int:
        shape = input._layout.shape
        if not shape:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
        if not -shape[0] <= index < shape[0]:
            raise IndexError(f"index {index} is out of bounds for dimension 0 with size {shape[0]}")
        return apply_view(_select, input, (0, index + shape[0] if index < 0 else index))
    view, positions, indices = walk(input, index)
    if indices:
        return apply(_index, (view, *indices), (tuple(positions),))
    if view is input:
        return slice_view(input, 0, None, None) if input._layout.ndim else _whole(input)
    return view


def _whole(input: Tensor) -> Tensor:
    return input.view(())


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, broadcast and cast, through views as well."""
    if isinstance(index, TensorBase) and index._layout.dtype is dt.bool_ and type(value) in NUMBERS and index._layout.shape == input._layout.shape:
        input.masked_fill_(index, value)
        return
    view, positions, indices = walk(input, index)
    if not isinstance(value, TensorBase):
        from .creation import tensor

        value = tensor(value, dtype=input._layout.dtype) if type(value) in NUMBERS else tensor(value)
    if not indices:
        shape, target = value._layout.shape, view._layout.shape
        if shape != target:
            # Leading dims of size one of the value do not count.
            while len(shape) > len(target) and shape[0] == 1:
                shape = shape[1:]
            if shape != value._layout.shape:
                value = value.reshape(shape)
        view.copy_(value)
        return
    if value._layout.dtype is not input._layout.dtype:
        value = value.to(input._layout.dtype)
    shape = _indexed_shape(view._layout.shape, tuple(positions), [i._layout for i in indices])
    have = value._layout.shape
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    if have != value._layout.shape:
        value = value.reshape(have)
    write_into(_index_put, view, (view, value, *indices), (tuple(positions), False))


def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `values` written, or added, at the positions that the index tensors name.

    >>> torch.index_put(torch.zeros(3), [torch.tensor([0, 0])], torch.tensor([1., 2.]), accumulate=True)
    tensor([3., 0., 0.])
    """
    view, positions, found = walk(input, tuple(slice(None) if i is None else i for i in indices))
    return apply(_index_put, (view, values, *found), (tuple(positions), bool(accumulate)))
