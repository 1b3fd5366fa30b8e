"""Quantiles, histograms, covariance, distances between sets of points, and hashes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, return_types
from ..autocasting import SINGLE, autocasts
from ..engine import search
from ..errors import sizes
from ..shape import Layout, Shape, broadcast_shapes, contiguous, wrap_dim
from ..storage import TensorBase
from .card import Card, apply, array_of, tensor_of_array
from .define import as_tensor_argument, by_numpy_names, titled, write_out
from .reduction import reduced_shape, reduction_dims
from .vector_norm import vector_norm

if TYPE_CHECKING:
    from ..tensor import Tensor


# Quantiles

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")
_QUANTILE_AT_MOST = 16_000_000


def _check_quantile(function: str, input: Tensor, q: Any, interpolation: str) -> Tensor:
    """`q` as a tensor, once all arguments are known to be right."""
    from .from_data import tensor

    here = as_tensor_argument(input, function)._layout
    if here.numel == 0:
        raise RuntimeError(f"{function}() input tensor must be non-empty")
    if not isinstance(q, TensorBase):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{function}() q must be in the range [0, 1] but got {q:g}")
        q = tensor(float(q), dtype=here.dtype if here.dtype.is_floating_point else None)
    if q._layout.ndim > 1:
        raise RuntimeError(f"{function}() q must be a scalar or 1D tensor")
    if here.dtype not in (dt.float32, dt.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if q._layout.dtype is not here.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{function}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
    values = array_of(q)
    if not np.all((values >= 0) & (values <= 1)):
        raise RuntimeError(f"{function}() q values must be in the range [0, 1]")
    return q


def _quantile(function: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skips_nan: bool, out: Tensor | None) -> Tensor:
    q = _check_quantile(function, input, q, interpolation)
    ndim = input._layout.ndim
    dims = None if dim is None else wrap_dim(dim, ndim)
    if dims is None or not ndim:
        rows, rest = input.reshape(-1), (1,) * ndim if keepdim else ()
    else:
        rows = input.movedim(dims, -1)
        rest = tuple(1 if d == dims else n for d, n in enumerate(input._layout.shape) if keepdim or d != dims)
    size = rows._layout.shape[-1]
    if size > _QUANTILE_AT_MOST:
        raise RuntimeError(f"{function}() input tensor is too large")
    ordered = rows.sort(-1).values
    count = q.reshape(-1)
    missing = ordered.detach().isnan()
    if skips_nan:
        ranks = count * ((~missing).sum(-1, keepdim=True) - 1).clamp(min=0)
    else:
        # Any nan is the last of its row, so a rank there gives nan.
        ranks = (count * (size - 1)).expand(*rows._layout.shape[:-1], count._layout.numel)
        ranks = ranks.masked_fill(missing.any(-1, keepdim=True), size - 1)
    if interpolation == "lower":
        ranks = ranks.floor()
    elif interpolation == "higher":
        ranks = ranks.ceil()
    elif interpolation == "nearest":
        ranks = ranks.round()
    below = ranks.detach().long()
    found = ordered.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        above = ordered.gather(-1, ranks.detach().ceil().long())
        weights = ranks * 0 + 0.5 if interpolation == "midpoint" else ranks - below
        found = found.lerp(above, weights)
    found = found.movedim(-1, 0).reshape((*q._layout.shape, *rest))
    return found if out is None else write_out(out, found, exact="quantile() out tensor must be same dtype as the input tensor")


@autocasts(SINGLE)
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Tensor | None = None, **names: Any) -> Tensor:
    """The `q`-th quantiles (from 0 to 1) along `dim`, or of everything; several of them in a new first dim.

    >>> torch.quantile(torch.tensor([1., 2., 4.]), torch.tensor([0.5, 0.75]))
    tensor([2., 3.])
    """
    if names:
        return by_numpy_names(quantile, locals())
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False, out)


@autocasts(SINGLE)
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Tensor | None = None, **names: Any) -> Tensor:
    """The quantiles of the values that are not nan.

    >>> torch.nanquantile(torch.tensor([1., float("nan"), 3.]), 0.5)
    tensor(2.)
    """
    if names:
        return by_numpy_names(nanquantile, locals())
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True, out)


# Histograms


def _edges(where: str, values: np.ndarray, bins: int, bounds: tuple[float, float] | None, margin: float, dtype: dt.dtype) -> np.ndarray:
    """The edges of `bins` equal bins, over `bounds` or over all values; `where` starts the messages."""
    from .creation import linspace

    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = bounds if bounds is not None else (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{where} [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(f"torch.histogram(): min should not exceed max, but got min {low:g} max {high:g} for dimension 0")
    if low == high:
        low, high = low - margin, high + margin
    return array_of(linspace(low, high, bins + 1, dtype=dtype))


def _bins_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value, -1 outside. The last bin includes its right edge."""
    places = search.places(edges, values, right=True)
    last = len(edges) - 2
    places -= 1
    places[(places > last) | (values != values)] = -1
    places[values == edges[-1]] = last
    return places


def _count_bins(places: np.ndarray, weight: np.ndarray | None, bins: int, dtype: np.dtype) -> np.ndarray:
    if weight is None:
        return np.bincount(places + 1, minlength=bins + 1)[1:].astype(dtype)
    inside = places >= 0
    return np.bincount(places[inside], weight.reshape(-1)[inside], minlength=bins).astype(dtype)


def _count_values(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of a flat array's values are in each bin."""
    bins = len(edges) - 1
    found = np.bincount(search.places(edges, values, right=True), minlength=bins + 2)[1 : bins + 1]
    found[-1] += np.count_nonzero(values == edges[-1])  # the last bin includes its right edge
    return found


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None) -> Tensor:
    """How many elements fall in each of `bins` equal bins from `min` to `max` (those of the data if both are zero).

    >>> torch.histc(torch.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    here = as_tensor_argument(input, "histc")._layout
    if not here.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{here.dtype.type_name}'")
    if max < min:
        raise RuntimeError("torch.histc: max must be larger than min")
    values = array_of(input).reshape(-1)
    edges = _edges("torch.histc: range of", values, bins, None if min == max and values.size else (float(min), float(max)), 1.0, here.dtype)
    found = tensor_of_array(_count_values(values, edges).astype(values.dtype))
    return found if out is None else write_out(out, found, exact="torch.histogram: input tensor and hist tensor should have the same dtype, but got input {want_c} and hist {have_c}")


def _dd(values: np.ndarray, bins: Sequence[Any], range: Sequence[float] | None, weight: Tensor | None, density: bool, dtype: dt.dtype) -> tuple[Tensor, list[Tensor]]:
    """The histogram of points (the rows of `values`), and the edges along each coordinate."""
    edges = []
    for d, wanted in enumerate(bins):
        if isinstance(wanted, TensorBase):
            edges.append(array_of(wanted))
        else:
            bounds = (float(range[2 * d]), float(range[2 * d + 1])) if range is not None else None
            edges.append(_edges(f"torch.histogramdd: dimension {d}'s range", values[:, d], wanted, bounds, 0.5, dtype))
    counts = [len(e) - 1 for e in edges]
    if len(edges) == 1 and weight is None:
        found = _count_values(values[:, 0], edges[0]).astype(dtype.numpy)
        return _as_density(found, edges, density, dtype)
    flat = np.zeros(len(values), np.int64)
    inside = np.ones(len(values), bool)
    for d, edge in enumerate(edges):
        places = _bins_of(values[:, d], edge)
        inside &= places >= 0
        flat = flat * counts[d] + places
    found = _count_bins(np.where(inside, flat, -1), None if weight is None else array_of(weight), math.prod(counts), dtype.numpy).reshape(counts)
    return _as_density(found, edges, density, dtype)


def _as_density(found: np.ndarray, edges: Sequence[np.ndarray], density: bool, dtype: dt.dtype) -> tuple[Tensor, list[Tensor]]:
    if density:
        counts = found.shape
        with np.errstate(invalid="ignore"):
            found = found / found.sum()
        for d, edge in enumerate(edges):
            found = found / np.diff(edge).reshape([-1 if n == d else 1 for n, _ in enumerate(counts)])
    return tensor_of_array(found.astype(dtype.numpy)), [tensor_of_array(np.array(e)) for e in edges]


def _check_histogram(function: str, input: Tensor, weight: Tensor | None, density: bool, shape: Sequence[int]) -> None:
    here = input._layout
    if here.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{here.dtype.type_name}'")
    if weight is not None:
        if weight._layout.dtype is not here.dtype:
            raise RuntimeError(
                f"torch.{function}: if weight tensor is provided, input tensor and weight tensor should have the same dtype, but got input(0) {here.dtype.type_name.lower()}, and weight {weight._layout.dtype.type_name.lower()}"
            )
        if weight._layout.shape != tuple(shape):
            raise RuntimeError(
                f"torch.{function}: if weight tensor is provided it should have the same shape as the input tensor excluding its innermost dimension, but got input with shape {sizes(here.shape)} and weight with shape {sizes(weight._layout.shape)}"
            )


def histogram(input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False, out: Any = None) -> Any:
    """How many elements (or how much `weight`) fall in each bin, and the bins' edges; `bins` is their number or the edges.

    >>> torch.histogram(torch.tensor([1., 2., 1.]), bins=2, range=(0., 3.))
    torch.return_types.histogram(
    hist=tensor([2., 1.]),
    bin_edges=tensor([0.0000, 1.5000, 3.0000]))
    """
    here = as_tensor_argument(input, "histogram")._layout
    _check_histogram("histogram", input, weight, density, here.shape)
    hist, edges = _dd(array_of(input).reshape(-1, 1), [bins], range, weight, density, here.dtype)
    found = return_types.histogram(hist, edges[0])
    return found if out is None else write_out(out, found)


def histogramdd(input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False) -> Any:
    """The histogram of points, the rows along the last dim, over a grid of bins, and the grid's edges along each coordinate.

    >>> torch.histogramdd(torch.tensor([[0., 1.], [1., 0.]]), bins=[2, 2]).hist
    tensor([[0., 1.],
            [1., 0.]])
    """
    here = as_tensor_argument(input, "histogramdd")._layout
    if here.ndim < 2:
        raise RuntimeError(f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {here.ndim}")
    if isinstance(bins, int):
        bins = [bins] * here.shape[-1]
    if len(bins) != here.shape[-1]:
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension of the input.")
    _check_histogram("histogramdd", input, weight, density, here.shape[:-1])
    hist, edges = _dd(array_of(input).reshape(-1, here.shape[-1]), bins, range, weight, density, here.dtype)
    return return_types.histogramdd(hist, tuple(edges))


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sum of its `weights`; at least `minlength` of them.

    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    here = as_tensor_argument(input, "bincount")._layout
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if here.dtype.category != dt.INTEGER:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{here.dtype.type_name}'")
    values = array_of(input)
    if here.ndim != 1 or (values.size and values.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return tensor_of_array(np.bincount(values, minlength=minlength).astype(np.int64))
    if weights._layout.shape != here.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    result = np.float32 if weights._layout.dtype is dt.float32 else np.float64
    return tensor_of_array(np.bincount(values, array_of(weights).astype(np.float64), minlength).astype(result))


# Covariance


def _check_weights(weights: Tensor, name: str, observations: int) -> None:
    here = weights._layout
    if here.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {here.ndim} dimensions")
    wanted = dt.INTEGER if name == "fweights" else dt.FLOAT
    if here.dtype.category != wanted:
        raise RuntimeError(f"cov(): expected {name} to have {'integral' if name == 'fweights' else 'floating point'} dtype but got {name} with {here.dtype.type_name} dtype")
    if here.numel != observations:
        raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input but got {here.numel} != {observations}")
    if here.numel and bool((weights < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")


def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariance matrix of the variables in the rows of `input`, whose columns are observations.

    >>> torch.cov(torch.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    here = as_tensor_argument(input, "cov")._layout
    if here.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {here.ndim} dimensions")
    if here.dtype is dt.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = input if here.ndim == 2 else input.reshape(1, -1)
    observations = rows._layout.shape[1]
    weights: Any = None
    for given, name in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            _check_weights(given, name, observations)
            weights = given if weights is None else weights * given
    total: Any = observations if weights is None else weights.sum()
    if weights is not None and bool(total == 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = (rows if weights is None else rows * weights).sum(1) / total
    norm = total - correction if aweights is None or correction == 0 else total - correction * (weights * aweights).sum() / total
    if bool(norm <= 0):
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.", stacklevel=2)
        norm = 0 * norm
    centred = rows - mean.unsqueeze(1)
    weighted = centred if weights is None else centred * weights
    return (centred @ weighted.t().conj() / norm).squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The correlation matrix of the variables in the rows of `input`, whose columns are observations.

    >>> torch.corrcoef(torch.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    here = as_tensor_argument(input, "corrcoef")._layout
    if here.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {here.ndim} dimensions")
    covariance = cov(input)
    if not covariance._layout.ndim:
        return covariance / covariance
    deviation = covariance.diagonal()
    deviation = (deviation.real if covariance._layout.dtype.is_complex else deviation).sqrt()
    found = covariance / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if covariance._layout.dtype.is_complex:
        from .complex import complex as make_complex

        return make_complex(found.real.clamp(-1, 1), found.imag.clamp(-1, 1))
    return found.clamp(-1, 1)


# Distances


def _infer_distances(x1: Layout, x2: Layout, through_products: bool) -> Layout:
    return contiguous((*x1.shape[:-1], x2.shape[-2]), x1.dtype)


def _distances_rule(x1: np.ndarray, x2: np.ndarray, through_products: bool) -> np.ndarray:
    if not through_products:
        between = x1[..., :, None, :] - x2[..., None, :, :]
        return np.sqrt(np.sum(np.square(between, out=between), -1))
    squares = np.sum(x1 * x1, -1)[..., :, None] + np.sum(x2 * x2, -1)[..., None, :] - 2 * (x1 @ np.swapaxes(x2, -1, -2))
    return np.sqrt(np.maximum(squares, 0))


def _distances_gradient(g: Tensor, mine: Tensor, yours: Tensor, output: Tensor) -> Tensor:
    """Zero between points that coincide."""
    scale = (g / output).masked_fill(output == 0, 0)
    return mine * scale.sum(-1, keepdim=True) - scale @ yours


_distances = Card(
    "euclidean_distances", "x1 x2",
    statics="through_products",
    infer=_infer_distances, numpy=_distances_rule,
    grads={
        "x1": lambda g, x1, x2, output: _distances_gradient(g, x1, x2, output),
        "x2": lambda g, x1, x2, output: _distances_gradient(g.transpose(-1, -2), x2, x1, output.transpose(-1, -2)),
    },
    node_name="CdistBackward0",
)  # fmt: skip

_COMPUTE_MODES = {"use_mm_for_euclid_dist_if_necessary": 25, "use_mm_for_euclid_dist": 0, "donot_use_mm_for_euclid_dist": math.inf}


@autocasts(SINGLE)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The `p`-norm distance between each row of `x1` and each row of `x2`, batches broadcasting.

    >>> torch.cdist(torch.tensor([[0., 0.]]), torch.tensor([[3., 4.], [0., 1.]]))
    tensor([[5., 1.]])
    """
    first, second = as_tensor_argument(x1, "cdist", "x1")._layout, as_tensor_argument(x2, "cdist", "x2", 2)._layout
    threshold = _COMPUTE_MODES.get(compute_mode)
    if threshold is None:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, here in (("X1", first), ("X2", second)):
        if here.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {here.ndim}D")
    if first.shape[-1] != second.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {first.shape[-1]} X2: {second.shape[-1]}")
    for name, here in (("X1", first), ("X2", second)):
        if not here.dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {here.dtype.type_name}")
    if not p >= 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if first.dtype in dt.LOW_PRECISION:
        raise NotImplementedError(f"\"cdist\" not implemented for '{first.dtype.type_name}'")
    batch = broadcast_shapes(first.shape[:-2], second.shape[:-2])
    x1, x2 = x1.expand(*batch, *first.shape[-2:]), x2.expand(*batch, *second.shape[-2:])
    if p == 2:
        common = dt.promote_cached(first.dtype, second.dtype)
        return apply(_distances, (x1.to(common), x2.to(common)), (max(first.shape[-2], second.shape[-2]) > threshold,))
    return titled(vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1), "CdistBackward0")


@autocasts(SINGLE)
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix.

    >>> torch.trace(torch.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    here = as_tensor_argument(input, "trace")._layout
    if here.dtype is dt.bool_:
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    if here.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {here.ndim}")
    return titled(input.diagonal().sum(), "TraceBackward0")


# Hashes


def _hash_rule(input: np.ndarray, dims: Shape, keepdim: bool) -> Any:
    bits = input.astype(np.int64 if input.dtype.kind in "biu" else np.float64).view(np.uint64)
    xor: Any = np.bitwise_xor  # its type knows no bool for `keepdims`
    return xor.reduce(bits, axis=dims, keepdims=keepdim)


_hash_tensor = Card(
    "hash_tensor", "input",
    statics="dims keepdim",
    infer=lambda input, dims, keepdim: contiguous(reduced_shape(input.shape, dims, keepdim), dt.uint64),
    numpy=_hash_rule,
)  # fmt: skip


def hash_tensor(input: Tensor, dim: int | Sequence[int] | None = (), *, keepdim: bool = False, mode: int = 0, out: Tensor | None = None) -> Tensor:
    """A checksum over `dim` or over everything: the exclusive or of the elements' bits, as float64 or int64.

    >>> torch.hash_tensor(torch.tensor([5, 3]))
    tensor(6, dtype=torch.uint64)
    """
    here = as_tensor_argument(input, "hash_tensor")._layout
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    dims = reduction_dims(dim, here.ndim)
    if not here.numel:
        if not isinstance(dim, int) and not dim:
            raise RuntimeError("hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.")
        for d in dims:
            if not here.shape[d]:
                raise IndexError(f"hash_tensor: Expected reduction dim {d} to have non-zero size.")
    if here.dtype.is_complex or here.dtype in (dt.uint16, dt.uint32, dt.uint64):
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{here.dtype.type_name}'")
    found = apply(_hash_tensor, (input,), (dims, bool(keepdim)))
    return found if out is None else write_out(out, found, exact="Expected result to be of dtype uint64, but got {have}")
