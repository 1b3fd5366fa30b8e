"""What the tests of `nn.Module` share: a module with a parameter and buffers, a tree of them, errors as class and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn


class Scale(nn.Module):
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]))
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Scale(3.0)
        self.rest = nn.ModuleList([Scale(5.0), Scale(7.0)])

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for module in self.rest:
            x = module(x)
        return x


def message(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__, str(caught.value.args[0])
