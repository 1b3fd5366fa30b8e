"""Addition to remainder: the arithmetic of two operands, and the copies and casts that everything rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, memory_formats, tape
from ..engine.lowering import Loop, Space, elementwise
from ..engine.terms import FLOATS
from ..graph import check_in_place, grad_state, requires_grad
from ..shape import Layout, can_broadcast_to, contiguous, layout, preserved_strides
from ..storage import TensorBase
from .card import Card, Pointwise, apply, check_overlap, write_into
from .define import (
    CARD_OF,
    NUMBERS,
    alias,
    as_operand,
    as_tensor_argument,
    binary,
    call_again,
    either_operand,
    kernel_for,
    refuse_zero,
    unary,
    wants_to_be_asked,
    write_out,
)
from .half_division import DIV_FLOOR_STEPWISE, FLOOR_STEPWISE, ROUNDED, TRUNC_STEPWISE, UNDERIVABLE, Division

if TYPE_CHECKING:
    from ..tensor import Tensor


def _no_bool_subtraction(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.category == dt.BOOL:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.")
    return common, common


def _check_subtraction(*operands: Any) -> None:
    """Refuse bools in a subtraction: all of them, or one of them, with PyTorch's two messages."""
    bools = [t._layout.dtype is dt.bool_ if isinstance(t, TensorBase) else type(t) is bool for t in operands]
    if any(bools) and not all(bools):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.")


_add = Pointwise(
    "add", "input other",
    numpy=np.add, lowering=Loop(lambda k, input, other: input + other),
    grads={"input": lambda g: g, "other": lambda g: g},
)  # fmt: skip
_add_scaled = Pointwise(
    "add_scaled", "input other alpha",
    numpy=lambda input, other, alpha: input + other * np.asarray(alpha).astype(input.dtype),
    unpromoted=(2,), lowering=Loop(lambda k, input, other, alpha: input + other * k.convert(alpha, input.type)),
    grads={"input": lambda g: g, "other": lambda g, alpha: g * alpha},
    node_name="AddBackward0",
)  # fmt: skip


_sub_scaled = Pointwise(
    "sub_scaled", "input other alpha",
    numpy=lambda input, other, alpha: input - other * np.asarray(alpha).astype(input.dtype),
    unpromoted=(2,), lowering=Loop(lambda k, input, other, alpha: input - other * k.convert(alpha, input.type)),
    grads={"input": lambda g: g, "other": lambda g, alpha: -g * alpha},
    node_name="SubBackward0",
)  # fmt: skip


def _check_alpha(input: Any, other: Any, alpha: Any) -> None:
    kinds = [t._layout.dtype.category if isinstance(t, TensorBase) else dt.of_number(t).category for t in (input, other)]
    if isinstance(alpha, bool) and max(kinds) != dt.BOOL:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and max(kinds) < dt.FLOAT:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and max(kinds) < dt.COMPLEX:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")


def _alpha_operand(input: Any, other: Any, alpha: Any, function: str) -> Any:
    """`alpha` as an operand: PyTorch rounds it where the tensors are in half precision."""
    alpha = as_operand(alpha, function, "alpha", 3)
    dtypes = {t._layout.dtype for t in (input, other) if isinstance(t, TensorBase)}
    if type(alpha) is float and len(dtypes) == 1 and dtypes <= dt.HALF:
        (low,) = dtypes
        with np.errstate(over="ignore"):
            return float(low.numpy.type(np.float32(alpha)))
    return alpha


_ONE = 1  # the default `alpha`: the same object, so that the common call looks no further


def add(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input + alpha * other``, with broadcasting and type promotion.

    >>> torch.add(torch.tensor([1., 2.]), 10, alpha=2)
    tensor([21., 22.])
    """
    if alpha is _ONE and out is None and isinstance(input, TensorBase) and isinstance(other, TensorBase):
        return apply(_add, (input, other))
    if not isinstance(input, TensorBase) or (type(other) not in NUMBERS and not isinstance(other, TensorBase)):
        if wants_to_be_asked(input) or wants_to_be_asked(other):
            return call_again(add, input, other, alpha=alpha, out=out)
        input, other = either_operand(input, other, "add")
    if type(alpha) is int and alpha == 1:
        found = apply(_add, (input, other))
    else:
        _check_alpha(input, other, alpha)
        found = apply(_add_scaled, (input, other, _alpha_operand(input, other, alpha, "add")))
    return found if out is None else write_out(out, found, input, other)


def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of `add`."""
    if type(other) not in NUMBERS and not isinstance(other, TensorBase):
        if wants_to_be_asked(other):
            return call_again(add_, self, other, alpha=alpha)
        other = as_operand(other, "add_")
    if type(alpha) is int and alpha == 1:
        return write_into(_add, self, (self, other))
    _check_alpha(self, other, alpha)
    return write_into(_add_scaled, self, (self, other, _alpha_operand(self, other, alpha, "add_")))


_sub = Pointwise(
    "sub", "input other",
    numpy=np.subtract, result=_no_bool_subtraction, lowering=Loop(lambda k, input, other: input - other),
    grads={"input": lambda g: g, "other": lambda g: -g},
)  # fmt: skip


def sub(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input - alpha * other``, with broadcasting and type promotion.

    >>> torch.sub(torch.tensor([1, 2]), 1)
    tensor([0, 1])
    """
    if not isinstance(input, TensorBase) or (type(other) not in NUMBERS and not isinstance(other, TensorBase)):
        if wants_to_be_asked(input) or wants_to_be_asked(other):
            return call_again(sub, input, other, alpha=alpha, out=out)
        input, other = either_operand(input, other, "sub")
    _check_subtraction(input, other)
    if type(alpha) is int and alpha == 1:
        found = apply(_sub, (input, other))
    else:
        _check_alpha(input, other, alpha)
        found = apply(_sub_scaled, (input, other, _alpha_operand(input, other, alpha, "sub")))
    return found if out is None else write_out(out, found, input, other)


def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of `sub`."""
    if type(other) not in NUMBERS and not isinstance(other, TensorBase):
        if wants_to_be_asked(other):
            return call_again(sub_, self, other, alpha=alpha)
        other = as_operand(other, "sub_")
    _check_subtraction(self, other)
    if type(alpha) is int and alpha == 1:
        return write_into(_sub, self, (self, other))
    _check_alpha(self, other, alpha)
    return write_into(_sub_scaled, self, (self, other, _alpha_operand(self, other, alpha, "sub_")))


_rsub = Pointwise(
    "rsub", "input other",
    numpy=lambda input, other: np.subtract(other, input), result=_no_bool_subtraction, overloads="010",
    lowering=Loop(lambda k, input, other: other - input),
    grads={"input": lambda g: -g, "other": lambda g: g},
)  # fmt: skip


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``.

    >>> torch.rsub(torch.tensor([1., 2.]), 3)
    tensor([2., 1.])
    """
    as_tensor_argument(input, "rsub")
    other = as_operand(other, "rsub")
    if type(alpha) is int and alpha == 1:
        _check_subtraction(input, other)
        return apply(_rsub, (input, other))
    return sub(other, input, alpha=alpha)


mul = binary(
    "mul", np.multiply,
    """``input * other``, with broadcasting and type promotion.

    >>> torch.mul(torch.tensor([1., 2.]), torch.tensor([[3.], [4.]]))
    tensor([[3., 6.],
            [4., 8.]])
    """,
    grad_input=lambda g, other: g * _conj(other),
    grad_other=lambda g, input: g * _conj(input),
    numbers="either", rounds_numbers=False, lowering=Loop(lambda k, input, other: input * other),
)  # fmt: skip


def _conj(value: Any) -> Any:
    """The conjugate of a tensor or a number; real ones as they are."""
    number = type(value) in NUMBERS
    return value.conj() if not number else value.conjugate() if type(value) is complex else value


_true_divide = Pointwise(
    "div", "input other",
    numpy=np.true_divide, result="float", rounds_numbers=False, lowering=Loop(lambda k, input, other: input / other),
    grads={
        "input": lambda g, other: g / _conj(other),
        "other": lambda g, input, other: -g * _conj((input / other) / other),
    },
)  # fmt: skip


def _floor_divide_rule(a: Any, b: Any) -> Any:
    if np.result_type(a, b).kind in "iub":
        if not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        return np.floor_divide(a, b)
    found = np.floor_divide(a, b)
    # By zero PyTorch gives a / b, where NumPy gives nan for some.
    return np.where(np.equal(b, 0), np.true_divide(a, b), found)


def _trunc_divide_rule(a: Any, b: Any) -> Any:
    if np.result_type(a, b).kind in "iub":
        if not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        quotient = np.floor_divide(a, b)
        return quotient + ((quotient < 0) & (quotient * b != a)).astype(quotient.dtype)
    return np.trunc(np.true_divide(a, b))


def _by_number(plan: Any) -> Space | None:
    """Where there is a native form: floats, and integers over a number, which the public function has checked for zero."""
    floats = plan.outs[0].dtype.category >= dt.FLOAT
    return elementwise(plan) if floats or not isinstance(plan.operands[1], Layout) else None


def _trunc_divide_terms(k: Any, input: Any, other: Any) -> Any:
    return k.apply("trunc", input / other) if input.type in FLOATS else k.apply("quotient", input, other)


def _remainder_terms(k: Any, input: Any, other: Any) -> Any:
    floats = input.type in FLOATS
    rest = k.apply("fmod" if floats else "rest", input, other)
    apart = k.compare("ne", k.select(other < 0, k.constant(1, "i8"), 0), k.select(rest < 0, k.constant(1, "i8"), 0))
    return k.select(k.apply("and", k.compare("ne", rest, 0), apart), rest + other, rest)


def _floor_divide_terms(k: Any, input: Any, other: Any) -> Any:
    if input.type not in FLOATS:
        found = k.apply("quotient", input, other)
        below = k.compare("ne", k.select(other < 0, k.constant(1, "i8"), 0), k.select(input < 0, k.constant(1, "i8"), 0))
        return k.select(k.apply("and", below, k.compare("ne", found * other, input)), found - 1, found)
    # As in Python: what is left is taken off first, so that the quotient is a whole number but for its rounding.
    rest = k.apply("fmod", input, other)
    quotient = (input - rest) / other
    apart = k.compare("ne", k.select(other < 0, k.constant(1, "i8"), 0), k.select(rest < 0, k.constant(1, "i8"), 0))
    quotient = k.select(k.apply("and", k.compare("ne", rest, 0), apart), quotient - 1, quotient)
    whole = k.apply("floor", quotient)
    whole = k.select(quotient - whole > 0.5, whole + 1, whole)
    plain = input / other
    whole = k.select(k.compare("eq", quotient, 0), k.apply("copysign", k.constant(0.0, input.type), plain), whole)
    return k.select(k.compare("eq", other, 0), plain, whole)


_div_floor, _floor_divide = (
    Division(
        name, "input other", stepwise=stepwise,
        numpy=_floor_divide_rule, result=kernel_for("div_floor_cpu", bools="none", integers="same", complex=False), rounds_numbers=False,
        lowering=Loop(_floor_divide_terms, _by_number), **gradient,
    )
    for name, stepwise, gradient in (("div_floor", DIV_FLOOR_STEPWISE, ROUNDED), ("floor_divide", FLOOR_STEPWISE, UNDERIVABLE))
)  # fmt: skip
_trunc_divide = Division(
    "trunc_divide", "input other", stepwise=TRUNC_STEPWISE,
    numpy=_trunc_divide_rule, result=kernel_for("div_trunc_cpu", bools="none", integers="same", complex=False), rounds_numbers=False,
    lowering=Loop(_trunc_divide_terms, _by_number), **ROUNDED,
)  # fmt: skip


def _division(rounding_mode: str | None) -> Pointwise:
    if rounding_mode is None:
        return _true_divide
    if rounding_mode == "floor":
        return _div_floor
    if rounding_mode == "trunc":
        return _trunc_divide
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def _check_now(found: Tensor, other: Any) -> Tensor:
    """Integer division raises on zero: run it before the call returns."""
    if found._layout.dtype.category < dt.FLOAT and isinstance(other, TensorBase):
        tape.flush("check")
    return found


def div(input: Tensor, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """``input / other``; `rounding_mode` "floor" or "trunc" rounds the quotient. Without it integers divide to floats.

    >>> torch.div(torch.tensor([-7, 7]), 2), torch.div(torch.tensor([-7, 7]), 2, rounding_mode="trunc")
    (tensor([-3.5000,  3.5000]), tensor([-3,  3]))
    """
    if not isinstance(input, TensorBase) or (type(other) not in NUMBERS and not isinstance(other, TensorBase)):
        if wants_to_be_asked(input) or wants_to_be_asked(other):
            return call_again(div, input, other, rounding_mode=rounding_mode, out=out)
        input, other = either_operand(input, other, "div")
    if rounding_mode is not None:
        refuse_zero(input, other)
    found = _check_now(apply(_division(rounding_mode), (input, other)), other)
    return found if out is None else write_out(out, found, input, other)


def div_(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """In-place version of `div`."""
    card, other = _division(rounding_mode), as_operand(other, "div_")
    if rounding_mode is not None:
        refuse_zero(self, other)
    return _check_now(write_into(card, self, (self, other)), other)


def floor_divide(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``input // other``, rounded down. Integers divided by zero raise.

    >>> torch.floor_divide(torch.tensor([-7., 7.]), 2)
    tensor([-4.,  3.])
    """
    if not isinstance(input, TensorBase) or (type(other) not in NUMBERS and not isinstance(other, TensorBase)):
        if wants_to_be_asked(input) or wants_to_be_asked(other):
            return call_again(floor_divide, input, other, out=out)
        input, other = either_operand(input, other, "floor_divide")
    refuse_zero(input, other)
    found = _check_now(apply(_floor_divide, (input, other)), other)
    return found if out is None else write_out(out, found, input, other)


def floor_divide_(self: Tensor, other: Any) -> Tensor:
    """In-place version of `floor_divide`."""
    other = as_operand(other, "floor_divide_")
    refuse_zero(self, other)
    return _check_now(write_into(_floor_divide, self, (self, other)), other)


def _remainder_rule(a: Any, b: Any) -> Any:
    if np.result_type(a, b).kind in "iub" and not np.all(b):
        raise RuntimeError("ZeroDivisionError")
    if np.result_type(a, b).kind in "iu":
        return np.remainder(a, b)
    rest = np.fmod(a, b)  # unlike NumPy's, PyTorch's zero has the sign of `a`
    return np.where((rest != 0) & ((np.less(b, 0)) != (rest < 0)), rest + b, rest)


def _fmod_rule(a: Any, b: Any) -> Any:
    if np.result_type(a, b).kind in "iub" and not np.all(b):
        raise RuntimeError("ZeroDivisionError")
    return np.fmod(a, b)


remainder = binary(
    "remainder", _remainder_rule,
    """The remainder of ``input / other`` with the sign of `other`. Integers modulo zero raise.

    >>> torch.remainder(torch.tensor([-3., 3.]), 2)
    tensor([1., 1.])
    """,
    result=kernel_for("remainder_cpu", bools="none", integers="same", complex=False), overloads="100", divides=True, numbers="either",
    grad_input=lambda g: g,
    grad_other=lambda g, input, other: -g * div(input, other, rounding_mode="floor"),
    lowering=Loop(_remainder_terms, _by_number),
)  # fmt: skip
fmod = binary(
    "fmod", _fmod_rule,
    """The remainder of ``input / other`` with the sign of `input`. Integers modulo zero raise.

    >>> torch.fmod(torch.tensor([-3., 3.]), 2)
    tensor([-1.,  1.])
    """,
    result=kernel_for("fmod_cpu", bools="none", integers="same", complex=False), overloads="100", divides=True,
    grad_input=lambda g: g,
    grad_other=lambda g, input, other: -g * div(input, other, rounding_mode="trunc"),
    lowering=Loop(lambda k, input, other: k.apply("fmod" if input.type in FLOATS else "rest", input, other), _by_number),
)  # fmt: skip

neg = unary(
    "neg", np.negative,
    """``-input``. Bool tensors are refused.

    >>> torch.neg(torch.tensor([1, -2]))
    tensor([-1,  2])
    """,
    result=lambda common: _refuse_bool_negation(common), grad=lambda g: -g, out_dtype="same", lowering=Loop(lambda k, input: -input),
)  # fmt: skip


def _refuse_bool_negation(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    if common.category == dt.BOOL:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.")
    return common, common


class _CopyInto(Pointwise):
    """`copy_`: unlike other in-place ops it casts to any dtype."""

    def plan(self, operands: Any, static: Any, target: Any) -> Any:
        found = super().plan(operands, static, None)
        found.outs = (target,)
        return found


_copy_into = _CopyInto("copy_into", "src", numpy=lambda src: src, lowering=Loop(lambda k, src: src), grads={"src": lambda g: g}, node_name="CopyBackwards")
_to_copy = Card(
    "to_copy", "input",
    statics="dtype stride",
    infer=lambda input, dtype, stride: layout(input.shape, stride, dtype),
    numpy=lambda input, dtype, stride: input.astype(dtype.numpy),
    lowering=Loop(lambda k, input, dtype, stride: input),
    grads={"input": lambda g: g},
)  # fmt: skip


def to_copy(input: Tensor, dtype: dt.dtype, stride: tuple[int, ...] | None = None) -> Tensor:
    """A fresh tensor with the values of `input` as `dtype`, in its own order of dims or with the given strides."""
    kept = input._layout
    return apply(_to_copy, (input,), (dtype, preserved_strides(kept.shape, kept.stride) if stride is None else stride))


_clone_strided = Card(
    "clone_strided", "input",
    statics="dtype stride",
    infer=_to_copy.infer,
    numpy=_to_copy.numpy, lowering=_to_copy.lowering,
    grads={"input": lambda g: g},
    node_name="CloneBackward0",
)  # fmt: skip
_clone = Pointwise("clone", "input", numpy=lambda input: input, lowering=Loop(lambda k, input: input), grads={"input": lambda g: g})


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy of `input` with its strides, or in the given memory format. Gradients flow to `input`.

    >>> torch.clone(torch.tensor([1, 2]))
    tensor([1, 2])
    """
    kept = input._layout
    if memory_format is not None and memory_format is not memory_formats.preserve_format:
        return apply(_clone_strided, (input,), (kept.dtype, memory_format.strides(kept.shape)))
    if not kept.dense or (kept.contiguous and kept is not contiguous(kept.shape, kept.dtype)):
        return apply(_clone_strided, (input,), (kept.dtype, preserved_strides(kept.shape, kept.stride)))
    return apply(_clone, (input,))


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write `src`, broadcast and cast, into `self`.

    >>> torch.zeros(2).copy_(torch.tensor([1, 2]))
    tensor([1., 2.])
    """
    if not isinstance(src, TensorBase):
        as_tensor_argument(src, "copy_", "other")
    if src._layout.shape != self._layout.shape and not can_broadcast_to(src._layout.shape, self._layout.shape):
        mismatch = next(
            (d for d in range(1, 1 + min(src._layout.ndim, self._layout.ndim)) if src._layout.shape[-d] not in (1, self._layout.shape[-d])), None
        )
        if mismatch is None:
            raise RuntimeError(f"output with shape {list(self._layout.shape)} doesn't match the broadcast shape {list(src._layout.shape)}")
        raise RuntimeError(
            f"The size of tensor a ({self._layout.shape[-mismatch]}) must match the size of tensor b ({src._layout.shape[-mismatch]}) at non-singleton dimension {self._layout.ndim - mismatch}"
        )
    if src is self:
        check_in_place(self, False)
        return self
    if src._layout.shape != self._layout.shape:
        if src._storage is self._storage:
            check_in_place(self, grad_state.enabled and requires_grad(src))
            check_overlap(self, (src,))
        src = src.expand(self._layout.shape)
    if src._layout.dtype.is_complex and not self._layout.dtype.is_complex:
        src = src.real
    return write_into(_copy_into, self, (src,))


CARD_OF[add] = _add
CARD_OF[sub] = _sub
CARD_OF[div] = _true_divide
CARD_OF[floor_divide] = _floor_divide
multiply, negative = alias(mul, "multiply"), alias(neg, "negative")
subtract, subtract_ = alias(sub, "subtract"), alias(sub_, "subtract_")
divide, divide_ = alias(div, "divide"), alias(div_, "divide_")


def true_divide(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``input / other``; integers divide to floats.

    >>> torch.true_divide(torch.tensor([1, 3]), 2)
    tensor([0.5000, 1.5000])
    """
    return div(input, other, out=out)


CARD_OF[true_divide] = _true_divide
