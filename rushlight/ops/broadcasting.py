"""Views with dims of size one repeated: expand, and what broadcasts tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import sizes
from ..shape import Size, broadcast_shapes as common_shape, can_broadcast_to, expand_strides, layout
from ..storage import TensorBase
from .card import View, apply_view
from .define import as_tensor_argument
from .views import sequence_argument, shape_argument, wrong_sequence

if TYPE_CHECKING:
    from ..tensor import Tensor

_expand = View(
    "expand",
    geometry=lambda input, shape: (layout(shape, expand_strides(input.shape, input.stride, shape), input.dtype), 0),
    statics="shape",
    grads={"input": lambda g: g},  # the engine sums over what was repeated
)


def expand(input: Tensor, *size: Any, implicit: bool = False) -> Tensor:
    """A view with dims of size one repeated, with no copy; -1 keeps a size.

    >>> torch.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    try:
        wanted = list(shape_argument(size))
    except TypeError:
        raise wrong_sequence("expand", size, "size") from None
    if not size:
        raise TypeError('expand() missing 1 required positional arguments: "size"')
    shape = input._layout.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({_type_name(input)}{{{sizes(shape)}}}, size={sizes(wanted)}): the number of sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    for d, n in enumerate(wanted):
        if n == -1:
            if d < lead:
                raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {d}")
            wanted[d] = shape[d - lead]
        elif n < 0:
            raise RuntimeError(f"expand({_type_name(input)}{{{sizes(shape)}}}, size={sizes(wanted)}): invalid expanded size {n}")
    if not can_broadcast_to(shape, wanted):
        bad = max(d for d in range(len(shape)) if shape[d] not in (1, wanted[d + lead]))
        raise RuntimeError(
            f"The expanded size of the tensor ({wanted[bad + lead]}) must match the existing size ({shape[bad]}) at non-singleton dimension {bad + lead}.  "
            f"Target sizes: {sizes(wanted)}.  Tensor sizes: {sizes(shape)}"
        )
    return apply_view(_expand, input, (tuple(wanted),))


def _type_name(input: TensorBase) -> str:
    return f"torch.{input._layout.dtype.type_name}Tensor"


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` expanded to the shape of `other`.

    >>> torch.ones(1).expand_as(torch.zeros(3)).shape
    torch.Size([3])
    """
    as_tensor_argument(other, "expand_as", "other", 1)
    return expand(input, other._layout.shape)


def broadcast_to(input: Tensor, *size: Any, **kwargs: Any) -> Tensor:
    """`input` expanded to `size`.

    >>> torch.broadcast_to(torch.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    as_tensor_argument(input, "broadcast_to")
    return expand(input, sequence_argument("broadcast_to", size, kwargs, "size"))


def broadcast_shapes(*shapes: int | Sequence[int]) -> Size:
    """The common shape of tensors of these shapes.

    >>> torch.broadcast_shapes((2,), (3, 1))
    torch.Size([3, 2])
    """
    wanted: list[tuple[int, ...]] = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    found = [1] * max((len(shape) for shape in wanted), default=0)
    for n, shape in enumerate(wanted):
        for d in range(-1, -1 - len(shape), -1):
            if shape[d] < 0:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if shape[d] in (1, found[d]):
                continue
            if found[d] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[d]} at {d}! Mismatching argument at index {n} had {shape}; but expected shape should be broadcastable to {found}"
                )
            found[d] = shape[d]
    return Size(found)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of the tensors with their common shape.

    >>> [t.shape for t in torch.broadcast_tensors(torch.zeros(2, 1), torch.zeros(3))]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    from .combine import tuple_of_tensors

    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    tensors = tuple_of_tensors(tensors, "broadcast_tensors")
    shape = common_shape(*(t._layout.shape for t in tensors))
    return tuple(t if t._layout.shape == shape else expand(t, shape) for t in tensors)
