"""Mixtures of distributions of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..autograd import no_grad
from ..shape import Size
from ..tensor import Tensor
from . import constraints
from .categorical import Categorical
from .constraints import MixtureSameFamilyConstraint
from .distribution import Distribution


class MixtureSameFamily(Distribution):
    """A mixture whose components are the last batch dim of `component_distribution`, with the probabilities of a
    `Categorical`.

    >>> D = torch.distributions
    >>> D.MixtureSameFamily(D.Categorical(torch.ones(2)), D.Normal(torch.tensor([-1.0, 2.0]), 1.0)).mean
    tensor(0.5000)
    """

    arg_constraints: Any = {}
    has_rsample = False

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of torch.distributions.Distribution"
            )
        mixture_batch = mixture_distribution.batch_shape
        component_batch = component_distribution.batch_shape[:-1]
        for size1, size2 in zip(reversed(mixture_batch), reversed(component_batch), strict=False):
            if size1 != 1 and size2 != 1 and size1 != size2:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mixture_batch}) is not "
                    "compatible with `component_distribution."
                    f"batch_shape`({component_batch})"
                )
        mixed, components = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if mixed != components:
            raise ValueError(
                f"`mixture_distribution component` ({mixed}) does not"
                " equal `component_distribution.batch_shape[-1]`"
                f" ({components})"
            )
        self._num_component = mixed
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(batch_shape=component_batch, event_shape=event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._expand_as(
            MixtureSameFamily, batch_shape, _instance,
            _component_distribution=(self._num_component,), _mixture_distribution=(),
        )  # fmt: skip
        new._num_component = self._num_component
        new._event_ndims = self._event_ndims
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        support: Any = self._component_distribution.support
        return MixtureSameFamilyConstraint(support)

    @property
    def mixture_distribution(self) -> Categorical:
        """How probable the components are."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dim."""
        return self._component_distribution

    def _mixed(self, values: Tensor) -> Tensor:
        """The mean of a value of the components."""
        probs = self._pad_mixture_dimensions(self.mixture_distribution.probs)
        return ops.sum(probs * values, dim=-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._mixed(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        within = self._mixed(self.component_distribution.variance)
        between = self._mixed((self.component_distribution.mean - self._pad(self.mean)).pow(2.0))
        return within + between

    def cdf(self, x: Tensor) -> Tensor:
        return ops.sum(self.component_distribution.cdf(self._pad(x)) * self.mixture_distribution.probs, dim=-1)

    def log_prob(self, x: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(x)
        log_prob = self.component_distribution.log_prob(self._pad(x))
        return ops.logsumexp(log_prob + ops.log_softmax(self.mixture_distribution.logits, dim=-1), dim=-1)

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        with no_grad():
            component_dim = len(sample_shape) + len(self.batch_shape)
            chosen = self.mixture_distribution.sample(sample_shape)
            samples = self.component_distribution.sample(sample_shape)
            ones = Size([1] * (len(self.event_shape) + 1))
            index = chosen.reshape(chosen.shape + ones).expand(chosen.shape + Size([1]) + self.event_shape)
            return ops.gather(samples, component_dim, index).squeeze(component_dim)

    def _pad(self, x: Tensor) -> Tensor:
        """With a dim for the components."""
        return x.unsqueeze(-1 - self._event_ndims)

    def _pad_mixture_dimensions(self, x: Tensor) -> Tensor:
        """With the batch dims that the mixture lacks, and with event dims."""
        mixture_dims = len(self.mixture_distribution.batch_shape)
        missing = 0 if mixture_dims == 1 else len(self.batch_shape) - mixture_dims
        return x.reshape(x.shape[:-1] + Size([1] * missing) + x.shape[-1:] + Size([1] * self._event_ndims))

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
