"""Random programs give the same bits whether each op runs at once or all wait on the tape."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from programs import Program, as_bytes

import rushlight as torch
from rushlight import tape

PER_TEST = 10


@pytest.fixture(autouse=True)
def mode_restored() -> Iterator[None]:
    before = tape.state.immediate
    yield
    tape.state.immediate = before


def run(seed: int, immediate: bool) -> list[Any]:
    tape.flush()
    tape.state.immediate = immediate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return as_bytes(Program(torch, seed).run())


@pytest.mark.parametrize("first", range(0, 200, PER_TEST))
def test_deferred_programs_give_the_bits_of_immediate_ones(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        assert run(seed, immediate=False) == run(seed, immediate=True), f"seed {seed}"


def test_programs_reach_gradients_and_refused_writes() -> None:
    """The programs are worth running: most get gradients, and some meet the errors of in-place writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logs = [Program(torch, seed).run() for seed in range(40)]
    gradients = sum(any(entry[0] == "gradient" and entry[1] is not None for entry in log) for log in logs)
    refused = sum(any("single memory location" in str(entry[-1]) for entry in log) for log in logs)
    assert gradients >= 15
    assert refused >= 3
