"""A vector times matrices as machine code: ``out[j] = sum(a[k] * b[k, j]) + bias[j]``.

Every element has `LANES` accumulators: number l takes k = l, l + LANES, ... in order from zero. They are then added in
halves, 8 + 8, 4 + 4, 2 + 2, 1 + 1, and the bias to their sum. The order is the same whether B's columns or its rows are
contiguous; in the first case the accumulators of an element are the lanes of a vector, in the second a vector has one of each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

from . import llvm
from .elements import load, memory_type, register_type, store
from .emit import BITS, LANES, Builder, Value, module
from .gemm_kernel import at_batch, divide, read_word, share
from .gemm_variant import masks_of
from .kernel import Kernel


class VectorWord(IntEnum):
    """The words of a call. Strides are in elements."""

    A = 0
    B = auto()
    BIAS = auto()
    OUT = auto()
    N = auto()
    K = auto()
    A_STEP = auto()
    B_STEP = auto()  # between columns if those are contiguous, else between rows
    BIAS_STEP = auto()
    OUT_STEP = auto()
    SLABS = auto()  # in which the groups of `VectorVariant.width` columns are divided
    GROUPS = auto()  # in a slab: two words, as in gemm_kernel.Word
    JOBS = GROUPS + 2  # type: ignore[operator]  # in a chunk: the batch's products times the slabs
    BATCH = JOBS + 2


@dataclass(frozen=True, slots=True)
class VectorVariant:
    """What a kernel is specialised on."""

    type: str  # of an element: "float", "double", "bf16", "f16"
    b_columns: bool  # whether B's columns are contiguous, and a is; otherwise B's rows are
    vectors: int  # that are computed together in the latter case
    plain: bool  # whether the output and the bias are contiguous
    bias: bool

    @property
    def memory(self) -> str:
        """The type of an element in memory."""
        return memory_type(self.type)

    @property
    def sum(self) -> str:
        """The type of an accumulator."""
        return register_type(self.type)

    @property
    def width(self) -> int:
        """Columns that are computed together."""
        return 8 if self.b_columns else self.vectors * self.lanes

    @property
    def lanes(self) -> int:
        """Sums in a vector register of the host."""
        return llvm.vector_width() // BITS[self.sum]


@lru_cache(maxsize=16)
def vector_kernel(variant: VectorVariant) -> Kernel:
    k = Builder("vector", [("ptr", "args"), ("i64", "chunk")])
    slabs = read_word(k, VectorWord.SLABS)
    operands = [read_word(k, w, "ptr") for w in (VectorWord.A, VectorWord.B, VectorWord.BIAS, VectorWord.OUT)]
    room = k.new(f"alloca [{LANES * variant.vectors * variant.lanes} x {variant.sum}], align 64", "ptr") if not variant.b_columns else None
    with k.loop(*share(k, k.parameters["chunk"], VectorWord.JOBS)) as job:
        batch, slab = divide(k, job.index, slabs)
        a, b, bias, out = at_batch(k, [variant.memory] * 4, batch, operands, VectorWord.BATCH)
        with k.loop(*share(k, slab, VectorWord.GROUPS)) as turn:
            column = k.mul(turn.index, k.constant(variant.width, "i64"))
            if room is None:
                _group_of_columns(k, variant, column, a, b, bias, out)
            else:
                _group_of_rows(k, variant, column, a, b, bias, out, room)
    return Kernel("vector", module([k]))


def _group_of_columns(k: Builder, variant: VectorVariant, column: Value, a: Value, b: Value, bias: Value, out: Value) -> None:
    """Some elements at once; those behind the last one are the last one again."""
    kind, type, depth = variant.type, variant.memory, read_word(k, VectorWord.K)
    last = k.sub(read_word(k, VectorWord.N), k.constant(1, "i64"))
    step, bias_step, out_step = (read_word(k, w) for w in (VectorWord.B_STEP, VectorWord.BIAS_STEP, VectorWord.OUT_STEP))
    numbers = [k.intrinsic("smin", k.add(column, k.constant(i, "i64")), last) for i in range(variant.width)]
    columns = [k.address(b, k.mul(n, step), type) for n in numbers]
    zero = k.constant(0, variant.sum, LANES)
    whole = k.and_(depth, k.constant(-LANES, "i64"))
    with k.loop(0, whole, LANES, carried=[zero] * variant.width) as turn:
        factor = load(k, k.address(a, turn.index, type), kind, LANES)
        turn.next = [
            k.fma(factor, load(k, k.address(at, turn.index, type), kind, LANES), total)
            for at, total in zip(columns, turn.carried, strict=True)
        ]
    with k.loop(whole, depth, LANES, carried=turn.results) as rest:
        mask = k.first_lanes(k.sub(depth, rest.index))
        factor = load(k, k.address(a, rest.index, type), kind, LANES, mask)
        rest.next = [
            k.select(mask, k.fma(factor, load(k, k.address(at, rest.index, type), kind, LANES, mask), total), total)
            for at, total in zip(columns, rest.carried, strict=True)
        ]
    for n, sums in zip(numbers, rest.results, strict=True):
        total = _fold(k, sums)
        if variant.bias:
            total = k.add(total, load(k, k.address(bias, k.mul(n, bias_step), type), kind))
        store(k, total, k.address(out, k.mul(n, out_step), type), kind)


def _fold(k: Builder, sums: Value) -> Value:
    """The sum of a vector's lanes, in halves."""
    while sums.lanes > 1:
        half = sums.lanes // 2
        low, high = (
            k.new(f"shufflevector {sums.typed}, {sums.ir} poison, <{half} x i32> <{', '.join(f'i32 {n}' for n in lanes)}>", sums.type, half)
            if half > 1
            else k.new(f"extractelement {sums.typed}, i64 {lanes[0]}", sums.type)
            for lanes in (range(half), range(half, 2 * half))
        )
        sums = k.add(low, high)
    return sums


def _group_of_rows(k: Builder, variant: VectorVariant, column: Value, a: Value, b: Value, bias: Value, out: Value, room: Value) -> None:
    """Some vectors of elements, some of their accumulators at a time: so much of a row of B is read at once that its page is worth the way."""
    kind, type, depth = variant.type, variant.memory, read_word(k, VectorWord.K)
    lanes, vectors, step = variant.lanes, variant.vectors, LANES // variant.vectors
    a_step, b_step = read_word(k, VectorWord.A_STEP), read_word(k, VectorWord.B_STEP)
    count = k.sub(read_word(k, VectorWord.N), column)
    masks = masks_of(k, count, vectors, lanes)
    zero = k.constant(0, variant.sum, lanes)
    b = k.address(b, column, type)
    last = k.sub(depth, k.constant(1, "i64"))

    def products(index: Value, totals: Sequence[Value]) -> list[Value]:
        factor = k.splat(load(k, k.address(a, k.mul(index, a_step), type), kind), lanes)
        row = k.address(b, k.mul(index, b_step), type)
        return [k.fma(factor, load(k, k.address(row, v * lanes, type), kind, lanes, masks[v]), total) for v, total in enumerate(totals)]

    def place(number: Value | int, v: int) -> Value:
        return k.address(k.address(room, number, f"[{vectors * lanes} x {variant.sum}]"), v * lanes, variant.sum)

    whole = k.and_(depth, k.constant(-LANES, "i64"))
    with k.loop(0, LANES, step) as some:
        with k.loop(0, whole, LANES, carried=[zero] * LANES) as turn:
            first = k.add(turn.index, some.index)
            turn.next = [
                total for n in range(step) for total in products(k.add(first, k.constant(n, "i64")), turn.carried[n * vectors : (n + 1) * vectors])
            ]
        with k.loop(whole, depth, LANES, carried=turn.results) as rest:
            first, after = k.add(rest.index, some.index), []
            for n in range(step):
                index, totals = k.add(first, k.constant(n, "i64")), rest.carried[n * vectors : (n + 1) * vectors]
                inside = k.compare("slt", index, depth)
                after += [k.select(inside, new, total) for new, total in zip(products(k.intrinsic("smin", index, last), totals), totals, strict=True)]
            rest.next = after
        for n, total in enumerate(rest.results):
            k.store(total, place(k.add(some.index, k.constant(n // vectors, "i64")), n % vectors))
    bias_step, out_step = read_word(k, VectorWord.BIAS_STEP), read_word(k, VectorWord.OUT_STEP)
    for v, mask in enumerate(masks):
        sums = [k.load(place(n, v), variant.sum, lanes) for n in range(LANES)]
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [k.add(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
        total, start = sums[0], k.add(column, k.constant(v * lanes, "i64"))
        if variant.plain:
            if variant.bias:
                total = k.add(total, load(k, k.address(bias, start, type), kind, lanes, mask))
            store(k, total, k.address(out, start, type), kind, mask)
            continue
        with k.loop(0, k.intrinsic("smin", k.sub(count, k.constant(v * lanes, "i64")), k.constant(lanes, "i64"))) as lane:
            one = k.new(f"extractelement {total.typed}, i64 {lane.index.text}", variant.sum)
            number = k.add(start, lane.index)
            if variant.bias:
                one = k.add(one, load(k, k.address(bias, k.mul(number, bias_step), type), kind))
            store(k, one, k.address(out, k.mul(number, out_step), type), kind)
