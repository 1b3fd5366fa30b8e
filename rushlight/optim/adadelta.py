"""Adadelta: steps whose size follows from past steps and past gradients."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, check_range


def adadelta_rule(
    param: Tensor, grad: Tensor, square_avg: Tensor, acc_delta: Tensor, *, lr: float, rho: float, eps: float
) -> None:
    square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
    std = (square_avg + eps).sqrt()
    delta = (acc_delta + eps).sqrt() / std * grad
    acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
    param.add_(delta, alpha=-lr)


class Adadelta(RuleOptimizer):
    """Steps by each gradient times the ratio of the root mean squares of past steps and past gradients.

    Source: Zeiler, https://arxiv.org/abs/1212.5701

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adadelta([weight], lr=10.0)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9684])
    """

    rule = adadelta_rule
    capturable_devices: ClassVar = ["cuda", "xpu", "hpu", "privateuseone"]

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_range("epsilon value", eps)
        check_range("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        return {"lr": self._number(group["lr"]), "rho": group["rho"], "eps": group["eps"]}
