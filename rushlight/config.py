"""The flags, all of them, read once from the environment."""

from __future__ import annotations

import os

#: How recorded work runs: "immediate" runs each op before its call returns, "interpret" runs the tape op by op when a
#: value is observed, "compile" also fuses what it has seen before. All give the same bits.
MODES = ("immediate", "interpret", "compile")
MODE = os.environ.get("RUSHLIGHT_MODE", "compile")
if MODE not in MODES:
    raise ValueError(f"RUSHLIGHT_MODE is {MODE!r}; it must be one of {', '.join(MODES)}")

#: A trace is compiled when it has been seen so often; 0 compiles at first sight and waits for it.
HOT = int(os.environ.get("RUSHLIGHT_HOT", 2))

#: Whether machine code is made at all (it also takes llvmlite). RUSHLIGHT_NATIVE=0 leaves every op to NumPy.
NATIVE = os.environ.get("RUSHLIGHT_NATIVE", "1") != "0"

#: Where machine code is kept between processes; empty to keep none.
CACHE = os.environ.get("RUSHLIGHT_CACHE", os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rushlight"))

#: 1 prints traces as they run, 2 their groups, 3 the loops, 4 the LLVM text.
DEBUG = int(os.environ.get("RUSHLIGHT_DEBUG", 0))

#: Whether the engine checks what its passes have made (engine/verify.py), as the tests do.
VERIFY = os.environ.get("RUSHLIGHT_VERIFY", "0") != "0" or DEBUG > 0

#: A flush happens when this many bytes of results are owed.
OWED_BYTES = int(os.environ.get("RUSHLIGHT_OWED_BYTES", 256 << 20))


def cores() -> int:
    """The cores this process may use: affinity, then the cgroup's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        return count
    return count


def threads() -> int:
    """`RUSHLIGHT_THREADS`, else `OMP_NUM_THREADS`, else the cores this process may use."""
    for name in ("RUSHLIGHT_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return cores()
