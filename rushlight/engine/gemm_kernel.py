"""Matrix products as machine code: `a @ b` over tiles of accumulators that stay in registers.

    product   a chunk: its tiles of the output, K in blocks, panels of columns          once a module
    pack      one panel of B to contiguous memory, transposed if need be               if B is packed
    gather    the rows or columns of A that a tile reads, next to each other           if A is packed
    panel     one panel of B against blocks of rows of A: where the time is spent      one or two a module

Each element of the output is one accumulator that starts from the bias (or zero) and takes ``fma(a, b, accumulator)``
for k = 0, 1, ... in order. Between blocks of K it rests in the output, so that no blocking changes its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

from . import llvm
from .emit import BITS, Builder, Value, module
from .kernel import Kernel

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
    FIRST_BLOCKS = auto()  # blocks of rows that have `Variant.rows[0]` of them; the others have `rows[1]`
    ROW_SLABS = auto()
    PANEL_SLABS = auto()
    # Shares, each two words; see `shares`.
    BLOCKS = auto()  # of rows in a slab
    PANELS = BLOCKS + 2  # type: ignore[operator]  # in a slab
    JOBS = PANELS + 2  # in a chunk: the batch's products times their row slabs times their panel slabs
    BATCH = JOBS + 2  # BATCH_DIMS extents, then as many strides of a, of b, of the bias and of the output


@dataclass(frozen=True, slots=True)
class Variant:
    """What a product kernel is specialised on."""

    type: str  # "float" or "double"
    rows: tuple[int, ...]  # of A in a block: one size or two
    vectors: int  # in a row of a panel
    tail: int  # vectors in a row of the last panel, if fewer
    a_rows: bool  # whether A's rows are contiguous, otherwise its columns are
    a_packed: bool
    b_rows: bool  # whether B's rows are contiguous, otherwise its columns are, and it is packed
    b_packed: bool

    @property
    def lanes(self) -> int:
        """Elements in a vector register of the host."""
        return llvm.vector_width() // BITS[self.type]

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes


def has_masks() -> bool:
    """Whether reading some lanes of a vector costs no more than reading all."""
    return "avx512f" in llvm.host_features()


@lru_cache(maxsize=256)
def product_kernel(variant: Variant) -> Kernel:
    functions = [_product(variant), panel(variant, "panel", variant.vectors)]
    if variant.tail:
        functions.append(panel(variant, "tail", variant.tail))
    if variant.b_packed:
        functions.append(pack_rows(variant) if variant.b_rows else pack_columns(variant))
    if variant.a_packed:
        functions.append(_gather(variant))
    return Kernel("product", module(functions))


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


def at_batch(k: Builder, type: str, number: Value, bases: list[Value], first: int, dims: int = BATCH_DIMS) -> list[Value]:
    """Addresses in element `number` of a batch whose extents, and then strides of each base, begin at word `first`."""
    for d in reversed(range(dims)):
        number, index = divide(k, number, read_word(k, first + d))
        strides = [read_word(k, first + (1 + operand) * dims + d) for operand in range(len(bases))]
        bases = [k.address(base, k.mul(index, stride), type) for base, stride in zip(bases, strides, strict=True)]
    return bases


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
_PACK = (("ptr", "source"), ("i64", "step"), ("ptr", "packed"), ("i64", "k"), ("i64", "columns"))
_GATHER = (("ptr", "source"), ("i64", "step"), ("ptr", "packed"), ("i64", "packed_step"), ("i64", "lines"), ("i64", "length"))


def invoke(k: Builder, name: str, arguments: Sequence[Value]) -> None:
    k.do(f"call void @{name}({', '.join(a.typed for a in arguments)})")


def _prefetch(k: Builder, address: Value) -> None:
    """Have a line of memory near, to be written soon. Any address will do."""
    k.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    k.do(f"call void @llvm.prefetch.p0({address.typed}, i32 1, i32 3, i32 1)")


def _masks(k: Builder, columns: Value, vectors: int, lanes: int) -> list[Value]:
    """For each vector of a row, which of its lanes are columns."""
    masks = []
    for v in range(vectors):
        numbers = Value("<" + ", ".join(f"i64 {v * lanes + n}" for n in range(lanes)) + ">", "i64", lanes)
        masks.append(k.compare("slt", numbers, k.splat(columns, lanes)))
    return masks


def _smaller(k: Builder, a: Value, b: Value) -> Value:
    return k.intrinsic("smin", a, b)


def panel(variant: Variant, name: str, vectors: int) -> Builder:
    """``out = start + a @ b`` for one panel of B, a block of rows after the other.

    `start` may be `out` itself: what is stored depends on what was loaded from the same place, so no order is lost.
    """
    k = Builder(name, _PANEL)
    p = k.parameters
    masks = _masks(k, p["columns"], vectors, variant.lanes)
    b_step = k.constant(variant.width, "i64") if variant.b_packed else p["b_step"]
    pointers = [p["a"], p["start"], p["out"]]
    for rows, count in zip(variant.rows, (p["first"], p["second"]), strict=False):
        with k.loop(0, count, carried=pointers) as block:
            a, start, out = block.carried
            sums = _start(k, variant, rows, start, p["start_step"], p["has_start"], masks)
            out_next = k.address(out, k.mul(p["out_step"], k.constant(rows, "i64")), variant.type)
            for row in _rows(k, variant.type, out_next, p["out_step"], rows):
                for v in range(0, vectors, max(LINE * 8 // llvm.vector_width(), 1)):
                    _prefetch(k, k.address(row, v * variant.lanes, variant.type))
            sums = _multiply(k, variant, rows, a, b_step, sums, masks)
            for i, row in enumerate(_rows(k, variant.type, out, p["out_step"], rows)):
                for v, mask in enumerate(masks):
                    k.masked_store(sums[i * vectors + v], k.address(row, v * variant.lanes, variant.type), mask)
            a_next = k.mul(p["a_step"], k.constant(rows, "i64")) if variant.a_rows else rows
            start_next = k.address(start, k.mul(p["start_step"], k.constant(rows, "i64")), variant.type)
            block.next = [k.address(a, a_next, variant.type), start_next, out_next]
        pointers = block.results
    return k


def _rows(k: Builder, type: str, base: Value, step: Value, count: int) -> list[Value]:
    """The addresses of `count` rows that lie `step` elements apart."""
    return [k.address(base, k.mul(step, k.constant(i, "i64")), type) for i in range(count)]


def _start(k: Builder, variant: Variant, rows: int, start: Value, step: Value, has_start: Value, masks: list[Value]) -> list[Value]:
    """The accumulators before the first k."""
    zero = k.constant(0, variant.type, variant.lanes)
    before, load, done = k.block, k.fresh("load"), k.fresh("loaded")
    k.branch(has_start, load, done)
    k.label(load)
    loaded = [
        k.masked_load(k.address(row, v * variant.lanes, variant.type), variant.type, mask, zero)
        for row in _rows(k, variant.type, start, step, rows)
        for v, mask in enumerate(masks)
    ]
    k.jump(done)
    k.label(done)
    return [k.new(f"phi {zero.ir} [{x.text}, %{load}], [zeroinitializer, %{before}]", x.type, x.lanes) for x in loaded]


def _multiply(k: Builder, variant: Variant, rows: int, a: Value, b_step: Value, sums: list[Value], masks: list[Value]) -> list[Value]:
    """The accumulators after the last k."""
    p, type, lanes, vectors = k.parameters, variant.type, variant.lanes, len(masks)
    a_rows = _rows(k, type, a, p["a_step"], rows) if variant.a_rows else []
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
            factor = k.splat(k.load(address, type), lanes)
            after += [k.fma(factor, column, sums[i * vectors + v]) for v, column in enumerate(columns)]
        turn.next = after
    return turn.results[-rows * vectors :]


def pack_rows(variant: Variant) -> Builder:
    """A panel of B whose rows are contiguous."""
    k = Builder("pack", _PACK)
    p, type, lanes = k.parameters, variant.type, variant.lanes
    zero = k.constant(0, type, lanes)
    whole, part, done = "whole", "part", "packed_all"

    def copy(masks: list[Value] | None) -> None:
        with k.loop(0, p["k"], carried=[p["source"], p["packed"]]) as row:
            source, packed = row.carried
            for v in range(variant.vectors):
                address = k.address(source, v * lanes, type)
                found = k.masked_load(address, type, masks[v], zero) if masks else k.load(address, type, lanes)
                k.store(found, k.address(packed, v * lanes, type))
            row.next = [k.address(source, p["step"], type), k.address(packed, variant.width, type)]
        k.jump(done)

    k.branch(k.compare("slt", p["columns"], k.constant(variant.width, "i64")), part, whole)
    k.label(whole)
    copy(None)
    k.label(part)
    copy(_masks(k, p["columns"], variant.vectors, lanes))
    k.label(done)
    return k


def pack_columns(variant: Variant) -> Builder:
    """A panel of B whose columns are contiguous, by square blocks transposed in registers.

    Columns behind the last one are copies of it. `packed` has room for k rounded up to whole blocks.
    """
    k = Builder("pack", _PACK)
    p, type, lanes = k.parameters, variant.type, variant.lanes
    zero = k.constant(0, type, lanes)
    last = k.sub(p["columns"], k.constant(1, "i64"))
    whole = k.constant(0, "i64") if has_masks() else k.and_(p["k"], k.constant(-lanes, "i64"))
    with k.loop(0, variant.width, lanes) as group:
        columns = [
            k.address(p["source"], k.mul(_smaller(k, k.add(group.index, k.constant(i, "i64")), last), p["step"]), type)
            for i in range(lanes)
        ]
        packed = k.address(p["packed"], group.index, type)

        def block(first: Value, mask: Value | None, columns: list[Value] = columns, packed: Value = packed) -> None:
            found = []
            for column in columns:
                address = k.address(column, first, type)
                found.append(k.masked_load(address, type, mask, zero) if mask else k.load(address, type, lanes))
            target = k.address(packed, k.mul(first, k.constant(variant.width, "i64")), type)
            for i, row in enumerate(transpose(k, found)):
                k.store(row, k.address(target, i * variant.width, type))

        if not has_masks():
            with k.loop(0, whole, lanes) as step:
                block(step.index, None)
        with k.loop(whole, p["k"], lanes) as step:
            block(step.index, k.first_lanes(k.sub(p["k"], step.index), lanes))
    return k


def transpose(k: Builder, rows: list[Value]) -> list[Value]:
    """The columns of a square of vectors, by shuffles that are cheap: within blocks of 128 bits, then of whole blocks."""
    lanes = len(rows)
    side = min(128 // BITS[rows[0].type], lanes)
    blocks = lanes // side
    # In each block the two operands' lanes by turns: those of its first half, those of its second.
    low = [n - n % side + n % side // 2 + n % 2 * lanes for n in range(lanes)]
    high = [n + side // 2 for n in low]
    # The blocks with even numbers, and those with odd ones, of two operands behind each other.
    even = [2 * (n - n % side) + n % side for n in range(lanes)]
    odd = [n + side for n in even]
    columns: list[Value] = [rows[0]] * lanes
    squares = []
    for first in range(0, lanes, side):
        square = rows[first : first + side]
        for _ in range(side.bit_length() - 1):
            pairs = zip(square[: side // 2], square[side // 2 :], strict=True)
            square = [_shuffle(k, x, y, order) for x, y in pairs for order in (low, high)]
        squares.append(square)
    for n, group in enumerate(zip(*squares, strict=True)):
        line = list(group)
        for _ in range(blocks.bit_length() - 1):
            line = [_shuffle(k, x, y, order) for order in (even, odd) for x, y in zip(line[::2], line[1::2], strict=True)]
        columns[n::side] = line
    return columns


def _shuffle(k: Builder, a: Value, b: Value, lanes: list[int]) -> Value:
    mask = ", ".join(f"i32 {n}" for n in lanes)
    return k.new(f"shufflevector {a.typed}, {b.typed}, <{len(lanes)} x i32> <{mask}>", a.type, len(lanes))


def _gather(variant: Variant) -> Builder:
    """Lines of A, each contiguous, nearer to each other: far apart they would share the cache's sets or its pages."""
    k = Builder("gather", _GATHER)
    p, type, lanes = k.parameters, variant.type, variant.lanes
    whole = k.and_(p["length"], k.constant(-lanes, "i64"))
    with k.loop(0, p["lines"], carried=[p["source"], p["packed"]]) as line:
        source, packed = line.carried
        with k.loop(0, whole, lanes) as turn:
            k.store(k.load(k.address(source, turn.index, type), type, lanes), k.address(packed, turn.index, type))
        with k.loop(whole, p["length"]) as turn:
            k.store(k.load(k.address(source, turn.index, type), type), k.address(packed, turn.index, type))
        line.next = [k.address(source, p["step"], type), k.address(packed, p["packed_step"], type)]
    return k


def panel_bytes(variant: Variant, k_block: int) -> int:
    """The memory of a packed panel."""
    return -(-k_block // variant.lanes) * variant.lanes * variant.width * (BITS[variant.type] // 8)


def _product(variant: Variant) -> Builder:
    """A chunk: some of the jobs, each a slab of rows times a slab of panels of one product of the batch."""
    k = Builder("product", [("ptr", "args"), ("i64", "chunk")])
    type, number = variant.type, lambda n: k.constant(n, "i64")

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
        whole_block = k.and_(k.add(k_block, number(variant.lanes - 1)), number(-variant.lanes))
        a_room = k.address(panel_room, k.mul(whole_block, number(variant.width)), type)

    with k.loop(*share(k, chunk, Word.JOBS)) as job:
        rest, panel_slab = divide(k, job.index, panel_slabs)
        rest, row_slab = divide(k, rest, row_slabs)
        a, b, bias, out = at_batch(k, type, rest, [word(w) for w in (Word.A, Word.B, Word.BIAS, Word.OUT)], Word.BATCH)
        block, block_stop = share(k, row_slab, Word.BLOCKS)
        first = _smaller(k, block, first_blocks)
        firsts = k.sub(_smaller(k, block_stop, first_blocks), first)
        seconds = k.sub(k.sub(block_stop, block), firsts)
        large, small = number(variant.rows[0]), number(variant.rows[-1])
        row = k.add(k.mul(first, large), k.mul(k.sub(block, first), small))
        rows = k.add(k.mul(firsts, large), k.mul(seconds, small))
        bias = k.address(bias, k.mul(row, bias_step), type)
        out = k.address(out, k.mul(row, out_step), type)

        # At least one block, even of no k: the output is written in any case.
        with k.loop(0, k.intrinsic("smax", depth, number(1)), k_block) as outer:
            behind = k.compare("ne", outer.index, number(0))
            count = _smaller(k, k_block, k.sub(depth, outer.index))
            line, inside = (row, outer.index) if variant.a_rows else (outer.index, row)
            a_block = k.address(a, k.add(k.mul(line, a_step), inside), type)
            block_step = a_step
            if variant.a_packed:
                lines, length = (rows, count) if variant.a_rows else (count, rows)
                # An odd number of lines of the cache apart.
                block_step = k.or_(k.and_(k.add(length, number(31)), number(-16)), number(16))
                invoke(k, "gather", [a_block, a_step, a_room, block_step, lines, length])
                a_block = a_room
            has_start = k.or_(behind, has_bias)
            start_step = k.select(behind, out_step, bias_step)
            with k.loop(*share(k, panel_slab, Word.PANELS)) as panel:
                column = k.mul(panel.index, number(variant.width))
                columns = _smaller(k, number(variant.width), k.sub(n, column))
                line, inside = (outer.index, column) if variant.b_rows else (column, outer.index)
                b_block = k.address(b, k.add(k.mul(line, b_step), inside), type)
                if variant.b_packed:
                    invoke(k, "pack", [b_block, b_step, panel_room, count, columns])
                    b_block = panel_room
                target = k.address(out, column, type)
                start = k.select(behind, target, k.address(bias, column, type))
                arguments = [count, a_block, block_step, b_block, b_step, start, start_step, target, out_step, columns, firsts, seconds, has_start]
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
    return k


class CopyWord(IntEnum):
    """The words of a copy: then the extents, as many strides of the source and of the target."""

    SOURCE = 0
    TARGET = auto()
    LENGTH = auto()
    SOURCE_STEP = auto()
    TARGET_STEP = auto()
    LINES = auto()  # in a chunk: two words; see `shares`
    DIMS = LINES + 2  # type: ignore[operator]


#: Dims of a copy over and above the innermost.
COPY_DIMS = BATCH_DIMS + 1


@lru_cache(maxsize=2)
def copy_kernel(type: str) -> Kernel:
    """Elements from one layout to another: for the few operands that no tile can read where they are."""
    k = Builder("copy", [("ptr", "args"), ("i64", "chunk")])
    bases = [read_word(k, CopyWord.SOURCE, "ptr"), read_word(k, CopyWord.TARGET, "ptr")]
    steps = [read_word(k, CopyWord.SOURCE_STEP), read_word(k, CopyWord.TARGET_STEP)]
    length = read_word(k, CopyWord.LENGTH)
    with k.loop(*share(k, k.parameters["chunk"], CopyWord.LINES)) as line:
        source, target = at_batch(k, type, line.index, bases, CopyWord.DIMS, COPY_DIMS)
        with k.loop(0, length, carried=[source, target]) as turn:
            k.store(k.load(turn.carried[0], type), turn.carried[1])
            turn.next = [k.address(at, step, type) for at, step in zip(turn.carried, steps, strict=True)]
    return Kernel("copy", module([k]))
