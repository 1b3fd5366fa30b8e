"""Views: other metadata over the same storage.

Each card gives geometry, from a layout and static arguments to a layout and an offset, and a gradient in public ops.
The functions below normalise arguments the way PyTorch does, with its errors.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt, memory_formats as formats
from ..errors import sizes
from ..graph import grad_state, make_tensor, tracing
from ..shape import Layout, Shape, infer_shape, layout, view_strides, wrap_dim
from ..storage import TensorBase
from .card import View, apply_view
from .define import NO_DIM, alias, as_tensor_argument, by_numpy_names

if TYPE_CHECKING:
    from ..tensor import Tensor


def shape_argument(shape: tuple[Any, ...]) -> Shape:
    """A shape given as separate ints or as one sequence; 0-dim integer tensors count as ints."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    for n in shape:
        if type(n) is not int:
            return tuple([as_int(n) for n in shape])
    return shape


def sequence_argument(function: str, given: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Shape:
    """Ints given one by one, as one sequence, or by keyword."""
    if name in kwargs and not given:
        given = (kwargs.pop(name),)
    if kwargs:
        raise TypeError(f"{function}() got an unexpected keyword argument '{next(iter(kwargs))}'")
    if not given:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    try:
        return shape_argument(given)
    except TypeError:
        raise wrong_sequence(function, given, name) from None


def wrong_sequence(function: str, given: tuple[Any, ...], name: str) -> TypeError:
    """PyTorch's error for what is no shape: it names the first entry that is no int."""
    listed = isinstance(given[0], (tuple, list))
    entries = given[0] if listed else given
    place, wrong = next((n, type(value).__name__) for n, value in enumerate(entries) if not hasattr(value, "__index__") or isinstance(value, TensorBase))
    if place:
        return TypeError(f"{function}(): argument '{name}' failed to unpack the object at pos {place + 1} with error \"type must be tuple of ints,but got {wrong}\"")
    if listed:
        return TypeError(f"{function}(): argument '{name}' (position 1) must be tuple of ints, but found element of type {wrong} at pos 0")
    if len(given) > 1:
        return TypeError(f"{function}() takes 1 positional argument but {len(given)} were given")
    return TypeError(f"{function}(): argument '{name}' (position 1) must be tuple of ints, not {wrong}")


def as_int(value: Any) -> int:
    try:
        return value.__index__()
    except (AttributeError, TypeError):
        raise TypeError(f"expected int, but got {type(value).__name__}") from None


# as_strided, and the gradients of views whose base was written to


def _as_strided_geometry(input: Layout, size: Shape, stride: Shape, delta: int) -> tuple[Layout, int]:
    return layout(size, stride, input.dtype), delta


_as_strided = View(
    "as_strided",
    geometry=_as_strided_geometry,
    statics="size stride delta",
    grads={
        "input": lambda g, layouts, size, stride, delta: as_strided_backward(
            g, layouts[0], layout(size, stride, layouts[0].dtype), delta
        )
    },
)


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A view of the storage of `input` with the given size and stride, from `storage_offset` (that of `input` when None).

    >>> torch.as_strided(torch.arange(6), (2, 2), (1, 2), 1)
    tensor([[1, 3],
            [2, 4]])
    """
    as_tensor_argument(input, "as_strided")
    size, stride = shape_argument((size,)), shape_argument((stride,))
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {sizes(stride)}")
    offset = input._offset if storage_offset is None else storage_offset
    offset = operator.index(offset)
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    out = layout(size, stride, input._layout.dtype)
    if (offset + out.extent) * out.dtype.itemsize > input._storage.nbytes and out.numel:
        raise RuntimeError(
            f"setStorage: sizes {sizes(size)}, strides {sizes(stride)}, storage offset {offset}, and itemsize {out.dtype.itemsize} "
            f"requiring a storage size of {(offset + out.extent) * out.dtype.itemsize} are out of bounds for storage of size {input._storage.nbytes}"
        )
    return apply_view(_as_strided, input, (size, stride, offset - input._offset))


def restride(input: Tensor, wanted: Layout) -> Tensor:
    """A copy of `input` whose memory is laid out like `wanted`, so that strides that hold for `wanted` hold for it."""
    from .creation import empty_strided

    out = empty_strided(wanted.shape, wanted.stride, dtype=input.dtype)
    return out.copy_(input)


def as_strided_backward(grad: Tensor, base: Layout, view: Layout, delta: int) -> Tensor:
    """The gradient of a base of which `view` shows part, at `delta` elements from its start."""
    from .creation import zeros

    if any(s == 0 and n > 1 for n, s in zip(view.shape, view.stride, strict=True)):
        dims = [d for d, (n, s) in enumerate(zip(view.shape, view.stride, strict=True)) if s == 0 and n > 1]
        grad = grad.sum(dims, keepdim=True)
        view = layout(tuple(1 if d in dims else n for d, n in enumerate(view.shape)), view.stride, view.dtype)
    before = max(-delta, 0)  # how far the view starts before the base, in memory that has no gradient
    flat = zeros(max(before + base.extent, before + delta + view.extent), dtype=grad.dtype)
    flat = flat.index_add(0, flat_positions(view, before + delta), grad.reshape(-1))
    return flat.as_strided(base.shape, base.stride, before)


def flat_positions(view: Layout, delta: int) -> Tensor:
    """For each element of a layout, in row-major order, its distance from the start of the memory."""
    from .creation import arange

    found = arange(delta, delta + 1)
    for n, s in zip(view.shape, view.stride, strict=True):
        found = (found.unsqueeze(-1) + arange(n) * s).reshape(-1)
    return found


# Shape


def _reshaped(input: Layout, shape: Shape) -> tuple[Layout, int]:
    stride = view_strides(input.shape, input.stride, shape)
    if stride is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return layout(shape, stride, input.dtype), 0


@functools.lru_cache(1 << 12)  # a program asks for the same few again and again
def _seen_as(input: Layout, shape: Shape) -> tuple[Shape, bool]:
    """`shape` with its -1 filled in, and whether the memory of `input` can be seen with it."""
    wanted = infer_shape(shape, input.numel)
    return wanted, view_strides(input.shape, input.stride, wanted) is not None


_view = View(
    "view",
    geometry=_reshaped,
    statics="shape",
    grads={"input": lambda g, layouts: g.reshape(layouts[0].shape)},
)


# What `reshape` makes of a copy: a node of its own in PyTorch.
_unsafe_view = View("unsafe_view", geometry=_reshaped, statics="shape", grads=_view.grads)


def view(input: Tensor, *shape: Any, dtype: dt.dtype | None = None) -> Tensor:
    """The same values seen with another shape, or the same bytes seen as another dtype. Never copies.

    >>> torch.arange(6).view(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    if len(shape) == 1 and isinstance(shape[0], dt.dtype):
        dtype = shape[0]
    if dtype is not None:
        return view_dtype(input, dtype)
    try:
        wanted = shape_argument(shape)
    except TypeError:
        raise _wrong_view(shape) from None
    if not shape:
        raise _wrong_view(shape)
    return apply_view(_view, input, (_seen_as(input._layout, wanted)[0],))


def _wrong_view(given: tuple[Any, ...]) -> TypeError:
    if given and (isinstance(given[0], (int, tuple, list)) or hasattr(given[0], "__index__")):
        return wrong_sequence("view", given, "size")
    types = ", ".join(type(value).__name__ for value in given)
    why = f"\n      didn't match because some of the arguments have invalid types: (!{types}!)" if len(given) == 1 else ""
    return TypeError(
        f"view() received an invalid combination of arguments - got ({types}), but expected one of:\n * (torch.dtype dtype){why}\n * (tuple of ints size){why}"
    )


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` viewed with the shape of `other`.

    >>> torch.arange(4).view_as(torch.zeros(2, 2)).shape
    torch.Size([2, 2])
    """
    return view(input, other._layout.shape)


def reshape(input: Tensor, *shape: Any, **kwargs: Any) -> Tensor:
    """The same values with another shape: a view where the strides allow it, else a copy.

    >>> torch.reshape(torch.arange(4), (2, 2)).t().reshape(-1)
    tensor([0, 2, 1, 3])
    """
    as_tensor_argument(input, "reshape")
    wanted, possible = _seen_as(input._layout, sequence_argument("reshape", shape, kwargs, "shape"))
    if possible:
        return apply_view(_view, input, (wanted,))
    from .arithmetic import clone

    return unsafe_view(clone(input, memory_format=formats.contiguous_format), wanted)


def unsafe_view(fresh: Tensor, shape: Shape) -> Tensor:
    """A tensor that nobody else has with another shape: the result is not a view of anything the user has."""
    out = apply_view(_unsafe_view, fresh, (shape,))
    out._base = None
    return out


_view_dtype = View(
    "view_dtype",
    geometry=lambda input, dtype: _as_dtype(input, dtype),
    statics="dtype",
    differentiable=(),
)


def _as_dtype(input: Layout, dtype: dt.dtype) -> tuple[Layout, int]:
    old, new = input.dtype.itemsize, dtype.itemsize
    if old == new:
        return layout(input.shape, input.stride, dtype), 0
    if not input.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 to view {input.dtype.type_name} as {dtype.type_name} (different element sizes)")
    if input.stride[-1] != 1 and not (input.shape[-1] == 1):
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {input.dtype.type_name} as {dtype.type_name} (different element sizes), but got {input.stride[-1]}"
        )
    if new < old:
        ratio = old // new
        return layout((*input.shape[:-1], input.shape[-1] * ratio), (*(s * ratio for s in input.stride[:-1]), 1), dtype), 0
    ratio = new // old
    if input.shape[-1] % ratio:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {ratio} to view {input.dtype.type_name} as {dtype.type_name} (different element sizes), but got {input.shape[-1]}"
        )
    if any(s % ratio for s in input.stride[:-1]):
        bad = next(d for d, s in enumerate(input.stride[:-1]) if s % ratio)
        raise RuntimeError(
            f"self.stride({bad}) must be divisible by {ratio} to view {input.dtype.type_name} as {dtype.type_name} (different element sizes), but got {input.stride[bad]}"
        )
    return layout((*input.shape[:-1], input.shape[-1] // ratio), (*(s // ratio for s in input.stride[:-1]), 1), dtype), 0


def view_dtype(input: Tensor, dtype: dt.dtype) -> Tensor:
    """The bytes of `input` seen as another dtype."""
    old, new = input._layout.dtype.itemsize, dtype.itemsize
    if new > old and input._offset % (new // old):
        raise RuntimeError(f"self.storage_offset() must be divisible by {new // old} to view {input._layout.dtype.type_name} as {dtype.type_name} (different element sizes), but got {input._offset}")
    out = apply_view(_view_dtype, input, (dtype,))
    # `_offset` counts elements of the new size.
    out._offset = input._offset * old // new
    return out


# Order of dims


def _permuted(input: Layout, dims: Shape) -> tuple[Layout, int]:
    return layout(tuple(input.shape[d] for d in dims), tuple(input.stride[d] for d in dims), input.dtype), 0


_permute = View(
    "permute",
    geometry=_permuted,
    statics="dims",
    grads={"input": lambda g, dims: g.permute(tuple(sorted(range(len(dims)), key=dims.__getitem__)))},
)
_transpose = View(
    "transpose",
    geometry=lambda input, dim0, dim1: _permuted(input, _swapped(input.ndim, dim0, dim1)),
    statics="dim0 dim1",
    grads={"input": lambda g, dim0, dim1: g.transpose(dim0, dim1)},
)
_t = View(
    "t",
    geometry=lambda input: _permuted(input, tuple(range(input.ndim))[::-1]),
    grads={"input": lambda g: g.t()},
)


def _swapped(ndim: int, dim0: int, dim1: int) -> Shape:
    dims = list(range(ndim))
    if ndim:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return tuple(dims)


def permute(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """A view with the dims in the given order.

    >>> torch.permute(torch.zeros(2, 3, 5), (2, 0, 1)).shape
    torch.Size([5, 2, 3])
    """
    as_tensor_argument(input, "permute")
    order = sequence_argument("permute", dims, kwargs, "dims")
    if len(order) != input._layout.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {input._layout.ndim} is not equal to len(dims) = {len(order)}"
        )
    wrapped = tuple(wrap_dim(d, input._layout.ndim) for d in order)
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return apply_view(_permute, input, (wrapped,))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dims swapped.

    >>> torch.transpose(torch.tensor([[1, 2], [3, 4]]), 0, 1)
    tensor([[1, 3],
            [2, 4]])
    """
    as_tensor_argument(input, "transpose")
    ndim = input._layout.ndim
    return apply_view(_transpose, input, (wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or a 0-dim tensor as it is.

    >>> torch.t(torch.tensor([[1, 2]]))
    tensor([[1],
            [2]])
    """
    if as_tensor_argument(input, "t")._layout.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._layout.ndim}D")
    return apply_view(_t, input)


def mT(input: Tensor) -> Tensor:
    """The last two dims swapped (`Tensor.mT`)."""
    if not input._layout.ndim:
        return input
    if input._layout.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {input._layout.ndim}-D tensor.")
    return transpose(input, -2, -1)


def mH(input: Tensor) -> Tensor:
    """The last two dims swapped, conjugated (`Tensor.mH`)."""
    if not input._layout.ndim:
        return input.conj()
    if input._layout.ndim < 2:
        raise RuntimeError(f"tensor.mH is only supported on matrices or batches of matrices. Got {input._layout.ndim}-D tensor.")
    return transpose(input, -2, -1).conj()


def adjoint(input: Tensor) -> Tensor:
    """The last two dims swapped, conjugated.

    >>> torch.adjoint(torch.tensor([[1, 2]]))
    tensor([[1],
            [2]])
    """
    if not input._layout.ndim:
        return input.conj()
    if input._layout.ndim < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input._layout.ndim}-D tensor.")
    return transpose(input, -2, -1).conj()


def T(input: Tensor) -> Tensor:
    """All dims reversed (`Tensor.T`)."""
    return apply_view(_permute, input, (tuple(range(input._layout.ndim))[::-1],))


def H(input: Tensor) -> Tensor:
    """The conjugate transpose of a matrix (`Tensor.H`)."""
    if input._layout.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {input._layout.ndim}-D tensor.{' For batches of matrices, consider using tensor.mH' if input._layout.ndim > 2 else ''}")
    return transpose(input, 0, 1).conj() if input._layout.ndim else input


# Dims of size one


_unsqueeze = View(
    "unsqueeze",
    geometry=lambda input, dim: (
        layout(
            (*input.shape[:dim], 1, *input.shape[dim:]),
            (*input.stride[:dim], input.shape[dim] * input.stride[dim] if dim < input.ndim else 1, *input.stride[dim:]),
            input.dtype,
        ),
        0,
    ),
    statics="dim",
    grads={"input": lambda g, dim: g.squeeze(dim)},
)


def _squeezing(name: str, overload: int) -> View:
    return View(
        name,
        geometry=lambda input, dims: (
            layout(
                tuple(n for d, n in enumerate(input.shape) if d not in dims),
                tuple(s for d, s in enumerate(input.stride) if d not in dims),
                input.dtype,
            ),
            0,
        ),
        statics="dims",
        grads={"input": lambda g, layouts: g.reshape(layouts[0].shape)},
        node_name=f"SqueezeBackward{overload}",
    )


_squeeze, _squeeze_dim, _squeeze_dims = _squeezing("squeeze", 0), _squeezing("squeeze_dim", 1), _squeezing("squeeze_dims", 2)


def unsqueeze(input: Tensor, dim: int = NO_DIM, **names: Any) -> Tensor:
    """A view with a dim of size one inserted at `dim`.

    >>> torch.unsqueeze(torch.tensor([1, 2]), 1).shape
    torch.Size([2, 1])
    """
    if names:
        return by_numpy_names(unsqueeze, locals())
    as_tensor_argument(input, "unsqueeze")
    return apply_view(_unsqueeze, input, (wrap_dim(dim, input._layout.ndim + 1),))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None, **names: Any) -> Tensor:
    """A view without the dims of size one, or without those of `dim` that are.

    >>> torch.squeeze(torch.zeros(1, 2, 1), 0).shape
    torch.Size([2, 1])
    """
    if names:
        return by_numpy_names(squeeze, locals())
    shape = as_tensor_argument(input, "squeeze")._layout.shape
    if dim is None:
        dims = tuple(d for d, n in enumerate(shape) if n == 1)
    else:
        wanted = dim if isinstance(dim, (tuple, list)) else (dim,)
        wrapped = [wrap_dim(d, len(shape)) for d in wanted]
        for d in wrapped:
            if wrapped.count(d) > 1:
                raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        dims = tuple(sorted(d for d in wrapped if shape and shape[d] == 1))
        return apply_view(_squeeze_dims if isinstance(dim, (tuple, list)) else _squeeze_dim, input, (dims,))
    return apply_view(_squeeze, input, (dims,))


def contiguous(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """`input` itself if it is in row-major order (or in the given memory format), else a copy that is.

    >>> torch.zeros(2, 3).t().contiguous().stride()
    (2, 1)
    """
    from .arithmetic import clone

    wanted = formats.contiguous_format if memory_format is None else memory_format
    if wanted is formats.preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    if is_contiguous(input, memory_format=wanted):
        return input
    return clone(input, memory_format=wanted)


def is_contiguous(input: TensorBase, *, memory_format: Any = None) -> bool:
    """Whether the elements lie in row-major order (or in the order of `memory_format`).

    >>> torch.zeros(2, 3).is_contiguous(), torch.zeros(2, 3).t().is_contiguous()
    (True, False)
    """
    here = input._layout
    if memory_format is None or memory_format is formats.contiguous_format:
        return here.contiguous
    if here.ndim != (4 if memory_format is formats.channels_last else 5):
        return False
    expected = memory_format.strides(here.shape)
    return all(n == 1 or s == e for n, s, e in zip(here.shape, here.stride, expected, strict=True))


def detach(input: Tensor) -> Tensor:
    """A tensor over the same memory, cut off from the graph.

    >>> torch.detach(torch.ones(1, requires_grad=True) * 2).requires_grad
    False
    """
    out = make_tensor(input._storage, input._offset, input._layout)
    if not input._tracks_version:
        out._tracks_version = False
    if grad_state.tracer is not None:
        tracing(_detach, (input,), {}, (out,))
    return out


_detach = View("detach", geometry=lambda input: (input, 0), differentiable=())


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Alias of `transpose`."""
    return transpose(input, axis0, axis1)


swapdims = alias(transpose, "swapdims")
