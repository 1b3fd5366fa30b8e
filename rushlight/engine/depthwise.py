"""Depthwise convolutions, in which every channel has a window of its own: sums over few taps, too few for a product.

    windows   the output and the gradient of the input
    sums      the gradient of the window, a sum over all places; its lanes are always places

In `windows` a vector is 16 places of a line of the result, or with channels last 16 channels of a place. Some lines (or places) at a time
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
#: Taps whose sums are held together.
_TAPS = 9
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
    words: tuple[int | Pointer, ...] = (a, b, bias or 0, out, len(taps), *strides, order[1].b, order[1].bias, *shares(jobs, chunks), *(offset for tap in taps for offset in tap))
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
                left = k.sub(extent[4], block.index)
                read, written = _Lanes(k, type, left, variant.step, a_step[4]), _Lanes(k, type, left, int(variant.dense), out_step[4])
                a_block, out_block = moved(a_plane, block.index, a_step[4]), moved(out_plane, block.index, out_step[4])
                along = block.index if variant.channels else k.constant(0, "i64")
                b_block, start = k.address(b_job, along, type), read.zero

                def factor(source: Value, mask: Value = read.mask, zero: Value = read.zero) -> Value:
                    """A weight or the bias: one for all lanes, or one for each."""
                    return k.masked_load(source, type, mask, zero) if variant.channels else k.splat(k.load(source, type))

                if variant.bias:
                    start = factor(k.address(bias_job, along, type))
                last = k.sub(extent[3], k.constant(1, "i64"))
                with k.loop(0, extent[3], _LINES) as line:
                    # Behind the last line it is done again.
                    each = [k.intrinsic("smin", k.add(line.index, k.constant(n, "i64")), last) for n in range(_LINES)]
                    sources = [moved(a_block, index, a_step[3]) for index in each]
                    with k.loop(0, taps, carried=[start] * _LINES) as tap:
                        entry = k.address(table, k.shl(tap.index, 1), "i64")
                        offset = k.load(entry, "i64")
                        weight = factor(k.address(b_block, k.load(k.address(entry, 1, "i64"), "i64"), type))
                        tap.next = [k.fma(read.load(k.address(source, offset, type)), weight, total) for source, total in zip(sources, tap.carried, strict=True)]
                    for index, total in zip(each, tap.results, strict=True):
                        written.store(total, moved(out_block, index, out_step[3]))
    return Kernel("depthwise", module([k]))


class _Lanes:
    """A vector of one operand: which lanes there are, and how they lie in memory."""

    def __init__(self, k: Builder, type: str, left: Value, how: int, step: Value) -> None:
        self.k, self.type = k, type
        self.mask, self.zero = k.first_lanes(left), k.constant(0, type, LANES)
        # With step 2 nothing behind the last element is read.
        self.mask_of_two = k.first_lanes(k.sub(k.shl(left, 1), k.constant(1, "i64")), 2 * LANES) if how == 2 else None
        self.places = k.mul(Value("<" + ", ".join(f"i64 {n}" for n in range(LANES)) + ">", "i64", LANES), k.splat(step)) if not how else None

    def load(self, source: Value) -> Value:
        k, type = self.k, self.type
        if self.places is not None:
            return k.gather(k.addresses(source, self.places, type), type, self.mask, self.zero)
        if self.mask_of_two is not None:
            return k.shuffle(k.masked_load(source, type, self.mask_of_two, k.constant(0, type, 2 * LANES)), range(0, 2 * LANES, 2))
        return k.masked_load(source, type, self.mask, self.zero)

    def store(self, value: Value, target: Value) -> None:
        if self.places is None:
            self.k.masked_store(value, target, self.mask)
        else:
            self.k.scatter(value, self.k.addresses(target, self.places, self.type), self.mask)


class _SumWord(IntEnum):
    A = 0
    G = auto()
    OUT = auto()
    TAPS = auto()
    EXTENT = auto()  # N, D, H, W
    A_STEP = EXTENT + 4  # type: ignore[operator]
    G_STEP = A_STEP + 4
    A_CHANNEL = G_STEP + 4
    G_CHANNEL = auto()
    OUT_CHANNEL = auto()
    JOBS = auto()  # channels in a chunk: two words
    TABLE = JOBS + 2  # type: ignore[operator]  # for each tap how far it is in the source and in the result


def sums(c: Calls, extents: Sequence[int], a_steps: Sequence[int], g_steps: Sequence[int], taps: Sequence[tuple[int, int]], a: Pointer, g: Pointer, out: Pointer, out_step: int) -> None:
    """The call for ``out[channel, tap]``, the sum of ``a * g`` over N, D, H, W; extents and strides are those of N, C, D, H, W.

    For each sample 16 sums, of every 16th place of the lines; these are added sample by sample, then to each other.
    """
    channels = extents[1]
    how = [steps[4] if steps[4] in (1, 2) else 0 for steps in (a_steps, g_steps)]
    chunks = max(1, min(extents[0] * channels * extents[2] * extents[3] * extents[4] * len(taps) // _CHUNK_WORK, channels, _MOST_CHUNKS))
    inner = [each[d] for each in (extents, a_steps, g_steps) for d in (0, 2, 3, 4)]
    words: tuple[int | Pointer, ...] = (a, g, out, len(taps), *inner, a_steps[1], g_steps[1], out_step, *shares(channels, chunks), *(offset for tap in taps for offset in tap))
    c.calls.append(Call(_sums_kernel(c.type, *how), words, chunks))


@lru_cache(maxsize=16)
def _sums_kernel(type: str, a_how: int, g_how: int) -> Kernel:
    k = Builder("depthwise_sums", [("ptr", "args"), ("i64", "chunk")])
    a, g, out = (read_word(k, n, "ptr") for n in (_SumWord.A, _SumWord.G, _SumWord.OUT))
    extent, a_step, g_step = ([read_word(k, part + d) for d in range(4)] for part in (_SumWord.EXTENT, _SumWord.A_STEP, _SumWord.G_STEP))
    taps, table = read_word(k, _SumWord.TAPS), k.address(k.parameters["args"], _SumWord.TABLE, "i64")
    nothing = [k.constant(0, type, LANES)] * _TAPS

    def entries(first: Value, place: int) -> list[Value]:
        """A word of each tap of a block; behind the last tap it is the last one's."""
        last = k.sub(taps, k.constant(1, "i64"))
        numbers = [k.intrinsic("smin", k.add(first, k.constant(n, "i64")), last) for n in range(_TAPS)]
        return [k.load(k.address(table, k.add(k.shl(n, 1), k.constant(place, "i64")), "i64"), "i64") for n in numbers]

    def along(d: int, at: tuple[Value, Value], offsets: list[Value], start: list[Value]) -> list[Value]:
        """Sums over dim d and those behind it."""
        step = LANES if d == 3 else 1
        with k.loop(0, extent[d], step, carried=nothing if d == 0 else start) as turn:
            here, there = (k.address(base, k.mul(turn.index, steps[d]), type) for base, steps in zip(at, (a_step, g_step), strict=True))
            if d == 3:
                left = k.sub(extent[3], turn.index)
                source, factor = _Lanes(k, type, left, a_how, a_step[3]), _Lanes(k, type, left, g_how, g_step[3]).load(there)
                turn.next = [k.fma(source.load(k.address(here, offset, type)), factor, total) for offset, total in zip(offsets, turn.carried, strict=True)]
            elif d == 0:
                turn.next = [k.add(total, more) for total, more in zip(turn.carried, along(1, (here, there), offsets, nothing), strict=True)]
            else:
                turn.next = along(d + 1, (here, there), offsets, turn.carried)
        return turn.results

    with k.loop(*share(k, k.parameters["chunk"], _SumWord.JOBS)) as channel:
        a_channel, g_channel, target = (
            k.address(base, k.mul(channel.index, read_word(k, step)), type)
            for base, step in ((a, _SumWord.A_CHANNEL), (g, _SumWord.G_CHANNEL), (out, _SumWord.OUT_CHANNEL))
        )
        with k.loop(0, taps, _TAPS) as block:
            found = along(0, (a_channel, g_channel), entries(block.index, 0), nothing)
            for place, total in zip(entries(block.index, 1), found, strict=True):
                for half in (8, 4, 2, 1):
                    total = k.add(total, k.shuffle(total, [(n + half) % LANES for n in range(LANES)]))
                one = k.new(f"extractelement {total.typed}, i64 0", type)
                k.store(one, k.address(target, place, type))
    return Kernel("depthwise_sums", module([k]))
