"""Tensors from Python data, NumPy arrays, buffers and DLPack capsules, and arrays from tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import devices, dtypes as dt
from ..errors import type_name
from ..graph import make_tensor
from ..shape import Shape, Size, contiguous, layout
from ..storage import ON_META, SHARED, Storage, TensorBase, storage_of_array
from ..untyped_storage import UntypedStorage
from .card import array_of, share
from .creation import dtype_argument, empty, given
from .define import NUMBERS, as_leaf
from .scalars import fits_integer, overflow

if TYPE_CHECKING:
    from ..tensor import Tensor


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the memory of a NumPy array: writes to one show in the other.

    >>> a = numpy.zeros(2); t = torch.from_numpy(a); a[0] = 5; t
    tensor([5., 0.], dtype=torch.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type_name(ndarray)})")
    if not ndarray.dtype.isnative:
        raise ValueError("given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported.")
    dtype = dt.from_numpy(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. (You can probably work around this by making a copy of your array  with array.copy().) "
        )
    if any(s % ndarray.itemsize for s in ndarray.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.")
    if not ndarray.flags.writeable:
        import warnings

        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing to this tensor will result in undefined behavior. You may want to copy the array to protect its data or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program.",
            UserWarning,
            stacklevel=2,
        )
    storage = storage_of_array(ndarray)
    storage.special = SHARED
    out = layout(ndarray.shape, tuple(s // ndarray.itemsize for s in ndarray.strides), dtype)
    return make_tensor(storage, 0, out)


def frombuffer(buffer: Any, *, dtype: dt.dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor over the memory of a buffer.

    >>> torch.frombuffer(bytearray([1, 2, 3]), dtype=torch.uint8)
    tensor([1, 2, 3], dtype=torch.uint8)
    """
    try:
        available = memoryview(buffer).nbytes
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    if available == 0 or count == 0:
        raise ValueError(f"both buffer length ({available}) and count ({count}) must not be 0")
    if not 0 <= offset < available:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({available} bytes) minus 1")
    if count < 0 and (available - offset) % dtype.itemsize:
        raise ValueError(f"buffer length ({available - offset} bytes) after offset ({offset} bytes) must be a multiple of element size ({dtype.itemsize})")
    if count > 0 and offset + count * dtype.itemsize > available:
        raise ValueError(f"requested buffer length ({count} * {dtype.itemsize} bytes) after offset ({offset} bytes) must not be greater than actual buffer length ({available} bytes)")
    array = np.frombuffer(buffer, np.uint8, -1 if count < 0 else count * dtype.itemsize, offset)
    if not array.flags.writeable:
        import warnings

        warnings.warn("The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can write to the underlying (supposedly non-writable) buffer using the tensor. You may want to copy the buffer to protect its data or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program.", UserWarning, stacklevel=2)
    storage = Storage(array.nbytes, array, SHARED)
    found = make_tensor(storage, 0, contiguous((array.nbytes // dtype.itemsize,), dtype))
    return as_leaf(found, requires_grad)


def _array_of_data(data: Any, dtype: dt.dtype | None) -> np.ndarray:
    """Python or NumPy data as a fresh array of the dtype that PyTorch infers."""
    if isinstance(data, np.generic):
        return np.asarray(data).astype((dt.from_numpy(data.dtype) if dtype is None else dtype).numpy)
    if isinstance(data, np.ndarray):
        shared = from_numpy(data) if data.flags.writeable else from_numpy(data.copy("K"))
        with np.errstate(all="ignore"):
            return array_of(shared).astype(shared._layout.dtype.numpy if dtype is None else dtype.numpy, order="K")
    if type(data) in NUMBERS:
        own = dt.of_number(data)
        return _elements([data], own, own if dtype is None else dtype).reshape(())
    if not isinstance(data, (list, tuple)) and not hasattr(data, "__array__") and not hasattr(data, "__len__"):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    if hasattr(data, "__array__"):
        return _array_of_data(np.asarray(data), dtype)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not isinstance(data, Sequence):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    shape, leaves, inferred = _scan(data)
    target: Any = inferred if dtype is None else dtype
    if target is None:
        target = dt.get_default_dtype()
    return _elements(leaves, inferred, target).reshape(shape)


def _elements(leaves: list[Any], inferred: dt.dtype | None, target: dt.dtype) -> np.ndarray:
    """Python numbers, whose dtype would be `inferred`, as an array of dtype `target`."""
    kind = dt.FLOAT if inferred is None else inferred.category
    try:
        if target.category == dt.BOOL:
            return np.array([bool(v) for v in leaves], np.bool_)
        if target.category == dt.INTEGER:
            if kind == dt.COMPLEX:
                raise TypeError("'complex' object cannot be interpreted as an integer")
            if not all(fits_integer(v, target) for v in leaves):
                largest = max(abs(v) for v in leaves if isinstance(v, int)) if kind <= dt.INTEGER else 0
                raise OverflowError if largest >= 1 << 63 else overflow(target.name)
            limits = (1 << 8 * target.itemsize) - 1
            return np.array([int(v) & limits for v in leaves] if not target.is_signed else [int(v) for v in leaves], target.numpy)
        if target.category == dt.FLOAT:
            if kind == dt.COMPLEX:
                raise TypeError("must be real number, not complex")
            with np.errstate(over="ignore"):
                return np.array(leaves, np.float64).astype(target.numpy)
        return np.array(leaves, target.numpy)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None


def _scan(data: Any) -> tuple[Shape, list[Any], dt.dtype | None]:
    """The shape, the numbers in order, and the inferred dtype of nested sequences."""
    shape: list[int] = []
    level = data
    while isinstance(level, Sequence) and not isinstance(level, (str, bytes)):
        shape.append(len(level))
        if not len(level):
            break
        level = level[0]
    if isinstance(level, np.ndarray):
        if isinstance(data, list) and all(isinstance(e, np.ndarray) for e in data):
            import warnings

            warnings.warn(
                "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider converting the list to a single numpy.ndarray with numpy.array() before converting to a tensor.",
                stacklevel=5,
            )
        if not level.ndim:
            raise TypeError("len() of unsized object")
        shape.extend(level.shape)
    leaves: list[Any] = []
    inferred: list[dt.dtype | None] = [None]

    def note(found: dt.dtype) -> None:
        inferred[0] = found if inferred[0] is None else dt.promote_cached(inferred[0], found)

    def visit(value: Any, depth: int) -> None:
        if isinstance(value, TensorBase) and depth == len(shape):
            if value._layout.numel != 1:
                if value._layout.dtype.category > dt.INTEGER:
                    raise ValueError("only one element tensors can be converted to Python scalars")
                raise TypeError("only integer tensors of a single element can be converted to an index")
            note(value._layout.dtype)
            leaves.append(value.item())  # type: ignore[attr-defined]
        elif isinstance(value, (TensorBase, np.ndarray)):
            array = array_of(value) if isinstance(value, TensorBase) else value
            if tuple(array.shape) != tuple(shape[depth:]):
                raise ValueError(f"expected sequence of length {shape[depth] if depth < len(shape) else 1} at dim {depth} (got {len(array) if array.ndim else 1})" if array.ndim or depth < len(shape) else "only one element tensors can be converted to Python scalars")
            note(dt.from_numpy(array.dtype))
            leaves.extend(array.reshape(-1).tolist())
        elif depth < len(shape):
            if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
                raise TypeError("not a sequence")
            if len(value) != shape[depth]:
                raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(value)})")
            if depth == len(shape) - 1 and set(map(type, value)) <= NUMBERS:
                for kind in set(map(type, value)):
                    note(dt.of_number(kind))
                leaves.extend(value)
            else:
                for v in value:
                    visit(v, depth + 1)
        elif isinstance(value, (bool, int, float, complex, np.generic)):
            note(dt.from_numpy(value.dtype) if isinstance(value, np.generic) else dt.of_number(value))
            leaves.append(value)
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            what = "cannot be interpreted as an integer" if inferred[0] is None or inferred[0].category <= dt.INTEGER else None
            raise TypeError(f"'{type(value).__name__}' object {what}" if what else f"must be real number, not {type(value).__name__}")
        elif isinstance(value, (str, bytes)):
            if leaves:
                raise TypeError(f"new(): invalid data type '{type(value).__name__}'")
            raise ValueError(f"too many dimensions '{type(value).__name__}'")
        else:
            raise RuntimeError(f"Could not infer dtype of {type(value).__name__}")

    visit(data, 0)
    return tuple(shape), leaves, inferred[0]


def tensor(data: Any, *, dtype: dt.dtype | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor with a copy of `data`: numbers, nested sequences, arrays, tensors.

    >>> torch.tensor([[1, 2.5], [3, 4]])
    tensor([[1.0000, 2.5000],
            [3.0000, 4.0000]])
    """
    if isinstance(data, TensorBase):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        found = data.detach().clone() if dtype is None else data.detach().to(dtype, copy=True)  # type: ignore[attr-defined]
        return as_leaf(found, requires_grad)
    if dtype is not None:
        dtype = dtype_argument(dtype, "tensor")
    values = _array_of_data(data, dtype)
    if not values.flags.c_contiguous:
        found = make_tensor(storage_of_array(values), 0, layout(values.shape, tuple(s // values.itemsize for s in values.strides), dt.from_numpy(values.dtype)))
        return as_leaf(found, requires_grad)
    return given(values, None, device, requires_grad)


def as_tensor(data: Any, dtype: dt.dtype | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor, with no copy where it is a tensor or an array of the right dtype.

    >>> torch.as_tensor([1, 2])
    tensor([1, 2])
    """
    if isinstance(data, TensorBase):
        same_device = device is None or devices.resolve(device) is data._storage.device
        if (dtype is None or dtype is data._layout.dtype) and same_device:
            return data  # type: ignore[return-value]
        return data.to(device=device, dtype=dtype)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray) and (dtype is None or dtype.numpy == data.dtype) and data.dtype in dt.BY_NUMPY and devices.resolve(device) is devices.CPU:
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype: dt.dtype | None = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None) -> Tensor:
    """`obj` as a tensor, sharing memory where it can unless `copy` is true.

    >>> torch.asarray([1., 2.])
    tensor([1., 2.])
    """
    if isinstance(obj, (TensorBase, np.ndarray)):
        found = as_tensor(obj, dtype, device)
        shared = found is obj or (isinstance(obj, np.ndarray) and found._storage.special == SHARED)
        if copy is False and not shared:
            have = obj._layout.dtype if isinstance(obj, TensorBase) else dt.from_numpy(obj.dtype)
            raise ValueError(f"can't alias tensor with dtype '{have.type_name}' into dtype '{found._layout.dtype.type_name}'.")
        if copy and shared:
            found = found.clone()
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        found = frombuffer(obj, dtype=dtype or dt.get_default_dtype())
    elif isinstance(obj, UntypedStorage):
        dtype = dtype or dt.uint8
        found = make_tensor(obj._storage, 0, contiguous((obj.nbytes() // dtype.itemsize,), dtype))
    else:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        found = tensor(obj, dtype=dtype, device=device)
    if isinstance(obj, TensorBase) and obj._requires_grad:
        if requires_grad is None:
            import warnings

            warnings.warn(
                "torch.asarray: unspecified requires_grad now defaults to obj.requires_grad instead of False. Pass requires_grad=False explicitly to get the old behavior and silence this warning.",
                stacklevel=2,
            )
        elif not requires_grad:
            found = found.detach()
    return as_leaf(found, requires_grad)


class _Capsule:
    """A bare DLPack capsule in CPU memory as an object that hands it out."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of any object that speaks DLPack, or with ``copy=True`` over memory of its own.

    >>> torch.from_dlpack(numpy.arange(2))
    tensor([0, 1])
    """
    if not hasattr(ext_tensor, "__dlpack__") and (device is not None or copy is not None):
        raise AssertionError("device and copy kwargs not supported when ext_tensor is already a DLPack capsule.")
    if device is not None and not isinstance(device, (str, devices.device)):
        raise AssertionError(f"from_dlpack: unsupported device type: {type(device)}")
    found = _over_memory_of(ext_tensor)
    if device is not None:
        found = found.to(device)
    return found.clone() if copy else found


def _over_memory_of(ext_tensor: Any) -> Tensor:
    if isinstance(ext_tensor, TensorBase):
        if ext_tensor.requires_grad:  # type: ignore[attr-defined]
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return ext_tensor.detach()  # type: ignore[attr-defined]
    array = np.from_dlpack(ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor))
    if not array.flags.writeable:
        storage = storage_of_array(array)
        storage.special = SHARED
        return make_tensor(storage, 0, layout(array.shape, tuple(s // array.itemsize for s in array.strides), dt.from_numpy(array.dtype)))
    return from_numpy(array)


def numpy_of(input: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array over the same memory (`Tensor.numpy`).

    >>> a = torch.zeros(2)
    >>> a.numpy()[0] = 3
    >>> a
    tensor([3., 0.])
    """
    if force:
        return share(input.detach().resolve_conj())
    if input._requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if input._storage.special == ON_META:
        raise TypeError("can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")
    if input._layout.dtype in dt.LOW_PRECISION and input._layout.dtype is not dt.float16:
        raise TypeError(f"Got unsupported ScalarType {input._layout.dtype.type_name}")
    return share(input)


numpy_of.__name__ = "numpy"


def new(input: Tensor, *args: Any, device: Any = None) -> Tensor:
    """`torch.Tensor(...)` with the dtype of `input`: the values of a sequence, or an uninitialised tensor of a size.

    >>> torch.ones(1, dtype=torch.float64).new([1, 2])
    tensor([1., 2.], dtype=torch.float64)
    """
    if len(args) == 1 and not isinstance(args[0], (int, tuple)):
        return tensor(args[0], dtype=input._layout.dtype, device=device)
    return empty(*(args or (0,)), dtype=input._layout.dtype, device=device)


def new_tensor(input: Tensor, data: Any, *, dtype: dt.dtype | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`tensor` with the dtype and device of `input`.

    >>> torch.ones(1, dtype=torch.float64).new_tensor([1, 2])
    tensor([1., 2.], dtype=torch.float64)
    """
    return tensor(data, dtype=dtype or input._layout.dtype, device=input._storage.device if device is None else device, requires_grad=requires_grad)


def legacy_tensor(data: tuple[Any, ...], dtype: dt.dtype, device: Any) -> Tensor:
    """What ``torch.FloatTensor(*data)`` gives: the values of one sequence, or a tensor of the given sizes with any values."""
    first = data[0]
    if len(data) > 1 or isinstance(first, Size) or (hasattr(first, "__index__") and not isinstance(first, (bool, np.ndarray))):
        return empty(*data, dtype=dtype, device=device)
    if isinstance(first, dict) or not hasattr(first, "__getitem__") or isinstance(first, np.generic):
        raise TypeError(f"new(): data must be a sequence (got {type_name(first)})")
    if isinstance(first, str):
        raise TypeError("new(): invalid data type 'str'")
    return tensor(first, dtype=dtype, device=device)
