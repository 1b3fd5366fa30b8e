"""Whole slices of one dim, named by a vector of indices: read, added, copied, filled, reduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import WIDEST, autocasts
from ..engine import indexing, library
from ..engine.lowering import AS_BITS, AS_FLOAT, Calls
from ..errors import sizes
from ..shape import Layout, Shape, contiguous, wrap_dim
from ..storage import ON_META, TensorBase
from .card import Card, apply, checking_values
from .define import EXACT, as_operand, as_tensor_argument, refuse_dtypes, write_out
from .index import add_along, check_bounds, value_range
from .scalars import fitting
from .scatter import check_index, in_order_of, in_place_disjoint, reduce_at, scatter_reduce_gradients, zeros_of

if TYPE_CHECKING:
    from ..tensor import Tensor


# index_select


def _infer_index_select(input: Layout, index: Layout, dim: int) -> Layout:
    if not input.ndim:
        return contiguous((), input.dtype)
    return contiguous((*input.shape[:dim], index.numel, *input.shape[dim + 1 :]), input.dtype)


_index_select = Card(
    "index_select", "input index",
    statics="dim",
    infer=_infer_index_select,
    numpy=lambda input, index, dim: np.take(input, index.reshape(-1), dim) if input.ndim else input.copy(),
    lowering=Calls(lambda plan: library.table_rows(plan) or indexing.slices(plan, "read"), exact=True, half=AS_BITS),
    grads={"input": lambda g, index, layouts, dim: zeros_of(layouts[0], g).index_add(dim, index, g)},
    onnx="Gather",
)  # fmt: skip


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of `dim` that the one-dimensional `index` names, in that order.

    >>> torch.index_select(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([1]))
    tensor([[2],
            [4]])
    """
    as_tensor_argument(index, "index_select", "index", 3)
    as_tensor_argument(input, "index_select")
    dim = wrap_dim(dim, input._layout.ndim)
    if index._layout.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input._layout.ndim and index._layout.numel != 1:
        raise RuntimeError("index_select(): Index to scalar can have only 1 value, got " + f"{index._layout.numel} value(s)")
    check_index(index, "index_select", input._layout.shape[dim] if input._layout.ndim else 1, dim)
    found = apply(_index_select, (input, index), (dim,))
    return found if out is None else write_out(out, found, input, index, disjoint=True, exact="index_select(): self and result must have the same scalar type")


# index_add, index_copy, index_fill, index_reduce


def _check_index(function: str, index: Layout) -> None:
    if index.ndim > 1:
        raise IndexError(
            f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})"
            if function == "index_copy"
            else f"{function}_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {index.dtype.type_name} and size: {sizes(index.shape)}"
        )
    if index.dtype is not dt.int64 and (index.dtype is not dt.int32 or function == "index_copy"):
        wanted = "a long tensor for index, but got" if function == "index_copy" else "dtype int32/int64 for index but got:"
        raise RuntimeError(f"{function}_(): Expected {wanted} {index.dtype.type_name}")


def _check_copied(input: Layout, dim: int, index: Layout, source: Layout) -> None:
    if not source.ndim and index.numel != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {index.numel})")
    if source.ndim and input.ndim and source.ndim != input.ndim:
        raise IndexError(f"index_copy_(): When source and destination are not scalars, their dimensionality must match. Source dimensionality ({source.ndim}), destination dimensionality ({input.ndim})")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got (self) {input.dtype.type_name} and (source) {source.dtype.type_name}")
    rest, other = (_without(l.shape, dim) for l in (input, source))
    if input.ndim and source.ndim and rest != other:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. "
            f"Destination slice shape: {' '.join(map(str, rest))} at dimension {dim} and source slice shape: {' '.join(map(str, other))} at dimension 0."
        )
    if source.ndim and index.numel != source.shape[dim]:
        raise IndexError(f"index_copy_(): Number of indices ({index.numel}) should be equal to source.size(dim) ({source.shape[dim]})")


def _check_reduced(function: str, input: Layout, dim: int, index: Layout, source: Layout) -> None:
    if source.dtype is not input.dtype:
        raise RuntimeError(f"{function}_(): self ({input.dtype.type_name}) and source ({source.dtype.type_name}) must have the same scalar type")
    if dim and dim >= source.ndim:
        raise RuntimeError(f"{function}_(): Indexing dim {dim} is out of bounds of the source tensor with dim {source.ndim}")
    if index.numel != (source.shape[dim] if source.ndim else 1):
        if not source.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        raise RuntimeError(f"{function}_(): Number of indices ({index.numel}) should be equal to source.size(dim): ({source.shape[dim]}), for dim: {dim}")
    both = input.ndim and source.ndim
    rest, other = (_without(l.shape, dim) if both else l.shape for l in (input, source))
    if rest != other:
        raise RuntimeError(f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {sizes(input.shape)} source.shape = {sizes(source.shape)}")


def _without(shape: Shape, dim: int) -> Shape:
    return tuple(n for d, n in enumerate(shape) if d != dim)


def _check_places(function: str, index: TensorBase, input: Layout, dim: int) -> None:
    """Unlike an index in brackets, these do not count from the end."""
    size = input.shape[dim] if input.ndim else 1
    least, largest = value_range(index)
    if least >= 0 and largest < size:
        return
    if function == "index_reduce" or (function == "index_add" and input.ndim < 2):
        raise IndexError("index out of range in self")
    message = f"index {least if least < 0 else largest} is out of bounds for dimension {dim} with size {size}"
    raise RuntimeError(message) if function == "index_add" else IndexError(f"index_copy_(): {message}")


def _rows_of(found: np.ndarray, dim: int) -> np.ndarray:
    """`found` with `dim` first; a 0-dim array as one row."""
    return np.moveaxis(found, dim, 0) if found.ndim else found.reshape(1)


def _index_add_rule(input: np.ndarray, index: np.ndarray, source: np.ndarray, dim: int, alpha: Any) -> np.ndarray:
    found = np.array(input, order="C")
    values = source if alpha == 1 else source * source.dtype.type(alpha)
    add_along(_rows_of(found, dim), index.reshape(-1), _rows_of(np.asarray(values), dim))
    return found


_index_add = Card(
    "index_add", "input index source",
    statics="dim alpha",
    infer=lambda input, index, source, dim, alpha: contiguous(input.shape, input.dtype),
    numpy=_index_add_rule, lowering=Calls(lambda plan: indexing.slices(plan, "add"), half=AS_FLOAT),
    grads={
        "input": lambda g: g,
        "source": lambda g, index, layouts, dim, alpha: (g.index_select(dim, index) if alpha == 1 else g.index_select(dim, index) * alpha).reshape(layouts[2].shape),
    },
)  # fmt: skip


def _rows_arguments(function: str, input: Any, dim: int, index: Any, source: Any) -> int:
    here = as_tensor_argument(input, function)._layout
    dim = wrap_dim(dim, here.ndim)
    places = as_tensor_argument(index, function, "index", 3)._layout
    values = as_tensor_argument(source, function, "source", 4)._layout
    _check_index(function, places)
    if function == "index_copy":
        _check_copied(here, dim, places, values)
    else:
        _check_reduced(function, here, dim, places, values)
    if places.numel and index._storage.special != ON_META:
        checking_values(_check_places, function, index, here, dim)
    return dim


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input` with ``alpha * source`` added to the slices of `dim` that `index` names; repeats add up.

    >>> torch.index_add(torch.zeros(3), 0, torch.tensor([0, 0]), torch.tensor([1., 2.]))
    tensor([3., 0., 0.])
    """
    dim = _rows_arguments("index_add", input, dim, index, source)
    found = apply(_index_add, (input, index, source), (dim, alpha))
    return found if out is None else write_out(out, found, exact=EXACT)


def _index_copy_rule(input: np.ndarray, index: np.ndarray, source: np.ndarray, dim: int) -> np.ndarray:
    found = np.array(input, order="C")
    _rows_of(found, dim)[index.reshape(-1)] = _rows_of(source, dim)
    return found


_index_copy = Card(
    "index_copy", "input index source",
    statics="dim",
    infer=lambda input, index, source, dim: contiguous(input.shape, input.dtype),
    numpy=_index_copy_rule, lowering=Calls(lambda plan: indexing.slices(plan, "set"), exact=True, half=AS_BITS),
    grads={
        "input": lambda g, index, dim: g.index_fill(dim, index, 0),
        "source": lambda g, index, layouts, dim: g.index_select(dim, index).reshape(layouts[2].shape),
    },
)  # fmt: skip


@autocasts(WIDEST)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`input` with the slices of `dim` that `index` names replaced by those of `source`.

    >>> torch.index_copy(torch.zeros(3), 0, torch.tensor([2]), torch.tensor([5.]))
    tensor([0., 0., 5.])
    """
    dim = _rows_arguments("index_copy", input, dim, index, source)
    found = apply(_index_copy, (input, index, source), (dim,))
    return found if out is None else write_out(out, found, exact=EXACT)


def _index_fill_rule(input: np.ndarray, index: np.ndarray, value: Any, dim: int) -> np.ndarray:
    found = np.array(input, order="C")
    _rows_of(found, dim)[index.reshape(-1)] = np.asarray(value).astype(found.dtype)
    return found


_index_fill = Card(
    "index_fill", "input index value",
    statics="dim",
    infer=lambda input, index, value, dim: in_order_of(input),
    numpy=_index_fill_rule, lowering=Calls(indexing.fill, exact=True),
    grads={
        "input": lambda g, index, dim: g.index_fill(dim, index, 0),
        "value": lambda g, index, dim: g.index_select(dim, index.unique()).sum(),
    },
)  # fmt: skip


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with the slices of `dim` that `index` names filled with `value`.

    >>> torch.index_fill(torch.zeros(3), 0, torch.tensor([1]), 7)
    tensor([0., 7., 0.])
    """
    as_tensor_argument(index, "index_fill", "index", 3)
    as_tensor_argument(input, "index_fill")
    dim = wrap_dim(dim, input._layout.ndim)
    if index._layout.dtype is not dt.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index._layout.ndim > 1:
        raise IndexError("Index has to be a vector/scalar")
    if isinstance(value, TensorBase) and value._layout.ndim:
        raise RuntimeError(f"Only supports 0-dimensional value tensor, but got a tensor with {value._layout.ndim} dimension(s).")
    if isinstance(value, complex) and not input._layout.dtype.is_complex:
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    check_bounds(index, input._layout.shape[dim] if input._layout.ndim else 1, dim)
    if not isinstance(value, TensorBase):
        value = fitting(as_operand(value, "index_fill", "value", 4), input._layout.dtype, half_overflows=True)
    return apply(_index_fill, (input, index, value), (dim,))


def _index_reduce_rule(input: np.ndarray, index: np.ndarray, source: np.ndarray, dim: int, reduce: str, include_self: bool) -> np.ndarray:
    rows, values = _rows_of(input, dim), _rows_of(source, dim)
    found = reduce_at(rows, (index.reshape(-1),), values, reduce, include_self)
    return np.moveaxis(found, 0, dim) if input.ndim else found.reshape(())


_index_reduce = Card(
    "index_reduce", "input index source",
    statics="dim reduce include_self",
    infer=lambda input, index, source, dim, reduce, include_self: contiguous(input.shape, input.dtype),
    numpy=_index_reduce_rule, outputs="output",
    backward=lambda g, input, index, source, output, needs, dim, reduce, include_self: _index_reduce_backward(g, input, index, source, output, needs, dim, reduce, include_self),
)  # fmt: skip


def _index_reduce_backward(g: Tensor, input: Tensor, index: Tensor, source: Tensor, output: Tensor, needs: Any, dim: int, reduce: str, include_self: bool) -> list[Any]:
    expanded = index.reshape([-1 if d == dim else 1 for d in range(input.dim())]).expand(source.shape) if input.dim() else index.reshape(source.shape)
    first, third = scatter_reduce_gradients(g, input, expanded, source, output, dim, reduce, include_self)
    return [first if needs[0] else None, None, third if needs[2] else None]


_NOT_REDUCED = frozenset((dt.bool_, dt.complex64, dt.complex128))


def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None) -> Tensor:
    """`input` with the slices of `source` combined into those of `dim` that `index` names, by "prod", "mean", "amax" or "amin".

    >>> torch.index_reduce(torch.ones(2), 0, torch.tensor([0, 0]), torch.tensor([2., 3.]), "prod")
    tensor([6., 1.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    dim = _rows_arguments("index_reduce", input, dim, index, source)
    refuse_dtypes("index_func_" if include_self else "index_reduce_func_exclude_input_init", input._layout.dtype, _NOT_REDUCED)
    found = apply(_index_reduce, (input, index, source), (dim, reduce, include_self))
    return found if out is None else write_out(out, found, exact=EXACT)


index_add_, index_copy_ = in_place_disjoint(index_add), in_place_disjoint(index_copy)
index_fill_, index_reduce_ = in_place_disjoint(index_fill, fills=True), in_place_disjoint(index_reduce)
