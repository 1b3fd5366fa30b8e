"""Normalisation layers against PyTorch's results."""

import pytest
from layer_calls import check_call, recorded

import rushlight as torch
from rushlight.engine import llvm

F = torch.nn.functional
CASES = recorded("norm_layers")


@pytest.mark.parametrize("source", CASES)
def test_matches_pytorch(source):
    check_call(source, CASES[source])


def test_running_statistics_move_in_place_towards_the_batch():
    """The variance that is remembered is the unbiased one."""
    mean, var = torch.zeros(1), torch.ones(1)
    F.batch_norm(torch.tensor([[0.3], [0.7], [2.3]]), mean, var, training=True, momentum=0.1)
    assert mean.item() == pytest.approx(0.11)
    assert var.item() == pytest.approx(0.9 + 0.1 * 1.12, rel=1e-5)


def test_instance_norm_remembers_the_mean_over_the_batch():
    mean, var = torch.zeros(1), torch.ones(1)
    F.instance_norm(torch.tensor([[[0.3, 0.7]], [[1.3, 2.3]]]), mean, var, momentum=0.5)
    assert mean.item() == pytest.approx(0.575)
    assert var.item() == pytest.approx((1 + 0.08) / 4 + (1 + 0.5) / 4, rel=1e-5)


@pytest.mark.parametrize("norm", ["batch", "layer", "group"])
def test_second_order(norm):
    """The gradient of a gradient, by finite differences: the statistics depend on the input too."""
    torch.manual_seed(1)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    u, v = torch.randn(3, 4, 2, dtype=torch.float64), torch.randn(3, 4, 2, dtype=torch.float64)
    call = {
        "batch": lambda x: F.batch_norm(x, None, None, training=True),
        "layer": lambda x: F.layer_norm(x, (4, 2)),
        "group": lambda x: F.group_norm(x, 2),
    }[norm]

    def slope(x):
        (grad,) = torch.autograd.grad((call(x) ** 3 * u).sum(), x, create_graph=True)
        return (grad * v).sum()

    (second,) = torch.autograd.grad(slope(x), x)
    step = 1e-5
    ahead, behind = (slope((x.detach() + sign * step * v).requires_grad_()).item() for sign in (1, -1))
    assert (second * v).sum().item() == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


@pytest.mark.skipif(not llvm.AVAILABLE, reason="NumPy adds up in the order of memory")
@pytest.mark.parametrize("norm", ["batch", "group", "layer", "instance"])
@pytest.mark.parametrize("shape", [(3, 8, 5, 7), (2, 32, 21, 18), (5, 4, 9, 3)], ids=str)
def test_bits_do_not_depend_on_strides(norm, shape):
    """Of results and of gradients, for images with their channels last, and with other orders of dims."""
    torch.manual_seed(1)
    x, grad, weight, bias = torch.randn(shape), torch.randn(shape), torch.randn(shape[1]), torch.randn(shape[1])
    places = torch.randn(shape[1:])
    call = {
        "batch": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        "group": lambda x, w, b: F.group_norm(x, 4, w, b),
        "layer": lambda x, w, b: F.layer_norm(x, shape[1:], places * w.view(-1, 1, 1), places + b.view(-1, 1, 1)),
        "instance": lambda x, w, b: F.instance_norm(x, None, None, w, b),
    }[norm]
    wanted = None
    for dims in ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2), (2, 1, 0, 3)):
        back = [dims.index(d) for d in range(4)]
        operands = [t.clone().requires_grad_() for t in (x.permute(dims).contiguous().permute(back), weight, bias)]
        found = call(*operands)
        gradients = torch.autograd.grad(found, operands, grad.permute(dims).contiguous().permute(back))
        results = [found.detach(), *gradients]
        if wanted is None:
            wanted = results
            centred = x.double().view(shape[0], 4, -1) if norm == "group" else None
            if centred is not None:
                exact = (centred - centred.mean(2, keepdim=True)) / (centred.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
                exact = exact.view(shape) * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
                assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-5)
        for result, other in zip(results, wanted, strict=True):
            assert torch.equal(result, other), dims


def test_gradients_of_group_norm():
    """Against those of its formula, in double precision: with and without a weight, and of many samples, whose sums go by blocks."""
    torch.manual_seed(2)
    for shape, groups in (((3, 8, 5, 7), 4), ((300, 6, 2, 2), 3), ((2, 6), 2)):
        x, grad = torch.randn(shape) + 0.5, torch.randn(shape)
        weight, bias = torch.randn(shape[1]), torch.randn(shape[1])
        for parameters in ((weight, bias), ()):
            operands = [t.clone().requires_grad_() for t in (x, *parameters)]
            found = torch.autograd.grad(F.group_norm(operands[0], groups, *operands[1:]), operands, grad)
            exact = [t.double().requires_grad_() for t in (x, *parameters)]
            rows = exact[0].reshape(shape[0], groups, -1)
            normalized = ((rows - rows.mean(2, keepdim=True)) / (rows.var(2, correction=0, keepdim=True) + 1e-5).sqrt()).reshape(shape)
            scale, shift = [t.view(-1, *[1] * (len(shape) - 2)) for t in exact[1:]] or (1, 0)
            wanted = torch.autograd.grad(normalized * scale + shift, exact, grad.double())
            for ours, theirs in zip(found, wanted, strict=True):
                assert torch.allclose(ours.double(), theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item()), (shape, len(parameters))


def test_running_statistics_are_not_rounded_to_half_precision():
    """Those in float32 of an input in bfloat16 without weight and bias."""
    x = (torch.arange(24.0).reshape(4, 3, 2) ** 1.5).to(torch.bfloat16)
    mean, variance = torch.zeros(3), torch.ones(3)
    F.batch_norm(x, mean, variance, training=True)
    torch.testing.assert_close(mean, x.float().mean((0, 2)) * 0.1, rtol=1e-6, atol=0)
