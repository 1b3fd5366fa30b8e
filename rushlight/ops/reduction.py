"""Sums, products, means, variances and truth over dims."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine.kernel import Lowered
from ..engine.lowering import AS_FLOAT, LOOPED, ROW_BLOCK, Calls, Column, Loop, Space
from ..engine.terms import FLOATS
from ..errors import sizes
from ..grad_mode import grad_state
from ..shape import Layout, Shape, as_one_dim, can_broadcast_to, contiguous, wrap_dims
from ..storage import TensorBase
from .card import Card, apply
from .combine import cat
from .define import NO_DIM, as_tensor_argument, by_numpy_names, call_again, titled, wants_to_be_asked, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor


def reduced_shape(shape: Shape, dims: Shape, keepdim: bool) -> Shape:
    """The shape after reducing `dims` (non-negative)."""
    return tuple(1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims)


def keep_dims(grad: Tensor, layouts: Sequence[Any], dims: Shape, keepdim: bool) -> Tensor:
    """A result (or gradient) of a reduction with the reduced dims back as dims of size one."""
    return grad if keepdim else grad.reshape(reduced_shape(layouts[0].shape, dims, True))


def reduction_dims(dim: int | Sequence[int] | None, ndim: int) -> Shape:
    """The dims to reduce, non-negative; all of them for None or an empty sequence."""
    if ndim > 64:
        raise RuntimeError("only tensors with up to 64 dims are supported")
    return wrap_dims(dim, ndim)


def reduced_count(shape: Shape, dims: Shape) -> int:
    """How many elements go into one."""
    count = 1
    for d in dims:
        count *= shape[d]
    return count


def widened(array: np.ndarray) -> np.ndarray:
    """Half precision as float32, in which NumPy is quicker and rounds once; anything else as it is."""
    return array.astype(np.float32) if array.dtype.itemsize <= 2 and array.dtype.kind not in "biu" else array


def accumulation_dtype(dtype: dt.dtype) -> Any:
    """The NumPy dtype in which to add up values of `dtype`."""
    return np.float32 if dtype in dt.LOW_PRECISION else dtype.numpy


def sum_dtype(here: dt.dtype) -> dt.dtype:
    """The dtype of a sum or product: int64 for integers and bools."""
    return here if here.category >= dt.FLOAT else dt.int64


def _infer(input: Layout, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Layout:
    return contiguous(reduced_shape(input.shape, dims, keepdim), dtype)


def row_space(input: Layout, dims: Sequence[int]) -> Space | None:
    """What a reduction loops over: the last dims as rows, or everything; None for other dims."""
    count, ndim = len(dims), input.ndim
    if count == ndim:
        return Space(input.shape, 0, input.numel > ROW_BLOCK)
    return Space(input.shape, ndim - count) if dims and sorted(dims) == list(range(ndim - count, ndim)) else None


def over_rows(body: Callable[..., Any], floats: bool = True) -> Loop:
    """The native form of a reduction of one operand over `dims`, of floats or of anything."""

    def space(plan: Any) -> Space | None:
        (input,) = plan.operands
        return row_space(input, plan.params["dims"]) if input.dtype in LOOPED or not floats else None

    return Loop(body, space, otherwise=over_other_dims(body, floats))


def over_other_dims(body: Callable[..., Any], floats: bool = True, fits: Callable[[Any], bool] | None = None) -> Calls:
    """The native form of a reduction over dims that are not the last ones, of the plans that fit."""

    def make(plan: Any) -> Lowered | None:
        from ..engine import across

        return across.reduction(plan, body, floats) if fits is None or fits(plan) else None

    return Calls(make, half=AS_FLOAT)


def _space(plan: Any) -> Space | None:
    """The last dims as rows, or the first ones, over whose rows is summed."""
    (input,), dims = plan.operands, plan.params["dims"]
    if not _keeps_dtype(plan):
        return None
    count = len(dims)
    leading = dims and sorted(dims) == list(range(count)) and as_one_dim(input.shape[:count], input.stride[:count])
    rows = leading and as_one_dim(input.shape[count:], input.stride[count:])
    return row_space(input, dims) or (Space(input.shape, count) if rows and rows[1] in (0, 1, 2) else None)


def _sum_terms(k: Any, input: Any, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    if input.type not in FLOATS:
        input = k.convert(input, "i64")
    last = not dims or len(k.space.shape) - 1 in dims
    return k.sum(input) if last else Column(input)


def _keeps_dtype(plan: Any) -> bool:
    """Whether a sum has the dtype that it has of itself."""
    (input,) = plan.operands
    return plan.outs[0].dtype is (input.dtype if input.dtype in LOOPED else dt.int64)


def _sum_across_terms(k: Any, input: Any, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    return k.sum(input if input.type in FLOATS else k.convert(input, "i64"))


def _mean_terms(k: Any, input: Any, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    return k.sum(input) / float(reduced_count(k.space.shape, dims))


def _mean_space(plan: Any) -> Space | None:
    (input,), dims = plan.operands, plan.params["dims"]
    return _space(plan) if input.dtype in LOOPED and (not dims or input.ndim - 1 in dims) else None


def refuse_under_grad(input: Tensor, dtype: dt.dtype) -> None:
    """Values that are summed as integers have no gradient, which PyTorch refuses rather than forgets."""
    if input.requires_grad and grad_state.enabled:
        raise RuntimeError(f"Autograd not support dtype: {dtype.type_name}")


class _Reduction:
    """A card for the whole tensor and one for given dims: PyTorch has a node of its own for each."""

    def __init__(self, name: str, rule: Callable[..., Any], grad: Callable[..., Any], onnx: str | None = None, lowering: Loop | None = None) -> None:
        title = name.capitalize()
        self.over_all = Card(f"{name}_all", "input", statics="dims keepdim dtype", infer=_infer, numpy=rule, grads={"input": grad}, node_name=f"{title}Backward0", lowering=lowering)
        self.over_dims = Card(name, "input", statics="dims keepdim dtype", infer=_infer, numpy=rule, grads={"input": grad}, node_name=f"{title}Backward1", onnx=onnx, lowering=lowering)

    def __call__(self, input: Tensor, dim: Any, keepdim: bool, dtype: dt.dtype, out: Tensor | None) -> Tensor:
        if dtype.category < dt.FLOAT:
            refuse_under_grad(input, dtype)
        card = self.over_all if dim is None else self.over_dims
        found = apply(card, (input,), (reduction_dims(dim, input._layout.ndim), bool(keepdim), dtype))
        return found if out is None else write_out(out, found)


_sum = _Reduction(
    "sum",
    lambda input, dims, keepdim, dtype: np.sum(input, axis=dims, keepdims=keepdim, dtype=accumulation_dtype(dtype)),
    lambda g, layouts, dims, keepdim: keep_dims(g, layouts, dims, keepdim).expand(layouts[0].shape),
    onnx="ReduceSum", lowering=Loop(_sum_terms, _space, otherwise=over_other_dims(_sum_across_terms, False, _keeps_dtype)),
)  # fmt: skip


def sum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The sum over `dim`, or over everything. Integers and bools sum to int64.

    >>> torch.sum(torch.tensor([[1, 2], [3, 4]]), 0)
    tensor([4, 6])
    """
    if names:
        return by_numpy_names(sum, locals())
    if not isinstance(input, TensorBase):
        if wants_to_be_asked(input):
            return call_again(sum, input, dim, keepdim, dtype=dtype, out=out)
        as_tensor_argument(input, "sum")
    return _sum(input, dim, keepdim, dtype or (out._layout.dtype if out is not None else sum_dtype(input._layout.dtype)), out)


def _mean_rule(input: np.ndarray, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    total = np.sum(input, axis=dims, keepdims=keepdim, dtype=accumulation_dtype(dtype))
    return np.true_divide(total, total.dtype.type(reduced_count(input.shape, dims)))


_mean = _Reduction(
    "mean",
    _mean_rule,
    lambda g, layouts, dims, keepdim: keep_dims(g, layouts, dims, keepdim).expand(layouts[0].shape) / (reduced_count(layouts[0].shape, dims) or 1),
    onnx="ReduceMean",
    lowering=Loop(_mean_terms, _mean_space, otherwise=over_other_dims(_mean_terms, fits=_keeps_dtype)),
)  # fmt: skip


def mean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The mean over `dim`, or over everything. Integers are refused unless a float `dtype` is given.

    >>> torch.mean(torch.tensor([1., 2., 4., 5.]))
    tensor(3.)
    """
    if names:
        return by_numpy_names(mean, locals())
    if not isinstance(input, TensorBase):
        if wants_to_be_asked(input):
            return call_again(mean, input, dim, keepdim, dtype=dtype, out=out)
        as_tensor_argument(input, "mean")
    wanted = dtype or input._layout.dtype
    if wanted.category < dt.FLOAT:
        which = "Optional" if dtype else "Input"
        raise RuntimeError(f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. Got: {wanted.type_name}")
    return _mean(input, dim, keepdim, wanted, out)


def _prod_gradient(g: Tensor, input: Tensor, layouts: Sequence[Layout], dims: Shape, keepdim: bool) -> Tensor:
    """Each element's is the product of the others, from both sides, so that zeros need no division."""
    shape = layouts[0].shape
    if not shape:
        return g
    if len(dims) > 1:
        return _prod_gradient(g.reshape(1), input.reshape(-1), [contiguous((layouts[0].numel,), layouts[0].dtype)], (0,), True).reshape(shape)
    (dim,) = dims
    if shape[dim] == 0:
        return input.new_zeros(shape)
    rows = input.to(g.dtype)
    one = rows.narrow(dim, 0, 1) * 0 + 1
    before = cat((one, rows.narrow(dim, 0, shape[dim] - 1)), dim).cumprod(dim)
    after = cat((one, rows.narrow(dim, 1, shape[dim] - 1).flip(dim)), dim).cumprod(dim).flip(dim)
    return keep_dims(g, layouts, dims, keepdim) * (before * after).conj()


def _prod_terms(k: Any, input: Any, dims: Shape, keepdim: bool, dtype: dt.dtype) -> Any:
    return k.prod(input if input.type in FLOATS else k.convert(input, "i64"))


def _prod_space(plan: Any) -> Space | None:
    return row_space(plan.operands[0], plan.params["dims"]) if _keeps_dtype(plan) else None


_prod = _Reduction(
    "prod",
    lambda input, dims, keepdim, dtype: np.prod(input, axis=dims, keepdims=keepdim, dtype=accumulation_dtype(dtype)),
    _prod_gradient,
    onnx="ReduceProd", lowering=Loop(_prod_terms, _prod_space, otherwise=over_other_dims(_prod_terms, False, _keeps_dtype)),
)  # fmt: skip


@autocasts(SINGLE)
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The product over one `dim`, or over everything. Integers and bools multiply to int64.

    >>> torch.prod(torch.tensor([[1, 2], [3, 4]]), 1)
    tensor([ 2, 12])
    """
    if names:
        return by_numpy_names(prod, locals())
    here = as_tensor_argument(input, "prod")._layout
    if isinstance(dim, (tuple, list)):
        raise TypeError(
            f"prod() received an invalid combination of arguments - got (Tensor, {type(dim).__name__}), but expected one of:\n"
            " * (Tensor input, *, torch.dtype dtype = None)\n * (Tensor input, int dim, bool keepdim = False, *, torch.dtype dtype = None, Tensor out = None)"
        )
    return _prod(input, dim, keepdim, dtype or sum_dtype(here.dtype), out)


def nansum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The sum over `dim`, or over everything, with nan counted as zero.

    >>> torch.nansum(torch.tensor([1., float("nan"), 2.]))
    tensor(3.)
    """
    if names:
        return by_numpy_names(nansum, locals())
    here = as_tensor_argument(input, "nansum")._layout
    if here.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    if dtype is not None and dtype.is_complex:
        raise NotImplementedError(f"\"nansum_cpu\" not implemented for '{dtype.type_name}'")
    if here.dtype.is_floating_point:
        input = input.masked_fill(input.isnan(), 0)
    return titled(sum(input, dim, keepdim, dtype=dtype, out=out), "NansumBackward0")


def nanmean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The mean over `dim`, or over everything, of the values that are not nan.

    >>> torch.nanmean(torch.tensor([1., float("nan"), 2.]))
    tensor(1.5000)
    """
    if names:
        return by_numpy_names(nanmean, locals())
    here = as_tensor_argument(input, "nanmean")._layout
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {here.dtype.type_name}")
    present = sum(~input.detach().isnan(), dim, keepdim)
    found = nansum(input, dim, keepdim, dtype=dtype) / present
    return found if out is None else write_out(out, found)


# Variance and standard deviation


def _infer_var(input: Layout, dims: Shape, keepdim: bool, correction: float) -> Layout:
    return contiguous(reduced_shape(input.shape, dims, keepdim), input.dtype.to_real())


def _var_rule(input: np.ndarray, dims: Shape, keepdim: bool, correction: float) -> Any:
    values = widened(input)
    centred = values - np.mean(values, axis=dims, keepdims=True, dtype=values.dtype)
    squares = np.square(centred, out=centred) if centred.ndim and centred.dtype.kind == "f" else np.square(np.abs(centred))
    return np.sum(squares, axis=dims, keepdims=keepdim) / squares.dtype.type(np.maximum(0.0, reduced_count(input.shape, dims) - correction))


def _var_gradient(g: Tensor, input: Tensor, layouts: Sequence[Layout], dims: Shape, keepdim: bool, correction: float) -> Tensor:
    with np.errstate(all="ignore"):
        scale = float(np.float64(2) / np.float64(reduced_count(layouts[0].shape, dims) - correction))
    return scale * keep_dims(g, layouts, dims, keepdim) * (input - mean(input, dims, True))


def _std_gradient(g: Tensor, input: Tensor, output: Tensor, layouts: Sequence[Layout], dims: Shape, keepdim: bool, correction: float) -> Tensor:
    return _var_gradient((g / (output * 2)).masked_fill(output == 0, 0), input, layouts, dims, keepdim, correction)


def _var_and_mean_terms(k: Any, input: Any, dims: Shape, correction: float) -> tuple[Any, Any]:
    count = reduced_count(k.space.shape, dims)
    average = k.sum(input) / float(count)
    centred = input - average
    return k.sum(centred * centred) / float(max(0.0, count - correction)), average


def _var_terms(k: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
    return _var_and_mean_terms(k, input, dims, correction)[0]


def _std_terms(k: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
    return k.sqrt(_var_terms(k, input, dims, keepdim, correction))


_SPREAD_STATICS = "dims keepdim correction"
_var = Card("var", "input", statics=_SPREAD_STATICS, infer=_infer_var, numpy=_var_rule, grads={"input": _var_gradient}, lowering=over_rows(_var_terms))
_std = Card("std", "input", statics=_SPREAD_STATICS, infer=_infer_var, numpy=lambda input, **statics: np.sqrt(_var_rule(input, **statics)), grads={"input": _std_gradient}, lowering=over_rows(_std_terms))


def _with_mean(name: str, spread: Card, node_name: str, spread_gradient: Callable[..., Tensor]) -> Card:
    def gradient(g: Any, input: Tensor, spread: Tensor, layouts: Sequence[Layout], dims: Shape, keepdim: bool, correction: float) -> Tensor:
        parts = []
        if g[0] is not None:
            parts.append(spread_gradient(g[0], input, spread, layouts, dims, keepdim, correction))
        if g[1] is not None:
            parts.append(keep_dims(g[1], layouts, dims, keepdim).expand(layouts[0].shape) / (reduced_count(layouts[0].shape, dims) or 1))
        return parts[0] + parts[1] if len(parts) == 2 else parts[0]

    def terms(k: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> tuple[Any, Any]:
        variance, average = _var_and_mean_terms(k, input, dims, correction)
        return (variance if spread is _var else k.sqrt(variance)), average

    return Card(
        name, "input",
        statics=_SPREAD_STATICS, outputs="spread mean",
        infer=lambda input, dims, keepdim, correction: (_infer_var(input, dims, keepdim, correction), contiguous(reduced_shape(input.shape, dims, keepdim), input.dtype)),
        numpy=lambda input, dims, keepdim, correction: (spread.numpy(input, dims=dims, keepdim=keepdim, correction=correction), np.mean(widened(input), axis=dims, keepdims=keepdim)),
        grads={"input": gradient}, node_name=node_name, lowering=over_rows(terms),
    )  # fmt: skip


_var_mean = _with_mean("var_mean", _var, "VarMeanBackward0", lambda g, input, spread, *rest: _var_gradient(g, input, *rest))
_std_mean = _with_mean("std_mean", _std, "StdMeanBackward0", _std_gradient)


def _spread(card: Card, input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: Any, given: bool) -> Any:
    """Apply a card of the variance family to the arguments of any of its three overloads."""
    function = card.name
    here = as_tensor_argument(input, function)._layout
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if isinstance(dim, float) or (given and unbiased is not None):
        arguments = f"correction={type(correction).__name__}, unbiased=bool" if given else type(dim).__name__
        raise TypeError(
            f"{function}() received an invalid combination of arguments - got (Tensor, {arguments}), but expected one of:\n * (Tensor input, tuple of ints dim, bool unbiased = True, bool keepdim = False)\n"
            " * (Tensor input, tuple of ints dim = None, *, Number correction = None, bool keepdim = False)\n * (Tensor input, bool unbiased = True)"
        )
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(f"{function if card in (_std_mean, _var_mean) else 'std and var'} only support floating point and complex dtypes")
    if unbiased is not None:
        correction = int(unbiased)
    elif correction is None:
        correction = 1
    dims = reduction_dims(dim, here.ndim)
    if reduced_count(here.shape, dims) - correction <= 0:
        warnings.warn(
            f"{function}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by output numel).",
            stacklevel=3,
        )
    return apply(card, (input,), (dims, bool(keepdim), correction))


_GIVEN_NOTHING: Any = object()


def _spread_function(card: Card, what: str, example: str) -> Any:
    def op(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = _GIVEN_NOTHING, out: Any = None, **names: Any) -> Any:
        if names:
            return by_numpy_names(op, {"input": input, "dim": dim, "unbiased": unbiased, "keepdim": keepdim, "correction": correction, "out": out, "names": names})
        given = correction is not _GIVEN_NOTHING
        found = _spread(card, input, dim, unbiased, keepdim, correction if given else None, given)
        return found if out is None else write_out(out, found)

    op.__name__ = op.__qualname__ = card.name
    op.__doc__ = f"""{what} over `dim`, or over everything, dividing by the count less `correction` (1 by default).

    >>> torch.{card.name}(torch.tensor([1., 2., 4., 5.]))
    {example}
    """
    return op


var = _spread_function(_var, "The variance", "tensor(3.3333)")
std = _spread_function(_std, "The standard deviation", "tensor(1.8257)")
var_mean = _spread_function(_var_mean, "The variance and the mean", "(tensor(3.3333), tensor(3.))")
std_mean = _spread_function(_std_mean, "The standard deviation and the mean", "(tensor(1.8257), tensor(3.))")


# Exponentials


def _logsumexp_rule(input: np.ndarray, dims: Shape, keepdim: bool) -> Any:
    values = widened(input)
    if not reduced_count(values.shape, dims):
        return np.full(reduced_shape(values.shape, dims, keepdim), -np.inf, values.dtype)
    largest = np.max(values.real, axis=dims, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    found = np.log(np.sum(np.exp(values - largest), axis=dims, keepdims=True)) + largest
    return found.reshape(reduced_shape(values.shape, dims, keepdim))


def _logsumexp_terms(k: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
    largest = k.largest(input)
    largest = k.select(k.abs(largest) < math.inf, largest, 0)
    return k.log(k.sum(k.exp(input - largest))) + largest


_logsumexp = Card(
    "logsumexp", "input",
    statics="dims keepdim",
    infer=lambda input, dims, keepdim: contiguous(reduced_shape(input.shape, dims, keepdim), input.dtype),
    numpy=_logsumexp_rule, lowering=over_rows(_logsumexp_terms),
    grads={
        "input": lambda g, input, output, layouts, dims, keepdim: keep_dims(g, layouts, dims, keepdim) * (input - keep_dims(output, layouts, dims, keepdim)).exp().conj()
    },
    onnx="ReduceLogSumExp",
)  # fmt: skip


def logsumexp(input: Tensor, dim: int | Sequence[int] = NO_DIM, keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The logarithm of the sum of the exponentials over `dim`, without overflow.

    >>> torch.logsumexp(torch.tensor([100., 100.]), 0)
    tensor(100.6931)
    """
    if names:
        return by_numpy_names(logsumexp, locals())
    if dim is NO_DIM:
        raise TypeError('logsumexp() missing 1 required positional arguments: "dim"')
    here = as_tensor_argument(input, "logsumexp")._layout
    if here.dtype.category < dt.FLOAT:
        input = input.to(dt.get_default_dtype())
    found = apply(_logsumexp, (input,), (reduction_dims(dim, here.ndim), bool(keepdim)))
    return found if out is None else write_out(out, found)


# Truth


def _truth(name: str, function: Any) -> Card:
    def terms(k: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        true = k.convert(k.convert(input, "i1"), "i8")
        return k.convert(k.max(true) if function is np.any else k.min(true), "i1")

    return Card(
        name, "input",
        statics="dims keepdim",
        infer=lambda input, dims, keepdim: contiguous(reduced_shape(input.shape, dims, keepdim), dt.uint8 if input.dtype is dt.uint8 else dt.bool_),
        numpy=lambda input, dims, keepdim: function(widened(input), axis=dims, keepdims=keepdim),
        lowering=over_rows(terms, floats=False),
    )  # fmt: skip


_all = _truth("all", np.all)
_any = _truth("any", np.any)


def _apply_truth(card: Card, input: Tensor, dim: Any, keepdim: bool, out: Tensor | None) -> Tensor:
    ndim = as_tensor_argument(input, card.name)._layout.ndim
    # Unlike in other reductions, no dims means that nothing is reduced.
    dims = () if isinstance(dim, (tuple, list)) and not dim else reduction_dims(dim, ndim)
    if out is not None and out._layout.dtype not in (dt.bool_, dt.uint8):
        raise RuntimeError(f"{card.name} only supports bool tensor for result, got: {out._layout.dtype.type_name}")
    found = apply(card, (input,), (dims, bool(keepdim)))
    return found if out is None else write_out(out, found)


def all(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """Whether every element is nonzero, over `dim` or over everything.

    >>> torch.all(torch.tensor([[True, False], [True, True]]), 1)
    tensor([False,  True])
    """
    if names:
        return by_numpy_names(all, locals())
    return _apply_truth(_all, input, dim, keepdim, out)


def any(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """Whether some element is nonzero, over `dim` or over everything.

    >>> torch.any(torch.tensor([[True, False], [False, False]]), 1)
    tensor([ True, False])
    """
    if names:
        return by_numpy_names(any, locals())
    return _apply_truth(_any, input, dim, keepdim, out)


_count_nonzero = Card(
    "count_nonzero", "input",
    statics="dims",
    infer=lambda input, dims: contiguous(reduced_shape(input.shape, dims, False), dt.int64),
    numpy=lambda input, dims: np.count_nonzero(widened(input), axis=dims),
    lowering=over_rows(lambda k, input, dims: k.sum(k.convert(k.convert(input, "i1"), "i64")), floats=False),
)  # fmt: skip


def count_nonzero(input: Tensor, dim: int | Sequence[int] | None = None, **names: Any) -> Tensor:
    """How many elements are not zero, over `dim` or over everything.

    >>> torch.count_nonzero(torch.tensor([[0, 1], [2, 3]]), 0)
    tensor([1, 2])
    """
    if names:
        return by_numpy_names(count_nonzero, locals())
    return apply(_count_nonzero, (input,), (reduction_dims(dim, as_tensor_argument(input, "count_nonzero")._layout.ndim),))


is_expandable_to = can_broadcast_to


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """`input` summed over the dims that broadcasting from `size` would have made.

    >>> torch.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    shape = input._layout.shape
    wanted = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)
    if not can_broadcast_to(wanted, shape):
        raise RuntimeError(f"size {{{sizes(wanted)}}} is not expandable to size {{{sizes(shape)}}}.")
    lead = len(shape) - len(wanted)
    dims = tuple(range(lead)) + tuple(d + lead for d, n in enumerate(wanted) if n == 1 and shape[d + lead] != 1)
    if not wanted:
        return sum(input)
    if not dims:
        return input
    found = sum(input, dims, keepdim=True)
    return found.reshape(wanted) if lead else found
