"""Gradients that are one entry each, and their own gradients.

The gradient of a common op stands on a card of its own, such as `tanh_backward`: quick to record, and one kernel when
compiled. A card that can give several gradients has a static argument `output_mask` and outputs just those that it says.
Where gradients are differentiated in turn, the rules of such a card are either written out, or they come `through` the
same formula in public ops, which is slower and needs nothing more to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..grad_mode import enable_grad
from ..graph import grad_state
from .card import Card, apply

if TYPE_CHECKING:
    from ..tensor import Tensor


def apply_masked(card: Card, operands: Sequence[Any], static: tuple[Any, ...], output_mask: tuple[bool, ...]) -> list[Tensor | None]:
    """What a gradient card with `output_mask` as its last static gives: None in the place of what is not wanted."""
    found = apply(card, operands, (*static, output_mask))
    results = iter(found if isinstance(found, tuple) else (found,))
    return [next(results) if wanted else None for wanted in output_mask]


def masked(output_mask: Sequence[bool], *values: Any) -> list[Any]:
    """The values that the mask says."""
    return [value for value, wanted in zip(values, output_mask, strict=True) if wanted]


def results(found: Sequence[Any]) -> Any:
    """What a NumPy rule of a variable number of outputs gives: one alone is no sequence."""
    return found[0] if len(found) == 1 else found


def through(formula: Callable[..., Any], g: Any, needs: Sequence[bool], operands: Sequence[Any], *static: Any) -> list[Tensor | None]:
    """The gradients of ``formula(*operands, *static)`` for the operands that are needed.

    `g` is the gradient of its result, or a tuple where the formula gives several; None in it is left out.
    """
    from ..autograd import grad

    with enable_grad():
        # Fresh views, so that an operand computed from another counts as independent of it.
        own = [t.view_as(t) if wanted else t for t, wanted in zip(operands, needs, strict=True)]
        found = formula(*own, *static)
    outputs = found if isinstance(found, (tuple, list)) else [found]
    incoming = g if isinstance(g, tuple) else (g,)
    pairs = [(r, i) for r, i in zip(outputs, incoming, strict=True) if i is not None and r.requires_grad]
    if not pairs:
        return [None] * len(needs)
    grads = iter(grad([r for r, _ in pairs], masked(needs, *own), [i for _, i in pairs], create_graph=grad_state.enabled, allow_unused=True))
    return [next(grads) if wanted else None for wanted in needs]
