"""Faults: errors, interrupts, a failing compiler, forks, threads, missing llvmlite, damaged caches, another machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty import Fault, faulty_card

import rushlight as torch
from rushlight import config, nn, tape
from rushlight.engine import execute, llvm, run as run_module
from rushlight.nn import functional as F
from rushlight.ops.card import apply
from rushlight.storage import Storage

native = pytest.mark.skipif(not llvm.AVAILABLE, reason="native code needs llvmlite")

INTERPRETED = faulty_card("interpreted")


@pytest.fixture(autouse=True)
def no_fault_stays(compiled_at_first_sight: None) -> Iterator[None]:
    yield
    Fault.raised = None


def names() -> list[str]:
    return [entry[0].card.name for entry in tape.pending]


def chain(x: Any) -> tuple[Any, ...]:
    """A trace with an interpreted entry between two native segments; what needs it and what does not."""
    a = (x * 1.7).exp()
    b = apply(INTERPRETED, (a,))
    c = (b + a).tanh()
    d = (a * 0.3).sin() + x
    e = apply(INTERPRETED, (d,)) * 2
    return a, b, c, d, e


def expected(x: np.ndarray) -> tuple[np.ndarray, ...]:
    a = np.exp(x * np.float32(1.7))
    d = np.sin(a * np.float32(0.3)) + x
    return a, a + 1, np.tanh(a + 1 + a), d, (d + 1) * 2


def leaf(*shape: int) -> Any:
    return torch.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


# Errors and interrupts


@native
def test_an_interpreted_entry_that_fails_leaves_the_others_of_a_compiled_trace() -> None:
    x = leaf(5, 33)
    for found in zip(chain(x), expected(x.numpy()), strict=True):
        assert np.allclose(found[0].numpy(), found[1], rtol=1e-5, atol=1e-6)
    runs = execute.counts.compiled_runs
    Fault.raised = ValueError("from the rule")
    a, b, c, d, e = chain(x)
    with pytest.raises(ValueError, match="from the rule") as caught:
        d.numpy()
    assert execute.counts.compiled_runs == runs + 1
    assert any("while running interpreted(float32[5, 33]), recorded at " + __file__ in note for note in caught.value.__notes__)
    assert not tape.pending
    for t, values in zip((a, d, e), [expected(x.numpy())[n] for n in (0, 3, 4)], strict=True):
        assert np.allclose(t.numpy(), values, rtol=1e-5, atol=1e-6)
    for t in (b, c, b * 2):
        with pytest.raises(ValueError, match="from the rule"):
            t.tolist()
    assert np.allclose(chain(x)[2].numpy(), expected(x.numpy())[2], rtol=1e-5)


@native
def test_writes_in_place_after_a_failure_still_happen() -> None:
    x = leaf(40)

    def program() -> tuple[Any, Any]:
        y = x * 2
        z = apply(INTERPRETED, (y,))
        y.add_(1)
        y[:20].mul_(0.7)
        z.add_(y)
        return y, z

    tape.flush()
    y, _ = program()
    wanted = y.numpy().copy()
    Fault.raised = ValueError("from the rule")
    y, z = program()
    with pytest.raises(ValueError, match="from the rule"):
        tape.flush()
    assert y.numpy().tobytes() == wanted.tobytes()
    with pytest.raises(ValueError, match="from the rule"):
        z.tolist()


@native
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_between_parts_leaves_the_rest_pending(kind: type[BaseException]) -> None:
    x = leaf(5, 33)
    [t.numpy() for t in chain(x)]
    Fault.raised = kind()
    a, b, c, d, e = chain(x)
    with pytest.raises(kind):
        tape.flush()
    assert names()[0] == "interpreted" and 3 <= len(names()) < 9
    for t, values in zip((a, b, c, d, e), expected(x.numpy()), strict=True):
        assert np.allclose(t.numpy(), values, rtol=1e-5, atol=1e-6)
    assert not tape.pending


@native
@pytest.mark.parametrize("ran", [False, True])
def test_an_interrupt_around_native_code_loses_nothing_and_repeats_nothing(ran: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals are seen before the native call begins, or after it has ended."""
    x = leaf(7, 9)
    total = torch.zeros(7, 9)

    def program() -> Any:
        y = x * 1.7
        total.add_(y)
        total.mul_(0.5)
        return y

    program()
    tape.flush()
    run = run_module.Program.run

    def interrupted(self: Any, values: Any) -> None:
        monkeypatch.setattr(run_module.Program, "run", run)
        if ran:
            run(self, values)
        raise KeyboardInterrupt

    y = program()
    monkeypatch.setattr(run_module.Program, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tape.flush()
    wanted = x.numpy() * np.float32(1.7)
    assert np.array_equal(y.numpy(), wanted)
    assert np.array_equal(total.numpy(), (wanted * np.float32(0.5) + wanted) * np.float32(0.5))


@native
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_moment_of_a_flush_keep_sums_right() -> None:
    """Signals that come microseconds after a flush has begun; each write is done once."""
    x, total = torch.ones(6, 5), torch.zeros(6, 5)

    def record() -> None:
        total.add_(x)
        y = x * 2
        total.add_(y)
        total.sub_(y)

    armed = False

    def interrupt(*_: Any) -> None:
        if armed:
            raise KeyboardInterrupt

    draw = np.random.default_rng(0)
    record()
    tape.flush()
    config.HOT = 1000  # whatever an interrupt leaves is a trace that is not worth compiling
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupts = 0
    recorded = 1
    try:
        end = time.perf_counter() + 0.7
        while time.perf_counter() < end:
            record()
            recorded += 1
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(2e-6, 6e-5))
            try:
                armed = True
                tape.flush()
                armed = False
            except KeyboardInterrupt:
                armed = False
                interrupts += 1
                assert total[0, 0].item() == recorded
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 20
    assert total.tolist() == [[recorded] * 5] * 6


@native
def test_an_interrupt_among_entries_that_run_one_by_one_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    x = leaf(7, 9)
    total = torch.zeros(7, 9)

    def program() -> None:
        apply(INTERPRETED, (x,))
        total.add_(x)
        total.mul_(0.5)
        total.sub_(0.3)

    program()
    tape.flush()
    run_single = execute.run_single

    def interrupted(plan: Any, *operands: Any) -> None:
        if plan.card.name == "mul":
            monkeypatch.setattr(execute, "run_single", run_single)
            raise KeyboardInterrupt
        run_single(plan, *operands)

    monkeypatch.setattr(execute, "run_single", interrupted)
    Fault.raised = ValueError("from the rule")
    program()
    with pytest.raises(KeyboardInterrupt):
        tape.flush()
    wanted = np.zeros((7, 9), np.float32)
    for _ in range(2):
        wanted = (wanted + x.numpy()) * np.float32(0.5) - np.float32(0.3)
    assert np.array_equal(total.numpy(), wanted)


@native
def test_memory_that_cannot_be_had_leaves_the_tape_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    x = leaf(8, 9)

    def program() -> Any:
        return (x * 2, (x[:, :, None] * torch.ones(1, 1, 300)).exp(), x.exp())

    program()
    tape.flush()
    allocate = Storage.allocate

    def refused(self: Any) -> Any:
        if self.nbytes > 10000:
            raise RuntimeError("not enough memory")
        return allocate(self)

    monkeypatch.setattr(Storage, "allocate", refused)
    small, large, other = program()
    with pytest.raises(RuntimeError, match="not enough memory"):
        large.numpy()
    assert np.array_equal(small.numpy(), x.numpy() * 2)
    assert np.allclose(other.numpy(), np.exp(x.numpy()), rtol=1e-6)
    assert not tape.pending
    with pytest.raises(RuntimeError, match="not enough memory"):
        large.numpy()
    monkeypatch.undo()
    assert np.allclose(program()[1].numpy(), np.broadcast_to(np.exp(x.numpy())[:, :, None], (8, 9, 300)), rtol=1e-6)


# The compiler


@native
@pytest.mark.parametrize("hot", [0, 2])
def test_a_compiler_that_fails_leaves_the_program_right(hot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trace: Any) -> Any:
        raise AssertionError("broken pass")

    config.HOT = hot
    failures: list[str] = []
    monkeypatch.setattr(execute.counts, "failures", failures)
    x = leaf(3, 37)
    [t.numpy() for t in chain(x)]  # each op's own program
    monkeypatch.setattr(execute, "compile_trace", broken)
    monkeypatch.setattr(execute, "_traces", type(execute._traces)())

    def rounds(count: int) -> None:
        for _ in range(count):
            for t, values in zip(chain(x), expected(x.numpy()), strict=True):
                assert np.allclose(t.numpy(), values, rtol=1e-5, atol=1e-6)

    rounds(4)
    deadline = time.perf_counter() + 5
    while not failures and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert failures and all("broken pass" in text for text in failures)
    tried = len(failures)
    rounds(4)
    assert len(failures) == tried  # nothing is tried twice


@native
def test_machine_code_that_cannot_be_made_leaves_the_program_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ops whose own program cannot be made run by NumPy."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("no code")

    monkeypatch.setattr(execute.counts, "failures", [])
    monkeypatch.setattr(execute, "_traces", type(execute._traces)())
    monkeypatch.setattr(run_module, "_codes", type(run_module._codes)())
    monkeypatch.setattr(llvm, "load", broken)
    x = leaf(3, 41)
    for t, values in zip(chain(x), expected(x.numpy()), strict=True):
        assert np.allclose(t.numpy(), values, rtol=1e-5, atol=1e-6)
    assert execute.counts.failures


@native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_the_compiler_works() -> None:
    """The child computes, whatever the compiler's thread held when it was made."""
    import multiprocessing

    def compute(n: int, answer: Any) -> None:
        config.HOT = 2
        x = leaf(n, 23)
        for _ in range(4):
            found = ((x * 1.7).tanh() + x).softmax(-1).sum(0).numpy()
        answer.put(found.tobytes())

    context = multiprocessing.get_context("fork")
    config.HOT = 1
    for n in range(6):
        for m in range(8):  # work for the compiler, of kinds that it has not seen
            y = leaf(3, 5)
            for _ in range(n * 8 + m + 1):
                y = (y * 0.7 + 0.1).cos()
            y.numpy()
        answer = context.SimpleQueue()
        child = context.Process(target=compute, args=(n + 2, answer))
        child.start()
        child.join(30)
        assert child.exitcode == 0, "the child hangs" if child.exitcode is None else child.exitcode
        x = leaf(n + 2, 23)
        assert answer.get() == ((x * 1.7).tanh() + x).softmax(-1).sum(0).numpy().tobytes()


# Threads


def trained(seed: int, steps: int, width: int) -> list[bytes]:
    draw = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(7, width), nn.Tanh(), nn.LayerNorm(width), nn.Linear(width, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.tensor(draw.standard_normal(tuple(p.shape)) * 0.3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.tensor(draw.standard_normal((20, 7)), dtype=torch.float32), torch.tensor(draw.integers(0, 3, 20))
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        found.append(loss.detach().numpy().tobytes())
    return found + [p.detach().numpy().tobytes() for p in model.parameters()]


@native
@pytest.mark.parametrize("hot", [0, 2])
def test_two_threads_that_train_get_what_they_get_alone(hot: int) -> None:
    config.HOT = hot
    kinds = [(1, 40, 16), (2, 40, 33), (3, 40, 16)]
    alone = [trained(*kind) for kind in kinds]
    found: dict[int, Any] = {}

    def work(n: int) -> None:
        try:
            found[n] = trained(*kinds[n])
        except BaseException as error:
            found[n] = error

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(kinds))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for n, wanted in enumerate(alone):
        assert found[n] == wanted, f"thread {n}: {found[n] if isinstance(found[n], BaseException) else 'other bits'}"


@native
def test_a_thread_that_observes_while_another_records() -> None:
    x = leaf(9, 11)
    failures: list[Any] = []
    stop = threading.Event()

    def observe() -> None:
        try:
            while not stop.is_set():
                tape.flush()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        y = torch.zeros(9, 11)
        for _ in range(400):
            z = x * 0.5
            y.add_(z)
            w = z.exp()
            y.mul_(0.5)
            del z, w
        found = y.numpy()
    finally:
        stop.set()
        thread.join(30)
    assert not failures
    wanted = np.zeros((9, 11), np.float32)
    for _ in range(400):
        wanted = (wanted + x.numpy() * np.float32(0.5)) * np.float32(0.5)
    assert np.array_equal(found, wanted)


# Other processes

PROGRAM = """
import sys
import numpy as np
import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.engine import execute, llvm
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(7, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
x, y = torch.randn(40, 7), torch.randint(0, 3, (40,))
for step in range(30):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses = (losses if step else []) + [loss.item()]
assert losses[-1] < 0.8 * losses[0], losses
assert not execute.counts.failures, execute.counts.failures[0]
print(" ".join(value.hex() for value in losses), llvm.counts.compiled, llvm.counts.loaded, execute.counts.compiled_runs)
"""


def start(program: str, **environment: str) -> subprocess.Popen[str]:
    root = str(Path(torch.__file__).resolve().parent.parent)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUSHLIGHT_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**clean, "PYTHONPATH": root, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> tuple[list[float], list[int]]:
    """The losses that the program printed, and its counts: kernels compiled, loaded, traces run compiled."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    words = out.split()
    return [float.fromhex(w) for w in words[:-3]], [int(w) for w in words[-3:]]


HIDDEN = """
import sys
from importlib.machinery import PathFinder
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "llvmlite" else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""


def test_without_llvmlite_numpy_does_the_work(tmp_path: Path) -> None:
    cache = {"RUSHLIGHT_CACHE": str(tmp_path)}
    processes = [start(PROGRAM, **cache), start(PROGRAM, RUSHLIGHT_NATIVE="0", **cache), start(HIDDEN + PROGRAM, **cache)]
    (losses, _), (without, counts), (hidden, hidden_counts) = map(result, processes)
    assert np.allclose(losses, without, rtol=1e-4) and without == hidden
    assert counts == hidden_counts == [0, 0, 0]


@native
def test_caches_that_are_damaged_shared_or_read_only(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {"RUSHLIGHT_CACHE": str(cache), "RUSHLIGHT_HOT": "0"}
    first, second = start(PROGRAM, **environment), start(PROGRAM, **environment)  # both fill it
    (losses, counts), (others, more) = result(first), result(second)
    assert losses == others and counts[0] + more[0] > 10
    warm, counts = result(start(PROGRAM, **environment))
    assert warm == losses and counts[0] == 0 and counts[1] > 10

    files = sorted(cache.rglob("*.o"))
    for n, file in enumerate(files):
        content = bytearray(file.read_bytes())
        if n % 4 == 0:
            content[len(content) // 2] ^= 1
        elif n % 4 == 1:
            del content[len(content) // 3 :]
        elif n % 4 == 2:
            content.clear()
        else:
            content[:] = files[n - 3].read_bytes()  # another kernel's
        file.write_bytes(bytes(content))
    os.chmod(cache, 0o555)
    for folder in cache.iterdir():
        os.chmod(folder, 0o555)
    try:
        found, counts = result(start(PROGRAM, **environment))
    finally:
        for folder in (cache, *cache.iterdir()):
            os.chmod(folder, 0o755)
    assert found == losses and counts[0] > 10
    for place in (str(tmp_path / "a file" / "below"), os.devnull, ""):
        (tmp_path / "a file").write_text("")
        found, counts = result(start(PROGRAM, **{**environment, "RUSHLIGHT_CACHE": place}))
        assert found == losses and counts[1] == 0


# Another machine


@native
def test_all_code_compiles_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that only an x86 CPU has slips into the text of a kernel."""
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("llvmlite has no code generator for aarch64 here")
    machine = target.create_target_machine(cpu="neoverse-n1", opt=2, reloc="pic")
    sources: dict[str, str] = {}
    load = llvm.load

    def seen(source: str, found: Any, *others: Any) -> Any:
        sources[source] = found[0]
        return load(source, found, *others)

    monkeypatch.setattr(llvm, "load", seen)
    monkeypatch.setattr(run_module, "_codes", type(run_module._codes)())
    monkeypatch.setattr(execute, "_traces", type(execute._traces)())
    trained(0, 2, 20)
    x = leaf(2, 9, 16)
    q = x.reshape(2, 9, 2, 8).transpose(1, 2).requires_grad_()
    F.scaled_dot_product_attention(q, q * 0.3, q, is_causal=True).sum().backward()
    found = [(x.double() * 0.3).sum(0).numpy(), x.log_softmax(-1).numpy(), (x @ x.transpose(1, 2)).numpy(), torch.cat([x, x * 2], 1).numpy(), F.gelu(x[:, ::2]).numpy(), (x > 0.3).float().mean().numpy()]
    table = leaf(5, 3).requires_grad_()
    F.embedding(torch.tensor([1, 4, 1]), table).square().sum().backward()
    assert table.grad is not None and found
    assert len(sources) > 20
    for source, name in sources.items():
        assert "llvm.x86" not in source
        module = binding.parse_assembly(source)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
        assert machine.emit_object(module)[:4] == b"\x7fELF", name
