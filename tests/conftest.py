"""All tests run with the engine's own checks (rushlight/engine/verify.py), and none of its compilations may fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("RUSHLIGHT_VERIFY", "1")


@pytest.fixture(autouse=True)
def _no_compilation_fails() -> Iterator[None]:
    """The compiler's failures are silent: its traces stay interpreted. In the background, one may show a test later."""
    from rushlight.engine import execute

    before = len(execute.counts.failures)
    yield
    assert execute.counts.failures[before:] == []


@pytest.fixture
def deferred() -> Iterator[None]:
    """Work is recorded and run later, whatever the mode of the run; nothing is pending before and after."""
    from rushlight import tape

    tape.flush()
    immediate, tape.state.immediate = tape.state.immediate, False
    yield
    tape.flush()
    tape.state.immediate = immediate


@pytest.fixture
def compiled_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every trace is compiled at first sight, and every op that has a native form takes it, however small."""
    from rushlight import config, tape
    from rushlight.engine import execute

    tape.flush()
    monkeypatch.setattr(config, "HOT", 0)
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    monkeypatch.setattr(tape.state, "immediate", False)
    monkeypatch.setattr(tape.state, "compile", True)
    yield
    tape.flush()


@pytest.fixture
def compiled_at_first_sight() -> Iterator[None]:
    """Work is recorded, and traces are compiled when they are first seen; the number of threads is restored as well."""
    import rushlight as torch
    from rushlight import config, tape

    tape.flush()
    before = tape.state.immediate, tape.state.compile, config.HOT, torch.get_num_threads()
    tape.state.immediate, tape.state.compile, config.HOT = False, True, 0
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before[:3]
    torch.set_num_threads(before[3])
