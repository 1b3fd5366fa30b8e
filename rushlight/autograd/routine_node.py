"""A node of the graph whose gradient is a routine: the way back from work that was recorded as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import tape
from ..engine.routine import Region, Routine
from ..graph import FREED, CardNode, Edge, Kept, Node, grad_state, make_tensor
from ..ops.creation import filled
from ..shape import contiguous

if TYPE_CHECKING:
    from ..tensor import Tensor


class RoutineGradient(NamedTuple):
    """What such nodes of one kind share.

    The routine's operands are the gradients of the outputs and what the forward pass kept; `places` says where it has the
    gradient for each edge (None: there is none); `fresh`, whether these are all in memory of their own.
    """

    routine: Routine
    places: tuple[int | None, ...]
    fresh: bool


class RoutineNode(Node):
    """From gradients of a function's outputs to those of its sources, as one entry."""

    __slots__ = ("gradient", "saved", "fresh_gradients")

    def __init__(self, edges: Sequence[Edge], layouts: Any, gradient: RoutineGradient, saved: Sequence[Region]) -> None:
        Node.__init__(self, edges, layouts)
        self.gradient = gradient
        self.fresh_gradients = gradient.fresh
        self.saved: dict[int, Kept] | None = {n: (None, region, region[0].version) for n, region in enumerate(saved)}

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        if grad_state.enabled:
            raise RuntimeError("torch.compile does not support double backward: call the function itself where gradients are differentiated in turn")
        if self.saved is None:
            raise RuntimeError(FREED)
        given: list[Region] = []
        for grad, layout in zip(grads, self.layouts, strict=True):
            tensor: Any = filled(contiguous(layout.shape, layout.dtype), 0) if grad is None else grad.contiguous()
            given.append((tensor._storage, tensor._offset, contiguous(layout.shape, layout.dtype)))
        for _, region, version in self.saved.values():
            if region[0].version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation, "
                    "between a compiled function and its backward pass"
                )
            given.append((region[0], region[1], region[2]))  # the node may go on holding its own
        routine = self.gradient.routine
        outputs = routine.fresh_outputs()
        inputs = (*given, *routine.numbers)
        tape.record_routine(routine, outputs, inputs)
        operands = (*inputs, *outputs)
        return [None if place is None else make_tensor(*routine.region(place, operands)) for place in self.gradient.places]

    def release(self) -> None:
        self.saved = None


RoutineNode.__name__ = RoutineNode.__qualname__ = "CompiledFunctionBackward"  # PyTorch's name

#: Nodes whose gradients this package's rules give, and nobody else's code.
OWN_NODES = (CardNode, RoutineNode)
