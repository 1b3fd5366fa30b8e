"""The multivariate normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..shape import Size, broadcast_shapes
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """Products of batched matrices and vectors, which broadcast."""
    return ops.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Tensor, bx: Tensor) -> Tensor:
    """x^T (L L^T)^-1 x for lower-triangular L (..., n, n), whose batch broadcasts to that of x (..., n).

    The part of x's batch along which L does not change becomes columns, so that each L is solved with once.
    """
    n = bx.size(-1)
    batch = bx.shape[:-1]
    inner = bL.dim() - 2
    outer = len(batch) - inner
    split = list(batch[:outer])
    for size_l, size_x in zip(bL.shape[:-2], batch[outer:], strict=True):
        split += [size_x // size_l, size_l]
    end = outer + 2 * inner
    repeated, matched = list(range(outer, end, 2)), list(range(outer + 1, end, 2))
    x = bx.reshape([*split, n]).permute([*range(outer), *repeated, *matched, end])
    flat_l = bL.reshape(-1, n, n)
    flat_x = x.reshape(-1, flat_l.size(0), n).permute(1, 2, 0)
    squared = ops.linalg_solve_triangular(flat_l, flat_x, upper=False).pow(2).sum(-2)
    back = list(range(outer))
    for i in range(inner):
        back += [outer + i, outer + inner + i]
    return squared.t().reshape(x.shape[:-1]).permute(back).reshape(batch)


def _precision_to_scale_tril(P: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of P: that of P with rows and columns reversed, inverted."""
    reversed_factor = ops.linalg_cholesky(ops.flip(P, (-2, -1)))
    upper = ops.transpose(ops.flip(reversed_factor, (-2, -1)), -2, -1)
    identity = ops.eye(P.shape[-1], dtype=P.dtype, device=P.device)
    return ops.linalg_solve_triangular(upper, identity, upper=False)


def _log_diagonal(scale_tril: Tensor) -> Tensor:
    """Half of the log determinant of the covariance."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class MultivariateNormal(Distribution):
    """A normal vector with mean `loc` and a covariance, precision or Cholesky factor of the covariance.

    >>> torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = [(name, matrix) for name, matrix in matrices.items() if matrix is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given
        if matrix.dim() < 2:
            what = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{what} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = Size(broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = _to_scale_tril(name, matrix)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        matrix = self.event_shape + self.event_shape
        new = self._expand_as(
            MultivariateNormal, batch_shape, _instance,
            loc=self.event_shape, covariance_matrix=matrix, scale_tril=matrix, precision_matrix=matrix,
        )  # fmt: skip
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _broadcasted(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        return self._broadcasted(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self._broadcasted(ops.matmul(self._unbroadcasted_scale_tril, self._unbroadcasted_scale_tril.mT))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return self._broadcasted(ops.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        eps = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, eps)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + distance) - _log_diagonal(self._unbroadcasted_scale_tril)

    def entropy(self) -> Tensor:
        half_log_det = _log_diagonal(self._unbroadcasted_scale_tril)
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half_log_det
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy


def _to_scale_tril(name: str, matrix: Tensor) -> Tensor:
    if name == "scale_tril":
        return matrix
    return ops.linalg_cholesky(matrix) if name == "covariance_matrix" else _precision_to_scale_tril(matrix)
