"""Loops whose neighbours lie side by side in the lanes of a vector, and whose steps follow each other: as one kernel.

The formula is that of a loop over rows (loops.py). Here its row goes by steps, 16 rows at a time or several times 16, and
each lane is a row of its own: there is nothing to add up across lanes, and what has its neighbours next to each other in memory is
read as vectors, whatever its stride along the row. An operand that has its steps next to each other instead is turned: squares of 16
by 16 are transposed in registers, through a buffer in the nearest cache.

Passes and scratch values are those of loops.py. A sum has one of two orders, which the shape fixes. Of steps through a dim that is not
the last one: blocks of `BLOCK` steps, each added up in order, and then their totals in order. Of a row: that of loops.py, so that
the lanes of its vectors are sums in memory here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .emit import BITS, LANES, Builder, Value, module
from .gemm_pack import transpose
from .kernel import Kernel
from .loops import SUM_LANES, Nest, Pass, Stages, as_carried, combined, compute, from_carried, identity, name_of, passes
from .terms import FLOATS, FUNCTIONS, REDUCTIONS

#: Steps that are added up before their total joins the others.
BLOCK = 128
#: What `Nest.shared` says: whether sums go as those of rows do, and whether functions are computed anew in a later pass, since their values would not fit into the cache.
OF_ROWS, ANEW = "rows", "anew"

_Vectors = list[Value]


def saved_rows(nest: Nest) -> int:
    """How many values of each step are kept for a later pass."""
    return len(passes(nest, Stages(nest))[1]) if ANEW not in nest.shared else 0


def vectors(nest: Nest) -> int:
    """How many vectors of neighbours go together."""
    wide = any(node.op in FUNCTIONS or BITS.get(node.type, 64) == 64 for node in nest.nodes)
    return 1 if wide or any(operand.lanes in ("s", "t") for operand in nest.operands) else 4


@lru_cache(maxsize=256)
def kernel(nest: Nest) -> Kernel:
    """The kernel of a nest. See across.py for its words."""
    writer = _Writer(nest)
    return Kernel(writer.k.name, module([writer.write()]))


class _Writer:
    def __init__(self, nest: Nest) -> None:
        self.nest, self.shape = nest, Stages(nest)
        self.passes, rows = passes(nest, self.shape)
        self.rows = rows if ANEW not in nest.shared else {}
        self.k = Builder(name_of(nest).replace("loop", "across", 1), [("ptr", "args"), ("i64", "chunk")])
        self.vectors = vectors(nest)
        self.turned = [n for n, operand in enumerate(nest.operands) if operand.lanes == "t"]
        self._word = 0

    def word(self, type: str = "i64") -> Value:
        self._word += 1
        return self.k.load(self.k.address(self.k.parameters["args"], self._word - 1, "i64"), type)

    def room(self, count: int, type: str) -> Value:
        return self.k.new(f"alloca [{count} x {type}], align 64", "ptr")

    def write(self) -> Builder:
        k, nest = self.k, self.nest
        outer, each, second, self.steps, inner, pieces, piece = (self.word() for _ in range(7))
        self.numbers: dict[int, Value] = {}
        memory: dict[int, tuple[Value, Value, Value]] = {}  # addresses, and strides under the two loops around
        self.strides: dict[int, Value] = {}
        self.lanes: dict[int, Value] = {}
        for n, a in enumerate(nest.operands):
            if a.along == "number":
                self.numbers[n] = k.splat(self.word(a.type))
                continue
            memory[n] = self.word("ptr"), self.word(), self.word()
            if a.along != "0":
                self.strides[n] = self.word()
            if a.lanes in ("s", "t"):
                self.lanes[n] = self.word()
        width = k.constant(self.vectors * LANES, "i64")
        if self.rows:
            size = k.mul(self.steps, k.mul(width, k.constant(len(self.rows), "i64")))
            self.scratch = k.address(self.word("ptr"), k.mul(k.parameters["chunk"], size), "float")
        self.buffers = {n: self.room(LANES * LANES, nest.operands[n].type) for n in self.turned}
        ordered = [[t for t in run.targets if self._in_lanes(t)] for run in self.passes]
        self.sums = [self.room(SUM_LANES * self.vectors * LANES, "double") for _ in range(max(map(len, ordered)))]
        group = k.binary("sdiv", k.parameters["chunk"], pieces)
        begin = k.mul(group, each)
        first = k.mul(k.sub(k.parameters["chunk"], k.mul(group, pieces)), piece)
        last = k.intrinsic("smin", k.add(first, piece), inner)
        with k.loop(begin, k.intrinsic("smin", k.add(begin, each), outer)) as one, k.loop(0, second) as other:
            starts = {}
            for n, (pointer, of_outer, of_second) in memory.items():
                starts[n] = k.address(pointer, k.add(k.mul(one.index, of_outer), k.mul(other.index, of_second)), nest.operands[n].type)
            whole = k.add(first, k.and_(k.sub(last, first), k.constant(-self.vectors * LANES, "i64")))
            with k.loop(first, whole, width) as column:
                self._columns(starts, column.index, self.vectors, None)
            with k.loop(whole, last, LANES) as column:
                self._columns(starts, column.index, 1, k.first_lanes(k.sub(last, column.index)))
        return k

    def _in_lanes(self, target: int) -> bool:
        """Whether this is a sum whose order is that of a row's lanes."""
        node = self.nest.nodes[target]
        return OF_ROWS in self.nest.shared and node.op in ("sum", "prod") and node.type in FLOATS

    def _columns(self, starts: dict[int, Value], column: Value, vectors: int, mask: Value | None) -> None:
        """All passes over some neighbours."""
        k = self.k
        self.starts: dict[int, Value] = {}
        for n, start in starts.items():
            access = self.nest.operands[n]
            moved = k.mul(column, self.lanes[n]) if n in self.lanes else column
            self.starts[n] = start if access.lanes == "0" else k.address(start, moved, access.type)
        self.mask, self.count = mask, vectors
        self.in_turn: Value | None = None  # the step's number in the square that has been turned
        known: dict[int, _Vectors] = {}
        for stage, run in enumerate(self.passes):
            for n, node in enumerate(self.nest.nodes):
                if self.shape.along[n] or self.shape.stage[n] != stage or node.op in REDUCTIONS:
                    continue
                if node.op == "constant":
                    known[n] = [k.constant(node.detail, node.type, LANES)] * vectors
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

    # One pass

    def _run(self, run: Pass, known: dict[int, _Vectors]) -> None:
        k, nest = self.k, self.nest
        reductions = [t for t in run.targets if nest.nodes[t].op in REDUCTIONS]
        in_memory = [t for t in reductions if self._in_lanes(t)]
        carried = [t for t in reductions if t not in in_memory]
        first = [as_carried(k, nest.nodes[t], k.constant(identity(nest.nodes[t]), nest.nodes[t].type, LANES)) for t in carried for _ in range(self.count)]
        if OF_ROWS in nest.shared or not carried:
            for room, t in zip(self.sums, in_memory, strict=False):
                self._clear(room, t)
            totals = self._steps(run, known, k.constant(0, "i64"), self.steps, carried, first, in_memory)
            for room, t in zip(self.sums, in_memory, strict=False):
                known[t] = self._total(room, t)
        else:
            with k.loop(0, self.steps, BLOCK, first) as block:
                end = k.intrinsic("smin", k.add(block.index, k.constant(BLOCK, "i64")), self.steps)
                parts = self._steps(run, known, block.index, end, carried, first, [])
                block.next = self._joined(carried, block.carried, parts)
            totals = block.results
        for n, t in enumerate(carried):
            known[t] = [from_carried(k, nest.nodes[t], total) for total in totals[n * self.count : (n + 1) * self.count]]

    def _joined(self, targets: Sequence[int], totals: Sequence[Value], values: Sequence[Value]) -> _Vectors:
        """What is carried of some reductions, with more values."""
        ops = [self.nest.nodes[t].op for t in targets for _ in range(self.count)]
        return [combined(self.k, op, total, value) for op, total, value in zip(ops, totals, values, strict=True)]

    def _steps(self, run: Pass, known: dict[int, _Vectors], begin: Value, end: Value, carried: Sequence[int], first: Sequence[Value], in_memory: Sequence[int]) -> _Vectors:
        """The steps from `begin` to `end`, which carry reductions; those in memory are added to. Answers what is carried."""
        k = self.k
        loaded = {int(self.nest.nodes[n].detail) for n in self._needed(run, known) if self.nest.nodes[n].op == "load"}
        stored = {int(self.nest.nodes[t].detail) for t in run.targets if self.nest.nodes[t].op == "store"}
        brought, taken = ([n for n in self.turned if n in there] for there in (loaded, stored))
        if self.mask is not None or not (brought or taken):
            return self._step_by_step(run, known, begin, end, carried, first, in_memory)
        whole = k.add(begin, k.and_(k.sub(end, begin), k.constant(-LANES, "i64")))
        with k.loop(begin, whole, LANES, first) as square:
            for n in brought:
                for t, row in enumerate(transpose(k, [k.load(k.address(line, square.index, self.nest.operands[n].type), self.nest.operands[n].type, LANES) for line in self._lines(n)])):
                    k.store(row, k.address(self.buffers[n], t * LANES, self.nest.operands[n].type))
            self.in_turn = square.index
            square.next = self._step_by_step(run, known, square.index, k.add(square.index, k.constant(LANES, "i64")), carried, square.carried, in_memory)
            self.in_turn = None
            for n in taken:
                type = self.nest.operands[n].type
                rows = [k.load(k.address(self.buffers[n], t * LANES, type), type, LANES) for t in range(LANES)]
                for line, row in zip(self._lines(n), transpose(k, rows), strict=True):
                    k.store(row, k.address(line, square.index, type))
        return self._step_by_step(run, known, whole, end, carried, square.results, in_memory)

    def _lines(self, operand: int) -> list[Value]:
        """Where the steps of each lane begin."""
        k = self.k
        return [k.address(self.starts[operand], k.mul(self.lanes[operand], k.constant(lane, "i64")), self.nest.operands[operand].type) for lane in range(LANES)]

    def _step_by_step(self, run: Pass, known: dict[int, _Vectors], begin: Value, end: Value, carried: Sequence[int], first: Sequence[Value], in_memory: Sequence[int]) -> _Vectors:
        k, nest = self.k, self.nest
        with k.loop(begin, end, 1, first) as step:
            values = self._step(run, known, step.index)
            found = [as_carried(k, nest.nodes[t], v) for t in carried for v in values[nest.nodes[t].args[0]]]
            for room, t in zip(self.sums, in_memory, strict=False):
                self._add(room, t, values[nest.nodes[t].args[0]], step.index)
            step.next = self._joined(carried, step.carried, found)
        return step.results

    def _needed(self, run: Pass, known: dict[int, _Vectors]) -> list[int]:
        """The terms along the steps that a pass computes."""
        if self.rows:
            return run.needed
        found = set(run.needed)
        waiting = list(run.saved_before)
        while waiting:
            n = waiting.pop()
            if n not in known and n not in found:
                found.add(n)
                waiting.extend(self.nest.nodes[n].args)
        return sorted(found)

    def _step(self, run: Pass, known: dict[int, _Vectors], step: Value) -> dict[int, _Vectors]:
        """The terms of a pass at one step; stores are carried out."""
        k, nest = self.k, self.nest
        values = dict(known)
        if self.rows:
            for n, row in run.saved_before.items():
                values[n] = [k.load(self._scratch(row, step, v), "float", LANES) for v in range(self.count)]
        for n in self._needed(run, known):
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

    def _scratch(self, row: int, step: Value, vector: int) -> Value:
        k = self.k
        place = k.add(step, k.mul(self.steps, k.constant(row, "i64"))) if row else step
        return k.address(self.scratch, k.add(k.mul(place, k.constant(self.vectors * LANES, "i64")), k.constant(vector * LANES, "i64")), "float")

    # Sums in the order of a row: element i goes to lane i % SUM_LANES, the rest that does not fill these to the first LANES.

    def _sum_lane(self, room: Value, type: str, lane: Value, vector: int) -> Value:
        k = self.k
        return k.address(room, k.add(k.mul(lane, k.constant(self.vectors * LANES, "i64")), k.constant(vector * LANES, "i64")), type)

    def _used_lanes(self) -> Value:
        k = self.k
        return k.select(k.compare("slt", self.steps, k.constant(SUM_LANES, "i64")), k.constant(LANES, "i64"), k.constant(SUM_LANES, "i64"))

    def _clear(self, room: Value, target: int) -> None:
        k, node = self.k, self.nest.nodes[target]
        with k.loop(0, self._used_lanes()) as lane:
            for v in range(self.count):
                k.store(k.constant(identity(node), node.type, LANES), self._sum_lane(room, node.type, lane.index, v))

    def _add(self, room: Value, target: int, values: _Vectors, step: Value) -> None:
        k, node = self.k, self.nest.nodes[target]
        whole = k.and_(self.steps, k.constant(-SUM_LANES, "i64"))
        lane = k.and_(step, k.select(k.compare("slt", step, whole), k.constant(SUM_LANES - 1, "i64"), k.constant(LANES - 1, "i64")))
        for v, value in enumerate(values):
            place = self._sum_lane(room, node.type, lane, v)
            k.store(combined(k, node.op, k.load(place, node.type, LANES), value), place)

    def _total(self, room: Value, target: int) -> _Vectors:
        """The lanes combined in a tree. Those that a short row has not reached are its identity."""
        k, node = self.k, self.nest.nodes[target]
        with k.loop(0, k.constant(SUM_LANES.bit_length() - 1, "i64"), 1, [k.lshr(self._used_lanes(), 1)]) as turn:
            half = turn.carried[0]
            with k.loop(0, half) as lane:
                for v in range(self.count):
                    low, high = (self._sum_lane(room, node.type, at, v) for at in (lane.index, k.add(lane.index, half)))
                    k.store(combined(k, node.op, k.load(low, node.type, LANES), k.load(high, node.type, LANES)), low)
            turn.next = [k.lshr(half, 1)]
        return [k.load(self._sum_lane(room, node.type, k.constant(0, "i64"), v), node.type, LANES) for v in range(self.count)]

    # Memory

    def _address(self, operand: int, step: Value | None, vector: int) -> Value:
        k, type = self.k, self.nest.operands[operand].type
        stride, at = self.strides.get(operand), self.starts[operand]
        if step is not None and stride is not None:
            at = k.address(at, k.mul(step, stride), type)
        return k.address(at, vector * LANES, type) if vector and self.nest.operands[operand].lanes != "0" else at

    def _offsets(self, operand: int) -> Value:
        """Of the lanes, in elements."""
        lanes = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
        return self.k.mul(lanes, self.k.splat(self.lanes[operand])) if operand in self.lanes else lanes

    def _gathered(self, operand: int, places: _Vectors) -> _Vectors:
        """The elements at a step of each lane's own."""
        k, type, stride = self.k, self.nest.operands[operand].type, self.strides[operand]
        found = []
        for v, place in enumerate(places):
            offsets = k.mul(k.convert(place, "i64"), k.splat(stride))
            if self.nest.operands[operand].lanes != "0":
                offsets = k.add(offsets, self._offsets(operand))
            found.append(k.gather(k.addresses(self._address(operand, None, v), offsets, type), type, self.mask, k.constant(0, type, LANES)))
        return found

    def _in_buffer(self, operand: int, step: Value) -> Value:
        assert self.in_turn is not None
        k = self.k
        return k.address(self.buffers[operand], k.mul(k.sub(step, self.in_turn), k.constant(LANES, "i64")), self.nest.operands[operand].type)

    def _load(self, operand: int, step: Value | None) -> _Vectors:
        k, access = self.k, self.nest.operands[operand]
        type, zero = access.type, k.constant(0, access.type, LANES)
        if access.lanes == "0":
            return [k.splat(k.load(self._address(operand, step, 0), type))] * self.count
        if access.lanes == "t" and self.in_turn is not None and step is not None:
            return [k.load(self._in_buffer(operand, step), type, LANES)]
        places = [self._address(operand, step, v) for v in range(self.count)]
        if access.lanes != "1":
            return [k.gather(k.addresses(place, self._offsets(operand), type), type, self.mask, zero) for place in places]
        if self.mask is None:
            return [k.load(place, type, LANES) for place in places]
        return [k.masked_load(place, type, self.mask, zero) for place in places]

    def _store(self, operand: int, values: _Vectors, step: Value | None) -> None:
        k, access = self.k, self.nest.operands[operand]
        if access.lanes == "t" and self.in_turn is not None and step is not None:
            k.store(values[0], self._in_buffer(operand, step))
            return
        for v, value in enumerate(values):
            place = self._address(operand, step, v)
            if access.lanes != "1":
                k.scatter(value, k.addresses(place, self._offsets(operand), access.type), self.mask)
            elif self.mask is None:
                k.store(value, place)
            else:
                k.masked_store(value, place, self.mask)
