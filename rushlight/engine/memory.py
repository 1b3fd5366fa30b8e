"""Where native code finds its operands and its scratch memory."""

from __future__ import annotations

from ..buffers import Lease, address_of as address_of_array, cache
from ..storage import Storage

_scratch: Lease | None = None


def address_of(storage: Storage) -> int:
    """The address of a storage's bytes, which must be present. It holds until they are replaced."""
    if not storage.address:
        assert storage.data is not None, "allocate before asking where it is"
        storage.address = address_of_array(storage.data)
    return storage.address


def arena(nbytes: int) -> int:
    """The address of scratch memory that is the caller's until the next call.

    There is one for the process, so it takes the tape's lock to use it. One that is far too large is given back.
    """
    global _scratch
    lease = _scratch
    if lease is None or not nbytes <= lease.size <= 8 * nbytes + (1 << 20):
        if lease is not None:
            _scratch = None
            cache.give(lease)
        _scratch = lease = cache.take(nbytes)
    return lease.address
