"""Adam and its variants with decoupled weight decay and with the maximum of past second moments."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_betas, check_lr, check_range, snapshot


def adam_rule(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor | None = None,
    *,
    beta1: float | Tensor,
    beta2: float | Tensor,
    step_size: float | Tensor,
    bias_correction2_sqrt: float | Tensor,
    eps: float,
) -> None:
    exp_avg.lerp_(grad, 1 - beta1)
    if isinstance(beta2, Tensor):
        exp_avg_sq.lerp_(grad.square(), 1 - beta2)
    else:
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    if max_exp_avg_sq is not None:
        exp_avg_sq = max_exp_avg_sq.copy_(snapshot(max_exp_avg_sq).maximum(snapshot(exp_avg_sq)))
    denom = exp_avg_sq.sqrt() / bias_correction2_sqrt + eps
    if isinstance(step_size, Tensor):
        param.addcdiv_(snapshot(exp_avg) * -step_size, denom)
    else:
        param.addcdiv_(snapshot(exp_avg), denom, value=-step_size)


class Adam(RuleOptimizer):
    """Adam: steps by the mean of past gradients over the root of the mean of their squares.

    Source: Kingma and Ba, https://arxiv.org/abs/1412.6980; ``amsgrad``: https://openreview.net/forum?id=ryQu7f-RZ

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adam([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    rule = adam_rule
    later_options: ClassVar = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        if not all(isinstance(beta, float) for beta in betas) and not all(isinstance(beta, Tensor) for beta in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        for index, beta in enumerate(betas):
            if not isinstance(beta, Tensor):
                continue
            if not capturable and foreach:
                raise ValueError(f"betas[{index}] as a Tensor is not supported for capturable=False and foreach=True")
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{index}] must be 1-element")
        defaults = {
            "lr": lr,
            "betas": tuple(beta.squeeze() if isinstance(beta, Tensor) and beta.dim() != 0 else beta for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _check_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if group["foreach"] and isinstance(group["lr"], Tensor) and not group["capturable"]:
            raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")
        super()._check_step(group, params)

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        beta1, beta2 = map(self._number, group["betas"])
        return {
            "beta1": beta1,
            "beta2": beta2,
            "step_size": self._number(group["lr"]) / (1 - beta1**step),
            "bias_correction2_sqrt": (1 - beta2**step) ** 0.5,
            "eps": group["eps"],
        }
