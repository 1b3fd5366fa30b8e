"""`rushlight run`: a program written for PyTorch, run unmodified, as plain Python would run it but with rushlight as torch."""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

from .install import install

_Program = tuple[CodeType, dict[str, Any]]  # and what its module's attributes are

USAGE = """\
usage: rushlight run script.py [arguments]
       rushlight run -m module [arguments]
       rushlight --version

Runs a program written for PyTorch, unmodified. `import torch` gives rushlight, in the program and in the processes
that it starts; so does `import torchmetrics` where torchmetrics is not installed."""


def main(argv: list[str] | None = None) -> None:
    """The command `rushlight`; `argv` is what follows its name."""
    arguments = sys.argv[1:] if argv is None else argv
    match arguments:
        case ["--version" | "-V"]:
            from . import version

            print(f"rushlight {version.rushlight} (PyTorch {version.__version__.partition('+')[0]})")
        case ["run", "-m", module, *rest]:
            run_module(module, rest)
        case ["run", script, *rest] if not script.startswith("-"):
            run_path(script, rest)
        case ["--help" | "-h"] | ["run", "--help" | "-h"]:
            print(USAGE)
        case _:
            print(USAGE, file=sys.stderr)
            sys.exit(2)


def run_path(path: str, arguments: list[str]) -> None:
    """Run a source file, a .pyc file, or a directory or zip file that has a `__main__.py`, like ``python path``."""
    sys.argv = [path, *arguments]
    absolute = os.path.join(os.getcwd(), path)  # not normalised, as in Python
    if os.path.isdir(path) or _is_zip(path):
        _replace_first_path(absolute)
        install()
        _execute(lambda: _load_module("__main__", f"can't find '__main__' module in {absolute!r}"))
    else:
        _replace_first_path(os.path.dirname(os.path.realpath(path)))
        install()
        _execute(lambda: _load_file(absolute))


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module, or a package's `__main__`, like ``python -m name``."""
    sys.argv = ["-m", *arguments]
    _replace_first_path(os.getcwd())
    install()

    def load() -> _Program:
        code, attributes = _load_module(name, f"No module named {name}")
        sys.argv[0] = attributes["__file__"]
        return code, attributes

    _execute(load)


def _load_file(path: str) -> _Program:
    loader: Any
    try:
        if path.endswith(".pyc"):
            loader = SourcelessFileLoader("__main__", path)
            code = loader.get_code("__main__")
        else:
            # Not `get_code`, which would leave a cache file beside the script.
            loader = SourceFileLoader("__main__", path)
            code = loader.source_to_code(loader.get_data(path), path)
    except OSError as error:
        _exit_with(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", 2)
    return code, {"__file__": path, "__cached__": None, "__loader__": loader, "__package__": None, "__spec__": None}


def _load_module(name: str, missing: str) -> _Program:
    spec = _find(name, missing)
    if spec.submodule_search_locations is not None:
        inner = f"{name}.__main__"
        spec = _find(inner, f"No module named {inner}; {name!r} is a package and cannot be directly executed")
    loader: Any = spec.loader
    code = loader.get_code(spec.name)
    if code is None:
        _exit_with(f"No code object available for {spec.name}")
    return code, {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }


def _find(name: str, missing: str) -> ModuleSpec:
    parent = name.rpartition(".")[0]
    if parent:
        try:
            importlib.import_module(parent)
        except ImportError as error:
            # What is missing is the module asked for, reported below, or something that its package needs.
            if error.name is None or not (parent + ".").startswith(error.name + "."):
                raise
    # While this program is `__main__`, asking for a module of that name would find this program.
    runner = sys.modules.pop(name) if name == "__main__" else None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        hint = f". Try using '{name[:-3]}' instead of '{name}' as the module name." if name.endswith(".py") else ""
        _exit_with(f"Error while finding module specification for {name!r} ({type(error).__name__}: {error}){hint}")
    finally:
        if runner is not None:
            sys.modules[name] = runner
    if spec is None:
        _exit_with(missing)
    return spec


def _execute(load: Callable[[], _Program]) -> None:
    """Run a program as the module `__main__`. An exception that ends it is shown from its own first frame on."""
    try:
        code, attributes = load()
        module = ModuleType("__main__")
        vars(module).update(attributes, __builtins__=builtins, __annotations__={})
        sys.modules["__main__"] = module
        exec(code, vars(module))
    except SystemExit:
        raise
    except BaseException as error:
        _show_from(error, _own_frames_skipped(error.__traceback__))
        raise


def _own_frames_skipped(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen importlib"):
            break
        traceback = traceback.tb_next
    return traceback


def _show_from(failure: BaseException, traceback: TracebackType | None) -> None:
    """Have the interpreter, which prints `failure` when it ends, start at `traceback`."""
    hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, full: TracebackType | None) -> None:
        if error is failure:
            full = error.__traceback__ = traceback
        hook(kind, error, full)

    sys.excepthook = show


def _replace_first_path(entry: str) -> None:
    """Put `entry` where Python puts the directory of what it runs, in place of the runner's own."""
    if not sys.flags.safe_path:
        sys.path[0] = entry


def _is_zip(path: str) -> bool:
    if not os.path.isfile(path) or path.endswith((".py", ".pyc")):
        return False
    import zipfile

    return zipfile.is_zipfile(path)


def _exit_with(message: str, code: int = 1) -> NoReturn:
    print(f"{sys.executable}: {message}", file=sys.stderr)
    sys.exit(code)
