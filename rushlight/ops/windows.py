"""Windows for signal processing: those of `torch.signal.windows`, and the older `torch.hann_window` and its kin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..memory_formats import strided
from .creation import arange, empty, linspace, ones
from .from_data import tensor

if TYPE_CHECKING:
    from ..tensor import Tensor


# torch.signal.windows: symmetric, or periodic with sym=False


def _window(name: str, M: int, dtype: dt.dtype | None, layout: Any, requires_grad: bool, compute: Callable[[dt.dtype], Tensor]) -> Tensor:
    """The checks that all windows share; `compute` is for two points or more."""
    dtype = dtype or dt.get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (dt.float32, dt.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    if M == 0:
        return empty((0,), dtype=dtype, requires_grad=requires_grad)
    return compute(dtype)


def _single(dtype: dt.dtype, requires_grad: bool) -> Tensor:
    return ones((1,), dtype=dtype, requires_grad=requires_grad)


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``exp(-|n - center| / tau)``.

    >>> torch.signal.windows.exponential(3)
    tensor([0.3679, 1.0000, 0.3679])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        if tau <= 0:
            raise ValueError(f"Tau must be positive, got: {tau} instead.")
        if sym and center is not None:
            raise ValueError("Center must be None for symmetric windows")
        if M == 1:
            return _single(dtype, requires_grad)
        middle = (M if not sym else M - 1) / 2 if center is None else center
        return (-linspace(-middle / tau, (-middle + M - 1) / tau, M, dtype=dtype, requires_grad=requires_grad).abs()).exp()

    return _window("exponential", M, dtype, layout, requires_grad, compute)


def cosine(M: int, *, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``sin(pi * (n + 0.5) / M)``.

    >>> torch.signal.windows.cosine(3)
    tensor([0.5000, 1.0000, 0.5000])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        scale = math.pi / (M + 1 if not sym and M > 1 else M)
        return linspace(0.5 * scale, (M - 0.5) * scale, M, dtype=dtype, requires_grad=requires_grad).sin()

    return _window("cosine", M, dtype, layout, requires_grad, compute)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``exp(-(n - middle)^2 / (2 * std^2))``.

    >>> torch.signal.windows.gaussian(3)
    tensor([0.6065, 1.0000, 0.6065])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        start = -(M if not sym and M > 1 else M - 1) / 2
        scale = 1 / (std * math.sqrt(2))
        return (-(linspace(start * scale, (start + M - 1) * scale, M, dtype=dtype, requires_grad=requires_grad) ** 2)).exp()

    if M >= 0 and std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", M, dtype, layout, requires_grad, compute)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``I0(beta * sqrt(1 - x^2)) / I0(beta)`` for x from -1 to 1, with the modified Bessel function I0.

    >>> torch.signal.windows.kaiser(3, beta=0.)
    tensor([1., 1., 1.])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        if M == 1:
            return _single(dtype, requires_grad)
        width = tensor(beta, dtype=dtype)
        rounded = width.item()
        end = min(rounded, -rounded + (M - 1) * 2 * rounded / (M if not sym else M - 1))
        x = linspace(-rounded, end, M, dtype=dtype, requires_grad=requires_grad)
        return (width * width - x**2).sqrt().i0() / width.i0()

    if M >= 0 and beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", M, dtype, layout, requires_grad, compute)


def bartlett(M: int, *, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A triangle from 0 to 1 and back.

    >>> torch.signal.windows.bartlett(3)
    tensor([0., 1., 0.])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        if M == 1:
            return _single(dtype, requires_grad)
        scale = 2 / (M if not sym else M - 1)
        return 1 - linspace(-1, -1 + (M - 1) * scale, M, dtype=dtype, requires_grad=requires_grad).abs()

    return _window("bartlett", M, dtype, layout, requires_grad, compute)


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The sum of ``(-1)^k * a[k] * cos(k * 2 * pi * n / (M - 1))``.

    >>> torch.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """

    def compute(dtype: dt.dtype) -> Tensor:
        if M == 1:
            return _single(dtype, requires_grad)
        if not isinstance(a, Iterable):
            raise TypeError("Coefficients must be a list/tuple")
        if not a:
            raise ValueError("Coefficients cannot be empty")
        scale = 2 * math.pi / (M if not sym else M - 1)
        angles = linspace(0, (M - 1) * scale, M, dtype=dtype, requires_grad=requires_grad)
        weights = tensor([(-1) ** k * w for k, w in enumerate(a)], dtype=dtype, requires_grad=requires_grad)
        orders = arange(weights._layout.numel, dtype=dtype, requires_grad=requires_grad)
        return (weights.unsqueeze(-1) * (orders.unsqueeze(-1) * angles).cos()).sum(0)

    return _window("general_cosine", M, dtype, layout, requires_grad, compute)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``alpha - (1 - alpha) * cos(2 * pi * n / (M - 1))``.

    >>> torch.signal.windows.general_hamming(3, alpha=0.75)
    tensor([0.5000, 1.0000, 0.5000])
    """
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def _cosine_sum(name: str, a: tuple[float, ...], doc: str) -> Callable[..., Tensor]:
    """The window with these coefficients of `general_cosine`."""

    def window(M: int, *, sym: bool = True, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        return general_cosine(M, a=a, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)

    window.__name__ = window.__qualname__ = name
    window.__doc__ = doc
    return window


hamming = _cosine_sum(
    "hamming", (0.54, 0.46),
    """Hamming's window.

    >>> torch.signal.windows.hamming(3)
    tensor([0.0800, 1.0000, 0.0800])
    """,
)  # fmt: skip
hann = _cosine_sum(
    "hann", (0.5, 0.5),
    """Hann's window, one period of a raised cosine.

    >>> torch.signal.windows.hann(3)
    tensor([0., 1., 0.])
    """,
)  # fmt: skip
blackman = _cosine_sum(
    "blackman", (0.42, 0.5, 0.08),
    """Blackman's window.

    >>> torch.signal.windows.blackman(4, dtype=torch.float64)[1]
    tensor(0.6300, dtype=torch.float64)
    """,
)  # fmt: skip
nuttall = _cosine_sum(
    "nuttall", (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    """Nuttall's minimum four-term Blackman-Harris window.

    >>> torch.signal.windows.nuttall(4)[1]
    tensor(0.5292)
    """,
)  # fmt: skip


# The older functions: periodic by default


def _older(name: str, window_length: int, periodic: bool, dtype: dt.dtype | None, requires_grad: bool, compute: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`compute` has the positions 0, 1, ... and the length of the symmetric window, one more than asked for if periodic."""
    dtype = dtype or dt.get_default_dtype()
    if dtype.category < dt.FLOAT:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype.type_name}")
    if dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex dtypes, got: {dtype.type_name}")
    if window_length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
    if window_length <= 1:
        return ones((window_length,), dtype=dtype, requires_grad=requires_grad)
    size = window_length + 1 if periodic else window_length
    found = compute(arange(size, dtype=dtype), size)
    found = found.narrow(0, 0, window_length).clone() if periodic else found
    return found.requires_grad_() if requires_grad else found


def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """``alpha - beta * cos(2 * pi * n / N)``.

    >>> torch.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    return _older("hamming_window", window_length, periodic, dtype, requires_grad, lambda n, size: (n * (2 * math.pi / (size - 1))).cos() * -beta + alpha)


def hann_window(window_length: int, periodic: bool = True, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """One period of a raised cosine.

    >>> torch.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _older("hann_window", window_length, periodic, dtype, requires_grad, lambda n, size: (n * (2 * math.pi / (size - 1))).cos() * -0.5 + 0.5)


def blackman_window(window_length: int, periodic: bool = True, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """Blackman's window.

    >>> torch.blackman_window(4)[2]
    tensor(1.)
    """

    def compute(n: Tensor, size: int) -> Tensor:
        angles = n * (math.pi / (size - 1))
        return (angles * 4).cos() * 0.08 - (angles * 2).cos() * 0.5 + 0.42

    return _older("blackman_window", window_length, periodic, dtype, requires_grad, compute)


def bartlett_window(window_length: int, periodic: bool = True, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """A triangle from 0 to 1 and back.

    >>> torch.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """

    def compute(n: Tensor, size: int) -> Tensor:
        rising = n * (2 / (size - 1))
        return rising.minimum(2 - rising)

    return _older("bartlett_window", window_length, periodic, dtype, requires_grad, compute)


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """Kaiser's window; a larger `beta` makes it narrower.

    >>> torch.kaiser_window(3, False, 0.)
    tensor([1., 1., 1.])
    """

    def compute(n: Tensor, size: int) -> Tensor:
        across = n * (2 / (size - 1)) - 1
        return ((1 - across * across).clamp(min=0).sqrt() * beta).i0() / tensor(beta, dtype=n._layout.dtype).i0()

    return _older("kaiser_window", window_length, periodic, dtype, requires_grad, compute)
