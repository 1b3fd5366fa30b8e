"""Adamax: Adam with the infinity norm."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_betas, check_lr, check_range, snapshot


def adamax_rule(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_inf: Tensor,
    *,
    beta1: float,
    beta2: float,
    step_size: float,
    eps: float,
) -> None:
    exp_avg.lerp_(grad, 1 - beta1)
    exp_inf.copy_((exp_inf * beta2).maximum(grad.abs() + eps))
    param.addcdiv_(snapshot(exp_avg), snapshot(exp_inf), value=-step_size)


class Adamax(RuleOptimizer):
    """Adam whose second moment is a decaying maximum of the gradients' magnitudes.

    Source: Kingma and Ba, section 7.1, https://arxiv.org/abs/1412.6980

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adamax([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    rule = adamax_rule

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "step_size": self._number(group["lr"]) / (1 - beta1**step),
            "eps": group["eps"],
        }
