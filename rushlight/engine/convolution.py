"""Convolutions as contractions; see contraction.py.

    forward            rows are places of the output, columns its channels       k: channel of the input, place in the window
    gradient of input  rows are places of the input, columns its channels        k: channel of the output, place in the window
    gradient of weight rows are channel of the input and place in the window,    k: sample, place of the output
                       columns channels of the output

The left side is read in place through its strides, whatever they are; where windows reach beyond the image, from a copy with
zeros around it. The right side is packed into panels of columns. The gradient of the input gathers: a place of the input, modulo
the stride, says which places of the window ever reach it, so each residue is a contraction of its own.

Bits: the order of k depends on the geometry alone, the layouts of operands and results do not matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..shape import Layout, Shape, as_one_dim, contiguous_strides
from .contraction import MOST_ROWS, Calls, Contraction, Image, Result, axes
from .kernel import Lowered, Pointer
from .lowering import FLOATING
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan

#: Places of the output in a block of a weight's gradient, about: a panel of as many rows stays in the first-level cache.
_BLOCK = 256


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
    return Image(Pointer(operand), (*shape[:2], *(1,) * lead, *shape[2:]), (*stride[:2], *(0,) * lead, *stride[2:]))


def _supported(plan: Plan) -> bool:
    layouts = [*plan.operands, *plan.outs]
    return (
        all(isinstance(o, Layout) and o.numel and o.dtype is plan.outs[0].dtype for o in layouts)
        and plan.outs[0].dtype in FLOATING
        and 3 <= plan.outs[0].ndim <= 5
    )


def forward(plan: Plan) -> Lowered | None:
    """``convolution``"""
    if not _supported(plan):
        return None
    input, weight = _image(0, plan.operands[0]), _image(1, plan.operands[1])
    biases = plan.operands[2:]
    out = _image(2 + len(biases), plan.outs[0])
    g = _Geometry.of(plan, weight.shape[2:])
    c = Calls(MEMORY[plan.outs[0].dtype])
    channels, columns = weight.shape[1], weight.shape[0] // g.groups
    seen = c.padded(input, g.padding, g.behind(input, out))
    k = [(channels, weight.stride[1]), *zip(g.window, weight.stride[2:], strict=True)]
    places = seen.stride[4] * g.stride[2] == 1 and out.stride[4] == 1 and c.prefers_places(out.shape[4], columns, channels * math.prod(g.window))
    packed = (c.columns if places else c.panels)(weight.pointer, g.groups, columns, columns * weight.stride[0], weight.stride[0], k)
    bias = c.vector(Pointer(2), biases[0].shape[0], biases[0].stride[0]) if biases else None
    steps = [s * d for s, d in zip(seen.stride[2:], g.dilation, strict=True)]
    result = Result(out, "places") if places else c.result(out)
    c.contraction(
        Contraction(
            rows=axes((out.shape[0], *out.shape[2:]), (seen.stride[0], *g.strided(seen)), result.image.places),
            k=axes((channels, *g.window), (seen.stride[1], *steps), packed.steps(g.window)),
            a=seen.moved([-p for p in g.padding], c.size),
            b=packed,
            out=result.image.pointer,
            column_step=result.image.stride[1],
            store=result.store,
            group_a=channels * seen.stride[1],
            group_out=columns * result.image.stride[1],
            bias=bias,
        )
    )
    c.finish(out, result)
    return c.lowered()


def input_gradient(plan: Plan) -> Lowered | None:
    """``convolution_input``: a contraction for each residue of the places modulo the stride."""
    if not _supported(plan):
        return None
    grad, weight = _image(0, plan.operands[0]), _image(1, plan.operands[1])
    out = _image(2, plan.outs[0])
    g = _Geometry.of(plan, weight.shape[2:])
    c = Calls(MEMORY[plan.outs[0].dtype])
    channels, columns = weight.shape[0] // g.groups, weight.shape[1]
    residues = [_residues(*each) for each in zip(out.shape[2:], g.window, g.stride, g.padding, g.dilation, strict=True)]
    low = [max(0, *(-r.lowest for r in each)) for each in residues]
    high = [max(0, *(r.highest - n + 1 for r in each)) for each, n in zip(residues, grad.shape[2:], strict=True)]
    seen = c.padded(grad, low, high)
    k = [(channels, weight.stride[0]), *zip(g.window, weight.stride[2:], strict=True)]
    regular = max(g.stride) == 1
    places = seen.stride[4] == 1 and (out.stride[4] == 1 or not regular) and c.prefers_places(residues[2][0].places, columns, channels * math.prod(g.window))
    # Both sides go upwards through memory, which reads ahead: the window is packed backwards.
    packed = (c.columns if places else c.panels)(weight.pointer, g.groups, columns, channels * weight.stride[0], weight.stride[1], k, backwards=True)
    result = Result(out, "places") if places else c.result(out, regular)
    b_channel, *b_steps = packed.steps(g.window)
    for each in itertools.product(*residues):
        b_start = sum((n - 1 - r.last_tap) * step for n, r, step in zip(g.window, each, b_steps, strict=True)) * c.size
        part = result.image.every([r.number for r in each], g.stride, [r.places for r in each], c.size)
        target = c.planes(part.shape) if places and not regular else part
        c.contraction(
            Contraction(
                rows=axes((out.shape[0], *(r.places for r in each)), seen.places, target.places),
                k=axes(
                    (channels, *(r.taps for r in each)),
                    (seen.stride[1], *(r.back * s for r, s in zip(each, seen.stride[2:], strict=True))),
                    (b_channel, *(r.tap_step * step for r, step in zip(each, b_steps, strict=True))),
                ),
                a=seen.moved([r.lowest for r in each], c.size),
                b=packed._replace(pointer=packed.pointer._replace(offset=packed.pointer.offset + b_start)),
                out=target.pointer,
                column_step=target.stride[1],
                store=result.store,
                group_a=channels * seen.stride[1],
                group_out=columns * target.stride[1],
            )
        )
        if target is not part:
            c.copy(part.shape, (target.pointer, target.stride), (part.pointer, part.stride))
    c.finish(out, result)
    return c.lowered()


class _Residue(NamedTuple):
    """The places ``number + i * stride`` of an input's dim, and which places of the output they belong to.

    Place i takes part in the window's taps ``tap + j * tap_step``, at the output's places ``start + i - j * back``.
    """

    number: int
    places: int
    tap: int
    taps: int
    tap_step: int
    start: int
    back: int

    @property
    def last_tap(self) -> int:
        return self.tap + max(self.taps - 1, 0) * self.tap_step

    @property
    def lowest(self) -> int:
        return self.start - (self.taps - 1) * self.back if self.taps else 0

    @property
    def highest(self) -> int:
        return self.start + self.places - 1 if self.taps else 0


def _residues(size: int, window: int, stride: int, padding: int, dilation: int) -> list[_Residue]:
    found = []
    tap_step = stride // math.gcd(stride, dilation)
    for number in range(min(stride, size)):
        places = -(-(size - number) // stride)
        tap = next((r for r in range(min(window, tap_step)) if (number + padding - r * dilation) % stride == 0), None)
        if tap is None:
            found.append(_Residue(number, places, 0, 0, 1, 0, 0))
            continue
        start = (number + padding - tap * dilation) // stride
        found.append(_Residue(number, places, tap, -(-(window - tap) // tap_step), tap_step, start, tap_step * dilation // stride))
    return found


def weight_gradient(plan: Plan) -> Lowered | None:
    """``convolution_weight``: sums over blocks of places of the output, one block after the other."""
    if not _supported(plan):
        return None
    input, grad = _image(0, plan.operands[0]), _image(1, plan.operands[1])
    out = _image(2, plan.outs[0])
    g = _Geometry.of(plan, out.shape[2:])
    c = Calls(MEMORY[plan.outs[0].dtype])
    samples, columns, channels = grad.shape[0], grad.shape[1] // g.groups, out.shape[1]
    seen = c.padded(input, g.padding, g.behind(input, grad))
    packed = c.panels(grad.pointer, g.groups, columns, columns * grad.stride[1], grad.stride[1], [(n, s) for n, s in zip((samples, *grad.shape[2:]), grad.places, strict=True)])
    a_sample, *a_steps = seen.stride[0], *g.strided(seen)
    b_sample, *b_steps = packed.steps(grad.shape[2:])
    steps = [s * d for s, d in zip(seen.stride[2:], g.dilation, strict=True)]
    rows = channels * math.prod(g.window)
    width = packed.panels * packed.width
    group_step = (rows + MOST_ROWS) * width
    total = c.room(g.groups * group_step * c.size)
    depth = grad.shape[2]
    inner = math.prod(grad.shape[2:])
    if inner < _BLOCK:  # blocks of samples
        block = [max(1, min(samples, _BLOCK // inner)), *grad.shape[2:]]
        outer, k_depth, block_a, block_b = (1, 0, 0), samples * inner, block[0] * a_sample, block[0] * b_sample
    else:  # of planes, or of lines, in each sample
        dim = 0 if depth > 1 else 1
        block = [1, *grad.shape[2:]]
        block[1 + dim] = max(1, min(block[1 + dim], _BLOCK // math.prod(block[2 + dim :])))
        outer, k_depth, block_a, block_b = (samples, a_sample, b_sample), inner, block[1 + dim] * a_steps[dim], block[1 + dim] * b_steps[dim]
    c.contraction(
        Contraction(
            rows=axes((channels, *g.window), (seen.stride[1], *steps), [n * width for n in contiguous_strides((channels, *g.window))]),
            k=axes(block, (a_sample, *a_steps), (b_sample, *b_steps)),
            a=seen.moved([-p for p in g.padding], c.size),
            b=packed,
            out=total,
            column_step=1,
            store="sum",
            group_a=channels * seen.stride[1],
            group_out=group_step,
            depth=k_depth,
            block_a=block_a,
            block_b=block_b,
            outer=outer,
        )
    )
    if as_one_dim(out.shape[1:], out.stride[1:]) in ((rows, 1), (1, 0)):
        c.relayout(total, out.pointer, (g.groups, 1, rows, columns), (group_step, 0, width, 1), (columns * out.stride[0], 0, out.stride[0]))
    else:
        shape, (k_step, *rest) = (g.groups, columns, channels, *g.window), out.stride
        row_steps = [n * width for n in contiguous_strides((channels, *g.window))]
        c.copy(shape, (total, (group_step, 1, *row_steps)), (out.pointer, (columns * k_step, k_step, *rest)))
    return c.lowered()
