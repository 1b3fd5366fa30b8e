"""The walk over all that a function reads in Python."""

from __future__ import annotations

import functools
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import getitem
from typing import Any, Generic, Protocol

import numpy as np

from ..devices import device
from ..nn import Module, hooks
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from ..storage import TensorBase
from ..tensor import Tensor
from .facts import (
    ATOMS,
    DEPTH_AT_MOST,
    MISSING,
    MODES,
    SCALARS,
    Changed,
    Fact,
    TooMuch,
    Unsupported,
    Words,
    canonical,
    current_modes,
    history,
    in_words,
    key_of,
    with_article,
)
from .quick import FIXED, Quick, picker
from .watch import Named, made_in_python, trusted_class, trusted_file, trusted_module

#: A walk that meets more than this is given up.
VALUES_AT_MOST = 20_000
#: NumPy arrays of up to so many elements are compared by their bytes.
ARRAY_AT_MOST = 64
#: Of the standard library, compared by what they show.
_SHOWN = frozenset(("datetime", "decimal", "fractions", "pathlib", "pathlib._local", "re", "uuid"))
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = (hooks.forward_pre_hooks, hooks.forward_hooks, hooks.backward_pre_hooks, hooks.full_backward_hooks, hooks.grad_fn_backward_hooks)
_MEMBERS = ("_parameters", "_buffers", "_modules")
_BOOKKEEPING = frozenset((*Module._HOOK_DICTS, *_MEMBERS, "_non_persistent_buffers_set", "_is_full_backward_hook"))
#: Classes whose own methods read no attributes of theirs that a subclass may have set.
_PLAIN_BASES = frozenset((*Module.__mro__, Generic, Protocol, object, dict, list, tuple, set, frozenset, deque, defaultdict, OrderedDict))
_PLAIN_NAMES = frozenset(("abc.ABC", "argparse.Namespace", "argparse._AttributeHolder", "types.SimpleNamespace"))
_CLASS_BOOKKEEPING = frozenset(("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__", "__slots__", "__orig_bases__", "_abc_impl"))


class Walk:
    """One walk over all that a function reads. With `expected`, the facts of an earlier one, `Changed` is raised at the first that differs."""

    def __init__(self, named: Named, expected: Sequence[Fact] | None = None) -> None:
        self.named = named
        self.expected = expected
        self.facts: list[Fact] = []
        self.quick = Quick(named.gradients)
        self.seen: dict[int, str] = {}  # objects by their first path
        self.kept: list[Any] = []  # so that no two objects have one id
        self.tensors: list[Any] = []  # of the arguments
        self.fixed: set[int] = set()
        self.owed: list[tuple[Any, str]] = []  # objects among the arguments whose contents belong to the second part
        self.of_arguments = True
        self.depth = self.count = 0

    def fact(self, path: str, aspect: str, value: Any, shown: Any) -> None:
        fact = Fact(path, aspect, value, shown)
        if self.expected is not None:
            if len(self.facts) >= len(self.expected):
                raise Changed(f"{path} is new")
            before = self.expected[len(self.facts)]
            if before.path != path or before.aspect != aspect:
                raise Changed(f"{path} is another value")
            if before.value != value:
                raise Changed(before.became(fact))
        self.facts.append(fact)

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> None:
        """The first part: what differs from call to call."""
        for name, mode in zip(MODES, current_modes(), strict=True):
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
            self.quick.none_in(registry)
        self.sources = self.quick.finish(self.tensors)
        paths = dict(self.seen)
        for tensor in self.sources if self.named.gradients else ():
            place = paths.get(id(tensor))
            if place is not None:
                self.gradient(tensor._grad, f"{place}.grad")
        if self.expected is not None and len(self.facts) < len(self.expected):
            before = self.expected[len(self.facts)]
            raise Changed(f"{before.path}: {in_words(before.shown)} became nothing")

    # What is met.

    def visit(self, value: Any, path: str, reread: Callable[[], Any] | None = None) -> None:
        """Whatever it is. `reread` reads it again, where it may be another tensor then."""
        self.count += 1
        if self.count > VALUES_AT_MOST:
            raise TooMuch(f"{path}: more than {VALUES_AT_MOST} values")
        if type(value) in SCALARS:
            self.fact(path, "", canonical(value), value)
            return
        if isinstance(value, TensorBase):
            self.tensor(value, path, reread)
            return
        if self.of_arguments:
            if isinstance(value, FIXED):
                self.fact(path, "", id(value), value)
                self.owed.append((value, path))
                return
        elif id(value) in self.seen:
            first = self.seen[id(value)]
            self.fact(path, "", ("same", first), Words(f"the same as {first}"))
            return
        else:
            self.seen[id(value)] = path
        self.kept.append(value)
        self.depth += 1
        if self.depth > DEPTH_AT_MOST:
            raise TooMuch(f"{path}: nested more than {DEPTH_AT_MOST} deep")
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
            self.fact(path, "", ("same", first), Words(f"the same as {first}"))
            return
        self.seen[id(tensor)] = path
        self.kept.append(tensor)
        self.fact(path, "", "tensor", Words("a tensor"))
        requires_grad, is_leaf = history(tensor)
        here = tensor._layout
        value = (type(tensor).__name__, list(here.shape), here.stride, here.dtype.name, requires_grad, is_leaf, tensor._inference)
        self.fact(path, "tensor", value, id(tensor))

    def gradient(self, gradient: Any, path: str) -> None:
        if gradient is None:
            self.fact(path, "", canonical(None), None)
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
        elif isinstance(value, ATOMS):
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
            self.fact(path, "", (kind.__name__, repr(value)), Words(repr(value)))
        elif isinstance(value, np.ndarray):
            self.array(value, path)
        elif isinstance(value, np.generic) and not value.dtype.hasobject:
            self.fact(path, "", (kind.__name__, value.tobytes()), Words(value))
        elif isinstance(value, weakref.ref):
            self.visit(value(), f"{path}()")
        elif kind.__module__ in _SHOWN:
            self.fact(path, "", (kind.__name__, repr(value)), Words(repr(value)))
        else:
            self.instance(value, path)

    def instance(self, value: Any, path: str) -> None:
        """An object of some class."""
        kind = type(value)
        for base in (int, float, str, bytes, complex):
            if isinstance(value, base):
                text = base.__repr__(value)
                self.fact(path, "", (id(kind), text), Words(text))
                break
        own = own_attributes(value)
        wrapped = own.get("__wrapped__")
        if wrapped is not None:
            self.visit(wrapped, path)
            if trusted_class(kind):
                return
        if not made_in_python(kind) or any(base.__module__.endswith("utils.data.dataloader") for base in kind.__mro__):
            raise Unsupported(f"{path}, {with_article(value)}")
        self.fact(path, "class", id(kind), kind)
        self.own(value, path)

    def own(self, value: Any, path: str) -> None:
        """The attributes of an object, and those of its class."""
        attributes = own_attributes(value)
        self.namespace(attributes, self.names_of(attributes, type(value)), f"{path}.")
        slots = slots_of(value)
        for name, held in slots.items():
            if held is not MISSING and self.named.may_read(name):
                self.guarded(name, held, f"{path}.{name}")
        if not self.of_arguments:
            self.quick.as_long(attributes)
            if slots:
                self.quick.read(_slot_values, value)
        self.class_of(value)

    def class_of(self, value: Any) -> None:
        cls = type(value)
        if not trusted_class(cls):
            if self.of_arguments:
                self.owed.append((cls, cls.__qualname__))
            else:
                self.visit(cls, cls.__qualname__)

    def names_of(self, attributes: dict[str, Any], cls: type) -> list[str]:
        """Those attributes that somebody may read: code by name, or methods of a library's class."""
        if any(base not in _PLAIN_BASES and f"{base.__module__}.{base.__name__}" not in _PLAIN_NAMES and trusted_class(base) for base in cls.__mro__):
            return list(attributes)
        return list(filter(self.named.may_read, attributes))

    def guarded(self, name: str, value: Any, path: str, reread: Callable[[], Any] | None = None) -> None:
        """The value of an attribute. One that no code names may be of any kind."""
        depth = self.depth
        try:
            self.visit(value, path, reread)
        except TooMuch:
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
                self.quick.items(namespace, fixed)
            if absent:
                self.quick.absent(namespace, absent)

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
        names: list[str] = [Words(repr(key) if type(key) in SCALARS else with_article(key)) for key in keys]
        self.fact(path, "keys", tuple(map(key_of, keys)), Words(f"[{', '.join(names)}]"))
        for name, item in zip(names, list(dict.values(value)), strict=True):
            self.visit(item, f"{path}[{name}]")
        if not self.of_arguments:
            self.quick.contents(value, functools.partial(dict.values, value))
            if type(value) is not dict and keys:
                self.quick.read(dict.keys, value)
        if isinstance(value, defaultdict):
            self.visit(value.default_factory, f"{path}.default_factory")
        if not trusted_class(type(value)):
            self.own(value, path)

    def array(self, value: np.ndarray, path: str) -> None:
        if value.size > ARRAY_AT_MOST or value.dtype.hasobject:
            raise Unsupported(f"{path}, a NumPy array: it may change unseen, make it a tensor")
        held = value.tobytes()
        self.fact(path, "", (value.dtype.str, value.shape, value.strides, held), Words(np.array2string(value, separator=", ")))
        if not self.of_arguments:
            self.quick.arrays.append((value, held))

    def python_module(self, module: types.ModuleType, path: str) -> None:
        self.fact(path, "", id(module), module)
        if not trusted_module(module):
            names = [name for name in list(module.__dict__) if name in self.named.attributes]
            self.namespace(module.__dict__, names, f"{path}.")
        elif module is np.random or (module is np and "random" in self.named.attributes):
            raise Unsupported("numpy.random: a replay would not draw from it")

    def klass(self, cls: type, path: str) -> None:
        self.fact(path, "", id(cls), cls)
        if trusted_class(cls) or issubclass(cls, Enum):
            return
        namespace = cls.__dict__
        methods = (types.FunctionType, classmethod, staticmethod, property, functools.cached_property)
        names = [
            name
            for name, value in list(namespace.items())
            if name not in _CLASS_BOOKKEEPING and (name in self.named.attributes or isinstance(value, methods))
        ]
        self.namespace(namespace, names, f"{cls.__qualname__}.")
        self.quick.as_long(namespace)
        for base in cls.__bases__:
            if not trusted_class(base):
                self.visit(base, base.__qualname__)

    def function(self, function: types.FunctionType, path: str) -> None:
        self.fact(path, "", id(function), function)
        code = function.__code__
        ran = id(code) in self.named.codes
        if not ran and not trusted_file(code.co_filename):
            return
        self.named.reached.add(id(code))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                self.fact(name, "", "empty", MISSING)
                continue
            # A trusted wrapper is of interest for what it wraps.
            if not ran and not isinstance(value, (*_FUNCTIONS, Module)):
                continue
            if type(value) is Tensor:
                self.visit(value, name, functools.partial(getattr, cell, "cell_contents"))
            else:
                self.quick.checks.slot(cell, "cell_contents")
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
            quick.none_in(registry)
        names = [name for name in self.names_of(attributes, type(module)) if name not in _BOOKKEEPING]
        if "training" in attributes and "training" not in names:
            names.append("training")
        for name in names:
            self.guarded(name, attributes[name], f"{path}.{name}")
        quick.attributes.append(functools.partial(picker([*_MEMBERS, *_HOOKS, *names]), attributes))
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
        self.quick.items(optimizer.__dict__, ["param_groups"])
        self.quick.contents(groups, groups.__iter__)
        for n, group in enumerate(groups):
            self.quick.items(group, ["params"])
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


def own_attributes(value: Any) -> dict[str, Any]:
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def slots_of(value: Any) -> dict[str, Any]:
    """What is in an object's `__slots__`."""
    found = {}
    for base in type(value).__mro__:
        for name, slot in base.__dict__.items():
            if type(slot) is types.MemberDescriptorType and made_in_python(base):
                try:
                    found[name] = slot.__get__(value)
                except AttributeError:
                    found[name] = MISSING
    return found


def _slot_values(value: Any) -> list[Any]:
    return list(slots_of(value).values())
