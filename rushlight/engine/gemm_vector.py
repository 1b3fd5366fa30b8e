"""A vector times matrices as machine code: ``out[j] = sum(a[k] * b[k, j]) + bias[j]``.

Every element has `LANES` accumulators: number l takes k = l, l + LANES, ... in order from zero. They are then added in
halves, 8 + 8, 4 + 4, 2 + 2, 1 + 1, and the bias to their sum. The order is the same whether B's columns or its rows are
contiguous; in the first case the accumulators of an element are the lanes of a vector, in the second its elements are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

from . import llvm
from .elements import load, memory_type, register_type, store
from .emit import BITS, LANES, Builder, Value, module
from .gemm_kernel import at_batch, divide, read_word, share
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
        return 8 if self.b_columns else llvm.vector_width() // BITS[self.sum]


@lru_cache(maxsize=16)
def vector_kernel(variant: VectorVariant) -> Kernel:
    k = Builder("vector", [("ptr", "args"), ("i64", "chunk")])
    slabs = read_word(k, VectorWord.SLABS)
    operands = [read_word(k, w, "ptr") for w in (VectorWord.A, VectorWord.B, VectorWord.BIAS, VectorWord.OUT)]
    group = _group_of_columns if variant.b_columns else _group_of_rows
    with k.loop(*share(k, k.parameters["chunk"], VectorWord.JOBS)) as job:
        batch, slab = divide(k, job.index, slabs)
        bases = at_batch(k, [variant.memory] * 4, batch, operands, VectorWord.BATCH)
        with k.loop(*share(k, slab, VectorWord.GROUPS)) as turn:
            group(k, variant, k.mul(turn.index, k.constant(variant.width, "i64")), *bases)
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


def _group_of_rows(k: Builder, variant: VectorVariant, column: Value, a: Value, b: Value, bias: Value, out: Value) -> None:
    """A vector of elements."""
    kind, type, lanes, depth = variant.type, variant.memory, variant.width, read_word(k, VectorWord.K)
    a_step, b_step = read_word(k, VectorWord.A_STEP), read_word(k, VectorWord.B_STEP)
    count = k.sub(read_word(k, VectorWord.N), column)
    mask = k.first_lanes(count, lanes)
    zero = k.constant(0, variant.sum, lanes)
    b = k.address(b, column, type)
    last = k.sub(depth, k.constant(1, "i64"))

    def product(index: Value, total: Value) -> Value:
        row = load(k, k.address(b, k.mul(index, b_step), type), kind, lanes, mask)
        return k.fma(load(k, k.address(a, k.mul(index, a_step), type), kind), row, total)

    whole = k.and_(depth, k.constant(-LANES, "i64"))
    with k.loop(0, whole, LANES, carried=[zero] * LANES) as turn:
        turn.next = [product(k.add(turn.index, k.constant(n, "i64")), total) for n, total in enumerate(turn.carried)]
    with k.loop(whole, depth, LANES, carried=turn.results) as rest:
        after = []
        for n, total in enumerate(rest.carried):
            index = k.add(rest.index, k.constant(n, "i64"))
            inside = k.compare("slt", index, depth)
            after.append(k.select(inside, product(k.intrinsic("smin", index, last), total), total))
        rest.next = after
    sums = rest.results
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [k.add(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
    total = sums[0]
    if variant.plain:
        if variant.bias:
            total = k.add(total, load(k, k.address(bias, column, type), kind, lanes, mask))
        store(k, total, k.address(out, column, type), kind, mask)
        return
    bias_step, out_step = read_word(k, VectorWord.BIAS_STEP), read_word(k, VectorWord.OUT_STEP)
    with k.loop(0, k.intrinsic("smin", count, k.constant(lanes, "i64"))) as lane:
        one = k.new(f"extractelement {total.typed}, i64 {lane.index.text}", variant.sum)
        number = k.add(column, lane.index)
        if variant.bias:
            one = k.add(one, load(k, k.address(bias, k.mul(number, bias_step), type), kind))
        store(k, one, k.address(out, k.mul(number, out_step), type), kind)
