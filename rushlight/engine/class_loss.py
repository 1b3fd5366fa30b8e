"""Kernel calls of losses over classes: cross entropy of logits, negative log-likelihood, and their gradients.

A sample's classes are a row, or, where the classes are not the last dim, a lane of a reduction across (across.py); either way the formulas
are the same. The loss takes two kernels: one for each sample's loss, one for their mean or sum. The gradient of a mean needs the
sum of the samples' weights first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..shape import Layout, as_one_dim, contiguous, contiguous_strides
from .across import Operand, across
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .lowering import FLOATING
from .nests import Bound, Form, needed_nodes, row_call, strided_copy
from .terms import MEMORY, Term, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan


class _Loss:
    """The calls of one entry, over samples, classes and the places of a sample."""

    def __init__(self, plan: Plan, input: int) -> None:
        self.plan, self.first = plan, input
        layout, self.target, *weights = plan.operands[input:]
        self.input: Layout = layout
        self.type, self.index = MEMORY[layout.dtype], MEMORY[self.target.dtype]
        dim = min(1, layout.ndim - 1)
        self.samples, self.classes, self.places = math.prod(layout.shape[:dim]), layout.shape[dim], math.prod(layout.shape[dim + 1 :])
        self.weight: Layout | None = weights[0] if weights else None
        self.smoothing: float = plan.params.get("label_smoothing", 0.0)
        self.logits = plan.card.name.startswith("cross_entropy")
        self.mean = plan.params["reduction"] == "mean"
        self.calls: list[Call] = []
        self.used = self.workspace = 0

    @property
    def count(self) -> int:
        return self.samples * self.places

    def take(self, count: int) -> Pointer:
        """Room for so many elements."""
        self.used = -(-self.used // 64) * 64 + count * 8
        self.workspace = max(self.workspace, self.used)
        return Pointer(WORKSPACE, self.used - count * 8)

    def add(self, lowered: Lowered) -> None:
        self.calls.extend(lowered.calls)
        self.workspace = max(self.workspace, lowered.workspace)

    def lying(self, operand: int, layout: Layout) -> tuple[Pointer, Layout]:
        """An operand whose samples and places are a dim each, the places next to each other; copied where it is not."""
        dim = 1 if layout.ndim < self.input.ndim else 2
        places = as_one_dim(layout.shape[dim:], layout.stride[dim:])
        if self.places == 1 or (places is not None and places[1] == 1):
            return Pointer(operand), layout
        room = self.take(layout.numel)
        copied = strided_copy(MEMORY[layout.dtype], layout.shape, (Pointer(operand), layout.stride), (room, contiguous_strides(layout.shape)))
        assert copied is not None
        self.add(copied)
        return room, contiguous(layout.shape, layout.dtype)

    def by_class(self, operand: int, layout: Layout) -> Operand:
        """An operand with an element for each class of each sample."""
        pointer, layout = self.lying(operand, layout)
        dim = min(1, layout.ndim - 1)
        return Operand(pointer, MEMORY[layout.dtype], layout.stride[0] if dim else 0, layout.stride[dim])

    def by_sample(self, operand: int, layout: Layout) -> Operand:
        pointer, layout = self.lying(operand, layout)
        return Operand(pointer, MEMORY[layout.dtype], layout.stride[0] if layout.ndim else 0, None)

    def weights(self) -> list[Operand]:
        """One for each class."""
        return [] if self.weight is None else [Operand(Pointer(self.first + 2), self.type, 0, self.weight.stride[0], 0)]

    def one(self, pointer: Pointer) -> Operand:
        """One number for all."""
        return Operand(pointer, self.type, 0, 0, 0)

    def each(self, pointer: Pointer) -> Operand:
        """Results for each sample."""
        return Operand(pointer, self.type, self.places, None)

    def run(self, k: Terms, operands: list[Operand]) -> None:
        """A kernel over all samples and classes."""
        if self.input.ndim > 2:
            self.add(across(k.nodes, operands, (self.samples, self.classes, self.places), self.used))
            return
        nodes, names = needed_nodes(k.nodes)
        bound = [Bound(o.pointer, o.type, (o.of_outer,), o.of_step or 0) for o in operands]
        self.add(row_call(Form((self.samples,), self.classes, nodes, [bound[n] for n in names]), self.used))

    def kept(self, k: Terms, target: Term) -> Term:
        return k.compare("ne", target, self.plan.params["ignore_index"])

    def weight_of(self, k: Terms, kept: Term, target: Term, weight: int) -> Term:
        """A sample's weight, 0 if it is ignored; `weight` is the number of that operand."""
        own = k.constant(1, self.type) if self.weight is None else k.at(weight, self.type, k.select(kept, target, 0))
        return k.select(kept, own, 0)

    def total(self, parts: list[Pointer], out: Pointer) -> None:
        """The sum of the samples' losses, divided by that of their weights if there are two vectors."""
        k = Terms()
        sums = [k.sum(k.load(n, self.type, self.type)) for n in range(len(parts))]
        found = sums[0] / sums[1] if len(sums) == 2 else sums[0]
        k.store(len(parts), found, self.type)
        vectors = [Bound(p, self.type, (), 1) for p in parts]
        self.add(row_call(Form((), self.count, k.nodes, [*vectors, Bound(out, self.type)]), self.used))

    def lowered(self) -> Lowered:
        return Lowered(tuple(self.calls), self.workspace)


def _fits(layouts: tuple[Layout, ...]) -> bool:
    if not all(isinstance(o, Layout) for o in layouts):
        return False
    input, target, *weights = layouts
    return input.dtype in FLOATING and input.ndim > 0 and target.dtype in MEMORY and all(w.dtype is input.dtype and w.ndim == 1 for w in weights)


def forward(plan: Plan) -> Lowered | None:
    """Operands: input, target, weight if there is one; the loss."""
    if not _fits(plan.operands):
        return None
    loss = _Loss(plan, 0)
    type = loss.type
    operands = [loss.by_class(0, loss.input), loss.by_sample(1, loss.target), *loss.weights()]
    k = Terms()
    x, t = k.load(0, type, type), k.load(1, loss.index, loss.index)
    kept = loss.kept(k, t)
    own = loss.weight_of(k, kept, t, 2)
    found = k.at(0, type, k.select(kept, t, 0))
    if loss.logits:
        top = k.largest(x)
        shifted = x - top
        norm = k.log(k.sum(k.exp_below(shifted)))
        found = (found - top) - norm
    found = k.select(kept, -found, 0) if loss.weight is None else k.select(k.compare("eq", own, 0), 0, -found * own)
    if loss.smoothing:
        if loss.weight is None:
            everywhere = norm * float(loss.classes) - k.sum(shifted)
        else:
            w = k.load(2, type, type)
            everywhere = norm * k.sum(w) - k.sum(shifted * w)
        found = found * (1 - loss.smoothing) + k.select(kept, everywhere, 0) * (loss.smoothing / loss.classes)
    out = Pointer(len(plan.operands))
    k.store(len(operands), found, type)
    if plan.params["reduction"] == "none":
        loss.run(k, [*operands, loss.each(out)])
        return loss.lowered()
    parts = [loss.take(loss.count) for _ in range(1 + loss.mean)]
    if loss.mean:
        k.store(len(operands) + 1, own, type)
    loss.run(k, [*operands, *map(loss.each, parts)])
    loss.total(parts, out)
    return loss.lowered()


def backward(plan: Plan) -> Lowered | None:
    """Operands: the gradient of the loss, input, target, weight if there is one; the gradient of the input."""
    grad, *rest = plan.operands
    if not _fits(tuple(rest)) or grad.dtype is not rest[0].dtype:
        return None
    loss = _Loss(plan, 1)
    type = loss.type
    if loss.mean:
        given = loss.one(_share(loss))
    else:
        given = loss.by_sample(0, grad) if grad.ndim else loss.one(Pointer(0))
    operands = [given, loss.by_class(1, loss.input), loss.by_sample(2, loss.target), *loss.weights()]
    k = Terms()
    g, t = k.load(0, type, type), k.load(2, loss.index, loss.index)
    kept = loss.kept(k, t)
    own = loss.weight_of(k, kept, t, 3)
    scale = k.select(kept, g, 0) if loss.weight is None else k.select(kept, own * g, 0)
    chosen = k.compare("eq", k.position(), k.convert(t, "i32"))
    if loss.logits:
        x = k.load(1, type, type)
        e = k.exp_below(x - k.largest(x))
        total = scale
        if loss.smoothing:
            # Of the loss, `scale` is on the target and `spread` on every class.
            spread = k.select(kept, g, 0) * (loss.smoothing / loss.classes)
            w = None if loss.weight is None else k.load(3, type, type)
            scale = scale * (1 - loss.smoothing)
            total = scale + spread * (float(loss.classes) if w is None else k.sum(w))
        found = e * (total / k.sum(e))
        if loss.smoothing:
            found = found - (spread if w is None else spread * w)
        found = k.select(chosen, found - scale, found)
    else:
        found = k.select(chosen, -scale, 0)
    k.store(len(operands), found, type)
    out = Operand(Pointer(len(plan.operands)), type, loss.classes * loss.places, loss.places)
    loss.run(k, [*operands, out])
    return loss.lowered()


def _share(loss: _Loss) -> Pointer:
    """Where the gradient of a mean, divided by the sum of the samples' weights, is."""
    target, layout = loss.lying(2, loss.target)
    strides = (layout.stride[0] if layout.ndim else 0, 1)
    along = as_one_dim(layout.shape, layout.stride)
    share = loss.take(1)
    k = Terms()
    if loss.weight is None and along is not None:
        kept = loss.kept(k, k.load(1, loss.index, loss.index))
        counted, numbers = k.sum(k.select(kept, k.constant(1, loss.type), 0)), Bound(target, loss.index, (), along[1])
    else:
        own = loss.take(loss.count)
        each = Terms()
        t = each.load(0, loss.index, loss.index)
        each.store(2, loss.weight_of(each, loss.kept(each, t), t, 1), loss.type)
        weights = loss.weights()[0] if loss.weight is not None else loss.one(own)
        bound = [Bound(target, loss.index, strides), Bound(weights.pointer, loss.type, (0, 0), weights.of_step or 0), Bound(own, loss.type, (loss.places, 1))]
        nodes, names = needed_nodes(each.nodes)
        loss.add(row_call(Form((loss.samples, loss.places), 1, nodes, [bound[n] for n in names]), loss.used))
        counted, numbers = k.sum(k.load(1, loss.type, loss.type)), Bound(own, loss.type, (), 1)
    k.store(2, k.load(0, loss.type, loss.type) / counted, loss.type)
    loss.add(row_call(Form((), loss.count, k.nodes, [Bound(Pointer(0), loss.type), numbers, Bound(share, loss.type)]), loss.used))
    return share
