"""Places of a result that see the same taps of a window: what a convolution, or the gradient of its input, computes one by one."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

#: The part of the products that must be left if places at the edges, which see fewer taps, are to be computed apart.
_WORTH_SPLITTING = 0.97


class Part(NamedTuple):
    """Places ``first + i * stride`` of a dim of the result, which all see the same taps of the window.

    Tap j is at ``b_first + j * b_step`` of the packed window, and at place ``start + i * step + j * tap_step`` of the source.
    """

    first: int
    stride: int
    places: int
    start: int
    step: int
    taps: int
    tap_step: int
    b_first: int
    b_step: int

    def seen(self, size: int) -> list[Part]:
        """Parts that see but taps within the source, if that saves work; otherwise the source needs zeros around it."""

        def within(i: int) -> tuple[int, int]:
            start = self.start + i * self.step
            first = min(max(0, -(start // self.tap_step)), self.taps)
            return first, max(first, min(self.taps, (size - 1 - start) // self.tap_step + 1))

        if not self.taps or (self.start >= 0 and self.last < size):
            return [self]
        found = []
        for (first, stop), same in itertools.groupby(range(self.places), within):
            i, *rest = same
            start = self.start + i * self.step + first * self.tap_step
            found.append(self._replace(first=self.first + i * self.stride, places=1 + len(rest), start=start, taps=stop - first, b_first=self.b_first + first * self.b_step))
        used = sum(part.places * part.taps for part in found)
        return found if used < _WORTH_SPLITTING * self.places * self.taps else [self]

    @property
    def last(self) -> int:
        """The last place of the source."""
        return self.start + (self.places - 1) * self.step + (self.taps - 1) * self.tap_step


def residues(size: int, window: int, stride: int, padding: int, dilation: int) -> list[Part]:
    """An input's places by their remainder modulo the stride: for each the taps that ever reach it, backwards."""
    found = []
    tap_step = stride // math.gcd(stride, dilation)
    back = tap_step * dilation // stride
    for number in range(min(stride, size)):
        places = -(-(size - number) // stride)
        tap = next((r for r in range(min(window, tap_step)) if (number + padding - r * dilation) % stride == 0), None)
        taps = 0 if tap is None else -(-(window - tap) // tap_step)
        last = (tap or 0) + max(taps - 1, 0) * tap_step
        start = (number + padding - last * dilation) // stride
        found.append(Part(number, stride, places, start, 1, taps, back, window - 1 - last, tap_step))
    return found
