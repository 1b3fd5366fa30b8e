"""The workloads, written against PyTorch's API alone.

    python benchmarks/workloads.py --tiny                       the first three losses of each, as JSON
    python -m rushlight run benchmarks/workloads.py --tiny      the same on Rushlight

A workload is a function: it draws its arrays and initial weights from a seed, so that all who run it begin alike, and
returns what a timed loop needs. Its keyword arguments are sizes; `TINY` makes them small for a test.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Workload:
    """What a timed loop needs: a step, how to read what it returns, and a tensor that the last step wrote."""

    step: Callable[[], Any]
    state: Callable[[], Tensor]
    read: Callable[[Any], float] = lambda loss: loss.item()
    cycle: int = 1  #: steps after which the work repeats; a timed block is a whole number of cycles

    def finish(self) -> None:
        """Return when everything issued so far is done, the optimizer's update included."""
        self.state().detach().sum().item()


class Numbers:
    """Tensors from a seed. `RandomState`, because its stream is the same in every version of NumPy."""

    def __init__(self, seed: int) -> None:
        self.source = np.random.RandomState(seed)
        self.seconds = 0.0  #: spent drawing, so that the first step's time can leave it out

    def _tensor(self, draw: Callable[[], np.ndarray], dtype: type) -> Tensor:
        start = time.perf_counter()
        array = draw().astype(dtype)
        self.seconds += time.perf_counter() - start
        return torch.from_numpy(array)

    def normal(self, *shape: int) -> Tensor:
        return self._tensor(lambda: self.source.standard_normal(shape), np.float32)

    def uniform(self, bound: float, shape: Iterable[int]) -> Tensor:
        return self._tensor(lambda: self.source.uniform(-bound, bound, tuple(shape)), np.float32)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return self._tensor(lambda: self.source.randint(low, high, shape), np.int64)

    def initialize(self, model: nn.Module) -> nn.Module:
        """Matrices and kernels from +-1/sqrt(fan in), biases from +-0.1; the gains of norms stay one."""
        state = model.state_dict()
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                state[name] = self.uniform(1 / math.sqrt(math.prod(parameter.shape[1:])), parameter.shape)
            elif "bias" in name:
                state[name] = self.uniform(0.1, parameter.shape)
        model.load_state_dict(state)
        return model


def compile_if(compiled: bool, function: Any) -> Any:
    return torch.compile(function) if compiled else function


def trace_backward(traced: bool) -> None:
    """Let PyTorch's compiler take `loss.backward()` into the graph, which halves the time of a small step."""
    config = getattr(getattr(torch, "_dynamo", None), "config", None)
    if hasattr(config, "trace_autograd_ops"):
        config.trace_autograd_ops = traced


def training(
    loss_of: Callable[[], Tensor], optimizer: torch.optim.Optimizer, compiled: bool, traced: bool = True, cycle: int = 1
) -> Workload:
    """The usual step: zero the gradients, forward and loss, backward, update.

    Compiled in two pieces, since PyTorch's compiler splits at `zero_grad` and in front of `step` anyway.
    """

    def differentiate() -> Tensor:
        loss = loss_of()
        loss.backward()
        return loss.detach()

    trace_backward(traced)
    differentiate, update = compile_if(compiled, differentiate), compile_if(compiled, optimizer.step)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = differentiate()
        update()
        return loss

    return Workload(step, state=lambda: optimizer.param_groups[0]["params"][-1], cycle=cycle)


def classification(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, compiled: bool) -> Workload:
    return training(lambda: F.cross_entropy(model(x), y), optimizer, compiled)


# Small models and tensors: what a step costs beside its arithmetic.


def linreg(numbers: Numbers, compiled: bool) -> Workload:
    """A line through three points."""
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.1, 3.7, 6.4])
    slope, offset = torch.tensor([0.3], requires_grad=True), torch.tensor([-0.2], requires_grad=True)
    optimizer = torch.optim.SGD([slope, offset], lr=1e-2)
    return training(lambda: ((x * slope + offset - y) ** 2).mean(), optimizer, compiled)


def two_layer_manual(numbers: Numbers, compiled: bool, inputs: int = 1000, hidden: int = 100) -> Workload:
    """PyTorch's tutorial "Tensors and autograd": the update written out under `no_grad`."""
    x, y = numbers.normal(64, inputs), numbers.normal(64, 10)
    w1 = numbers.normal(inputs, hidden).requires_grad_()
    w2 = numbers.normal(hidden, 10).requires_grad_()
    losses = compile_if(compiled, lambda: (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum())

    def step() -> Tensor:
        loss = losses()
        loss.backward()
        with torch.no_grad():
            for w in (w1, w2):
                w -= 1e-6 * w.grad
                w.grad.zero_()
        return loss.detach()

    return Workload(step, state=lambda: w1)


def perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mlp_adam(numbers: Numbers, compiled: bool) -> Workload:
    """Regression with a model of 4,000 parameters."""
    model = numbers.initialize(perceptron(30, 32, 64, 1))
    x = numbers.normal(64, 30)
    y = torch.sin(x[:, :1]) + 0.3 * x[:, 1:2] * x[:, 2:3]
    # The rates here are low, so that thousands of steps on one batch neither diverge nor decay into denormals.
    return training(lambda: F.mse_loss(model(x), y), torch.optim.Adam(model.parameters(), lr=1e-4), compiled)


def mnist_mlp(numbers: Numbers, compiled: bool, batch: int = 128, hidden: int = 512) -> Workload:
    model = numbers.initialize(perceptron(784, hidden, hidden // 2, 10))
    x, y = numbers.normal(batch, 784), numbers.integers(0, 10, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    return classification(model, optimizer, x, y, compiled)


# Networks.


def convolutions(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 30, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(750, 10),
    )  # fmt: skip


def cnn(numbers: Numbers, compiled: bool, batch: int = 32, width: int = 64) -> Workload:
    model = numbers.initialize(convolutions(width))
    x, y = numbers.normal(batch, 3, 32, 32), numbers.integers(0, 10, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    return classification(model, optimizer, x, y, compiled)


class LastOfLSTM(nn.Module):
    """Classifies a sequence by the LSTM's last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 64, batch_first=True)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.lstm(x)[0][:, -1])


def lstm(numbers: Numbers, compiled: bool, batch: int = 16, length: int = 20) -> Workload:
    model = numbers.initialize(LastOfLSTM())
    x, y = numbers.normal(batch, length, 32), numbers.integers(0, 10, batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # Not traced: PyTorch 2.13 then loses the gradients of nn.LSTM, without a word.
    return training(lambda: F.cross_entropy(model(x), y), optimizer, compiled, traced=False)


class Block(nn.Module):
    """A transformer's block, norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = batch, length, self.heads, width // self.heads
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, length: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions)))


def gpt(numbers: Numbers, compiled: bool, lr: float, batch: int, length: int, vocabulary: int, **sizes: int) -> Workload:
    """Next-token prediction."""
    model = numbers.initialize(GPT(length=length, vocabulary=vocabulary, **sizes))
    text = numbers.integers(0, vocabulary, batch, length + 1)
    x, y = text[:, :-1].contiguous(), text[:, 1:].reshape(-1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    return training(lambda: F.cross_entropy(model(x).view(-1, vocabulary), y), optimizer, compiled)


def gpt_nano(numbers: Numbers, compiled: bool, layers: int = 2, length: int = 64, batch: int = 8) -> Workload:
    return gpt(numbers, compiled, 1e-3, batch, length, 65, layers=layers, width=64, heads=4)


def gpt_small(numbers: Numbers, compiled: bool, width: int = 256, length: int = 256, batch: int = 4) -> Workload:
    return gpt(numbers, compiled, 3e-4, batch, length, 512, layers=4, width=width, heads=8)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.short: nn.Module = nn.Identity()
        if stride != 1:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.short(x))


class ResNet(nn.Module):
    """He et al. 2016, section 4.2: three stages of `blocks` blocks for 32 x 32 images; ResNet-20 has three."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stages = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        chain = [Residual(outputs if n else inputs, outputs, 1 if n else stride) for inputs, outputs, stride in stages for n in range(blocks)]
        self.blocks = nn.Sequential(*chain)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(F.relu(self.norm(self.conv(x)))).mean((2, 3)))


def resnet_cifar(numbers: Numbers, compiled: bool, batch: int = 32, blocks: int = 3) -> Workload:
    model = numbers.initialize(ResNet(blocks))
    x, y = numbers.normal(batch, 3, 32, 32), numbers.integers(0, 10, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    return classification(model, optimizer, x, y, compiled)


# Memory-bound work. Each step needs the one before, so that none can be dropped.


def elementwise(numbers: Numbers, compiled: bool, count: int = 4 << 20) -> Workload:
    x, total = numbers.normal(count), torch.zeros(())

    def next_total(x: Tensor, total: Tensor) -> Tensor:
        return total * 0.5 + (F.gelu(x * 1.5 + 0.3) * torch.sigmoid(x) - torch.tanh(x)).sum()

    next_total = compile_if(compiled, next_total)

    def step() -> Tensor:
        nonlocal total
        with torch.no_grad():
            total = next_total(x, total)
        return total

    return Workload(step, state=lambda: total)


def softmax(numbers: Numbers, compiled: bool, rows: int = 4096, columns: int = 1024) -> Workload:
    x = numbers.normal(rows, columns)
    normalize = compile_if(compiled, lambda x: torch.softmax(x, dim=-1))

    def step() -> Tensor:
        nonlocal x
        with torch.no_grad():
            x = normalize(x)
        return x

    return Workload(step, state=lambda: x[1, 1], read=lambda x: x[0, 0].item())


def layernorm(numbers: Numbers, compiled: bool, rows: int = 4096, columns: int = 1024) -> Workload:
    """Forward and backward; the gradient of x is the next step's gradient of the result."""
    x, grad = numbers.normal(rows, columns), numbers.normal(rows, columns)
    x = ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)).requires_grad_()  # keeps the gradient's size
    weight, bias = torch.ones(columns, requires_grad=True), torch.zeros(columns, requires_grad=True)
    normalize = compile_if(compiled, lambda: F.layer_norm(x, (columns,), weight, bias))

    def step() -> Tensor:
        nonlocal grad
        x.grad = weight.grad = bias.grad = None
        normalize().backward(grad)
        grad = x.grad
        return weight.grad

    return Workload(step, state=lambda: grad[1, 1], read=lambda grad: grad[0].item())


def attention(numbers: Numbers, compiled: bool, batch: int = 4, length: int = 256) -> Workload:
    """Causal attention of eight heads, forward and backward, over queries, keys and values that are trained."""
    q, k, v = (numbers.normal(batch, 8, length, 32).requires_grad_() for _ in range(3))
    optimizer = torch.optim.SGD([q, k, v], lr=10.0)  # of a mean over many
    return training(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True).square().mean(), optimizer, compiled)


# Shapes that change, and inference of one sample whose result is read each time.


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(32, 64), nn.Linear(64, 64, bias=False)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.input(x) + self.hidden(h))


class PlainRNN(nn.Module):
    """A recurrence written as a loop in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.classifier = Cell(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[1], 64)
        for each in x:
            h = self.cell(each, h)
        return self.classifier(h)


def dynamic_rnn(numbers: Numbers, compiled: bool, longest: int = 40, cycle: int = 100) -> Workload:
    """The sequence's length changes at each step. Compiled, it is the cell: a loop would be traced for each length."""
    model: Any = numbers.initialize(PlainRNN())
    sequence, y = numbers.normal(longest, 8, 32), numbers.integers(0, 10, 8)
    lengths: list[int] = numbers.integers(5, longest + 1, cycle).tolist()
    model.cell = compile_if(compiled, model.cell)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    turn = itertools.cycle(lengths)

    def loss() -> Tensor:
        return F.cross_entropy(model(sequence[: next(turn)]), y)

    return training(loss, optimizer, compiled=False, cycle=cycle)


def inference(model: nn.Module, x: Tensor, compiled: bool) -> Workload:
    """The result is the last position's, as a list on the host."""
    model = compile_if(compiled, model.eval())

    def step() -> list[float]:
        with torch.no_grad():
            out = model(x)
        return out.reshape(-1, out.shape[-1])[-1].tolist()

    return Workload(step, state=lambda: x, read=lambda out: sum(abs(each) for each in out))


def infer_mlp(numbers: Numbers, compiled: bool) -> Workload:
    return inference(numbers.initialize(perceptron(30, 32, 64, 1)), numbers.normal(1, 30), compiled)


def infer_cnn(numbers: Numbers, compiled: bool, width: int = 64) -> Workload:
    return inference(numbers.initialize(convolutions(width)), numbers.normal(1, 3, 32, 32), compiled)


def infer_gpt(numbers: Numbers, compiled: bool, layers: int = 2, length: int = 64) -> Workload:
    model = numbers.initialize(GPT(layers, 64, 4, length, 65))
    return inference(model, numbers.integers(0, 65, 1, length), compiled)


WORKLOADS: dict[str, Callable[..., Workload]] = {
    function.__name__: function
    for function in (
        linreg, two_layer_manual, mlp_adam, mnist_mlp, cnn, lstm, gpt_nano, gpt_small, resnet_cifar,
        elementwise, softmax, layernorm, dynamic_rnn, infer_mlp, infer_cnn, infer_gpt, attention,
    )
}  # fmt: skip

#: Sizes for a test; the workloads that are not named are small already.
TINY: dict[str, dict[str, int]] = {
    "two_layer_manual": {"inputs": 40, "hidden": 12},
    "mnist_mlp": {"batch": 8, "hidden": 16},
    "cnn": {"batch": 2, "width": 4},
    "lstm": {"batch": 3, "length": 5},
    "gpt_nano": {"layers": 1, "length": 6, "batch": 2},
    "gpt_small": {"width": 32, "length": 9, "batch": 1},
    "resnet_cifar": {"batch": 2, "blocks": 1},
    "elementwise": {"count": 3001},
    "softmax": {"rows": 5, "columns": 37},
    "layernorm": {"rows": 5, "columns": 37},
    "dynamic_rnn": {"longest": 7, "cycle": 4},
    "infer_cnn": {"width": 4},
    "infer_gpt": {"layers": 1, "length": 6},
    "attention": {"batch": 1, "length": 9},
}


def build(name: str, compiled: bool = False, tiny: bool = False) -> tuple[Workload, float]:
    """A workload ready for its first step, and the seconds that drawing its numbers took."""
    numbers = Numbers(seed=list(WORKLOADS).index(name))
    workload = WORKLOADS[name](numbers, compiled, **(TINY.get(name, {}) if tiny else {}))
    return workload, numbers.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="small sizes")
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    losses = {}
    for name in WORKLOADS:
        workload, _ = build(name, tiny=arguments.tiny)
        losses[name] = [workload.read(workload.step()) for _ in range(arguments.steps)]
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
