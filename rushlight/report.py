"""`rushlight.report()`: what the tape has done in this process so far."""

from __future__ import annotations

from dataclasses import dataclass

from . import config, tape
from .buffers import cache
from .ops.card import plan_count


@dataclass(frozen=True)
class Report:
    """Counts since the process started; prints as a short table."""

    mode: str
    pending: int  #: entries recorded and not run
    run: int  #: entries run
    seconds: float  #: spent running them
    plans: int  #: different (op, layouts, static arguments) seen, each inferred once
    flushes: dict[str, int]  #: how often the tape ran, by cause
    memory: int  #: bytes of buffers in use, those of a kilobyte or less and what NumPy allocated not counted
    peak_memory: int  #: the most that were in use at a time
    idle_memory: int  #: bytes kept to be used again

    def __str__(self) -> str:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(self.flushes.items(), key=lambda item: -item[1]))
        each = f", {self.seconds / self.run * 1e6:.1f} us each" if self.run else ""
        return (
            f"mode      {self.mode}\n"
            f"ops       {self.run} run in {self.seconds:.3f} s{each}; {self.pending} pending\n"
            f"plans     {self.plans}\n"
            f"flushes   {sum(self.flushes.values())}{': ' + causes if causes else ''}\n"
            f"memory    {self.memory / 1e6:.1f} MB in use, {self.peak_memory / 1e6:.1f} at most, {self.idle_memory / 1e6:.1f} idle"
        )


def report() -> Report:
    """What the tape has done so far.

    >>> (torch.ones(2) + 1).sum().item()
    4.0
    >>> torch.report().run > 0
    True
    """
    mode = "immediate" if tape.state.immediate else config.MODE
    return Report(mode, len(tape.pending), tape.state.run, tape.state.seconds, plan_count(), dict(tape.flushes), cache.live, cache.peak, cache.idle)
