"""The zip container of `torch.save`: records that are stored, not deflated, each beginning at a multiple of 64 bytes.

A file holds ``<name>/data.pkl``, the pickle; ``<name>/data/<key>``, the bytes of each storage; and a few short
records (``byteorder``, ``version``, ...). Python's `zipfile` can read it but not write it: PyTorch computes where
a storage begins from the sizes before it, so local headers must have exactly the shape that its own writer
gives them: no sizes, padding in an extra field ``FB``, and sizes in a data descriptor after the bytes.
Sources: PyTorch's caffe2/serialize/inline_container.cc; PKWARE's APPNOTE.TXT.
"""

from __future__ import annotations

import struct
from typing import IO, Any

import numpy as np

from .files import read_exactly

#: The format's version, in the record ``version``, and the versions that can be read.
PRODUCED_VERSION, MIN_VERSION, MAX_VERSION = 3, 1, 10

_UINT32_MAX = 0xFFFFFFFF
_UTF8, _SIZES_FOLLOW = 0x800, 0x8  # bits of a header's flags
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")

_CORRUPT = (
    " This is an internal miniz error. If you are seeing this error, there is a high likelihood that your checkpoint "
    "file is corrupted. This can happen if the checkpoint was not saved properly, was transferred incorrectly, or the "
    "file was modified after saving."
)


def archive_name(path: str) -> str:
    """The folder that a file's records are in: its name up to the last dot."""
    base = path.replace("\\", "/").rpartition("/")[2]
    stem, dot, _ = base.rpartition(".")
    name = stem if dot else base
    if not name:
        raise RuntimeError(f"[enforce fail at inline_container.cc:720] . invalid file name: {path}")
    return name


class ZipWriter:
    """Writes records to a binary file that needs no more than `write`."""

    def __init__(self, file: IO[bytes], name: str, alignment: int, compute_crc32: bool) -> None:
        self._file = file
        self._name = name
        self._alignment = alignment
        self._compute_crc32 = compute_crc32
        self._position = 0
        self._directory: list[bytes] = []
        self._checksums: list[int] = []

    def _write(self, data: Any) -> None:
        self._file.write(data)
        self._position += len(data)

    def write_record(self, name: str, data: Any) -> None:
        """Append `data` (bytes, or an array of uint8) as ``<archive name>/<name>``."""
        import zlib

        path = f"{self._name}/{name}".encode()
        size, start = len(data), self._position
        checksum = zlib.crc32(data) if self._compute_crc32 else 0
        self._checksums.append(checksum)
        flags = _UTF8 | (_SIZES_FOLLOW if size else 0)
        large = [size, size] * (size >= _UINT32_MAX) + [start] * (start >= _UINT32_MAX)
        zip64 = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""

        fixed = _LOCAL_HEADER.size + len(path) + len(zip64) + 4
        padding = -(start + fixed) % self._alignment
        extra = zip64 + struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        self._write(_LOCAL_HEADER.pack(b"PK\x03\x04", 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra)) + path + extra)
        self._write(data)
        if size:
            sizes = "QQ" if zip64 else "LL"
            self._write(struct.pack(f"<4sL{sizes}", b"PK\x07\x08", checksum, size, size))
        short, at = min(size, _UINT32_MAX), min(start, _UINT32_MAX)
        self._directory.append(
            _CENTRAL_HEADER.pack(
                b"PK\x01\x02", 0, 0, flags, 0, 0, 0, checksum, short, short, len(path), len(zip64), 0, 0, 0, 0, at
            )
            + path
            + zip64
        )

    def close(self) -> None:
        """Write the closing records and the directory."""
        import zlib

        self.write_record("version", f"{PRODUCED_VERSION}\n".encode())
        names, contents = zlib.crc32(b"".join(self._directory)), zlib.crc32(repr(self._checksums).encode())
        self.write_record(".data/serialization_id", f"{names:020}{contents:020}".encode())
        directory = b"".join(self._directory)
        start, count = self._position, len(self._directory)
        self._write(directory)
        end = self._position
        self._write(_ZIP64_END.pack(b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, len(directory), start))
        self._write(_ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, end, 1))
        short = min(count, 0xFFFF)
        self._write(
            _END.pack(b"PK\x05\x06", 0, 0, short, short, min(len(directory), _UINT32_MAX), min(start, _UINT32_MAX), 0)
        )


def looks_like_zip(file: IO[bytes]) -> bool:
    """Whether a zip file begins at the current position, which is kept."""
    start = file.tell()
    signature = file.read(4)
    file.seek(start)
    return signature == b"PK\x03\x04"


class ZipReader:
    """The records of a file that `torch.save`, or a zip tool, has written."""

    def __init__(self, file: IO[bytes]) -> None:
        import zipfile

        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: failed finding central directory." + _CORRUPT
            ) from None
        self._file = file
        first = self._zip.filelist[0].filename if self._zip.filelist else ""
        name, slash, _ = first.partition("/")
        if not slash:
            raise RuntimeError(
                f"[enforce fail at inline_container.cc:180] . file in archive is not in a subdirectory: {first}"
            )
        self._records = {
            info.filename[len(name) + 1 :]: info for info in self._zip.filelist if info.filename.startswith(name + "/")
        }
        self._check_version()

    def _check_version(self) -> None:
        found = next((name for name in ("version", ".data/version") if name in self._records), None)
        if found is None:
            raise RuntimeError(
                'Expected hasRecord("version") to be true, but got false.  '
                "(Could this error message be improved?  If so, please report an enhancement request to PyTorch.)"
            )
        version = int(self.read(found))
        if version < MIN_VERSION:
            raise RuntimeError(
                f"[enforce fail at inline_container.cc:219] . Attempted to read a PyTorch file with version {version}, "
                f"but the minimum supported version for reading is {MIN_VERSION}. Your PyTorch script module file is too old. "
                "Please regenerate it with latest version of PyTorch to mitigate this issue."
            )
        if version > MAX_VERSION:
            raise RuntimeError(
                f"[enforce fail at inline_container.cc:230] . Attempted to read a PyTorch file with version {version}, "
                f"but the maximum supported version for reading is {MAX_VERSION}. The version of your PyTorch installation "
                "may be too old, please upgrade PyTorch to latest version to mitigate this issue."
            )

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def _info(self, name: str) -> Any:
        try:
            return self._records[name]
        except KeyError:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found.{_CORRUPT}") from None

    def read(self, name: str) -> bytes:
        """The bytes of a record. Like PyTorch, this does not verify the checksum of one that is not compressed."""
        offset, info = self.offset(name), self._info(name)
        if offset is None:
            return self._zip.read(info)
        self._file.seek(offset)
        return self._complete(name, self._file.read(info.file_size), info.file_size)

    @staticmethod
    def _complete(name: str, data: Any, nbytes: int) -> Any:
        if len(data) < nbytes:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: file read failed.{_CORRUPT}")
        return data

    def offset(self, name: str) -> int | None:
        """Where in the file a record's bytes begin, None if they are compressed."""
        info = self._info(name)
        if info.compress_type:
            return None
        self._file.seek(info.header_offset)
        header = self._complete(name, self._file.read(_LOCAL_HEADER.size), _LOCAL_HEADER.size)
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        return info.header_offset + _LOCAL_HEADER.size + name_length + extra_length

    def read_array(self, name: str, nbytes: int) -> np.ndarray:
        """The bytes of a storage's record in fresh memory."""
        self._check_size(name, nbytes)
        array = np.empty(nbytes, np.uint8)
        offset = self.offset(name)
        if offset is None:
            array[:] = np.frombuffer(self.read(name), np.uint8)
        else:
            self._file.seek(offset)
            self._complete(name, array[: read_exactly(self._file, array)], nbytes)
        return array

    def map_array(self, name: str, nbytes: int, mapped: np.ndarray) -> np.ndarray:
        """The bytes of a storage's record as a part of the mapped file."""
        self._check_size(name, nbytes)
        offset = self.offset(name)
        if offset is None:
            return self.read_array(name, nbytes)
        return mapped[offset : offset + nbytes]

    def _check_size(self, name: str, nbytes: int) -> None:
        size = self._info(name).file_size
        if size != nbytes:
            raise RuntimeError(
                f"record size ({size} bytes) does not match expected size "
                f"({nbytes} bytes = {nbytes} elements * 1 bytes/element) for dtype Byte"
            )
