"""Compiled traces: what they write, what they may leave out, and how rarely they are made."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import config, nn, tape
from rushlight.engine import execute, llvm, run as run_module
from rushlight.engine.trace import Fate
from rushlight.nn import functional as F

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="native code needs llvmlite")


@pytest.fixture(autouse=True)
def settings_restored() -> Iterator[None]:
    tape.flush()
    before = tape.state.immediate, tape.state.compile, config.HOT, torch.get_num_threads()
    set_mode("compile")
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before[:3]
    torch.set_num_threads(before[3])


def set_mode(mode: str, hot: int = 0) -> None:
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", hot


def kernels() -> int:
    """How often machine code has been made or loaded."""
    return llvm.counts.compiled + llvm.counts.loaded


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scans of the compiled traces that have run."""
    seen: list[Any] = []
    original = execute.find

    def find(entries: Any) -> Any:
        found = original(entries)
        if found is not None:
            seen.append(found[1])
        return found

    monkeypatch.setattr(execute, "find", find)
    return seen


def unwritten(found: Any) -> int:
    return sum(storage.data is None for storage in found.storages)


def leaf(*shape: int, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return torch.tensor(values)


# Liveness


def test_a_value_that_nobody_can_read_is_not_written(runs: list[Any]) -> None:
    x = leaf(7, 33)
    y = (x * 1.7).exp()
    z = y + 0.3
    del y
    assert np.allclose(z.numpy(), np.exp(x.numpy() * 1.7) + 0.3, rtol=1e-5)
    (found,) = runs
    assert sorted(found.fates) == [Fate.THERE, Fate.WANTED, Fate.DROPPED, Fate.DROPPED]
    assert unwritten(found) == 2


KEEPERS: dict[str, Callable[[Any], Any]] = {
    "a name": lambda y: y,
    "a container": lambda y: {"values": [y]},
    "a view": lambda y: y[2:, ::3],
    "a view of a view": lambda y: y.t()[1:].unsqueeze(0).expand(2, -1, -1),
    "data": lambda y: y.data,
    "a detached tensor": lambda y: y.detach(),
    "a parameter": lambda y: nn.Parameter(y),
    "a closure": lambda y: lambda: y,
    "a storage": lambda y: y.untyped_storage(),
    "a weak reference and a cycle": lambda y: cycle(y),
}


def cycle(y: Any) -> Any:
    holder: list[Any] = [y]
    holder.append(holder)
    return holder


@pytest.mark.parametrize("kind", KEEPERS)
def test_a_value_is_written_for_whoever_may_read_it(kind: str) -> None:
    x = leaf(7, 33)
    y = (x * 1.7).exp()
    expected = np.exp(x.numpy() * np.float32(1.7))
    tape.flush()
    # As before, but pending when its name goes.
    y = (x * 1.7).exp()
    reference = weakref.ref(y)
    kept = KEEPERS[kind](y)
    z = y + 0.3
    del y
    tape.flush()
    assert np.allclose(z.numpy(), expected + 0.3, rtol=1e-5)
    if kind == "a storage":
        found = np.frombuffer(bytes(kept), np.float32).reshape(7, 33)
    elif kind == "a weak reference and a cycle":
        found = reference().numpy()  # type: ignore[union-attr]
    else:
        found = {"a container": lambda: kept["values"][0], "a closure": lambda: kept()}.get(kind, lambda: kept)().detach().numpy()
        expected = KEEPERS[kind](torch.tensor(expected)).detach().numpy() if kind not in ("a container", "a closure") else expected
    assert np.allclose(found, expected, rtol=1e-5)


def test_a_write_that_only_a_view_sees() -> None:
    x = leaf(5, 8)
    base = x * 2
    row = base[3]
    row.add_(1)
    base[1:4].mul_(0.7)
    del base
    expected = (x.numpy()[3] * np.float32(2) + np.float32(1)) * np.float32(0.7)
    assert np.array_equal(row.numpy(), expected)


def test_a_part_that_is_overwritten_leaves_the_rest(runs: list[Any]) -> None:
    x = leaf(6, 20)
    y = torch.empty(6, 20)
    y[:3] = x[:3] * 2
    y[3:] = x[3:].exp()
    y[2:4].fill_(0.3)
    expected = np.concatenate([x.numpy()[:2] * 2, np.full((2, 20), np.float32(0.3)), np.exp(x.numpy()[4:])])
    assert np.allclose(y.numpy(), expected, rtol=1e-6)
    assert runs


def test_what_a_backward_pass_needs_is_there_when_the_forward_pass_has_run() -> None:
    x = leaf(9, 17).requires_grad_()
    y = (x * 0.3).exp()
    z = y.tanh() * y
    loss = z.sum()
    del y, z
    tape.flush()  # the values saved for backward are in the graph alone
    loss.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    e = np.exp(x.detach().numpy().astype(np.float64) * 0.3)
    assert np.allclose(first, 0.3 * e * (np.tanh(e) + e / np.cosh(e) ** 2), rtol=1e-4)
    x.grad = None
    tape.flush()
    loss.backward()
    assert x.grad.numpy().tobytes() == first.tobytes()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_hooks_and_retained_gradients_see_their_values() -> None:
    x = leaf(4, 33).requires_grad_()
    seen = []
    y = x * 1.7
    y.retain_grad()
    y.register_hook(lambda grad: seen.append(grad))
    z = y.sin()
    z.register_hook(lambda grad: grad * 2)
    z.square().sum().backward()
    inner = x.detach().numpy().astype(np.float64) * 1.7
    expected = 4 * np.sin(inner) * np.cos(inner)
    assert np.allclose(y.grad.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.allclose(seen[0].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.allclose(x.grad.numpy(), expected * 1.7, rtol=1e-4, atol=1e-5)


def test_an_array_of_numpy_sees_every_later_write() -> None:
    x = leaf(40)
    y = x * 2
    shared = y.numpy()
    for n in range(3):
        z = (y * 0.7).exp()
        y.copy_(z + n)
        del z
        assert np.array_equal(shared, y.clone().numpy())


def test_what_was_dropped_in_one_run_of_a_trace_may_be_kept_in_the_next() -> None:
    x = leaf(5, 33)
    expected = np.exp(x.numpy()) * 2
    keep: list[Any] = []
    for n in range(6):
        y = x.exp()
        z = y * 2
        if n % 2:
            keep.append(y)
        del y
        assert np.allclose(z.numpy(), expected, rtol=1e-6)
    assert all(np.allclose(y.numpy(), expected / 2, rtol=1e-6) for y in keep) and len(keep) == 3


def test_the_state_of_an_optimizer_is_kept() -> None:
    def train(mode: str) -> list[bytes]:
        set_mode(mode)
        p = nn.Parameter(leaf(5, 9))
        optimizer = torch.optim.Adam([p], lr=0.01)
        for _ in range(4):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        gc.collect()
        tape.flush()
        state = optimizer.state[p]
        return [t.detach().numpy().tobytes() for t in (p, state["exp_avg"], state["exp_avg_sq"])]

    assert train("compile") == train("immediate")


def test_random_draws_of_a_dropped_value_still_happen() -> None:
    def draws(keep: bool) -> list[float]:
        torch.manual_seed(3)
        first = torch.rand(5) * leaf(5)
        if not keep:
            del first
        second = torch.rand(5) * 2
        return second.tolist()

    assert draws(keep=True) == draws(keep=False)


# How often things are compiled


class Model(nn.Module):
    """A little language model: most kinds of native code are in it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(23, 16)
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.up, self.down = nn.Linear(16, 40), nn.Linear(40, 16)
        self.head = nn.Linear(16, 23)

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens)
        q, k, v = (t.reshape(*t.shape[:-1], 2, 8).transpose(-3, -2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(-3, -2).reshape(x.shape)
        x = x + self.down(F.gelu(self.up(x)))
        return self.head(x)


def train(model: Any, optimizer: Any, steps: int, length: Callable[[int], int], schedule: Any = None) -> Iterator[list[bytes]]:
    """After each step, the bits of the loss and of all parameters."""
    rng = np.random.default_rng(1)
    for n in range(steps):
        tokens = torch.tensor(rng.integers(0, 23, (3, length(n) + 1)))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield [t.detach().numpy().tobytes() for t in (loss, *model.parameters())]


def test_adam_with_a_schedule_compiles_nothing_after_the_first_steps() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    x, y = leaf(32, 10), leaf(32, 1, seed=1)
    first = last = 0.0
    counts = []
    for n in range(300):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        last = loss.item()
        first = first or last
        if n in (4, 299):
            counts.append((kernels(), execute.counts.traces_compiled, len(execute._traces)))
    assert counts[0] == counts[1]
    assert last < 0.7 * first


def test_a_loop_over_slices_uses_the_same_kernels() -> None:
    x = leaf(2000)
    values = x.numpy().astype(np.float64)
    counts = []
    for i in range(1500):
        part = x[i : i + 8]
        assert (part * 1.7).exp().sum().item() == pytest.approx(np.exp(values[i : i + 8] * 1.7).sum(), rel=1e-5)
        if i in (3, 1499):
            counts.append((kernels(), execute.counts.traces_compiled, len(execute._traces), len(run_module._codes)))
    assert counts[0] == counts[1]


def test_writes_to_slices_use_the_same_kernels() -> None:
    x = torch.zeros(300, 20)
    row = leaf(20)
    counts = []
    for i in range(200):
        x[i] = row * float(i)
        x[i + 1 : i + 4] += row
        tape.flush()
        if i in (3, 199):
            counts.append((kernels(), execute.counts.traces_compiled))
    assert counts[0] == counts[1]
    expected = np.zeros((300, 20), np.float32)
    for i in range(200):
        expected[i] = row.numpy() * np.float32(i)
        expected[i + 1 : i + 4] += row.numpy()
    assert np.array_equal(x.numpy(), expected)


def test_a_number_that_changes_is_an_argument() -> None:
    x = leaf(100)
    counts = []
    for i in range(50):
        found = (x * (0.1 + i) + i * 0.7).tanh()
        assert np.allclose(found.numpy(), np.tanh(x.numpy() * np.float32(0.1 + i) + np.float32(i * 0.7)), rtol=1e-4, atol=1e-6)
        if i in (2, 49):
            counts.append((kernels(), execute.counts.traces_compiled))
    assert counts[0] == counts[1]


def test_a_length_that_changes_at_each_step_uses_few_kernels() -> None:
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    counts = [kernels()]
    for _ in train(model, optimizer, 60, lambda n: 8 + n):
        counts.append(kernels())
    assert counts[-1] - counts[30] <= 10
    assert counts[-1] - counts[0] < 150


def test_compiling_in_the_background_changes_no_bit() -> None:
    def losses(mode: str, hot: int, threads: int) -> list[list[bytes]]:
        set_mode(mode, hot)
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.7)
        return list(train(model, optimizer, 50, lambda n: 12 + n % 3, schedule))

    expected = losses("immediate", 0, 1)
    compiled = execute.counts.compiled_runs
    for mode, hot, threads in (("compile", 2, 2), ("compile", 0, 1), ("compile", 0, 2), ("interpret", 0, 2)):
        for n, (e, f) in enumerate(zip(expected, losses(mode, hot, threads), strict=True)):
            assert e == f, f"step {n}, {mode}, hot {hot}, {threads} threads"
    assert execute.counts.compiled_runs >= compiled + 100


def test_what_is_hot_is_compiled_in_the_background_and_then_used() -> None:
    set_mode("compile", hot=2)
    x = leaf(11, 13)
    used = execute.counts.compiled_runs
    for n in range(2000):
        y = (x * 1.3 + n).cos() - x
        y.numpy()
        if execute.counts.compiled_runs > used:
            break
        time.sleep(0.01 if n > 1 else 0)
    assert n >= 2
    assert np.allclose(y.numpy(), np.cos(x.numpy() * np.float32(1.3) + np.float32(n)) - x.numpy(), atol=1e-5)


def test_traces_that_are_not_seen_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "TRACES_AT_MOST", 20)
    monkeypatch.setattr(execute, "_traces", type(execute._traces)())
    for n in range(1, 60):
        x = torch.ones(n)
        assert (x.exp() + 1).sum().item() == pytest.approx(n * (np.e + 1), rel=1e-5)
    assert len(execute._traces) == 20
