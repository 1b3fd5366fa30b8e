"""Convolutions as contractions; see conv_gather.py for results whose places gather, contraction.py for sums over places.

    forward            rows are places of the output, columns its channels       k: channel of the input, place in the window
    gradient of input  rows are places of the input, columns its channels        k: channel of the output, place in the window
    gradient of weight rows are channel of the input and place in the window,    k: sample, place of the output
                       columns channels of the output

The left side is read in place, or where windows reach beyond the image from a copy with zeros around it. The right side is packed into panels of columns. The gradient of the input gathers: a place of the input, modulo
the stride, says which places of the window ever reach it, so each residue is a contraction of its own.

Bits: the order of k depends on the geometry alone, the layouts of operands and results do not matter.

In half precision operands become float32 where they are packed, or where the image is brought near. Where the processor multiplies pairs of
bfloat16, they become pairs: of channels where places gather, of samples in sums over places. The geometry alone says whether.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import dtypes as dt
from ..shape import Layout, Shape, as_one_dim, contiguous_strides
from . import depthwise, half, llvm
from .contraction import MOST_ROWS, Calls, Contraction, Image, Side, axes
from .conv_gather import gathered
from .conv_gather_parts import Part, residues
from .conv_sum import sliced, slices_of
from .elements import bytes_of, memory_type
from .gemm_variant import has_masks
from .kernel import Lowered, Pointer
from .lowering import FLOATING
from .terms import HALF, MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

#: Places of the output in a block of a weight's gradient, about: a panel of as many rows stays in the first-level cache.
_BLOCK = 256
#: The bytes that padded images or packed gradients have at a time, so that they stay in a cache. Many samples are taken in turns.
_PACKED_BYTES = 1 << 21
#: The largest window of a channel of its own whose taps are listed one by one.
_MOST_TAPS = 1 << 10


@dataclass(frozen=True, slots=True)
class _Geometry:
    """What a convolution is, in three spatial dims."""

    window: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int

    @staticmethod
    def of(plan: Plan, window: Shape) -> _Geometry:
        p = plan.params
        return _Geometry(_three(window, 1), _three(p["stride"], 1), _three(p["padding"], 0), _three(p["dilation"], 1), p["groups"])

    def strided(self, image: Image) -> list[int]:
        """The spatial strides of an image, times those of the convolution."""
        return [a * b for a, b in zip(image.stride[2:], self.stride, strict=True)]

    def behind(self, input: Image, out: Image) -> list[int]:
        """How far the last windows reach beyond the input."""
        each = zip(input.shape[2:], out.shape[2:], self.window, self.stride, self.padding, self.dilation, strict=True)
        return [max(0, (places - 1) * stride - padding + (window - 1) * dilation - size + 1) for size, places, window, stride, padding, dilation in each]


def _three(values: Sequence[int], missing: int) -> Shape:
    return (missing,) * (3 - len(values)) + tuple(values)


def _image(operand: int, layout: Layout) -> Image:
    lead = 5 - layout.ndim
    shape, stride = layout.shape, layout.stride
    return Image(Pointer(operand), (*shape[:2], *(1,) * lead, *shape[2:]), (*stride[:2], *(0,) * lead, *stride[2:]), _kind(layout.dtype))


def _kind(dtype: dt.dtype) -> str:
    return HALF.get(dtype) or MEMORY[dtype]


def _supported(plan: Plan) -> bool:
    layouts = [*plan.operands, *plan.outs]
    return (
        all(isinstance(o, Layout) and o.numel and o.dtype is plan.outs[0].dtype for o in layouts)
        and (plan.outs[0].dtype in FLOATING or plan.outs[0].dtype in HALF)
        and 3 <= plan.outs[0].ndim <= 5
    )


def forward(plan: Plan) -> Lowered | None:
    """``convolution``"""
    if not _supported(plan):
        return None
    input, weight, out = _image(0, plan.operands[0]), _image(1, plan.operands[1]), _image(len(plan.operands), plan.outs[0])
    g = _Geometry.of(plan, weight.shape[2:])
    if _widens(plan, g, weight.shape):
        return half.as_float(plan, forward)
    columns = weight.shape[0] // g.groups
    parts = [[Part(0, 1, n, -p, s, w, d, 0, 1)] for n, p, s, w, d in zip(out.shape[2:], g.padding, g.stride, g.window, g.dilation, strict=True)]
    k = tuple(zip(weight.shape[1:], weight.stride[1:], strict=True))
    b = Side(weight.pointer, g.groups, columns, columns * weight.stride[0], weight.stride[0], k, False, weight.kind)
    return _gathered(plan, input, b, out, parts, plan.operands[2] if len(plan.operands) > 2 else None)


def input_gradient(plan: Plan) -> Lowered | None:
    """``convolution_input``: a contraction for each residue of the places modulo the stride."""
    if not _supported(plan):
        return None
    grad, weight, out = _image(0, plan.operands[0]), _image(1, plan.operands[1]), _image(len(plan.operands), plan.outs[0])
    g = _Geometry.of(plan, weight.shape[2:])
    if _widens(plan, g, weight.shape):
        return half.as_float(plan, input_gradient)
    channels, columns = weight.shape[0] // g.groups, weight.shape[1]
    parts = [residues(*each) for each in zip(out.shape[2:], g.window, g.stride, g.padding, g.dilation, strict=True)]
    k = ((channels, weight.stride[0]), *zip(g.window, weight.stride[2:], strict=True))
    # Both sides go upwards through memory, which reads ahead: the window is packed backwards.
    b = Side(weight.pointer, g.groups, columns, channels * weight.stride[0], weight.stride[1], k, True, weight.kind)
    return _gathered(plan, grad, b, out, parts, plan.operands[2] if len(plan.operands) > 2 else None)


def _is_of_single_channels(g: _Geometry, weight: Shape) -> bool:
    """Whether each channel has a window of its own."""
    return weight[1] == 1 and weight[0] == g.groups > 1 and math.prod(g.window) <= _MOST_TAPS


def _widens(plan: Plan, g: _Geometry, weight: Shape) -> bool:
    """Whether half precision becomes float32 in memory: windows of single channels do, and where reading some lanes takes as long as one by one."""
    return plan.outs[0].dtype in HALF and (_is_of_single_channels(g, weight) or not has_masks())


def _pairs(kind: str, count: int, groups: int = 1) -> bool:
    """Whether so many channels of each group, or samples, are multiplied in pairs."""
    return kind == "bf16" and llvm.multiplies_pairs() and count > 1 and (groups == 1 or count % 2 == 0)


def _gathered(plan: Plan, source: Image, b: Side, out: Image, parts: list[list[Part]], bias: Any) -> Lowered:
    c = Calls(out.kind, _pairs(out.kind, b.channels, b.groups))
    if b.columns == b.channels == 1 < b.groups and math.prod(b.window) <= _MOST_TAPS:
        _windows(c, source, b, out, parts, bias)
    elif c.pairs:
        gathered(c, source.paired(1), b.paired(), out, parts, bias)
    else:
        gathered(c, source, b, out, parts, bias)
    return c.lowered()


def _windows(c: Calls, source: Image, b: Side, out: Image, parts: list[list[Part]], bias: Any) -> None:
    """The same for channels that each have a window of their own."""
    weight, group_step, steps = b.pointer, b.group_step, tuple(step for _, step in b.k[1:])
    if depthwise.prefers_channels(source.stride[1], out.stride[1]) and group_step != 1:
        weight, group_step = c.copied(b.kind, weight, (*b.window, b.groups), (*steps, group_step)), 1
        steps = tuple(n * b.groups for n in contiguous_strides(b.window))
    start = c.vector(Pointer(2), bias.shape[0], bias.stride[0]) if bias is not None else None
    found = []
    for each in itertools.product(*parts):
        taps = []
        for numbers in itertools.product(*(range(p.taps) for p in each)):
            at = [p.b_first + n * p.b_step for n, p in zip(numbers, each, strict=True)]
            if b.backwards:
                at = [size - 1 - n for n, size in zip(at, b.window, strict=True)]
            place = [p.start + n * p.tap_step for n, p in zip(numbers, each, strict=True)]
            taps.append((place, sum(n * s for n, s in zip(at, steps, strict=True))))
        first = sum(p.first * s for p, s in zip(each, out.stride[2:], strict=True))
        found.append(depthwise.Part(first, [p.places for p in each], taps))
    moves, spread = (tuple(getattr(each[0], name) for each in parts) for name in ("step", "stride"))
    depthwise.windows(c, source, out, found, moves, spread, (weight, group_step), start)


def weight_gradient(plan: Plan) -> Lowered | None:
    """``convolution_weight``: sums over blocks of places of the output, one block after the other."""
    if not _supported(plan):
        return None
    input, grad = _image(0, plan.operands[0]), _image(1, plan.operands[1])
    out = _image(2, plan.outs[0])
    g = _Geometry.of(plan, out.shape[2:])
    if _widens(plan, g, out.shape):
        return half.as_float(plan, weight_gradient)
    c = Calls(out.kind, _pairs(out.kind, input.shape[0]))
    columns, channels = grad.shape[1] // g.groups, out.shape[1]
    if _is_of_single_channels(g, out.shape):
        return _window_sums(c, g, input, grad, out)
    samples = -(-input.shape[0] // 2) if c.pairs else input.shape[0]
    slices = slices_of(c, g.groups, channels * math.prod(g.window), columns, samples * math.prod(grad.shape[2:]))
    if slices:
        sliced(c, g.groups, slices, input, grad, out, (g.stride, g.padding, g.dilation))
        return c.lowered()
    if c.pairs:
        input, grad = input.paired(0), grad.paired(0)
    rows, inner = channels * math.prod(g.window), math.prod(grad.shape[2:])
    width = c.panel_width(columns) * -(-columns // c.panel_width(columns))
    together = samples if samples * inner <= 2 * _BLOCK else max(1, _BLOCK // inner)  # samples in a block
    at_once = max(1, _PACKED_BYTES // (g.groups * inner * width * c.size) // together) * together
    total = _Total.of(c, g, out, rows, width, direct=inner < _BLOCK and samples * inner <= 2 * _BLOCK)
    used = c.used
    for first in range(0, samples, at_once):
        c.used = used
        count = min(at_once, samples - first)
        some = grad.samples(first, count)
        k = tuple(zip((count, *grad.shape[2:]), grad.places, strict=True))
        seen = c.padded(input.samples(first, count), g.padding, g.behind(input, grad), 0)
        steps = [s * d for s, d in zip(seen.stride[2:], g.dilation, strict=True)]
        packed = c.panels(Side(some.pointer, g.groups, columns, columns * grad.stride[1], grad.stride[1], k, False, some.kind, some.second, some.full))
        a_sample, *a_steps = seen.stride[0], *g.strided(seen)
        b_sample, *b_steps = packed.steps(grad.shape[2:])
        if inner < _BLOCK:
            block = [min(count, together), *grad.shape[2:]]
            outer, k_depth, block_a, block_b = (1, 0, 0), count * inner, block[0] * a_sample, block[0] * b_sample
        else:  # blocks of planes, or of lines, in each sample
            dim = 0 if grad.shape[2] > 1 else 1
            block = [1, *grad.shape[2:]]
            block[1 + dim] = max(1, min(block[1 + dim], _BLOCK // math.prod(block[2 + dim :])))
            outer, k_depth, block_a, block_b = (count, a_sample, b_sample), inner, block[1 + dim] * a_steps[dim], block[1 + dim] * b_steps[dim]
        c.contraction(
            Contraction(
                rows=axes((channels, *g.window), (seen.stride[1], *steps), [n * total.row_step for n in contiguous_strides((channels, *g.window))]),
                k=axes(block, (a_sample, *a_steps), (b_sample, *b_steps)),
                a=seen.moved([-p for p in g.padding]),
                b=packed,
                out=total.pointer,
                group_a=channels * seen.stride[1],
                a_bytes=math.prod(seen.shape) * c.size,
                group_out=total.group_step,
                depth=k_depth,
                block_a=block_a,
                block_b=block_b,
                outer=outer,
                adds=first > 0,
                column_step=total.column_step,
            )
        )
    total.finish(c, g, out)
    return c.lowered()


class _Total(NamedTuple):
    """Where a weight's gradient is summed: as rows of columns, or if there is but one block as the weight itself."""

    pointer: Pointer
    group_step: int
    row_step: int
    column_step: int  # 0 for rows of columns
    kind: str

    @staticmethod
    def of(c: Calls, g: _Geometry, out: Image, rows: int, width: int, direct: bool) -> _Total:
        columns = out.shape[0] // g.groups
        if not direct:
            step = (rows + MOST_ROWS) * width
            return _Total(c.room(g.groups * step * c.size), step, width, 0, c.type)
        if as_one_dim(out.shape[1:], out.stride[1:]) in ((rows, 1), (1, 0)):
            return _Total(out.pointer, columns * out.stride[0], 1, out.stride[0], c.kind)
        return _Total(c.room(out.shape[0] * rows * bytes_of(c.kind)), columns * rows, 1, rows, c.kind)

    def finish(self, c: Calls, g: _Geometry, out: Image) -> None:
        if self.pointer == out.pointer:
            return
        rows, columns = math.prod(out.shape[1:]), out.shape[0] // g.groups
        if not self.column_step and as_one_dim(out.shape[1:], out.stride[1:]) in ((rows, 1), (1, 0)):
            steps = (self.group_step, 0, self.row_step, 1)
            c.relayout(c.type, self.pointer, out.pointer, (g.groups, 1, rows, columns), steps, (columns * out.stride[0], 0, out.stride[0]), out=out.kind)
            return
        shape, (k_step, *rest) = (g.groups, columns, *out.shape[1:]), out.stride
        row_steps = [n * self.row_step for n in contiguous_strides(out.shape[1:])]
        kinds = (memory_type(c.kind), memory_type(c.kind)) if self.column_step else (c.type, c.kind)
        c.copy(shape, (self.pointer, (self.group_step, self.column_step or 1, *row_steps)), (out.pointer, (columns * k_step, k_step, *rest)), *kinds)


def _window_sums(c: Calls, g: _Geometry, input: Image, grad: Image, out: Image) -> Lowered:
    """The same for channels that each have a window of their own."""
    taps = []
    for numbers in itertools.product(*map(range, g.window)):
        place = [n * d - p for n, d, p in zip(numbers, g.dilation, g.padding, strict=True)]
        taps.append((place, sum(n * s for n, s in zip(numbers, out.stride[2:], strict=True))))
    if input.stride[1] != 1 or grad.stride[1] != 1:
        input, grad = c.channels_first(input), c.channels_first(grad)
    depthwise.sums(c, input, grad, taps, g.stride, (out.pointer, out.stride[0]))
    return c.lowered()
