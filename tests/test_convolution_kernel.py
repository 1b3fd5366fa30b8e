"""Convolutions as native code: the output and both gradients against the NumPy rules in float64, for every kind of geometry."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from chunks import run_chunks

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, dtypes as dt, tape
from rushlight.engine import (
    contraction,
    conv_gather,
    conv_gather_kernel,
    conv_sum,
    conv_sum_kernel,
    convolution,
    llvm,
)
from rushlight.engine.kernel import Lowered, Pointer
from rushlight.ops.card import CARDS, Plan
from rushlight.shape import Layout, layout

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

LOWERINGS = {"convolution": convolution.forward, "convolution_input": convolution.input_gradient, "convolution_weight": convolution.weight_gradient}
GUARD = 64


def layout_of(array: np.ndarray) -> Layout:
    return layout(array.shape, tuple(s // array.itemsize for s in array.strides), dt.from_numpy(array.dtype))


#: Where the words are by which chunks claim jobs.
CLAIMS = {"gather": int(conv_gather_kernel.Word.JOBS), "summed": int(conv_sum_kernel.Word.JOBS)}


def run(lowered: Lowered, arrays: list[np.ndarray], backwards: bool = False) -> None:
    """The calls over these operands, chunk by chunk, or job by job, in either order, in a workspace full of nan."""
    workspace = np.full(lowered.workspace + GUARD, 0xFF, np.uint8)
    for call in lowered.calls:
        bases = [a.ctypes.data for a in arrays] + [workspace.ctypes.data]
        words = np.array([bases[w.operand] + w.offset if isinstance(w, Pointer) else w for w in call.words], np.int64)
        run_chunks(call, words, backwards, CLAIMS.get(call.kernel.name))
    assert (workspace[lowered.workspace :] == 0xFF).all(), "written behind the workspace"


class Guarded:
    """An array full of nan between bytes that must not change, in one of the layouts that a result can have."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, channels_last: bool = False) -> None:
        size = int(np.prod(shape))
        self.memory = np.full(size + 2 * GUARD, np.nan, dtype)
        self.memory[:GUARD] = self.memory[-GUARD:] = 7
        inside = self.memory[GUARD:-GUARD]
        if channels_last:
            self.array = np.moveaxis(inside.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
        else:
            self.array = inside.reshape(shape)

    def check(self) -> np.ndarray:
        assert (self.memory[:GUARD] == 7).all() and (self.memory[-GUARD:] == 7).all(), "written outside of the result"
        return self.array


def moved(array: np.ndarray, how: str) -> np.ndarray:
    """The same values in other places."""
    if how == "channels_last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    if how == "slice":
        memory = np.full((*array.shape[:-1], 2 * array.shape[-1] + 3), np.nan, array.dtype)
        memory[..., 1 : 1 + 2 * array.shape[-1] : 2] = array
        return memory[..., 1 : 1 + 2 * array.shape[-1] : 2]
    if how == "reversed":
        return np.ascontiguousarray(array.transpose()).transpose()
    return array


def native(card: str, operands: list[np.ndarray], result: tuple[int, ...], statics: dict[str, Any], channels_last: bool = False, backwards: bool = False) -> np.ndarray:
    plan = plan_like(card, operands, result, statics, channels_last)
    lowered = LOWERINGS[card](plan)
    assert lowered is not None
    out = Guarded(result, operands[0].dtype, channels_last)
    run(lowered, [*operands, out.array], backwards)
    return out.check()


def plan_like(card: str, operands: list[np.ndarray], result: tuple[int, ...], statics: dict[str, Any], channels_last: bool) -> Any:
    values = tuple(statics[name] for name in CARDS[card].statics)
    return Plan(CARDS[card], values, tuple(layout_of(o) for o in operands), (layout_of(Guarded(result, operands[0].dtype, channels_last).array),))


class Case:
    """Operands of one geometry, and what the three cards should give."""

    def __init__(self, input: tuple[int, ...], weight: tuple[int, ...], stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, dtype: Any = np.float32) -> None:
        n = len(input) - 2
        self.statics: dict[str, Any] = {"groups": groups}
        for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation)):
            self.statics[name] = value if isinstance(value, tuple) else (value,) * n
        random = np.random.default_rng(sum(input) + sum(weight))
        self.input, self.weight, self.bias = (random.standard_normal(s).astype(dtype) for s in (input, weight, weight[:1]))
        output = self.rule("convolution", [self.input, self.weight, self.bias], {})
        self.grad = random.standard_normal(output.shape).astype(dtype)
        self.input_bias = random.standard_normal(input[1]).astype(dtype)

    def rule(self, card: str, operands: list[np.ndarray], more: dict[str, Any]) -> np.ndarray:
        found: np.ndarray = CARDS[card].numpy(*(o.astype(np.float64) for o in operands), **more, **self.statics)
        return found

    def cards(self) -> list[tuple[str, list[np.ndarray], dict[str, Any]]]:
        spatial, kernel = self.input.shape[2:], self.weight.shape[2:]
        return [
            ("convolution", [self.input, self.weight, self.bias], {}),
            ("convolution", [self.input, self.weight], {}),
            ("convolution_input", [self.grad, self.weight], {"size": spatial}),
            ("convolution_input", [self.grad, self.weight, self.input_bias], {"size": spatial}),
            ("convolution_weight", [self.input, self.grad], {"kernel": kernel}),
        ]


def assert_close(found: np.ndarray, expected: np.ndarray, name: str) -> None:
    tolerance = 1e-14 if found.dtype == np.float64 else 3e-6
    # Half precision is rounded once.
    rounding = float(ml_dtypes.finfo(found.dtype).eps) * 0.501 if found.dtype.itemsize == 2 else 0
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=rounding, atol=tolerance * max(1.0, float(np.abs(expected).max())), err_msg=name)


FLOATS = [np.float32, np.float64, ml_dtypes.bfloat16, np.float16]
FLOAT_NAMES = ["float", "double", "bfloat16", "float16"]


CASES: dict[str, tuple[Any, ...]] = {
    "plain": ((2, 3, 9, 11), (5, 3, 3, 3)),
    "one of everything": ((1, 1, 1, 1), (1, 1, 1, 1)),
    "two panels and a tail": ((2, 5, 6, 6), (70, 5, 3, 3), 1, 1),
    "few channels, wide": ((2, 4, 7, 37), (9, 4, 3, 3), 1, 1),
    "few channels, many places": ((1, 2, 40, 33), (17, 2, 2, 5), 1, (0, 2)),
    "pointwise": ((3, 20, 5, 5), (33, 20, 1, 1)),
    "pointwise with strides": ((3, 20, 9, 10), (33, 20, 1, 1), 2),
    "longer strides than sums": ((3, 80, 9, 35), (1, 80, 1, 3), (2, 4)),
    "strides": ((2, 3, 12, 11), (5, 3, 3, 3), (2, 3), 1),
    "stride beyond the window": ((2, 3, 13, 11), (5, 3, 2, 2), 4),
    "stride and dilation with a common divisor": ((2, 3, 17, 19), (4, 3, 3, 3), (4, 6), (1, 2), (2, 3)),
    "dilation": ((2, 3, 15, 14), (4, 3, 3, 3), 1, 2, (3, 2)),
    "padding beyond the window": ((2, 3, 5, 6), (4, 3, 2, 3), 2, 4),
    "images smaller than a vector": ((9, 4, 3, 3), (40, 4, 2, 2)),
    "groups": ((2, 6, 7, 8), (9, 2, 3, 3), 1, 1, 1, 3),
    "groups with several panels": ((2, 4, 5, 5), (80, 2, 3, 3), 2, 1, 1, 2),
    "depthwise": ((2, 7, 9, 20), (7, 1, 3, 3), 1, 1, 1, 7),
    "depthwise with a multiplier": ((2, 5, 9, 8), (10, 1, 3, 3), 2, 1, 1, 5),
    "depthwise with strides": ((3, 19, 9, 37), (19, 1, 3, 3), 2, 1, 1, 19),
    "depthwise, dilated": ((2, 5, 13, 40), (5, 1, 5, 3), (2, 3), (4, 1), (2, 1), 5),
    "depthwise, windows beyond the image": ((2, 17, 3, 14), (17, 1, 5, 5), 1, 2, 1, 17),
    "depthwise lines": ((2, 33, 13), (33, 1, 4), 2, 1, 1, 33),
    "depthwise volumes": ((2, 3, 5, 6, 7), (3, 1, 2, 3, 2), (1, 2, 1), 1, 1, 3),
    "depthwise in several chunks": ((5, 24, 20, 33), (24, 1, 3, 3), 1, 1, 1, 24),
    "depthwise in whole vectors of channels": ((2, 32, 9, 13), (32, 1, 3, 3), 1, 1, 1, 32),
    "depthwise in whole vectors, with strides": ((2, 16, 12, 21), (16, 1, 5, 3), (2, 1), (2, 0), 1, 16),
    "a line": ((3, 4, 50), (6, 4, 5), 1, 2),
    "a line with strides": ((3, 4, 50), (36, 4, 5), 3, 2, 2),
    "a volume": ((2, 3, 5, 6, 7), (4, 3, 3, 2, 3), (1, 2, 1), 1),
    "a volume in blocks of planes": ((2, 3, 8, 9, 10), (7, 3, 3, 2, 3), (1, 1, 2), (1, 1, 0)),
    "planes of 1024 bytes": ((2, 20, 14, 14), (20, 20, 3, 3), 1, 1),
    "sums over blocks of samples": ((11, 3, 8, 8), (20, 3, 3, 3), 1, 1),
    "sums over blocks of lines": ((2, 3, 40, 30), (20, 3, 3, 3), 1, 1),
    "several chunks": ((16, 16, 16, 16), (40, 16, 3, 3), 1, 1),
    "odd numbers of channels and samples": ((3, 5, 9, 11), (33, 5, 3, 3), 1, 1),
    "odd pointwise": ((3, 19, 5, 5), (35, 19, 1, 1)),
    "one place": ((5, 12, 1, 1), (7, 12, 1, 1)),
    "even numbers, strides": ((4, 16, 12, 12), (32, 16, 3, 3), 2, 1),
    "groups of odd numbers": ((3, 9, 7, 8), (15, 3, 3, 3), 1, 1, 1, 3),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=FLOAT_NAMES)
@pytest.mark.parametrize("name", CASES)
def test_native_code_agrees_with_the_rule_in_float64(name: str, dtype: Any) -> None:
    case = Case(*CASES[name], dtype=dtype)
    for card, operands, more in case.cards():
        expected = case.rule(card, operands, more)
        assert_close(native(card, operands, expected.shape, {**more, **case.statics}), expected, card)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_bits_are_the_same_in_any_layout_and_order_of_chunks(name: str, dtype: Any) -> None:
    case = Case(*CASES[name], dtype=dtype)
    for card, operands, more in case.cards():
        statics = {**more, **case.statics}
        shape = case.rule(card, operands, more).shape
        expected = native(card, operands, shape, statics)
        for how in ("channels_last", "slice", "reversed"):
            again = [moved(o, how) if o.ndim > 1 else moved(o, "slice") for o in operands]
            channels_last = how == "channels_last" and card != "convolution_weight"
            found = native(card, again, shape, statics, channels_last, backwards=True)
            np.testing.assert_array_equal(found, expected, err_msg=f"{card}, {how}")


@pytest.mark.parametrize("pairs, masks", [(False, True), (False, False)], ids=["without pairs", "without masks"])
@pytest.mark.parametrize("name", ["odd numbers of channels and samples", "strides", "groups with several panels", "even numbers, strides", "depthwise"])
def test_half_precision_on_other_processors(name: str, pairs: bool, masks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands become float32: one by one as they are brought near and packed, or all of them before."""
    monkeypatch.setattr(llvm, "multiplies_pairs", lambda: pairs)
    monkeypatch.setattr(convolution, "has_masks", lambda: masks)
    case = Case(*CASES[name], dtype=ml_dtypes.bfloat16)
    for card, operands, more in case.cards():
        expected = case.rule(card, operands, more)
        found = native(card, operands, expected.shape, {**more, **case.statics})
        assert_close(found, expected, card)
        again = native(card, [moved(o, "channels_last") if o.ndim > 1 else o for o in operands], expected.shape, {**more, **case.statics}, backwards=True)
        np.testing.assert_array_equal(again, found, err_msg=card)


def test_a_pair_that_is_not_whole_reads_no_further() -> None:
    """Infinities behind the last sample and the last channel of images and weights, which have odd numbers of them."""
    case = Case((3, 5, 6, 7), (9, 5, 3, 3), 1, 1, dtype=ml_dtypes.bfloat16)

    def among(array: np.ndarray) -> np.ndarray:
        memory = np.full(tuple(n + 1 for n in array.shape), np.inf, array.dtype)
        inside = memory[tuple(slice(n) for n in array.shape)]
        inside[...] = array
        return inside

    for card, operands, more in case.cards():
        expected = case.rule(card, operands, more)
        assert_close(native(card, [among(o) for o in operands], expected.shape, {**more, **case.statics}), expected, card)


def test_repeated_operands_are_read_as_such() -> None:
    """A gradient with strides of 0, as the gradient of a sum is."""
    case = Case((2, 3, 8, 9), (5, 3, 3, 3), 1, 1)
    case.grad = np.broadcast_to(np.float32(0.5), case.grad.shape)
    for card, operands, more in case.cards()[2:]:
        expected = case.rule(card, operands, more)
        assert_close(native(card, operands, expected.shape, {**more, **case.statics}), expected, card)


def test_what_is_not_seen_does_not_matter() -> None:
    """Infinities at places that no window reaches, and next to the image in memory."""
    memory = np.full((2, 3, 12, 12), np.inf, np.float32)
    memory[:, :, 1:-1, 1:-1] = np.random.default_rng(0).standard_normal((2, 3, 10, 10))
    for stride, padding, window in ((3, 0, 2), (1, 1, 3), (2, 2, 3)):
        case = Case((2, 3, 10, 10), (4, 3, window, window), stride, padding)
        case.input = memory[:, :, 1:-1, 1:-1]
        for card, operands, more in case.cards():
            expected = case.rule(card, operands, more)
            found = native(card, operands, expected.shape, {**more, **case.statics})
            assert np.isfinite(found).all()
            assert_close(found, expected, card)


@pytest.mark.parametrize("name", ["sums over blocks of samples", "sums over blocks of lines", "few channels, many places", "depthwise", "strides", "a volume in blocks of planes"])
def test_bits_are_the_same_however_many_samples_are_taken_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(*CASES[name])
    for card, operands, more in case.cards():
        statics = {**more, **case.statics}
        shape = case.rule(card, operands, more).shape
        whole = native(card, operands, shape, statics)
        with monkeypatch.context() as patched:
            patched.setattr(convolution, "_PACKED_BYTES", 1)
            np.testing.assert_array_equal(native(card, operands, shape, statics), whole, err_msg=card)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float", "bfloat16"])
@pytest.mark.parametrize("name", ["plain", "few channels, wide", "strides", "padding beyond the window", "groups with several panels", "a volume", "several chunks"])
def test_bits_are_the_same_however_places_are_shared_out(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples, planes or lines in blocks of any size; the last one has fewer."""
    case = Case(*CASES[name], dtype=dtype)
    for card, operands, more in case.cards()[:-1]:
        statics = {**more, **case.statics}
        shape = case.rule(card, operands, more).shape
        expected = native(card, operands, shape, statics)
        seen: set[Any] = set()
        for n in range(12):

            def choose(self: Any, n: int = n, seen: set[Any] = seen) -> Any:
                candidates = [*self.candidates()]
                seen.add(candidates[n % len(candidates)])
                return candidates[n % len(candidates)]

            with monkeypatch.context() as patched:
                patched.setattr(conv_gather._Gathering, "choose", choose)
                np.testing.assert_array_equal(native(card, operands, shape, statics, backwards=n % 2 == 1), expected, err_msg=f"{card}, {n}")
        assert len({blocks.dim for blocks in seen}) > 1 and len(seen) > 3, card


def test_both_ways_of_preparing_the_larger_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that is packed where it is used, and one that is packed beforehand."""
    for input, weight, packs in (((2, 40, 5, 5), (300, 40, 3, 3), True), ((16, 8, 14, 14), (64, 8, 3, 3), False)):
        case = Case(input, weight, 1, 1)
        for card, operands, more in case.cards()[:-1]:
            beforehand: list[str] = []
            for way in ("panels", "columns"):
                original = getattr(contraction.Calls, way)

                def spy(self: Any, *args: Any, original: Any = original, way: str = way, beforehand: list[str] = beforehand) -> Any:
                    beforehand.append(way)
                    return original(self, *args)

                monkeypatch.setattr(contraction.Calls, way, spy)
            statics = {**more, **case.statics}
            expected = case.rule(card, operands, more)
            assert_close(native(card, operands, expected.shape, statics), expected, card)
            if card == "convolution":
                assert bool(beforehand) != packs
            monkeypatch.undo()


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float", "bfloat16"])
@pytest.mark.parametrize("near", [1, 700, 6000])
@pytest.mark.parametrize("name", ["odd numbers of channels and samples", "plain", "two panels and a tail", "strides", "padding beyond the window", "dilation", "groups", "a volume", "a line with strides", "several chunks"])
def test_sums_in_slices(name: str, near: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of lines, of planes, and of samples; the last blocks have fewer. Bits are the same in any layout."""
    monkeypatch.setattr(conv_sum, "CHUNK_WORK", 2000)
    monkeypatch.setattr(conv_sum, "_SLICE", 4)
    monkeypatch.setattr(conv_sum, "_NEAR", near)
    case = Case(*CASES[name], dtype=dtype)
    card, operands, more = case.cards()[-1]
    statics = {**more, **case.statics}
    expected = case.rule(card, operands, more)
    lowered = convolution.weight_gradient(plan_like(card, operands, expected.shape, statics, False))
    assert lowered is not None
    assert "merged" in [call.kernel.name for call in lowered.calls]
    found = native(card, operands, expected.shape, statics)
    assert_close(found, expected, card)
    for how in ("channels_last", "slice", "reversed"):
        np.testing.assert_array_equal(native(card, [moved(o, how) for o in operands], expected.shape, statics, backwards=True), found, err_msg=how)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["plain", "two panels and a tail", "odd numbers of channels and samples", "strides", "groups with several panels", "a volume", "a line with strides", "sums over blocks of lines", "sums over blocks of samples"]
)
def test_gradients_of_large_weights(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that no slice has room for: over several blocks, or over one, whose results are the weight's columns at once."""
    monkeypatch.setattr(conv_sum, "_TOTAL_BYTES", 0)
    case = Case(*CASES[name], dtype=dtype)
    card, operands, more = case.cards()[-1]
    statics = {**more, **case.statics}
    expected = case.rule(card, operands, more)
    found = native(card, operands, expected.shape, statics)
    assert_close(found, expected, card)
    for how, channels_last in (("channels_last", True), ("slice", False), ("reversed", True)):
        again = native(card, [moved(o, how) for o in operands], expected.shape, statics, channels_last, backwards=True)
        np.testing.assert_array_equal(again, found, err_msg=how)
    for blocks, packed in ((1, 1 << 21), (7, 1)):
        # Fewer places in a block: in another order.
        monkeypatch.setattr(convolution, "_BLOCK", blocks)
        monkeypatch.setattr(convolution, "_PACKED_BYTES", packed)
        assert_close(native(card, operands, expected.shape, statics), expected, card)


def training_step(memory_format: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 17, 16).to(memory_format=memory_format).requires_grad_()
    weight, bias = torch.randn(24, 6, 3, 3, requires_grad=True), torch.randn(24, requires_grad=True)
    last = torch.randn(24, 3, 4, 4, requires_grad=True)
    hidden = F.relu(F.conv2d(x, weight, bias, 2, 1))
    out = F.conv_transpose2d(hidden, last, None, 2, 1)
    out.square().mean().backward()
    return [out.detach(), *(t.grad for t in (x, weight, bias, last))]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_bits_are_the_same_in_all_modes_and_with_any_threads(memory_format: Any) -> None:
    before = torch.get_num_threads(), tape.state.immediate, tape.state.compile, config.HOT
    found = []
    try:
        for mode, threads in itertools.product(("interpret", "immediate", "compile"), (1, 2)):
            tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", 0
            torch.set_num_threads(threads)
            found.append([t.numpy().copy() for t in training_step(memory_format)])
    finally:
        torch.set_num_threads(before[0])
        tape.state.immediate, tape.state.compile, config.HOT = before[1:]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
