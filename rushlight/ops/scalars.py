"""Python numbers as values of a dtype, with PyTorch's refusals of those that do not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes as dt

C_NAMES = {
    dt.uint8: "uint8_t", dt.int8: "int8_t", dt.int16: "int16_t", dt.int32: "int", dt.int64: "int64_t",
    dt.float16: "c10::Half", dt.bfloat16: "c10::BFloat16", dt.float32: "float", dt.float64: "double",
}  # fmt: skip


def overflow(name: str) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {name} without overflow")


def fits_integer(value: int | float, dtype: dt.dtype) -> bool:
    """Whether a number is in the range of an integer dtype; as in C++, an unsigned dtype takes small negative integers."""
    limits = np.iinfo(dtype.numpy)
    low = -limits.max if limits.min == 0 and isinstance(value, int) else limits.min
    return low <= value <= limits.max


def fitting(value: Any, dtype: dt.dtype, *, half_overflows: bool = False) -> Any:
    """`value`, a Python number, as one that `dtype` holds.

    half_overflows: whether a number too large for a half-precision dtype is refused; a fill makes it infinite.
    """
    category = dtype.category
    if category == dt.BOOL:
        return bool(value)
    if category == dt.COMPLEX:
        return value
    name = C_NAMES.get(dtype, dtype.name)
    if isinstance(value, complex):
        if value.imag:
            raise overflow("double" if dtype in dt.LOW_PRECISION and not half_overflows else name)
        value = value.real
    if category == dt.INTEGER:
        if not fits_integer(value, dtype):
            raise overflow(name)
        value = int(value)
        return value & ((1 << 8 * dtype.itemsize) - 1) if not dtype.is_signed else value
    if isinstance(value, int):
        value = float(value)
    if dtype in dt.LOW_PRECISION:
        largest = dt.finfo(dtype).max
        if abs(value) > largest and not math.isinf(value):
            if half_overflows:
                raise overflow(name)
            with np.errstate(over="ignore"):
                return float(np.float32(value).astype(dtype.numpy))
    elif dtype is dt.float32 and math.isfinite(value) and abs(value) > float(np.finfo(np.float32).max):
        raise overflow(name)
    return value
