"""`torch.cuda` on a machine without CUDA: it says so, and raises PyTorch's error where a device is asked for."""

from __future__ import annotations

from typing import Any

from ..devices import NO_CUDA, device as Device
from . import amp as amp


def is_available() -> bool:
    """False: there is no CUDA here.

    >>> torch.cuda.is_available()
    False
    """
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0.

    >>> torch.cuda.device_count()
    0
    """
    return 0


def manual_seed(seed: int) -> None:
    """Accepted: it seeds the devices there are, none."""


def manual_seed_all(seed: int) -> None:
    """Accepted: it seeds the devices there are, none."""


def seed() -> None:
    """Accepted: it seeds the devices there are, none."""


seed_all = seed


def empty_cache() -> None:
    """Accepted: there is no cache to empty."""


def ipc_collect() -> None:
    """Accepted: there is nothing to collect."""


def _none_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = _none_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Accepted: there are no statistics."""


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


def get_rng_state_all() -> list[Any]:
    """The states of the devices there are: none."""
    return []


def get_arch_list() -> list[str]:
    """The architectures that this build was compiled for: none."""
    return []


def _refuse(*args: Any, **kwargs: Any) -> Any:
    """Raises PyTorch's AssertionError: there is no CUDA here."""
    raise AssertionError(NO_CUDA)


init = synchronize = current_device = set_device = get_device_name = get_device_properties = get_device_capability = _refuse
current_stream = default_stream = Event = Stream = get_rng_state = set_rng_state = memory_summary = mem_get_info = _refuse
utilization = can_device_access_peer = memory_stats = _refuse


class device:
    """Selects a device for a block; without CUDA there is none to select, and a negative index or None selects nothing."""

    def __init__(self, device: Any) -> None:
        self.index = device if isinstance(device, int) else Device(device).index if device is not None else -1

    def __enter__(self) -> None:
        if self.index is not None and self.index >= 0:
            raise AssertionError(NO_CUDA)

    def __exit__(self, *exc: object) -> None:
        return None


def stream(stream: Any) -> Any:
    """A block that runs on a stream; None is no stream, which is all there is here."""
    import contextlib

    if stream is not None:
        raise AssertionError(NO_CUDA)
    return contextlib.nullcontext()


class _CudaTensorType:
    """`torch.cuda.FloatTensor` and its like: no tensor is one, and none can be made."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"type torch.cuda.{self.__name__} not available. Torch not compiled with CUDA enabled.")

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<class 'torch.cuda.{self.__name__}'>"


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = map(_CudaTensorType, ("FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor"))
LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor, BoolTensor = map(
    _CudaTensorType, ("LongTensor", "IntTensor", "ShortTensor", "CharTensor", "ByteTensor", "BoolTensor")
)
