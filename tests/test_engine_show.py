"""What the engine says of a program: `RUSHLIGHT_DEBUG`, `rushlight.explain` and `rushlight.report`."""

from __future__ import annotations

import re

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, tape
from rushlight.engine import execute, llvm, show
from rushlight.engine.kernel import Pointer
from rushlight.engine.loops import Access, Nest, name_of
from rushlight.engine.nests import Bound, Form, elementwise_call, read_call, row_call
from rushlight.engine.terms import Node

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="without native code there is none to show")


@pytest.fixture(autouse=True)
def _recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape.state, "immediate", False)
    monkeypatch.setattr(tape.state, "compile", True)


def softmax_of_exp(x: torch.Tensor) -> torch.Tensor:
    return F.softmax((x - 0.3).exp(), 1)


def times_removed(text: str) -> str:
    return re.sub(r"\s+[\d.]+ us", " N us", text)


def test_explain_shows_the_trace_its_units_and_its_loops() -> None:
    assert times_removed(torch.explain(softmax_of_exp, torch.rand(3, 4))) == """\
trace of 3 entries: 4 regions of 4 storages, 1 numbers
    0 sub(%0 float32[3, 4], %n0) -> %1 float32[3, 4]
    1 exp(%1) -> %2 float32[3, 4]
    2 softmax(%2, dim=1) -> %3 float32[3, 4]
native part of 3 entries: 1 units, 1 kernels, arena of 128 B
  unit 0, loops over 3 rows of 4: 0 sub, 1 exp, 2 softmax; writes %3; fused away %1, %2; workspace 128 B
    loop_sub_exp_rowlargest_sub_exp_below_rowsum_1more: 3 rows of 4
      a = %0 float, strides [4, 1]
      b = %4 double
      c = %3 float, strides [4, 1]
      pass 1: t4 = exp(a - float(b)), kept
      pass 1: t5 = rowlargest(t4)
      pass 2: t7 = exp_below(t4 - t5), kept
      pass 2: t8 = rowsum(t7)
      pass 3: c = t7 / t8 N us  native part of 1 kernels N us  loop_sub_exp_rowlargest_sub_exp_below_rowsum_1more
run of 3 entries compiled: 1 native parts with 1 kernels, 0 interpreted"""


def test_levels_show_less() -> None:
    x = torch.rand(3, 4)
    first, second = (torch.explain(softmax_of_exp, x, level=level) for level in (1, 2))
    assert "trace of 3" in first and "run of 3" in first and "unit" not in first
    assert "unit 0" in second and "pass" not in second


def test_explain_leaves_everything_as_it_was() -> None:
    traces, settings = dict(execute._traces), (config.DEBUG, config.HOT, show.out)
    parts = execute._parts
    torch.explain(softmax_of_exp, torch.rand(3, 4))
    with pytest.raises(ZeroDivisionError):
        torch.explain(lambda: 1 / 0)
    assert (config.DEBUG, config.HOT, show.out) == settings and execute._traces == traces and execute._parts == parts


def test_interpreted_entries_temporaries_and_library_calls_are_told_apart() -> None:
    x, w = torch.rand(6, 5), torch.rand(5, 7)
    text = torch.explain(lambda: torch.sort((x * 1.5) @ w + 0.3)[0] * 2.5)
    assert "sort interpreted" in text and "2 native parts" in text and text.count("native part of 1 kernels") >= 1
    assert re.search(r"unit 0, loops over 6 x 5: 0 mul; in the arena %\d at 0", text)
    assert re.search(r"unit 1, calls: 1 mm; in the arena %\d at \d+", text)


def test_debug_prints_to_the_error_stream(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.rand(11, 13)
    tape.flush()
    monkeypatch.setattr(config, "DEBUG", 1)
    monkeypatch.setattr(config, "HOT", 2)
    ((x - 0.7) * 1.3).sum().item()
    said = capsys.readouterr()
    assert said.out == "" and "run of 3 entries one by one: seen 1 times" in said.err


# Names of kernels


def nest(*ops: str) -> Nest:
    return Nest(tuple(Node(op, (), "float") for op in ops), (Access("float", "1"),), 0, "row")


def test_kernels_are_named_after_what_they_compute() -> None:
    assert name_of(nest("load", "constant", "mul", "exp", "sum", "store")) == "loop_mul_exp_rowsum"
    assert name_of(nest("load", "convert", "store")) == "loop_copy"
    assert name_of(nest("number", "store")) == "loop_fill"
    assert name_of(nest("load", "mul", "mul", "mul", "column_sum")) == "loop_mul_colsum"
    assert name_of(nest(*["add", "mul"] * 10, "store")) == "loop_add_mul_add_mul_add_mul_14more"


# Calls are read as they were made


def test_a_call_says_what_it_was_made_from() -> None:
    nodes = [Node("load", (), "float", 0), Node("number", (), "double", 1), Node("convert", (1,), "float"), Node("constant", (), "float", 0.25)]
    nodes += [Node("mul", (0, 2), "float"), Node("mul", (4, 3), "float"), Node("store", (5,), "float", 2)]
    bounds = [Bound(Pointer(0, 8), "float", (40, 8), 2), Bound(Pointer(1), "double", number=True), Bound(Pointer(2), "float", (20, 4), 1)]
    form = Form((6, 5), 4, nodes, bounds)
    (call,) = row_call(form).calls
    read = read_call(call)
    assert read.form == form and (read.extent, read.per_chunk, read.scratch) == (6, 6, None)
    flat = Form((), 100_000, nodes, [b._replace(outer=()) for b in bounds])
    call = elementwise_call(flat)
    read = read_call(call)
    assert read.form == flat and read.extent == 100_000 and -(-read.extent // read.per_chunk) == call.chunks > 1


# The report


def test_the_report_counts_what_the_engine_does() -> None:
    tape.flush()
    before = torch.report()
    x = torch.rand(5, 9)

    def program() -> list[float]:
        return ((x - 0.7) * 1.3).exp().sum(1).tolist()

    program()
    after = torch.report()
    assert after.flushes != before.flushes and after.run == before.run + 5
    assert after.lookups == before.lookups + 5 and after.lookup_seconds > before.lookup_seconds
    if after.compiled_runs == before.compiled_runs:
        assert after.interpreted_runs == before.interpreted_runs + 1 and after.interpreted_seconds > before.interpreted_seconds
    assert after.native_calls > before.native_calls and after.native_seconds > before.native_seconds
    assert sum(after.flushes.values()) == after.compiled_runs + after.interpreted_runs
    told = str(after)
    assert f"{after.native_calls} calls" in told and f"{after.traces} known" in told and "unaccounted" in told


def test_the_report_shows_why_compiling_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute.counts, "failures", ["Traceback\n  File x\nValueError: too round\n"])
    report = torch.report()
    assert report.failures and "failure   ValueError: too round" in str(report)


def test_the_seconds_of_a_run_are_accounted_for() -> None:
    """Only Python between the parts is not: for many runs a few per cent of the whole, here of those of one kind."""
    x = torch.rand(300, 300)
    before = torch.report()
    for _ in range(20):
        ((x @ x) * 0.001).exp().sum().item()
    after = torch.report()
    assert after.unaccounted_seconds - before.unaccounted_seconds < 0.25 * (after.seconds - before.seconds)
    assert set(after._fields) >= {"packing_seconds", "releasing_seconds", "waiting_seconds", "llvm_seconds"}
