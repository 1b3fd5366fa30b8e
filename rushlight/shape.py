"""Shapes, strides and layouts: everything about a tensor's geometry that needs no data.

A `Layout` is (shape, stride, dtype), interned: equal layouts are one object, so that looking up what an op
does with its operands compares pointers. A tensor is a layout over a storage at an offset.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

from .dtypes import dtype
from .errors import dim_out_of_range, sizes
from .recent import Recent

Shape = tuple[int, ...]


class Size(tuple[int, ...]):
    """A tensor's shape: a tuple that prints as ``torch.Size([2, 3])``.

    >>> torch.Size([2, 3]).numel()
    6
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    __str__ = __repr__

    def numel(self) -> int:
        return numel(self)

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        if not isinstance(other, tuple):
            raise TypeError(f'can only concatenate tuple (not "{type(other).__name__}") to torch.Size')
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple.__add__(tuple(other), self))

    def __mul__(self, times: SupportsIndex) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type, tuple[Shape]]:
        return Size, (tuple(self),)


def numel(shape: Iterable[int]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def contiguous_strides(shape: Sequence[int]) -> Shape:
    strides = [1] * len(shape)
    step = 1
    for d in range(len(shape) - 1, -1, -1):
        strides[d] = step
        step *= shape[d] or 1
    return tuple(strides)


def is_contiguous(shape: Shape, stride: Shape) -> bool:
    step = 1
    for n, s in zip(reversed(shape), reversed(stride), strict=True):
        if n == 0:
            return True
        if n != 1:
            if s != step:
                return False
            step *= n
    return True


class Layout:
    """An interned (shape, stride, dtype). Make one with `layout()`."""

    __slots__ = ("shape", "stride", "dtype", "ndim", "numel", "contiguous", "dense", "extent", "nbytes", "byte_strides", "size", "__weakref__")

    def __init__(self, shape: Shape, stride: Shape, dtype: dtype) -> None:
        self.shape, self.stride, self.dtype = shape, stride, dtype
        self.size = Size(shape)
        self.ndim = len(shape)
        self.numel = numel(shape)
        self.contiguous = is_contiguous(shape, stride)
        # Elements from the first to the last inclusive: what the storage must hold after the offset.
        self.extent = 0 if self.numel == 0 else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        self.dense = self.contiguous or (self.extent == self.numel and is_non_overlapping_and_dense(shape, stride))
        self.nbytes = self.extent * dtype.itemsize
        self.byte_strides = tuple(s * dtype.itemsize for s in stride)

    def __repr__(self) -> str:
        return f"Layout({self.dtype.name}{list(self.shape)}, stride={list(self.stride)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return layout, (self.shape, self.stride, self.dtype)


# Only speed depends on equal layouts being one object.
_interned: Recent[tuple[Shape, Shape, dtype], Layout] = Recent(1 << 13)
_contiguous: Recent[tuple[Shape, dtype], Layout] = Recent(1 << 13)


def layout(shape: Shape, stride: Shape, dtype: dtype) -> Layout:
    """The layout object of this shape, stride (in elements) and dtype."""
    key = (shape, stride, dtype)
    found = _interned.get(key)
    if found is None:
        found = _interned.recall(key) or _interned.remember(key, Layout(shape, stride, dtype))
    return found


def contiguous(shape: Shape, dtype: dtype) -> Layout:
    """The row-major layout of this shape."""
    key = (shape, dtype)
    found = _contiguous.get(key)
    if found is None:
        found = _contiguous.recall(key) or _contiguous.remember(key, layout(shape, contiguous_strides(shape), dtype))
    return found


def is_non_overlapping_and_dense(shape: Shape, stride: Shape) -> bool:
    """Whether the elements fill a block of memory, each once, in some order of the dims."""
    step = 1
    for s, n in sorted((s, n) for n, s in zip(shape, stride, strict=True) if n != 1):
        if n == 0:
            return True
        if s != step:
            return False
        step *= n
    return True


def has_internal_overlap(shape: Shape, stride: Shape) -> bool:
    """Whether one memory location certainly holds several elements (a stride of 0 over more than one)."""
    return any(s == 0 and n > 1 for n, s in zip(shape, stride, strict=True)) and 0 not in shape


def is_injective(shape: Shape, stride: Shape) -> bool:
    """Whether each element certainly has a place of its own in memory: every dim steps over all that the smaller ones reach."""
    reach = 0
    for s, n in sorted((s, n) for n, s in zip(shape, stride, strict=True) if n != 1):
        if s <= reach:
            return False
        reach += (n - 1) * s
    return True


def as_one_dim(shape: Sequence[int], stride: Sequence[int]) -> tuple[int, int] | None:
    """How many elements these dims have and their stride, if they are one dim to whoever steps through them; None if not.

    Where there is but one element, the stride is 0.
    """
    count, step = 1, 0
    for n, s in zip(reversed(shape), reversed(stride), strict=True):
        if n != 1:
            if count == 1:
                step = s
            elif s != count * step:
                return None
            count *= n
    return count, step


def wrap_dim(dim: int, ndim: int, *, scalar_ok: bool = True) -> int:
    """A non-negative `dim`; a 0-dim tensor has one dim for this purpose unless `scalar_ok` is false."""
    dim = operator.index(dim)
    count = ndim or (1 if scalar_ok else 0)
    if count == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -count <= dim < count:
        raise dim_out_of_range(dim, ndim)
    return dim + count if dim < 0 else dim


def wrap_dims(dims: int | Sequence[int] | None, ndim: int) -> Shape:
    """Non-negative dims in the given order, all of them for None or an empty sequence; repeats are refused."""
    if dims is None:
        return tuple(range(ndim))
    if not isinstance(dims, (tuple, list)):
        return (wrap_dim(dims, ndim),) if ndim else (wrap_dim(dims, ndim),)[:0]  # type: ignore[arg-type]
    if len(dims) == 0:
        return tuple(range(ndim))
    wrapped = tuple(wrap_dim(d, ndim) for d in dims)
    for n, d in enumerate(wrapped):
        if d in wrapped[:n]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return wrapped if ndim else ()


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The common shape under broadcasting, with PyTorch's error when there is none."""
    out: Shape = ()
    for shape in shapes:
        if shape != out:
            out = _broadcast_two(out, shape)
    return out


def _broadcast_two(one: Shape, other: Sequence[int]) -> Shape:
    """From the last dim on, so that an error names the last dim that does not fit."""
    ndim = max(len(one), len(other))
    out = [1] * (ndim - len(one)) + list(one)
    start = ndim - len(other)
    for d in range(ndim - 1, start - 1, -1):
        n = other[d - start]
        if n != 1 and n != out[d]:
            if out[d] != 1:
                raise RuntimeError(f"The size of tensor a ({out[d]}) must match the size of tensor b ({n}) at non-singleton dimension {d}")
            out[d] = n
    return tuple(out)


def can_broadcast_to(shape: Sequence[int], target: Sequence[int]) -> bool:
    start = len(target) - len(shape)
    return start >= 0 and all(n == 1 or n == m for n, m in zip(shape, target[start:], strict=True))


def expand_strides(shape: Shape, stride: Shape, target: Shape) -> Shape:
    """The strides that show `shape` as `target` (already known to broadcast)."""
    start = len(target) - len(shape)
    kept = tuple(0 if n == 1 and m != 1 else s for n, s, m in zip(shape, stride, target[start:], strict=True))
    return (0,) * start + kept


def infer_shape(shape: Sequence[int], count: int) -> Shape:
    """`shape` with its single -1 filled in so that it has `count` elements."""
    known, hole = 1, None
    for d, n in enumerate(shape):
        if n == -1:
            if hole is not None:
                raise RuntimeError("only one dimension can be inferred")
            hole = d
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {d} of shape {sizes(shape)}")
        else:
            known *= n
    if hole is not None:
        if known == 0 == count:
            raise RuntimeError(
                f"cannot reshape tensor of {count} elements into shape {sizes(shape)} because the unspecified dimension size -1 can be any value and is ambiguous"
            )
        if known and count % known == 0:
            filled = list(shape)
            filled[hole] = count // known
            return tuple(filled)
    elif known == count:
        return tuple(shape)
    raise RuntimeError(f"shape '{sizes(shape)}' is invalid for input of size {count}")


def view_strides(shape: Shape, stride: Shape, target: Shape) -> Shape | None:
    """The strides under which the same memory has shape `target`, or None if there are none (ATen's computeStride)."""
    count = numel(shape)
    if count == 0:
        return stride if shape == target else contiguous_strides(target)
    if not shape:
        return (1,) * len(target)
    out = [0] * len(target)
    d = len(target) - 1
    chunk_stride = stride[-1]
    chunk, taken = 1, 1
    for n in range(len(shape) - 1, -1, -1):
        chunk *= shape[n]
        # A chunk ends where the next outer dim does not continue it in memory.
        if n == 0 or (shape[n - 1] != 1 and stride[n - 1] != chunk * chunk_stride):
            while d >= 0 and (taken < chunk or target[d] == 1):
                out[d] = taken * chunk_stride
                taken *= target[d]
                d -= 1
            if taken != chunk:
                return None
            if n > 0:
                chunk_stride, chunk, taken = stride[n - 1], 1, 1
    return tuple(out) if d == -1 else None


def preserved_strides(shape: Shape, stride: Shape) -> Shape:
    """The strides of a fresh tensor made like this one (`preserve_format`): the same order of dims, densely packed."""
    if is_non_overlapping_and_dense(shape, stride):
        return stride
    return strides_in_order(shape, stride_order((shape,), (stride,), shape))


def stride_order(shapes: Sequence[Shape], strides: Sequence[Shape], out: Shape) -> list[int]:
    """The dims of `out` from innermost to outermost, as TensorIterator orders them for these operands."""
    expanded = [expand_strides(shape, stride, out) for shape, stride in zip(shapes, strides, strict=True)]
    order = list(range(len(out) - 1, -1, -1))

    def swaps(inner: int, outer: int) -> int:
        for stride in expanded:
            a, b = stride[inner], stride[outer]
            if a == 0 or b == 0:
                continue
            if a != b:
                return -1 if a < b else 1
            if out[inner] > out[outer]:
                return 1
        return 0

    for i in range(1, len(order)):
        moving = i
        for j in range(i - 1, -1, -1):
            verdict = swaps(order[j], order[moving])
            if verdict > 0:
                order[j], order[moving] = order[moving], order[j]
                moving = j
            elif verdict < 0:
                break
    return order


def strides_in_order(shape: Shape, order: Sequence[int]) -> Shape:
    """Dense strides with the dims in `order`, innermost first."""
    strides = [0] * len(shape)
    step = 1
    for d in order:
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


def channels_last_strides(shape: Sequence[int]) -> Shape:
    """The strides of `channels_last` (4 dims) or `channels_last_3d` (5 dims)."""
    if len(shape) not in (4, 5):
        raise RuntimeError(f"required rank {4 if len(shape) != 5 else 5} tensor to use channels_last format")
    return strides_in_order(tuple(shape), [1, *range(len(shape) - 1, 1, -1), 0])


def is_channels_last(shape: Shape, stride: Shape) -> bool:
    """Whether the elements lie in the order of `channels_last` or `channels_last_3d`."""
    return all(n == 1 or s == e for n, s, e in zip(shape, stride, channels_last_strides(shape), strict=True))
