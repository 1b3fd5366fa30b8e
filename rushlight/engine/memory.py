"""Where native code finds its operands."""

from __future__ import annotations

from ..buffers import address_of as address_of_array
from ..storage import Storage


def address_of(storage: Storage) -> int:
    """The address of a storage's bytes, which must be present. It holds until they are replaced."""
    if not storage.address:
        assert storage.data is not None, "allocate before asking where it is"
        storage.address = address_of_array(storage.data)
    return storage.address
