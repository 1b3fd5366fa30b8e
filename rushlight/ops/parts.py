"""Views of parts of a tensor: one index or a slice of a dim, diagonals, sliding windows, splits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..errors import sizes
from ..shape import (
    Layout,
    Shape,
    layout,
    wrap_dim,
)
from ..storage import TensorBase
from .card import View, apply_view
from .define import as_tensor_argument, by_numpy_names
from .views import as_int

if TYPE_CHECKING:
    from ..tensor import Tensor


_alias = View("alias", geometry=lambda input: (input, 0), grads={"input": lambda g: g})


def alias_view(input: Tensor) -> Tensor:
    """A view of the whole tensor."""
    return apply_view(_alias, input)


def _narrowed(input: Layout, dim: int, start: int, length: int, step: int) -> tuple[Layout, int]:
    return (
        layout(
            (*input.shape[:dim], length, *input.shape[dim + 1 :]),
            (*input.stride[:dim], input.stride[dim] * step, *input.stride[dim + 1 :]),
            input.dtype,
        ),
        start * input.stride[dim],
    )


_select = View(
    "select",
    geometry=lambda input, dim, index: (
        layout(input.shape[:dim] + input.shape[dim + 1 :], input.stride[:dim] + input.stride[dim + 1 :], input.dtype),
        index * input.stride[dim],
    ),
    statics="dim index",
    grads={"input": lambda g, layouts, dim, index: _put_back(g.unsqueeze(dim), layouts[0], dim, index, 1, 1)},
)
_slice = View(
    "slice",
    geometry=_narrowed,
    statics="dim start length step",
    grads={"input": lambda g, layouts, dim, start, length, step: _put_back(g, layouts[0], dim, start, length, step)},
)


def _put_back(g: Tensor, whole: Layout, dim: int, start: int, length: int, step: int) -> Tensor:
    """The gradient of a tensor of which `g` belongs to a slice: zeros elsewhere."""
    from .creation import zeros

    if length == whole.shape[dim]:
        return g
    out = zeros(whole.shape, dtype=g.dtype, device=g.device)
    apply_view(_slice, out, (dim, start, length, step)).copy_(g)
    return out


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view of `input` at `index` of `dim`, without that dim.

    >>> torch.select(torch.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    shape = as_tensor_argument(input, "select")._layout.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, len(shape))
    index = as_int(index)
    if not -shape[dim] <= index < shape[dim]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {sizes(shape)} at dimension {dim}")
    return apply_view(_select, input, (dim, index + shape[dim] if index < 0 else index))


def slice_view(input: Tensor, dim: int, start: int | None, stop: int | None, step: int | None = None) -> Tensor:
    """The view ``input[..., start:stop:step]`` along `dim`, with Python's rules for the bounds."""
    step = 1 if step is None else as_int(step)
    if step <= 0:
        raise ValueError("step must be greater than zero" if step < 0 else "slice step cannot be zero")
    size = input._layout.shape[dim]
    start, stop, step = slice(start, stop, step).indices(size)
    length = max(0, -(-(stop - start) // step))
    if length == size and step == 1:
        start = 0
    return apply_view(_slice, input, (dim, start, length, step))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The view of `length` elements of `dim` from `start`.

    >>> torch.narrow(torch.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    shape = as_tensor_argument(input, "narrow")._layout.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if isinstance(start, TensorBase):
        if start._layout.ndim or start._layout.dtype.category != dt.INTEGER:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = start.item()  # type: ignore[attr-defined]
    dim = wrap_dim(dim, len(shape))
    size = shape[dim]
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start > size - length:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return apply_view(_slice, input, (dim, start, length, 1))


def _diagonal_geometry(input: Layout, offset: int, dim1: int, dim2: int) -> tuple[Layout, int]:
    rows, columns = input.shape[dim1], input.shape[dim2]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    delta = 0 if length == 0 else (offset * input.stride[dim2] if offset >= 0 else -offset * input.stride[dim1])
    rest = [d for d in range(input.ndim) if d not in (dim1, dim2)]
    return (
        layout((*(input.shape[d] for d in rest), length), (*(input.stride[d] for d in rest), input.stride[dim1] + input.stride[dim2]), input.dtype),
        delta,
    )


def _diagonal_backward(g: Tensor, layouts: Any, offset: int, dim1: int, dim2: int) -> Tensor:
    from .creation import zeros

    out = zeros(layouts[0].shape, dtype=g.dtype)
    diagonal(out, offset, dim1, dim2).copy_(g)
    return out


_diagonal = View("diagonal", geometry=_diagonal_geometry, statics="offset dim1 dim2", grads={"input": _diagonal_backward})


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonal over `dim1` and `dim2`, which becomes the last dim.

    >>> torch.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    as_tensor_argument(input, "diagonal")
    ndim = input._layout.ndim
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    offset = operator.index(offset)
    return apply_view(_diagonal, input, (offset, first, second))


_unfold = View(
    "unfold",
    geometry=lambda input, dim, size, step: (
        layout(
            (*input.shape[:dim], (input.shape[dim] - size) // step + 1, *input.shape[dim + 1 :], size) if input.ndim else (size,),
            (*input.stride[:dim], input.stride[dim] * step, *input.stride[dim + 1 :], input.stride[dim]) if input.ndim else (1,),
            input.dtype,
        ),
        0,
    ),
    statics="dim size step",
    grads={"input": lambda g, layouts, dim, size, step: _unfold_backward(g, layouts[0], dim, size, step)},
)


def _unfold_backward(g: Tensor, whole: Layout, dim: int, size: int, step: int) -> Tensor:
    from .creation import arange, zeros

    if not whole.ndim:
        return g.reshape(())
    windows = g.shape[dim]
    rows = (arange(windows).unsqueeze(1) * step + arange(size)).reshape(-1)
    flat = g.movedim(-1, dim + 1).flatten(dim, dim + 1)
    return zeros(whole.shape, dtype=g.dtype).index_add(dim, rows, flat)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of `size` elements along `dimension`, `step` apart; the window is the last dim.

    >>> torch.arange(5).unfold(0, 3, 1)
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    dim = wrap_dim(dimension, input._layout.ndim)
    extent = input._layout.shape[dim] if input._layout.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > extent:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {extent} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return apply_view(_unfold, input, (dim, size, step))


# Several views at once


def _split_backward(g: tuple[Any, ...], layouts: Any, lengths: Shape, dim: int) -> tuple[Tensor]:
    from .combine import cat
    from .creation import zeros

    shape = layouts[0].shape
    known = next(x for x in g if x is not None)
    parts = [
        zeros((*shape[:dim], n, *shape[dim + 1 :]), dtype=known.dtype) if x is None else x
        for x, n in zip(g, lengths, strict=True)
    ]
    return (cat(parts, dim),)


def _unbind_backward(g: tuple[Any, ...], layouts: Any, dim: int) -> tuple[Tensor]:
    from .combine import stack
    from .creation import zeros

    shape = layouts[0].shape
    known = next(x for x in g if x is not None)
    return (stack([zeros(shape[:dim] + shape[dim + 1 :], dtype=known.dtype) if x is None else x for x in g], dim),)


def _split_geometry(input: Layout, lengths: Shape, dim: int) -> list[tuple[Layout, int]]:
    found, start = [], 0
    for n in lengths:
        found.append(_narrowed(input, dim, start, n, 1))
        start += n
    return found


_split, _split_with_sizes = (
    View(name, geometry=_split_geometry, statics="lengths dim", backward=_split_backward, multi=True) for name in ("split", "split_with_sizes")
)
_unbind = View(
    "unbind",
    geometry=lambda input, dim: [_select.infer(input, dim, n) for n in range(input.shape[dim])],  # type: ignore[misc]
    statics="dim",
    backward=_unbind_backward,
    multi=True,
)


def split_lengths(input: TensorBase, split_size: Any, dim: int) -> Shape:
    size = input._layout.shape[dim]
    if isinstance(split_size, (tuple, list)):
        lengths = tuple(split_size)
        if sum(lengths) != size or any(n < 0 for n in lengths):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {dim}), but got split_sizes={sizes(lengths)}"
            )
        return lengths
    if type(split_size) is not int:
        split_size = as_int(split_size)
    if split_size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={split_size}")
    if split_size == 0:
        if size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        return (0,)
    full, rest = divmod(size, split_size)
    return (split_size,) * full + ((rest,) if rest or not full else ())


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of chunks of `split_size_or_sections` elements, or of the listed lengths, along `dim`.

    >>> torch.split(torch.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if not tensor._layout.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, tensor._layout.ndim)
    card = _split if type(split_size_or_sections) is int or not isinstance(split_size_or_sections, (tuple, list)) else _split_with_sizes
    return apply_view(card, tensor, (split_lengths(tensor, split_size_or_sections, dim), dim))


def split_of_tensor(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` as the method, where PyTorch calls the size otherwise.

    >>> torch.arange(5).split(split_size=3)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if not self._layout.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, self._layout.ndim)
    card = _split if type(split_size) is int or not isinstance(split_size, (tuple, list)) else _split_with_sizes
    return apply_view(card, self, (split_lengths(self, split_size, dim), dim))


split_of_tensor.__name__, split_of_tensor.__qualname__ = "split", "Tensor.split"


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of the listed lengths along `dim`.

    >>> torch.split_with_sizes(torch.arange(3), [1, 2])
    (tensor([0]), tensor([1, 2]))
    """
    return split(input, tuple(split_sizes), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0, **names: Any) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`, the last possibly smaller.

    >>> torch.chunk(torch.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if not isinstance(input, TensorBase):
        as_tensor_argument(input, "chunk")
    if names:
        return by_numpy_names(chunk, locals())
    if not input._layout.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if type(chunks) is not int:
        chunks = as_int(chunks)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = wrap_dim(dim, input._layout.ndim)
    size = -(-input._layout.shape[dim] // chunks)
    return split(input, size, dim) if size else split(input, (0,) * chunks, dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0, **names: Any) -> tuple[Tensor, ...]:
    """Views along `dim`: that many of nearly equal size, or cut at the given indices.

    >>> torch.tensor_split(torch.arange(5), (1, 3))
    (tensor([0]), tensor([1, 2]), tensor([3, 4]))
    """
    as_tensor_argument(input, "tensor_split")
    if names:
        return by_numpy_names(tensor_split, locals())
    if not input._layout.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input._layout.ndim)
    size = input._layout.shape[dim]
    if isinstance(indices_or_sections, TensorBase):
        indices_or_sections = indices_or_sections.tolist()  # type: ignore[attr-defined]
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
        small, rest = divmod(size, indices_or_sections)
        indices_or_sections = [n * small + min(n, rest) for n in range(1, indices_or_sections)]
    return tuple(slice_view(input, dim, a, b) for a, b in zip([0, *indices_or_sections], [*indices_or_sections, None], strict=True))


def unbind(input: Tensor, dim: int = 0, **names: Any) -> tuple[Tensor, ...]:
    """Views of each slice along `dim`, without that dim.

    >>> torch.unbind(torch.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    if names:
        return by_numpy_names(unbind, locals())
    if not input._layout.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return apply_view(_unbind, input, (wrap_dim(dim, input._layout.ndim),))
