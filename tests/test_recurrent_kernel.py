"""Recurrent layers as entries: native code against the NumPy rules in float64, and layers against a loop of cells."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import config, dtypes as dt, nn, tape
from rushlight.engine import llvm
from rushlight.engine.kernel import WORKSPACE, Lowered, Pointer
from rushlight.engine.run import code_of
from rushlight.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from rushlight.ops.card import CARDS, Plan
from rushlight.shape import Layout, layout

native = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

NETWORKS = {"lstm": (4, 2), "gru": (3, 1), "rnn_tanh": (1, 1), "rnn_relu": (1, 1)}
GUARD = 64
SENTINEL = np.float32(7.25)


@pytest.fixture(autouse=True)
def settings_restored() -> Iterator[None]:
    tape.flush()
    before = tape.state.immediate, tape.state.compile, config.HOT, torch.get_num_threads()
    tape.state.immediate, tape.state.compile = False, True
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before[:3]
    torch.set_num_threads(before[3])


def layout_of(value: Any) -> Any:
    if isinstance(value, float):
        return float
    return layout(value.shape, tuple(s // value.itemsize for s in value.strides), dt.from_numpy(value.dtype))


def plan_of(name: str, operands: list[Any], *static: Any) -> Plan:
    card = CARDS[name]
    layouts = tuple(layout_of(o) for o in operands)
    outs = card.infer(*(o if isinstance(o, Layout) else 0.0 for o in layouts), **dict(zip(card.statics, static, strict=True)))
    return Plan(card, static, layouts, tuple(outs))


def run(plan: Plan, operands: list[Any], backwards: bool = False) -> list[np.ndarray]:
    """The calls of a plan, chunk by chunk in either order, over outputs with guards around them and a workspace of nan."""
    lowered: Lowered | None = plan.card.lowering.make(plan)
    assert lowered is not None
    buffers = [np.full(out.numel + 2 * GUARD, SENTINEL) for out in plan.outs]
    workspace = np.full(lowered.workspace // 4 + 2 * GUARD, np.nan, np.float32)
    workspace[lowered.workspace // 4 + GUARD :] = SENTINEL

    def word(w: Any) -> int:
        if not isinstance(w, Pointer):
            return w
        if w.operand == WORKSPACE:
            return workspace.ctypes.data + GUARD * 4 + w.offset
        if w.operand < len(operands):
            return operands[w.operand].ctypes.data + w.offset
        return buffers[w.operand - len(operands)].ctypes.data + GUARD * 4 + w.offset

    for call in lowered.calls:
        code = code_of(call.kernel)
        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[call.kernel.name])
        words = np.array([word(w) for w in call.words], np.int64)
        for chunk in sorted(range(call.chunks), reverse=backwards):
            kernel(words.ctypes.data, chunk)
    for buffer in buffers:
        assert (buffer[:GUARD] == SENTINEL).all() and (buffer[-GUARD:] == SENTINEL).all()
    assert (workspace[-GUARD:] == SENTINEL).all()
    return [b[GUARD:-GUARD].reshape(out.shape) for b, out in zip(buffers, plan.outs, strict=True)]


def operands_of(name: str, steps: int, rows: int, features: int, size: int, awkward: bool, biased: bool) -> list[Any]:
    """Input, weights, biases and states; `awkward` ones lie in every other way than usual."""
    gates, states = NETWORKS[name]
    random = np.random.default_rng(steps * 1000 + rows * 100 + size)

    def made(*shape: int) -> np.ndarray:
        return (random.random(shape, np.float32) * 2 - 1) / np.float32(np.sqrt(shape[-1]))

    if awkward:
        input = made(rows, steps, features).transpose(1, 0, 2)
        weights = [made(features, gates * size).T, made(size, gates * size).T]
        state = [np.broadcast_to(made(1, 1, size), (1, rows, size)), made(1, rows, 2 * size)[:, :, ::2]][:states]
        biases = [made(2 * gates * size)[::2] for _ in range(2)]
    else:
        input, weights = made(steps, rows, features) * 3, [made(gates * size, features), made(gates * size, size)]
        state, biases = [made(1, rows, size) for _ in range(states)], [made(gates * size) for _ in range(2)]
    return [input, *weights, *(biases if biased else (0.0, 0.0)), *state]


def wide(operands: list[Any]) -> list[Any]:
    return [o if isinstance(o, float) else o.astype(np.float64) for o in operands]


def assert_close(found: np.ndarray, expected: np.ndarray, what: str, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape, what
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() <= tolerance * scale, what


SHAPES = [
    (1, 1, 1, 1), (1, 5, 3, 4), (3, 1, 4, 20), (4, 2, 1, 1), (2, 3, 5, 16), (5, 7, 6, 33), (3, 16, 8, 64), (2, 17, 9, 65), (2, 40, 30, 100), (30, 3, 2, 17), (9, 70, 4, 5),
]  # fmt: skip


@native
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_native_code_agrees_with_the_rule_in_float64(name: str, shape: tuple[int, int, int, int]) -> None:
    steps, rows, features, size = shape
    states = NETWORKS[name][1]
    random = np.random.default_rng(7)
    for awkward in (False, True):
        for reverse, biased in ((False, True), (True, True), (True, False)):
            operands = operands_of(name, *shape, awkward, biased)
            plan = plan_of(f"{name}_layer", operands, reverse, True)
            found = run(plan, operands)
            for n, (mine, theirs) in enumerate(zip(found, plan.rule(*wide(operands), reverse=reverse, keep=True), strict=True)):
                assert_close(mine, theirs, f"output {n}, awkward {awkward}, reverse {reverse}")
            again = run(plan, operands, backwards=True)
            assert all((a == b).all() for a, b in zip(found, again, strict=True))
            unkept = run(plan_of(f"{name}_layer", operands, reverse, False), operands)
            assert all((a == b).all() for a, b in zip(found[:-1], unkept, strict=True))

            grad = random.standard_normal((rows, steps, 2 * size)).astype(np.float32)[:, :, ::2].transpose(1, 0, 2) if awkward else random.standard_normal((steps, rows, size)).astype(np.float32)
            last = [random.standard_normal((1, rows, size)).astype(np.float32) for _ in range(states)]
            for grads in ([grad, *last], [grad, *[0.0] * states], [0.0, *last], [np.broadcast_to(np.float32(1), grad.shape), *last]):
                for mask in ((True, True, True, biased, biased, *[True] * states), (False, True, True, biased, biased, *[False] * states), (True, False, False, False, False, *[False] * states)):
                    given = [found[-1], *operands, *grads]
                    plan = plan_of(f"{name}_layer_backward", given, reverse, mask)
                    slopes = run(plan, given)
                    expected = plan.rule(*wide(given), reverse=reverse, output_mask=mask)
                    expected = expected if isinstance(expected, (tuple, list)) else [expected]
                    for n, (mine, theirs) in enumerate(zip(slopes, expected, strict=True)):
                        assert_close(mine, theirs, f"gradient {n} of {mask}, awkward {awkward}, reverse {reverse}", 2e-5)
                    assert all((a == b).all() for a, b in zip(slopes, run(plan, given, backwards=True), strict=True))


@native
@pytest.mark.parametrize("name", NETWORKS)
def test_bits_do_not_depend_on_strides(name: str) -> None:
    for operands in (operands_of(name, 5, 20, 7, 37, True, True), operands_of(name, 3, 40, 7, 37, True, True)):
        dense = [np.ascontiguousarray(o) for o in operands]
        for mine, theirs in zip(*(run(plan_of(f"{name}_layer", o, False, True), o) for o in (operands, dense)), strict=True):
            assert (mine == theirs).all()


@native
@pytest.mark.parametrize("name", NETWORKS)
def test_another_length_runs_the_same_kernels(name: str) -> None:
    kernels = []
    for steps in (4, 50):
        operands = operands_of(name, steps, 16, 8, 32, False, True)
        given = [np.zeros(plan_of(f"{name}_layer", operands, False, True).outs[-1].shape, np.float32), *operands, np.zeros((steps, 16, 32), np.float32), *operands[5:]]
        states = NETWORKS[name][1]
        plans = plan_of(f"{name}_layer", operands, False, True), plan_of(f"{name}_layer_backward", given, False, (True,) * (5 + states))
        calls = [call for plan in plans for call in plan.card.lowering.make(plan).calls]
        kernels.append({call.kernel for call in calls if name in call.kernel.name or "pack" in call.kernel.name})
    assert kernels[0] == kernels[1] and len(kernels[0]) == 4


def step(model: Any, x: torch.Tensor) -> list[np.ndarray]:
    model.zero_grad()
    output, state = model(x)
    loss = (output * output).sum() + sum((s * s).sum() for s in (state if isinstance(state, tuple) else (state,)))
    loss.backward()
    return [t.detach().numpy().copy() for t in (output, *(p.grad for p in model.parameters()))]


@native
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_bits_are_the_same_in_all_modes_and_with_any_threads(kind: str) -> None:
    torch.manual_seed(1)
    model, x = getattr(nn, kind)(5, 33, num_layers=2, bidirectional=True), torch.randn(12, 40, 5)
    tape.flush()
    found = []
    for immediate, compiled, hot, threads in ((False, True, 0, 2), (False, True, 0, 1), (False, False, 2, 2), (True, True, 2, 1)):
        tape.flush()
        tape.state.immediate, tape.state.compile, config.HOT = immediate, compiled, hot
        torch.set_num_threads(threads)
        found.append(step(model, x))
    for other in found[1:]:
        assert all((a == b).all() for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_layer_is_its_cell_at_every_step(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    layer, cell = getattr(nn, kind)(3, 5, dtype=dtype), getattr(nn, f"{kind}Cell")(3, 5, dtype=dtype)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = torch.randn(6, 4, 3, dtype=dtype)
    state, outputs = None, []
    for now in x:
        state = cell(now, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    one, other = layer(x)[0], torch.stack(outputs)
    torch.testing.assert_close(one, other)
    (one * one).sum().backward()
    (other * other).sum().backward()
    for mine, theirs in zip(layer.parameters(), cell.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_packed_sequences_equal_each_sequence_alone(kind: str) -> None:
    torch.manual_seed(3)
    layer, lengths = getattr(nn, kind)(3, 5, bidirectional=True, num_layers=2), [6, 4, 4, 1]
    x = torch.randn(6, 4, 3)
    output, state = layer(pack_padded_sequence(x, lengths))
    padded, _ = pad_packed_sequence(output)
    for n, length in enumerate(lengths):
        alone, last = layer(x[:length, n : n + 1])
        torch.testing.assert_close(padded[:length, n], alone[:, 0])
        for mine, theirs in zip(state, last, strict=True) if kind == "LSTM" else ((state, last),):
            torch.testing.assert_close(mine[:, n], theirs[:, 0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_layer_is_one_entry_and_so_is_its_gradient(kind: str) -> None:
    layer, x = getattr(nn, kind)(3, 5), torch.randn(6, 4, 3)
    tape.flush()
    output, _ = layer(x)
    g = torch.ones_like(output)
    names = [entry[0].card.name for entry in tape.pending if not entry[0].card.name.startswith(("full", "zeros", "ones"))]
    assert len(names) == 1 and names[0].endswith("_layer"), names
    tape.flush()
    output.backward(g)
    names = [entry[0].card.name for entry in tape.pending if not entry[0].card.name.startswith(("copy", "clone"))]
    assert len(names) == 1 and names[0].endswith("_layer_backward"), names


def test_results_may_be_overwritten_before_backward() -> None:
    torch.manual_seed(4)
    layer, x = nn.GRU(3, 5), torch.randn(6, 4, 3)
    layer(x)[0].sum().backward()
    expected = layer.weight_hh_l0.grad.clone()
    layer.zero_grad()
    output, last = layer(x)
    loss = output.sum()
    with torch.no_grad():
        output.zero_()
        last.zero_()
    loss.backward()
    assert torch.equal(layer.weight_hh_l0.grad, expected)
