"""Largest and smallest values: over dims, over everything, with their places, and of pairs.

nan wins over everything, except in `fmax` and `fmin`. `selection_card` makes the cards of what gives one value of each
slice with its index, those of `ranks.py` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, return_types
from ..engine.lowering import Loop, Space
from ..engine.terms import FLOATS
from ..shape import Layout, Shape, contiguous, wrap_dim
from ..storage import TensorBase
from .card import Card, Pointwise, apply
from .combine import where
from .define import EXACT, as_tensor_argument, by_numpy_names, write_out
from .reduction import keep_dims, over_other_dims, over_rows, reduced_shape, reduction_dims, row_space, widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def spread_evenly(g: Tensor, input: Tensor, output: Tensor) -> Tensor:
    """The gradient of an extremum shared out evenly between the elements that equal it."""
    chosen = (input == output) | ((input != input) & (output != output))
    return g * chosen / chosen.sum()


def _spread_over_dims(g: Tensor, input: Tensor, output: Tensor, layouts: Sequence[Layout], dims: Shape, keepdim: bool) -> Tensor:
    chosen = input == keep_dims(output, layouts, dims, keepdim)
    return keep_dims(g, layouts, dims, keepdim) * chosen / chosen.sum(dims, keepdim=True)


def refuse_complex(here: Layout, kernel: str) -> None:
    if here.dtype.category == dt.COMPLEX:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{here.dtype.type_name}'")


def _refuse_empty_dims(function: str, here: Layout, dims: Shape, given: bool) -> None:
    if here.numel == 0:
        if not given:
            raise RuntimeError(f"{function}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.")
        for d in dims:
            refuse_empty_dim(f"{function}():", here.shape, d)


def refuse_empty_dim(function: str, shape: Shape, dim: int) -> None:
    if shape and shape[dim] == 0:
        raise IndexError(f"{function} Expected reduction dim {dim} to have non-zero size.")


# Over any dims


def _extreme_terms(k: Any, input: Any, largest: bool) -> Any:
    if input.type == "i1":
        return k.convert(_extreme_terms(k, k.convert(input, "i8"), largest), "i1")
    return k.max(input) if largest else k.min(input)


def _over_dims(name: str, ufunc: np.ufunc) -> Card:
    return Card(
        name, "input",
        statics="dims keepdim",
        infer=lambda input, dims, keepdim: contiguous(reduced_shape(input.shape, dims, keepdim), input.dtype),
        numpy=lambda input, dims, keepdim: ufunc.reduce(widened(input), axis=dims, keepdims=keepdim),
        lowering=over_rows(lambda k, input, dims, keepdim: _extreme_terms(k, input, ufunc is np.maximum), floats=False),
        grads={"input": _spread_over_dims},
    )  # fmt: skip


_amax = _over_dims("amax", np.maximum)
_amin = _over_dims("amin", np.minimum)


def _apply_over_dims(card: Card, input: Tensor, dim: Any, keepdim: bool, out: Tensor | None) -> Tensor:
    here = as_tensor_argument(input, card.name)._layout
    dims = reduction_dims(dim, here.ndim)
    refuse_complex(here, f"{card.name[1:]}_values_cpu")
    _refuse_empty_dims(card.name, here, dims, isinstance(dim, int) or bool(dim))
    found = apply(card, (input,), (dims, bool(keepdim)))
    return found if out is None else write_out(out, found, exact="Expected the dtype for input and out to match, but got {want} for input's dtype and {have} for out's dtype.")


def amax(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The largest value over `dim`, or over everything. Equal values share the gradient evenly.

    >>> torch.amax(torch.tensor([[1., 4.], [3., 2.]]), 1)
    tensor([4., 3.])
    """
    if names:
        return by_numpy_names(amax, locals())
    return _apply_over_dims(_amax, input, dim, keepdim, out)


def amin(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The smallest value over `dim`, or over everything. Equal values share the gradient evenly.

    >>> torch.amin(torch.tensor([[1., 4.], [3., 2.]]), 1)
    tensor([1., 2.])
    """
    if names:
        return by_numpy_names(amin, locals())
    return _apply_over_dims(_amin, input, dim, keepdim, out)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None, **names: Any) -> Any:
    """The smallest and the largest value over `dim`, or over everything, as a named tuple ``(min, max)``.

    >>> torch.aminmax(torch.tensor([3, 1, 2])).max
    tensor(3)
    """
    if names:
        return by_numpy_names(aminmax, locals())
    here = as_tensor_argument(input, "aminmax")._layout
    dims = reduction_dims(dim, here.ndim)
    refuse_complex(here, "aminmax_cpu")
    if dim is None and here.numel == 0:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    for d in dims:
        refuse_empty_dim("aminmax:", here.shape, d)
    found = return_types.aminmax(apply(_amin, (input,), (dims, bool(keepdim))), apply(_amax, (input,), (dims, bool(keepdim))))
    return found if out is None else write_out(out, found, exact=EXACT)


# Over everything


def over_all_card(name: str, node_name: str, rule: Callable[[np.ndarray], Any], lowering: Loop | None = None) -> Card:
    return Card(
        name, "input",
        infer=lambda input: contiguous((), input.dtype),
        numpy=lambda input: rule(widened(input)),
        grads={"input": spread_evenly},
        node_name=node_name, lowering=lowering,
    )  # fmt: skip


def _everything(plan: Any) -> Space | None:
    (input,) = plan.operands
    return row_space(input, range(input.ndim))


_max_all = over_all_card("max_all", "MaxBackward1", np.max, Loop(lambda k, input: _extreme_terms(k, input, True), _everything))
_min_all = over_all_card("min_all", "MinBackward1", np.min, Loop(lambda k, input: _extreme_terms(k, input, False), _everything))


# One value of each slice along a dim, with its index

# Up to this many elements, NumPy's plainest way is as good as any.
SMALL = 1 << 10


def put_at_indices(g: Tensor, indices: Tensor, layouts: Sequence[Layout], dim: int) -> Tensor:
    """The gradient of an input of which each slice along `dim` gave the elements at `indices`."""
    here = layouts[0]
    return g.new_zeros(here.shape).scatter(dim, indices, g) if here.ndim else g


def _put_at_index(g: Tensor, indices: Tensor, layouts: Sequence[Layout], dim: int, keepdim: bool) -> Tensor:
    if layouts[0].ndim and not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return put_at_indices(g, indices, layouts, dim)


def with_a_dim(array: np.ndarray) -> np.ndarray:
    """The array, widened, and with one dim if it had none."""
    return widened(array if array.ndim else array.reshape(1))


def selection_card(name: str, node_name: str, choose: Callable[..., np.ndarray], extra: str = "", lowering: Loop | None = None) -> Card:
    """A card of ``(values, indices)``, where `choose` gives the index in each slice along the axis, which it keeps."""

    def infer(input: Layout, dim: int, keepdim: bool, **_: Any) -> tuple[Layout, Layout]:
        shape = reduced_shape(input.shape, (dim,), keepdim)
        return contiguous(shape, input.dtype), contiguous(shape, dt.int64)

    def rule(input: np.ndarray, dim: int, keepdim: bool, **more: Any) -> tuple[np.ndarray, np.ndarray]:
        shape = reduced_shape(input.shape, (dim,), keepdim)
        slices = with_a_dim(input)
        indices = choose(slices, dim, **more)
        return np.take_along_axis(slices, indices, dim).reshape(shape), indices.reshape(shape)

    return Card(
        name, "input",
        statics=f"dim keepdim {extra}", outputs="values indices",
        infer=infer, numpy=rule, grads={"input": _put_at_index},
        differentiable=(0,), node_name=node_name, lowering=lowering,
    )  # fmt: skip


def _first_extreme(slices: np.ndarray, axis: int, ufunc: np.ufunc) -> np.ndarray:
    """The index of the first largest (`np.maximum`) or smallest value, or of the first nan."""
    if axis == slices.ndim - 1 or slices.size <= SMALL:
        return slices.argmax(axis, keepdims=True) if ufunc is np.maximum else slices.argmin(axis, keepdims=True)
    # NumPy's argmax takes its time over any axis but the last.
    found = (slices == ufunc.reduce(slices, axis=axis, keepdims=True)) | (slices != slices)
    size = slices.shape[axis]
    countdown = np.arange(size, 0, -1, dtype=np.int32).reshape([-1 if d == axis else 1 for d in range(slices.ndim)])
    return (size - (found * countdown).max(axis, keepdims=True)).astype(np.int64)


def _first_extreme_terms(k: Any, input: Any, largest: bool) -> tuple[Any, Any]:
    """The largest or smallest value of the row, nan if there is one, and the first place that has it."""
    value = _extreme_terms(k, input, largest)
    found = k.compare("eq", input, value)
    if input.type in FLOATS:
        found = k.apply("or", found, k.compare("ne", input, input))
    return value, k.convert(k.min(k.select(found, k.position(), _LAST)), "i64")


#: Places along a row are i32.
_LAST = (1 << 31) - 1


def _first_extreme_space(plan: Any) -> Space | None:
    (input,), dim = plan.operands, plan.params["dim"]
    if input.dtype is dt.bool_ or input.numel > _LAST:
        return None
    return row_space(input, range(input.ndim) if dim is None or not input.ndim else (dim,))


def _with_places(largest: bool, places_alone: bool = False) -> Loop:
    def terms(k: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
        found = _first_extreme_terms(k, input, largest)
        return found[1] if places_alone else found

    return Loop(terms, _first_extreme_space, otherwise=over_other_dims(terms, False, lambda plan: plan.operands[0].dtype is not dt.bool_))


_max_dim = selection_card("max_dim", "MaxBackward0", lambda slices, axis: _first_extreme(slices, axis, np.maximum), lowering=_with_places(True))
_min_dim = selection_card("min_dim", "MinBackward0", lambda slices, axis: _first_extreme(slices, axis, np.minimum), lowering=_with_places(False))


def apply_selection(card: Card, result: Any, input: Tensor, dim: int, keepdim: bool, out: Any, *, extra: tuple[Any, ...] = (), function: str | None = None) -> Any:
    here = input._layout
    dim = wrap_dim(dim, here.ndim)
    refuse_empty_dim(f"{function or result.__name__}():", here.shape, dim)
    found = result(apply(card, (input,), (dim, bool(keepdim), *extra)))
    return found if out is None else write_out(out, found, exact=EXACT)


def _extremum(function: str, card: Card, over_all: Card, elementwise: Any, result: Any, input: Tensor, dim: Any, keepdim: bool, other: Any, out: Any) -> Any:
    here = as_tensor_argument(input, function)._layout
    if isinstance(dim, TensorBase):
        other, dim = dim, None
    if other is not None:
        return elementwise(input, other, out=out)
    if dim is None:
        refuse_complex(here, f"{function}_all")
        _refuse_empty_dims(function, here, (), False)
        found = apply(over_all, (input,))
        return found if out is None else write_out(out, found)
    if type(dim) is not int and not hasattr(dim, "__index__"):
        raise TypeError(
            f"{function}() received an invalid combination of arguments - got (Tensor, {type(dim).__name__}), but expected one of:\n"
            " * (Tensor input, *, Tensor out = None)\n * (Tensor input, Tensor other, *, Tensor out = None)\n * (Tensor input, int dim, bool keepdim = False, *, tuple of Tensors out = None)"
        )
    if here.dtype.is_complex:
        raise RuntimeError(f"{function}(): does not support complex input")
    return apply_selection(card, result, input, dim, keepdim, out)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None, **names: Any) -> Any:
    """The largest value; with `dim`, the largest along it and its index; with a second tensor, the larger of each pair.

    >>> torch.max(torch.tensor([[1, 4], [3, 2]]), 1)
    torch.return_types.max(
    values=tensor([4, 3]),
    indices=tensor([1, 0]))
    """
    if names:
        return by_numpy_names(max, locals())
    return _extremum("max", _max_dim, _max_all, maximum, return_types.max, input, dim, keepdim, other, out)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None, **names: Any) -> Any:
    """The smallest value; with `dim`, the smallest along it and its index; with a second tensor, the smaller of each pair.

    >>> torch.min(torch.tensor([3, 1, 2]))
    tensor(1)
    """
    if names:
        return by_numpy_names(min, locals())
    return _extremum("min", _min_dim, _min_all, minimum, return_types.min, input, dim, keepdim, other, out)


# Positions


def _position(name: str, ufunc: np.ufunc) -> Card:
    def rule(input: np.ndarray, dim: int | None, keepdim: bool) -> np.ndarray:
        shape = reduced_shape(input.shape, tuple(range(input.ndim)) if dim is None else (dim,), keepdim)
        values = with_a_dim(input)
        return (_first_extreme(values.reshape(-1), 0, ufunc) if dim is None else _first_extreme(values, dim, ufunc)).reshape(shape)

    return Card(
        name, "input",
        statics="dim keepdim",
        infer=lambda input, dim, keepdim: contiguous(reduced_shape(input.shape, tuple(range(input.ndim)) if dim is None else (dim,), keepdim), dt.int64),
        numpy=rule, lowering=_with_places(ufunc is np.maximum, places_alone=True),
    )  # fmt: skip


_argmax = _position("argmax", np.maximum)
_argmin = _position("argmin", np.minimum)


def _apply_position(card: Card, input: Tensor, dim: int | None, keepdim: bool, out: Tensor | None) -> Tensor:
    function = card.name
    here = as_tensor_argument(input, function)._layout
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"{function}(): argument 'dim' must be int, not {type(dim).__name__}")
    if dim is None:
        if here.numel == 0:
            raise IndexError(f"{function}(): Expected reduction dim to be specified for input.numel() == 0.")
    else:
        dim = wrap_dim(dim, here.ndim)
        refuse_empty_dim(f"{function}():", here.shape, dim)
    if here.dtype.category in (dt.BOOL, dt.COMPLEX):
        raise RuntimeError(f"{function}(): does not support {'bool' if here.dtype is dt.bool_ else 'complex'} input")
    found = apply(card, (input,), (dim, bool(keepdim)))
    return found if out is None else write_out(out, found, exact=EXACT)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The index of the first largest value along `dim`, or in the flattened tensor.

    >>> torch.argmax(torch.tensor([[1, 4], [3, 2]]), 1)
    tensor([1, 0])
    """
    if names:
        return by_numpy_names(argmax, locals())
    return _apply_position(_argmax, input, dim, keepdim, out)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The index of the first smallest value along `dim`, or in the flattened tensor.

    >>> torch.argmin(torch.tensor([3, 1, 2]))
    tensor(1)
    """
    if names:
        return by_numpy_names(argmin, locals())
    return _apply_position(_argmin, input, dim, keepdim, out)


# Of each pair


def _refuse_complex_pairs(function: str) -> Any:
    def result(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        if common.is_complex:
            raise RuntimeError(f"{function} not implemented for complex tensors.")
        return common, common

    return result


Beats = Callable[[Any, Any], Any]
Grads = dict[str, Callable[..., Any]]


def _ties_share(loses: Beats) -> Grads:
    """The larger (or smaller) of a pair takes the gradient; equal ones take half each."""

    def share(g: Tensor, mine: Tensor, yours: Tensor) -> Tensor:
        return where(mine == yours, g / 2, g).masked_fill(loses(mine, yours), 0)

    return {"input": lambda g, input, other: share(g, input, other), "other": lambda g, input, other: share(g, other, input)}


def _first_takes_ties(wins: Beats) -> Grads:
    def input_wins(input: Tensor, other: Tensor) -> Tensor:
        return wins(input, other) | other.isnan()

    return {
        "input": lambda g, input, other: g.masked_fill(~input_wins(input, other), 0),
        "other": lambda g, input, other: g.masked_fill(input_wins(input, other), 0),
    }


def _pair_terms(name: str) -> Loop:
    op = "maximum" if name.endswith("max") or name == "maximum" else "minimum"

    def terms(k: Any, input: Any, other: Any) -> Any:
        found = k.apply(op, input, other)
        if name == op or input.type not in FLOATS:
            return found
        return k.select(k.compare("ne", other, other), input, k.select(k.compare("ne", input, input), other, found))

    return Loop(terms)


def _pairwise(name: str, ufunc: np.ufunc, grads: Grads, summary: str, example: str) -> Any:
    card = Pointwise(name, "input other", numpy=ufunc, result=_refuse_complex_pairs(name), grads=grads, lowering=_pair_terms(name))

    def op(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
        as_tensor_argument(input, name)
        as_tensor_argument(other, name, "other", 2)
        found = apply(card, (input, other))
        return found if out is None else write_out(out, found, input, other)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{summary}\n\n    >>> torch.{name}(torch.tensor([1., 4.]), torch.tensor([3., 2.]))\n    tensor([{example}])\n    "
    return op


maximum = _pairwise("maximum", np.maximum, _ties_share(lambda a, b: a < b), "The larger of each pair, nan if either is.", "3., 4.")
minimum = _pairwise("minimum", np.minimum, _ties_share(lambda a, b: a > b), "The smaller of each pair, nan if either is.", "1., 2.")
fmax = _pairwise("fmax", np.fmax, _first_takes_ties(lambda a, b: a >= b), "The larger of each pair; a nan gives way to a number.", "3., 4.")
fmin = _pairwise("fmin", np.fmin, _first_takes_ties(lambda a, b: a <= b), "The smaller of each pair; a nan gives way to a number.", "1., 2.")
