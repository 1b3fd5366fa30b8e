"""`torch.compile`: replays give what the function itself gives, bit for bit, and never when they could not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.capture.compiled import LIMIT, CompiledFunction
from rushlight.nn import functional as F

Tensor = torch.Tensor

pytestmark = pytest.mark.usefixtures("deferred")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.tensor(np.random.RandomState(seed + sum(shape)).standard_normal(shape).astype(np.float32).tolist())


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def check(function: Callable[..., Any], calls: list[tuple[Any, ...]], replays: int) -> CompiledFunction:
    """Each call gives what the function gives; so many of them are replays."""
    compiled = torch.compile(function)
    for args in calls:
        found, wanted = compiled(*args), function(*args)
        assert torch.equal(found, wanted), (found, wanted)
        assert found.requires_grad == wanted.requires_grad
    assert compiled.replays == replays, compiled.refusal
    return compiled


# Results


def test_a_function_is_replayed_from_the_third_call_on() -> None:
    check(lambda x: (x * 2 + 1).exp().sum(0), [(normal(3, 4, seed=n),) for n in range(6)], replays=4)


def test_each_call_gives_fresh_outputs() -> None:
    compiled = torch.compile(lambda x: x * 2)
    outs = [compiled(torch.full((3,), float(n))) for n in range(6)]
    assert [o.tolist() for o in outs] == [[2.0 * n] * 3 for n in range(6)]
    outs[4].add_(100)
    assert outs[5].tolist() == [10, 10, 10]


def test_outputs_fed_back_as_inputs() -> None:
    compiled = torch.compile(lambda x, h: torch.tanh(x + h * 0.9))
    h = plain = torch.zeros(4)
    for n in range(8):
        x = normal(4, seed=n)
        h, plain = compiled(x, h), torch.tanh(x + plain * 0.9)
        assert torch.equal(h, plain)
    assert compiled.replays == 6


def test_trees_of_outputs_and_inputs() -> None:
    def f(pair: Any, *, scale: Any) -> Any:
        a, b = pair["a"], pair["b"]
        return {"sum": a + b, "both": (a * scale, [b - a, 3, "x", None])}

    compiled = torch.compile(f)
    for n in range(5):
        pair = {"a": normal(3, seed=n), "b": normal(3, seed=-n + 20)}
        found, wanted = compiled(pair, scale=1.5), f(pair, scale=1.5)
        assert torch.equal(found["sum"], wanted["sum"]) and torch.equal(found["both"][0], wanted["both"][0])
        assert torch.equal(found["both"][1][0], wanted["both"][1][0]) and found["both"][1][1:] == [3, "x", None]
    assert compiled.replays == 3


def test_an_input_that_is_returned_is_the_same_object() -> None:
    compiled = torch.compile(lambda x, y: (x, x * y, y))
    for n in range(5):
        x, y = normal(3, seed=n), normal(3, seed=n + 9)
        a, _, b = compiled(x, y)
        assert a is x and b is y


def test_a_view_of_an_input_shares_its_memory() -> None:
    with torch.no_grad():
        compiled = torch.compile(lambda x: x[1:].view(-1))
        for n in range(5):
            x = normal(3, 4, seed=n)
            y = compiled(x)
            y.mul_(2)
            assert torch.equal(x[1:].reshape(-1), y) and y._base is x
    assert compiled.replays == 3


# What is guarded


def test_numbers_that_change() -> None:
    check(lambda x, scale: x * scale, [(normal(3), s) for s in (0.5, 0.5, 0.5, 0.7, 0.7, -0.0, 0.0, 0.0, 2, 2, True, 0.5, 0.7)], replays=6)


def test_lists_of_numbers_that_change() -> None:
    def f(x: Tensor, factors: list[float]) -> Tensor:
        for factor in factors:
            x = x * factor
        return x

    check(f, [(normal(3), factors) for factors in ([1.5], [1.5], [1.5], [1.5, 0.3], [1.5, 0.3], [1.5], [1.5, 0.3])], replays=4)


def test_a_list_that_is_mutated_between_calls() -> None:
    factors, x = [1.5], normal(3)
    compiled = torch.compile(lambda x: x * sum(factors))
    for n in range(8):
        assert torch.equal(compiled(x), x * sum(factors))
        if n % 3 == 2:
            factors.append(0.25)


def test_closures_and_globals_that_change() -> None:
    scale = 1.5
    compiled = torch.compile(lambda x: x * scale + _offset)
    x = normal(3)
    for n in range(12):
        assert torch.equal(compiled(x), x * scale + _offset)
        if n == 4:
            scale = 2.5
        if n == 8:
            globals()["_offset"] = 7.0
    assert compiled.replays >= 6


_offset = 3.0


def test_shapes_strides_and_dtypes_that_change() -> None:
    calls = [normal(3, 4), normal(3, 4), normal(3, 4), normal(2, 4), normal(2, 4), normal(4, 3).t(), normal(4, 3).t(), normal(3, 4).double(), normal(3, 4).double()]
    check(lambda x: (x * 1.5).sum(1), [(x,) for x in calls], replays=4)


def test_a_view_at_another_offset() -> None:
    data = normal(20)
    check(lambda x: x * 2, [(data[n : n + 5],) for n in (0, 0, 3, 7, 15)], replays=3)


def test_the_same_tensor_twice() -> None:
    a, b = normal(3), normal(3, seed=1)

    def f(x: Tensor, y: Tensor) -> Tensor:
        x = x.clone()
        return x * y + (x if x is y else 0 * x)

    check(f, [(a, b), (a, b), (a, b), (a, a), (a, a), (a, b), (b, a)], replays=4)


def test_tensors_that_come_to_share_memory() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        x.add_(1)
        return x * y

    compiled = torch.compile(f)
    for n in range(9):
        data, plain = normal(8, seed=n), normal(8, seed=n)
        begin = 0 if n in (5, 6, 8) else 4
        found, wanted = compiled(data[:4], data[begin : begin + 4]), f(plain[:4], plain[begin : begin + 4])
        assert torch.equal(found, wanted) and torch.equal(data, plain)
    assert compiled.replays


def test_grad_mode_and_requires_grad() -> None:
    compiled = torch.compile(lambda x: x * 2)
    plain, leaf = normal(3), normal(3).requires_grad_()
    for x in (plain, plain, leaf, leaf, plain, leaf):
        assert compiled(x).requires_grad == x.requires_grad
        with torch.no_grad():
            assert not compiled(x).requires_grad


def test_a_module_in_training_and_in_evaluation() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8))
    twin = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8))
    twin.load_state_dict(model.state_dict())
    compiled = torch.compile(model)
    for n in range(16):
        for m in (compiled, twin):
            m.train(n % 4 < 2)
        x = normal(5, 4, seed=n)
        torch.manual_seed(n)
        found = compiled(x)
        torch.manual_seed(n)
        assert torch.equal(found, twin(x)), n
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert compiled._compiled.replays >= 8


def test_parameters_that_are_replaced() -> None:
    model = mlp()
    compiled, x = torch.compile(model), normal(2, 4)
    for n in range(9):
        assert torch.equal(compiled(x), model(x))
        if n == 3:
            model[0].weight = nn.Parameter(normal(8, 4, seed=5))
        if n == 5:
            model[2] = nn.Linear(8, 2)
        if n == 7:
            model[0].weight.data = normal(8, 4, seed=6)


def test_a_method_shared_between_instances() -> None:
    class Scale:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @torch.compile
        def apply(self, x: Tensor) -> Tensor:
            return x * self.factor

    one, two, x = Scale(1.5), Scale(2.5), normal(3)
    for _ in range(6):
        assert torch.equal(one.apply(x), x * 1.5) and torch.equal(two.apply(x), x * 2.5)
    one.factor = 4.0
    assert torch.equal(one.apply(x), x * 4)
    assert type(one).__dict__["apply"].replays > 0


def test_state_that_the_function_keeps() -> None:
    class Counter(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    model = Counter()
    compiled, x = torch.compile(model), normal(3)
    for n in range(1, 7):
        assert torch.equal(compiled(x), x * n) and model.calls == n
    assert compiled._compiled.replays == 0 and "calls" in compiled._compiled.refusal


def test_a_list_that_the_function_appends_to() -> None:
    seen: list[Tensor] = []

    def f(x: Tensor) -> Tensor:
        seen.append(x)
        return x * 2

    compiled = torch.compile(f)
    for _ in range(5):
        compiled(normal(3))
    assert len(seen) == 5 and compiled.replays == 0


# Writes


def test_a_slice_assignment() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        x[1:3] = y[:2] * 2
        return x.sum()

    compiled = torch.compile(f)
    for n in range(6):
        x, y = normal(4, seed=n), normal(4, seed=n + 7)
        twin = x.clone()
        assert torch.equal(compiled(x, y), f(twin, y)) and torch.equal(x, twin)
    assert compiled.replays == 4


def test_writes_advance_the_version() -> None:
    w = normal(3).requires_grad_()
    buffer = normal(3, seed=4)
    compiled = torch.compile(lambda b: b.mul_(2))
    for _ in range(4):
        compiled(buffer)
    loss = (w * buffer).sum()
    compiled(buffer)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# Gradients


def test_gradients_through_a_compiled_function() -> None:
    model, twin = mlp(), mlp()
    compiled = torch.compile(model)
    for n in range(6):
        x = normal(5, 4, seed=n).requires_grad_()
        y = x.detach().clone().requires_grad_()
        compiled(x).exp().sum().backward()
        twin(y).exp().sum().backward()
        assert torch.equal(x.grad, y.grad)
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad), n  # they accumulate
    assert compiled._compiled.replays == 5


def test_a_gradient_that_is_broadcast_at_once() -> None:
    w = normal(3, 4).requires_grad_()
    compiled = torch.compile(lambda x: (x @ w).clamp(min=0).pow(2).sum())
    for n in range(5):
        x = normal(2, 3, seed=n)
        w.grad = None
        compiled(x).backward()
        found, w.grad = w.grad, None
        (x @ w).clamp(min=0).pow(2).sum().backward()
        assert torch.equal(found, w.grad)
    assert compiled.replays == 3, compiled.refusal


def test_gradients_of_some_of_the_outputs() -> None:
    def f(x: Tensor) -> Any:
        return x * 2, x.exp(), x.detach() + 1

    compiled = torch.compile(f)
    for n in range(6):
        x = normal(3, seed=n).requires_grad_()
        a, b, c = compiled(x)
        assert not c.requires_grad
        (a if n % 2 else b).sum().backward()
        assert torch.equal(x.grad, torch.full((3,), 2.0) if n % 2 else x.detach().exp())
    assert compiled.replays == 4


def test_a_graph_behind_a_compiled_function_goes_on() -> None:
    w, u = normal(3).requires_grad_(), normal(3, seed=2).requires_grad_()
    compiled = torch.compile(lambda h: torch.tanh(h * u))
    for _ in range(5):
        w.grad = u.grad = None
        h = w * 2
        for _ in range(3):
            h = compiled(h)
        h.sum().backward()
        found = w.grad.clone(), u.grad.clone()
        w.grad = u.grad = None
        h = w * 2
        for _ in range(3):
            h = torch.tanh(h * u)
        h.sum().backward()
        assert torch.equal(found[0], w.grad) and torch.equal(found[1], u.grad)
    assert compiled.replays > 9


def test_a_written_parameter_is_noticed_before_the_backward_pass() -> None:
    w = normal(3).requires_grad_()
    compiled = torch.compile(lambda x: (x * w * w).exp())
    for n in range(5):
        loss = compiled(normal(3, seed=n)).sum()
        if n == 4:
            with torch.no_grad():
                w.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
        else:
            loss.backward()
    assert compiled.replays == 3


def test_a_graph_is_freed() -> None:
    compiled = torch.compile(lambda x: x * x)
    for n in range(4):
        x = normal(3, seed=n).requires_grad_()
        loss = compiled(x).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
        assert torch.allclose(x.grad, 4 * x.detach())


def test_double_backward_is_refused_in_words() -> None:
    compiled = torch.compile(lambda x: x * x * x)
    x = normal(3).requires_grad_()
    for _ in range(3):
        y = compiled(x).sum()
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(y, x, create_graph=True)


# Whole steps


def train(step_of: Callable[[Any, Any], Callable[[Tensor, Tensor], Any]], make: Callable[[Any], Any], steps: int = 12, schedule: bool = False) -> tuple[list[float], list[bytes]]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))
    optimizer = make(model.parameters())
    step = step_of(model, optimizer)
    rates = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9) if schedule else None
    torch.manual_seed(2)
    losses = []
    for n in range(steps):
        losses.append(step(normal(6, 4, seed=n), torch.tensor([0, 1, 2, 0, 1, 2])).item())
        if rates is not None:
            rates.step()
    return losses, [p.detach().numpy().tobytes() for p in model.parameters()]


def whole_step(model: Any, optimizer: Any) -> Callable[[Tensor, Tensor], Tensor]:
    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


OPTIMIZERS = [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: torch.optim.Adam(p, lr=0.01),
    lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    lambda p: torch.optim.RMSprop(p, lr=0.01),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("schedule", [False, True])
def test_a_whole_training_step(make: Any, schedule: bool) -> None:
    """Zero the gradients, forward with dropout, backward, update, under a schedule that changes the rate at each step."""
    compiled: list[CompiledFunction] = []

    def captured(model: Any, optimizer: Any) -> Any:
        compiled.append(torch.compile(whole_step(model, optimizer)))
        return compiled[0]

    assert train(captured, make, schedule=schedule) == train(whole_step, make, schedule=schedule)
    assert compiled[0].replays >= 7, compiled[0].refusal


def test_gradients_that_accumulate_over_two_batches() -> None:
    def step_of(model: Any, optimizer: Any, compiled: bool) -> Any:
        def differentiate(x: Tensor, y: Tensor) -> Tensor:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss.detach()

        run = torch.compile(differentiate) if compiled else differentiate

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            run(x, y)
            loss = run(x * 0.5, y)
            optimizer.step()
            return loss

        return step

    make = OPTIMIZERS[0]
    assert train(lambda m, o: step_of(m, o, True), make) == train(lambda m, o: step_of(m, o, False), make)


def test_a_schedule_inside_is_refused() -> None:
    w = nn.Parameter(normal(3))
    optimizer = torch.optim.SGD([w], lr=1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def step() -> None:
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        schedule.step()

    compiled = torch.compile(step)
    for n in range(1, 5):
        compiled()
        assert optimizer.param_groups[0]["lr"] == 0.5**n
    assert compiled.replays == 0


# What cannot be replayed


def test_a_branch_on_a_value_names_its_line() -> None:
    def f(x: Tensor) -> Tensor:
        y = x * 2
        if y.sum().item() > 0:  # here
            return y
        return -y

    compiled = check(f, [(normal(3),), (-normal(3).abs(),), (normal(3).abs(),), (normal(3),)], replays=0)
    line = f.__code__.co_firstlineno + 2
    assert "a value is read" in compiled.refusal and f"test_compile.py:{line}" in compiled.refusal
    strict = torch.compile(f, fullgraph=True)
    with pytest.raises(RuntimeError, match=f"test_compile.py:{line}"):
        for _ in range(3):
            strict(normal(3))


def test_a_value_that_is_there_already_is_no_branch_either() -> None:
    flag = torch.tensor(True)
    x = normal(3)

    def f() -> Tensor:
        return x * 2 if flag else x * 3

    compiled = torch.compile(f)
    for n in range(6):
        assert torch.equal(compiled(), f())
        if n == 3:
            flag.fill_(False)
    assert compiled.replays == 0


def test_what_is_printed_is_printed_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Tensor) -> Tensor:
        print("called")
        return x * 2

    compiled = torch.compile(f)
    for _ in range(5):
        compiled(normal(3))
    assert capsys.readouterr().out == "called\n" * 5


def test_hooks_are_called_each_time() -> None:
    calls = []

    def inside(x: Tensor) -> Tensor:
        y = x * 2
        y.register_hook(lambda g: calls.append("inside"))
        return y.exp()

    compiled = torch.compile(inside)
    for n in range(4):
        compiled(normal(3, seed=n).requires_grad_()).sum().backward()
    assert calls == ["inside"] * 4 and compiled.replays == 0 and "hook" in compiled.refusal

    w = nn.Parameter(normal(3))

    def step(x: Tensor) -> None:
        w.grad = None
        (w * x).sum().backward()

    compiled = torch.compile(step)
    for _ in range(4):
        compiled(normal(3))
    assert compiled.replays == 2
    w.register_post_accumulate_grad_hook(lambda p: calls.append("leaf"))
    for _ in range(3):
        compiled(normal(3))
    assert calls[4:] == ["leaf"] * 3


def test_a_seed_inside_is_set_each_time() -> None:
    def f(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return x + torch.rand(3)

    compiled, x = torch.compile(f), normal(3)
    expected = f(x)
    for _ in range(4):
        assert torch.equal(compiled(x), expected)


def test_a_write_to_what_is_kept_is_refused_as_without() -> None:
    def f(x: Tensor) -> Tensor:
        y = x.exp()
        z = y * 2
        y.detach().add_(1)
        return z

    compiled = torch.compile(f)
    for n in range(4):
        out = compiled(normal(3, seed=n).requires_grad_())
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()


def test_leaves_that_the_function_makes() -> None:
    def f(x: Tensor) -> Any:
        w = torch.ones(3, requires_grad=True)
        (w * x).sum().backward()
        return w.grad * 2

    compiled = check(f, [(normal(3, seed=n),) for n in range(5)], replays=3)
    compiled = torch.compile(lambda: torch.ones(3, requires_grad=True))
    for _ in range(4):
        w = compiled()
        assert w.requires_grad and w.is_leaf
    assert compiled.replays == 0


def test_what_the_garbage_collector_calls_does_not_matter() -> None:
    import gc
    import time

    def note(phase: str, info: dict[str, int]) -> None:
        time.perf_counter()

    def f(x: Tensor) -> Tensor:
        for _ in range(2000):
            cycle: list[Any] = []
            cycle.append(cycle)
        return x * 2

    compiled = torch.compile(f)
    gc.callbacks.append(note)
    try:
        for _ in range(4):
            compiled(normal(3))
    finally:
        gc.callbacks.remove(note)
    assert gc.isenabled() and compiled.replays == 2, compiled.refusal


def test_code_that_is_new_at_each_call() -> None:
    def f(x: Tensor, n: int) -> Tensor:
        names: dict[str, Any] = {}
        exec(f"def scaled(x):\n    return x * {n}.5", names)
        return names["scaled"](x)

    compiled = torch.compile(f)
    for n in range(12):
        assert torch.equal(compiled(normal(3), n), normal(3) * (n + 0.5))
    assert compiled.replays == 0 and compiled.refusals >= 3


def test_random_numbers_are_drawn_anew() -> None:
    def f(x: Tensor) -> Tensor:
        return F.dropout(x, 0.5) + torch.rand(4) + torch.randn(4)

    compiled, x = torch.compile(f), normal(4)
    for seed in (1, 1, 1, 2, 1, 3):
        torch.manual_seed(seed)
        found = [compiled(x), compiled(x)]
        torch.manual_seed(seed)
        assert all(torch.equal(a, f(x)) for a in found)


def test_an_exception_half_way() -> None:
    broken = True

    def f(x: Tensor) -> Tensor:
        y = x * 2
        if broken:
            raise ValueError("half-way")
        return y + 1

    compiled, x = torch.compile(f), normal(3)
    for _ in range(3):
        with pytest.raises(ValueError, match="half-way"):
            compiled(x)
    broken = False
    for _ in range(4):
        assert torch.equal(compiled(x), x * 2 + 1)
    broken = True
    with pytest.raises(ValueError, match="half-way"):
        compiled(x)
    assert tape.state.capturing is None


def test_nested_functions() -> None:
    inner = torch.compile(lambda x: x.exp())
    outer = torch.compile(lambda x: inner(x) + inner(x * 2))
    for n in range(6):
        x = normal(3, seed=n)
        assert torch.equal(outer(x), x.exp() + (x * 2).exp())
    assert outer.replays == 4


def test_indices_are_checked_at_each_replay() -> None:
    table = nn.Embedding(5, 3)
    compiled = torch.compile(lambda i: table(i) * 2)
    for n in range(5):
        i = torch.tensor([n % 5, 0])
        assert torch.equal(compiled(i), table(i) * 2)
    with pytest.raises(IndexError):
        compiled(torch.tensor([5, 0]))
    loss = torch.compile(F.cross_entropy)
    for n in range(5):
        loss(normal(2, 3), torch.tensor([n % 3, 0]))
    with pytest.raises(IndexError, match="out of bounds"):
        loss(normal(2, 3), torch.tensor([3, 0]))
    for read in (lambda x, i: x[i] * 2, lambda x, i: x.gather(0, i) * 2, lambda x, i: x.index_select(0, i) * 2, lambda x, i: x.take(i) * 2):
        compiled = torch.compile(read)
        for n in range(5):
            assert torch.equal(compiled(normal(5), torch.tensor([n, 0])), read(normal(5), torch.tensor([n, 0])))
        with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)|index out of range"):
            compiled(normal(5), torch.tensor([5, 0]))


def test_too_many_kinds_of_calls() -> None:
    compiled = torch.compile(lambda x, n: x * n)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            for n in range(LIMIT + 4):
                x = normal(3)
                assert torch.equal(compiled(x, n + 0.5), x * (n + 0.5))
    assert len(compiled.recordings) == LIMIT
    assert len(seen) == 1 and f"recorded {LIMIT} times" in str(seen[0].message)
    compiled.reset()
    check(compiled.function, [(normal(3), 0.5)] * 4, replays=2)


# The public side


def test_arguments_of_compile() -> None:
    with pytest.raises(RuntimeError, match="Unrecognized mode=fast"):
        torch.compile(lambda x: x, mode="fast")
    with pytest.raises(RuntimeError, match="can't be specified at the same time"):
        torch.compile(lambda x: x, mode="default", options={})
    with pytest.raises(RuntimeError, match="Invalid backend: 'nothing'"):
        torch.compile(lambda x: x, backend="nothing")

    @torch.compile(dynamic=True, mode="reduce-overhead")
    def f(x: Tensor) -> Tensor:
        """Doubles."""
        return x * 2

    assert f.__name__ == "f" and f.__doc__ == "Doubles."
    plain = lambda x: x  # noqa: E731
    assert torch.compile(plain, disable=True) is plain and torch.compile(plain, backend="eager") is plain


def test_a_compiled_module_is_the_module() -> None:
    model = mlp()
    compiled = torch.compile(model)
    assert isinstance(compiled, nn.Module) and compiled._orig_mod is model
    assert list(compiled.state_dict()) == [f"_orig_mod.{name}" for name in model.state_dict()]
    assert [id(p) for p in compiled.parameters()] == [id(p) for p in model.parameters()]
    compiled.eval()
    assert not model.training and not compiled.training
    compiled.extra = 3
    assert model.extra == 3
    compiled.load_state_dict(compiled.state_dict())
    assert "OptimizedModule" in repr(compiled)


def test_a_module_compiled_in_place() -> None:
    import copy
    import pickle

    model, twin = mlp(), mlp()
    model.compile()
    for n in range(5):
        x = normal(2, 4, seed=n)
        assert torch.equal(model(x), twin(x))
    assert model.forward.replays == 4, "a layer is the package's own code: the first call is recorded"
    assert list(model.state_dict()) == list(twin.state_dict())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other[0].weight.data.mul_(2)
        assert not torch.equal(other(x), model(x)) and torch.equal(model(x), twin(x))


def test_a_compiled_optimizer_step() -> None:
    w = nn.Parameter(torch.tensor([1.0]))
    step = torch.compile(torch.optim.SGD([w], lr=0.5).step)
    for _ in range(3):
        w.grad = torch.tensor([1.0])
        step()
    assert w.tolist() == [-0.5]


def test_what_the_report_says() -> None:
    before = torch.report()
    check(lambda x: x - 0.25, [(normal(3),)] * 5, replays=3)
    after = torch.report()
    assert (after.recordings - before.recordings, after.replays - before.replays) == (1, 3)
    assert "recordings" in str(after)


def test_disabled_functions_run_each_time() -> None:
    calls = []

    @torch.compiler.disable
    def note(x: Tensor) -> Tensor:
        calls.append(1)
        return x

    compiled = torch.compile(lambda x: note(x) * 2)
    for _ in range(5):
        compiled(normal(3))
    assert len(calls) == 5 and compiled.replays == 0


def test_it_says_when_it_records() -> None:
    seen = []

    def f(x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return x * 2
        return x + x

    compiled = torch.compile(f)
    for _ in range(4):
        seen.append(compiled(normal(3)).tolist())
    assert all(s == seen[0] for s in seen) and not torch.compiler.is_compiling()


def test_hooks_on_what_a_captured_function_is_given_are_called_by_the_users_passes_alone() -> None:
    """To record the way back is no pass that hooks, or tensors which retain their gradients, are told of."""
    found = []
    for captured in (False, True):
        weight, leaf = torch.tensor([2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
        weight.register_hook(lambda g: g * 2)
        function: Any = lambda x, weight=weight: x * weight  # noqa: E731
        function = torch.compile(function) if captured else function
        calls: list[float] = []
        for _ in range(4):
            x = leaf * 1
            x.retain_grad()
            x.register_hook(lambda g, calls=calls: calls.append(g.item()))
            function(x).sum().backward()
            assert x.grad is not None
            calls.append(x.grad.item())
        assert weight.grad is not None and leaf.grad is not None
        found.append((calls, weight.grad.tolist(), leaf.grad.tolist()))
    assert found[0] == found[1]
