"""Images read at given places: one kernel, the formula that gradients follow and the interpreter's rule have the same bits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional
op: Any = sys.modules["rushlight.ops.grid_sample"]
SHAPES = [((2, 3, 7, 9), (2, 5, 6, 2)), ((1, 1, 1, 1), (1, 4, 5, 2)), ((3, 2, 20, 1), (3, 40, 3, 2))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_all_forms_have_the_same_bits(mode: str, padding: str, dtype: Any) -> None:
    """Also where images and places lie otherwise, at edges, far outside and at nan."""
    random = np.random.default_rng(0)
    for of_image, of_grid in SHAPES:
        image, grid = (torch.tensor(a).to(dtype) for a in (random.standard_normal(of_image), random.uniform(-2.5, 2.5, of_grid)))
        grid.view(-1)[:6] = torch.tensor([1, -1, 0, float("nan"), 40.3, float("inf")], dtype=dtype)
        turned = image.transpose(1, 3).contiguous().transpose(1, 3), grid.transpose(1, 2).contiguous().transpose(1, 2)
        for corners in (True, False):
            found = F.grid_sample(image, grid, mode, padding, corners)
            with np.errstate(all="ignore"):
                ruled = op._rule(image.numpy(), grid.numpy(), mode, padding, corners)
            for other in (op._by_formula(image, grid, mode, padding, corners).numpy(), ruled, F.grid_sample(*turned, mode, padding, corners).numpy()):
                np.testing.assert_array_equal(found.numpy(), other, err_msg=f"{of_image}, corners {corners}")
            followed = F.grid_sample(image.clone().requires_grad_(), grid, mode, padding, corners)
            np.testing.assert_array_equal(found.numpy(), followed.detach().numpy())


def test_nan_is_the_first_edge_where_places_are_held_inside() -> None:
    """As PyTorch has it: it reads the first row and column there, and nothing where what is outside counts as zero."""
    image, grid = torch.arange(6.0).view(1, 1, 2, 3) + 0.7, torch.full((1, 1, 1, 2), float("nan"))
    for padding, wanted in (("border", 0.7), ("reflection", 0.7), ("zeros", 0.0)):
        assert F.grid_sample(image, grid, "nearest", padding, False).item() == pytest.approx(wanted)


def test_the_entry_has_the_gradient_of_the_formula() -> None:
    torch.manual_seed(0)
    image, grid = torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.rand(2, 4, 3, 2, dtype=torch.float64) * 2 - 1
    results = []
    for function in (lambda *t: op.apply(op._grid_sampler_2d, t, ("bilinear", "zeros", False)), lambda *t: op._by_formula(*t, "bilinear", "zeros", False)):
        operands = [image.clone().requires_grad_(), grid.clone().requires_grad_()]
        results.append(torch.autograd.grad(function(*operands).square().sum(), operands))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)
