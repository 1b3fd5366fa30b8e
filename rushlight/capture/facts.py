"""Facts: what a walk notes of each thing it meets, such that equal facts mean that nothing has changed."""

from __future__ import annotations

import types
from enum import Enum
from operator import attrgetter, itemgetter, methodcaller
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes as dt, settings
from ..devices import device
from ..engine.checks import Checks
from ..graph import Node, grad_state, refresh_view
from ..memory_formats import layout as memory_layout, memory_format
from ..nn import Module
from ..random import Generator

#: What is nested deeper is given up.
DEPTH_AT_MOST = 100


class Unsupported(Exception):
    """Why a function cannot be captured; the message names the object by its path: ``model.cache, a generator``."""


class TooMuch(Unsupported):
    """There is more to look at than a check before each call could bear."""


class Changed(Exception):
    """The walk has met something that was different; in words."""


class Fact(NamedTuple):
    """`value` is made of built-in types only, so that comparing calls nobody's code; `shown` is for the words."""

    path: str
    aspect: str
    value: Any
    shown: Any

    def became(self, now: Fact) -> str:
        aspect, before, after = self.aspect, self.shown, now.shown
        if aspect == "tensor":
            aspect, before, after = next(both for both in zip(_TENSOR_ASPECTS, self.value, now.value, strict=True) if both[1] != both[2])
        return f"{self.path}: {aspect and aspect + ' '}{in_words(before)} became {in_words(after)}"


_TENSOR_ASPECTS = ("class", "shape", "stride", "dtype", "requires_grad", "is_leaf", "inference")


class Words(str):
    """Said as it is."""

    __slots__ = ()


MISSING = Words("nothing")


def in_words(value: Any) -> str:
    if isinstance(value, Words):
        return value
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return value.__qualname__
    if isinstance(value, types.ModuleType):
        return f"the module {value.__name__}"
    kind = type(value)
    if kind in SCALARS or kind in (tuple, list, device, dt.dtype):
        text = repr(value)
        return text if len(text) <= 80 else text[:77] + "..."
    return "another " + kind.__name__ if isinstance(value, Module) else with_article(value)


def with_article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


SCALARS = frozenset((int, float, bool, str, bytes, complex, type(None)))
#: Of one value for ever, or the user of which reads no state: known by identity.
ATOMS = (
    dt.dtype, memory_format, memory_layout, Generator, Node, Enum, np.dtype, np.ufunc, types.CodeType, types.EllipsisType, types.NotImplementedType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.GenericAlias, types.UnionType, attrgetter, itemgetter, methodcaller, type(np.sum),
)  # fmt: skip


def canonical(value: Any) -> Any:
    """A scalar with its type, such that different values differ: 0.0 from -0.0, True from 1; nan is nan."""
    if isinstance(value, float):
        return type(value).__name__, float.hex(value)
    if isinstance(value, complex):
        return type(value).__name__, value.real.hex(), value.imag.hex()
    return type(value).__name__, value


def key_of(value: Any, depth: int = 0) -> Any:
    """What stands for a key of a dictionary."""
    if type(value) in SCALARS:
        return canonical(value)
    if type(value) is tuple and depth < DEPTH_AT_MOST:
        return tuple([key_of(v, depth + 1) for v in value])
    return type(value).__name__, id(value)


def current_modes() -> tuple[Any, ...]:
    modes = grad_state.__dict__
    return modes["enabled"], modes["inference"], dt._default, settings._deterministic, modes["anomaly"], modes["saved_hooks"], modes.get("autocast")


MODES = ("grad mode", "inference mode", "default dtype", "deterministic algorithms", "anomaly detection", "hooks on saved tensors", "autocast")


def note_modes(checks: Checks) -> None:
    """All that `current_modes` reads on this thread must stay as it is."""
    for name in ("enabled", "inference", "anomaly", "saved_hooks", "autocast"):
        checks.entry(grad_state.__dict__, name)
    checks.item(vars(dt), "_default")
    checks.item(vars(settings), "_deterministic")


def history(tensor: Any) -> tuple[bool, bool]:
    """Whether a tensor requires grad, and whether it is a leaf."""
    if tensor._base is not None:
        refresh_view(tensor)
    return tensor._requires_grad, tensor._node is None
