"""The names of PyTorch's compiled module that public programs reach for. Nothing of rushlight's own uses this module."""

from __future__ import annotations

import os
import sys

from .overrides import (
    DisableTorchFunction as DisableTorchFunction,
    DisableTorchFunctionSubclass as DisableTorchFunctionSubclass,
    asking as _asking,
)
from .random import Generator as Generator
from .tensor import _disabled_torch_function_impl as _disabled_torch_function_impl

_logged: set[str] = set()


def _log_api_usage_once(event: str) -> None:
    """Report the first use of an interface on stderr where PYTORCH_API_USAGE_STDERR is set, as PyTorch does.

    >>> torch._C._log_api_usage_once("my.library")
    """
    if event not in _logged:
        _logged.add(event)
        if os.environ.get("PYTORCH_API_USAGE_STDERR"):
            print(f"PYTORCH_API_USAGE {event}", file=sys.stderr)


def _is_torch_function_enabled() -> bool:
    """Whether ``__torch_function__`` of classes is asked here.

    >>> torch._C._is_torch_function_enabled()
    True
    """
    return _asking.subclasses
