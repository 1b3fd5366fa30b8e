"""Aggregates of plain values: sum, mean, maximum, minimum, or all of them."""

from __future__ import annotations

import warnings
from typing import Any

from .. import ops
from ..dtypes import get_default_dtype
from ..tensor import Tensor
from .metric import Metric, State
from .utilities.data import dim_zero_cat


class BaseAggregator(Metric):
    """What the aggregates share: one state, and what to do with NaNs (`nan_strategy`).

    The strategy is "error", "warn" or "ignore" (which drop NaNs), "disable", or a number to put in their place.
    """

    full_state_update = False

    def __init__(
        self,
        fn: str,
        default_value: State,
        nan_strategy: str | float = "error",
        state_name: str = "value",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        allowed = ("error", "warn", "ignore", "disable")
        if nan_strategy not in allowed and not isinstance(nan_strategy, float):
            raise ValueError(f"Arg `nan_strategy` should either be a float or one of {allowed} but got {nan_strategy}.")
        self.nan_strategy = nan_strategy
        self.add_state(state_name, default=default_value, dist_reduce_fx=fn)
        self.state_name = state_name

    def _cleaned(self, value: Any, weight: Any = 1.0) -> tuple[Tensor, Tensor]:
        """`value` and `weight` as tensors of the metric's dtype, of one shape, with NaNs treated by the strategy."""
        value = value if isinstance(value, Tensor) else ops.as_tensor(value, dtype=self.dtype)
        weight = weight if isinstance(weight, Tensor) else ops.as_tensor(weight, dtype=self.dtype)
        weight = weight.broadcast_to(value.shape)
        if self.nan_strategy != "disable":
            nans = value.isnan() | weight.isnan()
            if nans.any():
                if self.nan_strategy == "error":
                    raise RuntimeError("Encountered `nan` values in tensor")
                if isinstance(self.nan_strategy, float):
                    value, weight = value.masked_fill(nans, self.nan_strategy), weight.masked_fill(nans, 1)
                else:
                    if self.nan_strategy == "warn":
                        warnings.warn("Encountered `nan` values in tensor. Will be removed.", UserWarning, stacklevel=4)
                    value, weight = value[~nans], weight[~nans]
        return value.to(self.dtype), weight.to(self.dtype)

    def compute(self) -> Any:
        return getattr(self, self.state_name)


def _number(value: float) -> Tensor:
    return ops.tensor(value, dtype=get_default_dtype())


class MaxMetric(BaseAggregator):
    """The largest of all values.

    >>> from rushlight.metrics import MaxMetric
    >>> metric = MaxMetric()
    >>> metric.update(torch.tensor([1.0, 3.0])); metric.update(2)
    >>> metric.compute()
    tensor(3.)
    """

    full_state_update = True
    max_value: Tensor

    def __init__(self, nan_strategy: str | float = "warn", **kwargs: Any) -> None:
        super().__init__("max", _number(float("-inf")), nan_strategy, state_name="max_value", **kwargs)

    def update(self, value: float | Tensor) -> None:
        value, _ = self._cleaned(value)
        if value.numel():
            self.max_value = ops.maximum(self.max_value, value.max())


class MinMetric(BaseAggregator):
    """The smallest of all values.

    >>> from rushlight.metrics import MinMetric
    >>> metric = MinMetric()
    >>> metric.update(torch.tensor([1.0, 3.0])); metric.update(2)
    >>> metric.compute()
    tensor(1.)
    """

    full_state_update = True
    min_value: Tensor

    def __init__(self, nan_strategy: str | float = "warn", **kwargs: Any) -> None:
        super().__init__("min", _number(float("inf")), nan_strategy, state_name="min_value", **kwargs)

    def update(self, value: float | Tensor) -> None:
        value, _ = self._cleaned(value)
        if value.numel():
            self.min_value = ops.minimum(self.min_value, value.min())


class SumMetric(BaseAggregator):
    """The sum of all values.

    >>> from rushlight.metrics import SumMetric
    >>> metric = SumMetric()
    >>> metric.update(torch.tensor([1.0, 3.0])); metric.update(2)
    >>> metric.compute()
    tensor(6.)
    """

    sum_value: Tensor

    def __init__(self, nan_strategy: str | float = "warn", **kwargs: Any) -> None:
        super().__init__("sum", _number(0.0), nan_strategy, state_name="sum_value", **kwargs)

    def update(self, value: float | Tensor) -> None:
        value, _ = self._cleaned(value)
        self.sum_value = self.sum_value + value.sum()


class CatMetric(BaseAggregator):
    """All values, one after the other.

    >>> from rushlight.metrics import CatMetric
    >>> metric = CatMetric()
    >>> metric.update(torch.tensor([1.0, 3.0])); metric.update(2)
    >>> metric.compute()
    tensor([1., 3., 2.])
    """

    value: list[Tensor]

    def __init__(self, nan_strategy: str | float = "warn", **kwargs: Any) -> None:
        super().__init__("cat", [], nan_strategy, **kwargs)

    def update(self, value: float | Tensor) -> None:
        value, _ = self._cleaned(value)
        if value.numel():
            self.value.append(value)

    def compute(self) -> Any:
        return dim_zero_cat(self.value) if self.value else self.value


class MeanMetric(BaseAggregator):
    """The mean of all values, each with its weight.

    >>> from rushlight.metrics import MeanMetric
    >>> metric = MeanMetric()
    >>> metric.update(torch.tensor([1.0, 3.0])); metric.update(8.0, weight=2.0)
    >>> metric.compute()
    tensor(5.)
    """

    mean_value: Tensor
    weight: Tensor

    def __init__(self, nan_strategy: str | float = "warn", **kwargs: Any) -> None:
        super().__init__("sum", _number(0.0), nan_strategy, state_name="mean_value", **kwargs)
        self.add_state("weight", default=_number(0.0), dist_reduce_fx="sum")

    def update(self, value: float | Tensor, weight: float | Tensor | None = None) -> None:
        value, weight = self._cleaned(value, 1.0 if weight is None else weight)
        self.mean_value = self.mean_value + (value * weight).sum()
        self.weight = self.weight + weight.sum()

    def compute(self) -> Tensor:
        return self.mean_value / self.weight
