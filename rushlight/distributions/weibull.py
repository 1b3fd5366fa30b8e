"""The Weibull distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..tensor import Tensor
from . import constraints
from .exponential import Exponential
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, PowerTransform
from .utils import Parameter, broadcast_all, euler_constant


class Weibull(TransformedDistribution):
    """scale * x^(1 / concentration) for x from `Exponential(1)`.

    >>> torch.distributions.Weibull(torch.tensor([2.0]), 1.0).mean
    tensor([2.])
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Parameter, concentration: Parameter, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(ops.ones_like(self.scale), validate_args=validate_args)
        transforms = [
            PowerTransform(exponent=self.concentration_reciprocal),
            AffineTransform(loc=0, scale=self.scale),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parameters = "scale", "concentration", "concentration_reciprocal"
        return self._expand_transformed(Weibull, batch_shape, _instance, *parameters)

    def _log_moment(self, n: int) -> Tensor:
        """The logarithm of the n-th moment for scale 1."""
        return ops.lgamma(1 + n * self.concentration_reciprocal)

    @property
    def mean(self) -> Tensor:
        return self.scale * ops.exp(self._log_moment(1))

    @property
    def mode(self) -> Tensor:
        power = ((self.concentration - 1) / self.concentration) ** self.concentration.reciprocal()
        return self.scale * power

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (ops.exp(self._log_moment(2)) - ops.exp(2 * self._log_moment(1)))

    def entropy(self) -> Tensor:
        reciprocal = self.concentration_reciprocal
        return euler_constant * (1 - reciprocal) + ops.log(self.scale * reciprocal) + 1
