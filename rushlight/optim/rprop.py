"""Rprop: resilient backpropagation."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, scalar_state, snapshot


def rprop_rule(
    param: Tensor,
    grad: Tensor,
    prev: Tensor,
    step_size: Tensor,
    *,
    etaminus: float,
    etaplus: float,
    step_size_min: float,
    step_size_max: float,
) -> None:
    agreement = (grad * snapshot(prev)).sign()
    # The innermost default keeps NaN where the gradient is NaN.
    factor = agreement.masked_fill(agreement == 0, 1)
    factor = factor.masked_fill(agreement < 0, etaminus)
    factor = factor.masked_fill(agreement > 0, etaplus)
    step_size.mul_(factor).clamp_(step_size_min, step_size_max)
    grad = grad.masked_fill(agreement < 0, 0)
    param.addcmul_(grad.sign(), snapshot(step_size), value=-1)
    prev.copy_(grad)


class Rprop(RuleOptimizer):
    """Steps by the sign of each gradient, with a size per element that grows while the sign stays the same.

    ``etas`` shrink and grow the sizes, which stay within ``step_sizes``. For full batches.
    Source: Riedmiller and Braun, https://doi.org/10.1109/ICNN.1993.298623

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Rprop([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    foreach_is_not_for_xla = False
    rule = rprop_rule

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        lr = self._known.read(group["lr"]) if isinstance(group["lr"], Tensor) else group["lr"]
        return {
            "step": scalar_state(0.0),
            "prev": ops.zeros_like(param),
            "step_size": ops.full_like(grad, complex(lr, lr) if param.is_complex() else lr),
        }

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        etaminus, etaplus = group["etas"]
        step_size_min, step_size_max = group["step_sizes"]
        return {
            "etaminus": etaminus,
            "etaplus": etaplus,
            "step_size_min": step_size_min,
            "step_size_max": step_size_max,
        }
