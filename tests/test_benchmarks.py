"""Every workload of `benchmarks/` takes on Rushlight the course that it takes on PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight
from rushlight.engine import llvm

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
#: From PyTorch 2.13: `python benchmarks/workloads.py --tiny`.
LOSSES = {
    "linreg": (15.7933321, 12.5126696, 9.91941166),
    "two_layer_manual": (123266.25, 121381.703, 119544.625),
    "mlp_adam": (0.511174381, 0.51006633, 0.508961439),
    "mnist_mlp": (2.2750051, 2.27353406, 2.27074361),
    "cnn": (2.18829727, 1.52707911, 0.789409041),
    "lstm": (2.29929614, 2.25173998, 2.20437598),
    "gpt_nano": (4.48352289, 3.69077897, 3.02705383),
    "gpt_small": (6.46910095, 6.29975319, 6.13760948),
    "resnet_cifar": (2.18246651, 1.9522891, 1.55467176),
    "elementwise": (1536.41675, 2304.625, 2688.72925),
    "softmax": (0.0549756959, 0.0277812593, 0.0270474106),
    "layernorm": (3.4367919, 5.70902157, 5.78776455),
    "dynamic_rnn": (2.40567279, 2.37051487, 2.26729035),
    "infer_mlp": (0.122854516, 0.122854516, 0.122854516),
    "infer_cnn": (1.71703075, 1.71703075, 1.71703075),
    "infer_gpt": (26.8978835, 26.8978835, 26.8978835),
    "attention": (0.436481774, 0.417027593, 0.399371505),
}


@pytest.fixture(scope="module")
def losses() -> dict[str, list[float]]:
    """The first three of each workload, in a process where `import torch` is Rushlight."""
    command = [sys.executable, "-m", "rushlight", "run", str(BENCHMARKS / "workloads.py"), "--tiny"]
    environment = os.environ | {"PYTHONPATH": str(Path(rushlight.__file__).parents[1])}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_recorded_losses_are_of_all_workloads(losses: dict[str, list[float]]) -> None:
    assert list(losses) == list(LOSSES)


@pytest.mark.parametrize("workload", LOSSES)
def test_a_workload_has_the_losses_it_has_on_pytorch(losses: dict[str, list[float]], workload: str) -> None:
    assert losses[workload] == pytest.approx(LOSSES[workload], rel=1e-4)


def test_a_run_times_what_it_finds_and_prints_a_table(tmp_path: Path) -> None:
    """On Rushlight alone, since that is what is here for certain; it is then its own reference."""
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--contenders", "rushlight", "--workloads", "linreg,dynamic_rnn", "--tiny"]
    command += ["--rounds", "1", "--seconds", "0.01", "--busy", "--warm-start", "--json", str(tmp_path / "results.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads((tmp_path / "results.json").read_text())["results"]["linreg"]["rushlight"]
    assert row["losses"][:3] == pytest.approx(LOSSES["linreg"], rel=1e-4)
    assert row["ratio"] == 1 and row["first_step_warm"] > 0 and len(row["busy_rounds"]) == 1
    assert "| geometric mean | 1.00 |" in done.stdout
    for heading in ("Time per step, relative to rushlight", "the code cache filled", "a neighbour keeps one core busy"):
        assert heading in done.stdout


def test_a_contender_that_is_not_here_is_left_out_with_its_reason() -> None:
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--contenders", "torch-eager", "--python", "torch=/nowhere/python"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "without torch-eager:" in done.stdout


def test_steady_prints_counters_and_memory() -> None:
    command = [sys.executable, str(BENCHMARKS / "steady.py"), "--steps", "20", "--traces", "20"]
    environment = os.environ | {"PYTHONPATH": str(Path(rushlight.__file__).parents[1])}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    adam = done.stdout[done.stdout.index("Adam") : done.stdout.index("a loop")]
    plans = next(line.split() for line in adam.splitlines() if "plans" in line)
    assert int(plans[1]) > 0 and int(plans[2]) == 0, "a step of Adam with a schedule makes no new plans"
    assert "20 different traces" in done.stdout


@pytest.mark.skipif(not llvm.AVAILABLE, reason="they time kernels")
@pytest.mark.parametrize(("script", "arguments"), [("gemm.py", ["9,17,5"]), ("gemm.py", ["--dtype", "bfloat16", "9,17,5"]), ("conv.py", ["2,3,9,9,4,3,2,1"]), ("conv.py", ["--channels-last", "2,4,9,9,4,3,1,4"])])
def test_kernels_are_timed_by_themselves(script: str, arguments: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(rushlight.__file__).parents[1])}
    done = subprocess.run([sys.executable, str(BENCHMARKS / script), "--seconds", "0.001", *arguments], check=False, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rushlight") == 3
