"""The node of an op that machine code records (record_code.py): which operands need gradients, where these go, and what is kept for them.

It does what `card._attach` and `CardNode.of` do, as text that is part of the recorder's.
"""

from __future__ import annotations

HISTORY = r"""
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLong(i64)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyDict_New()
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyIter_Next(ptr)

; A slot of an object that has just been made.
define internal void @put(ptr %object, i64 %place, ptr %value) {
entry:
  call void @Py_IncRef(ptr %value)
  %to = getelementptr i8, ptr %object, i64 %place
  store ptr %value, ptr %to
  ret void
}

; An item of a tuple that has just been made.
define internal void @item(ptr %tuple, i64 %n, ptr %value) {
entry:
  call void @Py_IncRef(ptr %value)
  %set = call i32 @PyTuple_SetItem(ptr %tuple, i64 %n, ptr %value)
  ret void
}

define internal ptr @region(ptr %storage, ptr %offset, ptr %layout) {
entry:
  %made = call ptr @PyTuple_New(i64 3)
  %there = icmp ne ptr %made, null
  br i1 %there, label %fill, label %end
fill:
  call void @item(ptr %made, i64 0, ptr %storage)
  call void @item(ptr %made, i64 1, ptr %offset)
  call void @item(ptr %made, i64 2, ptr %layout)
  br label %end
end:
  ret ptr %made
}

; Whether what a dictionary has under the word number 2 is the word number 3.
define internal i1 @is(ptr %words, ptr %dictionary, i64 %name_place, i64 %wanted_place) {
entry:
  %name = POINTER %words, %name_place
  %wanted = POINTER %words, %wanted_place
  %value = call ptr @PyDict_GetItemWithError(ptr %dictionary, ptr %name)
  %same = icmp eq ptr %value, %wanted
  ret i1 %same
}

; Whether an attribute of an object is this one.
define internal i1 @attribute_is(ptr %object, ptr %name, ptr %wanted) {
entry:
  %value = call ptr @PyObject_GetAttr(ptr %object, ptr %name)
  %there = icmp ne ptr %value, null
  br i1 %there, label %compare, label %no
compare:
  call void @Py_DecRef(ptr %value)
  %same = icmp eq ptr %value, %wanted
  ret i1 %same
no:
  ret i1 false
}

define internal i1 @is_tensor(ptr %words, ptr %type) {
entry:
  %tensor = POINTER %words, $tensor
  %parameter = POINTER %words, $parameter
  %plain = icmp eq ptr %type, %tensor
  %other = icmp eq ptr %type, %parameter
  %either = or i1 %plain, %other
  ret i1 %either
}

; So many edges are not needed.
define internal void @drop(ptr %edges, i64 %count) {
entry:
  br label %look
look:
  %n = phi i64 [0, %entry], [%n_next, %one]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %one, label %all
one:
  %edge = POINTER %edges, %n
  call void @Py_DecRef(ptr %edge)
  %n_next = add i64 %n, 1
  br label %look
all:
  ret void
}

; What operands need of a gradient, a bit for each, and in `edges` an object for each; -1 where somebody must look closer.
define internal i64 @needs(ptr %words, ptr %items, i64 %count, ptr %edges) {
entry:
  %none = POINTER %words, $none
  %true = POINTER %words, $true
  %false = POINTER %words, $false
  %output_nr_name = POINTER %words, $_output_nr
  %inference_name = POINTER %words, $_inference
  %seen_name = POINTER %words, $_seen_version
  br label %look
look:
  %n = phi i64 [0, %entry], [%n_next, %next]
  %bits = phi i64 [0, %entry], [%bits_next, %next]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %operand, label %all
operand:
  %t = POINTER %items, %n
  %type = FIELD %t, $type
  %is_tensor = call i1 @is_tensor(ptr %words, ptr %type)
  br i1 %is_tensor, label %a_tensor, label %without
a_tensor:
  %base = FIELD %t, $base
  %is_view = icmp ne ptr %base, %none
  br i1 %is_view, label %a_view, label %history
a_view:
  %base_requires = FIELD %base, $requires_grad
  %base_has = icmp eq ptr %base_requires, %true
  br i1 %base_has, label %a_followed_view, label %history
a_followed_view:  ; its history must be that of its base
  %storage = FIELD %t, $storage_of
  %version = FIELD %storage, $version
  %fresh = call i1 @attribute_is(ptr %t, ptr %seen_name, ptr %version)
  br i1 %fresh, label %history, label %no
history:
  %node = FIELD %t, $node
  %has_node = icmp ne ptr %node, %none
  br i1 %has_node, label %a_node, label %else_leaf
a_node:
  %output_nr = call ptr @PyObject_GetAttr(ptr %t, ptr %output_nr_name)
  %edge = call ptr @PyTuple_New(i64 2)
  %edge_made = icmp ne ptr %edge, null
  br i1 %edge_made, label %edge_fill, label %no
edge_fill:
  call void @item(ptr %edge, i64 0, ptr %node)
  %set = call i32 @PyTuple_SetItem(ptr %edge, i64 1, ptr %output_nr)
  br label %needed
else_leaf:
  %requires = FIELD %t, $requires_grad
  %is_leaf = icmp eq ptr %requires, %true
  br i1 %is_leaf, label %a_leaf, label %ordinary_look
a_leaf:
  call void @Py_IncRef(ptr %t)
  br label %needed
ordinary_look:
  %ordinary = call i1 @attribute_is(ptr %t, ptr %inference_name, ptr %false)
  br i1 %ordinary, label %without, label %no
needed:
  %needed_edge = phi ptr [%edge, %edge_fill], [%t, %a_leaf]
  %bit = shl i64 1, %n
  %with = or i64 %bits, %bit
  br label %next
without:
  call void @Py_IncRef(ptr %none)
  br label %next
next:
  %bits_next = phi i64 [%with, %needed], [%bits, %without]
  %it = phi ptr [%needed_edge, %needed], [%none, %without]
  %to = getelementptr ptr, ptr %edges, i64 %n
  store ptr %it, ptr %to
  %n_next = add i64 %n, 1
  br label %look
all:
  ret i64 %bits
no:
  call void @drop(ptr %edges, i64 %n)
  ret i64 -1
}

; What a node keeps of a region, which is named by a tuple of the node's own (tape.py).
define internal i1 @keep(ptr %saved, ptr %place, ptr %tensor, ptr %region, ptr %version) {
entry:
  %storage = ITEM %region, 0
  %offset = ITEM %region, 1
  %layout = ITEM %region, 2
  %own = call ptr @region(ptr %storage, ptr %offset, ptr %layout)
  %kept = call ptr @PyTuple_New(i64 3)
  %has_own = icmp ne ptr %own, null
  %has_kept = icmp ne ptr %kept, null
  %has_both = and i1 %has_own, %has_kept
  br i1 %has_both, label %fill, label %failed
fill:
  call void @item(ptr %kept, i64 0, ptr %tensor)
  %set_region = call i32 @PyTuple_SetItem(ptr %kept, i64 1, ptr %own)
  call void @item(ptr %kept, i64 2, ptr %version)
  %set = call i32 @PyDict_SetItem(ptr %saved, ptr %place, ptr %kept)
  call void @Py_DecRef(ptr %kept)
  %sound = icmp eq i32 %set, 0
  ret i1 %sound
failed:
  ret i1 false
}

; The node of an output: it takes the edges over. What fails here is a lack of memory.
define internal ptr @node(ptr %words, ptr %plan, ptr %gradient, ptr %position, ptr %edges, ptr %items, i64 %count, ptr %regions, ptr %output) {
entry:
  %new = POINTER %words, $new
  %class = POINTER %words, $card_node
  %nothing = POINTER %words, $nothing
  %none = POINTER %words, $none
  %zero = POINTER %words, $zero
  %edge_tuple = call ptr @PyTuple_New(i64 %count)
  %saves_anything = FIELD %gradient, $saves_anything
  %true = POINTER %words, $true
  %does_save = icmp eq ptr %saves_anything, %true
  br i1 %does_save, label %own_dictionary, label %no_dictionary
own_dictionary:
  %own_saved = call ptr @PyDict_New()
  br label %make
no_dictionary:
  %without = POINTER %words, $saves_nothing
  call void @Py_IncRef(ptr %without)
  br label %make
make:
  %saved = phi ptr [%own_saved, %own_dictionary], [%without, %no_dictionary]
  %node = call ptr %new(ptr %class, ptr %nothing, ptr null)
  %iterator = POINTER %words, $sequence
  %number = call ptr @PyIter_Next(ptr %iterator)
  %has_edges = icmp ne ptr %edge_tuple, null
  %has_saved = icmp ne ptr %saved, null
  %has_node = icmp ne ptr %node, null
  %has_both = and i1 %has_edges, %has_saved
  %has_all = and i1 %has_both, %has_node
  br i1 %has_all, label %edges_look, label %failed
edges_look:
  %e = phi i64 [0, %make], [%e_next, %edge]
  %more_edges = icmp slt i64 %e, %count
  br i1 %more_edges, label %edge, label %saves
edge:
  %its_edge = POINTER %edges, %e
  %set_edge = call i32 @PyTuple_SetItem(ptr %edge_tuple, i64 %e, ptr %its_edge)
  %e_next = add i64 %e, 1
  br label %edges_look

saves:
  %which = FIELD %gradient, $saves
  %which_size = FIELD %which, $size
  %which_count = ptrtoint ptr %which_size to i64
  br label %saves_look
saves_look:
  %s = phi i64 [0, %saves], [%s_next, %saved_one]
  %more_saves = icmp slt i64 %s, %which_count
  br i1 %more_saves, label %save, label %outputs
save:
  %place_object = ITEM %which, %s
  %place = call i64 @PyLong_AsLongLong(ptr %place_object)
  %t = POINTER %items, %place
  %region = POINTER %regions, %place
  %is_region = icmp ne ptr %region, null
  br i1 %is_region, label %save_tensor, label %save_number
save_tensor:
  %storage = FIELD %t, $storage_of
  %version = FIELD %storage, $version
  %kept = call i1 @keep(ptr %saved, ptr %place_object, ptr %t, ptr %region, ptr %version)
  br i1 %kept, label %saved_one, label %failed
save_number:
  %set_number = call i32 @PyDict_SetItem(ptr %saved, ptr %place_object, ptr %t)
  br label %saved_one
saved_one:
  %s_next = add i64 %s, 1
  br label %saves_look

outputs:
  %saves_outputs = FIELD %gradient, $saves_outputs
  %outputs_size = FIELD %saves_outputs, $size
  %keeps_output = icmp ne ptr %outputs_size, null
  br i1 %keeps_output, label %save_output, label %fill
save_output:
  %minus_one = call ptr @PyLong_FromLong(i64 -1)
  %kept_output = call i1 @keep(ptr %saved, ptr %minus_one, ptr %none, ptr %output, ptr %zero)
  br i1 %kept_output, label %fill, label %failed
fill:
  %layouts = FIELD %plan, $outs
  call void @put(ptr %node, i64 $node_plan, ptr %plan)
  call void @put(ptr %node, i64 $node_gradient, ptr %gradient)
  call void @put(ptr %node, i64 $node_position, ptr %position)
  call void @put(ptr %node, i64 $node_layouts, ptr %layouts)
  call void @put(ptr %node, i64 $node_edges, ptr %edge_tuple)
  call void @put(ptr %node, i64 $node_sequence, ptr %number)
  call void @put(ptr %node, i64 $node_saved, ptr %saved)
  call void @Py_DecRef(ptr %edge_tuple)
  call void @Py_DecRef(ptr %number)
  call void @Py_DecRef(ptr %saved)
  ret ptr %node
failed:
  ret ptr null
}

"""
