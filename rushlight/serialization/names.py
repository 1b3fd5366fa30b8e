"""The names that objects have in files: PyTorch's, whatever they are called here.

A pickle names classes and functions by module and name. Files say ``torch.…`` in both directions, so that PyTorch
reads what we write and we read what it writes. The package mostly follows PyTorch's module layout, so that a name
changes in its first word only; modules and objects that stand elsewhere are listed.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import io
import pickle
import types
from collections.abc import Callable
from typing import Any

from ..devices import device
from ..dtypes import (
    ALL,
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from ..memory_formats import layout
from ..shape import Size

_PACKAGE = __package__.partition(".")[0]

#: Our modules that hold the classes of another module of PyTorch, by what follows the package's name.
_MODULES = {
    "dtypes": "",
    "errors": "",
    "grad_mode": "autograd.grad_mode",
    "memory_formats": "",
    "untyped_storage": "storage",
    "nn.state": "nn.modules.module",
    "nn.container": "nn.modules.container",
    "nn.module": "nn.modules.module",
    "nn.parameter_container": "nn.modules.container",
    "nn.modules.attention": "nn.modules.activation",
    "optim.adafactor": "optim",
    "optim.muon": "optim",
}

#: Packages of ours that are one module of PyTorch.
_DIVIDED = ("distributions.transforms", "nn.modules.loss", "optim.lr_scheduler")

#: The modules in which an op can be public.
_FUNCTION_HOMES = (".nn.functional", "", ".linalg", ".special")

#: Where PyTorch's compiled functions come from, with the prefix of their names there, and where they are public.
_COMPILED = {
    "torch._C._nn": ("", "torch.nn.functional"),
    "torch._C._linalg": ("linalg_", "torch.linalg"),
    "torch._C._special": ("special_", "torch.special"),
    "torch._C._fft": ("fft_", "torch.fft"),
}

#: PyTorch's storage classes of a dtype, by name. Other dtypes are saved over `UntypedStorage`.
STORAGE_DTYPES = {
    "DoubleStorage": float64,
    "FloatStorage": float32,
    "HalfStorage": float16,
    "LongStorage": int64,
    "IntStorage": int32,
    "ShortStorage": int16,
    "CharStorage": int8,
    "ByteStorage": uint8,
    "BoolStorage": bool_,
    "BFloat16Storage": bfloat16,
    "ComplexDoubleStorage": complex128,
    "ComplexFloatStorage": complex64,
}


class StorageType:
    """Stands for one of PyTorch's typed storage classes, such as ``torch.FloatStorage``, in a file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dtype = STORAGE_DTYPES[name]

    def __repr__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


STORAGE_TYPES = {name: StorageType(name) for name in STORAGE_DTYPES}
STORAGE_TYPE_OF = {found.dtype: found for found in STORAGE_TYPES.values()}


@functools.cache
def moved() -> dict[tuple[str, str], Any]:
    """What has another place here than in PyTorch, by PyTorch's module and name."""
    from ..random import Generator
    from ..tensor import Tensor
    from . import rebuild

    found: dict[tuple[str, str], Any] = {
        ("torch", "Tensor"): Tensor,
        ("torch._C", "TensorBase"): Tensor,
        ("torch", "Size"): Size,
        ("torch", "device"): device,
        ("torch._C", "Generator"): Generator,
        ("torch.storage", "_load_from_bytes"): rebuild.load_from_bytes,
        ("torch.storage", "UntypedStorage"): rebuild.UntypedStorage,
        ("torch.serialization", "_get_layout"): rebuild.find_layout,
        ("torch._tensor", "_rebuild_from_type_v2"): rebuild.rebuild_from_type,
        ("torch._utils", "_rebuild_tensor"): rebuild.rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild.rebuild_tensor_v2,
        ("torch._utils", "_rebuild_tensor_v3"): rebuild.rebuild_tensor_v3,
        ("torch._utils", "_rebuild_meta_tensor_no_storage"): rebuild.rebuild_meta_tensor,
        ("torch._utils", "_rebuild_parameter"): rebuild.rebuild_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): rebuild.rebuild_parameter_with_state,
    }
    found |= {("torch", d.name): d for d in ALL}
    found |= {("torch", name): kind for name, kind in STORAGE_TYPES.items()}
    return found


@functools.cache
def _names() -> dict[int, tuple[str, str]]:
    return {id(value): name for name, value in reversed(moved().items())}


def torch_name(value: Any, name: str | None = None) -> tuple[str, str] | None:
    """The module and name of a class, function or constant of ours in PyTorch, None for anybody else's."""
    found = _names().get(id(value))
    if found is not None:
        return found
    package, _, rest = getattr(value, "__module__", "").partition(".")
    if package != _PACKAGE:
        return None
    name = name or value.__qualname__
    if rest.startswith("ops."):
        return _function_name(value)
    parent = rest.rpartition(".")[0]
    rest = parent if parent in _DIVIDED else _MODULES.get(rest, rest)
    return ("torch." + rest if rest else "torch"), name


def _function_name(function: Any) -> tuple[str, str] | None:
    """The public name of an op, by which a module may keep it as its activation."""
    for home in _FUNCTION_HOMES:
        for name, value in vars(importlib.import_module(_PACKAGE + home)).items():
            if value is function:
                return "torch" + home, name
    return None


def full_name(value: Any) -> str:
    """How files and messages call a global."""
    module, name = torch_name(value) or (value.__module__, value.__qualname__)
    return f"{module}.{name}"


def find_torch_name(module: str, name: str) -> Any:
    """The object that PyTorch calls `name` in `module`, which is ``torch`` or starts with ``torch.``.

    Where the module has no such name here, the packages around it are asked: they re-export what is public.
    """
    found = moved().get((module, name))
    if found is not None:
        return found
    if (module, name) == ("torch._C", "_VariableFunctionsClass"):
        return importlib.import_module(_PACKAGE)  # a pickle gets functions such as torch.tanh as its attributes
    if module in _COMPILED:
        prefix, module = _COMPILED[module]
        name = name.removeprefix(prefix)
    parts = module.split(".")[1:]
    for depth in range(len(parts), -1, -1):
        try:
            value = importlib.import_module(".".join([_PACKAGE, *parts[:depth]]))
            for attribute in name.split("."):
                value = getattr(value, attribute)
        except (ImportError, AttributeError):
            continue
        return value
    raise AttributeError(f"Can't get attribute '{name}' on module '{module}'")


PersistentId = Callable[[Any], tuple[Any, ...] | None]


_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _TorchPickler(_PythonPickler):  # type: ignore[misc]
    """A pickler that writes PyTorch's names. In Python, as the C one checks that each name can be imported."""

    def __init__(self, file: io.BytesIO, protocol: int, persistent_id: PersistentId) -> None:
        from .rebuild import reduce_layout

        super().__init__(file, protocol=protocol)
        self.dispatch_table = copyreg.dispatch_table | {layout: reduce_layout}
        self._identify = persistent_id

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        return self._identify(obj)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        found = torch_name(obj, name)
        if found is None or "<locals>" in found[1] or ("." in found[1] and self.proto < 4):
            super().save_global(obj, name)
            return
        if self.proto >= 4:
            for part in found:
                self.save(part)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + "{}\n{}\n".format(*found).encode())
        self.memoize(obj)

    dispatch = _PythonPickler.dispatch | {types.FunctionType: save_global, StorageType: save_global, dtype: save_global}


def make_pickler(pickle_module: Any, file: Any, protocol: int, persistent_id: PersistentId) -> Any:
    """A pickler of `pickle_module` that writes storages as `persistent_id` says."""
    if pickle_module is pickle:
        return _TorchPickler(file, protocol, persistent_id)

    class Pickler(pickle_module.Pickler):
        def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
            return persistent_id(obj)

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, StorageType):
                return StorageType, (obj.name,)
            inherited = getattr(super(), "reducer_override", None)
            return inherited(obj) if inherited is not None else NotImplemented

    return Pickler(file, protocol=protocol)


def make_unpickler(pickle_module: Any, file: Any, persistent_load: Callable[[Any], Any], **load_args: Any) -> Any:
    """An unpickler of `pickle_module` that knows PyTorch's names and asks `persistent_load` for storages."""

    class Unpickler(pickle_module.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == "torch" or module.startswith("torch."):
                return find_torch_name(module, name)
            return super().find_class(module, name)

        def persistent_load(self, saved_id: Any) -> Any:
            return persistent_load(saved_id)

    return Unpickler(file, **load_args)
