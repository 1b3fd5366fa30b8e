"""`torch.testing`: comparisons for tests, with messages that say where two tensors differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


def _tolerances(rtol: float | None, atol: float | None, *dtypes: dt.dtype) -> tuple[float, float]:
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {'rtol' if rtol is None else 'atol'}.")
    if rtol is not None and atol is not None:
        return rtol, atol
    pairs = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


@dataclass(frozen=True)
class _Rules:
    """What counts as close: the arguments of `assert_close`."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_stride: bool


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None, equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False, msg: str | Callable[[str], str] | None = None) -> None:
    """Raise an AssertionError that says how `actual` and `expected` differ, unless they are close.

    Tensors, arrays, numbers, and sequences and mappings of them. Source: https://docs.pytorch.org/docs/stable/testing.html

    >>> torch.testing.assert_close(torch.tensor([1.0]), torch.tensor([1.0 + 1e-6]))
    """
    problem = _difference(actual, expected, _Rules(allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_stride), "")
    if problem is not None:
        raise AssertionError(msg(problem) if callable(msg) else msg if msg is not None else problem)


def _difference(actual: Any, expected: Any, rules: _Rules, where: str) -> str | None:
    if isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, (str, bytes)):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{_failure(where)}"
        found = (_difference(a, e, rules, f"{where}[{n}]") for n, (a, e) in enumerate(zip(actual, expected, strict=True)))
        return next((p for p in found if p is not None), None)
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            return f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(set(expected) - set(actual))}\nAdditional keys in the actual mapping: {sorted(set(actual) - set(expected))}{_failure(where)}"
        found = (_difference(actual[k], expected[k], rules, f"{where}[{k!r}]") for k in sorted(actual))
        return next((p for p in found if p is not None), None)
    problem = _pair(actual, expected, rules)
    return None if problem is None else problem + _failure(where)


def _failure(where: str) -> str:
    return f"\n\nThe failure occurred for item {where}" if where else ""


def _pair(actual: Any, expected: Any, rules: _Rules) -> str | None:
    if actual is None or expected is None:
        return None if actual is expected else f"None mismatch: {actual} is not {expected}"
    if all(isinstance(v, (bool, np.bool_)) for v in (actual, expected)):
        return None if bool(actual) is bool(expected) else f"Booleans mismatch: {bool(actual)} is not {bool(expected)}"
    if all(isinstance(v, (int, float, complex, np.number)) for v in (actual, expected)):
        actual, expected = (v.item() if isinstance(v, np.number) else v for v in (actual, expected))
        return _numbers(actual, expected, rules)
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    known = isinstance(actual, (TensorBase, np.ndarray)) and (rules.allow_subclasses or type(actual) is type(expected))
    if not (related and known):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    actual, expected = (t.detach() if isinstance(t, TensorBase) else ops.as_tensor(t) for t in (actual, expected))  # type: ignore[attr-defined]
    return _tensors(actual, expected, rules)


_DTYPE_OF = {int: dt.int64, float: dt.float64, complex: dt.complex128}


def _numbers(actual: Any, expected: Any, rules: _Rules) -> str | None:
    rtol, atol = _tolerances(rules.rtol, rules.atol, *(_DTYPE_OF.get(type(v), dt.int64) for v in (actual, expected)))
    if rules.check_dtype and type(actual) is not type(expected):
        return f"The (d)types do not match: {type(actual)} != {type(expected)}."
    if actual == expected or rules.equal_nan and actual != actual and expected != expected:
        return None
    error = abs(actual - expected)
    return None if math.isfinite(error) and error <= atol + rtol * abs(expected) else _scalars(actual, expected, rtol, atol)


def _tensors(a: Tensor, e: Tensor, rules: _Rules) -> str | None:
    rtol, atol = _tolerances(rules.rtol, rules.atol, a.dtype, e.dtype)
    attributes = {
        "shape": (a.shape, e.shape),
        **({"stride()": (a.stride(), e.stride())} if rules.check_stride else {}),
        **({"device": (a.device, e.device)} if rules.check_device else {}),
        **({"dtype": (a.dtype, e.dtype)} if rules.check_dtype else {}),
    }
    for name, (have, want) in attributes.items():
        if have != want:
            return f"The values for attribute '{name}' do not match: {have} != {want}."
    common = dt.promote(a.dtype, e.dtype)
    a, e = a.to(common), e.to(common)
    wrong = array_of(~ops.isclose(a, e, rtol, atol, rules.equal_nan))
    if not wrong.any():
        return None
    return _scalars(a.item(), e.item(), rtol, atol) if not a.dim() else _elements(a, e, wrong, rtol, atol)


def _scalars(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    error = abs(actual - expected)
    relative = math.inf if expected == 0 else error / abs(expected)
    allowed = [f" (up to {v} allowed)" if rtol or atol else "" for v in (atol, rtol)]
    return f"Scalars are not {'close' if rtol or atol else 'equal'}!\n\nExpected {expected} but got {actual}.\nAbsolute difference: {error}{allowed[0]}\nRelative difference: {relative}{allowed[1]}"


def _elements(a: Tensor, e: Tensor, wrong: np.ndarray, rtol: float, atol: float) -> str:
    wide = np.complex128 if a.is_complex() else np.float64 if a.is_floating_point() else np.int64
    x, y = array_of(a).astype(wide), array_of(e).astype(wide)
    with np.errstate(all="ignore"):
        error = np.abs(x - y)
        relative = error / np.abs(y)
    counted, counted_relative = (np.where(wrong, np.where(np.isnan(v), np.inf, v), -1) for v in (error, relative))
    at, at_relative = (tuple(map(int, np.unravel_index(np.argmax(v), v.shape))) for v in (counted, counted_relative))
    allowed = [f" (up to {v} allowed)" if rtol or atol else "" for v in (atol, rtol)]
    return (
        f"Tensor-likes are not {'close' if rtol or atol else 'equal'}!\n\nMismatched elements: {int(wrong.sum())} / {wrong.size} ({wrong.sum() / wrong.size:.1%})\n"
        f"Greatest absolute difference: {error[at].item()} at index {at}{allowed[0]}\n"
        f"Greatest relative difference: {relative[at_relative].item()} at index {at_relative}{allowed[1]}"
    )


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = "") -> None:
    """`assert_close` that does not look at dtypes. Deprecated in PyTorch.

    >>> torch.testing.assert_allclose(torch.tensor([1.0]), [1.0])
    """
    actual, expected = (v if isinstance(v, TensorBase) else ops.tensor(v) for v in (actual, expected))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def make_tensor(*shape: Any, dtype: dt.dtype, device: Any = "cpu", low: float | None = None, high: float | None = None, requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of random values between `low` and `high` (-9 and 9 when None; 0 and 2 for bools).

    >>> torch.testing.make_tensor((2, 3), dtype=torch.float32).shape
    torch.Size([2, 3])
    """
    size = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if requires_grad and dtype.category < dt.FLOAT:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    if noncontiguous := noncontiguous and math.prod(size) > 1:
        size = (*size[:-1], 2 * size[-1])
    if dtype.category < dt.FLOAT:
        limits = (0, 2) if dtype.category == dt.BOOL else (dt.iinfo(dtype).min, dt.iinfo(dtype).max + (dtype is not dt.int64))
        least, most = _interval(low, high, dtype, limits, limits if dtype.category == dt.BOOL else (-9, 10))
        found = ops.randint(math.ceil(least), math.ceil(most), size, dtype=dtype)
    else:
        real = dt.finfo(dtype)
        least, most = _interval(low, high, dtype, (real.min, real.max), (-9, 9))
        found = ops.empty(size, dtype=dt.float32 if dtype.itemsize == 1 else dtype)
        _uniform(ops.view_as_real(found) if dtype.is_complex else found, least, most)
        found = found.to(dtype)
    if noncontiguous:
        found = found[..., 1::2]
    elif memory_format is not None:
        found = found.clone(memory_format=memory_format)
    if exclude_zero:
        found[found == 0] = 1 if dtype.category < dt.FLOAT else dt.finfo(dtype).tiny
    return found.requires_grad_(True) if requires_grad else found


def _interval(low: float | None, high: float | None, dtype: dt.dtype, limits: tuple[float, float], usual: tuple[float, float]) -> tuple[float, float]:
    """The bounds of random values, within what the dtype holds."""
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    if low != low or high != high:
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low > high or low == high and dtype.category < dt.FLOAT:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < limits[0] or low >= limits[1]:
        raise ValueError(f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports [{limits[0]}, {limits[1]})")
    return min(max(low, limits[0]), limits[1]), min(max(high, limits[0]), limits[1])


def _uniform(tensor: Tensor, low: float, high: float) -> None:
    """Uniform numbers; in two halves where the interval is longer than the dtype's largest number."""
    if high - low < dt.finfo(tensor.dtype).max:
        tensor.uniform_(low, high)
    else:
        tensor.uniform_(low / 2, high / 2).mul_(2)
