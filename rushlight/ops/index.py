"""Indexing with brackets: ``x[...]`` and ``x[...] = value``.

An index is walked once: ints, slices, None and Ellipsis make views; tensors, lists and bools become index tensors of
one `index` (or `index_put`) entry over that view. Out-of-range values are refused before anything is recorded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import half, indexing
from ..engine.lowering import AS_BITS, AS_GIVEN, Calls, Loop, elementwise
from ..engine.terms import MEMORY
from ..errors import sizes, type_name
from ..graph import check_in_place, written
from ..shape import (
    Layout,
    Shape,
    broadcast_shapes,
    can_broadcast_to,
    contiguous_strides,
    expand_strides,
    has_internal_overlap,
    is_injective,
    layout,
    preserved_strides,
    stride_order,
    strides_in_order,
    view_strides,
)
from ..storage import ON_META, TensorBase
from .card import (
    Card,
    Plan,
    apply,
    apply_view,
    array_of,
    check_overlap,
    checking_values,
    overlap_error,
    tensor_of_array,
    value_range,
    write_into,
)
from .define import NUMBERS, as_tensor_argument
from .overlapping import memory_of
from .parts import _select, slice_view
from .scalars import fitting
from .views import _unsqueeze

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor


def check_bounds(index: TensorBase, size: int, dim: int) -> None:
    """Raise PyTorch's IndexError if a value of `index` is outside a dim of `size`."""
    if index._layout.numel == 0 or index._storage.special == ON_META:
        return
    checking_values(_check_within, index, size, dim)


def _check_within(index: TensorBase, size: int, dim: int) -> None:
    least, largest = value_range(index)
    if least < -size or largest >= size:
        values = array_of(index)
        bad = values[(values < -size) | (values >= size)][0]
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {size}")


def _common_shape(indices: Sequence[Layout]) -> Shape:
    try:
        return broadcast_shapes(*(i.shape for i in indices))
    except RuntimeError:
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {', '.join(sizes(i.shape) for i in indices)}"
        ) from None


def _adjacent(positions: Shape) -> bool:
    return list(positions) == list(range(positions[0], positions[0] + len(positions)))


def _result_shape(shape: Shape, positions: Shape, common: Shape) -> Shape:
    """The index dims stand where the indexed dims stood if those are adjacent, else in front."""
    if _adjacent(positions):
        return (*shape[: positions[0]], *common, *shape[positions[-1] + 1 :])
    return (*common, *(n for d, n in enumerate(shape) if d not in positions))


def _infer_index(input: Layout, *indices: Layout, positions: Shape) -> Layout:
    common = _common_shape(indices)
    shape = _result_shape(input.shape, positions, common)
    before = positions[0] if _adjacent(positions) else 0
    after = len(shape) - before - len(common)
    # TensorIterator orders the dims as the operands have them: the input, still along its indexed dims, then the indices.
    kept = [s for d, s in enumerate(input.stride) if d not in positions]
    strides = [(*kept[:before], *(0,) * len(common), *kept[before:])]
    shapes = [shape]
    for i in indices:
        shapes.append((*(1,) * before, *common, *(1,) * after))
        stride = view_strides(common, expand_strides(i.shape, i.stride, common), shapes[-1])
        strides.append(stride if stride is not None else contiguous_strides(shapes[-1]))
    return layout(shape, strides_in_order(shape, stride_order(shapes, strides, shape)), input.dtype)


def _full_index(ndim: int, positions: Shape, indices: Sequence[np.ndarray]) -> tuple[Any, ...]:
    found: list[Any] = [slice(None)] * ndim
    for d, i in zip(positions, indices, strict=True):
        found[d] = i
    return tuple(found)


_index = Card(
    "index", "input indices",
    statics="positions",
    infer=_infer_index,
    numpy=lambda input, *indices, positions: input[_full_index(input.ndim, positions, indices)],
    lowering=Calls(indexing.index, exact=True, half=AS_BITS),
    backward=lambda g, indices, layouts, positions: [_index_backward(g, indices, layouts[0], positions), *[None] * len(indices)],
    variadic=True,
)  # fmt: skip


def _index_backward(g: Tensor, indices: Sequence[Tensor], input: Layout, positions: Shape) -> Tensor:
    from .creation import zeros

    return apply(_index_put, (zeros(input.shape, dtype=g.dtype, device=g.device), g, *indices), (positions, True))


def _infer_index_put(input: Layout, values: Layout, *indices: Layout, positions: Shape, accumulate: bool) -> Layout:
    shape = _result_shape(input.shape, positions, _common_shape(indices))
    if not can_broadcast_to(values.shape, shape):
        raise RuntimeError(f"shape mismatch: value tensor of shape {sizes(values.shape)} cannot be broadcast to indexing result of shape {sizes(shape)}")
    if values.dtype is not input.dtype:
        raise RuntimeError(f"Index put requires the source and destination dtypes match, got {input.dtype.type_name} for the destination and {values.dtype.type_name} for the source.")
    return layout(input.shape, preserved_strides(input.shape, input.stride), input.dtype)


def _index_put_rule(input: np.ndarray, values: np.ndarray, *indices: np.ndarray, positions: Shape, accumulate: bool) -> np.ndarray:
    found = np.array(input, order="C")
    where = _full_index(input.ndim, positions, indices)
    if not accumulate:
        found[where] = values
    elif found.dtype.kind == "b":
        np.logical_or.at(found, where, values)
    else:
        _accumulate(found, positions, indices, values)
    return found


def _accumulate(target: np.ndarray, positions: Shape, indices: Sequence[np.ndarray], values: np.ndarray) -> None:
    """``target[indices] += values`` with repeats adding up: rows of the indexed dims, named by one flat index."""
    indexed = tuple(target.shape[d] for d in positions)
    wrapped = np.broadcast_arrays(*(np.where(i < 0, i + n, i) for i, n in zip(indices, indexed, strict=True)))
    common = wrapped[0].shape
    front = np.moveaxis(target, positions, range(len(positions)))
    rest = front.shape[len(positions) :]
    before = positions[0] if _adjacent(positions) else 0
    rows = np.broadcast_to(values, (*rest[:before], *common, *rest[before:]))
    rows = np.moveaxis(rows, range(before, before + len(common)), range(len(common)))
    if not rows.size:
        return
    whole = np.ascontiguousarray(front).reshape(-1, *rest)
    add_along(whole, np.ravel_multi_index(wrapped, indexed).reshape(-1), rows.reshape(-1, *rest))
    if not np.shares_memory(whole, target):
        front[...] = whole.reshape(front.shape)


#: How often a row may come for all such rows to be added together, one occurrence after another.
_SELDOM = 8


def add_along(target: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """``target[index] += values`` with repeats adding up in the order of `index`, which is flat.

    As `np.add.at`, which is many times slower where rows are wide or many.
    """
    if index.size == 0:
        return
    if target.dtype.kind == "b":
        np.logical_or.at(target, index, values)
        return
    if target.dtype.itemsize == 2 and target.dtype.kind not in "iu":
        wide = target.astype(np.float32)
        add_along(wide, index, values.astype(np.float32))
        target[...] = wide
        return
    index = np.where(index < 0, index + target.shape[0], index)
    if target.ndim == 1 and target.dtype in (np.float32, np.float64) and index.size > 64:
        # In double precision, which for single precision is no worse than any order of adding.
        sums = np.bincount(index, values, target.size)
        np.add(target, sums, out=target, where=sums != 0, casting="unsafe")
        return
    # A sum over the first dim adds row after row only where rows have several elements.
    if values.size <= 1024 or values.size == values.shape[0]:
        np.add.at(target, index, values)
        return
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rows, counts = ordered[starts], np.diff(starts, append=index.size)
    often = counts > _SELDOM
    for row, start, count in zip(rows[often].tolist(), starts[often].tolist(), counts[often].tolist(), strict=True):
        found = values[order[start : start + count]]
        found[0] += target[row]
        target[row] = found.sum(0)
    rows, starts, counts = rows[~often], starts[~often], counts[~often]
    for n in range(counts.max(initial=0)):
        more = counts > n
        target[rows[more]] += values[order[starts[more] + n]]


def _index_put_backward(g: Tensor, indices: Sequence[Tensor], layouts: Sequence[Layout], positions: Shape, accumulate: bool, needs: tuple[bool, ...]) -> list[Any]:
    from .creation import zeros

    through = None
    if needs[0]:
        through = g if accumulate else apply(_index_put, (g, zeros((), dtype=g.dtype), *indices), (positions, False))
    values = apply(_index, (g, *indices), (positions,)) if needs[1] else None
    return [through, values, *[None] * len(indices)]


class _Put(Card):
    """A card that may write to a region of its own first operand."""

    def plan(self, operands: Sequence[Any], static: Any, target: Layout | None) -> Plan:
        plan = super().plan(operands, static, None)
        if target is not None:
            plan.outs = (target,)
        return plan


def _put_calls(plan: Plan) -> Lowered | None:
    """In half precision what is written is moved, what is added up is float32 meanwhile."""
    if not half.is_half(plan):
        return indexing.index_put(plan)
    return half.as_float(plan, indexing.index_put) if plan.params["accumulate"] else half.as_bits(plan, indexing.index_put)


_index_put = _Put(
    "index_put", "input values indices",
    statics="positions accumulate",
    infer=_infer_index_put, numpy=_index_put_rule, backward=_index_put_backward, lowering=Calls(_put_calls, half=AS_GIVEN),
    variadic=True,
)  # fmt: skip


# `x[mask] = number`, which needs no positions. To autograd it is an index_put.
_mask_put = Card(
    "mask_put", "input mask value",
    infer=lambda input, mask, value: input,
    numpy=lambda input, mask, value: np.where(mask, np.asarray(value).astype(input.dtype), input),
    lowering=Loop(lambda k, input, mask, value: k.select(mask, k.convert(value, input.type), input), lambda plan: elementwise(plan) if plan.outs[0].dtype in MEMORY else None),
    grads={"input": lambda g, mask: g.masked_fill(mask, 0), "value": lambda g, mask: g.masked_fill(~mask, 0).sum()},
    node_name="IndexPutBackward0",
)  # fmt: skip


# Walking an index


_INVALID = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got %s)"
_MASKS = (dt.bool_, dt.uint8)


def _is_sequence(value: Any) -> bool:
    return hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, (dict, np.generic))


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _entries(index: Any) -> tuple[Any, ...]:
    """The index as a tuple. A short list that holds sequences, slices, None or Ellipsis counts as one (NumPy's old rule)."""
    if isinstance(index, tuple):
        return index
    listed = not isinstance(index, (TensorBase, np.ndarray, slice)) and _is_sequence(index) and len(index) < 32
    if listed and any(e is None or e is Ellipsis or isinstance(e, slice) or _is_sequence(e) for e in index):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], which will result either in an error or a different result",
            stacklevel=4,
        )
        return tuple(index)
    return (index,)


def _dims_taken(entry: Any) -> int:
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    return entry._layout.ndim if isinstance(entry, TensorBase) and entry._layout.dtype in _MASKS else 1


def _converted(entry: Any) -> Any:
    """An entry of an index with sequences and arrays as tensors."""
    if entry is None or entry is Ellipsis or isinstance(entry, (bool, slice, TensorBase)) or _is_int(entry):
        return entry
    if isinstance(entry, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(entry).__name__}'")
    if _is_sequence(entry):
        from .from_data import tensor

        found = tensor(entry if isinstance(entry, (list, np.ndarray)) else list(entry))
        # Anything but a mask is taken for integers, fractions dropped.
        return found if found._layout.dtype in _MASKS else found.to(dt.int64)
    try:
        if isinstance(entry, np.generic):
            raise TypeError
        return entry.__index__()
    except (AttributeError, TypeError):
        raise IndexError(_INVALID % type_name(entry)) from None


def nonzero_places(array: np.ndarray) -> np.ndarray:
    """As `np.nonzero`, a row for each dim, from the places in the flat array: several times quicker."""
    flat = np.flatnonzero(array if array.dtype == np.bool_ else array != 0)
    places = np.empty((array.ndim, flat.size), np.int64)
    for d in range(array.ndim - 1, 0, -1):
        rest = flat // array.shape[d]
        np.subtract(flat, rest * array.shape[d], out=places[d])
        flat = rest
    if array.ndim:
        places[0] = flat
    return places


def _mask_positions(mask: TensorBase, shape: Shape, dim: int) -> list[Tensor]:
    """One int64 index per dim of a mask."""
    for d, n in enumerate(mask._layout.shape):
        if n != shape[dim + d]:
            raise IndexError(f"The shape of the mask {sizes(mask._layout.shape)} at index {d} does not match the shape of the indexed tensor {sizes(shape)} at index {dim + d}")
    if mask._layout.dtype is dt.uint8:
        warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.", stacklevel=5)
    return [tensor_of_array(a) for a in nonzero_places(array_of(mask))]


def _select_at(view: Any, dim: int, index: int, position: int) -> Any:
    shape = view._layout.shape
    if not shape and position == 0:
        raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
    size = shape[dim]
    if not -size <= index < size:
        if not -(1 << 63) <= index < 1 << 63:
            raise ValueError("Overflow when unpacking long long")
        raise IndexError(f"index {index} is out of bounds for dimension {position} with size {size}")
    return apply_view(_select, view, (dim, index + size if index < 0 else index))


def _slice_at(view: Any, dim: int, entry: slice) -> Any:
    if not view._layout.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    try:
        bounds = [b if b is None or type(b) is int else b.__index__() for b in (entry.start, entry.stop, entry.step)]
    except AttributeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None
    return view if bounds == [None, None, None] else slice_view(view, dim, *bounds)


def walk(input: Tensor, index: Any) -> tuple[Any, list[tuple[int, Any]]]:
    """The view that the basic part of an index makes, and the advanced part: tensors and the dims at which they stand."""
    entries = tuple(_converted(e) for e in _entries(index))
    taken = sum(map(_dims_taken, entries))
    ndim = input._layout.ndim
    if len(entries) == 1:
        if _is_int(entries[0]):
            return _select_at(input, 0, int(entries[0]), 0), []
        if isinstance(entries[0], slice):
            return _slice_at(input, 0, entries[0]), []
    if taken > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    view: Any = input
    dim = 0
    advanced: list[tuple[int, Any]] = []
    for position, entry in enumerate(entries):
        if entry is Ellipsis:
            dim += ndim - taken
        elif entry is None:
            view = apply_view(_unsqueeze, view, (dim,))
            dim += 1
        elif isinstance(entry, slice):
            view = _slice_at(view, dim, entry)
            dim += 1
        elif isinstance(entry, TensorBase) and (entry._layout.ndim or entry._layout.dtype.category > dt.INTEGER):
            advanced.append((dim, entry))
            dim += entry._layout.ndim if entry._layout.dtype in _MASKS else 1
        elif isinstance(entry, bool) or (isinstance(entry, TensorBase) and entry._layout.dtype in _MASKS):
            view = apply_view(_unsqueeze, view, (dim,))
            advanced.append((dim, tensor_of_array(np.zeros(1 if entry else 0, np.int64))))
            dim += 1
        else:
            view = _select_at(view, dim, int(entry), position)
    return view, advanced


def _expanded(view: TensorBase, advanced: Sequence[tuple[int, Any]]) -> tuple[Shape, list[Tensor]]:
    """Dims and integer index tensors, with masks as positions; shapes and bounds checked."""
    positions: list[int] = []
    indices: list[Tensor] = []
    shape = view._layout.shape
    for dim, entry in advanced:
        if entry._layout.dtype in _MASKS:
            found = _mask_positions(entry, shape, dim)
        elif entry._layout.dtype in (dt.int64, dt.int32):
            found = [entry]
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        positions.extend(range(dim, dim + len(found)))
        indices.extend(found)
    common = _common_shape([i._layout for i in indices])
    if any(shape[d] == 0 for d in positions) and 0 not in common:
        raise IndexError("index is out of bounds for dimension with size 0")
    if 0 not in _result_shape(shape, tuple(positions), common):
        for n, (d, i) in enumerate(zip(positions, indices, strict=True)):
            check_bounds(i, shape[d], n)
    return tuple(positions), indices


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for ints, slices, None and Ellipsis; a copy where tensors, lists or masks take part."""
    if type(index) is int:
        return _select_at(input, 0, index, 0)
    view, advanced = (_slice_at(input, 0, index), ()) if type(index) is slice else walk(input, index)
    if advanced:
        positions, indices = _expanded(view, advanced)
        return apply(_index, (view, *indices), (positions,))
    if view is input:
        return slice_view(input, 0, None, None) if input._layout.ndim else input.view(())
    return view


# By these names ``__torch_function__`` knows them.
getitem.__name__, getitem.__qualname__ = "__getitem__", "Tensor.__getitem__"


def _assigned(input: TensorBase, value: Any) -> Any:
    """The value of an assignment as a tensor or a number that `input` can hold."""
    if isinstance(value, TensorBase):
        return value
    if isinstance(value, np.integer):
        value = int(value)
    elif isinstance(value, (float, complex)) and type(value) not in NUMBERS:
        value = value.__complex__() if isinstance(value, complex) else float(value)
    if type(value) not in NUMBERS:
        raise TypeError(f"can't assign a {type_name(value)} to a {input.type()}")  # type: ignore[attr-defined]
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("Overflow when unpacking long long")
    return fitting(value, input._layout.dtype)


def _without_leading_ones(value: Any, shape: Shape) -> Any:
    """`value` with leading dims of size one dropped, which do not count in an assignment."""
    lead = next((d for d, n in enumerate(shape) if n != 1), len(shape))
    return value.reshape(shape[lead:]) if lead else value


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, broadcast and cast, through views as well."""
    value = _assigned(input, value)
    if index is False:
        return
    view, advanced = walk(input, index)
    if not advanced:
        if has_internal_overlap(view._layout.shape, view._layout.stride):
            raise overlap_error()
        if isinstance(value, TensorBase):
            if value._layout.shape != view._layout.shape:
                if not value._layout.ndim:
                    view.fill_(value)
                    return
                value = _without_leading_ones(value, value._layout.shape).expand(view._layout.shape)
            view.copy_(value)
        else:
            view.fill_(value)
        return
    if isinstance(value, TensorBase):
        value = _without_leading_ones(value, value._layout.shape)
    put_at(view, advanced, value, False)


setitem.__name__, setitem.__qualname__ = "__setitem__", "Tensor.__setitem__"


def put_at(view: Any, advanced: Sequence[tuple[int, Any]], value: Any, accumulate: bool) -> None:
    """Write a tensor or a number to the elements of `view` that index tensors name."""
    if has_internal_overlap(view._layout.shape, view._layout.stride):
        _put_overlapping(view, advanced, value, accumulate)
        return
    number = not isinstance(value, TensorBase)
    if len(advanced) == 1 and not accumulate and advanced[0][1]._layout.dtype in _MASKS and (number or value._layout.numel == 1):
        dim, mask = advanced[0]
        if mask._layout.dtype is dt.uint8:
            raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")
        for d, n in enumerate(mask._layout.shape):
            if n != view._layout.shape[dim + d]:
                _mask_positions(mask, view._layout.shape, dim)
        after = view._layout.ndim - dim - mask._layout.ndim
        if after:
            mask = mask.reshape((*mask._layout.shape, *(1,) * after))
        if not number:
            value = value.reshape(()).clone() if value.requires_grad else fitting(value.item(), view._layout.dtype)
        write_into(_mask_put, view, (view, mask, value))
        return
    if number:
        from .creation import full

        value = full((), value, dtype=view._layout.dtype)
    check_overlap(view, (value, *(i for _, i in advanced)), disjoint=True)
    if accumulate and not is_injective(view._layout.shape, view._layout.stride):
        memory, places = memory_of(view)
        positions, indices = _expanded(places, advanced)
        memory.index_put_((apply(_index, (places, *indices), (positions,)),), value, True)
        return
    positions, indices = _expanded(view, advanced)
    write_into(_index_put, view, (view, value, *indices), (positions, accumulate))


def _put_overlapping(view: Any, advanced: Sequence[tuple[int, Any]], value: Any, accumulate: bool) -> None:
    """Write to an expanded view, where one memory location stands for several elements. PyTorch warns and does it."""
    warnings.warn(
        "Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before performing this operation. This also applies to advanced indexing e.g. tensor[indices] = tensor",
        stacklevel=4,
    )
    check_in_place(view, False)
    positions, indices = _expanded(view, advanced)
    memory = array_of(view)
    where = _full_index(memory.ndim, positions, [array_of(i) for i in indices])
    new = array_of(value) if isinstance(value, TensorBase) else value
    if accumulate:
        np.add.at(memory, where, new)
    else:
        memory[where] = new
    written(view, None, True)


def _tensors(indices: Any, function: str) -> tuple[Any, ...]:
    for n, i in enumerate(indices):
        if not isinstance(i, TensorBase):
            raise TypeError(f"expected Tensor as element {n} in argument {'1' if function == 'index_put_' else '0'}, but got {type(i).__name__}")
    return tuple(indices)


def index_arguments(input: TensorBase, indices: Any, function: str) -> list[tuple[int, Any]]:
    """Index tensors, one after the other from the first dim, as `walk` gives them."""
    dim, advanced = 0, []
    for entry in _tensors(indices, function):
        advanced.append((dim, entry))
        dim += entry._layout.ndim if entry._layout.dtype in _MASKS else 1
    if dim > input._layout.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input._layout.ndim} (got {dim})")
    return advanced


def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `values` written, or added, at the positions that the index tensors name.

    >>> torch.index_put(torch.zeros(3), [torch.tensor([0, 0])], torch.tensor([1., 2.]), accumulate=True)
    tensor([3., 0., 0.])
    """
    as_tensor_argument(input, "index_put")
    positions, found = _expanded(input, index_arguments(input, indices, "index_put"))
    return apply(_index_put, (input, values, *found), (positions, bool(accumulate)))


def index_put_(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place version of `index_put`."""
    put_at(input, index_arguments(input, indices, "index_put_"), values, bool(accumulate))
    return input
