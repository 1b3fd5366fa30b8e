"""Contractions as machine code: a product whose left side is read from where it lies. Convolutions are made of them.

    panel         ``out[row, column] = bias[column] + sum over k of a[row, k] * b[k, column]`` for a panel of columns, as a function
    contraction   a kernel of its own for sums over blocks of k

In a contraction a row is one of up to four dims (such as sample, depth, height, width of a result), and so is k (channel and
place in the window). The address of ``a[row, k]`` is a sum of what the row and what k contribute. Both parts are written
into tables beforehand, so that one flat loop over k does all geometries: an entry of the table of k, one load from a panel of
B, and for each row of the tile a load that goes to every lane.

Each element of the output is one accumulator that starts from the bias (or zero) and takes ``fma`` for k in the order of
its dims. In a sum over blocks each block starts from zero, and is added to the blocks before it.

In half precision accumulators are float32, and what is multiplied is so too, or pairs of bfloat16 (elements.add_products): then a k is a
pair of channels or of samples. Results are rounded when they are written; a bias of pairs that is subnormal counts as zero, as their sums do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from . import llvm
from .conv_copies import numbers, square, square_name
from .elements import add_products, load, memory_type, register_type, round_sums, store, store_sums, stored
from .emit import BITS, Builder, Value
from .gemm_kernel import divide, invoke, read_word, share
from .kernel import Kernel, Subroutine, kernel_of, subroutine

#: Dims of a row, and of k.
DIMS = 4


class Word(IntEnum):
    """The words of a contraction. Strides are in elements."""

    A = 0
    B = auto()  # packed: for each group, for each panel of columns, for each k a row as wide as the panel
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk
    TABLE_BYTES = auto()  # of these, what the table of k takes
    STRIP_BYTES = auto()  # and each of the two tables of rows, behind which a tile has room
    COLUMNS = auto()
    COLUMN_STEP = auto()  # between columns of the output
    PANEL_STEP = auto()  # between panels of B
    ROWS = auto()
    DEPTH = auto()  # how many k there are, and how many in a block
    BLOCK = auto()
    BLOCKS = auto()
    BLOCK_A = auto()  # between blocks
    BLOCK_B = auto()
    ADDS = auto()  # 1 if a sum adds to what is there from another call
    OUTER = auto()  # all this so many times over
    OUTER_A = auto()
    OUTER_B = auto()
    GROUP_A = auto()
    GROUP_B = auto()
    GROUP_OUT = auto()
    STRIPS = auto()
    PANEL_SLABS = auto()
    # Shares, each two words.
    TILES = auto()  # in a strip
    PANELS = TILES + 2  # type: ignore[operator]  # in a slab
    JOBS = PANELS + 2  # in a chunk: groups times strips times slabs of panels
    # Extents, strides of A, strides of the output or of B.
    ROW_DIMS = JOBS + 2
    K_DIMS = ROW_DIMS + 3 * DIMS
    END = K_DIMS + 3 * DIMS


Store = Literal["rows", "columns", "sum", "places"]


@dataclass(frozen=True, slots=True)
class Variant:
    """What a contraction is specialised on."""

    type: str  # of operands and results: "float", "double", "bf16", "f16"
    rows: int  # of a tile
    vectors: int  # in a row of a panel
    tail: int  # vectors in a row of the last panel, if fewer
    bias: bool
    store: Store
    """How results lie: columns of a row next to each other ("rows"), rows of a column ("columns"), or as rows that are added up ("sum").

    In all these the lanes of a vector are columns. With "places" they are places next to each other in A and in the output: a row
    stands for so many of them, a panel has as many columns as `vectors` says, and it is B that goes to every lane.
    """

    place_step: int = 1
    """With "places": how far those of a vector lie apart in the output; 0 if that is more than 2."""
    beyond: bool = False
    """With "places": whether there is something to read behind the last ones."""
    pairs: bool = False
    """Whether bfloat16 is multiplied in pairs."""
    unrounded: bool = False
    """Whether results are written as the accumulators are; sums always are."""

    @property
    def lanes(self) -> int:
        return llvm.vector_width() // BITS[self.sum]

    @property
    def sum(self) -> str:
        """The type of an accumulator."""
        return register_type(self.type)

    @property
    def packed(self) -> str:
        """The type of what is multiplied."""
        return "i32" if self.pairs else self.sum

    @property
    def out(self) -> str:
        """The kind of what is written."""
        return self.sum if self.unrounded or self.store == "sum" else self.type

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * (1 if self.store == "places" else self.lanes)

    @property
    def scratch(self) -> int:
        """Elements of a tile, in whole squares."""
        return -(-self.rows // self.lanes) * self.lanes * self.width


@lru_cache(maxsize=256)
def contraction_kernel(variant: Variant) -> Kernel:
    return kernel_of("contraction", [_contraction(variant), _sum_rows(), *panels(variant, tables=False)])


def panels(variant: Variant, tables: bool = True) -> list[Builder | Subroutine]:
    """The functions that multiply, what they call, and those that write tables, of rows only if `tables` says so."""
    write = _places if variant.store == "places" else _panel
    functions: list[Builder | Subroutine] = [_k_table(), *([] if variant.store == "sum" and not tables else [_row_tables(variant)]), write(variant, "panel", variant.vectors)]
    if variant.tail:
        functions.append(write(variant, "tail", variant.tail))
    if variant.store == "columns":
        functions.append(square(variant.sum, variant.out))
    return functions


_PANEL = (
    ("ptr", "table"),
    ("i64", "count"),  # of k
    ("ptr", "a"),
    ("ptr", "b"),
    ("ptr", "bias"),
    ("ptr", "out"),
    ("i64", "columns"),
    ("i64", "column_step"),
    ("i64", "rows"),
    ("ptr", "row_a"),
    ("ptr", "row_out"),
    ("ptr", "scratch"),  # or how many places each row has
    ("i64", "place_step"),  # between places of the output, if vectors are of these
    ("i1", "first"),
)


def _masks(k: Builder, columns: Value, vectors: int, lanes: int) -> list[Value]:
    """For each vector of a row, which of its lanes are columns."""
    return [k.compare("slt", numbers(lanes, v * lanes), k.splat(columns, lanes)) for v in range(vectors)]


def _start(k: Builder, variant: Variant, bias: Value) -> Value:
    """The accumulators before the first k."""
    if not variant.pairs:
        return bias
    nothing = k.constant(0, "i32", variant.lanes)
    return add_products(k, nothing, nothing, bias)


def _add(k: Builder, variant: Variant, a: Value, b: Value, total: Value) -> Value:
    return add_products(k, a, b, total) if variant.pairs else k.fma(a, b, total)


def _write(k: Builder, variant: Variant, value: Value, address: Value, mask: Value) -> None:
    if variant.pairs and variant.out == "bf16":
        store_sums(k, value, address, mask)
    else:
        store(k, value, address, variant.out, mask)


def _write_every_other(k: Builder, variant: Variant, value: Value, address: Value, mask: Value) -> None:
    """Two places apart; `mask` is that of `_every_other`."""
    found = round_sums(k, value) if variant.pairs and variant.out == "bf16" else stored(k, value, variant.out)
    k.masked_store(k.shuffle(found, [n // 2 for n in range(mask.lanes)]), address, mask)


def _every_other(k: Builder, mask: Value) -> Value:
    """Each lane of a mask, and behind it one that is not ours."""
    lanes = 2 * mask.lanes
    even = Value("<" + ", ".join(f"i1 {1 - n % 2}" for n in range(lanes)) + ">", "i1", lanes)
    return k.and_(k.shuffle(mask, [n // 2 for n in range(lanes)]), even)


def _panel(variant: Variant, name: str, vectors: int) -> Builder:
    """One panel of B against the rows of a strip, a tile after the other. Rows behind the last one are the last one again."""
    k = Builder(name, _PANEL)
    p, type, lanes, rows = k.parameters, variant.type, variant.lanes, variant.rows
    to_type = memory_type(variant.out)
    zero = k.constant(0, variant.sum, lanes)
    masks = _masks(k, p["columns"], vectors, lanes)
    start = [zero] * vectors
    if variant.bias:
        start = [_start(k, variant, load(k, k.address(p["bias"], v * lanes, memory_type(type)), type, lanes, mask)) for v, mask in enumerate(masks)]
    with k.loop(0, p["rows"], rows) as tile:
        offsets = k.address(p["row_a"], tile.index, "i64")
        # Where a row takes one vector, four k at a time share the loads of its offset; there are registers for them.
        sums, done = start * rows, k.constant(0, "i64")
        for together in (4, 1) if vectors == 1 else (1,):
            stop = k.and_(p["count"], k.constant(-together, "i64"))
            with k.loop(done, stop, together, carried=sums) as turn:
                turn.next = _several(k, variant, turn.index, together, vectors, offsets, turn.carried)
            sums, done = turn.results, stop
        places = k.address(p["row_out"], tile.index, "i64")
        if variant.store == "columns":
            _store_columns(k, variant, vectors, sums, places, k.sub(p["rows"], tile.index))
        else:
            for i in range(rows):
                row = k.address(p["out"], k.load(k.address(places, i, "i64"), "i64"), to_type)
                for v, mask in enumerate(masks):
                    address = k.address(row, v * lanes, to_type)
                    value = sums[i * vectors + v]
                    if variant.store == "sum":
                        # The first block adds to zero: to what a sum starts from.
                        value = k.add(k.select(p["first"], zero, k.masked_load(address, to_type, mask, zero)), value)
                    _write(k, variant, value, address, mask)
    return k


def _several(k: Builder, variant: Variant, first: Value, count: int, vectors: int, offsets: Value, sums: list[Value]) -> list[Value]:
    """A tile's sums with the products of some k added, one k after the other."""
    p, type, lanes = k.parameters, variant.packed, variant.lanes
    entry = k.address(p["table"], k.shl(first, 1), "i64")
    sides = []
    for n in range(count):
        a_at, b_at = (k.load(k.address(entry, 2 * n + side, "i64"), "i64") for side in range(2))
        b = k.address(p["b"], b_at, type)
        sides.append((k.address(p["a"], a_at, type), [k.load(k.address(b, v * lanes, type), type, lanes) for v in range(vectors)]))
    after = list(sums)
    for i in range(variant.rows):
        # Loaded anew each time: there are not as many registers for addresses as rows.
        row = k.load(k.address(offsets, i, "i64"), "i64")
        for a, columns in sides:
            factor = k.splat(k.load(k.address(a, row, type), type), lanes)
            for v, column in enumerate(columns):
                after[i * vectors + v] = _add(k, variant, factor, column, after[i * vectors + v])
    return after


def _places(variant: Variant, name: str, columns: int) -> Builder:
    """A panel of few columns against vectors of places."""
    k = Builder(name, _PANEL)
    p, type, lanes, rows = k.parameters, variant.packed, variant.lanes, variant.rows
    to_type = memory_type(variant.out)
    zero = k.constant(0, type, lanes)
    start = [k.constant(0, variant.sum, lanes)] * columns
    if variant.bias:
        kind = variant.type
        start = [_start(k, variant, k.splat(load(k, k.address(p["bias"], m, memory_type(kind)), kind), lanes)) for m in range(columns)]
    along = k.mul(numbers(lanes), k.splat(p["place_step"], lanes))
    with k.loop(0, p["rows"], rows) as tile:
        row_a, row_out, lengths = (k.address(p[table], tile.index, "i64") for table in ("row_a", "row_out", "scratch"))
        masks = [k.first_lanes(k.load(k.address(lengths, i, "i64"), "i64"), lanes) for i in range(rows)]
        with k.loop(0, p["count"], carried=start * rows) as turn:
            entry = k.address(p["table"], k.shl(turn.index, 1), "i64")
            a = k.address(p["a"], k.load(entry, "i64"), type)
            b = k.address(p["b"], k.load(k.address(entry, 1, "i64"), "i64"), type)
            starts = [k.address(a, k.load(k.address(row_a, i, "i64"), "i64"), type) for i in range(rows)]
            found = [k.load(at, type, lanes) if variant.beyond else k.masked_load(at, type, mask, zero) for at, mask in zip(starts, masks, strict=True)]
            after = list(turn.carried)
            for m in range(columns):
                factor = k.splat(k.load(k.address(b, m, type), type), lanes)
                for i, values in enumerate(found):
                    after[i * columns + m] = _add(k, variant, values, factor, after[i * columns + m])
            turn.next = after
        for i, mask in enumerate(masks):
            place = k.address(p["out"], k.load(k.address(row_out, i, "i64"), "i64"), to_type)
            apart = _every_other(k, mask) if variant.place_step == 2 else mask
            for m in range(columns):
                target = k.address(place, k.mul(k.constant(m, "i64"), p["column_step"]), to_type)
                total = turn.results[i * columns + m]
                if not variant.place_step:
                    k.scatter(total, k.addresses(target, along, to_type), mask)
                elif variant.place_step == 2:
                    _write_every_other(k, variant, total, target, apart)
                else:
                    _write(k, variant, total, target, mask)
    return k


def _store_columns(k: Builder, variant: Variant, vectors: int, sums: list[Value], places: Value, rows: Value) -> None:
    """A tile to an output in which rows that follow each other lie next to each other, but for the ends of images."""
    p, type, lanes, step = k.parameters, variant.sum, variant.lanes, k.constant(vectors * variant.lanes, "i64")
    to_type = memory_type(variant.out)
    for n, total in enumerate(sums):
        k.store(total, k.address(p["scratch"], n * lanes, type))
    all_of_it = [k.constant(n, "i64") for n in (0, lanes, lanes)]  # what lies behind the last row may be read
    for first in range(0, variant.rows, lanes):
        count = min(lanes, variant.rows - first)
        valid = k.intrinsic("smin", k.constant(count, "i64"), k.sub(rows, k.constant(first, "i64")))
        valid_lanes = k.first_lanes(valid, lanes)
        starts = k.sub(k.load(k.address(places, first, "i64"), "i64", lanes), numbers(lanes))
        # A run: rows that lie next to each other. Mostly there is one.
        head, body, done = k.fresh("run"), k.fresh("store"), k.fresh("stored")
        before = k.block
        k.jump(head)
        k.label(head)
        lane = Value(f"%{k.fresh('lane')}", "i64")
        at = len(k.lines)
        k.branch(k.compare("slt", lane, valid), body, done)
        k.label(body)
        start = k.sub(k.load(k.address(places, k.add(lane, k.constant(first, "i64")), "i64"), "i64"), lane)
        run = k.and_(k.compare("eq", starts, k.splat(start, lanes)), valid_lanes)
        bits = k.new(f"bitcast {run.typed} to i{lanes}", f"i{lanes}")
        length = k.new(f"zext {bits.typed} to i64", "i64") if lanes < 64 else bits
        after = k.add(lane, k.intrinsic("ctpop", length))
        target = k.address(p["out"], start, to_type)
        with k.loop(0, vectors) as v:
            column = k.mul(v.index, k.constant(lanes, "i64"))
            width = k.intrinsic("smin", k.sub(p["columns"], column), k.constant(lanes, "i64"))
            source = k.address(k.address(p["scratch"], first * vectors * lanes, type), column, type)
            to = k.address(target, k.mul(column, p["column_step"]), to_type)
            invoke(k, square_name(variant.sum, variant.out), [source, step, to, p["column_step"], *all_of_it, width, lane, after, *NO_PAIR])
        k.lines.insert(at, f"  {lane.text} = phi i64 [0, %{before}], [{after.text}, %{k.block}]")
        k.jump(head)
        k.label(done)


def _contraction(variant: Variant) -> Builder:
    """A chunk: some of the jobs, each a strip of tiles against a slab of panels in one group."""
    k = Builder("contraction", [("ptr", "args"), ("i64", "chunk")], cold=True)
    type, to_type, number = variant.packed, memory_type(variant.out), lambda n: k.constant(n, "i64")

    def word(n: int) -> Value:
        return read_word(k, n, "ptr" if n <= Word.WORKSPACE else "i64")

    chunk = k.parameters["chunk"]
    table = k.address(word(Word.WORKSPACE), k.mul(chunk, word(Word.WORKSPACE_BYTES)), "i8")
    row_a = k.address(table, word(Word.TABLE_BYTES), "i8")
    row_out = k.address(row_a, word(Word.STRIP_BYTES), "i8")
    write_table(k, k.address(k.parameters["args"], Word.K_DIMS, "i64"), table, word(Word.BLOCK))
    row_count, column_count, panel_step, column_step = (word(w) for w in (Word.ROWS, Word.COLUMNS, Word.PANEL_STEP, Word.COLUMN_STEP))
    scratch = k.address(row_out, word(Word.STRIP_BYTES), "i8")
    depth, block, blocks, outers = word(Word.DEPTH), word(Word.BLOCK), word(Word.BLOCKS), word(Word.OUTER)
    with k.loop(*share(k, chunk, Word.JOBS)) as job:
        rest, slab = divide(k, job.index, word(Word.PANEL_SLABS))
        group, strip = divide(k, rest, word(Word.STRIPS))
        tile, tile_stop = share(k, strip, Word.TILES)
        start, stop = k.mul(tile, number(variant.rows)), k.mul(tile_stop, number(variant.rows))
        invoke(k, "sum_rows", [k.address(k.parameters["args"], Word.ROW_DIMS, "i64"), row_a, row_out, start, stop, row_count])
        rows = k.sub(k.intrinsic("smin", stop, row_count), start)
        bases = [
            k.address(word(base), k.mul(group, word(step)), each)
            for base, step, each in ((Word.A, Word.GROUP_A, type), (Word.B, Word.GROUP_B, type), (Word.OUT, Word.GROUP_OUT, to_type))
        ]
        with k.loop(*share(k, slab, Word.PANELS)) as panel:
            a, b, out = bases
            column = k.mul(panel.index, number(variant.width))
            columns = k.intrinsic("smin", number(variant.width), k.sub(column_count, column))
            b = k.address(b, k.mul(panel.index, panel_step), type)
            out = k.address(out, k.mul(column, column_step), to_type)
            with k.loop(0, outers) as outer:
                a_outer = k.address(a, k.mul(outer.index, word(Word.OUTER_A)), type)
                b_outer = k.address(b, k.mul(outer.index, word(Word.OUTER_B)), type)
                with k.loop(0, blocks) as part:
                    count = k.intrinsic("smin", block, k.sub(depth, k.mul(part.index, block)))
                    a_block = k.address(a_outer, k.mul(part.index, word(Word.BLOCK_A)), type)
                    b_block = k.address(b_outer, k.mul(part.index, word(Word.BLOCK_B)), type)
                    first = k.compare("eq", k.or_(k.or_(outer.index, part.index), word(Word.ADDS)), number(0))
                    arguments = [table, count, a_block, b_block, out, out, columns, column_step, rows, row_a, row_out, scratch, k.constant(0, "i64"), first]
                    multiply(k, variant, columns, arguments)
    return k


def multiply(k: Builder, variant: Variant, columns: Value, arguments: Sequence[Value]) -> None:
    """A panel, or the last one if that has fewer vectors: `arguments` are those of `_PANEL`."""
    if not variant.tail:
        invoke(k, "panel", arguments)
        return
    full, tail, done = k.fresh("full"), k.fresh("tail"), k.fresh("done")
    k.branch(k.compare("sle", columns, k.constant(variant.tail * variant.width // variant.vectors, "i64")), tail, full)
    for label, function in ((tail, "tail"), (full, "panel")):
        k.label(label)
        invoke(k, function, arguments)
        k.jump(done)
    k.label(done)


class Dims(NamedTuple):
    """The dims of rows, or of k: extents, strides of A, strides of the output or of B."""

    extents: list[Value]
    a: list[Value]
    other: list[Value]

    @staticmethod
    def read(k: Builder, words: Value, first: int) -> Dims:
        return Dims(*([k.load(k.address(words, first + part * DIMS + d, "i64"), "i64") for d in range(DIMS)] for part in range(3)))


#: What says to functions of conv_copies.py that nothing is a pair.
NO_PAIR = (Value("0", "i64"), Value("0", "i64"))

_K_TABLE = (("ptr", "dims"), ("ptr", "table"), ("i64", "count"))
_ROW_TABLES = (("ptr", "dims"), ("ptr", "row_a"), ("ptr", "row_out"), ("ptr", "lengths"), ("i64", "count"), ("i64", "length"))
#: Numbers that are written to a table together; behind a table there is room for as many.
TOGETHER = 8


def write_table(k: Builder, dims: Value, table: Value, count: Value) -> None:
    """The table of k; `dims` is where the words of these are."""
    invoke(k, "k_table", [dims, table, count])


def write_rows(k: Builder, dims: Value, tables: Sequence[Value], count: Value, length: Value) -> None:
    """The tables of rows: of A, of the output, and of how many of `length` places each row has."""
    invoke(k, "row_tables", [dims, *tables, count, length])


@cache
def _k_table() -> Subroutine:
    k = Builder("k_table", _K_TABLE, cold=True)
    p = k.parameters
    _write_table(k, p["table"], Dims.read(k, p["dims"], 0), p["count"])
    return subroutine([k])


def _row_tables(variant: Variant) -> Subroutine:
    k = Builder("row_tables", _ROW_TABLES, cold=True)
    p = k.parameters
    _write_rows(k, variant, [p["row_a"], p["row_out"], p["lengths"]], Dims.read(k, p["dims"], 0), p["count"], p["length"])
    return subroutine([k])


def _write_table(k: Builder, table: Value, dims: Dims, count: Value) -> None:
    """For each of `count` k the offsets that it adds in A and in a panel of B, as pairs."""
    one, two = k.constant(1, "i64"), k.constant(2, "i64")

    def nest(d: int, place: Value, a: Value, b: Value) -> Value:
        with k.loop(0, dims.extents[d], carried=[place, a, b]) as turn:
            at, a, b = turn.carried
            if d == DIMS - 1:
                k.store(a, k.address(table, at, "i64"))
                k.store(b, k.address(table, k.add(at, one), "i64"))
                following = k.add(at, two)
            else:
                following = nest(d + 1, at, a, b)
            turn.next = [following, k.add(a, dims.a[d]), k.add(b, dims.other[d])]
        return turn.results[0]

    # The first of the outermost dim one by one; what is there is then written again, further on, until all is there.
    zero = k.constant(0, "i64")
    written = nest(1, zero, zero, zero)
    whole = k.mul(count, two)
    pairs = Value("<" + ", ".join(f"i1 {n % 2}" for n in range(TOGETHER)) + ">", "i1", TOGETHER)
    head, body, done, before = k.fresh("more"), k.fresh("double"), k.fresh("doubled"), k.block
    k.jump(head)
    k.label(head)
    names = [Value(f"%{k.fresh('there')}", "i64") for _ in range(3)]
    at = len(k.lines)
    there, a, b = names
    k.branch(k.and_(k.compare("slt", there, whole), k.compare("slt", zero, there)), body, done)
    k.label(body)
    step = k.select(pairs, k.splat(b, TOGETHER), k.splat(a, TOGETHER))
    target = k.address(table, there, "i64")
    with k.loop(0, k.intrinsic("smin", there, k.sub(whole, there)), TOGETHER) as turn:
        k.store(k.add(k.load(k.address(table, turn.index, "i64"), "i64", TOGETHER), step), k.address(target, turn.index, "i64"))
    for name, first, following in zip(names, (written, dims.a[0], dims.other[0]), [k.shl(n, 1) for n in names], strict=True):
        k.lines.insert(at, f"  {name.text} = phi i64 [{first.text}, %{before}], [{following.text}, %{k.block}]")
    k.jump(head)
    k.label(done)


def _write_rows(k: Builder, variant: Variant, tables: Sequence[Value], dims: Dims, count: Value, length: Value) -> None:
    """The offsets of rows in A and in the output; behind row `count` - 1 it is repeated, as often as a tile may need it, but not to be added twice.

    `tables` are those of A, of the output, and of how many of `length` places each row has.
    """
    zero, one = k.constant(0, "i64"), k.constant(1, "i64")
    steps = list(dims[1:])
    if variant.store == "places":
        steps.append([zero, zero, zero, k.constant(-variant.lanes, "i64")])
    along = [k.mul(numbers(TOGETHER), k.splat(step[-1], TOGETHER)) for step in steps]
    lanes = k.constant(variant.lanes, "i64", TOGETHER)

    def nest(d: int, place: Value, offsets: list[Value]) -> Value:
        if d == DIMS - 1:
            with k.loop(0, dims.extents[d], TOGETHER) as turn:
                for n, (table, offset, step, vector) in enumerate(zip(tables, offsets, steps, along, strict=False)):
                    found = k.add(k.splat(k.add(offset, k.mul(turn.index, step[d])), TOGETHER), vector)
                    k.store(k.intrinsic("smin", found, lanes) if n == 2 else found, k.address(table, k.add(place, turn.index), "i64"))
            return k.add(place, dims.extents[d])
        with k.loop(0, dims.extents[d], carried=[place, *offsets]) as turn:
            following = nest(d + 1, turn.carried[0], turn.carried[1:])
            turn.next = [following, *(k.add(offset, step[d]) for offset, step in zip(turn.carried[1:], steps, strict=True))]
        return turn.results[0]

    nest(0, zero, [zero, zero, length][: len(steps)])
    last = k.intrinsic("smax", k.sub(count, one), zero)
    for step, table in zip(steps, tables, strict=False):
        value = k.splat(k.load(k.address(table, last, "i64"), "i64"), TOGETHER)
        for n in range(0, variant.rows, TOGETHER):
            following = value
            if variant.store == "sum" and step is dims.other:
                following = k.add(value, k.mul(numbers(TOGETHER, n + 1), k.splat(step[-1], TOGETHER)))
            k.store(following, k.address(k.address(table, count, "i64"), n, "i64"))


@cache
def _sum_rows() -> Subroutine:
    """The same for rows of a sum from `start` to `stop`. Behind row `count` - 1 it is repeated, but not to be added twice."""
    k = Builder("sum_rows", [("ptr", "dims"), ("ptr", "row_a"), ("ptr", "row_out"), ("i64", "start"), ("i64", "stop"), ("i64", "count")])
    p = k.parameters
    tables, dims, start, stop, count = [p["row_a"], p["row_out"]], Dims.read(k, p["dims"], 0), p["start"], p["stop"], p["count"]
    one, zero = k.constant(1, "i64"), k.constant(0, "i64")
    place: list[Value] = []
    rest = start
    for extent in reversed(dims.extents):
        rest, index = divide(k, rest, extent)
        place.insert(0, index)
    last = k.sub(count, one)
    with k.loop(start, stop, carried=place) as turn:
        at = k.sub(turn.index, start)
        offset = zero
        for index, step in zip(turn.carried, dims.a, strict=True):
            offset = k.add(offset, k.mul(index, step))
        k.store(offset, k.address(tables[0], at, "i64"))
        k.store(k.mul(turn.index, dims.other[-1]), k.address(tables[1], at, "i64"))
        carry = k.select(k.compare("slt", turn.index, last), one, zero)
        following: list[Value] = []
        for index, extent in zip(reversed(turn.carried), reversed(dims.extents), strict=True):
            moved = k.add(index, carry)
            over = k.compare("eq", moved, extent)
            following.insert(0, k.select(over, zero, moved))
            carry = k.select(over, one, zero)
        turn.next = following
    return subroutine([k])
