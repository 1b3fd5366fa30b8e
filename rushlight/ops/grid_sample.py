"""Reading images at given places: `grid_sample` and `affine_grid` (Jaderberg et al., https://arxiv.org/abs/1506.02025)."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autocasting import SINGLE, autocasts
from ..engine import grid_sample as native
from ..engine.lowering import FLOATING, Calls
from ..errors import sizes
from ..graph import exported_whole
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .combine import stack, where
from .creation import arange, linspace, ones, zeros_like
from .define import alias, as_tensor_argument, titled
from .gradient_entry import apply_masked, masked, results, through

if TYPE_CHECKING:
    from ..tensor import Tensor

_CORNERS_WARNING = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)


def _position(coordinate: Tensor, size: int, align_corners: bool) -> Tensor:
    """From -1..1 to input pixels: the extremes are the centres of the corner pixels, or their outer edges."""
    return (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2


def _clipped(position: Tensor, size: int) -> Tensor:
    """Clamped to the image, with no gradient at its edges or beyond; nan is the first edge."""
    return where((position > 0) & (position < size - 1), position, position.detach().nan_to_num(0).clamp(0, size - 1))


def _reflected(position: Tensor, size: int, align_corners: bool) -> Tensor:
    """Folded back at the edges as often as it takes."""
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return position * 0
    distance = (position - low).abs()
    rest = distance.fmod(span)
    flips = (distance.detach() / span).floor()
    return where(flips.remainder(2) == 0, rest + low, span - rest + low)


def _padded_position(position: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    if padding_mode == "border":
        return _clipped(position, size)
    if padding_mode == "reflection":
        return _clipped(_reflected(position, size, align_corners), size)
    return position


def _read(input: Tensor, places: Sequence[Tensor]) -> Tensor:
    """The values at whole positions (one tensor for each spatial dim): (N, C, ...). Zero outside the image."""
    batch, channels = input.shape[:2]
    index: Any = None
    inside: Any = None
    for place, size in zip(places, input.shape[2:], strict=True):
        here = (place >= 0) & (place <= size - 1)
        along = where(here, place, 0).long()
        index = along if index is None else index * size + along
        inside = here if inside is None else inside & here
    shape = index.shape[1:]
    flat = index.reshape(batch, 1, math.prod(shape)).expand(batch, channels, math.prod(shape))
    found = input.reshape(batch, channels, math.prod(input.shape[2:])).gather(2, flat).reshape(batch, channels, *shape)
    return found.masked_fill(~inside.unsqueeze(1), 0)


def _cubic_weights(fraction: Any) -> list[Any]:
    """Keys' cubic convolution with a = -0.75, at the four pixels around."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(fraction + 1), near(fraction), near(1 - fraction), far(2 - fraction)]


def _cubic_slopes(fraction: Any) -> list[Any]:
    """Of the weights, as the fraction grows."""
    a = -0.75

    def near(x: Any) -> Any:
        return (3 * (a + 2) * x - 2 * (a + 3)) * x

    def far(x: Any) -> Any:
        return (3 * a * x - 10 * a) * x + 8 * a

    return [far(fraction + 1), near(fraction), -near(1 - fraction), -far(2 - fraction)]


def _sample(input: Tensor, positions: Sequence[Tensor], mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    spatial = input.shape[2:]
    padded = [_padded_position(p, size, padding_mode, align_corners) for p, size in zip(positions, spatial, strict=True)]
    if mode == "nearest":
        return _read(input, [p.detach().round() for p in padded])
    cubic = mode == "bicubic"
    floors = [p.detach().floor() for p in (positions if cubic else padded)]
    taps = []
    for position, floor, size in zip(positions if cubic else padded, floors, spatial, strict=True):
        fraction = position - floor
        weights = _cubic_weights(fraction) if cubic else [1 - fraction, fraction]
        places = [floor + n for n in ((-1, 0, 1, 2) if cubic else (0, 1))]
        if cubic:
            places = [_padded_position(place, size, padding_mode, align_corners) for place in places]
        taps.append(list(zip(places, weights, strict=True)))
    total = None
    for combination in itertools.product(*taps):
        weight = math.prod((w for _, w in combination[1:]), start=combination[0][1])
        part = _read(input, [place for place, _ in combination]) * weight.unsqueeze(1)
        total = part if total is None else total + part
    assert total is not None
    return total


def _check(input: Layout, grid: Layout, mode: str) -> None:
    n = input.ndim - 2
    shapes = f"but got input with sizes {sizes(input.shape)} and grid with sizes {sizes(grid.shape)}"
    if input.ndim > 0 and grid.ndim > 0 and input.shape[0] != grid.shape[0]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, {shapes}")
    if not grid.ndim or grid.shape[-1] != n:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {n} in last dimension, but got grid with sizes {sizes(grid.shape)}")
    for d in range(2, input.ndim):
        if input.shape[d] == 0:
            raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {sizes(input.shape)} with dimension {d} being empty")
    if n not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, {shapes}")
    if n == 3 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"grid_sampler_{n}d_cpu{'_kernel_impl' if n == 2 else ''}\" not implemented for '{input.dtype.type_name}'")
    if input.dtype is not grid.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {grid.dtype.type_name}")


_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


@autocasts(SINGLE)
def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """`F.grid_sample` with the modes as numbers: bilinear, nearest, bicubic; zeros, border, reflection.

    >>> torch.grid_sampler(torch.arange(4.).reshape(1, 1, 2, 2), torch.zeros(1, 1, 1, 2), 0, 0, False)
    tensor([[[[1.5000]]]])
    """
    mode, padding = _MODES[interpolation_mode], _PADDING_MODES[padding_mode]
    _check(as_tensor_argument(input, "grid_sampler")._layout, as_tensor_argument(grid, "grid_sampler", "grid", 2)._layout, mode)
    params: dict[str, Any] = {"mode": mode, "padding_mode": padding, "align_corners": align_corners}
    return exported_whole("grid_sampler", (input, grid), params, lambda: (_sampled(input, grid, **params),))[0]


def _sampled(input: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    here = input._layout
    if here.dtype in FLOATING and here.numel and grid._layout.numel:
        return apply(_SAMPLERS[here.ndim - 2], (input, grid), (mode, padding_mode, bool(align_corners)))
    return titled(_by_formula(input, grid, mode, padding_mode, align_corners), f"GridSampler{grid._layout.shape[-1]}DBackward0")


def _by_formula(input: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    spatial = input.shape[2:]
    # The grid names the last dim first.
    positions = [_position(grid.select(-1, len(spatial) - 1 - d), size, align_corners) for d, size in enumerate(spatial)]
    return _sample(input, positions, mode, padding_mode, align_corners)


class _Tap(NamedTuple):
    """Along one dim, on arrays: where in the image, the weight, and how that grows with the coordinate."""

    place: np.ndarray
    weight: np.ndarray
    slope: np.ndarray


def _array_taps(coordinate: np.ndarray, size: int, mode: str, padding_mode: str, align_corners: bool) -> list[_Tap]:
    one = coordinate.dtype.type(1)
    last, low, span = one * (size - 1), one * 0 if align_corners else -one / 2, one * (size - 1 if align_corners else size)

    def reflected(position: np.ndarray) -> np.ndarray:
        distance = np.abs(position - low)
        rest = np.fmod(distance, span)
        folded: np.ndarray = np.where(np.floor(distance / span) % 2 == 0, rest + low, span - rest + low)
        return folded if span else position * 0

    def padded(position: np.ndarray) -> np.ndarray:
        if padding_mode == "zeros":
            return position
        position = reflected(position) if padding_mode == "reflection" else position
        return np.clip(np.nan_to_num(position, nan=0), 0, last)

    position = (coordinate + one) / 2 * last if align_corners else ((coordinate + one) * (one * size) - one) / 2
    slope = np.full_like(position, span / 2)
    if mode == "nearest":
        return [_Tap(np.round(padded(position)), np.ones_like(position), 0 * slope)]
    if mode == "bilinear":
        if padding_mode == "reflection":
            turned = (np.floor(np.abs(position - low) / span) % 2 != 0) ^ (position < low)
            slope[turned] *= -1
        if padding_mode != "zeros":
            inner = reflected(position) if padding_mode == "reflection" else position
            slope[~((inner > 0) & (inner < last))] = 0
        position = padded(position)
    floor = np.floor(position)
    fraction = position - floor
    if mode == "bilinear":
        return [_Tap(floor, one - fraction, -slope), _Tap(floor + one, fraction, slope)]
    slopes = [each * slope for each in _cubic_slopes(fraction)]
    places = [padded(floor + one * n) for n in (-1, 0, 1, 2)]
    return [_Tap(*each) for each in zip(places, _cubic_weights(fraction), slopes, strict=True)]


def _corners(input: np.ndarray, grid: np.ndarray, *how: Any) -> Iterator[tuple[tuple[_Tap, ...], Any, np.ndarray]]:
    """For each combination of the dims' taps: these, an index of the places (with a channel dim at the end), and which of them are in the image."""
    sizes_here = input.shape[2:]
    samples = np.arange(input.shape[0]).reshape([-1] + [1] * len(sizes_here))
    for taps in itertools.product(*(_array_taps(grid[..., -1 - d], size, *how) for d, size in enumerate(sizes_here))):
        inside = functools.reduce(np.logical_and, [(tap.place >= 0) & (tap.place <= size - 1) for tap, size in zip(taps, sizes_here, strict=True)])
        places = [np.where(inside, tap.place, 0).astype(np.int64) for tap in taps]
        yield taps, (samples, slice(None), *places), inside


def _rule(input: np.ndarray, grid: np.ndarray, mode: str, padding_mode: str, align_corners: bool) -> np.ndarray:
    """`_by_formula` on arrays."""
    total: Any = None
    for taps, index, inside in _corners(input, grid, mode, padding_mode, align_corners):
        found = np.where(inside[:, None], np.moveaxis(input[index], -1, 1), input.dtype.type(0))
        part = found if mode == "nearest" else found * np.asarray(functools.reduce(np.multiply, [tap.weight for tap in taps]))[:, None]
        total = part if total is None else total + part
    return np.asarray(total)


def _backward_rule(grad_output: np.ndarray, input: np.ndarray, grid: np.ndarray, mode: str, padding_mode: str, align_corners: bool, output_mask: Sequence[bool]) -> Any:
    of_input, of_grid = np.zeros_like(input), np.zeros_like(grid)
    g = np.moveaxis(grad_output, 1, -1)
    for taps, index, inside in _corners(input, grid, mode, padding_mode, align_corners):
        weight = np.where(inside, functools.reduce(np.multiply, [tap.weight for tap in taps]), 0)
        np.add.at(of_input, index, np.where(inside[..., None], g * weight[..., None], 0))
        along = np.where(inside, (g * input[index]).sum(-1), 0)
        for d in range(len(taps)):
            of_grid[..., -1 - d] += along * functools.reduce(np.multiply, [tap.slope if d == e else tap.weight for e, tap in enumerate(taps)])
    return results(masked(output_mask, of_input, of_grid))


def _infer_backward(grad_output: Layout, input: Layout, grid: Layout, output_mask: Sequence[bool], **how: Any) -> list[Layout]:
    return masked(output_mask, contiguous(input.shape, input.dtype), contiguous(grid.shape, grid.dtype))


def _gradient_formula(grad_output: Tensor, input: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool, output_mask: Sequence[bool]) -> list[Any]:
    found = through(_by_formula, grad_output, output_mask, (input, grid), mode, padding_mode, align_corners)
    return masked(output_mask, *(zeros_like(t) if g is None else g for g, t in zip(found, (input, grid), strict=True)))


_grid_sampler_backward = Card(
    "grid_sampler_backward", "grad_output input grid",
    statics="mode padding_mode align_corners output_mask", outputs="grad_input grad_grid",
    infer=_infer_backward, numpy=_backward_rule, lowering=Calls(native.gradients),
    backward=lambda g, grad_output, input, grid, needs, mode, padding_mode, align_corners, output_mask: through(
        _gradient_formula, g, needs, (grad_output, input, grid), mode, padding_mode, align_corners, output_mask
    ),
)  # fmt: skip


def _gradient(g: Tensor, input: Tensor, grid: Tensor, needs: tuple[bool, ...], mode: str, padding_mode: str, align_corners: bool) -> list[Any]:
    return apply_masked(_grid_sampler_backward, (g, input, grid), (mode, padding_mode, align_corners), needs)


def _card(dims: int) -> Card:
    return Card(
        f"grid_sampler_{dims}d", "input grid",
        statics="mode padding_mode align_corners",
        infer=lambda input, grid, mode, padding_mode, align_corners: contiguous((*input.shape[:2], *grid.shape[1:-1]), input.dtype),
        numpy=_rule, lowering=Calls(native.sample), backward=_gradient, node_name=f"GridSampler{dims}DBackward0",
    )  # fmt: skip


_SAMPLERS = {dims: _card(dims) for dims in (2, 3)}


#: PyTorch has them one by one too.
grid_sampler_2d, grid_sampler_3d = alias(grid_sampler, "grid_sampler_2d"), alias(grid_sampler, "grid_sampler_3d")


@autocasts(SINGLE)
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None) -> Tensor:
    """`input` (N, C, H, W) read at `grid` (N, H', W', 2), whose (x, y) run from -1 to 1 over the image; also with three dims.

    >>> F.grid_sample(torch.arange(4.).reshape(1, 1, 2, 2), torch.zeros(1, 1, 1, 2), align_corners=False)
    tensor([[[[1.5000]]]])
    """
    if mode not in _MODES:
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in _PADDING_MODES:
        raise ValueError(f"nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{padding_mode}'")
    if align_corners is None:
        warnings.warn(_CORNERS_WARNING, stacklevel=2)
        align_corners = False
    return grid_sampler(input, grid, _MODES.index(mode), _PADDING_MODES.index(padding_mode), align_corners)


def _base_coordinates(size: int, align_corners: bool, dtype: Any) -> Tensor:
    if size <= 1:
        return arange(size, dtype=dtype) * 0
    steps = linspace(-1, 1, size, dtype=dtype)
    return steps if align_corners else steps * ((size - 1) / size)


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """`F.affine_grid` without its checks.

    >>> torch.affine_grid_generator(torch.tensor([[[1., 0., 0.], [0., 1., 0.]]]), (1, 1, 1, 2), True).flatten()
    tensor([-1.,  0.,  1.,  0.])
    """
    spatial: Shape = tuple(size[2:])
    n = len(spatial)
    axes = [_base_coordinates(s, align_corners, theta.dtype).reshape([-1 if d == e else 1 for e in range(n)]).expand(spatial) for d, s in enumerate(spatial)]
    base = stack([*reversed(axes), ones(spatial, dtype=theta.dtype)], -1).reshape(1, -1, n + 1)
    return titled(base.expand(size[0], -1, -1).bmm(theta.transpose(1, 2)).reshape(size[0], *spatial, n), "AffineGridGeneratorBackward0")


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid for `grid_sample` that applies the affine maps `theta`, (N, 2, 3) or (N, 3, 4), for outputs of `size`.

    >>> F.affine_grid(torch.tensor([[[1., 0., 0.], [0., 1., 0.]]]), (1, 1, 1, 2), align_corners=True).flatten()
    tensor([-1.,  0.,  1.,  0.])
    """
    if align_corners is None:
        warnings.warn(_CORNERS_WARNING, stacklevel=2)
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size}.")
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return affine_grid_generator(theta, size, align_corners)
