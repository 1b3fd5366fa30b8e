"""What compiling costs: kernels are shared between sizes, the caches are bounded, the background compiler gives way."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, nn
from rushlight.engine import execute, llvm, run
from rushlight.engine.terms import Terms
from rushlight.recent import Recent

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE or config.MODE != "compile", reason="nothing is compiled")


def _leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, requires_grad=True)


def _backward(result: torch.Tensor) -> None:
    (result * result).sum().backward()


def _adam(n: int) -> None:
    parameter = nn.Parameter(torch.randn(n, 7))
    optimizer = torch.optim.Adam([parameter], lr=0.1 / n)
    _backward(parameter * 0.7)
    optimizer.step()


_EMBEDDING = nn.Embedding(50, 16)

#: Programs over a size `n`, whose code may not depend on it.
PROGRAMS: dict[str, Callable[[int], object]] = {
    "mean": lambda n: torch.tanh(_leaf(n, 3)).mean().backward(),
    "mean of rows": lambda n: _backward(_leaf(5, n).mean(-1)),
    "mean of many": lambda n: torch.randn(700 * n, 16).mean().item(),
    "mse_loss": lambda n: F.mse_loss(_leaf(n, 4), torch.randn(n, 4)).backward(),
    "softmax": lambda n: _backward(torch.softmax(_leaf(4, n), -1)),
    "log_softmax": lambda n: _backward(torch.log_softmax(_leaf(4, n), -1)),
    "layer_norm": lambda n: _backward(F.layer_norm(_leaf(6, n), (n,), torch.ones(n), torch.zeros(n))),
    "rms_norm": lambda n: _backward(F.rms_norm(_leaf(6, n), (n,))),
    "cross_entropy": lambda n: F.cross_entropy(_leaf(n, 11), torch.arange(n) % 11).backward(),
    "classes": lambda n: F.cross_entropy(_leaf(6, n), torch.arange(6) % n).backward(),
    "embedding": lambda n: _backward(_EMBEDDING(torch.arange(n) % 50)),
    "attention": lambda n: _backward(F.scaled_dot_product_attention(*(_leaf(2, n, 16) for _ in range(3)))),
    "length of K": lambda n: (torch.randn(9, n) @ torch.randn(n, 24)).sum().item(),
    "concatenation": lambda n: torch.cat([torch.randn(n, 3), torch.randn(4, 3)]).sum().item(),
    "slice": lambda n: (torch.randn(200, 8)[n : n + 4] * 2).sum().item(),
    "length of a slice": lambda n: (torch.randn(200, 8)[:n] * 2).sum().item(),
    "transposition": lambda n: torch.randn(n, 5).t().contiguous().sum().item(),
    "scalars": lambda n: (torch.randn(7, 5) * (n / 7) + n).clamp(-n / 50, n / 50).sum().item(),
    "slope": lambda n: F.leaky_relu(torch.randn(7, 5), n / 1000).sum().item(),
    "dropout": lambda n: F.dropout(torch.randn(n, 8), 0.1 + n / 1000).sum().item(),
    "gelu": lambda n: _backward(F.gelu(_leaf(n, 3))),
    "norm": lambda n: _leaf(n, 3).norm().backward(),
    "sum over rows": lambda n: _backward(_leaf(n, 5).sum(0)),
    "sum over many rows": lambda n: torch.randn(300 * n, 16).sum(0).sum().item(),
    "masked_fill": lambda n: torch.randn(n, n).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -1.3).sum().item(),
    "Adam": _adam,
}  # fmt: skip
#: Sizes of all kinds: below, at, between and above multiples of a vector's 16 elements. The later ones tell nothing new.
EARLY = (5, 7, 12, 16, 17, 23, 32, 33, 64, 65, 130)
LATE = (6, 9, 13, 20, 31, 41, 50, 66, 77, 90, 101, 128)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("hot", [0, 1 << 30])
def test_another_size_takes_no_new_kernel(name: str, hot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    execute._compiler.finish()  # what other tests have left
    monkeypatch.setattr(config, "HOT", hot)  # every trace compiled at once, or every entry run by itself
    for n in EARLY:
        PROGRAMS[name](n)
    before = set(run._codes)
    for n in LATE:
        PROGRAMS[name](n)
    assert sorted(kernel.name for kernel in set(run._codes) - before) == []


def test_rows_of_products_take_few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of rows have sizes of their own, of which there are few."""
    monkeypatch.setattr(config, "HOT", 1 << 30)

    def product(m: int) -> None:
        (torch.randn(m, 12) @ torch.randn(12, 20)).sum().item()

    for m in range(2, 90):
        product(m)
    before = len(run._codes)
    for m in range(90, 200):
        product(m)
    assert len(run._codes) == before


def test_a_mean_divides_by_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is a word of the call: the kernel made for one size must not keep that of another."""
    monkeypatch.setattr(config, "HOT", 0)
    for n in (3, 7, 40):
        x = torch.arange(float(2 * n)).reshape(n, 2)
        assert (x * 1.0).mean().item() == pytest.approx((2 * n - 1) / 2)
        assert (x.t() * 1.0).mean(-1).tolist() == pytest.approx([n - 1, n])
        assert (x.double() * 1.0).mean().item() == pytest.approx((2 * n - 1) / 2, rel=1e-15)


def test_a_schedule_compiles_nothing_after_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "HOT", 0)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
    x, y = torch.randn(64, 30), torch.randn(64, 1)

    def step() -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        loss.item()

    for _ in range(5):
        step()
    kernels, traces = llvm.counts.compiled + llvm.counts.loaded, execute.counts.traces_compiled
    for _ in range(1000):
        step()
    assert (llvm.counts.compiled + llvm.counts.loaded, execute.counts.traces_compiled) == (kernels, traces)


def test_recent_forgets_what_was_not_asked_for() -> None:
    recent: Recent[int, str] = Recent(4)
    for n in range(4):
        recent.remember(n, str(n))
    recent.remember(4, "4")  # the four are old now
    assert recent.get(1) is None
    assert recent.recall(1) == "1"
    assert recent.get(1) == "1"
    for n in range(5, 8):
        recent.remember(n, str(n))
    assert recent.recall(0) is None
    assert recent.recall(1) == "1"
    assert len(recent) + len(recent.old) <= 8


def test_long_traces_are_forgotten_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "PARTS_AT_MOST", 2000)
    monkeypatch.setattr(execute, "_traces", OrderedDict())
    monkeypatch.setattr(execute, "_parts", 0)
    for n in range(1, 60):
        x = torch.ones(n, 3)
        for _ in range(30):
            x = torch.sin(x)
        x.tolist()
    assert sum(map(len, execute._traces)) == execute._parts <= 2000


def test_the_cache_directory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE", str(tmp_path))
    monkeypatch.setattr(llvm, "CACHE_BYTES", 1000)
    (tmp_path / "ab").mkdir()
    files = [tmp_path / "ab" / f"{n:040}.o" for n in range(12)]
    for age, file in enumerate(files):
        file.write_bytes(b"x" * 100)
        os.utime(file, (1e9 - age, 1e9 - age))
    other = tmp_path / "notes.txt"
    other.write_bytes(b"x" * 5000)
    llvm.sweep()
    assert [file.exists() for file in files] == [True] * 7 + [False] * 5
    assert other.exists()


def test_the_background_compiler_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must let the program have the interpreter between its pieces of work."""
    rests: list[float] = []
    monkeypatch.setattr(execute.time, "sleep", rests.append)
    rest = execute._rests()
    start = execute.time.perf_counter()
    while execute.time.perf_counter() - start < 20 * execute._BUSY_SECONDS:
        rest()
    assert 1 <= len(rests) <= 20
    assert all(seconds > 0 for seconds in rests)


def test_zeros_of_both_signs_are_different_constants() -> None:
    """They are equal to Python, and so would be found as one."""
    terms = Terms()
    assert terms.constant(0.0, "float").number != terms.constant(-0.0, "float").number
    assert terms.constant(-0.0, "float").number == terms.constant(-0.0, "float").number
