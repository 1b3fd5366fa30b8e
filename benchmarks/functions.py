"""Errors and speed of the elementary functions in native code.

`python benchmarks/functions.py exp tanh` computes the named functions (all, if none is named) of every 997th float32
number, compares them with double precision, and prints the largest error and where it is, then nanoseconds per element
beside NumPy's. `--all` takes all 2^32 numbers, which takes one to three minutes for each function, `--step N` every N-th,
`--between A B` those from A to B (of one sign, away from 0), `--time` none at all.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from float_functions import REFERENCES, native, ulps

CHUNK = 1 << 18
POSITIVE = ("log", "log2", "log10", "log1p", "rsqrt")


def sweep(name: str, patterns: range) -> tuple[float, float]:
    """The largest error in ulp over the floats with these bit patterns, and the argument that has it."""
    call = native(name)
    worst, where = -1.0, 0.0
    found = np.empty(CHUNK, np.float32)
    reach = np.arange(CHUNK, dtype=np.uint64) * np.uint64(patterns.step)
    for start in patterns[::CHUNK]:
        x = (reach + np.uint64(start)).astype(np.uint32).view(np.float32)
        call(x, found)
        with np.errstate(all="ignore"):
            error = ulps(found, REFERENCES[name](x.astype(np.float64)))
        at = int(np.argmax(error))
        if error[at] > worst:
            worst, where = float(error[at]), float(x[at])
    return worst, where


def nanoseconds(name: str, size: int = 1 << 16) -> tuple[float, float]:
    """Per element of 64K: native code's and NumPy's (in float32), minima of interleaved rounds."""
    call = native(name)
    x, out = _aligned(size), _aligned(size)
    x[:] = np.random.default_rng(0).uniform(0.1, 4, size)
    if name not in POSITIVE:
        x[::2] *= -1
    own, theirs = [], []
    for _ in range(60):
        start = time.perf_counter()
        call(x, out, repeats=20)
        own.append((time.perf_counter() - start) / 20)
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            REFERENCES[name](x)
        theirs.append(time.perf_counter() - start)
    return min(own) / size * 1e9, min(theirs) / size * 1e9


def _aligned(size: int) -> np.ndarray:
    """Memory that begins at a cache line, as a tensor's does."""
    memory = np.empty(size + 16, np.float32)
    skipped = -memory.ctypes.data % 64 // 4
    return memory[skipped : skipped + size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--step", type=int, default=997)
    parser.add_argument("--between", type=float, nargs=2)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    first, last = (int(np.float32(x).view(np.uint32)) for x in options.between) if options.between else (0, (1 << 32) - 1)
    for name in options.names or REFERENCES:
        if not options.time:
            worst, where = sweep(name, range(first, last + 1, 1 if options.all else options.step))
            print(f"{name:12} {worst:6.3f} ulp at {where!r} ({where.hex()})", flush=True)
        own, theirs = nanoseconds(name)
        print(f"{name:12} {own:.3f} ns an element, NumPy and SciPy {theirs:.3f}", flush=True)


if __name__ == "__main__":
    main()
