"""A dictionary that forgets what has not been used for long."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(dict[K, V]):
    """When `at_most` entries are there, all of them become the old ones, and the old ones of before are forgotten.

    `get` looks among the young ones alone, as fast as any dictionary's; where it finds nothing, `recall` looks among the old ones.
    """

    __slots__ = ("at_most", "old")

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self.old: dict[K, V] = {}

    def recall(self, key: K) -> V | None:
        """What is remembered, which becomes young again."""
        found = self.get(key)
        if found is None:
            found = self.old.pop(key, None)
            if found is not None:
                self.remember(key, found)
        return found

    def remember(self, key: K, value: V) -> V:
        if len(self) >= self.at_most:
            self.old = dict(self)
            self.clear()
        self[key] = value
        return value
