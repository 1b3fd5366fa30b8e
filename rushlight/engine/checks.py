"""Many looks at Python objects, all of which must find what they found: one call of machine code.

What compares objects by identity, the attributes that a captured function reads or the state that an optimizer keeps, asks the same again and
again: is this still the value of that key, has this list its items? In Python each takes 50 ns.
"""

from __future__ import annotations

import ctypes
import functools
import types
from collections.abc import Callable, Sequence
from operator import is_
from string import Template
from sys import getrefcount
from typing import Any

import numpy as np

from ..storage import Storage, TensorBase
from . import llvm
from .objects import builtin, fields, load, slot

#: What a row says: its kind, the object, two words.
_FIELD, _ITEM, _SIZE, _DICTIONARY, _LIST, _REFERENCES = range(6)
_ROW = 4

_SOURCE = r"""
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i64 @PyDict_Size(ptr)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)

; hold(): the number of rows, then the rows.
define ptr @hold(ptr %self, ptr %nothing) {
entry:
  %place = alloca i64
  %key = alloca ptr
  %value = alloca ptr
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %count = load i64, ptr %words
  %first = getelementptr i64, ptr %words, i64 1
  br label %rows
rows:
  %n = phi i64 [0, %entry], [%n_next, %good]
  %row = phi ptr [%first, %entry], [%row_next, %good]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %look, label %all
look:
  %kind = load i64, ptr %row
  %object_at = getelementptr i64, ptr %row, i64 1
  %object = load ptr, ptr %object_at
  %a_at = getelementptr i64, ptr %row, i64 2
  %a = load i64, ptr %a_at
  %a_pointer = load ptr, ptr %a_at
  %b_at = getelementptr i64, ptr %row, i64 3
  %b = load i64, ptr %b_at
  %b_pointer = load ptr, ptr %b_at
  switch i64 %kind, label %no [
    i64 $FIELD, label %a_field
    i64 $ITEM, label %an_item
    i64 $SIZE, label %a_size
    i64 $DICTIONARY, label %a_dictionary
    i64 $LIST, label %a_list
    i64 $REFERENCES, label %a_count
  ]

a_field:  ; a: how far behind the begin of the object, b: what stands there
  %field_at = getelementptr i8, ptr %object, i64 %a
  %field = load ptr, ptr %field_at
  %field_same = icmp eq ptr %field, %b_pointer
  br i1 %field_same, label %good, label %no

an_item:  ; a: a key, b: its value, or null for none
  %item = call ptr @PyDict_GetItemWithError(ptr %object, ptr %a_pointer)
  %item_same = icmp eq ptr %item, %b_pointer
  br i1 %item_same, label %item_right, label %no
item_right:
  %item_there = icmp ne ptr %item, null
  br i1 %item_there, label %good, label %is_absent
is_absent:
  %failed = call ptr @PyErr_Occurred()
  %did_fail = icmp ne ptr %failed, null
  br i1 %did_fail, label %no, label %good

a_size:
  %size = call i64 @PyDict_Size(ptr %object)
  %size_same = icmp eq i64 %size, %a
  br i1 %size_same, label %good, label %no

a_dictionary:  ; a: pairs of keys and values, b: how many
  %held = call i64 @PyDict_Size(ptr %object)
  %held_same = icmp eq i64 %held, %b
  br i1 %held_same, label %pairs_begin, label %no
pairs_begin:
  store i64 0, ptr %place
  br label %pairs
pairs:
  %pair = phi ptr [%a_pointer, %pairs_begin], [%pair_next, %pair_good]
  %there = call i32 @PyDict_Next(ptr %object, ptr %place, ptr %key, ptr %value)
  %is_there = icmp ne i32 %there, 0
  br i1 %is_there, label %pair_look, label %good
pair_look:
  %key_now = load ptr, ptr %key
  %value_now = load ptr, ptr %value
  %key_then = load ptr, ptr %pair
  %value_at = getelementptr ptr, ptr %pair, i64 1
  %value_then = load ptr, ptr %value_at
  %key_same = icmp eq ptr %key_now, %key_then
  %value_same = icmp eq ptr %value_now, %value_then
  %pair_same = and i1 %key_same, %value_same
  br i1 %pair_same, label %pair_good, label %no
pair_good:
  %pair_next = getelementptr ptr, ptr %pair, i64 2
  br label %pairs

a_list:  ; a: items, b: how many
  %length_at = getelementptr i8, ptr %object, i64 $size
  %length = load i64, ptr %length_at
  %length_same = icmp eq i64 %length, %b
  %items_at = getelementptr i8, ptr %object, i64 $list
  %items = load ptr, ptr %items_at
  br i1 %length_same, label %items_look, label %no
items_look:
  %i = phi i64 [0, %a_list], [%i_next, %item_good]
  %more_items = icmp slt i64 %i, %b
  br i1 %more_items, label %one_item, label %good
one_item:
  %now_at = getelementptr ptr, ptr %items, i64 %i
  %now = load ptr, ptr %now_at
  %then_at = getelementptr ptr, ptr %a_pointer, i64 %i
  %then = load ptr, ptr %then_at
  %same = icmp eq ptr %now, %then
  br i1 %same, label %item_good, label %no
item_good:
  %i_next = add i64 %i, 1
  br label %items_look

a_count:  ; a: how many references to it there are
  %references_at = getelementptr i8, ptr %object, i64 $references
  %references = load i32, ptr %references_at
  %references_wide = zext i32 %references to i64
  %references_same = icmp eq i64 %references_wide, %a
  br i1 %references_same, label %good, label %no

good:
  %n_next = add i64 %n, 1
  %row_next = getelementptr i64, ptr %row, i64 $ROW
  br label %rows
no:
  %error = call ptr @PyErr_Occurred()
  %is_error = icmp ne ptr %error, null
  br i1 %is_error, label %clear, label %answer_no
clear:
  call void @PyErr_Clear()
  br label %answer_no
answer_no:
  %false = call ptr @PyBool_FromLong(i64 0)
  ret ptr %false
all:
  %true = call ptr @PyBool_FromLong(i64 1)
  ret ptr %true
}
"""


@functools.cache
def _code() -> llvm.Code | None:
    """The function, for this interpreter; None where it keeps its objects otherwise."""
    where = fields()
    if where is None:
        return None
    names = {"FIELD": _FIELD, "ITEM": _ITEM, "SIZE": _SIZE, "DICTIONARY": _DICTIONARY, "LIST": _LIST, "REFERENCES": _REFERENCES, "ROW": _ROW, "size": where.size, "list": where.list, "references": where.references}
    return load(Template(_SOURCE).substitute(names), "hold")


def available() -> bool:
    """Whether the looks are machine code's here, and not Python's."""
    return _code() is not None


_NOTHING = object()


class Checks:
    """Looks at objects, in the order in which they were noted. All are held, and so is what was found there.

    >>> from rushlight.engine.checks import Checks
    >>> checks, options = Checks(), {"lr": 0.1}
    >>> checks.contents(options)
    >>> checks.hold()
    True
    >>> options["lr"] = 0.2
    >>> checks.hold()
    False
    """

    def __init__(self) -> None:
        self._looks: list[Callable[[], bool]] = []  # in Python
        self._rows: list[tuple[int, int, Any, Any]] = []
        self._kept: list[Any] = []
        self._hold: Callable[[], bool] | None = None

    def _note(self, look: Callable[[], bool], kind: int, owner: Any, a: Any, b: Any, *kept: Any) -> None:
        self._looks.append(look)
        self._rows.append((kind, id(owner), a, b))
        self._kept += (owner, *kept)
        self._hold = None

    def slot(self, owner: TensorBase | Storage | types.CellType, name: str) -> None:
        """A slot of a tensor or a storage, or the contents of a cell, must stay the same object."""
        value = getattr(owner, name)
        at = 0
        if _code() is not None:
            at = slot(Storage, name, 0) if isinstance(owner, Storage) else slot(TensorBase if isinstance(owner, TensorBase) else types.CellType, name)
        self._note(lambda: getattr(owner, name) is value, _FIELD, owner, at, id(value), value)

    def kind(self, owner: object) -> None:
        """An object must stay of its class."""
        kind, where = type(owner), fields()
        self._note(lambda: type(owner) is kind, _FIELD, owner, where.type if where is not None else 0, id(kind), kind)

    def references(self, owner: object) -> None:
        """There must be as many references to an object as when `prepared` is called. All that checks hold count."""
        found: list[int] = []  # what the first look finds

        def look() -> bool:
            count = getrefcount(owner)
            found[:] = found or [count]
            return found == [count]

        self._note(look, _REFERENCES, owner, None, 0)

    def item(self, owner: dict[Any, Any], key: Any) -> None:
        """What a dictionary has under a key must stay the same object."""
        value = owner[key]
        self._note(lambda: owner.get(key, _NOTHING) is value, _ITEM, owner, id(key), id(value), key, value)

    def absent(self, owner: dict[Any, Any], key: Any) -> None:
        """A dictionary must not have a key."""
        self._note(lambda: key not in owner, _ITEM, owner, id(key), 0, key)

    def entry(self, owner: dict[Any, Any], key: Any) -> None:
        """What a dictionary has under a key must stay the same object, or it must stay without."""
        if key in owner:
            self.item(owner, key)
        else:
            self.absent(owner, key)

    def size(self, owner: dict[Any, Any]) -> None:
        """A dictionary must stay as long as it is."""
        size = len(owner)
        self._note(lambda: len(owner) == size, _SIZE, owner, size, 0)

    def contents(self, owner: dict[Any, Any] | list[Any]) -> None:
        """A dictionary or list, of no subclass, must have the same keys and items, in the same order."""
        now = _contents(owner)
        kind = _LIST if type(owner) is list else _DICTIONARY
        self._note(lambda: len(_contents(owner)) == len(now) and all(map(is_, _contents(owner), now)), kind, owner, now, len(owner), now)

    def include(self, other: Checks) -> None:
        """All looks of another must find what they found, too."""
        self._looks += other._looks
        self._rows += other._rows
        self._kept += other._kept
        self._hold = None

    def hold(self) -> bool:
        """Whether every look finds what it found when it was noted."""
        return (self._hold or self.prepared())()

    def prepared(self) -> Callable[[], bool]:
        """`hold`, without a frame of Python's around it. It is of no use once a look is added."""
        code = _code()
        if code is None:
            self._hold = functools.partial(_hold_in_python, self._looks)
            return self._hold
        tables = [row[2] for row in self._rows if isinstance(row[2], list)]
        words = np.zeros(1 + _ROW * len(self._rows) + sum(map(len, tables)), np.int64)
        first = words.ctypes.data
        at = 1 + _ROW * len(self._rows)
        words[0] = len(self._rows)
        for n, (kind, owner, a, b) in enumerate(self._rows):
            word = _references(owner) if kind == _REFERENCES else a
            if isinstance(a, list):
                word, begin, at = first + words.itemsize * at, at, at + len(a)
                words[begin:at] = list(map(id, a))
            words[1 + _ROW * n : 1 + _ROW * (n + 1)] = kind, owner, word, b
        self._hold = builtin(code, "hold", words, arguments=0, kept=self._kept)
        return self._hold


def _references(address: int) -> int:
    where = fields()
    assert where is not None
    return ctypes.c_int32.from_address(address + where.references).value


def _hold_in_python(looks: Sequence[Callable[[], bool]]) -> bool:
    try:
        return all(look() for look in looks)
    except Exception:  # such as that of a key's own hash
        return False


def _contents(owner: dict[Any, Any] | list[Any]) -> list[Any]:
    return list(owner) if isinstance(owner, list) else [part for pair in owner.items() for part in pair]
