"""`torch.multiprocessing`: the standard library's `multiprocessing`, whose processes share tensors, and `spawn`.

A tensor in memory of its own kind (`share_memory_()`), and every tensor handed to a new process that is not a fork,
travels as a handle: both sides then see each other's writes. Other tensors are copied into the message.
Source: https://docs.pytorch.org/docs/stable/multiprocessing.html
"""

from __future__ import annotations

import os
import signal
import sys
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import tape
from .graph import make_tensor
from .shape import Layout, contiguous
from .storage import SHARED, Storage, TensorBase

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

ENV_VAR_PARALLEL_START = "TORCH_MP_PARALLEL_START"

_all_sharing_strategies = {"file_descriptor", "file_system"} if sys.platform == "linux" else {"file_system"}
_sharing_strategy = "file_descriptor" if sys.platform == "linux" else "file_system"


def __getattr__(name: str) -> Any:
    # The names of the standard library. Importing it takes a tenth of `import rushlight`, so it waits for the first use.
    import multiprocessing

    if name.startswith("__") or name not in multiprocessing.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    register_reducers()
    return getattr(multiprocessing, name)


def __dir__() -> list[str]:
    import multiprocessing

    return sorted({*globals(), *multiprocessing.__all__})


def get_all_sharing_strategies() -> set[str]:
    """The strategies for sharing memory on this system."""
    return _all_sharing_strategies


def get_sharing_strategy() -> str:
    """How shared memory is handed on: as a "file_descriptor", or by its name in the "file_system"."""
    return _sharing_strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how shared memory is handed on.

    >>> torch.multiprocessing.set_sharing_strategy("post")
    Traceback (most recent call last):
    AssertionError: invalid sharing strategy 'post', expected one of {'file_descriptor', 'file_system'}
    """
    global _sharing_strategy
    if new_strategy not in _all_sharing_strategies:
        raise AssertionError(
            f"invalid sharing strategy {new_strategy!r}, expected one of {_all_sharing_strategies}"
        )
    _sharing_strategy = new_strategy


# Shared memory: a file without a name, mapped. The descriptor is kept to hand the memory on.

_descriptors: weakref.WeakKeyDictionary[Storage, int] = weakref.WeakKeyDictionary()


def new_shared_file(nbytes: int) -> int:
    """The descriptor of a file that is only memory (where the system has that) and goes with its last user."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rushlight", os.MFD_CLOEXEC)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, nbytes)
    return descriptor


def map_file(descriptor: int, nbytes: int) -> memoryview:
    """The bytes of the file, mapped at once: page by page takes several times as long."""
    import mmap

    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    return memoryview(mmap.mmap(descriptor, nbytes, flags=flags))


def _adopt(storage: Storage, descriptor: int) -> None:
    """Put a storage over the shared file, which it keeps open."""
    storage.data = np.frombuffer(map_file(descriptor, storage.nbytes), np.uint8)
    storage.special = SHARED
    _descriptors[storage] = descriptor
    weakref.finalize(storage, os.close, descriptor).atexit = False


def share_storage(storage: Storage) -> None:
    """Move a storage into memory that other processes can map; what `share_memory_()` does."""
    if storage in _descriptors or storage.nbytes == 0:
        return
    data = tape.observe(storage).data
    descriptor = new_shared_file(storage.nbytes)
    _adopt(storage, descriptor)
    storage.data[:] = data  # type: ignore[index]


def is_shared(storage: Storage) -> bool:
    """Whether the storage is in memory that other processes can map."""
    return storage in _descriptors


# Pickling. A tensor is its class, its storage and its layout; pickle keeps two of one storage together.


def reduce_tensor(tensor: Any) -> tuple[Any, ...]:
    """For pickle: a tensor on its whole storage by that, a view of a larger one by a copy of its own part."""
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor before "
            "serializing (e.g., putting it on the queue)."
        )
    storage, offset, layout = tensor._storage, tensor._offset, tensor._layout
    whole = layout.nbytes == storage.nbytes or storage in _descriptors or _is_spawning()
    if not whole and tensor.device.type != "meta":
        if layout.extent > layout.numel:  # rows apart: without what lies between them
            layout = contiguous(layout.shape, layout.dtype)
            array = np.ascontiguousarray(tape.observe(storage).array(offset, tensor._layout))
            storage = Storage(layout.nbytes, array.reshape(-1).view(np.uint8))
        else:
            start = offset * layout.dtype.itemsize
            storage = Storage(layout.nbytes, tape.observe(storage).data[start : start + layout.nbytes])  # type: ignore[index]
        offset = 0
    return rebuild_tensor, (type(tensor), storage, offset, layout, tensor.requires_grad)


def rebuild_tensor(cls: type[Any], storage: Storage, offset: int, layout: Layout, requires_grad: bool) -> Any:
    """The inverse of `reduce_tensor`."""
    from .tensor import Tensor

    tensor = make_tensor(storage, offset, layout)
    if cls is not Tensor:
        return Tensor._make_subclass(cls, tensor, requires_grad)
    return tensor.requires_grad_() if requires_grad else tensor


def reduce_storage(storage: Storage) -> tuple[Any, ...]:
    """For pickle: by a handle where the memory is or must be shared, else as bytes."""
    from multiprocessing import reduction

    if _is_spawning() and not storage.special:
        share_storage(storage)
    descriptor = _descriptors.get(storage)
    if descriptor is None:
        if storage.special and storage.special != SHARED:
            return Storage, (storage.nbytes, None, storage.special)
        return _rebuild_storage, (storage.nbytes, tape.observe(storage).data)
    if _sharing_strategy == "file_system":
        return _rebuild_named, (storage.nbytes, f"/proc/{os.getpid()}/fd/{descriptor}")
    return _rebuild_shared, (storage.nbytes, reduction.DupFd(descriptor))


def _rebuild_storage(nbytes: int, data: np.ndarray) -> Storage:
    return Storage(nbytes, data)


def _rebuild_shared(nbytes: int, handle: Any) -> Storage:
    storage = Storage(nbytes)
    _adopt(storage, handle.detach())
    return storage


def _rebuild_named(nbytes: int, path: str) -> Storage:
    storage = Storage(nbytes)
    _adopt(storage, os.open(path, os.O_RDWR | os.O_CLOEXEC))
    return storage


def _is_spawning() -> bool:
    """Whether a process is being started that does not inherit this one's memory."""
    from multiprocessing import context

    return context.get_spawning_popen() is not None


def register_reducers() -> None:
    """Teach `multiprocessing` to pickle tensors this way."""
    from multiprocessing.reduction import ForkingPickler

    from .nn.parameter import Parameter
    from .tensor import Tensor

    ForkingPickler.register(Storage, reduce_storage)
    ForkingPickler.register(Tensor, reduce_tensor)
    ForkingPickler.register(Parameter, reduce_tensor)


# Starting processes and waiting for them.


class ProcessException(Exception):
    """A process started by `spawn` failed: `error_index` says which, `error_pid` its process id."""

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.error_pid = error_pid

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """The function raised; the message holds the traceback."""


class ProcessExitedException(ProcessException):
    """The process ended by itself or by a signal."""

    def __init__(
        self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


class ProcessContext:
    """The processes that `start_processes` started."""

    def __init__(self, processes: Sequence[BaseProcess], error_files: Sequence[str]) -> None:
        self.processes = processes
        self.error_files = error_files
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The process ids."""
        return [int(process.pid) for process in self.processes]  # type: ignore[arg-type]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until a process ends; True when all have.

        When one fails, the others are given `grace_period` seconds, then terminated, and the failure is raised here.
        """
        from multiprocessing.connection import wait

        if not self.sentinels:
            return True
        failed: int | None = None
        for sentinel in wait(list(self.sentinels), timeout):
            index = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                failed = index
                break
        if failed is None:
            return not self.sentinels
        self._stop_all(grace_period)
        self._raise_failure(failed)

    def _stop_all(self, grace_period: float | None) -> None:
        if grace_period is not None:
            self._join_all(grace_period)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        self._join_all(30 if grace_period is None else grace_period)
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()

    def _join_all(self, seconds: float) -> None:
        import time

        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, end - time.monotonic()))

    def _raise_failure(self, index: int) -> Any:
        import pickle

        process = self.processes[index]
        pid, code = int(process.pid or 0), int(process.exitcode or 0)
        if os.access(self.error_files[index], os.R_OK):
            with open(self.error_files[index], "rb") as file:
                trace = pickle.load(file)
            os.unlink(self.error_files[index])
            message = f"\n\n-- Process {index:d} terminated with the following error:\n{trace}"
            raise ProcessRaisedException(message, index, pid)
        if code >= 0:
            raise ProcessExitedException(
                f"process {index:d} terminated with exit code {code:d}", index, pid, exit_code=code
            )
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"<Unknown signal {-code}>"
        raise ProcessExitedException(
            f"process {index:d} terminated with signal {name}", index, pid, exit_code=code, signal_name=name
        )


class SpawnContext(ProcessContext):
    """The old name of `ProcessContext`."""

    def __init__(self, processes: Sequence[BaseProcess], error_files: Sequence[str]) -> None:
        import warnings

        warnings.warn("SpawnContext is renamed to ProcessContext since 1.4 release.", stacklevel=2)
        super().__init__(processes, error_files)


def _run(fn: Callable[..., Any], index: int, args: tuple[Any, ...], error_file: str) -> None:
    _interrupt_with_parent()
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        return  # the parent stopped us
    except Exception:
        import pickle
        import traceback

        with open(error_file, "wb") as file:
            pickle.dump(traceback.format_exc(), file)
        sys.exit(1)


def _interrupt_with_parent() -> None:
    """Have the kernel interrupt this process when its parent is gone; only Linux can."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGINT)


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(i, *args)`` for i in ``range(nprocs)``, each in a process of its own, started by `start_method`."""
    import multiprocessing
    import tempfile

    register_reducers()
    context: Any = multiprocessing.get_context(start_method)

    def start(index: int) -> tuple[BaseProcess, str]:
        # The file exists only if the process raised; a queue for one message would have locks to die with.
        descriptor, path = tempfile.mkstemp(prefix="rushlight-error-", suffix=".pickle")
        os.close(descriptor)
        os.unlink(path)
        process = context.Process(target=_run, args=(fn, index, args, path), daemon=daemon)
        process.start()
        return process, path

    if start_method == "forkserver" and os.environ.get(ENV_VAR_PARALLEL_START, "0") == "1":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=nprocs) as executor:
            started = list(executor.map(start, range(nprocs)))
    else:
        started = [start(index) for index in range(nprocs)]
    processes = ProcessContext([process for process, _ in started], [path for _, path in started])
    if not join:
        return processes
    while not processes.join():
        continue
    return None


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(i, *args)`` in `nprocs` new processes; `fn` must be a function of a module.

    With `join`, wait for all; a failure in one stops the others and is raised here with its traceback. Else return a
    `ProcessContext`. Source: https://docs.pytorch.org/docs/stable/multiprocessing.html#spawning-subprocesses
    """
    if start_method != "spawn":
        import warnings

        warnings.warn(
            f"This method only supports start_method=spawn (got: {start_method}).\n"
            "To use a different start_method use:\n\t\t torch.multiprocessing.start_processes(...)",
            FutureWarning,
            stacklevel=2,
        )
    return start_processes(fn, args, nprocs, join, daemon, start_method="spawn")
