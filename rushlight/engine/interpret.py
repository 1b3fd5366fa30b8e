"""The interpreter: each entry's NumPy rule, over the storages' own memory.

A rule returns its results; a pointwise rule that is a NumPy ufunc writes in place. A result that already has the
layout of a fresh output becomes its storage, with no copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shape import is_injective
from ..storage import Storage

if TYPE_CHECKING:
    from ..ops.card import Plan


def run_entry(plan: Plan, outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Compute one entry and write its outputs. NumPy's warnings are off while the tape runs."""
    arrays = []
    for operand in inputs:
        if type(operand) is tuple:
            storage, offset, layout = operand
            if storage.data is None:
                need(storage)
            arrays.append(storage.array(offset, layout))
        else:
            arrays.append(operand)
    if plan.compute is not None:
        if not plan.settled:
            arrays = [cast(a, plan, n) for n, a in enumerate(arrays)]
        if plan.ufunc:
            storage, offset, layout = outputs[0]
            if storage.data is None:
                storage.allocate()
            plan.rule(*arrays, out=storage.array(offset, layout), casting="unsafe")
            return
    results = plan.rule(*arrays, **plan.params)
    if plan.card.in_place:
        return
    if len(outputs) == 1:
        deliver(outputs[0], results)
    else:
        for operand, result in zip(outputs, results, strict=True):
            deliver(operand, result)


def need(storage: Storage) -> None:
    """Bytes for a storage that an entry reads before anything wrote it (`torch.empty`), or the error that prevented them."""
    if storage.error is not None:
        raise storage.error
    storage.allocate()


def cast(value: Any, plan: Plan, position: int) -> Any:
    """An input of a pointwise rule in the dtype that it computes in."""
    if position in plan.uncast:
        return value
    low = plan.low
    if isinstance(value, np.ndarray):
        if low is not None and value.dtype != low and (value.ndim or plan.card.rounds_numbers):
            value = value.astype(low)
        return value if value.dtype == plan.compute else value.astype(plan.compute)
    if low is not None and plan.card.rounds_numbers:
        value = low.type(np.float32(value))  # PyTorch rounds twice
    return scalar(value, plan)


def scalar(value: Any, plan: Plan) -> Any:
    """A Python number as the compute dtype, wrapping integers as C does."""
    compute = plan.compute
    assert compute is not None
    if compute.kind in "iu" and not isinstance(value, float):
        bits = compute.itemsize * 8
        wrapped = int(value) & ((1 << bits) - 1)
        if compute.kind == "i" and wrapped >> (bits - 1):
            wrapped -= 1 << bits
        return compute.type(wrapped)
    return compute.type(value)


def deliver(operand: tuple[Storage, int, Any], result: Any) -> None:
    """Write `result` where the operand says."""
    storage, offset, layout = operand
    if storage.data is None and offset == 0 and layout.contiguous:
        result = np.ascontiguousarray(result)
        if result.dtype == layout.dtype.numpy and result.shape == layout.shape and result.flags.owndata and result.flags.writeable and result.nbytes == storage.nbytes:
            storage.data = result.reshape(-1).view(np.uint8)
            return
    if storage.data is None:
        storage.allocate()
    target = storage.array(offset, layout)
    if not layout.dense and not is_injective(layout.shape, layout.stride):
        # Of elements that share a place, those that the op has left alone must not undo the others.
        np.copyto(target, result, casting="unsafe", where=target != result)
        return
    np.copyto(target, result, casting="unsafe")
