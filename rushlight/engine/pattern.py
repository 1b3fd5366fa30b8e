"""Recognising a trace that has run before, without numbering its regions anew.

A program's steps are alike: the same plans, the same operands repeated at the same places. Given entries with the plans of a
known trace, a `Pattern` checks that what was one region is one region again, that what were different storages are different,
and that nothing else refers to what nobody could read. Where a trace is one native call that is done by machine code (recognised.py), else by C loops over the flat list of operands.

It may say no to a trace that is of its kind (the numbering in trace.py then decides), but never yes to one that is not:

- Regions that were equal are equal, and storages that were one are one. Different regions over one storage may have become
  equal: compiled code takes these to overlap anyway. Storages that were different are different.
- An owed storage has one reference from each tuple that names it. The tuples that were one object are, and the others are
  different objects, so an equal count of references means as many from elsewhere: who may read it afterwards is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from operator import is_, itemgetter
from sys import getrefcount
from typing import Any

from ..storage import Storage
from .recognised import recognised
from .routine import Routine
from .trace import Fate, Scan

Entry = Any  # (plan, outputs, inputs, position)

Match = tuple[Sequence[Any], Sequence[Storage], Sequence[Any], list[int]]  # regions, storages, numbers, references to owed storages

_storage = itemgetter(0)


def _getter(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Takes what is at these places, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        (place,) = places
        return lambda values: (values[place],)
    return lambda values: ()


def _flat(entries: Sequence[Entry]) -> list[Any]:
    """All operands, outputs included."""
    flat: list[Any] = []
    for _, outputs, inputs, _ in entries:
        flat += inputs
        flat += outputs
    return flat


def ops_of(entries: Sequence[Entry]) -> int:
    """How many ops entries stand for."""
    return sum(len(plan.steps) if type(plan) is Routine else 1 for plan, _, _, _ in entries)


def _unmade(entries: Sequence[Entry], found: Scan) -> list[int]:
    """The owed storages, by number, that no entry makes before it reads them: never written, or an error stands for their bytes."""
    made: set[Storage] = set()
    unmade: set[Storage] = set()
    for _, outputs, inputs, _ in entries:
        unmade.update(o[0] for o in inputs if type(o) is tuple and o[0].data is None and o[0] not in made)
        made.update(storage for storage, _, _ in outputs)
    return [n for n, storage in enumerate(found.storages) if storage in unmade]


class Pattern:
    """How the operands of one trace repeat.

    `references` are the counts for the owed storages; unknown until a trace of this kind has been scanned that matches.
    """

    def __init__(self, known: Any, entries: Sequence[Entry], found: Scan) -> None:
        self.known = known
        self.fates = found.fates
        self.ops = ops_of(entries)
        self.references: list[int] | None = None
        flat = _flat(entries)
        operands = [n for n, o in enumerate(flat) if type(o) is tuple]
        self.numbers = _getter([n for n, o in enumerate(flat) if type(o) is not tuple])
        self.operands = _getter(operands) if len(operands) < len(flat) else None
        flat = [flat[n] for n in operands]
        first: dict[Any, int] = {}
        objects: dict[int, int] = {}
        self.first_of_object: list[int] = []
        again, equal = [], []  # places whose tuple, or whose region only, has been there before
        for n, region in enumerate(flat):
            first.setdefault(region, n)
            if objects.setdefault(id(region), n) != n:
                again.append((n, objects[id(region)]))
            elif first[region] != n:
                equal.append((n, first[region]))
        fates = dict(zip(found.storages, found.fates, strict=True))
        of_owed = [n for n in objects.values() if fates[flat[n][0]] != Fate.THERE]
        self.of_owed = _getter(of_owed)
        self.objects = len(of_owed)
        self.again = [_getter(places) for places in zip(*again, strict=True)] if again else None
        self.equal = [_getter(places) for places in zip(*equal, strict=True)] if equal else None
        # In the order of a scan, which reads the outputs of an entry in place only where its inputs have them.
        places = [first[region] for region in found.regions]
        self.regions = _getter(places)
        begins: dict[Storage, int] = {}
        shared = []
        for n, (storage, _, _) in enumerate(found.regions):
            if begins.setdefault(storage, n) != n:
                shared.append((n, begins[storage]))
        self.storages = _getter(list(begins.values()))
        self.shared = [_getter(places) for places in zip(*shared, strict=True)] if shared else None
        self.count = len(begins)
        self.owed = [fate != Fate.THERE for fate in found.fates]
        self.unmade = _unmade(entries, found)
        self.native = recognised(entries, found, known.compiled) if not self.unmade else None

    def learn(self, references: list[int]) -> None:
        """A trace of this kind has so many references to its owed storages."""
        self.references = references
        if self.native is not None:
            self.native.learn(references)

    def _operands(self, entries: Sequence[Entry]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The operands that are regions, and those that are numbers."""
        flat = _flat(entries)
        return (flat, ()) if self.operands is None else (self.operands(flat), self.numbers(flat))

    def scan(self, entries: Sequence[Entry]) -> Scan:
        """What a scan of entries found that are alike."""
        flat, numbers = self._operands(entries)
        regions = self.regions(flat)
        return Scan(self.known.key, list(regions), numbers, list(self.storages(list(map(_storage, regions)))), self.fates)

    def match(self, entries: Sequence[Entry]) -> Match | None:
        """What is in the places of entries that have this pattern's plans; None if they are not alike but for references."""
        flat, numbers = self._operands(entries)
        if self.again is not None and not all(map(is_, self.again[0](flat), self.again[1](flat))):
            return None
        if self.equal is not None and self.equal[0](flat) != self.equal[1](flat):
            return None
        if len(set(map(id, self.of_owed(flat)))) != self.objects:
            return None
        regions = self.regions(flat)
        bases = list(map(_storage, regions))
        storages = self.storages(bases)
        if self.shared is not None and not all(map(is_, self.shared[0](bases), self.shared[1](bases))):
            return None
        if len(set(storages)) != self.count or [storage.data is None for storage in storages] != self.owed:
            return None
        if self.unmade and any(storages[n].error is not None for n in self.unmade):
            return None
        return regions, storages, numbers, list(map(getrefcount, compress(storages, self.owed)))
