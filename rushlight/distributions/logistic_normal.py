"""The logistic-normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from . import constraints
from .normal import Normal
from .transformed_distribution import TransformedDistribution
from .transforms import StickBreakingTransform
from .utils import Parameter


class LogisticNormal(TransformedDistribution):
    """Points of the simplex: stick breaking of x from `Normal(loc, scale)`, with one more dim than x.

    >>> torch.distributions.LogisticNormal(torch.zeros(3), torch.ones(3)).event_shape
    torch.Size([4])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True
    loc = property(attrgetter("base_dist.base_dist.loc"), doc="The mean of the normal distribution.")
    scale = property(attrgetter("base_dist.base_dist.scale"), doc="The scale of the normal distribution.")

    def __init__(self, loc: Parameter, scale: Parameter, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expand_transformed(LogisticNormal, batch_shape, _instance)
