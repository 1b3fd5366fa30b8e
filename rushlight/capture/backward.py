"""The way back from a replayed function: its backward pass, recorded with it, as the routine of one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tape
from ..autograd import run_backward
from ..autograd.routine_node import RoutineGradient
from ..engine.routine import expanded, routine_of
from ..graph import edge_of, make_tensor
from ..shape import contiguous
from ..storage import Storage, TensorBase
from .recorder import Recorder, Refused


class Backward:
    """The backward pass of a recording: a routine over the outputs' gradients and what the forward pass has kept for it, `kept`."""

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
        routine, places = routine_of("compiled backward", entries, [*given, *self.kept], wanted)
        fresh = all(0 <= place - len(routine.operands) < len(routine.outputs) for place in places)
        at = iter(places)
        self.gradient = RoutineGradient(routine, tuple([None if g is None else next(at) for g in grads]), fresh)
