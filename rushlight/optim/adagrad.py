"""Adagrad: steps scaled by the sum of all past squared gradients."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from ..dtypes import float32
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, check_range, scalar_state


def adagrad_rule(param: Tensor, grad: Tensor, sum: Tensor, *, step_size: float, eps: float) -> None:
    sum.addcmul_(grad, grad)
    param.addcdiv_(grad, sum.sqrt() + eps, value=-step_size)


class Adagrad(RuleOptimizer):
    """Steps by each gradient over the root of the sum of all past squared gradients.

    Source: Duchi et al., https://jmlr.org/papers/v12/duchi11a.html

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adagrad([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    rule = adagrad_rule
    later_options: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_range("lr_decay value", lr_decay)
        check_range("weight_decay value", weight_decay)
        check_range("initial_accumulator_value value", initial_accumulator_value)
        check_range("epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param].update(self._new_state(param, param, group))

    def share_memory(self) -> None:
        """Move the accumulated sums to shared memory, for training in several processes."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("sum",)

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        value = self.defaults["initial_accumulator_value"]
        return {
            "step": scalar_state(0.0, float32 if group["fused"] else None),
            "sum": ops.full_like(param, complex(value, value) if param.is_complex() else value),
        }

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        return {
            "step_size": self._number(group["lr"]) / (1 + (step - 1) * group["lr_decay"]),
            "eps": group["eps"],
        }
