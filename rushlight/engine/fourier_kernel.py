"""Passes of fast Fourier transforms as machine code.

A transform of n points is one pass for each factor of n, after Stockham: none of them puts elements into another order. With `done` the
product of the factors before, r this pass's factor and m the product of those behind it, a pass takes for each p < m and t < done the r
elements ``((p + m j) done + t)`` to a transform of r points, times powers of the root of unity of ``r m``, and puts the result at
``((r p + j) done + t)``. Each of these elements may be a row of columns, which are transformed side by side.

Between passes real parts and imaginary parts lie apart, `rest` elements from each other; the first pass reads complex numbers as memory has
them, the last one writes them. A transform the other way is one of numbers whose two parts are exchanged, and exchanges those of the results.

Three forms of a pass by what lies side by side in memory: "rows" of columns or of t, at least as long as a vector; or so many t, 1, 2, 4 or 8,
of several p in one vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .emit import LANES, Builder, Value
from .gemm_kernel import divide, invoke
from .kernel import Kernel, Subroutine, kernel_of, subroutine

FACTORS = (4, 2, 3, 5, 7)
#: Forms of vectors that have several p: by how many t there are.
SHORT = (1, 2, 4, 8)

_PASS = (
    ("ptr", "source"), ("i64", "source_rest"), ("ptr", "target"), ("i64", "target_rest"), ("ptr", "roots"),
    ("i64", "count"),  # m
    ("i64", "done"),
    ("i64", "width"),  # columns of a row
    ("i64", "source_pitch"),  # from one row to the next
    ("i64", "target_pitch"),
)  # fmt: skip
_HALF = (("ptr", "source"), ("i64", "source_rest"), ("ptr", "target"), ("i64", "target_rest"), ("ptr", "roots"), ("i64", "half"))


class Pass(NamedTuple):
    """What the code of a pass depends on. `joined` and `joins`: whether complex numbers are in one piece where it reads, and where it writes."""

    type: str
    factor: int
    short: int = 0  # how many t are side by side, if they are fewer than a vector has; 0 for rows
    joined: bool = False
    joins: bool = False
    exchanged: bool = False  # whether the parts of each number in one piece are
    last: bool = False  # whether m is 1: no roots of unity


Complex = tuple[Value, Value]


def _plus(k: Builder, a: Complex, b: Complex) -> Complex:
    return k.add(a[0], b[0]), k.add(a[1], b[1])


def _minus(k: Builder, a: Complex, b: Complex) -> Complex:
    return k.sub(a[0], b[0]), k.sub(a[1], b[1])


def _times(k: Builder, a: Complex, b: Complex) -> Complex:
    return k.fma(k.neg(a[1]), b[1], k.mul(a[0], b[0])), k.fma(a[0], b[1], k.mul(a[1], b[0]))


def _turned(k: Builder, a: Complex) -> Complex:
    """``-i a``"""
    return a[1], k.neg(a[0])


def _plus_scaled(k: Builder, a: Complex, b: Complex, factor: float) -> Complex:
    number = k.like(factor, a[0])
    return k.fma(b[0], number, a[0]), k.fma(b[1], number, a[1])


def _small_transform(k: Builder, x: Sequence[Complex]) -> list[Complex]:
    """The transform of a factor's points."""
    if len(x) == 1:
        return list(x)
    if len(x) == 2:
        return [_plus(k, *x), _minus(k, *x)]
    if len(x) == 4:
        (sum_even, difference), (sum_odd, other) = (_small_transform(k, pair) for pair in ((x[0], x[2]), (x[1], x[3])))
        turned = _turned(k, other)
        return [_plus(k, sum_even, sum_odd), _plus(k, difference, turned), _minus(k, sum_even, sum_odd), _minus(k, difference, turned)]
    # The sums and differences of mirrored points; of the latter -i times the sines.
    n, half = len(x), len(x) // 2
    sums, differences = ([f(k, x[j], x[n - j]) for j in range(1, half + 1)] for f in (_plus, _minus))
    total = x[0]
    for one in sums:
        total = _plus(k, total, one)
    found = [total] * n
    for m in range(1, half + 1):
        even: Complex = x[0]
        odd: Complex | None = None
        for j in range(1, half + 1):
            angle = 2 * math.pi * (j * m % n) / n
            even = _plus_scaled(k, even, sums[j - 1], math.cos(angle))
            sine = k.like(math.sin(angle), even[0])
            d = differences[j - 1]
            odd = (k.mul(d[0], sine), k.mul(d[1], sine)) if odd is None else _plus_scaled(k, odd, d, math.sin(angle))
        assert odd is not None
        turned = _turned(k, odd)
        found[m], found[n - m] = _plus(k, even, turned), _minus(k, even, turned)
    return found


_NUMBERS = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
_EVEN, _ODD = range(0, 2 * LANES, 2), range(1, 2 * LANES, 2)


def _load_joined(k: Builder, source: Value, type: str, count: Value) -> Complex:
    """The first `count` of 16 complex numbers, taken apart."""
    zero = k.constant(0, type, LANES)
    twice = k.shl(count, 1)
    low = k.masked_load(source, type, k.first_lanes(twice), zero)
    high = k.masked_load(k.address(source, LANES, type), type, _behind(k, twice), zero)
    return k.shuffle(low, _EVEN, high), k.shuffle(low, _ODD, high)


def _store_joined(k: Builder, value: Complex, target: Value, count: Value) -> None:
    type, twice = value[0].type, k.shl(count, 1)
    for first, mask in ((0, k.first_lanes(twice)), (LANES // 2, _behind(k, twice))):
        pairs = [lane for n in range(first, first + LANES // 2) for lane in (n, LANES + n)]
        k.masked_store(k.shuffle(value[0], pairs, value[1]), k.address(target, 2 * first, type), mask)


def _behind(k: Builder, count: Value) -> Value:
    """The lanes of the second vector of two."""
    return k.first_lanes(k.intrinsic("smax", k.sub(count, k.like(LANES, count)), k.like(0, count)))


class _Memory:
    """Complex numbers, in one piece or their parts apart."""

    def __init__(self, k: Builder, kind: Pass, side: str) -> None:
        self.k, self.type = k, kind.type
        self.base, self.rest = k.parameters[side], k.parameters[f"{side}_rest"]
        self.joined = kind.joined if side == "source" else kind.joins
        self.exchanged = kind.exchanged

    def load(self, at: Value, count: Value) -> Complex:
        k = self.k
        if self.joined:
            found = _load_joined(k, k.address(self.base, k.shl(at, 1), self.type), self.type, count)
            return found[::-1] if self.exchanged else found
        real, zero = k.address(self.base, at, self.type), k.constant(0, self.type, LANES)
        mask = k.first_lanes(count)
        return k.masked_load(real, self.type, mask, zero), k.masked_load(k.address(real, self.rest, self.type), self.type, mask, zero)

    def store(self, value: Complex, at: Value, count: Value) -> None:
        k = self.k
        if self.joined:
            _store_joined(k, value[::-1] if self.exchanged else value, k.address(self.base, k.shl(at, 1), self.type), count)
            return
        real = k.address(self.base, at, self.type)
        mask = k.first_lanes(count)
        k.masked_store(value[0], real, mask)
        k.masked_store(value[1], k.address(real, self.rest, self.type), mask)


def pass_name(kind: Pass) -> str:
    flags = "".join(letter for letter, there in zip("jwxl", kind[3:], strict=True) if there)
    return f"fourier_{kind.type}_{kind.factor}_{kind.short}{flags and '_' + flags}"


@cache
def one_pass(kind: Pass) -> Subroutine:
    k = Builder(pass_name(kind), [*_PASS, (kind.type, "scale")])
    return subroutine([_short_pass(k, kind) if kind.short else _row_pass(k, kind)])


def _roots_behind(k: Builder, kind: Pass, at: Value, expand: Sequence[int] | None) -> list[Complex]:
    """The roots of unity for j = 1, 2, ...: of one p in all lanes, or of several."""
    p = k.parameters
    pitch = k.add(p["count"], k.constant(LANES, "i64"))
    found = []
    for n in range(2 * (kind.factor - 1)):
        place = k.address(p["roots"], k.add(k.mul(pitch, k.constant(n, "i64")), at), kind.type)
        if expand is None:
            found.append(k.splat(k.load(place, kind.type)))
        else:
            some = k.load(place, kind.type, max(expand) + 1)
            found.append(some if len(expand) == some.lanes else k.shuffle(some, expand))
    return list(zip(found[::2], found[1::2], strict=True))


def _transformed(k: Builder, kind: Pass, values: Sequence[Complex], roots: Sequence[Complex]) -> list[Complex]:
    first, *others = _small_transform(k, values)
    found = [first, *(_times(k, a, b) for a, b in zip(others, roots, strict=True))] if roots else [first, *others]
    if kind.joins:
        scale = k.splat(k.parameters["scale"])
        found = [(k.mul(a, scale), k.mul(b, scale)) for a, b in found]
    return found


def _row_pass(k: Builder, kind: Pass) -> Builder:
    p = k.parameters
    source, target = _Memory(k, kind, "source"), _Memory(k, kind, "target")
    r = k.constant(kind.factor, "i64")
    with k.loop(0, p["count"]) as at:
        roots = [] if kind.last else _roots_behind(k, kind, at.index, None)
        with k.loop(0, p["done"]) as before:
            rows = [k.add(k.mul(k.add(at.index, k.mul(p["count"], k.constant(j, "i64"))), p["done"]), before.index) for j in range(kind.factor)]
            begins = [k.mul(row, p["source_pitch"]) for row in rows]
            results = [k.mul(k.add(k.mul(k.add(k.mul(at.index, r), k.constant(j, "i64")), p["done"]), before.index), p["target_pitch"]) for j in range(kind.factor)]
            with k.loop(0, p["width"], LANES) as block:
                left = k.sub(p["width"], block.index)
                values = [source.load(k.add(begin, block.index), left) for begin in begins]
                for value, result in zip(_transformed(k, kind, values, roots), results, strict=True):
                    target.store(value, k.add(result, block.index), left)
    return k


def _short_pass(k: Builder, kind: Pass) -> Builder:
    """Vectors go through all t of several p: what they read lies side by side, and what they write together too."""
    p, r, short = k.parameters, kind.factor, kind.short
    source, target = _Memory(k, kind, "source"), _Memory(k, kind, "target")
    whole = k.mul(p["count"], k.constant(short, "i64"))
    zero = k.constant(0, "i64")
    with k.loop(0, whole, LANES) as block:
        left = k.sub(whole, block.index)
        values = [source.load(k.add(block.index, k.mul(whole, k.constant(j, "i64"))), left) for j in range(r)]
        expand = [n // short for n in range(LANES)]
        roots = [] if kind.last else _roots_behind(k, kind, divide(k, block.index, k.constant(short, "i64"))[0], expand)
        found = _transformed(k, kind, values, roots)
        begin, written = k.mul(block.index, k.constant(r, "i64")), k.mul(left, k.constant(r, "i64"))
        for m in range(r):
            lanes = [_origin(m * LANES + n, short, r) for n in range(LANES)]
            value = tuple(_collected(k, [x[part] for x in found], lanes) for part in (0, 1))
            count = k.intrinsic("smax", k.sub(written, k.constant(m * LANES, "i64")), zero)
            target.store((value[0], value[1]), k.add(begin, k.constant(m * LANES, "i64")), count)
    return k


def _origin(place: int, short: int, factor: int) -> tuple[int, int]:
    """Which result, and which lane of it, goes to a place of those that a short pass writes at once."""
    rest, t = divmod(place, short)
    at, j = divmod(rest, factor)
    return j, at * short + t


def _collected(k: Builder, sources: Sequence[Value], lanes: Sequence[tuple[int, int]]) -> Value:
    """A vector of chosen lanes of several."""
    used = sorted({source for source, _ in lanes})
    if len(used) == 1:
        return k.shuffle(sources[used[0]], [lane for _, lane in lanes])
    parts = [_Partial(sources[s], {n: lane for n, (source, lane) in enumerate(lanes) if source == s}) for s in used]
    while len(parts) > 1:
        parts = [_joint(k, *parts[n : n + 2]) if n + 1 < len(parts) else parts[n] for n in range(0, len(parts), 2)]
    return parts[0].value


class _Partial(NamedTuple):
    value: Value
    lanes: dict[int, int]  # by the lane of the result: where it is


def _joint(k: Builder, a: _Partial, b: _Partial) -> _Partial:
    chosen = [a.lanes[n] if n in a.lanes else LANES + b.lanes[n] if n in b.lanes else 0 for n in range(LANES)]
    return _Partial(k.shuffle(a.value, chosen, b.value), {n: n for n in (*a.lanes, *b.lanes)})


# Real signals of an even size 2 h as complex ones of h points: with Z their transform, of the even and the odd elements those are
# E = (Z[k] + conj(Z[h - k])) / 2 and O = (Z[k] - conj(Z[h - k])) / 2i, and the signal's is E + root^k O.


@cache
def to_half(type: str, doubled: bool) -> Subroutine:
    """From Z, whose first point stands behind its last one again, to the first h + 1 points of the signal's transform; `doubled` but for the ends."""
    k = Builder(f"fourier_{type}_to_half{'_doubled' if doubled else ''}", [*_HALF, (type, "scale")])
    p = k.parameters
    kind = Pass(type, 1, joins=True)
    source, target = _Memory(k, kind, "source"), _Memory(k, kind, "target")
    one = k.constant(1, "i64")
    points = k.add(p["half"], one)
    scale = k.splat(k.mul(p["scale"], k.constant(0.5, type)))
    with k.loop(0, points, LANES) as block:
        left = k.sub(points, block.index)
        a, b = source.load(block.index, left), _reversed(k, source, k.sub(p["half"], block.index), left)
        e = k.add(a[0], b[0]), k.sub(a[1], b[1])
        o = k.add(a[1], b[1]), k.sub(b[0], a[0])
        found = _plus(k, e, _times(k, o, _half_roots(k, type, block.index, left)))
        factor = scale
        if doubled:
            here = k.add(k.splat(block.index), _NUMBERS)
            end = k.or_(k.compare("eq", here, k.like(0, here)), k.compare("eq", here, k.splat(p["half"])))
            factor = k.select(end, scale, k.add(scale, scale))
        target.store((k.mul(found[0], factor), k.mul(found[1], factor)), block.index, left)
    return subroutine([k])


@cache
def from_half(type: str, doubled: bool) -> Subroutine:
    """From half a signal's transform to 2 Z, parts exchanged; if it is not `doubled`, the ends count as much again."""
    k = Builder(f"fourier_{type}_from_half{'_doubled' if doubled else ''}", _HALF)
    p = k.parameters
    kind = Pass(type, 1, joined=True)
    source, target = _Memory(k, kind, "source"), _Memory(k, kind, "target")
    zero = k.constant(0, type, LANES)
    with k.loop(0, p["half"], LANES) as block:
        left = k.sub(p["half"], block.index)
        a, b = source.load(block.index, left), _reversed(k, source, k.sub(p["half"], block.index), left)
        # The first and the middle point are real, whatever is there.
        first = k.compare("eq", k.add(k.splat(block.index), _NUMBERS), k.constant(0, "i64", LANES))
        real = (x[0] if doubled else k.select(first, k.add(x[0], x[0]), x[0]) for x in (a, b))
        a, b = ((part, k.select(first, zero, x[1])) for part, x in zip(real, (a, b), strict=True))
        roots = _half_roots(k, type, block.index, left)
        o = _times(k, (k.sub(a[0], b[0]), k.add(a[1], b[1])), (roots[0], k.neg(roots[1])))
        target.store((k.add(k.sub(a[1], b[1]), o[0]), k.sub(k.add(a[0], b[0]), o[1])), block.index, left)
    return subroutine([k])


def _half_roots(k: Builder, type: str, at: Value, left: Value) -> Complex:
    p = k.parameters
    real, mask, zero = k.address(p["roots"], at, type), k.first_lanes(left), k.constant(0, type, LANES)
    imaginary = k.address(real, k.add(p["half"], k.constant(LANES, "i64")), type)
    return k.masked_load(real, type, mask, zero), k.masked_load(imaginary, type, mask, zero)


def _reversed(k: Builder, memory: _Memory, last: Value, left: Value) -> Complex:
    """16 numbers backwards from `last` on, or as many as are left."""
    type, lanes = memory.type, k.constant(LANES, "i64")
    zero, all_lanes = k.constant(0, type, LANES), k.constant(1, "i1", LANES)
    skipped = k.sub(lanes, k.intrinsic("smin", left, lanes))
    begin = k.sub(last, k.constant(LANES - 1, "i64"))

    def read(at: Value, skipped: Value) -> Value:
        return k.masked_load(at, type, k.xor(k.first_lanes(skipped), all_lanes), zero)

    if not memory.joined:
        real = k.address(memory.base, begin, type)
        backwards = range(LANES - 1, -1, -1)
        parts = [k.shuffle(read(at, skipped), backwards) for at in (real, k.address(real, memory.rest, type))]
        return parts[0], parts[1]
    real, twice = k.address(memory.base, k.shl(begin, 1), type), k.shl(skipped, 1)
    beyond = k.intrinsic("smax", k.sub(twice, lanes), k.constant(0, "i64"))
    low, high = read(real, twice), read(k.address(real, LANES, type), beyond)
    return k.shuffle(low, _EVEN[::-1], high), k.shuffle(low, _ODD[::-1], high)


#: Words of a kernel, before three for each pass: what m is, what `done` is, and where the roots of unity are, counted in words.
WORDS = ("source", "target", "scratch", "room", "jobs", "each", "blocks", "block", "inner", "source_outer", "target_outer", "scale", "half", "half_roots")


class Line(NamedTuple):
    """What a kernel's code depends on: transforms of one dim."""

    type: str
    kind: str  # "complex", "to half", "from half"
    factors: tuple[int, ...]
    columns: bool  # whether elements of other dims lie side by side
    exchanged: bool
    doubled: bool  # of half a transform: whether its elements count twice, but for those that have no conjugate

    def passes(self) -> list[Pass]:
        found, done, factors = [], 1, self.factors
        for n, factor in enumerate(factors):
            short = 0 if self.columns or done not in SHORT else done
            joined, joins = n == 0 and self.kind != "from half", n == len(factors) - 1 and self.kind != "to half"
            found.append(Pass(self.type, factor, short, joined, joins, (joined or joins) and self.exchanged, math.prod(factors[n + 1 :]) == 1))
            done *= factor
        return found


@cache
def line_kernel(line: Line) -> Kernel:
    """Each job transforms one line, or the lines that begin at a block of neighbours."""
    k = Builder("fourier_line", [("ptr", "args"), ("i64", "chunk")])
    args, chunk, type = k.parameters["args"], k.parameters["chunk"], line.type
    w = {name: k.load(k.address(args, n, "i64"), "ptr" if n < 3 else "double" if name == "scale" else "i64") for n, name in enumerate(WORDS)}
    scale, one, zero = k.convert(w["scale"], type), k.constant(1, "i64"), k.constant(0, "i64")
    passes = line.passes()
    extents = [[k.load(k.address(args, len(WORDS) + 3 * n + m, "i64"), "i64") for m in range(3)] for n in range(len(passes))]
    used: list[Builder | Subroutine] = [k]
    # Two rooms, each for the parts of all numbers of a job one after the other.
    rooms = [k.address(w["scratch"], k.mul(w["room"], k.add(k.mul(chunk, k.constant(4, "i64")), k.constant(2 * n, "i64"))), type) for n in (0, 1)]
    first = k.mul(chunk, w["each"])
    with k.loop(first, k.intrinsic("smin", k.add(first, w["each"]), w["jobs"])) as job:
        outer, number = divide(k, job.index, w["blocks"])
        column = k.mul(number, w["block"])
        width = k.intrinsic("smin", w["block"], k.sub(w["inner"], column))
        source, target = (k.address(w[side], k.shl(k.add(k.mul(outer, w[f"{side}_outer"]), column), 1), type) for side in ("source", "target"))
        here, at_room = source, 0
        if line.kind == "from half":
            step = from_half(type, line.doubled)
            used.append(step)
            invoke(k, step.name, [source, zero, rooms[0], w["room"], k.address(args, w["half_roots"], "i64"), w["half"]])
            here, at_room = rooms[0], 1
        for n, kind in enumerate(passes):
            step = one_pass(kind)
            used.append(step)
            count, done, roots = extents[n]
            there = target if kind.joins else rooms[at_room]
            source_pitch = w["inner"] if kind.joined else w["block"]
            target_pitch = w["inner"] if kind.joins else w["block"]
            shape = [done, width, source_pitch, target_pitch] if line.columns else [one, done, done, done]
            invoke(k, step.name, [here, w["room"], there, w["room"], k.address(args, roots, "i64"), count, *shape, scale])
            here, at_room = there, 1 - at_room
        if line.kind == "to half":
            # The first point again, behind the last one.
            for part in (here, k.address(here, w["room"], type)):
                k.store(k.load(part, type), k.address(part, w["half"], type))
            step = to_half(type, line.doubled)
            used.append(step)
            invoke(k, step.name, [here, w["room"], target, zero, k.address(args, w["half_roots"], "i64"), w["half"], scale])
    return kernel_of(k.name, used)
