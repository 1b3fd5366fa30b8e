"""Straight-line work on Python's objects, in one call of machine code: looks that may say no, and then objects that are made.

A call that is like the one before it makes the same kinds of objects: a tensor over a storage, a node that leads to others, an entry of the tape. In
Python each attribute that is set takes 20 ns and each object 100, in machine code a few. What is to be done is written down once, as rows over
registers, and machine code goes through the rows.

A look that says no ends the program, with `NotImplemented` for its answer. So looks come first, and what others can see of the work comes last.
"""

from __future__ import annotations

import enum
import functools
import sys
from collections.abc import Callable, Mapping
from itertools import chain
from string import Template
from typing import Any, NamedTuple

import numpy as np

from . import llvm
from .objects import Fields, builtin, fields, load, object_new


class _Kind(enum.IntEnum):
    """What a row does. Three words stand behind it: registers, unless the code below says otherwise."""

    FIELD, SAME, OTHER, NONE_OR, LOAD, ATTRIBUTE, SET_ATTRIBUTE, TUPLE, DICT, OBJECT, STORE, NEXT, CALL, ADD = range(14)


_ROW, _WORD = 4, 8
#: The words before the rows: how many arguments and registers there are, the constants and their number, how many rows, `object.__new__`,
#: the register that is the answer, None, NotImplemented.
_HEAD = 9
#: Registers are on the C stack.
_REGISTERS_AT_MOST = 2000

_SOURCE = r"""
declare ptr @PyLong_AsVoidPtr(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare i32 @PyObject_SetAttr(ptr, ptr, ptr)
declare ptr @PyObject_CallNoArgs(ptr)
declare ptr @PyObject_CallOneArg(ptr, ptr)
declare ptr @PyNumber_Add(ptr, ptr)
declare ptr @PyIter_Next(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyDict_New()
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define ptr @carry_out(ptr %self, ptr %given, i64 %given_count) {
entry:
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %arguments = load i64, ptr %words
  %registers_at = getelementptr i64, ptr %words, i64 1
  %registers = load i64, ptr %registers_at
  %constants_at = getelementptr i64, ptr %words, i64 2
  %constants = load ptr, ptr %constants_at
  %constant_at = getelementptr i64, ptr %words, i64 3
  %constant = load i64, ptr %constant_at
  %row_count_at = getelementptr i64, ptr %words, i64 4
  %row_count = load i64, ptr %row_count_at
  %new_at = getelementptr i64, ptr %words, i64 5
  %new = load ptr, ptr %new_at
  %result_at = getelementptr i64, ptr %words, i64 6
  %result = load i64, ptr %result_at
  %none_at = getelementptr i64, ptr %words, i64 7
  %none = load ptr, ptr %none_at
  %refusal_at = getelementptr i64, ptr %words, i64 8
  %refusal = load ptr, ptr %refusal_at
  %first_row = getelementptr i64, ptr %words, i64 $HEAD
  %own = add i64 %arguments, %constant  ; what is from here on is the program's to let go
  %r = alloca ptr, i64 %registers
  %owned = sub i64 %registers, %own
  %owned_bytes = mul i64 %owned, 8
  %owned_at = getelementptr ptr, ptr %r, i64 %own
  call void @llvm.memset.p0.i64(ptr %owned_at, i8 0, i64 %owned_bytes, i1 false)
  %right_count = icmp eq i64 %given_count, %arguments
  br i1 %right_count, label %take, label %no

take:
  %t = phi i64 [0, %entry], [%t_next, %take_one]
  %more_arguments = icmp slt i64 %t, %arguments
  br i1 %more_arguments, label %take_one, label %fix
take_one:
  %argument_at = getelementptr ptr, ptr %given, i64 %t
  %argument = load ptr, ptr %argument_at
  %argument_to = getelementptr ptr, ptr %r, i64 %t
  store ptr %argument, ptr %argument_to
  %t_next = add i64 %t, 1
  br label %take
fix:
  %f = phi i64 [0, %take], [%f_next, %fix_one]
  %more_constants = icmp slt i64 %f, %constant
  br i1 %more_constants, label %fix_one, label %rows
fix_one:
  %fixed_at = getelementptr ptr, ptr %constants, i64 %f
  %fixed = load ptr, ptr %fixed_at
  %fixed_number = add i64 %arguments, %f
  %fixed_to = getelementptr ptr, ptr %r, i64 %fixed_number
  store ptr %fixed, ptr %fixed_to
  %f_next = add i64 %f, 1
  br label %fix

rows:
  %n = phi i64 [0, %fix], [%n_next, %following]
  %row = phi ptr [%first_row, %fix], [%row_next, %following]
  %more = icmp slt i64 %n, %row_count
  br i1 %more, label %one, label %done
one:
  %kind = load i64, ptr %row
  %x_at = getelementptr i64, ptr %row, i64 1
  %x = load i64, ptr %x_at
  %y_at = getelementptr i64, ptr %row, i64 2
  %y = load i64, ptr %y_at
  %z_at = getelementptr i64, ptr %row, i64 3
  %z = load i64, ptr %z_at
  %x_to = getelementptr ptr, ptr %r, i64 %x
  %y_from = getelementptr ptr, ptr %r, i64 %y
  %z_from = getelementptr ptr, ptr %r, i64 %z
  switch i64 %kind, label %no [
    i64 $FIELD, label %a_field
    i64 $SAME, label %the_same
    i64 $OTHER, label %another
    i64 $NONE_OR, label %none_or
    i64 $LOAD, label %a_load
    i64 $ATTRIBUTE, label %an_attribute
    i64 $SET_ATTRIBUTE, label %set_attribute
    i64 $TUPLE, label %a_tuple
    i64 $DICT, label %a_dict
    i64 $OBJECT, label %an_object
    i64 $STORE, label %a_store
    i64 $NEXT, label %the_next
    i64 $CALL, label %a_call
    i64 $ADD, label %a_sum
  ]

a_field:  ; x: an object, y: how far behind its begin, z: the word that must stand there
  %f_object = load ptr, ptr %x_to
  %f_at = getelementptr i8, ptr %f_object, i64 %y
  %f_now = load i64, ptr %f_at
  %f_same = icmp eq i64 %f_now, %z
  br i1 %f_same, label %following, label %no

the_same:  ; x, y
  %s_a = load ptr, ptr %x_to
  %s_b = load ptr, ptr %y_from
  %s_same = icmp eq ptr %s_a, %s_b
  br i1 %s_same, label %following, label %no

another:  ; x, y
  %o_a = load ptr, ptr %x_to
  %o_b = load ptr, ptr %y_from
  %o_same = icmp eq ptr %o_a, %o_b
  br i1 %o_same, label %no, label %following

none_or:  ; like a field, of an object that may be None instead
  %m_object = load ptr, ptr %x_to
  %m_none = icmp eq ptr %m_object, %none
  br i1 %m_none, label %following, label %a_field

a_load:  ; x: where to, y: an object, z: how far behind its begin
  %l_object = load ptr, ptr %y_from
  %l_at = getelementptr i8, ptr %l_object, i64 %z
  %loaded = load ptr, ptr %l_at
  %l_there = icmp ne ptr %loaded, null
  br i1 %l_there, label %l_good, label %no
l_good:
  call void @Py_IncRef(ptr %loaded)
  store ptr %loaded, ptr %x_to
  br label %following

an_attribute:  ; x: where to, y: an object, z: a name
  %a_object = load ptr, ptr %y_from
  %a_name = load ptr, ptr %z_from
  %attribute = call ptr @PyObject_GetAttr(ptr %a_object, ptr %a_name)
  br label %made

set_attribute:  ; x: an object, y: a name, z: a value
  %sa_object = load ptr, ptr %x_to
  %sa_name = load ptr, ptr %y_from
  %sa_value = load ptr, ptr %z_from
  %sa_failed = call i32 @PyObject_SetAttr(ptr %sa_object, ptr %sa_name, ptr %sa_value)
  br label %did

a_tuple:  ; x: where to, y: a list of registers, z: how many
  %tuple = call ptr @PyTuple_New(i64 %z)
  %tuple_there = icmp ne ptr %tuple, null
  br i1 %tuple_there, label %tuple_good, label %failed
tuple_good:
  store ptr %tuple, ptr %x_to
  %tuple_from = inttoptr i64 %y to ptr
  br label %tuple_items
tuple_items:
  %tn = phi i64 [0, %tuple_good], [%tn_next, %tuple_item]
  %tuple_more = icmp slt i64 %tn, %z
  br i1 %tuple_more, label %tuple_item, label %following
tuple_item:
  %t_number_at = getelementptr i64, ptr %tuple_from, i64 %tn
  %t_number = load i64, ptr %t_number_at
  %t_value_at = getelementptr ptr, ptr %r, i64 %t_number
  %t_value = load ptr, ptr %t_value_at
  call void @Py_IncRef(ptr %t_value)
  call i32 @PyTuple_SetItem(ptr %tuple, i64 %tn, ptr %t_value)
  %tn_next = add i64 %tn, 1
  br label %tuple_items

a_dict:  ; y: a list of registers, of a key and a value in turn, z: how many pairs
  %dict = call ptr @PyDict_New()
  %dict_there = icmp ne ptr %dict, null
  br i1 %dict_there, label %dict_good, label %failed
dict_good:
  store ptr %dict, ptr %x_to
  %dict_from = inttoptr i64 %y to ptr
  br label %dict_items
dict_items:
  %dn = phi i64 [0, %dict_good], [%dn_next, %dict_item]
  %dict_more = icmp slt i64 %dn, %z
  br i1 %dict_more, label %dict_item, label %following
dict_item:
  %key_place = shl i64 %dn, 1
  %value_place = or i64 %key_place, 1
  %key_number_at = getelementptr i64, ptr %dict_from, i64 %key_place
  %key_number = load i64, ptr %key_number_at
  %key_at = getelementptr ptr, ptr %r, i64 %key_number
  %key = load ptr, ptr %key_at
  %value_number_at = getelementptr i64, ptr %dict_from, i64 %value_place
  %value_number = load i64, ptr %value_number_at
  %value_at = getelementptr ptr, ptr %r, i64 %value_number
  %value = load ptr, ptr %value_at
  %dict_failed = call i32 @PyDict_SetItem(ptr %dict, ptr %key, ptr %value)
  %dict_sound = icmp eq i32 %dict_failed, 0
  %dn_next = add i64 %dn, 1
  br i1 %dict_sound, label %dict_items, label %failed

an_object:  ; x: where to, y: a class, z: an empty tuple
  %class = load ptr, ptr %y_from
  %nothing = load ptr, ptr %z_from
  %object = call ptr %new(ptr %class, ptr %nothing, ptr null)
  br label %made

a_store:  ; x: an object just made, y: how far behind its begin, z: a value
  %st_object = load ptr, ptr %x_to
  %st_value = load ptr, ptr %z_from
  %st_at = getelementptr i8, ptr %st_object, i64 %y
  call void @Py_IncRef(ptr %st_value)
  store ptr %st_value, ptr %st_at
  br label %following

the_next:  ; x: where to, y: an iterator that has no end
  %iterator = load ptr, ptr %y_from
  %next = call ptr @PyIter_Next(ptr %iterator)
  br label %made

a_call:  ; x: where to, y: a function, z: its argument, or -1
  %function = load ptr, ptr %y_from
  %without = icmp slt i64 %z, 0
  br i1 %without, label %call_without, label %call_with
call_without:
  %answer_without = call ptr @PyObject_CallNoArgs(ptr %function)
  br label %made
call_with:
  %its_argument = load ptr, ptr %z_from
  %answer_with = call ptr @PyObject_CallOneArg(ptr %function, ptr %its_argument)
  br label %made

a_sum:  ; x: where to, y, z
  %term_a = load ptr, ptr %y_from
  %term_b = load ptr, ptr %z_from
  %sum = call ptr @PyNumber_Add(ptr %term_a, ptr %term_b)
  br label %made

made:
  %it = phi ptr [%attribute, %an_attribute], [%object, %an_object], [%next, %the_next], [%answer_without, %call_without], [%answer_with, %call_with], [%sum, %a_sum]
  store ptr %it, ptr %x_to
  %it_there = icmp ne ptr %it, null
  br i1 %it_there, label %following, label %failed
did:
  %sound = icmp eq i32 %sa_failed, 0
  br i1 %sound, label %following, label %failed

following:
  %n_next = add i64 %n, 1
  %row_next = getelementptr i64, ptr %row, i64 $ROW
  br label %rows

no:
  call void @Py_IncRef(ptr %refusal)
  br label %let_go
failed:
  br label %let_go
done:
  %result_from = getelementptr ptr, ptr %r, i64 %result
  %found = load ptr, ptr %result_from
  call void @Py_IncRef(ptr %found)
  br label %let_go
let_go:
  %answer = phi ptr [%refusal, %no], [null, %failed], [%found, %done]
  br label %each
each:
  %e = phi i64 [%own, %let_go], [%e_next, %each_next]
  %e_more = icmp slt i64 %e, %registers
  br i1 %e_more, label %each_look, label %end
each_look:
  %e_at = getelementptr ptr, ptr %r, i64 %e
  %e_object = load ptr, ptr %e_at
  %e_there = icmp ne ptr %e_object, null
  br i1 %e_there, label %each_drop, label %each_next
each_drop:
  call void @Py_DecRef(ptr %e_object)
  br label %each_next
each_next:
  %e_next = add i64 %e, 1
  br label %each
end:
  ret ptr %answer
}
"""


@functools.cache
def _code() -> llvm.Code | None:
    """The function; None where there is none for this interpreter."""
    if fields() is None or object_new() is None:
        return None
    kinds = {kind.name: kind.value for kind in _Kind}
    return load(Template(_SOURCE).substitute(kinds, HEAD=_HEAD, ROW=_ROW), "carry_out")


def available() -> bool:
    """Whether there are such programs here."""
    return _code() is not None


class Register(NamedTuple):
    """A value of a program: which argument, which constant, or what the how manieth row made."""

    kind: str
    number: int


class ObjectProgram:
    """Rows, in the order in which they are carried out. A value is known by the `Register` that it is in.

    >>> from rushlight.engine.object_program import ObjectProgram
    >>> program = ObjectProgram(1)
    >>> pair = program.argument(0)
    >>> program.is_tuple(pair, 2)
    >>> turned = program.prepared(program.tuple_of(program.item(pair, 1), program.item(pair, 0)))
    >>> turned((1, 2)), turned([1, 2])
    ((2, 1), NotImplemented)
    """

    def __init__(self, arguments: int) -> None:
        self._arguments = arguments
        self._rows: list[tuple[_Kind, Any, Any, Any]] = []
        self._constants: dict[int, tuple[Register, Any]] = {}
        self._held: list[Any] = []
        self._made = 0
        where = fields()
        assert where is not None
        self._where: Fields = where

    def argument(self, number: int) -> Register:
        return Register("argument", number)

    def constant(self, value: object) -> Register:
        """An object that is the same at every call."""
        found = self._constants.get(id(value))
        if found is None:
            found = self._constants[id(value)] = (Register("constant", len(self._constants)), value)
        return found[0]

    def _make(self, kind: _Kind, y: Any, z: Any = 0) -> Register:
        made = Register("made", self._made)
        self._made += 1
        self._rows.append((kind, made, y, z))
        return made

    # Looks, which end the program where they say no

    def is_same(self, value: Register, other: Register) -> None:
        """Two values must be one object."""
        self._rows.append((_Kind.SAME, value, other, 0))

    def is_other(self, value: Register, other: Register) -> None:
        """Two values must be two objects."""
        self._rows.append((_Kind.OTHER, value, other, 0))

    def is_of_class(self, value: Register, kind: type) -> None:
        """A value must be of this very class."""
        self.holds(value, self._where.type, kind)

    def is_tuple(self, value: Register, length: int) -> None:
        """A value must be a tuple of so many items."""
        self.is_of_class(value, tuple)
        self._rows.append((_Kind.FIELD, value, self._where.size, length))

    def holds(self, value: Register, place: int, held: object, or_is_none: bool = False) -> None:
        """A slot of a value must hold this object; or the value may be None."""
        self._held.append(held)
        self._rows.append((_Kind.NONE_OR if or_is_none else _Kind.FIELD, value, place, id(held)))

    def load(self, value: Register, place: int) -> Register:
        """What a slot of a value holds, which must be something."""
        return self._make(_Kind.LOAD, value, place)

    def item(self, value: Register, number: int) -> Register:
        """An item of a tuple that is long enough."""
        return self.load(value, self._where.items + _WORD * number)

    # What is made

    def attribute(self, value: Register, name: str) -> Register:
        return self._make(_Kind.ATTRIBUTE, value, self.constant(sys.intern(name)))

    def set_attribute(self, value: Register, name: str, to: Register) -> None:
        self._rows.append((_Kind.SET_ATTRIBUTE, value, self.constant(sys.intern(name)), to))

    def tuple_of(self, *values: Register) -> Register:
        return self._make(_Kind.TUPLE, values, len(values))

    def list_of(self, *values: Register) -> Register:
        return self.call(self.constant(list), self.tuple_of(*values))

    def dict_of(self, *pairs: tuple[Register, Register]) -> Register:
        """A dictionary of keys and values."""
        return self._make(_Kind.DICT, tuple(chain.from_iterable(pairs)), len(pairs))

    def new(self, kind: type, slots: Mapping[int, Register]) -> Register:
        """An object of a class, made without its constructor, with values in its slots."""
        made = self._make(_Kind.OBJECT, self.constant(kind), self.constant(()))
        self._rows += [(_Kind.STORE, made, place, value) for place, value in slots.items()]
        return made

    def next(self, iterator: Register) -> Register:
        """The next value of an iterator that has no end."""
        return self._make(_Kind.NEXT, iterator)

    def call(self, function: Register, argument: Register | None = None) -> Register:
        return self._make(_Kind.CALL, function, -1 if argument is None else argument)

    def add(self, a: Register, b: Register) -> Register:
        return self._make(_Kind.ADD, a, b)

    def prepared(self, answer: Register) -> Callable[..., Any] | None:
        """The program as a builtin function with this answer; None where there can be none."""
        code = _code()
        begins = {"argument": 0, "constant": self._arguments, "made": self._arguments + len(self._constants)}
        registers = begins["made"] + self._made
        if code is None or registers > _REGISTERS_AT_MOST:
            return None
        constants = [value for _, value in self._constants.values()]
        lists = [row[2] for row in self._rows if isinstance(row[2], tuple) and not isinstance(row[2], Register)]
        at = _HEAD + _ROW * len(self._rows) + len(constants)
        words = np.zeros(at + sum(map(len, lists)), np.int64)
        first = words.ctypes.data

        def number(value: Any) -> Any:
            return begins[value.kind] + value.number if isinstance(value, Register) else value

        rows: list[int] = []
        for kind, x, y, z in self._rows:
            if isinstance(y, tuple) and not isinstance(y, Register):
                begin, at = at, at + len(y)
                words[begin:at] = list(map(number, y))
                y = first + words.itemsize * begin
            rows += (kind, number(x), number(y), number(z))
        end = _HEAD + len(rows)
        words[:_HEAD] = [self._arguments, registers, first + words.itemsize * end, len(constants), len(self._rows), object_new(), number(answer), id(None), id(NotImplemented)]
        words[_HEAD:end] = rows
        words[end : end + len(constants)] = list(map(id, constants))
        return builtin(code, "carry_out", words, arguments=None, kept=(constants, self._held))
