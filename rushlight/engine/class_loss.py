"""Kernel calls of losses over classes: cross entropy of logits, negative log-likelihood, and their gradients.

A row is a sample, its elements are the classes. The loss takes two kernels: one for each sample's loss, one for their
mean or sum. The gradient of a mean needs the number of samples that count first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shape import Layout
from .kernel import WORKSPACE, Lowered, Pointer, joined
from .lowering import FLOATING
from .nests import Bound, Form, row_call
from .terms import MEMORY, Term, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan


def _fits(plan: Plan, input: Layout, target: Layout) -> bool:
    """Classes in the last dim, no weights, no smoothing."""
    plain = not plan.params.get("label_smoothing") and all(isinstance(o, Layout) for o in plan.operands)
    return plain and input.dtype in FLOATING and input.ndim in (1, 2) and target.dtype in MEMORY


def _row_stride(layout: Layout, dims: int) -> int:
    return layout.stride[0] if layout.ndim == dims else 0


def _logits(plan: Plan) -> bool:
    return plan.card.name.startswith("cross_entropy")


def _samples(input: Layout) -> tuple[int, int]:
    return (input.shape[0] if input.ndim == 2 else 1), input.shape[-1]


def forward(plan: Plan) -> Lowered | None:
    """Operands: input, target; the loss."""
    if len(plan.operands) != 2:
        return None
    input, target = plan.operands
    if not _fits(plan, input, target):
        return None
    type, index = MEMORY[input.dtype], MEMORY[target.dtype]
    samples, classes = _samples(input)
    k = Terms()
    x = k.load(0, type, type)
    t = k.load(1, index, index)
    kept = k.compare("ne", t, plan.params["ignore_index"])
    chosen = k.at(0, type, k.select(kept, t, 0))
    if _logits(plan):
        top = k.max(x)
        chosen = (chosen - top) - k.log(k.sum(k.exp(x - top)))
    reduction = plan.params["reduction"]
    k.store(2, k.select(kept, -chosen, 0), type)
    operands = [_input(0, input), _target(1, target)]
    if reduction == "none":
        return row_call(Form((samples,), classes, k.nodes, [*operands, Bound(Pointer(2), type, (_row_stride(plan.outs[0], 1),), 0)]))
    counted = Pointer(WORKSPACE, samples * 8)
    k.store(3, _count(k, kept, type), type)
    each = Form((samples,), classes, k.nodes, [*operands, Bound(Pointer(WORKSPACE), type, (1,), 0), Bound(counted, type, (1,), 0)])
    k = Terms()
    total = k.sum(k.load(0, type, type))
    k.store(2, total / k.sum(k.load(1, type, type)) if reduction == "mean" else total, type)
    together = Form((), samples, k.nodes, [Bound(Pointer(WORKSPACE), type, (), 1), Bound(counted, type, (), 1), Bound(Pointer(2), type)])
    return _after(each, together, 2 * samples * 8)


def backward(plan: Plan) -> Lowered | None:
    """Operands: the gradient of the loss, input, target; the gradient of the input."""
    if len(plan.operands) != 3:
        return None
    grad, input, target = plan.operands
    if not _fits(plan, input, target) or grad.dtype is not input.dtype:
        return None
    type, index = MEMORY[input.dtype], MEMORY[target.dtype]
    samples, classes = _samples(input)
    mean = plan.params["reduction"] == "mean"
    k = Terms()
    t = k.load(2, index, index)
    kept = k.compare("ne", t, plan.params["ignore_index"])
    scale = k.select(kept, k.load(0, type, type), 0)
    chosen = k.compare("eq", k.position(), k.convert(t, "i32"))
    if _logits(plan):
        x = k.load(1, type, type)
        e = k.exp(x - k.max(x))
        found = e * (scale / k.sum(e))
        found = k.select(chosen, found - scale, found)
    else:
        found = k.select(chosen, -scale, 0)
    k.store(3, found, type)
    given = Bound(Pointer(WORKSPACE), type, (0,), 0) if mean else Bound(Pointer(0), type, (_row_stride(grad, 1),), 0)
    output = Bound(Pointer(3), type, (classes,), 1)
    rows = Form((samples,), classes, k.nodes, [given, _input(1, input), _target(2, target), output])
    if not mean:
        return row_call(rows)
    k = Terms()
    kept = k.compare("ne", k.load(1, index, index), plan.params["ignore_index"])
    k.store(2, k.load(0, type, type) / k.sum(_count(k, kept, type)), type)
    along = _row_stride(target, 1)
    share = Form((), samples, k.nodes, [Bound(Pointer(0), type), Bound(Pointer(2), index, (), along), Bound(Pointer(WORKSPACE), type)])
    return _after(share, rows, 8)


def _count(k: Terms, kept: Term, type: str) -> Term:
    """1 for a sample that counts, 0 for one that is ignored."""
    return k.select(kept, k.constant(1, type), k.constant(0, type))


def _input(operand: int, layout: Layout) -> Bound:
    return Bound(Pointer(operand), MEMORY[layout.dtype], (_row_stride(layout, 2),), layout.stride[-1])


def _target(operand: int, layout: Layout) -> Bound:
    return Bound(Pointer(operand), MEMORY[layout.dtype], (_row_stride(layout, 1),), 0)


def _after(first: Form, second: Form, used: int) -> Lowered:
    """Two nests, of which the second reads what the first leaves in `used` bytes of the workspace."""
    return joined([row_call(first, used), row_call(second, used)])
