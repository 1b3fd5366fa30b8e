"""Generated matrix products: right for every shape and layout, and with the same bits however the work is cut."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from chunks import run_chunks

from rushlight.engine import gemm, gemm_kernel, llvm
from rushlight.engine.kernel import WORKSPACE, Lowered, Pointer

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="no native code here")

TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
#: For each dtype, the error that an element may have, as a part of the sum of its terms' magnitudes.
ERROR = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-14}


def run(lowered: Lowered, arrays: list[np.ndarray]) -> None:
    """All chunks, or jobs that chunks claim, the last one first: their order must not matter. The workspace is nan before."""
    workspace = np.full(lowered.workspace // 8 + 1, np.nan)
    for call in lowered.calls:
        words = [
            (workspace if word.operand == WORKSPACE else arrays[word.operand]).ctypes.data + word.offset if isinstance(word, Pointer) else word
            for word in call.words
        ]
        args = np.array(words, np.int64)
        run_chunks(call, args, backwards=True, jobs_at=int(gemm_kernel.Word.JOBS) if call.kernel.name == "product" else None)


def strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(s // array.itemsize for s in array.strides)


def product(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """``a @ b + bias`` by the generated code, which reads and writes the arrays where they are."""
    m, k, n = *a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    out = np.full((*batch, m, n), np.nan, a.dtype) if out is None else out
    arrays = [a, b, out]
    if bias is not None:
        arrays.insert(2, np.broadcast_to(bias, (*batch, m, n)))
    described = gemm.Product(
        m,
        n,
        k,
        strides(a),
        strides(b),
        strides(out),
        batch,
        None if bias is None else strides(arrays[2]),
        TYPES[a.dtype],
        tuple(range(len(arrays))),
    )
    run(gemm.lower(described), arrays)
    return out


def check(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None) -> None:
    got = product(a, b, bias, out)
    wide = 0 if bias is None else bias.astype(np.float64)
    expected = a.astype(np.float64) @ b.astype(np.float64) + wide
    terms = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(wide)
    assert (np.abs(got - expected) <= ERROR[a.dtype] * terms).all(), (a.shape, b.shape, a.dtype)


def layouts(array: np.ndarray) -> dict[str, np.ndarray]:
    """The same matrices in memory of different kinds."""
    spread = np.full((*array.shape[:-2], 2 * array.shape[-2], 3 * array.shape[-1]), np.nan, array.dtype)
    spread[..., ::2, ::3] = array
    padded = np.full((*array.shape[:-1], array.shape[-1] + 5), np.nan, array.dtype)
    padded[..., 3:-2] = array
    return {
        "rows": np.ascontiguousarray(array),
        "columns": np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2),
        "padded": padded[..., 3:-2],
        "spread": spread[..., ::2, ::3],
    }


def numbers(*shape: int, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def rounded(value: Fraction, dtype: type) -> Fraction:
    """The nearest number of the dtype: `float` rounds a fraction once; to single it may only go when that is exact enough."""
    near = float(value)
    if dtype is np.float64:
        return Fraction(near)
    low = np.float32(near)
    candidates = [np.nextafter(low, np.float32(s)) for s in (-np.inf, np.inf)] + [low]
    # To even on a tie, which the last bit of the pattern tells.
    return Fraction(float(min(candidates, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(np.int32)) & 1))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "k"), [(2, 3, 40), (5, 17, 9), (3, 2, 700)])
def test_an_element_is_one_chain_of_fused_additions(m: int, n: int, k: int, dtype: type) -> None:
    a, b, bias = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1), numbers(m, n, dtype=dtype, seed=2)
    got = product(a, b, bias)
    for i, j in itertools.product(range(m), range(n)):
        total = Fraction(float(bias[i, j]))
        for x, y in zip(a[i], b[:, j], strict=True):
            total = rounded(Fraction(float(x)) * Fraction(float(y)) + total, dtype)
        assert Fraction(float(got[i, j])) == total


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 15, 16, 37])
def test_a_vector_product_has_sixteen_accumulators(k: int, dtype: type) -> None:
    a, b, bias = numbers(1, k, dtype=dtype), numbers(k, 11, dtype=dtype, seed=1), numbers(11, dtype=dtype, seed=2)
    sums = [[Fraction(0)] * 11 for _ in range(16)]
    for i, j in itertools.product(range(k), range(11)):
        sums[i % 16][j] = rounded(Fraction(float(a[0, i])) * Fraction(float(b[i, j])) + sums[i % 16][j], dtype)
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [[rounded(x + y, dtype) for x, y in zip(sums[n], sums[n + half], strict=True)] for n in range(half)]
    expected = [rounded(x + Fraction(float(y)), dtype) for x, y in zip(sums[0], bias, strict=True)]
    assert [Fraction(float(x)) for x in product(a, b, bias)[0]] == expected
    assert [Fraction(float(x)) for x in product(b.T, a.T, bias[:, None])[:, 0]] == expected


def test_sampled_edges() -> None:
    random = np.random.default_rng(0)
    for turn in range(80):
        m, n, k = (int(x) for x in random.integers(1, 41, 3))
        dtype = np.float64 if turn % 4 == 0 else np.float32
        a = list(layouts(numbers(m, k, dtype=dtype)).values())[random.integers(4)]
        b = list(layouts(numbers(k, n, dtype=dtype, seed=1)).values())[random.integers(4)]
        bias = (None, numbers(n, dtype=dtype), numbers(m, 1, dtype=dtype), numbers(m, n, dtype=dtype), numbers(n, m, dtype=dtype).T)[random.integers(5)]
        check(a, b, bias)


@pytest.mark.parametrize(("m", "n", "k"), [(100, 130, 700), (33, 70, 20), (3, 200, 50), (5, 100, 33), (1, 70, 45), (200, 9, 64), (64, 1024, 16)])
def test_bits_do_not_depend_on_where_the_operands_lie(m: int, n: int, k: int) -> None:
    a, b, bias = numbers(m, k), numbers(k, n, seed=1), numbers(m, n, seed=2)
    expected = product(a, b, bias)
    for (left, x), (right, y), (name, z) in itertools.product(layouts(a).items(), layouts(b).items(), layouts(bias).items()):
        assert np.array_equal(product(x, y, z), expected), (left, right, name)
    transposed = np.full((n, m), np.nan, np.float32)
    assert np.array_equal(product(a, b, bias, transposed.T), expected)
    assert np.array_equal(product(b.T, a.T, bias.T), expected.T)
    spread = np.full((m, 2 * n), np.nan, np.float32)
    assert np.array_equal(product(a, b, bias, spread[:, ::2]), expected)
    assert np.isnan(spread[:, 1::2]).all()


@pytest.mark.parametrize(("m", "n", "k"), [(150, 300, 700), (40, 640, 300), (1, 500, 130), (300, 20, 64)])
def test_bits_do_not_depend_on_chunks_and_blocks(m: int, n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, bias = numbers(m, k), numbers(k, n, seed=1), numbers(n, seed=2)
    counts, found = set(), []
    for most, k_block, slab, colliding in itertools.product((1, 3, 8), (16, 320), (1 << 14, 1 << 19), (4, 1 << 20)):
        monkeypatch.setattr(gemm, "_MOST_CHUNKS", most)
        monkeypatch.setattr(gemm, "_CHUNK_WORK", 1000)
        monkeypatch.setattr(gemm, "_VECTOR_WORK", 1000)
        monkeypatch.setattr(gemm, "_K_BLOCK", k_block)
        monkeypatch.setattr(gemm, "_SLAB_BYTES", slab)
        monkeypatch.setattr(gemm, "_COLLIDING_A", colliding)
        monkeypatch.setattr(gemm, "_COLLIDING_B", colliding)
        for x in (a, layouts(a)["columns"]):
            found.append(product(x, b, bias))
        counts.add(gemm.lower(gemm.Product(m, n, k, (k, 1), (n, 1), (n, 1))).calls[0].chunks)
    assert len(counts) == 3
    assert all(np.array_equal(other, found[0]) for other in found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches(dtype: type) -> None:
    check(numbers(6, 7, 5, dtype=dtype), numbers(6, 5, 9, dtype=dtype))
    check(numbers(4, 1, 7, 5, dtype=dtype), numbers(3, 5, 9, dtype=dtype), numbers(9, dtype=dtype))
    check(numbers(2, 3, 1, 5, dtype=dtype), numbers(2, 3, 5, 9, dtype=dtype), numbers(3, 1, 9, dtype=dtype))
    check(numbers(2, 3, 7, 5, dtype=dtype), numbers(2, 3, 5, 1, dtype=dtype))
    heads = numbers(2, 20, 3, 16, dtype=dtype).transpose(0, 2, 1, 3)
    out = np.full((2, 20, 3, 20), np.nan, dtype).transpose(0, 2, 1, 3)
    check(heads, heads.swapaxes(-1, -2), None, out)


def test_more_dims_of_a_batch_than_a_kernel_walks_over() -> None:
    a = numbers(2, 2, 3, 2, 2, 4, 6).transpose(3, 1, 4, 0, 2, 5, 6)
    check(a, numbers(2, 1, 2, 1, 3, 6, 5))
    check(layouts(a)["spread"], numbers(2, 1, 2, 1, 3, 6, 5), numbers(2, 1, 1, 1, 1, 4, 1))


def test_a_repeated_row_or_column() -> None:
    row, column = numbers(1, 12), numbers(30, 1)
    check(np.broadcast_to(row, (30, 12)), numbers(12, 20))
    check(np.broadcast_to(column, (30, 12)), np.broadcast_to(numbers(1, 20), (12, 20)), np.broadcast_to(numbers(1, 1), (30, 20)))
    check(np.broadcast_to(row, (1, 12)), np.broadcast_to(numbers(1, 20), (12, 20)))


@pytest.mark.parametrize(("m", "n"), [(5, 7), (1, 7), (7, 1), (300, 300)])
def test_no_terms(m: int, n: int) -> None:
    bias = numbers(n)
    assert np.array_equal(product(np.empty((m, 0), np.float32), np.empty((0, n), np.float32)), np.zeros((m, n)))
    assert np.array_equal(product(np.empty((m, 0), np.float32), np.empty((0, n), np.float32), bias), np.broadcast_to(bias, (m, n)))


def test_nothing_to_compute() -> None:
    for shape in ((0, 3, 4), (3, 0, 4), (0, 0, 0)):
        m, n, k = shape
        assert gemm.lower(gemm.Product(m, n, k, (k, 1), (n, 1), (n, 1))).calls == ()
    assert gemm.lower(gemm.Product(2, 3, 4, (8, 4, 1), (12, 3, 1), (6, 3, 1), batch=(0,))).calls == ()


def test_offsets_and_what_lies_beside_the_output() -> None:
    a, b = numbers(20, 30), numbers(30, 40)
    out = np.full((22, 48), np.nan, np.float32)
    described = gemm.Product(19, 33, 28, (30, 1), (40, 1), (48, 1), offsets=(31, 82, 50))
    run(gemm.lower(described), [a, b, out])
    expected = product(a[1:20, 1:29], b[2:30, 2:35])
    assert np.array_equal(out[1:20, 2:35], expected)
    assert np.isnan(out).sum() == out.size - expected.size


def test_numbers_that_are_not_finite_stay_in_their_rows_and_columns() -> None:
    a, b = numbers(17, 20), numbers(20, 35)
    clean = product(a, b)
    a[3, 4], b[7, 33] = np.nan, np.inf
    for x in layouts(b).values():
        got = product(a, x)
        assert np.isnan(got[3]).all() and not np.isfinite(got[:, 33]).any()
        got[3], got[:, 33] = clean[3], clean[:, 33]
        assert np.array_equal(got, clean)


def test_kernels_are_shared_between_shapes() -> None:
    kernels = set()
    for m, n, k in itertools.product((182, 256, 500, 1000), (256, 320, 512), (40, 64, 100)):
        kernels.add(gemm.lower(gemm.Product(m, n, k, (k, 1), (1, k), (n, 1))).calls[0].kernel)
    assert len(kernels) == 1


@pytest.mark.parametrize(("registers", "bits"), [(16, 256), (32, 128), (16, 128)])
def test_other_processors(registers: int, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for narrower vectors and without masks, which this processor runs as well, has the same bits."""
    shapes = [(40, 70, 33), (30, 9, 18), (3, 50, 20), (1, 70, 45), (7, 1, 33), (5, 3, 4)]
    operands = [(numbers(m, k), numbers(k, n, seed=1), numbers(n)) for m, n, k in shapes]
    expected = [product(*each) for each in operands]
    monkeypatch.setattr(llvm, "vector_registers", lambda: (registers, bits))
    monkeypatch.setattr(llvm, "host_features", set)
    caches = (gemm.product_kernel, gemm.vector_kernel)
    for cache in caches:
        cache.cache_clear()
    try:
        for (a, b, bias), each in zip(operands, expected, strict=True):
            for x, y in itertools.product(layouts(a).values(), layouts(b).values()):
                assert np.array_equal(product(x, y, bias), each)
    finally:
        for cache in caches:
            cache.cache_clear()
