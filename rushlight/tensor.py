"""The Tensor: PyTorch's class over our storages. A method that is an op is one line, in its family's block."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import autograd, devices, dtypes as dt, graph, memory_formats, ops, tape
from .graph import edge_of, grad_state, make_tensor, refresh_view
from .methods import Methods
from .ops.card import array_of, share
from .ops.define import NUMBERS
from .shape import Size, contiguous, layout as make_layout, wrap_dim
from .storage import ON_META, Storage, TensorBase
from .untyped_storage import TypedStorage, UntypedStorage, storage_handle

if TYPE_CHECKING:
    from .dtypes import dtype as dtype_


def _disabled_torch_function_impl(func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """The ``__torch_function__`` of a class that is not asked, and whose ops give ordinary Tensors."""
    from .overrides import DisableTorchFunctionSubclass

    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


class Tensor(Methods):
    """A multi-dimensional array of one dtype: a layout over a storage at an offset.

    >>> torch.tensor([[1., 2.], [3., 4.]]).T
    tensor([[1., 3.],
            [2., 4.]])
    """

    __slots__ = ()
    __array_priority__ = 1000
    _grad: Tensor | None = None

    def __new__(cls, *data: Any, device: Any = None) -> Any:
        if not data:
            found = ops.empty(0, device=device)
        elif len(data) == 1 and isinstance(data[0], TensorBase):
            found = ops.alias_view(data[0])  # type: ignore[arg-type]
        else:
            found = ops.legacy_tensor(data, dt.get_default_dtype(), device)
        return found if cls is Tensor else as_class(found, cls)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__torch_function__ is not _disabled_torch_function_impl:
            from .overrides import ask_first

            ask_first()

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a call with instances of the class gives: what it gives for ordinary tensors, as instances of the class (overrides.py)."""
        from .overrides import default

        return default(cls, func, types, args, kwargs)

    def as_subclass(self, cls: type) -> Any:
        """A view of the whole tensor as an instance of `cls`, a subclass of Tensor."""
        return as_class(ops.alias_view(self), cls)

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:  # noqa: PLW0211
        """The memory of `data` as a leaf of a subclass of Tensor."""
        return as_class(ops.detach(data), cls).requires_grad_(require_grad)

    # What a tensor is

    @property
    def shape(self) -> Size:
        return self._layout.size

    @property
    def dtype(self) -> dtype_:
        return self._layout.dtype

    @property
    def device(self) -> devices.device:
        return self._storage.device

    @property
    def layout(self) -> memory_formats.layout:
        return memory_formats.strided

    @property
    def ndim(self) -> int:
        return self._layout.ndim

    def dim(self) -> int:
        """The number of dims."""
        return self._layout.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dim."""
        if dim is None:
            return self._layout.size
        return self._layout.shape[wrap_dim(dim, self._layout.ndim, scalar_ok=False)] if self._layout.ndim else self._no_dim(dim)

    @staticmethod
    def _no_dim(dim: int) -> int:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dim."""
        if dim is None:
            return self._layout.stride
        return self._layout.stride[wrap_dim(dim, self._layout.ndim, scalar_ok=False)]

    def storage_offset(self) -> int:
        """Where the first element is in the storage, in elements."""
        return self._offset

    def numel(self) -> int:
        """The number of elements."""
        return self._layout.numel

    nelement = numel

    def element_size(self) -> int:
        """The bytes of one element."""
        return self._layout.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self._layout.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._layout.numel * self._layout.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        if self._storage.special == ON_META or not self._layout.numel:
            return 0
        return storage_handle(self._storage).data_ptr() + self._offset * self._layout.dtype.itemsize

    def untyped_storage(self) -> UntypedStorage:
        """The bytes that this tensor and its views share."""
        return storage_handle(self._storage)

    def storage(self) -> TypedStorage:
        """The storage as a sequence of elements of this dtype."""
        return TypedStorage(storage_handle(self._storage), self._layout.dtype)

    def get_device(self) -> int:
        """-1, the index of the CPU."""
        return -1

    is_cpu = property(lambda self: self._storage.special != ON_META)
    is_meta = property(lambda self: self._storage.special == ON_META)
    is_cuda = property(lambda self: False)
    is_mps = property(lambda self: False)
    is_xpu = property(lambda self: False)
    is_sparse = property(lambda self: False)
    is_sparse_csr = property(lambda self: False)
    is_quantized = property(lambda self: False)
    is_mkldnn = property(lambda self: False)
    is_ipu = property(lambda self: False)
    is_maia = property(lambda self: False)
    is_mtia = property(lambda self: False)
    is_vulkan = property(lambda self: False)
    is_xla = property(lambda self: False)
    is_nested = property(lambda self: False)
    names = property(lambda self: (None,) * self._layout.ndim)

    def is_floating_point(self) -> bool:
        return self._layout.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self._layout.dtype.is_complex

    def is_signed(self) -> bool:
        return self._layout.dtype.is_signed

    def is_inference(self) -> bool:
        return self._inference

    def is_shared(self) -> bool:
        """Whether the storage is in memory shared between processes."""
        from .multiprocessing.reductions import is_shared

        return is_shared(self._storage)

    def is_pinned(self, device: Any = None) -> bool:
        return False

    def pin_memory(self, device: Any = None) -> NoReturn:
        """Raises: there is no accelerator for which memory could be pinned."""
        raise RuntimeError(devices.NO_ACCELERATOR)

    def share_memory_(self) -> Tensor:
        """Move the storage to memory that other processes can share."""
        from .multiprocessing.reductions import share_storage

        share_storage(self._storage)
        return self

    def is_set_to(self, tensor: Tensor) -> bool:
        """Whether both are the same view of the same storage."""
        return self._storage is tensor._storage and self._offset == tensor._offset and self._layout is tensor._layout

    # Autograd

    @property
    def requires_grad(self) -> bool:
        return graph.requires_grad(self)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._layout.dtype.category < dt.FLOAT:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Have gradients computed for this tensor, or not."""
        if requires_grad and self._layout.dtype.category < dt.FLOAT:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self._node is not None and not requires_grad:
            raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().")
        if requires_grad and self._inference and not grad_state.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        refresh_view(self)
        return self._node is None

    @property
    def grad_fn(self) -> Any:
        if self._base is not None:
            refresh_view(self)
        return None if self._node is None else graph.shown(self._node)

    @property
    def output_nr(self) -> int:
        return self._output_nr

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self._node is not None and self._requires_grad and not self._retains_grad:
            import warnings

            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more informations.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._layout.dtype is not self._layout.dtype:
                raise RuntimeError(f"attempting to assign a gradient with dtype '{c_dtype_name(value)}' to a tensor with dtype '{c_dtype_name(self)}'. Please ensure that the gradient and the tensor have the same dtype")
            if value._layout.shape != self._layout.shape:
                raise RuntimeError(f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size '{list(self.shape)}'. Please ensure that the gradient and the tensor are the same size")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Accumulate gradients of this tensor into the ``.grad`` of the leaves it was computed from."""
        autograd.backward((self,), gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self) -> None:
        """Have ``.grad`` filled in for this tensor although it is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf or self._retains_grad:
            return
        tape.not_replayed("the gradient of a tensor that is no leaf is asked for")
        graph.retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        return self._retains_grad and self._node is not None

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook(grad)`` when this tensor's gradient is computed; a result replaces it."""
        from .utils.hooks import RemovableHandle

        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        tape.not_replayed("a hook is registered")
        edge = edge_of(self)
        if type(edge) is tuple:
            node, nr = edge
            if node.capture is None:
                node.capture = {}
            hooks = node.capture.setdefault(nr, {})
        else:
            hooks = self.__dict__.setdefault("_hooks", {})
            graph.AccumulateGrad.in_use = True
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Any:
        """Call ``hook(tensor)`` after a gradient has been added to ``.grad`` of this leaf."""
        from .utils.hooks import RemovableHandle

        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._node is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        tape.not_replayed("a hook is registered")
        hooks = self.__dict__.setdefault("_post_accumulate_hooks", {})
        graph.AccumulateGrad.in_use = True
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def detach_(self) -> Tensor:
        """Cut this tensor off from the graph, in place."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution.")
        self._node, self._requires_grad, self._output_nr = None, False, 0
        return self

    @property
    def data(self) -> Tensor:
        out = make_tensor(self._storage, self._offset, self._layout)
        out._tracks_version = False
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._storage, self._offset, self._layout = value._storage, value._offset, value._layout

    @property
    def _version(self) -> int:
        if self._inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._storage.version if self._tracks_version else self._own_version

    def _is_view(self) -> bool:
        return self._base is not None

    # Values, to Python and NumPy and back

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        if self._layout.numel != 1:
            raise RuntimeError(f"a Tensor with {self._layout.numel} elements cannot be converted to Scalar")
        if self._storage.special == ON_META:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        value = array_of(self).item()
        return value if type(value) in NUMBERS else float(value)  # of half precision: a NumPy scalar

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        array = array_of(self)
        return (array if array.dtype.kind in "biufc" else array.astype(np.float32)).tolist()

    numpy = ops.numpy_of

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Tensor:
        return ops.from_numpy(np.ascontiguousarray(array) if array.ndim else array.copy())

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return share(self).__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __bool__(self) -> bool:
        if self._layout.numel == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        if self._layout.numel > 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def _number(self) -> Any:
        if self._layout.numel != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        return float(self._real_number("double"))

    def __int__(self) -> int:
        return int(self._real_number("int64_t"))

    def _real_number(self, kind: str) -> Any:
        found = self._number()
        if type(found) is complex:
            if found.imag:
                raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
            return found.real
        return found

    __long__, __nonzero__ = __int__, __bool__

    def __complex__(self) -> complex:
        return complex(self._number())

    def __index__(self) -> int:
        if self._layout.numel != 1 or self._layout.dtype.category > dt.INTEGER:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self._layout.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._layout.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._layout.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self) -> Tensor:
        return self.flip(0) if self._layout.ndim else self

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (TensorBase, int, float, complex, bool)):
            return bool((self == element).any().item())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from .printing import tensor_repr

        return tensor_repr(self, tensor_contents)

    def __format__(self, spec: str) -> str:
        if self._layout.ndim == 0 and type(self) is Tensor and self._storage.special != ON_META:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001")
        if id(self) in memo:
            return memo[id(self)]
        import copy

        fresh = memo.get(id(self._storage))
        if fresh is None:
            if self._storage.special == ON_META:
                fresh = Storage(self._storage.nbytes, special=ON_META)
            else:
                data = tape.observe(self._storage).data
                assert data is not None
                fresh = Storage(self._storage.nbytes, data.copy())
            memo[id(self._storage)] = fresh
        out = make_tensor(fresh, self._offset, self._layout)
        out._requires_grad = self._requires_grad
        if type(self) is not Tensor:
            out = as_class(out, type(self))
        memo[id(self)] = out
        if self._grad is not None:
            out._grad = copy.deepcopy(self._grad, memo)
        for name, value in self.__dict__.items():
            if name not in _BOOKKEEPING:
                out.__dict__[name] = copy.deepcopy(value, memo)
        return out

    def __reduce_ex__(self, protocol: Any) -> Any:
        from .serialization import reduce_tensor

        return reduce_tensor(self, protocol)

    # Dtype, device, memory format

    def to(self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False, memory_format: Any = None) -> Tensor:
        """This tensor with another dtype or device (or those of a tensor), `self` if nothing changes."""
        flags = [a for a in args if isinstance(a, bool)]
        if flags:
            copy = flags[1] if len(flags) > 1 else copy
        for arg in args:
            if isinstance(arg, TensorBase):
                dtype, device = arg._layout.dtype, arg._storage.device
            elif isinstance(arg, dt.dtype):
                dtype = arg
            elif isinstance(arg, (str, devices.device)) or (isinstance(arg, int) and not isinstance(arg, bool)):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                raise TypeError(f"to() received an invalid combination of arguments - got ({type(arg).__name__}), but expected one of:\n * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)\n * (torch.dtype dtype, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)\n * (Tensor other, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)\n")
        here = self._layout
        target = here.dtype if dtype is None else dtype
        where = self._storage.device if device is None else devices.resolve(device)
        if where is not self._storage.device:
            if where is not devices.META:
                raise NotImplementedError("Cannot copy out of meta tensor; no data!")
            return ops.empty_like(self, dtype=target, device=where)
        wanted = None
        if memory_format is not None and memory_format is not memory_formats.preserve_format:
            wanted = memory_format.strides(here.shape)
            copy = copy or not self.is_contiguous(memory_format=memory_format)
        if target is here.dtype and not copy:
            return self
        return ops.to_copy(self, target, wanted)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the type (``torch.FloatTensor``), or this tensor as another type."""
        if dtype is None:
            return f"torch.{self._layout.dtype.type_name}Tensor"
        from .tensor_types import as_dtype

        return self.to(as_dtype(dtype))

    def type_as(self, other: Tensor) -> Tensor:
        """This tensor with the dtype of `other`."""
        return self.to(other._layout.dtype)

    def cpu(self, memory_format: Any = None) -> Tensor:
        """This tensor on the CPU."""
        return self.to(device="cpu", memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
        """Raises: there is no CUDA here."""
        raise AssertionError(devices.NO_CUDA)

    def set_(self, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
        """Make this tensor show the given storage, or what another tensor shows."""
        if source is None:
            source = ops.empty(0, dtype=self.dtype)
        if isinstance(source, TensorBase):
            self._storage, self._offset, self._layout = source._storage, source._offset, source._layout
            if size is None:
                return self
            storage = source._storage
        else:
            storage = source._storage if isinstance(source, UntypedStorage) else source._untyped._storage
        if size is None:
            size = (storage.nbytes // self.dtype.itemsize,)
        shape = tuple(size)
        self._storage, self._offset = storage, storage_offset
        self._layout = contiguous(shape, self.dtype) if stride is None else make_layout(shape, tuple(stride), self.dtype)
        return self

    def resize_(self, *size: Any, memory_format: Any = None) -> Tensor:
        """Give this tensor another shape in row-major order; the storage grows if it must."""
        from .ops.define import resize
        from .ops.views import sequence_argument

        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad")
        shape = sequence_argument("resize_", size, {}, "size")
        if any(n < 0 for n in shape):
            raise RuntimeError("numel: integer multiplication overflow")
        resize(self, shape)
        return self

    def resize_as_(self, tensor: Tensor, memory_format: Any = None) -> Tensor:
        """Give this tensor the shape of another."""
        return self.resize_(tensor._layout.shape)

    def resize(self, *size: Any) -> Tensor:
        """Deprecated: a view of another shape with as many elements."""
        warnings.warn("non-inplace resize is deprecated", stacklevel=2)
        return self.reshape(*size)

    def resize_as(self, tensor: Tensor) -> Tensor:
        """Deprecated: a view in the shape of another tensor."""
        return self.resize(tensor.shape)

    def dim_order(self) -> tuple[int, ...]:
        """The dims from outermost to innermost in memory."""
        stride = self._layout.stride
        return tuple(sorted(range(self._layout.ndim), key=lambda d: (-stride[d], d)))

    def apply_(self, function: Callable[[Any], Any]) -> Tensor:
        """Replace each element by ``function(element)``. Slow."""
        values = [function(v) for v in self.reshape(-1).tolist()]
        return self.copy_(ops.tensor(values, dtype=self.dtype).reshape(self.shape))

    def map_(self, tensor: Tensor, function: Callable[[Any, Any], Any]) -> Tensor:
        """Replace each element by ``function(element, other element)``. Slow."""
        pairs = zip(self.reshape(-1).tolist(), tensor.expand_as(self).reshape(-1).tolist(), strict=True)
        return self.copy_(ops.tensor([function(a, b) for a, b in pairs], dtype=self.dtype).reshape(self.shape))

    def map2_(self, x: Tensor, y: Tensor, function: Callable[[Any, Any, Any], Any]) -> Tensor:
        """Replace each element by ``function(element, that of x, that of y)``. Slow."""
        columns = [t.expand_as(self).reshape(-1).tolist() for t in (self, x, y)]
        return self.copy_(ops.tensor([function(*row) for row in zip(*columns, strict=True)], dtype=self.dtype).reshape(self.shape))

    def module_load(self, other: Tensor, assign: bool = False) -> Tensor:
        """What `load_state_dict` makes of this tensor and of the `other` that is to be loaded."""
        return other.detach() if assign else self.copy_(other).detach()

    def to_dense(self, dtype: Any = None, *, masked_grad: bool = True) -> Tensor:
        """This tensor: every tensor is dense here."""
        return self if dtype is None else self.to(dtype)

    def dense_dim(self) -> int:
        """How many dims are dense: all of them."""
        return self._layout.ndim

    def sparse_dim(self) -> int:
        """How many dims are sparse: none."""
        return 0



#: Entries of a tensor's `__dict__` that are the engine's, not the user's.
_BOOKKEEPING = frozenset(("_hooks", "_post_accumulate_hooks", "_accumulator", "_accumulator_with_hooks", "_output_nr", "_tracks_version", "_seen_version", "_own_version", "_view_kind", "_grad", "_inference", "_retains_grad", "_tangent"))

def as_class(tensor: Tensor, cls: type) -> Any:
    """A tensor that nobody else has, as an instance of `cls`."""
    out: Any = graph.new(cls)
    out._storage, out._offset, out._layout = tensor._storage, tensor._offset, tensor._layout
    out._node, out._requires_grad, out._base = tensor._node, tensor._requires_grad, tensor._base
    out.__dict__.update(tensor.__dict__)
    return out


def c_dtype_name(tensor: TensorBase) -> str:
    return tensor._layout.dtype.type_name.lower()


def tensor_from_storage(storage: UntypedStorage, dtype: dt.dtype, offset: Any, size: Any, stride: Any, requires_grad: Any = False) -> Tensor:
    """A tensor over a storage (`offset`, `size` and `stride` in elements)."""
    out = make_tensor(storage._storage, offset, make_layout(tuple(size), tuple(stride), dtype))
    return out.requires_grad_(True) if requires_grad else out


def is_tensor(obj: Any) -> Any:
    """Whether `obj` is a Tensor.

    >>> torch.is_tensor(torch.ones(1))
    True
    """
    return isinstance(obj, TensorBase)


graph.tensor_class.append(Tensor)
