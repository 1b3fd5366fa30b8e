"""What programs may see and change of the graph, `torch.autograd.graph`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..graph import Node as Node, grad_state


class saved_tensors_hooks:
    """Inside the block, each tensor saved for backward is kept as ``pack_hook(tensor)`` and restored by ``unpack_hook``.

    >>> x = torch.tensor(3., requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True), torch.from_numpy):
    ...     y = x.exp()
    >>> torch.autograd.grad(y, x)
    (tensor(20.0855),)
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if grad_state.saved_hooks_error is not None:
            raise RuntimeError(grad_state.saved_hooks_error)
        grad_state.saved_hooks = (*grad_state.saved_hooks, (self.pack_hook, self.unpack_hook))

    def __exit__(self, *exc: object) -> None:
        grad_state.saved_hooks = grad_state.saved_hooks[:-1]


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside the block, entering `saved_tensors_hooks` raises a RuntimeError with this message.

    >>> with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     with torch.autograd.graph.save_on_cpu():
    ...         pass
    Traceback (most recent call last):
    RuntimeError: not here
    """
    if grad_state.saved_hooks:
        raise RuntimeError(error_message)
    before, grad_state.saved_hooks_error = grad_state.saved_hooks_error, error_message
    try:
        yield
    finally:
        grad_state.saved_hooks_error = before
