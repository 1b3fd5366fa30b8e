"""What `torch.autocast` does to operands: per thread, which dtype products run in, and the casts themselves.

An op is in one of three lists, or in none and takes what comes: its card says which (`Card.autocast`), and a function that
is made of several ops says it by the decorator `autocasts`. The user's side is `rushlight/amp`.
Source: https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
"""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from . import dtypes as dt
from .devices import device
from .graph import grad_state
from .storage import TensorBase

#: The lists: ops that run in the lower precision, in float32, and in the widest dtype among their operands.
LOWER, SINGLE, WIDEST = "lower", "single", "widest"

F = TypeVar("F", bound=Callable[..., Any])


class Settings(threading.local):
    """What a thread has set; `grad_state.autocast` has the dtype for the CPU while autocast is on, since every op asks for it."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}  # of devices other than the CPU
        self.dtypes: dict[str, dt.dtype] = {}
        self.cache_enabled = True
        self.nesting = 0
        #: By the id of a leaf in float32: the leaf, its version, and what it was cast to.
        self.cache: dict[int, tuple[weakref.ref[Any], int, Any]] = {}


settings = Settings()


def cast(policy: str, operands: Sequence[Any]) -> Sequence[Any]:
    """The operands as an op of a list is given them."""
    low = grad_state.autocast
    if policy is LOWER:
        return [_cast_lower(t, low) if _eligible(t) else t for t in operands]
    wanted = dt.float32 if policy is SINGLE else _widest(operands, low)
    return [t.to(wanted) if _eligible(t) and t._layout.dtype is not wanted else t for t in operands]


def _eligible(value: Any) -> bool:
    if not isinstance(value, TensorBase):
        return False
    dtype = value._layout.dtype
    return dtype.category == dt.FLOAT and dtype is not dt.float64


def _widest(operands: Sequence[Any], low: dt.dtype) -> dt.dtype:
    found = {t._layout.dtype for t in operands if _eligible(t)}
    if dt.float32 in found:
        return dt.float32
    if not found <= {low}:
        raise RuntimeError("Unexpected floating ScalarType in at::autocast::prioritize")
    return low


def _cast_lower(tensor: Any, low: dt.dtype) -> Any:
    """The tensor in the lower precision. A parameter is cast once while the outermost region lasts."""
    if tensor._layout.dtype is low:
        return tensor
    is_leaf = tensor._requires_grad and tensor._node is None and tensor._base is None
    if not (is_leaf and tensor._layout.dtype is dt.float32 and settings.cache_enabled and grad_state.enabled):
        return tensor.to(low)
    known = settings.cache.get(id(tensor))
    if known is not None:
        leaf, version, kept = known
        if version == tensor._storage.version and kept._layout.dtype is low and leaf() is tensor:
            return kept
    found = tensor.to(low)
    settings.cache[id(tensor)] = (weakref.ref(tensor), tensor._storage.version, found)
    return found


@contextmanager
def casting_to(low: dt.dtype | None) -> Iterator[None]:
    """In the block, autocast is on with `low` as the lower precision; off if that is None."""
    before, grad_state.autocast = grad_state.autocast, low
    autocast_increment_nesting()
    try:
        yield
    finally:
        grad_state.autocast = before
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()


def autocasts(policy: str) -> Callable[[F], F]:
    """Put a function that is made of several ops in a list: all its tensors are cast, also those in lists, and nothing inside it is."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def casting(*args: Any, **kwargs: Any) -> Any:
            if grad_state.autocast is None:
                try:
                    return function(*args, **kwargs)
                except (TypeError, AttributeError):
                    if any(hasattr(type(value), "__torch_function__") for value in (*args, *kwargs.values())) and _ask_first():
                        return casting(*args, **kwargs)
                    raise
            names = [*kwargs]
            values = _cast_nested(policy, [*args, *kwargs.values()])
            with casting_to(None):
                return function(*values[: len(args)], **dict(zip(names, values[len(args) :], strict=True)))

        return casting  # type: ignore[return-value]

    return decorate


def _ask_first() -> bool:
    """Have functions ask ``__torch_function__`` from now on (overrides.py). Whether they have not so far."""
    from . import overrides

    return overrides.ask_first()


def _cast_nested(policy: str, values: Sequence[Any]) -> Sequence[Any]:
    """As `cast`, also for the tensors in lists and tuples among the values."""
    flat = [t for value in values for t in (value if isinstance(value, (list, tuple)) else (value,))]
    found = iter(cast(policy, flat))
    return [[next(found) for _ in value] if isinstance(value, (list, tuple)) else next(found) for value in values]


# What is set, for each type of device. Only the CPU has ops here; PyTorch's programs set the others too.

_LOWER_OF = {
    "cpu": dt.bfloat16, "cuda": dt.float16, "mtia": dt.float16, "maia": dt.bfloat16, "xpu": dt.float16, "ipu": dt.float16,
    "hpu": dt.bfloat16, "xla": dt.bfloat16, "privateuseone": dt.float16, "mps": dt.float16,
}  # fmt: skip


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows this type of device.

    >>> torch.amp.is_autocast_available("cpu")
    True
    """
    return device(device_type).type in _LOWER_OF


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on in this thread.

    >>> with torch.autocast("cpu"):
    ...     print(torch.is_autocast_enabled("cpu"))
    True
    """
    kind = device(device_type).type
    return grad_state.autocast is not None if kind == "cpu" else settings.enabled.get(kind, False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off in this thread: of a type of device, or of "cuda" if only a bool is given."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    kind = device(device_type).type
    if kind == "cpu":
        grad_state.autocast = get_autocast_dtype("cpu") if enabled else None
    else:
        settings.enabled[kind] = bool(enabled)


def get_autocast_dtype(device_type: str) -> dt.dtype:
    """The lower precision of autocast on a type of device.

    >>> torch.get_autocast_dtype("cpu")
    torch.bfloat16
    """
    kind = device(device_type).type
    if kind not in _LOWER_OF:
        raise RuntimeError("unsupported scalarType")
    return settings.dtypes.get(kind) or _LOWER_OF[kind]


def set_autocast_dtype(device_type: str, dtype: dt.dtype) -> None:
    """Set the lower precision of autocast on a type of device, in this thread."""
    settings.dtypes[device(device_type).type] = dtype
    if grad_state.autocast is not None:
        grad_state.autocast = get_autocast_dtype("cpu")


def is_autocast_cache_enabled() -> bool:
    """Whether parameters are cast once for the outermost region.

    >>> torch.is_autocast_cache_enabled()
    True
    """
    return settings.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Set whether parameters are cast once for the outermost region."""
    settings.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    settings.cache.clear()


def autocast_increment_nesting() -> int:
    """Enter a region: how many this thread is in now."""
    settings.nesting += 1
    return settings.nesting


def autocast_decrement_nesting() -> int:
    """Leave a region: how many this thread is in now."""
    settings.nesting -= 1
    return settings.nesting


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"torch.{name} is deprecated. Please use torch.{instead} instead.", DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """Deprecated: `is_autocast_enabled("cpu")`."""
    _deprecated("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Deprecated: ``set_autocast_enabled("cpu", enabled)``."""
    _deprecated("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dt.dtype:
    """Deprecated: ``get_autocast_dtype("cpu")``."""
    _deprecated("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dt.dtype) -> None:
    """Deprecated: ``set_autocast_dtype("cpu", dtype)``."""
    _deprecated("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dt.dtype:
    """Deprecated: ``get_autocast_dtype("cuda")``."""
    _deprecated("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dt.dtype) -> None:
    """Deprecated: ``set_autocast_dtype("cuda", dtype)``."""
    _deprecated("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)
