"""A routine's own native call: run at once, with nothing recorded and nothing looked up.

A captured function's work is one routine (routine.py). Where nothing is pending before it, its operands are there and its
outputs are wanted, so that the key of its trace is known beforehand. What is left to do for a run is to allocate the outputs,
and to call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..buffers import cache
from . import llvm
from .execute import ENTRIES_AT_MOST, counts, known_of
from .recognised import Recognised, recognised
from .routine import Region, Routine
from .trace import Fate, scan, trace_of

#: Routines that make more bytes gain little: what comes behind them on the tape may share their memory while it is in the cache.
BYTES_AT_MOST = 1 << 20


class Direct:
    """A routine compiled for operands that are there and outputs that are wanted."""

    __slots__ = ("native", "arena")

    def __init__(self, native: Recognised) -> None:
        self.native = native
        self.arena = native.segment.arena

    def run(self, regions: Sequence[Region], numbers: Sequence[float], outputs: Sequence[Region]) -> float:
        """One native call, over the routine's operands. Answers the seconds it took, or 0 with nothing done: an operand has no bytes, or there is no memory."""
        start = time.perf_counter()
        try:
            for storage, _, _ in outputs:
                if storage.data is None:
                    storage.allocate()
            scratch = cache.take(self.arena) if self.arena else None
        except (MemoryError, RuntimeError):
            return 0.0
        entries = ((None, outputs, (*regions, *numbers)),)
        called = time.perf_counter()
        try:
            ran = self.native.run(entries, scratch[1] if scratch is not None else 0)
        finally:
            if scratch is not None:
                cache.give(scratch)
        if not ran:
            return 0.0
        end = time.perf_counter()
        counts.native_seconds += end - called
        counts.packing_seconds += called - start
        counts.direct_runs += 1
        counts.native_calls += 1
        return end - start


def prepare(routine: Routine, outputs: Sequence[Region], inputs: Sequence[Any]) -> None:
    """Have a routine compiled that runs now and then, and note its own native call once there is one."""
    if not llvm.AVAILABLE or len(routine.steps) > ENTRIES_AT_MOST or routine.nbytes > BYTES_AT_MOST:
        routine.direct = False
        return
    entries = ((routine, outputs, inputs, None),)
    found = scan(entries)
    written = {storage for storage, _, _ in outputs}
    if found.failed or any(storage.data is None for storage in found.storages if storage not in written):
        return
    found.fates = [Fate.WANTED if storage in written else Fate.THERE for storage in found.storages]
    found.key = (*found.key[: len(found.key) - len(found.fates)], *found.fates)
    known = known_of(found.key, lambda: trace_of(entries, found))
    if known.finished:
        native = recognised(entries, found, known.compiled) if known.compiled is not None else None
        routine.direct = Direct(native) if native is not None else False
