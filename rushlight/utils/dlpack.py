"""DLPack capsules: tensors of other libraries over the same memory."""

from __future__ import annotations

from typing import Any

from ..ops import from_dlpack as from_dlpack
from ..tensor import Tensor


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule of the tensor's memory.

    >>> torch.from_dlpack(torch.utils.dlpack.to_dlpack(torch.arange(2)))
    tensor([0, 1])
    """
    return tensor.__dlpack__()
