"""Attention in bfloat16, where the processor multiplies pairs of it: the same tiles as attention.py, with half as many steps.

    scores                pairs are elements of a head, next to each other: keys and values as rows, queries and gradients across the lanes
    what weights add up   pairs are two keys or two queries: rows of these, two and two as one, and weights rounded to bfloat16

A job is a head, or some of its queries; chunks claim them one by one (claims.py). It first makes its keys and values dense, in both forms as
it needs them, in the chunk's own part of the workspace; there the gradients of keys and values are summed, too. Sums, maxima, exponentials
and the logsumexp are float32.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import cache

from .. import dtypes as dt
from ..shape import Layout
from . import llvm
from .attention import (
    BACKWARD,
    BLOCK,
    FORWARD,
    GROUP,
    HEAD_AT_MOST,
    NUMBERS,
    HeadKernel,
    Index,
    Rows,
    Writer,
    mask_type_of,
    named,
    strided,
    words_of,
)
from .claims import claimed, claims
from .elements import add_products, paired, round_sums
from .emit import LANES, Builder, Loop, Value, module
from .gemm_kernel import divide
from .gemm_pack import PairOfLines
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer

#: From so many heads on, a job is a whole one.
_ENOUGH_HEADS = 8
_MOST_CHUNKS = 16


def lower_forward(*layouts: Layout, scale: float, is_causal: bool) -> Lowered | None:
    """See `attention.lower_forward`."""
    operands = named(FORWARD, layouts)
    if not _is_native(operands):
        return None
    batch, heads, queries, head = operands["query"].shape
    groups = 1 if batch * heads >= _ENOUGH_HEADS else -(-queries // (LANES * GROUP))
    return _lowered(_forward_kernel(head, is_causal, mask_type_of(operands)), operands, groups, scale, _ROOM_FORWARD)


def lower_backward(*layouts: Layout, scale: float, is_causal: bool) -> Lowered | None:
    """See `attention.lower_backward`."""
    operands = named(BACKWARD, layouts)
    if not _is_native(operands):
        return None
    head = operands["query"].shape[3]
    return _lowered(_backward_kernel(head, is_causal, mask_type_of(operands)), operands, 1, scale, _ROOM_BACKWARD)


#: Bytes that the forward and the backward have for an element of a key: two forms of bfloat16, or three and two sums.
_ROOM_FORWARD, _ROOM_BACKWARD = 4, 14


def _lowered(kernel: Kernel, operands: dict[str, Layout], groups: int, scale: float, room: int) -> Lowered:
    batch, heads, _, head = operands["query"].shape
    keys = -(-operands["key"].shape[2] // LANES) * LANES
    jobs = batch * heads * groups
    chunks = min(jobs, _MOST_CHUNKS)
    own = keys * head * room
    words = (*words_of(operands, groups, scale), Pointer(WORKSPACE), own, *claims(jobs, chunks))
    return Lowered((Call(kernel, words, chunks),), own * chunks)


def _is_native(operands: dict[str, Layout]) -> bool:
    """Whether heads are whole vectors of bfloat16, and a mask is of it or says yes or no."""
    types: dict[str, tuple[dt.dtype, ...]] = {"logsumexp": (dt.float32,), "mask": (dt.bfloat16, dt.bool_)}
    head = operands["query"].shape[3]
    return (
        llvm.multiplies_pairs()
        and all(o.dtype in types.get(name, (dt.bfloat16,)) for name, o in operands.items())
        and all(operands[name].stride[3] == 1 or operands[name].shape[3] == 1 for name in strided(list(operands)))
        and operands["query"].numel > 0
        and operands["key"].numel > 0
        and head % LANES == 0
        and head <= HEAD_AT_MOST
    )


class _Writer(Writer):
    """A writer of products of pairs. A pair is as large as a float, so that rows of both are addressed alike."""

    multiplied = "i32"

    def factor(self, pointer: Value, mask: Value | None) -> Value:
        return self.load(pointer, "i32", LANES)

    def plus_product(self, a: Value, b: Value, total: Value) -> Value:
        return add_products(self, a, b, total)


def _scores(head: int) -> Writer:
    """``c = a @ b``: 16 dense rows of a head by its elements, by what lies across."""
    k = _Writer("scores", [("ptr", "a"), ("ptr", "b"), ("ptr", "c")], head)
    p = k.parameters
    k.product(p["a"], head // 2, 1, Rows(p["b"], LANES), head // 2, Rows(p["c"], LANES), [None], False)
    return k


def _accumulate(head: int, across: bool) -> Writer:
    """``c += a @ b`` where c is 16 dense rows of sums, b `count` rows of pairs and a a tile of pairs of weights: across, or in rows of 8."""
    k = _Writer("accumulate_across" if across else "accumulate", [("ptr", "a"), ("ptr", "b"), ("i64", "count"), ("ptr", "c")], head)
    p = k.parameters
    row, column = (1, LANES) if across else (LANES // 2, 1)
    count: Index = p["count"] if across else LANES // 2

    def part(element: Index, masks: object) -> None:
        b, c = (Rows(k.address(p[name], element, "float"), head) for name in ("b", "c"))
        k.product(p["a"], row, column, b, count, c, masks, True)  # type: ignore[arg-type]

    k.vectors(part, 2)
    return k


_MOVE = (("ptr", "source"), ("i64", "step"), ("i64", "count"), ("ptr", "target"))


def _across(head: int) -> Writer:
    """Sixteen rows with the rows across the lanes, by pairs of elements. Where there are only `count` rows the last is repeated."""
    k = Writer("across", _MOVE, head)
    p = k.parameters
    last = k.sub(p["count"], k.index(1))
    starts = [k.address(p["source"], k.mul(k.least(r, last), p["step"]), "i16") for r in range(LANES)]
    with k.loop(0, head // 2, LANES) as turn:
        mask = k.first_lanes(k.sub(k.index(head // 2), turn.index)) if head // 2 % LANES else None
        target = k.row_of(p["target"], turn.index)
        for n, column in enumerate(k.transpose([_get(k, k.address(s, turn.index, "i32"), mask) for s in starts])):
            k.store(column, k.row_of(target, n))
    return k


def _get(k: Builder, address: Value, mask: Value | None) -> Value:
    return k.load(address, "i32", LANES) if mask is None else k.masked_load(address, "i32", mask, k.constant(0, "i32", LANES))


def _dense(head: int) -> Writer:
    """Rows next to each other, and zeros in those that fill up sixteen."""
    k = Writer("dense", _MOVE, head)
    p, steps = k.parameters, range(0, head // 2, LANES)
    masks = [k.first_lanes(k.index(head // 2 - n)) if head // 2 - n < LANES else None for n in steps]

    def put(row: Value, source: Value | None) -> None:
        for n, mask in zip(steps, masks, strict=True):
            found = _get(k, k.address(source, n, "i32"), mask) if source else k.constant(0, "i32", LANES)
            place = k.address(k.address(p["target"], k.mul(row, k.index(head // 2)), "i32"), n, "i32")
            if mask is None:
                k.store(found, place)
            else:
                k.masked_store(found, place, mask)

    with k.loop(0, p["count"], carried=[p["source"]]) as turn:
        put(turn.index, turn.carried[0])
        turn.next = [k.address(turn.carried[0], p["step"], "i16")]
    with k.loop(p["count"], _whole(k, p["count"])) as turn:
        put(turn.index, None)
    return k


def _paired_rows(head: int) -> Writer:
    """Two rows as one of pairs, and zeros in those that fill up sixteen."""
    k = Writer("paired_rows", _MOVE, head)
    p = k.parameters
    with k.loop(0, p["count"], 2, carried=[p["source"], p["target"]]) as turn:
        source, target = turn.carried
        pair = PairOfLines.at(k, source, p["step"], turn.index, p["count"])
        for n in range(0, head, LANES):
            k.store(pair.load(k, n, None), k.address(target, n, "i32"))
        turn.next = [k.address(source, k.shl(p["step"], 1), "i16"), k.address(target, head, "i32")]
    pairs = k.lshr(k.add(p["count"], k.index(1)), 1)
    with k.loop(pairs, k.lshr(_whole(k, p["count"]), 1)) as turn:
        for n in range(0, head, LANES):
            k.store(k.constant(0, "i32", LANES), k.address(k.address(p["target"], k.mul(turn.index, k.index(head)), "i32"), n, "i32"))
    return k


def _whole(k: Builder, count: Value) -> Value:
    """As many as fill up sixteen."""
    return k.and_(k.add(count, k.constant(LANES - 1, "i64")), k.constant(-LANES, "i64"))


class _Kernel(HeadKernel):
    kind = "bf16"

    def __init__(self, name: str, names: tuple[str, ...], head: int, causal: bool, mask_type: str) -> None:
        super().__init__(name, names, head, causal, mask_type)
        self.scores, self.accumulate_across, self.across = _scores(head), _accumulate(head, True), _across(head)
        self.dense, self.paired_rows = _dense(head), _paired_rows(head)
        self.own_words = len(self.names) + len(NUMBERS) + 3 * len(strided(self.names))
        own = self.mul(self.parameters["chunk"], self.word(self.own_words + 1, "i64"))
        self.room = self.address(self.word(self.own_words, "ptr"), own, "i8")

    @property
    def functions(self) -> list[Builder]:
        return [self.scores, self.accumulate_across, self.across, self.dense, self.paired_rows]

    def jobs(self) -> AbstractContextManager[Loop]:
        return claimed(self, self.own_words + 2)

    def bf16_at(self, rows: Rows, row: Index) -> Value:
        return self.address(rows.base, self.times(row, rows.step), "i16")

    def forms(self, sizes: tuple[int, ...]) -> list[Value]:
        """Parts of the chunk's room, of so many bytes for an element of a key."""
        elements, found, used = self.mul(_whole(self, self.keys), self.index(self.head)), [], 0
        for size in sizes:
            found.append(self.address(self.room, self.mul(elements, self.index(used)), "i8"))
            used += size
        return found

    def scaled(self, tile: Value) -> None:
        with self.loop(0, LANES) as turn:
            at = self.row_of(tile, turn.index)
            self.put(self.mul(self.get(at), self.splat(self.score_scale)), at)

    def rounded(self, sums: Rows, target: Rows, count: Value, factors: Value | None = None) -> None:
        """`count` rows of sums to an operand, each times its factor if there are any."""
        with self.loop(0, count) as turn:
            factor = self.splat(self.load(self.address(factors, turn.index, "float"), "float")) if factors else None
            row = self.bf16_at(target, turn.index)
            for n in range(0, self.head, LANES):
                found = self.get(self.at(sums, turn.index, n))
                self.store(round_sums(self, self.mul(found, factor) if factor else found), self.address(row, n, "i16"))


@cache
def _forward_kernel(head: int, causal: bool, mask_type: str) -> Kernel:
    k = _Kernel("attention_pairs", FORWARD, head, causal, mask_type)
    groups = k.number("groups")
    across, weights, factors = k.scratch(LANES * -(-head // 32) * LANES), k.scratch(LANES * BLOCK), k.scratch(LANES)
    pairs, sums = k.scratch(LANES * BLOCK // 2), k.block_of_rows()
    key_rows, value_pairs = k.forms((2, 2))
    # Whole blocks of queries in a group.
    blocks_each = k.binary("udiv", k.add(k.lshr(_whole(k, k.queries), 4), k.sub(groups, k.index(1))), groups)
    with k.jobs() as job:
        pair, group = divide(k, job.index, groups)
        operands = k.open(pair)
        query, key, value, output = (operands[n] for n in ("query", "key", "value", "output"))
        first = k.shl(k.mul(group, blocks_each), 4)
        end = k.least(k.add(first, k.shl(blocks_each, 4)), k.queries)
        seen = k.least(k.keys, end) if causal else k.keys
        k.call(k.dense, key.base, key.step, seen, key_rows)  # type: ignore[arg-type]
        k.call(k.paired_rows, value.base, value.step, seen, value_pairs)  # type: ignore[arg-type]
        with k.loop(first, end, LANES) as blocks:
            left = k.sub(k.queries, blocks.index)
            k.call(k.across, k.bf16_at(query, blocks.index), k.index(query.step), left, across)
            k.clear(sums, LANES)
            stop = k.stop_key(blocks.index)
            with k.loop(0, stop, BLOCK, [k.constant(-math.inf, "float", LANES), k.zero()]) as steps:
                maximum, total = steps.carried
                count = k.least(k.sub(stop, steps.index), BLOCK)
                with k.loop(0, count, LANES) as tiles:
                    position, tile = k.add(steps.index, tiles.index), k.row_of(weights, tiles.index)
                    k.call(k.scores, k.address(key_rows, k.mul(position, k.index(head)), "i16"), across, tile)
                    k.scaled(tile)
                    k.restrict(tile, blocks.index, position, operands.get("mask"))
                rows = _whole(k, count)
                highest, subtracted, factor = k.raised(weights, rows, maximum)
                with k.loop(0, rows, 2, [k.mul(total, factor)]) as loop:
                    found = [k.exp2(k.sub(k.get(k.row_of(weights, k.plus(loop.index, r))), subtracted)) for r in range(2)]
                    k.store(paired(k, *(round_sums(k, weight) for weight in found)), k.row_of(pairs, k.lshr(loop.index, 1)))
                    loop.next = [k.add(k.add(loop.carried[0], found[0]), found[1])]
                with k.when(k.compare("sgt", steps.index, k.index(0))):
                    k.store(factor, factors)
                    k.copy(sums, sums, LANES, factors)
                values = k.address(value_pairs, k.mul(k.lshr(steps.index, 1), k.index(head)), "i32")
                k.call(k.accumulate_across, pairs, values, k.lshr(k.add(count, k.index(1)), 1), sums.base)
                steps.next = [highest, loop.results[0]]
            maximum, total = steps.results
            factor, known = k.closed(maximum, total)
            k.store(factor, factors)
            k.rounded(sums, Rows(k.bf16_at(output, blocks.index), output.step), k.least(left, LANES), factors)
            k.put(known, k.at(k.logsumexp, blocks.index), k.first_lanes(left))
    return Kernel(k.name, module([*k.functions, k]))


@cache
def _backward_kernel(head: int, causal: bool, mask_type: str) -> Kernel:
    k = _Kernel("attention_pairs_backward", BACKWARD, head, causal, mask_type)
    accumulate = _accumulate(head, False)
    wide, tile_size = LANES * -(-head // 32) * LANES, LANES * LANES
    queries_across, grads_across, outputs_across = (k.scratch(wide) for _ in range(3))
    scores, slopes = k.scratch(tile_size), k.scratch(tile_size)
    weight_rows, slope_rows, slope_pairs = (k.scratch(tile_size // 2) for _ in range(3))
    query_pairs, grad_pairs, sums = k.scratch(LANES // 2 * head), k.scratch(LANES // 2 * head), k.block_of_rows()
    key_rows, key_pairs, value_rows, key_sums, value_sums = k.forms((2, 2, 2, 4, 4))
    log2_e, scale = k.constant(math.log2(math.e), "float", LANES), k.splat(k.convert(k.scale, "float"))
    with k.jobs() as job:
        operands = k.open(job.index)
        grad, query, key, value, output = (operands[n] for n in ("grad", "query", "key", "value", "output"))
        for function, rows, target in ((k.dense, key, key_rows), (k.paired_rows, key, key_pairs), (k.dense, value, value_rows)):
            k.call(function, rows.base, k.index(rows.step), k.keys, target)
        for target in (key_sums, value_sums):
            k.clear(Rows(target, head), _whole(k, k.keys))
        with k.loop(0, k.queries, LANES) as blocks:
            left = k.sub(k.queries, blocks.index)
            count = k.least(left, LANES)
            for function, rows, target in (
                (k.across, query, queries_across), (k.across, grad, grads_across), (k.across, output, outputs_across),
                (k.paired_rows, query, query_pairs), (k.paired_rows, grad, grad_pairs),
            ):  # fmt: skip
                k.call(function, k.bf16_at(rows, blocks.index), k.index(rows.step), count, target)
            # The mean of a weight's gradient under the weights is grad @ output.
            with k.loop(0, head // 2, 1, [k.zero()]) as loop:
                factors = [k.load(k.row_of(tile, loop.index), "i32", LANES) for tile in (grads_across, outputs_across)]
                loop.next = [add_products(k, factors[0], factors[1], loop.carried[0])]
            mean = loop.results[0]
            known = k.masked_load(k.at(k.logsumexp, blocks.index), "float", k.first_lanes(left), k.constant(math.inf, "float", LANES))
            known = k.mul(known, log2_e)
            k.clear(sums, LANES)
            with k.loop(0, k.stop_key(blocks.index), LANES) as tiles:
                place = k.mul(tiles.index, k.index(head))
                k.call(k.scores, k.address(key_rows, place, "i16"), queries_across, scores)
                k.scaled(scores)
                k.restrict(scores, blocks.index, tiles.index, operands.get("mask"))
                k.call(k.scores, k.address(value_rows, place, "i16"), grads_across, slopes)
                with k.loop(0, LANES, 2) as loop:
                    bits = []
                    for r in range(2):
                        row = k.plus(loop.index, r)
                        weight = k.exp2(k.sub(k.get(k.row_of(scores, row)), known))
                        slope = k.mul(k.mul(weight, k.sub(k.get(k.row_of(slopes, row)), mean)), scale)
                        bits.append(round_sums(k, slope))
                        for found, target in ((round_sums(k, weight), weight_rows), (bits[-1], slope_rows)):
                            k.store(found, k.address(target, k.times(row, LANES), "i16"))
                    k.store(paired(k, *bits), k.row_of(slope_pairs, k.lshr(loop.index, 1)))
                for factors_at, rows_at, target in ((weight_rows, grad_pairs, value_sums), (slope_rows, query_pairs, key_sums)):
                    k.call(accumulate, factors_at, rows_at, k.index(LANES // 2), k.address(target, place, "float"))
                keys = k.address(key_pairs, k.mul(k.lshr(tiles.index, 1), k.index(head)), "i32")
                k.call(k.accumulate_across, slope_pairs, keys, k.index(LANES // 2), sums.base)
            k.rounded(sums, Rows(k.bf16_at(operands["grad_query"], blocks.index), operands["grad_query"].step), count)
        for name, target in (("grad_key", key_sums), ("grad_value", value_sums)):
            k.rounded(Rows(target, head), operands[name], k.keys)
    return Kernel(k.name, module([*k.functions, accumulate, k]))
