"""Converting a module's parameters and buffers in place: dtype, device, memory format."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from .. import ops
from ..autograd import no_grad
from ..devices import device as Device
from ..dtypes import dtype as DType
from ..tensor import Tensor
from .parameter import Parameter, is_lazy

if TYPE_CHECKING:
    from .module import Module


class ConversionMixin:
    """The part of :class:`Module` that converts its tensors."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    children: Callable[[], Iterator[Module]]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the value of each parameter, gradient and buffer by ``fn`` of it; the parameters stay the same objects
        wherever the new value is on the same kind of device.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            grad = parameter.grad
            with no_grad():
                converted = fn(parameter)
                converted_grad = None if grad is None else fn(grad)
            if converted.device.type == parameter.device.type:
                parameter.data = converted
            else:
                parameter = self._parameters[name] = Parameter(converted, parameter.requires_grad)
            if grad is None or converted_grad is None:
                continue
            if converted_grad.device.type == grad.device.type:
                grad.data = converted_grad
            else:
                parameter.grad = converted_grad.requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is None:
                continue
            if is_lazy(buffer):
                buffer.data = fn(buffer.data)
            else:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert in place: ``to(device=None, dtype=None, non_blocking=False)``, ``to(dtype)``, ``to(tensor)``, and
        ``memory_format=``. A dtype applies to floating point and complex tensors only.

        >>> nn.Linear(1, 1).to(torch.float64).weight.dtype
        torch.float64
        """
        device, dtype, non_blocking, memory_format = parse_to_arguments(*args, **kwargs)
        if dtype is not None:
            if not (dtype.is_floating_point or dtype.is_complex):
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
                )
            if dtype.is_complex:
                warnings.warn(
                    "Complex modules are a new feature under active development whose design may change, and some "
                    "modules might not work as expected when using complex tensors as parameters or buffers. Please "
                    "file an issue at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a "
                    "complex module does not work as expected.",
                    stacklevel=2,
                )

        def convert(tensor: Tensor) -> Tensor:
            new_dtype = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            options = {"memory_format": memory_format} if memory_format is not None and tensor.dim() in (4, 5) else {}
            try:
                return tensor.to(device=device, dtype=new_dtype, non_blocking=non_blocking, **options)
            except NotImplementedError as error:
                if str(error) != "Cannot copy out of meta tensor; no data!":
                    raise
                raise NotImplementedError(
                    f"{error} Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving module "
                    "from meta to a different device."
                ) from None

        return self._apply(convert)

    def to_empty(self, *, device: Device | str | int | None, recurse: bool = True) -> Self:
        """Move to ``device`` without copying the values, which become undefined."""
        return self._apply(lambda tensor: ops.empty_like(tensor, device=device), recurse=recurse)

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: Device | int | None = None) -> Self:
        """Move to a CUDA device; raises as tensors do where there is none."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def type(self, dst_type: DType | str) -> Self:
        """Cast every parameter and buffer, integers too."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self) -> Self:
        """Cast floating point parameters and buffers to float32."""
        return self._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def double(self) -> Self:
        """Cast floating point parameters and buffers to float64."""
        return self._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def half(self) -> Self:
        """Cast floating point parameters and buffers to float16."""
        return self._apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)

    def bfloat16(self) -> Self:
        """Cast floating point parameters and buffers to bfloat16."""
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)

    def share_memory(self) -> Self:
        """Move parameters and buffers to memory that other processes can share."""
        return self._apply(lambda tensor: tensor.share_memory_())


def parse_to_arguments(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """The (device, dtype, non_blocking, memory_format) that a call of ``to`` asks for."""
    memory_format = kwargs.pop("memory_format", None)
    if "tensor" in kwargs or "other" in kwargs or (args and isinstance(args[0], Tensor)):
        names: tuple[str, ...] = ("other", "non_blocking", "copy")
    elif args and isinstance(args[0], DType):
        names = ("dtype", "non_blocking", "copy")
    else:
        names = ("device", "dtype", "non_blocking", "copy")
    given = dict(zip(names, args, strict=False))
    known = {*names, "tensor"} if names[0] == "other" else set(names)
    if len(args) > len(names) or not set(kwargs) <= known - set(given):
        raise TypeError("to() received an invalid combination of arguments")
    given.update(kwargs)
    other = given.get("other", given.get("tensor"))
    device = given.get("device") if other is None else other.device
    dtype = given.get("dtype") if other is None else other.dtype
    if (dtype is not None and not isinstance(dtype, DType)) or not isinstance(device, (str, int, Device, type(None))):
        raise TypeError("to() received an invalid combination of arguments")
    return None if device is None else Device(device), dtype, bool(given.get("non_blocking", False)), memory_format
