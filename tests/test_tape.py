"""The tape: what waits on it, what runs it, and what survives a failure."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from faulty import Fault, faulty_card

import rushlight as torch
from rushlight import config, tape
from rushlight.ops.card import apply

FAULTY = faulty_card("faulty")


@pytest.fixture(autouse=True)
def deferred() -> Iterator[None]:
    tape.flush()
    before = tape.state.immediate
    tape.state.immediate = False
    yield
    tape.state.immediate, Fault.raised = before, None
    tape.flush()


def names() -> list[str]:
    return [entry[0].card.name for entry in tape.pending]


def test_entries_wait_in_the_order_of_the_calls() -> None:
    x = torch.ones(3)
    y = x.exp()
    y.add_(x)
    z = y.relu()
    assert names() == ["exp", "add", "relu"]
    assert z.tolist() == pytest.approx([np.e + 1] * 3)
    assert not tape.pending


@pytest.mark.parametrize("observe", [lambda t: t.tolist(), lambda t: t[0].item(), lambda t: t.numpy(), lambda t: repr(t), lambda t: bool(t[0] > 0), lambda t: t.nonzero(), lambda t: t.data_ptr()])
def test_whoever_looks_at_values_runs_everything(observe) -> None:  # type: ignore[no-untyped-def]
    y = torch.ones(3).exp()
    other = torch.ones(2).neg()
    observe(y)
    assert not tape.pending
    assert other._storage.data is not None


@pytest.mark.parametrize("look", [lambda t: t.shape, lambda t: t.dtype, lambda t: t.stride(), lambda t: t.view(-1), lambda t: t[1:], lambda t: t.is_contiguous(), lambda t: t.t()])
def test_metadata_and_views_run_nothing(look) -> None:  # type: ignore[no-untyped-def]
    y = torch.ones(3).exp()
    look(y)
    assert names() == ["exp"]


def test_a_write_through_a_view_is_seen_by_what_was_recorded_later_and_not_by_what_was_before() -> None:
    x = torch.zeros(4)
    before = x + 1
    x[1:3].fill_(5)
    after = x + 1
    assert before.tolist() == [1, 1, 1, 1]
    assert after.tolist() == [1, 6, 6, 1]


def test_the_budget_of_owed_bytes_runs_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "OWED_BYTES", 1000)
    x = torch.ones(100)
    flushes = tape.flushes["budget"]
    x.neg()
    x.neg()
    assert len(tape.pending) == 2
    x.neg()
    assert not tape.pending
    assert tape.flushes["budget"] == flushes + 1


def test_memory_shared_with_numpy_is_never_owed() -> None:
    array = np.zeros(3, np.float32)
    tensor = torch.from_numpy(array)
    tensor.add_(1)
    assert array.tolist() == [1, 1, 1]
    array[0] = 7
    doubled = tensor * 2
    array[0] = 9  # after the call: what was computed stays
    assert doubled.tolist() == [14, 2, 2]
    assert tensor.tolist() == [9, 1, 1]


def test_memory_handed_out_later_is_never_owed_either() -> None:
    tensor = torch.zeros(2, 2)
    view = tensor.t()
    shared = tensor.numpy()
    view[0, 1] = 4
    assert shared.tolist() == [[0, 0], [4, 0]]
    shared[0, 0] = 3
    assert view.tolist() == [[3, 4], [0, 0]]


def test_a_failing_entry_leaves_the_others_and_the_tape() -> None:
    x = torch.ones(2)
    Fault.raised = ValueError("from the rule")
    bad = apply(FAULTY, (x,))
    worse = bad + 1
    good = x + 1
    with pytest.raises(ValueError, match="from the rule"):
        good.tolist()
    assert not tape.pending
    assert good.tolist() == [2, 2]
    with pytest.raises(ValueError, match="from the rule"):
        worse.tolist()
    assert (x * 3).tolist() == [3, 3]


def test_an_interrupt_leaves_what_has_not_run_pending() -> None:
    x = torch.ones(2)
    first = x.neg()
    Fault.raised = KeyboardInterrupt()
    second = apply(FAULTY, (first,))
    third = second * 2
    with pytest.raises(KeyboardInterrupt):
        tape.flush()
    assert names() == ["faulty", "mul"]
    assert third.tolist() == [0, 0]
    assert first.tolist() == [-1, -1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_with_an_empty_tape() -> None:
    y = torch.ones(3).exp()
    assert names() == ["exp"]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = f"{len(tape.pending)} {y.sum().item():.3f}"
        os.write(write, answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() == f"0 {3 * np.e:.3f}"
    os.close(read)
    os.close(write)


def test_threads_share_tensors() -> None:
    start = torch.arange(100.0)
    shared = start * 2
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for k in range(50):
                value = (shared + n) * 2 - k
                assert value.sum().item() == (9900 + 100 * n) * 2 - 100 * k
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_immediate_mode_leaves_nothing_pending() -> None:
    tape.state.immediate = True
    y = torch.ones(3).exp()
    assert not tape.pending
    assert y._storage.data is not None


def test_memory_that_nothing_outside_refers_to_is_deferred() -> None:
    def waits(x: torch.Tensor) -> bool:
        _ = x + 1
        return bool(tape.pending)

    array = np.ones(4, np.float32)
    alone = torch.from_numpy(array.copy())
    assert waits(alone)
    x = torch.from_numpy(array)
    assert not waits(x)
    part = memoryview(array)[1:]
    del array
    assert not waits(x)
    del part
    assert waits(x)
    seen = x.numpy()
    x.add_(1)
    assert seen.tolist() == [2.0, 2.0, 2.0, 2.0]
    rest = seen[2:]
    del seen
    x.add_(1)
    assert rest.tolist() == [3.0, 3.0]
    del rest
    assert waits(x)


def test_code_of_the_users_in_a_backward_pass_keeps_its_own_position() -> None:
    seen = []

    def hook(grad: torch.Tensor) -> None:
        _ = grad * 3
        seen.append(tape.where(tape.pending[-1][3]))

    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(hook)
    x.register_hook(hook)
    loss = (y * y).sum()
    tape.flush()
    loss.backward()
    positions = {tape.where(entry[3]) for entry in tape.pending}
    assert len(seen) == 2 and all(where.endswith(", in hook") for where in seen)
    assert {where.rpartition(", in ")[2] for where in positions} == {"hook", "test_code_of_the_users_in_a_backward_pass_keeps_its_own_position"}
