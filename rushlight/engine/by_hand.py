"""Kernels that Python calls outside of any program, each on the thread that calls it."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence

from . import llvm
from .emit import Builder, module


def functions(builders: Sequence[Builder]) -> list[Callable[..., None]]:
    """The kernels' chunk 0 as functions of their words."""
    code = llvm.load(module(builders), [k.name for k in builders])
    return [_function(code, k.name) for k in builders]


def _function(code: llvm.Code, name: str) -> Callable[..., None]:
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[name])

    def function(*words: int, keep: llvm.Code = code) -> None:
        run(struct.pack(f"{len(words)}q", *words), 0)

    return function
