"""`torch.utils.tensorboard`: event files for TensorBoard, written by the package tensorboard, which must be installed."""

try:
    from tensorboard.summary.writer.record_writer import RecordWriter as RecordWriter
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "tensorboard":
        raise
    raise ModuleNotFoundError(
        "No module named 'tensorboard': torch.utils.tensorboard writes through it (pip install tensorboard)",
        name="tensorboard",
    ) from None

from .writer import FileWriter as FileWriter, SummaryWriter as SummaryWriter
