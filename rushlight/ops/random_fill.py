"""Filling tensors in place with random numbers.

The cards here draw when they run, in program order, from the generator among their operands (`draws.py` has the
distributions). An in-place fill takes the elements in the order of their memory, as PyTorch does. Gradients are zero.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import draws, dtypes as dt, tape
from ..random import Generator, default_generator
from ..shape import stride_order
from ..storage import TensorBase
from .card import Card, write_into
from .creation import zeros_like

if TYPE_CHECKING:
    from ..tensor import Tensor

REAL = frozenset((dt.float16, dt.bfloat16, dt.float32, dt.float64))
COMPLEX = frozenset((dt.complex64, dt.complex128))
INTEGERS = frozenset((dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64))
BARE_UNSIGNED = frozenset((dt.uint16, dt.uint32, dt.uint64))
_LOWEST_INT64, _HIGHEST_INT64 = -(2**63), 2**63 - 1

#: What C++ calls a dtype, for the messages that print it so.
_CPP_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "uint8": "unsigned char",
    "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int", "bool": "bool",
    "uint16": "short unsigned int", "uint32": "unsigned int", "uint64": "long unsigned int",
}  # fmt: skip


def generator_argument(generator: Any, function: str) -> Generator:
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{function}(): argument 'generator' must be torch.Generator, not {type(generator).__name__}")
    return generator


def require_dtype(dtype: dt.dtype, allowed: frozenset[dt.dtype], kernel: str) -> None:
    if dtype not in allowed:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")


def zero_gradient(g: Tensor) -> Tensor:
    return zeros_like(g)


# In-place fills


def _outermost_first(target: np.ndarray) -> list[int]:
    return stride_order((target.shape,), (target.strides,), target.shape)[::-1]


def _filled(target: np.ndarray, draw: Callable[[int, str], np.ndarray]) -> np.ndarray:
    """What ``draw(numel, dtype)`` gives, put where the elements of `target` lie in memory."""
    dtype = dt.BY_NUMPY[target.dtype]
    if dtype.is_complex:
        flat = draw(2 * target.size, dtype.to_real().name).view(target.dtype)
    else:
        flat = draw(target.size, dtype.name)
    if target.flags.c_contiguous:
        return flat.reshape(target.shape)
    order = _outermost_first(target)
    return flat.reshape([target.shape[d] for d in order]).transpose(np.argsort(order))


def fill_card(name: str, parameters: str, draw: Callable[..., np.ndarray], node_name: str | None = None) -> Card:
    """The card of an in-place fill whose parameters are numbers: ``draw(generator, numel, dtype, *numbers)``."""

    def rule(target: np.ndarray, *operands: Any) -> np.ndarray:
        *numbers, generator = operands
        return _filled(target, lambda numel, dtype: draw(generator, numel, dtype, *numbers))

    return Card(
        name, f"input {parameters} generator", infer=lambda input, *_: input, numpy=rule, grads={"input": zero_gradient}, node_name=node_name
    )  # fmt: skip


def normal_rule(target: np.ndarray, mean: float, std: float, generator: Generator) -> np.ndarray:
    if target.dtype.kind == "c":
        std /= math.sqrt(2)  # half the variance each for the real and the imaginary part
    whole = target.flags.c_contiguous
    return _filled(target, lambda numel, dtype: draws.normal(generator, numel, dtype, mean, std, whole))


_uniform = fill_card("uniform", "low high", draws.uniform)
_normal = Card("normal", "input mean std generator", infer=lambda input, *_: input, numpy=normal_rule, grads={"input": zero_gradient})
_random_full = fill_card("random_full", "", draws.random_full, "RandomBackward2")
_random_range = fill_card("random_range", "low high", draws.random_range, "RandomBackward0")
_random_to = fill_card("random_to", "low high", draws.random_range, "RandomBackward1")
_random_int64 = fill_card("random_int64", "", draws.random_int64, "RandomBackward0")
_exponential = fill_card("exponential", "lambd", draws.exponential)
_geometric = fill_card("geometric", "p", draws.geometric)
_cauchy = fill_card("cauchy", "median sigma", draws.cauchy)
_log_normal = fill_card("log_normal", "mean std", draws.log_normal)
_bernoulli_fill = fill_card("bernoulli_fill", "p", draws.bernoulli, "BernoulliBackward2")


def _start_argument(start: float, named: dict[str, Any], function: str) -> float:
    """`from`, which is a keyword in Python, and so cannot be the name of a parameter."""
    start = named.pop("from", start)
    if named:
        raise TypeError(f"{function}() got an unexpected keyword argument '{next(iter(named))}'")
    return start


def uniform_(self: Tensor, start: float = 0, to: float = 1, *, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with uniform numbers in [from, to).

    >>> _ = torch.manual_seed(0)
    >>> torch.empty(2).uniform_(1, 3)
    tensor([1.9925, 2.5364])
    """
    low, high = float(_start_argument(start, named, "uniform_")), float(to)
    dtype = self._layout.dtype
    require_dtype(dtype, REAL | COMPLEX, "check_uniform_bounds")
    real = dtype.to_real()
    largest = float(dt.finfo(real).max)
    for name, value in (("from", low), ("to", high)):
        if not -largest <= value <= largest:
            raise RuntimeError(f"{name} is out of bounds for {_CPP_NAMES[real.name]}")
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{real.type_name}>::max(), but found to={high:g} and "
            f"from={low:g} which result in to-from to exceed the limit"
        )
    return write_into(_uniform, self, (self, low, high, generator_argument(generator, "uniform_")))


def normal_(self: Tensor, mean: float = 0, std: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers.

    >>> _ = torch.manual_seed(0)
    >>> torch.empty(2).normal_()
    tensor([ 1.5410, -0.2934])
    """
    mean, std = float(mean), float(std)
    check_std(std)
    require_dtype(self._layout.dtype, REAL | COMPLEX, "normal_kernel_cpu")
    return write_into(_normal, self, (self, mean, std, generator_argument(generator, "normal_")))


def check_std(std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of rate `lambd`.

    >>> bool((torch.empty(3).exponential_() >= 0).all())
    True
    """
    lambd = float(lambd)
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    if not self._layout.dtype.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {self._layout.dtype.type_name}"
        )
    return write_into(_exponential, self, (self, lambd, generator_argument(generator, "exponential_")))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the numbers of trials, each of probability `p`, until the first success.

    >>> bool((torch.empty(3).geometric_(0.5) >= 1).all())
    True
    """
    p = float(p)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    require_dtype(self._layout.dtype, REAL | INTEGERS, "geometric_cpu")
    return write_into(_geometric, self, (self, p, generator_argument(generator, "geometric_")))


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with Cauchy numbers around `median` with scale `sigma`.

    >>> torch.empty(2, 3).cauchy_().shape
    torch.Size([2, 3])
    """
    median, sigma = float(median), float(sigma)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    dtype = self._layout.dtype
    if not dtype.is_floating_point:
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {_CPP_NAMES.get(dtype.name, dtype.type_name)}"
        )
    return write_into(_cauchy, self, (self, median, sigma, generator_argument(generator, "cauchy_")))


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers whose logarithm is normal.

    >>> bool((torch.empty(3).log_normal_() > 0).all())
    True
    """
    mean, std = float(mean), float(std)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    require_dtype(self._layout.dtype, REAL, "log_normal_cpu")
    return write_into(_log_normal, self, (self, mean, std, generator_argument(generator, "log_normal_")))


# Integers


def integer_argument(value: Any, function: str, name: str, position: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be int, not {type(value).__name__}")
    value = value.__index__()
    if not _LOWEST_INT64 <= value <= _HIGHEST_INT64:
        raise ValueError("Overflow when unpacking long long")
    return value


def _closest_from(start: int, dtype: dt.dtype) -> int:
    """The first int64 from `start` on that stays in the range when rounded to a floating-point dtype."""
    above = _rounded(start + 1, dtype)
    if above < start:
        start = above + (1 << (abs(start + 1).bit_length() - draws.DIGITS[dtype.name]))
    return start


def _closest_to(to: int, dtype: dt.dtype) -> int:
    below = _rounded(to - 1, dtype)
    if below >= to:
        to = below - (1 << (abs(to - 1).bit_length() - draws.DIGITS[dtype.name]))
    return to


def _rounded(value: int, dtype: dt.dtype) -> int:
    with np.errstate(over="ignore"):
        rounded = float(np.float64(value).astype(dtype.numpy))
    return int(rounded) if math.isfinite(rounded) else _LOWEST_INT64


def _check_range(low: int, high: int, dtype: dt.dtype) -> None:
    """Refuse bounds (inclusive) that the dtype cannot hold; warn of those that it cannot tell apart."""
    if dtype in REAL:
        limits = (-float(dt.finfo(dtype).max), float(dt.finfo(dtype).max))
    elif dtype is dt.bool_:
        limits = (0, 1)
    elif dtype in INTEGERS or dtype in BARE_UNSIGNED:
        limits = (int(np.iinfo(dtype.numpy).min), min(int(np.iinfo(dtype.numpy).max), _HIGHEST_INT64))
    else:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    for name, value in (("from", low), ("to - 1", high)):
        if not limits[0] <= value <= limits[1]:
            raise RuntimeError(f"{name} is out of bounds for {_CPP_NAMES[dtype.name]}")
    digits = draws.DIGITS.get(dtype.name)
    for name, value in (("from", low), ("to - 1", high)):
        if digits is not None and abs(value) > 2**digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {_CPP_NAMES[dtype.name]} "
                "can support discrete uniform distribution only within this range. This warning will become an error in "
                "version 1.7 release, please fix the code in advance",
                stacklevel=3,
            )


def random_(self: Tensor, *bounds: Any, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with integers: ``random_()`` with all that the dtype can tell apart, ``random_(to)``, ``random_(from, to)``.

    >>> _ = torch.manual_seed(0)
    >>> torch.empty(3).random_(10)
    tensor([4., 9., 3.])
    """
    chosen = generator_argument(generator, "random_")
    dtype = self._layout.dtype
    if not bounds and not named:
        require_dtype(dtype, REAL | INTEGERS | {dt.bool_}, "random_kernel_cpu")
        return write_into(_random_full, self, (self, chosen))
    names = ("to",) if len(bounds) == 1 and "to" not in named else ("from", "to")
    given = dict(zip(names, bounds, strict=False)) | named
    card = _random_range if "from" in given else _random_to
    start, to = integer_argument(given.get("from", 0), "random_", "from", 1), given.get("to")
    if to is None:
        return _random_from(self, start, chosen)
    to = integer_argument(to, "random_", "to", 2)
    if start >= to:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={start} >= to={to}")
    if dtype in REAL:
        start, to = _closest_from(start, dtype), _closest_to(to, dtype)
        if start >= to:
            raise RuntimeError(
                f"random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from={start} >= to={to}"
            )
    _check_range(start, to - 1, dtype)
    return write_into(card, self, (self, start, to, chosen))


def _random_from(self: Tensor, start: int, generator: Generator) -> Tensor:
    """``random_(from, None)``: up to the largest integer that the dtype holds exactly."""
    dtype = self._layout.dtype
    if start == _LOWEST_INT64:
        if dtype not in (dt.int64, dt.float64, dt.float32, dt.bfloat16):
            raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16")
        return write_into(_random_int64, self, (self, generator))
    if dtype in REAL:
        last = 2 ** draws.DIGITS[dtype.name]
        start = _closest_from(start, dtype)
        if start >= last:
            raise RuntimeError(
                f"random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but got from={start} > to_inc={last}"
            )
    elif dtype in COMPLEX:
        raise RuntimeError("random_from_to_impl handles only integral, floating-point and boolean types")
    else:
        last = 1 if dtype is dt.bool_ else min(int(np.iinfo(dtype.numpy).max), _HIGHEST_INT64)
    _check_range(start, last, dtype)
    return write_into(_random_range, self, (self, start, last + 1, generator))


# Coin flips


def checked(found: Tensor) -> Tensor:
    """`found`, after its card has looked at the values that it may refuse."""
    tape.flush("check")
    return found


def _bernoulli_tensor_rule(target: np.ndarray, p: np.ndarray, generator: Generator) -> np.ndarray:
    if not target.flags.c_contiguous:
        p = p.transpose(_outermost_first(target))
    return _filled(target, lambda numel, dtype: draws.bernoulli_each(generator, p.ravel(), dtype))


_bernoulli_tensor = Card(
    "bernoulli_tensor", "input p generator", infer=lambda input, p, generator: input, numpy=_bernoulli_tensor_rule,
    grads={"input": zero_gradient, "p": zero_gradient}, node_name="BernoulliBackward1",
)  # fmt: skip


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones with probability `p` (a number, or a tensor that broadcasts) and zeros.

    >>> torch.empty(3).bernoulli_(1.0)
    tensor([1., 1., 1.])
    """
    chosen = generator_argument(generator, "bernoulli_")
    dtype = self._layout.dtype
    if isinstance(p, TensorBase):
        require_dtype(dtype, REAL | INTEGERS | {dt.bool_}, "bernoulli_tensor_cpu_self_")
        require_dtype(p._layout.dtype, REAL, "bernoulli_tensor_cpu_p_")
        return checked(write_into(_bernoulli_tensor, self, (self, p.expand(self._layout.shape), chosen)))  # type: ignore[attr-defined]
    p = float(p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    require_dtype(dtype, REAL | INTEGERS | {dt.bool_}, "bernoulli_scalar_cpu_")
    return write_into(_bernoulli_fill, self, (self, p, chosen))
