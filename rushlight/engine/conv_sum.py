"""Sums over places, divided into slices of the places: the gradient of a weight that is small next to the images. See conv_sum_kernel.py.

How many slices there are, and what they bring near at a time, depends on the shapes alone: it makes the order of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..shape import Shape, as_one_dim, contiguous_strides
from .contraction import ALIGNMENT, CHUNK_WORK, MOST_CHUNKS, MOST_ROWS, Calls, Image, Packing, bring_words, tile_rows
from .contraction_kernel import TOGETHER, Variant
from .conv_sum_kernel import MergeWord, Sum, Word, merged_kernel, summed_kernel
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


def sliced(c: Calls, groups: int, slices: int, input: Image, grad: Image, out: Image, strides: Sequence[Shape]) -> None:
    """The gradient of a weight; `strides` are the convolution's stride, padding and dilation."""
    stride, padding, dilation = strides
    samples, columns, channels, window = grad.shape[0], grad.shape[1] // groups, out.shape[1], out.shape[2:]
    places = grad.shape[2:]
    size, lanes = c.size, c.lanes
    # What is brought for so many lines (or planes) of a sample, or whole ones.
    spans = [(n - 1) * s + (w - 1) * d + 1 for n, s, w, d in zip(places, stride, window, dilation, strict=True)]
    sample = channels * math.prod(spans) + columns * math.prod(places)
    dim = 0
    each = max(1, min(_NEAR // sample, -(-samples // slices)))
    if sample > _NEAR or samples < slices:
        dim = 2 if places[0] > 1 else 3
        # A whole number of blocks of k, as far as that goes.
        most = max(1, _NEAR * places[dim - 2] // sample, -(-_BLOCK // 2 // math.prod(places[dim - 1 :])))
        most = min(most, -(-places[dim - 2] * samples // slices))
        each = -(-places[dim - 2] // -(-places[dim - 2] // most))
        spans[dim - 2] = (each - 1) * stride[dim - 2] + (window[dim - 2] - 1) * dilation[dim - 2] + 1
    units = places[dim - 2] if dim else samples
    blocks = -(-units // each)
    stages = blocks * (samples if dim else 1)
    slices = min(slices, stages)
    unit = math.prod(places[dim - 1 :]) if dim else math.prod(places)
    depth = each * unit
    # The left side: brought near, or in place.
    reaches = any(padding) or any((n - 1) * s + (w - 1) * d - p >= i for n, s, w, d, p, i in zip(places, stride, window, dilation, padding, input.shape[2:], strict=True))
    lying = c.lying(input._replace(shape=(samples, channels, *input.shape[2:])))
    source = lying if reaches or lying != "lines" else None
    seen, near = input.stride, 0
    if source is not None:
        seen, near = c.near((1 if dim else each, channels, *spans))
    # The right side.
    width = c.panel_width(columns)
    panels = -(-columns // width)
    counts = [1, *places] if dim else [each, *places]
    counts[dim - 1 if dim else 0] = each
    grad_steps = list(grad.places)
    packing = Packing.of(list(zip(counts, grad_steps, strict=True)), grad.stride[1], width, False)
    in_o = packing is not None and packing.o > 1 and packing.from_o * (packing.o // each) == grad_steps[dim - 1 if dim else 0] and packing.o % each == 0
    pointer, group_step, column_step = grad.pointer, columns * grad.stride[1], grad.stride[1]
    if packing is None or (packing.o > 1 and not in_o):
        pointer = c.copied(pointer, grad.shape, grad.stride)
        dense = contiguous_strides(grad.shape)
        grad_steps = [dense[0], *dense[2:]]
        group_step, column_step = columns * dense[1], dense[1]
        packing = Packing.of(list(zip(counts, grad_steps, strict=True)), column_step, width, False)
        assert packing is not None
        in_o = packing.o > 1
    p = packing
    # The rows.
    rows = channels * math.prod(window)
    vectors = width // lanes
    tile = tile_rows(rows, vectors)
    variant = Variant(c.type, tile, vectors, -(-(columns - (panels - 1) * width) // lanes) % vectors, False, "sum")
    whole = panels * width
    total_step = (rows + MOST_ROWS) * whole
    total = c.room(groups * slices * total_step * size)
    row_bytes = 8 * (-(-rows // tile) * tile + 3 * TOGETHER)
    used = 0

    def room(bytes: int) -> int:
        nonlocal used
        at, used = used, used + -(-bytes // ALIGNMENT) * ALIGNMENT
        return at

    words: list[int | Pointer] = [0] * Word.END
    room(16 * depth + 8 * TOGETHER)
    spatial = seen[2:]
    moves = [1, 1, *stride]
    settings: dict[int, int | Pointer] = {
        Word.A: input.pointer,
        Word.GRAD: pointer,
        Word.TOTAL: total,
        Word.ROWS_AT: room(2 * row_bytes),
        Word.ROWS_BYTES: row_bytes,
        Word.NEAR: room(near * size),
        Word.PANEL: room(panels * depth * width * size),
        Word.COLUMNS: columns,
        Word.PANELS: panels,
        Word.PANEL_STEP: depth * width,
        Word.ROWS: rows,
        Word.GROUP_A: channels * input.stride[1],
        Word.GROUP_GRAD: group_step,
        Word.TOTAL_STEP: total_step,
        Word.SLICES: slices,
        Word.BLOCKS: blocks,
        Word.BLOCK: each,
        Word.UNITS: units,
        Word.UNIT: unit,
        Word.OUTER_A: input.stride[0] if dim else 0,
        Word.OUTER_GRAD: grad_steps[0] if dim else 0,
        Word.BLOCK_A: each * moves[dim] * input.stride[dim] if source is None or not dim else 0,
        Word.BLOCK_GRAD: each * grad_steps[dim - 1 if dim else 0],
        Word.K_BLOCK: _BLOCK,
        Word.SAMPLES: 1 << 40 if dim else samples,
        Word.SAMPLES_EACH: 1 if dim else each,
        Word.CHANNELS: channels,
        Word.DEPTH: -padding[0],
        Word.DEPTH_STEP: each * stride[0] if dim == 2 else 0,
        Word.HEIGHT: -padding[1],
        Word.HEIGHT_STEP: each * stride[1] if dim == 3 else 0,
        Word.PACK_O: 0 if in_o else p.o,
        Word.PACK_O_UNIT: p.o // each if in_o else 0,
        Word.PACK_FROM_O: p.from_o,
        Word.PACK_TO_O: p.to_o,
        Word.PACK_J: p.j if in_o else 0,
        Word.PACK_J_UNIT: 0 if in_o else p.j // each,
        Word.PACK_FROM_COLUMN: column_step,
        Word.PACK_FROM_J: p.from_j,
        Word.PACK_TO_J: p.to_j,
    }
    for word, value in settings.items():
        words[word] = value
    jobs = groups * slices
    chunks = min(jobs, MOST_CHUNKS)
    words[Word.WORKSPACE], words[Word.WORKSPACE_BYTES] = c.room(used * chunks), used
    words[Word.JOBS : Word.JOBS + 2] = shares(jobs, chunks)
    words[Word.STAGES : Word.STAGES + 2] = shares(stages, slices)
    row_steps = [n * whole for n in contiguous_strides((channels, *window))]
    words[Word.ROW_DIMS : Word.K_DIMS] = [channels, *window, seen[1], *(d * s for d, s in zip(dilation, spatial, strict=True)), *row_steps]
    k_steps = [n * width for n in contiguous_strides(counts)]
    words[Word.K_DIMS : Word.BRING] = [*counts, seen[0], *(n * s for n, s in zip(stride, spatial, strict=True)), *k_steps]
    words[Word.BRING : Word.END] = bring_words(input, spans, seen, padding[2])
    c.calls.append(Call(summed_kernel(Sum(variant, source, p.columns)), tuple(words), chunks))
    _merge(c, total, groups, slices, (rows, columns, whole, total_step), out, row_steps)


def _merge(c: Calls, total: Pointer, groups: int, slices: int, sizes: tuple[int, int, int, int], out: Image, row_steps: Sequence[int]) -> None:
    """The slices' sums to the weight."""
    rows, columns, width, total_step = sizes
    dense = as_one_dim(out.shape[1:], out.stride[1:]) in ((rows, 1), (1, 0))
    target, group_step, column_step = out.pointer, columns * out.stride[0], out.stride[0]
    if not dense:
        target, group_step, column_step = c.room(math.prod(out.shape) * c.size), columns * rows, rows
    jobs = groups * -(-rows // c.lanes)
    chunks = max(1, min(groups * slices * rows * width // (4 * 16384), jobs, MOST_CHUNKS))
    words = [0] * MergeWord.END
    words[: MergeWord.JOBS] = [total, target, rows, width, columns, slices, total_step, group_step, column_step]  # type: ignore[list-item]
    words[MergeWord.JOBS :] = shares(jobs, chunks)
    c.calls.append(Call(merged_kernel(c.type, c.lanes), tuple(words), chunks))
    if not dense:
        c.copy(out.shape, (target, contiguous_strides(out.shape)), (out.pointer, out.stride))
