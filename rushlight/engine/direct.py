"""A routine's own native call: run at once, with nothing recorded and nothing looked up.

A captured function's work is one routine (routine.py). Where nothing is pending before it, its operands are there and its
outputs are wanted, so that the key of its trace is known beforehand. What is left to do for a run is to allocate the outputs,
to collect addresses and numbers, and to call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from operator import add, attrgetter, itemgetter
from typing import Any

from ..buffers import cache
from . import llvm
from .execute import ENTRIES_AT_MOST, Compiled, counts, known_of
from .memory import address_of
from .routine import Region, Routine
from .trace import Fate, scan, trace_of

_storage, _offset = itemgetter(0), itemgetter(1)
_address = attrgetter("address")


#: Routines that make more bytes gain little: what comes behind them on the tape may share their memory while it is in the cache.
BYTES_AT_MOST = 1 << 20


class Direct:
    """A routine compiled for operands that are there and outputs that are wanted."""

    __slots__ = ("segment", "temporaries", "pick", "scales", "numbers", "offsets", "begins")

    def __init__(self, compiled: Compiled, layouts: int, outputs: int) -> None:
        assert compiled.only is not None
        self.segment = segment = compiled.only
        first = layouts + outputs  # of the slots of what is local to the routine
        derived = {slot: (base, offset) for slot, base, offset in compiled.derived}
        begins = [offset for _, offset, _ in compiled.locals]
        self.temporaries = [offset + begins[slot - first] * itemsize for slot, offset, itemsize in segment.temporaries]
        regions = [(*(derived[slot] if slot >= first else (slot, 0)), itemsize) for slot, _, itemsize in segment.regions]
        places = [place for place, _, _ in regions]
        self.pick = None if places == [*range(first)] else places  # of the operands and outputs; None: each once, in order
        self.scales = regions
        self.numbers = segment.numbers
        self.offsets: Sequence[int] | None = None  # of the operands and outputs of the last run
        self.begins: Sequence[int] = ()  # and where the program's regions began in their storages, in bytes

    def run(self, regions: Sequence[Region], numbers: Sequence[float], outputs: Sequence[Region]) -> float:
        """One native call, over the routine's operands. Answers the seconds it took, or 0 with nothing done: an operand has no bytes, or there is no memory."""
        segment = self.segment
        start = time.perf_counter()
        addresses = list(map(_address, map(_storage, regions)))
        if 0 in addresses:
            if any(storage.data is None for storage, _, _ in regions):
                return 0.0
            addresses = [address_of(storage) for storage, _, _ in regions]
        try:
            for storage, _, _ in outputs:
                if storage.data is None:
                    storage.allocate()
                addresses.append(storage.address)
            scratch = cache.take(segment.arena) if segment.arena else None
        except (MemoryError, RuntimeError):
            return 0.0
        try:
            base = scratch[1] if scratch is not None else 0
            values: list[float] = [base]
            if self.temporaries:
                values += [base + offset for offset in self.temporaries]
            offsets = list(map(_offset, chain(regions, outputs)))
            if offsets != self.offsets:
                self.begins = [(offsets[place] + delta) * itemsize for place, delta, itemsize in self.scales]
                self.offsets = offsets
            values += map(add, addresses if self.pick is None else map(addresses.__getitem__, self.pick), self.begins)
            if self.numbers:
                values += [float(numbers[number]) if is_float else int(numbers[number]) for number, is_float in self.numbers]
            called = time.perf_counter()
            segment.program.run(values)
        finally:
            if scratch is not None:
                cache.give(scratch)
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
    found = scan([(routine, outputs, inputs, None)])
    written = {storage for storage, _, _ in outputs}
    if found.failed or any(storage.data is None for storage in found.storages if storage not in written):
        return
    found.fates = [Fate.WANTED if storage in written else Fate.THERE for storage in found.storages]
    found.key = (*found.key[: len(found.key) - len(found.fates)], *found.fates)
    known = known_of(found.key, lambda: trace_of([(routine, outputs, inputs, None)], found))
    if known.finished:
        routine.direct = known.compiled is not None and _direct(known.compiled, routine)


def _direct(compiled: Compiled, routine: Routine) -> Direct | bool:
    """False where a run is more than one native call over the operands."""
    layouts = len(routine.operands) - len(routine.numbers)
    only = compiled.only
    if only is None:
        return False
    derived = {slot for slot, _, _ in compiled.derived}
    first = layouts + len(routine.outputs)
    reachable = all(slot < first or slot in derived for slot, _, _ in only.regions)
    return Direct(compiled, layouts, len(routine.outputs)) if reachable and all(slot >= first for slot, _, _ in only.temporaries) else False
