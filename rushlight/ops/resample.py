"""Changing the size of images and volumes: `interpolate` and its older names.

Every mode is linear and separable, so that it is a table of taps for each dim, and its gradient is the transposed tables.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import pooling
from ..engine.lowering import AS_FLOAT, Calls
from ..errors import sizes
from ..shape import Layout, Shape
from .adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .card import Card, apply
from .define import NOT_SINGLE, as_tensor_argument, refuse_dtypes
from .reduction import widened
from .separable import Table, in_format_of, sum_along, table, transposed

if TYPE_CHECKING:
    from ..engine.kernel import Lowered
    from ..tensor import Tensor
    from .card import Plan


def _cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Keys' cubic convolution kernel with parameter `a`."""

    def kernel(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return kernel


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


#: The kernels of the antialiased modes, with their width in input pixels.
_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "bilinear": (lambda x: np.maximum(0, 1 - np.abs(x)), 2),
    "bicubic": (_cubic(-0.5), 4),
    "lanczos": (_lanczos, 6),
}


def _scale(size: int, out: int, align_corners: bool, scale_factor: float | None, real: type[np.floating[Any]]) -> Any:
    """The distance between the input positions of neighbouring results."""
    if align_corners:
        return real(size - 1) / real(out - 1) if out > 1 else real(0)
    return real(1 / scale_factor) if scale_factor else real(size) / real(out)


def _nearest_table(size: int, out: int, scale: Any, shift: float) -> Table:
    index = np.minimum(np.floor((np.arange(out, dtype=np.float32) + np.float32(shift)) * scale).astype(np.intp), size - 1)
    return table(index[:, None], np.ones((out, 1), bool), size)


def _interpolating_table(mode: str, size: int, out: int, align_corners: bool, scale: Any) -> Table:
    at = np.arange(out, dtype=scale.dtype)
    half = scale.dtype.type(0.5)
    source = at * scale if align_corners else (at + half) * scale - half
    if mode == "bicubic":
        start = np.floor(source)
        offsets = np.arange(-1, 3)
        weight = _cubic(-0.75)(source[:, None] - start[:, None] - offsets)
        index = np.clip(start.astype(np.intp)[:, None] + offsets, 0, size - 1)
    else:
        source = np.maximum(source, 0)
        start = np.minimum(np.floor(source), size - 1)
        upper = np.clip(source - start, 0, 1)
        weight = np.stack((1 - upper, upper), 1)
        index = np.minimum(start.astype(np.intp)[:, None] + np.arange(2), size - 1)
    return table(index, np.ones(index.shape, bool), size, weight)


def _antialiased_table(mode: str, size: int, out: int, scale: Any) -> Table:
    """Each result is a mean under a kernel that is as wide as the result's own pixel, as in Pillow."""
    kernel, width = _FILTERS[mode]
    reach = width / 2 * max(scale, 1)
    centre = (np.arange(out) + 0.5) * scale
    start = np.maximum((centre - reach + 0.5).astype(np.intp), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.intp), size)
    index = start[:, None] + np.arange(int((end - start).max()))
    valid = index < end[:, None]
    weight = np.where(valid, kernel((index - centre[:, None] + 0.5) / max(scale, 1)), 0)
    total = weight.sum(1, keepdims=True)
    return table(index, valid, size, weight / np.where(total == 0, 1, total))


@functools.lru_cache(maxsize=512)
def _table(mode: str, antialias: bool, size: int, out: int, align_corners: bool, scale_factor: float | None, double: bool) -> Table:
    scale = _scale(size, out, align_corners, scale_factor, np.float64 if double else np.float32)
    if mode in ("nearest", "nearest-exact"):
        return _nearest_table(size, out, np.float32(scale), 0.5 if mode == "nearest-exact" else 0)
    if antialias:
        return _antialiased_table(mode, size, out, scale)
    return _interpolating_table(mode, size, out, align_corners, scale)


@functools.lru_cache(maxsize=512)
def _transposed_table(*key: Any) -> Table:
    return transposed(_table(*key))


def _fixed_point(exact: Table) -> Table:
    """The table with weights rounded to 16 bits, in which images of bytes are resized (as in Pillow)."""
    largest = max((float(np.abs(t.weight).max()) for t in exact.taps if t.weight is not None), default=1.0)
    bits = 0
    while bits < 22 and int(0.5 + largest * 2 ** (bits + 1)) < 2**15:
        bits += 1
    return exact._replace(taps=tuple(t if t.weight is None else t._replace(weight=np.rint(t.weight * 2**bits) / 2**bits) for t in exact.taps))


_STATICS = "mode antialias size out align_corners scale_factors"


def _resample_with(make: Callable[..., Table]) -> Callable[..., np.ndarray]:
    def rule(input: np.ndarray, mode: str, antialias: bool, size: Shape, out: Shape, align_corners: bool, scale_factors: Sequence[float | None]) -> np.ndarray:
        whole = input.dtype.kind == "u"
        values = input.astype(np.float64) if whole else widened(input)
        tables = [make(mode, antialias, s, o, align_corners, f, values.dtype.itemsize == 8) for s, o, f in zip(size, out, scale_factors, strict=True)]
        for axis in range(values.ndim - 1, 1, -1):
            values = sum_along(values, axis, _fixed_point(tables[axis - 2]) if whole else tables[axis - 2])
            if whole:
                values = np.clip(np.floor(values + 0.5), 0, 255)
        return values

    return rule


def _lowering_with(make: Callable[..., Table]) -> Calls:
    def calls(plan: Plan) -> Lowered | None:
        params = plan.params
        double = plan.operands[0].dtype is dt.float64
        tables = [make(params["mode"], params["antialias"], s, o, params["align_corners"], f, double) for s, o, f in zip(params["size"], params["out"], params["scale_factors"], strict=True)]
        return pooling.sums(plan, tables)

    return Calls(calls, exact=True, half=AS_FLOAT)


def _infer(input: Layout, size: Shape, out: Shape, **rest: Any) -> Layout:
    return in_format_of(input, (*input.shape[:2], *out))


def _gradient(g: Tensor, mode: str, antialias: bool, size: Shape, out: Shape, align_corners: bool, scale_factors: Any) -> Tensor:
    return apply(_resample_backward, (g,), (mode, antialias, size, out, align_corners, scale_factors))


def _card(mode: str, n: int, antialias: bool) -> Card:
    title = "".join(part.capitalize() for part in mode.split("-")) + f"{n}D" + ("Aa" if antialias else "")
    return Card(
        f"upsample_{mode.replace('-', '_')}{n}d{'_aa' if antialias else ''}", "input",
        statics=_STATICS,
        infer=_infer, numpy=_resample_with(_table), grads={"input": _gradient}, lowering=_lowering_with(_table),
        node_name=f"Upsample{title}Backward0", onnx="Resize",
    )  # fmt: skip


_INTERPOLATING = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}
_CARDS = {(mode, n, False): _card(mode, n, False) for n in (1, 2, 3) for mode in ("nearest", "nearest-exact", *_INTERPOLATING[n])} | {
    (mode, 2, True): _card(mode, 2, True) for mode in _FILTERS
}
_resample_backward = Card(
    "upsample_backward", "grad_output",
    statics=_STATICS,
    infer=lambda grad_output, size, **rest: in_format_of(grad_output, (*grad_output.shape[:2], *size)),
    numpy=_resample_with(_transposed_table), lowering=_lowering_with(_transposed_table),
    grads={"grad_output": lambda g, mode, antialias, size, out, align_corners, scale_factors: apply(
        _CARDS[mode, len(size), antialias], (g,), (mode, antialias, size, out, align_corners, scale_factors)
    )},
)  # fmt: skip

_NEEDED_DIMS = {"linear": 3, "bilinear": 4, "trilinear": 5}


def _kernel(mode: str, input: Layout) -> str:
    """PyTorch's kernel, as its errors name it."""
    if input.ndim == 4 and mode in ("nearest", "nearest-exact", "bilinear"):
        return f"upsample_{mode.removesuffix('-exact')}2d_channels_last"
    return f"compute_indices_weights_{'cubic' if mode == 'bicubic' else 'linear' if mode.endswith('linear') else 'nearest'}"


def _resample(input: Any, out: Shape, mode: str, align_corners: bool, scale_factors: Sequence[float | None], antialias: bool) -> Tensor:
    here = input._layout
    size = here.shape[2:]
    if min(size) <= 0 or min(out) <= 0:
        letters = "DHW"[-len(size) :]
        before, after = (", ".join(f"{letter}: {v}" for letter, v in zip(letters, values, strict=True)) for values in (size, out))
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({before}) output ({after})")
    if here.shape[1] == 0:
        raise RuntimeError(f"Non-empty {here.ndim}D data tensor expected but got a tensor with sizes {sizes(here.shape)}")
    allowed = here.dtype.is_floating_point or (here.dtype is dt.uint8 and (mode.startswith("nearest") or here.ndim == 4))
    if antialias:
        refuse_dtypes("compute_index_ranges_weights", here.dtype, NOT_SINGLE - {dt.uint8})
    if not allowed:
        raise NotImplementedError(f"\"{_kernel(mode, here)}\" not implemented for '{here.dtype.type_name}'")
    return apply(_CARDS[mode, len(size), antialias], (input,), (mode, antialias, size, out, align_corners, tuple(scale_factors)))


def _output_size(input: Any, size: Any, scale_factor: Any) -> tuple[Shape | None, tuple[float, ...] | None]:
    """The output size or the scale factors, one for each spatial dim."""
    spatial = list(input._layout.shape[2:])
    n = len(spatial)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (tuple, list)):
            return (int(size),) * n, None
        if len(size) != n:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {spatial} and output size of {size}. "
                "Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
            )
        if not all(isinstance(s, int) or (hasattr(s, "__index__") and not isinstance(s, float)) for s in size):
            raise TypeError(f"expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size with types {[type(s) for s in size]}")
        return tuple(int(s) for s in size), None
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if not isinstance(scale_factor, (tuple, list)):
        return None, (float(scale_factor),) * n
    if len(scale_factor) != n:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but "
            f"got input with spatial dimensions of {spatial} and scale_factor of shape {scale_factor}. "
            "Please provide input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    return None, tuple(float(s) for s in scale_factor)


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False) -> Tensor:
    """`input`, (N, C, ...) with one to three spatial dims, resized to `size` or by `scale_factor`.

    `mode`: nearest, nearest-exact, area; linear, bilinear, trilinear (for 3, 4 and 5 dims), bicubic and lanczos (for 4).

    >>> F.interpolate(torch.tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    as_tensor_argument(input, "interpolate")
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    ndim = input.dim()
    wanted, scale_factors = _output_size(input, size, scale_factor)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if wanted is None:
        assert scale_factors is not None
        wanted = tuple(int(n * s) for n, s in zip(input._layout.shape[2:], scale_factors, strict=True))
        if mode == "area" or recompute_scale_factor:
            scale_factors = None
    if antialias and not (mode in _FILTERS and ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input")
    if mode == "area" and ndim in (3, 4, 5):
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[ndim - 3](input, wanted)
    if mode == "lanczos" and ndim == 4:
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
    elif (mode, ndim - 2, False) not in _CARDS:
        if ndim in (3, 4, 5) and mode in _NEEDED_DIMS:
            raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {_NEEDED_DIMS[mode]}D input")
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: "
            f"nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    return _resample(input, wanted, mode, bool(align_corners), scale_factors or (None,) * (ndim - 2), bool(antialias))


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """The former name of `interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The former name of `interpolate` with mode "nearest"."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The former name of `interpolate` with mode "bilinear" and corners aligned."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
