"""Contractions: which kernels compute one, how it is divided, and how its operands are brought into the order that these read.

    Calls(type)   builds the calls: `padded` images, `panels` or `columns` of a right side, a `contraction`, and `finish`

The left side and the output are images, read and written in place through their strides, whatever they are. See
contraction_kernel.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..shape import Shape, as_one_dim, contiguous_strides, strides_in_order
from . import llvm
from .contraction_kernel import (
    DIMS,
    PaddedWord,
    RelayoutWord,
    Store,
    Variant,
    Word,
    contraction_kernel,
    padded_kernel,
    relayout_kernel,
)
from .emit import BITS
from .gemm_kernel import shares
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .nests import strided_copy

#: Multiplications that a chunk should have at least: some ten microseconds. And elements of a copy.
_CHUNK_WORK = 500_000
_COPY_WORK = 50_000
_MOST_CHUNKS = 8
#: Most tiles in a strip, and the bytes of A that stay near while panel after panel goes by.
_STRIP_TILES = 256
_NEAR_BYTES = 512 * 1024
#: Rows of any tile: a sum has room for a whole one behind its last row.
MOST_ROWS = 16
#: Most columns of a panel where the lanes are places.
_MOST_COLUMNS = 8
_ALIGNMENT = 64
#: Panels at a multiple of so many bytes would share the sets of a cache: they are moved by so many vectors.
_COLLIDING = 4096
_COLLIDING_SHIFT = 21
_COLLIDING_PLANE = 1024


class Image(NamedTuple):
    """An operand of shape (N, C, D, H, W): where it begins, and its strides."""

    pointer: Pointer
    shape: Shape
    stride: Shape


    @property
    def places(self) -> Shape:
        """The strides of samples and spatial dims."""
        return (self.stride[0], *self.stride[2:])

    def samples(self, first: int, count: int, size: int) -> Image:
        pointer = self.pointer._replace(offset=self.pointer.offset + first * self.stride[0] * size)
        return Image(pointer, (count, *self.shape[1:]), self.stride)

    def moved(self, steps: Sequence[int], size: int) -> Pointer:
        """The address so many places further along the spatial dims."""
        elements = sum(n * s for n, s in zip(steps, self.stride[2:], strict=True))
        return self.pointer._replace(offset=self.pointer.offset + elements * size)


    def every(self, first: Sequence[int], step: Sequence[int], count: Sequence[int], size: int) -> Image:
        """Some of the spatial places: from `first` on, `count` of them, by steps."""
        return Image(self.moved(first, size), (*self.shape[:2], *count), (*self.stride[:2], *(a * b for a, b in zip(self.stride[2:], step, strict=True))))


class Axis(NamedTuple):
    """A dim of rows or of k: its extent, its stride in A, and its stride in the output or in B."""

    extent: int
    a: int
    other: int


def axes(extents: Sequence[int], a: Sequence[int], other: Sequence[int]) -> list[Axis]:
    return [Axis(*each) for each in zip(extents, a, other, strict=True)]


class Panels(NamedTuple):
    """A packed right side."""

    pointer: Pointer
    groups: int
    columns: int
    panel_step: int
    vectors: int
    width: int

    def steps(self, inner: Sequence[int]) -> list[int]:
        """The strides of k whose last dims are `inner`."""
        return [n * self.width for n in contiguous_strides((1, *inner))]

    @property
    def panels(self) -> int:
        return -(-self.columns // self.width)


class Result(NamedTuple):
    """Where a contraction writes: the output itself, or a stand-in that is copied there."""

    image: Image
    store: Store


@dataclass(frozen=True, slots=True)
class Contraction:
    rows: Sequence[Axis]
    k: Sequence[Axis]  # of a block, if there are blocks
    b: Panels
    a: Pointer
    out: Pointer
    column_step: int
    store: Store
    group_a: int
    a_bytes: int  # of the whole left side
    group_out: int
    bias: Pointer | None = None
    depth: int | None = None  # of all blocks
    block_a: int = 0
    block_b: int = 0
    outer: tuple[int, int, int] = (1, 0, 0)
    adds: bool = False


class Calls:
    """The calls of one convolution and their workspace."""

    def __init__(self, type: str) -> None:
        self.type, self.size = type, BITS[type] // 8
        self.lanes = llvm.vector_width() // BITS[type]
        self.calls: list[Call] = []
        self.used = self.workspace = 0

    def lowered(self) -> Lowered:
        return Lowered(tuple(self.calls), self.workspace)

    def room(self, bytes: int) -> Pointer:
        """Some of the workspace; who sets `used` back may have it again."""
        start = self.used
        self.used += -(-bytes // _ALIGNMENT) * _ALIGNMENT
        self.workspace = max(self.workspace, self.used)
        return Pointer(WORKSPACE, start)

    def copied(self, pointer: Pointer, shape: Shape, stride: Shape) -> Pointer:
        """A dense copy."""
        target = self.room(math.prod(shape) * self.size)
        self.copy(shape, (pointer, stride), (target, contiguous_strides(shape)))
        return target

    def copy(self, shape: Shape, source: tuple[Pointer, Shape], target: tuple[Pointer, Shape]) -> None:
        lowered = strided_copy(self.type, shape, source, target)
        if lowered is not None:
            self.calls.extend(lowered.calls)
            return
        for n in range(shape[0]):  # more loops than a nest has
            (source_at, from_), (target_at, to) = ((at._replace(offset=at.offset + n * stride[0] * self.size), stride[1:]) for at, stride in (source, target))
            self.copy(shape[1:], (source_at, from_), (target_at, to))

    def channels_first(self, image: Image) -> Image:
        """The image, or a dense copy if it has its channels last."""
        places = as_one_dim(image.shape[2:], image.stride[2:])
        samples, channels = image.shape[:2]
        if image.stride[1] != 1 or channels == 1 or image.stride[4] == 1 or places is None:
            return image
        found = self.planes(image.shape)
        self.relayout(image.pointer, found.pointer, (samples, 1, places[0], channels), (image.stride[0], 0, places[1], 1), (found.stride[0], 0, found.stride[1]))
        return found

    def vector(self, pointer: Pointer, size: int, stride: int) -> Pointer:
        """A vector with stride 1."""
        return pointer if stride == 1 or size == 1 else self.copied(pointer, (size,), (stride,))

    def padded(self, image: Image, low: Sequence[int], high: Sequence[int], room: Pointer | None = None) -> Image:
        """The image with zeros around it, its dims in the same order. The result's pointer is that of what was the first place."""
        if not any(low) and not any(high):
            return image
        shape = (*image.shape[:2], *(n + a + b for n, a, b in zip(image.shape[2:], low, high, strict=True)))
        order = sorted(range(5), key=lambda d: (image.stride[d], -d) if image.shape[d] > 1 else (-1, -d), reverse=True)
        # Dims of one element go where they do not part others, but never innermost if there is another one.
        stride = strides_in_order(shape, order[::-1]) if image.shape[order[-1]] > 1 else None
        if stride is None:
            order = [d for d in order if image.shape[d] == 1 and shape[d] == 1] + [d for d in order if image.shape[d] > 1 or shape[d] > 1]
            stride = strides_in_order(shape, order[::-1])
        plane = math.prod(shape[d] for d in order[-2:])
        if plane * self.size % _COLLIDING_PLANE == 0:
            # One more line, so that planes do not share the sets of a cache.
            shape = tuple(n + 1 if d == order[-2] else n for d, n in enumerate(shape))
            stride = strides_in_order(shape, order[::-1])
        target = room or self.room(math.prod(shape) * self.size)
        lows = (0, 0, *low)
        words: list[int | Pointer] = [0] * PaddedWord.END
        words[:2] = [image.pointer, target]
        for first, values in ((PaddedWord.EXTENT, shape), (PaddedWord.LOW, lows), (PaddedWord.SIZE, image.shape), (PaddedWord.STEP, image.stride)):
            words[first : first + 5] = [values[d] for d in order]
        jobs = shape[order[0]] * shape[order[1]]
        chunks = max(1, min(math.prod(shape) // _COPY_WORK, jobs, _MOST_CHUNKS))
        words[PaddedWord.JOBS :] = shares(jobs, chunks)
        self.calls.append(Call(padded_kernel(self.type, image.stride[order[-1]] == 1), tuple(words), chunks))
        start = sum(n * s for n, s in zip(lows, stride, strict=True))
        return Image(target._replace(offset=target.offset + start * self.size), shape, stride)

    def relayout(self, source: Pointer, target: Pointer, shape: Sequence[int], from_: Sequence[int], to: Sequence[int], panel: tuple[int, int] | None = None) -> None:
        """``target[o, p, j, i] = source[o, p, i, j]``: the extents and the source's strides of o, p, i, j; the target's strides of o, p, j.

        `panel` is the stride between panels of i in the target, and how many vectors one has.
        """
        vectors = -(-shape[2] // self.lanes)
        words: list[int | Pointer] = [0] * RelayoutWord.END
        words[: RelayoutWord.JOBS] = [source, target, *shape, *from_, *to, *(panel or (0, vectors))]
        jobs = shape[0] * vectors
        chunks = max(1, min(math.prod(shape) // _COPY_WORK, jobs, _MOST_CHUNKS))
        words[RelayoutWord.JOBS :] = shares(jobs, chunks)
        self.calls.append(Call(relayout_kernel(self.type, from_[2] == 1 and from_[3] != 1, panel is not None), tuple(words), chunks))

    def panel_width(self, columns: int) -> int:
        return self.lanes if columns <= self.lanes else 2 * self.lanes

    def panels(self, pointer: Pointer, groups: int, columns: int, group_step: int, column_step: int, k: Sequence[tuple[int, int]], backwards: bool = False) -> Panels:
        """The right side, packed: for each group, panel and k (dims by extent and stride, in this order) a row of columns.

        `backwards`: the dims of k but the first in reverse.
        """
        depth = math.prod(n for n, _ in k)
        width = self.panel_width(columns)
        vectors = width // self.lanes
        panels = -(-columns // width)
        panel_step = depth * width
        if panel_step * self.size % _COLLIDING == 0:
            panel_step += _COLLIDING_SHIFT * self.lanes
        target = self.room(groups * panels * panel_step * self.size)
        inner = 1 if backwards else _inner(k)
        step = as_one_dim(*zip(*k[inner:], strict=True)) or (1, 0)
        irregular = step[0] != math.prod(n for n, _ in k[inner:])
        outer = as_one_dim(*zip(*k[:inner], strict=True)) if inner else (1, 0)
        if outer is None or irregular or (column_step != 1 and step[1] != 1 and step[0] > 1):
            # Any other layout: made dense first.
            shape = (groups, columns, *(n for n, _ in k))
            pointer = self.copied(pointer, shape, (group_step, column_step, *(s for _, s in k)))
            group_step, column_step = columns * depth, depth
            places = math.prod(n for n, _ in k[1:]) if backwards else depth
            outer, step = (depth // places, places), (places, 1)
        elif column_step != 1 and step[0] == 1:
            step = (1, 1)
        row_step, first = (-width, target._replace(offset=target.offset + (step[0] - 1) * width * self.size)) if backwards else (width, target)
        self.relayout(
            pointer, first,
            (outer[0], groups, columns, step[0]), (outer[1], group_step, column_step, step[1]), (step[0] * width, panels * panel_step, row_step), (panel_step, vectors),
        )  # fmt: skip
        return Panels(target, groups, columns, panel_step, vectors, width)

    def columns(self, pointer: Pointer, groups: int, columns: int, group_step: int, column_step: int, k: Sequence[tuple[int, int]], backwards: bool = False) -> Panels:
        """The same for vectors of places: panels of few columns."""
        panels = -(-columns // _MOST_COLUMNS)
        width = -(-columns // panels)
        panels = -(-columns // width)
        extents, steps = tuple(n for n, _ in k), tuple(s for _, s in k)
        depth = math.prod(extents)
        target = self.room(groups * panels * depth * width * self.size)
        to = [n * width for n in contiguous_strides(extents)]
        start = 0
        if backwards:
            start = sum((n - 1) * s for n, s in k[1:])
            steps = (steps[0], *(-s for s in steps[1:]))
        whole = columns // width
        for first, count, some in ((0, whole, width), (whole, 1, columns - whole * width)):
            if count and some:
                source_at = pointer._replace(offset=pointer.offset + (first * width * column_step + start) * self.size)
                target_at = target._replace(offset=target.offset + first * depth * width * self.size)
                source_steps = (group_step, width * column_step, column_step, *steps)
                self.copy((groups, count, some, *extents), (source_at, source_steps), (target_at, (panels * depth * width, depth * width, 1, *to)))
        return Panels(target, groups, columns, depth * width, width, width)

    def prefers_places(self, across: int, columns: int, depth: int) -> bool:
        """Whether vectors of places next to each other take less time than vectors of columns; the estimates are cycles for a place and k."""
        wide = -(-columns // self.lanes)
        by_columns = (0.5 * wide if wide > 1 else 0.75) + 0.3 * columns / depth
        by_places = 0.6 * columns * -(-across // self.lanes) / across
        return by_places < by_columns

    def planes(self, shape: Shape) -> Image:
        """A dense image in the workspace."""
        return Image(self.room(math.prod(shape) * self.size), shape, contiguous_strides(shape))

    def result(self, out: Image, regular: bool = True) -> Result:
        """Where to write an output; `regular` says that rows follow each other along its places."""
        if out.stride[1] == 1 and out.shape[1] > 1:
            return Result(out, "rows")
        if regular and as_one_dim(out.shape[2:], out.stride[2:]) in ((math.prod(out.shape[2:]), 1), (1, 0)):
            return Result(out, "columns")
        samples, channels, *spatial = out.shape
        stride = strides_in_order(out.shape, [1, 4, 3, 2, 0])
        return Result(Image(self.room(math.prod(out.shape) * self.size), out.shape, stride), "rows")

    def finish(self, out: Image, result: Result) -> None:
        """Bring a stand-in to the output."""
        if result.image is out:
            return
        places = as_one_dim(out.shape[2:], out.stride[2:])
        if places is not None and (places[1] == 1 or places[0] == 1):
            samples, channels = out.shape[:2]
            count = places[0]
            self.relayout(
                result.image.pointer, out.pointer,
                (samples, 1, count, channels), (result.image.stride[0], 0, channels, 1), (out.stride[0], 0, out.stride[1]),
            )  # fmt: skip
            return
        self.copy(out.shape, (result.image.pointer, result.image.stride), (out.pointer, out.stride))

    def contraction(self, c: Contraction) -> None:
        row_axes, length = c.rows, c.rows[-1].extent
        if c.store == "places":
            assert c.rows[-1].a == c.rows[-1].other == 1
            row_axes = [*c.rows[:-1], Axis(-(-length // self.lanes), self.lanes, self.lanes)]
        rows, block = math.prod(x.extent for x in row_axes), math.prod(x.extent for x in c.k)
        depth = block if c.depth is None else c.depth
        last = c.b.columns - (c.b.panels - 1) * c.b.width
        if c.store == "places":
            tile, tail = _tile_vectors(c.b.vectors), last % c.b.vectors
        else:
            tile, tail = _tile_rows(rows, c.b.vectors), -(-last // self.lanes) % c.b.vectors
        variant = Variant(self.type, tile, c.b.vectors, tail, c.bias is not None, c.store)
        tiles, panels = -(-rows // tile), c.b.panels
        work = c.b.groups * math.prod(x.extent for x in c.rows) * c.b.columns * max(depth, 1) * c.outer[0]
        chunks = max(1, min(work // _CHUNK_WORK, _MOST_CHUNKS))
        b_bytes = c.b.groups * panels * c.b.panel_step * self.size
        strips, slabs = _shared_out(-(-chunks // c.b.groups), tiles, panels, c.a_bytes, b_bytes)
        jobs = c.b.groups * strips * slabs
        parts = min(chunks, jobs)
        table_bytes = block * 16
        strip_bytes = -(-tiles // strips) * tile * 8 + 128
        own = table_bytes + 2 * strip_bytes + {"columns": c.b.width * variant.scratch_row * self.size, "places": strip_bytes}.get(c.store, 0)
        own = -(-own // _ALIGNMENT) * _ALIGNMENT
        words: list[int | Pointer] = [0] * Word.END
        settings: dict[int, int | Pointer] = {
            Word.A: c.a,
            Word.B: c.b.pointer,
            Word.BIAS: c.bias or 0,
            Word.OUT: c.out,
            Word.WORKSPACE: self.room(own * parts),
            Word.WORKSPACE_BYTES: own,
            Word.TABLE_BYTES: table_bytes,
            Word.STRIP_BYTES: strip_bytes,
            Word.COLUMNS: c.b.columns,
            Word.COLUMN_STEP: c.column_step,
            Word.PANEL_STEP: c.b.panel_step,
            Word.ROWS: rows,
            Word.LENGTH: length,
            Word.DEPTH: depth,
            Word.BLOCK: block,
            Word.BLOCKS: max(-(-depth // max(block, 1)), 1),
            Word.BLOCK_A: c.block_a,
            Word.BLOCK_B: c.block_b,
            Word.ADDS: int(c.adds),
            Word.OUTER: c.outer[0],
            Word.OUTER_A: c.outer[1],
            Word.OUTER_B: c.outer[2],
            Word.GROUP_A: c.group_a,
            Word.GROUP_B: c.b.panels * c.b.panel_step,
            Word.GROUP_BIAS: c.b.columns,
            Word.GROUP_OUT: c.group_out,
            Word.STRIPS: strips,
            Word.PANEL_SLABS: slabs,
        }
        for word, value in settings.items():
            words[word] = value
        for word, whole, divided in ((Word.TILES, tiles, strips), (Word.PANELS, panels, slabs), (Word.JOBS, jobs, parts)):
            words[word : word + 2] = shares(whole, divided)
        for begin, dims in ((Word.ROW_DIMS, row_axes), (Word.K_DIMS, c.k)):
            for part in range(3):
                words[begin + part * DIMS : begin + (part + 1) * DIMS] = [axis[part] for axis in dims]
        self.calls.append(Call(contraction_kernel(variant), tuple(words), parts))


def _inner(k: Sequence[tuple[int, int]]) -> int:
    """From which dim on k is one dim with one stride."""
    for first in range(len(k)):
        if as_one_dim(*zip(*k[first:], strict=True)) is not None:
            return first
    return len(k)


def _shared_out(jobs: int, tiles: int, panels: int, a_bytes: int, b_bytes: int) -> tuple[int, int]:
    """How many strips of tiles and slabs of panels make at least so many jobs, if there are as many, for the fewest bytes read."""

    def cost(choice: tuple[int, int]) -> tuple[int, int]:
        strips, slabs = choice
        times = slabs if a_bytes <= strips * _NEAR_BYTES else panels
        return (strips * b_bytes + times * a_bytes) * max(jobs, strips * slabs) // (strips * slabs), strips * slabs

    least = -(-tiles // _STRIP_TILES)
    most = min(tiles, max(least, jobs, -(-a_bytes // _NEAR_BYTES)))
    return min(itertools.product(range(least, most + 1), range(1, min(panels, jobs) + 1)), key=cost)


def _tile_vectors(columns: int) -> int:
    """Vectors of places in a tile of so many columns."""
    registers = llvm.vector_registers()[0]
    return max(1, min(7, 30 // (columns + 1)) if registers == 32 else 14 // (columns + 2))


def _tile_rows(rows: int, vectors: int) -> int:
    """Rows of a tile: as many as registers allow, fewer where there are not many of them."""
    registers = llvm.vector_registers()[0]
    most = (14 if vectors == 2 else 16) if registers == 32 else (6 if vectors == 2 else 12)
    tiles = -(-rows // most)
    return -(-rows // tiles) if tiles < 5 else most
