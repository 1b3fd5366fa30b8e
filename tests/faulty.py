"""Cards whose NumPy rule fails when it is told to."""

from __future__ import annotations

import numpy as np

from rushlight.ops.card import CARDS, Card
from rushlight.shape import contiguous


class Fault:
    """What a faulty card raises when it runs next; None for nothing."""

    raised: BaseException | None = None


def _run(input: np.ndarray) -> np.ndarray:
    if Fault.raised is not None:
        error, Fault.raised = Fault.raised, None
        raise error
    return input + 1


def faulty_card(name: str) -> Card:
    """An op that adds 1. The registry stays as the package left it."""
    card = Card(name, "input", infer=lambda input: contiguous(input.shape, input.dtype), numpy=_run, no_grad_reason="a fault to test with")
    del CARDS[name]
    return card
