"""What of `torch.jit` means something to a program that runs as plain Python: annotations for TorchScript, and questions.

TorchScript is deprecated in PyTorch and has no counterpart here, so `script`, `trace`, `load` and `save` are absent.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Final as Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "Final",
    "annotate",
    "export",
    "ignore",
    "is_scripting",
    "is_tracing",
    "script_if_tracing",
    "unused",
]


def _mark(function: F, modifier: str) -> F:
    function._torchscript_modifier = modifier  # type: ignore[attr-defined]
    return function


def export(fn: F) -> F:
    """Mark a method as an entry point for TorchScript; it stays what it is.

    >>> @torch.jit.export
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """
    return _mark(fn, "export (compile this function even if nothing calls it)")


def unused(fn: F) -> F:
    """Mark a function or property that TorchScript should leave out; it stays what it is.

    >>> @torch.jit.unused
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """
    marked: Any = (fn.fget, fn.fset) if isinstance(fn, property) else (fn,)
    for function in filter(None, marked):
        _mark(function, "unused (ignore this function and replace with raising an exception)")
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Mark a function that TorchScript should call as Python; it stays what it is. Used with or without arguments.

    >>> @torch.jit.ignore(drop=False)
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """
    if callable(drop):
        return _mark(drop, "ignore (leave as a call to Python, cannot be torch.jit.save'd)")
    if not isinstance(drop, bool):
        raise RuntimeError(f"Argument to @torch.jit.ignore must be a bool or a function but got {drop}")
    on_export = kwargs.pop("drop_on_export", None)
    if on_export or drop:
        argument = "drop_on_export=True" if on_export else "True"
        warnings.warn(
            f"ignore({argument}) has been deprecated. TorchScript will now drop the function "
            "call on compilation. Use torch.jit.unused now. {}",
            FutureWarning,
            stacklevel=2,
        )
        return unused
    return ignore


def is_scripting() -> bool:
    """Whether TorchScript is compiling the caller: never.

    >>> torch.jit.is_scripting()
    False
    """
    return False


def is_tracing() -> bool:
    """Whether `torch.jit.trace` is recording: never.

    >>> torch.jit.is_tracing()
    False
    """
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """Give `the_value` back; the type is for TorchScript.

    >>> torch.jit.annotate(list[int], [])
    []
    """
    return the_value


def script_if_tracing(fn: F) -> F:
    """A function that TorchScript would compile while tracing, and that is `fn` otherwise.

    >>> @torch.jit.script_if_tracing
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper  # type: ignore[return-value]
