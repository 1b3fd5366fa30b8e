"""Deprecated names of `torch.amp` for CUDA: without CUDA they do nothing, and say so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from .. import amp, dtypes as dt


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"`torch.cuda.amp.{name}` is deprecated. Please use `torch.amp.{instead}` instead.", FutureWarning, stacklevel=3)


def amp_definitely_not_available() -> bool:
    """True: there is no CUDA."""
    return True


class autocast(amp.autocast):
    """Deprecated: ``torch.amp.autocast("cuda", ...)``, which does nothing without CUDA."""

    def __init__(self, enabled: bool = True, dtype: dt.dtype = dt.float16, cache_enabled: bool = True) -> None:
        _deprecated("autocast(args...)", "autocast('cuda', args...)")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """Deprecated: ``torch.amp.GradScaler("cuda", ...)``, which passes everything on without CUDA."""

    def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        _deprecated("GradScaler(args...)", "GradScaler('cuda', args...)")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: dt.dtype | None = None) -> Callable[..., Any]:
    """Deprecated: ``torch.amp.custom_fwd(..., device_type="cuda")``."""
    _deprecated("custom_fwd(args...)", "custom_fwd(args..., device_type='cuda')")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any]) -> Callable[..., Any]:
    """Deprecated: ``torch.amp.custom_bwd(..., device_type="cuda")``."""
    _deprecated("custom_bwd(args...)", "custom_bwd(args..., device_type='cuda')")
    return amp.custom_bwd(bwd, device_type="cuda")
