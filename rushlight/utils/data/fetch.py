"""From indices to a collated batch; the same code in the main process and in workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...tensor import Tensor
from .collate import collate_tensor_fn, default_collate, default_collate_fn_map
from .dataset import Subset, TensorDataset


class _DatasetKind:
    """Map-style or iterable-style."""

    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(
        kind: int, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool
    ) -> MapFetcher | IterableFetcher:
        """The fetcher for a dataset of this kind; for an iterable one this calls `iter(dataset)`."""
        fetcher = MapFetcher if kind == _DatasetKind.Map else IterableFetcher
        return fetcher(dataset, auto_collation, collate_fn, drop_last)


class MapFetcher:
    """Looks samples up in a map-style dataset."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn

    def fetch(self, index: Any) -> Any:
        """The batch for a list of indices, or without batching the sample for one."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.collate_fn is default_collate:
            batch = rows_at_once(self.dataset, index)
            if batch is not None:
                return batch
        if getattr(self.dataset, "__getitems__", None):
            return self.collate_fn(self.dataset.__getitems__(index))
        return self.collate_fn([self.dataset[key] for key in index])


class IterableFetcher:
    """Takes samples from an iterable dataset until it ends."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.samples = iter(dataset)
        self.ended = False

    def fetch(self, index: Any) -> Any:
        """The next batch of `len(index)` samples, or without batching the next sample; StopIteration at the end."""
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.samples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.samples))
            except StopIteration:
                self.ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)


def rows_at_once(dataset: Any, indices: Any) -> list[Tensor] | None:
    """What `default_collate` makes of these rows of a `TensorDataset` (or a `Subset` of one), by one selection per
    tensor instead of one indexing per row; None where that could differ."""
    while type(dataset) is Subset:
        indices = [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or set(map(type, indices)) != {int}:
        return None
    if default_collate_fn_map.get(Tensor) is not collate_tensor_fn:
        return None
    if min(indices) < 0 or max(indices) >= len(dataset):
        return None
    tensors = dataset.tensors
    if any(type(tensor) is not Tensor or tensor.requires_grad or not tensor.is_contiguous() for tensor in tensors):
        return None
    rows = ops.tensor(indices)
    return [ops.index_select(tensor, 0, rows) for tensor in tensors]
