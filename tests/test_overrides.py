"""Subclasses of Tensor keep their class, and ``__torch_function__`` is asked as PyTorch asks it. Expected values are PyTorch 2.13's."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn, overrides
from rushlight.nn.functional import relu as imported_before
from rushlight.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary


class Kept(torch.Tensor):
    """A subclass with nothing of its own."""


class Deeper(Kept):
    pass


class Logging(torch.Tensor):
    """Writes down what it is asked, as PyTorch's documentation has it."""

    asked: list[tuple[str, tuple[str, ...], Any]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.asked.append((func.__name__, tuple(kind.__name__ for kind in types), kwargs))
        return super().__torch_function__(func, types, args, kwargs)


@pytest.fixture
def asked() -> Iterator[list[tuple[str, tuple[str, ...], Any]]]:
    Logging.asked.clear()
    yield Logging.asked


def kept() -> Any:
    return torch.arange(6.0).reshape(2, 3).as_subclass(Kept)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.add(x, 1),
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: torch.ones(3) + x,
        lambda x: nn.Parameter(torch.ones(3)) * x,
        lambda x: x @ x.t(),
        lambda x: x[0],
        lambda x: x == 1,
        lambda x: -x,
        lambda x: x.T,
        lambda x: x.data,
        lambda x: torch.cat([torch.ones(1, 3), x]),
        lambda x: x.sum(),
        lambda x: torch.max(x, 0).values,
        lambda x: x.split(1)[0],
        lambda x: next(iter(x)),
        lambda x: x.add_(1),
        lambda x: x.double(),
        lambda x: x.new_zeros(2),
        lambda x: torch.zeros_like(x),
        lambda x: imported_before(x),
        lambda x: F.softmax(x, dim=1),
        lambda x: nn.Linear(3, 2)(x),
        lambda x: nn.Sequential(nn.Linear(3, 2), nn.ReLU())(x),
        lambda x: torch.linalg.norm(x),
        lambda x: torch.fft.fft(x),
        lambda x: torch.einsum("ij->i", x),
        lambda x: torch.add(torch.ones(2, 3), 1, out=x),
    ],
)
def test_a_result_has_the_class_of_the_operand(call: Any) -> None:
    x = kept()
    assert type(call(x)) is Kept
    with torch.no_grad():
        assert type(call(kept())) is Kept


def test_what_is_no_tensor_stays_what_it_is() -> None:
    x = kept()
    assert type(x.shape) is torch.Size and x.dtype is torch.float32 and x.sum().item() == 15.0 and len(x) == 2
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and isinstance(x.numpy().sum(), object)
    assert type(torch.max(x, 0)) is torch.return_types.max


def test_the_more_special_of_two_classes_wins_and_strangers_do_not_mix() -> None:
    class Other(torch.Tensor):
        pass

    assert type(kept() + torch.ones(2, 3).as_subclass(Deeper)) is Deeper
    assert type(torch.ones(2, 3).as_subclass(Deeper) + kept()) is Deeper
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'Kept' and 'Other'"):
        kept() + torch.ones(2, 3).as_subclass(Other)


def test_instances_are_views_with_a_history() -> None:
    leaf = torch.ones(2, requires_grad=True)
    x = leaf.as_subclass(Kept)
    assert x._is_view() and repr(x) == "Kept([1., 1.], grad_fn=<AliasBackward0>)"
    loss = (x * 3).sum()
    assert type(loss) is Kept
    loss.backward()
    assert type(leaf.grad) is torch.Tensor and leaf.grad.tolist() == [3.0, 3.0]
    assert repr(Kept([1.0, 2.0])) == "Kept([1., 2.])"
    own = Kept([1.0, 2.0]).requires_grad_()
    (own * own).sum().backward()
    assert type(own.grad) is torch.Tensor and own.grad.tolist() == [2.0, 4.0]
    assert Kept(torch.ones(2, requires_grad=True)).requires_grad


def test_copies_and_pickles_keep_the_class_and_attributes() -> None:
    x = Kept([1.0, 2.0])
    x.note = "kept"
    for other in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert type(other) is Kept and other.note == "kept" and other.tolist() == [1.0, 2.0]


def test_parameters_give_ordinary_tensors() -> None:
    class Weight(nn.Parameter):
        pass

    class Silent(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

    for x in (nn.Parameter(torch.ones(2)), Weight(torch.ones(2)), nn.Buffer(torch.ones(2)), Silent([1.0, 1.0])):
        assert type(x + 1) is torch.Tensor and type(x[0]) is torch.Tensor


def test_writes_to_a_parameter_count() -> None:
    weight = nn.Parameter(torch.ones(2))
    with torch.no_grad():
        weight.add_(1)
    assert weight._version == 1 and not weight._is_view()


def test_what_is_told(asked: list[Any]) -> None:
    x = torch.ones(2, 3).as_subclass(Logging)
    for call, told in [
        (lambda: torch.add(x, 1), ("add", ("Logging",), None)),
        (lambda: x + 1, ("add", ("Logging",), None)),
        (lambda: x.add(x, alpha=2), ("add", ("Logging",), {"alpha": 2})),
        (lambda: x.__iadd__(0), ("add_", ("Logging",), None)),
        (lambda: x.__imul__(1), ("mul_", ("Logging",), None)),
        (lambda: x.shape, ("__get__", ("Logging",), None)),
        (lambda: x[0], ("__getitem__", ("Logging",), None)),
        (lambda: x.__setitem__(0, 1.0), ("__setitem__", ("Logging",), None)),
        (lambda: len(x), ("__len__", ("Logging",), None)),
        (lambda: repr(x), ("__repr__", ("Logging",), None)),
        (lambda: torch.stack([torch.ones(2, 3), x]), ("stack", ("Logging",), None)),
        (lambda: setattr(x, "requires_grad", False), ("__set__", ("Logging",), None)),
        (lambda: F.linear(torch.ones(3), x), ("linear", ("Logging",), None)),
        (lambda: x.size(), ("size", ("Logging",), None)),
        (lambda: F.mse_loss(x, torch.ones(2, 3)), ("mse_loss", ("Logging",), None)),
    ]:
        asked.clear()
        call()
        assert asked == [told]
    asked.clear()
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        assert type(torch.tensor(x)) is torch.Tensor
    torch.is_tensor(x), torch.as_tensor(x), x.as_subclass(torch.Tensor), hash(x), Logging([1.0])
    assert not asked


def test_a_backward_pass_asks_nobody(asked: list[Any]) -> None:
    w = torch.ones(3, requires_grad=True)
    x = torch.ones(2, 3).as_subclass(Logging)
    loss = (x * w).sum().as_subclass(torch.Tensor)
    asked.clear()
    loss.backward()
    assert not asked and type(w.grad) is torch.Tensor


def test_the_function_that_is_told_is_the_one_programs_name() -> None:
    told = []

    class Told(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            told.append(func)
            return super().__torch_function__(func, types, args, kwargs)

    x = Told([1.0])
    torch.mean(x), x.mean(), x.T, imported_before(x)
    own: Any = torch.Tensor
    assert told == [torch.mean, own.mean, own.T.__get__, F.relu] and imported_before is F.relu
    assert overrides.resolve_name(torch.mean) == "torch.mean" and overrides.resolve_name(own.T.__get__) == "torch.Tensor.T.__get__"
    assert str(inspect.signature(torch.matmul)) == "(input, other, *, out=None)"


def test_blocks_that_ask_nobody(asked: list[Any]) -> None:
    x = torch.ones(2).as_subclass(Logging)
    with torch._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is torch.Tensor and not torch._C._is_torch_function_enabled()
    with torch._C.DisableTorchFunction():
        assert type(x + 1) is torch.Tensor
    assert not asked and torch._C._is_torch_function_enabled()


def test_modes() -> None:
    names: list[str] = []

    class Names(TorchFunctionMode):
        def __init__(self, name: str = "") -> None:
            self.name = name

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.append(self.name + func.__name__)
            return func(*args, **(kwargs or {}))

    with Names():
        x = torch.zeros(2) + 1
        F.relu(x), x.shape, torch.tensor(1.0), torch.is_grad_enabled(), torch.arange(3)
        with torch._C.DisableTorchFunctionSubclass():
            torch.ones(1)
        with torch._C.DisableTorchFunction():
            torch.rand(1)
        with Names("inner "):
            torch.exp(x)
    torch.exp(x)
    assert names == ["zeros", "add", "relu", "__get__", "tensor", "arange", "ones", "inner exp", "exp"]


HANDLED: dict[Any, Any] = {}


class Scalar:
    """N times N with one value on the diagonal: no Tensor at all. From PyTorch's documentation."""

    def __init__(self, N: int, value: float) -> None:
        self._N, self._value = N, value

    def tensor(self) -> Any:
        return self._value * torch.eye(self._N)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in HANDLED or not all(issubclass(t, (torch.Tensor, Scalar)) for t in types):
            return NotImplemented
        return HANDLED[func](*args, **(kwargs or {}))


def implements(torch_function: Any) -> Any:
    def decorator(func: Any) -> Any:
        functools.update_wrapper(func, torch_function)
        HANDLED[torch_function] = func
        return func

    return decorator


@implements(torch.mean)
def _mean(input: Any) -> Any:
    return float(input._value) / input._N


@implements(torch.add)
def _add(input: Any, other: Any) -> Any:
    return torch.add(*(each.tensor() if isinstance(each, Scalar) else torch.as_tensor(each) for each in (input, other)))


def test_classes_that_are_no_tensors() -> None:
    d = Scalar(2, 3)
    assert torch.mean(d) == 1.5 and torch.mean(input=d) == 1.5
    assert torch.add(d, torch.ones(2, 2)).tolist() == [[4.0, 1.0], [1.0, 4.0]]
    assert (torch.ones(2, 2) + d).tolist() == [[4.0, 1.0], [1.0, 4.0]]
    with pytest.raises(TypeError, match=r"Multiple dispatch failed for 'torch.mul'; all __torch_function__ handlers returned NotImplemented:\n\n  - tensor subclass <class '.*Scalar'>"):
        torch.mul(d, 2)
    with pytest.raises(TypeError, match="no implementation found for 'torch.nn.functional.relu' on types that implement __torch_function__"):
        F.relu(d)
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*: 'Tensor' and 'Scalar'"):
        torch.ones(2) * d


FIRST = """
import rushlight as torch
import rushlight.nn.functional as F
class Foreign:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func, args, kwargs
d = Foreign()
assert {call} == ({told})
"""


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("torch.mean(d)", "torch.mean, (d,), None"),
        ("torch.sum(d, dim=1)", "torch.sum, (d, 1), None"),
        ("torch.exp(d)", "torch.exp, (d,), None"),
        ("torch.add(2, d, alpha=3)", "torch.add, (2, d), {'alpha': 3}"),
        ("(torch.zeros(()) * d)[0]", "torch.mul"),
        ("torch.cat([d, d])", "torch.cat, ([d, d],), None"),
        ("F.mse_loss(d, d)", "F.mse_loss, (d, d), None"),
        ("F.linear(d, 2)", "F.linear, (d, 2), None"),
    ],
)
def test_the_first_value_with_the_protocol_is_asked_as_well(call: str, told: str) -> None:
    done = subprocess.run([sys.executable, "-c", FIRST.format(call=call, told=told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_functions_of_ones_own(asked: list[Any]) -> None:
    def double(a: Any) -> Any:
        if has_torch_function_unary(a):
            return handle_torch_function(double, (a,), a)
        return a * 2

    assert type(double(torch.ones(2).as_subclass(Logging))) is Logging
    assert asked == [("double", ("Logging",), {})]
    assert overrides.is_tensor_like(Scalar(1, 1)) and not overrides.is_tensor_like(3)
    with pytest.warns(UserWarning, match="as a plain method is deprecated"):

        class Plain:
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return 7

        assert torch.mean(Plain()) == 7


def test_nothing_asks_as_long_as_nobody_wants_to_be_asked() -> None:
    program = "import rushlight as torch, rushlight.nn, sys; torch.nn.Linear(2, 2)(torch.ones(2)).sum().backward(); assert 'rushlight.overrides' not in sys.modules; assert torch.add.__code__.co_name == 'add' and 'arithmetic' in torch.add.__code__.co_filename"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
