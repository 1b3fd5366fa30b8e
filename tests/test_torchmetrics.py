"""The package torchmetrics, where it is installed (without torch), runs on rushlight unchanged."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rushlight

HOME = str(Path(rushlight.__file__).parents[1])


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


needs_torchmetrics = pytest.mark.skipif(not is_installed("torchmetrics"), reason="torchmetrics is not installed")


def run(folder: Path, program: str, **environment: str) -> tuple[str, str]:
    script = folder / "program.py"
    script.write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "rushlight", "run", str(script)]
    variables = os.environ | {"PYTHONPATH": HOME} | environment
    done = subprocess.run(command, check=False, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@needs_torchmetrics
def test_a_collection_of_metrics_gives_what_it_gives_on_pytorch(tmp_path: Path) -> None:
    program = """
        import torch, torchmetrics
        from torchmetrics import AUROC, Accuracy, ConfusionMatrix, MetricCollection
        assert torchmetrics.__name__ == "torchmetrics" and torch.__name__ == "rushlight"
        torch.manual_seed(0)
        task = {"task": "multiclass", "num_classes": 3}
        metrics = MetricCollection([Accuracy(**task), AUROC(**task), ConfusionMatrix(**task)])
        for _ in range(3):
            metrics.update(torch.randn(20, 3).softmax(-1), torch.randint(3, (20,)))
        print(metrics.compute())
        print(metrics)
        metrics.reset()
        print(metrics["MulticlassConfusionMatrix"].confmat.sum())
    """
    expected = """\
        {'MulticlassAccuracy': tensor(0.2000), 'MulticlassAUROC': tensor(0.4058), 'MulticlassConfusionMatrix': tensor([[ 2,  5,  8],
                [ 7,  5,  9],
                [ 9, 10,  5]])}
        MetricCollection(
          (MulticlassAccuracy): MulticlassAccuracy()
          (MulticlassAUROC): MulticlassAUROC()
          (MulticlassConfusionMatrix): MulticlassConfusionMatrix()
        )
        tensor(0)
    """
    assert run(tmp_path, program) == (textwrap.dedent(expected), "")


@needs_torchmetrics
def test_metrics_of_other_families_give_what_they_give_on_pytorch(tmp_path: Path) -> None:
    program = """
        import torch
        import torchmetrics as tm, torchmetrics.image, torchmetrics.text
        torch.manual_seed(3)
        x, y = torch.rand(12), torch.rand(12)
        image, other = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24)
        regression = tm.MeanSquaredError(), tm.R2Score(), tm.PearsonCorrCoef()
        print([round(metric(x, y).item(), 4) for metric in regression])
        images = tm.image.PeakSignalNoiseRatio(data_range=1.0), tm.image.StructuralSimilarityIndexMeasure(data_range=1.0)
        print([round(metric(image, other).item(), 4) for metric in images])
        print(round(tm.AveragePrecision(task="binary")(x, (y > 0.5).long()).item(), 4))
        print(tm.text.EditDistance()(["rain"], ["shine"]), tm.MeanMetric()(x) == x.mean())
    """
    expected = "[0.2146, -0.79, 0.0322]\n[7.7333, -0.0023]\n0.501\ntensor(3.) tensor(True)\n"
    assert run(tmp_path, program) == (expected, "")


def test_a_use_of_an_interface_is_logged_once_where_asked_for(tmp_path: Path) -> None:
    program = """
        import torch
        torch._C._log_api_usage_once("an.event")
        torch._C._log_api_usage_once("an.event")
    """
    assert run(tmp_path, program)[1] == ""
    assert run(tmp_path, program, PYTORCH_API_USAGE_STDERR="1")[1] == "PYTORCH_API_USAGE an.event\n"
