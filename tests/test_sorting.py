"""Sorting, selection, distinct elements and binary search: order, ties and nan as in PyTorch."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

import rushlight as torch
from rushlight.engine import introsort, llvm

NAN = math.nan
FLOATS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.sampled_from([-1.5, 0.0, 0.3, 0.7, 1.3, NAN, math.inf]))


def ties(count, kinds, seed):
    """Integers with many repeats, from Python's own generator."""
    draw = random.Random(seed)
    return [draw.randrange(kinds) for _ in range(count)]


# Where PyTorch's sort, topk, kthvalue and mode point on the integers of `ties`, of which many are equal.
ORDERS = {
    "sort 40": [38, 35, 11, 9, 39, 0, 17, 16, 27, 28, 30, 3, 14, 4, 33, 13, 6, 24, 19, 23, 32, 20, 1, 2, 15, 10, 22, 8, 5, 18, 25, 29, 7, 34, 36, 31, 37, 12, 26, 21],
    "sort 90": [88, 45, 35, 64, 9, 42, 11, 63, 38, 27, 28, 30, 67, 65, 17, 16, 39, 85, 61, 3, 0, 62, 43, 48, 68, 74, 4, 86, 14, 80, 52, 55, 56, 49, 60, 6, 83, 13, 19, 66, 33, 78, 23, 70, 24, 75, 81, 79, 82, 84, 76, 59, 1, 20, 22, 50, 2, 5, 15, 41, 8, 10, 32, 36, 25, 18, 72, 53, 29, 69, 34, 7, 87, 57, 51, 12, 71, 89, 21, 77, 26, 73, 31, 37, 40, 44, 46, 47, 58, 54],
    "descending 40": [37, 31, 26, 21, 12, 36, 34, 29, 7, 25, 18, 1, 32, 22, 20, 5, 15, 8, 2, 10, 23, 6, 33, 24, 13, 19, 14, 4, 27, 3, 0, 39, 30, 28, 17, 16, 9, 35, 11, 38],
    "topk 9": [7, 1, 8, 5, 2, 6],
    "topk 60": [12, 47, 46, 44, 26, 40],
    "few 200": [11, 9],
    "kthvalue 40": [35, 16, 0, 6, 32, 15, 7, 26],
    "mode 60": 15,
    "median 60": 2,
}  # fmt: skip
ORDER_CALLS = {
    "sort": lambda x: x.sort().indices,
    "descending": lambda x: x.argsort(descending=True),
    "topk": lambda x: x.topk(6).indices,
    "few": lambda x: x.topk(2, largest=False).indices,
    "kthvalue": lambda x: torch.stack([x.kthvalue(k).indices for k in range(1, len(x) + 1, 5)]),
    "mode": lambda x: x.mode().indices,
    "median": lambda x: x.median(0).indices,
}


@given(FLOATS, st.booleans())
def test_a_stable_sort_is_a_sort_and_keeps_the_order_of_equal_values(values, descending):
    found, indices = torch.sort(torch.tensor(values), -1, descending, stable=True)
    np.testing.assert_array_equal(np.take_along_axis(values, indices.numpy(), -1), found.numpy())
    # nan is the largest.
    keys = np.where(np.isnan(values), np.float32(3e38), np.where(np.isinf(values), np.float32(2e38), values))
    expected = np.argsort(-keys if descending else keys, -1, kind="stable")
    np.testing.assert_array_equal(indices.numpy(), expected)


@given(FLOATS, st.data())
def test_topk_and_kthvalue_are_parts_of_a_sort(values, data):
    tensor = torch.tensor(values)
    k = data.draw(st.integers(1, values.shape[-1]))
    largest = data.draw(st.booleans())
    top, indices = tensor.topk(k, largest=largest)
    ordered = tensor.sort(-1, descending=largest).values
    np.testing.assert_array_equal(top.numpy(), ordered[..., :k].numpy())
    np.testing.assert_array_equal(np.take_along_axis(values, indices.numpy(), -1), top.numpy())
    np.testing.assert_array_equal(tensor.kthvalue(k).values.numpy(), tensor.sort(-1).values[..., k - 1].numpy())
    loose = tensor.topk(k, largest=largest, sorted=False).values
    np.testing.assert_array_equal(loose.sort(-1).values.numpy(), top.sort(-1).values.numpy())


@pytest.mark.parametrize("call", ORDERS)
def test_equal_values_are_ordered_as_in_pytorch(call):
    kind, count = call.split()
    values = torch.tensor(ties(int(count), 7, 3))
    assert ORDER_CALLS[kind](values).tolist() == ORDERS[call]


def test_sort_gives_back_the_order_of_dims_of_its_input():
    assert torch.zeros(3, 4).t().sort(0).values.stride() == (1, 4)


def test_results_written_to_out():
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    torch.topk(torch.tensor([0.3, 1.3, 0.7]), 2, out=(values, indices))
    assert indices.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x = torch.rand(4)
        torch.kthvalue(x, 2, out=(x, indices))


@given(arrays.arrays(np.int64, arrays.array_shapes(max_dims=3, max_side=6), elements=st.integers(-3, 3)))
def test_distinct_elements_rebuild_the_whole(values):
    found, inverse, counts = torch.unique(torch.tensor(values), return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(found.numpy(), np.unique(values))
    np.testing.assert_array_equal(found.numpy()[inverse.numpy()], values)
    assert counts.sum().item() == values.size
    rows, inverse, counts = torch.unique(torch.tensor(values), dim=0, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(rows.numpy(), np.unique(values, axis=0))
    np.testing.assert_array_equal(rows.numpy()[inverse.numpy()], values)
    runs, counts = torch.unique_consecutive(torch.tensor(values), return_counts=True)
    np.testing.assert_array_equal(np.repeat(runs.numpy(), counts.numpy()), values.reshape(-1))
    assert (np.diff(runs.numpy()) != 0).all()


def test_each_nan_is_distinct():
    assert torch.unique(torch.tensor([NAN, 0.3, NAN])).shape == (3,)


def test_distinct_elements_have_no_gradient_and_say_so():
    x = torch.tensor([0.3, 0.7], requires_grad=True)
    with pytest.raises(NotImplementedError, match="^the derivative for '_unique2' is not implemented.$"):
        torch.unique(x).sum().backward()
    with pytest.raises(NotImplementedError, match="^the derivative for 'unique_consecutive' is not implemented.$"):
        torch.unique_consecutive(x).sum().backward()


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(0, 6)), elements=st.floats(-2, 2)),
    arrays.arrays(np.float64, 4, elements=st.floats(-3, 3)),
    st.booleans(),
)
def test_searchsorted_agrees_with_numpy_row_by_row(rows, values, right):
    rows = np.sort(rows, -1)
    wanted = np.broadcast_to(values, (len(rows), 4)).copy()
    found = torch.searchsorted(torch.tensor(rows), torch.tensor(wanted), right=right)
    side = "right" if right else "left"
    np.testing.assert_array_equal(found.numpy(), [np.searchsorted(row, values, side) for row in rows])
    found = torch.bucketize(torch.tensor(values), torch.tensor(rows[0]), right=right, out_int32=True)
    assert found.dtype is torch.int32
    np.testing.assert_array_equal(found.numpy(), np.searchsorted(rows[0], values, side))


def test_searchsorted_through_a_sorter_and_of_nan():
    boundaries = torch.tensor([1.3, 0.3, 0.7])
    assert torch.searchsorted(boundaries, torch.tensor([0.5, NAN]), sorter=boundaries.argsort()).tolist() == [1, 3]
    assert torch.searchsorted(torch.tensor([1, 3, 5]), 3, side="right").item() == 2


def test_membership():
    elements = torch.tensor([[1, 2], [3, 4]])
    assert torch.isin(elements, torch.tensor([2, 3])).tolist() == [[False, True], [True, False]]
    assert torch.isin(elements, 4, invert=True).tolist() == [[True, True], [True, False]]
    assert torch.isin(2, elements).item() is True


def test_mode_is_the_smallest_of_the_most_frequent_values():
    found = torch.tensor([[2, 3, 3, 2, 1], [5, 5, 5, 4, 4]]).mode()
    assert found.values.tolist() == [2, 5]
    assert found.indices.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.topk(torch.ones(2), 3), RuntimeError, "selected index k out of range"),
        (lambda: torch.kthvalue(torch.ones(2, 2), 3), RuntimeError, "kthvalue(): selected number k out of range for dimension 1"),
        (lambda: torch.sort(torch.ones(2), 1), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
        (lambda: torch.sort(torch.ones(1, dtype=torch.complex64)), RuntimeError, " Sort does not support complex dtypes on CPU"),
        (lambda: torch.mode(torch.empty(0)), IndexError, "mode(): Expected reduction dim 0 to have non-zero size."),
        (lambda: torch.bucketize(torch.ones(1), torch.ones(2, 2)), RuntimeError, "boundaries tensor must be 1 dimension, but got dim(2)"),
        (lambda: torch.searchsorted(torch.ones(2), torch.ones(2), side="middle"), RuntimeError, "torch.searchsorted(): side can only be 'left' or 'right' but got middle"),
        (lambda: torch.unique(torch.empty(0, 0), dim=0), RuntimeError, "Number of zero sized dimensions is more than one, so unique cannot be applied "),
    ],
)  # fmt: skip
def test_messages(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"])
def test_large_sorts_order_equal_values_by_place(dtype):
    """Whether keys and places are packed into integers or not: nan, both zeros, infinities and the ends of the range included."""
    kind = getattr(torch, dtype)
    values = torch.tensor(ties(3000, 7, 2)).reshape(30, 100)
    if kind.is_floating_point:
        values = torch.where(values == 5, math.nan, torch.where(values == 6, -math.inf, (values - 2.5) * 0.3))
        values[0, :9] = torch.tensor([-0.0, 0.0, -0.0, math.inf, -math.nan, 1e-40, 6e4, -6e4, 0.0])
    elif dtype == "int64":
        values[1:] = torch.where(values[1:] == 5, 2**62, -values[1:])
        values[0, :2] = torch.tensor([2**63 - 1, -(2**63)])
    values = values.to(kind)
    plain = values.double().numpy() if kind.is_floating_point else values.numpy().astype(object)
    plain = np.where(plain != plain, np.inf, np.clip(plain, -1e300, 1e300)) if kind.is_floating_point else plain
    for part, exact in ((values, plain), (values[1:], plain[1:]), (values.t()[:, 1:].t(), plain[1:])):
        for dim in (0, 1):
            for descending in (False, True):
                found = torch.sort(part, dim, descending, stable=True)
                expected = np.argsort(-exact if descending else exact, dim, kind="stable")
                np.testing.assert_array_equal(found.indices.numpy(), expected)
                assert torch.equal(found.values.nan_to_num(7), part.gather(dim, found.indices).nan_to_num(7))


@pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")
@pytest.mark.parametrize("count", [17, 33, 300, 5000])
@pytest.mark.parametrize("kinds", [2, 9, 1000])
def test_native_code_places_ties_as_the_algorithm_in_python(count, kinds, monkeypatch):
    x = torch.tensor(ties(3 * count, kinds, 5)).reshape(3, count)
    found = x.sort().indices
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        expected = x.sort().indices
    assert torch.equal(found, expected)


@pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")
def test_sorts_that_go_over_to_heaps_are_left_to_python(monkeypatch):
    """For an adversary's order of values, which the median of three divides badly (Musser, 1997)."""
    half = 400
    values = [n if n % 2 else half + n - 1 for n in range(1, half + 1)] + [2 * n for n in range(1, half + 1)]
    values[-1] = values[-2]
    items = np.argsort(np.argsort(values, kind="stable"), kind="stable")[None] << 32 | np.arange(2 * half)
    assert not introsort.partition(items).all()
    x = torch.tensor([values, values[::-1]])
    found = x.sort().indices
    monkeypatch.setattr(llvm, "AVAILABLE", False)
    assert torch.equal(found, x.sort().indices)


def test_distinct_values_by_counting_and_by_sorting():
    """Integers of a small range are counted; the values, places and counts are the same."""
    for dtype in (torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool):
        x = torch.tensor(ties(300, 40, 4)).to(dtype).reshape(20, 15)
        if dtype.is_signed:
            x = x - 20
        values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
        expected = np.unique(x.numpy(), return_inverse=True, return_counts=True)
        assert values.dtype is dtype and inverse.dtype is counts.dtype is torch.int64
        np.testing.assert_array_equal(values.numpy(), expected[0])
        np.testing.assert_array_equal(inverse.numpy(), expected[1].reshape(x.shape))
        np.testing.assert_array_equal(counts.numpy(), expected[2])
        assert torch.equal(torch.unique(x), values)
        run, lengths = torch.unique_consecutive(x.flatten().sort().values, return_counts=True)
        assert torch.equal(run, values) and torch.equal(lengths, counts)
    wide = torch.tensor([2**62, -(2**62), 5, 5])
    assert torch.equal(torch.unique(wide), torch.tensor([-(2**62), 5, 2**62]))
    assert torch.unique(torch.tensor([], dtype=torch.int64)).numel() == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "int16"])
def test_many_places_are_those_of_a_search_for_each(dtype):
    """Native code looks for 16 values at a time: on edges, between and beyond them, for any number of edges."""
    kind = getattr(torch, dtype)
    values = torch.tensor(ties(2000, 90, 3)) - 20
    for count in (1, 2, 3, 16, 40):
        edges = torch.tensor(sorted(ties(count, 60, count)))
        x, e = (values * 0.5).to(kind), edges.to(kind)
        if kind.is_floating_point:
            x[:4] = torch.tensor([math.inf, -math.inf, -0.0, 0.0])
        for right in (False, True):
            found = torch.searchsorted(e, x, right=right)
            np.testing.assert_array_equal(found.numpy(), np.searchsorted(e.numpy(), x.numpy(), "right" if right else "left"))
            np.testing.assert_array_equal(torch.bucketize(x.flip(0), e, right=right).numpy(), found.numpy()[::-1])
            assert torch.equal(torch.searchsorted(e.expand(2, count), x.reshape(2, -1), right=right), found.reshape(2, -1))
    missing = torch.full((1500,), math.nan)
    assert (torch.searchsorted(torch.tensor([0.3, 0.7]), missing) == 2).all()
    assert torch.histc(missing, 4, 0, 1).sum() == 0
    inside = torch.rand(5000)
    np.testing.assert_array_equal(torch.histc(inside, 7, 0.2, 0.9).numpy(), np.histogram(inside.numpy(), torch.linspace(0.2, 0.9, 8).numpy())[0])
    assert torch.histc(inside, 7).sum() == 5000 == torch.histogram(inside, 9).hist.sum()
