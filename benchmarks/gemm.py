"""GF/s of matrix products: ours, NumPy's, PyTorch's where it is installed, and the peak of a core.

Each figure is the best of many short samples of interleaved rounds. A shape is m, n, k; "linear" has B transposed, as
a layer has its weight; "a.T" has A transposed, as the gradient of a weight. NumPy has no half precision.

    OPENBLAS_NUM_THREADS=1 python benchmarks/gemm.py --threads 1
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.engine import gemm, llvm, pool
from rushlight.engine.emit import Builder, module
from rushlight.engine.kernel import WORKSPACE, Lowered
from rushlight.engine.run import Program

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
SHAPES = (
    *((n, n, n) for n in (64, 128, 256, 512, 1024)),
    (64, 1000, 100),
    (64, 10, 100),
    (784, 128, 64),
    (512, 16, 512),
    (32, 768, 768),
    (128, 512, 784),
    (512, 784, 128),
    (64, 32, 30),
    (1, 64, 192),
    (1, 30, 32),
)


def native(lowered: Lowered, arrays: list[np.ndarray]) -> Callable[[], object]:
    """The calls as one program, as the engine runs them."""
    scratch = np.zeros(lowered.workspace + 64, np.uint8)
    at = -scratch.ctypes.data % 64 + scratch.ctypes.data
    workspace = len(arrays)
    calls = [call.renamed(lambda word: word._replace(operand=workspace) if word.operand == WORKSPACE else word) for call in lowered.calls]
    program = Program(calls, workspace + 1)
    run = program.over([*(array.ctypes.data for array in arrays), at])

    def call(keep: Any = (scratch, arrays, program)) -> object:
        return run()

    return call


def peak() -> Callable[[], None]:
    """Fused multiplications and additions in registers only, in 24 independent chains."""
    k = Builder("peak", [("ptr", "args"), ("i64", "chunk")])
    lanes = llvm.vector_width() // 32
    target = k.parameters["args"]
    factor = k.splat(k.load(target, "float"), lanes)
    with k.loop(0, PEAK_TURNS, carried=[k.constant(n, "float", lanes) for n in range(24)]) as turn:
        turn.next = [k.fma(factor, factor, total) for total in turn.carried]
    total = turn.results[0]
    for other in turn.results[1:]:
        total = k.add(total, other)
    k.store(total, target)
    code = llvm.load(module([k]), ["peak"])
    memory = np.zeros(64, np.float32)
    function = FUNCTION(code.addresses["peak"])
    return lambda keep=code: function(memory.ctypes.data, 0)


PEAK_TURNS = 20_000


#: The kinds of elements of `gemm.Product`, by PyTorch's names.
KINDS = {"float32": "float", "bfloat16": "bf16", "float16": "f16"}


def aligned(kind: str, *shape: int) -> np.ndarray:
    """Random numbers; bfloat16 as its bits."""
    values = np.random.default_rng(0).standard_normal(int(np.prod(shape))).astype(np.float32)
    if kind != "float":
        values = (values.view(np.uint32) >> 16).astype(np.uint16) if kind == "bf16" else values.astype(np.float16)
    memory = np.zeros(values.nbytes + 64, np.uint8)
    first = -memory.ctypes.data % 64
    found = memory[first : first + values.nbytes].view(values.dtype)
    found[:] = values
    return found.reshape(shape)


def as_float(array: np.ndarray) -> np.ndarray:
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array.astype(np.float32)


def competitors(m: int, n: int, k: int, form: str, dtype: str, threads: int) -> dict[str, Callable[[], object]]:
    kind = KINDS[dtype]
    a = aligned(kind, k, m).T if form == "a.T" else aligned(kind, m, k)
    b = aligned(kind, n, k).T if form == "linear" else aligned(kind, k, n)
    out, bias = aligned(kind, m, n), aligned(kind, n)
    strides = [tuple(s // x.itemsize for s in x.strides) for x in (a, b, out)]
    with_bias = form == "linear"
    product = gemm.Product(m, n, k, *strides, bias_strides=(0, 1) if with_bias else None, type=kind, operands=(0, 1, 2, 3)[: 3 + with_bias])
    arrays = [a, b, bias, out] if with_bias else [a, b, out]
    cases: dict[str, Callable[[], object]] = {"rushlight": native(gemm.lower(product), arrays)}
    if kind == "float":
        numpy_out = np.empty((m, n), np.float32)
        cases["numpy"] = lambda: np.matmul(a, b, out=numpy_out)
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        ta, tb, tbias = (torch.from_numpy(as_float(x)).to(getattr(torch, dtype)) for x in (a, b, bias))
        tout = torch.empty(m, n, dtype=ta.dtype)
        if with_bias:
            cases["torch"] = lambda: torch.addmm(tbias, ta, tb, out=tout)
        else:
            cases["torch"] = lambda: torch.mm(ta, tb, out=tout)
    expected = as_float(a).astype(float) @ as_float(b).astype(float) + (as_float(bias) if with_bias else 0)
    cases["rushlight"]()
    rounding = {"float": 0, "bf16": 2**-8, "f16": 2**-11}[kind]
    assert (np.abs(as_float(out) - expected) <= rounding * np.abs(expected) + 1e-3 * k**0.5).all(), (m, n, k, form)
    return cases


def best(cases: dict[str, Callable[[], object]], seconds: float, rounds: int = 15) -> dict[str, float]:
    """The least time of a call of each case, in seconds; a sample is as many calls as take some 100 us."""
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, call in cases.items():
            call()
            calls = max(1, min(int(100e-6 / found[name]), 100))
            spent = 0.0
            while spent < seconds / rounds:
                start = time.perf_counter()
                for _ in range(calls):
                    call()
                took = time.perf_counter() - start
                spent += took
                found[name] = min(found[name], took / calls)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.15, help="for each figure")
    parser.add_argument("--forms", default="plain,linear,a.T")
    parser.add_argument("--dtype", default="float32", choices=KINDS)
    parser.add_argument("shapes", nargs="*", help="m,n,k")
    parser.add_argument("--threads", type=int, default=1, help="ours and PyTorch's; NumPy's are its own matter")
    options = parser.parse_args()
    pool.set_threads(options.threads)
    shapes = [tuple(int(n) for n in s.split(",")) for s in options.shapes] or SHAPES
    top = 2 * 24 * llvm.vector_width() / 32 * PEAK_TURNS / best({"peak": peak()}, 0.3)["peak"] / 1e9
    print(f"peak {top:.0f} GF/s")
    for form in options.forms.split(","):
        for m, n, k in shapes:
            times = best(competitors(m, n, k, form, options.dtype, options.threads), options.seconds)
            rates = {name: 2 * m * n * k / t / 1e9 for name, t in times.items()}
            text = "  ".join(f"{name} {rate:6.1f}" for name, rate in rates.items())
            print(f"{form:7} {m:5} {n:5} {k:5}  {text}  {100 * rates['rushlight'] / top / options.threads:4.0f} %  {times['rushlight'] * 1e6:9.1f} us", flush=True)


if __name__ == "__main__":
    main()
