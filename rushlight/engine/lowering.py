"""What a card says of its native form. `ops/` writes these; the engine reads them.

- `Loop`: a formula over terms, for an op that is a loop over elements or rows. Loops of one shape are fused.
- `Calls`: kernel calls of its own, for products of matrices and the like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import dtypes as dt
from ..shape import Layout, Shape
from .kernel import Lowered
from .terms import Term

if TYPE_CHECKING:
    from ..ops.card import Plan


FLOATING = (dt.float32, dt.float64)
#: The dtypes of floats that loops take: half precision is computed in float32.
LOOPED = (*FLOATING, dt.bfloat16, dt.float16)

#: From so many elements on, a sum over everything is the sum of the sums of blocks of so many.
ROW_BLOCK = 8192


class Space(NamedTuple):
    """What a loop runs over: `shape`, whose dims from `split` on make the row; None if any dims may."""

    shape: Shape
    split: int | None = None
    blocked: bool = False  # whether the row's sum is that of its blocks (ROW_BLOCK)


class Column(NamedTuple):
    """A result that is the sum over all rows of a term."""

    term: Term
    half: str = ""  # "bf16" or "f16" if the sum is rounded to that; the engine fills it in


def elementwise(plan: Plan) -> Space:
    """Every element of the output."""
    return Space(plan.outs[0].shape)


def rows(layout: Layout, dims: int) -> Space | None:
    """Rows of the last `dims` dims, of floats."""
    return Space(layout.shape, layout.ndim - dims) if layout.dtype in LOOPED else None


class Loop:
    """``body(k, *operands, **statics)`` gives the output's term, or one for each output.

    `space` gives what the loop runs over, or None where there is no native form; by default every element of the output. An operand
    whose position is in `kept` has one element for each row, one in `channels` one for each place of dim 1. `otherwise` makes the
    kernel calls of a plan that has no space.
    """

    __slots__ = ("body", "space", "kept", "channels", "otherwise")

    def __init__(
        self, body: Callable[..., Any], space: Callable[[Plan], Space | None] = elementwise, kept: Sequence[int] = (), channels: Sequence[int] = (), otherwise: Calls | None = None
    ) -> None:
        self.body, self.space, self.kept, self.channels, self.otherwise = body, space, frozenset(kept), frozenset(channels), otherwise


#: How calls serve half precision: made for other dtypes, or with kernels that know it.
AS_FLOAT, AS_BITS, AS_GIVEN = "float", "bits", "given"


class Calls:
    """``make(plan)`` gives the kernel calls of an entry, or None where there is no native form.

    exact: whether NumPy's bits are the same, as they are of copies.
    half: how it is done in half precision (half.py), if it is: as float32 rounded at the end, as the bits that they are, or by `make` itself.
    complex: whether `make` knows complex numbers.
    """

    __slots__ = ("make", "exact", "half", "complex")

    def __init__(self, make: Callable[[Plan], Lowered | None], *, exact: bool = False, half: str = "", complex: bool = False) -> None:
        self.make, self.exact, self.half, self.complex = make, exact, half, complex


Lowering = Loop | Calls
