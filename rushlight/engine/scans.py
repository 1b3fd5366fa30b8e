"""Running sums, products and extrema along a dim: one element after another, as NumPy adds them up.

Where elements of another dim lie side by side, 16 of these scans are done together; a scan along the last dim is done by itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..shape import as_one_dim
from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .terms import FLOATS, MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16


def scan(plan: Plan, op: str) -> Lowered | None:
    """`op` is "add" or "mul"; or "max" or "min", which also give the index of the last one."""
    (input,), (out, *_) = plan.operands, plan.outs
    if not input.ndim or input.dtype not in MEMORY:
        return None
    dim = plan.params["dim"]
    type, source = MEMORY[out.dtype], MEMORY[input.dtype]
    extrema = op in ("max", "min")
    if (type in FLOATS) != (source in FLOATS) or (extrema and type == "i8") or type == "i8":
        return None
    outer, inner = (as_one_dim(input.shape[part], input.stride[part]) for part in (slice(0, dim), slice(dim + 1, None)))
    if outer is None or inner is None:
        return None
    vectors = inner[1] == 1 and inner[0] > 1
    size = input.shape[dim]
    # Without vectors the inner places are part of the outer ones.
    work = max(1, input.numel // _CHUNK_WORK)
    each = -(-outer[0] // min(work, outer[0], _CHUNKS_AT_MOST))
    pieces = 1
    if vectors and outer[0] < _CHUNKS_AT_MOST:
        pieces = max(1, min(work // outer[0], inner[0] // LANES, _CHUNKS_AT_MOST // outer[0]))
    piece = -(-inner[0] // pieces)
    piece = -(-piece // LANES) * LANES if vectors else piece
    pieces = -(-inner[0] // piece)
    words = (
        Pointer(0), Pointer(1), Pointer(2) if extrema else 0,
        outer[0], each, outer[1], size, input.stride[dim], inner[0], inner[1], pieces, piece,
    )  # fmt: skip
    return Lowered((Call(_kernel(source, type, op, vectors), words, -(-outer[0] // each) * pieces),))


@cache
def _kernel(source: str, type: str, op: str, vectors: bool) -> Kernel:
    k = Builder(f"running_{op}", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(12)]
    input, out, places, outer, each, outer_step, size, step, inner, inner_step, pieces, piece = words
    extrema = op in ("max", "min")
    group = k.binary("sdiv", k.parameters["chunk"], pieces)
    part = k.sub(k.parameters["chunk"], k.mul(group, pieces))
    begin, first = k.mul(group, each), k.mul(part, piece)
    last = k.intrinsic("smin", k.add(first, piece), inner)
    lanes = LANES if vectors else 1
    with k.loop(begin, k.intrinsic("smin", k.add(begin, each), outer)) as row, k.loop(first, last, lanes) as column:
        mask = k.first_lanes(k.sub(last, column.index)) if vectors else None
        start = k.address(input, k.add(k.mul(row.index, outer_step), k.mul(column.index, inner_step)), source)
        target = k.add(k.mul(k.mul(row.index, size), inner), column.index)

        def load(at: Value, start: Value = start, mask: Value | None = mask) -> Value:
            pointer = k.address(start, k.mul(at, step), source)
            value = k.load(pointer, source) if mask is None else k.masked_load(pointer, source, mask, k.constant(0, source, LANES))
            return k.convert(value, type)

        def store(at: Value, value: Value, memory: Value, target: Value = target, mask: Value | None = mask) -> None:
            pointer = k.address(memory, k.add(target, k.mul(at, inner)), value.type)
            if mask is None:
                k.store(value, pointer)
            else:
                k.masked_store(value, pointer, mask)

        zero = k.constant(0, "i64")
        before = [load(zero)] + ([k.constant(0, "i64", lanes)] if extrema else [])
        store(zero, before[0], out)
        if extrema:
            store(zero, before[1], places)
        with k.loop(1, size, carried=before) as along:
            value = load(along.index)
            if extrema:
                letter = "" if value.floating else "s"
                wins = k.compare(("o" if value.floating else letter) + ("ge" if op == "max" else "le"), value, along.carried[0])
                if value.floating:
                    wins = k.or_(wins, k.compare("uno", value, value))
                along.next = [k.select(wins, value, along.carried[0]), k.select(wins, k.splat(along.index, lanes) if vectors else along.index, along.carried[1])]
                store(along.index, along.next[1], places)
            else:
                along.next = [getattr(k, op)(along.carried[0], value)]
            store(along.index, along.next[0], out)
    return Kernel(k.name, module([k]))
