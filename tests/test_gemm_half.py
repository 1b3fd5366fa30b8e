"""Products in half precision: float32 sums rounded once, for every shape and layout, in pairs of bfloat16 and without them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import test_gemm
from test_gemm import layouts, numbers, product, rounded

from rushlight.engine import gemm, llvm

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="no native code here")

BFLOAT16, FLOAT16 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)
#: The largest relative error of a rounding.
ROUNDING = {BFLOAT16: 2.0**-8, FLOAT16: 2.0**-11}
PAIRS = llvm.AVAILABLE and llvm.multiplies_pairs()


@pytest.fixture(autouse=True)
def types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_gemm, "TYPES", {BFLOAT16: "bf16", FLOAT16: "f16"})


@pytest.fixture(params=["pairs", "bfloat16", "float16"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.dtype]:
    """Both dtypes, bfloat16 also as on a processor that does not multiply pairs."""
    if request.param == "pairs" and not PAIRS:
        pytest.skip("this processor does not multiply pairs of bfloat16")
    if request.param == "bfloat16":
        monkeypatch.setattr(llvm, "multiplies_pairs", lambda: False)
    return FLOAT16 if request.param == "float16" else BFLOAT16


def bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.int16)


def near(got: np.ndarray, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> bool:
    """Whether a product is that of the operands: one rounding to half precision, and those of float32 sums."""
    wide = 0 if bias is None else bias.astype(np.float64)
    expected = a.astype(np.float64) @ b.astype(np.float64) + wide
    terms = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(wide)
    return bool((np.abs(got.astype(np.float64) - expected) <= ROUNDING[got.dtype] * np.abs(expected) + 1e-6 * terms).all())


@pytest.mark.parametrize(("m", "n", "k"), [(100, 130, 701), (33, 70, 20), (2, 2, 1), (3, 200, 50), (5, 100, 33), (1, 70, 45), (70, 1, 33), (64, 320, 16), (20, 40, 4200)])
def test_one_set_of_bits_wherever_the_operands_lie(m: int, n: int, k: int, dtype: np.dtype) -> None:
    a, b, bias = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1), numbers(m, n, dtype=dtype, seed=2)
    expected = product(a, b, bias)
    assert near(expected, a, b, bias)
    for (left, x), (right, y), (name, z) in itertools.product(layouts(a).items(), layouts(b).items(), layouts(bias).items()):
        assert np.array_equal(bits(product(x, y, z)), bits(expected)), (left, right, name)
    transposed = np.full((n, m), np.nan, dtype)
    assert np.array_equal(bits(product(a, b, bias, transposed.T)), bits(expected))
    spread = np.full((m, 2 * n), np.nan, dtype)
    assert np.array_equal(bits(product(a, b, bias, spread[:, ::2])), bits(expected))
    assert np.isnan(spread[:, 1::2]).all()


def test_sampled_shapes(dtype: np.dtype) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        m, n, k = (int(x) for x in random.integers(1, 41, 3))
        a = list(layouts(numbers(m, k, dtype=dtype)).values())[random.integers(4)]
        b = list(layouts(numbers(k, n, dtype=dtype, seed=1)).values())[random.integers(4)]
        bias = (None, numbers(n, dtype=dtype), numbers(m, 1, dtype=dtype), numbers(n, m, dtype=dtype).T)[random.integers(4)]
        assert near(product(a, b, bias), a, b, bias), (m, n, k)


@pytest.mark.parametrize(("m", "n", "k"), [(150, 300, 700), (40, 320, 300), (1, 500, 130), (300, 20, 63)])
def test_bits_do_not_depend_on_chunks_and_blocks(m: int, n: int, k: int, dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, bias = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1), numbers(n, dtype=dtype, seed=2)
    found, blocks = [], set()
    for most, k_block, slab, colliding in itertools.product((1, 8), (32, 320, 1024), (1 << 14, 1 << 19), (4, 1 << 20)):
        monkeypatch.setattr(gemm, "_MOST_CHUNKS", most)
        monkeypatch.setattr(gemm, "_CHUNK_WORK", 1000)
        monkeypatch.setattr(gemm, "_VECTOR_WORK", 1000)
        for name, value in (("_HALF_K_BLOCK", k_block), ("_WIDENED_K_BLOCK", k_block), ("_SLAB_BYTES", slab), ("_PAIRS_SLAB_BYTES", slab)):
            monkeypatch.setattr(gemm, name, value)
        monkeypatch.setattr(gemm, "_COLLIDING_A", colliding)
        for x in (a, layouts(a)["columns"]):
            found.append(bits(product(x, b, bias)))
        blocks.add(gemm.lower(gemm.Product(m, n, k, (k, 1), (n, 1), (n, 1), type=test_gemm.TYPES[dtype])).calls[0].words)
    assert len(blocks) > 1
    assert all(np.array_equal(other, found[0]) for other in found)


def test_batches(dtype: np.dtype) -> None:
    def check(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None) -> None:
        assert near(product(a, b, bias, out), a, b, bias)

    check(numbers(6, 7, 5, dtype=dtype), numbers(6, 5, 9, dtype=dtype))
    check(numbers(4, 1, 7, 5, dtype=dtype), numbers(3, 5, 9, dtype=dtype), numbers(9, dtype=dtype))
    check(numbers(2, 3, 1, 5, dtype=dtype), numbers(2, 3, 5, 9, dtype=dtype), numbers(3, 1, 9, dtype=dtype))
    check(numbers(3, 8, 6, dtype=dtype).swapaxes(1, 2), numbers(3, 8, 9, dtype=dtype))
    heads = numbers(2, 20, 3, 16, dtype=dtype).transpose(0, 2, 1, 3)
    check(heads, heads.swapaxes(-1, -2), None, np.full((2, 20, 3, 20), np.nan, dtype).transpose(0, 2, 1, 3))
    many = numbers(2, 2, 3, 2, 2, 4, 6, dtype=dtype).transpose(3, 1, 4, 0, 2, 5, 6)
    check(many, numbers(2, 1, 2, 1, 3, 6, 5, dtype=dtype))
    check(layouts(many)["spread"].swapaxes(-1, -2), numbers(2, 1, 2, 1, 3, 4, 5, dtype=dtype), numbers(2, 1, 1, 1, 1, 6, 1, dtype=dtype))


@pytest.mark.parametrize(("m", "n"), [(5, 7), (1, 7), (7, 1), (100, 300)])
def test_no_terms(m: int, n: int, dtype: np.dtype) -> None:
    bias = numbers(n, dtype=dtype)
    assert np.array_equal(product(np.empty((m, 0), dtype), np.empty((0, n), dtype)), np.zeros((m, n)))
    assert np.array_equal(product(np.empty((m, 0), dtype), np.empty((0, n), dtype), bias), np.broadcast_to(bias, (m, n)))


@pytest.mark.parametrize("k", [20, 21])
def test_numbers_that_are_not_finite_stay_in_their_rows_and_columns(k: int, dtype: np.dtype) -> None:
    """Also where what lies behind a row, which a last pair might take for its own, is nan."""
    a, b = numbers(17, k, dtype=dtype), numbers(k, 35, dtype=dtype)
    clean = product(a, b)
    a[3, 4], b[7, 33] = np.nan, np.inf
    for x, y in itertools.product(layouts(a).values(), layouts(b).values()):
        got = product(x, y)
        assert np.isnan(got[3]).all() and not np.isfinite(got[:, 33]).any()
        got[3], got[:, 33] = clean[3], clean[:, 33]
        assert np.array_equal(bits(got), bits(clean))


@pytest.mark.parametrize(("m", "n", "k"), [(2, 3, 40), (5, 17, 9), (3, 2, 300)])
def test_an_element_is_one_chain_of_fused_additions(m: int, n: int, k: int, dtype: np.dtype) -> None:
    """In float32, of two k the second one first where pairs are multiplied; then rounded."""
    a, b, bias = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1), numbers(m, n, dtype=dtype, seed=2)
    got = product(a, b, bias)
    pairs = dtype == BFLOAT16 and llvm.multiplies_pairs()
    order = [x for first in range(0, k, 2) for x in (first + 1, first) if x < k] if pairs else range(k)
    for i, j in itertools.product(range(m), range(n)):
        total = Fraction(float(bias[i, j]))
        for step in order:
            total = rounded(Fraction(float(a[i, step])) * Fraction(float(b[step, j])) + total, np.float32)
        assert got[i, j] == np.float32(float(total)).astype(dtype)


@pytest.mark.skipif(not PAIRS, reason="this processor does not multiply pairs of bfloat16")
def test_pairs_take_subnormal_numbers_for_zero() -> None:
    a, b = np.zeros((2, 4), BFLOAT16), np.ones((4, 3), BFLOAT16)
    a[0], a[1, 0] = 1e-39, 1.5
    assert np.array_equal(product(a, b).astype(np.float32), [[0, 0, 0], [1.5, 1.5, 1.5]])
    assert np.array_equal(product(a[:1], b).astype(np.float32), np.full((1, 3), 4 * float(a[0, 0]), np.float32).astype(BFLOAT16))  # a vector is float32


@pytest.mark.parametrize(("registers", "width"), [(16, 256), (32, 128), (16, 128)])
def test_other_processors(registers: int, width: int, dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code without masks, pairs and conversions of float16, which this processor runs as well."""
    shapes = [(40, 70, 33), (30, 9, 18), (3, 50, 20), (1, 70, 45), (7, 1, 33), (5, 3, 4)]
    operands = [(numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1), numbers(n, dtype=dtype)) for m, n, k in shapes]
    monkeypatch.setattr(llvm, "multiplies_pairs", lambda: False)
    expected = [product(*each) for each in operands]
    monkeypatch.setattr(llvm, "vector_registers", lambda: (registers, width))
    monkeypatch.setattr(llvm, "host_features", set)
    monkeypatch.setattr(llvm, "converts_float16", lambda: False)
    caches = (gemm.product_kernel, gemm.vector_kernel)
    for cache in caches:
        cache.cache_clear()
    try:
        for (a, b, bias), each in zip(operands, expected, strict=True):
            for x, y in itertools.product(layouts(a).values(), layouts(b).values()):
                assert np.array_equal(bits(product(x, y, bias)), bits(each))
    finally:
        for cache in caches:
            cache.cache_clear()
