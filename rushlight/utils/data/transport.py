"""Messages from a worker process to its parent: a key, and data in which large buffers are not copied.

Buffers from `LARGE` bytes on (tensors, NumPy arrays) go side by side into one file in memory whose descriptor is sent
along; the parent maps it. Smaller ones go through the connection, where the descriptor would cost more than the bytes:
on a Xeon at 2.5 GHz, a batch of 64 KB takes 61 us through the connection and 101 us by file, one of 256 KB 780 and 237 us.
"""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any

from ...multiprocessing.reductions import map_file, new_shared_file, reduce_storage, reduce_tensor
from ...storage import Storage, TensorBase
from .worker import ExceptionWrapper

LARGE = 128 << 10
_ALIGNMENT = 64
_CAN_SEND_FILES = hasattr(os, "memfd_create")


class _Pickler(pickle.Pickler):
    """Protocol 5 with tensors (of any class) as buffers; buffers in `large` stay outside of the stream."""

    def __init__(self, file: io.BytesIO, large: list[memoryview]) -> None:
        def in_stream(buffer: pickle.PickleBuffer) -> bool:
            view = buffer.raw()
            if view.nbytes < LARGE or not _CAN_SEND_FILES:
                return True
            large.append(view)
            return False

        super().__init__(file, protocol=5, buffer_callback=in_stream)
        self.dispatch_table = ForkingPickler(io.BytesIO()).dispatch_table

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, TensorBase):
            return reduce_tensor(value)
        return reduce_storage(value) if isinstance(value, Storage) else NotImplemented


def send_message(connection: Connection, key: Any, data: Any, where: str) -> None:
    """Send an answer. What cannot be pickled is answered with the error, as raised at `where`."""
    stream, large = _pickled(data, where)
    spans = _spans(large)
    connection.send((key, spans))
    if spans:
        descriptor = new_shared_file(spans[-1][1])
        try:
            for (start, _), buffer in zip(spans, large, strict=True):
                _write(descriptor, buffer, start)
            send_handle(connection, descriptor, None)  # type: ignore[arg-type]
        finally:
            os.close(descriptor)
    connection.send_bytes(stream.getbuffer())


def _pickled(data: Any, where: str) -> tuple[io.BytesIO, list[memoryview]]:
    while True:
        stream, large = io.BytesIO(), []  # type: ignore[var-annotated]
        try:
            _Pickler(stream, large).dump(data)
            return stream, large
        except Exception:
            if isinstance(data, ExceptionWrapper):
                data.exc_type = RuntimeError  # of a local class, which has no name to be found by
            else:
                data = ExceptionWrapper(where=where)


def receive_message(connection: Connection, where: str) -> tuple[Any, Any]:
    """The next key and its data. An error while unpickling is the data, as raised at `where`."""
    key, spans = connection.recv()
    buffers: list[memoryview] = []
    if spans:
        descriptor = recv_handle(connection)
        try:
            memory = map_file(descriptor, spans[-1][1])
        finally:
            os.close(descriptor)
        buffers = [memory[start:stop] for start, stop in spans]
    stream = connection.recv_bytes()
    try:
        return key, pickle.loads(stream, buffers=buffers)
    except Exception:
        return key, ExceptionWrapper(where=where)


def _spans(buffers: list[memoryview]) -> list[tuple[int, int]]:
    """Where in the file each buffer goes: start and stop."""
    spans, stop = [], 0
    for buffer in buffers:
        start = -(-stop // _ALIGNMENT) * _ALIGNMENT
        stop = start + buffer.nbytes
        spans.append((start, stop))
    return spans


def _write(descriptor: int, buffer: memoryview, offset: int) -> None:
    # Writing beats copying into a mapping, whose pages would be cleared first. One call writes at most 2 GB.
    while buffer:
        written = os.pwrite(descriptor, buffer, offset)
        buffer, offset = buffer[written:], offset + written
