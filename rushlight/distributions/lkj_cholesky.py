"""The LKJ distribution of correlation matrices, by their Cholesky factors.

Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and extended onion method", 2009.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import dtypes as dt, ops
from ..shape import Size
from ..tensor import Tensor
from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import Parameter, broadcast_all


class LKJCholesky(Distribution):
    """Lower Cholesky factors of correlation matrices M of size `dim`, with density proportional to
    det(M)^(concentration - 1) for M.

    >>> torch.distributions.LKJCholesky(3, 0.5).sample().shape
    torch.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Parameter = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of each row below its diagonal, the first of which is not used.
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = ops.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        offset = ops.cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._expand_as(LKJCholesky, batch_shape, _instance, concentration=(), _beta=(self.dim,))
        new.dim = self.dim
        return new

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        # The onion method: a direction on the sphere and a length for each row.
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        normal = ops.randn(self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
        direction = normal / normal.norm(dim=-1, keepdim=True)
        direction[..., 0, :].fill_(0.0)
        w = ops.sqrt(y) * direction
        rest = ops.clamp(1 - ops.sum(w**2, dim=-1), min=dt.finfo(w.dtype).tiny)
        w += ops.diag_embed(rest.sqrt())
        return w

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = ops.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        log_density = ops.sum(order * diagonal.log(), dim=-1)
        below = self.dim - 1
        alpha = self.concentration + 0.5 * below
        numerator = ops.mvlgamma(alpha - 0.5, below)
        return log_density - (0.5 * below * math.log(math.pi) + numerator - ops.lgamma(alpha) * below)
