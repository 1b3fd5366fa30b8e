"""The elementary functions of engine/functions.py: errors, special values, equal bits in all forms."""

from __future__ import annotations

import numpy as np
import pytest
from float_functions import BOUNDS, REFERENCES, native, ulps

from rushlight.engine import functions, llvm
from rushlight.engine.emit import Builder

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

LARGEST, TINIEST = 3.4028235e38, 2.0**-149
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, TINIEST, -TINIEST, 2.0**-126, LARGEST, -LARGEST, 1.0, -1.0]


def sample(step: int) -> np.ndarray:
    """Every `step`-th bit pattern and the special values, in a count that 16 divides."""
    bits = np.arange(0, 1 << 32, step, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits.view(np.float32), np.array(SPECIAL, np.float32)])
    return np.resize(x, -(-x.size // 16) * 16)


def compute(name: str, *inputs: np.ndarray, lanes: int = 16) -> np.ndarray:
    found = np.full_like(inputs[0], 77.0)
    native(name, lanes, len(inputs))(*inputs, found)
    return found


def bits(x: np.ndarray) -> np.ndarray:
    """The bits, with one for all nans."""
    return np.where(np.isnan(x), np.uint32(0x7FC00000), x.view(np.uint32))


@pytest.mark.parametrize("name", sorted(BOUNDS.keys() & REFERENCES.keys()))
def test_error_stays_below_the_documented_one(name):
    x = sample(6011)
    with np.errstate(all="ignore"):
        error = ulps(compute(name, x), REFERENCES[name](x.astype(np.float64)))
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[name], f"{error[worst]} ulp at {x[worst]!r}"


@pytest.mark.parametrize("name", REFERENCES)
def test_scalar_and_vector_forms_have_equal_bits(name):
    x = sample(262_139)
    np.testing.assert_array_equal(bits(compute(name, x, lanes=1)), bits(compute(name, x)))


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "sinh", "sin", "tan", "erf", "gelu", "gelu_tanh", "silu", "mish", "asin", "atan", "asinh", "atanh"])
def test_zeros_keep_their_sign(name):
    x = np.array([0.0, -0.0] * 8, np.float32)
    np.testing.assert_array_equal(bits(compute(name, x)), bits(x))


@pytest.mark.parametrize("name", ["tanh", "sinh", "sin", "tan", "erf", "asin", "atan", "asinh", "atanh"])
def test_odd_functions_are_odd_to_the_bit(name):
    x = sample(65_537)
    np.testing.assert_array_equal(bits(compute(name, -x)), bits(-compute(name, x)))


def test_large_arguments_of_sine_and_cosine_are_reduced_exactly():
    # Exact values from 300 digits of pi. No float32 is nearer to a multiple of pi / 2 than the first, relatively.
    x = np.array([16367173 * 2.0**72, 3.4028234663852886e38, 1e10, 2.0**40] * 4, np.float32)
    sine = np.array([1.0, -0.5218765233336585, -0.4875060250875107, -0.40570501153282873] * 4)
    cosine = np.array([-1.6147697982476211e-09, 0.8530210398303042, 0.873119622676856, -0.914004071991557] * 4)
    assert ulps(compute("sin", x), sine).max() < 1
    assert ulps(compute("cos", x), cosine).max() < 1


def test_the_exponential_of_what_is_not_positive():
    x = sample(997)
    x = np.where(x > 0, -x, x)
    with np.errstate(invalid="ignore"):
        exact = np.exp(x.astype(np.float64))
    found = compute("exp_below", x)
    normal = ~(exact < 2.0**-126)
    assert ulps(found, exact)[normal].max() <= BOUNDS["exp_below"]
    assert (np.abs(found - exact)[~normal] < 2.0**-126).all() and not found[exact < 2.0**-127].any()
    np.testing.assert_array_equal(bits(compute("exp_below", x, lanes=1)), bits(found))


def test_pow():
    random = np.random.default_rng(0)
    x = np.exp(random.uniform(-40, 40, 1 << 16)).astype(np.float32)
    y = (random.uniform(-1, 1, x.size) * 100 / np.abs(np.log(x))).astype(np.float32)
    with np.errstate(all="ignore"):
        error = ulps(compute("pow", x, y), np.power(x.astype(np.float64), y.astype(np.float64)))
    assert error.max() <= BOUNDS["pow"]


def test_atan2():
    random = np.random.default_rng(0)
    y, x = ((random.standard_normal(1 << 16) * np.exp(random.uniform(-20, 20, 1 << 16))).astype(np.float32) for _ in range(2))
    assert ulps(compute("atan2", y, x), np.arctan2(y.astype(np.float64), x.astype(np.float64))).max() <= BOUNDS["atan2"]


def test_atan2_of_special_values_is_that_of_ieee():
    y, x = (np.resize(v, 144).copy() for v in np.broadcast_arrays(np.array(SPECIAL, np.float32)[:, None], np.array(SPECIAL, np.float32)))
    expected = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    found = compute("atan2", y, x)
    wrong = ~(ulps(found, expected) <= 1)
    assert not wrong.any(), list(zip(y[wrong], x[wrong], found[wrong], expected[wrong], strict=True))
    np.testing.assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(expected)[~np.isnan(found)])
    np.testing.assert_array_equal(bits(found), bits(compute("atan2", y, x, lanes=1)))


def test_pow_of_special_values_is_that_of_ieee():
    values = np.array([*SPECIAL, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e-30, 2.0**24 + 2, 16777215.0], np.float32)
    x, y = (np.resize(v, 496).copy() for v in np.broadcast_arrays(values[:, None], values))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    found = compute("pow", x, y)
    wrong = (bits(found) != bits(expected)) & ~(ulps(found, expected.astype(np.float64)) <= 1)
    assert not wrong.any(), list(zip(x[wrong], y[wrong], found[wrong], expected[wrong], strict=True))
    np.testing.assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(expected)[~np.isnan(found)])
    np.testing.assert_array_equal(bits(found), bits(compute("pow", x, y, lanes=1)))


@pytest.mark.parametrize(("low", "high", "bound"), [(-1, 40, 3.1), (-5, -1, 13), (-13, -5, 48)])
def test_gelu_is_relatively_exact_also_where_it_is_small(low, high, bound):
    x = np.concatenate([np.linspace(low, high, 1 << 16), np.resize(SPECIAL, 16)[:8]]).astype(np.float32)
    x = np.resize(x[(x >= low) & (x <= high)], 1 << 16)
    assert ulps(compute("gelu", x), REFERENCES["gelu"](x.astype(np.float64))).max() <= bound


def test_gelu_of_what_is_far_from_zero():
    x = np.array([-3.4e38, -1e20, -1000, -13.3, 13.3, 3.4e38, np.inf, np.nan, -np.inf] * 16, np.float32)
    with np.errstate(invalid="ignore"):
        expected = np.where(x == -np.inf, np.nan, np.maximum(x, -0.0))
    np.testing.assert_array_equal(bits(compute("gelu", x)), bits(expected))


@pytest.mark.parametrize("name", ["gelu_gradient", "gelu_tanh_gradient"])
def test_gradients_of_gelu(name):
    x = np.linspace(-9, 9, 4096, dtype=np.float32)
    g = np.full_like(x, 1.3)
    wide = x.astype(np.float64)
    step = 1e-5
    function = REFERENCES[name.removesuffix("_gradient")]
    slope = (function(wide + step) - function(wide - step)) / (2 * step)
    np.testing.assert_allclose(compute(name, g, x), 1.3 * slope, rtol=0, atol=6e-7)


def test_other_types_are_refused():
    k = Builder("f", [("double", "x")])
    with pytest.raises(AssertionError, match="float32"):
        functions.exp(k, k.parameters["x"])


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_the_gamma_function_near_its_zeros_and_poles(name):
    ranges = [np.linspace(low, high, 100_000) for low, high in ((0.9, 1.1), (1.4, 1.5), (1.9, 2.1), (0.1, 20), (-3, -0.001), (-20, -3))]
    x = np.concatenate([*ranges, 1 + np.arange(-64, 64) * 2.0**-24, 2 + np.arange(-64, 64) * 2.0**-23, np.arange(-20.0, 12.0)]).astype(np.float32)
    with np.errstate(all="ignore"):
        assert ulps(compute(name, x), REFERENCES[name](x.astype(np.float64))).max() <= BOUNDS[name]
