"""Places that gather, as machine code: the output of a convolution and the gradient of its input.

A job has some samples, or some planes or lines of one, in one group of channels. It may bring what it reads of the image
near, with zeros around it; then panel after panel it multiplies part after part: rows that see the same taps of the window.
Parts write where their places are, or all of them write rows of channels, near as well, which are turned at the end.

A job may also pack its panels, if no other job needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

from .contraction_kernel import DIMS, Variant, multiply, panels, write_rows, write_table
from .conv_copies import BringWord, Source, Work, bring, copy_rows, prefetch, relayout_vector, square
from .emit import Builder, Value, module
from .gemm_kernel import divide, invoke, read_word, share
from .kernel import Kernel

#: Rows of a weight that are fetched beforehand, while it is packed.
_ROWS_AHEAD = 3


class Word(IntEnum):
    """The words of a call. Strides are in elements."""

    A = 0  # the image
    B = auto()  # packed: for each group, for each panel of columns, for each k a row as wide as the panel; or a weight
    BIAS = auto()
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk; it begins with tables, behind which are
    SCRATCH = auto()  # a tile
    NEAR = auto()  # what was brought
    PANEL = auto()  # a packed panel
    STAND_IN = auto()  # rows of channels that are turned at the end
    COLUMNS = auto()
    COLUMN_STEP = auto()  # between columns of the output
    PLACE_STEP = auto()  # and between places, if vectors are of these
    PANEL_STEP = auto()  # between panels of B
    GROUP_A = auto()
    GROUP_B = auto()
    GROUP_BIAS = auto()
    GROUP_OUT = auto()
    OUTERS = auto()  # samples of which each makes several jobs
    OUTER_A = auto()
    OUTER_OUT = auto()
    BLOCKS = auto()  # of the dim that is shared out: samples, planes or lines
    BLOCK = auto()  # how many of these, as parts count them
    BLOCK_A = auto()
    BLOCK_OUT = auto()
    SLABS = auto()  # of panels
    PANELS = auto()  # in a slab: two words
    JOBS = PANELS + 2  # type: ignore[operator]  # in a chunk: two words
    PARTS = JOBS + 2
    # What is brought.
    SAMPLES = auto()
    SAMPLES_EACH = auto()  # at most in a job
    CHANNELS = auto()
    DEPTH = auto()  # where the first block begins
    DEPTH_STEP = auto()
    HEIGHT = auto()
    HEIGHT_STEP = auto()
    # What is turned at the end.
    PLACES = auto()
    PLACES_EACH = auto()
    PLACES_STEP = auto()  # between blocks
    SAMPLE_OUT = auto()
    ROW_STEP = auto()  # of the stand-in
    CHANNEL_OUT = auto()
    # How panels are packed.
    PACK_O = auto()
    PACK_FROM_O = auto()
    PACK_TO_O = auto()
    PACK_J = auto()
    PACK_FROM_COLUMN = auto()
    PACK_FROM_J = auto()
    PACK_TO_J = auto()
    PACK_FIRST = auto()
    BRING = auto()
    PART = BRING + BringWord.END  # type: ignore[operator]  # part after part


class PartWord(IntEnum):
    """Rows that see the same taps."""

    COUNT = 0  # of k
    A = auto()  # where the first row begins
    B = auto()
    OUT = auto()
    TABLE = auto()  # bytes of the workspace
    ROWS = auto()
    ROWS_BYTES = auto()
    UNIT = auto()  # rows of each sample, plane or line
    UNITS = auto()
    LENGTH = auto()  # places along the innermost dim, of which rows have a vector each
    ROW_DIMS = auto()
    K_DIMS = ROW_DIMS + 3 * DIMS  # type: ignore[operator]
    END = K_DIMS + 3 * DIMS


@dataclass(frozen=True, slots=True)
class Gather:
    """What a call is specialised on."""

    variant: Variant
    source: Source | None = None  # if the image is brought near
    turned: bool = False
    packs: str = ""  # "columns" or "k": what lies next to each other in a weight that is packed here


@lru_cache(maxsize=256)
def gather_kernel(g: Gather) -> Kernel:
    functions = [_gather(g), *panels(g.variant)]
    if g.source is not None:
        functions.append(bring(g.variant.type, g.source))
    if (g.source == "channels" or g.turned or g.packs == "k") and g.variant.store != "columns":
        functions.append(square(g.variant.type))
    if g.packs == "columns":
        functions.append(copy_rows(g.variant.type))
    return Kernel("gather", module(functions))


class _Job(Work):
    """One job, as values."""

    def __init__(self, k: Builder, g: Gather, room: Value, index: Value) -> None:
        super().__init__(k, Word, g.variant.type, g.source, room)
        self.g = g
        rest, self.slab = divide(k, index, self.word(Word.SLABS))
        rest, self.block = divide(k, rest, self.word(Word.BLOCKS))
        self.group, self.outer = divide(k, rest, self.word(Word.OUTERS))

    def packed(self, panel: Value, columns: Value) -> Value:
        """A panel of the right side."""
        k, g = self.k, self.g
        if not g.packs:
            return self.at(self.word(Word.B), (self.group, Word.GROUP_B), (panel, Word.PANEL_STEP))
        width = g.variant.width
        source = self.at(self.word(Word.B), (self.group, Word.GROUP_B), (k.mul(panel, k.constant(width, "i64")), Word.PACK_FROM_COLUMN))
        target = k.address(self.near(Word.PANEL), self.word(Word.PACK_FIRST), self.type)
        steps = [self.word(w) for w in (Word.PACK_J, Word.PACK_FROM_COLUMN, Word.PACK_FROM_J, Word.PACK_TO_J)]
        with k.loop(0, self.word(Word.PACK_O)) as o, k.loop(0, width, g.variant.lanes) as v:
            from_v = self.at(source, (o.index, Word.PACK_FROM_O), (v.index, Word.PACK_FROM_COLUMN))
            to_v = k.address(self.at(target, (o.index, Word.PACK_TO_O)), v.index, self.type)
            left = k.intrinsic("smax", k.sub(columns, v.index), k.constant(0, "i64"))
            if g.packs == "k":
                ahead = self.at(from_v, (k.constant(_ROWS_AHEAD, "i64"), Word.PACK_FROM_O))
                for n in range(g.variant.lanes):
                    prefetch(k, self.at(ahead, (k.constant(n, "i64"), Word.PACK_FROM_COLUMN)))
            relayout_vector(k, self.type, from_v, to_v, steps, left, g.packs == "columns", True)
        return self.near(Word.PANEL)

    def output(self) -> Value:
        """Where its parts write."""
        if self.g.turned:
            return self.near(Word.STAND_IN)
        return self.at(self.word(Word.OUT), (self.group, Word.GROUP_OUT), (self.outer, Word.OUTER_OUT), (self.block, Word.BLOCK_OUT))

    def turn(self) -> None:
        """From rows of channels to the output."""
        k, lanes = self.k, self.g.variant.lanes
        target = self.at(self.word(Word.OUT), (self.group, Word.GROUP_OUT), (self.outer, Word.OUTER_OUT), (self.block, Word.BLOCK_OUT))
        each, columns = self.word(Word.PLACES_EACH), self.word(Word.COLUMNS)
        places = k.intrinsic("smin", each, k.sub(self.word(Word.PLACES), k.mul(self.block, self.word(Word.PLACES_STEP))))
        zero, row_step, channel_step = k.constant(0, "i64"), self.word(Word.ROW_STEP), self.word(Word.CHANNEL_OUT)
        with k.loop(0, self.left(Word.SAMPLES, Word.SAMPLES_EACH)) as n, k.loop(0, places, lanes) as i:
            rows = k.address(self.near(Word.STAND_IN), k.mul(k.add(k.mul(n.index, each), i.index), row_step), self.type)
            to = k.address(self.at(target, (n.index, Word.SAMPLE_OUT)), i.index, self.type)
            left = k.sub(places, i.index)
            with k.loop(0, columns, lanes) as j:
                width = k.intrinsic("smin", k.sub(columns, j.index), k.constant(lanes, "i64"))
                arguments = [k.address(rows, j.index, self.type), row_step, k.address(to, k.mul(j.index, channel_step), self.type), channel_step]
                invoke(k, "square", [*arguments, zero, left, width, width, zero, left])


class _Part:
    """One part, as values."""

    def __init__(self, k: Builder, room: Value, index: Value) -> None:
        self.k, self.room = k, room
        self.words = k.address(k.address(k.parameters["args"], k.mul(index, k.constant(PartWord.END, "i64")), "i64"), Word.PART, "i64")

    def word(self, n: int) -> Value:
        return self.k.load(self.k.address(self.words, n, "i64"), "i64")

    def table(self) -> Value:
        return self.k.address(self.room, self.word(PartWord.TABLE), "i8")

    def rows(self) -> list[Value]:
        """Tables of rows: of A, of the output, of lengths."""
        found = [self.k.address(self.room, self.word(PartWord.ROWS), "i8")]
        for _ in range(2):
            found.append(self.k.address(found[-1], self.word(PartWord.ROWS_BYTES), "i8"))
        return found

    def count(self, block: Value) -> Value:
        """How many rows there are in a block."""
        k, each = self.k, read_word(self.k, Word.BLOCK)
        units = k.intrinsic("smin", each, k.sub(self.word(PartWord.UNITS), k.mul(block, each)))
        return k.mul(self.word(PartWord.UNIT), k.intrinsic("smax", units, k.constant(0, "i64")))


def _gather(g: Gather) -> Builder:
    k = Builder("gather", [("ptr", "args"), ("i64", "chunk")], cold=True)
    variant = g.variant
    chunk, parts = k.parameters["chunk"], read_word(k, Word.PARTS)

    def number(n: int) -> Value:
        return k.constant(n, "i64")

    room = k.address(read_word(k, Word.WORKSPACE, "ptr"), k.mul(chunk, read_word(k, Word.WORKSPACE_BYTES)), "i8")
    with k.loop(0, parts) as each:
        part = _Part(k, room, each.index)
        write_table(k, k.address(part.words, PartWord.K_DIMS, "i64"), part.table(), part.word(PartWord.COUNT))
    with k.loop(*share(k, chunk, Word.JOBS), carried=[number(0)]) as turn:
        job = _Job(k, g, room, turn.index)
        a = job.image()
        # The last block may have fewer rows: 2, if the tables are for these, 1 for the others'.
        kind = k.select(k.compare("eq", job.block, k.sub(job.word(Word.BLOCKS), number(1))), number(2), number(1))
        with k.loop(0, k.select(k.compare("eq", turn.carried[0], kind), number(0), parts)) as each:
            part = _Part(k, room, each.index)
            write_rows(k, k.address(part.words, PartWord.ROW_DIMS, "i64"), part.rows(), part.count(job.block), part.word(PartWord.LENGTH))
        turn.next = [kind]
        column_count, column_step, place_step = job.word(Word.COLUMNS), job.word(Word.COLUMN_STEP), job.word(Word.PLACE_STEP)
        scratch, out, bias = job.near(Word.SCRATCH), job.output(), job.at(job.word(Word.BIAS), (job.group, Word.GROUP_BIAS))
        with k.loop(*share(k, job.slab, Word.PANELS)) as panel:
            column = k.mul(panel.index, number(variant.width))
            columns = k.intrinsic("smin", number(variant.width), k.sub(column_count, column))
            b = job.packed(panel.index, columns)
            panel_bias, panel_out = k.address(bias, column, variant.type), k.address(out, k.mul(column, column_step), variant.type)
            with k.loop(0, parts) as each:
                part = _Part(k, room, each.index)
                a_part, b_part, out_part = (k.address(base, part.word(w), variant.type) for base, w in ((a, PartWord.A), (b, PartWord.B), (panel_out, PartWord.OUT)))
                row_a, row_out, lengths = part.rows()
                last = lengths if variant.store == "places" else scratch
                arguments = [part.table(), part.word(PartWord.COUNT), a_part, b_part, panel_bias, out_part, columns, column_step]
                multiply(k, variant, columns, [*arguments, part.count(job.block), row_a, row_out, last, place_step, k.constant(1, "i1")])
        if g.turned:
            job.turn()
    return k
