"""ONNX nodes of layers: convolution, padding, pooling, normalization, resizing."""

from __future__ import annotations

from .builders import argument, card
from .graph import Graph
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
