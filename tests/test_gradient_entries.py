"""The gradient of a common op is one entry of the tape, and is right where values are awkward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn, tape
from rushlight.ops.index import add_along


@pytest.fixture(autouse=True)
def deferred() -> Iterator[None]:
    before = tape.state.immediate
    tape.state.immediate = False
    yield
    tape.state.immediate = before


def recorded(call: Callable[[], object]) -> list[str]:
    """The cards that a call leaves on the tape, the second time it is made."""
    call()
    tape.flush()
    call()
    return [entry[0].card.name for entry in tape.pending]


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).requires_grad_()


ACTIVATIONS = "relu tanh sigmoid gelu silu mish softplus elu celu selu leaky_relu hardtanh relu6 hardswish hardsigmoid hardshrink softshrink logsigmoid"
X, W, B = leaf(4, 8, 6), leaf(6), leaf(6)
LOGITS, CLASSES = leaf(8, 10), torch.arange(8)
IMAGE, SCALE, SHIFT = leaf(2, 4, 3, 3), leaf(4), leaf(4)
CALLS: dict[str, Callable[[], torch.Tensor]] = {
    "layer_norm": lambda: F.layer_norm(X, (6,), W, B),
    "rms_norm": lambda: F.rms_norm(X, (6,), W),
    "group_norm": lambda: F.group_norm(IMAGE, 2, SCALE, SHIFT),
    "batch_norm": lambda: F.batch_norm(IMAGE, None, None, SCALE, SHIFT, training=True),
    "batch_norm_eval": lambda: F.batch_norm(IMAGE, torch.zeros(4), torch.ones(4), SCALE, SHIFT),
    "linear": lambda: F.linear(X, leaf(5, 6), leaf(5)),
    "embedding": lambda: F.embedding(torch.tensor([[1, 2], [2, 0]]), leaf(3, 4)),
    "cross_entropy": lambda: F.cross_entropy(LOGITS, CLASSES, label_smoothing=0.1),
    "nll_loss": lambda: F.nll_loss(LOGITS, CLASSES),
    "mse_loss": lambda: F.mse_loss(LOGITS, torch.ones(8, 10)),
    "smooth_l1_loss": lambda: F.smooth_l1_loss(LOGITS, torch.ones(8, 10)),
    "huber_loss": lambda: F.huber_loss(LOGITS, torch.ones(8, 10)),
    "binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits(LOGITS, torch.ones(8, 10)),
    "softmax": lambda: LOGITS.softmax(-1),
    "log_softmax": lambda: LOGITS.log_softmax(-1),
    **{name: lambda name=name: getattr(F, name)(X) for name in ACTIVATIONS.split()},
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_gradient_is_one_entry(name: str) -> None:
    found = CALLS[name]()
    g = torch.ones_like(found)
    tape.flush()
    found.backward(g)
    computed = [entry[0].card.name for entry in tape.pending if not entry[0].card.name.startswith(("copy", "clone", "add"))]
    assert len(computed) == 1, computed


def test_a_step_of_an_mlp_records_few_entries() -> None:
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))
    x, y = torch.randn(16, 30), torch.randn(16, 1)

    def step() -> None:
        for p in model.parameters():
            p.grad = None
        F.mse_loss(model(x), y).backward()

    names = recorded(step)
    # Three linears, two activations and the loss, each with its gradient.
    assert len(names) <= 12, names


def test_a_step_of_a_transformer_block_records_few_entries() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
            self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
            self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = (t.view(2, 8, 2, 8).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(16, 2))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 8, 16)
            x = x + self.out(mixed)
            return x + self.mlp(self.norm2(x))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.block, self.head = nn.Embedding(10, 16), Block(), nn.Linear(16, 10)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.block(self.table(ids)))

    model = Model()
    ids, target = torch.arange(16).reshape(2, 8) % 10, torch.arange(16) % 10

    def step() -> None:
        for p in model.parameters():
            p.grad = None
        F.cross_entropy(model(ids).view(-1, 10), target).backward()

    # Thirteen forward, a gradient for each, and a cat where the gradients of q, k and v come together.
    names = recorded(step)
    assert len(names) <= 27, names


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_ignored_samples_have_no_gradient_even_if_all_are(reduction: str, smoothing: float) -> None:
    x = leaf(3, 4)
    loss = F.cross_entropy(x, torch.full((3,), -100), reduction=reduction, label_smoothing=smoothing)
    assert torch.autograd.grad(loss.sum(), x)[0].tolist() == np.zeros((3, 4)).tolist()


def test_gates_pass_the_gradient_at_nan_as_pytorch_does() -> None:
    x = torch.tensor([float("nan"), 1.0], requires_grad=True)
    for name, expected in (("relu", 1.0), ("hardtanh", 1.0), ("elu", 1.0), ("hardsigmoid", 0.0)):
        found = torch.autograd.grad(getattr(F, name)(x).sum(), x)[0]
        assert found[0].item() == expected, name


def test_a_gate_that_is_closed_stops_an_infinite_gradient() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    assert torch.autograd.grad(F.relu(x), x, torch.tensor([float("inf"), 3.0]))[0].tolist() == [0.0, 3.0]


def test_gradients_of_transposed_matrices_are_transposed() -> None:
    x, w = torch.randn(4, 3).t().requires_grad_(), torch.randn(4, 5).t().requires_grad_()
    of_x, of_w = torch.autograd.grad(F.linear(x, w).sum(), (x, w))
    assert (of_x.stride(), of_w.stride()) == ((1, 3), (1, 5))


def test_third_derivatives_go_through_an_entry_too() -> None:
    x = torch.tensor([0.3, -0.7, 1.3], dtype=torch.float64, requires_grad=True)
    grads = [F.gelu(x)]
    for _ in range(3):
        grads.append(torch.autograd.grad(grads[-1].sum(), x, create_graph=True)[0])
    pdf = (-0.5 * x * x).exp() / (2 * torch.pi) ** 0.5
    torch.testing.assert_close(grads[3].detach(), (pdf * (x**3 - 4 * x)).detach())


@pytest.mark.parametrize("shape", [(3000, 3, 5), (2000, 2), (10, 4)])
@pytest.mark.parametrize("rows", [3, 700])
def test_rows_add_up_in_the_order_of_their_indices(rows: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    index, values = rng.integers(0, rows, shape[0]), rng.standard_normal(shape).astype(np.float32)
    found = rng.standard_normal((rows, *shape[1:])).astype(np.float32)
    expected = found.copy()
    add_along(found, index, values)
    np.add.at(expected, index, values)
    np.testing.assert_array_equal(found, expected)
