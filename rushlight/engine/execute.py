"""Running what is pending: compiled if its trace is known well, entry by entry if not.

Three ways to run an entry, all with the same bits: the card's NumPy rule (interpret.py); a program of its own, for ops whose
bits NumPy would not give and for large ones; as part of a compiled trace. A trace is compiled in the background once it
has been seen `config.HOT` times, and the program never waits for that.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from .. import config
from ..buffers import cache
from ..recent import Recent
from ..storage import Storage
from . import llvm, show
from .interpret import run_entry
from .memory import address_of
from .operand_code import OTHER_REFERENCES
from .pattern import Pattern, ops_of
from .pipeline import Compiled, Part, Segment, compile_trace, is_exact
from .routine import expanded
from .trace import Fate, Scan, Step, Trace, scan, trace_of

#: The compiler's thread rests after so long, for so long at least: a sleep, unlike one of zero seconds, wakes who waits.
_BUSY_SECONDS = 2e-4
_REST_SECONDS = 5e-5

Entry = Any  # (plan, outputs, inputs, position)

#: Traces remembered, and the sum of their keys' lengths; the least recently run is forgotten. A compiled one takes some 300 bytes for each
#: part of its key.
TRACES_AT_MOST = 512
PARTS_AT_MOST = 1 << 17
#: Longer traces run entry by entry: compiling one would take seconds.
ENTRIES_AT_MOST = 10_000
#: From so many elements on, an op whose bits NumPy gives too is worth a native call of its own.
NATIVE_FROM = 1 << 15


@dataclass(eq=False)
class Known:
    """What is known of one kind of trace."""

    key: tuple[Any, ...]
    seen: int = 0
    compiled: Compiled | None = None
    asked: bool = False  # whether the compiler has it, or has done with it
    finished: bool = False  # whether it has done with it


@dataclass
class Counts:
    """What the engine has done, for `rushlight.report()`."""

    compiled_runs: int = 0
    direct_runs: int = 0  # of routines, with nothing pending (direct.py)
    traces_compiled: int = 0
    native_calls: int = 0
    ops_looked_up: int = 0
    failures: list[str] = field(default_factory=list)  # of the compiler: such a trace stays interpreted
    lookup_seconds: float = 0.0
    packing_seconds: float = 0.0  # around native calls: allocating results, collecting arguments, and all else that a compiled run needs
    native_seconds: float = 0.0
    interpreted_seconds: float = 0.0  # of entries run one by one, but for what of it is one of the others
    releasing_seconds: float = 0.0  # giving back what a compiled trace's entries held
    compile_seconds: float = 0.0  # on whatever thread
    waiting_seconds: float = 0.0  # of those the ones that the program waited for

    def accounted(self) -> float:
        """Seconds of running the tape that are noted somewhere."""
        return self.lookup_seconds + self.packing_seconds + self.native_seconds + self.interpreted_seconds + self.waiting_seconds

    def clock(self) -> float:
        """A clock for interpreted entries: what they spend in packing, native code and waiting is not counted."""
        return time.perf_counter() - self.packing_seconds - self.native_seconds - self.waiting_seconds


counts = Counts()
_traces: OrderedDict[tuple[Any, ...], Known] = OrderedDict()


#: Called once, when the first trace has been compiled: by then all that compiles is loaded.
when_compiled: list[Callable[[], None]] = []


def traces_known() -> int:
    """How many kinds of traces are remembered."""
    return len(_traces)


_parts = 0  # the sum of the keys' lengths


def _remember(key: tuple[Any, ...]) -> Known:
    global _parts
    known = _traces[key] = Known(key)
    _parts += len(key)
    while len(_traces) > TRACES_AT_MOST or (_parts > PARTS_AT_MOST and len(_traces) > 1):
        _parts -= len(_traces.popitem(last=False)[0])
    return known


def _known(key: tuple[Any, ...]) -> Known:
    """What is known of a trace that is about to run."""
    known = _traces.get(key)
    if known is None:
        known = _remember(key)
    else:
        _traces.move_to_end(key)
    known.seen += 1
    return known


def _ask_if_hot(known: Known, trace: Callable[[], Trace]) -> None:
    """Have a trace compiled that has been seen often enough."""
    if known.compiled is None and known.seen >= config.HOT and not known.asked:
        known.asked = True
        _compiler.ask(known, trace(), wait=config.HOT == 0)


def known_of(key: tuple[Any, ...], trace: Callable[[], Trace]) -> Known:
    """What is known of a trace that could run now; one seen often enough is compiled."""
    known = _known(key)
    _ask_if_hot(known, trace)
    return known


_plans = itemgetter(0)
_patterns: Recent[tuple[Any, ...], list[Pattern]] = Recent(TRACES_AT_MOST)  # of compiled traces, by their plans
#: Traces of the same plans differ in what is read afterwards; more than so many are numbered at each run.
_PATTERNS_AT_MOST = 4
#: A recognised trace counts as used every so often.
_USED_EVERY = 64


class Recognition(NamedTuple):
    """Entries that machine code has recognised, and which of their results need memory."""

    pattern: Pattern
    entries: Sequence[Entry]
    owed: tuple[Storage, ...]

    def scan(self) -> Scan:
        return self.pattern.scan(self.entries)


def _recognised(pattern: Pattern, start: float) -> Compiled:
    known = pattern.known
    known.seen += 1
    counts.ops_looked_up += pattern.ops
    if not known.seen % _USED_EVERY and known.key in _traces:
        _traces.move_to_end(known.key)
    counts.lookup_seconds += time.perf_counter() - start
    return known.compiled


def find(entries: Sequence[Entry]) -> tuple[Compiled, Scan | Recognition] | None:
    """The compiled form of a trace, with what this run of it is over; None when entries are to be run one by one."""
    if not llvm.AVAILABLE or len(entries) > ENTRIES_AT_MOST:
        return None
    start = time.perf_counter()
    plans = tuple(map(_plans, entries))
    patterns = _patterns.get(plans) or ()
    match = regions = storages = None
    alike = None  # a pattern of which only the references are unknown or different, and what they are
    for pattern in patterns:
        if pattern.native is not None and not config.DEBUG:
            owed = pattern.native.look(entries)
            if type(owed) is tuple:
                return _recognised(pattern, start), Recognition(pattern, entries, owed)
            if owed == OTHER_REFERENCES and (alike is None or pattern.references is None):
                alike = pattern, pattern.native.references()
            continue
        match = pattern.match(entries)
        if match is None:
            continue
        regions, storages, numbers, references = match
        if references == pattern.references:
            return _recognised(pattern, start), Scan(pattern.known.key, list(regions), numbers, list(storages), pattern.fates)
        if alike is None or pattern.references is None:
            alike = pattern, references
    del match, regions, storages  # a scan counts references
    counts.ops_looked_up += ops_of(entries)
    found = scan(entries)
    if found.failed:
        return None
    known = _known(found.key)
    if known.compiled is not None:
        if alike is not None and alike[0].known is known:
            alike[0].learn(alike[1])
        elif not any(pattern.known is known for pattern in patterns) and len(patterns) < _PATTERNS_AT_MOST:
            _patterns.remember(plans, [*patterns, Pattern(known, entries, found)])
    counts.lookup_seconds += time.perf_counter() - start
    _ask_if_hot(known, lambda: trace_of(entries, found))
    if known.compiled is None:
        if config.DEBUG >= 1:
            show.out(show.lookup(len(entries), known.seen, known.asked))
        return None
    return known.compiled, found


class Progress:
    """A run of a compiled trace, and how far it is. An interrupt may come between any two lines, so that is one assignment."""

    __slots__ = ("compiled", "parts", "found", "entries", "taken_apart", "at")

    def __init__(self, compiled: Compiled, found: Scan, entries: Sequence[Entry]) -> None:
        self.compiled = compiled
        self.parts = parts = compiled.parts
        self.found, self.entries = found, entries
        self.taken_apart = len(parts) > 1
        if self.taken_apart:
            # What is local to a routine may lie between two parts, in memory of its own.
            self.entries, regions, storages = expanded(entries)
            found.regions += regions
            found.storages += storages
        elif compiled.locals:
            place_locals(compiled, found)
        first = parts[0]
        self.at = 0, 0, first.program.runs if type(first) is Segment else 0

    def begin(self, part: int, done: int = 0) -> None:
        """Part `part` comes next, of which `done` entries have run."""
        found = self.parts[part]
        self.at = part, done, found.program.runs if isinstance(found, Segment) else 0

    def entry(self, step: Step) -> Entry:
        """The entry of a step, when entries are to be run one by one after all."""
        if not self.taken_apart:
            self.entries, self.taken_apart = expanded(self.entries)[0], True
        return self.entries[step.number]

    def left(self) -> list[Entry]:
        """What has not run."""
        part, done, runs = self.at
        found = self.parts[part]
        if isinstance(found, Segment) and found.program.runs > runs:
            done = len(found.steps)
        steps = [one for later in self.parts[part:] for one in (later.steps if isinstance(later, Segment) else [later])][done:]
        return [self.entry(step) for step in steps]


def place_locals(compiled: Compiled, found: Scan) -> None:
    """Say where the regions local to routines begin."""
    regions = found.regions
    regions += compiled.locals
    for slot, base, offset in compiled.derived:
        regions[slot] = (None, regions[base][1] + offset, None)


def run(progress: Progress, step: Callable[[Entry], bool]) -> None:
    """Run a compiled trace.

    ``step(entry)`` runs one entry and says whether it succeeded: after a failure all others are run in this way. After an
    interrupt ``progress.left()`` says what has not run.
    """
    counts.compiled_runs += 1
    with np.errstate(all="ignore"):
        _run_parts(progress.parts, progress, step)
    if config.DEBUG >= 1:
        show.out(show.run(progress.compiled))


def _run_parts(parts: Sequence[Part], progress: Progress, step: Callable[[Entry], bool]) -> None:
    """Run part after part, and from a failure on entry by entry."""
    found = progress.found
    sound = True
    for n, part in enumerate(parts):
        progress.begin(n)
        if not isinstance(part, Segment):
            start = counts.clock()
            sound = step(progress.entry(part)) and sound
            progress.begin(n, 1)
            seconds = counts.clock() - start
            counts.interpreted_seconds += seconds
            if config.DEBUG >= 1:
                show.out(show.interpreted(part.plan, seconds))
            continue
        sound = sound and run_segment(part, found.storages, found.regions, found.numbers)
        if sound:
            continue
        for done, one in enumerate(part.steps, 1):
            step(progress.entry(one))
            progress.begin(n, done)


def run_segment(segment: Segment, storages: Sequence[Storage], regions: Sequence[Any], numbers: Sequence[Any]) -> bool:
    """One native call, over these storages and numbers. False when there is no memory for all of it: what needs less may still run."""
    try:
        for s in segment.allocated:
            storage = storages[s]
            if storage.data is None:
                storage.allocate()
        # A buffer of this run's own: a finalizer may observe a tensor, and so run another segment, before the native call.
        scratch = cache.take(segment.arena) if segment.arena else None
    except (MemoryError, RuntimeError):
        return False
    try:
        base = scratch[1] if scratch is not None else 0
        values: list[float] = [base]
        if segment.temporaries:
            values += [base + offset + regions[slot][1] * itemsize for slot, offset, itemsize in segment.temporaries]
        values += [(storages[storage].address or address_of(storages[storage])) + regions[slot][1] * itemsize for slot, storage, itemsize in segment.regions]
        if segment.numbers:
            values += [float(numbers[number]) if is_float else int(numbers[number]) for number, is_float in segment.numbers]
        start = time.perf_counter()
        if config.DEBUG >= 1:
            show.out(show.timed(segment.program.run_timed(values)))
        else:
            segment.program.run(values)
        counts.native_seconds += time.perf_counter() - start
        counts.native_calls += 1
    finally:
        if scratch is not None:
            cache.give(scratch)
    return True


def run_recognised(found: Recognition) -> bool:
    """`run_segment` over the operands of recognised entries, which machine code collects."""
    native: Any = found.pattern.native
    segment = native.segment
    try:
        for storage in found.owed:
            if storage.data is None:
                storage.allocate()
        scratch = cache.take(segment.arena) if segment.arena else None
    except (MemoryError, RuntimeError):
        return False
    try:
        start = time.perf_counter()
        ran = native.run(found.entries, scratch[1] if scratch is not None else 0)
        counts.native_seconds += time.perf_counter() - start
    finally:
        if scratch is not None:
            cache.give(scratch)
    if not ran:
        scan = found.scan()
        place_locals(found.pattern.known.compiled, scan)
        return run_segment(segment, scan.storages, scan.regions, scan.numbers)
    counts.native_calls += 1
    return True


def run_single(plan: Any, outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Run one entry by itself."""
    native = plan.native
    if native is None and plan.card.lowering is None:
        native = plan.native = False
    if native is False or not llvm.AVAILABLE:
        run_entry(plan, outputs, inputs)
        return
    # What an entry in place writes is among its inputs.
    regions = [o for o in (inputs if plan.in_place else (*inputs, *outputs)) if type(o) is tuple]
    storages = [region[0] for region in regions]
    if any(s.data is None and s.error is not None for s in storages):
        run_entry(plan, outputs, inputs)  # raises the error
        return
    if len(set(map(id, storages))) < len(storages):
        _run_overlapping(plan, outputs, inputs, regions)
        return
    if native is None:
        native = plan.native = _compile_single(plan, outputs, inputs, regions, storages)
        if native is False:
            run_entry(plan, outputs, inputs)
            return
    run_segment(native, storages, regions, [i for i in inputs if type(i) is not tuple])


def _compile_single(plan: Any, outputs: Sequence[Any], inputs: Sequence[Any], regions: list[Any], storages: list[Storage]) -> Segment | bool:
    """The native form of one entry, or False when it is the interpreter's."""
    if plan.card.lowering is None:
        return False
    fates = [Fate.THERE if s.data is not None else Fate.WANTED for s in storages]
    trace = trace_of([(plan, outputs, inputs, None)], Scan((), regions, [], storages, fates))
    if max(layout.numel for _, _, layout in regions) < NATIVE_FROM and is_exact(trace):
        return False
    trace.fates = [Fate.WANTED] * len(storages)
    start = time.perf_counter()
    try:
        (part,) = compile_trace(trace).parts or (None,)
    except Exception:
        counts.failures.append(traceback.format_exc())
        return False
    finally:
        seconds = time.perf_counter() - start
        counts.compile_seconds += seconds
        counts.waiting_seconds += seconds
    return part if isinstance(part, Segment) else False


_overlapping: Recent[tuple[Any, ...], Segment | bool] = Recent(TRACES_AT_MOST // 2)


def _run_overlapping(plan: Any, outputs: Sequence[Any], inputs: Sequence[Any], operands: Sequence[Any]) -> None:
    """Run an entry some of whose operands are in one storage: `operands` are those that are regions."""
    regions: dict[Any, int] = {}
    storages: dict[Storage, int] = {}
    key: list[Any] = [plan]
    for region in operands:
        key.append(regions.setdefault(region, len(regions)))
        key.append(storages.setdefault(region[0], len(storages)))
    pattern = tuple(key)
    native = _overlapping.recall(pattern)
    if native is None:
        native = _overlapping.remember(pattern, _compile_single(plan, outputs, inputs, list(regions), list(storages)))
    if isinstance(native, Segment):
        run_segment(native, list(storages), list(regions), [i for i in inputs if type(i) is not tuple])
    else:
        run_entry(plan, outputs, inputs)


class _Compiler:
    """Compiles traces on a thread of its own."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A fresh start without a thread: at first, and in a child after fork."""
        self._jobs: queue.SimpleQueue[tuple[Known, Trace] | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, known: Known, trace: Trace, wait: bool) -> None:
        if wait:
            start = time.perf_counter()
            _compile(known, trace)
            counts.waiting_seconds += time.perf_counter() - start
            return
        self._jobs.put((known, trace))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="rushlight compiler", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, threading.Event):
                job.set()
            else:
                known, trace = job
                trace.give_way = _rests()
                _compile(known, trace)

    def finish(self) -> None:
        """Wait until all that has been asked for is compiled."""
        if self._thread is not None:
            done = threading.Event()
            self._jobs.put(done)
            done.wait()


def _rests() -> Callable[[], None]:
    """Lets other threads have the interpreter soon, which otherwise each of their native calls would lose for five milliseconds."""
    last = time.perf_counter()

    def rest() -> None:
        nonlocal last
        if time.perf_counter() - last > _BUSY_SECONDS:
            time.sleep(_REST_SECONDS)
            last = time.perf_counter()

    return rest


def _compile(known: Known, trace: Trace) -> None:
    start = time.perf_counter()
    try:
        compiled = compile_trace(trace)
    except Exception:
        counts.failures.append(traceback.format_exc())
        known.finished = True
        return
    finally:
        counts.compile_seconds += time.perf_counter() - start
    counts.traces_compiled += 1
    while when_compiled:
        when_compiled.pop()()
    if compiled.native:
        known.compiled = compiled
    known.finished = True


_compiler = _Compiler()
#: Wait until all that has been asked for is compiled.
finish_compiling = _compiler.finish

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compiler.restart)
