"""Images read at given places, and the gradients of both, as native code: 16 places at a time, whose corners and weights serve all channels.

The operations are those of the op's formula (ops/grid_sample.py) in its order, so that the bits are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache, reduce
from typing import TYPE_CHECKING, NamedTuple

from ..shape import Layout, as_one_dim, contiguous
from . import exact
from .copied import as_contiguous
from .emit import LANES, Builder, Value, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 14
_CHUNKS_AT_MOST = 16
#: Keys' cubic convolution.
_A = -0.75
#: Places whose taps are listed before their gradients are added to the image's.
_LISTED = 64
#: Of a tap that is listed: where in the image, which place, and the weight.
_ENTRY_WORDS = 3


def sample(plan: Plan) -> Lowered | None:
    """Operands: images (N, C, [D,] H, W), places (N, [D',] H', W', 2 or 3); the values there (N, C, [D',] H', W')."""
    input, grid = plan.operands
    if input.dtype not in FLOATING:
        return None
    g = _Geometry.of(plan, input, grid)
    if g is None:
        return as_contiguous(plan, sample)
    pieces, words = g.pieces()
    return Lowered((Call(_kernel(g.variant), (Pointer(0), Pointer(1), Pointer(2), *words), g.samples * pieces),))


def gradients(plan: Plan) -> Lowered | None:
    """Operands: the gradient of what `sample` gives, and its operands; their gradients, as many as `output_mask` says."""
    grad_output, input, grid = plan.operands
    if input.dtype not in FLOATING:
        return None
    g = _Geometry.of(plan, input, grid)
    if g is None or not grad_output.contiguous:
        return as_contiguous(plan, gradients)
    of_input, of_grid = plan.params["output_mask"]
    calls, workspace = [], 0
    if of_input:
        groups = max(1, min(g.channels, _CHUNKS_AT_MOST // g.samples, g.samples * g.channels * g.places // _CHUNK_WORK))
        each = -(-g.channels // groups)
        groups = -(-g.channels // each)
        workspace = g.samples * groups * _LISTED * g.variant.taps * _ENTRY_WORDS * 8
        words = g._replace(input=contiguous(input.shape, input.dtype)).words()
        calls.append(Call(_input_kernel(g.variant), (Pointer(0), Pointer(2), Pointer(3), *words, groups, each, Pointer(WORKSPACE)), g.samples * groups))
    if of_grid:
        pieces, rest = g.pieces()
        calls.append(Call(_grid_kernel(g.variant), (Pointer(1), Pointer(2), Pointer(4 if of_input else 3), *rest, Pointer(0)), g.samples * pieces))
    return Lowered(tuple(calls), workspace)


class _Variant(NamedTuple):
    type: str
    mode: str
    padding: str
    corners: bool  # whether the extremes are the centres of the pixels there
    dims: int
    offset: str  # the type in which elements of one sample are counted

    @property
    def taps(self) -> int:
        return int({"nearest": 1, "bilinear": 2, "bicubic": 4}[self.mode] ** self.dims)


class _Geometry(NamedTuple):
    variant: _Variant
    input: Layout
    grid: Layout
    places: int  # of one sample
    of_place: int

    @classmethod
    def of(cls, plan: Plan, input: Layout, grid: Layout) -> _Geometry | None:
        """None where the places do not lie along one line."""
        along = as_one_dim(grid.shape[1:-1], grid.stride[1:-1])
        params = plan.params
        span = sum((n - 1) * s for n, s in zip(input.shape[1:], input.stride[1:], strict=True))
        index = "i32" if max(span, input.numel) < 1 << 31 else "i64"
        variant = _Variant(MEMORY[input.dtype], params["mode"], params["padding_mode"], bool(params["align_corners"]), input.ndim - 2, index)
        return None if along is None else cls(variant, input, grid, *along)

    @property
    def samples(self) -> int:
        return int(self.input.shape[0])

    @property
    def channels(self) -> int:
        return int(self.input.shape[1])

    def words(self) -> tuple[int, ...]:
        """Those that `_Kernel` reads."""
        return (*self.input.shape[1:], *self.input.stride, self.places, self.grid.stride[0], self.of_place, self.grid.stride[-1])

    def pieces(self) -> tuple[int, tuple[int, ...]]:
        """How many parts the places of a sample are shared out in, and the words with how many and how large."""
        work = max(1, self.samples * self.places * (4 + self.channels) // _CHUNK_WORK)
        pieces = max(1, min(_CHUNKS_AT_MOST, work // self.samples, self.places // LANES))
        piece = (self.places // pieces // LANES + 1) * LANES
        pieces = -(-self.places // piece)
        return pieces, (*self.words(), pieces, piece)


class _Tap(NamedTuple):
    """Along one dim: where in the image, counted in elements of memory, whether that is inside, and the weight."""

    offset: Value
    inside: Value
    weight: Value | None
    slope: Value | None = None  # of the weight, as the coordinate grows


class _Dim:
    """What is computed for one dim of the image."""

    def __init__(self, k: Builder, variant: _Variant, size: Value, stride: Value) -> None:
        self.k, self.variant = k, variant
        self.stride = k.splat(k.convert(stride, variant.offset))
        self.size = k.splat(k.convert(size, variant.type))
        self.last = k.splat(k.convert(k.sub(size, k.constant(1, "i64")), variant.type))

    def number(self, value: float) -> Value:
        return self.k.constant(value, self.variant.type, LANES)

    def taps(self, coordinate: Value, slopes: bool = False) -> list[_Tap]:
        k, mode = self.k, self.variant.mode
        shifted = k.add(coordinate, self.number(1))
        if self.variant.corners:
            position = k.mul(k.div(shifted, self.number(2)), self.last)
        else:
            position = k.div(k.sub(k.mul(shifted, self.size), self.number(1)), self.number(2))
        if mode == "nearest":
            return [self.tap(k.intrinsic("rint", self.padded(position)))]
        slope = self.slope(position) if slopes else None
        if mode == "bilinear":
            position = self.padded(position)
        floor = k.intrinsic("floor", position)
        fraction = k.sub(position, floor)
        if mode == "bilinear":
            weights = [k.sub(self.number(1), fraction), fraction]
            ascents = [k.neg(slope), slope] if slope is not None else [None] * 2
            return [self.tap(k.add(floor, self.number(n)), weights[n], ascents[n]) for n in (0, 1)]
        places = [self.padded(k.add(floor, self.number(n))) for n in (-1, 0, 1, 2)]
        ascents = [k.mul(ascent, slope) for ascent in self.cubic_slopes(fraction)] if slope is not None else [None] * 4
        return [self.tap(*each) for each in zip(places, self.cubic_weights(fraction), ascents, strict=True)]

    def tap(self, place: Value, weight: Value | None = None, slope: Value | None = None) -> _Tap:
        k = self.k
        inside = k.and_(k.compare("oge", place, self.number(0)), k.compare("ole", place, self.last))
        at = k.convert(k.select(inside, place, self.number(0)), self.variant.offset)
        return _Tap(k.mul(at, self.stride), inside, weight, slope)

    def slope(self, position: Value) -> Value:
        """How the place that is read moves with the coordinate: backwards in a reflection, not at all at edges and beyond."""
        k, variant = self.k, self.variant
        found = k.mul(self.last if variant.corners else self.size, self.number(0.5))
        if variant.padding == "zeros" or variant.mode == "bicubic":
            return found
        if variant.padding == "reflection":
            low, span = self.bounds()
            behind = k.sub(position, low)
            turned = k.xor(self.is_odd(k.intrinsic("floor", k.div(k.abs(behind), span))), k.compare("olt", behind, self.number(0)))
            found = k.select(turned, k.neg(found), found)
            position = self.reflected(position)
        inside = k.and_(k.compare("ogt", position, self.number(0)), k.compare("olt", position, self.last))
        return k.select(inside, found, self.number(0))

    def cubic_weights(self, fraction: Value) -> list[Value]:
        k, a = self.k, self.number(_A)

        def near(x: Value) -> Value:
            inner = k.sub(k.mul(self.number(_A + 2), x), self.number(_A + 3))
            return k.add(k.mul(k.mul(inner, x), x), self.number(1))

        def far(x: Value) -> Value:
            inner = k.add(k.mul(k.sub(k.mul(a, x), self.number(5 * _A)), x), self.number(8 * _A))
            return k.sub(k.mul(inner, x), self.number(4 * _A))

        one, two = self.number(1), self.number(2)
        return [far(k.add(fraction, one)), near(fraction), near(k.sub(one, fraction)), far(k.sub(two, fraction))]

    def cubic_slopes(self, fraction: Value) -> list[Value]:
        """Of the weights, as the fraction grows."""
        k, one, two = self.k, self.number(1), self.number(2)

        def near(x: Value) -> Value:
            return k.mul(k.sub(k.mul(self.number(3 * (_A + 2)), x), self.number(2 * (_A + 3))), x)

        def far(x: Value) -> Value:
            return k.add(k.mul(k.sub(k.mul(self.number(3 * _A), x), self.number(10 * _A)), x), self.number(8 * _A))

        return [far(k.add(fraction, one)), near(fraction), k.neg(near(k.sub(one, fraction))), k.neg(far(k.sub(two, fraction)))]

    def bounds(self) -> tuple[Value, Value]:
        """Where a reflection begins, and how wide it is."""
        return (self.number(0), self.last) if self.variant.corners else (self.number(-0.5), self.size)

    def is_odd(self, whole: Value) -> Value:
        k = self.k
        return k.compare("une", k.mul(k.intrinsic("floor", k.mul(whole, self.number(0.5))), self.number(2)), whole)

    def padded(self, position: Value) -> Value:
        if self.variant.padding == "zeros":
            return position
        if self.variant.padding == "reflection":
            position = self.reflected(position)
        k = self.k
        position = k.select(k.compare("ogt", position, self.number(0)), position, self.number(0))  # nan is an edge too
        return k.select(k.compare("olt", position, self.last), position, self.last)

    def reflected(self, position: Value) -> Value:
        k = self.k
        low, span = self.bounds()
        distance = k.abs(k.sub(position, low))
        rest = exact.fmod(k, distance, span)
        odd = self.is_odd(k.intrinsic("floor", k.div(distance, span)))
        folded = k.select(odd, k.add(k.sub(span, rest), low), k.add(rest, low))
        # An image of one pixel between the centres of its extremes: nothing to fold.
        return k.select(k.compare("oeq", span, self.number(0)), k.mul(position, self.number(0)), folded)


class _Kernel:
    """What all kernels of this file have: their words, and the taps of 16 places."""

    def __init__(self, name: str, variant: _Variant) -> None:
        self.k = k = Builder(f"{name}_{variant.mode}", [("ptr", "args"), ("i64", "chunk")])
        self.variant, self.type, self.read = variant, variant.type, 0
        n = variant.dims
        self.input, self.grid, self.out = (self.word("ptr") for _ in range(3))
        self.channels, *sizes = (self.word() for _ in range(1 + n))
        self.of_sample, self.of_channel, *strides = (self.word() for _ in range(2 + n))
        self.places, self.of_grid, self.of_place, self.of_axis = (self.word() for _ in range(4))
        self.dims = [_Dim(k, variant, size, stride) for size, stride in zip(sizes, strides, strict=True)]
        self.zero = k.constant(0, variant.type, LANES)
        self.lanes = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)

    def word(self, type: str = "i64") -> Value:
        k = self.k
        self.read += 1
        return k.load(k.address(k.parameters["args"], self.read - 1, "i64"), type)

    def share(self) -> tuple[Value, Value, Value]:
        """This chunk's sample, and its places from the first to the last."""
        k, pieces, piece = self.k, self.word(), self.word()
        sample = k.binary("sdiv", k.parameters["chunk"], pieces)
        first = k.mul(k.sub(k.parameters["chunk"], k.mul(sample, pieces)), piece)
        return sample, first, k.intrinsic("smin", k.add(first, piece), self.places)

    def image(self, base: Value, sample: Value) -> Value:
        return self.k.address(base, self.k.mul(sample, self.of_sample), self.type)

    def values(self, base: Value, sample: Value) -> Value:
        """The values of a sample at its places, or their gradients."""
        return self.k.address(base, self.k.mul(sample, self.k.mul(self.channels, self.places)), self.type)

    def taps(self, sample: Value, first: Value, there: Value, slopes: bool = False) -> list[tuple[_Tap, ...]]:
        """All combinations of the dims' taps."""
        k = self.k
        at = k.add(k.splat(k.mul(sample, self.of_grid)), k.mul(k.add(self.lanes, k.splat(first)), k.splat(self.of_place)))
        coordinates = []
        for _ in self.dims:
            coordinates.append(k.gather(k.addresses(self.grid, at, self.type), self.type, there, self.zero))
            at = k.add(at, k.splat(self.of_axis))
        # The grid names the last dim first.
        return list(itertools.product(*(dim.taps(x, slopes) for dim, x in zip(self.dims, reversed(coordinates), strict=True))))

    def place(self, taps: Sequence[_Tap], there: Value) -> tuple[Value, Value]:
        """Where an element is, counted from its plane's first one, and whether it is there."""
        return reduce(self.k.add, [tap.offset for tap in taps]), reduce(self.k.and_, [*(tap.inside for tap in taps), there])

    def product(self, factors: Sequence[Value | None]) -> Value | None:
        return None if factors[0] is None else reduce(self.k.mul, [f for f in factors if f is not None])

    def finish(self) -> Kernel:
        return Kernel(self.k.name, module([self.k]))


@cache
def _kernel(variant: _Variant) -> Kernel:
    w = _Kernel("grid_sample", variant)
    k, type = w.k, w.type
    sample, first, last = w.share()
    image, result = w.image(w.input, sample), w.values(w.out, sample)
    with k.loop(first, last, LANES) as block:
        there = k.first_lanes(k.sub(last, block.index))
        taps = [(*w.place(taps, there), w.product([tap.weight for tap in taps])) for taps in w.taps(sample, block.index, there)]
        with k.loop(0, w.channels) as channel:
            plane = k.address(image, k.mul(channel.index, w.of_channel), type)
            parts = [(k.gather(k.addresses(plane, offset, type), type, inside, w.zero), weight) for offset, inside, weight in taps]
            found = reduce(k.add, [part if weight is None else k.mul(part, weight) for part, weight in parts])
            k.masked_store(found, k.address(result, k.add(k.mul(channel.index, w.places), block.index), type), there)
    return w.finish()


@cache
def _grid_kernel(variant: _Variant) -> Kernel:
    """The gradient of the places, added up over the channels."""
    w = _Kernel("grid_sample_places", variant)
    k, type, n = w.k, w.type, variant.dims
    sample, first, last = w.share()
    image, g = w.image(w.input, sample), w.values(w.word("ptr"), sample)
    result = k.address(w.out, k.mul(sample, k.mul(w.places, k.constant(n, "i64"))), type)
    with k.loop(first, last, LANES) as block:
        there = k.first_lanes(k.sub(last, block.index))
        places, slopes = [], []
        for taps in w.taps(sample, block.index, there, slopes=True) if variant.mode != "nearest" else []:
            places.append(w.place(taps, there))
            slopes.append([w.product([tap.slope if d == e else tap.weight for e, tap in enumerate(taps)]) for d in range(n)])
        with k.loop(0, w.channels if places else 0, carried=[w.zero] * n) as channel:
            plane = k.address(image, k.mul(channel.index, w.of_channel), type)
            here = k.masked_load(k.address(g, k.add(k.mul(channel.index, w.places), block.index), type), type, there, w.zero)
            totals: list[Value | None] = [None] * n
            for (offset, inside), each in zip(places, slopes, strict=True):
                value = k.gather(k.addresses(plane, offset, type), type, inside, w.zero)
                for d, slope in enumerate(each):
                    assert slope is not None
                    before = totals[d]
                    totals[d] = k.mul(value, slope) if before is None else k.fma(value, slope, before)
            channel.next = [k.fma(here, total, before) if total is not None else before for total, before in zip(totals, channel.carried, strict=True)]
        at = k.mul(k.add(w.lanes, k.splat(block.index)), k.constant(n, "i64", LANES))
        for d, total in enumerate(reversed(channel.results)):
            k.scatter(total, k.addresses(result, k.add(at, k.constant(d, "i64", LANES)), type), there)
    return w.finish()


@cache
def _input_kernel(variant: _Variant) -> Kernel:
    """The gradient of some channels of an image: in order of the places, of 16 of them tap by tap. Instead of the image there is the gradient of the values."""
    w = _Kernel("grid_sample_image", variant)
    k, type = w.k, w.type
    groups, each, workspace = w.word(), w.word(), w.word("ptr")
    chunk, room = k.parameters["chunk"], _LISTED * variant.taps
    sample = k.binary("sdiv", chunk, groups)
    begin = k.mul(k.sub(chunk, k.mul(sample, groups)), each)
    end = k.intrinsic("smin", k.add(begin, each), w.channels)
    g, result = w.values(w.input, sample), w.image(w.out, sample)
    with k.loop(k.mul(begin, w.of_channel), k.mul(end, w.of_channel), LANES) as at:
        mask = k.first_lanes(k.sub(k.mul(end, w.of_channel), at.index))
        k.masked_store(w.zero, k.address(result, at.index, type), mask)
    listed = k.address(workspace, k.mul(chunk, k.constant(room * _ENTRY_WORDS, "i64")), "i64")
    offsets, numbers, weights = (k.address(listed, n * room, "i64") for n in range(_ENTRY_WORDS))
    with k.loop(0, w.places, _LISTED) as part:
        last = k.intrinsic("smin", k.add(part.index, k.constant(_LISTED, "i64")), w.places)
        with k.loop(part.index, last, LANES, carried=[k.constant(0, "i64")]) as block:
            there = k.first_lanes(k.sub(last, block.index))
            count = block.carried[0]
            for taps in w.taps(sample, block.index, there):
                offset, inside = w.place(taps, there)
                weight = w.product([tap.weight for tap in taps]) or k.like(1, w.zero)
                for value, target in ((offset, offsets), (k.add(w.lanes, k.splat(block.index)), numbers), (weight, weights)):
                    k.compressed_store(value, k.address(target, count, value.type), inside)
                count = k.add(count, k.count(inside))
            block.next = [count]
        with k.loop(begin, end) as channel:
            plane, line = k.address(result, k.mul(channel.index, w.of_channel), type), k.address(g, k.mul(channel.index, w.places), type)
            with k.loop(0, block.results[0]) as entry:
                offset = k.convert(k.load(k.address(offsets, entry.index, variant.offset), variant.offset), "i64")
                here = k.load(k.address(line, k.load(k.address(numbers, entry.index, "i64"), "i64"), type), type)
                target = k.address(plane, offset, type)
                k.store(k.fma(here, k.load(k.address(weights, entry.index, type), type), k.load(target, type)), target)
    return w.finish()
