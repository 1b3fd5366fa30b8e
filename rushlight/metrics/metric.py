"""`Metric`, a module that accumulates states over batches, and arithmetic on metrics.

The interface is torchmetrics': https://lightning.ai/docs/torchmetrics/stable/references/metric.html
"""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from .. import ops
from ..autograd import no_grad, set_grad_enabled
from ..devices import get_default_device
from ..dtypes import dtype as Dtype, get_default_dtype
from ..nn.module import Module
from ..tensor import Tensor
from .utilities.data import dim_zero_cat, dim_zero_max, dim_zero_mean, dim_zero_min, dim_zero_sum, map_tensors

State = Tensor | list[Tensor]

_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "sum": dim_zero_sum,
    "mean": dim_zero_mean,
    "max": dim_zero_max,
    "min": dim_zero_min,
    "cat": dim_zero_cat,
}

# What the constructor takes for every metric, with its default. The entries on distribution matter between processes.
_OPTIONS: dict[str, Any] = {
    "compute_on_cpu": False,
    "dist_sync_on_step": False,
    "process_group": None,
    "dist_sync_fn": None,
    "distributed_available_fn": None,
    "sync_on_compute": True,
    "compute_with_cache": True,
}


def _infix(name: str, swap: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Metric, other: Any) -> CompositionalMetric:
        operator = getattr(ops, name)
        return CompositionalMetric(operator, other, self) if swap else CompositionalMetric(operator, self, other)

    return method


def _prefix(name: str) -> Callable[[Any], Any]:
    return lambda self: CompositionalMetric(getattr(ops, name), self, None)


def _negative(value: Tensor) -> Tensor:
    return -value.abs()


class Metric(Module):
    """Base of all metrics: `update` accumulates states made by `add_state`, `compute` gives the value.

    Calling a metric updates it and returns the value on that batch alone.

    >>> from rushlight.metrics import Metric
    >>> class Count(Metric):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.add_state("n", default=torch.tensor(0), dist_reduce_fx="sum")
    ...     def update(self, x): self.n += x.numel()
    ...     def compute(self): return self.n
    >>> count = Count()
    >>> count(torch.ones(3)), count(torch.ones(2)), count.compute()
    (tensor(3), tensor(2), tensor(5))
    """

    is_differentiable: bool | None = None
    higher_is_better: bool | None = None
    #: Whether the value on a batch needs the states of all batches. If False, `forward` updates once instead of twice.
    full_state_update: bool | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        for name, default in _OPTIONS.items():
            value = kwargs.pop(name, default)
            if isinstance(default, bool) and not isinstance(value, bool):
                raise ValueError(f"Expected keyword argument `{name}` to be an `bool` but got {value}")
            setattr(self, name, value)
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {', '.join(f'`{name}`' for name in sorted(kwargs))}")
        self._device, self._dtype = get_default_device(), get_default_dtype()
        self._wrap_methods()
        self._computed: Any = None
        self._forward_cache: Any = None
        self._update_count = 0
        self._enable_grad = False
        self._dtype_convert = False
        self._defaults: dict[str, State] = {}
        self._persistent: dict[str, bool] = {}
        self._reductions: dict[str, Callable[..., Tensor] | None] = {}

    def _wrap_methods(self) -> None:
        self._update_signature = inspect.signature(self.update)
        self.update = self._counted(self.update)  # type: ignore[method-assign]
        self.compute = self._cached(self.compute)  # type: ignore[method-assign]

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has to define `update`")

    def compute(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define `compute`")

    def _counted(self, update: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(update)
        def counted(*args: Any, **kwargs: Any) -> None:
            self._computed = None
            self._update_count += 1
            with set_grad_enabled(self._enable_grad):
                update(*args, **kwargs)

        return counted

    def _cached(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(compute)
        def cached(*args: Any, **kwargs: Any) -> Any:
            if not self.update_called:
                warnings.warn(
                    f"The ``compute`` method of metric {type(self).__name__} was called before the ``update`` method "
                    "which may lead to errors, as metric states have not yet been updated.",
                    UserWarning,
                    stacklevel=2,
                )
            if self._computed is not None:
                return self._computed
            # A copy, so that writing to the result leaves the state alone.
            value = map_tensors(compute(*args, **kwargs), lambda x: (x.squeeze() if x.numel() == 1 else x).clone())
            if self.compute_with_cache:
                self._computed = value
            return value

        return cached

    @property
    def update_called(self) -> bool:
        """Whether `update` or `forward` has been called since the start or the last reset."""
        return self._update_count > 0

    @property
    def update_count(self) -> int:
        return self._update_count

    @property
    def metric_state(self) -> dict[str, State]:
        """The states by name."""
        return {name: getattr(self, name) for name in self._defaults}

    def add_state(
        self,
        name: str,
        default: State,
        dist_reduce_fx: str | Callable[..., Tensor] | None = None,
        persistent: bool = False,
    ) -> None:
        """Make the attribute `name` a state: a tensor, or an empty list to append tensors to.

        `dist_reduce_fx` ("sum", "mean", "max", "min", "cat" or a function) merges states of batches or processes.
        """
        if not isinstance(default, (Tensor, list)) or (isinstance(default, list) and default):
            raise ValueError("state variable must be a tensor or any empty list (where you can append tensors)")
        if isinstance(dist_reduce_fx, str) and dist_reduce_fx in _REDUCTIONS:
            dist_reduce_fx = _REDUCTIONS[dist_reduce_fx]
        elif dist_reduce_fx is not None and not callable(dist_reduce_fx):
            raise ValueError("`dist_reduce_fx` must be callable or one of ['mean', 'sum', 'cat', 'min', 'max', None]")
        if isinstance(default, Tensor):
            default = default.contiguous()
        setattr(self, name, default)
        self._defaults[name] = copy.deepcopy(default)
        self._persistent[name] = persistent
        self._reductions[name] = dist_reduce_fx

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Update, and return the value on this batch alone.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> metric(torch.tensor([1.0, 2.0])), metric(5.0), metric.compute()
        (tensor(3.), tensor(5.), tensor(8.))
        """
        if self.full_state_update is False and not self.dist_sync_on_step:
            before, count = self._copy_states(), self._update_count
            value = self._on_batch_alone(*args, **kwargs)
            self._update_count = count + 1
            with no_grad():
                self._reduce_states(before)
        else:
            self.update(*args, **kwargs)
            after, count = self._copy_states(), self._update_count
            value = self._on_batch_alone(*args, **kwargs)
            self._update_count = count
            for name, state in after.items():
                setattr(self, name, state)
        self._computed = None
        self._forward_cache = value
        return value

    def _on_batch_alone(self, *args: Any, **kwargs: Any) -> Any:
        self.reset()
        self._enable_grad = True
        try:
            self.update(*args, **kwargs)
            return self.compute()
        finally:
            self._enable_grad = False

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Take in the states of another metric of this class, as if its batches had been seen here.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> other = metric.clone()
        >>> metric.update(1.0); other.update(2.0); metric.merge_state(other)
        >>> metric.compute()
        tensor(3.)
        """
        if not isinstance(incoming_state, (dict, Metric)):
            raise ValueError(
                f"Expected incoming state to be a dict or an instance of Metric but got {type(incoming_state)}"
            )
        if self.full_state_update is not False or self.dist_sync_on_step:
            raise RuntimeError(
                "``merge_state`` is not supported for metrics with ``full_state_update=True`` or "
                "``dist_sync_on_step=True``. Please overwrite the merge_state method in the metric class."
            )
        if isinstance(incoming_state, Metric):
            if not isinstance(incoming_state, type(self)):
                raise ValueError(
                    f"Expected incoming state to be an instance of {type(self).__name__} but got {type(incoming_state)}"
                )
            incoming_state = incoming_state.metric_state
        self._reduce_states(incoming_state)

    def _reduce_states(self, incoming: dict[str, Any]) -> None:
        for name, reduce in self._reductions.items():
            if name not in incoming:
                raise ValueError(f"Expected state variable {name} to be present in incoming state {incoming}")
            theirs, ours = incoming[name], getattr(self, name)
            merged: Any
            if isinstance(theirs, list) or reduce is dim_zero_sum:
                merged = theirs + ours
            elif reduce is dim_zero_mean:
                merged = ((self._update_count - 1) * theirs + ours).float() / self._update_count
            elif reduce is dim_zero_cat:
                merged = ops.cat([theirs, ours])
            else:
                both = ops.stack([theirs, ours])
                merged = both if reduce is None else reduce(both)
            setattr(self, name, merged)

    def reset(self) -> None:
        """Back to the states as they were at the start.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> metric.update(3.0); metric.reset(); metric.update(1.0)
        >>> metric.compute()
        tensor(1.)
        """
        self._update_count = 0
        self._forward_cache = None
        self._computed = None
        for name, default in self._defaults.items():
            if isinstance(default, Tensor):
                setattr(self, name, default.detach().clone())
            else:
                getattr(self, name).clear()

    def clone(self) -> Metric:
        """A deep copy.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> other = metric.clone()
        >>> other.update(3.0)
        >>> metric.update_called, other.update_called
        (False, True)
        """
        return copy.deepcopy(self)

    def _copy_states(self) -> dict[str, State]:
        return {name: map_tensors(state, lambda x: x.detach().clone()) for name, state in self.metric_state.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("update", "compute", "_update_signature")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._wrap_methods()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("higher_is_better", "is_differentiable", "full_state_update"):
            raise RuntimeError(f"Can't change const `{name}`.")
        super().__setattr__(name, value)

    @property
    def device(self) -> Any:
        return self._device

    @property
    def dtype(self) -> Dtype:
        return self._dtype

    # A model's .half() must not touch the states of its metrics: only `set_dtype` converts them.

    def type(self, dst_type: Any) -> Metric:
        return self

    def float(self) -> Metric:
        return self

    def double(self) -> Metric:
        return self

    def half(self) -> Metric:
        return self

    def bfloat16(self) -> Metric:
        return self

    def set_dtype(self, dst_type: Any) -> Metric:
        """Convert all states to `dst_type`.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> metric.set_dtype(torch.float64)(1.5)
        tensor(1.5000, dtype=torch.float64)
        """
        self._dtype_convert = True
        super().type(dst_type)
        self._dtype_convert = False
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Metric:
        super()._apply(fn, *args, **kwargs)
        probe = fn(ops.zeros(1, device=self._device, dtype=self._dtype))
        if probe.dtype is not self._dtype and not self._dtype_convert:
            return self
        self._device, self._dtype = probe.device, probe.dtype
        for name, default in self._defaults.items():
            self._defaults[name] = map_tensors(default, fn)
            setattr(self, name, map_tensors(getattr(self, name), fn))
        self._computed = map_tensors(self._computed, fn)
        self._forward_cache = map_tensors(self._forward_cache, fn)
        return self

    def persistent(self, mode: bool = False) -> None:
        """Whether `state_dict` has the states from now on.

        >>> from rushlight.metrics import SumMetric
        >>> metric = SumMetric()
        >>> metric.persistent(True)
        >>> list(metric.state_dict())
        ['sum_value']
        """
        for name in self._persistent:
            self._persistent[name] = mode

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        found = super().state_dict(*args, destination=destination, prefix=prefix, keep_vars=keep_vars)
        for name, state in self.metric_state.items():
            if self._persistent[name]:
                found[prefix + name] = copy.deepcopy(state if keep_vars else map_tensors(state, lambda x: x.detach()))
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in self._defaults:
            if prefix + name in state_dict:
                setattr(self, name, state_dict.pop(prefix + name))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _filter_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Those of `kwargs` that `update` takes."""
        kinds = {name: parameter.kind for name, parameter in self._update_signature.parameters.items()}
        if inspect.Parameter.VAR_KEYWORD in kinds.values():
            return kwargs
        return {
            k: v
            for k, v in kwargs.items()
            if kinds.get(k, inspect.Parameter.VAR_POSITIONAL) != inspect.Parameter.VAR_POSITIONAL
        }

    def __hash__(self) -> int:
        return hash((type(self).__name__, id(self)))

    def __getitem__(self, index: Any) -> CompositionalMetric:
        return CompositionalMetric(lambda value: value[index], self, None)

    __iter__ = None  # or Python would try `__getitem__` with 0, 1, ...

    __add__, __radd__ = _infix("add"), _infix("add", swap=True)
    __sub__, __rsub__ = _infix("sub"), _infix("sub", swap=True)
    __mul__, __rmul__ = _infix("mul"), _infix("mul", swap=True)
    __truediv__, __rtruediv__ = _infix("div"), _infix("div", swap=True)
    __floordiv__, __rfloordiv__ = _infix("floor_divide"), _infix("floor_divide", swap=True)
    __mod__, __rmod__ = _infix("fmod"), _infix("fmod", swap=True)
    __pow__, __rpow__ = _infix("pow"), _infix("pow", swap=True)
    __matmul__, __rmatmul__ = _infix("matmul"), _infix("matmul", swap=True)
    __and__, __rand__ = _infix("bitwise_and"), _infix("bitwise_and", swap=True)
    __or__, __ror__ = _infix("bitwise_or"), _infix("bitwise_or", swap=True)
    __xor__, __rxor__ = _infix("bitwise_xor"), _infix("bitwise_xor", swap=True)
    __eq__, __ne__ = _infix("eq"), _infix("ne")  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = _infix("lt"), _infix("le"), _infix("gt"), _infix("ge")
    __abs__, __pos__, __invert__ = _prefix("abs"), _prefix("abs"), _prefix("bitwise_not")

    def __neg__(self) -> CompositionalMetric:
        return CompositionalMetric(_negative, self, None)


class CompositionalMetric(Metric):
    """The result of arithmetic on metrics: an operator and what it applies to, evaluated on `compute`."""

    full_state_update = True

    def __init__(self, operator: Callable[..., Any], metric_a: Any, metric_b: Any) -> None:
        super().__init__()
        self.op = operator
        for name, operand in (("metric_a", metric_a), ("metric_b", metric_b)):
            if isinstance(operand, Tensor):
                self.register_buffer(name, operand, persistent=False)
            else:
                setattr(self, name, operand)

    def _wrap_methods(self) -> None:
        # The operands count and cache for themselves.
        self._update_signature = inspect.signature(self.update)

    def _metrics(self) -> list[Metric]:
        return [metric for metric in (self.metric_a, self.metric_b) if isinstance(metric, Metric)]

    def _evaluate(self, value_of: Callable[[Metric], Any]) -> Any:
        a, b = (value_of(x) if isinstance(x, Metric) else x for x in (self.metric_a, self.metric_b))
        if a is None or (b is None and isinstance(self.metric_b, Metric)):
            return None
        return self.op(a) if b is None else self.op(a, b)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for metric in self._metrics():
            metric.update(*args, **metric._filter_kwargs(**kwargs))

    def compute(self) -> Any:
        return self._evaluate(lambda metric: metric.compute())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self._forward_cache = self._evaluate(lambda metric: metric(*args, **metric._filter_kwargs(**kwargs)))
        return self._forward_cache

    def reset(self) -> None:
        for metric in self._metrics():
            metric.reset()

    def persistent(self, mode: bool = False) -> None:
        for metric in self._metrics():
            metric.persistent(mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n  {self.op.__name__}(\n    {self.metric_a!r},\n    {self.metric_b!r}\n  )\n)"
