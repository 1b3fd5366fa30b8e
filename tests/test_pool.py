"""Pooling and resampling against PyTorch's results."""

import math

import pytest
from layer_calls import check_call, recorded

import rushlight as torch

F = torch.nn.functional
CASES = recorded("pool")


@pytest.mark.parametrize("source", CASES)
def test_matches_pytorch(source):
    check_call(source, CASES[source])


def test_the_first_of_equal_values_is_the_maximum():
    _, indices = F.max_pool2d(torch.tensor([[[1.0, 2.0], [2.0, 2.0]]]), 2, return_indices=True)
    assert indices.item() == 1


def test_infinity_outside_a_window_does_not_reach_its_mean():
    x = torch.tensor([[[0.3, math.inf, 0.7, 1.3]]])
    assert F.avg_pool1d(x, 2, padding=1).tolist()[0][0][2] == pytest.approx(1.3 / 2)
    assert F.adaptive_avg_pool1d(x, 2).tolist()[0][0] == [math.inf, pytest.approx(1.0)]


def test_gradients_of_overlapping_windows_add_up():
    x = torch.tensor([[[0.3, 1.3, 0.7]]], requires_grad=True)
    F.max_pool1d(x, 2, stride=1).sum().backward()
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0]]]


def test_fractional_pooling_draws_from_the_generator():
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    torch.manual_seed(7)
    once = F.fractional_max_pool2d(x, 2, output_size=3)
    samples = torch.rand(1, 1, 2, generator=torch.Generator().manual_seed(7))
    assert torch.equal(once, F.fractional_max_pool2d(x, 2, output_size=3, _random_samples=samples))


def test_old_names_of_interpolate_warn():
    with pytest.warns(UserWarning, match="upsample_nearest` is deprecated"):
        found = F.upsample_nearest(torch.tensor([[[[1.0, 2.0]]]]), scale_factor=2)
    assert found.tolist() == [[[[1.0, 1.0, 2.0, 2.0]] * 2]]
