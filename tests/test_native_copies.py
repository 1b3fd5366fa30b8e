"""Copies, padding by a constant, sliding blocks and scans as native code: the bits of the NumPy rules in every layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

Function = Callable[[torch.Tensor], Any]

COPIES: dict[str, Function] = {
    "flip": lambda x: x.flip(-1), "flip rows": lambda x: x.flip(1, 2), "flip all": lambda x: x.flip(tuple(range(x.dim()))),
    "roll": lambda x: x.roll(3, -1), "roll flat": lambda x: x.roll(-7), "roll two": lambda x: x.roll((1, -2, 1), (1, 2, 1)), "roll around": lambda x: x.roll(x.shape[1], 1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2), "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[..., :6, :8], 2), "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "tril": torch.tril, "triu": torch.triu, "tril up": lambda x: x.tril(3), "triu down": lambda x: x.triu(-20), "triu far": lambda x: x.triu(100), "tril turned": lambda x: x.transpose(1, 3).tril(1),
    "pad": lambda x: F.pad(x, (1, 2)), "pad rows": lambda x: F.pad(x, (0, 0, 3, 1), value=7), "pad all": lambda x: F.pad(x, (1, 2, 0, 1, 2, 2, 1, 0), value=-1), "crop": lambda x: F.pad(x, (-1, 2, 3, -2)),
    "every other": lambda x: x[..., ::2].contiguous(), "every other from one": lambda x: x[..., 1::2] * 1, "into every other": lambda x: torch.zeros(*x.shape[:-1], 2 * x.shape[-1]).to(x.dtype).slice_scatter(x, -1, 1, None, 2),
    **{f"{mode} {n}": lambda x, mode=mode, pad=pad: F.pad(x[0] if len(pad) == 2 else x, pad, mode=mode) for mode in ("reflect", "replicate", "circular") for n, pad in enumerate([(3, 2), (2, 1, 3, 4), (-2, 3, 1, -1)])},
}  # fmt: skip
BLOCKS: dict[str, Function] = {
    "unfold": lambda x: F.unfold(x, 3), "unfold padded": lambda x: F.unfold(x, (2, 3), dilation=(1, 2), padding=(1, 2), stride=(2, 1)), "unfold far": lambda x: F.unfold(x, 2, dilation=5, padding=3, stride=3),
    "fold": lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[-2:], 3, padding=1), "fold steps": lambda x: F.fold(F.unfold(x, (2, 3), 2, 2, (3, 1)), x.shape[-2:], (2, 3), 2, 2, (3, 1)),
}  # fmt: skip
SCANS: dict[str, Function] = {
    f"{name} {dim}": lambda x, name=name, dim=dim: getattr(x, name)(dim) for name in ("cumsum", "cumprod", "cummax", "cummin") for dim in (0, 1, 2, 3)
}  # fmt: skip
SHAPES = [(2, 8, 7, 9), (1, 4, 40, 33)]  # of scans along the last dim four are done together, and 16 elements


def values(shape: Sequence[int], dtype: Any, way: str) -> torch.Tensor:
    random = np.random.default_rng(1)
    wide = np.round(random.standard_normal((*shape[:-1], 2 * shape[-1])) * 2, 2)
    x = torch.tensor(wide if dtype.is_floating_point else np.rint(wide)).to(dtype)
    if way == "strided":
        return x[..., 1::2].transpose(1, 2).contiguous().transpose(1, 2)
    x = x[..., : shape[-1]].contiguous()
    return x.contiguous(memory_format=torch.channels_last) if way == "channels last" else x


def results(function: Function, x: torch.Tensor, gradient: bool) -> list[np.ndarray]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_(gradient)
    found = function(x)
    found = list(found) if isinstance(found, tuple) else [found]
    if gradient:
        g = torch.tensor(np.random.default_rng(5).standard_normal(found[0].shape)).to(x.dtype)
        found.append(torch.autograd.grad(found[0], x, g)[0])
    return [t.detach().numpy().copy() for t in found]


def by_numpy(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> list[np.ndarray]:
    tape.flush()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        return results(*arguments)


@pytest.mark.parametrize("way", ["plain", "channels last", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int16], ids=str)
def test_native_code_gives_the_bits_of_the_numpy_rules(dtype: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in {**COPIES, **BLOCKS, **SCANS}.items():
        if name in BLOCKS and not dtype.is_floating_point:
            continue
        for shape in SHAPES:
            x = values(shape, dtype, way)
            gradient = dtype.is_floating_point and name not in SCANS  # of scatter_add the order differs
            for a, b in zip(results(function, x, gradient), by_numpy(monkeypatch, function, x, gradient), strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b, f"{name} of {shape}")


@pytest.mark.parametrize("size", [1, 15, 16, 33, 200])
def test_running_extrema_that_change_rarely_and_always(size: int) -> None:
    random = np.random.default_rng(2)
    rows = np.stack([random.standard_normal(size), np.arange(size) / 3, -np.arange(size) / 3, np.zeros(size), np.round(random.standard_normal(size))]).astype(np.float32)
    rows[0, size // 2 :: 40] = np.nan
    for name, best in (("cummax", np.maximum), ("cummin", np.minimum)):
        found = getattr(torch.tensor(rows), name)(1)
        values = best.accumulate(rows, 1)
        np.testing.assert_array_equal(found.values.numpy(), values)
        wins = (rows == values) | np.isnan(rows)
        np.testing.assert_array_equal(found.indices.numpy(), np.maximum.accumulate(np.where(wins, np.arange(size), 0), 1))


def test_scans_of_nan_and_infinities(monkeypatch: pytest.MonkeyPatch) -> None:
    x = values((1, 3, 5, 40), torch.float32, "plain")
    x[0, 1, 3, 7], x[0, 2, 1, 30], x[0, 0, 2, 3] = float("nan"), float("inf"), -float("inf")
    for function in SCANS.values():
        for a, b in zip(results(function, x, False), by_numpy(monkeypatch, function, x, False), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", ["plain", "strided"])
def test_these_ops_have_native_forms(way: str) -> None:
    seen = set()
    x = values(SHAPES[0], torch.float32, way)
    for function in (*COPIES.values(), *BLOCKS.values(), *SCANS.values()):
        with trace_ops() as calls:
            function(x)
        for name, operands, params, _ in calls:
            card = CARDS.get(name)
            if card is not None and type(card.lowering).__name__ == "Calls" and (way == "plain" or not name.startswith("cum")):
                plan = card.plan(operands, tuple(params[s] for s in card.statics), None)
                assert card.lowering.make(plan) is not None, name  # type: ignore[union-attr]
                seen.add(name)
    wanted = {"flip", "roll", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "tril", "triu", "constant_pad_nd", "im2col", "col2im", "cumsum", "cumprod", "cummax", "cummin"}
    assert seen >= {name for name in wanted if way == "plain" or not name.startswith("cum")}


def test_triangles_of_what_is_no_rows() -> None:
    x = torch.arange(5.0)
    wide = np.broadcast_to(x.numpy()[:, None], (3, 5, 6))
    np.testing.assert_array_equal(x.unsqueeze(1).expand(3, 5, 6).triu(1).numpy(), np.triu(wide, 1))
    np.testing.assert_array_equal(x.sum().expand(40, 50).tril(-1).numpy(), np.tril(np.full((40, 50), 10.0), -1))


def test_sums_in_other_dtypes() -> None:
    x = torch.tensor([[True, False, True], [True, True, False]])
    np.testing.assert_array_equal(x.cumsum(0).numpy(), [[1, 0, 1], [2, 1, 1]])
    np.testing.assert_array_equal(x.cumsum(1).numpy(), [[1, 1, 2], [1, 2, 2]])
    small = torch.tensor([100, 100, 100], dtype=torch.int8)
    np.testing.assert_array_equal(small.cumsum(0).numpy(), [100, 200, 300])
    np.testing.assert_array_equal(torch.ones(3).cumsum(0, dtype=torch.float64).numpy(), [1, 2, 3])


def test_many_elements_on_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = values((3, 6, 90, 170), torch.float32, "plain")
    threads = torch.get_num_threads()
    try:
        for function in (SCANS["cumsum 1"], SCANS["cumsum 3"], SCANS["cumsum 0"], COPIES["pad all"], COPIES["triu"], COPIES["pixel_unshuffle"], BLOCKS["fold"], COPIES["flip all"]):
            expected = by_numpy(monkeypatch, function, x, False)
            for count in (1, 2):
                torch.set_num_threads(count)
                for a, b in zip(results(function, x, False), expected, strict=True):
                    np.testing.assert_array_equal(a, b)
    finally:
        torch.set_num_threads(threads)


def test_scans_of_dims_that_lie_apart_are_native() -> None:
    x = torch.randn(3, 5, 21, 34).contiguous(memory_format=torch.channels_last)
    for dim in range(4):
        before = execute.counts.native_calls
        assert torch.equal(x.cumsum(dim), x.contiguous().cumsum(dim))
        assert execute.counts.native_calls > before
        np.testing.assert_array_equal(x.cumsum(dim).numpy(), np.cumsum(x.numpy(), dim))
