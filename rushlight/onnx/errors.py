"""What the exporter raises."""

from __future__ import annotations


class OnnxExporterWarning(UserWarning):
    """Something of the model that the exported graph does not keep."""


class OnnxExporterError(RuntimeError):
    """The model cannot be written as an ONNX graph."""


class UnsupportedOperatorError(OnnxExporterError):
    """An operation has no ONNX form here."""

    def __init__(self, name: str, version: int, reason: str = "") -> None:
        super().__init__(
            f"Exporting the operator 'aten::{name}' to ONNX opset version {version} is not supported"
            + (reason and ": ")
            + reason
        )
