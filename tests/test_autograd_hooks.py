"""Hooks on tensors, nodes and leaves: when they run and what they may return. Expected values and messages were recorded from PyTorch 2.13."""

from __future__ import annotations

import pytest
from autograd_cases import leaf, raises

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


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
        (nn.RNNCell(2, 2), (3, 2), "bias_ih weight_ih bias_hh weight_hh"),
        (nn.LSTMCell(2, 2), (3, 2), "bias_ih weight_ih bias_hh weight_hh"),
        (nn.GRUCell(2, 2, bias=False), (3, 2), "weight_hh weight_ih"),
        (nn.GRUCell(2, 2), (3, 2), "bias_hh weight_hh bias_ih weight_ih"),
        (nn.ConvTranspose1d(2, 2, 2), (3, 2, 2), "weight bias"),
        (nn.ConvTranspose2d(2, 2, 2), (3, 2, 2, 2), "weight bias"),
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
    kinds = set()
    torch.autograd.graph.register_multi_grad_hook((a, b, c, d), lambda grads: calls.append([g is not None for g in grads]) or kinds.add(type(grads)))
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    assert calls == [[True, True, True, False], [True, False, True, False]] and kinds == {list}
    first = []
    torch.autograd.graph.register_multi_grad_hook((a, b), lambda g: first.append(g.item()), mode="any")
    (a * 3 + b * 4).backward()
    assert len(first) == 1


@pytest.mark.parametrize(
    ("layer", "shape", "name"),
    [
        (nn.RNNCell(2, 2), (3, 2), "TanhBackward0"),
        (nn.RNNCell(2, 2, nonlinearity="relu"), (3, 2), "ReluBackward0"),
        (nn.GRUCell(2, 2), (3, 2), "AddBackward0"),
        (nn.ConvTranspose2d(2, 2, 2), (3, 2, 2, 2), "ConvolutionBackward0"),
        (nn.Linear(2, 3), (2,), "ViewBackward0"),
        (nn.Linear(2, 3), (4, 2), "AddmmBackward0"),
        (nn.Linear(2, 3), (4, 5, 2), "ViewBackward0"),
        (lambda x: nn.Linear(2, 3)(x.transpose(0, 1)), (4, 5, 2), "AddBackward0"),
        (nn.Linear(2, 3, bias=False), (2,), "SqueezeBackward4"),
        (nn.Linear(2, 3, bias=False), (4, 2), "MmBackward0"),
        (nn.Linear(2, 3, bias=False), (4, 5, 2), "UnsafeViewBackward0"),
        (lambda x: x.requires_grad_() @ torch.ones(2, 2), (4, 5, 2), "UnsafeViewBackward0"),
        (lambda x: nn.RNN(2, 3)(x)[0], (4, 5, 2), "StackBackward0"),
        (lambda x: nn.GRU(2, 3, 2, batch_first=True)(x)[0], (4, 5, 2), "TransposeBackward1"),
        (lambda x: nn.GRU(2, 3, 2)(x)[1], (4, 5, 2), "StackBackward0"),
        (lambda x: nn.LSTM(2, 3)(x)[0], (4, 5, 2), "MkldnnRnnLayerBackward0"),
        (lambda x: F.cross_entropy(x.requires_grad_(), torch.tensor([0, 1])), (2, 2), "NllLossBackward0"),
        (lambda x: F.cross_entropy(x.requires_grad_(), torch.tensor([0, 1]), label_smoothing=0.1), (2, 2), "AddBackward0"),
        (lambda x: F.cross_entropy(x.requires_grad_(), torch.ones(2, 2)), (2, 2), "DivBackward1"),
        (lambda x: F.cross_entropy(x.requires_grad_(), torch.zeros(2, 3, dtype=torch.long)), (2, 2, 3), "NllLoss2DBackward0"),
        (lambda x: F.nll_loss(x.requires_grad_(), torch.zeros(2, 3, dtype=torch.long), reduction="none"), (2, 2, 3), "ViewBackward0"),
        (lambda x: F.pairwise_distance(x.requires_grad_(), torch.zeros(2)), (2, 2), "NormBackward1"),
        (lambda x: F.pdist(x.requires_grad_()), (2, 2), "PdistBackward0"),
        (lambda x: F.affine_grid(x.requires_grad_(), (1, 1, 2, 2), align_corners=False), (1, 2, 3), "AffineGridGeneratorBackward0"),
    ],
)
def test_results_of_layers_say_what_made_them(layer, shape, name):
    """As a tensor that is printed shows it."""
    assert layer(torch.ones(shape)).grad_fn.name() == name
