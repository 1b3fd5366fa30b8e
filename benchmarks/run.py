"""Time the workloads on Rushlight and on the peers that are installed, side by side, as ratios to PyTorch eager.

    python benchmarks/run.py --python torch=/path/to/an/environment/with/torch/bin/python

Each contender runs each workload in a process of its own. The processes take turns, a block of steps each, so that a
slow spell of the machine meets all of them; a ratio is the median over the rounds of one round's ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORKER = str(HERE / "worker.py")
REFERENCE = "torch-eager"
#: What `import torch` means for a contender, and whether it compiles the workload.
CONTENDERS = {
    REFERENCE: ("torch", False),
    "torch-compile": ("torch", True),
    "rushlight": ("rushlight", False),
    "rushlight-compile": ("rushlight", True),
}
TABLES = {
    "ratio": "Time per step, relative to {reference}; lower is faster.",
    "first_step": "Seconds from the start of the process to the end of the first step, the code cache empty.",
    "first_step_warm": "The same, the code cache filled.",
    "busy": "Time per step while a neighbour keeps one core busy, relative to the time without.",
}
START_LIMIT = 300.0  #: seconds for a process to get warm
TOLERANCE = 1e-3  #: relative, of the first five losses


class Failed(Exception):
    """A worker ended or took too long; the message is the last line it wrote to standard error."""


class Worker:
    """A process that runs one workload for one contender; `cache` is where it keeps compiled code."""

    def __init__(self, contender: str, workload: str | None, options: argparse.Namespace, cache: Path) -> None:
        library, compiled = CONTENDERS[contender]
        runner = ["-m", "rushlight", "run"] if library == "rushlight" else []
        command = [options.interpreters.get(library, sys.executable), *runner, WORKER]
        if workload is not None:
            command += [workload, "--threads", str(options.threads)]
        command += ["--compiled"] * compiled + ["--tiny"] * options.tiny
        environment = os.environ | {
            name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RUSHLIGHT_THREADS")
        }
        environment |= {"RUSHLIGHT_CACHE": str(cache), "TORCHINDUCTOR_CACHE_DIR": str(cache), "PYTHONWARNINGS": "ignore"}
        environment.pop("PYTHONPATH", None)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        if library == "rushlight":
            environment["PYTHONPATH"] = str(HERE.parent)
            if options.mode:
                environment["RUSHLIGHT_MODE"] = options.mode
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (read when the process has failed)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True
        )

    def reply(self, limit: float = START_LIMIT) -> dict[str, Any]:
        assert self.process.stdout is not None
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        self.end()
        self.log.seek(0)
        raise Failed((self.log.read().strip().splitlines() or [f"no answer in {limit:.0f} s"])[-1][:200])

    def first_step(self) -> float:
        """Seconds from the start of the process to the end of the first step, without the drawing of numbers."""
        drawing = self.reply()["drawing"]
        return time.perf_counter() - self.started - drawing

    def time_per_step(self, steps: int, limit: float) -> tuple[float, float]:
        """Seconds per step over a block, and the process's peak memory in MB."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(steps, file=self.process.stdin, flush=True)
        answer = self.reply(limit)
        return answer["seconds"] / steps, answer["peak_mb"]

    def end(self) -> None:
        """End the process and what it started, such as a compiler's helpers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Another process keeps one core of ours busy for the while."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    time.sleep(0.1)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def starts(contender: str, workload: str, options: argparse.Namespace, cache: Path | None) -> float:
    """The first step's seconds in a process that does nothing else, with an empty code cache where none is given."""
    with tempfile.TemporaryDirectory() as empty:
        worker = Worker(contender, workload, options, cache or Path(empty))
        try:
            return worker.first_step()
        finally:
            worker.end()


def measure(workload: str, contenders: list[str], options: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """What each contender did on one workload; a contender that failed has an `error`."""
    results: dict[str, dict[str, Any]] = {name: {"rounds": [], "busy_rounds": [], "cold": [], "warm": []} for name in contenders}
    live: dict[str, Worker] = {}
    steps: dict[str, int] = {}

    def fail(name: str, error: Failed) -> None:
        results[name]["error"] = str(error)
        live.pop(name).end()

    def one(name: str) -> float:
        limit = 60 + 20 * steps[name] * results[name]["per_step"]
        seconds, results[name]["peak_mb"] = live[name].time_per_step(steps[name], limit)
        return seconds

    try:
        for name in contenders:
            live[name] = Worker(name, workload, options, folder / f"{workload}-{name}")
            try:
                results[name]["cold"].append(live[name].first_step())
                results[name] |= live[name].reply()
            except Failed as error:
                fail(name, error)
                continue
            cycle = results[name]["cycle"]
            steps[name] = max(1, round(options.seconds / results[name]["per_step"] / cycle)) * cycle
        for turn in range(options.rounds):
            order = [name for name in contenders if name in live]
            for name in order[turn % max(1, len(order)) :] + order[: turn % max(1, len(order))]:
                try:
                    results[name]["rounds"].append(one(name))
                    if options.busy:
                        with neighbour():
                            results[name]["busy_rounds"].append(one(name))
                    if options.cold_start and turn:  # the first one is the timed process's own
                        results[name]["cold"].append(starts(name, workload, options, None))
                    if options.warm_start:
                        results[name]["warm"].append(starts(name, workload, options, folder / f"{workload}-{name}"))
                except Failed as error:
                    fail(name, error)
    finally:
        for worker in live.values():
            worker.end()
    return results


def summarize(results: dict[str, dict[str, Any]], reference: str) -> None:
    """Medians, ratios and agreement, added in place."""
    base = results[reference]
    for each in results.values():
        if "error" in each:
            continue
        each["seconds"] = statistics.median(each["rounds"])
        each["first_step"] = statistics.median(each["cold"])
        if each["busy_rounds"]:
            each["busy"] = statistics.median(b / a for a, b in zip(each["rounds"], each["busy_rounds"], strict=True))
        if each["warm"]:
            each["first_step_warm"] = statistics.median(each["warm"])
        if "error" not in base:
            ratios = [a / b for a, b in zip(each["rounds"], base["rounds"], strict=True)]
            each["ratio"], each["ratio_range"] = statistics.median(ratios), [min(ratios), max(ratios)]
            pairs = zip(each["losses"], base["losses"], strict=True)
            each["disagreement"] = max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)


def agrees(result: dict[str, Any]) -> bool:
    return result.get("disagreement", 0.0) <= TOLERANCE  # NaN does not agree


def cell(result: dict[str, Any], key: str, reference: bool = False) -> str:
    """One contender's figure; the reference's ratio to itself gives way to its time."""
    if "error" in result or key not in result:
        return "failed" if "error" in result else "-"
    if key == "ratio" and reference:
        return f"{result['seconds'] * 1e6:.0f} us"
    return f"{result[key]:.2f}" + (" (LOSSES DIFFER)" if key == "ratio" and not agrees(result) else "")


def table(title: str, key: str, results: dict[str, dict[str, dict[str, Any]]], reference: str) -> str:
    """Markdown: a row for each workload, a column for each contender, geometric means below."""
    contenders = list(next(iter(results.values())))
    rows = [[workload, *(cell(each, key, name == reference) for name, each in row.items())] for workload, row in results.items()]
    means = ["geometric mean"]
    for name in contenders:
        values = [row[name][key] for row in results.values() if key in row[name]]
        means.append(f"{math.exp(statistics.fmean(map(math.log, values))):.2f}" if values else "-")
    lines = [["workload", *contenders], ["---"] * (len(contenders) + 1), *rows, means]
    return f"\n{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def available(names: list[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The contenders that can run here, and what each says of itself."""
    found = {}
    for name in names:
        try:
            worker = Worker(name, None, options, Path(tempfile.gettempdir()))
            about = worker.reply()
            worker.end()
        except (Failed, OSError) as error:
            print(f"without {name}: {error}", flush=True)
            continue
        if CONTENDERS[name][1] and not about["compiles"]:
            print(f"without {name}: it has no torch.compile", flush=True)
        else:
            found[name] = about
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="", help="names, with commas; all by default")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="names, with commas; default %(default)s")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH", help="the interpreter for torch or for rushlight")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a timed block")
    parser.add_argument("--threads", type=int, default=2, help="threads, and cores the run is kept to")
    parser.add_argument("--mode", choices=("immediate", "interpret", "compile"), help="RUSHLIGHT_MODE")
    parser.add_argument("--busy", action="store_true", help="time each block again while a neighbour keeps one core busy")
    parser.add_argument("--cold-start", action="store_true", help="time the first step in each round, the code cache empty")
    parser.add_argument("--warm-start", action="store_true", help="time the first step in each round, the code cache filled")
    parser.add_argument("--tiny", action="store_true", help="the sizes of the tests, to try the benchmark itself")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    options.interpreters = dict(each.split("=", 1) for each in options.python)
    for name in options.contenders.split(","):
        if name not in CONTENDERS:
            parser.error(f"no contender {name!r}; there are {', '.join(CONTENDERS)}")
    for name in options.interpreters:
        if name not in {library for library, _ in CONTENDERS.values()}:
            parser.error(f"--python names torch or rushlight, not {name!r}")
    return options


def main() -> int:
    options = parse()
    if hasattr(os, "sched_setaffinity"):  # workers inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    found = available(options.contenders.split(","), options)
    if not found:
        return 1
    contenders = list(found)
    reference = REFERENCE if REFERENCE in found else contenders[0]
    known = found[reference]["workloads"]
    chosen = options.workloads.split(",") if options.workloads else known
    if unknown := [name for name in chosen if name not in known]:
        print(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    about = {
        "date": time.strftime("%Y-%m-%d %H:%M"), "machine": platform.platform(), "threads": options.threads, "load": os.getloadavg(),
        "versions": {name: each["version"] for name, each in found.items()}, "mode": options.mode,
    }  # fmt: skip
    print(json.dumps(about), flush=True)

    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workload in chosen:
            results[workload] = row = measure(workload, contenders, options, Path(folder))
            summarize(row, reference)
            for name, each in row.items():
                low, high = each.get("ratio_range", (math.nan, math.nan))
                text = each.get("error") or f"{each['seconds'] * 1e6:.1f} us, x {cell(each, 'ratio')} ({low:.2f} to {high:.2f})"
                print(f"{workload:16} {name:17} {text}", flush=True)
            if options.json:
                options.json.write_text(json.dumps({"about": about, "results": results}, indent=1))
    for key, title in TABLES.items():
        if any(key in each for row in results.values() for each in row.values()):
            print(table(title.format(reference=reference), key, results, reference))
    return int(any("error" in each or not agrees(each) for row in results.values() for each in row.values()))


if __name__ == "__main__":
    sys.exit(main())
