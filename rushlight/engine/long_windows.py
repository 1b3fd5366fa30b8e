"""Windows that are long along the last dim, of few places: a vector is 16 values of one window, not 16 places.

A window is a range along each spatial dim. Sums have an order of their own, whatever the strides: value ``i`` of a row goes to lane
``i % 16``, row after row, and the lanes are added in a tree. Of the maxima the first one in the order of rows is taken, or the
last nan; for them dims that a window covers whole, and that lie in memory as one, are taken as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from .emit import LANES, Builder, Value, module
from .kernel import Call, Kernel, Lowered, Pointer
from .taps import Dense

_HEADER = (
    "input", "output", "indices", "groups", "channels", "each", "depth", "height", "width", "in_n", "in_c", "in_d", "in_h", "in_w",
    "out_n", "out_c", "out_d", "out_h", "out_w", "flat_d", "flat_h", "d", "h", "w",
)  # fmt: skip
_POINTERS = 3
#: Values that a chunk should have at least, and how many chunks there are at most.
_CHUNK_WORK = 1 << 17
_CHUNKS_AT_MOST = 16
#: Windows shorter than this are left to vectors of places.
_LONG = 8


class _Dim(NamedTuple):
    """Where the windows along a dim begin and end, what their sums are divided by, and how far apart its values and its results lie."""

    begin: np.ndarray
    end: np.ndarray
    divisor: np.ndarray
    size: int
    source: int
    target: int


def lower(taps: Sequence[Dense], counts: Sequence[np.ndarray], sizes: Sequence[int], strides: Sequence[Sequence[int]], planes: tuple[int, int], type: str, maximum: bool) -> Lowered | None:
    """The call, or None where windows are short, or no ranges: for sums that depends on their shapes alone.

    All of three dims; `strides` are those of the input and of the output. Maxima are of rows that lie element by element.
    """
    dims = []
    for t, count, size, source, target in zip(taps, counts, sizes, strides[0][2:], strides[1][2:], strict=True):
        valid = t.places >= 0
        begin = np.where(valid, t.places, size).min(1)
        end = t.places.max(1) + 1
        if not (valid.any(1) & (end - begin == valid.sum(1))).all():
            return None
        dims.append(_Dim(begin, end, count, size, source, target))
    d, h, w = dims
    while maximum and len(w.begin) == 1 and w.begin[0] == 0 and w.end[0] == w.size and h.source == w.size and h.size > 1:
        w = _Dim(h.begin * w.size, h.end * w.size, h.divisor * w.divisor, h.size * w.size, 1, h.target)
        nothing = np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1), 1, 0, 0
        h, d = d, _Dim(*nothing)
    length = float((w.end - w.begin).mean())
    places = len(w.begin)
    if length < _LONG or places * -(-length // LANES) > -(-places // LANES) * length:
        return None
    extent = planes[0] * planes[1]
    work = extent * math.prod(float((dim.end - dim.begin).sum()) for dim in (d, h, w))
    by_channels = not maximum and w.source != 1 and strides[0][1] == 1 and planes[1] > 1
    if by_channels:
        extent = planes[0]
    each = -(-extent // max(1, min(int(work) // _CHUNK_WORK, _CHUNKS_AT_MOST, extent)))
    tables: list[int] = []
    found: dict[str, int | Pointer] = {}
    for name, dim in zip("dhw", (d, h, w), strict=True):
        found[name] = len(_HEADER) + len(tables)
        tables += np.stack([dim.begin, dim.end, np.asarray(dim.divisor, np.float64).view(np.int64)], 1).astype(np.int64).ravel().tolist()
    found.update(
        input=Pointer(0), output=Pointer(1), indices=Pointer(2) if maximum else 0, groups=extent, channels=planes[1], each=each,
        depth=len(d.begin), height=len(h.begin), width=places, in_n=strides[0][0], in_c=strides[0][1], in_d=d.source, in_h=h.source, in_w=w.source,
        out_n=strides[1][0], out_c=strides[1][1], out_d=d.target, out_h=h.target, out_w=w.target, flat_d=h.size * w.size, flat_h=w.size,
    )  # fmt: skip
    kernel = _channel_sums(type) if by_channels else _kernel(type, maximum, w.source == 1)
    return Lowered((Call(kernel, (*(found[name] for name in _HEADER), *tables), -(-extent // each)),))


def _words(k: Builder) -> dict[str, Value]:
    args = k.parameters["args"]
    return {name: k.load(k.address(args, n, "i64"), "ptr" if n < _POINTERS else "i64") for n, name in enumerate(_HEADER)}


def _window(k: Builder, table: Value, place: Value, type: str) -> tuple[Value, Value, Value]:
    """Where a window begins and ends along a dim, and its share of the divisor."""
    words = k.address(k.address(k.parameters["args"], table, "i64"), k.mul(place, k.constant(3, "i64")), "i64")
    begin, end = (k.load(k.address(words, n, "i64"), "i64") for n in range(2))
    return begin, end, k.convert(k.load(k.address(words, 2, "i64"), "double"), type)


@cache
def _channel_sums(type: str) -> Kernel:
    """Sums where channels lie side by side: 16 of them in a vector, and a vector for each lane that a window has elsewhere."""
    k = Builder("long_windows_channels", [("ptr", "args"), ("i64", "chunk")])
    w = _words(k)
    zero = k.constant(0, type, LANES)
    begin = k.mul(k.parameters["chunk"], w["each"])
    with k.loop(begin, k.intrinsic("smin", k.add(begin, w["each"]), w["groups"])) as n, k.loop(0, w["channels"], LANES) as c:
        channels = k.first_lanes(k.sub(w["channels"], c.index))
        source = k.add(k.mul(n.index, w["in_n"]), c.index)
        target = k.add(k.mul(n.index, w["out_n"]), k.mul(c.index, w["out_c"]))
        steps = k.mul(Value("<" + ", ".join(f"i64 {lane}" for lane in range(LANES)) + ">", "i64", LANES), k.splat(w["out_c"]))
        with k.loop(0, w["depth"]) as d, k.loop(0, w["height"]) as h, k.loop(0, w["width"]) as x:
            ranges = [_window(k, w[name], place.index, type) for name, place in zip("dhw", (d, h, x), strict=True)]
            (d0, d1, d_divisor), (h0, h1, h_divisor), (x0, x1, x_divisor) = ranges
            whole = k.add(x0, k.and_(k.sub(x1, x0), k.constant(-LANES, "i64")))
            with k.loop(d0, d1, 1, [zero] * LANES) as td:
                with k.loop(h0, h1, 1, td.carried) as th:
                    row = k.add(source, k.add(k.mul(td.index, w["in_d"]), k.mul(th.index, w["in_h"])))

                    def loaded(at: Value, mask: Value, row: Value = row) -> Value:
                        return k.masked_load(k.address(w["input"], k.add(row, k.mul(at, w["in_w"])), type), type, mask, zero)

                    with k.loop(x0, whole, LANES, th.carried) as at:
                        at.next = [k.add(total, loaded(k.add(at.index, k.constant(lane, "i64")), channels)) for lane, total in enumerate(at.carried)]
                    with k.loop(whole, x1, LANES, at.results) as rest:
                        nexts = []
                        for lane, total in enumerate(rest.carried):
                            place = k.add(rest.index, k.constant(lane, "i64"))
                            nexts.append(k.add(total, loaded(place, k.and_(channels, k.splat(k.compare("slt", place, x1))))))
                        rest.next = nexts
                    th.next = rest.results
                td.next = th.results
            totals = list(td.results)
            while len(totals) > 1:
                half = len(totals) // 2
                totals = [k.add(low, high) for low, high in zip(totals[:half], totals[half:], strict=True)]
            place = k.add(k.add(target, k.mul(d.index, w["out_d"])), k.add(k.mul(h.index, w["out_h"]), k.mul(x.index, w["out_w"])))
            found = k.div(totals[0], k.splat(k.mul(x_divisor, k.mul(d_divisor, h_divisor))))
            k.scatter(found, k.addresses(k.address(w["output"], place, type), steps, type), channels)
    return Kernel("long_windows_channels", module([k]))


@cache
def _kernel(type: str, maximum: bool, unit: bool) -> Kernel:
    name = f"long_windows_{'maxima' if maximum else 'sums'}"
    k = Builder(name, [("ptr", "args"), ("i64", "chunk")])
    w = _words(k)
    lanes = Value("<" + ", ".join(f"i32 {n}" for n in range(LANES)) + ">", "i32", LANES)
    numbers = Value(lanes.text.replace("i32", "i64"), "i64", LANES)
    zero = k.constant(0, type, LANES)

    def taken(value: Value, position: Value | None, mask: Value | None, carried: Sequence[Value]) -> list[Value]:
        if position is None:
            return [k.add(carried[0], value)]
        better = k.or_(k.compare("ogt", value, carried[0]), k.compare("uno", value, value))
        if mask is not None:
            better = k.and_(better, mask)
        return [k.select(better, value, carried[0]), k.select(better, position, carried[1])]

    def loaded(row: Value, at: Value, mask: Value | None) -> Value:
        if unit:
            here = k.address(row, at, type)
            return k.load(here, type, LANES) if mask is None else k.masked_load(here, type, mask, zero)
        places = k.mul(k.add(k.splat(at), numbers), k.splat(w["in_w"]))
        return k.gather(k.addresses(row, places, type), type, mask, zero)

    def along(row: Value, flat: Value, begin: Value, end: Value, carried: Sequence[Value]) -> Sequence[Value]:
        whole = k.add(begin, k.and_(k.sub(end, begin), k.constant(-LANES, "i64")))

        def position(at: Value) -> Value | None:
            return k.add(k.splat(k.convert(k.add(flat, at), "i32")), lanes) if maximum else None

        with k.loop(begin, whole, LANES, carried) as at:
            at.next = taken(loaded(row, at.index, None), position(at.index), None, at.carried)
        with k.loop(whole, end, LANES, at.results) as rest:
            mask = k.first_lanes(k.sub(end, rest.index))
            rest.next = taken(loaded(row, rest.index, mask), position(rest.index), mask, rest.carried)
        return rest.results

    begin = k.mul(k.parameters["chunk"], w["each"])
    with k.loop(begin, k.intrinsic("smin", k.add(begin, w["each"]), w["groups"])) as plane:
        n = k.binary("sdiv", plane.index, w["channels"])
        c = k.sub(plane.index, k.mul(n, w["channels"]))
        source, target = (k.add(k.mul(n, w[f"{side}_n"]), k.mul(c, w[f"{side}_c"])) for side in ("in", "out"))
        with k.loop(0, w["depth"]) as d, k.loop(0, w["height"]) as h, k.loop(0, w["width"]) as x:
            ranges = [_window(k, w[name], place.index, type) for name, place in zip("dhw", (d, h, x), strict=True)]
            (d0, d1, d_divisor), (h0, h1, h_divisor), (x0, x1, x_divisor) = ranges
            start = [zero]
            if maximum:
                first = k.add(k.add(k.mul(d0, w["flat_d"]), k.mul(h0, w["flat_h"])), x0)
                start = [k.constant(-math.inf, type, LANES), k.splat(k.convert(first, "i32"))]
            with k.loop(d0, d1, 1, start) as td:
                with k.loop(h0, h1, 1, td.carried) as th:
                    row = k.add(source, k.add(k.mul(td.index, w["in_d"]), k.mul(th.index, w["in_h"])))
                    flat = k.add(k.mul(td.index, w["flat_d"]), k.mul(th.index, w["flat_h"]))
                    th.next = along(k.address(w["input"], row, type), flat, x0, x1, th.carried)
                td.next = th.results
            place = k.add(k.add(target, k.mul(d.index, w["out_d"])), k.add(k.mul(h.index, w["out_h"]), k.mul(x.index, w["out_w"])))
            result = k.address(w["output"], place, type)
            if maximum:
                value, at = _best(k, *td.results)
                k.store(value, result)
                k.store(k.convert(at, "i64"), k.address(w["indices"], place, "i64"))
            else:
                k.store(k.div(k.reduced(td.results[0], k.add), k.mul(x_divisor, k.mul(d_divisor, h_divisor))), result)
    return Kernel(name, module([k]))


def _best(k: Builder, values: Value, positions: Value) -> tuple[Value, Value]:
    """Of the lanes the last nan, or the first of the largest values."""
    none, last = k.constant(-1, "i32", LANES), k.constant((1 << 31) - 1, "i32", LANES)
    largest = k.reduced(values, lambda a, b: k.select(k.compare("ogt", a, b), a, b))
    missing = k.compare("uno", values, values)
    last_nan = k.reduced(k.select(missing, positions, none), lambda a, b: k.intrinsic("smax", a, b))
    first = k.reduced(k.select(k.compare("oeq", values, k.splat(largest)), positions, last), lambda a, b: k.intrinsic("smin", a, b))
    some = k.compare("sge", last_nan, k.constant(0, "i32"))
    chosen = k.select(some, last_nan, first)
    wanted = k.select(k.splat(some), missing, k.compare("oeq", values, k.splat(largest)))
    bits = "i32" if values.type == "float" else "i64"
    here = k.select(k.and_(wanted, k.compare("eq", positions, k.splat(chosen))), k.bitcast(values, bits), k.constant(0, bits, LANES))
    return k.bitcast(k.reduced(here, k.or_), values.type), chosen
