"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import (
    RuleOptimizer,
    check_betas,
    check_lr,
    check_range,
    scalar_state,
    snapshot,
)


def nadam_rule(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    beta1: float,
    beta2: float,
    bias_correction2: float,
    grad_step_size: float,
    exp_avg_step_size: float,
    eps: float,
) -> None:
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denom = (exp_avg_sq / bias_correction2).sqrt() + eps
    param.addcdiv_(grad, denom, value=-grad_step_size)
    param.addcdiv_(snapshot(exp_avg), denom, value=-exp_avg_step_size)


class NAdam(RuleOptimizer):
    """Adam with Nesterov momentum, whose coefficient grows over the steps by ``momentum_decay``.

    Source: Dozat, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.NAdam([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.8944])
    """

    rule = nadam_rule
    scalar_keys = ("step", "mu_product")
    later_options: ClassVar = {**RuleOptimizer.later_options, "decoupled_weight_decay": False}
    capturable_tensors = "params, mu_products and state_steps"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_range("momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": scalar_state(0.0),
            "mu_product": scalar_state(1.0),
            "exp_avg": ops.zeros_like(param),
            "exp_avg_sq": ops.zeros_like(param),
        }

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        lr, decay = self._number(group["lr"]), group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        values["mu_product"] *= mu
        mu_product = values["mu_product"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "bias_correction2": 1 - beta2**step,
            "grad_step_size": lr * (1.0 - mu) / (1.0 - mu_product),
            "exp_avg_step_size": lr * mu_next / (1.0 - mu_product * mu_next),
            "eps": group["eps"],
        }
