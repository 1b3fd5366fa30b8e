"""Fused loops: chains of ops over random layouts give the bits of each op run alone, and NumPy's values in float64."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import rushlight as torch
from rushlight import config, tape
from rushlight.engine import execute, llvm, loops, nests as nests_module, pipeline
from rushlight.nn import functional as F

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="native code needs llvmlite")

FLOATS = (torch.float32, torch.float64)
DTYPES = (torch.float32, torch.float32, torch.float32, torch.float64, torch.bool, torch.int32, torch.int64)
#: Around the width of vectors, the two vectors of a sum, the blocks of sums over rows and those of sums over everything.
SIZES = (1, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 40, 63, 65)
LONG = (127, 128, 129, 257, 1000)
LONGEST = (8191, 8192, 8193, 20000)


@pytest.fixture(autouse=True)
def settings_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Small loops are shared out too.
    monkeypatch.setattr(nests_module, "SHARED_FROM", 1 << 15)
    monkeypatch.setattr(nests_module, "CHUNK_AT_LEAST", 1 << 13)
    before = tape.state.immediate, tape.state.compile, config.HOT, torch.get_num_threads()
    yield
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = before[:3]
    torch.set_num_threads(before[3])


def unary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return getattr(torch, name), getattr(np, name)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    from scipy import special

    return np.asarray(0.5 * x * special.erfc(-x / np.sqrt(2)))


def normalized(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(log_softmax(x)))


#: Of floats: the op, and what it is in float64.
UNARY: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    *map(unary, ("exp", "tanh", "abs", "sin", "cos", "square", "negative")),
    (torch.sigmoid, sigmoid),
    (lambda x: x.abs().sqrt(), lambda x: np.sqrt(np.abs(x))),
    (lambda x: (x.abs() + 0.3).log(), lambda x: np.log(np.abs(x) + 0.3)),
    (lambda x: (x.square() + 0.7).rsqrt(), lambda x: 1 / np.sqrt(np.square(x) + 0.7)),
    (lambda x: (x.abs() + 0.7).reciprocal(), lambda x: 1 / (np.abs(x) + 0.7)),
    (torch.relu, lambda x: np.maximum(x, 0)),
    (F.gelu, gelu),
    (lambda x: F.gelu(x, approximate="tanh"), lambda x: x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    (F.silu, lambda x: x * sigmoid(x)),
    (lambda x: x**2, lambda x: x**2),
    (lambda x: x**3, lambda x: x**3),
    (lambda x: x.clamp(-0.7, 1.3), lambda x: np.clip(x, -0.7, 1.3)),
    (lambda x: x.clamp(min=0.3), lambda x: np.maximum(x, 0.3)),
    (lambda x: x * 1.7, lambda x: x * 1.7),
    (lambda x: 0.3 - x, lambda x: 0.3 - x),
    (lambda x: x / 3, lambda x: x / 3),
    (lambda x: x.add(x, alpha=0.3), lambda x: x + 0.3 * x),
    (torch.floor, np.floor),
    (torch.trunc, np.trunc),
    (torch.sign, np.sign),
    (lambda x: torch.nan_to_num(x, 0.3, 1.7, -1.3), lambda x: np.nan_to_num(x, nan=0.3, posinf=1.7, neginf=-1.3)),
    (lambda x: x.masked_fill(x > 0.7, 0.3), lambda x: np.where(x > 0.7, 0.3, x)),
    (lambda x: F.softplus(x), lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))),
    (lambda x: F.elu(x), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    (lambda x: F.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    (F.hardtanh, lambda x: np.clip(x, -1, 1)),
    (F.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (lambda x: x.abs().clamp(max=9) ** 1.7, lambda x: np.minimum(np.abs(x), 9) ** 1.7),
    (torch.isfinite, np.isfinite),
    (torch.isnan, np.isnan),
    (torch.round, np.rint),
]  # fmt: skip
OF_NUMBERS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [(lambda x: x + 3, lambda x: x + 3), (lambda x: x * 2, lambda x: x * 2), (lambda x: x - 7, lambda x: x - 7), (lambda x: x.clamp(-3, 5), lambda x: np.clip(x, -3, 5))]  # fmt: skip
BINARY: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (torch.add, np.add), (torch.sub, np.subtract), (torch.mul, np.multiply), (torch.maximum, np.maximum), (torch.minimum, np.minimum),
    (lambda x, y: torch.add(x, y, alpha=2), lambda x, y: x + 2 * y), (torch.add, np.add), (torch.mul, np.multiply),
]  # fmt: skip
OF_FLOATS = [
    (lambda x, y: x / (y.abs() + 0.5), lambda x, y: x / (np.abs(y) + 0.5)),
    (lambda x, y: torch.lerp(x, y, 0.3), lambda x, y: x + 0.3 * (y - x)),
    (lambda x, y: torch.addcmul(x, x, y, value=0.7), lambda x, y: x + 0.7 * x * y),
    (lambda x, y: torch.addcdiv(x, x, y.abs() + 0.5, value=0.7), lambda x, y: x + 0.7 * x / (np.abs(y) + 0.5)),
]  # fmt: skip
COMPARISONS = [(getattr(torch, name), getattr(np, name2)) for name, name2 in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal"), ("eq", "equal"), ("ne", "not_equal"))]
LOGICAL = [(torch.logical_and, np.logical_and), (torch.logical_or, np.logical_or), (torch.logical_xor, np.logical_xor)]
IN_PLACE = ("add_", "mul_", "sub_", "copy_", "tanh_", "neg_", "relu_", "mul_number", "zero_", "exp_")


class Expected(NamedTuple):
    """What a result should be near to: values in float64, and the size of the numbers that it was added up from."""

    values: np.ndarray
    scale: np.ndarray | float


class Chain:
    """A program of steps drawn from a seed and from metadata alone, so that it is the same in every mode."""

    def __init__(self, seed: int, sizes: tuple[int, ...] = SIZES, check: bool = False, dims: int = 3) -> None:
        self.draw = random.Random(seed)
        self.values = np.random.default_rng(seed)
        self.sizes, self.check = sizes, check
        ndim = self.draw.randint(1, dims)
        self.shape = tuple(self.draw.choice(self.sizes) if n == ndim - 1 else self.draw.choice(SIZES) for n in range(ndim))
        while np.prod(self.shape) > 200000:
            self.shape = self.shape[1:]
        self.tensors = [self.fresh() for _ in range(self.draw.randint(2, 4))]
        self.dropped = 0

    def fresh(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
        """A tensor that broadcasts to the chain's shape, over memory of some layout."""
        draw = self.draw
        if shape is None:
            shape = tuple(1 if draw.random() < 0.12 else n for n in self.shape[draw.randint(0, len(self.shape) - 1) if draw.random() < 0.15 else 0 :])
        dtype = dtype or draw.choice(DTYPES)
        order = list(range(len(shape)))
        steps = [1] * len(shape)
        kind = draw.choice(("plain", "plain", "transposed", "sliced", "expanded", "offset"))
        if kind == "transposed":
            draw.shuffle(order)
        if kind == "sliced":
            steps = [draw.choice((1, 2, 3)) for _ in shape]
        base_shape = [shape[d] * steps[d] + (kind == "offset") for d in order]
        expanded = draw.randrange(len(shape)) if kind == "expanded" else None
        if expanded is not None:
            base_shape[expanded] = 1
        array = self.values.standard_normal(base_shape) * 2
        if dtype.is_floating_point and draw.random() < 0.1:
            array.reshape(-1)[:: draw.randint(3, 9)] = draw.choice((np.nan, np.inf, -np.inf, 0.0, -0.0))
        tensor = torch.tensor(array > 0 if dtype is torch.bool else array, dtype=dtype)
        tensor = tensor.permute([order.index(d) for d in range(len(shape))])
        if kind == "offset":
            tensor = tensor[tuple(slice(1, None) for _ in shape)]
        elif kind == "sliced":
            tensor = tensor[tuple(slice(None, None, s) for s in steps)]
        return tensor.expand(shape)

    def some(self, suits: Callable[[Any], bool] = lambda t: True) -> Any:
        found = [t for t in self.tensors if suits(t)]
        return self.draw.choice(found) if found else None

    def whole(self, t: Any) -> bool:
        return bool(t.dtype in FLOATS and tuple(t.shape) == self.shape)

    def keep(self, t: Any) -> None:
        self.tensors.append(t)
        if self.draw.random() < 0.3 and len(self.tensors) > 3:
            del self.tensors[self.draw.randrange(len(self.tensors))]  # perhaps the last reference to work that is owed
            self.dropped += 1

    def apply(self, ops: tuple[Callable[..., Any], Callable[..., Any]], *operands: Any, scale: Callable[..., Any] | None = None) -> None:
        op, reference = ops
        found = op(*operands)
        if self.check:
            wide = [o.detach().numpy().astype(np.float64 if o.dtype.is_floating_point else o.numpy().dtype) for o in operands]
            with np.errstate(all="ignore"):
                expected = reference(*wide)
                near(found, expected, 0.0 if scale is None else scale(*map(np.abs, wide)), operands)
        self.keep(found)

    # Steps

    def step_unary(self) -> None:
        t = self.some(lambda t: t.dtype in FLOATS)
        if t is not None:
            self.apply(self.draw.choice(UNARY), t, scale=lambda x: 0.05 * (1 + np.minimum(x, 1)))

    def step_numbers(self) -> None:
        t = self.some(lambda t: t.dtype is not torch.bool)
        if t is not None:
            self.apply(self.draw.choice(OF_NUMBERS), t)

    def step_binary(self) -> None:
        x, y = self.some(lambda t: t.dtype is not torch.bool), self.some(lambda t: t.dtype is not torch.bool)
        if x is not None:
            self.apply(self.draw.choice(BINARY), x, y, scale=lambda x, y: x + 2 * y)

    def step_of_floats(self) -> None:
        x = self.some(lambda t: t.dtype in FLOATS)
        y = self.some(lambda t: x is not None and t.dtype is x.dtype)
        if x is not None:
            self.apply(self.draw.choice(OF_FLOATS), x, y, scale=lambda x, y: x + y + x * y)

    def step_comparison(self) -> None:
        x = self.some(lambda t: t.dtype is not torch.bool)
        y = self.some(lambda t: x is not None and t.dtype is x.dtype)
        if x is not None:
            self.apply(self.draw.choice(COMPARISONS), x, y)

    def step_logical(self) -> None:
        self.apply(self.draw.choice(LOGICAL), self.some(), self.some())

    def step_where(self) -> None:
        condition = self.some(lambda t: t.dtype is torch.bool)
        x = self.some(lambda t: t.dtype in FLOATS)
        y = self.some(lambda t: x is not None and t.dtype is x.dtype)
        if condition is not None and x is not None:
            if self.draw.random() < 0.5:
                self.apply((torch.where, np.where), condition, x, y)
            else:
                self.apply((lambda c, x: torch.where(c, x, 0.3), lambda c, x: np.where(c, x, 0.3)), condition, x)

    def step_cast(self) -> None:
        to = self.draw.choice(DTYPES)
        t = self.some(lambda t: to.is_floating_point or to is torch.bool or not t.dtype.is_floating_point)
        if t is not None:
            self.apply((lambda t: t.to(to), lambda t: t.astype(bool) if to is torch.bool else t if to.is_floating_point else t.astype(str(to)[6:])), t)

    def step_last_dims(self) -> None:
        t = self.some(self.whole)
        if t is None:
            return
        dims = tuple(range(-self.draw.randint(1, t.dim()), 0))
        kept = self.draw.random() < 0.6
        kinds = {"sum": lambda t: t.sum(dims, keepdim=kept), "mean": lambda t: t.mean(dims, keepdim=kept)}
        name = self.draw.choice(tuple(kinds))
        found = kinds[name], lambda t: getattr(np, name)(t, axis=dims, keepdims=kept)
        self.apply_reduced(found, t, lambda t: getattr(np, name)(t, axis=dims, keepdims=kept))

    def step_all(self) -> None:
        t = self.some(self.whole)
        if t is not None:
            name = self.draw.choice(("sum", "mean"))
            self.apply_reduced((lambda t: getattr(t, name)(), getattr(np, name)), t, getattr(np, name))

    def step_first_dims(self) -> None:
        t = self.some(self.whole)
        if t is None:
            return
        dims = tuple(range(self.draw.randint(1, t.dim())))
        kept = self.draw.random() < 0.5
        self.apply_reduced((lambda t: t.sum(dims, keepdim=kept), lambda t: t.sum(dims, keepdims=kept)), t, lambda t: t.sum(dims, keepdims=kept))

    def apply_reduced(self, ops: Any, t: Any, scale: Any) -> None:
        self.apply(ops, t, scale=scale)
        found = self.tensors[-1]
        if found.dim() and any(n not in (1, m) for n, m in zip(reversed(found.shape), reversed(self.shape), strict=False)):
            self.tensors[-1] = found.reshape(tuple(found.shape) + (1,) * (len(self.shape) - found.dim())) if found.numel() == np.prod(self.shape[: found.dim()]) else found.sum()

    def step_rows(self) -> None:
        t = self.some(self.whole)
        if t is None:
            return
        kind = self.draw.choice(("softmax", "log_softmax", "layer_norm"))
        if kind == "softmax":
            self.apply((lambda t: torch.softmax(t, -1), softmax), t)
        elif kind == "log_softmax":
            self.apply((lambda t: torch.log_softmax(t, -1), log_softmax), t, scale=lambda t: 1 + t.max(-1, keepdims=True))
        else:
            n = self.shape[-1]
            weight, bias = self.fresh((n,), t.dtype), self.fresh((n,), t.dtype)
            self.apply((lambda t, w, b: F.layer_norm(t, (n,), w, b), normalized), t, weight, bias, scale=lambda t, w, b: (1 + w) * (1 + t.max(-1, keepdims=True)) ** 2 / np.sqrt(t.var(-1, keepdims=True) + 1e-5) + b)

    def step_in_place(self) -> None:
        t = self.some(lambda t: t.dtype in FLOATS and tuple(t.shape) == self.shape and 0 not in [s for n, s in zip(t.shape, t.stride(), strict=True) if n > 1])
        if t is None:
            return
        name = self.draw.choice(IN_PLACE)
        if name == "mul_number":
            t.mul_(0.7).add_(0.3)
        elif name in ("add_", "mul_", "sub_", "copy_"):
            other = self.some(lambda o: o.dtype.is_floating_point or name == "copy_")
            getattr(t, name)(other)
        else:
            getattr(t, name)()

    def step_extrema(self) -> None:
        t = self.some(lambda t: tuple(t.shape) == self.shape and t.dtype is not torch.bool)
        if t is None:
            return
        d = self.draw.choice((-1, -1, 0))
        ops = [
            (lambda t: t.amax(d, keepdim=True), lambda t: t.max(d, keepdims=True)),
            (lambda t: t.amin(d, keepdim=True), lambda t: t.min(d, keepdims=True)),
            (lambda t: t.max(d, keepdim=True)[0], lambda t: t.max(d, keepdims=True)),
            (lambda t: t.max(d, keepdim=True)[1], lambda t: np.argmax(t, d, keepdims=True)),
            (lambda t: t.argmin(d, keepdim=True), lambda t: np.argmin(t, d, keepdims=True)),
            (lambda t: t.max(), lambda t: t.max()),
            (lambda t: t.argmax(), lambda t: np.argmax(t)),
        ]
        self.apply(self.draw.choice(ops), t)

    def step_statistics(self) -> None:
        t = self.some(self.whole)
        if t is None:
            return
        d = self.draw.choice((-1, -1, 0))
        ops = [
            (lambda t: t.var(d, keepdim=True, unbiased=False), lambda t: t.var(d, keepdims=True)),
            (lambda t: t.norm(dim=d, keepdim=True), lambda t: np.sqrt(np.square(t).sum(d, keepdims=True))),
            (lambda t: t.logsumexp(d, keepdim=True), lambda t: np.log(np.exp(t).sum(d, keepdims=True))),
            (lambda t: t.var(unbiased=False), lambda t: t.var()),
            (lambda t: t.norm(), lambda t: np.sqrt(np.square(t).sum())),
        ]
        self.apply(self.draw.choice(ops), t, scale=lambda t: 1 + np.where(np.isfinite(t), t, 0).max() ** 2)

    def step_counts(self) -> None:
        t = self.some(lambda t: tuple(t.shape) == self.shape and not t.dtype.is_floating_point)
        if t is None:
            return
        d = self.draw.choice((-1, -1, 0))
        ops = [
            (lambda t: t.any(d, keepdim=True), lambda t: t.astype(bool).any(d, keepdims=True)),
            (lambda t: t.all(d, keepdim=True), lambda t: t.astype(bool).all(d, keepdims=True)),
            (lambda t: t.sum(d, keepdim=True), lambda t: t.sum(d, keepdims=True, dtype=np.int64)),
            (lambda t: t.count_nonzero(), np.count_nonzero),
            (lambda t: t.any(), lambda t: t.astype(bool).any()),
            (lambda t: t.sum(), lambda t: t.sum(dtype=np.int64)),
        ]
        self.apply(self.draw.choice(ops), t)

    def step_view(self) -> None:
        t = self.some(lambda t: tuple(t.shape) == self.shape)
        if t is None:
            return
        d = self.draw.randrange(t.dim())
        half = t.shape[d] // 2
        views = [
            lambda: t.narrow(d, half, 1),
            lambda: t.narrow(d, 0, 1).expand(self.shape),
            lambda: t.reshape(-1).reshape(self.shape),
            lambda: t.transpose(d, -1).contiguous().transpose(d, -1),
            lambda: t.clone(),
            lambda: t[(slice(None),) * d + (slice(half, half + 1),)],
        ]
        self.keep(self.draw.choice(views)())

    def step_write_part(self) -> None:
        t = self.some(lambda t: self.whole(t) and t.is_contiguous())
        if t is None:
            return
        d = self.draw.randrange(t.dim())
        half = t.shape[d] // 2
        first, second = t.narrow(d, 0, half), t.narrow(d, half, half)
        self.draw.choice([lambda: first.mul_(1.3), lambda: second.add_(first), lambda: second.copy_(first), lambda: first.exp_()])() if half else None

    def run(self, steps: int) -> list[np.ndarray]:
        kinds = [
            *[self.step_unary] * 5, self.step_numbers, *[self.step_binary] * 4, self.step_of_floats, self.step_comparison, self.step_logical, self.step_where,
            self.step_cast, *[self.step_last_dims] * 2, self.step_all, *[self.step_first_dims] * 2, *[self.step_rows] * 2, *[self.step_extrema] * 2, self.step_statistics, *[self.step_counts] * 2, *[self.step_in_place] * 2, self.step_view, self.step_write_part,
        ]  # fmt: skip
        for _ in range(steps):
            self.draw.choice(kinds)()
        return [t.numpy() for t in self.tensors]


def near(found: Any, expected: np.ndarray, scale: Any, operands: Any) -> None:
    """Within rounding of float32 (or of what was rounded to it before), relative to the result and to `scale`."""
    values = found.numpy()
    if found.dtype is torch.bool or not found.dtype.is_floating_point:
        assert np.array_equal(values, expected.astype(values.dtype)), (values, expected)
        return
    low = torch.float32 in (found.dtype, *(o.dtype for o in operands))
    relative = 2e-5 if low else 1e-12
    wide = expected.astype(found.numpy().dtype).astype(np.float64)
    same = (values == wide) | (np.isnan(values) & np.isnan(wide))
    error = np.abs(values.astype(np.float64) - wide)
    bound = relative * (np.abs(wide) + np.broadcast_to(scale, wide.shape)) + (1e-36 if low else 1e-300)
    top = np.finfo(values.dtype).max
    overflowed = ~(np.isfinite(wide) & np.isfinite(values)) & ((np.abs(wide) > top / 4) | ~np.isfinite(bound))
    wrong = np.argwhere(~(same | (error <= bound) | overflowed))
    assert not len(wrong), [(tuple(map(int, at)), values[tuple(at)], wide[tuple(at)], float(np.broadcast_to(scale, wide.shape)[tuple(at)])) for at in wrong[:3]]


def bits(array: np.ndarray) -> bytes:
    """The bits of an array, all NaNs being one."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return bytes(array.tobytes())


def run(seed: int, steps: int, mode: str, threads: int = 1, **kwargs: Any) -> list[np.ndarray]:
    tape.flush()
    tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", 0
    torch.set_num_threads(threads)
    return Chain(seed, **kwargs).run(steps)


def compare(seed: int, steps: int, sizes: tuple[int, ...]) -> None:
    expected = run(seed, steps, "immediate", sizes=sizes, check=True)
    failures = len(execute.counts.failures)
    for mode, threads in (("compile", 1), ("compile", 2), ("interpret", 2)):
        found = run(seed, steps, mode, threads, sizes=sizes)
        for n, (e, f) in enumerate(zip(expected, found, strict=True)):
            assert e.shape == f.shape and e.dtype == f.dtype
            assert bits(e) == bits(f), f"seed {seed}, value {n}, {mode} with {threads} threads\n{e}\n{f}\n{np.argwhere(~((e == f) | ((e != e) & (f != f))))[:5]}"
    assert len(execute.counts.failures) == failures, execute.counts.failures[-1]


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_chains_over_rows_around_the_width_of_vectors(first: int) -> None:
    for seed in range(first, first + 20):
        compare(seed, 16, SIZES)


@pytest.mark.parametrize("first", range(1000, 1040, 20))
def test_chains_over_rows_that_are_shared_out(first: int) -> None:
    for seed in range(first, first + 20):
        compare(seed, 14, LONG)


def test_chains_over_rows_summed_in_blocks() -> None:
    for seed in range(2000, 2025):
        compare(seed, 12, LONGEST)


def test_long_chains_meet_the_bounds_of_groups() -> None:
    for seed in range(3000, 3010):
        compare(seed, 60, SIZES)


def test_chains_are_worth_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """They make groups of several ops, loops shared out in chunks, scratch rows, blocks, and strided operands."""
    nests: list[Any] = []
    chunks: list[int] = []
    steps: list[int] = []
    kernel, lower = nests_module.kernel, pipeline.lower_group
    call = nests_module.Call

    def seen_kernel(nest: Any) -> Any:
        nests.append(nest)
        return kernel(nest)

    def seen_group(group: Any, needed: Any) -> Any:
        steps.append(len(group.steps))
        return lower(group, needed)

    def seen_call(*args: Any) -> Any:
        found = call(*args)
        chunks.append(found.chunks)
        return found

    monkeypatch.setattr(nests_module, "kernel", seen_kernel)
    monkeypatch.setattr(nests_module, "Call", seen_call)
    monkeypatch.setattr(pipeline, "lower_group", seen_group)
    for seed, sizes in (*((seed, SIZES) for seed in range(12)), (1000, LONG), (1001, LONG), *((seed, LONGEST) for seed in range(2001, 2020))):
        run(seed, 14, "compile", sizes=sizes)
    assert max(steps) >= 5
    assert max(chunks) > 1
    assert {nest.shared for nest in nests} == {"outer", "row", "blocks"}
    assert {access.along for nest in nests for access in nest.operands} >= {"0", "1", "2", "s", "number"}
    assert any(loops.scratch_rows(nest) for nest in nests)
    assert any(node.op == "column_sum" for nest in nests for node in nest.nodes)


@pytest.mark.parametrize("rows", [1, 2, 127, 128, 129, 300])
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 31, 32, 33, 100])
def test_sums_and_what_follows_from_them_in_one_trace(rows: int, columns: int) -> None:
    """Each sum over rows, columns and all, and its use, with what it was computed from dropped."""

    def values(mode: str, threads: int) -> list[np.ndarray]:
        tape.flush()
        tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", 0
        torch.set_num_threads(threads)
        x = torch.tensor(np.random.default_rng(3).standard_normal((rows, columns)), dtype=torch.float32)
        y = x * 1.7 + 0.3
        total = y.exp().sum()
        by_row = (y * y).sum(-1, keepdim=True)
        by_column = (y + x).sum(0)
        found = [total, total * 2 + 1, y / by_row, by_column * 0.3, y - by_column, (y - y.mean(-1, keepdim=True)).square().mean(-1), y.t().sum(0), y.t().sum(-1)]
        del y, total, by_row, by_column
        return [t.numpy() for t in found]

    expected = values("immediate", 1)
    wide = np.random.default_rng(3).standard_normal((rows, columns)).astype(np.float32).astype(np.float64) * 1.7 + 0.3
    assert np.allclose(expected[0], np.exp(wide).sum(), rtol=1e-5)
    assert np.allclose(expected[3], (wide + (wide - 0.3) / 1.7).sum(0) * 0.3, rtol=1e-4, atol=1e-5 * rows)
    assert np.allclose(expected[6], wide.sum(-1), rtol=1e-4, atol=1e-5 * columns)
    assert np.allclose(expected[7], wide.sum(0), rtol=1e-4, atol=1e-5 * rows)
    for threads in (1, 2):
        for e, f in zip(expected, values("compile", threads), strict=True):
            assert bits(e) == bits(f)


def test_writes_in_place_over_one_storage_read_elsewhere() -> None:
    """Overlapping reads and writes of one storage, of sizes that are shared out in chunks."""

    def values(mode: str, threads: int) -> list[np.ndarray]:
        tape.flush()
        tape.state.immediate, tape.state.compile, config.HOT = mode == "immediate", mode == "compile", 0
        torch.set_num_threads(threads)
        x = torch.arange(90000, dtype=torch.float32).reshape(300, 300) * 1e-3
        x = x.sin()
        x[1:].add_(x[:-1].clone())
        x[:, ::2].mul_(x[:, 1::2])
        torch.as_strided(x, (100, 100), (301, 2), 5).tanh_()
        x.add_(x.t().clone())
        x[:100].copy_(x[200:])
        x.diagonal().exp_()
        x.sub_(x[0].clone())
        x.mul_(x[:, :1])
        y = x.sum(0)
        x.copy_(x + y)
        x[0].fill_(0.3)
        return [x.numpy(), y.numpy()]

    expected = values("immediate", 1)
    for threads in (1, 2):
        for e, f in zip(expected, values("compile", threads), strict=True):
            assert bits(e) == bits(f)


@pytest.mark.parametrize("shape", [(7, 9), (1, 3, 9), (2, 3, 9)])
def test_products_over_rows_that_are_one_in_memory(shape: tuple[int, ...]) -> None:
    """The gradient of a sum is one number with strides of 0, and so are expanded inputs."""
    rng = np.random.default_rng(0)
    x: Any = torch.tensor(rng.standard_normal(shape), requires_grad=True)
    weight: Any = torch.tensor(rng.standard_normal((5, 9)), requires_grad=True)
    bias: Any = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    F.linear(x, weight, bias).sum().backward()
    rows = int(np.prod(shape[:-1]))
    assert np.allclose(x.grad.numpy(), np.broadcast_to(weight.detach().numpy().sum(0), shape))
    assert np.allclose(weight.grad.numpy(), np.broadcast_to(x.detach().numpy().reshape(rows, 9).sum(0), (5, 9)))
    assert bias.grad.tolist() == [rows] * 5
    row = x.detach()[(0,) * (len(shape) - 1)]
    assert np.allclose(F.linear(row.expand(shape), weight).detach().numpy(), np.broadcast_to(weight.detach().numpy() @ row.numpy(), (*shape[:-1], 5)))
