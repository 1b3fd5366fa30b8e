"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from ..ops.optimizer_step import add_scaled, add_scaled_
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, check_range


def sgd_rule(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None = None,
    *,
    lr: float | Tensor,
    momentum: float,
    dampening: float,
    nesterov: bool,
    first: bool,
) -> None:
    if momentum_buffer is not None:
        if first:
            momentum_buffer.copy_(grad.detach())
        else:
            momentum_buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
        grad = add_scaled(grad, momentum_buffer, momentum) if nesterov else momentum_buffer
    add_scaled_(param, grad, -lr)


class SGD(RuleOptimizer):
    """Stochastic gradient descent, with momentum where asked for.

    The momentum is `velocity = momentum * velocity + (1 - dampening) * grad`, and the learning rate is applied to it.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.8000])
    """

    rule = sgd_rule
    scalar_keys = ()
    later_options: ClassVar = {
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": False,
    }

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for param_state in self.state.values():
            if param_state.get("momentum_buffer", 0) is None:
                del param_state["momentum_buffer"]

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": ops.empty_like(grad)}

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        return {
            "lr": self._number(group["lr"]),
            "momentum": group["momentum"],
            "dampening": group["dampening"],
            "nesterov": group["nesterov"],
            "first": step == 1,
        }
