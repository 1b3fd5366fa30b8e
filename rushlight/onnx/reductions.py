"""ONNX nodes of reductions, softmax, sorting and products of matrices."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..dtypes import FLOAT, INTEGER, bool_, int64
from .builders import card
from .errors import UnsupportedOperatorError
from .graph import Graph
from .trace import Op, Value, Varying

#: The opset from which each reduction takes its axes as an input.
_AXES_INPUT_SINCE = {"ReduceSum": 13}


def reduce(g: Graph, op_type: str, name: str, dims: Any, keepdim: bool) -> str:
    """A Reduce node over `dims`, all of them when None."""
    axes = None if dims is None else [int(d) for d in ((dims,) if isinstance(dims, int) else dims)]
    if axes is None:
        return g.node(op_type, name, keepdims=int(keepdim))
    if not axes:
        return g.node("Identity", name)
    if g.opset >= _AXES_INPUT_SINCE.get(op_type, 18):
        return g.node(op_type, name, g.integers(*axes), keepdims=int(keepdim))
    return g.node(op_type, name, axes=axes, keepdims=int(keepdim))


_REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "amax": "ReduceMax", "amin": "ReduceMin"}


@card(*_REDUCTIONS, "sum_all", "mean_all", "prod_all")
def _reduction(g: Graph, op: Op) -> str:
    source = g.read_as(op.inputs[0], op.outputs[0].dtype)
    return reduce(g, _REDUCTIONS[op.name.removesuffix("_all")], source, op.params["dims"], op.params["keepdim"])


@card("mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits")
def _elementwise_loss(g: Graph, op: Op) -> str:
    values, reduction = _LOSSES[op.name](g, op, *map(g.read, op.inputs[:2])), op.params["reduction"]
    return values if reduction == "none" else reduce(g, "ReduceMean" if reduction == "mean" else "ReduceSum", values, None, False)


def _mse(g: Graph, op: Op, input: str, target: str) -> str:
    error = g.node("Sub", input, target)
    return g.node("Mul", error, error)


def _huber(g: Graph, op: Op, input: str, target: str) -> str:
    """``near * (error - near / 2)`` with ``near = min(error, bound)``, which `smooth_l1_loss` divides by the bound."""
    bound = g.number(float(op.inputs[2]), op.outputs[0].dtype)
    error = g.node("Abs", g.node("Sub", input, target))
    near = g.node("Min", error, bound)
    half = g.node("Mul", near, g.number(0.5, op.outputs[0].dtype))
    value = g.node("Mul", near, g.node("Sub", error, half))
    return g.node("Div", value, bound) if op.name == "smooth_l1_loss" else value


def _with_logits(g: Graph, op: Op, input: str, target: str) -> str:
    return g.node("Sub", g.node("Softplus", input), g.node("Mul", input, target))


_LOSSES = {
    "mse_loss": _mse,
    "smooth_l1_loss": _huber,
    "huber_loss": _huber,
    "binary_cross_entropy_with_logits": _with_logits,
}


@card("logsumexp")
def _logsumexp(g: Graph, op: Op) -> str:
    return reduce(g, "ReduceLogSumExp", g.read(op.inputs[0]), op.params["dims"], op.params["keepdim"])


@card("vector_norm")
def _vector_norm(g: Graph, op: Op) -> str:
    order, dims, keepdim = op.params["ord"], op.params["dims"], op.params["keepdim"]
    dtype = op.outputs[0].dtype
    source = g.read_as(op.inputs[0], dtype)
    if order in (1, 2):
        return reduce(g, f"ReduceL{int(order)}", source, dims, keepdim)
    size = g.node("Abs", source)
    if order in (float("inf"), float("-inf")):
        return reduce(g, "ReduceMax" if order > 0 else "ReduceMin", size, dims, keepdim)
    total = reduce(g, "ReduceSum", g.node("Pow", size, g.number(float(order), dtype)), dims, keepdim)
    return g.node("Pow", total, g.number(1 / order, dtype))


@card("any", "all")
def _any_all(g: Graph, op: Op) -> str:
    truth = g.read(op.inputs[0])
    flags = g.cast(g.cast(truth, bool_), int64)
    found = reduce(g, "ReduceMax" if op.name == "any" else "ReduceMin", flags, op.params["dims"], op.params["keepdim"])
    return g.cast(found, op.outputs[0].dtype)


@card("count_nonzero")
def _count_nonzero(g: Graph, op: Op) -> str:
    flags = g.cast(g.cast(g.read(op.inputs[0]), bool_), int64)
    return reduce(g, "ReduceSum", flags, op.params["dims"], False)


@card("argmax", "argmin")
def _arg(g: Graph, op: Op) -> str:
    source, dim, keepdim = g.read(op.inputs[0]), op.params["dim"], int(op.params["keepdim"])
    op_type = "ArgMax" if op.name == "argmax" else "ArgMin"
    if dim is None:
        flat = g.node("Reshape", source, g.integers(-1))
        found = g.node(op_type, flat, axis=0, keepdims=0)
        return g.node("Reshape", found, g.integers(*[1] * len(op.outputs[0].shape))) if keepdim else found
    return g.node(op_type, source, axis=dim, keepdims=keepdim)


@card("max_dim", "min_dim")
def _extreme(g: Graph, op: Op) -> tuple[str, str]:
    source, dim, keepdim = g.read(op.inputs[0]), op.params["dim"], op.params["keepdim"]
    high = op.name == "max_dim"
    value = reduce(g, "ReduceMax" if high else "ReduceMin", source, dim, keepdim)
    return value, g.node("ArgMax" if high else "ArgMin", source, axis=dim, keepdims=int(keepdim))


@card("max_all", "min_all")
def _extreme_of_all(g: Graph, op: Op) -> str:
    return reduce(g, "ReduceMax" if op.name == "max_all" else "ReduceMin", g.read(op.inputs[0]), None, False)


@card("var", "std", "var_mean", "std_mean")
def _spread(g: Graph, op: Op) -> Any:
    """The mean of squared deviations, with Bessel's or another correction."""
    dtype, dims, keepdim = op.outputs[0].dtype, op.params["dims"], op.params["keepdim"]
    source = g.read_as(op.inputs[0], dtype)
    sizes = [op.inputs[0].shape[d] for d in dims]
    if any(isinstance(size, Varying) for size in sizes):
        values = g.node("Squeeze", functools.reduce(lambda a, b: g.node("Mul", a, b), map(g.size, sizes)), g.integers(0))
        count = g.node("Sub", g.cast(values, dtype), g.number(op.params["correction"], dtype))
    else:
        count = g.number(math.prod(sizes) - op.params["correction"], dtype)
    apart = g.node("Sub", source, reduce(g, "ReduceMean", source, dims, True))
    total = reduce(g, "ReduceSum", g.node("Mul", apart, apart), dims, keepdim)
    found = g.node("Div", total, count)
    if op.name.startswith("std"):
        found = g.node("Sqrt", found)
    return (found, reduce(g, "ReduceMean", source, dims, keepdim)) if op.name.endswith("_mean") else found


@card("cumsum")
def _cumsum(g: Graph, op: Op) -> str:
    return g.node("CumSum", g.read_as(op.inputs[0], op.outputs[0].dtype), g.constant(op.params["dim"], np.int64))


@card("cumprod")
def _cumprod(g: Graph, op: Op) -> str:
    """ONNX has running sums only: of logarithms, and of how many factors are negative."""
    dtype = op.outputs[0].dtype
    if dtype.category != FLOAT:
        raise UnsupportedOperatorError(op.name, g.opset, "running products are of floats only")
    source, axis = g.read_as(op.inputs[0], dtype), g.constant(op.params["dim"], np.int64)
    size = g.node("Exp", g.node("CumSum", g.node("Log", g.node("Abs", source)), axis))
    negative = g.node("CumSum", g.cast(g.node("Less", source, g.number(0, dtype)), int64), axis)
    is_odd = g.cast(g.node("Mod", negative, g.constant(2, np.int64)), bool_)
    return g.node("Where", is_odd, g.node("Neg", size), size)


@card("median_dim", "kthvalue")
def _in_the_order(g: Graph, op: Op) -> tuple[str, str]:
    """The last of the k smallest values along a dim, and its place."""
    source, dim, keepdim = op.inputs[0], op.params["dim"], op.params["keepdim"]
    count = op.params["k"] if op.name == "kthvalue" else (g.static(source.shape[dim], "the size of a median's dim") + 1) // 2
    both = g.node("TopK", g.read(source), g.integers(count), axis=dim, largest=0, sorted=1, outputs=2)
    place = g.constant(count - 1 if not keepdim else [count - 1], np.int64)
    values, places = (g.node("Gather", name, place, axis=dim) for name in both)
    return values, places


@card("searchsorted")
def _searchsorted(g: Graph, op: Op) -> str:
    """How many values of the sequence are less (or not more) than each value."""
    sequence, input, *sorter = op.inputs
    if sorter or not isinstance(input, Value):
        raise UnsupportedOperatorError(op.name, g.opset, "only values that are tensors, in sequences that are in order")
    values = g.node("Unsqueeze", g.read(input), g.integers(-1))
    places = g.read_as(sequence, input.dtype)
    if len(sequence.shape) > 1:
        places = g.node("Unsqueeze", places, g.integers(-2))
    before = g.node("LessOrEqual" if op.params["right"] else "Less", places, values)
    return g.cast(reduce(g, "ReduceSum", g.cast(before, int64), -1, False), op.outputs[0].dtype)


@card("euclidean_distances")
def _distances(g: Graph, op: Op) -> str:
    left, right = map(g.read, op.inputs)
    apart = g.node("Sub", g.node("Unsqueeze", left, g.integers(-2)), g.node("Unsqueeze", right, g.integers(-3)))
    return reduce(g, "ReduceL2", apart, [len(op.outputs[0].shape)], False)


@card("linalg_cross")
def _cross(g: Graph, op: Op) -> str:
    axis, names = op.params["axis"] - len(op.outputs[0].shape), [g.read(value) for value in op.inputs]
    (left, right), (left_on, right_on) = (
        [g.node("Gather", name, g.integers(*order), axis=axis) for name in names] for order in ((1, 2, 0), (2, 0, 1))
    )
    return g.node("Sub", g.node("Mul", left, right_on), g.node("Mul", left_on, right))


@card("cross_entropy", "nll_loss")
def _class_loss(g: Graph, op: Op) -> str:
    input, target, *weight = op.inputs
    if target.dtype.category != INTEGER or len(input.shape) < 2 or op.params.get("label_smoothing", 0):
        raise UnsupportedOperatorError(op.name, g.opset, "only classes as targets, of a batch, without smoothing")
    op_type = "SoftmaxCrossEntropyLoss" if op.name == "cross_entropy" else "NegativeLogLikelihoodLoss"
    weights = [g.read(w) for w in weight if isinstance(w, Value)]
    options = {name: op.params[name] for name in ("ignore_index", "reduction")}
    return g.node(op_type, g.read(input), g.read_as(target, int64), *weights, **options)


@card("topk")
def _topk(g: Graph, op: Op) -> Any:
    source, count = g.read(op.inputs[0]), g.size(op.params["k"])
    return g.node("TopK", source, count, axis=op.params["dim"], largest=int(op.params["largest"]), sorted=1, outputs=2)


@card("sort")
def _sort(g: Graph, op: Op) -> Any:
    dim = op.params["dim"]
    count = g.size(op.inputs[0].shape[dim])
    return g.node(
        "TopK", g.read(op.inputs[0]), count, axis=dim, largest=int(op.params["descending"]), sorted=1, outputs=2
    )


@card("softmax", "log_softmax")
def _softmax(g: Graph, op: Op) -> str:
    source = g.read_as(op.inputs[0], op.outputs[0].dtype)
    dim, rank = op.params["dim"], len(op.inputs[0].shape)
    op_type = "Softmax" if op.name == "softmax" else "LogSoftmax"
    if g.opset >= 13 or dim == rank - 1:
        return g.node(op_type, source, axis=dim)
    # Before opset 13, softmax ran over all dims from the axis on.
    swapped = [rank - 1 if d == dim else dim if d == rank - 1 else d for d in range(rank)]
    found = g.node(op_type, g.node("Transpose", source, perm=swapped), axis=rank - 1)
    return g.node("Transpose", found, perm=swapped)


@card("mm", "bmm", "dot", "mv")
def _matmul(g: Graph, op: Op) -> str:
    return g.node("MatMul", *(g.read(t) for t in op.inputs))


@card("linear")
def _linear(g: Graph, op: Op) -> str:
    input, weight, *bias = op.inputs
    if len(op.inputs[0].shape) == 2 and len(op.inputs[1].shape) == 2:
        return g.node("Gemm", g.read(input), g.read(weight), *(g.read(b) for b in bias), transB=1)
    turned = g.read(weight)
    if len(op.inputs[1].shape) == 2:
        turned = g.node("Transpose", turned, perm=[1, 0])
    product = g.node("MatMul", g.read(input), turned)
    return g.node("Add", product, g.read(bias[0])) if bias else product


@card("addmm")
def _addmm(g: Graph, op: Op) -> str:
    input, first, second = (g.read(t) for t in op.inputs)
    return g.node("Gemm", first, second, input, alpha=float(op.params["alpha"]), beta=float(op.params["beta"]))
