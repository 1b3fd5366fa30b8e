"""Which gradient rules of a card run for some of its operands, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..graph import CardNode
    from ..tensor import Tensor
    from .card import Card, Plan

Rule = Callable[..., Any]

#: The name of nodes of ops that have no gradient.
NO_GRADIENT = "torch::autograd::NotImplemented"


class Gradient:
    """How the gradients of some operands of a plan are computed: worked out once for each choice of operands."""

    __slots__ = ("needs", "saves", "saves_outputs", "saves_anything", "joint", "rules")

    def __init__(self, plan: Plan, bits: int) -> None:
        card = plan.card
        count = len(plan.operands)
        self.needs = tuple(bool(bits >> n & 1) for n in range(count))
        names = [card.operands[min(n, len(card.operands) - 1)] for n in range(count)]
        parameters = {name: parameters_of(rule) for name, rule in card.grads.items()}

        def argument(name: str) -> int | tuple[int, ...] | _Known:
            """Where a rule's argument comes from: what the node has saved, or what is known already."""
            if name in plan.params:
                return _Known(plan.params[name])
            if name == "layouts":
                return _Known(plan.operands)
            if name == "needs":
                return _Known(self.needs)
            if name in card.outputs:
                return -1 - card.outputs.index(name)
            n = card.operands.index(name)
            if card.variadic and n == len(card.operands) - 1:
                return tuple(range(n, count))
            return n if n < count else _Known(None)

        # Each rule with its arguments: of the joint rule, or of each operand's own (None where no gradient is needed).
        self.joint: tuple[Rule, list[Any]] | None = None
        self.rules: list[tuple[Rule, list[Any]] | None] = []
        named: set[str] = set()
        if card.joint is not None:
            named.update(parameters_of(card.joint))
            self.joint = card.joint, [argument(p) for p in parameters_of(card.joint)]
        else:
            for name, needed in zip(names, self.needs, strict=True):
                rule = card.grads.get(name) if needed else None
                if needed and rule is None:
                    rule = _refusal(card, name)
                    self.rules.append((rule, []))
                elif rule is None:
                    self.rules.append(None)
                else:
                    named.update(parameters[name])
                    self.rules.append((rule, [argument(p) for p in parameters[name]]))
        self.saves = tuple(n for n, name in enumerate(names) if name in named)
        self.saves_outputs = tuple(n for n, name in enumerate(card.outputs) if name in named)
        self.saves_anything = card.saves_anything

    def run(self, node: CardNode, g: Any) -> Sequence[Tensor | None]:
        """The gradients of the operands, from that of the output or, of several outputs, a tuple of theirs."""

        def argument(source: Any) -> Any:
            if type(source) is int:
                return node.get(source)
            return source.value if type(source) is _Known else tuple([node.get(n) for n in source])

        if self.joint is not None:
            rule, sources = self.joint
            return rule(g, *[argument(source) for source in sources])
        found: list[Tensor | None] = []
        for entry in self.rules:
            if entry is None:
                found.append(None)
            else:
                rule, sources = entry
                found.append(rule(g, *[argument(source) for source in sources]) if sources else rule(g))
        return found


class _Known:
    """An argument of a gradient rule that every node of a plan is given alike."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _refusal(card: Card, operand: str) -> Rule:
    """The gradient rule of an operand that has none. Nodes with a name of their own say what is missing, as in PyTorch."""

    def refuse(g: Any) -> Any:
        if not card.grads:
            kind = RuntimeError if card.node_name == NO_GRADIENT else NotImplementedError
            raise kind(card.no_grad_reason or f"derivative for {card.name} is not implemented")
        raise NotImplementedError(f"the derivative for '{card.name}: {operand}' is not implemented.")

    return refuse


def parameters_of(rule: Rule) -> tuple[str, ...]:
    """The names of what a gradient rule takes besides the gradient, in its order."""
    code = rule.__code__
    return code.co_varnames[1 : code.co_argcount]
