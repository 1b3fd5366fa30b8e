"""What both file formats do with storages: name their type, give them a number, swap their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tape
from ..dtypes import dtype, uint8
from ..storage import ON_META, Storage
from ..untyped_storage import TypedStorage, UntypedStorage, storage_handle
from .names import STORAGE_TYPE_OF, StorageType


class StorageTypes:
    """The element types of the storages met while saving: a file can hold each storage as one type only."""

    def __init__(self) -> None:
        self._dtypes: dict[int, dtype] = {}

    def of(self, storage: TypedStorage | UntypedStorage) -> tuple[UntypedStorage, StorageType | type, dtype]:
        """The bytes of `storage`, its class in the file, and its element type."""
        if isinstance(storage, TypedStorage):
            untyped, dtype = storage.untyped(), storage.dtype
            kind: StorageType | type = STORAGE_TYPE_OF[dtype]
        else:
            untyped, dtype, kind = storage, uint8, UntypedStorage
        has_bytes = untyped.device.type != "meta" and untyped.nbytes()
        if has_bytes and self._dtypes.setdefault(bytes_of(untyped).ctypes.data, dtype) is not dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        return untyped, kind, dtype


def bytes_of(storage: UntypedStorage) -> np.ndarray:
    """The bytes, for reading at once. (`numpy_bytes` is for keeping: from then on nothing about the storage may wait.)"""
    data = tape.observe(storage._storage).data
    assert data is not None
    return data


def meta_storage(nbytes: int) -> UntypedStorage:
    return storage_handle(Storage(nbytes, special=ON_META))


def dtype_in_file(storage_type: StorageType | type) -> dtype:
    return storage_type.dtype if isinstance(storage_type, StorageType) else uint8


def typed(storage: UntypedStorage, dtype: dtype) -> TypedStorage:
    return TypedStorage(storage, dtype)


def part_of(storage: TypedStorage, offset: int, numel: int) -> TypedStorage:
    """A storage over some elements of another, sharing its memory."""
    start, stop = (n * storage.dtype.itemsize for n in (offset, offset + numel))
    return typed(storage.untyped()[start:stop], storage.dtype)


def swap_bytes(data: np.ndarray, dtype: dtype) -> None:
    """Change the byte order of the elements in place; a complex number is two of them."""
    size = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    if size > 1:
        data.view(f"u{size}").byteswap(inplace=True)


def text(value: Any) -> str:
    """Strings that Python 2 wrote arrive as bytes with ``encoding="bytes"``."""
    return value.decode("ascii") if isinstance(value, bytes) else value
