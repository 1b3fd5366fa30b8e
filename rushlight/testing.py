"""`torch.testing`: comparisons for tests, with messages that say where two tensors differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import dtypes as dt, ops
from .ops.card import array_of
from .storage import TensorBase
from .tensor import Tensor

# Tolerances by dtype: rtol, atol. https://docs.pytorch.org/docs/stable/testing.html
_TOLERANCES = {
    dt.float16: (1e-3, 1e-5), dt.bfloat16: (1.6e-2, 1e-5), dt.float32: (1.3e-6, 1e-5), dt.float64: (1e-7, 1e-7),
    dt.complex64: (1.3e-6, 1e-5), dt.complex128: (1e-7, 1e-7),
}  # fmt: skip


def _tolerances(actual: Tensor, expected: Tensor, rtol: float | None, atol: float | None) -> tuple[float, float]:
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or unspecified, but got no {'rtol' if rtol is None else 'atol'} for one of them.")
    if rtol is not None and atol is not None:
        return rtol, atol
    pairs = [_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (actual, expected)]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None, equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False, msg: str | Callable[[str], str] | None = None) -> None:
    """Raise an AssertionError that says how `actual` and `expected` differ, unless they are close.

    Tensors, arrays, numbers, and sequences and mappings of them. Source: https://docs.pytorch.org/docs/stable/testing.html

    >>> torch.testing.assert_close(torch.tensor([1.0]), torch.tensor([1.0 + 1e-6]))
    """
    problem = _difference(actual, expected, rtol, atol, equal_nan, check_dtype, check_stride, "")
    if problem is not None:
        raise AssertionError(msg(problem) if callable(msg) else msg if msg is not None else problem)


def _difference(actual: Any, expected: Any, rtol: float | None, atol: float | None, equal_nan: bool, check_dtype: bool, check_stride: bool, where: str) -> str | None:
    rest = (rtol, atol, equal_nan, check_dtype, check_stride)
    if isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, (str, bytes)):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{where}"
        found = (_difference(a, e, *rest, f"\n\nThe failure occurred for item [{n}]{where.replace(chr(10), '')}") for n, (a, e) in enumerate(zip(actual, expected, strict=True)))
        return next((p for p in found if p is not None), None)
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            return f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(set(expected) - set(actual))}\nAdditional keys in the actual mapping: {sorted(set(actual) - set(expected))}{where}"
        found = (_difference(actual[k], expected[k], *rest, f"\n\nThe failure occurred for item [{k!r}]") for k in actual)
        return next((p for p in found if p is not None), None)
    numbers = not isinstance(actual, (TensorBase, np.ndarray)) and not isinstance(expected, (TensorBase, np.ndarray))
    if numbers and (isinstance(actual, (str, type(None))) or isinstance(expected, (str, type(None)))):
        return None if actual == expected else f"Object equality failed: {actual!r} != {expected!r}{where}"
    a, e = (t.detach() if isinstance(t, TensorBase) else ops.as_tensor(t) for t in (actual, expected))  # type: ignore[attr-defined]
    kind = "Scalars" if numbers else "Tensor-likes"
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}.{where}"
    if check_dtype and not numbers and a.dtype is not e.dtype:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}.{where}"
    if check_stride and a.stride() != e.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}.{where}"
    rel, absolute = _tolerances(a, e, rtol, atol)
    common = dt.promote(a.dtype, e.dtype)
    a, e = a.to(common), e.to(common)
    wrong = array_of(~ops.isclose(a, e, rel, absolute, equal_nan))
    if not wrong.any():
        return None
    return _report(a, e, wrong, rel, absolute, kind, numbers, actual, expected) + where


def _report(a: Tensor, e: Tensor, wrong: np.ndarray, rtol: float, atol: float, kind: str, numbers: bool, actual: Any, expected: Any) -> str:
    wide = np.complex128 if a.is_complex() else np.float64
    x, y = array_of(a).astype(wide), array_of(e).astype(wide)
    with np.errstate(all="ignore"):
        error = np.abs(x - y)
        relative = error / np.abs(y)
    equality = rtol == 0 and atol == 0
    head = f"{kind} are not {'equal' if equality else 'close'}!"
    allowed = "" if equality else f" (up to {atol} allowed)"
    allowed_relative = "" if equality else f" (up to {rtol} allowed)"
    if numbers or not x.ndim:
        what = f"Expected {expected} but got {actual}." if numbers else head.replace("Tensor-likes", "Scalars")
        first = f"{head}\n\nExpected {y.item()} but got {x.item()}." if not numbers else f"{head}\n\n{what}"
        return f"{first}\nAbsolute difference: {float(error)}{allowed}\nRelative difference: {float(relative)}{allowed_relative}"
    counted = np.where(wrong, np.nan_to_num(error, nan=np.inf), -1)
    counted_relative = np.where(wrong, np.nan_to_num(relative, nan=np.inf), -1)
    at, at_relative = (tuple(map(int, np.unravel_index(np.argmax(v), v.shape))) for v in (counted, counted_relative))
    share = 100 * wrong.sum() / wrong.size
    return (
        f"{head}\n\nMismatched elements: {int(wrong.sum())} / {wrong.size} ({share:.1f}%)\n"
        f"Greatest absolute difference: {float(error[at])} at index {at}{allowed}\n"
        f"Greatest relative difference: {float(relative[at_relative])} at index {at_relative}{allowed_relative}"
    )


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = "") -> None:
    """`assert_close` that does not look at dtypes. Deprecated in PyTorch."""
    actual, expected = (v if isinstance(v, TensorBase) else ops.tensor(v) for v in (actual, expected))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def make_tensor(*shape: Any, dtype: dt.dtype, device: Any = "cpu", low: float | None = None, high: float | None = None, requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of random values between `low` and `high` (-9 and 9 when None; 0 and 2 for bools).

    >>> torch.testing.make_tensor((2, 3), dtype=torch.float32).shape
    torch.Size([2, 3])
    """
    size = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if noncontiguous and size:
        size = (*size[:-1], 2 * size[-1])
    if dtype.category == dt.BOOL:
        found = ops.randint(0, 2, size).to(dtype)
    elif dtype.category == dt.INTEGER:
        least = 0 if not dtype.is_signed else -9
        found = ops.randint(int(least if low is None else low), int(10 if high is None else high), size).to(dtype)
    else:
        a, b = -9.0 if low is None else low, 9.0 if high is None else high
        found = ops.rand(size, dtype=dt.float64) * (b - a) + a
        if dtype.is_complex:
            found = ops.complex(found, ops.rand(size, dtype=dt.float64) * (b - a) + a)
        found = found.to(dtype)
    if noncontiguous and size:
        found = found[..., ::2]
    if exclude_zero:
        found = found.masked_fill(found == 0, 1)
    return found.requires_grad_(True) if requires_grad else found
