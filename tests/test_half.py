"""Half precision as native code: casts of every bit pattern, every card on its samples, and one set of bits in all modes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from op_samples import SAMPLES

import rushlight as torch
from rushlight import tape
from rushlight.engine import elements, execute, llvm
from rushlight.engine.emit import Builder, module
from rushlight.engine.interpret import run_entry
from rushlight.engine.pipeline import is_exact
from rushlight.engine.trace import scan, trace_of
from rushlight.graph import trace_ops
from rushlight.nn import functional as F
from rushlight.ops.card import CARDS
from rushlight.storage import Storage

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="native code needs llvmlite"), pytest.mark.usefixtures("compiled_at_first_sight")]

HALVES = (torch.bfloat16, torch.float16)
both = pytest.mark.parametrize("dtype", HALVES, ids=["bfloat16", "float16"])


def bits(tensor: Any) -> np.ndarray:
    """A tensor's bits, with one pattern for all nans."""
    values = tensor.detach().contiguous()
    values = torch.where(values.isnan(), torch.full_like(values, float("nan")), values) if values.is_floating_point() else values
    return values.view(torch.int16).numpy().copy() if values.dtype in HALVES else values.numpy().copy()


def every(dtype: Any) -> Any:
    """Every value of a dtype of 16 bits."""
    return torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16).copy()).clone().view(dtype)


@both
def test_every_value_widens_exactly(dtype):
    values = every(dtype)
    before = execute.counts.native_calls
    found = values.float().numpy()
    assert execute.counts.native_calls > before
    assert np.array_equal(found, values.numpy().astype(np.float32) if dtype is torch.float16 else bits_as_float(values), equal_nan=True)


def bits_as_float(values: Any) -> np.ndarray:
    return (values.view(torch.int16).numpy().view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def points_of_rounding(wide: np.ndarray) -> np.ndarray:
    """Numbers around every value, around every point half-way between two, and of random bits."""
    with np.errstate(all="ignore"):
        middle = ((wide[:-1].astype(np.float64) + wide[1:].astype(np.float64)) / 2).astype(np.float32)
        points = np.concatenate([wide, middle])
        others = np.random.default_rng(0).integers(0, 1 << 32, 1 << 18, dtype=np.uint64).astype(np.uint32).view(np.float32)
        return np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-np.inf)), others])


@pytest.mark.parametrize("lanes", [1, 16])
def test_float16_without_instructions_for_it(lanes, monkeypatch):
    """The bits of NumPy's conversions, of every value and at every point where rounding changes."""
    monkeypatch.setattr(llvm, "converts_float16", lambda: False)

    def converted(values: np.ndarray, source: str, target: str) -> np.ndarray:
        k = Builder("convert", [("ptr", "args"), ("i64", "count")])
        pointers = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr") for n in range(2)]
        with k.loop(0, k.parameters["count"], lanes) as turn:
            places = [k.address(at, turn.index, elements.memory_type(kind)) for at, kind in zip(pointers, (source, target), strict=True)]
            elements.store(k, elements.load(k, places[0], source, lanes), places[1], target)
        code = llvm.load(module([k]), ["convert"])
        found = np.zeros(values.shape, np.float16 if target == "f16" else np.float32)
        args = np.array([values.ctypes.data, found.ctypes.data])
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses["convert"])(args.ctypes.data, values.size)
        return found

    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wide = converted(halves, "f16", "float")
    want = halves.astype(np.float32)
    assert np.array_equal(wide, want, equal_nan=True)
    assert np.array_equal(np.signbit(wide), np.signbit(want))
    values = points_of_rounding(want)
    with np.errstate(all="ignore"):
        rounded = values.astype(np.float16)
    found = converted(values[: values.size // lanes * lanes], "float", "f16")
    assert np.array_equal(found, rounded[: found.size], equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(rounded[: found.size]))


@both
def test_floats_round_to_the_nearest_and_ties_to_even(dtype):
    values = points_of_rounding(every(dtype).float().numpy().copy())
    with np.errstate(all="ignore"):
        want = values.astype(dtype.numpy)
    before = execute.counts.native_calls
    found = torch.tensor(values).to(dtype)
    assert np.array_equal(bits(found), bits(torch.tensor(want.view(np.int16)).view(dtype)))
    assert execute.counts.native_calls > before


def narrowed(operand: Any, dtype: Any) -> Any:
    return operand.to(dtype) if isinstance(operand, torch.Tensor) and operand.is_floating_point() else operand


def half_entries(name: str, dtype: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """Plans of a card in half precision, with operands and regions for the outputs."""
    card = CARDS[name]
    for sample in SAMPLES[name]:
        with torch.no_grad(), trace_ops() as calls:
            sample.call(*sample.tensors)
        for called, operands, params, _ in calls:
            if called != name:
                continue
            static = tuple(dtype if params[s] is torch.float64 else params[s] for s in card.statics)
            operands = [narrowed(o, dtype) for o in operands]
            try:
                plan = card.plan(operands, static, None)
            except (RuntimeError, NotImplementedError):
                continue  # not for half precision
            tape.flush()
            yield plan, [(o._storage, o._offset, o._layout) if isinstance(o, torch.Tensor) else o for o in operands], list(plan.outs)


def by_rule(plan: Any, inputs: list[Any], outs: list[Any]) -> list[np.ndarray]:
    regions = [(Storage(o.nbytes), 0, o) for o in outs]
    with np.errstate(all="ignore"):
        run_entry(plan, regions, inputs)
    return [storage.array(0, layout) for storage, _, layout in regions]


def natively(plan: Any, inputs: list[Any], outs: list[Any]) -> list[np.ndarray]:
    regions = [(Storage(o.nbytes), 0, o) for o in outs]
    tape.record(plan, tuple(regions), inputs)
    return [tape.observe(storage).array(0, layout) for storage, _, layout in regions]


def looped_cards() -> list[str]:
    return [name for name in SAMPLES if CARDS[name].lowering is not None and not CARDS[name].in_place]


@both
@pytest.mark.parametrize("name", looped_cards())
def test_native_forms_agree_with_the_rules(name, dtype, monkeypatch):
    """To the bit where the arithmetic is exact, else to a few units of the last place of the dtype."""
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    eps = torch.finfo(dtype).eps
    for plan, inputs, outs in half_entries(name, dtype):
        entry = [(plan, [(Storage(o.nbytes), 0, o) for o in outs], inputs, None)]
        exact = is_exact(trace_of(entry, scan(entry)))
        for found, want in zip(natively(plan, inputs, outs), by_rule(plan, inputs, outs), strict=True):
            assert found.dtype == want.dtype
            a, b = (x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x for x in (found, want))
            if exact or a.dtype.kind in "iub":
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=4 * eps, atol=eps)


def program(dtype: Any) -> list[Any]:
    """Chains that fuse, reductions, products and their gradients, losses, over odd shapes and strides."""
    torch.manual_seed(0)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape).to(dtype)

    def leaf(*shape: int) -> Any:
        return draw(*shape).requires_grad_()

    x, y = draw(37, 50), draw(50)
    written = x.clone()
    written.add_(y).mul_(0.7)
    wide = torch.randn(37, 50)
    wide.mul_(x)
    found = [
        (x * 1.3 + y) / (y.abs() + 0.1) - x.clamp(-1, 1), x.exp() * 0.1 + y, F.gelu(x) * 2 - y, x * torch.randn(50) + y, x * torch.tensor(1.2345678) + torch.tensor(3),
        torch.where(x > y, x, y * 0.5), written, wide, x.t() * 2 + 1, draw(40, 60)[1:38, 3:53] * x, draw(300, 333) * 1.7 + draw(333),
        x.sum(1), x.mean(-1), x.sum(), x.sum(0), x.amax(1), x.var(1), x.norm(), F.softmax(x, -1), F.log_softmax(x * 3, -1), F.layer_norm(x, (50,), y, y), F.rms_norm(x, (50,), y),
        x @ draw(50, 13), x @ draw(13, 50).t(), draw(130, 200) @ draw(200, 90), x @ y, draw(3, 5, 7) @ draw(3, 7, 9), (x.float() * 1.1).to(dtype).float(), F.mse_loss(x, x * 0.9),
        x * torch.arange(50, dtype=torch.int8), x.abs() ** 1.7, F.batch_norm(draw(4, 3, 5, 5), None, None, training=True),
    ]  # fmt: skip
    weight, input, bias = leaf(20, 50), leaf(8, 50), leaf(20)
    (F.gelu(F.linear(input, weight, bias)) * draw(8, 20)).sum().backward()
    image, kernel = leaf(2, 3, 9, 9), leaf(4, 3, 3, 3)
    F.conv2d(image, kernel).square().sum().backward()
    normed, gain, shift = leaf(300, 50), leaf(50), leaf(50)
    (F.rms_norm(F.layer_norm(normed, (50,), gain, shift), (50,), gain) * draw(300, 50)).sum().backward()
    qkv = [leaf(2, 2, 9, 8) for _ in range(3)]
    F.scaled_dot_product_attention(*qkv, is_causal=True).square().sum().backward()
    return [*found, *(t.grad for t in (weight, input, bias, image, kernel, normed, gain, shift, *qkv))]


def under(setting: Callable[[], None], dtype: Any) -> list[np.ndarray]:
    tape.flush()
    setting()
    found = [bits(t) for t in program(dtype)]
    tape.flush()
    return found


@both
def test_one_set_of_bits_in_all_modes_and_for_all_numbers_of_threads(dtype):
    def settings(immediate: bool, compile: bool, threads: int) -> Callable[[], None]:
        def apply() -> None:
            tape.state.immediate, tape.state.compile = immediate, compile
            torch.set_num_threads(threads)

        return apply

    expected = under(settings(False, False, 1), dtype)
    for setting in (settings(False, True, 1), settings(False, True, 2), settings(True, False, 2)):
        for n, (found, want) in enumerate(zip(under(setting, dtype), expected, strict=True)):
            assert np.array_equal(found, want), n


@both
def test_a_chain_rounds_after_each_operation(dtype):
    """One kernel, and the bits of the operations one by one."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 33).to(dtype), torch.randn(64, 33).to(dtype)
    first = (x.float() + y.float()).to(dtype)
    second = (first.float() * x.float()).to(dtype)
    want = (second.float() - y.float()).to(dtype)
    assert np.array_equal(bits((x + y) * x - y), bits(want))


@both
@pytest.mark.parametrize("shapes", [((5, 7), (7, 3)), ((130, 200), (200, 90)), ((3, 4, 65), (3, 65, 6)), ((9, 40), (40,))])
def test_products_round_once(dtype, shapes):
    """The bits of the float32 product of the same values, rounded; bfloat16 in pairs may add up in another order (test_gemm_half.py)."""
    torch.manual_seed(0)
    a, b = (torch.randn(*shape).to(dtype) for shape in shapes)
    before = execute.counts.native_calls
    found = bits(a @ b)
    assert execute.counts.native_calls > before
    want = bits((a.float() @ b.float()).to(dtype))
    assert np.mean(found != want) < (0.01 if dtype is torch.bfloat16 else 1e-9)
    assert np.abs(found.astype(int) - want).max() <= 1


@both
@pytest.mark.parametrize("rows", [1, 37, 128, 300])
def test_sums_over_rows_are_rounded_once(dtype, rows, monkeypatch):
    """The bits of the float32 sums, rounded: of a sum, and of the gradients of norms' and layers' parameters."""
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    torch.manual_seed(0)
    x, weight, g = torch.randn(rows, 50).to(dtype), torch.randn(50).to(dtype), torch.randn(rows, 50).to(dtype)
    assert np.array_equal(bits(x.sum(0)), bits(x.float().sum(0).to(dtype)))

    def gradients(dtype: Any) -> list[Any]:
        gain, shift, bias = (t.to(dtype, copy=True).requires_grad_() for t in (weight, weight, weight))
        F.layer_norm(x.to(dtype), (50,), gain, shift).backward(g.to(dtype))
        F.linear(x.to(dtype), torch.eye(50).to(dtype), bias).backward(g.to(dtype))
        return [t.grad for t in (shift, bias, gain)]

    found, want = gradients(dtype), gradients(torch.float32)
    for rounded, wide in zip(found[:2], want[:2], strict=True):
        assert np.array_equal(bits(rounded), bits(wide.to(dtype)))
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(found[2].float().numpy(), want[2].numpy(), rtol=2 * eps, atol=rows**0.5 * eps)


MOVES: dict[str, Callable[[Any], Any]] = {
    "cat": lambda x: torch.cat([x, x], 1),
    "stack": lambda x: torch.stack([x, x]),
    "embedding": lambda x: F.embedding(torch.tensor([[3, 1], [0, 63]]), x),
    "index_select": lambda x: x.index_select(0, torch.tensor([5, 2, 5])),
    "index": lambda x: x[torch.tensor([5, 2, 5])],
    "gather": lambda x: x.gather(1, torch.tensor([[4, 1], [0, 1023]])),
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(3, 0),
}


@both
@pytest.mark.parametrize("name", MOVES)
def test_elements_are_moved_as_bits(name, dtype, monkeypatch):
    """Natively, and with the very bits of every nan."""
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    values = every(dtype).reshape(64, 1024)
    want = MOVES[name](values.view(torch.int16)).numpy()
    tape.flush()
    before = execute.counts.native_calls
    found = MOVES[name](values).view(torch.int16).numpy()
    assert execute.counts.native_calls > before
    assert np.array_equal(found, want)


@both
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_round_what_they_return_and_no_step(dtype, kind):
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(5, 6).to(dtype)
    x = torch.randn(9, 2, 5).to(dtype).requires_grad_()
    found = layer(x)[0]
    found.sum().backward()
    grads = [x.grad, *(p.grad for p in layer.parameters())]
    assert {g.dtype for g in grads} == {dtype}
    wide = layer.float()(x.float())[0]
    assert np.array_equal(bits(found), bits(wide.to(dtype)))


@both
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_under_float32_parameters_is_that_of_float32_rounded(dtype, channels_last, training):
    """As under autocast: elements are read and rounded in the loops."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x, g = (torch.randn(6, 20, 5, 7).to(dtype).contiguous(memory_format=memory_format) for _ in range(2))
    found = []
    for convert in (lambda t: t, lambda t: t.float()):
        input = convert(x).detach().requires_grad_()
        weight, bias = (torch.linspace(*ends, 20).requires_grad_() for ends in ((0.3, 1.7), (-0.7, 1.3)))
        out = F.batch_norm(input, torch.linspace(-1, 1, 20), torch.linspace(0.3, 3, 20), weight, bias, training)
        out.backward(convert(g))
        found.append([out.detach(), input.grad, weight.grad, bias.grad])
    for half, wide in zip(*found, strict=True):
        assert torch.equal(half, wide.to(half.dtype))


@both
def test_alpha_is_rounded_as_the_tensors_are(dtype):
    torch.manual_seed(0)
    x, y = torch.randn(500).to(dtype), torch.randn(500).to(dtype)
    alpha = torch.tensor(-0.1).to(dtype).item()
    want = bits((x.float() + y.float() * alpha).to(dtype))
    assert np.array_equal(bits(torch.add(x, y, alpha=-0.1)), want)
    assert np.array_equal(bits(x.clone().add_(y, alpha=-0.1)), want)
    assert np.array_equal(bits(torch.sub(x, y, alpha=0.1)), want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_writes_by_index_are_those_of_float32_rounded_once(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Natively and by NumPy: what is written stays as it is, what is added up or compared is float32 meanwhile."""
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    kind = getattr(torch, dtype)
    random = np.random.default_rng(3)
    x, source = (torch.tensor(random.standard_normal((9, 11)).astype(np.float32)).to(kind) for _ in range(2))
    index, rows = torch.tensor(random.integers(0, 9, (9, 11))), torch.tensor(random.integers(0, 9, 9))
    once = torch.stack([torch.arange(9).roll(n) for n in range(11)], 1)
    calls = [
        lambda x, s: x.scatter(0, once, s), lambda x, s: x.scatter(0, index, 0.3), lambda x, s: x.scatter_add(0, index, s), lambda x, s: x.index_add(0, rows, s),
        lambda x, s: x.scatter_reduce(0, index, s, "amax"), lambda x, s: x.scatter_reduce(0, index, s, "mean"), lambda x, s: x.index_put((torch.arange(9).flip(0),), s),
        lambda x, s: x.index_put((rows,), s, accumulate=True), lambda x, s: x.clone().scatter_add_(0, index, s),
    ]  # fmt: skip
    for n, call in enumerate(calls):
        assert torch.equal(call(x, source), call(x.float(), source.float()).to(kind)), n


WHOLE_QUOTIENTS = {  # dividends, divisors, quotients, and these where the divisor is one element: PyTorch's
    ("float16", "trunc"): ([29.171875, -47.28125, 45.5, -69.9375], [5.8359375, -0.06280517578125, 0.2022705078125, -0.77734375], [5.0, 753.0, 225.0, 90.0], [4.0, 752.0, 224.0, 89.0]),
    ("float16", "floor"): ([67.5625, 66.0625, -39.1875, 55.09375], [-0.0711669921875, -0.0982666015625, -0.046966552734375, -0.0240631103515625], [-951.0, -674.0, 833.0, -2292.0], [-950.0, -673.0, 834.0, -2290.0]),
    ("bfloat16", "trunc"): ([-63.5, 62.0, -25.125, -48.0], [0.34765625, -8.875, 3.59375, -2.53125], [-183.0, -7.0, -7.0, 19.0], [-182.0, -6.0, -6.0, 18.0]),
    ("bfloat16", "floor"): ([14.75, -95.0, 99.5, 37.75], [0.01470947265625, 0.82421875, 0.0673828125, -0.201171875], [1004.0, -117.0, 1480.0, -187.0], [1000.0, -116.0, 1472.0, -188.0]),
}


@pytest.mark.parametrize("repeats", [1, 300])
@pytest.mark.parametrize(("dtype", "mode"), WHOLE_QUOTIENTS)
def test_whole_quotients_are_rounded_at_each_step_unless_the_divisor_is_one_element(dtype: str, mode: str, repeats: int) -> None:
    kind = getattr(torch, dtype)
    dividends, divisors, steps, once = WHOLE_QUOTIENTS[dtype, mode]
    a, b = torch.tensor(dividends, dtype=kind).repeat(repeats), torch.tensor(divisors, dtype=kind).repeat(repeats)
    assert torch.div(a, b, rounding_mode=mode).tolist() == steps * repeats
    assert a.clone().div_(b, rounding_mode=mode).tolist() == steps * repeats
    assert [torch.div(a[n : n + 1], b[n], rounding_mode=mode).item() for n in range(4)] == once
    assert [torch.div(a[:4], divisors[n], rounding_mode=mode)[n].item() for n in range(4)] == once
    if mode == "floor":
        assert (a // b).tolist() == steps * repeats
