"""Loading by workers: what arrives in which order, seeds, errors, deaths, and how fast all is over."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import threading
import time

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils import data
from rushlight.utils.data import DataLoader, get_worker_info

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
contexts = pytest.mark.parametrize("context", ["fork", "thread"])

RECORDED_ORDER = [[16, 9], [1, 100], [25, 4], [81, 49], [0, 36], [64]]
RECORDED_AFTER = [6, 70]
RECORDED_SEEDS = [
    [[0, 0.9732059885921714, 0.48524966518109036, 0.7106006741523743], [0, 0.09916814881074121, 0.24756875093656816, 0.34830594062805176]],
    [[1, 0.7347412016282042, 0.08072729909407361, 0.2905186414718628], [1, 0.421098279900221, 0.9242645271423134, 0.5857152342796326]],
    [[0, 0.16296806715209244, 0.1891410556689842, 0.6387555003166199], [0, 0.2478300668534159, 0.6666759171364385, 0.6557484865188599]],
]


class Squares(data.Dataset):
    """Squares; looking up `bad` does what `event` says."""

    def __init__(self, count: int, bad: int | None = None, event=None) -> None:
        self.count, self.bad, self.event = count, bad, event

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index):
        if index == self.bad:
            self.event()
        return torch.tensor(index * index)


class Seeds(data.Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index):
        return get_worker_info().id, random.random(), np.random.rand(), torch.rand(1).item()


class Shards(data.IterableDataset):
    """Every worker yields its share."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.count, info.num_workers))


class Arrays(data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index):
        return torch.full((70_000,), float(index)), np.full((3, 30_000), index), torch.ones(2) * index, "x"


class Views(data.Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index):
        base = torch.arange(40_000.0).reshape(200, 200)
        return {
            "transposed": base.t(),
            "column": base[:, 3],
            "row": base[5],
            "expanded": base[0, 1].expand(4, 4),
            "empty": torch.zeros(0, 3),
            "half": base[:2, :2].to(torch.bfloat16),
            "twins": [base, base],
            "leaf": torch.ones(2, requires_grad=True),
            "parameter": torch.nn.Parameter(torch.ones(3)),
        }


def fail_value() -> None:
    raise ValueError("bad item")


def fail_key() -> None:
    raise KeyError("k")


class TwoArguments(Exception):
    def __init__(self, one, two) -> None:
        super().__init__(one, two)


def fail_with_two_arguments() -> None:
    raise TwoArguments(1, 2)


def fail_with_local_class() -> None:
    class Local(Exception):
        pass

    raise Local("hidden")


def exit_at_once() -> None:
    os._exit(7)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_iteration() -> None:
    raise StopIteration


def sleep() -> None:
    time.sleep(30)


def same(sample):
    return sample


def fail_init(worker_id: int) -> None:
    raise RuntimeError("no init")


def seed_by_id(worker_id: int) -> None:
    random.seed(100 + worker_id)


def squares(loader) -> list:
    return [batch.tolist() for batch in loader]


def wait_until_gone(processes) -> bool:
    deadline = time.monotonic() + 5
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(process.is_alive() for process in processes)


def load(context: str | None, *args, **options) -> DataLoader:
    return DataLoader(*args, multiprocessing_context=context, **{"num_workers": 2, **options})


# What arrives


@contexts
def test_batches_come_in_the_order_of_the_sampler(context):
    """Recorded from PyTorch: with workers, the shuffle's seed is drawn when the pass starts."""
    torch.manual_seed(5)
    found = squares(load(context, Squares(11), batch_size=2, shuffle=True))
    assert found == RECORDED_ORDER
    assert torch.randint(1000, (2,)).tolist() == RECORDED_AFTER


def test_seeds_of_worker_processes_are_those_of_pytorch():
    """`random`, NumPy and torch are seeded from the base seed and the worker's id."""
    torch.manual_seed(5)
    found = [list(map(list, batch)) for batch in load("fork", Seeds(), batch_size=2, collate_fn=same)]
    for batch, expected in zip(found, RECORDED_SEEDS, strict=True):
        assert np.allclose(batch, expected, rtol=0, atol=1e-6)


def test_worker_init_function_runs_after_seeding():
    found = list(load("fork", Seeds(), batch_size=2, worker_init_fn=seed_by_id, collate_fn=same))
    assert found[0][0][1] == random.Random(100).random()
    assert found[1][0][1] == random.Random(101).random()


def test_threads_have_generators_of_their_own():
    class Own(Squares):
        def __getitem__(self, index):
            info = get_worker_info()
            return info.worker_method, info.rng.torch_generator.initial_seed() == info.seed, info.rng.random_generator.random()

    batches = [list(load("thread", Own(4), batch_size=None, generator=torch.Generator().manual_seed(1))) for _ in range(2)]
    assert batches[0] == batches[1]
    assert all(method == "thread" and own for method, own, _ in batches[0])
    assert get_worker_info() is None


@contexts
@pytest.mark.parametrize("persistent", [False, True])
def test_iterable_datasets_are_shared_out(context, persistent):
    loader = load(context, Shards(9), batch_size=2, persistent_workers=persistent)
    for _ in range(2):
        assert squares(loader) == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    assert squares(load(context, Shards(9), batch_size=2, drop_last=True)) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert sorted(load(context, Shards(5), batch_size=None)) == [0, 1, 2, 3, 4]
    # more workers than data: the idle ones end at once
    assert sorted(load(context, Shards(2), batch_size=None, num_workers=4)) == [0, 1]


@contexts
def test_large_buffers_arrive_and_can_be_written(context):
    for index, (x, array, small, text) in enumerate(load(context, Arrays(), batch_size=2)):
        assert x.shape == (2, 70_000) and x.sum().item() == 70_000 * (4 * index + 1)
        x += 1
        array -= 1
        small *= 2
        assert x[0, 0].item() == 2 * index + 1 and array.dtype == torch.int64
        assert small.tolist() == [[4 * index] * 2, [4 * index + 2] * 2] and text == ("x", "x")


def test_tensors_keep_layout_class_and_sharing():
    """A view sends its own part only; strides survive where the part is dense; twins stay one storage."""
    (sample,) = load("fork", Views(), batch_size=None, num_workers=1)
    base = torch.arange(40_000.0).reshape(200, 200)
    assert torch.equal(sample["transposed"], base.t()) and sample["transposed"].stride() == (1, 200)
    assert torch.equal(sample["column"], base[:, 3])
    assert torch.equal(sample["row"], base[5]) and sample["row"].untyped_storage().nbytes() == 800
    assert sample["expanded"].tolist() == [[1.0] * 4] * 4 and sample["expanded"].stride() == (0, 0)
    assert sample["empty"].shape == (0, 3)
    assert sample["half"].dtype == torch.bfloat16 and sample["half"].tolist() == [[0.0, 1.0], [200.0, 201.0]]
    one, two = sample["twins"]
    one[0, 0] = 7
    assert two[0, 0].item() == 7
    assert sample["leaf"].requires_grad and sample["leaf"].is_leaf
    assert type(sample["parameter"]) is torch.nn.Parameter and sample["parameter"].requires_grad


@contexts
def test_persistent_workers_go_on_after_a_pass_was_left(context):
    loader = load(context, Squares(12), batch_size=2, persistent_workers=True)
    for batch in loader:
        if batch[0].item() == 4:
            break
    assert squares(loader) == [[0, 1], [4, 9], [16, 25], [36, 49], [64, 81], [100, 121]]
    assert iter(loader) is iter(loader)


def test_persistent_workers_are_the_same_processes():
    class Pids(Squares):
        def __getitem__(self, index):
            return os.getpid()

    loader = load("fork", Pids(6), batch_size=None, persistent_workers=True)
    assert set(loader) == set(loader)
    fresh = load("fork", Pids(6), batch_size=None)
    assert set(fresh).isdisjoint(fresh)


@contexts
def test_out_of_order_gives_what_is_ready(context):
    """With in_order=False a slow first batch does not hold up the others."""
    loader = load(context, Squares(8, 0, lambda: time.sleep(0.5)), batch_size=None, in_order=False)
    found = [value.item() for value in loader]
    assert found[0] != 0 and sorted(found) == [index**2 for index in range(8)]


def test_workers_prefetch_so_many_batches():
    class Counted(Squares):
        asked = 0

        def __getitem__(self, index):
            Counted.asked += 1
            return index

    iterator = iter(load("thread", Counted(100), batch_size=None, prefetch_factor=3))
    time.sleep(0.2)
    assert Counted.asked == 6
    next(iterator)
    time.sleep(0.2)
    assert Counted.asked == 7


def test_contexts_by_spawn_and_forkserver():
    """A worker that does not inherit memory gets the dataset and the functions by pickling."""
    context = multiprocessing.get_context("spawn")
    dataset = data.TensorDataset(torch.arange(6.0))
    loader = load(context, dataset, batch_size=3, num_workers=1, shuffle=True, generator=torch.Generator().manual_seed(2))
    expected = DataLoader(dataset, batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(2))
    assert [batch[0].tolist() for batch in loader] == [batch[0].tolist() for batch in expected]


def test_starting_a_process_with_what_cannot_be_pickled_warns():
    with pytest.warns(UserWarning, match="Got pickle error when attempting to start a worker Process"):  # noqa: SIM117
        with pytest.raises((AttributeError, TypeError)):
            iter(load("spawn", Squares(3, 0, lambda: None), num_workers=1))


# Errors


@contexts
@pytest.mark.parametrize(
    "event, error, last",
    [
        (fail_value, ValueError, "ValueError: bad item"),
        (fail_key, KeyError, "KeyError: 'k'"),
        (fail_with_two_arguments, RuntimeError, "TwoArguments: (1, 2)"),
        (stop_iteration, StopIteration, "StopIteration"),
    ],
)
def test_errors_are_raised_here_with_the_workers_traceback(context, event, error, last):
    iterator = iter(load(context, Squares(8, 3, event), batch_size=2))
    assert next(iterator).tolist() == [0, 1]
    with pytest.raises(error) as caught:
        next(iterator)
    lines = str(caught.value).strip().splitlines()
    name = "TwoArguments" if event is fail_with_two_arguments else error.__name__
    assert lines[:2] == [f"Caught {name} in DataLoader worker process 1.", "Original Traceback (most recent call last):"]
    assert lines[-1].endswith(last) and event.__name__ in str(caught.value)
    assert [batch.tolist() for batch in iterator] == [[16, 25], [36, 49]]  # the pass goes on


def test_errors_whose_class_cannot_be_pickled():
    with pytest.raises(RuntimeError, match="Caught RuntimeError in DataLoader worker process 0") as caught:
        list(load("fork", Squares(2, 0, fail_with_local_class)))
    assert "Local: hidden" in str(caught.value)


def test_data_that_cannot_be_pickled_is_an_error_not_a_hang():
    with pytest.raises(Exception, match=r"(?s)Caught \w+ in DataLoader worker process 0.*[Pp]ickle"):
        list(load("fork", [lambda: 1], batch_size=None))


@contexts
def test_error_in_init_function(context):
    with pytest.raises(RuntimeError, match=r"(?s)Caught RuntimeError in DataLoader worker process 0.*no init"):
        list(load(context, Squares(4), worker_init_fn=fail_init))


@pytest.mark.parametrize(
    "event, cause",
    [
        (
            exit_at_once,
            (
                "exited unexpectedly with exit code 7. Details are lost due to multiprocessing. "
                "Rerunning with num_workers=0 may give better error trace."
            ),
        ),
        (kill_self, "is killed by signal: Killed. "),
    ],
)
def test_death_of_a_worker_is_noticed_at_once(event, cause):
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid\(s\) (\d+)\) exited unexpectedly$") as caught:
        list(load("fork", Squares(8, 5, event), batch_size=2))
    assert time.monotonic() - start < 3
    pid = str(caught.value).split("pid(s) ")[1].split(")")[0]
    assert str(caught.value.__cause__) == f"DataLoader worker (pid {pid}) {cause}"


def test_persistent_workers_that_died_are_replaced():
    once = multiprocessing.get_context("fork").Value("i", 1)

    def die_once():
        if once.value:
            once.value = 0
            os._exit(1)

    loader = load("fork", Squares(4, 3, die_once), batch_size=2, persistent_workers=True)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader)
    assert squares(loader) == [[0, 1], [4, 9]]


def test_end_of_a_worker_thread_is_an_error():
    def leave():
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="exited unexpectedly") as caught:
        list(load("thread", Squares(4, 0, leave)))
    assert isinstance(caught.value.__cause__, SystemExit)


def test_timeout():
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0.2 seconds$"):
        list(load("thread", Squares(4, 0, lambda: time.sleep(1)), timeout=0.2))


# The end


def test_workers_end_with_the_pass_and_with_the_iterator():
    loader = load("fork", Squares(50))
    iterator = iter(loader)
    processes = iterator._workers._processes
    list(iterator)
    assert wait_until_gone(processes)
    iterator = iter(loader)
    next(iterator)
    processes = iterator._workers._processes
    start = time.monotonic()
    del iterator
    assert wait_until_gone(processes) and time.monotonic() - start < 2


def test_worker_threads_end_with_the_iterator():
    before = set(threading.enumerate())  # others may end, or come: the engine has threads too
    iterator = iter(load("thread", Squares(50)))
    next(iterator)
    workers = [thread for thread in set(threading.enumerate()) - before if "rushlight" not in thread.name]
    assert len(workers) == 2
    del iterator
    gc.collect()
    for thread in workers:
        thread.join(5)
    assert not any(thread.is_alive() for thread in workers)


def test_a_busy_worker_is_terminated(monkeypatch):
    from rushlight.utils.data import workers

    monkeypatch.setattr(workers, "CLOSE_SECONDS", 0.3)
    iterator = iter(load("fork", Squares(8, 1, sleep), batch_size=None))
    next(iterator)
    processes = iterator._workers._processes
    start = time.monotonic()
    del iterator
    assert wait_until_gone(processes) and time.monotonic() - start < 3


def test_a_forked_child_leaves_the_workers_of_its_parent_alone():
    """Also: its copies of the connections do not keep workers from seeing the parent's end close."""
    iterator = iter(load("fork", Squares(20), batch_size=None))
    assert next(iterator).item() == 0
    child = os.fork()
    if child == 0:
        del iterator
        gc.collect()
        time.sleep(1)
        os._exit(0)
    assert [value.item() for value in iterator] == [index**2 for index in range(1, 20)]
    assert wait_until_gone(iterator._workers._processes)
    os.waitpid(child, 0)


def test_workers_end_when_the_main_process_is_killed(tmp_path):
    import subprocess
    import sys

    script = tmp_path / "main.py"
    script.write_text(
        "import os, signal\n"
        "from rushlight.utils.data import DataLoader\n"
        "iterator = iter(DataLoader(range(100), num_workers=2, multiprocessing_context='fork'))\n"
        "next(iterator)\n"
        "print(*(process.pid for process in iterator._workers._processes), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    output = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True).stdout
    deadline = time.monotonic() + 5
    pids = [int(pid) for pid in output.split()]
    assert len(pids) == 2
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_program_that_leaves_an_iterator_open_ends_quietly(tmp_path):
    import subprocess
    import sys

    script = tmp_path / "main.py"
    script.write_text(
        "from rushlight.utils.data import DataLoader\n"
        "for context in ('fork', 'thread'):\n"
        "    loader = DataLoader(range(100), num_workers=2, multiprocessing_context=context, persistent_workers=True)\n"
        "    next(iter(loader))\n"
        "print('done')\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-W", "error", str(script)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - start < 10
