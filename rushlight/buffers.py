"""Memory for storages: buffers on 64-byte boundaries whose addresses are known, used again when nobody sees them.

A buffer that has been touched is worth keeping: the system hands out fresh pages at about the cost of writing them
three times over. So the bytes of a storage that dies go to a free list of their size class, unless something else
still holds them (a NumPy array that the user keeps, a view, an exported buffer), which reference counts tell.

Sizes up to `SMALL` are classes of their own: a program's small sizes recur exactly. Larger ones are rounded up by at
most an eighth, and a buffer of one of the next classes serves when there is none of the own.

What is in use and what lies idle together stay within 1.5 times the most that has been in use at a time; beyond it,
and where a quarter of the machine's memory lies idle, idle buffers go back to the system, oldest class first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

#: Bytes. Below, finding an idle buffer is all that counts, and they are not counted.
SMALL: Final = 1024
#: How many idle buffers of one small size are kept.
_SMALL_KEPT: Final = 128
_ALIGNMENT: Final = 64
_NEIGHBOURS: Final = 4
_CLASSES_KEPT: Final = 10_000
_OVERHEAD: Final = 1.5


class Lease(NamedTuple):
    """A buffer in use: `data`, whose first byte is at `address`, lies in `whole`, which owns `size` bytes and some."""

    data: np.ndarray
    address: int
    whole: np.ndarray
    size: int


def address_of(array: np.ndarray) -> int:
    """The address of an array's first byte, in a quarter of the time that NumPy's own attributes take."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only, empty, or not contiguous
        return array.__array_interface__["data"][0]


def size_class(nbytes: int) -> int:
    """`nbytes` rounded up to one of eight steps between powers of two.

    >>> from rushlight.buffers import size_class
    >>> size_class(1_000_000), size_class(1 << 20), size_class((1 << 20) + 1)
    (1048576, 1048576, 1179648)
    """
    if nbytes <= SMALL:
        return nbytes
    step = 1 << ((nbytes - 1).bit_length() - 4)
    return -(-nbytes // step) * step


def _memory_of_machine() -> int:
    """The bytes of memory that this process may use: the machine's, or the cgroup's limit."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        found = 4 << 30
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            return min(found, int(file.read()))
    except (OSError, ValueError):  # no such file, or "max"
        return found


class Cache:
    """The free lists, and how many bytes of larger buffers there are. One for the process: `cache`."""

    def __init__(self, idle_limit: int) -> None:
        self.idle_limit = idle_limit
        self.live = 0  # bytes in use
        self.peak = 0  # the most that were
        self.idle = 0  # bytes in the free lists
        self.made = 0  # buffers asked of the system
        # A lease in a list is a whole one, its `data` perhaps not of the size that is asked for next.
        self._free: dict[int, list[Lease]] = {}
        self._classes: dict[int, int] = {}  # size_class of the larger sizes asked for

    def take(self, nbytes: int) -> Lease:
        """A buffer of `nbytes` with whatever is in it, or PyTorch's RuntimeError if there is no memory."""
        if nbytes <= SMALL:
            idle = self._free.get(nbytes)
            try:
                return idle.pop()  # type: ignore[union-attr]
            except (AttributeError, IndexError):
                return self._make(nbytes, nbytes)
        size = self._classes.get(nbytes) or self._class(nbytes)
        try:
            lease = self._free[size].pop()
        except (KeyError, IndexError):
            lease = self._miss(nbytes, size)
        else:
            self.idle -= size
            if lease[0].size != nbytes:
                lease = _resized(lease, nbytes)
        self.live = live = self.live + lease[3]
        if live > self.peak:
            self.peak = live
        return lease

    def _class(self, nbytes: int) -> int:
        if len(self._classes) > _CLASSES_KEPT:
            self._classes.clear()
        size = self._classes[nbytes] = size_class(nbytes)
        return size

    def give(self, lease: Lease, *, held: int = 0, getrefcount: Callable[[object], int] = sys.getrefcount) -> None:
        """Take a buffer back; the giver holds `lease`, and `held` more references to its data."""
        size = lease[3]
        if size > SMALL:
            self.live -= size
        # Each count has the lease and the argument of getrefcount; `whole` is also the base of `data`. Arrays made
        # over `data` have `whole` as their base, so that one of the two counts shows them.
        if getrefcount(lease[0]) != 2 + held or getrefcount(lease[2]) != 3:
            return  # seen by others, whom it now belongs to
        idle = self._free.get(size)
        if idle is None:
            idle = self._free.setdefault(size, [])
        if size <= SMALL:
            if len(idle) < _SMALL_KEPT:
                idle.append(lease)
        elif self.idle + size <= self.idle_limit:
            self.idle += size
            idle.append(lease)

    def _pop(self, size: int) -> Lease | None:
        try:
            lease = self._free[size].pop()
        except (KeyError, IndexError):
            return None
        self.idle -= size
        return lease

    def _miss(self, nbytes: int, size: int) -> Lease:
        if self.idle:
            larger = size
            for _ in range(_NEIGHBOURS):
                larger = size_class(larger + 1)
                lease = self._pop(larger)
                if lease is not None:
                    return _resized(lease, nbytes)
            in_use = self.live + size
            self.trim(int(max(self.peak, in_use) * _OVERHEAD) - in_use)
        return self._make(nbytes, size)

    def _make(self, nbytes: int, size: int) -> Lease:
        self.made += 1
        try:
            whole = np.empty(size + _ALIGNMENT, np.uint8)
        except (MemoryError, ValueError):  # not now, or never
            self.trim()
            whole = _last_attempt(nbytes, size)
        start = address_of(whole)
        offset = -start % _ALIGNMENT
        return Lease(whole[offset : offset + nbytes], start + offset, whole, size)

    def trim(self, limit: int = 0) -> None:
        """Give idle buffers back to the system until at most `limit` bytes are idle."""
        for size in list(self._free):
            if size > SMALL:
                while self.idle > limit and self._pop(size) is not None:
                    pass
            elif not limit:
                self._free.pop(size, None)


def _last_attempt(nbytes: int, size: int) -> np.ndarray:
    try:
        return np.empty(size + _ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        message = f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {nbytes} bytes. Error code 12 (Cannot allocate memory)"
        raise RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] err == 0. {message}") from None


def _resized(lease: Lease, nbytes: int) -> Lease:
    """The same buffer with data of another size."""
    offset = -address_of(lease.whole) % _ALIGNMENT
    return Lease(lease.whole[offset : offset + nbytes], lease.address, lease.whole, lease.size)


cache = Cache(_memory_of_machine() // 4)
