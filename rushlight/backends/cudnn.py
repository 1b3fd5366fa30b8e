"""`torch.backends.cudnn`: flags that programs set; there is no cuDNN for them to steer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False.

    >>> torch.backends.cudnn.is_available()
    False
    """
    return False


def version() -> int | None:
    """None: there is no cuDNN."""
    return None


def is_acceptable(tensor: object) -> bool:
    """False: no tensor is on a device that cuDNN serves."""
    return False


@contextlib.contextmanager
def flags(enabled: bool = False, benchmark: bool = False, benchmark_limit: int = 10, deterministic: bool = False, allow_tf32: bool = True) -> Iterator[None]:
    """Set the flags for a block."""
    wanted = {"enabled": enabled, "benchmark": benchmark, "benchmark_limit": benchmark_limit, "deterministic": deterministic, "allow_tf32": allow_tf32}
    space = globals()
    before = {name: space[name] for name in wanted}
    space.update(wanted)
    try:
        yield
    finally:
        space.update(before)
