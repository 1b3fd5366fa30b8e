"""Copies in another arrangement: flips, repeats, diagonals, triangles, stacks and splits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import copies
from ..engine.lowering import AS_BITS, Calls
from ..errors import sizes
from ..graph import check_in_place
from ..shape import Layout, Shape, contiguous, infer_shape, layout, preserved_strides, wrap_dim, wrap_dims
from ..storage import TensorBase
from . import parts, views
from .card import Card, apply, array_of
from .combine import cat, stack
from .define import alias, as_tensor_argument, with_out, write_out

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
    """`input` with the shape of `other`."""
    return views.reshape(input, other._layout.shape)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with the `source` dims moved to `destination`; the others keep their order.

    >>> torch.movedim(torch.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    ndim = input._layout.ndim
    moved, places = ([d] if isinstance(d, int) else list(d) for d in (source, destination))
    if len(moved) != len(places):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({sizes(moved)} dims) should contain the same number of dims as destination ({sizes(places)} dims)")
    moved, places = [wrap_dim(d, ndim) for d in moved], [wrap_dim(d, ndim) for d in places]
    for name, dims in (("source", moved), ("destination", places)):
        if len(set(dims)) != len(dims):
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
    wanted = views.sequence_argument(dims, kwargs, "dims")
    return apply(_flip, (input,), (wrap_dims(wanted, input._layout.ndim) if wanted else (),))


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order.

    >>> torch.fliplr(torch.tensor([[1, 2]]))
    tensor([[2, 1]])
    """
    if input._layout.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order.

    >>> torch.flipud(torch.tensor([1, 2]))
    tensor([2, 1])
    """
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
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    wanted = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
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
    times = views.sequence_argument(repeats, kwargs, "repeats")
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
    return spread.clone(memory_format=_row_major()).view(tuple(n * m for n, m in zip(times, shape, strict=True)))


def _row_major() -> Any:
    from ..memory_formats import contiguous_format

    return contiguous_format


def tile(input: Tensor, *dims: Any, **kwargs: Any) -> Tensor:
    """`repeat`, with missing repeats taken as one.

    >>> torch.tile(torch.tensor([[1, 2]]), (2,))
    tensor([[1, 2, 1, 2]])
    """
    times = views.sequence_argument(dims, kwargs, "dims")
    return repeat(input, (1,) * (input._layout.ndim - len(times)) + times)


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each element (or slice of `dim`) repeated in place, `repeats` times or by a tensor of counts.

    >>> torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor([1, 3]))
    tensor([1, 2, 2, 2])
    """
    from .from_data import tensor

    counts: Any
    if repeats is None:
        counts, source = input, None
    else:
        source = input.reshape(-1) if dim is None else input
        counts = repeats if isinstance(repeats, TensorBase) else tensor([repeats] if isinstance(repeats, int) else repeats)
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


# Diagonals and triangles


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal.

    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    ndim = input._layout.ndim
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    found = diag_embed(input, diagonal) if ndim == 1 else parts.diagonal(input, diagonal).clone()
    return found if out is None else write_out(out, found)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over `dim1` and `dim2` with the last dim of `input` on their diagonals.

    >>> torch.diag_embed(torch.tensor([1, 2]), 1).shape
    torch.Size([3, 3])
    """
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
    found = apply(card, (input,), (diagonal,))
    return found if out is None else write_out(out, found)


# Grids and products


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Views of vectors over the grid that they span: rows first ("ij") or columns first ("xy").

    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), indexing="ij")[0]
    tensor([[1],
            [2]])
    """
    vectors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for v in vectors:
        if v._layout.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {v}")
        if v._layout.dtype is not vectors[0]._layout.dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    if indexing is None:
        import warnings

        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=2)
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(vectors) > 1
    order = (vectors[1], vectors[0], *vectors[2:]) if swap else vectors
    shape = tuple(v.numel() for v in order)
    grids = [v.reshape([-1 if m == n else 1 for m in range(len(order))]).expand(shape) for n, v in enumerate(order)]
    if swap:
        grids = [g.transpose(0, 1) for g in grids]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each.

    >>> torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3]))
    tensor([[1, 3],
            [2, 3]])
    """
    for t in tensors:
        if t._layout.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector in order, a row each.

    >>> torch.combinations(torch.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    from .creation import empty
    from .from_data import tensor

    if input._layout.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {sizes(input._layout.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return empty(0, dtype=input.dtype)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input._layout.numel), r)), np.int64).reshape(-1, r)
    return input.index_select(0, tensor(rows.reshape(-1))).reshape(rows.shape)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given ones along its diagonal.

    >>> torch.block_diag(torch.tensor([[1]]), torch.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]])
    """
    from .creation import zeros

    blocks = [t if t.dim() == 2 else t.reshape(1, -1) for t in tensors]
    for n, t in enumerate(tensors):
        if t.dim() > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {n} has {t.dim()} dimensions")
    if not blocks:
        return zeros(1, 0)
    dtype = blocks[0].dtype
    for b in blocks[1:]:
        dtype = dt.promote(dtype, b.dtype)
    width = sum(b.shape[1] for b in blocks)
    rows, start = [], 0
    for b in blocks:
        left = zeros(b.shape[0], start, dtype=dtype)
        right = zeros(b.shape[0], width - start - b.shape[1], dtype=dtype)
        rows.append(cat([left, b, right], 1))
        start += b.shape[1]
    return cat(rows, 0)


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
    if not len(tensors):
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return raise_dims(list(tensors))


def _split_by_name(name: str, dim: int, at_least: int) -> Callable[..., tuple[Tensor, ...]]:
    def split(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        ndim = input._layout.ndim
        if ndim < at_least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {at_least} dimension{'s' if at_least > 1 else ''}, but got a tensor with {ndim} dimensions!")
        axis = 0 if name == "hsplit" and ndim == 1 else dim
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
            copies = tuple(f.clone(memory_format=_row_major()) for f in found)
            return copies if out is None else write_out(out, copies)
        copy = found.clone(memory_format=_row_major())
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
expand_copy = _copying(views.expand)
narrow_copy = _copying(parts.narrow)
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
    """`split` whose parts may be written in place under autograd."""
    return _unsafe(parts.split(tensor, split_size, dim))


def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes` whose parts may be written in place under autograd."""
    return _unsafe(parts.split_with_sizes(input, split_sizes, dim))


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk` whose parts may be written in place under autograd."""
    return _unsafe(parts.chunk(input, chunks, dim))


def _unsafe(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(p.clone() for p in parts)


moveaxis = alias(movedim, "moveaxis")
