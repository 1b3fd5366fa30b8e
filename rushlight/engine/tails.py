"""Tails: what follows a product or a convolution element by element, done by the job that has just made a part of its result.

A group of loops becomes the tail of a library call before it where it reads the call's result element for element, and
nothing between the two minds that it runs earlier. The kernel of the call is not made for it: a tail is a function of its own, made from the
same terms as a loop nest would be, which the kernel calls for each box of the result that is complete (kernel.py, `Result`). So the
bits are those of two passes over memory, while what the second one reads is still in the core's cache.

A result that nobody else reads is made where the tail writes its own, if that has the same elements: then it takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .fuse import Group, Library, Unit
from .kernel import WORKSPACE, Call, Lowered, Pointer, joined
from .lowering import Column
from .nests import chunks_alone, lower_group, lower_tail
from .terms import Term
from .trace import Step, Trace

#: Units before a group among which its call is looked for.
_UNITS_LOOKED_AT = 6


@dataclass(eq=False)
class Tailed:
    """A library call and the group that its jobs carry out."""

    library: Library
    group: Group
    at: int  # which of the calls it follows
    slot: int  # that call's result

    @property
    def steps(self) -> list[Step]:
        return [self.library.step, *self.group.steps]

    def lowered(self, trace: Trace, needed: Callable[[int], bool]) -> Lowered | None:
        """The calls, operands named by slots."""
        found = with_slots(self.library)
        made = list(found.calls)
        tail = _tail(self.group, made[self.at], needed)
        if tail is None:
            rest = lower_group(self.group, needed)
            return rest and joined((found, rest))
        made[self.at] = made[self.at].with_tail(tail)
        stand_in = None if needed(self.slot) else self._stand_in(trace, tail)
        if stand_in is not None:

            def name(pointer: Pointer) -> Pointer:
                return pointer._replace(operand=stand_in) if pointer.operand == self.slot else pointer

            made = [call.renamed(name) for call in made]
        return Lowered(tuple(made), found.workspace)

    def _stand_in(self, trace: Trace, tail: Call) -> int | None:
        """A region that the tail only writes, of elements like those of the result, which can be made there."""
        mine = trace.storages((*self.library.step.inputs, *self.library.step.outputs))
        strides, type = next((o.strides, o.type) for o in self.group.operands if o.slot == self.slot)
        stored = {pointer.operand for pointer in tail.pointers()} - self.group.loaded
        for slot, (value, theirs) in self.group.written.items():
            if slot in stored and theirs == strides and _memory_type(value) == type and trace.slots[slot].storage not in mine:
                return slot
        return None


AnyUnit = Unit | Tailed


def with_tails(trace: Trace, units: Sequence[Unit]) -> list[AnyUnit]:
    """The same units, in which groups that can be tails are part of the calls that they follow."""
    found: list[AnyUnit] = []
    for unit in units:
        trace.give_way()
        place = _place(trace, found, unit) if isinstance(unit, Group) else None
        if place is None:
            found.append(unit)
        else:
            found[place[0]] = place[1]
    return found


def _place(trace: Trace, units: Sequence[AnyUnit], group: Group) -> tuple[int, Tailed] | None:
    """The unit that a group can be the tail of, and what the two make."""
    reads, writes = _touched(trace, [group])
    for n in range(len(units) - 1, max(len(units) - 1 - _UNITS_LOOKED_AT, -1), -1):
        unit = units[n]
        if isinstance(unit, Library) and (found := _tailed(trace, unit, group, reads, writes)) is not None:
            return n, found
        # All that comes after the call must not mind that the group runs before it.
        their_reads, their_writes = _touched(trace, [unit])
        if their_writes & (reads | writes) or their_reads & writes:
            return None
    return None


def _touched(trace: Trace, units: Sequence[AnyUnit]) -> tuple[set[int], set[int]]:
    """The storages that units read and those that they write."""
    steps = [step for unit in units for step in unit.steps]
    return trace.storages(s for step in steps for s in step.inputs), trace.storages(s for step in steps for s in step.outputs)


def _tailed(trace: Trace, library: Library, group: Group, reads: set[int], writes: set[int]) -> Tailed | None:
    """The call and the group, if one of its results is what the group is over."""
    inputs, outputs = trace.storages(library.step.inputs), trace.storages(library.step.outputs)
    if not outputs & reads:
        return None
    calls = with_slots(library).calls
    for at, call in enumerate(calls):
        if call.result is None or call.result.pointer.offset or (slot := call.result.pointer.operand) not in group.loaded:
            continue
        storage = trace.slots[slot].storage
        mine = {storage}
        later = {trace.slots[p.operand].storage for after in calls[at + 1 :] for p in after.pointers() if 0 <= p.operand < len(trace.slots)}
        apart = not mine & (inputs | later) and not writes & inputs and (reads | writes) & outputs == mine
        one = len([o for o in group.operands if o.slot < len(trace.slots) and trace.slots[o.slot].storage == storage]) == 1
        if apart and one and _tail(group, call, lambda slot: True) is not None:
            return Tailed(library, group, at, slot)
    return None


def _tail(group: Group, call: Call, needed: Callable[[int], bool]) -> Call | None:
    """The tail of a call, unless the group alone would be shared out among more threads."""
    assert call.result is not None
    tail = lower_tail(group, needed, call.result)
    return None if tail is None or (call.chunks == 1 and chunks_alone(tail) > 1) else tail


def _memory_type(value: Term | Column) -> str:
    if isinstance(value, Column):
        return ""
    return "i8" if value.type == "i1" else value.type


def with_slots(unit: Library) -> Lowered:
    """A library call's operands, which it names by position, named by slots."""
    slots = (*unit.step.inputs, *unit.step.outputs)

    def named(word: Pointer) -> Pointer:
        return word if word.operand == WORKSPACE else Pointer(slots[word.operand], word.offset)

    return Lowered(tuple(call.renamed(named) for call in unit.lowered.calls), unit.lowered.workspace)
