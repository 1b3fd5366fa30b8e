"""Half precision for entries with kernel calls of their own, which are made for other dtypes.

Where numbers are computed, operands become float32 in the workspace, and results are rounded once. Where elements are only moved, they
are moved as int16. Matrix products, convolutions, batch norm and, by pairs, attention have kernels that read and write half precision;
where these do not apply, they too go through float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..shape import Layout, contiguous, layout
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .lowering import AS_BITS, AS_FLOAT, AS_GIVEN, Calls
from .nests import strided_copy
from .terms import HALF, WIDENED

if TYPE_CHECKING:
    from ..ops.card import Plan

_ALIGNMENT = 64


def is_half(plan: Plan) -> bool:
    """Whether an operand or a result is in half precision, or of bytes, which can be moved as well."""
    return any(isinstance(o, Layout) and o.dtype in WIDENED for o in (*plan.operands, *plan.outs))


def calls_in_half(plan: Plan, lowering: Calls) -> Lowered | None:
    """The calls of an entry in half precision, or None where there are none."""
    if not lowering.half:
        return None
    if lowering.half is not AS_BITS and any(isinstance(o, Layout) and o.dtype is dt.uint8 for o in (*plan.operands, *plan.outs)):
        return None
    if lowering.half is AS_GIVEN:
        return lowering.make(plan)
    return as_float(plan, lowering.make) if lowering.half is AS_FLOAT else as_bits(plan, lowering.make)


def _twin(plan: Plan, form: Callable[[Any], Any]) -> Plan:
    return type(plan)(plan.card, tuple(plan.params.values()), tuple(map(form, plan.operands)), tuple(map(form, plan.outs)))


def as_bits(plan: Plan, make: Callable[[Plan], Lowered | None]) -> Lowered | None:
    """The calls that move elements as integers of their size."""
    return make(_twin(plan, _as_bits))


def as_float(plan: Plan, make: Callable[[Plan], Lowered | None]) -> Lowered | None:
    """The calls for float32, between copies of operands and of results."""
    twin = _twin(plan, _widened)
    lowered = make(twin)
    if lowered is None:
        return None
    places: dict[int, int] = {}  # by the number of an operand: where its float32 form is in the workspace
    used = lowered.workspace
    before: list[Call] = []
    after: list[Call] = []
    count = len(plan.operands)
    pairs: Sequence[tuple[Any, Any]] = list(zip((*plan.operands, *plan.outs), (*twin.operands, *twin.outs), strict=True))
    for n, (given, wide) in enumerate(pairs):
        if given is wide:
            continue
        places[n] = used = -(-used // _ALIGNMENT) * _ALIGNMENT
        narrow, float32 = (Pointer(n), given.stride), (Pointer(WORKSPACE, used), wide.stride)
        used += wide.numel * 4
        name = HALF[given.dtype]
        if n < count:
            found = strided_copy("i16", given.shape, narrow, float32, (f"from_{name}", "float"))
        else:
            found = strided_copy("float", given.shape, float32, narrow, (f"to_{name}", "i16"))
        if found is None:
            return None
        (before if n < count else after).extend(found.calls)

    def name_of(pointer: Pointer) -> Pointer:
        place = places.get(pointer.operand)
        return pointer if place is None else Pointer(WORKSPACE, place + pointer.offset)

    return Lowered((*before, *(call.renamed(name_of) for call in lowered.calls), *after), used)


def _widened(operand: Any) -> Any:
    """The layout of a float32 form, in the same order of dims; what is not in half precision stays as it is."""
    if not isinstance(operand, Layout) or operand.dtype not in HALF:
        return operand
    return layout(operand.shape, operand.stride, dt.float32) if operand.dense else contiguous(operand.shape, dt.float32)


def _as_bits(operand: Any) -> Any:
    """The layout of the same memory as int16, or as int8."""
    if not isinstance(operand, Layout) or operand.dtype not in WIDENED:
        return operand
    return layout(operand.shape, operand.stride, dt.int8 if operand.dtype is dt.uint8 else dt.int16)
