"""Random programs give the same bits however they run: each op at once, entry by entry, compiled, with one thread or two."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from programs import Program, as_bytes

import rushlight as torch
from rushlight import config, tape
from rushlight.engine import conv_gather, execute, gemm, nests

PER_TEST = 10
WAYS = [("immediate", 2), ("interpret", 1), ("interpret", 2), ("compile", 1), ("compile", 2)]


@pytest.fixture(autouse=True)
def settings_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Small loops are shared out too.
    monkeypatch.setattr(nests, "SHARED_FROM", 1 << 12)
    monkeypatch.setattr(nests, "CHUNK_AT_LEAST", 1 << 10)
    # Small products and convolutions have several jobs, whose tails are what follows them.
    monkeypatch.setattr(gemm, "_CHUNK_WORK", 1 << 8)
    monkeypatch.setattr(gemm, "_TAILED_COLUMNS", 1)
    monkeypatch.setattr(conv_gather, "CHUNK_WORK", 1 << 8)
    before = tape.state.immediate, tape.state.compile, config.HOT, torch.get_num_threads()
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before[:3]
    torch.set_num_threads(before[3])


def run(seed: int, mode: str, threads: int) -> list[Any]:
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", 0
    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return as_bytes(Program(torch, seed).run())


@pytest.mark.parametrize("first", range(0, 200, PER_TEST))
def test_programs_give_the_same_bits_in_every_mode(first: int) -> None:
    failures = len(execute.counts.failures)
    for seed in range(first, first + PER_TEST):
        expected = run(seed, "immediate", 1)
        for mode, threads in WAYS:
            assert run(seed, mode, threads) == expected, f"seed {seed}, {mode} with {threads} threads"
    assert len(execute.counts.failures) == failures, execute.counts.failures[-1]


def test_programs_reach_gradients_and_refused_writes() -> None:
    """The programs are worth running: most get gradients, and some meet the errors of in-place writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logs = [Program(torch, seed).run() for seed in range(40)]
    gradients = sum(any(entry[0] == "gradient" and entry[1] is not None for entry in log) for log in logs)
    refused = sum(any("single memory location" in str(entry[-1]) for entry in log) for log in logs)
    assert gradients >= 15
    assert refused >= 3
