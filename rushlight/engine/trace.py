"""Traces: what is pending, in canonical form.

Regions (a layout over a storage at an offset) are numbered in the order of their first mention, and so are storages. Two
traces with one key run the same ops on the same layouts with the same pattern of aliasing and the same storages needed
afterwards; they differ in addresses, offsets and numbers alone, which are arguments of the native code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shape import Layout
from ..storage import Storage
from .routine import Routine

if TYPE_CHECKING:
    from ..ops.card import Plan


class Fate:
    """What becomes of a storage. Plain integers, since they are part of every key."""

    THERE = 0  # it has bytes already
    WANTED = 1  # it is owed, and somebody can still read it afterwards
    DROPPED = 2  # it is owed, and nobody can


class Slot(NamedTuple):
    """A region as the compiler knows it."""

    storage: int
    layout: Layout


class Step(NamedTuple):
    """An entry. Operands are numbers of slots; those that are Python numbers come after all slots."""

    number: int  # its place among the entries
    plan: Plan
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Scan:
    """What one flush found: the key, and what differs between traces of one key."""

    key: tuple[Any, ...]
    regions: list[Any]  # (storage, offset, layout)
    numbers: Sequence[Any]
    storages: list[Storage]
    fates: list[int]
    failed: bool = False  # whether a storage's error stands instead of its bytes


def _go_on() -> None:
    """Nobody is waiting."""


@dataclass(eq=False)
class Trace:
    """What a key stands for."""

    steps: list[Step]
    slots: list[Slot]
    numbers: int
    fates: list[int]
    nbytes: list[int]  # of each storage
    locals: list[tuple[int, int]] = field(default_factory=list)  # of the last slots: the slot behind whose begin it begins (-1: its storage's own), and how far
    give_way: Callable[[], None] = _go_on  # called all through compiling, so that other threads may run

    def storages(self, operands: Iterable[int]) -> set[int]:
        """The storages of those operands that are regions."""
        return {self.slots[s].storage for s in operands if s < len(self.slots)}


def _occurrences(storages: Iterable[Storage]) -> dict[Storage, int]:
    counts: dict[Storage, int] = {}
    for storage in storages:
        counts[storage] = counts.get(storage, 0) + 1
    return counts


def _references(storages: Iterable[Storage], owed: Iterable[Storage]) -> list[int]:
    """For each storage how many references it has beyond those of the operands that name it.

    `owed` repeats each owed storage as often as there are operands that name it, and is itself one reference for each.
    No variable may be left that refers to one of them.
    """
    counts = _occurrences(owed)
    return [getrefcount(storage) - 2 * counts.get(storage, 0) for storage in storages]


def _references_of_nobody() -> int:
    """What `_references` gives for a storage that nobody can read: it depends on the interpreter."""
    operands = [(Storage(0), 0, None)]
    return _references({operands[0][0]: 0}, {0: operands[0][0]}.values())[0]


_NOBODY = _references_of_nobody()


def scan(entries: Sequence[Any]) -> Scan:
    """Number what the entries touch, and find which owed storages are still wanted.

    A storage has one reference from each operand that names it; whatever it has beyond them is somebody who may read it.
    """
    key: list[Any] = []
    regions: dict[Any, int] = {}
    storages: dict[Storage, int] = {}
    numbers: list[Any] = []
    owed: dict[int, Storage] = {}  # by the identity of the operand: one may stand in several places
    add, number_of = key.append, regions.get
    for plan, outputs, inputs, _ in entries:
        add(plan)
        # What an entry in place writes are some of its inputs, which ones says its plan.
        for operand in inputs if plan.in_place else (*inputs, *outputs):
            if type(operand) is tuple:
                storage = operand[0]
                number = number_of(operand)
                if number is None:
                    number = regions[operand] = len(regions)
                    add(-1 - storages.setdefault(storage, len(storages)))
                add(number)
                if storage.data is None:
                    owed[id(operand)] = storage
            else:
                numbers.append(operand)
    storage = None
    there, wanted, dropped = Fate.THERE, Fate.WANTED, Fate.DROPPED
    fates = []
    failed = False
    for storage, references in zip(storages, _references(storages, owed.values()), strict=True):
        if storage.data is not None:
            fates.append(there)
        else:
            fates.append(wanted if references > _NOBODY else dropped)
            failed = failed or storage.error is not None
    key.extend(fates)
    return Scan(tuple(key), list(regions), numbers, list(storages), fates, failed)


def trace_of(entries: Sequence[Any], found: Scan) -> Trace:
    """The trace that a scan's key stands for; routines are taken apart. Slots local to them come behind all others."""
    numbering = {region: n for n, region in enumerate(found.regions)}
    storages = {storage: n for n, storage in enumerate(found.storages)}
    slots = [Slot(storages[storage], layout) for storage, _, layout in found.regions]
    fates, nbytes = list(found.fates), [s.nbytes for s in found.storages]
    locals: list[tuple[int, int]] = []
    for plan, outputs, inputs, _ in entries:
        if type(plan) is Routine:
            first = len(nbytes)
            nbytes += plan.storages
            fates += [Fate.DROPPED] * len(plan.storages)
            operands = (*inputs, *outputs)
            for base, offset, layout in plan.locals:
                slot = -1 if base < 0 else numbering[operands[base]]
                slots.append(Slot(first - 1 - base if base < 0 else slots[slot].storage, layout))
                locals.append((slot, offset))
    local, following = len(found.regions), len(slots)
    steps: list[Step] = []
    for plan, outputs, inputs, _ in entries:
        numbers = []
        for operand in inputs:
            if type(operand) is tuple:
                numbers.append(numbering[operand])
            else:
                numbers.append(following)
                following += 1
        written = [numbering[o] for o in outputs]
        if type(plan) is not Routine:
            steps.append(Step(len(steps), plan, tuple(written), tuple(numbers)))
            continue
        at = [*numbers, *written, *range(local, local + len(plan.locals))]
        local += len(plan.locals)
        for inner, outs, ins in plan.steps:
            steps.append(Step(len(steps), inner, tuple([at[o] for o in outs]), tuple([at[i] for i in ins])))
    return Trace(steps, slots, following - len(slots), fates, nbytes, locals)
