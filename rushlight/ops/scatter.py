"""Reading and writing by index tensors with an element for each place: along one dim, or over the flat tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import half, indexing
from ..engine.lowering import AS_BITS, AS_FLOAT, AS_GIVEN, Calls
from ..errors import sizes
from ..graph import check_in_place, grad_state, requires_grad
from ..shape import Layout, Shape, broadcast_shapes, contiguous, is_injective, layout, preserved_strides, wrap_dim
from ..storage import ON_META, TensorBase
from .card import Card, apply, check_overlap, check_overlap_with, checking_values, value_range
from .define import EXACT, as_operand, as_tensor_argument, assign, by_numpy_names, write_out
from .index import add_along, check_bounds
from .overlapping import warn_of_expanded, write_in_order
from .scalars import fitting

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan


def in_order_of(input: Layout) -> Layout:
    """A fresh output with the shape, dtype and order of dims of `input`."""
    return layout(input.shape, preserved_strides(input.shape, input.stride), input.dtype)


def check_index(index: Any, function: str, size: int, dim: int, *, negative: bool = False) -> None:
    """Refuse an index that is not integral, or a value of it outside ``0..size`` (``-size..size`` if `negative`)."""
    if index._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"{function}(): Expected dtype int32/int64 for index")
    if negative:
        check_bounds(index, size, dim)
        return
    if index._layout.numel == 0 or index._storage.special == ON_META:
        return
    checking_values(_check_within, index, function, size, dim)


def _check_within(index: Any, function: str, size: int, dim: int) -> None:
    low, high = value_range(index)
    if low < 0 or high >= size:
        bad = low if low < 0 else high
        if function == "index_select" and dim == 1:
            raise RuntimeError(f"INDICES element is out of DATA bounds, id={bad} axis_dim={size}")
        raise IndexError("index out of range in self") if function == "index_select" else RuntimeError(f"index {bad} is out of bounds for dimension {dim} with size {size}")


def _along(array: np.ndarray, index: np.ndarray, dim: int) -> tuple[Any, ...]:
    """The NumPy index that pairs ``index`` along `dim` with its own position in all other dims."""
    return tuple(index if d == dim else places for d, places in enumerate(_grid(index.shape)))


@lru_cache(maxsize=64)
def _grid(shape: Shape) -> tuple[np.ndarray, ...]:
    """The positions along each dim, to be broadcast."""
    return tuple(np.ogrid[tuple(slice(n) for n in shape)])


def _at_least_1d(*layouts: Layout) -> list[Shape]:
    return [l.shape or (1,) for l in layouts]


def _check_gather_shapes(function: str, input: Layout, index: Layout, dim: int, source: Layout | None) -> None:
    """Index (and source) must have as many dims as input, and fit in it in all dims but `dim`."""
    if index.numel == 0:
        return
    here, there = _at_least_1d(input, index)
    if len(here) != len(there):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {'input' if function == 'gather' else 'self'} tensor")
    for d in range(len(here)):
        if d != dim and there[d] > here[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {sizes(index.shape)} to be no larger than self {sizes(input.shape)} apart from dimension {dim}"
                if function == "gather"
                else f"Expected index {sizes(index.shape)} to be no larger than self {sizes(input.shape)} apart from dimension {dim}"
                + (f" and to be no larger size than src {sizes(source.shape)}" if source is not None else "")
            )
    if source is not None:
        (other,) = _at_least_1d(source)
        if len(other) != len(there):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        if any(n > m for n, m in zip(there, other, strict=True)):
            raise RuntimeError(
                f"Expected index {sizes(index.shape)} to be no larger than self {sizes(input.shape)} apart from dimension {dim} and to be no larger size than src {sizes(source.shape)}"
            )


# gather


def _infer_gather(input: Layout, index: Layout, dim: int) -> Layout:
    _check_gather_shapes("gather", input, index, dim, None)
    return contiguous(index.shape, input.dtype)


def _gather_rule(input: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    if not index.size:
        return np.empty(index.shape, input.dtype)
    if not index.ndim:
        return input.reshape(-1)[index]
    if not input.ndim:
        return input.reshape(1)[index]
    return input[_along(input, index, dim)]


_gather = Card(
    "gather", "input index",
    statics="dim",
    infer=_infer_gather, numpy=_gather_rule, lowering=Calls(indexing.gather, exact=True, half=AS_BITS),
    grads={"input": lambda g, index, layouts, dim: apply(_scatter_add, (zeros_of(layouts[0], g), index, g), (dim,))},
    onnx="GatherElements",
)  # fmt: skip


def zeros_of(like: Layout, g: Tensor) -> Tensor:
    from .creation import zeros

    return zeros(like.shape, dtype=g.dtype, device=g.device)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim=0``, and so on for other dims.

    >>> torch.gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    as_tensor_argument(input, "gather")
    as_tensor_argument(index, "gather", "index", 3)
    dim = wrap_dim(dim, input._layout.ndim)
    if index._layout.dtype not in (dt.int64, dt.int32):
        if index._layout.numel:
            raise RuntimeError("gather(): Expected dtype int32/int64 for index")
        index = index.to(dt.int64)
    _check_gather_shapes("gather", input._layout, index._layout, dim, None)
    check_index(index, "gather", input._layout.shape[dim] if input._layout.ndim else 1, dim)
    found = gather_within(input, dim, index)
    return found if out is None else write_out(out, found, input, index, disjoint=True, exact=EXACT)


def gather_within(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """`gather` by an index that is known to lie within: what it is computed from need not run now."""
    return apply(_gather, (input, index), (dim,))


def where_negative(index: Tensor, size: int) -> Tensor:
    """An index counted from the front."""
    return (index < 0).to(index.dtype) * size + index


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """`gather` with broadcasting of all dims but `dim`; flat without `dim`.

    >>> torch.take_along_dim(torch.tensor([[10, 30, 20]]), torch.tensor([[0]]), 1)
    tensor([[10]])
    """
    if names:
        return by_numpy_names(take_along_dim, locals())
    if indices._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    size = input._layout.numel if dim is None else input._layout.shape[wrap_dim(dim, input._layout.ndim)] if input._layout.ndim else 1
    check_bounds(indices, size, 0 if dim is None else wrap_dim(dim, input._layout.ndim))
    indices = where_negative(indices, size)
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1), out=out)
    if input._layout.ndim != indices._layout.ndim:
        raise RuntimeError(f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {input._layout.ndim} dimensions for input, and {indices._layout.ndim} dimensions for indices")
    dim = wrap_dim(dim, input._layout.ndim)
    a, b = list(input._layout.shape), list(indices._layout.shape)
    if not a:
        return gather(input, dim, indices, out=out)
    a[dim] = b[dim] = 1
    shape = list(broadcast_shapes(a, b))
    rows = [*shape[:dim], indices._layout.shape[dim], *shape[dim + 1 :]]
    whole = [*shape[:dim], input._layout.shape[dim], *shape[dim + 1 :]]
    input, indices = input.expand(whole), indices.expand(rows)
    found = gather_within(input, dim, indices)
    return found if out is None else write_out(out, found, input, indices, disjoint=True, exact=EXACT)


# scatter


_REDUCTIONS: dict[str, np.ufunc] = {"sum": np.add, "add": np.add, "prod": np.multiply, "multiply": np.multiply, "mean": np.add, "amax": np.maximum, "amin": np.minimum}
_NEUTRAL = {"sum": 0, "mean": 0, "prod": 1, "amax": None, "amin": None}


def _neutral(reduce: str, dtype: np.dtype) -> Any:
    """What a reduction starts from where the old value does not count."""
    if reduce in ("amax", "amin"):
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            return info.min if reduce == "amax" else info.max
        if dtype.kind == "b":
            return reduce == "amin"
        return -np.inf if reduce == "amax" else np.inf
    return _NEUTRAL[reduce]


def reduce_at(input: np.ndarray, where: tuple[Any, ...], values: np.ndarray, reduce: str, include_self: bool) -> np.ndarray:
    """`input` with `values` combined into the elements at `where`."""
    wide = np.array(input, np.float32 if input.dtype.itemsize == 2 and input.dtype.kind not in "iu" else input.dtype, order="C")
    if not include_self:
        wide[where] = _neutral(reduce, wide.dtype)
    _REDUCTIONS[reduce].at(wide, where, values)
    if reduce == "mean":
        counts = np.full(wide.shape, 1 if include_self else 0, np.int64)
        np.add.at(counts, where, 1)
        counts = np.maximum(counts, 1)
        return wide // counts if wide.dtype.kind in "iu" else wide / counts.astype(wide.real.dtype)
    return wide


def _infer_scatter(input: Layout, index: Layout, src: Any, dim: int, **_: Any) -> Layout:
    _check_gather_shapes("scatter", input, index, dim, src if isinstance(src, Layout) else None)
    if isinstance(src, Layout) and src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    return contiguous(input.shape, input.dtype)


def _part(src: Any, index: np.ndarray) -> Any:
    """The part of `src` that the index reaches."""
    return src[tuple(slice(n) for n in index.shape)] if isinstance(src, np.ndarray) and src.ndim else src


def _as_rows(input: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (input, index) if input.ndim else (input.reshape(1), index.reshape(-1))


def _scatter_rule(input: np.ndarray, index: np.ndarray, src: Any, dim: int) -> np.ndarray:
    found = np.array(input, order="C")
    if index.size:
        whole, positions = _as_rows(found, index)
        values = _part(src, positions)
        whole[_along(whole, positions, dim)] = np.asarray(values).astype(found.dtype)
    return found


def _scatter_calls(plan: Plan) -> Lowered | None:
    """In half precision elements are moved as they are; a number has to be rounded first."""
    make = partial(indexing.scatter, mode="set")
    if not half.is_half(plan):
        return make(plan)
    return half.as_bits(plan, make) if isinstance(plan.operands[2], Layout) else half.as_float(plan, make)


_scatter = Card(
    "scatter", "input index src",
    statics="dim",
    infer=_infer_scatter, numpy=_scatter_rule, lowering=Calls(_scatter_calls, exact=True, half=AS_GIVEN),
    grads={
        "input": lambda g, index, dim: g.scatter(dim, index, 0),
        "src": lambda g, index, layouts, dim: _fit_source(g.gather(dim, index), layouts[2]),
    },
    onnx="ScatterElements",
)  # fmt: skip


def _fit_source(g: Tensor, src: Layout) -> Tensor:
    """A gradient for the part of `src` that was used, zeros elsewhere."""
    if g._layout.shape == src.shape:
        return g
    whole = zeros_of(src, g)
    part = whole
    for d, n in enumerate(g._layout.shape):
        part = part.narrow(d, 0, n)
    part.copy_(g)
    return whole


def _scatter_add_rule(input: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
    found = np.array(input, order="C")
    if not index.size:
        return found
    whole, positions = _as_rows(found, index)
    values = _part(src if src.ndim else src.reshape(1), positions)
    if whole.ndim == 1:
        add_along(whole, positions, values)
    elif found.dtype.kind == "b":
        np.logical_or.at(whole, _along(whole, positions, dim), values)
    else:
        flat = np.ravel_multi_index(np.broadcast_arrays(*_along(whole, positions, dim)), whole.shape)
        add_along(whole.reshape(-1), flat.reshape(-1), np.ascontiguousarray(values).reshape(-1))
    return found


_scatter_add = Card(
    "scatter_add", "input index src",
    statics="dim",
    infer=_infer_scatter, numpy=_scatter_add_rule, lowering=Calls(lambda plan: indexing.scatter(plan, "add"), half=AS_FLOAT),
    grads={"input": lambda g: g, "src": lambda g, index, layouts, dim: _fit_source(gather_within(g, dim, index), layouts[2])},
)  # fmt: skip


def _scatter_reduce_rule(input: np.ndarray, index: np.ndarray, src: Any, dim: int, reduce: str, include_self: bool) -> np.ndarray:
    if not index.size:
        return input.copy()
    whole, positions = _as_rows(input, index)
    values = _part(src if not isinstance(src, np.ndarray) or src.ndim else src.reshape(1), positions)
    return reduce_at(whole, _along(whole, positions, dim), values, reduce, include_self).reshape(input.shape)


_scatter_reduce = Card(
    "scatter_reduce", "input index src",
    statics="dim reduce include_self",
    infer=_infer_scatter, numpy=_scatter_reduce_rule, outputs="output", lowering=Calls(indexing.scatter_reduce, half=AS_FLOAT),
    backward=lambda g, input, index, src, output, needs, dim, reduce, include_self: _scatter_reduce_backward(g, input, index, src, output, needs, dim, reduce, include_self),
)  # fmt: skip


def _scatter_reduce_backward(g: Tensor, input: Tensor, index: Tensor, src: Any, output: Tensor, needs: Any, dim: int, reduce: str, include_self: bool) -> list[Any]:
    if not isinstance(src, TensorBase):
        raise RuntimeError("scatter with a reduction and a number has no gradient; give src as a tensor to scatter_reduce")
    used = src
    for d, n in enumerate(index._layout.shape):
        used = used.narrow(d, 0, n)  # type: ignore[attr-defined]
    first, third = scatter_reduce_gradients(g, input, index, used, output, dim, reduce, include_self)
    return [first if needs[0] else None, None, _fit_source(third, src._layout) if needs[2] else None]


def scatter_reduce_gradients(g: Tensor, input: Any, index: Tensor, src: Any, output: Tensor, dim: int, reduce: str, include_self: bool) -> tuple[Tensor, Tensor]:
    """The gradients of a scatter reduction with respect to `input` and `src` (PyTorch's scatter_reduce_backward)."""
    from .creation import ones_like

    if reduce in ("sum", "add"):
        to_input, to_src = g, g.gather(dim, index)
    elif reduce == "mean":
        counts = (ones_like(input) if include_self else input * 0).scatter_add(dim, index, ones_like(src)).clamp(min=1)
        to_input, to_src = g / counts, (g / counts).gather(dim, index)
    elif reduce in ("prod", "multiply"):
        zero = src == 0
        zeros_there = (input * 0).scatter_add(dim, index, zero.to(src.dtype)).gather(dim, index)
        alone = zero & (zeros_there == 1)
        without_zero = input.scatter_reduce(dim, index, src.masked_fill(zero, 1), "prod", include_self=include_self)
        to_src = (g * output).gather(dim, index) / src.masked_fill(zero, 1)
        to_src = to_src.masked_fill(zero, 0) + (g * without_zero).gather(dim, index) * alone
        filled = input.masked_fill(input == 0, 1)
        alone_input = (input.masked_fill(input == 0, 1) * 0 + 1).scatter_reduce(dim, index, src, "prod", include_self=True)
        to_input = g * alone_input if include_self else g * output / filled
    else:
        chosen = (src == output.gather(dim, index)).to(g.dtype)
        own = (input == output).to(g.dtype)
        shares = (own if include_self else own * 0).scatter_add(dim, index, chosen)
        split = g / shares.masked_fill(shares == 0, 1)
        to_input, to_src = own * split, chosen * split.gather(dim, index)
    return (to_input if include_self else to_input.scatter(dim, index, 0)), to_src


def _scatter_arguments(function: str, input: Any, dim: int, index: Any, src: Any) -> int:
    as_tensor_argument(input, function)
    dim = wrap_dim(dim, input._layout.ndim)
    if index._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    layouts = src._layout if isinstance(src, TensorBase) else None
    if layouts is not None and layouts.dtype is not input._layout.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    _check_gather_shapes(function, input._layout, index._layout, dim, layouts)
    if index._layout.numel:
        check_index(index, function, input._layout.shape[dim] if input._layout.ndim else 1, dim)
    return dim


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None, out: Tensor | None = None) -> Tensor:
    """`input` with ``out[index[i][j]][j] = src[i][j]`` for ``dim=0``, and so on; `reduce` "add" or "multiply" combines.

    >>> torch.scatter(torch.zeros(1, 3), 1, torch.tensor([[2]]), 5)
    tensor([[0., 0., 5.]])
    """
    src = value if src is None else src
    src = as_operand(src, "scatter", "src", 4)
    if not isinstance(src, TensorBase):
        src = fitting(src, input._layout.dtype, half_overflows=True)
    dim = _scatter_arguments("scatter", input, dim, index, src)
    if reduce is None:
        found = apply(_scatter, (input, index, src), (dim,))
    elif reduce in ("add", "multiply"):
        found = apply(_scatter_reduce, (input, index, src), (dim, reduce, True))
    else:
        raise RuntimeError("reduce argument must be either add or multiply.")
    return found if out is None else write_out(out, found, exact=EXACT)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`input` with ``out[index[i][j]][j] += src[i][j]`` for ``dim=0``, and so on.

    >>> torch.scatter_add(torch.zeros(3), 0, torch.tensor([0, 0]), torch.ones(2))
    tensor([2., 0., 0.])
    """
    dim = _scatter_arguments("scatter_add", input, dim, index, src)
    found = apply(_scatter_add, (input, index, src), (dim,))
    return found if out is None else write_out(out, found, exact=EXACT)


def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None) -> Tensor:
    """`input` with the values of `src` combined where `index` says, by "sum", "prod", "mean", "amax" or "amin".

    >>> torch.scatter_reduce(torch.zeros(2), 0, torch.tensor([0, 0]), torch.tensor([1., 3.]), "amax")
    tensor([3., 0.])
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    dim = _scatter_arguments("scatter_reduce", input, dim, index, src)
    dtype = input._layout.dtype
    if (reduce == "mean" and dtype is dt.bool_) or (reduce in ("amax", "amin") and dtype.is_complex):
        raise NotImplementedError(f"\"scatter_gather_tensor_cpu_reduce_{reduce}\" not implemented for '{dtype.type_name}'")
    found = apply(_scatter_reduce, (input, index, src), (dim, reduce, include_self))
    return found if out is None else write_out(out, found, exact=EXACT)


# take and put, over the flat tensor


_take = Card(
    "take", "input index",
    infer=lambda input, index: contiguous(index.shape, input.dtype),
    numpy=lambda input, index: input.reshape(-1)[index], lowering=Calls(indexing.take, exact=True, half=AS_BITS),
    grads={"input": lambda g, index, layouts: zeros_of(layouts[0], g).put(index, g, True)},
)  # fmt: skip


def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at `index` of `input` seen as flat.

    >>> torch.take(torch.tensor([[4, 3], [5, 1]]), torch.tensor([0, 3]))
    tensor([4, 1])
    """
    if index._layout.dtype is not dt.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index._layout.dtype.type_name}")
    if not input._layout.numel and index._layout.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    _check_flat(index, input._layout.numel)
    found = apply(_take, (input, index))
    return found if out is None else write_out(out, found, input, index, disjoint=True, exact="take(): self and out expected to have the same dtype, but got self.dtype = {want} and out.dtype = {have}")


def _check_flat(index: TensorBase, count: int) -> None:
    if index._layout.numel and index._storage.special != ON_META:
        checking_values(_check_reach, index, count)


def _check_reach(index: TensorBase, count: int) -> None:
    for bad in value_range(index):
        if not -count <= bad < count:
            raise IndexError(f"out of range: tried to access index {bad} on a tensor of {count} elements.")


def _put_rule(input: np.ndarray, index: np.ndarray, source: np.ndarray, accumulate: bool) -> np.ndarray:
    found = np.array(input, order="C")
    flat = found.reshape(-1)
    if accumulate:
        add_along(flat, index.reshape(-1), source.reshape(-1))
    else:
        flat[index.reshape(-1)] = source.reshape(-1)
    return found


_put = Card(
    "put", "input index source",
    statics="accumulate",
    infer=lambda input, index, source, accumulate: in_order_of(input),
    numpy=_put_rule, lowering=Calls(indexing.put),
    grads={
        "input": lambda g, index, layouts, accumulate: g if accumulate else g.put(index, zeros_of(layouts[2], g)),
        "source": lambda g, index, layouts: g.take(index).reshape(layouts[2].shape),
    },
)  # fmt: skip


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`input`, seen as flat, with `source` written (or added) at `index`.

    >>> torch.put(torch.zeros(3), torch.tensor([1]), torch.tensor([9.]))
    tensor([0., 9., 0.])
    """
    if index._layout.dtype is not dt.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index._layout.dtype.type_name}")
    if source._layout.dtype is not input._layout.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = {input._layout.dtype.type_name} and source.dtype = {source._layout.dtype.type_name}")
    if index._layout.numel != source._layout.numel:
        raise RuntimeError(f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source._layout.numel}, index.numel() = {index._layout.numel}")
    if not input._layout.numel and index._layout.numel:
        raise IndexError("put_(): cannot put elements into an empty tensor")
    _check_flat(index, input._layout.numel)
    return apply(_put, (input, index, source), (bool(accumulate),))


def in_place_disjoint(function: Callable[..., Any], fills: bool = False) -> Callable[..., Any]:
    """The in-place method of a function whose index and source must not lie in the memory that it writes.

    fills: whether it writes one value everywhere; PyTorch lets it write expanded tensors.
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        others = (*args, *kwargs.values())
        check_in_place(self, grad_state.enabled and any(isinstance(t, TensorBase) and requires_grad(t) for t in others))
        if fills:
            warn_of_expanded(self, method.__name__)
            check_overlap_with(self, others, disjoint=True)
        else:
            check_overlap(self, others, disjoint=True)
        if not is_injective(self._layout.shape, self._layout.stride) and self._layout.numel:
            return write_in_order(function, self, args, kwargs)
        return assign(self, function, args, kwargs)

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


scatter_, scatter_add_ = in_place_disjoint(scatter), in_place_disjoint(scatter_add)
scatter_reduce_, put_ = in_place_disjoint(scatter_reduce), in_place_disjoint(put)
