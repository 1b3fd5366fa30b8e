"""Half precision for entries with kernel calls of their own, which are made for other dtypes.

Where numbers are computed, operands become float32 in the workspace, and results are rounded once. Where elements are only moved, they
are moved as int16. Matrix products, convolutions, batch norm and, by pairs, attention have kernels that read and write half precision;
where these do not apply, they too go through float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..shape import Layout, contiguous, layout
from .copied import through_copies, with_layouts
from .kernel import Lowered
from .lowering import AS_BITS, AS_FLOAT, AS_GIVEN, Calls
from .terms import HALF, WIDENED

if TYPE_CHECKING:
    from ..ops.card import Plan


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


def as_bits(plan: Plan, make: Callable[[Plan], Lowered | None]) -> Lowered | None:
    """The calls that move elements as integers of their size."""
    return make(with_layouts(plan, _as_bits))


def as_float(plan: Plan, make: Callable[[Plan], Lowered | None]) -> Lowered | None:
    """The calls for float32, between copies of operands and of results."""
    return through_copies(plan, _widened, make)


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
