"""Tensors from nothing: filled, like others, and ranged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import devices, dtypes as dt, memory_formats, tape
from ..engine.lowering import Loop
from ..engine.terms import HALF, MEMORY, REGISTER
from ..errors import sizes, type_name
from ..graph import grad_state, make_tensor
from ..shape import Layout, Shape, contiguous, contiguous_strides, layout, preserved_strides
from ..storage import ON_META, Storage, TensorBase
from .card import Card, apply, tensor_of_array
from .define import as_leaf, as_tensor_argument, refuse_dtypes, write_out
from .scalars import fitting
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
            memory = tensor._storage.allocate().view(out.dtype.numpy)
            if out.dtype in HALF:  # NumPy copies bits many times as fast
                memory.view(np.int16)[:] = np.array(value, out.dtype.numpy).view(np.int16)
            else:
                memory[:] = value
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


def dtype_argument(dtype: Any, function: str, out: TensorBase | None = None) -> dt.dtype:
    """The dtype asked for; that of `out` where there is one."""
    if out is not None:
        if dtype is not None and dtype is not out._layout.dtype:
            raise RuntimeError(f"dtype {dtype_argument(dtype, function).type_name} does not match dtype of out parameter ({out._layout.dtype.type_name})")
        return out._layout.dtype
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
    found = filled(contiguous(size_argument(shape, size, "zeros"), dtype_argument(dtype, "zeros", out)), 0, device, requires_grad)
    return found if out is None else write_out(out, found)


def ones(*shape: Any, size: Any = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    >>> torch.ones(2)
    tensor([1., 1.])
    """
    found = filled(contiguous(size_argument(shape, size, "ones"), dtype_argument(dtype, "ones", out)), 1, device, requires_grad)
    return found if out is None else write_out(out, found)


def empty(*shape: Any, size: Any = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor whose values nobody has written.

    >>> torch.empty(2, 3).shape
    torch.Size([2, 3])
    """
    shape = size_argument(shape, size, "empty")
    strides = contiguous_strides(shape) if memory_format is None else memory_format.strides(shape)
    found = fresh(make_layout(shape, strides, dtype_argument(dtype, "empty", out)), device, requires_grad)
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
    return fresh(make_layout(tuple(size), tuple(stride), dtype_argument(dtype, "empty_strided")), device, requires_grad)


def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A tensor whose values nobody has written, its dims in memory in the order `physical_layout`, outermost first.

    >>> torch.empty_permuted((2, 3), (1, 0)).stride()
    (1, 2)
    """
    shape, order = tuple(size), tuple(physical_layout)
    if len(shape) != len(order):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    stride, step = [0] * len(shape), 1
    for n, d in reversed(list(enumerate(order))):
        if not 0 <= d < len(shape):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got {d} at index {n}).  NB: negative dims not currently supported; file an issue if you want it."
            )
        stride[d], step = step, step * shape[d]
    if len(set(order)) != len(order):
        raise RuntimeError("Duplicate dim not allowed")
    return fresh(make_layout(shape, tuple(stride), dtype_argument(dtype, "empty_permuted")), device, requires_grad)


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
    dtype = dt.of_number(fill_value) if dtype is None and out is None else dtype_argument(dtype, "full", out)
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


def _new(function: Callable[..., Tensor], call: str, shown: str) -> Callable[..., Tensor]:
    """The method that calls a factory with the dtype and device of the tensor, such as `Tensor.new_zeros`."""

    def method(input: Tensor, *args: Any, dtype: dt.dtype | None = None, device: Any = None, **kwargs: Any) -> Tensor:
        return function(*args, dtype=dtype or input._layout.dtype, device=input._storage.device if device is None else device, **kwargs)

    method.__name__ = method.__qualname__ = f"new_{function.__name__}"
    method.__doc__ = f"`{function.__name__}` with the dtype and device of `input`.\n\n    >>> torch.ones(1, dtype=torch.int32).new_{function.__name__}{call}\n    {shown}\n    "
    return method


new_empty = _new(empty, "(2, 3).dtype", "torch.int32")
new_empty_strided = _new(empty_strided, "((2, 3), (1, 2)).stride()", "(1, 2)")
new_zeros = _new(zeros, "(2)", "tensor([0, 0], dtype=torch.int32)")
new_ones = _new(ones, "((2,))", "tensor([1, 1], dtype=torch.int32)")
new_full = _new(full, "((2,), 7)", "tensor([7, 7], dtype=torch.int32)")


def scalar_tensor(s: Any, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A 0-dim tensor of the default dtype holding a number.

    >>> torch.scalar_tensor(2)
    tensor(2.)
    """
    return full((), s, dtype=dtype_argument(dtype, "scalar_tensor"), device=device, requires_grad=requires_grad)


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
    elif len(ends) > 3 or (not ends and end is None):
        raise TypeError(
            f"arange() received an invalid combination of arguments - got ({', '.join(type_name(v) for v in ends)}), but expected one of:\n"
            " * (Number end, *, Tensor out = None, torch.dtype dtype = None)\n * (Number start, Number end, Number step = 1, *, Tensor out = None, torch.dtype dtype = None)"
        )
    elif ends:
        start, end, step = (*ends, *(start, end, step)[len(ends) :])
    start, end, step = _numbers("arange", start=0 if start is None else start, end=end, step=step)
    if dtype is None:
        dtype = out._layout.dtype if out is not None else dt.int64 if all(isinstance(v, int) for v in (start, end, step)) else dt.get_default_dtype()
    if any(isinstance(v, complex) for v in (start, end, step)):
        raise RuntimeError("value cannot be converted to type double without overflow")
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
    found = given(values.astype(dtype.numpy, copy=False), out, device, requires_grad)
    _report("arange", found, start=start, end=end, step=step)
    return found


def _check_range(start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def given(values: np.ndarray, out: Tensor | None, device: Any, requires_grad: bool) -> Tensor:
    found = tensor_of_array(values)
    if devices.resolve(device) is devices.META:
        found = fresh(found._layout, device)
    found = as_leaf(found, requires_grad)
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
    return given(values.astype(dtype_argument(dtype, "range", out).numpy), out, device, requires_grad)


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
    if not hasattr(steps, "__index__") or isinstance(steps, TensorBase) and steps._layout.dtype.category > dt.INTEGER:
        raise TypeError(f"{function}(): argument 'steps' must be int, not {type_name(steps)}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")


def _linear(start: Any, end: Any, steps: int, numpy: np.dtype) -> np.ndarray:
    """`steps` values from start to end, the second half counted back from the end as PyTorch does."""
    if steps == 1:
        return np.array([start])
    if numpy.kind in "iu":
        start, end, n = int(start), int(end), np.arange(steps)
        step = (float(end) - float(start)) / max(steps - 1, 1)
        return np.trunc(np.where(n < steps / 2, start + step * n, end - step * (steps - 1 - n)))
    if numpy.itemsize < 4:
        return _half_linear(start, end, steps, numpy)
    kind = numpy.type
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


def _half_linear(start: Any, end: Any, steps: int, numpy: np.dtype) -> np.ndarray:
    """The same in half precision, where PyTorch rounds after each operation."""

    def rounded(values: Any) -> Any:
        return np.asarray(values, np.float32).astype(numpy).astype(np.float32)

    start, end, n = rounded(start), rounded(end), np.arange(steps)
    step = rounded(rounded(end - start) / rounded(max(steps - 1, 1)))
    return np.where(n < steps // 2, start + rounded(step * rounded(n)), end - rounded(step * rounded(steps - 1 - n)))


def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from `start` to `end` inclusive.

    >>> torch.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    _check_steps(start, end, steps, "linspace")
    start, end = _numbers("linspace", start=start, end=end)
    dtype = _endpoint_dtype(dtype if out is None else dtype_argument(dtype, "linspace", out), start, end)
    if steps > 1:
        refuse_dtypes("linspace_cpu", dtype, frozenset((dt.bool_,)))
    return given(_linear(start, end, int(steps), dtype.numpy).astype(dtype.numpy, copy=False), out, device, requires_grad)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """`steps` numbers from ``base ** start`` to ``base ** end``, evenly spaced in the exponent.

    >>> torch.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    _check_steps(start, end, steps, "logspace")
    start, end = _numbers("logspace", start=start, end=end)
    dtype = _endpoint_dtype(dtype if out is None else dtype_argument(dtype, "logspace", out), start, end)
    if steps > 1:
        refuse_dtypes("logspace_cpu", dtype, frozenset((dt.bool_,)))
    if dtype.category == dt.INTEGER:
        exponents = _linear(int(start), int(end), int(steps), np.dtype(np.float64))
    else:
        exponents = _linear(start, end, int(steps), dtype.numpy).astype(dtype.numpy)
    kind = np.float64 if dtype.category == dt.INTEGER else np.float32 if dtype in dt.LOW_PRECISION else dtype.numpy.type
    with np.errstate(all="ignore"):
        found = np.power(np.asarray(base, dtype.numpy if dtype in dt.LOW_PRECISION else kind).astype(kind), exponents.astype(kind))
        return given(found.astype(dtype.numpy), out, device, requires_grad)


def eye(n: int, m: int | None = None, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """The identity matrix, `n` rows by `m` columns (`n` when None).

    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    for name, size in (("n", n), ("m", 0 if m is None else m)):
        if not hasattr(size, "__index__"):
            raise TypeError(f"eye(): argument '{name}' (position {'nm'.index(name) + 1}) must be int, not {type_name(size)}")
    if n < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n}")
    if m is not None and m < 0:
        raise RuntimeError(f"m must be greater or equal to 0, got {m}")
    return given(np.eye(n, m, dtype=dtype_argument(dtype, "eye", out).numpy), out, device, requires_grad)


def _check_triangle(function: str, row: int, col: int, dtype: dt.dtype) -> None:
    for name, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{name} must be non-negative, got{n}")
    if dtype not in (dt.int32, dt.int64):
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtype.type_name}'")


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: dt.dtype = dt.int64, device: Any = None, layout: Any = None) -> Tensor:
    """The indices of the lower triangle, as two rows.

    >>> torch.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    _check_triangle("tril_indices", row, col, dtype)
    return given(np.stack(np.tril_indices(row, offset, col)).astype(dtype.numpy), None, device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: dt.dtype = dt.int64, device: Any = None, layout: Any = None) -> Tensor:
    """The indices of the upper triangle, as two rows.

    >>> torch.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    _check_triangle("triu_indices", row, col, dtype)
    return given(np.stack(np.triu_indices(row, offset, col)).astype(dtype.numpy), None, device, False)
