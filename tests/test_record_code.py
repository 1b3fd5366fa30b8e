"""Recording an op by machine code leaves what recording it in Python leaves, and refuses what is out of the ordinary."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rushlight as torch
from rushlight import config, nn, tape
from rushlight.graph import NOTHING, CardNode, grad_state
from rushlight.ops import card as cards, record_code

Tensor = torch.Tensor


@pytest.fixture(autouse=True)
def _deferred(deferred: None) -> Iterator[None]:
    yield
    tape.flush()


@pytest.fixture(scope="module")
def machine_code() -> Callable[..., Any]:
    found = record_code.recorder(cards._PLANS)
    if found is None:
        pytest.skip("needs machine code that makes Python's objects")
    return found


class Recorded:
    """One application of a card: the output, its entry, and what happened to the count of owed bytes."""

    def __init__(self, record: Callable[..., Any] | None, monkeypatch: pytest.MonkeyPatch, name: str, operands: Any, static: tuple[Any, ...]) -> None:
        tape.flush()
        before = tape.state.owed
        with monkeypatch.context() as patch:
            patch.setattr(cards, "_record", record)
            self.output = cards.apply(cards.CARDS[name], operands, static)
        self.owed = tape.state.owed - before
        (self.entry,) = tape.pending
        tape.flush()


def described(recorded: Recorded, operands: Any) -> list[Any]:
    """All of it, such that what is equal is equal: new storages by their contents, other objects by identity."""
    output, (plan, outputs, inputs, position) = recorded.output, recorded.entry
    storage = output._storage

    def region(it: Any) -> Any:
        return ("own" if it[0] is storage else id(it[0]), it[1], id(it[2])) if type(it) is tuple else (type(it), it)

    found: list[Any] = [plan, list(map(region, outputs)), list(map(region, inputs)), type(outputs), position[0], recorded.owed]
    found += [type(output), output._offset, id(output._layout), output._base, output._requires_grad, output.__dict__, storage.__dict__]
    found += [storage.nbytes, storage.version, storage.untracked, storage.special, output.tolist()]
    node = output._node
    if node is None:
        return [*found, None]
    assert type(node) is CardNode and node.saved is not None
    saved = [(key, *([id(kept[0]), region(kept[1]), kept[2]] if type(kept) is tuple else [type(kept), kept])) for key, kept in node.saved.items()]
    edges = [edge if type(edge) is tuple else id(edge) for edge in node.edges]
    return [*found, node.plan, node.gradient, node.layouts, node.position[0] if node.position else None, saved, node.saved is NOTHING, edges, node.__dict__]


def some_tensors() -> list[Tensor]:
    leaf, base = torch.ones(2, 3, requires_grad=True), torch.arange(12.0).reshape(4, 3)
    followed = (leaf * 2)[:, 1:]
    return [
        torch.ones(2, 3), leaf, leaf * 3, nn.Parameter(torch.full((3,), 2.0)), base[1:3], base.t()[:, :2].t(), followed, torch.zeros(()),
        torch.arange(6).reshape(2, 3), torch.ones(2, 1, dtype=torch.float64), torch.stack([leaf, leaf]).unbind()[1], leaf.detach(), torch.ones(0, 3),
    ]  # fmt: skip


NUMBERS = (2, 2.5, True)
#: Cards of two operands, of one, and of any number; ops that keep operands, their output, or nothing.
PAIRS = ("add", "mul", "sub", "lt", "maximum")
SINGLES = ("neg", "exp", "relu", "isnan")


def applications(draw: random.Random, tensors: list[Tensor]) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    for _ in range(120):
        a = draw.choice(tensors)
        b = draw.choice([t for t in tensors if t.shape == a.shape] + [tensors[7]])
        pair = draw.choice([(a, b), (a, draw.choice(NUMBERS)), (b, a), [a, b]])
        yield draw.choice(PAIRS), pair, ()
        if a.dtype.is_floating_point:
            yield draw.choice(SINGLES), (a,), ()


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_recorded_is_the_same(seed: int, grad: bool, machine_code: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = some_tensors()
    tape.flush()
    by_machine_code = 0
    with torch.set_grad_enabled(grad):
        for name, operands, static in applications(random.Random(seed), tensors):
            expected, found = (Recorded(record, monkeypatch, name, operands, static) for record in (None, machine_code))
            by_machine_code += type(found.entry[2]) is tuple  # in Python it is a list
            assert described(found, operands) == described(expected, operands), (name, operands)
    assert by_machine_code > 150


def test_gradients_are_the_same(machine_code: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for record in (None, machine_code):
        monkeypatch.setattr(cards, "_record", record)
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 2), nn.LogSoftmax(-1))
        for _ in range(3):
            loss = torch.nn.functional.nll_loss(model(torch.randn(5, 3)), torch.tensor([0, 1, 1, 0, 1]))
            loss.backward()
        found.append([p.grad.tolist() for p in model.parameters() if p.grad is not None])
    assert found[0] == found[1]


def refusals() -> dict[str, Callable[[Callable[[Tensor], bool]], None]]:
    class Marked(Tensor):
        pass

    def under(context: Any) -> Callable[[Callable[[Tensor], bool]], None]:
        def enter(refuses: Callable[[Tensor], bool]) -> None:
            with context():
                assert refuses(torch.ones(3))

        return enter

    def outside(refuses: Callable[[Tensor], bool]) -> None:
        t = torch.ones(3)
        array = t.numpy()
        assert refuses(t) and len(array) == 3

    def subclass(refuses: Callable[[Tensor], bool]) -> None:
        assert refuses(torch.ones(3).as_subclass(Marked))

    def stale(refuses: Callable[[Tensor], bool]) -> None:
        base = torch.zeros(2, 3)
        view = base[0]
        base.mul_(torch.ones(3, requires_grad=True))
        assert view._node is None and refuses(view) and not refuses(base)

    def kept_from_inference(refuses: Callable[[Tensor], bool]) -> None:
        with torch.inference_mode():
            t = torch.ones(3)
        assert refuses(t)
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
            t * torch.ones(3, requires_grad=True)

    def immediate(refuses: Callable[[Tensor], bool]) -> None:
        tape.state.immediate = True
        assert refuses(torch.ones(3))
        tape.state.immediate = False

    return {
        "autocast": under(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
        "inference mode": under(torch.inference_mode),
        "anomaly detection": under(torch.autograd.detect_anomaly),
        "hooks on saved tensors": under(lambda: torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)),
        "memory that others see": outside,
        "a subclass": subclass,
        "a view whose base has a new history": stale,
        "an inference tensor": kept_from_inference,
        "every op at once": immediate,
    }


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("case", refusals())
def test_what_is_out_of_the_ordinary_is_refused(case: str, machine_code: Callable[..., Any]) -> None:
    """With nothing done, and Python then does it."""
    weight = torch.ones(3, requires_grad=True)
    for shape in ((3,), (2, 3)):
        for requires_grad in (False, True):
            (torch.ones(shape, requires_grad=requires_grad) * weight).tolist()

    def refuses(t: Tensor) -> bool:
        before = len(tape.pending)
        found = machine_code(cards.CARDS["mul"], (t, weight), (), grad_state.__dict__, _POSITION)
        assert len(tape.pending) == before + (found is not NotImplemented)
        return found is NotImplemented

    assert not refuses(torch.ones(3))
    refusals()[case](refuses)


_POSITION = (refusals.__code__, 0)


def test_a_plan_that_is_not_known_is_refused(machine_code: Callable[..., Any]) -> None:
    t = torch.ones(3, 1, 7)
    arguments = (cards.CARDS["exp2"], (t,), (), grad_state.__dict__, _POSITION)
    assert machine_code(*arguments) is NotImplemented
    torch.exp2(t)
    assert machine_code(*arguments) is not NotImplemented


def test_the_users_line_is_found(machine_code: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(3, 2)
    x = torch.ones(1, 3)
    layer(x).tolist()
    positions = []
    for record in (None, machine_code):
        monkeypatch.setattr(cards, "_record", record)
        for _ in range(2):
            layer(x)
            positions.append(tape.where(tape.pending[-1][3]))
            tape.flush()
    assert len(set(positions)) == 1 and positions[0].endswith("in test_the_users_line_is_found")
    assert __file__ in positions[0]


def test_what_is_owed_is_run_when_it_is_too_much(machine_code: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_record", machine_code)
    x = torch.ones(100)
    x.exp()
    tape.flush()
    monkeypatch.setattr(config, "OWED_BYTES", 1000)
    results = [x.exp() for _ in range(7)]
    assert [r._storage.data is not None for r in results] == [True] * 6 + [False]
    assert len(tape.pending) == 1 and tape.state.owed == 400


def test_all_that_is_made_is_let_go(machine_code: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_record", machine_code)
    weight = torch.ones(3, requires_grad=True)
    view = weight[:2]
    held = (cards.CARDS["mul"], weight, weight._storage, weight._layout, view._node, None, True, Tensor)

    def run() -> None:
        for _ in range(20):
            loss = ((weight * weight).exp() * 2)[:2] + view * view + (view > 0)
            loss.sum().backward(retain_graph=True)
            torch.ones(4, 5).exp()  # refused the first time
        weight.grad = None
        tape.flush()

    run()
    gc.collect()
    before = list(map(sys.getrefcount, held))
    run()
    gc.collect()
    assert all(abs(a - b) < 12 for a, b in zip(map(sys.getrefcount, held), before, strict=True))
