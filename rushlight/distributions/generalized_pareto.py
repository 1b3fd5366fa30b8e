"""The generalized Pareto distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..shape import Size
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import Parameter, broadcast_all


class GeneralizedPareto(Distribution):
    """The excess over a threshold `loc`: exponential where `concentration` is 0, with heavier tails above.

    >>> torch.distributions.GeneralizedPareto(torch.tensor([1.0]), 2.0, 0.5).mean
    tensor([5.])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(
        self, loc: Parameter, scale: Parameter, concentration: Parameter, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expand_as(GeneralizedPareto, batch_shape, _instance, loc=(), scale=(), concentration=())

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(ops.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def _safe_concentration(self) -> tuple[Tensor, Tensor]:
        """Where the concentration is 0, and the concentration with 1 there."""
        is_zero = ops.isclose(self.concentration, ops.zeros_like(self.concentration))
        return is_zero, ops.where(is_zero, ops.ones_like(self.concentration), self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        is_zero, concentration = self._safe_concentration()
        power = 1 / concentration + ops.ones_like(z)
        where_nonzero = ops.where(power == 0, power, power * ops.log1p(concentration * z))
        return -self.scale.log() - ops.where(is_zero, z, where_nonzero)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of a sample above `value`.

        >>> torch.distributions.GeneralizedPareto(0.0, 1.0, 0.0).log_survival_function(torch.tensor(2.0))
        tensor(-2.)
        """
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        is_zero, concentration = self._safe_concentration()
        return ops.where(is_zero, -z, -ops.log1p(concentration * z) / concentration)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of `cdf`.

        >>> torch.distributions.GeneralizedPareto(0.0, 1.0, -1.0).log_cdf(torch.tensor(0.5))
        tensor(-0.6931)
        """
        return ops.log1p(-ops.exp(self.log_survival_function(value)))

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(self.log_cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        is_zero, concentration = self._safe_concentration()
        log_left = ops.log1p(-value)
        where_nonzero = self.loc + self.scale / concentration * ops.expm1(-concentration * log_left)
        return ops.where(is_zero, self.loc - self.scale * log_left, where_nonzero)

    def _z(self, x: Tensor) -> Tensor:
        return (x - self.loc) / self.scale

    @property
    def mean(self) -> Tensor:
        exists = self.concentration < 1
        concentration = ops.where(exists, self.concentration, 0.5)
        return ops.where(exists, self.loc + self.scale / (1 - concentration), math.nan)

    @property
    def variance(self) -> Tensor:
        exists = self.concentration < 0.5
        concentration = ops.where(exists, self.concentration, 0.25)
        result = self.scale**2 / ((1 - concentration) ** 2 * (1 - 2 * concentration))
        return ops.where(exists, result, math.nan)

    def entropy(self) -> Tensor:
        return ops.broadcast_to(ops.log(self.scale) + self.concentration + 1, self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        upper = ops.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)
