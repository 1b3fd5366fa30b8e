"""RMSprop: steps scaled by a running mean of squared gradients."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, check_range, snapshot


def rmsprop_rule(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    *buffers: Tensor,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    centered: bool,
) -> None:
    square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    variance = square_avg
    if centered:
        grad_avg = buffers[-1]
        grad_avg.lerp_(grad, 1 - alpha)
        variance = square_avg.addcmul(snapshot(grad_avg), snapshot(grad_avg), value=-1)
    denom = variance.sqrt() + eps
    if momentum > 0:
        momentum_buffer = buffers[0]
        momentum_buffer.mul_(momentum).addcdiv_(grad, denom)
        param.add_(momentum_buffer, alpha=-lr)
    else:
        param.addcdiv_(grad, denom, value=-lr)


class RMSprop(RuleOptimizer):
    """Steps by each gradient over the root of a running mean of squared gradients; ``centered`` by their variance.

    Source: Hinton, lecture 6, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf;
    ``centered``: Graves, https://arxiv.org/abs/1308.0850

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.RMSprop([weight], lr=0.01)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    rule = rmsprop_rule
    foreach_is_not_for_xla = False
    later_options: ClassVar = {"momentum": 0, "centered": False, **RuleOptimizer.later_options}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_range("epsilon value", eps)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        check_range("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *momentum, "grad_avg") if group["centered"] else ("square_avg", *momentum)

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        return {
            "lr": self._number(group["lr"]),
            "alpha": group["alpha"],
            "eps": group["eps"],
            "momentum": group["momentum"],
            "centered": group["centered"],
        }
