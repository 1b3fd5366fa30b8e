"""`torch.distributed` as it is in a PyTorch built without it: `is_available()` is False, and only the names that
PyTorch has in such a build are here, and `is_initialized()`.
"""

from __future__ import annotations


def is_available() -> bool:
    """Whether processes can work together: not yet.

    >>> torch.distributed.is_available()
    False
    """
    return False


def is_initialized() -> bool:
    """Whether the default process group is there: it never is. For programs that ask this alone.

    >>> torch.distributed.is_initialized()
    False
    """
    return False


class DistError(RuntimeError):
    """Exception raised when an error occurs in the distributed library"""


class DistBackendError(DistError):
    """Exception raised when a backend error occurs in distributed"""


class DistNetworkError(DistError):
    """Exception raised when a network error occurs in distributed"""


class DistStoreError(DistError):
    """Exception raised when an error occurs in the distributed store"""


class QueueEmptyError(DistStoreError):
    """Exception raised when an error occurs in the distributed store"""


class GroupName:
    """The type of a process group's name, for annotations."""


class ProcessGroup:
    """The type of a process group, for annotations: there is none."""
