"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, check_range, scalar_state


def asgd_rule(param: Tensor, grad: Tensor, ax: Tensor, *, lambd: float, eta: float, mu: float) -> None:
    param.mul_(1 - lambd * eta)
    param.add_(grad, alpha=-eta)
    if mu == 1:
        ax.copy_(param)
    else:
        ax.add_((param - ax) * mu)


class ASGD(RuleOptimizer):
    """Gradient descent with a decaying step size, which keeps the average of the iterates after ``t0`` steps.

    The average is ``state[param]["ax"]``. Source: Polyak and Juditsky, https://doi.org/10.1137/0330046

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.ASGD([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.8000])
    """

    rule = asgd_rule
    scalar_keys = ("step", "eta", "mu")
    capturable_tensors = "params, mus, etas, and state_steps"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_range("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("ax",)

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": scalar_state(0.0),
            "eta": scalar_state(float(self._number(group["lr"]))),
            "mu": scalar_state(1.0),
            "ax": ops.zeros_like(param),
        }

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        scalars = {
            "lambd": group["lambd"],
            "eta": values["eta"],
            "mu": values["mu"],
        }
        # The state holds the values that the next step uses.
        lr = float(self._number(group["lr"]))
        values["eta"] = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
        values["mu"] = 1 / max(1, step - group["t0"])
        return scalars
