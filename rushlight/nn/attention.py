"""Choosing among the implementations of scaled dot product attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..ops.attention import SDPBackend, enable_backends

__all__ = ["SDPBackend", "sdpa_kernel"]


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[dict[str, bool]]:
    """Allow only the given implementations inside the ``with`` block; attention raises if none of them runs on a CPU.

    >>> query = torch.ones(1, 2, 4)
    >>> with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
    ...     F.scaled_dot_product_attention(query, query, query).shape
    torch.Size([1, 2, 4])
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, "
            f"got {type(backends).__name__}"
        )
    previous = enable_backends([backends] if isinstance(backends, SDPBackend) else backends)
    try:
        yield {}
    finally:
        enable_backends(previous)
