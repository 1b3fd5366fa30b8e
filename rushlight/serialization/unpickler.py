"""The unpickler of ``torch.load(weights_only=True)``: it runs a pickle that can do no harm, and refuses any other.

A pickle is a program. This interprets the instructions that tensors, numbers, strings and containers need, looks
globals up in a list of names instead of importing them, and calls nothing that is not on that list.
Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#weights-only
"""

from __future__ import annotations

import functools
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from struct import unpack
from typing import IO, Any

from . import names

#: Modules whose members are refused even when the user allows them.
_BLOCKED_MODULES = ("sys", "os", "posix", "nt")

SafeGlobal = Callable[..., Any] | tuple[Callable[..., Any], str]

_marked_safe: set[SafeGlobal] = set()


def add_safe_globals(safe_globals: list[SafeGlobal]) -> None:
    """Let ``torch.load(weights_only=True)`` call or build these functions and classes, or (object, full name) pairs.

    >>> torch.serialization.add_safe_globals([range])
    >>> torch.serialization.get_safe_globals()
    [<class 'range'>]
    >>> torch.serialization.clear_safe_globals()
    """
    global _marked_safe
    _marked_safe = _marked_safe | set(safe_globals)


def get_safe_globals() -> list[SafeGlobal]:
    """What the user has marked as safe.

    >>> torch.serialization.get_safe_globals()
    []
    """
    return list(_marked_safe)


def clear_safe_globals() -> None:
    """Forget all that the user has marked as safe.

    >>> torch.serialization.clear_safe_globals()
    >>> torch.serialization.get_safe_globals()
    []
    """
    global _marked_safe
    _marked_safe = set()


class safe_globals:
    """Mark globals as safe for ``torch.load(weights_only=True)`` inside a ``with`` block.

    >>> import fractions, io
    >>> file = io.BytesIO()
    >>> torch.save(fractions.Fraction(1, 3), file)
    >>> _ = file.seek(0)
    >>> with torch.serialization.safe_globals([fractions.Fraction]):
    ...     torch.load(file)
    Fraction(1, 3)
    """

    def __init__(self, safe_globals: list[SafeGlobal]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exc: object) -> None:
        global _marked_safe
        _marked_safe = _marked_safe - set(self.safe_globals)


@functools.cache
def allowed_globals() -> dict[str, Any]:
    """What every file may name, by full name."""
    from _codecs import encode

    from ..nn.parameter import Parameter

    plain = {
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": Counter,
        "_codecs.encode": encode,  # what protocol 2 builds bytes with
        "builtins.bytearray": bytearray,
        "builtins.set": set,
        "builtins.complex": complex,
        "torch.nn.parameter.Parameter": Parameter,
    }
    unsafe = ("_load_from_bytes", "Generator")
    return plain | {f"{module}.{name}": value for (module, name), value in names.moved().items() if name not in unsafe}


@functools.cache
def _allowed_ids() -> frozenset[int]:
    return frozenset(map(id, allowed_globals().values()))


def user_allowed_globals() -> dict[str, Any]:
    """What the user has marked as safe, by full name."""
    found: dict[str, Any] = {}
    for marked in _marked_safe:
        if isinstance(marked, tuple):
            if len(marked) != 2:
                raise ValueError(
                    f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(marked)}"
                )
            value, name = marked
            if type(name) is not str:
                raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(name)}")
            found[name] = value
        else:
            found[names.full_name(marked)] = marked
    return found


def _is_allowed(value: Any) -> bool:
    return id(value) in _allowed_ids() or any(value is allowed for allowed in user_allowed_globals().values())


def _python3_name(module: str, name: str) -> tuple[str, str]:
    """Protocol 2 names builtins as Python 2 did."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def unsafe_globals(file: IO[bytes]) -> set[str]:
    """The full names of the globals in a pickle that are not allowed, without running it."""
    from pickletools import genops

    found = set()
    for opcode, argument, _ in genops(file):
        if opcode.code == "c":
            module, _, name = str(argument).partition(" ")
            found.add(".".join(_python3_name(module, name)))
        elif opcode.code.encode("latin1") not in _HANDLERS and opcode.code != ".":
            raise UnpicklingError(f"Unsupported operand {ord(opcode.code)}")
    return found - allowed_globals().keys() - user_allowed_globals().keys()


class Unpickler:
    """Reads one pickle from `file`; `persistent_load` gives the storages."""

    def __init__(
        self, file: IO[bytes], persistent_load: Callable[[Any], Any] | None = None, *, encoding: str = "bytes"
    ) -> None:
        self.read = file.read
        self.readline = file.readline
        self.encoding = encoding
        self.memo: dict[int, Any] = {}
        self.stack: list[Any] = []
        self.outer_stacks: list[list[Any]] = []
        self._persistent_load = persistent_load

    def load(self) -> Any:
        """The object; raises `pickle.UnpicklingError` for whatever is not allowed."""
        while True:
            code = self.read(1)
            if not code:
                raise EOFError
            if code == pickle.STOP:
                return self.stack.pop()
            handler = _HANDLERS.get(code)
            if handler is None:
                raise UnpicklingError(f"Unsupported operand {code[0]}")
            handler(self)

    def pop_to_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.outer_stacks.pop()
        return items

    def find_global(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module in _BLOCKED_MODULES:
            raise UnpicklingError(f"Trying to load unsupported GLOBAL {full} whose module {module} is blocked.")
        for known in (allowed_globals(), user_allowed_globals()):
            if full in known:
                return known[full]
        shown = full.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default. "
            f"Please use `torch.serialization.add_safe_globals([{shown}])` or the "
            f"`torch.serialization.safe_globals([{shown}])` context manager to allowlist this global "
            "if you trust this class/function."
        )

    def persistent_load(self, saved_id: Any) -> Any:
        if type(saved_id) not in (tuple, int):
            raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(saved_id)}")
        if type(saved_id) is tuple and saved_id and saved_id[0] not in ("storage", b"storage"):
            raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {type(saved_id[0])}")
        if self._persistent_load is None:
            raise UnpicklingError("unsupported persistent id encountered")
        return self._persistent_load(saved_id)


def load(file: IO[bytes], *, encoding: str = "ASCII") -> Any:
    return Unpickler(file, encoding=encoding).load()


# One function per instruction.


def _global(u: Unpickler) -> None:
    module, name = (u.readline()[:-1].decode("utf-8") for _ in range(2))
    u.stack.append(u.find_global(*_python3_name(module, name)))


def _new_object(u: Unpickler) -> None:
    from ..nn.parameter import Parameter

    args, cls = u.stack.pop(), u.stack.pop()
    if cls is Parameter:
        u.stack.append(Parameter(*args))
    elif isinstance(cls, type) and _is_allowed(cls):
        u.stack.append(cls.__new__(cls, *args))
    else:
        raise UnpicklingError(
            f"Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got {cls}"
        )


def _reduce(u: Unpickler) -> None:
    args, function = u.stack.pop(), u.stack[-1]
    if not _is_allowed(function):
        message = f"Trying to call reduce for unrecognized function {function}"
        if hasattr(function, "__self__"):
            message += f" which belongs to {function.__self__}"
        raise UnpicklingError(message)
    u.stack[-1] = function(*args)


def _build(u: Unpickler) -> None:
    state, instance = u.stack.pop(), u.stack[-1]
    if type(instance) is OrderedDict:
        instance.__dict__.update(state)
    elif not _is_allowed(type(instance)):
        raise UnpicklingError(
            "Can only build Tensor, Parameter, OrderedDict or types allowlisted "
            f"via `add_safe_globals`, but got {type(instance)}"
        )
    elif hasattr(instance, "__setstate__"):
        instance.__setstate__(state)
    else:
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if attributes:
            instance.__dict__.update(attributes)
        for name, value in (slots or {}).items():
            setattr(instance, name, value)


def _list_on_top(u: Unpickler, verb: str) -> list[Any]:
    found = u.stack[-1]
    if type(found) is not list:
        raise UnpicklingError(f"Can only {verb} lists, but got {type(found)}")
    return found


def _append(u: Unpickler) -> None:
    item = u.stack.pop()
    _list_on_top(u, "append to").append(item)


def _appends(u: Unpickler) -> None:
    items = u.pop_to_mark()
    _list_on_top(u, "extend").extend(items)


def _dict_on_top(u: Unpickler, opcode: str) -> dict[Any, Any]:
    found = u.stack[-1]
    if type(found) not in (dict, OrderedDict, Counter):
        raise UnpicklingError(
            f"Can only {opcode} for dict, collections.OrderedDict, collections.Counter, but got {type(found)}"
        )
    return found


def _set_item(u: Unpickler) -> None:
    value, key = u.stack.pop(), u.stack.pop()
    _dict_on_top(u, "SETITEM")[key] = value


def _set_items(u: Unpickler) -> None:
    items = u.pop_to_mark()
    target = _dict_on_top(u, "SETITEMS")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key] = value


def _mark(u: Unpickler) -> None:
    u.outer_stacks.append(u.stack)
    u.stack = []


def _tuple(u: Unpickler) -> None:
    items = u.pop_to_mark()
    u.stack.append(tuple(items))


def _tuple_of(count: int) -> Callable[[Unpickler], None]:
    def handler(u: Unpickler) -> None:
        u.stack[-count:] = [tuple(u.stack[-count:])]

    return handler


def _push(make: Callable[[], Any]) -> Callable[[Unpickler], None]:
    return lambda u: u.stack.append(make())


def _number(form: str, size: int) -> Callable[[Unpickler], None]:
    return lambda u: u.stack.append(unpack(form, u.read(size))[0])


def _long(u: Unpickler) -> None:
    u.stack.append(pickle.decode_long(u.read(u.read(1)[0])))  # type: ignore[attr-defined]


def _text(u: Unpickler) -> None:
    (length,) = unpack("<I", u.read(4))
    u.stack.append(str(u.read(length), "utf-8", "surrogatepass"))


def _short_bytes(u: Unpickler) -> None:
    data = u.read(u.read(1)[0])
    u.stack.append(data if u.encoding == "bytes" else data.decode(u.encoding, "strict"))


def _persistent_id(u: Unpickler) -> None:
    u.stack.append(u.persistent_load(u.stack.pop()))


def _get(form: str, size: int) -> Callable[[Unpickler], None]:
    return lambda u: u.stack.append(u.memo[unpack(form, u.read(size))[0]])


def _put(form: str, size: int) -> Callable[[Unpickler], None]:
    def handler(u: Unpickler) -> None:
        u.memo[unpack(form, u.read(size))[0]] = u.stack[-1]

    return handler


def _protocol(u: Unpickler) -> None:
    (version,) = u.read(1)
    if version != 2:
        import warnings

        warnings.warn(
            f"Detected pickle protocol {version} in the checkpoint, which was "
            "not the default pickle protocol used by `torch.load` (2). The weights_only "
            "Unpickler might not support all instructions implemented by this protocol, "
            "please file an issue for adding support if you encounter this.",
            stacklevel=4,
        )


_HANDLERS: dict[bytes, Callable[[Unpickler], None]] = {
    pickle.GLOBAL: _global,
    pickle.NEWOBJ: _new_object,
    pickle.REDUCE: _reduce,
    pickle.BUILD: _build,
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items,
    pickle.MARK: _mark,
    pickle.TUPLE: _tuple,
    pickle.TUPLE1: _tuple_of(1),
    pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3),
    pickle.NONE: _push(lambda: None),
    pickle.NEWFALSE: _push(lambda: False),
    pickle.NEWTRUE: _push(lambda: True),
    pickle.EMPTY_TUPLE: _push(tuple),
    pickle.EMPTY_LIST: _push(list),
    pickle.EMPTY_DICT: _push(dict),
    pickle.EMPTY_SET: _push(set),
    pickle.BININT: _number("<i", 4),
    pickle.BININT1: _number("<B", 1),
    pickle.BININT2: _number("<H", 2),
    pickle.BINFLOAT: _number(">d", 8),
    pickle.LONG1: _long,
    pickle.BINUNICODE: _text,
    pickle.SHORT_BINSTRING: _short_bytes,
    pickle.BINPERSID: _persistent_id,
    pickle.BINGET: _get("<B", 1),
    pickle.LONG_BINGET: _get("<I", 4),
    pickle.BINPUT: _put("<B", 1),
    pickle.LONG_BINPUT: _put("<I", 4),
    pickle.PROTO: _protocol,
}
