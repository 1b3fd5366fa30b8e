"""What the layers share: argument types, argument parsing, empty parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ... import ops
from ..parameter import Parameter

if TYPE_CHECKING:
    from ...devices import device as Device
    from ...dtypes import dtype as DType

    DeviceLike = Device | str | None
    Sizes = int | Sequence[int]  # one number for every dimension, or one per dimension


def empty_parameter(shape: Sizes, device: DeviceLike = None, dtype: DType | None = None) -> Parameter:
    """A parameter whose values ``reset_parameters`` will fill."""
    return Parameter(ops.empty(shape, device=device, dtype=dtype))


def changed(module: object, **defaults: Any) -> list[str]:
    """What `repr` says of options: ``name=value`` for each that is not its default."""
    values = {name: getattr(module, name) for name in defaults}
    return [f"{name}={value}" for name, value in values.items() if value != defaults[name]]


def _ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    """A parser that turns one value, or an iterable, into a tuple; one value is repeated ``count`` times."""

    def parse(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, Iterable) else (value,) * count

    return parse


_single = _ntuple(1)
_pair = _ntuple(2)
_triple = _ntuple(3)
_quadruple = _ntuple(4)


def _reverse_repeat_tuple(values: Sequence[int], repeats: int) -> tuple[int, ...]:
    """``(a, b)`` with ``repeats=2`` gives ``(b, b, a, a)``: per-dimension padding in the order ``F.pad`` takes."""
    return tuple(value for value in reversed(values) for _ in range(repeats))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Strip ``prefix`` in place from the keys of ``state_dict`` (as left by DataParallel: ``"module."``).

    >>> state = {"module.weight": 1, "bias": 2}
    >>> nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    >>> sorted(state)
    ['bias', 'weight']
    """
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[key.removeprefix(prefix)] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is None:
        return
    for key in list(metadata):
        # The metadata also names the modules themselves: the prefix without its dot is the root.
        if key and (key == prefix.replace(".", "") or key.startswith(prefix)):
            metadata[key[len(prefix) :]] = metadata.pop(key)
