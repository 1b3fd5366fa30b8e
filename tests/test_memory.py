"""The cache of buffers: memory is used again, and never while somebody can see it."""

import gc
import os
import random
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight.buffers import SMALL, Cache, address_of, cache, size_class
from rushlight.engine import memory
from rushlight.storage import Storage


def fresh(nbytes: int) -> Storage:
    storage = Storage(nbytes)
    storage.allocate()
    return storage


@pytest.mark.parametrize("nbytes", [0, 1, 4, 63, 64, SMALL, SMALL + 1, 100_000, 3 << 20])
def test_a_buffer_has_its_size_is_aligned_and_knows_its_address(nbytes):
    for _ in range(3):  # the first is made, the next is recycled
        storage = fresh(nbytes)
        assert storage.data.nbytes == nbytes and storage.data.flags.writeable
        if nbytes:
            assert memory.address_of(storage) == storage.data.ctypes.data
        assert storage.address % 64 == 0
        del storage


@pytest.mark.parametrize("nbytes", [16, 5_000, 3 << 20])
def test_the_memory_of_a_dead_storage_is_used_again(nbytes):
    first = fresh(nbytes)
    address = first.address
    del first
    second = fresh(nbytes)
    assert second.address == address
    third = fresh(nbytes)
    assert third.address != address


def test_a_buffer_serves_for_a_size_nearby():
    mine = Cache(1 << 30)
    lease = mine.take(1_000_000)
    address = lease.address
    mine.give(lease)
    del lease
    for nbytes in (999_999, 1_048_576, 800_000):
        lease = mine.take(nbytes)
        assert lease.address == address and lease.data.nbytes == nbytes
        mine.give(lease)
        del lease
    assert mine.made == 1
    assert mine.take(2_000_000).address != address


def test_size_classes_waste_at_most_an_eighth():
    for nbytes in [*range(1, 5_000), *(random.Random(3).randrange(1, 1 << 36) for _ in range(2_000))]:
        size = size_class(nbytes)
        assert nbytes <= size <= nbytes * 1.126
        assert size_class(size) == size


@pytest.mark.parametrize("nbytes", [16, 5_000, 3 << 20])
@pytest.mark.parametrize(
    "alias",
    [
        lambda storage: storage.data,
        lambda storage: storage.data[3:7],
        lambda storage: storage.data.view(np.int32)[1:],
        lambda storage: np.ndarray((2,), np.float32, storage.data, 4),
        lambda storage: memoryview(storage.data)[2:],
        lambda storage: np.frombuffer(storage.data, np.uint8),
        lambda storage: np.from_dlpack(storage.data[:8]),
    ],
    ids=["the array", "a slice", "a dtype", "an ndarray", "memoryview", "frombuffer", "dlpack"],
)
def test_memory_that_something_holds_is_left_alone(nbytes, alias):
    storage = fresh(nbytes)
    address = storage.address
    held = alias(storage)
    del storage
    others = [fresh(nbytes) for _ in range(4)]
    assert address not in [other.address for other in others]
    assert len(held)


def test_a_live_value_is_never_overwritten():
    # Random births and deaths of tensors, views and NumPy arrays over them, each filled with a number of its own.
    rng = random.Random(20)
    sizes = [1, 3, 16, 200, 255, 256, 257, 1_500, 5_000, 5_100, 70_000]
    alive: list[tuple[object, float]] = []
    for number in range(6_000):
        if len(alive) > 60 or (alive and rng.random() < 0.45):
            value, expected = alive.pop(rng.randrange(len(alive)))
            seen = np.asarray(value.numpy() if isinstance(value, torch.Tensor) else value)
            assert (seen == expected).all()
        else:
            tensor = torch.empty(rng.choice(sizes)) if rng.random() < 0.5 else torch.zeros(rng.choice(sizes)) * 0.3
            tensor += float(number) if tensor.sum().item() == 0 else 0
            tensor.fill_(float(number))
            kind = rng.randrange(4)
            if kind == 0:
                alive.append((tensor, float(number)))
            elif kind == 1:
                alive.append((tensor[tensor.numel() // 2 :], float(number)))
            elif kind == 2:
                alive.append((tensor.numpy(), float(number)))
            else:
                alive.append((tensor * 1.0, float(number)))
    for value, expected in alive:
        assert (np.asarray(value) == expected).all()


def test_replaced_bytes_are_given_back_and_the_address_follows():
    storage = fresh(5_000)
    before = storage.address
    storage.data[:4] = [7, 8, 9, 10]
    storage.resize(6_000)
    assert memory.address_of(storage) == storage.data.ctypes.data != before
    assert storage.data[:4].tolist() == [7, 8, 9, 10]
    assert not storage.data[5_000:].any()
    assert fresh(5_000).address == before


def test_bytes_put_in_place_by_hand_are_not_taken_for_the_leased_ones():
    storage = fresh(5_000)
    held = storage.data
    storage.data = np.zeros(5_000, np.uint8)
    del storage
    assert address_of(held) not in [fresh(5_000).address for _ in range(3)]


def test_foreign_memory_is_not_recycled():
    for array in (np.zeros(5_000, np.uint8), np.frombuffer(bytes(5_000), np.uint8)):
        storage = Storage(5_000, array)
        address = memory.address_of(storage)
        assert address == array.ctypes.data
        del storage
        assert fresh(5_000).address != address


def test_10_000_steps_neither_leak_nor_ask_for_memory():
    x = torch.full((20_000,), 0.3)

    def step() -> None:
        y = (x * 1.3 + 0.7).exp()
        (y * y).sum().item()

    for _ in range(5):
        step()
    gc.collect()
    live, made, idle = cache.live, cache.made, cache.idle
    for _ in range(10_000):
        step()
    gc.collect()
    assert (cache.live, cache.idle) == (live, idle)
    assert cache.made == made


def test_idle_memory_is_bounded():
    mine = Cache(10 << 20)
    for nbytes in range(1 << 20, 3 << 20, 50_000):  # sizes that never recur
        lease = mine.take(nbytes)
        mine.give(lease)
        del lease
        assert mine.live == 0
        assert mine.idle <= 1.5 * mine.peak
    many = [mine.take(1 << 20) for _ in range(40)]
    assert mine.live == 40 << 20 == mine.peak
    while many:
        mine.give(many.pop())
    assert mine.live == 0 and 9 << 20 <= mine.idle <= 10 << 20
    mine.trim()
    assert mine.idle == 0


def test_without_memory_idle_buffers_go_back_before_the_error():
    mine = Cache(1 << 30)
    mine.give(mine.take(1 << 20))
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator: can't allocate memory: you tried to allocate 4503599627370496 bytes"):
        mine.take(1 << 52)
    assert (mine.idle, mine.live) == (0, 0)
    assert mine.take(5_000).data.nbytes == 5_000


def test_an_op_without_memory_fails_as_in_pytorch():
    huge = torch.empty(1).expand(1 << 50)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator: can't allocate memory"):
        (huge + 1.0).numpy()
    assert (torch.ones(3) + 1.0).tolist() == [2, 2, 2]


def test_the_report_counts_memory():
    held = fresh(3 << 20)
    found = torch.report()
    assert found.memory >= held.nbytes and found.peak_memory >= found.memory
    del held
    after = torch.report()
    assert after.memory == found.memory - (3 << 20) and after.idle_memory == found.idle_memory + (3 << 20)
    assert "MB in use" in str(after)


def test_threads_take_and_give():
    failures = []

    def work(number: int) -> None:
        rng = random.Random(number)
        mine: list[Storage] = []
        for _ in range(3_000):
            if len(mine) > 10 or (mine and rng.random() < 0.5):
                storage = mine.pop(rng.randrange(len(mine)))
                if not (storage.data == number).all():
                    failures.append(number)
            else:
                mine.append(fresh(rng.choice([16, 64, 2_000, 5_000])))
                mine[-1].data[:] = number

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_after_fork_has_memory_of_its_own():
    fresh(5_000)
    storage = fresh(3 << 20)
    storage.data[:] = 1
    child = os.fork()
    if not child:
        storage.data[:] = 2
        fresh(5_000).data[:] = 2
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (storage.data == 1).all()
