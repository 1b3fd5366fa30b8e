"""Matrix products as machine code: `a @ b` over tiles of accumulators that stay in registers.

    product   a chunk: its tiles of the output, K in blocks, panels of columns          once a module
    pack      one panel of B to contiguous memory, transposed if need be               if B is packed
    gather    the rows or columns of A that a tile reads, next to each other           if A is packed
    panel     one panel of B against blocks of rows of A: where the time is spent      one or two a module

Each element of the output is one accumulator that starts from the bias (or zero) and takes ``fma(a, b, accumulator)``
for k = 0, 1, ... in order. Between blocks of K it rests in the output, so that no blocking changes its bits. In half precision
it is float32, and rounded when the output is written; so there is one block, or the output is float32 itself.

Where the processor multiplies pairs of bfloat16 (``vdpbf16ps``), an accumulator takes two k in a step: first the second one of a pair,
then the first one, each as ``fma`` would; but numbers that are subnormal count as zeros, among operands, sums and results.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto
from functools import lru_cache, partial

from . import gemm_amx, llvm
from .claims import WORDS as CLAIM_WORDS, claimed
from .elements import add_products, load, memory_type
from .emit import LANES, Builder, Value, module
from .gemm_pack import PairOfLines, packing
from .gemm_variant import Variant, finish, masks_of, smaller
from .kernel import Kernel, kernel_of

#: Bytes of a line of the cache.
LINE = 64
#: Most dims of a batch that one call walks over.
BATCH_DIMS = 3


class Word(IntEnum):
    """The words of a call of a product kernel. Strides are in elements."""

    A = 0
    B = auto()
    BIAS = auto()  # any address if HAS_BIAS is 0
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk
    N = auto()
    K = auto()
    K_BLOCK = auto()
    A_STEP = auto()  # between rows if those are contiguous, else between columns
    B_STEP = auto()
    BIAS_STEP = auto()
    OUT_STEP = auto()
    HAS_BIAS = auto()
    ROWS = auto()  # of A
    FIRST_BLOCKS = auto()  # blocks of rows that have `Variant.rows[0]` of them; the others have `rows[1]`
    ROW_SLABS = auto()
    PANEL_SLABS = auto()
    TAIL = auto()  # two words; see kernel.py
    # Shares, each two words; see `shares`.
    BLOCKS = TAIL + 2  # type: ignore[operator]  # of rows in a slab
    PANELS = BLOCKS + 2  # in a slab
    JOBS = PANELS + 2  # the batch's products times their row slabs times their panel slabs; see claims.py
    BATCH = JOBS + CLAIM_WORDS  # BATCH_DIMS extents, then as many strides of a, of b, of the bias and of the output


@lru_cache(maxsize=256)
def product_kernel(variant: Variant) -> Kernel:
    if variant.amx:
        return kernel_of("product", [_product(variant), gemm_amx.panel(variant), gemm_amx.gather(variant), *packing(variant)])
    functions = [_product(variant), panel(variant, "panel", variant.vectors)]
    if variant.tail:
        functions.append(panel(variant, "tail", variant.tail))
    return kernel_of("product", [*functions, *packing(variant)])


# Arithmetic on the words of a call.


def read_word(k: Builder, n: int, type: str = "i64") -> Value:
    return k.load(k.address(k.parameters["args"], n, "i64"), type)


def divide(k: Builder, a: Value, b: Value) -> tuple[Value, Value]:
    """The quotient and the remainder of natural numbers."""
    quotient = k.binary("udiv", a, b)
    return quotient, k.sub(a, k.mul(quotient, b))


def shares(whole: int, parts: int) -> tuple[int, int]:
    """How `whole` things are shared among `parts`: so many each, and so many parts have one more."""
    return divmod(whole, parts)


def share(k: Builder, part: Value, word: int) -> tuple[Value, Value]:
    """Where a part's things begin and end, by the words that `shares` gave."""
    each, more = read_word(k, word), read_word(k, word + 1)
    following = k.add(part, k.constant(1, "i64"))
    start, stop = (k.add(k.mul(n, each), k.intrinsic("smin", n, more)) for n in (part, following))
    return start, stop


def at_batch(k: Builder, types: Sequence[str], number: Value, bases: list[Value], first: int) -> list[Value]:
    """Addresses in element `number` of a batch whose extents, and then strides of each base, begin at word `first`."""
    for d in reversed(range(BATCH_DIMS)):
        number, index = divide(k, number, read_word(k, first + d))
        strides = [read_word(k, first + (1 + operand) * BATCH_DIMS + d) for operand in range(len(bases))]
        bases = [k.address(base, k.mul(index, stride), type) for base, stride, type in zip(bases, strides, types, strict=True)]
    return bases


def call_tail(k: Builder, word: int, box: Sequence[Value]) -> None:
    """Call the tail whose words begin with `word`, if there is one, for a box: matrix, rows, columns."""
    tail, args = read_word(k, word, "ptr"), k.address(k.parameters["args"], read_word(k, word + 1), "i64")
    some, done = k.fresh("some"), k.fresh("done")
    k.branch(k.compare("ne", tail, Value("null", "ptr")), some, done)
    k.label(some)
    k.do(f"call void {tail.text}({', '.join(v.typed for v in (args, *box))})")
    k.jump(done)
    k.label(done)


# Functions that a module calls within itself. A call lists the arguments in the order of these parameters.

_PANEL = (
    ("i64", "k"),
    ("ptr", "a"),
    ("i64", "a_step"),
    ("ptr", "b"),
    ("i64", "b_step"),
    ("ptr", "start"),  # the first values of the accumulators, if `has_start`
    ("i64", "start_step"),
    ("ptr", "out"),
    ("i64", "out_step"),
    ("i64", "columns"),
    ("i64", "first"),  # blocks of `rows[0]` rows, then of `rows[1]`
    ("i64", "second"),
    ("i1", "has_start"),
)


def invoke(k: Builder, name: str, arguments: Sequence[Value]) -> None:
    k.do(f"call void @{name}({', '.join(a.typed for a in arguments)})")


def panel(variant: Variant, name: str, vectors: int) -> Builder:
    """``out = start + a @ b`` for one panel of B, a block of rows after the other.

    `start` may be `out` itself: what is stored depends on what was loaded from the same place, so no order is lost.
    """
    k = Builder(name, _PANEL)
    p, type = k.parameters, memory_type(variant.out)
    masks = masks_of(k, p["columns"], vectors, variant.lanes)
    b_step = k.constant(variant.width, "i64") if variant.b_packed else p["b_step"]
    pointers = [p["a"], p["start"], p["out"]]
    for rows, count in zip(variant.rows, (p["first"], p["second"]), strict=False):
        with k.loop(0, count, carried=pointers) as block:
            a, start, out = block.carried
            sums = _start(k, variant, rows, start, p["start_step"], p["has_start"], masks)
            out_next = k.address(out, k.mul(p["out_step"], k.constant(rows, "i64")), type)
            for row in _rows(k, type, out_next, p["out_step"], rows):
                for v in range(0, vectors, max(LINE * 8 // llvm.vector_width(), 1)):
                    k.prefetch(k.address(row, v * variant.lanes, type), writes=True)
            sums = _multiply(k, variant, rows, a, b_step, sums, masks)
            for i, row in enumerate(_rows(k, type, out, p["out_step"], rows)):
                for v, mask in enumerate(masks):
                    finish(k, variant, sums[i * vectors + v], k.address(row, v * variant.lanes, type), mask)
            a_next = k.mul(p["a_step"], k.constant(rows, "i64")) if variant.a_rows else rows
            start_next = k.address(start, k.mul(p["start_step"], k.constant(rows, "i64")), type)
            block.next = [k.address(a, a_next, variant.a_type), start_next, out_next]
        pointers = block.results
    return k


def _rows(k: Builder, type: str, base: Value, step: Value, count: int) -> list[Value]:
    """The addresses of `count` rows that lie `step` elements apart."""
    return [k.address(base, k.mul(step, k.constant(i, "i64")), type) for i in range(count)]


def _start(k: Builder, variant: Variant, rows: int, start: Value, step: Value, has_start: Value, masks: list[Value]) -> list[Value]:
    """The accumulators before the first k."""
    zero = k.constant(0, variant.sum, variant.lanes)
    before, some, done = k.block, k.fresh("load"), k.fresh("loaded")
    k.branch(has_start, some, done)
    k.label(some)
    type = memory_type(variant.out)
    loaded = [
        load(k, k.address(row, v * variant.lanes, type), variant.out, variant.lanes, mask)
        for row in _rows(k, type, start, step, rows)
        for v, mask in enumerate(masks)
    ]
    k.jump(done)
    k.label(done)
    return [k.new(f"phi {zero.ir} [{x.text}, %{some}], [zeroinitializer, %{before}]", x.type, x.lanes) for x in loaded]


def _multiply(k: Builder, variant: Variant, rows: int, a: Value, b_step: Value, sums: list[Value], masks: list[Value]) -> list[Value]:
    """The accumulators after the last k."""
    p, type, lanes, vectors = k.parameters, variant.packed, variant.lanes, len(masks)
    a_rows = _rows(k, variant.a_type, a, p["a_step"], rows) if variant.a_rows else []
    zero = k.constant(0, type, lanes)
    with k.loop(0, p["k"], carried=[p["b"], *([] if a_rows else [a]), *sums]) as turn:
        b, *sums = turn.carried
        after = [k.address(b, b_step, type)]
        if not a_rows:
            a, *sums = sums
            after.append(k.address(a, p["a_step"], type))
        columns = []
        for v, mask in enumerate(masks):
            address = k.address(b, v * lanes, type)
            # Packed panels have whole rows; what stands behind the last column is multiplied and never stored.
            columns.append(k.load(address, type, lanes) if variant.b_packed else k.masked_load(address, type, mask, zero))
        for i in range(rows):
            address = k.address(a_rows[i], turn.index, type) if a_rows else k.address(a, i, type)
            # A row of bfloat16 that is read where it lies is aligned to its elements only.
            factor = k.new(f"load i32, ptr {address.text}, align 2", type) if variant.pairs else k.load(address, type)
            factor = k.splat(factor, lanes)
            add = partial(add_products, k) if variant.pairs else k.fma
            after += [add(factor, column, sums[i * vectors + v]) for v, column in enumerate(columns)]
        turn.next = after
    return turn.results[-rows * vectors :]


def _product(variant: Variant) -> Builder:
    """A chunk: some of the jobs, each a slab of rows times a slab of panels of one product of the batch."""
    k = Builder("product", [("ptr", "args"), ("i64", "chunk")])
    type, out_type, number = variant.memory, memory_type(variant.out), lambda n: k.constant(n, "i64")

    def word(n: int) -> Value:
        return read_word(k, n, "ptr" if n <= Word.WORKSPACE else "i64")

    n, depth, k_block = word(Word.N), word(Word.K), word(Word.K_BLOCK)
    a_step, b_step, bias_step, out_step = (word(w) for w in (Word.A_STEP, Word.B_STEP, Word.BIAS_STEP, Word.OUT_STEP))
    has_bias = k.compare("ne", word(Word.HAS_BIAS), number(0))
    first_blocks, row_slabs, panel_slabs = word(Word.FIRST_BLOCKS), word(Word.ROW_SLABS), word(Word.PANEL_SLABS)
    chunk = k.parameters["chunk"]
    panel_room = k.address(word(Word.WORKSPACE), k.mul(chunk, word(Word.WORKSPACE_BYTES)), "i8")
    a_room = panel_room
    if variant.a_packed and variant.b_packed:
        whole_block = k.and_(k.add(variant.steps(k, k_block), number(variant.lanes - 1)), number(-variant.lanes))
        a_room = k.address(panel_room, k.mul(whole_block, number(variant.width)), variant.packed)

    if variant.amx:
        gemm_amx.configure(k)
    with claimed(k, Word.JOBS) as job:
        rest, panel_slab = divide(k, job.index, panel_slabs)
        rest, row_slab = divide(k, rest, row_slabs)
        a, b, bias, out = at_batch(k, (variant.a_memory, type, out_type, out_type), rest, [word(w) for w in (Word.A, Word.B, Word.BIAS, Word.OUT)], Word.BATCH)
        block, block_stop = share(k, row_slab, Word.BLOCKS)
        first = smaller(k, block, first_blocks)
        firsts = k.sub(smaller(k, block_stop, first_blocks), first)
        seconds = k.sub(k.sub(block_stop, block), firsts)
        large, small = number(variant.rows[0]), number(variant.rows[-1])
        row = k.add(k.mul(first, large), k.mul(k.sub(block, first), small))
        rows = smaller(k, k.add(k.mul(firsts, large), k.mul(seconds, small)), k.sub(word(Word.ROWS), row))
        bias = k.address(bias, k.mul(row, bias_step), out_type)
        out = k.address(out, k.mul(row, out_step), out_type)

        panels = share(k, panel_slab, Word.PANELS)
        # At least one block, even of no k: the output is written in any case.
        with k.loop(0, k.intrinsic("smax", depth, number(1)), k_block) as outer:
            behind = k.compare("ne", outer.index, number(0))
            count = smaller(k, k_block, k.sub(depth, outer.index))
            line, inside = (row, outer.index) if variant.a_rows else (variant.steps(k, outer.index) if variant.a_paired else outer.index, row)
            a_block = k.address(a, k.add(k.mul(line, a_step), inside), variant.a_memory)
            block_step = a_step
            if variant.a_packed:
                lines, length = (rows, count) if variant.a_rows else (count, rows)
                if variant.amx:
                    block_step = gemm_amx.block_size(k, count)
                else:
                    # An odd number of lines of the cache apart.
                    packed_length = variant.steps(k, length) if variant.a_rows else length
                    block_step = k.or_(k.and_(k.add(packed_length, number(31)), number(-16)), number(16))
                invoke(k, "gather", [a_block, a_step, a_room, block_step, lines, length])
                a_block = a_room
            has_start = k.or_(behind, has_bias)
            start_step = k.select(behind, out_step, bias_step)
            with k.loop(*panels) as panel:
                column = k.mul(panel.index, number(variant.width))
                columns = smaller(k, number(variant.width), k.sub(n, column))
                line, inside = (outer.index, column) if variant.b_rows else (column, outer.index)
                b_block = k.address(b, k.add(k.mul(line, b_step), inside), type)
                if variant.b_packed:
                    invoke(k, "pack", [b_block, b_step, panel_room, count, columns])
                    b_block = panel_room
                target = k.address(out, column, out_type)
                start = k.select(behind, target, k.address(bias, column, out_type))
                counts = [firsts, rows if variant.amx else seconds]
                arguments = [variant.steps(k, count), a_block, block_step, b_block, b_step, start, start_step, target, out_step, columns, *counts, has_start]
                if variant.tail:
                    full, tail, done = k.fresh("full"), k.fresh("tail"), k.fresh("done")
                    k.branch(k.compare("slt", columns, number(variant.width)), tail, full)
                    k.label(tail)
                    invoke(k, "tail", arguments)
                    k.jump(done)
                    k.label(full)
                    invoke(k, "panel", arguments)
                    k.jump(done)
                    k.label(done)
                else:
                    invoke(k, "panel", arguments)
        call_tail(k, Word.TAIL, [rest, row, k.add(row, rows), *(smaller(k, k.mul(panel_number, number(variant.width)), n) for panel_number in panels)])
    if variant.amx:
        gemm_amx.release(k)
    return k


class PairWord(IntEnum):
    """The words of a call that makes pairs of columns. Strides are in elements: of the source bfloat16, of the target pairs."""

    SOURCE = 0
    TARGET = auto()
    K = auto()
    LENGTH = auto()  # of a column
    SOURCE_STEP = auto()
    TARGET_STEP = auto()
    SLABS = auto()  # in which the pairs of columns are divided
    PAIRS = auto()  # in a slab: two words; see `shares`
    JOBS = PAIRS + 2  # type: ignore[operator]  # in a chunk: the batch's matrices times the slabs
    BATCH = JOBS + 2


@lru_cache(maxsize=1)
def pair_kernel() -> Kernel:
    """Contiguous columns of bfloat16, two and two as one column of pairs."""
    k = Builder("pair_columns", [("ptr", "args"), ("i64", "chunk")])
    bases = [read_word(k, word, "ptr") for word in (PairWord.SOURCE, PairWord.TARGET)]
    depth, length, source_step, target_step, slabs = (read_word(k, word) for word in range(PairWord.K, PairWord.SLABS + 1))
    whole = k.and_(length, k.constant(-LANES, "i64"))
    with k.loop(*share(k, k.parameters["chunk"], PairWord.JOBS)) as job:
        matrix, slab = divide(k, job.index, slabs)
        source, target = at_batch(k, ("i16", "i32"), matrix, bases, PairWord.BATCH)
        with k.loop(*share(k, slab, PairWord.PAIRS)) as turn:
            first = k.shl(turn.index, 1)
            pair = PairOfLines.at(k, k.address(source, k.mul(first, source_step), "i16"), source_step, first, depth)
            column = k.address(target, k.mul(turn.index, target_step), "i32")
            with k.loop(0, whole, LANES) as row:
                k.store(pair.load(k, row.index, None), k.address(column, row.index, "i32"))
            with k.loop(whole, length, LANES) as row:
                mask = k.first_lanes(k.sub(length, row.index))
                k.masked_store(pair.load(k, row.index, mask), k.address(column, row.index, "i32"), mask)
    return Kernel("pair_columns", module([k]))
