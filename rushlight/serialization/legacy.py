"""The two file formats before PyTorch 1.6: a stream of pickles followed by bytes, and before that (0.1) a tar file.

The stream: a magic number, a protocol version, facts on the machine, the object with persistent ids for its
storages, the list of their keys, then for each storage its number of elements and its bytes.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from ..untyped_storage import TypedStorage, UntypedStorage
from . import names
from .files import read_exactly
from .location import Restore, location_tag
from .storages import StorageTypes, bytes_of, dtype_in_file, part_of, swap_bytes, text, typed

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

ReadPickle = Callable[[IO[bytes]], Any]
MakeUnpickler = Callable[[IO[bytes], Callable[[Any], Any]], Any]


class SourceChangeWarning(Warning):
    """A file that holds a whole module was saved when the source of the module's class was another."""


def save(obj: Any, file: IO[bytes], pickle_module: Any, pickle_protocol: int) -> None:
    """Write `obj` as a stream."""
    types = StorageTypes()
    storages: dict[str, tuple[UntypedStorage, int]] = {}
    described: set[type] = set()

    def persistent_id(value: Any) -> tuple[Any, ...] | None:
        if isinstance(value, type):
            return describe_module(value)
        if not isinstance(value, (TypedStorage, UntypedStorage)):
            return None
        storage, kind, dtype = types.of(value)
        key = str(storage._cdata)
        storages.setdefault(key, (storage, dtype.itemsize))
        return "storage", kind, key, location_tag(storage), storage.nbytes() // dtype.itemsize, None

    def describe_module(cls: type) -> tuple[Any, ...] | None:
        from ..nn.module import Module

        if not issubclass(cls, Module) or cls in described:
            return None
        described.add(cls)
        return "module", cls, *_source_of(cls)

    machine = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for head in (MAGIC_NUMBER, PROTOCOL_VERSION, machine):
        pickle_module.dump(head, file, protocol=pickle_protocol)
    names.make_pickler(pickle_module, file, pickle_protocol, persistent_id).dump(obj)
    keys = sorted(storages)
    pickle_module.dump(keys, file, protocol=pickle_protocol)
    for key in keys:
        storage, itemsize = storages[key]
        file.write(struct.pack("=q", storage.nbytes() // itemsize))
        file.write(bytes_of(storage).data)
    file.flush()


def _source_of(cls: type) -> tuple[str | None, str | None]:
    """File and source of a user's class. Our own layers have another source than PyTorch's of the same name."""
    import inspect

    if names.torch_name(cls) is not None:
        return None, None
    try:
        return inspect.getsourcefile(cls), inspect.getsource(cls)
    except (OSError, TypeError):
        return None, None


def _check_source(cls: type, file_name: str, source: str) -> None:
    now = _source_of(cls)[1]
    if now is not None and now != source:
        import warnings

        warnings.warn(
            f"source code of class '{cls.__module__}.{cls.__qualname__}' has changed. you can retrieve the original source code "
            "by accessing the object's source attribute or set `torch.nn.Module.dump_patches = True` and use the "
            "patch tool to revert the changes.",
            SourceChangeWarning,
            stacklevel=4,
        )


def load(
    file: IO[bytes], restore: Restore, read_pickle: ReadPickle, make_unpickler: MakeUnpickler, skip_data: bool
) -> Any:
    """The object in a stream at the current position."""
    if read_pickle(file) != MAGIC_NUMBER:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = read_pickle(file)
    if version != PROTOCOL_VERSION:
        raise RuntimeError(f"Invalid protocol version: {version}")
    little_endian = read_pickle(file)["little_endian"]

    roots: dict[Any, tuple[TypedStorage, np.ndarray]] = {}
    views: dict[Any, TypedStorage] = {}

    def persistent_load(saved_id: Any) -> Any:
        kind, *data = saved_id
        kind = text(kind)
        if kind == "module":
            if all(data[1:]):
                _check_source(*data)
            return data[0]
        if kind != "storage":
            raise RuntimeError(f"Unknown saved id type: {kind}")
        storage_type, key, location, numel, view = data
        dtype = dtype_in_file(storage_type)
        if key not in roots:
            # The bytes follow at the end of the file, and are read into this memory then.
            bytes_to_come = np.zeros(numel * dtype.itemsize, np.uint8)
            untyped = restore(UntypedStorage.from_numpy(bytes_to_come), text(location))
            roots[key] = typed(untyped, dtype), bytes_to_come
        storage = roots[key][0]
        if view is None:
            return storage
        view_key, offset, view_numel = view
        if view_key not in views:
            views[view_key] = part_of(storage, offset, view_numel)
        return views[view_key]

    result = make_unpickler(file, persistent_load).load()
    for key in read_pickle(file):
        storage, data = roots[key]
        size = file.read(8)
        numel = struct.unpack("<q" if little_endian else ">q", size)[0] if len(size) == 8 else -1
        if skip_data:
            file.seek(data.size, io.SEEK_CUR)
            continue
        if numel * storage.dtype.itemsize != data.size:
            raise RuntimeError(
                f"storage has wrong byte size: expected {data.size} got {numel * storage.dtype.itemsize}"
                if numel >= 0
                else f"unexpected EOF, expected {8 - len(size)} more bytes. The file might be corrupted."
            )
        count = read_exactly(file, data)
        if count < data.size:
            raise RuntimeError(f"unexpected EOF, expected {data.size - count} more bytes. The file might be corrupted.")
        if little_endian != (sys.byteorder == "little"):
            swap_bytes(data, storage.dtype)
        deliver(storage.untyped(), data)
    return result


def deliver(storage: UntypedStorage, data: np.ndarray) -> None:
    """Bytes that came after their storage was placed; a map_location function may have made a copy of it."""
    if storage.device.type == "cpu":
        target = bytes_of(storage)
        if target.ctypes.data != data.ctypes.data:
            target[:] = data


def is_tar(file: IO[bytes]) -> bool:
    """Whether a tar file begins at the current position, which is kept."""
    start = file.tell()
    head = file.read(262)
    file.seek(start)
    return head[257:] == b"ustar"


def load_tar(file: IO[bytes], restore: Restore, read_pickle: ReadPickle, make_unpickler: MakeUnpickler) -> Any:
    """The object in a tar file: members ``storages``, ``tensors`` and ``pickle``, in which objects go by integer keys."""
    import tarfile

    from .rebuild import rebuild_tensor

    known: dict[int, Any] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:

        def member(name: str) -> IO[bytes]:
            found = tar.extractfile(name)
            if found is None:
                raise RuntimeError(f"{name} is no file in this archive")
            return found

        storages = member("storages")
        for _ in range(read_pickle(storages)):
            key, location, storage_type = read_pickle(storages)
            dtype = dtype_in_file(storage_type)
            (numel,) = struct.unpack("<q", storages.read(8))
            data = np.frombuffer(bytearray(storages.read(numel * dtype.itemsize)), np.uint8)
            untyped = restore(UntypedStorage.from_numpy(data), location)
            known[key] = typed(untyped, dtype)
        for key, root, offset, numel in read_pickle(storages):
            known[key] = part_of(known[root], offset, numel)

        tensors = member("tensors")
        for _ in range(read_pickle(tensors)):
            key, storage_key, _ = read_pickle(tensors)
            ndim, _ = struct.unpack("<2i", tensors.read(8))
            layout = struct.unpack(f"<{2 * ndim + 1}q", tensors.read(8 * (2 * ndim + 1)))
            known[key] = rebuild_tensor(known[storage_key], layout[-1], layout[:ndim], layout[ndim:-1])

        def persistent_load(saved_id: Any) -> Any:
            return saved_id[0] if isinstance(saved_id, tuple) else known[int(saved_id)]

        return make_unpickler(member("pickle"), persistent_load).load()
