"""What the tests and the benchmark of engine/functions.py share: native code for one function, and exact values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from rushlight.engine import functions, gamma_functions, llvm, trigonometric_functions
from rushlight.engine.emit import LANES, Builder, module

Array = np.ndarray
_ROOT = np.sqrt(2 / np.pi)


def native(name: str, lanes: int = LANES, operands: int = 1) -> Callable[..., None]:
    """``call(*inputs, output)``: the function over contiguous float32 arrays, whose size `lanes` divides."""
    k = Builder(name, [("ptr", "args"), ("i64", "chunk")])
    words = k.parameters["args"]
    pointers = [k.load(k.address(words, i, "ptr"), "ptr") for i in range(operands + 1)]
    with k.loop(0, k.load(k.address(words, operands + 1, "i64"), "i64"), lanes) as loop:
        inputs = [k.load(k.address(p, loop.index, "float"), "float", lanes) for p in pointers[:-1]]
        function = next(getattr(file, name) for file in (functions, trigonometric_functions, gamma_functions) if hasattr(file, name))
        k.store(function(k, *inputs), k.address(pointers[-1], loop.index, "float"))
    code = llvm.load(module([k]), [name])
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[name])

    def call(*arrays: Array, repeats: int = 1) -> None:
        assert all(a.dtype == np.float32 and a.flags.c_contiguous and a.size % lanes == 0 for a in arrays)
        arguments = np.array([*(a.ctypes.data for a in arrays), arrays[-1].size], dtype=np.int64)
        address = arguments.ctypes.data
        for _ in range(repeats):
            entry(address, 0)

    call.code = code  # type: ignore[attr-defined]  # lives as long as the function
    return call


def _nan_at_minus_infinity(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.where(x == -np.inf, np.nan, function(x))


def _trigamma(x: Array) -> Array:
    turned = x - np.rint(x)
    below = (np.pi / np.sin(np.pi * turned)) ** 2 - special.zeta(2, np.where(x < 0.5, 1 - x, 1))
    return np.where(np.isinf(x), np.where(x > 0, 0, np.nan), np.where(x < 0.5, below, special.zeta(2, np.where(x < 0.5, 1, x))))


#: In double precision, from what no finite argument makes inexact in float32's digits.
REFERENCES: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "sigmoid": special.expit,
    "silu": _nan_at_minus_infinity(lambda x: x * special.expit(x)),
    "tanh": np.tanh,
    "log": np.log,
    "erf": special.erf,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "log_sigmoid": special.log_expit,
    "log1p_exp": lambda x: np.logaddexp(0, x),
    "erfc": special.erfc,
    "mish": _nan_at_minus_infinity(lambda x: x * np.tanh(np.logaddexp(0, x))),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "gelu_tanh": _nan_at_minus_infinity(lambda x: x * special.expit(2 * _ROOT * (x + 0.044715 * x**3))),
    "gelu": _nan_at_minus_infinity(lambda x: x * special.ndtr(x)),
    "erfinv": special.erfinv,
    "trigamma": _trigamma,
    "lgamma": lambda x: np.where(np.isinf(x), np.inf, special.gammaln(x)),
    "digamma": _nan_at_minus_infinity(lambda x: np.where(x == 0, np.copysign(np.inf, -x), special.psi(x))),
}

#: The largest errors, in ulp; gelu's grows with its argument below -1.
BOUNDS = {
    "exp": 1.02, "exp_below": 0.9, "expm1": 1.46, "exp2": 1.03, "log": 0.8, "log1p": 1.39, "log2": 0.95, "log10": 0.95,
    "tanh": 1.23, "sinh": 1.62, "cosh": 1.35, "sin": 1.58, "cos": 1.58, "tan": 0.51,
    "sigmoid": 1.66, "log_sigmoid": 1.68, "log1p_exp": 1.68, "silu": 1.63, "mish": 1.0,
    "erf": 0.92, "erfc": 1.9, "gelu_tanh": 1.68,
    "asin": 1.6, "acos": 1.1, "atan": 1.4, "atan2": 1.7, "asinh": 0.6, "acosh": 0.51, "atanh": 0.7,
    "reciprocal": 0.5, "rsqrt": 1.48, "pow": 0.54, "lgamma": 1.4, "digamma": 0.6, "erfinv": 0.51, "trigamma": 0.6,
}  # fmt: skip


def ulps(found: Array, exact: Array) -> Array:
    """Distances in units in the last place of the exact values; infinity counts as 2^128, and nan is only near nan."""
    limit = 2.0**128
    got, want = np.clip(found.astype(np.float64), -limit, limit), np.clip(exact, -limit, limit)
    exponent = (want.view(np.int64) >> 52) & 0x7FF  # of the double, 1023 for 1
    per_unit = ((1023 + 1023 + 23 - np.clip(exponent, 1023 - 126, 1023 + 127)) << 52).view(np.float64)
    error = np.abs(got - want) * per_unit
    missing = np.isnan(error)
    if missing.any():
        error[missing] = np.where(np.isnan(got[missing]) & np.isnan(want[missing]), 0.0, np.inf)
    return error
