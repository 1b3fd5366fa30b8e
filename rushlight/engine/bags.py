"""Sums of bags of a table's rows, weighted or not, as native code: each column of a bag is added up in a register, row after row."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 15
_CHUNKS_AT_MOST = 16
_VECTORS = 4
#: So many rows are fetched beforehand: they lie anywhere.
_AHEAD = 8


def sums(plan: Plan) -> Lowered | None:
    """Operands: the table (V, D), the rows' numbers, where bags begin, and perhaps a factor for each number; the bags' sums or means."""
    weight, index, offsets, *factors = plan.operands
    (out,) = plan.outs
    if weight.dtype not in FLOATING or (weight.stride[1] != 1 and weight.shape[1] != 1):
        return None
    bags, width = out.shape
    chunks = max(1, min(_CHUNKS_AT_MOST, bags, (index.numel + bags) * width // _CHUNK_WORK))
    each = -(-bags // chunks)
    words = (
        Pointer(0), Pointer(1), Pointer(2), Pointer(3 + len(factors)), Pointer(3) if factors else 0, factors[0].stride[0] if factors else 0,
        bags, each, width, weight.stride[0], index.shape[0], index.stride[0], offsets.shape[0], offsets.stride[0], plan.params["padding_idx"],
    )  # fmt: skip
    kernel = _kernel(MEMORY[weight.dtype], MEMORY[index.dtype], MEMORY[offsets.dtype], plan.params.get("mode") == "mean", bool(factors))
    return Lowered((Call(kernel, words, -(-bags // each)),))


@cache
def _kernel(type: str, index_type: str, offset_type: str, mean: bool, weighted: bool) -> Kernel:
    k = Builder("bags_mean" if mean else "bags_weighted" if weighted else "bags_sum", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 5 else "i64") for n in range(15)]
    weight, index, offsets, out, factors, of_factor, bags, each, width, of_row, count, of_index, begins, of_offset, padding = words
    zero, one = k.constant(0, "i64"), k.constant(1, "i64")
    last = k.sub(count, one)

    def begin_of(bag: Value) -> Value:
        """Where a bag begins; that behind the last one where the numbers end, if it is not named."""
        named = k.intrinsic("smin", bag, k.sub(begins, one))
        found = k.convert(k.load(k.address(offsets, k.mul(named, of_offset), offset_type), offset_type), "i64")
        return k.select(k.compare("slt", bag, begins), found, count)

    def row_of(place: Value) -> Value:
        return k.convert(k.load(k.address(index, k.mul(place, of_index), index_type), index_type), "i64")

    first = k.mul(k.parameters["chunk"], each)
    with k.loop(first, k.intrinsic("smin", k.add(first, each), bags)) as bag:
        begin, end = begin_of(bag.index), begin_of(k.add(bag.index, one))
        result = k.address(out, k.mul(bag.index, width), type)
        with k.loop(begin, end, carried=[zero]) as place:
            place.next = [k.add(place.carried[0], k.select(k.compare("eq", row_of(place.index), padding), zero, one))]
        size = k.splat(k.convert(k.intrinsic("smax", place.results[0], one), type))

        def columns(column: Value, vectors: int, mask: Value | None, begin: Value = begin, end: Value = end, result: Value = result, size: Value = size) -> None:
            nothing = k.constant(0, type, LANES)
            with k.loop(begin, end, carried=[nothing] * vectors) as place:
                row = row_of(place.index)
                later = row_of(k.intrinsic("smin", k.add(place.index, k.constant(_AHEAD, "i64")), last))
                fetched = k.address(k.address(weight, k.mul(later, of_row), type), column, type)
                factor = k.splat(k.load(k.address(factors, k.mul(place.index, of_factor), type), type)) if weighted else None
                line = k.address(k.address(weight, k.mul(row, of_row), type), column, type)
                padded = k.compare("eq", row, padding)
                totals = []
                for v, total in enumerate(place.carried):
                    at = k.address(line, v * LANES, type)
                    k.prefetch(k.address(fetched, v * LANES, type))
                    found = k.load(at, type, LANES) if mask is None else k.masked_load(at, type, mask, nothing)
                    totals.append(k.select(padded, total, k.add(total, found) if factor is None else k.fma(found, factor, total)))
                place.next = totals
            for v, total in enumerate(place.results):
                at = k.address(k.address(result, column, type), v * LANES, type)
                total = k.div(total, size) if mean else total
                if mask is None:
                    k.store(total, at)
                else:
                    k.masked_store(total, at, mask)

        whole = k.and_(width, k.constant(-_VECTORS * LANES, "i64"))
        with k.loop(0, whole, _VECTORS * LANES) as block:
            columns(block.index, _VECTORS, None)
        with k.loop(whole, width, LANES) as block:
            columns(block.index, 1, k.first_lanes(k.sub(width, block.index)))
    return Kernel(k.name, module([k]))
