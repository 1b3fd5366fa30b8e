"""`rushlight.report()`: what the tape and the engine have done in this process; `rushlight.explain()`: what they make of a function."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from . import config, tape
from .buffers import cache
from .engine import execute, llvm, show
from .ops.card import plan_count
from .recent import Recent


class Report(NamedTuple):
    """Counts since the process started; prints as a short table."""

    mode: str
    pending: int  #: entries recorded and not run
    run: int  #: entries run
    seconds: float  #: spent running them
    plans: int  #: different (op, layouts, static arguments) seen, each inferred once
    flushes: dict[str, int]  #: how often the tape ran, by cause

    recordings: int  #: functions recorded by `torch.compile` and passes of Sequential, once for each way they were called
    replays: int  #: of these

    traces: int  #: kinds of traces remembered
    traces_compiled: int  #: by now, those compiled for nothing or forgotten since among them
    compiled_runs: int  #: of the tape, as a compiled trace
    interpreted_runs: int  #: of the tape, entry by entry
    direct_runs: int  #: replays with nothing pending before them, each a native call of its own
    native_calls: int  #: each of any number of kernels
    kernels_compiled: int  #: made by LLVM
    kernels_loaded: int  #: found in the cache directory
    failures: tuple[str, ...]  #: tracebacks of the compiler's failures; such traces are run entry by entry

    lookup_seconds: float  #: scanning what is pending, to find its trace
    lookups: int  #: ops that were pending then
    packing_seconds: float  #: around native calls: allocating results, collecting arguments
    native_seconds: float  #: in native calls
    interpreted_seconds: float  #: entries run one by one, what of it was native or packing not counted
    releasing_seconds: float  #: giving back buffers that compiled runs no longer need
    waiting_seconds: float  #: compiling that the program waited for
    compile_seconds: float  #: compiling on whatever thread
    llvm_seconds: float  #: making kernels, of the seconds of compiling

    memory: int  #: bytes of buffers in use, those of a kilobyte or less and what NumPy allocated not counted
    peak_memory: int  #: the most that were in use at a time
    idle_memory: int  #: bytes kept to be used again

    @property
    def unaccounted_seconds(self) -> float:
        """Seconds of running the tape that are none of the others."""
        known = self.lookup_seconds, self.packing_seconds, self.native_seconds, self.releasing_seconds, self.interpreted_seconds, self.waiting_seconds
        return self.seconds - sum(known)

    def __str__(self) -> str:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(self.flushes.items(), key=lambda item: -item[1]))
        each = f", {self.seconds / self.run * 1e6:.1f} us each" if self.run else ""
        lookup = f" ({self.lookup_seconds / self.lookups * 1e6:.2f} us an op)" if self.lookups else ""
        native = f" ({self.native_seconds / self.native_calls * 1e6:.1f} us a call)" if self.native_calls else ""
        failures = "".join(f"\nfailure   {failure.strip().splitlines()[-1]}" for failure in self.failures)
        return (
            f"mode      {self.mode}\n"
            f"ops       {self.run} run in {self.seconds:.3f} s{each}; {self.pending} pending\n"
            f"plans     {self.plans}\n"
            f"flushes   {sum(self.flushes.values())}{': ' + causes if causes else ''}\n"
            f"captured  {self.recordings} recordings, {self.replays} replays\n"
            f"traces    {self.traces} known, {self.traces_compiled} compiled; runs: {self.compiled_runs} compiled, {self.interpreted_runs} interpreted, {self.direct_runs} direct\n"
            f"kernels   {self.kernels_compiled} compiled, {self.kernels_loaded} loaded; {self.compile_seconds:.3f} s compiling ({self.llvm_seconds:.3f} s LLVM)\n"
            f"native    {self.native_calls} calls in {self.native_seconds:.3f} s{native}, {self.packing_seconds:.3f} s packing, {self.releasing_seconds:.3f} s releasing\n"
            f"other     lookup {self.lookup_seconds:.3f} s{lookup}, interpreted {self.interpreted_seconds:.3f} s, "
            f"waiting {self.waiting_seconds:.3f} s, unaccounted {self.unaccounted_seconds:.3f} s\n"
            f"memory    {self.memory / 1e6:.1f} MB in use, {self.peak_memory / 1e6:.1f} at most, {self.idle_memory / 1e6:.1f} idle{failures}"
        )


def report() -> Report:
    """What the tape and the engine have done so far.

    >>> (torch.ones(2) + 1).sum().item()
    4.0
    >>> torch.report().run > 0
    True
    """
    counts = execute.counts
    return Report(
        mode="immediate" if tape.state.immediate else config.MODE,
        pending=len(tape.pending),
        run=tape.state.run,
        seconds=tape.state.seconds,
        plans=plan_count(),
        flushes=dict(tape.flushes),
        recordings=tape.state.recordings,
        replays=tape.state.replays,
        traces=execute.traces_known(),
        traces_compiled=counts.traces_compiled,
        compiled_runs=counts.compiled_runs,
        interpreted_runs=tape.flush_count() - counts.compiled_runs,
        direct_runs=counts.direct_runs,
        native_calls=counts.native_calls,
        kernels_compiled=llvm.counts.compiled,
        kernels_loaded=llvm.counts.loaded,
        failures=tuple(counts.failures),
        lookup_seconds=counts.lookup_seconds,
        lookups=counts.ops_looked_up,
        packing_seconds=counts.packing_seconds,
        native_seconds=counts.native_seconds,
        interpreted_seconds=counts.interpreted_seconds,
        releasing_seconds=counts.releasing_seconds,
        waiting_seconds=counts.waiting_seconds,
        compile_seconds=counts.compile_seconds,
        llvm_seconds=llvm.counts.seconds,
        memory=cache.live,
        peak_memory=cache.peak,
        idle_memory=cache.idle,
    )


def explain(function: Callable[..., Any], *args: Any, level: int = 3) -> str:
    """Run a function and say what the engine makes of it: its traces, from level 2 on their units, from level 3 their loops.

    The same as `RUSHLIGHT_DEBUG` prints, with everything compiled at once.

    >>> print(torch.explain(lambda x: (x - 1).exp().sum(1), torch.ones(3, 4), level=1).splitlines()[0])
    trace of 3 entries: 4 regions of 4 storages, 1 numbers
    """
    tape.flush()
    execute.finish_compiling()  # of other traces, which would be shown too
    texts: list[str] = []
    kept = config.DEBUG, config.HOT, show.out, tape.state.compile, tape.state.immediate
    traces = execute._traces, execute._parts, execute._patterns  # a trace that is known would not be shown
    config.DEBUG, config.HOT, show.out, tape.state.compile, tape.state.immediate = level, 0, texts.append, True, False
    execute._traces, execute._parts, execute._patterns = OrderedDict(), 0, Recent(1)
    try:
        result = function(*args)
        tape.flush()
        del result  # until now what it holds was wanted
    finally:
        config.DEBUG, config.HOT, show.out, tape.state.compile, tape.state.immediate = kept
        execute._traces, execute._parts, execute._patterns = traces
    return "\n".join(texts)
