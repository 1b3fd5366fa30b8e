"""`install()`: from here on `import torch` means rushlight, in this process and in its children.

In this process a finder at the head of `sys.meta_path` answers for `torch` and all its submodules with the very
modules of rushlight, so that no module is loaded twice and every class exists once.

A child started by `multiprocessing` (spawn, forkserver) or `subprocess` is a fresh interpreter. It inherits only the
environment, and spawn copies `sys.path` to it, so the directory `_shim` is put on PYTHONPATH and on `sys.path`.
There Python finds a package `torch` that calls `install()` and then stands aside. Nothing runs in a child that does not
import torch, and no `sitecustomize` of the user's is displaced. The directory also holds the metadata by which
`importlib.metadata.version("torch")` is answered. An interpreter that ignores PYTHONPATH (`python -I`, `python -E`)
is out of reach.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_shim")
_HOME = __name__.partition(".")[0]
_ALIASES = {"torch": _HOME, "torchmetrics": f"{_HOME}.metrics"}
_OWN_NAMES = (f"{_HOME}.ops.", f"{_HOME}.metrics.")  # what torch has no public classes under


class _AliasLoader:
    """Loads a module under a second name by handing out the module that is there."""

    def __init__(self, spec: ModuleSpec) -> None:
        self.spec = spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.spec.name)
        if module.__spec__ is not None:
            self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just put the alias's in its place
        name_classes()

    def get_code(self, name: str) -> CodeType | None:
        """The code, for ``python -m torch.something``."""
        loader: Any = self.spec.loader
        return loader.get_code(self.spec.name)


class _TorchFinder:
    """Finds `torch` in rushlight, and `torchmetrics` in `rushlight.metrics` where the package itself is missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, dot, rest = fullname.partition(".")
        home = _ALIASES.get(root)
        if home is None:
            return None
        if root == "torchmetrics":
            if not dot:
                installed = self._find_installed(fullname)
                if installed is not None:
                    return installed
            elif sys.modules.get(root) is not sys.modules.get(home):
                return None
        name = home + dot + rest
        parent, _, child = name.rpartition(".")
        # A name of torch that is not a module, such as the function `torch.tensor`, must stay what it is,
        # although a file of rushlight's may have the same name. To return None would let the next finder load it.
        if dot and not isinstance(vars(sys.modules.get(parent, sys)).get(child, sys), ModuleType):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        real = find_spec(name)
        if real is None:
            return None
        alias = ModuleSpec(fullname, _AliasLoader(real), origin=real.origin)  # type: ignore[arg-type]
        alias.submodule_search_locations = real.submodule_search_locations
        return alias

    def _find_installed(self, name: str) -> ModuleSpec | None:
        """The spec that the other finders have for `name`."""
        for finder in sys.meta_path:
            if finder is self:
                continue
            path = [entry for entry in sys.path if entry != SHIM] if finder is PathFinder else None
            found = finder.find_spec(name, path)
            if found is not None:
                return found
        return None


def install() -> None:
    """Make `import torch` import rushlight, here and in child processes; call it before the first `import torch`.

    `import torchmetrics` imports `rushlight.metrics` where torchmetrics itself is not installed. Calling it again does
    nothing. Raises ImportError if another torch is loaded already.

    >>> torch.install()
    >>> import torch as installed
    >>> installed is torch
    True
    """
    loaded = sys.modules.get("torch")
    if loaded is not None and loaded is not sys.modules[_HOME] and not _is_stub(loaded):
        raise ImportError(
            f"rushlight.install() must be called before the first `import torch`: PyTorch itself is already imported, "
            f"from {getattr(loaded, '__file__', None)}",
            name="torch",
        )
    if is_installed():
        return
    sys.meta_path.insert(0, _TorchFinder())  # type: ignore[arg-type]
    if SHIM not in sys.path:
        # Where Python would have put it, had PYTHONPATH been set when it started: after the program's own directory.
        sys.path.insert(1, SHIM)
    inherited = os.environ.get("PYTHONPATH", "")
    if SHIM not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = SHIM + os.pathsep + inherited if inherited else SHIM
    name_classes()


def is_installed() -> bool:
    return any(isinstance(finder, _TorchFinder) for finder in sys.meta_path)


_named: set[str] = set()


def name_classes() -> None:
    """Have the classes of all modules loaded so far say that they come from torch, as ``print(type(x))`` shows.

    A class keeps its name where nothing can be found under the other one, so that it can still be pickled.
    """
    from .serialization.names import find_torch_name, torch_name

    for name in [name for name in sys.modules if name.startswith(_HOME + ".") and name not in _named]:
        _named.add(name)
        for value in list(vars(sys.modules[name]).values()):
            if not isinstance(value, type) or value.__module__ != name or name.startswith(_OWN_NAMES):
                continue
            module, qualified = torch_name(value) or (name, "")
            if qualified != value.__qualname__:
                continue
            try:
                found = find_torch_name(module, qualified)
            except AttributeError:
                continue
            if found is value:
                value.__module__ = module


def _is_stub(module: ModuleType) -> bool:
    return (getattr(module, "__file__", None) or "").startswith(SHIM + os.sep)


def replace_stub(name: str) -> None:
    """Called by the stub `name` while it is being imported: put the module that it stands for in its place."""
    install()
    del sys.modules[name]
    importlib.import_module(name)
