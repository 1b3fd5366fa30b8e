"""Depthwise convolutions, in which every channel has a window of its own: sums over few taps, too few for a product.

A vector is 16 places of a line of the result, or with channels last 16 channels of a place. Some lines (or places) at a time
take tap after tap; where a tap is in the source and in the window stands behind the words. Each element starts from the bias
or zero and takes ``fma`` in the order of the taps, as in a contraction of one channel: see contraction_kernel.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache
from typing import NamedTuple

from .contraction import Calls
from .emit import LANES, Builder, Value, module
from .gemm_kernel import divide, read_word, share, shares
from .kernel import Call, Kernel, Pointer

#: Lines that are worked on together.
_LINES = 4
_CHUNK_WORK = 100_000
_MOST_CHUNKS = 16


class Dim(NamedTuple):
    """A dim of the result: its extent, its strides in the source and in the result, in the window and in the bias."""

    extent: int
    a: int
    out: int
    b: int = 0
    bias: int = 0


class _Word(IntEnum):
    A = 0
    B = auto()
    BIAS = auto()
    OUT = auto()
    TAPS = auto()
    EXTENT = auto()  # the dims that are shared out, two more, and that of the lanes
    A_STEP = EXTENT + 5  # type: ignore[operator]
    OUT_STEP = A_STEP + 5
    B_STEP = OUT_STEP + 5  # of the second dim
    BIAS_STEP = auto()
    JOBS = auto()  # in a chunk: two words
    TABLE = JOBS + 2  # type: ignore[operator]  # for each tap how far it is in the source and in the window


@dataclass(frozen=True, slots=True)
class _Variant:
    type: str
    bias: bool
    channels: bool  # whether lanes are channels
    step: int  # between lanes of the source: 1, 2, or 0 for anything else
    dense: bool  # whether lanes of the result lie next to each other


def prefers_channels(a_step: int, out_step: int) -> bool:
    """Whether lanes are channels, by the strides of these."""
    return a_step == out_step == 1


def windows(c: Calls, dims: Sequence[Dim], taps: Sequence[tuple[int, int]], a: Pointer, b: Pointer, bias: Pointer | None, out: Pointer) -> None:
    """The call for a result of dims N, C, D, H, W. Where lanes are channels, they lie next to each other in the window."""
    n, channel, depth, height, width = dims
    channels = prefers_channels(channel.a, channel.out)
    order = (n, height, depth, width, channel) if channels else (n, channel, depth, height, width)
    lanes = order[-1]
    variant = _Variant(c.type, bias is not None, channels, lanes.a if lanes.a in (1, 2) else 0, lanes.out == 1)
    jobs = order[0].extent * order[1].extent
    work = jobs * order[2].extent * order[3].extent * lanes.extent * max(len(taps), 1)
    chunks = max(1, min(work // _CHUNK_WORK, jobs, _MOST_CHUNKS))
    strides = [step for part in ("extent", "a", "out") for step in (getattr(dim, part) for dim in order)]
    words = (a, b, bias or 0, out, len(taps), *strides, order[1].b, order[1].bias, *shares(jobs, chunks), *(offset for tap in taps for offset in tap))
    c.calls.append(Call(_windows_kernel(variant), words, chunks))


@lru_cache(maxsize=64)
def _windows_kernel(variant: _Variant) -> Kernel:
    k = Builder("depthwise", [("ptr", "args"), ("i64", "chunk")])
    type = variant.type
    a, b, bias, out = (read_word(k, n, "ptr") for n in (_Word.A, _Word.B, _Word.BIAS, _Word.OUT))
    extent, a_step, out_step = ([read_word(k, part + d) for d in range(5)] for part in (_Word.EXTENT, _Word.A_STEP, _Word.OUT_STEP))
    taps, table = read_word(k, _Word.TAPS), k.address(k.parameters["args"], _Word.TABLE, "i64")

    def moved(base: Value, index: Value, step: Value) -> Value:
        return k.address(base, k.mul(index, step), type)

    with k.loop(*share(k, k.parameters["chunk"], _Word.JOBS)) as job:
        first, second = divide(k, job.index, extent[1])
        a_job = moved(moved(a, first, a_step[0]), second, a_step[1])
        out_job = moved(moved(out, first, out_step[0]), second, out_step[1])
        b_job, bias_job = moved(b, second, read_word(k, _Word.B_STEP)), moved(bias, second, read_word(k, _Word.BIAS_STEP))
        with k.loop(0, extent[2]) as third:
            a_plane, out_plane = moved(a_job, third.index, a_step[2]), moved(out_job, third.index, out_step[2])
            with k.loop(0, extent[4], LANES) as block:
                lanes = _Lanes(k, variant, block.index, extent[4], a_step[4], out_step[4])
                a_block, out_block = moved(a_plane, block.index, a_step[4]), moved(out_plane, block.index, out_step[4])
                along = block.index if variant.channels else k.constant(0, "i64")
                b_block, start = k.address(b_job, along, type), k.constant(0, type, LANES)
                if variant.bias:
                    start = lanes.factor(k.address(bias_job, along, type))
                last = k.sub(extent[3], k.constant(1, "i64"))
                with k.loop(0, extent[3], _LINES) as line:
                    # Behind the last line it is done again.
                    each = [k.intrinsic("smin", k.add(line.index, k.constant(n, "i64")), last) for n in range(_LINES)]
                    sources = [moved(a_block, index, a_step[3]) for index in each]
                    with k.loop(0, taps, carried=[start] * _LINES) as tap:
                        entry = k.address(table, k.shl(tap.index, 1), "i64")
                        offset = k.load(entry, "i64")
                        factor = lanes.factor(k.address(b_block, k.load(k.address(entry, 1, "i64"), "i64"), type))
                        tap.next = [k.fma(lanes.load(k.address(source, offset, type)), factor, total) for source, total in zip(sources, tap.carried, strict=True)]
                    for index, total in zip(each, tap.results, strict=True):
                        lanes.store(total, moved(out_block, index, out_step[3]))
    return Kernel("depthwise", module([k]))


class _Lanes:
    """What the lanes of a block read and write."""

    def __init__(self, k: Builder, variant: _Variant, first: Value, extent: Value, a_step: Value, out_step: Value) -> None:
        self.k, self.variant = k, variant
        left = k.sub(extent, first)
        numbers = Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES)
        self.mask = k.first_lanes(left)
        # With step 2 nothing behind the last element is read.
        self.mask_of_two = k.first_lanes(k.sub(k.shl(left, 1), k.constant(1, "i64")), 2 * LANES) if variant.step == 2 else None
        self.a = k.mul(numbers, k.splat(a_step)) if not variant.step else None
        self.out = None if variant.dense else k.mul(numbers, k.splat(out_step))
        self.zero = k.constant(0, variant.type, LANES)

    def load(self, source: Value) -> Value:
        k, type = self.k, self.variant.type
        if self.a is not None:
            return k.gather(k.addresses(source, self.a, type), type, self.mask, self.zero)
        if self.mask_of_two is not None:
            return k.shuffle(k.masked_load(source, type, self.mask_of_two, k.constant(0, type, 2 * LANES)), range(0, 2 * LANES, 2))
        return k.masked_load(source, type, self.mask, self.zero)

    def factor(self, source: Value) -> Value:
        """A weight or the bias: one for all lanes, or one for each."""
        k, type = self.k, self.variant.type
        return k.masked_load(source, type, self.mask, self.zero) if self.variant.channels else k.splat(k.load(source, type))

    def store(self, value: Value, target: Value) -> None:
        k = self.k
        if self.out is None:
            k.masked_store(value, target, self.mask)
        else:
            k.scatter(value, k.addresses(target, self.out, self.variant.type), self.mask)
