"""Hooks on modules: the global registries, and the module call that runs hooks."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..tensor import Tensor
from ..utils.hooks import BackwardHook, RemovableHandle

if TYPE_CHECKING:
    from .module import Module

Hook = Callable[..., Any]

# Filled once and never rebound: other modules hold references to these dictionaries.
buffer_registration_hooks: OrderedDict[int, Hook] = OrderedDict()
module_registration_hooks: OrderedDict[int, Hook] = OrderedDict()
parameter_registration_hooks: OrderedDict[int, Hook] = OrderedDict()
forward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
forward_hooks: OrderedDict[int, Hook] = OrderedDict()
forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
backward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
full_backward_hooks: OrderedDict[int, Hook] = OrderedDict()
grad_fn_backward_hooks: OrderedDict[int, Hook] = OrderedDict()


def _register(hooks: OrderedDict[int, Hook], hook: Hook) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at each buffer registration; a result replaces the buffer."""
    return _register(buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` at each submodule registration; a result replaces the submodule."""
    return _register(module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` at each parameter registration; a result replaces the parameter."""
    return _register(parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, args)`` before every module's forward; a result replaces the arguments."""
    return _register(forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every module's forward; a result replaces the output.

    >>> names = []
    >>> handle = nn.modules.module.register_module_forward_hook(lambda m, args, output: names.append(type(m).__name__))
    >>> with handle:
    ...     _ = nn.Sequential(nn.Linear(1, 1))(torch.zeros(1))
    >>> names
    ['Linear', 'Sequential']
    """
    handle = RemovableHandle(forward_hooks, extra_dict=[forward_hooks_with_kwargs, forward_hooks_always_called])
    forward_hooks[handle.id] = hook
    if with_kwargs:
        forward_hooks_with_kwargs[handle.id] = True
    if always_call:
        forward_hooks_always_called[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` before every module's backward; a result replaces the gradients."""
    return _register(backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` after every module's backward; a result replaces ``grad_input``."""
    return _register_global_backward(full_backward_hooks, grad_fn_backward_hooks, hook)


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """The older form of :func:`register_module_full_backward_hook`: it sees the gradients of the last node only."""
    return _register_global_backward(grad_fn_backward_hooks, full_backward_hooks, hook)


def _register_global_backward(
    hooks: OrderedDict[int, Hook], other_kind: OrderedDict[int, Hook], hook: Hook
) -> RemovableHandle:
    if other_kind:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. "
            "Please use only one of them."
        )
    return _register(hooks, hook)


class WrappedHook:
    """A hook bound to its module by a weak reference, so that the module's own dictionary may hold it."""

    def __init__(self, hook: Hook, module: Module | None = None) -> None:
        self.hook = hook
        self.__name__ = getattr(hook, "__name__", type(hook).__name__)
        self.module = None if module is None else weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.module is None:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = {"hook": self.hook, "with_module": self.module is not None}
        if self.module is not None:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        module = None
        if state["with_module"]:
            module = state["module"]
            if module is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
        WrappedHook.__init__(self, state["hook"], module)


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` between its hooks: pre-hooks, forward, forward hooks, global ones first each time."""
    called: set[int] = set()
    result: Any = None
    try:
        args, kwargs = _run_forward_pre_hooks(module, args, kwargs)
        backward_hook = None
        full_hooks = [
            *full_backward_hooks.values(),
            *(module._is_full_backward_hook and module._backward_hooks or {}).values(),
        ]
        pre_hooks = [*backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
        if full_hooks or pre_hooks:
            backward_hook = BackwardHook(module, full_hooks, pre_hooks)
            args = backward_hook.setup_input_hook(args)
        result = module.forward(*args, **kwargs)
        for hook_id, hook, with_kwargs, _ in _forward_hooks_of(module):
            called.add(hook_id)
            replacement = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if replacement is not None:
                result = replacement
        if backward_hook is not None:
            if not isinstance(result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                    f"received {type(result)}",
                    stacklevel=3,
                )
            result = backward_hook.setup_output_hook(result)
        _register_grad_fn_hooks(module, args, result)
        return result
    except Exception:
        _run_always_called_hooks(module, args, kwargs, result, called)
        raise


def _run_forward_pre_hooks(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook_id, hook in (*forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
        if hook_id in module._forward_pre_hooks_with_kwargs:
            replacement = hook(module, args, kwargs)
            if replacement is None:
                continue
            if not (isinstance(replacement, tuple) and len(replacement) == 2):
                raise RuntimeError(
                    f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replacement}."
                )
            args, kwargs = replacement
        else:
            replacement = hook(module, args)
            if replacement is not None:
                args = replacement if isinstance(replacement, tuple) else (replacement,)
    return args, kwargs


def _forward_hooks_of(module: Module) -> list[tuple[int, Hook, bool, bool]]:
    """Each forward hook as (id, hook, with kwargs, always called), global ones first."""
    own = module._forward_hooks_with_kwargs, module._forward_hooks_always_called
    everywhere = forward_hooks_with_kwargs, forward_hooks_always_called
    return [
        (hook_id, hook, hook_id in with_kwargs, hook_id in always)
        for hooks, (with_kwargs, always) in ((forward_hooks, everywhere), (module._forward_hooks, own))
        for hook_id, hook in hooks.items()
    ]


def _run_always_called_hooks(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, called: set[int]
) -> None:
    """After an error: run the ``always_call`` hooks that have not run, turning their own errors into warnings."""
    for hook_id, hook, with_kwargs, always in _forward_hooks_of(module):
        if not always or hook_id in called:
            continue
        try:
            replacement = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if replacement is not None:
                result = replacement
        except Exception as error:  # noqa: BLE001
            kind = "global module" if hook_id in forward_hooks else "module"
            warnings.warn(
                f"{kind} forward hook with ``always_call=True`` raised an exception that was silenced as another "
                f"error was raised in forward: {error}",
                stacklevel=4,
            )


def _register_grad_fn_hooks(module: Module, args: tuple[Any, ...], result: Any) -> None:
    """The older backward hooks, put on the autograd node of the first output."""
    hooks = [*grad_fn_backward_hooks.values()]
    if module._is_full_backward_hook is False:
        hooks += module._backward_hooks.values()
    if not hooks:
        return
    output = result
    while not isinstance(output, Tensor):
        if isinstance(output, dict):
            output = next(value for value in output.values() if isinstance(value, Tensor))
        else:
            output = output[0]
    if output.grad_fn is None:
        return
    for hook in hooks:
        output.grad_fn.register_hook(WrappedHook(hook, module))
    problem = _partial_gradients(args, result, output.grad_fn)
    if problem is not None:
        warnings.warn(problem, FutureWarning, stacklevel=4)


def _partial_gradients(inputs: Any, result: Any, grad_fn: Any) -> str | None:
    """Which gradients a hook on ``grad_fn`` will not see, as PyTorch's warning, or None."""
    use_full = " Please use register_full_backward_hook to get the documented behavior."
    nested = (
        "Using non-full backward hooks on a Module that does not {} a single Tensor or a tuple of Tensors is deprecated "
        "and will be removed in future versions. This hook will be missing some of the grad_{}." + use_full
    )
    results = (result,) if isinstance(result, Tensor) else result
    if not (isinstance(results, tuple) and all(isinstance(item, Tensor) for item in results)):
        return nested.format("return", "output")
    if not all(isinstance(item, Tensor) for item in inputs):
        return nested.format("take as input", "input")
    output_nodes = {item.grad_fn for item in results if item.grad_fn is not None}
    if grad_fn not in output_nodes:
        return (
            "Using a non-full backward hook when outputs are nested in python data structure is deprecated and will be "
            "removed in future versions. This hook will be missing some grad_output."
        )
    if len(output_nodes) > 1:
        return (
            "Using a non-full backward hook when outputs are generated by different autograd Nodes is deprecated and "
            "will be removed in future versions. This hook will be missing some grad_output." + use_full
        )
    input_nodes = {item.grad_fn for item in inputs if item.grad_fn is not None}
    if input_nodes != {node for node, _ in grad_fn.next_functions}:
        return (
            "Using a non-full backward hook when the forward contains multiple autograd Nodes is deprecated and will "
            "be removed in future versions. This hook will be missing some grad_input." + use_full
        )
    return None
