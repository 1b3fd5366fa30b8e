"""Gathers, scatters and masks: values against plain loops, gradients by differences, errors as PyTorch words them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rushlight as torch
from rushlight import tape

COMBINE: dict[str, Callable[[Any, Any], Any]] = {"sum": lambda a, b: a + b, "prod": lambda a, b: a * b, "amax": max, "amin": min}


def scattered(base: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray, combine: Callable[[Any, Any], Any]) -> np.ndarray:
    found = base.copy()
    for at in np.ndindex(*index.shape):
        there = (*at[:dim], index[at], *at[dim + 1 :])
        found[there] = combine(found[there], source[at])
    return found


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(COMBINE)), st.booleans())
def test_scatter_reduce_against_a_loop(data: st.DataObject, reduce: str, strided: bool) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    dim = data.draw(st.integers(0, len(shape) - 1))
    reach = tuple(data.draw(st.integers(1, 5)) if d == dim else data.draw(st.integers(1, n)) for d, n in enumerate(shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    base, source, index = rng.normal(size=shape), rng.normal(size=reach), rng.integers(0, shape[dim], reach)
    target = torch.tensor(base)
    if strided:  # the same values in the other order of dims
        target = torch.tensor(base.T.copy()).permute(*range(len(shape) - 1, -1, -1))
    found = target.scatter_reduce(dim, torch.tensor(index), torch.tensor(source), reduce)
    np.testing.assert_allclose(found.numpy(), scattered(base, dim, index, source, COMBINE[reduce]), rtol=1e-12)
    if reduce == "sum":
        target.scatter_add_(dim, torch.tensor(index), torch.tensor(source))
        np.testing.assert_allclose(target.numpy(), found.numpy(), rtol=1e-12)


@pytest.mark.parametrize("count", [10, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int8, torch.bfloat16])
def test_index_add_with_many_repeats(count: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    index, source = rng.integers(0, 5, count), rng.integers(-2, 3, count)
    expected = np.zeros(5, np.int64)
    np.add.at(expected, index, source)
    found = torch.zeros(5, dtype=dtype).index_add(0, torch.tensor(index), torch.tensor(source).to(dtype))
    assert found.tolist() == torch.tensor(expected).to(dtype).tolist()


def test_index_put_accumulates_by_several_indices() -> None:
    x = torch.zeros(2, 3, 4)
    x[:, [0, 1, 0], [1, 1, 1]] += 1  # reads, adds, writes: repeats do not add up
    assert x[0].tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    y = torch.zeros(3, 4, 2)
    y.index_put_((torch.tensor([0, 1, 0]), torch.tensor([1, 1, 1])), torch.tensor([1.0, 2.0]), accumulate=True)
    assert y[0, 1].tolist() == [2, 4] and y[1, 1].tolist() == [1, 2] and y.sum().item() == 9


INDEX = torch.tensor([[0, 2, 1], [2, 2, 0]])
ROWS = torch.tensor([2, 0])

GRADIENTS: dict[str, Callable[[Any, Any], Any]] = {
    "gather": lambda x, s: x.gather(0, INDEX % 2) * s,
    "scatter": lambda x, s: x.scatter(1, torch.tensor([[0, 2], [1, 0]]), s),
    "scatter_add": lambda x, s: x.scatter_add(1, INDEX, s),
    "scatter_reduce mean": lambda x, s: x.scatter_reduce(1, INDEX, s, "mean"),
    "scatter_reduce prod": lambda x, s: x.scatter_reduce(1, INDEX, s, "prod"),
    "scatter_reduce amax without self": lambda x, s: x.scatter_reduce(1, INDEX, s, "amax", include_self=False),
    "index_select": lambda x, s: x.index_select(1, ROWS) * s[:, :2],
    "index_add": lambda x, s: x.index_add(1, ROWS, s[:, :2], alpha=0.3),
    "index_copy": lambda x, s: x.index_copy(1, ROWS, s[:, :2]),
    "index_fill": lambda x, s: x.index_fill(1, ROWS, 0.7) * s,
    "take and put": lambda x, s: x.put(ROWS, s.take(ROWS)),
    "masked_fill": lambda x, s: x.masked_fill(INDEX > 1, 0.7) * s,
    "masked_scatter": lambda x, s: x.masked_scatter(INDEX > 1, s),
    "masked_select": lambda x, s: x.masked_select(INDEX > 1) * s.masked_select(INDEX > 1),
    "index_put": lambda x, s: x.index_put((torch.tensor([0, 1]), torch.tensor([2, 2])), s[:, 0]),
    "where": lambda x, s: torch.where(INDEX > 1, x, s),
    "in-place on a view": lambda x, s: x.clone().t().index_add_(0, ROWS, s.t()[:2]),
    "diagonal_scatter": lambda x, s: x.diagonal_scatter(s[:, 0]) * x,
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_by_differences(name: str) -> None:
    function, step = GRADIENTS[name], 1e-6
    rng = np.random.default_rng(1)
    inputs = [torch.tensor(rng.normal(size=(2, 3)), requires_grad=True) for _ in range(2)]
    weight = torch.tensor(rng.normal(size=tuple(function(*inputs).shape)))
    grads = torch.autograd.grad((function(*inputs) * weight).sum(), inputs, allow_unused=True)
    with torch.no_grad():
        for n, grad in enumerate(grads):
            for at in np.ndindex(2, 3):
                ends = []
                for sign in (1, -1):
                    moved = [t.detach().clone() for t in inputs]
                    moved[n][at] += sign * step
                    ends.append((function(*moved) * weight).sum().item())
                expected = (ends[0] - ends[1]) / (2 * step)
                assert (0.0 if grad is None else grad[at].item()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: torch.zeros(2, 3).gather(0, torch.tensor([[5]])), RuntimeError, "index 5 is out of bounds for dimension 0 with size 2"),
        (lambda: torch.zeros(2, 3).gather(0, torch.tensor([0])), RuntimeError, "Index tensor must have the same number of dimensions as input tensor"),
        (lambda: torch.zeros(2, 3).gather(0, torch.tensor([[0.0]])), RuntimeError, "gather(): Expected dtype int32/int64 for index"),
        (lambda: torch.zeros(3).index_select(0, torch.tensor([3])), IndexError, "index out of range in self"),
        (lambda: torch.zeros(3).take(torch.tensor([3])), IndexError, "out of range: tried to access index 3 on a tensor of 3 elements."),
        (lambda: torch.zeros(3, dtype=torch.uint8).masked_fill(torch.ones(3, dtype=torch.bool), 300), RuntimeError, "value cannot be converted to type uint8_t without overflow"),
        (lambda: torch.zeros(1).expand(3).scatter_add_(0, torch.tensor([0]), torch.ones(1)), RuntimeError, "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."),
    ],
)  # fmt: skip
def test_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("write", [
    lambda x: x.index_add_(0, torch.tensor([0, 1, 2]), x), lambda x: x[:2].scatter_add_(0, torch.tensor([0, 1]), x[1:]),
    lambda x: x.copy_(x[1]), lambda x: x[:2].copy_(x[1:]), lambda x: x.add_(x[1]), lambda x: x[1:].mul_(x[:2]),
])  # fmt: skip
def test_reading_the_memory_that_is_written_is_refused(write: Callable[[Any], Any]) -> None:
    x = torch.arange(3.0)
    with pytest.raises(RuntimeError, match="some elements of the input tensor and the written-to tensor refer to a single memory location"):
        write(x)
    assert x.tolist() == [0, 1, 2]


def test_strides_of_results() -> None:
    x = torch.arange(12.0).view(3, 4).t()
    index = torch.tensor([[0, 1, 2]])
    assert x.scatter(0, index, 2.0).stride() == (3, 1)
    assert x.masked_fill(x > 3, 1.0).stride() == (3, 1)
    assert x.index_fill(0, torch.tensor([0]), 1.0).stride() == (1, 4)
    assert x.nonzero().stride() == (1, 11)


def test_looking_at_indices_runs_nothing_that_is_pending() -> None:
    """Indices that are there are looked at once, and again after a write; what is pending may wait."""
    x, i = torch.rand(3, 3), torch.tensor([[0, 1, 2]])
    x.sum().item()
    flushes = tape.flush_count()
    for _ in range(2):
        x.gather(0, i), x.scatter(0, i, x), x[i[0]], x.index_select(0, i[0]), x.take(i), x.index_add(0, i[0], x), torch.take_along_dim(x, i, 0)
    assert tape.state.immediate or tape.flush_count() == flushes
    i += 1
    for refused in (lambda: x.gather(0, i), lambda: x[i[0]], lambda: x.take(i + 9)):
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            refused()

THREE = torch.tensor([0, 1, 2])
COLUMNS = torch.tensor([[0, 1, 2]] * 3)
SOURCE = torch.tensor([[1.0], [10.0], [100.0]]).expand(3, 3).contiguous()
EYE = torch.eye(3) > 0


@pytest.mark.parametrize("window", [lambda base: base.as_strided((3, 3), (1, 1)), lambda base: base.unfold(0, 3, 1)[:3]])
@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda v: v.index_add_(0, THREE, SOURCE), [1, 12, 113, 113, 104, 5]),
        (lambda v: v.index_add_(1, THREE, SOURCE, alpha=2), [2, 23, 224, 223, 204, 5]),
        (lambda v: v.index_add_(0, torch.tensor([0, 0, 2]), SOURCE), [11, 12, 113, 103, 104, 5]),
        (lambda v: v.index_copy_(0, torch.tensor([2, 1, 0]), SOURCE), [100, 100, 100, 10, 1, 5]),
        (lambda v: v.index_copy_(1, THREE, SOURCE), [1, 10, 100, 100, 100, 5]),
        (lambda v: v.index_fill_(0, THREE[:2], 7.0), [7, 7, 7, 7, 4, 5]),
        (lambda v: v.index_reduce_(0, THREE, SOURCE, "prod"), [0, 10, 2000, 3000, 400, 5]),
        (lambda v: v.scatter_add_(0, COLUMNS.t().contiguous(), SOURCE), [1, 12, 113, 113, 104, 5]),
        (lambda v: v.scatter_add_(1, COLUMNS, SOURCE), [1, 12, 113, 113, 104, 5]),
        (lambda v: v.scatter_(1, COLUMNS, SOURCE), [1, 10, 100, 100, 100, 5]),
        (lambda v: v.scatter_(0, COLUMNS, 7.0), [7, 1, 7, 3, 7, 5]),
        (lambda v: v.scatter_reduce_(0, COLUMNS.t().contiguous(), SOURCE, "sum"), [1, 12, 113, 113, 104, 5]),
        (lambda v: v.index_put_((THREE,), SOURCE, accumulate=True), [1, 12, 113, 113, 104, 5]),
        (lambda v: v.index_put_((torch.tensor([0, 0, 1]),), SOURCE, accumulate=True), [11, 112, 113, 103, 4, 5]),
        (lambda v: v.put_(torch.tensor([2, 4, 8]), SOURCE[:, 0].contiguous(), accumulate=True), [0, 1, 13, 3, 104, 5]),
        (lambda v: v.masked_fill_(EYE, 7.0), [7, 1, 7, 3, 7, 5]),
        (lambda v: v.masked_scatter_(EYE, SOURCE), [1, 1, 1, 3, 1, 5]),
    ],
)
def test_windows_that_overlap_are_written_one_element_after_the_other(window: Any, write: Any, expected: list[int]) -> None:
    """Expected values are PyTorch's."""
    base = torch.arange(6.0)
    view = window(base)
    assert write(view) is view and base.tolist() == expected


def test_gradients_through_windows_that_overlap() -> None:
    base = torch.zeros(5, requires_grad=True)
    source = torch.ones(3, 3, requires_grad=True)
    whole = base * 1
    whole.as_strided((3, 3), (1, 1)).index_add_(0, THREE, source)
    (whole * torch.arange(1.0, 6.0)).sum().backward()
    assert base.grad.tolist() == [1, 2, 3, 4, 5] and source.grad.tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5]]


def test_expanded_tensors_may_be_filled_with_a_warning_and_nothing_else() -> None:
    base = torch.arange(4.0)
    with pytest.warns(UserWarning, match="Use of masked_fill_ on expanded tensors is deprecated"):
        base[:3].expand(3, 3).masked_fill_(EYE, 7.0)
    assert base.tolist() == [7, 7, 7, 3]
    with pytest.warns(UserWarning, match="Use of index_fill_ on expanded tensors is deprecated"):
        base[:2].expand(3, 2).index_fill_(0, THREE[:1], 8.0)
    assert base.tolist() == [8, 8, 7, 3]
    for write in (lambda v: v.index_add_(0, THREE, SOURCE), lambda v: v.scatter_(0, COLUMNS, SOURCE), lambda v: v.masked_scatter_(EYE, SOURCE)):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"):
            write(base[:3].expand(3, 3))
