"""Matrix products: which kernels compute one, over which blocks, in how many chunks.

    lower(Product(m, n, k, ...)) -> Lowered

Bits: an element is one accumulator that starts from the bias (or 0) and takes ``fma`` for k in order, however the
operands lie in memory and however the work is divided. A vector times a matrix (m or n is 1) has an order of its own,
chosen by the shape alone; see gemm_vector.py. In half precision accumulators are float32, and what they end with is rounded
once. Operands become float32 as they are packed, or pairs of bfloat16 where the processor multiplies these (gemm_kernel.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..shape import as_one_dim
from . import gemm_amx, llvm
from .claims import claims
from .elements import HALVES, bytes_of, memory_type, register_type
from .emit import BITS
from .gemm_kernel import BATCH_DIMS, PairWord, Word, pair_kernel, product_kernel, shares
from .gemm_variant import Variant, has_masks, panel_bytes
from .gemm_vector import VectorVariant, VectorWord, vector_kernel
from .kernel import WORKSPACE, Call, Lowered, Pointer, Result
from .nests import strided_copy

#: Bytes of A that a slab of rows may have in one block of K: half of a usual second-level cache.
_SLAB_BYTES = 512 * 1024
#: The same for pairs of bfloat16: what A takes from a larger cache costs less than packing B once more.
_PAIRS_SLAB_BYTES = 2 << 20
#: Most of K at once: a panel of B stays near, and the output is not read and written too often.
_K_BLOCK = 512
#: The same in half precision, which has no room for sums between blocks; and where it becomes float32.
_HALF_K_BLOCK = 4096
_WIDENED_K_BLOCK = 1024
#: Multiplications a chunk should have at least: some ten microseconds.
_CHUNK_WORK = 500_000
#: The same where memory, not arithmetic, takes the time: of products with a vector.
_VECTOR_WORK = 100_000
_MOST_CHUNKS = 8
#: The bytes between lines that share sets of a first-level cache, so that few of them stay in it together.
_COLLIDING_A = 4096
_COLLIDING_B = 2048
#: Rows at such a distance that a first-level cache holds together, with room for B.
_COLLIDING_ROWS = 10
#: The part of the work that a last panel may waste before it gets code of its own, which takes time to compile.
_TAIL_WASTE = 0.03
#: The largest output that a tail follows, and the shortest rows. In a larger one the columns of a job lie far apart: they have left the cache, and what
#: else the tail reads comes from memory in pieces. A tail gains where threads share its work without another fork: one job alone gains nothing.
_TAILED_BYTES = 512 * 1024
_TAILED_COLUMNS = 64
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Product:
    """``out[..., i, j] = bias[..., i, j] + sum(a[..., i, k] * b[..., k, j] for k)``

    Strides are in elements, not negative: those of the batch's dims and then the two of the matrix; 0 repeats.
    `operands` are the numbers of a, b, the bias (if there is one) and the output; `offsets`, in the same order, are
    their first elements.
    """

    m: int
    n: int
    k: int
    a_strides: tuple[int, ...]
    b_strides: tuple[int, ...]
    out_strides: tuple[int, ...]
    batch: tuple[int, ...] = ()
    bias_strides: tuple[int, ...] | None = None
    type: str = "float"  # of all elements: or "double", "bf16", "f16"
    operands: tuple[int, ...] = (0, 1, 2)
    offsets: tuple[int, ...] = (0, 0, 0, 0)


def multiplies_amx() -> bool:
    """Whether the processor multiplies pairs in AMX's registers."""
    return llvm.multiplies_pairs() and gemm_amx.usable(_comes_out_right)


def _comes_out_right() -> bool:
    """Whether AMX's kernel gives a product of numbers that every order of additions gives."""
    m, n, k = 45, 70, 77
    a, b = (gemm_amx.small_numbers(*shape) for shape in ((m, k), (k, n)))
    return gemm_amx.agrees(_Plan(Product(m, n, k, (k, 1), (n, 1), (n, 1), type="bf16"), amx=True).lowered(), a, b)


def lower(product: Product) -> Lowered:
    """The calls that compute a product."""
    return _Plan(product, product.type == "bf16" and product.m > 1 and product.n > 1 and multiplies_amx()).lowered()


@dataclass(slots=True)
class _Operand:
    """A matrix for each element of the batch: where it begins and its strides, batch first."""

    pointer: Pointer
    batch: list[int]
    row: int
    column: int
    type: str  # of an element; "i32" for a pair of bfloat16

    def inside(self, index: Sequence[int]) -> _Operand:
        """At this index of the batch's first dims."""
        elements = sum(i * stride for i, stride in zip(index, self.batch, strict=False))
        pointer = self.pointer._replace(offset=self.pointer.offset + elements * bytes_of(self.type))
        return _Operand(pointer, self.batch[len(index) :], self.row, self.column, self.type)

    def transposed(self) -> _Operand:
        return _Operand(self.pointer, self.batch, self.column, self.row, self.type)


class _Plan:
    """One product on the way to its calls."""

    def __init__(self, product: Product, amx: bool) -> None:
        self.type, self.size, self.sum = product.type, bytes_of(product.type), register_type(product.type)
        self.amx = amx
        self.pairs = amx or (product.type == "bf16" and llvm.multiplies_pairs())
        self.m, self.n, self.k = product.m, product.n, product.k
        self.calls: list[Call] = []
        self.workspace = 0
        strides = [product.a_strides, product.b_strides, product.out_strides]
        if product.bias_strides is not None:
            strides.insert(2, product.bias_strides)
        self.batch, batches = _collapse(product.batch, [s[:-2] for s in strides])
        found = [
            _Operand(Pointer(operand, offset * self.size), each, s[-2], s[-1], self.type)
            for operand, offset, each, s in zip(product.operands, product.offsets, batches, strides, strict=False)
        ]
        self.a, self.b, self.out = found[0], found[1], found[-1]
        self.bias = found[2] if product.bias_strides is not None else None

    def lowered(self) -> Lowered:
        if self.m and self.n and 0 not in self.batch:
            if self.m == 1 or self.n == 1:
                self._vector()
            else:
                self._matrix()
        return Lowered(tuple(self.calls), self.workspace)

    def _transpose(self) -> None:
        """The same product as ``out.T = b.T @ a.T``."""
        self.m, self.n = self.n, self.m
        self.a, self.b, self.out = self.b.transposed(), self.a.transposed(), self.out.transposed()
        self.bias = self.bias and self.bias.transposed()

    def _room(self, bytes: int) -> Pointer:
        """Some of the workspace."""
        start = self.workspace
        self.workspace += -(-bytes // _ALIGNMENT) * _ALIGNMENT
        return Pointer(WORKSPACE, start)

    def _copy(self, source: _Operand, target: _Operand, rows: int, columns: int) -> None:
        through = None
        if source.type != target.type:
            through = (f"from_{source.type}" if source.type in HALVES else f"to_{target.type}", memory_type(target.type))
        outer = max(len(self.batch) - BATCH_DIMS, 0)
        for index in itertools.product(*(range(extent) for extent in self.batch[:outer])):
            start, end = ((each.pointer, (*each.batch, each.row, each.column)) for each in (source.inside(index), target.inside(index)))
            copied = strided_copy(memory_type(source.type), (*self.batch[outer:], rows, columns), start, end, through)
            assert copied is not None, "more loops than a nest has"
            self.calls += copied.calls

    def _per_batch(
        self, operands: Sequence[_Operand | None], call: Callable[[Sequence[_Operand | None], tuple[int, ...]], Call]
    ) -> None:
        """Calls over the whole batch: one, unless it has more dims than a kernel walks over."""
        outer = max(len(self.batch) - BATCH_DIMS, 0)
        for index in itertools.product(*(range(extent) for extent in self.batch[:outer])):
            self.calls.append(call([operand and operand.inside(index) for operand in operands], self.batch[outer:]))

    def _dense(self, operand: _Operand, rows: int, columns: int) -> _Operand:
        """A copy of an operand with contiguous rows, in the workspace. What the batch repeats is copied as often."""
        target = self._stand_in(rows, columns, operand.type)
        self._copy(operand, target, rows, columns)
        return target

    def _stand_in(self, rows: int, columns: int, type: str) -> _Operand:
        """Matrices with contiguous rows in the workspace."""
        strides: list[int] = []
        elements = rows * columns
        for extent in reversed(self.batch):
            strides.insert(0, elements)
            elements *= extent
        return _Operand(self._room(elements * bytes_of(type)), strides, columns, 1, type)

    def _paired(self, a: _Operand) -> _Operand:
        """A matrix of contiguous columns, with two columns as one of pairs."""
        pairs = -(-self.k // 2)
        step = self.m + 15 & -16 | 16  # an odd number of lines of the cache
        target = self._stand_in(pairs, step, "i32")
        chunks = max(1, min(math.prod(self.batch) * self.m * self.k // _VECTOR_WORK, _MOST_CHUNKS))

        def call(operands: Sequence[_Operand | None], batch: tuple[int, ...]) -> Call:
            matrices = math.prod(batch)
            slabs = min(-(-chunks // matrices), pairs)
            parts = min(chunks, matrices * slabs)
            words: list[int | Pointer] = [0] * (PairWord.BATCH + 3 * BATCH_DIMS)
            words[PairWord.K : PairWord.BATCH] = [self.k, self.m, a.column, step, slabs, *shares(pairs, slabs), *shares(matrices * slabs, parts)]
            _set_operands(words, PairWord.BATCH, operands, batch)
            return Call(pair_kernel(), tuple(words), parts)

        self._per_batch((a, target), call)
        return _Operand(target.pointer, target.batch, 1, step, "i32")

    def _vector(self) -> None:
        if self.m != 1:
            self._transpose()
        a, b, out, bias = self.a, self.b, self.out, self.bias
        if b.row != 1 and b.column != 1 and self.k > 1 and self.n > 1:
            b = self._dense(b, self.k, self.n)
        b_columns = b.row == 1 or self.k <= 1
        if b_columns and a.column != 1 and self.k > 1:
            a = self._dense(a, 1, self.k)
        plain = out.column == 1 and (bias is None or bias.column == 1)
        wide = -(-self.n * BITS[self.sum] // llvm.vector_width())
        variant = VectorVariant(self.type, b_columns, 1 if wide == 1 else 2 if wide == 2 else 4, plain, bias is not None)
        work = math.prod(self.batch) * self.n * self.k
        chunks = max(1, min(work // _VECTOR_WORK, _MOST_CHUNKS))

        def call(operands: Sequence[_Operand | None], batch: tuple[int, ...]) -> Call:
            products, groups = math.prod(batch), -(-self.n // variant.width)
            slabs = min(-(-chunks // products), groups)
            parts = min(chunks, products * slabs)
            words: list[int | Pointer] = [0] * (VectorWord.BATCH + 5 * BATCH_DIMS)
            words[VectorWord.N : VectorWord.BATCH] = [
                self.n,
                self.k,
                a.column,
                b.row if not b_columns else b.column,
                bias.column if bias else 0,
                out.column,
                slabs,
                *shares(groups, slabs),
                *shares(products * slabs, parts),
            ]
            _set_operands(words, VectorWord.BATCH, operands, batch)
            return Call(vector_kernel(variant), tuple(words), parts)

        self._per_batch((a, b, bias, out), call)

    def _matrix(self) -> None:
        if self.out.column != 1 and self.out.row == 1:
            self._transpose()
        a, b, out, bias = self.a, self.b, self.out, self.bias
        final = None
        k_block = self._k_block()
        if out.column != 1 or (self.type in HALVES and self.k > k_block):
            final, out = out, self._stand_in(self.m, self.n, self.sum)
        if bias is not None and (bias.column != 1 or bias.type != out.type):
            self._copy(bias, out, self.m, self.n)
            bias = out
        if a.row != 1 and a.column != 1 and self.k > 1:
            a = self._dense(a, self.m, self.k)
        if self.pairs and not self.amx and a.column != 1 and self.k > 1:
            a = self._paired(a)
        if b.row != 1 and b.column != 1 and self.k > 1:
            b = self._dense(b, self.k, self.n)
        self._tiles(a, b, bias, out, k_block)
        if final is not None:
            self._copy(out, final, self.m, self.n)

    def _k_block(self) -> int:
        """How many k are taken at once: of equal blocks, in whole vectors."""
        most = _K_BLOCK if self.type not in HALVES else _HALF_K_BLOCK if self.pairs else _WIDENED_K_BLOCK
        unit = llvm.vector_width() // BITS[self.sum] * (2 if self.pairs else 1)
        each = -(-self.k // max(-(-self.k // most), 1))
        return max(-(-each // unit) * unit, unit)

    def _tiles(self, a: _Operand, b: _Operand, bias: _Operand | None, out: _Operand, k_block: int) -> None:
        a_rows = a.column == 1 or self.k <= 1
        b_rows = b.column == 1
        lanes = llvm.vector_width() // BITS[self.sum]
        widened = self.type in HALVES and not self.pairs
        a_step = a.row if a_rows else a.column
        b_step = b.row if b_rows else b.column
        most_rows, vectors = (gemm_amx.BLOCK, 2) if self.amx else tile(self.m, self.n, lanes)
        width = vectors * lanes
        panels = -(-self.n // width)
        a_collides = a_step > 0 and a.type == self.type and a_step * self.size % _COLLIDING_A == 0
        # Of an odd number of k in a row the last one makes a pair with what is behind it.
        a_packed = (a_collides and panels >= 4) or widened or (self.pairs and a_rows and self.k % 2 > 0) or self.amx
        if a_collides and a_rows and not a_packed:
            most_rows = min(most_rows, _COLLIDING_ROWS)
        blocks = -(-self.m // most_rows)
        rows, first_blocks = ((most_rows,), blocks) if self.amx else row_blocks(self.m, blocks, most_rows)
        tail = -(-(self.n - (panels - 1) * width) // lanes) % vectors
        if self.amx or (vectors - tail) < _TAIL_WASTE * vectors * panels:
            tail = 0
        b_packed = not b_rows or self.type in HALVES or (
            blocks >= 4 and (b_step * self.size % _COLLIDING_B == 0 or self.k * self.n * self.size > _SLAB_BYTES)
        )
        if not has_masks() and self.n % width:
            b_packed = True
        variant = Variant(self.type, out.type, self.pairs, rows, vectors, tail, a_rows, a_packed, b_rows, b_packed, self.amx)

        # Packing an element takes as long as so many fused multiplications and additions.
        a_cost = (13 if self.type in HALVES else 4) * a_packed / self.n
        b_cost = (4 if b_rows else 10) * b_packed / self.m
        work = math.prod(self.batch) * self.m * self.n * self.k
        chunks = max(1, min(work // _CHUNK_WORK, _MOST_CHUNKS))
        steps, packed_size = k_block // (2 if self.pairs else 1), BITS[variant.packed] // 8
        row_slabs = min(max(-(-self.m * steps * packed_size // (_PAIRS_SLAB_BYTES if self.pairs else _SLAB_BYTES)), 1), blocks)
        row_bound = -(-blocks // row_slabs) * rows[0]
        a_bytes = 0
        if a_packed:
            lines, length = (row_bound, steps) if a_rows or self.amx else (steps, row_bound)
            a_bytes = lines * (length + 48) * packed_size
        b_bytes = panel_bytes(variant, steps) if b_packed else 0
        own = -(-(a_bytes + b_bytes) // _ALIGNMENT) * _ALIGNMENT

        def call(operands: Sequence[_Operand | None], batch: tuple[int, ...]) -> Call:
            products = math.prod(batch)
            slabs, panel_slabs = _slabs(-(-chunks // products), blocks, panels, row_slabs, a_cost, b_cost)
            jobs = products * panel_slabs * slabs
            parts = min(chunks, jobs)
            words: list[int | Pointer] = [0] * (Word.BATCH + 5 * BATCH_DIMS)
            _set_operands(words, Word.BATCH, operands, batch)
            words[Word.WORKSPACE] = workspace
            settings = {
                Word.WORKSPACE_BYTES: own,
                Word.N: self.n,
                Word.K: self.k,
                Word.K_BLOCK: k_block,
                Word.A_STEP: a_step,
                Word.B_STEP: b_step,
                Word.BIAS_STEP: bias.row if bias else 0,
                Word.OUT_STEP: out.row,
                Word.HAS_BIAS: int(bias is not None),
                Word.ROWS: self.m,
                Word.FIRST_BLOCKS: first_blocks,
                Word.ROW_SLABS: slabs,
                Word.PANEL_SLABS: panel_slabs,
            }
            for word, value in settings.items():
                words[word] = value
            for word, whole, divided in ((Word.BLOCKS, blocks, slabs), (Word.PANELS, panels, panel_slabs)):
                words[word : word + 2] = shares(whole, divided)
            words[Word.JOBS : Word.BATCH] = claims(jobs, parts)
            result = None
            matrices = as_one_dim(self.batch, tuple(out.batch))
            tailed = parts > 1 and self.n >= _TAILED_COLUMNS and products * self.m * self.n * self.size <= _TAILED_BYTES
            if tailed and matrices is not None and batch == self.batch:
                result = Result(out.pointer, memory_type(out.type), (products, self.m, self.n), (matrices[1], out.row, 1), Word.TAIL)
            return Call(product_kernel(variant), tuple(words), parts, result=result)

        workspace: int | Pointer = self._room(own * chunks) if own else 0
        self._per_batch((a, b, bias, out), call)


def row_blocks(m: int, blocks: int, most: int) -> tuple[tuple[int, ...], int]:
    """The sizes of the blocks that `m` rows make, and how many have the first one.

    Where one size would do, a second one is there for the sake of other shapes: kernels are shared.
    """
    small, larger = divmod(m, blocks)
    if larger:
        return (small + 1, small), larger
    if blocks < 4 or small == 1:
        return (small,), blocks
    return ((small, small - 1), blocks) if small == most else ((small + 1, small), 0)


def _slabs(parts: int, blocks: int, panels: int, least: int, a_cost: float, b_cost: float) -> tuple[int, int]:
    """How many slabs of rows and of panels give `parts` jobs for the least packing and the most even jobs.

    The costs are those of packing all of A and all of B, as parts of the whole work.
    """

    def cost(slabs: tuple[int, int]) -> float:
        rows, columns = slabs
        uneven = -(-blocks // rows) * rows / blocks * (-(-panels // columns) * columns / panels)
        idle = max(parts / (rows * columns), 1)
        return uneven * idle + rows * b_cost + columns * a_cost

    choices = [(min(max(-(-parts // columns), least), blocks), columns) for columns in range(1, min(parts, panels) + 1)]
    return min(choices, key=cost)


def _set_dims(words: list[int | Pointer], first: int, dims: int, values: Sequence[int], missing: int = 1) -> None:
    """`dims` words from `first` on: the values, and what stands for dims that are not there before them."""
    words[first : first + dims] = [missing] * (dims - len(values)) + list(values)


def _set_operands(words: list[int | Pointer], batch_word: int, operands: Sequence[_Operand | None], batch: tuple[int, ...]) -> None:
    """The first words, which are a, b, the bias and the output, and those of the batch."""
    _set_dims(words, batch_word, BATCH_DIMS, batch)
    for n, operand in enumerate(operands):
        if operand is not None:
            words[n] = operand.pointer
            _set_dims(words, batch_word + (n + 1) * BATCH_DIMS, BATCH_DIMS, operand.batch, 0)


def tile(m: int, n: int, lanes: int) -> tuple[int, int]:
    """The largest tile of accumulators for a shape: rows, and vectors in a row."""
    registers = llvm.vector_registers()[0]
    wide = -(-n // lanes)
    if registers == 32:
        tiles = ((16, 1), (14, 2), (6, 4), (3, 6))
    else:
        tiles = ((12, 1), (6, 2), (2, 4), (2, 4))
    if wide == 1:
        return tiles[0]
    if m <= tiles[3][0] and wide >= tiles[3][1]:
        return tiles[3]
    if m <= tiles[2][0] and wide >= tiles[2][1]:
        return tiles[2]
    return tiles[1]


def _collapse(batch: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[tuple[int, ...], list[list[int]]]:
    """The same batch with fewer dims: without those of extent 1, neighbours joined where all operands allow it."""
    extents: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for dim, extent in enumerate(batch):
        if extent == 1:
            continue
        if extents and all(each[-1] == s[dim] * extent for each, s in zip(kept, strides, strict=True)):
            extents[-1] *= extent
            for each, s in zip(kept, strides, strict=True):
                each[-1] = s[dim]
        else:
            extents.append(extent)
            for each, s in zip(kept, strides, strict=True):
                each.append(s[dim])
    return tuple(extents), kept
