"""`torch.overrides`: classes that are asked before a function runs on their instances, by ``__torch_function__``.

A call with nothing but ordinary tensors must not pay for this. So no function asks, until the first subclass of Tensor that wants to be
asked is defined, a mode is entered, or a value of another class with ``__torch_function__`` is met by an operator, a pointwise function or
loss, `sum`, `mean`, `cat`, `stack`, `matmul` or `linear`. From then on all public functions ask: the code of each is put behind a look at
its arguments. The function objects stay the ones they are, since programs have them under names of their own and as keys of dictionaries.
(A program with no such subclass whose first call with a value of its own class is to yet another function is told that it must be a Tensor.)

>>> torch.overrides.is_tensor_like(torch.ones(1))
True
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any, Self

from . import dtypes, shape, tape
from .errors import NoOverride
from .graph import grad_state
from .nn.parameter import Buffer, Parameter
from .ops.matmul import matmul, product_of_tensors
from .storage import TensorBase
from .tensor import Tensor, _disabled_torch_function_impl

__all__ = [
    "BaseTorchFunctionMode",
    "TorchFunctionMode",
    "get_default_nowrap_functions",
    "get_ignored_functions",
    "get_overridable_functions",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]


class _Asking(threading.local):
    """Per thread: who is asked. What is on the path of every call reads `__dict__` once (graph.GradState)."""

    def __init__(self) -> None:
        self.subclasses = True
        self.modes_too = True
        self.modes: tuple[TorchFunctionMode, ...] = ()


asking = _Asking()
#: The modes that are open in any thread.
_open_modes: list[TorchFunctionMode] = []

#: Arguments of these types are not looked at any further.
_ORDINARY = frozenset((Tensor, Parameter, Buffer, int, float, bool, complex, str, type(None), dtypes.dtype, shape.Size))


def _overrides(value: Any) -> bool:
    return getattr(type(value), "__torch_function__", _disabled_torch_function_impl) is not _disabled_torch_function_impl


def _overriding(values: Iterable[Any]) -> list[Any]:
    """Those among the values and the elements of lists among them that are to be asked, one of each class, subclasses first."""
    found: list[Any] = []
    for value in values:
        if type(value) in _ORDINARY:
            continue
        for each in value if isinstance(value, (list, tuple)) else (value,):
            kind = type(each)
            if kind in _ORDINARY or not _overrides(each):
                continue
            if not found:
                found.append(each)
            elif all(type(other) is not kind for other in found):
                before = next((n for n, other in enumerate(found) if issubclass(kind, type(other))), len(found))
                found.insert(before, each)
    return found


def _refuse(public: Callable[..., Any], asked: Sequence[Any]) -> NoOverride:
    name = resolve_name(public) or str(getattr(public, "__name__", public))
    if name.startswith("torch.nn.functional."):
        return NoOverride(f"no implementation found for '{name}' on types that implement __torch_function__: {[type(value) for value in asked]}")
    who = "\n".join(f"  - {'mode object ' + repr(v) if isinstance(v, TorchFunctionMode) else f'tensor subclass {type(v)}'}" for v in asked)
    return NoOverride(f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n{who}\n\nFor more information, try re-running with TORCH_LOGS=not_implemented")


def _dispatch(public: Callable[..., Any], overriding: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """What the innermost mode, or else the first class that knows the function, makes of the call."""
    tape.not_replayed("a subclass or a mode is asked by __torch_function__")
    types = tuple([type(value) for value in overriding])
    asked: list[Any] = []
    if asking.modes and asking.modes_too:
        mode = asking.modes[-1]
        with _without_innermost_mode():
            found = mode.__torch_function__(public, types, args, kwargs)
        if found is not NotImplemented:
            return found
        asked.append(mode)
    for value in overriding:
        method = value.__torch_function__
        if getattr(method, "__self__", None) is value:
            warnings.warn("Defining your `__torch_function__` as a plain method is deprecated and will be an error in future, please define it as a classmethod.", stacklevel=4)
        found = method(public, types, args, kwargs)
        if found is not NotImplemented:
            return found
        asked.append(value)
    raise _refuse(public, asked)


def _entrance(public: Callable[..., Any], plain: Callable[..., Any], subclasses: bool) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """What stands before the code of a public function. subclasses: whether it asks classes, or modes alone."""

    def enter(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for value in args:
            if type(value) not in _ORDINARY:
                break
        else:
            if not kwargs and not _open_modes:
                return plain(*args)
        state = asking.__dict__
        modes = state["modes"] if state["modes_too"] else ()
        if not modes and not state["subclasses"]:
            return plain(*args, **kwargs)
        overriding = _overriding((*args, *kwargs.values()) if kwargs else args) if subclasses and state["subclasses"] else []
        if not overriding and not modes:
            if subclasses:
                return plain(*args, **kwargs)
            with DisableTorchFunctionSubclass():
                return plain(*args, **kwargs)
        if grad_state.backward_pass is not None and tape.thread.position is not None:
            return plain(*args, **kwargs)  # inside a gradient rule nobody is asked
        return _dispatch(public, overriding, args, kwargs or None)

    return enter


def _behind_entrance(*args: Any, _enter: Any, **kwargs: Any) -> Any:
    return _enter(args, kwargs)


def _ask_first(function: FunctionType, public: Callable[..., Any], subclasses: bool = True) -> None:
    """Put the code of a function behind its entrance. public: what ``__torch_function__`` is told that was called."""
    plain = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    plain.__kwdefaults__ = function.__kwdefaults__
    plain.__dict__.update(function.__dict__)
    function.__dict__["__wrapped__"] = plain  # for `inspect.signature`
    function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), "_enter": _entrance(public, plain, subclasses)}
    # A function's code must have as many free variables as the function has cells.
    code = function.__code__
    function.__code__ = _behind_entrance.__code__.replace(co_freevars=code.co_freevars, co_name=code.co_name)


_asks = False
_lock = threading.RLock()


def ask_first() -> bool:
    """From now on all public functions ask the classes of their arguments first. Whether they have not so far."""
    global _asks
    with _lock:
        if _asks:
            return False
        _asks = True
        done: set[int] = set()
        for _, name, function, public in _public_functions():
            if id(function) not in done:
                done.add(id(function))
                _ask_first(function, public, name not in _MODES_ONLY)
        _ask_first(product_of_tensors, matmul)  # type: ignore[arg-type]
    return True


_NAMESPACES = ("", "nn.functional", "linalg", "fft", "special", "nn.init")
#: Functions that give new tensors from values: what these values are is not asked.
_MODES_ONLY = frozenset(("tensor", "as_tensor", "asarray"))
#: What public functions that nobody is asked about begin with, and those that are named in full.
_NEVER_PREFIXES = ("_", "set_", "get_", "use_", "are_", "autocast_", "clear_")
_NEVER = frozenset((
    "broadcast_shapes", "can_cast", "explain", "from_dlpack", "from_file", "from_numpy", "frombuffer", "initial_seed", "install",
    "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled",
    "is_deterministic_algorithms_warn_only_enabled", "is_grad_enabled", "is_inference_mode_enabled", "is_installed", "is_storage", "is_tensor",
    "load", "manual_seed", "name_classes", "promote_types", "report", "save", "seed", "typename", "vmap", "compile", "calculate_gain",
))  # fmt: skip
#: Attributes of the class Tensor that are not asked about, beside those that begin with one underscore.
_NOT_METHODS = frozenset(("__new__", "__init_subclass__", "__torch_function__", "__iter__", "__dir__", "__delitem__", "as_subclass"))


def _public_functions() -> Iterator[tuple[Any, str, FunctionType, Callable[..., Any]]]:
    """``(namespace, name, function, what is told)`` of all functions, methods and properties that ask."""
    home = __name__.rpartition(".")[0]
    for space in _NAMESPACES:
        module = importlib.import_module(f"{home}.{space}" if space else home)
        for name, value in list(vars(module).items()):
            if type(value) is FunctionType and name not in _NEVER and not name.startswith(_NEVER_PREFIXES):
                yield module, name, value, value
    for kind in Tensor.__mro__[: Tensor.__mro__.index(TensorBase)]:
        for name, value in list(vars(kind).items()):
            if name in _NOT_METHODS or (name.startswith("_") and not name.startswith("__") and name not in ("_version", "_is_view")):
                continue
            if isinstance(value, property):
                for getter, told in ((value.fget, value.__get__), (value.fset, value.__set__)):
                    if type(getter) is FunctionType:
                        yield Tensor, name, getter, told
            elif type(value) is FunctionType and not value.__module__.endswith(".operators"):  # operators call functions, which ask
                yield Tensor, name, value, value


def _convert(found: Any, cls: type) -> Any:
    """A result of ordinary tensors as one of `cls`."""
    if isinstance(found, TensorBase):
        return found if isinstance(found, cls) else found.as_subclass(cls)  # type: ignore[attr-defined]
    if isinstance(found, (tuple, list)):
        parts = [_convert(part, cls) for part in found]
        return type(found)(*parts) if hasattr(found, "_replace") else type(found)(parts)  # type: ignore[call-arg]
    return found


def default(cls: type, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """`Tensor.__torch_function__`: run the function without asking anybody, and give its result the class."""
    for kind in types:
        if not issubclass(cls, kind):
            return NotImplemented
    state = asking.__dict__  # as the switch below does it
    before, state["subclasses"] = state["subclasses"], False
    try:
        found = func(*args, **kwargs) if kwargs else func(*args)
    finally:
        state["subclasses"] = before
    if isinstance(found, (TensorBase, tuple, list)) and func not in get_default_nowrap_functions():
        return _convert(found, cls)
    return found


# Switches


class _Switch:
    """A block in which somebody is not asked."""

    _modes_too: bool

    def __enter__(self) -> None:
        self._before = asking.subclasses, asking.modes_too
        asking.subclasses, asking.modes_too = False, asking.modes_too and self._modes_too

    def __exit__(self, *_: object) -> None:
        asking.subclasses, asking.modes_too = self._before


class DisableTorchFunctionSubclass(_Switch):
    """In the block no class is asked; modes are."""

    _modes_too = True


class DisableTorchFunction(_Switch):
    """In the block nobody is asked."""

    _modes_too = False


@contextlib.contextmanager
def _without_innermost_mode() -> Iterator[None]:
    before = asking.modes
    asking.modes = before[:-1]
    try:
        yield
    finally:
        asking.modes = before


class TorchFunctionMode:
    """A block in which ``__torch_function__`` of this object is asked before any class, also about functions that take no tensors.

    >>> class Names(torch.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Names():
    ...     x = torch.zeros(2)
    zeros
    """

    def __torch_function__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Self:
        ask_first()
        asking.modes = (*asking.modes, self)
        _open_modes.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _open_modes.remove(self)
        asking.modes = asking.modes[:-1]

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Self:
        """Deprecated: the mode itself."""
        warnings.warn("`Mode.push()` is no longer necessary and can be replaced with just `with Mode()`", stacklevel=2)
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that lets everything pass."""

    def __torch_function__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        return func(*args, **(kwargs or {}))


# For functions of one's own


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether some argument, or a mode, is to be asked by `handle_torch_function`.

    >>> torch.overrides.has_torch_function((torch.ones(1), 2))
    False
    """
    if asking.modes and asking.modes_too:
        return True
    return asking.subclasses and bool(_overriding([tuple(relevant_args)]))


def has_torch_function_unary(relevant_arg: Any) -> bool:
    """`has_torch_function` for one argument.

    >>> torch.overrides.has_torch_function_unary(torch.ones(1))
    False
    """
    return has_torch_function((relevant_arg,))


def has_torch_function_variadic(*relevant_args: Any) -> bool:
    """`has_torch_function`, the arguments one by one.

    >>> torch.overrides.has_torch_function_variadic(torch.ones(1), 2)
    False
    """
    return has_torch_function(relevant_args)


def handle_torch_function(public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """What the classes of the relevant arguments, or a mode, make of ``public_api(*args, **kwargs)``; a TypeError if none knows it."""
    overriding = _overriding([tuple(relevant_args)]) if asking.subclasses else []
    return _dispatch(public_api, overriding, args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function so that it asks first. dispatcher: gives its relevant arguments, from all of them.

    >>> @torch.overrides.wrap_torch_function(lambda a: (a,))
    ... def double(a):
    ...     return a + a
    >>> double(torch.ones(1))
    tensor([2.])
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            return handle_torch_function(wrapped, relevant, *args, **kwargs) if has_torch_function(relevant) else function(*args, **kwargs)

        return wrapped

    return decorate


# What there is


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a Tensor or of a class with ``__torch_function__``.

    >>> torch.overrides.is_tensor_like(torch.ones(1)), torch.overrides.is_tensor_like([1.0])
    (True, False)
    """
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


@functools.cache
def get_default_nowrap_functions() -> set[Callable[..., Any]]:
    """Functions whose results `Tensor.__torch_function__` leaves as they are.

    >>> torch.Tensor.grad.__get__ in torch.overrides.get_default_nowrap_functions()
    True
    """
    own: Any = Tensor
    return {own.grad.__get__}


@functools.cache
def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """For each namespace, and for the class Tensor, the functions that ask.

    >>> torch.add in torch.overrides.get_overridable_functions()[torch]
    True
    """
    found: dict[Any, list[Callable[..., Any]]] = {}
    for space, _, _, public in _public_functions():
        found.setdefault(space, []).append(public)
    return found


@functools.cache
def get_ignored_functions() -> set[Callable[..., Any]]:
    """Public functions that do not ask.

    >>> torch.is_tensor in torch.overrides.get_ignored_functions()
    True
    """
    asked = {public for functions in get_overridable_functions().values() for public in functions}
    modules = [space for space in get_overridable_functions() if isinstance(space, ModuleType)]
    return {value for module in modules for name, value in vars(module).items() if isinstance(value, FunctionType) and not name.startswith("_")} - asked  # type: ignore[return-value]


@functools.cache
def _names() -> dict[Callable[..., Any], str]:
    found: dict[Callable[..., Any], str] = {}
    for space, name, _, public in _public_functions():
        home = "torch.Tensor" if space is Tensor else "torch" + space.__name__.partition(".")[1] + space.__name__.partition(".")[2]
        accessor = "" if type(public) is FunctionType else f".{public.__name__}"
        found.setdefault(public, f"{home}.{name}{accessor}")
    return found


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The full name of a function that asks.

    >>> torch.overrides.resolve_name(torch.mean)
    'torch.mean'
    """
    return _names().get(f)


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function that asks is an attribute of the class Tensor.

    >>> torch.overrides.is_tensor_method_or_property(torch.Tensor.backward)
    True
    """
    return func in set(get_overridable_functions()[Tensor]) or getattr(func, "__name__", "") == "__get__"
