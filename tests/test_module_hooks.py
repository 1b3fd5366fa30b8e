"""Hooks of modules: forward, backward, on registration, on state; when they run and what they may change.

Expected messages were recorded from PyTorch 2.13.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
from small_modules import Scale, message

import rushlight as torch
from rushlight import nn
from rushlight.nn import hooks as global_hooks


def test_state_hooks_run_in_order_and_may_edit() -> None:
    model = nn.Sequential(Scale())
    events: list[str] = []
    model.register_state_dict_pre_hook(lambda module, prefix, keep_vars: events.append("before save"))
    model.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update(added=torch.zeros(1)))

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        assert module is model
        events.append("before load")
        state.pop("added")

    model.register_load_state_dict_pre_hook(rename)
    model.register_load_state_dict_post_hook(lambda module, keys: events.append("after load"))
    state = model.state_dict()
    assert list(state) == ["0.factor", "0.calls", "added"]
    model.load_state_dict(state)
    assert events == ["before save", "before load", "after load"]
    model.register_state_dict_post_hook(lambda *args: {})
    assert message(model.state_dict) == ("RuntimeError", "state_dict post-hook must return None")


def test_forward_hooks_see_and_replace_arguments_and_results() -> None:
    model = Scale(2.0)
    events: list[Any] = []
    model.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    model.register_forward_pre_hook(lambda module, args: events.append("first"), prepend=True)
    handle = model.register_forward_hook(lambda module, args, output: events.append(args[0].item()) or output * 10)
    assert model(torch.zeros(1)).item() == 20.0
    assert events == ["first", 1.0]
    handle.remove()
    handle.remove()
    assert model(torch.zeros(1)).item() == 2.0


def test_hooks_with_kwargs_get_them() -> None:
    class Shift(nn.Module):
        def forward(self, x: Any, *, by: float = 0.0) -> Any:
            return x + by

    model = Shift()
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {"by": kwargs["by"] * 2}), with_kwargs=True
    )
    seen: list[Any] = []
    model.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(kwargs), with_kwargs=True, always_call=True
    )
    assert model(torch.zeros(1), by=3.0).item() == 6.0 and seen == [{"by": 6.0}]
    handle.remove()
    model.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    assert message(lambda: model(torch.zeros(1), by=1.0))[1].startswith(
        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got"
    )


def test_always_called_hooks_run_after_an_error_and_their_own_errors_become_warnings() -> None:
    class Fails(nn.Module):
        def forward(self) -> None:
            raise ValueError("from forward")

    model = Fails()
    seen: list[Any] = []
    model.register_forward_hook(lambda *args: seen.append("plain"))
    model.register_forward_hook(lambda *args: seen.append("always"), always_call=True)
    assert message(model) == ("ValueError", "from forward") and seen == ["always"]

    def fail(*args: Any) -> None:
        raise KeyError("from hook")

    model.register_forward_hook(fail, always_call=True)
    with pytest.warns(UserWarning, match="silenced as another error was raised in forward"), pytest.raises(ValueError):
        model()


def test_global_hooks_run_before_the_modules_own() -> None:
    events: list[str] = []
    model = nn.Sequential(Scale())
    model.register_forward_pre_hook(lambda *args: events.append("own pre"))
    model.register_forward_hook(lambda *args: events.append("own post"))
    with (
        global_hooks.register_module_forward_pre_hook(lambda m, a: events.append(f"pre {type(m).__name__}")),
        global_hooks.register_module_forward_hook(lambda m, a, o: events.append(f"post {type(m).__name__}")),
    ):
        model(torch.ones(1))
    assert events == ["pre Sequential", "own pre", "pre Scale", "post Scale", "post Sequential", "own post"]
    model(torch.ones(1))
    assert len(events) == 8


def test_registration_hooks_may_replace_what_is_registered() -> None:
    seen: list[str] = []
    replacement = nn.Identity()
    with (
        global_hooks.register_module_parameter_registration_hook(lambda m, name, p: seen.append(name)),
        global_hooks.register_module_buffer_registration_hook(lambda m, name, b: seen.append(name)),
        global_hooks.register_module_module_registration_hook(lambda m, name, sub: replacement),
    ):
        model = nn.Module()
        model.child = Scale()
    assert seen == ["factor", "calls", "scratch"] and model.child is replacement


def test_full_backward_hooks_see_and_replace_gradients() -> None:
    model = Scale(2.0)
    seen: dict[str, Any] = {}

    def before(module: Any, grad_output: Any) -> Any:
        seen["output"] = grad_output[0].item()
        return (grad_output[0] * 10,)

    def after(module: Any, grad_input: Any, grad_output: Any) -> Any:
        seen["input"], seen["changed output"] = grad_input[0].item(), grad_output[0].item()
        return (grad_input[0] + 1,)

    model.register_full_backward_pre_hook(before)
    model.register_full_backward_hook(after)
    x = torch.tensor([3.0], requires_grad=True)
    model(x).sum().backward()
    assert seen == {"output": 1.0, "changed output": 10.0, "input": 20.0}
    assert x.grad.item() == 21.0 and model.factor.grad.item() == 30.0


def test_a_full_backward_hook_without_input_gradients_warns_and_gets_none() -> None:
    model = Scale()
    grads: list[Any] = []
    model.register_full_backward_hook(lambda module, grad_input, grad_output: grads.append(grad_input))
    with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed with respect to"):
        model(torch.ones(1)).sum().backward()
    assert grads == [(None,)]


def test_kinds_of_backward_hooks_do_not_mix() -> None:
    model = Scale()
    grads: list[Any] = []
    model.register_backward_hook(lambda module, grad_input, grad_output: grads.append(grad_output[0].item()))
    assert message(lambda: model.register_full_backward_hook(print))[1].startswith(
        "Cannot use both regular backward hooks and full backward hooks on a single Module."
    )
    x = torch.ones(1, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model(x).sum().backward()
    assert grads == [1.0]


def note_module(module: Any, *_: Any) -> None:
    module.noted = True


def test_a_copys_hooks_and_handles_are_its_own() -> None:
    model = Scale()
    model.handle = model.register_forward_hook(note_module)
    model.register_load_state_dict_pre_hook(note_module)
    for duplicate in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        duplicate.load_state_dict(model.state_dict())
        assert duplicate.noted and not hasattr(model, "noted")
        duplicate.handle.remove()
        assert not duplicate._forward_hooks and len(model._forward_hooks) == 1
