"""Sorting, and what needs sorted values: distinct elements, places in sorted sequences, membership."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, return_types
from ..engine import search
from ..errors import sizes
from ..shape import Layout, contiguous, layout, preserved_strides, wrap_dim
from ..storage import TensorBase
from .card import Card, apply, array_of
from .define import EXACT, as_operand, as_tensor_argument, by_numpy_names, write_out
from .extrema import put_at_indices, refuse_complex, with_a_dim
from .ranks import ranks
from .reduction import widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def _infer_sort(input: Layout, dim: int, descending: bool, stable: bool) -> tuple[Layout, Layout]:
    stride = preserved_strides(input.shape, input.stride)
    return layout(input.shape, stride, input.dtype), layout(input.shape, stride, dt.int64)


def _sort_rule(input: np.ndarray, dim: int, descending: bool, stable: bool) -> tuple[np.ndarray, np.ndarray]:
    slices = with_a_dim(input)
    indices = ranks(slices, dim, descending, stable=stable)
    return np.take_along_axis(slices, indices, dim).reshape(input.shape), indices.reshape(input.shape)


_sort = Card(
    "sort", "input",
    statics="dim descending stable", outputs="values indices",
    infer=_infer_sort, numpy=_sort_rule, grads={"input": put_at_indices},
    differentiable=(0,),
)  # fmt: skip


def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False, out: Any = None, **names: Any) -> Any:
    """The values along `dim` in order and their indices; nan counts as the largest. With `stable` equal values keep their order.

    >>> torch.sort(torch.tensor([3, 1, 2]))
    torch.return_types.sort(
    values=tensor([1, 2, 3]),
    indices=tensor([1, 2, 0]))
    """
    if names:
        return by_numpy_names(sort, locals())
    here = as_tensor_argument(input, "sort")._layout
    if here.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    found = return_types.sort(apply(_sort, (input,), (wrap_dim(dim, here.ndim), bool(descending), bool(stable))))
    return found if out is None else write_out(out, found, exact=EXACT)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False, **names: Any) -> Tensor:
    """The indices that sort `input` along `dim`.

    >>> torch.argsort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    if names:
        return by_numpy_names(argsort, locals())
    return sort(input, dim, descending, stable=stable).indices


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The values along the first dim in order.

    >>> torch.msort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 3])
    """
    found = sort(input, 0, stable=True).values
    return found if out is None else write_out(out, found, exact=EXACT)


# Distinct elements


def _along_rows(input: np.ndarray, dim: int | None) -> np.ndarray:
    """The elements to compare: all of them, or the slices along `dim` as rows."""
    return input.reshape(-1) if dim is None else np.moveaxis(input, dim, 0).reshape(input.shape[dim], -1)


def _distinct_result(input: np.ndarray, dim: int | None, rows: np.ndarray, firsts: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(values, inverse, counts)``, given the index of one row of each group and the group of each row."""
    values = rows[firsts] if dim is None else np.take(input, firsts, dim)
    inverse = group.reshape(input.shape if dim is None else -1)
    return values, inverse.astype(np.int64), np.bincount(group.reshape(-1), minlength=len(firsts)).astype(np.int64)


def _groups(ordered: np.ndarray) -> np.ndarray:
    """Which of the rows start a run of equal ones."""
    changes = ordered[1:] != ordered[:-1]
    return np.concatenate([np.ones(min(1, len(ordered)), bool), changes if changes.ndim == 1 else changes.any(1)])


_NO_PLACES = np.zeros(0, np.int64)


def _unique_rule(input: np.ndarray, dim: int | None, inverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inverse is left empty where it is not wanted, if it would take time."""
    rows = _along_rows(widened(input), dim)
    if dim is None:
        if rows.dtype.kind in "biu" and len(rows):
            least, largest = int(rows.min()), int(rows.max())
            if largest - least <= len(rows):
                return _unique_by_counting(input, rows, least, inverse)
        ordered = np.sort(rows)
        firsts = np.flatnonzero(_groups(ordered))
        values = ordered[firsts]
        places = search.places(values, rows, right=False).reshape(input.shape) if inverse else _NO_PLACES
        return values.astype(input.dtype), places, np.diff(firsts, append=len(rows))
    order = np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(len(rows))
    starts = _groups(rows[order])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(starts) - 1
    return _distinct_result(input, dim, rows, order[starts], group)


def _unique_by_counting(input: np.ndarray, rows: np.ndarray, least: int, inverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_unique_rule` for integers of a small range, of which `least` is the smallest."""
    # As they are, where they can be counted so: a difference of short integers would not fit.
    start = least if least < 0 or rows.dtype.itemsize >= 4 else 0
    shifted = rows.astype(np.int64) - start if start else rows
    counts = np.bincount(shifted)
    found = np.flatnonzero(counts)
    places: np.ndarray = _NO_PLACES
    if inverse:
        numbers = np.zeros(len(counts), np.int64)
        numbers[found] = np.arange(len(found))
        places = numbers[shifted.astype(np.intp, copy=False)].reshape(input.shape)
    return (found + start).astype(input.dtype), places, counts[found]


def _unique_consecutive_rule(input: np.ndarray, dim: int | None, inverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = _along_rows(input, dim)
    starts = _groups(rows)
    if dim is None and not inverse:
        firsts = np.flatnonzero(starts)
        return rows[firsts], _NO_PLACES, np.diff(firsts, append=len(rows))
    return _distinct_result(input, dim, rows, np.flatnonzero(starts), np.cumsum(starts) - 1)


_unique = Card("unique", "input", statics="dim inverse", outputs="values inverse counts", numpy=_unique_rule, no_grad_reason="the derivative for '_unique2' is not implemented.", node_name="Unique2Backward0")
_unique_consecutive = Card("unique_consecutive", "input", statics="dim inverse", outputs="values inverse counts", numpy=_unique_consecutive_rule, no_grad_reason="the derivative for 'unique_consecutive' is not implemented.", node_name="UniqueConsecutiveBackward0")


def _distinct(card: Card, input: Tensor, dim: int | None, return_inverse: bool, return_counts: bool) -> Any:
    here = as_tensor_argument(input, card.name)._layout
    refuse_complex(here, "unique" if dim is None else "unique_dim")
    if dim is not None:
        dim = wrap_dim(dim, here.ndim, scalar_ok=False)
        if here.shape.count(0) > 1 and here.shape[dim] == 0:
            raise RuntimeError("Number of zero sized dimensions is more than one, so unique cannot be applied ")
        if here.shape[dim] and 0 in here.shape:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    values, inverse, counts = apply(card, (input,), (dim, return_inverse))
    found = (values,) + ((inverse,) if return_inverse else ()) + ((counts,) if return_counts else ())
    return found if len(found) > 1 else values


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The distinct elements (or slices along `dim`), always in order; with their place for each element, and how often each occurs.

    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _distinct(_unique, input, dim, return_inverse, return_counts)


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The elements (or slices along `dim`) without those that equal the one before.

    >>> torch.unique_consecutive(torch.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    return _distinct(_unique_consecutive, input, dim, return_inverse, return_counts)


# Places in sorted sequences


def _searchsorted_rule(sorted_sequence: np.ndarray, input: Any, *sorter: np.ndarray, right: bool, int32: bool) -> np.ndarray:
    rows = np.take_along_axis(sorted_sequence, sorter[0], -1) if sorter else sorted_sequence
    values = np.asarray(input)
    if rows.ndim == 1 or not values.size:
        found = search.places(rows.reshape(-1), values, right)
    else:
        wanted = values.reshape(-1, values.shape[-1])
        found = np.empty(wanted.shape, np.int64)
        for row, value, places in zip(rows.reshape(len(wanted), -1), wanted, found, strict=True):
            places[:] = search.places(row, value, right)
        found = found.reshape(values.shape)
    # PyTorch's comparisons send nan past everything.
    if values.dtype.kind == "f":
        found = np.where(values != values, rows.shape[-1], found)
    return found.astype(np.int32 if int32 else np.int64, copy=False)


_searchsorted = Card(
    "searchsorted", "sorted_sequence input sorter",
    statics="right int32",
    infer=lambda sorted_sequence, input, *sorter, right, int32: contiguous(input.shape if isinstance(input, Layout) else (), dt.int32 if int32 else dt.int64),
    numpy=_searchsorted_rule, variadic=True,
)  # fmt: skip


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None, out: Tensor | None = None, sorter: Tensor | None = None
) -> Tensor:
    """Where each value would go in its sorted sequence (the last dim), before equal values or, with `right`, after them.

    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([3, 6]))
    tensor([1, 3])
    """
    here = as_tensor_argument(sorted_sequence, "searchsorted", "sorted_sequence")._layout
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
        if right and side == "left":
            raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
        right = side == "right"
    input = as_operand(input, "searchsorted", "input", 2)
    shape = input._layout.shape if isinstance(input, TensorBase) else ()
    if here.ndim != 1:
        if not shape:
            raise RuntimeError(
                f"torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor dim({here.ndim}) and input value's dim(0) numel(1)"
            )
        if shape[:-1] != here.shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, "
                f"but we got boundaries tensor {sizes(here.shape)} and input value tensor {sizes(shape)}"
            )
    if sorter is not None:
        if sorter._layout.shape != here.shape:
            raise RuntimeError(f"torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor {sizes(here.shape)}and got sorter tensor {sizes(sorter._layout.shape)}")
        if sorter._layout.dtype is not dt.int64:
            raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {sorter._layout.dtype.type_name}")
        if sorter._layout.numel:
            low, high = int(array_of(sorter).min()), int(array_of(sorter).max())
            if low < 0 or high >= here.shape[-1]:
                raise RuntimeError("torch.searchsorted(): sorter index out of range")
    if here.dtype.category in (dt.BOOL, dt.COMPLEX):
        raise NotImplementedError(f"\"searchsorted_out_cpu\" not implemented for '{here.dtype.type_name}'")
    found = apply(_searchsorted, (sorted_sequence, input, *(() if sorter is None else (sorter,))), (bool(right), bool(out_int32)))
    return found if out is None else write_out(out, found, exact=f"torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) depending on whether out_int32 flag is True, but we got output tensor's dtype {{have}} and out_int32 flag is {bool(out_int32)}")


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Tensor | None = None) -> Tensor:
    """The index of the bucket that each value falls in, between sorted `boundaries`.

    >>> torch.bucketize(torch.tensor([3, 6]), torch.tensor([1, 3, 5]))
    tensor([1, 3])
    """
    here = as_tensor_argument(boundaries, "bucketize", "boundaries", 2)._layout
    if here.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({here.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


# Membership

_isin = Card(
    "isin", "elements test_elements",
    statics="invert",
    infer=lambda elements, test_elements, invert: contiguous(elements.shape if isinstance(elements, Layout) else (), dt.bool_),
    numpy=lambda elements, test_elements, invert: np.isin(with_a_dim(np.asarray(elements)), with_a_dim(np.asarray(test_elements)), invert=invert).reshape(np.shape(elements)),
)  # fmt: skip


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Tensor | None = None) -> Tensor:
    """Whether each element is among `test_elements` (or, with `invert`, is not).

    >>> torch.isin(torch.tensor([1, 2, 3]), torch.tensor([2, 3]))
    tensor([False,  True,  True])
    """
    if not isinstance(elements, TensorBase) and not isinstance(test_elements, TensorBase):
        raise TypeError(
            f"isin() received an invalid combination of arguments - got ({type(elements).__name__}, {type(test_elements).__name__}), but expected one of:\n"
            " * (Tensor elements, Tensor test_elements, *, bool assume_unique = False, bool invert = False, Tensor out = None)\n"
            " * (Number element, Tensor test_elements, *, bool assume_unique = False, bool invert = False, Tensor out = None)\n"
            " * (Tensor elements, Number test_element, *, bool assume_unique = False, bool invert = False, Tensor out = None)"
        )
    for value in (elements, test_elements):
        if isinstance(value, TensorBase) and value._layout.dtype.category in (dt.BOOL, dt.COMPLEX):
            raise RuntimeError(f"Unsupported input type encountered for isin(): {value._layout.dtype.type_name}")
    found = apply(_isin, (as_operand(elements, "isin", "elements", 1), as_operand(test_elements, "isin", "test_elements")), (bool(invert),))
    return found if out is None else write_out(out, found, exact=EXACT)
