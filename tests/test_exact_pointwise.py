"""Pointwise ops whose native form has NumPy's bits: all pairs of special values, in every dtype, natively and by the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import tape
from rushlight.engine import execute, llvm

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

SPECIAL = np.array([0.0, -0.0, 1, -1, 0.5, np.inf, -np.inf, np.nan, -np.nan, 3e38, -1e-40, 2.5, -7, 11, 64, 100], np.float32)
OPS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "copysign": torch.copysign,
    "copysign of a number": lambda a, b: torch.copysign(a, -2.0),
    "heaviside": torch.heaviside,
    "signbit": lambda a, b: torch.signbit(a),
    "sgn": lambda a, b: torch.sgn(a),
    "remainder of a number": lambda a, b: a % 3,
    "remainder of a negative number": lambda a, b: torch.remainder(a, -7),
    "fmod of a number": lambda a, b: torch.fmod(a, -1),
    "floor_divide by a number": lambda a, b: a // 3,
    "div by a number, cut off": lambda a, b: torch.div(a, -7, rounding_mode="trunc"),
}
OF_FLOATS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "fmod": torch.fmod, "remainder": torch.remainder, "floor_divide": torch.floor_divide, "nextafter": torch.nextafter,
    **{f"power {p}": lambda a, b, p=p: a**p for p in (0.5, -0.5, -1, -2)},
}  # fmt: skip
SHIFTS = {"left shift": torch.bitwise_left_shift, "right shift": torch.bitwise_right_shift, "shift by a number": lambda a, b: a >> 3}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.int8], ids=str)
@pytest.mark.parametrize("name", OPS | SHIFTS | OF_FLOATS)
def test_native_code_has_the_bits_of_the_rule(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in (OF_FLOATS if not dtype.is_floating_point else SHIFTS):
        return
    pairs = np.meshgrid(SPECIAL if dtype.is_floating_point else np.clip(np.nan_to_num(SPECIAL), -100, 100), SPECIAL if dtype.is_floating_point else np.arange(-4, 68))

    def compute() -> np.ndarray:
        a, b = (torch.tensor(v.ravel().copy()).to(dtype) for v in pairs)
        return (OPS | SHIFTS | OF_FLOATS)[name](a, b).numpy().copy()

    before = execute.counts.native_calls
    found = compute()
    assert execute.counts.native_calls > before
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        expected = compute()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind == "f":
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(expected)[known])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_remainders_of_quotients_of_any_size(dtype: Any) -> None:
    random = np.random.default_rng(0)
    size = 30 if dtype is torch.float32 else 300
    a, b = (random.standard_normal(4000) * 10.0 ** random.integers(-size, size, 4000) for _ in range(2))
    x, y = torch.tensor(a).to(dtype), torch.tensor(b).to(dtype)
    exact = np.fmod(x.numpy(), y.numpy())
    np.testing.assert_array_equal(torch.fmod(x, y).numpy(), exact)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(torch.floor_divide(x, y).numpy(), np.floor_divide(x.numpy(), y.numpy()))


def test_zero_divides_no_integers() -> None:
    x = torch.arange(5)
    calls: list[Callable[[], Any]] = [
        lambda: x % 0, lambda: x // 0, lambda: torch.fmod(x, 0), lambda: torch.div(x, 0, rounding_mode="trunc"), lambda: x % torch.tensor([0]),
        lambda: x.clone().remainder_(0), lambda: x.clone().fmod_(0), lambda: x.clone().floor_divide_(0), lambda: x.clone().div_(0, rounding_mode="floor"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()
    lowest = torch.tensor([-(2**63)] * 40)
    assert (torch.div(lowest, -1, rounding_mode="trunc") == lowest).all()
    assert not torch.fmod(lowest, -1).any()


def test_a_zero_remainder_has_the_sign_of_what_is_divided() -> None:
    found = torch.remainder(torch.tensor([-4.0, 4.0, -0.0]), torch.tensor([2.0, -2.0, 2.0]))
    assert found.signbit().tolist() == [True, False, True]
    assert torch.remainder(torch.tensor([-4.0]), 2.0).signbit().item()


def test_what_is_infinite_decides_hypot() -> None:
    inf, nan = float("inf"), float("nan")
    found = torch.hypot(torch.tensor([inf, nan, -inf, nan, 3e38, 1e-42]), torch.tensor([nan, -inf, 1.0, 1.0, 3e38, 0.0]))
    np.testing.assert_array_equal(found.numpy(), np.float32([inf, inf, inf, nan, inf, 1e-42]))
