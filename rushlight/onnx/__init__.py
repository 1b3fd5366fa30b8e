"""``torch.onnx``: models as ONNX graphs.

`export` runs the model while the engine reports each op (`trace`), then walks the report: `graph` keeps track of what
memory holds, and the builders (`pointwise`, `shapes`, `reductions`, `layers`, `recurrent`) write the nodes of each card.
Source: https://docs.pytorch.org/docs/stable/onnx.html
"""

from __future__ import annotations

import enum

from . import errors as errors
from .errors import OnnxExporterError as OnnxExporterError
from .export import export as export, is_in_onnx_export as is_in_onnx_export
from .program import ONNXProgram as ONNXProgram


class TrainingMode(enum.Enum):
    """PyTorch's deprecated ``training`` argument of `export`; models are exported in eval mode."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.Enum):
    """PyTorch's deprecated ``operator_export_type`` argument of `export`; only ONNX operators are written."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3
