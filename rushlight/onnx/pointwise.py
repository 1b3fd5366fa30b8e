"""ONNX nodes of pointwise ops: a table where one node does, a short function where it takes several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import FLOAT, bool_
from .builders import argument, compute_dtype, pointwise
from .graph import Graph
from .trace import Op

#: Cards that are one node of the same meaning.
_ONE_NODE = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "clone": "Identity",
    "cos": "Cos",
    "cosh": "Cosh",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "isinf": "IsInf",
    "isnan": "IsNaN",
    "le": "LessOrEqual",
    "log": "Log",
    "lt": "Less",
    "maximum": "Max",
    "minimum": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}


def _one_node(op_type: str) -> Any:
    return lambda g, op, *operands: g.node(op_type, *operands)


for _name, _op_type in _ONE_NODE.items():
    pointwise(_name)(_one_node(_op_type))


def _scalar(g: Graph, op: Op, value: Any) -> str:
    return g.number(value, compute_dtype(op))


def _is_bool(op: Op) -> bool:
    return compute_dtype(op) is bool_


@pointwise("copy_into")
def _copy(g: Graph, op: Op, source: str) -> str:
    target = op.outputs[0].shape
    return source if op.inputs[0].shape == target else g.node("Expand", source, g.shape(target))


@pointwise("add_scaled", "sub_scaled")
def _add_scaled(g: Graph, op: Op, input: str, other: str) -> str:
    return g.node("Sub" if op.name == "sub_scaled" else "Add", input, g.node("Mul", other, _scalar(g, op, argument(op, "alpha"))))


@pointwise("rsub")
def _subtract_from(g: Graph, op: Op, input: str, other: str) -> str:
    return g.node("Sub", other, input)


@pointwise("ne")
def _not_equal(g: Graph, op: Op, input: str, other: str) -> str:
    return g.node("Not", g.node("Equal", input, other))


def _logical(op_type: str) -> Any:
    def build(g: Graph, op: Op, *operands: str) -> str:
        return g.node(op_type, *(name if _is_bool(op) else g.cast(name, bool_) for name in operands))

    return build


for _name, _op_type in {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"}.items():
    pointwise(_name)(_logical(_op_type))


@pointwise("bitwise_and", "bitwise_or", "bitwise_xor")
def _bitwise(g: Graph, op: Op, input: str, other: str) -> str:
    op_type = op.name.removeprefix("bitwise_").capitalize()
    return g.node(op_type if _is_bool(op) else f"Bitwise{op_type}", input, other)


@pointwise("bitwise_not")
def _bitwise_not(g: Graph, op: Op, input: str) -> str:
    return g.node("Not" if _is_bool(op) else "BitwiseNot", input)


@pointwise("floor_divide", "div_floor")
def _floor_divide(g: Graph, op: Op, input: str, other: str) -> str:
    if compute_dtype(op).category >= FLOAT:
        return g.node("Floor", g.node("Div", input, other))
    # ONNX's integer division truncates.
    remainder = g.node("Mod", input, other)
    return g.node("Div", g.node("Sub", input, remainder), other)


@pointwise("trunc_divide")
def _trunc_divide(g: Graph, op: Op, input: str, other: str) -> str:
    quotient = g.node("Div", input, other)
    return _trunc(g, op, quotient) if compute_dtype(op).category >= FLOAT else quotient


@pointwise("ceil", "floor", "round")
def _rounded(g: Graph, op: Op, input: str) -> str:
    if compute_dtype(op).category < FLOAT:
        return input
    if op.name == "round" and argument(op, "decimals"):
        scale = _scalar(g, op, 10.0 ** argument(op, "decimals"))
        return g.node("Div", g.node("Round", g.node("Mul", input, scale)), scale)
    return g.node(op.name.capitalize(), input)


@pointwise("trunc")
def _trunc(g: Graph, op: Op, input: str) -> str:
    if compute_dtype(op).category < FLOAT:
        return input
    return g.node("Mul", g.node("Sign", input), g.node("Floor", g.node("Abs", input)))


@pointwise("frac")
def _frac(g: Graph, op: Op, input: str) -> str:
    return g.node("Sub", input, _trunc(g, op, input))


@pointwise("remainder")
def _remainder(g: Graph, op: Op, input: str, other: str) -> str:
    if compute_dtype(op).category < FLOAT:
        return g.node("Mod", input, other)
    whole = g.node("Floor", g.node("Div", input, other))
    return g.node("Sub", input, g.node("Mul", whole, other))


@pointwise("fmod")
def _fmod(g: Graph, op: Op, input: str, other: str) -> str:
    return g.node("Mod", input, other, fmod=1)


@pointwise("square")
def _square(g: Graph, op: Op, input: str) -> str:
    return g.node("Mul", input, input)


@pointwise("rsqrt")
def _rsqrt(g: Graph, op: Op, input: str) -> str:
    return g.node("Reciprocal", g.node("Sqrt", input))


@pointwise("expm1")
def _expm1(g: Graph, op: Op, input: str) -> str:
    return g.node("Sub", g.node("Exp", input), _scalar(g, op, 1.0))


@pointwise("exp2")
def _exp2(g: Graph, op: Op, input: str) -> str:
    return g.node("Pow", _scalar(g, op, 2.0), input)


@pointwise("log1p")
def _log1p(g: Graph, op: Op, input: str) -> str:
    return g.node("Log", g.node("Add", input, _scalar(g, op, 1.0)))


def _log_to_base(base: float) -> Any:
    return lambda g, op, input: g.node("Div", g.node("Log", input), _scalar(g, op, math.log(base)))


pointwise("log2")(_log_to_base(2.0))
pointwise("log10")(_log_to_base(10.0))


@pointwise("erfc")
def _erfc(g: Graph, op: Op, input: str) -> str:
    return g.node("Sub", _scalar(g, op, 1.0), g.node("Erf", input))


@pointwise("logit")
def _logit(g: Graph, op: Op, input: str) -> str:
    one, eps = _scalar(g, op, 1.0), argument(op, "eps")
    if eps is not None:
        input = g.node("Clip", input, _scalar(g, op, eps), _scalar(g, op, 1.0 - eps))
    return g.node("Log", g.node("Div", input, g.node("Sub", one, input)))


@pointwise("logaddexp")
def _logaddexp(g: Graph, op: Op, input: str, other: str) -> str:
    apart = g.node("Neg", g.node("Abs", g.node("Sub", input, other)))
    return g.node(
        "Add", g.node("Max", input, other), g.node("Log", g.node("Add", g.node("Exp", apart), _scalar(g, op, 1.0)))
    )


@pointwise("deg2rad", "rad2deg")
def _degrees(g: Graph, op: Op, input: str) -> str:
    return g.node("Mul", input, _scalar(g, op, math.pi / 180 if op.name == "deg2rad" else 180 / math.pi))


@pointwise("fmax", "fmin")
def _extreme_number(g: Graph, op: Op, input: str, other: str) -> str:
    """The larger or smaller of each pair, where a NaN gives way to a number."""
    op_type = "Max" if op.name == "fmax" else "Min"
    if compute_dtype(op).category < FLOAT:
        return g.node(op_type, input, other)
    left = g.node("Where", g.node("IsNaN", input), other, input)
    right = g.node("Where", g.node("IsNaN", other), input, other)
    return g.node(op_type, left, right)


@pointwise("isposinf", "isneginf")
def _one_infinity(g: Graph, op: Op, input: str) -> str:
    if op.name == "isposinf":
        return g.node("IsInf", input, detect_negative=0)
    return g.node("IsInf", input, detect_positive=0)


@pointwise("isfinite")
def _isfinite(g: Graph, op: Op, input: str) -> str:
    return g.node("Not", g.node("Or", g.node("IsInf", input), g.node("IsNaN", input)))


@pointwise("hardswish")
def _hardswish(g: Graph, op: Op, input: str) -> str:
    return g.node("Mul", input, g.node("HardSigmoid", input, alpha=1 / 6, beta=0.5))


@pointwise("mish")
def _mish(g: Graph, op: Op, input: str) -> str:
    return g.node("Mul", input, g.node("Tanh", g.node("Softplus", input)))


@pointwise("silu")
def _silu(g: Graph, op: Op, input: str) -> str:
    return g.node("Mul", input, g.node("Sigmoid", input))


@pointwise("logsigmoid")
def _log_sigmoid(g: Graph, op: Op, input: str) -> str:
    return g.node("Neg", g.node("Softplus", g.node("Neg", input)))


@pointwise("gelu")
def _gelu(g: Graph, op: Op, input: str) -> str:
    approximate = argument(op, "approximate")
    if g.opset >= 20:
        return g.node("Gelu", input, approximate=approximate)
    if approximate == "tanh":
        cube = g.node("Mul", g.node("Mul", input, input), input)
        inner = g.node("Add", input, g.node("Mul", cube, _scalar(g, op, 0.044715)))
        bent = g.node("Tanh", g.node("Mul", inner, _scalar(g, op, math.sqrt(2 / math.pi))))
    else:
        bent = g.node("Erf", g.node("Mul", input, _scalar(g, op, math.sqrt(0.5))))
    half = g.node("Mul", input, _scalar(g, op, 0.5))
    return g.node("Mul", half, g.node("Add", bent, _scalar(g, op, 1.0)))


@pointwise("leaky_relu", "rrelu_at_rest")
def _leaky_relu(g: Graph, op: Op, input: str, *_: str) -> str:
    return g.node("LeakyRelu", input, alpha=float(argument(op, "negative_slope")))


@pointwise("elu", "celu")
def _elu(g: Graph, op: Op, input: str) -> str:
    """``scale * (x if x > 0 else alpha * (exp(x * input_scale) - 1))``: ELU, SELU and CELU are cases of it."""
    alpha, scale, input_scale = (float(argument(op, name)) for name in ("alpha", "scale", "input_scale"))
    if input_scale == 1:
        return g.node("Elu", input, alpha=alpha) if scale == 1 else g.node("Selu", input, alpha=alpha, gamma=scale)
    below = g.node("Exp", g.node("Mul", input, _scalar(g, op, input_scale)))
    below = g.node("Mul", g.node("Sub", below, _scalar(g, op, 1.0)), _scalar(g, op, alpha * scale))
    above = g.node("Mul", input, _scalar(g, op, scale))
    return g.node("Where", g.node("Greater", input, _scalar(g, op, 0.0)), above, below)


@pointwise("hardtanh")
def _hardtanh(g: Graph, op: Op, input: str, *_: str) -> str:
    return g.node("Clip", input, *(_scalar(g, op, argument(op, name)) for name in ("min_val", "max_val")))


@pointwise("hardsigmoid")
def _hardsigmoid(g: Graph, op: Op, input: str) -> str:
    return g.node("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@pointwise("softplus")
def _softplus(g: Graph, op: Op, input: str, *_: str) -> str:
    beta = argument(op, "beta")
    if beta == 1:
        return g.node("Softplus", input)
    scale = _scalar(g, op, beta)
    return g.node("Div", g.node("Softplus", g.node("Mul", input, scale)), scale)


@pointwise("hardshrink", "softshrink")
def _shrink(g: Graph, op: Op, input: str, *_: str) -> str:
    bound = float(argument(op, "lambd"))
    return g.node("Shrink", input, lambd=bound, bias=bound if op.name == "softshrink" else 0.0)


@pointwise("threshold")
def _threshold(g: Graph, op: Op, input: str, *_: str) -> str:
    above = g.node("Greater", input, _scalar(g, op, argument(op, "threshold")))
    return g.node("Where", above, input, _scalar(g, op, argument(op, "value")))


@pointwise("clamp", "clamp_min", "clamp_max")
def _clamp(g: Graph, op: Op, input: str, *bounds: str) -> str:
    if op.params["has_min"]:
        input = g.node("Max", input, bounds[0])
    return g.node("Min", input, bounds[-1]) if op.params["has_max"] else input


@pointwise("nan_to_num")
def _nan_to_num(g: Graph, op: Op, input: str) -> str:
    limit = float(np.finfo(compute_dtype(op).numpy).max)
    nan, high, low = (
        default if op.params[name] is None else op.params[name]
        for name, default in (("nan", 0.0), ("posinf", limit), ("neginf", -limit))
    )
    bounded = g.node("Where", g.node("IsInf", input, detect_negative=0), _scalar(g, op, high), input)
    bounded = g.node("Where", g.node("IsInf", input, detect_positive=0), _scalar(g, op, low), bounded)
    return g.node("Where", g.node("IsNaN", input), _scalar(g, op, nan), bounded)


@pointwise("prelu")
def _prelu(g: Graph, op: Op, input: str, weight: str) -> str:
    return g.node("Where", g.node("Greater", input, _scalar(g, op, 0)), input, g.node("Mul", input, weight))


@pointwise("lerp")
def _lerp(g: Graph, op: Op, input: str, end: str, weight: str) -> str:
    return g.node("Add", input, g.node("Mul", weight, g.node("Sub", end, input)))


@pointwise("addcmul", "addcdiv")
def _addc(g: Graph, op: Op, input: str, tensor1: str, tensor2: str, *_: str) -> str:
    combined = g.node("Mul" if op.name == "addcmul" else "Div", tensor1, tensor2)
    return g.node("Add", input, g.node("Mul", combined, _scalar(g, op, argument(op, "value"))))


@pointwise("atan2", "hypot")
def _two_sided(g: Graph, op: Op, input: str, other: str) -> str:
    if op.name == "hypot":
        return g.node("Sqrt", g.node("Add", g.node("Mul", input, input), g.node("Mul", other, other)))
    angle = g.node("Atan", g.node("Div", input, other))
    zero, pi = _scalar(g, op, 0.0), _scalar(g, op, math.pi)
    signed = g.node("Where", g.node("Less", input, zero), g.node("Neg", pi), pi)
    return g.node("Where", g.node("Less", other, zero), g.node("Add", angle, signed), angle)
