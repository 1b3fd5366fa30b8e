"""Sums over places, divided into slices of the places: the gradient of a weight that is small next to the images. See conv_sum_kernel.py.

How many slices there are, and what they bring near at a time, depends on the shapes alone: it makes the order of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..shape import Shape, as_one_dim, contiguous_strides
from .claims import claims
from .contraction import CHUNK_WORK, MOST_CHUNKS, MOST_ROWS, Calls, Image, Packing, Room, bring_words, tile_rows
from .contraction_kernel import TOGETHER, Variant
from .conv_copies import Source
from .conv_sum_kernel import MergeWord, Sum, Word, merged_kernel, summed_kernel
from .elements import bytes_of, memory_type
from .gemm_kernel import shares
from .kernel import Call, Pointer

#: k of a block: a panel of as many rows stays in the first-level cache.
_BLOCK = 256
#: Elements of what a stage brings near and packs, about: half of the second-level cache.
_NEAR = 96 << 10
#: Bytes of all slices' sums at most, and k of each at least.
_TOTAL_BYTES = 3 << 19
_SLICE = 768


def slices_of(c: Calls, groups: int, rows: int, columns: int, depth: int) -> int:
    """How many slices make a sum of so many k; 0 if there would be too few, or their sums too large."""
    width = c.panel_width(columns)
    bytes = groups * (rows + MOST_ROWS) * -(-columns // width) * width * c.size
    work = groups * rows * columns * depth
    wanted = max(1, min(work // CHUNK_WORK, MOST_CHUNKS) // groups)
    most = min(_TOTAL_BYTES // bytes, max(depth // _SLICE, 1))
    found = min(wanted, 1 << max(most, 1).bit_length() - 1)
    return found if bytes <= _TOTAL_BYTES and (found == wanted or found >= 4) else 0


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What a sum depends on. Its rows are channels of the input and places in the window, its columns channels of the output."""

    groups: int
    samples: int
    channels: int
    columns: int
    size: Shape  # of the input
    places: Shape  # of the output
    window: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    @property
    def rows(self) -> int:
        return self.channels * math.prod(self.window)

    def spans(self, places: Sequence[int]) -> list[int]:
        """How much of the input so many places of the output see, dim by dim."""
        return [(n - 1) * s + (w - 1) * d + 1 for n, s, w, d in zip(places, self.stride, self.window, self.dilation, strict=True)]

    @property
    def reaches_beyond(self) -> bool:
        """Whether windows see places around the input."""
        seen = zip(self.spans(self.places), self.padding, self.size, strict=True)
        return any(self.padding) or any(span - padding > size for span, padding, size in seen)


@dataclass(frozen=True, slots=True)
class _Stages:
    """What a slice brings near and packs at a time: some samples, or some planes or lines of one."""

    dim: int  # 0 samples, 2 planes, 3 lines
    each: int  # how many of these
    units: int  # and how many there are, of a sample if they are parts of it
    unit: int  # k of each of these
    samples: int

    @staticmethod
    def of(g: _Shapes, slices: int) -> _Stages:
        sample = g.channels * math.prod(g.spans(g.places)) + g.columns * math.prod(g.places)
        if sample <= _NEAR and g.samples >= slices:
            each = max(1, min(_NEAR // sample, -(-g.samples // slices)))
            return _Stages(0, each, g.samples, math.prod(g.places), g.samples)
        along = 0 if g.places[0] > 1 else 1
        units, unit = g.places[along], math.prod(g.places[along + 1 :])
        # A whole number of blocks of k, as far as that goes.
        most = max(1, _NEAR * units // sample, -(-_BLOCK // 2 // unit))
        most = min(most, -(-units * g.samples // slices))
        return _Stages(along + 2, -(-units // -(-units // most)), units, unit, g.samples)

    @property
    def blocks(self) -> int:
        return -(-self.units // self.each)

    @property
    def count(self) -> int:
        """Of all samples."""
        return self.blocks * (self.samples if self.dim else 1)

    @property
    def depth(self) -> int:
        return self.each * self.unit

    @property
    def along(self) -> int:
        """Which one of samples and spatial dims is divided."""
        return self.dim - 1 if self.dim else 0

    def counts(self, places: Shape) -> list[int]:
        """Samples and places of the output in a stage."""
        found = [1, *places]
        found[self.along] = self.each
        return found


class _Left(NamedTuple):
    """The image as a stage reads it: in place, or brought near."""

    source: Source | None  # how it lies, if it is brought
    spans: list[int]  # what a stage sees
    stride: Shape  # where it is read
    elements: int  # brought

    @staticmethod
    def of(c: Calls, g: _Shapes, stages: _Stages, input: Image) -> _Left:
        samples, *places = stages.counts(g.places)
        spans = g.spans(places)
        lying = c.lying(input._replace(shape=(g.samples, g.channels, *g.size)))
        if lying == "lines" and input.kind == c.packed and not g.reaches_beyond:
            return _Left(None, spans, input.stride, 0)
        return _Left(lying, spans, *c.near((samples, g.channels, *spans)))


class _Right(NamedTuple):
    """The gradient as a stage packs it."""

    grad: Image
    packing: Packing
    in_o: bool  # whether samples, planes or lines are counted along o, otherwise along j: the last stage may have fewer

    @staticmethod
    def of(c: Calls, g: _Shapes, stages: _Stages, given: Image) -> _Right:
        """Of the gradient as it is in memory."""

        def packing_of(grad: Image) -> Packing | None:
            return Packing.of(list(zip(counts, grad.places, strict=True)), grad.stride[1], c.panel_width(g.columns), False, c.pairs)

        counts = stages.counts(g.places)
        grad = given.paired(0) if c.pairs else given
        packing = packing_of(grad)
        if packing is not None:
            if packing.o == 1:
                return _Right(grad, packing, False)
            if packing.o % stages.each == 0 and packing.from_o * (packing.o // stages.each) == grad.places[stages.along]:
                return _Right(grad, packing, True)
        # Any other layout: made dense first.
        dense = given._replace(pointer=c.copied(given.kind, given.pointer, given.shape, given.stride), stride=contiguous_strides(given.shape))
        grad = dense.paired(0) if c.pairs else dense
        packing = packing_of(grad)
        assert packing is not None
        return _Right(grad, packing, packing.o > 1)


def sliced(c: Calls, groups: int, slices: int, input: Image, grad: Image, out: Image, strides: Sequence[Shape]) -> None:
    """The gradient of a weight; `strides` are the convolution's stride, padding and dilation."""
    stride, padding, dilation = strides
    if c.pairs:
        input = input.paired(0)
    g = _Shapes(groups, input.shape[0], out.shape[1], grad.shape[1] // groups, input.shape[2:], grad.shape[2:], out.shape[2:], stride, padding, dilation)
    call = _Summing(c, g, slices, input, grad)
    call.lower()
    _merge(c, call.total, groups, call.slices, (g.rows, g.columns, call.width, call.total_step), out, call.row_steps)


class _Summing:
    """The call that makes the slices' sums."""

    def __init__(self, c: Calls, g: _Shapes, slices: int, input: Image, grad: Image) -> None:
        self.c, self.g, self.input = c, g, input
        self.stages = _Stages.of(g, slices)
        self.slices = min(slices, self.stages.count)
        self.left, self.right = _Left.of(c, g, self.stages, input), _Right.of(c, g, self.stages, grad)
        self.panel = c.panel_width(g.columns)
        self.panels = -(-g.columns // self.panel)
        self.width = self.panels * self.panel
        self.total_step = (g.rows + MOST_ROWS) * self.width
        self.total = c.room(g.groups * self.slices * self.total_step * c.size)
        self.row_steps = [n * self.width for n in contiguous_strides((g.channels, *g.window))]
        self.room = Room()  # of a chunk

    def lower(self) -> None:
        c, g = self.c, self.g
        vectors = self.panel // c.lanes
        tail = -(-(g.columns - (self.panels - 1) * self.panel) // c.lanes) % vectors
        variant = Variant(c.kind, tile_rows(g.rows, vectors), vectors, tail, False, "sum", pairs=c.pairs)
        words: list[int | Pointer] = [0] * Word.END
        for word, value in {**self._operands(variant.rows), **self._blocks(), **self._brought(), **self._packed()}.items():
            words[word] = value
        jobs = g.groups * self.slices
        chunks = min(jobs, MOST_CHUNKS)
        words[Word.WORKSPACE], words[Word.WORKSPACE_BYTES] = c.room(self.room.used * chunks), self.room.used
        words[Word.JOBS : Word.STAGES] = claims(jobs, chunks)
        words[Word.STAGES : Word.STAGES + 2] = shares(self.stages.count, self.slices)
        words[Word.ROW_DIMS : Word.K_DIMS] = self._row_dims()
        words[Word.K_DIMS : Word.BRING] = self._k_dims()
        words[Word.BRING : Word.END] = bring_words(self.input, self.left.spans, self.left.stride, g.padding[2], 0)
        kernel = summed_kernel(Sum(variant, self.input.kind, self.right.grad.kind, self.left.source, self.right.packing.columns))
        c.calls.append(Call(kernel, tuple(words), chunks))

    def _operands(self, tile: int) -> dict[int, int | Pointer]:
        c, g, room, grad = self.c, self.g, self.room, self.right.grad
        depth = self.stages.depth
        room.take(16 * depth + 8 * TOGETHER)  # the table of k
        row_bytes = 8 * (-(-g.rows // tile) * tile + 3 * TOGETHER)
        return {
            Word.A: self.input.pointer,
            Word.GRAD: grad.pointer,
            Word.TOTAL: self.total,
            Word.ROWS_AT: room.take(2 * row_bytes),
            Word.ROWS_BYTES: row_bytes,
            Word.NEAR: room.take(self.left.elements * c.size),
            Word.PANEL: room.take(self.panels * depth * self.panel * c.size),
            Word.COLUMNS: g.columns,
            Word.PANELS: self.panels,
            Word.PANEL_STEP: depth * self.panel,
            Word.ROWS: g.rows,
            Word.GROUP_A: g.channels * self.input.stride[1],
            Word.GROUP_GRAD: g.columns * grad.stride[1],
            Word.TOTAL_STEP: self.total_step,
            Word.SLICES: self.slices,
        }

    def _blocks(self) -> dict[int, int | Pointer]:
        """How stages follow each other."""
        stages, grad = self.stages, self.right.grad
        # A stage of lines or planes that are brought near says itself where it begins.
        in_place = self.left.source is None or not stages.dim
        move = self.g.stride[stages.dim - 2] if stages.dim else 1
        return {
            Word.BLOCKS: stages.blocks,
            Word.BLOCK: stages.each,
            Word.UNITS: stages.units,
            Word.UNIT: stages.unit,
            Word.OUTER_A: self.input.stride[0] if stages.dim else 0,
            Word.OUTER_GRAD: grad.stride[0] if stages.dim else 0,
            Word.BLOCK_A: stages.each * move * self.input.stride[stages.dim] if in_place else 0,
            Word.BLOCK_GRAD: stages.each * grad.places[stages.along],
            Word.BLOCK_SAMPLES: 0 if stages.dim else stages.each,
            Word.K_BLOCK: _BLOCK,
        }

    def _brought(self) -> dict[int, int | Pointer]:
        g, stages = self.g, self.stages
        return {
            Word.SAMPLES: 1 << 40 if stages.dim else g.samples,
            Word.SAMPLES_EACH: 1 if stages.dim else stages.each,
            Word.CHANNELS: g.channels,
            Word.DEPTH: -g.padding[0],
            Word.DEPTH_STEP: stages.each * g.stride[0] if stages.dim == 2 else 0,
            Word.HEIGHT: -g.padding[1],
            Word.HEIGHT_STEP: stages.each * g.stride[1] if stages.dim == 3 else 0,
        }

    def _packed(self) -> dict[int, int | Pointer]:
        p, in_o, each = self.right.packing, self.right.in_o, self.stages.each
        return {
            Word.PACK_O: 0 if in_o else p.o,
            Word.PACK_O_UNIT: p.o // each if in_o else 0,
            Word.PACK_FROM_O: p.from_o,
            Word.PACK_TO_O: p.to_o,
            Word.PACK_J: p.j if in_o else 0,
            Word.PACK_J_UNIT: 0 if in_o else p.j // each,
            Word.PACK_FROM_COLUMN: self.right.grad.stride[1],
            Word.PACK_FROM_J: p.from_j,
            Word.PACK_TO_J: p.to_j,
            Word.PACK_SECOND: self.right.grad.second,
            Word.PACK_FULL: self.right.grad.full,
            Word.PACK_FULL_O: p.counts[0],
            Word.PACK_FULL_J: p.counts[1],
        }

    def _row_dims(self) -> list[int]:
        """Extents, strides of the image, strides of the sums: channels, and places in the window."""
        g, (_, channel, *spatial) = self.g, self.left.stride
        return [g.channels, *g.window, channel, *(d * s for d, s in zip(g.dilation, spatial, strict=True)), *self.row_steps]

    def _k_dims(self) -> list[int]:
        """Extents, strides of the image, strides of a panel: samples, and places of the output."""
        g, (sample, _, *spatial) = self.g, self.left.stride
        counts = self.stages.counts(g.places)
        steps = [n * self.panel for n in contiguous_strides(counts)]
        return [*counts, sample, *(n * s for n, s in zip(g.stride, spatial, strict=True)), *steps]


def _merge(c: Calls, total: Pointer, groups: int, slices: int, sizes: tuple[int, int, int, int], out: Image, row_steps: Sequence[int]) -> None:
    """The slices' sums to the weight."""
    rows, columns, width, total_step = sizes
    dense = as_one_dim(out.shape[1:], out.stride[1:]) in ((rows, 1), (1, 0))
    target, group_step, column_step = out.pointer, columns * out.stride[0], out.stride[0]
    if not dense:
        target, group_step, column_step = c.room(math.prod(out.shape) * bytes_of(c.kind)), columns * rows, rows
    jobs = groups * -(-rows // c.lanes)
    chunks = max(1, min(groups * slices * rows * width // (4 * 16384), jobs, MOST_CHUNKS))
    words = [0] * MergeWord.END
    words[: MergeWord.JOBS] = [total, target, rows, width, columns, slices, total_step, group_step, column_step]  # type: ignore[list-item]
    words[MergeWord.JOBS :] = shares(jobs, chunks)
    c.calls.append(Call(merged_kernel(c.type, c.lanes, c.kind), tuple(words), chunks))
    if not dense:
        c.copy(out.shape, (target, contiguous_strides(out.shape)), (out.pointer, out.stride), memory_type(c.kind), memory_type(c.kind))
