"""The thread pool: every chunk runs exactly once, whatever else happens to the process."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import rushlight as torch
from rushlight.engine import claims, llvm, pool
from rushlight.engine.emit import Builder, module
from rushlight.engine.gemm_kernel import read_word
from rushlight.engine.kernel import Call, Kernel, Pointer
from rushlight.engine.run import Program

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs native code")

#: counts[chunk] += args[1]; plain, so that a chunk run twice or never shows.
COUNT = Kernel(
    "count_chunk",
    """
define void @count_chunk(ptr %args, i64 %chunk) {
  %counts = load ptr, ptr %args
  %step_at = getelementptr i64, ptr %args, i64 1
  %step = load i64, ptr %step_at
  %at = getelementptr i64, ptr %counts, i64 %chunk
  %old = load i64, ptr %at
  %new = add i64 %old, %step
  store i64 %new, ptr %at
  ret void
}
""",
)

#: Arithmetic on registers that takes args[0] turns.
BUSY = Kernel(
    "busy_chunk",
    """
define void @busy_chunk(ptr %args, i64 %chunk) {
entry:
  %turns = load i64, ptr %args
  br label %again
again:
  %n = phi i64 [0, %entry], [%next, %again]
  %x = phi double [1.5, %entry], [%y, %again]
  %y = fdiv double 1.3, %x
  %next = add i64 %n, 1
  %more = icmp slt i64 %next, %turns
  br i1 %more, label %again, label %end
end:
  %at = getelementptr double, ptr %args, i64 1
  %out = load ptr, ptr %at
  %cell = getelementptr double, ptr %out, i64 %chunk
  store double %y, ptr %cell
  ret void
}
""",
)


@pytest.fixture(autouse=True)
def threads():
    before = pool.get_threads()
    yield
    pool.set_threads(before)


def counting(regions: int, chunks: int) -> Program:
    return Program([Call(COUNT, (Pointer(0), 1), chunks)] * regions, 1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_chunk_of_100_000_regions_runs_once(count):
    pool.set_threads(count)
    counts = np.zeros(7, np.int64)
    program = counting(1_000, 7)
    for _ in range(100):
        program.run([counts.ctypes.data])
    assert counts.tolist() == [100_000] * 7


def claiming(jobs: int, chunks: int) -> Call:
    """counts[job] += 1 for each job that a chunk claims, and counts[jobs] += the chunk's number of turns."""
    k = Builder("claiming", [("ptr", "args"), ("i64", "chunk")])
    counts, one = read_word(k, 0, "ptr"), k.constant(1, "i64")
    with claims.claimed(k, 1, carried=[k.constant(0, "i64")]) as turn:
        at = k.address(counts, turn.index, "i64")
        k.store(k.add(k.load(at, "i64"), one), at)
        turn.next = [k.add(turn.carried[0], one)]
    k.do(f"atomicrmw add ptr {k.address(counts, jobs, 'i64').text}, {turn.results[0].typed} monotonic")
    return Call(Kernel("claiming", module([k])), (Pointer(0), *claims.claims(jobs, chunks)), chunks)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("jobs, chunks", [(1, 1), (23, 4), (4, 4), (3, 7)])
def test_every_job_is_claimed_once_in_each_run(count, jobs, chunks):
    pool.set_threads(count)
    counts = np.zeros(jobs + 1, np.int64)
    program = Program([claiming(jobs, chunks)] * 3, 1)
    for _ in range(2_000):
        program.run([counts.ctypes.data])
    assert counts.tolist() == [6_000] * jobs + [6_000 * jobs]


def test_a_region_sees_what_the_region_before_wrote():
    # Prefix sums over two arrays in turn: a chunk that ran early or with an older region's arguments would show.
    pool.set_threads(3)
    counts = np.zeros((2, 500), np.int64)
    calls = [Call(COUNT, (Pointer(n % 2), n), 500) for n in range(2_000)]
    Program(calls, 2).run([counts[0].ctypes.data, counts[1].ctypes.data])
    assert (counts[0] == sum(range(0, 2_000, 2))).all()
    assert (counts[1] == sum(range(1, 2_000, 2))).all()


def test_workers_start_when_needed_and_retire():
    counts = np.zeros(64, np.int64)
    program = counting(20, 64)
    for count in (4, 2, 1, 3):
        pool.set_threads(count)
        program.run([counts.ctypes.data])
        deadline = time.monotonic() + 10
        while pool.workers() != count - 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert pool.workers() == count - 1
    assert counts.tolist() == [80] * 64


def test_changing_the_number_of_threads_while_another_thread_runs():
    counts = np.zeros(16, np.int64)
    program = counting(50, 16)
    done = threading.Event()

    def change():
        number = 0
        while not done.is_set():
            number += 1
            pool.set_threads(number % 4 + 1)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(200):
            program.run([counts.ctypes.data])
    finally:
        done.set()
        changer.join()
    assert counts.tolist() == [10_000] * 16


def test_several_callers_at_a_time():
    pool.set_threads(2)
    counts = np.zeros((4, 32), np.int64)

    def call(mine: np.ndarray) -> None:
        program = counting(100, 32)
        for _ in range(100):
            program.run([mine.ctypes.data])

    callers = [threading.Thread(target=call, args=(row,)) for row in counts]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (counts == 10_000).all()


def test_work_goes_on_after_sleep():
    pool.set_threads(3)
    counts = np.zeros(8, np.int64)
    program = counting(1, 8)
    for _ in range(50):
        time.sleep(0.002)  # long enough for the workers to sleep
        program.run([counts.ctypes.data])
    assert counts.tolist() == [50] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_after_fork_has_its_own_workers():
    pool.set_threads(3)
    counts = np.zeros(8, np.int64)
    program = counting(100, 8)
    program.run([counts.ctypes.data])
    child = os.fork()
    if not child:
        good = pool.workers() == 0
        program.run([counts.ctypes.data])
        os._exit(0 if good and counts.tolist() == [200] * 8 and pool.workers() == 2 else 1)
    program.run([counts.ctypes.data])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counts.tolist() == [200] * 8


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "import os; os.kill(os.getpid(), 2)"])
def test_the_interpreter_exits_with_workers_spinning_or_asleep(end):
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
import numpy as np
from test_thread_pool import counting
from rushlight.engine import pool
pool.set_threads(4)
counts = np.zeros(8, np.int64)
counting(10, 8).run([counts.ctypes.data])
assert counts.tolist() == [10] * 8
if sys.argv[1] == "asleep":
    time.sleep(0.01)
{end}
"""
    for state in ("spinning", "asleep"):
        done = subprocess.run([sys.executable, "-c", script, state], capture_output=True, text=True, timeout=60)
        assert done.returncode in ((0,) if "kill" not in end else (1, -2, 130)), done.stderr
        assert "KeyboardInterrupt" in done.stderr if "kill" in end else not done.stderr


def test_a_busy_neighbour_costs_no_more_than_its_share():
    pool.set_threads(2)
    out = np.zeros(32)
    program = Program([Call(BUSY, (2_000, Pointer(0)), 32)] * 5, 1)

    def fastest() -> float:
        times = []
        for _ in range(40):
            start = time.perf_counter()
            program.run([out.ctypes.data])
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]

    fastest()
    alone = fastest()
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        time.sleep(0.2)
        crowded = fastest()
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    print(f"alone {alone * 1e6:.0f} us, with neighbours {crowded * 1e6:.0f} us: {crowded / alone:.2f}")
    # A pool that waits for a worker to be scheduled takes hundreds of times as long. Loose, for machines with other work.
    assert crowded < 20 * alone + 0.02


def test_settings_reach_the_pool():
    torch.set_num_threads(3)
    assert pool.get_threads() == torch.get_num_threads() == 3
