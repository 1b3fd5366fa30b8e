"""`DataLoader`: batches of a dataset in an order, loaded here or by workers."""

from __future__ import annotations

import itertools
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from ...random import Generator
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .fetch import _DatasetKind
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from .worker import EndOfData, ExceptionWrapper, Job, Resume, get_worker_info
from .workers import start_workers

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)


class _InfiniteConstantSampler(Sampler[None]):
    """None for ever: the "indices" of an iterable dataset, which ends by itself."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """Iterates over a dataset in batches; each pass is a new iterator.

    - ``num_workers``: load in so many processes (0: in this one), each ``prefetch_factor`` (2) batches ahead.
    - ``multiprocessing_context``: how to start them, "fork", "spawn", "forkserver" or a context; or "thread" for worker
      threads, which share the dataset and cost nothing to start, for datasets that wait or compute in NumPy. Their
      random generators are in ``get_worker_info().rng``.
    - ``persistent_workers`` keeps them for the next pass; ``in_order=False`` gives batches as they are ready.
    - ``timeout``: seconds to wait for a batch from workers; ``worker_init_fn(worker_id)`` runs first in each.
    - ``batch_size=None`` turns batching off; ``collate_fn`` makes a batch from a list of samples.

    Every pass draws one seed from ``generator`` (default: the global one); worker i is seeded with that plus i.
    Source: https://docs.pytorch.org/docs/stable/data.html

    >>> loader = torch.utils.data.DataLoader([1.0, 2.0, 3.0], batch_size=2)
    >>> list(loader), len(loader)
    ([tensor([1., 2.], dtype=torch.float64), tensor([3.], dtype=torch.float64)], 2)
    """

    dataset: Dataset[T_co]
    batch_size: int | None
    num_workers: int
    pin_memory: bool
    drop_last: bool
    timeout: float
    sampler: Sampler | Iterable
    pin_memory_device: str
    prefetch_factor: int | None
    _iterator: _BaseDataLoaderIter | None
    __initialized = False

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order

        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            _check_iterable_options(shuffle, sampler, batch_sampler)
        else:
            self._dataset_kind = _DatasetKind.Map
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )

        if sampler is None:
            if self._dataset_kind == _DatasetKind.Iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]

        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self.__initialized = True
        self._IterableDataset_len_called: int | None = None  # what `__len__` took an iterable dataset's length to be
        self._iterator = None
        self.check_worker_number_rationality()

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: a context, "thread", or None for the default."""
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, multiprocessing_context: Any) -> None:
        if multiprocessing_context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with "
                    f"multi-process loading (num_workers > 0), but got num_workers={self.num_workers}"
                )
            multiprocessing_context = _context(multiprocessing_context)
        self.__multiprocessing_context = multiprocessing_context

    def __setattr__(self, attr: str, val: Any) -> None:
        if self.__initialized and attr in (
            "batch_size",
            "batch_sampler",
            "sampler",
            "drop_last",
            "dataset",
            "persistent_workers",
        ):
            raise ValueError(f"{attr} attribute should not be set after {self.__class__.__name__} is initialized")
        super().__setattr__(attr, val)

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        self.check_worker_number_rationality()
        return _MultiProcessingDataLoaderIter(self)

    def __iter__(self) -> _BaseDataLoaderIter:
        if not self.persistent_workers:
            return self._get_iterator()
        if self._iterator is None or self._iterator._has_lost_workers():
            self._iterator = self._get_iterator()
        else:
            self._iterator._reset(self)
        return self._iterator

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self) -> int:
        if self._dataset_kind != _DatasetKind.Iterable:
            return len(self._index_sampler)
        # Remembered so that a pass can warn when more samples come than the dataset said it has.
        length = self._IterableDataset_len_called = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than cores that this process may use."""
        if not self.num_workers:
            return
        knows_affinity = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if knows_affinity else os.cpu_count()
        if cores is not None and self.num_workers <= cores:
            return
        if cores is None:
            suggestion = "DataLoader is not able to compute a suggested max number of worker in current system."
        else:
            suggestion = (
                f"Our suggested max number of worker in current system is {cores}"
                f"{'' if knows_affinity else ' (`cpuset` is not taken into account)'}, which is smaller "
                "than what this DataLoader is going to create."
            )
        warnings.warn(
            f"This DataLoader will create {self.num_workers} worker processes in total. {suggestion} "
            "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
            "lower the worker number to avoid potential slowness/freeze if necessary.",
            stacklevel=2,
        )


def _check_iterable_options(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    options = (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler))
    for name, value in options:
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


def _context(given: Any) -> Any:
    """The context that the argument `multiprocessing_context` names."""
    if given == "thread":
        return given
    import multiprocessing
    import multiprocessing.context

    if isinstance(given, str):
        methods = multiprocessing.get_all_start_methods()
        if given not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={given!r}"
            )
        given = multiprocessing.get_context(given)
    if not isinstance(given, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={given}"
        )
    return given


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader: DataLoader) -> None:
        self._dataset = loader.dataset
        self._dataset_kind = loader._dataset_kind
        self._IterableDataset_len_called = loader._IterableDataset_len_called
        self._auto_collation = loader._auto_collation
        self._drop_last = loader.drop_last
        self._index_sampler = loader._index_sampler
        self._num_workers = loader.num_workers
        self._timeout = loader.timeout
        self._collate_fn = loader.collate_fn
        self._persistent_workers = loader.persistent_workers
        self._num_yielded = 0
        if loader.pin_memory:
            _warn_of_pinning(loader.pin_memory_device)
        # In this order: the sampler's `__iter__`, then the seed, which is drawn even when no worker needs it.
        self._sampler_iter = iter(self._index_sampler)
        self._base_seed = draw_seed(loader.generator)

    def _reset(self, loader: DataLoader) -> None:
        """Start another pass."""
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0
        self._IterableDataset_len_called = loader._IterableDataset_len_called

    def _has_lost_workers(self) -> bool:
        return False

    def _next_index(self) -> Any:
        return next(self._sampler_iter)

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        data = self._next_data()
        self._num_yielded += 1
        if self._dataset_kind == _DatasetKind.Iterable:
            self._warn_of_wrong_length()
        return data

    def _warn_of_wrong_length(self) -> None:
        length = self._IterableDataset_len_called
        if length is None or self._num_yielded <= length:
            return
        message = (
            f"Length of IterableDataset {self._dataset} was reported to be {length}"
            f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._num_workers > 0:
            message += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(message, stacklevel=3)

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __getstate__(self) -> NoReturn:
        raise NotImplementedError("{} cannot be pickled", self.__class__.__name__)


def _warn_of_pinning(device: str) -> None:
    if device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device,"
            f"ignore pin_memory_device='{device}'.",
            stacklevel=5,
        )
    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
        stacklevel=5,
    )


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """A pass in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        if self._timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._dataset_fetcher = _DatasetKind.create_fetcher(
            self._dataset_kind, self._dataset, self._auto_collation, self._collate_fn, self._drop_last
        )

    def _next_data(self) -> Any:
        return self._dataset_fetcher.fetch(self._next_index())


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """A pass by workers.

    Tasks are numbered and dealt out to the workers in turn, `prefetch_factor` to each in advance; an answer that comes
    before its turn waits in `_early`. A worker is active until its iterable dataset ends or it dies.
    """

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self._prefetch_factor: int = loader.prefetch_factor  # type: ignore[assignment]
        self._in_order = loader.in_order
        if self._prefetch_factor <= 0:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        job = Job(
            self._dataset_kind,
            self._dataset,
            self._auto_collation,
            self._collate_fn,
            self._drop_last,
            self._base_seed,
            loader.worker_init_fn,
            self._num_workers,
        )
        self._workers = start_workers(job, loader.multiprocessing_context)
        # Closes the workers when this iterator is collected, and before the interpreter exits.
        self._shutdown_workers = weakref.finalize(self, self._workers.close)
        self._start_pass()

    def _reset(self, loader: DataLoader) -> None:
        super()._reset(loader)
        waiting = self._num_workers
        for worker_id in range(self._num_workers):
            self._workers.send(worker_id, Resume())
        while waiting:  # what was still under way is dropped
            key, _ = self._receive()
            waiting -= isinstance(key, Resume)
        self._start_pass()

    def _has_lost_workers(self) -> bool:
        return not all(self._workers.listening)

    def _start_pass(self) -> None:
        self._sent = 0  # the number of the next task
        self._turn = 0  # the number of the next answer to return
        self._owners: dict[int, int] = {}  # by task under way: its worker
        self._early: dict[int, tuple[int, Any]] = {}  # by task: its worker and the answer
        self._has_data = [True] * self._num_workers
        self._loads = [0] * self._num_workers  # tasks of each worker that are not returned yet
        self._round = itertools.cycle(range(self._num_workers))
        for _ in range(self._prefetch_factor * self._num_workers):
            self._deal()

    def _is_active(self, worker_id: int) -> bool:
        return self._has_data[worker_id] and self._workers.listening[worker_id]

    def _deal(self) -> None:
        """Give the next task to the next active worker, or when order does not matter, one that has few."""
        try:
            index = self._next_index()
        except StopIteration:
            return
        active = [self._is_active(worker_id) for worker_id in range(self._num_workers)]
        for worker_id in itertools.islice(self._round, self._num_workers):
            if not active[worker_id]:
                continue
            if self._in_order or self._loads[worker_id] < self._prefetch_factor * self._num_workers // sum(active):
                self._owners[self._sent] = worker_id
                self._loads[worker_id] += 1
                self._workers.send(worker_id, (self._sent, index))
                self._sent += 1
                return

    def _receive(self) -> tuple[Any, Any]:
        answer = self._workers.receive(self._timeout or None)
        if answer is None:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        return answer

    def _next_data(self) -> Any:
        while True:
            while self._turn < self._sent and not self._will_come(self._turn):
                self._owners.pop(self._turn, None)
                self._turn += 1
            if self._turn == self._sent:
                if not self._persistent_workers:
                    self._shutdown_workers()
                raise StopIteration
            if self._turn in self._early:
                self._turn += 1
                return self._deliver(*self._early.pop(self._turn - 1))

            key, data = self._receive()
            worker_id = self._owners.pop(key)
            if isinstance(data, EndOfData):
                self._has_data[worker_id] = False
                if not self._persistent_workers:
                    self._workers.finish(worker_id)
                self._deal()
            elif self._in_order and key != self._turn:
                self._early[key] = worker_id, data
            else:
                self._turn += key == self._turn
                return self._deliver(worker_id, data)

    def _will_come(self, key: int) -> bool:
        return key in self._early or (key in self._owners and self._is_active(self._owners[key]))

    def _deliver(self, worker_id: int, data: Any) -> Any:
        self._loads[worker_id] -= 1
        self._deal()
        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return data
