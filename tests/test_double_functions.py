"""The elementary functions of float64 in native code: errors against extended precision, special values, equal bits in a fused loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight.engine import execute, llvm
from rushlight.engine.terms import DOUBLE_FUNCTIONS

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

EXTENDED = np.finfo(np.longdouble).nmant > 60
Function = Callable[[Any], Any]


def _by_element(function: Function) -> Function:
    return lambda x: np.array([function(float(v)) for v in x], np.longdouble)


def _one_plus(x: Any) -> Any:
    return 1 + np.exp(-x)


#: Ours, the same in extended precision, and how many ulps apart they may be. Of erfc the C library is off by several itself; ours was found within 2.
CASES: dict[str, tuple[Function, Function, float]] = {
    "exp": (torch.exp, np.exp, 1.1), "exp2": (torch.exp2, np.exp2, 1.1), "expm1": (torch.expm1, np.expm1, 1.7),
    "log": (lambda x: torch.log(x.abs()), lambda x: np.log(np.abs(x)), 1.0), "log1p": (lambda x: torch.log1p(x.abs()), lambda x: np.log1p(np.abs(x)), 1.0),
    "tanh": (torch.tanh, np.tanh, 1.9), "sigmoid": (torch.sigmoid, lambda x: 1 / _one_plus(x), 1.9), "silu": (F.silu, lambda x: x / _one_plus(x), 2.3),
    "log1p_exp": (lambda x: F.softplus(x, threshold=1e9), lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 2.0),
    "log_sigmoid": (F.logsigmoid, lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), 2.0),
    "sin": (torch.sin, np.sin, 0.8), "cos": (torch.cos, np.cos, 0.8),
    "erf": (torch.erf, _by_element(math.erf), 2.0), "erfc": (torch.erfc, _by_element(math.erfc), 5.5),
}  # fmt: skip
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e308, -1e308, 1.0, -1.0])


def sample() -> np.ndarray:
    random = np.random.default_rng(0)
    spread = [random.standard_normal(2000) * s for s in (0.01, 0.3, 1, 3, 10, 100, 300)]
    return np.concatenate([*spread, random.choice([-1, 1], 3000) * 10.0 ** random.uniform(-308, 2, 3000), np.linspace(-745, 745, 5001)])


@pytest.mark.skipif(not EXTENDED, reason="no extended precision here")
@pytest.mark.parametrize("name", CASES)
def test_errors_stay_below_the_documented_ones(name: str) -> None:
    ours, reference, bound = CASES[name]
    x = sample()
    before = execute.counts.native_calls
    found = ours(torch.tensor(x)).numpy()
    assert execute.counts.native_calls > before
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.longdouble))
        rounded = exact.astype(np.float64)
        error = np.abs(found - exact) / np.spacing(np.abs(rounded))
    error = np.where(np.isfinite(rounded), error, np.where(found == rounded, 0, np.inf))
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{error[worst]} ulp at {x[worst]!r}"


@pytest.mark.skipif(not EXTENDED, reason="no extended precision here")
def test_hypot() -> None:
    """Of sides of all sizes, equal ones and those far apart; what is infinite or nan as IEEE 754 has it."""
    random = np.random.default_rng(1)
    x, y = (np.concatenate([random.standard_normal(20000), 10.0 ** random.uniform(-320, 307, 20000), random.uniform(0.9, 1.1, 20000)]) for _ in range(2))
    found = torch.hypot(torch.tensor(x), torch.tensor(y)).numpy()
    exact = np.hypot(x.astype(np.longdouble), y.astype(np.longdouble))
    assert (np.abs(found - exact) / np.spacing(exact.astype(np.float64))).max() < 1
    pairs = np.array([(a, b) for a in SPECIAL for b in SPECIAL])
    with np.errstate(all="ignore"):
        wanted = np.hypot(pairs[:, 0], pairs[:, 1])
    np.testing.assert_array_equal(torch.hypot(*torch.tensor(pairs).t()).numpy(), wanted)


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    tiny = 5e-324
    expected = {
        torch.exp: [1, 1, inf, 0, nan, 1, 1, inf, 0], torch.expm1: [0, -0.0, inf, -1, nan, tiny, -tiny, inf, -1],
        torch.log: [-inf, -inf, inf, nan, nan, math.log(tiny), nan, math.log(1e308), nan], torch.log1p: [0, -0.0, inf, nan, nan, tiny, -tiny, math.log(1e308), nan],
        torch.tanh: [0, -0.0, 1, -1, nan, tiny, -tiny, 1, -1], torch.sigmoid: [0.5, 0.5, 1, 0, nan, 0.5, 0.5, 1, 0], torch.erf: [0, -0.0, 1, -1, nan, tiny, -tiny, 1, -1],
        torch.erfc: [1, 1, 0, 2, nan, 1, 1, 0, 2], F.silu: [0, -0.0, inf, nan, nan, 0, -0.0, 1e308, -0.0], F.gelu: [0, -0.0, inf, nan, nan, 0, -0.0, 1e308, -0.0],
    }  # fmt: skip
    for function, values in expected.items():
        found = function(torch.tensor(SPECIAL[:9])).numpy()
        np.testing.assert_allclose(found, values, rtol=1e-15, atol=1e-323, err_msg=function.__name__)
        if function not in (torch.expm1, F.gelu):
            np.testing.assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(np.array(values, float))[~np.isnan(found)], function.__name__)


def test_angles_near_the_axes_and_of_any_size() -> None:
    if EXTENDED:
        x = np.concatenate([np.arange(-3000, 3000) * (np.pi / 2), np.arange(1, 2**20, 701) * (np.pi / 2), np.random.default_rng(0).standard_normal(2000) * 1e8])
        for ours, exact in ((torch.sin, np.sin), (torch.cos, np.cos)):
            want = exact(x.astype(np.longdouble))
            assert (np.abs(ours(torch.tensor(x)).numpy() - want) <= 0.8 * np.spacing(np.abs(want.astype(np.float64)))).all()
    huge = torch.tensor([1610612736.0, 1e22, np.inf, np.nan, 0.0, -0.0], dtype=torch.float64)
    np.testing.assert_allclose(huge.sin().numpy(), [0.8403938762564861, -0.8522008497671888, np.nan, np.nan, 0, -0.0], rtol=1e-15)
    np.testing.assert_allclose(huge.cos().numpy(), [-0.5419761366984693, 0.523214785395139, np.nan, np.nan, 1, 1], rtol=1e-15)
    assert huge.sin().signbit().tolist()[4:] == [False, True]


def test_the_normal_distribution() -> None:
    x = np.concatenate([np.linspace(-36, 36, 4001), np.linspace(-0.7, 0.7, 2001)])
    exact = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    np.testing.assert_allclose(F.gelu(torch.tensor(x)).numpy(), exact, rtol=3e-13)
    t = torch.tensor(x).requires_grad_()
    F.gelu(t).sum().backward()
    slope = np.array([math.erfc(-v / math.sqrt(2)) / 2 + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in x])
    assert t.grad is not None
    np.testing.assert_allclose(t.grad.numpy(), slope, atol=1e-15)


def test_fused_and_alone_give_equal_bits() -> None:
    x = torch.tensor(sample()[:5000].reshape(50, 100))
    alone = x.softmax(1)
    assert torch.equal(((x * 1.0).softmax(1) * 1.0), alone)
    for name in sorted(DOUBLE_FUNCTIONS & {"exp", "tanh", "sigmoid", "erf", "log1p"}):
        function = getattr(torch, name)
        assert torch.equal(function(x.abs() * 1.0) * 1.0, function(x.abs())), name
        assert torch.equal(function(x.abs().t().contiguous().t()), function(x.abs())), name


def test_the_inverse_of_erf_is_rounded_as_if_exact() -> None:
    random = np.random.default_rng(0)
    near_one = random.choice([-1, 1], 3000) * (1 - 10.0 ** random.uniform(-7, 0, 3000))
    x = np.concatenate([random.uniform(-1, 1, 3000), near_one, 10.0 ** random.uniform(-44, -1, 1000)]).astype(np.float32)
    x = x[np.abs(x) < 1]
    y = torch.erfinv(torch.tensor(x)).numpy().astype(np.float64)
    # To the exact inverse it is as far as erf of it is from x, over the slope.
    away = (np.array([math.erf(v) if abs(v) < 0.5 else math.copysign(1 - math.erfc(abs(v)), v) for v in y]) - x) / (2 / math.sqrt(math.pi) * np.exp(-y * y))
    assert (np.abs(away) <= 0.51 * np.spacing(np.abs(y).astype(np.float32)) + 1e-10).all()
    np.testing.assert_array_equal(torch.erfinv(torch.tensor([0.0, 1.0, -1.0, 2.0, np.nan])).numpy(), np.float32([0, np.inf, -np.inf, np.nan, np.nan]))
