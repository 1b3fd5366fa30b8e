"""How long `import rushlight` takes beyond NumPy's own import, and the modules that take most of it."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

RUNS = 11


def seconds(code: str) -> float:
    """The wall time inside the interpreter that `code` prints."""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    timed = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    seconds(timed.format("import rushlight"))  # compiles what is not compiled yet
    pairs = [(seconds(timed.format("import numpy")), seconds(timed.format("import rushlight"))) for _ in range(RUNS)]
    numpy, both = (statistics.median(p[n] for p in pairs) for n in (0, 1))
    beyond = statistics.median(b - a for a, b in pairs)
    print(f"import numpy {numpy:.3f} s, import rushlight {both:.3f} s, beyond numpy {beyond:.3f} s (medians of {RUNS})\n")

    lines = subprocess.run([sys.executable, "-X", "importtime", "-c", "import numpy, rushlight"], capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)", lines)
    start = next(n for n, row in enumerate(rows) if row[2] == "numpy")
    own = sorted(((int(own), name) for own, _, name in rows[start + 1 :]), reverse=True)
    print("ms    module (itself, without what it imports; -X importtime)")
    for micros, name in own[:20]:
        print(f"{micros / 1000:5.1f} {name}")


if __name__ == "__main__":
    main()
