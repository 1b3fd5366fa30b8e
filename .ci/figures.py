"""Fail if a namespace of the recorded cases has fallen under the figure it had reached."""

import json
import re
import sys
from pathlib import Path

floor = json.loads(Path(__file__).with_name("figures.json").read_text())
reached = {}
for line in Path(sys.argv[1]).read_text().splitlines():
    found = re.match(r"(.+?)\s+(\d+)/(\d+)\s+cases", line)
    if found:
        reached[found[1].strip()] = int(found[2])
fallen = {name: (reached.get(name, 0), least) for name, least in floor.items() if reached.get(name, 0) < least}
for name, (have, least) in fallen.items():
    print(f"{name}: {have} cases pass, {least} did before")
sys.exit(bool(fallen))
