"""Element types and PyTorch's rules for combining them.

A `dtype` knows its NumPy twin, its size and its category. `promote` combines two dtypes of equal standing;
`result_type` applies PyTorch's three classes (tensors with dims, 0-dim tensors, Python numbers), where a lower
class only wins on a higher category. Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, Final

import ml_dtypes
import numpy as np

Number = builtins.bool | int | float | complex

# Categories, in the order in which they win over each other.
BOOL, INTEGER, FLOAT, COMPLEX = range(4)


class dtype:
    """An element type, such as `float32`.

    >>> torch.float32.itemsize, torch.int64.is_floating_point
    (4, False)
    """

    __slots__ = ("name", "alias", "numpy", "itemsize", "category", "type_name", "is_floating_point", "is_complex", "is_signed")

    def __init__(self, name: str, numpy: Any, category: int, type_name: str, alias: str | None = None) -> None:
        self.name: Final = name
        self.alias: Final = alias
        self.numpy: Final = np.dtype(numpy)
        self.itemsize: Final = self.numpy.itemsize
        self.category: Final = category
        self.type_name: Final = type_name  # as in "torch.FloatTensor" and in error messages
        self.is_floating_point: Final = category == FLOAT
        self.is_complex: Final = category == COMPLEX
        self.is_signed: Final = name not in ("bool", "uint8", "uint16", "uint32", "uint64")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name if self.name != "bool" else "bool_"

    def to_complex(self) -> dtype:
        """The complex dtype with this real dtype's precision."""
        if self.category < FLOAT or self in _FLOAT8:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.type_name}")
        return complex128 if self.name in ("float64", "complex128") else complex64

    def to_real(self) -> dtype:
        """The real dtype with this complex dtype's precision."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)


bool_ = dtype("bool", np.bool_, BOOL, "Bool")
uint8 = dtype("uint8", np.uint8, INTEGER, "Byte")
int8 = dtype("int8", np.int8, INTEGER, "Char")
int16 = dtype("int16", np.int16, INTEGER, "Short", "short")
int32 = dtype("int32", np.int32, INTEGER, "Int", "int")
int64 = dtype("int64", np.int64, INTEGER, "Long", "long")
uint16 = dtype("uint16", np.uint16, INTEGER, "UInt16")
uint32 = dtype("uint32", np.uint32, INTEGER, "UInt32")
uint64 = dtype("uint64", np.uint64, INTEGER, "UInt64")
float16 = dtype("float16", np.float16, FLOAT, "Half", "half")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT, "BFloat16")
float32 = dtype("float32", np.float32, FLOAT, "Float", "float")
float64 = dtype("float64", np.float64, FLOAT, "Double", "double")
float8_e4m3fn = dtype("float8_e4m3fn", ml_dtypes.float8_e4m3fn, FLOAT, "Float8_e4m3fn")
float8_e5m2 = dtype("float8_e5m2", ml_dtypes.float8_e5m2, FLOAT, "Float8_e5m2")
float8_e4m3fnuz = dtype("float8_e4m3fnuz", ml_dtypes.float8_e4m3fnuz, FLOAT, "Float8_e4m3fnuz")
float8_e5m2fnuz = dtype("float8_e5m2fnuz", ml_dtypes.float8_e5m2fnuz, FLOAT, "Float8_e5m2fnuz")
complex64 = dtype("complex64", np.complex64, COMPLEX, "ComplexFloat", "cfloat")
complex128 = dtype("complex128", np.complex128, COMPLEX, "ComplexDouble", "cdouble")

ALL: Final = (
    bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16, bfloat16, float32, float64,
    float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, complex64, complex128,
)  # fmt: skip
HALF: Final = frozenset((float16, bfloat16))
LOW_PRECISION: Final = frozenset((float16, bfloat16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz))
BY_NUMPY: Final[dict[np.dtype, dtype]] = {d.numpy: d for d in ALL}
BY_NAME: Final[dict[str, dtype]] = {d.name: d for d in ALL} | {d.alias: d for d in ALL if d.alias}

_default = float32

#: What forgets results that rest on the default dtype; each file that remembers such results adds its own.
when_default_changes: list[Callable[[], None]] = []


def get_default_dtype() -> dtype:
    """The dtype that Python floats become.

    >>> torch.get_default_dtype()
    torch.float32
    """
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make `d`, a floating-point dtype, the dtype that Python floats become.

    >>> torch.set_default_dtype(torch.float32)
    """
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if d.category != FLOAT:
        raise TypeError("only floating-point types are supported as the default type")
    if d is not _default:
        _default = d
        for forget in when_default_changes:
            forget()


def default_complex() -> dtype:
    return _default.to_complex()


def from_numpy(numpy: Any) -> dtype:
    """The dtype of a NumPy dtype; raises PyTorch's TypeError for one that has no twin."""
    found = BY_NUMPY.get(np.dtype(numpy).newbyteorder("=") if not isinstance(numpy, np.dtype) else numpy)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {np.dtype(numpy).type.__module__}.{np.dtype(numpy).type.__name__}. The only supported types are: "
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        )
    return found


def of_number(value: Number | type) -> dtype:
    """The dtype that a Python number (or its type) becomes on its own."""
    kind = value if isinstance(value, type) else type(value)
    if issubclass(kind, (builtins.bool, np.bool_)):
        return bool_
    if issubclass(kind, (int, np.integer)):
        return int64
    if issubclass(kind, (float, np.floating)):
        return _default
    return _default.to_complex()


# bool < uint8 and the signed integers by size < the floats by size < the complex numbers by size.
_FLOAT_ORDER = (float16, float32, float64)
_SIGNED_ORDER = (int8, int16, int32, int64)
_FLOAT8 = frozenset((float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz))
_BARE_UNSIGNED = frozenset((uint16, uint32, uint64))


def c_name(dtype: dtype) -> str:
    """The C++ name of a dtype, as some messages print it."""
    return {"float32": "float", "float64": "double", "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}.get(dtype.name, dtype.name)


def promote(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that holds both, by PyTorch's table (`torch.promote_types`).

    >>> torch.promote_types(torch.int32, torch.float16), torch.promote_types(torch.uint8, torch.int8)
    (torch.float16, torch.int16)
    """
    if a is b:
        return a
    if a.category > b.category:
        a, b = b, a
    if a.category != b.category:
        if b.category == COMPLEX and a.category == FLOAT:
            return max(b, a.to_complex(), key=lambda d: d.itemsize)
        return b
    if b.category == FLOAT:
        if a in _FLOAT8 or b in _FLOAT8:
            if a in _FLOAT8 and b in _FLOAT8:
                raise RuntimeError(f"Promotion for Float8 Types is not supported, attempted to promote {a.type_name} and {b.type_name}")
            return b if a in _FLOAT8 else a
        if bfloat16 in (a, b):
            return float32 if float16 in (a, b) else (b if a is bfloat16 else a)
        return max(a, b, key=_FLOAT_ORDER.index)
    if b.category == COMPLEX:
        return max(a, b, key=lambda d: d.itemsize)
    if a in _BARE_UNSIGNED or b in _BARE_UNSIGNED:
        bare, other = (a, b) if a in _BARE_UNSIGNED else (b, a)
        if not other.is_signed:
            return max(a, b, key=lambda d: d.itemsize)
        raise RuntimeError(
            f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a.type_name} and {b.type_name}"
        )
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return max(a, b, key=_SIGNED_ORDER.index)


_promoted: dict[tuple[dtype, dtype], dtype] = {}


def promote_cached(a: dtype, b: dtype) -> dtype:
    key = (a, b)
    found = _promoted.get(key)
    if found is None:
        found = _promoted[key] = promote(a, b)
    return found


class PromotionState:
    """Accumulates operands of the three classes and answers their common dtype."""

    __slots__ = ("dimensioned", "zero_dim", "number")

    def __init__(self) -> None:
        self.dimensioned: dtype | None = None
        self.zero_dim: dtype | None = None
        self.number: dtype | None = None

    def add_tensor(self, d: dtype, ndim: int) -> None:
        if ndim:
            self.dimensioned = d if self.dimensioned is None else promote(self.dimensioned, d)
        else:
            self.zero_dim = d if self.zero_dim is None else promote(self.zero_dim, d)

    def add_number(self, kind: type) -> None:
        d = of_number(kind)
        self.number = d if self.number is None else promote(self.number, d)

    def result(self) -> dtype:
        def combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
            if higher is None or lower is None:
                return lower if higher is None else higher
            return promote(higher, lower) if lower.category > higher.category else higher

        found = combine(combine(self.dimensioned, self.zero_dim), self.number)
        assert found is not None
        return found


class _Limits:
    """What a dtype can hold: equal for dtypes of equal limits, and no keys of dictionaries."""

    __hash__ = None  # type: ignore[assignment]
    dtype: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.dtype == self.dtype


def _dtype_of(type: Any, function: str) -> dtype:
    if not isinstance(type, dtype):
        raise TypeError(f"{function}(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")
    return type


class finfo(_Limits):
    """Numerical limits of a floating-point dtype (`bits eps max min tiny smallest_normal resolution dtype`).

    >>> torch.finfo(torch.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None) -> None:
        d = get_default_dtype() if type is None else _dtype_of(type, "finfo")
        if d.category < FLOAT:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'")
        info = ml_dtypes.finfo(d.to_real().numpy)
        self.bits = d.to_real().itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = 10.0 ** -math.floor(-math.log10(self.eps))  # by the decimal digits that the dtype keeps
        self.dtype = d.to_real().name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo(_Limits):
    """Numerical limits of an integer dtype (`bits max min dtype`).

    >>> torch.iinfo(torch.int8).max
    127
    """

    def __init__(self, type: dtype) -> None:
        if _dtype_of(type, "iinfo").category != INTEGER:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'" if type.category >= FLOAT else "torch.bool is not supported by torch.iinfo")
        info = np.iinfo(type.numpy)
        self.bits, self.max, self.min = type.itemsize * 8, int(info.max), int(info.min)
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
