"""Tensors from nothing: filled, ranged, and from Python or NumPy data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import devices, dtypes as dt, memory_formats, tape
from ..engine.lowering import Loop
from ..engine.terms import MEMORY, REGISTER
from ..errors import sizes, type_name
from ..graph import grad_state, make_tensor
from ..shape import Layout, Shape, Size, contiguous, contiguous_strides, layout, preserved_strides
from ..storage import ON_META, SHARED, Storage, TensorBase, storage_of_array
from ..untyped_storage import UntypedStorage
from .card import Card, apply, array_of, share, tensor_of_array
from .define import NUMBERS, as_leaf, as_tensor_argument, write_out
from .scalars import fits_integer, fitting, overflow
from .views import shape_argument

if TYPE_CHECKING:
    from ..tensor import Tensor


def fresh(out: Layout, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this layout with bytes that nobody has written."""
    where = devices.resolve(device)
    storage = Storage(out.nbytes, special=ON_META if where is devices.META else 0)
    tensor = make_tensor(storage, 0, out)
    return as_leaf(tensor, requires_grad)


def filled(out: Layout, value: Any, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this layout, which must be dense, with `value` everywhere."""
    tensor = fresh(out, device, requires_grad)
    if tensor._storage.special != ON_META:
        value = fitting(value, out.dtype)
        if tape.thread.position is not None and out.dtype in MEMORY:
            # In a backward pass: all that it does is on the tape, where it can be fused and the pass be kept as a whole.
            return as_leaf(apply(_FULL, (value,), (out,)), requires_grad)
        if value or "-" in repr(value):
            tensor._storage.allocate().view(out.dtype.numpy)[:] = value
        else:
            tensor._storage.data = np.zeros(out.nbytes, np.uint8)
    _report("full", tensor, value=value)
    return tensor


_FULL = Card(
    "full", "fill_value",
    statics="out",
    infer=lambda fill_value, out: out,
    numpy=lambda fill_value, out: np.full(out.shape, fill_value, out.dtype.numpy),
    lowering=Loop(lambda k, fill_value, out: k.convert(fill_value, REGISTER[out.dtype])),
)  # fmt: skip


def _report(name: str, tensor: Tensor, **params: Any) -> None:
    """Tell an exporter how a tensor was made; what it is not told of is a constant to it."""
    if grad_state.tracer is not None:
        grad_state.tracer.append((name, (), params, (tensor,)))


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


def size_argument(given: tuple[Any, ...], size: Any, function: str) -> Shape:
    """The shape that a factory was given: ints one by one, one sequence, or the keyword `size`."""
    if size is not None:
        given = (size,)
    elif not given:
        raise TypeError(f'{function}() missing 1 required positional arguments: "size"')
    first = given[0]
    if isinstance(first, (tuple, list)):
        if len(given) > 1:
            raise TypeError(f"{function}() takes 1 positional argument but {len(given)} were given")
    elif not hasattr(first, "__index__"):
        raise TypeError(f"{function}(): argument 'size' (position 1) must be tuple of ints, not {type(first).__name__}")
    try:
        shape = shape_argument(given)
    except TypeError:
        entries = list(first) if isinstance(first, (tuple, list)) else given
        place, wrong = next((n, value) for n, value in enumerate(entries) if not hasattr(value, "__index__"))
        if place:
            raise TypeError(f"{function}(): argument 'size' failed to unpack the object at pos {place + 1} with error \"type must be tuple of ints,but got {type_name(wrong)}\"") from None
        raise TypeError(f"{function}(): argument 'size' (position 1) must be tuple of ints, but found element of type {type_name(wrong)} at pos 0") from None
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{function}: Dimension size must be non-negative." if function == "zeros" else f"Trying to create tensor with negative dimension {n}: {sizes(shape)}")
    return shape


def _dtype_argument(dtype: Any, function: str) -> dt.dtype:
    if dtype is None:
        return dt.get_default_dtype()
    if isinstance(dtype, dt.dtype):
        return dtype
    if dtype in (float, int, bool, complex):
        return dt.float64 if dtype is float else dt.of_number(dtype)
    raise TypeError(f"{function}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")


def zeros(*shape: Any, size: Any = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> torch.zeros(2, dtype=torch.int64)
    tensor([0, 0])
    """
    found = filled(contiguous(size_argument(shape, size, "zeros"), _dtype_argument(dtype, "zeros")), 0, device, requires_grad)
    return found if out is None else write_out(out, found)


def ones(*shape: Any, size: Any = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    >>> torch.ones(2)
    tensor([1., 1.])
    """
    found = filled(contiguous(size_argument(shape, size, "ones"), _dtype_argument(dtype, "ones")), 1, device, requires_grad)
    return found if out is None else write_out(out, found)


def empty(*shape: Any, size: Any = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor whose values nobody has written.

    >>> torch.empty(2, 3).shape
    torch.Size([2, 3])
    """
    shape = size_argument(shape, size, "empty")
    strides = contiguous_strides(shape) if memory_format is None else memory_format.strides(shape)
    found = fresh(make_layout(shape, strides, _dtype_argument(dtype, "empty")), device, requires_grad)
    return found if out is None else write_out(out, found)


make_layout = layout


def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of the given size and strides whose values nobody has written.

    >>> torch.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    if len(size) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(size)}) must match dimensionality of strides ({len(stride)})")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={sizes(tuple(size))} and strides={sizes(tuple(stride))}")
    return fresh(make_layout(tuple(size), tuple(stride), _dtype_argument(dtype, "empty_strided")), device, requires_grad)


def full(size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A tensor filled with a number, whose dtype follows from it unless given.

    >>> torch.full((2,), 7)
    tensor([7, 7])
    """
    if isinstance(fill_value, TensorBase):
        if fill_value._layout.ndim:
            raise TypeError("full(): argument 'fill_value' (position 2) must be Number, not Tensor")
        fill_value = fill_value.item()  # type: ignore[attr-defined]
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    if isinstance(fill_value, np.generic):
        fill_value = fill_value.item()
    if not isinstance(fill_value, (bool, int, float, complex)):
        raise TypeError(f"full(): argument 'fill_value' (position 2) must be Number, not {type_name(fill_value)}")
    dtype = dt.of_number(fill_value) if dtype is None else _dtype_argument(dtype, "full")
    shape = size_argument((size,), None, "full")
    found = filled(contiguous(shape, dtype), fill_value, device, requires_grad)
    return found if out is None else write_out(out, found)


def _like(function: str, input: TensorBase, value: Any, dtype: dt.dtype | None, device: Any, requires_grad: bool, memory_format: Any) -> Tensor:
    here = as_tensor_argument(input, function)._layout
    if memory_format is None or memory_format is memory_formats.preserve_format:
        stride = preserved_strides(here.shape, here.stride)
    else:
        stride = memory_format.strides(here.shape)
    out = make_layout(here.shape, stride, here.dtype if dtype is None else dtype)
    where = input._storage.device if device is None else device
    value = value.item() if isinstance(value, TensorBase) else value  # type: ignore[attr-defined]
    return fresh(out, where, requires_grad) if value is None else filled(out, value, where, requires_grad)


def zeros_like(input: Tensor, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Zeros with the shape, dtype and order of dims of `input`.

    >>> torch.zeros_like(torch.tensor([1, 2]))
    tensor([0, 0])
    """
    return _like("zeros_like", input, 0, dtype, device, requires_grad, memory_format)


def ones_like(input: Tensor, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Ones with the shape, dtype and order of dims of `input`.

    >>> torch.ones_like(torch.tensor([3., 4.]))
    tensor([1., 1.])
    """
    return _like("ones_like", input, 1, dtype, device, requires_grad, memory_format)


def empty_like(input: Tensor, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor like `input` whose values nobody has written.

    >>> torch.empty_like(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    return _like("empty_like", input, None, dtype, device, requires_grad, memory_format)


def full_like(input: Tensor, fill_value: Any, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor like `input` filled with a number.

    >>> torch.full_like(torch.zeros(2), 5)
    tensor([5., 5.])
    """
    return _like("full_like", input, fill_value, dtype, device, requires_grad, memory_format)


def _new(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The method that calls a factory with the dtype and device of the tensor, such as `Tensor.new_zeros`."""

    def method(input: Tensor, *args: Any, dtype: dt.dtype | None = None, device: Any = None, **kwargs: Any) -> Tensor:
        return function(*args, dtype=dtype or input._layout.dtype, device=input._storage.device if device is None else device, **kwargs)

    method.__name__ = method.__qualname__ = f"new_{function.__name__}"
    method.__doc__ = f"`{function.__name__}` with the dtype and device of `input`."
    return method


new_empty, new_empty_strided, new_zeros, new_ones, new_full = _new(empty), _new(empty_strided), _new(zeros), _new(ones), _new(full)


def new(input: Tensor, *args: Any, device: Any = None) -> Tensor:
    """`torch.Tensor(...)` with the dtype of `input`: the values of a sequence, or an uninitialised tensor of a size."""
    if len(args) == 1 and not isinstance(args[0], (int, tuple)):
        return tensor(args[0], dtype=input._layout.dtype, device=device)
    return empty(*(args or (0,)), dtype=input._layout.dtype, device=device)


def new_tensor(input: Tensor, data: Any, *, dtype: dt.dtype | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`tensor` with the dtype and device of `input`."""
    return tensor(data, dtype=dtype or input._layout.dtype, device=input._storage.device if device is None else device, requires_grad=requires_grad)


def scalar_tensor(s: Any, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A 0-dim tensor of the default dtype holding a number.

    >>> torch.scalar_tensor(2)
    tensor(2.)
    """
    return full((), s, dtype=_dtype_argument(dtype, "scalar_tensor"), device=device, requires_grad=requires_grad)


# Ranges


def _numbers(function: str, **values: Any) -> list[Any]:
    """The arguments as Python numbers."""
    found = [v.item() if isinstance(v, (TensorBase, np.generic)) else v for v in values.values()]  # type: ignore[union-attr]
    for name, value in zip(values, found, strict=True):
        if not isinstance(value, (bool, int, float, complex)):
            raise TypeError(f"{function}(): argument '{name}' must be Number, not {type(value).__name__}")
    return found


def arange(*ends: Any, start: Any = None, end: Any = None, step: Any = 1, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """Numbers from `start` (0 unless given) up to but without `end`, `step` apart; int64 if all arguments are integers.

    >>> torch.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000])
    """
    if len(ends) == 1 and start is None and end is None:
        end = ends[0]
    elif ends:
        start, end, step = (*ends, *(start, end, step)[len(ends) :])
    start, end, step = _numbers("arange", start=0 if start is None else start, end=end, step=step)
    if dtype is None:
        dtype = out._layout.dtype if out is not None else dt.int64 if all(isinstance(v, int) for v in (start, end, step)) else dt.get_default_dtype()
    _check_range(start, end, step)
    if dtype.category in (dt.BOOL, dt.COMPLEX):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtype.type_name}'")
    count = math.ceil((end - start) / step)
    if dtype.category == dt.INTEGER:
        # The arguments are cut to integers, for int64 before the values are counted.
        first, step = int(start), int(step)
        if dtype is dt.int64:
            if step == 0:
                raise ValueError("step must be nonzero")
            count = -(-(int(end) - first) // step)
        values = np.arange(first, first + count * step, step, dtype=np.int64) if step else np.full(count, first)
    else:
        values = np.arange(count, dtype=np.float64)
        if step != 1:
            values *= step
        values += start
    found = _given(values.astype(dtype.numpy, copy=False), out, device, requires_grad)
    _report("arange", found, start=start, end=end, step=step)
    return found


def _check_range(start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def _given(values: np.ndarray, out: Tensor | None, device: Any, requires_grad: bool) -> Tensor:
    found = tensor_of_array(values)
    if devices.resolve(device) is devices.META:
        found = fresh(found._layout, device)
    if requires_grad:
        found.requires_grad_(True)
    return found if out is None else write_out(out, found)


def range(start: Any = 0, end: Any = None, step: Any = 1, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from `start` to `end` inclusive. Deprecated in favour of `arange`."""
    import warnings

    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        stacklevel=2,
    )
    start, end, step = _numbers("range", start=start, end=end, step=step)
    _check_range(start, end, step)
    count = math.floor((end - start) / step) + 1
    values = start + np.arange(count, dtype=np.float64) * step
    return _given(values.astype(_dtype_argument(dtype, "range").numpy), out, device, requires_grad)


def _endpoint_dtype(dtype: dt.dtype | None, *ends: Any) -> dt.dtype:
    if dtype is not None:
        return dtype
    return dt.default_complex() if any(isinstance(v, complex) for v in ends) else dt.get_default_dtype()


def _check_steps(start: Any, end: Any, steps: int, function: str) -> None:
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, TensorBase) and value._layout.ndim:
            s, e = (v._layout.ndim if isinstance(v, TensorBase) else 0 for v in (start, end))
            if isinstance(start, TensorBase) and isinstance(end, TensorBase):
                raise RuntimeError(f"{function} only supports 0-dimensional start and end tensors, but got start with {s} dimension(s) and end with {e} dimension(s).")
            raise RuntimeError(f"{function} only supports 0-dimensional start and end tensors, but got {name} with {value._layout.ndim} dimension(s).")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")


def _linear(start: Any, end: Any, steps: int, numpy: np.dtype) -> np.ndarray:
    """`steps` values from start to end, the second half counted back from the end as PyTorch does."""
    if steps == 1:
        return np.array([start])
    if numpy.kind in "iu":
        n = np.arange(steps)
        step = (float(end) - float(start)) / max(steps - 1, 1)
        return np.trunc(np.where(n < steps / 2, start + step * n, end - step * (steps - 1 - n)))
    kind = numpy.type if numpy.kind in "fc" and numpy.itemsize >= 4 else np.float32
    start, end = kind(start), kind(end)
    step = (end - start) / kind(max(steps - 1, 1))
    values, half = np.empty(steps, kind), steps // 2
    below, above = values[:half], values[half:]
    below[:] = np.arange(half, dtype=kind)
    below *= step
    below += start
    above[::-1] = np.arange(steps - half, dtype=kind)
    above *= step
    np.subtract(end, above, out=above)
    return values


def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from `start` to `end` inclusive.

    >>> torch.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    _check_steps(start, end, steps, "linspace")
    start, end = _numbers("linspace", start=start, end=end)
    dtype = _endpoint_dtype(dtype, start, end)
    return _given(_linear(start, end, int(steps), dtype.numpy).astype(dtype.numpy, copy=False), out, device, requires_grad)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """`steps` numbers from ``base ** start`` to ``base ** end``, evenly spaced in the exponent.

    >>> torch.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    _check_steps(start, end, steps, "logspace")
    start, end = _numbers("logspace", start=start, end=end)
    dtype = _endpoint_dtype(dtype, start, end)
    exponents = _linear(start, end, int(steps), np.dtype(np.float64) if dtype.category < dt.COMPLEX else dtype.numpy)
    if dtype.category == dt.INTEGER:
        exponents = _linear(start, end, int(steps), np.dtype(np.float64))
    with np.errstate(all="ignore"):
        return _given(np.power(float(base), exponents).astype(dtype.numpy), out, device, requires_grad)


def eye(n: int, m: int | None = None, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """The identity matrix, `n` rows by `m` columns (`n` when None).

    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if n < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n}")
    if m is not None and m < 0:
        raise RuntimeError(f"m must be greater or equal to 0, got {m}")
    return _given(np.eye(n, m, dtype=_dtype_argument(dtype, "eye").numpy), out, device, requires_grad)


def _check_triangle(function: str, row: int, col: int, dtype: dt.dtype) -> None:
    for name, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{name} must be non-negative, got{n}")
    if dtype.category != dt.INTEGER:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtype.type_name}'")


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: dt.dtype = dt.int64, device: Any = None, layout: Any = None) -> Tensor:
    """The indices of the lower triangle, as two rows.

    >>> torch.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    _check_triangle("tril_indices", row, col, dtype)
    return _given(np.stack(np.tril_indices(row, offset, col)).astype(dtype.numpy), None, device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: dt.dtype = dt.int64, device: Any = None, layout: Any = None) -> Tensor:
    """The indices of the upper triangle, as two rows.

    >>> torch.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    _check_triangle("triu_indices", row, col, dtype)
    return _given(np.stack(np.triu_indices(row, offset, col)).astype(dtype.numpy), None, device, False)


# From data


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
    out = make_layout(ndarray.shape, tuple(s // ndarray.itemsize for s in ndarray.strides), dtype)
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
        dtype = _dtype_argument(dtype, "tensor")
    values = _array_of_data(data, dtype)
    if not values.flags.c_contiguous:
        found = make_tensor(storage_of_array(values), 0, make_layout(values.shape, tuple(s // values.itemsize for s in values.strides), dt.from_numpy(values.dtype)))
        return as_leaf(found, requires_grad)
    return _given(values, None, device, requires_grad)


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


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of any object that speaks DLPack.

    >>> torch.from_dlpack(numpy.arange(2))
    tensor([0, 1])
    """
    if isinstance(ext_tensor, TensorBase):
        return ext_tensor.detach()  # type: ignore[attr-defined]
    array = np.from_dlpack(ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor))
    if not array.flags.writeable:
        storage = storage_of_array(array)
        storage.special = SHARED
        return make_tensor(storage, 0, make_layout(array.shape, tuple(s // array.itemsize for s in array.strides), dt.from_numpy(array.dtype)))
    return from_numpy(array)


def numpy_of(input: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array over the same memory (`Tensor.numpy`)."""
    if force:
        return share(input.detach().resolve_conj())
    if input._requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if input._storage.special == ON_META:
        raise TypeError("can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")
    if input._layout.dtype in dt.LOW_PRECISION and input._layout.dtype is not dt.float16:
        raise TypeError(f"Got unsupported ScalarType {input._layout.dtype.type_name}")
    return share(input)

