"""Fusion: the entries of a trace as units, of which most are groups of loops.

Entries are taken in program order. Each joins the latest group that its reads and writes allow and that runs over the
same space, or begins a unit of its own. A group's terms say what it computes; which of its results reach memory is
decided when it is lowered, since only then is it known who else reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .. import dtypes as dt
from ..shape import Layout, Shape, as_one_dim, expand_strides, is_injective
from .kernel import Lowered
from .lowering import AS_GIVEN, Calls, Column, Loop, Space
from .terms import FLOATS, HALF, LOOP_MEMORY, REDUCTIONS, REGISTER, WIDENED, Term, Terms, Unsupported
from .trace import Slot, Step, Trace

if TYPE_CHECKING:
    from ..ops.card import Plan

#: Bounds that keep compiling linear and kernels small.
OPERANDS_AT_MOST = 28
NODES_AT_MOST = 160
GROUPS_LOOKED_AT = 6


class Operand(NamedTuple):
    """What a group's kernel is given: a region under the group's space, or a number (which has no strides)."""

    slot: int
    strides: Shape
    type: str


class Written(NamedTuple):
    """A region that a group writes."""

    value: Term | Column
    strides: Shape


@dataclass(eq=False)
class Group:
    """Loops over one space, fused."""

    space: Space
    steps: list[Step] = field(default_factory=list)
    terms: Terms = field(default_factory=Terms)
    operands: dict[Operand, int] = field(default_factory=dict)
    written: dict[int, Written] = field(default_factory=dict)  # by slot
    loaded: set[int] = field(default_factory=set)  # slots whose old bytes are read
    regions: dict[int, dict[int, Shape]] = field(default_factory=dict)  # of each storage the slots touched, with their strides

    def operand(self, slot: int, strides: Shape, type: str) -> int:
        return self.operands.setdefault(Operand(slot, strides, type), len(self.operands))

    def reduces(self) -> bool:
        """Whether a row takes several passes, or has results that are there only at the end."""
        return any(n.op in REDUCTIONS for n in self.terms.nodes) or self.columns()

    def columns(self) -> bool:
        """Whether something is summed over all rows."""
        return any(isinstance(w.value, Column) for w in self.written.values())


@dataclass(eq=False)
class Library:
    """An entry with kernel calls of its own."""

    step: Step
    lowered: Lowered

    @property
    def steps(self) -> list[Step]:
        return [self.step]


@dataclass(eq=False)
class Interpreted:
    """An entry with no native form: its NumPy rule runs."""

    step: Step

    @property
    def steps(self) -> list[Step]:
        return [self.step]


Unit = Group | Library | Interpreted


def fuse(trace: Trace) -> list[Unit]:
    """The units of a trace, in an order in which they may run."""
    units: list[Unit] = []
    last_write: dict[int, int] = {}  # storage -> the last unit that writes it
    last_touch: dict[int, int] = {}  # storage -> the last unit that reads or writes it
    for step in trace.steps:
        trace.give_way()
        reads, writes = trace.storages(step.inputs), trace.storages(step.outputs)
        earliest = max(_latest(last_write, reads), _latest(last_touch, writes), 0)
        at = _place(units, trace, step, earliest)
        for storage in reads | writes:
            last_touch[storage] = max(last_touch.get(storage, 0), at)
        for storage in writes:
            last_write[storage] = max(last_write.get(storage, 0), at)
    return units


def _latest(last: dict[int, int], storages: Iterable[int]) -> int:
    return max((last.get(s, 0) for s in storages), default=0)


def _place(units: list[Unit], trace: Trace, step: Step, earliest: int) -> int:
    """Put a step into one of the units from `earliest` on, or into a new one; answers which."""
    lowering = step.plan.card.lowering
    if isinstance(lowering, Loop) and (space := lowering.space(step.plan)) is not None and _native_operands(step, trace):
        looked_at = 0
        for at in range(len(units) - 1, earliest - 1, -1):
            unit = units[at]
            if isinstance(unit, Group):
                if join(unit, trace.slots, step, lowering, space):
                    return at
                looked_at += 1
                if looked_at == GROUPS_LOOKED_AT:
                    break
        group = Group(space)
        if join(group, trace.slots, step, lowering, space):
            units.append(group)
            return len(units) - 1
        if lowering.otherwise is None and space.split is not None and not step.plan.card.in_place:
            lowering = Calls(partial(_over_copies, lowering=lowering), half=AS_GIVEN)
    if isinstance(lowering, Loop):
        lowering = lowering.otherwise
    if isinstance(lowering, Calls) and _native_operands(step, trace, lowering.complex) and (lowered := _calls(lowering, step)) is not None:
        units.append(Library(step, lowered))
    else:
        units.append(Interpreted(step))
    return len(units) - 1


def _over_copies(plan: Plan, lowering: Loop) -> Lowered | None:
    from .copied import loop_over_copies  # it makes groups

    return loop_over_copies(plan, lowering)


def _calls(lowering: Calls, step: Step) -> Lowered | None:
    """The kernel calls of an entry, made once for its plan."""
    from .half import calls_in_half, is_half  # it makes loops, which are made of groups

    plan = step.plan
    if plan.calls is None:
        try:
            plan.calls = (calls_in_half(plan, lowering) if is_half(plan) else lowering.make(plan)) or False
        except Unsupported:
            plan.calls = False
    return plan.calls or None


def _native_operands(step: Step, trace: Trace, complex: bool = False) -> bool:
    """Whether native code can have these operands: it has not all dtypes, and empty tensors are left to the interpreter."""
    layouts = (trace.slots[s].layout for s in (*step.inputs, *step.outputs) if s < len(trace.slots))
    return all(layout.numel and (layout.dtype in LOOP_MEMORY or (complex and layout.dtype.is_complex)) for layout in layouts)


def join(group: Group, slots: Sequence[Slot], step: Step, lowering: Loop, space: Space) -> bool:
    """Make a step part of a group, if it may be. A group that refuses is as it was."""
    if len(group.terms.nodes) > NODES_AT_MOST or len(group.operands) + len(step.inputs) + len(step.outputs) > OPERANDS_AT_MOST:
        return False
    common = _common_space(group, space)
    if common is None:
        return False
    reads: dict[int, Shape] = {}
    for position, slot in enumerate(step.inputs):
        if slot < len(slots):
            layout = slots[slot].layout
            strides = _align_channels(layout, common) if position in lowering.channels else _align(layout, common, position in lowering.kept)
            if strides is None or not _readable(group, slots, slot, strides, common):
                return False
            reads[slot] = strides
    kept = len(group.terms.nodes), dict(group.operands)
    group.terms.space = common
    group.terms.outputs = [REGISTER[slots[s].layout.dtype] for s in step.outputs]
    try:
        inputs = [_input(group, slots, step, position, reads) for position in range(len(step.inputs))]
        found = lowering.body(group.terms, *inputs, **step.plan.params)
        results: Sequence[Term | Column] = found if type(found) in (tuple, list) else (found,)
        writes = _writes(group, slots, step, results, common, reads)
        _check_passes(group, common, reads, writes)
    except Unsupported:
        group.terms.forget(kept[0])
        group.operands = kept[1]
        return False
    group.loaded |= {s for s in reads if s not in group.written}
    group.space = common
    group.steps.append(step)
    for slot, strides in reads.items():
        group.regions.setdefault(slots[slot].storage, {})[slot] = strides
    for slot, written in writes.items():
        group.regions.setdefault(slots[slot].storage, {})[slot] = written.strides
    group.written.update(writes)
    return True


def _writes(group: Group, slots: Sequence[Slot], step: Step, results: Sequence[Term | Column], space: Space, reads: dict[int, Shape]) -> dict[int, Written]:
    """What a step writes where; raises if the group may not."""
    writes: dict[int, Written] = {}
    for slot, result in zip(step.outputs, results, strict=True):
        layout = slots[slot].layout
        strides = _align(layout, space, isinstance(result, Term))
        if strides is None or not _writable(group, slots, slot, strides, reads):
            raise Unsupported("a result that the group cannot write")
        value = group.terms.narrow(result, layout.dtype) if isinstance(result, Term) else Column(result.term, HALF.get(layout.dtype, ""))
        writes[slot] = Written(value, strides)
    return writes


def _check_passes(group: Group, space: Space, reads: dict[int, Shape], writes: dict[int, Written]) -> None:
    """Raise if the group could not run along its rows in several passes, as reductions make it."""
    if space.split is not None:
        earlier = [o.strides for o in group.operands if o.strides] if space != group.space else []
        if not all(_row_is_one(space, s) for s in (*reads.values(), *(w.strides for w in writes.values()), *earlier)):
            raise Unsupported("a row that is not one dim")
    everything = {**group.written, **writes}
    if group.reduces() or any(isinstance(w.value, Column) for w in writes.values()):
        loaded = group.loaded | {s for s in reads if s not in group.written}
        if not loaded.isdisjoint(everything):
            raise Unsupported("a later pass would read what an earlier one has overwritten")


def _common_space(group: Group, space: Space) -> Space | None:
    """The space of a group that also loops over `space`."""
    mine = group.space
    if not group.steps or mine == space:
        return space
    if mine.shape == space.shape:
        if mine.split is not None and space.split is not None:
            return mine if mine.split == space.split and mine.blocked == space.blocked else None
        if space.split is None:
            return mine
        return None if space.blocked and group.reduces() else space
    one_a_row = mine.split is not None and mine.shape[: mine.split] + (1,) * (len(mine.shape) - mine.split)
    return mine if space.split is None and space.shape == one_a_row and not mine.blocked else None


def _align(layout: Layout, space: Space, kept: bool) -> Shape | None:
    """The strides of an operand over a space (0 where it is broadcast); None if it does not fit.

    kept: whether one of fewer dims has the dims of the rows; otherwise it has the last ones, as in broadcasting.
    """
    shape = space.shape
    if kept and space.split is not None and layout.ndim < len(shape):
        if layout.shape != shape[: space.split]:
            return None
        strides = layout.stride + (0,) * (len(shape) - space.split)
    elif layout.ndim > len(shape) or any(n not in (1, m) for n, m in zip(reversed(layout.shape), reversed(shape), strict=False)):
        return None
    else:
        strides = expand_strides(layout.shape, layout.stride, shape)
    return tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _align_channels(layout: Layout, space: Space) -> Shape | None:
    """The strides of a vector over dim 1 of a space."""
    shape = space.shape
    if layout.ndim != 1 or len(shape) < 2 or layout.shape[0] != shape[1]:
        return None
    return tuple(layout.stride[0] if d == 1 and n != 1 else 0 for d, n in enumerate(shape))


def _readable(group: Group, slots: Sequence[Slot], slot: int, strides: Shape, space: Space) -> bool:
    """Whether the region, if the group writes to its storage, is read just where it is written."""
    for other in group.regions.get(slots[slot].storage, ()):
        if other in group.written:
            written = group.written[other]
            if other != slot or written.strides != strides or isinstance(written.value, Column):
                return False
            if space.blocked and not any(strides):
                return False  # a sum in blocks: only a second kernel has it
    return True


def _writable(group: Group, slots: Sequence[Slot], slot: int, strides: Shape, reads: dict[int, Shape]) -> bool:
    """Whether all that the group and this step touch of the storage is this region, element for element."""
    storage, layout = slots[slot].storage, slots[slot].layout
    if not (layout.dense or is_injective(layout.shape, layout.stride)):
        return False
    touched = [*group.regions.get(storage, {}).items(), *((s, r) for s, r in reads.items() if slots[s].storage == storage)]
    return all(other == slot and theirs == strides for other, theirs in touched)


def _row_is_one(space: Space, strides: Shape) -> bool:
    """Whether the dims of the row are one dim to this operand."""
    assert space.split is not None
    return as_one_dim(space.shape[space.split :], strides[space.split :]) is not None


def _input(group: Group, slots: Sequence[Slot], step: Step, position: int, reads: dict[int, Shape]) -> Term:
    """An operand of a step as a term: of pointwise ops in the dtype that they compute in."""
    slot, plan, terms = step.inputs[position], step.plan, group.terms
    wanted, low = "", None
    if plan.compute is not None and position not in plan.uncast:
        wanted = REGISTER.get(dt.from_numpy(plan.compute), "")
        low = dt.from_numpy(plan.low) if plan.low is not None else None
        if not wanted or (low is not None and low not in HALF):
            raise Unsupported("dtype")
    if slot >= len(slots):
        type = number_type(plan, position)
        number = terms.number(group.operand(slot, (), type), type)
        if plan.compute is not None and plan.compute == dt.uint8.numpy and position not in plan.uncast:
            return terms.widen(terms.narrow(number, dt.uint8), dt.uint8)
        found = terms.convert(number, wanted or type)
        return terms.widen(terms.narrow(found, low), low) if low is not None and plan.card.rounds_numbers else found
    if slot in group.written:
        kept = group.written[slot].value
        assert isinstance(kept, Term)
        value = terms.widen(kept, slots[slot].layout.dtype)
    else:
        dtype = slots[slot].layout.dtype
        memory = LOOP_MEMORY[dtype]
        operand = group.operand(slot, reads[slot], memory)
        value = terms.widen(terms.load(operand, memory, memory if dtype in WIDENED else REGISTER[dtype]), dtype)
    if low is not None and slots[slot].layout.dtype is not low and (slots[slot].layout.ndim or plan.card.rounds_numbers):
        value = terms.widen(terms.narrow(value, low), low)
    return terms.convert(value, wanted or value.type)


def number_type(plan: Plan, position: int) -> str:
    """How a Python number is given to native code: as a double, or an integer where the op computes with integers."""
    integer = plan.operands[position] in (int, bool)
    if integer and plan.compute is not None and REGISTER.get(dt.from_numpy(plan.compute)) in FLOATS:
        integer = False
    if plan.operands[position] not in (int, bool, float):
        raise Unsupported("a complex number")
    return "i64" if integer else "double"
