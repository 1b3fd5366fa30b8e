"""A trace is recognised when it is the one that ran before, and only then."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import config, tape
from rushlight.engine import execute, llvm, operand_code, pattern, recognised
from rushlight.recent import Recent

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="llvmlite is absent")


@pytest.fixture(autouse=True, params=["machine code", "Python"])
def _compiled_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traces are compiled when first seen, and recognised by machine code or by Python."""
    tape.flush()
    monkeypatch.setattr(config, "HOT", 0)
    monkeypatch.setattr(tape.state, "immediate", False)
    monkeypatch.setattr(tape.state, "compile", True)
    monkeypatch.setattr(execute, "_patterns", Recent(64))
    monkeypatch.setattr(execute, "_traces", OrderedDict())
    monkeypatch.setattr(execute, "_parts", 0)
    if request.param == "Python":
        monkeypatch.setattr(pattern, "recognised", lambda *_: None)
    yield
    tape.flush()


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each scan had: a recognised trace is not scanned."""
    seen: list[int] = []
    original = execute.scan

    def scan(entries: Any) -> Any:
        seen.append(len(entries))
        return original(entries)

    monkeypatch.setattr(execute, "scan", scan)
    return seen


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.RandomState(seed).standard_normal(shape).astype(np.float32).tolist())


def runs(step: Callable[[], Any], times: int = 4) -> None:
    for _ in range(times):
        step()


def test_a_step_is_scanned_twice_and_then_recognised(scans: list[int]) -> None:
    x = normal(5, 7)

    def step() -> None:
        y = (x * 1.5).exp()
        z = y + x
        tape.flush()
        assert z.shape == (5, 7)

    runs(step, 6)
    assert scans == [3, 3, 3], "once to compile it, once for its pattern, once to count its references"


def test_numbers_and_offsets_may_change(scans: list[int]) -> None:
    data = normal(20)
    values = np.array(data.tolist(), np.float32)
    for n in range(6):
        part = data[n : n + 8]
        y = (part * (n + 0.5)).abs() - 0.25
        assert np.array_equal(np.array(y.tolist(), np.float32), np.abs(values[n : n + 8] * np.float32(n + 0.5)) - np.float32(0.25))
    assert len(scans) == 3


def test_what_somebody_still_holds_is_written(scans: list[int]) -> None:
    x = normal(6)
    kept: list[torch.Tensor] = []

    def step(keep: bool) -> None:
        y = x * 2.5
        z = y + 0.5
        if keep:
            kept.append(y)
        del y
        tape.flush()
        assert torch.equal(z, x * 2.5 + 0.5)

    for keep in (False, False, False, True, False, True, True, True, False, False):
        step(keep)
    for y in kept:
        assert torch.equal(y, x * 2.5)


def test_the_same_tensor_is_not_two_equal_ones() -> None:
    a, b = normal(9), normal(9, seed=1)
    for first, second in [(a, a), (a, a), (a, a), (a, b), (a, b), (a, b), (a, a), (b, b), (b, a), (a, a)]:
        y = first * 2
        y.add_(second)
        first.mul_(0.5)
        z = y - second
        assert torch.equal(z, (first * 2 * 2 + (second if second is not first else second * 2)) - second)
        first.mul_(2)


def test_views_that_come_to_overlap() -> None:
    for distance in (10, 10, 10, 10, 3, 0, 10, 1):
        data = normal(24)
        expected = np.array(data.tolist(), np.float32)
        one, other = data[:10], data[distance : distance + 10]
        one.mul_(2)
        other.add_(1)
        total = one + other
        a, b = expected[:10], expected[distance : distance + 10]
        a *= 2
        b += 1
        assert total.tolist() == (a + b).tolist() and data.tolist() == expected.tolist()


def test_owed_and_present_operands_are_told_apart() -> None:
    x = normal(8)
    y = x + 1
    for there in (True, True, True, False, True, False, False, False):
        y = x + 1
        if there:
            tape.flush()
        z = (y * 3).exp()
        w = z - y
        assert torch.allclose(w, torch.exp((x + 1) * 3) - (x + 1))


@pytest.mark.parametrize("make", [lambda: normal(8), lambda: torch.empty(8)])
def test_a_failure_before_is_not_overlooked(make: Callable[[], torch.Tensor], scans: list[int]) -> None:
    """An error that stands for an operand's bytes is raised, also where operands were never written; other runs are recognised as before."""

    def step(operand: torch.Tensor) -> torch.Tensor:
        y = operand + 1
        return (y * 2).exp()

    for _ in range(4):
        step(make()).tolist()
    broken = torch.empty(8)
    broken._storage.error = ValueError("told to")
    assert broken._storage.data is None
    with pytest.raises(ValueError, match="told to"):
        step(broken).tolist()
    before = len(scans)
    step(make()).tolist()
    assert len(scans) == before


def test_many_ways_to_read_one_trace_are_no_leak(scans: list[int]) -> None:
    x = normal(4)
    for n in [*range(64)] * 3:
        made = [x * 0.5, x * 1.5, x * 2.5, x * 3.5, x * 4.5, x * 5.5]
        kept = [y for m, y in enumerate(made) if n >> m & 1]
        del made
        tape.flush()
        for y in kept:
            assert y._storage.data is not None
        kept = y = None  # type: ignore[assignment]
    assert 0 < max(map(len, execute._patterns.values())) <= execute._PATTERNS_AT_MOST



def test_machine_code_sees_what_python_sees() -> None:
    """Entries whose operands have been exchanged, repeated or given other storages are alike for both, or for neither."""
    random = np.random.RandomState(5)
    tensors = [normal(4, seed=n) for n in range(4)]

    def step() -> None:
        a, b = tensors[0] + tensors[1], tensors[2] * 2.0
        c = (a - b).exp() + tensors[3]
        c.add_(a)
        tape.flush()

    runs(step, 3)
    ((known,),) = execute._patterns.values()
    a, b = tensors[0] + tensors[1], tensors[2] * 2.0
    c = (a - b).exp() + tensors[3]
    c.add_(a)
    entries = tuple(tape.pending)
    tape.pending.clear()
    native = recognised.recognised(entries, execute.scan(entries), known.known.compiled)
    assert native is not None
    verdicts = []
    for _ in range(400):
        changed = [(plan, list(outputs), list(inputs), position) for plan, outputs, inputs, position in entries]
        for _ in range(random.randint(3)):
            flat = [(operands, n) for _, outputs, inputs, _ in changed for operands in (inputs, outputs) for n, o in enumerate(operands) if type(o) is tuple]
            (one, n), (other, m) = [flat[k] for k in random.randint(len(flat), size=2)]
            storage, offset, layout = one[n]
            one[n] = [other[m], (storage, offset, layout), (storage, offset + random.randint(2), layout)][random.randint(3)]
        by_python = known.match(changed) is not None
        assert (native.look(tuple(changed)) != operand_code.DIFFERENT) == by_python
        verdicts.append(by_python)
    assert 50 < sum(verdicts) < 350


def test_a_number_of_another_kind_is_passed_on() -> None:
    x = normal(6)
    found = []
    for scale in (1.5, 2.5, 3.5, np.float64(4.5), 5.5):
        y = (x * scale).abs() - 0.25
        found.append((y.tolist(), scale))
    values = np.array(x.tolist(), np.float32)
    for y, scale in found:
        assert y == (np.abs(values * np.float32(scale)) - np.float32(0.25)).tolist()


def test_memory_whose_place_is_not_known_yet_is_found_within_the_call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros are made by NumPy: nobody has asked for their address when they are first read."""
    if "Python" in request.node.name:
        pytest.skip("there is no such call")
    by_python: list[Any] = []
    original = execute.run_segment
    monkeypatch.setattr(execute, "run_segment", lambda *args: by_python.append(args) or original(*args))
    x = normal(5, 7)
    found = []
    for _ in range(6):
        zeros, ones = torch.zeros(5, 7), torch.ones(5, 7)
        y = (x + zeros).exp() + ones
        found.append(y.tolist())
    assert found == [found[0]] * 6
    assert len(by_python) <= 3, "only until the trace is recognised"
