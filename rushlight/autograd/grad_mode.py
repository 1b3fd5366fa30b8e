"""The grad modes under the name that PyTorch gives them, `torch.autograd.grad_mode`."""

from __future__ import annotations

from ..grad_mode import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
