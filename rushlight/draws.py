"""PyTorch's CPU distributions on NumPy arrays, drawn from a `Generator`.

Every function takes the generator first and returns a new flat array (`multinomial` and `dirichlet`: one row per
distribution) in PyTorch's order: the elements of the destination in the order of its memory. A dtype is given by name;
the array has its NumPy twin. Parameters are checked by the caller (`ops/random.py`), values of arrays here.

Values and the number of words consumed are those of PyTorch's templates, ATen/native/cpu/DistributionTemplates.h and
ATen/native/Distributions.h. What is float32 there is float32 here, what is double is double.

    uniform(generator, numel, dtype, low, high)          normal(generator, numel, dtype, mean, std, contiguous)
    random_full(generator, numel, dtype)                 random_range(generator, numel, dtype, low, high)
    random_int64(generator, numel, dtype)                randperm(generator, n)
    bernoulli(generator, numel, dtype, p)                bernoulli_each(generator, p, dtype)
    exponential / geometric / cauchy / log_normal (generator, numel, dtype, ...)
    multinomial(generator, probabilities, count, replacement)
    poisson(generator, rate)    binomial(generator, count, prob)    gamma(generator, alpha)    dirichlet(generator, alpha)

Dropout keeps where ``bernoulli(generator, numel, dtype, 1 - p)`` is one.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import vector_math
from .dtypes import BY_NAME
from .random import Generator, is_native, native

_WIDE_RANGE = 2**28  # an integer range from here on draws 64 bits per element
_HUGE_PERMUTATION = (2**32 - 1) // 20  # from here on `randperm` draws 64 bits per element
_COMPARED_AT_MOST = 1 << 22  # so many comparisons are quicker than a search for each row
_SPAN = 1 << 15  # how many uniforms a rejection sampler draws ahead at most

#: Bits of the significand, the leading one included.
DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _numpy_dtype(dtype: str) -> np.dtype:
    return BY_NAME[dtype].numpy


def _cast(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round float64 to a dtype; the half precisions are rounded by way of float32."""
    if dtype in ("float16", "bfloat16"):
        values = values.astype(np.float32)
    return values.astype(_numpy_dtype(dtype), copy=False)


def _spans(numel: int) -> Iterator[slice]:
    """Pieces of a flat array that fit into the cache."""
    return (slice(start, min(start + _SPAN, numel)) for start in range(0, numel, _SPAN))


def _floats(generator: Generator, numel: int) -> np.ndarray:
    """Uniform float32 in [0, 1): the low 24 bits of a word each."""
    if is_native(numel):
        return generator.drawn(native().floats, numel)
    values = np.empty(numel, np.float32)
    with generator.lock:
        for span in _spans(numel):
            words = generator.words(span.stop - span.start)
            words &= 0xFFFFFF
            values[span] = words.view(np.int32)
            values[span] *= np.float32(2**-24)
    return values


def _doubles(generator: Generator, numel: int) -> np.ndarray:
    """Uniform float64 in [0, 1): the low 53 bits of two words each, the high word first."""
    if is_native(numel):
        return generator.drawn(native().doubles, numel)
    values = np.empty(numel)
    with generator.lock:
        for span in _spans(numel):
            words = generator.words(2 * (span.stop - span.start))
            piece = values[span]
            piece[:] = words[::2] & 0x1FFFFF
            piece *= 2.0**32
            piece += words[1::2]
            piece *= 2.0**-53
    return values


def _longs(generator: Generator, numel: int) -> np.ndarray:
    """Uniform uint64: two words each, the high word first."""
    words = generator.words(2 * numel)
    values = words[::2].astype(np.uint64)
    values <<= 32
    values |= words[1::2]
    return values


def uniform(generator: Generator, numel: int, dtype: str, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Uniform numbers in [low, high)."""
    if dtype == "float64":
        values = _doubles(generator, numel)
        values = _scale(values, high - low, low)
        lowest, limit = low, high
    else:
        values = _floats(generator, numel)
        if dtype == "float32" and (low, high) == (0.0, 1.0):
            return values
        start = np.float32(low)
        width = np.float32(high) - start
        if dtype == "float32" and is_native(numel):
            native().scale(values, width, start, high, low)
            return values
        if (start, width) != (0, 1):
            wide = values.astype(np.float64)
            wide *= width
            wide += start
            values = wide.astype(np.float32)
        values = values.astype(_numpy_dtype(dtype), copy=False)
        lowest, limit = np.array([low, high], np.float32).astype(values.dtype)
    if (low, high) != (0.0, 1.0) or dtype in ("float16", "bfloat16"):
        values[values == limit] = lowest  # rounding may have reached the excluded bound
    return values


def _libm(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    """A function of every element by the C library, as PyTorch's scalar loops do; NumPy's own may be one bit off."""
    return np.fromiter(map(function, values.ravel().tolist()), np.float64, values.size).reshape(values.shape)


def _elementwise(function: Callable[[float], float], values: np.ndarray, dtype: str) -> np.ndarray:
    """`_libm` where the last bit of a double will be seen, else NumPy's function of that name, which is quicker."""
    if dtype == "float64":
        with contextlib.suppress(OverflowError):
            return _libm(function, values)
    return getattr(np, function.__name__)(values)


def _scale(values: np.ndarray, factor: float, addend: float) -> np.ndarray:
    """``values * factor + addend`` rounded once, by Dekker's exact product and Knuth's exact sum."""
    if (factor, addend) == (1.0, 0.0):
        return values
    product = values * factor
    if abs(factor) > 2.0**990:  # the parts below would overflow
        return product + addend
    high, low = _halves(values)
    factor_high, factor_low = _halves(np.float64(factor))
    error = high * factor_high - product
    error += high * factor_low
    error += low * factor_high
    error += low * factor_low
    total = product + addend
    carried = total - product
    error += (product - (total - carried)) + (addend - carried)
    return total + error


def _halves(values: Any) -> tuple[Any, Any]:
    scaled = values * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - values)
    return high, values - high


def normal(
    generator: Generator, numel: int, dtype: str, mean: float = 0.0, std: float = 1.0, contiguous: bool = True
) -> np.ndarray:
    """Normal numbers: for 16 or more elements in contiguous memory by blocks, else in double by pairs."""
    with generator.lock:
        if numel < 16 or not contiguous:
            return _cast(_scale(_normal_pairs(generator, numel), std, mean), dtype)
        tail = 16 if numel % 16 else 0
        whole = numel // 16 * 16
        if dtype == "float64":
            values, last = _doubles(generator, numel), _doubles(generator, tail)
            fill = _double_normals
        else:
            # The half precisions draw no uniforms for the incomplete block that the tail overwrites.
            values = _floats(generator, numel if dtype == "float32" else whole)
            last = _floats(generator, tail)
            fill = native().normals if is_native(numel) else vector_math.normals_from_uniforms
    fill(values[:whole].reshape(-1, 16), mean, std)
    if tail:
        fill(last.reshape(-1, 16), mean, std)
        values = np.concatenate((values[: numel - 16], last))
    return values.astype(_numpy_dtype(dtype), copy=False)


def _double_normals(uniforms: np.ndarray, mean: float, std: float) -> None:
    radius = np.sqrt(-2.0 * _libm(math.log, 1.0 - uniforms[:, :8]))
    theta = 2.0 * math.pi * uniforms[:, 8:]
    uniforms[:, :8] = _scale(radius * np.cos(theta), std, mean)
    uniforms[:, 8:] = _scale(radius * np.sin(theta), std, mean)


def _normal_pairs(generator: Generator, numel: int) -> np.ndarray:
    """Standard normals by Box and Muller in double; the second of a pair waits in the generator."""
    with generator.lock:
        values = np.empty(numel + 2)
        filled = 0
        if generator.normal_partner is not None and numel:
            values[0], filled = generator.normal_partner, 1
            generator.normal_partner = None
        pairs = (numel - filled + 1) // 2
        uniforms = _doubles(generator, 2 * pairs)
        radius = np.sqrt(-2.0 * _libm(math.log1p, -uniforms[1::2]))
        theta = 2.0 * math.pi * uniforms[::2]
        stop = filled + 2 * pairs
        values[filled:stop:2] = radius * np.cos(theta)
        values[filled + 1 : stop : 2] = radius * np.sin(theta)
        if stop > numel:
            generator.normal_partner = float(values[numel])
        return values[:numel]


def random_full(generator: Generator, numel: int, dtype: str) -> np.ndarray:
    """``random_()``: integers in [0, largest of an integer dtype] or [0, 2**digits] of a floating-point dtype."""
    kind = _numpy_dtype(dtype)
    values = _longs(generator, numel) if dtype in ("int64", "float64") else generator.words(numel)
    if dtype == "bool":
        return (values & 1).astype(kind)
    span = 2 ** DIGITS[dtype] + 1 if dtype in DIGITS else int(np.iinfo(kind).max) + 1
    if span < 2**32 or values.dtype == np.uint64:
        values %= values.dtype.type(span)
    return _cast(values, dtype)


def random_range(generator: Generator, numel: int, dtype: str, low: int, high: int) -> np.ndarray:
    """Integers in [low, high), with ``high - low < 2**64``."""
    span = high - low
    if span >= _WIDE_RANGE:
        values = _longs(generator, numel)
        values %= np.uint64(span)
        values += np.uint64(low % 2**64)  # two's complement
        return _cast(values.view(np.int64), dtype)
    words = generator.words(numel)
    if is_native(numel):
        return _cast(native().integers(words, span, low), dtype)
    words %= np.uint32(span)
    values = words.astype(np.int64)
    values += low
    return _cast(values, dtype)


def random_int64(generator: Generator, numel: int, dtype: str) -> np.ndarray:
    """``random_(-2**63, None)``: all 64 bits as signed integers."""
    return _cast(_longs(generator, numel).view(np.int64), dtype)


def randperm(generator: Generator, n: int) -> np.ndarray:
    """A permutation of ``range(n)`` as int64, by Fisher and Yates: for each i swap item i with an item j >= i."""
    if n >= _HUGE_PERMUTATION:
        return _huge_randperm(generator, n)
    if n < 2:
        return np.arange(n)
    if is_native(n):
        return native().permutation(generator.words(n - 1))
    steps = np.arange(n - 1)
    return _swap_in_turn(steps, steps + generator.words(n - 1) % (n - steps))


def _swap_in_turn(steps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``range(n)`` after swapping the items i and ``targets[i] >= i`` for each i of n - 1 steps in turn, without a loop.

    Step i takes what stands at its target and leaves there what stood at i. So what stands at p when step p comes was
    left by the last step that aimed at p, which had it from its own position, and so on back to an untouched one.
    """
    n = len(steps) + 1
    found = np.arange(n)  # what stands at p when step p comes
    aimed_ahead = targets != steps
    found[targets[aimed_ahead]] = steps[aimed_ahead]
    while not np.array_equal(found, further := found[found]):
        found = further
    # A step takes its target itself, unless an earlier step with the same target left something else there.
    keys = np.sort((targets << 32) | steps)
    repeats = keys[1:] >> 32 == keys[:-1] >> 32
    keys &= 0xFFFFFFFF
    result = np.append(targets, found[-1])
    result[keys[1:][repeats]] = found[keys[:-1][repeats]]
    return result


def _huge_randperm(generator: Generator, n: int) -> np.ndarray:
    """The inside-out shuffle, which PyTorch changes to where 32 bits would be too coarse."""
    result = np.zeros(n, np.int64)
    order = memoryview(result)  # type: ignore[arg-type]
    with generator.lock:
        for start in range(0, n, _SPAN):
            steps = np.arange(start, min(start + _SPAN, n), dtype=np.uint64)
            targets = _longs(generator, len(steps)) % (steps + np.uint64(1))
            for i, j in enumerate(targets.tolist(), start):
                order[i] = order[j]
                order[j] = i
    return result


def bernoulli(generator: Generator, numel: int, dtype: str, p: float) -> np.ndarray:
    """Ones with probability `p`, decided in double."""
    return (_doubles(generator, numel) < p).astype(_numpy_dtype(dtype))


def bernoulli_each(generator: Generator, p: np.ndarray, dtype: str) -> np.ndarray:
    """Ones with the probability at each element of the flat array `p`, decided in double only for a float64 `p`."""
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  "
            "If so, please report an enhancement request to PyTorch.)"
        )
    if p.dtype == np.float64:
        return (_doubles(generator, p.size) < p).astype(_numpy_dtype(dtype))
    return (_floats(generator, p.size) < p.astype(np.float32)).astype(_numpy_dtype(dtype))


def exponential(generator: Generator, numel: int, dtype: str, lambd: float = 1.0) -> np.ndarray:
    """Exponential numbers with rate `lambd`."""
    return _cast(-1.0 / lambd * _elementwise(math.log1p, -_doubles(generator, numel), dtype), dtype)


def geometric(generator: Generator, numel: int, dtype: str, p: float) -> np.ndarray:
    """How many trials of probability `p` it takes to succeed."""
    with np.errstate(divide="ignore"):
        trials = np.ceil(np.log(_doubles(generator, numel)) / math.log1p(-p))
    return _cast(trials, dtype)


def cauchy(generator: Generator, numel: int, dtype: str, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    """Cauchy numbers around `median` with scale `sigma`."""
    slopes = _elementwise(math.tan, math.pi * (_doubles(generator, numel) - 0.5), dtype)
    return _cast(_scale(slopes, sigma, median), dtype)


def log_normal(generator: Generator, numel: int, dtype: str, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    """Exponentials of normal numbers; always by pairs, in double."""
    return _cast(_elementwise(math.exp, _scale(_normal_pairs(generator, numel), std, mean), dtype), dtype)


def multinomial(generator: Generator, probabilities: np.ndarray, count: int, replacement: bool) -> np.ndarray:
    """`count` category indices (int64) for each row of `probabilities`, which need not sum to one."""
    rows, categories = probabilities.shape
    by_race = count == 1 or not replacement
    _check_probabilities(probabilities, by_race)
    if by_race:
        # The largest of p / q with q exponential is distributed as p (the Gumbel trick without logarithms).
        name = next(name for name in DIGITS if _numpy_dtype(name) == probabilities.dtype)
        noise = exponential(generator, rows * categories, name).reshape(rows, categories)
        with np.errstate(divide="ignore", invalid="ignore"):
            keys = probabilities / noise
        if count == 1:
            return keys.argmax(-1, keepdims=True).astype(np.int64, copy=False)
        if count * 64 > categories:
            return np.argsort(-keys, axis=-1, kind="stable")[:, :count].astype(np.int64)
        best = np.argpartition(keys, categories - count, axis=-1)[:, categories - count :]
        order = np.argsort(-np.take_along_axis(keys, best, -1), axis=-1)
        return np.take_along_axis(best, order, -1).astype(np.int64, copy=False)
    from .engine import categories as native_categories

    uniforms = _doubles(generator, rows * count).reshape(rows, count)
    work = np.float64 if probabilities.dtype == np.float64 else np.float32
    found = native_categories.draw(probabilities.astype(work, copy=False), uniforms)
    if found is not None:
        return found
    cumulative = np.cumsum(probabilities.astype(work), axis=-1)
    cumulative /= cumulative[:, -1:].copy()
    cumulative[:, -1] = 1
    if uniforms.size * categories <= _COMPARED_AT_MOST:
        return np.count_nonzero(cumulative[:, None, :] < uniforms[:, :, None], axis=-1)
    return np.stack([np.searchsorted(c.astype(np.float64), u) for c, u in zip(cumulative, uniforms, strict=True)])


def _check_probabilities(probabilities: np.ndarray, by_race: bool) -> None:
    most = probabilities.max(-1, initial=0)
    negative = not (probabilities.min(initial=0) >= 0)  # or NaN
    infinite = bool(np.isinf(probabilities).any() if negative else np.isinf(most).any())
    if by_race and (negative or infinite):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if negative:
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if infinite:
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    if not (most > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


@contextlib.contextmanager
def _uniforms_one_by_one(generator: Generator, expected: int) -> Iterator[Callable[[], float]]:
    """A function that gives the next standard uniform (double). They are drawn in bulk; what is left goes back."""
    spans: list[tuple[Any, int, Iterator[float]]] = []

    def draw_ahead() -> Iterator[Iterator[float]]:
        count = min(max(expected, 16), _SPAN)
        while True:
            position = generator.position()
            span = iter(_doubles(generator, count).tolist())
            spans[:] = [(position, count, span)]
            yield span

    with generator.lock:
        try:
            yield itertools.chain.from_iterable(draw_ahead()).__next__
        finally:
            for position, count, span in spans:
                generator.rewind(position, 2 * (count - operator.length_hint(span)))


def poisson(generator: Generator, rate: np.ndarray) -> np.ndarray:
    """Poisson numbers with the rate at each element of a flat array."""
    if not (rate >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    if is_native(rate.size):
        return _poisson_numbers(generator, rate.astype(np.float64)).astype(rate.dtype)
    with _uniforms_one_by_one(generator, 2 * rate.size) as uniform:
        counts = [_poisson(r, uniform) for r in rate.astype(np.float64).tolist()]
    return np.array(counts, np.float64).astype(rate.dtype)


def _poisson_numbers(generator: Generator, rate: np.ndarray) -> np.ndarray:
    """The same by native code, which is given uniform numbers in bulk."""
    from .engine.poisson import Counts

    found = np.zeros(rate.size)
    there = rate > 0  # the others draw nothing
    counts = Counts(rate[there])
    kept = np.empty(0)
    with generator.lock:
        while (numbers := counts.found) is None:
            position = generator.position()
            uniforms = np.append(kept, _doubles(generator, min(counts.expected() + 16, _SPAN)))
            taken = counts.take(uniforms)
            used, kept = taken - kept.size, uniforms[taken:]
        if kept.size:
            generator.rewind(position, 2 * used)
    found[there] = numbers
    return found


def _poisson(rate: float, uniform: Callable[[], float]) -> int:
    if rate >= 10:
        return _poisson_by_rejection(rate, uniform)
    if rate == 0:
        return 0
    limit = math.exp(-rate)
    count = 0
    product = uniform()
    while product > limit:
        count += 1
        product *= uniform()
    return count


def _poisson_by_rejection(rate: float, uniform: Callable[[], float]) -> int:
    """Hörmann, The transformed rejection method for generating Poisson random variables (1993)."""
    log_rate = math.log(rate)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    box = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= box:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        accepted = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) if v > 0 else -math.inf
        if accepted <= -rate + k * log_rate - math.lgamma(k + 1):
            return k


def binomial(generator: Generator, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Binomial numbers with the count and probability at each element of two flat arrays of one dtype."""
    kind = count.dtype.type
    with _uniforms_one_by_one(generator, 2 * count.size) as uniform, np.errstate(all="ignore"):
        samples = [_binomial(n, p, kind, uniform) for n, p in zip(count, prob, strict=True)]
    return np.array(samples, count.dtype)


def _binomial(count: np.floating, prob: np.floating, kind: type, uniform: Callable[[], float]) -> float:
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return float(count)
    if prob > 0.5:
        return float(count) - _binomial(count, kind(1.0 - float(prob)), kind, uniform)
    if not prob <= 0.5:
        return math.nan
    if count * prob >= 10:
        return _binomial_by_rejection(count, prob, uniform)
    return _binomial_by_inversion(float(count), float(np.log1p(-prob)), uniform)


def _binomial_by_inversion(count: float, log_failure: float, uniform: Callable[[], float]) -> float:
    """Count the geometric gaps that fit into `count` trials."""
    successes = 0.0
    u = uniform()
    trials = math.ceil(math.log(u) / log_failure) if u > 0 else math.inf
    while trials <= count:
        successes += 1
        u = uniform()
        trials += math.ceil(math.log(u) / log_failure) if u > 0 else math.inf
    return successes


def _binomial_by_rejection(count: np.floating, prob: np.floating, uniform: Callable[[], float]) -> float:
    """Hörmann, The generation of binomial random variates (1993), algorithm BTRS."""
    one = count.dtype.type(1)
    odds = float(prob / (one - prob))
    deviation = float(np.sqrt(count * prob * (one - prob)))
    mode = float(np.floor((count + one) * prob))
    center = float(count * prob) + 0.5
    n, p = float(count), float(prob)
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    box = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = float(math.floor((2 * a / us + b) * u + center))
        if k < 0 or k > n:
            continue
        if us >= 0.07 and v <= box:
            return k
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (odds * (n - mode + 1)))
            + (n + 1) * math.log((n - mode + 1) / (n - k + 1))
            + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
            + _stirling_tail(mode) + _stirling_tail(n - mode) - _stirling_tail(k) - _stirling_tail(n - k)
        )  # fmt: skip
        if v == 0 or math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


_STIRLING_TAILS = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: float) -> float:
    """What Stirling's formula leaves out of ``log(k!)``."""
    if k < len(_STIRLING_TAILS):
        return _STIRLING_TAILS[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def gamma(generator: Generator, alpha: np.ndarray) -> np.ndarray:
    """Standard gamma numbers with the shape at each element of a flat array; never below the smallest normal number."""
    with _uniforms_one_by_one(generator, 4 * alpha.size) as uniform:
        normal = _normals_one_by_one(generator, uniform)
        samples = [_gamma(a, uniform, normal) for a in alpha]
    return np.maximum(np.array(samples, np.float64).astype(alpha.dtype), np.finfo(alpha.dtype).tiny)


def _normals_one_by_one(generator: Generator, uniform: Callable[[], float]) -> Callable[[], float]:
    def normal() -> float:
        value = generator.normal_partner
        if value is not None:
            generator.normal_partner = None
            return value
        angle = 2.0 * math.pi * uniform()
        radius = math.sqrt(-2.0 * math.log1p(-uniform()))
        generator.normal_partner = radius * math.sin(angle)
        return radius * math.cos(angle)

    return normal


_THIRD = float(np.float32(1) / np.float32(3))
_SQUEEZE = float(np.float32(0.0331))


def _gamma(alpha: np.floating, uniform: Callable[[], float], normal: Callable[[], float]) -> float:
    """Marsaglia and Tsang, A simple method for generating gamma variables (2000)."""
    one = alpha.dtype.type(1)
    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = (1 - uniform()) ** float(one / alpha)
        alpha = alpha + one
    d = float(alpha - alpha.dtype.type(_THIRD))
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal()
        y = 1.0 + c * x
        if y <= 0:
            continue
        v = y * y * y
        u = 1 - uniform()
        square = x * x
        if u < 1.0 - _SQUEEZE * square * square or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def dirichlet(generator: Generator, alpha: np.ndarray) -> np.ndarray:
    """Dirichlet samples for each row of `alpha`, strictly inside (0, 1)."""
    parts = gamma(generator, alpha.astype(np.float64).ravel()).reshape(alpha.shape)
    shares = (parts / parts.sum(-1, keepdims=True)).astype(alpha.dtype)
    one = alpha.dtype.type(1)
    return np.clip(shares, np.finfo(alpha.dtype).tiny, np.nextafter(one, alpha.dtype.type(0)))
