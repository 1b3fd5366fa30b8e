"""Kernel calls of entries that are no plain loops: matrix products, tables, optimizer steps.

Each function takes a plan and gives its calls, operands named by position (inputs, then outputs), or None where there
is no native form. What a sum over rows is here, it is in loops.py: the two agree to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..shape import Layout, as_one_dim, contiguous_strides, expand_strides, is_contiguous
from .emit import LANES, Builder, module
from .kernel import WORKSPACE, Call, Kernel, Lowered, Pointer, joined
from .lowering import FLOATING
from .nests import Bound, Form, elementwise_call, row_call, strided_copy, sum_over_rows
from .terms import HALF, MEMORY, Node, Term, Terms

if TYPE_CHECKING:
    from ..ops.card import Plan


def _float_type(*layouts: Layout) -> str | None:
    first = layouts[0].dtype
    return MEMORY[first] if first in FLOATING and all(o.dtype is first for o in layouts) else None


# Matrix products

#: The kinds of elements that products have, by dtype.
_PRODUCT_TYPES = {dt.float32: "float", dt.float64: "double", **HALF}


def _product_type(*layouts: Layout) -> str | None:
    first = layouts[0].dtype
    return _PRODUCT_TYPES.get(first) if all(o.dtype is first for o in layouts) else None


def _rows(layout: Layout) -> tuple[int, int] | None:
    """All dims but the last as one: how many rows, and their stride. None if they are not one dim."""
    found = as_one_dim(layout.shape[:-1], layout.stride[:-1])
    return (1, layout.shape[-1]) if found is not None and found[0] == 1 else found


def _product(*shape: Any, **options: Any) -> Lowered:
    """The calls of a `gemm.Product`."""
    from . import gemm  # seven milliseconds of a start, for the first product

    return gemm.lower(gemm.Product(*shape, **options))


def product(plan: Plan) -> Lowered | None:
    """``mm``, ``bmm`` and ``mv``."""
    a, b = plan.operands
    (out,) = plan.outs
    type = _product_type(a, b)
    if type is None:
        return None
    batch = out.shape[:-2] if b.ndim > 1 else ()
    if b.ndim == 1:
        return _product(a.shape[0], 1, a.shape[1], a.stride, (b.stride[0], 0), (out.stride[0], 1), type=type)
    return _product(a.shape[-2], b.shape[-1], a.shape[-1], a.stride, b.stride, out.stride, batch, type=type)


def addmm(plan: Plan) -> Lowered | None:
    """``beta * input + alpha * (mat1 @ mat2)``, where `input` broadcasts."""
    input, a, b = plan.operands
    (out,) = plan.outs
    type, alpha, beta = _product_type(input, a, b), plan.params["alpha"], plan.params["beta"]
    m, n, k = *out.shape, a.shape[1]
    if type is None:
        return None
    strides = expand_strides(input.shape, input.stride, out.shape)
    if alpha == 1 and beta in (0, 1):
        bias, operands = (strides, (1, 2, 0, 3)) if beta else (None, (1, 2, 3))
        return _product(m, n, k, a.stride, b.stride, out.stride, bias_strides=bias, type=type, operands=operands)
    if input.dtype in HALF:
        return None  # the product would be rounded, and the sum once more
    found = _product(m, n, k, a.stride, b.stride, (n, 1), type=type, operands=(1, 2, 3))
    terms = Terms()
    total = terms.load(0, type, type) * alpha
    if beta != 0:
        addend = terms.load(1, type, type)
        total = total + (addend if beta == 1 else addend * beta)
    terms.store(1 + (beta != 0), total, type)
    product = Pointer(WORKSPACE, found.workspace)
    bound = [Bound(product, type, (n,), 1), *([Bound(Pointer(0), type, strides[:1], strides[1])] if beta != 0 else []), Bound(Pointer(3), type, out.stride[:1], out.stride[1])]
    scaled = row_call(Form((m,), n, terms.nodes, bound))
    calls = [call.renamed(lambda pointer: Pointer(WORKSPACE, product.offset + pointer.offset) if pointer.operand == 3 else pointer) for call in found.calls]
    return Lowered((*calls, *scaled.calls), found.workspace + out.nbytes)


def linear(plan: Plan) -> Lowered | None:
    """``input @ weight.T + bias``"""
    input, weight, *biases = plan.operands
    (out,) = plan.outs
    type = _product_type(*plan.operands)
    rows = _rows(input) if input.ndim else None
    if type is None or weight.ndim != 2 or rows is None or any(b.ndim != 1 or b.shape != weight.shape[:1] for b in biases):
        return None
    count, stride = rows
    n, k = weight.shape
    return _product(
        count, n, k,
        (stride, input.stride[-1]), (weight.stride[1], weight.stride[0]), (n, 1),
        bias_strides=(0, biases[0].stride[0]) if biases else None, type=type, operands=tuple(range(3 + len(biases))),
    )  # fmt: skip


def linear_backward(plan: Plan) -> Lowered | None:
    """The gradients of `linear`: of the input, of the weight, of the bias, as far as they are wanted."""
    grad, input, weight = plan.operands
    type, mask = _product_type(*plan.operands), plan.params["output_mask"]
    g_rows, rows = (_rows(grad), _rows(input)) if grad.ndim and input.ndim else (None, None)
    if type is None or weight.ndim != 2 or g_rows is None or rows is None:
        return None
    count, (n, k) = rows[0], weight.shape
    g = (g_rows[1], grad.stride[-1])
    target = iter(zip(range(3, 3 + len(plan.outs)), plan.outs, strict=True))
    parts = []
    if mask[0]:
        operand, out = next(target)
        out_strides = out.stride if out.ndim == 2 else (k, 1)
        parts.append(_product(count, k, n, g, weight.stride, out_strides, type=type, operands=(0, 2, operand)))
    if mask[1]:
        operand, out = next(target)
        parts.append(_product(n, k, count, g[::-1], (rows[1], input.stride[-1]), out.stride, type=type, operands=(0, 1, operand)))
    if len(mask) == 3 and mask[2]:
        operand, out = next(target)
        half = type if type in HALF.values() else ""
        memory = "i16" if half else type
        parts.append(sum_over_rows(Bound(Pointer(0), memory, (g[0],), g[1]), Bound(Pointer(operand), memory, (0,), 1), count, n, half))
    return joined(parts)


# Tables


#: Columns of a table that a chunk has at least.
_COLUMNS_AT_LEAST = 64


def table_sum(plan: Plan) -> Lowered | None:
    """The gradient of a table of rows: each row of the gradient is added to the row of the table that its index names, in order.

    The table is cleared first. Then chunks share out the columns, so that the order is kept.
    """
    grad, index = plan.operands
    (out,) = plan.outs
    type = _float_type(grad)
    if type is None or plan.params["scale_grad_by_freq"]:
        return None
    calls: list[Call] = []
    sources: list[Pointer] = []
    used = 0
    for n, layout in enumerate((grad, index)):
        if layout.contiguous:
            sources.append(Pointer(n))
            continue
        sources.append(Pointer(WORKSPACE, used))
        copied = strided_copy(MEMORY[layout.dtype], layout.shape, (Pointer(n), layout.stride), (sources[n], contiguous_strides(layout.shape)))
        if copied is None:
            return None
        calls.extend(copied.calls)
        used += -(-layout.numel * layout.dtype.itemsize // 64) * 64
    calls.append(elementwise_call(Form((), out.numel, [Node("constant", (), type), Node("store", (0,), type, 0)], [Bound(Pointer(2), type, (), 1)])))
    width = out.shape[1]
    pieces = max(1, min(8, grad.numel >> 16, width // _COLUMNS_AT_LEAST))
    piece = -(-width // pieces)
    piece = -(-piece // LANES) * LANES
    words = (*sources, Pointer(2), index.numel, width, plan.params["padding_idx"], piece)
    calls.append(Call(_table_kernel(type, MEMORY[index.dtype]), words, -(-width // piece)))
    return Lowered(tuple(calls), used)


@cache
def _table_kernel(type: str, index_type: str) -> Kernel:
    k = Builder("table_sum", [("ptr", "args"), ("i64", "chunk")])
    words = [k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(7)]
    grad, index, out, count, width, skipped, piece = words
    zero = k.constant(0, type, LANES)
    begin = k.mul(k.parameters["chunk"], piece)
    columns = k.intrinsic("smin", piece, k.sub(width, begin))
    grad, out = k.address(grad, begin, type), k.address(out, begin, type)
    with k.loop(0, count) as each:
        named = k.convert(k.load(k.address(index, each.index, index_type), index_type), "i64")
        source = k.address(grad, k.mul(each.index, width), type)
        target = k.address(out, k.mul(named, width), type)
        wanted = k.select(k.compare("eq", named, skipped), k.constant(0, "i64"), columns)
        whole = k.and_(wanted, k.constant(-LANES, "i64"))
        with k.loop(0, whole, LANES) as along:
            place = k.address(target, along.index, type)
            k.store(k.add(k.load(place, type, LANES), k.load(k.address(source, along.index, type), type, LANES)), place)
        with k.loop(whole, wanted, LANES) as along:
            mask = k.first_lanes(k.sub(columns, along.index))
            place = k.address(target, along.index, type)
            before = k.masked_load(place, type, mask, zero)
            k.masked_store(k.add(before, k.masked_load(k.address(source, along.index, type), type, mask, zero)), place, mask)
    return Kernel("table_sum", module([k]))


# Optimizer steps


def optimizer_step(plan: Plan) -> Lowered | None:
    """An update program over every parameter: a loop for each, and one for all counters."""
    update, counters = plan.params["update"], plan.params["counters"]
    first = update.numbers + counters
    layouts = plan.operands[first:]
    each = update.tensors + counters
    calls: list[Call] = []
    for start in range(0, len(layouts), each):
        tensors = layouts[start : start + update.tensors]
        type = MEMORY[tensors[0].dtype]
        nodes = _update_nodes(update, type)
        size = tensors[0].numel
        operands = [Bound(Pointer(first + start + n), type, (), 1) for n in range(update.tensors)]
        operands += [Bound(Pointer(n), "double", number=True) for n in range(update.numbers)]
        if size:
            calls.append(elementwise_call(Form((), size, nodes, operands)))
    for n in range(counters):
        places = range(update.tensors + n, len(layouts), each)
        for at in range(0, len(places), _COUNTERS_AT_ONCE):
            some = places[at : at + _COUNTERS_AT_ONCE]
            calls.append(_set_all(update.numbers + n, [(first + p, MEMORY[layouts[p].dtype]) for p in some]))
    return Lowered(tuple(calls))


_COUNTERS_AT_ONCE = 16


def _set_all(number: int, targets: Sequence[tuple[int, str]]) -> Call:
    """Write one number to several places."""
    k = Terms()
    value = k.number(0, "double")
    for n, (_, type) in enumerate(targets, 1):
        k.store(n, value, type)
    operands = [Bound(Pointer(number), "double", number=True), *(Bound(Pointer(operand), type, (), 1) for operand, type in targets)]
    return elementwise_call(Form((), 1, k.nodes, operands))


def _update_nodes(update: Any, type: str) -> list[Node]:
    """The terms of an update program; operands are the tensors and then the numbers."""
    k = Terms()
    values: list[Term] = [k.load(n, type, type) for n in range(update.tensors)]
    values += [k.convert(k.number(update.tensors + n, "double"), type) for n in range(update.numbers)]
    values += [k.constant(c, type) for c in update.constants]
    for op, operands in update.instructions:
        arguments = [values[v] for v in operands]
        if op == "select":
            values.append(k.select(*arguments))
        else:
            values.append(k.apply(op, *arguments, type="i1" if op in ("lt", "le", "gt", "ge", "eq", "ne") else ""))
    for tensor, value in update.results:
        k.store(tensor, values[value], type)
    return k.nodes


# Copies


def table_rows(plan: Plan) -> Lowered | None:
    """The rows of a table (all but its first dim) that an index names. The index has been checked."""
    table, index = plan.operands
    if table.dtype not in MEMORY or index.dtype not in MEMORY or table.ndim < 2 or plan.params.get("dim") or not index.contiguous:
        return None
    if not is_contiguous(table.shape[1:], table.stride[1:]):
        return None
    width = math.prod(table.shape[1:])
    words = (Pointer(0), Pointer(1), Pointer(2), index.numel, width, table.stride[0], _rows_each(index.numel, width))
    return Lowered((Call(_rows_kernel(MEMORY[table.dtype], MEMORY[index.dtype]), words, -(-index.numel // int(words[-1]))),))


def _rows_each(rows: int, width: int) -> int:
    """How many rows a chunk copies."""
    return max(1, -(-rows // max(1, min(8, rows * width // 32768))))


@cache
def _rows_kernel(type: str, index_type: str) -> Kernel:
    k = Builder("table_rows", [("ptr", "args"), ("i64", "chunk")])
    table, index, out, count, width, stride, each = (k.load(k.address(k.parameters["args"], n, "i64"), "ptr" if n < 3 else "i64") for n in range(7))
    begin = k.mul(k.parameters["chunk"], each)
    with k.loop(begin, k.intrinsic("smin", k.add(begin, each), count)) as place:
        row = k.convert(k.load(k.address(index, place.index, index_type), index_type), "i64")
        source = k.address(table, k.mul(row, stride), type)
        target = k.address(out, k.mul(place.index, width), type)
        with k.loop(0, width, LANES) as along:
            mask = k.first_lanes(k.sub(width, along.index))
            k.masked_store(k.masked_load(k.address(source, along.index, type), type, mask, k.constant(0, type, LANES)), k.address(target, along.index, type), mask)
    return Kernel("table_rows", module([k]))


def concatenation(plan: Plan) -> Lowered | None:
    """``cat`` and ``stack``: each operand is copied to its part of the output."""
    (out,) = plan.outs
    dim, stacks = plan.params["dim"], plan.card.name == "stack"
    calls: list[Call] = []
    at = 0
    for n, part in enumerate(plan.operands):
        if part.dtype is not out.dtype or part.dtype not in MEMORY or (not stacks and part.ndim != out.ndim):
            return None
        target = out.stride[:dim] + out.stride[dim + 1 :] if stacks else out.stride
        if part.numel:
            type = MEMORY[part.dtype]
            source = (Pointer(n), part.stride)
            copied = strided_copy(type, part.shape, source, (Pointer(len(plan.operands), at * out.stride[dim] * part.dtype.itemsize), target))
            if copied is None:
                return None
            calls.extend(copied.calls)
        at += 1 if stacks else part.shape[dim]
    return Lowered(tuple(calls))
