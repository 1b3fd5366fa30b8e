"""Random numbers as native code: the words of MT19937, uniform and normal numbers from them, and permutations.

Everything here is integer arithmetic or rounded as IEEE says, so the bits are those of `draws.py` and `vector_math.py`, which do
without this file where there is no compiler. The words come from the state of NumPy's generator, which lies in memory as 624 words and a position.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence

import numpy as np

from ..buffers import address_of
from .by_hand import functions
from .emit import LANES, Builder, Value

#: Words of the generator's state, and how far apart those that make a new one lie.
_STATE, _MIDDLE = 624, 397
_UPPER, _LOWER, _TWIST = -(1 << 31), (1 << 31) - 1, 0x9908B0DF - (1 << 32)
_MASKS = 0x9D2C5680 - (1 << 32), 0xEFC60000 - (1 << 32)

# Cephes' polynomials, from the highest power down: see vector_math.py.
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_LN2_LOW, _LN2_HIGH = -2.12194440e-4, 0.693359375
_QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)

_lock = threading.Lock()


def words(state: int, count: int) -> np.ndarray:
    """The next `count` words of the generator whose state is at this address."""
    out = np.empty(count, np.uint32)
    _run("words", state, address_of(out), count)
    return out


def floats(state: int, count: int) -> np.ndarray:
    """The low 24 bits of a word each as a float32 in [0, 1)."""
    out = np.empty(count, np.float32)
    place = address_of(out)
    _run("words", state, place, count)
    _run("floats", place, count)
    return out


def doubles(state: int, count: int) -> np.ndarray:
    """The low 53 bits of two words each, the high one first, as a double in [0, 1)."""
    out = np.empty(count, np.float64)
    place = address_of(out)
    _run("words", state, place, 2 * count)
    _run("doubles", place, count)
    return out


def normals(uniforms: np.ndarray, mean: float, std: float) -> None:
    """As `vector_math.normals_from_uniforms`, of contiguous memory."""
    _run("normals", address_of(uniforms), uniforms.size // 16, *_floats_as_words(mean, std))


def scale(values: np.ndarray, width: float, start: float, limit: float, lowest: float) -> None:
    """``values * width + start`` rounded once, in place; `lowest` where that is `limit`."""
    _run("scale", address_of(values), values.size, *_floats_as_words(width, start, limit, lowest))


def integers(words: np.ndarray, span: int, low: int) -> np.ndarray:
    """``words % span + low`` as int64."""
    out = np.empty(words.size, np.int64)
    _run("integers", address_of(out), address_of(words), words.size, span, low, _signed(((1 << 64) - 1) // span + 1))
    return out


def _signed(word: int) -> int:
    """64 bits as a two's complement number."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


def permutation(words: np.ndarray) -> np.ndarray:
    """A permutation of one element more than there are words, by Fisher and Yates."""
    out = np.empty(words.size + 1, np.int64)
    _run("permutation", address_of(out), address_of(words), words.size)
    return out


def _floats_as_words(*numbers: float) -> tuple[int, ...]:
    """Each number as the bits of a float32."""
    return struct.unpack(f"{len(numbers)}i", struct.pack(f"{len(numbers)}f", *numbers))


def _run(name: str, *arguments: int) -> None:
    _functions()[name](*arguments)


def _functions() -> dict[str, Callable[..., None]]:
    if not _known:
        with _lock:
            if not _known:
                builders = [_words(), _floats(), _doubles(), _normals(), _scale(), _integers(), _permutation()]
                _known.update(zip([k.name for k in builders], functions(builders), strict=True))
    return _known


_known: dict[str, Callable[..., None]] = {}


def _begin(name: str, *types: str) -> tuple[Builder, list[Value]]:
    k = Builder(name, [("ptr", "args"), ("i64", "chunk")])
    return k, [k.load(k.address(k.parameters["args"], n, "i64"), type) for n, type in enumerate(types)]


def _words() -> Builder:
    k, (state, out, count) = _begin("words", "ptr", "ptr", "i64")
    place = k.address(state, _STATE, "i32")
    position = k.convert(k.load(place, "i32"), "i64")
    whole = k.constant(_STATE, "i64")
    first = k.intrinsic("smin", k.sub(whole, position), count)
    _tempered(k, k.address(state, position, "i32"), out, first)
    with k.loop(first, count, _STATE, [k.add(position, first)]) as block:
        _twist(k, state)
        some = k.intrinsic("smin", whole, k.sub(count, block.index))
        _tempered(k, state, k.address(out, block.index, "i32"), some)
        block.next = [some]
    k.store(k.convert(block.results[0], "i32"), place)
    return k


def _tempered(k: Builder, source: Value, target: Value, count: Value) -> None:
    zero = k.constant(0, "i32", LANES)

    def changed(y: Value) -> Value:
        y = k.xor(y, k.lshr(y, 11))
        y = k.xor(y, k.and_(k.shl(y, 7), k.like(_MASKS[0], y)))
        y = k.xor(y, k.and_(k.shl(y, 15), k.like(_MASKS[1], y)))
        return k.xor(y, k.lshr(y, 18))

    whole = k.and_(count, k.constant(-LANES, "i64"))
    with k.loop(0, whole, LANES) as at:
        k.store(changed(k.load(k.address(source, at.index, "i32"), "i32", LANES)), k.address(target, at.index, "i32"))
    with k.loop(whole, count, LANES) as at:
        mask = k.first_lanes(k.sub(count, at.index))
        k.masked_store(changed(k.masked_load(k.address(source, at.index, "i32"), "i32", mask, zero)), k.address(target, at.index, "i32"), mask)


def _twist(k: Builder, state: Value) -> None:
    """New words in the place of the old ones, in order: each is made from itself, the next one, and one farther on."""
    _new_words(k, state, 0, _STATE - _MIDDLE, _MIDDLE)
    _new_words(k, state, _STATE - _MIDDLE, _STATE - 1, _MIDDLE - _STATE)
    last = k.address(state, _STATE - 1, "i32")
    k.store(_new_word(k, k.load(last, "i32"), k.load(state, "i32"), k.load(k.address(state, _MIDDLE - 1, "i32"), "i32")), last)


def _new_words(k: Builder, state: Value, start: int, stop: int, apart: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    with k.loop(start, whole, LANES) as at:
        here = k.address(state, at.index, "i32")
        k.store(_new_word(k, *(k.load(k.address(here, n, "i32"), "i32", LANES) for n in (0, 1, apart))), here)
    with k.loop(whole, stop) as at:
        here = k.address(state, at.index, "i32")
        k.store(_new_word(k, *(k.load(k.address(here, n, "i32"), "i32") for n in (0, 1, apart))), here)


def _new_word(k: Builder, here: Value, following: Value, other: Value) -> Value:
    y = k.or_(k.and_(here, k.like(_UPPER, here)), k.and_(following, k.like(_LOWER, here)))
    odd = k.neg(k.and_(y, k.like(1, y)))
    return k.xor(k.xor(other, k.lshr(y, 1)), k.and_(odd, k.like(_TWIST, y)))


def _floats() -> Builder:
    k, (values, count) = _begin("floats", "ptr", "i64")
    with k.loop(0, count, LANES) as at:
        here, mask = k.address(values, at.index, "i32"), k.first_lanes(k.sub(count, at.index))
        low = k.and_(k.masked_load(here, "i32", mask, k.constant(0, "i32", LANES)), k.constant(0xFFFFFF, "i32", LANES))
        k.masked_store(k.mul(k.convert(low, "float"), k.constant(2.0**-24, "float", LANES)), here, mask)
    return k


def _doubles() -> Builder:
    k, (values, count) = _begin("doubles", "ptr", "i64")
    with k.loop(0, count, LANES) as at:
        here, mask = k.address(values, at.index, "i64"), k.first_lanes(k.sub(count, at.index))
        pairs = k.bitcast(k.masked_load(here, "i64", mask, k.constant(0, "i64", LANES)), "i64")
        bits = k.and_(k.or_(k.shl(pairs, 32), k.lshr(pairs, 32)), k.like((1 << 53) - 1, pairs))
        k.masked_store(k.mul(k.convert(bits, "double"), k.constant(2.0**-53, "double", LANES)), here, mask)
    return k


def _normals() -> Builder:
    """Box and Muller in blocks of 16: the first eight uniforms give the radius, the others the angle."""
    k, (values, blocks, *numbers) = _begin("normals", "ptr", "i64", "float", "float")
    mean, std = (k.splat(number, 8) for number in numbers)
    plain = k.and_(k.compare("oeq", mean, k.like(0, mean)), k.compare("oeq", std, k.like(1, std)))
    with k.loop(0, blocks) as block:
        first = k.address(values, k.shl(block.index, 4), "float")
        second = k.address(first, 8, "float")
        uniform, turn = k.load(first, "float", 8), k.load(second, "float", 8)
        one = k.like(1, uniform)
        radius = k.sqrt(k.mul(k.like(-2, one), _log(k, k.sub(one, uniform))))
        sine, cosine = _sin_cos(k, k.mul(turn, k.like(6.283185307179586, one)))
        for trigonometric, target in ((cosine, first), (sine, second)):
            found = k.mul(trigonometric, radius)
            k.store(k.select(plain, found, k.fma(found, std, mean)), target)
    return k


def _polynomial(k: Builder, coefficients: Sequence[float], x: Value) -> Value:
    total = k.like(coefficients[0], x)
    for c in coefficients[1:]:
        total = k.fma(total, x, k.like(c, x))
    return total


def _log(k: Builder, x: Value) -> Value:
    bits = k.bitcast(x, "i32")
    e = k.ashr(k.sub(bits, k.like(0x3F3504F3, bits)), 23)
    x = k.sub(k.bitcast(k.sub(bits, k.shl(e, 23)), "float"), k.like(1, x))
    exponent = k.convert(e, "float")
    square = k.mul(x, x)
    found = k.mul(_polynomial(k, _LOG, x), x)
    found = k.fma(found, square, k.mul(exponent, k.like(_LN2_LOW, x)))
    found = k.add(k.fma(square, k.like(-0.5, x), found), x)
    return k.fma(exponent, k.like(_LN2_HIGH, x), found)


def _sin_cos(k: Builder, x: Value) -> tuple[Value, Value]:
    octant = k.convert(k.mul(x, k.like(1.27323954473516, x)), "i32")
    octant = k.and_(k.add(octant, k.like(1, octant)), k.like(-2, octant))
    quarters = k.convert(octant, "float")
    for part in _QUARTER_PI:
        x = k.fma(quarters, k.like(part, x), x)
    square = k.mul(x, x)
    cosine = k.mul(_polynomial(k, _COS, square), square)
    cosine = k.add(k.fma(cosine, square, k.mul(square, k.like(-0.5, x))), k.like(1, x))
    sine = k.mul(_polynomial(k, _SIN, square), square)
    sine = k.fma(sine, x, x)
    swapped = k.compare("ne", k.and_(octant, k.like(2, octant)), k.like(0, octant))
    sine, cosine = k.select(swapped, cosine, sine), k.select(swapped, sine, cosine)
    below = k.xor(k.sub(octant, k.like(2, octant)), k.like(-1, octant))
    signs = (k.shl(k.and_(n, k.like(4, n)), 29) for n in (octant, below))
    sine, cosine = (k.bitcast(k.xor(k.bitcast(value, "i32"), sign), "float") for value, sign in zip((sine, cosine), signs, strict=True))
    return sine, cosine


def _scale() -> Builder:
    k, (values, count, *numbers) = _begin("scale", "ptr", "i64", "float", "float", "float", "float")
    width, start, limit, lowest = map(k.splat, numbers)
    with k.loop(0, count, LANES) as at:
        here, mask = k.address(values, at.index, "float"), k.first_lanes(k.sub(count, at.index))
        found = k.fma(k.masked_load(here, "float", mask, k.constant(0, "float", LANES)), width, start)
        k.masked_store(k.select(k.compare("oeq", found, limit), lowest, found), here, mask)
    return k


def _integers() -> Builder:
    """Remainders without division: Lemire, Kaser, Kurz, Faster remainder by direct computation (2019)."""
    k, (out, words, count, span, low, inverse) = _begin("integers", "ptr", "ptr", "i64", "i64", "i64", "i64")
    span, low, inverse = (k.splat(value) for value in (span, low, inverse))
    half = k.constant((1 << 32) - 1, "i64", LANES)
    with k.loop(0, count, LANES) as at:
        mask = k.first_lanes(k.sub(count, at.index))
        word = k.masked_load(k.address(words, at.index, "i32"), "i32", mask, k.constant(0, "i32", LANES))
        fraction = k.mul(inverse, k.and_(k.convert(word, "i64"), half))
        upper, lower = k.mul(k.lshr(fraction, 32), span), k.mul(k.and_(fraction, half), span)
        k.masked_store(k.add(k.lshr(k.add(upper, k.lshr(lower, 32)), 32), low), k.address(out, at.index, "i64"), mask)
    return k


def _permutation() -> Builder:
    k, (out, words, count) = _begin("permutation", "ptr", "ptr", "i64")
    with k.loop(0, k.add(count, k.constant(1, "i64"))) as at:
        k.store(at.index, k.address(out, at.index, "i64"))
    with k.loop(0, count) as at:
        left = k.add(k.sub(count, at.index), k.constant(1, "i64"))
        word = k.load(k.address(words, at.index, "i32"), "i32")
        step = k.unsigned(k.binary("urem", word, k.convert(left, "i32")), "i64")
        here = k.address(out, at.index, "i64")
        there = k.address(here, step, "i64")
        kept = k.load(there, "i64")
        k.store(k.load(here, "i64"), there)
        k.store(kept, here)
    return k
