"""Packing for matrix products: parts of A and B next to each other, in the form in which a tile reads them.

Packed elements are of one type: values as registers have them, or pairs of bfloat16, which are two k of a row or column in 32
bits; the last pair of an odd number has a zero. Half precision that is not multiplied as pairs becomes float32 on the way.
"""

from __future__ import annotations

from typing import NamedTuple

from .elements import load
from .emit import BITS, LANES, Builder, Value
from .gemm_variant import Variant, has_masks, masks_of, smaller
from .kernel import Subroutine, subroutine

# A call lists the arguments in the order of these parameters.

_PACK = (("ptr", "source"), ("i64", "step"), ("ptr", "packed"), ("i64", "k"), ("i64", "columns"))
_GATHER = (("ptr", "source"), ("i64", "step"), ("ptr", "packed"), ("i64", "packed_step"), ("i64", "lines"), ("i64", "length"))


def packing(variant: Variant) -> list[Subroutine]:
    """The functions that pack what a product's kernel has packed."""
    functions = []
    if variant.b_packed:
        functions.append(_pack_rows(variant) if variant.b_rows else _pack_columns(variant))
    if variant.a_packed and not variant.amx:
        functions.append(_gather(variant))
    return [subroutine([f]) for f in functions]


def _pack_rows(variant: Variant) -> Builder:
    """A panel of B whose rows are contiguous."""
    k = Builder("pack", _PACK)
    p, lanes = k.parameters, variant.lanes
    whole, part, done = "whole", "part", "packed_all"

    def copy(masks: list[Value] | None) -> None:
        with k.loop(0, p["k"], 2 if variant.pairs else 1, carried=[p["source"], p["packed"]]) as row:
            source, packed = row.carried
            pair = PairOfLines.at(k, source, p["step"], row.index, p["k"]) if variant.pairs else None
            for v in range(variant.vectors):
                mask = masks[v] if masks else None
                found = pair.load(k, v * lanes, mask) if pair else load(k, k.address(source, v * lanes, variant.memory), variant.type, lanes, mask)
                k.store(found, k.address(packed, v * lanes, variant.packed))
            step = k.shl(p["step"], 1) if variant.pairs else p["step"]
            row.next = [k.address(source, step, variant.memory), k.address(packed, variant.width, variant.packed)]
        k.jump(done)

    k.branch(k.compare("slt", p["columns"], k.constant(variant.width, "i64")), part, whole)
    k.label(whole)
    copy(None)
    k.label(part)
    copy(masks_of(k, p["columns"], variant.vectors, lanes))
    k.label(done)
    if variant.amx:
        # Registers have 16 pairs: those behind the last k are zeros.
        steps = variant.steps(k, p["k"])
        with k.loop(steps, k.and_(k.add(steps, k.constant(15, "i64")), k.constant(-16, "i64"))) as row:
            for v in range(variant.vectors):
                place = k.add(k.mul(row.index, k.constant(variant.width, "i64")), k.constant(v * lanes, "i64"))
                k.store(k.constant(0, "i32", lanes), k.address(p["packed"], place, "i32"))
    return k


class PairOfLines(NamedTuple):
    """Two lines across k, of bfloat16; of the second one only the bits in `mask` count, which are none if it is not there."""

    first: Value
    second: Value
    mask: Value

    @classmethod
    def at(cls, k: Builder, line: Value, step: Value, number: Value, count: Value) -> PairOfLines:
        """Lines `number` and `number` + 1 of `count`, which lie `step` elements apart."""
        there = k.compare("slt", k.add(number, k.constant(1, "i64")), count)
        bits = k.select(there, k.constant(-1, "i32"), k.constant(0, "i32"))
        return cls(line, k.address(line, k.select(there, step, k.constant(0, "i64")), "i16"), k.splat(bits))

    def load(self, k: Builder, place: Value | int, mask: Value | None) -> Value:
        """A vector of pairs."""
        zero, found = k.constant(0, "i16", LANES), []
        for line in (self.first, self.second):
            address = k.address(line, place, "i16")
            found.append(k.load(address, "i16", LANES) if mask is None else k.masked_load(address, "i16", mask, zero))
        return self.joined(k, *found)

    def joined(self, k: Builder, first: Value, second: Value) -> Value:
        """Two vectors as one of pairs."""
        low, high = (k.convert(line, "i32") for line in (first, second))
        return k.or_(k.and_(low, k.like(0xFFFF, low)), k.and_(k.shl(high, 16), self.mask))


def _pack_columns(variant: Variant) -> Builder:
    """A panel of B whose columns are contiguous, by square blocks transposed in registers.

    Columns behind the last one are copies of it. `packed` has room for k rounded up to whole blocks.
    """
    k = Builder("pack", _PACK)
    p, lanes = k.parameters, variant.lanes
    elements = 2 * lanes if variant.pairs else lanes
    last = k.sub(p["columns"], k.constant(1, "i64"))
    whole = k.constant(0, "i64") if has_masks() else k.and_(p["k"], k.constant(-elements, "i64"))
    with k.loop(0, variant.width, lanes) as group:
        columns = [
            k.address(p["source"], k.mul(smaller(k, k.add(group.index, k.constant(i, "i64")), last), p["step"]), variant.memory)
            for i in range(lanes)
        ]
        packed = k.address(p["packed"], group.index, variant.packed)

        def block(first: Value, mask: Value | None, columns: list[Value] = columns, packed: Value = packed) -> None:
            found = [_along(k, variant, k.address(column, first, variant.memory), mask) for column in columns]
            step = k.lshr(first, 1) if variant.pairs else first
            target = k.address(packed, k.mul(step, k.constant(variant.width, "i64")), variant.packed)
            for i, row in enumerate(transpose(k, found)):
                k.store(row, k.address(target, i * variant.width, variant.packed))

        if not has_masks():
            with k.loop(0, whole, elements) as turn:
                block(turn.index, None)
        with k.loop(whole, p["k"], elements) as turn:
            block(turn.index, k.first_lanes(k.sub(p["k"], turn.index), elements))
    return k


def _along(k: Builder, variant: Variant, address: Value, mask: Value | None) -> Value:
    """A vector of what is packed, from a line along k; zeros outside of the mask, which has a lane for an element."""
    if not variant.pairs:
        return load(k, address, variant.type, variant.lanes, mask)
    lanes = 2 * variant.lanes
    found = k.load(address, "i16", lanes) if mask is None else k.masked_load(address, "i16", mask, k.constant(0, "i16", lanes))
    return k.new(f"bitcast {found.typed} to <{variant.lanes} x i32>", "i32", variant.lanes)


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
    p, elements = k.parameters, 2 * variant.lanes if variant.pairs else variant.lanes
    whole = k.and_(p["length"], k.constant(-elements, "i64"))
    with k.loop(0, p["lines"], carried=[p["source"], p["packed"]]) as line:
        source, packed = line.carried

        def vector(index: Value, mask: Value | None, source: Value = source, packed: Value = packed) -> None:
            step = k.lshr(index, 1) if variant.pairs else index
            k.store(_along(k, variant, k.address(source, index, variant.memory), mask), k.address(packed, step, variant.packed))

        with k.loop(0, whole, elements) as turn:
            vector(turn.index, None)
        if has_masks():
            with k.loop(whole, p["length"], elements) as turn:
                vector(turn.index, k.first_lanes(k.sub(p["length"], turn.index), elements))
        else:
            with k.loop(whole, p["length"]) as turn:
                k.store(load(k, k.address(source, turn.index, variant.memory), variant.type), k.address(packed, turn.index, variant.packed))
        line.next = [k.address(source, p["step"], variant.memory), k.address(packed, p["packed_step"], variant.packed)]
    return k
