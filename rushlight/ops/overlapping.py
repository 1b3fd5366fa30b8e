"""In-place ops by index on windows that overlap: one element after the other, each seeing what those before it have written.

What is written to is not the window but its memory, as one row of elements, at the places where the window has its elements.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..grad_mode import no_grad
from ..shape import has_internal_overlap
from ..storage import TensorBase

if TYPE_CHECKING:
    from ..tensor import Tensor


def memory_of(window: Any) -> tuple[Tensor, Tensor]:
    """The memory of a window as a row of elements, and for each element of the window its place there."""
    from .creation import arange

    here = window._layout
    base = window._base  # its gradient is not divided among windows
    whole = window if base is None or base._layout.dtype is not here.dtype else base
    return whole.as_strided((here.extent,), (1,), window._offset), arange(here.extent).as_strided(here.shape, here.stride)


def warn_of_expanded(tensor: TensorBase, function: str) -> None:
    """PyTorch's warning where a dim of stride 0 is written."""
    if has_internal_overlap(tensor._layout.shape, tensor._layout.stride):
        warnings.warn(
            f"Use of {function} on expanded tensors is deprecated. Please clone() the tensor before performing this operation. This also applies to advanced indexing e.g. tensor[mask] = scalar",
            stacklevel=4,
        )


def write_in_order(function: Any, window: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The in-place form of a function of `scatter.py` or `index_slices.py` on such a window."""
    with no_grad():
        function(window, *args, **kwargs)  # for its checks: nobody reads the result
    _WRITERS[function.__name__](*memory_of(window), *args, **kwargs)
    return window


def _scatter(memory: Tensor, places: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> None:
    options = {} if reduce is None else {"reduce": reduce}
    if src is None or not isinstance(src, TensorBase):
        memory.scatter_(0, _chosen(places, dim, index), value=value if src is None else src, **options)
    else:
        memory.scatter_(0, _chosen(places, dim, index), _part(src, index), **options)


def _scatter_add(memory: Tensor, places: Tensor, dim: int, index: Tensor, src: Tensor) -> None:
    memory.scatter_add_(0, _chosen(places, dim, index), _part(src, index))


def _scatter_reduce(memory: Tensor, places: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> None:
    memory.scatter_reduce_(0, _chosen(places, dim, index), _part(src, index), reduce, include_self=include_self)


def _chosen(places: Tensor, dim: int, index: Tensor) -> Tensor:
    return places.gather(dim, index).reshape(-1)


def _part(src: Any, index: Tensor) -> Tensor:
    return src[tuple([slice(n) for n in index.shape])].reshape(-1)


def _slices(places: Tensor, dim: int, index: Tensor) -> Tensor:
    return places.index_select(dim, index.reshape(-1)).reshape(-1)


def _index_add(memory: Tensor, places: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> None:
    memory.index_add_(0, _slices(places, dim, index), source.reshape(-1), alpha=alpha)


def _index_copy(memory: Tensor, places: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    memory.index_copy_(0, _slices(places, dim, index), source.reshape(-1))


def _index_fill(memory: Tensor, places: Tensor, dim: int, index: Tensor, value: Any) -> None:
    memory.index_fill_(0, _slices(places, dim, index), value)


def _index_reduce(memory: Tensor, places: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> None:
    memory.index_reduce_(0, _slices(places, dim, index), source.reshape(-1), reduce, include_self=include_self)


def _put(memory: Tensor, places: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> None:
    memory.put_(places.reshape(-1)[index], source, accumulate)


def _masked_scatter(memory: Tensor, places: Tensor, mask: Tensor, source: Tensor) -> None:
    chosen = places.masked_select(mask)
    memory.put_(chosen, source.reshape(-1)[: chosen.numel()])


_WRITERS: dict[str, Any] = {
    "scatter": _scatter, "scatter_add": _scatter_add, "scatter_reduce": _scatter_reduce, "put": _put, "masked_scatter": _masked_scatter,
    "index_add": _index_add, "index_copy": _index_copy, "index_fill": _index_fill, "index_reduce": _index_reduce,
}  # fmt: skip
