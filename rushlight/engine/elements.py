"""Elements of floats: what memory has, as values in registers. Half precision is float32 there, by code that any processor can run."""

from __future__ import annotations

from collections.abc import Callable

from . import llvm
from .emit import BITS, Builder, Value

#: Kinds of elements that memory has as 16 bits.
HALVES = ("bf16", "f16")
#: The kind of two bfloat16 that lie apart in memory and become one value of 32 bits: of the i-th elements of two lines.
PAIRS = "pairs"


def memory_type(kind: str) -> str:
    """The LLVM type of an element in memory: of "float" and "double" itself, of half precision its bits."""
    return "i16" if kind in HALVES or kind == PAIRS else kind


def register_type(kind: str) -> str:
    """The LLVM type of its value."""
    return "float" if kind in HALVES else "i32" if kind == PAIRS else kind


def bytes_of(kind: str) -> int:
    """Of an element in memory; an LLVM type is a kind as well."""
    return BITS[memory_type(kind)] // 8


def load(k: Builder, address: Value, kind: str, lanes: int = 1, mask: Value | None = None) -> Value:
    """The values at an address; 0 in lanes outside of the mask."""
    type = memory_type(kind)
    return value(k, k.load(address, type, lanes) if mask is None else k.masked_load(address, type, mask, k.constant(0, type, lanes)), kind)


def value(k: Builder, found: Value, kind: str) -> Value:
    """What memory has, as values."""
    return FROM_BITS[kind](k, found) if kind in HALVES else found


def store(k: Builder, value: Value, address: Value, kind: str, mask: Value | None = None) -> None:
    """Write values, rounded to half precision where memory has that."""
    value = stored(k, value, kind)
    if mask is None:
        k.store(value, address)
    else:
        k.masked_store(value, address, mask)


def stored(k: Builder, value: Value, kind: str) -> Value:
    """Values as memory has them."""
    return TO_BITS[kind](k, value) if kind in HALVES else value


def add_products(k: Builder, a: Value, b: Value, total: Value) -> Value:
    """Sums plus, in each lane, the products of two pairs of bfloat16, where the host multiplies these.

    The second of a pair comes first, each as ``fma`` adds it; but numbers that are subnormal count as zeros.
    """
    k.declare("declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)")
    pairs = [k.new(f"bitcast {factor.typed} to <32 x bfloat>", "bfloat", 32) for factor in (a, b)]
    return k.new(f"call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512({total.typed}, {pairs[0].typed}, {pairs[1].typed})", "float", 16)


def store_sums(k: Builder, total: Value, address: Value, mask: Value) -> None:
    """Write such sums as bfloat16."""
    k.masked_store(round_sums(k, total), address, mask)


def round_sums(k: Builder, total: Value) -> Value:
    """The bits of such sums as bfloat16; here too subnormal numbers count as zeros."""
    k.declare("declare <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512(<16 x float>)")
    rounded = k.new(f"call <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512({total.typed})", "bfloat", 16)
    return k.bitcast(rounded, "i16")


def paired(k: Builder, first: Value, second: Value) -> Value:
    """Bits of two vectors of bfloat16 as pairs."""
    low, high = (k.convert(bits, "i32") for bits in (first, second))
    return k.or_(k.and_(low, k.like(0xFFFF, low)), k.shl(high, 16))


def _from_bfloat16(k: Builder, bits: Value) -> Value:
    return k.bitcast(k.shl(k.convert(bits, "i32"), 16), "float")


def _to_bfloat16(k: Builder, x: Value) -> Value:
    """The upper half of a float's bits, rounded to the nearest, in a tie to the even one."""
    bits = k.bitcast(x, "i32")
    upper = k.lshr(bits, 16)
    rounded = k.lshr(k.add(bits, k.add(k.and_(upper, k.like(1, upper)), k.like(0x7FFF, bits))), 16)
    nan = k.or_(k.and_(upper, k.like(0x8000, upper)), k.like(0x7FC0, upper))
    return k.convert(k.select(k.compare("uno", x, x), nan, rounded), "i16")


def _from_float16(k: Builder, bits: Value) -> Value:
    if llvm.converts_float16():
        return k.convert(k.bitcast(bits, "half"), "float")
    wide = k.convert(bits, "i32")
    shifted = k.shl(k.and_(wide, k.like(0x7FFF, wide)), 13)
    # The exponent's bias is 112 larger; a product is exact also where the number was subnormal.
    scaled = k.mul(k.bitcast(shifted, "float"), k.constant(2.0**112, "float", bits.lanes))
    nan = k.and_(k.convert(k.compare("sgt", shifted, k.like(0x7C00 << 13, shifted)), "i32"), k.like(1, wide))
    special = k.or_(k.or_(shifted, k.like(0x7F800000, wide)), k.shl(nan, 22))
    value = k.select(k.compare("slt", shifted, k.like(0x7C00 << 13, shifted)), k.bitcast(scaled, "i32"), special)
    return k.bitcast(k.or_(value, k.and_(k.shl(wide, 16), k.like(-1 << 31, wide))), "float")


def _to_float16(k: Builder, x: Value) -> Value:
    if llvm.converts_float16():
        return k.bitcast(k.convert(x, "half"), "i16")
    bits = k.bitcast(x, "i32")
    size = k.and_(bits, k.like(0x7FFFFFFF, bits))
    upper = k.lshr(size, 13)
    # The new exponent, and half of the last place for a carry; in a tie only if that place is odd.
    odd = k.and_(upper, k.like(1, bits))
    normal = k.lshr(k.add(size, k.add(odd, k.like(0xFFF - (112 << 23), bits))), 13)
    # Added to 1/2 a small number has its places where a subnormal one has them, rounded by the addition.
    half = k.like(0.5, x)
    subnormal = k.sub(k.bitcast(k.add(k.bitcast(size, "float"), half), "i32"), k.bitcast(half, "i32"))
    nan = k.or_(k.and_(upper, k.like(0x3FF, bits)), k.like(0x7E00, bits))
    large = k.select(k.compare("sgt", size, k.like(0x7F800000, bits)), nan, k.like(0x7C00, bits))
    found = k.select(k.compare("slt", size, k.like(113 << 23, bits)), subnormal, k.select(k.compare("slt", size, k.like(143 << 23, bits)), normal, large))
    return k.convert(k.or_(found, k.lshr(k.sub(bits, size), 16)), "i16")


FROM_BITS: dict[str, Callable[[Builder, Value], Value]] = {"bf16": _from_bfloat16, "f16": _from_float16}
TO_BITS: dict[str, Callable[[Builder, Value], Value]] = {"bf16": _to_bfloat16, "f16": _to_float16}
