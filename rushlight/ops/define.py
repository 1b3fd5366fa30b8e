"""Makes public functions from pointwise cards, and the in-place and ``out=`` forms of any function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, tape
from ..errors import sizes, type_name
from ..grad_mode import no_grad
from ..graph import CardNode, adopt_history, check_in_place, grad_state, requires_grad
from ..shape import Layout, contiguous
from ..storage import ON_META, Storage, TensorBase
from .card import Pointwise, apply, check_castable, check_overlap, write_into

if TYPE_CHECKING:
    from ..tensor import Tensor

#: A public function of a card. As an attribute of Tensor it is a method.
Function = Callable[..., "Tensor"]

NUMBERS = frozenset((bool, int, float, complex))

#: The pointwise card behind a public function, where the function is nothing but its card.
CARD_OF: dict[Callable[..., Any], Pointwise] = {}


#: The cards of two operands of which neither may be a number.
_TENSORS_ONLY: set[Pointwise] = set()
#: The cards that refuse to divide integers by zero.
_DIVIDING: set[Pointwise] = set()


def refuse_zero(input: Any, other: Any) -> None:
    """The error of dividing integers by the number 0."""
    if type(other) is int and other == 0 and input._layout.dtype.category == dt.INTEGER:
        raise RuntimeError("ZeroDivisionError")


def kernel_for(name: str, *, bools: str = "float", integers: str = "float", floats: bool = True, half: bool = True, complex: bool = True, output: str = "same") -> Callable[[dt.dtype], tuple[dt.dtype, dt.dtype]]:
    """The type rule of a function that PyTorch has for some dtypes, with PyTorch's error (it names the kernel) for others.

    bools, integers: "float" if they become the default dtype, "same" if they stay as they are, "none" if refused.
    output: "same" as computed in, "bool", or "real" (complex becomes real).
    """

    def rule(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        way = bools if common.category == dt.BOOL else integers if common.category == dt.INTEGER else "same"
        compute = dt.get_default_dtype() if way == "float" else common
        if way == "none" or (compute.category == dt.FLOAT and not floats) or (compute.is_complex and not complex) or (compute in dt.LOW_PRECISION and not half):
            raise NotImplementedError(f"\"{name}\" not implemented for '{common.type_name}'")
        return compute, dt.bool_ if output == "bool" else compute.to_real() if output == "real" else compute

    return rule


NOT_FLOAT = frozenset(d for d in dt.ALL if d.category != dt.FLOAT)
#: Those for which kernels without half precision are missing.
NOT_SINGLE = NOT_FLOAT | dt.LOW_PRECISION


def refuse_dtypes(kernel: str, dtype: dt.dtype, refused: frozenset[dt.dtype]) -> None:
    """PyTorch's error where a kernel (it is named) has no form for a dtype."""
    if dtype in refused:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")


#: The default of a `dim` that must be given, by this name or by NumPy's.
NO_DIM: Any = None
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def by_numpy_names(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call `function` again with NumPy's names for its arguments, in ``given["names"]``, replaced by its own."""
    names = given.pop("names")
    for name, value in names.items():
        own = _NUMPY_NAMES.get(name)
        if own not in given:
            raise TypeError(f"{function.__name__}() got an unexpected keyword argument '{name}'")
        given[own] = value
    return function(**given)


def as_leaf(tensor: Any, requires_grad: bool | None) -> Any:
    """A new tensor, as a leaf that has gradients if the factory was asked for one."""
    if requires_grad and tensor._layout.dtype.category < dt.FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return tensor.requires_grad_(True) if requires_grad else tensor


def as_tensor_argument(value: Any, function: str, name: str = "input", position: int = 1) -> Any:
    """`value` if it is a Tensor, else PyTorch's TypeError."""
    if isinstance(value, TensorBase):
        return value
    raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Tensor, not {type_name(value)}")


def check_tensors(function: str, **operands: Any) -> None:
    """Refuse the first of these operands, in their order, that is no tensor."""
    for position, (name, value) in enumerate(operands.items(), 1):
        as_tensor_argument(value, function, name, position)


def have_same_size(input: Any, target: Any) -> bool:
    """Whether two tensors have one shape; what is no tensor has no `size`."""
    try:
        return input._layout.shape == target._layout.shape  # type: ignore[no-any-return]
    except AttributeError:
        target.size(), input.size()  # noqa: B018
        raise


def as_operand(value: Any, function: str, name: str = "other", position: int = 2) -> Any:
    """A Tensor or an exact Python number, from anything that PyTorch takes for one."""
    if isinstance(value, TensorBase) or type(value) in NUMBERS:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | complex):
        exact: Any = next(kind for kind in (bool, int, float, complex) if isinstance(value, kind))
        return exact(value)
    raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Tensor, not {type(value).__name__}")


def wants_to_be_asked(value: Any) -> bool:
    """Whether a value that is no Tensor is the first with ``__torch_function__``: then the call is to be made again, by `call_again`."""
    if not hasattr(type(value), "__torch_function__"):
        return False
    from .. import overrides

    return overrides.ask_first()


def call_again(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that has only now begun to ask its arguments, with what it was given: not with its defaults."""
    import inspect

    parameters = inspect.signature(function).parameters
    given = [*args]
    for parameter in reversed([*parameters.values()][: len(given)]):
        if given[-1] is not parameter.default:
            break
        del given[-1]
    return function(*given, **{name: value for name, value in kwargs.items() if value is not parameters[name].default})


def either_operand(input: Any, other: Any, function: str) -> tuple[Any, Any]:
    """Two operands, each a Tensor or a number; one of two numbers becomes a 0-dim tensor."""
    if not isinstance(input, TensorBase):
        input = as_operand(input, function, "input", 1)
        if not isinstance(other, TensorBase):
            from .creation import scalar_tensor

            input = scalar_tensor(input, dtype=dt.of_number(type(input)))
    return input, other if isinstance(other, TensorBase) else as_operand(other, function)


def unary(name: str, numpy: Callable[..., Any], doc: str, *, result: Any = "same", grad: Callable[..., Any] | None = None, out_dtype: str = "cast", **rules: Any) -> Function:
    """The public function of a pointwise card of one operand. `grad` is ``rule(g, input or output)``.

    out_dtype: "cast" if ``out=`` may have any dtype that the result can be cast to, "same" if only the result's,
        "bool" if only bool, "none" if there is no ``out=``.
    """
    card = Pointwise(name, "input", numpy=numpy, result=result, grads={"input": grad} if grad else None, **rules)

    def op(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, TensorBase):
            if wants_to_be_asked(input):
                return call_again(op, input, out=out)
            as_tensor_argument(input, name)
        found = apply(card, (input,))
        if out is None:
            return found
        if out_dtype != "cast":
            _check_out_dtype(name, found, out, out_dtype)
        return write_out(out, found, input)

    def op_without_out(input: Tensor) -> Tensor:
        if not isinstance(input, TensorBase):
            if wants_to_be_asked(input):
                return call_again(op_without_out, input)
            as_tensor_argument(input, name)
        return apply(card, (input,))

    return _public(op_without_out if out_dtype == "none" else op, name, doc, card)


def _check_out_dtype(name: str, found: TensorBase, out: TensorBase, rule: str) -> None:
    have, want = out._layout.dtype, found._layout.dtype
    if rule == "same" and have is not want:
        raise RuntimeError(f"Found dtype {have.type_name} but expected {want.type_name}")
    if rule == "bool" and have is not dt.bool_:
        raise RuntimeError(f"{name} does not support non-boolean outputs.")


def binary(name: str, numpy: Callable[..., Any], doc: str, *, result: Any = "same", grad_input: Callable[..., Any] | None = None, grad_other: Callable[..., Any] | None = None, divides: bool = False, numbers: str = "other", second: str = "other", **rules: Any) -> Function:
    """The public function of a pointwise card of two operands.

    numbers: which operand may be a Python number: the "other", "either", or "none".
    second: PyTorch's name of the second operand, in errors.
    divides: whether it refuses to divide integers by zero. With a tensor it must run before the call returns.
    """
    grads = {key: rule for key, rule in (("input", grad_input), ("other", grad_other)) if rule}
    card = Pointwise(name, "input other", numpy=numpy, result=result, grads=grads, **rules)
    if numbers == "none":
        _TENSORS_ONLY.add(card)
    if divides:
        _DIVIDING.add(card)

    def op(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, TensorBase):
            if wants_to_be_asked(input):
                return call_again(op, input, other, out=out)
            if numbers != "either":
                as_tensor_argument(input, name)
            input, other = either_operand(input, other, name)
        if not isinstance(other, TensorBase) and (type(other) not in NUMBERS or numbers == "none"):
            if wants_to_be_asked(other):
                return call_again(op, input, other, out=out)
            other = as_operand(other, name, second) if numbers != "none" else as_tensor_argument(other, name, second, 2)
        if divides:
            refuse_zero(input, other)
        found = apply(card, (input, other))
        if divides and found._layout.dtype.category < dt.FLOAT and isinstance(other, TensorBase):
            tape.flush("check")
        return found if out is None else write_out(out, found, input, other)

    return _public(op, name, doc, card)


#: Where a function that is made here is found by its name, as pickle looks it up.
PUBLIC = "rushlight.ops"


def _public(op: Any, name: str, doc: str, card: Pointwise) -> Any:
    op.__name__ = op.__qualname__ = name
    op.__module__ = PUBLIC
    op.__doc__ = doc
    CARD_OF[op] = card
    return op


def alias(function: Callable[..., Any], name: str) -> Any:
    """Another public name of `function`, such as `torch.absolute` for `torch.abs`."""

    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    other.__name__ = other.__qualname__ = name
    other.__module__ = PUBLIC
    other.__doc__ = f"Alias of `{function.__name__}`."
    if function in CARD_OF:
        CARD_OF[other] = CARD_OF[function]
    return other


def inplace(function: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place method of a function: the same value, written to the first operand."""
    name = function.__name__ + "_"
    card = CARD_OF.get(function)

    if card is not None and len(card.operands) == 1:

        def method(self: Any) -> Any:
            return write_into(card, self, (self,))

    elif card is not None and len(card.operands) == 2 and not card.statics:

        def method(self: Any, other: Any) -> Any:  # type: ignore[misc]
            if not isinstance(other, TensorBase):
                if wants_to_be_asked(other):
                    return call_again(method, self, other)
                other = as_tensor_argument(other, name, "other", 1) if card in _TENSORS_ONLY else as_operand(other, name, "other", 1)
            if card in _DIVIDING:
                refuse_zero(self, other)
            return write_into(card, self, (self, other))

    else:

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            return assign(self, function, args, kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


def assign(self: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Compute ``function(self, ...)`` and copy it into `self`, with the checks of an in-place op first."""
    follows = grad_state.enabled and any(isinstance(a, TensorBase) and requires_grad(a) for a in (self, *args, *kwargs.values()))
    check_in_place(self, follows)
    # What is saved for the gradient must not be what is written.
    found = function(self.clone() if follows else self, *args, **kwargs)
    if found._layout.shape != self._layout.shape:
        raise RuntimeError(f"output with shape {sizes(self._layout.shape)} doesn't match the broadcast shape {sizes(found._layout.shape)}")
    check_castable(found._layout.dtype, self._layout.dtype)
    if found._node is None or self._base is not None or found._layout.dtype is not self._layout.dtype:
        return self.copy_(found)
    with no_grad():
        self.copy_(found)
    adopt_history(self, found)
    return self


#: The usual error where `out` must have the very dtype of the result.
EXACT = "Expected out tensor to have dtype {want_c}, but got {have_c} instead"


def write_out(out: Any, found: Any, *inputs: Any, disjoint: bool = False, exact: str | None = None) -> Any:
    """Write a result to the tensor(s) given as ``out=``, resizing them as PyTorch does.

    inputs: what `out` must not partly share memory with; nor share any when `disjoint`.
    exact: the error if `out` has another dtype than the result; without it whatever the result can be cast to will do.
    """
    if isinstance(found, tuple):
        if not isinstance(out, (tuple, list)):
            raise TypeError(f"argument 'out' must be tuple of Tensors, not {type(out).__name__}")
        if len(out) != len(found):
            raise TypeError(f"expected tuple of {len(found)} elements but got {len(out)}")
        for target, value in zip(out, found, strict=True):
            write_out(target, value, *inputs, disjoint=disjoint, exact=exact)
        return type(found)(*out) if hasattr(found, "_fields") else tuple(out)
    if not isinstance(out, TensorBase):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if grad_state.enabled and (out._requires_grad or found._requires_grad):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.")
    have, want = out._layout.dtype, found._layout.dtype
    if exact is not None and have is not want:
        raise RuntimeError(exact.format(have=have.type_name, want=want.type_name, have_c=dt.c_name(have), want_c=dt.c_name(want)))
    check_castable(want, have)
    check_overlap(out, inputs, disjoint)
    if out._layout.shape != found._layout.shape:
        if out._layout.numel:
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized since it had shape {sizes(out._layout.shape)}, which does not match the required output shape {sizes(found._layout.shape)}. "
                "This behavior is deprecated, and in a future PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                stacklevel=3,
            )
        resize(out, found._layout.shape)
    out.copy_(found)  # type: ignore[attr-defined]
    return out


def resize(tensor: Any, shape: tuple[int, ...]) -> None:
    """Give `tensor` this shape in row-major order over its storage, which grows if it must."""
    new: Layout = contiguous(shape, tensor._layout.dtype)
    storage: Storage = tensor._storage
    needed = (tensor._offset + new.extent) * new.dtype.itemsize
    if needed > storage.nbytes:
        if storage.special != ON_META:
            tape.observe(storage)
        storage.resize(needed)
    tensor._layout = new


def titled(found: Any, title: str) -> Any:
    """The result of a composite, whose node goes by the name that PyTorch's own op would give it."""
    if isinstance(found._node, CardNode):
        found._node.title = title
    return found


def with_out(function: Callable[..., Any]) -> Any:
    """Add ``out=`` to a public function that computes a fresh result."""

    @functools.wraps(function)
    def op(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return found if out is None else write_out(out, found, *args, *kwargs.values())

    return op
