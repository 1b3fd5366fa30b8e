"""ONNX nodes of layers: convolution, pooling, normalization."""

from __future__ import annotations
