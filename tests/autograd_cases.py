"""What the tests of autograd share: leaves, errors by their text, a Function."""

from __future__ import annotations

import re

import pytest

import rushlight as torch
from rushlight.autograd import Function


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), requires_grad=True)


def raises(message: str, kind: type[Exception] = RuntimeError):  # noqa: ANN201
    return pytest.raises(kind, match=re.escape(message))


MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation: "
FREED = "Trying to backward through the graph a second time"


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 + 0 * x
