"""Python's operators on tensors: ``a + b``, ``a += b``, ``2 - a``, ``a[i] = v`` and the rest, as one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ops
from .dtypes import INTEGER
from .errors import NoOverride
from .ops.define import inplace, wants_to_be_asked
from .ops.matmul import product_of_tensors
from .storage import TensorBase

#: Those that are methods too.
mul_ = inplace(ops.mul)
remainder_ = inplace(ops.remainder)
pow_ = inplace(ops.pow)
bitwise_and_ = inplace(ops.bitwise_and)
bitwise_or_ = inplace(ops.bitwise_or)
bitwise_xor_ = inplace(ops.bitwise_xor)
bitwise_left_shift_ = inplace(ops.bitwise_left_shift)
bitwise_right_shift_ = inplace(ops.bitwise_right_shift)

_OPERANDS = (TensorBase, int, float, complex, np.generic)


def _asked(other: Any) -> bool:
    """Whether functions ask a value that is no operand of ours what becomes of it (overrides.py)."""
    wants_to_be_asked(other)
    return hasattr(type(other), "__torch_function__")


def _operator(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``self op other``."""

    def method(self: Any, other: Any) -> Any:
        try:
            return function(self, other) if isinstance(other, _OPERANDS) or _asked(other) else NotImplemented
        except NoOverride:
            return NotImplemented

    return method


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``other op self``."""

    def method(self: Any, other: Any) -> Any:
        try:
            return function(other, self) if isinstance(other, _OPERANDS) or _asked(other) else NotImplemented
        except NoOverride:
            return NotImplemented

    return method


def _of_tensors(function: Callable[[Any, Any], Any], reflected: bool = False) -> Callable[[Any, Any], Any]:
    """An operator between two tensors."""

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, TensorBase) and not _asked(other):
            return NotImplemented
        try:
            return function(other, self) if reflected else function(self, other)
        except NoOverride:
            return NotImplemented

    return method


def _equal(self: Any, other: Any) -> Any:
    """``self == other``: the one comparison that PyTorch lets a NumPy array take part in."""
    if isinstance(other, np.ndarray):
        other = ops.from_numpy(other)
    try:
        return ops.eq(self, other) if isinstance(other, _OPERANDS) or _asked(other) else NotImplemented
    except NoOverride:
        return NotImplemented


class Operators(TensorBase):
    """The operators of a Tensor."""

    __slots__ = ()

    __add__, __radd__, __iadd__ = _operator(ops.add), _operator(ops.add), _operator(ops.add_)
    __sub__, __rsub__, __isub__ = _operator(ops.sub), _operator(ops.rsub), _operator(ops.sub_)
    __mul__, __rmul__, __imul__ = _operator(ops.mul), _operator(ops.mul), _operator(mul_)
    __truediv__, __rtruediv__, __itruediv__ = _operator(ops.div), _reflected(ops.div), _operator(ops.div_)
    __div__, __rdiv__, __idiv__ = __truediv__, __rtruediv__, __itruediv__
    __floordiv__, __rfloordiv__ = _operator(ops.floor_divide), _reflected(ops.floor_divide)
    __ifloordiv__ = _operator(ops.floor_divide_)
    __mod__, __rmod__, __imod__ = _operator(ops.remainder), _reflected(ops.remainder), _operator(remainder_)
    __pow__, __rpow__, __ipow__ = _operator(ops.pow), _reflected(ops.pow), _operator(pow_)
    __matmul__, __rmatmul__ = _of_tensors(product_of_tensors), _of_tensors(product_of_tensors, reflected=True)

    __and__, __rand__, __iand__ = _operator(ops.bitwise_and), _operator(ops.bitwise_and), _operator(bitwise_and_)
    __or__, __ror__, __ior__ = _operator(ops.bitwise_or), _operator(ops.bitwise_or), _operator(bitwise_or_)
    __xor__, __rxor__, __ixor__ = _operator(ops.bitwise_xor), _operator(ops.bitwise_xor), _operator(bitwise_xor_)
    __lshift__, __rlshift__ = _operator(ops.bitwise_left_shift), _reflected(ops.bitwise_left_shift)
    __rshift__, __rrshift__ = _operator(ops.bitwise_right_shift), _reflected(ops.bitwise_right_shift)
    __ilshift__ = _operator(bitwise_left_shift_)
    __irshift__ = _operator(bitwise_right_shift_)

    __eq__, __ne__ = _equal, _operator(ops.ne)  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = _operator(ops.lt), _operator(ops.le), _operator(ops.gt), _operator(ops.ge)

    __neg__, __pos__, __abs__ = ops.neg, ops.positive, ops.abs
    __getitem__, __setitem__ = ops.getitem, ops.setitem

    def __invert__(self) -> Any:
        if self._layout.dtype.category > INTEGER:
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return ops.bitwise_not(self)  # type: ignore[arg-type]

    def __delitem__(self, index: Any) -> None:
        raise TypeError("Tensor does not support deleting items")

    __hash__ = object.__hash__  # by identity, and without a call of Python's: optimizers look tensors up at each step
