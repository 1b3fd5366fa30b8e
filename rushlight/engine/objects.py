"""Python's objects as native code finds them.

Between a call in Python and a kernel stands much looking: is this operand the one that it was, has its storage bytes, where do
these begin? In Python a look takes 30 ns and more, in machine code about one. So what looks at every operand of every run
(recognised.py) is IR as well, and is called as a builtin function of this interpreter.

Where an object has its fields is measured when it is first asked, on objects made for that. An interpreter that has them otherwise, or that runs
threads side by side, gets no such code: `fields()` is None, and Python does the looking.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any, NamedTuple

import numpy as np

from ..storage import Storage
from . import llvm

_WORD = 8
#: CPython's flags, by how many arguments a function takes (None: an array of them, and their number).
_FLAGS = {None: 0x0080, 0: 0x0004, 1: 0x0008}


class Fields(NamedTuple):
    """How many bytes behind an object's address its fields are."""

    references: int  # 32 bits of it
    type: int
    size: int  # of a tuple or list
    items: int  # of a tuple: the items themselves
    list: int  # of a list: a pointer to its items
    data: int  # of a `Storage`
    address: int


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _places(found: object, wanted: int, size: int) -> list[int]:
    """Where in an object of so many bytes a word stands."""
    return [at for at in range(0, size, _WORD) if _word(id(found) + at) == wanted]


def _only(places: Sequence[int]) -> int:
    """The one place. Raises a LookupError if there is none, or a choice."""
    if len(places) != 1:
        raise LookupError(f"{len(places)} places")
    return places[0]


@functools.cache
def slot(kind: type, name: str, *arguments: Any) -> int:
    """Where objects of a class have a slot. `arguments` make one, where an empty one will not do."""
    make: Callable[..., Any] = kind if arguments else functools.partial(kind.__new__, kind)
    mark, one = object(), make(*arguments)
    setattr(one, name, mark)
    places = _places(one, id(mark), kind.__basicsize__)
    setattr(one, name, None)  # which whatever lets go of the object can read
    return _only(places)


def place_of(owner: object, value: object) -> int:
    """Where an object, of a class whose objects are all of one size, refers to another."""
    return _only(_places(owner, id(value), type(owner).__basicsize__))


@functools.cache
def fields() -> Fields | None:
    """The fields of objects in this interpreter; None where native code cannot read them."""
    if not llvm.AVAILABLE or sys.implementation.name != "cpython" or sys.byteorder != "little" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        return _measured()
    except LookupError:
        return None


def _measured() -> Fields:
    head, first, second = object.__basicsize__, object(), object()
    pair, row, triple = (first, second), [first, second], [first, second, first]
    kind = _only(_places(first, id(object), head))
    items = _only(_places(pair, id(first), tuple.__basicsize__ + 2 * _WORD))
    if _word(id(pair) + items + _WORD) != id(second):
        raise LookupError("the items of a tuple")
    sizes = set(_places(pair, 2, items)) & set(_places(row, 2, list.__basicsize__)) & set(_places(triple, 3, list.__basicsize__))
    pointers = [at for at in range(max(sizes, default=0) + _WORD, list.__basicsize__, _WORD) if _word(id(row) + at) > 1 << 12][:1]
    at = _word(id(row) + _only(pointers))
    if (_word(at), _word(at + _WORD)) != (id(first), id(second)):
        raise LookupError("the items of a list")
    return Fields(_references(), kind, _only(sorted(sizes)), items, pointers[0], slot(Storage, "data", 0), slot(Storage, "address", 0))


def _references() -> int:
    """Where an object counts its references: what advances by one with each."""
    one, holders, counts = object(), [], []
    for _ in range(4):
        counts.append([ctypes.c_int32.from_address(id(one) + at).value for at in range(0, object.__basicsize__, 4)])
        holders.append(one)
    steps = [{after - before for before, after in zip(column, column[1:], strict=False)} for column in zip(*counts, strict=True)]
    return _only([4 * n for n, step in enumerate(steps) if step == {1}])


# No pass inlines functions in this code, so that what is done everywhere is written as one of these: two lines of IR.
_SHORT = {
    "POINTER": ("getelementptr ptr, ptr {0}, i64 {1}", "load ptr"),  # the pointer number 1 of the table 0
    "WORD": ("getelementptr i64, ptr {0}, i64 {1}", "load i64"),
    "FIELD": ("getelementptr i8, ptr {0}, i64 {1}", "load ptr"),  # of an object, so many bytes behind its begin
    "ITEM": ("getelementptr {{[$items x i8], [0 x ptr]}}, ptr {0}, i64 0, i32 1, i64 {1}", "load ptr"),  # of a tuple
}


def written_out(source: str, names: Mapping[str, int]) -> str:
    """IR with what is short in it in full, and numbers for `$names`. Those of `Fields` are known."""
    lines = []
    for line in source.splitlines():
        name, equals, rest = line.partition(" = ")
        short, _, operands = rest.partition(" ")
        if equals and short in _SHORT:
            address, load = _SHORT[short]
            lines += [f"{name}.at = {address.format(*operands.split(', '))}", f"{name} = {load}, ptr {name.strip()}.at"]
        else:
            lines.append(line)
    where = fields()
    assert where is not None
    return Template("\n".join(lines)).substitute(names, type=where.type, size=where.size, items=where.items, list_items=where.list)


_TP_NEW = 65  # CPython's Py_tp_new, of its stable interface


@functools.cache
def object_new() -> int | None:
    """The address of `object.__new__`, ``object(class, tuple of arguments, null)``; None where there is none."""
    slot_of_class = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_int)(("PyType_GetSlot", ctypes.pythonapi))
    found: int | None = slot_of_class(object, _TP_NEW)
    return found


def load(source: str, *names: str) -> llvm.Code | None:
    """`llvm.load` of functions that call Python's; None where this interpreter's objects are not read so."""
    if fields() is None:
        return None
    try:
        return llvm.load(source, names)
    except RuntimeError:
        return None  # a process that does not show Python's functions to its libraries


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


@functools.cache
def _maker() -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)(("PyCFunction_NewEx", ctypes.pythonapi))


def builtin(code: llvm.Code, name: str, words: np.ndarray, arguments: int | None, kept: object = None) -> Callable[..., Any]:
    """Machine code as a builtin function, called with the GIL: ``object(address of the words, argument)``, or with an array of arguments and their number."""
    method = _Method(name.encode(), code.addresses[name], _FLAGS[arguments], None)
    # A function holds what it calls its module, which whoever inspects it may look up.
    return _maker()(ctypes.addressof(method), int(words.ctypes.data), _Held((method, code, words, kept)))


class _Held:
    """All that a function needs, as an object that is equal to itself alone."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts
