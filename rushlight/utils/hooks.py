"""Handles that remove hooks, and the autograd hooks behind ``Module.register_full_backward_hook``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from ..autograd import Function, is_grad_enabled
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..nn.module import Module


class RemovableHandle:
    """Removes one hook from the dictionary that it was registered in; as a context manager, on exit.

    >>> layer = nn.Linear(2, 1)
    >>> handle = layer.register_forward_hook(lambda module, args, output: output * 0)
    >>> handle.remove()
    >>> len(layer._forward_hooks)
    0
    """

    id: int
    next_id: int = 0

    def __init__(self, hooks_dict: dict[int, Any], *, extra_dict: Any = None) -> None:
        self.hooks_dict = hooks_dict
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extra_dicts = [] if extra_dict is None else [extra_dict] if isinstance(extra_dict, dict) else extra_dict
        self.extra_dicts: tuple[dict[int, Any], ...] = tuple(extra_dicts)

    def remove(self) -> None:
        """Remove the hook; removing it twice does nothing.

        >>> handle = nn.Linear(2, 1).register_forward_hook(print)
        >>> handle.remove(); handle.remove()
        """
        for hooks in (self.hooks_dict, *self.extra_dicts):
            hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.hooks_dict, self.id, self.extra_dicts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # PyTorch writes None for a dictionary that no longer exists.
        hooks_dict, self.id, *rest = state
        self.hooks_dict = {} if hooks_dict is None else hooks_dict
        self.extra_dicts = tuple(extra for extra in (rest[0] if rest and rest[0] else ()) if extra is not None)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def unserializable_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a tensor hook as one whose loss on saving needs no warning."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


class _HookPoint(Function):
    """The identity on several tensors at once: one autograd node for hooks to sit on."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.mark_non_differentiable(*[tensor for tensor in tensors if not tensor.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        return grad_outputs


def _spread(positions: Sequence[int], values: Sequence[Any], size: int) -> tuple[Any, ...]:
    """A tuple of ``size`` Nones with each value at its position."""
    result: list[Any] = [None] * size
    for position, value in zip(positions, values, strict=True):
        result[position] = value
    return tuple(result)


class BackwardHook:
    """One module call's full backward hooks.

    The inputs and the outputs of the call each pass through one identity node. The output node sees the gradient of the
    outputs first and runs the pre-hooks; the input node sees the gradient of the inputs last and runs the hooks.
    """

    def __init__(
        self, module: Module, user_hooks: Sequence[Callable[..., Any]], user_pre_hooks: Sequence[Callable[..., Any]]
    ) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.n_outputs = -1
        self.output_positions: list[int] | None = None
        self.n_inputs = -1
        self.input_positions: list[int] | None = None

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with their tensors passed through the input node."""
        self.n_inputs = len(args)
        hooked, self.input_positions = self._through_hook_point(args, self._on_input_grads)
        return hooked

    def setup_output_hook(self, result: Any) -> Any:
        """The result (a tensor or a tuple), with its tensors passed through the output node."""
        outputs = result if isinstance(result, tuple) else (result,)
        self.n_outputs = len(outputs)
        hooked, self.output_positions = self._through_hook_point(outputs, self._on_output_grads)
        return hooked if isinstance(result, tuple) else hooked[0]

    @staticmethod
    def _through_hook_point(
        args: tuple[Any, ...], node_hook: Callable[[Any, Any], Any]
    ) -> tuple[tuple[Any, ...], list[int] | None]:
        positions = [position for position, arg in enumerate(args) if isinstance(arg, Tensor)]
        if not (is_grad_enabled() and any(args[position].requires_grad for position in positions)):
            return args, None
        hooked = _HookPoint.apply(*[args[position] for position in positions])
        node = next(tensor.grad_fn for tensor in hooked if tensor.grad_fn is not None)
        node.register_hook(node_hook)
        new_args = list(args)
        for position, tensor in zip(positions, hooked, strict=True):
            new_args[position] = tensor
        return (tuple(new_args) if type(args) is tuple else type(args)(*new_args)), positions

    def _on_output_grads(self, _: Any, grad_output: Sequence[Any]) -> tuple[Any, ...] | None:
        assert self.output_positions is not None
        self.grad_outputs = _spread(self.output_positions, grad_output, self.n_outputs)
        for pre_hook in self.user_pre_hooks:
            replacement = pre_hook(self.module, self.grad_outputs)
            if replacement is None:
                continue
            if len(replacement) != self.n_outputs:
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, "
                    f"got {len(replacement)}, but expected {self.n_outputs}"
                )
            self.grad_outputs = replacement
        grad_outputs = self.grad_outputs
        if self.input_positions is None:
            self._run_hooks_without_input_grads()
        return tuple(grad_outputs[position] for position in self.output_positions)

    def _run_hooks_without_input_grads(self) -> None:
        import warnings

        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
            "require gradients. See "
            "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook "
            "for more details.",
            stacklevel=6,
        )
        for hook in self.user_hooks:
            result = hook(self.module, (None,) * self.n_inputs, self.grad_outputs)
            if result is not None and not (isinstance(result, tuple) and all(grad is None for grad in result)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for "
                    "all gradients."
                )
        self.grad_outputs = None

    def _on_input_grads(self, grad_input: Sequence[Any], _: Any) -> tuple[Any, ...] | None:
        # The module's output took no part in this backward: nothing has set the outputs' gradients.
        if self.grad_outputs is None:
            return None
        assert self.input_positions is not None
        grads = _spread(self.input_positions, grad_input, self.n_inputs)
        for hook in self.user_hooks:
            replacement = hook(self.module, grads, self.grad_outputs)
            if replacement is None:
                continue
            if len(replacement) != len(grads):
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, "
                    f"got {len(replacement)}, but expected {len(grads)}"
                )
            grads = replacement
        self.grad_outputs = None
        return tuple(grads[position] for position in self.input_positions)
