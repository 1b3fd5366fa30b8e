"""How tensors go from one process to another: shared memory, and what `multiprocessing` pickles of a tensor.

A tensor in shared memory (`share_memory_()`), and every tensor handed to a new process that does not inherit this one's
memory, travels as a handle: both sides then see each other's writes. Other tensors are copied into the message.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from multiprocessing import context, reduction
from typing import Any

import numpy as np

from .. import tape
from ..graph import make_tensor
from ..shape import Layout, contiguous
from ..storage import SHARED, Storage
from ..tensor import Tensor

_all_sharing_strategies = {"file_descriptor", "file_system"} if sys.platform == "linux" else {"file_system"}
_sharing_strategy = "file_descriptor" if sys.platform == "linux" else "file_system"


def get_all_sharing_strategies() -> set[str]:
    """The strategies for sharing memory on this system."""
    return _all_sharing_strategies


def get_sharing_strategy() -> str:
    """How shared memory is handed on: as a "file_descriptor", or by its name in the "file_system"."""
    return _sharing_strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how shared memory is handed on.

    >>> torch.multiprocessing.set_sharing_strategy("file_system")
    >>> torch.multiprocessing.get_sharing_strategy()
    'file_system'
    """
    global _sharing_strategy
    if new_strategy not in _all_sharing_strategies:
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}, expected one of {_all_sharing_strategies}")
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


def _adopt(storage: Storage, descriptor: int) -> None:
    """Put a storage over the shared file, which it keeps open."""
    storage.replace(np.frombuffer(mmap.mmap(descriptor, storage.nbytes), np.uint8))
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
    tensor = make_tensor(storage, offset, layout)
    if cls is not Tensor:
        return Tensor._make_subclass(cls, tensor, requires_grad)
    return tensor.requires_grad_() if requires_grad else tensor


def reduce_storage(storage: Storage) -> tuple[Any, ...]:
    """For pickle: by a handle where the memory is or must be shared, else as bytes."""
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
    return context.get_spawning_popen() is not None


def init_reductions() -> None:
    """Teach `multiprocessing` to pickle tensors this way."""
    reduction.register(Storage, reduce_storage)
    reduction.register(Tensor, reduce_tensor)
