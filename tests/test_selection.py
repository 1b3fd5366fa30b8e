"""The top k of large tensors as native code: values in order, places of the first of equal ones, nan as the largest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight.engine import execute, llvm
from rushlight.ops import tie_order

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int8, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(100, 200), (20001,), (5, 61, 70)], ids=str)
def test_what_a_stable_sort_puts_first(shape: tuple[int, ...], dtype: Any) -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal(shape) * 20
    values.reshape(-1)[random.integers(0, values.size, 30)] = -120
    x = torch.tensor(np.round(values)).to(dtype)
    if dtype.is_floating_point:
        x.reshape(-1)[torch.tensor(random.integers(0, values.size, 30))] = float("nan")
    assert x.numel() > tie_order.AT_MOST
    exact = x.double().numpy()
    ranked = np.where(np.isnan(exact), np.inf, exact)
    for dim in range(len(shape)):
        for k in (n for n in (1, 5, 30) if 2 * n <= shape[dim]):
            for largest in (True, False):
                order = np.take(np.argsort(-ranked if largest else ranked, dim, kind="stable"), range(k), dim)
                turned = x.transpose(0, -1).contiguous().transpose(0, -1)
                for source in (x, turned):
                    before = execute.counts.native_calls
                    found = source.topk(k, dim, largest)
                    np.testing.assert_array_equal(found.indices.numpy(), order)
                    np.testing.assert_array_equal(found.values.double().numpy(), np.take_along_axis(exact, order, dim))
                    assert execute.counts.native_calls > before


@pytest.mark.parametrize("count", [1, 5, 16, 17, 31, 50])
def test_the_best_of_long_and_of_small_rows(count: int) -> None:
    """Rising rows, whose every element is put before all the others, falling and mixed ones, in all sizes of what is kept."""
    x = torch.randn(6, 64 * count + 7, dtype=torch.float32)
    x[0], x[1] = x[0].sort().values, x[1].sort(descending=True).values
    for source in (x, x.expand(60, *x.shape).reshape(-1, x.shape[1]), x[:, : count + 1], x.t()):
        dim = 0 if source.shape[0] == x.shape[1] else 1
        found = source.topk(count, dim)
        wanted = source.sort(dim, descending=True, stable=True)
        assert torch.equal(found.values, wanted.values.narrow(dim, 0, count))
        assert torch.equal(found.indices, wanted.indices.narrow(dim, 0, count))


def test_equal_values_behind_the_top_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulation of heaps in Python is for those that the result could name; here it would be an error."""
    monkeypatch.setattr(tie_order, "top", None)
    x = torch.arange(9000) % 4000
    x[500], x[8000], x[2] = 7000, 6000, 5000
    for _ in range(2):
        assert x.topk(3).indices.tolist() == [500, 8000, 2]


def test_many_of_a_row_and_the_gradient() -> None:
    x = torch.randn(40, 600, requires_grad=True)
    found = x.topk(200, 1)  # too many for the kernel
    np.testing.assert_array_equal(found.values.detach().numpy(), -np.sort(-x.detach().numpy(), 1)[:, :200])
    x.topk(3, 1).values.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), (x.detach() >= x.detach().topk(3, 1).values[:, 2:]).numpy())
