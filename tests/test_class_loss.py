"""Losses over classes as native code: the values of the NumPy rules for every option, and bits that do not depend on strides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import tape
from rushlight.engine import execute, llvm

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

SHAPES = [(7,), (5, 9), (300, 40), (2, 5, 33), (3, 4, 6, 11), (2, 21, 40, 50), (1, 3, 1, 1)]
OPTIONS = list(itertools.product((False, True), (0.0, 0.1), ("none", "mean", "sum"), (-100, 1)))


class Case:
    def __init__(self, shape: tuple[int, ...], channels_last: bool, weighted: bool, smoothing: float, reduction: str, ignore_index: int) -> None:
        random = np.random.default_rng(0)
        classes = shape[min(1, len(shape) - 1)]
        self.logits = (random.standard_normal(shape) * 3).astype(np.float32)
        self.target = random.integers(0, classes, () if len(shape) == 1 else (shape[0], *shape[2:]))
        self.weight = (random.random(classes) + 0.2).astype(np.float32) if weighted else None
        self.channels_last, self.smoothing = channels_last, smoothing
        self.options: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}

    def loss_and_gradient(self, name: str) -> list[np.ndarray]:
        x, target = torch.tensor(self.logits), torch.tensor(self.target)
        if self.channels_last:
            x = torch.tensor(np.moveaxis(self.logits, 1, -1).copy()).movedim(-1, 1)
            target = torch.tensor(self.target.T.copy()).permute(*reversed(range(self.target.ndim)))
        x = x.requires_grad_()
        weight = None if self.weight is None else torch.tensor(self.weight)
        if name == "cross_entropy":
            loss = F.cross_entropy(x, target, weight, label_smoothing=self.smoothing, **self.options)
        else:
            loss = F.nll_loss(x, target, weight, **self.options)
        g = torch.tensor(np.random.default_rng(3).standard_normal(tuple(loss.shape)).astype(np.float32))
        loss.backward(g)
        assert x.grad is not None
        return [loss.detach().numpy().copy(), x.grad.numpy().copy()]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_native_code_has_the_values_of_the_rules(name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for options in OPTIONS:
        case = Case(shape, False, *options)
        before = execute.counts.native_calls
        found = case.loss_and_gradient(name)
        assert execute.counts.native_calls > before
        tape.flush()
        with monkeypatch.context() as patch:
            patch.setattr(llvm, "AVAILABLE", False)
            patch.setattr(tape.state, "compile", False)
            expected = case.loss_and_gradient(name)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=3e-5, atol=3e-5 * max(1.0, float(np.nanmax(np.abs(b))) if np.isfinite(b).any() else 1.0), err_msg=str(options))
        if len(shape) > 2:
            for a, b in zip(Case(shape, True, *options).loss_and_gradient(name), found, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=str(options))


def test_a_class_without_weight_costs_nothing() -> None:
    x = torch.tensor([[0.3, float("-inf")], [0.7, 1.3]])
    target, weight = torch.tensor([1, 0]), torch.tensor([1.0, 0.0])
    assert F.cross_entropy(x, target, weight, reduction="none")[0] == 0
    assert F.cross_entropy(x.reshape(1, 2, 2), torch.tensor([[0, 1]]), weight).isfinite()
