"""The machine code that walks over the operands of entries as Python holds them: whether they are of a kind, where they begin.

`look` and `run_entries` are builtin functions over the *words* of a pattern (recognised.py), which say what its operands are. A word for each
operand, in the order of the entries, first inputs and then outputs: its kind, and behind that the number of an *object*, a tuple that names a region, or of a
storage. Objects and storages are numbered by first mention.
"""

from __future__ import annotations

import functools

from . import llvm
from .objects import fields, load, written_out

#: What an operand is: a number; a tuple that was there; another tuple for a region that was there; a region over a new storage; one over a storage that was there.
NUMBER, AGAIN, EQUAL, NEW, SHARED = range(5)
KIND_BITS = 3

#: What `look` answers, but for a tuple of the storages that need memory: that is yes.
DIFFERENT, OTHER_REFERENCES = 0, 1

# The words of a pattern, which the code below reads by these places. Tables are given by their addresses.
WORDS = (
    "entries", "codes",  # for each entry the number of its inputs, their words, the number of its outputs, their words
    "objects", "storages", "numbers",  # what a walk finds
    "set", "mask", "distinct", "distincts",  # a hash set, and which objects must differ from each other: numbers, and how many
    "count", "owed", "expected", "found", "known",  # of storages; for each whether it has no bytes; references, as learnt and as found; whether they are learnt
    "allocated", "allocations",  # which storages need memory, and how many
    "values", "temporaries", "temporary", "regions", "region", "arguments", "argument",  # of the native call: each table, and how many there are
    "program", "driver",
    "none", "tuple", "list", "float", "int", "bool",  # objects of Python's
)  # fmt: skip
PLACES = {name: n for n, name in enumerate(WORDS)}

_SOURCE = r"""
declare ptr @PyLong_AsVoidPtr(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLong(i64)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; Whether two integers of Python's are equal. What is no integer equals nothing.
define internal i1 @same_number(ptr %a, ptr %b) {
  %one = icmp eq ptr %a, %b
  br i1 %one, label %yes, label %compare
compare:
  %x = call i64 @PyLong_AsLongLong(ptr %a)
  %y = call i64 @PyLong_AsLongLong(ptr %b)
  %equal = icmp eq i64 %x, %y
  %sound = icmp ne i64 %x, -1
  br i1 %sound, label %answer, label %no
answer:
  ret i1 %equal
no:
  call void @PyErr_Clear()
  ret i1 false
yes:
  ret i1 true
}

; Walk over the operands, and note objects, storages and numbers. False where operands repeat otherwise than they did.
define internal i1 @walk(ptr %words, ptr %entries) {
entry:
  %codes = POINTER %words, $codes
  %objects = POINTER %words, $objects
  %storages = POINTER %words, $storages
  %numbers = POINTER %words, $numbers
  %entries_wanted = WORD %words, $entries
  %tuple = POINTER %words, $tuple
  %list = POINTER %words, $list
  br label %entries_look

entries_look:
  %e = phi i64 [0, %entry], [%e_next, %outputs_done]
  %e_code = phi ptr [%codes, %entry], [%code, %outputs_done]
  %e_object = phi ptr [%objects, %entry], [%object, %outputs_done]
  %e_storage = phi ptr [%storages, %entry], [%storage, %outputs_done]
  %e_number = phi ptr [%numbers, %entry], [%number, %outputs_done]
  %more_entries = icmp slt i64 %e, %entries_wanted
  br i1 %more_entries, label %one_entry, label %done

one_entry:
  %one = ITEM %entries, %e
  br label %sequence

sequence:  ; the inputs (2), then the outputs (1)
  %which = phi i64 [2, %one_entry], [1, %inputs_done]
  %s_code = phi ptr [%e_code, %one_entry], [%code, %inputs_done]
  %s_object = phi ptr [%e_object, %one_entry], [%object, %inputs_done]
  %s_storage = phi ptr [%e_storage, %one_entry], [%storage, %inputs_done]
  %s_number = phi ptr [%e_number, %one_entry], [%number, %inputs_done]
  %held = ITEM %one, %which
  %held_type = FIELD %held, $type
  %held_size_at = getelementptr i8, ptr %held, i64 $size
  %held_size = load i64, ptr %held_size_at
  %size = load i64, ptr %s_code
  %s_code_next = getelementptr i64, ptr %s_code, i64 1
  %right_size = icmp eq i64 %held_size, %size
  br i1 %right_size, label %of_type, label %no
of_type:
  %is_tuple = icmp eq ptr %held_type, %tuple
  br i1 %is_tuple, label %in_tuple, label %else_list
else_list:
  %is_list = icmp eq ptr %held_type, %list
  br i1 %is_list, label %in_list, label %no
in_tuple:
  %tuple_items = getelementptr i8, ptr %held, i64 $items
  br label %operands_look
in_list:
  %list_items = FIELD %held, $list_items
  br label %operands_look

operands_look:
  %n = phi i64 [0, %in_tuple], [0, %in_list], [%n_next, %following]
  %operand_items = phi ptr [%tuple_items, %in_tuple], [%list_items, %in_list], [%operand_items, %following]
  %code = phi ptr [%s_code_next, %in_tuple], [%s_code_next, %in_list], [%code_next, %following]
  %object = phi ptr [%s_object, %in_tuple], [%s_object, %in_list], [%object_next, %following]
  %storage = phi ptr [%s_storage, %in_tuple], [%s_storage, %in_list], [%storage_next, %following]
  %number = phi ptr [%s_number, %in_tuple], [%s_number, %in_list], [%number_next, %following]
  %more = icmp slt i64 %n, %size
  br i1 %more, label %operand, label %sequence_done

operand:
  %it = POINTER %operand_items, %n
  %it_type = FIELD %it, $type
  %it_is_tuple = icmp eq ptr %it_type, %tuple
  %said = load i64, ptr %code
  %kind = and i64 %said, $kind_mask
  %index = lshr i64 %said, $kind_bits
  %is_number = icmp eq i64 %kind, $NUMBER
  %is_region = xor i1 %is_number, true
  %right_type = icmp eq i1 %it_is_tuple, %is_region
  br i1 %right_type, label %by_kind, label %no
by_kind:
  switch i64 %kind, label %no [
    i64 $NUMBER, label %a_number
    i64 $AGAIN, label %an_object
    i64 $EQUAL, label %a_region
    i64 $NEW, label %a_storage
    i64 $SHARED, label %a_known_storage
  ]
a_number:
  store ptr %it, ptr %number
  %number_advanced = getelementptr ptr, ptr %number, i64 1
  br label %following
an_object:
  %was = POINTER %objects, %index
  %is_same = icmp eq ptr %was, %it
  br i1 %is_same, label %following, label %no
a_region:
  %first = POINTER %objects, %index
  %first_storage = ITEM %first, 0
  %first_offset = ITEM %first, 1
  %first_layout = ITEM %first, 2
  %its_storage = ITEM %it, 0
  %its_offset = ITEM %it, 1
  %its_layout = ITEM %it, 2
  %storages_equal = icmp eq ptr %first_storage, %its_storage
  %layouts_equal = icmp eq ptr %first_layout, %its_layout
  %alike = and i1 %storages_equal, %layouts_equal
  br i1 %alike, label %offsets, label %no
offsets:
  %offsets_equal = call i1 @same_number(ptr %first_offset, ptr %its_offset)
  br i1 %offsets_equal, label %new_object, label %no
a_storage:
  %new_storage = ITEM %it, 0
  store ptr %new_storage, ptr %storage
  %storage_advanced = getelementptr ptr, ptr %storage, i64 1
  br label %new_object
a_known_storage:
  %known_storage = POINTER %storages, %index
  %its_own_storage = ITEM %it, 0
  %is_known = icmp eq ptr %known_storage, %its_own_storage
  br i1 %is_known, label %new_object, label %no
new_object:
  %storage_after = phi ptr [%storage, %offsets], [%storage_advanced, %a_storage], [%storage, %a_known_storage]
  store ptr %it, ptr %object
  %object_advanced = getelementptr ptr, ptr %object, i64 1
  br label %following
following:
  %object_next = phi ptr [%object, %a_number], [%object, %an_object], [%object_advanced, %new_object]
  %storage_next = phi ptr [%storage, %a_number], [%storage, %an_object], [%storage_after, %new_object]
  %number_next = phi ptr [%number_advanced, %a_number], [%number, %an_object], [%number, %new_object]
  %n_next = add i64 %n, 1
  %code_next = getelementptr i64, ptr %code, i64 1
  br label %operands_look

sequence_done:
  %were_inputs = icmp eq i64 %which, 2
  br i1 %were_inputs, label %inputs_done, label %outputs_done
inputs_done:
  br label %sequence
outputs_done:
  %e_next = add i64 %e, 1
  br label %entries_look
done:
  ret i1 true
no:
  ret i1 false
}

; Put an address into the hash set; false if it is there.
define internal i1 @insert(ptr %set, i64 %mask, ptr %address) {
entry:
  %bits = ptrtoint ptr %address to i64
  %low = lshr i64 %bits, 4
  %high = lshr i64 %bits, 12
  %hash = xor i64 %low, %high
  br label %look
look:
  %h = phi i64 [%hash, %entry], [%h_next, %next]
  %at = and i64 %h, %mask
  %place = getelementptr ptr, ptr %set, i64 %at
  %there = load ptr, ptr %place
  %free = icmp eq ptr %there, null
  br i1 %free, label %put, label %taken
put:
  store ptr %address, ptr %place
  ret i1 true
taken:
  %same = icmp eq ptr %there, %address
  br i1 %same, label %no, label %next
next:
  %h_next = add i64 %h, 1
  br label %look
no:
  ret i1 false
}

; look(entries): whether they are the pattern's.
define ptr @look(ptr %self, ptr %entries) {
entry:
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %walked = call i1 @walk(ptr %words, ptr %entries)
  br i1 %walked, label %differ, label %different
differ:
  %set = POINTER %words, $set
  %mask = WORD %words, $mask
  %places = add i64 %mask, 1
  %bytes = shl i64 %places, 3
  call void @llvm.memset.p0.i64(ptr align 8 %set, i8 0, i64 %bytes, i1 false)
  %objects = POINTER %words, $objects
  %distinct = POINTER %words, $distinct
  %distincts = WORD %words, $distincts
  br label %objects_look
objects_look:
  %o = phi i64 [0, %differ], [%o_next, %object_is_new]
  %more_objects = icmp slt i64 %o, %distincts
  br i1 %more_objects, label %object_begin, label %storages_begin
object_begin:
  %object_number = WORD %distinct, %o
  %object = POINTER %objects, %object_number
  %object_new = call i1 @insert(ptr %set, i64 %mask, ptr %object)
  br i1 %object_new, label %object_is_new, label %different
object_is_new:
  %o_next = add i64 %o, 1
  br label %objects_look

storages_begin:
  %storages = POINTER %words, $storages
  %count = WORD %words, $count
  %owed = POINTER %words, $owed
  %expected = POINTER %words, $expected
  %found = POINTER %words, $found
  %known = WORD %words, $known
  %learnt = icmp ne i64 %known, 0
  %none = POINTER %words, $none
  br label %storages_look
storages_look:
  %s = phi i64 [0, %storages_begin], [%s_next, %storage_done]
  %same = phi i1 [%learnt, %storages_begin], [%same_next, %storage_done]
  %more_storages = icmp slt i64 %s, %count
  br i1 %more_storages, label %storage_begin, label %looked
storage_begin:
  %storage = POINTER %storages, %s
  %storage_new = call i1 @insert(ptr %set, i64 %mask, ptr %storage)
  br i1 %storage_new, label %storage_is_new, label %different
storage_is_new:
  %data = FIELD %storage, $data
  %is_owed = icmp eq ptr %data, %none
  %owed_flag = WORD %owed, %s
  %was_owed = icmp ne i64 %owed_flag, 0
  %as_owed = icmp eq i1 %is_owed, %was_owed
  br i1 %as_owed, label %counted, label %different
counted:
  br i1 %is_owed, label %count_it, label %storage_there
storage_there:
  br label %storage_done
count_it:
  %references_at = getelementptr i8, ptr %storage, i64 $references
  %references_now = load i32, ptr %references_at
  %references = zext i32 %references_now to i64
  %found_at = getelementptr i64, ptr %found, i64 %s
  store i64 %references, ptr %found_at
  %before = WORD %expected, %s
  %as_before = icmp eq i64 %references, %before
  %still_same = and i1 %same, %as_before
  br label %storage_done
storage_done:
  %same_next = phi i1 [%same, %storage_there], [%still_same, %count_it]
  %s_next = add i64 %s, 1
  br label %storages_look

looked:
  br i1 %same, label %yes, label %other_references
yes:
  %allocated = POINTER %words, $allocated
  %allocations = WORD %words, $allocations
  %answer = call ptr @PyTuple_New(i64 %allocations)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %end, label %fill_look
fill_look:
  %a = phi i64 [0, %yes], [%a_next, %fill]
  %more_allocations = icmp slt i64 %a, %allocations
  br i1 %more_allocations, label %fill, label %end
fill:
  %which = WORD %allocated, %a
  %owner = POINTER %storages, %which
  call void @Py_IncRef(ptr %owner)
  call i32 @PyTuple_SetItem(ptr %answer, i64 %a, ptr %owner)
  %a_next = add i64 %a, 1
  br label %fill_look
end:
  ret ptr %answer
other_references:
  %other = call ptr @PyLong_FromLong(i64 $OTHER_REFERENCES)
  ret ptr %other
different:
  %no = call ptr @PyLong_FromLong(i64 $DIFFERENT)
  ret ptr %no
}

; The bytes from the begin of a storage, or from elsewhere, to a region: (offset of an object, if not -1, and so many elements) times bytes of an element.
define internal i64 @begin(ptr %objects, ptr %row) {
entry:
  %object_number = WORD %row, 0
  %elements = WORD %row, 1
  %itemsize = WORD %row, 3
  %fixed = icmp slt i64 %object_number, 0
  br i1 %fixed, label %done, label %read
read:
  %object = POINTER %objects, %object_number
  %offset = ITEM %object, 1
  %read_offset = call i64 @PyLong_AsLongLong(ptr %offset)
  br label %done
done:
  %base = phi i64 [0, %entry], [%read_offset, %read]
  %total = add i64 %base, %elements
  %scaled = mul i64 %total, %itemsize
  ret i64 %scaled
}

; run(entries, address of the arena): collect addresses and numbers, and call. With nothing done the answer is a storage whose address takes Python to read, or
; 0 where a number does.
define ptr @run_entries(ptr %self, ptr %arguments, i64 %argument_count) {
entry:
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %entries = POINTER %arguments, 0
  %arena_object = POINTER %arguments, 1
  %arena = call i64 @PyLong_AsLongLong(ptr %arena_object)
  %walked = call i1 @walk(ptr %words, ptr %entries)
  br i1 %walked, label %collect, label %not_run
collect:
  %objects = POINTER %words, $objects
  %storages = POINTER %words, $storages
  %numbers = POINTER %words, $numbers
  %values = POINTER %words, $values
  store i64 %arena, ptr %values
  %temporaries = POINTER %words, $temporaries
  %temporary_count = WORD %words, $temporary
  %value_first = getelementptr i64, ptr %values, i64 1
  br label %temporaries_look
temporaries_look:
  %t = phi i64 [0, %collect], [%t_next, %temporary_body]
  %t_value = phi ptr [%value_first, %collect], [%t_value_next, %temporary_body]
  %more_temporaries = icmp slt i64 %t, %temporary_count
  br i1 %more_temporaries, label %temporary_body, label %regions_begin
temporary_body:
  %t_row_at = shl i64 %t, 2
  %t_row = getelementptr i64, ptr %temporaries, i64 %t_row_at
  %t_begin = call i64 @begin(ptr %objects, ptr %t_row)
  %t_base = WORD %t_row, 2
  %t_in_arena = add i64 %arena, %t_base
  %t_address = add i64 %t_in_arena, %t_begin
  store i64 %t_address, ptr %t_value
  %t_next = add i64 %t, 1
  %t_value_next = getelementptr i64, ptr %t_value, i64 1
  br label %temporaries_look

regions_begin:
  %regions = POINTER %words, $regions
  %region_count = WORD %words, $region
  br label %regions_look
regions_look:
  %r = phi i64 [0, %regions_begin], [%r_next, %region_known]
  %r_value = phi ptr [%t_value, %regions_begin], [%r_value_next, %region_known]
  %more_regions = icmp slt i64 %r, %region_count
  br i1 %more_regions, label %region_body, label %numbers_begin
region_body:
  %r_row_at = shl i64 %r, 2
  %r_row = getelementptr i64, ptr %regions, i64 %r_row_at
  %r_begin = call i64 @begin(ptr %objects, ptr %r_row)
  %r_storage_number = WORD %r_row, 2
  %r_storage = POINTER %storages, %r_storage_number
  %r_address_object = FIELD %r_storage, $address
  %r_address = call i64 @PyLong_AsLongLong(ptr %r_address_object)
  %r_known = icmp ne i64 %r_address, 0
  br i1 %r_known, label %region_known, label %region_unknown
region_unknown:
  call void @Py_IncRef(ptr %r_storage)
  ret ptr %r_storage
region_known:
  %r_at = add i64 %r_address, %r_begin
  store i64 %r_at, ptr %r_value
  %r_next = add i64 %r, 1
  %r_value_next = getelementptr i64, ptr %r_value, i64 1
  br label %regions_look

numbers_begin:
  %table = POINTER %words, $arguments
  %number_count = WORD %words, $argument
  %float_type = POINTER %words, $float
  %int_type = POINTER %words, $int
  %bool_type = POINTER %words, $bool
  br label %numbers_look
numbers_look:
  %n = phi i64 [0, %numbers_begin], [%n_next, %number_done]
  %n_value = phi ptr [%r_value, %numbers_begin], [%n_value_next, %number_done]
  %more_numbers = icmp slt i64 %n, %number_count
  br i1 %more_numbers, label %number_body, label %call
number_body:
  %n_row_at = shl i64 %n, 1
  %n_row = getelementptr i64, ptr %table, i64 %n_row_at
  %which = WORD %n_row, 0
  %wants_float_word = WORD %n_row, 1
  %wants_float = icmp ne i64 %wants_float_word, 0
  %number = POINTER %numbers, %which
  %number_type = FIELD %number, $type
  %is_float = icmp eq ptr %number_type, %float_type
  %is_int = icmp eq ptr %number_type, %int_type
  %is_bool = icmp eq ptr %number_type, %bool_type
  %is_whole = or i1 %is_int, %is_bool
  br i1 %is_float, label %a_float, label %else_whole
a_float:
  %float_value = call double @PyFloat_AsDouble(ptr %number)
  br i1 %wants_float, label %store_float, label %not_run
store_float:
  store double %float_value, ptr %n_value
  br label %number_done
else_whole:
  br i1 %is_whole, label %a_whole, label %not_run
a_whole:
  %whole_value = call i64 @PyLong_AsLongLong(ptr %number)
  %is_fine = icmp ne i64 %whole_value, -1
  br i1 %is_fine, label %fits, label %may_be_error
may_be_error:
  %error = call ptr @PyErr_Occurred()
  %no_error = icmp eq ptr %error, null
  br i1 %no_error, label %fits, label %clear
clear:
  call void @PyErr_Clear()
  br label %not_run
fits:
  br i1 %wants_float, label %whole_as_float, label %store_whole
whole_as_float:
  %whole_float = sitofp i64 %whole_value to double
  store double %whole_float, ptr %n_value
  br label %number_done
store_whole:
  store i64 %whole_value, ptr %n_value
  br label %number_done
number_done:
  %n_next = add i64 %n, 1
  %n_value_next = getelementptr i64, ptr %n_value, i64 1
  br label %numbers_look

call:
  %program = POINTER %words, $program
  %driver = POINTER %words, $driver
  %thread = call ptr @PyEval_SaveThread()
  call void %driver(ptr %program, ptr %values)
  call void @PyEval_RestoreThread(ptr %thread)
  %yes = call ptr @PyLong_FromLong(i64 1)
  ret ptr %yes
not_run:
  %no = call ptr @PyLong_FromLong(i64 0)
  ret ptr %no
}
"""


@functools.cache
def code_of_operands() -> llvm.Code | None:
    """The functions, for this interpreter; None where it keeps its objects otherwise."""
    where = fields()
    if where is None:
        return None
    names: dict[str, int] = {**PLACES, "references": where.references, "data": where.data, "address": where.address}
    names |= {"kind_bits": KIND_BITS, "kind_mask": (1 << KIND_BITS) - 1}
    names |= {"NUMBER": NUMBER, "AGAIN": AGAIN, "EQUAL": EQUAL, "NEW": NEW, "SHARED": SHARED, "DIFFERENT": DIFFERENT, "OTHER_REFERENCES": OTHER_REFERENCES}
    return load(written_out(_SOURCE, names), "look", "run_entries")
