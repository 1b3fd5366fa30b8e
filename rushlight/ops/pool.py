"""Pooling over windows at equal steps: maxima (with their positions), averages, power averages, and the inverse of max pooling.

Windows slide over the last one to three dims; batch and channels lie before them and may be one dim or two.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine import pooling
from ..engine.lowering import AS_FLOAT, Calls
from ..errors import check_int, sizes
from ..shape import Layout, Shape, contiguous
from ..storage import ON_META
from .card import Card, apply, array_of
from .define import NOT_FLOAT, as_tensor_argument, refuse_dtypes
from .reduction import widened
from .separable import (
    Table,
    check_ints,
    check_spatial_dims,
    in_format_of,
    max_over,
    spatial_arguments,
    sum_over,
    transposed,
    window_table,
)

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan

_AXES = ("", "W", "HW", "THW")
_COUNTS = ("", "one int", "two ints", "three ints")


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit; in ceil mode also one that hangs over the end, if it starts inside the input or its left padding."""
    if stride == 0:
        raise RuntimeError("stride should not be zero")
    if padding < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {padding}")
    if padding > int(((kernel - 1) * dilation + 1) / 2):  # towards zero, as C++ divides
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={padding}, kernel_size={kernel} and dilation={dilation}")
    count = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _tables(spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool) -> list[Table]:
    return [
        window_table(size, window_count(size, k, s, p, d, ceil_mode), k, s, p, d)
        for size, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True)
    ]


def _infer_windows(input: Layout, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool) -> Layout:
    n = len(kernel)
    spatial = input.shape[-n:]
    out = [window_count(*at, ceil_mode) for at in zip(spatial, kernel, stride, padding, dilation, strict=True)]
    for what, values in (("kernel size", kernel), ("stride", stride), ("dilation", dilation)):
        if any(v <= 0 for v in values):
            letter = {"kernel size": "k", "stride": "d", "dilation": "dilation"}[what]
            raise RuntimeError(f"{what} should be greater than zero, but got {' '.join(f'{letter}{a}: {v}' for a, v in zip(_AXES[n], values, strict=True))}")
    if any(o < 1 for o in out):
        channels = input.shape[-n - 1]
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, (channels, *spatial)))}). Calculated output size: ({'x'.join(map(str, (channels, *out)))}). Output size is too small")
    return in_format_of(input, (*input.shape[:-n], *out))


# Maxima


def scatter_rule(values: np.ndarray, indices: np.ndarray, size: Shape, accumulate: bool) -> np.ndarray:
    """Put values at flat positions of their plane of `size`, zeros elsewhere; values that meet add up if `accumulate`, else the last one stays."""
    lead = values.shape[: values.ndim - len(size)]
    planes, plane = int(np.prod(lead)), int(np.prod(size))
    values = widened(values)
    out = np.zeros(planes * plane, values.dtype)
    where = (indices.reshape(planes, indices.size // max(planes, 1)) + np.arange(planes)[:, None] * plane).reshape(-1)
    if accumulate:
        np.add.at(out, where, values.reshape(-1))
    else:
        out[where] = values.reshape(-1)
    return out.reshape(*lead, *size)


def gather_windows(input: Tensor, indices: Tensor, n: int) -> Tensor:
    """The values at flat positions of the last `n` dims."""
    return input.flatten(-n).gather(-1, indices.flatten(-n)).reshape(indices.shape)


_scatter_windows = Card(
    "max_pool_backward", "grad_output indices",
    statics="size disjoint",
    infer=lambda grad_output, indices, size, disjoint: in_format_of(grad_output, (*grad_output.shape[: grad_output.ndim - len(size)], *size)),
    numpy=lambda grad_output, indices, size, disjoint: scatter_rule(grad_output, indices, size, not disjoint),
    lowering=Calls(lambda plan: pooling.scattered(plan, plan.params["size"], not plan.params["disjoint"]), exact=True, half=AS_FLOAT),
    grads={"grad_output": lambda g, indices, size: gather_windows(g, indices, len(size))},
    node_name="MaxPool2DWithIndicesBackwardBackward0",
)  # fmt: skip


def max_gradient(g: Tensor, indices: Tensor, size: Shape, disjoint: bool = False) -> Tensor:
    """The gradient of a max over windows: each one's goes to where its maximum was. `disjoint` windows never meet there."""
    return apply(_scatter_windows, (g, indices), (size, disjoint))


def _infer_max(input: Layout, **geometry: Any) -> tuple[Layout, Layout]:
    out = _infer_windows(input, **geometry)
    return out, in_format_of(input, out.shape, dt.int64)


def _max_rule(input: np.ndarray, kernel: Shape, **geometry: Any) -> tuple[np.ndarray, np.ndarray]:
    return max_over(widened(input), _tables(input.shape[-len(kernel) :], kernel, **geometry))


def _max_lowering(plan: Plan) -> Lowered | None:
    return pooling.maxima(plan, _tables(plan.operands[0].shape[-len(plan.params["kernel"]) :], **plan.params))


def _max_pool_gradient(g: Tensor, indices: Tensor, layouts: Sequence[Layout], kernel: Shape, stride: Shape, dilation: Shape) -> Tensor:
    disjoint = all(s > d * (k - 1) for k, s, d in zip(kernel, stride, dilation, strict=True))
    return max_gradient(g, indices, layouts[0].shape[-len(kernel) :], disjoint)


_max_pool = {
    n: Card(
        f"max_pool{n}d_with_indices", "input",
        statics="kernel stride padding dilation ceil_mode", outputs="output indices",
        infer=_infer_max, numpy=_max_rule, grads={"input": _max_pool_gradient},
        lowering=Calls(_max_lowering, half=AS_FLOAT),
        node_name=f"MaxPool{n}DWithIndicesBackward0", onnx="MaxPool",
    )
    for n in (2, 3)
}  # fmt: skip


def _check_input(function: str, input: Layout, n: int, refused: Any, empty: str) -> None:
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input")
    if n == 2:
        check_spatial_dims(input.shape, n)
    if 0 in input.shape[-n - 1 :]:
        raise RuntimeError(
            f"{empty}: Expected input's non-batch dimensions to have positive length, but input has a shape of {sizes(input.shape)} and non-batch dimension 0 has length zero!"
        )
    refuse_dtypes(function, input.dtype, refused)


_NOT_ORDERED = frozenset(d for d in dt.ALL if d.category in (dt.BOOL, dt.COMPLEX))
_NOT_UNPOOLED = _NOT_ORDERED | {dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64}
_NOT_AVERAGED = NOT_FLOAT - {dt.int64}


def _max_pool_nd(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple[Tensor, Tensor]:
    function = f"max_pool{n}d"
    here = as_tensor_argument(input, function)._layout

    def ints(value: Any, name: str) -> Shape:
        either = "must either be omitted, a single int," if name == "stride" else "must be either a single int," if name == "dilation" else "must either be a single int,"
        check_ints(function, name, value)
        return spatial_arguments(value, n, f"{function}: {name} {either} or a tuple of {_COUNTS[n]}")

    kernel = ints(kernel_size, "kernel_size")
    steps = kernel if stride is None or stride in ([], ()) else ints(stride, "stride")
    _check_input(function, here, n, _NOT_ORDERED, f"{function}_with_indices_out_cpu_template()")
    return apply(_max_pool[n], (input,), (kernel, steps, ints(padding, "padding"), ints(dilation, "dilation"), bool(ceil_mode)))


def _line_arguments(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    return {"kernel_size": kernel_size, "stride": kernel_size if stride is None or stride in ([], ()) else stride, "padding": padding, "dilation": dilation}


def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`max_pool1d` and the positions of the maxima.

    >>> F.max_pool1d_with_indices(torch.tensor([[1., 3., 2., 5.]]), 2)
    (tensor([[3., 5.]]), tensor([[1, 3]]))
    """
    check_2d_or_3d("max_pool1d", as_tensor_argument(input, "max_pool1d_with_indices")._layout)
    kernel, step, margin, spread = (one_int("max_pool1d", name, value) for name, value in _line_arguments(kernel_size, stride, padding, dilation).items())
    found, indices = max_pool2d_with_indices(input.unsqueeze(-2), (1, kernel), (1, step), (0, margin), (1, spread), ceil_mode)
    return found.squeeze(-2), indices.squeeze(-2)


def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window of (N, C, L) or (C, L). `stride` is `kernel_size` when not given.

    >>> F.max_pool1d(torch.tensor([[1., 3., 2., 5.]]), 2)
    tensor([[3., 5.]])
    """
    if return_indices:
        return max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    here = as_tensor_argument(input, "max_pool1d")._layout
    if here.ndim not in (2, 3) or 0 in here.shape[-2:]:
        raise RuntimeError(f"max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{sizes(here.shape)}")
    given = _line_arguments(kernel_size, stride, padding, dilation)
    for name, value in given.items():
        check_ints("max_pool1d", name, value)
    (kernel,), (step,), (margin,), (spread,) = (
        spatial_arguments(value, 1, f"max_pool1d() {name} must be {'None, ' if name == 'stride' else ''}an int, list of ints{',' if name == 'stride' else ''} or tuple of ints of size 1 but got size {len(value) if isinstance(value, (tuple, list)) else 1}")
        for name, value in given.items()
    )
    for name, value in (("kernel_size", kernel), ("stride", step), ("dilation", spread)):
        if value <= 0:
            raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {value}")
    if margin < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {margin}")
    if margin > kernel // 2:
        raise RuntimeError(f"max_pool1d() padding should be at most half of kernel size, but got padding={margin} and kernel_size={kernel}")
    count = window_count(here.shape[-1], kernel, step, margin, spread, ceil_mode)
    if count <= 0:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {count}")
    refuse_dtypes("max_pool1d_impl", here.dtype, NOT_FLOAT)
    return apply(_max_pool[2], (input.unsqueeze(-2),), ((1, kernel), (1, step), (0, margin), (1, spread), bool(ceil_mode)))[0].squeeze(-2)


def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`max_pool2d` and the positions of the maxima, counted row by row over the plane.

    >>> F.max_pool2d_with_indices(torch.tensor([[[1., 3.], [2., 5.]]]), 2)
    (tensor([[[5.]]]), tensor([[[3]]]))
    """
    return _max_pool_nd(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window of (N, C, H, W) or (C, H, W). `stride` is `kernel_size` when not given.

    >>> F.max_pool2d(torch.tensor([[[1., 3.], [2., 5.]]]), 2)
    tensor([[[5.]]])
    """
    found = _max_pool_nd(2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`max_pool3d` and the positions of the maxima, counted row by row over the volume.

    >>> F.max_pool3d_with_indices(torch.arange(8.).reshape(1, 2, 2, 2), 2)
    (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    return _max_pool_nd(3, input, kernel_size, stride, padding, dilation, ceil_mode)


@autocasts(SINGLE)
def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window of (N, C, D, H, W) or (C, D, H, W). `stride` is `kernel_size` when not given.

    >>> F.max_pool3d(torch.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[7.]]]])
    """
    found = _max_pool_nd(3, input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


# Max unpooling


_max_unpool = {
    n: Card(
        f"max_unpool{n}d", "input indices",
        statics="size",
        infer=lambda input, indices, size: in_format_of(input, (*input.shape[: input.ndim - len(size)], *size)),
        numpy=lambda input, indices, size: scatter_rule(input, indices, size, False),
        lowering=Calls(lambda plan: pooling.scattered(plan, plan.params["size"], False), exact=True, half=AS_FLOAT),
        grads={"input": lambda g, indices, size: gather_windows(g, indices, len(size))},
        node_name=f"MaxUnpool{n}DBackward0", onnx="MaxUnpool",
    )
    for n in (2, 3)
}  # fmt: skip


def _unpooled_size(spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, output_size: Sequence[int] | None) -> Shape:
    default = tuple((size - 1) * s + k - 2 * p for size, k, s, p in zip(spatial, kernel, stride, padding, strict=True))
    found = default
    if output_size is not None:
        wanted = output_size[2:] if len(output_size) == len(kernel) + 2 else output_size
        if len(wanted) != len(kernel):
            raise ValueError(f"output_size should be a sequence containing {len(kernel)} or {len(kernel) + 2} elements, but it has a length of '{len(wanted)}'")
        for d, (size, step) in enumerate(zip(default, stride, strict=True)):
            if not size - step < wanted[d] < size + step:
                raise ValueError(f'invalid output_size "{wanted}" (dim {d} must be between {size - step} and {size + step})')
        found = tuple(int(w) for w in wanted)
    for d, size in enumerate(found):
        if size < 0:
            raise ValueError(f"max_unpooling: output_size must contain non-negative spatial dimensions, but got output_size[{d}]={size}")
    return found


def _max_unpool_nd(n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    kernel, margins = spatial_arguments(kernel_size, n, "kernel_size"), spatial_arguments(padding, n, "padding")
    steps = kernel if stride is None else spatial_arguments(stride, n, "stride")
    if input._layout.ndim < n:
        raise IndexError("tuple index out of range")
    if isinstance(output_size, int):
        output_size = (output_size,)
    size = _unpooled_size(input._layout.shape[-n:], kernel, steps, margins, output_size)
    if n == 1:
        return _scatter_to(2, input.unsqueeze(-1), indices.unsqueeze(-1), (*size, 1)).squeeze(-1)
    if n == 3 and any(s <= 0 for s in steps):
        raise RuntimeError(f"strides should be greater than zero, but got stride: {sizes(steps)}")
    return _scatter_to(n, input, indices, size)


def _scatter_to(n: int, input: Any, indices: Any, size: Shape) -> Tensor:
    here, there = input._layout, indices._layout
    if there.dtype is not dt.int64:
        raise RuntimeError("elements in indices should be type int64" + (f" but got: {there.dtype.type_name}" if n == 2 else ""))
    if here.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"Input to max_unpooling{n}d should be a {n + 1}d or {n + 2}d Tensor, but got a tensor with {here.ndim} dimensions.")
    if here.shape != there.shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({sizes(here.shape)}) but got indices tensor with shape: {sizes(there.shape)}")
    if 0 in here.shape[here.ndim - n - 1 :]:
        raise RuntimeError(f"max_unpooling{n}d_forward_out_cpu(): Expected input to have non-zero size for non-batch dimensions, but got {sizes(here.shape)}")
    refuse_dtypes(f"max_unpool{n}d", here.dtype, _NOT_UNPOOLED)
    if there.numel and indices._storage.special != ON_META:
        values = array_of(indices)
        plane = int(np.prod(size))
        wrong = values[(values < 0) | (values >= plane)]
        if wrong.size:
            raise RuntimeError(f"Found an invalid max index: {int(wrong[0])} (output volumes are of size {'x'.join(map(str, size))})")
    return apply(_max_unpool[n], (input, indices), (size,))


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """Put the maxima of `max_pool1d` back where they came from, with zeros between them.

    >>> F.max_unpool1d(torch.tensor([[3., 5.]]), torch.tensor([[1, 3]]), 2)
    tensor([[0., 3., 0., 5.]])
    """
    return _max_unpool_nd(1, input, indices, kernel_size, stride, padding, output_size)


@autocasts(SINGLE)
def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """Put the maxima of `max_pool2d` back where they came from, with zeros between them.

    >>> F.max_unpool2d(torch.tensor([[[5.]]]), torch.tensor([[[3]]]), 2)
    tensor([[[0., 0.],
             [0., 5.]]])
    """
    return _max_unpool_nd(2, input, indices, kernel_size, stride, padding, output_size)


@autocasts(SINGLE)
def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """Put the maxima of `max_pool3d` back where they came from, with zeros between them.

    >>> F.max_unpool3d(torch.ones(1, 1, 1, 1), torch.tensor([[[[7]]]]), 2).flatten()
    tensor([0., 0., 0., 0., 0., 0., 0., 1.])
    """
    return _max_unpool_nd(3, input, indices, kernel_size, stride, padding, output_size)


# Averages


_AVERAGE_STATICS = "kernel stride padding ceil_mode count_include_pad divisor_override"


def _counts_along(spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> list[np.ndarray]:
    """For each dim what a window's sum is divided by: the count of its places, or also of the padding that it covers."""
    found = []
    for n, (size, k, s, p) in enumerate(zip(spatial, kernel, stride, padding, strict=True)):
        start = np.arange(window_count(size, k, s, p, 1, ceil_mode)) * s - p
        end = np.minimum(start + k, size + p)
        along = end - start if count_include_pad else np.minimum(end, size) - np.maximum(start, 0)
        found.append(np.maximum(along, 1) if divisor_override is None else np.full(start.size, divisor_override if n == 0 else 1))
    return found


def _averaged_counts(*geometry: Any, **counting: Any) -> np.ndarray:
    """What each window's sum is divided by."""
    return functools.reduce(np.multiply.outer, _counts_along(*geometry, **counting))


def _divided(total: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if total.dtype.kind in "iu":
        return np.sign(total) * np.sign(counts) * (np.abs(total) // np.abs(counts))
    return total / counts.astype(total.dtype)


def _average_rule(input: np.ndarray, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, **counting: Any) -> np.ndarray:
    spatial = input.shape[-len(kernel) :]
    total = sum_over(widened(input), _tables(spatial, kernel, stride, padding, (1,) * len(kernel), ceil_mode))
    return _divided(total, _averaged_counts(spatial, kernel, stride, padding, ceil_mode, **counting))


def _average_gradient_rule(grad_output: np.ndarray, size: Shape, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, **counting: Any) -> np.ndarray:
    shares = _divided(widened(grad_output), _averaged_counts(size, kernel, stride, padding, ceil_mode, **counting))
    return sum_over(shares, [transposed(t) for t in _tables(size, kernel, stride, padding, (1,) * len(kernel), ceil_mode)])


def _average_lowering(plan: Plan) -> Lowered | None:
    return _average_calls(plan, plan.operands[0].shape[-len(plan.params["kernel"]) :], backward=False, **plan.params)


def _average_calls(plan: Plan, size: Shape, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, backward: bool = True, **counting: Any) -> Lowered | None:
    tables = _tables(size, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    counts = _counts_along(size, kernel, stride, padding, ceil_mode, **counting)
    return pooling.sums(plan, [transposed(t) for t in tables] if backward else tables, counts, "before" if backward else "after")


def _infer_average(input: Layout, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Layout:
    out = _infer_windows(input, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    return out if len(kernel) == 2 else contiguous(out.shape, out.dtype)


def _average_gradient(g: Tensor, layouts: Sequence[Layout], kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Tensor:
    size = layouts[0].shape[-len(kernel) :]
    return apply(_avg_pool_backward, (g,), (size, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override))


_avg_pool = {
    n: Card(
        f"avg_pool{n}d", "input",
        statics=_AVERAGE_STATICS,
        infer=_infer_average, numpy=_average_rule, grads={"input": _average_gradient},
        lowering=Calls(_average_lowering, half=AS_FLOAT),
        node_name=f"AvgPool{n}DBackward0", onnx="AveragePool",
    )
    for n in (2, 3)
}  # fmt: skip
_avg_pool_backward = Card(
    "avg_pool_backward", "grad_output",
    statics="size " + _AVERAGE_STATICS,
    infer=lambda grad_output, size, **rest: in_format_of(grad_output, (*grad_output.shape[: grad_output.ndim - len(size)], *size)),
    numpy=_average_gradient_rule,
    lowering=Calls(lambda plan: _average_calls(plan, **plan.params), exact=True, half=AS_FLOAT),
    grads={"grad_output": lambda g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: apply(
        _avg_pool[len(kernel)], (g,), (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    )},
    node_name="AvgPool2DBackwardBackward0",
)  # fmt: skip


def _avg_pool_nd(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Tensor:
    function = f"avg_pool{n}d"
    here = as_tensor_argument(input, function)._layout
    either = " either" if n == 2 else ""

    def ints(value: Any, name: str) -> Shape:
        check_ints(function, name, value)
        return spatial_arguments(value, n, f"{function}: {name} must{either} be{' omitted,' if name == 'stride' else ''} a single int, or a tuple of {_COUNTS[n]}")

    kernel = ints(kernel_size, "kernel_size")
    steps = kernel if stride is None or stride in ([], ()) else ints(stride, "stride")
    margins = ints(padding, "padding")
    if divisor_override is not None:
        check_int(function, "divisor_override", 7, divisor_override)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    if n == 2 and here.ndim < 3:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-max(here.ndim, 1)}, {max(here.ndim, 1) - 1}], but got -3)")
    if n == 2 and here.ndim > 4:
        raise RuntimeError(f"Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{sizes(here.shape)}")
    _check_input("avg_pool2d" if n == 2 else "avg_pool3d_out_frame", here, n, _NOT_AVERAGED if n == 2 else _NOT_AVERAGED | dt.HALF, f"{function}()")
    if n == 3 and any(size + 2 * p < k for size, k, p in zip(here.shape[-3:], kernel, margins, strict=True)):
        image, reach = (" ".join(f"{letter}{a}: {v}" for a, v in zip("THW", values, strict=True)) for letter, values in (("", here.shape[-3:]), ("k", kernel)))
        raise RuntimeError(f"input image ({image}) smaller than kernel size ({reach})")
    return apply(_avg_pool[n], (input,), (kernel, steps, margins, bool(ceil_mode), bool(count_include_pad), divisor_override))


def one_int(function: str, name: str, value: Any) -> int:
    """An int, or the only one in a sequence."""
    check_ints(function, name, value)
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise RuntimeError(f"{function}() argument '{name}' should contain one int (got {len(value)})")
        value = value[0]
    return int(value)


def check_2d_or_3d(function: str, input: Layout) -> None:
    if input.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' (while checking arguments for {function})")


def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L). `stride` is `kernel_size` when not given.

    >>> F.avg_pool1d(torch.tensor([[1., 3., 2., 5.]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    check_2d_or_3d("avg_pool1d", as_tensor_argument(input, "avg_pool1d")._layout)
    kernel = one_int("avg_pool1d", "kernel_size", kernel_size)
    step = kernel if stride is None or stride in ([], ()) else one_int("avg_pool1d", "stride", stride)
    margin = one_int("avg_pool1d", "padding", padding)
    return _avg_pool_nd(2, input.unsqueeze(-2), (1, kernel), (1, step), (0, margin), ceil_mode, count_include_pad, None).squeeze(-2)


def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of (N, C, H, W) or (C, H, W). `stride` is `kernel_size` when not given.

    >>> F.avg_pool2d(torch.tensor([[[1., 3.], [2., 5.]]]), 2)
    tensor([[[2.7500]]])
    """
    return _avg_pool_nd(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@autocasts(SINGLE)
def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W). `stride` is `kernel_size` when not given.

    >>> F.avg_pool3d(torch.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[3.5000]]]])
    """
    return _avg_pool_nd(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# Power averages


def _lp_pool_nd(n: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    largest = (max_pool1d, max_pool2d, max_pool3d)[n - 1]
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[n - 1]
    if norm_type == float("inf"):
        return largest(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    if norm_type == -float("inf"):
        return -largest(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    count = int(np.prod(spatial_arguments(kernel_size, n, f"kernel_size must have {n} elements")))
    mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of (N, C, L) or (C, L), with p = `norm_type`.

    >>> F.lp_pool1d(torch.tensor([[3., 4., 5., 12.]]), 2, 2)
    tensor([[ 5., 13.]])
    """
    return _lp_pool_nd(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of (N, C, H, W) or (C, H, W), with p = `norm_type`.

    >>> F.lp_pool2d(torch.ones(1, 2, 2), 2, 2)
    tensor([[[2.]]])
    """
    return _lp_pool_nd(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of (N, C, D, H, W) or (C, D, H, W), with p = `norm_type`.

    >>> F.lp_pool3d(torch.ones(1, 2, 2, 2), 1, 2)
    tensor([[[[8.]]]])
    """
    return _lp_pool_nd(3, input, norm_type, kernel_size, stride, ceil_mode)
