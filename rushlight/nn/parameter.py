"""Tensors that a Module registers when they are assigned to it: parameters, buffers, and both before their shape is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Self

from .. import ops
from ..devices import device as Device
from ..dtypes import dtype as DType
from ..graph import make_tensor
from ..tensor import Tensor, _disabled_torch_function_impl, as_class

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


def _leaf(cls: type[Any], data: Tensor, requires_grad: bool) -> Any:
    """A leaf of class ``cls`` over the memory of ``data``."""
    leaf = as_class(make_tensor(data._storage, data._offset, data._layout), cls)
    if requires_grad and not (leaf.is_floating_point() or leaf.is_complex()):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return leaf.requires_grad_(requires_grad)


class Parameter(Tensor):
    """A leaf tensor that becomes one of a module's parameters when assigned as an attribute. Shares ``data``'s memory.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        return _leaf(cls, ops.empty(0) if data is None else data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes one of a module's buffers when assigned as an attribute; saved unless ``persistent=False``.

    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(torch.zeros(2))
    >>> list(module.state_dict())
    ['mean']
    """

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]
    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Self:
        data = ops.empty(0) if data is None else data
        buffer = _leaf(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer


class UninitializedTensorMixin:
    """What parameters and buffers of lazy modules share until their shape is known."""

    cls_to_become: type[Tensor]

    def materialize(self, shape: Sequence[int], device: Device | str | None = None, dtype: DType | None = None) -> None:
        """Give the tensor its shape (with undefined values) and turn it into a plain parameter or buffer."""
        data = self.data  # type: ignore[has-type]
        self.data = ops.empty(
            tuple(shape), device=data.device if device is None else device, dtype=data.dtype if dtype is None else dtype
        )
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> NoReturn:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def numel(self) -> NoReturn:
        raise ValueError(
            "Attempted to use an uninitialized parameter in <method 'numel' of 'torch._C.TensorBase' objects>. This error "
            "happens when you are using a `LazyModule` or explicitly manipulating "
            "`torch.nn.parameter.UninitializedParameter` objects. When using LazyModules Call `forward` with a dummy batch "
            "to initialize the parameters before calling torch functions"
        )

    def share_memory_(self) -> NoReturn:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.requires_grad,)  # type: ignore[attr-defined]


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet, as lazy modules hold before their first input.

    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> weight.shape
    torch.Size([2, 3])
    """

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Device | str | None = None, dtype: DType | None = None
    ) -> Self:
        return _leaf(cls, ops.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, Buffer):  # type: ignore[misc]
    """A buffer whose shape is not known yet.

    >>> buffer = nn.UninitializedBuffer()
    >>> buffer.materialize((2,))
    >>> buffer.shape
    torch.Size([2])
    """

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Device | str | None = None,
        dtype: DType | None = None,
        persistent: bool = True,
    ) -> Self:
        buffer = _leaf(cls, ops.empty(0, device=device, dtype=dtype), requires_grad)
        buffer.persistent = persistent
        return buffer


def is_lazy(param: Any) -> bool:
    """Whether ``param`` still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)
