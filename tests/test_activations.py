"""Activation functions against results recorded from PyTorch: values, dtypes, gradients, in-place forms."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from test_pointwise import RECORDED, agrees, check, check_gradients, tensor

import rushlight as torch
import rushlight.nn.functional as F


def activation(key: str) -> Any:
    name, _, arguments = key.partition(" ")
    return lambda x, **more: getattr(F, name)(x, **(json.loads(arguments) if arguments else {}), **more)


@pytest.mark.parametrize("key", RECORDED["activation"])
def test_values_and_refusals_of_each_dtype(key: str) -> None:
    recorded = {d: want for d, want in RECORDED["activation"][key].items() if d not in ("gradient", "node")}
    if key == "gelu":
        # At infinity PyTorch's vector code gives nan and its scalar code infinity.
        recorded["float32"]["values"][-2] = float("inf")
    check([agrees(lambda d=d: activation(key)(tensor(d)), want, f"{key} of {d}") for d, want in recorded.items()])


@pytest.mark.parametrize("key", RECORDED["activation"])
def test_gradients(key: str) -> None:
    """The recorded gradient and node, and first and second derivatives by differences."""
    x = torch.tensor([-2.5, -0.7, 0.3, 1.3, 3.0], dtype=torch.float64, requires_grad=True)
    out = activation(key)(x)
    (grad,) = torch.autograd.grad(out.sum(), x)
    np.testing.assert_allclose(grad.numpy(), RECORDED["activation"][key]["gradient"], rtol=1e-6, atol=1e-9)
    if key.split()[0] not in ("relu6", "selu"):
        assert out.grad_fn.name() == RECORDED["activation"][key]["node"]
    check_gradients(activation(key), [torch.tensor([-2.4, -0.6, 0.2, 1.2, 2.9], dtype=torch.float64, requires_grad=True)])


@pytest.mark.parametrize("name", ["relu", "relu6", "elu", "selu", "celu", "leaky_relu", "silu", "mish", "hardsigmoid", "hardswish", "hardtanh"])
def test_in_place_writes_the_input(name: str) -> None:
    x = torch.tensor([-0.7, 0.3, 1.3])
    expected = getattr(F, name)(x)
    assert getattr(F, name)(x, inplace=True) is x
    assert torch.equal(x, expected)


def test_gradient_of_an_activation_in_place() -> None:
    x = torch.tensor([-0.7, 0.3], requires_grad=True)
    F.leaky_relu(x * 1, 0.3, inplace=True).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.3, 1.0], rtol=1e-6)


def test_prelu_has_one_slope_or_one_for_each_channel() -> None:
    x = torch.tensor([[-1.0, 0.5], [2.0, -3.0]], requires_grad=True)
    slope = torch.tensor([0.1, 0.2], requires_grad=True)
    out = F.prelu(x, slope)
    np.testing.assert_allclose(out.detach().numpy(), [[-0.1, 0.5], [2.0, -0.6]], rtol=1e-6)
    out.sum().backward()
    assert slope.grad.tolist() == [-1.0, -3.0]
    with pytest.raises(RuntimeError, match="Mismatch of parameter numbers and input channel size. Found parameter numbers = 2 and channel size = 3."):
        F.prelu(torch.ones(2, 3), slope)


def test_glu_halves_a_dim() -> None:
    x = torch.tensor([[1.0, 2.0, 0.0, 0.0]], requires_grad=True)
    F.glu(x).sum().backward()
    assert F.glu(x).tolist() == [[0.5, 1.0]]
    assert x.grad.tolist() == [[0.5, 0.5, 0.25, 0.5]]
    with pytest.raises(RuntimeError, match="Halving dimension must be even, but dimension 1 is size 3"):
        F.glu(torch.ones(2, 3))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        F.gelu(torch.ones(1), approximate="fast")
    with pytest.raises(RuntimeError, match=r"lambda must be in range \[0, 3.40282e\+38\] for input dtype Float, but found -1"):
        F.softshrink(torch.ones(1), -1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: alpha cannot be 0 for CELU"):
        F.celu(torch.ones(1), 0)


def test_large_tensors_give_the_values_of_their_pieces() -> None:
    """gelu and erf run piece by piece on large contiguous tensors, at once on others."""
    x = torch.linspace(-3, 3, 50000)
    for f in (F.gelu, torch.erf, torch.erfc, lambda x: F.gelu(x, approximate="tanh")):
        assert torch.equal(f(x), torch.cat([f(part) for part in x.split(7000)]))
        assert torch.equal(f(x.reshape(200, 250).t()), f(x).reshape(200, 250).t())


def test_softmax_of_rows_with_what_is_no_number():
    """A nan makes its row nan wherever it stands, infinity too; so does a row of nothing but -inf."""
    nan, inf = math.nan, math.inf
    rows = torch.randn(7, 70)
    rows[0, 0], rows[1, 69], rows[2, 40], rows[3], rows[4], rows[5, 3] = nan, nan, inf, -inf, nan, -inf
    for x, dim in ((rows, 1), (rows.t().contiguous(), 0)):
        for function in (F.softmax, F.log_softmax):
            found = function(x, dim).isnan()
            assert found.all(dim).tolist() == found.any(dim).tolist() == [True] * 5 + [False] * 2
    assert F.softmax(rows, 1)[5, 3] == 0 and F.log_softmax(rows, 1)[5, 3] == -inf
    losses = F.cross_entropy(rows, torch.zeros(7, dtype=torch.int64), reduction="none")
    assert losses.isnan().tolist() == [True] * 5 + [False] * 2
    assert rows.logsumexp(1).isnan().tolist() == [True, True, False, False, True, False, False]
    # Further below the largest than a normal number reaches.
    near, further, none = F.softmax(torch.tensor([0.0, -87.0, -95.0, -200.0]), 0).tolist()[1:]
    assert near == pytest.approx(math.exp(-87), rel=1e-6) and 0 <= further < 2.0**-126 and none == 0
