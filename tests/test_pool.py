"""Pooling and resampling against PyTorch's results."""

import math

import numpy as np
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


@pytest.mark.parametrize(("shape", "size"), [((2, 3, 40, 50), (1, 1)), ((2, 3, 40, 50), (3, 2)), ((3, 7, 7), (1, 1)), ((2, 3, 9, 100), (9, 1)), ((1, 2, 10, 11, 22), (2, 1, 2)), ((2, 5, 500), (3,)), ((2, 5, 500), (1,))])
@pytest.mark.parametrize("values", ["normal", "ties", "nan", "lowest", "zeros", "double", "half", "strided"])
def test_few_long_windows(shape: tuple[int, ...], size: tuple[int, ...], values: str) -> None:
    """Means, and maxima with the first place, or the last nan's, where a window is longer than a row of results."""
    n = len(size)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float64 if values == "double" else np.float32)
    x = {"ties": np.round(x), "nan": np.where(x > 2.2, np.nan, x), "lowest": np.full_like(x, -np.inf), "zeros": np.abs(np.round(x / 9)) * np.sign(x)}.get(values, x)
    t = torch.tensor(x)
    if values == "half":
        t = t.bfloat16()
        x = t.float().numpy()
    if values == "strided":
        t = torch.stack([t, t])[1].flip(0).flip(0).transpose(0, 1).contiguous().transpose(0, 1)
    bounds = [[(i * s // o, -(-(i + 1) * s // o)) for i in range(o)] for s, o in zip(shape[-n:], size, strict=True)]
    flat = np.arange(np.prod(shape[-n:])).reshape(shape[-n:])
    means, largest, places = np.zeros((*shape[:-n], *size)), np.zeros((*shape[:-n], *size), x.dtype), np.zeros((*shape[:-n], *size), np.int64)
    for at in np.ndindex(*size):
        window = tuple(slice(*b[i]) for b, i in zip(bounds, at, strict=True))
        part = x[(..., *window)].reshape(*shape[:-n], -1)
        missing = np.isnan(part)
        chosen = np.where(missing.any(-1), part.shape[-1] - 1 - missing[..., ::-1].argmax(-1), np.where(missing, -np.inf, part).argmax(-1))
        places[(..., *at)] = flat[window].reshape(-1)[chosen]
        largest[(..., *at)] = np.take_along_axis(part, chosen[..., None], -1)[..., 0]
        means[(..., *at)] = part.astype(np.float64).mean(-1)
    pool, average = getattr(F, f"adaptive_max_pool{n}d"), getattr(F, f"adaptive_avg_pool{n}d")
    wanted = size if n > 1 else size[0]
    found, indices = pool(t, wanted, return_indices=True)
    np.testing.assert_array_equal(indices.numpy(), places)
    np.testing.assert_array_equal(found.float().numpy() if values == "half" else found.numpy(), largest)
    tolerance = 1e-2 if values == "half" else 1e-6
    np.testing.assert_allclose(average(t, wanted).double().numpy(), means, rtol=tolerance, atol=tolerance)


def test_means_over_everything_take_any_number_of_dims():
    assert F.adaptive_avg_pool2d(torch.ones(3, 3), 1).shape == (1, 1)
    assert F.adaptive_avg_pool2d(torch.ones(1, 1, 3, 3, 3), 1).shape == (1, 1, 3, 1, 1)
