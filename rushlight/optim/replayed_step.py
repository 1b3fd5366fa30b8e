"""An optimizer's step inside a captured function: its entries are part of the function's, and what differs from step to step are numbers.

A learning rate that a schedule changes, the bias corrections of Adam and the step counts are operands of the entries
(ops/optimizer_step.py). So a replay computes these and lets the routine do the rest. Where a step would be another one
than was recorded, because an option, the state or the parameters have changed, there is no replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import is_
from typing import Any

from ..ops.optimizer_step import STEP, formula_of, kinds_of, numbers_of
from ..ops.update_program import Formula
from ..storage import TensorBase
from ..tensor import Tensor
from .optimizer import _global_step_post_hooks, _global_step_pre_hooks
from .rule_optimizer import Ready, RuleOptimizer

Entry = Any  # (plan, outputs, inputs, position)


class _Part:
    """What one group takes: `entries` entries of one formula."""

    def __init__(self, optimizer: RuleOptimizer, group: dict[str, Any], ready: Ready, formula: Formula, entries: int) -> None:
        self.optimizer = optimizer
        self.group = group
        self.ready = ready
        self.formula = formula
        self.entries = entries
        scalars, self.counts = _next(optimizer, group, ready)
        self.kinds = [*scalars, *kinds_of(scalars)]
        self.flags = _flags(group)
        # What the numbers were computed from last; options that are tensors may be written in place.
        self.options = list(group.values())
        self.values: Any = None
        self.found: list[float] = []
        self.constant = not any(isinstance(value, TensorBase) for value in chain(self.options, *(v for v in self.options if type(v) is tuple)))

    def numbers(self) -> list[float] | None:
        """The numbers of the next step; None if it is another step than was recorded."""
        optimizer, group, ready = self.optimizer, self.group, self.ready
        if optimizer._ready.get(id(group)) is not ready:
            return None
        same = self.constant and len(group) == len(self.options) and all(map(is_, group.values(), self.options))
        if not ready.holds(group, optimizer.state, ready.names if same else optimizer._names(group, ready.params[0])):
            return None
        if same and ready.values == self.values:
            return self.found
        scalars, self.counts = _next(optimizer, group, ready)
        if (not same and _flags(group) != self.flags) or [*scalars, *kinds_of(scalars)] != self.kinds or not self.formula.holds(scalars):
            return None
        self.options, self.values = list(group.values()), ready.values
        self.found = numbers_of(self.formula, scalars, self.counts) * self.entries
        return self.found


_FLAGS = frozenset((bool, str, type(None)))


def _flags(group: dict[str, Any]) -> list[Any]:
    """Options that are no numbers."""
    return [value if type(value) in _FLAGS else isinstance(value, TensorBase) for value in group.values()]


class ReplayedStep:
    """The step of one optimizer, as recorded. `numbers` comes before a replay of it, `done` after it."""

    def __init__(self, optimizer: RuleOptimizer, parts: Sequence[_Part]) -> None:
        self.optimizer = optimizer
        self.parts = parts
        self.groups = [part.group for part in parts]
        self.own_step = optimizer.__dict__.get("step")

    def tensors(self) -> list[Tensor]:
        """All that the step may touch but gradients."""
        return [tensor for part in self.parts for tensor in chain(part.ready.params, part.ready.flat)]

    def numbers(self) -> list[float] | None:
        """The numbers of the next step, in the order of the entries' operands; None if it is another step than was recorded."""
        optimizer = self.optimizer
        if _has_hooks(optimizer) or optimizer.__dict__.get("step") is not self.own_step:
            return None
        groups = optimizer.param_groups
        if len(groups) != len(self.groups) or not all(map(is_, groups, self.groups)):
            return None
        found: list[float] = []
        for part in self.parts:
            numbers = part.numbers()
            if numbers is None:
                return None
            found += numbers
        return found

    def done(self) -> None:
        """The step has been recorded, and what it writes has its new versions."""
        for part in self.parts:
            part.ready.note(part.counts)
        if self.own_step is not None:
            self.optimizer._opt_called = True  # type: ignore[attr-defined]  # as a schedule's wrapper of `step` does


def replayed_step(optimizer: Any, entries: Sequence[Entry]) -> ReplayedStep | None:
    """The step that an optimizer has just taken, if these entries are all that there is to it."""
    if not isinstance(optimizer, RuleOptimizer) or optimizer.defaults.get("differentiable"):
        return None
    if getattr(type(optimizer).step, "__wrapped__", None) is not RuleOptimizer.step or _has_hooks(optimizer):
        return None
    own_step = optimizer.__dict__.get("step")
    if own_step is not None and not hasattr(own_step, "_wrapped_by_lr_sched"):
        return None
    parts = []
    at = iter(entries)
    for group in optimizer.param_groups:
        ready = optimizer._ready.get(id(group))
        if ready is None:
            return None
        scalars, _ = _next(optimizer, group, ready)
        operands = 2 + len(ready.rest[0])
        tensors = operands - (len(ready.values) - 1)
        formula = formula_of(type(optimizer).rule, tensors, scalars, group.get("maximize", False))
        left = len(ready.params)
        count = 0
        while left > 0:
            plan, _, inputs, _ = next(at, (None, (), (), None))
            if plan is None or plan.card is not STEP or formula is None or plan.params["update"] is not formula.update:
                return None
            left -= sum(type(operand) is tuple for operand in inputs) // operands
            count += 1
        assert formula is not None
        parts.append(_Part(optimizer, group, ready, formula, count))
    return ReplayedStep(optimizer, parts) if next(at, None) is None else None


def _has_hooks(optimizer: RuleOptimizer) -> bool:
    """Whether a step calls the user's code, or a gradient scaler's part is to be done."""
    own = optimizer.__dict__
    return bool(
        _global_step_pre_hooks or _global_step_post_hooks or own["_optimizer_step_pre_hooks"] or own["_optimizer_step_post_hooks"]
        or own.get("grad_scale") is not None or own.get("found_inf") is not None
    )  # fmt: skip


def _next(optimizer: RuleOptimizer, group: dict[str, Any], ready: Ready) -> tuple[dict[str, Any], list[float]]:
    first, *values = ready.values
    tensors = ready.rest[0]
    scalars, counts = optimizer._next(group, values, tensors[len(tensors) - len(values) :], first)
    return scalars | optimizer._decay(group), counts

