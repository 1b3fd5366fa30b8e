"""How a tensor prints: PyTorch's text to the letter, made from a NumPy array of the tensor's values.

`set_printoptions` and its kin hold the options; `format_array` writes the values; `tensor_repr` adds what surrounds
them (device, dtype, gradient). Source: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes as dt, tape
from .graph import dual_level

if TYPE_CHECKING:
    from .tensor import Tensor


@dataclass
class _PrintOptions:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _PrintOptions()

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print. What is not given stays, except `sci_mode`, which returns to automatic.

    `profile` is "default", "short" or "full"; the other arguments override it.

    >>> torch.set_printoptions(precision=2)
    >>> torch.tensor([1.12345])
    tensor([1.12])
    >>> torch.set_printoptions(profile="default")
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = _PROFILES.get(profile, {}) if profile is not None else {}
    for name, value in (chosen | {k: v for k, v in given.items() if v is not None}).items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The current print options, as keyword arguments for `set_printoptions`.

    >>> torch.printing.get_printoptions()["linewidth"]
    80
    """
    return asdict(_options)


@contextlib.contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Set print options (those of `set_printoptions`) for the length of a `with` block.

    >>> with torch.printing.printoptions(precision=1):
    ...     print(torch.tensor([0.25, 1.75]))
    tensor([0.2, 1.8])
    """
    before = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**before)


class _Column:
    """The notation and the width that all numbers of one tensor (or of its real or imaginary part) share."""

    __slots__ = ("width", "write")

    def __init__(self, values: np.ndarray) -> None:
        self.width = 1
        self.write: Callable[[Any], str] = str
        if values.dtype.kind == "f":
            self._measure_floats(values.astype(np.float64).ravel())
        elif values.size:
            # The longest integer is the largest or the smallest, and `False` sorts before `True`.
            self.width = max(len(str(values.min().item())), len(str(values.max().item())))

    def _measure_floats(self, values: np.ndarray) -> None:
        values = values[np.isfinite(values) & (values != 0)]
        if not values.size:
            self.write = _write_whole
            return
        magnitudes = np.abs(values)
        smallest, largest = float(magnitudes.min()), float(magnitudes.max())
        scientific = _options.sci_mode
        if scientific is None:
            scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        if scientific:
            self.write = f"{{:.{_options.precision}e}}".format
        elif np.array_equal(values, np.ceil(values)):
            self.write = _write_whole
        else:
            self.write = f"{{:.{_options.precision}f}}".format
        # Among numbers of one sign the length grows with the magnitude, or with the distance of the exponent from 0.
        for part in (values[values > 0], values[values < 0]):
            if part.size:
                self.width = max(self.width, len(self.write(part.min().item())), len(self.write(part.max().item())))

    def __call__(self, value: Any) -> str:
        return self.write(value).rjust(self.width)


def _write_whole(value: float) -> str:
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


class _ComplexColumn:
    """Two columns, written as one number with the imaginary part flush against the real one."""

    __slots__ = ("imag", "real", "width")

    def __init__(self, values: np.ndarray) -> None:
        self.real, self.imag = _Column(values.real), _Column(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: complex) -> str:
        imag = (self.imag(value.imag) + "j").lstrip()
        return self.real(value.real) + (imag if imag[0] in "+-" else "+" + imag)


def _edges(values: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    shown = _options.edgeitems
    if not shown:
        # PyTorch measures a whole vector here (its `self[-0:]`), and nothing of a matrix.
        return values if values.ndim < 2 else values[:0]
    for axis, size in enumerate(values.shape):
        if size > 2 * shown:
            values = values.take([*range(shown), *range(size - shown, size)], axis)
    return values


def _vector(values: np.ndarray, indent: int, summarize: bool, column: _Column | _ComplexColumn) -> str:
    shown = _options.edgeitems
    if summarize and not shown:
        words = ["..."]
    elif summarize and len(values) > 2 * shown:
        words = [*map(column, values[:shown].tolist()), " ...", *map(column, values[-shown:].tolist())]
    else:
        words = [*map(column, values.tolist())]
    per_line = max(1, math.floor((_options.linewidth - indent) / (column.width + 2)))
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values: np.ndarray, indent: int, summarize: bool, column: _Column | _ComplexColumn) -> str:
    if values.ndim == 0:
        return column(values.item())
    if values.ndim == 1:
        return _vector(values, indent, summarize, column)
    size, shown = len(values), _options.edgeitems
    if summarize and size > 2 * shown:
        before, after = range(shown), range(size - shown, size)
        parts = [_nested(values[i], indent + 1, summarize, column) for i in before]
        parts.append("...")
        parts += [_nested(values[i], indent + 1, summarize, column) for i in after]
    else:
        parts = [_nested(part, indent + 1, summarize, column) for part in values]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def format_array(values: np.ndarray, indent: int = 0) -> str:
    """The values of `values` as PyTorch writes them between `tensor(` and `)`, continued `indent` columns in."""
    if not values.size:
        return "[]"
    summarize = values.size > _options.threshold
    measured = _edges(values) if summarize else values
    column = _ComplexColumn(measured) if values.dtype.kind == "c" else _Column(measured)
    return _nested(values, indent, summarize, column)


def _append_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    # PyTorch counts the first line two columns longer than it is.
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


def _values(tensor: Tensor) -> np.ndarray:
    """The values in a dtype that NumPy itself knows, with nothing lost."""
    values = tape.observe(tensor._storage).array(tensor._offset, tensor._layout)
    return values.astype(np.float32) if tensor.dtype in dt.LOW_PRECISION else values


def tensor_repr(tensor: Tensor, contents: str | None = None) -> str:
    """What `repr(tensor)` is. `contents` replaces the values, as in PyTorch's ``Tensor.__repr__(tensor_contents=...)``.

    A subclass prints under its own name, `Parameter` and `Buffer` apart.
    """
    name = type(tensor).__name__
    prefix = "tensor(" if name in ("Tensor", "Parameter", "Buffer") else f"{name}("
    indent = len(prefix)
    suffixes: list[str] = []
    default, kind = dt.get_default_dtype(), tensor.dtype
    on_meta = tensor.device.type == "meta"
    if on_meta:
        suffixes.append(f"device='{tensor.device}'")
    if on_meta or not tensor.numel():
        # Without values neither the shape nor the dtype can be read off.
        if on_meta or tensor.dim() != 1:
            suffixes.append(f"size={tuple(tensor.shape)}")
        if kind is not default:
            suffixes.append(f"dtype={kind!r}")
    else:
        if not _options.edgeitems:
            suffixes.append(f"size={tuple(tensor.shape)}")
        if kind not in (default, dt.int64, dt.bool_, dt.complex128 if default is dt.float64 else dt.complex64):
            suffixes.append(f"dtype={kind!r}")
    if contents is None:
        contents = "..." if on_meta else format_array(_values(tensor), indent)
    try:
        grad_fn = tensor.grad_fn
        name = "" if grad_fn is None else grad_fn.name().rpartition("::")[2]
    except RuntimeError:
        name = "Invalid"  # a view whose base has been written in a way that autograd does not follow
    if name:
        suffixes.append(f"grad_fn=<{name}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    level = dual_level()
    if level is not None and (tangent := level.tangent_of(tensor)) is not None:
        suffixes.append(f"tangent={tangent}")
    return _append_suffixes(prefix + contents, suffixes, indent)
