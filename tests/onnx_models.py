"""Models that are exported and run by onnxruntime: what it computes from the file is what the model computes."""

import io

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def exported(model, *args, **options) -> bytes:
    file = io.BytesIO()
    assert isinstance(torch.onnx.export(model, args, file, **options), torch.onnx.ONNXProgram)
    onnx.checker.check_model(onnx.load_from_string(file.getvalue()), full_check=True)
    return file.getvalue()


def outputs_of(result) -> list:
    return [t for part in result for t in outputs_of(part)] if isinstance(result, (tuple, list)) else [result]


def agrees(model, data: bytes, *args, tolerance: float = 1e-5) -> None:
    """Assert that onnxruntime gives the outputs of the model in eval mode, with their dtypes and shapes."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    found = session.run(None, dict(zip(names, (t.numpy() for t in outputs_of(list(args))), strict=True)))
    with torch.no_grad():
        expected = outputs_of(model.eval()(*args))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        b = b.detach().numpy()
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def check(model, *args, **options) -> None:
    model.eval()
    agrees(model, exported(model, *args, **options), *args)


class Calls(nn.Module):
    """A model that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class OneForAll(nn.Module):
    """A layer of several inputs that are one tensor."""

    def __init__(self, layer, count):
        super().__init__()
        self.layer, self.count = layer, count

    def forward(self, x):
        return self.layer(*[x] * self.count)
