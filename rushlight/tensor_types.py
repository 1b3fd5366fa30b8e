"""The legacy constructors, one per dtype: `torch.FloatTensor` and its like."""

from __future__ import annotations

from typing import Any

from . import dtypes as dt, ops
from .storage import TensorBase
from .tensor import Tensor


def as_dtype(wanted: Any) -> dt.dtype:
    """A dtype from a dtype, a legacy tensor type or its name (``"torch.FloatTensor"``)."""
    if isinstance(wanted, dt.dtype):
        return wanted
    if isinstance(wanted, TensorType):
        return wanted.dtype
    if wanted in (float, int, bool, complex):
        return dt.of_number(wanted)
    name = str(wanted).removeprefix("torch.").removesuffix("Tensor")
    for d in dt.ALL:
        if d.type_name == name:
            return d
    raise ValueError(f"invalid type: '{wanted}'")


class TensorType:
    """A legacy constructor for one dtype, such as ``torch.FloatTensor``; also answers ``isinstance``.

    >>> torch.FloatTensor([1, 2]), isinstance(torch.ones(1), torch.FloatTensor)
    (tensor([1., 2.]), True)
    """

    def __init__(self, dtype: dt.dtype) -> None:
        self.dtype = dtype
        self.__name__ = self.__qualname__ = f"{dtype.type_name}Tensor"
        self.__module__ = "torch"

    def __call__(self, *data: Any, device: Any = None) -> Tensor:
        if not data:
            return ops.empty(0, dtype=self.dtype, device=device)
        if len(data) == 1 and isinstance(data[0], TensorBase):
            if data[0]._layout.dtype is not self.dtype:
                raise TypeError(f"expected {self!r} (got {data[0].type()})")  # type: ignore[attr-defined]
            return ops.detach(data[0])  # type: ignore[arg-type]
        return ops.legacy_tensor(data, self.dtype, device)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, TensorBase) and instance._layout.dtype is self.dtype

    def __repr__(self) -> str:
        return f"<class 'torch.{self.__name__}'>"

    def __reduce__(self) -> str:
        return self.__name__


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = map(TensorType, (dt.float32, dt.float64, dt.float16, dt.bfloat16))
LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor, BoolTensor = map(TensorType, (dt.int64, dt.int32, dt.int16, dt.int8, dt.uint8, dt.bool_))
