"""The operands of a captured function's routine: which tensors' regions they are, and how those over one storage lie to each other.

They are regions of *sources*, by their number, and then of what only optimizers hold. At a replay all of them are found anew. Most are
parameters and optimizer state, which lie where they lay: once they have been seen there twice, `Checks` says so in one call, and what is
left are arguments and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from ..engine.checks import Checks
from ..engine.routine import Region
from ..storage import ON_META, Storage
from .quick import Quick
from .recorder import Before, Refused, Stale

_storage = itemgetter(0)
_layout = itemgetter(2)
_region = attrgetter("_storage", "_offset", "_layout")
_special = attrgetter("special")


class Still(NamedTuple):
    """Operands that lie where they lay, for as long as `hold` says so and the guards are these."""

    quick: Quick
    checks: Checks
    hold: Callable[[], bool]  # the checks, prepared
    regions: list[Region]  # of all operands, once
    storages: frozenset[Storage]  # of those that lie still
    moving: list[tuple[int, int]]  # the others: an operand, and its source


class Operands:
    """The operands of a recording. `before` is how the sources lay, `touched` the storages that the recording reads or writes, `held` the optimizers' tensors."""

    def __init__(self, before: Sequence[Before], touched: set[Storage], held: Sequence[Any]) -> None:
        regions: dict[Region, int] = {}
        self.sources: list[int] = []
        self.same: list[tuple[int, int]] = []  # a source, and the operand that has the same region
        for n, was in enumerate(before):
            if was.region[0] in touched:
                if was.region in regions:
                    self.same.append((n, regions[was.region]))
                else:
                    regions[was.region] = len(self.sources)
                    self.sources.append(n)
        self.held: list[Any] = []
        for t in held:
            if regions.setdefault(_region(t), len(regions)) == len(self.sources) + len(self.held):
                self.held.append(t)
        self.held_layouts = [t._layout for t in self.held]
        self.recorded = list(regions)
        begins: dict[Storage, int] = {}
        self.shared: list[tuple[int, int, int]] = []  # an operand, another over its storage, and how far behind that it begins
        for n, (storage, offset, _) in enumerate(regions):
            if storage.special == ON_META:
                raise Refused("a tensor on the meta device")
            other = begins.setdefault(storage, n)
            if other != n:
                self.shared.append((n, other, offset - self.recorded[other][1]))
        self.storages = len(begins)
        self._seen: Quick | None = None  # the guards under which all operands were looked at last
        self.still: Still | None = None

    def find(self, sources: Sequence[Any], quick: Quick) -> tuple[list[Region], int]:
        """The operands now, and the most special of their storages. Raises `Refused` where they do not lie to each other as they did."""
        still = self.still
        if still is not None and still.quick is quick and still.hold():
            regions = still.regions.copy()
            for at, n in still.moving:
                regions[at] = _region(sources[n])
            moving = {regions[at][0] for at, _ in still.moving}
            if len(moving) == len(still.moving) and still.storages.isdisjoint(moving) and not any(map(_special, moving)):
                return regions, 0
        regions = list(map(_region, map(sources.__getitem__, self.sources)))
        if self.held:
            held = list(map(_region, self.held))
            if list(map(_layout, held)) != self.held_layouts:
                raise Stale("an optimizer's state lies otherwise in memory")
            regions += held
        special = self._check(sources, regions)
        if self._seen is not quick:
            self._seen = quick
        elif (still is None or still.quick is not quick) and not special and not self.same:
            self.still = self._lying_still(sources, regions, quick)
        return regions, special

    def _check(self, sources: Sequence[Any], regions: Sequence[Region]) -> int:
        storages = set(map(_storage, regions))
        if len(storages) != self.storages:
            raise Refused("tensors share memory that did not, or do not any more")
        for n, other, distance in self.shared:
            if regions[n][0] is not regions[other][0] or regions[n][1] - regions[other][1] != distance:
                raise Refused("tensors over one storage lie otherwise to each other")
        for n, operand in self.same:
            if _region(sources[n]) != regions[operand]:
                raise Refused("tensors that were one region are not any more")
        special = max(map(_special, storages), default=0)
        if special == ON_META:
            raise Refused("a tensor on the meta device")
        return special

    def _lying_still(self, sources: Sequence[Any], regions: list[Region], quick: Quick) -> Still | None:
        """None where what moves shares memory with anything."""
        moving = [(at, n) for at, n in enumerate(self.sources) if id(sources[n]) not in quick.fixed_ids]
        ats = {at for at, _ in moving}
        if any(n in ats or other in ats for n, other, _ in self.shared):
            return None
        checks = Checks()
        for at, t in enumerate([*[sources[n] for n in self.sources], *self.held]):
            if at not in ats:
                for name in ("_storage", "_offset", "_layout"):
                    checks.slot(t, name)
        storages = frozenset(region[0] for at, region in enumerate(regions) if at not in ats)
        for storage in storages:
            checks.slot(storage, "special")
        return Still(quick, checks, checks.prepared(), [region if at not in ats else (None, 0, None) for at, region in enumerate(regions)], storages, moving)
