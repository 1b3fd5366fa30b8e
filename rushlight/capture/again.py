"""The same call again: all tensors that a replay touches are those that the replay before it touched.

Training on one batch, or inference from a buffer that is written anew, calls a captured function with the same tensors each time, and the gradients that
it leaves behind are found by the next call in the same place. Then there is nothing to collect: where one look in machine code (engine/checks.py) finds
all that guards and operands have seen as it was, the routine runs over the operands that it had. What is new in each call are the numbers of
optimizers' steps, and the tensors that are returned.

All that a call looks at is held until a call looks at anything else, so this is for small tensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import call, is_
from typing import TYPE_CHECKING, Any

from .. import tape
from ..engine.checks import Checks, available
from ..engine.direct import BYTES_AT_MOST, Direct
from ..storage import Storage
from .attempts import Attempts
from .facts import current_modes

if TYPE_CHECKING:
    from .captured import Captured

#: Arguments that may have other contents the next time, though they are the same.
_CONTAINERS = (list, tuple, dict)
_SLOTS = ("_layout", "_requires_grad", "_node", "_base", "_storage", "_offset")


class Again:
    """The operands of one replay, and whether the next one has the same."""

    def __init__(self, captured: Captured, args: Sequence[Any], sources: list[Any]) -> None:
        guards = captured.guards
        self.args, self.modes, self.quick = args, guards.modes, guards.quick
        self.loose = guards.quick.loose
        self.found = list(map(call, self.loose))
        self.routine, self.sources = captured.routine, sources
        self.regions, _ = captured.operands.find(sources, self.quick)
        self.runs = 0
        self.outputs: list[Any] = [None] * len(self.routine.outputs)  # the memory of gradients, which the next ones are given
        self.checks = checks = Checks()
        for t in sources:
            checks.kind(t)
            for name in _SLOTS:
                checks.slot(t, name)
            checks.slot(t._storage, "special")
            for name in ("_grad", "_inference"):
                checks.entry(t.__dict__, name)
        for t in captured.operands.held:
            for name in ("_layout", "_storage", "_offset"):
                checks.slot(t, name)
            checks.slot(t._storage, "special")
        for n, leaf in enumerate(captured.leaves):
            if leaf is not None:
                self._gradient(n, sources[leaf]._grad)
        self.hold: Callable[[], bool] = self.checks.hold

    def _gradient(self, output: int, grad: Any) -> None:
        """A gradient that only its leaf holds, over bytes that nobody else has seen."""
        checks, storage = self.checks, grad._storage
        self.outputs[output] = (storage, grad._offset, grad._layout)
        checks.size(grad.__dict__)
        checks.slot(storage, "data")
        checks.slot(storage, "_lease")
        for its in (grad, storage, storage._lease[0], storage._lease[2]):
            checks.references(its)

    def holds(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call finds what this replay found."""
        try:
            return (
                len(args) == len(self.args) and all(map(is_, args, self.args)) and not kwargs and current_modes() == self.modes and tape.runs_directly(self.routine)
                and self.quick.unchanged() and all(map(is_, map(call, self.loose), self.found)) and self.hold()
            )  # fmt: skip
        except (KeyError, IndexError, AttributeError, ValueError, RuntimeError):
            return False

    def run(self, numbers: Sequence[Any]) -> Sequence[Any] | None:
        """Run the routine. Answers its outputs; None, with nothing done, where there is no memory for them."""
        self.runs += 1
        outputs = [mine or (Storage(nbytes), offset, layout) for mine, (nbytes, offset, layout) in zip(self.outputs, self.routine.outputs, strict=True)]
        return outputs if tape.run_directly(self.routine, self.regions, numbers, outputs) else None


class Settling:
    """Whether a recording's replays have come to find the same tensors, and if so what the next one is spared."""

    def __init__(self) -> None:
        self.again: Again | None = None
        self._attempts = Attempts()
        self._last: list[int] = []

    def found(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Again | None:
        """What there is for a call that finds all as it was. Otherwise it is let go, before anybody counts references."""
        if self.again is None or self.again.holds(args, kwargs):
            return self.again
        self._attempts.ended(self.again.runs)
        self.again = None
        return None

    def note(self, captured: Captured, args: Sequence[Any], kwargs: Mapping[str, Any], sources: list[Any]) -> None:
        """A replay has been done the usual way, over these sources."""
        if type(captured.routine.direct) is not Direct:
            return  # not compiled yet, or too much for a call of its own
        if self._attempts.wait():
            return
        ids = list(map(id, sources))
        if not self._last:
            self._last = ids
            return
        same, self._last = ids == self._last, []
        self._attempts.tried()
        if same and not kwargs and not any(isinstance(a, _CONTAINERS) for a in args) and _settled(captured, sources):
            again = Again(captured, args, sources)
            again.hold = again.checks.prepared()  # counts references: nothing here may have any
            self.again = again


def _settled(captured: Captured, sources: Sequence[Any]) -> bool:
    """Whether all that a replay looks at, which has just been done, is what `Again` looks at."""
    quick, operands = captured.guards.quick, captured.operands
    if not available() or not captured.guards.flat:
        return False
    if captured.checks or captured.optimizers or captured.views or quick.views or quick.others:
        return False
    leaves = {leaf for leaf in captured.leaves if leaf is not None}
    if leaves != {n for n, _ in captured.grads} or not {id(sources[n]._grad) for n in leaves} <= set(map(id, sources)):
        return False  # a gradient was not written where the one before it was
    if any(t._base is not None for t in sources) or any(t._storage.special for t in (*sources, *operands.held)):
        return False  # a view may have a history that it has not been asked for
    return sum(t._storage.nbytes for t in sources if id(t) not in quick.fixed_ids) <= BYTES_AT_MOST
