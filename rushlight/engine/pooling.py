"""Windows over images: sums (averages, resampling, padding and all their gradients) and maxima with their positions.

Every such op is a table of taps for each spatial dim (taps.py). A sum adds up the taps along the last dim, then these
sums along the dim before, and so on, each from 0 and in the order of the taps, weights multiplied before: the bits that
NumPy gives, dim by dim. Of a window's maxima the first one in the order of rows is taken, or the last nan.

Two kernels, chosen by strides, with the same bits. "Places": a vector is 16 places of the last dim, of one channel; the
loops are planes, rows and blocks of a row. "Channels" (channels last): a vector is 16 channels of one place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..shape import Layout
from . import long_windows
from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .lowering import FLOATING
from .taps import NO_DIM, PATTERNS, Appended, Dense, add_lanes, add_rows, dense
from .terms import MEMORY

if TYPE_CHECKING:
    from ..ops.card import Plan
    from ..ops.separable import Table

#: Taps that a chunk should have at least, and how many chunks there are at most.
_CHUNK_WORK = 1 << 17
_CHUNKS_AT_MOST = 16
#: Vectors of channels that are worked on together.
_VECTORS = 4
#: Words beyond which a table is not worth carrying.
_WORDS_AT_MOST = 1 << 16


class _Variant(NamedTuple):
    """What a kernel's code depends on."""

    type: str
    maximum: bool
    weighted: bool = False
    divided: str = ""  # "before": every value that is taken, "after": the sums
    channels: bool = False


_HEADER = (
    "input", "output", "indices", "groups", "channels", "each", "parts", "rows_each", "depth", "height", "width", "blocks", "taps",
    "in_n", "in_c", "in_d", "in_h", "in_w", "out_n", "out_c", "out_d", "out_h", "out_w", "plane_h", "plane_w",
    "d_starts", "d_taps", "h_starts", "h_taps", "w_records", "w_places", "w_factors", "d_counts", "h_counts", "w_counts",
)  # fmt: skip
_POINTERS = ("input", "output", "indices")


def sums(plan: Plan, tables: Sequence[Table], counts: Sequence[np.ndarray] | None = None, divided: str = "") -> Lowered | None:
    """The sum of the taps along each of the last dims.

    counts: for each dim what is divided by; the product of these divides the sums ("after"), or the values ("before").
    """
    taps = [dense(t) for t in tables]
    weighted = any(t.weight is not None for t in taps)
    assert not (weighted and divided == "before")
    if counts is not None and math.prod(float(np.abs(c).max(initial=1)) for c in counts) >= 1 << 24:
        return None
    return _lower(plan, taps, _Variant("", False, weighted, divided), counts)


def maxima(plan: Plan, tables: Sequence[Table]) -> Lowered | None:
    """The largest value of each window, and its flat position."""
    taps = [dense(t) for t in tables]
    if not all(t.complete for t in taps) or math.prod(t.size for t in tables) >= 1 << 31:
        return None
    return _lower(plan, taps, _Variant("", True), None)


def _lower(plan: Plan, taps: list[Dense], variant: _Variant, counts: Sequence[np.ndarray] | None) -> Lowered | None:
    (input,) = plan.operands
    out = plan.outs[0]
    n = len(taps)
    if input.dtype not in FLOATING or out.dtype is not input.dtype or not n < input.ndim <= n + 2 or not out.numel:
        return None
    if any(a != b for o in plan.outs for size, a, b in zip(out.shape, o.stride, out.stride, strict=True) if size > 1):
        return None
    groups, channels = (1, input.shape[0]) if input.ndim == n + 1 else input.shape[:2]
    strides = [_spread(l, n) for l in (input, out)]
    # In a dim of one channel or one place any stride will do.
    by_channels = all(s[1] == 1 for s in strides) and channels > 1 and (strides[0][4] != 1 or input.shape[-1] == 1)
    variant = variant._replace(type=MEMORY[input.dtype], channels=by_channels)
    taps = [NO_DIM] * (3 - n) + taps
    if (variant.divided == "after" and not variant.weighted) or (variant.maximum and not by_channels and strides[0][4] == 1):
        divisors = [np.ones(1)] * (3 - n) + list(counts) if counts is not None else [np.ones(len(t.places)) for t in taps]
        sizes = (1,) * (3 - n) + input.shape[-n:]
        found_long = long_windows.lower(taps, divisors, sizes, strides, (groups, channels), variant.type, variant.maximum)
        if found_long is not None:
            return found_long
    if not by_channels and strides[1][4] != 1 and out.shape[-1] != 1:
        return None
    if not by_channels and input.shape[-1] * abs(strides[0][4]) >= 1 << 31:
        return None
    depth, height, width = (len(t.places) for t in taps)
    factors = [np.ones((3, 1))] * 3 if not variant.divided else [np.ones(1)] * (3 - n) + [c.astype(np.float64) for c in counts or ()]

    words = Appended(len(_HEADER))
    found: dict[str, int | Pointer] = {}
    kinds = np.float32 if variant.type == "float" else np.float64
    for name, t, c in zip("dhw", taps, factors, strict=True):
        of_taps = t.weight
        if variant.weighted and of_taps is None:
            of_taps = np.ones(t.places.shape)
        if of_taps is not None:
            of_taps = of_taps.astype(kinds)
        if variant.divided == "before":
            of_taps = c[np.maximum(t.places, 0)]
        if name == "w" and not by_channels:
            found["w_records"], found["w_places"], found["w_factors"] = add_lanes(words, t, of_taps, kinds, strides[0][4] == 1)
        elif name == "w":
            found["w_records"], found["w_places"] = add_rows(words, t, of_taps)
        else:
            found[f"{name}_starts"], found[f"{name}_taps"] = add_rows(words, t, of_taps)
        if variant.divided == "after":
            last = name == "w" and not by_channels
            found[f"{name}_counts"] = words.add(np.pad(c, (0, -len(c) % LANES), constant_values=1).astype(kinds) if last else c)
        elif variant.maximum and name == "w" and not by_channels:
            first = t.places[np.arange(width), np.argmax(t.places >= 0, 1)].astype(np.int32)
            found["w_counts"] = words.add(np.pad(first, (0, -width % LANES)))
    if len(words.words) > _WORDS_AT_MOST:
        return None

    # Chunks are some samples or planes, or some rows of each where there are few of them.
    extent = groups if by_channels else groups * channels
    work = math.prod(out.shape) * math.prod(t.places.shape[1] for t in taps)
    chunks = min(max(work // _CHUNK_WORK, 1), _CHUNKS_AT_MOST)
    parts = 1 if extent >= chunks else min(-(-chunks // extent), height)
    rows_each = -(-height // parts)
    parts = -(-height // rows_each)
    each = -(-extent // max(1, min(chunks // parts, extent)))
    found.update(
        input=Pointer(0), output=Pointer(1), indices=Pointer(2) if variant.maximum else 0,
        groups=extent, channels=channels, each=each, parts=parts, rows_each=rows_each,
        depth=depth, height=height, width=width, blocks=-(-width // LANES), taps=taps[2].places.shape[1],
        plane_h=input.shape[-2] if n > 1 else 1, plane_w=input.shape[-1],
    )  # fmt: skip
    for side, s in zip(("in", "out"), strides, strict=True):
        found.update({f"{side}_{name}": value for name, value in zip("ncdhw", s, strict=True)})
    call = Call(_kernel(variant), (*(found.get(name, 0) for name in _HEADER), *words.words), -(-extent // each) * parts)
    return Lowered((call,))


def _spread(layout: Layout, n: int) -> list[int]:
    """The strides of samples, channels, and three spatial dims."""
    lead, spatial = layout.stride[:-n], layout.stride[-n:]
    return [*[0] * (2 - len(lead)), *lead, *[0] * (3 - n), *spatial]


@cache
def _kernel(variant: _Variant) -> Kernel:
    writer = _Writer(variant)
    return Kernel(writer.k.name, module([writer.write()]))


class _Writer:
    def __init__(self, variant: _Variant) -> None:
        self.variant = variant
        what = "maxima" if variant.maximum else "sums"
        self.k = Builder(f"window_{what}_{'channels' if variant.channels else 'places'}", [("ptr", "args"), ("i64", "chunk")])
        args = self.k.parameters["args"]
        self.args = args
        self.w = {name: self.k.load(self.k.address(args, n, "i64"), "ptr" if name in _POINTERS else "i64") for n, name in enumerate(_HEADER)}

    def write(self) -> Builder:
        k, w, variant = self.k, self.w, self.variant
        chunk = k.parameters["chunk"]
        group = k.binary("sdiv", chunk, w["parts"])
        part = k.sub(chunk, k.mul(group, w["parts"]))
        begin, first_row = k.mul(group, w["each"]), k.mul(part, w["rows_each"])
        end = k.intrinsic("smin", k.add(begin, w["each"]), w["groups"])
        last_row = k.intrinsic("smin", k.add(first_row, w["rows_each"]), w["height"])
        with k.loop(begin, end) as at:
            if variant.channels:
                sources, targets = k.mul(at.index, w["in_n"]), k.mul(at.index, w["out_n"])
            else:
                n = k.binary("sdiv", at.index, w["channels"])
                c = k.sub(at.index, k.mul(n, w["channels"]))
                sources, targets = (k.add(k.mul(n, w[f"{s}_n"]), k.mul(c, w[f"{s}_c"])) for s in ("in", "out"))
            self.source = k.address(w["input"], sources, variant.type)
            with k.loop(0, w["depth"]) as d:
                self.d = self._range("d", d.index)
                with k.loop(first_row, last_row) as h:
                    self.h = self._range("h", h.index)
                    target = k.add(k.add(targets, k.mul(d.index, w["out_d"])), k.mul(h.index, w["out_h"]))
                    if variant.divided == "after":
                        self.rows = k.mul(self._count("d", d.index), self._count("h", h.index))
                    if variant.maximum:
                        self.first_row = self._flat(self._first("d", self.d), self._first("h", self.h))
                    if variant.channels:
                        self._row_of_channels(target)
                    else:
                        self._row_of_places(target)
        return k

    # Tables

    def _table(self, name: str) -> Value:
        return self.k.address(self.args, self.w[name], "i64")

    def _range(self, name: str, place: Value) -> tuple[Value, Value]:
        """The numbers of a place's first tap and of the one behind its last."""
        k = self.k
        starts = k.address(self._table({"d": "d_starts", "h": "h_starts", "w": "w_records"}[name]), place, "i64")
        return k.load(starts, "i64"), k.load(k.address(starts, 1, "i64"), "i64")

    def _tap(self, name: str, number: Value) -> tuple[Value, Value]:
        """What a tap of rows takes, and its factor."""
        k = self.k
        pair = k.address(self._table({"d": "d_taps", "h": "h_taps", "w": "w_places"}[name]), k.shl(number, 1), "i64")
        return k.load(pair, "i64"), k.convert(k.load(k.address(pair, 1, "i64"), "double"), self.variant.type)

    def _first(self, name: str, taps: tuple[Value, Value]) -> Value:
        return self._tap(name, taps[0])[0]

    def _count(self, name: str, place: Value) -> Value:
        k = self.k
        return k.convert(k.load(k.address(self._table(f"{name}_counts"), place, "i64"), "double"), self.variant.type)

    def _flat(self, d: Value, h: Value) -> Value:
        """The flat position of a row's first place."""
        k = self.k
        return k.convert(k.mul(k.add(k.mul(d, self.w["plane_h"]), h), self.w["plane_w"]), "i32")

    # Loops over the taps

    def _over_rows(self, start: Sequence[Value], along: object) -> Sequence[Value]:
        """Carry values over the rows that a window has; ``along(pointer, factor, first, carried)`` does one of them."""
        k, w, variant = self.k, self.w, self.variant
        with k.loop(*self.d, carried=start) as td:
            d, d_factor = self._tap("d", td.index)
            plane = k.address(self.source, k.mul(d, w["in_d"]), variant.type)
            with k.loop(*self.h, carried=td.carried if variant.maximum else start) as th:
                h, h_factor = self._tap("h", th.index)
                row = k.address(plane, k.mul(h, w["in_h"]), variant.type)
                if variant.maximum:
                    th.next = along(row, None, self._flat(d, h), th.carried)  # type: ignore[operator]
                else:
                    found = along(row, k.mul(d_factor, h_factor), None, start)  # type: ignore[operator]
                    th.next = self._added(th.carried, found, h_factor)
            td.next = th.results if variant.maximum else self._added(td.carried, th.results, d_factor)
        return td.results

    def _added(self, totals: Sequence[Value], found: Sequence[Value], factor: Value) -> list[Value]:
        k = self.k
        return [k.add(total, k.mul(f, factor) if self.variant.weighted else f) for total, f in zip(totals, found, strict=True)]

    def _taken(self, value: Value, row_factor: Value | None, factor: Value | None) -> Value:
        """A value with the weight of its tap, or divided by its count."""
        k, variant = self.k, self.variant
        if variant.weighted:
            assert factor is not None
            return k.mul(value, factor)
        if variant.divided == "before":
            assert factor is not None and row_factor is not None
            return k.div(value, k.mul(factor, row_factor))
        return value

    def _better(self, value: Value, position: Value, carried: Sequence[Value], mask: Value | None) -> list[Value]:
        k = self.k
        better = k.or_(k.compare("ogt", value, carried[0]), k.compare("uno", value, value))
        if mask is not None:
            better = k.and_(better, mask)
        return [k.select(better, value, carried[0]), k.select(better, position, carried[1])]

    def _start(self, first: Value) -> list[Value]:
        """What the taps are added to or compared with; `first` is the window's first position."""
        k, type = self.k, self.variant.type
        if not self.variant.maximum:
            return [k.constant(0, type, LANES)]
        return [k.constant(-math.inf, type, LANES), first]

    def _store(self, found: Sequence[Value], place: Value, mask: Value | None) -> None:
        k = self.k
        targets = [(found[0], k.address(self.w["output"], place, self.variant.type))]
        if self.variant.maximum:
            targets.append((k.convert(found[1], "i64"), k.address(self.w["indices"], place, "i64")))
        for value, pointer in targets:
            if mask is None:
                k.store(value, pointer)
            else:
                k.masked_store(value, pointer, mask)

    # A row of results

    def _row_of_places(self, target: Value) -> None:
        k, w, variant = self.k, self.w, self.variant
        records, places = self._table("w_records"), self._table("w_places")
        factors = self._table("w_factors") if variant.weighted or variant.divided == "before" else None
        counts = self._table("w_counts") if variant.maximum or variant.divided == "after" else None
        with k.loop(0, w["blocks"]) as block:
            at = k.shl(block.index, 4)
            first = self.args
            if variant.maximum:
                assert counts is not None
                first = k.add(k.load(k.address(counts, at, "i32"), "i32", LANES), k.splat(self.first_row))

            def along(row: Value, row_factor: Value | None, flat: Value | None, carried: Sequence[Value]) -> Sequence[Value]:
                with k.loop(0, w["taps"], carried=carried) as t:
                    number = k.add(k.mul(t.index, w["blocks"]), block.index)
                    record = k.address(records, k.shl(number, 1), "i64")
                    value, place, mask = self._lanes(row, record, k.address(places, k.shl(number, 4), "i32"))
                    if variant.maximum:
                        assert flat is not None
                        t.next = self._better(value, k.add(place, k.splat(flat)), t.carried, mask)
                    else:
                        factor = k.load(k.address(factors, k.shl(number, 4), variant.type), variant.type, LANES) if factors else None
                        t.next = [k.add(t.carried[0], self._taken(value, row_factor, factor))]
                return t.results

            found = list(self._over_rows(self._start(first), along))
            if variant.divided == "after":
                assert counts is not None
                found[0] = k.div(found[0], k.mul(k.load(k.address(counts, at, variant.type), variant.type, LANES), k.splat(self.rows)))
            self._store(found, k.add(target, at), k.first_lanes(k.sub(w["width"], at)))

    def _lanes(self, row: Value, record: Value, places: Value) -> tuple[Value, Value, Value]:
        """What 16 places take from a row (0 for nothing), which places that is, and the lanes that take something."""
        k, type = self.k, self.variant.type
        kind, start, loaded, lanes = (k.load(k.address(record, n, "i32"), "i32") for n in range(4))
        mask = self._mask(lanes, LANES)
        base = k.address(row, k.convert(start, "i64"), type)
        done = k.fresh("taken")
        found: list[tuple[str, Value, Value]] = []
        for number, pattern in enumerate(PATTERNS, 1):
            here, other = k.fresh("pattern"), k.fresh("other")
            k.branch(k.compare("eq", kind, k.constant(number, "i32")), here, other)
            k.label(here)
            size = -(-(max(pattern) + 1) // LANES) * LANES
            value = k.masked_load(base, type, self._mask(loaded, size), k.constant(0, type, size))
            if pattern != tuple(range(size)):
                value = k.shuffle(value, pattern)
            if len(set(pattern)) < LANES:
                value = k.select(mask, value, k.constant(0, type, LANES))  # a place may be taken by one of its two lanes only
            offsets = Value("<" + ", ".join(f"i32 {n}" for n in pattern) + ">", "i32", LANES)
            found.append((k.block, value, k.add(k.splat(start), offsets)))
            k.jump(done)
            k.label(other)
        place = k.load(places, "i32", LANES)
        offset = k.mul(place, k.splat(k.convert(self.w["in_w"], "i32")))
        found.append((k.block, k.gather(k.addresses(row, offset, type), type, mask, k.constant(0, type, LANES)), place))
        k.jump(done)
        k.label(done)
        value, place = (
            k.new(f"phi {found[0][n].ir} " + ", ".join(f"[{f[n].text}, %{f[0]}]" for f in found), found[0][n].type, LANES)  # type: ignore[union-attr]
            for n in (1, 2)
        )
        return value, place, mask

    def _mask(self, bits: Value, lanes: int) -> Value:
        """Bits as lanes."""
        k = self.k
        if lanes < 32:
            bits = k.new(f"trunc i32 {bits.text} to i{lanes}", f"i{lanes}")
        return k.new(f"bitcast i{lanes} {bits.text} to <{lanes} x i1>", "i1", lanes)

    def _row_of_channels(self, target: Value) -> None:
        k, w, variant = self.k, self.w, self.variant
        with k.loop(0, w["width"]) as place:
            taps = self._range("w", place.index)
            to = k.add(target, k.mul(place.index, w["out_w"]))
            first = count = self.args
            if variant.maximum:
                first = k.splat(k.add(self.first_row, k.convert(self._first("w", taps), "i32")))
            if variant.divided == "after":
                count = k.splat(k.mul(self._count("w", place.index), self.rows))
            step = LANES * _VECTORS
            whole = k.and_(w["channels"], k.constant(-step, "i64"))
            with k.loop(0, whole, step) as c:
                self._channels(taps, to, c.index, first, count, _VECTORS)
            with k.loop(whole, w["channels"], LANES) as c:
                self._channels(taps, to, c.index, first, count, 1, k.first_lanes(k.sub(w["channels"], c.index)))

    def _channels(self, taps: tuple[Value, Value], target: Value, channel: Value, first: Value, count: Value, vectors: int, mask: Value | None = None) -> None:
        """One place of some vectors of channels."""
        k, w, variant = self.k, self.w, self.variant

        def along(row: Value, row_factor: Value | None, flat: Value | None, carried: Sequence[Value]) -> Sequence[Value]:
            with k.loop(*taps, carried=carried) as t:
                at, factor = self._tap("w", t.index)
                pointer = k.address(row, k.add(k.mul(at, w["in_w"]), channel), variant.type)
                values = []
                for v in range(vectors):
                    here = k.address(pointer, v * LANES, variant.type)
                    zero = k.constant(0, variant.type, LANES)
                    values.append(k.load(here, variant.type, LANES) if mask is None else k.masked_load(here, variant.type, mask, zero))
                if variant.maximum:
                    assert flat is not None
                    position = k.splat(k.add(flat, k.convert(at, "i32")))
                    better = [self._better(value, position, t.carried[v::vectors], None) for v, value in enumerate(values)]
                    t.next = [b[n] for n in (0, 1) for b in better]
                else:
                    t.next = [k.add(t.carried[v], self._taken(value, row_factor, factor)) for v, value in enumerate(values)]
            return t.results

        start = [value for value in self._start(first) for _ in range(vectors)]
        found = self._over_rows(start, along)
        for v in range(vectors):
            each = list(found[v::vectors])
            if variant.divided == "after":
                each[0] = k.div(each[0], count)
            self._store(each, k.add(k.add(target, channel), k.constant(v * LANES, "i64")), mask)


# Back from maxima

_SCATTER_HEADER = (
    "values", "indices", "output", "groups", "channels", "each", "depth", "height", "width",
    "v_n", "v_c", "v_d", "v_h", "v_w", "i_n", "i_c", "i_d", "i_h", "i_w", "out_n", "out_c", "out_w", "size",
)  # fmt: skip


def scattered(plan: Plan, size: Sequence[int], accumulate: bool) -> Lowered | None:
    """Values at flat positions of their planes, zeros elsewhere; those that meet add up, or the last one stays. In order."""
    values, indices = plan.operands
    (out,) = plan.outs
    n = len(size)
    if values.dtype not in FLOATING or out.dtype is not values.dtype or not n < values.ndim <= n + 2 or values.shape != indices.shape:
        return None
    strides = [_spread(l, n) for l in (values, indices, out)]
    channels_last = not out.contiguous
    if channels_last and (strides[2][1] != 1 or values.ndim != n + 2):
        return None
    groups, channels = (1, values.shape[0]) if values.ndim == n + 1 else values.shape[:2]
    plane = math.prod(size)
    extent = groups if channels_last else groups * channels
    each = -(-extent // min(extent, _CHUNKS_AT_MOST, max(1, out.numel // _CHUNK_WORK)))
    spatial = [1] * (3 - n) + list(values.shape[-n:])
    found: dict[str, int | Pointer] = {
        "values": Pointer(0), "indices": Pointer(1), "output": Pointer(2), "groups": extent, "channels": channels, "each": each,
        "depth": spatial[0], "height": spatial[1], "width": spatial[2], "size": plane * (channels if channels_last else 1),
    }  # fmt: skip
    for side, s in zip(("v", "i"), strides, strict=False):
        found.update({f"{side}_{name}": value for name, value in zip("ncdhw", s, strict=True)})
    out_c, out_w = (1, channels) if channels_last else (plane, 1)
    found.update(out_n=plane * channels, out_c=out_c, out_w=out_w)
    return Lowered((Call(_scatter_kernel(MEMORY[values.dtype], accumulate, channels_last), tuple(found[name] for name in _SCATTER_HEADER), -(-extent // each)),))


@cache
def _scatter_kernel(type: str, accumulate: bool, channels_last: bool) -> Kernel:
    k = Builder("window_scatter", [("ptr", "args"), ("i64", "chunk")])
    w = {name: k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n, name in enumerate(_SCATTER_HEADER)}
    begin = k.mul(k.parameters["chunk"], w["each"])
    none, one = k.constant(0, "i64"), k.constant(1, "i64")
    with k.loop(begin, k.intrinsic("smin", k.add(begin, w["each"]), w["groups"])) as at:
        n, c = at.index, none
        if not channels_last:
            n = k.binary("sdiv", at.index, w["channels"])
            c = k.sub(at.index, k.mul(n, w["channels"]))
        values, indices = (k.address(w[name], k.add(k.mul(n, w[f"{s}_n"]), k.mul(c, w[f"{s}_c"])), t) for name, s, t in (("values", "v", type), ("indices", "i", "i64")))
        target = k.address(w["output"], k.add(k.mul(n, w["out_n"]), k.mul(c, w["out_c"])), type)
        with k.loop(0, w["size"], LANES) as fill:
            k.masked_store(k.constant(0, type, LANES), k.address(target, fill.index, type), k.first_lanes(k.sub(w["size"], fill.index)))
        with k.loop(0, w["depth"]) as d, k.loop(0, w["height"]) as h, k.loop(0, w["width"]) as x, k.loop(0, w["channels"] if channels_last else one) as inner:

            def element(base: Value, side: str, t: str) -> Value:
                steps = [(d, "d"), (h, "h"), (x, "w"), *([(inner, "c")] if channels_last else [])]
                offset = none
                for loop, name in steps:
                    offset = k.add(offset, k.mul(loop.index, w[f"{side}_{name}"]))
                return k.load(k.address(base, offset, t), t)

            place = k.add(k.mul(element(indices, "i", "i64"), w["out_w"]), inner.index)
            pointer = k.address(target, place, type)
            value = element(values, "v", type)
            k.store(k.add(k.load(pointer, type), value) if accumulate else value, pointer)
    return Kernel("window_scatter", module([k]))
