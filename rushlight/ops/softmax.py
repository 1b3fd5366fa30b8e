"""Softmax and its relatives. Each is one entry, and so is its gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop, Space, rows
from ..shape import contiguous, wrap_dim
from .card import Card, apply
from .define import EXACT, NO_DIM, as_tensor_argument, by_numpy_names, write_out
from .gradient_entry import through
from .reduction import over_other_dims, widened

if TYPE_CHECKING:
    from ..tensor import Tensor

# NumPy reduces rows shorter than this one by one, slowly; as columns they go fast.
_SHORT = 32


def _rows(input: np.ndarray, dim: int, rule: Callable[[np.ndarray, np.ndarray, int], None]) -> np.ndarray:
    """Fill a fresh array by ``rule(values, out, axis)``."""
    values = widened(input)
    if not values.size:
        return values
    if values.ndim == 0:
        values = values.reshape(1)
    turned = dim == values.ndim - 1 and values.shape[dim] < _SHORT
    if turned:
        values, dim = np.ascontiguousarray(np.moveaxis(values, -1, 0)), 0
    out = np.empty(values.shape, values.dtype)
    rule(values, out, dim)
    return (np.moveaxis(out, 0, -1) if turned else out).reshape(input.shape)


def _fill_softmax(values: np.ndarray, out: np.ndarray, axis: int) -> None:
    np.subtract(values, values.max(axis, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis, keepdims=True)


def _fill_log_softmax(values: np.ndarray, out: np.ndarray, axis: int) -> None:
    np.subtract(values, values.max(axis, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(axis, keepdims=True))


def _space(plan: Any) -> Space | None:
    layout = plan.operands[0]
    return rows(layout, 1) if layout.ndim and plan.params["dim"] == layout.ndim - 1 else None


def _softmax_terms(k: Any, input: Any, dim: int) -> Any:
    e = k.exp_below(input - k.largest(input))
    return e / k.sum(e)


def _log_softmax_terms(k: Any, input: Any, dim: int) -> Any:
    shifted = input - k.largest(input)
    return shifted - k.log(k.sum(k.exp_below(shifted)))


def _softmax_backward_terms(k: Any, grad_output: Any, output: Any, dim: int) -> Any:
    weighted = grad_output * output
    return weighted - output * k.sum(weighted)


def _card(name: str, fill: Callable[[np.ndarray, np.ndarray, int], None], terms: Callable[..., Any], grad: Callable[..., Any], onnx: str) -> Card:
    return Card(
        name, "input",
        statics="dim",
        infer=lambda input, dim: contiguous(input.shape, input.dtype),
        numpy=lambda input, dim: _rows(input, dim, fill),
        grads={"input": grad}, onnx=onnx, lowering=Loop(terms, _space, otherwise=over_other_dims(terms)),
    )  # fmt: skip


def _softmax_formula(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    weighted = grad_output * output
    return weighted - output * weighted.sum(dim, keepdim=True)


def _log_softmax_formula(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    return grad_output - output.exp() * grad_output.sum(dim, keepdim=True)


def _fill_softmax_backward(grad_output: np.ndarray, output: np.ndarray, axis: int) -> np.ndarray:
    found = grad_output * output
    found -= output * found.sum(axis, keepdims=True)
    return found


def _fill_log_softmax_backward(grad_output: np.ndarray, output: np.ndarray, axis: int) -> np.ndarray:
    found = np.exp(output)
    found *= grad_output.sum(axis, keepdims=True)
    return np.subtract(grad_output, found, out=found)


def _backward_card(name: str, rule: Callable[[np.ndarray, np.ndarray, int], np.ndarray], terms: Callable[..., Any], formula: Callable[..., Tensor]) -> Card:
    return Card(
        f"{name}_backward", "grad_output output",
        statics="dim", outputs="grad_input",
        infer=lambda grad_output, output, dim: contiguous(output.shape, output.dtype),
        numpy=lambda grad_output, output, dim: rule(widened(grad_output), widened(output), dim) if output.ndim else rule(widened(grad_output).reshape(1), widened(output).reshape(1), 0).reshape(()),
        backward=lambda g, grad_output, output, needs, dim: through(formula, g, needs, (grad_output, output), dim),
        lowering=Loop(terms, _space, otherwise=over_other_dims(terms)),
        node_name="".join(part.capitalize() for part in name.split("_")) + "BackwardDataBackward0",
    )  # fmt: skip


_softmax_backward = _backward_card("softmax", _fill_softmax_backward, _softmax_backward_terms, _softmax_formula)
_log_softmax_backward = _backward_card("log_softmax", _fill_log_softmax_backward, lambda k, grad_output, output, dim: grad_output - k.exp(output) * k.sum(grad_output), _log_softmax_formula)
_softmax = _card("softmax", _fill_softmax, _softmax_terms, lambda g, output, dim: apply(_softmax_backward, (g, output), (dim,)), "Softmax")
_log_softmax = _card("log_softmax", _fill_log_softmax, _log_softmax_terms, lambda g, output, dim: apply(_log_softmax_backward, (g, output), (dim,)), "LogSoftmax")


def _apply(card: Card, input: Tensor, dim: int, dtype: dt.dtype | None, out: Tensor | None) -> Tensor:
    here = as_tensor_argument(input, card.name)._layout
    if dtype is not None and dtype is not here.dtype:
        input = input.to(dtype)
    dim = wrap_dim(dim, here.ndim)
    if not input._layout.dtype.is_floating_point and here.numel:
        kernel = "lastdim_kernel_impl" if dim >= here.ndim - 1 else "kernel_impl"
        raise NotImplementedError(f"\"{card.name}_{kernel}\" not implemented for '{input._layout.dtype.type_name}'")
    found = apply(card, (input,), (dim,))
    return found if out is None else write_out(out, found, exact=EXACT)


def softmax(input: Tensor, dim: int = NO_DIM, dtype: dt.dtype | None = None, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """``exp(input)`` divided by its sum over `dim`, computed in `dtype` if one is given.

    >>> torch.softmax(torch.tensor([0., 0., 1.]), 0)
    tensor([0.2119, 0.2119, 0.5761])
    """
    if names:
        return by_numpy_names(softmax, locals())
    return _apply(_softmax, input, dim, dtype, out)


def log_softmax(input: Tensor, dim: int = NO_DIM, dtype: dt.dtype | None = None, *, out: Tensor | None = None, **names: Any) -> Tensor:
    """The logarithm of `softmax`, computed without its rounding.

    >>> torch.log_softmax(torch.tensor([0., 0., 1.]), 0)
    tensor([-1.5514, -1.5514, -0.5514])
    """
    if names:
        return by_numpy_names(log_softmax, locals())
    return _apply(_log_softmax, input, dim, dtype, out)


# The forms of torch.nn.functional


def implicit_dim(function: str, ndim: int, stacklevel: int) -> int:
    """The dim that the functional forms take when none is given, with their warning."""
    warnings.warn(
        f"Implicit dimension choice for {function} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


def functional_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dt.dtype | None = None) -> Tensor:
    """`torch.softmax`; without `dim`, which is deprecated, over the first dim or the second, depending on their number.

    >>> F.softmax(torch.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dim is None:
        dim = implicit_dim("softmax", input.dim(), _stacklevel)
    return softmax(input, dim, dtype)


def functional_log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dt.dtype | None = None) -> Tensor:
    """`torch.log_softmax`; without `dim`, which is deprecated, over the first dim or the second, depending on their number.

    >>> F.log_softmax(torch.zeros(2), dim=0)
    tensor([-0.6931, -0.6931])
    """
    if dim is None:
        dim = implicit_dim("log_softmax", input.dim(), _stacklevel)
    return log_softmax(input, dim, dtype)


functional_softmax.__name__, functional_log_softmax.__name__ = "softmax", "log_softmax"


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dt.dtype | None = None) -> Tensor:
    """`softmax` of ``-input``: the smallest values get the largest shares.

    >>> F.softmin(torch.tensor([0., 1.]), dim=0)
    tensor([0.7311, 0.2689])
    """
    if dim is None:
        dim = implicit_dim("softmin", input.dim(), _stacklevel)
    return softmax(-input, dim, dtype)
