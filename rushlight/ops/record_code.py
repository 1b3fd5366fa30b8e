"""Recording an op whose plan is known, as machine code: what `card.apply` does for ordinary tensors, in a third of the time.

The key of the plan, the output with its storage, the node with its edges and what it keeps, the entry, and where the program made the call: each is a few objects
of Python's, which take longer to make in Python than most small ops take to run. Whatever is out of the ordinary is refused before anything is
done, and `card.apply` does it: modes that watch ops, tensors of other classes, memory that others see, plans that are not known yet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import config, tape
from ..engine.objects import builtin, fields, load, object_new, place_of, slot, written_out
from ..graph import NOTHING, CardNode, Node, sequence, tensor_class
from ..shape import Layout
from ..storage import Storage, TensorBase
from .gradient import Gradient
from .plan import Plan
from .record_history import HISTORY

# The words of the recorder, which the code below reads by these places: all are objects of Python's but the first.
_WORDS = (
    "new",  # the address of `object.__new__`
    "tensor", "parameter", "storage", "card_node", "tuple", "list", "float", "int", "bool", "none", "true", "false", "zero", "nothing", "refusal",
    "plans", "state", "config", "internal", "sequence", "append", "flush", "getframe", "depth", "saves_nothing",
    "autocast", "tracer", "anomaly", "saved_hooks", "inference", "enabled", "immediate", "owed", "OWED_BYTES", "budget", "_output_nr", "_inference", "_seen_version",
)  # fmt: skip
#: The search for the program's frame begins behind the function that applies cards, and the op.
_DEPTH = 2
#: Ops of more operands are recorded in Python.
_OPERANDS_AT_MOST = 24

_SOURCE = HISTORY + r"""
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyObject_CallOneArg(ptr, ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare ptr @PyFrame_GetCode(ptr)
declare ptr @PyFrame_GetBack(ptr)
declare i32 @PyFrame_GetLasti(ptr)

; Where the program has called into the package, as `tape.user_position` finds it; null where a file is not known yet.
define internal ptr @user_position(ptr %words) {
entry:
  %internal = POINTER %words, $internal
  %true = POINTER %words, $true
  %false = POINTER %words, $false
  %getframe = POINTER %words, $getframe
  %depth = POINTER %words, $depth
  %first = call ptr @PyObject_CallOneArg(ptr %getframe, ptr %depth)
  %has_first = icmp ne ptr %first, null
  br i1 %has_first, label %look, label %too_deep
too_deep:  ; called from C, with no Python beneath
  call void @PyErr_Clear()
  ret ptr null
look:
  %frame = phi ptr [%first, %entry], [%back, %up]
  %is_frame = icmp ne ptr %frame, null
  br i1 %is_frame, label %a_frame, label %none
a_frame:
  %code = call ptr @PyFrame_GetCode(ptr %frame)
  %filename = FIELD %code, $filename
  %is_ours = call ptr @PyDict_GetItemWithError(ptr %internal, ptr %filename)
  %outside = icmp eq ptr %is_ours, %false
  br i1 %outside, label %found, label %else_ours
else_ours:
  call void @Py_DecRef(ptr %code)
  %inside = icmp eq ptr %is_ours, %true
  br i1 %inside, label %up, label %unknown
up:
  %back = call ptr @PyFrame_GetBack(ptr %frame)
  call void @Py_DecRef(ptr %frame)
  br label %look
unknown:
  call void @Py_DecRef(ptr %frame)
  br label %none
none:
  ret ptr null
found:
  %instruction_32 = call i32 @PyFrame_GetLasti(ptr %frame)
  call void @Py_DecRef(ptr %frame)
  %instruction = sext i32 %instruction_32 to i64
  %number = call ptr @PyLong_FromLong(i64 %instruction)
  %position = call ptr @PyTuple_New(i64 2)
  %made = icmp ne ptr %position, null
  br i1 %made, label %fill, label %drop
fill:
  %set_code = call i32 @PyTuple_SetItem(ptr %position, i64 0, ptr %code)
  %set_number = call i32 @PyTuple_SetItem(ptr %position, i64 1, ptr %number)
  ret ptr %position
drop:
  call void @Py_DecRef(ptr %code)
  ret ptr null
}

; The plan for operands, which the dictionary holds; null where there is none, or an operand is out of the ordinary. `follow`: whether one may have a history.
define internal ptr @plan_of(ptr %words, ptr %card, ptr %static, ptr %items, i64 %count, ptr %follow) {
entry:
  %none = POINTER %words, $none
  %true = POINTER %words, $true
  %zero = POINTER %words, $zero
  %float = POINTER %words, $float
  %int = POINTER %words, $int
  %bool = POINTER %words, $bool
  %size = add i64 %count, 2
  %key = call ptr @PyTuple_New(i64 %size)
  %key_made = icmp ne ptr %key, null
  br i1 %key_made, label %begin, label %nothing
begin:
  call void @item(ptr %key, i64 0, ptr %card)
  call void @item(ptr %key, i64 1, ptr %static)
  br label %look
look:
  %n = phi i64 [0, %begin], [%n_next, %next]
  %followed = phi i1 [false, %begin], [%followed_next, %next]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %operand, label %all
operand:
  %t = POINTER %items, %n
  %type = FIELD %t, $type
  %is_tensor = call i1 @is_tensor(ptr %words, ptr %type)
  br i1 %is_tensor, label %a_tensor, label %a_number
a_tensor:
  %storage = FIELD %t, $storage_of
  %special = FIELD %storage, $special
  %ordinary = icmp eq ptr %special, %zero
  br i1 %ordinary, label %has_history, label %no
has_history:
  %layout = FIELD %t, $layout
  %requires = FIELD %t, $requires_grad
  %base = FIELD %t, $base
  %is_asked = icmp eq ptr %requires, %true
  %is_view = icmp ne ptr %base, %none
  %may = or i1 %is_asked, %is_view
  br label %next
a_number:
  %is_float = icmp eq ptr %type, %float
  %is_int = icmp eq ptr %type, %int
  %is_bool = icmp eq ptr %type, %bool
  %is_whole = or i1 %is_int, %is_bool
  %is_number = or i1 %is_float, %is_whole
  br i1 %is_number, label %next, label %no
next:
  %part = phi ptr [%layout, %has_history], [%type, %a_number]
  %its = phi i1 [%may, %has_history], [false, %a_number]
  %followed_next = or i1 %followed, %its
  %place = add i64 %n, 2
  call void @item(ptr %key, i64 %place, ptr %part)
  %n_next = add i64 %n, 1
  br label %look
all:
  %plans = POINTER %words, $plans
  %plan = call ptr @PyDict_GetItemWithError(ptr %plans, ptr %key)
  %follow_word = zext i1 %followed to i64
  store i64 %follow_word, ptr %follow
  call void @Py_DecRef(ptr %key)
  ret ptr %plan
no:
  call void @Py_DecRef(ptr %key)
  br label %nothing
nothing:
  ret ptr null
}

; So many bytes more are owed. False where the tape has run and failed.
define internal i1 @owe(ptr %words, ptr %plan) {
entry:
  %state = POINTER %words, $state
  %config = POINTER %words, $config
  %owed_name = POINTER %words, $owed
  %most_name = POINTER %words, $OWED_BYTES
  %before_object = call ptr @PyDict_GetItemWithError(ptr %state, ptr %owed_name)
  %has_before = icmp ne ptr %before_object, null
  br i1 %has_before, label %read, label %sum
read:
  %read_before = call i64 @PyLong_AsLongLong(ptr %before_object)
  br label %sum
sum:
  %before = phi i64 [0, %entry], [%read_before, %read]
  %nbytes_object = FIELD %plan, $nbytes
  %nbytes = call i64 @PyLong_AsLongLong(ptr %nbytes_object)
  %owed = add i64 %before, %nbytes
  %owed_object = call ptr @PyLong_FromLong(i64 %owed)
  %set = call i32 @PyDict_SetItem(ptr %state, ptr %owed_name, ptr %owed_object)
  call void @Py_DecRef(ptr %owed_object)
  %most_object = call ptr @PyDict_GetItemWithError(ptr %config, ptr %most_name)
  %most = call i64 @PyLong_AsLongLong(ptr %most_object)
  %too_much = icmp sgt i64 %owed, %most
  br i1 %too_much, label %flush, label %fine
flush:
  %function = POINTER %words, $flush
  %cause = POINTER %words, $budget
  %flushed = call ptr @PyObject_CallOneArg(ptr %function, ptr %cause)
  %sound = icmp ne ptr %flushed, null
  br i1 %sound, label %let_go, label %failed
let_go:
  call void @Py_DecRef(ptr %flushed)
  br label %fine
fine:
  ret i1 true
failed:
  ret i1 false
}

; record(card, operands, static arguments, modes, position or None): the output, or NotImplemented with nothing done.
define ptr @record(ptr %self, ptr %arguments, i64 %argument_count) {
entry:
  %follow_out = alloca i64
  %edges = alloca ptr, i64 $OPERANDS
  %regions = alloca ptr, i64 $OPERANDS
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %card = POINTER %arguments, 0
  %operands = POINTER %arguments, 1
  %static = POINTER %arguments, 2
  %modes = POINTER %arguments, 3
  %given_position = POINTER %arguments, 4
  %none = POINTER %words, $none
  %tuple = POINTER %words, $tuple
  %list = POINTER %words, $list
  %zero = POINTER %words, $zero
  %true = POINTER %words, $true
  %false = POINTER %words, $false
  %state = POINTER %words, $state
  %plain_types = call i1 @is(ptr %words, ptr %modes, i64 $autocast, i64 $none)
  br i1 %plain_types, label %mode_tracer, label %no
mode_tracer:
  %untraced = call i1 @is(ptr %words, ptr %modes, i64 $tracer, i64 $none)
  br i1 %untraced, label %mode_anomaly, label %no
mode_anomaly:
  %unwatched = call i1 @is(ptr %words, ptr %modes, i64 $anomaly, i64 $false)
  br i1 %unwatched, label %mode_hooks, label %no
mode_hooks:
  %unhooked = call i1 @is(ptr %words, ptr %modes, i64 $saved_hooks, i64 $nothing)
  br i1 %unhooked, label %mode_inference, label %no
mode_inference:
  %normal = call i1 @is(ptr %words, ptr %modes, i64 $inference, i64 $false)
  br i1 %normal, label %mode_immediate, label %no
mode_immediate:
  %immediate_name = POINTER %words, $immediate
  %immediate = call ptr @PyDict_GetItemWithError(ptr %state, ptr %immediate_name)
  %is_immediate = icmp eq ptr %immediate, %true
  br i1 %is_immediate, label %no, label %operands_look

operands_look:
  %operands_type = FIELD %operands, $type
  %in_tuple = icmp eq ptr %operands_type, %tuple
  br i1 %in_tuple, label %a_tuple, label %else_list
a_tuple:
  %tuple_items = getelementptr i8, ptr %operands, i64 $items
  br label %sized
else_list:
  %in_list = icmp eq ptr %operands_type, %list
  br i1 %in_list, label %a_list, label %no
a_list:
  %items_of_list = FIELD %operands, $list_items
  br label %sized
sized:
  %items = phi ptr [%tuple_items, %a_tuple], [%items_of_list, %a_list]
  %count_word = FIELD %operands, $size
  %count = ptrtoint ptr %count_word to i64
  %few = icmp sle i64 %count, $OPERANDS
  br i1 %few, label %plan_look, label %no

plan_look:
  %plan = call ptr @plan_of(ptr %words, ptr %card, ptr %static, ptr %items, i64 %count, ptr %follow_out)
  %known = icmp ne ptr %plan, null
  br i1 %known, label %plan_known, label %no
plan_known:
  %outs = FIELD %plan, $outs
  %outs_size = FIELD %outs, $size
  %outs_count = ptrtoint ptr %outs_size to i64
  %one_output = icmp eq i64 %outs_count, 1
  br i1 %one_output, label %history, label %no

history:
  %layout = ITEM %outs, 0
  %flows = FIELD %plan, $flows
  %flows_size = FIELD %flows, $size
  %has_flow = icmp ne ptr %flows_size, null
  %follow_word = load i64, ptr %follow_out
  %followed = icmp ne i64 %follow_word, 0
  br i1 %followed, label %grad_mode, label %unfollowed
grad_mode:
  %enabled = call i1 @is(ptr %words, ptr %modes, i64 $enabled, i64 $true)
  br i1 %enabled, label %edges_look, label %unfollowed
edges_look:
  %bits = call i64 @needs(ptr %words, ptr %items, i64 %count, ptr %edges)
  %sound = icmp sge i64 %bits, 0
  br i1 %sound, label %gradient_look, label %no
gradient_look:
  %is_needed = icmp ne i64 %bits, 0
  %needed = and i1 %is_needed, %has_flow
  br i1 %needed, label %gradient_find, label %drop_edges
gradient_find:
  %gradients = FIELD %plan, $gradients
  %bits_object = call ptr @PyLong_FromLong(i64 %bits)
  %gradient_found = call ptr @PyDict_GetItemWithError(ptr %gradients, ptr %bits_object)
  call void @Py_DecRef(ptr %bits_object)
  %gradient_known = icmp ne ptr %gradient_found, null
  br i1 %gradient_known, label %place, label %drop_edges
drop_edges:
  %refused = phi i1 [false, %gradient_look], [true, %gradient_find]
  call void @drop(ptr %edges, i64 %count)
  br i1 %refused, label %no, label %unfollowed
unfollowed:
  br label %place

place:
  %gradient = phi ptr [%gradient_found, %gradient_find], [null, %unfollowed]
  %asked = icmp eq ptr %given_position, %none
  br i1 %asked, label %find_position, label %take_position
take_position:
  call void @Py_IncRef(ptr %given_position)
  br label %make
find_position:
  %found_position = call ptr @user_position(ptr %words)
  %is_found = icmp ne ptr %found_position, null
  br i1 %is_found, label %make, label %no_position
no_position:
  %has_edges = icmp ne ptr %gradient, null
  br i1 %has_edges, label %give_edges, label %no
give_edges:
  call void @drop(ptr %edges, i64 %count)
  br label %no

make:  ; from here on there is no way back: what fails is a lack of memory
  %position = phi ptr [%given_position, %take_position], [%found_position, %find_position]
  %new = POINTER %words, $new
  %nothing = POINTER %words, $nothing
  %storage_class = POINTER %words, $storage
  %tensor_class = POINTER %words, $tensor
  call void @Py_IncRef(ptr %plan)
  %storage = call ptr %new(ptr %storage_class, ptr %nothing, ptr null)
  %storage_made = icmp ne ptr %storage, null
  br i1 %storage_made, label %fill_storage, label %failed
fill_storage:
  %nbytes = FIELD %layout, $layout_nbytes
  call void @put(ptr %storage, i64 $data, ptr %none)
  call void @put(ptr %storage, i64 $storage_nbytes, ptr %nbytes)
  call void @put(ptr %storage, i64 $version, ptr %zero)
  call void @put(ptr %storage, i64 $untracked, ptr %false)
  call void @put(ptr %storage, i64 $special, ptr %zero)
  call void @put(ptr %storage, i64 $lease, ptr %none)
  call void @put(ptr %storage, i64 $address, ptr %zero)
  %result = call ptr %new(ptr %tensor_class, ptr %nothing, ptr null)
  %result_made = icmp ne ptr %result, null
  br i1 %result_made, label %fill_result, label %failed
fill_result:
  call void @put(ptr %result, i64 $storage_of, ptr %storage)
  call void @put(ptr %result, i64 $offset, ptr %zero)
  call void @put(ptr %result, i64 $layout, ptr %layout)
  call void @put(ptr %result, i64 $base, ptr %none)
  %output = call ptr @region(ptr %storage, ptr %zero, ptr %layout)
  %outputs = call ptr @PyTuple_New(i64 1)
  %inputs = call ptr @PyTuple_New(i64 %count)
  %entry_tuple = call ptr @PyTuple_New(i64 4)
  %has_output = icmp ne ptr %output, null
  %has_outputs = icmp ne ptr %outputs, null
  %has_inputs = icmp ne ptr %inputs, null
  %has_entry = icmp ne ptr %entry_tuple, null
  %has_1 = and i1 %has_output, %has_outputs
  %has_2 = and i1 %has_inputs, %has_entry
  %has_all = and i1 %has_1, %has_2
  br i1 %has_all, label %inputs_look, label %failed
inputs_look:
  %i = phi i64 [0, %fill_result], [%i_next, %input_done]
  %more_inputs = icmp slt i64 %i, %count
  br i1 %more_inputs, label %input, label %entered
input:
  %t = POINTER %items, %i
  %t_type = FIELD %t, $type
  %t_is_tensor = call i1 @is_tensor(ptr %words, ptr %t_type)
  br i1 %t_is_tensor, label %input_tensor, label %input_number
input_tensor:
  %t_storage = FIELD %t, $storage_of
  %t_offset = FIELD %t, $offset
  %t_layout = FIELD %t, $layout
  %t_region = call ptr @region(ptr %t_storage, ptr %t_offset, ptr %t_layout)
  %t_made = icmp ne ptr %t_region, null
  br i1 %t_made, label %input_done, label %failed
input_number:
  call void @Py_IncRef(ptr %t)
  br label %input_done
input_done:
  %operand = phi ptr [%t_region, %input_tensor], [%t, %input_number]
  %noted = phi ptr [%t_region, %input_tensor], [null, %input_number]
  %noted_to = getelementptr ptr, ptr %regions, i64 %i
  store ptr %noted, ptr %noted_to
  %set_input = call i32 @PyTuple_SetItem(ptr %inputs, i64 %i, ptr %operand)
  %i_next = add i64 %i, 1
  br label %inputs_look

entered:
  %has_gradient = icmp ne ptr %gradient, null
  br i1 %has_gradient, label %with_node, label %without_node
with_node:
  %node = call ptr @node(ptr %words, ptr %plan, ptr %gradient, ptr %position, ptr %edges, ptr %items, i64 %count, ptr %regions, ptr %output)
  %node_made = icmp ne ptr %node, null
  br i1 %node_made, label %attach, label %failed
attach:
  call void @put(ptr %result, i64 $node, ptr %node)
  call void @put(ptr %result, i64 $requires_grad, ptr %true)
  call void @Py_DecRef(ptr %node)
  br label %append
without_node:
  call void @put(ptr %result, i64 $node, ptr %none)
  call void @put(ptr %result, i64 $requires_grad, ptr %false)
  br label %append
append:
  call void @Py_DecRef(ptr %storage)
  %set_output = call i32 @PyTuple_SetItem(ptr %outputs, i64 0, ptr %output)
  %set_plan = call i32 @PyTuple_SetItem(ptr %entry_tuple, i64 0, ptr %plan)
  %set_outputs = call i32 @PyTuple_SetItem(ptr %entry_tuple, i64 1, ptr %outputs)
  %set_inputs = call i32 @PyTuple_SetItem(ptr %entry_tuple, i64 2, ptr %inputs)
  %set_position = call i32 @PyTuple_SetItem(ptr %entry_tuple, i64 3, ptr %position)
  %function = POINTER %words, $append
  %appended = call ptr @PyObject_CallOneArg(ptr %function, ptr %entry_tuple)
  call void @Py_DecRef(ptr %entry_tuple)
  %was_appended = icmp ne ptr %appended, null
  br i1 %was_appended, label %count_bytes, label %drop_result
count_bytes:
  call void @Py_DecRef(ptr %appended)
  %ran = call i1 @owe(ptr %words, ptr %plan)
  br i1 %ran, label %give_result, label %drop_result
give_result:
  ret ptr %result
drop_result:
  call void @Py_DecRef(ptr %result)
  ret ptr null
failed:
  ret ptr null

no:
  %error = call ptr @PyErr_Occurred()
  %is_error = icmp ne ptr %error, null
  br i1 %is_error, label %failed, label %refuse
refuse:
  %refusal = POINTER %words, $refusal
  call void @Py_IncRef(ptr %refusal)
  ret ptr %refusal
}
"""


def recorder(plans: Mapping[Any, Any]) -> Callable[..., Any] | None:
    """``record(card, operands, static, modes, position)`` over a dictionary of plans; None where there is none for this interpreter.

    It answers the output, or `NotImplemented` with nothing done.
    """
    new = object_new()
    if fields() is None or new is None or config.MODE == "immediate":
        return None
    from ..nn.parameter import Parameter

    code = load(written_out(_SOURCE, _places()), "record")
    if code is None:
        return None
    known: dict[str, Any] = {
        "tensor": tensor_class[0], "parameter": Parameter, "storage": Storage, "card_node": CardNode, "none": None, "true": True, "false": False, "zero": 0, "nothing": (), "refusal": NotImplemented,
        "plans": plans, "state": vars(tape.state), "config": vars(config), "internal": tape.internal, "sequence": sequence, "append": tape.pending.append, "flush": tape.flush,
        "getframe": sys._getframe, "depth": _DEPTH, "saves_nothing": NOTHING,
    }  # fmt: skip
    known |= {kind.__name__: kind for kind in (tuple, list, float, int, bool)}
    objects = [known.get(name, name) for name in _WORDS[1:]]  # the rest are names, and stand for themselves
    return builtin(code, "record", np.array([new, *map(id, objects)], np.int64), arguments=None, kept=objects)


def _places() -> dict[str, int]:
    """The numbers that the code has by name: places of words, and of the slots of objects."""
    found = {name: n for n, name in enumerate(_WORDS)}
    found |= {"OPERANDS": _OPERANDS_AT_MOST, "filename": place_of(_places.__code__, _places.__code__.co_filename)}
    found |= {"storage_of": slot(TensorBase, "_storage"), "node": slot(TensorBase, "_node")}
    found |= {name: slot(TensorBase, "_" + name) for name in ("offset", "layout", "requires_grad", "base")}
    found |= {name: slot(Storage, name, 0) for name in ("data", "version", "untracked", "special", "address")}
    found |= {"storage_nbytes": slot(Storage, "nbytes", 0), "lease": slot(Storage, "_lease", 0), "layout_nbytes": slot(Layout, "nbytes")}
    found |= {f"node_{name}": slot(CardNode, name) for name in ("plan", "gradient", "position", "saved")}
    found |= {f"node_{name}": slot(Node, name) for name in ("edges", "sequence", "layouts")}
    found |= {name: slot(Plan, name) for name in ("outs", "nbytes", "flows", "gradients")}
    return found | {name: slot(Gradient, name) for name in ("saves", "saves_outputs", "saves_anything")}
