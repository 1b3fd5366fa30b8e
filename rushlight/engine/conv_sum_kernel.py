"""Sums over places, as machine code: the gradient of a weight that is small next to the images.

    summed   a job is a slice of the places. It brings some samples or lines of the image near, packs those of the gradient, and
             adds what they give to sums of its own, block of k after block of k
    merged   the slices' sums, added in their order, to the weight's layout

A row is a channel of the input and a place in the window, a column is a channel of the output. Chunks claim slices one by one (claims.py).
"""

from __future__ import annotations

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
from .elements import memory_type
from .emit import Builder, Value
from .gemm_kernel import divide, invoke, read_word, share
from .kernel import Kernel, Subroutine, kernel_of


class Word(IntEnum):
    """The words of a call. Strides are in elements."""

    A = 0  # the image
    GRAD = auto()
    TOTAL = auto()  # for each group and slice the sums
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk; it begins with the table of k, behind which are
    ROWS_AT = auto()
    ROWS_BYTES = auto()
    NEAR = auto()  # what was brought
    PANEL = auto()  # the packed gradient
    COLUMNS = auto()
    PANELS = auto()
    PANEL_STEP = auto()
    ROWS = auto()
    FIRST = auto()  # where the first row begins
    GROUP_A = auto()
    GROUP_GRAD = auto()
    TOTAL_STEP = auto()  # between sums
    SLICES = auto()
    JOBS = auto()  # groups times slices; see claims.py
    STAGES = JOBS + WORDS  # type: ignore[operator]  # in a slice: two words
    # A stage: some samples, or some planes or lines of one.
    BLOCKS = STAGES + 2  # of a sample
    BLOCK = auto()  # samples, planes or lines of each
    UNITS = auto()  # of all
    UNIT = auto()  # k of each of these
    OUTER_A = auto()  # between samples, if they have several blocks
    OUTER_GRAD = auto()
    BLOCK_A = auto()
    BLOCK_GRAD = auto()
    BLOCK_SAMPLES = auto()  # samples between blocks
    K_BLOCK = auto()
    SAMPLES = auto()  # of all stages, and of each; as much as one likes if stages are parts of one
    SAMPLES_EACH = auto()
    CHANNELS = auto()
    DEPTH = auto()  # where the first block begins
    DEPTH_STEP = auto()
    HEIGHT = auto()
    HEIGHT_STEP = auto()
    # How the gradient is packed: how much of o or of j each sample, plane or line has; 0 in the one that does not depend on them.
    PACK_O = auto()
    PACK_O_UNIT = auto()
    PACK_FROM_O = auto()
    PACK_TO_O = auto()
    PACK_J = auto()
    PACK_J_UNIT = auto()
    PACK_FROM_COLUMN = auto()
    PACK_FROM_J = auto()
    PACK_TO_J = auto()
    PACK_SECOND = auto()
    PACK_FULL = auto()
    PACK_FULL_O = auto()
    PACK_FULL_J = auto()
    ROW_DIMS = auto()
    K_DIMS = ROW_DIMS + 3 * DIMS  # type: ignore[operator]
    BRING = K_DIMS + 3 * DIMS
    END = BRING + BringWord.END


@dataclass(frozen=True, slots=True)
class Sum:
    """What a call is specialised on."""

    variant: Variant
    image: str  # the kinds of the image's and of the gradient's elements
    grad: str
    source: Source | None  # if the image is brought near
    columns: bool  # whether the gradient's channels lie next to each other, otherwise places do


@lru_cache(maxsize=128)
def summed_kernel(s: Sum) -> Kernel:
    functions: list[Builder | Subroutine] = [_summed(s), *panels(s.variant)]
    if s.source is not None:
        functions.append(bring(s.image, s.source))
    functions.append(copy_rows(s.grad) if s.columns else square(s.grad))
    return kernel_of("summed", functions)


class _Stage(Work):
    """One stage, as values."""

    def __init__(self, k: Builder, s: Sum, room: Value, group: Value, index: Value) -> None:
        super().__init__(k, Word, s.image, s.source, room)
        self.s, self.group = s, group
        self.outer, self.block = divide(k, index, self.word(Word.BLOCKS))
        self.units = self.left(Word.UNITS, Word.BLOCK)

    def gradient(self) -> Value:
        """Its panels."""
        k, s = self.k, self.s
        width, lanes = k.constant(s.variant.width, "i64"), k.constant(s.variant.lanes, "i64")
        type, to_type = memory_type(s.grad), s.variant.packed
        source = self.at(type, self.word(Word.GRAD), (self.group, Word.GROUP_GRAD), (self.outer, Word.OUTER_GRAD), (self.block, Word.BLOCK_GRAD))
        target, full = self.near(Word.PANEL), self.full(self.word(Word.PACK_FULL))
        o, j = (k.add(self.word(fixed), k.mul(self.units, self.word(each))) for fixed, each in ((Word.PACK_O, Word.PACK_O_UNIT), (Word.PACK_J, Word.PACK_J_UNIT)))
        steps = [j, *(self.word(w) for w in (Word.PACK_FROM_COLUMN, Word.PACK_FROM_J, Word.PACK_TO_J))]
        with k.loop(0, self.word(Word.COLUMNS), lanes) as column:
            panel, inside = divide(k, column.index, width)
            to_v = k.address(self.at(to_type, target, (panel, Word.PANEL_STEP)), inside, to_type)
            from_v, left = self.at(type, source, (column.index, Word.PACK_FROM_COLUMN)), k.sub(self.word(Word.COLUMNS), column.index)
            with k.loop(0, o) as turn:
                from_o, to_o = self.at(type, from_v, (turn.index, Word.PACK_FROM_O)), self.at(to_type, to_v, (turn.index, Word.PACK_TO_O))
                there = full_rows(k, turn.index, [full, self.word(Word.PACK_FULL_O), self.word(Word.PACK_FULL_J)])
                relayout_vector(k, s.grad, from_o, to_o, steps, left, s.columns, True, (self.word(Word.PACK_SECOND), there))
        return target


def _summed(s: Sum) -> Builder:
    k = Builder("summed", [("ptr", "args"), ("i64", "chunk")], cold=True)
    variant = s.variant
    chunk, args = k.parameters["chunk"], k.parameters["args"]

    def number(n: int) -> Value:
        return k.constant(n, "i64")

    def word(n: int) -> Value:
        return read_word(k, n, "ptr" if n <= Word.WORKSPACE else "i64")

    table = k.address(word(Word.WORKSPACE), k.mul(chunk, word(Word.WORKSPACE_BYTES)), "i8")
    row_a = k.address(table, word(Word.ROWS_AT), "i8")
    row_out = k.address(row_a, word(Word.ROWS_BYTES), "i8")
    rows, k_block = word(Word.ROWS), word(Word.K_BLOCK)
    with claimed(k, Word.JOBS, carried=[number(1)]) as job:
        job.next = [number(0)]
        with k.loop(0, job.carried[0]):
            write_table(k, k.address(args, Word.K_DIMS, "i64"), table, k.mul(word(Word.BLOCK), word(Word.UNIT)))
            write_rows(k, k.address(args, Word.ROW_DIMS, "i64"), [row_a, row_out, row_out], rows, number(0))
        group, part = divide(k, job.index, word(Word.SLICES))
        total = k.address(word(Word.TOTAL), k.mul(job.index, word(Word.TOTAL_STEP)), variant.out)
        start, stop = share(k, part, Word.STAGES)
        with k.loop(start, stop) as turn:
            stage = _Stage(k, s, table, group, turn.index)
            a, b = k.address(stage.image(), word(Word.FIRST), variant.packed), stage.gradient()
            count = k.mul(stage.units, word(Word.UNIT))
            with k.loop(0, count, k_block) as block:
                first = k.compare("eq", k.or_(k.sub(turn.index, start), block.index), number(0))
                entries = k.address(table, k.shl(block.index, 1), "i64")
                some = k.intrinsic("smin", k_block, k.sub(count, block.index))
                with k.loop(0, word(Word.PANELS)) as panel:
                    column = k.mul(panel.index, number(variant.width))
                    columns = k.intrinsic("smin", number(variant.width), k.sub(word(Word.COLUMNS), column))
                    out = k.address(total, column, variant.out)
                    b_panel = k.address(b, k.mul(panel.index, word(Word.PANEL_STEP)), variant.packed)
                    multiply(k, variant, columns, [entries, some, a, b_panel, out, out, columns, number(1), rows, row_a, row_out, row_out, number(0), first])
    return k


class MergeWord(IntEnum):
    """The words of a call that merges."""

    TOTAL = 0
    OUT = auto()
    ROWS = auto()
    WIDTH = auto()  # of a row of sums
    COLUMNS = auto()
    SLICES = auto()
    TOTAL_STEP = auto()  # between slices
    GROUP_OUT = auto()
    COLUMN_STEP = auto()  # of the output, in which rows follow each other
    JOBS = auto()  # in a chunk: two words; groups times vectors of rows
    END = JOBS + 2  # type: ignore[operator]


@lru_cache(maxsize=4)
def merged_kernel(type: str, lanes: int, out: str) -> Kernel:
    """The sums are of a type, the weight of a kind."""
    k = Builder("merged", [("ptr", "args"), ("i64", "chunk")])
    total, weight, out_type = read_word(k, MergeWord.TOTAL, "ptr"), read_word(k, MergeWord.OUT, "ptr"), memory_type(out)
    rows, width, columns, slices, total_step, group_out, column_step = (read_word(k, w) for w in range(MergeWord.ROWS, MergeWord.JOBS))
    zero, number = k.constant(0, "i64"), k.constant(lanes, "i64")
    vectors = k.binary("udiv", k.add(rows, k.constant(lanes - 1, "i64")), number)
    with k.loop(*share(k, k.parameters["chunk"], MergeWord.JOBS)) as job:
        group, vector = divide(k, job.index, vectors)
        row = k.mul(vector, number)
        count = k.intrinsic("smin", number, k.sub(rows, row))
        source = k.address(total, k.add(k.mul(k.mul(group, slices), total_step), k.mul(row, width)), type)
        target = k.address(k.address(weight, k.mul(group, group_out), out_type), row, out_type)
        with k.loop(0, k.mul(count, width), lanes) as turn:
            place = k.address(source, turn.index, type)
            with k.loop(1, slices, carried=[k.load(place, type, lanes)]) as part:
                part.next = [k.add(part.carried[0], k.load(k.address(place, k.mul(part.index, total_step), type), type, lanes))]
            k.store(part.results[0], place)
        with k.loop(0, columns, lanes) as column:
            left = k.intrinsic("smin", k.sub(columns, column.index), number)
            to = k.address(target, k.mul(column.index, column_step), out_type)
            invoke(k, square_name(type, out), [k.address(source, column.index, type), width, to, column_step, zero, count, left, left, zero, count, *NO_PAIR])
    return kernel_of("merged", [k, square(type, out)])
