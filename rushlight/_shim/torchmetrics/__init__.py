"""What `import torchmetrics` finds first in a child process of a program that runs on rushlight: see rushlight/install.py."""

import os
import sys

try:
    from rushlight.install import replace_stub
except ModuleNotFoundError as error:
    if error.name != "rushlight":
        raise
    # The parent ran from a directory that this process does not have on its path.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))
    from rushlight.install import replace_stub

replace_stub(__name__)
