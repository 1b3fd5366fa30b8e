"""Pooling, padding and resampling as native code: the bits of the NumPy rules, however the operands lie and the work is shared out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, tape
from rushlight.engine import execute, llvm
from rushlight.engine.kernel import Lowered, Pointer
from rushlight.graph import trace_ops
from rushlight.ops.card import CARDS, Plan
from rushlight.shape import channels_last_strides

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

Function = Callable[[torch.Tensor], Any]

PLANES = [(2, 3, 9, 11), (1, 17, 5, 40), (3, 66, 6, 7), (3, 7, 33)]
VOLUMES = [(2, 3, 5, 9, 11), (1, 17, 4, 6, 20)]

WINDOWS = {
    "2": {"kernel_size": 2}, "3 by 2": {"kernel_size": 3, "stride": 2, "padding": 1}, "overlapping": {"kernel_size": 3, "stride": 1, "padding": 1},
    "oblong": {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 0)}, "ceil": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
}  # fmt: skip

OF_PLANES: dict[str, Function] = {
    **{f"max {name}": lambda x, w=w: F.max_pool2d(x, **w, return_indices=True) for name, w in WINDOWS.items()},
    "max dilated": lambda x: F.max_pool2d(x, 2, 1, 1, dilation=2, return_indices=True),
    **{f"mean {name}": lambda x, w=w: F.avg_pool2d(x, **w) for name, w in WINDOWS.items()},
    "mean without padding": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "mean with a divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=-3),
    "adaptive mean": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (3, 5), return_indices=True),
    "reflect": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (20, 1, 0, 3), mode="replicate"),
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=x.shape[-2:]),
}  # fmt: skip
OF_BATCHES: dict[str, Function] = {
    "circular": lambda x: F.pad(x, (1, 2, 3, 1), mode="circular"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest, less": lambda x: F.interpolate(x, (4, 3)),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear corners": lambda x: F.interpolate(x, (7, 33), mode="bilinear", align_corners=True),
    "bilinear antialiased": lambda x: F.interpolate(x, (4, 5), mode="bilinear", antialias=True),
    "bicubic": lambda x: F.interpolate(x, (13, 5), mode="bicubic"),
}
OF_VOLUMES: dict[str, Function] = {
    "max": lambda x: F.max_pool3d(x, 3, 2, 1, return_indices=True),
    "mean": lambda x: F.avg_pool3d(x, (2, 3, 2), (1, 2, 1), (1, 0, 1), ceil_mode=True, count_include_pad=False),
    "adaptive mean": lambda x: F.adaptive_avg_pool3d(x, (2, 3, 4)),
    "adaptive max": lambda x: F.adaptive_max_pool3d(x, (2, 3, 4), return_indices=True),
    "replicate": lambda x: F.pad(x, (1, 2, 3, 1, 1, 1), mode="replicate"),
    "trilinear": lambda x: F.interpolate(x, (7, 9, 20), mode="trilinear"),
}
CASES = [
    *((f, s) for f in OF_PLANES.values() for s in PLANES),
    *((f, s) for f in OF_BATCHES.values() for s in PLANES if len(s) == 4),
    *((f, s) for f in OF_VOLUMES.values() for s in VOLUMES),
    (lambda x: F.max_pool1d(x, 3, 2, 1), (3, 40)),
    (lambda x: F.interpolate(x, 77, mode="linear"), (2, 3, 50)),
]


@pytest.fixture(autouse=True)
def settings_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tape.flush()
    monkeypatch.setattr(config, "HOT", 0)
    monkeypatch.setattr(execute, "NATIVE_FROM", 0)
    for name, value in (("immediate", False), ("compile", True)):
        monkeypatch.setattr(tape.state, name, value)
    yield
    tape.flush()


def values(shape: tuple[int, ...], way: str) -> torch.Tensor:
    """Normal numbers, many of them equal."""
    random = np.random.default_rng(sum(shape))
    wide = torch.tensor(np.round(random.standard_normal((*shape[:-1], 2 * shape[-1])), 1).astype(np.float64 if way == "double" else np.float32))
    if way == "strided":
        return wide[..., 1::2].transpose(-1, -2).contiguous().transpose(-1, -2)
    x = wide[..., : shape[-1]].contiguous()
    if way == "channels last" and x.dim() in (4, 5):
        return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
    return x


def results(function: Function, x: torch.Tensor) -> list[np.ndarray]:
    """What a function gives, and its gradient."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    found = function(x)
    found = list(found) if isinstance(found, tuple) else [found]
    g = torch.tensor(np.random.default_rng(5).standard_normal(found[0].shape)).to(x.dtype)
    found.append(torch.autograd.grad(found[0], x, g)[0])
    return [t.detach().numpy().copy() for t in found]


def by_numpy(monkeypatch: pytest.MonkeyPatch, function: Function, x: torch.Tensor) -> list[np.ndarray]:
    tape.flush()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        return results(function, x)


@pytest.mark.parametrize("way", ["plain", "channels last", "strided", "double"])
def test_native_code_gives_the_bits_of_the_numpy_rules(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for function, shape in CASES:
        x = values(shape, way)
        expected = by_numpy(monkeypatch, function, x)
        with trace_ops() as calls:
            found = results(function, x)
        names = [c[0] for c in calls]
        # Means of windows longer than a row of results are summed in an order of their own.
        close = any("avg_pool" in str(name) for name in names) and shape[-1] >= 40
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5 if close else 0, atol=1e-6 if close else 0, err_msg=f"{names} of {shape}")


def test_the_bits_of_long_windows_do_not_depend_on_strides() -> None:
    for function, shape in ((lambda x: F.adaptive_avg_pool2d(x, (3, 2)), (2, 5, 30, 60)), (lambda x: F.avg_pool2d(x, 20, 15, 3), (2, 5, 40, 50)), (lambda x: F.adaptive_avg_pool3d(x, 2), (2, 3, 4, 20, 30))):
        x = torch.randn(shape)
        found = function(x)
        last = x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        for other in (last, x.transpose(-1, -2).contiguous().transpose(-1, -2), torch.stack([x, x], -1)[..., 0]):
            assert torch.equal(function(other), found)


def test_maxima_of_nan_infinities_and_zeros() -> None:
    x = torch.tensor([[[3.0, np.nan, 1, 2], [np.nan, 5, -np.inf, -np.inf], [-np.inf, -np.inf, 0.0, -0.0], [-np.inf, -np.inf, -0.0, 0.0]]])
    for y in (x, x[None].contiguous(memory_format=torch.channels_last)[0], x[None].expand(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)[0, :1]):
        found, places = F.max_pool2d(y, 2, return_indices=True)
        np.testing.assert_array_equal(found.numpy(), [[[np.nan, 2], [-np.inf, 0]]])
        np.testing.assert_array_equal(places.numpy(), [[[4, 3], [8, 10]]])  # the last nan; of equals the first
        assert not np.signbit(found.numpy()[0, 1, 1])


def calls_of(function: Function, x: torch.Tensor) -> Iterator[tuple[Lowered, list[np.ndarray]]]:
    """The kernel calls of each native op that a function and its gradient run, with operands."""
    tape.flush()
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with trace_ops() as traced:
        found = function(x)
        found = found[0] if isinstance(found, tuple) else found
        torch.autograd.grad(found, x, torch.ones_like(found))
    tape.flush()
    for name, operands, params, _ in traced:
        if "pool" in name or "upsample" in name or "pad" in name:
            card = CARDS[name]
            plan: Plan = card.plan(operands, tuple(params[s] for s in card.statics), None)
            lowered = card.lowering.make(plan)  # type: ignore[union-attr]
            assert lowered is not None, name
            guarded = [np.full(o.numel + 64, 7, o.dtype.numpy) for o in plan.outs]
            yield lowered, [*(o.detach().numpy() for o in operands if isinstance(o, torch.Tensor)), *guarded]


@pytest.mark.parametrize("way", ["plain", "channels last"])
def test_chunks_in_any_order_write_all_of_the_output_and_nothing_else(way: str) -> None:
    checked = 0
    for function in (*OF_PLANES.values(), *OF_BATCHES.values()):
        for shape in ((4, 40, 24, 24), (1, 2, 150, 160)):
            for lowered, arrays in calls_of(function, values(shape, way)):
                guarded = [a for a in arrays if a.ndim == 1]
                seen = []
                for order in (1, -1):
                    for a in guarded:
                        a[32:-32] = -9
                    for call in lowered.calls:
                        code = llvm.load(call.kernel.source, (call.kernel.name,))
                        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[call.kernel.name])
                        words = [
                            arrays[w.operand].ctypes.data + w.offset + (32 * arrays[w.operand].itemsize if arrays[w.operand].ndim == 1 else 0)
                            if isinstance(w, Pointer) else w
                            for w in call.words
                        ]  # fmt: skip
                        block = np.array(words, np.int64)
                        for chunk in range(call.chunks)[::order]:
                            kernel(block.ctypes.data, chunk)
                        checked += call.chunks > 1
                    assert all((a[:32] == 7).all() and (a[-32:] == 7).all() and not (a == -9).any() for a in guarded)
                    seen.append([a.copy() for a in guarded])
                for a, b in zip(*seen, strict=True):
                    np.testing.assert_array_equal(a, b)
    assert checked > 50


def test_two_threads_and_all_modes_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = values((4, 24, 40, 40), "plain")
    threads = torch.get_num_threads()
    try:
        for function in (OF_PLANES["max 3 by 2"], OF_PLANES["mean overlapping"], OF_BATCHES["bilinear"]):
            torch.set_num_threads(1)
            expected = results(function, x)
            torch.set_num_threads(2)
            ways = [results(function, x)]
            for name, value in (("compile", False), ("immediate", True)):
                monkeypatch.setattr(tape.state, name, value)
                ways.append(results(function, x))
            monkeypatch.setattr(tape.state, "immediate", False)
            monkeypatch.setattr(tape.state, "compile", True)
            for found in ways:
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))
    finally:
        torch.set_num_threads(threads)


def test_channels_last_results_lie_as_their_inputs() -> None:
    x = values((2, 20, 9, 9), "channels last")
    for found in (F.max_pool2d(x, 3), F.avg_pool2d(x, 2), F.interpolate(x, scale_factor=2)):
        assert found.stride() == channels_last_strides(tuple(found.shape))
