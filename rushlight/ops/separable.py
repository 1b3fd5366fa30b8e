"""What pooling and resampling share: each works along one spatial dim at a time, by a table of taps.

A tap says: the results at `where` take the values at `source`, times `weight`. A table is the taps of one dim, in the order of the window.
Windows that reach into the padding lack taps there, so that padded values never take part.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import is_int, sizes, type_name
from ..shape import Layout, Shape, channels_last_strides, contiguous, layout

Positions = slice | np.ndarray


class Tap(NamedTuple):
    where: Positions
    source: Positions
    weight: np.ndarray | None = None


class Table(NamedTuple):
    """The taps of one dim, from `size` values to `out` results."""

    size: int
    out: int
    taps: tuple[Tap, ...]


#: Where pooling functions take what is ints.
_POSITIONS = {"kernel_size": 2, "output_size": 2, "stride": 3, "padding": 4, "dilation": 5}


def check_ints(function: str, name: str, value: Any) -> None:
    """Refuse what is neither an int nor a sequence of ints."""
    if type(value) is int:
        return
    where = f"{function}(): argument '{name}' (position {_POSITIONS[name]})"
    if not isinstance(value, (tuple, list)):
        if not is_int(value):
            raise TypeError(f"{where} must be tuple of ints, not {type_name(value)}")
        return
    for place, each in enumerate(value):
        if not is_int(each):
            if place:
                raise TypeError(f"{function}(): argument '{name}' failed to unpack the object at pos {place + 1} with error \"type must be tuple of ints,but got {type_name(each)}\"")
            raise TypeError(f"{where} must be tuple of ints, but found element of type {type_name(each)} at pos 0")


def spatial_arguments(value: Any, n: int, complaint: str) -> Shape:
    """An int, or a sequence of one or `n` ints, as `n` ints; RuntimeError with `complaint` for any other number of them."""
    if not isinstance(value, (tuple, list)):
        return (int(value),) * n
    if len(value) not in (1, n):
        raise RuntimeError(complaint)
    return tuple(int(v) for v in value) * (n if len(value) == 1 else 1)


def in_format_of(input: Layout, shape: Shape, dtype: Any = None) -> Layout:
    """A fresh layout of `shape`, channels last if `input` is."""
    if len(shape) in (4, 5) and is_channels_last(input):
        return layout(shape, channels_last_strides(shape), dtype or input.dtype)
    return contiguous(shape, dtype or input.dtype)


def is_channels_last(input: Layout) -> bool:
    return not input.contiguous and input.ndim in (4, 5) and input.stride == channels_last_strides(input.shape)


def positions(found: np.ndarray) -> Positions:
    """An increasing progression as a slice, which NumPy reads without a copy; anything else as it is."""
    if not found.size:
        return slice(0, 0)
    step = int(found[1] - found[0]) if found.size > 1 else 1
    if step > 0 and bool((np.diff(found) == step).all()):
        return slice(int(found[0]), int(found[-1]) + 1, step)
    return found


def table(index: np.ndarray, valid: np.ndarray, size: int, weight: np.ndarray | None = None) -> Table:
    """The table of a dim from arrays of shape (results, taps): where each tap reads, and whether it takes part."""
    taps = []
    for t in range(index.shape[1]):
        where = np.flatnonzero(valid[:, t])
        if where.size:
            taps.append(Tap(positions(where), positions(index[where, t]), weight[where, t] if weight is not None else None))
    return Table(size, len(index), tuple(taps))


def transposed(forward: Table) -> Table:
    """The table of the transposed map, which carries gradients back."""
    results, sources, weights = [], [], []
    for tap in forward.taps:
        where, source = np.arange(forward.out)[tap.where], np.arange(forward.size)[tap.source]
        results.append(where)
        sources.append(source)
        weights.append(np.ones(where.size) if tap.weight is None else tap.weight)
    if not results:
        return Table(forward.out, forward.size, ())
    at, source, weight = np.concatenate(results), np.concatenate(sources), np.concatenate(weights)
    order = np.lexsort((at, source))
    at, source, weight = at[order], source[order], weight[order]
    # The rank of each entry among those of its source is its tap.
    starts = np.searchsorted(source, np.arange(forward.size))
    rank = np.arange(source.size) - starts[source]
    shape = (forward.size, int(rank.max()) + 1)
    index, valid, share = np.zeros(shape, np.intp), np.zeros(shape, bool), np.zeros(shape)
    index[source, rank], valid[source, rank], share[source, rank] = at, True, weight
    unweighted = all(tap.weight is None for tap in forward.taps)
    return table(index, valid, forward.out, None if unweighted else share)


@functools.lru_cache(maxsize=1024)
def window_table(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Table:
    """Windows of `kernel` values at equal steps."""
    index = np.arange(out)[:, None] * stride - padding + np.arange(kernel) * dilation
    return table(index, (index >= 0) & (index < size), size)


def adaptive_bounds(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `out` windows that cover `size` values starts and ends."""
    at = np.arange(out)
    return at * size // out, -(-(at + 1) * size // out)


@functools.lru_cache(maxsize=1024)
def adaptive_table(size: int, out: int) -> Table:
    """Windows that cover `size` values evenly."""
    if not out:
        return Table(size, 0, ())
    start, end = adaptive_bounds(size, out)
    index = start[:, None] + np.arange(int((end - start).max()))
    return table(index, index < end[:, None], size)


def at(axis: int, ndim: int, where: Positions) -> tuple[Any, ...]:
    """The index that takes `where` along `axis`."""
    return (*(slice(None),) * axis, where, *(slice(None),) * (ndim - axis - 1))


def sum_along(array: np.ndarray, axis: int, table: Table) -> np.ndarray:
    """Apply a table along an axis, adding up its taps in order."""
    ndim = array.ndim
    out = np.zeros((*array.shape[:axis], table.out, *array.shape[axis + 1 :]), array.dtype)
    for tap in table.taps:
        part = array[at(axis, ndim, tap.source)]
        if tap.weight is not None:
            part = part * tap.weight.astype(array.dtype).reshape(-1, *[1] * (ndim - axis - 1))
        out[at(axis, ndim, tap.where)] += part
    return out


def sum_over(array: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
    """Apply one table for each of the last dims."""
    first = array.ndim - len(tables)
    for n in range(len(tables) - 1, -1, -1):
        array = sum_along(array, first + n, tables[n])
    return array


def max_over(array: np.ndarray, tables: Sequence[Table]) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each window over the last dims, and its flat position in them. The first of equals wins; nan wins over all.

    Positions are of 32 bits: a plane has less than two milliards of values.
    """
    first_axis = array.ndim - len(tables)
    spatial = array.shape[first_axis:]
    checks_nan = array.dtype.kind not in "biu" and array.size > 0 and bool(np.isnan(array.max()))
    step = 1
    index: np.ndarray | None = None
    for n in range(len(tables) - 1, -1, -1):
        axis = first_axis + n
        array, index = _max_along(array, index, axis, tables[n], step, checks_nan)
        step *= spatial[n]
    assert index is not None
    return array, index


def _max_along(array: np.ndarray, index: np.ndarray | None, axis: int, table: Table, step: int, checks_nan: bool) -> tuple[np.ndarray, np.ndarray]:
    ndim = array.ndim
    after = (1,) * (ndim - axis - 1)
    first = np.zeros(table.out, np.int32)
    for tap in reversed(table.taps):
        first[tap.where] = np.arange(table.size)[tap.source]
    start = at(axis, ndim, positions(first))
    best = array[start].copy()
    offset = (first * step).reshape(-1, *after)
    best_index = np.broadcast_to(offset, best.shape).copy() if index is None else index[start] + offset
    for n, tap in enumerate(table.taps):
        if n == 0 and isinstance(tap.where, slice) and len(range(*tap.where.indices(table.out))) == table.out:
            continue  # these are the values that `best` began with
        where, source = at(axis, ndim, tap.where), at(axis, ndim, tap.source)
        candidate, known, known_index = array[source], best[where], best_index[where]
        better = candidate > known
        if checks_nan:
            better |= np.isnan(candidate)
        offset = (np.arange(table.size, dtype=np.int32)[tap.source] * step).reshape(-1, *after)
        # Arithmetic in place of a choice: several times as fast where the mask is random.
        moved = (offset if index is None else index[source] + offset) - known_index
        moved *= better
        np.maximum(known, candidate, out=known)
        known_index += moved
        if not isinstance(tap.where, slice):  # then these are copies
            best[where], best_index[where] = known, known_index
    return best, best_index


def check_spatial_dims(shape: Shape, n: int) -> None:
    """Refuse an input without batch or channels, or with an empty dim other than the batch."""
    unbatched = len(shape) == n + 1
    if not (unbatched or len(shape) == n + 2) or any(s == 0 for s in shape[0 if unbatched else 1 :]):
        raise RuntimeError(f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for input, but got:{sizes(shape)}")
