"""Copies in another arrangement: flips, repeats, diagonals, triangles, stacks and splits."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import copies
from ..engine.lowering import AS_BITS, Calls
from ..errors import sizes
from ..memory_formats import contiguous_format
from ..shape import contiguous, infer_shape, layout, preserved_strides, wrap_dim, wrap_dims
from ..storage import TensorBase
from . import parts, views
from .card import Card, apply, array_of
from .combine import cat, tuple_of_tensors
from .define import EXACT, alias, as_tensor_argument, by_numpy_names, with_out, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor


# Merging, splitting and moving dims: views where they can be


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """`input` with the dims from `start_dim` to `end_dim` merged into one.

    >>> torch.flatten(torch.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    shape = as_tensor_argument(input, "flatten")._layout.shape
    start, end = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return input.reshape(1)
    if start == end:
        return input
    merged = 1
    for n in shape[start : end + 1]:
        merged *= n
    return views.reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`input` with `dim` split into dims of the given `sizes`, one of which may be -1.

    >>> torch.unflatten(torch.zeros(2, 6), 1, (2, -1)).shape
    torch.Size([2, 2, 3])
    """
    shape = input._layout.shape
    dim = wrap_dim(dim, len(shape))
    if not len(sizes):
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        inner = infer_shape(tuple(sizes), shape[dim])
    except RuntimeError:
        if -1 in tuple(sizes):
            raise
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[dim]}) in the input tensor") from None
    return views.view(input, (*shape[:dim], *inner, *shape[dim + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """`input` as one dim, in row-major order.

    >>> torch.ravel(torch.zeros(2, 3)).shape
    torch.Size([6])
    """
    return views.reshape(views.contiguous(input), (-1,))


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` with the shape of `other`.

    >>> torch.arange(4).reshape_as(torch.zeros(2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    return views.reshape(input, other._layout.shape)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with the `source` dims moved to `destination`; the others keep their order.

    >>> torch.movedim(torch.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    as_tensor_argument(input, "movedim")
    ndim = input._layout.ndim
    moved, places = ([d] if isinstance(d, int) else list(d) for d in (source, destination))
    if len(moved) != len(places):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({sizes(moved)} dims) should contain the same number of dims as destination ({sizes(places)} dims)")
    given = (("source", moved), ("destination", places))
    moved, places = [wrap_dim(d, ndim) for d in moved], [wrap_dim(d, ndim) for d in places]
    for (name, dims), wrapped in zip(given, (moved, places), strict=True):
        if len(set(wrapped)) != len(wrapped):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({sizes(dims)})")
    if not ndim:
        return input
    order: list[int] = [-1] * ndim
    for s, p in zip(moved, places, strict=True):
        order[p] = s
    rest = iter(d for d in range(ndim) if d not in moved)
    return views.permute(input, tuple(next(rest) if d < 0 else d for d in order))


def atleast_1d(*tensors: Any) -> Any:
    """Views with at least one dim.

    >>> torch.atleast_1d(torch.tensor(3))
    tensor([3])
    """
    return _at_least(tensors, lambda t: t if t.dim() else t.reshape(1))


def atleast_2d(*tensors: Any) -> Any:
    """Views with at least two dims, added in front.

    >>> torch.atleast_2d(torch.tensor([3])).shape
    torch.Size([1, 1])
    """
    return _at_least(tensors, lambda t: t.reshape(1, 1) if t.dim() == 0 else t.unsqueeze(0) if t.dim() == 1 else t)


def atleast_3d(*tensors: Any) -> Any:
    """Views with at least three dims: (1, n, 1) from n and (n, m, 1) from (n, m).

    >>> torch.atleast_3d(torch.zeros(2, 3)).shape
    torch.Size([2, 3, 1])
    """
    return _at_least(
        tensors,
        lambda t: t.reshape(1, 1, 1) if t.dim() == 0 else t.unsqueeze(0).unsqueeze(-1) if t.dim() == 1 else t.unsqueeze(-1) if t.dim() == 2 else t,
    )


def _at_least(tensors: tuple[Any, ...], raise_dims: Callable[[Any], Any]) -> Any:
    if len(tensors) == 1:
        if isinstance(tensors[0], TensorBase):
            return raise_dims(tensors[0])
        tensors = tuple(tensors[0])
    return tuple(raise_dims(t) for t in tensors)


# Flips, rolls, rotations


_flip = Card(
    "flip", "input",
    statics="dims",
    infer=lambda input, dims: layout(input.shape, preserved_strides(input.shape, input.stride), input.dtype),
    numpy=lambda input, dims: np.flip(input, dims), lowering=Calls(copies.flip, exact=True, half=AS_BITS),
    grads={"input": lambda g, dims: g.flip(dims)},
)  # fmt: skip


def flip(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """A copy with the order of the elements along `dims` reversed.

    >>> torch.flip(torch.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    as_tensor_argument(input, "flip")
    wanted = views.sequence_argument("flip", dims, kwargs, "dims")
    return apply(_flip, (input,), (wrap_dims(wanted, input._layout.ndim) if wanted else (),))


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order.

    >>> torch.fliplr(torch.tensor([[1, 2]]))
    tensor([[2, 1]])
    """
    as_tensor_argument(input, "fliplr")
    if input._layout.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order.

    >>> torch.flipud(torch.tensor([1, 2]))
    tensor([2, 1])
    """
    as_tensor_argument(input, "flipud")
    if input._layout.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


_roll = Card(
    "roll", "input",
    statics="shifts dims",
    infer=lambda input, shifts, dims: contiguous(input.shape, input.dtype),
    numpy=lambda input, shifts, dims: np.roll(input, shifts, dims), lowering=Calls(copies.roll, exact=True, half=AS_BITS),
    grads={"input": lambda g, shifts, dims: g.roll(tuple(-s for s in shifts), dims)},
)  # fmt: skip


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved by `shifts` along `dims`, around the end; without `dims` over the flat tensor.

    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    as_tensor_argument(input, "roll")
    steps = tuple(map(views.as_int, shifts if isinstance(shifts, (tuple, list)) else (shifts,)))
    wanted = () if dims is None else tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if not steps:
        raise RuntimeError("`shifts` required")
    if not wanted and len(steps) == 1:
        return apply(_roll, (input.reshape(-1),), (steps, (0,))).reshape(input.shape)
    if len(steps) != len(wanted):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(wanted)}")
    if not input._layout.numel:
        return input.clone()
    return apply(_roll, (input,), (steps, tuple(wrap_dim(d, input._layout.ndim, scalar_ok=False) for d in wanted)))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dims turned by 90 degrees `k` times, from the first towards the second.

    >>> torch.rot90(torch.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    as_tensor_argument(input, "rot90")
    ndim = input._layout.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == ndim:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    for n, d in enumerate(dims):
        if not -ndim <= d < ndim:
            raise RuntimeError(f"Rotation dim{n} out of range, dim{n} = {d}")
    a, b = wrap_dim(dims[0], ndim), wrap_dim(dims[1], ndim)
    turns = k % 4
    if turns == 1:
        return flip(input, b).transpose(a, b)
    if turns == 2:
        return flip(input, a, b)
    if turns == 3:
        return flip(input, a).transpose(a, b)
    return input.clone()


# Repeats


def repeat(input: Tensor, *repeats: Any, **kwargs: Any) -> Tensor:
    """A copy with each dim repeated as a whole; extra repeats make new dims in front.

    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = views.sequence_argument("repeat", repeats, kwargs, "repeats")
    shape = input._layout.shape
    lead = len(times) - len(shape)
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {sizes(tuple(n * m for n, m in zip(times, (1,) * lead + shape, strict=True)))}")
    shape = (1,) * lead + shape
    # Each dim becomes (repeats, size), which merge again.
    paired = input.reshape(tuple(itertools.chain.from_iterable((1, n) for n in shape)))
    spread = paired.expand(tuple(itertools.chain.from_iterable(zip(times, shape, strict=True))))
    return spread.clone(memory_format=row_major()).view(tuple(n * m for n, m in zip(times, shape, strict=True)))


def row_major() -> Any:
    from ..memory_formats import contiguous_format

    return contiguous_format


def tile(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """`repeat`, with missing repeats taken as one.

    >>> torch.tile(torch.tensor([[1, 2]]), (2,))
    tensor([[1, 2, 1, 2]])
    """
    times = views.sequence_argument("tile", dims, kwargs, "dims")
    return repeat(input, (1,) * (input._layout.ndim - len(times)) + times)


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None, **names: Any) -> Tensor:
    """Each element (or slice of `dim`) repeated in place, `repeats` times or by a tensor of counts.

    >>> torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor([1, 3]))
    tensor([1, 2, 2, 2])
    """
    if names:
        return by_numpy_names(repeat_interleave, locals())
    from .from_data import tensor

    if type(repeats) is int:
        return _repeat_each(input if dim is not None else input.flatten(), repeats, dim or 0, output_size)
    counts: Any
    if repeats is None:
        counts, source = input, None
    else:
        source = input.reshape(-1) if dim is None else input
        counts = repeats if isinstance(repeats, TensorBase) else tensor(repeats)
    if counts._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if counts._layout.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat" if source is None else "repeats must be 0-dim or 1-dim tensor")
    values = array_of(counts)
    if values.size and values.min() < 0:
        raise RuntimeError("repeats can not be negative")
    if source is None:
        return tensor(np.repeat(np.arange(values.size), values))
    axis = wrap_dim(0 if dim is None else dim, source._layout.ndim)
    size = source._layout.shape[axis] if source._layout.ndim else 1
    if values.size not in (1, size):
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {values.size} and input.size({axis}) = {size}")
    rows = np.repeat(np.arange(size), values if values.size != 1 else int(values.reshape(-1)[0]))
    if not source._layout.ndim:
        source = source.reshape(1)
    return source.index_select(axis, tensor(rows))


def _repeat_each(input: Tensor, repeats: int, dim: int, output_size: int | None) -> Tensor:
    shape = input._layout.shape
    dim = wrap_dim(dim, len(shape))
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    wider = input.unsqueeze(dim + 1)
    if output_size not in (None, shape[dim] * repeats):
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {shape[dim] * repeats} but got {output_size}")
    return wider.expand(*shape[: dim + 1], repeats, *shape[dim + 1 :]).clone(memory_format=contiguous_format).flatten(dim, dim + 1)


# Diagonals and triangles


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal.

    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    as_tensor_argument(input, "diag")
    ndim = input._layout.ndim
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    found = diag_embed(input, diagonal) if ndim == 1 else parts.diagonal(input, diagonal).clone()
    return found if out is None else write_out(out, found, exact=EXACT)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over `dim1` and `dim2` with the last dim of `input` on their diagonals.

    >>> torch.diag_embed(torch.tensor([1, 2]), 1).shape
    torch.Size([3, 3])
    """
    as_tensor_argument(input, "diag_embed")
    from .creation import zeros

    ndim = input._layout.ndim + 1
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    side = input._layout.shape[-1] + abs(offset)
    shape = list(input._layout.shape[:-1])
    for d in sorted((first, second)):
        shape.insert(d, side)
    found = zeros(shape, dtype=input.dtype, device=input.device)
    parts.diagonal(found, offset, first, second).copy_(input)
    return found


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fill the main diagonal; with `wrap`, that of a tall matrix starts again below each full square.

    >>> torch.zeros(2, 2).fill_diagonal_(3)
    tensor([[3., 0.],
            [0., 3.]])
    """
    here = self._layout
    if here.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if here.ndim > 2 and len(set(here.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(here.stride)
    count = min(here.shape)
    self.as_strided((count,), (step,)).fill_(fill_value)
    rows, columns = here.shape[:2]
    if wrap and here.ndim == 2 and rows > columns + 1:
        rest = -(-here.numel // (columns + 1)) - count
        self.as_strided((rest,), (step,), self._offset + here.stride[0] * (columns + 1)).fill_(fill_value)
    return self


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with the elements of `input` on its diagonal.

    >>> torch.diagflat(torch.tensor([[1], [2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    as_tensor_argument(input, "diagflat")
    return diag_embed(input.reshape(-1), offset)


def _triangle(name: str, rule: Callable[..., np.ndarray]) -> Card:
    return Card(
        name, "input",
        statics="diagonal",
        infer=lambda input, diagonal: contiguous(input.shape, input.dtype),
        numpy=lambda input, diagonal: rule(input, diagonal), lowering=Calls(lambda plan: copies.triangle(plan, name == "triu"), exact=True, half=AS_BITS),
        grads={"input": lambda g, diagonal: getattr(g, name)(diagonal)},
    )  # fmt: skip


_tril, _triu = _triangle("tril", np.tril), _triangle("triu", np.triu)


def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The lower triangle of matrices, zeros elsewhere.

    >>> torch.tril(torch.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _triangular(_tril, input, diagonal, out)


def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The upper triangle of matrices, zeros elsewhere.

    >>> torch.triu(torch.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return _triangular(_triu, input, diagonal, out)


def _triangular(card: Card, input: Tensor, diagonal: int, out: Tensor | None) -> Tensor:
    if input._layout.ndim < 2:
        raise RuntimeError(f"{card.name}: input tensor must have at least 2 dimensions")
    diagonal = operator.index(diagonal)
    found = apply(card, (input,), (diagonal,))
    return found if out is None else write_out(out, found, exact=EXACT)


# Stacks and splits by name


@with_out
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenated along the second dim, or the first of vectors.

    >>> torch.hstack((torch.tensor([1]), torch.tensor([2])))
    tensor([1, 2])
    """
    parts = _parts("hstack", tensors, atleast_1d)
    return cat(parts, 0 if parts[0].dim() == 1 else 1)


@with_out
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenated along the first dim, vectors as rows.

    >>> torch.vstack((torch.tensor([1]), torch.tensor([2])))
    tensor([[1],
            [2]])
    """
    return cat(_parts("vstack", tensors, atleast_2d), 0)


row_stack = vstack


@with_out
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenated along the third dim.

    >>> torch.dstack((torch.tensor([1]), torch.tensor([2])))
    tensor([[[1, 2]]])
    """
    return cat(_parts("dstack", tensors, atleast_3d), 2)


@with_out
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenated along the second dim, vectors as columns.

    >>> torch.column_stack((torch.tensor([1, 2]), torch.tensor([3, 4])))
    tensor([[1, 3],
            [2, 4]])
    """
    return cat(_parts("column_stack", tensors, lambda ts: [t.reshape(t.numel(), 1) if t.dim() <= 1 else t for t in ts]), 1)


def _parts(function: str, tensors: Sequence[Tensor], raise_dims: Callable[[Any], Any]) -> Any:
    tensors = tuple_of_tensors(tensors, function)
    if not tensors:
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return raise_dims(list(tensors))


def _split_by_name(name: str, dim: int, at_least: int) -> Callable[..., tuple[Tensor, ...]]:
    def split(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        as_tensor_argument(input, name)
        ndim = input._layout.ndim
        if ndim < at_least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {at_least} dimension, but got a tensor with {ndim} dimensions!")
        axis = 0 if name == "hsplit" and ndim == 1 else dim
        if isinstance(indices_or_sections, np.integer):
            indices_or_sections = int(indices_or_sections)
        if isinstance(indices_or_sections, int):
            size = input._layout.shape[axis]
            if indices_or_sections <= 0 or size % indices_or_sections:
                raise RuntimeError(f"torch.{name} attempted to split along dimension {axis}, but the size of the dimension {size} is not divisible by the split_size {indices_or_sections}!")
        return parts.tensor_split(input, indices_or_sections, axis)

    split.__name__ = split.__qualname__ = name
    return split


hsplit = _split_by_name("hsplit", 1, 1)
hsplit.__doc__ = """Views along the second dim (the first of a vector), in equal parts or cut at indices.

>>> torch.hsplit(torch.tensor([1, 2, 3, 4]), 2)
(tensor([1, 2]), tensor([3, 4]))
"""
vsplit = _split_by_name("vsplit", 0, 2)
vsplit.__doc__ = """Views along the first dim, in equal parts or cut at indices.

>>> len(torch.vsplit(torch.zeros(4, 1), [1]))
2
"""
dsplit = _split_by_name("dsplit", 2, 3)
dsplit.__doc__ = """Views along the third dim, in equal parts or cut at indices.

>>> len(torch.dsplit(torch.zeros(1, 1, 4), 2))
2
"""


moveaxis = alias(movedim, "moveaxis")
