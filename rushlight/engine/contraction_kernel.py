"""Contractions as machine code: a product whose left side is read from where it lies. Convolutions are made of them.

    contraction   ``out[row, column] = bias[column] + sum over k of a[row, k] * b[k, column]``
    relayout      a matrix to panels of columns, or from channels last to channels first: by squares transposed in registers
    padded        a copy with zeros around the dims of an image

In a contraction a row is one of up to four dims (such as sample, depth, height, width of a result), and so is k (channel and
place in the window). The address of ``a[row, k]`` is a sum of what the row and what k contribute. Each chunk writes both parts
into tables once, so that one flat loop over k does all geometries: an entry of the table of k, one load from a panel of
B, and for each row of the tile a load that goes to every lane.

Each element of the output is one accumulator that starts from the bias (or zero) and takes ``fma`` for k in the order of
its dims. In a sum over blocks each block starts from zero, and is added to the blocks before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache
from typing import Literal

from . import llvm
from .emit import BITS, Builder, Value, module
from .gemm_kernel import divide, read_word, share
from .gemm_pack import transpose
from .kernel import Kernel

#: Dims of a row, and of k.
DIMS = 4


class Word(IntEnum):
    """The words of a contraction. Strides are in elements."""

    A = 0
    B = auto()  # packed: for each group, for each panel of columns, for each k a row as wide as the panel
    BIAS = auto()
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk
    TABLE_BYTES = auto()  # of these, what the table of k takes
    STRIP_BYTES = auto()  # and each of the two tables of rows
    COLUMNS = auto()
    COLUMN_STEP = auto()  # between columns of the output
    PANEL_STEP = auto()  # between panels of B
    ROWS = auto()
    LENGTH = auto()  # places along the innermost dim, of which rows have a vector each
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
    GROUP_BIAS = auto()
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

    type: str  # "float" or "double"
    rows: int  # of a tile
    vectors: int  # in a row of a panel
    tail: int  # vectors in a row of the last panel, if fewer
    bias: bool
    store: Store
    """How results lie: columns of a row next to each other ("rows"), rows of a column ("columns"), or as rows that are added up ("sum").

    In all these the lanes of a vector are columns. With "places" they are places next to each other in A and in the output: a row
    stands for so many of them, a panel has as many columns as `vectors` says, and it is B that goes to every lane.
    """

    @property
    def lanes(self) -> int:
        return llvm.vector_width() // BITS[self.type]

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * (1 if self.store == "places" else self.lanes)

    @property
    def scratch_row(self) -> int:
        """Elements between columns of a tile in scratch memory."""
        return -(-self.rows // self.lanes) * self.lanes


@lru_cache(maxsize=256)
def contraction_kernel(variant: Variant) -> Kernel:
    write = _places if variant.store == "places" else _panel
    functions = [_contraction(variant), write(variant, "panel", variant.vectors)]
    if variant.tail:
        functions.append(write(variant, "tail", variant.tail))
    return Kernel("contraction", module(functions))


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
    ("i1", "first"),
)


def _masks(k: Builder, columns: Value, vectors: int, lanes: int) -> list[Value]:
    """For each vector of a row, which of its lanes are columns."""
    return [k.compare("slt", _numbers(lanes, v * lanes), k.splat(columns, lanes)) for v in range(vectors)]


def _numbers(lanes: int, first: int = 0) -> Value:
    """A vector of consecutive numbers."""
    return Value("<" + ", ".join(f"i64 {first + n}" for n in range(lanes)) + ">", "i64", lanes)


def _panel(variant: Variant, name: str, vectors: int) -> Builder:
    """One panel of B against the rows of a strip, a tile after the other. Rows behind the last one are the last one again."""
    k = Builder(name, _PANEL)
    p, type, lanes, rows = k.parameters, variant.type, variant.lanes, variant.rows
    zero = k.constant(0, type, lanes)
    masks = _masks(k, p["columns"], vectors, lanes)
    start = [zero] * vectors
    if variant.bias:
        start = [k.masked_load(k.address(p["bias"], v * lanes, type), type, mask, zero) for v, mask in enumerate(masks)]
    with k.loop(0, p["rows"], rows) as tile:
        offsets = k.address(p["row_a"], tile.index, "i64")
        held = [k.load(k.address(offsets, i, "i64"), "i64") for i in range(rows)] if vectors == 1 else []
        with k.loop(0, p["count"], carried=start * rows) as turn:
            sums = turn.carried
            entry = k.address(p["table"], k.shl(turn.index, 1), "i64")
            a_at, b_at = k.load(entry, "i64"), k.load(k.address(entry, 1, "i64"), "i64")
            a, b = k.address(p["a"], a_at, type), k.address(p["b"], b_at, type)
            columns = [k.load(k.address(b, v * lanes, type), type, lanes) for v in range(vectors)]
            after = []
            for i in range(rows):
                # Loaded anew for each k: there are not as many registers for addresses as rows.
                row = held[i] if held else k.load(k.address(offsets, i, "i64"), "i64")
                factor = k.splat(k.load(k.address(a, row, type), type), lanes)
                after += [k.fma(factor, column, sums[i * vectors + v]) for v, column in enumerate(columns)]
            turn.next = after
        places = k.address(p["row_out"], tile.index, "i64")
        if variant.store == "columns":
            _store_columns(k, variant, vectors, turn.results, places, k.sub(p["rows"], tile.index))
        else:
            for i in range(rows):
                row = k.address(p["out"], k.load(k.address(places, i, "i64"), "i64"), type)
                for v, mask in enumerate(masks):
                    address = k.address(row, v * lanes, type)
                    value = turn.results[i * vectors + v]
                    if variant.store == "sum":
                        # The first block adds to zero: to what a sum starts from.
                        value = k.add(k.select(p["first"], zero, k.masked_load(address, type, mask, zero)), value)
                    k.masked_store(value, address, mask)
    return k


def _places(variant: Variant, name: str, columns: int) -> Builder:
    """A panel of few columns against vectors of places."""
    k = Builder(name, _PANEL)
    p, type, lanes, rows = k.parameters, variant.type, variant.lanes, variant.rows
    zero = k.constant(0, type, lanes)
    start = [zero] * columns
    if variant.bias:
        start = [k.splat(k.load(k.address(p["bias"], m, type), type), lanes) for m in range(columns)]
    with k.loop(0, p["rows"], rows) as tile:
        row_a, row_out, lengths = (k.address(p[table], tile.index, "i64") for table in ("row_a", "row_out", "scratch"))
        masks = [k.first_lanes(k.load(k.address(lengths, i, "i64"), "i64"), lanes) for i in range(rows)]
        with k.loop(0, p["count"], carried=start * rows) as turn:
            entry = k.address(p["table"], k.shl(turn.index, 1), "i64")
            a = k.address(p["a"], k.load(entry, "i64"), type)
            b = k.address(p["b"], k.load(k.address(entry, 1, "i64"), "i64"), type)
            found = [k.masked_load(k.address(a, k.load(k.address(row_a, i, "i64"), "i64"), type), type, mask, zero) for i, mask in enumerate(masks)]
            after = list(turn.carried)
            for m in range(columns):
                factor = k.splat(k.load(k.address(b, m, type), type), lanes)
                for i, values in enumerate(found):
                    after[i * columns + m] = k.fma(values, factor, after[i * columns + m])
            turn.next = after
        for i, mask in enumerate(masks):
            place = k.address(p["out"], k.load(k.address(row_out, i, "i64"), "i64"), type)
            for m in range(columns):
                k.masked_store(turn.results[i * columns + m], k.address(place, k.mul(k.constant(m, "i64"), p["column_step"]), type), mask)
    return k


def _store_columns(k: Builder, variant: Variant, vectors: int, sums: list[Value], places: Value, rows: Value) -> None:
    """A tile to an output in which rows that follow each other lie next to each other, but for the ends of images."""
    p, type, lanes, step = k.parameters, variant.type, variant.lanes, variant.scratch_row
    for first in range(0, variant.rows, lanes):
        for v in range(vectors):
            square = [sums[min(first + i, variant.rows - 1) * vectors + v] for i in range(lanes)]
            for n, column in enumerate(transpose(k, square)):
                k.store(column, k.address(p["scratch"], (v * lanes + n) * step + first, type))
    numbers = _numbers(lanes)
    for first in range(0, variant.rows, lanes):
        count = min(lanes, variant.rows - first)
        valid = k.intrinsic("smin", k.constant(count, "i64"), k.sub(rows, k.constant(first, "i64")))
        valid_lanes = k.first_lanes(valid, lanes)
        starts = k.sub(k.load(k.address(places, first, "i64"), "i64", lanes), numbers)
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
        target = k.address(p["out"], start, type)
        with k.loop(0, p["columns"]) as each:
            value = k.load(k.address(p["scratch"], k.add(k.mul(each.index, k.constant(step, "i64")), k.constant(first, "i64")), type), type, lanes)
            k.masked_store(value, k.address(target, k.mul(each.index, p["column_step"]), type), run)
        bits = k.new(f"bitcast {run.typed} to i{lanes}", f"i{lanes}")
        length = k.new(f"zext {bits.typed} to i64", "i64") if lanes < 64 else bits
        after = k.add(lane, k.intrinsic("ctpop", length))
        k.lines.insert(at, f"  {lane.text} = phi i64 [0, %{before}], [{after.text}, %{k.block}]")
        k.jump(head)
        k.label(done)


def _contraction(variant: Variant) -> Builder:
    """A chunk: some of the jobs, each a strip of tiles against a slab of panels in one group."""
    k = Builder("contraction", [("ptr", "args"), ("i64", "chunk")])
    type, number = variant.type, lambda n: k.constant(n, "i64")

    def word(n: int) -> Value:
        return read_word(k, n, "ptr" if n <= Word.WORKSPACE else "i64")

    chunk = k.parameters["chunk"]
    table = k.address(word(Word.WORKSPACE), k.mul(chunk, word(Word.WORKSPACE_BYTES)), "i8")
    row_a = k.address(table, word(Word.TABLE_BYTES), "i8")
    row_out = k.address(row_a, word(Word.STRIP_BYTES), "i8")
    scratch = k.address(row_out, word(Word.STRIP_BYTES), "i8")
    _write_table(k, table)
    row_count, column_count, column_step, panel_step = word(Word.ROWS), word(Word.COLUMNS), word(Word.COLUMN_STEP), word(Word.PANEL_STEP)
    depth, block, blocks, outers = word(Word.DEPTH), word(Word.BLOCK), word(Word.BLOCKS), word(Word.OUTER)
    with k.loop(*share(k, chunk, Word.JOBS)) as job:
        rest, slab = divide(k, job.index, word(Word.PANEL_SLABS))
        group, strip = divide(k, rest, word(Word.STRIPS))
        tile, tile_stop = share(k, strip, Word.TILES)
        start, stop = k.mul(tile, number(variant.rows)), k.mul(tile_stop, number(variant.rows))
        _write_rows(k, variant, row_a, row_out, scratch, start, stop, row_count)
        rows = k.sub(k.intrinsic("smin", stop, row_count), start)
        bases = [
            k.address(word(base), k.mul(group, word(step)), type)
            for base, step in ((Word.A, Word.GROUP_A), (Word.B, Word.GROUP_B), (Word.BIAS, Word.GROUP_BIAS), (Word.OUT, Word.GROUP_OUT))
        ]
        with k.loop(*share(k, slab, Word.PANELS)) as panel:
            a, b, bias, out = bases
            column = k.mul(panel.index, number(variant.width))
            columns = k.intrinsic("smin", number(variant.width), k.sub(column_count, column))
            b = k.address(b, k.mul(panel.index, panel_step), type)
            bias = k.address(bias, column, type)
            out = k.address(out, k.mul(column, column_step), type)
            with k.loop(0, outers) as outer:
                a_outer = k.address(a, k.mul(outer.index, word(Word.OUTER_A)), type)
                b_outer = k.address(b, k.mul(outer.index, word(Word.OUTER_B)), type)
                with k.loop(0, blocks) as part:
                    count = k.intrinsic("smin", block, k.sub(depth, k.mul(part.index, block)))
                    a_block = k.address(a_outer, k.mul(part.index, word(Word.BLOCK_A)), type)
                    b_block = k.address(b_outer, k.mul(part.index, word(Word.BLOCK_B)), type)
                    first = k.compare("eq", k.or_(k.or_(outer.index, part.index), word(Word.ADDS)), number(0))
                    arguments = [table, count, a_block, b_block, bias, out, columns, column_step, rows, row_a, row_out, scratch, first]
                    _multiply(k, variant, columns, f"({', '.join(v.typed for v in arguments)})")
    return k


def _multiply(k: Builder, variant: Variant, columns: Value, arguments: str) -> None:
    if not variant.tail:
        k.do(f"call void @panel{arguments}")
        return
    full, tail, done = k.fresh("full"), k.fresh("tail"), k.fresh("done")
    k.branch(k.compare("sle", columns, k.constant(variant.tail * variant.width // variant.vectors, "i64")), tail, full)
    for label, function in ((tail, "tail"), (full, "panel")):
        k.label(label)
        k.do(f"call void @{function}{arguments}")
        k.jump(done)
    k.label(done)


def _write_table(k: Builder, table: Value) -> None:
    """For each k the offsets that it adds in A and in a panel of B."""
    extents, a_steps, b_steps = ([read_word(k, Word.K_DIMS + part * DIMS + d) for d in range(DIMS)] for part in range(3))

    def nest(d: int, place: Value, a: Value, b: Value) -> Value:
        with k.loop(0, extents[d], carried=[place, a, b]) as turn:
            at, a, b = turn.carried
            if d == DIMS - 1:
                k.store(a, k.address(table, at, "i64"))
                k.store(b, k.address(table, k.add(at, k.constant(1, "i64")), "i64"))
                following = k.add(at, k.constant(2, "i64"))
            else:
                following = nest(d + 1, at, a, b)
            turn.next = [following, k.add(a, a_steps[d]), k.add(b, b_steps[d])]
        return turn.results[0]

    zero = k.constant(0, "i64")
    nest(0, zero, zero, zero)


def _write_rows(k: Builder, variant: Variant, row_a: Value, row_out: Value, lengths: Value, start: Value, stop: Value, count: Value) -> None:
    """The offsets of rows in A and in the output. Behind the last row, `count` - 1, it is repeated, but not to be added twice."""
    extents, a_steps, out_steps = ([read_word(k, Word.ROW_DIMS + part * DIMS + d) for d in range(DIMS)] for part in range(3))
    one = k.constant(1, "i64")
    place: list[Value] = []
    rest = start
    for d in reversed(range(DIMS)):
        rest, index = divide(k, rest, extents[d])
        place.insert(0, index)
    last = k.sub(count, one)
    with k.loop(start, stop, carried=place) as turn:
        for steps, target in ((a_steps, row_a), (out_steps, row_out)):
            if variant.store == "sum" and target is row_out:
                offset = k.mul(turn.index, steps[-1])
            else:
                offset = k.constant(0, "i64")
                for index, step in zip(turn.carried, steps, strict=True):
                    offset = k.add(offset, k.mul(index, step))
            k.store(offset, k.address(target, k.sub(turn.index, start), "i64"))
        if variant.store == "places":
            left = k.sub(read_word(k, Word.LENGTH), k.mul(turn.carried[-1], k.constant(variant.lanes, "i64")))
            k.store(k.intrinsic("smin", left, k.constant(variant.lanes, "i64")), k.address(lengths, k.sub(turn.index, start), "i64"))
        carry = k.select(k.compare("slt", turn.index, last), one, k.constant(0, "i64"))
        following: list[Value] = []
        for index, extent in zip(reversed(turn.carried), reversed(extents), strict=True):
            moved = k.add(index, carry)
            over = k.compare("eq", moved, extent)
            following.insert(0, k.select(over, k.constant(0, "i64"), moved))
            carry = k.select(over, one, k.constant(0, "i64"))
        turn.next = following


class RelayoutWord(IntEnum):
    """The words of a relayout: ``target[o, p, j, i] = source[o, p, i, j]``, with i contiguous in the target."""

    SOURCE = 0
    TARGET = auto()
    O = auto()
    P = auto()
    I = auto()
    J = auto()
    SOURCE_O = auto()  # strides
    SOURCE_P = auto()
    SOURCE_I = auto()  # 1 if rows, else J is contiguous
    SOURCE_J = auto()
    TARGET_O = auto()
    TARGET_P = auto()
    TARGET_J = auto()
    TARGET_PANEL = auto()  # between panels of I, each of so many vectors
    PANEL_VECTORS = auto()
    JOBS = auto()  # in a chunk: two words; O times the vectors that I makes
    END = JOBS + 2  # type: ignore[operator]


@lru_cache(maxsize=16)
def relayout_kernel(type: str, rows: bool, packs: bool) -> Kernel:
    """`rows`: whether i is contiguous in the source, too. `packs`: whether whole vectors may be written where I ends within one."""
    k = Builder("relayout", [("ptr", "args"), ("i64", "chunk")])
    lanes = llvm.vector_width() // BITS[type]
    source, target = (read_word(k, n, "ptr") for n in (RelayoutWord.SOURCE, RelayoutWord.TARGET))
    word = {w: read_word(k, w) for w in RelayoutWord if RelayoutWord.O <= w < RelayoutWord.JOBS}
    extent_i = word[RelayoutWord.I]
    vectors = k.binary("udiv", k.add(extent_i, k.constant(lanes - 1, "i64")), k.constant(lanes, "i64"))
    with k.loop(*share(k, k.parameters["chunk"], RelayoutWord.JOBS)) as job:
        o, vector = divide(k, job.index, vectors)
        panel, inside = divide(k, vector, word[RelayoutWord.PANEL_VECTORS])
        i = k.mul(vector, k.constant(lanes, "i64"))
        from_o = k.address(source, k.mul(o, word[RelayoutWord.SOURCE_O]), type)
        column = k.add(k.mul(panel, word[RelayoutWord.TARGET_PANEL]), k.mul(inside, k.constant(lanes, "i64")))
        to_o = k.address(target, k.add(k.mul(o, word[RelayoutWord.TARGET_O]), column), type)
        valid = k.first_lanes(k.sub(extent_i, i), lanes)
        written = k.constant(1, "i1", lanes) if packs else valid
        if rows:
            from_o = k.address(from_o, i, type)
        else:
            last = k.sub(extent_i, k.constant(1, "i64"))
            steps = [k.mul(k.intrinsic("smin", k.add(i, k.constant(n, "i64")), last), word[RelayoutWord.SOURCE_I]) for n in range(lanes)]
        with k.loop(0, word[RelayoutWord.P]) as p:
            from_p = k.address(from_o, k.mul(p.index, word[RelayoutWord.SOURCE_P]), type)
            to_p = k.address(to_o, k.mul(p.index, word[RelayoutWord.TARGET_P]), type)
            if rows:
                _copy_rows(k, type, from_p, to_p, word, valid, written)
            else:
                _transpose_lines(k, type, [k.address(from_p, step, type) for step in steps], to_p, word, written, packs)
    return Kernel("relayout", module([k]))


def _copy_rows(k: Builder, type: str, source: Value, target: Value, word: dict[RelayoutWord, Value], valid: Value, written: Value) -> None:
    """One vector of each row."""
    zero = k.constant(0, type, valid.lanes)
    with k.loop(0, word[RelayoutWord.J], carried=[source, target]) as row:
        source, target = row.carried
        k.masked_store(k.masked_load(source, type, valid, zero), target, written)
        row.next = [k.address(source, word[RelayoutWord.SOURCE_J], type), k.address(target, word[RelayoutWord.TARGET_J], type)]


def _transpose_lines(k: Builder, type: str, lines: list[Value], target: Value, word: dict[RelayoutWord, Value], written: Value, packs: bool) -> None:
    """As many lines as a vector has lanes, to rows of one vector."""
    lanes, length, step = len(lines), word[RelayoutWord.J], word[RelayoutWord.TARGET_J]
    zero = k.constant(0, type, lanes)

    def square(j: Value, whole: bool) -> None:
        left = k.sub(length, j)
        mask, lefts = k.first_lanes(left, lanes), k.splat(left, lanes)
        places = [k.address(line, j, type) for line in lines]
        found = [k.load(p, type, lanes) if whole else k.masked_load(p, type, mask, zero) for p in places]
        row = k.address(target, k.mul(j, step), type)
        for n, column in enumerate(transpose(k, found)):
            place = k.address(row, k.mul(k.constant(n, "i64"), step), type)
            if whole and packs:
                k.store(column, place)
            else:
                k.masked_store(column, place, written if whole else k.and_(written, k.compare("slt", k.constant(n, "i64", lanes), lefts)))

    end = k.and_(length, k.constant(-lanes, "i64"))
    with k.loop(0, end, lanes) as turn:
        square(turn.index, True)
    with k.loop(end, length, lanes) as turn:
        square(turn.index, False)


class PaddedWord(IntEnum):
    """The words of a padded copy: five dims, the innermost last, of a dense target."""

    SOURCE = 0
    TARGET = auto()
    EXTENT = auto()  # of the target
    LOW = EXTENT + 5  # type: ignore[operator]  # where the source begins
    SIZE = LOW + 5  # of the source
    STEP = SIZE + 5  # between elements of the source
    JOBS = STEP + 5  # in a chunk: two words; the first two dims
    END = JOBS + 2


@lru_cache(maxsize=16)
def padded_kernel(type: str, dense: bool) -> Kernel:
    """`dense`: whether the source's innermost stride is 1."""
    k = Builder("padded", [("ptr", "args"), ("i64", "chunk")])
    lanes = llvm.vector_width() // BITS[type]
    source, target = read_word(k, PaddedWord.SOURCE, "ptr"), read_word(k, PaddedWord.TARGET, "ptr")
    extent, low, size, step = ([read_word(k, part + d) for d in range(5)] for part in (PaddedWord.EXTENT, PaddedWord.LOW, PaddedWord.SIZE, PaddedWord.STEP))
    zero, nothing = k.constant(0, type, lanes), k.constant(0, "i64")
    line = extent[4]
    block = k.mul(k.mul(extent[2], extent[3]), line)

    def enter(d: int, index: Value, base: Value, size_left: Value) -> tuple[Value, Value]:
        """The source at this index of dim d, and how much of a line to copy: nothing outside of the source."""
        place = k.sub(index, low[d])
        inside = k.compare("ult", place, size[d])
        return k.address(base, k.mul(place, step[d]), type), k.select(inside, size_left, nothing)

    with k.loop(*share(k, k.parameters["chunk"], PaddedWord.JOBS)) as job:
        first, second = divide(k, job.index, extent[1])
        at, left = enter(0, first, source, size[4])
        at, left = enter(1, second, at, left)
        with k.loop(0, extent[2], carried=[k.address(target, k.mul(job.index, block), type)]) as plane:
            at_2, left_2 = enter(2, plane.index, at, left)
            start, end = k.address(at_2, k.mul(k.neg(low[4]), step[4]), type), k.add(low[4], left_2)
            with k.loop(0, line, lanes) as turn:
                places = k.add(k.splat(turn.index, lanes), _numbers(lanes))
                filled = k.and_(k.compare("sge", places, k.splat(low[4], lanes)), k.compare("slt", places, k.splat(end, lanes)))
                written = k.first_lanes(k.sub(line, turn.index), lanes)
                along = k.mul(places, k.splat(step[4], lanes))
                with k.loop(0, extent[3], carried=[k.address(plane.carried[0], turn.index, type)]) as row:
                    place = k.sub(row.index, low[3])
                    mask = k.and_(k.compare("ult", k.splat(place, lanes), k.splat(size[3], lanes)), filled)
                    base = k.address(start, k.mul(place, step[3]), type)
                    if dense:
                        found = k.masked_load(k.address(base, turn.index, type), type, mask, zero)
                    else:
                        found = k.gather(k.addresses(base, along, type), type, mask, zero)
                    k.masked_store(found, row.carried[0], written)
                    row.next = [k.address(row.carried[0], line, type)]
            plane.next = [k.address(plane.carried[0], k.mul(extent[3], line), type)]
    return Kernel("padded", module([k]))
