"""nn.Module keeps PyTorch's rules: registration, traversal, state, conversion, printing.

Expected messages and texts were recorded from PyTorch 2.13.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from small_modules import Pair, Scale, message

import rushlight as torch
from rushlight import nn


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
