"""Images read at given places as native code: 16 places at a time, whose corners and weights serve all channels.

The operations are those of the op's formula (ops/grid_sample.py) in its order, so that the bits are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ..shape import as_one_dim
from . import exact
from .copied import as_contiguous
from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 14
_CHUNKS_AT_MOST = 16
#: Keys' cubic convolution.
_A = -0.75


def sample(plan: Plan) -> Lowered | None:
    """Operands: images (N, C, H, W), places (N, H', W', 2); the values there (N, C, H', W')."""
    input, grid = plan.operands
    if input.dtype not in FLOATING:
        return None
    along = as_one_dim(grid.shape[1:3], grid.stride[1:3])
    if along is None:
        return as_contiguous(plan, sample)
    samples, channels, *size = input.shape
    places = along[0]
    work = max(1, samples * places * (4 + channels) // _CHUNK_WORK)
    pieces = max(1, min(_CHUNKS_AT_MOST, work // samples, places // LANES))
    piece = (places // pieces // LANES + 1) * LANES
    pieces = -(-places // piece)
    words = (
        Pointer(0), Pointer(1), Pointer(2),
        channels, *size, *input.stride, places, pieces, piece, grid.stride[0], along[1], grid.stride[3],
    )  # fmt: skip
    variant = _Variant(MEMORY[input.dtype], plan.params["mode"], plan.params["padding_mode"], bool(plan.params["align_corners"]))
    return Lowered((Call(_kernel(variant), words, samples * pieces),))


class _Variant(NamedTuple):
    type: str
    mode: str
    padding: str
    corners: bool  # whether the extremes are the centres of the pixels there


class _Tap(NamedTuple):
    """Along one dim: where in the image, counted in elements of memory, whether that is inside, and the weight."""

    offset: Value
    inside: Value
    weight: Value | None


class _Dim:
    """What is computed for one dim of the image."""

    def __init__(self, k: Builder, variant: _Variant, size: Value, stride: Value) -> None:
        self.k, self.variant = k, variant
        self.stride = k.splat(stride)
        self.size = k.splat(k.convert(size, variant.type))
        self.last = k.splat(k.convert(k.sub(size, k.constant(1, "i64")), variant.type))

    def number(self, value: float) -> Value:
        return self.k.constant(value, self.variant.type, LANES)

    def taps(self, coordinate: Value) -> list[_Tap]:
        k, mode = self.k, self.variant.mode
        shifted = k.add(coordinate, self.number(1))
        if self.variant.corners:
            position = k.mul(k.div(shifted, self.number(2)), self.last)
        else:
            position = k.div(k.sub(k.mul(shifted, self.size), self.number(1)), self.number(2))
        if mode == "nearest":
            return [self.tap(k.intrinsic("rint", self.padded(position)), None)]
        if mode == "bilinear":
            position = self.padded(position)
        floor = k.intrinsic("floor", position)
        fraction = k.sub(position, floor)
        if mode == "bilinear":
            weights = [k.sub(self.number(1), fraction), fraction]
            return [self.tap(k.add(floor, self.number(n)), weight) for n, weight in enumerate(weights)]
        places = [self.padded(k.add(floor, self.number(n))) for n in (-1, 0, 1, 2)]
        return [self.tap(place, weight) for place, weight in zip(places, self.cubic_weights(fraction), strict=True)]

    def tap(self, place: Value, weight: Value | None) -> _Tap:
        k = self.k
        inside = k.and_(k.compare("oge", place, self.number(0)), k.compare("ole", place, self.last))
        at = k.convert(k.select(inside, place, self.number(0)), "i64")
        return _Tap(k.mul(at, self.stride), inside, weight)

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
        low, span = (self.number(0), self.last) if self.variant.corners else (self.number(-0.5), self.size)
        distance = k.abs(k.sub(position, low))
        rest = exact.fmod(k, distance, span)
        flips = k.intrinsic("floor", k.div(distance, span))
        odd = k.compare("une", k.mul(k.intrinsic("floor", k.mul(flips, self.number(0.5))), self.number(2)), flips)
        folded = k.select(odd, k.add(k.sub(span, rest), low), k.add(rest, low))
        # An image of one pixel between the centres of its extremes: nothing to fold.
        return k.select(k.compare("oeq", span, self.number(0)), k.mul(position, self.number(0)), folded)


@cache
def _kernel(variant: _Variant) -> Kernel:
    k = Builder(f"grid_sample_{variant.mode}", [("ptr", "args"), ("i64", "chunk")])
    type = variant.type
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(16)]
    input, grid, out, channels, height, width, of_sample, of_channel, of_row, of_column, places, pieces, piece, of_grid, of_place, of_axis = words
    sample = k.binary("sdiv", k.parameters["chunk"], pieces)
    first = k.mul(k.sub(k.parameters["chunk"], k.mul(sample, pieces)), piece)
    last = k.intrinsic("smin", k.add(first, piece), places)
    rows, columns = _Dim(k, variant, height, of_row), _Dim(k, variant, width, of_column)
    image = k.address(input, k.mul(sample, of_sample), type)
    result = k.address(out, k.mul(sample, k.mul(channels, places)), type)
    zero = k.constant(0, type, LANES)
    lanes = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
    with k.loop(first, last, LANES) as block:
        there = k.first_lanes(k.sub(last, block.index))
        at = k.add(k.splat(k.mul(sample, of_grid)), k.mul(k.add(lanes, k.splat(block.index)), k.splat(of_place)))
        x = k.gather(k.addresses(grid, at, type), type, there, zero)
        y = k.gather(k.addresses(grid, k.add(at, k.splat(of_axis)), type), type, there, zero)
        taps = [_both(k, row, column, there) for row, column in itertools.product(rows.taps(y), columns.taps(x))]
        with k.loop(0, channels) as channel:
            plane = k.address(image, k.mul(channel.index, of_channel), type)
            found = _total(k, plane, taps, zero)
            k.masked_store(found, k.address(result, k.add(k.mul(channel.index, places), block.index), type), there)
    return Kernel(k.name, module([k]))


def _both(k: Builder, row: _Tap, column: _Tap, there: Value) -> _Tap:
    weight = None if row.weight is None or column.weight is None else k.mul(row.weight, column.weight)
    return _Tap(k.add(row.offset, column.offset), k.and_(k.and_(row.inside, column.inside), there), weight)


def _total(k: Builder, plane: Value, taps: Sequence[_Tap], zero: Value) -> Value:
    total: Value | None = None
    for tap in taps:
        part = k.gather(k.addresses(plane, tap.offset, zero.type), zero.type, tap.inside, zero)
        if tap.weight is not None:
            part = k.mul(part, tap.weight)
        total = part if total is None else k.add(total, part)
    assert total is not None
    return total
