"""Contractions: how a sum is divided, and how operands are brought into the order that kernels read.

    Calls(type)   builds the calls: images that are `padded`, `panels` or `columns` of a right side, a `contraction`, and `finish`

See contraction_kernel.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..shape import Shape, as_one_dim, contiguous_strides
from . import llvm
from .contraction_kernel import DIMS, TOGETHER, Variant, Word, contraction_kernel
from .conv_copies import ALL, BringWord, BroughtWord, RelayoutWord, Source, brought_kernel, relayout_kernel
from .elements import HALVES, PAIRS, bytes_of, memory_type, register_type
from .emit import BITS
from .gemm_kernel import shares
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .nests import strided_copy

#: Multiplications that a chunk should have at least: some ten microseconds. And elements of a copy.
CHUNK_WORK = 500_000
_COPY_WORK = 50_000
MOST_CHUNKS = 8
#: Most tiles in a strip, and the bytes of A that stay near while panel after panel goes by.
_STRIP_TILES = 256
_NEAR_BYTES = 512 * 1024
#: Rows of any tile: a sum has room for a whole one behind its last row.
MOST_ROWS = 16
#: Most columns of a panel where the lanes are places.
_MOST_COLUMNS = 8
ALIGNMENT = 64
#: Panels at a multiple of so many bytes would share the sets of a cache: they are moved by so many vectors.
_COLLIDING = 4096
_COLLIDING_SHIFT = 21
_COLLIDING_PLANE = 1024


class Image(NamedTuple):
    """An operand of shape (N, C, D, H, W): where it begins, and its strides."""

    pointer: Pointer
    shape: Shape
    stride: Shape
    kind: str  # of its elements; see elements.py
    second: int = 0  # between the two of a pair
    full: int = 0  # how many samples, or channels, are whole pairs

    @property
    def places(self) -> Shape:
        """The strides of samples and spatial dims."""
        return (self.stride[0], *self.stride[2:])

    def samples(self, first: int, count: int) -> Image:
        pointer = self.pointer._replace(offset=self.pointer.offset + first * self.stride[0] * bytes_of(self.kind))
        return self._replace(pointer=pointer, shape=(count, *self.shape[1:]), full=self.full - first)

    def moved(self, steps: Sequence[int]) -> Pointer:
        """The address so many places further along the spatial dims."""
        elements = sum(n * s for n, s in zip(steps, self.stride[2:], strict=True))
        return self.pointer._replace(offset=self.pointer.offset + elements * bytes_of(self.kind))

    def paired(self, dim: int) -> Image:
        """Of bfloat16, as pairs of samples (dim 0) or channels (dim 1). Where channels lie next to each other, pairs already do."""
        count, step = self.shape[dim], self.stride[dim]
        shape = (*self.shape[:dim], -(-count // 2), *self.shape[dim + 1 :])
        others = [s for d, (n, s) in enumerate(zip(self.shape, self.stride, strict=True)) if d != dim and n > 1]
        if step == 1 and not any(n % 2 for n in (count, *others)):
            stride = tuple(1 if d == dim else s // 2 for d, s in enumerate(self.stride))
            return Image(self.pointer, shape, stride, "i32")
        stride = (*self.stride[:dim], 2 * step, *self.stride[dim + 1 :])
        return Image(self.pointer, shape, stride, PAIRS, step, count // 2)


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


class Packing(NamedTuple):
    """How k lies in a right side, and in a panel: two dims, of which j is the one that is read along lines."""

    o: int
    from_o: int
    to_o: int
    j: int
    from_j: int
    to_j: int
    first: int  # where the first k goes
    columns: bool  # whether columns lie next to each other, otherwise j does
    pairs: str  # which of the two counts pairs, if one does

    @staticmethod
    def of(k: Sequence[tuple[int, int]], column_step: int, width: int, backwards: bool, pairs: bool = False) -> Packing | None:
        """For k of these extents and strides; `backwards`: all dims but the first in reverse. None if it takes more dims.

        `pairs`: whether the first dim counts pairs.
        """
        targets = [n * width for n in contiguous_strides([n for n, _ in k])]
        first = sum((n - 1) * to for (n, _), to in zip(k[1:], targets[1:], strict=True)) if backwards else 0
        alone = int(pairs and k[0][0] > 1)  # the dim of pairs stays by itself
        dims: list[tuple[int, int, int]] = []
        for d, ((extent, step), to) in enumerate(zip(k, targets, strict=True)):
            to = -to if backwards and d else to
            if extent == 1:
                continue
            if len(dims) > alone and dims[-1][1] == extent * step and dims[-1][2] == extent * to:
                dims[-1] = (dims[-1][0] * extent, step, to)
            else:
                dims.append((extent, step, to))
        counts = "j" if alone and len(dims) == 1 else "o" if alone else ""
        dims = [(1, 0, 0)] * (2 - len(dims)) + dims
        if len(dims) > 2:
            return None
        o, j = dims
        if j[0] == 1 and column_step != 1:
            j = (1, 1, 0)
        if column_step != 1 and j[1] != 1:
            o, j, counts = j, o, {"o": "j", "j": "o"}.get(counts, "")
            if alone and j[0] == 1:
                j = (1, 1, 0)
        if column_step != 1 and j[1] != 1:
            return None
        return Packing(*o, *j, first, column_step == 1, counts)

    @property
    def counts(self) -> tuple[int, int]:
        """How o and j count pairs: see conv_copies.full_rows."""
        return int(self.pairs == "o"), 1 if self.pairs == "j" else ALL


class Side(NamedTuple):
    """A right side that is not packed: for each group columns, and k as dims by extent and stride, in this order."""

    pointer: Pointer
    groups: int
    columns: int
    group_step: int
    column_step: int
    k: tuple[tuple[int, int], ...]
    backwards: bool  # all dims of k but the first in reverse
    kind: str  # of its elements
    second: int = 0  # between the two of a pair
    full: int = 0  # how many of the first dim of k are whole pairs

    @property
    def depth(self) -> int:
        return math.prod(n for n, _ in self.k)

    @property
    def channels(self) -> int:
        """Of a weight: what is summed over, and the window."""
        return self.k[0][0]

    @property
    def window(self) -> Shape:
        return tuple(n for n, _ in self.k[1:])

    def packing(self, width: int) -> Packing | None:
        return Packing.of(self.k, self.column_step, width, self.backwards, self.kind == PAIRS)

    def paired(self) -> Side:
        """Of bfloat16, as pairs along the first dim of k; or as those that lie next to each other."""
        (count, step), *rest = self.k
        pairs = -(-count // 2)
        others = [(self.groups, self.group_step), (self.columns, self.column_step), *rest]
        if step == 1 and not count % 2 and not any(s % 2 for n, s in others if n > 1):
            halved = tuple((n, s // 2) for n, s in rest)
            return self._replace(group_step=self.group_step // 2, column_step=self.column_step // 2, k=((pairs, 1), *halved), kind="i32")
        return self._replace(k=((pairs, 2 * step), *rest), kind=PAIRS, second=step, full=count // 2)


@dataclass(frozen=True, slots=True)
class Contraction:
    """A sum over blocks, one block after the other; or, of one block, columns of results."""

    rows: Sequence[Axis]
    k: Sequence[Axis]  # of a block
    b: Panels
    a: Pointer
    out: Pointer
    group_a: int
    a_bytes: int  # of the whole left side
    group_out: int
    depth: int  # of all blocks
    block_a: int
    block_b: int
    outer: tuple[int, int, int]
    adds: bool
    column_step: int = 0  # between columns of the output, if the rows of each lie next to each other


def bring_words(image: Image, extents: Sequence[int], target: Shape, low: int, pairs_of: int) -> list[int]:
    """`pairs_of` is the dim that pairs are made of, if the image has any: samples (0) or channels (1)."""
    full = [ALL, ALL]
    full[pairs_of] = image.full
    return [*extents, *image.shape[2:], *image.stride, *target[:4], -low, image.second, *full]


class Room:
    """A chunk's own part of the workspace, given away piece by piece."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, bytes: int) -> int:
        """Where so many bytes begin."""
        start = self.used
        self.used += -(-bytes // ALIGNMENT) * ALIGNMENT
        return start


class Calls:
    """The calls of one convolution and their workspace."""

    def __init__(self, kind: str, pairs: bool = False) -> None:
        """`kind` is that of operands and results; `pairs`: whether bfloat16 is multiplied in pairs."""
        self.kind, self.pairs, self.type = kind, pairs, register_type(kind)
        self.packed = "i32" if pairs else self.type  # the type of what is multiplied
        self.size = BITS[self.type] // 8  # of this, and of sums
        self.lanes = llvm.vector_width() // BITS[self.type]
        self.calls: list[Call] = []
        self.used = self.workspace = 0

    def lowered(self) -> Lowered:
        return Lowered(tuple(self.calls), self.workspace)

    def room(self, bytes: int) -> Pointer:
        """Some of the workspace; who sets `used` back may have it again."""
        start = self.used
        self.used += -(-bytes // ALIGNMENT) * ALIGNMENT
        self.workspace = max(self.workspace, self.used)
        return Pointer(WORKSPACE, start)

    def copied(self, kind: str, pointer: Pointer, shape: Shape, stride: Shape) -> Pointer:
        """A dense copy of what memory has."""
        target = self.room(math.prod(shape) * bytes_of(kind))
        self.copy(shape, (pointer, stride), (target, contiguous_strides(shape)), memory_type(kind), memory_type(kind))
        return target

    def copy(self, shape: Shape, source: tuple[Pointer, Shape], target: tuple[Pointer, Shape], kind: str, out: str) -> None:
        """Elements of a kind become those of another: half precision becomes floats, or these are rounded to it."""
        through = (f"from_{kind}", out) if kind in HALVES else (f"to_{out}", memory_type(out)) if out in HALVES else None
        lowered = strided_copy(memory_type(kind), shape, source, target, through)
        if lowered is not None:
            self.calls.extend(lowered.calls)
            return
        for n in range(shape[0]):  # more loops than a nest has
            sides = ((*source, kind), (*target, out))
            (source_at, from_), (target_at, to) = ((at._replace(offset=at.offset + n * stride[0] * bytes_of(each)), stride[1:]) for at, stride, each in sides)
            self.copy(shape[1:], (source_at, from_), (target_at, to), kind, out)

    def channels_first(self, image: Image) -> Image:
        """The image, or a dense copy if it has its channels last."""
        places = as_one_dim(image.shape[2:], image.stride[2:])
        samples, channels = image.shape[:2]
        if image.stride[1] != 1 or channels == 1 or image.stride[4] == 1 or places is None:
            return image
        found = self.planes(image.shape)
        self.relayout(image.kind, image.pointer, found.pointer, (samples, 1, places[0], channels), (image.stride[0], 0, places[1], 1), (found.stride[0], 0, found.stride[1]))
        return found

    def vector(self, pointer: Pointer, size: int, stride: int) -> Pointer:
        """A vector with stride 1."""
        return pointer if stride == 1 or size == 1 else self.copied(self.kind, pointer, (size,), (stride,))

    def padded(self, image: Image, low: Sequence[int], high: Sequence[int], pairs_of: int) -> Image:
        """The image as it is multiplied, as planes with zeros around it. The result's pointer is that of what was the first place."""
        if image.kind == self.packed and not any(low) and not any(high):
            return image
        return self.brought(image, low, [n + a + b for n, a, b in zip(image.shape[2:], low, high, strict=True)], self.lying(image), pairs_of)

    def lying(self, image: Image) -> Source:
        if image.stride[4] == 1 or image.shape[4] == 1:
            return "lines"
        return "channels" if image.stride[1] == 1 and image.shape[1] >= self.lanes // 2 else "any"

    def near(self, shape: Shape) -> tuple[Shape, int]:
        """The strides of an image of planes, and its elements. Planes do not share the sets of a cache."""
        samples, channels, *spatial = shape
        plane = math.prod(spatial)
        if plane * self.size % _COLLIDING_PLANE == 0:
            plane += spatial[-1] if spatial[-1] * self.size % _COLLIDING_PLANE else self.lanes
        return (channels * plane, plane, spatial[1] * spatial[2], spatial[2], 1), samples * channels * plane

    def brought(self, image: Image, low: Sequence[int], extents: Sequence[int], source: Source, pairs_of: int) -> Image:
        """The image as it is multiplied, as planes, with zeros around it: from `low` places before the first one on.

        The result's pointer is that of what was the first place.
        """
        shape = (*image.shape[:2], *extents)
        stride, size = self.near(shape)
        target = self.room(size * self.size)
        samples, channels = image.shape[:2]
        each = self.lanes if source == "channels" else 1
        jobs = samples * -(-channels // each)
        chunks = max(1, min(size // _COPY_WORK, jobs, MOST_CHUNKS))
        brought = bring_words(image, extents, stride, low[2], pairs_of)
        words: list[int | Pointer] = [image.pointer, target, channels, each, -(-channels // each), -low[0], -low[1], *shares(jobs, chunks), *brought]
        assert len(words) == BroughtWord.BRING + BringWord.END
        self.calls.append(Call(brought_kernel(image.kind, source), tuple(words), chunks))
        start = sum(n * s for n, s in zip(low, stride[2:], strict=True))
        return Image(target._replace(offset=target.offset + start * self.size), shape, stride, self.packed)

    def relayout(
        self, kind: str, source: Pointer, target: Pointer, shape: Sequence[int], from_: Sequence[int], to: Sequence[int],
        panel: tuple[int, int] | None = None, out: str = "", pairs: Sequence[int] = (0, 0, 0, 0),
    ) -> None:  # fmt: skip
        """``target[o, p, j, i] = source[o, p, i, j]``: the extents and the source's strides of o, p, i, j; the target's strides of o, p, j.

        `panel` is the stride between panels of i in the target, and how many vectors one has. Elements are of a kind, and of the kind `out`
        if they are rounded; `pairs` are the words that say where the two of a pair are.
        """
        vectors = -(-shape[2] // self.lanes)
        words: list[int | Pointer] = [0] * RelayoutWord.END
        words[: RelayoutWord.JOBS] = [source, target, *shape, *from_, *to, *(panel or (0, vectors)), *pairs]
        jobs = shape[0] * vectors
        chunks = max(1, min(math.prod(shape) // _COPY_WORK, jobs, MOST_CHUNKS))
        words[RelayoutWord.JOBS :] = shares(jobs, chunks)
        self.calls.append(Call(relayout_kernel(kind, from_[2] == 1 and from_[3] != 1, panel is not None, out), tuple(words), chunks))

    def tail(self, b: Panels) -> int:
        """Vectors in a row of the last panel, if fewer."""
        return -(-(b.columns - (b.panels - 1) * b.width) // self.lanes) % b.vectors

    def panel_width(self, columns: int) -> int:
        return self.lanes if columns <= self.lanes else 2 * self.lanes

    def panels(self, side: Side) -> Panels:
        """The right side, packed: for each group, panel and k a row of columns."""
        found = self.room_for_panels(side.groups, side.columns, side.depth)
        packing = side.packing(found.width)
        if packing is None:
            # Any other layout: made dense first.
            side = self.dense(side)
            packing = side.packing(found.width)
            assert packing is not None
        p, target = packing, found.pointer
        self.relayout(
            side.kind, side.pointer, target._replace(offset=target.offset + p.first * self.size),
            (p.o, side.groups, side.columns, p.j), (p.from_o, side.group_step, side.column_step, p.from_j), (p.to_o, found.panels * found.panel_step, p.to_j),
            (found.panel_step, found.vectors), pairs=(side.second, side.full, *p.counts),
        )  # fmt: skip
        return found

    def room_for_panels(self, groups: int, columns: int, depth: int) -> Panels:
        width = self.panel_width(columns)
        panel_step = depth * width
        if panel_step * self.size % _COLLIDING == 0:
            panel_step += _COLLIDING_SHIFT * self.lanes
        return Panels(self.room(groups * -(-columns // width) * panel_step * self.size), groups, columns, panel_step, width // self.lanes, width)

    def dense(self, side: Side) -> Side:
        """A right side that can be packed."""
        extents = tuple(n for n, _ in side.k)
        if side.kind == PAIRS:
            # As images: for each group its columns as samples, and pairs as channels.
            found = []
            for group in range(side.groups):
                pointer = side.pointer._replace(offset=side.pointer.offset + group * side.group_step * bytes_of(PAIRS))
                spatial = ((1, 0),) * (4 - len(side.k)) + side.k[1:]
                image = Image(pointer, (side.columns, extents[0], *(n for n, _ in spatial)), (side.column_step, side.k[0][1], *(s for _, s in spatial)), PAIRS, side.second, side.full)
                found.append(self.brought(image, (0, 0, 0), image.shape[2:], self.lying(image), 1))
            first, step = found[0], (found[-1].pointer.offset - found[0].pointer.offset) // max(side.groups - 1, 1) // self.size
            k = tuple(zip(extents, (first.stride[1], *first.stride[6 - len(side.k) :]), strict=True))
            return side._replace(pointer=first.pointer, group_step=step, column_step=first.stride[0], k=k, kind=self.packed, second=0, full=0)
        copy = self.copied(side.kind, side.pointer, (side.groups, side.columns, *extents), (side.group_step, side.column_step, *(s for _, s in side.k)))
        depth = math.prod(extents)
        return side._replace(pointer=copy, group_step=side.columns * depth, column_step=depth, k=tuple(zip(extents, contiguous_strides(extents), strict=True)))

    def columns(self, side: Side) -> Panels:
        """The same for vectors of places: panels of few columns."""
        if side.kind == PAIRS:
            side = self.dense(side)
        groups, columns, size = side.groups, side.columns, bytes_of(side.kind)
        width = self.columns_width(columns)
        panels = -(-columns // width)
        extents, steps = tuple(n for n, _ in side.k), tuple(s for _, s in side.k)
        depth = math.prod(extents)
        target = self.room(groups * panels * depth * width * self.size)
        to = [n * width for n in contiguous_strides(extents)]
        start = 0
        if side.backwards:
            start = sum((n - 1) * s for n, s in side.k[1:])
            steps = (steps[0], *(-s for s in steps[1:]))
        whole = columns // width
        for first, count, some in ((0, whole, width), (whole, 1, columns - whole * width)):
            if count and some:
                source_at = side.pointer._replace(offset=side.pointer.offset + (first * width * side.column_step + start) * size)
                target_at = target._replace(offset=target.offset + first * depth * width * self.size)
                source_steps = (side.group_step, width * side.column_step, side.column_step, *steps)
                self.copy((groups, count, some, *extents), (source_at, source_steps), (target_at, (panels * depth * width, depth * width, 1, *to)), side.kind, self.packed)
        return Panels(target, groups, columns, depth * width, width, width)

    def columns_width(self, columns: int) -> int:
        return -(-columns // -(-columns // _MOST_COLUMNS))

    def prefers_places(self, across: int, columns: int, depth: int, by_masks: bool) -> bool:
        """Whether vectors of places next to each other take less time than vectors of columns; the estimates are cycles for a place and k.

        `by_masks`: whether results need not be scattered.
        """
        wide = -(-columns // self.lanes)
        by_columns = (0.5 * wide if wide > 1 else 0.75) + 0.3 * columns / depth
        by_places = 0.6 * columns * -(-across // self.lanes) / across + (0 if by_masks else 1.2 * columns / depth)
        return by_places < by_columns

    def planes(self, shape: Shape) -> Image:
        """A dense image in the workspace, of what sums are."""
        return Image(self.room(math.prod(shape) * self.size), shape, contiguous_strides(shape), self.type)

    def finish(self, out: Image, found: Image) -> None:
        """From rows of channels, or from any sums, to the output."""
        places = as_one_dim(out.shape[2:], out.stride[2:])
        if found.stride[1] == 1 and places is not None and (places[1] == 1 or places[0] == 1):
            samples, channels = out.shape[:2]
            self.relayout(found.kind, found.pointer, out.pointer, (samples, 1, places[0], channels), (found.stride[0], 0, channels, 1), (out.stride[0], 0, out.stride[1]), out=out.kind)
            return
        self.copy(out.shape, (found.pointer, found.stride), (out.pointer, out.stride), found.kind, out.kind)

    def contraction(self, c: Contraction) -> None:
        rows, block = math.prod(x.extent for x in c.rows), math.prod(x.extent for x in c.k)
        tile, tail = tile_rows(rows, c.b.vectors), self.tail(c.b)
        variant = Variant(self.kind, tile, c.b.vectors, tail, False, "columns" if c.column_step else "sum", pairs=self.pairs)
        tiles, panels = -(-rows // tile), c.b.panels
        chunks = max(1, min(c.b.groups * rows * c.b.columns * max(c.depth, 1) * c.outer[0] // CHUNK_WORK, MOST_CHUNKS))
        b_bytes = c.b.groups * panels * c.b.panel_step * self.size
        strips, slabs = _shared_out(-(-chunks // c.b.groups), tiles, panels, c.a_bytes, b_bytes)
        jobs = c.b.groups * strips * slabs
        parts = min(chunks, jobs)
        table_bytes = block * 16 + 8 * TOGETHER
        strip_bytes = -(-tiles // strips) * tile * 8 + 128
        own = table_bytes + 2 * strip_bytes + (variant.scratch * self.size if c.column_step else 0)
        own = -(-own // ALIGNMENT) * ALIGNMENT
        words: list[int | Pointer] = [0] * Word.END
        settings: dict[int, int | Pointer] = {
            Word.A: c.a,
            Word.B: c.b.pointer,
            Word.OUT: c.out,
            Word.WORKSPACE: self.room(own * parts),
            Word.WORKSPACE_BYTES: own,
            Word.TABLE_BYTES: table_bytes,
            Word.STRIP_BYTES: strip_bytes,
            Word.COLUMNS: c.b.columns,
            Word.COLUMN_STEP: c.column_step or 1,
            Word.PANEL_STEP: c.b.panel_step,
            Word.ROWS: rows,
            Word.DEPTH: c.depth,
            Word.BLOCK: block,
            Word.BLOCKS: max(-(-c.depth // max(block, 1)), 1),
            Word.BLOCK_A: c.block_a,
            Word.BLOCK_B: c.block_b,
            Word.ADDS: int(c.adds),
            Word.OUTER: c.outer[0],
            Word.OUTER_A: c.outer[1],
            Word.OUTER_B: c.outer[2],
            Word.GROUP_A: c.group_a,
            Word.GROUP_B: c.b.panels * c.b.panel_step,
            Word.GROUP_OUT: c.group_out,
            Word.STRIPS: strips,
            Word.PANEL_SLABS: slabs,
        }
        for word, value in settings.items():
            words[word] = value
        for word, whole, divided in ((Word.TILES, tiles, strips), (Word.PANELS, panels, slabs), (Word.JOBS, jobs, parts)):
            words[word : word + 2] = shares(whole, divided)
        for begin, dims in ((Word.ROW_DIMS, c.rows), (Word.K_DIMS, c.k)):
            for part in range(3):
                words[begin + part * DIMS : begin + (part + 1) * DIMS] = [axis[part] for axis in dims]
        self.calls.append(Call(contraction_kernel(variant), tuple(words), parts))


def _shared_out(jobs: int, tiles: int, panels: int, a_bytes: int, b_bytes: int) -> tuple[int, int]:
    """How many strips of tiles and slabs of panels make at least so many jobs, if there are as many, for the fewest bytes read."""

    def cost(choice: tuple[int, int]) -> tuple[int, int]:
        strips, slabs = choice
        times = slabs if a_bytes <= strips * _NEAR_BYTES else panels
        return (strips * b_bytes + times * a_bytes) * max(jobs, strips * slabs) // (strips * slabs), strips * slabs

    least = -(-tiles // _STRIP_TILES)
    most = min(tiles, max(least, jobs, -(-a_bytes // _NEAR_BYTES)))
    return min(itertools.product(range(least, most + 1), range(1, min(panels, jobs) + 1)), key=cost)


def tile_vectors(columns: int) -> int:
    """Vectors of places in a tile of so many columns."""
    registers = llvm.vector_registers()[0]
    return max(1, min(7, 30 // (columns + 1)) if registers == 32 else 14 // (columns + 2))


def tile_rows(rows: int, vectors: int) -> int:
    """Rows of a tile: as many as registers allow, or somewhat fewer where less is left over."""
    registers = llvm.vector_registers()[0]
    most = (14 if vectors == 2 else 16) if registers == 32 else (6 if vectors == 2 else 12)
    if rows <= most:
        return rows
    # What a tile takes beside its products is about a row.
    return min(range(most, max(most * 2 // 3, 1), -1), key=lambda tile: -(-rows // tile) * (tile + 1))
