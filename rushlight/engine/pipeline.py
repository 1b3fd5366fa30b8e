"""From a trace to something that runs: the passes, in order.

    fuse      entries become units: groups of loops, library calls, entries left to the interpreter
    cut       units become segments, each one native call; an interpreted entry stands between two of them
    join      groups that follow a library call element for element become its tail
    place     every storage gets memory of its own, or a place in the segment's arena, or, fused away, none
    lower     groups become kernels, and a segment one program

A value that more than one segment touches always has memory of its own. So when an interpreted entry fails, what comes
after it can still be run entry by entry.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import config
from . import show, verify
from .fuse import Group, Interpreted, Library, Unit, fuse
from .kernel import WORKSPACE, Call, Pointer
from .lowering import Calls
from .nests import lower_group
from .run import Program
from .tails import AnyUnit, Tailed, with_slots, with_tails
from .terms import is_exact as is_exact_node
from .trace import Fate, Step, Trace

_ALIGNED = 64


@dataclass(eq=False)
class Segment:
    """Units that run in one native call.

    The program's values are, in order: the arena's address, those of regions that begin elsewhere in it from run to run, those
    of regions outside, numbers.
    """

    steps: list[Step]
    program: Program
    arena: int  # bytes
    placed: dict[int, int]  # where in the arena its storages are
    temporaries: list[tuple[int, int, int]]  # slot, the storage's offset in the arena, bytes of an element
    regions: list[tuple[int, int, int]]  # slot, storage, bytes of an element
    numbers: list[tuple[int, bool]]  # which number of the trace, and whether it is passed as a float
    allocated: list[int] = field(default_factory=list)  # owed storages that get their memory now


class Draft(NamedTuple):
    """A segment whose operands still have the names of slots."""

    units: Sequence[AnyUnit]
    calls: Sequence[tuple[int, Call]]  # with the number of the unit
    workspaces: dict[int, int]  # bytes for each unit
    own: set[int]  # storages that have memory of their own
    placed: dict[int, int]  # where in the arena the others are, and (key ``-1 - unit``) the workspaces
    arena: int


Part = Segment | Step


@dataclass(eq=False)
class Compiled:
    """A trace ready to run: segments, and steps for the interpreter between them.

    `locals` are the regions local to routines, which have the last slots. Where one is over an operand's storage, `derived` has
    its slot, the operand's slot, and how far behind that it begins.
    """

    parts: list[Part]
    kernels: int
    locals: list[tuple[None, int, None]]
    derived: list[tuple[int, int, int]]

    def __post_init__(self) -> None:
        part = self.parts[0] if len(self.parts) == 1 else None
        self.only = part if isinstance(part, Segment) else None  # all of it is one native call

    @property
    def native(self) -> bool:
        return any(isinstance(part, Segment) for part in self.parts)


def compile_trace(trace: Trace) -> Compiled:
    """All passes over a trace."""
    if config.VERIFY:
        verify.trace(trace)
    if config.DEBUG >= 1:
        show.out(show.trace(trace))
    units = fuse(trace)
    if config.VERIFY:
        verify.units(trace, units)
    touched = _touching_parts(trace, units)
    parts: list[Part] = []
    run: list[Unit] = []
    for unit in [*units, None]:
        if unit is not None and not isinstance(unit, Interpreted):
            run.append(unit)
            continue
        if run:
            parts.extend(_segment(trace, run, touched))
            run = []
        if unit is not None:
            parts.append(unit.step)
    _allocations(trace, parts)
    if config.VERIFY:
        verify.parts(trace, parts)
    first = len(trace.slots) - len(trace.locals)
    return Compiled(
        parts,
        sum(len(p.program.calls) for p in parts if isinstance(p, Segment)),
        [(None, offset, None) for _, offset in trace.locals],
        [(first + n, slot, offset) for n, (slot, offset) in enumerate(trace.locals) if slot >= 0],
    )


def is_exact(trace: Trace) -> bool:
    """Whether the bits of all of a trace are fixed by IEEE, so that NumPy's rules give the same."""
    return all(_is_exact(unit) for unit in fuse(trace))


def _is_exact(unit: Unit) -> bool:
    if isinstance(unit, Group):
        return all(is_exact_node(node) for node in unit.terms.nodes) and not unit.columns()
    lowering = unit.step.plan.card.lowering
    return isinstance(unit, Library) and isinstance(lowering, Calls) and lowering.exact


def _storages(trace: Trace, unit: AnyUnit) -> set[int]:
    """All storages that a unit touches."""
    return trace.storages(slot for step in unit.steps for slot in (*step.inputs, *step.outputs))


def _touching_parts(trace: Trace, units: Sequence[Unit]) -> dict[int, set[int]]:
    """For each storage the parts that touch it: segments are numbered by the interpreted units before them."""
    touched: dict[int, set[int]] = {}
    part = 0
    for unit in units:
        if isinstance(unit, Interpreted):
            part += 1
        for storage in _storages(trace, unit):
            touched.setdefault(storage, set()).add(part)
        if isinstance(unit, Interpreted):
            part += 1
    return touched


def _segment(trace: Trace, plain: list[Unit], touched: dict[int, set[int]]) -> list[Part]:
    """One native call for a run of units."""
    units = with_tails(trace, plain)
    own = {s for s, parts in touched.items() if trace.fates[s] is not Fate.DROPPED or len(parts) > 1}
    readers: dict[int, set[int]] = {}  # storage -> units that touch it
    for n, unit in enumerate(units):
        for storage in _storages(trace, unit):
            readers.setdefault(storage, set()).add(n)

    calls: list[tuple[int, Call]] = []
    workspaces: dict[int, int] = {}
    for n, unit in enumerate(units):
        trace.give_way()

        def needed(slot: int) -> bool:
            storage = trace.slots[slot].storage
            return storage in own or len(readers[storage]) > 1

        if isinstance(unit, Library):
            lowered = with_slots(unit)
        else:
            assert isinstance(unit, (Group, Tailed))
            found = lower_group(unit, needed) if isinstance(unit, Group) else unit.lowered(trace, needed)
            if found is None:
                assert isinstance(unit, Group), "a group that is a tail has loops"
                return _cut_around(trace, plain, plain.index(unit), touched)
            lowered = found
        workspaces[n] = lowered.workspace
        calls.extend((n, call) for call in lowered.calls)
    return [_assemble(trace, units, calls, workspaces, own)] if calls else []


def _cut_around(trace: Trace, units: list[Unit], at: int, touched: dict[int, set[int]]) -> list[Part]:
    """The segments before and after a group that does not make a loop nest, whose steps are interpreted."""
    for unit in units:
        for storage in _storages(trace, unit):
            touched[storage] = {-1, -2}  # memory of its own
    before = _segment(trace, units[:at], touched) if at else []
    after = _segment(trace, units[at + 1 :], touched) if at + 1 < len(units) else []
    return [*before, *units[at].steps, *after]


def _assemble(trace: Trace, units: Sequence[AnyUnit], calls: Sequence[tuple[int, Call]], workspaces: dict[int, int], own: set[int]) -> Segment:
    lives: dict[int, tuple[int, int]] = {}  # temporaries: the first and the last unit that touch them
    used: set[int] = set()
    for n, call in calls:
        trace.give_way()
        for pointer in call.pointers():
            if pointer.operand != WORKSPACE:
                used.add(pointer.operand)
                if pointer.operand < len(trace.slots) and (storage := trace.slots[pointer.operand].storage) not in own:
                    lives[storage] = (lives.get(storage, (n, n))[0], n)
    placed, arena = _arena([(first, last, trace.nbytes[s], s) for s, (first, last) in lives.items()], workspaces)
    draft = Draft(units, calls, workspaces, own, placed, arena)
    if config.VERIFY:
        verify.segment(trace, draft)
    if config.DEBUG >= 2:
        show.out(show.segment(trace, draft, loops=config.DEBUG >= 3))
    slots = sorted(s for s in used if s < len(trace.slots))
    begins = {s: at for s in slots if (at := _begin_in_arena(trace, s, placed)) is not None}
    temporaries = [s for s in slots if trace.slots[s].storage in placed and s not in begins]
    regions = [s for s in slots if trace.slots[s].storage not in placed]
    numbers = sorted(used.difference(slots))
    position = {slot: n for n, slot in enumerate((*temporaries, *regions, *numbers), 1)}

    final: list[Call] = []
    for unit, call in calls:
        trace.give_way()
        workspace = placed.get(-1 - unit, 0)

        def resolved(word: Pointer, workspace: int = workspace) -> Pointer:
            if word.operand == WORKSPACE:
                return Pointer(0, workspace + word.offset)
            begin = begins.get(word.operand)
            return Pointer(position[word.operand], word.offset) if begin is None else Pointer(0, begin + word.offset)

        final.append(call.renamed(resolved))
    floats = _float_numbers(units)
    return Segment(
        [step for unit in units for step in unit.steps],
        Program(final, 1 + len(position), [position[s] for s in numbers if s in floats]),
        arena,
        {storage: at for storage, at in placed.items() if storage >= 0},
        [(s, placed[trace.slots[s].storage], trace.slots[s].layout.dtype.itemsize) for s in temporaries],
        [(s, trace.slots[s].storage, trace.slots[s].layout.dtype.itemsize) for s in regions],
        [(s - len(trace.slots), s in floats) for s in numbers],
    )


def _begin_in_arena(trace: Trace, slot: int, placed: dict[int, int]) -> int | None:
    """Where in the arena a region begins, if that is the same in every run."""
    storage, layout = trace.slots[slot]
    if storage not in placed:
        return None
    local = slot - (len(trace.slots) - len(trace.locals))
    if local >= 0 and trace.locals[local][0] < 0:
        return placed[storage] + trace.locals[local][1] * layout.dtype.itemsize
    return placed[storage] if layout.nbytes == trace.nbytes[storage] else None  # all of it: the offset can only be zero


def _float_numbers(units: Sequence[AnyUnit]) -> set[int]:
    """Slots of numbers that native code takes as doubles."""
    found = set()
    for unit in [part for each in units for part in ((each.library, each.group) if isinstance(each, Tailed) else (each,))]:
        if isinstance(unit, Group):
            found |= {o.slot for o in unit.operands if o.type == "double" and not o.strides}
        else:
            found |= {slot for step in unit.steps for position, slot in enumerate(step.inputs) if step.plan.operands[position] is float}
    return found


def _arena(temporaries: list[tuple[int, int, int, int]], workspaces: dict[int, int]) -> tuple[dict[int, int], int]:
    """Offsets in one buffer for temporaries (first and last unit, bytes, storage) and the units' workspaces (key ``-1 - unit``).

    In the order of units, each takes the first gap that is large enough, which those that have ended leave.
    """
    wanted = temporaries + [(n, n, size, -1 - n) for n, size in workspaces.items() if size]
    wanted.sort(key=lambda w: w[0])
    gaps: list[tuple[int, int]] = []  # begin and end, in order
    living: list[tuple[int, int, int]] = []  # a heap of last unit, begin, end
    offsets: dict[int, int] = {-1 - n: 0 for n in workspaces}
    top = 0
    for first, last, nbytes, name in wanted:
        while living and living[0][0] < first:
            _, begin, end = heapq.heappop(living)
            gaps = _with_gap(gaps, begin, end)
        size = -(-nbytes // _ALIGNED) * _ALIGNED
        for n, (begin, end) in enumerate(gaps):
            if end - begin >= size:
                gaps[n : n + 1] = [(begin + size, end)] if end - begin > size else []
                break
        else:
            begin = top
            top += size
        offsets[name] = begin
        heapq.heappush(living, (last, begin, begin + size))
    return offsets, top


def _with_gap(gaps: list[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int]]:
    """The gaps with one more, joined to its neighbours."""
    found = []
    for other_begin, other_end in gaps:
        if other_end == begin:
            begin = other_begin
        elif other_begin == end:
            end = other_end
        else:
            found.append((other_begin, other_end))
    bisect.insort(found, (begin, end))
    return found


def _allocations(trace: Trace, parts: Sequence[Part]) -> None:
    """Owed storages get memory when a segment touches them; an interpreted step sees to that itself."""
    for part in parts:
        if isinstance(part, Segment):
            storages = dict.fromkeys(storage for _, storage, _ in part.regions)
            part.allocated = [s for s in storages if trace.fates[s] is not Fate.THERE]
