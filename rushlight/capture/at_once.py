"""A replay in one call of machine code: the guards, the tensors that are returned, their node, and the entry on the tape.

A loop over a cell calls a captured function with other tensors each time, of one kind: a slice of a sequence, the state that the call before has returned. The
replay's own work is then little more than looking at a few dozen objects and making a dozen. Written as an `ObjectProgram`
(engine/object_program.py) this takes one microsecond or two, in Python ten.

This is for functions that only go forward, whose outputs require grad, and whose arguments are tensors. All others, and each
call at which some look says no, are replayed the usual way (captured.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import tape
from ..autograd.routine_node import RoutineNode
from ..engine.checks import Checks
from ..engine.object_program import ObjectProgram, Register, available
from ..engine.objects import slot
from ..graph import Node, grad_state, sequence
from ..nn import module as nn_module
from ..storage import Storage, TensorBase
from ..tensor import Tensor
from ..utils._pytree import TreeSpec
from .attempts import Attempts
from .facts import SCALARS, note_modes
from .operands import Still

if TYPE_CHECKING:
    from .captured import Captured


class AtOnce:
    """A recording's program: called with a call's arguments, it answers what the function returns, or `NotImplemented`, with nothing done."""

    __slots__ = ("modes", "nbytes", "program", "runs")

    def __init__(self, program: Callable[..., Any], nbytes: int) -> None:
        self.program, self.nbytes = program, nbytes
        self.modes = grad_state.__dict__  # this thread's
        self.runs = 0

    def __call__(self, args: tuple[Any, ...]) -> Any:
        if grad_state.__dict__ is not self.modes:
            return NotImplemented
        found = self.program(args, tape.user_position(3))
        if found is not NotImplemented:
            self.runs += 1
            tape.entry_added(self.nbytes)
        return found


class Straight:
    """Whether a recording's replays go through a program, and when the next one is made."""

    def __init__(self) -> None:
        self.program: AtOnce | None = None
        self._attempts = Attempts()

    def note(self, captured: Captured, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A replay has been done the usual way, since there is no program or some look of it said no."""
        if self.program is not None:
            self._attempts.ended(self.program.runs)
            self._attempts.wait_anew()
            self.program = None
        if not self._attempts.wait():
            self._attempts.tried()
            self.program = _made(captured, args) if not kwargs and available() else None


@cache
def _places(kind: type, *arguments: Any) -> dict[str, int]:
    """Where objects of a class have the slots that it adds to its bases'."""
    return {name: slot(kind, name, *arguments) for name in kind.__dict__["__slots__"] if not name.startswith("__")}


def _made(captured: Captured, args: Sequence[Any]) -> AtOnce | None:
    """The program for calls like one with these arguments; None where a replay has more to do."""
    guards, operands, routine = captured.guards, captured.operands, captured.routine
    quick, still, backward = guards.quick, operands.still, captured.backward
    if backward is None or still is None or still.quick is not quick or not (guards.flat and quick.only_checks and quick.found.all_differ):
        return None
    if quick.loose or quick.others or quick.gradients or quick.twins or captured.has_effects() or not _is_plain(captured.tree):
        return None
    tensors = [a for a in args if isinstance(a, TensorBase)]
    if not all(isinstance(a, TensorBase) or type(a) in SCALARS for a in args) or any(n >= len(tensors) for _, n in still.moving):
        return None
    checks = Checks()
    note_modes(checks)
    for name in ("immediate", "capturing"):
        checks.entry(vars(tape.state), name)
    checks.entry(grad_state.__dict__, "tracer")
    checks.entry(tape.thread.__dict__, "position")
    checks.contents(nn_module.changes)
    checks.include(quick.checks)
    checks.include(still.checks)
    writer = _Writer(captured)
    writer.arguments(args, checks, still)
    program = writer.program.prepared(writer.answer(quick.leaves))
    return AtOnce(program, routine.nbytes) if program is not None else None


class _Region(NamedTuple):
    """A region: its storage, offset and layout, and a tuple of them."""

    storage: Register
    offset: Register
    layout: Register
    whole: Register


class _Writer:
    """Writes the program for a recording."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.program = ObjectProgram(2)
        self.tensors: list[Register] = []  # of the arguments
        self.regions: list[_Region] = []  # of the routine's operands

    def arguments(self, args: Sequence[Any], checks: Checks, still: Still) -> None:
        """Look at the arguments and at what is held, and find the operands."""
        program, quick = self.program, self.captured.guards.quick
        places = _places(TensorBase)
        given = program.argument(0)
        program.is_tuple(given, len(args))
        none, true = program.constant(None), program.constant(True)
        states = iter(quick.states)
        for n, argument in enumerate(args):
            value = program.item(given, n)
            if not isinstance(argument, TensorBase):
                program.is_same(value, program.constant(argument))
                continue
            kind, layout, requires_grad, is_leaf, inference = next(states)
            program.is_of_class(value, kind)
            program.holds(value, places["_layout"], layout)
            program.holds(value, places["_requires_grad"], requires_grad)
            (program.is_same if is_leaf else program.is_other)(program.load(value, places["_node"]), none)
            # The history of a view follows its base's, unless that has none.
            program.holds(program.load(value, places["_base"]), places["_requires_grad"], False, or_is_none=True)
            program.is_same(program.attribute(value, "_inference"), program.constant(inference))
            for other in (*self.tensors, *map(program.constant, quick.fixed)):
                program.is_other(value, other)
            self.tensors.append(value)
        program.is_same(program.call(program.constant(checks.prepared())), true)
        storages = [program.constant(storage) for storage in still.storages]
        source_at = dict(still.moving)
        for at, region in enumerate(still.regions):
            if at not in source_at:
                self.regions.append(self._fixed(region))
                continue
            n = source_at[at]
            storage = program.load(self.tensors[n], places["_storage"])
            program.holds(storage, _places(Storage, 0)["special"], 0)
            for other in storages:
                program.is_other(storage, other)
            storages.append(storage)
            self.regions.append(self._region(storage, program.load(self.tensors[n], places["_offset"]), program.constant(quick.states[n][1])))

    def _region(self, storage: Register, offset: Register, layout: Register) -> _Region:
        return _Region(storage, offset, layout, self.program.tuple_of(storage, offset, layout))

    def _fixed(self, region: Any) -> _Region:
        storage, offset, layout, whole = map(self.program.constant, (*region, region))
        return _Region(storage, offset, layout, whole)

    def answer(self, leaves: Sequence[Any]) -> Register:
        """Make the outputs, their node and the entry. Answers what the function returns."""
        program, captured = self.program, self.captured
        routine, backward = captured.routine, captured.backward
        assert backward is not None
        numbers = list(map(program.constant, routine.numbers))
        inputs = [*[region.whole for region in self.regions], *numbers]
        outputs = [self._output(*output) for output in routine.outputs]
        operands = [*self.regions, *[None for _ in numbers], *outputs]
        wanted = [self._at(place, operands) for place in captured.places]
        version = _places(Storage, 0)["version"]
        saved = program.dict_of(*[  # named by tuples of the node's own (tape.py)
            (program.constant(n), program.tuple_of(program.constant(None), program.tuple_of(*region[:3]), program.load(region.storage, version)))
            for n, region in enumerate(wanted[captured.kept :])
        ])  # fmt: skip
        sources = [*self.tensors, *map(program.constant, leaves)]
        edges = program.tuple_of(*[self._edge(sources, n) for n in captured.targets])
        parts = {"edges": edges, "sequence": program.next(program.constant(sequence)), "layouts": program.constant(captured.root_layouts)}
        own = {"gradient": program.constant(backward.gradient), "saved": saved, "fresh_gradients": program.constant(backward.gradient.fresh)}
        slots = {_places(Node)[name]: value for name, value in parts.items()} | {_places(RoutineNode)[name]: value for name, value in own.items()}
        node = program.new(RoutineNode, slots)
        fresh = [self._tensor(region, node if n < captured.roots else None, n) for n, region in enumerate(wanted[captured.first : captured.first + captured.count])]
        written = program.tuple_of(*[region.whole for region in outputs])
        entry = program.tuple_of(program.constant(routine), written, program.tuple_of(*inputs), program.argument(1))
        program.call(program.constant(tape.pending.append), entry)
        leaves_of = iter([fresh[value] if kind == "fresh" else sources[value] if kind == "source" else program.constant(value) for kind, value in captured.results])
        return self._tree(captured.tree, leaves_of)

    def _output(self, nbytes: int, offset: int, layout: Any) -> _Region:
        constant, example = self.program.constant, Storage(nbytes)
        storage = self.program.new(Storage, {place: constant(getattr(example, name)) for name, place in _places(Storage, 0).items()})
        return self._region(storage, constant(offset), constant(layout))

    def _at(self, place: int, operands: Sequence[_Region | None]) -> _Region:
        """The region at a place of the routine."""
        if place < len(operands):
            found = operands[place]
            assert found is not None
            return found
        base, offset, layout = self.captured.routine.locals[place - len(operands)]
        region = operands[base]
        assert region is not None
        begin = self.program.add(region.offset, self.program.constant(offset)) if offset else region.offset
        return self._region(region.storage, begin, self.program.constant(layout))

    def _edge(self, sources: Sequence[Register], n: int) -> Register:
        """Where the gradient of a source goes."""
        program = self.program
        if n >= len(self.tensors) or self.captured.guards.quick.states[n][3]:
            return sources[n]  # a leaf
        return program.tuple_of(program.load(sources[n], _places(TensorBase)["_node"]), program.attribute(sources[n], "_output_nr"))

    def _tensor(self, region: _Region, node: Register | None, output_nr: int) -> Register:
        program, places = self.program, _places(TensorBase)
        constant = program.constant
        values = {"_storage": region.storage, "_offset": region.offset, "_layout": region.layout, "_base": constant(None)}
        values |= {"_node": node or constant(None), "_requires_grad": constant(node is not None)}
        tensor = program.new(Tensor, {places[name]: value for name, value in values.items()})
        if node is not None and output_nr:
            program.set_attribute(tensor, "_output_nr", constant(output_nr))
        return tensor

    def _tree(self, tree: TreeSpec, leaves: Iterator[Register]) -> Register:
        """What is returned, in containers of `_CONTAINERS`."""
        if tree.is_leaf():
            return next(leaves)
        children = [self._tree(child, leaves) for child in tree.children()]
        return self.program.tuple_of(*children) if tree.type is tuple else self.program.list_of(*children)


_CONTAINERS = (tuple, list)


def _is_plain(tree: TreeSpec) -> bool:
    return tree.is_leaf() or (tree.type in _CONTAINERS and all(map(_is_plain, tree.children())))
