"""Sums of products over chosen dims (`einsum`, `tensordot`), products of pairs of dims, and distances between rows."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..errors import sizes
from ..grad_mode import no_grad
from ..shape import broadcast_shapes, contiguous, numel, wrap_dim
from ..storage import TensorBase
from .card import Card, apply
from .define import EXACT, NOT_SINGLE, as_tensor_argument, refuse_dtypes, titled, write_out
from .vector_norm import vector_norm

if TYPE_CHECKING:
    from ..tensor import Tensor


# Distances and similarities of rows


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The `p`-norm of ``x1 - x2 + eps`` over the last dim.

    >>> F.pairwise_distance(torch.tensor([[3., 4.]]), torch.zeros(1, 2))
    tensor([5.0000])
    """
    as_tensor_argument(x1, "pairwise_distance", "x1")
    as_tensor_argument(x2, "pairwise_distance", "x2", 2)
    return titled(vector_norm(x1 - x2 + eps, p, -1, keepdim), "NormBackward1")


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between `x1` and `x2` along `dim`, their norms at least `eps`.

    >>> F.cosine_similarity(torch.tensor([[1., 0.]]), torch.tensor([[1., 1.]]))
    tensor([0.7071])
    """
    first, second = as_tensor_argument(x1, "cosine_similarity", "x1"), as_tensor_argument(x2, "cosine_similarity", "x2", 2)
    common = dt.promote_cached(first._layout.dtype, second._layout.dtype)
    if not common.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {common.type_name}")
    first, second = _broadcast(first.to(common), second.to(common))

    def unit(x: Tensor) -> Tensor:
        norm = vector_norm(x, 2, dim, keepdim=True).clone()
        with no_grad():  # the gradient is that of the norm before the bound
            norm.clamp_(min=eps)
        return x / norm

    return (unit(first) * unit(second)).sum(dim)


def _broadcast(a: Tensor, b: Tensor) -> tuple[Any, ...]:
    from .broadcasting import broadcast_tensors

    return broadcast_tensors(a, b)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The `p`-norm distances between all pairs of rows: the upper triangle of `cdist` as a vector.

    >>> F.pdist(torch.tensor([[0., 0.], [3., 4.], [0., 1.]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    from .from_data import tensor

    here = as_tensor_argument(input, "pdist")._layout
    if here.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {here.ndim}D")
    if not here.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if not p >= 0:
        raise RuntimeError("pdist only supports non-negative p values")
    if here.shape[0] > 1:
        refuse_dtypes("pdist", here.dtype, NOT_SINGLE)
    above = np.flatnonzero(~np.tri(here.shape[0], dtype=np.bool_))
    if p in (0, 1, 2, math.inf):
        # All distances take less time, and less memory, than the pairs' rows would; not so where each difference is raised to a power.
        return titled(vector_norm(input.unsqueeze(1) - input, p, -1).reshape(-1).index_select(0, tensor(above)), "PdistBackward0")
    one, other = (tensor(rows) for rows in divmod(above, max(here.shape[0], 1)))
    return titled(vector_norm(input.index_select(0, one) - input.index_select(0, other), p, -1), "PdistBackward0")


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2 + bias[k]`` for each output k: (..., in1), (..., in2), (out, in1, in2) to (..., out).

    >>> F.bilinear(torch.ones(1, 2), torch.ones(1, 3), torch.ones(1, 2, 3))
    tensor([[6.]])
    """
    first, second, third = input1._layout.shape, input2._layout.shape, weight._layout.shape
    given = {"input1": input1, "input2": input2, "weight": weight} | ({} if bias is None else {"bias": bias})
    if len({value._layout.dtype for value in given.values()}) > 1:
        raise RuntimeError(f"All tensors must have the same dtype, got {', '.join(f'{name}: {dt.c_name(value._layout.dtype)}' for name, value in given.items())}")
    if len(first) != len(second):
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {len(first)} and {len(second)}")
    for n, (a, b) in enumerate(zip(first[:-1], second[:-1], strict=True)):
        if a != b:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {n}: got {a} and {b}")
    for name, have, want in (("input1", first[-1], third[1]), ("input2", second[-1], third[2])):
        if have != want:
            raise RuntimeError(f"bilinear(): {name} size does not match weight size: got {have} but expected {want}")
    if bias is not None and bias._layout.shape[0] != third[0]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias._layout.shape[0]} but expected {third[0]}")
    rows = numel(first[:-1])
    left = input1.reshape(rows, third[1]) @ weight.transpose(0, 1).reshape(third[1], third[0] * third[2])
    found = (left.reshape(rows, third[0], third[2]) @ input2.reshape(rows, third[2], 1)).reshape(*first[:-1], third[0])
    return found if bias is None else found + bias


# einsum

#: The labels of the dims that an ellipsis stands for: negative, so that they sort before all letters.
_Labels = list[int]
_ELLIPSIS = None
_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def einsum(*args: Any) -> Tensor:
    """The sum of products of the operands that an equation of dim labels describes.

    Operands follow the equation, or alternate with lists of labels: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
    `...` stands for the dims that are not named. Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html

    >>> torch.einsum("ij,kj->ik", torch.ones(2, 3), torch.ones(4, 3)).shape
    torch.Size([2, 4])
    """
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list")
    if isinstance(args[0], TensorBase):
        operands, inputs, wanted = _parse_lists(args)
    else:
        equation, operands = args[0], list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        inputs, wanted = _parse_equation(equation, len(operands))
    named, output = _match_dims(operands, inputs, wanted)
    parts = [_with_distinct_labels(t, labels) for t, labels in zip(operands, named, strict=True)]
    found, labels = parts[0]
    for n, (t, theirs) in enumerate(parts[1:], 1):
        kept = {*output}.union(*(later for _, later in parts[n + 1 :]))
        found, labels = _contract(found, labels, t, theirs, kept)
    found, labels = _sum_out(found, labels, {*output})
    return found.permute([labels.index(label) for label in output]) if labels != output else found


def _parse_equation(equation: str, count: int) -> tuple[list[list[int | None]], list[int | None] | None]:
    left, arrow, right = equation.partition("->")
    if not count:
        raise RuntimeError("einsum(): must provide at least one operand")
    terms = left.split(",")
    if len(terms) < count:
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    if len(terms) > count:
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    inputs = []
    at = 0
    for n, term in enumerate(terms):
        inputs.append(_labels_of_term(term, f"for operand {n}", at))
        at += len(term) + 1
    return inputs, _labels_of_term(right, "for the output", at + 1) if arrow else None


def _labels_of_term(term: str, where: str, at: int) -> list[int | None]:
    found: list[int | None] = []
    n = 0
    while n < len(term):
        c = term[n]
        if c == ".":
            if _ELLIPSIS in found:
                raise RuntimeError(f"einsum(): found '.' {where} for which an ellipsis was already found")
            if term[n : n + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' {where} that is not part of any ellipsis")
            found.append(_ELLIPSIS)
            n += 2
        elif c in _LETTERS:
            found.append(_LETTERS.index(c))
        elif c != " ":
            raise RuntimeError(f"einsum(): invalid subscript given at index {at + n} in the equation string, subscripts must be in [a-zA-Z]")
        n += 1
    return found


def _parse_lists(args: Sequence[Any]) -> tuple[list[Any], list[list[int | None]], list[int | None] | None]:
    def labels(values: Iterable[Any]) -> list[int | None]:
        found: list[int | None] = []
        for value in values:
            if value is not Ellipsis and not 0 <= value < len(_LETTERS):
                raise ValueError("einsum(): subscripts must be in range [0, 52)")
            found.append(_ELLIPSIS if value is Ellipsis else int(value))
        return found

    pairs = len(args) // 2
    output = labels(args[-1]) if len(args) % 2 else None
    return list(args[0 : 2 * pairs : 2]), [labels(a) for a in args[1 : 2 * pairs : 2]], output


def _name(label: int) -> str:
    return _LETTERS[label] if label >= 0 else "..."


def _match_dims(operands: Sequence[Any], inputs: Sequence[list[int | None]], output: list[int | None] | None) -> tuple[list[_Labels], _Labels]:
    """A label for each dim of each operand and of the output, with ellipses written out."""
    spans = []
    for n, (t, labels) in enumerate(zip(operands, inputs, strict=True)):
        ndim, given = t._layout.ndim, len(labels) - labels.count(_ELLIPSIS)
        if _ELLIPSIS in labels:
            if given > ndim:
                raise RuntimeError(f"einsum(): the number of subscripts in the equation ({given}) is more than the number of dimensions ({ndim}) for operand {n}")
        elif given != ndim:
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({given}) does not match the number of dimensions ({ndim}) for operand {n} and no ellipsis was given")
        spans.append(ndim - given)
    widest = max((s for s, labels in zip(spans, inputs, strict=True) if _ELLIPSIS in labels), default=0)

    def written_out(labels: Iterable[int | None], span: int) -> _Labels:
        found: _Labels = []
        for label in labels:
            found.extend(range(-span, 0) if label is _ELLIPSIS else (label,))  # type: ignore[arg-type]
        return found

    named = [written_out(labels, span) for labels, span in zip(inputs, spans, strict=True)]
    extent: dict[int, int] = {}
    for n, (t, dims) in enumerate(zip(operands, named, strict=True)):
        own: dict[int, int] = {}
        for label, size in zip(dims, t._layout.shape, strict=True):
            if label in own and own[label] != size:
                raise RuntimeError(f"einsum(): subscript {_name(label)} is repeated for operand {n} but the sizes don't match, {size} != {own[label]}")
            own[label] = size
            seen = extent.get(label, 1)
            if size != 1 and seen not in (1, size):
                raise RuntimeError(f"einsum(): subscript {_name(label)} has size {size} for operand {n} which does not broadcast with previously seen size {seen}")
            extent[label] = seen if size == 1 else size
    if output is None:
        counts = [label for dims in named for label in dims]
        wanted = [*range(-widest, 0), *sorted(label for label in {*counts} if label >= 0 and counts.count(label) == 1)]
    else:
        wanted = written_out(output, widest)
        for label in wanted:
            if wanted.count(label) > 1:
                raise RuntimeError(f"einsum(): output subscript {_name(label)} appears more than once in the output")
            if label not in extent:
                raise RuntimeError(f"einsum(): output subscript {_name(label)} does not appear in the equation for any input operand")
    return named, wanted


def _with_distinct_labels(t: Tensor, labels: _Labels) -> tuple[Tensor, _Labels]:
    """The diagonal over each label that occurs twice."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            t = t.diagonal(0, first, second)
            del labels[second], labels[first]
            labels.append(label)
    return t, labels


def _sum_out(t: Tensor, labels: _Labels, kept: set[int]) -> tuple[Tensor, _Labels]:
    dims = [n for n, label in enumerate(labels) if label not in kept]
    return (t.sum(dims), [label for label in labels if label in kept]) if dims else (t, labels)


def _contract(a: Tensor, a_labels: _Labels, b: Tensor, b_labels: _Labels, kept: set[int]) -> tuple[Tensor, _Labels]:
    """The sum of products over the labels that both have and nobody needs later, as one product of batches of matrices."""
    for label in [label for label in a_labels if label in b_labels]:
        left, right = a._layout.shape[a_labels.index(label)], b._layout.shape[b_labels.index(label)]
        if left == right:
            continue
        # One of them broadcasts: it has no part in the sum over this label.
        if left == 1:
            a = a.squeeze(a_labels.index(label))
            a_labels = [other for other in a_labels if other != label]
        else:
            b = b.squeeze(b_labels.index(label))
            b_labels = [other for other in b_labels if other != label]
    a, a_labels = _sum_out(a, a_labels, kept | {*b_labels})
    b, b_labels = _sum_out(b, b_labels, kept | {*a_labels})
    shared = [label for label in a_labels if label in b_labels]
    batch, summed = [label for label in shared if label in kept], [label for label in shared if label not in kept]
    rows, columns = [label for label in a_labels if label not in shared], [label for label in b_labels if label not in shared]

    def arranged(t: Tensor, labels: _Labels, *groups: _Labels) -> tuple[Tensor, list[tuple[int, ...]]]:
        t = t.permute([labels.index(label) for group in groups for label in group])
        shape = iter(t._layout.shape)
        return t, [tuple(next(shape) for _ in group) for group in groups]

    a, (batch_shape, row_shape, sum_shape) = arranged(a, a_labels, batch, rows, summed)
    b, (_, _, column_shape) = arranged(b, b_labels, batch, summed, columns)
    if not summed:
        return a.reshape((*batch_shape, *row_shape, *(1 for _ in columns))) * b.reshape((*batch_shape, *(1 for _ in rows), *column_shape)), batch + rows + columns
    left_matrices = a.reshape(numel(batch_shape), numel(row_shape), numel(sum_shape))
    right_matrices = b.reshape(numel(batch_shape), numel(sum_shape), numel(column_shape))
    return left_matrices.bmm(right_matrices).reshape((*batch_shape, *row_shape, *column_shape)), batch + rows + columns


# Other contractions and products


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """The sum of products over pairs of dims: the last `dims` of `a` with the first of `b`, or two lists of dims.

    >>> torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), dims=1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, TensorBase):
        dims = dims.tolist()  # type: ignore[attr-defined]
    if isinstance(dims, (tuple, list)):
        if len(dims) == 1:
            dims = dims[0]
        else:
            left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a._layout.ndim, b._layout.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(-dims, 0)), list(range(dims))
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    if a._layout.dtype is not b._layout.dtype:
        raise RuntimeError("both inputs should have same dtype")
    given = tuple(zip(left, right, strict=True))
    left, right = [wrap_dim(d, a._layout.ndim) for d in left], [wrap_dim(d, b._layout.ndim) for d in right]
    for n, (one, other) in enumerate(zip(left, right, strict=True)):
        have, want = a._layout.shape[one], b._layout.shape[other]
        if have != want and 1 not in (have, want):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {have} in dim {given[n][0]} and second has size {want} in dim {given[n][1]}")
        if want == 1 != have:
            a = a.sum(one, True, dtype=a._layout.dtype)
        elif have == 1 != want:
            b = b.sum(other, True, dtype=b._layout.dtype)
    a_labels, b_labels = list(range(a._layout.ndim)), list(range(a._layout.ndim, a._layout.ndim + b._layout.ndim))
    for one, other in zip(left, right, strict=True):
        b_labels[other] = one
    output = [label for n, label in enumerate(a_labels) if n not in left] + [label for n, label in enumerate(b_labels) if n not in right]
    found, _ = _contract(a, a_labels, b, b_labels, {*output})
    return found if out is None else write_out(out, found, exact="tensordot: Expected the output tensor to have dtype {want}, but got an output tensor with dtype {have}")


def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product: each element of `input` times all of `other`.

    >>> torch.kron(torch.tensor([1, 10]), torch.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    first, second = as_tensor_argument(input, "kron")._layout.shape, as_tensor_argument(other, "kron", "other", 2)._layout.shape
    ndim = max(len(first), len(second))
    first, second = (1,) * (ndim - len(first)) + first, (1,) * (ndim - len(second)) + second
    left = input.reshape([size for n in first for size in (n, 1)])
    right = other.reshape([size for n in second for size in (1, n)])
    found = (left * right).reshape([m * n for m, n in zip(first, second, strict=True)])
    return found if out is None else write_out(out, found)


def _cross_rule(input: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    found = np.empty(np.broadcast_shapes(input.shape, other.shape), input.dtype)
    a, b, c = (np.moveaxis(array, axis, 0) for array in (input, other, found))
    for n in range(3):
        first, second = (n + 1) % 3, (n + 2) % 3
        c[n] = a[first] * b[second] - a[second] * b[first]
    return found


_cross = Card(
    "linalg_cross", "input other",
    statics="axis",
    infer=lambda input, other, axis: contiguous(broadcast_shapes(input.shape, other.shape), input.dtype), numpy=_cross_rule,
    grads={
        "input": lambda g, other, axis: linalg_cross(other.conj(), g, dim=axis),
        "other": lambda g, input, axis: linalg_cross(g, input.conj(), dim=axis),
    },
)  # fmt: skip


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The cross product of vectors of three elements along `dim`, the other dims broadcasting.

    >>> torch.linalg.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    first, second = as_tensor_argument(input, "linalg_cross")._layout, as_tensor_argument(other, "linalg_cross", "other", 2)._layout
    if first.ndim != second.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = wrap_dim(dim, first.ndim)
    if first.shape[axis] != 3 or second.shape[axis] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {first.shape[axis]} and {second.shape[axis]}")
    if first.dtype is not second.dtype:
        raise RuntimeError(f"expected scalar type {first.dtype.type_name} but found {second.dtype.type_name}")
    refuse_dtypes("cross", first.dtype, frozenset((dt.bool_,)))
    found = apply(_cross, (input, other), (axis,))
    return found if out is None else write_out(out, found, exact=EXACT)


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """`linalg.cross` along `dim`, or along the first dim of size 3.

    >>> torch.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]), dim=0)
    tensor([0., 0., 1.])
    """
    if dim is None:
        shape = as_tensor_argument(input, "cross")._layout.shape
        if 3 not in shape:
            raise RuntimeError(f"no dimension of size 3 in input: {sizes(shape)}")
        dim = shape.index(3)
    return linalg_cross(input, other, dim=dim, out=out)
