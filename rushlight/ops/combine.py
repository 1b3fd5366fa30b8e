"""Several tensors into one, and choices between tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import library
from ..engine.lowering import AS_BITS, Calls, Loop, Space
from ..errors import sizes, type_name
from ..shape import Layout, broadcast_shapes, contiguous, layout, wrap_dim
from ..storage import TensorBase
from .card import Card, apply, pointwise_strides, write_into
from .define import alias, as_operand, as_tensor_argument, by_numpy_names, call_again, wants_to_be_asked, write_out
from .scalars import fitting

if TYPE_CHECKING:
    from ..tensor import Tensor


def _infer_cat(*tensors: Layout, dim: int) -> Layout:
    dtype = tensors[0].dtype
    for t in tensors[1:]:
        dtype = dt.promote_cached(dtype, t.dtype)
    real = [t for t in tensors if t.shape != (0,)]
    if not real:
        return contiguous((0,), dtype)
    first = real[0]
    total = 0
    for n, t in enumerate(real):
        if t.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {t.ndim}")
        for d in range(first.ndim):
            if d != dim and t.shape[d] != first.shape[d]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {first.shape[d]} but got size {t.shape[d]} for tensor number {n} in the list."
                )
        total += t.shape[dim]
    return contiguous((*first.shape[:dim], total, *first.shape[dim + 1 :]), dtype)


def _cat_rule(*tensors: np.ndarray, dim: int) -> np.ndarray:
    real = [t for t in tensors if t.shape != (0,)]
    return np.concatenate(real, dim) if real else tensors[0]


def _cat_backward(g: Tensor, layouts: Sequence[Layout], dim: int) -> list[Tensor]:
    lengths = [0 if t.shape == (0,) else t.shape[dim] for t in layouts]
    parts = g.split(lengths, dim) if g.dim() else ()
    return [p.reshape(t.shape) for p, t in zip(parts, layouts, strict=True)]


_cat = Card("cat", "tensors", statics="dim", infer=_infer_cat, numpy=_cat_rule, backward=_cat_backward, variadic=True, onnx="Concat", lowering=Calls(library.concatenation, exact=True, half=AS_BITS))


def tuple_of_tensors(tensors: Any, function: str) -> tuple[Tensor, ...]:
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type_name(tensors)}")
    for n, t in enumerate(tensors):
        if not isinstance(t, TensorBase):
            raise TypeError(f"expected Tensor as element {n} in argument 0, but got {type_name(t)}")
    return tuple(tensors)


def _write_joined(out: Any, found: Tensor, tensors: tuple[Tensor, ...]) -> Tensor:
    if isinstance(out, TensorBase) and out._layout.dtype.category < found._layout.dtype.category:
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {out._layout.dtype.type_name}")
    return write_out(out, found, *tensors, disjoint=True)


def _want_to_be_asked(tensors: Any) -> bool:
    """`wants_to_be_asked` of what was to be a sequence of tensors."""
    return any(map(wants_to_be_asked, tensors if isinstance(tensors, (tuple, list)) else (tensors,)))


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The tensors one after the other along `dim`; sizes must agree in all other dims.

    >>> torch.cat([torch.tensor([1]), torch.tensor([2, 3])])
    tensor([1, 2, 3])
    """
    if names:
        return by_numpy_names(cat, locals())
    try:
        tensors = tuple_of_tensors(tensors, "cat")
    except TypeError:
        if _want_to_be_asked(tensors):
            return call_again(cat, tensors, dim, out=out)
        raise
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for n, t in enumerate(tensors):
        if not t._layout.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {n}) cannot be concatenated")
    ndim = max(t._layout.ndim for t in tensors)
    found = apply(_cat, tensors, (wrap_dim(dim, ndim),))
    return found if out is None else _write_joined(out, found, tensors)


def _infer_stack(*tensors: Layout, dim: int) -> Layout:
    dtype = tensors[0].dtype
    for t in tensors[1:]:
        dtype = dt.promote_cached(dtype, t.dtype)
    shape = tensors[0].shape
    return contiguous((*shape[:dim], len(tensors), *shape[dim:]), dtype)


_stack = Card(
    "stack", "tensors",
    statics="dim",
    infer=_infer_stack, numpy=lambda *tensors, dim: np.stack(tensors, dim),
    backward=lambda g, dim: g.unbind(dim),
    variadic=True, lowering=Calls(library.concatenation, exact=True, half=AS_BITS),
)  # fmt: skip


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The tensors, all of one shape, side by side along a new `dim`.

    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    if names:
        return by_numpy_names(stack, locals())
    try:
        tensors = tuple_of_tensors(tensors, "stack")
    except TypeError:
        if _want_to_be_asked(tensors):
            return call_again(stack, tensors, dim, out=out)
        raise
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]._layout
    for n, t in enumerate(tensors):
        if t._layout.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {sizes(first.shape)} at entry 0 and {sizes(t._layout.shape)} at entry {n}")
    dim = wrap_dim(dim, first.ndim + 1)
    found = apply(_stack, tensors, (dim,))
    return found if out is None else _write_joined(out, found, tensors)


def _infer_where(condition: Layout, input: Any, other: Any) -> Layout:
    types = dt.PromotionState()
    layouts = [condition]
    for value in (input, other):
        if isinstance(value, Layout):
            types.add_tensor(value.dtype, value.ndim)
            layouts.append(value)
        else:
            types.add_number(type(value))
    shapes = [l.shape for l in layouts]
    shape = broadcast_shapes(*shapes)
    return layout(shape, pointwise_strides(shapes, [l.stride for l in layouts], shape), types.result())


def _where_backward(g: Tensor, condition: Tensor, needs: tuple[bool, ...]) -> list[Tensor | None]:
    return [None, where(condition, g, 0) if needs[1] else None, where(condition, 0, g) if needs[2] else None]


def _where_rule(condition: np.ndarray, input: Any, other: Any) -> np.ndarray:
    # NumPy has no promotion of bfloat16 with integers; float32 holds it exactly.
    input, other = (v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == dt.bfloat16.numpy else v for v in (input, other))
    return np.where(condition, input, other)


def _where_space(plan: Any) -> Space | None:
    condition, *others = plan.operands
    fits = condition.dtype is dt.bool_ and all(not isinstance(o, Layout) or o.dtype is plan.outs[0].dtype for o in others)
    return Space(plan.outs[0].shape) if fits else None


def _where_terms(k: Any, condition: Any, input: Any, other: Any) -> Any:
    (type,) = k.outputs
    return k.select(condition, k.convert(input, type), k.convert(other, type))


_where = Card(
    "where", "condition input other",
    infer=_infer_where, numpy=_where_rule, backward=_where_backward, lowering=Loop(_where_terms, _where_space),
    onnx="Where",
)  # fmt: skip


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None) -> Any:
    """`input` where `condition` holds, else `other`; with the condition alone, the indices at which it holds.

    >>> torch.where(torch.tensor([True, False]), torch.tensor([1, 2]), 0)
    tensor([1, 0])
    """
    as_tensor_argument(condition, "where", "condition")
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition._layout.dtype is not dt.bool_:
        if condition._layout.dtype is dt.uint8:
            import warnings

            warnings.warn("where received a uint8 condition tensor. This behavior is deprecated and will be removed in a future version of PyTorch. Use a boolean condition instead.", stacklevel=2)
            condition = condition != 0
        else:
            raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition._layout.dtype.type_name}")
    found = apply(_where, (condition, as_operand(input, "where", "input", 2), as_operand(other, "where", "other", 3)))
    return found if out is None else write_out(out, found, condition, input, other, exact="Expected out type to be {want} but got {have}")


def _fill_value(self: Tensor, value: Any, function: str) -> Any:
    """The number to fill with; a 0-dim tensor stays one."""
    if isinstance(value, TensorBase):
        if value._layout.ndim:
            raise RuntimeError(f"{function} only supports 0-dimension value tensor but got tensor with {value._layout.ndim} dimensions.")
        return value
    return fitting(as_operand(value, function, "value", 1), self._layout.dtype)


_fill = Card(
    "fill", "input value",
    infer=lambda input, value: input,
    numpy=lambda input, value: np.broadcast_to(np.asarray(value).astype(input.dtype), input.shape),
    lowering=Loop(lambda k, input, value: k.convert(value, input.type)),
    grads={"input": lambda g: g * 0, "value": lambda g: g.sum()},
)  # fmt: skip


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` filled with `value`, a number or a 0-dim tensor.

    >>> torch.fill(torch.zeros(2), 3)
    tensor([3., 3.])
    """
    return apply(_fill, (input, _fill_value(input, value, "fill")))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Fill `self` with `value`, a number or a 0-dim tensor.

    >>> torch.zeros(2).fill_(0.3)
    tensor([0.3000, 0.3000])
    """
    value = _fill_value(self, value, "fill_")
    if isinstance(value, TensorBase) and value._storage is self._storage:
        value = value.clone()  # type: ignore[attr-defined]
    return write_into(_fill, self, (self, value), may_overlap=True)


def zero_(self: Tensor) -> Tensor:
    """Fill `self` with zeros.

    >>> torch.ones(2).zero_()
    tensor([0., 0.])
    """
    return write_into(_fill, self, (self, 0), may_overlap=True)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """`self` where `condition` holds, else `other`.

    >>> torch.tensor([1, 2]).where(torch.tensor([True, False]), 0)
    tensor([1, 0])
    """
    return where(condition, self, other)


where_method.__name__ = "where"


concat, concatenate = alias(cat, "concat"), alias(cat, "concatenate")
