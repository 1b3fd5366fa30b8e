"""Plans: what a card does on given layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..shape import Layout
from .gradient import Gradient

if TYPE_CHECKING:
    from .card import Card

Static = tuple[Any, ...]


class Plan:
    """What a card does on given layouts with given static arguments: inferred once, then looked up."""

    __slots__ = ("card", "params", "operands", "outs", "nbytes", "rule", "compute", "low", "uncast", "ufunc", "settled", "flows", "deltas", "native", "calls", "gradients", "in_place")

    def __init__(self, card: Card, static: Static, operands: tuple[Any, ...], outs: tuple[Layout, ...], compute: np.dtype | None = None) -> None:
        self.card = card
        self.in_place = card.in_place
        self.params: dict[str, Any] = dict(zip(card.statics, static, strict=True))
        self.operands = operands  # layouts, and the types of Python numbers
        self.outs = outs
        self.nbytes = sum(o.nbytes for o in outs)
        self.rule = card.numpy
        self.compute = compute  # the dtype in which a pointwise rule computes
        self.low: np.dtype | None = None  # the half-precision dtype to which operands are rounded before
        self.uncast: Sequence[int] = ()
        self.ufunc = False
        self.calls: Any = None  # the kernel calls that `Calls` gave for it, False for none (engine/fuse.py)
        self.native: Any = None  # how the engine runs such an entry by itself, once it has decided (engine/execute.py)
        self.deltas: tuple[int, ...] = ()  # of a view: how far its outputs begin behind the input
        self.gradients: dict[int, Gradient] = {}  # by the set of operands that need one, a bit for each
        self.settled = False  # whether all operands of a pointwise rule have the dtype that it computes in
        # The outputs that have a gradient.
        self.flows: Sequence[int] = card.differentiable if card.differentiable is not None else [n for n, o in enumerate(outs) if o.dtype.category >= dt.FLOAT]

    def gradient(self, bits: int) -> Gradient:
        """The gradients of the operands whose bits are set."""
        found = self.gradients.get(bits)
        if found is None:
            found = self.gradients[bits] = Gradient(self, bits)
        return found

    def __repr__(self) -> str:
        return f"<plan of {self.card.name} on {self.operands} -> {self.outs}>"
