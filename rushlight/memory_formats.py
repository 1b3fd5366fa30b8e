"""Memory formats: names for orders of dims in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .shape import channels_last_strides, contiguous_strides


class memory_format:
    """One of `contiguous_format`, `preserve_format`, `channels_last`, `channels_last_3d`."""

    __slots__ = ("name", "strides")

    def __init__(self, name: str, strides: Callable[[Sequence[int]], tuple[int, ...]]) -> None:
        self.name = name
        self.strides = strides  # of a dense tensor of a given shape

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout:
    """How a tensor is stored; `strided` is the one kind here."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format", contiguous_strides)
preserve_format = memory_format("preserve_format", contiguous_strides)
channels_last = memory_format("channels_last", channels_last_strides)
channels_last_3d = memory_format("channels_last_3d", channels_last_strides)
strided = layout("strided")
