"""Optimizers that are an update rule: everything around the formula, once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import ops
from ..autograd import enable_grad, is_grad_enabled, set_grad_enabled
from ..dtypes import float32, float64, get_default_dtype
from ..engine.checks import Checks
from ..ops.optimizer_step import (
    UpdateRule,
    formula_of,
    kinds_of,
    numbers_of,
    optimizer_step,
    step_by_formula,
    step_by_rule,
)
from ..ops.update_program import Formula
from ..tensor import Tensor
from .optimizer import Closure, Optimizer

FUSED_DEVICES = ["mps", "cuda", "xpu", "hpu", "cpu", "mtia", "privateuseone"]
CAPTURABLE_DEVICES = ["cuda", "xpu", "hpu", "privateuseone", "xla"]


def check_range(what: str, value: Any, low: float = 0.0) -> None:
    if not low <= value:
        raise ValueError(f"Invalid {what}: {value}")


def check_lr(lr: Any, message: str = "Invalid learning rate: {}") -> None:
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(message.format(lr))


def check_betas(betas: Sequence[Any]) -> None:
    for index in range(2):
        if not 0.0 <= betas[index] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {betas[index]}")


def scalar_state(value: float, dtype: Any = None) -> Tensor:
    """A 0-dim tensor, such as a step count, as PyTorch keeps it in an optimizer's state."""
    if dtype is None:
        dtype = float64 if get_default_dtype() is float64 else float32
    return ops.full((), value, dtype=dtype)


def snapshot(buffer: Tensor) -> Tensor:
    """``buffer`` as it is now. Autograd may keep it, and the next step changes the buffer in place."""
    return buffer.clone() if is_grad_enabled() else buffer


class KnownValues:
    """The values of the 0-dim tensors in an optimizer's state, as Python numbers.

    Reading a tensor waits for all pending work. A value written here stays known for as long as nobody else writes
    the tensor, which its version counter tells.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Tensor, int, float]] = {}

    def read(self, scalar: Tensor) -> float:
        entry = self._entries.get(id(scalar))
        storage = scalar._storage
        if entry is not None and entry[1] == storage.version and not storage.special:
            return entry[2]
        value = scalar.item()
        self._entries[id(scalar)] = (scalar, storage.version, value)
        return value

    def remember(self, scalars: Sequence[Tensor], value: float) -> None:
        """Note that the ``scalars`` have been set to ``value``."""
        dtype = None
        for scalar in scalars:
            if scalar._layout.dtype is not dtype:
                dtype = scalar._layout.dtype
                held = rounded(value, dtype)
            self._entries[id(scalar)] = (scalar, scalar._storage.version, held)


def rounded(value: float, dtype: Any) -> float:
    """``value`` as a 0-dim tensor of this dtype holds it."""
    if dtype is float32 and 0 <= value < 1 << 24 and value == int(value):
        return value  # a step count
    return value if dtype is float64 else float(np.float32(value)) if dtype is float32 else scalar_state(value, dtype).item()


@lru_cache(maxsize=256)
def _fetch(names: tuple[str, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """A function that takes the values of these names out of a state."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda state: tuple([state[name] for name in names])


_version = attrgetter("version")
_NO_STATE: dict[str, Any] = {}


class HeldValues(dict[str, float]):
    """Values of the scalars in a state, by name: setting one rounds it as its tensor does."""

    def __init__(self, scalars: dict[str, Tensor], values: Sequence[float]) -> None:
        super().__init__(zip(scalars, values, strict=True))
        self._scalars = scalars

    def __setitem__(self, key: str, value: float) -> None:
        super().__setitem__(key, rounded(value, self._scalars[key].dtype))


_FIXED = frozenset((float, int, bool, str, type(None)))


def _is_fixed(option: Any) -> bool:
    """Whether nobody can change a value in place."""
    return type(option) in _FIXED or (type(option) is tuple and all(map(_is_fixed, option)))


#: So many steps' numbers are computed at once where the options stay.
STEPS_AHEAD = 16


class Coming(NamedTuple):
    """What the next step of a group takes."""

    scalars: dict[str, Any]  # the rule's
    counts: list[float]  # what the scalars in the state become
    formula: Formula | None  # None where no entry can say the step
    numbers: list[float]  # of an entry


class Ready:
    """A group's parameters as they were at the last step, when they took it together: the next one need not collect them anew.

    None of them is complex: what takes the step is the parameters themselves.
    """

    def __init__(self, members: list[list[Tensor]], values: Sequence[float], states: dict[Any, Any], names: Sequence[str]) -> None:
        self.params = [tensors[0] for tensors in members]
        self.states = [states[param] for param in self.params] if len(members[0]) > 2 else []
        self.names = tuple(names)
        self.fetch = _fetch(self.names)
        self.rest = [tuple(tensors[2:]) for tensors in members]
        self.flat = list(chain.from_iterable(self.rest))
        count = len(values)
        self.counters = [counter._storage for tensors in members for counter in tensors[len(tensors) - count :]]
        self.options: list[Any] | None = None  # of the last step that was computed; None also where some can be written in place
        self.decay: dict[str, Any] = {}
        self.known: dict[tuple[float, ...], Coming] = {}  # steps under these options, by the values that they begin from
        self.hold: Callable[[], bool] | None = None  # whether what is not numbers is as it was
        self.note(values)

    def note(self, values: Sequence[float]) -> None:
        """The scalars in the states have these values now."""
        self.values = (0.0, *values)
        self.versions = [counter.version for counter in self.counters]

    def has_options(self, group: dict[str, Any]) -> bool:
        """Whether the options are those of the last step that was computed."""
        options = self.options
        return options is not None and len(group) == len(options) and all(map(is_, group.values(), options))

    def holds(self, optimizer: RuleOptimizer, group: dict[str, Any]) -> bool:
        """Whether all but the gradients and the options' numbers is as it was."""
        if not self.has_options(group) and tuple(optimizer._names(group, self.params[0])) != self.names:
            return False
        same = self.hold() if self.hold is not None else self._begin_to_hold(optimizer, group)
        return same and list(map(_version, self.counters)) == self.versions

    def _begin_to_hold(self, optimizer: RuleOptimizer, group: dict[str, Any]) -> bool:
        """Whether the group has these parameters, and their states these tensors. From then on `hold` says it."""
        params = group["params"]
        if len(params) != len(self.params) or not all(map(is_, params, self.params)):
            return False
        if not all(map(is_, map(optimizer.state.get, params), self.states)) or not all(map(is_, chain.from_iterable(map(self.fetch, self.states)), self.flat)):
            return False
        if type(params) is not list:  # `checks` looks into lists and dictionaries alone
            return True
        checks = Checks()
        checks.item(group, "params")
        checks.contents(params)
        checks.item(optimizer.__dict__, "state")
        for param, state in zip(self.params, self.states, strict=False):
            checks.item(optimizer.state, param)
            for name in self.names:
                checks.item(state, name)
        self.hold = checks.prepared()
        return True

    def gradients(self) -> list[Tensor] | None:
        """The gradients, if every parameter has one."""
        grads: list[Any] = [param._grad for param in self.params]
        for grad in grads:
            if grad is None:
                return None
        return grads

    def members(self, grads: Sequence[Tensor]) -> list[list[Tensor]]:
        """Each parameter with its gradient and the tensors of its state."""
        return [[param, grad, *rest] for param, grad, rest in zip(self.params, grads, self.rest, strict=True)]

    def next(self, optimizer: RuleOptimizer, group: dict[str, Any]) -> Coming | None:
        """`coming`, or None where this does not hold."""
        if self.hold is not None and self.has_options(group):
            if not self.hold() or list(map(_version, self.counters)) != self.versions:
                return None
            found = self.known.get(self.values)
            if found is not None:
                return found
        return self.coming(optimizer, group) if self.holds(optimizer, group) else None

    def coming(self, optimizer: RuleOptimizer, group: dict[str, Any]) -> Coming:
        """The step that comes next, for a group of which this `holds`. It is computed anew where options or counters are others.

        Raises what `_check_step` raises.
        """
        same = self.has_options(group)
        if not same:
            optimizer._check_step(group, self.params)
            self.decay = optimizer._decay(group)
            self.options = list(group.values()) if all(_is_fixed(value) for key, value in group.items() if key != "params") else None
            self.known.clear()
        found = self.known.get(self.values)
        if found is None:
            # The more steps there have been under these options, the more are computed at once: code that has just run takes half the time.
            ahead = max(1, min(2 * len(self.known), STEPS_AHEAD))
            coming = self.known.popitem()[1] if self.known else None
            self.known.clear()
            values = self.values
            while len(self.known) < ahead and values not in self.known:
                coming = self.known[values] = self._computed(optimizer, group, values, coming)
                values = (0.0, *coming.counts)
            found = self.known[self.values]
        return found

    def _computed(self, optimizer: RuleOptimizer, group: dict[str, Any], values: tuple[float, ...], last: Coming | None) -> Coming:
        """The step that begins from these values of the scalars in the state. `last` is one under the same options."""
        first, *held = values
        tensors = self.rest[0]
        scalars, counts = optimizer._next(group, held, tensors[len(tensors) - len(held) :], first)
        scalars |= self.decay
        formula = last.formula if last is not None and kinds_of(scalars) == kinds_of(last.scalars) else None
        if formula is None or not formula.holds(scalars):
            formula = formula_of(type(optimizer).rule, 2 + len(tensors) - len(counts), scalars, group.get("maximize", False))
        return Coming(scalars, counts, formula, numbers_of(formula, scalars, counts) if formula is not None else [])


class RuleOptimizer(Optimizer):
    """An optimizer whose step applies one formula, the update rule, to every parameter that has a gradient.

    A subclass gives ``rule`` and `_scalars`, the numbers that the rule takes; `_buffers`, the names of the state
    tensors that it changes; and `_new_state`, what the state is before a parameter's first step. A complex parameter is
    updated as pairs of reals.
    """

    rule: ClassVar[UpdateRule]
    #: Keys of the state that are 0-dim tensors. With "step" among them, steps are counted.
    scalar_keys: ClassVar[tuple[str, ...]] = ("step",)
    #: Options that older state dicts lack.
    later_options: ClassVar[dict[str, Any]] = {
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }
    #: Whether the rule treats all elements alike.
    elementwise: ClassVar[bool] = True
    capturable_tensors: ClassVar[str] = "params and state_steps"
    capturable_devices: ClassVar[list[str]] = CAPTURABLE_DEVICES
    foreach_is_not_for_xla: ClassVar[bool] = True

    def _buffers(self, group: dict[str, Any], param: Tensor) -> Sequence[str]:
        raise NotImplementedError

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state before the first step: a step count and a buffer of zeros for each name."""
        dtype = float32 if group.get("fused") else None
        scalars = {key: scalar_state(0.0, dtype) for key in self.scalar_keys}
        return scalars | {name: ops.zeros_like(param) for name in self._buffers(group, param)}

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        """The rule's keyword arguments at a parameter's step number ``step``, counted from 1.

        ``values`` are those of the scalars in the state, in which this sets what they become; the step count is set.
        An optimizer that keeps no step count gets 1 when the state is new and 0 from then on.
        """
        raise NotImplementedError

    def _decay(self, group: dict[str, Any]) -> dict[str, Any]:
        """How weight decay is done: ``weight_decay`` or ``shrink`` of `optimizer_step`. A group may say what its optimizer does not know."""
        if "weight_decay" not in self.defaults:
            return {}
        weight_decay = self._number(group.get("weight_decay", 0))
        if isinstance(weight_decay, int | float) and weight_decay == 0:
            return {}
        if group.get("decoupled_weight_decay"):
            return {"shrink": 1 - self._number(group["lr"]) * weight_decay}
        return {"weight_decay": weight_decay}

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._known = KnownValues()
        self._ready: dict[int, Ready] = {}  # by the id of a group
        super().__init__(params, defaults)
        if defaults.get("fused"):
            if defaults["differentiable"]:
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults["foreach"]:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
            self._step_supports_amp_scaling = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._known = KnownValues()
        self._ready = {}
        for group in self.param_groups:
            for option, value in self.later_options.items():
                group.setdefault(option, value)
            dtype = float32 if group.get("fused") else None
            for param in group["params"]:
                param_state = self.state.get(param, {})
                for key in self.scalar_keys:
                    if key in param_state and not isinstance(param_state[key], Tensor):
                        param_state[key] = scalar_state(float(param_state[key]), dtype)

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once; with ``closure``, compute the loss first and return it."""
        with set_grad_enabled(self.defaults.get("differentiable", False)):
            loss = None
            if closure is not None:
                with enable_grad():
                    loss = closure()
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        ready = self._ready.get(id(group))
        if ready is not None and (grads := ready.gradients()) is not None and (coming := ready.next(self, group)) is not None:
            self._step_again(group, ready, coming, grads)
            return
        params, grads = [], []
        for param in group["params"]:
            grad = param.grad
            if grad is not None:
                params.append(param)
                grads.append(grad)
        if not params:
            return
        self._check_step(group, params)
        if self._skipped_by_amp(group, grads):
            return
        decay = self._decay(group)
        batches = self._batches(group, params, grads)
        for (first, *values), members in batches.items():
            ready = None
            whole = len(batches) == 1 and len(params) == len(group["params"])
            if whole and not first and self.elementwise and all(map(is_, params, [tensors[0] for tensors in members])):
                ready = self._ready[id(group)] = Ready(members, values, self.state, self._names(group, params[0]))
            self._update(group, (first, *values), members, decay, ready)

    def _step_again(self, group: dict[str, Any], ready: Ready, coming: Coming, grads: list[Tensor]) -> None:
        """A step of parameters that took the last one together."""
        if self._skipped_by_amp(group, grads):
            return
        rest: Sequence[Sequence[Tensor]] = ready.members(grads)
        if coming.formula is not None and not is_grad_enabled():
            rest = step_by_formula(coming.formula, coming.numbers, rest)
        if rest:
            step_by_rule(type(self).rule, rest, coming.scalars, coming.counts, group.get("maximize", False))
        ready.note(coming.counts)

    def _names(self, group: dict[str, Any], param: Tensor) -> Sequence[str]:
        """What is taken from a parameter's state: buffers, then scalars."""
        buffers = self._buffers(group, param)
        return (*buffers, *self.scalar_keys) if buffers else ()

    def _batches(self, group: dict[str, Any], params: Sequence[Tensor], grads: Sequence[Tensor]) -> dict[tuple[float, ...], list[list[Tensor]]]:
        """The parameters with all that goes with each, by whether their state is new and by the scalars in it.

        Those that are at the same step, and whose other scalars are equal, take the step together.
        """
        keys, states, read, alike = self.scalar_keys, self.state, self._known.read, self.elementwise
        batches: dict[tuple[float, ...], list[list[Tensor]]] = {}
        names: Sequence[str] | None = None
        for param, grad in zip(params, grads, strict=True):
            if names is None or not alike:
                names = self._names(group, param)
                fetch = _fetch(tuple(names))
            state = states[param] if names else _NO_STATE
            first = 0.0
            if not state and names:
                state.update(self._new_state(param, grad, group))
                first = 1.0
            tensors = [param, grad, *fetch(state)]
            counters = len(tensors) - len(keys) if names else len(tensors)
            if param._layout.dtype.is_complex:
                tensors[:counters] = map(ops.view_as_real, tensors[:counters])
            key: tuple[float, ...] = (first,)
            for counter in tensors[counters:]:
                key += (read(counter),)
            batch = batches.get(key)
            if batch is None:
                batches[key] = [tensors]
            else:
                batch.append(tensors)
        return batches

    def _update(self, group: dict[str, Any], key: tuple[float, ...], members: list[list[Tensor]], decay: dict[str, Any], ready: Ready | None) -> None:
        """Let parameters take their step together. `key` is whether their state is new, and the values of its scalars."""
        first, *values = key
        scalars, counts = self._next(group, values, members[0][len(members[0]) - len(values) :], first)
        scalars |= decay
        optimizer_step(type(self).rule, members, scalars, counts, elementwise=self.elementwise, maximize=group.get("maximize", False))
        if ready is not None:
            ready.note(counts)
            return
        for n, count in enumerate(counts, -len(counts)):
            self._known.remember([tensors[n] for tensors in members], count)

    def _next(self, group: dict[str, Any], values: Sequence[float], tensors: Sequence[Tensor], first: float) -> tuple[dict[str, Any], list[float]]:
        """The rule's numbers for the step that comes next, and what the scalars in the state, held by `tensors`, become."""
        if values and self.scalar_keys == ("step",):
            step = rounded(values[0] + 1, tensors[0]._layout.dtype)
            return self._scalars(group, {"step": step}, step), [step]
        held = HeldValues(dict(zip(self.scalar_keys, tensors, strict=False)), values)
        if "step" in held:
            first = held["step"] = held["step"] + 1
        return self._scalars(group, held, first), list(held.values())

    def _number(self, value: Any) -> Any:
        """A hyperparameter as a Python number. It stays a tensor when the step is to be differentiated by it."""
        if not isinstance(value, Tensor):
            return value
        if self.defaults.get("differentiable"):
            return value.squeeze() if value.dim() != 0 else value
        return self._known.read(value)

    def _check_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if group.get("foreach") and group.get("differentiable"):
            raise AssertionError("_foreach ops don't support autograd")
        if group.get("capturable") and not group.get("fused"):
            devices = self.capturable_devices
            if group.get("foreach") and self.foreach_is_not_for_xla:
                devices = [device for device in devices if device != "xla"]
            raise AssertionError(
                f"If capturable=True, {self.capturable_tensors} must be on supported devices: {devices}."
            )
        if group.get("fused"):
            for param in params:
                if not param.is_floating_point():
                    raise RuntimeError(
                        "`fused=True` requires all the params to be floating point Tensors of "
                        f"supported devices: {FUSED_DEVICES} but {param.dtype} and {param.device.type}"
                    )

    def _skipped_by_amp(self, group: dict[str, Any], grads: list[Tensor]) -> bool:
        """Do a gradient scaler's part, which it leaves to fused optimizers; True if there were infinities."""
        own = self.__dict__
        grad_scale, found_inf = own.get("grad_scale"), own.get("found_inf")
        if grad_scale is None and found_inf is None:
            return False
        if not group.get("fused"):
            raise AssertionError("Expected grad_scale and found_inf to be None")
        if found_inf is not None and found_inf.item() != 0:
            return True
        if grad_scale is not None:
            for grad in grads:
                grad.div_(grad_scale)
        return False
