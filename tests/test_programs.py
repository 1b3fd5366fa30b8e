"""Whole programs written for PyTorch print under ``rushlight run`` what PyTorch printed (`programs/*.out`).

Text must be equal but for white space and the names of nodes; numbers may differ in the last digits shown.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?|nan|inf")


def parts(printed: str) -> tuple[list[str], list[float]]:
    printed = re.sub(r"\s+", "", re.sub(r"grad_fn=<\w+>", "grad_fn=<>", re.sub(r"(?<=[\d.])\s+(?=[-\d])", ";", printed)))
    return NUMBER.split(printed), [float(number) for number in NUMBER.findall(printed)]


def close(got: float, want: float) -> bool:
    return math.isclose(got, want, rel_tol=1e-3, abs_tol=2e-4) or got == want or (math.isnan(got) and math.isnan(want))


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.stem for program in PROGRAMS])
def test_a_program_prints_what_pytorch_printed(program: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(rushlight.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-m", "rushlight", "run", str(program)]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (text, numbers), (want_text, want_numbers) = parts(done.stdout), parts(program.with_suffix(".out").read_text())
    assert text == want_text
    assert [(got, want) for got, want in zip(numbers, want_numbers, strict=True) if not close(got, want)] == []


def test_the_comparison_sees_differences() -> None:
    """Other digits and other words differ; white space, rounding and node names do not."""
    assert parts("tensor([1.0, 2.],  grad_fn=<MulBackward0>)") == parts("tensor([1.0,\n 2.], grad_fn=<AddBackward0>)")
    assert parts("1 2") != parts("12")
    assert close(1.0001, 1.0) and not close(1.01, 1.0)
