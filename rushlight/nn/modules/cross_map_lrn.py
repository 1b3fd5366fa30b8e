"""Local response normalization across channels, in the form that PyTorch took over from Lua Torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import ops
from ...autograd import Function
from ..module import Module

if TYPE_CHECKING:
    from ...tensor import Tensor


def _sum_channels(window: Tensor, x: Tensor) -> Tensor:
    """Sums over the channels j of x for which window[c, j] is true, for each channel c."""
    return ops.matmul(window.to(x.dtype), x.flatten(2)).view(x.shape)


class _CrossMapLRN2d(Function):
    """Both windows are PyTorch's: once past the first channels, the forward one still includes channel 0, and the
    backward one is not its mirror image. The gradient is therefore not the derivative.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        reach = int((size - 1) / 2 + 1)
        j = ops.arange(input.size(1))
        c = j.unsqueeze(1)
        window = ((j > c - reach) & (j < c + reach)) | ((j == 0) & (c >= reach))
        scale = _sum_channels(window, input.pow(2)).mul_(alpha / size).add_(k)
        output = scale.pow(-beta) * input
        ctx.save_for_backward(input, output, scale)
        ctx.settings = size, alpha, beta
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        input, output, scale = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        j = ops.arange(input.size(1))
        first = j.unsqueeze(1) - int(size - (size - 1) / 2)
        window = (j >= first) & (j < first + size)
        ratios = _sum_channels(window, grad_output * output / scale)
        return scale.pow(-beta) * grad_output - 2 * alpha * beta / size * input * ratios, None, None, None, None


class CrossMapLRN2d(Module):
    """Divide each channel by ``(k + alpha / size * sum of the squares of channels around it) ** beta``.

    `LocalResponseNorm` is the same with the right windows and gradient.

    >>> nn.CrossMapLRN2d(3)(torch.zeros(1, 4, 2, 2)).shape
    torch.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return _CrossMapLRN2d.apply(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
