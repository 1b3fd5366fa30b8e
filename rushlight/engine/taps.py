"""Tables of taps as words of a kernel's call, for pooling and resampling.

A table says of each place of one dim which places it takes, and with what weight (ops/separable.py). A kernel reads it
in one of two forms, which stand behind the call's other words:

- Rows: for a dim that a loop runs over, the taps of each place one after another.
- Lanes: for the dim along which vectors lie, by taps and blocks of 16 places. Most blocks take neighbours, every second place, or
  each place twice, which a load and a shuffle do; `PATTERNS` lists these, all others are gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .emit import LANES

if TYPE_CHECKING:
    from ..ops.separable import Table

#: By kind, from 1 on: which elements behind a block's first one its lanes take.
PATTERNS = (tuple(range(LANES)), tuple(range(0, 2 * LANES, 2)), tuple(n // 2 for n in range(LANES)), tuple((n + 1) // 2 for n in range(LANES)))
GATHERED = 0


class Dense(NamedTuple):
    """A table as arrays of shape (places, taps): what each tap takes (-1 for nothing), and its weight."""

    places: np.ndarray
    weight: np.ndarray | None

    @property
    def complete(self) -> bool:
        """Whether every place takes something."""
        return bool((self.places >= 0).any(1).all())


def dense(table: Table) -> Dense:
    index = np.full((table.out, len(table.taps)), -1, np.int64)
    weight = np.ones(index.shape)
    for t, tap in enumerate(table.taps):
        index[tap.where, t] = np.arange(table.size)[tap.source]
        if tap.weight is not None:
            weight[tap.where, t] = tap.weight
    return Dense(index, weight if any(tap.weight is not None for tap in table.taps) else None)


#: A dim that is not there: one place, which takes itself.
NO_DIM = Dense(np.zeros((1, 1), np.int64), None)


class Appended:
    """Words that grow by tables; each is named by the number of its first word."""

    def __init__(self, header: int) -> None:
        self.header = header
        self.words: list[int] = []

    def add(self, *arrays: np.ndarray) -> int:
        """Arrays one after another."""
        at = self.header + len(self.words)
        data = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
        self.words += np.frombuffer(data + bytes(-len(data) % 8), np.int64).tolist()
        return at


def add_rows(words: Appended, taps: Dense, factors: np.ndarray | None) -> tuple[int, int]:
    """Where the places' first taps are numbered, and where the taps are: pairs of a place and a factor, as a double."""
    valid = taps.places >= 0
    starts = np.concatenate(([0], np.cumsum(valid.sum(1))))
    pairs = np.empty((int(starts[-1]), 2), np.int64)
    pairs[:, 0] = taps.places[valid]
    pairs[:, 1] = (np.ones(int(starts[-1])) if factors is None else np.asarray(factors, np.float64)[valid]).view(np.int64)
    return words.add(starts), words.add(pairs)


def add_lanes(words: Appended, taps: Dense, factors: np.ndarray | None, dtype: Any, unit_stride: bool) -> tuple[int, int, int]:
    """Where the records, the places and the factors are, each by tap and block.

    A record has the kind of its block (i32), its first place (i32), which elements behind that are loaded (i32), and which
    lanes take part (i32).
    """
    places, count = taps.places.shape
    padded = -(-places // LANES) * LANES
    index = np.full((count, padded), -1, np.int32)
    index[:, :places] = taps.places.T
    blocks = index.reshape(count, -1, LANES)
    records = np.zeros((*blocks.shape[:2], 4), np.int64)
    bits = 1 << np.arange(2 * LANES, dtype=np.int64)
    for at in np.ndindex(*blocks.shape[:2]):
        records[at] = _record(blocks[at], bits, unit_stride)
    where = words.add(records.astype(np.uint32)), words.add(np.maximum(blocks, 0))
    if factors is None:
        return *where, 0
    filled = np.ones((count, padded), dtype)
    filled[:, :places] = np.where(taps.places >= 0, factors, 1).T
    return *where, words.add(filled)


def _record(lanes: np.ndarray, bits: np.ndarray, unit_stride: bool) -> Sequence[int]:
    valid = lanes >= 0
    chosen = int(bits[:LANES][valid].sum())
    if unit_stride and chosen:
        first = int(np.argmax(valid))
        for kind, pattern in enumerate(PATTERNS, 1):
            start = int(lanes[first]) - pattern[first]
            if all(start + pattern[n] == lanes[n] for n in np.flatnonzero(valid)):
                loaded = sum({int(bits[pattern[n]]) for n in np.flatnonzero(valid)})
                return kind, start, loaded, chosen
    return GATHERED, 0, 0, chosen
