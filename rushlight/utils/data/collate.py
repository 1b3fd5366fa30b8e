"""How samples become a batch: `default_collate`, `default_convert`, and the table that extends them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ... import ops
from ...dtypes import float64
from ...tensor import Tensor

Collate = Callable[..., Any]
CollateMap = dict[Any, Collate]

#: The NumPy dtypes (by `dtype.str`) that no tensor can hold: strings and objects.
np_str_obj_array_pattern = re.compile(r"[SaUO]")

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _like_mapping(model: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """A mapping of the model's type; a mutable one is copied, since its type may carry more than its items."""
    try:
        if isinstance(model, MutableMapping):
            clone = copy.copy(model)
            clone.update(values)
            return clone
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # no copy(), update() or such a constructor
        return values


def _like_sequence(model: Sequence[Any], values: Iterable[Any]) -> Any:
    """A sequence of the model's type, as `_like_mapping`."""
    values = list(values)
    try:
        if isinstance(model, MutableSequence):
            clone = copy.copy(model)
            for index, value in enumerate(values):
                clone[index] = value
            return clone
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # such as range
        return values


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers in `data` as tensors, all else unchanged. What a `DataLoader` does without batching.

    >>> torch.utils.data.default_convert({"x": np.array([1, 2]), "name": "a"})
    {'x': tensor([1, 2]), 'name': 'a'}
    """
    if isinstance(data, Tensor):
        return data
    kind = type(data)
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "string_"):
        if isinstance(data, np.ndarray) and np_str_obj_array_pattern.search(data.dtype.str):
            return data
        return ops.as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if _is_namedtuple(data):
        return kind(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, (default_convert(item) for item in data))
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Collate a batch by the type of its first element: the function in `collate_fn_map` for that type or a base of
    it, else element by element for mappings and sequences.

    >>> from rushlight.utils.data.collate import collate
    >>> collate([["a", "b"], ["c", "d"]], collate_fn_map={str: lambda batch, *, collate_fn_map: "+".join(batch)})
    ['a+c', 'b+d']
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for key, function in collate_fn_map.items():
            if isinstance(first, key):
                return function(batch, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        columns = {key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in first}
        return _like_mapping(first, columns)
    if _is_namedtuple(first):
        return kind(*(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        values = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
        return values if isinstance(first, tuple) else _like_sequence(first, values)
    raise TypeError(default_collate_err_msg_format.format(kind))


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Tensors of one shape, stacked."""
    return ops.stack(batch, 0)


def collate_numpy_array_fn(batch: Sequence[np.ndarray], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Arrays as tensors, stacked."""
    if np_str_obj_array_pattern.search(batch[0].dtype.str):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([ops.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """NumPy scalars as a tensor of their dtype."""
    return ops.as_tensor(batch)


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Python floats as float64, which holds them exactly."""
    return ops.tensor(batch, dtype=float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Python integers (and booleans) as a tensor."""
    return ops.tensor(batch)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Sequence[Any]:
    """Strings stay as they are."""
    return batch


#: What `default_collate` does with each type, tried in order; add to it to teach `default_collate` a new type.
default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from samples: tensors, arrays and numbers become tensors with a new first dimension, strings a list;
    mappings, named tuples and sequences are collated element by element (tuples come out as lists).

    >>> torch.utils.data.default_collate([(0, "a"), (1, "b")])
    [tensor([0, 1]), ('a', 'b')]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
