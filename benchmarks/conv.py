"""Milliseconds of convolutions and their gradients: ours, PyTorch's where it is installed, and the part of a core's peak in float32.

Each figure is the best of many short samples of interleaved rounds, without autograd. A shape is samples,
channels, height, width, channels of the output, window, stride, groups; windows are padded by half of themselves. The
peak counts every tap, also those that see zeros around the image: skipping these may reach more than all of it.

    python benchmarks/conv.py --threads 2
    python benchmarks/conv.py --channels-last 8,64,56,56,64,3,1,1
    python benchmarks/conv.py --dtype bfloat16
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
from gemm import KINDS, PEAK_TURNS, aligned, best, native, peak

from rushlight import dtypes as dt
from rushlight.engine import half, llvm, pool
from rushlight.ops.card import CARDS, Plan
from rushlight.shape import Layout, layout

SHAPES = (
    (64, 1, 28, 28, 32, 5, 1, 1),
    (64, 32, 14, 14, 64, 3, 1, 1),
    (8, 3, 224, 224, 64, 7, 2, 1),
    (8, 64, 56, 56, 64, 3, 1, 1),
    (8, 256, 14, 14, 256, 3, 1, 1),
    (8, 512, 7, 7, 512, 3, 1, 1),
    (8, 64, 56, 56, 256, 1, 1, 1),
    (32, 3, 32, 32, 16, 3, 1, 1),
    (32, 16, 32, 32, 16, 3, 1, 1),
    (32, 16, 32, 32, 32, 3, 2, 1),
    (32, 32, 16, 16, 32, 3, 1, 1),
    (8, 128, 28, 28, 128, 3, 1, 128),
    (8, 128, 28, 28, 128, 3, 2, 128),
)


def layout_of(array: np.ndarray, dtype: dt.dtype) -> Layout:
    return layout(array.shape, tuple(s // array.itemsize for s in array.strides), dtype)


def image(kind: str, shape: Sequence[int], channels_last: bool) -> np.ndarray:
    n, c, h, w = shape
    return aligned(kind, n, h, w, c).transpose(0, 3, 1, 2) if channels_last else aligned(kind, *shape)


def ours(card: str, dtype: dt.dtype, operands: list[np.ndarray], statics: tuple[object, ...]) -> tuple[Callable[[], None], np.ndarray]:
    """A call of the kernels, and what they write."""
    found = CARDS[card]
    layouts = tuple(layout_of(o, dtype) for o in operands)
    out = found.infer(*layouts, **dict(zip(found.statics, statics, strict=True)))
    plan = Plan(found, statics, layouts, (out,))
    lowered = half.calls_in_half(plan, found.lowering) if half.is_half(plan) else found.lowering.make(plan)  # type: ignore[union-attr, arg-type]
    assert lowered is not None
    memory = np.zeros(out.numel, operands[0].dtype)
    result = np.lib.stride_tricks.as_strided(memory, out.shape, [memory.itemsize * s for s in out.stride])
    return native(lowered, [*operands, memory]), result


def cases(shape: tuple[int, ...], dtype: dt.dtype, channels_last: bool, threads: int) -> dict[str, dict[str, Callable[[], object]]]:
    """For the output, the gradient of the input and that of the weight: the contenders."""
    n, channels, height, width, columns, window, step, groups = shape
    stride, padding, dilation = (step, step), (window // 2, window // 2), (1, 1)
    geometry, kind = (stride, padding, dilation, groups), KINDS[dtype.name]
    input, weight = image(kind, shape[:4], channels_last), image(kind, (columns, channels // groups, window, window), channels_last)
    forward, out = ours("convolution", dtype, [input, weight], geometry)
    grad = image(kind, out.shape, channels_last)
    backward, grad_input = ours("convolution_input", dtype, [grad, weight], ((height, width), *geometry))
    weighted, grad_weight = ours("convolution_weight", dtype, [input, grad], ((window, window), *geometry))
    found: dict[str, dict[str, Callable[[], object]]] = {
        "output": {"rushlight": forward},
        "input": {"rushlight": backward},
        "weight": {"rushlight": weighted},
    }
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        theirs = getattr(torch, dtype.name)
        x, w, g = (torch.from_numpy(a).view(theirs) for a in (input, weight, grad))

        def gradient(wanted: list[bool]) -> Callable[[], object]:
            return lambda: torch.ops.aten.convolution_backward(g, x, w, [columns], stride, padding, dilation, False, (0, 0), groups, wanted)

        found["output"]["torch"] = lambda: torch.convolution(x, w, None, stride, padding, dilation, False, (0, 0), groups)
        found["input"]["torch"] = gradient([True, False, False])
        found["weight"]["torch"] = gradient([False, True, False])
        expected = (found["output"]["torch"](), found["input"]["torch"]()[0], found["weight"]["torch"]()[1])  # type: ignore[index]
        for (what, each), result, wanted in zip(found.items(), (out, grad_input, grad_weight), expected, strict=True):
            each["rushlight"]()
            values = torch.from_numpy(result).view(theirs).float()
            assert (values - wanted.float()).abs().max() < (1e-3 if kind == "float" else 2e-2) * max(1, values.abs().max()), (shape, what)  # type: ignore[attr-defined]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--dtype", choices=KINDS, default="float32")
    parser.add_argument("shapes", nargs="*", help="n,c,h,w,k,window,stride,groups")
    options = parser.parse_args()
    pool.set_threads(options.threads)
    top = 2 * 24 * llvm.vector_width() / 32 * PEAK_TURNS / best({"peak": peak()}, 0.3)["peak"] * options.threads
    print(f"peak {top / 1e9:.0f} GF/s in float32 on {options.threads} threads")
    for shape in [tuple(int(n) for n in s.split(",")) for s in options.shapes] or SHAPES:
        n, channels, height, width, columns, window, step, groups = shape
        operations = 2 * n * columns * channels // groups * -(-height // step) * -(-width // step) * window**2
        for what, contenders in cases(shape, getattr(dt, options.dtype), options.channels_last, options.threads).items():
            times = best(contenders, options.seconds)
            text = "  ".join(f"{name} {t * 1e3:8.3f} ms" for name, t in times.items())
            ratio = f"  {times['rushlight'] / times['torch']:5.2f}" if "torch" in times else ""
            print(f"{','.join(map(str, shape)):28} {what:7} {text}{ratio}  {100 * operations / times['rushlight'] / top:4.0f} %", flush=True)


if __name__ == "__main__":
    main()
