"""`torch.compiler`: what goes with `torch.compile`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import tape
from .capture.compiled import BACKENDS, COMPILED, NOT_CAPTURED, compile as compile


def reset() -> None:
    """Forget all that compiled functions have recorded.

    >>> torch.compiler.reset()
    """
    for function in COMPILED:
        function.reset()


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function that is never replayed: what calls it runs on the tape, as without `torch.compile`.

    >>> @torch.compiler.disable
    ... def double(x):
    ...     return x * 2
    >>> torch.compile(double) is double
    True
    """
    if fn is None:
        return lambda fn: disable(fn, recursive, reason=reason)
    function = fn

    @functools.wraps(function)
    def undisturbed(*args: Any, **kwargs: Any) -> Any:
        tape.not_replayed(f"{getattr(function, '__name__', function)} is disabled{f' ({reason})' if reason else ''}")
        return function(*args, **kwargs)

    undisturbed.__dict__[NOT_CAPTURED] = True
    return undisturbed


def is_compiling() -> bool:
    """Whether a compiled function is being recorded.

    >>> torch.compiler.is_compiling()
    False
    """
    return tape.state.capturing is not None


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The names that ``backend`` may have.

    >>> "inductor" in torch.compiler.list_backends()
    True
    """
    return sorted(BACKENDS)
