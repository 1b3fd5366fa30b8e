"""The order of values along a dim, as the indices that sort them."""

from __future__ import annotations

import numpy as np

from . import tie_order

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
