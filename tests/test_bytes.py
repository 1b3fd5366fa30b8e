"""uint8 in native code: what NumPy's rules give, alone and fused, with results cut off after each op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import tape
from rushlight.engine import execute, llvm

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite"), pytest.mark.usefixtures("compiled_at_once")]

OPS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "neg": lambda x, y: -x, "numbers": lambda x, y: x * 3 + 200,
    "quotient": lambda x, y: x / 255, "whole quotient": lambda x, y: x // 7, "rest": lambda x, y: x % 7, "square": lambda x, y: x.square(),
    "greater": lambda x, y: x > y, "greater than a number": lambda x, y: x > 200, "equal": lambda x, y: x == y,
    "and": lambda x, y: x & y, "or": lambda x, y: x | 5, "not": lambda x, y: ~x, "left": lambda x, y: x << (y % 10), "right": lambda x, y: x >> (y % 10),
    "clamp": lambda x, y: x.clamp(20, 200), "minimum": lambda x, y: torch.minimum(x, y), "where": lambda x, y: torch.where(x > y, x, y), "masked": lambda x, y: x.masked_fill(y > 9, 250),
    "float": lambda x, y: x.float() / 255 - 0.5, "long": lambda x, y: x.long() + y, "bool": lambda x, y: x.bool(), "signed": lambda x, y: x.to(torch.int8), "mixed": lambda x, y: x * torch.full((900,), 0.5),
    "from ints": lambda x, y: (x.int() * 3).to(torch.uint8), "from floats": lambda x, y: (x.float() / 2).to(torch.uint8), "from bools": lambda x, y: (x > 9).to(torch.uint8) + 1, "full": lambda x, y: torch.full_like(x, 200) + x,
    "sum": lambda x, y: x.sum(), "sum of rows": lambda x, y: x.sum(1), "max": lambda x, y: x.max(1).values, "argmax": lambda x, y: x.argmax(1), "any": lambda x, y: x.any(1), "nonzeros": lambda x, y: torch.count_nonzero(x, 1),
    "chain": lambda x, y: ((x + y) * 3 - y) // 2 > 100, "flip": lambda x, y: x.flip(1), "cat": lambda x, y: torch.cat((x, y)), "every other": lambda x, y: x[:, ::2].contiguous(), "gather": lambda x, y: x.gather(1, (y % 50).long()), "pad": lambda x, y: F.pad(x, (1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_native_code_gives_what_the_rules_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    a, b = (random.integers(0, 256, (40, 900)).astype(np.uint8) for _ in range(2))

    def compute() -> Any:
        return OPS[name](torch.tensor(a), torch.tensor(b)).numpy().copy()

    before = execute.counts.native_calls
    found = compute()
    assert execute.counts.native_calls > before or name == "pad"
    tape.flush()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "AVAILABLE", False)
        patch.setattr(tape.state, "compile", False)
        expected = compute()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
