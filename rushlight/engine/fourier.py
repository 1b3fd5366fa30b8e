"""Fourier transforms as native code: one call for each dim, over all its lines (fourier_kernel.py).

Which sizes these are: products of 2, 3, 5 and 7, of real signals even ones, short enough to stay in a near cache. NumPy has the others.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Literal

import numpy as np

from .. import dtypes as dt
from ..shape import Layout, Shape, contiguous_strides
from .emit import LANES
from .fourier_kernel import FACTORS, WORDS, Line, line_kernel
from .kernel import WORKSPACE, Call, Lowered, Pointer
from .nests import strided_copy
from .taps import Appended

if TYPE_CHECKING:
    from ..ops.card import Plan

_POINTS_AT_MOST = 1 << 14
#: Numbers that a job has, if it may choose, and a chunk should have at least.
_JOB = 1 << 12
_CHUNK_WORK = 1 << 13
_CHUNKS_AT_MOST = 16
_TYPES = {dt.float32: "float", dt.complex64: "float", dt.float64: "double", dt.complex128: "double"}

Kind = Literal["complex", "to half", "from half"]


def factors_of(size: int) -> tuple[int, ...] | None:
    """The factors of a transform's size, for each of which there is code; none if there are others."""
    found, left = [], size
    for factor in FACTORS:
        while left % factor == 0:
            found.append(factor)
            left //= factor
    return (tuple(found) or (1,)) if left == 1 and size <= _POINTS_AT_MOST else None


def _roots(numerators: np.ndarray, size: int) -> np.ndarray:
    """``exp(-2 pi i numerator / size)`` as rows of real and of imaginary parts, exact at the axes."""
    quarters = 4 * (numerators % size)
    angle = 2 * np.pi * (numerators % size) / size
    real, imaginary = np.cos(angle), -np.sin(angle)
    real[(quarters == size) | (quarters == 3 * size)] = 0
    imaginary[(quarters == 0) | (quarters == 2 * size)] = 0
    return np.stack([real, imaginary])


class _Transform:
    """Operand 0 transformed dim by dim, and then operand 1: in the order of dims in which this lies."""

    def __init__(self, plan: Plan) -> None:
        (self.input,), (self.out,) = plan.operands, plan.outs
        self.doubled = plan.params.get("doubled", False)
        self.order = sorted(range(self.out.ndim), key=lambda d: -self.out.stride[d])
        self.type = _TYPES[self.input.dtype]
        self.bytes = 4 if self.type == "float" else 8
        self.calls: list[Call] = []
        self.used = 0

    def place(self, bytes: int) -> Pointer:
        self.used = -(-self.used // 64) * 64
        self.used += bytes
        return Pointer(WORKSPACE, self.used - bytes)

    def shape(self, layout: Layout) -> list[int]:
        return [layout.shape[d] for d in self.order]

    def source(self) -> Pointer | None:
        """Where the input's elements are in the output's order of dims; None if they cannot be brought into it."""
        shape, stride = tuple(self.shape(self.input)), tuple(self.input.stride[d] for d in self.order)
        lying = contiguous_strides(shape)
        if all(n == 1 or a == b for n, a, b in zip(shape, stride, lying, strict=True)):
            return Pointer(0)
        parts = 2 if self.input.dtype.is_complex else 1
        # Complex numbers are copied as pairs.
        pair = ((parts,), (1,)) if parts == 2 else ((), ())
        place = self.place(math.prod(shape) * parts * self.bytes)
        sides = [(pointer, (*(parts * s for s in steps), *pair[1])) for pointer, steps in ((Pointer(0), stride), (place, lying))]
        copied = strided_copy(self.type, (*shape, *pair[0]), sides[0], sides[1])
        if copied is None:
            return None
        self.calls += copied.calls
        return place

    def line(self, kind: Kind, dim: int, size: int, shape: list[int], source: Pointer, target: Pointer, forward: bool, scale: float) -> None:
        """One dim of numbers of this shape; `size` points, of real signals twice as many elements."""
        factors = factors_of(size)
        assert factors is not None
        if kind == "complex" and len(factors) == 1:
            factors = (*factors, 1)  # what is read is not what is written: they may be one place
        inner, outer = math.prod(shape[dim + 1 :]), math.prod(shape[:dim])
        line = Line(self.type, kind, factors, inner > 1, not forward, kind != "complex" and self.doubled)
        block = min(inner, max(LANES, _JOB // size // LANES * LANES))
        blocks = -(-inner // block)
        jobs = outer * blocks
        room = -(-(size * block + 1) // LANES) * LANES
        chunks = max(1, min(_CHUNKS_AT_MOST, jobs, outer * inner * size // _CHUNK_WORK))
        each = -(-jobs // chunks)
        chunks = -(-jobs // each)
        scratch = self.place(4 * room * chunks * self.bytes)
        tables = Appended(len(WORDS) + 3 * len(factors))
        extents = []
        left, done = size, 1
        for factor in factors:
            left //= factor
            powers = np.outer(np.arange(1, factor), np.arange(left))
            roots: np.ndarray = np.zeros((factor - 1, 2, left + LANES), self._numpy)
            roots[:, :, :left] = _roots(powers, factor * left).transpose(1, 0, 2)
            extents += [left, done, tables.add(roots)]
            done *= factor
        half_roots: np.ndarray = np.zeros((2, size + LANES), self._numpy)
        if kind != "complex":
            half_roots[:, : size + 1] = _roots(np.arange(size + 1), 2 * size)
        points = {side: size + 1 if kind == joined else size for side, joined in (("source", "from half"), ("target", "to half"))}
        words = (
            source, target, scratch, room, jobs, each, blocks, block, inner, points["source"] * inner, points["target"] * inner,
            struct.unpack("q", struct.pack("d", scale))[0], size, tables.add(half_roots) if kind != "complex" else 0, *extents, *tables.words,
        )  # fmt: skip
        self.calls.append(Call(line_kernel(line), words, chunks))

    @property
    def _numpy(self) -> type:
        return np.float32 if self.type == "float" else np.float64


def _scale(norm: str, dims: Shape, shape: Shape, forward: bool) -> float:
    points = math.prod(shape[d] for d in dims)
    return {"backward": 1.0 if forward else 1 / points, "forward": 1 / points if forward else 1.0, "ortho": 1 / math.sqrt(points)}[norm]


def complex_to_complex(plan: Plan) -> Lowered | None:
    dims = plan.params["dims"]
    forward = plan.params["forward"]
    if any(factors_of(plan.outs[0].shape[d]) is None for d in dims):
        return None
    t = _Transform(plan)
    source = t.source()
    if source is None:
        return None
    scale = _scale(plan.params["norm"], dims, t.out.shape, forward)
    _complex_dims(t, dims, t.shape(t.out), source, Pointer(1), forward, scale)
    return Lowered(tuple(t.calls), t.used)


def _complex_dims(t: _Transform, dims: Shape, shape: list[int], source: Pointer, target: Pointer, forward: bool, scale: float) -> None:
    """The dims one after another, the last named first: that one from `source` to `target`, the others in place."""
    for dim in reversed(dims):
        d = t.order.index(dim)
        t.line("complex", d, shape[d], shape, source, target, forward, scale)
        source, scale = target, 1.0


def real_to_half(plan: Plan) -> Lowered | None:
    *others, last = plan.params["dims"]
    (input,), (out,) = plan.operands, plan.outs
    size = input.shape[last]
    if size % 2 or factors_of(size // 2) is None or any(factors_of(out.shape[d]) is None for d in others):
        return None
    t = _Transform(plan)
    assert t.order[-1] == last
    source = t.source()
    if source is None:
        return None
    scale = _scale(plan.params["norm"], plan.params["dims"], input.shape, True)
    t.line("to half", len(t.order) - 1, size // 2, t.shape(out), source, Pointer(1), True, scale)
    _complex_dims(t, tuple(others), t.shape(out), Pointer(1), Pointer(1), True, 1.0)
    return Lowered(tuple(t.calls), t.used)


def half_to_real(plan: Plan) -> Lowered | None:
    *others, last = plan.params["dims"]
    (input,), (out,) = plan.operands, plan.outs
    size = out.shape[last]
    if size % 2 or factors_of(size // 2) is None or any(factors_of(out.shape[d]) is None for d in others):
        return None
    t = _Transform(plan)
    assert t.order[-1] == last
    source = t.source()
    if source is None:
        return None
    if others:
        middle = t.place(input.numel * 2 * t.bytes)
        _complex_dims(t, tuple(others), t.shape(input), source, middle, False, 1.0)
        source = middle
    scale = _scale(plan.params["norm"], plan.params["dims"], out.shape, False) * (1 if t.doubled else 0.5)
    t.line("from half", len(t.order) - 1, size // 2, t.shape(out), source, Pointer(1), False, scale)
    return Lowered(tuple(t.calls), t.used)
