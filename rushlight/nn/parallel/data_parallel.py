"""Data parallelism over the accelerators of one machine, of which rushlight has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ...devices import device as Device
from ..module import Module

T = TypeVar("T", bound=Module)


class DataParallel(Module, Generic[T]):
    """Runs `module` on parts of the batch; without accelerators, which is always, on the whole of it.

    Its state has the prefix `module.`, as checkpoints of programs for several accelerators do.

    >>> list(nn.DataParallel(nn.Linear(2, 3)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self,
        module: T,
        device_ids: Sequence[int | Device] | None = None,
        output_device: int | Device | None = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[int | Device] | None = None,
    output_device: int | Device | None = None,
    dim: int = 0,
    module_kwargs: Any = None,
) -> Any:
    """`DataParallel` as a function. As in PyTorch, and unlike the class, it refuses to run without accelerators.

    >>> nn.parallel.data_parallel(nn.Linear(2, 3), torch.zeros(4, 2))
    Traceback (most recent call last):
    RuntimeError: device type could not be determined
    """
    raise RuntimeError("device type could not be determined")
