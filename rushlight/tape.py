"""The tape: what has been called and not yet run.

An entry is ``(plan, outputs, inputs)``. The plan (ops/card.py) says which card with which static arguments on which
layouts; an operand is ``(storage, offset, layout)`` or a Python number. Entries run in program order, over real
strided storages, so in-place writes and views need no special care here.

`flush()` runs all that is pending. Whoever reads bytes calls it first. A storage that the outside can see is never
owed: an entry that touches one runs before the call returns (`flush_shared`).
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import config
from .engine.interpret import run_entry
from .storage import Storage

if TYPE_CHECKING:
    from .ops.card import Plan

Operand = Any  # (Storage, int, Layout) or a Python number
Entry = tuple["Plan", Sequence[Operand], Sequence[Operand]]

pending: deque[Entry] = deque()
flushes: Counter[str] = Counter()

# One flush at a time; re-entrant, since running an entry may observe another tensor.
_running = threading.RLock()


class _State:
    immediate = config.MODE == "immediate"
    owed = 0
    recorded = 0


state = _State()


def record(plan: Plan, outputs: Sequence[Operand], inputs: Sequence[Operand]) -> None:
    """Append an entry; run what is pending if the mode or the budget of owed bytes says so."""
    pending.append((plan, outputs, inputs))
    state.owed += plan.nbytes
    if state.immediate:
        flush("immediate")
    elif state.owed > config.OWED_BYTES:
        flush("budget")


def flush(cause: str = "observation") -> None:
    """Run all pending entries in order.

    An entry that fails marks its outputs; those that need them are marked in turn, all others run, and the first
    failure is raised at the end. So the tape is usable after any failure.
    """
    if not pending:
        return
    failure: Exception | None = None
    with _running:
        flushes[cause] += 1
        while pending:
            entry = pending.popleft()
            state.recorded += 1
            try:
                run_entry(*entry)
            except Exception as error:
                _mark(entry, error)
                if failure is None:
                    failure = error
            except BaseException:
                # Ctrl-C: what has not run stays pending.
                pending.appendleft(entry)
                raise
        state.owed = 0
    if failure is not None:
        raise failure


def _mark(entry: Entry, error: BaseException) -> None:
    for operand in entry[1]:
        storage: Storage = operand[0]
        if storage.data is None:
            storage.error = error


def step_boundary() -> None:
    """A stable point of a program, such as the end of an optimizer step."""
    flush("step")


def observe(storage: Storage) -> Storage:
    """The storage with its bytes present."""
    if pending:
        flush()
    if storage.data is None:
        if storage.error is not None:
            raise storage.error
        storage.allocate()
    return storage


def _before_fork() -> None:
    flush("fork")
    _running.acquire()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_running.release, after_in_child=_running.release)
