"""`torch.multiprocessing`: the standard library's names, tensors between processes, `spawn` and its errors."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time

import pytest

import rushlight as torch
from rushlight import multiprocessing as mp
from rushlight.multiprocessing.reductions import is_shared, share_storage


def shared(tensor):
    share_storage(tensor._storage)
    return tensor


def add_rank(rank: int, tensor) -> None:
    tensor[rank] += rank + 1


def fail_second(rank: int) -> None:
    if rank == 1:
        raise ValueError("of the second")
    time.sleep(30)


def exit_with(rank: int, code: int) -> None:
    sys.exit(code)


def kill_self(rank: int) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def answer(questions, answers) -> None:
    while (tensor := questions.get()) is not None:
        answers.put((tensor * 2, tensor.shape))


def write_seven(tensor) -> None:
    tensor.fill_(7)


def run(context: str, target, *args) -> int:
    process = mp.get_context(context).Process(target=target, args=args)
    process.start()
    process.join()
    return process.exitcode


def test_all_names_of_the_standard_library_are_there():
    for name in multiprocessing.__all__:
        assert getattr(mp, name) == getattr(multiprocessing, name)


def test_tensors_through_queues():
    context = mp.get_context("fork")
    questions, answers = context.Queue(), context.Queue()
    process = context.Process(target=answer, args=(questions, answers))
    process.start()
    base = torch.arange(12.0).reshape(3, 4)
    for tensor in (base, base.t(), base[:, 1], base[1:], torch.tensor(True), base.to(torch.bfloat16), torch.zeros(0, 2)):
        questions.put(tensor)
        found, shape = answers.get(timeout=20)
        assert torch.equal(found, tensor * 2) and found.dtype == (tensor * 2).dtype and shape == tensor.shape
    questions.put(None)
    process.join()
    assert process.exitcode == 0


def test_a_tensor_with_history_is_refused():
    x = torch.ones(2, requires_grad=True)
    pickler = multiprocessing.reduction.ForkingPickler
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        pickler.dumps(x * 2)
    found = pickle.loads(pickler.dumps(x))
    assert found.requires_grad and found.is_leaf and torch.equal(found, x)


@pytest.mark.parametrize("strategy", sorted(mp.get_all_sharing_strategies()))
def test_shared_memory_is_seen_by_both_sides(strategy):
    before = mp.get_sharing_strategy()
    mp.set_sharing_strategy(strategy)
    try:
        tensor = shared(torch.zeros(2, 3))
        assert is_shared(tensor._storage) and run("fork", write_seven, tensor[1]) == 0
        assert tensor.tolist() == [[0.0] * 3, [7.0] * 3]
        context = mp.get_context("fork")
        questions, answers = context.Queue(), context.Queue()
        process = context.Process(target=lambda: write_seven(questions.get()), args=())
        process.start()
        questions.put(tensor)  # through the queue goes a handle, not a copy
        process.join()
        answers.close()
        assert tensor.tolist() == [[7.0] * 3] * 2
    finally:
        mp.set_sharing_strategy(before)


def test_new_processes_share_the_tensors_they_are_given():
    tensor = torch.zeros(4)
    mp.spawn(add_rank, args=(tensor,), nprocs=2)
    tensor += 1
    assert tensor.tolist() == [2.0, 3.0, 1.0, 1.0]


def test_an_error_in_one_process_stops_all_and_is_raised_here():
    start = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException) as caught:
        mp.start_processes(fail_second, nprocs=2, start_method="fork")
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert message.startswith("\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n")
    assert message.endswith("ValueError: of the second\n") and caught.value.error_index == 1
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.msg, copy.error_pid) == (caught.value.msg, caught.value.error_pid)


def test_exit_codes_and_signals_are_reported():
    with pytest.raises(mp.ProcessExitedException, match="^process 0 terminated with exit code 3$") as caught:
        mp.start_processes(exit_with, args=(3,), start_method="fork")
    assert caught.value.exit_code == 3
    with pytest.raises(mp.ProcessExitedException, match="^process 0 terminated with signal SIGTERM$") as caught:
        mp.start_processes(kill_self, start_method="fork")
    assert caught.value.signal_name == "SIGTERM"


def test_without_join_the_processes_are_returned():
    context = mp.start_processes(exit_with, args=(0,), nprocs=2, join=False, start_method="fork")
    assert len(context.pids()) == 2
    while not context.join(timeout=5):
        continue
    assert context.join()


def test_old_spellings_warn():
    with pytest.warns(UserWarning, match="SpawnContext is renamed to ProcessContext since 1.4 release."):
        mp.SpawnContext([], [])
    with pytest.raises(AssertionError, match="invalid sharing strategy 'post', expected one of"):
        mp.set_sharing_strategy("post")
