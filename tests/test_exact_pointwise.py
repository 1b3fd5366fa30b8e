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
}
SHIFTS = {"left shift": torch.bitwise_left_shift, "right shift": torch.bitwise_right_shift, "shift by a number": lambda a, b: a >> 3}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.int8], ids=str)
@pytest.mark.parametrize("name", OPS | SHIFTS)
def test_native_code_has_the_bits_of_the_rule(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in SHIFTS and dtype.is_floating_point:
        return
    pairs = np.meshgrid(SPECIAL if dtype.is_floating_point else np.clip(np.nan_to_num(SPECIAL), -100, 100), SPECIAL if dtype.is_floating_point else np.arange(-4, 68))

    def compute() -> np.ndarray:
        a, b = (torch.tensor(v.ravel().copy()).to(dtype) for v in pairs)
        return (OPS | SHIFTS)[name](a, b).numpy().copy()

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
