"""What runs in a worker of a `DataLoader`: seeding, the task loop, and how results and errors travel."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ... import tape
from ...random import Generator, manual_seed
from .fetch import _DatasetKind

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: How often, in seconds, an idle worker process looks whether its parent is still there.
PARENT_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class WorkerRNG:
    """Generators of a worker thread's own; the global ones belong to all threads."""

    random_generator: random.Random
    torch_generator: Generator
    numpy_generator: np.random.Generator


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What `get_worker_info` tells a worker of itself. `rng` is set in worker threads only."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: WorkerRNG | None = None
    worker_method: str | None = "multiprocessing"


class _Current(threading.local):
    thread_info: WorkerInfo | None = None


_current = _Current()
_process_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a `DataLoader`, its `id`, `num_workers`, `seed` and copy of the `dataset`; elsewhere None.

    >>> torch.utils.data.get_worker_info() is None
    True
    """
    return _current.thread_info or _process_info


class _KeyErrorMessage(str):
    """A text that KeyError shows as it is; of others it shows the repr, on one line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """The exception being handled, as its class and the text of its traceback, to be raised again elsewhere."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        import traceback

        kind, error, trace = sys.exc_info() if exc_info is None else exc_info
        self.exc_type: Any = kind
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))
        self.where = where

    def reraise(self) -> NoReturn:
        """Raise it here, with the original traceback in the message."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            message = _KeyErrorMessage(message)
        elif getattr(self.exc_type, "message", None):
            raise self.exc_type(message=message)
        try:
            error = self.exc_type(message)
        except Exception:  # its constructor takes something else
            raise RuntimeError(message) from None
        raise error


@dataclass(frozen=True)
class Resume:
    """Parent to worker: start over with the dataset. The worker sends it back."""


@dataclass(frozen=True)
class EndOfData:
    """Worker to parent, in place of data: the iterable dataset has ended."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know of its loader."""

    kind: int
    dataset: Any
    auto_collation: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], Any] | None
    num_workers: int

    def fetcher(self) -> Any:
        """A fetcher that starts at the beginning of the dataset."""
        return _DatasetKind.create_fetcher(
            self.kind, self.dataset, self.auto_collation, self.collate_fn, self.drop_last
        )


def place(worker_id: int) -> str:
    """Where an error comes from, as the message says."""
    return f"in DataLoader worker process {worker_id}"


def serve(job: Job, worker_id: int, receive: Callable[[], Any], send: Callable[[Any, Any], None]) -> None:
    """Answer tasks `(key, index)` with `(key, data)` until `receive` returns None.

    An error while fetching is the answer to its task; an error in `init_fn` or in `iter(dataset)` to all.
    """
    where = place(worker_id)

    def start(init_fn: Callable[[int], Any] | None) -> Any:
        try:
            if init_fn is not None:
                init_fn(worker_id)
            return job.fetcher()
        except Exception:
            return ExceptionWrapper(where=where)

    def fetch(index: Any) -> Any:
        if isinstance(fetcher, ExceptionWrapper):
            return fetcher
        try:
            return fetcher.fetch(index)
        except StopIteration:
            return EndOfData() if job.kind == _DatasetKind.Iterable else ExceptionWrapper(where=where)
        except Exception:
            return ExceptionWrapper(where=where)

    fetcher = start(job.init_fn)
    ended = False
    while (task := receive()) is not None:
        if isinstance(task, Resume):
            send(task, None)
            fetcher, ended = start(None), False
        elif not ended:
            key, index = task
            data = fetch(index)
            ended = isinstance(data, EndOfData)
            send(key, data)
            del data  # a batch must not live until the next one is there


def numpy_seed(base_seed: int, worker_id: int) -> np.ndarray:
    """Four words for `numpy.random.seed`: other ones than the seed of `random`, which has the same algorithm."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4)


def process_main(job: Job, worker_id: int, connection: Connection) -> None:
    """The main function of a worker process."""
    import queue

    from .transport import send_message

    global _process_info
    parent = os.getppid()
    where = place(worker_id)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    closed = threading.Event()

    def read_tasks() -> None:
        # A thread of its own: the parent's sends never wait for a worker that in turn waits for the parent to read.
        try:
            while (task := connection.recv()) is not None:
                tasks.put(task)
        except (EOFError, OSError):
            return
        finally:
            closed.set()
            tasks.put(None)

    def receive() -> Any:
        while not closed.is_set():
            try:
                task = tasks.get(timeout=PARENT_CHECK_SECONDS)
            except queue.Empty:
                if os.getppid() != parent:
                    return None
                continue
            if not closed.is_set():
                return task
        return None

    def send(key: Any, data: Any) -> None:
        try:
            send_message(connection, key, data, where)
        except OSError:
            closed.set()  # the parent does not listen any more

    try:
        seed = job.base_seed + worker_id
        random.seed(seed)
        manual_seed(seed)
        np.random.seed(numpy_seed(job.base_seed, worker_id))
        _process_info = WorkerInfo(worker_id, job.num_workers, seed, job.dataset)
        threading.Thread(target=read_tasks, daemon=True).start()
        serve(job, worker_id, receive, send)
    except KeyboardInterrupt:
        return  # the parent has it too, and reports it


def thread_main(job: Job, worker_id: int, receive: Callable[[], Any], send: Callable[[Any, Any], None]) -> None:
    """The main function of a worker thread."""

    def send_finished(key: Any, data: Any) -> None:
        try:
            tape.flush("worker")  # work of this batch is done here, not when the main thread looks at it
        except Exception:
            data = ExceptionWrapper(where=place(worker_id))
        send(key, data)

    seed = job.base_seed + worker_id
    torch_generator = Generator()
    torch_generator.manual_seed(seed)
    rng = WorkerRNG(
        random.Random(seed), torch_generator, np.random.default_rng(numpy_seed(job.base_seed, worker_id))
    )
    _current.thread_info = WorkerInfo(worker_id, job.num_workers, seed, job.dataset, rng, "thread")
    serve(job, worker_id, receive, send_finished)
