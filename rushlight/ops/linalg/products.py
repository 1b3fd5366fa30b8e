"""Powers and the exponential of matrices, chains of products, and small constructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import dtypes as dt
from ...autocasting import LOWER, autocasts
from ...errors import sizes
from ...shape import contiguous
from ..card import Card, apply
from ..combine import cat, stack
from ..creation import eye, ones_like
from ..define import EXACT, as_tensor_argument, write_out
from ..matmul import matmul
from ..parts import diagonal
from .checks import check_float, check_square, scipy_linalg
from .solve import linalg_inv

if TYPE_CHECKING:
    from ...tensor import Tensor


def linalg_matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """`A` multiplied by itself `n` times, by repeated squaring; of the inverse for a negative `n`.

    >>> torch.linalg.matrix_power(torch.tensor([[1., 1.], [0., 1.]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    here = as_tensor_argument(A, "linalg_matrix_power")._layout
    check_square("linalg.matrix_power", here)
    found = None
    if n == 0:
        found = A.clone().copy_(eye(here.shape[-1], dtype=here.dtype))
    if n < 0:
        A, n = linalg_inv(A), -n
    square = A
    while n:
        if n & 1:
            found = square if found is None else found @ square
        n >>= 1
        if n:
            square = square @ square
    assert found is not None
    found = found.clone() if found is A else found
    return found if out is None else write_out(out, found, exact=EXACT)


def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """`linalg.matrix_power` under its older name.

    >>> torch.matrix_power(torch.tensor([[2.]]), 3)
    tensor([[8.]])
    """
    return linalg_matrix_power(input, n, out=out)


def _matrix_exp_gradient(g: Tensor, A: Tensor) -> Tensor:
    """The exponential of ``[[A^H, g], [0, A^H]]`` has the gradient in its corner (Mathias, 1996)."""
    adjoint = A.mH
    size = A._layout.shape[-1]
    blocks = cat((cat((adjoint, g), -1), cat((adjoint * 0, adjoint), -1)), -2)
    return linalg_matrix_exp(blocks).narrow(-2, 0, size).narrow(-1, size, size)


def _matrix_exp_rule(A: np.ndarray) -> np.ndarray:
    return scipy_linalg().expm(A) if A.size else A


_matrix_exp = Card("linalg_matrix_exp", "A", infer=lambda A: contiguous(A.shape, A.dtype), numpy=_matrix_exp_rule, grads={"A": _matrix_exp_gradient})


def linalg_matrix_exp(A: Tensor) -> Tensor:
    """The exponential of each square matrix.

    >>> torch.linalg.matrix_exp(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    here = as_tensor_argument(A, "linalg_matrix_exp")._layout
    check_square("linalg.matrix_exp", here)
    check_float("linalg.matrix_exp", here, low_precision=True)
    return apply(_matrix_exp, (A,))


def matrix_exp(input: Tensor) -> Tensor:
    """`linalg.matrix_exp` under its older name.

    >>> torch.matrix_exp(torch.zeros(1, 1))
    tensor([[1.]])
    """
    return linalg_matrix_exp(input)


# Chains of products


def linalg_multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of matrices in the order that takes the fewest multiplications; the first and last may be vectors.

    >>> torch.linalg.multi_dot([torch.ones(2, 3), torch.ones(3, 4), torch.ones(4)])
    tensor([12., 12.])
    """
    count = len(tensors)
    if count < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {count}")
    from ..matmul import c_name

    layouts = [as_tensor_argument(t, "linalg_multi_dot", "tensors")._layout for t in tensors]
    for which, here in (("first", layouts[0]), ("last", layouts[-1])):
        if here.ndim not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {here.ndim}D")
    for n, here in enumerate(layouts[1:-1], 1):
        if here.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {n} must be 2D but got {here.ndim}D")
    for n, here in enumerate(layouts):
        if here.dtype is not layouts[0].dtype:
            raise RuntimeError(f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {c_name(layouts[0].dtype)} and tensor {n} {c_name(here.dtype)}")
    matrices = list(tensors)
    row, column = layouts[0].ndim == 1, layouts[-1].ndim == 1
    if row:
        matrices[0] = matrices[0].unsqueeze(0)
    if column:
        matrices[-1] = matrices[-1].unsqueeze(1)
    shapes = [m._layout.shape for m in matrices]
    for n, (a, b) in enumerate(zip(shapes, shapes[1:], strict=False)):
        if a[1] != b[0]:
            raise RuntimeError(f"multi_dot(): tensors {n} and {n + 1} with shapes {sizes(a)} and {sizes(b)} cannot be multiplied")
    found = _chain(matrices, _splits([shapes[0][0], *(s[1] for s in shapes)]), 0, count - 1)
    found = found.squeeze(0) if row else found
    found = found.squeeze(-1) if column else found
    return found if out is None else write_out(out, found, exact=EXACT)


def _splits(extents: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the chain from one matrix to another (Cormen et al., matrix-chain multiplication)."""
    count = len(extents) - 1
    cost = {(n, n): 0 for n in range(count)}
    split = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            costs = [cost[first, k] + cost[k + 1, last] + extents[first] * extents[k + 1] * extents[last + 1] for k in range(first, last)]
            cost[first, last] = min(costs)
            split[first, last] = first + costs.index(min(costs))
    return split


def _chain(matrices: Sequence[Tensor], split: dict[tuple[int, int], int], first: int, last: int) -> Tensor:
    if first == last:
        return matrices[first]
    middle = split[first, last]
    return _chain(matrices, split, first, middle).mm(_chain(matrices, split, middle + 1, last))


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of matrices in the order that takes the fewest multiplications; `linalg.multi_dot` replaces it.

    >>> torch.chain_matmul(torch.ones(1, 2), torch.ones(2, 3), torch.ones(3, 1))
    tensor([[6.]])
    """
    for matrix in matrices:
        if matrix._layout.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {matrix._layout.ndim}, expected 2 instead.")
    if len(matrices) == 1:
        return matrices[0]
    return linalg_multi_dot(matrices, out=out)


# Small constructions


def linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The Vandermonde matrix: the powers 0 to ``N - 1`` of each element in a new last dim.

    >>> torch.linalg.vander(torch.tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    here = as_tensor_argument(x, "linalg_vander", "x")._layout
    x = x.to(dt.int64) if here.dtype is dt.bool_ else x
    x = x if here.ndim else x.unsqueeze(0)
    size = x._layout.shape[-1] if N is None else N
    if size <= 1:
        raise RuntimeError("N must be greater than 1.")
    powers = [ones_like(x), x]
    while len(powers) < size:
        powers.append(powers[-1] * x)
    found = stack(powers, -1)
    return found.to(dt.int64) if here.dtype.category < dt.FLOAT else found


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers 0 to ``N - 1`` of each element of a vector, a row each, the highest first unless `increasing`.

    >>> torch.vander(torch.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    here = as_tensor_argument(x, "vander", "x")._layout
    if here.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = here.shape[0] if N is None else N
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    if count < 2:
        return ones_like(x, dtype=dt.promote(here.dtype, dt.int64)).unsqueeze(1).expand(-1, count).clone()
    found = linalg_vander(x, N=count)
    return found if increasing else found.flip(1)


@autocasts(LOWER)
def linalg_vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The inner products of the vectors along `dim`, those of `x` conjugated, the other dims broadcasting.

    >>> torch.linalg.vecdot(torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([1., 1.]))
    tensor([3., 7.])
    """
    a, b = as_tensor_argument(x, "linalg_vecdot", "x")._layout, as_tensor_argument(y, "linalg_vecdot", "y", 2)._layout
    if a.dtype is not b.dtype:
        raise RuntimeError(f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {a.dtype.type_name} and y of type {b.dtype.type_name} instead")
    if a.ndim == 1 and b.ndim == 1:
        found = x.conj().dot(y)
    else:
        found = (x.conj() * y).sum(dim)
        found = found.to(a.dtype)
    return found if out is None else write_out(out, found, exact=EXACT)


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """`torch.diagonal` of the last two dims.

    >>> torch.linalg.diagonal(torch.tensor([[1., 2.], [3., 4.]]))
    tensor([1., 4.])
    """
    return diagonal(A, offset, dim1, dim2)


def linalg_matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`torch.matmul`.

    >>> torch.linalg.matmul(torch.tensor([[2.]]), torch.tensor([[3.]]))
    tensor([[6.]])
    """
    return matmul(input, other, out=out)
