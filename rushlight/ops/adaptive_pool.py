"""Pooling to a given output size: windows that cover the input evenly, or (fractional) at pseudo-random steps."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine import pooling
from ..engine.lowering import AS_FLOAT, Calls
from ..errors import sizes
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .define import NOT_FLOAT, as_tensor_argument, refuse_dtypes
from .pool import check_2d_or_3d, max_gradient, one_int
from .reduction import widened
from .separable import adaptive_bounds, adaptive_table, in_format_of, max_over, spatial_arguments, sum_over, transposed

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan


def _infer_adaptive(input: Layout, size: Shape) -> Layout:
    shape = (*input.shape[: input.ndim - len(size)], *size)
    return in_format_of(input, shape) if len(size) == 2 else contiguous(shape, input.dtype)


def _counts(spatial: Shape, size: Shape) -> np.ndarray:
    """How many values each window of a mean covers."""
    return functools.reduce(np.multiply.outer, _counts_along(spatial, size))


def _counts_along(spatial: Shape, size: Shape) -> list[np.ndarray]:
    found = []
    for n, out in zip(spatial, size, strict=True):
        start, end = adaptive_bounds(n, out) if out else (np.zeros(0, np.int64), np.zeros(0, np.int64))
        found.append(end - start)
    return found


def _mean_rule(input: np.ndarray, size: Shape) -> np.ndarray:
    spatial = input.shape[input.ndim - len(size) :]
    total = sum_over(widened(input), [adaptive_table(n, out) for n, out in zip(spatial, size, strict=True)])
    return total / _counts(spatial, size).astype(total.dtype)


def _mean_gradient_rule(grad_output: np.ndarray, size: Shape) -> np.ndarray:
    windows = grad_output.shape[grad_output.ndim - len(size) :]
    shares = widened(grad_output)
    shares = shares / _counts(size, windows).astype(shares.dtype)
    return sum_over(shares, [transposed(adaptive_table(n, out)) for n, out in zip(size, windows, strict=True)])


def _spatial(layout: Layout, size: Shape) -> Shape:
    return layout.shape[layout.ndim - len(size) :]


def _mean_lowering(plan: Plan) -> Lowered | None:
    size = plan.params["size"]
    spatial = _spatial(plan.operands[0], size)
    return pooling.sums(plan, [adaptive_table(n, out) for n, out in zip(spatial, size, strict=True)], _counts_along(spatial, size), "after")


def _mean_gradient_lowering(plan: Plan) -> Lowered | None:
    size = plan.params["size"]
    windows = _spatial(plan.operands[0], size)
    return pooling.sums(plan, [transposed(adaptive_table(n, out)) for n, out in zip(size, windows, strict=True)], _counts_along(size, windows), "before")


def _max_lowering(plan: Plan) -> Lowered | None:
    size = plan.params["size"]
    return pooling.maxima(plan, [adaptive_table(n, out) for n, out in zip(_spatial(plan.operands[0], size), size, strict=True)])


_adaptive_avg_pool = {
    n: Card(
        f"adaptive_avg_pool{n}d", "input",
        statics="size",
        infer=_infer_adaptive, numpy=_mean_rule, lowering=Calls(_mean_lowering, half=AS_FLOAT),
        grads={"input": lambda g, layouts, size: apply(_adaptive_avg_pool_backward, (g,), (layouts[0].shape[layouts[0].ndim - len(size) :],))},
        node_name=f"AdaptiveAvgPool{n}DBackward0",
    )
    for n in (2, 3)
}  # fmt: skip
_adaptive_avg_pool_backward: Card = Card(
    "adaptive_avg_pool_backward", "grad_output",
    statics="size",
    infer=_infer_adaptive, numpy=_mean_gradient_rule, lowering=Calls(_mean_gradient_lowering, exact=True, half=AS_FLOAT),
    grads={"grad_output": lambda g, layouts, size: apply(_adaptive_avg_pool[len(size)], (g,), (layouts[0].shape[layouts[0].ndim - len(size) :],))},
    node_name="AdaptiveAvgPool2DBackwardBackward0",
)  # fmt: skip


def _max_rule(input: np.ndarray, size: Shape) -> tuple[np.ndarray, np.ndarray]:
    spatial = input.shape[input.ndim - len(size) :]
    if 0 in size:
        shape = (*input.shape[: input.ndim - len(size)], *size)
        return np.empty(shape, input.dtype), np.empty(shape, np.int64)
    return max_over(widened(input), [adaptive_table(n, out) for n, out in zip(spatial, size, strict=True)])


def _infer_adaptive_max(input: Layout, size: Shape) -> tuple[Layout, Layout]:
    out = _infer_adaptive(input, size)
    return out, in_format_of(out, out.shape, dt.int64)


_adaptive_max_pool = {
    n: Card(
        f"adaptive_max_pool{n}d", "input",
        statics="size", outputs="output indices",
        infer=_infer_adaptive_max, numpy=_max_rule, lowering=Calls(_max_lowering, half=AS_FLOAT),
        grads={"input": lambda g, indices, layouts, size: max_gradient(g, indices, layouts[0].shape[layouts[0].ndim - len(size) :])},
        node_name=f"AdaptiveMaxPool{n}DBackward0",
    )
    for n in (2, 3)
}  # fmt: skip


def _wanted_size(n: int, input: Layout, output_size: Any) -> Shape:
    """The output size, where None stands for the input's own."""
    if isinstance(output_size, int):
        return (int(output_size),) * n
    if not output_size:
        return ()
    if input.ndim <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    return tuple(own if wanted is None else int(wanted) for wanted, own in zip(output_size, input.shape[-len(output_size) :], strict=True))


def _check_not_empty(function: str, input: Layout, start: int = 1) -> None:
    for d in range(start, input.ndim):
        if input.shape[d] == 0:
            raise RuntimeError(f"{function}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {sizes(input.shape)} with dimension {d} being empty")


def _adaptive_avg_pool_nd(n: int, input: Any, output_size: Any) -> Tensor:
    function = f"adaptive_avg_pool{n}d"
    here = as_tensor_argument(input, function)._layout
    size = _wanted_size(n, here, output_size)
    if len(size) != n:
        raise RuntimeError(f"{function}: output_size must be {n}")
    if any(s < 0 for s in size):
        raise RuntimeError(f"{function}: elements of output_size must be greater than or equal to 0 but received {{{', '.join(map(str, size[:2]))}{''.join(f',{s}' for s in size[2:])}}}")
    if all(s == 1 for s in size) and here.ndim >= n:
        return _global_mean(input, here, n)
    if here.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{function}(): Expected {n + 1}D or {n + 2}D tensor, but got {sizes(here.shape)}")
    _check_not_empty(function, here, here.ndim - n if n == 2 else 1)
    refuse_dtypes(f"{function}{'_cpu' if n == 3 else ''}", here.dtype, NOT_FLOAT)
    return apply(_adaptive_avg_pool[n], (input,), (size,))


def _global_mean(input: Any, here: Layout, n: int) -> Tensor:
    found = input.mean(tuple(range(-n, 0)), keepdim=True)
    wanted = in_format_of(here, found._layout.shape)
    return found if wanted.contiguous and wanted.stride == found._layout.stride else found.as_strided(wanted.shape, wanted.stride)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over `output_size` windows that cover (N, C, L) or (C, L) evenly.

    >>> F.adaptive_avg_pool1d(torch.tensor([[1., 3., 2., 5.]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    check_2d_or_3d("adaptive_avg_pool1d", as_tensor_argument(input, "adaptive_avg_pool1d")._layout)
    size = _one_size("adaptive_avg_pool1d", output_size)
    return _adaptive_avg_pool_nd(2, input.unsqueeze(-2), (1, size)).squeeze(-2)


def _one_size(function: str, output_size: Any) -> int:
    if output_size is None:
        raise TypeError(f"{function}(): argument 'output_size' (position 2) must be tuple of ints, not NoneType")
    return one_int(function, "output_size", output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that cover the plane evenly, to `output_size`, in which None keeps a dim.

    >>> F.adaptive_avg_pool2d(torch.arange(4.).reshape(1, 2, 2), 1)
    tensor([[[1.5000]]])
    """
    return _adaptive_avg_pool_nd(2, input, output_size)


@autocasts(SINGLE)
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that cover the volume evenly, to `output_size`, in which None keeps a dim.

    >>> F.adaptive_avg_pool3d(torch.arange(8.).reshape(1, 2, 2, 2), 1)
    tensor([[[[3.5000]]]])
    """
    return _adaptive_avg_pool_nd(3, input, output_size)


def _adaptive_max_pool_nd(n: int, input: Any, output_size: Any) -> tuple[Tensor, Tensor]:
    function = f"adaptive_max_pool{n}d"
    here = as_tensor_argument(input, function)._layout
    size = _wanted_size(n, here, output_size)
    if here.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{function}(): Expected {n + 1}D or {n + 2}D tensor, but got: {sizes(here.shape)}")
    _check_not_empty(function, here, 0 if here.ndim == n + 1 else 1)
    if len(size) != n:
        raise RuntimeError(f"{function}(): internal error: output_size.size() must be {n}")
    if any(s < 0 for s in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {sizes((*here.shape[:-n], *size))}")
    refuse_dtypes(f"{function}{'_cpu' if n == 3 else ''}", here.dtype, NOT_FLOAT)
    return apply(_adaptive_max_pool[n], (input,), (size,))


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` and the positions of the maxima.

    >>> F.adaptive_max_pool1d_with_indices(torch.tensor([[1., 3., 2., 5.]]), 2)
    (tensor([[3., 5.]]), tensor([[1, 3]]))
    """
    here = as_tensor_argument(input, "adaptive_max_pool1d")._layout
    check_2d_or_3d("adaptive_max_pool1d", here)
    size = _one_size("adaptive_max_pool1d", output_size)
    _check_not_empty("adaptive_max_pool1d", here, here.ndim - 2)
    found, indices = _adaptive_max_pool_nd(2, input.unsqueeze(-2), (1, size))
    return found.squeeze(-2), indices.squeeze(-2)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over `output_size` windows that cover (N, C, L) or (C, L) evenly.

    >>> F.adaptive_max_pool1d(torch.tensor([[1., 3., 2., 5.]]), 2)
    tensor([[3., 5.]])
    """
    found = adaptive_max_pool1d_with_indices(input, output_size)
    return found if return_indices else found[0]


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` and the positions of the maxima, counted row by row over the plane.

    >>> F.adaptive_max_pool2d_with_indices(torch.arange(4.).reshape(1, 2, 2), 1)
    (tensor([[[3.]]]), tensor([[[3]]]))
    """
    return _adaptive_max_pool_nd(2, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows that cover the plane evenly, to `output_size`, in which None keeps a dim.

    >>> F.adaptive_max_pool2d(torch.arange(4.).reshape(1, 2, 2), 1)
    tensor([[[3.]]])
    """
    found = _adaptive_max_pool_nd(2, input, output_size)
    return found if return_indices else found[0]


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` and the positions of the maxima, counted row by row over the volume.

    >>> F.adaptive_max_pool3d_with_indices(torch.arange(8.).reshape(1, 2, 2, 2), 1)
    (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    return _adaptive_max_pool_nd(3, input, output_size)


@autocasts(SINGLE)
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows that cover the volume evenly, to `output_size`, in which None keeps a dim.

    >>> F.adaptive_max_pool3d(torch.arange(8.).reshape(1, 2, 2, 2), 1)
    tensor([[[[7.]]]])
    """
    found = _adaptive_max_pool_nd(3, input, output_size)
    return found if return_indices else found[0]


# Fractional max pooling: Graham, "Fractional Max-Pooling" (https://arxiv.org/abs/1412.6071)


def _fractional_starts(samples: np.ndarray, size: int, out: int, kernel: int) -> np.ndarray:
    """Where the windows of each plane start: (planes, out). The last one ends with the input."""
    if out <= 1:
        return np.full((samples.size, out), size - kernel)
    alpha = samples.dtype.type(size - kernel) / samples.dtype.type(out - 1)
    steps = np.arange(out, dtype=samples.dtype)
    starts = ((steps + samples[:, None]) * alpha).astype(np.intp) - (samples[:, None] * alpha).astype(np.intp)
    starts[:, -1] = size - kernel
    return starts


def _fractional_rule(input: np.ndarray, samples: np.ndarray, kernel: Shape, size: Shape) -> tuple[np.ndarray, np.ndarray]:
    n = len(size)
    lead, spatial = input.shape[: input.ndim - n], input.shape[input.ndim - n :]
    best = widened(input).reshape(-1, *spatial)
    draws = widened(samples).reshape(-1, n)
    if n == 2:
        draws = draws[:, ::-1]  # the first sample belongs to the width
    index = np.zeros((1,) * (n + 1), np.intp)
    for d in range(n - 1, -1, -1):
        starts = _fractional_starts(draws[:, d], spatial[d], size[d], kernel[d]).reshape(-1, *[1] * d, size[d], *[1] * (n - 1 - d))
        step = int(np.prod(spatial[d + 1 :]))
        shape = (*best.shape[: d + 1], size[d], *best.shape[d + 2 :])
        index = np.broadcast_to(index, best.shape)
        found = np.full(shape, -np.inf, best.dtype)
        where = np.zeros(shape, np.intp)
        for tap in range(kernel[d]):
            source = np.broadcast_to(starts + tap, shape)
            candidate = np.take_along_axis(best, source, d + 1)
            better = (candidate > found) | np.isnan(candidate)
            if tap == 0:
                better[...] = True
            found = np.where(better, candidate, found)
            where = np.where(better, np.take_along_axis(index, source, d + 1) + source * step, where)
        best, index = found, where
    return best.reshape(*lead, *size), index.reshape(*lead, *size)


_fractional_max_pool = {
    n: Card(
        f"fractional_max_pool{n}d", "input samples",
        statics="kernel size", outputs="output indices",
        infer=lambda input, samples, kernel, size: tuple(contiguous((*input.shape[: input.ndim - len(size)], *size), d) for d in (input.dtype, dt.int64)),
        numpy=_fractional_rule,
        backward=lambda g, indices, layouts, size: [max_gradient(g, indices, layouts[0].shape[layouts[0].ndim - len(size) :]), None],
        node_name=f"FractionalMaxPool{n}DBackward0",
    )
    for n in (2, 3)
}  # fmt: skip


def _fractional_max_pool_nd(n: int, input: Any, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any) -> tuple[Tensor, Tensor]:
    from .random import rand

    function = f"fractional_max_pool{n}d"
    here = as_tensor_argument(input, function)._layout
    if output_size is None and output_ratio is None:
        raise ValueError(f"{function} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        if len(output_ratio) > n:
            raise ValueError(f"{function} requires output_ratio to either be a single Int or tuple of Ints.")
        ratios = tuple(output_ratio) * (n if len(output_ratio) == 1 else 1)
        output_size = [int(size * ratio) for size, ratio in zip(here.shape[-n:], ratios, strict=True)]
    if here.ndim <= n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-max(here.ndim, 1)}, {max(here.ndim, 1) - 1}], but got {-n - 1})")
    if samples is None:
        samples = rand(1 if here.ndim == n + 1 else here.shape[0], here.shape[-n - 1], n, dtype=here.dtype, device=input.device)
    kernel_name = f"{function}_out" if n == 3 else function
    kernel = spatial_arguments(kernel_size, n, f"{function}: kernel_size must either be a single Int or tuple of Ints")
    size = spatial_arguments(output_size, n, f"{function}: output_size must either be a single Int or tuple of Ints")
    if here.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{kernel_name}(): Expected {n + 1}D or {n + 2}D tensor, but got: {sizes(here.shape)}")
    _check_not_empty(function, here, here.ndim - n - 1)
    for axis, s, k, o in zip("THW"[-n:], here.shape[-n:], kernel, size, strict=True):
        # In three dims PyTorch wants one element more than windows need.
        if o + k - 1 + (n == 3) > s:
            what = {"T": "time", "H": "height", "W": "width"}[axis]
            raise RuntimeError(f"{kernel_name}(): pool {what} {k} too large relative to input {what} {s}")
    if samples.requires_grad:
        raise RuntimeError(f"The function '{function}' is not differentiable with respect to argument 'random_samples'. This input cannot have requires_grad True.")
    if samples._layout.dtype is not here.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    refuse_dtypes(f"{function}_out_frame", here.dtype, NOT_FLOAT)
    planes = (1 if here.ndim == n + 1 else here.shape[0], here.shape[-n - 1])
    drawn = samples._layout.shape
    if len(drawn) != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {len(drawn)}")
    if drawn[0] < planes[0]:
        raise RuntimeError(f"Expect _random_samples.size(0) no less then input batch size; got {drawn[0]}, {planes[0]}")
    if drawn[1] != planes[1]:
        raise RuntimeError(f"Expect _random_samples.size(1) equals to input channel size; got {drawn[1]}, {planes[1]}")
    if drawn[2] != n:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {n}; got {drawn[2]}.")
    if drawn[0] > planes[0]:
        samples = samples.narrow(0, 0, planes[0])
    return apply(_fractional_max_pool[n], (input, samples), (kernel, size))


def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = True, _random_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` and the positions of the maxima, counted row by row over the plane.

    >>> F.fractional_max_pool2d_with_indices(torch.arange(9.).reshape(1, 3, 3), 2, output_size=1)
    (tensor([[[8.]]]), tensor([[[8]]]))
    """
    return _fractional_max_pool_nd(2, input, kernel_size, output_size, output_ratio, _random_samples)


@autocasts(SINGLE)
def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:
    """Maxima of windows at pseudo-random steps, to `output_size` or to that share `output_ratio` of the input's size.

    >>> F.fractional_max_pool2d(torch.arange(9.).reshape(1, 3, 3), 2, output_size=1)
    tensor([[[8.]]])
    """
    found = _fractional_max_pool_nd(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = True, _random_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` and the positions of the maxima, counted row by row over the volume.

    >>> F.fractional_max_pool3d_with_indices(torch.arange(27.).reshape(1, 3, 3, 3), 2, output_size=1)
    (tensor([[[[26.]]]]), tensor([[[[26]]]]))
    """
    return _fractional_max_pool_nd(3, input, kernel_size, output_size, output_ratio, _random_samples)


@autocasts(SINGLE)
def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:
    """Maxima of windows at pseudo-random steps, to `output_size` or to that share `output_ratio` of the input's size.

    >>> F.fractional_max_pool3d(torch.arange(27.).reshape(1, 3, 3, 3), 2, output_size=1)
    tensor([[[[26.]]]])
    """
    found = _fractional_max_pool_nd(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]
