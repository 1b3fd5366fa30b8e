"""Native forms: every card that has one, on all its samples, alone, in a fused trace, and beside its NumPy rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from op_samples import SAMPLES

import rushlight as torch
from rushlight import config, tape
from rushlight.engine import execute, llvm
from rushlight.engine.fuse import Interpreted, fuse
from rushlight.engine.pipeline import is_exact
from rushlight.engine.trace import Trace, scan, trace_of
from rushlight.graph import trace_ops
from rushlight.nn import functional as F
from rushlight.ops.card import CARDS, Card, Pointwise, View, apply
from rushlight.storage import Storage

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="native code needs llvmlite")

#: Cards with samples and no native form: those that NumPy or a library computes well or that are rare, and those to come.
WITHOUT_NATIVE_FORM_AT_MOST = 65

#: Cards whose samples are too small for their native forms.
NATIVE_WHEN_LARGE = {"topk"}

SPECIAL = np.array([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -3, 6, np.inf, -np.inf, np.nan, 1e-40, -3e38, 88.9, 8388609.5, 0.3, -0.7], np.float32)


@pytest.fixture(autouse=True)
def settings_restored() -> Iterator[None]:
    tape.flush()
    before = tape.state.immediate, tape.state.compile, config.HOT
    tape.state.immediate, tape.state.compile, config.HOT = False, True, 0
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before


class Entry(NamedTuple):
    """A card applied to float32 where its sample has float64."""

    card: Card
    operands: tuple[Any, ...]
    static: tuple[Any, ...]

    def run(self, operands: tuple[Any, ...] | None = None) -> list[torch.Tensor]:
        found = apply(self.card, operands or self.operands, self.static)
        return list(found) if isinstance(found, tuple) else [found]

    def trace(self) -> Trace:
        plan = self.card.plan(self.operands, self.static, None)
        inputs = [(o._storage, o._offset, o._layout) if isinstance(o, torch.Tensor) else o for o in self.operands]
        outputs = [(Storage(o.nbytes), 0, o) for o in plan.outs]
        entries = [(plan, outputs, inputs, None)]
        return trace_of(entries, scan(entries))


def lowered_cards() -> list[str]:
    return [name for name in SAMPLES if CARDS[name].lowering is not None and not CARDS[name].in_place]


def entries(name: str) -> Iterator[Entry]:
    """What the samples of a card apply it to, in float32."""
    card = CARDS[name]
    for sample in SAMPLES[name]:
        with torch.no_grad(), trace_ops() as calls:
            sample.call(*sample.tensors)
        for called, operands, params, _ in calls:
            if called == name:
                static = tuple(torch.float32 if params[s] is torch.float64 else params[s] for s in card.statics)
                yield Entry(card, tuple(narrow(o) for o in operands), static)
    tape.flush()


def narrow(operand: Any) -> Any:
    """float32 for float64, with the same strides."""
    return operand.to(torch.float32) if isinstance(operand, torch.Tensor) and operand.dtype is torch.float64 else operand


def arrays(found: list[torch.Tensor]) -> list[np.ndarray]:
    return [t.detach().numpy().copy() for t in found]


def alone(entry: Entry) -> list[np.ndarray]:
    tape.flush()
    return arrays(entry.run())


def fused(entry: Entry) -> list[np.ndarray]:
    """Between products with one, which change no bit."""
    tape.flush()
    before = execute.counts.compiled_runs
    operands = tuple(o * 1.0 if isinstance(o, torch.Tensor) and o.is_floating_point() else o for o in entry.operands)
    found = [t * 1.0 if t.is_floating_point() else t for t in entry.run(operands)]
    results = arrays(found)
    assert execute.counts.compiled_runs > before or not any(isinstance(o, torch.Tensor) and o.is_floating_point() for o in (*entry.operands, *found))
    return results


def by_numpy(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    tape.flush()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        return arrays(entry.run())


def assert_same_bits(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal to the last bit; of nan only that it is nan."""
    assert found.shape == expected.shape and found.dtype == expected.dtype, what
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), what)
        found, expected = (np.where(np.isnan(a), a.dtype.type(0), a) for a in (found, expected))
    np.testing.assert_array_equal(np.ascontiguousarray(found).view(np.uint8), np.ascontiguousarray(expected).view(np.uint8), what)


def check(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = entry.trace()
    native = not any(isinstance(unit, Interpreted) for unit in fuse(trace))
    first, second, numpy = alone(entry), fused(entry), by_numpy(entry, monkeypatch)
    for n, (mine, theirs, rule) in enumerate(zip(first, second, numpy, strict=True)):
        assert_same_bits(mine, theirs, f"output {n}, alone and fused")
        if not native or is_exact(trace):
            assert_same_bits(mine, rule, f"output {n}, which is exact, and the NumPy rule's")
        else:
            np.testing.assert_allclose(mine, rule, rtol=3e-5, atol=3e-6 * max(1.0, float(np.abs(rule).max(initial=0))))


@pytest.mark.parametrize("name", lowered_cards())
def test_alone_fused_and_numpy_agree(name, monkeypatch):
    found = list(entries(name))
    assert found
    for entry in found:
        check(entry, monkeypatch)
    assert name in NATIVE_WHEN_LARGE or any(not any(isinstance(unit, Interpreted) for unit in fuse(entry.trace())) for entry in found), "no sample has a native form"


@pytest.mark.parametrize("name", [n for n in lowered_cards() if isinstance(CARDS[n], Pointwise)])
def test_exact_elementwise_forms_give_numpys_bits_for_zeros_infinities_and_nans(name, monkeypatch):
    for entry in entries(name):
        tensors = [n for n, o in enumerate(entry.operands) if isinstance(o, torch.Tensor) and o.dtype is torch.float32]
        grids = np.meshgrid(*[SPECIAL] * min(len(tensors), 2), indexing="ij")
        values = {n: torch.tensor(grids[place % 2 if len(grids) == 2 else 0].reshape(-1)) for place, n in enumerate(tensors)}
        special = entry._replace(operands=tuple(values.get(n, o) for n, o in enumerate(entry.operands)))
        if len(tensors) != sum(isinstance(o, torch.Tensor) for o in entry.operands):
            continue
        mine, theirs = alone(special), fused(special)
        exact = is_exact(special.trace())
        for n, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            assert_same_bits(a, b, f"output {n}, alone and fused")
        if exact:
            for a, b in zip(theirs, by_numpy(special, monkeypatch), strict=True):
                assert_same_bits(a, b, "fused and the NumPy rule's")


def test_few_cards_have_samples_and_no_native_form(capsys):
    without = sorted(n for n in SAMPLES if CARDS[n].lowering is None and not isinstance(CARDS[n], View) and not CARDS[n].in_place)
    with capsys.disabled():
        print(f"\n{len(without)} cards with samples have no native form: {' '.join(without)}")
    assert len(without) <= WITHOUT_NATIVE_FORM_AT_MOST


# Reductions


def run_both(function: Callable[..., Any], *inputs: np.ndarray) -> list[np.ndarray]:
    """The results of a function alone and fused, which must be the same."""
    tape.flush()
    results = []
    for factor in (None, 1):
        tensors = [torch.tensor(i) for i in inputs]
        found = function(*[t if factor is None else t * factor for t in tensors])
        results.append(arrays(list(found) if isinstance(found, tuple) else [found]))
    for mine, theirs in zip(*results, strict=True):
        assert_same_bits(mine, theirs, "alone and fused")
    return results[0]


@pytest.mark.parametrize("shape", [(3, 40), (5, 1), (20000,), (8193,), (4, 3, 33)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("dim", [-1, None])
def test_the_first_of_equal_values_is_found(shape, dtype, dim):
    values = np.random.RandomState(0).randint(-2, 3, shape).astype(dtype)
    assert np.array_equal(run_both(lambda t: torch.argmax(t, dim), values)[0], values.argmax(dim))
    assert np.array_equal(run_both(lambda t: torch.argmin(t, dim), values)[0], values.argmin(dim))
    found = run_both(lambda t: torch.max(t) if dim is None else tuple(torch.max(t, dim)), values)
    assert np.array_equal(found[0], values.max(dim))
    if dim is not None:
        assert np.array_equal(found[1], values.argmax(dim))


@pytest.mark.parametrize("at", [0, 17, 8191, 8192, 19999])
def test_nan_is_the_extreme_and_its_place_is_the_first(at):
    values = np.random.RandomState(0).randn(20000).astype(np.float32)
    values[at] = np.nan
    values[19999] = np.nan
    for name in ("max", "min"):
        assert np.isnan(run_both(getattr(torch, name), values)[0])
        assert run_both(getattr(torch, f"arg{name}"), values)[0] == at
        value, place = run_both(lambda t, name=name: tuple(getattr(torch, name)(t, -1)), values)
        assert np.isnan(value) and place == at


def test_of_zeros_the_positive_one_is_larger_in_any_order():
    for values in ([0.0, -0.0], [-0.0, 0.0], [-0.0] * 20 + [0.0] + [-0.0] * 20):
        array = np.array([values], np.float32)
        assert not np.signbit(run_both(lambda t: torch.amax(t, -1), array)[0])
        assert np.signbit(run_both(lambda t: torch.amin(t, -1), array)[0])
    assert np.signbit(run_both(lambda t: torch.amax(t, -1), np.full((1, 33), -0.0, np.float32))[0])


@pytest.mark.parametrize("size", [8192, 8193, 70001])
def test_variances_of_one_long_row_take_their_mean_from_all_blocks(size):
    values = np.random.RandomState(0).randn(size).astype(np.float32) + 7
    exact = values.astype(np.float64)
    for found, expected in (
        (run_both(torch.var, values)[0], exact.var(ddof=1)),
        (run_both(lambda t: torch.std(t, correction=0), values)[0], exact.std()),
        (run_both(lambda t: torch.logsumexp(t, 0), values)[0], np.log(np.exp(exact).sum())),
        (run_both(torch.linalg.vector_norm, values)[0], np.sqrt((exact**2).sum())),
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize("dim", [None, -1, 0])
def test_counts_and_sums_of_integers_are_exact(dim):
    values = np.random.RandomState(0).randint(-(2**40), 2**40, (37, 301))
    flags = values % 3 == 0
    assert np.array_equal(run_both(lambda t: torch.sum(t, dim), values)[0], values.sum(dim))
    assert np.array_equal(run_both(lambda t: torch.sum(t % 3 == 0, dim), values)[0], flags.sum(dim))
    assert np.array_equal(run_both(lambda t: torch.count_nonzero(t % 3 == 0, dim), values)[0], flags.sum(dim))
    assert np.array_equal(run_both(lambda t: torch.any(t % 3 == 0, dim), values)[0], flags.any(dim))


# Norms over channels


LAYOUTS = [((8, 6, 5, 7), False), ((2, 6, 5, 7), False), ((1, 6, 9, 7), False), ((8, 6, 5, 7), True), ((300, 20), False), ((300, 6, 4, 4), True), ((64, 4, 10), False), ((5, 1, 3, 3), False), ((4, 3, 1, 1), False)]


@pytest.mark.parametrize(("shape", "channels_last"), LAYOUTS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_and_its_gradients_over_layouts(shape, channels_last, training, affine):
    def run(dtype: torch.dtype, immediate: bool = False) -> list[np.ndarray]:
        tape.state.immediate = immediate
        random = np.random.RandomState(1)
        x = torch.tensor(random.randn(*shape) * 2 + 3).to(dtype)
        x = (x.contiguous(memory_format=torch.channels_last) if channels_last else x).requires_grad_()
        mean, variance = (torch.tensor(random.rand(shape[1]) + 0.5).to(dtype) for _ in range(2))
        parameters = [torch.tensor(random.rand(shape[1]) + 0.5).to(dtype).requires_grad_() for _ in range(2 * affine)]
        out = F.batch_norm(x, mean, variance, *parameters, training=training)
        out.backward(torch.tensor(random.randn(*shape)).to(dtype))
        return arrays([out, x.grad, mean, variance, *(p.grad for p in parameters)])

    before = execute.counts.native_calls
    found = run(torch.float32)
    assert execute.counts.native_calls > before
    for mine, theirs in zip(found, run(torch.float32, immediate=True), strict=True):
        assert_same_bits(mine, theirs, "compiled and immediate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        exact = run(torch.float64)
    for mine, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=5e-6 * np.abs(expected).max() + 1e-6)


def test_slices_named_by_an_index_are_copied():
    table = np.random.RandomState(0).randn(70, 9, 61).astype(np.float32)
    index = np.random.RandomState(1).randint(0, 70, 150)
    for dim in (0, 1):
        chosen = index % table.shape[dim]
        assert np.array_equal(run_both(lambda t, i, dim=dim: torch.index_select(t, dim, i), table, chosen)[0], np.take(table, chosen, dim))
