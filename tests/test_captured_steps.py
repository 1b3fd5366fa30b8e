"""Captured training steps: an optimizer's step is part of the routine, and a replay runs at once in one native call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, shape, tape
from rushlight.capture.compiled import CompiledFunction
from rushlight.capture.guards import Guards
from rushlight.engine import llvm
from rushlight.engine.direct import BYTES_AT_MOST
from rushlight.nn import functional as F
from rushlight.recent import Recent

Tensor = torch.Tensor

pytestmark = pytest.mark.usefixtures("compiled_at_once")

native = pytest.mark.skipif(not llvm.AVAILABLE, reason="without machine code a replay is recorded")

MAKERS: list[Callable[[Any], Any]] = [
    lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, maximize=True),
    lambda p: torch.optim.NAdam(p, lr=0.01),
    lambda p: torch.optim.Adagrad(p, lr=0.01),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.tensor(np.random.RandomState(seed + sum(shape)).standard_normal(shape).astype(np.float32).tolist())


def groups(model: nn.Module, grouped: bool) -> Any:
    params = list(model.parameters())
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}] if grouped else params


class Program:
    """A model with its optimizer, trained by a captured step or by the step itself."""

    def __init__(self, make: Callable[[Any], Any], captured: bool, grouped: bool = False, behind: Callable[[Any], None] | None = None) -> None:
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        self.optimizer = make(groups(self.model, grouped))
        model, optimizer = self.model, self.optimizer

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if behind is not None:
                behind(model)
            return loss.detach()

        self.step = torch.compile(step) if captured else step

    def run(self, steps: int, between: Callable[[int, Program], None] | None = None) -> list[Any]:
        """Losses, then parameters, gradients and the optimizer's state, to the bit."""
        found: list[Any] = []
        for n in range(steps):
            if between is not None:
                between(n, self)
            found.append(self.step(normal(6, 4, seed=n), torch.tensor([0, 1, 2, 0, 1, 2])).item())
        params = list(self.model.parameters())
        state = [t for p in params for t in self.optimizer.state[p].values() if isinstance(t, Tensor)]
        return found + [t.detach().numpy().tobytes() for t in (*params, *(p.grad for p in params), *state)]


def check(make: Callable[[Any], Any], steps: int = 12, *, least: int, between: Callable[[int, Program], None] | None = None, **kwargs: Any) -> CompiledFunction:
    captured = Program(make, True, **kwargs)
    assert captured.run(steps, between) == Program(make, False, **kwargs).run(steps, between)
    function: Any = captured.step
    assert function.replays >= least, function.refusal
    return function


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_step_in_the_routine_gives_the_steps_own_bits(make: Any, grouped: bool) -> None:
    function = check(make, least=9, grouped=grouped)
    (recording,) = function.recordings
    assert recording.steps and not recording.optimizers


@native
def test_a_replay_leaves_nothing_pending_and_is_one_native_call() -> None:
    program = Program(MAKERS[2], True)
    program.run(5)
    x, y = normal(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    before = torch.report()
    loss = program.step(x, y)
    assert not tape.pending and loss._storage.data is not None
    after = torch.report()
    assert (after.native_calls, after.direct_runs) == (before.native_calls + 1, before.direct_runs + 1)
    assert after.flushes == before.flushes and after.interpreted_runs == before.interpreted_runs


def test_a_rate_that_a_schedule_changes() -> None:
    rates: dict[int, Any] = {}

    def between(n: int, program: Program) -> None:
        if n == 0:
            rates[id(program)] = torch.optim.lr_scheduler.OneCycleLR(program.optimizer, 0.1, total_steps=20)
        else:
            rates[id(program)].step()

    function = check(MAKERS[3], least=9, between=between)
    assert len(function.recordings) == 1


def test_an_option_that_changes() -> None:
    """Momentum switched on and off, and weight decay: other formulas, other buffers."""

    def between(n: int, program: Program) -> None:
        group = program.optimizer.param_groups[0]
        if n == 5:
            group["momentum"] = 0.9
        if n == 10:
            group["weight_decay"] = 0.01
        if n == 15:
            group["momentum"], group["nesterov"] = 0.0, False

    function = check(MAKERS[0], 20, least=8, between=between)
    assert function.recordings[0].steps


def test_a_state_that_is_loaded_or_written() -> None:
    saved: dict[int, Any] = {}

    def between(n: int, program: Program) -> None:
        optimizer = program.optimizer
        if n == 5:
            saved[id(program)] = optimizer.state_dict()
        if n == 8:
            optimizer.load_state_dict(saved[id(program)])
        if n == 13:
            for state in optimizer.state.values():
                state["step"].fill_(2.0)
                state["exp_avg"].mul_(0.5)

    check(MAKERS[2], 20, least=8, between=between)


def test_steps_between_replays() -> None:
    """An optimizer that steps outside of the captured function too counts all its steps."""

    def between(n: int, program: Program) -> None:
        if n in (4, 9):
            program.optimizer.step()

    check(MAKERS[3], 14, least=9, between=between)


def test_a_hook_is_called_at_each_step() -> None:
    calls: list[int] = []

    def between(n: int, program: Program) -> None:
        if n == 6:
            program.optimizer.register_step_pre_hook(lambda *_: calls.append(n))

    check(MAKERS[2], 12, least=3, between=between)
    assert len(calls) == 12


def test_work_behind_the_step() -> None:
    """A moving average of the parameters, as part of the captured step."""
    averages: dict[int, list[Tensor]] = {}

    def behind(model: nn.Module) -> None:
        with torch.no_grad():
            for average, p in zip(averages[id(model)], model.parameters(), strict=True):
                average.lerp_(p, 0.1)

    found = []
    for captured in (True, False):
        program = Program(MAKERS[1], captured, behind=behind)
        averages[id(program.model)] = [p.detach().clone() for p in program.model.parameters()]
        found.append((program.run(10), [a.tolist() for a in averages[id(program.model)]]))
        if captured:
            function: Any = program.step
            assert function.replays >= 7, function.refusal
    assert found[0] == found[1]


@pytest.mark.parametrize("seen", [lambda grad: grad, lambda grad: grad.detach(), lambda grad: grad.numpy(), lambda grad: grad.view(-1)[:1], lambda grad: grad.untyped_storage()])
def test_a_gradient_that_somebody_holds_is_not_written_over(seen: Any) -> None:
    program = Program(MAKERS[0], True)
    program.run(6)
    weight = next(program.model.parameters())
    assert weight.grad is not None
    before, held = weight.grad.tolist(), seen(weight.grad)
    value = bytes(held) if isinstance(held, torch.UntypedStorage) else np.asarray(held).copy()
    program.run(3)
    assert weight.grad.tolist() != before
    assert value == bytes(held) if isinstance(held, torch.UntypedStorage) else np.array_equal(value, np.asarray(held))


@native
def test_a_gradient_that_is_let_go_gives_its_memory_to_the_next() -> None:
    program = Program(MAKERS[2], True)
    program.run(6)
    weight: Any = next(program.model.parameters())
    address = weight.grad.data_ptr()
    program.run(3)
    assert weight.grad.data_ptr() == address


def test_inference_runs_at_once() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    compiled = torch.compile(model)
    with torch.no_grad():
        for n in range(6):
            x = normal(2, 4, seed=n)
            found = compiled(x)
            assert n < 4 or not llvm.AVAILABLE or (found._storage.data is not None and not tape.pending)
            assert torch.equal(found, model(x))


def test_a_replay_behind_pending_work_is_recorded_in_its_order() -> None:
    double = torch.compile(lambda x: x * 2)
    with torch.no_grad():
        for n in range(6):
            x = torch.full((3,), float(n))
            tape.flush()
            assert double(x).tolist() == [2.0 * n] * 3
        x.add_(1)
        y = double(x)
        x.add_(1)
        assert (y.tolist(), x.tolist()) == ([12.0] * 3, [7.0] * 3)


def test_an_operand_that_failed_fails_the_replay() -> None:
    double = torch.compile(lambda x: x * 2)
    for _ in range(5):
        double(torch.ones(3)).tolist()
    x = torch.ones(3)
    x._storage.data, x._storage.address, x._storage.error = None, 0, RuntimeError("it has failed")
    with pytest.raises(RuntimeError, match="it has failed"):
        double(x).tolist()


def test_a_pass_through_replays_is_one_entry(deferred: None) -> None:
    """A captured cell in a loop: its nodes are of a known kind, like those of single ops."""
    torch.manual_seed(0)
    cell, classifier = nn.RNNCell(3, 4), nn.Linear(4, 2)
    params = [*cell.parameters(), *classifier.parameters()]
    captured = torch.compile(lambda x, h: cell(x, h) * 1.0)

    def gradients(step: Callable[[Tensor, Tensor], Tensor], n: int) -> tuple[int, list[list[float]]]:
        for p in params:
            p.grad = None
        h = torch.zeros(2, 4)
        for t in range(1 + n % 3):
            h = step(normal(2, 3, seed=n + t), h)
        loss = classifier(h).square().sum()
        before = len(tape.pending)
        loss.backward()
        return len(tape.pending) - before, [p.grad.tolist() for p in params if p.grad is not None]

    for n in range(15):
        entries, found = gradients(captured, n)
        assert found == gradients(lambda x, h: cell(x, h) * 1.0, n)[1]
    assert entries == 1


def test_a_pass_through_a_replay_whose_operand_was_written() -> None:
    square = torch.compile(lambda x: x * x)
    x, w = torch.ones(3), torch.ones(3, requires_grad=True)
    for n in range(6):
        h = w * x
        y = square(h)
        if n == 5:
            h.detach().add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()
        else:
            y.sum().backward()


@native
def test_large_results_are_left_to_the_tape() -> None:
    """What follows on the tape can use their memory again while it is in the cache: a trace plans that, and single runs cannot."""
    double = torch.compile(lambda x: x * 2)
    for n in range(6):
        x = torch.full((BYTES_AT_MOST // 4 + 1,), float(n))
        tape.flush()
        assert double(x)[-1].item() == 2.0 * n
    tape.flush()
    assert double(x)._storage.data is None


MOVES: dict[str, Callable[[Program], Any]] = {
    "a parameter's data": lambda p: setattr(p.model[0].weight, "data", normal(8, 4, seed=9)),
    "a parameter's data, over the memory of another's": lambda p: setattr(p.model[2].bias, "data", p.model[0].bias.data[2:5]),
    "a parameter in shared memory": lambda p: p.model[0].weight.share_memory_(),
    "a buffer of the optimizer": lambda p: p.optimizer.state[p.model[0].weight].update(momentum_buffer=normal(8, 4, seed=3)),
    "a buffer's data": lambda p: setattr(p.optimizer.state[p.model[0].bias]["momentum_buffer"], "data", normal(8, seed=3)),
    "a parameter that NumPy shares": lambda p: setattr(p.model[0].bias, "data", torch.from_numpy(np.arange(8, dtype=np.float32))),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_has_lain_still_is_found_where_it_has_moved(name: str) -> None:
    programs = [Program(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), captured) for captured in (False, True)]
    x, y = normal(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    for round in range(2):
        for _ in range(6):
            losses = [program.step(x, y).tolist() for program in programs]
            assert losses[0] == losses[1]
        for program in programs:
            if round == 0:
                MOVES[name](program)
    for a, b in zip(programs[0].model.parameters(), programs[1].model.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_an_argument_that_is_a_view_of_a_parameter() -> None:
    """Operands that lie apart when a function is recorded, and in one storage later."""
    weight = nn.Parameter(normal(4, 4))

    @torch.compile
    def scaled(x: Tensor) -> Tensor:
        with torch.no_grad():
            weight.mul_(0.5)
            return x + weight

    for n in range(6):
        before, x = weight.tolist(), normal(4, 4, seed=n)
        assert scaled(x).tolist() == (x + torch.tensor(before) * 0.5).tolist()
    half = torch.tensor(weight.tolist()) * 0.5
    assert scaled(weight.data).tolist() == (half + half).tolist()


def test_recordings_for_arguments_of_other_states_are_told_apart_without_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a cell in a loop, whose first state requires no grad and whose next ones do."""
    cell = torch.compile(nn.RNNCell(3, 4))

    def loop(steps: int) -> Tensor:
        h = torch.zeros(2, 4)
        for n in range(steps):
            h = cell(normal(2, 3, seed=n), h)
        return h

    for _ in range(5):
        loop(6)
    function = cell._compiled
    assert len(function.recordings) == 2
    monkeypatch.setattr(Guards, "_walk", lambda *_: pytest.fail("a walk"))
    replays = function.replays
    assert torch.equal(loop(5), loop(5))
    assert function.replays == replays + 10
    monkeypatch.undo()
    assert function.recordings[0].guards.match((normal(2, 3), torch.zeros(3, 4)), {}).startswith("hx: ")


def test_an_equal_layout_that_is_another_object_is_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts are forgotten in the end, and made anew."""
    double = torch.compile(lambda x: x * 2)
    for _ in range(4):
        double(torch.ones(5, 3)).tolist()
    replays, before = double.replays, torch.ones(5, 3)._layout
    for known in ("_interned", "_contiguous"):
        monkeypatch.setattr(shape, known, Recent(1 << 13))
    x = torch.tensor(np.ones((5, 3), np.float32))
    assert x._layout is not before
    assert double(x).tolist() == [[2.0] * 3] * 5
    assert (len(double.recordings), double.replays) == (1, replays + 1)
