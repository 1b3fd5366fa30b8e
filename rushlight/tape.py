"""The tape: what has been called and not yet run.

An entry is ``(plan, outputs, inputs, position)``. The plan (ops/card.py) says which card with which static arguments
on which layouts; an operand is ``(storage, offset, layout)`` or a Python number; the position is where the user's
program made the call. Entries run in program order, over real strided storages, so in-place writes and views need no
special care here. The tuples that name operands are an entry's own: a result whose storage nothing refers to but those of
entries is never written to memory, so whoever may want it later holds another tuple, or the storage.

`flush()` runs all that is pending. Whoever reads bytes calls it first. A storage that the outside can see is never
owed: an entry that touches one runs before the call returns (`ops/card.py`).
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from itertools import repeat, starmap
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import config
from .engine import execute
from .engine.direct import prepare
from .engine.routine import Routine, expanded
from .shape import Layout
from .storage import Storage

if TYPE_CHECKING:
    from .ops.card import Plan

Operand = Any  # (Storage, int, Layout) or a Python number
Position = tuple[CodeType, int] | None  # a code object and the offset of an instruction in it
Entry = tuple["Plan | Routine", Sequence[Operand], Sequence[Operand], Position]

pending: deque[Entry] = deque()
flushes: Counter[str] = Counter()

# One flush at a time; re-entrant, since running an entry may observe another tensor.
_running = threading.RLock()


class _State:
    immediate = config.MODE == "immediate"
    compile = config.MODE == "compile"
    running = False
    owed = 0  # bytes of results
    run = 0  # entries
    seconds = 0.0  # spent running them
    recordings = 0  # of functions (capture/)
    replays = 0
    capturing: Any = None  # what watches the tape while a function is recorded (capture/captured.py)


state = _State()


#: The package's folder, and for each file that a call has come through whether it lies there.
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
internal: dict[str, bool] = {}


class _Thread(threading.local):
    """Per thread: where `backward` was called, while gradient rules run; where a function was called that is being captured.

    All that is recorded meanwhile has this one position, and `record` need not look for it through a dozen frames. Whoever
    calls code of the user's from inside the backward pass sets it back.
    """

    position: Position = None


thread = _Thread()


def user_position(depth: int) -> Position:
    """Where the program has called into the package: the first frame, from `depth` on, whose file is not the package's."""
    try:
        frame: Any = sys._getframe(depth)
    except ValueError:  # called from C, with no Python beneath
        frame = sys._getframe(depth - 1)
    while True:
        code = frame.f_code
        inside = internal.get(code.co_filename)
        if inside is None:
            inside = internal[code.co_filename] = code.co_filename.startswith(_HERE)
        if not inside or frame.f_back is None:
            return (code, frame.f_lasti)
        frame = frame.f_back


def record(plan: Plan | Routine, outputs: Sequence[Operand], inputs: Sequence[Operand]) -> Position:
    """Append an entry; run what is pending if the mode or the budget of owed bytes says so.

    Answers the user's position, for the node of a gradient to keep.
    """
    # The search begins behind `user_position`, this function, the one that applies cards, and the op.
    position = thread.position or user_position(4)
    pending.append((plan, outputs, inputs, position))
    state.owed += plan.nbytes
    if state.immediate:
        flush("immediate")
    elif state.owed > config.OWED_BYTES:
        flush("budget")
    return position


def entry_added(nbytes: int) -> None:
    """An entry has been put behind all that is pending, whose results have so many bytes."""
    state.owed += nbytes
    if state.owed > config.OWED_BYTES:
        flush("budget")


def runs_directly(routine: Routine) -> bool:
    """Whether a routine's entry can run now, in one native call of its own: nothing is pending before it, and it is compiled."""
    return routine.direct not in (None, False) and not (pending or state.running or state.immediate or config.DEBUG) and state.compile


def record_routine(routine: Routine, outputs: Sequence[Operand], inputs: Sequence[Operand], alone: bool = False) -> None:
    """Record a routine's entry over outputs that no tensor holds yet. One that could run `alone` gets a native call of its own, once it has been often enough."""
    if alone and routine.direct is None and not (pending or state.running) and state.compile:
        start = time.perf_counter()
        with _running:
            prepare(routine, outputs, inputs)
        seconds = time.perf_counter() - start
        execute.counts.lookup_seconds += seconds
        state.seconds += seconds
    # Tuples of the entry's own: those of the caller are somebody who may read the outputs, if the tape runs before there are tensors.
    record(routine, tuple([(storage, offset, layout) for storage, offset, layout in outputs]), inputs)


def run_directly(routine: Routine, regions: Sequence[Operand], numbers: Sequence[Operand], outputs: Sequence[Operand]) -> bool:
    """Run an entry of which `runs_directly` has just been true. False, with nothing done, where it must be recorded after all."""
    direct: Any = routine.direct
    with _running:
        seconds = direct.run(regions, numbers, outputs)
    if not seconds:
        return False
    state.run += 1
    state.seconds += seconds
    return True


def flush_count() -> int:
    """How often the tape has run."""
    return sum(flushes.values())


def flush(cause: str = "observation") -> None:
    """Run all pending entries in order.

    An entry that fails marks its outputs; those that need them are marked in turn, all others run, and the first
    failure is raised at the end. So the tape is usable after any failure.
    """
    if not pending and not state.running:
        return
    if state.capturing is not None:
        state.capturing.observed()
    failures: list[Exception] = []
    with _running:
        if not pending:
            return  # another thread has just run them
        flushes[cause] += 1
        start = time.perf_counter()
        state.running = True
        try:
            if state.compile and (len(pending) > 1 or type(pending[0][0]) is Routine) and not state.immediate:
                _run_compiled(failures, start)
            if pending:
                _run_one_by_one(failures)
            state.owed = 0
        finally:
            state.running = False
            state.seconds += time.perf_counter() - start
    if failures:
        raise failures[0]


def _run_compiled(failures: list[Exception], began: float) -> None:
    """Run what is pending as one compiled trace, if there is one for it."""
    counts = execute.counts
    before = counts.accounted()
    entries = tuple(pending)
    found = execute.find(entries)
    if found is None:
        return
    compiled, operands = found
    if not _run_segment(compiled, operands, entries):
        scan = operands.scan() if isinstance(operands, execute.Recognition) else operands
        progress = execute.Progress(compiled, scan, entries)
        try:
            _drop(len(entries))
            execute.run(progress, lambda entry: _run_entry(entry, failures))
        except BaseException:
            # Ctrl-C: what has not run stays pending.
            if not pending or pending[0] is not entries[0]:
                pending.extendleft(reversed(progress.left()))
            raise
        del progress, scan
    state.run += len(entries)
    start = time.perf_counter()
    counts.packing_seconds += start - began - (counts.accounted() - before)
    del entries, found, operands
    counts.releasing_seconds += time.perf_counter() - start


def _run_segment(compiled: execute.Compiled, operands: execute.Scan | execute.Recognition, entries: tuple[Entry, ...]) -> bool:
    """Run a trace that is one native call. False, with all of it still pending, if it is not, or if there is no memory for it."""
    only = None if config.DEBUG else compiled.only
    if only is None:
        return False
    runs = only.program.runs
    if isinstance(operands, execute.Recognition):
        run = functools.partial(execute.run_recognised, operands)
    else:
        execute.place_locals(compiled, operands)
        run = functools.partial(execute.run_segment, only, operands.storages, operands.regions, operands.numbers)
    try:
        _drop(len(entries))
        done = run()
    except BaseException:
        # Ctrl-C: before the native call or behind it.
        if (not pending or pending[0] is not entries[0]) and only.program.runs == runs:
            pending.extendleft(reversed(entries))
        raise
    if not done:
        pending.extendleft(reversed(entries))
        if not isinstance(operands, execute.Recognition):
            del operands.regions[len(operands.regions) - len(compiled.locals) :]
        return False
    execute.counts.compiled_runs += 1
    return True


def _drop(count: int) -> None:
    """Take entries off the tape: all in one call, in which no signal's handler runs."""
    deque(starmap(pending.popleft, repeat((), count)), 0)


def _run_one_by_one(failures: list[Exception]) -> None:
    start = execute.counts.clock()
    try:
        with np.errstate(all="ignore"):
            while pending:
                entry = pending[0]
                if type(entry[0]) is Routine:
                    _take_apart(entry)
                    continue
                try:
                    pending.popleft()
                    state.run += 1
                    _run_entry(entry, failures)
                except BaseException:
                    # Ctrl-C: what has not run stays pending. (An entry that has just run may run again.)
                    if not pending or pending[0] is not entry:
                        pending.appendleft(entry)
                    raise
    finally:
        execute.counts.interpreted_seconds += execute.counts.clock() - start


def _take_apart(entry: Entry) -> None:
    """Put the entries of a routine, the first that is pending, in its place: in one call, in which no signal's handler runs."""
    inner = expanded([entry])[0]
    deque(starmap(operator.call, ((pending.popleft,), (pending.extendleft, inner[::-1]))), 0)


def _run_entry(entry: Entry, failures: list[Exception]) -> bool:
    """Run one entry; if it fails, mark what it owes and note the failure."""
    try:
        execute.run_single(*entry[:3])
    except Exception as error:
        _mark(entry, error)
        failures.append(located(error, f"while running {describe(entry[0])}", entry[3]))
        return False
    return True


def describe(plan: Plan | Routine) -> str:
    """An op with the dtypes and shapes of its operands: ``add(float32[2, 3], float)``."""
    operands = [f"{o.dtype.name}{list(o.shape)}" if isinstance(o, Layout) else o.__name__ for o in cast("tuple[Any, ...]", plan.operands)]
    return f"{plan.card.name}({', '.join(operands)})"


def where(position: Position) -> str:
    """A position as ``file:line, in function``."""
    if position is None:
        return "an unknown place"
    code, instruction = position
    line = next((p[0] for n, p in enumerate(code.co_positions()) if n == instruction // 2), code.co_firstlineno)
    return f"{code.co_filename}:{line}, in {code.co_name}"


def located(error: Exception, what: str, position: Position) -> Exception:
    """The error with a note that says what failed and where the user's program asked for it (added once)."""
    if position is not None and not any("recorded at" in note for note in getattr(error, "__notes__", ())):
        error.add_note(f"{what}, recorded at {where(position)}")
    return error


def _mark(entry: Entry, error: BaseException) -> None:
    for operand in entry[1]:
        storage: Storage = operand[0]
        if storage.data is None:
            storage.error = error


def not_replayed(what: str) -> None:
    """Something happens that a replay of a captured function would not do again."""
    if state.capturing is not None:
        state.capturing.refuse(what)


def step_boundary() -> None:
    """A stable point of a program, such as the end of an optimizer step."""
    flush("step")


def observe(storage: Storage) -> Storage:
    """The storage with its bytes present."""
    if state.capturing is not None:
        state.capturing.observed()
    if pending or state.running:
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
