"""Running sums, products and extrema along a dim, differences and trapezoids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from .. import return_types
from ..errors import sizes
from ..shape import Layout, contiguous, wrap_dim, wrap_dims
from ..storage import TensorBase
from .card import Card, apply
from .define import as_tensor_argument, write_out
from .extrema import refuse_complex, with_a_dim
from .reduction import accumulation_dtype, sum_dtype, widened

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
    from .combine import cat

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
    grads={"input": lambda g, dim: _reverse_cumsum(g, dim)},
    onnx="CumSum",
)  # fmt: skip
_cumprod = Card(
    "cumprod", "input",
    statics="dim dtype",
    infer=_infer_same, numpy=lambda input, dim, dtype: _along(np.cumprod, input, dim, accumulation_dtype(dtype)),
    grads={"input": _cumprod_gradient},
)  # fmt: skip


def _scan(card: Card, input: Tensor, dim: int, dtype: dt.dtype | None, out: Tensor | None) -> Tensor:
    here = as_tensor_argument(input, card.name)._layout
    found = apply(card, (input,), (wrap_dim(dim, here.ndim), dtype or (out._layout.dtype if out is not None else sum_dtype(here.dtype))))
    return found if out is None else write_out(out, found)


def cumsum(input: Tensor, dim: int, *, dtype: dt.dtype | None = None, out: Tensor | None = None) -> Tensor:
    """The running sum along `dim`. Integers and bools sum to int64.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _scan(_cumsum, input, dim, dtype, out)


def cumprod(input: Tensor, dim: int, *, dtype: dt.dtype | None = None, out: Tensor | None = None) -> Tensor:
    """The running product along `dim`. Integers and bools multiply to int64.

    >>> torch.cumprod(torch.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    return _scan(_cumprod, input, dim, dtype, out)


_C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
}  # fmt: skip


def _scan_in_place(function: Callable[..., Tensor]) -> Any:
    def method(self: Tensor, dim: int, *, dtype: dt.dtype | None = None) -> Tensor:
        from .define import assign

        here = self._layout.dtype
        if dtype is not None and dtype is not here:
            names = [_C_NAMES.get(d.name, d.name) for d in (here, dtype)]
            raise RuntimeError(f"Bad in-place call: input tensor dtype {names[0]} and output tensor dtype {names[1]} should match")
        return assign(self, function, (dim,), {"dtype": here})

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


cumsum_ = _scan_in_place(cumsum)
cumprod_ = _scan_in_place(cumprod)
