"""What the functions of linear algebra share: checks of arguments, layouts of results, errors about singular matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes as dt
from ...errors import LinAlgError
from ...graph import grad_state, requires_grad
from ...shape import Layout, contiguous_strides, layout
from ..card import array_of

if TYPE_CHECKING:
    from ...tensor import Tensor


def check_matrix(function: str, here: Layout, name: str = "A") -> None:
    if here.ndim < 2:
        raise RuntimeError(f"{function}: The input tensor {name} must have at least 2 dimensions.")


def check_square(function: str, here: Layout, name: str = "A") -> None:
    check_matrix(function, here, name)
    rows, columns = here.shape[-2:]
    if rows != columns:
        raise RuntimeError(f"{function}: {name} must be batches of square matrices, but they are {rows} by {columns} matrices")


def check_float(function: str, here: Layout, low_precision: bool = False) -> None:
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(f"{function}: Expected a floating point or complex tensor as input. Got {here.dtype.type_name}")
    if not low_precision and here.dtype in dt.LOW_PRECISION:
        raise RuntimeError(f"{function}: Low precision dtypes not supported. Got {here.dtype.type_name}")


def check_same_dtype(function: str, first: Layout, second: Layout, names: tuple[str, str] = ("A", "B")) -> None:
    if first.dtype is not second.dtype:
        a, b = names
        raise RuntimeError(f"{function}: Expected {a} and {b} to have the same dtype, but found {a} of type {first.dtype.type_name} and {b} of type {second.dtype.type_name} instead")


def check_equation(function: str, a: Layout, b: Layout, left: bool) -> None:
    """Whether AX = B, or XA = B, has matching sizes."""
    if a.shape[-2 if left else -1] != b.shape[-2 if left else -1]:
        of = lambda here: "x".join(map(str, here.shape[-2:]))  # noqa: E731
        raise RuntimeError(f"{function}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} ({of(a)} and {of(b)})")


def check_sizes(function: str, b: Layout, a: Layout) -> None:
    """The checks of the older solvers, `cholesky_solve` and `triangular_solve`."""
    if a.dtype is not b.dtype:
        raise RuntimeError(f"Expected b and A to have the same dtype, but found b of type {b.dtype.type_name} and A of type {a.dtype.type_name} instead.")
    if a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"Incompatible matrix sizes for {function}: each A matrix is {a.shape[-1]} by {a.shape[-1]} but each b matrix is {b.shape[-2]} by {b.shape[-1]}")


def column_major(shape: tuple[int, ...], dtype: dt.dtype) -> Layout:
    """Batches of matrices with their columns contiguous, as LAPACK returns them."""
    *batch, rows, columns = shape
    stride = contiguous_strides((*batch, columns, rows))
    return layout(shape, (*stride[:-2], stride[-1], stride[-2]), dtype)


def unless_zero(function: str, info: Tensor, describe: Callable[[int], str]) -> None:
    """Raise for the first matrix that LAPACK reports by a number other than zero."""
    numbers = array_of(info)
    if not np.any(numbers):
        return
    first = int(np.flatnonzero(numbers)[0])
    which = f"(Batch element {first}): " if numbers.ndim else ""
    raise LinAlgError(f"{function}: {which}{describe(int(numbers.reshape(-1)[first]))}")


def each_matrix(*arrays: np.ndarray) -> Iterator[tuple[tuple[int, ...], tuple[np.ndarray, ...]]]:
    """The index and the matrices of each element of batches of one shape."""
    for n in np.ndindex(arrays[0].shape[:-2]):
        yield n, tuple(a[n] for a in arrays)


def same_batch(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with their batch dims broadcast."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))


def scipy_linalg() -> Any:
    """SciPy's linear algebra, for what NumPy's lacks."""
    try:
        import scipy.linalg
    except ImportError as error:
        raise ImportError("this function of torch.linalg needs SciPy: pip install 'rushlight[scipy]' (or pip install scipy)") from error
    return scipy.linalg


def follows_gradient(*tensors: Any) -> bool:
    return grad_state.enabled and any(requires_grad(t) for t in tensors)
