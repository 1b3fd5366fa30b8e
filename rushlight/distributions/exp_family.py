"""Exponential families: p(x; theta) = exp(<t(x), theta> - F(theta) + k(x))."""

from __future__ import annotations

from .. import autograd
from ..tensor import Tensor
from .distribution import Distribution


class ExponentialFamily(Distribution):
    """The base class of exponential families. From the natural parameters theta, the log normalizer F and the mean of
    the carrier measure k follow the entropy and the KL divergence, through derivatives of F (Nielsen and Nock 2010).

    >>> issubclass(torch.distributions.Normal, torch.distributions.ExponentialFamily)
    True
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> float:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy, of shape `batch_shape`.

        >>> torch.distributions.Exponential(torch.ones(1)).entropy()
        tensor([1.])
        """
        carrier = self._mean_carrier_measure
        natural = [parameter.detach().requires_grad_() for parameter in self._natural_params]
        log_normalizer = self._log_normalizer(*natural)
        gradients = autograd.grad(log_normalizer.sum(), natural, create_graph=True)
        result = -carrier + log_normalizer
        for parameter, gradient in zip(natural, gradients, strict=True):
            result -= (parameter * gradient).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
