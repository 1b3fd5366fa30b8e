"""Rows of a table by index: embeddings, bags of them, and one-hot vectors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine import bags as native, library
from ..engine.lowering import AS_BITS, AS_FLOAT, FLOATING, Calls, Loop, Space
from ..shape import contiguous
from ..storage import ON_META, TensorBase
from .card import Card, apply, array_of, checking_values, value_range
from .define import NOT_FLOAT, as_tensor_argument, titled
from .index import add_along
from .reduction import widened

if TYPE_CHECKING:
    from ..tensor import Tensor


def _counts(index: np.ndarray, rows: int) -> np.ndarray:
    return np.bincount(index.reshape(-1), minlength=rows)


def _embedding_backward_rule(grad_output: np.ndarray, index: np.ndarray, *, rows: int, padding_idx: int, scale_grad_by_freq: bool) -> np.ndarray:
    width = grad_output.shape[-1]
    flat, values = index.reshape(-1), widened(grad_output).reshape(-1, width)
    if padding_idx >= 0:
        kept = flat != padding_idx
        flat, values = flat[kept], values[kept]
    if scale_grad_by_freq and flat.size:
        values = values / _counts(flat, rows)[flat][:, None].astype(values.dtype)
    found = np.zeros((rows, width), values.dtype)
    add_along(found, flat, values)
    return found


_embedding_backward = Card(
    "embedding_dense_backward", "grad_output index",
    statics="rows padding_idx scale_grad_by_freq", outputs="grad_weight",
    infer=lambda grad_output, index, rows, padding_idx, scale_grad_by_freq: contiguous((rows, grad_output.shape[-1]), grad_output.dtype),
    numpy=_embedding_backward_rule, lowering=Calls(library.table_sum, half=AS_FLOAT),
    grads={"grad_output": lambda g, index, padding_idx: _embedding_double(g, index, padding_idx)},
)  # fmt: skip


def _embedding_double(g: Tensor, index: Tensor, padding_idx: int) -> Tensor:
    found = apply(_embedding, (g, index), (padding_idx, False))
    return found.masked_fill((index == padding_idx).unsqueeze(-1), 0) if padding_idx >= 0 else found


_embedding = Card(
    "embedding", "weight index",
    statics="padding_idx scale_grad_by_freq",
    infer=lambda weight, index, padding_idx, scale_grad_by_freq: contiguous((*index.shape, *weight.shape[1:]), weight.dtype),
    numpy=lambda weight, index, padding_idx, scale_grad_by_freq: np.take(weight, index, 0), lowering=Calls(library.table_rows, exact=True, half=AS_BITS),
    grads={
        "weight": lambda g, index, layouts, padding_idx, scale_grad_by_freq: apply(
            _embedding_backward, (g, index), (layouts[0].shape[0], padding_idx, scale_grad_by_freq)
        )
    },
    onnx="Gather",
)  # fmt: skip


def _check_index(input: Any, rows: int) -> None:
    if input._layout.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{input._layout.dtype.type_name}Tensor instead (while checking arguments for embedding)")
    if input._layout.numel and input._storage.special != ON_META:
        checking_values(_check_rows, input, rows)


def _check_rows(input: Any, rows: int) -> None:
    least, largest = value_range(input)
    if least < 0 or largest >= rows:
        raise IndexError("index out of range in self")


def _renormalise(weight: Any, input: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up to at most `max_norm`, in place."""
    from ..grad_mode import no_grad
    from .from_data import tensor

    with no_grad():
        rows = np.unique(array_of(input))
        values = array_of(weight)[rows].astype(np.float64)
        norms = np.linalg.norm(values, norm_type, axis=1)
        over = norms > max_norm
        if over.any():
            scaled = values[over] * (max_norm / (norms[over] + 1e-7))[:, None]
            weight[tensor(rows[over])] = tensor(scaled.astype(weight._layout.dtype.numpy))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """The rows of `weight` (V, D) that `input` names: (..., D). The row `padding_idx` gets no gradient.

    >>> F.embedding(torch.tensor([1, 0]), torch.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    as_tensor_argument(input, "embedding", "indices", 2)
    if weight._layout.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    rows = weight._layout.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx = padding_idx % rows
    _check_index(input, rows)
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    return apply(_embedding, (weight, input), (-1 if padding_idx is None else padding_idx, bool(scale_grad_by_freq)))


def _bag_sizes(offsets: np.ndarray, bags: int, count: int) -> np.ndarray:
    return np.diff(offsets if len(offsets) > bags else np.append(offsets, count))


def _bags_rule(weight: np.ndarray, index: np.ndarray, offsets: np.ndarray, mode: str, padding_idx: int, bags: int) -> np.ndarray:
    owner = np.repeat(np.arange(bags), _bag_sizes(offsets, bags, len(index)))
    flat = index[: len(owner)]
    owner, flat = owner[flat != padding_idx], flat[flat != padding_idx]
    found = np.zeros((bags, weight.shape[1]), weight.dtype)
    np.add.at(found, owner, weight[flat])
    return found / np.maximum(_counts(owner, bags), 1)[:, None].astype(weight.dtype) if mode == "mean" else found


def _owners(index: Tensor, offsets: Tensor, bags: int) -> np.ndarray:
    """Which bag each of the rows that are in one belongs to."""
    return np.repeat(np.arange(bags), _bag_sizes(array_of(offsets), bags, index._layout.numel))


def _bags_gradient(g: Tensor, index: Tensor, offsets: Tensor, layouts: Any, mode: str, padding_idx: int, bags: int) -> Tensor:
    from .from_data import tensor

    owner = _owners(index, offsets, bags)
    flat = index[: len(owner)]
    if mode == "mean":
        kept = array_of(flat) != padding_idx
        g = g / tensor(np.maximum(_counts(owner[kept], bags), 1)).to(g.dtype).unsqueeze(1)
    return apply(_embedding_backward, (g.index_select(0, tensor(owner)), flat), (layouts[0].shape[0], padding_idx, False))


#: What PyTorch calls the node of bags, of whatever ops they are made here.
_BAG_NODE = "EmbeddingBagBackward0"

_embedding_bag = Card(
    "embedding_bag", "weight index offsets",
    statics="mode padding_idx bags",
    infer=lambda weight, index, offsets, mode, padding_idx, bags: contiguous((bags, weight.shape[1]), weight.dtype),
    numpy=_bags_rule, lowering=Calls(native.sums), grads={"weight": _bags_gradient}, node_name=_BAG_NODE,
)  # fmt: skip


def _weighted_rule(weight: np.ndarray, index: np.ndarray, offsets: np.ndarray, factors: np.ndarray, padding_idx: int, bags: int) -> np.ndarray:
    owner = np.repeat(np.arange(bags), _bag_sizes(offsets, bags, len(index)))
    kept = index[: len(owner)] != padding_idx
    found = np.zeros((bags, weight.shape[1]), weight.dtype)
    np.add.at(found, owner[kept], weight[index[: len(owner)][kept]] * factors[: len(owner)][kept, None])
    return found


def _weighted_gradient(g: Tensor, index: Tensor, offsets: Tensor, factors: Tensor, layouts: Any, padding_idx: int, bags: int) -> Tensor:
    from .from_data import tensor

    owner = _owners(index, offsets, bags)
    rows = g.index_select(0, tensor(owner)) * factors[: len(owner)].unsqueeze(1)
    return apply(_embedding_backward, (rows, index[: len(owner)]), (layouts[0].shape[0], padding_idx, False))


def _factors_gradient(g: Tensor, weight: Tensor, index: Tensor, offsets: Tensor, padding_idx: int, bags: int) -> Tensor:
    from .from_data import tensor
    from .padding import pad

    owner = _owners(index, offsets, bags)
    flat = index[: len(owner)]
    found = (g.index_select(0, tensor(owner)) * weight.index_select(0, flat)).sum(1).masked_fill(flat == padding_idx, 0)
    missing = index._layout.numel - len(owner)
    return pad(found, (0, missing)) if missing else found


_weighted_bag = Card(
    "embedding_bag_weighted", "weight index offsets factors",
    statics="padding_idx bags",
    infer=lambda weight, index, offsets, factors, padding_idx, bags: contiguous((bags, weight.shape[1]), weight.dtype),
    numpy=_weighted_rule, lowering=Calls(native.sums), grads={"weight": _weighted_gradient, "factors": _factors_gradient},
    node_name="EmbeddingBagBackward0",
)  # fmt: skip


def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None, include_last_offset: bool = False, padding_idx: int | None = None) -> Tensor:
    """The sum, mean or max of bags of rows of `weight`: `input` is (B, N), or flat with `offsets` where bags start.

    >>> F.embedding_bag(torch.tensor([[0, 1]]), torch.tensor([[1., 2.], [3., 4.]]))
    tensor([[2., 3.]])
    """
    from .creation import zeros
    from .from_data import tensor

    if weight._layout.dtype in (dt.int64, dt.int32) and input._layout.dtype.is_floating_point:
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)
        weight, input = input, weight
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if per_sample_weights.shape != input.shape:
            raise ValueError(f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not None, then it must have the same shape as the input ({list(input.shape)})")
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub.")
    dtype = weight._layout.dtype
    if dtype in NOT_FLOAT:
        name = f"torch.{dtype.type_name}Tensor" if dtype.category == dt.INTEGER else f"CPU{dtype.type_name}Type"
        raise RuntimeError(f"Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, Float, Double; but got {name} instead (while checking arguments for embedding_bag)")
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(f"if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. However, found offsets of type {type(offsets)}")
        bags, each = input.shape
        bag_of = np.repeat(np.arange(bags), each)
        if padding_idx is None and each:
            rows = embedding(input, weight, None, max_norm, norm_type, scale_grad_by_freq)
            if per_sample_weights is not None:
                rows = rows * per_sample_weights.unsqueeze(-1)
            return titled(rows.sum(1) if mode == "sum" else rows.mean(1) if mode == "mean" else rows.amax(1), _BAG_NODE)
        flat = input.reshape(-1)
        per_sample_weights = per_sample_weights.reshape(-1) if per_sample_weights is not None else None
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        starts = array_of(offsets)
        if starts.size and starts[0] != 0:
            raise RuntimeError(f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got {starts[0]}\n[ torch.{offsets._layout.dtype.type_name}Tensor{{}} ]")
        if starts.size and starts[-1] > input.numel():
            raise RuntimeError(f"offsets[-1] can not be greater than input's length {input.numel()} but got offsets[-1] of {starts[-1]}")
        bags = len(starts) - (1 if include_last_offset else 0)
        ends = np.append(starts[1:], input.numel()) if not include_last_offset else starts[1:]
        if mode != "max" and (per_sample_weights is None or per_sample_weights._layout.dtype is dtype) and not scale_grad_by_freq and dtype in FLOATING and bags and input.numel() and (starts[:bags] <= ends[:bags]).all():
            _check_index(input, weight._layout.shape[0])
            if max_norm is not None:
                _renormalise(weight, input, max_norm, norm_type)
            padding = -1 if padding_idx is None else padding_idx % weight._layout.shape[0]
            if per_sample_weights is not None:
                return apply(_weighted_bag, (weight, input, offsets, per_sample_weights), (padding, bags))
            return apply(_embedding_bag, (weight, input, offsets), (mode, padding, bags))
        bag_of = np.repeat(np.arange(bags), ends[:bags] - starts[:bags])
        flat = input[: len(bag_of)]
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    owner = tensor(bag_of)
    empty = zeros(bags, weight.shape[1], dtype=weight.dtype)
    if padding_idx is not None:
        kept = (flat != padding_idx % weight.shape[0]).nonzero().reshape(-1)
        rows, owner = rows.index_select(0, kept), owner.index_select(0, kept)
    if mode == "max":
        return titled(empty.scatter_reduce(0, owner.unsqueeze(1).expand(rows.shape), rows, "amax", include_self=False), _BAG_NODE)
    total = empty.index_add(0, owner, rows)
    if mode == "sum":
        return titled(total, _BAG_NODE)
    sizes_of = np.maximum(np.bincount(array_of(owner), minlength=bags), 1)
    return titled(total / tensor(sizes_of).to(weight.dtype).unsqueeze(1), _BAG_NODE)


_one_hot = Card(
    "one_hot", "input",
    statics="classes",
    infer=lambda input, classes: contiguous((*input.shape, classes), dt.int64),
    numpy=lambda input, classes: (input[..., None] == np.arange(classes)).astype(np.int64),
    lowering=Loop(lambda k, input, classes: k.convert(k.compare("eq", k.position(), k.convert(input, "i32")), "i64"), lambda plan: Space(plan.outs[0].shape, plan.outs[0].ndim - 1), kept=(0,)),
)  # fmt: skip


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last dim of `num_classes` (largest value plus one when -1) with a single 1 at each value.

    >>> F.one_hot(torch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    from .from_data import tensor as make

    if not isinstance(tensor, TensorBase) or tensor._layout.dtype is not dt.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    values = array_of(tensor)
    if not values.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return make(np.zeros((*values.shape, num_classes), np.int64))
    if values.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(values.max()) + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif num_classes <= values.max():
        raise RuntimeError("Class values must be smaller than num_classes.")
    return apply(_one_hot, (tensor,), (num_classes,))
