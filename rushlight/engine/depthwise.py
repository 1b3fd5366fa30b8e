"""Depthwise convolutions, in which every channel has a window of its own: sums over few taps, too few for a product.

    windows   the output and the gradient of the input
    sums      the gradient of the window, a sum over all places

A vector is 16 places of a line of one channel, or with channels last 16 channels of a place. Some lines (or places) at a time
take tap after tap; where a tap is in the source and in the window stands behind the words. Planes of a channel are brought
near, with zeros around them; where lanes are channels, places outside of the image are read from a line of zeros instead.

In `windows` each element starts from the bias or zero and takes ``fma`` in the order of the taps, as in a contraction of one
channel: see contraction_kernel.py. In `sums` there are for each sample 16 sums, of every 16th place of the lines; these are
added sample by sample, then to each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache
from typing import NamedTuple

from ..shape import Shape, as_one_dim
from .contraction import ALIGNMENT, Calls, Image, bring_words
from .conv_copies import BringWord, Source, bring, lanes_of
from .emit import LANES, Builder, Value
from .gemm_kernel import call_tail, divide, invoke, read_word, share, shares
from .kernel import Call, Kernel, Pointer, Result, Subroutine, kernel_of

#: Lines that are worked on together; or places with channels last, of which the number is chosen: what a tap takes beside them is
#: about as much as so many.
_LINES = 4
_PLACES = range(4, 9)
_TAP_PLACES = 6
#: Lines that are fetched beforehand where lanes are channels.
_LINES_AHEAD = 3
#: Taps whose sums are held together.
_TAPS = 9
_CHUNK_WORK = 100_000
_MOST_CHUNKS = 16
#: Words of zeros that stand for a place outside of the image: a vector of doubles.
_ZEROS = LANES


class Part(NamedTuple):
    """Places of the result that see the same taps: where they begin, how many there are along D, H and W.

    A tap is a place of the image that the first of them sees, and an offset in the window.
    """

    first: int
    extents: Sequence[int]
    taps: Sequence[tuple[Sequence[int], int]]


class _Word(IntEnum):
    A = 0
    B = auto()
    BIAS = auto()
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()
    FIRSTS = auto()  # jobs: samples times these: channels, or lines
    A_STEP = auto()  # N, C, D, H, W of what is read
    OUT_STEP = A_STEP + 5  # type: ignore[operator]
    SOURCE_STEP = OUT_STEP + 5  # N, C of the image
    SIZE = SOURCE_STEP + 2  # D, H, W of the image
    MOVE = SIZE + 3  # places of the image for one of the result
    DEPTH = MOVE + 3  # where planes that are brought begin
    HEIGHT = auto()
    CHANNELS = auto()
    B_STEP = auto()
    PARTS = auto()
    TAIL = auto()  # two words; see kernel.py
    TAIL_ROWS = TAIL + 2  # type: ignore[operator]  # of a job: its channel, or the places of its line
    TAIL_COLUMNS = auto()  # places, or channels
    JOBS = auto()  # in a chunk: two words
    BRING = JOBS + 2  # type: ignore[operator]
    ZEROS = BRING + BringWord.END
    PART = ZEROS + _ZEROS


class _PartWord(IntEnum):
    OUT = 0
    EXTENT = auto()  # D, H, W
    TAPS = EXTENT + 3  # type: ignore[operator]
    TABLE = auto()  # at which word: for each tap how far it is in the source and in the window, and its place
    LOW = auto()  # the first place that a tap sees, along D, H, W, and how far the last one is from it
    SPAN = LOW + 3  # type: ignore[operator]
    END = SPAN + 3


_TAP = 5


@dataclass(frozen=True, slots=True)
class _Variant:
    type: str
    bias: bool
    channels: bool  # whether lanes are channels
    step: int  # between lanes of the source: 1, 2, or 0 for anything else
    out_step: int  # the same for lanes of the result
    source: Source | None  # how planes are brought
    together: int  # lines or places that are worked on together
    whole: bool  # whether all vectors are


def prefers_channels(a_step: int, out_step: int) -> bool:
    """Whether lanes are channels, by the strides of these."""
    return a_step == out_step == 1


def windows(c: Calls, image: Image, out: Image, parts: Sequence[Part], moves: Shape, spread: Shape, b: tuple[Pointer, int], bias: Pointer | None) -> None:
    """The call for a result.

    `moves` says how many places of the image, and `spread` how many of the output, there are for one of a part. `b` is the
    window and the stride between channels' windows; where lanes are channels it is 1.
    """
    samples, channels = image.shape[:2]
    by_channels = prefers_channels(image.stride[1], out.stride[1])
    seen, source, low, extents, near = _near(c, image, parts, moves, by_channels)
    a_steps = [*seen[:2], *(m * s for m, s in zip(moves, seen[2:], strict=True))]
    out_steps = [*out.stride[:2], *(m * s for m, s in zip(spread, out.stride[2:], strict=True))]
    lane = 1 if by_channels else 4
    step, out_step = (steps[lane] if steps[lane] in (1, 2) else 0 for steps in (a_steps, out_steps))
    variant = _Variant(c.type, bias is not None, by_channels, step, out_step, source, *_together(parts, channels, by_channels))
    firsts = max(p.extents[1] for p in parts) if by_channels else channels
    jobs = samples * firsts
    work = sum(samples * channels * p.extents[0] * p.extents[1] * p.extents[2] * max(len(p.taps), 1) for p in parts)
    chunks = max(1, min(work // _CHUNK_WORK, jobs, _MOST_CHUNKS))
    records: list[int] = []
    table: list[int] = []
    start = _Word.PART + _PartWord.END * len(parts)
    for part in parts:
        along = [[place[d] for place, _ in part.taps] or [0] for d in range(3)]
        records += [part.first, *part.extents, len(part.taps), start + len(table), *map(min, along), *(max(places) - min(places) for places in along)]
        for place, within in part.taps:
            table += [sum((n + m) * s for n, m, s in zip(place, low, seen[2:], strict=True)), within, *place]
    own = -(-near * c.size // ALIGNMENT) * ALIGNMENT
    words: tuple[int | Pointer, ...] = (
        image.pointer, b[0], bias or 0, out.pointer, c.room(own * chunks) if own else 0, own, firsts,
        *a_steps, *out_steps, *image.stride[:2], *image.shape[2:], *moves, -low[0], -low[1], channels, b[1], len(parts),
        0, 0, out.shape[4] if by_channels else 1, channels if by_channels else math.prod(out.shape[2:]), *shares(jobs, chunks), *bring_words(image, extents, seen, low[2], 1), *[0] * _ZEROS, *records, *table,
    )  # fmt: skip
    result = _result(c, out, by_channels) if chunks > 1 and (not by_channels or (len(parts) == 1 and parts[0].extents == [*out.shape[2:]])) else None
    c.calls.append(Call(_windows_kernel(variant), words, chunks, result=result))


def _result(c: Calls, out: Image, by_channels: bool) -> Result | None:
    """The output, as jobs leave it: channel by channel, or line by line."""
    places = as_one_dim(out.shape[2:], out.stride[2:])
    if places is None or (by_channels and out.shape[2] > 1):
        return None
    channels = out.shape[1], out.stride[1]
    rows, columns = (places, channels) if by_channels else (channels, places)
    return Result(out.pointer, c.type, (out.shape[0], rows[0], columns[0]), (out.stride[0], rows[1], columns[1]), _Word.TAIL)


def _together(parts: Sequence[Part], channels: int, by_channels: bool) -> tuple[int, bool]:
    """How many lines or places are worked on together, and whether their vectors are whole."""
    if not by_channels:
        return _LINES, False
    width = max(p.extents[2] for p in parts)
    return min(_PLACES, key=lambda n: -(-width // n) * (n + _TAP_PLACES)), channels % LANES == 0


def _near(c: Calls, image: Image, parts: Sequence[Part], moves: Shape, by_channels: bool) -> tuple[Shape, Source | None, list[int], list[int], int]:
    """How planes are brought near, if places outside of the image are seen: strides, where from, zeros before, extents, elements."""
    taps = [(place, p.extents) for p in parts for place, _ in p.taps]
    low = [max([0, *(-place[d] for place, _ in taps)]) for d in range(3)]
    last = [max([0, *(place[d] + (extents[d] - 1) * moves[d] for place, extents in taps)]) for d in range(3)]
    extents = [n + m + 1 for n, m in zip(last, low, strict=True)]
    if by_channels or (not any(low) and all(n < size for n, size in zip(last, image.shape[2:], strict=True))):
        return image.stride, None, [0, 0, 0], extents, 0
    source: Source = "lines" if image.stride[4] == 1 or image.shape[4] == 1 else "any"
    stride, near = c.near((1, 1, *extents))
    return stride, source, low, extents, near


@lru_cache(maxsize=64)
def _windows_kernel(variant: _Variant) -> Kernel:
    k = Builder("depthwise", [("ptr", "args"), ("i64", "chunk")])
    functions: list[Builder | Subroutine] = [k, *([bring(variant.type, variant.source)] if variant.source else [])]
    type, count = variant.type, variant.together
    a, b, bias, out = (read_word(k, n, "ptr") for n in (_Word.A, _Word.B, _Word.BIAS, _Word.OUT))
    a_step, out_step, size, move = ([read_word(k, first + d) for d in range(n)] for first, n in ((_Word.A_STEP, 5), (_Word.OUT_STEP, 5), (_Word.SIZE, 3), (_Word.MOVE, 3)))
    source_step = [read_word(k, _Word.SOURCE_STEP + d) for d in range(2)]
    near = k.address(read_word(k, _Word.WORKSPACE, "ptr"), k.mul(k.parameters["chunk"], read_word(k, _Word.WORKSPACE_BYTES)), "i8")
    args, zeros = k.parameters["args"], k.address(k.parameters["args"], _Word.ZEROS, "i64")
    channels, zero, one = read_word(k, _Word.CHANNELS), k.constant(0, "i64"), k.constant(1, "i64")

    def moved(base: Value, *by: tuple[Value, Value]) -> Value:
        for index, step in by:
            base = k.address(base, k.mul(index, step), type)
        return base

    ahead = k.mul(a_step[3], k.constant(_LINES_AHEAD, "i64"))
    with k.loop(*share(k, k.parameters["chunk"], _Word.JOBS)) as job:
        sample, first = divide(k, job.index, read_word(k, _Word.FIRSTS))
        a_job, out_job = moved(a, (sample, source_step[0])), moved(out, (sample, out_step[0]))
        b_job, bias_job = b, bias
        if not variant.channels:
            a_job, out_job = moved(a_job, (first, source_step[1])), moved(out_job, (first, out_step[1]))
            b_job, bias_job = moved(b, (first, read_word(k, _Word.B_STEP))), k.address(bias, first, type)
        if variant.source:
            words = k.address(args, _Word.BRING, "i64")
            invoke(k, "bring", [words, a_job, near, one, one, read_word(k, _Word.DEPTH), read_word(k, _Word.HEIGHT), zero, zero])
            a_job = near
        with k.loop(0, read_word(k, _Word.PARTS)) as each:
            record = k.address(k.address(args, k.mul(each.index, k.constant(_PartWord.END, "i64")), "i64"), _Word.PART, "i64")
            out_at, depth, height, width, taps, table_at, *ranges = (k.load(k.address(record, n, "i64"), "i64") for n in range(_PartWord.END))
            lows, spans = ranges[:3], [k.intrinsic("smax", k.sub(n, span), zero) for n, span in zip(size, ranges[3:], strict=True)]
            table, out_part = k.address(args, table_at, "i64"), k.address(out_job, out_at, type)
            planes, lines, lanes = depth, height, width
            line, lane = 3, 4
            a_part = a_job
            if variant.channels:
                # A job is a line of the result, if the part has so many.
                planes = k.select(k.compare("slt", first, height), depth, zero)
                lines, lanes, line, lane = width, channels, 4, 1
                a_part, out_part = moved(a_part, (first, a_step[3])), moved(out_part, (first, out_step[3]))
            # With channels last all channels of some places follow each other in memory.
            loops = [(0, lines, count), (0, lanes, LANES)] if variant.channels else [(0, lanes, LANES), (0, lines, count)]
            with k.loop(0, planes) as plane, k.loop(*loops[0]) as outer, k.loop(*loops[1]) as inner:
                group, block = (outer, inner) if variant.channels else (inner, outer)
                left = k.sub(lanes, block.index)
                read, written = (_Lanes(k, type, left, how, step[lane], variant.whole) for how, step in ((variant.step, a_step), (variant.out_step, out_step)))
                a_block = moved(a_part, (plane.index, a_step[2]), (block.index, a_step[lane]))
                out_block = moved(out_part, (plane.index, out_step[2]), (block.index, out_step[lane]))
                along = block.index if variant.channels else zero
                b_block, start = k.address(b_job, along, type), read.zero

                def factor(source: Value, lanes: _Lanes = read) -> Value:
                    """A weight or the bias: one for all lanes, or one for each."""
                    return lanes.next_to_each_other(source) if variant.channels else k.splat(k.load(source, type))

                if variant.bias:
                    start = factor(k.address(bias_job, along, type))
                # Behind the last line it is done again.
                last = k.sub(lines, one)
                indices = [k.intrinsic("smin", k.add(group.index, k.constant(n, "i64")), last) for n in range(count)]
                sources = [moved(a_block, (index, a_step[line])) for index in indices]
                places = [k.mul(index, move[2]) for index in indices]
                if variant.channels:
                    for source in sources:
                        k.prefetch(k.address(source, ahead, type))

                def sums(checked: bool, start: Value = start, weights: Value = b_block, sources: Sequence[Value] = sources, places: Sequence[Value] = places) -> list[Value]:
                    with k.loop(0, taps, carried=[start] * count) as tap:
                        entry = k.address(table, k.mul(tap.index, k.constant(_TAP, "i64")), "i64")
                        offset, within, *at = (k.load(k.address(entry, n, "i64"), "i64") for n in range(_TAP))
                        weight = factor(k.address(weights, within, type))
                        found = [k.address(source, offset, type) for source in sources]
                        if checked:
                            inside = k.and_(_within(k, plane.index, move[0], at[0], size[0]), _within(k, first, move[1], at[1], size[1]))
                            bound = k.select(inside, size[2], zero)
                            found = [k.select(k.compare("ult", k.add(place, at[2]), bound), source, zeros) for place, source in zip(places, found, strict=True)]
                        tap.next = [k.fma(read.load(source), weight, total) for source, total in zip(found, tap.carried, strict=True)]
                    return tap.results

                if variant.channels:
                    # Mostly all taps are within the image.
                    whole = k.and_(_within(k, plane.index, move[0], lows[0], spans[0]), _within(k, first, move[1], lows[1], spans[1]))
                    for index in (indices[0], indices[-1]):
                        whole = k.and_(whole, _within(k, index, move[2], lows[2], spans[2]))
                    totals = _either(k, whole, sums)
                else:
                    totals = sums(False)
                for index, total in zip(indices, totals, strict=True):
                    written.store(total, moved(out_block, (index, out_step[line])))
        rows = read_word(k, _Word.TAIL_ROWS)
        row = k.mul(first, rows)
        call_tail(k, _Word.TAIL, [sample, row, k.add(row, rows), zero, read_word(k, _Word.TAIL_COLUMNS)])
    return kernel_of("depthwise", functions)


def _within(k: Builder, index: Value, move: Value, first: Value, size: Value) -> Value:
    """Whether there is such a place."""
    return k.compare("ult", k.add(k.mul(index, move), first), size)


def _either(k: Builder, whole: Value, sums: Callable[[bool], list[Value]]) -> list[Value]:
    """Sums without looking where the taps are, if that is right, or with."""
    plain, checked, done = k.fresh("plain"), k.fresh("checked"), k.fresh("done")
    k.branch(whole, plain, checked)
    found, ends = [], []
    for label in (plain, checked):
        k.label(label)
        found.append(sums(label == checked))
        ends.append(k.block)
        k.jump(done)
    k.label(done)
    return [k.new(f"phi {a.ir} [{a.text}, %{ends[0]}], [{b.text}, %{ends[1]}]", a.type, a.lanes) for a, b in zip(*found, strict=True)]


class _Lanes:
    """A vector of one operand: which lanes there are, and how they lie in memory."""

    def __init__(self, k: Builder, type: str, left: Value, how: int, step: Value, whole: bool = False) -> None:
        """`whole`: whether there are as many as a vector has."""
        self.k, self.type, self.whole = k, type, whole
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
        return self.next_to_each_other(source)

    def next_to_each_other(self, source: Value) -> Value:
        return self.k.load(source, self.type, LANES) if self.whole else self.k.masked_load(source, self.type, self.mask, self.zero)

    def store(self, value: Value, target: Value) -> None:
        k = self.k
        if self.places is not None:
            k.scatter(value, k.addresses(target, self.places, self.type), self.mask)
        elif self.mask_of_two is not None:
            # The lanes between are not ours.
            every_other = Value("<" + ", ".join(f"i1 {1 - n % 2}" for n in range(2 * LANES)) + ">", "i1", 2 * LANES)
            k.masked_store(k.shuffle(value, [n // 2 for n in range(2 * LANES)]), target, k.and_(self.mask_of_two, every_other))
        elif self.whole:
            k.store(value, target)
        else:
            k.masked_store(value, target, self.mask)


class _SumWord(IntEnum):
    A = 0
    G = auto()
    OUT = auto()
    WORKSPACE = auto()
    WORKSPACE_BYTES = auto()  # of one chunk; it begins with planes of A, behind which are
    GRADS = auto()  # planes of G
    TOTALS = auto()
    TAPS = auto()
    SAMPLES = auto()
    CHANNELS = auto()
    EXTENT = auto()  # D, H, W of the result
    A_STEP = EXTENT + 3  # type: ignore[operator]  # of what is read, for a place of the result: D, H, W
    G_STEP = A_STEP + 3
    SAMPLE_A = G_STEP + 3
    SAMPLE_G = auto()
    CHANNEL_A = auto()  # of what is read
    CHANNEL_G = auto()
    CHANNEL_OUT = auto()
    DEPTH = auto()  # where planes that are brought begin
    HEIGHT = auto()
    JOBS = auto()  # in a chunk: two words; channels, or vectors of them
    BRING = JOBS + 2  # type: ignore[operator]
    BRING_GRADS = BRING + BringWord.END
    TABLE = BRING_GRADS + BringWord.END  # for each tap how far it is in the source and in the result


def sums(c: Calls, image: Image, grad: Image, taps: Sequence[tuple[Sequence[int], int]], moves: Shape, out: tuple[Pointer, int]) -> None:
    """The call for ``out[channel, tap]``, the sum of ``image * grad`` over all places.

    A tap is a place of the image that the first place of the gradient sees, and where its sum goes. With channels last both
    sides are brought near as planes, of as many channels as a vector has.
    """
    samples, channels, *places = grad.shape
    lanes = c.lanes
    by_channels = channels > 1 and prefers_channels(image.stride[1], grad.stride[1])
    seen, source, low, extents, near = _near(c, image, [Part(0, places, taps)], moves, False)
    grads, near_grads = grad.stride, 0
    jobs = channels
    if by_channels:
        source, jobs = "channels", -(-channels // lanes)
        low = [max([0, *(-place[d] for place, _ in taps)]) for d in range(3)]
        seen, near = c.near((1, lanes, *extents))
        grads, near_grads = c.near((1, lanes, *places))
    a_steps = [m * s for m, s in zip(moves, seen[2:], strict=True)]
    chunks = max(1, min(samples * channels * places[0] * places[1] * places[2] * len(taps) // _CHUNK_WORK, jobs, _MOST_CHUNKS))
    totals = lanes * _TAPS * LANES if by_channels else 0
    room, where = 0, []
    for size in (near, near_grads, totals):
        where.append(room)
        room += -(-size * c.size // ALIGNMENT) * ALIGNMENT
    table = [n for place, to in taps for n in (sum((n + m) * s for n, m, s in zip(place, low, seen[2:], strict=True)), to)]
    words: tuple[int | Pointer, ...] = (
        image.pointer, grad.pointer, out[0], c.room(room * chunks), room, *where[1:], len(taps), samples, channels, *places,
        *a_steps, *grads[2:], image.stride[0], grad.stride[0], seen[1], grads[1], out[1], -low[0], -low[1],
        *shares(jobs, chunks), *bring_words(image, extents, seen, low[2], 1), *bring_words(grad, places, grads, 0, 1), *table,
    )  # fmt: skip
    how = [steps if steps in (1, 2) else 0 for steps in (a_steps[2], grads[4])]
    c.calls.append(Call(_sums_kernel(c.type, source, *how), words, chunks))


@lru_cache(maxsize=16)
def _sums_kernel(type: str, source: Source | None, a_how: int, g_how: int) -> Kernel:
    k = Builder("depthwise_sums", [("ptr", "args"), ("i64", "chunk")])
    a, g, out = (read_word(k, n, "ptr") for n in (_SumWord.A, _SumWord.G, _SumWord.OUT))
    extent, a_step, g_step = ([read_word(k, part + d) for d in range(3)] for part in (_SumWord.EXTENT, _SumWord.A_STEP, _SumWord.G_STEP))
    taps, args = read_word(k, _SumWord.TAPS), k.parameters["args"]
    room = k.address(read_word(k, _SumWord.WORKSPACE, "ptr"), k.mul(k.parameters["chunk"], read_word(k, _SumWord.WORKSPACE_BYTES)), "i8")
    grads, totals = (k.address(room, read_word(k, w), "i8") for w in (_SumWord.GRADS, _SumWord.TOTALS))
    nothing, zero, one = [k.constant(0, type, LANES)] * _TAPS, k.constant(0, "i64"), k.constant(1, "i64")
    together = lanes_of(type) if source == "channels" else 1

    def moved(base: Value, *by: tuple[Value, int]) -> Value:
        for index, word in by:
            base = k.address(base, k.mul(index, read_word(k, word)), type)
        return base

    def entries(first: Value, word: int) -> list[Value]:
        """A word of each tap of a block; behind the last tap it is the last one's."""
        last = k.sub(taps, one)
        numbers = [k.intrinsic("smin", k.add(first, k.constant(n, "i64")), last) for n in range(_TAPS)]
        return [k.load(k.address(args, k.add(k.shl(n, 1), k.constant(_SumWord.TABLE + word, "i64")), "i64"), "i64") for n in numbers]

    def along(d: int, at: tuple[Value, Value], offsets: list[Value], start: list[Value]) -> list[Value]:
        """Sums over dim d and those behind it."""
        with k.loop(0, extent[d], LANES if d == 2 else 1, carried=start) as turn:
            here, there = (k.address(base, k.mul(turn.index, steps[d]), type) for base, steps in zip(at, (a_step, g_step), strict=True))
            if d == 2:
                left = k.sub(extent[2], turn.index)
                read, factor = _Lanes(k, type, left, a_how, a_step[2]), _Lanes(k, type, left, g_how, g_step[2]).load(there)
                turn.next = [k.fma(read.load(k.address(here, offset, type)), factor, total) for offset, total in zip(offsets, turn.carried, strict=True)]
            else:
                turn.next = along(d + 1, (here, there), offsets, turn.carried)
        return turn.results

    def bring_near(word: int, image: Value, near: Value, channels: Value, first: Sequence[Value]) -> None:
        invoke(k, "bring", [k.address(args, word, "i64"), image, near, one, channels, *first, zero, zero])

    def write(block: Value, channel: Value, found: Sequence[Value]) -> None:
        target = moved(out, (channel, _SumWord.CHANNEL_OUT))
        for place, total in zip(entries(block, 1), found, strict=True):
            for half in (8, 4, 2, 1):
                total = k.add(total, k.shuffle(total, [(n + half) % LANES for n in range(LANES)]))
            k.store(k.new(f"extractelement {total.typed}, i64 0", type), k.address(target, place, type))

    begin = [read_word(k, w) for w in (_SumWord.DEPTH, _SumWord.HEIGHT)]
    samples = read_word(k, _SumWord.SAMPLES)
    with k.loop(*share(k, k.parameters["chunk"], _SumWord.JOBS)) as job, k.loop(0, taps, _TAPS) as block:
        offsets = entries(block.index, 0)
        if together == 1:
            with k.loop(0, samples, carried=nothing) as n:
                here, there = moved(a, (n.index, _SumWord.SAMPLE_A)), moved(g, (n.index, _SumWord.SAMPLE_G), (job.index, _SumWord.CHANNEL_G))
                if source:
                    step = read_word(k, _SumWord.BRING + BringWord.STEP + 1)
                    bring_near(_SumWord.BRING, k.address(here, k.mul(job.index, step), type), room, one, begin)
                    here = room
                else:
                    here = moved(here, (job.index, _SumWord.CHANNEL_A))
                n.next = [k.add(total, more) for total, more in zip(n.carried, along(0, (here, there), offsets, nothing), strict=True)]
            write(block.index, job.index, n.results)
        else:
            # Some channels, which are next to each other in memory; their sums are in memory as well.
            first = k.mul(job.index, k.constant(together, "i64"))
            count = k.intrinsic("smin", k.constant(together, "i64"), k.sub(read_word(k, _SumWord.CHANNELS), first))

            def held(channel: Value) -> list[Value]:
                base = k.address(totals, k.mul(channel, k.constant(_TAPS * LANES, "i64")), type)
                return [k.address(base, tap * LANES, type) for tap in range(_TAPS)]

            with k.loop(0, count) as channel:
                for at, total in zip(held(channel.index), nothing, strict=True):
                    k.store(total, at)
            with k.loop(0, samples) as n:
                bring_near(_SumWord.BRING, k.address(moved(a, (n.index, _SumWord.SAMPLE_A)), first, type), room, count, begin)
                bring_near(_SumWord.BRING_GRADS, k.address(moved(g, (n.index, _SumWord.SAMPLE_G)), first, type), grads, count, [zero, zero])
                with k.loop(0, count) as channel:
                    here, there = moved(room, (channel.index, _SumWord.CHANNEL_A)), moved(grads, (channel.index, _SumWord.CHANNEL_G))
                    for at, more in zip(held(channel.index), along(0, (here, there), offsets, nothing), strict=True):
                        k.store(k.add(k.load(at, type, LANES), more), at)
            with k.loop(0, count) as channel:
                write(block.index, k.add(first, channel.index), [k.load(at, type, LANES) for at in held(channel.index)])
    return kernel_of("depthwise_sums", [k, *([bring(type, source)] if source else [])])
