"""Activation checkpointing: gradients, random numbers, how often the function runs, and what is refused."""

from __future__ import annotations

import contextlib
import warnings

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.utils import checkpoint as module
from rushlight.utils.checkpoint import checkpoint, checkpoint_sequential

both = pytest.mark.parametrize("use_reentrant", [True, False])


class Counted:
    """A function of three steps, and how many times it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x, weight=None):
        self.calls += 1
        y = (x * 0.7).sin()
        y = y * y.exp()
        return y if weight is None else (y @ weight).tanh()


def leaf(*size: int):
    torch.manual_seed(0)
    return torch.rand(*size, requires_grad=True)


@both
def test_gradients_are_those_without_checkpoint(use_reentrant):
    function, x, weight = Counted(), leaf(3, 4), leaf(4, 2)
    function(x, weight).sum().backward()
    expected = x.grad, weight.grad
    x.grad = weight.grad = None
    out = checkpoint(function, x, weight, use_reentrant=use_reentrant)
    assert function.calls == 2
    out.sum().backward()
    assert function.calls == 3
    assert torch.equal(x.grad, expected[0]) and torch.equal(weight.grad, expected[1])


@both
def test_dropout_drops_the_same_elements_again(use_reentrant):
    x = leaf(100)
    torch.manual_seed(5)
    out = checkpoint(lambda x: nn.functional.dropout(x * 2, 0.5), x, use_reentrant=use_reentrant)
    drawn = torch.rand(3)
    out.sum().backward()
    assert torch.equal(x.grad == 0, out == 0) and 20 < (out == 0).sum() < 80
    # the second run gives the generator back as it was
    state = torch.get_rng_state()
    torch.manual_seed(5)
    nn.functional.dropout(x, 0.5)
    assert torch.equal(drawn, torch.rand(3)) and torch.equal(state, torch.get_rng_state())


def test_random_state_can_be_left_alone():
    x = leaf(100)
    out = checkpoint(lambda x: (x * torch.rand(100)).exp(), x, use_reentrant=False, preserve_rng_state=False)
    before = torch.get_rng_state()
    out.sum().backward()
    assert not torch.equal(before, torch.get_rng_state())


@both
def test_parameters_of_a_module_get_gradients(use_reentrant):
    torch.manual_seed(1)
    layer = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    x = leaf(2, 3)
    layer(x).sum().backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    checkpoint(layer, x, use_reentrant=use_reentrant).sum().backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(layer.parameters(), expected, strict=True))


def test_keywords_grad_and_retained_graphs():
    function, x, weight = Counted(), leaf(3, 4), leaf(4, 2)
    out = checkpoint(function, x, weight=weight, use_reentrant=False).sum()
    first = torch.autograd.grad(out, [x, weight], retain_graph=True)
    second = torch.autograd.grad(out, [x, weight])
    assert function.calls == 3
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_second_run_stops_when_it_has_all():
    log = []

    def function(x):
        y = x.sin().exp()
        log.append("end")
        return y

    checkpoint(function, leaf(2), use_reentrant=False).sum().backward()
    assert log == ["end"]
    checkpoint(function, leaf(2), use_reentrant=False, early_stop=False).sum().backward()
    with module.set_checkpoint_early_stop(False):
        out = checkpoint(function, leaf(2), use_reentrant=False)
    out.sum().backward()
    assert log == ["end"] * 5


def test_nested_checkpoints():
    x = leaf(4)
    calls = []

    def inner(x):
        calls.append("inner")
        return x.sin().cos()

    def outer(x):
        calls.append("outer")
        return checkpoint(inner, (x * 2).exp(), use_reentrant=False).tanh()

    expected = torch.autograd.grad((x * 2).exp().sin().cos().tanh().sum(), x)[0]
    checkpoint(outer, x, use_reentrant=False).sum().backward()
    assert torch.equal(x.grad, expected)
    assert calls[:2] == ["outer", "inner"] and calls.count("outer") == 2


def test_saved_tensors_are_freed_until_backward():
    """What the function computes on the way is not kept."""
    import weakref

    kept = []

    def function(x):
        y = x.exp()
        kept.append(weakref.ref(y))
        return (y.sin() * y).sum()

    out = checkpoint(function, leaf(5), use_reentrant=False)
    assert kept[0]() is None
    out.backward()


@both
def test_sequential_in_segments(use_reentrant):
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
    x = leaf(2, 4)
    layers(x).sum().backward()
    expected = x.grad
    x.grad = None
    out = checkpoint_sequential(layers, 2, x, use_reentrant=use_reentrant)
    assert torch.equal(out, layers(x))
    out.sum().backward()
    assert torch.equal(x.grad, expected)
    assert torch.equal(checkpoint_sequential(list(layers), 5, x, use_reentrant=use_reentrant), layers(x))


def test_without_grad_the_function_just_runs():
    function = Counted()
    with torch.no_grad():
        assert checkpoint(function, leaf(2), use_reentrant=False).grad_fn is None
    assert function.calls == 1


def test_contexts_are_entered_for_each_run():
    log = []

    @contextlib.contextmanager
    def note(name):
        log.append(name)
        yield

    out = checkpoint(Counted(), leaf(2), use_reentrant=False, context_fn=lambda: (note("first"), note("second")))
    assert log == ["first"]
    out.sum().backward()
    assert log == ["first", "second"]


def test_a_context_must_not_swallow_errors():
    def fail(x):
        raise ValueError("lost")

    with pytest.raises(RuntimeError, match="the forward context provided by context_fn suppressed an exception"):
        checkpoint(
            fail, leaf(2), use_reentrant=False, context_fn=lambda: (contextlib.suppress(ValueError), contextlib.nullcontext())
        )


@pytest.mark.parametrize(
    "second, message",
    [
        (lambda x: x * 1.0, "A different number of tensors was saved during the original forward and recomputation"),
        (lambda x: torch.cat([x, x]).sin().exp(), "Recomputed values for the following tensors have different metadata"),
    ],
)
def test_a_function_that_changes_is_noticed(second, message):
    runs = [lambda x: x.sin().exp(), second]
    x = leaf(2)
    out = checkpoint(lambda x: runs.pop(0)(x), x, use_reentrant=False)
    with pytest.raises(module.CheckpointError, match=message):
        out.sum().backward()


def test_more_saved_tensors_than_before_are_noticed():
    runs = [lambda x: x.sin(), lambda x: x.sin().exp().sin()]
    out = checkpoint(lambda x: runs.pop(0)(x), leaf(2), use_reentrant=False, early_stop=False)
    with pytest.raises(module.CheckpointError, match="trying to save more tensors during recomputation than"):
        out.sum().backward()


def test_determinism_check_can_be_turned_off():
    runs = [lambda x: x.sin(), lambda x: x.double().sin()]
    x = leaf(2)
    checkpoint(lambda x: runs.pop(0)(x), x, use_reentrant=False, determinism_check="none").sum().backward()
    assert x.grad is not None
    with pytest.raises(ValueError, match=r"determinism_check should be one of \['default', 'none'\], but got strict"):
        checkpoint(torch.sin, x, use_reentrant=False, determinism_check="strict")


def test_in_place_change_of_an_input_is_noticed():
    x = leaf(2)
    y = x * 1.0
    out = checkpoint(lambda y: y.sin(), y, use_reentrant=False)
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        out.sum().backward()


def test_debug_shows_both_lists_of_operations():
    runs = [lambda x: x.sin().exp(), lambda x: x.cos()]
    with module.set_checkpoint_debug_enabled(True):
        out = checkpoint(lambda x: runs.pop(0)(x), leaf(2), use_reentrant=False)
    with pytest.raises(module.CheckpointError) as caught:
        out.sum().backward()
    text = str(caught.value)
    first, second = text.split("Operations executed during recomputation:")
    assert "sin" in first and "exp" in first and "cos" in second


def test_what_the_reentrant_kind_refuses():
    x = leaf(2)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: other"):
        checkpoint(torch.sin, x, use_reentrant=True, other=1)
    with pytest.raises(ValueError, match="Passing `context_fn` or `debug` is only supported when use_reentrant=False."):
        checkpoint(torch.sin, x, use_reentrant=True, debug=True)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
        checkpoint(torch.sin, torch.ones(1), use_reentrant=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checkpoint(torch.sin, x)
    assert str(caught[0].message).startswith(
        "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
        "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception. "
    )


def test_groups_cannot_be_nested():
    with module.GraphExecGroup():  # noqa: SIM117
        with pytest.raises(RuntimeError, match="GraphExecGroup contexts cannot be nested"), module.GraphExecGroup():
            raise AssertionError("not reached")
    with module.GraphExecGroup():
        function, x = Counted(), leaf(3)
        out = checkpoint(lambda x: (function(x).sum(), x.exp().sum()), x, use_reentrant=False)
        out[0].backward()
        out[1].backward()
        assert function.calls == 2
