"""When to try again what pays only for as long as calls stay alike."""

from __future__ import annotations

#: Replays between two attempts, at least and at most.
_SHORTEST, _LONGEST = 2, 1 << 12


class Attempts:
    """How many replays pass before the next attempt: twice as many as before the last one, unless what that made has lasted."""

    def __init__(self) -> None:
        self._wait = self._pause = _SHORTEST

    def wait(self) -> bool:
        """A replay passes. Whether there is more to wait."""
        self._wait -= 1
        return self._wait > 0

    def tried(self) -> None:
        """An attempt has been made."""
        self._wait = self._pause = min(2 * self._pause, _LONGEST)

    def ended(self, runs: int) -> None:
        """What an attempt made has come to its end after so many runs."""
        if runs > self._pause:
            self._pause = _SHORTEST

    def wait_anew(self) -> None:
        """The wait begins now, whatever has passed before."""
        self._wait = self._pause
