"""What programs may see and change of the graph, `torch.autograd.graph`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from ..graph import (
    AccumulateGrad,
    GradientEdge as GradientEdge,
    Node as Node,
    edge_of,
    grad_state,
    requires_grad,
    shown,
    written,
)
from ..storage import TensorBase

if TYPE_CHECKING:
    from ..tensor import Tensor


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


class save_on_cpu(saved_tensors_hooks):
    """Inside the block, tensors saved for backward are kept in CPU memory, as copies.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.save_on_cpu():
    ...     y = (x * x).sum()
    >>> torch.autograd.grad(y, x)
    (tensor([2., 2.]),)
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_as_it_is, _as_it_is)


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge to which the gradient of `tensor` goes: `torch.autograd.grad` takes it in place of the tensor.

    >>> x = torch.ones(2, requires_grad=True)
    >>> edge = torch.autograd.graph.get_gradient_edge(x)
    >>> torch.autograd.grad((x * 3).sum(), edge)
    (tensor([3., 3.]),)
    """
    if not requires_grad(tensor):
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    edge = edge_of(tensor)
    return GradientEdge(shown(edge[0]), edge[1]) if type(edge) is tuple else GradientEdge(AccumulateGrad.of(edge), 0)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Say that the values of tensors were changed in a way that autograd could not see.

    >>> x = torch.ones(2)
    >>> torch.autograd.graph.increment_version(x); x._version
    1
    """
    for each in (tensor,) if isinstance(tensor, TensorBase) else tensor:
        if not each._inference:
            written(each, None, False)


class _MultiHandle:
    """Removes the hooks on several tensors."""

    def __init__(self, handles: tuple[Any, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: Literal["all", "any"] = "all"
) -> _MultiHandle:
    """Call ``fn(grads)`` once a backward pass has the gradients of all of `tensors` that it reaches, None for the others.

    With ``mode="any"``, call ``fn(grad)`` with the first of them.

    >>> a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    >>> handle = torch.autograd.graph.register_multi_grad_hook((a, b), lambda grads: print(grads))
    >>> (a * 2 + b).sum().backward()
    [tensor([2., 2.]), tensor([1., 1.])]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    edges = [edge_of(t) for t in tensors]
    # By backward pass: the gradients so far, and how many are to come.
    waiting: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()

    def hook_for(n: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            run = grad_state.backward_pass
            assert run is not None, "expected this hook to be called inside a backward call"
            state = waiting.get(run)
            if mode == "any":
                if state is None:
                    waiting[run] = []
                    fn(grad)
                return
            if state is None:
                state = waiting[run] = [[None] * len(edges), run.reaches(edges)]
            state[0][n] = grad
            state[1] -= 1
            if not state[1]:
                fn(state[0])
                del waiting[run]

        return hook

    return _MultiHandle(tuple(t.register_hook(hook_for(n)) for n, t in enumerate(tensors) if mode == "all" or t.requires_grad))
