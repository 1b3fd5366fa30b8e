"""How tensors and storages are taken apart for a pickle and put together again.

The `rebuild_…` functions have the arguments of PyTorch's functions of like names in ``torch._utils``, since pickles
that PyTorch wrote call them; ``backward_hooks`` is always empty there.
"""

from __future__ import annotations

import copyreg
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..dtypes import FLOAT, dtype
from ..memory_formats import layout
from ..storage import TensorBase
from ..untyped_storage import TypedStorage, UntypedStorage
from .names import STORAGE_TYPE_OF

if TYPE_CHECKING:
    from ..tensor import Tensor

Reduced = tuple[Callable[..., Any], tuple[Any, ...]]


def reduce_tensor(tensor: Tensor, protocol: Any) -> Reduced:
    """What `Tensor.__reduce_ex__` returns: a function and its arguments, the first of which is the storage."""
    from ..nn.parameter import Buffer, Parameter
    from ..tensor import Tensor

    _warn_of_hooks(tensor)
    state = _python_state(tensor)
    if type(tensor) is Parameter:
        hooks: OrderedDict[Any, Any] = OrderedDict()
        if state:
            return rebuild_parameter_with_state, (tensor.data, tensor.requires_grad, hooks, state)
        return rebuild_parameter, (tensor.data, tensor.requires_grad, hooks)
    function, args = _reduce_plain(tensor)
    if type(tensor) is Tensor and not state:
        return function, args
    if type(tensor) is Buffer:
        # In PyTorch a Buffer is a Tensor with marks.
        return rebuild_from_type, (function, Tensor, args, {**state, "_is_buffer": True})
    return rebuild_from_type, (function, type(tensor), args, state)


def _reduce_plain(tensor: Tensor) -> Reduced:
    if tensor.device.type == "meta":
        return rebuild_meta_tensor, (tensor.dtype, tuple(tensor.size()), tensor.stride(), tensor.requires_grad)
    hooks: OrderedDict[Any, Any] = OrderedDict()
    rest = (tensor.storage_offset(), tuple(tensor.size()), tensor.stride(), tensor.requires_grad, hooks)
    storage = tensor.untyped_storage()
    if tensor.dtype in STORAGE_TYPE_OF:
        return rebuild_tensor_v2, (TypedStorage(storage, tensor.dtype), *rest)
    return rebuild_tensor_v3, (storage, *rest, tensor.dtype)


def _warn_of_hooks(tensor: Tensor) -> None:
    for hook in tensor.__dict__.get("_hooks", {}).values():
        if not getattr(hook, "__torch_unserializable__", False):
            import warnings

            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate "
                "the function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


def _python_state(tensor: Tensor) -> Any:
    """The attributes that the user gave the tensor or a subclass of it, in the form of `object.__getstate__`."""
    if type(tensor).__getstate__ is not object.__getstate__:
        return tensor.__getstate__()
    from ..tensor import _BOOKKEEPING

    state = {name: value for name, value in tensor.__dict__.items() if name not in _BOOKKEEPING}
    slots = {
        name: getattr(tensor, name)
        for name in copyreg._slotnames(type(tensor))  # type: ignore[attr-defined]
        if name not in TensorBase.__slots__ and hasattr(tensor, name)
    }
    return (state, slots) if slots else state


def reduce_layout(value: layout) -> Reduced:
    return find_layout, (repr(value),)


def find_layout(name: str) -> layout:
    """`torch.strided` and its kind, by their full name."""
    from .. import memory_formats

    found = getattr(memory_formats, name.removeprefix("torch."), None)
    if not isinstance(found, layout):
        raise KeyError(name)
    return found


def set_python_state(tensor: Any, state: Any) -> Any:
    dictionary, slots = state if isinstance(state, tuple) else (state, None)
    for attributes in (dictionary, slots):
        for name, value in (attributes or {}).items():
            setattr(tensor, name, value)
    return tensor


def reduce_storage(storage: UntypedStorage | TypedStorage) -> Reduced:
    """What a storage's `__reduce__` returns: a plain pickle holds it as the bytes of a file of its own."""
    import io

    from . import save

    file = io.BytesIO()
    save(storage, file, _use_new_zipfile_serialization=False)
    return load_from_bytes, (file.getvalue(),)


def load_from_bytes(data: bytes) -> Any:
    import io

    from . import load

    return load(io.BytesIO(data), weights_only=False)


def _build(storage: UntypedStorage, dtype: dtype, offset: int, size: Any, stride: Any, requires_grad: bool) -> Tensor:
    from ..tensor import tensor_from_storage

    size, stride = tuple(size), tuple(stride)
    if requires_grad and dtype.category < FLOAT:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    reach = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    if offset < 0 or min(stride, default=0) < 0 or reach * dtype.itemsize > storage.nbytes():
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {dtype.itemsize} "
            f"requiring a storage size of {reach * dtype.itemsize} are out of bounds for storage of size {storage.nbytes()}"
        )
    return tensor_from_storage(storage, dtype, offset, size, stride, requires_grad=requires_grad)


def rebuild_tensor(storage: TypedStorage, storage_offset: int, size: Any, stride: Any) -> Tensor:
    return _build(storage.untyped(), storage.dtype, storage_offset, size, stride, False)


def rebuild_tensor_v2(
    storage: TypedStorage,
    storage_offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: dict[str, bool] | None = None,
) -> Tensor:
    tensor = _build(storage.untyped(), storage.dtype, storage_offset, size, stride, requires_grad)
    return _apply_metadata(tensor, metadata)


def rebuild_tensor_v3(
    storage: UntypedStorage | TypedStorage,
    storage_offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    dtype: dtype,
    metadata: dict[str, bool] | None = None,
) -> Tensor:
    untyped = storage.untyped() if isinstance(storage, TypedStorage) else storage
    return _apply_metadata(_build(untyped, dtype, storage_offset, size, stride, requires_grad), metadata)


def _apply_metadata(tensor: Tensor, metadata: dict[str, bool] | None) -> Tensor:
    """PyTorch saves a lazily conjugated or negated tensor as its plain bytes and a note; here the values are computed."""
    from .. import ops

    for note in metadata or ():
        if note not in ("conj", "neg"):
            raise RuntimeError(f"Unexpected key `{note}` passed to setTensorMetadata")
        tensor = ops.conj_physical(tensor) if note == "conj" else ops.neg(tensor)
    return tensor


def rebuild_meta_tensor(dtype: dtype, size: Any, stride: Any, requires_grad: bool) -> Tensor:
    from .. import ops

    return ops.empty_strided(size, stride, dtype=dtype, device="meta", requires_grad=requires_grad)


def rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Tensor:
    from ..nn.parameter import Parameter

    return Parameter(data, requires_grad)


def rebuild_parameter_with_state(data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any) -> Tensor:
    return set_python_state(rebuild_parameter(data, requires_grad, backward_hooks), state)


def rebuild_from_type(
    function: Callable[..., Tensor], new_type: type[Tensor], args: tuple[Any, ...], state: Any
) -> Tensor:
    from ..tensor import as_class

    tensor = function(*args)
    if type(tensor) is not new_type:
        tensor = as_class(tensor, new_type)
    restore = getattr(tensor, "__setstate__", None)
    if restore is not None:
        restore(state)
        return tensor
    return set_python_state(tensor, state)
