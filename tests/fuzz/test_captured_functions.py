"""Random functions under `torch.compile`: results, written arguments and gradients are those of the function itself, bit for bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import rushlight as torch

SIDE = 4  # all tensors are square, so that any two go together
UNARY = ("tanh", "sin", "neg", "abs", "sigmoid", "relu", "exp")
BINARY = ("add", "sub", "mul", "maximum", "matmul")
IN_PLACE = ("tanh_", "neg_", "sigmoid_", "add_", "mul_", "copy_")


pytestmark = pytest.mark.usefixtures("deferred")


def draw_program(seed: int) -> list[tuple[Any, ...]]:
    """Instructions over a growing list of tensors, the first three of which are arguments."""
    draw = random.Random(seed)
    program: list[tuple[Any, ...]] = []
    count = 3
    for _ in range(draw.randint(3, 14)):
        a, b = draw.randrange(count), draw.randrange(count)
        kind = draw.choice(("unary", "binary", "view", "in place", "rows", "number", "clone", "slice"))
        if kind == "unary":
            program.append((kind, draw.choice(UNARY), a))
        elif kind == "binary":
            program.append((kind, draw.choice(BINARY), a, b))
        elif kind == "in place":
            program.append((kind, draw.choice(IN_PLACE), a, b))
            continue
        elif kind == "slice":
            program.append((kind, draw.randrange(SIDE - 1), a, b))
            continue
        elif kind == "number":
            program.append((kind, draw.choice((0.5, 2, -1.25)), a))
        else:
            program.append((kind, a))
        count += 1
    return program


def run(program: list[tuple[Any, ...]], *arguments: Any) -> list[Any]:
    tensors = list(arguments)
    for kind, *rest in program:
        if kind == "unary":
            tensors.append(getattr(torch, rest[0])(tensors[rest[1]]))
        elif kind == "binary":
            tensors.append(getattr(torch, rest[0])(tensors[rest[1]], tensors[rest[2]]))
        elif kind == "in place":
            method = getattr(tensors[rest[1]], rest[0])
            method() if rest[0] in ("tanh_", "neg_", "sigmoid_") else method(tensors[rest[2]])
        elif kind == "slice":
            tensors[rest[1]][rest[0] : rest[0] + 2] = tensors[rest[2]][:2] * 0.75
        elif kind == "view":
            tensors.append(tensors[rest[0]].t())
        elif kind == "rows":
            tensors.append(tensors[rest[0]].softmax(-1))
        elif kind == "number":
            tensors.append(tensors[rest[1]] * rest[0])
        elif kind == "clone":
            tensors.append(tensors[rest[0]].clone())
    return tensors[-3:]


def arguments(seed: int, requires_grad: bool, aliased: bool) -> tuple[list[Any], list[Any]]:
    """Three arguments, and the leaves behind them."""
    values = np.random.RandomState(seed).uniform(-1, 1, (3, SIDE, SIDE)).astype(np.float32).tolist()
    leaves = [torch.tensor(v) for v in values]
    for leaf in leaves[:2]:
        leaf.requires_grad_(requires_grad)
    # Written in place, a leaf would be refused: arguments are copies of the leaves.
    copies = [leaf.clone() for leaf in leaves]
    if aliased:
        copies[2] = copies[0].t()
    return copies, leaves


@pytest.mark.parametrize("seed", range(170))
def test_a_captured_function(seed: int) -> None:
    program = draw_program(seed)
    draw = random.Random(seed)
    requires_grad, aliased = draw.random() < 0.6, draw.random() < 0.3
    compiled = torch.compile(lambda *args: run(program, *args))
    for call in range(4):
        observed = []
        for function in (lambda *args: run(program, *args), compiled):
            given, leaves = arguments(1000 * seed + call, requires_grad, aliased)
            try:
                found = function(*given)
                gradient = [t for t in found if t.requires_grad]
                if gradient:
                    sum(t.square().sum() for t in gradient).backward()
            except RuntimeError as error:
                observed.append(str(error)[:60])
                continue
            seen = [*found, *given, *(leaf.grad for leaf in leaves if leaf.grad is not None)]
            observed.append([(t.requires_grad, t.detach().contiguous().numpy().tobytes()) for t in seen])
        assert observed[0] == observed[1], (program, compiled.replays, compiled.refusal)
