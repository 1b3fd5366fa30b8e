"""Running sums, products and extrema along a dim, differences and trapezoids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, return_types
from ..engine import scans
from ..engine.lowering import AS_FLOAT, Calls
from ..errors import sizes
from ..shape import Layout, contiguous, wrap_dim, wrap_dims
from ..storage import TensorBase
from .card import Card, apply
from .combine import cat, where
from .define import NO_DIM, as_tensor_argument, assign, by_numpy_names, write_out
from .extrema import refuse_complex, with_a_dim
from .reduction import accumulation_dtype, refuse_under_grad, sum_dtype, widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def _along(rule: Callable[..., np.ndarray], input: np.ndarray, dim: int, dtype: Any) -> np.ndarray:
    """A NumPy scan over `dim`, in `dtype`."""
    values = input if input.ndim else input.reshape(1)
    return rule(values, axis=dim, dtype=dtype).reshape(input.shape)


def _infer_same(input: Layout, dim: int, dtype: dt.dtype) -> Layout:
    return contiguous(input.shape, dtype)


def _reverse_cumsum(input: Tensor, dim: int) -> Tensor:
    return input.flip(dim).cumsum(dim).flip(dim) if input.dim() else input


def _cumprod_gradient(g: Tensor, input: Tensor, output: Tensor, dim: int) -> Tensor:
    """Division by the input where there are no zeros; where there are, element by element, from products that leave it out."""
    if not input.dim() or input.shape[dim] <= 1:
        return g
    if not bool((input == 0).any()):
        return _reverse_cumsum(g * output.conj(), dim) / input.to(output.dtype).conj()
    rows = input.to(output.dtype)
    size = rows.shape[dim]
    found = []
    before: Any = 1
    for k in range(size):
        here = rows.narrow(dim, k, 1)
        rest = cat((here * 0 + 1, rows.narrow(dim, k + 1, size - k - 1)), dim).cumprod(dim)
        found.append((g.narrow(dim, k, size - k) * (before * rest).conj()).sum(dim, keepdim=True))
        before = before * here
    return cat(found, dim)


_cumsum = Card(
    "cumsum", "input",
    statics="dim dtype",
    infer=_infer_same, numpy=lambda input, dim, dtype: _along(np.cumsum, input, dim, accumulation_dtype(dtype)),
    lowering=Calls(lambda plan: scans.scan(plan, "add"), exact=True, half=AS_FLOAT),
    grads={"input": lambda g, dim: _reverse_cumsum(g, dim)},
    onnx="CumSum",
)  # fmt: skip
_cumprod = Card(
    "cumprod", "input",
    statics="dim dtype",
    infer=_infer_same, numpy=lambda input, dim, dtype: _along(np.cumprod, input, dim, accumulation_dtype(dtype)),
    lowering=Calls(lambda plan: scans.scan(plan, "mul"), exact=True, half=AS_FLOAT),
    grads={"input": _cumprod_gradient},
)  # fmt: skip


def _scan(card: Card, input: Tensor, dim: int, dtype: dt.dtype | None, out: Tensor | None) -> Tensor:
    here = as_tensor_argument(input, card.name)._layout
    if dtype is dt.bool_ and here.ndim and here.numel:
        raise NotImplementedError(f"\"{card.name}_out_cpu\" not implemented for 'Bool'")
    wanted = dtype or (out._layout.dtype if out is not None else sum_dtype(here.dtype))
    if wanted.category < dt.FLOAT:
        refuse_under_grad(input, wanted)
    found = apply(card, (input,), (wrap_dim(dim, here.ndim), wanted))
    return found if out is None else write_out(out, found)


def cumsum(input: Tensor, dim: int = NO_DIM, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The running sum along `dim`. Integers and bools sum to int64.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    if names:
        return by_numpy_names(cumsum, locals())
    return _scan(_cumsum, input, dim, dtype, out)


def cumprod(input: Tensor, dim: int = NO_DIM, *, dtype: dt.dtype | None = None, out: Tensor | None = None, **names: Any) -> Tensor:
    """The running product along `dim`. Integers and bools multiply to int64.

    >>> torch.cumprod(torch.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    if names:
        return by_numpy_names(cumprod, locals())
    return _scan(_cumprod, input, dim, dtype, out)


_C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
}  # fmt: skip


def _scan_in_place(function: Callable[..., Tensor]) -> Any:
    def method(self: Tensor, dim: int, *, dtype: dt.dtype | None = None) -> Tensor:
        here = self._layout.dtype
        if here is dt.bool_ and (dtype is None or dtype is here) and self._layout.ndim and self._layout.numel:
            raise NotImplementedError(f"\"{function.__name__}_out_cpu\" not implemented for 'Bool'")
        if dtype is not None and dtype is not here:
            names = [_C_NAMES.get(d.name, d.name) for d in (here, dtype)]
            raise RuntimeError(f"Bad in-place call: input tensor dtype {names[0]} and output tensor dtype {names[1]} should match")
        return assign(self, function, (dim,), {"dtype": here})

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


cumsum_ = _scan_in_place(cumsum)
cumprod_ = _scan_in_place(cumprod)


# Running extrema


def _running(name: str, ufunc: np.ufunc) -> Card:
    def rule(input: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
        slices = with_a_dim(input)
        values = ufunc.accumulate(slices, axis=dim, dtype=slices.dtype)
        # Later equal values win, and nan wins for good.
        wins = (slices == values) | (slices != slices)
        positions = np.arange(slices.shape[dim]).reshape([-1 if d == dim else 1 for d in range(slices.ndim)])
        indices = np.maximum.accumulate(np.where(wins, positions, 0), axis=dim)
        return values.reshape(input.shape), indices.reshape(input.shape)

    return Card(
        name, "input",
        statics="dim", outputs="values indices",
        infer=lambda input, dim: (contiguous(input.shape, input.dtype), contiguous(input.shape, dt.int64)),
        numpy=rule, grads={"input": _running_gradient}, lowering=Calls(lambda plan: scans.scan(plan, name[3:]), half=AS_FLOAT),
        differentiable=(0,),
    )  # fmt: skip


def _running_gradient(g: Tensor, indices: Tensor, layouts: Sequence[Layout], dim: int) -> Tensor:
    return g.new_zeros(layouts[0].shape).scatter_add(dim, indices, g) if layouts[0].ndim else g


_cummax = _running("cummax", np.maximum)
_cummin = _running("cummin", np.minimum)


def _apply_running(card: Card, result: Any, input: Tensor, dim: int, out: Any) -> Any:
    here = as_tensor_argument(input, card.name)._layout
    dim = wrap_dim(dim, here.ndim)
    refuse_complex(here, f"{card.name}_cpu")
    found = result(apply(card, (input,), (dim,)))
    return found if out is None else write_out(out, found, exact="expected scalar_type {want} but found {have}")


def cummax(input: Tensor, dim: int = NO_DIM, *, out: Any = None, **names: Any) -> Any:
    """The largest value so far along `dim`, and the index of its last occurrence.

    >>> torch.cummax(torch.tensor([1, 3, 2]), 0).values
    tensor([1, 3, 3])
    """
    if names:
        return by_numpy_names(cummax, locals())
    return _apply_running(_cummax, return_types.cummax, input, dim, out)


def cummin(input: Tensor, dim: int = NO_DIM, *, out: Any = None, **names: Any) -> Any:
    """The smallest value so far along `dim`, and the index of its last occurrence.

    >>> torch.cummin(torch.tensor([3, 1, 2]), 0).values
    tensor([3, 1, 1])
    """
    if names:
        return by_numpy_names(cummin, locals())
    return _apply_running(_cummin, return_types.cummin, input, dim, out)


def _logcumsumexp_rule(input: np.ndarray, dim: int) -> np.ndarray:
    values = widened(input)
    return np.logaddexp.accumulate(values, axis=dim, dtype=values.dtype) if values.ndim else values


def _complex_logcumsumexp_rule(input: np.ndarray, dim: int) -> np.ndarray:
    largest = np.max(input.real, axis=dim, keepdims=True)
    return np.log(np.cumsum(np.exp(input - largest), axis=dim)) + largest


def _logcumsumexp_gradient(g: Tensor, input: Tensor, output: Tensor, dim: int) -> Tensor:
    """The positive and the negative part of the gradient each in logarithms, so that nothing overflows."""
    if not input.dim():
        return g
    if output.is_complex():
        return _reverse_cumsum(g * (-output).exp().conj(), dim) * input.exp().conj()

    def part(size: Tensor, present: Tensor) -> Tensor:
        logs = where(present, size.log() - output, -np.inf)
        return (logs.flip(dim).logcumsumexp(dim).flip(dim) + input).exp()

    return part(where(g > 0, g, 1.0), g > 0) - part(where(g < 0, -g, 1.0), g < 0)


_logcumsumexp = Card(
    "logcumsumexp", "input",
    statics="dim",
    infer=lambda input, dim: contiguous(input.shape, input.dtype),
    numpy=lambda input, dim: (_complex_logcumsumexp_rule if input.dtype.kind == "c" else _logcumsumexp_rule)(input, dim),
    grads={"input": _logcumsumexp_gradient},
)  # fmt: skip


def logcumsumexp(input: Tensor, dim: int = NO_DIM, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The logarithm of the running sum of exponentials along `dim`, without overflow.

    >>> torch.logcumsumexp(torch.tensor([0., 0., 0.]), 0)
    tensor([0.0000, 0.6931, 1.0986])
    """
    if names:
        return by_numpy_names(logcumsumexp, locals())
    here = as_tensor_argument(input, "logcumsumexp")._layout
    dim = wrap_dim(dim, here.ndim)
    if here.dtype.category < dt.FLOAT:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{here.dtype.type_name}'")
    found = apply(_logcumsumexp, (input,), (dim,))
    return found if out is None else write_out(out, found, exact="expected scalar_type {want} but found {have}")


# Differences


def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The `n`-th differences of neighbours along `dim`, after putting `prepend` and `append` at its ends.

    >>> torch.diff(torch.tensor([1, 3, 6]))
    tensor([2, 3])
    """
    if names:
        return by_numpy_names(diff, locals())
    here = as_tensor_argument(input, "diff")._layout
    if not here.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    dim = wrap_dim(dim, here.ndim)
    for other in (prepend, append):
        if other is None:
            continue
        shape = other._layout.shape
        if len(shape) != here.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
        for d in range(here.ndim):
            if d != dim and shape[d] != here.shape[d]:
                raise RuntimeError(
                    f"diff expects the shape of tensor to prepend or append to match that of input except along the differencing dimension; input.size({d}) = {here.shape[d]}, but got tensor.size({d}) = {shape[d]}"
                )
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [t for t in (prepend, input, append) if t is not None]
    if n == 0 or len(parts) > 1:
        input = cat(parts, dim) if n else input.clone()
    for _ in range(min(n, input._layout.shape[dim])):
        size = input._layout.shape[dim]
        high, low = input.narrow(dim, min(1, size), max(size - 1, 0)), input.narrow(dim, 0, max(size - 1, 0))
        input = high.logical_xor(low) if here.dtype is dt.bool_ else high - low
    return input if out is None else write_out(out, input)


def _ends(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """All but the last and all but the first along `dim`."""
    size = input._layout.shape[dim]
    return input.narrow(dim, 0, size - 1), input.narrow(dim, 1, size - 1)


def _trapezoids(function: str, y: Tensor, x: Any, dx: Any, dim: int) -> Tensor:
    """The area of each trapezoid along `dim`, doubled."""
    shape = as_tensor_argument(y, function, "y")._layout.shape
    for name, value in (("y", y), ("x", x)):
        if value is not None and value._layout.dtype is dt.bool_:
            raise RuntimeError(f"{function}: received a bool input for `{name}`, but bool is not supported")
    if not shape:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap_dim(dim, len(shape))
    if x is not None and dx is not None:
        raise TypeError(
            f"{function}() received an invalid combination of arguments - got (Tensor, Tensor, dx={type(dx).__name__}), but expected one of:\n"
            " * (Tensor y, Tensor x, *, int dim = -1)\n * (Tensor y, *, Number dx = 1, int dim = -1)"
        )
    low, high = _ends(y, dim)
    if x is None:
        return (low + high) * (1.0 if dx is None else dx)
    here = x._layout.shape
    along = wrap_dim(dim - len(shape), len(here)) if len(here) > 1 or not here else 0
    if len(here) == 1:
        if here[0] != shape[dim]:
            raise RuntimeError(f"{function}: There must be one `x` value for each sample point")
        x = x.reshape(*(-1 if d == dim else 1 for d in range(len(shape))))
        along = dim
    start, stop = _ends(x, along)
    return (low + high) * (stop - start)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1, **names: Any) -> Tensor:
    """The integral of `y` along `dim` by the trapezoidal rule, at the points `x` or with spacing `dx`.

    >>> torch.trapezoid(torch.tensor([1., 5., 10.]))
    tensor(10.5000)
    """
    if names:
        return by_numpy_names(trapezoid, locals())
    if isinstance(y, TensorBase) and y._layout.ndim and y._layout.shape[wrap_dim(dim, y._layout.ndim)] == 0:
        return y.sum(dim) * 1.0
    return _trapezoids("trapezoid", y, x, dx, dim).sum(dim) / 2.0


def trapz(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Alias of `trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The running integral of `y` along `dim` by the trapezoidal rule.

    >>> torch.cumulative_trapezoid(torch.tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000])
    """
    return _trapezoids("cumulative_trapezoid", y, x, dx, dim).cumsum(dim) / 2.0


def _gradient_along(input: Tensor, dim: int, spacing: Any, edge_order: int) -> Tensor:
    """Second-order differences inside, one-sided differences of `edge_order` at the two ends."""
    size = input._layout.shape[dim]

    def at(start: int, length: int = 1) -> Tensor:
        return input.narrow(dim, start % size, length)

    first: Any
    second: Any
    last: Any
    second_last: Any
    if not isinstance(spacing, (int, float, complex)):
        steps = diff(spacing).reshape(*(-1 if d == dim else 1 for d in range(input.dim())))
        count = size - 1
        before, after = steps.narrow(dim, 0, count - 1), steps.narrow(dim, 1, count - 1)
        inner = (
            at(0, size - 2) * (-after / (before * (before + after)))
            + at(1, size - 2) * ((after - before) / (before * after))
            + at(2, size - 2) * (before / (after * (before + after)))
        )
        first, second = steps.narrow(dim, 0, 1), steps.narrow(dim, min(1, count - 1), 1)
        last, second_last = steps.narrow(dim, count - 1, 1), steps.narrow(dim, max(count - 2, 0), 1)
    else:
        inner = (at(2, size - 2) - at(0, size - 2)) / (spacing * 2)
        first = second = last = second_last = spacing
    if edge_order == 1:
        left, right = (at(1) - at(0)) / first, (at(-1) - at(-2)) / last
    else:
        left = at(0) * (-(2.0 * first + second) / (first * (first + second))) + at(1) * ((first + second) / (first * second)) + at(2) * (-first / (second * (first + second)))
        right = (
            at(-3) * (last / (second_last * (second_last + last)))
            + at(-2) * (-(second_last + last) / (second_last * last))
            + at(-1) * ((2.0 * last + second_last) / (last * (second_last + last)))
        )
    return cat((left, inner, right), dim)


def gradient(input: Tensor, *, spacing: Any = None, dim: int | Sequence[int] | None = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Estimates of the derivative along each `dim`, at points `spacing` apart or at the coordinates given.

    >>> torch.gradient(torch.tensor([1., 4., 9.]))
    (tensor([3., 4., 5.]),)
    """
    here = as_tensor_argument(input, "gradient")._layout
    if here.dtype is dt.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    dims = wrap_dims(dim, here.ndim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if isinstance(spacing, (tuple, list)):
        if len(spacing) != len(dims):
            raise RuntimeError(
                "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = "
                f"{here.ndim}', since dim argument was not given, but got a list of length {len(spacing)}"
                if dim is None
                else f"torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same length, but got a spacing argument of length {len(spacing)} and a dim argument of length {len(dims)}."
            )
        spacings = list(spacing)
    else:
        spacings = [1.0 if spacing is None else spacing] * len(dims)
    for d in dims:
        if here.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    for d, step in zip(dims, spacings, strict=True):
        if isinstance(step, TensorBase) and step._layout.shape != (here.shape[d],):
            raise RuntimeError(f"torch.gradient expected each coordinate tensor to be one-dimensional with one value for each element of dimension {d}, but got {sizes(step._layout.shape)}")
    return tuple(_gradient_along(input, d, step, edge_order) for d, step in zip(dims, spacings, strict=True))
