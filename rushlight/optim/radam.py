"""RAdam: Adam with the variance of its early steps rectified."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_betas, check_lr, check_range


def radam_rule(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    bias_correction1: float,
    rectification: float | None,
    eps: float,
) -> None:
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    update = exp_avg / bias_correction1 * lr
    if rectification is not None:
        update = update * (rectification / (exp_avg_sq.sqrt() + eps))
    param.sub_(update)


class RAdam(RuleOptimizer):
    """Adam that takes plain momentum steps until the second moment has been estimated from enough gradients.

    Source: Liu et al., https://arxiv.org/abs/1908.03265

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.RAdam([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.8000])
    """

    rule = radam_rule
    later_options: ClassVar = {**RuleOptimizer.later_options, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        bias_correction2 = 1 - beta2**step
        # The length of the simple moving average that the exponential one amounts to, in the limit and now.
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / bias_correction2
        rectification = None
        if rho > 5.0:
            variance_ratio = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
            rectification = (variance_ratio * bias_correction2) ** 0.5
        return {
            "beta1": beta1,
            "beta2": beta2,
            "lr": self._number(group["lr"]),
            "bias_correction1": 1 - beta1**step,
            "rectification": rectification,
            "eps": group["eps"],
        }
