"""From a constraint to a transform onto it: `biject_to` gives bijections, `transform_to` whatever suits optimization.

>>> D = torch.distributions
>>> D.transform_to(D.Normal.arg_constraints["scale"])(torch.zeros(1))
tensor([1.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints, transforms
from .constraints import Constraint
from .transforms import Transform

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """A table from classes of constraints to functions that make a transform for such a constraint.

    >>> D = torch.distributions
    >>> D.biject_to(D.constraints.interval(0.0, 1.0))
    SigmoidTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type[Constraint], Factory] = {}
        super().__init__()

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Enter a factory for a class of constraints, or for that of an instance; without one, a decorator.

        >>> D = torch.distributions
        >>> registry = D.constraint_registry.ConstraintRegistry()
        >>> _ = registry.register(D.constraints.positive, lambda constraint: D.SoftplusTransform())
        >>> registry(D.constraints.positive)
        SoftplusTransform()
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        if isinstance(constraint, Constraint):
            constraint = type(constraint)
        if not isinstance(constraint, type) or not issubclass(constraint, Constraint):
            raise TypeError(
                f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}"
            )
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        """A transform from the real numbers to what the constraint allows."""
        try:
            factory = self._registry[type(constraint)]
        except KeyError:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints") from None
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _to_greater_than(constraint: Any) -> Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)]
    )


def _to_less_than(constraint: Any) -> Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)]
    )


def _to_interval(constraint: Any) -> Transform:
    lower, upper = constraint.lower_bound, constraint.upper_bound
    numbers = isinstance(lower, (int, float)) and isinstance(upper, (int, float))
    if numbers and lower == 0 and upper == 1:
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform(
        [transforms.SigmoidTransform(), transforms.AffineTransform(lower, upper - lower)]
    )


_BOTH: dict[Any, Factory] = {
    constraints.real: lambda _: transforms.identity_transform,
    constraints.greater_than: _to_greater_than,
    constraints.greater_than_eq: _to_greater_than,
    constraints.less_than: _to_less_than,
    constraints.interval: _to_interval,
    constraints.half_open_interval: _to_interval,
    constraints.corr_cholesky: lambda _: transforms.CorrCholeskyTransform(),
}
_TO_ONLY: dict[Any, Factory] = {
    constraints.simplex: lambda _: transforms.SoftmaxTransform(),
    constraints.lower_cholesky: lambda _: transforms.LowerCholeskyTransform(),
    constraints.positive_definite: lambda _: transforms.PositiveDefiniteTransform(),
    constraints.positive_semidefinite: lambda _: transforms.PositiveDefiniteTransform(),
}


def _register_compound(registry: ConstraintRegistry) -> None:
    """Constraints made of others: their transforms are made of those that the same registry gives for the parts."""

    @registry.register(constraints.independent)
    def _to_independent(constraint: Any) -> Transform:
        base = registry(constraint.base_constraint)
        return transforms.IndependentTransform(base, constraint.reinterpreted_batch_ndims)

    @registry.register(constraints.cat)
    def _to_cat(constraint: Any) -> Transform:
        parts = [registry(each) for each in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    @registry.register(constraints.stack)
    def _to_stack(constraint: Any) -> Transform:
        return transforms.StackTransform([registry(each) for each in constraint.cseq], constraint.dim)


for _registry in (biject_to, transform_to):
    for _constraint, _factory in _BOTH.items():
        _registry.register(_constraint, _factory)
    _register_compound(_registry)
for _constraint, _factory in _TO_ONLY.items():
    transform_to.register(_constraint, _factory)
biject_to.register(constraints.simplex, lambda _: transforms.StickBreakingTransform())
