"""Products in AMX's registers: the instructions written out as loops, which any processor can run, and compiled for one that has them."""

from __future__ import annotations

import itertools
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import test_gemm
from test_gemm import layouts, numbers, product
from test_gemm_half import near

from rushlight.engine import gemm, llvm
from rushlight.engine.emit import Builder, Value, module

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="no native code here")

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INTRINSICS = ("ldtilecfg", "tilerelease", "tileloadd64", "tilestored64", "tdpbf16ps")


def written_out() -> str:
    """Functions that do to memory what the instructions do to registers of full size."""
    registers = "@amx_registers = internal global [8192 x i8] zeroinitializer, align 64"

    def begin(name: str, *parameters: tuple[str, str]) -> Builder:
        k = Builder(name, parameters)
        k.declare(registers)
        return k

    def register(k: Builder, name: str) -> Value:
        number = k.new(f"zext i8 %{name} to i64", "i64")
        return k.new(f"getelementptr [1024 x i8], ptr @amx_registers, i64 {number.text}", "ptr")

    functions = [begin("ldtilecfg", ("ptr", "shape")), begin("tilerelease")]
    for name in ("tileloadd64", "tilestored64"):
        k = begin(name, ("i8", "register"), ("ptr", "memory"), ("i64", "step"))
        base = register(k, "register")
        with k.loop(0, 16) as row:
            places = [k.address(base, k.mul(row.index, k.constant(64, "i64")), "i8"), k.address(k.parameters["memory"], k.mul(row.index, k.parameters["step"]), "i8")]
            source, target = places if name == "tilestored64" else places[::-1]
            k.store(k.load(source, "i32", 16), target)
        functions.append(k)
    k = begin("tdpbf16ps", ("i8", "sums"), ("i8", "a"), ("i8", "b"))
    sums, a, b = (register(k, name) for name in ("sums", "a", "b"))
    with k.loop(0, 16) as row, k.loop(0, 16) as pair:
        line = k.address(sums, k.mul(row.index, k.constant(16, "i64")), "float")
        left = k.splat(k.load(k.address(a, k.add(k.mul(row.index, k.constant(16, "i64")), pair.index), "i32"), "i32"))
        right = k.load(k.address(b, k.mul(pair.index, k.constant(16, "i64")), "i32"), "i32", 16)
        total = k.load(line, "float", 16)
        for part in (lambda x: k.shl(x, 16), lambda x: k.and_(x, k.like(-65536, x))):
            total = k.fma(k.bitcast(part(left), "float"), k.bitcast(part(right), "float"), total)
        k.store(total, line)
    functions.append(k)
    return module(functions)


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of bfloat16 by the kernels for AMX, with loops for its instructions."""
    if not llvm.multiplies_pairs():
        pytest.skip("what is beside the products needs AVX-512 for bfloat16")
    loops, load = written_out(), llvm.load

    def load_written_out(source: str, *others: Any) -> llvm.Code:
        if "llvm.x86.t" in source:
            source = re.sub(rf"declare void @llvm\.x86\.({'|'.join(INTRINSICS)})\(.*\)\n", "", source)
            source = re.sub(rf"@llvm\.x86\.({'|'.join(INTRINSICS)})\(", r"@\1(", source) + "\n" + loops
        return load(source, *others)

    monkeypatch.setattr(llvm, "load", load_written_out)
    monkeypatch.setattr(gemm, "multiplies_amx", lambda: True)
    monkeypatch.setattr(test_gemm, "TYPES", {BFLOAT16: "bf16"})


@pytest.mark.parametrize(("m", "n", "k"), [(2, 2, 1), (32, 32, 32), (33, 31, 33), (100, 130, 701), (45, 70, 77), (16, 200, 50), (5, 100, 33), (64, 320, 16), (40, 40, 4200)])
def test_one_set_of_bits_wherever_the_operands_lie(m: int, n: int, k: int, amx: None) -> None:
    a, b, bias = numbers(m, k, dtype=BFLOAT16), numbers(k, n, dtype=BFLOAT16, seed=1), numbers(m, n, dtype=BFLOAT16, seed=2)
    expected = product(a, b, bias)
    assert near(expected, a, b, bias)
    for (left, x), (right, y) in itertools.product(layouts(a).items(), layouts(b).items()):
        assert np.array_equal(product(x, y, bias).view(np.int16), expected.view(np.int16)), (left, right)
    out = np.full((m, 2 * n), np.nan, BFLOAT16)
    assert np.array_equal(product(a, b, bias, out[:, :n]).view(np.int16), expected.view(np.int16))
    assert np.isnan(out[:, n:]).all()


def test_bits_do_not_depend_on_chunks_and_blocks(amx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = numbers(150, 700, dtype=BFLOAT16), numbers(700, 300, dtype=BFLOAT16, seed=1)
    monkeypatch.setattr(gemm, "_CHUNK_WORK", 1000)
    found = []
    for most, k_block, slab in itertools.product((1, 8), (64, 1024), (1 << 14, 1 << 20)):
        for name, value in (("_MOST_CHUNKS", most), ("_HALF_K_BLOCK", k_block), ("_PAIRS_SLAB_BYTES", slab)):
            monkeypatch.setattr(gemm, name, value)
        found += [product(x, b).view(np.int16) for x in (a, layouts(a)["columns"])]
    assert all(np.array_equal(other, found[0]) for other in found)


def test_batches_and_numbers_that_are_not_finite(amx: None) -> None:
    a, b = numbers(3, 17, 21, dtype=BFLOAT16), numbers(3, 21, 35, dtype=BFLOAT16)
    clean = product(a, b)
    assert near(clean, a, b)
    a[:, 3, 4], b[:, 7, 33] = np.nan, np.inf
    for x, y in itertools.product(layouts(a).values(), layouts(b).values()):
        got = product(x, y)
        assert np.isnan(got[:, 3]).all() and not np.isfinite(got[..., 33]).any()
        got[:, 3], got[..., 33] = clean[:, 3], clean[..., 33]
        assert np.array_equal(got, clean)


def test_a_process_uses_it_only_after_a_right_product(amx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gemm._comes_out_right()
    multiply = llvm.load
    wrong = ("call void @llvm.x86.tdpbf16ps(i8 3, i8 5, i8 7)", "call void @llvm.x86.tdpbf16ps(i8 3, i8 5, i8 6)")
    monkeypatch.setattr(llvm, "load", lambda source, *others: multiply(source.replace(*wrong), *others))
    assert not gemm._comes_out_right()


def test_this_process_has_no_permission_that_its_processor_does_not_know() -> None:
    if "amx-bf16" not in llvm.host_features():
        assert not gemm.multiplies_amx()


def test_the_code_is_right_for_a_processor_that_has_it(amx: None) -> None:
    """It compiles for Sapphire Rapids, where the loop has two loads of A, two of B and four products."""
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    lowered = gemm.lower(gemm.Product(100, 130, 701, (701, 1), (130, 1), (130, 1), type="bf16"))
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(cpu="sapphirerapids", opt=2, reloc="pic")
    text = target.emit_assembly(binding.parse_assembly(lowered.calls[0].kernel.source))
    assert text.count("tdpbf16ps") == 4
    assert text.count("tileloadd") == 8  # the sums' too
    assert text.count("tilestored") == 4
    assert "ldtilecfg" in text and "tilerelease" in text
