"""Reductions with their neighbours side by side in the lanes of a vector: over dims that are not the last ones, and over rows
whose elements are far apart in memory.

What to call and with which extents and strides; across_kernel.py is what the calls do. Which dim the lanes go along depends on
strides, the bits do not. Reduced dims with others between them are brought together by a copy first.

The words of a call: the extents of the loops around (the first one's, each chunk's part of it, the second one's), the steps,
the neighbours, in how many pieces these are and how large a piece; for each operand its address, its strides under the two
loops, by steps if it has an element for each, and by lanes if these are not next to each other; numbers; the scratch values' address.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..shape import as_one_dim, contiguous_strides
from .across_kernel import ANEW, OF_ROWS, kernel, saved_rows, vectors
from .emit import LANES
from .kernel import WORKSPACE, Call, Lowered, Pointer, joined
from .loops import Access, Nest
from .lowering import LOOPED, ROW_BLOCK, Space
from .nests import Bound, Form, constants_as_words, in_blocks, merged_loops, needed_nodes, row_call, strided_copy
from .terms import FLOATS, MEMORY, REDUCTIONS, REGISTER, Node, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan

_CHUNK_WORK = 1 << 16
_CHUNKS_AT_MOST = 16
_SCRATCH_STEPS = 1 << 12
"""Longer reductions compute functions anew in a later pass: what is kept of them would not fit into the cache."""


def reduction(plan: Plan, body: Callable[..., Any], floats: bool) -> Lowered | None:
    """The calls of an entry whose operands have one shape, reduced over its static `dims` or `dim`."""
    shape = plan.operands[0].shape
    given = _dims_of(plan)
    if not shape or None in given:
        return None
    dims = sorted(d for d in given if shape[d] != 1)
    if not dims or any(o.shape != shape or o.dtype not in (LOOPED if floats else MEMORY) for o in plan.operands):
        return None
    terms = Terms()
    terms.space = Space(shape, 0)
    terms.outputs = [REGISTER[o.dtype] for o in plan.outs]
    inputs = [terms.load(n, MEMORY[o.dtype], REGISTER[o.dtype]) for n, o in enumerate(plan.operands)]
    found = body(terms, *inputs, **plan.params)
    results = found if isinstance(found, (tuple, list)) else (found,)
    for n, (result, out) in enumerate(zip(results, plan.outs, strict=True), len(inputs)):
        terms.store(n, terms.convert(result, REGISTER[out.dtype]), MEMORY[out.dtype])
    kept = [d for d, n in enumerate(shape) if d not in given and n != 1]
    rows = min(given) == len(shape) - len(given)
    if not rows and not any(dims[0] < d < dims[-1] for d in kept):
        return _lanes(plan, terms, dims)
    if any(o.numel == plan.operands[0].numel for o in plan.outs):
        return None  # results of every element would have to be brought back
    # Which of the two it is the shape says, since they add up in different orders.
    one_row = rows or dims[-1] < kept[-1] or dims[0] > kept[0] or any(kept[0] < d < kept[-1] for d in dims) or _depends_twice(terms.nodes)
    return _brought_together(plan, terms, kept, dims) if one_row else _in_two(plan, terms, kept)


def _dims_of(plan: Plan) -> Sequence[int]:
    return plan.params["dims"] if "dims" in plan.params else (plan.params["dim"],)


def _in_two(plan: Plan, terms: Terms, kept: Sequence[int]) -> Lowered | None:
    """Over the last dims as rows, and then over the first ones: for reductions none of which needs another one's result."""
    shape = plan.operands[0].shape
    parts = (slice(0, kept[0]), slice(kept[0], kept[-1] + 1), slice(kept[-1] + 1, None))
    steps, inner, row = (math.prod(shape[part]) for part in parts)
    calls: list[Call] = []
    bound: list[Bound] = []
    used = 0
    for n, layout in enumerate(plan.operands):
        found = [as_one_dim(shape[part], layout.stride[part]) for part in parts]
        pointer = Pointer(n)
        if any(f is None for f in found):
            pointer = Pointer(WORKSPACE, used)
            copied = strided_copy(MEMORY[layout.dtype], shape, (Pointer(n), layout.stride), (pointer, contiguous_strides(shape)))
            if copied is None:
                return None
            calls.extend(copied.calls)
            used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
            found = [(steps, inner * row), (inner, row), (row, 1)]
        (_, of_step), (_, of_inner), (_, along) = found  # type: ignore[misc]
        bound.append(Bound(pointer, MEMORY[layout.dtype], (of_step, of_inner), along))
    operands = [Operand(Pointer(n), MEMORY[o.dtype], inner, None) for n, o in enumerate((*plan.operands, *plan.outs))]
    before = [Node("constant", (), node.type) if node.op == "store" else node for node in terms.nodes]  # nothing needs it
    after: list[Node] = []
    place: list[int] = []
    for n, node in enumerate(terms.nodes):
        if node.op in REDUCTIONS:
            partial = Pointer(WORKSPACE, used)
            before.append(Node("store", (n,), node.type, len(bound)))
            bound.append(Bound(partial, node.type, (inner, 1), 0))
            after += [Node("load", (), node.type, len(operands)), Node(node.op, (len(after),), node.type)]
            operands.append(Operand(partial, node.type, 0, inner))
            used += -(-steps * inner * 8 // 64) * 64
        else:
            after.append(Node(node.op, tuple(place[a] for a in node.args), node.type, node.detail))
        place.append(len(after) - 1)
    nodes, names = needed_nodes(before)
    rows = row_call(Form((steps, inner), row, nodes, [bound[n] for n in names]), used)
    return joined([Lowered(tuple(calls)), rows, across(after, operands, (1, steps, inner), used)])


def _depends_twice(nodes: Sequence[Node]) -> bool:
    """Whether a reduction needs another one's result."""
    stage: list[int] = []
    for node in nodes:
        stage.append(max((stage[a] for a in node.args), default=0) + (node.op in REDUCTIONS))
    return max(stage) > 1


def _brought_together(plan: Plan, terms: Terms, kept: Sequence[int], dims: Sequence[int]) -> Lowered | None:
    """Rows of a copy in which the reduced dims come last."""
    shape = plan.operands[0].shape
    order = (*kept, *dims)
    size = math.prod(shape[d] for d in dims)
    calls: list[Call] = []
    bound: list[Bound] = []
    used = 0
    in_any_order = not any(node.op == "position" or (node.op in ("sum", "prod") and node.type in FLOATS) for node in terms.nodes)
    for n, layout in enumerate(plan.operands):
        if not kept and in_any_order and layout.dense and len(plan.operands) == 1:
            bound.append(Bound(Pointer(n), MEMORY[layout.dtype], (size,), 1))
            break
        lying = tuple(shape[d] for d in order)
        copied = strided_copy(MEMORY[layout.dtype], lying, (Pointer(n), tuple(layout.stride[d] for d in order)), (Pointer(WORKSPACE, used), contiguous_strides(lying)))
        if copied is None:
            return None
        calls.extend(copied.calls)
        bound.append(Bound(Pointer(WORKSPACE, used), MEMORY[layout.dtype], (size,), 1))
        used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
    bound += [Bound(Pointer(n), MEMORY[out.dtype], (1,), 0) for n, out in enumerate(plan.outs, len(plan.operands))]
    if size > ROW_BLOCK and len(_dims_of(plan)) == len(shape):
        rows = in_blocks(Form((), size, terms.nodes, [b._replace(outer=()) for b in bound]), used)
    else:
        rows = row_call(Form((math.prod(shape[d] for d in kept),), size, terms.nodes, bound), used)
    return Lowered((*calls, *rows.calls), rows.workspace)


def _lanes(plan: Plan, terms: Terms, dims: Sequence[int]) -> Lowered | None:
    """`dims` as the steps, and one of the other dims as the lanes. What does not lie so is copied first."""
    shape = plan.operands[0].shape
    first, behind = dims[0], dims[-1] + 1
    kept = [d for d in range(len(shape)) if shape[d] != 1 and not first <= d < behind]
    steps, whole = math.prod(shape[first:behind]), plan.operands[0].numel
    pointers = [Pointer(n) for n in range(len(plan.operands) + len(plan.outs))]
    strides = [o.stride for o in plan.operands]
    for out in plan.outs:
        of_steps = (1,) * (behind - first) if out.numel != whole else shape[first:behind]
        strides.append(contiguous_strides((*shape[:first], *of_steps, *shape[behind:])))
    calls: list[Call] = []
    used = 0

    def along(n: int) -> int | None:
        found = as_one_dim(shape[first:behind], strides[n][first:behind])
        return found[1] if found is not None and (n < len(plan.operands) or plan.outs[n - len(plan.operands)].numel == whole) else None

    for n, layout in enumerate(plan.operands):
        if along(n) is None or _is_alone(merged_loops(shape, kept, strides), steps, [along(m) for m in range(len(strides))], n):
            copied = strided_copy(MEMORY[layout.dtype], shape, (pointers[n], layout.stride), (Pointer(WORKSPACE, used), contiguous_strides(shape)))
            if copied is None:
                return None
            calls.extend(copied.calls)
            pointers[n], strides[n] = Pointer(WORKSPACE, used), contiguous_strides(shape)
            used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
    given = [Bound(pointer, MEMORY[o.dtype]) for pointer, o in zip(pointers, (*plan.operands, *plan.outs), strict=True)]
    lowered = _best_lanes(terms.nodes, given, merged_loops(shape, kept, strides), steps, [along(n) for n in range(len(strides))], used, of_rows=False)
    return None if lowered is None else Lowered((*calls, *lowered.calls), lowered.workspace)


#: What an element costs: one that is next to the one before, one of a square that is turned, and one that is fetched by itself.
_NEXT, _TURNED, _ALONE = 1.0, 2.0, 8.0
_LOOPS_AROUND = 2


_Loops = list[tuple[int, list[int]]]


def _best_lanes(nodes: Sequence[Node], bound: Sequence[Bound], loops: _Loops, steps: int, along: Sequence[int | None], used: int, of_rows: bool) -> Lowered | None:
    """The call whose lanes go along the best of the loops; None if there are too many."""
    if len(loops) > 1 + _LOOPS_AROUND:
        return None
    loops = loops or [(1, [0] * len(bound))]
    lanes = _best(loops, steps, along)
    extent, strides = loops[lanes]
    around = [loop for d, loop in enumerate(loops) if d != lanes]
    around = [(1, [0] * len(bound))] * (_LOOPS_AROUND - len(around)) + around
    (outer, of_outer), (second, of_second) = around if around[0][0] >= around[1][0] else around[::-1]
    operands = [Operand(b.pointer, b.type, of_outer[n], along[n], strides[n], of_second[n], b.number) for n, b in enumerate(bound)]
    return across(nodes, operands, (outer, steps, extent), used, second, of_rows)


def _best(loops: _Loops, steps: int, along: Sequence[int | None]) -> int:
    """The loop along which lanes go best, the last of equal ones."""
    return min(reversed(range(len(loops))), key=lambda d: _cost(loops[d], steps, along))


def _cost(loop: tuple[int, list[int]], steps: int, along: Sequence[int | None]) -> float:
    """What an element costs if the lanes go along this loop."""
    extent, strides = loop
    total = 0.0
    for stride, step in zip(strides, along, strict=True):
        each = 1.0 if step is not None else 1 / steps
        total += 0 if step is None and stride == 0 else each * (_NEXT if stride in (0, 1) else _TURNED if step == 1 and extent >= LANES and steps >= LANES else _ALONE)
    return total * -(-extent // LANES) * LANES / extent


def _is_alone(loops: _Loops, steps: int, along: Sequence[int | None], operand: int) -> bool:
    """Whether an operand has no neighbours next to each other, neither along the steps nor along the lanes."""
    return bool(loops) and loops[_best(loops, steps, along)][1][operand] not in (0, 1) and along[operand] != 1


def rows_apart(form: Form, used: int) -> Lowered | None:
    """The call of a loop over rows with the rows side by side; None where their elements are better taken one after another."""
    bound = [b for b in form.operands if not b.number]
    if not form.outer or len(form.outer) > 1 + _LOOPS_AROUND or any(node.op == "column_sum" for node in form.nodes):
        return None
    if all(b.along in (-1, 0, 1, 2) for b in bound):
        return None
    loops = [(n, [b.outer[d] if not b.number else 0 for b in form.operands]) for d, n in enumerate(form.outer)]
    along = [None if b.number or b.along == 0 else b.along for b in form.operands]
    as_rows = sum(_NEXT if b.along in (-1, 1, 2) else _ALONE for b in bound if b.along) * -(-form.row // LANES) * LANES / form.row
    if min(_cost(loop, form.row, along) for loop in loops) >= as_rows:
        return None
    return _best_lanes(form.nodes, form.operands, loops, form.row, along, used, of_rows=True)


class Operand(NamedTuple):
    """What the kernel reads or writes."""

    pointer: Pointer
    type: str
    of_outer: int  # strides
    of_step: int | None  # None if it has one element for all steps
    of_lane: int = 1
    of_second: int = 0
    number: bool = False

    def access(self, extents: tuple[int, int, int]) -> Access:
        if self.number:
            return Access(self.type, "number")
        _, steps, inner = extents
        turned = self.of_step == 1 and min(steps, inner) >= LANES
        return Access(self.type, "0" if self.of_step is None else "s", str(self.of_lane) if self.of_lane in (0, 1) else "t" if turned else "s")


def across(nodes: Sequence[Node], operands: Sequence[Operand], extents: tuple[int, int, int], used: int, second: int = 1, of_rows: bool = False) -> Lowered:
    """The call over an outer dim, the steps of each reduction, and the neighbours; the first bytes of the workspace are used.

    second: how many turns another loop around takes. of_rows: whether sums go as those of rows do.
    """
    outer, steps, inner = extents
    nodes, names = needed_nodes(nodes)
    operands = [operands[n] for n in names]
    nodes, constants = constants_as_words(nodes, len(operands))
    accesses = [*(o.access(extents) for o in operands), *(Access(type, "number") for _, type in constants)]
    nest = Nest(tuple(nodes), tuple(accesses), 1, "".join((OF_ROWS if of_rows else "", ANEW if steps > _SCRATCH_STEPS else "")))
    work = max(1, outer * second * steps * inner * (4 if vectors(nest) == 1 else 1) // _CHUNK_WORK)
    each = -(-outer // min(work, outer, _CHUNKS_AT_MOST))
    groups = -(-outer // each)
    width = vectors(nest) * LANES
    pieces = max(1, min(work // groups, inner // width, _CHUNKS_AT_MOST // groups))
    piece = -(-inner // pieces)
    piece = -(-piece // width) * width
    pieces = -(-inner // piece)
    words: list[int | Pointer] = [outer, each, second, steps, inner, pieces, piece]
    for o, access in zip(operands, accesses, strict=False):
        words.append(o.pointer)
        if access.along == "number":
            continue
        words += [o.of_outer, o.of_second]
        if o.of_step is not None:
            words.append(o.of_step)
        if access.lanes in ("s", "t"):
            words.append(o.of_lane)
    words += [word for word, _ in constants]
    chunks = groups * pieces
    rows = saved_rows(nest)
    if rows:
        words.append(Pointer(WORKSPACE, used))
        used += chunks * rows * steps * width * 4
    return Lowered((Call(kernel(nest), tuple(words), chunks),), used)
