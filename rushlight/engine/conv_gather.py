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
from .claims import claims
from .contraction import (
    CHUNK_WORK,
    MOST_CHUNKS,
    Calls,
    Image,
    Packing,
    Panels,
    Room,
    Side,
    bring_words,
    tile_rows,
    tile_vectors,
)
from .contraction_kernel import TOGETHER, Store, Variant
from .conv_copies import Source
from .conv_gather_kernel import Gather, PartWord, Word, gather_kernel
from .conv_gather_parts import Part
from .elements import memory_type
from .gemm_kernel import shares
from .kernel import Call, Pointer, Result

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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How a result is shared out: along which dim (0 samples, 2 planes, 3 lines), and how many of these a block has, as parts count them."""

    dim: int
    each: int
    count: int

    def limited(self, dim: int, extent: int) -> int:
        return min(extent, self.each) if dim == self.dim or (dim == 0 and self.dim) else extent

    def samples_each(self, samples: int) -> int:
        """Samples in a block."""
        return 1 if self.dim else min(self.each, samples)


class _Gathering:
    """One result, while it is decided how to compute it."""

    def __init__(self, c: Calls, source: Image, b: Side, out: Image, along: list[list[Part]], bias: Layout | None) -> None:
        self.c, self.source, self.b, self.out, self.bias = c, source, b, out, bias
        self.along = along
        self.parts = list(itertools.product(*along))
        self.low = [max(0, *(-p.start for p in each if p.taps), 0) for each in along]
        self.last = [max(0, *(p.last for p in each if p.taps), 0) for each in along]
        self.dense = all(p.stride == 1 for each in along for p in each)
        self.samples = source.shape[0]
        lying = c.lying(source)
        over = any(self.low) or any(last >= n for last, n in zip(self.last, source.shape[2:], strict=True))
        #: Whether the image cannot be read in place: for its borders, or since it is not yet as it is multiplied.
        apart = over or source.kind != c.packed
        self.store, self.turned = self._store(along[2][0].step == 1 and (lying == "lines" or apart or math.prod(b.window) > 1))
        #: How the image is brought near, if it is: also since channels lie far from each other for a window.
        self.lying: Source | None = lying if apart or (lying != "lines" and (math.prod(b.window) > 1 or self.store == "places")) else None
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
        if by_places and self.c.prefers_places(part.places, b.columns, max(b.depth // part.stride, 1), part.stride * out.stride[4] in (1, 2)):
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

    def jobs(self, blocks: _Blocks) -> int:
        """How many jobs there are, if each has all panels."""
        return self.b.groups * blocks.count * (self.samples if blocks.dim else 1)

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
        jobs = self.jobs(blocks)
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
        if self.turned or self.store == "columns":
            copied += (0.6 if self.turned else 0.15) * b.columns * sum(self.rows(blocks, part) for part in self.parts)
        read = b.depth * b.columns * self.c.size / 16 + near * self.c.size / 32
        over = 1.0 + 0.06 * min(3.0, max(0.0, (near + panel) * self.c.size / _NEAR_BYTES - 1))
        # Threads end apart from each other, the more so the longer a job takes.
        uneven = (-(-jobs // _THREADS) + 0.25) * _THREADS / jobs if self.chunks > 1 else 1.0
        rows = max(self.rows(blocks, part) for part in self.parts)
        many = 1.0 if rows <= _MOST_ROWS else 2.0
        return jobs * (products * over + copied + read + 500 * len(self.parts)) * (1 + 0.5 * (uneven - 1)) * many

    def lower(self) -> None:
        c, b, source = self.c, self.b, self.source
        chunks, panels = self.chunks, self.packed.panels
        blocks, slabs, packing = self.choose(), 1, None
        if self.by_panels:
            if self.lying is not None:
                source = c.brought(source, self.low, self.extents(_Blocks(0, self.samples, 1)), self.lying, 1)
                self.lying = None
            if blocks.count == 1 and not blocks.dim:
                slabs = panels
                packing = b.packing(self.packed.width)
        jobs = self.jobs(blocks)
        if jobs < chunks:
            slabs = max(slabs, min(panels, -(-chunks // jobs)))
        if packing is not None:
            self.packed = self.packed._replace(panel_step=b.depth * self.packed.width)
        else:
            self.packed = (c.columns if self.store == "places" else c.panels)(b)
        _Call(self, source, blocks, slabs, packing).lower()


class _Target(NamedTuple):
    """Where rows are written: to the output, or as rows of channels that are turned afterwards."""

    rows: Image  # of a block, if each is turned at its end
    whole: Image  # of all blocks
    turned: bool  # block by block; otherwise all at once, if `whole` is not the output

    @staticmethod
    def of(g: _Gathering, blocks: _Blocks, slabs: int) -> _Target:
        if not g.turned:
            scattered = g.store == "places" and g.out.stride[4] * g.parts[0][2].stride not in (1, 2)
            if not scattered or g.out.kind == g.c.type:
                return _Target(g.out, g.out, False)
            whole = g.c.planes(g.out.shape)  # of floats, which can be scattered
            return _Target(whole, whole, False)
        # A block is turned by the job that has all of its channels.
        turned = slabs == 1 and g.flat
        samples, channels, *places = g.out.shape
        if turned:
            samples = blocks.samples_each(g.samples)
            channels = -(-g.b.columns // g.c.lanes) * g.c.lanes
            if blocks.dim:
                n = blocks.dim - 2
                places[n] = min(blocks.each * g.parts[0][n].stride, places[n])
        sample, *steps, _ = contiguous_strides((samples, *places, channels))
        shape = (samples, channels, *places)
        pointer = Pointer(0) if turned else g.c.room(math.prod(shape) * g.c.size)
        rows = Image(pointer, shape, (sample, 1, *steps), g.c.type)
        return _Target(rows, g.out if turned else rows, turned)


class _Left(NamedTuple):
    """The image as a job reads it: in place, or brought near."""

    extents: list[int]  # what a block sees
    stride: Shape  # where it is read
    origin: list[int]  # where the first place is, there: behind zeros, if it is brought
    elements: int  # brought

    @staticmethod
    def of(g: _Gathering, blocks: _Blocks, source: Image) -> _Left:
        extents = g.extents(blocks)
        if g.lying is None:
            return _Left(extents, source.stride, [0, 0, 0], 0)
        stride, elements = g.c.near((blocks.samples_each(g.samples), g.b.channels, *extents))
        return _Left(extents, stride, g.low, elements)


class _Call:
    """The call of a result, once it is decided how to compute it."""

    def __init__(self, g: _Gathering, source: Image, blocks: _Blocks, slabs: int, packing: Packing | None) -> None:
        self.g, self.c, self.b, self.packed = g, g.c, g.b, g.packed
        self.source, self.blocks, self.slabs, self.packing = source, blocks, slabs, packing
        self.tile = g.tile(blocks)
        self.target, self.left = _Target.of(g, blocks, slabs), _Left.of(g, blocks, source)
        # What parts have in common: how far their next place is, in the output and in the image.
        self.spread = [1, 1, *(p.stride for p in g.parts[0])]
        self.moves = [1, 1, *(p.step for p in g.parts[0])]
        self.place_step = self.target.rows.stride[4] * self.spread[4]
        self.room = Room()  # of a chunk

    def lower(self) -> None:
        g, c, packing, target = self.g, self.c, self.packing, self.target
        variant = self._variant()
        records = [word for part in g.parts for word in self._record(part)]
        words: list[int | Pointer] = [0] * Word.PART
        for word, value in {**self._operands(variant.scratch), **self._steps(), **self._blocks(), **self._brought(), **self._turned()}.items():
            words[word] = value
        if packing is not None:
            p = packing
            words[Word.PACK_O : Word.BRING] = p.o, p.from_o, p.to_o, p.j, self.b.column_step, p.from_j, p.to_j, p.first, self.b.second, self.b.full, *p.counts
        jobs = g.jobs(self.blocks) * self.slabs
        chunks = min(g.chunks, jobs)
        words[Word.WORKSPACE], words[Word.WORKSPACE_BYTES] = c.room(self.room.used * chunks), self.room.used
        words[Word.PANELS : Word.PANELS + 2] = shares(self.packed.panels, self.slabs)
        words[Word.JOBS : Word.PARTS] = claims(jobs, chunks)
        words[Word.BRING : Word.PART] = bring_words(self.source, self.left.extents, self.left.stride, g.low[2], 1)
        packs = "" if packing is None else "columns" if packing.columns else "k"
        kernel = gather_kernel(Gather(variant, self.source.kind, g.lying, target.turned, packs, self.b.kind if packs else ""))
        c.calls.append(Call(kernel, (*words, *records), chunks, result=self._result() if chunks > 1 else None))
        if target.whole is not g.out:
            c.finish(g.out, target.whole)

    def _variant(self) -> Variant:
        g, packed = self.g, self.packed
        by_places = g.store == "places"
        tail = (self.b.columns - (packed.panels - 1) * packed.width) % packed.vectors if by_places else self.c.tail(packed)
        step = self.place_step if by_places else 1
        unrounded = self.target.rows.kind != self.c.kind
        return Variant(self.c.kind, self.tile, packed.vectors, tail, g.bias is not None, g.store, step if step in (1, 2) else 0, g.lying is not None, self.c.pairs, unrounded)

    def _record(self, part: tuple[Part, ...]) -> list[int]:
        """The words of a part, which takes its room."""
        g, blocks, left, target = self.g, self.blocks, self.left, self.target.rows
        depth = self.b.channels * math.prod(p.taps for p in part)
        rows_bytes = 8 * (-(-g.rows(blocks, part) // self.tile) * self.tile + 3 * TOGETHER)
        _, *b_steps = self.packed.steps(self.b.window)
        record: dict[int, int] = {
            PartWord.COUNT: depth,
            PartWord.A: sum((p.start + o) * s for p, o, s in zip(part, left.origin, left.stride[2:], strict=True) if p.taps),
            PartWord.B: sum(p.b_first * s for p, s in zip(part, b_steps, strict=True)),
            PartWord.OUT: sum(p.first * s for p, s in zip(part, target.stride[2:], strict=True)),
            PartWord.TABLE: self.room.take(16 * depth + 8 * TOGETHER),
            PartWord.ROWS: self.room.take(3 * rows_bytes),
            PartWord.ROWS_BYTES: rows_bytes,
            PartWord.UNIT: g.rows(blocks, part, 1),
            PartWord.UNITS: part[blocks.dim - 2].places if blocks.dim else g.samples,
            PartWord.LENGTH: blocks.limited(4, part[2].places),
        }
        words = [0] * PartWord.END
        for word, value in record.items():
            words[word] = value
        words[PartWord.ROW_DIMS : PartWord.K_DIMS] = self._row_dims(part)
        words[PartWord.K_DIMS : PartWord.END] = self._k_dims(part)
        return words

    def _row_dims(self, part: tuple[Part, ...]) -> list[int]:
        """Extents, strides of the image, strides of where rows are written: samples and places."""
        blocks, (seen, _, *spatial), (sample, _, *steps) = self.blocks, self.left.stride, self.target.rows.stride
        counts = [blocks.samples_each(self.g.samples), *(blocks.limited(dim, p.places) for dim, p in enumerate(part, 2))]
        a = [seen, *(p.step * s for p, s in zip(part, spatial, strict=True))]
        out = [sample, *(p.stride * s for p, s in zip(part, steps, strict=True))]
        if self.g.store == "places":  # a row has a vector of them
            lanes = self.c.lanes
            counts[-1], a[-1], out[-1] = -(-counts[-1] // lanes), a[-1] * lanes, out[-1] * lanes
        return [*counts, *a, *out]

    def _k_dims(self, part: tuple[Part, ...]) -> list[int]:
        """Extents, strides of the image, strides of the packed weight: channels and taps."""
        (_, channel, *spatial), (b_channel, *b_steps) = self.left.stride, self.packed.steps(self.b.window)
        a = [channel, *(p.tap_step * s for p, s in zip(part, spatial, strict=True))]
        b = [b_channel, *(p.b_step * s for p, s in zip(part, b_steps, strict=True))]
        return [self.b.channels, *(p.taps for p in part), *a, *b]

    def _operands(self, scratch: int) -> dict[int, int | Pointer]:
        g, c, b, room, target = self.g, self.c, self.b, self.room, self.target
        return {
            Word.A: self.source.pointer,
            Word.B: b.pointer if self.packing else self.packed.pointer,
            Word.BIAS: 0 if g.bias is None else c.vector(Pointer(2), g.bias.shape[0], g.bias.stride[0]),
            Word.OUT: target.whole.pointer,
            Word.SCRATCH: room.take(scratch * c.size if g.store == "columns" else 0),
            Word.NEAR: room.take((self.left.elements + c.lanes) * c.size),
            Word.PANEL: room.take(b.depth * self.packed.width * c.size if self.packing else 0),
            Word.STAND_IN: room.take(math.prod(target.rows.shape) * c.size if target.turned else 0),
        }

    def _steps(self) -> dict[int, int | Pointer]:
        b, packed, whole = self.b, self.packed, self.target.whole
        return {
            Word.COLUMNS: b.columns,
            Word.COLUMN_STEP: self.target.rows.stride[1],
            Word.PLACE_STEP: self.place_step,
            Word.PANEL_STEP: packed.panel_step,
            Word.GROUP_A: b.channels * self.source.stride[1],
            Word.GROUP_B: b.group_step if self.packing else packed.panels * packed.panel_step,
            Word.GROUP_BIAS: b.columns,
            Word.GROUP_OUT: b.columns * whole.stride[1],
        }

    def _blocks(self) -> dict[int, int | Pointer]:
        """How jobs follow each other."""
        blocks, whole, source = self.blocks, self.target.whole, self.source
        # Planes or lines that are brought near say themselves where they begin.
        in_place = self.g.lying is None or not blocks.dim
        return {
            Word.OUTERS: self.g.samples if blocks.dim else 1,
            Word.OUTER_A: source.stride[0],
            Word.OUTER_OUT: whole.stride[0],
            Word.BLOCKS: blocks.count,
            Word.BLOCK: blocks.each,
            Word.BLOCK_OUT: blocks.each * self.spread[blocks.dim] * whole.stride[blocks.dim],
            Word.BLOCK_SAMPLES: 0 if blocks.dim else blocks.each,
            Word.BLOCK_A: blocks.each * self.moves[blocks.dim] * source.stride[blocks.dim] if in_place else 0,
            Word.SLABS: self.slabs,
            Word.PARTS: len(self.g.parts),
        }

    def _brought(self) -> dict[int, int | Pointer]:
        g, blocks = self.g, self.blocks
        return {
            Word.SAMPLES: 1 << 40 if blocks.dim else g.samples,
            Word.SAMPLES_EACH: blocks.samples_each(g.samples),
            Word.CHANNELS: self.b.channels,
            Word.DEPTH: -g.low[0],
            Word.DEPTH_STEP: blocks.each * self.moves[2] if blocks.dim == 2 else 0,
            Word.HEIGHT: -g.low[1],
            Word.HEIGHT_STEP: blocks.each * self.moves[3] if blocks.dim == 3 else 0,
        }

    @property
    def _channels_last(self) -> bool:
        return self.g.out.stride[1] == 1 and self.g.out.shape[1] > 1

    def _result(self) -> Result | None:
        """The output, sample by sample, as jobs leave it."""
        out = self.g.out
        places = as_one_dim(out.shape[2:], out.stride[2:])
        if self.target.whole is not out or places is None:
            return None
        # Rows of places or of channels, in the order of memory.
        each = ((out.shape[1], out.stride[1]), places)
        rows, columns = each[::-1] if self._channels_last else each
        return Result(out.pointer, memory_type(out.kind), (out.shape[0], rows[0], columns[0]), (out.stride[0], rows[1], columns[1]), Word.TAIL)

    def _turned(self) -> dict[int, int | Pointer]:
        out, rows, blocks = self.g.out, self.target.rows, self.blocks
        places = list(out.shape)
        if blocks.dim:
            places[blocks.dim] = min(blocks.each * self.spread[blocks.dim], places[blocks.dim])
        each = math.prod(places[2:])
        return {
            Word.PLACES: math.prod(out.shape[2:]),
            Word.PLACES_EACH: each,
            Word.PLACES_STEP: each if blocks.dim else 0,
            Word.CHANNELS_LAST: int(self._channels_last),
            Word.SAMPLE_OUT: out.stride[0],
            Word.ROW_STEP: rows.shape[1],
            Word.CHANNEL_OUT: out.stride[1],
        }


def gathered(c: Calls, source: Image, b: Side, out: Image, wholes: list[list[Part]], bias: Layout | None) -> None:
    """A result whose places each gather from a source, part by part."""
    found = [_Gathering(c, source, b, out, wholes, bias)]
    if found[0].by_panels or b.groups * b.columns * b.depth * c.size <= _READ_OFTEN:
        split = [[p for whole in each for p in whole.seen(n)] for each, n in zip(wholes, source.shape[2:], strict=True)]
        for along in ([*split[:2], wholes[2]], split):
            if along != wholes and math.prod(len(each) for each in along) <= _MOST_PARTS:
                found.append(_Gathering(c, source, b, out, along, bias))
    min(found, key=lambda each: each.cycles(each.choose())).lower()
