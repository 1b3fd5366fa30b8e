"""Reductions over dims that are not the last ones: 16 neighbours at a time, each lane a reduction of its own.

The formula is that of a loop over rows (lowering.py); here the "row" runs through a dim in the middle, one step for all lanes.
Passes and scratch values are those of loops.py. The order of a sum is fixed: blocks of `BLOCK` steps, each added up in
order, and then their totals in order. Reduced dims with others between them are brought together by a copy first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shape import Layout, Shape, as_one_dim, contiguous_strides
from .emit import BITS, LANES, Builder, Value, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer, joined
from .loops import Access, Nest, Stages, combined, compute, identity, name_of, passes
from .lowering import LOOPED, Space
from .nests import Bound, Form, constants_as_words, needed_nodes, row_call, strided_copy
from .terms import FUNCTIONS, MEMORY, REDUCTIONS, REGISTER, Node, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan

#: Steps that are added up before their total joins the others.
BLOCK = 128
_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16
_SCRATCH_STEPS = 1 << 12
"""Longer reductions compute functions anew in a later pass: what is kept of them would not fit into the cache."""


def reduction(plan: Plan, body: Callable[..., Any], floats: bool) -> Lowered | None:
    """The calls of an entry whose operands have one shape, reduced over its static `dims` or `dim`."""
    shape = plan.operands[0].shape
    if not shape:
        return None
    given = plan.params["dims"] if "dims" in plan.params else (plan.params["dim"],)
    dims = sorted(d for d in given if shape[d] != 1)
    if not dims or any(o.shape != shape or o.dtype not in (LOOPED if floats else MEMORY) for o in plan.operands):
        return None
    terms = Terms()
    terms.space = Space(shape, 0)
    terms.outputs = [REGISTER[o.dtype] for o in plan.outs]
    inputs = [terms.load(n, MEMORY[o.dtype], REGISTER[o.dtype]) for n, o in enumerate(plan.operands)]
    found = body(terms, *inputs, **plan.params)
    results = found if isinstance(found, (tuple, list)) else (found,)
    for n, (result, out) in enumerate(zip(results, plan.outs, strict=True), len(inputs)):
        terms.store(n, terms.convert(result, REGISTER[out.dtype]), MEMORY[out.dtype])
    kept = [d for d, n in enumerate(shape) if d not in given and n != 1]
    if not any(dims[0] < d < dims[-1] for d in kept):
        return _lanes(plan, terms, dims)
    if any(o.numel == plan.operands[0].numel for o in plan.outs):
        return None  # results of every element would have to be brought back
    return _in_two(plan, terms, kept, dims) or _brought_together(plan, terms, kept, dims)


def _in_two(plan: Plan, terms: Terms, kept: Sequence[int], dims: Sequence[int]) -> Lowered | None:
    """Over the last dims as rows, and then over the first ones: for reductions none of which needs another one's result."""
    shape = plan.operands[0].shape
    parts = (slice(0, kept[0]), slice(kept[0], kept[-1] + 1), slice(kept[-1] + 1, None))
    found = [[as_one_dim(o.shape[part], o.stride[part]) for part in parts] for o in plan.operands]
    if any(kept[0] < d < kept[-1] for d in dims) or any(f is None for each in found for f in each) or _depends_twice(terms.nodes):
        return None
    steps, inner, row = (math.prod(shape[part]) for part in parts)
    bound = [Bound(Pointer(n), MEMORY[o.dtype], (f[0][1], f[1][1]), f[2][1]) for n, (o, f) in enumerate(zip(plan.operands, found, strict=True))]  # type: ignore[index]
    operands = [Operand(Pointer(n), MEMORY[o.dtype], inner, None) for n, o in enumerate((*plan.operands, *plan.outs))]
    before = [Node("constant", (), node.type) if node.op == "store" else node for node in terms.nodes]  # nothing needs it
    after: list[Node] = []
    place: list[int] = []
    used = 0
    for n, node in enumerate(terms.nodes):
        if node.op in REDUCTIONS:
            partial = Pointer(WORKSPACE, used)
            before.append(Node("store", (n,), node.type, len(bound)))
            bound.append(Bound(partial, node.type, (inner, 1), 0))
            after += [Node("load", (), node.type, len(operands)), Node(node.op, (len(after),), node.type)]
            operands.append(Operand(partial, node.type, 0, inner))
            used += -(-steps * inner * 8 // 64) * 64
        else:
            after.append(Node(node.op, tuple(place[a] for a in node.args), node.type, node.detail))
        place.append(len(after) - 1)
    nodes, names = needed_nodes(before)
    rows = row_call(Form((steps, inner), row, nodes, [bound[n] for n in names]), used)
    return joined([rows, across(after, operands, (1, steps, inner), used)])


def _depends_twice(nodes: Sequence[Node]) -> bool:
    """Whether a reduction needs another one's result."""
    stage: list[int] = []
    for node in nodes:
        stage.append(max((stage[a] for a in node.args), default=0) + (node.op in REDUCTIONS))
    return max(stage) > 1


def _brought_together(plan: Plan, terms: Terms, kept: Sequence[int], dims: Sequence[int]) -> Lowered | None:
    """Rows of a copy in which the reduced dims come last."""
    shape = plan.operands[0].shape
    order = (*kept, *dims)
    size = math.prod(shape[d] for d in dims)
    calls: list[Call] = []
    bound: list[Bound] = []
    used = 0
    for n, layout in enumerate(plan.operands):
        lying = tuple(shape[d] for d in order)
        copied = _copy(n, layout, lying, tuple(layout.stride[d] for d in order), used)
        if copied is None:
            return None
        calls.extend(copied.calls)
        bound.append(Bound(Pointer(WORKSPACE, used), MEMORY[layout.dtype], (size,), 1))
        used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
    bound += [Bound(Pointer(n), MEMORY[out.dtype], (1,), 0) for n, out in enumerate(plan.outs, len(plan.operands))]
    rows = row_call(Form((math.prod(shape[d] for d in kept),), size, terms.nodes, bound), used)
    return Lowered((*calls, *rows.calls), rows.workspace)


def _copy(operand: int, layout: Layout, shape: Shape, strides: Shape, at: int) -> Lowered | None:
    return strided_copy(MEMORY[layout.dtype], shape, (Pointer(operand), strides), (Pointer(WORKSPACE, at), contiguous_strides(shape)))


def _lanes(plan: Plan, terms: Terms, dims: Sequence[int]) -> Lowered | None:
    """The kernel of this file: `dims` as one between those before and those behind it."""
    shape = plan.operands[0].shape
    parts = (slice(0, dims[0]), slice(dims[0], dims[-1] + 1), slice(dims[-1] + 1, None))
    outer, steps, inner = (math.prod(shape[part]) for part in parts)
    calls: list[Call] = []
    used = 0
    operands: list[Operand] = []
    for n, layout in enumerate(plan.operands):
        type = MEMORY[layout.dtype]
        found = [as_one_dim(layout.shape[part], layout.stride[part]) for part in parts]
        if any(f is None for f in found) or (inner > 1 and found[2] != (inner, 1)):
            copied = _copy(n, layout, layout.shape, layout.stride, used)
            if copied is None:
                return None
            calls.extend(copied.calls)
            operands.append(Operand(Pointer(WORKSPACE, used), type, steps * inner, inner))
            used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
        else:
            operands.append(Operand(Pointer(n), type, found[0][1], found[1][1]))  # type: ignore[index]
    for n, out in enumerate(plan.outs, len(plan.operands)):
        whole = out.numel == plan.operands[0].numel
        operands.append(Operand(Pointer(n), MEMORY[out.dtype], steps * inner if whole else inner, inner if whole else None))
    lowered = across(terms.nodes, operands, (outer, steps, inner), used)
    return Lowered((*calls, *lowered.calls), lowered.workspace)


class Operand(NamedTuple):
    """What the kernel reads or writes."""

    pointer: Pointer
    type: str
    of_outer: int  # strides
    of_step: int | None  # None if it has one element for all steps
    lanes: bool = True  # whether neighbours have elements of their own, next to each other


def across(nodes: Sequence[Node], operands: Sequence[Operand], extents: tuple[int, int, int], used: int) -> Lowered:
    """The call of a kernel of this file, over an outer dim, the steps of each reduction, and the neighbours; the first bytes of the workspace are used."""
    outer, steps, inner = extents
    nodes, names = needed_nodes(nodes)
    operands = [operands[n] for n in names]
    nodes, constants = constants_as_words(nodes, len(operands))
    accesses = [Access(o.type, "0" if o.of_step is None else "1" if o.lanes else "s") for o in operands] + [Access(type, "number") for _, type in constants]
    nest = Nest(tuple(nodes), tuple(accesses), 1, "outer" if steps <= _SCRATCH_STEPS else "long")
    work = max(1, outer * steps * inner * (4 if _vectors(nest) == 1 else 1) // _CHUNK_WORK)
    each = -(-outer // min(work, outer, _CHUNKS_AT_MOST))
    groups = -(-outer // each)
    width = _vectors(nest) * LANES
    pieces = max(1, min(work // groups, inner // width, _CHUNKS_AT_MOST // groups))
    piece = -(-inner // pieces)
    piece = -(-piece // width) * width
    pieces = -(-inner // piece)
    words: list[int | Pointer] = [outer, each, steps, inner, pieces, piece]
    for o in operands:
        words += [o.pointer, o.of_outer] if o.of_step is None else [o.pointer, o.of_outer, o.of_step]
    words += [word for word, _ in constants]
    chunks = groups * pieces
    rows = _saved(nest)
    if rows:
        words.append(Pointer(WORKSPACE, used))
        used += chunks * rows * steps * width * 4
    return Lowered((Call(_kernel(nest), tuple(words), chunks),), used)


def _saved(nest: Nest) -> int:
    return len(passes(nest, Stages(nest))[1]) if nest.shared != "long" else 0


def _vectors(nest: Nest) -> int:
    """How many vectors of neighbours go together."""
    return 1 if any(node.op in FUNCTIONS or BITS.get(node.type, 64) == 64 for node in nest.nodes) else 4


@lru_cache(maxsize=256)
def _kernel(nest: Nest) -> Kernel:
    writer = _Writer(nest)
    return Kernel(writer.k.name, module([writer.write()]))


_Vectors = list[Value]


class _Writer:
    def __init__(self, nest: Nest) -> None:
        self.nest, self.shape = nest, Stages(nest)
        self.passes, rows = passes(nest, self.shape)
        self.rows = rows if nest.shared != "long" else {}
        self.k = Builder(name_of(nest).replace("loop", "across", 1), [("ptr", "args"), ("i64", "chunk")])
        self.vectors = _vectors(nest)
        self._word = 0

    def word(self, type: str = "i64") -> Value:
        self._word += 1
        return self.k.load(self.k.address(self.k.parameters["args"], self._word - 1, "i64"), type)

    def write(self) -> Builder:
        k = self.k
        outer, each, self.steps, inner, pieces, piece = (self.word() for _ in range(6))
        memory = [a for a in self.nest.operands if a.along != "number"]
        operands = [(self.word("ptr"), self.word(), self.word() if a.along != "0" else None) for a in memory]
        self.strides = [step for _, _, step in operands]
        self.numbers = {n: k.splat(self.word(a.type)) for n, a in enumerate(self.nest.operands) if a.along == "number"}
        width = k.constant(self.vectors * LANES, "i64")
        if self.rows:
            size = k.mul(self.steps, k.mul(width, k.constant(len(self.rows), "i64")))
            self.scratch = k.address(self.word("ptr"), k.mul(k.parameters["chunk"], size), "float")
        group = k.binary("sdiv", k.parameters["chunk"], pieces)
        begin = k.mul(group, each)
        first = k.mul(k.sub(k.parameters["chunk"], k.mul(group, pieces)), piece)
        last = k.intrinsic("smin", k.add(first, piece), inner)
        with k.loop(begin, k.intrinsic("smin", k.add(begin, each), outer)) as row:
            starts = [k.address(pointer, k.mul(row.index, stride), a.type) for (pointer, stride, _), a in zip(operands, memory, strict=True)]
            whole = k.add(first, k.and_(k.sub(last, first), k.constant(-self.vectors * LANES, "i64")))
            with k.loop(first, whole, width) as column:
                self._columns(starts, column.index, self.vectors, None)
            with k.loop(whole, last, LANES) as column:
                self._columns(starts, column.index, 1, k.first_lanes(k.sub(last, column.index)))
        return k

    def _columns(self, starts: Sequence[Value], column: Value, vectors: int, mask: Value | None) -> None:
        """All passes over some neighbouring reductions."""
        self.starts = [start if a.along == "s" else self.k.address(start, column, a.type) for start, a in zip(starts, self.nest.operands, strict=False)]
        self.mask, self.count = mask, vectors
        known: dict[int, _Vectors] = {}
        for stage, run in enumerate(self.passes):
            for n, node in enumerate(self.nest.nodes):
                if self.shape.along[n] or self.shape.stage[n] != stage or node.op in REDUCTIONS:
                    continue
                if node.op == "constant":
                    known[n] = [self.k.constant(node.detail, node.type, LANES)] * vectors
                elif node.op == "number":
                    known[n] = [self.numbers[int(node.detail)]] * vectors
                elif node.op == "store":
                    self._store(int(node.detail), known[node.args[0]], None)
                elif node.op == "load":
                    known[n] = self._load(int(node.detail), None)
                elif node.op == "at":
                    known[n] = self._gathered(int(node.detail), known[node.args[0]])
                else:
                    known[n] = self._each(n, known)
            if run.targets:
                self._run(run, known)

    def _each(self, number: int, values: dict[int, _Vectors]) -> _Vectors:
        node = self.nest.nodes[number]
        return [compute(self.k, node, [values[a][v] for a in node.args]) for v in range(self.count)]

    def _run(self, run: Any, known: dict[int, _Vectors]) -> None:
        k, nest = self.k, self.nest
        reductions = [t for t in run.targets if nest.nodes[t].op in REDUCTIONS]
        first = [k.constant(identity(nest.nodes[t]), nest.nodes[t].type, LANES) for t in reductions for _ in range(self.count)]
        ops = [nest.nodes[t].op for t in reductions for _ in range(self.count)]
        with k.loop(0, self.steps, BLOCK, first) as block:
            end = k.intrinsic("smin", k.add(block.index, k.constant(BLOCK, "i64")), self.steps)
            with k.loop(block.index, end, 1, first) as step:
                values = self._step(run, known, step.index)
                found = [v for t in reductions for v in values[nest.nodes[t].args[0]]]
                step.next = [combined(k, op, total, v) for op, total, v in zip(ops, step.carried, found, strict=True)]
            block.next = [combined(k, op, total, part) for op, total, part in zip(ops, block.carried, step.results, strict=True)]
        for n, t in enumerate(reductions):
            known[t] = block.results[n * self.count : (n + 1) * self.count]

    def _step(self, run: Any, known: dict[int, _Vectors], step: Value) -> dict[int, _Vectors]:
        """The terms of a pass at one step; stores are carried out."""
        k, nest = self.k, self.nest
        values = dict(known)
        needed = list(run.needed)
        for n, row in run.saved_before.items():
            if self.rows:
                values[n] = [k.load(self._scratch(row, step, v), "float", LANES) for v in range(self.count)]
            else:
                needed = sorted({*needed, *self._again(n, values)})
        for n in needed:
            node = nest.nodes[n]
            if node.op == "load":
                values[n] = self._load(int(node.detail), step)
            elif node.op == "position":
                values[n] = [k.splat(k.convert(step, "i32"))] * self.count
            else:
                values[n] = self._each(n, values)
            if n in self.rows and n not in run.saved_before:
                for v, value in enumerate(values[n]):
                    k.store(value, self._scratch(self.rows[n], step, v))
        for t in run.targets:
            if nest.nodes[t].op == "store":
                self._store(int(nest.nodes[t].detail), values[nest.nodes[t].args[0]], step)
        return values

    def _again(self, number: int, known: dict[int, _Vectors]) -> set[int]:
        """What has to be computed for a term along the steps."""
        found: set[int] = set()
        waiting = [number]
        while waiting:
            n = waiting.pop()
            if n not in known and n not in found:
                found.add(n)
                waiting.extend(self.nest.nodes[n].args)
        return found

    def _scratch(self, row: int, step: Value, vector: int) -> Value:
        k = self.k
        place = k.add(step, k.mul(self.steps, k.constant(row, "i64"))) if row else step
        return k.address(self.scratch, k.add(k.mul(place, k.constant(self.vectors * LANES, "i64")), k.constant(vector * LANES, "i64")), "float")

    def _address(self, operand: int, step: Value | None, vector: int) -> Value:
        k, type = self.k, self.nest.operands[operand].type
        stride, at = self.strides[operand], self.starts[operand]
        if step is not None and stride is not None:
            at = k.address(at, k.mul(step, stride), type)
        return k.address(at, vector * LANES, type) if vector and self.nest.operands[operand].along != "s" else at

    def _gathered(self, operand: int, places: _Vectors) -> _Vectors:
        """The elements at a step of each lane's own."""
        k, type, stride = self.k, self.nest.operands[operand].type, self.strides[operand]
        assert stride is not None
        lanes = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
        found = []
        for v, place in enumerate(places):
            offsets = k.mul(k.convert(place, "i64"), k.splat(stride))
            if self.nest.operands[operand].along != "s":
                offsets = k.add(offsets, lanes)
            found.append(k.gather(k.addresses(self._address(operand, None, v), offsets, type), type, self.mask, k.constant(0, type, LANES)))
        return found

    def _load(self, operand: int, step: Value | None) -> _Vectors:
        k, type = self.k, self.nest.operands[operand].type
        if self.nest.operands[operand].along == "s":
            return [k.splat(k.load(self._address(operand, step, 0), type))] * self.count
        places = [self._address(operand, step, v) for v in range(self.count)]
        if self.mask is None:
            return [k.load(place, type, LANES) for place in places]
        return [k.masked_load(place, type, self.mask, k.constant(0, type, LANES)) for place in places]

    def _store(self, operand: int, values: _Vectors, step: Value | None) -> None:
        for v, value in enumerate(values):
            place = self._address(operand, step, v)
            if self.mask is None:
                self.k.store(value, place)
            else:
                self.k.masked_store(value, place, self.mask)
