"""Settings of the whole process: threads, determinism, precision of products."""

from __future__ import annotations

import warnings

from . import dtypes as dt
from .engine import pool

_interop = 1
_deterministic = _warn_only = False
_precision = "highest"


def get_num_threads() -> int:
    """How many threads an op may use.

    >>> torch.get_num_threads() >= 1
    True
    """
    return pool.get_threads()


def set_num_threads(num: int) -> None:
    """Set how many threads an op may use.

    >>> torch.set_num_threads(torch.get_num_threads())
    """
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    pool.set_threads(num)


def get_num_interop_threads() -> int:
    """How many ops run at a time: 1.

    >>> torch.get_num_interop_threads() >= 1
    True
    """
    return _interop


def set_num_interop_threads(num: int) -> None:
    """Accepted for a positive number; ops run one after the other here."""
    if num <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for deterministic algorithms; every algorithm here is one.

    >>> torch.use_deterministic_algorithms(False)
    """
    global _deterministic, _warn_only
    _deterministic, _warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last given.

    >>> torch.are_deterministic_algorithms_enabled()
    False
    """
    return _deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was last given.

    >>> torch.is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return _warn_only


_DEBUG_MODES = ("default", "warn", "error")


def get_deterministic_debug_mode() -> int:
    """0 if ops need not be deterministic, 1 if those that are not warn, 2 if they raise.

    >>> torch.get_deterministic_debug_mode()
    0
    """
    return 0 if not _deterministic else 1 if _warn_only else 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by one word or number: "default" (0), "warn" (1) or "error" (2).

    >>> torch.set_deterministic_debug_mode("default")
    """
    if not isinstance(debug_mode, int | str):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _DEBUG_MODES:
            raise RuntimeError(f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}")
        debug_mode = _DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def get_float32_matmul_precision() -> str:
    """"highest", "high" or "medium": how float32 products may round.

    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Allow float32 products to round as "highest", "high" or "medium" says; they are always exact to float32 here.

    >>> torch.set_float32_matmul_precision("highest")
    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the currentsetFloat32MatmulPrecision call has no effect.",
            stacklevel=2,
        )
        return
    _precision = precision


def set_flush_denormal(mode: bool) -> bool:
    """False: denormal numbers are never flushed to zero here.

    >>> torch.set_flush_denormal(False)
    False
    """
    return False


def set_default_tensor_type(t: object) -> None:
    """Make the dtype of a tensor type (``torch.DoubleTensor`` or its name) the default. Deprecated in PyTorch."""
    from .tensor_types import as_dtype

    warnings.warn(
        "torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use torch.set_default_dtype() and "
        "torch.set_default_device() as alternatives.",
        stacklevel=2,
    )
    dtype = as_dtype(t)
    if not dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    dt.set_default_dtype(dtype)
