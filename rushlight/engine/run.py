"""The driver: a list of calls as one array of words, run by one native call.

A program is assembled once and run many times. Words known beforehand stand in the array; those that differ from run
to run (addresses, numbers) are patched by native code from a vector of values that the caller gives. So a run costs
Python one packing and one call, whatever the number of kernels.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import llvm, objects, pool
from .kernel import Call, Kernel, Pointer

#: Kernels kept loaded although no program uses them. Each takes some 50 KB, most of it parts of pages.
KERNELS_KEPT = 768

# A program: the address of `parallel`, the number of records, how often it has run to its end, the records. A record: the kernel's address, the number of
# chunks, of words and of patches; the words, those of a tail behind the call's own; for each patch the index of a word, a slot and a number of bytes to add.
_RUNS = 2
_SOURCE = """\
define void @run(ptr %program, ptr %values) {
entry:
  %parallel = load ptr, ptr %program
  %count_at = getelementptr i64, ptr %program, i64 1
  %count = load i64, ptr %count_at
  %runs_at = getelementptr i64, ptr %program, i64 2
  %first = getelementptr i64, ptr %program, i64 3
  br label %look
look:
  %n = phi i64 [0, %entry], [%n_next, %after]
  %record = phi ptr [%first, %entry], [%record_next, %after]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %begin, label %end
begin:
  %kernel = load ptr, ptr %record
  %chunks_at = getelementptr i64, ptr %record, i64 1
  %chunks = load i64, ptr %chunks_at
  %words_at = getelementptr i64, ptr %record, i64 2
  %words = load i64, ptr %words_at
  %patches_at = getelementptr i64, ptr %record, i64 3
  %patches = load i64, ptr %patches_at
  %arguments = getelementptr i64, ptr %record, i64 4
  %patch_first = getelementptr i64, ptr %arguments, i64 %words
  %triples = mul i64 %patches, 3
  %record_next = getelementptr i64, ptr %patch_first, i64 %triples
  br label %patch_look
patch_look:
  %p = phi i64 [0, %begin], [%p_next, %patch]
  %triple = phi ptr [%patch_first, %begin], [%triple_next, %patch]
  %p_more = icmp slt i64 %p, %patches
  br i1 %p_more, label %patch, label %call
patch:
  %index = load i64, ptr %triple
  %slot_at = getelementptr i64, ptr %triple, i64 1
  %slot = load i64, ptr %slot_at
  %offset_at = getelementptr i64, ptr %triple, i64 2
  %offset = load i64, ptr %offset_at
  %value_at = getelementptr i64, ptr %values, i64 %slot
  %value = load i64, ptr %value_at, align 1
  %word = add i64 %value, %offset
  %word_at = getelementptr i64, ptr %arguments, i64 %index
  store i64 %word, ptr %word_at
  %p_next = add i64 %p, 1
  %triple_next = getelementptr i64, ptr %triple, i64 3
  br label %patch_look
call:
  %single = icmp eq i64 %chunks, 1
  br i1 %single, label %plain, label %shared
plain:
  call void %kernel(ptr %arguments, i64 0)
  br label %after
shared:
  call void %parallel(ptr %kernel, ptr %arguments, i64 %chunks)
  br label %after
after:
  %n_next = add i64 %n, 1
  br label %look
end:
  %runs = load i64, ptr %runs_at
  %runs_next = add i64 %runs, 1
  store i64 %runs_next, ptr %runs_at
  ret void
}
"""

# The same as a builtin function, over bytes that are the values: some 0.1 us of foreign calls instead of 0.4. Its words are the program's
# address and the driver's. Meanwhile other threads may have the interpreter.
_BUILTIN = """\
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyBytes_AsString(ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define ptr @run_program(ptr %self, ptr %bytes) {
  %words = call ptr @PyLong_AsVoidPtr(ptr %self)
  %program = load ptr, ptr %words
  %driver_at = getelementptr ptr, ptr %words, i64 1
  %driver = load ptr, ptr %driver_at
  %values = call ptr @PyBytes_AsString(ptr %bytes)
  %thread = call ptr @PyEval_SaveThread()
  call void %driver(ptr %program, ptr %values)
  call void @PyEval_RestoreThread(ptr %thread)
  %true = call ptr @PyBool_FromLong(i64 1)
  ret ptr %true
}
"""


_codes: OrderedDict[Kernel, llvm.Code] = OrderedDict()
_codes_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_codes_lock.acquire, after_in_parent=_codes_lock.release, after_in_child=_codes_lock.release)


class _Driver(NamedTuple):
    """The native function, and what keeps it loaded: every program holds it."""

    code: llvm.Code
    run: Callable[[int, bytes], None]
    builtin: llvm.Code | None


_driver_loaded: list[_Driver] = []


def _driver() -> _Driver:
    """The one driver of the process, whichever thread asks first."""
    with _codes_lock:
        if not _driver_loaded:
            code = llvm.load(_SOURCE, ("run",))
            run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(code.addresses["run"])
            _driver_loaded.append(_Driver(code, run, objects.load(_BUILTIN, "run_program")))
        return _driver_loaded[0]


def load(kernel: Kernel) -> llvm.Code:
    """The machine code of a kernel, loaded anew."""
    return llvm.load(kernel.source, (kernel.name,), tuple(code_of(each) for each in kernel.subroutines))


def code_of(kernel: Kernel) -> llvm.Code:
    """The machine code of a kernel, made once for all equal ones.

    The least recently asked for is forgotten when there are more than `KERNELS_KEPT`; its machine code is released
    when no program uses it any more.
    """
    with _codes_lock:
        code = _codes.get(kernel)
        if code is not None:
            _codes.move_to_end(kernel)
            return code
    code = load(kernel)
    with _codes_lock:
        code = _codes.setdefault(kernel, code)  # another thread may have been first
        while len(_codes) > KERNELS_KEPT:
            _codes.popitem(last=False)
    return code


class Program:
    """Calls in order, each of which ends before the next begins, over the slots of a vector of values.

    In a call's words, ``Pointer(slot, offset)`` stands for the value in that slot plus `offset`. `floats` names the
    slots whose values are floats, passed as the bits of a double; all others are integers.

    Not re-entrant: a run writes the program's own array, so one thread at a time may run it.
    """

    __slots__ = ("calls", "slots", "floats", "_codes", "_array", "_address", "_pack", "_driver", "_call", "_runs", "__weakref__")

    def __init__(self, calls: Sequence[Call], slots: int, floats: Collection[int] = ()) -> None:
        self.calls = tuple(calls)
        self.slots = slots
        self.floats = frozenset(floats)
        self._codes: list[llvm.Code] = []
        words = [pool.parallel(), len(self.calls), 0]
        for call in self.calls:
            words += _record(call, self._address_of, slots)
        self._array = np.array(words, np.int64)
        self._address: int = self._array.ctypes.data
        self._pack = struct.Struct("=" + "".join("d" if n in self.floats else "q" for n in range(slots))).pack
        self._runs = ctypes.c_int64.from_address(self._address + 8 * _RUNS)
        self._driver = driver = _driver()
        if driver.builtin is not None:
            owner = np.array([self._address, self.driver], np.int64)
            self._call: Callable[[bytes], Any] = objects.builtin(driver.builtin, "run_program", owner, arguments=1)
        else:
            self._call = functools.partial(driver.run, self._address)

    def _address_of(self, kernel: Kernel) -> int:
        """Where a kernel's machine code is, which stays there as long as the program."""
        code = code_of(kernel)
        self._codes.append(code)
        return code.addresses[kernel.name]

    @property
    def address(self) -> int:
        """Where the program's words are."""
        return self._address

    @property
    def driver(self) -> int:
        """The address of the function that runs them, over the address of a vector of values."""
        return self._driver.code.addresses["run"]

    @property
    def runs(self) -> int:
        """How often the program has run to its end: after an interrupt, whether it came before the native call or behind it."""
        return self._runs.value

    def run(self, values: Sequence[float]) -> None:
        """Run all calls; `values` has one number for each slot."""
        self._call(self._pack(*values))

    def over(self, values: Sequence[float]) -> Callable[[], Any]:
        """A function that runs all calls over these values."""
        return functools.partial(self._call, self._pack(*values))

    def run_timed(self, values: Sequence[float]) -> list[tuple[str, int, float]]:
        """Run the calls one by one: name, chunks and microseconds of each."""
        found = []
        for call in self.calls:
            single = Program((call,), self.slots, self.floats)
            start = time.perf_counter()
            single.run(values)
            name = call.kernel.name if call.tail is None else f"{call.kernel.name} and {call.tail.kernel.name}"
            found.append((name, call.chunks, (time.perf_counter() - start) * 1e6))
        self._array[_RUNS] += 1
        return found


def _record(call: Call, address_of: Callable[[Kernel], int], slots: int) -> list[int]:
    """The words of one record."""
    if not 1 <= call.chunks < 1 << 31:
        raise ValueError(f"{call.kernel.name}: {call.chunks} chunks")
    given = list(call.words)
    if call.tail is not None:
        assert call.result is not None
        given[call.result.word : call.result.word + 2] = address_of(call.tail.kernel), len(given)
        given += call.tail.words
    words: list[int] = []
    patches: list[int] = []
    for n, word in enumerate(given):
        if isinstance(word, Pointer):
            if not 0 <= word.operand < slots:
                raise ValueError(f"{call.kernel.name}: word {n} refers to slot {word.operand} of {slots}")
            patches += (n, word.operand, word.offset)
            words.append(0)
        else:
            words.append(word)
    return [address_of(call.kernel), call.chunks, len(words), len(patches) // 3, *words, *patches]
