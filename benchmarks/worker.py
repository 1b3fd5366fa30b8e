"""One workload in a process of its own, for `run.py`: a JSON line for the first step, one when warm, one a timed block.

Each line of standard input is a number of steps to time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time

import torch
import workloads

READ_EVERY = 10  #: steps between two looks at the loss, as programs that log have it
WARM_SECONDS = 0.3
WARM_LIMIT = 20.0  #: no further block is started after this long, warm or not


def block(workload: workloads.Workload, steps: int) -> float:
    """Seconds for `steps` steps, until the last one's update is done."""
    start = time.perf_counter()
    for n in range(1, steps + 1):
        result = workload.step()
        if n % READ_EVERY == 0:
            workload.read(result)
    workload.finish()
    return time.perf_counter() - start


def warm_up(workload: workloads.Workload, steps_done: int) -> float:
    """Run until the time per step can be trusted, end on a whole cycle, and return that time."""
    start = time.perf_counter()
    steps = -steps_done % workload.cycle or 5 * workload.cycle
    while True:
        seconds = block(workload, steps)
        if seconds >= WARM_SECONDS / 2 or time.perf_counter() - start > WARM_LIMIT:
            return seconds / steps
        cycles = min(10_000, int(steps * WARM_SECONDS / seconds)) // workload.cycle
        steps = max(1, cycles) * workload.cycle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", nargs="?", help="say what is here and leave, if none is named")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    # Replies go to a copy of standard output; what a framework prints goes to standard error.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(**values: object) -> None:
        print(json.dumps(values), file=out)

    if arguments.workload is None:
        reply(version=str(torch.__version__), workloads=list(workloads.WORKLOADS), compiles=hasattr(torch, "compile"))
        return
    torch.set_num_threads(arguments.threads)
    workload, drawing = workloads.build(arguments.workload, arguments.compiled, arguments.tiny)
    losses = [workload.read(workload.step())]
    workload.finish()
    reply(drawing=drawing)
    losses += [workload.read(workload.step()) for _ in range(4)]
    reply(losses=losses, per_step=warm_up(workload, len(losses)), cycle=workload.cycle)
    for line in sys.stdin:
        seconds = block(workload, int(line))
        reply(seconds=seconds, peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
