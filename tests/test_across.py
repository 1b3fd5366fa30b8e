"""Reductions over dims that are not the last ones: values, layouts, and bits that depend on the shape alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight.engine import across_kernel, llvm
from rushlight.ops.card import CARDS

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

Function = Callable[..., Any]


def softmax(a: np.ndarray, dim: int) -> np.ndarray:
    e = np.exp(a - a.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


#: Each with the same by NumPy on doubles.
OVER_DIMS: dict[str, tuple[Function, Function]] = {
    "sum": (lambda x, dims: x.sum(dims), lambda a, dims: a.sum(dims)),
    "amax": (lambda x, dims: x.amax(dims, keepdim=True), lambda a, dims: a.max(dims, keepdims=True)),
    "amin": (lambda x, dims: x.amin(dims), lambda a, dims: a.min(dims)),
    "any": (lambda x, dims: (x > 6).any(dims), lambda a, dims: (a > 6).any(dims)),
    "count": (lambda x, dims: torch.count_nonzero(x > 0, dims), lambda a, dims: (a > 0).sum(dims)),
}
OF_FLOATS: dict[str, tuple[Function, Function]] = {
    "mean": (lambda x, dims: x.mean(dims), lambda a, dims: a.mean(dims)),
    "var": (lambda x, dims: x.var(dims, correction=0), lambda a, dims: a.var(dims)),
    "logsumexp": (lambda x, dims: x.logsumexp(dims), lambda a, dims: np.log(np.exp(a).sum(dims))),
    "norm": (lambda x, dims: torch.linalg.vector_norm(x, dim=dims), lambda a, dims: np.sqrt((a * a).sum(dims))),
}
OVER_ONE: dict[str, tuple[Function, Function]] = {
    "argmax": (lambda x, dims: x.argmax(dims[0]), lambda a, dims: a.argmax(dims[0])),
    "min": (lambda x, dims: x.min(dims[0]).indices, lambda a, dims: a.argmin(dims[0])),
}
OF_ONE: dict[str, tuple[Function, Function]] = {
    "softmax": (lambda x, dims: x.softmax(dims[0]), lambda a, dims: softmax(a, dims[0])),
    "log_softmax": (lambda x, dims: x.log_softmax(dims[0]), lambda a, dims: np.log(softmax(a, dims[0]))),
}
SHAPES = [(3, 5, 7), (2, 300, 33), (4, 5, 6, 80), (5, 1, 7, 1), (2, 4100, 20)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_over_any_dims(shape: tuple[int, ...], dtype: Any) -> None:
    values = np.random.default_rng(0).standard_normal(shape) * 5
    x = torch.tensor(values).to(dtype)
    turned = torch.tensor(np.swapaxes(values, 0, -1).copy()).to(dtype).transpose(0, -1)
    exact = x.numpy().astype(np.float64)
    tolerance = 1e-10 if dtype is torch.float64 else 4e-5
    for dims in itertools.chain.from_iterable(itertools.combinations(range(len(shape)), r) for r in range(1, len(shape))):
        cases = {**OVER_DIMS, **(OF_FLOATS if dtype.is_floating_point else {})}
        if len(dims) == 1:
            cases |= {**OVER_ONE, **(OF_ONE if dtype.is_floating_point else {})}
        for name, (ours, theirs) in cases.items():
            found, want = ours(x, dims).numpy(), theirs(exact, dims)
            assert found.shape == want.shape, (name, dims)
            np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance * max(1.0, np.abs(want).max()), err_msg=f"{name} over {dims}")
            np.testing.assert_array_equal(ours(turned, dims).numpy(), found, err_msg=f"{name} over {dims}, the bits of which do not depend on strides")


def lying_differently(x: torch.Tensor) -> list[torch.Tensor]:
    """The same values in other orders of the dims, with gaps between them, and with a stride along each dim."""
    found = []
    for order in itertools.permutations(range(x.ndim)):
        back = [order.index(d) for d in range(x.ndim)]
        found.append(x.permute(order).contiguous().permute(back))
    wide = x.new_zeros([2 * n for n in x.shape])
    every_other, corner = wide[(slice(None, None, 2),) * x.ndim], wide.clone()[tuple(slice(1, n + 1) for n in x.shape)]
    return [*found, every_other.copy_(x), corner.copy_(x)]


#: Each over one dim, with results of each kind: for each row, for each element, two of them.
BY_ROW: dict[str, Function] = {
    "sum": lambda x, dim: x.sum(dim),
    "prod": lambda x, dim: x.prod(dim),
    "amax": lambda x, dim: x.amax(dim),
    "max": lambda x, dim: torch.stack([x.max(dim).values.double(), x.max(dim).indices.double()]),
    "argmin": lambda x, dim: x.argmin(dim),
    "any": lambda x, dim: (x > 6).any(dim),
    "var": lambda x, dim: x.var(dim),
    "logsumexp": lambda x, dim: x.logsumexp(dim),
    "softmax": lambda x, dim: x.softmax(dim),
    "log_softmax": lambda x, dim: x.log_softmax(dim),
    "scaled": lambda x, dim: ((x * 1.3).exp() / (x * x).sum(dim, keepdim=True)).amin(dim),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(5, 41), (70, 45), (3, 34, 20), (17, 33, 2), (2, 5, 19, 18)], ids=str)
def test_bits_do_not_depend_on_strides(shape: tuple[int, ...], dtype: Any) -> None:
    """Rows one after another and rows side by side, in whole squares of 16 and in rests of them, add up in one order."""
    x = torch.tensor(np.random.default_rng(1).standard_normal(shape) * 3).to(dtype)
    others = lying_differently(x)
    for name, function in BY_ROW.items():
        for dim in range(len(shape)):
            wanted = function(x, dim)
            for other in others:
                assert torch.equal(function(other, dim), wanted), (name, dim, other.stride())
    for other in others:
        assert torch.equal(other.contiguous(), x)
        assert torch.equal(other + x, x + x)
        assert torch.equal(x.sum(), other.sum()) and torch.equal(x.amax(), other.amax()) and torch.equal(x.std(), other.std())
        norms = [torch.nn.functional.layer_norm(t, shape[-1:]) for t in (x, other)]
        assert torch.equal(*norms)


def test_long_sums_of_everything_do_not_depend_on_strides() -> None:
    """Of more elements than one block has, also where a dim of one element is kept."""
    x = torch.tensor(np.random.default_rng(4).standard_normal((1, 40, 30, 20)).astype(np.float32))
    for other in lying_differently(x)[:6]:
        assert torch.equal(other.sum(), x.sum())
        assert torch.equal(other.var((1, 2, 3)), x.var((1, 2, 3)))
        assert torch.equal(other.prod(), x.prod())


def test_extrema_of_zeros_and_nans_do_not_depend_on_strides() -> None:
    values = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.5, -1.5], np.float32)
    x = torch.tensor(np.random.default_rng(2).choice(values, (80, 40), p=[0.4, 0.4, 0.01, 0.01, 0.02, 0.02, 0.07, 0.07]))
    turned = x.t().contiguous().t()
    zeros = torch.tensor(values[np.random.default_rng(3).integers(0, 2, (80, 40))])
    for dim in (0, 1):
        for function in (torch.amax, torch.amin):
            found, other = function(x, dim), function(turned, dim)
            assert torch.equal(found.isnan(), x.isnan().any(dim))
            assert torch.equal(found.nan_to_num(7), other.nan_to_num(7))
            signs = [function(z, dim).signbit() for z in (zeros, zeros.t().contiguous().t())]
            assert torch.equal(*signs)


def test_what_one_nan_reaches() -> None:
    x = torch.rand(6, 40, 21)
    x[2, 7, 3] = float("nan")
    for found in (x.sum(1), x.amax(1), x.softmax(1).sum(1), x.max(1).values, x.logsumexp(1)):
        wrong = found.isnan()
        assert wrong.sum() == 1
        assert wrong[2, 3]
    assert x.argmax(1)[2, 3] == 7
    assert x.argmin(1)[2, 3] == 7


def test_half_precision_is_rounded_once() -> None:
    x = torch.rand(3, 200, 18).bfloat16()
    assert torch.equal(x.sum(1), x.float().sum(1).bfloat16())
    assert torch.equal(x.softmax(1), x.float().softmax(1).bfloat16())


def test_threads_and_chunks_do_not_change_bits() -> None:
    x = torch.rand(3, 700, 300)
    kept = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append((x.sum(1), x.softmax(1), x.var((0, 1)), x.mean((0, 2))))
        for a, b in zip(*found, strict=True):
            assert torch.equal(a, b)
    finally:
        torch.set_num_threads(kept)


def test_each_of_these_has_kernel_calls() -> None:
    x = torch.rand(4, 30, 20, 3)
    statics = {"sum": ((1,), False, torch.float32), "mean": ((0, 2), False, torch.float32), "amax": ((1, 2), True), "var": ((0, 2, 3), False, 1), "softmax": (1,), "max_dim": (2, False)}
    for name, static in statics.items():
        card = CARDS[name]
        lowering: Any = card.lowering
        plan = card.plan((x,), static, None)
        assert lowering.space(plan) is None or name == "sum", name
        assert lowering.otherwise.make(plan) is not None, name
    assert torch.tensor(3.0).softmax(0) == 1
    assert across_kernel.BLOCK == 128, "the bits of sums depend on it"
