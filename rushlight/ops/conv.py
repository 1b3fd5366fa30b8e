"""Convolutions of one to three dims, and their transposes.

Three cards, each linear in both operands, whose gradients are each other: `convolution` (input and weight to output),
`convolution_input` (output's gradient and weight to input's) and `convolution_weight` (input and output's gradient to weight's).
The NumPy rules lay windows out as columns and multiply, one product per sample and group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import LOWER, autocasts
from ..engine.kernel import Lowered
from ..engine.lowering import AS_GIVEN, Calls
from ..errors import sizes
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .define import as_tensor_argument, refuse_dtypes
from .matmul import c_name, product
from .reduction import widened
from .separable import in_format_of, is_channels_last

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .card import Plan


def spatial_tuple(value: Any, n: int, name: str, function: str = "") -> Shape:
    """An int, or a sequence of one or `n` ints, as `n` ints."""
    if isinstance(value, (tuple, list)):
        found = tuple(int(v) for v in value)
        if len(found) == 1:
            return found * n
        if len(found) != n:
            raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, but got {name}={sizes(found)}")
        return found
    return (int(value),) * n


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def windows(input: np.ndarray, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, fill: Any = 0) -> np.ndarray:
    """A view of shape (N, C, *output, *kernel) over the padded input."""
    n = len(kernel)
    if any(padding):
        input = np.pad(input, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    spatial, steps = input.shape[2:], input.strides[2:]
    out = tuple((spatial[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(n))
    return np.lib.stride_tricks.as_strided(
        input,
        (*input.shape[:2], *out, *kernel),
        (*input.strides[:2], *(steps[d] * stride[d] for d in range(n)), *(steps[d] * dilation[d] for d in range(n))),
        writeable=False,
    )


def _columns(input: np.ndarray, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> np.ndarray:
    """The windows as columns: (N, groups, C/groups * kernel elements, output elements)."""
    n = len(kernel)
    seen = windows(input, kernel, stride, padding, dilation)
    batch, channels = seen.shape[:2]
    order = (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n))
    elements = int(np.prod(seen.shape[2 : 2 + n]))
    return seen.transpose(order).reshape(batch, groups, channels // groups * int(np.prod(kernel)), elements)


def _convolution_rule(input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, *, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> np.ndarray:
    kernel = weight.shape[2:]
    out = tuple(output_size(input.shape[2 + d], kernel[d], stride[d], padding[d], dilation[d]) for d in range(len(kernel)))
    if not input.size or not weight.size:
        found = np.zeros((input.shape[0], weight.shape[0], *out), input.dtype)
    else:
        columns = _columns(input, kernel, stride, padding, dilation, groups)
        rows = weight.reshape(groups, weight.shape[0] // groups, -1)
        found = product(rows, columns).reshape(input.shape[0], weight.shape[0], *out)
    if bias is not None:
        found += bias.reshape(-1, *[1] * len(kernel)).astype(found.dtype)
    return found


def _convolution_input_rule(grad_output: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, *, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> np.ndarray:
    """The input of which a convolution with `weight` has the gradient `grad_output`: columns added back where they came from.

    As a transposed convolution it adds a bias.
    """
    n = len(size)
    kernel, out = weight.shape[2:], grad_output.shape[2:]
    batch, outputs, channels = grad_output.shape[0], weight.shape[0], weight.shape[1] * groups
    grads, weight = widened(grad_output), widened(weight)
    full = tuple(s + 2 * p for s, p in zip(size, padding, strict=True))
    # The additions run along the innermost dim: the channels, when they are longer than the rows of the image.
    channels_last = groups == 1 and channels > out[-1]
    if channels_last:
        padded = np.moveaxis(np.zeros((batch, *full, channels), grads.dtype), -1, 1)
    else:
        padded = np.zeros((batch, channels, *full), grads.dtype)
    if grads.size and weight.size:
        if channels_last:
            columns = product(np.moveaxis(grads, 1, -1).reshape(-1, outputs), np.moveaxis(weight, 1, -1).reshape(outputs, -1))
            columns = columns.reshape(batch, *out, *kernel, channels).transpose(0, 2 * n + 1, *range(n + 1, 2 * n + 1), *range(1, n + 1))
        else:
            rows = weight.reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
            columns = product(rows, grads.reshape(batch, groups, outputs // groups, -1)).reshape(batch, channels, *kernel, *out)
        for offset in np.ndindex(*kernel):
            where = tuple(slice(o * dilation[d], o * dilation[d] + (out[d] - 1) * stride[d] + 1, stride[d]) for d, o in enumerate(offset))
            padded[(slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *offset)]
    found = padded[(slice(None), slice(None), *(slice(p, p + s) for s, p in zip(size, padding, strict=True)))]
    if bias is not None:
        found += bias.reshape(-1, *[1] * n).astype(found.dtype)
    return found


def _convolution_weight_rule(input: np.ndarray, grad_output: np.ndarray, *, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> np.ndarray:
    batch, outputs = grad_output.shape[:2]
    shape = (outputs, input.shape[1] // groups, *kernel)
    if not input.size or not grad_output.size:
        return np.zeros(shape, input.dtype)
    # A window may leave a margin at the end of the input that no output saw.
    seen = tuple((grad_output.shape[2 + d] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1 for d in range(len(kernel)))
    padded = np.pad(input, [(0, 0), (0, 0), *((p, p) for p in padding)]) if any(padding) else input
    padded = padded[(slice(None), slice(None), *(slice(s) for s in seen))]
    columns = _columns(padded, kernel, stride, (0,) * len(kernel), dilation, groups)
    grads = grad_output.reshape(batch, groups, outputs // groups, -1)
    return product(grads, columns.swapaxes(2, 3)).sum(0).reshape(shape)


def _infer_convolution(input: Layout, weight: Layout, bias: Any = None, *, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Layout:
    kernel = weight.shape[2:]
    out = [output_size(input.shape[2 + d], kernel[d], stride[d], padding[d], dilation[d]) for d in range(len(kernel))]
    return in_format_of(weight if is_channels_last(weight) else input, (input.shape[0], weight.shape[0], *out), input.dtype)


def _per_channel(g: Tensor) -> Tensor:
    return g.sum([0, *range(2, g.dim())])


_GEOMETRY = "stride padding dilation groups"


def _convolution_backward(g: Tensor, input: Tensor, weight: Tensor, layouts: Any, needs: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> list[Any]:
    rest = (stride, padding, dilation, groups)
    grads: list[Any] = [
        apply(_convolution_input, (g, weight.conj()), (layouts[0].shape[2:], *rest)) if needs[0] else None,
        apply(_convolution_weight, (input.conj(), g), (layouts[1].shape[2:], *rest)) if needs[1] else None,
    ]
    if len(needs) == 3:
        grads.append(_per_channel(g) if needs[2] else None)
    return grads


def _cropped(found: Tensor, shape: Shape) -> Tensor:
    """Without the last windows, which a transposed convolution with output padding or wide dilation never had."""
    for dim in range(2, len(shape)):
        if found.shape[dim] != shape[dim]:
            found = found.narrow(dim, 0, shape[dim])
    return found


def _infer_convolution_input(grad_output: Layout, weight: Layout, bias: Any = None, *, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Layout:
    shape = (grad_output.shape[0], weight.shape[1] * groups, *size)
    return in_format_of(weight if is_channels_last(weight) else grad_output, shape, grad_output.dtype)


def _convolution_input_backward(g: Tensor, grad_output: Tensor, weight: Tensor, layouts: Any, needs: Any, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> list[Any]:
    rest = (stride, padding, dilation, groups)
    grads: list[Any] = [
        _cropped(apply(_convolution, (g, weight.conj()), rest), layouts[0].shape) if needs[0] else None,
        apply(_convolution_weight, (g, grad_output.conj()), (layouts[1].shape[2:], *rest)) if needs[1] else None,
    ]
    if len(needs) == 3:
        grads.append(_per_channel(g) if needs[2] else None)
    return grads


def _native(of: int) -> Calls:
    """The native form of the forward, of the input's gradient or of the weight's."""

    def lower(plan: Plan) -> Lowered | None:
        from ..engine import convolution  # with the tiles of products, for the first convolution

        return (convolution.forward, convolution.input_gradient, convolution.weight_gradient)[of](plan)

    return Calls(lower, half=AS_GIVEN)


_convolution = Card(
    "convolution", "input weight bias",
    statics=_GEOMETRY,
    infer=_infer_convolution, numpy=_convolution_rule, backward=_convolution_backward, lowering=_native(0),
    onnx="Conv",
)  # fmt: skip
_convolution_input = Card(
    "convolution_input", "grad_output weight bias",
    statics="size " + _GEOMETRY,
    infer=_infer_convolution_input,
    numpy=_convolution_input_rule, lowering=_native(1),
    backward=_convolution_input_backward,
    node_name="ConvolutionBackward0", onnx="ConvTranspose",
)  # fmt: skip
_convolution_weight: Card = Card(
    "convolution_weight", "input grad_output",
    statics="kernel " + _GEOMETRY,
    infer=lambda input, grad_output, kernel, stride, padding, dilation, groups: contiguous((grad_output.shape[1], input.shape[1] // groups, *kernel), input.dtype),
    numpy=_convolution_weight_rule, lowering=_native(2),
    grads={
        "input": lambda g, grad_output, layouts, stride, padding, dilation, groups: apply(
            _convolution_input, (grad_output.conj(), g), (layouts[0].shape[2:], stride, padding, dilation, groups)
        ),
        "grad_output": lambda g, input, stride, padding, dilation, groups: apply(_convolution, (input.conj(), g), (stride, padding, dilation, groups)),
    },
)  # fmt: skip


def _check_arguments(function: str, input: Any, weight: Any, bias: Any, stride: Any) -> None:
    as_tensor_argument(input, function)
    as_tensor_argument(weight, function, "weight", 2)
    if bias is not None:
        as_tensor_argument(bias, function, "bias", 3)
    if isinstance(stride, float):
        raise TypeError(f"{function}(): argument 'stride' (position 4) must be tuple of ints, not float")


def _check(function: str, n: int, input: Layout, weight: Layout, bias: Layout | None, transposed: bool, groups: int, padded_by_name: bool = False) -> None:
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if weight.ndim < 3:
        raise RuntimeError("weight should have at least three dimensions")
    if weight.ndim != n + 2:
        raise RuntimeError(f"expected stride to be a single integer value or a list of {weight.ndim - 2} values to match the convolution dimensions, but got stride={sizes((1,) * n)}")
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {function}, but got input of size: {sizes(input.shape)}")
    if bias is not None and bias.dtype is not input.dtype and not transposed and not padded_by_name:
        raise RuntimeError(f"Input type ({c_name(input.dtype)}) and bias type ({c_name(bias.dtype)}) should be the same")
    if input.dtype is not weight.dtype and input.dtype.is_complex:
        raise RuntimeError(f"Input type ({_tensor_type(input)}) and weight type ({_tensor_type(weight)}) should be the same")
    if weight.shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {sizes(weight.shape)} instead")
    if weight.shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size [{sizes(weight.shape)}] instead")
    channels = input.shape[-n - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        given = "transposed=1" if transposed else f"groups={groups}"
        raise RuntimeError(f"Given {given}, weight of size {sizes(weight.shape)}, expected input{sizes(_batched_shape(input, n))} to have {expected} channels, but got {channels} channels instead")
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (outputs,):
        raise RuntimeError(f"Given {'transposed=1, ' if transposed else ''}weight of size {sizes(weight.shape)}, expected bias to be 1-dimensional with {outputs} elements, but got bias of size {sizes(bias.shape)} instead")
    _check_dtypes(n, input, weight, bias, groups, transposed)


def _tensor_type(operand: Layout) -> str:
    """The type of a tensor as these messages name it: older dtypes have a name of their own."""
    name = operand.dtype.type_name
    return f"CPU{name}Type" if operand.dtype.is_complex or operand.dtype is dt.bfloat16 else f"torch.{name}Tensor"


#: A transposed convolution takes integers of one size alone.
_NOT_TRANSPOSED = frozenset((dt.bool_, dt.uint8, dt.int8, dt.int16, dt.int32))


def _check_dtypes(n: int, input: Layout, weight: Layout, bias: Layout | None, groups: int, transposed: bool) -> None:
    """PyTorch's messages: one for the convolutions that it gives to oneDNN, others for the rest."""
    if input.dtype is not weight.dtype:
        batch = input.shape[0] if input.ndim == n + 2 else 1
        worth = groups > 1 or min(weight.shape[-2:]) > 3 or batch > 1 or input.numel > 20480
        if input.dtype is dt.bfloat16 or (worth and input.dtype is dt.float32):
            raise RuntimeError(f"Input type ({_tensor_type(input)}) and weight type ({_tensor_type(weight)}) should be the same or input should be a MKLDNN tensor and weight is a dense tensor")
    for other in (weight, bias):
        if other is not None and other.dtype is not input.dtype:
            raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {other.dtype.type_name}")
    if transposed:
        refuse_dtypes(f"slow_conv_transpose{max(n, 2)}d_out_cpu", input.dtype, _NOT_TRANSPOSED)
    refuse_dtypes("compute_columns3d" if n == 3 else "slow_conv2d_cpu", input.dtype, frozenset((dt.bool_,)))


def _batched_shape(input: Layout, n: int) -> Shape:
    return input.shape if input.ndim == n + 2 else (1, *input.shape)


def _check_geometry(stride: Shape, padding: Shape, dilation: Shape) -> None:
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("non-positive dilation is not supported")


def _same_padding(input: Any, kernel: Shape, dilation: Shape) -> tuple[Any, Shape]:
    """The input padded by the odd element that "same" needs on one side, and the padding for both sides."""
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    odd = [t % 2 for t in total]
    if any(odd):
        from .padding import pad

        input = pad(input, [v for o in reversed(odd) for v in (0, o)])
    return input, tuple(t // 2 for t in total)


def _convolve(n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    function = f"conv{n}d"
    _check_arguments(function, input, weight, bias, stride)
    _check(function, n, input._layout, weight._layout, bias._layout if bias is not None else None, False, groups, isinstance(padding, str))
    stride, dilation = spatial_tuple(stride, n, "stride"), spatial_tuple(dilation, n, "dilation")
    kernel = weight._layout.shape[2:]
    batched = input if input._layout.ndim == n + 2 else input.unsqueeze(0)
    if isinstance(padding, str):
        if padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            batched, padding = _same_padding(batched, kernel, dilation)
        elif padding == "valid":
            padding = (0,) * n
        else:
            raise RuntimeError(f"Invalid padding string: '{padding}'")
    padding = spatial_tuple(padding, n, "padding")
    _check_geometry(stride, padding, dilation)
    spatial = batched._layout.shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    full = [s + 2 * p for s, p in zip(spatial, padding, strict=True)]
    if any(f < r for f, r in zip(full, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, full))}). Kernel size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size"
        )
    operands = (batched, weight) if bias is None else (batched, weight, bias)
    found = apply(_convolution, operands, (stride, padding, dilation, groups))
    return found if batched is input or input._layout.ndim == n + 2 else found.squeeze(0)


@autocasts(LOWER)
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of (N, C, L) with weight (K, C / groups, R): (N, K, L'). `padding` may be "same" or "valid".

    >>> F.conv1d(torch.tensor([[[1., 2., 3.]]]), torch.tensor([[[1., 1.]]]))
    tensor([[[3., 5.]]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


@autocasts(LOWER)
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of (N, C, H, W) with weight (K, C / groups, R, S): (N, K, H', W'). `padding` may be "same" or "valid".

    >>> F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


@autocasts(LOWER)
def conv3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of (N, C, D, H, W) with weight (K, C / groups, R, S, T). `padding` may be "same" or "valid".

    >>> F.conv3d(torch.ones(1, 1, 2, 2, 2), torch.ones(1, 1, 2, 2, 2))
    tensor([[[[[8.]]]]])
    """
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def _convolve_transposed(n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any) -> Any:
    function = f"conv_transpose{n}d"
    _check_arguments(function, input, weight, bias, stride)
    _check(function, n, input._layout, weight._layout, bias._layout if bias is not None else None, True, groups)
    stride, padding, dilation = spatial_tuple(stride, n, "stride"), spatial_tuple(padding, n, "padding"), spatial_tuple(dilation, n, "dilation")
    extra = spatial_tuple(output_padding, n, "output_padding")
    _check_geometry(stride, padding, dilation)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        axes = ("depth", "height", "width")[-max(n, 2) :]
        given = {"output_padding": extra, "stride": stride, "dilation": dilation}
        # One dim counts as the width of a plane of height one.
        listed = (f"{name}_{axis}: {v}" for name, values in given.items() for axis, v in zip(axes, ((0 if name == "output_padding" else 1), *values) if n == 1 else values, strict=True))
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {' '.join(listed)}")
    batched = input if input._layout.ndim == n + 2 else input.unsqueeze(0)
    kernel, spatial = weight._layout.shape[2:], batched._layout.shape[2:]
    size = tuple((s - 1) * st - 2 * p + d * (k - 1) + e + 1 for s, st, p, d, k, e in zip(spatial, stride, padding, dilation, kernel, extra, strict=True))
    if any(s <= 0 for s in size):
        raise RuntimeError(f"Given input size per channel: {sizes(spatial)}. Calculated output size per channel: {sizes(size)}. Output size is too small")
    takes_bias = bias is not None and bias._layout.dtype is batched._layout.dtype
    operands = (batched, weight, bias) if takes_bias else (batched, weight)
    found = apply(_convolution_input, operands, (size, stride, padding, dilation, groups))
    if bias is not None and not takes_bias:
        found = found + bias.reshape(-1, *[1] * n)
    return found if input._layout.ndim == n + 2 else found.squeeze(0)


@autocasts(LOWER)
def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv1d`: (N, C, L) with weight (C, K / groups, R) to (N, K, L').

    >>> F.conv_transpose1d(torch.tensor([[[1., 2.]]]), torch.tensor([[[1., 1.]]]))
    tensor([[[1., 3., 2.]]])
    """
    return _convolve_transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@autocasts(LOWER)
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv2d`: (N, C, H, W) with weight (C, K / groups, R, S) to (N, K, H', W').

    >>> F.conv_transpose2d(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 2, 2)).shape
    torch.Size([1, 1, 2, 2])
    """
    return _convolve_transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@autocasts(LOWER)
def conv_transpose3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv3d`.

    >>> F.conv_transpose3d(torch.ones(1, 1, 1, 1, 1), torch.ones(1, 1, 2, 2, 2)).shape
    torch.Size([1, 1, 2, 2, 2])
    """
    return _convolve_transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@autocasts(LOWER)
def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int) -> Tensor:
    """Any convolution, by the number of dims of `weight`.

    >>> torch.convolution(torch.ones(1, 1, 3), torch.ones(1, 1, 2), None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2.]]])
    """
    n = weight._layout.ndim - 2
    if transposed:
        return _convolve_transposed(n, input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _convolve(n, input, weight, bias, stride, padding, dilation, groups)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` for inputs of shape (time, batch, channels) and weights of shape (width, channels, outputs).

    >>> F.conv_tbc(torch.ones(3, 1, 1), torch.ones(2, 1, 1), torch.zeros(1)).flatten()
    tensor([2., 2.])
    """
    here, there = as_tensor_argument(input, "conv_tbc")._layout, weight._layout
    if here.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if there.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias._layout.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if here.shape[2] != there.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if bias._layout.shape[0] != there.shape[2]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1).contiguous()
