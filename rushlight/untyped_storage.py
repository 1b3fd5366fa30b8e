"""Storages as PyTorch shows them: `UntypedStorage`, bytes, and the older `TypedStorage`, elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes as dt, tape
from .devices import device
from .storage import ON_META, SHARED, Storage, storage_of_array


def storage_handle(storage: Storage) -> UntypedStorage:
    """The one UntypedStorage that stands for an engine storage."""
    import weakref

    handle = storage.handle() if storage.handle is not None else None
    if handle is None:
        handle = UntypedStorage.__new__(UntypedStorage)
        handle._storage = storage
        storage.handle = weakref.ref(handle)
    return handle


class UntypedStorage:
    """The bytes that tensors share.

    >>> torch.zeros(2, 3)[1].untyped_storage().nbytes()
    24
    """

    __slots__ = ("_storage", "__weakref__")
    _storage: Storage

    def __init__(self, size: int | list[int] = 0, *, device: Any = None) -> None:
        data = np.zeros(size, np.uint8) if isinstance(size, int) else np.array(size, np.uint8)
        self._storage = Storage(data.nbytes, data)

    @staticmethod
    def from_numpy(array: np.ndarray) -> UntypedStorage:
        """A storage over the memory of an array of bytes."""
        return storage_handle(storage_of_array(array))

    @staticmethod
    def from_file(filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first `nbytes` bytes of a file as memory; if `shared`, writes go to the file, which grows to that size."""
        if shared:
            with open(filename, "ab") as file:
                file.truncate(max(nbytes, file.tell()))
        mapped = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,))
        found = UntypedStorage.from_numpy(np.asarray(mapped))
        found._storage.special = SHARED if shared else 0
        return found

    def numpy_bytes(self) -> np.ndarray:
        """The bytes as a NumPy array over the same memory."""
        if self._storage.special == ON_META:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        data = tape.observe(self._storage).data
        assert data is not None
        self._storage.special = SHARED
        return data

    def nbytes(self) -> int:
        return self._storage.nbytes

    size = nbytes
    __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return 0 if self._storage.special == ON_META else self.numpy_bytes().__array_interface__["data"][0]

    def untyped(self) -> UntypedStorage:
        """This storage itself; a TypedStorage has the same method."""
        return self

    def element_size(self) -> int:
        return 1

    @property
    def device(self) -> device:
        return self._storage.device

    def resize_(self, size: int) -> UntypedStorage:
        """Change the number of bytes, keeping those that fit."""
        if self._storage.special != ON_META:
            tape.observe(self._storage)
        self._storage.resize(size)
        return self

    def copy_(self, source: UntypedStorage, non_blocking: bool = False) -> UntypedStorage:
        """Copy the bytes of another storage of the same size."""
        self.numpy_bytes()[:] = source.numpy_bytes()
        self._storage.version += 1
        return self

    def clone(self) -> UntypedStorage:
        """A copy."""
        return UntypedStorage.from_numpy(self.numpy_bytes().copy())

    def tolist(self) -> list[int]:
        return self.numpy_bytes().tolist()

    def __getitem__(self, index: Any) -> Any:
        """One byte, or for a slice a storage over the same memory."""
        if not isinstance(index, slice):
            return int(self.numpy_bytes()[index])
        if index.step not in (None, 1):
            raise RuntimeError(f"Trying to slice with a step of {index.step}, but only a step of 1 is supported")
        part = UntypedStorage.from_numpy(self.numpy_bytes()[index])
        part._storage.special = SHARED
        return part

    def __setitem__(self, index: Any, value: int) -> None:
        self.numpy_bytes()[index] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._storage is other._storage

    def __hash__(self) -> int:
        return id(self._storage)

    @property
    def _cdata(self) -> int:
        return id(self._storage)

    def __reduce__(self) -> Any:
        from .serialization import reduce_storage

        return reduce_storage(self)

    def __repr__(self) -> str:
        values = "\n ".join(map(str, self.tolist()))
        return f" {values}\n[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


class TypedStorage:
    """A storage as a sequence of elements of one dtype; PyTorch keeps it for old programs.

    >>> torch.tensor([1., 2.]).storage().tolist()
    [1.0, 2.0]
    """

    def __init__(self, untyped: UntypedStorage, dtype: dt.dtype) -> None:
        self._untyped, self.dtype = untyped, dtype

    def untyped(self) -> UntypedStorage:
        return self._untyped

    def _array(self) -> np.ndarray:
        return self._untyped.numpy_bytes().view(self.dtype.numpy)

    def size(self) -> int:
        return self._untyped.nbytes() // self.dtype.itemsize

    __len__ = size

    def nbytes(self) -> int:
        return self._untyped.nbytes()

    def element_size(self) -> int:
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        return self._untyped.data_ptr()

    @property
    def device(self) -> device:
        return self._untyped.device

    def tolist(self) -> list[Any]:
        return self._array().tolist()

    def __getitem__(self, index: int) -> Any:
        return self._array()[index].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array()[index] = value

    def __iter__(self) -> Any:
        return iter(self.tolist())

    def __reduce__(self) -> Any:
        from .serialization import reduce_storage

        return reduce_storage(self)

    def __repr__(self) -> str:
        values = "\n ".join(map(str, self.tolist()))
        return f" {values}\n[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"


def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage.

    >>> torch.is_storage(torch.ones(1).untyped_storage())
    True
    """
    return isinstance(obj, UntypedStorage | TypedStorage)
