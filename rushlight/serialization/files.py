"""Opening what the user gave as a file, and replacing files whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

FileLike = str | os.PathLike[str] | IO[bytes]


@contextmanager
def open_for_reading(f: FileLike) -> Iterator[IO[bytes]]:
    """The binary file at path `f`, or `f` itself, which must be seekable and stays open."""
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            yield file
        return
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        if "seek" not in str(error) and "tell" not in str(error):
            raise
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable."
            " Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
        ) from None
    yield f


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A new binary file that takes the place of `path` when the block ends well, and vanishes when it fails.

    The old file, its permissions and the target of a symbolic link are kept. What is no regular file (a pipe,
    ``/dev/null``) and what stands in a directory that cannot be written is opened in place.
    """
    target = os.path.realpath(path)
    exists = os.path.lexists(target)
    partial = f"{target}.{os.getpid()}.{os.urandom(4).hex()}.partial"
    descriptor = None
    if not exists or os.path.isfile(target):
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        except PermissionError:
            if not exists:
                raise
    if descriptor is None:
        with open(path, "wb") as file:
            yield file
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if exists:
            os.chmod(partial, os.stat(target).st_mode & 0o7777)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def read_exactly(file: IO[bytes], into: Any) -> int:
    """Fill the writable buffer `into` from `file`; returns how many bytes there were."""
    view = memoryview(into)
    filled = 0
    readinto = getattr(file, "readinto", None)
    while filled < len(view):
        if readinto is not None:
            count = readinto(view[filled:])
        else:
            chunk = file.read(len(view) - filled)
            count = len(chunk)
            view[filled : filled + count] = chunk
        if not count:
            break
        filled += count
    return filled
