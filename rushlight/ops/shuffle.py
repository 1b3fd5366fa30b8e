"""Moving values between channels and space: pixel and channel shuffles, sliding blocks as columns and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import copies
from ..engine.lowering import AS_BITS, Calls
from ..errors import sizes
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .conv import output_size, windows
from .define import as_tensor_argument, refuse_dtypes
from .reduction import widened
from .separable import in_format_of

if TYPE_CHECKING:
    from ..tensor import Tensor


def _shuffle_rule(input: np.ndarray, factor: int) -> np.ndarray:
    *lead, channels, height, width = input.shape
    blocks = input.reshape(*lead, channels // factor**2, factor, factor, height, width)
    n = len(lead)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return blocks.transpose(order).reshape(*lead, channels // factor**2, height * factor, width * factor)


def _unshuffle_rule(input: np.ndarray, factor: int) -> np.ndarray:
    *lead, channels, height, width = input.shape
    blocks = input.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    n = len(lead)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return blocks.transpose(order).reshape(*lead, channels * factor**2, height // factor, width // factor)


def _infer_shuffle(input: Layout, factor: int) -> Layout:
    *lead, channels, height, width = input.shape
    return in_format_of(input, (*lead, channels // factor**2, height * factor, width * factor))


def _infer_unshuffle(input: Layout, factor: int) -> Layout:
    *lead, channels, height, width = input.shape
    return in_format_of(input, (*lead, channels * factor**2, height // factor, width // factor))


_pixel_shuffle = Card(
    "pixel_shuffle", "input",
    statics="factor",
    infer=_infer_shuffle, numpy=_shuffle_rule, lowering=Calls(copies.pixel_shuffle, exact=True, half=AS_BITS),
    grads={"input": lambda g, factor: apply(_pixel_unshuffle, (g,), (factor,))},
    onnx="DepthToSpace",
)  # fmt: skip
_pixel_unshuffle: Card = Card(
    "pixel_unshuffle", "input",
    statics="factor",
    infer=_infer_unshuffle, numpy=_unshuffle_rule, lowering=Calls(copies.pixel_unshuffle, exact=True, half=AS_BITS),
    grads={"input": lambda g, factor: apply(_pixel_shuffle, (g,), (factor,))},
    onnx="SpaceToDepth",
)  # fmt: skip


def _check_at_least_3d(function: str, input: Layout) -> None:
    if input.ndim < 3:
        raise RuntimeError(f"{function} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) to (..., C, H * r, W * r): channels become pixels. Shi et al., https://arxiv.org/abs/1609.05158

    >>> F.pixel_shuffle(torch.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    here = as_tensor_argument(input, "pixel_shuffle")._layout
    _check_at_least_3d("pixel_shuffle", here)
    if upscale_factor <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {upscale_factor}")
    if here.shape[-3] % upscale_factor**2:
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)={here.shape[-3]} is not divisible by {upscale_factor**2}"
        )
    return apply(_pixel_shuffle, (input,), (int(upscale_factor),))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) to (..., C * r * r, H, W): the inverse of `pixel_shuffle`.

    >>> F.pixel_unshuffle(torch.arange(4).reshape(1, 2, 2), 2).flatten()
    tensor([0, 1, 2, 3])
    """
    here = as_tensor_argument(input, "pixel_unshuffle")._layout
    _check_at_least_3d("pixel_unshuffle", here)
    if downscale_factor <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {downscale_factor}")
    for name, dim in (("height", -2), ("width", -1)):
        if here.shape[dim] % downscale_factor:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({dim})={here.shape[dim]} is not divisible by {downscale_factor}")
    return apply(_pixel_unshuffle, (input,), (int(downscale_factor),))


_channel_shuffle: Card = Card(
    "channel_shuffle", "input",
    statics="groups",
    infer=lambda input, groups: in_format_of(input, input.shape),
    numpy=lambda input, groups: input.reshape(input.shape[0], groups, input.shape[1] // groups, *input.shape[2:]).swapaxes(1, 2).reshape(input.shape),
    lowering=Calls(copies.channel_shuffle, exact=True, half=AS_BITS),
    grads={"input": lambda g, layouts, groups: apply(_channel_shuffle, (g,), (layouts[0].shape[1] // groups,))},
)  # fmt: skip


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels (dim 1) of `groups` groups taken in turns. Zhang et al., https://arxiv.org/abs/1707.01083

    >>> F.channel_shuffle(torch.arange(4).reshape(1, 4, 1), 2).flatten()
    tensor([0, 2, 1, 3])
    """
    here = as_tensor_argument(input, "channel_shuffle")._layout
    if here.ndim <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {sizes(here.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if here.shape[1] % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {here.shape[1]} channels and {groups} groups.")
    return apply(_channel_shuffle, (input,), (int(groups),))


# Sliding blocks


def _block_counts(size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Shape:
    return tuple(output_size(s, k, st, p, d) for s, k, st, p, d in zip(size, kernel, stride, padding, dilation, strict=True))


def _columns_rule(input: np.ndarray, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> np.ndarray:
    batched = input if input.ndim == 4 else input[None]
    seen = windows(batched, kernel, stride, padding, dilation)
    columns = seen.transpose(0, 1, 4, 5, 2, 3).reshape(batched.shape[0], batched.shape[1] * math.prod(kernel), seen.shape[2] * seen.shape[3])
    return columns if input.ndim == 4 else columns[0]


def _blocks_rule(input: np.ndarray, size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> np.ndarray:
    lead, channels = input.shape[:-2], input.shape[-2] // math.prod(kernel)
    counts = _block_counts(size, kernel, dilation, padding, stride)
    columns = widened(input).reshape(*lead, channels, *kernel, *counts)
    padded = np.zeros((*lead, channels, *(s + 2 * p for s, p in zip(size, padding, strict=True))), columns.dtype)
    for row, column in np.ndindex(*kernel):
        top, left = row * dilation[0], column * dilation[1]
        padded[..., top : top + (counts[0] - 1) * stride[0] + 1 : stride[0], left : left + (counts[1] - 1) * stride[1] + 1 : stride[1]] += columns[..., row, column, :, :]
    return padded[..., padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def _infer_columns(input: Layout, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Layout:
    counts = _block_counts(input.shape[-2:], kernel, dilation, padding, stride)
    return contiguous((*input.shape[:-3], input.shape[-3] * math.prod(kernel), math.prod(counts)), input.dtype)


_GEOMETRY = "kernel dilation padding stride"
_im2col = Card(
    "im2col", "input",
    statics=_GEOMETRY,
    infer=_infer_columns, numpy=_columns_rule, lowering=Calls(copies.columns, exact=True),
    grads={"input": lambda g, layouts, kernel, dilation, padding, stride: apply(_col2im, (g,), (layouts[0].shape[-2:], kernel, dilation, padding, stride))},
    node_name="Im2ColBackward0",
)  # fmt: skip
_col2im: Card = Card(
    "col2im", "input",
    statics="size " + _GEOMETRY,
    infer=lambda input, size, kernel, **rest: contiguous((*input.shape[:-2], input.shape[-2] // math.prod(kernel), *size), input.dtype),
    numpy=_blocks_rule, lowering=Calls(copies.blocks, exact=True),
    grads={"input": lambda g, kernel, dilation, padding, stride: apply(_im2col, (g,), (kernel, dilation, padding, stride))},
    node_name="Col2ImBackward0", onnx="Col2Im",
)  # fmt: skip


def _pair(value: Any, name: str) -> Shape:
    if not isinstance(value, (tuple, list)):
        return (int(value),) * 2
    if len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    return int(value[0]), int(value[1])


def _geometry(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[Shape, Shape, Shape, Shape]:
    kernel, spread, margins, steps = _pair(kernel_size, "kernel_size"), _pair(dilation, "dilation"), _pair(padding, "padding"), _pair(stride, "stride")
    for phrase, name, values in (("kernel size", "kernel", kernel), ("dilation", "dilation", spread), ("stride", "stride", steps)):
        if min(values) <= 0:
            raise RuntimeError(f"{phrase} should be greater than zero, but got {name}_height: {values[0]} {name}_width: {values[1]}")
    if min(margins) < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {margins[0]} pad_width: {margins[1]}")
    return kernel, spread, margins, steps


_NO_COLUMNS = frozenset(d for d in dt.ALL if d.category == dt.INTEGER)


def functional_unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The sliding blocks of (N, C, H, W) as columns: (N, C * kernel elements, blocks).

    >>> F.unfold(torch.arange(4.).reshape(1, 1, 2, 2), (1, 2))
    tensor([[[0., 2.],
             [1., 3.]]])
    """
    here = as_tensor_argument(input, "unfold")._layout
    kernel, spread, margins, steps = _geometry(kernel_size, dilation, padding, stride)
    if here.ndim < 3:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-max(here.ndim, 1)}, {max(here.ndim, 1) - 1}], but got {here.ndim})")
    if here.ndim > 4 or 0 in here.shape[here.ndim - 3 :]:
        raise RuntimeError(f"Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {sizes(here.shape)}")
    counts = _block_counts(here.shape[-2:], kernel, spread, margins, steps)
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {here.shape[-2:]}, kernel_size={kernel}, dilation={spread}, padding={margins}, calculated shape of the array of sliding blocks as {counts}, but its components must be at least one."
        )
    refuse_dtypes("im2col_out_cpu", here.dtype, _NO_COLUMNS)
    return apply(_im2col, (input,), (kernel, spread, margins, steps))


functional_unfold.__name__ = "unfold"


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Columns of sliding blocks, as `unfold` gives them, added up to (N, C, *output_size).

    >>> F.fold(torch.ones(1, 2, 2), (1, 3), (1, 2))
    tensor([[[[1., 2., 1.]]]])
    """
    here = as_tensor_argument(input, "fold")._layout
    size = _pair(output_size, "output_size")
    kernel, spread, margins, steps = _geometry(kernel_size, dilation, padding, stride)
    if here.ndim not in (2, 3) or 0 in here.shape[-2:]:
        raise RuntimeError(f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: {sizes(here.shape)}")
    if here.shape[-2] % math.prod(kernel):
        raise RuntimeError(f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={here.shape[-2]} and kernel_size={kernel}.")
    counts = _block_counts(size, kernel, spread, margins, steps)
    given = f"Given output_size={size}, kernel_size={kernel}, dilation={spread}, padding={margins}, stride={steps}, "
    if counts[0] * counts[1] != here.shape[-1]:
        raise RuntimeError(
            f"{given}expected size of input's dimension 2 to match the calculated number of sliding blocks {counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got input.size(2)={here.shape[-1]}."
        )
    if min(counts) < 1:
        raise RuntimeError(f"{given}calculated shape of the array of sliding blocks as {counts}, which is too small (non-positive)")
    refuse_dtypes("col2im_out_cpu", here.dtype, _NO_COLUMNS)
    return apply(_col2im, (input,), (size, kernel, spread, margins, steps))
