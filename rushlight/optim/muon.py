"""Muon: momentum whose update is made orthogonal."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from .. import ops
from ..tensor import Tensor
from .optimizer import ParamsT
from .rule_optimizer import RuleOptimizer, check_lr


def orthogonalized(update: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest orthogonal matrix, nearly, by a quintic Newton-Schulz iteration in bfloat16."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = update.size(0) > update.size(1)
    ortho = update.bfloat16().T if tall else update.bfloat16()
    ortho = ortho / ortho.norm().clamp(min=eps)
    for _ in range(steps):
        gram = ortho @ ortho.T
        ortho = ops.addmm(ortho, ops.addmm(gram, gram, gram, beta=b, alpha=c), ortho, beta=a)
    return ortho.T if tall else ortho


def adjusted_lr(lr: float, adjust_lr_fn: str | None, rows: int, columns: int) -> float:
    if adjust_lr_fn == "match_rms_adamw":
        return lr * 0.2 * math.sqrt(max(rows, columns))
    return lr * math.sqrt(max(1, rows / columns))


def muon_rule(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    eps: float,
    adjust_lr_fn: str | None,
) -> None:
    momentum_buffer.lerp_(grad, 1 - momentum)
    update = grad.lerp(momentum_buffer, momentum) if nesterov else momentum_buffer
    update = orthogonalized(update, ns_coefficients, ns_steps, eps)
    param.add_(update, alpha=-adjusted_lr(lr, adjust_lr_fn, *param.shape))


class Muon(RuleOptimizer):
    """Momentum for matrices whose update is replaced by the nearest orthogonal matrix. Decoupled weight decay.

    Source: Jordan, https://kellerjordan.github.io/posts/muon; ``adjust_lr_fn="match_rms_adamw"``:
    https://arxiv.org/abs/2502.16982

    >>> weight = nn.Parameter(torch.eye(2))
    >>> optimizer = torch.optim.Muon([weight], lr=0.1)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> optimizer.state[weight]["momentum_buffer"][0]
    tensor([0.0500, 0.0500])
    """

    rule = muon_rule
    elementwise = False
    scalar_keys = ()
    later_options: ClassVar = {}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                if param.dim() != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}"
                    )

    def _check_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if any(param.is_complex() for param in params):
            raise RuntimeError("Muon does not support complex parameters")
        if any(param.dim() != 2 for param in params):
            raise ValueError("Param gradient must be a 2D matrix")

    def _buffers(self, group: dict[str, Any], param: Tensor) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _new_state(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": ops.zeros_like(grad)}

    def _decay(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"shrink": 1 - self._number(group["lr"]) * group["weight_decay"]}

    def _scalars(self, group: dict[str, Any], values: dict[str, float], step: float) -> dict[str, Any]:
        options = ("momentum", "nesterov", "ns_coefficients", "ns_steps", "eps", "adjust_lr_fn")
        return {"lr": self._number(group["lr"]), **{option: group[option] for option in options}}
