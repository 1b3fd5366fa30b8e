"""Values as the protocol buffers that TensorBoard reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import struct_pb2
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2, metadata as hparams_metadata, plugin_data_pb2
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

from ... import dtypes as dt
from ...tensor import Tensor


def make_np(x: Any) -> np.ndarray:
    """A tensor, an array, a list or a number as an array of at least one dim."""
    if isinstance(x, list):
        return np.array(x)
    if isinstance(x, np.ndarray):
        return x
    if np.isscalar(x):
        return np.array([x])
    if isinstance(x, Tensor):
        x = x.detach()
        return (x.to(dt.float16) if x.dtype == dt.bfloat16 else x).numpy()
    raise NotImplementedError(f"Got {type(x)}, but numpy array or torch tensor are expected.")


def _summary(tag: str, **value: Any) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, **value)])


def _plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


def scalar(name: str, tensor: Any, new_style: bool = False, double_precision: bool = False) -> Summary:
    """One number; in the new style as a tensor, in double precision if asked for."""
    array = make_np(tensor).squeeze()
    assert array.ndim == 0, (
        "Tensor should contain one element (0 dimensions).             "
        f"Was given size: {array.size} and {array.ndim} dimensions."
    )
    number = float(array)
    if not new_style:
        return _summary(name, simple_value=number)
    if double_precision:
        proto = TensorProto(double_val=[number], dtype="DT_DOUBLE")
    else:
        proto = TensorProto(float_val=[number], dtype="DT_FLOAT")
    return _summary(name, tensor=proto, metadata=_plugin("scalars"))


def histogram_raw(name: str, **statistics: Any) -> Summary:
    """A histogram from its counts."""
    return _summary(name, histo=HistogramProto(**statistics))


def histogram(name: str, values: Any, bins: Any, max_bins: int | None = None) -> Summary:
    """The histogram of all values; empty bins at its ends, but for one below, are left out."""
    flat = make_np(values).astype(float).reshape(-1)
    if flat.size == 0:
        raise ValueError("The input has no element.")
    counts, limits = np.histogram(flat, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        joined = len(counts) // max_bins
        counts = np.pad(counts, (0, -len(counts) % joined)).reshape(-1, joined).sum(axis=-1)
        limits = np.concatenate([limits[:-1:joined], limits[-1:]])
    filled = np.flatnonzero(counts)
    if filled.size == 0:
        raise ValueError("The histogram is empty, please file a bug report.")
    start, end = int(filled[0]), int(filled[-1]) + 1
    kept = counts[start - 1 : end] if start > 0 else np.concatenate([[0], counts[:end]])
    return histogram_raw(
        name, min=flat.min(), max=flat.max(), num=len(flat), sum=flat.sum(), sum_squares=flat.dot(flat),
        bucket_limit=limits[start : end + 1].tolist(), bucket=kept.tolist(),
    )  # fmt: skip


def image(tag: str, tensor: Any, dataformats: str = "NCHW") -> Summary:
    """An image, or a grid of a batch of them, as a PNG. Numbers other than uint8 are taken as 0 to 1."""
    from PIL import Image

    pixels = _to_height_width_channels(make_np(tensor), dataformats)
    scale = 1 if pixels.dtype == np.uint8 else 255
    pixels = (pixels.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    height, width, channels = pixels.shape
    encoded = file.getvalue()
    return _summary(
        tag, image=Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
    )


def _to_height_width_channels(array: np.ndarray, dataformats: str) -> np.ndarray:
    assert len(set(dataformats)) == len(dataformats), (
        f"You can not use the same dimension shorthand twice.             input_format: {dataformats}"
    )
    assert array.ndim == len(dataformats), (
        "size of input tensor and input format are different.         "
        f"tensor shape: {array.shape}, input_format: {dataformats}"
    )
    given = dataformats.upper()
    wanted = {4: "NCHW", 3: "HWC", 2: "HW"}[len(given)]
    array = array.transpose([given.find(dim) for dim in wanted])
    if len(given) == 4:
        return _grid(array)
    if len(given) == 2:
        array = array[:, :, None]
    return np.repeat(array, 3, 2) if array.shape[2] == 1 else array


def _grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """(N, C, H, W) as one (rows * H, columns * W, 3), black where images are missing."""
    if images.shape[1] == 1:
        images = np.repeat(images, 3, 1)
    assert images.shape[1] == 3, "Input should be a 4D numpy array with 3 channels"
    count, _, height, width = images.shape
    columns = min(count, columns)
    rows = -(-count // columns)
    canvas = np.zeros((rows * columns, 3, height, width), images.dtype)
    canvas[:count] = images
    canvas = canvas.reshape(rows, columns, 3, height, width).transpose(0, 3, 1, 4, 2)
    return canvas.reshape(rows * height, columns * width, 3)


def figure_to_image(figures: Any, close: bool = True) -> np.ndarray:
    """Matplotlib figures as (C, H, W), or (N, C, H, W) for a list."""
    import matplotlib.backends.backend_agg as agg
    import matplotlib.pyplot as plt

    def render(figure: Any) -> np.ndarray:
        canvas = agg.FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].transpose(2, 0, 1)
        if close:
            plt.close(figure)
        return pixels

    return np.stack([render(each) for each in figures]) if isinstance(figures, list) else render(figures)


def text(tag: str, text: str) -> Summary:
    """A text, shown as Markdown."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    proto = TensorProto(dtype="DT_STRING", string_val=[text.encode(encoding="utf_8")], tensor_shape=shape)
    metadata = _plugin("text", TextPluginData(version=0).SerializeToString())
    return _summary(tag + "/text_summary", metadata=metadata, tensor=proto)


def hparams(
    hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: dict[str, Sequence[Any]] | None
) -> tuple[Summary, Summary, Summary]:
    """Hyperparameters and the names of metrics: the experiment, and the start and the end of a session."""
    domains = hparam_domain_discrete or {}
    if not isinstance(domains, dict):
        raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
    for name, values in domains.items():
        expected = type(hparam_dict.get(name))
        if name not in hparam_dict or not isinstance(values, list) or not all(isinstance(v, expected) for v in values):
            raise TypeError(
                f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."
            )
    infos = []
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in hparam_dict.items():
        if value is None:
            continue
        if isinstance(value, Tensor):
            value = make_np(value)[0]
        elif not isinstance(value, (int, float, str)):
            raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")
        field, kind = ("string_value", "STRING") if isinstance(value, str) else ("number_value", "FLOAT64")
        setattr(start.hparams[name], field, value)
        domain = None
        if name in domains:
            domain = struct_pb2.ListValue(values=[struct_pb2.Value(**{field: each}) for each in domains[name]])
        number = api_pb2.DataType.Value(f"DATA_TYPE_{kind}")
        infos.append(api_pb2.HParamInfo(name=name, type=number, domain_discrete=domain))
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metric_dict]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))

    def summary(tag: str, **content: Any) -> Summary:
        data = plugin_data_pb2.HParamsPluginData(version=hparams_metadata.PLUGIN_DATA_VERSION, **content)
        return _summary(tag, metadata=_plugin(hparams_metadata.PLUGIN_NAME, data.SerializeToString()))

    return (
        summary(hparams_metadata.EXPERIMENT_TAG, experiment=experiment),
        summary(hparams_metadata.SESSION_START_INFO_TAG, session_start_info=start),
        summary(hparams_metadata.SESSION_END_INFO_TAG, session_end_info=end),
    )
