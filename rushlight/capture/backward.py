"""The way back from a replayed function: its backward pass, recorded with it, as one node's routine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tape
from ..autograd import run_backward
from ..engine.routine import Region, expanded, routine_of
from ..graph import FREED, Node, edge_of, grad_state, make_tensor
from ..ops.creation import filled
from ..shape import contiguous
from ..storage import Storage, TensorBase
from ..tensor import Tensor
from .recorder import Recorder, Refused


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
        entries = expanded(recorder.taken_off(begin))[0]
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
