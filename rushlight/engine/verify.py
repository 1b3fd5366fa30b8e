"""Checks between the passes of the engine: each states a rule, and computes again what the pass must have made sure of.

They run with RUSHLIGHT_VERIFY=1, as the tests do, and with RUSHLIGHT_DEBUG. A broken rule raises an AssertionError that
names it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..shape import Layout, is_injective
from .fuse import Group, Library, Unit
from .kernel import WORKSPACE, Call, Pointer
from .loops import Nest, Stages, passes
from .lowering import ROW_BLOCK, Column
from .nests import Bound, Form, Read, read_call
from .terms import DOUBLE_FUNCTIONS, FUNCTIONS, HALF_BITS, REDUCTIONS, Node
from .trace import Fate, Step, Trace

if TYPE_CHECKING:
    from .pipeline import Draft, Part

_SIZES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "float": 4, "double": 8}
_ALIGNED = 64


def require(condition: object, rule: str, where: object = "") -> None:
    """Raise an AssertionError with the rule that does not hold."""
    if not condition:
        raise AssertionError(f"{rule}{f': {where}' if where != '' else ''}")


# Traces


def trace(trace: Trace) -> None:
    """What a trace says agrees with the plans of its entries."""
    regions = len(trace.slots)
    require(len(trace.fates) == len(trace.nbytes), "every storage has a fate and a size")
    for number, region in enumerate(trace.slots):
        require(0 <= region.storage < len(trace.fates), "a region is of a storage of the trace", f"%{number}")
        require(region.layout.nbytes <= trace.nbytes[region.storage], "a region is not larger than its storage", f"%{number}")
    numbers = itertools.count(regions)
    for place, step in enumerate(trace.steps):
        where = f"entry {place}, {step.plan.card.name}"
        require(step.number == place, "entries are numbered in their order", where)
        require(len(step.inputs) == len(step.plan.operands), "an entry has the operands of its plan", where)
        for slot, operand in zip(step.inputs, step.plan.operands, strict=True):
            if isinstance(operand, Layout):
                require(0 <= slot < regions, "an operand is a region of the trace", where)
                require(_alike(trace.slots[slot].layout, operand), "an operand has the layout of the plan", where)
            else:
                require(slot == next(numbers), "numbers follow the regions, each used once, in order", where)
        for n, slot in enumerate(step.outputs):
            require(0 <= slot < regions, "a result is a region of the trace", where)
            if step.plan.card.in_place:
                require(slot in step.inputs, "an entry in place writes some of its operands", where)
            else:
                layout, out = trace.slots[slot].layout, step.plan.outs[n]
                require((layout.shape, layout.dtype) == (out.shape, out.dtype), "a result has the shape and the dtype of the plan", where)
    require(next(numbers) == regions + trace.numbers, "a trace has the numbers of its entries")


def _alike(mine: Layout, plans: Layout) -> bool:
    return mine is plans or (mine.shape, mine.stride, mine.dtype) == (plans.shape, plans.stride, plans.dtype)


class _Touch(NamedTuple):
    """That an entry reads or writes a region."""

    step: int
    slot: int
    writes: bool


def _touches(trace: Trace) -> dict[int, list[_Touch]]:
    """For each storage, who touches it in the order of the program. What is written in place is only written."""
    found: dict[int, list[_Touch]] = {}
    for step in trace.steps:
        touches = [_Touch(step.number, s, False) for s in step.inputs if s < len(trace.slots)]
        for touch in touches + [_Touch(step.number, s, True) for s in step.outputs]:
            found.setdefault(trace.slots[touch.slot].storage, []).append(touch)
    return found


# Units


def units(trace: Trace, units: Sequence[Unit]) -> None:
    """The units do what the entries do, in an order that their reads and writes allow."""
    unit_of: dict[int, int] = {}
    for n, unit in enumerate(units):
        for step in unit.steps:
            require(step.number not in unit_of, "no entry is in two units", f"entry {step.number}")
            unit_of[step.number] = n
        order = [step.number for step in unit.steps]
        require(order == sorted(order), "a unit keeps the order of its entries", f"unit {n}")
    require(len(unit_of) == len(trace.steps), "every entry is in a unit")
    for storage, touches in _touches(trace).items():
        _check_order(storage, touches, unit_of)
    for n, unit in enumerate(units):
        if isinstance(unit, Group):
            _check_group(trace, unit, f"unit {n}")
        elif isinstance(unit, Library) and not unit.step.plan.card.in_place:
            # The kernels are made from the plan, which knows nothing of the strides of a given `out`.
            alike = (_alike(trace.slots[s].layout, out) for s, out in zip(unit.step.outputs, unit.step.plan.outs, strict=True))
            require(all(alike), "an entry with kernel calls of its own writes the layouts of its plan", f"unit {n}")


def _check_order(storage: int, touches: Sequence[_Touch], unit_of: dict[int, int]) -> None:
    """Of two touches of a storage, at least one of them a write, the later one is not in an earlier unit."""
    last_write = last_touch = -1
    for touch in touches:
        unit = unit_of[touch.step]
        where = f"entry {touch.step}, storage {storage}"
        require(unit >= last_write, "nothing is read or written before an earlier write", where)
        if touch.writes:
            require(unit >= last_touch, "nothing is overwritten before an earlier read", where)
            last_write = max(last_write, unit)
        last_touch = max(last_touch, unit)


def _check_group(trace: Trace, group: Group, where: str) -> None:
    """Within a group nothing orders the elements: what one entry writes and another one touches must be one and the same place."""
    touched: dict[int, list[_Touch]] = {}
    for step in group.steps:
        for slot in step.inputs:
            if slot < len(trace.slots):
                touched.setdefault(trace.slots[slot].storage, []).append(_Touch(step.number, slot, False))
        for slot in step.outputs:
            touched.setdefault(trace.slots[slot].storage, []).append(_Touch(step.number, slot, True))
    for storage, touches in touched.items():
        written = [t for t in touches if t.writes]
        if not written:
            continue
        slot = written[0].slot
        require(all(t.slot == slot for t in touches), "a group touches a storage that it writes in one region only", f"{where}, storage {storage}")
        require(slot in group.written, "a group knows what it writes", f"{where}, %{slot}")
        value, strides = group.written[slot]
        require(all(o.strides == strides for o in group.operands if o.slot == slot and o.strides), "a group reads a region just where it writes it", f"{where}, %{slot}")
        if isinstance(value, Column):
            first = min(t.step for t in written)
            require(all(t.writes or t.step < first for t in touches), "a sum over all rows is not read by its own group", f"{where}, %{slot}")
    terms(group.terms.nodes, where)


# Loops


_COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))
_ENDS = frozenset(("store", "column_sum"))


def terms(nodes: Sequence[Node], where: object = "") -> None:
    """Terms name terms before them, of the types that their operations take."""
    for n, node in enumerate(nodes):
        at = f"{where}, term {n}, {node.op}"
        require(all(0 <= a < n for a in node.args), "a term names terms before it", at)
        types = [nodes[a].type for a in node.args]
        if node.op == "select":
            require(types == ["i1", node.type, node.type], "a choice is between terms of its type", at)
        elif node.op in _COMPARISONS:
            require(node.type == "i1" and types[0] == types[1], "a comparison is of terms of one type", at)
        elif node.op in HALF_BITS:
            require((*types, node.type) == (("i16", "float") if node.op.startswith("from") else ("float", "i16")), "half precision is bits or a float", at)
        elif node.op == "from_u8":
            require((*types, node.type) == ("i8", "i16"), "a byte becomes two", at)
        elif node.op not in ("convert", "at"):
            require(all(t == node.type for t in types), "an operation is on terms of its type", at)
        require(node.op not in FUNCTIONS or node.type == "float" or (node.type == "double" and node.op in DOUBLE_FUNCTIONS), "functions are of floats that have them", at)
        require(not node.args or nodes[node.args[0]].op not in _ENDS, "a store has no value", at)


class Memory(NamedTuple):
    """What a pointer points to: memory of some name, and the bytes from the pointer on to its end."""

    name: object
    nbytes: int


def nest(call: Call, memory: Callable[[Pointer], Memory], where: object = "") -> None:
    """A loop nest stays within its operands, writes each place once, and computes nothing before what it needs."""
    made = call.nest
    assert made is not None
    where = f"{where}, {call.kernel.name}" if where != "" else call.kernel.name
    terms(made.nodes, where)
    read = read_call(call)
    require(min((*read.form.outer, read.form.row, read.per_chunk)) > 0, "loops are not empty", where)
    require(call.chunks == -(-read.extent // read.per_chunk), "chunks share out the whole extent", where)
    stored = [int(node.detail) for node in made.nodes if node.op in _ENDS]
    require(len(set(stored)) == len(stored), "an operand is stored once", where)
    columns = {int(node.detail) for node in made.nodes if node.op == "column_sum"}
    reaches: dict[int, int] = {}
    for n, bound in enumerate(read.form.operands):
        if bound.number:
            continue
        dims = _dims(made, read, bound, n in columns, call.chunks)
        reaches[n] = (1 + sum((extent - 1) * stride for extent, stride in dims)) * _SIZES[bound.type]
        require(reaches[n] <= memory(bound.pointer).nbytes, "an operand stays inside its region", f"{where}, operand {n}")
        if n in stored:
            require(is_injective(*zip(*dims, strict=True)) if dims else True, "a nest stores each element once", f"{where}, operand {n}")
    if read.scratch is not None:
        pointer, size = read.scratch
        rows = len(passes(made, Stages(made))[1])
        require(size >= read.form.row, "a scratch row holds a row", where)
        require(rows * size * 4 * call.chunks <= memory(pointer).nbytes, "scratch rows are inside the workspace", where)
        reaches[-1] = rows * size * 4 * call.chunks
    _check_aliases(made, read, stored, reaches, memory, where)
    _check_passes(made, read.form, where)


def tail(call: Call, memory: Callable[[Pointer], Memory], where: object = "") -> None:
    """A tail goes through its call's result, element for element, and touches nothing else that the call does."""
    result, follows = call.result, call.tail
    assert result is not None and follows is not None and follows.nest is not None
    where = f"{where}, {follows.kernel.name}"
    form, mine = read_call(follows).form, memory(result.pointer).name
    require(follows.nest.shared == "box" and not any(node.op in REDUCTIONS or node.op == "column_sum" for node in follows.nest.nodes), "a tail computes elements of boxes", where)
    require((*form.outer, form.row) == result.extents, "a tail is over the result of its call", where)
    stored = {int(node.detail) for node in follows.nest.nodes if node.op == "store"}
    theirs = {memory(word).name for word in call.words if isinstance(word, Pointer)}
    for n, bound in enumerate(form.operands):
        if bound.number or memory(bound.pointer).name != mine:
            require(n not in stored or memory(bound.pointer).name not in theirs, "a tail writes nothing that its call touches", f"{where}, operand {n}")
            continue
        moves = [(a, b) for a, b, extent in zip((*bound.outer, bound.along), result.strides, result.extents, strict=True) if extent > 1]
        require(bound.pointer == result.pointer and all(a == b for a, b in moves), "a tail touches its call's result just where it is made", f"{where}, operand {n}")
    require(any(bound.pointer == result.pointer for bound in form.operands), "a tail is over the result of its call", where)


def _dims(nest: Nest, read: Read, bound: Bound, column: bool, chunks: int) -> list[tuple[int, int]]:
    """The loops under which an operand moves: extents and strides."""
    row = (read.form.row, bound.along)
    if column:
        return [(chunks, read.form.row), row]  # each chunk adds up in a row of its own
    if nest.shared == "blocks":
        (blocks,) = read.form.outer
        return [row] if bound.outer == (ROW_BLOCK * bound.along,) else [(blocks, bound.outer[0])]
    return [*zip(read.form.outer, bound.outer, strict=True), row] if bound.along else list(zip(read.form.outer, bound.outer, strict=True))


def _check_aliases(nest: Nest, read: Read, stored: Sequence[int], reaches: dict[int, int], memory: Callable[[Pointer], Memory], where: object) -> None:
    """What a nest stores to is no other operand's memory, unless the two are element for element the same."""
    pointers = {n: bound.pointer for n, bound in enumerate(read.form.operands)}
    if read.scratch is not None:
        pointers[-1] = read.scratch[0]
    for mine, other in itertools.product(stored, reaches):
        if mine == other or memory(pointers[mine]).name != memory(pointers[other]).name:
            continue
        same = other >= 0 and read.form.operands[mine][:4] == read.form.operands[other][:4] and other not in stored
        apart = pointers[mine].operand == pointers[other].operand == WORKSPACE and (
            pointers[mine].offset + reaches[mine] <= pointers[other].offset or pointers[other].offset + reaches[other] <= pointers[mine].offset
        )
        require(same or apart, "what a nest stores to overlaps no other operand", f"{where}, operands {mine} and {other}")


def _check_passes(nest: Nest, form: Form, where: object) -> None:
    """No pass reads what an earlier one has overwritten, or needs a term that comes later."""
    stages = Stages(nest)
    runs, _ = passes(nest, stages)
    stored_in: dict[Pointer, int] = {}
    for n, node in enumerate(nest.nodes):
        late = [a for a in node.args if stages.stage[a] > stages.pass_of(nest, n)]
        require(not late, "a pass needs no total of a later one", f"{where}, term {n}")
        if node.op in _ENDS:
            require(not stages.along[n] or nest.operands[int(node.detail)].along != "0", "a value for each element is not stored in one place", f"{where}, term {n}")
            stored_in[form.operands[int(node.detail)].pointer] = stages.stage[n]
    for number, run in enumerate(runs):
        known = {*run.saved_before, *run.needed}
        for n in (*run.needed, *run.targets):
            require(all(a in known or not stages.along[a] for a in nest.nodes[n].args), "a pass computes what it needs", f"{where}, term {n}")
        loads = [n for n, node in enumerate(nest.nodes) if node.op in ("load", "at") and (n in run.needed or (not stages.along[n] and stages.stage[n] == number))]
        for n in loads:
            pointer = form.operands[int(nest.nodes[n].detail)].pointer
            require(stored_in.get(pointer, number) >= number, "no pass reads what an earlier one has overwritten", f"{where}, term {n}")
    totals = [n for n, node in enumerate(nest.nodes) if node.op in REDUCTIONS]
    require(all(n in runs[stages.pass_of(nest, n)].targets for n in totals), "every total is computed", where)


# Segments


def segment(trace: Trace, draft: Draft) -> None:
    """The calls of a native part find their operands: in memory of their own, or in the arena, where nothing else is as long as they live."""
    for n, call in draft.calls:
        where = f"unit {n}"

        def memory(pointer: Pointer, n: int = n, where: str = where) -> Memory:
            if pointer.operand == WORKSPACE:
                return Memory("workspace", draft.workspaces.get(n, 0) - pointer.offset)
            require(pointer.operand < len(trace.slots), "a pointer to memory is no number", where)
            slot = trace.slots[pointer.operand]
            return Memory(slot.storage, slot.layout.nbytes - pointer.offset)

        for pointer in call.pointers():
            _check_pointer(trace, draft, n, pointer, where)
        if call.nest is not None:
            nest(call, memory, where)
        if call.tail is not None:
            nest(call.tail, memory, where)
            tail(call, memory, where)
    _check_arena(trace, draft)
    _check_written(trace, draft)


def _check_pointer(trace: Trace, draft: Draft, unit: int, pointer: Pointer, where: str) -> None:
    if pointer.operand == WORKSPACE:
        require(0 <= pointer.offset < draft.workspaces.get(unit, 0), "a pointer is inside its unit's workspace", where)
    elif pointer.operand < len(trace.slots):
        storage = trace.slots[pointer.operand].storage
        require((storage in draft.own) != (storage in draft.placed), "every pointer names a placed or a real region", f"{where}, %{pointer.operand}")
    else:
        require(pointer.operand < len(trace.slots) + trace.numbers, "a number is one of the trace", where)


def _check_arena(trace: Trace, draft: Draft) -> None:
    """Temporaries and workspaces that live together are apart."""
    lives: dict[int, list[int]] = {}
    for n, call in draft.calls:
        for pointer in call.pointers():
            if pointer.operand < len(trace.slots):
                name = -1 - n if pointer.operand == WORKSPACE else trace.slots[pointer.operand].storage
                if name in draft.placed:
                    lives.setdefault(name, []).append(n)
    for unit in range(len(draft.units)):
        living = sorted((draft.placed[name], name) for name, seen in lives.items() if min(seen) <= unit <= max(seen))
        end = 0
        for begin, name in living:
            nbytes = trace.nbytes[name] if name >= 0 else draft.workspaces[-1 - name]
            require(begin % _ALIGNED == 0, "places in the arena are aligned", f"storage {name}")
            require(begin >= end, "what lives at the same time is apart in the arena", f"unit {unit}, storage {name}")
            end = begin + nbytes
        require(end <= draft.arena, "the arena holds what lives in it", f"unit {unit}")


def _check_written(trace: Trace, draft: Draft) -> None:
    """What is written, and read by others than the unit that writes it, reaches memory."""
    for n, unit in enumerate(draft.units):
        pointers = {pointer.operand for owner, call in draft.calls if owner == n for pointer in call.pointers()}
        for slot in {slot for step in unit.steps for slot in step.outputs}:
            storage = trace.slots[slot].storage
            others = {s for other in draft.units if other is not unit for step in other.steps for s in step.inputs if s < len(trace.slots)}
            if trace.fates[storage] != Fate.DROPPED or any(trace.slots[s].storage == storage for s in others):
                require(slot in pointers, "what is wanted reaches memory", f"unit {n}, %{slot}")


def parts(trace: Trace, parts: Sequence[Part]) -> None:
    """The parts of a compiled trace are all of its entries, and share only what has memory of its own."""
    part_of: dict[int, int] = {}
    for n, part in enumerate(parts):
        for step in [part] if isinstance(part, Step) else part.steps:
            require(step.number not in part_of, "no entry runs twice", f"entry {step.number}")
            part_of[step.number] = n
    touches = _touches(trace)
    for step in trace.steps:
        if step.number not in part_of:
            left_out = {trace.slots[slot].storage for slot in step.outputs}
            unread = all(t.writes or t.step < step.number or t.step not in part_of for storage in left_out for t in touches[storage])
            require(unread and all(trace.fates[s] == Fate.DROPPED for s in left_out), "what is wanted is computed", f"entry {step.number}")
    for storage, touched in touches.items():
        _check_order(storage, [t for t in touched if t.step in part_of], part_of)
    for n, part in enumerate(parts):
        if isinstance(part, Step):
            continue
        for storage, offset in part.placed.items():
            where = f"part {n}, storage {storage}"
            require(trace.fates[storage] == Fate.DROPPED, "what is still wanted is not in an arena", where)
            require({part_of[t.step] for t in touches[storage]} == {n}, "what is in an arena is of one part", where)
            require(0 <= offset <= part.arena - trace.nbytes[storage], "the arena holds what lives in it", where)
        for _, storage, _ in part.regions:
            require(trace.fates[storage] == Fate.THERE or storage in part.allocated, "an owed storage is allocated before it is used", f"part {n}, storage {storage}")
