"""Products of bfloat16 on AMX: registers of 16 rows of 64 bytes, and an instruction that multiplies two of them.

``tdpbf16ps`` adds to 16 x 16 sums the product of 16 rows of 32 k and of 32 k of 16 columns, which lie in pairs as in a packed
panel. A block is 32 x 32: four registers of sums, two of A and two of B. It starts from its sums in memory, 4 KB that stay in
the first-level cache, and ends there; what vector instructions do before and after is what they do in other kernels.

In each element sums over pairs are added as the processor does it; numbers that are subnormal count as zeros. Blocks of rows and
columns start at multiples of 32 and missing k are zeros, so an element's bits depend on its row of A and column of B alone.

No machine with AMX has run this so far. Tests run it with the instructions written out as loops, and compile it for a processor that
has them; and a process uses it only after a product that came out right (`usable`).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache

import numpy as np

from .. import dtypes as dt
from . import llvm
from .elements import load, memory_type
from .emit import Builder, Value
from .gemm_pack import PairOfLines, transpose
from .gemm_variant import Variant, finish, masks_of, smaller
from .kernel import WORKSPACE, Lowered, Pointer
from .run import load as load_kernel

#: Rows and columns of a block: twice those of a register.
BLOCK = 32
_ROWS = 16
#: Elements of 32 bits in a register, and k in a step.
_REGISTER = 256
K_STEP = 32

_REQUEST_PERMISSION, _TILE_DATA = 0x1023, 18
_ARCH_PRCTL = 158

_PANEL = (
    ("i64", "steps"),  # pairs of k
    ("ptr", "a"),
    ("i64", "a_step"),  # between blocks
    ("ptr", "b"),
    ("i64", "b_step"),
    ("ptr", "start"),
    ("i64", "start_step"),
    ("ptr", "out"),
    ("i64", "out_step"),
    ("i64", "columns"),
    ("i64", "blocks"),
    ("i64", "rows"),  # of all blocks
    ("i1", "has_start"),
)
_GATHER = (("ptr", "source"), ("i64", "step"), ("ptr", "packed"), ("i64", "packed_step"), ("i64", "lines"), ("i64", "length"))


@cache
def usable(comes_out_right: Callable[[], bool]) -> bool:
    """Whether the processor has AMX, the system lets this process use it, and a first product is right."""
    return {"amx-tile", "amx-bf16"} <= llvm.host_features() and _permitted() and comes_out_right()


def _permitted() -> bool:
    """Ask Linux for the registers' state, which it keeps for threads of processes that asked."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


def small_numbers(rows: int, columns: int) -> np.ndarray:
    """A matrix of small integers, whose products every order of additions gives exactly."""
    return (np.arange(rows * columns) * 7 % 31 % 9 - 4).reshape(rows, columns).astype(dt.bfloat16.numpy)


def agrees(lowered: Lowered, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether these calls give the product of such matrices."""
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    workspace, arrays = np.zeros(lowered.workspace + 1, np.uint8), (a, b, out)
    for call in lowered.calls:
        words = [(workspace if w.operand == WORKSPACE else arrays[w.operand]).ctypes.data + w.offset if isinstance(w, Pointer) else w for w in call.words]
        args, code = np.array(words, np.int64), load_kernel(call.kernel)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[call.kernel.name])
        for chunk in range(call.chunks):
            function(args.ctypes.data, chunk)
    return np.array_equal(out, (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype))


def configure(k: Builder) -> None:
    """Give all eight registers their full size, on this thread."""
    shape = [1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[_ROWS] * 8, *[0] * 8]
    k.declare(f"@amx_shape = internal constant [64 x i8] [{', '.join(f'i8 {n}' for n in shape)}], align 64")
    k.declare("declare void @llvm.x86.ldtilecfg(ptr)")
    k.do("call void @llvm.x86.ldtilecfg(ptr @amx_shape)")


def release(k: Builder) -> None:
    k.declare("declare void @llvm.x86.tilerelease()")
    k.do("call void @llvm.x86.tilerelease()")


def _move(k: Builder, instruction: str, register: int, address: Value, bytes: int) -> None:
    """Load or store a register, whose rows in memory are so many bytes apart."""
    k.declare(f"declare void @llvm.x86.{instruction}(i8, ptr, i64)")
    k.do(f"call void @llvm.x86.{instruction}(i8 {register}, {address.typed}, i64 {bytes})")


def block_size(k: Builder, depth: Value) -> Value:
    """The elements of 32 bits that a block of A has for so many k."""
    return k.mul(k.lshr(k.add(depth, k.constant(K_STEP - 1, "i64")), 5), k.constant(2 * _REGISTER, "i64"))


def panel(variant: Variant) -> Builder:
    """``out = start + a @ b`` for one panel of B, a block of rows after the other, as `gemm_kernel.panel`."""
    k = Builder("panel", _PANEL)
    p, type, number = k.parameters, memory_type(variant.out), lambda n: k.constant(n, "i64")
    sums = k.new(f"alloca [{BLOCK * BLOCK} x float], align 64", "ptr")
    masks = masks_of(k, p["columns"], 2, variant.lanes)
    starts = [k.and_(mask, k.splat(p["has_start"], variant.lanes)) for mask in masks]
    registers = [k.address(sums, row * BLOCK + column, "float") for row in (0, _ROWS) for column in (0, _ROWS)]
    k_steps = k.lshr(k.add(p["steps"], number(_ROWS - 1)), 4)
    with k.loop(0, p["blocks"], carried=[p["a"], p["start"], p["out"]]) as block:
        a, start, out = block.carried
        rows = smaller(k, number(BLOCK), k.sub(p["rows"], k.mul(block.index, number(BLOCK))))
        with k.loop(0, rows) as row:
            source, target = k.address(start, k.mul(row.index, p["start_step"]), type), k.address(sums, k.mul(row.index, number(BLOCK)), "float")
            for v, mask in enumerate(starts):
                k.store(load(k, k.address(source, v * _ROWS, type), variant.out, variant.lanes, mask), k.address(target, v * _ROWS, "float"))
        for n, place in enumerate(registers):
            _move(k, "tileloadd64", n, place, BLOCK * 4)
        with k.loop(0, k_steps) as turn:
            at_a = k.address(a, k.mul(turn.index, number(2 * _REGISTER)), "i32")
            at_b = k.address(p["b"], k.mul(turn.index, number(_ROWS * BLOCK)), "i32")
            for n in range(2):
                _move(k, "tileloadd64", 4 + n, k.address(at_a, n * _REGISTER, "i32"), 64)
                _move(k, "tileloadd64", 6 + n, k.address(at_b, n * _ROWS, "i32"), BLOCK * 4)
            k.declare("declare void @llvm.x86.tdpbf16ps(i8, i8, i8)")
            for n in range(4):
                k.do(f"call void @llvm.x86.tdpbf16ps(i8 {n}, i8 {4 + n // 2}, i8 {6 + n % 2})")
        for n, place in enumerate(registers):
            _move(k, "tilestored64", n, place, BLOCK * 4)
        with k.loop(0, rows) as row:
            source, target = k.address(sums, k.mul(row.index, number(BLOCK)), "float"), k.address(out, k.mul(row.index, p["out_step"]), type)
            for v, mask in enumerate(masks):
                total = k.load(k.address(source, v * _ROWS, "float"), "float", variant.lanes)
                finish(k, variant, total, k.address(target, v * _ROWS, type), mask)
        whole = number(BLOCK)
        block.next = [
            k.address(a, p["a_step"], "i32"),
            k.address(start, k.mul(p["start_step"], whole), type),
            k.address(out, k.mul(p["out_step"], whole), type),
        ]
    return k


def gather(variant: Variant) -> Builder:
    """A as registers have it: for each block, for 32 k after another, two registers of 16 rows. Behind the last k are zeros."""
    k = Builder("gather", _GATHER)
    p, number = k.parameters, lambda n: k.constant(n, "i64")
    rows, depth = (p["lines"], p["length"]) if variant.a_rows else (p["length"], p["lines"])
    with k.loop(0, rows, _ROWS) as group:
        half = k.mul(k.and_(k.lshr(group.index, 4), number(1)), number(_REGISTER))
        packed = k.address(p["packed"], k.add(k.mul(k.lshr(group.index, 5), p["packed_step"]), half), "i32")
        count = smaller(k, number(_ROWS), k.sub(rows, group.index))
        with k.loop(0, depth, K_STEP) as turn:
            target = k.address(packed, k.mul(k.lshr(turn.index, 5), number(2 * _REGISTER)), "i32")
            if variant.a_rows:
                mask = k.first_lanes(k.sub(depth, turn.index), K_STEP)
                with k.loop(0, count) as row:
                    line = k.address(p["source"], k.add(k.mul(k.add(group.index, row.index), p["step"]), turn.index), "i16")
                    found = k.masked_load(line, "i16", mask, k.constant(0, "i16", K_STEP))
                    k.store(found, k.address(target, k.mul(row.index, number(_ROWS)), "i32"))
            else:
                inside, columns = k.first_lanes(count, _ROWS), []
                for n in range(0, K_STEP, 2):
                    place = k.add(turn.index, number(n))
                    pair = PairOfLines.at(k, k.address(p["source"], k.mul(place, p["step"]), "i16"), p["step"], place, depth)
                    columns.append(pair.load(k, group.index, k.and_(inside, k.splat(k.compare("slt", place, depth), _ROWS))))
                for n, found in enumerate(transpose(k, columns)):
                    k.store(found, k.address(target, n * _ROWS, "i32"))
    return k
