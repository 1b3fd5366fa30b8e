"""`torch.backends.cpu`."""

from __future__ import annotations

import platform


def get_cpu_capability() -> str:
    """"DEFAULT": kernels are not chosen by the CPU's capability.

    >>> torch.backends.cpu.get_cpu_capability()
    'DEFAULT'
    """
    return "DEFAULT"


def machine() -> str:
    """The CPU's architecture, such as ``x86_64``."""
    return platform.machine()
