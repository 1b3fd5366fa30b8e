"""The order in which PyTorch's unstable algorithms leave equal values.

PyTorch sorts and selects with the C++ library's `sort`, `nth_element` and `partial_sort` (libstdc++: introsort, introselect
and heaps), and `kthvalue` with a quickselect of its own. Which of several equal values they name first is no part of any
contract, but programs print it. Values are decided elsewhere; here the same comparisons and swaps are made on ranks,
for slices that hold equal values and are not too many.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..engine import introsort, llvm

#: Above this many elements to place one by one, equal values keep their order instead.
AT_MOST = 1 << 14

Item = tuple[int, int]  # a value's rank, and where it was
Algorithm = Callable[[list[Item]], None]


def with_ties_placed(slices: np.ndarray, order: np.ndarray, axis: int, algorithm: Algorithm, *, every: bool = False, first: int | None = None) -> np.ndarray:
    """`order`, which sorts `slices` along `axis`, with the slices that hold equal values (or `every` one) ordered by `algorithm` instead.

    Where only the `first` ones count, only those that are equal to one of these do.
    """
    size = slices.shape[axis]
    if size < 2 or size > AT_MOST:
        return order
    rows = np.moveaxis(np.take_along_axis(slices, order, axis), axis, -1).reshape(-1, size)
    equal = (rows[:, 1:] == rows[:, :-1]) | ((rows[:, 1:] != rows[:, 1:]) & (rows[:, :-1] != rows[:, :-1]))
    found = placed(np.moveaxis(order, axis, -1), equal, algorithm, every=every, first=first)
    return np.moveaxis(found, -1, axis)


def placed(order: np.ndarray, equal: np.ndarray, algorithm: Algorithm, *, every: bool = False, first: int | None = None) -> np.ndarray:
    """As `with_ties_placed`, along the last axis: `equal` says of each value but the first whether it equals the one before it."""
    size = order.shape[-1]
    equal = equal.reshape(-1, size - 1)
    tied = np.flatnonzero(equal[:, :first].any(1) | every)
    if not len(tied) or len(tied) * size > AT_MOST:
        return order
    found = order.reshape(-1, size).copy()
    steps = np.zeros((len(tied), size), np.int64)
    np.cumsum(~equal[tied], 1, out=steps[:, 1:])
    ranks = np.empty_like(steps)
    np.put_along_axis(ranks, found[tied], steps, 1)
    if algorithm is sort and llvm.AVAILABLE:
        tied, ranks = _sort_natively(tied, ranks, found)
    for row, its in zip(tied.tolist(), ranks.tolist(), strict=True):
        items = list(zip(its, range(size), strict=True))
        algorithm(items)
        found[row] = [item[1] for item in items]
    return found.reshape(order.shape)


def _sort_natively(rows: np.ndarray, ranks: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`sort` as native code, into `found`, and the rows and ranks that are left: those for which that would go over to heaps."""
    items = ranks << 32
    items |= np.arange(ranks.shape[1])
    done = introsort.partition(items)
    # What is left is an insertion sort, which is stable.
    order = np.argsort(items >> 32, 1, kind="stable")
    found[rows[done]] = np.take_along_axis(items, order, 1)[done] & 0xFFFFFFFF
    return rows[~done], ranks[~done]


def sort(items: list[Item], first: int = 0, last: int | None = None) -> None:
    """`std::sort`: quicksort down to pieces of 16, then insertion sort, which is stable."""
    last = len(items) if last is None else last
    if last - first > 1:
        pieces = [(first, last, 2 * (last - first).bit_length() - 2)]
        while pieces:
            low, high, depth = pieces.pop()
            while high - low > 16:
                if depth == 0:
                    partial_sort(items, low, high, high)
                    break
                depth -= 1
                cut = _partition(items, low, high)
                pieces.append((cut, high, depth))
                high = cut
        items[first:last] = sorted(items[first:last], key=_rank)


def nth_element(items: list[Item], nth: int) -> None:
    """`std::nth_element`: put the item that sorting would put at `nth` there, smaller ones before it."""
    first, last = 0, len(items)
    depth = 2 * last.bit_length() - 2
    while last - first > 3:
        if depth == 0:
            _select_by_heap(items, first, nth + 1, last)
            items[first], items[nth] = items[nth], items[first]
            return
        depth -= 1
        cut = _partition(items, first, last)
        if cut <= nth:
            first = cut
        else:
            last = cut
    items[first:last] = sorted(items[first:last], key=_rank)


def top(items: list[Item], k: int, ordered: bool) -> None:
    """The `k` first as `topk` finds them: by a heap when they are few, else by selection and a sort of all but the last."""
    if k * 64 <= len(items):
        partial_sort(items, 0, k, len(items))
    elif k:
        nth_element(items, k - 1)
        if ordered:
            sort(items, 0, k - 1)


def quickselect(items: list[Item], k: int) -> None:
    """The selection of `kthvalue`: Hoare's, with the median of three at the left end."""

    def swap_if_greater(a: int, b: int) -> None:
        if items[a][0] > items[b][0]:
            items[a], items[b] = items[b], items[a]

    left, right = 0, len(items) - 1
    while right > left + 1:
        middle = left + (right - left) // 2
        items[middle], items[left + 1] = items[left + 1], items[middle]
        swap_if_greater(left + 1, right)
        swap_if_greater(left, right)
        swap_if_greater(left + 1, left)
        i, j, pivot = left + 1, right, items[left][0]
        while True:
            i += 1
            while pivot > items[i][0]:
                i += 1
            j -= 1
            while items[j][0] > pivot:
                j -= 1
            if j < i:
                break
            items[i], items[j] = items[j], items[i]
        items[left], items[j] = items[j], items[left]
        if j <= k:
            left = i
        if j >= k:
            right = j - 1
    if right == left + 1:
        swap_if_greater(left, right)


def _rank(item: Item) -> int:
    return item[0]


def _partition(items: list[Item], first: int, last: int) -> int:
    """Swap around the median of the second, the middle and the last item; the start of the upper part."""
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    ra, rb, rc = items[a][0], items[b][0], items[c][0]
    if ra < rb:
        median = b if rb < rc else c if ra < rc else a
    else:
        median = a if ra < rc else c if rb < rc else b
    items[first], items[median] = items[median], items[first]
    pivot = items[first][0]
    low, high = first + 1, last
    while True:
        while items[low][0] < pivot:
            low += 1
        high -= 1
        while pivot < items[high][0]:
            high -= 1
        if low >= high:
            return low
        items[low], items[high] = items[high], items[low]
        low += 1


# Heaps, the largest first, over items[first:first + length]


def _sift(items: list[Item], first: int, hole: int, length: int, value: Item) -> None:
    top_of_path, child = hole, hole
    while child < (length - 1) // 2:
        child = 2 * child + 2
        if items[first + child][0] < items[first + child - 1][0]:
            child -= 1
        items[first + hole] = items[first + child]
        hole = child
    if length % 2 == 0 and child == (length - 2) // 2:
        child = 2 * child + 1
        items[first + hole] = items[first + child]
        hole = child
    parent = (hole - 1) // 2
    while hole > top_of_path and items[first + parent][0] < value[0]:
        items[first + hole] = items[first + parent]
        hole = parent
        parent = (hole - 1) // 2
    items[first + hole] = value


def _pop_to(items: list[Item], first: int, last: int, result: int) -> None:
    """Put the largest of the heap at `result`, and what was there into the heap."""
    value = items[result]
    items[result] = items[first]
    _sift(items, first, 0, last - first, value)


def _select_by_heap(items: list[Item], first: int, middle: int, last: int) -> None:
    """The smallest items into ``items[first:middle]``, as a heap."""
    length = middle - first
    for parent in range((length - 2) // 2, -1, -1):
        _sift(items, first, parent, length, items[first + parent])
    for n in range(middle, last):
        if items[n][0] < items[first][0]:
            _pop_to(items, first, middle, n)


def partial_sort(items: list[Item], first: int, middle: int, last: int) -> None:
    """`std::partial_sort`: the smallest items, in order, into ``items[first:middle]``."""
    if middle == first:
        return
    _select_by_heap(items, first, middle, last)
    for end in range(middle - 1, first, -1):
        _pop_to(items, first, end, end)
