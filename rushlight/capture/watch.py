"""Which code a captured function runs, and what that code names.

Trusted, and not looked into, is the code of this package, of what it is built on and of the standard library.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import types
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_PACKAGE_ITSELF = sys.modules[__name__.partition(".")[0]]
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = frozenset(("site-packages", "dist-packages"))
#: What this package calls of others, and what stands behind `import`.
_LIBRARIES = frozenset(("numpy", "scipy", "llvmlite", "ml_dtypes", "_distutils_hack"))


@functools.cache
def trusted_file(filename: str) -> bool:
    if filename.startswith((_PACKAGE, "<frozen ")):
        return True
    folders = filename.split(os.sep)
    for folder, inner in zip(folders, folders[1:], strict=False):
        if folder in _INSTALLED:
            return inner in _LIBRARIES
    return filename.startswith(_STANDARD)


def trusted_module(module: types.ModuleType | None) -> bool:
    """Whether a module of Python is one of this package, of NumPy or of the standard library."""
    if module is None:
        return False
    filename = module.__dict__.get("__file__")
    if not isinstance(filename, str):
        return module.__name__ in sys.stdlib_module_names
    return trusted_file(filename)


def trusted_class(cls: type) -> bool:
    name = cls.__module__
    # Once installed as torch, this package's classes say that they are torch's, also of modules that nobody has imported.
    return sys.modules.get(name.partition(".")[0]) is _PACKAGE_ITSELF or trusted_module(sys.modules.get(name))


def made_in_python(cls: type) -> bool:
    """Whether instances have no state but their attributes."""
    for base in cls.__mro__[:-1]:
        module = sys.modules.get(base.__module__)
        if module is not None and trusted_module(module) and not str(module.__dict__.get("__file__", "")).endswith(".py"):
            return False
    return True


class Watch:
    """Learns which code outside the trusted libraries runs on this thread while it is entered, which may be several times.

    Another profiler's function goes on being called.
    """

    def __init__(self) -> None:
        self.ran: dict[tuple[int, int], tuple[types.CodeType, dict[str, Any]]] = {}
        self.effects: dict[str, None] = {}  # functions of the standard library that ran and are more than their result

    def seen(self) -> int:
        """Grows when code runs that has not run before."""
        return len(self.ran) + len(self.effects)

    def __enter__(self) -> Watch:
        # What the garbage collector would call meanwhile is none of the function's business.
        self.collecting = gc.isenabled()
        gc.disable()
        self.previous = sys.getprofile()
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        previous, self.previous = self.previous, None
        if previous is None or callable(previous):
            sys.setprofile(previous)
        else:  # a profiler written in C
            sys.setprofile(None)
            previous.enable()
        if self.collecting:
            gc.enable()

    def _event(self, frame: types.FrameType, event: Any, arg: Any) -> None:
        if event == "call":
            code = frame.f_code
            names = frame.f_globals
            if not trusted_file(code.co_filename) and not _importing(frame.f_back) and not (code.co_filename == "<string>" and _made_by_library(names)):
                self.ran.setdefault((id(code), id(names)), (code, names))
        elif event == "c_call":
            owner = getattr(arg, "__self__", None)
            source = owner.__name__ if type(owner) is types.ModuleType else type(owner).__module__
            effectful = arg in _EFFECTS or source in _EFFECTFUL or (isinstance(owner, type) and arg.__name__ in _CLOCKS and owner.__module__ == "datetime")
            if effectful and _asked_by_user(frame):
                self.effects[arg.__qualname__ if source == "builtins" or not isinstance(owner, types.ModuleType) else f"{source}.{arg.__name__}"] = None
        if callable(self.previous):
            self.previous(frame, event, arg)


def _made_by_library(names: dict[str, Any]) -> bool:
    """Whether code from a string is the constructor of a namedtuple, or of a dataclass in a trusted module."""
    name = names.get("__name__", "")
    return name.startswith("namedtuple_") or trusted_module(sys.modules.get(name))


def _importing(frame: types.FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _asked_by_user(frame: types.FrameType | None) -> bool:
    """Whether code outside the trusted libraries has led here through the standard library alone, and not to import."""
    while frame is not None and trusted_file(frame.f_code.co_filename):
        if frame.f_code.co_filename.startswith(_PACKAGE) or frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back
    return frame is not None


#: Functions that do more than give a result that their arguments decide; modules and classes whose functions all do.
_EFFECTS = frozenset((print, input, open, os.urandom))
_EFFECTFUL = frozenset(("time", "random", "_io"))
_CLOCKS = frozenset(("now", "utcnow", "today"))
#: Where code names one of these it may read any attribute.
_DYNAMIC = frozenset(("getattr", "hasattr", "vars", "__dict__", "__getattribute__", "attrgetter", "asdict", "astuple", "replace", "copy", "deepcopy", "eval", "exec"))
_FORWARD = frozenset(("no_grad", "enable_grad", "set_grad_enabled", "is_grad_enabled", "requires_grad", "requires_grad_"))
_GLOBAL_ACCESS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"))


def _about_gradients(name: str) -> bool:
    return name in ("backward", "step", "unscale_") or ("grad" in name and name not in _FORWARD)


class Named:
    """What the code that has run names."""

    def __init__(self, watch: Watch, forward_only: bool = False) -> None:
        import dis

        ran = list(watch.ran.values())
        self.codes = {id(code) for code, _ in ran}
        self.attributes = frozenset(name for code, _ in ran for name in code.co_names)
        self.dynamic = not _DYNAMIC.isdisjoint(self.attributes)
        #: Whether `.grad` may be read or set: it is not guarded where a function only goes forward.
        self.gradients = self.dynamic or not (ran or forward_only) or any(map(_about_gradients, self.attributes))
        self.globals: dict[int, tuple[dict[str, Any], dict[str, None]]] = {}
        self.imported: dict[str, types.ModuleType] = {}
        #: Code of functions that are made while other code runs: what they close over belongs to that.
        self.inner = {id(constant) for code, _ in ran for constant in code.co_consts if isinstance(constant, types.CodeType)}
        self.outer = {id(code) for code, _ in ran if id(code) not in self.inner and (code.co_freevars or code.co_argcount)}
        self.reached: set[int] = set()
        self.hidden: list[types.FunctionType] = []
        for code, names in ran:
            _, found = self.globals.setdefault(id(names), (names, {}))
            for instruction in dis.get_instructions(code):
                if instruction.opname in _GLOBAL_ACCESS:
                    found[instruction.argval] = None
                elif instruction.opname == "IMPORT_NAME":
                    for name in (instruction.argval, f"{names.get('__package__')}.{instruction.argval}"):
                        if name in sys.modules:
                            self.imported[name] = sys.modules[name]

    def may_read(self, name: str) -> bool:
        return self.dynamic or name in self.attributes

    def find_hidden(self) -> None:
        """Look for functions that the code that ran is of and that no walk has reached."""
        import gc

        missing = self.outer - self.reached
        if missing:
            self.hidden = [o for o in gc.get_objects() if type(o) is types.FunctionType and id(o.__code__) in missing]


