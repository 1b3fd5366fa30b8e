"""Places that gather, as machine code: the output of a convolution and the gradient of its input.

A job has some samples, or some planes or lines of one, in one group of channels. It may bring what it reads of the image
near, with zeros around it; then panel after panel it multiplies part after part: rows that see the same taps of the window.
Parts write where their places are, or all of them write rows of channels, near as well, which are turned at the end.

A job may also pack its panels, if no other job needs them. Chunks claim jobs one by one (claims.py).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

from .claims import WORDS, claimed
from .contraction_kernel import DIMS, NO_PAIR, Variant, multiply, panels, write_rows, write_table
from .conv_copies import (
    BringWord,
    Source,
    Work,
    bring,
    copy_rows,
    full_rows,
    relayout_vector,
    square,
    square_name,
)
from .elements import PAIRS, memory_type
from .emit import Builder, Value
from .gemm_kernel import call_tail, divide, invoke, read_word, share
from .kernel import Kernel, Subroutine, kernel_of

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
    BLOCK_SAMPLES = auto()  # samples between blocks
    SLABS = auto()  # of panels
    PANELS = auto()  # in a slab: two words
    JOBS = PANELS + 2  # type: ignore[operator]  # see claims.py
    PARTS = JOBS + WORDS
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
    PLACES_EACH = auto()  # in a block
    PLACES_STEP = auto()  # between blocks
    SAMPLE_OUT = auto()
    ROW_STEP = auto()  # of the stand-in
    CHANNEL_OUT = auto()
    # What a tail is given: rows of places or, if a word says so, of channels.
    TAIL = auto()  # two words; see kernel.py
    CHANNELS_LAST = TAIL + 2  # type: ignore[operator]
    # How panels are packed.
    PACK_O = auto()
    PACK_FROM_O = auto()
    PACK_TO_O = auto()
    PACK_J = auto()
    PACK_FROM_COLUMN = auto()
    PACK_FROM_J = auto()
    PACK_TO_J = auto()
    PACK_FIRST = auto()
    PACK_SECOND = auto()
    PACK_FULL = auto()
    PACK_FULL_O = auto()
    PACK_FULL_J = auto()
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
    image: str  # the kind of the image's elements
    source: Source | None = None  # if the image is brought near
    turned: bool = False
    packs: str = ""  # "columns" or "k": what lies next to each other in a weight that is packed here
    weight: str = ""  # the kind of such a weight's elements


@lru_cache(maxsize=256)
def gather_kernel(g: Gather) -> Kernel:
    functions: list[Builder | Subroutine] = [_gather(g), *panels(g.variant)]
    if g.source is not None:
        functions.append(bring(g.image, g.source))
    if g.turned:
        functions.append(square(g.variant.sum, g.variant.type))
    if g.packs:
        functions.append(copy_rows(g.weight) if g.packs == "columns" else square(g.weight))
    return kernel_of("gather", functions)


class _Job(Work):
    """One job, as values."""

    def __init__(self, k: Builder, g: Gather, room: Value, index: Value) -> None:
        super().__init__(k, Word, g.image, g.source, room)
        self.g = g
        rest, self.slab = divide(k, index, self.word(Word.SLABS))
        rest, self.block = divide(k, rest, self.word(Word.BLOCKS))
        self.group, self.outer = divide(k, rest, self.word(Word.OUTERS))

    def packed(self, panel: Value, columns: Value) -> Value:
        """A panel of the right side."""
        k, g = self.k, self.g
        to_type = g.variant.packed
        if not g.packs:
            return self.at(to_type, self.word(Word.B), (self.group, Word.GROUP_B), (panel, Word.PANEL_STEP))
        width, type = g.variant.width, memory_type(g.weight)
        source = self.at(type, self.word(Word.B), (self.group, Word.GROUP_B), (k.mul(panel, k.constant(width, "i64")), Word.PACK_FROM_COLUMN))
        target = k.address(self.near(Word.PANEL), self.word(Word.PACK_FIRST), to_type)
        steps = [self.word(w) for w in (Word.PACK_J, Word.PACK_FROM_COLUMN, Word.PACK_FROM_J, Word.PACK_TO_J)]
        with k.loop(0, self.word(Word.PACK_O)) as o, k.loop(0, width, g.variant.lanes) as v:
            from_v = self.at(type, source, (o.index, Word.PACK_FROM_O), (v.index, Word.PACK_FROM_COLUMN))
            to_v = k.address(self.at(to_type, target, (o.index, Word.PACK_TO_O)), v.index, to_type)
            left = k.intrinsic("smax", k.sub(columns, v.index), k.constant(0, "i64"))
            if g.packs == "k":
                ahead = self.at(type, from_v, (k.constant(_ROWS_AHEAD, "i64"), Word.PACK_FROM_O))
                # Lines of pairs are half as long, and there are two.
                rows = [ahead, k.address(ahead, self.word(Word.PACK_SECOND), type)] if g.weight == PAIRS else [ahead]
                for n, row in itertools.product(range(0, g.variant.lanes, len(rows)), rows):
                    k.prefetch(self.at(type, row, (k.constant(n, "i64"), Word.PACK_FROM_COLUMN)))
            pair = self.word(Word.PACK_SECOND), full_rows(k, o.index, [self.word(w) for w in (Word.PACK_FULL, Word.PACK_FULL_O, Word.PACK_FULL_J)])
            relayout_vector(k, g.weight, from_v, to_v, steps, left, g.packs == "columns", True, pair)
        return self.near(Word.PANEL)

    def output(self) -> Value:
        """Where its parts write."""
        if self.g.turned:
            return self.near(Word.STAND_IN)
        return self._output(self.g.variant.out)

    def _output(self, kind: str) -> Value:
        return self.at(memory_type(kind), self.word(Word.OUT), (self.group, Word.GROUP_OUT), (self.outer, Word.OUTER_OUT), (self.block, Word.BLOCK_OUT))

    def places(self) -> tuple[Value, Value]:
        """The first place of a block, and how many there are."""
        first = self.k.mul(self.block, self.word(Word.PLACES_STEP))
        return first, self.k.intrinsic("smin", self.word(Word.PLACES_EACH), self.k.sub(self.word(Word.PLACES), first))

    def finish(self, panel: Value, panel_stop: Value) -> None:
        """Give the tail what has been made: these panels of channels."""
        k = self.k
        last = k.compare("ne", self.word(Word.CHANNELS_LAST), k.constant(0, "i64"))
        first_channel = k.mul(self.group, self.word(Word.COLUMNS))
        width = k.constant(self.g.variant.width, "i64")
        channels = [k.add(first_channel, k.intrinsic("smin", k.mul(n, width), self.word(Word.COLUMNS))) for n in (panel, panel_stop)]
        first, count = self.places()
        places = [first, k.add(first, count)]
        rows, columns = ([k.select(last, a, b) for a, b in zip(*pair, strict=True)] for pair in ((places, channels), (channels, places)))
        sample = k.add(self.outer, k.mul(self.block, self.word(Word.BLOCK_SAMPLES)))
        with k.loop(0, self.left(Word.SAMPLES, Word.SAMPLES_EACH)) as n:
            call_tail(k, Word.TAIL, [k.add(sample, n.index), *rows, *columns])

    def turn(self) -> None:
        """From rows of channels to the output."""
        k, variant = self.k, self.g.variant
        lanes, type, to_type, target = variant.lanes, variant.sum, memory_type(variant.type), self._output(variant.type)
        each, columns = self.word(Word.PLACES_EACH), self.word(Word.COLUMNS)
        _, places = self.places()
        zero, row_step, channel_step = k.constant(0, "i64"), self.word(Word.ROW_STEP), self.word(Word.CHANNEL_OUT)
        with k.loop(0, self.left(Word.SAMPLES, Word.SAMPLES_EACH)) as n, k.loop(0, places, lanes) as i:
            rows = k.address(self.near(Word.STAND_IN), k.mul(k.add(k.mul(n.index, each), i.index), row_step), type)
            to = k.address(self.at(to_type, target, (n.index, Word.SAMPLE_OUT)), i.index, to_type)
            left = k.sub(places, i.index)
            with k.loop(0, columns, lanes) as j:
                width = k.intrinsic("smin", k.sub(columns, j.index), k.constant(lanes, "i64"))
                arguments = [k.address(rows, j.index, type), row_step, k.address(to, k.mul(j.index, channel_step), to_type), channel_step]
                invoke(k, square_name(type, variant.type), [*arguments, zero, left, width, width, zero, left, *NO_PAIR])


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
    with claimed(k, Word.JOBS, carried=[number(0)]) as turn:
        with k.loop(0, k.select(k.compare("eq", turn.carried[0], number(0)), parts, number(0))) as each:
            part = _Part(k, room, each.index)
            write_table(k, k.address(part.words, PartWord.K_DIMS, "i64"), part.table(), part.word(PartWord.COUNT))
        job = _Job(k, g, room, turn.index)
        a = job.image()
        # The last block may have fewer rows: 2, if the tables are for these, 1 for the others'.
        kind = k.select(k.compare("eq", job.block, k.sub(job.word(Word.BLOCKS), number(1))), number(2), number(1))
        with k.loop(0, k.select(k.compare("eq", turn.carried[0], kind), number(0), parts)) as each:
            part = _Part(k, room, each.index)
            write_rows(k, k.address(part.words, PartWord.ROW_DIMS, "i64"), part.rows(), part.count(job.block), part.word(PartWord.LENGTH))
        turn.next = [kind]
        column_count, column_step, place_step = job.word(Word.COLUMNS), job.word(Word.COLUMN_STEP), job.word(Word.PLACE_STEP)
        type, out_type, bias_type = variant.packed, memory_type(variant.out), memory_type(variant.type)
        scratch, out, bias = job.near(Word.SCRATCH), job.output(), job.at(bias_type, job.word(Word.BIAS), (job.group, Word.GROUP_BIAS))
        panels_of_job = share(k, job.slab, Word.PANELS)
        with k.loop(*panels_of_job) as panel:
            column = k.mul(panel.index, number(variant.width))
            columns = k.intrinsic("smin", number(variant.width), k.sub(column_count, column))
            b = job.packed(panel.index, columns)
            panel_bias, panel_out = k.address(bias, column, bias_type), k.address(out, k.mul(column, column_step), out_type)
            with k.loop(0, parts) as each:
                part = _Part(k, room, each.index)
                bases = ((a, PartWord.A, type), (b, PartWord.B, type), (panel_out, PartWord.OUT, out_type))
                a_part, b_part, out_part = (k.address(base, part.word(w), each) for base, w, each in bases)
                row_a, row_out, lengths = part.rows()
                last = lengths if variant.store == "places" else scratch
                arguments = [part.table(), part.word(PartWord.COUNT), a_part, b_part, panel_bias, out_part, columns, column_step]
                multiply(k, variant, columns, [*arguments, part.count(job.block), row_a, row_out, last, place_step, k.constant(1, "i1")])
        if g.turned:
            job.turn()
        job.finish(*panels_of_job)
    return k
