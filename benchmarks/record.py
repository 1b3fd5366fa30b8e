"""Microseconds to record one op, with and without a gradient, and what running it through the interpreter adds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import rushlight as torch
from rushlight import tape

CALLS, ROUNDS = 2_000, 41


def per_call(call: Callable[[], object]) -> tuple[float, float]:
    """The 10th percentile and the median over rounds, in microseconds; running the tape is not counted."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
        tape.flush()
    times.sort()
    return times[len(times) // 10], statistics.median(times)


def main() -> None:
    a, b = torch.ones(4), torch.ones(4)
    w = torch.ones(4, requires_grad=True)
    m, v = torch.ones(4, 4), torch.ones(4, 4, requires_grad=True)
    cases: list[tuple[str, Callable[[], object]]] = [
        ("a + b", lambda: a + b),
        ("a + b, with grad", lambda: a + w),
        ("a * 2.0", lambda: a * 2.0),
        ("a * b, with grad", lambda: a * w),
        ("a.exp()", lambda: a.exp()),
        ("w.exp(), with grad", lambda: w.exp()),
        ("m @ m", lambda: m @ m),
        ("m @ v, with grad", lambda: m @ v),
        ("m.t(), a view", lambda: m.t()),
        ("m.sum()", lambda: m.sum()),
        ("torch.cat of 20", lambda many=[a] * 20: torch.cat(many)),
        ("a.add_(b), in place", lambda: a.add_(b)),
    ]
    print(f"{'us per call':24} {'p10':>6} {'median':>7}")
    for name, call in cases:
        low, middle = per_call(call)
        print(f"{name:24} {low:6.2f} {middle:7.2f}")


if __name__ == "__main__":
    main()
