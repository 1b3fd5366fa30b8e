"""Attention as tiled native code: the matrix of scores exists 16 queries by 64 keys at a time, never whole.

A block of 16 queries lies across the lanes of a vector, and a row of scores is one key's. So the softmax over keys needs
no sums across lanes, and in every product a row of accumulators adds ``scalar * vector``. The forward keeps a running
maximum and sum (Milakov and Gimelshein 2018; Dao et al. 2022); the backward computes the weights again from the saved
logsumexp. Exponentials are powers of two, with log2(e) in the scale of the scores.

The head size is part of a kernel; lengths and strides are words. Heads are views as a rule, so strides are any, except
that the elements of a head lie side by side.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from .. import dtypes as dt
from ..shape import Layout
from . import llvm
from .elements import load, memory_type
from .emit import LANES, Builder, Value, module
from .functions import log
from .kernel import Call, Kernel, Lowered, Pointer

#: Keys whose scores are held at once: the running maximum is renewed after as many.
BLOCK = 64
#: Query blocks of one chunk of the forward.
GROUP = 8
#: The longest head: scratch memory, which lies on the stack, grows with it.
HEAD_AT_MOST = 256

#: Floats between lines that fall into the same set of a first-level cache.
_COLLIDING = 1024
#: Steps of a product's loop written one after another.
_TURNS = 2

LOG2_E = math.log2(math.e)

#: 2**x on [-1/2, 1/2] from the highest power down: minimax with p(0) = 1, relative error 9e-8.
_POWER_OF_TWO = (0.00132646017723664, 0.00967151092811, 0.05550734123185, 0.24022242137014, 0.69314697744799, 1.0)
#: Adding it to a float between -2**22 and 2**22 leaves the nearest integer in the low bits.
_ROUNDER = 1.5 * 2.0**23


def lower_forward(*layouts: Layout, scale: float, is_causal: bool) -> Lowered | None:
    """The calls for query, key, value, perhaps a mask, output, logsumexp; None where there is no native form.

    All are ``(batch, head, position, element)``, the mask is expanded to ``(batch, head, query, key)``, the logsumexp contiguous.
    """
    operands = named(FORWARD, layouts)
    if not _is_native(operands):
        return None
    batch, heads, queries, head = operands["query"].shape
    groups = -(-queries // (LANES * GROUP))
    kernel = _forward_kernel(head, is_causal, mask_type_of(operands))
    return Lowered((Call(kernel, words_of(operands, groups, scale), batch * heads * groups),))


def lower_backward(*layouts: Layout, scale: float, is_causal: bool) -> Lowered | None:
    """The calls for grad, query, key, value, output, logsumexp, perhaps a mask, and the gradients of query, key and value.

    A chunk is one head: the gradients of its keys and values are summed query block by query block.
    """
    operands = named(BACKWARD, layouts)
    if not _is_native(operands):
        return None
    batch, heads, _, head = operands["query"].shape
    kernel = _backward_kernel(head, is_causal, mask_type_of(operands))
    return Lowered((Call(kernel, words_of(operands, 1, scale), batch * heads),))


def named(names: Sequence[str], layouts: Sequence[Layout]) -> dict[str, Layout]:
    return dict(zip(_operands(names, len(layouts) == len(names)), layouts, strict=True))


def _is_native(operands: dict[str, Layout]) -> bool:
    types = {name: (dt.float32, dt.bool_) if name == "mask" else (dt.float32,) for name in operands}
    return (
        all(o.dtype in types[name] for name, o in operands.items())
        and all(operands[name].stride[3] == 1 or operands[name].shape[3] == 1 for name in strided(list(operands)))
        and operands["query"].numel > 0
        and operands["key"].numel > 0
        and operands["query"].shape[3] <= HEAD_AT_MOST
    )


def mask_type_of(operands: dict[str, Layout]) -> str:
    return operands["mask"].dtype.name if "mask" in operands else ""


# Words

FORWARD = ("query", "key", "value", "mask", "output", "logsumexp")
BACKWARD = ("grad", "query", "key", "value", "output", "logsumexp", "mask", "grad_query", "grad_key", "grad_value")
NUMBERS = ("heads", "queries", "keys", "groups", "scale")


def _operands(names: Sequence[str], masked: bool) -> list[str]:
    return [name for name in names if masked or name != "mask"]


def strided(names: Sequence[str]) -> list[str]:
    """The tensors whose strides are words; the logsumexp is contiguous."""
    return [name for name in names if name != "logsumexp"]


def words_of(operands: dict[str, Layout], groups: int, scale: float) -> tuple[int | Pointer, ...]:
    """Pointers to the operands, then `NUMBERS`, then the strides of each by batch, head and position."""
    _, heads, queries, _ = operands["query"].shape
    bits = struct.unpack("q", struct.pack("d", scale))[0]
    strides = [s for name in strided(list(operands)) for s in operands[name].stride[:3]]
    return (*(Pointer(n) for n in range(len(operands))), heads, queries, operands["key"].shape[2], groups, bits, *strides)


# Writing

Index = Value | int


class Rows(NamedTuple):
    """Rows of floats in memory, such as one head of an operand: where they begin, and from one to the next."""

    base: Value
    step: Index


class Writer(Builder):
    """A builder for functions over the rows of one head size."""

    #: The type of what is multiplied: of 32 bits, as sums are.
    multiplied = "float"

    def __init__(self, name: str, parameters: Sequence[tuple[str, str]], head: int) -> None:
        super().__init__(name, parameters)
        self.head = head  # elements of a head
        self.padded = -(-head // LANES) * LANES

    # Indices, of which some are known while writing

    def index(self, value: Index) -> Value:
        return self.constant(value, "i64") if isinstance(value, int) else value

    def times(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 1 or b == 1:
            return b if a == 1 else a
        return 0 if a == 0 or b == 0 else self.mul(self.index(a), self.index(b))

    def plus(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return b if a == 0 else a if b == 0 else self.add(self.index(a), self.index(b))

    def least(self, a: Index, b: Index) -> Value:
        return self.intrinsic("smin", self.index(a), self.index(b))

    def at(self, rows: Rows, row: Index, element: Index = 0) -> Value:
        return self.address(rows.base, self.plus(self.times(row, rows.step), element), "float")

    def row_of(self, base: Value, row: Index) -> Value:
        """A row of a tile, which is one vector."""
        return self.address(base, self.times(row, LANES), "float")

    # Vectors

    def zero(self) -> Value:
        return self.constant(0.0, "float", LANES)

    def get(self, pointer: Value, mask: Value | None = None) -> Value:
        if mask is None:
            return self.load(pointer, "float", LANES)
        return self.masked_load(pointer, "float", mask, self.zero())

    def factor(self, pointer: Value, mask: Value | None) -> Value:
        """A vector that is multiplied; `plus_product` adds a product to sums."""
        return self.get(pointer, mask)

    def plus_product(self, a: Value, b: Value, total: Value) -> Value:
        return self.fma(a, b, total)

    def put(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        if mask is None:
            self.store(value, pointer)
        else:
            self.masked_store(value, pointer, mask)

    def vectors(self, write: Callable[[Index, Sequence[Value | None]], None], together: int = 1) -> None:
        """``write(element, masks)`` for the vectors of a head, so many `together`; where a head ends within a vector it has a mask."""
        width = LANES * together
        whole = self.head - self.head % width
        if whole > width:
            with self.loop(0, whole, width) as loop:
                write(loop.index, [None] * together)
        elif whole:
            write(0, [None] * together)
        rest = self.head - whole
        if rest:
            masks: list[Value | None] = [None] * (rest // LANES)
            if rest % LANES:
                lanes = ", ".join(f"i1 {'true' if n < rest % LANES else 'false'}" for n in range(LANES))
                masks.append(Value(f"<{lanes}>", "i1", LANES))
            write(whole, masks)

    def clear(self, rows: Rows, count: Index, masked: bool = False) -> None:
        """Zeros in `count` rows; `masked` if what lies behind a row's end is not ours."""
        with self.loop(0, count) as loop:
            self.vectors(lambda element, masks: self.put(self.zero(), self.at(rows, loop.index, element), masks[0] if masked else None))

    def copy(self, source: Rows, target: Rows, count: Index, factors: Value | None = None) -> None:
        """`count` rows, each times its factor if there are any."""
        with self.loop(0, count) as loop:
            factor = self.splat(self.load(self.address(factors, loop.index, "float"), "float")) if factors else None

            def move(element: Index, masks: Sequence[Value | None]) -> None:
                found = self.get(self.at(source, loop.index, element), masks[0])
                self.put(self.mul(found, factor) if factor else found, self.at(target, loop.index, element), masks[0])

            self.vectors(move)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """What is written inside runs only if `condition` holds; it may leave no values behind."""
        inside, after = self.fresh("when"), self.fresh("after")
        self.branch(condition, inside, after)
        self.label(inside)
        yield
        self.jump(after)
        self.label(after)

    def call(self, function: Builder, *arguments: Value) -> None:
        self.do(f"call void @{function.name}({', '.join(a.typed for a in arguments)})")

    def merge(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors, numbered through both."""
        chosen = ", ".join(f"i32 {n}" for n in lanes)
        return self.new(f"shufflevector {a.typed}, {b.typed}, <{len(lanes)} x i32> <{chosen}>", a.type, len(lanes))

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """A 16 by 16 block the other way round: the halves off the diagonal change places, then theirs, and so on."""
        found = list(rows)
        size = LANES // 2
        while size:
            left = [n if not n & size else LANES + n - size for n in range(LANES)]
            right = [n + size if not n & size else LANES + n for n in range(LANES)]
            for r in range(LANES):
                if not r & size:
                    a, b = found[r], found[r + size]
                    found[r], found[r + size] = self.merge(a, b, left), self.merge(a, b, right)
            size //= 2
        return found

    def exp2(self, x: Value) -> Value:
        """2**x for x <= 0, exactly 0 from -127 down."""
        low, rounder = self.like(-127.0, x), self.like(_ROUNDER, x)
        x = self.select(self.compare("ogt", low, x), low, x)  # nan stays
        shifted = self.add(x, rounder)
        fraction = self.sub(x, self.sub(shifted, rounder))
        power = self.like(_POWER_OF_TWO[0], x)
        for coefficient in _POWER_OF_TWO[1:]:
            power = self.fma(power, fraction, self.like(coefficient, x))
        exponent = self.shl(self.bitcast(shifted, "i32"), 23)
        return self.bitcast(self.add(self.bitcast(power, "i32"), exponent), "float")

    def product(self, a: Value, row: Index, column: Index, b: Rows, count: Index, c: Rows, masks: Sequence[Value | None], add: bool) -> None:
        """Sixteen rows of c, one vector wide for each of `masks`, from ``a @ b``, summed in order over `count`; added to c if `add`.

        Element (r, t) of a lies ``r * row + t * column`` behind it.
        """
        height = max(_accumulators() // len(masks), 1)

        def part(first: Index) -> None:
            places = [[self.address(self.at(c, self.plus(first, r)), n * LANES, "float") for n in range(len(masks))] for r in range(height)]
            carried = [self.get(p, m) if add else self.zero() for place in places for p, m in zip(place, masks, strict=True)]
            corner = self.address(a, self.times(first, row), "float")
            offsets = [self.times(r, row) for r in range(height)]
            turns = _TURNS if isinstance(count, int) and count % _TURNS == 0 else 1
            with self.loop(0, count, turns, carried) as loop:
                sums = list(loop.carried)
                for turn in range(turns):
                    t = self.plus(loop.index, turn)
                    vectors = [self.factor(self.address(self.at(b, t), n * LANES, "float"), m) for n, m in enumerate(masks)]
                    above = self.address(corner, self.times(t, column), "float")
                    for r in range(height):
                        scalar = self.splat(self.load(self.address(above, offsets[r], "float"), self.multiplied))
                        for n, vector in enumerate(vectors, r * len(vectors)):
                            sums[n] = self.plus_product(scalar, vector, sums[n])
                loop.next = sums
            for p, m, total in zip((p for place in places for p in place), list(masks) * height, loop.results, strict=True):
                self.put(total, p, m)

        if height < LANES:
            with self.loop(0, LANES, height) as loop:
                part(loop.index)
        else:
            part(0)


@cache
def _accumulators() -> int:
    """How many vectors to sum in registers at once: two thirds of the registers at most."""
    registers, width = llvm.vector_registers()
    count = LANES
    while count * 32 * LANES * 3 > registers * width * 2:
        count //= 2
    return count


# Functions that a kernel calls, each once in its module


def _scores(head: int) -> Writer:
    """``c = a @ b``: 16 keys by the elements of a head, by 16 queries."""
    k = Writer("scores", [("ptr", "a"), ("i64", "step"), ("ptr", "b"), ("ptr", "c")], head)
    p = k.parameters
    k.product(p["a"], p["step"], 1, Rows(p["b"], LANES), head, Rows(p["c"], LANES), [None], False)
    return k


def _accumulate(head: int, across: bool) -> Writer:
    """``c += a @ b`` where c is 16 rows of a head and b `count` rows. a is a tile of weights; `across` if its columns are its rows in memory."""
    k = Writer("accumulate_across" if across else "accumulate", [("ptr", "a"), ("ptr", "b"), ("i64", "step"), ("i64", "count"), ("ptr", "c"), ("i64", "c_step")], head)
    p = k.parameters
    row, column = (1, LANES) if across else (LANES, 1)

    def part(element: Index, masks: Sequence[Value | None]) -> None:
        b, c = (Rows(k.address(p[name], element, "float"), p[step]) for name, step in (("b", "step"), ("c", "c_step")))
        k.product(p["a"], row, column, b, p["count"], c, masks, True)

    k.vectors(part, 2)
    return k


def _across(head: int) -> Writer:
    """Sixteen rows with the rows across the lanes, times `scale`. Where there are only `count` rows the last is repeated."""
    k = Writer("across", [("ptr", "source"), ("i64", "step"), ("i64", "count"), ("float", "scale"), ("ptr", "target")], head)
    p = k.parameters
    scale, last = k.splat(p["scale"]), k.sub(p["count"], k.index(1))
    source = Rows(p["source"], p["step"])
    starts = [k.at(source, k.least(r, last)) for r in range(LANES)]

    def block(element: Index, masks: Sequence[Value | None]) -> None:
        target = k.row_of(p["target"], element)
        for n, vector in enumerate(k.transpose([k.get(k.address(s, element, "float"), masks[0]) for s in starts])):
            k.store(k.mul(vector, scale), k.row_of(target, n))

    k.vectors(block)
    return k


# Kernels


class HeadKernel(Writer):
    """The function that is called for each chunk: it knows its words, and its mask."""

    #: The kind of an operand's elements; see elements.py.
    kind = "float"

    def __init__(self, name: str, names: Sequence[str], head: int, causal: bool, mask_type: str) -> None:
        parts = [name, str(head), "causal" if causal else "", mask_type]
        masked = bool(mask_type)
        super().__init__("_".join(p for p in parts if p), [("ptr", "args"), ("i64", "chunk")], head)
        self.names = _operands(names, masked)
        self.causal = causal
        self.mask_element = "i8" if mask_type == "bool" else memory_type(self.kind)
        self.queries, self.keys, self.heads = self.number("queries"), self.number("keys"), self.number("heads")
        self.scale = self.number("scale")
        self.score_scale = self.convert(self.mul(self.scale, self.constant(LOG2_E, "double")), "float")
        self.scores, self.accumulate_across, self.across = _scores(head), _accumulate(head, True), _across(head)

    def word(self, n: int, type: str) -> Value:
        return self.load(self.address(self.parameters["args"], n, "i64"), type)

    def number(self, name: str) -> Value:
        return self.word(len(self.names) + NUMBERS.index(name), "double" if name == "scale" else "i64")

    def open(self, pair: Value) -> dict[str, Rows]:
        """The rows of one head, of each strided operand; and where its logsumexp begins."""
        batch, head = self.binary("sdiv", pair, self.heads), self.binary("srem", pair, self.heads)
        all_heads = Rows(self.word(self.names.index("logsumexp"), "ptr"), self.queries)
        self.logsumexp = Rows(self.at(all_heads, pair), 1)
        found = {}
        for n, name in enumerate(strided(self.names)):
            by_batch, by_head, step = (self.word(len(self.names) + len(NUMBERS) + 3 * n + i, "i64") for i in range(3))
            offset = self.add(self.mul(batch, by_batch), self.mul(head, by_head))
            base = self.word(self.names.index(name), "ptr")
            found[name] = Rows(self.address(base, offset, self.mask_element if name == "mask" else memory_type(self.kind)), step)
        return found

    def scratch(self, count: int) -> Value:
        """Floats on the stack, aligned to vectors. To be called in the entry block."""
        return self.new(f"alloca [{count} x float], align 64", "ptr")

    def block_of_rows(self, count: int = LANES) -> Rows:
        return Rows(self.scratch(count * self.padded), self.padded)

    def last_tile(self, rows: Rows) -> tuple[Rows, Value]:
        """The rows that do not fill a tile of 16, and their number."""
        whole = self.and_(self.keys, self.index(-LANES))
        return Rows(self.at(rows, whole), rows.step), self.sub(self.keys, whole)

    def pad(self, rows: Rows, target: Rows) -> None:
        """Copy what does not fill a tile of 16, with zeros behind; see `tile`."""
        self.clear(target, LANES)
        rest, count = self.last_tile(rows)
        self.copy(rest, target, count)

    def tile(self, rows: Rows, padded: Rows, key: Value, packed: Rows | None = None) -> Rows:
        """Sixteen rows from `key` on: in place, or where they end before that, the padded copy; or in `packed` (see `apart`)."""
        inside = self.compare("sle", self.add(key, self.index(LANES)), self.keys)
        place = Rows(self.at(rows, key), rows.step)
        if packed is not None:
            place = self.apart(place, self.select(inside, self.index(LANES), self.index(0)), packed)
        return self.either(inside, place, padded)

    def apart(self, rows: Rows, count: Index, packed: Rows) -> Rows:
        """The rows, or a copy of `count` of them if they would push each other out of the first-level cache."""
        collide = self.compare("eq", self.and_(self.index(rows.step), self.index(_COLLIDING - 1)), self.index(0))
        with self.when(collide):
            self.copy(rows, packed, count)
        return self.either(collide, packed, rows)

    def either(self, condition: Value, a: Rows, b: Rows) -> Rows:
        return Rows(self.select(condition, a.base, b.base), self.select(condition, self.index(a.step), self.index(b.step)))

    def stop_key(self, query: Value) -> Value:
        """How many keys a block of queries looks at."""
        return self.least(self.keys, self.add(query, self.index(LANES))) if self.causal else self.keys

    def raised(self, weights: Value, rows: Value, maximum: Value) -> tuple[Value, Value, Value]:
        """The maximum over more rows of scores, what these are reduced by before the exponential, and the factor of what was summed up before."""
        with self.loop(0, rows, 2, [maximum]) as loop:
            highest = loop.carried[0]
            for r in range(2):
                score = self.get(self.row_of(weights, self.plus(loop.index, r)))
                highest = self.select(self.compare("ogt", score, highest), score, highest)  # nan shows in the weights
            loop.next = [highest]
        highest = loop.results[0]
        nothing = self.compare("oeq", highest, self.like(-math.inf, highest))
        subtracted = self.select(nothing, self.zero(), highest)
        factor = self.exp2(self.sub(maximum, subtracted))
        return highest, subtracted, factor

    def closed(self, maximum: Value, total: Value) -> tuple[Value, Value]:
        """What the sums over all keys are multiplied by, and the logsumexp; 0 and infinity where there were no keys."""
        nothing = self.compare("oeq", total, self.zero())
        known = self.fma(maximum, self.like(math.log(2), maximum), log(self, total))
        factor = self.select(nothing, self.zero(), self.div(self.like(1.0, total), total))
        return factor, self.select(nothing, self.like(math.inf, known), known)

    def restrict(self, scores: Value, query: Value, key: Value, mask: Rows | None) -> None:
        """Add the mask to a tile of scores; -inf for keys that do not exist or come after the query."""
        if mask is not None:
            self.add_mask(scores, query, key, mask)
        last_key, last_of_tile = self.sub(self.keys, self.index(1)), self.add(key, self.index(LANES - 1))
        limit, crosses = self.splat(last_key), self.compare("sgt", last_of_tile, last_key)
        if self.causal:
            numbers = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
            limit = self.intrinsic("smin", self.add(numbers, self.splat(query)), limit)
            crosses = self.or_(crosses, self.compare("sgt", last_of_tile, query))
        with self.when(crosses), self.loop(0, LANES) as loop:
            at = self.row_of(scores, loop.index)
            beyond = self.compare("sgt", self.splat(self.add(key, loop.index)), limit)
            self.store(self.select(beyond, self.constant(-math.inf, "float", LANES), self.get(at)), at)

    def add_mask(self, scores: Value, query: Value, key: Value, mask: Rows) -> None:
        exists = self.first_lanes(self.sub(self.keys, key))
        last = self.sub(self.queries, self.index(1))
        added = []
        for r in range(LANES):
            position = self.least(self.add(query, self.index(r)), last)
            at = self.address(mask.base, self.plus(self.times(position, mask.step), key), self.mask_element)
            if self.mask_element == "i8":
                allowed = self.convert(self.masked_load(at, "i8", exists, self.constant(0, "i8", LANES)), "i1")
                added.append(self.select(allowed, self.zero(), self.constant(-math.inf, "float", LANES)))
            else:
                added.append(self.mul(load(self, at, self.kind, LANES, exists), self.constant(LOG2_E, "float", LANES)))
        for r, vector in enumerate(self.transpose(added)):
            at = self.row_of(scores, r)
            self.store(self.add(self.get(at), vector), at)


@cache
def _forward_kernel(head: int, causal: bool, mask_type: str) -> Kernel:
    k = HeadKernel("attention", FORWARD, head, causal, mask_type)
    groups = k.number("groups")
    pair, group = k.binary("sdiv", k.parameters["chunk"], groups), k.binary("srem", k.parameters["chunk"], groups)
    operands = k.open(pair)
    query, key, value, output = (operands[n] for n in ("query", "key", "value", "output"))
    across, weights, factors = k.scratch(LANES * k.padded), k.scratch(LANES * BLOCK), k.scratch(LANES)
    sums, packed_keys, packed_values = k.block_of_rows(), k.block_of_rows(), k.block_of_rows(BLOCK)
    last_keys = k.block_of_rows()
    k.pad(key, last_keys)
    first = k.mul(group, k.index(LANES * GROUP))
    end = k.least(k.add(first, k.index(LANES * GROUP)), k.queries)
    with k.loop(first, end, LANES) as blocks:
        left = k.sub(k.queries, blocks.index)
        k.call(k.across, k.at(query, blocks.index), k.index(query.step), left, k.score_scale, across)
        k.clear(sums, LANES)
        stop = k.stop_key(blocks.index)
        with k.loop(0, stop, BLOCK, [k.constant(-math.inf, "float", LANES), k.zero()]) as steps:
            maximum, total = steps.carried
            count = k.least(k.sub(stop, steps.index), BLOCK)
            with k.loop(0, count, LANES) as tiles:
                position = k.add(steps.index, tiles.index)
                keys = k.tile(key, last_keys, position, packed_keys)
                scores = k.row_of(weights, tiles.index)
                k.call(k.scores, keys.base, k.index(keys.step), across, scores)
                k.restrict(scores, blocks.index, position, operands.get("mask"))
            rows = k.and_(k.add(count, k.index(LANES - 1)), k.index(-LANES))
            highest, subtracted, factor = k.raised(weights, rows, maximum)
            with k.loop(0, rows, 2, [k.mul(total, factor)]) as loop:
                total = loop.carried[0]
                for r in range(2):
                    at = k.row_of(weights, k.plus(loop.index, r))
                    weight = k.exp2(k.sub(k.get(at), subtracted))
                    k.store(weight, at)
                    total = k.add(total, weight)
                loop.next = [total]
            with k.when(k.compare("sgt", steps.index, k.index(0))):
                k.store(factor, factors)
                k.copy(sums, sums, LANES, factors)
            values = k.apart(Rows(k.at(value, steps.index), value.step), count, packed_values)
            k.call(k.accumulate_across, weights, values.base, k.index(values.step), count, sums.base, k.index(sums.step))
            steps.next = [highest, loop.results[0]]
        maximum, total = steps.results
        factor, known = k.closed(maximum, total)
        k.store(factor, factors)
        k.copy(sums, Rows(k.at(output, blocks.index), output.step), k.least(left, LANES), factors)
        k.put(known, k.at(k.logsumexp, blocks.index), k.first_lanes(left))
    return Kernel(k.name, module([k.scores, k.accumulate_across, k.across, k]))


@cache
def _backward_kernel(head: int, causal: bool, mask_type: str) -> Kernel:
    k = HeadKernel("attention_backward", BACKWARD, head, causal, mask_type)
    accumulate = _accumulate(head, False)
    operands = k.open(k.parameters["chunk"])
    grad, query, key, value, output = (operands[n] for n in ("grad", "query", "key", "value", "output"))
    grad_query, grad_key, grad_value = (operands[n] for n in ("grad_query", "grad_key", "grad_value"))
    queries_across, grads_across = k.scratch(LANES * k.padded), k.scratch(LANES * k.padded)
    weights, slopes = k.scratch(LANES * LANES), k.scratch(LANES * LANES)
    sums, last_grad_keys, last_grad_values = (k.block_of_rows() for _ in range(3))
    packed_queries, packed_grads, packed_keys, packed_values = (k.block_of_rows() for _ in range(4))
    last_keys, last_values = k.block_of_rows(), k.block_of_rows()
    k.pad(key, last_keys)
    k.pad(value, last_values)
    for rows in (last_grad_keys, last_grad_values):
        k.clear(rows, LANES)
    for rows in (grad_key, grad_value):
        k.clear(rows, k.keys, masked=True)
    one, scale = k.constant(1.0, "float"), k.splat(k.convert(k.scale, "float"))
    with k.loop(0, k.queries, LANES) as blocks:
        left = k.sub(k.queries, blocks.index)
        count = k.least(left, LANES)
        for rows, factor, across in ((query, k.score_scale, queries_across), (grad, one, grads_across), (output, one, sums.base)):
            k.call(k.across, k.at(rows, blocks.index), k.index(rows.step), left, factor, across)
        k.copy(Rows(k.at(query, blocks.index), query.step), packed_queries, count)
        k.copy(Rows(k.at(grad, blocks.index), grad.step), packed_grads, count)
        # The mean of a weight's gradient under the weights is grad @ output.
        with k.loop(0, head, 1, [k.zero()]) as loop:
            loop.next = [k.fma(k.get(k.row_of(grads_across, loop.index)), k.get(k.row_of(sums.base, loop.index)), loop.carried[0])]
        mean = loop.results[0]
        known = k.masked_load(k.at(k.logsumexp, blocks.index), "float", k.first_lanes(left), k.constant(math.inf, "float", LANES))
        known = k.mul(known, k.like(LOG2_E, known))
        k.clear(sums, LANES)
        with k.loop(0, k.stop_key(blocks.index), LANES) as tiles:
            position = tiles.index
            keys = k.tile(key, last_keys, position, packed_keys)
            values = k.tile(value, last_values, position, packed_values)
            k.call(k.scores, keys.base, k.index(keys.step), queries_across, weights)
            k.restrict(weights, blocks.index, position, operands.get("mask"))
            k.call(k.scores, values.base, k.index(values.step), grads_across, slopes)
            with k.loop(0, LANES, 2) as loop:
                for r in range(2):
                    at, slope_at = (k.row_of(tile, k.plus(loop.index, r)) for tile in (weights, slopes))
                    weight = k.exp2(k.sub(k.get(at), known))
                    k.store(weight, at)
                    k.store(k.mul(k.mul(weight, k.sub(k.get(slope_at), mean)), scale), slope_at)
            for factors, rows, sum, last in ((weights, packed_grads, grad_value, last_grad_values), (slopes, packed_queries, grad_key, last_grad_keys)):
                place = k.tile(sum, last, position)
                k.call(accumulate, factors, rows.base, k.index(rows.step), count, place.base, k.index(place.step))
            k.call(k.accumulate_across, slopes, keys.base, k.index(keys.step), k.index(LANES), sums.base, k.index(sums.step))
        k.copy(sums, Rows(k.at(grad_query, blocks.index), grad_query.step), count)
    for sum, last in ((grad_key, last_grad_keys), (grad_value, last_grad_values)):
        rest, count = k.last_tile(sum)
        k.copy(last, rest, count)
    return Kernel(k.name, module([k.scores, accumulate, k.accumulate_across, k.across, k]))
