"""Normalisation layers against PyTorch's results."""

import pytest
from layer_calls import check_call, recorded

import rushlight as torch

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
