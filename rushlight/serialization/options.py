"""Settings of `torch.save` and `torch.load` that hold until changed."""

from __future__ import annotations

import enum
import sys
import threading

#: What `set_default_mmap_options` accepts: the values of `mmap.MAP_SHARED` and `mmap.MAP_PRIVATE`.
MAP_SHARED, MAP_PRIVATE = 1, 2

#: Where in a file a storage may begin.
STORAGE_ALIGNMENT = 64


class LoadEndianness(enum.Enum):
    """The byte order that a file without a ``byteorder`` record is taken to have."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _Options:
    endianness: LoadEndianness | None = None
    compute_crc32 = True
    mmap_flags = MAP_PRIVATE


class _ThreadOptions(threading.local):
    skip_data = False


_options = _Options()
_thread_options = _ThreadOptions()


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order of files that do not say theirs; None means little.

    >>> torch.serialization.get_default_load_endianness() is None
    True
    """
    return _options.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Set the byte order of files that do not say theirs.

    >>> torch.serialization.set_default_load_endianness(torch.serialization.LoadEndianness.LITTLE)
    >>> torch.serialization.set_default_load_endianness(None)
    """
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _options.endianness = endianness


def get_crc32_options() -> bool:
    """Whether `torch.save` writes a checksum with each record.

    >>> torch.serialization.get_crc32_options()
    True
    """
    return _options.compute_crc32


def set_crc32_options(compute_crc32: bool) -> None:
    """Choose whether `torch.save` writes a checksum with each record; `torch.load` needs none, zip tools do.

    >>> torch.serialization.set_crc32_options(True)
    """
    _options.compute_crc32 = compute_crc32


def get_default_mmap_options() -> int:
    """The flag with which ``torch.load(mmap=True)`` maps a file: `mmap.MAP_PRIVATE` or `mmap.MAP_SHARED`.

    >>> import mmap
    >>> torch.serialization.get_default_mmap_options() == mmap.MAP_PRIVATE
    True
    """
    return _options.mmap_flags


class set_default_mmap_options:
    """Set, or in a ``with`` block set for a while, the flag with which ``torch.load(mmap=True)`` maps a file.

    >>> import mmap
    >>> with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
    ...     torch.serialization.get_default_mmap_options() == mmap.MAP_SHARED
    True
    """

    def __init__(self, flags: int) -> None:
        if sys.platform == "win32":
            raise RuntimeError("Changing the default mmap options is currently not supported for Windows")
        if flags not in (MAP_SHARED, MAP_PRIVATE):
            raise ValueError(
                "Invalid argument in function set_default_mmap_options, "
                f"expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got {flags}"
            )
        self._before = _options.mmap_flags
        _options.mmap_flags = flags

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        _options.mmap_flags = self._before


class skip_data:
    """In a ``with`` block, save and load everything but the bytes of storages, whose space in the file stays zero.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save(torch.ones(2), file)
    >>> _ = file.seek(0)
    >>> with torch.serialization.skip_data():
    ...     torch.load(file)
    tensor([0., 0.])
    """

    def __init__(self, materialize_fake_tensors: bool = False) -> None:
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        self._before = _thread_options.skip_data
        _thread_options.skip_data = True

    def __exit__(self, *exc: object) -> None:
        _thread_options.skip_data = self._before


def skipping_data() -> bool:
    return _thread_options.skip_data
