"""Random programs of tensor ops over random overlapping views of a few storages.

A program is drawn from a seed and from metadata alone (shapes, strides, `requires_grad`), never from values, so that the
same seed gives the same program on any implementation and in any mode. What it did is its log: every value that it
observed, every error, the bytes of the storages and the gradients of the leaves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

UNARY = ("neg", "sin", "tanh", "relu", "abs", "sigmoid", "square")
BINARY = ("add", "sub", "mul", "maximum")
REDUCTIONS = ("sum", "mean", "amax")
INPLACE_UNARY = ("tanh_", "neg_", "sigmoid_", "zero_", "relu_")
INPLACE_BINARY = ("add_", "mul_", "sub_", "copy_")
AT_MOST = 12


class Program:
    """One program: its tensors and the log of its run."""

    def __init__(self, torch: Any, seed: int) -> None:
        self.torch = torch
        self.draw = random.Random(seed)
        self.log: list[Any] = []
        self.leaves: list[Any] = []
        self.bases: list[Any] = []
        self.tensors: list[Any] = []
        for _ in range(self.draw.randint(2, 4)):
            self.add_leaf()

    def add_leaf(self) -> None:
        shape = [self.draw.randint(1, 4) for _ in range(self.draw.randint(1, 3))]
        count = 1
        for n in shape:
            count *= n
        values = [self.draw.uniform(-1, 1) for _ in range(count)]
        leaf = self.torch.tensor(values, dtype=self.torch.float32).reshape(shape).clone()
        if self.draw.random() < 0.5:
            leaf.requires_grad_(True)
            self.leaves.append(leaf)
            leaf = leaf.clone()
        self.bases.append(leaf)
        self.tensors.append(leaf)

    def some(self, suits: Callable[[Any], bool] = lambda t: True) -> Any:
        found = [t for t in self.tensors if suits(t)]
        return self.draw.choice(found) if found else None

    def dim_of(self, t: Any) -> int:
        return self.draw.randrange(t.dim())

    def fitting(self, t: Any) -> Any:
        """A tensor that broadcasts to `t`."""
        target = tuple(t.shape)

        def fits(other: Any) -> bool:
            shape = tuple(other.shape)
            return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))

        return self.some(fits)

    def keep(self, t: Any) -> None:
        if t.numel() > 200:
            return
        self.tensors.append(t)
        if len(self.tensors) > AT_MOST:
            # The last reference may go while work is still owed.
            del self.tensors[self.draw.randrange(len(self.tensors))]

    def indices(self, size: int, count: int) -> Any:
        return self.torch.tensor([self.draw.randrange(size) for _ in range(count)])

    # Steps

    def step_unary(self) -> None:
        self.keep(getattr(self.some(), self.draw.choice(UNARY))())

    def step_binary(self) -> None:
        t = self.some()
        self.keep(getattr(self.torch, self.draw.choice(BINARY))(t, self.fitting(t)))

    def step_reduction(self) -> None:
        t = self.some(lambda t: t.dim() > 0 and t.numel() > 0)
        if t is not None:
            self.keep(getattr(t, self.draw.choice(REDUCTIONS))(self.dim_of(t), keepdim=self.draw.random() < 0.5))

    def step_matmul(self) -> None:
        a = self.some(lambda t: t.dim() == 2)
        if a is not None:
            b = self.some(lambda t: t.dim() == 2 and t.shape[0] == a.shape[1])
            self.keep(a @ (b if b is not None else a.t()))

    def step_view(self) -> None:
        t = self.some(lambda t: t.dim() > 0 and t.numel() > 0)
        if t is None:
            return
        d = self.dim_of(t)
        n = t.shape[d]
        start = self.draw.randrange(n)
        other = self.dim_of(t)
        views: list[Callable[[], Any]] = [
            lambda: t.select(d, start),
            lambda: t.narrow(d, start, self.draw.randint(1, n - start)),
            lambda: t[(slice(None),) * d + (slice(start, None, 2),)],
            lambda: t.transpose(d, other),
            lambda: t.permute(self.draw.sample(range(t.dim()), t.dim())),
            lambda: t.unsqueeze(d),
            lambda: t.squeeze(d),
            lambda: t.unsqueeze(0).expand(self.draw.randint(1, 3), *t.shape),
            lambda: t.reshape(-1),
            lambda: t.unfold(d, 1 + start, 1),
            lambda: t.split(1 + start, d)[0],
            lambda: t[..., None],
            lambda: t.detach(),
            lambda: t.diagonal(0, d, other) if d != other else t,
            lambda: t.view(t.shape) if t.is_contiguous() else t.contiguous(),
        ]
        self.keep(self.draw.choice(views)())

    def step_inplace_unary(self) -> None:
        getattr(self.some(), self.draw.choice(INPLACE_UNARY))()

    def step_inplace_binary(self) -> None:
        t = self.some()
        getattr(t, self.draw.choice(INPLACE_BINARY))(self.fitting(t))

    def step_inplace_number(self) -> None:
        t = self.some()
        value = self.draw.uniform(-1, 1)
        self.draw.choice([lambda: t.mul_(value), lambda: t.add_(value), lambda: t.fill_(value), lambda: t.clamp_(-abs(value), abs(value))])()

    def step_setitem(self) -> None:
        t = self.some(lambda t: t.dim() > 0 and t.numel() > 0)
        if t is None:
            return
        n = t.shape[0]
        index = self.draw.choice([
            self.draw.randrange(n), slice(self.draw.randrange(n), None), [self.draw.randrange(n)], Ellipsis,
            self.torch.tensor([self.draw.random() < 0.5 for _ in range(n)]), (Ellipsis, None, slice(None, None, 2)),
        ])  # fmt: skip
        value: Any = self.some(lambda v: v.numel() == 1) if self.draw.random() < 0.5 else None
        t[index] = self.draw.uniform(-1, 1) if value is None else value.reshape(())

    def step_scatter(self) -> None:
        t = self.some(lambda t: t.dim() > 0 and t.numel() > 0)
        if t is None:
            return
        d = self.dim_of(t)
        n = t.shape[d]
        index = self.indices(n, n)
        spread = index.reshape([-1 if k == d else 1 for k in range(t.dim())]).expand(t.shape)
        source = self.some(lambda s: s.shape == t.shape)
        order = self.torch.arange(n).flip(0)
        mask = spread > 0
        self.draw.choice([
            lambda: self.keep(t.index_select(d, index)),
            lambda: self.keep(t.gather(d, spread)),
            lambda: self.keep(t.scatter_add(d, spread, source)),
            lambda: t.index_add_(d, index, source),
            lambda: t.scatter_add_(d, spread, source),
            lambda: t.index_copy_(d, order, source),
            lambda: t.index_fill_(d, index, 0.25),
            lambda: t.masked_fill_(mask, -0.5),
            lambda: self.keep(self.torch.where(mask, t, source)),
            lambda: self.keep(t[index]) if d == 0 else None,
            lambda: t.index_put_((index,), t.new_tensor(0.125), accumulate=True) if d == 0 else None,
            lambda: self.keep(self.torch.cat([t, source], d)),
        ])()  # fmt: skip

    def step_no_grad(self) -> None:
        with self.torch.no_grad():
            self.draw.choice([self.step_inplace_number, self.step_view, self.step_inplace_binary])()

    def step_observe(self) -> None:
        self.log.append(("saw", self.some().detach().reshape(-1)[:3].tolist()))

    def run(self) -> list[Any]:
        steps = [
            self.step_unary, self.step_binary, self.step_binary, self.step_reduction, self.step_matmul, *[self.step_view] * 5, self.step_inplace_unary,
            *[self.step_inplace_binary] * 2, self.step_inplace_number, *[self.step_setitem] * 2, *[self.step_scatter] * 3, self.step_no_grad,
        ]  # fmt: skip
        for n in range(self.draw.randint(10, 60)):
            step = self.step_observe if self.draw.random() < 0.02 else self.draw.choice(steps)
            with self.noting_errors(n, step.__name__):
                step()
        for n, t in enumerate(self.tensors):
            with self.noting_errors("backward", n):
                if t.requires_grad:
                    (t.sum() * (0.3 + n)).backward(retain_graph=True)
        for t in (*self.bases, *self.tensors):
            self.log.append(("value", t.detach().clone()))
        for leaf in self.leaves:
            self.log.append(("gradient", leaf.grad))
        return self.log

    @contextmanager
    def noting_errors(self, *where: Any) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, IndexError) as error:
            self.log.append((*where, type(error).__name__, str(error)))


def as_bytes(log: list[Any]) -> list[Any]:
    """A log that compares by bits."""

    def plain(item: Any) -> Any:
        if hasattr(item, "numpy"):
            return (tuple(item.shape), item.stride(), item.contiguous().numpy().tobytes())
        return repr(item)

    return [tuple(map(plain, entry)) for entry in log]
