"""ONNX nodes of layers: convolution, padding, pooling, normalization, resizing."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..dtypes import dtype
from .builders import argument, card
from .errors import UnsupportedOperatorError
from .graph import Graph
from .reductions import reduce
from .trace import Op, Value


def _both_sides(padding: tuple[int, ...]) -> list[int]:
    return [*padding, *padding]


@card("convolution")
def _convolution(g: Graph, op: Op) -> str:
    params = op.params
    return g.node(
        "Conv",
        *(g.read(value) for value in op.inputs),
        kernel_shape=list(op.inputs[1].shape[2:]),
        strides=list(params["stride"]),
        pads=_both_sides(params["padding"]),
        dilations=list(params["dilation"]),
        group=params["groups"],
    )


@card("convolution_input")
def _transposed_convolution(g: Graph, op: Op) -> str:
    """The card that takes a convolution back is what a transposed convolution applies."""
    kernel, params = op.inputs[1].shape[2:], op.params
    steps = (params[name] for name in ("size", "stride", "padding", "dilation"))
    geometry = zip(op.inputs[0].shape[2:], kernel, *steps, strict=True)
    beyond = [int(size) - ((int(n) - 1) * s - 2 * p + d * (k - 1) + 1) for n, k, size, s, p, d in geometry]
    return g.node(
        "ConvTranspose",
        *(g.read(value) for value in op.inputs),
        kernel_shape=list(kernel),
        strides=list(params["stride"]),
        pads=_both_sides(params["padding"]),
        dilations=list(params["dilation"]),
        output_padding=beyond,
        group=params["groups"],
    )


def _pad_sides(g: Graph, op: Op) -> str:
    """PyTorch lists pairs from the last dim backwards, ONNX all beginnings and then all ends."""
    pad, rank = op.params["pad"], len(op.inputs[0].shape)
    pairs = [(0, 0)] * (rank - len(pad) // 2) + [(pad[n], pad[n + 1]) for n in range(len(pad) - 2, -1, -2)]
    return g.shape([before for before, _ in pairs] + [after for _, after in pairs])


@card("constant_pad_nd")
def _constant_pad(g: Graph, op: Op) -> str:
    value = g.read_as(argument(op, "value"), op.inputs[0].dtype)
    return g.node("Pad", g.read(op.inputs[0]), _pad_sides(g, op), value)


@card(*(f"{kind}_pad{n}d" for kind in ("reflection", "replication", "circular") for n in (1, 2, 3)))
def _pad_from_input(g: Graph, op: Op) -> str:
    mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[op.params["mode"]]
    if mode == "wrap" and g.opset < 19:
        raise UnsupportedOperatorError(op.name, g.opset, "Pad wraps around from opset 19 on")
    return g.node("Pad", g.read(op.inputs[0]), _pad_sides(g, op), mode=mode)


def _with_batch(g: Graph, name: str, sizes: Sequence[int], spatial: int) -> tuple[str, bool]:
    """Pooling of ONNX needs a batch dim; whether one was added."""
    if len(sizes) == spatial + 2:
        return name, False
    return g.node("Unsqueeze", name, g.integers(0)), True


def _pool(g: Graph, op: Op, op_type: str, outputs: int, **attributes: Any) -> list[str]:
    params, spatial = op.params, len(op.params["kernel"])
    source, added = _with_batch(g, g.read(op.inputs[0]), op.inputs[0].shape, spatial)
    found = g.node(
        op_type,
        source,
        kernel_shape=list(params["kernel"]),
        strides=list(params["stride"]),
        pads=_both_sides(params["padding"]),
        ceil_mode=int(params["ceil_mode"]),
        outputs=outputs,
        **attributes,
    )
    names = [found] if outputs == 1 else list(found)
    return [g.node("Squeeze", name, g.integers(0)) for name in names] if added else names


@card("max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool(g: Graph, op: Op) -> tuple[str, ...]:
    spatial = len(op.params["kernel"])
    name, places = _pool(g, op, "MaxPool", 2, dilations=list(op.params["dilation"]))
    # ONNX counts places over the whole tensor, PyTorch over each plane.
    plane = functools.reduce(lambda a, b: g.node("Mul", a, b), map(g.size, op.inputs[0].shape[-spatial:]))
    return name, g.node("Mod", places, plane)


@card("max_unpool2d", "max_unpool3d")
def _max_unpool(g: Graph, op: Op) -> str:
    """Values put into planes of zeros. MaxUnpool of ONNX would count places over the whole tensor."""
    out, lead = op.outputs[0], len(op.inputs[0].shape) - int(op.name[-2])
    before = op.inputs[0].shape[:lead]
    flat = g.integers(*[0] * lead, -1)
    values, places = (g.node("Reshape", g.read(value), flat) for value in op.inputs)
    plane = functools.reduce(lambda a, b: g.node("Mul", a, b), map(g.size, out.shape[lead:]))
    zeros = g.node("Expand", g.number(0, out.dtype), g.node("Concat", *map(g.size, before), plane, axis=0))
    return g.node("Reshape", g.node("ScatterElements", zeros, places, values, axis=lead), g.shape(out.shape, infer=True))


@card("im2col")
def _blocks_to_columns(g: Graph, op: Op) -> str:
    """Blocks are picked along the two dims of the image one after the other."""
    input, params = op.inputs[0], op.params
    lead = len(input.shape) - 2
    name = g.read(input)
    if any(params["padding"]):
        sides = [0] * lead + list(params["padding"])
        name = g.node("Pad", name, g.integers(*sides, *sides))
    for n, axis in enumerate((lead, lead + 2)):
        kernel, dilation, padding, stride = (params[key][n] for key in ("kernel", "dilation", "padding", "stride"))
        size = g.static(input.shape[lead + n], "the size of an image in blocks") + 2 * padding
        starts = np.arange(0, size - dilation * (kernel - 1), stride)
        name = g.node("Gather", name, g.constant(np.arange(kernel)[:, None] * dilation + starts), axis=axis)
    order = [*range(lead), lead, lead + 2, lead + 1, lead + 3]
    return g.node("Reshape", g.node("Transpose", name, perm=order), g.shape(op.outputs[0].shape, infer=True))


@card("col2im")
def _columns_to_blocks(g: Graph, op: Op) -> str:
    params = op.params
    source, added = _with_batch(g, g.read(op.inputs[0]), op.inputs[0].shape, 1)
    found = g.node(
        "Col2Im",
        source,
        g.shape(params["size"]),
        g.integers(*params["kernel"]),
        dilations=list(params["dilation"]),
        pads=_both_sides(params["padding"]),
        strides=list(params["stride"]),
    )
    return g.node("Squeeze", found, g.integers(0)) if added else found


@card("avg_pool2d", "avg_pool3d")
def _avg_pool(g: Graph, op: Op) -> str:
    divisor = op.params["divisor_override"]
    include = bool(op.params["count_include_pad"] or divisor)
    (name,) = _pool(g, op, "AveragePool", 1, count_include_pad=int(include))
    if not divisor:
        return name
    return g.node("Mul", name, g.number(math.prod(op.params["kernel"]) / divisor, op.outputs[0].dtype))


@card("adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_avg_pool(g: Graph, op: Op) -> str:
    name, rank = g.read(op.inputs[0]), len(op.inputs[0].shape)
    axes = range(rank - len(op.params["size"]), rank)
    if all(n == 1 for n in op.params["size"]):
        return reduce(g, "ReduceMean", name, list(axes), True)
    for axis, (starts, ends) in zip(axes, _windows(g, op), strict=True):
        # Averaging along one dim is a product with a matrix of shares.
        size = int(op.inputs[0].shape[axis])
        at = np.arange(size)[:, None]
        shares = ((at >= starts) & (at < ends)) / (ends - starts)
        order = [*range(axis), *range(axis + 1, rank), axis]
        turned = g.node("MatMul", g.node("Transpose", name, perm=order), g.constant(shares, op.inputs[0].dtype.numpy))
        name = g.node("Transpose", turned, perm=[order.index(d) for d in range(rank)])
    return name


@card("adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(g: Graph, op: Op) -> tuple[str, str]:
    name, rank = g.read(op.inputs[0]), len(op.inputs[0].shape)
    axes = range(rank - len(op.params["size"]), rank)
    if all(n == 1 for n in op.params["size"]):
        return reduce(g, "ReduceMax", name, list(axes), True), ""
    for axis, (starts, ends) in zip(axes, _windows(g, op), strict=True):
        # Shorter windows repeat their last place, which changes no maximum.
        places = np.minimum(starts[:, None] + np.arange((ends - starts).max()), ends[:, None] - 1)
        name = reduce(g, "ReduceMax", g.node("Gather", name, g.constant(places), axis=axis), axis + 1, False)
    return name, ""


def _windows(g: Graph, op: Op) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each spatial dim, where the windows of adaptive pooling start and end."""
    wanted = op.params["size"]
    for size, out in zip(g.static(op.inputs[0].shape[-len(wanted) :], "adaptive pooling"), wanted, strict=True):
        at = np.arange(out)
        yield at * size // out, -(-(at + 1) * size // out)


def _affine_operand(g: Graph, value: Any, shape: Sequence[int], dtype: dtype) -> str:
    """A weight or bias; a layer without one has a number in its place."""
    if isinstance(value, Value):
        return g.read_as(value, dtype)
    return g.constant(np.full([int(n) for n in g.static(shape, "the normalized shape")], value, dtype.numpy))


def _normalized(g: Graph, name: str, axes: Sequence[int], eps: float, dtype: dtype) -> str:
    """``(x - mean) / sqrt(variance + eps)`` over `axes`."""
    apart = g.node("Sub", name, reduce(g, "ReduceMean", name, axes, True))
    variance = reduce(g, "ReduceMean", g.node("Mul", apart, apart), axes, True)
    return g.node("Div", apart, g.node("Sqrt", g.node("Add", variance, g.number(eps, dtype))))


def _scaled_by_channel(g: Graph, op: Op, name: str) -> str:
    """`name` times the weight plus the bias of each channel."""
    input, weight, bias = op.inputs
    trailing = g.integers(*range(1, len(input.shape) - 1))
    for op_type, value in (("Mul", weight), ("Add", bias)):
        if isinstance(value, Value):
            factor = g.read_as(value, input.dtype)
            if len(input.shape) > 2:
                factor = g.node("Unsqueeze", factor, trailing)
            name = g.node(op_type, name, factor)
    return name


@card("batch_norm_eval")
def _batch_norm_eval(g: Graph, op: Op) -> str:
    input, weight, bias, mean, variance = op.inputs
    channels = input.shape[1:2]
    scale, shift = (_affine_operand(g, value, channels, input.dtype) for value in (weight, bias))
    statistics = (g.read_as(value, input.dtype) for value in (mean, variance))
    return g.node("BatchNormalization", g.read(input), scale, shift, *statistics, epsilon=op.params["eps"])


@card("batch_norm")
def _batch_norm(g: Graph, op: Op) -> tuple[str, ...]:
    input = op.inputs[0]
    axes = [axis for axis in range(len(input.shape)) if axis != 1]
    name = _normalized(g, g.read(input), axes, op.params["eps"], input.dtype)
    return _scaled_by_channel(g, op, name), "", "", ""


@card("layer_norm")
def _layer_norm(g: Graph, op: Op) -> tuple[str, ...]:
    input, weight, bias = op.inputs
    count, eps = op.params["count"], op.params["eps"]
    rank = len(input.shape)
    if g.opset >= 17:
        scale = _affine_operand(g, weight, input.shape[rank - count :], input.dtype)
        shift = g.read_as(bias, input.dtype) if isinstance(bias, Value) else ""
        return g.node("LayerNormalization", g.read(input), scale, shift, axis=-count, epsilon=eps), "", ""
    name = _normalized(g, g.read(input), list(range(rank - count, rank)), eps, input.dtype)
    for op_type, value in (("Mul", weight), ("Add", bias)):
        if isinstance(value, Value):
            name = g.node(op_type, name, g.read_as(value, input.dtype))
    return name, "", ""


@card("rms_norm")
def _rms_norm(g: Graph, op: Op) -> tuple[str, str]:
    input, weight = op.inputs
    name, dtype = g.read(input), input.dtype
    mean = reduce(g, "ReduceMean", g.node("Mul", name, name), list(range(len(input.shape) - op.params["count"], len(input.shape))), True)
    name = g.node("Div", name, g.node("Sqrt", g.node("Add", mean, g.number(op.params["eps"], dtype))))
    return g.node("Mul", name, g.read_as(weight, dtype)) if isinstance(weight, Value) else name, ""


@card("group_norm")
def _group_norm(g: Graph, op: Op) -> tuple[str, ...]:
    input, groups = op.inputs[0], op.params["groups"]
    source = g.read(input)
    grouped = g.node("Reshape", source, g.integers(0, groups, -1))
    grouped = _normalized(g, grouped, [2], op.params["eps"], input.dtype)
    name = g.node("Reshape", grouped, g.node("Shape", source))
    return _scaled_by_channel(g, op, name), "", ""


@card("pixel_shuffle", "pixel_unshuffle")
def _pixel_shuffle(g: Graph, op: Op) -> str:
    """Blocks of ``factor * factor`` elements between channels and the plane, as a transpose between two reshapes."""
    factor, before, after = op.params["factor"], op.inputs[0].shape, op.outputs[0].shape
    *lead, channels, height, width = before if op.name == "pixel_shuffle" else after
    n = len(lead)
    if op.name == "pixel_shuffle":
        split, order = [channels // factor**2, factor, factor, height, width], (0, 3, 1, 4, 2)
    else:
        split, order = [before[-3], height, factor, width, factor], (0, 2, 4, 1, 3)
    name = g.node("Reshape", g.read(op.inputs[0]), g.shape([*lead, *split], infer=True))
    name = g.node("Transpose", name, perm=[*range(n), *(n + d for d in order)])
    return g.node("Reshape", name, g.shape(after, infer=True))


@card("channel_shuffle")
def _channel_shuffle(g: Graph, op: Op) -> str:
    groups, shape = op.params["groups"], op.inputs[0].shape
    split = [shape[0], groups, shape[1] // groups, *shape[2:]]
    name = g.node("Reshape", g.read(op.inputs[0]), g.shape(split, infer=True))
    name = g.node("Transpose", name, perm=[0, 2, 1, *range(3, len(split))])
    return g.node("Reshape", name, g.shape(shape, infer=True))


@card("grid_sampler")
def _grid_sampler(g: Graph, op: Op) -> str:
    mode = op.params["mode"]
    if len(op.inputs[0].shape) > 4 and g.opset < 20:
        raise UnsupportedOperatorError(op.name, g.opset, "volumes are sampled from opset 20 on")
    if g.opset >= 20:  # where two of the three modes were renamed
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    options = {"padding_mode": op.params["padding_mode"], "align_corners": int(op.params["align_corners"])}
    return g.node("GridSample", *map(g.read, op.inputs), mode=mode, **options)


_INTERPOLATING = ("linear1d", "bilinear2d", "bicubic2d", "trilinear3d", "bilinear2d_aa", "bicubic2d_aa", "lanczos2d_aa")
_NEAREST = [f"{mode}{n}d" for mode in ("nearest", "nearest_exact") for n in (1, 2, 3)]


@card(*(f"upsample_{kind}" for kind in (*_INTERPOLATING, *_NEAREST)))
def _resize(g: Graph, op: Op) -> str:
    params = op.params
    mode, factors = params["mode"], params["scale_factors"]
    attributes: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if mode.startswith("nearest"):
        exact = mode == "nearest-exact"
        attributes["mode"] = "nearest"
        attributes["coordinate_transformation_mode"] = "half_pixel" if exact else "asymmetric"
        attributes["nearest_mode"] = "round_prefer_ceil" if exact else "floor"
    elif params["align_corners"]:
        attributes["coordinate_transformation_mode"] = "align_corners"
    if mode == "bicubic":
        attributes |= {"mode": "cubic", "cubic_coeff_a": -0.5 if params["antialias"] else -0.75}
    elif mode == "lanczos":
        raise UnsupportedOperatorError(op.name, g.opset, "Resize has no Lanczos filter")
    if params["antialias"]:
        attributes["antialias"] = 1
    absent = "" if g.opset >= 13 else g.constant(np.zeros(0, np.float32))
    if all(factors):
        return g.node("Resize", g.read(op.inputs[0]), absent, g.constant([1, 1, *factors], np.float32), **attributes)
    sizes = g.shape([*op.inputs[0].shape[:2], *params["out"]])
    return g.node("Resize", g.read(op.inputs[0]), absent, absent, sizes, **attributes)
