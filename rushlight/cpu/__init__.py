"""`torch.cpu`: the device that is always there, in the terms in which programs ask other devices."""

from __future__ import annotations

from typing import Any

from . import amp as amp


def is_available() -> bool:
    """True.

    >>> torch.cpu.is_available()
    True
    """
    return True


def device_count() -> int:
    """1.

    >>> torch.cpu.device_count()
    1
    """
    return 1


def current_device() -> str:
    """"cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Accepted: what is pending runs when it is asked for."""
