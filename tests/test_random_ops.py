"""Random tensors through the public interface, against values recorded from PyTorch 2.13 after ``manual_seed(1)``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
from rushlight.nn import functional as F

RECORDED = json.loads((Path(__file__).parent / "data" / "random_ops.json").read_text())

# Each takes the torch module and its nn.functional, so that the same calls can be recorded.
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "uniform of a transposed matrix": lambda torch, F: torch.empty(3, 4).t().uniform_(),
    "normal of a transposed matrix": lambda torch, F: torch.empty(5, 4).t().normal_(),
    "normal of a part": lambda torch, F: torch.empty(20, 4, dtype=torch.float64)[:, 1:3].normal_(0.3, 0.7),
    "normal channels last": lambda torch, F: torch.empty(2, 3, 2, 2).to(memory_format=torch.channels_last).normal_(),
    "random of a permuted part": lambda torch, F: torch.empty(4, 5, 6).permute(2, 0, 1)[::2].random_(1000),
    "bernoulli of a transposed matrix by a tensor": lambda torch, F: torch.empty(4, 5).t().bernoulli_(torch.linspace(0, 1, 20).reshape(5, 4)),
    "bernoulli by a row": lambda torch, F: torch.empty(4, 5).bernoulli_(torch.linspace(0, 1, 5).double()),
    "bernoulli of a tensor": lambda torch, F: torch.bernoulli(torch.linspace(0, 1, 20).reshape(4, 5).t()),
    "bernoulli of a number": lambda torch, F: torch.bernoulli(torch.ones(3), 0.4),
    "complex normal": lambda torch, F: torch.view_as_real(torch.empty(20, dtype=torch.complex64).normal_(1.0, 2.0)),
    "complex uniform": lambda torch, F: torch.view_as_real(torch.rand(5, dtype=torch.complex128)),
    "randn bfloat16": lambda torch, F: torch.randn(40, dtype=torch.bfloat16),
    "rand into out": lambda torch, F: torch.rand(2, out=torch.empty(0, dtype=torch.float64)),
    "rand with a generator": lambda torch, F: torch.rand(2, generator=torch.Generator().manual_seed(3)),
    "rand_like keeps the order of dims": lambda torch, F: torch.rand_like(torch.ones(2, 3).t()),
    "normal of tensors": lambda torch, F: torch.normal(torch.arange(20.0), torch.linspace(0.1, 1, 20)),
    "normal of a number and a tensor": lambda torch, F: torch.normal(2.0, torch.linspace(0.1, 1, 20)),
    "normal of a half tensor": lambda torch, F: torch.normal(torch.arange(20.0).half(), torch.linspace(0.1, 1, 20)),
    "normal broadcasts": lambda torch, F: torch.normal(torch.arange(3.0).reshape(3, 1), torch.ones(4) * 0.3),
    "normal with a size": lambda torch, F: torch.normal(2, 3, size=(1, 4)),
    "randint high": lambda torch, F: torch.randint(5, (6,)),
    "randint low high": lambda torch, F: torch.randint(-5, 5, (3,), dtype=torch.int8),
    "randint by keywords": lambda torch, F: torch.randint(low=2, high=5, size=(6,)),
    "randint_like": lambda torch, F: torch.randint_like(torch.ones(3), 2, 5, dtype=torch.int32),
    "randperm": lambda torch, F: torch.randperm(10, dtype=torch.int16),
    "random without bounds": lambda torch, F: torch.empty(5).random_(),
    "random from": lambda torch, F: torch.empty(5, dtype=torch.bfloat16).random_(100, None),
    "random of all 64 bits": lambda torch, F: torch.empty(5, dtype=torch.int64).random_(-(2**63), None),
    "random whose bounds float16 moves": lambda torch, F: torch.empty(5, dtype=torch.float16).random_(-2000, 2001),
    "exponential": lambda torch, F: torch.empty(5).exponential_(1.7),
    "cauchy": lambda torch, F: torch.empty(3, 2).t().cauchy_(1, 2),
    "log_normal": lambda torch, F: torch.empty(3).log_normal_(),
    "geometric": lambda torch, F: torch.empty(3, dtype=torch.int16).geometric_(0.2),
    "poisson": lambda torch, F: torch.poisson(torch.linspace(0, 20, 12).reshape(3, 4).t()),
    "binomial": lambda torch, F: torch.binomial(torch.arange(3.0).reshape(3, 1) * 30, torch.linspace(0.1, 0.9, 4)),
    "multinomial": lambda torch, F: torch.multinomial(torch.rand(3, 5), 4),
    "multinomial with replacement": lambda torch, F: torch.multinomial(torch.rand(5, 3).t(), 7, True),
    "dropout": lambda torch, F: F.dropout(torch.ones(4, 5), 0.3),
    "dropout of a transposed matrix": lambda torch, F: F.dropout(torch.arange(20.0).reshape(4, 5).t(), 0.3),
    "dropout of all": lambda torch, F: F.dropout(torch.ones(5), 1.0),
    "alpha dropout": lambda torch, F: F.alpha_dropout(torch.ones(5), 0.4, True),
    "feature alpha dropout": lambda torch, F: F.feature_alpha_dropout(torch.ones(2, 3, 2), 0.4, True),
    "dropout1d": lambda torch, F: F.dropout1d(torch.ones(3, 4)),
    "dropout2d": lambda torch, F: F.dropout2d(torch.ones(3, 4, 2, 2), 0.2),
    "dropout3d": lambda torch, F: F.dropout3d(torch.ones(2, 3, 4, 1, 2), 0.2),
    "rrelu in training": lambda torch, F: F.rrelu(torch.linspace(-2, 2, 9), training=True),
    "rrelu": lambda torch, F: F.rrelu(torch.linspace(-2, 2, 9)),
    "gumbel softmax": lambda torch, F: F.gumbel_softmax(torch.arange(6.0).reshape(2, 3)),
    "hard gumbel softmax": lambda torch, F: F.gumbel_softmax(torch.arange(6.0).reshape(2, 3), hard=True),
}

ERRORS: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (RuntimeError, "uniform_ expects to return a [from, to) range, but found from=2 > to=1", lambda: torch.empty(3).uniform_(2, 1)),
    (RuntimeError, "to is out of bounds for c10::Half", lambda: torch.empty(3, dtype=torch.half).uniform_(0, 70000)),
    (NotImplementedError, "\"check_uniform_bounds\" not implemented for 'Long'", lambda: torch.rand(3, dtype=torch.int64)),
    (NotImplementedError, "\"normal_kernel_cpu\" not implemented for 'Long'", lambda: torch.randn(3, dtype=torch.int64)),
    (RuntimeError, "normal expects std >= 0.0, but found std -1", lambda: torch.empty(3).normal_(0, -1)),
    (RuntimeError, "normal expects all elements of std >= 0.0", lambda: torch.normal(0.0, -torch.ones(2))),
    (RuntimeError, "random_ expects 'from' to be less than 'to', but got from=5 >= to=2", lambda: torch.randint(5, 2, (3,))),
    (RuntimeError, "to - 1 is out of bounds for unsigned char", lambda: torch.randint(300, (2,), dtype=torch.uint8)),
    (TypeError, "randint(): argument 'size' (position 2) must be tuple of ints, not int", lambda: torch.randint(3, 5)),
    (ValueError, "Overflow when unpacking long long", lambda: torch.randint(2**63, (2,))),
    (RuntimeError, "value cannot be converted to type uint8_t without overflow", lambda: torch.randperm(300, dtype=torch.uint8)),
    (RuntimeError, "n cannot be greater than 2049 for Half type.", lambda: torch.randperm(3000, dtype=torch.half)),
    (RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=0", lambda: torch.empty(3).exponential_(0)),
    (RuntimeError, "geometric_ expects p to be in (0, 1), but got p=1.5", lambda: torch.empty(3).geometric_(1.5)),
    (RuntimeError, "bernoulli_ expects p to be in [0, 1], but got p=-1", lambda: torch.empty(3).bernoulli_(-1)),
    (RuntimeError, "Expected p_in >= 0 && p_in <= 1 to be true", lambda: torch.bernoulli(torch.ones(3) * 2)),
    (RuntimeError, "invalid Poisson rate, expected rate to be non-negative", lambda: torch.poisson(-torch.ones(2))),
    (RuntimeError, "cannot sample n_sample > prob_dist.size(-1) samples without replacement", lambda: torch.multinomial(torch.ones(3), 4)),
    (RuntimeError, "sum of probabilities <= 0", lambda: torch.multinomial(torch.zeros(3), 2)),
    (TypeError, "uniform_(): argument 'generator' must be torch.Generator, not int", lambda: torch.empty(3).uniform_(generator=3)),
    (RuntimeError, "more than one element of the written-to tensor refers to a single memory location", lambda: torch.empty(1, 2).expand(3, 2).uniform_()),
    (RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation.", lambda: torch.empty(3, requires_grad=True).uniform_()),
    (ValueError, "dropout probability has to be between 0 and 1, but got -0.1", lambda: F.dropout(torch.ones(3), -0.1)),
    (RuntimeError, "dropout1d: Expected 2D or 3D input, but received a 4D input.", lambda: F.dropout1d(torch.ones(2, 3, 4, 5))),
    (RuntimeError, "Lower bound should be less than or equal to the upper bound", lambda: F.rrelu(torch.ones(3), 0.5, 0.1, True)),
]  # fmt: skip

GAMMA_SAMPLES = [0.4650147946940543, 0.12436433089458584, 0.036101830279830015, 4.447172056459827, 25.067180940176684, 99.0862668071602]
GAMMA_GRADIENTS = [4.95382843013568, 0.9074421189554717, 0.13797439217459026, 1.0988369181560669, 0.9179395244733669, 0.9970773147912855]


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_pytorch(name: str) -> None:
    """Dtype, shape, strides and values agree, and so does the next draw: the same words were used."""
    torch.manual_seed(1)
    found = CASES[name](torch, F)
    dtype, shape, stride, values, following = RECORDED[name]
    assert (str(found.dtype), list(found.shape), list(found.stride())) == (dtype, shape, stride)
    got = found.flatten().tolist()
    assert got == (values if isinstance(values[0], int) else pytest.approx(values, rel=2e-6, abs=1e-7))
    assert torch.rand(1).item() == following


@pytest.mark.parametrize(("error", "message", "call"), ERRORS, ids=[e[1][:40] for e in ERRORS])
def test_errors_are_those_of_pytorch(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    """Bad arguments raise at the call, with PyTorch's class and words."""
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_draws_happen_in_program_order() -> None:
    """What is pending draws before a state is read or set, and also when nobody looks at it."""
    torch.manual_seed(4)
    torch.rand(3)
    unseen = torch.rand(2)
    torch.manual_seed(4)
    want = torch.rand(5)[3:]
    assert unseen.tolist() == want.tolist()
    torch.manual_seed(4)
    torch.rand(3)
    state = torch.get_rng_state()
    assert torch.rand(2).tolist() == want.tolist()
    torch.set_rng_state(state)
    assert torch.rand(2).tolist() == want.tolist()


def test_state_round_trips_as_a_tensor() -> None:
    """get_rng_state gives 5056 bytes; set_rng_state refuses what is not a ByteTensor of that size."""
    state = torch.get_rng_state()
    assert state.dtype is torch.uint8
    assert state.shape == (5056,)
    with pytest.raises(TypeError, match=re.escape("RNG state must be a torch.ByteTensor")):
        torch.set_rng_state(torch.zeros(3))
    with pytest.raises(TypeError, match=re.escape("expected a torch.ByteTensor, but got list")):
        torch.set_rng_state([1])


def test_gradients() -> None:
    """Random fills have zero gradients; dropout and rrelu pass their factors on."""
    x = torch.ones(4, requires_grad=True)
    (x * 1).normal_().sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]
    for op in (lambda t: F.dropout(t, 0.5), lambda t: F.rrelu(-t, training=True) * -1):
        x.grad = None
        factors = op(x)
        factors.sum().backward()
        assert x.grad.tolist() == factors.tolist()


def test_gamma_samples_move_with_their_shape() -> None:
    """The gradient by the shape is PyTorch's (here to the accuracy of its own approximation), on both sides of the median."""
    pytest.importorskip("scipy")
    shape = torch.tensor([0.1, 0.3, 1.0, 4.0, 30.0, 100.0], dtype=torch.float64, requires_grad=True)
    sample = torch._standard_gamma(shape, torch.Generator().manual_seed(1))
    assert sample.tolist() == pytest.approx(GAMMA_SAMPLES, rel=1e-12)
    sample.sum().backward()
    assert shape.grad.tolist() == pytest.approx(GAMMA_GRADIENTS, rel=3e-4)


def test_dropout_that_drops_nothing_is_its_input() -> None:
    """Outside of training and for p = 0 the very same tensor comes back, with nothing drawn."""
    x = torch.ones(3)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


def test_inplace_dropout_writes_its_input() -> None:
    """inplace=True returns the input, changed."""
    x = torch.ones(50)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(x.tolist()) == {0.0, 2.0}
