"""Views as copies: written into a copy, copied themselves, put in the place of a tensor's own metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import sizes
from ..graph import check_in_place
from ..shape import Layout, Shape, contiguous, layout, wrap_dim
from . import broadcasting, parts, views
from .card import Card, apply
from .define import as_tensor_argument, write_out
from .rearrange import row_major

if TYPE_CHECKING:
    from ..tensor import Tensor


# Writing into a copy


def _scatter_into(input: Tensor, src: Tensor, name: str, show: Callable[[Tensor], Tensor]) -> Tensor:
    """A copy of `input` whose part that `show` gives is `src`."""
    found = input.clone()
    part = show(found)
    if part._layout.shape != src._layout.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {sizes(src._layout.shape)}, slice size = {sizes(part._layout.shape)}")
    part.copy_(src)
    found._base = None
    return found


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` at `index` of `dim`.

    >>> torch.select_scatter(torch.zeros(2, 2), torch.ones(2), 0, 0)
    tensor([[1., 1.],
            [0., 0.]])
    """
    return _scatter_into(input, src, "select_scatter", lambda t: t.select(dim, index))


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A copy of `input` with `src` in a slice of `dim`.

    >>> torch.slice_scatter(torch.zeros(3), torch.ones(2), 0, 1)
    tensor([0., 1., 1.])
    """
    return _scatter_into(input, src, "slice_scatter", lambda t: parts.slice_view(t, wrap_dim(dim, t.dim()), start, end, step))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `input` with `src` on a diagonal.

    >>> torch.diagonal_scatter(torch.zeros(2, 2), torch.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    as_tensor_argument(input, "diagonal_scatter")
    as_tensor_argument(src, "diagonal_scatter", "src", 2)
    return _scatter_into(input, src, "diagonal_scatter", lambda t: t.diagonal(offset, dim1, dim2))


def _as_strided_scatter_rule(input: np.ndarray, src: np.ndarray, size: Shape, stride: Shape, offset: int) -> np.ndarray:
    found = np.array(input, order="C")
    step = found.itemsize
    if src.size:
        np.ndarray(size, found.dtype, found, offset * step, tuple(s * step for s in stride))[...] = src
    return found


def _infer_as_strided_scatter(input: Layout, src: Layout, size: Shape, stride: Shape, offset: int) -> Layout:
    if src.shape != size:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {sizes(src.shape)}, slice size = {sizes(size)}")
    return contiguous(input.shape, input.dtype)


def _as_strided_scatter_input(g: Tensor, size: Shape, stride: Shape, offset: int) -> Tensor:
    # PyTorch's own rule: what is kept is the part that was written over.
    kept = g.contiguous()
    return as_strided_scatter(kept * 0, kept.as_strided(size, stride, offset), size, stride, offset)


_as_strided_scatter = Card(
    "as_strided_scatter", "input src",
    statics="size stride offset",
    infer=_infer_as_strided_scatter, numpy=_as_strided_scatter_rule,
    grads={"input": _as_strided_scatter_input, "src": lambda g, size, stride, offset: g.contiguous().as_strided(size, stride, offset)},
)  # fmt: skip


def as_strided_scatter(input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A copy of `input` with `src` in the elements that `as_strided` shows.

    >>> torch.as_strided_scatter(torch.zeros(3), torch.ones(2), (2,), (2,))
    tensor([1., 0., 1.])
    """
    as_tensor_argument(input, "as_strided_scatter")
    wanted = layout(tuple(size), tuple(stride), input._layout.dtype)
    offset = storage_offset or 0
    if offset + wanted.extent > input._layout.numel:
        raise RuntimeError(
            f"setStorage: sizes {sizes(wanted.shape)}, strides {sizes(wanted.stride)}, storage offset {offset}, and itemsize {wanted.dtype.itemsize} "
            f"requiring a storage size of {(offset + wanted.extent) * wanted.dtype.itemsize} are out of bounds for storage of size {input._layout.numel * wanted.dtype.itemsize}"
        )
    return apply(_as_strided_scatter, (input, src), (wanted.shape, wanted.stride, offset))


# Copies of views: `torch.squeeze_copy` and its like


def _copying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The `*_copy` form of a view function: the same values in memory of their own."""

    def op(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = function(input, *args, **kwargs)
        if isinstance(found, tuple):
            copies = tuple(f.clone(memory_format=row_major()) for f in found)
            return copies if out is None else write_out(out, copies)
        copy = found.clone(memory_format=row_major())
        return copy if out is None else write_out(out, copy)

    op.__name__ = op.__qualname__ = f"{function.__name__}_copy"
    op.__doc__ = f"`{function.__name__}`, copied."
    return op


def _alias(input: Tensor) -> Tensor:
    return input


as_strided_copy = _copying(views.as_strided)
alias_copy = _copying(_alias)
alias_copy.__name__ = alias_copy.__qualname__ = "alias_copy"
detach_copy = _copying(views.detach)
diagonal_copy = _copying(parts.diagonal)
expand_copy = _copying(broadcasting.expand)
_narrow_copy = _copying(parts.narrow)


def narrow_copy(input: Tensor, dim: int, start: int, length: int, *, out: Tensor | None = None) -> Tensor:
    """`narrow`, copied.

    >>> torch.narrow_copy(torch.arange(3), 0, 1, 2)
    tensor([1, 2])
    """
    here = input._layout
    if here.ndim and dim >= here.ndim:
        raise RuntimeError(
            "Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false.  "
            "(Could this error message be improved?  If so, please report an enhancement request to PyTorch.)"
        )
    if length < 0 and -here.ndim <= dim < here.ndim:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({here.shape[dim]}).")
    return _narrow_copy(input, dim, start, length, out=out)


permute_copy = _copying(views.permute)
select_copy = _copying(parts.select)
split_copy = _copying(parts.split)
split_with_sizes_copy = _copying(parts.split_with_sizes)
squeeze_copy = _copying(views.squeeze)
t_copy = _copying(views.t)
transpose_copy = _copying(views.transpose)
unbind_copy = _copying(parts.unbind)
unfold_copy = _copying(parts.unfold)
unsqueeze_copy = _copying(views.unsqueeze)
view_copy = _copying(views.view)


# In-place changes of metadata


def _in_place_view(function: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place form of a view function: the tensor itself gets the new geometry."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_in_place(self, False)
        if function is views.t and self._layout.ndim > 2:
            raise RuntimeError(f"t_() expects a tensor with <= 2 dimensions, but self is {self._layout.ndim}D")
        found = function(self, *args, **kwargs)
        self._storage.version += self._tracks_version
        self._layout, self._offset = found._layout, found._offset
        if found._node is not None:
            self._node, self._output_nr, self._requires_grad = found._node, found._output_nr, True
        return self

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


squeeze_, unsqueeze_ = _in_place_view(views.squeeze), _in_place_view(views.unsqueeze)
t_, transpose_, as_strided_ = _in_place_view(views.t), _in_place_view(views.transpose), _in_place_view(views.as_strided)


def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` whose parts may be written in place under autograd.

    >>> torch.unsafe_split(torch.arange(4), 3)
    (tensor([0, 1, 2]), tensor([3]))
    """
    return _unsafe(parts.split(tensor, split_size, dim))


def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes` whose parts may be written in place under autograd.

    >>> torch.unsafe_split_with_sizes(torch.arange(4), [1, 3])
    (tensor([0]), tensor([1, 2, 3]))
    """
    return _unsafe(parts.split_with_sizes(input, split_sizes, dim))


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk` whose parts may be written in place under autograd.

    >>> torch.unsafe_chunk(torch.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    as_tensor_argument(input, "unsafe_chunk")
    return _unsafe(parts.chunk(input, chunks, dim))


def _unsafe(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    for part in parts:
        part._view_kind = 0
    return parts
