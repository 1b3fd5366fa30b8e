"""The order of values along a dim, and what is found by it: medians, modes, the k-th and the top k.

nan counts as the largest value, except in `nanmedian`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, return_types
from ..engine import selection
from ..engine.lowering import AS_FLOAT, Calls
from ..shape import Layout, Shape, contiguous, wrap_dim
from ..storage import TensorBase
from . import tie_order
from .card import Card, apply
from .define import EXACT, as_tensor_argument, by_numpy_names, write_out
from .extrema import (
    SMALL,
    apply_selection,
    over_all_card,
    put_at_indices,
    refuse_complex,
    refuse_empty_dim,
    selection_card,
    with_a_dim,
)

if TYPE_CHECKING:
    from ..tensor import Tensor

#: Below this many elements NumPy's own argsort is quicker.
_FEW = 1 << 10


def ranks(slices: np.ndarray, axis: int, descending: bool, *, stable: bool) -> np.ndarray:
    """The indices that sort along `axis`; nan counts as the largest. If not `stable`, equal values are ordered as `std::sort` does."""
    size = slices.shape[axis]
    bits = max(size - 1, 1).bit_length()
    packed = _packed(np.moveaxis(slices, axis, -1), bits, descending) if slices.size >= _FEW else None
    # Up to 16 values std::sort is an insertion sort, which is stable.
    stable = stable or size <= 16
    if packed is None:
        order = _argsort(slices, axis, descending)
        return order if stable else tie_order.with_ties_placed(slices, order, axis, tie_order.sort)
    packed.sort(-1)
    order = packed & ((1 << bits) - 1)
    if not stable and size <= tie_order.AT_MOST:
        order = tie_order.placed(order, (packed[..., 1:] ^ packed[..., :-1]) >> bits == 0, tie_order.sort)
    return np.moveaxis(order, -1, axis)


def _argsort(slices: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    if descending:
        backwards = np.flip(np.argsort(np.flip(slices, axis), axis, kind="stable"), axis)
        return slices.shape[axis] - 1 - backwards
    return np.argsort(slices, axis, kind="stable")


def _packed(rows: np.ndarray, bits: int, descending: bool) -> np.ndarray | None:
    """Integers ordered as the values of each row, and by place where these are equal: the place is in the lowest `bits`.

    Sorting them takes a fraction of the time of an argsort. None where both do not fit into 64 bits.
    """
    keys = _keys(rows)
    if keys is None:
        return None
    if rows.dtype.kind in "iu" and rows.dtype.itemsize == 8:
        least, largest = int(keys.min()), int(keys.max())
        if largest - least >= 1 << (63 - bits):
            return None
        keys -= least
    if descending:
        np.invert(keys, out=keys)
    keys <<= bits
    keys |= np.arange(rows.shape[-1])
    return keys


def _keys(values: np.ndarray) -> np.ndarray | None:
    """New int64 values in the order of `values`, equal where these are. None for float64, and for short integers, which NumPy sorts by radix."""
    kind, width = values.dtype.kind, values.dtype.itemsize
    if kind in "biu":
        return values.astype(np.int64, order="C") if width >= 4 and values.dtype != np.uint64 else None
    if kind == "c" or width == 8:
        return None
    single = values.astype(np.float32, order="C")
    single += 0  # -0 becomes 0
    missing = np.isnan(single)
    bits = single.view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    bits[missing] = 0x7FFFFFFF
    return bits.astype(np.int64)


# Medians, modes and the k-th


def _median_of(flat: np.ndarray, size: int) -> Any:
    """The lower median of the first `size` values in sorted order (nan sorts last)."""
    if not size:
        return np.nan if flat.dtype.kind == "f" else np.iinfo(flat.dtype).min
    return np.partition(flat, (size - 1) // 2)[(size - 1) // 2]


def _median_rule(input: np.ndarray) -> Any:
    flat = input.reshape(-1)
    return np.nan if flat.dtype.kind == "f" and np.isnan(flat).any() else _median_of(flat, flat.size)


def _nanmedian_rule(input: np.ndarray) -> Any:
    flat = input.reshape(-1)
    return _median_of(flat, flat.size - int(np.isnan(flat).sum()) if flat.dtype.kind == "f" else flat.size)


_median_all = over_all_card("median_all", "MedianBackward0", _median_rule)
_nanmedian_all = over_all_card("nanmedian_all", "NanmedianBackward0", _nanmedian_rule)


def _choose_rank(slices: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """The index of the value that a stable sort would put at `rank`, found by selection."""
    if slices.size <= SMALL:
        return np.take(np.argsort(slices, axis, kind="stable"), [rank], axis)
    value = np.take(np.partition(slices, rank, axis), [rank], axis)
    equal = (slices == value) | ((slices != slices) & (value != value))
    before = ((slices < value) | ((slices == slices) & (value != value))).sum(axis, keepdims=True)
    return (np.cumsum(equal, axis) > rank - before).argmax(axis, keepdims=True)


def _choose_kth(slices: np.ndarray, axis: int, k: int) -> np.ndarray:
    if slices.size > tie_order.AT_MOST:
        return _choose_rank(slices, axis, k - 1)
    order = tie_order.with_ties_placed(slices, np.argsort(slices, axis, kind="stable"), axis, lambda items: tie_order.quickselect(items, k - 1))
    return np.take(order, [k - 1], axis)


def _choose_median(slices: np.ndarray, axis: int) -> np.ndarray:
    middle = _choose_rank(slices, axis, (slices.shape[axis] - 1) // 2)
    if slices.dtype.kind != "f":
        return middle
    missing = np.isnan(slices)
    return np.where(missing.any(axis, keepdims=True), missing.argmax(axis, keepdims=True), middle)


def _choose_nanmedian(slices: np.ndarray, axis: int) -> np.ndarray:
    if slices.dtype.kind != "f":
        return _choose_median(slices, axis)
    present = slices.shape[axis] - np.isnan(slices).sum(axis, keepdims=True)
    return np.take_along_axis(ranks(slices, axis, False, stable=True), np.maximum(present - 1, 0) // 2, axis)


def _choose_mode(slices: np.ndarray, axis: int) -> np.ndarray:
    """The index of the last of the most frequent values, the smallest of those that are equally frequent."""
    order = ranks(slices, axis, False, stable=False)
    ordered = np.moveaxis(np.take_along_axis(slices, order, axis), axis, -1)
    positions = np.arange(ordered.shape[-1])
    starts = np.zeros(ordered.shape, np.int64)
    starts[..., 1:] = np.where(ordered[..., 1:] != ordered[..., :-1], positions[1:], 0)
    run = positions - np.maximum.accumulate(starts, -1)
    return np.take_along_axis(order, np.expand_dims(run.argmax(-1), axis), axis)


_median_dim = selection_card("median_dim", "MedianBackward1", _choose_median)
_nanmedian_dim = selection_card("nanmedian_dim", "NanmedianBackward1", _choose_nanmedian)
_mode = selection_card("mode", "ModeBackward0", _choose_mode)
_kthvalue = selection_card("kthvalue", "KthvalueBackward0", _choose_kth, "k")


def _median(function: str, card: Card, over_all: Card, result: Any, input: Tensor, dim: int | None, keepdim: bool, out: Any) -> Any:
    here = as_tensor_argument(input, function)._layout
    if here.dtype.category in (dt.BOOL, dt.COMPLEX):
        raise NotImplementedError(f"\"median_{'cpu' if dim is None else 'out'}\" not implemented for '{here.dtype.type_name}'")
    if dim is None:
        return apply(over_all, (input,))
    return apply_selection(card, result, input, dim, keepdim, out, function="median")


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None, **names: Any) -> Any:
    """The lower median; with `dim`, along it and with its index. nan if there is one.

    >>> torch.median(torch.tensor([4., 1., 3., 2.]))
    tensor(2.)
    """
    if names:
        return by_numpy_names(median, locals())
    return _median("median", _median_dim, _median_all, return_types.median, input, dim, keepdim, out)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None, **names: Any) -> Any:
    """The lower median of the values that are not nan.

    >>> torch.nanmedian(torch.tensor([3., float("nan"), 1.]))
    tensor(1.)
    """
    if names:
        return by_numpy_names(nanmedian, locals())
    return _median("nanmedian", _nanmedian_dim, _nanmedian_all, return_types.nanmedian, input, dim, keepdim, out)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None, **names: Any) -> Any:
    """The most frequent value along `dim`, the smallest of equally frequent ones, and the index of one of them.

    >>> torch.mode(torch.tensor([2, 3, 3, 2, 1])).values
    tensor(2)
    """
    if names:
        return by_numpy_names(mode, locals())
    refuse_complex(as_tensor_argument(input, "mode")._layout, "mode_cpu")
    return apply_selection(_mode, return_types.mode, input, dim, keepdim, out)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None, **names: Any) -> Any:
    """The `k`-th smallest value along `dim` (from 1) and its index.

    >>> torch.kthvalue(torch.tensor([5, 1, 3]), 2).values
    tensor(3)
    """
    if names:
        return by_numpy_names(kthvalue, locals())
    here = as_tensor_argument(input, "kthvalue")._layout
    if here.dtype.category in (dt.BOOL, dt.COMPLEX):
        raise NotImplementedError(f"\"kthvalue_cpu\" not implemented for '{here.dtype.type_name}'")
    if out is not None and out[0]._storage is input._storage:
        raise RuntimeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
        )
    wrapped = wrap_dim(dim, here.ndim)
    refuse_empty_dim("kthvalue():", here.shape, wrapped)
    size = here.shape[wrapped] if here.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {wrapped}")
    return apply_selection(_kthvalue, return_types.kthvalue, input, dim, keepdim, out, extra=(k,))


# The top k


def _topk_shape(input: Any, k: int, dim: int) -> Shape:
    return (*input.shape[:dim], k, *input.shape[dim + 1 :]) if input.ndim else ()


def _infer_topk(input: Layout, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Layout, Layout]:
    shape = _topk_shape(input, k, dim)
    return contiguous(shape, input.dtype), contiguous(shape, dt.int64)


def _choose_top(slices: np.ndarray, k: int, dim: int, largest: bool, sorted: bool) -> np.ndarray:
    size = slices.shape[dim]
    if slices.size > tie_order.AT_MOST and k < size:
        places = np.argpartition(slices, size - k if largest else k, dim)
        chosen = np.sort(np.take(places, range(size - k, size) if largest else range(k), dim), dim)
        order = ranks(np.take_along_axis(slices, chosen, dim), dim, largest, stable=True)
        return np.take_along_axis(chosen, order, dim)
    if sorted and (known := selection.places_of_distinct(slices, k, dim, largest)) is not None:
        return known
    order = ranks(slices, dim, largest, stable=True)
    order = tie_order.with_ties_placed(slices, order, dim, lambda items: tie_order.top(items, k, sorted), every=not sorted, first=k if sorted else size)
    return np.take(order, range(k), dim)


def _topk_rule(input: np.ndarray, k: int, dim: int, largest: bool, sorted: bool) -> tuple[np.ndarray, np.ndarray]:
    slices = with_a_dim(input)
    indices = _choose_top(slices, k, dim, largest, sorted)
    shape = _topk_shape(input, k, dim)
    return np.take_along_axis(slices, indices, dim).reshape(shape), indices.reshape(shape)


_topk = Card(
    "topk", "input",
    statics="k dim largest sorted", outputs="values indices",
    infer=_infer_topk, numpy=_topk_rule, grads={"input": put_at_indices},
    differentiable=(0,), onnx="TopK", lowering=Calls(lambda plan: selection.top(plan, tie_order.AT_MOST), half=AS_FLOAT),
)  # fmt: skip


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None, **names: Any) -> Any:
    """The `k` largest (or smallest) values along `dim` and their indices; if not `sorted`, in no particular order.

    >>> torch.topk(torch.tensor([1, 5, 3]), 2)
    torch.return_types.topk(
    values=tensor([5, 3]),
    indices=tensor([1, 2]))
    """
    if names:
        return by_numpy_names(topk, locals())
    here = as_tensor_argument(input, "topk")._layout
    dim = wrap_dim(dim, here.ndim)
    if isinstance(k, TensorBase):
        k = k.item()  # type: ignore[attr-defined]
    if not 0 <= k <= (here.shape[dim] if here.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if here.dtype.is_complex:
        raise RuntimeError(" topk does not support complex dtypes on CPU")
    if here.dtype is dt.bool_:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    found = return_types.topk(apply(_topk, (input,), (k, dim, bool(largest), bool(sorted))))
    return found if out is None else write_out(out, found, exact=EXACT)
