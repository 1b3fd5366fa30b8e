"""`torch.backends.mps`: Apple's GPU, which is not used here."""

from __future__ import annotations


def is_available() -> bool:
    """False.

    >>> torch.backends.mps.is_available()
    False
    """
    return False


def is_built() -> bool:
    """False."""
    return False
