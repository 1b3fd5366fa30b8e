"""Anomaly detection: where a failing backward came from, and nan in gradients."""

from __future__ import annotations

import warnings

from ..graph import grad_state


class set_detect_anomaly:
    """Switch anomaly detection on or off: at once as a function, for a block as a context manager.

    While it is on, an error in a backward pass tells which forward call it belongs to, and a gradient that is nan is an
    error (unless `check_nan` is False).

    >>> with torch.autograd.set_detect_anomaly(True):
    ...     print(torch.is_anomaly_enabled())
    True
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = grad_state.anomaly, grad_state.check_nan
        grad_state.anomaly, grad_state.check_nan = bool(mode), bool(check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        grad_state.anomaly, grad_state.check_nan = self.before


class detect_anomaly:
    """A block with anomaly detection on (see `set_detect_anomaly`). It makes everything slower, and warns so.

    >>> import warnings
    >>> x = torch.zeros(1, requires_grad=True)
    >>> with warnings.catch_warnings(action="ignore"), torch.autograd.detect_anomaly():
    ...     torch.sqrt(x * 0).backward()
    Traceback (most recent call last):
    RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self.before = grad_state.anomaly, grad_state.check_nan
        grad_state.anomaly, grad_state.check_nan = True, self.check_nan

    def __exit__(self, *exc: object) -> None:
        grad_state.anomaly, grad_state.check_nan = self.before


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on.

    >>> torch.is_anomaly_enabled()
    False
    """
    return grad_state.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, when it is on, looks for nan.

    >>> torch.is_anomaly_check_nan_enabled()
    True
    """
    return grad_state.check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off.

    >>> torch.set_anomaly_enabled(False)
    """
    grad_state.anomaly, grad_state.check_nan = bool(enabled), bool(check_nan)
