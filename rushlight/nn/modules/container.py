"""PyTorch's place for the containers; they live in ``nn/container.py`` and ``nn/parameter_container.py``."""

from ..container import Container, ModuleDict, ModuleList, Sequential
from ..parameter_container import ParameterDict, ParameterList

__all__ = ["Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]
