"""Kullback-Leibler divergences in closed form, one function for a pair of classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from .. import autograd, ops
from ..shape import broadcast_shapes
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    _batch_lowrank_logdet,
    _batch_lowrank_mahalanobis,
)
from .multivariate_normal import MultivariateNormal, _batch_mahalanobis, _log_diagonal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import _sum_rightmost, euler_constant

__all__ = ["kl_divergence", "register_kl"]

Divergence = Callable[[Any, Any], Tensor]
F = TypeVar("F", bound=Divergence)

_KL_REGISTRY: dict[tuple[type, type], Divergence] = {}
_KL_MEMOIZE: dict[tuple[type, type], Divergence | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[F], F]:
    """Decorate the function that computes the divergence for a pair of classes and their subclasses.

    >>> D = torch.distributions
    >>> class Unit(D.Normal): pass
    >>> @D.register_kl(Unit, Unit)
    ... def kl_unit_unit(p, q):
    ...     return torch.zeros(p.batch_shape)
    >>> D.kl_divergence(Unit(0.0, 1.0), Unit(0.0, 1.0))
    tensor(0.)
    """
    for name, each in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(each, type) and issubclass(each, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {each}")

    def decorator(function: F) -> F:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorator


def _precedes(a: tuple[type, type], b: tuple[type, type]) -> bool:
    """Whether a pair of classes is at least as special as another, the first ones deciding."""
    if not issubclass(a[0], b[0]):
        return False
    return a[0] is not b[0] or issubclass(a[1], b[1])


def _most_special(pairs: list[tuple[type, type]]) -> tuple[type, type]:
    best = pairs[0]
    for pair in pairs[1:]:
        if pair != best and _precedes(pair, best):
            best = pair
    return best


def _dispatch_kl(type_p: type, type_q: type) -> Divergence | None:
    """The function for the nearest registered pair; where p's and q's nearest disagree, p decides, with a warning."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None
    left = _most_special(matches)
    right_q, right_p = _most_special([(q, p) for p, q in matches])
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right_p, right_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({left[0].__name__}, {right_q.__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence of q from p, of their batch shape: the mean of log(p / q) under p.

    >>> D = torch.distributions
    >>> D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(1.0, 1.0))
    tensor(0.5000)
    """
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    function = _KL_MEMOIZE[pair]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type {q.__class__.__name__}"
        )
    return function(p, q)


def _infinite_like(tensor: Tensor) -> Tensor:
    return ops.full_like(tensor, math.inf)


def _x_log_x(tensor: Tensor) -> Tensor:
    return ops.xlogy(tensor, tensor)


def _batch_trace_XXT(bmat: Tensor) -> Tensor:
    return bmat.reshape(bmat.shape[:-2] + (-1,)).pow(2).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli_bernoulli(p: Any, q: Any) -> Tensor:
    t1 = p.probs * (ops.softplus(-q.logits) - ops.softplus(-p.logits))
    t1[q.probs == 0] = math.inf
    t1[p.probs == 0] = 0
    t2 = (1 - p.probs) * (ops.softplus(q.logits) - ops.softplus(p.logits))
    t2[q.probs == 1] = math.inf
    t2[p.probs == 1] = 0
    return t1 + t2


@register_kl(Beta, Beta)
def _kl_beta_beta(p: Any, q: Any) -> Tensor:
    total_p = p.concentration1 + p.concentration0
    total_q = q.concentration1 + q.concentration0
    t1 = q.concentration1.lgamma() + q.concentration0.lgamma() + total_p.lgamma()
    t2 = p.concentration1.lgamma() + p.concentration0.lgamma() + total_q.lgamma()
    t3 = (p.concentration1 - q.concentration1) * p.concentration1.digamma()
    t4 = (p.concentration0 - q.concentration0) * p.concentration0.digamma()
    t5 = (total_q - total_p) * total_p.digamma()
    return t1 - t2 + t3 + t4 + t5


@register_kl(Binomial, Binomial)
def _kl_binomial_binomial(p: Any, q: Any) -> Tensor:
    # From https://math.stackexchange.com/questions/2214993
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    log_odds = p.probs * (p.logits - q.logits)
    kl = p.total_count * (log_odds + (-p.probs).log1p() - (-q.probs).log1p())
    kl[p.total_count > q.total_count] = math.inf
    return kl


@register_kl(Categorical, Categorical)
def _kl_categorical_categorical(p: Any, q: Any) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t[(q.probs == 0).expand_as(t)] = math.inf
    t[(p.probs == 0).expand_as(t)] = 0
    return t.sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl_continuous_bernoulli_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    t1 = p.mean * (p.logits - q.logits)
    t2 = p._cont_bern_log_norm() + ops.log1p(-p.probs)
    t3 = -q._cont_bern_log_norm() - ops.log1p(-q.probs)
    return t1 + t2 + t3


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p: Any, q: Any) -> Tensor:
    # From http://bariskurt.com/kullback-leibler-divergence-between-two-dirichlet-and-beta-distributions/
    total_p, total_q = p.concentration.sum(-1), q.concentration.sum(-1)
    t1 = total_p.lgamma() - total_q.lgamma()
    t2 = (p.concentration.lgamma() - q.concentration.lgamma()).sum(-1)
    t3 = p.concentration - q.concentration
    t4 = p.concentration.digamma() - total_p.digamma().unsqueeze(-1)
    return t1 - t2 + (t3 * t4).sum(-1)


@register_kl(Exponential, Exponential)
def _kl_exponential_exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p: Any, q: Any) -> Tensor:
    """The Bregman divergence of the log normalizer between the natural parameters."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot "
            "                            be computed using Bregman divergences"
        )
    natural_p = [parameter.detach().requires_grad_() for parameter in p._natural_params]
    natural_q = q._natural_params
    log_normalizer = p._log_normalizer(*natural_p)
    gradients = autograd.grad(log_normalizer.sum(), natural_p, create_graph=True)
    result = q._log_normalizer(*natural_q) - log_normalizer
    for theta_p, theta_q, gradient in zip(natural_p, natural_q, gradients, strict=True):
        result -= _sum_rightmost((theta_q - theta_p) * gradient, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _kl_gamma_gamma(p: Any, q: Any) -> Tensor:
    t1 = q.concentration * (p.rate / q.rate).log()
    t2 = q.concentration.lgamma() - p.concentration.lgamma()
    t3 = (p.concentration - q.concentration) * p.concentration.digamma()
    t4 = (q.rate - p.rate) * (p.concentration / p.rate)
    return t1 + t2 + t3 + t4


@register_kl(Gumbel, Gumbel)
def _kl_gumbel_gumbel(p: Any, q: Any) -> Tensor:
    ratio, loc_q, loc_p = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    t1 = -ratio.log() - loc_q + loc_p
    t2 = ratio * euler_constant
    t3 = ops.exp(loc_q + (1 + ratio).lgamma() - loc_p)
    return t1 + t2 + t3 - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _kl_geometric_geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _kl_halfnormal_halfnormal(p: Any, q: Any) -> Tensor:
    return _kl_normal_normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _kl_laplace_laplace(p: Any, q: Any) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * ops.exp(-distance / p.scale) - 1


def _check_events(p: Any, q: Any, kind: str) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL-divergence between two {kind} Normals with                          "
            "different event shapes cannot be computed"
        )


def _lowrank_logdet(distribution: Any) -> Tensor:
    factor, diagonal = distribution._low_rank()
    return _batch_lowrank_logdet(factor, diagonal, distribution._capacitance_tril)


def _lowrank_distance(p: Any, q: Any) -> Tensor:
    factor, diagonal = q._low_rank()
    return _batch_lowrank_mahalanobis(factor, diagonal, q.loc - p.loc, q._capacitance_tril)


def _capacitance_solve(q: Any) -> Tensor:
    factor, diagonal = q._low_rank()
    return ops.linalg_solve_triangular(q._capacitance_tril, factor.mT / diagonal.unsqueeze(-2), upper=False)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _kl_lowrank_lowrank(p: Any, q: Any) -> Tensor:
    _check_events(p, q, "Low Rank Multivariate")
    (factor_p, diagonal_p), (_, diagonal_q) = p._low_rank(), q._low_rank()
    A = _capacitance_solve(q)
    # The trace of the inverse of q's covariance times p's, by the Woodbury identity.
    trace = (
        (diagonal_p / diagonal_q).sum(-1)
        + _batch_trace_XXT(factor_p * diagonal_q.rsqrt().unsqueeze(-1))
        - _batch_trace_XXT(A * diagonal_p.sqrt().unsqueeze(-2))
        - _batch_trace_XXT(A.matmul(factor_p))
    )
    return 0.5 * (_lowrank_logdet(q) - _lowrank_logdet(p) + trace + _lowrank_distance(p, q) - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _kl_multivariatenormal_lowrank(p: Any, q: Any) -> Tensor:
    _check_events(p, q, "(Low Rank) Multivariate")
    scale_p, diagonal_q = p._unbroadcasted_scale_tril, q._low_rank()[1]
    log_det = _lowrank_logdet(q) - 2 * _log_diagonal(scale_p)
    trace = _batch_trace_XXT(scale_p * diagonal_q.rsqrt().unsqueeze(-1)) - _batch_trace_XXT(
        _capacitance_solve(q).matmul(scale_p)
    )
    return 0.5 * (log_det + trace + _lowrank_distance(p, q) - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _kl_lowrank_multivariatenormal(p: Any, q: Any) -> Tensor:
    _check_events(p, q, "(Low Rank) Multivariate")
    scale_q, (factor_p, diagonal_p) = q._unbroadcasted_scale_tril, p._low_rank()
    log_det = 2 * _log_diagonal(scale_q) - _lowrank_logdet(p)
    distance = _batch_mahalanobis(scale_q, q.loc - p.loc)
    batch, n = broadcast_shapes(scale_q.shape[:-2], factor_p.shape[:-2]), p.event_shape[0]
    left = scale_q.expand((*batch, n, n))
    parts = factor_p.expand((*batch, n, factor_p.size(-1))), ops.diag_embed(diagonal_p.sqrt()).expand((*batch, n, n))
    traces = [_batch_trace_XXT(ops.linalg_solve_triangular(left, part, upper=False)) for part in parts]
    return 0.5 * (log_det + (traces[0] + traces[1]) + distance - n)


@register_kl(MultivariateNormal, MultivariateNormal)
def _kl_multivariatenormal_multivariatenormal(p: Any, q: Any) -> Tensor:
    # From https://en.wikipedia.org/wiki/Multivariate_normal_distribution#Kullback%E2%80%93Leibler_divergence
    _check_events(p, q, "Multivariate")
    scale_p, scale_q = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    batch, n = broadcast_shapes(scale_q.shape[:-2], scale_p.shape[:-2]), p.event_shape[0]
    left, right = scale_q.expand((*batch, n, n)), scale_p.expand((*batch, n, n))
    trace = _batch_trace_XXT(ops.linalg_solve_triangular(left, right, upper=False))
    distance = _batch_mahalanobis(scale_q, q.loc - p.loc)
    return _log_diagonal(scale_q) - _log_diagonal(scale_p) + 0.5 * (trace + distance - n)


@register_kl(Normal, Normal)
def _kl_normal_normal(p: Any, q: Any) -> Tensor:
    var_ratio = (p.scale / q.scale).pow(2)
    t1 = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (var_ratio + t1 - 1 - var_ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_onehotcategorical_onehotcategorical(p: Any, q: Any) -> Tensor:
    return _kl_categorical_categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _kl_pareto_pareto(p: Any, q: Any) -> Tensor:
    # From http://www.mast.queensu.ca/~communications/Papers/gil-msc11.pdf
    alpha_ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - alpha_ratio.log() + alpha_ratio - 1
    result[p.support.lower_bound < q.support.lower_bound] = math.inf
    return result


@register_kl(Poisson, Poisson)
def _kl_poisson_poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _kl_uniform_uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    result[(q.low > p.low) | (q.high < p.high)] = math.inf
    return result


@register_kl(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p: Any, q: Any) -> Tensor:
    # From https://arxiv.org/abs/1905.10965
    t1 = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return t1 - (4 * p.scale * q.scale).log()


@register_kl(Independent, Independent)
def _kl_independent_independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
