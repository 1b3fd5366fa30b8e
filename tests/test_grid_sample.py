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


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_entry_has_the_gradients_of_the_formula(dims: int, padding: str, mode: str) -> None:
    """And so has the interpreter's rule; places at which there is no derivative are left out. Where operands lie does not change a bit."""
    if mode == "bicubic" and dims == 3:
        pytest.skip("PyTorch has it of images alone")
    random = np.random.default_rng(0)
    for size, places in (((5, 6, 4), (4, 7, 5)), ((1, 3, 2), (20, 2, 3))):
        image = torch.tensor(random.standard_normal((2, 3, *size[:dims])))
        grid = torch.tensor(random.uniform(-2.7, 2.7, (2, *places[:dims], dims)))
        g = torch.tensor(random.standard_normal((2, 3, *places[:dims])))
        for corners in (True, False):
            how = (mode, padding, corners)
            found = []
            for function in (lambda *t, how=how: op.apply(op._SAMPLERS[dims], t, how), lambda *t, how=how: op._by_formula(*t, *how)):
                operands = [image.clone().requires_grad_(), grid.clone().requires_grad_()]
                found.append(torch.autograd.grad(function(*operands), operands, g, allow_unused=True))
            with np.errstate(all="ignore"):
                ruled = op._backward_rule(g.numpy(), image.numpy(), grid.numpy(), *how, (True, True))
            for entry, formula, rule in zip(*found, ruled, strict=True):
                expected = np.zeros(entry.shape) if formula is None else formula.numpy()
                np.testing.assert_allclose(entry.numpy(), expected, rtol=1e-11, atol=1e-11)
                np.testing.assert_allclose(rule, expected, rtol=1e-11, atol=1e-11)
            turned = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in (g, image, grid)]
            for mask in ((True, True), (True, False), (False, True)):
                again = iter(op.apply_masked(op._grid_sampler_backward, turned, how, mask))
                for wanted, entry in zip(mask, found[0], strict=True):
                    other = next(again)
                    assert torch.equal(other, entry) if wanted else other is None


def test_the_gradient_of_many_places_in_single_precision() -> None:
    """All of an image's places name a few pixels; the sums are those of double precision, near nan and infinities outside of the image too."""
    torch.manual_seed(0)
    image, grid, g = torch.randn(2, 5, 3, 2), torch.rand(2, 37, 41, 2) * 2.4 - 1.2, torch.randn(2, 5, 37, 41)
    found = []
    for dtype in (torch.float32, torch.float64):
        operands = [image.to(dtype).requires_grad_(), grid.to(dtype).requires_grad_()]
        found.append(torch.autograd.grad(F.grid_sample(*operands, align_corners=False), operands, g.to(dtype)))
    for single, double in zip(*found, strict=True):
        assert torch.allclose(single.double(), double, rtol=1e-4, atol=1e-4)
    outside = torch.full((1, 1, 1, 2), 5.0)
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    F.grid_sample(x, outside, align_corners=False).backward(torch.full((1, 1, 1, 1), float("inf")))
    assert not x.grad.any()


def test_a_second_derivative_of_the_entry() -> None:
    torch.manual_seed(0)
    operands = [torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True), (torch.rand(1, 3, 2, 2, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()]
    assert torch.autograd.gradgradcheck(lambda *t: F.grid_sample(*t, align_corners=False), operands)
