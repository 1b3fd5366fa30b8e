"""The table from card names to functions that write ONNX nodes, and how an op of a trace goes through it.

A builder gets the graph and the op and returns the name of its output, or a tuple of names (empty for one that it cannot
give). A pointwise builder also gets
the names of its operands, already in the dtype in which the card computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import PromotionState, dtype
from ..ops.card import CARDS, Pointwise, View
from .errors import UnsupportedOperatorError
from .graph import Graph
from .trace import Op, Value

Builder = Callable[..., Any]

BUILDERS: dict[str, Builder] = {}
POINTWISE: dict[str, Builder] = {}


def card(*names: str) -> Callable[[Builder], Builder]:
    """Register a builder ``(graph, op)`` for cards of these names."""

    def register(builder: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(names, builder))
        return builder

    return register


def pointwise(*names: str) -> Callable[[Builder], Builder]:
    """Register a builder ``(graph, op, *operands)`` for pointwise cards of these names."""

    def register(builder: Builder) -> Builder:
        POINTWISE.update(dict.fromkeys(names, builder))
        return builder

    return register


def argument(op: Op, name: str) -> Any:
    """A Python value that a card takes by this name, as a number among its operands or as a static argument."""
    if name in op.params:
        return op.params[name]
    position = CARDS[op.name].operands.index(name)
    return op.inputs[position] if position < len(op.inputs) else None


def build(graph: Graph, op: Op) -> None:
    """Append the nodes of one op and note what its outputs hold."""
    kind = CARDS.get(op.name)
    if isinstance(kind, Pointwise):
        _build_pointwise(graph, op, kind)
        return
    builder = BUILDERS.get(op.name)
    if isinstance(kind, View) and (builder is None or graph.is_refused(op.inputs[0])):
        return  # what the view shows is taken from its storage when it is read
    if builder is None:
        raise UnsupportedOperatorError(op.name, graph.opset)
    found = builder(graph, op)
    names = found if isinstance(found, tuple) else (found,)
    for value, name in zip(op.outputs, names, strict=True):
        if not name:
            graph.refuse(value, op.name)
        elif isinstance(kind, View):
            graph.bind(value, name)
        else:
            graph.write(value, name)


def _build_pointwise(graph: Graph, op: Op, kind: Pointwise) -> None:
    builder = POINTWISE.get(op.name)
    if builder is None:
        raise UnsupportedOperatorError(op.name, graph.opset)
    compute, result = computed_dtypes(op, kind)
    names = [graph.read_as(value, compute) for n, value in enumerate(op.inputs) if n not in kind.unpromoted]
    (output,) = op.outputs
    name = builder(graph, op, *names)
    if result is not output.dtype:
        name = graph.cast(name, output.dtype)
    graph.write(output, name)


def computed_dtypes(op: Op, kind: Pointwise) -> tuple[dtype, dtype]:
    """The dtype in which a pointwise op computes, and the one of its result."""
    types = PromotionState()
    for n, value in enumerate(op.inputs):
        if n in kind.unpromoted:
            continue
        if isinstance(value, Value):
            types.add_tensor(value.dtype, len(value.shape))
        else:
            types.add_number(int if isinstance(value, int) and not isinstance(value, bool) else type(value))
    return kind.dtypes(types.result())


def compute_dtype(op: Op) -> dtype:
    kind = CARDS[op.name]
    assert isinstance(kind, Pointwise)
    return computed_dtypes(op, kind)[0]
