"""Tensors from nothing, from Python data and from NumPy: dtypes inferred, what is shared, what is refused."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        ([1, 2], torch.int64, [1, 2]),
        ([1, 2.5], torch.float32, [1, 2.5]),
        ([True, 2], torch.int64, [1, 2]),
        ([True, False], torch.bool, [True, False]),
        ([1, 1j], torch.complex64, [1, 1j]),
        ([], torch.float32, []),
        ([[], []], torch.float32, [[], []]),
        ((1, range(2)[1]), torch.int64, [1, 1]),
        ([range(3), range(3)], torch.int64, [[0, 1, 2], [0, 1, 2]]),
        (np.float32(3.5), torch.float32, 3.5),
        (np.float64(3.5), torch.float64, 3.5),
        (np.int16(3), torch.int16, 3),
        ([np.float64(1), np.float32(2)], torch.float64, [1, 2]),
        ([np.int32(1), np.int64(2)], torch.int64, [1, 2]),
        (np.arange(3, dtype=np.uint8), torch.uint8, [0, 1, 2]),
        ([torch.tensor(1), torch.tensor(2.0)], torch.float32, [1, 2]),
        ([torch.tensor([1]), torch.tensor([2])], torch.int64, [1, 2]),
    ],
)
def test_tensor_infers_dtype_and_shape(data: Any, dtype: Any, values: Any) -> None:
    found = torch.tensor(data)
    assert found.dtype is dtype
    assert found.tolist() == values


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: torch.tensor([[1], [2, 3]]), ValueError, "expected sequence of length 1 at dim 1 (got 2)"),
        (lambda: torch.tensor([[1, 2], 3]), TypeError, "not a sequence"),
        (lambda: torch.tensor("a"), TypeError, "new(): invalid data type 'str'"),
        (lambda: torch.tensor(["a"]), ValueError, "too many dimensions 'str'"),
        (lambda: torch.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: torch.tensor(1 << 70), ValueError, "Overflow when unpacking long long"),
        (lambda: torch.tensor([300], dtype=torch.uint8), RuntimeError, "value cannot be converted to type uint8 without overflow"),
        (lambda: torch.tensor([1j], dtype=torch.float32), TypeError, "must be real number, not complex"),
        (lambda: torch.zeros(-1), RuntimeError, "zeros: Dimension size must be non-negative."),
        (lambda: torch.zeros(2.5), TypeError, "zeros(): argument 'size' (position 1) must be tuple of ints, not float"),
        (lambda: torch.zeros(2, dtype="x"), TypeError, "zeros(): argument 'dtype' must be torch.dtype, not str"),
        (lambda: torch.full(2, 3), TypeError, "full(): argument 'size' (position 1) must be tuple of ints, not int"),
        (lambda: torch.full((2,), 1e39), RuntimeError, "value cannot be converted to type float without overflow"),
        (lambda: torch.arange(1, 5, -1), RuntimeError, "upper bound and lower bound inconsistent with step sign"),
        (lambda: torch.arange(0, 4, 0.5, dtype=torch.int64), ValueError, "step must be nonzero"),
        (lambda: torch.arange(3, dtype=torch.bool), NotImplementedError, "\"arange_cpu\" not implemented for 'Bool'"),
        (lambda: torch.empty_strided((2, 3), (1,)), RuntimeError, "dimensionality of sizes (2) must match dimensionality of strides (1)"),
        (lambda: torch.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
        (lambda: torch.from_numpy(np.arange(3, dtype=">i4")), ValueError, "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported."),
        (lambda: torch.from_numpy([1]), TypeError, "expected np.ndarray (got list)"),
        (lambda: torch.asarray([1], copy=False), ValueError, "can't alias arbitrary sequence into a tensor."),
        (lambda: torch.tril_indices(-1, 2), RuntimeError, "row must be non-negative, got-1"),
    ],
)  # fmt: skip
def test_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_copies_that_warn() -> None:
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        torch.tensor(torch.ones(2))
    with pytest.warns(UserWarning, match="list of numpy.ndarrays is extremely slow"):
        assert torch.tensor([np.arange(2), np.arange(2)]).shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "dtype", "values"),
    [
        ((-5, 5, 1.5), torch.int64, [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4]),
        ((5, 0, -1.2), torch.int32, [5, 4, 3, 2, 1]),
        ((0, 4, 0.5), torch.int32, [0] * 8),
        ((0.1, -7.9, -4.0), torch.int64, [0, -4]),
        ((0, 1, 0.25), None, [0, 0.25, 0.5, 0.75]),
        ((3,), None, [0, 1, 2]),
        ((1, 3.0), None, [1, 2]),
    ],
)
def test_arange_cuts_its_arguments_for_integers(arguments: tuple[float, ...], dtype: Any, values: list[float]) -> None:
    assert torch.arange(*arguments, dtype=dtype).tolist() == values


def test_arange_by_keyword() -> None:
    assert torch.arange(end=3).tolist() == [0, 1, 2]
    assert torch.arange(start=1, end=4, step=2).tolist() == [1, 3]


@pytest.mark.parametrize("like", [torch.zeros_like, torch.ones_like, torch.empty_like, lambda x: torch.full_like(x, 2)])
def test_like_keeps_dense_strides_and_order(like: Callable[[Any], Any]) -> None:
    x = torch.arange(24).view(2, 3, 4).permute(2, 0, 1)
    assert like(x).stride() == x.stride()
    assert like(x[:, :, ::2]).stride() == (1, 8, 4)
    assert like(torch.zeros(3).expand(2, 3)).stride() == (3, 1)


def test_new_follows_the_tensor() -> None:
    x = torch.zeros(2, dtype=torch.float64)
    assert x.new_zeros(size=(3,)).dtype is torch.float64
    assert x.new_full((2,), 3).tolist() == [3, 3]
    assert x.new_tensor([1, 2]).dtype is torch.float64
    assert x.new_empty_strided((2, 2), (1, 2)).stride() == (1, 2)
    assert x.new(2, 3).shape == (2, 3) and x.new().shape == (0,) and x.new([1]).tolist() == [1]


@pytest.mark.parametrize("share", [torch.from_numpy, torch.as_tensor, torch.asarray, torch.from_dlpack, lambda a: torch.frombuffer(a, dtype=torch.float32)])
def test_memory_is_shared_both_ways(share: Callable[[Any], Any]) -> None:
    array = np.zeros(4, np.float32)
    tensor = share(array)
    array[0] = 3
    assert tensor[0].item() == 3
    tensor[1:3] += 2
    assert array.tolist() == [3, 2, 2, 0]


def test_strided_arrays_are_shared_with_their_strides() -> None:
    array = np.zeros((3, 4), np.int64)
    tensor = torch.from_numpy(array.T[::2])
    assert tensor.stride() == (2, 4)
    tensor[1] = 7
    assert array.tolist() == [[0, 0, 7, 0]] * 3


def test_dlpack_out_and_back() -> None:
    from_dlpack, to_dlpack = torch.utils.dlpack.from_dlpack, torch.utils.dlpack.to_dlpack
    assert torch.to_dlpack is to_dlpack
    tensor = torch.arange(3.0)
    array = np.from_dlpack(tensor)
    again = from_dlpack(to_dlpack(tensor))
    tensor.mul_(2)
    assert array.tolist() == again.tolist() == [0, 2, 4]
    for read in (np.from_dlpack, torch.from_dlpack):
        with pytest.raises(BufferError, match="Can't export tensors that require gradient"):
            read(torch.ones(1, requires_grad=True))
    for given in (tensor, np.zeros(3)):
        copied, placed = torch.from_dlpack(given, copy=True), torch.from_dlpack(given, device="cpu", copy=False)
        given[0] = 9
        assert (copied[0].item(), placed[0].item()) == (0, 9)
    for options, message in (
        ({"copy": True}, "device and copy kwargs not supported when ext_tensor is already a DLPack capsule."),
        ({"device": 3}, "from_dlpack: unsupported device type: <class 'int'>"),
    ):
        with pytest.raises(AssertionError, match=message):
            torch.from_dlpack(to_dlpack(tensor) if "copy" in options else tensor, **options)


def test_copies_are_copies() -> None:
    array = np.zeros(2)
    copied = (torch.tensor(array), torch.asarray(array, copy=True), torch.as_tensor(array, dtype=torch.float32))
    array[:] = 1
    assert all(c.tolist() == [0, 0] for c in copied)


def test_frombuffer_counts_and_offsets() -> None:
    buffer = bytearray(np.arange(4, dtype=np.int32).tobytes())
    assert torch.frombuffer(buffer, dtype=torch.int32, count=2, offset=4).tolist() == [1, 2]
    with pytest.raises(ValueError, match="must be a multiple of element size"):
        torch.frombuffer(buffer, dtype=torch.int32, offset=2)


def test_empty_tensors() -> None:
    assert torch.zeros(0, 3).sum().item() == 0
    assert torch.empty(2, 0).stride() == (1, 1)
    assert torch.tensor([[]]).shape == (1, 0)
    assert torch.cat([torch.zeros(0), torch.ones(1, 2)]).tolist() == [[1, 1]]
    with pytest.raises(RuntimeError, match="ambiguous"):
        torch.zeros(0).view(-1, 0)


def test_fill_diagonal_wraps_below_a_full_square() -> None:
    assert torch.zeros(7, 3).fill_diagonal_(2, wrap=True).nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [4, 0], [5, 1], [6, 2]]
    assert torch.zeros(7, 3).fill_diagonal_(2).nonzero().tolist() == [[0, 0], [1, 1], [2, 2]]
    assert torch.zeros(2, 2, 2).fill_diagonal_(2).nonzero().tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_default_device_of_none_is_the_cpu_again():
    torch.set_default_device("meta")
    try:
        assert torch.ones(1).device.type == "meta"
    finally:
        torch.set_default_device(None)
    assert torch.get_default_device().type == "cpu" and torch.ones(1).item() == 1.0


def test_integers_become_the_default_dtype_of_the_moment():
    n = torch.tensor([1, 2])
    seen = []
    for dtype in (torch.float32, torch.float64, torch.float16, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            seen.append([(n / 2).dtype, n.sqrt().dtype, torch.atan2(n, n).dtype, torch.true_divide(n, n).dtype, (n * 1.5).dtype])
        finally:
            torch.set_default_dtype(torch.float32)
    assert seen == [[dtype] * 5 for dtype in (torch.float32, torch.float64, torch.float16, torch.float32)]
    with pytest.raises(TypeError, match="^only floating-point types are supported as the default type"):
        torch.set_default_dtype(torch.int32)


def test_a_number_is_an_accelerator_of_which_there_is_none():
    for call in (lambda: torch.device(0), lambda: torch.ones(1).to(0), lambda: torch.ones(1, device=1), lambda: torch.ones(1).pin_memory()):
        with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available."):
            call()
    with pytest.warns(UserWarning, match="exact is not one of 'highest', 'high', or 'medium'"):
        torch.set_float32_matmul_precision("exact")


def test_half_precision_is_filled_with_the_rounded_number():
    for kind in (torch.bfloat16, torch.float16):
        for value in (0.3, -1.7, math.inf, -0.0, math.nan):
            found = torch.full((3, 2), value, dtype=kind)
            assert str(found.float().tolist()) == str(torch.tensor([[value] * 2] * 3).to(kind).float().tolist())
        assert torch.ones_like(torch.zeros(2, 3, dtype=kind).t()).stride() == (1, 3)


def test_numbers_that_a_tensor_cannot_be():
    assert float(torch.tensor(1 + 0j)) == 1.0 and int(torch.tensor(2 + 0j)) == 2
    for kind, name in ((float, "double"), (int, "int64_t")):
        with pytest.raises(RuntimeError, match=f"value cannot be converted to type {name} without overflow"):
            kind(torch.tensor(1 + 2j))
    for call in (lambda: torch.tensor([1], requires_grad=True), lambda: torch.arange(3, requires_grad=True)):
        with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
            call()


def test_functions_have_their_public_names_and_are_pickled_by_them():
    functions = [F.relu, F.softmax, F.log_softmax, F.unfold, torch.Tensor.norm, torch.Tensor.numpy, torch.Tensor.where]
    assert [f.__name__ for f in functions] == ["relu", "softmax", "log_softmax", "unfold", "norm", "numpy", "where"]
    functions += [torch.relu, torch.tanh, torch.absolute, torch.atan2, torch.special.expit]
    assert [pickle.loads(pickle.dumps(f)) for f in functions] == functions
