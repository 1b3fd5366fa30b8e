"""``torch.save`` and ``torch.load``: PyTorch's file formats, both ways.

`zip_format` is the container of today, `legacy` the ones before 1.6. `names` and `rebuild` say how objects are named
and tensors taken apart, `unpickler` is the one that runs no code, `location` decides where storages go.
Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import sys
from typing import IO, Any

import numpy as np

from ..untyped_storage import TypedStorage, UntypedStorage
from . import legacy, names, options, unpickler
from .files import FileLike, open_for_reading, replacing
from .legacy import SourceChangeWarning as SourceChangeWarning
from .location import (
    MapLocation as MapLocation,
    default_restore_location as default_restore_location,
    is_meta,
    location_tag as location_tag,
    register_package as register_package,
    restorer,
)
from .options import (
    LoadEndianness as LoadEndianness,
    get_crc32_options as get_crc32_options,
    get_default_load_endianness as get_default_load_endianness,
    get_default_mmap_options as get_default_mmap_options,
    set_crc32_options as set_crc32_options,
    set_default_load_endianness as set_default_load_endianness,
    set_default_mmap_options as set_default_mmap_options,
    skip_data as skip_data,
)
from .rebuild import reduce_storage as reduce_storage, reduce_tensor as reduce_tensor
from .storages import StorageTypes, bytes_of, dtype_in_file, meta_storage, swap_bytes, text, typed
from .unpickler import (
    add_safe_globals as add_safe_globals,
    clear_safe_globals as clear_safe_globals,
    get_safe_globals as get_safe_globals,
    safe_globals as safe_globals,
)
from .zip_format import ZipReader, ZipWriter, archive_name, looks_like_zip

_UNSAFE = (
    "In PyTorch 2.6, we changed the default value of the `weights_only` argument in `torch.load` "
    "from `False` to `True`. Re-running `torch.load` with `weights_only` set to `False` will likely succeed, "
    "but it can result in arbitrary code execution. Do it only if you got the file from a "
    "trusted source."
)


def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write `obj` to `f`, a path or a file object, in PyTorch's format. Tensors that share memory still do when loaded.

    A file at a path is replaced whole: when saving fails, the old one is still there.

    >>> import io
    >>> buffer = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2)}, buffer)
    >>> torch.load(io.BytesIO(buffer.getvalue()))
    {'weight': tensor([1., 1.])}
    """
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    if not _use_new_zipfile_serialization and options.skipping_data():
        raise RuntimeError("Cannot use skip_data=True with _use_new_zipfile_serialization=False")
    if _use_new_zipfile_serialization:
        write: Any = functools.partial(_save_zip, with_byte_order=not _disable_byteorder_record)
    else:
        write = _save_legacy
    if not isinstance(f, (str, os.PathLike)):
        write(obj, f, "archive", pickle_module, pickle_protocol)
        if hasattr(f, "flush"):
            f.flush()
        return
    path = os.fspath(f)
    name = ""
    if _use_new_zipfile_serialization:
        name = archive_name(path) if path.isascii() else "archive"
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            raise RuntimeError(f"Parent directory {folder} does not exist.")
    with replacing(path) as file:
        write(obj, file, name, pickle_module, pickle_protocol)


def _save_legacy(obj: object, file: IO[bytes], name: str, pickle_module: Any, pickle_protocol: int) -> None:
    legacy.save(obj, file, pickle_module, pickle_protocol)


def _save_zip(
    obj: object, file: IO[bytes], name: str, pickle_module: Any, pickle_protocol: int, *, with_byte_order: bool
) -> None:
    types = StorageTypes()
    keys: dict[int, str] = {}
    storages: dict[str, UntypedStorage] = {}

    def persistent_id(value: Any) -> tuple[Any, ...] | None:
        if not isinstance(value, (TypedStorage, UntypedStorage)):
            return None
        storage, kind, dtype = types.of(value)
        key = keys.setdefault(storage._cdata, str(len(keys)))
        storages[key] = storage
        return "storage", kind, key, location_tag(storage), storage.nbytes() // dtype.itemsize

    pickled = io.BytesIO()
    names.make_pickler(pickle_module, pickled, pickle_protocol, persistent_id).dump(obj)

    writer = ZipWriter(file, name, options.STORAGE_ALIGNMENT, get_crc32_options())
    writer.write_record("data.pkl", pickled.getvalue())
    # Version 1 promises that storages stand in the order of their keys.
    writer.write_record(".format_version", b"1")
    writer.write_record(".storage_alignment", str(options.STORAGE_ALIGNMENT).encode())
    if with_byte_order:
        writer.write_record("byteorder", sys.byteorder.encode())
    for key, storage in storages.items():
        empty = options.skipping_data() or storage.device.type == "meta"
        data = np.zeros(storage.nbytes(), np.uint8) if empty else bytes_of(storage)
        writer.write_record(f"data/{key}", data)
    writer.close()


def load(
    f: FileLike,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `torch.save` wrote to `f`, a path or a seekable file object.

    With `weights_only`, the default, a file can hold tensors, numbers, strings, containers, and what
    `torch.serialization.add_safe_globals` allows; anything else raises `pickle.UnpicklingError`. Without it a file
    can run code. `map_location` says where storages go; ``mmap=True`` maps the file instead of reading it.

    >>> import io
    >>> buffer = io.BytesIO()
    >>> torch.save([torch.zeros(1), 2], buffer)
    >>> torch.load(io.BytesIO(buffer.getvalue()), map_location="cpu")
    [tensor([0.]), 2]
    """
    import warnings

    weights_only = _resolve_weights_only(weights_only, pickle_module)
    if weights_only:
        if pickle_module is not None:
            raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
        if pickle_load_args:
            warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    pickle_load_args.setdefault("encoding", "utf-8")
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith(".safetensors"):
        return _load_safetensors(os.fspath(f), map_location)

    reader = _Reader(None if weights_only else pickle_module or pickle, pickle_load_args)
    with open_for_reading(f) as file:
        try:
            if looks_like_zip(file):
                return _load_zip(f, file, map_location, reader, bool(mmap))
            if mmap:
                name = f"{f}, " if isinstance(f, str) else ""
                raise RuntimeError(
                    "mmap can only be used with files saved with "
                    f"`torch.save({name}_use_new_zipfile_serialization=True), "
                    "please torch.save your checkpoint with this option in order to use mmap."
                )
            return _load_legacy(file, map_location, reader)
        except pickle.UnpicklingError as error:
            if weights_only:
                raise pickle.UnpicklingError(_explain_refusal(str(error))) from None
            raise


def _resolve_weights_only(weights_only: bool | None, pickle_module: Any) -> bool:
    def is_set(variable: str) -> bool:
        return os.getenv(variable, "0").lower() in ("1", "y", "yes", "true")

    force, force_not = is_set("TORCH_FORCE_WEIGHTS_ONLY_LOAD"), is_set("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    if force and force_not:
        raise RuntimeError(
            "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` should be set, but both were set."
        )
    if force:
        return True
    if weights_only is not None:
        return weights_only
    if force_not:
        import warnings

        warnings.warn(
            "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected, since the"
            "`weights_only` argument was not explicitly passed to `torch.load`, forcing weights_only=False.",
            UserWarning,
            stacklevel=3,
        )
        return False
    return pickle_module is None


class _Reader:
    """Makes unpicklers: those of a pickle module, or, for None, the one that runs no code."""

    def __init__(self, pickle_module: Any, load_args: dict[str, Any]) -> None:
        self.pickle_module = pickle_module
        self.load_args = load_args

    @property
    def weights_only(self) -> bool:
        return self.pickle_module is None

    def unpickler(self, file: IO[bytes], persistent_load: Any) -> Any:
        if self.weights_only:
            return unpickler.Unpickler(file, persistent_load, encoding=self.load_args["encoding"])
        return names.make_unpickler(self.pickle_module, file, persistent_load, **self.load_args)

    def read(self, file: IO[bytes]) -> Any:
        """One pickle without storages."""
        if self.weights_only:
            return unpickler.load(file, encoding=self.load_args["encoding"])
        return self.unpickler(file, None).load()


def _explain_refusal(message: str) -> str:
    """PyTorch's text around what the restricted unpickler says."""
    docs = (
        "\n\nCheck the documentation of torch.load to learn more about types accepted by default with "
        "weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
    )
    if re.search(r"GLOBAL (\S+) was not an allowed global by default.", message):
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, "
            "\033[1mdo those steps only if you trust the source of the checkpoint\033[0m. "
            f"\n\t(1) {_UNSAFE}\n\t(2) Alternatively, to load with `weights_only=True` please check "
            f"the recommended steps in the following error message.\n\tWeightsUnpickler error: {message}{docs}"
        )
    request = (
        "Please file an issue with the following so that we can make "
        "`weights_only=True` compatible with your use case: WeightsUnpickler error: "
    )
    if re.search(r"whose module (\S+) is blocked", message):
        request = ""
    return f"Weights only load failed. {_UNSAFE}\n{request}\n\n{message}{docs}"


def _load_safetensors(path: str, map_location: MapLocation) -> dict[str, Any]:
    if isinstance(map_location, dict) or callable(map_location):
        kind = "dict" if isinstance(map_location, dict) else "callable"
        raise RuntimeError(  # noqa: TRY004
            f"Loading safetensors file with {kind} map_location is not supported. Use a device string or torch.device instead."
        )
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise RuntimeError(
            "Attempting to load a safetensors file but safetensors is not installed. "
            "Please install safetensors with: pip install safetensors"
        ) from error
    from .. import ops

    device = "cpu" if map_location is None else str(map_location)
    return {name: ops.from_numpy(array).to(device) for name, array in load_file(path).items()}


def _load_legacy(file: IO[bytes], map_location: MapLocation, reader: _Reader) -> Any:
    restore = restorer(map_location)
    if legacy.is_tar(file):
        if reader.weights_only:
            raise RuntimeError(
                "Cannot use ``weights_only=True`` with files saved in the legacy .tar format. " + _UNSAFE
            )
        return legacy.load_tar(file, restore, reader.read, reader.unpickler)
    return legacy.load(file, restore, reader.read, reader.unpickler, options.skipping_data())


def _load_zip(f: FileLike, file: IO[bytes], map_location: MapLocation, reader: _Reader, use_mmap: bool) -> Any:
    archive = ZipReader(file)
    if "constants.pkl" in archive:
        _refuse_torchscript(reader)
    shared = get_default_mmap_options() == options.MAP_SHARED
    mapped = None
    if use_mmap:
        if not isinstance(f, (str, os.PathLike)):
            raise ValueError("f must be a file path in order to use the mmap argument")
        mapped = bytes_of(UntypedStorage.from_file(f, shared, os.path.getsize(f)))
    swap = _byte_order(archive) != sys.byteorder
    restore = restorer(map_location)
    without_data = is_meta(map_location)
    loaded: dict[str, TypedStorage] = {}

    def read_storage(name: str, dtype: Any, nbytes: int) -> UntypedStorage:
        if without_data:
            return meta_storage(nbytes)
        if options.skipping_data():
            return UntypedStorage.from_numpy(np.zeros(nbytes, np.uint8))
        data = archive.read_array(name, nbytes) if mapped is None else archive.map_array(name, nbytes, mapped)
        if swap:
            swap_bytes(data, dtype)
        storage = UntypedStorage.from_numpy(data)
        if mapped is not None and shared:
            storage.numpy_bytes()  # the file is seen from outside, so writes to it may not wait
        return storage

    def persistent_load(saved_id: Any) -> TypedStorage:
        kind, storage_type, key, location, numel = saved_id
        if text(kind) != "storage":
            raise AssertionError(f"Unknown typename for persistent_load, expected 'storage' but got '{text(kind)}'")
        if key in loaded:
            return loaded[key]
        dtype = dtype_in_file(storage_type)
        storage = read_storage(f"data/{key}", dtype, numel * dtype.itemsize)
        if not without_data:
            storage = restore(storage, text(location))
        found = typed(storage, dtype)
        if numel:
            loaded[key] = found
        return found

    return reader.unpickler(io.BytesIO(archive.read("data.pkl")), persistent_load).load()


def _refuse_torchscript(reader: _Reader) -> None:
    if reader.weights_only:
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. " + _UNSAFE
        )
    raise RuntimeError(
        "this file is a TorchScript archive, which holds a program and not only tensors; it cannot be loaded"
    )


def _byte_order(archive: ZipReader) -> str:
    if "byteorder" in archive:
        found = archive.read("byteorder").decode()
        if found not in ("little", "big"):
            raise ValueError("Unknown endianness type: " + found)
        return found
    default = get_default_load_endianness()
    if default is LoadEndianness.NATIVE:
        return sys.byteorder
    return "big" if default is LoadEndianness.BIG else "little"


def get_unsafe_globals_in_checkpoint(f: FileLike) -> list[str]:
    """The full names of functions and classes in a file that ``weights_only=True`` refuses; nothing is run.

    >>> import io
    >>> buffer = io.BytesIO()
    >>> torch.save(range(3), buffer)
    >>> torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(buffer.getvalue()))
    ['builtins.range']
    """
    with open_for_reading(f) as file:
        if not looks_like_zip(file):
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        archive = ZipReader(file)
        if "constants.pkl" in archive:
            raise ValueError(
                "Expected input to be a checkpoint returned by torch.save but got a torchscript checkpoint"
            )
        return list(unpickler.unsafe_globals(io.BytesIO(archive.read("data.pkl"))))
