"""Adafactor: Adam's second moment, factored into rows and columns."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from ..dtypes import finfo
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr, scalar_state


def adafactor_rule(
    param: Tensor,
    grad: Tensor,
    *moments: Tensor,
    relative_step: float,
    one_minus_beta2: float,
    decay: float | None,
    eps1: float | None,
    eps2: float,
    d: float,
) -> None:
    if eps1 is None:
        eps1 = finfo(param.dtype).eps
    alpha = (param.norm() / param.numel() ** 0.5).clamp(min=eps2) * relative_step
    if decay is not None:
        param.mul_(decay)
    grad_sq = grad.square()
    if len(moments) == 2:
        row_var, col_var = moments
        row_var.lerp_(grad_sq.mean(dim=-1, keepdim=True), one_minus_beta2)
        col_var.lerp_(grad_sq.mean(dim=-2, keepdim=True), one_minus_beta2)
        variance = row_var @ col_var / row_var.mean(dim=-2, keepdim=True).clamp(min=eps1)
    else:
        variance = moments[0].lerp_(grad_sq, one_minus_beta2)
    update = variance.clamp(min=eps1 * eps1).rsqrt() * grad
    clipping = (update.norm() / (update.numel() ** 0.5 * d)).clamp(min=1.0)
    param.sub_(update * (alpha / clipping))


class Adafactor(RuleOptimizer):
    """Adam with the second moment of a matrix kept as one row and one column, and with steps relative to its size.

    ``eps`` bounds the second moment (None: the dtype's epsilon) and the size of the parameter from below, ``d`` bounds
    the size of an update. Source: Shazeer and Stern, https://arxiv.org/abs/1804.04235

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adafactor([weight], lr=0.1)
    >>> (weight * 2).sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000])
    """

    rule = adafactor_rule
    elementwise = False
    later_options: ClassVar = {"foreach": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if any(param.is_complex() for param in params):
            raise RuntimeError("Adafactor does not support complex parameters")

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("row_var", "col_var") if param.dim() > 1 else ("variance",)

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if param.dim() <= 1:
            return {"step": scalar_state(0.0), "variance": ops.zeros_like(grad)}
        *batch, rows, columns = grad.shape
        return {
            "step": scalar_state(0.0),
            "row_var": grad.new_zeros((*batch, rows, 1)),
            "col_var": grad.new_zeros((*batch, 1, columns)),
        }

    def _decay(self, group: dict[str, Any]) -> dict[str, Any]:
        # The rule decays by itself, after it has measured the parameter.
        return {}

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        lr = self._number(group["lr"])
        eps1, eps2 = group["eps"]
        return {
            "relative_step": min(lr, 1 / step**0.5),
            "one_minus_beta2": step ** group["beta2_decay"],
            "decay": 1 - lr * group["weight_decay"] if group["weight_decay"] != 0 else None,
            "eps1": eps1,
            "eps2": eps2,
            "d": group["d"],
        }
