"""Batch norm and group norm as kernel calls: statistics of every channel, then a loop over the elements.

Channels lie in one of two ways. "Rows": the places of a channel in one sample are a row (channels first). "Columns": each
row has one element of every channel (channels last, or no places at all). Sums go over the places of every sample and then
over samples, also where channels lie last, so that their order follows from the shapes alone.

Elements may be in half precision where all else is float32, as under autocast: they are read and rounded in the loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..shape import Layout, as_one_dim, contiguous_strides
from . import half
from .copied import as_contiguous
from .kernel import WORKSPACE, Call, Lowered, Pointer, joined
from .lowering import FLOATING
from .nests import Bound, Form, elementwise_call, row_call, sum_over_rows, sums_over_rows
from .terms import HALF, LOOP_MEMORY, MEMORY, REGISTER, Term, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan

#: From so many samples on, chunks share them out; below, channels.
_SAMPLES_SHARED_FROM = 4

Body = Callable[..., Sequence[Term]]


class _Channels:
    """The calls of one entry, over an input's samples, channels and places."""

    def __init__(self, input: Layout) -> None:
        self.samples, self.channels = input.shape[:2]
        self.places = math.prod(input.shape[2:])
        self.dtype = input.dtype  # of elements
        self.type = REGISTER[input.dtype]
        self.columns = self.places == 1 or (input.stride[1] == 1 and self.channels > 1)
        self.size = float(self.samples * self.places)
        self.calls: list[Call] = []
        self.used = 0  # bytes of the workspace that hold results
        self.workspace = 0

    def elements(self, operand: int, layout: Layout) -> Bound | None:
        """A tensor of the input's shape; None if it lies in another way."""
        if self.columns:
            rows = as_one_dim(layout.shape[:1] + layout.shape[2:], layout.stride[:1] + layout.stride[2:])
            return None if rows is None else Bound(Pointer(operand), LOOP_MEMORY[self.dtype], (rows[1],), layout.stride[1])
        if any(n != 1 and s != wanted for n, s, wanted in zip(layout.shape[2:], layout.stride[2:], contiguous_strides(layout.shape[2:]), strict=True)):
            return None
        return Bound(Pointer(operand), LOOP_MEMORY[self.dtype], self._outer(*layout.stride[:2]), 1)

    def parameter(self, operand: int, given: Any) -> Bound:
        """A number, or a vector with one element for every channel."""
        if not isinstance(given, Layout):
            return _number(operand, given)
        return self.vector(Pointer(operand), given.stride[0])

    def vector(self, pointer: Pointer, stride: int = 1) -> Bound:
        return Bound(pointer, self.type, (0,), stride) if self.columns else Bound(pointer, self.type, self._outer(0, stride), 0)

    def scratch(self) -> Bound:
        """A vector in the workspace."""
        return self.vector(self._take(self.channels))

    def _take(self, count: int) -> Pointer:
        self.used += count * 8
        self.workspace = max(self.workspace, self.used)
        return Pointer(WORKSPACE, self.used - count * 8)

    def _outer(self, of_sample: int, of_channel: int) -> tuple[int, ...]:
        return (of_sample, of_channel) if self.samples >= _SAMPLES_SHARED_FROM else (of_channel, of_sample)

    def each(self, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body) -> None:
        """Results for every element."""
        outer = (self.samples * self.places,) if self.columns else self._outer(self.samples, self.channels)
        self._add(row_call(_form(self.dtype, outer, self.channels if self.columns else self.places, inputs, outputs, body)))

    def each_channel(self, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body) -> None:
        """Results for every channel from vectors."""
        along = [self._along(b) for b in (*inputs, *outputs)]
        self._add(Lowered((elementwise_call(_form(self.dtype, (), self.channels, along[: len(inputs)], along[len(inputs) :], body)),)))

    def _along(self, vector: Bound) -> Bound:
        """A vector as a row."""
        return vector if vector.number else vector._replace(outer=(), along=vector.along if self.columns else sum(vector.outer))

    def sums(self, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body) -> None:
        """The sums of terms over every channel."""
        if self.places == 1:
            form = _form(self.dtype, (self.samples,), self.channels, inputs, outputs, body, "column_sum")
            self._add(sums_over_rows(form, self.used))
            return
        before = self.used
        inputs, outputs = [self._by_row(b) for b in inputs], [self._by_row(b) for b in outputs]
        partials = [self._take(self.samples * self.channels) for _ in outputs]
        by_row = [Bound(p, self.type, self._outer(1, self.samples), 0) for p in partials]

        def row_sums(k: Terms, *terms: Term) -> list[Term]:
            return [k.sum(term) for term in body(k, *terms)]

        self._add(row_call(_form(self.dtype, self._outer(self.samples, self.channels), self.places, inputs, by_row, row_sums)))
        rows = [Bound(p, self.type, (self.samples,), 1) for p in partials]
        totals = [b._replace(outer=(sum(b.outer),), along=0) for b in outputs]
        self._add(row_call(_form(self.dtype, (self.channels,), self.samples, rows, totals, lambda k, *terms: [k.sum(t) for t in terms])))
        self.used = before

    def _by_row(self, bound: Bound) -> Bound:
        """The same where the places of a channel in one sample are a row."""
        if not self.columns or bound.number:
            return bound
        (of_place,) = bound.outer
        return bound._replace(outer=self._outer(of_place * self.places, bound.along), along=of_place)

    def _add(self, lowered: Lowered) -> None:
        self.calls.extend(lowered.calls)
        self.workspace = max(self.workspace, lowered.workspace)

    def lowered(self) -> Lowered:
        return Lowered(tuple(self.calls), self.workspace)


def _number(operand: int, type: Any) -> Bound:
    """A Python number, which stands for a missing weight or bias."""
    return Bound(Pointer(operand), "double" if type is float else "i64", number=True)


def _form(dtype: dt.dtype, outer: tuple[int, ...], row: int, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body, stored_by: str = "store") -> Form:
    """`dtype` is that of elements: what has it in memory is read as a register has it, and rounded when it is written."""
    k, type = Terms(), REGISTER[dtype]

    def loaded(n: int, b: Bound) -> Term:
        if b.number:
            return k.convert(k.number(n, b.type), type)
        found = k.load(n, b.type, b.type)
        return found if b.type == type else k.widen(found, dtype)

    terms = [loaded(n, b) for n, b in enumerate(inputs)]
    for n, (b, result) in enumerate(zip(outputs, body(k, *terms), strict=True), len(inputs)):
        k.node(stored_by, ((result if b.type == type else k.narrow(result, dtype)).number,), b.type, n)
    return Form(outer, row, k.nodes, [*inputs, *outputs])


def _floats(plan: Plan, elements: Sequence[Layout]) -> bool:
    """Whether all operands and results have one native floating-point dtype; or these elements half precision, and all else float32."""
    (dtype, *others) = {o.dtype for o in elements}
    rest = [o.dtype for o in (*plan.operands, *plan.outs) if isinstance(o, Layout)]
    for o in elements:
        rest.remove(o.dtype)
    return not others and dtype in (*FLOATING, *HALF) and set(rest) <= {dt.float32 if dtype in HALF else dtype}


def _in_half(plan: Plan, make: Callable[[Plan], Lowered | None]) -> Lowered | None:
    """Where not only elements are in half precision: through copies in float32."""
    return half.as_float(plan, make) if plan.operands[0].dtype in HALF else None


def batch_norm(plan: Plan) -> Lowered | None:
    """The output, and the mean, the reciprocal deviation and the variance of every channel."""
    input, weight, bias = plan.operands
    if not _floats(plan, (input, plan.outs[0])):
        return _in_half(plan, batch_norm)
    c = _Channels(input)
    x, out = c.elements(0, input), c.elements(3, plan.outs[0])
    if x is None or out is None:
        return as_contiguous(plan, batch_norm)
    mean, rstd, variance = (c.vector(Pointer(n)) for n in (4, 5, 6))
    total, scale = c.scratch(), c.scratch()
    eps = plan.params["eps"]
    c.sums([x], [total], lambda k, x: [x])
    c.each_channel([total], [mean], lambda k, total: [total / c.size])
    c.sums([x, mean], [total], lambda k, x, mean: [(x - mean) * (x - mean)])

    def statistics(k: Terms, total: Term, weight: Term) -> list[Term]:
        found = total / c.size
        reciprocal = 1 / k.sqrt(found + eps)
        return [found, reciprocal, reciprocal * weight]

    c.each_channel([total, c.parameter(1, weight)], [variance, rstd, scale], statistics)
    c.each([x, mean, scale, c.parameter(2, bias)], [out], lambda k, x, mean, scale, bias: [(x - mean) * scale + bias])
    return c.lowered()


def batch_norm_backward(plan: Plan) -> Lowered | None:
    """The gradients of the input, the weight and the bias, as far as they are wanted."""
    grad_output, input, weight, *_ = plan.operands
    if not _floats(plan, (grad_output, input, *plan.outs[: int(plan.params["output_mask"][0])])):
        return _in_half(plan, batch_norm_backward)
    c = _Channels(input)
    mask, targets = plan.params["output_mask"], _targets(plan, 5)
    g, x = c.elements(0, grad_output), c.elements(1, input)
    grad_input = c.elements(*targets[0]) if mask[0] else x
    if g is None or x is None or grad_input is None:
        return as_contiguous(plan, batch_norm_backward)
    mean, rstd = c.parameter(3, plan.operands[3]), c.parameter(4, plan.operands[4])
    along, total = _parameter_sums(c, g, x, mean, rstd, targets)
    if mask[0]:
        scale = c.scratch()
        c.each_channel([rstd, c.parameter(2, weight)], [scale], lambda k, rstd, weight: [rstd * weight])

        def gradient(k: Terms, g: Term, x: Term, mean: Term, rstd: Term, scale: Term, along: Term, total: Term) -> list[Term]:
            return [(g - (x - mean) * (rstd * along / c.size) - total / c.size) * scale]

        c.each([g, x, mean, rstd, scale, along, total], [grad_input], gradient)
    return c.lowered()


def batch_norm_eval_backward(plan: Plan) -> Lowered | None:
    """The same under given statistics."""
    grad_output, input, weight, running_mean, running_var = plan.operands
    if not _floats(plan, (grad_output, input, *plan.outs[: int(plan.params["output_mask"][0])])):
        return _in_half(plan, batch_norm_eval_backward)
    c = _Channels(input)
    mask, targets = plan.params["output_mask"], _targets(plan, 5)
    g, x = c.elements(0, grad_output), c.elements(1, input)
    grad_input = c.elements(*targets[0]) if mask[0] else x
    if g is None or x is None or grad_input is None:
        return as_contiguous(plan, batch_norm_eval_backward)
    rstd, scale, eps = c.scratch(), c.scratch(), plan.params["eps"]

    def scales(k: Terms, variance: Term, weight: Term) -> list[Term]:
        reciprocal = 1 / k.sqrt(variance + eps)
        return [reciprocal, reciprocal * weight]

    c.each_channel([c.parameter(4, running_var), c.parameter(2, weight)], [rstd, scale], scales)
    if mask[1] or mask[2]:
        _parameter_sums(c, g, x, c.parameter(3, running_mean), rstd, targets)
    if mask[0]:
        c.each([g, scale], [grad_input], lambda k, g, scale: [g * scale])
    return c.lowered()


def _targets(plan: Plan, first: int) -> dict[int, tuple[int, Layout]]:
    """The operands that are the wanted gradients, and their layouts, by number: of the input, the weight, the bias."""
    wanted = [n for n, flag in enumerate(plan.params["output_mask"]) if flag]
    return {n: (first + place, plan.outs[place]) for place, n in enumerate(wanted)}


def _parameter_sums(c: _Channels, g: Bound, x: Bound, mean: Bound, rstd: Bound, targets: dict[int, tuple[int, Layout]]) -> tuple[Bound, Bound]:
    """The gradients of the weight and the bias: where they are wanted, or in the workspace."""
    found = [c.vector(Pointer(targets[n][0])) if n in targets else c.scratch() for n in (1, 2)]
    c.sums([g, x, mean, rstd], found, lambda k, g, x, mean, rstd: [(x - mean) * rstd * g, g])
    return found[0], found[1]


class _Groups:
    """Groups of channels of every sample, of contiguous elements: loops over samples, groups and channels of a group, around the places."""

    def __init__(self, input: Layout, groups: int) -> None:
        self.dtype, self.type = input.dtype, MEMORY[input.dtype]
        self.samples, self.groups, self.each = input.shape[0], groups, input.shape[1] // groups
        self.places = math.prod(input.shape[2:])
        self.size = self.each * self.places
        self.outer = (self.samples, groups, self.each)

    def elements(self, operand: int) -> Bound:
        return Bound(Pointer(operand), self.type, (self.groups * self.size, self.size, self.places), 1)

    def statistic(self, pointer: Pointer) -> Bound:
        """One for every group of every sample."""
        return Bound(pointer, self.type, (self.groups, 1, 0), 0)

    def channel(self, pointer: Pointer) -> Bound:
        """One for every channel of every sample."""
        return Bound(pointer, self.type, (self.groups * self.each, self.each, 1), 0)

    def parameter(self, operand: int, given: Any) -> Bound:
        """A number, or a vector with one element for every channel."""
        if not isinstance(given, Layout):
            return _number(operand, given)
        return Bound(Pointer(operand), self.type, (0, self.each * given.stride[0], given.stride[0]), 0)

    def by_place(self, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body) -> Lowered:
        return row_call(_form(self.dtype, self.outer, self.places, inputs, outputs, body))

    def by_channel(self, inputs: Sequence[Bound], outputs: Sequence[Bound], body: Body) -> Lowered:
        """Rows of the channels of a group, from one for every channel or every group."""
        along = [b if b.number else b._replace(outer=b.outer[:2], along=b.outer[2]) for b in (*inputs, *outputs)]
        return row_call(_form(self.dtype, self.outer[:2], self.each, along[: len(inputs)], along[len(inputs) :], body))


def group_norm(plan: Plan) -> Lowered | None:
    """The output, and the mean and the reciprocal deviation of every group of channels of every sample."""
    input, weight, bias = plan.operands
    out = plan.outs[0]
    if input.dtype not in FLOATING or not _floats(plan, (input, out)):
        return None
    if not input.contiguous or not out.contiguous:
        return as_contiguous(plan, group_norm)
    c, eps = _Groups(input, plan.params["groups"]), plan.params["eps"]
    mean, rstd = c.statistic(Pointer(4)), c.statistic(Pointer(5))

    def statistics(k: Terms, x: Term) -> list[Term]:
        average = k.sum(x) / float(c.size)
        centred = x - average
        return [average, 1 / k.sqrt(k.sum(centred * centred) / float(c.size) + eps)]

    def output(k: Terms, x: Term, mean: Term, rstd: Term, weight: Term, bias: Term) -> list[Term]:
        return [(x - mean) * rstd * weight + bias]

    rows = [Bound(Pointer(n), c.type, (of_row,), along) for n, of_row, along in ((0, c.size, 1), (4, 1, 0), (5, 1, 0))]
    first = row_call(_form(input.dtype, (c.samples * c.groups,), c.size, rows[:1], rows[1:], statistics))
    return joined([first, c.by_place([c.elements(0), mean, rstd, c.parameter(1, weight), c.parameter(2, bias)], [c.elements(3)], output)])


def group_norm_backward(plan: Plan) -> Lowered | None:
    """The gradients of the input, the weight and the bias, as far as they are wanted."""
    grad_output, input, weight, *statistics = plan.operands
    mask = plan.params["output_mask"]
    if input.dtype not in FLOATING or not _floats(plan, (grad_output, input, *plan.outs[: int(mask[0])])):
        return None
    if not all(o.contiguous for o in (grad_output, input, *statistics, *plan.outs)):
        return as_contiguous(plan, group_norm_backward)
    c, targets = _Groups(input, plan.params["groups"]), _targets(plan, 5)
    g, x, mean, rstd, scale = c.elements(0), c.elements(1), c.statistic(Pointer(3)), c.statistic(Pointer(4)), c.parameter(2, weight)
    channels, count = c.samples * c.groups * c.each * 8, c.samples * c.groups * 8
    products, totals, along = (c.channel(Pointer(WORKSPACE, n * channels)) for n in range(3))
    slope, shift = (c.statistic(Pointer(WORKSPACE, 3 * channels + n * count)) for n in range(2))
    used = 3 * channels + 2 * count

    def sums(k: Terms, g: Term, x: Term, mean: Term, rstd: Term) -> list[Term]:
        return [k.sum(g * x), k.sum(g), k.sum((x - mean) * rstd * g)]

    def lines(k: Terms, products: Term, totals: Term, mean: Term, rstd: Term, scale: Term) -> list[Term]:
        share = k.sum(totals * scale) / float(c.size)
        slope = (share * mean - k.sum(products * scale) / float(c.size)) * rstd * rstd * rstd
        return [slope, slope * mean + share * rstd]

    parts = [c.by_place([g, x, mean, rstd], [products, totals, along], sums)]
    if mask[0]:
        parts.append(c.by_channel([products, totals, mean, rstd, scale], [slope, shift], lines))
        inputs = [g, x, rstd, scale, slope, shift]
        parts.append(c.by_place(inputs, [c.elements(targets[0][0])], lambda k, g, x, rstd, scale, slope, shift: [g * scale * rstd + slope * x - shift]))
    for n, source in ((1, along), (2, totals)):
        if n in targets:
            width = c.groups * c.each
            each, target = (Bound(p, c.type, (step,), 1) for p, step in ((source.pointer, width), (Pointer(targets[n][0]), 0)))
            parts.append(sum_over_rows(each, target, c.samples, width, used=used))
    return Lowered(joined(parts).calls, max(used, joined(parts).workspace))
