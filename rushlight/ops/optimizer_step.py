"""Running an optimizer's update rule over the parameters of a group: the one place that knows how a step is run.

A step over many parameters is one entry on the tape. Its operands are, in this order, the program's numbers, a number
for each counter, and for each parameter: itself, its gradient, its buffers, its counters (0-dim tensors, each set to
its number). The outputs are the same tensors without the gradients; they are written in place. The static arguments
are the program (`Update`) and how many counters a parameter has. What no program can say runs as ordinary operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, compress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import dtypes as dt, tape
from ..engine import library
from ..engine.lowering import Calls
from ..graph import grad_state, tracing
from ..recent import Recent
from ..shape import Layout
from ..storage import ON_META, TensorBase
from .card import Card, Plan, flush_if_shared
from .update_program import COMPARISONS, Formula, Scalars, Update, is_number, trace

if TYPE_CHECKING:
    from ..tensor import Tensor

# rule(param, grad, *buffers, **scalars) changes `param` and `buffers` in place. It never reads a value, so that it can
# be recorded; what depends on values or on the number of the step comes as a scalar.
UpdateRule = Callable[..., None]

#: An entry has at most about so many operands.
OPERANDS_AT_MOST = 256
#: The interpreter takes so many elements at a time, so that what lies between two instructions stays in the cache.
BLOCK = 1 << 14


def optimizer_step(
    rule: UpdateRule,
    params: Sequence[Sequence[Tensor]],
    scalars: Scalars,
    counts: Sequence[float] = (),
    *,
    elementwise: bool = True,
    maximize: bool = False,
) -> None:
    """Apply ``rule`` to each of ``params``: a parameter, its gradient, its buffers, its counters.

    The counters, 0-dim tensors and as many as there are ``counts``, are set to these. ``scalars`` are the rule's keyword
    arguments, and two that are done before the rule: ``shrink`` multiplies the parameter (decoupled weight decay), and
    ``weight_decay`` adds that much of the parameter to its gradient. ``maximize`` negates the gradients.
    ``elementwise`` says that the rule treats all elements alike, whatever the shape: then the step is one entry.
    """
    rest = params
    if elementwise and not grad_state.enabled:
        formula = formula_of(rule, len(params[0]) - len(counts), scalars, maximize)
        if formula is not None:
            rest = step_by_formula(formula, numbers_of(formula, scalars, counts), params)
    step_by_rule(rule, rest, scalars, counts, maximize)


def step_by_formula(formula: Formula, numbers: list[float], params: Sequence[Sequence[Tensor]]) -> Sequence[Sequence[Tensor]]:
    """Record entries for these parameters. Answers those that cannot be part of one."""
    at_once = max(1, OPERANDS_AT_MOST // len(params[0]))
    if len(params) <= at_once:
        return _record(formula.update, numbers, params)
    rest: list[Sequence[Tensor]] = []
    for start in range(0, len(params), at_once):
        rest += _record(formula.update, numbers, params[start : start + at_once])
    return rest


def step_by_rule(rule: UpdateRule, params: Sequence[Sequence[Tensor]], scalars: Scalars, counts: Sequence[float], maximize: bool) -> None:
    """Run the rule as ordinary operations, parameter by parameter."""
    for param in params:
        buffers = param[: len(param) - len(counts)]
        for counter, count in zip(param[len(buffers) :], counts, strict=True):
            counter.fill_(count)
        _update(rule, maximize, *buffers, **scalars)


def _update(rule: UpdateRule, maximize: bool, param: Any, grad: Any, *buffers: Any, shrink: Any = None, weight_decay: Any = None, **scalars: Any) -> None:
    if maximize:
        grad = -grad
    if shrink is not None:
        param.mul_(shrink)
    if weight_decay is not None:
        grad = add_scaled(grad, param, weight_decay)
    rule(param, grad, *buffers, **scalars)


def add_scaled(input: Tensor, other: Tensor, scale: float | Tensor) -> Tensor:
    """``input + scale * other``. The scale is a tensor when a step is differentiated by its hyperparameters."""
    return input + other * scale if isinstance(scale, TensorBase) else input.add(other, alpha=scale)


def add_scaled_(input: Tensor, other: Tensor, scale: float | Tensor) -> Tensor:
    """`add_scaled` in place."""
    return input.add_(other * scale) if isinstance(scale, TensorBase) else input.add_(other, alpha=scale)


_FORMULAS: dict[tuple[Any, ...], list[Formula] | None] = {}


def numbers_of(formula: Formula, scalars: Scalars, counts: Sequence[float]) -> list[float]:
    """The operands of an entry that are numbers: the program's, and those that the counters are set to."""
    return [*[float(of(scalars)) for of in formula.numbers], *counts]


def formula_of(rule: UpdateRule, tensors: int, scalars: Scalars, maximize: bool) -> Formula | None:
    """The rule as a program, traced once for each way through it; None if a scalar is a tensor."""
    kinds = kinds_of(scalars)
    key = (rule, tensors, maximize, *scalars, *kinds)
    try:
        found = _FORMULAS[key]
    except KeyError:
        found = _FORMULAS[key] = None if TensorBase in kinds else []
    if found is None:
        return None
    for formula in found:
        if formula.holds(scalars):
            return formula
    formula = trace(lambda *symbols, **numbers: _update(rule, maximize, *symbols, **numbers), tensors, scalars)
    found.append(formula)
    return formula


def kinds_of(scalars: Scalars) -> list[Any]:
    """What a formula depends on of its scalars, beside their names and the branches that it has taken on numbers."""
    return [float if type(value) is float else _kind(value) for value in scalars.values()]


def _kind(scalar: Any) -> Any:
    """What a scalar adds to the key of a formula: a number its kind, a flag its value."""
    return float if is_number(scalar) else TensorBase if isinstance(scalar, TensorBase) else scalar


_PLANS: Recent[tuple[Any, ...], tuple[Plan, tuple[bool, ...]] | Literal[False]] = Recent(64)


def _record(update: Update, numbers: list[float], params: Sequence[Sequence[Tensor]]) -> Sequence[Sequence[Tensor]]:
    """Record a step over these parameters as an entry. Answers those that cannot be part of one."""
    tensors = list(chain.from_iterable(params))
    operands: list[Any] = [(t._storage, t._offset, t._layout) for t in tensors]
    layouts = tuple([operand[2] for operand in operands])
    key = (update, len(numbers), layouts)
    found = _PLANS.get(key)
    if found is None:
        found = _PLANS.recall(key)
    if found is None:
        found = _PLANS.remember(key, _plan(update, len(numbers), [[t._layout for t in param] for param in params]) or False)
    if found is False:
        fit = [param for param in params if _fits([t._layout for t in param], update)]
        unfit = [param for param in params if not _fits([t._layout for t in param], update)]
        return [*_record(update, numbers, fit), *unfit] if fit else unfit
    plan, changes = found
    storages = {operand[0] for operand in operands}
    if len(storages) != len(operands):
        return params  # some share memory
    special = 0
    for storage in storages:
        if storage.special:
            special = max(special, storage.special)
    changed = list(compress(tensors, changes))
    if special == ON_META or True in [t._inference or not t._tracks_version for t in changed]:
        return params
    outputs = tuple(compress(operands, changes))
    tape.record(plan, outputs, numbers + operands)
    for storage, _, _ in outputs:
        storage.version += 1
    if special:
        flush_if_shared(tensors)
    if grad_state.tracer is not None:
        tracing(STEP, (*numbers, *tensors), plan.params, changed)
    return ()


def _fits(layouts: Sequence[Layout], update: Update) -> bool:
    """Whether a parameter with its gradient, buffers and counters can take part: its elements lie side by side in one order."""
    first, *others = layouts[: update.tensors]
    return (
        first.dtype in (dt.float32, dt.float64)
        and first.dense
        and all(
            o.dtype is first.dtype and o.shape == first.shape and (o.stride == first.stride or (o.contiguous and first.contiguous))
            for o in others
        )
        and all(o.shape == () and o.dtype in (dt.float32, dt.float64) for o in layouts[update.tensors :])
    )


def _plan(update: Update, numbers: int, params: Sequence[Sequence[Layout]]) -> tuple[Plan, tuple[bool, ...]] | None:
    """The plan of an entry, and which of its tensors it changes; None if some parameter does not fit."""
    if not all(_fits(layouts, update) for layouts in params):
        return None
    layouts = tuple(chain.from_iterable(params))
    written = {tensor for tensor, _ in update.results}
    each = tuple(n in written or n >= update.tensors for n in range(len(params[0])))
    changes = each * len(params)
    static = (update, numbers - update.numbers)
    return Plan(STEP, static, (float,) * numbers + layouts, tuple(compress(layouts, changes))), changes


def _step_rule(*operands: Any, update: Update, counters: int) -> list[np.ndarray]:
    """Carry out a step in place; answers the arrays that it changed."""
    first = update.numbers + counters
    numbers, counts = operands[: update.numbers], operands[update.numbers : first]
    written = sorted(tensor for tensor, _ in update.results)
    schedule = _schedule(update)
    changed = []
    inner: dict[np.dtype, list[Any]] = {}
    size = max((array.size for array in operands[first:]), default=0)
    for start in range(first, len(operands), update.tensors + counters):
        arrays = operands[start : start + update.tensors]
        states = operands[start + update.tensors : start + update.tensors + counters]
        dtype = arrays[0].dtype
        if dtype not in inner:
            inner[dtype] = [*map(dtype.type, (*numbers, *update.constants)), *schedule.scratch(min(size, BLOCK), dtype)]
        schedule.run([_flat(array) for array in arrays], inner[dtype])
        for state, count in zip(states, counts, strict=True):
            state[...] = count
        changed += [*(arrays[n] for n in written), *states]
    return changed


def _flat(array: np.ndarray) -> np.ndarray:
    """A dense array's elements in the order of its memory, without a copy."""
    if not array.flags.c_contiguous:
        array = array.transpose(sorted(range(array.ndim), key=lambda dim: -array.strides[dim]))
    return array.reshape(-1)


#: The card of all steps.
STEP = Card("optimizer_step", "operands", statics="update counters", variadic=True, numpy=_step_rule, in_place=True, lowering=Calls(library.optimizer_step))


def _select(condition: np.ndarray, chosen: Any, other: Any, out: np.ndarray) -> None:
    if chosen is out:
        np.copyto(out, other, where=~condition)
        return
    if other is not out:
        np.copyto(out, other)
    np.copyto(out, chosen, where=condition)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "neg": np.negative, "abs": np.absolute, "sqrt": np.sqrt,
    "maximum": np.maximum, "minimum": np.minimum, "select": _select,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


class _Schedule:
    """A program with a place for each value: the tensors, then numbers and constants, then scratch arrays.

    A result goes right into its tensor where nothing reads the old value later.
    """

    def __init__(self, update: Update) -> None:
        first = update.first_instruction
        last_use = {v: n for n, i in enumerate(update.instructions) for v in i.operands}
        copied = {value for _, value in update.results}
        place: dict[int, int] = {v: v for v in range(first)}
        for tensor, value in update.results:
            if value >= first and value not in place and last_use.get(tensor, -1) <= value - first and tensor not in copied:
                place[value] = tensor
        self.copies = [(tensor, value) for tensor, value in update.results if place.get(value) != tensor]
        kept = {value for _, value in self.copies}
        free: dict[bool, list[int]] = {False: [], True: []}
        self.truths: list[bool] = []  # for each scratch array, whether it holds truth values
        self.steps: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        for n, instruction in enumerate(update.instructions):
            sources = tuple(place[v] for v in instruction.operands)
            for v in set(instruction.operands):
                if place[v] >= first and last_use[v] == n and v not in kept:
                    free[self.truths[place[v] - first]].append(place[v])
            truth = instruction.op in COMPARISONS
            if first + n not in place:
                if not free[truth]:
                    free[truth].append(first + len(self.truths))
                    self.truths.append(truth)
                place[first + n] = free[truth].pop()
            self.steps.append((_FUNCTIONS[instruction.op], sources, place[first + n]))
        self.copies = [(tensor, place[value]) for tensor, value in self.copies]
        self.overwritten = {tensor for tensor, _ in self.copies}

    def scratch(self, size: int, dtype: np.dtype) -> list[np.ndarray]:
        return [np.empty(size, bool if truth else dtype) for truth in self.truths]

    def run(self, arrays: list[np.ndarray], inner: list[Any]) -> None:
        """Update flat arrays; ``inner`` are the numbers, the constants and the scratch arrays."""
        size = arrays[0].size
        for start in range(0, size, BLOCK):
            if size > BLOCK:
                values = [array[start : start + BLOCK] for array in arrays] + inner
            else:
                values = arrays + inner
            count = values[0].size
            for n in range(len(values) - len(self.truths), len(values)):
                if values[n].size != count:
                    values[n] = values[n][:count]
            for function, sources, destination in self.steps:
                if len(sources) == 2:
                    function(values[sources[0]], values[sources[1]], out=values[destination])
                else:
                    function(*[values[n] for n in sources], out=values[destination])
            results = [values[n].copy() if n in self.overwritten else values[n] for _, n in self.copies]
            for (tensor, _), result in zip(self.copies, results, strict=True):
                np.copyto(values[tensor], result)


_schedule = lru_cache(maxsize=256)(_Schedule)
