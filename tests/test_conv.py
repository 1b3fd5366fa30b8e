"""Convolutions, padding, sliding blocks and shuffles against PyTorch's results."""

import numpy as np
import pytest
from layer_calls import check_call, recorded

import rushlight as torch

F = torch.nn.functional
CASES = recorded("conv")


@pytest.mark.parametrize("source", CASES)
def test_matches_pytorch(source):
    check_call(source, CASES[source])


def test_the_three_convolution_cards_are_each_others_gradients():
    """Second order: d/dx of <grad_x, u> by finite differences equals autograd's."""
    torch.manual_seed(3)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, 3, 2, dtype=torch.float64, requires_grad=True)
    u = torch.randn(x.shape, dtype=torch.float64)

    def slope(w):
        (grad,) = torch.autograd.grad((F.conv2d(x, w, stride=2, padding=1, groups=2) ** 2).sum(), x, create_graph=True)
        return (grad * u).sum()

    (second,) = torch.autograd.grad(slope(weight), weight)
    step = 1e-6
    for index in np.ndindex(2, 1, 2, 2):
        shift = torch.zeros(weight.shape, dtype=torch.float64)
        shift[index] = step
        difference = (slope(weight.detach() + shift) - slope(weight.detach() - shift)).item() / (2 * step)
        assert second[index].item() == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_inputs_are_not_changed():
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    before = x.clone(), weight.clone()
    F.conv2d(x, weight, torch.ones(3), padding=1).sum().item()
    assert torch.equal(x, before[0])
    assert torch.equal(weight, before[1])
