"""Routines: entries that are recorded as one.

Work that has been recorded before, such as the backward pass of a graph of a known kind, need not be recorded entry by
entry again. A `Routine` keeps the plans and how they are connected. On the tape it is one entry, where it stands in the
place of the plan. Before anything runs it is taken apart: by `trace.trace_of` for the compiler, by `expanded` for all others.

Its *places* are the operands of its entry (regions, then numbers), then the outputs, then the locals: regions over the storage
of an operand or output, or over a storage that nothing outside sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shape import Layout
from ..storage import Storage

if TYPE_CHECKING:
    from ..ops.card import Plan
    from .direct import Direct

Entry = Any  # (plan, outputs, inputs, position)
Region = Any  # (storage, offset, layout)


class Inner(NamedTuple):
    """One of a routine's entries, over places."""

    plan: Plan
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]


class Output(NamedTuple):
    """A region over a storage of its own, of so many bytes."""

    nbytes: int
    offset: int
    layout: Layout


class Local(NamedTuple):
    """A region that begins `offset` behind the begin of the place `base`, or of the inner storage ``-1 - base``."""

    base: int
    offset: int
    layout: Layout


class Routine:
    """What an entry of this kind does: `steps`, over places. It has what the tape asks of a plan, and of its card."""

    __slots__ = ("name", "steps", "operands", "numbers", "outputs", "locals", "storages", "nbytes", "card", "direct")

    in_place = False

    def __init__(self, name: str, steps: Sequence[Inner], layouts: Sequence[Layout], numbers: Sequence[Any], outputs: Sequence[Output], locals: Sequence[Local], storages: Sequence[int]) -> None:
        self.name = name
        self.steps = tuple(steps)
        self.operands = (*layouts, *map(type, numbers))
        self.numbers = tuple(numbers)  # the last operands: each is used once, in the order of the steps
        self.outputs = tuple(outputs)
        self.locals = tuple(locals)
        self.storages = tuple(storages)  # the inner ones, by their number of bytes
        self.nbytes = sum(self.storages) + sum(output.nbytes for output in outputs)
        self.card = self
        self.direct: Direct | bool | None = None  # its own native call (direct.py); False: there can be none

    def __repr__(self) -> str:
        return f"<routine {self.name} of {len(self.steps)} entries>"

    def fresh_outputs(self) -> tuple[Region, ...]:
        """Regions for the outputs of an entry, over new storages."""
        return tuple([(Storage(nbytes), offset, layout) for nbytes, offset, layout in self.outputs])

    def region(self, place: int, operands: Sequence[Any]) -> Region:
        """The region at a place that no inner storage holds. `operands` are the entry's inputs and then its outputs."""
        if place < len(operands):
            return operands[place]
        base, offset, layout = self.locals[place - len(operands)]
        storage, begin, _ = operands[base]
        return storage, begin + offset, layout


def expanded(entries: Sequence[Entry]) -> tuple[list[Entry], list[Region], list[Storage]]:
    """Entries with all routines taken apart; the regions local to them; the storages of those that nothing outside sees."""
    found: list[Entry] = []
    locals: list[Region] = []
    storages: list[Storage] = []
    for entry in entries:
        routine, outputs, inputs, position = entry
        if type(routine) is not Routine:
            found.append(entry)
            continue
        places = [*inputs, *outputs]
        inner = [Storage(nbytes) for nbytes in routine.storages]
        mine = []
        for base, offset, layout in routine.locals:
            if base < 0:
                mine.append((inner[-1 - base], offset, layout))
            else:
                storage, begin, _ = places[base]
                mine.append((storage, begin + offset, layout))
        at = (places + mine).__getitem__
        found += [(plan, tuple(map(at, written)), tuple(map(at, read)), position) for plan, written, read in routine.steps]
        locals += mine
        storages += inner
    return found, locals, storages


class NotARoutine(Exception):
    """Recorded entries touch something that is neither an operand nor made by one of them."""


def routine_of(name: str, entries: Sequence[Entry], operands: Sequence[Region], wanted: Sequence[Region], *, writes: bool = False) -> tuple[Routine, list[int]]:
    """The routine that does to its operands what `entries` did to these, and the places where it has the `wanted` regions.

    The operands all differ. Those over one storage lie to each other as these do, whenever it runs. `writes` says whether
    operands may be written; that their storages' versions advance is for the caller to see to.
    """
    maker = _Maker(operands, writes)
    for plan, outputs, _, _ in entries:
        for storage, _, _ in outputs:
            maker.made(storage, plan)
    maker.give(wanted)
    steps = []
    for plan, outputs, inputs, _ in entries:
        read = tuple([maker.place(o) if type(o) is tuple else maker.number(o) for o in inputs])
        steps.append((plan, tuple(map(maker.place, outputs)), read))
    places = [maker.place(region) for region in wanted]
    # Numbers stand behind the regions of the operands, before all else; while they were being counted they were negative.
    count = len(maker.numbers)
    first = len(operands)

    def final(place: int) -> int:
        return first - 1 - place if place < 0 else place if place < first else place + count

    return Routine(
        name,
        [Inner(plan, tuple(map(final, written)), tuple(map(final, read))) for plan, written, read in steps],
        [layout for _, _, layout in operands],
        maker.numbers,
        maker.outputs,
        [local._replace(base=final(local.base)) if local.base >= 0 else local for local in maker.locals],
        maker.inner_bytes,
    ), list(map(final, places))


class _Maker:
    """Finds the places of a routine. Those of numbers are negative, and the others do not count them."""

    def __init__(self, operands: Sequence[Region], writes: bool) -> None:
        self.writes = writes
        self.places: dict[Region, int] = {region: n for n, region in enumerate(operands)}
        self.bases: dict[Storage, int] = {}  # the first place over the storage of an operand or an output
        for n, region in enumerate(operands):
            self.bases.setdefault(region[0], n)
        self.first = len(operands)
        self.own: dict[Storage, int] = {}  # storages that entries made, and the numbers of the inner ones
        self.offsets: dict[int, int] = {n: offset for n, (_, offset, _) in enumerate(operands)}
        self.numbers: list[Any] = []
        self.outputs: list[Output] = []
        self.locals: list[Local] = []
        self.inner_bytes: list[int] = []

    def made(self, storage: Storage, plan: Any) -> None:
        """An entry writes this storage."""
        if storage in self.bases:
            if not self.writes:
                raise NotARoutine(f"{plan.card.name} writes an operand")
            return
        if storage.data is not None:
            raise NotARoutine(f"{plan.card.name} writes to what was filled before")
        self.own.setdefault(storage, -1)

    def give(self, wanted: Sequence[Region]) -> None:
        """Storages that entries made become outputs, where some wanted region is over them."""
        for region in wanted:
            storage, offset, layout = region
            if storage in self.own and storage not in self.bases:
                place = self.first + len(self.outputs)
                self.outputs.append(Output(storage.nbytes, offset, layout))
                self.places[region] = place
                self.bases[storage] = place
                self.offsets[place] = offset

    def number(self, number: Any) -> int:
        self.numbers.append(number)
        return -len(self.numbers)

    def place(self, region: Region) -> int:
        found = self.places.get(region)
        if found is None:
            found = self.places[region] = self.first + len(self.outputs) + len(self.locals)
            storage, offset, layout = region
            base = self.bases.get(storage)
            if base is not None:
                self.locals.append(Local(base, offset - self.offsets[base], layout))
            elif storage in self.own:
                if self.own[storage] < 0:
                    self.own[storage] = len(self.inner_bytes)
                    self.inner_bytes.append(storage.nbytes)
                self.locals.append(Local(-1 - self.own[storage], offset, layout))
            else:
                raise NotARoutine("a tensor that is not among the operands")
        return found
