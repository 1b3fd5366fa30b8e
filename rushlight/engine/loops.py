"""Loop nests: terms over strided operands, as one kernel.

The nest has outer loops over rows, of which the outermost is shared out in chunks, and an inner loop along the row in
vectors of 16 with a masked rest. Extents and strides are words, known when the kernel runs; the kernel is made for the
terms, the element types, the number of outer loops, and for each operand whether it moves along the row by one
element, not at all, or by a stride.

A reduction over the row makes the row several passes: each pass computes what the next ones need. Values of functions
that a later pass needs again are kept in a scratch row. The order of a sum is fixed: element ``i`` goes to lane ``i % 32``,
the rest that does not fill 32 lanes to the first 16; then the lanes are added in a tree. A sum over all rows adds
the rows of each block of `COLUMN_BLOCK` in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from . import double_functions, exact, functions, gamma_functions, trigonometric_functions
from .elements import FROM_BITS, TO_BITS
from .emit import BITS, INTEGER_OF, LANES, Builder, Value, module
from .kernel import Kernel
from .lowering import ROW_BLOCK
from .terms import EXACT_FUNCTIONS, FLOATS, FUNCTIONS, REDUCTIONS, Node

#: Rows that one chunk adds up for a sum over all rows.
COLUMN_BLOCK = 128
_SUM_VECTORS = 2
SUM_LANES = _SUM_VECTORS * LANES
_EXTREMUM_VECTORS = 4
#: A tail's rows are pieces of larger ones, which the processor does not foresee: they are fetched about so many elements ahead, and so many rows
#: at most.
_AHEAD = 2048
_ROWS_AHEAD = 8
#: Elements of rows that fetch the next one. Shorter ones follow each other as a stream, which the processor foresees; longer ones do not find the
#: next one's beside themselves in the nearest caches.
_FETCHING = (512, 4096)


class Access(NamedTuple):
    """How an operand is reached: its element type in memory, and how it moves along the row."""

    type: str
    along: str  # "1" by one element, "0" not at all, "2" by two, "-1" backwards, "s" by a stride; "number" for an operand that is no memory
    lanes: str = ""  # where rows are side by side (across_kernel.py), how it moves from one to the next: "0", "1", "s", or "t" by a stride and along the row by one


class Nest(NamedTuple):
    """All that a kernel's code depends on."""

    nodes: tuple[Node, ...]
    operands: tuple[Access, ...]
    outer: int  # loops around the row
    shared: str  # what chunks share out: "outer" the outermost loop, "row" the row itself, "blocks" the row in ROW_BLOCKs; "box" for a tail, which is given a part of all loops


_COMPARISONS = ("lt", "le", "gt", "ge", "eq")
_SHIFTS = ("shl", "ashr")
_SHUFFLED = ("2", "-1")
_INTRINSICS = ("sqrt", "floor", "ceil", "rint", "trunc", "copysign")


_HALVES: dict[str, Callable[..., Value]] = {**{f"from_{kind}": f for kind, f in FROM_BITS.items()}, **{f"to_{kind}": f for kind, f in TO_BITS.items()}}


#: Where functions of each type are.
_FILES = {"float": (functions, trigonometric_functions, gamma_functions), "double": (double_functions,)}


@lru_cache(maxsize=64)
def _function(op: str, type: str) -> Callable[..., Value]:
    found: Callable[..., Value] = next(getattr(file, op) for file in _FILES[type] if hasattr(file, op))
    return found


def compute(k: Builder, node: Node, values: Sequence[Value]) -> Value:
    """The value of an operation that touches no memory."""
    op = node.op
    if op in _COMPARISONS:
        prefix = "o" if values[0].floating else "s" if op != "eq" else ""
        return k.compare(prefix + op, *values)
    if op == "ne":
        return k.compare("une" if values[0].floating else "ne", *values)
    if op in _INTRINSICS:
        return k.intrinsic(op, *values)
    if op in FUNCTIONS:
        return _function(op, node.type)(k, *values)
    if op in EXACT_FUNCTIONS:
        fixed: Callable[..., Value] = getattr(exact, op)
        return fixed(k, *values)
    if op == "convert":
        return k.convert(values[0], node.type)
    if op == "from_u8":
        return k.unsigned(values[0], node.type)
    if op in _SHIFTS:
        return k.binary(op, *values)
    if op in _HALVES:
        return _HALVES[op](k, *values)
    if op in ("and", "or"):
        op += "_"
    method: Callable[..., Value] = getattr(k, op)
    return method(*values)


class Stages:
    """Where each term is computed: along the row or once for it, and after how many reductions."""

    def __init__(self, nest: Nest) -> None:
        self.along: list[bool] = []
        self.stage: list[int] = []
        for node in nest.nodes:
            stage = max((self.stage[a] for a in node.args), default=0)
            along = any(self.along[a] for a in node.args)
            if node.op in REDUCTIONS:
                along, stage = False, stage + 1
            elif node.op == "position" or node.op == "column_sum":
                along = True
            elif node.op in ("load", "store"):
                along = along or nest.operands[int(node.detail)].along != "0"
            elif node.op == "at":
                along = False
            self.along.append(along)
            self.stage.append(stage)

    def pass_of(self, nest: Nest, number: int) -> int:
        """The pass that carries out a reduction, a store or a sum over rows."""
        return self.stage[number] - (nest.nodes[number].op in REDUCTIONS)


class Pass(NamedTuple):
    """One run along the row."""

    targets: list[int]  # reductions, stores and sums over rows
    needed: list[int]  # terms along the row to compute, in order
    saved_before: dict[int, int]  # terms to take from the scratch row, and which one


def passes(nest: Nest, shape: Stages) -> tuple[list[Pass], dict[int, int]]:
    """The passes, one for each stage, and the scratch row of each term that a later pass takes up again."""
    count = max(shape.stage, default=0) + 1
    found, computed, rows = [], set[int](), dict[int, int]()
    for stage in range(count):
        targets = [n for n, node in enumerate(nest.nodes) if shape.pass_of(nest, n) == stage and (node.op in REDUCTIONS or (shape.along[n] and node.op in ("store", "column_sum")))]
        needed, saved = set[int](), dict[int, int]()
        waiting = [a for t in targets for a in nest.nodes[t].args]
        while waiting:
            n = waiting.pop()
            if not shape.along[n] or n in needed or n in saved:
                continue
            if n in computed and nest.nodes[n].op in FUNCTIONS and nest.nodes[n].type == "float":
                saved[n] = rows.setdefault(n, len(rows))
                continue
            needed.add(n)
            waiting.extend(nest.nodes[n].args)
        computed |= needed
        found.append(Pass(targets, sorted(needed), saved))
    return found, rows


def scratch_rows(nest: Nest) -> int:
    """How many rows of scratch memory each chunk needs."""
    return len(passes(nest, Stages(nest))[1])


class Fetch(NamedTuple):
    """What one pass over the row fetches for others: without that, memory rests while the passes over what is in the cache compute."""

    run: Pass | None = None
    next_row: Sequence[int] = ()  # operands whose next row it fetches
    stored: Sequence[int] = ()  # operands that later passes write


def fetched(nest: Nest, found: Sequence[Pass]) -> Fetch:
    """The second pass fetches, where rows follow each other; not where the near cache has sums over rows to hold as well."""
    runs = [run for run in found if run.targets]
    if len(runs) < 2 or not nest.outer or nest.shared != "outer" or any(node.op == "column_sum" for node in nest.nodes):
        return Fetch()

    def near(op: str, terms: Sequence[int]) -> list[int]:
        operands = [int(nest.nodes[n].detail) for n in terms if nest.nodes[n].op == op]
        return [n for n in operands if nest.operands[n].along == "1"]

    return Fetch(runs[1], near("load", runs[0].needed), near("store", [t for run in runs[2:] for t in run.targets]))


@lru_cache(maxsize=768)
def kernel(nest: Nest) -> Kernel:
    """The kernel of a nest. See nests.py for its words."""
    writer = _Writer(nest)
    return Kernel(writer.k.name, module([writer.write()]))


#: What a kernel's name does not tell, and how it tells the rest.
_UNNAMED = frozenset(("load", "store", "constant", "number", "convert"))
_NAMES = {"sum": "rowsum", "prod": "rowprod", "max": "rowmax", "largest": "rowlargest", "min": "rowmin", "column_sum": "colsum"}
_NAMED_AT_MOST = 6


def name_of(nest: Nest) -> str:
    """A name for profiles: ``loop_sub_exp_rowsum``. It follows from the terms, so that equal nests stay one kernel."""
    ops = [_NAMES.get(node.op, node.op) for node in nest.nodes if node.op not in _UNNAMED]
    ops = [op for n, op in enumerate(ops) if n == 0 or op != ops[n - 1]] or ["copy" if any(n.op == "load" for n in nest.nodes) else "fill"]
    if len(ops) > _NAMED_AT_MOST:
        ops[_NAMED_AT_MOST:] = [f"{len(ops) - _NAMED_AT_MOST}more"]
    return "_".join(["tail" if nest.shared == "box" else "loop", *ops])


#: Of a tail: see kernel.py.
_BOX = (("i64", "matrix"), ("i64", "row"), ("i64", "row_end"), ("i64", "column"), ("i64", "column_end"))


class _Writer:
    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.shape = Stages(nest)
        self.passes, self.rows = passes(nest, self.shape)
        self.fetch = fetched(nest, self.passes)
        self.k = Builder(name_of(nest), [("ptr", "args"), *(_BOX if nest.shared == "box" else [("i64", "chunk")])])
        self.ahead: list[Value | None] = [None] * len(nest.operands)
        self._word = 0

    def word(self, type: str = "i64") -> Value:
        """The next argument."""
        value = self.k.load(self.k.address(self.k.parameters["args"], self._word, "i64"), type)
        self._word += 1
        return value

    def write(self) -> Builder:
        k, nest = self.k, self.nest
        extent, per_chunk = self.word(), self.word()
        extents = [self.word() for _ in range(nest.outer - 1)]
        self.row = self.word()
        self.done: Value | None = None  # elements of the row before the present block
        self.numbers: dict[int, Value] = {}
        pointers: list[Value | None] = []
        self.strides: list[list[Value]] = []
        self.along: list[Value | None] = []
        for n, operand in enumerate(nest.operands):
            if operand.along == "number":
                self.numbers[n] = self.word(operand.type)
                pointers.append(None)
                self.strides.append([])
                self.along.append(None)
                continue
            pointers.append(self.word("ptr"))
            self.strides.append([self.word() for _ in range(nest.outer)])
            self.along.append(self.word() if operand.along == "s" else None if operand.along in ("0", "1") else k.constant(int(operand.along), "i64"))
        self.columns = {int(node.detail) for node in nest.nodes if node.op == "column_sum"}
        least, most = _FETCHING
        fetches = k.compare("ule", k.sub(self.row, k.constant(least, "i64")), k.constant(most - least, "i64"))
        self.fetches = k.select(fetches, k.constant(-1, "i64"), k.constant(0, "i64"))
        if nest.shared == "box":
            self._box(pointers)
            return k
        chunk = k.parameters["chunk"]
        if self.rows:
            scratch, size = self.word("ptr"), self.word()
            self.scratch = k.address(scratch, k.mul(chunk, k.mul(size, k.constant(len(self.rows), "i64"))), "float")
            self.scratch_size = size
        begin = k.mul(chunk, per_chunk)
        end = k.intrinsic("smin", k.add(begin, per_chunk), extent)
        for n in self.columns:
            pointer = pointers[n]
            assert pointer is not None
            pointers[n] = k.address(pointer, k.mul(chunk, self.row), nest.operands[n].type)
            self._clear(pointers[n], nest.operands[n].type)
        if nest.shared == "row":
            pointers = [p if p is None else self._moved(p, n, begin) for n, p in enumerate(pointers)]
            self.row = k.sub(end, begin)
            self._row(pointers)
        elif nest.outer == 0:
            self._row(pointers)
        else:
            self._outer(0, begin, end, extents, pointers)
        return k

    def _box(self, pointers: list[Value | None]) -> None:
        """The rows and columns of one matrix that the parameters name."""
        k = self.k
        matrix, row, row_end, column, column_end = (k.parameters[name] for _, name in _BOX)
        moved: list[Value | None] = []
        for n, pointer in enumerate(pointers):
            if pointer is not None:
                pointer = self._moved(k.address(pointer, k.mul(matrix, self.strides[n][0]), self.nest.operands[n].type), n, column)
            moved.append(pointer)
        self.row = k.sub(column_end, column)
        rows = k.intrinsic("smin", k.binary("udiv", k.constant(_AHEAD, "i64"), self.row), k.constant(_ROWS_AHEAD, "i64"))
        self.ahead = [k.mul(strides[1], rows) if strides else None for strides in self.strides]
        self._outer(1, row, row_end, [], moved)

    def _clear(self, pointer: Value | None, type: str) -> None:
        k = self.k
        assert pointer is not None
        with k.loop(0, self.row, LANES) as loop:
            k.masked_store(k.constant(0, type, LANES), k.address(pointer, loop.index, type), k.first_lanes(k.sub(self.row, loop.index)))

    def _outer(self, depth: int, begin: Value | int, end: Value, extents: list[Value], pointers: list[Value | None]) -> None:
        k, nest = self.k, self.nest
        if depth == nest.outer:
            self._row(pointers)
            return
        with k.loop(begin, end) as loop:
            moved = []
            for n, pointer in enumerate(pointers):
                if pointer is not None and n not in self.columns:
                    pointer = k.address(pointer, k.mul(loop.index, self.strides[n][depth]), nest.operands[n].type)
                moved.append(pointer)
            if nest.shared == "blocks":
                whole = self.row
                done = k.mul(loop.index, k.constant(ROW_BLOCK, "i64"))
                self.row = k.intrinsic("smin", k.constant(ROW_BLOCK, "i64"), k.sub(whole, done))
                self.done = done
                self._row(moved)
                self.row = whole
            else:
                self._outer(depth + 1, 0, extents[depth] if depth < len(extents) else end, extents, moved)

    def _moved(self, pointer: Value, operand: int, index: Value) -> Value:
        """An operand's address `index` elements along the row."""
        along = self.nest.operands[operand].along
        if along == "0":
            return pointer
        stride = self.along[operand]
        return self.k.address(pointer, index if stride is None else self.k.mul(index, stride), self.nest.operands[operand].type)

    # One row

    def _row(self, pointers: list[Value | None]) -> None:
        nest, shape = self.nest, self.shape
        self.pointers = pointers
        known: dict[int, Value] = {}
        for stage, run in enumerate(self.passes):
            for n, node in enumerate(nest.nodes):
                if not shape.along[n] and shape.stage[n] == stage and node.op not in REDUCTIONS:
                    self._once(n, node, known)
            if run.targets:
                self._run(run, known)

    def _once(self, number: int, node: Node, known: dict[int, Value]) -> None:
        """A term that has one value for the row."""
        k = self.k
        values = [known[a] for a in node.args]
        if node.op == "number":
            value = self.numbers[int(node.detail)]
            known[number] = k.convert(value, node.type) if value.type != node.type else value
        elif node.op == "constant":
            known[number] = k.constant(node.detail, node.type)
        elif node.op == "load":
            pointer = self.pointers[int(node.detail)]
            assert pointer is not None
            known[number] = k.load(pointer, node.type)
        elif node.op == "store":
            pointer = self.pointers[int(node.detail)]
            assert pointer is not None
            k.store(values[0], pointer)
        elif node.op == "at":
            pointer = self.pointers[int(node.detail)]
            assert pointer is not None
            known[number] = k.load(self._moved(pointer, int(node.detail), k.convert(values[0], "i64")), node.type)
        else:
            known[number] = compute(k, node, values)

    def _run(self, run: Pass, known: dict[int, Value]) -> None:
        k, nest = self.k, self.nest
        reductions = [t for t in run.targets if nest.nodes[t].op in REDUCTIONS]
        # Extrema are the same in any order.
        vectors = _SUM_VECTORS if any(nest.nodes[t].op in ("sum", "prod") for t in reductions) else _EXTREMUM_VECTORS if reductions else 1
        # What is one value for the row is spread over the lanes before the loop.
        used = {a for n in (*run.needed, *run.targets) for a in nest.nodes[n].args}
        spread = {n: k.splat(v) for n, v in known.items() if n in used}
        first = [as_carried(k, nest.nodes[t], k.constant(identity(nest.nodes[t]), nest.nodes[t].type, LANES)) for t in reductions for _ in range(vectors)]
        step = LANES * vectors
        whole = k.and_(self.row, k.constant(-step, "i64"))
        with k.loop(0, whole, step, first) as loop:
            totals = list(loop.carried)
            for v in range(vectors):
                place = loop.index if v == 0 else k.add(loop.index, k.constant(v * LANES, "i64"))
                values = self._vector(run, spread, place, None)
                for m, t in enumerate(reductions):
                    found = as_carried(k, nest.nodes[t], values[nest.nodes[t].args[0]])
                    totals[m * vectors + v] = combined(k, nest.nodes[t].op, totals[m * vectors + v], found)
            loop.next = totals
        with k.loop(whole, self.row, LANES, loop.results[::vectors]) as rest:
            mask = k.first_lanes(k.sub(self.row, rest.index))
            values = self._vector(run, spread, rest.index, mask)
            totals = []
            for m, t in enumerate(reductions):
                joint = combined(k, nest.nodes[t].op, rest.carried[m], as_carried(k, nest.nodes[t], values[nest.nodes[t].args[0]]))
                totals.append(k.select(mask, joint, rest.carried[m]))
            rest.next = totals
        for m, t in enumerate(reductions):
            op = nest.nodes[t].op
            total = rest.results[m]
            for other in loop.results[m * vectors + 1 : (m + 1) * vectors]:
                total = combined(k, op, total, other)
            known[t] = from_carried(k, nest.nodes[t], _across(k, op, total))

    def _vector(self, run: Pass, spread: dict[int, Value], place: Value, mask: Value | None) -> dict[int, Value]:
        """The terms of a pass at 16 places along the row; stores are carried out."""
        k, nest = self.k, self.nest
        values = dict(spread)
        if run is self.fetch.run and mask is None:
            self._fetch(place)
        for n, row in run.saved_before.items():
            values[n] = k.load(self._scratch(row, place), "float", LANES)
        for n in run.needed:
            node = nest.nodes[n]
            if node.op == "load":
                values[n] = self._load(int(node.detail), place, mask)
            elif node.op == "position":
                numbers = Value("<" + ", ".join(f"i32 {i}" for i in range(LANES)) + ">", "i32", LANES)
                values[n] = k.add(k.convert(place if self.done is None else k.add(place, self.done), "i32"), numbers)
            else:
                values[n] = compute(k, node, [values[a] for a in node.args])
            if n in self.rows and n not in run.saved_before:
                k.store(values[n], self._scratch(self.rows[n], place))
        for t in run.targets:
            node = nest.nodes[t]
            if node.op == "store":
                self._store(int(node.detail), values[node.args[0]], place, mask)
            elif node.op == "column_sum":
                operand = int(node.detail)
                before = self._load(operand, place, mask)
                self._store(operand, k.add(before, values[node.args[0]]), place, mask)
        return values

    def _fetch(self, place: Value) -> None:
        k = self.k
        place = k.and_(place, self.fetches)
        for writes, operands in ((False, self.fetch.next_row), (True, self.fetch.stored)):
            for n in operands:
                pointer = self.pointers[n]
                assert pointer is not None
                k.prefetch(k.address(pointer, place if writes else k.add(place, k.and_(self.strides[n][-1], self.fetches)), self.nest.operands[n].type), writes)

    def _scratch(self, row: int, place: Value) -> Value:
        k = self.k
        start = place if row == 0 else k.add(place, k.mul(self.scratch_size, k.constant(row, "i64")))
        return k.address(self.scratch, start, "float")

    def _load(self, operand: int, place: Value, mask: Value | None) -> Value:
        k = self.k
        pointer, access = self.pointers[operand], self.nest.operands[operand]
        assert pointer is not None
        if access.along == "0":
            return k.splat(k.load(pointer, access.type))
        zero = k.constant(0, access.type, LANES)
        if access.along == "1":
            address = k.address(pointer, place, access.type)
            if (ahead := self.ahead[operand]) is not None and mask is None:
                k.prefetch(k.address(address, ahead, access.type))
            return k.load(address, access.type, LANES) if mask is None else k.masked_load(address, access.type, mask, zero)
        if mask is None and access.along in _SHUFFLED:
            return self._shuffled(self._moved(pointer, operand, place), access)
        return k.gather(self._places(operand, place), access.type, mask, zero)

    def _shuffled(self, start: Value, access: Access) -> Value:
        """16 elements backwards or every other one, without a gather and without reading beyond them."""
        k = self.k
        if access.along == "-1":
            return k.shuffle(k.load(k.address(start, 1 - LANES, access.type), access.type, LANES), range(LANES - 1, -1, -1))
        low, high = (k.load(k.address(start, at, access.type), access.type, LANES) for at in (0, LANES - 1))
        return k.shuffle(low, [*range(0, LANES, 2), *range(LANES + 1, 2 * LANES, 2)], high)

    def _store(self, operand: int, value: Value, place: Value, mask: Value | None) -> None:
        k = self.k
        pointer, access = self.pointers[operand], self.nest.operands[operand]
        assert pointer is not None
        value = k.splat(value)
        if access.along in _SHUFFLED and mask is None:
            self._store_shuffled(value, self._moved(pointer, operand, place), access)
        elif access.along == "1":
            address = k.address(pointer, place, access.type)
            if mask is None:
                k.store(value, address)
            else:
                k.masked_store(value, address, mask)
        else:
            k.scatter(value, self._places(operand, place), mask)

    def _store_shuffled(self, value: Value, start: Value, access: Access) -> None:
        k = self.k
        if access.along == "-1":
            k.store(k.shuffle(value, range(LANES - 1, -1, -1)), k.address(start, 1 - LANES, access.type))
            return
        others = Value("<" + ", ".join(f"i1 {1 - n % 2}" for n in range(LANES)) + ">", "i1", LANES)
        for first in (0, LANES // 2):
            k.masked_store(k.shuffle(value, [first + n // 2 for n in range(LANES)]), k.address(start, 2 * first, access.type), others)

    def _places(self, operand: int, place: Value) -> Value:
        """The addresses of 16 elements of a strided operand."""
        k = self.k
        pointer, stride = self.pointers[operand], self.along[operand]
        assert pointer is not None and stride is not None
        numbers = Value("<" + ", ".join(f"i64 {i}" for i in range(LANES)) + ">", "i64", LANES)
        start = k.address(pointer, k.mul(place, stride), self.nest.operands[operand].type)
        return k.addresses(start, k.mul(numbers, k.splat(stride)), self.nest.operands[operand].type)


def identity(node: Node) -> float:
    if node.op == "sum":
        return 0
    if node.op == "prod":
        return 1
    if node.type in FLOATS:
        return float("-inf") if node.op in ("max", "largest") else float("inf")
    bits = BITS[node.type]
    return -(1 << (bits - 1)) if node.op == "max" else (1 << (bits - 1)) - 1


# Extrema of floats are carried as integers of the same order, which one instruction compares: nan beyond all else, 0 above -0.


def as_carried(k: Builder, node: Node, value: Value) -> Value:
    """A value as a reduction carries it."""
    if not _is_ordered(node):
        return value
    type = INTEGER_OF[node.type]
    quiet = 0x7FC00000 if node.type == "float" else 0x7FF8000000000000
    order = _turned_over(k, k.bitcast(value, type))
    return k.select(k.compare("uno", value, value), k.like(quiet if node.op == "max" else ~quiet, order), order)


def from_carried(k: Builder, node: Node, carried: Value) -> Value:
    return k.bitcast(_turned_over(k, carried), node.type) if _is_ordered(node) else carried


def _is_ordered(node: Node) -> bool:
    return node.op in ("max", "min") and node.type in FLOATS


def _turned_over(k: Builder, bits: Value) -> Value:
    """The bits of a negative float in their reverse order, and back."""
    return k.xor(bits, k.lshr(k.ashr(bits, BITS[bits.type] - 1), 1))


def combined(k: Builder, op: str, a: Value, b: Value) -> Value:
    """Two values as a reduction carries them."""
    if op == "sum":
        return k.add(a, b)
    if op == "prod":
        return k.mul(a, b)
    if op == "largest":
        return k.select(k.compare("ogt", b, a), b, a)
    return k.maximum(a, b) if op == "max" else k.minimum(a, b)


def _across(k: Builder, op: str, total: Value) -> Value:
    """The lanes of a vector combined in a tree: the upper half with the lower."""
    return k.reduced(total, lambda low, high: combined(k, op, low, high))
