"""Replays over the same tensors as the one before: no operand is collected anew, and whatever changes in between is noticed."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.again import Again
from rushlight.engine.checks import available
from rushlight.engine.execute import finish_compiling

Tensor = torch.Tensor

pytestmark = [pytest.mark.usefixtures("compiled_at_once"), pytest.mark.skipif(not available(), reason="needs machine code that reads Python's objects")]

#: Calls after which a recording's replays have settled.
SETTLES = 12


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 2)
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh()) * self.scale


class Program:
    """A captured training step, or the same uncaptured, with a tensor that a closure has and a number that a global dictionary has."""

    def __init__(self, captured: bool, make: Callable[[Any], Any] = lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)) -> None:
        torch.manual_seed(3)
        self.model = model = Model()
        self.x, self.y = torch.randn(4, 3), torch.randn(4, 2)
        shift = torch.zeros(2, requires_grad=True)
        self.optimizer = optimizer = make([*model.parameters(), shift])
        factors = self.factors = {"loss": 1.0}

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = ((model(x) + shift - y) ** 2).mean() * factors["loss"]
            loss.backward()
            optimizer.step()
            return loss.detach()

        def replace(other: Tensor) -> None:
            nonlocal shift
            shift = other

        self.function = step
        self.step: Any = torch.compile(step) if captured else step
        self.replace, self.shift = replace, lambda: shift
        self.kept: list[Any] = []

    def run(self) -> Tensor:
        return self.step(self.x, self.y)

    def again(self) -> Again | None:
        return self.step.recordings[0].settling.again if self.step.recordings else None

    def values(self) -> list[Any]:
        tensors = [*self.model.parameters(), self.shift(), *(p.grad for p in self.model.parameters())]
        return [None if t is None else t.detach().numpy().copy() for t in tensors] + [np.array(k.detach() if isinstance(k, Tensor) else k) for k in self.kept]


def settle(run: Callable[[], Any]) -> None:
    for _ in range(SETTLES):
        run()
        finish_compiling()


def settled(program: Program) -> Program:
    settle(program.run)
    return program


def keep(program: Program, value: Any) -> None:
    """Something of the user's, which must have the same values in both programs at the end."""
    program.kept.append(value)


def second(program: Program) -> Any:
    return program.model.second.weight


def set_item(owner: dict[str, Any], key: str, value: Any) -> None:
    owner[key] = value


def linear(size: int) -> nn.Linear:
    torch.manual_seed(5)
    return nn.Linear(size, 5, bias=False)


def hooked(program: Program) -> None:
    second(program).register_hook(lambda g: g * 2)


def hooked_optimizer(program: Program) -> None:
    def hook(optimizer: Any, args: Any, kwargs: Any) -> None:
        second(program).grad.zero_()

    program.optimizer.register_step_pre_hook(hook)


def in_no_grad(program: Program) -> None:
    with torch.no_grad(), pytest.raises(RuntimeError):
        program.run()


def other_precision(program: Program) -> None:
    torch.set_default_dtype(torch.float64)
    program.run()
    torch.set_default_dtype(torch.float32)


def in_a_thread(program: Program) -> None:
    thread = threading.Thread(target=program.run)
    thread.start()
    thread.join()


def with_something_pending(program: Program) -> None:
    keep(program, program.x * 3)
    program.run()


CHANGES: dict[str, Callable[[Program], Any]] = {
    "nothing": lambda p: None,
    "an argument is written": lambda p: p.x.mul_(1.5),
    "another argument": lambda p: setattr(p, "x", p.x + 1),
    "an argument of another shape": lambda p: (setattr(p, "x", torch.ones(6, 3)), setattr(p, "y", torch.ones(6, 2))),
    "an argument that is a view": lambda p: setattr(p, "x", torch.stack([p.x, p.x])[1]),
    "an argument of other data": lambda p: setattr(p.x, "data", p.x * 2),
    "an argument requires grad": lambda p: p.x.requires_grad_(),
    "one argument twice": lambda p: (setattr(p, "x", torch.ones(4, 2)), setattr(p, "y", p.x), setattr(p.model, "first", linear(2))),
    "a gradient is kept": lambda p: keep(p, second(p).grad),
    "a gradient's array is kept": lambda p: keep(p, second(p).grad.numpy()),
    "a view of a gradient is kept": lambda p: keep(p, second(p).grad[0]),
    "a gradient is written": lambda p: second(p).grad.mul_(100),
    "a gradient is taken away": lambda p: setattr(second(p), "grad", None),
    "another gradient": lambda p: setattr(second(p), "grad", torch.ones(2, 5)),
    "a gradient has an attribute": lambda p: setattr(second(p).grad, "mark", 1),
    "a parameter is written": lambda p: second(p).data.zero_(),
    "a parameter of other data": lambda p: setattr(second(p), "data", torch.ones(2, 5)),
    "another parameter": lambda p: setattr(p.model.second, "bias", nn.Parameter(torch.ones(2))),
    "a parameter is frozen": lambda p: p.model.first.bias.requires_grad_(False),
    "a parameter has a hook": hooked,
    "another tensor in the closure": lambda p: p.replace(torch.full((2,), 0.5, requires_grad=True)),
    "a tensor in the closure without grad": lambda p: p.replace(torch.full((2,), 0.25)),
    "an attribute of the model": lambda p: setattr(p.model, "scale", 0.5),
    "another submodule": lambda p: setattr(p.model, "first", linear(3)),
    "a number in a dictionary": lambda p: p.factors.update(loss=2.0),
    "another learning rate": lambda p: set_item(p.optimizer.param_groups[0], "lr", 0.01),
    "another momentum": lambda p: set_item(p.optimizer.param_groups[0], "momentum", 0.5),
    "another group": lambda p: p.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))]}),
    "the optimizer's state is lost": lambda p: p.optimizer.state.clear(),
    "the optimizer's state is loaded": lambda p: p.optimizer.load_state_dict(p.optimizer.state_dict()),
    "a hook of the optimizer": hooked_optimizer,
    "no grad": in_no_grad,
    "another default dtype": other_precision,
    "another thread": in_a_thread,
    "something is pending": with_something_pending,
    "a result is kept": lambda p: keep(p, p.run()),
    "evaluation": lambda p: p.model.eval(),
}


def same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_replays_over_the_same_tensors_collect_nothing() -> None:
    program = settled(Program(True))
    again = program.again()
    assert again is not None
    runs, grads = again.runs, [p.grad for p in program.model.parameters()]
    del grads
    for _ in range(5):
        program.run()
    assert program.again() is again and again.runs == runs + 5


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_in_between_is_noticed(change: str) -> None:
    programs = [Program(captured) for captured in (True, False)]
    found = []
    for program in programs:
        settled(program)
        CHANGES[change](program)
        losses = [program.run().item() for _ in range(4)]
        found.append((losses, program.values()))
    (losses, values), (expected_losses, expected) = found
    assert losses == expected_losses
    assert same(values, expected)


@pytest.mark.parametrize("seed", range(12))
def test_many_changes(seed: int) -> None:
    """Sequences of changes, with as many calls between them that replays settle again, or not."""
    draw = random.Random(seed)
    makers = [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=0.01), lambda p: torch.optim.SGD(p, lr=0.05)]
    make = draw.choice(makers)
    left_out = ("another momentum", "one argument twice", "an argument of another shape", "no grad")
    names = [name for name in CHANGES if name not in left_out]
    plan = [(draw.choice(names), draw.randrange(1, 20)) for _ in range(8)]
    found = []
    for captured in (True, False):
        program = settled(Program(captured, make))
        losses = []
        for name, calls in plan:
            if "gradient" in name and second(program).grad is None:
                continue
            CHANGES[name](program)
            losses += [program.run() for _ in range(calls)]
        found.append(([loss.item() for loss in losses], program.values()))
    assert found[0][0] == found[1][0], plan
    assert same(found[0][1], found[1][1]), plan


def test_what_a_call_touched_is_let_go_when_another_one_touches_something_else() -> None:
    program = settled(Program(True))
    assert program.again() is not None
    x = weakref.ref(program.x)
    program.x = torch.ones(4, 3)
    program.run()
    gc.collect()
    assert x() is None and program.again() is None


def test_a_gradient_is_a_new_tensor_where_the_user_can_tell() -> None:
    program = settled(Program(True))
    second(program).grad.mark = 1
    program.run()
    assert not hasattr(second(program).grad, "mark")


def test_an_argument_of_another_class() -> None:
    class Marked(torch.Tensor):
        pass

    double = torch.compile(lambda x: x * 2)
    x = torch.ones(3)
    settle(lambda: double(x).tolist())
    assert double.recordings[0].settling.again is not None
    x.__class__ = Marked
    assert type(double(x)) is Marked


def test_a_view_whose_base_comes_to_require_grad() -> None:
    double = torch.compile(lambda x: x * 2)
    base, weight = torch.ones(2, 3), torch.ones(2, 3, requires_grad=True)
    view = base[0]
    settle(lambda: double(view).tolist())
    base.copy_(weight * 3)
    base.sum().item()  # nothing is pending
    assert double(view).requires_grad


def test_a_list_with_other_tensors() -> None:
    double = torch.compile(lambda tensors: tensors[0] * 2)
    tensors = [torch.ones(3)]
    settle(lambda: double(tensors).tolist())
    tensors[0] = torch.zeros(3)
    assert double(tensors).tolist() == [0.0] * 3


def test_large_tensors_are_not_held() -> None:
    double = torch.compile(lambda x: x * 2)
    for size, held in ((1 << 10, True), (1 << 20, False)):
        x = torch.ones(size)
        settle(lambda x=x: double(x).tolist())
        assert (double.recordings[0].settling.again is not None) is held


def test_results_are_tensors_of_their_own() -> None:
    double = torch.compile(lambda x: x * 2)
    x = torch.ones(3)
    found = []
    for n in range(SETTLES + 8):
        x.fill_(n)
        found.append(double(x))
    assert [t.tolist() for t in found] == [[2.0 * n] * 3 for n in range(SETTLES + 8)]


def test_tensors_that_change_all_the_time_are_asked_for_less_and_less() -> None:
    double = torch.compile(lambda x: x * 2)
    tensors = [torch.ones(3) for _ in range(2)]
    settle(lambda: double(tensors[0]).tolist())
    attempts = 0
    settling: Any = None
    for n in range(600):
        double(tensors[n % 5 == 0]).tolist()
        if double.recordings:
            now, settling = settling, double.recordings[0].settling.again
            attempts += settling is not None and settling is not now
    assert attempts < 12
