"""Gradients as a user sees them: saved tensors, views and writes, leaves, accumulation. Expected values and messages were recorded from PyTorch 2.13."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
from autograd_cases import FREED, MODIFIED, Double, leaf, raises

import rushlight as torch
from rushlight import nn, tape
from rushlight.autograd import Function

MULTI = "This view is the output of a function that returns multiple views."
NO_GRAD_VIEW = "A view was created in no_grad mode and is being modified inplace with grad mode enabled."


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
