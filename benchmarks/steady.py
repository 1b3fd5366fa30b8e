"""What a long run costs once it is steady: nothing compiled again, and no memory that grows without end.

    python benchmarks/steady.py [--steps 1000] [--traces 10000]

For each check it prints by how much the counters of `rushlight.report()` grew in its first steps and after them.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import random
from collections.abc import Callable

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn

WARM_STEPS = 10


def counters() -> dict[str, int]:
    """The whole numbers of the report that count up; the flushes of all causes together."""
    counts = {}
    for name, value in torch.report()._asdict().items():
        if isinstance(value, dict):
            value = sum(value.values())
        elif isinstance(value, tuple):
            value = len(value)
        if isinstance(value, int) and name != "pending":
            counts[name] = value
    return counts


def resident_mb() -> float:
    """This process's memory, as Linux tells it."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(title: str, step: Callable[[int], object], warm: int, steps: int) -> None:
    """Print what `warm` steps add to the counters, and what `steps` further ones add."""
    seen = [counters()]
    for start, stop in ((0, warm), (warm, warm + steps)):
        for n in range(start, stop):
            step(n)
        seen.append(counters())
    print(f"{title}\n    {'':18}{f'first {warm}':>12}{f'next {steps}':>12}")
    for name in seen[0]:
        first, later = (after[name] - before[name] for before, after in itertools.pairwise(seen))
        print(f"    {name:18}{first:12}{later:12}")


def adam_with_schedule() -> Callable[[int], object]:
    """The rate and the step's number change at each step; neither may be part of the code."""
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
    x, y = torch.randn(64, 30), torch.randn(64, 1)

    def step(n: int) -> float:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.item()

    return step


def slices(length: int) -> Callable[[int], object]:
    """The place changes at each step, the slice's shape does not."""
    x = torch.randn(length + 8, 16)
    return lambda n: (x[n : n + 8] * 2).sum().item()


def lengths() -> Callable[[int], object]:
    """A length that was never seen before, at each step."""
    model = nn.Linear(16, 16)

    def step(n: int) -> float:
        loss = torch.tanh(model(torch.ones(n + 1, 16))).mean()
        loss.backward()
        return loss.item()

    return step


OPS: list[Callable[[torch.Tensor], torch.Tensor]] = [
    torch.exp, torch.sin, torch.tanh, torch.sigmoid, torch.abs, lambda x: x + 1, lambda x: x * 0.5, lambda x: x - x.mean(),
]  # fmt: skip


def resident_memory(traces: int) -> None:
    """Ten ops in an order of their own over a size of its own, each time; memory at ten points on the way."""
    source = random.Random(0)
    print(f"{traces} different traces\n    traces    resident, MB")
    for n in range(traces + 1):
        if n % max(1, traces // 10) == 0:
            gc.collect()
            print(f"    {n:6}{resident_mb():16.1f}", flush=True)
        x = torch.ones(source.randrange(1, 200), source.randrange(1, 20))
        for op in source.choices(OPS, k=10):
            x = torch.clamp(op(x), -1, 1)
        x.sum().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--traces", type=int, default=10_000)
    arguments = parser.parse_args()
    growth("Adam with a schedule", adam_with_schedule(), WARM_STEPS, arguments.steps)
    growth("a loop over slices", slices(WARM_STEPS + arguments.steps), WARM_STEPS, arguments.steps)
    growth("a length that changes at each step", lengths(), WARM_STEPS, arguments.steps)
    resident_memory(arguments.traces)


if __name__ == "__main__":
    main()
