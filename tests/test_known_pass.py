"""Backward passes of a kind that has been seen: the same gradients, to the bit, and only where nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import config, nn, tape
from rushlight.autograd import known_pass
from rushlight.nn import functional as F
from rushlight.recent import Recent

Step = Callable[[], "list[torch.Tensor]"]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The routines of the known passes that have been replayed."""
    seen: list[Any] = []
    original = known_pass.replay

    def replay(known: Any, *rest: Any) -> Any:
        seen.append(known.routine)
        return original(known, *rest)

    monkeypatch.setattr(known_pass, "replay", replay)
    return seen


@pytest.fixture(autouse=True)
def _no_pass_is_known(deferred: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_pass, "_known", Recent(256))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed + sum(shape)).standard_normal(shape).astype(np.float32)).clone()


def gradients(loss: torch.Tensor, leaves: list[torch.Tensor]) -> list[np.ndarray]:
    for leaf in leaves:
        leaf.grad = None
    loss.backward()
    return [leaf.grad.numpy().copy() for leaf in leaves]


def node_by_node(make: Callable[[], torch.Tensor], leaves: list[torch.Tensor]) -> list[np.ndarray]:
    """The gradients as the pass over the graph gives them."""
    return [g.numpy().copy() for g in torch.autograd.grad(make(), leaves)]


def mlp() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 3))
    x, y = normal(5, 7), torch.tensor([0, 2, 1, 1, 0])
    return lambda: F.cross_entropy(model(x), y), list(model.parameters())


def recurrence() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    w, u, x = normal(4, 4).requires_grad_(), normal(4, 4, seed=1).requires_grad_(), normal(6, 2, 4)

    def loss() -> torch.Tensor:
        h = torch.zeros(2, 4)
        for each in x:
            h = torch.tanh(each @ w + h @ u.t())
        return (h * h).sum()

    return loss, [w, u]


def views() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    a = normal(6, 5).requires_grad_()
    return lambda: (a[1:] * a[:-1]).sum(1).exp().mean() + a.t()[2].sigmoid().sum(), [a]


def broadcasts() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    a, b = normal(3, 1).requires_grad_(), normal(4).requires_grad_()
    return lambda: ((a - b) ** 2 / 3 + a).sum(), [a, b]


def same_gradient_twice() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    a, b = normal(3).requires_grad_(), normal(3, seed=4).requires_grad_()
    return lambda: (a + b).dot(torch.tensor([0.3, 0.7, 1.3])), [a, b]


def attention() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(1)
    x, layer, norm = normal(2, 5, 12), nn.Linear(12, 36), nn.LayerNorm(12)

    def loss() -> torch.Tensor:
        q, k, v = (part.view(2, 5, 3, 4).transpose(1, 2) for part in layer(norm(x)).split(12, dim=2))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).square().mean()

    return loss, [*layer.parameters(), *norm.parameters()]


PROGRAMS = [mlp, recurrence, views, broadcasts, same_gradient_twice, attention]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_known_pass_gives_the_same_gradients(program: Any, replays: list[Any]) -> None:
    loss, leaves = program()
    expected = node_by_node(loss, leaves)
    for _ in range(5):
        for found, wanted in zip(gradients(loss(), leaves), expected, strict=True):
            assert found.tobytes() == wanted.tobytes()
    assert len(replays) == 3, "seen, recorded, replayed three times"
    assert len(set(map(id, replays))) == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_own_their_memory(program: Any, replays: list[Any]) -> None:
    loss, leaves = program()
    for _ in range(4):
        gradients(loss(), leaves)
    assert replays
    expected = [leaf.grad.clone() for leaf in leaves]
    for n, leaf in enumerate(leaves):
        leaf.grad.add_(1)
        for m, (other, wanted) in enumerate(zip(leaves, expected, strict=True)):
            assert torch.equal(other.grad, wanted + 1 if m <= n else wanted)


def test_gradients_are_added_to_those_that_are_there(replays: list[Any]) -> None:
    loss, leaves = mlp()
    (expected, *_) = gradients(loss(), leaves)
    for leaf in leaves:
        leaf.grad = None
    for n in range(1, 6):
        loss().backward()
        assert np.allclose(leaves[0].grad.numpy(), n * expected, rtol=1e-6)
    assert replays


def test_the_same_tensor_is_not_two_equal_ones(replays: list[Any]) -> None:
    a, b = normal(4).requires_grad_(), normal(4, seed=9).requires_grad_()
    first, second = a.tolist(), b.tolist()
    for _ in range(4):
        (one,) = gradients((a * a).sum(), [a])
        assert one.tolist() == [2 * v for v in first]
        two = gradients((a * b).sum(), [a, b])
        assert two[0].tolist() == second and two[1].tolist() == first
    assert len(set(map(id, replays))) == 2


def test_views_of_one_tensor_at_other_offsets(replays: list[Any]) -> None:
    data = normal(12)
    values = np.array(data.tolist(), np.float32)
    for begin in (0, 3, 6, 0, 7, 2, 3, 0, 7, 3, 0, 2):
        w = torch.ones(5, requires_grad=True)
        (found,) = gradients((w * data[begin : begin + 5] * data[:5]).sum(), [w])
        assert np.array_equal(found, values[begin : begin + 5] * values[:5])
    assert replays


def test_numbers_that_change_are_noticed(replays: list[Any]) -> None:
    x = normal(5).requires_grad_()
    for number in [0.3, 0.3, 0.3, 0.7, 0.7, 0.7, 0.7, -0.0, 0.0, 0.0, *np.linspace(1, 2, 20).tolist(), 0.3]:
        (found,) = gradients((x * number).sum(), [x])
        assert found.tobytes() == np.full(5, number, np.float32).tobytes()
    assert 0 < len(replays) < 6, "numbers that never come again are not kept"


def test_exponents_that_change_are_noticed() -> None:
    x = normal(5).abs().requires_grad_()
    for exponent in (2, 2, 2, 3, 3, 3, 0.5, 0.5, 0.5, 1, 1, 1, 0, 0, 0):
        (found,) = gradients((x**exponent).sum(), [x])
        assert np.allclose(found, exponent * x.detach().numpy() ** (exponent - 1.0), rtol=1e-5)


def test_a_write_to_what_was_kept_is_refused(replays: list[Any]) -> None:
    w, x = normal(3).requires_grad_(), normal(3, seed=2)
    for _ in range(4):
        gradients((w * x).exp().sum(), [w])
    assert replays
    count = len(replays)
    y = (w * x).exp()
    loss = y.sum()
    y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    loss = (w * x).exp().sum()
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert len(replays) == count


def test_a_graph_is_freed_unless_it_is_retained(replays: list[Any]) -> None:
    w = normal(3).requires_grad_()
    for _ in range(4):
        loss = (w * w).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
    assert len(replays) == 6
    assert np.allclose(w.grad.numpy(), 16 * w.detach().numpy(), rtol=1e-6)


def test_hooks_are_called(replays: list[Any]) -> None:
    w, calls = normal(3).requires_grad_(), []
    for _ in range(3):
        gradients((w * 2).sum(), [w])
    for _ in range(3):
        y = w * 2
        y.register_hook(lambda g: calls.append(g.tolist()))
        gradients(y.sum(), [w])
    assert calls == [[1, 1, 1]] * 3
    for _ in range(3):
        y = w * 2
        y.retain_grad()
        gradients(y.sum(), [w])
        assert y.grad.tolist() == [1, 1, 1]
    assert len(replays) == 1


def test_hooks_on_a_leaf_are_called_and_those_on_others_do_not_matter(replays: list[Any]) -> None:
    w, other, calls = normal(3).requires_grad_(), normal(3).requires_grad_(), []
    handle = other.register_hook(lambda g: calls.append(g.tolist()))
    expected = (2 * w.detach()).tolist()
    for _ in range(4):
        (found,) = gradients((w * w).sum(), [w])
        assert found.tolist() == expected
    assert len(replays) == 2
    for _ in range(4):
        gradients((w * other).sum(), [w, other])
    assert len(calls) == 4 and len(replays) == 2
    handle.remove()


def test_a_first_gradient_that_is_given(replays: list[Any]) -> None:
    w = normal(3, 4).requires_grad_()
    for n in range(5):
        given = normal(4, 3, seed=n).t()
        w.grad = None
        (w * 1.5).backward(given)
        assert np.array_equal(w.grad.numpy(), given.numpy() * np.float32(1.5))
        w.grad = None
        w.view(12).backward(given.reshape(12))
        w.grad.add_(1)
        assert not np.array_equal(given.reshape(12).numpy(), w.grad.numpy().reshape(12)), "a copy of what was given"
    assert replays


def test_the_dtype_that_numbers_get_is_part_of_the_key() -> None:
    w = normal(3).requires_grad_()
    for dtype in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            for _ in range(3):
                (found,) = gradients(w.mean(), [w])
                assert found.dtype == np.float32 and np.allclose(found, 1 / 3)
        finally:
            torch.set_default_dtype(torch.float32)


def test_a_failure_inside_names_the_op(replays: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    w = normal(4, 3).requires_grad_()
    for _ in range(4):
        gradients(torch.logsumexp(w, 1).sum(), [w])
    tape.flush()
    routine = replays[-1]
    broken = routine.steps[-1].plan
    w.grad = None
    torch.logsumexp(w, 1).sum().backward()

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("told to")

    from rushlight.engine import execute

    monkeypatch.setattr(execute, "find", lambda entries: None)
    native, lowering = broken.native, broken.card.lowering
    monkeypatch.setattr(broken, "rule", fail)
    monkeypatch.setattr(broken, "native", False)
    with pytest.raises(ValueError, match="told to") as caught:
        w.grad.tolist()
    assert any(broken.card.name in note and __file__ in note for note in caught.value.__notes__)
    monkeypatch.undo()
    assert (broken.native, broken.card.lowering) == (native, lowering)
    (found,) = gradients(torch.logsumexp(w, 1).sum(), [w])
    assert np.allclose(found, torch.softmax(w, 1).detach().numpy(), rtol=1e-5)


def test_training_goes_on_as_without(replays: list[Any]) -> None:
    """Twenty steps of Adam, node by node and by known passes."""

    def train(known: bool) -> list[bytes]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        x, y = normal(10, 6), normal(10, 2)
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            if known:
                loss.backward()
            else:
                for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
                    p.grad = g
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    assert train(True) == train(False)
    assert len(replays) == 18


@pytest.mark.parametrize("captured", [False, True])
def test_what_a_pass_makes_is_there_when_too_much_is_owed_at_once(captured: bool, compiled_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tape runs while the pass is being recorded: before there are tensors for its gradients."""
    layer = nn.Linear(3, 3)
    forward = torch.compile(layer) if captured else layer
    for n in range(12):
        monkeypatch.setattr(config, "OWED_BYTES", 0 if n > 5 else 1 << 20)
        layer.weight.grad = layer.bias.grad = None
        forward(torch.full((2, 3), n + 1.0)).sum().backward()
        assert layer.weight.grad.tolist() == [[2.0 * (n + 1)] * 3] * 3
        assert layer.bias.grad.tolist() == [2.0] * 3


def test_the_one_that_passes_begin_with_is_never_given_away(replays: list[Any]) -> None:
    """A leaf whose gradient is the first one has a copy, and what a hook or `retain_grad` shows is of that pass alone."""
    w = torch.ones(1, requires_grad=True)
    for n in range(6):
        w.grad = None
        w.view(()).backward()
        assert w.grad is not None and w.grad.item() == 1
        w.grad.mul_(n + 2)
    assert replays
    for n in range(6):
        loss = (w * 3).sum()
        loss.retain_grad()
        w.grad = None
        loss.backward()
        assert loss.grad is not None and w.grad is not None and (loss.grad.item(), w.grad.item()) == (1, 3)
        loss.grad.mul_(n + 2)
    for _ in range(6):
        loss = (w * 3).sum()
        loss.register_hook(lambda g: g.mul_(2))
        w.grad = None
        loss.backward()
        assert w.grad is not None and w.grad.item() == 6
    for dtype in (torch.float64, torch.bfloat16):
        v = torch.ones(3, dtype=dtype, requires_grad=True)
        for _ in range(4):
            v.grad = None
            (v * 2).sum().backward()
            assert v.grad is not None and v.grad.tolist() == [2.0] * 3


def powers(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Keeps its first argument for the way back, and not what it returns."""
    return h * w


def exponential(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Keeps what it returns."""
    return (h * w).exp() * 0.25


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("function", [powers, exponential])
@pytest.mark.parametrize("pass_by_pass", [False, True], ids=["backward", "grad"])
def test_what_a_graph_keeps_is_there_whenever_values_are_read(function: Callable[..., torch.Tensor], captured: bool, pass_by_pass: bool, compiled_at_once: None) -> None:
    """Nobody but the graph refers to the states in between, and the tape runs before the pass, and between one and the next."""
    w = torch.tensor([1.25, 0.75], requires_grad=True)
    call: Callable[..., torch.Tensor] = torch.compile(function) if captured else function

    def gradient(loss: torch.Tensor, retain_graph: bool) -> list[float]:
        if pass_by_pass:
            return torch.autograd.grad(loss, w, retain_graph=retain_graph)[0].tolist()
        w.grad = None
        loss.backward(retain_graph=retain_graph)
        return w.grad.tolist()

    found = []
    for n in range(24):
        h = torch.tensor([1.0, 2.0])
        for _ in range(4):
            h = call(h, w)
        loss = h.sum()
        del h
        if n % 2:
            loss.item()
        found.append([gradient(loss, True), gradient(loss, True), gradient(loss, False)])
    assert found == [[found[0][0]] * 3] * 24
    assert found[0][0] != [0.0, 0.0]
