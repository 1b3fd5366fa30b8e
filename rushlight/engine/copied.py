"""Entries whose kernels want their operands to lie otherwise, or in another dtype: the calls between copies of operands and of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..shape import Layout, contiguous
from .fuse import Group, join
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .lowering import Loop
from .nests import lower_group, strided_copy
from .terms import HALF, LOOP_MEMORY
from .trace import Slot, Step

if TYPE_CHECKING:
    from ..ops.card import Plan

_ALIGNMENT = 64
Make = Callable[["Plan"], Lowered | None]


def with_layouts(plan: Plan, form: Callable[[Any], Any]) -> Plan:
    """The same entry on other layouts. `form` leaves what is no layout as it is."""
    return type(plan)(plan.card, tuple(plan.params.values()), tuple(map(form, plan.operands)), tuple(map(form, plan.outs)))


def through_copies(plan: Plan, form: Callable[[Any], Any], make: Make) -> Lowered | None:
    """The calls for layouts of another form, between copies: of their dtypes only half precision may become float32."""
    twin = with_layouts(plan, form)
    lowered = make(twin)
    if lowered is None:
        return None
    places: dict[int, int] = {}  # by the number of an operand: where its other form is in the workspace
    used = lowered.workspace
    before: list[Call] = []
    after: list[Call] = []
    count = len(plan.operands)
    pairs: Sequence[tuple[Any, Any]] = list(zip((*plan.operands, *plan.outs), (*twin.operands, *twin.outs), strict=True))
    for n, (given, wanted) in enumerate(pairs):
        if given is wanted:
            continue
        places[n] = used = -(-used // _ALIGNMENT) * _ALIGNMENT
        sides = (Pointer(n), given.stride), (Pointer(WORKSPACE, used), wanted.stride)
        used += wanted.nbytes
        type, through = LOOP_MEMORY[given.dtype], None
        if given.dtype is not wanted.dtype:
            half = HALF[given.dtype]
            type, through = (type, (f"from_{half}", "float")) if n < count else ("float", (f"to_{half}", type))
        found = strided_copy(type, given.shape, *(sides if n < count else sides[::-1]), through)
        if found is None:
            return None
        (before if n < count else after).extend(found.calls)

    def name_of(pointer: Pointer) -> Pointer:
        place = places.get(pointer.operand)
        return pointer if place is None else Pointer(WORKSPACE, place + pointer.offset)

    return Lowered((*before, *(call.renamed(name_of) for call in lowered.calls), *after), used)


def as_contiguous(plan: Plan, make: Make) -> Lowered | None:
    """The calls for contiguous operands and results."""
    return through_copies(plan, _contiguous, make)


def _contiguous(operand: Any) -> Any:
    return contiguous(operand.shape, operand.dtype) if isinstance(operand, Layout) and not operand.contiguous else operand


def loop_over_copies(plan: Plan, lowering: Loop) -> Lowered | None:
    """The calls of a loop over rows that are no rows as its operands lie: over contiguous copies of these."""
    return as_contiguous(plan, lambda twin: _alone(twin, lowering))


def _alone(plan: Plan, lowering: Loop) -> Lowered | None:
    """The calls of an entry that is a group by itself."""
    space = lowering.space(plan)
    if space is None:
        return None
    given = (*plan.operands, *plan.outs)
    # Regions are numbered first, then Python numbers.
    order = sorted(range(len(given)), key=lambda n: not isinstance(given[n], Layout))
    slot_of = {n: slot for slot, n in enumerate(order)}
    slots = [Slot(n, given[n]) for n in order if isinstance(given[n], Layout)]
    count = len(plan.operands)
    step = Step(0, plan, tuple(slot_of[n] for n in range(count, len(given))), tuple(slot_of[n] for n in range(count)))
    group = Group(space)
    if not join(group, slots, step, lowering, space):
        return None
    lowered = lower_group(group, lambda slot: True)
    if lowered is None:
        return None

    def name_of(pointer: Pointer) -> Pointer:
        return pointer if pointer.operand == WORKSPACE else Pointer(order[pointer.operand], pointer.offset)

    return Lowered(tuple(call.renamed(name_of) for call in lowered.calls), lowered.workspace)
