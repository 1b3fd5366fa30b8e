"""The exception classes that PyTorch has beside Python's own, and the phrases that many messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class OutOfMemoryError(RuntimeError):
    """Raised when a device has no memory left."""


class NoOverride(TypeError):
    """Raised where every ``__torch_function__`` that was asked has answered NotImplemented; an operator then answers the same."""


# Tracebacks show it as what PyTorch raises.
NoOverride.__name__ = NoOverride.__qualname__ = "TypeError"
NoOverride.__module__ = "builtins"


class LinAlgError(RuntimeError):
    """Raised by linear algebra on a matrix that the algorithm cannot treat, such as a singular one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _linalg_error, self.args


def _linalg_error(*args: Any) -> LinAlgError:
    """Unpickles a LinAlgError, whose shown name is not its place."""
    return LinAlgError(*args)


# Tracebacks show PyTorch's name of the class.
LinAlgError.__name__ = LinAlgError.__qualname__ = "_LinAlgError"
LinAlgError.__module__ = "torch._C"


def sizes(shape: Sequence[int]) -> str:
    """A shape as PyTorch's messages print it: ``[2, 3]``."""
    return "[" + ", ".join(map(str, shape)) + "]"


def dim_out_of_range(dim: int, ndim: int) -> IndexError:
    low, high = -max(ndim, 1), max(ndim, 1) - 1
    return IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")


def type_name(value: Any) -> str:
    """The name of a value's type as C code shows it: with its module only where the type was made in C."""
    kind = type(value)
    made_in_python = kind.__flags__ & (1 << 9)  # Py_TPFLAGS_HEAPTYPE
    return kind.__name__ if made_in_python or kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def is_int(value: Any) -> bool:
    """Whether PyTorch takes a value as an int: no bool, and what says that it is a whole number."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def check_int(function: str, name: str, position: int, value: Any) -> None:
    """Refuse what is no int."""
    if type(value) is not int and not is_int(value):
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be int, not {type_name(value)}")


def check_float(function: str, name: str, position: int, value: Any) -> None:
    """Refuse what is no number."""
    if type(value) is not float and not hasattr(value, "__float__"):
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be float, not {type_name(value)}")
