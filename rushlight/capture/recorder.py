"""What watches the tape while a function is recorded, and what its sources were before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .. import tape
from ..engine.routine import Region
from ..graph import sequence
from ..optim.replayed_step import ReplayedStep, replayed_step


class Refused(Exception):
    """Why a recording cannot be replayed."""


class Stale(Refused):
    """A recording that will not fit again: an optimizer steps in another way."""


class Before:
    """A source as it was before the function ran."""

    __slots__ = ("region", "version", "node", "requires_grad", "grad")

    def __init__(self, tensor: Any) -> None:
        self.region: Region = (tensor._storage, tensor._offset, tensor._layout)
        self.version = tensor._storage.version
        self.node, self.requires_grad = tensor._node, tensor._requires_grad
        self.grad = tensor._grad


class Step(NamedTuple):
    """An optimizer's step: its entries are those from `begin` to `end`."""

    optimizer: Any
    begin: int
    end: int


class Recorder:
    """Watches the tape while a function is recorded on this thread. `tape.state.capturing` is the one that is at work."""

    def __init__(self, position: tape.Position) -> None:
        # A tuple of its own, by which its entries are known from those of other threads.
        self.position: tape.Position = position and (position[0], position[1])
        self.thread = threading.get_ident()
        self.flushes = tape.flush_count()
        self.first_node = next(sequence)
        self.refusal: str | None = None
        self.checks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.steps: list[Step] = []
        self.stepping = False  # whether an optimizer is in its step
        self._reading = False

    def __enter__(self) -> Recorder:
        self.outer = tape.thread.position
        tape.thread.position = self.position
        tape.state.capturing = self
        return self

    def __exit__(self, *_: object) -> None:
        tape.state.capturing = None
        tape.thread.position = self.outer

    def mine(self) -> bool:
        return threading.get_ident() == self.thread

    def refuse(self, why: str) -> None:
        if self.refusal is None and self.mine():
            self.refusal = f"{why} at {tape.where(tape.user_position(3))}"

    def observed(self) -> None:
        """A tensor's bytes are read."""
        if not self._reading and not self.stepping:
            self.refuse("a value is read")

    def check(self, function: Callable[..., None], *arguments: Any) -> None:
        """``function(*arguments)`` looks at values and raises or not: a replay looks again."""
        before, self._reading = self._reading, True
        try:
            function(*arguments)
        finally:
            self._reading = before
        self.checks.append((function, arguments))

    def step(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let an optimizer take its step."""
        if args or kwargs:
            self.refuse("an optimizer's step is given arguments")
        begin, self.stepping = len(tape.pending), True
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            self.stepping = False
            self.steps.append(Step(optimizer, begin, len(tape.pending)))

    def entries(self) -> tuple[list[tape.Entry], list[tuple[Step, ReplayedStep]]]:
        """What the function has recorded, and the optimizers' steps in it.

        Where a step cannot be part of a routine, there are none, and only what was recorded before the first: a replay then lets
        the optimizers take their steps anew.
        """
        if tape.flush_count() != self.flushes:
            raise Refused("the tape was flushed")
        found = list(tape.pending)
        if any(entry[3] is not self.position for entry in found):
            raise Refused("other work was recorded at the same time")
        replayed = [(step, replayed_step(step.optimizer, found[step.begin : step.end])) for step in self.steps]
        steps = [(step, its) for step, its in replayed if its is not None]
        if len(steps) == len(self.steps) == len({id(step.optimizer) for step in self.steps}):
            return found, steps
        end = self.steps[0].begin
        if sum(step.end - step.begin for step in self.steps) != len(found) - end:
            raise Refused("there is work behind an optimizer's step")
        return found[:end], []

    def taken_off(self, begin: int) -> list[tape.Entry]:
        """What has been recorded from `begin` on, which is not to run."""
        entries = list(islice(tape.pending, begin, None))
        if self.refusal is not None or any(entry[3] is not self.position for entry in entries):
            raise Refused(self.refusal or "other work was recorded at the same time")
        for entry in entries:
            tape.pending.pop()
            tape.state.owed -= entry[0].nbytes
        return entries


def regions_of(entries: Sequence[tape.Entry]) -> dict[Region, None]:
    """All regions that entries touch."""
    return dict.fromkeys(o for _, outputs, inputs, _ in entries for o in (*inputs, *outputs) if type(o) is tuple)
