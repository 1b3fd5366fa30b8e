"""Storages, and the slots of a tensor over one.

A `Storage` is bytes, or bytes that the tape owes (`data is None`). Every tensor is a layout over a storage at an
offset; views share the storage. Work that is still pending is run by `tape.flush()` before anybody reads bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .buffers import Lease, cache
from .devices import CPU, META, device
from .shape import Layout

if TYPE_CHECKING:
    from .graph import Node

#: What `Storage.special` says of a storage that an op may not treat as ordinary.
SHARED, ON_META = 1, 2


class Storage:
    """Bytes that tensors share, with the version counter that in-place writes advance."""

    __slots__ = ("data", "nbytes", "version", "untracked", "special", "address", "_lease", "__dict__", "__weakref__")

    # Few storages have either; they live in `__dict__` where they are set.
    error: BaseException | None = None  # why the tape could not deliver
    handle: Any = None  # the UntypedStorage that stands for this storage, once asked for

    def __init__(self, nbytes: int, data: np.ndarray | None = None, special: int = 0) -> None:
        self.nbytes = nbytes
        self.data = data  # one-dimensional uint8, or None while owed
        self.version = 0
        self.untracked = False  # whether there were writes that the version does not count
        self.special = special  # SHARED: memory that something outside can see; ON_META: there are no bytes
        self._lease: Lease | None = None  # what `data` is to be given back as
        self.address = 0  # of `data`, once known: engine/memory.py

    def __del__(self, give: Callable[..., None] = cache.give) -> None:
        lease = self._lease
        if lease is not None and lease[0] is self.data:
            give(lease, held=1)

    @property
    def device(self) -> device:
        return META if self.special == ON_META else CPU

    def allocate(self) -> np.ndarray:
        """Bytes, with whatever is in them."""
        self._lease = lease = cache.take(self.nbytes)
        self.data = data = lease[0]
        self.address = lease[1]
        return data

    def replace(self, data: np.ndarray) -> None:
        """Put other bytes in the place of those there are."""
        lease, self._lease = self._lease, None
        self.data = data
        self.address = 0
        if lease is not None:
            cache.give(lease)

    def is_unseen(self, held: int, getrefcount: Callable[[object], int] = sys.getrefcount) -> bool:
        """Whether nobody can read these bytes but through `held` references to the storage. (See `Cache.give`.)"""
        lease = self._lease
        return lease is not None and getrefcount(self) == 2 + held and lease[0] is self.data and getrefcount(lease[0]) == 3 and getrefcount(lease[2]) == 3

    def resize(self, nbytes: int) -> None:
        """Change the size, keeping the bytes that fit. New bytes are zero."""
        if self.special != ON_META:
            assert self.data is not None, "flush before resizing"
            fresh = np.zeros(nbytes, np.uint8)
            kept = min(nbytes, self.nbytes)
            fresh[:kept] = self.data[:kept]
            self.replace(fresh)
        self.nbytes = nbytes

    def array(self, offset: int, layout: Layout) -> np.ndarray:
        """The NumPy array of this layout over the bytes; writes go through."""
        if layout.numel == 0:
            return np.empty(layout.shape, layout.dtype.numpy)
        return np.ndarray(layout.shape, layout.dtype.numpy, self.data, offset * layout.dtype.itemsize, layout.byte_strides)


def storage_of_array(array: np.ndarray) -> Storage:
    """A storage over the memory of `array`, which must have no negative strides. Nothing is copied."""
    if array.flags.c_contiguous:
        data = array.reshape(-1).view(np.uint8)
    else:
        extent = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) + array.itemsize if array.size else 0
        data = np.asarray(_Memory(array, extent))
    return Storage(data.nbytes, data)


class _Memory:
    """The bytes from an array's first element on, through NumPy's array interface, keeping the array alive."""

    def __init__(self, array: np.ndarray, nbytes: int) -> None:
        self.array = array
        pointer, read_only = array.__array_interface__["data"]
        self.__array_interface__ = {"data": (pointer, read_only), "shape": (nbytes,), "typestr": "|u1", "version": 3}


class TensorBase:
    """The slots of a tensor. `Tensor` (tensor.py) adds the interface; ops and the tape need no more than this."""

    __slots__ = ("_storage", "_offset", "_layout", "_node", "_requires_grad", "_base", "__dict__", "__weakref__")

    _storage: Storage
    _offset: int  # in elements
    _layout: Layout
    _node: Node | None  # the gradient function, None for a leaf
    _requires_grad: bool
    _base: TensorBase | None  # for a view, the tensor whose storage it shows
    _output_nr = 0  # which output of `_node` this is
    _tracks_version = True  # False for `.data`, whose writes autograd does not see
    _own_version = 0  # what its writes advance then
    _seen_version = 0  # of a view: the storage version for which `_node` holds
    _view_kind = 0  # of a view: one of graph.VIEW_*
    _retains_grad = False
    _inference = False
