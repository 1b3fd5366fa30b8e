"""Shape arithmetic against NumPy: what is legal as a view, what broadcasts, and the order of dims in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from rushlight import shape as shapes
from rushlight.dtypes import float32

SIZES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
FULL_SIZES = st.lists(st.integers(1, 4), max_size=4).map(tuple)


@st.composite
def strided(draw: st.DrawFn) -> np.ndarray:
    """An array that is a view of another: dims in any order, every second element, repeated dims."""
    array = np.arange(4096)[: 3 * 5 * 4 * 2].reshape(draw(st.permutations([3, 5, 4, 2])))
    array = array.transpose(draw(st.permutations(range(4))))
    for d in range(4):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            array = array[(slice(None),) * d + (slice(draw(st.integers(0, 1)), None, 2),)]
        elif kind == 1:
            array = array[(slice(None),) * d + (slice(0, 1),)]
    return array


def elements(array: np.ndarray) -> tuple[int, ...]:
    return tuple(s // array.itemsize for s in array.strides)


def factors(count: int, draw: st.DataObject) -> tuple[int, ...]:
    found = []
    while count > 1:
        f = draw.draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0]))
        found.append(f)
        count //= f
        if len(found) > 5:
            found.append(count)
            break
    return tuple(found)


@settings(max_examples=300, deadline=None)
@given(strided(), st.data())
def test_view_strides_show_the_same_elements_and_exist_when_numpy_need_not_copy(array: np.ndarray, data: st.DataObject) -> None:
    target = factors(array.size, data)
    found = shapes.view_strides(array.shape, elements(array), target)
    reshaped = array.reshape(target)
    if found is None:
        assert not np.shares_memory(array, reshaped)
    else:
        seen = np.lib.stride_tricks.as_strided(array, target, tuple(s * array.itemsize for s in found))
        assert seen.tolist() == reshaped.tolist()
        if array.size:
            assert np.shares_memory(array, reshaped)


@given(SIZES, SIZES, SIZES)
def test_broadcast_shapes_is_numpys(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(a, b, c)
    except ValueError:
        with pytest.raises(RuntimeError, match="must match the size of tensor"):
            shapes.broadcast_shapes(a, b, c)
    else:
        assert shapes.broadcast_shapes(a, b, c) == expected


@given(FULL_SIZES, st.data())
def test_infer_shape_fills_the_hole(shape: tuple[int, ...], data: st.DataObject) -> None:
    assume(shape)
    hole = data.draw(st.integers(0, len(shape) - 1))
    asked = (*shape[:hole], -1, *shape[hole + 1 :])
    assert shapes.infer_shape(asked, shapes.numel(shape)) == shape


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((-1, -1), 4, "only one dimension can be inferred"),
        ((-2, 2), 4, "invalid shape dimension -2 at index 0 of shape [-2, 2]"),
        ((-1, 0), 0, "cannot reshape tensor of 0 elements into shape [-1, 0] because the unspecified dimension size -1 can be any value and is ambiguous"),
        ((3, -1), 4, "shape '[3, -1]' is invalid for input of size 4"),
        ((3,), 4, "shape '[3]' is invalid for input of size 4"),
    ],
)
def test_infer_shape_refuses(shape: tuple[int, ...], count: int, message: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        shapes.infer_shape(shape, count)
    assert str(caught.value) == message


@given(st.permutations(range(4)), st.lists(st.integers(2, 4), min_size=4, max_size=4))
def test_stride_order_of_a_dense_operand_gives_its_own_strides(order: list[int], sizes: list[int]) -> None:
    array = np.empty(sizes).transpose(order)
    found = shapes.strides_in_order(array.shape, shapes.stride_order((array.shape,), (elements(array),), array.shape))
    assert found == elements(array)


@given(strided())
def test_layout_knows_contiguity_extent_and_density(array: np.ndarray) -> None:
    here = shapes.layout(array.shape, elements(array), float32)
    assert here.contiguous == array.flags.c_contiguous
    positions = np.array([sum(i * s for i, s in zip(index, here.stride, strict=True)) for index in np.ndindex(*array.shape)])
    assert here.extent == positions.max() + 1
    assert here.dense == (here.extent == here.numel)
    assert here is shapes.layout(array.shape, elements(array), float32)


@given(FULL_SIZES, st.data())
def test_expanded_strides_repeat_dims_of_size_one(shape: tuple[int, ...], data: st.DataObject) -> None:
    target = tuple(data.draw(st.integers(1, 3)) if n == 1 else n for n in shape)
    array = np.arange(shapes.numel(shape)).reshape(shape)
    stride = shapes.expand_strides(shape, shapes.contiguous_strides(shape), (2, *target))
    seen = np.lib.stride_tricks.as_strided(array, (2, *target), tuple(s * array.itemsize for s in stride))
    assert seen.tolist() == np.broadcast_to(array, (2, *target)).tolist()


def test_dims_wrap_and_are_refused_by_name() -> None:
    assert shapes.wrap_dim(-1, 3) == 2
    assert shapes.wrap_dims((-1, 0), 3) == (2, 0)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-3, 2\], but got 3\)"):
        shapes.wrap_dim(3, 3)
    with pytest.raises(RuntimeError, match="dim 1 appears multiple times in the list of dims"):
        shapes.wrap_dims((1, -2), 3)
