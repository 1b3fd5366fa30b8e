"""User-defined functions: `torch.autograd.Function`. Expected values and messages were recorded from PyTorch 2.13."""

from __future__ import annotations

import pytest
from autograd_cases import FREED, MODIFIED, Double, leaf, raises

import rushlight as torch
from rushlight.autograd import Function
from rushlight.autograd.function import once_differentiable


def test_function_saves_and_checks_what_it_saved():
    x = leaf(1.0, 2.0)
    y = Double.apply(x)
    assert repr(y) == "tensor([2., 4.], grad_fn=<DoubleBackward>)"
    assert y.grad_fn.name() == type(y.grad_fn).__name__ == "DoubleBackward"
    assert y.grad_fn.saved_tensors[0] is x
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    with raises(FREED):
        y.grad_fn.saved_tensors  # noqa: B018
    with raises(FREED):
        y.sum().backward()
    source = x + 0
    y = Double.apply(source)
    source.add_(1)
    with raises(MODIFIED + "[torch.FloatTensor [2]], which is output 0 of Add, is at version 1; expected version 0 instead."):
        y.sum().backward()


def test_function_is_not_recorded_without_grad():
    with torch.no_grad():
        assert not Double.apply(leaf(1.0)).requires_grad
    assert not Double.apply(torch.ones(1)).requires_grad


def test_function_with_setup_context_and_other_arguments():
    class Scale(Function):
        @staticmethod
        def forward(x, factor, label="none"):
            return x * factor, label

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]
            assert inputs[2] == "none"
            assert output[1] == "none"
            assert ctx.needs_input_grad == (True, False, False)

        @staticmethod
        def backward(ctx, grad, label_grad):
            assert label_grad is None
            return grad * ctx.factor, None, None

    x = leaf(1.0, 2.0)
    out, label = Scale.apply(x, 3)
    assert label == "none"
    out.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ((1, None), "expected Variable or None (got int)"),
        ((torch.ones(2), torch.ones(2)), "function BadBackward returned a gradient different than None at position 2, but the corresponding forward input was not a Variable"),
        ((torch.ones(2), None, torch.ones(1)), "function BadBackward returned an incorrect number of gradients (expected 2, got 3)"),
        (torch.ones(2), "function BadBackward returned an incorrect number of gradients (expected 2, got 1)"),
        ((torch.ones(3), None), "Function BadBackward returned an invalid gradient at index 0 - got [3] but expected shape compatible with [2]"),
    ],
)
def test_what_backward_of_a_function_may_return(result, message):
    class Bad(Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * k

        @staticmethod
        def backward(ctx, grad):
            return result

    with raises(message):
        Bad.apply(leaf(1.0, 2.0), 3).sum().backward()


def test_an_input_returned_as_it_is_becomes_a_view_that_cannot_be_written():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 5

    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x
    assert y._base is x
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    with raises("Output 0 of Same is a view and is being modified inplace. This view was created inside a custom Function"):
        Same.apply(x).add_(1)


def test_mark_dirty():
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = leaf(1.0, 2.0)
    y = x + 0
    z = Twice.apply(y)
    assert z is y
    assert y.grad_fn.name() == "TwiceBackward"
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    base = leaf(1.0, 1.0) + 0
    part = base[:1]
    Twice.apply(part)
    assert base.grad_fn.name() == "torch::autograd::CopySlices"
    with raises("a leaf Variable that requires grad has been used in an in-place operation."):
        Twice.apply(x)

    class Forgetful(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1

    with raises("Some elements marked as dirty during the forward method were not returned as output."):
        Forgetful.apply(x + 0)


def test_outputs_without_gradient_and_unused_outputs():
    class Many(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            constant = x * 1
            ctx.mark_non_differentiable(constant)
            ctx.set_materialize_grads(materialize)
            return constant, x * 2, x * 3, x > 0

        @staticmethod
        def backward(ctx, *grads):
            seen.append([None if g is None else g.tolist() for g in grads])
            return grads[1] * 2, None

    seen: list = []
    x = leaf(1.0, 2.0)
    for materialize in (True, False):
        outputs = Many.apply(x, materialize)
        assert [o.requires_grad for o in outputs] == [False, True, True, False]
        outputs[1].sum().backward()
    assert seen == [[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [False, False]], [None, [1.0, 1.0], None, None]]


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            return grad * 2

    x = leaf(1.0, 2.0)
    (g,) = torch.autograd.grad(Once.apply(x).pow(2).sum(), x, create_graph=True)
    assert g.tolist() == [8.0, 16.0]
    with raises("trying to differentiate twice a function that was marked with @once_differentiable"):
        g.sum().backward()


def test_functions_nest_in_double_backward():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x**2

    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Cube.apply, (x,))
    assert torch.autograd.gradgradcheck(Cube.apply, (x,))


def test_function_misuse():
    class Empty(Function):
        pass

    x = leaf(1.0)
    with raises("You must implement the forward function for custom autograd.Function.", NotImplementedError):
        Empty.apply(x)
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        instance = Empty()
    with raises("Legacy autograd function with non-static forward method is deprecated."):
        instance(x)

    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x * 1

    with raises("save_for_backward can only save variables, but argument 0 is of type int", TypeError):
        Saves.apply(x)
