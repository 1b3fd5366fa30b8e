"""Forward passes of `nn.Sequential` without gradients, captured unasked once they recur.

Small models spend their time in Python: a layer's call, its op, the tape. Where all layers are this package's own, what they read
is known, so that no code need be watched, and the guards of `torch.compile` say when a pass would be another one. What is
not captured, for whatever reason, runs layer by layer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from .. import nn, tape
from ..shape import Layout
from ..tensor import Tensor
from .captured import Captured, Refused, record, runs_as_it_is
from .guards import Guards, Unsupported, Watch

if TYPE_CHECKING:
    from ..nn import Sequential

#: A pass over an input of this layout is captured when it comes for so many times.
CALLS = 3
#: Of one Sequential: recordings kept, and how often it is recorded in all.
KEPT, RECORDINGS_AT_MOST = 4, 16
#: Larger inputs spend their time elsewhere.
ELEMENTS_AT_MOST = 1 << 14

_NO_KWARGS: dict[str, Any] = {}


def call_in_turn(layers: Sequence[nn.Module], input: Any) -> Any:
    """Each layer on what the one before has given."""
    for layer in layers:
        input = layer(input)
    return input


class Passes:
    """What is known of the forward passes of one Sequential: recordings, by the input's layout.

    They hold the layers and their parameters, but not the Sequential: it holds them, and is freed as if there were none.
    """

    __slots__ = ("layers", "recordings", "calls", "recorded")

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.recordings: dict[Layout, Captured] = {}
        self.calls: dict[Layout, int] = {}
        self.recorded = 0

    def run(self, module: Sequential, input: Any) -> Any:
        """The result of a pass, by a replay where there is one; None where the layers are to be called."""
        if type(input) is not Tensor or runs_as_it_is():
            return None
        layout = input._layout
        captured = self.recordings.get(layout)
        layers = module._modules.values()
        if len(layers) != len(self.layers) or not all(map(is_, layers, self.layers)):
            self.recordings, self.layers, captured = {}, list(layers), None
        if captured is None:
            return self._count(module, input) if layout.numel <= ELEMENTS_AT_MOST else None
        sources = captured.guards.match((input,), _NO_KWARGS)
        if not isinstance(sources, str):
            try:
                found = captured.replay(sources)
            except (Refused, IndexError):  # an index out of range: the layer says it better
                pass
            else:
                tape.state.replays += 1
                return found
        self.recordings.pop(layout, None)  # another thread may have been first
        return None

    def _count(self, module: Sequential, input: Tensor) -> Any:
        layout = input._layout
        calls = self.calls[layout] = self.calls.get(layout, 0) + 1
        if calls < CALLS or self.recorded >= RECORDINGS_AT_MOST or tape.pending:
            if len(self.calls) > RECORDINGS_AT_MOST:
                self.calls.clear()
            return None
        self.calls[layout] = 0
        self.recorded += 1
        if not all(map(_is_known, module.modules())):
            self.recorded = RECORDINGS_AT_MOST
            return None
        call = functools.partial(call_in_turn, tuple(self.layers))
        try:
            guards = Guards(call, (input,), _NO_KWARGS, Watch(), forward_only=True)
        except Unsupported:
            return None
        result, found = record(call, (input,), _NO_KWARGS, guards, tape.user_position(4))
        if isinstance(found, Captured):
            while len(self.recordings) >= KEPT:
                self.recordings.pop(next(iter(self.recordings)), None)
            self.recordings[layout] = found
            tape.state.recordings += 1
        return result


def _is_known(module: nn.Module) -> bool:
    """Whether a layer is one of this package, as it came."""
    kind = type(module)
    return getattr(nn, kind.__name__, None) is kind and "forward" not in module.__dict__
