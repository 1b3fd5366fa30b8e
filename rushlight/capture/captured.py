"""One recording of a function, and its replay as one entry on the tape.

While a function is recorded it runs as always. What it put on the tape becomes a `Routine` over its *sources*: the tensors
that it can reach, as the guards found them. A replay records that one entry over the sources as they are then, makes the
outputs, and does again what else the function did: gradients given to leaves, writes counted, optimizers stepped.

Where an output requires grad, the backward pass from the outputs to the sources is recorded too and taken off the tape
again. It is a second routine, which the outputs' one node runs (`RoutineNode`).

A recording is refused when a replay could differ: a value was read, a tensor came from elsewhere, Python state has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from .. import tape
from ..autograd import run_backward
from ..engine.routine import NotARoutine, Region, expanded, routine_of
from ..graph import FREED, AccumulateGrad, Node, edge_of, grad_state, make_tensor, refresh_view, sequence, set_history
from ..ops.card import flush_if_shared, make_view
from ..ops.creation import filled
from ..shape import contiguous
from ..storage import ON_META, Storage, TensorBase
from ..tensor import Tensor
from ..utils._pytree import LeafSpec, tree_flatten, tree_unflatten
from .guards import Guards

#: What a function may return beside tensors, in any tree of containers.
_CONSTANTS = (int, float, complex, bool, str, bytes, type(None))


class Refused(Exception):
    """Why a recording cannot be replayed."""


class Recorder:
    """Watches the tape while a function is recorded on this thread. `tape.state.capturing` is the one that is at work."""

    def __init__(self, position: tape.Position) -> None:
        # A tuple of its own, by which its entries are known from those of other threads.
        self.position: tape.Position = position and (position[0], position[1])
        self.thread = threading.get_ident()
        self.flushes = sum(tape.flushes.values())
        self.first_node = next(sequence)
        self.refusal: str | None = None
        self.checks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.steps: list[Any] = []  # optimizers, in the order of their steps
        self.stepped_at = 0  # entries before the first step
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
        """Let an optimizer take its step, which a replay lets it do anew: its numbers change from step to step."""
        if args or kwargs:
            self.refuse("an optimizer's step is given arguments")
        if not self.steps:
            self.stepped_at = len(tape.pending)
        self.steps.append(optimizer)
        self.stepping, tape.thread.position = True, None
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            self.stepping, tape.thread.position = False, self.position

    def entries(self) -> list[tape.Entry]:
        """What the function has recorded, before the first optimizer's step."""
        if sum(tape.flushes.values()) != self.flushes:
            raise Refused("the tape was flushed")
        end = self.stepped_at if self.steps else None
        found = list(islice(tape.pending, end))
        if any(entry[3] is not self.position for entry in found):
            raise Refused("other work was recorded at the same time")
        if self.steps and any(entry[3] is self.position for entry in islice(tape.pending, end, None)):
            raise Refused("there is work behind an optimizer's step")
        return expanded(found)[0]


class RoutineNode(Node):
    """The gradient of a replayed function: another routine, from gradients of its outputs to those of its sources."""

    __slots__ = ("backward_routine", "saved", "versions", "places", "fresh_gradients")

    def __init__(self, edges: Sequence[Any], layouts: Any, backward: Backward, saved: list[Region]) -> None:
        Node.__init__(self, edges, layouts)
        self.fresh_gradients = backward.fresh
        self.backward_routine, self.places = backward.routine, backward.places
        self.saved: list[Region] | None = saved
        self.versions = [region[0].version for region in saved]

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        if grad_state.enabled:
            raise RuntimeError("torch.compile does not support double backward: call the function itself where gradients are differentiated in turn")
        if self.saved is None:
            raise RuntimeError(FREED)
        if [region[0].version for region in self.saved] != self.versions:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation, "
                "between a compiled function and its backward pass"
            )
        given: list[Region] = []
        for grad, layout in zip(grads, self.layouts, strict=True):
            tensor: Any = filled(contiguous(layout.shape, layout.dtype), 0) if grad is None else grad.contiguous()
            given.append((tensor._storage, tensor._offset, contiguous(layout.shape, layout.dtype)))
        routine = self.backward_routine
        outputs = routine.fresh_outputs()
        inputs = (*given, *self.saved, *routine.numbers)
        tape.record(routine, outputs, inputs)
        operands = (*inputs, *outputs)
        return [None if place is None else make_tensor(*routine.region(place, operands)) for place in self.places]

    def release(self) -> None:
        self.saved = None


class Backward:
    """The backward pass of a recording: a routine over the outputs' gradients and what the forward one keeps for it."""

    def __init__(self, roots: Sequence[TensorBase], targets: Sequence[int], sources: Sequence[TensorBase], recorder: Recorder) -> None:
        fakes: list[Any] = []
        for root in roots:
            layout = contiguous(root._layout.shape, root._layout.dtype)
            fakes.append(make_tensor(Storage(layout.nbytes), 0, layout))
        begin = len(tape.pending)
        edges = [edge_of(sources[n]) for n in targets]
        # What was there before the function ran has nodes of its own, which run behind this one's.
        try:
            grads = run_backward(roots, fakes, True, False, edges, accumulate=False, since=recorder.first_node)
        except RuntimeError as error:  # there is no way back, as the function's own backward pass would say
            raise Refused(str(error)) from None
        entries = list(islice(tape.pending, begin, None))
        if recorder.refusal is not None or any(entry[3] is not recorder.position for entry in entries):
            raise Refused(recorder.refusal or "other work was recorded at the same time")
        for entry in entries:
            tape.pending.pop()
            tape.state.owed -= entry[0].nbytes
        entries = expanded(entries)[0]
        made = {storage for _, outputs, _, _ in entries for storage, _, _ in outputs}
        given = [(fake._storage, 0, fake._layout) for fake in fakes]
        kept = dict.fromkeys(o for _, _, inputs, _ in entries for o in inputs if type(o) is tuple and o[0] not in made)
        wanted = [(g._storage, g._offset, g._layout) for g in grads if g is not None]
        kept |= dict.fromkeys(region for region in wanted if region[0] not in made)
        of_outputs = {region[0] for region in given}
        self.kept = [region for region in kept if region[0] not in of_outputs]
        self.routine, places = routine_of("compiled backward", entries, [*given, *self.kept], wanted)
        self.fresh = all(0 <= place - len(self.routine.operands) < len(self.routine.outputs) for place in places)
        at = iter(places)
        self.places = [None if g is None else next(at) for g in grads]


class Captured:
    """A function as recorded under some guards."""

    def __init__(self, guards: Guards, recorder: Recorder, before: Sequence[Before], result: Any) -> None:
        self.guards = guards
        self.checks: list[tuple[Callable[..., None], list[Any]]] = []
        self.optimizers = recorder.steps
        sources: Sequence[Any] = guards.tensors
        self.operands: list[int] = []  # the sources whose regions are the routine's
        self.same: list[tuple[int, int]] = []  # a source, and the operand that has the same region
        regions: dict[Region, int] = {}
        for n, was in enumerate(before):
            if was.region in regions:
                self.same.append((n, regions[was.region]))
            else:
                regions[was.region] = len(self.operands)
                self.operands.append(n)
        self._note_sharing(list(regions))
        leaves, self.tree = tree_flatten(result)
        self._check_sources(sources, before)
        values = [leaf for leaf in leaves if isinstance(leaf, TensorBase)]
        number_of = {id(t): n for n, t in enumerate(sources)}
        fresh: list[Any] = list({id(t): t for t in values if id(t) not in number_of}.values())
        source_storages = {was.region[0] for was in before}
        for t in fresh:
            refresh_view(t)  # a write elsewhere may have given it a history
            if t._requires_grad and t._node is None:
                raise Refused("a leaf that the function has made is returned")
        roots = [t for t in fresh if t._node is not None]
        if any(t._storage in source_storages for t in roots):
            raise Refused("a view of an argument is returned that requires grad")
        targets = [n for n, t in enumerate(sources) if t._requires_grad]
        entries = recorder.entries()
        self.backward = Backward(roots, targets, sources, recorder) if roots else None
        self.targets, self.roots = targets, len(roots)
        # Gradients that leaves have been given.
        self.grads: list[tuple[int, int | None]] = []  # a source, and a position in `wanted`
        wanted: list[Region] = []
        for n, (t, was) in enumerate(zip(sources, before, strict=True)):
            if t._node is None and t._grad is not was.grad:
                if AccumulateGrad.is_watched(t):
                    raise Refused("a parameter has hooks")
                self.grads.append((n, None if t._grad is None else len(wanted)))
                if t._grad is not None:
                    wanted.append((t._grad._storage, t._grad._offset, t._grad._layout))
        ordered = [*roots, *(t for t in fresh if t._node is None)]
        first = len(wanted)
        wanted += [(t._storage, t._offset, t._layout) for t in ordered]
        self.kept = len(wanted)
        wanted += self.backward.kept if self.backward is not None else []
        self.routine, self.places = routine_of("compiled", entries, list(regions), wanted, writes=True)
        # The results: sources, fresh tensors by their position in `wanted`, constants.
        position = {id(t): first + n for n, t in enumerate(ordered)}
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
        bases = {was.region[0]: n for n, was in enumerate(before)}
        self.views = {position[id(t)]: bases[t._storage] for t in ordered if t._storage in bases}
        self.first, self.count = first, len(ordered)
        written = {was.region[0]: t._storage.version - was.version for t, was in zip(sources, before, strict=True)}
        self.written = [(bases[storage], advance) for storage, advance in written.items() if advance]
        self._keep_checks(recorder, list(regions))

    def _note_sharing(self, regions: Sequence[Region]) -> None:
        """How operands over one storage lie to each other."""
        begins: dict[Storage, int] = {}
        self.shared: list[tuple[int, int, int]] = []
        for n, (storage, offset, _) in enumerate(regions):
            if storage.special == ON_META:
                raise Refused("a tensor on the meta device")
            other = begins.setdefault(storage, n)
            if other != n:
                self.shared.append((n, other, offset - regions[other][1]))
        self.storages = len(begins)

    def _check_sources(self, sources: Sequence[Any], before: Sequence[Before]) -> None:
        for t, was in zip(sources, before, strict=True):
            if (t._storage, t._offset, t._layout) != was.region:
                raise Refused("a tensor has been given other data")
            if t._node is not was.node or t._requires_grad != was.requires_grad:
                raise Refused("a tensor has been written in place under autograd, or made to require grad")

    def _keep_checks(self, recorder: Recorder, regions: Sequence[Region]) -> None:
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

    def replay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's result and effects. `guards` have just held. Raises `Refused`, before anything is done, where tensors lie otherwise."""
        sources: Sequence[Any] = self.guards.sources(args, kwargs)
        regions: list[Region] = [((t := sources[n])._storage, t._offset, t._layout) for n in self.operands]
        storages = {region[0] for region in regions}
        if len(storages) != self.storages:
            raise Refused("tensors share memory that did not, or do not any more")
        for n, other, distance in self.shared:
            if regions[n][0] is not regions[other][0] or regions[n][1] - regions[other][1] != distance:
                raise Refused("tensors over one storage lie otherwise to each other")
        for n, operand in self.same:
            t = sources[n]
            if (t._storage, t._offset, t._layout) != regions[operand]:
                raise Refused("tensors that were one region are not any more")
        special = max([storage.special for storage in storages], default=0)
        if special == ON_META:
            raise Refused("a tensor on the meta device")
        if AccumulateGrad.in_use and any(AccumulateGrad.is_watched(sources[n]) for n, _ in self.grads):
            raise Refused("a parameter has hooks")
        for function, arguments in self.checks:
            function(*[_view(regions, a) if type(a) is tuple else a for a in arguments])
        routine = self.routine
        outputs = routine.fresh_outputs()
        inputs = (*regions, *routine.numbers)
        if routine.steps:
            tape.record(routine, outputs, inputs)
        for n, advance in self.written:
            sources[n]._storage.version += advance
        operands = (*inputs, *outputs)
        region, places = routine.region, self.places
        fresh: dict[int, Any] = {}
        for at in range(self.first, self.first + self.count):
            storage, offset, layout = region(places[at], operands)
            base = self.views.get(at)
            fresh[at] = make_tensor(storage, offset, layout) if base is None else make_view(sources[base], layout, offset)
        if self.backward is not None:
            roots = [fresh[self.first + n] for n in range(self.roots)]
            saved = [region(place, operands) for place in places[self.kept :]]
            node = RoutineNode([edge_of(sources[n]) for n in self.targets], tuple([t._layout for t in roots]), self.backward, saved)
            for n, root in enumerate(roots):
                set_history(root, node, n)
        for n, at_grad in self.grads:
            sources[n]._grad = None if at_grad is None else make_tensor(*region(places[at_grad], operands))
        if special:
            flush_if_shared(sources)
        for optimizer in self.optimizers:
            optimizer.step()
        values = [fresh[value] if kind == "fresh" else sources[value] if kind == "source" else value for kind, value in self.results]
        return values[0] if isinstance(self.tree, LeafSpec) else tree_unflatten(values, self.tree)


def _view(regions: Sequence[Region], place: tuple[int, int, Any]) -> Tensor:
    operand, distance, layout = place
    storage, offset, _ = regions[operand]
    return make_tensor(storage, offset + distance, layout)


class Before:
    """A source as it was before the function ran."""

    __slots__ = ("region", "version", "node", "requires_grad", "grad")

    def __init__(self, tensor: Any) -> None:
        self.region: Region = (tensor._storage, tensor._offset, tensor._layout)
        self.version = tensor._storage.version
        self.node, self.requires_grad = tensor._node, tensor._requires_grad
        self.grad = tensor._grad


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
