"""Places that gather: the output of a convolution and the gradient of its input, divided into jobs. See conv_gather_kernel.py.

Which samples or lines make a job, and what is brought near, is chosen by an estimate of cycles; the order in which an element
of the result is summed does not depend on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..shape import Layout, Shape, as_one_dim, contiguous_strides
from .contraction import (
    ALIGNMENT,
    CHUNK_WORK,
    MOST_CHUNKS,
    Calls,
    Image,
    Packing,
    Panels,
    bring_words,
    tile_rows,
    tile_vectors,
)
from .contraction_kernel import DIMS, TOGETHER, Store, Variant
from .conv_copies import Source
from .conv_gather_kernel import Gather, PartWord, Word, gather_kernel
from .gemm_kernel import shares
from .kernel import Call, Pointer

#: The part of the products that must be left if places at the edges, which see fewer taps, are to be computed apart.
_WORTH_SPLITTING = 0.97
#: Bytes of a weight that may be read for each of these parts, unless a panel stays near.
_READ_OFTEN = 1 << 19
#: Bytes of the second-level cache that what is near may take, and rows of a job at most.
_NEAR_BYTES = 256 << 10
_MOST_ROWS = 4096
#: Threads among which jobs should be shared out evenly, if there is so much work.
_THREADS = 2
#: k in the time that a tile takes for its results.
_RESULTS = 10
#: Parts that are computed one by one at most.
_MOST_PARTS = 128


class Weight(NamedTuple):
    """A weight as the right side: `channels` are summed over."""

    pointer: Pointer
    groups: int
    channels: int
    columns: int
    group_step: int
    column_step: int
    channel_step: int
    steps: Shape
    window: Shape
    backwards: bool

    @property
    def k(self) -> list[tuple[int, int]]:
        return [(self.channels, self.channel_step), *zip(self.window, self.steps, strict=True)]

    @property
    def depth(self) -> int:
        return self.channels * math.prod(self.window)


class Part(NamedTuple):
    """Places ``first + i * stride`` of a dim of the result, which all see the same taps of the window.

    Tap j is at ``b_first + j * b_step`` of the packed window, and at place ``start + i * step + j * tap_step`` of the source.
    """

    first: int
    stride: int
    places: int
    start: int
    step: int
    taps: int
    tap_step: int
    b_first: int
    b_step: int

    def seen(self, size: int) -> list[Part]:
        """Parts that see but taps within the source, if that saves work; otherwise the source needs zeros around it."""

        def within(i: int) -> tuple[int, int]:
            start = self.start + i * self.step
            first = min(max(0, -(start // self.tap_step)), self.taps)
            return first, max(first, min(self.taps, (size - 1 - start) // self.tap_step + 1))

        if not self.taps or (self.start >= 0 and self.last < size):
            return [self]
        found = []
        for (first, stop), same in itertools.groupby(range(self.places), within):
            i, *rest = same
            start = self.start + i * self.step + first * self.tap_step
            found.append(self._replace(first=self.first + i * self.stride, places=1 + len(rest), start=start, taps=stop - first, b_first=self.b_first + first * self.b_step))
        used = sum(part.places * part.taps for part in found)
        return found if used < _WORTH_SPLITTING * self.places * self.taps else [self]

    @property
    def last(self) -> int:
        """The last place of the source."""
        return self.start + (self.places - 1) * self.step + (self.taps - 1) * self.tap_step


def residues(size: int, window: int, stride: int, padding: int, dilation: int) -> list[Part]:
    """An input's places by their remainder modulo the stride: for each the taps that ever reach it, backwards."""
    found = []
    tap_step = stride // math.gcd(stride, dilation)
    back = tap_step * dilation // stride
    for number in range(min(stride, size)):
        places = -(-(size - number) // stride)
        tap = next((r for r in range(min(window, tap_step)) if (number + padding - r * dilation) % stride == 0), None)
        taps = 0 if tap is None else -(-(window - tap) // tap_step)
        last = (tap or 0) + max(taps - 1, 0) * tap_step
        start = (number + padding - last * dilation) // stride
        found.append(Part(number, stride, places, start, 1, taps, back, window - 1 - last, tap_step))
    return found


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How a result is shared out: along which dim (0 samples, 2 planes, 3 lines), and how many of these a block has, as parts count them."""

    dim: int
    each: int
    count: int

    def limited(self, dim: int, extent: int) -> int:
        return min(extent, self.each) if dim == self.dim or (dim == 0 and self.dim) else extent


class _Gathering:
    """One result, while it is decided how to compute it."""

    def __init__(self, c: Calls, source: Image, b: Weight, out: Image, along: list[list[Part]], bias: Layout | None) -> None:
        self.c, self.source, self.b, self.out, self.bias = c, source, b, out, bias
        self.along = along
        self.parts = list(itertools.product(*along))
        self.low = [max(0, *(-p.start for p in each if p.taps), 0) for each in along]
        self.last = [max(0, *(p.last for p in each if p.taps), 0) for each in along]
        self.dense = all(p.stride == 1 for each in along for p in each)
        self.samples = source.shape[0]
        lying = c.lying(source)
        over = any(self.low) or any(last >= n for last, n in zip(self.last, source.shape[2:], strict=True))
        self.store, self.turned = self._store(along[2][0].step == 1 and (lying == "lines" or over or math.prod(b.window) > 1))
        #: How the image is brought near, if it is: for its borders, or since channels lie far from each other for a window.
        self.lying: Source | None = lying if over or (lying != "lines" and (math.prod(b.window) > 1 or self.store == "places")) else None
        if self.store == "places":
            width = c.columns_width(b.columns)
            self.packed = Panels(b.pointer, b.groups, b.columns, 0, width, width)
        else:
            self.packed = Panels(b.pointer, b.groups, b.columns, 0, c.panel_width(b.columns) // c.lanes, c.panel_width(b.columns))
        work = sum(b.groups * b.channels * b.columns * self.samples * math.prod(p.taps for p in part) * math.prod(p.places for p in part) for part in self.parts)
        self.chunks = max(1, min(work // CHUNK_WORK, MOST_CHUNKS))

    def _store(self, by_places: bool) -> tuple[Store, bool]:
        """How results are written, and whether as rows of channels that are turned afterwards."""
        out, b = self.out, self.b
        part = self.along[2][0]
        if by_places and self.c.prefers_places(part.places, b.columns, b.depth // part.stride, self.dense and out.stride[4] == 1):
            return "places", False
        if out.stride[1] == 1 and out.shape[1] > 1:
            return "rows", False
        if self.dense and self.flat and len(self.along[2]) == 1:
            return "columns", False
        return "rows", True

    @property
    def flat(self) -> bool:
        """Whether the places of the output follow each other."""
        shape, stride = self.out.shape[2:], self.out.stride[2:]
        return as_one_dim(shape, stride) in ((math.prod(shape), 1), (1, 0))

    def extents(self, blocks: _Blocks) -> list[int]:
        """How many places of the image a block sees, dim by dim."""
        found = []
        for dim, (each, low) in enumerate(zip(self.along, self.low, strict=True), 2):
            ends = [p.start + (blocks.limited(dim, p.places) - 1) * p.step + (p.taps - 1) * p.tap_step for p in each if p.taps]
            found.append(low + 1 + max(0, *ends, 0))
        return found

    def rows(self, blocks: _Blocks, part: tuple[Part, ...], each: int | None = None) -> int:
        """Rows of a part in a block."""
        counts = [1 if blocks.dim else self.samples, *(p.places for p in part)]
        if self.store == "places":
            counts[-1] = -(-counts[-1] // self.c.lanes)
        dim = max(blocks.dim - 1, 0)
        counts[dim] = min(counts[dim], blocks.each if each is None else each)
        return math.prod(counts)

    def tile(self, blocks: _Blocks) -> int:
        if self.store == "places":
            return tile_vectors(self.packed.vectors)
        return tile_rows(max(self.rows(blocks, part) for part in self.parts), self.packed.vectors)

    def candidates(self) -> Iterator[_Blocks]:
        for each in sorted({-(-self.samples // n) for n in (*range(1, 17), *(1 << e for e in range(5, 24)), self.samples) if n <= self.samples}):
            yield _Blocks(0, each, -(-self.samples // each))
        dim = 2 if self.along[0][0].places > 1 else 3
        each_part = self.along[dim - 2]
        # Parts may differ by the residue of their places, but not by the taps that they see at an edge.
        if all(p.first < p.stride for p in each_part):
            places = max(p.places for p in each_part)
            for each in sorted({-(-places // n) for n in (*range(2, 17), 24, 32, 64, 128, places) if n <= places}):
                yield _Blocks(dim, each, -(-places // each))

    @property
    def by_panels(self) -> bool:
        """Whether jobs are panels of the weight: the smaller side is prepared beforehand, the larger one where it is used."""
        b = self.b
        larger = b.groups * b.columns * b.depth >= math.prod(self.source.shape)
        return self.store != "places" and larger and self.packed.panels * b.groups >= self.chunks

    def choose(self) -> _Blocks:
        whole = _Blocks(0, self.samples, 1)
        if self.by_panels and max(self.rows(whole, part) for part in self.parts) <= _MOST_ROWS:
            return whole
        return min(self.candidates(), key=self.cycles)

    def cycles(self, blocks: _Blocks) -> float:
        """What some threads take, about: products, what is brought and read, and how even the shares are."""
        b, tile = self.b, self.tile(blocks)
        jobs = b.groups * blocks.count * (self.samples if blocks.dim else 1)
        depth = [b.channels * math.prod(p.taps for p in part) for part in self.parts]
        counts = [-(-self.rows(blocks, part) // tile) for part in self.parts]
        # A tile's results take as long as some more k.
        tiles = sum((n + _RESULTS) * count for n, count in zip(depth, counts, strict=True))
        if self.store == "places":
            products = tiles * tile * b.columns * 0.6
        else:
            products = tiles * tile * self.packed.panels * self.packed.vectors / 2
        near = b.channels * math.prod(self.extents(blocks)) * (1 if blocks.dim else blocks.each)
        panel = b.depth * self.packed.width
        copied = 0.3 * near if self.lying else 0.0
        if self.turned:
            copied += 0.6 * b.columns * sum(self.rows(blocks, part) for part in self.parts)
        read = b.depth * b.columns * self.c.size / 16 + near * self.c.size / 32
        over = 1.0 + 0.06 * min(3.0, max(0.0, (near + panel) * self.c.size / _NEAR_BYTES - 1))
        used = min(self.chunks, jobs)
        uneven = -(-used // _THREADS) * -(-jobs // used) * _THREADS / jobs if self.chunks > 1 else 1.0
        rows = max(self.rows(blocks, part) for part in self.parts)
        many = 1.0 if rows <= _MOST_ROWS else 2.0
        return jobs * (products * over + copied + read + 500 * len(self.parts)) * (1 + 0.5 * (uneven - 1)) * many

    def lower(self) -> None:
        c, b, source = self.c, self.b, self.source
        chunks, panels = self.chunks, self.packed.panels
        blocks, slabs, packing = self.choose(), 1, None
        if self.by_panels:
            if self.lying is not None:
                source = c.brought(source, self.low, self.extents(_Blocks(0, self.samples, 1)), self.lying)
                self.lying = None
            if blocks.count == 1 and not blocks.dim:
                slabs = panels
                packing = Packing.of(b.k, b.column_step, self.packed.width, b.backwards)
        jobs = b.groups * blocks.count * (self.samples if blocks.dim else 1)
        if jobs < chunks:
            slabs = max(slabs, min(panels, -(-chunks // jobs)))
        if packing is not None:
            self.packed = self.packed._replace(panel_step=b.depth * self.packed.width)
        else:
            pack = c.columns if self.store == "places" else c.panels
            self.packed = pack(b.pointer, b.groups, b.columns, b.group_step, b.column_step, b.k, b.backwards)
        self.call(source, blocks, slabs, packing, min(chunks, jobs * slabs))

    def call(self, source: Image, blocks: _Blocks, slabs: int, packing: Packing | None, chunks: int) -> None:
        c, b, packed, size = self.c, self.b, self.packed, self.c.size
        tile = self.tile(blocks)
        first = self.parts[0]
        spread = [1, 1, *(p.stride for p in first)]  # places of the output for each that parts count
        moves = [1, 1, *(p.step for p in first)]
        # Where rows are written: the output, rows of channels for a block, or for the whole.
        target, finished, turned = self.out, None, False
        if self.turned:
            turned = slabs == 1 and self.flat
            shape = [*self.out.shape]
            if turned:
                shape[0] = 1 if blocks.dim else min(blocks.each, self.samples)
                if blocks.dim:
                    shape[blocks.dim] = min(blocks.each * spread[blocks.dim], shape[blocks.dim])
                channels = -(-b.columns // c.lanes) * c.lanes
                shape[1] = channels
            rows = contiguous_strides((shape[0], *shape[2:], shape[1]))
            target = Image(Pointer(0), tuple(shape), (rows[0], 1, *rows[1:4]))
            if not turned:
                finished = target = Image(c.room(math.prod(shape) * size), tuple(shape), target.stride)
        # The left side: brought near, or in place.
        samples_each = 1 if blocks.dim else min(blocks.each, self.samples)
        extents = self.extents(blocks)
        seen, near = source.stride, 0
        origin = [0, 0, 0]
        if self.lying is not None:
            seen, near = c.near((samples_each, b.channels, *extents))
            origin = self.low
        variant = Variant(c.type, tile, packed.vectors, self._tail(), self.bias is not None, self.store, self.store == "places" and target.stride[4] * spread[4] != 1, self.lying is not None)
        # The room of a chunk.
        used = 0

        def room(bytes: int) -> int:
            nonlocal used
            used += -(-bytes // ALIGNMENT) * ALIGNMENT
            return used - -(-bytes // ALIGNMENT) * ALIGNMENT

        words: list[int | Pointer] = [0] * Word.PART
        records: list[int | Pointer] = []
        b_channel, *b_steps = packed.steps(b.window)
        spatial = seen[2:]
        for part in self.parts:
            counts = [blocks.limited(0, self.samples), *(blocks.limited(dim, p.places) for dim, p in enumerate(part, 2))]
            if blocks.dim:
                counts[0] = 1
            depth = b.channels * math.prod(p.taps for p in part)
            most = -(-self.rows(blocks, part) // tile) * tile
            a = sum((p.start + o) * s for p, o, s in zip(part, origin, spatial, strict=True) if p.taps)
            out_at = sum(p.first * s for p, s in zip(part, target.stride[2:], strict=True))
            row_dims = [counts, [seen[0], *(p.step * s for p, s in zip(part, spatial, strict=True))], [target.stride[0], *(p.stride * s for p, s in zip(part, target.stride[2:], strict=True))]]
            length = counts[-1]
            if self.store == "places":
                row_dims[0][-1] = -(-length // c.lanes)
                row_dims[1][-1] *= c.lanes
                row_dims[2][-1] *= c.lanes
            k_dims = [
                [b.channels, *(p.taps for p in part)],
                [seen[1], *(p.tap_step * s for p, s in zip(part, spatial, strict=True))],
                [b_channel, *(p.b_step * s for p, s in zip(part, b_steps, strict=True))],
            ]
            unit = self.rows(blocks, part, 1)
            units = self.samples if not blocks.dim else part[blocks.dim - 2].places
            rows_bytes = 8 * (most + 3 * TOGETHER)
            records += [
                depth, a, sum(p.b_first * s for p, s in zip(part, b_steps, strict=True)), out_at,
                room(16 * depth + 8 * TOGETHER), room(3 * rows_bytes), rows_bytes, unit, units, length,
            ]  # fmt: skip
            records += [n for dims in (*row_dims, *k_dims) for n in dims]
        assert len(records) == PartWord.END * len(self.parts) and len(row_dims[0]) == DIMS
        settings: dict[int, int | Pointer] = {
            Word.A: source.pointer,
            Word.B: b.pointer if packing else packed.pointer,
            Word.BIAS: 0 if self.bias is None else c.vector(Pointer(2), self.bias.shape[0], self.bias.stride[0]),
            Word.OUT: (finished or self.out).pointer,
            Word.SCRATCH: room(variant.scratch * size if self.store == "columns" else 0),
            Word.NEAR: room((near + c.lanes) * size),
            Word.PANEL: room(b.depth * packed.width * size if packing else 0),
            Word.STAND_IN: room(math.prod(target.shape) * size if turned else 0),
            Word.COLUMNS: b.columns,
            Word.COLUMN_STEP: target.stride[1],
            Word.PLACE_STEP: target.stride[4] * spread[4],
            Word.PANEL_STEP: packed.panel_step,
            Word.GROUP_A: b.channels * source.stride[1],
            Word.GROUP_B: b.group_step if packing else packed.panels * packed.panel_step,
            Word.GROUP_BIAS: b.columns,
            Word.GROUP_OUT: b.columns * (finished or self.out).stride[1],
            Word.OUTERS: self.samples if blocks.dim else 1,
            Word.OUTER_A: source.stride[0],
            Word.OUTER_OUT: (finished or self.out).stride[0],
            Word.BLOCKS: blocks.count,
            Word.BLOCK: blocks.each,
            Word.BLOCK_OUT: blocks.each * spread[blocks.dim] * (finished or self.out).stride[blocks.dim],
            Word.BLOCK_A: blocks.each * moves[blocks.dim] * source.stride[blocks.dim] if self.lying is None or not blocks.dim else 0,
            Word.SLABS: slabs,
            Word.PARTS: len(self.parts),
            Word.SAMPLES: self.samples if not blocks.dim else 1 << 40,
            Word.SAMPLES_EACH: samples_each,
            Word.CHANNELS: b.channels,
            Word.DEPTH: -self.low[0],
            Word.DEPTH_STEP: blocks.each * moves[2] if blocks.dim == 2 else 0,
            Word.HEIGHT: -self.low[1],
            Word.HEIGHT_STEP: blocks.each * moves[3] if blocks.dim == 3 else 0,
            Word.PLACES: math.prod(self.out.shape[2:]),
            Word.PLACES_EACH: math.prod(target.shape[2:]),
            Word.PLACES_STEP: math.prod(target.shape[2:]) if blocks.dim else 0,
            Word.SAMPLE_OUT: self.out.stride[0],
            Word.ROW_STEP: target.shape[1],
            Word.CHANNEL_OUT: self.out.stride[1],
        }
        if packing:
            p = packing
            words[Word.PACK_O : Word.BRING] = p.o, p.from_o, p.to_o, p.j, b.column_step, p.from_j, p.to_j, p.first
        for word, value in settings.items():
            words[word] = value
        words[Word.WORKSPACE], words[Word.WORKSPACE_BYTES] = c.room(used * chunks), used
        jobs = b.groups * blocks.count * (self.samples if blocks.dim else 1) * slabs
        for word, whole, divided in ((Word.PANELS, packed.panels, slabs), (Word.JOBS, jobs, chunks)):
            words[word : word + 2] = shares(whole, divided)
        words[Word.BRING : Word.PART] = bring_words(source, extents, seen, self.low[2])
        kernel = gather_kernel(Gather(variant, self.lying, turned, "" if packing is None else "columns" if packing.columns else "k"))
        c.calls.append(Call(kernel, (*words, *records), chunks))
        if finished is not None:
            c.finish(self.out, finished)

    def _tail(self) -> int:
        if self.store != "places":
            return self.c.tail(self.packed)
        return (self.b.columns - (self.packed.panels - 1) * self.packed.width) % self.packed.vectors


def gathered(c: Calls, source: Image, b: Weight, out: Image, wholes: list[list[Part]], bias: Layout | None) -> None:
    """A result whose places each gather from a source, part by part."""
    found = [_Gathering(c, source, b, out, wholes, bias)]
    if found[0].by_panels or b.groups * b.columns * b.depth * c.size <= _READ_OFTEN:
        split = [[p for whole in each for p in whole.seen(n)] for each, n in zip(wholes, source.shape[2:], strict=True)]
        for along in ([*split[:2], wholes[2]], split):
            if along != wholes and math.prod(len(each) for each in along) <= _MOST_PARTS:
                found.append(_Gathering(c, source, b, out, along, bias))
    min(found, key=lambda each: each.cycles(each.choose())).lower()
