"""Random numbers by native code: the bits of the NumPy code that does without a compiler, and the same state afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import draws, random
from rushlight.engine import llvm

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

Draw = Callable[[torch.Generator, int], np.ndarray]

DRAWS: dict[str, Draw] = {
    "words": lambda g, n: g.words(n),
    "uniform": lambda g, n: draws.uniform(g, n, "float32"),
    "uniform between": lambda g, n: draws.uniform(g, n, "float32", -0.3, 0.7),
    "uniform, narrow": lambda g, n: draws.uniform(g, n, "float32", 2.0, 2.0000005),
    "uniform double": lambda g, n: draws.uniform(g, n, "float64", -1.0, 3.0),
    "uniform half": lambda g, n: draws.uniform(g, n, "bfloat16", 0.0, 0.3),
    "normal": lambda g, n: draws.normal(g, n, "float32"),
    "normal around": lambda g, n: draws.normal(g, n, "float32", 0.3, 1.7),
    "normal half": lambda g, n: draws.normal(g, n, "bfloat16"),
    "integers": lambda g, n: draws.random_range(g, n, "int64", -5, 95),
    "one integer": lambda g, n: draws.random_range(g, n, "int64", 7, 8),
    "many integers": lambda g, n: draws.random_range(g, n, "int32", 3, 2**28 + 2),
    "bernoulli": lambda g, n: draws.bernoulli(g, n, "float32", 0.3),
    "permutation": lambda g, n: draws.randperm(g, n),
    "poisson": lambda g, n: draws.poisson(g, np.linspace(0, 9.9, n, dtype=np.float32)),
    "poisson, rejected": lambda g, n: draws.poisson(g, np.linspace(10, 1000, n)),
    "poisson of all kinds": lambda g, n: draws.poisson(g, 10 ** np.linspace(-25, 3, n)[np.arange(n) * 7 % n] * (np.arange(n) % 5 > 0)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_native_draws_are_those_of_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
    for n in (5000, 1, random.NATIVE_FROM, 623, 4 * 624, 625, 7 * 624 + 16, 30011):
        found = DRAWS[name](ours, n)
        with monkeypatch.context() as patch:
            patch.setattr(llvm, "AVAILABLE", False)
            expected = DRAWS[name](theirs, n)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
        assert (ours.state_bytes() == theirs.state_bytes()).all()


def test_native_code_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    from rushlight.engine import random_kernel

    run = random_kernel._run

    def counted(name: str, *arguments: Any) -> None:
        called.append(name)
        run(name, *arguments)

    monkeypatch.setattr(random_kernel, "_run", counted)
    torch.manual_seed(3)
    values = torch.randn(5000).numpy()
    assert set(called) == {"words", "floats", "normals"}
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05
    order = torch.randperm(9000)
    assert torch.equal(order.sort().values, torch.arange(9000))
    assert called[-1] == "permutation"


def test_categories_by_comparison_and_by_search(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = np.random.default_rng(0).random((30, 50)).astype(np.float32)
    chances[:, 1] = 0
    compared = draws.multinomial(torch.Generator().manual_seed(1), chances, 7, True)
    monkeypatch.setattr(draws, "_COMPARED_AT_MOST", 0)
    searched = draws.multinomial(torch.Generator().manual_seed(1), chances, 7, True)
    assert compared.dtype == searched.dtype
    np.testing.assert_array_equal(compared, searched)
    assert (compared != 1).all()


def test_few_numbers_are_native_once_many_have_been_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small draws cost as much as large ones by NumPy, but a first one need not load native code."""
    monkeypatch.setattr(random, "_asked", 0)
    assert not random.is_native(100)
    while random._asked < random.NATIVE_FROM:
        random.is_native(100)
    assert random.is_native(100)
    test_native_draws_are_those_of_numpy("normal", monkeypatch)
