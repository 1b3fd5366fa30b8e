"""What the distributions share that are given by probabilities or by log odds."""

from __future__ import annotations

from typing import Any

from ..shape import Size
from ..tensor import Tensor
from .utils import broadcast_all, given_parameter, lazy_property, logits_to_probs, probs_to_logits


class ProbsOrLogits:
    """One of `probs` and `logits` is given, for one event or, unless `_is_binary`, for those along the last dim; the
    other one follows when it is first read.
    """

    _is_binary = True
    _param: Tensor

    def _take(self, probs: Any, logits: Any) -> None:
        name, value = given_parameter(probs, logits)
        (value,) = broadcast_all(value)
        self._keep(name, value)

    def _take_with_count(self, total_count: Any, probs: Any, logits: Any) -> None:
        name, value = given_parameter(probs, logits)
        count, value = broadcast_all(total_count, value)
        self.total_count = count.type_as(value)
        self._keep(name, value)

    def _keep(self, name: str, value: Tensor) -> None:
        setattr(self, name, value)
        self._param = value

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)


class OnCategorical:
    """A distribution made on a `Categorical`, whose parameters are its own."""

    _categorical: Any

    @property
    def probs(self) -> Tensor:
        """The probability of each event."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The log probability of each event."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)
