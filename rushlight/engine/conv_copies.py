"""What convolutions copy, as machine code.

    square    16 lines of 16 elements, transposed in registers: what the others are made of
    bring     part of an image as planes of channels, with zeros around it
    relayout  a matrix to panels of columns, or from channels last to channels first

`bring` and `square` are subroutines; for each there is a kernel of its own, too.

Elements are read as their kind says (elements.py): as they are, half precision as float32, or as pairs of bfloat16. The two of a pair lie
`second` elements apart, and where there is but one of them the other counts as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from . import llvm
from .elements import PAIRS, load, memory_type, register_type, stored, value
from .emit import BITS, Builder, Value
from .gemm_kernel import divide, invoke, read_word, share
from .gemm_pack import PairOfLines, transpose
from .kernel import Kernel, Subroutine, kernel_of, subroutine

#: How an image lies: places of a line next to each other, channels next to each other, or anything else.
Source = Literal["lines", "channels", "any"]

#: Channels of which lines are fetched beforehand: the part of a plane that is brought is too short for the hardware to notice.
_CHANNELS_AHEAD = 2

_SQUARE = (
    ("ptr", "source"),
    ("i64", "source_step"),  # between lines
    ("ptr", "target"),
    ("i64", "target_step"),
    ("i64", "first"),  # lines of the source; the others are zeros
    ("i64", "stop"),
    ("i64", "width"),  # of a line, as far as it may be read
    ("i64", "columns"),  # that are written, at most as many as a line may have
    ("i64", "begin"),  # lanes of the target that are written
    ("i64", "end"),
    ("i64", "second"),
    ("i64", "full"),  # positive if there is a second one
)
_COPY_ROWS = (
    ("ptr", "source"),
    ("i64", "source_step"),
    ("ptr", "target"),
    ("i64", "target_step"),
    ("i64", "rows"),
    ("i64", "width"),
    ("i64", "end"),
    ("i64", "second"),
    ("i64", "full"),  # rows of which there is a second one
)
_BRING = (
    ("ptr", "words"),
    ("ptr", "source"),  # the first place of the image
    ("ptr", "target"),
    ("i64", "samples"),
    ("i64", "channels"),
    ("i64", "depth"),  # the place of the image at which the target begins
    ("i64", "height"),
    ("i64", "full_samples"),  # samples and channels of which there is a second one
    ("i64", "full_channels"),
)
#: More than there are of anything.
ALL = 1 << 40


def lanes_of(kind: str) -> int:
    return llvm.vector_width() // BITS[register_type(kind)]


class Pair(NamedTuple):
    """Where the second ones of pairs are, and which of their bits count."""

    step: Value
    bits: Value

    @staticmethod
    def of(k: Builder, second: Value, there: Value) -> Pair:
        step, bits = k.select(there, second, k.constant(0, "i64")), k.select(there, k.constant(-1, "i32"), k.constant(0, "i32"))
        return Pair(step, k.splat(bits))

    def lines(self, k: Builder, first: Value) -> PairOfLines:
        return PairOfLines(first, k.address(first, self.step, "i16"), self.bits)


def _read(k: Builder, address: Value, kind: str, lanes: int, mask: Value | None, pair: Pair | None) -> Value:
    """A vector of a line."""
    return load(k, address, kind, lanes, mask) if pair is None else pair.lines(k, address).load(k, 0, mask)


def _pair(k: Builder, kind: str, there: Value) -> Pair | None:
    return Pair.of(k, k.parameters["second"], there) if kind == PAIRS else None


def numbers(lanes: int, first: int = 0) -> Value:
    """A vector of consecutive numbers."""
    return Value("<" + ", ".join(f"i64 {first + n}" for n in range(lanes)) + ">", "i64", lanes)


def square_name(kind: str, out: str = "") -> str:
    """What a square of these kinds is called: a module may have several."""
    return f"square_{kind}" if out in ("", register_type(kind)) else f"square_{kind}_{out}"


def copy_rows_name(kind: str) -> str:
    return f"copy_rows_{kind}"


@lru_cache(maxsize=32)
def square(kind: str, out: str = "") -> Subroutine:
    """``target[column, line] = source[line, column]`` for as many columns as a line has, and for lines from `begin` to `end`.

    `out` is the kind of the target, if it is not that of a value of the source.
    """
    k = Builder(square_name(kind, out), _SQUARE)
    p, lanes, type, out = k.parameters, lanes_of(kind), memory_type(kind), out or register_type(kind)
    nothing, size = k.constant(0, "i64"), k.constant(lanes, "i64")
    pair = _pair(k, kind, k.compare("sgt", p["full"], nothing))
    # All lines are read as they are, or some with masks.
    plain, masked, read = "plain", "masked", "read"
    whole = k.and_(k.compare("sge", p["width"], size), k.compare("sge", p["stop"], size))
    k.branch(k.and_(whole, k.compare("sle", p["first"], nothing)), plain, masked)
    k.label(plain)
    lines = []
    at = p["source"]
    for _ in range(lanes):
        lines.append(_read(k, at, kind, lanes, None, pair))
        at = k.address(at, p["source_step"], type)
    k.jump(read)
    k.label(masked)
    some = []
    at = p["source"]
    for n in range(lanes):
        line = k.constant(n, "i64")
        inside = k.and_(k.compare("sge", line, p["first"]), k.compare("slt", line, p["stop"]))
        some.append(_read(k, at, kind, lanes, k.first_lanes(k.select(inside, p["width"], nothing), lanes), pair))
        at = k.address(at, p["source_step"], type)
    k.jump(read)
    k.label(read)
    found = [k.new(f"phi {a.ir} [{a.text}, %{plain}], [{b.text}, %{masked}]", a.type, lanes) for a, b in zip(lines, some, strict=True)]
    columns = [stored(k, column, out) for column in transpose(k, found)]
    written = k.and_(k.compare("sge", numbers(lanes), k.splat(p["begin"], lanes)), k.compare("slt", numbers(lanes), k.splat(p["end"], lanes)))
    every, part, done = "every", "part", "done"
    k.branch(k.compare("sge", p["columns"], size), every, part)
    for label in (every, part):
        k.label(label)
        at = p["target"]
        for n, column in enumerate(columns):
            mask = written
            if label == part:
                mask = k.and_(mask, k.splat(k.compare("slt", k.constant(n, "i64"), p["columns"]), lanes))
            k.masked_store(column, at, mask)
            at = k.address(at, p["target_step"], memory_type(out))
        k.jump(done)
    k.label(done)
    return subroutine([k])


@lru_cache(maxsize=8)
def copy_rows(kind: str) -> Subroutine:
    """One vector of each of some rows: `width` elements of it are there, and lanes before `end` are written."""
    k = Builder(copy_rows_name(kind), _COPY_ROWS)
    p, lanes = k.parameters, lanes_of(kind)
    read, written = k.first_lanes(p["width"], lanes), k.first_lanes(p["end"], lanes)
    with k.loop(0, p["rows"], carried=[p["source"], p["target"]]) as row:
        source, target = row.carried
        pair = _pair(k, kind, k.compare("slt", row.index, p["full"]))
        k.masked_store(_read(k, source, kind, lanes, read, pair), target, written)
        row.next = [k.address(source, p["source_step"], memory_type(kind)), k.address(target, p["target_step"], register_type(kind))]
    return subroutine([k])


class BringWord(IntEnum):
    """What `bring` reads: the dims of the part and of the image are D, H and W."""

    EXTENT = 0  # of the target
    SIZE = EXTENT + 3  # of the image
    STEP = SIZE + 3  # of the image: N, C, D, H, W
    TO = STEP + 5  # of the target: N, C, D, H
    FIRST = TO + 4  # the place of the image, along W, at which the target begins
    SECOND = FIRST + 1  # between the two of a pair
    FULL_SAMPLES = SECOND + 1  # of all
    FULL_CHANNELS = FULL_SAMPLES + 1
    END = FULL_CHANNELS + 1


class _Bring:
    """The values that `bring` works with."""

    def __init__(self, k: Builder, kind: str) -> None:
        def words(first: int, count: int) -> list[Value]:
            return [k.load(k.address(k.parameters["words"], first + n, "i64"), "i64") for n in range(count)]

        self.k, self.kind, self.type, self.to_type, self.lanes = k, kind, memory_type(kind), register_type(kind), lanes_of(kind)
        self.extent, self.size = words(BringWord.EXTENT, 3), words(BringWord.SIZE, 3)
        self.step, self.to = words(BringWord.STEP, 5), words(BringWord.TO, 4)
        self.left, self.second = words(BringWord.FIRST, 2)
        self.firsts = [k.parameters["depth"], k.parameters["height"]]

    def moved(self, base: Value, *by: tuple[Value, Value]) -> Value:
        """An address of the image, so many steps of so many elements further."""
        return self._moved(base, self.type, by)

    def to_moved(self, base: Value, *by: tuple[Value, Value]) -> Value:
        """The same of the target."""
        return self._moved(base, self.to_type, by)

    def _moved(self, base: Value, type: str, by: Sequence[tuple[Value, Value]]) -> Value:
        for index, step in by:
            base = self.k.address(base, self.k.mul(index, step), type)
        return base

    def place(self, d: int, index: Value) -> tuple[Value, Value]:
        """A place of the image along D or H, and whether there is one."""
        at = self.k.add(index, self.firsts[d])
        return at, self.k.compare("ult", at, self.size[d])

    def pair(self, sample: Value, channel: Value) -> Pair | None:
        """How pairs of this sample and channel are read."""
        if self.kind != PAIRS:
            return None
        k, p = self.k, self.k.parameters
        there = k.and_(k.compare("slt", sample, p["full_samples"]), k.compare("slt", channel, p["full_channels"]))
        return Pair.of(k, self.second, there)


@lru_cache(maxsize=16)
def bring(kind: str, source: Source) -> Subroutine:
    """Some samples and channels of an image, from a place on, with zeros where the image has no places."""
    k = Builder("bring", _BRING)
    b = _Bring(k, kind)
    with k.loop(0, k.parameters["samples"]) as n:
        from_n, to_n = b.moved(k.parameters["source"], (n.index, b.step[0])), b.to_moved(k.parameters["target"], (n.index, b.to[0]))
        if source == "channels":
            _bring_channels(k, b, n.index, from_n, to_n)
        else:
            _bring_lines(k, b, n.index, from_n, to_n, source == "lines")
    return subroutine([k, *([square(kind)] if source == "channels" else [])])


def _bring_channels(k: Builder, b: _Bring, sample: Value, source: Value, target: Value) -> None:
    """By squares of places and channels. Channels that lie next to each other are not the two of a pair."""
    number, channels = k.constant(b.lanes, "i64"), k.parameters["channels"]
    full = k.sub(k.parameters["full_samples"], sample)
    with k.loop(0, b.extent[0]) as d, k.loop(0, b.extent[1]) as h:
        (at_d, inside_d), (at_h, inside_h) = b.place(0, d.index), b.place(1, h.index)
        line, to_line = b.moved(source, (at_d, b.step[2]), (at_h, b.step[3])), b.to_moved(target, (d.index, b.to[2]), (h.index, b.to[3]))
        size = k.select(k.and_(inside_d, inside_h), b.size[2], k.constant(0, "i64"))
        with k.loop(0, b.extent[2], b.lanes) as w:
            at = k.add(w.index, b.left)
            first, stop, end = k.neg(at), k.sub(size, at), k.sub(b.extent[2], w.index)
            places, to_places = b.moved(line, (at, b.step[4])), k.address(to_line, w.index, b.to_type)
            with k.loop(0, channels, b.lanes) as c:
                width = k.intrinsic("smin", k.sub(channels, c.index), number)
                to = b.to_moved(to_places, (c.index, b.to[1]))
                invoke(k, square_name(b.kind), [k.address(places, c.index, b.type), b.step[4], to, b.to[1], first, stop, width, width, k.constant(0, "i64"), end, b.second, full])


def _bring_lines(k: Builder, b: _Bring, sample: Value, source: Value, target: Value, dense: bool) -> None:
    """By vectors of places; `dense` says that they lie next to each other."""
    zero, ahead = k.constant(0, b.type, b.lanes), k.mul(b.step[1], k.constant(_CHANNELS_AHEAD, "i64"))
    with k.loop(0, k.parameters["channels"]) as c, k.loop(0, b.extent[0]) as d:
        at_d, inside_d = b.place(0, d.index)
        plane, to_plane = b.moved(source, (c.index, b.step[1]), (at_d, b.step[2])), b.to_moved(target, (c.index, b.to[1]), (d.index, b.to[2]))
        size, pair = k.select(inside_d, b.size[2], k.constant(0, "i64")), b.pair(sample, c.index)
        with k.loop(0, b.extent[2], b.lanes) as w:
            at = k.add(w.index, b.left)
            places = k.add(numbers(b.lanes), k.splat(at, b.lanes))
            filled, written = k.compare("ult", places, k.splat(size, b.lanes)), k.first_lanes(k.sub(b.extent[2], w.index), b.lanes)
            along, first = k.mul(places, k.splat(b.step[4], b.lanes)), k.address(plane, at, b.type)
            with k.loop(0, b.extent[1], carried=[k.address(to_plane, w.index, b.to_type)]) as h:
                at_h, inside_h = b.place(1, h.index)
                mask = k.and_(filled, k.splat(inside_h, b.lanes))
                if dense:
                    line = b.moved(first, (at_h, b.step[3]))
                    found = _read(k, line, b.kind, b.lanes, mask, pair)
                    k.prefetch(k.address(line, ahead, b.type))
                    if pair is not None:
                        k.prefetch(k.address(k.address(line, ahead, b.type), pair.step, b.type))
                else:
                    line = b.moved(plane, (at_h, b.step[3]))
                    lines = pair.lines(k, line) if pair is not None else None
                    bits = [k.gather(k.addresses(at, along, b.type), b.type, mask, zero) for at in ([line] if lines is None else lines[:2])]
                    found = value(k, bits[0], b.kind) if lines is None else lines.joined(k, *bits)
                k.masked_store(found, h.carried[0], written)
                h.next = [k.address(h.carried[0], b.to[3], b.to_type)]


class Work:
    """A job, or a stage of one, as values: a block of a group's samples, planes or lines, by the words of its call.

    A subclass says which: `group`, `outer` (the sample, where blocks are parts of one) and `block`. Calls name alike the words that are
    used here.
    """

    group: Value
    outer: Value
    block: Value

    def __init__(self, k: Builder, words: Any, kind: str, source: Source | None, room: Value) -> None:
        """`kind` is that of the image."""
        self.k, self.words, self.kind, self.source, self.room = k, words, kind, source, room

    def word(self, n: int) -> Value:
        return read_word(self.k, n, "ptr" if n <= self.words.WORKSPACE else "i64")

    def at(self, type: str, base: Value, *by: tuple[Value, int]) -> Value:
        """An address moved by so many times the words, in elements of a type."""
        for number, step in by:
            base = self.k.address(base, self.k.mul(number, self.word(step)), type)
        return base

    def near(self, word: int) -> Value:
        return self.k.address(self.room, self.word(word), "i8")

    def left(self, whole: int, each: int) -> Value:
        """How many there are in this block."""
        k = self.k
        return k.intrinsic("smin", self.word(each), k.sub(self.word(whole), k.mul(self.block, self.word(each))))

    def full(self, whole: Value) -> Value:
        """Of so many samples of which there is a second one, those from this block on."""
        k = self.k
        return k.sub(k.sub(whole, self.outer), k.mul(self.block, self.word(self.words.BLOCK_SAMPLES)))

    def image(self) -> Value:
        """The left side: in place, or brought near."""
        k, w = self.k, self.words
        a = self.at(memory_type(self.kind), self.word(w.A), (self.group, w.GROUP_A), (self.outer, w.OUTER_A), (self.block, w.BLOCK_A))
        if self.source is None:
            return a
        near = self.near(w.NEAR)
        depth, height = (k.add(self.word(first), k.mul(self.block, self.word(step))) for first, step in ((w.DEPTH, w.DEPTH_STEP), (w.HEIGHT, w.HEIGHT_STEP)))
        words = k.address(k.parameters["args"], w.BRING, "i64")
        full = [self.full(self.word(w.BRING + BringWord.FULL_SAMPLES)), self.word(w.BRING + BringWord.FULL_CHANNELS)]
        invoke(k, "bring", [words, a, near, self.left(w.SAMPLES, w.SAMPLES_EACH), self.word(w.CHANNELS), depth, height, *full])
        return near


class BroughtWord(IntEnum):
    """The words of a whole image that is brought: in a job some channels of a sample."""

    SOURCE = 0
    TARGET = auto()
    CHANNELS = auto()
    EACH = auto()  # channels of a job
    GROUPS = auto()  # jobs of a sample
    DEPTH = auto()
    HEIGHT = auto()
    JOBS = auto()  # in a chunk: two words
    BRING = JOBS + 2  # type: ignore[operator]


@lru_cache(maxsize=16)
def brought_kernel(kind: str, source: Source) -> Kernel:
    k = Builder("brought", [("ptr", "args"), ("i64", "chunk")])
    image, target = read_word(k, BroughtWord.SOURCE, "ptr"), read_word(k, BroughtWord.TARGET, "ptr")
    channels, each, groups, depth, height = (read_word(k, w) for w in range(BroughtWord.CHANNELS, BroughtWord.JOBS))
    words = k.address(k.parameters["args"], BroughtWord.BRING, "i64")
    b = [read_word(k, BroughtWord.BRING + w) for w in (BringWord.STEP, BringWord.STEP + 1, BringWord.TO, BringWord.TO + 1)]
    full = [read_word(k, BroughtWord.BRING + w) for w in (BringWord.FULL_SAMPLES, BringWord.FULL_CHANNELS)]
    with k.loop(*share(k, k.parameters["chunk"], BroughtWord.JOBS)) as job:
        n, group = divide(k, job.index, groups)
        first = k.mul(group, each)
        count = k.intrinsic("smin", each, k.sub(channels, first))
        from_ = k.address(image, k.add(k.mul(n, b[0]), k.mul(first, b[1])), memory_type(kind))
        to = k.address(target, k.add(k.mul(n, b[2]), k.mul(first, b[3])), register_type(kind))
        invoke(k, "bring", [words, from_, to, k.constant(1, "i64"), count, depth, height, k.sub(full[0], n), k.sub(full[1], first)])
    return kernel_of("brought", [k, bring(kind, source)])


class RelayoutWord(IntEnum):
    """The words of a relayout: ``target[o, p, j, i] = source[o, p, i, j]``, with i contiguous in the target."""

    SOURCE = 0
    TARGET = auto()
    O = auto()
    P = auto()
    I = auto()
    J = auto()
    SOURCE_O = auto()  # strides
    SOURCE_P = auto()
    SOURCE_I = auto()  # 1 if rows, else J is contiguous
    SOURCE_J = auto()
    TARGET_O = auto()
    TARGET_P = auto()
    TARGET_J = auto()
    TARGET_PANEL = auto()  # between panels of I, each of so many vectors
    PANEL_VECTORS = auto()
    SECOND = auto()
    FULL = auto()
    FULL_O = auto()
    FULL_J = auto()
    JOBS = auto()  # in a chunk: two words; O times the vectors that I makes
    END = JOBS + 2  # type: ignore[operator]


@lru_cache(maxsize=16)
def relayout_kernel(kind: str, rows: bool, packs: bool, out: str = "") -> Kernel:
    """`rows`: whether i is contiguous in the source, too. `packs`: whether whole vectors may be written where I ends within one. `out`: see `square`."""
    k = Builder("relayout", [("ptr", "args"), ("i64", "chunk")])
    lanes, type, to_type = lanes_of(kind), memory_type(kind), memory_type(out or register_type(kind))
    source, target = (read_word(k, n, "ptr") for n in (RelayoutWord.SOURCE, RelayoutWord.TARGET))
    word = {w: read_word(k, w) for w in RelayoutWord if RelayoutWord.O <= w < RelayoutWord.JOBS}
    vectors = k.binary("udiv", k.add(word[RelayoutWord.I], k.constant(lanes - 1, "i64")), k.constant(lanes, "i64"))
    with k.loop(*share(k, k.parameters["chunk"], RelayoutWord.JOBS)) as job:
        o, vector = divide(k, job.index, vectors)
        panel, inside = divide(k, vector, word[RelayoutWord.PANEL_VECTORS])
        i = k.mul(vector, k.constant(lanes, "i64"))
        from_o = k.address(source, k.add(k.mul(o, word[RelayoutWord.SOURCE_O]), k.mul(i, word[RelayoutWord.SOURCE_I])), type)
        column = k.add(k.mul(panel, word[RelayoutWord.TARGET_PANEL]), k.mul(inside, k.constant(lanes, "i64")))
        to_o = k.address(target, k.add(k.mul(o, word[RelayoutWord.TARGET_O]), column), to_type)
        left = k.sub(word[RelayoutWord.I], i)
        steps = [word[w] for w in (RelayoutWord.J, RelayoutWord.SOURCE_I, RelayoutWord.SOURCE_J, RelayoutWord.TARGET_J)]
        full = full_rows(k, o, [word[w] for w in (RelayoutWord.FULL, RelayoutWord.FULL_O, RelayoutWord.FULL_J)])
        with k.loop(0, word[RelayoutWord.P]) as p:
            from_p = k.address(from_o, k.mul(p.index, word[RelayoutWord.SOURCE_P]), type)
            to_p = k.address(to_o, k.mul(p.index, word[RelayoutWord.TARGET_P]), to_type)
            relayout_vector(k, kind, from_p, to_p, steps, left, rows, packs, (word[RelayoutWord.SECOND], full), out)
    return kernel_of("relayout", [k, copy_rows(kind) if rows else square(kind, out)])


def full_rows(k: Builder, o: Value, words: Sequence[Value]) -> Value:
    """How many j have the second one of a pair, by three words: how many o or j have it, and how o and j count there."""
    full, each_o, each_j = words
    return k.mul(k.sub(full, k.mul(o, each_o)), each_j)


def relayout_vector(
    k: Builder, kind: str, source: Value, target: Value, steps: list[Value], left: Value, rows: bool, packs: bool, pair: tuple[Value, Value], out: str = ""
) -> None:
    """One vector of i, of which there are `left`, for all j; `steps` are the extent of j, the source's strides of i and j, the target's of j.

    `pair` is how far the second one of a pair is, and how many j have one.
    """
    lanes = lanes_of(kind)
    length, step_i, step_j, to_j = steps
    zero, end = k.constant(0, "i64"), k.constant(lanes, "i64") if packs else left
    if rows:
        invoke(k, copy_rows_name(kind), [source, step_j, target, to_j, length, left, end, *pair])
        return
    to_type = memory_type(out or register_type(kind))
    with k.loop(0, length, lanes) as j:
        width = k.intrinsic("smin", k.sub(length, j.index), k.constant(lanes, "i64"))
        to = k.address(target, k.mul(j.index, to_j), to_type)
        invoke(k, square_name(kind, out), [k.address(source, j.index, memory_type(kind)), step_i, to, to_j, zero, left, width, width, zero, end, *pair])
