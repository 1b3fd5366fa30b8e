"""From a group to kernel calls: which results reach memory, the loops' extents and strides, and how work is shared out.

The words of a nest's call, in the order in which the kernel reads them: the extent that chunks share out and each
chunk's part of it; the extents of the other outer loops; the row's; for each operand its address, its strides under the
outer loops, and its stride along the row if that is none of `_FIXED` (a number is one word); the scratch rows' address
and size, if there are any.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..recent import Recent
from ..shape import Shape
from .fuse import Group, Operand
from .kernel import WORKSPACE, Call, Lowered, Pointer, Result
from .loops import COLUMN_BLOCK, Access, Nest, kernel, scratch_rows
from .lowering import ROW_BLOCK, Column
from .terms import EXACT_FUNCTIONS, FUNCTIONS, HALF, REDUCTIONS, Node, Term

#: What an operation costs for an element, in thirty-seconds of a cycle or so. Memory is taken to be the second-level cache.
_COST = {**dict.fromkeys((*FUNCTIONS, *EXACT_FUNCTIONS), 20), "div": 8, "sqrt": 8, "load": 8, "store": 8, "constant": 0, "number": 0}
#: Work below which a loop is one chunk: waking a worker that sleeps takes longer. And the least that each of several chunks is given.
SHARED_FROM = 1 << 20
CHUNK_AT_LEAST = 1 << 18
CHUNKS_AT_MOST = 16

OUTER_AT_MOST = 4
_STORES = ("store", "column_sum")
#: Strides along the row that kernels are made for.
_FIXED = (-1, 0, 1, 2)


class Bound(NamedTuple):
    """An operand under given loops: where it begins, and its strides."""

    pointer: Pointer
    type: str
    outer: Shape = ()
    along: int = 0
    number: bool = False

    def access(self) -> Access:
        return Access(self.type, "number" if self.number else str(self.along) if self.along in _FIXED else "s")


class Form(NamedTuple):
    """Loops: the extents of the outer ones and of the row, the terms, and their operands."""

    outer: Shape
    row: int
    nodes: list[Node]
    operands: list[Bound]

    def cost(self) -> int:
        """Operations for each element."""
        return sum(_COST.get(node.op, 1) for node in self.nodes) or 1


def lower_group(group: Group, needed: Callable[[int], bool]) -> Lowered | None:
    """The calls of a group, operands named by their slots. None if its dims do not make a loop nest.

    `needed` says of a slot that the group writes whether anybody reads its memory. What equal groups become is worked out once.
    """
    return _known(group, needed, None, lambda: _lower_group(group, needed))


def lower_tail(group: Group, needed: Callable[[int], bool], result: Result) -> Call | None:
    """A group as the tail of a call with this result; None if it is not over just these elements, each for itself.

    Nests have an order in which they go through elements, tails have the result's: so the group's dims must be those of the result, as
    far as all operands see them, and what it stores must have a place for each element.
    """
    lowered = _known(group, needed, result, lambda: _lower_tail(group, needed, result))
    return lowered.calls[0] if lowered is not None else None


def _known(group: Group, needed: Callable[[int], bool], result: Result | None, lower: Callable[[], Lowered | None]) -> Lowered | None:
    place: dict[int, int] = {}  # slots in the order of their mention
    key = (
        group.space,
        tuple(group.terms.nodes),
        tuple([(place.setdefault(o.slot, len(place)), o.strides, o.type) for o in group.operands]),
        tuple([(place.setdefault(slot, len(place)), _key_of(w.value), w.strides, needed(slot)) for slot, w in group.written.items()]),
        result and (place.setdefault(result.pointer.operand, len(place)), result[1:]),
    )
    found = _lowered_groups.get(key)
    if found is None:
        found = _lowered_groups.recall(key)
    if found is None:
        lowered = lower()
        found = _lowered_groups.remember(key, lowered is not None and _renamed(lowered, place))
    return _renamed(found, list(place)) if found else None


_lowered_groups: Recent[tuple[Any, ...], Lowered | Literal[False]] = Recent(1 << 10)


def _key_of(value: Term | Column) -> tuple[int, str, str | None]:
    term = value.term if isinstance(value, Column) else value
    return term.number, term.type, value.half if isinstance(value, Column) else None


def _renamed(lowered: Lowered, names: Mapping[int, int] | Sequence[int]) -> Lowered:
    """The same calls with other names for the operands."""

    def name(word: Pointer) -> Pointer:
        return word if word.operand == WORKSPACE else Pointer(names[word.operand], word.offset)

    return Lowered(tuple([call.renamed(name) for call in lowered.calls]), lowered.workspace)


def _with_stores(group: Group, needed: Callable[[int], bool]) -> tuple[list[Node], list[Operand]]:
    """A group's terms and operands, those that store what is needed among them, and nothing that no store needs."""
    nodes = list(group.terms.nodes)
    operands = dict(group.operands)
    for slot, written in group.written.items():
        if not needed(slot):
            continue
        column = isinstance(written.value, Column)
        term, half = (written.value.term, written.value.half) if isinstance(written.value, Column) else (written.value, "")
        type = "i8" if term.type == "i1" else term.type
        operand = operands.setdefault(Operand(slot, written.strides, "i16" if half else type), len(operands))
        value = term.number
        if type != term.type:
            nodes.append(Node("convert", (value,), type))
            value = len(nodes) - 1
        nodes.append(Node("column_sum" if column else "store", (value,), half or type, operand))
    return _pruned(nodes, list(operands))


def _lower_group(group: Group, needed: Callable[[int], bool]) -> Lowered | None:
    nodes, used = _with_stores(group, needed)
    if not nodes:
        return Lowered(())
    form = _loops(group, nodes, used)
    if form is None or len(form.outer) > OUTER_AT_MOST:
        return None
    if any(node.op == "column_sum" for node in form.nodes):
        return sums_over_rows(form) if len(form.outer) <= 1 else None
    if group.space.blocked and any(node.op in REDUCTIONS for node in form.nodes):
        return in_blocks(form)
    if not form.outer and not any(node.op in REDUCTIONS for node in form.nodes):
        return Lowered((elementwise_call(form),))
    return row_call(form)


#: What a tail may not have: what is not each element for itself.
_NOT_IN_TAILS = frozenset((*REDUCTIONS, "column_sum", "position", "at"))


def _lower_tail(group: Group, needed: Callable[[int], bool], result: Result) -> Lowered | None:
    nodes, operands = _with_stores(group, needed)
    if not nodes or not _NOT_IN_TAILS.isdisjoint(node.op for node in nodes):
        return None
    reads = next((n for n, o in enumerate(operands) if o.slot == result.pointer.operand), None)
    if reads is None or operands[reads].type != result.type:
        return None
    numbers = {int(node.detail) for node in nodes if node.op == "number"}
    shape = group.space.shape
    strides = [(0,) * len(shape) if n in numbers else o.strides for n, o in enumerate(operands)]
    loops = _regrouped(shape, strides, strides[reads], result.extents)
    if loops is None:
        return None
    along = [steps for _, steps in loops]
    if any(extent > 1 and steps[reads] != stride for (extent, steps), stride in zip(loops, result.strides, strict=True)):
        return None
    stored = [int(node.detail) for node in nodes if node.op == "store"]
    if any(extent > 1 and not steps[n] for extent, steps in loops for n in stored):
        return None
    # Of a column that is the only one: it moves by one, which nothing follows.
    alone = loops[-1][0] == 1
    bound = [Bound(Pointer(o.slot), o.type, (along[0][n], along[1][n]), int(n in stored) if alone else along[2][n], n in numbers) for n, o in enumerate(operands)]
    form = Form(result.extents[:2], result.extents[2], nodes, bound)
    return Lowered((_call(form, "box", result.extents[0], result.extents[0])[0],))


def chunks_alone(tail: Call) -> int:
    """In how many chunks a tail would run if it were a loop nest."""
    form = read_call(tail).form
    extent = math.prod(form.outer) * form.row
    return -(-extent // _share(extent, form.cost()))


def _regrouped(shape: Shape, strides: Sequence[Shape], order: Shape, extents: Sequence[int]) -> list[tuple[int, list[int]]] | None:
    """Loops of given extents over the dims of a shape, outermost first, and each operand's stride; None where that is not possible.

    The dims follow each other as they do in an operand of strides `order`.
    """
    dims = [(shape[d], [s[d] for s in strides]) for d in sorted(range(len(shape)), key=lambda d: -order[d]) if shape[d] != 1]
    found: list[tuple[int, list[int]]] = []
    for wanted in reversed(extents):
        extent, steps = 1, [0] * len(strides)
        while extent < wanted:
            if not dims:
                return None
            n, inner = dims.pop()
            part = min(n, wanted // extent)
            if wanted % (extent * part) or n % part:
                return None
            if part < n:
                dims.append((n // part, [s * part for s in inner]))
            if extent > 1 and any(a != b * extent for a, b in zip(inner, steps, strict=True)):
                return None
            steps = steps if extent > 1 else inner
            extent *= part
        found.append((wanted, steps))
    return None if dims else found[::-1]


def row_call(form: Form, used: int = 0) -> Lowered:
    """The call of a loop over rows, which are shared out; its scratch rows come after `used` bytes of the workspace."""
    from .across import rows_apart  # it is made of what is here

    apart = rows_apart(form, used)
    if apart is not None:
        return apart
    extent = form.outer[0] if form.outer else 1
    call, end = _call(form, "outer", extent, _share(extent, form.cost() * form.row * math.prod(form.outer[1:])), used)
    return Lowered((call,), max(end, used))


def elementwise_call(form: Form) -> Call:
    """The call of a loop along one row, which is shared out."""
    share = -(-_share(form.row, form.cost()) // 64) * 64
    return _call(form, "row", form.row, min(share, form.row))[0]


def strided_copy(type: str, shape: Shape, source: tuple[Pointer, Shape], target: tuple[Pointer, Shape], through: tuple[str, str] | None = None) -> Lowered | None:
    """A copy of elements from one set of strides to another; None if that takes too many loops.

    through: an operation on each element, and the type of what it gives.
    """
    dims = sorted((d for d, n in enumerate(shape) if n != 1), key=lambda d: -target[1][d])
    loops = merged_loops(shape, dims, [source[1], target[1]])
    row, along = loops.pop() if loops else (1, [1, 1])
    if len(loops) > OUTER_AT_MOST:
        return None
    op, given = through or ("", type)
    nodes = [Node("load", (), type, 0), *([Node(op, (0,), given)] if op else [])]
    nodes.append(Node("store", (len(nodes) - 1,), given, 1))
    bound = [Bound(pointer, each, tuple(steps[n] for _, steps in loops), along[n]) for n, (each, (pointer, _)) in enumerate(((type, source), (given, target)))]
    form = Form(tuple(n for n, _ in loops), row, nodes, bound)
    return row_call(form) if loops else Lowered((elementwise_call(form),))


def sum_over_rows(source: Bound, target: Bound, rows: int, columns: int, half: str = "", used: int = 0) -> Lowered:
    """The sum of a matrix over its rows; the first bytes of the workspace are used. half: what its elements are ("bf16", "f16") if they are bits of half precision."""
    nodes = [Node("load", (), source.type, 0), *([Node(f"from_{half}", (0,), "float")] if half else [])]
    nodes.append(Node("column_sum", (len(nodes) - 1,), half or source.type, 1))
    return sums_over_rows(Form((rows,), columns, nodes, [source, target]), used)


def _pruned(nodes: Sequence[Node], operands: Sequence[Operand]) -> tuple[list[Node], list[Operand]]:
    """The nodes that stores need, and the operands that these nodes name, both renumbered."""
    kept, used = needed_nodes(nodes)
    return kept, [operands[n] for n in used]


def needed_nodes(nodes: Sequence[Node]) -> tuple[list[Node], list[int]]:
    alive = [node.op in _STORES for node in nodes]
    for n in range(len(nodes) - 1, -1, -1):
        if alive[n]:
            for a in nodes[n].args:
                alive[a] = True
    place: dict[int, int] = {}
    used: dict[int, int] = {}
    kept: list[Node] = []
    for n, node in enumerate(nodes):
        if alive[n]:
            place[n] = len(kept)
            names_operand = node.op in ("load", "number", "at", *_STORES)
            detail = used.setdefault(int(node.detail), len(used)) if names_operand else node.detail
            kept.append(Node(node.op, tuple(place[a] for a in node.args), node.type, detail))
    return kept, list(used)


def _loops(group: Group, nodes: list[Node], operands: Sequence[Operand]) -> Form | None:
    """The group's space as loops: dims of one element dropped, dims that are one to every operand merged."""
    shape, split = group.space.shape, group.space.split
    numbers = {int(node.detail) for node in nodes if node.op == "number"}
    strides = [(0,) * len(shape) if n in numbers else o.strides for n, o in enumerate(operands)]
    dims = [d for d, n in enumerate(shape) if n != 1]
    if split is None:
        target = next(o.strides for o in operands if o.slot in group.written and len(o.strides) == len(shape))
        loops = merged_loops(shape, sorted(dims, key=lambda d: -target[d]), strides)
        row = loops.pop() if loops else None
    else:
        loops = merged_loops(shape, [d for d in dims if d < split], strides)
        rows = merged_loops(shape, [d for d in dims if d >= split], strides)
        if len(rows) > 1:
            return None
        row = rows[0] if rows else None
    extent, along = row or (1, [0] * len(operands))
    if row is None:
        # A row of one element: what is written along it moves by one, which nothing follows.
        ends = {int(node.detail) for node in nodes if node.op == "column_sum" or (node.op == "store" and split is None)}
        along = [1 if n in ends else 0 for n in range(len(operands))]
    bound = [Bound(Pointer(o.slot), o.type, tuple(steps[n] for _, steps in loops), along[n], n in numbers) for n, o in enumerate(operands)]
    return Form(tuple(n for n, _ in loops), extent, nodes, bound)


def merged_loops(shape: Shape, dims: Sequence[int], strides: Sequence[Shape]) -> list[tuple[int, list[int]]]:
    """Loops over `dims`, outermost first: each an extent and the operands' strides."""
    loops: list[tuple[int, list[int]]] = []
    for d in dims:
        steps = [s[d] for s in strides]
        if loops and all(outer == shape[d] * inner for outer, inner in zip(loops[-1][1], steps, strict=True)):
            loops[-1] = (loops[-1][0] * shape[d], steps)
        else:
            loops.append((shape[d], steps))
    return loops


def _share(extent: int, work_each: int) -> int:
    """How much of the extent that is shared out a chunk is given."""
    work = extent * work_each
    if work < SHARED_FROM:
        return extent
    return -(-extent // min(CHUNKS_AT_MOST, max(work // CHUNK_AT_LEAST, 2), extent))


def _call(form: Form, shared: str, extent: int, per_chunk: int, scratch_at: int = 0) -> tuple[Call, int]:
    """One call, and the bytes of workspace that its scratch rows end at; they begin at `scratch_at`."""
    nodes, constants = constants_as_words(form.nodes, len(form.operands))
    accesses = [*(o.access() for o in form.operands), *(Access(type, "number") for _, type in constants)]
    nest = Nest(tuple(nodes), tuple(accesses), len(form.outer), shared)
    words: list[int | Pointer] = [extent, per_chunk, *form.outer[1:], form.row]
    for operand, access in zip(form.operands, accesses, strict=False):
        words.append(operand.pointer)
        words.extend(operand.outer if not operand.number else ())
        if access.along == "s":
            words.append(operand.along)
    words.extend(word for word, _ in constants)
    chunks = -(-extent // per_chunk)
    rows = scratch_rows(nest)
    if rows:
        size = -(-form.row // 16) * 16
        words += [Pointer(WORKSPACE, scratch_at), size]
        scratch_at += rows * size * 4 * chunks
    return Call(kernel(nest), tuple(words), chunks, nest), scratch_at


def constants_as_words(given: Sequence[Node], operands: int) -> tuple[list[Node], list[tuple[int, str]]]:
    """The terms with numbers for constants, which are the words (with their types) behind the other `operands`.

    A constant is often made from a shape, as the count that a mean divides by is: in the code it would make a kernel for each.
    """
    nodes = list(given)
    words: list[tuple[int, str]] = []
    for n, node in enumerate(nodes):
        if node.op == "constant" and node.type in _CONSTANTS and node.detail not in (0, 1):
            nodes[n] = Node("number", (), node.type, operands + len(words))
            words.append((_word_of(node.detail, node.type), node.type))
    return nodes, words


#: The types of constants that are passed as words, and their names in `struct`.
_CONSTANTS = {"float": "f", "double": "d", "i32": "i", "i64": "q"}


def _word_of(constant: float, type: str) -> int:
    """A word whose first bytes are the constant's."""
    kind = _CONSTANTS[type]
    try:
        packed = struct.pack(kind, constant)
    except OverflowError:
        packed = struct.pack(kind, math.copysign(math.inf, constant))
    return int.from_bytes(packed.ljust(8, b"\0"), sys.byteorder, signed=True)


def _constant_of(word: int, type: str) -> float:
    found: float = struct.unpack_from(_CONSTANTS[type], word.to_bytes(8, sys.byteorder, signed=True))[0]
    return found


class Read(NamedTuple):
    """What a nest's call says."""

    form: Form
    extent: int  # what chunks share out
    per_chunk: int
    scratch: tuple[Pointer, int] | None  # the scratch rows' address, and how many elements they have


def read_call(call: Call) -> Read:
    """The loops of a nest's call: what `_call` has made its words from."""
    nest = call.nest
    assert nest is not None
    words = iter(call.words)

    def numbers(count: int) -> tuple[int, ...]:
        found = tuple(word for word in (next(words) for _ in range(count)) if not isinstance(word, Pointer))
        assert len(found) == count
        return found

    def pointer() -> Pointer:
        word = next(words)
        assert isinstance(word, Pointer)
        return word

    extent, per_chunk, *inner, row = numbers(2 + max(nest.outer - 1, 0) + 1)
    operands: list[Bound] = []
    constants: dict[int, float] = {}  # by the operand's number
    for n, access in enumerate(nest.operands):
        if access.along == "number":
            word = next(words)
            if isinstance(word, Pointer):
                operands.append(Bound(word, access.type, number=True))
            else:
                constants[n] = _constant_of(word, access.type)
            continue
        at, outer = pointer(), numbers(nest.outer)
        operands.append(Bound(at, access.type, outer, numbers(1)[0] if access.along == "s" else int(access.along)))
    scratch = (pointer(), numbers(1)[0]) if scratch_rows(nest) else None
    nodes = [Node("constant", (), n.type, constants[int(n.detail)]) if n.op == "number" and int(n.detail) in constants else n for n in nest.nodes]
    return Read(Form((extent, *inner) if nest.outer else (), row, nodes, operands), extent, per_chunk, scratch)


def _lowered(call: tuple[Call, int]) -> Lowered:
    return Lowered((call[0],), call[1])


def sums_over_rows(form: Form, used: int = 0) -> Lowered:
    """Sums over all rows: each block of rows into a row of the workspace behind its first `used` bytes, and these rows added up.

    Sums in half precision are added up in float32, in the workspace, and rounded from there.
    """
    rows = form.outer[0] if form.outer else 1
    blocks = -(-rows // COLUMN_BLOCK)
    nodes, operands = list(form.nodes), list(form.operands)
    finals: list[Call] = []
    for n, node in enumerate(form.nodes):
        half = node.type in HALF.values()
        if node.op != "column_sum" or (blocks == 1 and not half):
            continue
        type = "float" if half else node.type
        target = form.operands[int(node.detail)]
        partial = target._replace(pointer=Pointer(WORKSPACE, used), type=type)
        used += blocks * form.row * 8
        nodes[n], operands[int(node.detail)] = node._replace(type=type), partial
        total = partial if half else target
        if blocks > 1:
            if half:
                total = partial._replace(pointer=Pointer(WORKSPACE, used))
                used += form.row * 8
            adding = [Node("load", (), type, 0), Node("column_sum", (0,), type, 1)]
            each = Bound(partial.pointer, type, (form.row,), 1)
            finals.append(_call(Form((blocks,), form.row, adding, [each, total]), "outer", blocks, blocks)[0])
        if half:
            rounding = [Node("load", (), type, 0), Node(f"to_{node.type}", (0,), "i16"), Node("store", (1,), "i16", 1)]
            finals.append(elementwise_call(Form((), form.row, rounding, [total._replace(outer=()), target._replace(outer=())])))
    first, end = _call(form._replace(nodes=nodes, operands=operands), "outer", rows, COLUMN_BLOCK if blocks > 1 else rows, used)
    return Lowered((first, *finals), end)


def in_blocks(form: Form, used: int = 0) -> Lowered:
    """Reductions of one long row, behind the first `used` bytes of the workspace: for each that depends on no other, then for those that depend on these and so on, a kernel
    for the blocks and one for the totals; the last one also computes what follows from them."""
    blocks = -(-form.row // ROW_BLOCK)
    reductions = [n for n, node in enumerate(form.nodes) if node.op in REDUCTIONS]
    stage: list[int] = []
    for node in form.nodes:
        stage.append(max((stage[a] for a in node.args), default=0) + (node.op in REDUCTIONS))
    totals = {r: Bound(Pointer(WORKSPACE, used + n * 8), form.nodes[r].type) for n, r in enumerate(reductions)}
    partials = {r: Bound(Pointer(WORKSPACE, used + (len(reductions) + n * blocks) * 8), form.nodes[r].type, (), 1) for n, r in enumerate(reductions)}
    used += len(reductions) * (blocks + 1) * 8
    calls: list[Call] = []
    last = max(stage)
    for now in range(1, last + 1):
        mine = [r for r in reductions if stage[r] == now]
        # By block: what is asked for now, and in the first turn what depends on no total.
        operands = [o._replace(outer=() if o.number else (ROW_BLOCK * o.along,)) for o in form.operands]
        nodes: list[Node] = []
        for n, node in enumerate(form.nodes):
            if n in totals and stage[n] < now:
                nodes.append(Node("load", (), node.type, len(operands)))
                operands.append(totals[n]._replace(outer=(0,)))
            elif n in mine or (stage[n] < now and (now == 1 or node.op not in _STORES)):
                nodes.append(node)
            else:
                nodes.append(Node("constant", (), node.type))  # nothing needs it
        for r in mine:
            nodes.append(Node("store", (r,), form.nodes[r].type, len(operands)))
            operands.append(partials[r]._replace(outer=(1,), along=0))
        nodes, names = needed_nodes(nodes)
        by_block = Form((blocks,), form.row, nodes, [operands[n] for n in names])
        call, end = _call(by_block, "blocks", blocks, _share(blocks, ROW_BLOCK * by_block.cost()), used)
        calls.append(call)
        used = max(used, end)

        # Then their totals, from a row of the blocks' results.
        operands, nodes = list(form.operands), []
        place: dict[int, int] = {}
        for n, node in enumerate(form.nodes):
            if n in totals and stage[n] < now:
                nodes.append(Node("load", (), node.type, len(operands)))
                operands.append(totals[n])
            elif n in mine:
                nodes += [Node("load", (), node.type, len(operands)), Node(node.op, (len(nodes),), node.type)]
                operands.append(partials[n])
            elif stage[n] <= now and (node.op not in _STORES or (now == last and stage[n])):
                nodes.append(Node(node.op, tuple(place[a] for a in node.args), node.type, node.detail))
            place[n] = len(nodes) - 1
        if now < last:
            for r in mine:
                nodes.append(Node("store", (place[r],), form.nodes[r].type, len(operands)))
                operands.append(totals[r])
        nodes, names = needed_nodes(nodes)
        calls.append(_call(Form((), blocks, nodes, [operands[n] for n in names]), "outer", 1, 1)[0])
    return Lowered(tuple(calls), used)
