"""What a captured function reads in Python, and a quick check that it is still the same.

A replay is right only where everything that the function read is as it was when it was recorded. `Watch` learns which code the
function runs; `Guards` walks over all that this code can reach: arguments, closures, the globals and attributes that it names,
modules, plain objects, containers. What the walk finds is a list of *facts*, such as "self.scale" being 2.0, and the *sources*,
which are the tensors. Of a source the layout, `requires_grad`, being a leaf and which other source it is the same object as are
facts; its values, its offset and, where names lead to it, which tensor it is are not.

To walk again and compare is always right, but takes tens of microseconds or more. So each walk also leaves a `_Quick`: flat lists of objects
and of what they held, compared by identity in C loops. Where these agree the walk would find the same; where not, it decides.
The quick check relies on this: attributes of an `nn.Module` are set in the ordinary way (`nn.module.changes` counts them; what is written
straight into a module's `__dict__` is not noticed), and code, defaults and bases of functions and classes stay.
Two Linear layers cost 3 us, a transformer of four blocks with gradients 25 us.

Trusted, and not looked into, is the code of this package, of NumPy and of the standard library. No method of an unknown object is called.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import chain
from operator import attrgetter, call, getitem, is_, itemgetter, methodcaller
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np

from .. import dtypes as dt, settings
from ..devices import device
from ..graph import Node, grad_state, refresh_view
from ..memory_formats import layout as memory_layout, memory_format
from ..nn import Module, Parameter, hooks, module as nn_module
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from ..random import Generator
from ..shape import Size
from ..storage import TensorBase
from ..tensor import Tensor

#: A walk that meets more than this, or goes deeper, is given up.
VALUES_AT_MOST, DEPTH_AT_MOST = 20_000, 100
#: NumPy arrays of up to so many elements are compared by their bytes.
ARRAY_AT_MOST = 64


class Unsupported(Exception):
    """Why a function cannot be captured; the message names the object by its path: ``model.cache, a generator``."""


class _TooMuch(Unsupported):
    """There is more to look at than a check before each call could bear."""


class _Changed(Exception):
    """The walk has met something that was different; in words."""


# Code: which of it runs, which is trusted, what it names.

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = frozenset(("site-packages", "dist-packages"))
#: What this package calls of others, and what stands behind `import`.
_LIBRARIES = frozenset(("numpy", "scipy", "llvmlite", "ml_dtypes", "_distutils_hack"))


@functools.cache
def _trusted_file(filename: str) -> bool:
    if filename.startswith((_PACKAGE, "<frozen ")):
        return True
    folders = filename.split(os.sep)
    for folder, inner in zip(folders, folders[1:], strict=False):
        if folder in _INSTALLED:
            return inner in _LIBRARIES
    return filename.startswith(_STANDARD)


def _trusted_module(module: types.ModuleType | None) -> bool:
    """Whether a module of Python is one of this package, of NumPy or of the standard library."""
    if module is None:
        return False
    filename = module.__dict__.get("__file__")
    if not isinstance(filename, str):
        return module.__name__ in sys.stdlib_module_names
    return _trusted_file(filename)


def _trusted_class(cls: type) -> bool:
    return _trusted_module(sys.modules.get(cls.__module__))


def _made_in_python(cls: type) -> bool:
    """Whether instances have no state but their attributes."""
    for base in cls.__mro__[:-1]:
        module = sys.modules.get(base.__module__)
        if module is not None and _trusted_module(module) and not str(module.__dict__.get("__file__", "")).endswith(".py"):
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

    def _event(self, frame: types.FrameType, event: Any, arg: Any) -> None:
        if event == "call":
            code = frame.f_code
            names = frame.f_globals
            if not _trusted_file(code.co_filename) and not _importing(frame.f_back) and not (code.co_filename == "<string>" and _made_by_library(names)):
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
    return name.startswith("namedtuple_") or _trusted_module(sys.modules.get(name))


def _importing(frame: types.FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _asked_by_user(frame: types.FrameType | None) -> bool:
    """Whether code outside the trusted libraries has led here through the standard library alone, and not to import."""
    while frame is not None and _trusted_file(frame.f_code.co_filename):
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


class _Named:
    """What the code that has run names."""

    def __init__(self, watch: Watch) -> None:
        import dis

        ran = list(watch.ran.values())
        self.codes = {id(code) for code, _ in ran}
        self.attributes = frozenset(name for code, _ in ran for name in code.co_names)
        self.dynamic = not _DYNAMIC.isdisjoint(self.attributes)
        #: Whether `.grad` may be read or set: it is not guarded where a function only goes forward.
        self.gradients = self.dynamic or not ran or any(map(_about_gradients, self.attributes))
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


# Facts.


class _Fact(NamedTuple):
    """`value` is made of built-in types only, so that comparing calls nobody's code; `shown` is for the words."""

    path: str
    aspect: str
    value: Any
    shown: Any

    def became(self, now: _Fact) -> str:
        aspect, before, after = self.aspect, self.shown, now.shown
        if aspect == "tensor":
            aspect, before, after = next(both for both in zip(_TENSOR_ASPECTS, self.value, now.value, strict=True) if both[1] != both[2])
        return f"{self.path}: {aspect and aspect + ' '}{_words(before)} became {_words(after)}"


_TENSOR_ASPECTS = ("class", "shape", "stride", "dtype", "requires_grad", "is_leaf", "inference")


class _Words(str):
    """Said as it is."""

    __slots__ = ()


def _words(value: Any) -> str:
    if isinstance(value, _Words):
        return value
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return value.__qualname__
    if isinstance(value, types.ModuleType):
        return f"the module {value.__name__}"
    kind = type(value)
    if kind in _SCALARS or kind in (tuple, list, device, dt.dtype):
        text = repr(value)
        return text if len(text) <= 80 else text[:77] + "..."
    return "another " + kind.__name__ if isinstance(value, Module) else _a(value)


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


_SCALARS = frozenset((int, float, bool, str, bytes, complex, type(None)))
#: Of one value for ever, or the user of which reads no state: known by identity.
_ATOMS = (
    dt.dtype, memory_format, memory_layout, Generator, Node, Enum, np.dtype, np.ufunc, types.CodeType, types.EllipsisType, types.NotImplementedType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.GenericAlias, types.UnionType, attrgetter, itemgetter, methodcaller, type(np.sum),
)  # fmt: skip
#: Of the standard library, compared by what they show.
_SHOWN = frozenset(("datetime", "decimal", "fractions", "pathlib", "pathlib._local", "re", "uuid"))
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def _canonical(value: Any) -> Any:
    """A scalar with its type, such that different values differ: 0.0 from -0.0, True from 1; nan is nan."""
    if isinstance(value, float):
        return type(value).__name__, float.hex(value)
    if isinstance(value, complex):
        return type(value).__name__, value.real.hex(), value.imag.hex()
    return type(value).__name__, value


def _key(value: Any, depth: int = 0) -> Any:
    """What stands for a key of a dictionary."""
    if type(value) in _SCALARS:
        return _canonical(value)
    if type(value) is tuple and depth < DEPTH_AT_MOST:
        return tuple([_key(v, depth + 1) for v in value])
    return type(value).__name__, id(value)


def _modes() -> tuple[Any, ...]:
    modes = grad_state.__dict__
    return modes["enabled"], modes["inference"], dt._default, settings._deterministic, modes["anomaly"], modes["saved_hooks"], modes.get("autocast")


_MODES = ("grad mode", "inference mode", "default dtype", "deterministic algorithms", "anomaly detection", "hooks on saved tensors", "autocast")


def _history(tensor: Any) -> tuple[bool, bool]:
    """Whether a tensor requires grad, and whether it is a leaf."""
    if tensor._base is not None:
        refresh_view(tensor)
    return tensor._requires_grad, tensor._node is None


def _slots(value: Any) -> dict[str, Any]:
    """What is in an object's `__slots__`."""
    found = {}
    for base in type(value).__mro__:
        for name, slot in base.__dict__.items():
            if type(slot) is types.MemberDescriptorType and _made_in_python(base):
                try:
                    found[name] = slot.__get__(value)
                except AttributeError:
                    found[name] = _MISSING
    return found


# The quick check.

_tensor_state = attrgetter("_layout", "_requires_grad", "_node")
_gradient = attrgetter("_grad")
_contents = attrgetter("cell_contents")
_TENSORS = frozenset((Tensor, Parameter))
_FIXED = (Module, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, Optimizer, LRScheduler, *_ATOMS)


def flatten(values: Iterable[Any], tensors: list[Any], rest: list[Any]) -> bool:
    """Tensors, and what else is in arguments, such that equal lists mean equal arguments. False: it takes a walk to tell."""
    for value in values:
        kind = type(value)
        rest.append(kind)
        if kind in _TENSORS:
            tensors.append(value)
        elif kind is float or kind is complex:
            rest.append(_canonical(value))
        elif kind in _SCALARS:
            rest.append(value)
        elif kind is device:
            rest.append(str(value))
        elif kind is tuple or kind is list or kind is Size:
            rest.append(len(value))
            if not flatten(value, tensors, rest):
                return False
        elif kind is dict:
            rest.append([_key(key) for key in value])
            if not flatten(value.values(), tensors, rest):
                return False
        elif isinstance(value, _FIXED):
            rest.append(id(value))
        else:
            return False
    return True


def _picker(names: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    return itemgetter(*names) if len(names) > 1 else itemgetter(names[0], names[0])


class _Quick:
    """What a walk has found, as lists to compare. Tensors that cells, globals and attributes hold may be others of the same state."""

    def __init__(self, gradients: bool) -> None:
        self.gradients = gradients
        self.stamp = nn_module.changes[0]
        self.attributes: list[Callable[[], Iterable[Any]]] = []  # of modules: compared where the stamp has changed
        self.attribute_values: list[Any] = []
        self.attribute_dicts: list[dict[str, Any]] = []
        self.empty: list[Any] = []
        self.sized: list[Any] = []
        self.reads: list[Callable[[], Iterable[Any]]] = []
        self.values: list[Any] = []
        self.cells: list[Any] = []
        self.cell_values: list[Any] = []
        self.absent: list[Callable[[], bool]] = []  # names that must not be there
        self.arrays: list[tuple[np.ndarray, bytes]] = []
        self.loose: list[Callable[[], Any]] = []  # read a tensor, which may be another each time
        self.states: list[tuple[Any, ...]] = []  # of tensors of arguments and of `loose`
        self.fixed: list[Any] = []  # tensors that the lists above have shown to be the same; leaves, then others
        self.others: list[Any] = []

    def read(self, getter: Callable[[Any], Iterable[Any]], owner: Any) -> None:
        """Whatever `getter` reads from `owner` must be the same objects."""
        self.reads.append(functools.partial(getter, owner))
        self.values.extend(getter(owner))

    def contents(self, container: Any, values: Callable[[], Iterable[Any]]) -> None:
        """A container must have the same values in the same order."""
        if container:
            self.sized.append(container)
            self.reads.append(values)
            self.values.extend(values())
        else:
            self.empty.append(container)

    def state(self, tensor: Any) -> None:
        self.states.append((type(tensor), tensor._layout, *_history(tensor), tensor._inference))

    def finish(self, tensors: Sequence[Any]) -> list[Any]:
        """All sources. `tensors` are those of the arguments."""
        self.attribute_sizes = list(map(len, self.attribute_dicts))
        self.sizes = list(map(len, self.sized))
        leaves = [t for t in self.fixed if _history(t)[1]]
        self.others = [(t, t._layout, t._requires_grad) for t in self.fixed if t._node is not None]
        self.views = [t for t in leaves if t._base is not None]
        self.leaves, self.leaf_states = leaves, list(map(_tensor_state, leaves))
        found = [*tensors, *map(call, self.loose), *leaves, *(t for t, _, _ in self.others)]
        self.pattern = _pattern(found)
        distinct = _distinct(found)
        gradients: list[Any] = []
        if self.gradients:
            self.gradient_types = list(map(type, map(_gradient, distinct)))
            gradients = [g for g in map(_gradient, distinct) if g is not None]
            for gradient in gradients:
                _history(gradient)
            self.gradient_states = list(map(_tensor_state, gradients))
        self.all_differ = len(distinct) == len(found) and len({*map(id, distinct), *map(id, gradients)}) == len(distinct) + len(gradients)
        self.gradient_pattern = _pattern([*distinct, *gradients])
        self.fixed_ids = frozenset(map(id, self.fixed))
        return _distinct([*distinct, *gradients])

    def sources(self, tensors: list[Any]) -> list[Any] | None:
        """The sources now, or None where something may have changed. `tensors` are those of the arguments."""
        try:
            if self.stamp != nn_module.changes[0]:
                stamp = nn_module.changes[0]
                if list(map(len, self.attribute_dicts)) != self.attribute_sizes:
                    return None
                if not all(map(is_, chain.from_iterable(map(call, self.attributes)), self.attribute_values)):
                    return None
                self.stamp = stamp
            if any(self.empty) or list(map(len, self.sized)) != self.sizes:
                return None
            if not all(map(is_, chain.from_iterable(map(call, self.reads)), self.values)):
                return None
            if self.cells and not all(map(is_, map(_contents, self.cells), self.cell_values)):
                return None
            if self.absent and not all(map(call, self.absent)):
                return None
            found = [*tensors, *map(call, self.loose)]
        except (KeyError, IndexError, AttributeError, ValueError, RuntimeError):
            return None
        for array, held in self.arrays:
            if array.tobytes() != held:
                return None
        if len(found) != len(self.states):
            return None
        for tensor, (kind, layout, requires_grad, is_leaf, inference) in zip(found, self.states, strict=True):
            if type(tensor) is not kind:
                return None
            if tensor._base is not None:
                refresh_view(tensor)
            if tensor._layout is not layout or tensor._requires_grad is not requires_grad or (tensor._node is None) is not is_leaf:
                return None
            if tensor._inference is not inference:
                return None
        for tensor in self.views:
            refresh_view(tensor)
        if list(map(_tensor_state, self.leaves)) != self.leaf_states:
            return None
        found += self.leaves
        for tensor, layout, requires_grad in self.others:
            if tensor._layout is not layout or tensor._requires_grad is not requires_grad or tensor._node is None:
                return None
            found.append(tensor)
        if not self.all_differ:
            if _pattern(found) != self.pattern:
                return None
            found = _distinct(found)
        gradients: list[Any] = []
        if self.gradients:
            gradients = list(map(_gradient, found))
            if list(map(type, gradients)) != self.gradient_types:
                return None
            if self.gradient_states:
                gradients = [g for g in gradients if g is not None]
                if list(map(_tensor_state, gradients)) != self.gradient_states:
                    return None
            else:
                gradients = []
        movable = len(self.states)
        if self.all_differ:
            # Those that are fixed differ from each other, so that only the others are to be looked at.
            ids = {*map(id, found[:movable]), *map(id, gradients)}
            return found + gradients if len(ids) == movable + len(gradients) and self.fixed_ids.isdisjoint(ids) else None
        found += gradients
        return _distinct(found) if _pattern(found) == self.gradient_pattern else None


def _pattern(tensors: Sequence[Any]) -> list[int]:
    """Which of them are one object."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(t), len(numbers)) for t in tensors]


def _distinct(tensors: Sequence[Any]) -> list[Any]:
    return list({id(t): t for t in tensors}.values())


# The walk.

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = (hooks.forward_pre_hooks, hooks.forward_hooks, hooks.backward_pre_hooks, hooks.full_backward_hooks, hooks.grad_fn_backward_hooks)
_MEMBERS = ("_parameters", "_buffers", "_modules")
_BOOKKEEPING = frozenset((*Module._HOOK_DICTS, *_MEMBERS, "_non_persistent_buffers_set", "_is_full_backward_hook"))
#: Classes whose own methods read no attributes of theirs that a subclass may have set.
_PLAIN_BASES = frozenset((*Module.__mro__, Generic, Protocol, object, dict, list, tuple, set, frozenset, deque, defaultdict, OrderedDict))
_PLAIN_NAMES = frozenset(("abc.ABC", "argparse.Namespace", "argparse._AttributeHolder", "types.SimpleNamespace"))
_CLASS_BOOKKEEPING = frozenset(("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__", "__slots__", "__orig_bases__", "_abc_impl"))
_MISSING = _Words("nothing")


class _Walk:
    """One walk over all that a function reads. With `expected`, the facts of an earlier one, `_Changed` is raised at the first that differs."""

    def __init__(self, named: _Named, expected: Sequence[_Fact] | None = None) -> None:
        self.named = named
        self.expected = expected
        self.facts: list[_Fact] = []
        self.quick = _Quick(named.gradients)
        self.seen: dict[int, str] = {}  # objects by their first path
        self.kept: list[Any] = []  # so that no two objects have one id
        self.tensors: list[Any] = []  # of the arguments
        self.fixed: set[int] = set()
        self.owed: list[tuple[Any, str]] = []  # objects among the arguments whose contents belong to the second part
        self.of_arguments = True
        self.depth = self.count = 0

    def fact(self, path: str, aspect: str, value: Any, shown: Any) -> None:
        fact = _Fact(path, aspect, value, shown)
        if self.expected is not None:
            if len(self.facts) >= len(self.expected):
                raise _Changed(f"{path} is new")
            before = self.expected[len(self.facts)]
            if before.path != path or before.aspect != aspect:
                raise _Changed(f"{path} is another value")
            if before.value != value:
                raise _Changed(before.became(fact))
        self.facts.append(fact)

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> None:
        """The first part: what differs from call to call."""
        for name, mode in zip(_MODES, _modes(), strict=True):
            self.fact(name, "", id(mode), mode)
        self.fact("the arguments", "number", (len(args), tuple(kwargs)), [len(args), *kwargs])
        for n, value in enumerate(args):
            self.visit(value, names[n] if n < len(names) else f"args[{n}]")
        for name, value in kwargs.items():
            self.visit(value, name)

    def surroundings(self, function: Any) -> None:
        """The second part: what is there beside arguments, and the gradients of all."""
        self.of_arguments = False
        for value, path in self.owed:
            self.visit(value, path)
        self.root(function)
        for names, wanted in self.named.globals.values():
            self.namespace(names, list(wanted), "")
        for name, module in self.named.imported.items():
            self.visit(module, name)
        self.hidden_functions()
        for registry in _GLOBAL_HOOKS:
            if registry:
                raise Unsupported("hooks on all modules")
            self.quick.empty.append(registry)
        self.sources = self.quick.finish(self.tensors)
        paths = dict(self.seen)
        for tensor in self.sources if self.named.gradients else ():
            place = paths.get(id(tensor))
            if place is not None:
                self.gradient(tensor._grad, f"{place}.grad")
        if self.expected is not None and len(self.facts) < len(self.expected):
            before = self.expected[len(self.facts)]
            raise _Changed(f"{before.path}: {_words(before.shown)} became nothing")

    # What is met.

    def visit(self, value: Any, path: str, reread: Callable[[], Any] | None = None) -> None:
        """Whatever it is. `reread` reads it again, where it may be another tensor then."""
        self.count += 1
        if self.count > VALUES_AT_MOST:
            raise _TooMuch(f"{path}: more than {VALUES_AT_MOST} values")
        if type(value) in _SCALARS:
            self.fact(path, "", _canonical(value), value)
            return
        if isinstance(value, TensorBase):
            self.tensor(value, path, reread)
            return
        if self.of_arguments:
            if isinstance(value, _FIXED):
                self.fact(path, "", id(value), value)
                self.owed.append((value, path))
                return
        elif id(value) in self.seen:
            first = self.seen[id(value)]
            self.fact(path, "", ("same", first), _Words(f"the same as {first}"))
            return
        else:
            self.seen[id(value)] = path
        self.kept.append(value)
        self.depth += 1
        if self.depth > DEPTH_AT_MOST:
            raise _TooMuch(f"{path}: nested more than {DEPTH_AT_MOST} deep")
        self.enter(value, path)
        self.depth -= 1

    def tensor(self, tensor: Any, path: str, reread: Callable[[], Any] | None = None) -> None:
        if self.of_arguments:
            self.tensors.append(tensor)
            self.quick.state(tensor)
        elif reread is not None:
            self.quick.loose.append(reread)
            self.quick.state(tensor)
        elif id(tensor) not in self.fixed:
            self.fixed.add(id(tensor))
            self.quick.fixed.append(tensor)
        self.source(tensor, path)

    def source(self, tensor: Any, path: str) -> None:
        if id(tensor) in self.seen:
            first = self.seen[id(tensor)]
            self.fact(path, "", ("same", first), _Words(f"the same as {first}"))
            return
        self.seen[id(tensor)] = path
        self.kept.append(tensor)
        self.fact(path, "", "tensor", _Words("a tensor"))
        requires_grad, is_leaf = _history(tensor)
        here = tensor._layout
        value = (type(tensor).__name__, list(here.shape), here.stride, here.dtype.name, requires_grad, is_leaf, tensor._inference)
        self.fact(path, "tensor", value, id(tensor))

    def gradient(self, gradient: Any, path: str) -> None:
        if gradient is None:
            self.fact(path, "", _canonical(None), None)
        else:
            self.source(gradient, path)

    def enter(self, value: Any, path: str) -> None:
        kind = type(value)
        if isinstance(value, Module):
            self.module(value, path)
        elif kind is types.FunctionType:
            self.function(value, path)
        elif kind is types.MethodType:
            self.visit(value.__func__, path)
            self.visit(value.__self__, f"{path}.__self__")
        elif isinstance(value, functools.partial):
            self.visit(value.func, f"{path}.func")
            self.visit(value.args, f"{path}.args")
            self.visit(value.keywords, f"{path}.keywords")
        elif kind is types.BuiltinFunctionType:
            self.fact(path, "", id(value), value)
            if not isinstance(value.__self__, (types.ModuleType, type, types.NoneType)):
                self.visit(value.__self__, f"{path}.__self__")
        elif isinstance(value, type):
            self.klass(value, path)
        elif isinstance(value, types.ModuleType):
            self.python_module(value, path)
        elif isinstance(value, Optimizer):
            self.optimizer(value, path)
        elif isinstance(value, LRScheduler):
            self.fact(path, "", id(value), value)
            self.namespace(value.__dict__, ["last_epoch", "_step_count"], f"{path}.")
        elif isinstance(value, _ATOMS):
            self.fact(path, "", id(value), value)
        elif isinstance(value, (classmethod, staticmethod)):
            self.visit(value.__func__, path)
        elif isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                self.visit(part, path)
        elif isinstance(value, dict):
            self.dictionary(value, path)
        elif isinstance(value, (tuple, list, deque, set, frozenset)):
            self.sequence(value, path)
        elif isinstance(value, (device, range, slice)):
            self.fact(path, "", (kind.__name__, repr(value)), _Words(repr(value)))
        elif isinstance(value, np.ndarray):
            self.array(value, path)
        elif isinstance(value, np.generic) and not value.dtype.hasobject:
            self.fact(path, "", (kind.__name__, value.tobytes()), _Words(value))
        elif isinstance(value, weakref.ref):
            self.visit(value(), f"{path}()")
        elif kind.__module__ in _SHOWN:
            self.fact(path, "", (kind.__name__, repr(value)), _Words(repr(value)))
        else:
            self.instance(value, path)

    def instance(self, value: Any, path: str) -> None:
        """An object of some class."""
        kind = type(value)
        for base in (int, float, str, bytes, complex):
            if isinstance(value, base):
                text = base.__repr__(value)
                self.fact(path, "", (id(kind), text), _Words(text))
                break
        own = _own(value)
        wrapped = own.get("__wrapped__")
        if wrapped is not None:
            self.visit(wrapped, path)
            if _trusted_class(kind):
                return
        if not _made_in_python(kind) or any(base.__module__.endswith("utils.data.dataloader") for base in kind.__mro__):
            raise Unsupported(f"{path}, {_a(value)}")
        self.fact(path, "class", id(kind), kind)
        self.own(value, path)

    def own(self, value: Any, path: str) -> None:
        """The attributes of an object, and those of its class."""
        attributes = _own(value)
        self.namespace(attributes, self.names_of(attributes, type(value)), f"{path}.")
        slots = _slots(value)
        for name, held in slots.items():
            if held is not _MISSING and self.named.may_read(name):
                self.guarded(name, held, f"{path}.{name}")
        if not self.of_arguments:
            self.quick.sized.append(attributes)
            if slots:
                self.quick.read(_slot_values, value)
        self.class_of(value)

    def class_of(self, value: Any) -> None:
        cls = type(value)
        if not _trusted_class(cls):
            if self.of_arguments:
                self.owed.append((cls, cls.__qualname__))
            else:
                self.visit(cls, cls.__qualname__)

    def names_of(self, attributes: dict[str, Any], cls: type) -> list[str]:
        """Those attributes that somebody may read: code by name, or methods of a library's class."""
        if any(base not in _PLAIN_BASES and f"{base.__module__}.{base.__name__}" not in _PLAIN_NAMES and _trusted_class(base) for base in cls.__mro__):
            return list(attributes)
        return list(filter(self.named.may_read, attributes))

    def guarded(self, name: str, value: Any, path: str, reread: Callable[[], Any] | None = None) -> None:
        """The value of an attribute. One that no code names may be of any kind."""
        depth = self.depth
        try:
            self.visit(value, path, reread)
        except _TooMuch:
            raise
        except Unsupported:
            if name in self.named.attributes:
                raise
            self.depth = depth

    def namespace(self, namespace: Mapping[str, Any], names: Sequence[str], prefix: str) -> None:
        """What stands under names, if anything does."""
        fixed, absent = [], []
        for name in names:
            if name not in namespace:
                absent.append(name)
                continue
            value = namespace[name]
            if type(value) is Tensor and not self.of_arguments:
                self.guarded(name, value, prefix + name, functools.partial(getitem, namespace, name))
            else:
                fixed.append(name)
                self.guarded(name, value, prefix + name)
        if not self.of_arguments:
            if fixed:
                self.quick.read(_picker(fixed), namespace)
            if absent:
                self.quick.absent.append(functools.partial(namespace.keys().isdisjoint, absent))

    def sequence(self, value: Any, path: str) -> None:
        base: Any = next(base for base in (tuple, list, deque, set, frozenset) if isinstance(value, base))
        self.fact(path, "class", id(type(value)), type(value))
        self.fact(path, "length", base.__len__(value), base.__len__(value))
        for n, item in enumerate(base.__iter__(value)):
            self.visit(item, f"{path}[{n}]")
        if not self.of_arguments and base not in (tuple, frozenset):
            self.quick.contents(value, functools.partial(base.__iter__, value))
        if type(value) is not base and base is not tuple:
            self.own(value, path)

    def dictionary(self, value: Any, path: str) -> None:
        self.fact(path, "class", id(type(value)), type(value))
        keys = list(dict.keys(value))
        names: list[str] = [_Words(repr(key) if type(key) in _SCALARS else _a(key)) for key in keys]
        self.fact(path, "keys", tuple(map(_key, keys)), _Words(f"[{', '.join(names)}]"))
        for name, item in zip(names, list(dict.values(value)), strict=True):
            self.visit(item, f"{path}[{name}]")
        if not self.of_arguments:
            self.quick.contents(value, functools.partial(dict.values, value))
            if keys:
                self.quick.read(dict.keys, value)
        if isinstance(value, defaultdict):
            self.visit(value.default_factory, f"{path}.default_factory")
        if not _trusted_class(type(value)):
            self.own(value, path)

    def array(self, value: np.ndarray, path: str) -> None:
        if value.size > ARRAY_AT_MOST or value.dtype.hasobject:
            raise Unsupported(f"{path}, a NumPy array: it may change unseen, make it a tensor")
        held = value.tobytes()
        self.fact(path, "", (value.dtype.str, value.shape, value.strides, held), _Words(np.array2string(value, separator=", ")))
        if not self.of_arguments:
            self.quick.arrays.append((value, held))

    def python_module(self, module: types.ModuleType, path: str) -> None:
        self.fact(path, "", id(module), module)
        if not _trusted_module(module):
            names = [name for name in list(module.__dict__) if name in self.named.attributes]
            self.namespace(module.__dict__, names, f"{path}.")
        elif module is np.random or (module is np and "random" in self.named.attributes):
            raise Unsupported("numpy.random: a replay would not draw from it")

    def klass(self, cls: type, path: str) -> None:
        self.fact(path, "", id(cls), cls)
        if _trusted_class(cls) or issubclass(cls, Enum):
            return
        namespace = cls.__dict__
        methods = (types.FunctionType, classmethod, staticmethod, property, functools.cached_property)
        names = [
            name
            for name, value in list(namespace.items())
            if name not in _CLASS_BOOKKEEPING and (name in self.named.attributes or isinstance(value, methods))
        ]
        self.namespace(namespace, names, f"{cls.__qualname__}.")
        self.quick.sized.append(namespace)
        for base in cls.__bases__:
            if not _trusted_class(base):
                self.visit(base, base.__qualname__)

    def function(self, function: types.FunctionType, path: str) -> None:
        self.fact(path, "", id(function), function)
        code = function.__code__
        ran = id(code) in self.named.codes
        if not ran and not _trusted_file(code.co_filename):
            return
        self.named.reached.add(id(code))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                self.fact(name, "", "empty", _MISSING)
                continue
            # A trusted wrapper is of interest for what it wraps.
            if not ran and not isinstance(value, (*_FUNCTIONS, Module)):
                continue
            if type(value) is Tensor:
                self.visit(value, name, functools.partial(getattr, cell, "cell_contents"))
            else:
                self.quick.cells.append(cell)
                self.quick.cell_values.append(value)
                self.visit(value, name)
        if ran:
            for n, value in enumerate(function.__defaults__ or ()):
                self.visit(value, f"{path}.__defaults__[{n}]")
            if function.__kwdefaults__:
                self.visit(function.__kwdefaults__, f"{path}.__kwdefaults__")
            attributes = function.__dict__
            self.namespace(attributes, [n for n in attributes if n in self.named.attributes], f"{path}.")

    def module(self, module: Module, path: str) -> None:
        quick = self.quick
        attributes = module.__dict__
        self.fact(path, "", id(module), module)
        self.fact(f"{path}.training", "", attributes.get("training"), attributes.get("training"))
        for name in _HOOKS:
            registry = attributes[name]
            if registry:
                raise Unsupported(f"{path}, which has hooks")
            quick.empty.append(registry)
        names = [name for name in self.names_of(attributes, type(module)) if name not in _BOOKKEEPING]
        if "training" in attributes and "training" not in names:
            names.append("training")
        for name in names:
            self.guarded(name, attributes[name], f"{path}.{name}")
        quick.attributes.append(functools.partial(_picker([*_MEMBERS, *_HOOKS, *names]), attributes))
        quick.attribute_values += quick.attributes[-1]()
        quick.attribute_dicts.append(attributes)
        for name in _MEMBERS:
            members = attributes[name]
            self.fact(path, name[1:], tuple(members), list(members))
            quick.contents(members, members.values)
            for key, member in members.items():
                self.visit(member, f"{path}.{key}")
        self.class_of(module)

    def optimizer(self, optimizer: Optimizer, path: str) -> None:
        """Its step is not captured: what matters are the tensors whose gradients it may drop."""
        self.fact(path, "", id(optimizer), optimizer)
        groups = optimizer.param_groups
        if "param_groups" in self.named.attributes:
            self.visit(groups, f"{path}.param_groups")
            return
        self.quick.read(_picker(["param_groups"]), optimizer.__dict__)
        self.quick.contents(groups, groups.__iter__)
        for n, group in enumerate(groups):
            self.quick.read(_picker(["params"]), group)
            self.visit(group["params"], f"{path}.param_groups[{n}]['params']")

    def root(self, function: Any) -> None:
        """The captured function itself."""
        if isinstance(function, types.MethodType):
            self.root(function.__func__)
            self.visit(function.__self__, "self")
        elif isinstance(function, functools.partial):
            self.root(function.func)
            self.visit(function.args, "args")
            self.visit(function.keywords, "keywords")
        elif isinstance(function, types.FunctionType):
            self.named.codes.add(id(function.__code__))
            self.visit(function, function.__qualname__)
        else:
            self.visit(function, "self")

    def hidden_functions(self) -> None:
        """Functions that ran and that no path leads to, such as those that a C function has been given."""
        for function in self.named.hidden:
            self.visit(function, function.__qualname__)


def _own(value: Any) -> dict[str, Any]:
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def _slot_values(value: Any) -> list[Any]:
    return list(_slots(value).values())


def _argument_names(function: Any) -> tuple[str, ...]:
    """The names of positional parameters, as far as they can be known."""
    if isinstance(function, types.FunctionType):
        return function.__code__.co_varnames[: function.__code__.co_argcount]
    if isinstance(function, types.MethodType):
        return _argument_names(function.__func__)[1:]
    if isinstance(function, functools.partial):
        return _argument_names(function.func)[len(function.args) :]
    return _argument_names(getattr(type(function), "forward" if isinstance(function, Module) else "__call__", None))[1:]


# Guards.


class Guards:
    """All that a call of a function reads, as it is now.

    `tensors` are the sources: those of the arguments, those found elsewhere, then the gradients of both, each once. The list is let go at the first
    `changed`, so that the tensors of one call do not live as long as the guards.
    """

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], watch: Watch) -> None:
        for effect in watch.effects:
            raise Unsupported(f"{effect}: a replay would not call it")
        self.function = function
        self.names = _argument_names(function)
        self.named = _Named(watch)
        walk = self._walk(args, kwargs)
        self.named.find_hidden()
        if self.named.hidden:
            walk = self._walk(args, kwargs)
        self.facts = walk.facts
        self.quick = walk.quick
        self.modes = _modes()
        tensors: list[Any] = []
        self.rest: list[Any] = []
        self.flat = self._flatten(args, kwargs, tensors, self.rest)
        self.tensors: list[Tensor] = walk.sources
        self.gradient_ids = [id(t._grad) for t in self.tensors]
        self._found: Any = None

    def _walk(self, args: Sequence[Any], kwargs: Mapping[str, Any], expected: Sequence[_Fact] | None = None) -> _Walk:
        walk = _Walk(self.named, expected)
        walk.arguments(args, kwargs, self.names)
        walk.surroundings(self.function)
        return walk

    @staticmethod
    def _flatten(args: Sequence[Any], kwargs: Mapping[str, Any], tensors: list[Any], rest: list[Any]) -> bool:
        rest.append(len(args))
        try:
            if not kwargs:
                return flatten(args, tensors, rest)
            rest.append([*kwargs])
            return flatten(args, tensors, rest) and flatten(kwargs.values(), tensors, rest)
        except RecursionError:
            return False

    def changed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """What is different from when the guards were made, in words; None if nothing is."""
        if self.tensors:
            self.tensors = []
        if _modes() == self.modes:
            tensors: list[Any] = []
            rest: list[Any] = []
            try:
                if not (self.flat and self._flatten(args, kwargs, tensors, rest) and rest == self.rest):
                    walk = _Walk(self.named, self.facts)
                    walk.arguments(args, kwargs, self.names)
                    tensors = walk.tensors
                sources = self.quick.sources(tensors)
                if sources is None:
                    walk = self._walk(args, kwargs, self.facts)
                    self.quick, sources = walk.quick, walk.sources
            except (_Changed, Unsupported) as reason:
                return str(reason)
            self._found = (threading.get_ident(), args, kwargs, sources)
            return None
        return next(
            f"{name}: {_words(before)} became {_words(now)}" for name, before, now in zip(_MODES, self.modes, _modes(), strict=True) if before != now
        )

    def sources(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The sources of a call for which nothing has `changed`, in the order of `tensors`."""
        found, self._found = self._found, None
        if found is not None and found[0] == threading.get_ident() and found[1] is args and found[2] is kwargs:
            return found[3]
        return self._walk(args, kwargs).sources

    def differences(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
        """All that is different now. Here it counts too whether a tensor is the same object.

        Gradients are listed like all else, under paths that end in ".grad".
        """
        try:
            now = {(fact.path, fact.aspect): fact for fact in self._walk(args, kwargs).facts}
        except Unsupported as reason:
            return [f"{reason}: it was not there before"]
        if not self.named.gradients and [id(t._grad) for t in self.tensors] != self.gradient_ids:
            return ["gradients, which it does not name"]
        before = {(fact.path, fact.aspect): fact for fact in self.facts}
        nothing = _Fact("", "", None, _MISSING)
        found: dict[str, None] = {}
        for place in [*before, *(place for place in now if place not in before)]:
            old, new = before.get(place), now.get(place)
            if old is None or new is None:
                words = (old or nothing._replace(path=place[0])).became(new or nothing) if place[1] != "tensor" else None
            elif old.value != new.value:
                words = old.became(new)
            elif place[1] == "tensor" and old.shown != new.shown:
                words = f"{place[0]}: another tensor"
            else:
                words = None
            if words is not None:
                found[words] = None
        return list(found)
