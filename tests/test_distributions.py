"""Distributions draw, score and describe themselves as PyTorch's do.

The expected values are PyTorch's own: `python -m tests.test_distributions torch > tests/data/distributions.json` from an
environment that has it.
"""

from __future__ import annotations

import importlib
import json
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data") / "distributions.json"

# A distribution for `t` = torch and `D` = torch.distributions.
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "Normal": lambda t, D: D.Normal(t.tensor([0.3, -1.2]), t.tensor([0.7, 2.1])),
    "Normal numbers": lambda t, D: D.Normal(1, 2.5),
    "Normal batch": lambda t, D: D.Normal(t.linspace(-1, 1, 20).view(4, 5), 1.3),
    "Normal double": lambda t, D: D.Normal(t.tensor([0.3], dtype=t.float64), 0.7),
    "Bernoulli": lambda t, D: D.Bernoulli(t.tensor([0.1, 0.5, 0.8])),
    "Bernoulli logits": lambda t, D: D.Bernoulli(logits=t.tensor([-1.3, 0.4])),
    "Beta": lambda t, D: D.Beta(t.tensor([0.7, 2.3]), t.tensor([1.9, 0.6])),
    "Beta numbers": lambda t, D: D.Beta(2, 3.5),
    "Binomial": lambda t, D: D.Binomial(5, t.tensor([0.2, 0.7])),
    "Binomial logits": lambda t, D: D.Binomial(t.tensor([3.0, 30.0]), logits=t.tensor([0.2, -0.7])),
    "Categorical": lambda t, D: D.Categorical(t.tensor([[0.1, 0.2, 0.7], [3.0, 1.0, 2.0]])),
    "Categorical logits": lambda t, D: D.Categorical(logits=t.tensor([0.3, -1.2, 2.0])),
    "Cauchy": lambda t, D: D.Cauchy(t.tensor([0.3, -1.2]), t.tensor([0.7, 2.1])),
    "Chi2": lambda t, D: D.Chi2(t.tensor([0.7, 5.3])),
    "ContinuousBernoulli": lambda t, D: D.ContinuousBernoulli(t.tensor([0.1, 0.5, 0.93])),
    "ContinuousBernoulli logits": lambda t, D: D.ContinuousBernoulli(logits=t.tensor([0.7, -2.0])),
    "Dirichlet": lambda t, D: D.Dirichlet(t.tensor([[0.5, 1.7, 3.1], [0.3, 0.2, 0.6]])),
    "Exponential": lambda t, D: D.Exponential(t.tensor([0.7, 2.3])),
    "FisherSnedecor": lambda t, D: D.FisherSnedecor(t.tensor([1.7, 5.3]), t.tensor([3.1, 7.7])),
    "Gamma": lambda t, D: D.Gamma(t.tensor([0.7, 2.3]), t.tensor([1.9, 0.6])),
    "GeneralizedPareto": lambda t, D: D.GeneralizedPareto(0.0, t.tensor([0.7, 1.3, 2.0]), t.tensor([0.3, 0.0, -0.4])),
    "Geometric": lambda t, D: D.Geometric(t.tensor([0.2, 0.7])),
    "Gumbel": lambda t, D: D.Gumbel(t.tensor([0.3, -1.2]), t.tensor([0.7, 2.1])),
    "HalfCauchy": lambda t, D: D.HalfCauchy(t.tensor([0.7, 2.1])),
    "HalfNormal": lambda t, D: D.HalfNormal(t.tensor([0.7, 2.1])),
    "Independent": lambda t, D: D.Independent(D.Normal(t.tensor([[0.3, -1.2, 0.4]]), 0.7), 1),
    "InverseGamma": lambda t, D: D.InverseGamma(t.tensor([1.7, 2.3]), t.tensor([1.9, 0.6])),
    "Kumaraswamy": lambda t, D: D.Kumaraswamy(t.tensor([1.7, 2.3]), t.tensor([1.9, 0.6])),
    "LKJCholesky": lambda t, D: D.LKJCholesky(3, t.tensor([0.7, 1.3])),
    "Laplace": lambda t, D: D.Laplace(t.tensor([0.3, -1.2]), t.tensor([0.7, 2.1])),
    "LogNormal": lambda t, D: D.LogNormal(t.tensor([0.3, -1.2]), t.tensor([0.7, 0.4])),
    "LogisticNormal": lambda t, D: D.LogisticNormal(t.tensor([0.3, -1.2]), t.tensor([0.7, 0.4])),
    "LowRankMultivariateNormal": lambda t, D: D.LowRankMultivariateNormal(
        t.tensor([0.3, -1.2]), t.tensor([[0.7], [0.4]]), t.tensor([1.3, 0.6])
    ),
    "MixtureSameFamily": lambda t, D: D.MixtureSameFamily(
        D.Categorical(t.tensor([0.3, 0.7])), D.Normal(t.tensor([-1.0, 2.0]), t.tensor([0.7, 1.3]))
    ),
    "Mixture of vectors": lambda t, D: D.MixtureSameFamily(
        D.Categorical(t.tensor([0.3, 0.7])), D.Independent(D.Normal(t.tensor([[-1.0, 0.3], [2.0, 1.1]]), 0.7), 1)
    ),
    "Multinomial": lambda t, D: D.Multinomial(7, t.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])),
    "MultivariateNormal": lambda t, D: D.MultivariateNormal(
        t.tensor([[0.3, -1.2], [0.1, 0.2], [2.0, 1.0]]), t.tensor([[1.3, 0.4], [0.4, 0.8]])
    ),
    "MultivariateNormal precision": lambda t, D: D.MultivariateNormal(
        t.tensor([0.3, -1.2]), precision_matrix=t.tensor([[[1.3, 0.4], [0.4, 0.8]], [[2.0, 0.1], [0.1, 0.3]]])
    ),
    "MultivariateNormal tril": lambda t, D: D.MultivariateNormal(
        t.tensor([0.3, -1.2]), scale_tril=t.tensor([[1.3, 0.0], [0.4, 0.8]])
    ),
    "NegativeBinomial": lambda t, D: D.NegativeBinomial(t.tensor([3.0, 0.7]), t.tensor([0.2, 0.7])),
    "OneHotCategorical": lambda t, D: D.OneHotCategorical(t.tensor([[0.1, 0.2, 0.7], [3.0, 1.0, 2.0]])),
    "StraightThrough": lambda t, D: D.OneHotCategoricalStraightThrough(t.tensor([0.1, 0.2, 0.7])),
    "Pareto": lambda t, D: D.Pareto(t.tensor([0.7, 1.3]), t.tensor([1.9, 2.6])),
    "Poisson": lambda t, D: D.Poisson(t.tensor([0.7, 11.3])),
    "RelaxedBernoulli": lambda t, D: D.RelaxedBernoulli(t.tensor(0.7), t.tensor([0.2, 0.6])),
    "RelaxedOneHotCategorical": lambda t, D: D.RelaxedOneHotCategorical(t.tensor(0.7), t.tensor([0.2, 0.6, 0.2])),
    "StudentT": lambda t, D: D.StudentT(t.tensor([0.7, 1.3, 4.1]), 0.3, t.tensor([0.7, 2.1, 1.1])),
    "TransformedDistribution": lambda t, D: D.TransformedDistribution(
        D.Normal(t.tensor([0.3, -1.2]), 0.7), [D.AffineTransform(0.2, -1.3), D.SigmoidTransform()]
    ),
    "Transformed vectors": lambda t, D: D.TransformedDistribution(
        D.Normal(t.zeros(2, 4), 1.0), [D.ReshapeTransform((4,), (2, 2)), D.TanhTransform()]
    ),
    "Uniform": lambda t, D: D.Uniform(t.tensor([0.3, -1.2]), t.tensor([0.7, 2.1])),
    "VonMises": lambda t, D: D.VonMises(t.tensor([0.3, -1.2]), t.tensor([0.7, 5.1])),
    "Weibull": lambda t, D: D.Weibull(t.tensor([0.7, 1.3]), t.tensor([1.9, 0.6])),
    "Wishart": lambda t, D: D.Wishart(t.tensor([4.3, 5.1]), t.tensor([[1.3, 0.4], [0.4, 0.8]])),
}

SCALAR = {
    "Bernoulli", "Beta", "Binomial", "ContinuousBernoulli", "Exponential", "Gamma", "Gumbel", "Laplace", "Normal",
    "Pareto", "Poisson", "Uniform", "Cauchy", "Geometric", "HalfNormal", "InverseGamma",
}  # fmt: skip
KL = {
    **{name: CASES[name] for name in SCALAR},
    "Uniform inside": lambda t, D: D.Uniform(t.tensor([0.1, 0.3]), t.tensor([0.7, 0.9])),
    "ContinuousBernoulli two": lambda t, D: D.ContinuousBernoulli(t.tensor([0.3, 0.5])),
    "Bernoulli two": lambda t, D: D.Bernoulli(t.tensor([0.0, 0.4])),
    "LowRank": CASES["LowRankMultivariateNormal"],
    "MultivariateNormal": CASES["MultivariateNormal"],
    "Dirichlet": CASES["Dirichlet"],
    "Categorical": CASES["Categorical"],
    "OneHotCategorical": CASES["OneHotCategorical"],
    "Independent": CASES["Independent"],
    "Wishart": CASES["Wishart"],
}

# What is wrong, and is refused with PyTorch's words.
REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "a scale below 0": lambda t, D: D.Normal(t.zeros(2), t.tensor([1.0, -1.0])),
    "a value outside": lambda t, D: D.Beta(1.3, 2.0).log_prob(t.tensor(1.5)),
    "a value of another shape": lambda t, D: D.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)),
    "an event of another shape": lambda t, D: D.Dirichlet(t.ones(3)).log_prob(t.zeros(2)),
    "no tensor": lambda t, D: D.Normal(0.0, 1.0).log_prob(0.5),
    "probs and logits": lambda t, D: D.Bernoulli(t.ones(1), t.ones(1)),
    "neither": lambda t, D: D.Categorical(),
    "probs of no dims": lambda t, D: D.Categorical(logits=t.tensor(1.0)),
    "probs above 1": lambda t, D: D.Bernoulli(t.tensor([0.3, 1.2])),
    "geometric probs of 0": lambda t, D: D.Geometric(t.tensor([0.3, 0.0])),
    "no covariance": lambda t, D: D.MultivariateNormal(t.zeros(2)),
    "a covariance that is not symmetric": lambda t, D: D.MultivariateNormal(t.zeros(2), t.tensor([[1.0, 0.3], [0.1, 1.0]])),
    "low above high": lambda t, D: D.Uniform(1.0, 0.3),
    "no numbers": lambda t, D: D.Normal("a", 1.0),
    "a divergence that is not there": lambda t, D: D.kl_divergence(D.Cauchy(0.0, 1.0), D.Normal(0.0, 1.0)),
    "no mode": lambda t, D: D.Multinomial(2, t.ones(2)).mode,
    "no rsample": lambda t, D: D.Poisson(1.0).rsample(),
    "too many dims reinterpreted": lambda t, D: D.Independent(D.Normal(t.zeros(2), 1.0), 2),
    "components of another number": lambda t, D: D.MixtureSameFamily(D.Categorical(t.ones(2)), D.Normal(t.zeros(3), 1.0)),
    "no transform": lambda t, D: D.TransformedDistribution(D.Normal(0.0, 1.0), 3),
    "no constraint": lambda t, D: D.biject_to.register(3, None)(lambda c: c),
    "no bijection": lambda t, D: D.biject_to(D.constraints.boolean),
}

TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "Abs": lambda t, D: (D.AbsTransform(), t.tensor([0.3, -1.2])),
    "Affine": lambda t, D: (D.AffineTransform(0.3, t.tensor([-1.2, 0.7]), event_dim=1), t.tensor([[0.3, -1.2]])),
    "Cat": lambda t, D: (D.CatTransform([D.ExpTransform(), D.TanhTransform()], -1, [1, 2]), t.tensor([0.3, -1.2, 0.7])),
    "Compose": lambda t, D: (D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, -2.0)]), t.tensor([0.3, -1.2])),
    "CorrCholesky": lambda t, D: (D.CorrCholeskyTransform(), t.tensor([0.3, -1.2, 0.7])),
    "Cdf": lambda t, D: (D.CumulativeDistributionTransform(D.Normal(0.3, 0.7)), t.tensor([0.3, -1.2])),
    "Independent": lambda t, D: (D.IndependentTransform(D.ExpTransform(), 1), t.tensor([[0.3, -1.2]])),
    "LowerCholesky": lambda t, D: (D.LowerCholeskyTransform(), t.tensor([[0.3, 5.0], [-1.2, 0.7]])),
    "PositiveDefinite": lambda t, D: (D.PositiveDefiniteTransform(), t.tensor([[0.3, 5.0], [-1.2, 0.7]])),
    "Power": lambda t, D: (D.PowerTransform(1.7), t.tensor([0.3, 1.2])),
    "Reshape": lambda t, D: (D.ReshapeTransform((4,), (2, 2)), t.tensor([0.3, -1.2, 0.7, 0.1])),
    "Sigmoid": lambda t, D: (D.SigmoidTransform(), t.tensor([0.3, -1.2])),
    "Softmax": lambda t, D: (D.SoftmaxTransform(), t.tensor([0.3, -1.2])),
    "Softplus": lambda t, D: (D.SoftplusTransform(cache_size=1), t.tensor([0.3, -1.2])),
    "Stack": lambda t, D: (D.StackTransform([D.ExpTransform(), D.identity_transform], 0), t.tensor([[0.3], [-1.2]])),
    "StickBreaking": lambda t, D: (D.StickBreakingTransform(), t.tensor([0.3, -1.2])),
    "to interval": lambda t, D: (D.biject_to(D.constraints.interval(-1.0, 2.0)), t.tensor([0.3, -1.2])),
    "to simplex": lambda t, D: (D.transform_to(D.constraints.simplex), t.tensor([0.3, -1.2])),
    "to a vector": lambda t, D: (D.biject_to(D.constraints.independent(D.constraints.positive, 1)), t.tensor([0.3, -1.2])),
}


def shown(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def attempt(look: Callable[[], Any]) -> Any:
    """What a look at something gives; where it is refused, the class and the words of the error."""
    try:
        return shown(look())
    except (NotImplementedError, ValueError, TypeError, RuntimeError, AssertionError, AttributeError) as error:
        return f"{type(error).__name__}: {error}".replace("rushlight.", "torch.").replace("torch.tensor.", "torch.")


def observe_distribution(t: Any, make: Callable[[Any, Any], Any]) -> Iterator[tuple[str, Any]]:
    D = t.distributions
    d = make(t, D)
    yield "repr", repr(d)
    yield "shapes", [list(d.batch_shape), list(d.event_shape)]
    yield "flags", [d.has_rsample, d.has_enumerate_support]
    yield "support", attempt(lambda: [repr(d.support), d.support.is_discrete, d.support.event_dim])
    for name in ("mean", "mode", "variance", "stddev"):
        yield name, attempt(lambda name=name: getattr(d, name))
    t.manual_seed(3)
    x = d.sample((2,))
    yield "sample", shown(x)
    yield "more", shown(d.sample((3, 2)))
    yield "next draw", shown(t.rand(1))
    yield "log_prob", attempt(lambda: d.log_prob(x))
    yield "cdf", attempt(lambda: d.cdf(x))
    yield "icdf", attempt(lambda: d.icdf(**{"prob" if type(d).__name__.startswith("Half") else "value": t.full(x.shape, 0.3)}))
    yield "entropy", attempt(d.entropy)
    yield "enumerated", attempt(d.enumerate_support)
    wide = attempt(lambda: d.expand((2, *d.batch_shape)) and None)
    yield "expand", wide
    if wide is None:
        expanded = d.expand((2, *d.batch_shape))
        yield "expanded", [repr(expanded), list(expanded.batch_shape), shown(attempt(lambda: expanded.mean))]
        t.manual_seed(4)
        yield "expanded sample", shown(expanded.sample())
        yield "expanded log_prob", attempt(lambda: expanded.log_prob(x))


def observe_transform(t: Any, make: Callable[[Any, Any], Any]) -> Iterator[tuple[str, Any]]:
    transform, x = make(t, t.distributions)
    y = transform(x)
    yield "repr", [repr(transform), repr(transform.inv)]
    yield "y", shown(y)
    yield "x", attempt(lambda: transform.inv(y))
    yield "log det", attempt(lambda: transform.log_abs_det_jacobian(x, y))
    yield "sign", attempt(lambda: transform.sign)
    yield "bijective", transform.bijective
    yield "domains", attempt(lambda: [repr(transform.domain), repr(transform.codomain)])
    yield "shapes", [list(transform.forward_shape(x.shape)), list(transform.inverse_shape(y.shape))]


def gradients(t: Any) -> Iterator[tuple[str, Any]]:
    """The gradient of a sample with respect to the parameters."""
    D = t.distributions
    makers: dict[str, Callable[[Any, Any], Any]] = {
        "Normal": D.Normal, "Laplace": D.Laplace, "Cauchy": D.Cauchy, "Gumbel": D.Gumbel, "Gamma": D.Gamma,
        "Beta": D.Beta, "Weibull": D.Weibull, "Kumaraswamy": D.Kumaraswamy, "LogNormal": D.LogNormal,
        "FisherSnedecor": D.FisherSnedecor, "Pareto": D.Pareto,
    }  # fmt: skip
    for name, make in makers.items():
        a, b = t.tensor([0.7, 1.3], requires_grad=True), t.tensor([1.9, 0.6], requires_grad=True)
        t.manual_seed(5)
        make(a, b).rsample((3,)).sum().backward()
        yield name, [shown(a.grad), shown(b.grad)]
    a = t.tensor([0.7, 1.3, 2.2], requires_grad=True)
    t.manual_seed(5)
    (D.Dirichlet(a).rsample((2,)) * t.tensor([0.3, 1.1, 0.7])).sum().backward()
    yield "Dirichlet", shown(a.grad)


def observe(t: Any) -> dict[str, Any]:
    D = t.distributions
    with warnings.catch_warnings(action="ignore"):
        return {
            "distributions": {name: dict(observe_distribution(t, make)) for name, make in CASES.items()},
            "transforms": {name: dict(observe_transform(t, make)) for name, make in TRANSFORMS.items()},
            "refused": {name: attempt(lambda make=make: make(t, D)) for name, make in REFUSED.items()},
            "gradients": dict(gradients(t)),
            "kl": {
                f"{p} to {q}": attempt(lambda p=p, q=q: D.kl_divergence(KL[p](t, D), KL[q](t, D)))
                for p in sorted(KL)
                for q in sorted(KL)
            },
        }


if __name__ == "__main__":
    print(json.dumps(observe(importlib.import_module(sys.argv[1])), indent=0))
    sys.exit()

import pytest  # noqa: E402

import rushlight as torch  # noqa: E402

EXPECTED = json.loads(DATA.read_text())


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return observe(torch)


def assert_same(have: Any, want: Any, where: str, rtol: float = 2e-5) -> None:
    assert type(have) is type(want), (where, have, want)
    if isinstance(want, dict):
        assert have.keys() == want.keys(), where
        for name in want:
            assert_same(have[name], want[name], f"{where}, {name}", rtol)
    elif isinstance(want, list):
        assert len(have) == len(want), (where, have, want)
        for n, (one, other) in enumerate(zip(have, want, strict=True)):
            assert_same(one, other, f"{where}[{n}]", rtol)
    elif isinstance(want, float):
        close = math.isclose(have, want, rel_tol=rtol, abs_tol=2e-6) or (math.isnan(have) and math.isnan(want))
        assert close, (where, have, want)
    else:
        assert have == want, (where, have, want)


@pytest.mark.parametrize("name", CASES)
def test_a_distribution_is_pytorchs(found: dict[str, Any], name: str) -> None:
    assert_same(found["distributions"][name], EXPECTED["distributions"][name], name)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_pytorchs(found: dict[str, Any], name: str) -> None:
    assert_same(found["transforms"][name], EXPECTED["transforms"][name], name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_in_pytorchs_words(found: dict[str, Any], name: str) -> None:
    assert found["refused"][name] == EXPECTED["refused"][name]


def test_gradients_flow_through_samples(found: dict[str, Any]) -> None:
    # PyTorch's own derivatives of gamma and Dirichlet samples are approximations.
    assert_same(found["gradients"], EXPECTED["gradients"], "gradient", rtol=5e-3)


@pytest.mark.parametrize("p", sorted(KL))
def test_divergences_are_pytorchs(found: dict[str, Any], p: str) -> None:
    for q in sorted(KL):
        assert_same(found["kl"][f"{p} to {q}"], EXPECTED["kl"][f"{p} to {q}"], f"{p} to {q}")


def test_parameters_are_not_checked_where_that_is_turned_off() -> None:
    D = torch.distributions
    assert math.isnan(D.Normal(0.0, -1.0, validate_args=False).log_prob(torch.tensor(0.0)).item())
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="to satisfy the constraint GreaterThan"):
        D.Normal(0.0, -1.0)


def test_the_nearest_registered_divergence_is_chosen() -> None:
    D = torch.distributions

    class A(D.Normal):
        pass

    class B(A):
        pass

    pair = B(0.0, 1.0), B(0.0, 2.0)
    assert D.kl_divergence(*pair) == D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(0.0, 2.0))
    D.register_kl(A, D.Normal)(lambda p, q: "left")
    D.register_kl(D.Normal, A)(lambda p, q: "right")
    try:
        with pytest.warns(RuntimeWarning, match=r"Ambiguous kl_divergence\(B, B\). Please register_kl\(A, A\)"):
            assert D.kl_divergence(*pair) == "left"
        D.register_kl(A, A)(lambda p, q: "both")
        assert D.kl_divergence(*pair) == "both"
    finally:
        for key in ((A, D.Normal), (D.Normal, A), (A, A)):
            torch.distributions.kl._KL_REGISTRY.pop(key, None)
        torch.distributions.kl._KL_MEMOIZE.clear()


def test_a_subclass_with_its_own_arguments_must_say_how_it_expands() -> None:
    class Shifted(torch.distributions.Normal):
        def __init__(self, loc: float) -> None:
            super().__init__(loc, 1.0)

    with pytest.raises(NotImplementedError, match=r"Subclass Shifted of Normal .* must also define a custom .expand"):
        Shifted(0.0).expand((2,))


def test_a_transform_keeps_its_latest_pair() -> None:
    transform = torch.distributions.TanhTransform(cache_size=1)
    x = torch.tensor([30.0])
    assert transform.inv(transform(x)) is x
    assert pickle.loads(pickle.dumps(transform))._inv is None
    assert math.isinf(torch.distributions.TanhTransform().inv(transform(x)).item())


def test_policy_gradients_reach_the_network() -> None:
    torch.manual_seed(0)
    logits = torch.zeros(4, 3, requires_grad=True)
    policy = torch.distributions.Categorical(logits=logits)
    action = policy.sample()
    (-policy.log_prob(action) * torch.tensor([1.0, -1.0, 0.3, 0.7])).sum().backward()
    expected = (1 / 3 - torch.nn.functional.one_hot(action, 3)) * torch.tensor([[1.0], [-1.0], [0.3], [0.7]])
    torch.testing.assert_close(logits.grad, expected)
