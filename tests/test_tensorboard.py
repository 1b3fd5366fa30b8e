"""The event files that `torch.utils.tensorboard` writes say what was given, as TensorBoard's own reader sees them."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as torch

INSTALLED = importlib.util.find_spec("tensorboard") is not None
needs_tensorboard = pytest.mark.skipif(not INSTALLED, reason="tensorboard is not installed")


@pytest.mark.skipif(INSTALLED, reason="tensorboard is installed")
def test_the_missing_package_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard") as caught:
        import rushlight.utils.tensorboard  # noqa: F401
    assert caught.value.name == "tensorboard"


def test_the_package_is_not_loaded_with_rushlight() -> None:
    program = "import rushlight.utils, sys; print('tensorboard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def events(folder: Path) -> list[Any]:
    # The raw loader: the other one brings old forms into new ones.
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    (file,) = folder.glob("events*")
    return [Event.FromString(raw) for raw in RawEventFileLoader(str(file)).Load()]


def values(folder: Path) -> list[tuple[int, Any]]:
    return [(event.step, value) for event in events(folder) for value in event.summary.value]


@needs_tensorboard
def test_scalars_and_texts(tmp_path: Path) -> None:
    from rushlight.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path, purge_step=4) as writer:
        writer.add_scalar("loss", torch.tensor([0.3], requires_grad=True), 5, walltime=12.5)
        writer.add_scalar("exact", 1.3, 6, new_style=True, double_precision=True)
        writer.add_text("note", "**rain**", 7)
        writer.add_scalars("a/b", {"train": 1, "test": np.float64(2)}, 8)
        assert writer.get_logdir() == tmp_path
        with pytest.raises(AssertionError, match="Tensor should contain one element"):
            writer.add_scalar("loss", torch.zeros(2))
    (step, loss), (_, exact), (_, note) = values(tmp_path)
    assert (step, loss.tag) == (5, "loss") and loss.simple_value == np.float32(0.3)
    assert exact.tensor.double_val == [1.3] and exact.metadata.plugin_data.plugin_name == "scalars"
    assert note.tag == "note/text_summary" and note.tensor.string_val == [b"**rain**"]
    assert [event.wall_time for event in events(tmp_path) if event.step == 5] == [12.5]
    assert [event.session_log.status for event in events(tmp_path) if event.step == 4] == [0, 1]
    for name, number in (("train", 1), ("test", 2)):
        ((step, value),) = values(tmp_path / f"a_b_{name}")
        assert (step, value.tag, value.simple_value) == (8, "a/b", number)


@needs_tensorboard
def test_histograms(tmp_path: Path) -> None:
    from rushlight.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_histogram("weights", torch.tensor([[0.3, -1.2], [0.7, 0.31]]), 1)
        writer.add_histogram("few", [1, 2, 2, 9], bins=[0.0, 2.0, 4.0, 6.0, 8.0, 10.0], max_bins=2)
        with pytest.raises(ValueError, match="no element"):
            writer.add_histogram("none", torch.zeros(0))
    weights, few = (value.histo for _, value in values(tmp_path))
    assert weights.num == 4 and weights.min == np.float32(-1.2) and weights.max == np.float32(0.7)
    assert sum(weights.bucket) == 4 and weights.bucket[0] == 0 and len(weights.bucket) == len(weights.bucket_limit)
    assert weights.sum_squares == pytest.approx(0.09 + 1.44 + 0.49 + 0.0961)
    assert list(few.bucket) == [0, 3, 0, 1] and list(few.bucket_limit) == [0, 4, 8, 10]


@needs_tensorboard
@pytest.mark.parametrize(
    ("shape", "dataformats", "size"),
    [((3, 4, 5), "CHW", (4, 5)), ((4, 5), "HW", (4, 5)), ((4, 5, 1), "HWC", (4, 5)), ((9, 1, 2, 3), "NCHW", (4, 24))],
)
def test_images(tmp_path: Path, shape: tuple[int, ...], dataformats: str, size: tuple[int, int]) -> None:
    image = pytest.importorskip("PIL.Image")
    from rushlight.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_image("image", torch.full(shape, 0.5), dataformats=dataformats)
    ((_, value),) = values(tmp_path)
    pixels = np.asarray(image.open(io.BytesIO(value.image.encoded_image_string)))
    assert pixels.shape == (*size, 3) and (value.image.height, value.image.width) == size
    assert pixels[0, 0].tolist() == [127, 127, 127]
    assert pixels[-1, -1].tolist() == ([0, 0, 0] if shape[0] == 9 else [127, 127, 127])


@needs_tensorboard
def test_hyperparameters(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    from rushlight.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.3, "kind": "sgd", "n": torch.tensor([3])}, {"accuracy": 0.7}, {"lr": [0.1, 0.3]}, "run")
        with pytest.raises(TypeError, match=r"hparam_domain_discrete\[lr\] should be a list of same type"):
            writer.add_hparams({"lr": 0.3}, {}, {"lr": ["a"]})
    (_, experiment), (_, start), (_, end), (_, accuracy) = values(tmp_path / "run")

    def content(value: Any) -> Any:
        return HParamsPluginData.FromString(value.metadata.plugin_data.content)

    infos = content(experiment).experiment.hparam_infos
    assert [info.name for info in infos] == ["lr", "kind", "n"]
    assert [each.number_value for each in infos[0].domain_discrete.values] == [0.1, 0.3]
    hparams = content(start).session_start_info.hparams
    assert (hparams["lr"].number_value, hparams["kind"].string_value, hparams["n"].number_value) == (0.3, "sgd", 3)
    assert content(end).session_end_info.status and accuracy.simple_value == np.float32(0.7)
