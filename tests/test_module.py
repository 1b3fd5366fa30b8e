"""nn.Module and its containers keep PyTorch's rules: registration, traversal, state, hooks, conversion, printing.

Expected messages and texts were recorded from PyTorch 2.13.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import hooks as global_hooks


class Scale(nn.Module):
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]))
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Scale(3.0)
        self.rest = nn.ModuleList([Scale(5.0), Scale(7.0)])

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for module in self.rest:
            x = module(x)
        return x


def message(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__, str(caught.value.args[0])


def assign(module: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(module, name, value)


def test_members_are_listed_in_order_of_registration_own_ones_first() -> None:
    model = Pair()
    assert [name for name, _ in model.named_parameters()] == ["first.factor", "rest.0.factor", "rest.1.factor"]
    assert [name for name, _ in model.named_buffers()][:2] == ["first.calls", "first.scratch"]
    assert [name for name, _ in model.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [name for name, _ in model.named_children()] == ["first", "rest"]
    assert list(model.state_dict()) == [
        f"{path}.{name}" for path in ("first", "rest.0", "rest.1") for name in ("factor", "calls")
    ]


def test_shared_members_are_listed_once_but_saved_under_every_name() -> None:
    model = Pair()
    model.rest[1] = model.first
    model.rest[0].factor = model.first.factor
    assert [name for name, _ in model.named_parameters()] == ["first.factor"]
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == [
        "first.factor",
        "rest.0.factor",
        "rest.1.factor",
    ]
    assert len(list(model.modules())) == 4
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == [
        "",
        "first",
        "rest",
        "rest.0",
        "rest.1",
    ]
    assert {"first.factor", "rest.0.factor", "rest.1.factor"} <= set(model.state_dict())


def test_prefix_and_recurse_select_what_is_listed() -> None:
    model = Pair()
    assert [name for name, _ in model.first.named_parameters(prefix="net")] == ["net.factor"]
    assert list(model.parameters(recurse=False)) == []
    assert [name for name, _ in model.named_modules(prefix="net")][1] == "net.first"


def test_assignment_moves_a_name_between_kinds_of_members() -> None:
    model = Scale()
    model.factor = None
    assert model._parameters == {"factor": None} and list(model.parameters()) == []
    del model.factor
    model.factor = nn.Linear(1, 1)
    assert "factor" in model._modules and "factor" not in model._parameters
    model.factor = nn.Parameter(torch.ones(1))
    assert "factor" in model._parameters and "factor" not in model._modules
    model.plain = 3
    model.plain = nn.Parameter(torch.ones(1))
    assert "plain" not in model.__dict__
    model.scratch = torch.ones(1)
    assert model._buffers["scratch"] is model.scratch and "scratch" not in model.state_dict()
    model.calls = None
    assert "calls" in model._buffers and "calls" not in model.state_dict()


def test_buffer_objects_register_themselves() -> None:
    model = nn.Module()
    model.kept = nn.Buffer(torch.ones(1))
    model.dropped = nn.Buffer(torch.ones(1), persistent=False)
    assert [name for name, _ in model.named_buffers()] == ["kept", "dropped"]
    assert list(model.state_dict()) == ["kept"]
    assert not model.kept.requires_grad and isinstance(model.kept, torch.Tensor)


class AssignsFirst(nn.Module):
    def __init__(self, value: Any) -> None:
        self.value = value


class RegistersFirst(nn.Module):
    def __init__(self, kind: str) -> None:
        getattr(self, f"register_{kind}")("value", None)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: AssignsFirst(nn.Parameter(torch.zeros(1))),
            "AttributeError",
            "cannot assign parameters before Module.__init__() call",
        ),
        (lambda: AssignsFirst(nn.ReLU()), "AttributeError", "cannot assign module before Module.__init__() call"),
        (
            lambda: AssignsFirst(nn.Buffer(torch.zeros(1))),
            "AttributeError",
            "cannot assign buffer before Module.__init__() call",
        ),
        (lambda: RegistersFirst("buffer"), "AttributeError", "cannot assign buffer before Module.__init__() call"),
        (
            lambda: RegistersFirst("parameter"),
            "AttributeError",
            "cannot assign parameter before Module.__init__() call",
        ),
        (lambda: nn.Module(a=1), "TypeError", "Module.__init__() got an unexpected keyword argument 'a'"),
        (lambda: nn.Module(1, 2), "TypeError", "Module.__init__() takes 1 positional argument but 3 were given"),
        (
            lambda: nn.Module()(1),
            "NotImplementedError",
            'Module [Module] is missing the required "forward" function',
        ),
        (lambda: Scale().nothing, "AttributeError", "'Scale' object has no attribute 'nothing'"),
        (
            assign(Scale(), "factor", torch.zeros(1)),
            "TypeError",
            "cannot assign 'torch.FloatTensor' as parameter 'factor' (torch.nn.Parameter or None expected)",
        ),
        (
            assign(Pair(), "first", 3),
            "TypeError",
            "cannot assign 'int' as child module 'first' (torch.nn.Module or None expected)",
        ),
        (
            assign(Scale(), "calls", 3),
            "TypeError",
            "cannot assign 'int' as buffer 'calls' (torch.nn.Buffer, torch.Tensor or None expected)",
        ),
        (lambda: Scale().add_module("factor", nn.ReLU()), "KeyError", "attribute 'factor' already exists"),
        (lambda: Scale().add_module("a.b", nn.ReLU()), "KeyError", 'module name can\'t contain ".", got: a.b'),
        (lambda: Scale().add_module("", nn.ReLU()), "KeyError", 'module name can\'t be empty string ""'),
        (lambda: Scale().add_module("x", 3), "TypeError", "int is not a Module subclass"),
        (lambda: Scale().add_module(3, nn.ReLU()), "TypeError", "module name should be a string. Got int"),
        (lambda: Scale().register_buffer("a.b", None), "KeyError", 'buffer name can\'t contain "."'),
        (lambda: Scale().register_buffer("forward", None), "KeyError", "attribute 'forward' already exists"),
        (
            lambda: Scale().register_buffer("x", "text"),
            "TypeError",
            "cannot assign 'str' object to buffer 'x' (torch Tensor or None required)",
        ),
        (
            lambda: Scale().register_parameter("x", torch.zeros(1)),
            "TypeError",
            "cannot assign 'torch.FloatTensor' object to parameter 'x' (torch.nn.Parameter or None required)",
        ),
        (lambda: Scale().get_submodule("x"), "AttributeError", "Scale has no attribute `x`"),
        (lambda: Scale().get_submodule("factor"), "AttributeError", "`factor` is not an nn.Module"),
        (lambda: Scale().get_parameter("calls"), "AttributeError", "`calls` is not an nn.Parameter"),
        (lambda: Scale().get_buffer("factor"), "AttributeError", "`factor` is not a buffer"),
        (
            lambda: Scale().set_submodule("", nn.ReLU()),
            "ValueError",
            "Cannot set the submodule without a target name!",
        ),
        (lambda: Scale().set_submodule("x", nn.ReLU(), strict=True), "AttributeError", "Scale has no attribute `x`"),
        (lambda: Scale().train(1), "ValueError", "training mode is expected to be boolean"),
        (
            lambda: Scale().to(torch.int32),
            "TypeError",
            "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int32",
        ),
        (
            lambda: nn.Parameter(torch.zeros(1, dtype=torch.int64)),
            "RuntimeError",
            "Only Tensors of floating point and complex dtype can require gradients",
        ),
    ],
)
def test_misuse_raises_what_pytorch_raises(call: Callable[[], Any], error: str, text: str) -> None:
    assert message(call) == (error, text)


def test_members_are_found_by_dotted_path() -> None:
    model = Pair()
    assert model.get_submodule("") is model
    assert model.get_submodule("rest.1") is model.rest[1]
    assert model.get_parameter("rest.0.factor") is model.rest[0].factor
    assert model.get_buffer("first.calls") is model.first.calls
    model.set_submodule("rest.0", nn.Identity())
    assert isinstance(model.rest[0], nn.Identity)


def test_dir_lists_members_but_no_positions() -> None:
    names = dir(nn.Sequential(Scale()))
    assert "forward" in names and "0" not in names
    assert {"factor", "calls", "training"} <= set(dir(Scale()))


def test_apply_visits_children_before_parents() -> None:
    seen: list[str] = []
    model = Pair()
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Scale", "Scale", "Scale", "ModuleList", "Pair"]


def test_train_and_eval_reach_every_module_and_return_self() -> None:
    model = Pair()
    assert model.eval() is model and not any(module.training for module in model.modules())
    assert model.train() is model and all(module.training for module in model.modules())


def test_zero_grad_drops_or_zeroes_and_requires_grad_freezes() -> None:
    model = Scale()
    model(torch.ones(1)).sum().backward()
    grad = model.factor.grad
    model.zero_grad(set_to_none=False)
    assert model.factor.grad is grad and grad.item() == 0
    model.zero_grad()
    assert model.factor.grad is None
    assert model.requires_grad_(False) is model and not model.factor.requires_grad


def test_a_parameter_is_a_leaf_tensor_that_shares_memory() -> None:
    data = torch.zeros(2)
    parameter = nn.Parameter(data)
    assert isinstance(parameter, torch.Tensor) and parameter.is_leaf and parameter.requires_grad
    data[0] = 4.0
    assert parameter.tolist() == [4.0, 0.0]
    assert repr(parameter) == "Parameter containing:\ntensor([4., 0.], requires_grad=True)"
    assert repr(nn.Parameter(torch.ones(1), requires_grad=False)) == "Parameter containing:\ntensor([1.])"
    assert type(parameter + 1) is torch.Tensor
    duplicate = copy.deepcopy(parameter)
    assert type(duplicate) is nn.Parameter and duplicate.tolist() == [4.0, 0.0] and duplicate is not parameter
    assert nn.Parameter().shape == (0,)


def test_an_uninitialized_parameter_takes_its_shape_once() -> None:
    parameter = nn.UninitializedParameter()
    assert repr(parameter) == "<UninitializedParameter>" and nn.parameter.is_lazy(parameter)
    assert message(lambda: parameter.shape)[1].startswith("Can't access the shape of an uninitialized parameter")
    parameter.materialize((2, 3))
    assert type(parameter) is nn.Parameter and parameter.shape == (2, 3)


def test_conversion_keeps_parameters_and_skips_integers() -> None:
    model = Scale()
    model.register_buffer("steps", torch.zeros(1, dtype=torch.int64))
    factor = model.factor
    model(torch.ones(1)).sum().backward()
    assert model.double() is model
    assert model.factor is factor and factor.dtype == torch.float64 and factor.grad.dtype == torch.float64
    assert model.calls.dtype == torch.float64 and model.steps.dtype == torch.int64
    assert model.to(torch.zeros(1)).factor.dtype == torch.float32
    assert model.to("cpu", torch.float64).factor.dtype == torch.float64
    assert model.to(device="cpu", dtype=torch.float32).factor.dtype == torch.float32
    assert model.bfloat16().factor.dtype == torch.bfloat16
    assert model.type(torch.float32).steps.dtype == torch.float32


def test_state_dict_shares_memory_and_carries_versions() -> None:
    model = Pair()
    state = model.state_dict()
    assert not state["first.factor"].requires_grad
    assert model.state_dict(keep_vars=True)["first.factor"] is model.first.factor
    state["first.factor"].fill_(9.0)
    assert model.first.factor.item() == 9.0
    assert state._metadata["rest.1"] == {"version": 1}
    assert list(model.first.state_dict(prefix="net.")) == ["net.factor", "net.calls"]
    destination: dict[str, Any] = {}
    assert model.first.state_dict(destination=destination) is destination and list(destination) == ["factor", "calls"]
    with pytest.warns(FutureWarning, match="Positional args are being deprecated"):
        assert list(model.first.state_dict({}, "old.")) == ["old.factor", "old.calls"]


def test_load_copies_in_place_or_assigns() -> None:
    source, target = Scale(2.0), Scale(4.0)
    factor = target.factor
    keys = target.load_state_dict(source.state_dict())
    assert repr(keys) == "<All keys matched successfully>"
    assert target.factor is factor and factor.item() == 2.0
    loaded = {"factor": torch.tensor([6.0]), "calls": torch.ones(1)}
    target.load_state_dict(loaded, assign=True)
    assert target.factor is not factor and isinstance(target.factor, nn.Parameter) and target.factor.requires_grad
    assert target.calls is loaded["calls"]


def test_load_lists_every_problem_in_one_message() -> None:
    state = Pair().state_dict()
    state["first.factor"] = torch.zeros(2, 3)
    state["first.more.deep"] = state.pop("rest.0.calls")
    state["other"] = torch.zeros(1)
    assert message(lambda: Pair().load_state_dict(state)) == (
        "RuntimeError",
        "Error(s) in loading state_dict for Pair:\n"
        '\tMissing key(s) in state_dict: "rest.0.calls". \n'
        '\tUnexpected key(s) in state_dict: "other", "first.more.deep". \n'
        "\tsize mismatch for first.factor: copying a param with shape torch.Size([2, 3]) from checkpoint, "
        "the shape in current model is torch.Size([1]).",
    )
    del state["first.factor"]
    keys = Pair().load_state_dict(state, strict=False)
    assert keys.missing_keys == ["first.factor", "rest.0.calls"]
    assert repr(keys).startswith("_IncompatibleKeys(missing_keys=['first.factor'")
    assert message(lambda: Pair().load_state_dict(3))[1] == "Expected state_dict to be dict-like, got <class 'int'>."
    assert (
        "expected torch.Tensor or Tensor-like object from checkpoint but received <class 'int'>"
        in (message(lambda: Scale().load_state_dict({"factor": 3, "calls": torch.zeros(1)}))[1])
    )


class WithExtra(nn.Module):
    extra: Any = None

    def get_extra_state(self) -> Any:
        return {"answer": 42}

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


def test_extra_state_is_saved_and_loaded_under_its_key() -> None:
    model = WithExtra()
    assert model.state_dict() == {"_extra_state": {"answer": 42}}
    model.load_state_dict({"_extra_state": 7})
    assert model.extra == 7
    assert 'Missing key(s) in state_dict: "_extra_state"' in message(lambda: model.load_state_dict({}))[1]
    assert (
        'Unexpected key(s) in state_dict: "_extra_state"'
        in (message(lambda: nn.Module().load_state_dict({"_extra_state": 1}))[1])
    )


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


def test_an_error_names_the_module_that_raised_it_once() -> None:
    class Fails(nn.Module):
        def forward(self, x: Any) -> None:
            raise ValueError("no")

    model = Pair()
    model.rest[1] = nn.Sequential(nn.Identity(), Fails())
    outer = nn.Sequential(model)
    for hook in (None, lambda *args: None):
        if hook is not None:
            model.register_forward_hook(hook)
        with pytest.raises(ValueError, match="no") as caught:
            outer(torch.ones(1))
        assert caught.value.__notes__ == ["in module: Sequential.0.rest.1.1 (Fails)"]
    with pytest.raises(ValueError, match="no") as caught:
        model.rest[1][1](torch.ones(1))
    assert caught.value.__notes__ == ["in module: Fails"]
    assert pickle.loads(pickle.dumps(caught.value)).__notes__ == ["in module: Fails"]


def test_repr_indents_children_and_folds_equal_neighbours() -> None:
    class Shown(nn.Module):
        def extra_repr(self) -> str:
            return "a=1"

    assert repr(Shown()) == "Shown(a=1)"
    assert repr(nn.Module()) == "Module()"
    model = Shown()
    model.inner = nn.ModuleList([Shown(), Shown(), nn.Sequential(nn.ReLU())])
    assert repr(model) == (
        "Shown(\n  a=1\n  (inner): ModuleList(\n    (0-1): 2 x Shown(a=1)\n"
        "    (2): Sequential(\n      (0): ReLU()\n    )\n  )\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_copies_and_pickles_are_independent_and_equal() -> None:
    model = Pair()
    model.extra = {"kept": 1}
    for duplicate in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert duplicate.extra == {"kept": 1} and list(duplicate.state_dict()) == list(model.state_dict())
        assert type(duplicate.first.factor) is nn.Parameter and duplicate.first.factor.requires_grad
        duplicate.first.factor.data.fill_(0.0)
    assert model.first.factor.item() == 3.0


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


def test_sequential_is_a_list_of_modules() -> None:
    a, b, c = nn.Identity(), nn.ReLU(), Scale()
    model = nn.Sequential(OrderedDict(first=a, second=b))
    assert model.first is a and model[-1] is b and len(model) == 2 and list(model) == [a, b]
    assert list(model[1:]._modules) == ["second"]
    model = nn.Sequential(a, b)
    assert model.append(c) is model and model(torch.tensor([-1.0])).item() == 0.0
    assert model.pop(1) is b and list(model._modules) == ["0", "1"] and model[1] is c
    assert list(model.insert(0, b)) == [b, a, c] and list(model.insert(-1, c)) == [b, a, c, c]
    assert list(nn.Sequential(a) + nn.Sequential(b)) == [a, b]
    assert list(nn.Sequential(a, b) * 2) == [a, b, a, b] == list(2 * nn.Sequential(a, b))
    model = nn.Sequential(a)
    model += nn.Sequential(b)
    model *= 2
    assert list(model) == [a, b, a, b]
    del model[1:3]
    assert list(model) == [a, b] and list(model._modules) == ["0", "1"]
    model[0] = c
    assert model[0] is c
    assert message(lambda: model[5]) == ("IndexError", "index 5 is out of range")
    assert message(lambda: model.insert(7, a)) == ("IndexError", "Index out of range: 7")
    assert message(lambda: model + [1])[1] == (
        "add operator supports only objects of Sequential class, but <class 'list'> is given."
    )
    assert message(lambda: model * 0)[0] == "ValueError" and message(lambda: model * "a")[0] == "TypeError"


def test_module_list_is_a_list_of_modules() -> None:
    a, b, c = nn.Identity(), nn.ReLU(), Scale()
    modules = nn.ModuleList([a]) + [b]
    modules += [c]
    assert list(modules) == [a, b, c] and list(modules[1:]) == [b, c] and modules[-1] is c
    modules.insert(1, c)
    assert list(modules) == [a, c, b, c] and modules.pop(0) is a and list(modules._modules) == ["0", "1", "2"]
    del modules[0]
    modules[0] = a
    assert list(modules) == [a, c]
    assert message(lambda: nn.ModuleList(3))[1] == "ModuleList.extend should be called with an iterable, but got int"
    assert message(lambda: modules(1))[0] == "NotImplementedError"


def test_module_dict_is_a_dictionary_of_modules() -> None:
    a, b = nn.Identity(), nn.ReLU()
    modules = nn.ModuleDict({"z": a, "y": b})
    assert list(modules) == ["z", "y"] and modules["y"] is b and "z" in modules and len(modules) == 2
    assert list(modules.items()) == [("z", a), ("y", b)]
    modules.update([("x", a)])
    assert modules.pop("z") is a and list(modules.keys()) == ["y", "x"]
    modules.clear()
    assert len(modules) == 0
    assert message(lambda: nn.ModuleDict([3]))[1] == "ModuleDict update sequence element #0 should be Iterable; isint"
    assert message(lambda: nn.ModuleDict([(1, 2, 3)]))[1] == (
        "ModuleDict update sequence element #0 has length 3; 2 is required"
    )


def test_parameter_list_registers_tensors_and_keeps_other_values() -> None:
    values = nn.ParameterList([torch.zeros(2, 3), 5])
    assert [name for name, _ in values.named_parameters()] == ["0"] and isinstance(values[0], nn.Parameter)
    assert repr(values) == (
        "ParameterList(\n    (0): Parameter containing: [torch.float32 of size 2x3]\n    (1): Object of type: int\n)"
    )
    values += [torch.ones(1)]
    values[1] = torch.ones(4)
    assert len(values) == 3 and len(values[1:]) == 2 and values[-1].item() == 1.0
    assert [tuple(p.shape) for p in values] == [(2, 3), (4,), (1,)]
    assert message(lambda: nn.ParameterList(torch.zeros(2)))[1] == (
        "ParameterList.extend should be called with an iterable, but got Tensor"
    )
    assert message(lambda: values(1)) == ("RuntimeError", "ParameterList should not be called.")


def test_parameter_dict_is_a_dictionary_of_parameters() -> None:
    values = nn.ParameterDict({"b": torch.zeros(2), "a": 5})
    assert list(values.keys()) == ["a", "b"] and list(reversed(values)) == ["b", "a"]
    assert list(nn.ParameterDict(OrderedDict(b=torch.zeros(1), a=1))) == ["b", "a"]
    assert repr(values) == (
        "ParameterDict(\n    (a): Object of type: int\n    (b): Parameter containing: [torch.FloatTensor of size 2]\n)"
    )
    assert values.get("c", 3) == 3 and values.setdefault("c", torch.ones(1)).item() == 1.0
    assert list(values | {"d": 1}) == ["a", "b", "c", "d"]
    values |= {"d": 2}
    assert values.popitem() == ("d", 2) and values.pop("a") == 5 and len(values) == 2
    assert [name for name, _ in values.named_parameters()] == ["b", "c"]
    values.clear()
    assert message(values.popitem) == ("KeyError", "popitem(): dictionary is empty")
    assert message(lambda: nn.ParameterDict({3: 4}))[1].startswith(
        "Index given to ParameterDict cannot be used as a key"
    )
