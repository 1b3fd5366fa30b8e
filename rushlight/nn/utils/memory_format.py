"""Converting the memory format of convolution weights."""

from __future__ import annotations

from typing import Any, TypeVar

from ..module import Module

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

AnyModule = TypeVar("AnyModule", bound=Module)


def _convert(module: AnyModule, kinds: tuple[type[Module], ...], memory_format: Any) -> AnyModule:
    for submodule in module.modules():
        if isinstance(submodule, kinds):
            weight: Any = submodule.weight
            weight.data = weight.detach().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: AnyModule, memory_format: Any) -> AnyModule:
    """Convert the weights of all 2-d convolutions, in place.

    >>> conv = nn.utils.convert_conv2d_weight_memory_format(nn.Conv2d(2, 2, 3), torch.channels_last)
    >>> conv.weight.is_contiguous(memory_format=torch.channels_last)
    True
    """
    from ..modules import Conv2d, ConvTranspose2d

    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: AnyModule, memory_format: Any) -> AnyModule:
    """Convert the weights of all 3-d convolutions, in place."""
    from ..modules import Conv3d, ConvTranspose3d

    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)
