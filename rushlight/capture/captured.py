"""One recording of a function, and its replay as one entry on the tape.

While a function is recorded it runs as always. What it put on the tape becomes a `Routine` over its *sources*: the tensors
that it can reach, as the guards found them, and those in the state of its optimizers. A replay runs that one entry over the
sources as they are then, makes the outputs, and does again what else the function did: gradients given to leaves, writes
counted, steps of optimizers noted.

Where no gradient can follow, a replay runs at once (`tape.run_directly`). Where an output requires grad, the backward pass from
the outputs to the sources is recorded too and taken off the tape again, a second routine that the outputs' one node runs
(backward.py).

A recording is refused when a replay could differ: a value was read, a tensor came from elsewhere, Python state has changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

from .. import tape
from ..autograd.routine_node import RoutineNode
from ..engine.routine import NotARoutine, Region, Routine, expanded, routine_of
from ..graph import AccumulateGrad, edge_of, grad_state, make_tensor, refresh_view, set_history
from ..ops.card import flush_if_shared, make_view
from ..optim.replayed_step import ReplayedStep, is_settled
from ..storage import Storage, TensorBase
from ..tensor import Tensor
from ..utils._pytree import LeafSpec, tree_flatten, tree_unflatten
from .again import Again, Settling
from .at_once import Straight
from .backward import Backward
from .guards import Guards
from .operands import Operands
from .quick import picker
from .recorder import Before, Recorder, Refused, Stale, regions_of

#: What a function may return beside tensors, in any tree of containers.
_CONSTANTS = (int, float, complex, bool, str, bytes, type(None))


def runs_as_it_is() -> bool:
    """Whether calls are neither recorded nor replayed now: something watches what is called, or nothing is deferred."""
    modes = grad_state.__dict__
    state = tape.state
    return state.immediate or state.capturing is not None or modes["tracer"] is not None or modes["anomaly"] or modes["saved_hooks"]


class Captured:
    """A function as recorded under some guards."""

    def __init__(self, guards: Guards, recorder: Recorder, before: Sequence[Before], result: Any) -> None:
        self.guards = guards
        sources: Sequence[Any] = guards.tensors
        self._check_sources(sources, before)
        fresh = self._results(result, sources)
        source_storages = {was.region[0] for was in before}
        roots = [t for t in fresh if t._node is not None]
        if any(t._storage in source_storages for t in roots):
            raise Refused("a view of an argument is returned that requires grad")
        self.root_layouts = tuple([t._layout for t in roots])
        self.targets, self.roots = [n for n, t in enumerate(sources) if t._requires_grad], len(roots)
        recorded, steps = recorder.entries()
        entries = expanded(recorded)[0]
        self.backward = Backward(roots, self.targets, sources, recorder) if roots else None
        # What is wanted of the routine: gradients for leaves, tensors to be returned, what the backward pass reads.
        wanted: list[Region] = []
        self.grads: list[tuple[int, int | None]] = []  # a source, and a position in `wanted`
        for n, (t, was) in enumerate(zip(sources, before, strict=True)):
            if t._node is None and t._grad is not was.grad:
                if AccumulateGrad.is_watched(t):
                    raise Refused("a parameter has hooks")
                self.grads.append((n, None if t._grad is None else len(wanted)))
                if t._grad is not None:
                    wanted.append((t._grad._storage, t._grad._offset, t._grad._layout))
        self.first, self.count = len(wanted), len(fresh)
        wanted += [(t._storage, t._offset, t._layout) for t in fresh]
        self.kept = len(wanted)
        wanted += self.backward.kept if self.backward is not None else []
        touched = {storage for storage, _, _ in (*regions_of(entries), *wanted)}
        touched.update(a._storage for _, arguments in recorder.checks for a in arguments if isinstance(a, TensorBase))
        self.operands = Operands(before, touched, [t for _, step in steps for t in step.tensors()])
        regions = self.operands.recorded
        self.routine, self.places = routine_of("compiled", entries, regions, wanted, writes=True)
        self._note_places(guards)
        self._note_steps(recorder, recorded, entries, steps, regions)
        bases = {was.region[0]: n for n, was in enumerate(before)}
        self.views = {self.first + n: bases[t._storage] for n, t in enumerate(fresh) if t._storage in bases}
        written = {was.region[0]: t._storage.version - was.version for t, was in zip(sources, before, strict=True)}
        self.written = [(bases[storage], advance) for storage, advance in written.items() if advance]
        self._keep_checks(recorder, regions)
        self.settling, self.straight = Settling(), Straight()

    @staticmethod
    def _check_sources(sources: Sequence[Any], before: Sequence[Before]) -> None:
        for t, was in zip(sources, before, strict=True):
            if (t._storage, t._offset, t._layout) != was.region:
                raise Refused("a tensor has been given other data")
            if t._node is not was.node or t._requires_grad != was.requires_grad:
                raise Refused("a tensor has been written in place under autograd, or made to require grad")

    def _results(self, result: Any, sources: Sequence[Any]) -> list[Any]:
        """Note what is returned: sources, fresh tensors, constants. Answers the fresh ones, those that require grad in front."""
        leaves, self.tree = tree_flatten(result)
        number_of = {id(t): n for n, t in enumerate(sources)}
        fresh: list[Any] = list({id(t): t for t in leaves if isinstance(t, TensorBase) and id(t) not in number_of}.values())
        for t in fresh:
            refresh_view(t)  # a write elsewhere may have given it a history
            if t._requires_grad and t._node is None:
                raise Refused("a leaf that the function has made is returned")
        fresh.sort(key=lambda t: t._node is None)
        position = {id(t): n for n, t in enumerate(fresh)}
        self.results: list[tuple[str, Any]] = []
        for leaf in leaves:
            if not isinstance(leaf, TensorBase):
                if not isinstance(leaf, _CONSTANTS):
                    raise Refused(f"a {type(leaf).__name__} is returned")
                self.results.append(("constant", leaf))
            elif id(leaf) in number_of:
                self.results.append(("source", number_of[id(leaf)]))
            else:
                self.results.append(("fresh", position[id(leaf)]))
        return fresh

    def _note_places(self, guards: Guards) -> None:
        """How what is wanted is found among operands and outputs, and which leaf each output is the gradient of, and nothing else."""
        first = len(self.routine.operands)
        if self.places and max(self.places) < first + len(self.routine.outputs):
            self.pick: Callable[[Sequence[Any]], Sequence[Region]] = picker(self.places)
        else:
            self.pick = functools.partial(_regions_at, self.routine, self.places)
        leaf_of = {self.places[at] - first: n for n, at in self.grads if at is not None and self.places.count(self.places[at]) == 1}
        self.leaves = [leaf_of.get(n) for n in range(len(self.routine.outputs))] if leaf_of else []
        # The leaf, a variable, the argument of `getrefcount`; and the sources, where gradients are among them.
        self.held_gradient = 3 + guards.named.gradients

    def _note_steps(self, recorder: Recorder, recorded: Sequence[tape.Entry], entries: Sequence[tape.Entry], steps: Sequence[Any], regions: Sequence[Region]) -> None:
        """Where the numbers of optimizers' steps stand among the routine's, and what the steps write that is no source."""
        self.steps: list[tuple[ReplayedStep, int, int]] = []
        self.optimizers = [] if steps else [step.optimizer for step in recorder.steps]  # that step anew at each replay
        self.settled = all(map(is_settled, self.optimizers))
        begins = []  # how many numbers stand before an entry's
        count = 0
        for _, _, inputs, _ in entries:
            begins.append(count)
            count += sum(type(operand) is not tuple for operand in inputs)
        begins.append(count)
        at = {id(entry): n for n, entry in enumerate(entries)}
        held = {t._storage: t for t in self.operands.held}
        self.held_written: list[Any] = []
        for step, its in steps:
            mine = [at[id(entry)] for entry in recorded[step.begin : step.end]]
            self.steps.append((its, begins[mine[0]], begins[mine[-1] + 1]))
            self.held_written += [held[o[0]] for n in mine for o in entries[n][1] if o[0] in held]

    def _keep_checks(self, recorder: Recorder, regions: Sequence[Region]) -> None:
        self.checks: list[tuple[Callable[..., None], list[Any]]] = []
        operand_of = {storage: n for n, (storage, _, _) in reversed(list(enumerate(regions)))}
        for function, arguments in recorder.checks:
            kept = []
            for argument in arguments:
                if isinstance(argument, TensorBase):
                    operand = operand_of.get(argument._storage)
                    if operand is None:
                        raise Refused("values are checked that the function has computed")
                    kept.append((operand, argument._offset - regions[operand][1], argument._layout))
                else:
                    kept.append(argument)
            self.checks.append((function, kept))

    def has_effects(self) -> bool:
        """Whether a replay does more than to make tensors of their own, for outputs that require grad."""
        return self.backward is None or bool(self.views or self.grads or self.written or self.steps or self.optimizers or self.checks or self.operands.held)

    def replay(self, sources: Sequence[Any], again: Again | None = None) -> Any:
        """The function's result and effects, with what the guards have found. Raises `Refused`, before anything is done, where tensors lie otherwise.

        again: the operands, where they are known already.
        """
        if not self.settled and all(map(is_settled, self.optimizers)):
            raise Stale("an optimizer has taken its first step")
        regions, special = self.operands.find(sources, self.guards.quick) if again is None else (again.regions, 0)
        if AccumulateGrad.in_use and any(AccumulateGrad.is_watched(sources[n]) for n, _ in self.grads):
            raise Refused("a parameter has hooks")
        routine = self.routine
        numbers: Sequence[Any] = routine.numbers
        if self.steps:
            numbers = list(numbers)
            for step, begin, end in self.steps:
                found = step.numbers()
                if found is None:
                    raise Stale("an optimizer would step in another way")
                numbers[begin:end] = found
        for function, arguments in self.checks:
            function(*[_view(regions, a) if type(a) is tuple else a for a in arguments])
        outputs = again.run(numbers) if again is not None else None
        if outputs is None:
            again, outputs = None, self._run(sources, regions, numbers) if routine.steps else ()
        operands = (*regions, *numbers, *outputs)
        for n, advance in self.written:
            sources[n]._storage.version += advance
        for tensor in self.held_written:
            tensor._storage.version += 1
        for step, _, _ in self.steps:
            step.done()
        wanted = self.pick(operands)
        fresh = self._make_results(sources, wanted)
        if again is None:
            self._give_gradients(sources, wanted)
        if special:
            flush_if_shared([*sources, *self.operands.held])
        for optimizer in self.optimizers:
            optimizer.step()
        if self.steps:
            tape.step_boundary()
        values = [fresh[value] if kind == "fresh" else sources[value] if kind == "source" else value for kind, value in self.results]
        return values[0] if isinstance(self.tree, LeafSpec) else tree_unflatten(values, self.tree)

    def _run(self, sources: Sequence[Any], regions: Sequence[Region], numbers: Sequence[Any]) -> Sequence[Region]:
        """Run the routine, or record it. Answers the outputs."""
        routine = self.routine
        if self.backward is None and tape.runs_directly(routine):
            outputs = self._outputs(sources) if self.leaves else routine.fresh_outputs()
            if tape.run_directly(routine, regions, numbers, outputs):
                return outputs
        outputs = routine.fresh_outputs()
        tape.record_routine(routine, outputs, (*regions, *numbers), alone=self.backward is None)
        return outputs

    def _outputs(self, sources: Sequence[Any]) -> Sequence[Region]:
        """Regions for the outputs. A gradient that only its leaf holds gives its storage to the one that is to replace it."""
        outputs = []
        for leaf, (nbytes, offset, layout) in zip(self.leaves, self.routine.outputs, strict=True):
            if leaf is not None:
                grad = sources[leaf]._grad
                if (
                    type(grad) is Tensor and grad._layout is layout and grad._offset == offset and getrefcount(grad) == self.held_gradient
                    and grad._storage.is_unseen(1) and grad._node is None and not grad._requires_grad and grad._base is None and not grad.__dict__
                ):  # fmt: skip
                    outputs.append((grad._storage, offset, layout))
                    continue
            outputs.append((Storage(nbytes), offset, layout))
        return outputs

    def _make_results(self, sources: Sequence[Any], wanted: Sequence[Region]) -> list[Tensor]:
        """The tensors that the function has made, with their history."""
        fresh: list[Tensor] = []
        for at in range(self.first, self.first + self.count):
            storage, offset, layout = wanted[at]
            base = self.views.get(at)
            fresh.append(make_tensor(storage, offset, layout) if base is None else make_view(sources[base], layout, offset))
        if self.backward is not None:
            kept = [(storage, offset, layout) for storage, offset, layout in wanted[self.kept : len(self.places)]]  # beside the entry's
            node = RoutineNode([edge_of(sources[n]) for n in self.targets], self.root_layouts, self.backward.gradient, kept)
            for n, root in enumerate(fresh[: self.roots]):
                set_history(root, node, n)
        return fresh

    def _give_gradients(self, sources: Sequence[Any], wanted: Sequence[Region]) -> None:
        """Leaves hold the gradients that the function has given them, or have let them go."""
        for n, at_grad in self.grads:
            if at_grad is None:
                sources[n]._grad = None
                continue
            grad = sources[n]._grad
            if grad is None or grad._storage is not wanted[at_grad][0]:
                sources[n]._grad = make_tensor(*wanted[at_grad])


def _regions_at(routine: Routine, places: Sequence[int], operands: Sequence[Any]) -> Sequence[Region]:
    return [routine.region(place, operands) for place in places]


def _view(regions: Sequence[Region], place: tuple[int, int, Any]) -> Tensor:
    operand, distance, layout = place
    storage, offset, _ = regions[operand]
    return make_tensor(storage, offset + distance, layout)


def _about_gradients(difference: str) -> bool:
    """Whether a difference is that a leaf has another gradient, which a replay gives it too."""
    return difference.partition(":")[0].endswith(".grad")


def record(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], guards: Guards, position: tape.Position) -> tuple[Any, Captured | str]:
    """Run the function on the tape, on which nothing is pending. Answers its result and the recording, or why there is none."""
    before = [Before(t) for t in guards.tensors]
    recorder = Recorder(position)
    with recorder:
        result = function(*args, **kwargs)
        try:
            changed = [difference for difference in guards.differences(args, kwargs) if not _about_gradients(difference)]
            if recorder.refusal is not None:
                raise Refused(recorder.refusal)
            if changed:
                raise Refused(f"the function changes {changed[0]}")
            found: Captured | str = Captured(guards, recorder, before, result)
            if recorder.refusal is not None:
                raise Refused(recorder.refusal)
        except (Refused, NotARoutine) as reason:
            found = str(reason)
    if recorder.steps:
        tape.step_boundary()
    return result, found
