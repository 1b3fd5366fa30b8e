"""Autograd as a user sees it. Expected values and messages were recorded from PyTorch 2.13."""

from __future__ import annotations

import copy
import gc
import re
import weakref

import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.autograd import Function
from rushlight.autograd.function import once_differentiable


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), requires_grad=True)


def raises(message: str, kind: type[Exception] = RuntimeError):  # noqa: ANN201
    return pytest.raises(kind, match=re.escape(message))


MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation: "
FREED = "Trying to backward through the graph a second time"
MULTI = "This view is the output of a function that returns multiple views."
NO_GRAD_VIEW = "A view was created in no_grad mode and is being modified inplace with grad mode enabled."


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 + 0 * x


# Saved tensors and versions


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda x: x.exp(), "[torch.FloatTensor [2]], which is output 0 of Exp, is at version 1; expected version 0 instead."),
        (lambda x: (x + 1) ** 2, ""),
    ],
)
def test_a_saved_output_that_is_written_is_refused(make, text):
    x = leaf(1.0, 2.0)
    y = make(x)
    y.add_(1)
    if text:
        with raises(MODIFIED + text):
            y.sum().backward()
    else:
        y.sum().backward()


def test_a_saved_input_names_the_write_that_replaced_it():
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y * y
    y[0] = 0
    with raises("which is output 0 of torch::autograd::CopySlices, is at version 1; expected version 0 instead. Hint: enable anomaly detection"):
        z.sum().backward()
    w = torch.ones(2)
    z = x * w
    w.mul_(2)
    with raises(MODIFIED + "[torch.FloatTensor [2]] is at version 1; expected version 0 instead."):
        z.sum().backward()


def test_writes_through_data_are_not_seen():
    x = leaf(1.0, 2.0)
    y = x * x
    x.data.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]
    w = torch.ones(2)
    z = leaf(1.0, 2.0) * w.data
    w.add_(1)
    z.sum().backward()


def test_version_counters_are_shared_by_views_and_detach_but_not_by_data():
    base = torch.zeros(4)
    view, detached, data = base[1:], base.detach(), base.data
    base.add_(1)
    view.add_(1)
    assert (base._version, view._version, detached._version, data._version) == (2, 2, 2, 0)
    data.add_(1)
    assert (base._version, data._version) == (2, 1)
    torch.autograd.graph.increment_version([base])
    assert base._version == 3


def test_an_in_place_op_that_needs_its_old_value_keeps_a_copy():
    for change, expected in (
        (lambda y: y.clamp_(1, 3), [0.0, 2.0, 0.0, 0.0]),
        (lambda y: y.pow_(2), [0.0, 8.0, 16.0, 24.0]),
        (lambda y: y.sin_().mul_(y), None),
        (lambda y: y.index_fill_(0, torch.tensor([1]), 3.0), [2.0, 0.0, 2.0, 2.0]),
        (lambda y: y.zero_(), [0.0, 0.0, 0.0, 0.0]),
        (lambda y: y.normal_(), [0.0, 0.0, 0.0, 0.0]),
    ):
        x = torch.arange(4.0, requires_grad=True)
        y = x * 2
        change(y)
        y.sum().backward()
        if expected is not None:
            assert x.grad.tolist() == expected


# Views and writes


def test_a_write_through_a_view_belongs_to_the_base():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = x * 3
    view = y.view(2, 2)
    row = view[0]
    row.mul_(2)
    assert [t.grad_fn.name() for t in (y, view, row)] == ["torch::autograd::CopySlices", "AsStridedBackward0", "AsStridedBackward0"]
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 3.0, 3.0]


def test_a_constant_written_through_a_view_stops_the_gradient():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    y[0] = 0
    y[2:].copy_(torch.ones(1))
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 0.0]


def test_strided_and_transposed_views_send_gradients_to_the_right_elements():
    x = leaf(1.0, 1.0, 1.0, 1.0)
    y = x * 3
    y.view(2, 2).t().mul_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    (y * y).sum().backward()
    assert x.grad.tolist() == [18.0, 162.0, 72.0, 288.0]
    x = leaf(1.0, 1.0)
    y = torch.zeros(2, 2)
    y.diagonal().copy_(x)
    y.t()[0] += x
    (y**2).sum().backward()
    assert y.tolist() == [[2.0, 0.0], [1.0, 1.0]]
    assert x.grad.tolist() == [8.0, 4.0]


def test_a_view_taken_before_its_base_gets_a_history_follows_it():
    x = leaf(1.0, 2.0)
    base = torch.zeros(2, 2)
    view = base[0]
    base.copy_(x)
    assert view.requires_grad
    assert view.grad_fn.name() == "AsStridedBackward0"
    view.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("split", [lambda y: y.chunk(2), lambda y: y.split(1), lambda y: y.unbind(0)])
def test_one_of_several_views_cannot_be_written(split):
    x = leaf(1.0, 2.0)
    y = x * 2
    first = split(y)[0]
    with raises("is a view and is being modified inplace. " + MULTI):
        first.add_(1)
    y.add_(1)
    with raises("is a view and its base or another view of its base has been modified inplace. " + MULTI):
        first.grad_fn  # noqa: B018
    first, second = torch.ones(2).chunk(2)
    first.add_(1)  # nothing requires grad
    with raises(NO_GRAD_VIEW + " " + MULTI):
        second.mul_(x[:1])


def test_leaves_and_their_views_cannot_be_written():
    x = leaf(1.0, 2.0)
    with raises("a leaf Variable that requires grad is being used in an in-place operation."):
        x.add_(1)
    for write in (lambda: x[0].zero_(), lambda: x.__setitem__(0, 1.0), lambda: x.view(2, 1).t().mul_(2)):
        with raises("a view of a leaf Variable that requires grad is being used in an in-place operation."):
            write()
    with torch.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]
    assert x.is_leaf


def test_views_made_without_grad_cannot_be_written_with_it():
    x = leaf(1.0, 2.0)
    y = x * 2
    with torch.no_grad():
        view = y[:1]
    assert view.grad_fn is None
    assert view.requires_grad
    with raises(NO_GRAD_VIEW + " Given that this use case is ambiguous and error-prone, it is forbidden."):
        view.add_(1)
    y.add_(1)
    with raises("A view was created in no_grad mode and its base or another view of its base has been modified inplace"):
        view.grad_fn  # noqa: B018
    assert repr(view) == "tensor([3.], grad_fn=<Invalid>)"
    with torch.inference_mode():
        view = x[0]
    assert not view.is_inference()
    with raises("A view was created in inference mode and is being modified inplace in normal mode."):
        view.add_(1)


def test_detach_in_place_refuses_views():
    y = leaf(1.0, 2.0) * 2
    with raises("Can't detach views in-place. Use detach() instead."):
        y[0].detach_()
    assert not y.detach_().requires_grad
    assert y.is_leaf


def test_detach_shares_memory_and_cuts_the_graph():
    x = leaf(1.0, 2.0)
    d = x.detach()
    d.zero_()
    assert x.tolist() == [0.0, 0.0]
    assert not d.requires_grad
    assert d._base is None


# Leaves, grad, accumulation


def test_leaf_checks():
    x = leaf(1.0)
    y = x * 2
    with raises("you can only change requires_grad flags of leaf variables."):
        y.requires_grad = False
    with raises("element 0 of tensors does not require grad and does not have a grad_fn"):
        x.detach().sum().backward()
    with raises("grad can be implicitly created only for scalar outputs"):
        (leaf(1.0, 2.0) * 2).backward()
    with raises("Mismatch in shape: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of torch.Size([1])."):
        y.backward(torch.ones(3))
    with raises("One of the differentiated Tensors does not require grad"):
        torch.autograd.grad(y, torch.ones(1))
    with raises("The differentiated Tensor at index 1 appears to not have been used in the graph. Set allow_unused=True"):
        torch.autograd.grad(y, [x, leaf(1.0)])
    with raises("only Tensors of floating point dtype can require gradients"):
        torch.ones(1, dtype=torch.int64).requires_grad_()


def test_the_graph_is_freed_unless_retained():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with raises(FREED):
        y.backward()
    z = (x + 1).sum()  # nothing was saved
    z.backward()
    z.backward()


def test_no_two_gradients_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    weight = torch.ones(2)
    (a + b).backward(weight)
    pointers = {t.data_ptr() for t in (a.grad, b.grad, weight)}
    assert len(pointers) == 3
    (a + b).backward(weight)
    assert a.grad.tolist() == b.grad.tolist() == [2.0, 2.0]
    assert weight.tolist() == [1.0, 1.0]


def test_a_gradient_that_a_hook_kept_does_not_change_later():
    x = leaf(1.0, 2.0)
    kept = []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert [k.tolist() for k in kept] == [[2.0, 2.0], [2.0, 2.0]]

    stored = torch.tensor([5.0, 5.0])

    class Constant(Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return stored

    x = leaf(1.0, 2.0)
    for _ in range(2):
        Constant.apply(x).sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]
    assert stored.tolist() == [5.0, 5.0]


def test_gradients_have_the_strides_of_their_leaf():
    x = torch.ones(2, 3).t().requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.stride() == (1, 3)
    x = torch.ones(2, 6)[:, ::2].requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.stride() == (3, 1)


def test_grad_of_intermediates_and_options():
    a = leaf(1.0, 1.0)
    y = a * 2
    z = (y * y).sum()
    assert [g.tolist() for g in torch.autograd.grad(z, [y, a], retain_graph=True)] == [[4.0, 4.0], [8.0, 8.0]]
    assert torch.autograd.grad(z, z)[0].item() == 1.0
    b = leaf(1.0)
    assert torch.autograd.grad(y.sum(), b, allow_unused=True) == (None,)
    assert torch.autograd.grad((a * 2).sum(), [a, b], materialize_grads=True)[1].tolist() == [0.0]
    assert torch.autograd.grad(a * a, a, torch.eye(2), is_grads_batched=True)[0].tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_backward_to_chosen_inputs():
    a, b = leaf(1.0), leaf(2.0)
    y = a * b
    y.sum().backward(inputs=[y, a])
    assert (y.grad.tolist(), a.grad.tolist(), b.grad) == ([1.0], [2.0], None)
    with raises("`inputs` argument to `backward()` cannot be empty."):
        (a * b).backward(inputs=[])


def test_second_derivatives():
    x = torch.tensor(2.0, requires_grad=True)
    (first,) = torch.autograd.grad(x**3, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x, create_graph=True)
    (third,) = torch.autograd.grad(second, x)
    assert (first.item(), second.item(), third.item()) == (12.0, 12.0, 6.0)


def test_long_chains_need_no_recursion():
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = -y
    y.backward()
    assert x.grad.item() == 1.0
    y = x
    for _ in range(50_000):
        y = y[None][0]  # views of views
    del y


# Hooks


def test_hooks_run_in_order_on_tensors_nodes_and_leaves():
    x = leaf(1.0, 1.0)
    y = x * 2
    log = []
    x.register_hook(lambda g: log.append(("leaf", g.tolist())))
    x.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: log.append(("tensor", g.tolist())))
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    y.grad_fn.register_hook(lambda inputs, outputs: log.append(("node", [None if t is None else t.tolist() for t in inputs], outputs[0].tolist())))
    y.grad_fn.register_prehook(lambda outputs: log.append(("before node", outputs[0].tolist())))
    accumulate = y.grad_fn.next_functions[0][0]
    accumulate.register_hook(lambda inputs, outputs: log.append(("accumulated", inputs, outputs[0].tolist())))
    accumulate.register_prehook(lambda outputs: log.append(("before accumulating", outputs[0].tolist())))
    x.register_post_accumulate_grad_hook(lambda t: log.append(("after accumulating", t.grad.tolist())))
    (y * 3).sum().backward()
    assert log == [
        ("tensor", [3.0, 3.0]),
        ("before node", [6.0, 6.0]),
        ("node", [[12.0, 12.0], None], [6.0, 6.0]),
        ("leaf", [12.0, 12.0]),
        ("before accumulating", [120.0, 120.0]),
        ("after accumulating", [120.0, 120.0]),
        ("accumulated", (), [120.0, 120.0]),
    ]
    assert y.grad.tolist() == [6.0, 6.0]


def test_leaf_hooks_run_as_soon_as_the_gradient_is_complete():
    first, second = leaf(1.0), leaf(1.0)
    log = []
    for name, weight in (("first", first), ("second", second)):
        weight.register_post_accumulate_grad_hook(lambda t, name=name: log.append(name))
    hidden = first * 2
    hidden.register_hook(lambda g: log.append("hidden"))
    out = hidden * second
    out.register_hook(lambda g: log.append("out"))
    out.backward()
    assert log == ["out", "second", "hidden", "first"]


@pytest.mark.parametrize("given", [[torch.ones(2)], (torch.ones(2), torch.ones(3))])
def test_gradients_may_be_given_in_a_sequence(given):
    x = leaf(1.0, 2.0)
    (x * 2).backward(given)
    assert x.grad.tolist() == [2.0, 2.0]
    with raises("got 1 tensors and 0 gradients"):
        (x * 2).backward([])
    with raises("'float' object is not iterable", TypeError):
        (x * 2).backward(3.0)


@pytest.mark.parametrize(
    ("layer", "shape", "order"),
    [
        (nn.Linear(2, 2), (3, 2), "bias weight"),
        (nn.BatchNorm1d(2), (3, 2), "weight bias"),
        (nn.GRU(2, 2), (3, 1, 2), "bias_hh_l0 weight_hh_l0 bias_ih_l0 weight_ih_l0"),
        (nn.LSTM(2, 2), (3, 1, 2), "weight_ih_l0 weight_hh_l0 bias_hh_l0 bias_ih_l0"),
    ],
)
def test_gradients_of_a_layer_are_complete_in_pytorchs_order(layer, shape, order):
    """Hooks that print or collect show it."""
    log = []
    for name, parameter in layer.named_parameters():
        parameter.register_hook(lambda g, name=name: log.append(name))
    found = layer(torch.ones(shape))
    (found[0] if isinstance(found, tuple) else found).sum().backward()
    assert log == order.split()


@pytest.mark.parametrize("on_leaf", [True, False])
@pytest.mark.parametrize(
    ("hook", "kind", "message"),
    [
        (lambda g: 3, TypeError, "expected Variable, but hook returned 'int'"),
        (lambda g: torch.ones(3), RuntimeError, "hook '<lambda>' has changed the size of value"),
        (lambda g: g.double(), RuntimeError, "hook '<lambda>' has changed the type of value (was torch.FloatTensor got torch.DoubleTensor)"),
    ],
)
def test_what_a_hook_may_return(on_leaf, hook, kind, message):
    x = leaf(1.0, 2.0)
    y = x * 2
    (x if on_leaf else y).register_hook(hook)
    with raises(message, kind):
        y.sum().backward()


def test_hooks_can_be_removed_and_need_a_gradient():
    x = leaf(1.0)
    handle = x.register_hook(lambda g: g * 5)
    handle.remove()
    (x * 2).backward()
    assert x.grad.tolist() == [2.0]
    with raises("cannot register a hook on a tensor that doesn't require gradient"):
        torch.ones(1).register_hook(print)
    with raises("can't retain_grad on Tensor that has requires_grad=False"):
        torch.ones(1).retain_grad()
    with raises("post accumulate grad hooks cannot be registered on non-leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_retain_grad_follows_the_tensor_through_writes():
    y = leaf(1.0, 1.0) * 2
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: seen.append(("old", g.tolist())))
    y.mul_(5)
    y.register_hook(lambda g: seen.append(("new", g.tolist())))
    y.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]
    assert seen == [("new", [1.0, 1.0]), ("old", [5.0, 5.0])]


def test_one_hook_for_several_tensors():
    a, b = leaf(1.0), leaf(2.0)
    c, d = a * b, a * b
    calls = []
    torch.autograd.graph.register_multi_grad_hook((a, b, c, d), lambda grads: calls.append([g is not None for g in grads]))
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    assert calls == [[True, True, True, False], [True, False, True, False]]
    first = []
    torch.autograd.graph.register_multi_grad_hook((a, b), lambda g: first.append(g.item()), mode="any")
    (a * 3 + b * 4).backward()
    assert len(first) == 1


# Function


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


# Saved tensor hooks, anomaly detection, the graph


def test_saved_tensor_hooks_see_and_replace_what_is_saved():
    x = leaf(1.0, 2.0)
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return t.detach().clone()

    def unpack(t):
        unpacked.append(t.tolist())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.exp() * x
    assert len(packed) == 3
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert len(unpacked) == 3
    (second,) = torch.autograd.grad(g.sum(), x)
    expected = (x + 2).exp() * (x + 2) / torch.tensor(2.0).exp()
    torch.testing.assert_close(second, expected.detach())


def test_saved_tensor_hooks_can_be_forbidden():
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        (leaf(1.0) * leaf(2.0)).backward()
        with raises("not here"), torch.autograd.graph.save_on_cpu():
            pass


def test_anomaly_detection():
    x = torch.zeros(1, requires_grad=True)
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        mode = torch.autograd.detect_anomaly()
    with mode:
        y = torch.sqrt(x * 0)
        with pytest.warns(UserWarning, match="Error detected in MulBackward0") as caught, raises("Function 'MulBackward0' returned nan values in its 0th output."):
            y.backward()
        assert "torch.sqrt(x * 0)" in str(caught[0].message)
    assert not torch.is_anomaly_enabled()


def test_gradient_edges_stand_for_tensors():
    x = leaf(1.0, 2.0)
    y = x * 3
    edge, edge_of_leaf = (torch.autograd.graph.get_gradient_edge(t) for t in (y, x))
    assert [g.tolist() for g in torch.autograd.grad((y * y).sum(), [edge, edge_of_leaf])] == [[6.0, 12.0], [18.0, 36.0]]
    torch.autograd.backward(torch.autograd.graph.get_gradient_edge((x * 2).sum()))
    assert x.grad.tolist() == [2.0, 2.0]


def test_inference_tensors():
    x = leaf(1.0, 2.0)
    with torch.inference_mode():
        v = torch.ones(2)
        assert not (x * 2).requires_grad
    assert v.is_inference()
    with raises("Inference tensors cannot be saved for backward."):
        x * v
    with raises("Inplace update to inference tensor outside InferenceMode is not allowed."):
        v.add_(1)
    with raises("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."):
        v.requires_grad_()
    (x * v.clone()).sum().backward()


def test_variable_is_the_old_name_of_tensor():
    v = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert isinstance(v, torch.autograd.Variable)
    assert isinstance(v, torch.Tensor)
    assert v.requires_grad


# gradcheck, functional, func


def test_gradcheck_finds_what_is_wrong():
    class Wrong(Function):
        factor, offset = 3.0, 0.0

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * Wrong.factor + Wrong.offset

    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    with raises("Jacobian mismatch for output 0 with respect to input 0,\nnumerical:", torch.autograd.GradcheckError):
        torch.autograd.gradcheck(Wrong.apply, (x,))
    assert not torch.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    assert not torch.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False, fast_mode=True)
    Wrong.factor, Wrong.offset = 2.0, 0.0
    assert torch.autograd.gradcheck(Wrong.apply, (x,), fast_mode=True)
    Wrong.offset = 1e-9
    with raises("backward not multiplied by grad_output", torch.autograd.GradcheckError):
        torch.autograd.gradcheck(Wrong.apply, (x,))
    with raises("gradcheck expects at least one input tensor to require gradient", ValueError):
        torch.autograd.gradcheck(torch.sin, (x.detach(),))


@pytest.mark.parametrize("function", [lambda a: a * a, lambda a: a.abs(), lambda a: a * a.conj(), lambda a: a.real, lambda a: a.exp()])
def test_gradcheck_of_complex_functions(function):
    z = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(function, (z,))
    assert torch.autograd.gradgradcheck(function, (z,))


def test_functional_products_agree_with_the_matrices():
    functional = torch.autograd.functional
    x = torch.tensor([1.0, 2.0, 3.0])
    v = torch.tensor([1.0, 0.5, -1.0])

    def f(t):
        return torch.stack((t.prod(), t.sum() ** 2))

    jacobian = functional.jacobian(f, x)
    assert jacobian.tolist() == [[6.0, 3.0, 2.0], [12.0, 12.0, 12.0]]
    torch.testing.assert_close(functional.jvp(f, x, v)[1], jacobian @ v)
    torch.testing.assert_close(functional.vjp(f, x, v[:2])[1], v[:2] @ jacobian)
    hessian = functional.hessian(torch.prod, x)
    assert hessian.tolist() == [[0.0, 3.0, 2.0], [3.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
    torch.testing.assert_close(functional.hvp(torch.prod, x, v)[1], hessian @ v)
    torch.testing.assert_close(functional.vhp(torch.prod, x, v)[1], v @ hessian)
    with raises("Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode."):
        functional.jacobian(lambda a, b: a * 2, (x, x), strict=True)
    with raises("The vector v can only be None if"):
        functional.vjp(lambda a: a * 2, x)


def test_func_transforms_nest():
    f = torch.func
    x = torch.tensor([1.0, 2.0])
    assert f.grad(f.grad(torch.sin))(torch.tensor(0.5)).item() == pytest.approx(-0.479425538)
    assert f.hessian(lambda t: (t**3).sum())(x).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    assert f.jvp(lambda t: t * t, (x,), (x,))[1].tolist() == [2.0, 8.0]
    assert torch.vmap(f.grad(lambda w, a: (w * a).sum() ** 2), in_dims=(None, 0))(x, torch.eye(2)).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    w = torch.tensor(2.0, requires_grad=True)
    outer = f.grad(lambda t: w * t * t)(torch.tensor(3.0))
    assert torch.autograd.grad(outer, w)[0].item() == 6.0
    assert not f.grad(lambda t: t * t)(torch.tensor(3.0)).requires_grad


def test_vmap_dims_and_errors():
    assert torch.vmap(lambda a, b: a + b, in_dims=(0, 1), out_dims=1)(torch.ones(2, 3), torch.zeros(3, 2)).shape == (3, 2)
    with raises("vmap: Expected all tensors to have the same size in the mapped dimension, got sizes [2, 3] for the mapped dimension", ValueError):
        torch.vmap(lambda a, b: a)(torch.ones(2), torch.ones(3))
    with raises("vmap: called random operation while in randomness error mode."):
        torch.vmap(lambda a: a + torch.randn(1))(torch.ones(2))
    same = torch.vmap(lambda a: torch.rand(1), randomness="same")(torch.ones(4))
    assert same.unique().numel() == 1


def test_graphs_are_freed_without_the_garbage_collector():
    def kept_alive(make):
        y = make(leaf(1.0, 2.0))
        node = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        return node() is not None

    def written(x):
        y = x * 1
        y[0] = 3
        return y.mul_(2)

    def retained(x):
        y = x * 1
        y.retain_grad()
        return y

    gc.collect()
    gc.disable()
    try:
        assert not [make for make in (lambda x: (x * 2).exp(), Double.apply, written, retained) if kept_alive(make)]
    finally:
        gc.enable()


def test_nodes_that_get_no_gradient_still_run():
    class Sink(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return None

    x = leaf(1.0, 2.0)
    Sink.apply(Double.apply(x)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]  # Double was given zeros
    x.grad = None
    Sink.apply(x * 2).sum().backward()
    assert x.grad is None


def test_a_gradient_that_goes_to_two_places_is_not_changed_by_a_hook_of_one():
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    first.register_post_accumulate_grad_hook(lambda leaf: leaf.grad.zero_())
    ((first + second * 2) ** 2).sum().backward()
    assert second.grad.tolist() == [12.0, 12.0]


def test_a_reshaped_gradient_becomes_grad_without_a_copy():
    weight = torch.ones(2, 3, requires_grad=True)
    (weight.reshape(6) * 2.0).sum().backward()
    assert torch.equal(weight.grad, torch.full((2, 3), 2.0))
    assert not weight.grad._is_view()


def test_a_gradient_whose_memory_others_show_is_copied():
    x, y = torch.ones(4, requires_grad=True), torch.ones(2, 2, requires_grad=True)
    ((x + y.reshape(4)) ** 2).sum().backward()
    x.grad.zero_()
    assert y.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_gradients_that_nobody_asked_for_are_not_computed() -> None:
    """With targets, the rules of a node run for the edges that lead to one: no weight's gradient on the way to an input's."""
    tape.flush()
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    twin = copy.deepcopy(model)
    x = torch.linspace(-1, 1, 12).view(3, 4).requires_grad_()
    y = model(x).sum()
    begin = len(tape.pending)
    (found,) = torch.autograd.grad(y, x, retain_graph=True)
    if not tape.state.immediate:
        assert all(len(outputs) == 1 for _, outputs, _, _ in list(tape.pending)[begin:])
    (weight,) = torch.autograd.grad(y, model[0].weight)
    assert all(p.grad is None for p in model.parameters())
    twin(x).sum().backward()
    assert torch.equal(found, x.grad) and torch.equal(weight, twin[0].weight.grad)


def test_a_gradient_penalty_through_narrowed_rules() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4).requires_grad_()

    def penalty(*params: torch.Tensor) -> torch.Tensor:
        (g,) = torch.autograd.grad(torch.func.functional_call(model, dict(zip(names, params, strict=True)), (x,)).sum(), x, create_graph=True)
        return (g.norm(dim=1) - 1).square().sum()

    names = [name for name, _ in model.named_parameters()]
    assert torch.autograd.gradcheck(penalty, [p.detach().clone().requires_grad_() for p in model.parameters()])


def test_transforms_refuse_inputs_that_can_have_no_gradient():
    n = torch.arange(3)
    for call in (lambda: torch.func.grad(lambda x: x.sum())(n), lambda: torch.func.jacrev(lambda x: x * 2)(n), lambda: torch.func.vjp(lambda x: x * 2, n)):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
            call()
    for call in (lambda: torch.func.jvp(lambda x: x * 2, (n,), (n,)), lambda: torch.func.hessian(lambda x: x.sum())(n)):
        with pytest.raises(ValueError, match="Expected primal to be floating point or complex, but got: torch.int64"):
            call()
    assert torch.func.grad(lambda x, k: (x * k).sum())(torch.ones(3), n).tolist() == [0.0, 1.0, 2.0]


def test_the_repr_of_a_grad_mode_that_is_set_says_which():
    assert repr(torch.set_grad_enabled(True)) == "torch.autograd.grad_mode.set_grad_enabled(mode=True)"


def test_tensors_of_the_common_shape_are_broadcast_to_themselves():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    assert torch.broadcast_tensors(x, y)[0] is x and torch.broadcast_tensors(x, torch.ones(3, 2))[0].shape == (3, 2)


def test_the_class_of_a_node_has_pytorchs_name_and_shows_what_is_saved() -> None:
    """Programs that draw the graph go by `type(node).__name__`, `next_functions`, `variable` and `_saved_...`."""
    x = torch.ones(2, 3, requires_grad=True)
    y = (x * x).exp().sum()
    names = []
    node = y.grad_fn
    while node is not None:
        names.append(type(node).__name__)
        assert node.__class__.__name__ == names[-1] and isinstance(node, torch.autograd.graph.Node)
        leaf = node
        node = node.next_functions[0][0] if node.next_functions else None
    assert names == ["SumBackward0", "ExpBackward0", "MulBackward0", "AccumulateGrad"] and leaf.variable is x
    assert y.grad_fn is y.grad_fn and type(y.grad_fn) is type((x + 1).sum().grad_fn)
    exp = y.grad_fn.next_functions[0][0]
    assert exp._saved_result.tolist() == torch.exp(x).tolist()
    assert exp.next_functions[0][0]._saved_self is x
    product = (x * 2).grad_fn
    assert product._saved_self is None and [name for name in dir(product) if name.startswith("_saved_")] == ["_saved_other", "_saved_self"]
    assert type(torch.autograd.graph.get_gradient_edge(x * 2).node).__name__ == "MulBackward0"
    assert [type((x * 1)[:1].add_(1).grad_fn).__name__, type(x.split(1)[0].grad_fn).__name__] == ["AsStridedBackward0", "SplitBackward0"]
    # Whether somebody has looked makes no difference to a pass.
    grads = torch.autograd.grad(y, x, retain_graph=True)[0]
    y.backward()
    assert x.grad.tolist() == grads.tolist()
    with raises("Trying to backward through the graph a second time"):
        exp._saved_result  # noqa: B018
