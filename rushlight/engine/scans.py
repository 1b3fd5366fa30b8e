"""Running sums, products and extrema along a dim: one element after another, as NumPy adds them up.

Where elements of another dim lie side by side, 16 of these scans are done together. Of scans along the last dim a few are done
together, since each step waits for the one before; running extrema are compared 16 at a time, as a new one is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..shape import as_one_dim
from .copied import as_contiguous
from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .terms import FLOATS, MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 16
#: Scans along the last dim that are done together.
_TOGETHER = 4
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
        return as_contiguous(plan, lambda twin: scan(twin, op))
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
    if extrema and inner[0] == 1 and input.stride[dim] == 1:
        return Lowered((Call(_extrema_kernel(type, op), words, -(-outer[0] // each)),))
    return Lowered((Call(_kernel(source, type, op, vectors), words, -(-outer[0] // each) * pieces),))


class _Scan:
    """What all kernels of this file have: their words, and where a scan's elements are."""

    def __init__(self, name: str, source: str, type: str) -> None:
        self.k = k = Builder(name, [("ptr", "args"), ("i64", "chunk")])
        words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(12)]
        self.input, self.out, self.places, self.outer, self.each, self.outer_step, self.size, self.step, self.inner, self.inner_step, self.pieces, self.piece = words
        self.source, self.type = source, type
        group = k.binary("sdiv", k.parameters["chunk"], self.pieces)
        part = k.sub(k.parameters["chunk"], k.mul(group, self.pieces))
        self.begin, self.first = k.mul(group, self.each), k.mul(part, self.piece)
        self.end = k.intrinsic("smin", k.add(self.begin, self.each), self.outer)
        self.last = k.intrinsic("smin", k.add(self.first, self.piece), self.inner)

    def start(self, row: Value, column: Value) -> tuple[Value, Value]:
        """The address of a scan's first element, and the number of its first result."""
        k = self.k
        source = k.address(self.input, k.add(k.mul(row, self.outer_step), k.mul(column, self.inner_step)), self.source)
        return source, k.add(k.mul(k.mul(row, self.size), self.inner), column)

    def load(self, start: Value, at: Value, mask: Value | None = None) -> Value:
        k = self.k
        pointer = k.address(start, k.mul(at, self.step), self.source)
        value = k.load(pointer, self.source) if mask is None else k.masked_load(pointer, self.source, mask, k.constant(0, self.source, LANES))
        return k.convert(value, self.type)

    def store(self, memory: Value, target: Value, at: Value, value: Value, mask: Value | None = None) -> None:
        k = self.k
        pointer = k.address(memory, k.add(target, k.mul(at, self.inner)), value.type)
        if mask is None:
            k.store(value, pointer)
        else:
            k.masked_store(value, pointer, mask)


def _wins(k: Builder, op: str, value: Value, best: Value) -> Value:
    """Whether a value is the running extremum from now on: the last of equal ones, and any nan."""
    condition = "ge" if op == "max" else "le"
    if not value.floating:
        return k.compare("s" + condition, value, best)
    return k.or_(k.compare("o" + condition, value, best), k.compare("uno", value, value))


@cache
def _kernel(source: str, type: str, op: str, vectors: bool) -> Kernel:
    """Scans side by side: neighbours in a vector, or else a few rows."""
    scan = _Scan(f"running_{op}", source, type)
    k, extrema = scan.k, op in ("max", "min")
    zero = k.constant(0, "i64")

    def together(starts: Sequence[tuple[Value, Value]], mask: Value | None) -> None:
        lanes = LANES if vectors else 1
        values = [scan.load(start, zero, mask) for start, _ in starts]
        indices = [k.constant(0, "i64", lanes) for _ in starts] if extrema else []
        for n, (_, target) in enumerate(starts):
            scan.store(scan.out, target, zero, values[n], mask)
            if extrema:
                scan.store(scan.places, target, zero, indices[n], mask)
        with k.loop(1, scan.size, carried=[*values, *indices]) as along:
            found, places = [], []
            for n, (start, target) in enumerate(starts):
                value, before = scan.load(start, along.index, mask), along.carried[n]
                if extrema:
                    wins = _wins(k, op, value, before)
                    places.append(k.select(wins, k.splat(along.index, lanes), along.carried[len(starts) + n]))
                    scan.store(scan.places, target, along.index, places[n], mask)
                    found.append(k.select(wins, value, before))
                else:
                    found.append(getattr(k, op)(before, value))
                scan.store(scan.out, target, along.index, found[n], mask)
            along.next = [*found, *places]

    if vectors:
        with k.loop(scan.begin, scan.end) as row, k.loop(scan.first, scan.last, LANES) as column:
            together([scan.start(row.index, column.index)], k.first_lanes(k.sub(scan.last, column.index)))
        return Kernel(k.name, module([k]))
    several = k.add(scan.begin, k.and_(k.sub(scan.end, scan.begin), k.constant(-_TOGETHER, "i64")))
    for begin, end, rows in ((scan.begin, several, _TOGETHER), (several, scan.end, 1)):
        with k.loop(begin, end, rows) as row, k.loop(scan.first, scan.last) as column:
            together([scan.start(k.add(row.index, k.constant(n, "i64")), column.index) for n in range(rows)], None)
    return Kernel(k.name, module([k]))


@cache
def _extrema_kernel(type: str, op: str) -> Kernel:
    """Scans of elements that lie side by side: 16 are compared at once, and looked at one by one if one of them wins."""
    scan = _Scan(f"running_{op}_by_16", type, type)
    k = scan.k
    zero = k.constant(0, "i64")
    with k.loop(scan.begin, scan.end) as row, k.loop(scan.first, scan.last) as column:
        start, target = scan.start(row.index, column.index)
        out, places = k.address(scan.out, target, type), k.address(scan.places, target, "i64")

        def one_by_one(first: Value, last: Value, carried: Sequence[Value], start: Value = start, out: Value = out, places: Value = places) -> Sequence[Value]:
            with k.loop(first, last, carried=carried) as along:
                value = k.load(k.address(start, along.index, type), type)
                wins = _wins(k, op, value, along.carried[0])
                along.next = [k.select(wins, value, along.carried[0]), k.select(wins, along.index, along.carried[1])]
                k.store(along.next[0], k.address(out, along.index, type))
                k.store(along.next[1], k.address(places, along.index, "i64"))
            return along.results

        whole = k.and_(scan.size, k.constant(-LANES, "i64"))
        with k.loop(0, whole, LANES, [k.load(start, type), zero]) as block:
            best, place = block.carried
            win = _wins(k, op, k.load(k.address(start, block.index, type), type, LANES), best)
            k.store(k.splat(best), k.address(out, block.index, type))
            k.store(k.splat(place), k.address(places, block.index, "i64"))
            some = k.compare("ne", k.new(f"bitcast {win.typed} to i{LANES}", f"i{LANES}"), Value("0", f"i{LANES}"))
            stop = k.add(block.index, k.constant(LANES, "i64"))
            block.next = k.rarely(some, [best, place], lambda: one_by_one(block.index, stop, [best, place]))
        one_by_one(whole, scan.size, block.results)
    return Kernel(k.name, module([k]))
