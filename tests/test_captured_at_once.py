"""Captured cells in a loop: replays in one call of machine code do what the cell itself would do, and whatever changes is noticed."""

from __future__ import annotations

import gc
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.capture.at_once import AtOnce
from rushlight.engine.execute import finish_compiling
from rushlight.engine.object_program import ObjectProgram, available

Tensor = torch.Tensor

pytestmark = [pytest.mark.usefixtures("compiled_at_once"), pytest.mark.skipif(not available(), reason="needs machine code that makes Python's objects")]


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(3, 4), nn.Linear(4, 4, bias=False)
        self.scale = 0.5

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.input(x) + self.hidden(h)) * self.scale


class TwoStates(Cell):
    """Returns containers: two tensors with a history, one without, an argument, and a number."""

    def forward(self, x: Tensor, h: Tensor) -> Any:
        new = super().forward(x, h)
        return new, [new * 2, x], (x.detach() + 1, 3)


class Program:
    """A loop over a cell, captured or not, that is trained."""

    def __init__(self, captured: bool, kind: type[Cell] = Cell) -> None:
        torch.manual_seed(3)
        self.model = kind()
        self.cell: Any = torch.compile(self.model) if captured else self.model
        self.xs, self.start = torch.randn(6, 2, 3), torch.zeros(2, 4)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.before: Callable[[Tensor], Tensor] = lambda xs: xs
        self.between: Callable[[Tensor], Tensor] = lambda h: h
        self.kept: list[Any] = []

    def forward(self) -> Tensor:
        h, total, xs = self.start, torch.zeros(()), self.before(self.xs)
        for t in range(len(xs)):
            found = self.cell(xs[t], self.between(h))
            if type(found) is tuple:
                h, (twice, x), (more, number) = found
                total = total + (twice * number).sum() + (x + more).sum()
            else:
                h = found
        return (h * h).sum() + total

    def run(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.forward()
        if loss.requires_grad:
            loss.backward()
            self.optimizer.step()
        return loss.detach()

    def program(self) -> AtOnce | None:
        return next((r.straight.program for r in self.cell._compiled.recordings if r.straight.program is not None), None)

    def values(self) -> list[Any]:
        tensors = [*self.model.parameters(), *(p.grad for p in self.model.parameters()), self.xs.grad, *self.kept]
        return [None if t is None else t.detach().numpy().copy() for t in tensors]


def settled(program: Program) -> Program:
    for _ in range(8):
        program.run()
        finish_compiling()
    return program


def in_no_grad(program: Program) -> None:
    with torch.no_grad():
        program.kept.append(program.forward())


def in_inference_mode(program: Program) -> None:
    with torch.inference_mode():
        program.kept.append(program.forward())


def in_a_thread(program: Program) -> None:
    thread = threading.Thread(target=lambda: program.kept.append(program.run()))
    thread.start()
    thread.join()


def in_a_thread_without_grad(program: Program) -> None:
    """Grad mode is a thread's own."""
    with torch.no_grad():
        in_a_thread(program)


def under_autocast(program: Program) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        program.kept.append(program.run())


def in_another_precision(program: Program) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        program.xs, program.start = torch.randn(6, 2, 3, dtype=torch.float32), torch.zeros(2, 4, dtype=torch.float32)
        program.kept.append(program.run())
    finally:
        torch.set_default_dtype(torch.float32)


def in_immediate_mode(program: Program) -> None:
    tape.state.immediate = True
    try:
        program.kept.append(program.run())
    finally:
        tape.state.immediate = False


def with_hooks_on_what_is_saved(program: Program) -> None:
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
        program.kept.append(program.run())


def watched(program: Program, seen: Callable[[Tensor], Any]) -> None:
    def between(h: Tensor) -> Tensor:
        seen(h)
        return h

    program.between = between


def a_hook_on_each_state(program: Program) -> None:
    def hook(h: Tensor) -> None:
        if h.requires_grad:
            h.register_hook(lambda g: g * 0.5)

    watched(program, hook)


def gradients_of_states(program: Program) -> None:
    states: list[Tensor] = []

    def retain(h: Tensor) -> None:
        if h.grad_fn is not None:
            h.retain_grad()
            states.append(h)

    watched(program, retain)
    program.run()
    program.kept += [h.grad for h in states]
    program.between = lambda h: h


def part_of_the_sequence(program: Program, begin: int, end: int) -> None:
    program.xs = program.xs[begin:end]


CHANGES: dict[str, Callable[[Program], Any]] = {
    "nothing": lambda p: None,
    "a sequence of views": lambda p: setattr(p, "xs", torch.stack([p.xs, p.xs])[1]),
    "a shorter sequence": lambda p: part_of_the_sequence(p, 1, 4),
    "a sequence that requires grad": lambda p: setattr(p, "xs", p.xs.detach().requires_grad_()),
    "steps that lie otherwise": lambda p: setattr(p, "xs", p.xs.transpose(1, 2).contiguous().transpose(1, 2)),
    "another batch": lambda p: (setattr(p, "xs", torch.ones(6, 5, 3)), setattr(p, "start", torch.zeros(5, 4))),
    "a sequence of float64": lambda p: (setattr(p, "xs", p.xs.double()), setattr(p, "start", p.start.double()), p.model.double()),
    "a sequence that is written": lambda p: p.xs.mul_(0.5),
    "a view that is written": lambda p: p.xs[2].mul_(0.5),
    "a sequence with a history": lambda p: setattr(p, "before", lambda xs: xs * p.model.input.weight[0]),
    "a first state that requires grad": lambda p: setattr(p, "start", torch.ones(2, 4, requires_grad=True)),
    "a first state that is a parameter": lambda p: setattr(p, "start", nn.Parameter(torch.ones(2, 4))),
    "states that are written": lambda p: setattr(p, "between", lambda h: h.add_(1) if h.grad_fn is not None else h),
    "views of states": lambda p: setattr(p, "between", lambda h: h[:]),
    "states that are detached": lambda p: setattr(p, "between", lambda h: h.detach()),
    "states that lie otherwise": lambda p: setattr(p, "between", lambda h: h.t().contiguous().t()),
    "states that have been read": lambda p: watched(p, lambda h: h.tolist()),
    "hooks on states": a_hook_on_each_state,
    "gradients of states are kept": gradients_of_states,
    "a parameter is written": lambda p: p.model.hidden.weight.data.zero_(),
    "a parameter of other data": lambda p: setattr(p.model.hidden.weight, "data", torch.ones(4, 4)),
    "another parameter": lambda p: setattr(p.model.input, "bias", nn.Parameter(torch.ones(4))),
    "a parameter is frozen": lambda p: p.model.input.bias.requires_grad_(False),
    "all parameters are frozen": lambda p: p.model.requires_grad_(False),
    "a parameter has a hook": lambda p: p.model.input.bias.register_hook(lambda g: g * 2),
    "an attribute of the model": lambda p: setattr(p.model, "scale", 0.25),
    "another submodule": lambda p: (torch.manual_seed(7), setattr(p.model, "hidden", nn.Linear(4, 4))),
    "a hook of the model": lambda p: p.model.hidden.register_forward_hook(lambda module, args, output: output * 2),
    "evaluation": lambda p: p.model.eval(),
    "no grad": in_no_grad,
    "inference mode": in_inference_mode,
    "another thread": in_a_thread,
    "another thread, with grad": in_a_thread_without_grad,
    "autocast": under_autocast,
    "another default dtype": in_another_precision,
    "every op at once": in_immediate_mode,
    "hooks on what is saved": with_hooks_on_what_is_saved,
}


#: To capture a function of two outputs is to make them outputs of one node: a gradient of the one no longer passes through the other.
_OF_ONE_STATE = ("hooks on states", "gradients of states are kept")
#: Nothing can be done any more after these that can be done before.
_LASTING = ("another batch", "a sequence of float64", "a sequence that requires grad", "all parameters are frozen", "another default dtype")


def same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", [Cell, TwoStates])
def test_all_replays_but_those_of_another_kind_are_one_call(kind: type[Cell]) -> None:
    program = settled(Program(True, kind))
    found = program.program()
    assert found is not None
    runs, replays = found.runs, program.cell._compiled.replays
    for _ in range(3):
        program.run()
    # The first of each sequence has a state without a history: its recording has a program of its own.
    assert program.program() is found or program.cell._compiled.recordings[0].straight.program is not None
    assert sum(r.straight.program.runs for r in program.cell._compiled.recordings) >= runs + 3 * 6
    assert program.cell._compiled.replays == replays + 3 * 6


@pytest.mark.parametrize("kind", [Cell, TwoStates])
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_in_between_is_noticed(change: str, kind: type[Cell]) -> None:
    if kind is TwoStates and change in _OF_ONE_STATE:
        return
    found = []
    for captured in (True, False):
        program = settled(Program(captured, kind))
        CHANGES[change](program)
        losses = [program.run().item() for _ in range(4)]
        found.append((losses, program.values()))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])


@pytest.mark.filterwarnings("ignore:(?s).*has been recorded 8 times")
@pytest.mark.parametrize("seed", range(12))
def test_many_changes(seed: int) -> None:
    """Sequences of changes, with as many calls between them that there is a program again, or not."""
    draw = random.Random(seed)
    kind = Cell if seed % 2 else TwoStates
    names = [name for name in CHANGES if name not in _LASTING and (kind is Cell or name not in _OF_ONE_STATE)]
    plan = [(draw.choice(names), draw.randrange(1, 6)) for _ in range(8)]
    found = []
    for captured in (True, False):
        program = settled(Program(captured, kind))
        losses = []
        for name, calls in plan:
            if len(program.xs) < 4 and "shorter" in name:
                continue
            CHANGES[name](program)
            losses += [program.run() for _ in range(calls)]
        found.append(([loss.item() for loss in losses], program.values()))
    assert found[0][0] == found[1][0], plan
    assert same(found[0][1], found[1][1]), plan


def last_state(program: Program) -> Tensor:
    h = program.start
    for t in range(3):
        h = program.cell(program.xs[t], h)
    return h


def test_what_is_made_looks_like_what_python_makes() -> None:
    program = settled(Program(True))
    made = last_state(program)
    program.cell._compiled.recordings.reverse()
    for recording in program.cell._compiled.recordings:
        recording.straight.program = None
    usual = last_state(program)
    for t in (made, usual):
        assert type(t) is Tensor and t.requires_grad and not t.is_leaf and t._base is None and not t.is_inference() and t.output_nr == 0
        assert t.grad_fn is not None and t.grad_fn.name() == "CompiledFunctionBackward" and len(t.grad_fn.next_functions) == 4
        assert t._version == 0 and t.storage_offset() == 0
    assert type(made.grad_fn) is type(usual.grad_fn) and made.grad_fn.metadata == usual.grad_fn.metadata == {}
    assert made.tolist() == usual.tolist()
    assert made.untyped_storage().nbytes() == usual.untyped_storage().nbytes()


def test_all_that_is_made_is_let_go() -> None:
    program = settled(Program(True, TwoStates))
    constants = (None, True, False, Tensor, torch.float32)
    before: list[int] = []
    for n in range(40):
        program.run()
        if n == 10:
            gc.collect()
            before = [len(gc.get_objects()), *map(sys.getrefcount, constants[3:])]
    gc.collect()
    after = [len(gc.get_objects()), *map(sys.getrefcount, constants[3:])]
    assert all(abs(a - b) < 30 for a, b in zip(after, before, strict=True))


def test_a_graph_that_has_been_freed_is_refused() -> None:
    program = settled(Program(True))
    h = last_state(program)
    h.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        h.sum().backward()


def test_calls_of_changing_kinds_write_few_programs() -> None:
    program = settled(Program(True))
    made = 0
    last: Any = None
    for n in range(300):
        if n % 2:
            program.model.hidden.weight.data = program.model.hidden.weight.data.clone()
        program.run()
        now = program.program()
        made += now is not None and now is not last
        last = now
    assert made < 200


def test_a_program_lets_go_what_it_has_made_where_a_look_or_a_call_fails() -> None:
    def fails(value: object) -> None:
        raise ValueError("no")

    program = ObjectProgram(2)
    made = program.list_of(program.argument(0), program.argument(1))
    program.is_same(program.argument(0), program.constant(None))
    answer = program.call(program.constant(fails), made)
    run = program.prepared(answer)
    assert run is not None
    mark = object()
    count = sys.getrefcount(mark)
    assert run(mark, 1) is NotImplemented and run(1) is NotImplemented
    with pytest.raises(ValueError, match="no"):
        run(None, mark)
    assert sys.getrefcount(mark) == count


def test_each_kind_of_row() -> None:
    program = ObjectProgram(1)
    given = program.argument(0)
    item = program.item(given, 0)
    pair = program.tuple_of(item, program.add(item, program.constant(5)))
    both = program.dict_of((program.constant("pair"), pair), (program.constant("list"), program.list_of(program.call(program.constant(lambda: "called")))))
    numbers = iter(range(9))
    program.next(program.constant(numbers))
    run = program.prepared(program.tuple_of(both, program.next(program.constant(numbers)), program.attribute(item, "real")))
    assert run is not None
    assert run((4,)) == ({"pair": (4, 9), "list": ["called"]}, 1, 4)
    assert run((7,)) == ({"pair": (7, 12), "list": ["called"]}, 3, 7)
