"""Containers keep the rules of lists and dictionaries. Expected messages were recorded from PyTorch 2.13."""

from __future__ import annotations

from collections import OrderedDict

from small_modules import Scale, message

import rushlight as torch
from rushlight import nn


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
