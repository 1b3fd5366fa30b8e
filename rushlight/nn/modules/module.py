"""PyTorch's place for the base class of the layers; it lives in ``nn/module.py``."""

from ..module import Module

__all__ = ["Module"]
