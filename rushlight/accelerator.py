"""`torch.accelerator`: the accelerator of this machine, none."""

from __future__ import annotations

from .devices import NO_ACCELERATOR, device


def is_available() -> bool:
    """False.

    >>> torch.accelerator.is_available()
    False
    """
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None: there is no accelerator.

    >>> torch.accelerator.current_accelerator() is None
    True
    """
    return None


def empty_cache() -> None:
    """Accepted: there is no cache to empty."""


def _refuse(*args: object) -> None:
    """Raises: there is no accelerator."""
    raise RuntimeError(NO_ACCELERATOR)


current_device_index = set_device_index = synchronize = current_stream = _refuse
