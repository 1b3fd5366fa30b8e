"""`torch.xpu`: a kind of device that is not here."""

from __future__ import annotations


def is_available() -> bool:
    """False.

    >>> torch.xpu.is_available()
    False
    """
    return False


def device_count() -> int:
    """0."""
    return 0


def empty_cache() -> None:
    """Accepted: there is no cache to empty."""


def manual_seed(seed: int) -> None:
    """Accepted: it seeds the devices there are, none."""
