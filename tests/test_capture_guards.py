"""Guards: whatever a captured function reads in Python is noticed when it changes, in words, and only then."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import gc
import itertools
import random
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture import guards as guards_file
from rushlight.capture.facts import Changed
from rushlight.capture.guards import Guards, Unsupported, Watch
from rushlight.nn import functional as F


def changed(guards: Guards, args: Any, kwargs: Any) -> str | None:
    found = guards.match(args, kwargs)
    return found if isinstance(found, str) else None


class Call:
    """A function that has been run under a watch, with guards made for its arguments."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.watch = Watch()
        with self.watch:
            function(*args, **kwargs)
        self.args, self.kwargs = args, kwargs
        self.guards = Guards(function, args, kwargs, self.watch)
        self.tensors = list(self.guards.tensors)
        assert self.changed(*args, **kwargs) is None

    def changed(self, *args: Any, **kwargs: Any) -> str | None:
        return changed(self.guards, args, kwargs)

    def now(self) -> str | None:
        """What has changed for the arguments given first."""
        return changed(self.guards, self.args, self.kwargs)

    def sources(self, *args: Any, **kwargs: Any) -> list[torch.Tensor]:
        found = self.guards.match(args, kwargs)
        assert not isinstance(found, str)
        return found


def ones(*shape: int, **options: Any) -> torch.Tensor:
    return torch.ones(*shape, **options)


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def refused(function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(Unsupported) as caught:
        Call(function, *args)
    return str(caught.value)


# Arguments.


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (2.0, 3.0, "2.0 became 3.0"),
        (2, 3, "2 became 3"),
        (1, True, "1 became True"),
        (1, 1.0, "1 became 1.0"),
        (0.0, -0.0, "0.0 became -0.0"),
        (1j, 2j, "1j became 2j"),
        ("a", "b", "'a' became 'b'"),
        (b"a", b"b", "b'a' became b'b'"),
        (None, 0, "None became 0"),
        (torch.float32, torch.float64, "torch.float32 became torch.float64"),
        (slice(1, 2), slice(1, 3), "slice(1, 2, None) became slice(1, 3, None)"),
        (range(3), range(4), "range(0, 3) became range(0, 4)"),
        (np.float32(1), np.float32(2), "1.0 became 2.0"),
        (np.arange(2), np.arange(1, 3), "[0, 1] became [1, 2]"),
    ],
)
def test_an_argument_of_another_value(before: Any, after: Any, words: str) -> None:
    call = Call(lambda x, option: x, ones(2), before)
    assert call.changed(ones(2), after).startswith("option: ") and words in call.changed(ones(2), after)


@pytest.mark.parametrize("make", [
    lambda: float("nan"), lambda: 10**20, lambda: "x" * 3, lambda: 1.5, lambda: complex(1, float("nan")), lambda: torch.device("cpu"), lambda: ...,
    lambda: (1, [2.0, {"a": 3}]), lambda: np.arange(3), lambda: np.float64("nan"), lambda: collections.OrderedDict(a=1), lambda: {1, 2},
    lambda: collections.deque([1, 2]), lambda: torch.Size([1, 2]), lambda: slice(1, None), lambda: frozenset("ab"),
])  # fmt: skip
def test_an_equal_argument_is_no_change(make: Callable[[], Any]) -> None:
    assert Call(lambda x, option: x, ones(2), make()).changed(ones(2), make()) is None


def test_an_argument_of_an_enumeration() -> None:
    colour = enum.Enum("colour", "RED BLUE")
    call = Call(lambda c: c, colour.RED)
    assert call.changed(colour.RED) is None
    assert call.changed(colour.BLUE) == "c: a colour became a colour"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda: ones(4), "x: shape [3] became [4]"),
        (lambda: ones(3, dtype=torch.float64), "x: dtype 'float32' became 'float64'"),
        (lambda: ones(6)[::2], "x: stride (1,) became (2,)"),
        (lambda: ones(3, requires_grad=True), "x: requires_grad False became True"),
        (lambda: nn.Parameter(ones(3), requires_grad=False), "x: class 'Tensor' became 'Parameter'"),
        (lambda: 3.0, "x: 'a tensor' became 3.0"),
    ],
)
def test_a_tensor_of_another_kind(after: Callable[[], Any], words: str) -> None:
    call = Call(lambda x: x, ones(3))
    assert call.changed(after()).replace("a tensor", "'a tensor'") == words


def test_a_tensor_that_is_no_leaf_any_more() -> None:
    call = Call(lambda x: x, ones(3, requires_grad=True))
    assert call.changed(ones(3, requires_grad=True) * 2) == "x: is_leaf True became False"
    call = Call(lambda x: x, ones(3, requires_grad=True) * 2)
    assert call.changed(ones(3, requires_grad=True) * 5) is None
    assert call.changed(ones(3, requires_grad=True)) == "x: is_leaf False became True"


def test_an_inference_tensor() -> None:
    with torch.inference_mode():
        inside = ones(3)
    assert Call(lambda x: x, ones(3)).changed(inside) == "x: inference False became True"


def test_values_and_the_offset_of_a_tensor_are_free() -> None:
    base = torch.arange(6.0)
    call = Call(lambda x: x, base[:3])
    later = base[3:]
    assert same(call.sources(later), [later])


def test_a_view_whose_base_has_been_given_a_history() -> None:
    base = torch.zeros(4)
    view = base[:2]
    call = Call(lambda x: x, view)
    base.mul_(ones(4, requires_grad=True))
    assert call.changed(view) == "x: requires_grad False became True"


def test_which_arguments_are_one_tensor() -> None:
    x, y = ones(3), ones(3)
    one = Call(lambda x, y: x, x, x)
    assert len(one.tensors) == 1 and one.changed(y, y) is None
    assert one.changed(x, y) == "y: the same as x became a tensor"
    two = Call(lambda x, y: x, x, y)
    assert same(two.sources(y, x), [y, x])
    assert two.changed(x, x) == "y: a tensor became the same as x"


def test_an_argument_that_is_a_captured_tensor() -> None:
    held = ones(3)
    call = Call(lambda x: x + held, ones(3))
    assert len(call.tensors) == 2
    assert call.changed(held) == "held: a tensor became the same as x"
    call = Call(lambda x: x + held, held)
    assert call.changed(ones(3)) == "held: the same as x became a tensor"


def test_an_argument_that_is_a_parameter_or_a_gradient_of_a_captured_module() -> None:
    layer = nn.Linear(3, 3)

    def function(x: torch.Tensor) -> None:
        layer(x).sum().backward()

    call = Call(function, ones(3, 3))
    assert "the same as x" in call.changed(layer.weight.grad)
    twin = Call(lambda w: layer(w), nn.Parameter(ones(3, 3)))
    assert "the same as w" in twin.changed(layer.weight)


def test_the_number_and_names_of_arguments() -> None:
    def function(*args: Any, **kwargs: Any) -> None:
        pass

    call = Call(function, 1, a=2)
    assert call.changed(1, a=3) == "a: 2 became 3"
    assert "arguments" in call.changed(1, 2) and "arguments" in call.changed(1, b=2)


def test_containers_of_arguments() -> None:
    call = Call(lambda batch: batch, {"x": [ones(2), (ones(3), 1)]})
    x, y = torch.zeros(2), torch.zeros(3)
    assert same(call.sources({"x": [x, (y, 1)]}), [x, y])
    assert call.changed({"x": [x, (y, 2)]}) == "batch['x'][1][1]: 1 became 2"
    assert call.changed({"x": [x]}) == "batch['x']: length 2 became 1"
    assert call.changed({"y": [x, (y, 1)]}) == "batch: keys ['x'] became ['y']"
    assert call.changed({"x": (x, (y, 1))}) == "batch['x']: class list became tuple"


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Batch:
    x: Any
    sizes: list[int] = field(default_factory=lambda: [1, 2])


def test_named_tuples_and_objects_as_arguments() -> None:
    x = torch.zeros(2)
    pair = Call(lambda p: p.first, Pair(ones(2), 1))
    assert same(pair.sources(Pair(x, 1)), [x])
    assert pair.changed(Pair(x, 2)) == "p[1]: 1 became 2"
    assert pair.changed((x, 1)) == "p: class Pair became tuple"
    batch = Call(lambda b: b.x * b.sizes[0], Batch(ones(2)))
    assert same(batch.sources(Batch(x)), [x])
    assert batch.changed(Batch(x, [1, 3])) == "b.sizes[1]: 2 became 3"


def test_a_module_as_an_argument() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    call = Call(lambda m, x: m(x), first, ones(2))
    assert call.changed(first, ones(2)) is None and len(call.tensors) == 3
    assert call.changed(second, ones(2)) == "m: another Linear became another Linear"
    first.eval()
    assert call.changed(first, ones(2)) == "m.training: True became False"


def test_tensors_of_a_call_are_not_kept() -> None:
    watch = Watch()
    guards = Guards(lambda x: x, (x := ones(3),), {}, watch)
    alive = weakref.ref(x)
    assert changed(guards, (ones(3),), {}) is None
    del x
    gc.collect()
    assert alive() is None


# Functions, closures and globals.


def test_a_rebound_closure_cell() -> None:
    scale, held = 2.0, ones(3)

    def function(x: torch.Tensor) -> torch.Tensor:
        return x * scale + held

    call = Call(function, ones(3))
    scale = 2.0 * 1.0
    assert call.now() is None
    scale = 3.0
    assert call.now() == "scale: 2.0 became 3.0"
    scale = 2.0
    held = later = torch.zeros(3)
    assert any(t is later for t in call.sources(ones(3)))
    held = torch.zeros(4)
    assert call.now() == "held: shape [3] became [4]"


factor: Any = 2.0
unread: Any = 1
table = torch.zeros(3)


def test_a_rebound_global(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(lambda x: x * factor + table, ones(3))
    monkeypatch.setattr(sys.modules[__name__], "unread", 2)
    assert call.now() is None
    monkeypatch.setattr(sys.modules[__name__], "factor", 3.0)
    assert call.now() == "factor: 2.0 became 3.0"
    monkeypatch.setattr(sys.modules[__name__], "factor", 2.0)
    other = ones(3)
    monkeypatch.setattr(sys.modules[__name__], "table", other)
    assert any(t is other for t in call.sources(*call.args))


def test_a_global_that_hides_a_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(lambda x: x * len(x), ones(3))
    monkeypatch.setattr(sys.modules[__name__], "len", lambda x: 7, raising=False)
    assert call.now() is not None


def test_functions_that_a_function_calls() -> None:
    scale = 2.0

    def inner(x: torch.Tensor) -> torch.Tensor:
        return x * scale

    def outer(x: torch.Tensor) -> torch.Tensor:
        return (lambda y: inner(y) + 1)(x)

    call = Call(outer, ones(3))
    scale = 3.0
    assert call.now() == "scale: 2.0 became 3.0"


def test_a_function_that_only_c_code_calls() -> None:
    scale = 2.0

    def key(x: Any) -> Any:
        return x * scale

    def function(x: torch.Tensor, ordering: Any) -> torch.Tensor:
        return x * max(1, 2, key=ordering)

    call = Call(function, ones(3), key)
    assert call.now() is None
    scale = 5.0
    assert call.now() == "scale: 2.0 became 5.0"


def test_a_decorated_function() -> None:
    scale = 2.0

    @torch.no_grad()
    def function(x: torch.Tensor) -> torch.Tensor:
        return x * scale

    call = Call(function, ones(3))
    scale = 3.0
    assert call.now() == "scale: 2.0 became 3.0"


def test_defaults_and_attributes_of_functions() -> None:
    options = [1.0]

    def function(x: torch.Tensor, options: list[float] = options) -> torch.Tensor:
        return x * options[0] * function.scale

    function.scale = 2.0
    call = Call(function, ones(3))
    function.scale = 3.0
    assert call.now().endswith("scale: 2.0 became 3.0")
    function.scale = 2.0
    options[0] = 4.0
    assert call.now().endswith("[0]: 1.0 became 4.0")


def test_partial_functions_and_callable_objects() -> None:
    options = {"scale": 2.0}
    call = Call(functools.partial(lambda a, x, scale: x * scale, 1, **options), ones(3))
    assert call.now() is None
    call.guards.function.keywords["scale"] = 3.0
    assert call.now() == "keywords['scale']: 2.0 became 3.0"

    class Scale:
        def __init__(self) -> None:
            self.scale = 2.0

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

    function = Scale()
    call = Call(function, ones(3))
    function.scale = 3.0
    assert call.now() == "self.scale: 2.0 became 3.0"
    assert call.changed(ones(4)).startswith("x: ")


class Trainer:
    rate = 0.5

    def __init__(self) -> None:
        self.count = 0
        self.options = {"warm": True}
        self.state = torch.zeros(3)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.rate + self.state if self.options["warm"] else x


def test_a_method_and_the_attributes_it_names() -> None:
    trainer = Trainer()
    call = Call(trainer.step, ones(3))
    trainer.count += 1
    trainer.log = ["not read"]
    assert call.now() is None
    trainer.state = later = ones(3)
    assert any(t is later for t in call.sources(*call.args))
    trainer.options["warm"] = 1
    assert call.now() == "self.options['warm']: True became 1"
    trainer.options["warm"] = True
    trainer.rate = 0.25
    assert "rate" in call.now()


def test_an_attribute_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(Trainer().step, ones(3))
    monkeypatch.setattr(Trainer, "rate", 0.75)
    assert call.now() == "Trainer.rate: 0.5 became 0.75"
    monkeypatch.setattr(Trainer, "rate", 0.5)
    assert call.now() is None
    monkeypatch.setattr(Trainer, "step", lambda self, x: x)
    assert call.now().startswith("Trainer.step: ")


def test_a_method_of_two_instances() -> None:
    first, second = Trainer(), Trainer()
    calls = [Call(trainer.step, ones(3)) for trainer in (first, second)]
    first.options["warm"] = False
    assert [call.now() is None for call in calls] == [False, True]


def test_attributes_in_slots() -> None:
    class Slotted:
        __slots__ = ("scale",)

    held = Slotted()
    held.scale = 2.0
    call = Call(lambda x: x * held.scale, ones(3))
    held.scale = 3.0
    assert call.now() == "held.scale: 2.0 became 3.0"


def test_attributes_read_by_name_at_run_time() -> None:
    config = types.SimpleNamespace(scale=2.0)
    call = Call(lambda x, name: x * getattr(config, name), ones(3), "scale")
    config.scale = 3.0
    assert call.now() == "config.scale: 2.0 became 3.0"


def test_attributes_of_a_python_module(monkeypatch: pytest.MonkeyPatch) -> None:
    config = types.ModuleType("config")
    config.scale, config.unread = 2.0, 1
    call = Call(lambda x: x * config.scale, ones(3))
    config.unread = 2
    assert call.now() is None
    config.scale = 3.0
    assert call.now() == "config.scale: 2.0 became 3.0"
    monkeypatch.setitem(sys.modules, "settings_of_a_test", config)

    def importing(x: torch.Tensor) -> torch.Tensor:
        import settings_of_a_test

        return x * settings_of_a_test.scale

    call = Call(importing, ones(3))
    config.scale = 4.0
    assert call.now().endswith("scale: 3.0 became 4.0")


def test_a_dataclass_as_configuration() -> None:
    @dataclass
    class Config:
        width: int = 3
        rates: tuple[float, ...] = (0.1, 0.2)

    config = Config()
    call = Call(lambda x: x * config.width * config.rates[0], ones(3))
    config.rates = (0.1, 0.2)
    assert call.now() is None
    config.width = 4
    assert call.now() == "config.width: 3 became 4"


def test_objects_of_the_standard_library() -> None:
    data = collections.UserDict(scale=2.0)
    options = argparse.Namespace(rate=0.1, unread=1)
    call = Call(lambda x: x * data["scale"] * options.rate, ones(3))
    options.unread = 2
    assert call.now() is None
    data["scale"] = 3.0
    assert call.now() == "data.data['scale']: 2.0 became 3.0"
    data["scale"] = 2.0
    options.rate = 0.2
    assert call.now() == "options.rate: 0.1 became 0.2"


CONTAINERS: list[tuple[Callable[[], Any], Callable[[Any], Any], str]] = [
    (lambda: [1, 2], lambda c: c.append(3), "held: length 2 became 3"),
    (lambda: [1, 2], lambda c: c.reverse(), "held[0]: 1 became 2"),
    (lambda: [1, [2]], lambda c: c[1].append(2), "held[1]: length 1 became 2"),
    (list, lambda c: c.append(1), "held: length 0 became 1"),
    (lambda: {"a": 1}, lambda c: c.update(a=2), "held['a']: 1 became 2"),
    (lambda: {"a": 1}, lambda c: c.update(b=2), "held: keys ['a'] became ['a', 'b']"),
    (lambda: {"a": 1, "b": 1}, lambda c: c.update(a=c.pop("a")), "held: keys ['a', 'b'] became ['b', 'a']"),
    (lambda: {1}, lambda c: c.add(2), "held: length 1 became 2"),
    (lambda: collections.deque([1]), lambda c: c.append(2), "held: length 1 became 2"),
    (lambda: collections.OrderedDict(a=1), lambda c: c.clear(), "held: keys ['a'] became []"),
    (lambda: collections.defaultdict(int), lambda c: c["x"], "held: keys [] became ['x']"),
    (lambda: np.zeros(3), lambda c: c.fill(1), "held: [0., 0., 0.] became [1., 1., 1.]"),
]


@pytest.mark.parametrize(("make", "mutate", "words"), CONTAINERS)
def test_a_container_that_is_mutated(make: Callable[[], Any], mutate: Callable[[Any], Any], words: str) -> None:
    held = make()
    call = Call(lambda x: (x, held), ones(3))
    mutate(held)
    assert call.now() == words


def test_an_element_that_moves_from_one_list_to_the_next() -> None:
    first, second = [1, 2], [3]
    call = Call(lambda x: (x, first, second), ones(3))
    second.insert(0, first.pop())
    assert call.now() == "first: length 2 became 1"


def test_tensors_in_containers() -> None:
    held = {"a": ones(3), "b": ones(3)}
    call = Call(lambda x: x + held["a"], ones(3))
    held["a"] = later = torch.zeros(3)
    assert any(t is later for t in call.sources(*call.args))
    held["a"] = held["b"]
    assert call.now() == "held['b']: a tensor became the same as held['a']"


def test_equal_tensors_are_never_compared() -> None:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __bool__(self) -> bool:
            raise AssertionError("asked for its truth")

        __hash__ = object.__hash__

        def __init__(self) -> None:
            self.scale = 2.0

    held: Any = [Hostile()]
    keyed = {held[0]: 1}
    call = Call(lambda x: x * held[0].scale * len(keyed), ones(3))
    held[0] = Hostile()
    assert call.now() is None
    held[0].scale = 3.0
    assert call.now() == "held[0].scale: 2.0 became 3.0"


# Modules.


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))


def test_training_mode() -> None:
    model = network()
    call = Call(model, ones(2, 3))
    model.eval()
    assert call.now() == "self.training: True became False"
    model.train()
    assert call.now() is None
    model[1].eval()
    assert call.now() == "self.1.training: True became False"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: setattr(m[1], "p", 0.25), "self.1.p: 0.5 became 0.25"),
        (lambda m: m[2].register_buffer("extra", None), "self.2: buffers ['running_mean', 'running_var', 'num_batches_tracked'] became"),
        (lambda m: m.append(nn.ReLU()), "self: modules ['0', '1', '2'] became ['0', '1', '2', '3']"),
        (lambda m: m.__setitem__(1, nn.Dropout(0.5)), "self.1: another Dropout became another Dropout"),
        (lambda m: m._modules.update({"1": nn.Dropout(0.5)}), "self.1: another Dropout became another Dropout"),
        (lambda m: delattr(m, "1"), "self: modules ['0', '1', '2'] became ['0', '2']"),
        (lambda m: setattr(m[0], "bias", None), "self.0.bias: a tensor became None"),
        (lambda m: m[0]._parameters.update(bias=None), "self.0.bias: a tensor became None"),
        (lambda m: m[0]._parameters.update(extra=None), "self.0: parameters ['weight', 'bias'] became ['weight', 'bias', 'extra']"),
        (lambda m: m[0].requires_grad_(False), "self.0.weight: requires_grad True became False"),
        (lambda m: m.double(), "self.0.weight: dtype 'float32' became 'float64'"),
        (lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(4, 3))), "self.0.weight: shape [3, 3] became [4, 3]"),
        (lambda m: setattr(m[0], "weight", m[0].bias), "self.0.weight: shape [3, 3] became [3]"),
        (lambda m: setattr(m, "forward", lambda x: x), "self.forward"),
    ],
)
def test_a_module_that_is_changed(change: Callable[[Any], Any], words: str) -> None:
    model = network()
    call = Call(model, ones(2, 3))
    change(model)
    assert call.now().startswith(words)


def test_a_parameter_of_the_same_kind_is_another_source() -> None:
    model = network()
    call = Call(model, ones(2, 3))
    model[0].weight = later = nn.Parameter(torch.zeros(3, 3))
    assert any(t is later for t in call.sources(*call.args))
    model[0]._parameters["weight"] = latest = nn.Parameter(torch.zeros(3, 3))
    assert any(t is latest for t in call.sources(*call.args))


def test_tied_parameters() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    call = Call(model, ones(2, 3))
    assert len(call.tensors) == 4
    model[1].weight = nn.Parameter(torch.zeros(3, 3))
    assert call.now() == "self.1.weight: the same as self.0.weight became a tensor"


class Net(nn.Module):
    depth = 1

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.scale = 2.0
        self.epoch = 0
        self.stream: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * self.scale * self.depth


def test_attributes_of_a_users_module(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    call = Call(net, ones(2, 3))
    net.epoch += 1
    net.stream = iter([1])
    assert call.now() is None
    net.scale = 3.0
    assert call.now() == "self.scale: 2.0 became 3.0"
    net.scale = 2.0
    net.depth = 2
    assert "depth" in call.now()
    del net.depth
    assert call.now() is None
    monkeypatch.setattr(Net, "depth", 3)
    assert call.now() == "Net.depth: 1 became 3"


def test_hooks_are_refused() -> None:
    model = network()
    call = Call(model, ones(2, 3))
    handle = model[0].register_forward_hook(lambda *_: None)
    assert call.now() == "self.0, which has hooks"
    handle.remove()
    assert call.now() is None
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert call.now() == "hooks on all modules"
    handle.remove()


def test_a_compiled_module_within() -> None:
    inner = nn.Linear(3, 3)
    compiled = torch.compile(inner)
    call = Call(lambda x: compiled(x), ones(2, 3))
    inner.eval()
    assert "training: True became False" in call.now()


# Gradients and optimizers.


def test_gradients_are_sources_of_functions_that_go_backward() -> None:
    layer = nn.Linear(3, 3)

    def step(x: torch.Tensor) -> None:
        layer(x).sum().backward()

    call = Call(step, ones(2, 3))
    assert same(call.tensors[-2:], [layer.weight.grad, layer.bias.grad])
    layer.weight.grad = later = ones(3, 3)
    assert any(t is later for t in call.sources(*call.args))
    layer.weight.grad = None
    assert call.now() == "layer.weight.grad: a tensor became None"
    layer.weight.grad = layer.bias.grad.expand(3, 3)
    assert call.now() == "layer.weight.grad: stride (3, 1) became (0, 1)"


def test_gradients_do_not_matter_to_a_function_that_goes_forward() -> None:
    layer = nn.Linear(3, 3)
    call = Call(lambda x: layer(x), ones(2, 3))
    layer(ones(2, 3)).sum().backward()
    assert call.now() is None
    assert call.guards.match(call.args, call.kwargs)[-1] is layer.bias


def test_parameters_of_an_optimizer_are_sources() -> None:
    weight = nn.Parameter(ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    call = Call(lambda: optimizer.zero_grad())
    assert same(call.tensors, [weight])
    optimizer.param_groups[0]["lr"] = 0.2
    assert call.now() is None
    optimizer.load_state_dict(optimizer.state_dict())
    assert call.now() is None
    optimizer.add_param_group({"params": [nn.Parameter(ones(2))]})
    assert call.now() is not None


def test_hyperparameters_that_the_function_reads_itself() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(ones(3))], lr=0.1)
    call = Call(lambda x: x * optimizer.param_groups[0]["lr"], ones(3))
    optimizer.param_groups[0]["lr"] = 0.2
    assert call.now() == "optimizer.param_groups[0]['lr']: 0.1 became 0.2"


def test_a_schedule_that_the_function_advances() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(ones(3))], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    call = Call(lambda: schedule.step())
    guards = Guards(call.guards.function, (), {}, call.watch)
    schedule.step()
    assert "schedule.last_epoch: 1 became 2" in guards.differences((), {})


# Modes.


def test_modes() -> None:
    call = Call(lambda x: x, ones(3))
    with torch.no_grad():
        assert call.now() == "grad mode: True became False"
    with torch.inference_mode():
        assert call.now() == "grad mode: True became False"
    torch.set_default_dtype(torch.float64)
    try:
        assert call.now() == "default dtype: torch.float32 became torch.float64"
    finally:
        torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        assert call.now() == "deterministic algorithms: False became True"
    finally:
        torch.use_deterministic_algorithms(False)
    assert call.now() is None


# What cannot be captured.


def test_what_is_refused(tmp_path: Any) -> None:
    class Holder:
        cache: Any = None

    model = Holder()
    for cache, name in [
        ((n for n in range(3)), "model.cache, a generator"),
        (iter([1, 2]), "model.cache, a list_iterator"),
        (itertools.count(), "model.cache, a count"),
        (threading.Lock(), "model.cache, a lock"),
        (random.Random(0), "model.cache, a Random"),
        (np.zeros(100), "model.cache, a NumPy array: it may change unseen, make it a tensor"),
    ]:
        model.cache = cache
        assert refused(lambda x: (x, model.cache), ones(3)) == name
        Call(lambda x: (x, model), ones(3))  # nothing names the attribute
    with open(tmp_path / "log", "w") as file:
        assert refused(lambda x: (x, file), ones(3)) == "file, a TextIOWrapper"
    loader = torch.utils.data.DataLoader([1, 2])
    assert refused(lambda x: (x, loader), ones(3)) == "loader, a DataLoader"


def test_a_generator_in_a_container() -> None:
    held = [(n for n in range(3))]
    assert refused(lambda x: (x, held), ones(3)) == "held[0], a generator"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: print(end=""), "print: a replay would not call it"),
        (lambda x: time.time(), "time.time: a replay would not call it"),
        (lambda x: random.randint(0, 3), "Random.getrandbits: a replay would not call it"),
        (lambda x: datetime.datetime.now(), "datetime.now: a replay would not call it"),
        (lambda x: sys.__stdout__.write(""), "TextIOWrapper.write: a replay would not call it"),
        (lambda x: np.random.rand(), "numpy.random: a replay would not draw from it"),
    ],
)
def test_effects_are_refused(function: Callable[..., Any], words: str) -> None:
    assert refused(function, ones(3)).startswith(words)


def test_too_much_is_refused() -> None:
    held = list(range(30_000))
    assert refused(lambda x: (x, held), ones(3)).endswith("more than 20000 values")
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    assert "nested more than" in refused(lambda x: (x, nested), ones(3))


# Differences that a run has made.


def test_differences_after_a_run() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.count, self.log, self.hidden = 0, [0], torch.zeros(3)

        def forward(self, x: torch.Tensor, change: str) -> torch.Tensor:
            if change == "count":
                self.count += 1
            if change == "log":
                self.log.append(1)
            if change == "hidden":
                self.hidden = x[0] + 1
            if change == "new":
                self.last = x
            return self.layer(x)

    model = Model()
    x = ones(2, 3)
    for change, words in [
        ("nothing", []),
        ("count", ["self.count: 0 became 1"]),
        ("log", ["self.log: length 1 became 2", "self.log[1]: nothing became 1"]),
        ("hidden", ["self.hidden: another tensor"]),
        ("new", ["self.last: nothing became the same as x"]),
    ]:
        call = Call(model, x, "nothing")
        guards = Guards(model, (x, change), {}, call.watch)
        with call.watch:
            model(x, change)
        assert guards.differences((x, change), {}) == words


def test_differences_in_arguments_and_gradients() -> None:
    layer = nn.Linear(3, 3)

    def step(x: torch.Tensor, log: list[Any]) -> None:
        layer(x).sum().backward()
        if log:
            log.append(1)

    call = Call(step, ones(2, 3), [])
    layer.zero_grad()
    log = [0]
    guards = Guards(step, (x := ones(2, 3), log), {}, call.watch)
    step(x, log)
    found = guards.differences((x, log), {})
    assert found == [
        "log: length 1 became 2",
        "layer.weight.grad: None became a tensor",
        "layer.bias.grad: None became a tensor",
        "log[1]: nothing became 1",
    ]


# The watch.


def test_a_watch_calls_the_profiler_that_was_there_and_leaves_it() -> None:
    events = []

    def profiler(frame: Any, event: str, arg: Any) -> None:
        events.append(frame.f_code.co_name)

    def watched() -> None:
        pass

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        watch = Watch()
        with watch:
            watched()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
    assert "watched" in events and [code.co_name for code, _ in watch.ran.values()] == ["watched"]


def test_a_watch_sees_its_own_thread_only_and_grows() -> None:
    def elsewhere() -> None:
        pass

    def here() -> None:
        pass

    watch = Watch()
    with watch:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        here()
    seen = watch.seen()
    assert [code.co_name for code, _ in watch.ran.values()] == ["here"]
    with watch:
        here()
    assert watch.seen() == seen
    with watch:
        elsewhere()
    assert watch.seen() == seen + 1


# The quick check against the walk.


def _mutations(model: Any, trainer: Any, config: dict[str, Any], x: torch.Tensor) -> list[Callable[[random.Random], Any]]:
    """Ways to change what a function reads; most can be undone by doing them again."""
    spare = nn.Linear(3, 3)
    originals = [model[0], model[0].weight]
    return [
        lambda r: setattr(model[1], "p", r.choice([0.5, 0.25])),
        lambda r: model.train(r.random() < 0.5),
        lambda r: setattr(model, "0", r.choice([originals[0], spare])),
        lambda r: setattr(originals[0], "weight", r.choice([originals[1], spare.weight, nn.Parameter(ones(3, 3))])),
        lambda r: originals[0]._parameters.update(bias=r.choice([None, spare.bias, nn.Parameter(ones(3))])),
        lambda r: originals[1].requires_grad_(r.random() < 0.5),
        lambda r: setattr(originals[1], "grad", r.choice([None, ones(3, 3), ones(3).expand(3, 3)])),
        lambda r: setattr(originals[1], "data", r.choice([ones(3, 3), ones(3, 3).t()])),
        lambda r: model[2].running_mean.zero_(),
        lambda r: setattr(trainer, "state", r.choice([x, ones(3), ones(4), originals[1], 1.0])),
        lambda r: setattr(trainer, "extra", r.random()),
        lambda r: trainer.options.update(warm=r.choice([True, 1, 1.0])),
        lambda r: setattr(trainer, "options", {"warm": True}),
        lambda r: config.update(sizes=r.choice([[1, 2], [2, 1], (1, 2)])),
        lambda r: config["sizes"].append(3) if type(config["sizes"]) is list else None,
        lambda r: config["tensors"].reverse(),
        lambda r: config["tensors"].__setitem__(0, r.choice([x, ones(3), config["tensors"][1]])),
        lambda r: config.update(step=config.pop("step")),
        lambda r: setattr(spare, "unrelated", r.random()),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_the_quick_check_agrees_with_the_walk(seed: int) -> None:
    r = random.Random(seed)
    model, trainer, x = network(), Trainer(), ones(2, 3)
    config: dict[str, Any] = {"sizes": [1, 2], "tensors": [ones(3), ones(3)], "step": 1}

    def function(x: torch.Tensor, y: Any) -> torch.Tensor:
        loss = F.mse_loss(model(x), x) + (trainer.state if trainer.options["warm"] else 0) + config["sizes"][0]
        loss.sum().backward()
        return config["tensors"][0] + loss

    call = Call(function, x, [x, 1])
    mutations = _mutations(model, trainer, config, x)
    outcomes = set()
    kwargs: dict[str, Any] = {}
    for _ in range(150):
        r.choice(mutations)(r)
        args = r.choice([x, ones(2, 3), model[0].weight]), r.choice([[x, 1], [ones(2, 3), 1]])
        difference = changed(call.guards, args, kwargs)
        try:
            walk = call.guards._walk(args, {}, call.guards.facts)
        except Changed:
            assert difference is not None
        else:
            assert difference is None
            assert same(call.guards.match(args, kwargs), walk.sources)
        outcomes.add(difference is None)
        if r.random() < 0.2:
            call.guards = Guards(function, args, {}, call.watch)
    assert outcomes == {True, False}


# How fast.


def test_the_quick_check_is_what_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing has changed no walk is made, whatever tensors come as arguments."""
    model = network()
    state = torch.zeros(3)
    call = Call(lambda x, y: F.mse_loss(model(x) + state, y), ones(2, 3), ones(2, 3))
    monkeypatch.setattr(guards_file, "Walk", None)
    state = ones(3)
    unrelated = nn.Linear(1, 1)
    unrelated.note = 1
    for _ in range(3):
        args, kwargs = (ones(2, 3), torch.zeros(4, 3)[1:3]), {}
        assert changed(call.guards, args, kwargs) is None
        assert same(call.guards.match(args, kwargs)[:3], [*args, state])


def test_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, for a look at it; what decides is measured with captured steps."""
    model = nn.Sequential(*[layer for _ in range(3) for layer in (nn.Linear(3, 3), nn.ReLU())])
    call = Call(lambda x, y: F.mse_loss(model(x), y), ones(2, 3), ones(2, 3))
    best = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        for _ in range(100):
            call.now()
        best = min(best, (time.perf_counter() - begin) / 100)
    with capsys.disabled():
        print(f" {best * 1e6:.1f} us", end="")
