"""Context managers and decorators that say whether operations are recorded for the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .graph import grad_state

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """Sets the grad mode in a ``with`` block or around a function."""

    enabled = False

    def __enter__(self) -> None:
        self.before = grad_state.enabled
        grad_state.enabled = self.enabled

    def __exit__(self, *exc: object) -> None:
        grad_state.enabled = self.before

    def clone(self) -> _Mode:
        """A fresh manager for one call of a decorated function."""
        return type(self)()

    def __call__(self, function: F) -> F:
        import inspect

        if inspect.isgeneratorfunction(function):
            return _around_generator(self, function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _around_generator(mode: _Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator whose body alone runs in the mode, not the code between its steps."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        sent: Any = None
        while True:
            try:
                with mode.clone():
                    value = inner.send(sent)
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
            except GeneratorExit:
                inner.close()
                raise

    return wrapped


class no_grad(_Mode):
    """Do not record operations for the backward pass.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.no_grad():
    ...     print((x * 2).requires_grad)
    False
    """

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)


class enable_grad(_Mode):
    """Record operations for the backward pass, also inside `no_grad`.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.no_grad(), torch.enable_grad():
    ...     print((x * 2).requires_grad)
    True
    """

    enabled = True

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once as a function, for a block as a context manager.

    >>> with torch.set_grad_enabled(False):
    ...     print(torch.is_grad_enabled())
    False
    """

    def __init__(self, mode: bool) -> None:
        self.before = grad_state.enabled
        self.mode = self.enabled = bool(mode)
        grad_state.enabled = self.enabled

    def __enter__(self) -> None:
        grad_state.enabled = self.enabled

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    def clone(self) -> set_grad_enabled:
        return type(self)(self.mode)

    def __call__(self, function: F) -> F:
        grad_state.enabled = self.before
        return super().__call__(function)


class inference_mode(_Mode):
    """Like `no_grad`, and the tensors made inside can never be part of a graph.

    >>> with torch.inference_mode():
    ...     print(torch.ones(1).is_inference())
    True
    """

    def __new__(cls, mode: Any = True) -> Any:
        manager = super().__new__(cls)
        if callable(mode):
            manager.mode = True
            return manager(mode)
        return manager

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self.before_both = grad_state.enabled, grad_state.inference
        grad_state.inference = self.mode
        if self.mode:
            grad_state.enabled = False

    def __exit__(self, *exc: object) -> None:
        grad_state.enabled, grad_state.inference = self.before_both

    def clone(self) -> inference_mode:
        return type(self)(self.mode)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for the backward pass.

    >>> torch.is_grad_enabled()
    True
    """
    return grad_state.enabled


def is_inference_mode_enabled() -> bool:
    """Whether an `inference_mode` block is active.

    >>> torch.is_inference_mode_enabled()
    False
    """
    return grad_state.inference
