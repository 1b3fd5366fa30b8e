"""Random programs of tensor ops over random overlapping views of a few storages.

A program is drawn from a seed and from metadata alone (shapes, strides, `requires_grad`), never from values, so that the
same seed gives the same program on any implementation and in any mode. What it did is its log: every value that it
observed, every error, the bytes of the storages and the gradients of the leaves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

UNARY = ("neg", "sin", "tanh", "relu", "abs", "sigmoid", "square", "exp", "cos", "erf", "rsqrt", "reciprocal", "floor")
BINARY = ("add", "sub", "mul", "maximum", "div", "minimum")
REDUCTIONS = ("sum", "mean", "amax")
INPLACE_UNARY = ("tanh_", "neg_", "sigmoid_", "zero_", "relu_", "exp_")
INPLACE_BINARY = ("add_", "mul_", "sub_", "copy_")
COMPARISONS = ("lt", "ge", "eq")
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
        self.optimizers: list[Any] = []
        # In most programs tensors are tiny, so that odd layouts are many; in some, large enough to be shared between threads.
        self.side, self.count_at_most = self.draw.choice(((4, 200), (4, 200), (4, 200), (20, 5000), (50, 30000)))
        for _ in range(self.draw.randint(2, 4)):
            self.add_leaf()

    def add_leaf(self) -> None:
        shape = [self.draw.randint(1, self.side) for _ in range(self.draw.randint(1, 3))]
        while self.size(shape) > self.count_at_most:
            shape.pop()
        values = [self.draw.uniform(-1, 1) for _ in range(self.size(shape))]
        leaf = self.torch.tensor(values, dtype=self.torch.float32).reshape(shape).clone()
        if self.draw.random() < 0.5:
            leaf.requires_grad_(True)
            self.leaves.append(leaf)
            leaf = leaf.clone()
        self.bases.append(leaf)
        self.tensors.append(leaf)

    @staticmethod
    def size(shape: Sequence[int]) -> int:
        return math.prod(shape)

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
        if t.numel() > self.count_at_most:
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

    def step_product(self) -> None:
        """A product or a convolution, and what follows it element by element."""
        functional = self.torch.nn.functional
        t = self.some(lambda t: t.dim() >= 2 and t.numel() > 0)
        if t is None:
            return
        n = self.draw.randint(1, 2 * self.side)
        if t.dim() == 2 or self.draw.random() < 0.5:
            y = functional.linear(t, self.torch.rand(n, t.shape[-1]) - 0.5, self.draw.choice([None, self.torch.rand(n)]))
        else:
            window = [self.draw.randint(1, min(3, size)) for size in t.shape[2:]]
            convolution = getattr(functional, f"conv{len(window)}d")
            y = convolution(t, self.torch.rand(n, t.shape[1], *window) - 0.5, padding=[size // 2 for size in window], stride=self.draw.choice((1, 1, 2)))
        if self.draw.random() < 0.2:
            self.keep(y)
        found = self.fitting(y)
        residual = 0.3 if found is None else found
        chain: list[Callable[[Any], Any]] = [
            lambda y: y.relu(), lambda y: functional.gelu(y), lambda y: y * residual, lambda y: residual - y, lambda y: y * 0.7 + 0.3, lambda y: y.relu_(),
            lambda y: y.add_(1.3), lambda y: y.double().float(), lambda y: y.bfloat16().float(), lambda y: y + self.torch.rand(y.shape[1:]), lambda y: y * (y > 0.1),
        ]  # fmt: skip
        for step in self.draw.sample(chain, self.draw.randint(1, 4)):
            y = step(y)
        self.keep(y)

    def step_function(self) -> None:
        functional = self.torch.nn.functional
        t = self.some()
        self.keep(
            self.draw.choice([
                lambda: t.abs().add(0.3).log(), lambda: functional.gelu(t), lambda: functional.gelu(t, approximate="tanh"), lambda: functional.silu(t),
                lambda: t.clamp(-0.3, 0.7), lambda: t.clamp(min=0.1), lambda: t**2, lambda: t**3, lambda: t.sum(), lambda: t.mean(), lambda: t.double().float(),
                lambda: t.lerp(t * 2, 0.3), lambda: self.torch.addcmul(t, t, t, value=0.7), lambda: functional.dropout(t, 0.4), lambda: t * self.torch.rand(t.shape),
            ])()  # fmt: skip
        )

    def step_rows(self) -> None:
        functional = self.torch.nn.functional
        t = self.some(lambda t: t.dim() > 0 and t.numel() > 0)
        if t is None:
            return
        n = t.shape[-1]
        weight = self.some(lambda w: tuple(w.shape) == (n,))
        matrix = self.some(lambda w: w.dim() == 2 and w.shape[1] == n)
        bias = self.some(lambda b: matrix is not None and tuple(b.shape) == (matrix.shape[0],))
        self.keep(
            self.draw.choice([
                lambda: t.softmax(-1), lambda: t.log_softmax(-1), lambda: t.softmax(0), lambda: functional.layer_norm(t, (n,), weight, None if weight is None else weight * 0.7),
                lambda: t.sum(-1, keepdim=True), lambda: t - t.mean(-1, keepdim=True), lambda: t.sum(0), lambda: t.var(-1, unbiased=False),
                *[lambda: functional.linear(t, matrix, bias) if matrix is not None else t.exp()] * 3,
            ])()  # fmt: skip
        )

    def step_choice(self) -> None:
        t = self.some()
        other = self.fitting(t)
        condition = getattr(self.torch, self.draw.choice(COMPARISONS))(t, other)
        self.keep(
            self.draw.choice([
                lambda: self.torch.where(condition, t, other), lambda: self.torch.where(condition, t, 0.3), lambda: condition.float(),
                lambda: t.masked_fill(condition, 0.7), lambda: condition.logical_not() * t,
            ])()  # fmt: skip
        )

    def step_loss(self) -> None:
        functional = self.torch.nn.functional
        t = self.some(lambda t: t.dim() == 2 and t.shape[0] > 0)
        reduction = self.draw.choice(("mean", "sum", "none"))
        other = self.some(lambda o: t is not None and o.shape == t.shape)
        losses = [lambda: functional.mse_loss(t, other, reduction=reduction), lambda: functional.smooth_l1_loss(t, other, reduction=reduction, beta=0.3)]
        if t is not None:
            target = self.indices(t.shape[1], t.shape[0])
            losses += [lambda: functional.cross_entropy(t, target, reduction=reduction)] * 3
            losses += [lambda: functional.nll_loss(t.log_softmax(1), target, reduction=reduction)]
            self.keep(self.draw.choice(losses)())

    def step_join(self) -> None:
        t = self.some(lambda t: t.dim() > 0)
        if t is not None:
            other = self.some(lambda o: o.shape == t.shape)
            d = self.dim_of(t)
            self.keep(self.draw.choice([lambda: self.torch.cat([t, other, t], d), lambda: self.torch.stack([t, other], d), lambda: self.torch.cat([t * 2, other])])())

    def step_embedding(self) -> None:
        t = self.some(lambda t: t.dim() == 2 and t.shape[0] > 0)
        if t is not None:
            self.keep(self.torch.nn.functional.embedding(self.indices(t.shape[0], self.draw.randint(1, 7)), t))

    def step_attention(self) -> None:
        t = self.some(lambda t: t.dim() == 3 and t.numel() > 0)
        if t is not None:
            other = self.some(lambda o: o.dim() == 3 and o.shape[0] == t.shape[0] and o.shape[2] == t.shape[2])
            self.keep(self.torch.nn.functional.scaled_dot_product_attention(t, other, other * 0.7, is_causal=self.draw.random() < 0.4))

    def step_optimizer(self) -> None:
        """A backward pass of some loss, and a step over the leaves."""
        t = self.some(lambda t: t.requires_grad)
        if t is None:
            return
        t.square().mean().backward(retain_graph=self.draw.random() < 0.8)
        if not self.optimizers or self.draw.random() < 0.3:
            optim = self.torch.optim
            kinds = [
                lambda: optim.SGD(self.leaves, lr=0.1), lambda: optim.SGD(self.leaves, lr=0.1, momentum=0.7), lambda: optim.Adam(self.leaves, lr=0.01), lambda: optim.AdamW(self.leaves, lr=0.01),
                lambda: optim.RMSprop(self.leaves, lr=0.01),
            ]  # fmt: skip
            self.optimizers.append(self.draw.choice(kinds)())
        optimizer = self.draw.choice(self.optimizers)
        optimizer.step()
        if self.draw.random() < 0.5:
            optimizer.zero_grad()

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
        self.torch.manual_seed(self.draw.randrange(1000))
        steps = [
            self.step_unary, self.step_binary, self.step_binary, self.step_reduction, self.step_matmul, *[self.step_product] * 3, *[self.step_view] * 5, self.step_inplace_unary,
            *[self.step_inplace_binary] * 2, self.step_inplace_number, *[self.step_setitem] * 2, *[self.step_scatter] * 3, self.step_no_grad,
            *[self.step_function] * 3, *[self.step_rows] * 3, *[self.step_choice] * 2, self.step_loss, self.step_join, self.step_embedding, self.step_attention, self.step_optimizer,
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
    """A log that compares by bits, but for the signs of nan, which IEEE leaves open."""

    def plain(item: Any) -> Any:
        if hasattr(item, "numpy"):
            array = item.contiguous().numpy().copy()
            array[array != array] = math.nan
            return (tuple(item.shape), item.stride(), array.tobytes())
        return repr(item)

    return [tuple(map(plain, entry)) for entry in log]
