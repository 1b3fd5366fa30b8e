"""Microseconds to record one op, with and without a gradient, and what running it through the interpreter adds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import rushlight as torch
from rushlight import tape

CALLS, ROUNDS = 1_000, 81


def measure(cases: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Microseconds per call of each case, sorted, from rounds that take turns; running the tape is not counted."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - start) / CALLS * 1e6)
            tape.flush()
    return {name: sorted(each) for name, each in times.items()}


def main() -> None:
    a, b = torch.ones(4), torch.ones(4)
    w = torch.ones(4, requires_grad=True)
    m, v = torch.ones(4, 4), torch.ones(4, 4, requires_grad=True)
    cases: dict[str, Callable[[], object]] = {
        "a + b": lambda: a + b,
        "a + b, with grad": lambda: a + w,
        "a * 2.0": lambda: a * 2.0,
        "a * b, with grad": lambda: a * w,
        "a.exp()": lambda: a.exp(),
        "w.exp(), with grad": lambda: w.exp(),
        "m @ m": lambda: m @ m,
        "m @ v, with grad": lambda: m @ v,
        "m.t(), a view": lambda: m.t(),
        "m.sum()": lambda: m.sum(),
        "torch.cat of 20": lambda many=[a] * 20: torch.cat(many),  # type: ignore[misc]
        "a.add_(b), in place": lambda: a.add_(b),
    }
    print(f"{'us per call':24} {'p10':>6} {'median':>7}")
    for name, times in measure(cases).items():
        print(f"{name:24} {times[len(times) // 10]:6.2f} {statistics.median(times):7.2f}")


if __name__ == "__main__":
    main()
