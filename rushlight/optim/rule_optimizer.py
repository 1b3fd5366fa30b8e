"""Optimizers that are an update rule: everything around the formula, once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..autograd import enable_grad, is_grad_enabled, set_grad_enabled
from ..dtypes import float32, float64, get_default_dtype
from ..ops.optimizer_step import ParamUpdate, UpdateRule, fill_scalars, optimizer_step
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
        if entry is not None and entry[1] == scalar._version:
            return entry[2]
        value = scalar.item()
        self._entries[id(scalar)] = (scalar, scalar._version, value)
        return value

    def write(self, scalars: Sequence[Tensor], values: Sequence[float]) -> None:
        fill_scalars(scalars, values)
        for scalar, value in zip(scalars, values, strict=True):
            if scalar.dtype is float32:
                value = float(np.float32(value))
            elif scalar.dtype is not float64:
                self._entries.pop(id(scalar), None)
                continue
            self._entries[id(scalar)] = (scalar, scalar._version, value)


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
    #: Whether `_scalars` reads the state. If not, parameters at the same step share the numbers.
    scalars_by_state: ClassVar[bool] = False
    capturable_tensors: ClassVar[str] = "params and state_steps"
    capturable_devices: ClassVar[list[str]] = CAPTURABLE_DEVICES

    def _buffers(self, group: dict[str, Any], param: Tensor) -> Sequence[str]:
        raise NotImplementedError

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state before the first step: a step count and a buffer of zeros for each name."""
        dtype = float32 if group.get("fused") else None
        scalars = {key: scalar_state(0.0, dtype) for key in self.scalar_keys}
        return scalars | {name: ops.zeros_like(param) for name in self._buffers(group, param)}

    def _scalars(self, group: dict[str, Any], state: dict[str, Any], step: float) -> dict[str, Any]:
        """The rule's keyword arguments at a parameter's step number ``step``, counted from 1.

        An optimizer that keeps no step count gets 1 when the state is new and 0 from then on.
        """
        raise NotImplementedError

    def _decay(self, group: dict[str, Any]) -> dict[str, Any]:
        """How weight decay is done: ``weight_decay`` or ``shrink`` of `optimizer_step`."""
        weight_decay = self._number(group.get("weight_decay", 0))
        if isinstance(weight_decay, int | float) and weight_decay == 0:
            return {}
        if group.get("decoupled_weight_decay"):
            return {"shrink": 1 - self._number(group["lr"]) * weight_decay}
        return {"weight_decay": weight_decay}

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._known = KnownValues()
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
        pairs = [(param, grad) for param in group["params"] if (grad := param.grad) is not None]
        if not pairs:
            return
        self._check_step(group, [param for param, _ in pairs])
        if self._skipped_by_amp(group, [grad for _, grad in pairs]):
            return
        counts_steps = "step" in self.scalar_keys
        known = self._known
        counters: list[Tensor] = []
        counts: list[float] = []
        updates = []
        scalars: dict[str, Any] = {}
        scalars_step = -1.0
        for param, grad in pairs:
            names = self._buffers(group, param)
            state = self.state[param] if names else {}
            step = 0.0
            if names and not state:
                state.update(self._new_state(param, grad, group))
                step = 1.0
            if counts_steps:
                counter = state["step"]
                step = known.read(counter) + 1
                counters.append(counter)
                counts.append(step)
            if step != scalars_step or self.scalars_by_state:
                scalars, scalars_step = self._scalars(group, state, step), step
            tensors = [param, grad, *(state[name] for name in names)]
            if param.is_complex():
                tensors = [ops.view_as_real(tensor) for tensor in tensors]
            updates.append(ParamUpdate(tensors[0], tensors[1], tensors[2:], scalars))
        known.write(counters, counts)
        optimizer_step(type(self).rule, updates, maximize=group.get("maximize", False), **self._decay(group))

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
        if group.get("capturable"):
            raise AssertionError(
                f"If capturable=True, {self.capturable_tensors} must be on supported devices: "
                f"{self.capturable_devices}."
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
        grad_scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
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
