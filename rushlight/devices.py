"""Devices: the CPU, and `meta`, whose tensors have a layout and no data."""

from __future__ import annotations

import threading
from typing import Any

_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy",
    "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip

NO_CUDA = "Torch not compiled with CUDA enabled"
NO_ACCELERATOR = "Cannot access accelerator device when none is available."


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda", 1)`; also a context manager that sets the default.

    >>> torch.device("cuda:1").index
    1
    """

    __slots__ = ("type", "index", "_outer")
    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        if isinstance(type, int):
            # A number means an accelerator.
            raise RuntimeError("Device index must not be negative" if type < 0 else NO_ACCELERATOR)
        if not isinstance(type, str):
            raise TypeError(
                f"device() received an invalid combination of arguments - got ({type.__class__.__name__}), but expected one of:\n"
                " * (torch.device device)\n * (str type, int index = -1)"
            )
        if not type:
            raise RuntimeError("Device string must not be empty")
        if index is not None:
            if not isinstance(index, int):
                raise TypeError(f"device(): argument 'index' (position 2) must be int, not {index.__class__.__name__}")
            if index < 0:
                raise RuntimeError("Device index must not be negative")
        name, _, number = type.partition(":")
        if not all(c.isalpha() or c == "_" for c in name):
            raise RuntimeError(f"Invalid device string: '{type}'")
        if name not in _TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(_TYPES)} device type at start of device string: {name}"
            )
        if number:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type}")
            if not number.isdigit() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self.type, self.index = name, index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type,) if self.index is None else (self.type, self.index)

    def __enter__(self) -> device:
        self._outer = _state.default
        _state.default = resolve(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _state.default = self._outer


CPU = device("cpu")
META = device("meta")


class _DefaultDevice(threading.local):
    default = CPU


_state = _DefaultDevice()


def get_default_device() -> device:
    """The device on which factory functions create tensors.

    >>> torch.get_default_device()
    device(type='cpu')
    """
    return _state.default


def set_default_device(device: Any) -> None:
    """Set the device on which factory functions create tensors; None is the CPU again.

    >>> torch.set_default_device("cpu")
    """
    _state.default = CPU if device is None else resolve(device)


def resolve(wanted: Any) -> device:
    """`wanted` (None, a name, a device) as one of the devices that exist here, else PyTorch's error."""
    if wanted is None:
        return _state.default
    if wanted is CPU or wanted is META:
        return wanted
    found = wanted if isinstance(wanted, device) else device(wanted)
    if found.type == "cpu":
        return CPU
    if found.type == "meta":
        return META
    if found.type == "cuda":
        raise AssertionError(NO_CUDA)
    raise RuntimeError(f"PyTorch is not linked with support for {found.type} devices")
