"""The checks between the engine's passes: each rule holds for a sound plan and catches one that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, tape
from rushlight.engine import pipeline, verify
from rushlight.engine.fuse import Group, fuse
from rushlight.engine.kernel import Call, Pointer
from rushlight.engine.loops import Access, Nest, kernel
from rushlight.engine.pipeline import Draft, Segment, compile_trace
from rushlight.engine.terms import Node
from rushlight.engine.trace import Fate, Scan, Slot, Trace, scan, trace_of
from rushlight.engine.verify import Memory


def trace_from(function: Callable[[], object]) -> Trace:
    """The trace that a function records; what it returns is wanted."""
    tape.flush()
    result = function()
    entries = tuple(tape.pending)
    found: Scan = scan(entries)
    tape.flush()
    del result
    return trace_of(entries, found)


@pytest.fixture(autouse=True)
def _recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape.state, "immediate", False)


@pytest.fixture
def chain() -> Trace:
    """Two groups of loops around a product, an arena, a number, an operand in place."""
    x, w = torch.rand(6, 5), torch.rand(5, 7)

    def program() -> torch.Tensor:
        y = (x - 0.3).exp() @ w
        y.mul_(1.3)
        return F.softmax(y, 1).sum(0)

    return trace_from(program)


@pytest.fixture
def draft(chain: Trace, monkeypatch: pytest.MonkeyPatch) -> Draft:
    drafts: list[Draft] = []
    monkeypatch.setattr(config, "VERIFY", True)
    monkeypatch.setattr(verify, "segment", lambda trace, draft: drafts.append(draft))
    compile_trace(chain)
    monkeypatch.undo()
    (found,) = drafts
    return found


def test_a_sound_plan_passes(chain: Trace, draft: Draft) -> None:
    verify.trace(chain)
    verify.units(chain, fuse(chain))
    verify.segment(chain, draft)
    verify.parts(chain, compile_trace(chain).parts)
    assert len(draft.units) > 2 and draft.arena and any(call.nest is not None for _, call in draft.calls)


# Traces


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda t: t.nbytes.__setitem__(0, 8), "a region is not larger than its storage"),
        (lambda t: t.slots.__setitem__(0, Slot(99, t.slots[0].layout)), "a region is of a storage of the trace"),
        (lambda t: t.fates.pop(), "every storage has a fate and a size"),
        (lambda t: t.steps.__setitem__(0, t.steps[0]._replace(number=3)), "entries are numbered in their order"),
        (lambda t: t.steps.__setitem__(1, t.steps[1]._replace(inputs=())), "an entry has the operands of its plan"),
        (lambda t: t.steps.__setitem__(2, t.steps[2]._replace(inputs=t.steps[2].inputs[::-1])), "an operand has the layout of the plan"),
        (lambda t: t.steps.__setitem__(0, t.steps[0]._replace(inputs=(0, 0))), "numbers follow the regions"),
        (lambda t: t.steps.__setitem__(0, t.steps[0]._replace(outputs=(77,))), "a result is a region of the trace"),
        (lambda t: t.steps.__setitem__(2, t.steps[2]._replace(outputs=(0,))), "a result has the shape and the dtype of the plan"),
        (lambda t: setattr(t, "numbers", 9), "a trace has the numbers of its entries"),
    ],
)
def test_a_wrong_trace_is_caught(chain: Trace, change: Callable[[Trace], object], rule: str) -> None:
    change(chain)
    with pytest.raises(AssertionError, match=rule):
        verify.trace(chain)


# Units


def test_units_hold_each_entry_once_and_in_order(chain: Trace) -> None:
    units = fuse(chain)
    with pytest.raises(AssertionError, match="every entry is in a unit"):
        verify.units(chain, units[1:])
    with pytest.raises(AssertionError, match="no entry is in two units"):
        verify.units(chain, [*units, units[0]])
    with pytest.raises(AssertionError, match="nothing is read or written before an earlier write"):
        verify.units(chain, units[::-1])
    group = next(u for u in units if len(u.steps) > 1)
    assert isinstance(group, Group)
    group.steps.reverse()
    with pytest.raises(AssertionError, match="a unit keeps the order of its entries"):
        verify.units(chain, units)


def test_a_write_stays_behind_an_earlier_read() -> None:
    x, w = torch.rand(4, 4), torch.rand(4, 4)

    def program() -> torch.Tensor:
        y = x @ w
        x.add_(1.5)
        return y

    trace = trace_from(program)
    product, sum = fuse(trace)
    verify.units(trace, [product, sum])
    with pytest.raises(AssertionError, match="nothing is overwritten before an earlier read"):
        verify.units(trace, [sum, product])


def test_a_group_touches_what_it_writes_in_one_place() -> None:
    x = torch.rand(4, 4)

    def program() -> torch.Tensor:
        x.add_(1.5)
        return x.t() * 2.5

    trace = trace_from(program)
    first, second = fuse(trace)
    assert isinstance(first, Group) and isinstance(second, Group)
    first.steps += second.steps
    with pytest.raises(AssertionError, match="a storage that it writes in one region only"):
        verify.units(trace, [first])


def test_a_sum_over_all_rows_is_not_read_by_its_group() -> None:
    x = torch.rand(4, 6)
    trace = trace_from(lambda: x.sum(0) * 1.5)
    first, second = fuse(trace)
    assert isinstance(first, Group) and first.columns()
    first.steps += second.steps
    with pytest.raises(AssertionError, match="a sum over all rows is not read by its own group"):
        verify.units(trace, [first])


def test_kernel_calls_write_the_layouts_of_their_plan() -> None:
    x, w = torch.rand(4, 5), torch.rand(5, 6)
    trace = trace_from(lambda: x @ w)
    units = fuse(trace)
    (slot,) = trace.steps[0].outputs
    transposed = torch.rand(6, 4).t()
    trace.slots[slot] = Slot(trace.slots[slot].storage, transposed._layout)
    with pytest.raises(AssertionError, match="writes the layouts of its plan"):
        verify.units(trace, units)


# Loops

LOAD, STORE = Node("load", (), "float", 0), Node("store", (1,), "float", 1)
MOVING = Access("float", "1")


def nest_call(nodes: list[Node], accesses: tuple[Access, ...], words: list[int | Pointer], outer: int = 0, shared: str = "row", chunks: int = 1) -> Call:
    nest = Nest(tuple(nodes), accesses, outer, shared)
    return Call(kernel(nest), tuple(words), chunks, nest)


def memory(pointer: Pointer) -> Memory:
    """Sixteen floats each, all in storages of their own; operand 9 is of the storage of operand 1."""
    return Memory(1 if pointer.operand == 9 else pointer.operand, 64 - pointer.offset)


def negation(*words: int | Pointer, nodes: list[Node] | None = None) -> Call:
    return nest_call(nodes or [LOAD, Node("neg", (0,), "float"), STORE], (MOVING, MOVING), list(words))


def test_a_nest_stays_inside_its_operands() -> None:
    verify.nest(negation(16, 16, 16, Pointer(0), Pointer(1)), memory)
    with pytest.raises(AssertionError, match="an operand stays inside its region.*operand 0"):
        verify.nest(negation(16, 16, 16, Pointer(0, 4), Pointer(1)), memory)
    with pytest.raises(AssertionError, match="an operand stays inside its region"):
        verify.nest(negation(17, 17, 17, Pointer(0), Pointer(1)), memory)
    with pytest.raises(AssertionError, match="chunks share out the whole extent"):
        verify.nest(negation(16, 8, 16, Pointer(0), Pointer(1)), memory)
    with pytest.raises(AssertionError, match="loops are not empty"):
        verify.nest(negation(0, 1, 0, Pointer(0), Pointer(1)), memory)


def test_a_nest_stores_each_element_once() -> None:
    rows = nest_call([LOAD, Node("neg", (0,), "float"), STORE], (MOVING, MOVING), [3, 3, 4, Pointer(0), 4, Pointer(1), 4], outer=1, shared="outer")
    verify.nest(rows, memory)
    with pytest.raises(AssertionError, match="a nest stores each element once"):
        verify.nest(replace(rows, words=(3, 3, 4, Pointer(0), 4, Pointer(1), 3)), memory)


def test_what_a_nest_stores_overlaps_no_other_operand() -> None:
    verify.nest(negation(16, 16, 16, Pointer(1), Pointer(1)), memory)  # in place
    with pytest.raises(AssertionError, match="overlaps no other operand"):
        verify.nest(negation(15, 15, 15, Pointer(9, 4), Pointer(1)), memory)


def test_no_pass_reads_what_an_earlier_one_has_overwritten() -> None:
    nodes = [LOAD, Node("neg", (0,), "float"), STORE, Node("sum", (1,), "float"), Node("sub", (0, 3), "float"), Node("store", (4,), "float", 2)]
    call = nest_call(nodes, (MOVING, MOVING, MOVING), [1, 1, 16, Pointer(0), Pointer(1), Pointer(2)], shared="outer")
    verify.nest(call, memory)
    with pytest.raises(AssertionError, match="no pass reads what an earlier one has overwritten"):
        verify.nest(replace(call, words=(1, 1, 16, Pointer(1), Pointer(1), Pointer(2))), memory)


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ([Node("neg", (1,), "float"), LOAD], "a term names terms before it"),
        ([LOAD, Node("neg", (0,), "double")], "an operation is on terms of its type"),
        ([LOAD, Node("lt", (0, 0), "float")], "a comparison is of terms of one type"),
        ([LOAD, Node("select", (0, 0, 0), "float")], "a choice is between terms of its type"),
        ([Node("load", (), "double", 0), Node("tan", (0,), "double")], "functions are of floats that have them"),
        ([LOAD, Node("neg", (0,), "float"), STORE, Node("neg", (2,), "float")], "a store has no value"),
    ],
)
def test_wrong_terms_are_caught(nodes: list[Node], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        verify.terms(nodes)


# Segments


def test_what_lives_together_is_apart_in_the_arena(chain: Trace, draft: Draft) -> None:
    storages = [name for name in draft.placed if name >= 0]
    assert len(storages) > 1
    with pytest.raises(AssertionError, match="what lives at the same time is apart in the arena"):
        verify.segment(chain, draft._replace(placed=dict.fromkeys(draft.placed, 0)))
    with pytest.raises(AssertionError, match="places in the arena are aligned"):
        verify.segment(chain, draft._replace(placed={name: at + 4 for name, at in draft.placed.items()}))
    with pytest.raises(AssertionError, match="the arena holds what lives in it"):
        verify.segment(chain, draft._replace(arena=64))


def test_every_pointer_names_memory(chain: Trace, draft: Draft) -> None:
    missing = {name: at for name, at in draft.placed.items() if name < 0}
    with pytest.raises(AssertionError, match="every pointer names a placed or a real region"):
        verify.segment(chain, draft._replace(placed=missing))
    with pytest.raises(AssertionError, match="a pointer is inside its unit's workspace"):
        verify.segment(chain, draft._replace(workspaces={}))


def test_what_is_wanted_reaches_memory(chain: Trace, draft: Draft) -> None:
    with pytest.raises(AssertionError, match="what is wanted reaches memory"):
        verify.segment(chain, draft._replace(calls=draft.calls[:-1]))


def test_parts_share_only_what_has_memory_of_its_own(chain: Trace) -> None:
    (part,) = compile_trace(chain).parts
    assert isinstance(part, Segment) and part.placed
    with pytest.raises(AssertionError, match="no entry runs twice"):
        verify.parts(chain, [part, part])
    with pytest.raises(AssertionError, match="what is wanted is computed"):
        verify.parts(chain, [])
    storage = next(iter(part.placed))
    chain.fates[storage] = Fate.WANTED
    with pytest.raises(AssertionError, match="what is still wanted is not in an arena"):
        verify.parts(chain, [part])
    chain.fates[storage] = Fate.DROPPED
    steps = part.steps
    cut = 1 + next(n for n, step in enumerate(steps) if any(chain.slots[slot].storage == storage for slot in step.outputs))
    part.steps = steps[cut:]
    with pytest.raises(AssertionError, match="what is in an arena is of one part"):
        verify.parts(chain, [*steps[:cut], part])
    part.steps = steps
    part.allocated = []
    with pytest.raises(AssertionError, match="an owed storage is allocated before it is used"):
        verify.parts(chain, [part])


def test_the_engine_verifies_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass gone wrong makes the compilation fail."""
    assert config.VERIFY
    x = torch.rand(3, 4)
    trace = trace_from(lambda: (x * 2.5).sum(0))
    monkeypatch.setattr(pipeline, "fuse", lambda trace: fuse(trace)[1:])
    with pytest.raises(AssertionError, match="every entry is in a unit"):
        compile_trace(trace)
