"""The walk over a graph in the order of a backward pass, as machine code: what `known_pass.read` finds, in a tenth of the time.

The key is a string of words: how many values a node keeps and how many edges it has, numbers for what repeats, and the addresses of objects that are compared by
identity. Whoever keeps a key holds these objects (`known_pass.Kind`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.objects import builtin, fields, load, slot, written_out
from ..graph import CardNode, Node, Packed
from ..storage import Storage, TensorBase
from .routine_node import RoutineNode

# The words of a reader, which the code below reads by these places.
_WORDS = (
    "card_node", "routine_node", "tuple", "list", "packed", "none", "zero",  # objects of Python's
    "nodes_at_most",
    "key", "key_room", "key_size",  # where the key is written, how many words there is room for, how many there are
    "table", "mask", "entries",  # rows of what has been seen, found by hashing: how many less one, and how many are in use
    "stamp",  # of this walk: rows with another one are free
    "waiting", "waiting_room",  # nodes that have been sent something: each with its sequence number and its place
    "overflow",  # whether there was too little room
    "busy",  # whether a walk is under way: it may make Python collect garbage, and so run anybody's code
)  # fmt: skip
_PLACES = {name: n for n, name in enumerate(_WORDS)}
#: A row of the table: the stamp, three words that it is found by, a number, and another.
_ROW = 6
#: An edge that leads nowhere.
_NOWHERE = -(1 << 62)
#: More nodes that wait at the same time are read in Python.
_WAITING_AT_MOST = 256

_SOURCE = r"""
declare ptr @PyLong_AsVoidPtr(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLong(i64)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i64 @PyDict_Size(ptr)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare ptr @PyObject_GenericGetDict(ptr, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyList_New(i64)
declare i32 @PyList_Append(ptr, ptr)
declare ptr @PyBytes_FromStringAndSize(ptr, i64)
declare ptr @PyErr_Occurred()

; The row for three words. A new one has the number -1.
define internal ptr @row(ptr %words, i64 %a, i64 %b, i64 %c) {
entry:
  %table = POINTER %words, $table
  %mask = WORD %words, $mask
  %stamp = WORD %words, $stamp
  %a_part = lshr i64 %a, 4
  %c_part = lshr i64 %c, 4
  %ab = add i64 %a_part, %b
  %mixed = mul i64 %ab, -7046029254386353131
  %with_c = add i64 %mixed, %c_part
  %again = mul i64 %with_c, -4417276706812531889
  %hash = lshr i64 %again, 32
  br label %probe
probe:
  %n = phi i64 [%hash, %entry], [%n_next, %other]
  %place = and i64 %n, %mask
  %at = mul i64 %place, $ROW
  %it = getelementptr i64, ptr %table, i64 %at
  %its_stamp = WORD %it, 0
  %used = icmp eq i64 %its_stamp, %stamp
  br i1 %used, label %compare, label %claim
compare:
  %its_a = WORD %it, 1
  %its_b = WORD %it, 2
  %its_c = WORD %it, 3
  %same_a = icmp eq i64 %its_a, %a
  %same_b = icmp eq i64 %its_b, %b
  %same_c = icmp eq i64 %its_c, %c
  %same_ab = and i1 %same_a, %same_b
  %same = and i1 %same_ab, %same_c
  br i1 %same, label %found, label %other
other:
  %n_next = add i64 %n, 1
  br label %probe
claim:
  store i64 %stamp, ptr %it
  %to_a = getelementptr i64, ptr %it, i64 1
  store i64 %a, ptr %to_a
  %to_b = getelementptr i64, ptr %it, i64 2
  store i64 %b, ptr %to_b
  %to_c = getelementptr i64, ptr %it, i64 3
  store i64 %c, ptr %to_c
  %to_number = getelementptr i64, ptr %it, i64 4
  store i64 -1, ptr %to_number
  %entries_at = getelementptr i64, ptr %words, i64 $entries
  %entries = load i64, ptr %entries_at
  %more = add i64 %entries, 1
  store i64 %more, ptr %entries_at
  %half = lshr i64 %mask, 1
  %full = icmp sge i64 %more, %half
  br i1 %full, label %too_many, label %found
too_many:  ; the table is left with one row in use, so that the walk comes to its end
  %overflow_at = getelementptr i64, ptr %words, i64 $overflow
  store i64 1, ptr %overflow_at
  %stamp_at = getelementptr i64, ptr %words, i64 $stamp
  %stamp_next = add i64 %stamp, 1
  store i64 %stamp_next, ptr %stamp_at
  store i64 0, ptr %entries_at
  br label %found
found:
  ret ptr %it
}

; A word more in the key.
define internal void @add(ptr %words, i64 %word) {
entry:
  %size_at = getelementptr i64, ptr %words, i64 $key_size
  %size = load i64, ptr %size_at
  %room = WORD %words, $key_room
  %fits = icmp slt i64 %size, %room
  br i1 %fits, label %write, label %too_many
write:
  %key = POINTER %words, $key
  %to = getelementptr i64, ptr %key, i64 %size
  store i64 %word, ptr %to
  %size_next = add i64 %size, 1
  store i64 %size_next, ptr %size_at
  ret void
too_many:
  %overflow_at = getelementptr i64, ptr %words, i64 $overflow
  store i64 1, ptr %overflow_at
  ret void
}

; A region that a node has kept. False where it must not be read without looking closer.
define internal i1 @keep(ptr %words, ptr %kept, ptr %regions, ptr %counts) {
entry:
  %region = ITEM %kept, 1
  %version = ITEM %kept, 2
  %storage = ITEM %region, 0
  %offset_object = ITEM %region, 1
  %layout = ITEM %region, 2
  %special = FIELD %storage, $special
  %zero = POINTER %words, $zero
  %ordinary = icmp eq ptr %special, %zero
  %version_now = FIELD %storage, $version
  %unwritten = icmp eq ptr %version_now, %version
  %sound = and i1 %ordinary, %unwritten
  br i1 %sound, label %find, label %no
find:
  %offset = call i64 @PyLong_AsLongLong(ptr %offset_object)
  %storage_word = ptrtoint ptr %storage to i64
  %layout_word = ptrtoint ptr %layout to i64
  %it = call ptr @row(ptr %words, i64 %storage_word, i64 %offset, i64 %layout_word)
  %number_at = getelementptr i64, ptr %it, i64 4
  %number = load i64, ptr %number_at
  %known = icmp sge i64 %number, 0
  br i1 %known, label %again, label %new
again:
  call void @add(ptr %words, i64 %number)
  ret i1 true
new:
  %count = load i64, ptr %counts
  store i64 %count, ptr %number_at
  %count_next = add i64 %count, 1
  store i64 %count_next, ptr %counts
  %failed = call i32 @PyList_Append(ptr %regions, ptr %region)
  %its = call ptr @row(ptr %words, i64 %storage_word, i64 -1, i64 0)
  %its_number_at = getelementptr i64, ptr %its, i64 4
  %its_number = load i64, ptr %its_number_at
  %begin_at = getelementptr i64, ptr %its, i64 5
  %is_known = icmp sge i64 %its_number, 0
  br i1 %is_known, label %shared, label %own
own:
  %storages_at = getelementptr i64, ptr %counts, i64 1
  %storages = load i64, ptr %storages_at
  store i64 %storages, ptr %its_number_at
  store i64 %offset, ptr %begin_at
  %storages_next = add i64 %storages, 1
  store i64 %storages_next, ptr %storages_at
  call void @add(ptr %words, i64 -1)
  ret i1 true
shared:  ; how operands over one storage lie to each other must not change
  %begin = load i64, ptr %begin_at
  %distance = sub i64 %offset, %begin
  call void @add(ptr %words, i64 %its_number)
  call void @add(ptr %words, i64 %distance)
  call void @add(ptr %words, i64 -2)
  ret i1 true
no:
  ret i1 false
}

; A node is sent something. Answers its place, or -1 where too many wait.
define internal i64 @send(ptr %words, ptr %node, ptr %counts) {
entry:
  %waiting = POINTER %words, $waiting
  %room = WORD %words, $waiting_room
  %count_at = getelementptr i64, ptr %counts, i64 4
  %count = load i64, ptr %count_at
  %last = sub i64 %count, 1
  br label %look
look:  ; the latest first
  %n = phi i64 [%last, %entry], [%n_next, %next]
  %more = icmp sge i64 %n, 0
  br i1 %more, label %compare, label %new
compare:
  %at = mul i64 %n, 3
  %it = getelementptr i64, ptr %waiting, i64 %at
  %its_node = load ptr, ptr %it
  %same = icmp eq ptr %its_node, %node
  br i1 %same, label %found, label %next
next:
  %n_next = sub i64 %n, 1
  br label %look
found:
  %place = WORD %it, 2
  ret i64 %place
new:
  %fits = icmp slt i64 %count, %room
  br i1 %fits, label %write, label %no
write:
  %new_at = mul i64 %count, 3
  %to = getelementptr i64, ptr %waiting, i64 %new_at
  store ptr %node, ptr %to
  %sequence_object = FIELD %node, $sequence
  %sequence = call i64 @PyLong_AsLongLong(ptr %sequence_object)
  %to_sequence = getelementptr i64, ptr %to, i64 1
  store i64 %sequence, ptr %to_sequence
  %places_at = getelementptr i64, ptr %counts, i64 3
  %places = load i64, ptr %places_at
  %to_place = getelementptr i64, ptr %to, i64 2
  store i64 %places, ptr %to_place
  %places_next = add i64 %places, 1
  store i64 %places_next, ptr %places_at
  %count_next = add i64 %count, 1
  store i64 %count_next, ptr %count_at
  ret i64 %places
no:
  ret i64 -1
}

; The newest of the nodes that wait, which does not wait any more.
define internal ptr @newest(ptr %words, ptr %counts) {
entry:
  %waiting = POINTER %words, $waiting
  %count_at = getelementptr i64, ptr %counts, i64 4
  %count = load i64, ptr %count_at
  br label %look
look:
  %n = phi i64 [0, %entry], [%n_next, %next]
  %best = phi i64 [0, %entry], [%best_next, %next]
  %highest = phi i64 [-1, %entry], [%highest_next, %next]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %next, label %take
next:
  %at = mul i64 %n, 3
  %it = getelementptr i64, ptr %waiting, i64 %at
  %sequence = WORD %it, 1
  %newer = icmp sgt i64 %sequence, %highest
  %best_next = select i1 %newer, i64 %n, i64 %best
  %highest_next = select i1 %newer, i64 %sequence, i64 %highest
  %n_next = add i64 %n, 1
  br label %look
take:
  %best_at = mul i64 %best, 3
  %to = getelementptr i64, ptr %waiting, i64 %best_at
  %node = load ptr, ptr %to
  %last = sub i64 %count, 1
  store i64 %last, ptr %count_at
  %last_at = mul i64 %last, 3
  %from = getelementptr i64, ptr %waiting, i64 %last_at
  %last_node = WORD %from, 0
  %last_sequence = WORD %from, 1
  %last_place = WORD %from, 2
  store i64 %last_node, ptr %to
  %to_sequence = getelementptr i64, ptr %to, i64 1
  store i64 %last_sequence, ptr %to_sequence
  %to_place = getelementptr i64, ptr %to, i64 2
  store i64 %last_place, ptr %to_place
  ret ptr %node
}

; One node: what it has kept, and where it leads. False where it takes Python.
define internal i1 @visit(ptr %words, ptr %node, ptr %lists, ptr %counts) {
entry:
  %place = alloca i64
  %key_out = alloca ptr
  %value_out = alloca ptr
  %regions = POINTER %lists, 2
  %type = FIELD %node, $type
  %card_node = POINTER %words, $card_node
  %routine_node = POINTER %words, $routine_node
  %is_card = icmp eq ptr %type, %card_node
  %is_routine = icmp eq ptr %type, %routine_node
  %is_own = or i1 %is_card, %is_routine
  br i1 %is_own, label %of_type, label %no
of_type:
  %notes = call ptr @PyObject_GenericGetDict(ptr %node, ptr null)
  %has_notes = icmp ne ptr %notes, null
  br i1 %has_notes, label %notes_look, label %no
notes_look:
  %noted = call i64 @PyDict_Size(ptr %notes)
  call void @Py_DecRef(ptr %notes)
  %unwatched = icmp eq i64 %noted, 0
  br i1 %unwatched, label %saved_look, label %no
saved_look:
  %saved_of_card = FIELD %node, $card_saved
  %saved_of_routine = FIELD %node, $routine_saved
  %saved = select i1 %is_card, ptr %saved_of_card, ptr %saved_of_routine
  %gradient_of_card = FIELD %node, $card_gradient
  %gradient_of_routine = FIELD %node, $routine_gradient
  %gradient = select i1 %is_card, ptr %gradient_of_card, ptr %gradient_of_routine
  %none = POINTER %words, $none
  %released = icmp eq ptr %saved, %none
  br i1 %released, label %no, label %kept_begin
kept_begin:
  %gradient_word = ptrtoint ptr %gradient to i64
  call void @add(ptr %words, i64 %gradient_word)
  %size = call i64 @PyDict_Size(ptr %saved)
  call void @add(ptr %words, i64 %size)
  store i64 0, ptr %place
  %tuple = POINTER %words, $tuple
  %packed = POINTER %words, $packed
  br label %kept_look
kept_look:
  %there = call i32 @PyDict_Next(ptr %saved, ptr %place, ptr %key_out, ptr %value_out)
  %is_there = icmp ne i32 %there, 0
  br i1 %is_there, label %one, label %edges_begin
one:
  %value = load ptr, ptr %value_out
  %value_type = FIELD %value, $type
  %is_kept = icmp eq ptr %value_type, %tuple
  br i1 %is_kept, label %a_region, label %else_number
a_region:
  %fine = call i1 @keep(ptr %words, ptr %value, ptr %regions, ptr %counts)
  br i1 %fine, label %kept_look, label %no
else_number:
  %is_packed = icmp eq ptr %value_type, %packed
  br i1 %is_packed, label %no, label %a_number
a_number:
  %numbers = POINTER %lists, 0
  %number_failed = call i32 @PyList_Append(ptr %numbers, ptr %value)
  %value_type_word = ptrtoint ptr %value_type to i64
  call void @add(ptr %words, i64 %value_type_word)
  br label %kept_look

edges_begin:
  %edges = FIELD %node, $edges
  %edges_type = FIELD %edges, $type
  %list = POINTER %words, $list
  %count = FIELD %edges, $size
  %edge_count = ptrtoint ptr %count to i64
  %in_tuple = icmp eq ptr %edges_type, %tuple
  br i1 %in_tuple, label %a_tuple, label %else_list
a_tuple:
  %tuple_items = getelementptr i8, ptr %edges, i64 $items
  br label %edges_sound
else_list:
  %in_list = icmp eq ptr %edges_type, %list
  br i1 %in_list, label %a_list, label %no
a_list:
  %list_items_of = FIELD %edges, $list_items
  br label %edges_sound
edges_sound:
  %items = phi ptr [%tuple_items, %a_tuple], [%list_items_of, %a_list]
  call void @add(ptr %words, i64 %edge_count)
  br label %edges_look
edges_look:
  %e = phi i64 [0, %edges_sound], [%e_next, %following]
  %more_edges = icmp slt i64 %e, %edge_count
  br i1 %more_edges, label %edge, label %yes
edge:
  %to = POINTER %items, %e
  %to_type = FIELD %to, $type
  %to_node = icmp eq ptr %to_type, %tuple
  br i1 %to_node, label %a_node, label %else_none
a_node:
  %child = ITEM %to, 0
  %output_object = ITEM %to, 1
  %child_place = call i64 @send(ptr %words, ptr %child, ptr %counts)
  %too_many = icmp slt i64 %child_place, 0
  br i1 %too_many, label %no, label %sent
sent:
  %output = call i64 @PyLong_AsLongLong(ptr %output_object)
  call void @add(ptr %words, i64 %child_place)
  call void @add(ptr %words, i64 %output)
  br label %following
else_none:
  %nowhere = icmp eq ptr %to, %none
  br i1 %nowhere, label %a_none, label %a_leaf
a_none:
  call void @add(ptr %words, i64 $NOWHERE)
  br label %following
a_leaf:
  %leaf_word = ptrtoint ptr %to to i64
  %leaf_row = call ptr @row(ptr %words, i64 %leaf_word, i64 -2, i64 0)
  %leaf_number_at = getelementptr i64, ptr %leaf_row, i64 4
  %leaf_known_number = load i64, ptr %leaf_number_at
  %leaf_known = icmp sge i64 %leaf_known_number, 0
  br i1 %leaf_known, label %leaf_done, label %new_leaf
new_leaf:
  %leaves_at = getelementptr i64, ptr %counts, i64 2
  %leaves = load i64, ptr %leaves_at
  store i64 %leaves, ptr %leaf_number_at
  %leaves_next = add i64 %leaves, 1
  store i64 %leaves_next, ptr %leaves_at
  %leaf_list = POINTER %lists, 3
  %leaf_failed = call i32 @PyList_Append(ptr %leaf_list, ptr %to)
  %leaf_layout = FIELD %to, $layout
  %leaf_layout_word = ptrtoint ptr %leaf_layout to i64
  call void @add(ptr %words, i64 %leaf_layout_word)
  br label %leaf_done
leaf_done:
  %leaf_number = phi i64 [%leaf_known_number, %a_leaf], [%leaves, %new_leaf]
  %below = sub i64 -1, %leaf_number
  call void @add(ptr %words, i64 %below)
  br label %following
following:
  %e_next = add i64 %e, 1
  br label %edges_look
yes:
  ret i1 true
no:
  ret i1 false
}

; read(node, region of the first gradient): (key, numbers, nodes, regions, leaves). None: it takes Python. 0: there is too little room.
define ptr @read(ptr %self, ptr %arguments, i64 %argument_count) {
entry:
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %busy_at = getelementptr i64, ptr %words, i64 $busy
  %busy = load i64, ptr %busy_at
  %free = icmp eq i64 %busy, 0
  br i1 %free, label %start, label %leave_it
start:
  store i64 1, ptr %busy_at
  %found = call ptr @walk(ptr %words, ptr %arguments)
  store i64 0, ptr %busy_at
  ret ptr %found
leave_it:
  %none = POINTER %words, $none
  call void @Py_IncRef(ptr %none)
  ret ptr %none
}

define internal ptr @walk(ptr %words, ptr %arguments) {
entry:
  %counts = alloca [5 x i64]  ; of regions, storages, leaves, places, nodes that wait
  %lists = alloca [4 x ptr]  ; numbers, nodes, regions, leaves
  %root = POINTER %arguments, 0
  %first = POINTER %arguments, 1
  %answer = call ptr @PyTuple_New(i64 5)
  %made = icmp ne ptr %answer, null
  br i1 %made, label %lists_look, label %failed
lists_look:
  %l = phi i64 [0, %entry], [%l_next, %list_good]
  %more_lists = icmp slt i64 %l, 4
  br i1 %more_lists, label %list_make, label %begin
list_make:
  %list = call ptr @PyList_New(i64 0)
  %list_made = icmp ne ptr %list, null
  br i1 %list_made, label %list_good, label %drop_failed
list_good:
  %list_to = getelementptr ptr, ptr %lists, i64 %l
  store ptr %list, ptr %list_to
  %l_next = add i64 %l, 1
  %set = call i32 @PyTuple_SetItem(ptr %answer, i64 %l_next, ptr %list)
  br label %lists_look

begin:
  %stamp_at = getelementptr i64, ptr %words, i64 $stamp
  %stamp = load i64, ptr %stamp_at
  %stamp_next = add i64 %stamp, 1
  store i64 %stamp_next, ptr %stamp_at
  %entries_at = getelementptr i64, ptr %words, i64 $entries
  store i64 0, ptr %entries_at
  %size_at = getelementptr i64, ptr %words, i64 $key_size
  store i64 0, ptr %size_at
  %overflow_at = getelementptr i64, ptr %words, i64 $overflow
  store i64 0, ptr %overflow_at
  store i64 1, ptr %counts
  %storages_at = getelementptr i64, ptr %counts, i64 1
  store i64 1, ptr %storages_at
  %leaves_at = getelementptr i64, ptr %counts, i64 2
  store i64 0, ptr %leaves_at
  %places_at = getelementptr i64, ptr %counts, i64 3
  store i64 0, ptr %places_at
  %waiting_at = getelementptr i64, ptr %counts, i64 4
  store i64 0, ptr %waiting_at
  %storage = ITEM %first, 0
  %offset_object = ITEM %first, 1
  %layout = ITEM %first, 2
  %offset = call i64 @PyLong_AsLongLong(ptr %offset_object)
  %storage_word = ptrtoint ptr %storage to i64
  %layout_word = ptrtoint ptr %layout to i64
  %region_row = call ptr @row(ptr %words, i64 %storage_word, i64 %offset, i64 %layout_word)
  %region_number_at = getelementptr i64, ptr %region_row, i64 4
  store i64 0, ptr %region_number_at
  %storage_row = call ptr @row(ptr %words, i64 %storage_word, i64 -1, i64 0)
  %storage_number_at = getelementptr i64, ptr %storage_row, i64 4
  store i64 0, ptr %storage_number_at
  %storage_begin_at = getelementptr i64, ptr %storage_row, i64 5
  store i64 %offset, ptr %storage_begin_at
  %regions = POINTER %lists, 2
  %first_failed = call i32 @PyList_Append(ptr %regions, ptr %first)
  %first_place = call i64 @send(ptr %words, ptr %root, ptr %counts)
  %nodes_at_most = WORD %words, $nodes_at_most
  %nodes = POINTER %lists, 1
  br label %nodes_look

nodes_look:
  %n = phi i64 [0, %begin], [%n_next, %visited]
  %overflow = load i64, ptr %overflow_at
  %sound = icmp eq i64 %overflow, 0
  br i1 %sound, label %nodes_more, label %too_small
nodes_more:
  %waiting = load i64, ptr %waiting_at
  %more = icmp sgt i64 %waiting, 0
  br i1 %more, label %node_look, label %end
node_look:
  %small = icmp slt i64 %n, %nodes_at_most
  br i1 %small, label %node, label %no
node:
  %it = call ptr @newest(ptr %words, ptr %counts)
  %fine = call i1 @visit(ptr %words, ptr %it, ptr %lists, ptr %counts)
  br i1 %fine, label %visited, label %no
visited:
  %node_failed = call i32 @PyList_Append(ptr %nodes, ptr %it)
  %n_next = add i64 %n, 1
  br label %nodes_look

end:
  %error = call ptr @PyErr_Occurred()
  %no_error = icmp eq ptr %error, null
  br i1 %no_error, label %give, label %drop_failed
give:
  %key = POINTER %words, $key
  %size = load i64, ptr %size_at
  %bytes = shl i64 %size, 3
  %string = call ptr @PyBytes_FromStringAndSize(ptr %key, i64 %bytes)
  %string_made = icmp ne ptr %string, null
  br i1 %string_made, label %finish, label %drop_failed
finish:
  %set_key = call i32 @PyTuple_SetItem(ptr %answer, i64 0, ptr %string)
  ret ptr %answer
too_small:
  call void @Py_DecRef(ptr %answer)
  %nothing = call ptr @PyLong_FromLong(i64 0)
  ret ptr %nothing
no:
  %why = call ptr @PyErr_Occurred()
  %only_no = icmp eq ptr %why, null
  br i1 %only_no, label %answer_no, label %drop_failed
answer_no:
  call void @Py_DecRef(ptr %answer)
  %none = POINTER %words, $none
  call void @Py_IncRef(ptr %none)
  ret ptr %none
drop_failed:
  call void @Py_DecRef(ptr %answer)
  br label %failed
failed:
  ret ptr null
}
"""


class GraphReader:
    """`read(node, region)`: the key of a graph, and the numbers, nodes, regions and leaves in it, each in the order of the walk; or None."""

    def __init__(self, nodes_at_most: int) -> None:
        self._nodes_at_most = nodes_at_most
        self._read: Callable[..., Any] = self._begin
        self._rows = 1 << 9

    def _begin(self, node: Node, region: Any) -> Any:
        """The first walk: nothing is compiled before."""
        code = _code()
        self._read = _leave_it if code is None else self._with_room(code)
        return self._read(node, region)

    def _with_room(self, code: Any) -> Callable[..., Any]:
        """The function, for graphs of half as many regions, storages and leaves as there are rows."""
        rows, room = self._rows, 4 * self._rows
        words = np.zeros(len(_WORDS) + room + rows * _ROW + 3 * _WAITING_AT_MOST, np.int64)
        begin = len(_WORDS)
        key, table, waiting = (int(words.ctypes.data) + words.itemsize * at for at in (begin, begin + room, begin + room + rows * _ROW))
        known: dict[str, int] = {name: id(value) for name, value in _OBJECTS.items()}
        known |= {"nodes_at_most": self._nodes_at_most, "key": key, "key_room": room, "table": table, "mask": rows - 1, "waiting": waiting, "waiting_room": _WAITING_AT_MOST}
        words[: len(_WORDS)] = [known.get(name, 0) for name in _WORDS]
        return builtin(code, "read", words, arguments=None)

    def read(self, node: Node, region: Any) -> tuple[bytes, list[Any], list[Any], list[Any], list[Any]] | None:
        """None where somebody must look closer, which Python does, or where there is no such code."""
        found = self._read(node, region)
        while found == 0:
            self._rows *= 4
            self._read = self._with_room(_code())
            found = self._read(node, region)
        return found


def _leave_it(node: Node, region: Any) -> None:
    """Nothing is found without machine code."""


_OBJECTS: dict[str, Any] = {"card_node": CardNode, "routine_node": RoutineNode, "tuple": tuple, "list": list, "packed": Packed, "none": None, "zero": 0}


@functools.cache
def _code() -> Any:
    """The function, for this interpreter; None where it keeps its objects otherwise."""
    if fields() is None:
        return None
    names = {**_PLACES, "ROW": _ROW, "NOWHERE": _NOWHERE}
    names |= {"special": slot(Storage, "special", 0), "version": slot(Storage, "version", 0), "layout": slot(TensorBase, "_layout")}
    names |= {"sequence": slot(Node, "sequence"), "edges": slot(Node, "edges")}
    names |= {f"{kind}_{name}": slot(node, name) for kind, node in (("card", CardNode), ("routine", RoutineNode)) for name in ("saved", "gradient")}
    return load(written_out(_SOURCE, names), "read")
