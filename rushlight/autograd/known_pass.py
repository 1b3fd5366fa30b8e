"""Backward passes of a kind that has been seen: one entry on the tape instead of one for each gradient.

A training loop sends gradients through the same graph at every step. What a pass records depends on the graph's nodes, on
how they are connected and on which of the tensors that they keep are the same or share memory: that is its key, read in one
walk over the nodes. When a key comes a second time, what the pass records is kept as a `Routine`; from then on no gradient rule
runs for that key, and the pass is one entry whose operands are the first gradient and the tensors that the nodes kept.

Python numbers that nodes kept are part of the key, since rules may compute with them. A pass whose rules read values, or that
hooks watch, or that a caller could tell apart otherwise, goes through the graph node by node (backward_pass.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt, tape
from ..engine.routine import NotARoutine, Routine, expanded, routine_of
from ..graph import AccumulateGrad, CardNode, Edge, Packed, grad_state, make_tensor
from ..recent import Recent
from .graph_code import GraphReader
from .routine_node import OWN_NODES, RoutineNode

if TYPE_CHECKING:
    from ..tensor import Tensor

#: Larger graphs are walked node by node: they are rarely alike, and compiling them takes long.
NODES_AT_MOST = 4096
#: After so many kinds of numbers on graphs that are otherwise alike, the next ones are no longer kept.
NUMBERS_AT_MOST = 8

Region = Any  # (storage, offset, layout)


class Graph:
    """What the walk over a graph found: the key, and what differs between graphs of one key."""

    __slots__ = ("key", "numbers", "nodes", "regions", "leaves")

    def __init__(self, key: tuple[Any, ...], numbers: Iterable[Any], nodes: list[CardNode | RoutineNode], regions: list[Region], leaves: list[Tensor]) -> None:
        self.key, self.numbers = key, tuple(map(repr, numbers))
        self.nodes = nodes
        self.regions = regions  # the first gradient's and those of kept tensors
        self.leaves = leaves


_reader = GraphReader(NODES_AT_MOST)


def read(root: Edge, grad: Tensor) -> Graph | None:
    """Walk the graph in the order of the pass. None if the pass must go node by node."""
    node, output_nr = root
    first = (grad._storage, grad._offset, grad._layout)
    if not AccumulateGrad.in_use:
        found = _reader.read(node, first)
        if found is not None:
            key, *rest = found
            return Graph((output_nr, first[2], dt.get_default_dtype(), key), *rest)
    return _read_in_python(node, output_nr, first)


def _read_in_python(node: Any, output_nr: int, first: Region) -> Graph | None:
    """The same without machine code, and with a closer look at what is watched or has been written. Its keys are others."""
    regions = {first: 0}
    storages = {first[0]: (0, first[1])}
    numbers: list[Any] = []
    leaves: dict[int, Tensor] = {}
    leaf_numbers: dict[int, int] = {}
    turn = -node.sequence
    heap = [turn]
    waiting = {turn: node}
    places = {turn: 0}
    nodes: list[CardNode | RoutineNode] = []
    key: list[Any] = [output_nr, first[2], dt.get_default_dtype()]
    add = key.append
    in_use = AccumulateGrad.in_use
    while heap:
        node = waiting[heapq.heappop(heap)]
        if (type(node) not in OWN_NODES and not isinstance(node, OWN_NODES)) or node.__dict__:
            return None
        saved = node.saved
        if saved is None:
            return None
        nodes.append(node)
        add(node.gradient)
        for kept in saved.values():
            if type(kept) is tuple:
                tensor, region, version = kept
                storage = region[0]
                if storage.special or (storage.version != version and (tensor is None or tensor._tracks_version)):
                    return None
                number = regions.get(region)
                if number is None:
                    regions[region] = len(regions)
                    begin = region[1]
                    number, other = storages.setdefault(storage, (-1, begin))
                    if number < 0:
                        storages[storage] = (len(storages), begin)
                    else:
                        # The routine may view memory that several operands share: how they lie to each other must not change.
                        add(number)
                        add(begin - other)
                        number = -2
                add(number)
            elif type(kept) is Packed:
                return None
            else:
                numbers.append(kept)
                add(type(kept))
        for edge in node.edges:
            if type(edge) is tuple:
                turn = -edge[0].sequence
                place = places.get(turn)
                if place is None:
                    place = places[turn] = len(places)
                    waiting[turn] = edge[0]
                    heapq.heappush(heap, turn)
                add(place)
                add(edge[1])
            elif edge is not None:
                number = leaf_numbers.get(id(edge))
                if number is None:
                    if in_use and AccumulateGrad.is_watched(edge):
                        return None
                    number = leaf_numbers[id(edge)] = len(leaf_numbers)
                    leaves[number] = edge
                    add(edge._layout)
                add(-1 - number)
        if len(nodes) > NODES_AT_MOST:
            return None
    return Graph(tuple(key), numbers, nodes, list(regions), list(leaves.values()))


class Known:
    """What is known of the passes of one key and one choice of numbers."""

    __slots__ = ("routine", "places", "returned", "hopeless")

    def __init__(self) -> None:
        self.routine: Routine | None = None
        self.places: list[tuple[int, int]] = []  # of the gradients: which leaf's, and at which place of the routine
        self.returned: list[int] = []  # operands over whose storage a gradient is
        self.hopeless = False


class _Kind(dict[tuple[str, ...], Known]):
    """What is known of graphs of one key, by their numbers. All that is held here stands in the key by its address."""

    def __init__(self, graph: Graph) -> None:
        super().__init__({graph.numbers: Known()})
        self.held = [[node.gradient for node in graph.nodes], [leaf._layout for leaf in graph.leaves]]


_known: Recent[tuple[Any, ...], _Kind] = Recent(256)


def usable() -> bool:
    """Whether nothing watches single nodes or entries."""
    modes = grad_state.__dict__
    return not (tape.state.immediate or modes["tracer"] is not None or modes["anomaly"] or modes["inference"] or modes["backward_pass"])


def recall(graph: Graph) -> Known | None:
    """What is known of the passes over graphs like this one; None the first time."""
    alike = _known.get(graph.key)
    if alike is None:
        alike = _known.recall(graph.key)
    if alike is None:
        _known.remember(graph.key, _Kind(graph))
        return None
    found = alike.get(graph.numbers)
    if found is None and len(alike) < NUMBERS_AT_MOST:
        alike[graph.numbers] = Known()
    return found


def replay(known: Known, graph: Graph, retain_graph: bool) -> list[tuple[Tensor, Tensor]]:
    """Record a known pass as one entry, at `tape.thread.position`. Answers the leaves with their gradients."""
    routine = known.routine
    assert routine is not None
    outputs = routine.fresh_outputs()
    # Nodes that go on holding what they keep need tuples of their own: those of an entry count for nobody.
    regions = [(storage, offset, layout) for storage, offset, layout in graph.regions] if retain_graph else graph.regions
    inputs = (*regions, *routine.numbers)
    tape.record_routine(routine, outputs, inputs)
    if not retain_graph:
        for node in graph.nodes:
            node.release()
    operands = (*inputs, *outputs)
    return [(graph.leaves[leaf], make_tensor(*routine.region(place, operands))) for leaf, place in known.places]


class Recording:
    """What a pass records, to be kept as a routine: made before the pass, finished behind it."""

    def __init__(self) -> None:
        self.begin = len(tape.pending)
        self.flushes = tape.flush_count()

    def finish(self, known: Known, graph: Graph, grads: list[tuple[Tensor, Tensor]], position: tape.Position) -> None:
        known.hopeless = True
        if tape.flush_count() != self.flushes:
            return  # a rule has read a value, or too much was owed
        # Other threads may have recorded too.
        entries = expanded([entry for entry in islice(tape.pending, self.begin, None) if entry[3] is position])[0]
        number_of = {id(leaf): n for n, leaf in enumerate(graph.leaves)}
        wanted = [(grad._storage, grad._offset, grad._layout) for _, grad in grads]
        try:
            routine, places = routine_of("backward", entries, graph.regions, wanted)
        except NotARoutine:
            return
        known.places = [(number_of[id(leaf)], place) for (leaf, _), place in zip(grads, places, strict=True)]
        operands = {region[0]: n for n, region in enumerate(graph.regions)}
        known.returned = [operands[storage] for storage, _, _ in wanted if storage in operands]
        known.routine, known.hopeless = routine, False
