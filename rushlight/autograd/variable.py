"""`torch.autograd.Variable`, the old name of Tensor: a Tensor is an instance, and calling it gives one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ops
from ..storage import TensorBase

if TYPE_CHECKING:
    from ..tensor import Tensor


class _Variable:
    """Answers calls and `isinstance` in Tensor's place; PyTorch's own is a class with a metaclass.

    >>> isinstance(torch.autograd.Variable(torch.ones(1), requires_grad=True), torch.Tensor)
    True
    """

    def __call__(self, data: Tensor | None = None, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        found = ops.empty(0) if data is None else data.detach()
        return found.requires_grad_() if requires_grad else found

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, TensorBase)

    def __repr__(self) -> str:
        return "<class 'torch.autograd.variable.Variable'>"


Variable = _Variable()
