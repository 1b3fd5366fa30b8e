"""Reading and writing by index tensors as native code: what the NumPy rules give, in every layout and with repeated indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import tape
from rushlight.engine import execute, llvm
from rushlight.graph import trace_ops
from rushlight.ops.card import CARDS

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

DTYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.int8, torch.bool)


def table(shape: Sequence[int], dtype: Any, seed: int = 0, strided: bool = False) -> torch.Tensor:
    """Small whole numbers, of which sums are exact in any order."""
    random = np.random.default_rng(seed)
    whole = torch.tensor(random.integers(-3, 4, (*shape[:-1], 2 * shape[-1])))
    x = whole[..., 1::2].transpose(0, -1).contiguous().transpose(0, -1) if strided else whole[..., : shape[-1]].contiguous()
    return x.to(dtype)


def index(shape: Sequence[int], size: int, seed: int = 1, dtype: Any = torch.int64, strided: bool = False, negative: bool = False) -> torch.Tensor:
    random = np.random.default_rng(seed)
    found = torch.tensor(random.integers(-size if negative else 0, size, (*shape, 2)))
    return (found[..., 1] if strided else found[..., 1].contiguous()).to(dtype)


def cases(dtype: Any, strided: bool) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    def make(*shape: int, seed: int = 0) -> torch.Tensor:
        return table(shape, dtype, seed, strided)

    for dim in (0, 1, 2):
        shape = (7, 9, 21)
        x, src = make(*shape), make(8, 10, 23, seed=4)
        there = index((5, 6, 20), shape[dim], strided=strided)
        rows, part = index((13,), shape[dim], strided=strided), [13 if d == dim else n for d, n in enumerate(shape)]
        source = make(*part, seed=5)
        yield f"gather {dim}", lambda x=x, there=there, dim=dim: x.gather(dim, there)
        yield f"gather {dim} i32", lambda x=x, there=there, dim=dim: x.gather(dim, there.to(torch.int32))
        yield f"scatter {dim}", lambda x=x, there=there, src=src, dim=dim: x.scatter(dim, there, src)
        yield f"scatter_number {dim}", lambda x=x, there=there, dim=dim: x.scatter(dim, there, 1)
        yield f"scatter_add {dim}", lambda x=x, there=there, src=src, dim=dim: x.scatter_add(dim, there, src)
        yield f"index_select {dim}", lambda x=x, rows=rows, dim=dim: x.index_select(dim, rows)
        yield f"index_copy {dim}", lambda x=x, rows=rows, source=source, dim=dim: x.index_copy(dim, rows, source)
        yield f"index_add {dim}", lambda x=x, rows=rows, source=source, dim=dim: x.index_add(dim, rows, source)
        if dtype is not torch.bool:
            yield f"index_add {dim} times", lambda x=x, rows=rows, source=source, dim=dim: x.index_add(dim, rows, source, alpha=2)
    x = make(7, 9, 21)
    i, j, k = (index(shape, size, size, negative=True, strided=strided) for shape, size in (((4, 1), 7), ((3,), 9), ((4, 3), 21)))
    for name, where in {
        "first": (i,), "second": (slice(None), j), "last": (..., k), "two": (i, j), "apart": (i, slice(None), k), "all": (i, j, k), "last two": (slice(None), j, k),
    }.items():  # fmt: skip
        yield f"index {name}", lambda where=where: x[where]
        for accumulate in (False, True):
            put = tuple(slice(None) if w is Ellipsis else w for w in where)
            filled = [w for w in put if isinstance(w, torch.Tensor)]
            if len(filled) == len(put):
                values = make(*x[where].shape, seed=8)
                yield f"index_put {name} {accumulate}", lambda w=filled, v=values, a=accumulate: x.index_put(w, v, a)
                yield f"index_put {name} {accumulate} row", lambda w=filled, v=values[..., :1], a=accumulate: x.index_put(w, v, a)
        values = make(*x[where].shape, seed=8)

        def assigned(where: Any = where, values: torch.Tensor = values) -> torch.Tensor:
            y = x.clone()
            y[where] = values
            return y

        yield f"assign {name}", assigned
    yield "1d gather", lambda: make(1, 40)[0].gather(0, index((90,), 40))
    yield "1d add", lambda: make(1, 40)[0].scatter_add(0, index((90,), 40), make(1, 90)[0])
    yield "take", lambda: x.take(index((3, 5), 7 * 9 * 21))


def by_numpy(monkeypatch: pytest.MonkeyPatch, function: Callable[[], torch.Tensor]) -> np.ndarray:
    tape.flush()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        return function().numpy().copy()


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_native_code_gives_what_the_numpy_rules_give(dtype: Any, strided: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in cases(dtype, strided):
        expected = by_numpy(monkeypatch, function)
        found = function().numpy()
        np.testing.assert_array_equal(found, expected, name)


def test_these_ops_have_native_forms() -> None:
    seen = set()
    for _, function in cases(torch.float32, False):
        with trace_ops() as calls:
            function()
        for name, operands, params, _ in calls:
            card = CARDS[name]
            if "ind" in name or "scatter" in name or "gather" in name:
                plan = card.plan(operands, tuple(params[s] for s in card.statics), None)
                assert card.lowering is not None and card.lowering.make(plan) is not None, name  # type: ignore[union-attr]
                seen.add(name)
    assert seen >= {"gather", "scatter", "scatter_add", "index_select", "index_copy", "index_add", "index", "index_put"}


def test_many_elements_in_chunks_and_repeats_in_order() -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((3000, 70)).astype(np.float32)
    where = random.integers(0, 50, 3000)
    expected = np.ones((50, 70), np.float32)
    for row, value in zip(where, values, strict=True):
        expected[row] += value
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            base, rows, there = torch.ones(50, 70), torch.tensor(values), torch.tensor(where)
            for found in (base.index_add(0, there, rows), base.index_put((there,), rows, True), base.scatter_add(0, there[:, None].expand(3000, 70), rows)):
                np.testing.assert_array_equal(found.numpy(), expected)  # each sum in the order of the index
            last = {row: n for n, row in enumerate(where.tolist())}
            found = base.index_put((there,), rows).numpy()
            np.testing.assert_array_equal(found, values[[last[n] for n in range(50)]])
            wide = torch.tensor(random.standard_normal((300, 500)).astype(np.float32))
            columns = torch.tensor(random.integers(0, 500, (300, 900)))
            np.testing.assert_array_equal(wide.gather(1, columns).numpy(), np.take_along_axis(wide.numpy(), columns.numpy(), 1))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("compiled_at_once")
def test_writing_to_places_that_overlap_each_other_is_not_native() -> None:
    """The neighbours of each element as rows: the interpreter writes them, and no compilation is tried that the engine's checks refuse."""
    x = torch.arange(7.0)
    x.unfold(0, 3, 1)[torch.tensor([1, 3])] = torch.tensor([0.3, 0.7, 1.3])
    assert x[0] == 0 and x[6] == 6


def test_writing_to_a_part_leaves_the_rest() -> None:
    x = torch.zeros(6, 10)
    part = x[1:5, 2:8]
    part[torch.tensor([0, 3, 0])] += torch.ones(3, 6)
    part.index_put_((torch.tensor([1]), torch.tensor([-1])), torch.tensor([5.0]))
    expected = np.zeros((6, 10), np.float32)
    expected[[1, 4], 2:8] = 1
    expected[2, 7] = 5
    np.testing.assert_array_equal(x.numpy(), expected)


# Reductions at indices, fills, and flat tables

FLAT: dict[str, Any] = {
    "index_fill": lambda x, places, flat: [x.index_fill(0, places[0].reshape(-1)[:4], 3), x.index_fill(-1, places[-1].reshape(-1)[:4], torch.tensor(2).to(x.dtype))],
    "take": lambda x, places, flat: [x.take(flat)],
    "put": lambda x, places, flat: [x.put(flat, x.reshape(-1)[:1].expand(flat.shape))],
    "put and add": lambda x, places, flat: [x.put(flat, torch.arange(flat.numel()).reshape(flat.shape).to(x.dtype) / 7 if x.is_floating_point() else flat.to(x.dtype), True)],
    **{
        f"{reduce}, {'with' if include_self else 'without'} the old": lambda x, places, flat, reduce=reduce, include_self=include_self: [
            x.scatter_reduce(d, places[d], x.flip(0) + 1, reduce, include_self=include_self) for d in range(x.dim())
        ]
        for reduce in ("sum", "prod", "mean", "amax", "amin")
        for include_self in (True, False)
    },
    "scatter with a number": lambda x, places, flat: [x.scatter(0, places[0], 3, reduce="multiply"), x.scatter(0, places[0], 0.5 if x.is_floating_point() else 2, reduce="add")],
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64], ids=str)
@pytest.mark.parametrize("name", FLAT)
def test_what_is_combined_at_indices(name: str, dtype: Any, turned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((7,), (30, 40), (3, 50, 20)):
        random = np.random.default_rng(0)
        values = np.round(random.standard_normal(shape) * 5, 1)
        where = [random.integers(0, n, shape) for n in shape]
        flat = random.integers(-values.size, values.size, (4, 9))

        def compute(values: np.ndarray = values, where: Any = where, flat: np.ndarray = flat) -> list[np.ndarray]:
            x = torch.tensor(values).to(dtype)
            if turned:
                x = x.transpose(0, -1).contiguous().transpose(0, -1)
            return [t.numpy().copy() for t in FLAT[name](x, [torch.tensor(w) for w in where], torch.tensor(flat))]

        found = compute()
        tape.flush()
        with monkeypatch.context() as patch:
            patch.setattr(llvm, "AVAILABLE", False)
            patch.setattr(tape.state, "compile", False)
            expected = compute()
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, f"{name} of {shape}")


def test_one_hot_rows() -> None:
    classes = torch.arange(40000) % 11
    found = F.one_hot(classes).numpy()
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.eye(11, dtype=np.int64)[classes.numpy()])
    np.testing.assert_array_equal(F.one_hot(torch.tensor(3), 5).numpy(), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(F.one_hot(torch.tensor([[0], [1]]), 2).numpy(), [[[1, 0]], [[0, 1]]])


@pytest.mark.parametrize(("rows", "width", "places"), [(50, 33, (7, 5)), (300, 200, (40, 30)), (1000, 768, (16, 64)), (5, 1, (9,))])
@pytest.mark.parametrize("gradient", ["rows", "turned", "expanded"])
def test_the_gradient_of_a_table_in_any_layout(rows: int, width: int, places: tuple[int, ...], gradient: str) -> None:
    random = np.random.default_rng(0)
    names = random.integers(0, rows, places)
    values = random.standard_normal((*places, width)).astype(np.float32)
    g = torch.tensor(values)
    if gradient == "turned":
        g = torch.tensor(values.T.copy()).permute(*reversed(range(values.ndim)))
    elif gradient == "expanded":
        values = np.full_like(values, 0.3)
        g = torch.tensor(0.3).expand(values.shape)
    table = torch.zeros(rows, width, requires_grad=True)
    index = torch.tensor(names.T.copy()).permute(*reversed(range(names.ndim))) if gradient == "turned" else torch.tensor(names)
    F.embedding(index, table, padding_idx=3).backward(g)
    expected = np.zeros((rows, width), np.float32)
    for name, value in zip(names.reshape(-1), values.reshape(-1, width), strict=True):
        expected[name] += value if name != 3 else 0  # in order: the bits are the same
    assert table.grad is not None
    np.testing.assert_array_equal(table.grad.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("width", [1, 16, 70, 130])
def test_bags_of_rows(width: int, dtype: Any) -> None:
    """Sums and means against loops in Python: empty bags, rows that do not count, a named end, places every other, and the gradient."""
    random = np.random.default_rng(0)
    table = torch.tensor(random.standard_normal((9, width))).to(dtype)
    for kind in (torch.int64, torch.int32):
        index = torch.tensor(random.integers(0, 9, 24)).to(kind)[::2]
        offsets = torch.tensor([0, 3, 3, 7, 12], dtype=kind)
        for named in (False, True):
            for padding in (None, 4):
                for mode in ("sum", "mean"):
                    weight = table.clone().requires_grad_()
                    before = execute.counts.native_calls
                    found = F.embedding_bag(index, weight, offsets, mode=mode, include_last_offset=named, padding_idx=padding)
                    assert found.shape == (5 - named, width)
                    wanted, slope = [], np.zeros((9, width))
                    for bag, (begin, end) in enumerate(zip([0, 3, 3, 7, 12], [3, 3, 7, 12, 12], strict=True)):
                        rows = [i for i in index[begin:end].tolist() if i != padding]
                        divisor = max(len(rows), 1) if mode == "mean" else 1
                        wanted.append(sum((table[i].double().numpy() for i in rows), np.zeros(width)) / divisor)
                        for i in rows:
                            slope[i] += (bag + 1.5) / divisor
                    np.testing.assert_allclose(found.detach().numpy(), np.array(wanted)[: 5 - named], rtol=1e-5, atol=1e-5)
                    assert execute.counts.native_calls > before
                    (found * torch.arange(1.5, 6.5 - named, dtype=dtype).unsqueeze(1)).sum().backward()
                    np.testing.assert_allclose(weight.grad.numpy(), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("width", [1, 16, 70])
def test_weighted_bags_of_rows(width: int, dtype: Any) -> None:
    """Sums of rows times factors and both gradients, against a product of matrices; rows that do not count have no gradient."""
    random = np.random.default_rng(0)
    index, bag_of = random.integers(0, 9, 12), np.repeat([0, 2, 3], [3, 4, 5])
    offsets = torch.tensor([0, 3, 3, 7, 12])
    for named in (False, True):
        for padding in (None, 4):
            weight = torch.tensor(random.standard_normal((9, width))).to(dtype).requires_grad_()
            factors = torch.tensor(random.standard_normal(24)).to(dtype).requires_grad_()
            before = execute.counts.native_calls
            found = F.embedding_bag(torch.tensor(index), weight, offsets, mode="sum", per_sample_weights=factors[::2], include_last_offset=named, padding_idx=padding)
            g = random.standard_normal(found.shape)
            found.backward(torch.tensor(g).to(dtype))
            counts = (index != padding).astype(float)
            sums = np.zeros((5 - named, 9))
            np.add.at(sums, (bag_of, index), factors.detach().numpy()[::2] * counts)
            np.testing.assert_allclose(found.detach().numpy(), sums @ weight.detach().numpy(), rtol=1e-4, atol=1e-5)
            assert execute.counts.native_calls > before
            np.testing.assert_allclose(weight.grad.numpy(), sums.T @ g, rtol=1e-4, atol=1e-5)
            slopes = (g[bag_of] * weight.detach().numpy()[index]).sum(1) * counts
            np.testing.assert_allclose(factors.grad.numpy()[::2], slopes, rtol=1e-4, atol=1e-5)
