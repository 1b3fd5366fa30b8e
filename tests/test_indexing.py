"""``x[...]`` and ``x[...] = value`` against NumPy (property tests) and against what PyTorch 2.13 says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rushlight as torch


@st.composite
def shapes_and_indices(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """A shape, an order of its dims, and an index in which advanced parts have one shape and stand side by side or not."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    order = tuple(draw(st.permutations(range(len(shape)))))
    sizes = [shape[d] for d in order]
    length = draw(st.integers(1, 3))
    index: list[Any] = []
    for n in sizes[: draw(st.integers(0, len(sizes)))]:
        kind = draw(st.sampled_from(["int", "slice", "all", "list", "mask", "array"]))
        if kind == "int":
            index.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            index.append(slice(draw(st.integers(-n - 1, n + 1)), draw(st.integers(-n - 1, n + 1)), draw(st.integers(1, 3))))
        elif kind == "all":
            index.append(slice(None))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[draw(st.integers(0, n - 1))] = True  # one hit, which broadcasts with any other part
            index.append(mask)
        else:
            values = draw(st.lists(st.integers(-n, n - 1), min_size=length, max_size=length))
            index.append(values if kind == "list" else np.array(values))
        if draw(st.integers(0, 5)) == 0:
            index.append(None)
    if len([i for i in index if i is not None]) <= len(sizes) and draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), Ellipsis)
    return shape, order, tuple(index)


def numpy_result(array: np.ndarray, index: Any) -> np.ndarray | None:
    try:
        return array[index]
    except IndexError:
        return None


def for_torch(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index)


def numpy_differs(index: tuple[Any, ...]) -> bool:
    """NumPy counts an int next to an array as an array, and an Ellipsis between arrays as a dim even if it stands for none."""
    arrays = [n for n, i in enumerate(index) if isinstance(i, (list, np.ndarray))]
    if not arrays:
        return False
    between = index[arrays[0] : arrays[-1]]
    return any(isinstance(i, int) for i in index) or any(i is Ellipsis for i in between)


@settings(max_examples=300, deadline=None)
@given(shapes_and_indices())
def test_reading_matches_numpy(case: Any) -> None:
    shape, order, index = case
    array = np.arange(np.prod(shape), dtype=np.int64).reshape(shape).transpose(order)
    if numpy_differs(index):
        return
    expected = numpy_result(array, index)
    if expected is None:
        return
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).permute(order)
    found = tensor[for_torch(index)]
    assert tuple(found.shape) == expected.shape
    assert found.tolist() == expected.tolist()


@settings(max_examples=300, deadline=None)
@given(shapes_and_indices(), st.booleans())
def test_writing_matches_numpy_and_reaches_the_base(case: Any, whole: bool) -> None:
    shape, order, index = case
    if numpy_differs(index):
        return
    array = np.zeros(shape, np.int64)
    expected = numpy_result(array.transpose(order), index)
    if expected is None:
        return
    base = torch.zeros(shape, dtype=torch.int64)
    if whole:
        # Distinct values may land on one element in any order; those that NumPy reads back are the ones to compare.
        value = np.arange(1, expected.size + 1).reshape(expected.shape)
        places = np.arange(array.size).reshape(shape).transpose(order)[index]
        if np.unique(places).size != places.size:
            return
        array.transpose(order)[index] = value
        base.permute(order)[for_torch(index)] = torch.tensor(value)
    else:
        array.transpose(order)[index] = 7
        base.permute(order)[for_torch(index)] = 7
    assert base.tolist() == array.tolist()


@settings(max_examples=100, deadline=None)
@given(shapes_and_indices())
def test_gradient_counts_how_often_an_element_was_read(case: Any) -> None:
    shape, order, index = case
    if numpy_differs(index):
        return
    array = np.zeros(shape)
    if numpy_result(array.transpose(order), index) is None:
        return
    np.add.at(array.transpose(order), index, 1)
    leaf = torch.zeros(shape, requires_grad=True)
    leaf.permute(order)[for_torch(index)].sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == array.tolist()


MATRIX = torch.arange(9).view(3, 3)


def test_a_list_with_sequences_counts_as_a_tuple() -> None:
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert MATRIX[[[0, 1], [1, 2]]].tolist() == [1, 5]
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert MATRIX[[slice(0, 1), 1]].tolist() == [1]
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert MATRIX[[..., 0]].tolist() == [0, 3, 6]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (range(2), [[0, 1, 2], [3, 4, 5]]),
        ([0.7], [[0, 1, 2]]),
        ((range(1, 2), range(1, 2)), [4]),
        (np.int32(1), [3, 4, 5]),
        ((np.int64(0), np.int64(-1)), 2),
        (True, [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]),
        (False, []),
        (torch.tensor(False), []),
        ((torch.tensor(True), 1), [[3, 4, 5]]),
        ([], []),
        (((0, 1), (1, 2)), [1, 5]),
    ],
)
def test_forms_of_an_index(index: Any, expected: Any) -> None:
    assert MATRIX[index].tolist() == expected


def test_an_empty_index_keeps_the_other_dims() -> None:
    assert MATRIX[[]].shape == (0, 3)
    assert MATRIX[False].shape == (0, 3, 3)
    assert MATRIX[:, []].shape == (3, 0)


def test_a_uint8_tensor_is_a_mask_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="torch.uint8 is now deprecated"):
        assert MATRIX[torch.tensor([1, 0, 1], dtype=torch.uint8)].tolist() == [[0, 1, 2], [6, 7, 8]]


@pytest.mark.parametrize(
    ("read", "kind", "message"),
    [
        (lambda x: x[5], IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
        (lambda x: x[0, 5], IndexError, "index 5 is out of bounds for dimension 1 with size 3"),
        (lambda x: x[:, [5]], IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
        (lambda x: x[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
        (lambda x: x[0, "a"], TypeError, "new(): invalid data type 'str'"),
        (lambda x: x[1.0], IndexError, "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got float)"),
        (lambda x: x[torch.tensor([1.0])], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
        (lambda x: x[[0, 1], [0, 1, 2]], IndexError, "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]"),
        (lambda x: x[torch.ones(2, dtype=torch.bool)], IndexError, "The shape of the mask [2] at index 0 does not match the shape of the indexed tensor [3, 3] at index 0"),
        (lambda x: x[::-1], ValueError, "step must be greater than zero"),
        (lambda x: x[::0], ValueError, "slice step cannot be zero"),
        (lambda x: x[0, 0][0], IndexError, "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"),
        (lambda x: x[:, 0][:0][[0]], IndexError, "index is out of bounds for dimension with size 0"),
        (lambda x: x[10**30], ValueError, "Overflow when unpacking long long"),
        (lambda x: x.__delitem__(0), TypeError, "Tensor does not support deleting items"),
    ],
)  # fmt: skip
def test_refused_reads(read: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        read(MATRIX.clone())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("dtype", "index", "value", "kind", "message"),
    [
        (torch.float32, 0, [1, 2, 3], TypeError, "can't assign a list to a torch.FloatTensor"),
        (torch.float32, 0, np.arange(3), TypeError, "can't assign a numpy.ndarray to a torch.FloatTensor"),
        (torch.float32, 0, None, TypeError, "can't assign a NoneType to a torch.FloatTensor"),
        (torch.uint8, 0, 300, RuntimeError, "value cannot be converted to type uint8_t without overflow"),
        (torch.float32, 0, 1e300, RuntimeError, "value cannot be converted to type float without overflow"),
        (torch.float32, 0, 1j, RuntimeError, "value cannot be converted to type float without overflow"),
        (torch.float32, 0, 1 << 70, ValueError, "Overflow when unpacking long long"),
        (torch.float32, [0], torch.arange(5.0), RuntimeError, "shape mismatch: value tensor of shape [5] cannot be broadcast to indexing result of shape [1, 3]"),
        (torch.float32, [0], torch.arange(3), RuntimeError, "Index put requires the source and destination dtypes match, got Float for the destination and Long for the source."),
    ],
)  # fmt: skip
def test_refused_writes(dtype: Any, index: Any, value: Any, kind: type[Exception], message: str) -> None:
    target = torch.zeros(3, 3, dtype=dtype)
    with pytest.raises(kind) as caught:
        target[index] = value
    assert str(caught.value) == message
    assert not target.any()


def test_values_are_cast_and_lose_leading_ones() -> None:
    x = torch.zeros(2, 3, dtype=torch.int64)
    x[0] = torch.tensor([[[1.7, -1.7, 2.3]]])
    assert x.tolist() == [[1, -1, 2], [0, 0, 0]]
    small = torch.zeros(1, dtype=torch.uint8)
    small[0] = -1
    assert small.tolist() == [255]


@pytest.mark.parametrize("index", [0, slice(0, 1), [0], torch.tensor([True, False, False])])
def test_what_was_overwritten_gets_no_gradient(index: Any) -> None:
    leaf = torch.ones(3, requires_grad=True)
    y = leaf * 1.3
    y[index] = 5.0
    y.sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, torch.tensor([0.0, 1.3, 1.3]))


@pytest.mark.parametrize("index", [0, [0, 2], torch.tensor([True, False, True])])
def test_a_written_value_gets_its_gradient_through_a_column_of_the_base(index: Any) -> None:
    base = torch.ones(3, 2)
    value = torch.tensor(0.7, requires_grad=True)
    base[:, 1][index] = value
    (base * torch.arange(6.0).view(3, 2)).sum().backward()
    assert value.grad is not None
    assert value.grad.item() == (1.0 if isinstance(index, int) else 6.0)


def test_a_leaf_must_not_be_written() -> None:
    leaf = torch.zeros(3, requires_grad=True)
    for index in (0, slice(0, 1), [0]):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            leaf[index] = 1.0


def test_strides_of_a_result_follow_the_operands() -> None:
    x = torch.arange(24).view(2, 3, 4).permute(2, 0, 1)
    assert x[:, [0, 1]].stride() == (1, 4, 8)
    assert x[:, :, [0, 1]].stride() == (2, 8, 1)
    assert torch.arange(10)[torch.arange(4).view(2, 2).t()].stride() == (1, 2)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (0, 3), (4, 1, 6)])
def test_places_that_are_not_zero(shape):
    values = np.round(np.random.default_rng(0).standard_normal(shape))
    if values.size:
        values.reshape(-1)[-1] = np.nan
    for array in (values, values.T, values > 0, values[::2], np.nan_to_num(values).astype(np.int64)):
        expected = np.argwhere(array)
        np.testing.assert_array_equal(torch.tensor(array).nonzero().numpy(), expected)
        turned = torch.tensor(np.ascontiguousarray(array.T)).permute(*reversed(range(array.ndim)))
        np.testing.assert_array_equal(turned.nonzero().numpy(), expected)
        np.testing.assert_array_equal(turned[turned != 0].numpy(), array[array != 0])
        np.testing.assert_array_equal(turned.masked_select(turned != 0).numpy(), array[array != 0])


def test_a_number_where_a_mask_holds():
    x = torch.arange(12.0).reshape(3, 4)
    x[x > 5] = 7
    x[torch.tensor([True, False, True])] = torch.tensor(2.0)
    np.testing.assert_array_equal(x.numpy(), [[2, 2, 2, 2], [4, 5, 7, 7], [2, 2, 2, 2]])
    wide = torch.arange(40000) % 7
    wide[wide == 3] = -1
    np.testing.assert_array_equal(wide.numpy(), np.where(np.arange(40000) % 7 == 3, -1, np.arange(40000) % 7))


def test_writing_at_indices_of_windows_that_overlap_writes_every_row() -> None:
    """What an op leaves alone does not undo what it has written in the same place."""
    x = torch.arange(8.0)
    windows = x.unfold(0, 3, 1)
    windows[torch.tensor([0, 2])] = torch.tensor([[10.0, 11.0, 12.0], [20.0, 21.0, 22.0]])
    assert x.tolist() == [10.0, 11.0, 20.0, 21.0, 22.0, 5.0, 6.0, 7.0]
    windows.index_fill_(0, torch.tensor([3]), -1.0)
    assert x.tolist() == [10.0, 11.0, 20.0, -1.0, -1.0, -1.0, 6.0, 7.0]
