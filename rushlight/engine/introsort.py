"""The partitions of `std::sort` as native code: which of equal values its quicksort leaves in front (ops/tie_order.py).

Items are integers: a rank in the upper 32 bits, which alone is compared, and where the item was in the lower ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..buffers import address_of
from .by_hand import functions
from .emit import Builder, Value

#: Pieces of so many items are left to an insertion sort.
PIECE = 16
#: What the kernel keeps in memory, by number of the word: how many pieces wait, and the piece and the two items at work.
_WAITING, _LOW, _HIGH, _DEPTH, _LEFT, _RIGHT, _FAILED, _STACK = range(8)
_PIECES_AT_MOST = 128


def partition(rows: np.ndarray) -> np.ndarray:
    """Swap the items in each row of contiguous int64 until every piece has at most 16.

    Says for which rows; in the others, half done, `std::sort` would go over to heaps.
    """
    count, size = rows.shape
    begin = np.zeros(_STACK + 3, np.int64)
    begin[_WAITING] = 1
    begin[_STACK:] = 0, size, 2 * size.bit_length() - 2
    work = np.empty(len(begin) + 3 * _PIECES_AT_MOST, np.int64)
    run, first, place = _function(), address_of(rows), address_of(work)
    done = np.empty(count, bool)
    for row in range(count):
        work[: len(begin)] = begin
        run(first + row * size * 8, place)
        done[row] = not work[_FAILED]
    return done


@cache
def _function() -> Callable[..., None]:
    return functions([_kernel()])[0]


def _kernel() -> Builder:
    k = Builder("introsort", [("ptr", "args"), ("i64", "chunk")])
    items, work = (k.load(k.address(k.parameters["args"], n, "i64"), "ptr") for n in (0, 1))
    one, three = k.constant(1, "i64"), k.constant(3, "i64")

    def get(word: int) -> Value:
        return k.load(k.address(work, word, "i64"), "i64")

    def put(word: int, value: Value) -> None:
        k.store(value, k.address(work, word, "i64"))

    def item(at: Value) -> Value:
        return k.load(k.address(items, at, "i64"), "i64")

    def rank(at: Value) -> Value:
        return k.ashr(item(at), 32)

    def less(a: Value, b: Value) -> Value:
        return k.compare("slt", a, b)

    def swap(a: Value, b: Value) -> None:
        first, second = item(a), item(b)
        k.store(second, k.address(items, a, "i64"))
        k.store(first, k.address(items, b, "i64"))

    def place(number: Value) -> Value:
        """Where a waiting piece is kept."""
        return k.address(k.address(work, _STACK, "i64"), k.mul(number, three), "i64")

    k.jump("next_piece")
    k.label("next_piece")
    waiting = get(_WAITING)
    k.branch(k.compare("eq", waiting, k.constant(0, "i64")), "done", "take")
    k.label("take")
    number = k.sub(waiting, one)
    put(_WAITING, number)
    for n, word in enumerate((_LOW, _HIGH, _DEPTH)):
        put(word, k.load(k.address(place(number), n, "i64"), "i64"))
    k.jump("piece")

    k.label("piece")
    low, high, depth = get(_LOW), get(_HIGH), get(_DEPTH)
    k.branch(less(k.constant(PIECE, "i64"), k.sub(high, low)), "long", "next_piece")
    k.label("long")
    k.branch(k.compare("eq", depth, k.constant(0, "i64")), "give_up", "divide")
    k.label("give_up")
    put(_FAILED, one)
    k.jump("done")

    # The median of the second, the middle and the last item goes in front, and divides the others.
    k.label("divide")
    put(_DEPTH, k.sub(depth, one))
    a, b, c = k.add(low, one), k.add(low, k.lshr(k.sub(high, low), 1)), k.sub(high, one)
    ra, rb, rc = rank(a), rank(b), rank(c)
    rising = k.select(less(rb, rc), b, k.select(less(ra, rc), c, a))
    falling = k.select(less(ra, rc), a, k.select(less(rb, rc), c, b))
    swap(low, k.select(less(ra, rb), rising, falling))
    pivot = rank(low)
    put(_LEFT, k.add(low, one))
    put(_RIGHT, high)
    k.jump("up")
    k.label("up")
    left = get(_LEFT)
    put(_LEFT, k.add(left, one))
    k.branch(less(rank(left), pivot), "up", "down")
    k.label("down")
    right = k.sub(get(_RIGHT), one)
    put(_RIGHT, right)
    k.branch(less(pivot, rank(right)), "down", "meet")
    k.label("meet")
    k.branch(less(left, right), "exchange", "cut")
    k.label("exchange")
    swap(left, right)
    k.jump("up")

    k.label("cut")
    number, left_depth = get(_WAITING), get(_DEPTH)
    for n, value in enumerate((left, get(_HIGH), left_depth)):
        k.store(value, k.address(place(number), n, "i64"))
    put(_WAITING, k.add(number, one))
    put(_HIGH, left)
    k.jump("piece")
    k.label("done")
    return k
