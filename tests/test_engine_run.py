"""Programs of calls: words are patched, calls run in order, machine code is shared and released."""

import gc
import struct
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from rushlight.engine import llvm, run
from rushlight.engine.emit import Builder
from rushlight.engine.kernel import Call, Kernel, Pointer, kernel_of, subroutine
from rushlight.engine.run import Program, code_of

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs native code")


def axpy(name: str = "axpy") -> Kernel:
    """out[chunk] = factor * x[chunk] + out[chunk], in doubles."""
    return Kernel(
        name,
        f"""
define void @{name}(ptr %args, i64 %chunk) {{
  %x = load ptr, ptr %args
  %out_at = getelementptr i64, ptr %args, i64 1
  %out = load ptr, ptr %out_at
  %factor_at = getelementptr i64, ptr %args, i64 2
  %factor = load double, ptr %factor_at
  %x_at = getelementptr double, ptr %x, i64 %chunk
  %o_at = getelementptr double, ptr %out, i64 %chunk
  %a = load double, ptr %x_at
  %b = load double, ptr %o_at
  %ab = fmul double %factor, %a
  %c = fadd double %ab, %b
  store double %c, ptr %o_at
  ret void
}}
""",
    )


def bits(value: float) -> int:
    return struct.unpack("q", struct.pack("d", value))[0]


def test_values_reach_the_words_with_their_offsets():
    x, out = np.array([0.3, 0.7, 1.3, -2.1]), np.zeros(4)
    program = Program([Call(axpy(), (Pointer(0, 8), Pointer(2, 16), Pointer(1)), 2)], 3, floats=[1])
    program.run([x.ctypes.data, 1.7, out.ctypes.data])
    assert out.tolist() == [0, 0, 1.7 * 0.7, 1.7 * 1.3]


def test_a_program_runs_again_with_other_values():
    x, first, second = np.array([0.3, 0.7]), np.zeros(2), np.zeros(2)
    program = Program([Call(axpy(), (Pointer(0), Pointer(1), bits(-0.6)), 2)], 2)
    program.run([x.ctypes.data, first.ctypes.data])
    program.run([first.ctypes.data, second.ctypes.data])
    assert first.tolist() == (x * -0.6).tolist()
    assert second.tolist() == (x * -0.6 * -0.6).tolist()


def test_calls_run_in_order():
    a = np.array([1.1])
    # a = a + 2 a twice, then through b: b = 0.5 a, a = a + 4 b.
    b = np.zeros(1)
    calls = [Call(axpy(), (Pointer(0), Pointer(0), bits(2))) for _ in range(2)]
    calls += [Call(axpy(), (Pointer(0), Pointer(1), bits(0.5))), Call(axpy(), (Pointer(1), Pointer(0), bits(4)))]
    Program(calls, 2).run([a.ctypes.data, b.ctypes.data])
    expected = 1.1 + 2 * 1.1
    expected += 2 * expected
    assert a[0] == expected + 4 * (0.5 * expected)


def test_an_empty_program_and_one_without_slots():
    Program([], 0).run([])
    x, out = np.array([0.3]), np.zeros(1)
    Program([Call(axpy(), (x.ctypes.data, out.ctypes.data, bits(3)))], 0).run([])
    assert out[0] == 3 * 0.3


def test_wrong_programs_are_refused():
    with pytest.raises(ValueError, match="slot 2 of 2"):
        Program([Call(axpy(), (Pointer(2), 0, 0))], 2)
    with pytest.raises(ValueError, match="0 chunks"):
        Program([Call(axpy(), (0, 0, 0), 0)], 0)
    with pytest.raises(struct.error):
        Program([], 2).run([1])


def test_timed_runs_do_the_same_call_by_call():
    x, out = np.array([0.3, 0.7]), np.zeros(2)
    program = Program([Call(axpy(), (Pointer(0), Pointer(1), bits(1)), 2)] * 3, 2)
    rows = program.run_timed([x.ctypes.data, out.ctypes.data])
    assert [(name, chunks) for name, chunks, _ in rows] == [("axpy", 2)] * 3
    assert out.tolist() == (x + x + x).tolist()


def test_equal_kernels_are_compiled_once():
    before = llvm.counts.compiled + llvm.counts.loaded
    assert code_of(axpy("once")) is code_of(axpy("once"))
    assert llvm.counts.compiled + llvm.counts.loaded == before + 1


def test_machine_code_lives_as_long_as_a_program_uses_it(monkeypatch):
    monkeypatch.setattr(run, "_codes", type(run._codes)())
    monkeypatch.setattr(run, "KERNELS_KEPT", 2)
    x, out = np.array([0.3]), np.zeros(1)
    program = Program([Call(axpy("kept"), (Pointer(0), Pointer(1), bits(1)))], 2)
    used, unused = weakref.ref(code_of(axpy("kept"))), weakref.ref(code_of(axpy("dropped")))
    for n in range(3):
        code_of(axpy(f"other{n}"))
    gc.collect()
    assert len(run._codes) == 2
    assert unused() is None and used() is not None
    program.run([x.ctypes.data, out.ctypes.data])
    assert out[0] == 0.3
    del program
    assert used() is None


def adding(number: int) -> Kernel:
    """counts[chunk] += number, by a subroutine."""
    moved = Builder("add_at", [("ptr", "counts"), ("i64", "index"), ("i64", "number")])
    p = moved.parameters
    at = moved.address(p["counts"], p["index"], "i64")
    moved.store(moved.add(moved.load(at, "i64"), p["number"]), at)
    k = Builder("adding", [("ptr", "args"), ("i64", "chunk")])
    counts = k.load(k.parameters["args"], "ptr")
    k.do(f"call void @add_at({counts.typed}, {k.parameters['chunk'].typed}, i64 {number})")
    return kernel_of("adding", [k, subroutine([moved])])


def test_kernels_share_a_subroutine_that_lives_as_long_as_they(monkeypatch):
    monkeypatch.setattr(run, "_codes", type(run._codes)())
    before = llvm.counts.compiled + llvm.counts.loaded
    counts = np.zeros(3, np.int64)
    program = Program([Call(adding(n), (Pointer(0),), 3) for n in (5, 8)], 1)
    assert llvm.counts.compiled + llvm.counts.loaded == before + 3
    shared = weakref.ref(code_of(adding(5).subroutines[0]))
    run._codes.clear()
    gc.collect()
    program.run([counts.ctypes.data])
    assert counts.tolist() == [13] * 3 and shared() is not None
    del program
    assert shared() is None


def test_llvm_is_left_only_with_its_lock_held(monkeypatch):
    # A child that is forked while a thread releases something waits for llvmlite's lock, which nobody holds there.
    held = []

    def watched(text, context):
        module = parse(text, context)
        weakref.finalize(module, lambda: held.append(llvm._lock._is_owned()))
        return module

    binding = llvm._machine().llvm
    parse = binding.parse_assembly
    monkeypatch.setattr(binding, "parse_assembly", watched)
    monkeypatch.setattr(llvm.config, "CACHE", "")
    code = llvm.load(axpy("released").source, ["released"])
    weakref.finalize(code._tracker, lambda: held.append(llvm._lock._is_owned()))
    del code
    gc.collect()
    assert held == [True, True]


def test_threads_that_ask_first_at_once_share_one_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second copy would be unloaded under the programs that call it.
    loaded = []

    def slowly(source: str, names: Sequence[str]) -> llvm.Code:
        time.sleep(0.02)
        loaded.append(names)
        return load(source, names)

    load = llvm.load
    monkeypatch.setattr(run, "_driver_loaded", [])
    monkeypatch.setattr(llvm, "load", slowly)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(run._driver())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded.count(("run",)) == 1
    assert all(driver is found[0] for driver in found)
