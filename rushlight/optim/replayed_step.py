"""An optimizer's step inside a captured function: its entries are part of the function's, and what differs from step to step are numbers.

A learning rate that a schedule changes, the bias corrections of Adam and the step counts are operands of the entries
(ops/optimizer_step.py). So a replay computes these and lets the routine do the rest. Where a step would be another one
than was recorded, because an option, the state or the parameters have changed, there is no replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from ..engine.checks import Checks
from ..ops.optimizer_step import STEP
from ..ops.update_program import Formula
from ..tensor import Tensor
from .optimizer import _global_step_post_hooks, _global_step_pre_hooks
from .rule_optimizer import Ready, RuleOptimizer

Entry = Any  # (plan, outputs, inputs, position)


class _Part(NamedTuple):
    """What one group takes: so many entries of one formula."""

    group: dict[str, Any]
    ready: Ready
    formula: Formula
    entries: int


class ReplayedStep:
    """The step of one optimizer, as recorded. `numbers` comes before a replay of it, `done` after it."""

    def __init__(self, optimizer: RuleOptimizer, parts: Sequence[_Part]) -> None:
        self.optimizer = optimizer
        self.parts = parts
        self.own_step = optimizer.__dict__.get("step")
        self.counts: list[list[float]] = []  # of the step whose `numbers` were asked for last
        checks, own = Checks(), optimizer.__dict__
        for hooks in (_global_step_pre_hooks, _global_step_post_hooks):
            checks.size(hooks)
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            checks.item(own, name)
            checks.size(own[name])
        for name in ("grad_scale", "found_inf", "step"):
            checks.entry(own, name)
        checks.item(own, "param_groups")
        checks.contents(optimizer.param_groups)
        checks.item(own, "_ready")
        for part in parts:
            checks.item(optimizer._ready, id(part.group))
        self.hold = checks.prepared()

    def tensors(self) -> list[Tensor]:
        """All that the step may touch but gradients."""
        return [tensor for part in self.parts for tensor in chain(part.ready.params, part.ready.flat)]

    def numbers(self) -> list[float] | None:
        """The numbers of the next step, in the order of the entries' operands; None if it is another step than was recorded."""
        if not self.hold():
            return None
        found: list[float] = []
        self.counts = []
        for group, ready, formula, entries in self.parts:
            coming = ready.next(self.optimizer, group)
            if coming is None or coming.formula is not formula:
                return None
            found += coming.numbers * entries
            self.counts.append(coming.counts)
        return found

    def done(self) -> None:
        """The step has been recorded, and what it writes has its new versions."""
        for part, counts in zip(self.parts, self.counts, strict=True):
            if counts:
                part.ready.note(counts)
        if self.own_step is not None:
            self.optimizer._opt_called = True  # type: ignore[attr-defined]  # as a schedule's wrapper of `step` does


def is_settled(optimizer: Any) -> bool:
    """Whether an optimizer's next step is like the last one."""
    if not isinstance(optimizer, RuleOptimizer):
        return False
    readies = [optimizer._ready.get(id(group)) for group in optimizer.param_groups]
    return all(ready is not None and ready.holds(optimizer, group) for ready, group in zip(readies, optimizer.param_groups, strict=True))


def replayed_step(optimizer: Any, entries: Sequence[Entry]) -> ReplayedStep | None:
    """The step that an optimizer has just taken, if these entries are all that there is to it."""
    if not isinstance(optimizer, RuleOptimizer) or optimizer.defaults.get("differentiable"):
        return None
    if getattr(type(optimizer).step, "__wrapped__", None) is not RuleOptimizer.step or _has_hooks(optimizer):
        return None
    own_step = optimizer.__dict__.get("step")
    if own_step is not None and not hasattr(own_step, "_wrapped_by_lr_sched"):
        return None
    if type(optimizer.param_groups) is not list:
        return None
    parts = []
    at = iter(entries)
    for group in optimizer.param_groups:
        ready = optimizer._ready.get(id(group))
        if ready is None or not ready.holds(optimizer, group):
            return None
        formula = ready.coming(optimizer, group).formula
        operands = 2 + len(ready.rest[0])
        left = len(ready.params)
        count = 0
        while left > 0:
            plan, _, inputs, _ = next(at, (None, (), (), None))
            if plan is None or plan.card is not STEP or formula is None or plan.params["update"] is not formula.update:
                return None
            left -= sum(type(operand) is tuple for operand in inputs) // operands
            count += 1
        assert formula is not None
        parts.append(_Part(group, ready, formula, count))
    return ReplayedStep(optimizer, parts) if next(at, None) is None else None


def _has_hooks(optimizer: RuleOptimizer) -> bool:
    """Whether a step calls the user's code, or a gradient scaler's part is to be done."""
    own = optimizer.__dict__
    return bool(
        _global_step_pre_hooks or _global_step_post_hooks or own["_optimizer_step_pre_hooks"] or own["_optimizer_step_post_hooks"]
        or own.get("grad_scale") is not None or own.get("found_inf") is not None
    )  # fmt: skip

