"""Padding: constants, reflections, repetitions and wrap-around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE
from ..engine import copies, pooling
from ..engine.lowering import AS_BITS, AS_FLOAT, Calls
from ..errors import sizes
from ..shape import Layout, Shape, contiguous
from .card import Card, apply
from .define import as_operand, as_tensor_argument
from .reduction import widened
from .separable import Table, in_format_of, sum_over, table, transposed

if TYPE_CHECKING:
    from ..tensor import Tensor


def _pairs(pad: Shape, ndim: int) -> list[tuple[int, int]]:
    """The padding before and after each dim, in the order of the dims."""
    given = [(pad[n], pad[n + 1]) for n in range(0, len(pad), 2)]
    return [(0, 0)] * (ndim - len(given)) + given[::-1]


def _infer_constant(input: Layout, value: Any, pad: Shape) -> Layout:
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, _pairs(pad, input.ndim), strict=True))
    for n, (m, (a, b)) in enumerate(zip(input.shape, _pairs(pad, input.ndim), strict=True)):
        if m + min(a, 0) + min(b, 0) < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        if m + a + b < 0:
            raise RuntimeError(f"The input size {m}, plus negative padding {a} and {b} resulted in a negative output size, which is invalid. Check dimension {n} of your input.")
    return in_format_of(input, shape)


def _constant_rule(input: np.ndarray, value: Any, pad: Shape) -> np.ndarray:
    pairs = _pairs(pad, input.ndim)
    kept = input[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(input.shape, pairs, strict=True))]
    return np.pad(kept, [(max(0, a), max(0, b)) for a, b in pairs], constant_values=np.asarray(value).astype(input.dtype))


_constant_pad = Card(
    "constant_pad_nd", "input value",
    statics="pad",
    infer=_infer_constant, numpy=_constant_rule, lowering=Calls(copies.constant_pad, exact=True, half=AS_FLOAT),
    grads={"input": lambda g, pad: constant_pad_nd(g, [-p for p in pad])},
    onnx="Pad",
)  # fmt: skip


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """`input` with `value` around it: `pad` gives (before, after) from the last dim on; negative numbers crop.

    >>> torch.constant_pad_nd(torch.tensor([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    as_tensor_argument(input, "constant_pad_nd")
    wanted = tuple(int(p) for p in pad)
    if len(wanted) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(wanted)}")
    if len(wanted) // 2 > input._layout.ndim:
        raise RuntimeError(f"Length of pad should be no more than twice the number of dimensions of the input. Pad length is {len(wanted)} while the input has {input._layout.ndim} dimensions.")
    return apply(_constant_pad, (input, as_operand(value, "constant_pad_nd", "value", 3)), (wanted,))


def _source_index(mode: str, size: int, before: int, after: int) -> np.ndarray:
    """For each position of a padded dim, the position of the input that it shows."""
    at = np.arange(-before, size + after)
    if mode == "replicate":
        return np.clip(at, 0, size - 1)
    if mode == "circular":
        kept = np.arange(max(-before, 0), size - max(-after, 0))
        return np.concatenate((kept[kept.size - max(before, 0) :], kept, kept[: max(after, 0)]))
    period = max(2 * (size - 1), 1)
    folded = np.abs(at) % period
    return np.where(folded < size, folded, period - folded)


def _check_size(mode: str, size: int, before: int, after: int, dim: int, shape: Shape) -> None:
    if mode == "reflect" and (before >= size or after >= size):
        raise RuntimeError(
            f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) at dimension {dim} of input {sizes(shape)}"
        )
    if mode == "circular" and (before > size or after > size):
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if mode == "circular" and size + before + after < 0:
        raise RuntimeError("Negative padding value is resulting in an empty dimension")


def _sources(shape: Shape, pad: Shape, mode: str) -> list[np.ndarray]:
    """For each padded dim, in the order of the dims: where its values come from."""
    spatial = shape[len(shape) - len(pad) // 2 :]
    return [_source_index(mode, size, before, after) for size, (before, after) in zip(spatial, _pairs(pad, len(spatial)), strict=True)]


def _tables(shape: Shape, pad: Shape, mode: str) -> list[Table]:
    spatial = shape[len(shape) - len(pad) // 2 :]
    return [table(index[:, None], np.ones((index.size, 1), bool), size) for index, size in zip(_sources(shape, pad, mode), spatial, strict=True)]


def _infer_padded(input: Layout, pad: Shape, mode: str) -> Layout:
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, _pairs(pad, input.ndim), strict=True))
    if min(shape) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {sizes(shape)}")
    if input.dtype is dt.bool_ and mode != "circular":
        raise NotImplementedError(f"\"{_TITLES[mode]}_pad{len(pad) // 2}d\" not implemented for 'Bool'")
    return contiguous(shape, input.dtype) if mode == "circular" else in_format_of(input, shape)


def _card(title: str, n: int) -> Card:
    return Card(
        f"{title}_pad{n}d", "input",
        statics="pad mode",
        infer=_infer_padded,
        numpy=lambda input, pad, mode: sum_over(input, _tables(input.shape, pad, mode)),
        lowering=Calls(lambda plan: copies.chosen(plan, _sources(plan.operands[0].shape, **plan.params)), exact=True, half=AS_BITS),
        grads={"input": lambda g, layouts, pad, mode: apply(_pad_backward, (g,), (layouts[0].shape, pad, mode))},
        node_name=f"{title.capitalize()}Pad{n}DBackward0", onnx="Pad", autocast=None if title == "circular" else SINGLE,
    )  # fmt: skip


_TITLES = {"reflect": "reflection", "replicate": "replication", "circular": "circular"}
_CARDS = {(mode, n): _card(title, n) for mode, title in _TITLES.items() for n in (1, 2, 3)}
_pad_backward = Card(
    "pad_backward", "grad_output",
    statics="shape pad mode",
    infer=lambda grad_output, shape, pad, mode: in_format_of(grad_output, shape),
    numpy=lambda grad_output, shape, pad, mode: sum_over(widened(grad_output), [transposed(t) for t in _tables(shape, pad, mode)]),
    lowering=Calls(lambda plan: pooling.sums(plan, [transposed(t) for t in _tables(**plan.params)]), exact=True, half=AS_FLOAT),
    grads={"grad_output": lambda g, pad, mode: apply(_CARDS[mode, len(pad) // 2], (g,), (pad, mode))},
)  # fmt: skip


_SUPPORTED = """
Supported combinations for non-constant padding:
  - 2D or 3D input: padding size = 2 (pads last dimension)
  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)
  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"""


def _padded_by_index(input: Any, pad: Shape, mode: str) -> Any:
    shape = input._layout.shape
    spatial = len(pad) // 2
    if 0 in shape[len(shape) - spatial - 1 :]:
        raise RuntimeError(f"Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {sizes(shape)}")
    for n in range(spatial):
        dim = len(shape) - 1 - n
        _check_size(mode, shape[dim], pad[2 * n], pad[2 * n + 1], dim, shape)
    return apply(_CARDS[mode, spatial], (input,), (pad, mode))


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` padded from the last dim on by (before, after) pairs; `mode` is "constant", "reflect", "replicate" or "circular".

    >>> F.pad(torch.tensor([[1., 2., 3.]]), (2, 0), mode="reflect")
    tensor([[3., 2., 1., 2., 3.]])
    """
    as_tensor_argument(input, "pad")
    wanted = tuple(int(p) for p in pad)
    if len(wanted) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(wanted) > 2 * input._layout.ndim:
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length {len(wanted)} and input of dimension {input._layout.ndim}")
    if mode == "constant":
        return constant_pad_nd(input, wanted, 0.0 if value is None and input._layout.dtype.is_floating_point else value or 0)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    ndim = input._layout.ndim
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if (len(wanted), ndim) not in {(2, 2), (2, 3), (4, 3), (4, 4), (6, 4), (6, 5)}:
        if len(wanted) in (2, 4, 6):
            raise NotImplementedError(f"Padding size {len(wanted)} is not supported for {ndim}D input tensor.{_SUPPORTED}")
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    return _padded_by_index(input, wanted, mode)
