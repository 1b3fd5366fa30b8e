"""Box-Muller in float32 with the bits of PyTorch's AVX2 code.

PyTorch's normal numbers come from the Cephes polynomials for logarithm, sine and cosine
(https://www.netlib.org/cephes/), in float32 with fused multiply-adds. The same steps are taken here on whole
arrays. A product of two float32 numbers is exact in float64, so one rounding of the float64 sum is the fused result.
"""

from __future__ import annotations

import numpy as np

_BLOCKS_AT_A_TIME = 2048  # their temporaries stay in the cache

_LOG = [
    np.float64(np.float32(c))
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
]  # fmt: skip
_SIN = [np.float64(np.float32(c)) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)]
_COS = [np.float64(np.float32(c)) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)]
_LN2_LOW, _LN2_HIGH = np.float32(-2.12194440e-4), np.float64(0.693359375)
_QUARTER_PI = [np.float64(np.float32(c)) for c in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)]
_FOUR_OVER_PI = np.float32(1.27323954473516)
_TWO_PI = np.float32(6.283185307179586)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)


def normals_from_uniforms(uniforms: np.ndarray, mean: float, std: float) -> None:
    """Turn uniforms in [0, 1), in blocks of 16 (shape [n, 16], float32), into normals, in place.

    In each block the first eight give the radius and the last eight the angle.
    """
    mean, std = np.float64(np.float32(mean)), np.float64(np.float32(std))
    for start in range(0, len(uniforms), _BLOCKS_AT_A_TIME):
        block = uniforms[start : start + _BLOCKS_AT_A_TIME]
        radius = np.sqrt(np.float32(-2) * _log(np.float32(1) - block[:, :8]))
        sine, cosine = _sin_cos(block[:, 8:] * _TWO_PI)
        cosine *= radius
        sine *= radius
        if (mean, std) != (0, 1):
            cosine, sine = _fma(cosine, std, mean), _fma(sine, std, mean)
        block[:, :8] = cosine
        block[:, 8:] = sine


def _fma(a: np.ndarray, b: np.ndarray | np.float64, c: np.ndarray | np.float64) -> np.ndarray:
    """``a * b + c`` rounded once to float32; `b` is float64 already, to save conversions."""
    wide = a.astype(np.float64)
    wide *= b
    wide += c
    return wide.astype(np.float32)


def _polynomial(coefficients: list[np.float64], x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    result = (wide * coefficients[0] + coefficients[1]).astype(np.float32)
    for c in coefficients[2:]:
        result = _fma(result, wide, c)
    return result


def _log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of numbers in (0, 1], none of them subnormal."""
    bits = x.view(np.int32)
    exponent = (bits - _SQRT_HALF_BITS) >> 23
    x = (bits - (exponent << 23)).view(np.float32) - np.float32(1)  # in [sqrt(1/2), sqrt(2)) - 1
    exponent = exponent.astype(np.float32)
    square = x * x
    result = _polynomial(_LOG, x) * x
    result = _fma(result, square.astype(np.float64), exponent * _LN2_LOW)
    result = _fma(square, np.float64(-0.5), result)
    result += x
    return _fma(exponent, _LN2_HIGH, result)


def _sin_cos(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sine and cosine of angles in [0, 2 pi)."""
    octant = (x * _FOUR_OVER_PI).astype(np.int32)
    octant += 1
    octant &= ~1
    quarters = octant.astype(np.float64)
    for part in _QUARTER_PI:
        x = _fma(quarters, part, x)
    square = x * x
    cosine = _polynomial(_COS, square) * square
    cosine = _fma(cosine, square.astype(np.float64), square * np.float32(-0.5))
    cosine += np.float32(1)
    sine = _polynomial(_SIN, square) * square
    sine = _fma(sine, x.astype(np.float64), x)
    swapped = (octant & 2) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    sine.view(np.int32)[...] ^= (octant & 4) << 29
    cosine.view(np.int32)[...] ^= (~(octant - 2) & 4) << 29
    return sine, cosine
