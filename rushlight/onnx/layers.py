"""ONNX nodes of layers: convolution, padding, pooling, normalization, resizing."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .builders import argument, card
from .graph import Graph
from .reductions import reduce
from .trace import Op


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


@card("constant_pad_nd")
def _pad(g: Graph, op: Op) -> str:
    pad, rank = op.params["pad"], len(op.inputs[0].shape)
    # PyTorch lists pairs from the last dim backwards, ONNX all beginnings and then all ends.
    pairs = [(0, 0)] * (rank - len(pad) // 2) + [(pad[n], pad[n + 1]) for n in range(len(pad) - 2, -1, -2)]
    sides = [before for before, _ in pairs] + [after for _, after in pairs]
    value = g.read_as(argument(op, "value"), op.inputs[0].dtype)
    return g.node("Pad", g.read(op.inputs[0]), g.shape(sides), value)


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
