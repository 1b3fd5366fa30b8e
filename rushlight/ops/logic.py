"""Logic, bits, tests of numbers, and comparisons of whole tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.emit import BITS
from ..engine.lowering import Loop
from ..engine.terms import FLOATS
from ..storage import ON_META, TensorBase
from .card import array_of
from .define import as_operand, as_tensor_argument, binary, kernel_for, unary

if TYPE_CHECKING:
    from ..tensor import Tensor


def _logical(name: str, ufunc: Any, meaning: str, values: str) -> Any:
    return binary(
        name, ufunc,
        f"""{meaning}, element by element; zero is false.

    >>> torch.{name}(torch.tensor([True, False]), torch.tensor([True, True]))
    tensor([{values}])
    """,
        result="bool", numbers="none",
        lowering=Loop(lambda k, input, other: k.apply(name.removeprefix("logical_"), k.convert(input, "i1"), k.convert(other, "i1"))),
    )  # fmt: skip


logical_and = _logical("logical_and", np.logical_and, "Whether both are true", " True, False")
logical_or = _logical("logical_or", np.logical_or, "Whether either is true", "True, True")
logical_xor = _logical("logical_xor", np.logical_xor, "Whether just one is true", "False,  True")
logical_not = unary(
    "logical_not", np.logical_not,
    """Whether each element is zero.

    >>> torch.logical_not(torch.tensor([0, 3]))
    tensor([ True, False])
    """,
    result="bool", lowering=Loop(lambda k, input: k.compare("eq", k.convert(input, "i1"), 0)),
)  # fmt: skip


def _integral(name: str, bools: str = "none") -> Callable[[dt.dtype], tuple[dt.dtype, dt.dtype]]:
    return kernel_for(name, bools=bools, integers="same", floats=False, complex=False)


def _bitwise(name: str, ufunc: Any, sign: str, value: int) -> Any:
    return binary(
        name, ufunc,
        f"""``input {sign} other`` on the bits of integers, or on bools.

    >>> torch.{name}(torch.tensor([6]), 3)
    tensor([{value}])
    """,
        result=_integral(f"{name}_cpu", bools="same"), numbers="either",
        lowering=Loop(lambda k, input, other: k.apply(name.removeprefix("bitwise_"), input, other)),
    )  # fmt: skip


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, "&", 2)
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, "|", 7)
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, "^", 5)
bitwise_not = unary(
    "bitwise_not", np.invert,
    """All bits flipped; `logical_not` of bools.

    >>> torch.bitwise_not(torch.tensor([0]))
    tensor([-1])
    """,
    result=_integral("bitwise_not_cpu", bools="same"), out_dtype="same",
    lowering=Loop(lambda k, input: k.apply("xor", input, 1 if input.type == "i1" else -1)),
)  # fmt: skip


def _shift(ufunc: Any, beyond: Callable[[Any], Any]) -> Callable[..., Any]:
    """A shift whose count may be negative or as large as the number of bits (`beyond` says what comes out then)."""

    def rule(a: Any, b: Any) -> Any:
        bits = np.result_type(a, b).itemsize * 8
        outside = np.less(b, 0) | np.greater_equal(b, bits)
        return np.where(outside, beyond(a), ufunc(a, np.where(outside, 0, b).astype(np.result_type(a, b))))

    return rule


def _shift_terms(k: Any, input: Any, count: Any, left: bool) -> Any:
    """A shift by any count, as in `_shift`."""
    bits = BITS[input.type]
    if left:
        outside = k.apply("or", count < 0, count >= bits)
        return k.select(outside, 0, k.apply("shl", input, k.select(outside, 0, count)))
    return k.apply("ashr", input, k.select(k.apply("or", count < 0, count >= bits), bits - 1, count))


bitwise_left_shift = binary(
    "bitwise_left_shift", _shift(np.left_shift, lambda a: 0 * a),
    """The bits moved up by `other` places.

    >>> torch.bitwise_left_shift(torch.tensor([1]), 3)
    tensor([8])
    """,
    result=_integral("lshift_cpu"), numbers="either", lowering=Loop(lambda k, input, other: _shift_terms(k, input, other, True)),
)  # fmt: skip
bitwise_right_shift = binary(
    "bitwise_right_shift", _shift(np.right_shift, lambda a: np.where(np.less(a, 0), -1, 0)),
    """The bits moved down by `other` places, keeping the sign.

    >>> torch.bitwise_right_shift(torch.tensor([8]), 3)
    tensor([1])
    """,
    result=_integral("rshift_cpu"), numbers="either", lowering=Loop(lambda k, input, other: _shift_terms(k, input, other, False)),
)  # fmt: skip

gcd = binary(
    "gcd", np.gcd,
    """The greatest common divisor of integers.

    >>> torch.gcd(torch.tensor([12]), torch.tensor([18]))
    tensor([6])
    """,
    result=_integral("gcd_cpu"), numbers="none",
)  # fmt: skip
lcm = binary(
    "lcm", np.lcm,
    """The least common multiple of integers.

    >>> torch.lcm(torch.tensor([4]), torch.tensor([6]))
    tensor([12])
    """,
    result=_integral("lcm_cpu"), numbers="none",
)  # fmt: skip


def _test(name: str, rule: Any, meaning: str, values: str, result: Any = "bool", out_dtype: str = "none", lowering: Loop | None = None) -> Any:
    return unary(
        name, rule,
        f"""Whether each element is {meaning}.

    >>> torch.{name}(torch.tensor([1., float("inf"), -float("inf"), float("nan")]))
    tensor([{values}])
    """,
        result=result, out_dtype=out_dtype, lowering=lowering,
    )  # fmt: skip


def _signed_infinity(name: str) -> Callable[[dt.dtype], tuple[dt.dtype, dt.dtype]]:
    def rule(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        if common.is_complex:
            raise RuntimeError(f"{name} does not support complex inputs.")
        return common, dt.bool_

    return rule


def _of_floats(terms: Callable[..., Any], otherwise: str) -> Loop:
    """The native form of a test that is true of all integers ("eq") or of none ("ne")."""
    return Loop(lambda k, input: terms(k, input) if input.type in FLOATS else k.compare(otherwise, input, input))


isfinite = _test(
    "isfinite", lambda x: np.isfinite(x), "neither infinite nor nan", " True, False, False, False",
    lowering=_of_floats(lambda k, input: k.abs(input) < math.inf, "eq"),
)  # fmt: skip
isinf = _test(
    "isinf", lambda x: np.isinf(x), "infinite", "False,  True,  True, False",
    lowering=_of_floats(lambda k, input: k.compare("eq", k.abs(input), math.inf), "ne"),
)  # fmt: skip
isposinf = _test(
    "isposinf", lambda x: x == np.inf, "positive infinity", "False,  True, False, False", _signed_infinity("isposinf"), "bool",
    lowering=_of_floats(lambda k, input: k.compare("eq", input, math.inf), "ne"),
)  # fmt: skip
isneginf = _test(
    "isneginf", lambda x: x == -np.inf, "negative infinity", "False, False,  True, False", _signed_infinity("isneginf"), "bool",
    lowering=_of_floats(lambda k, input: k.compare("eq", input, -math.inf), "ne"),
)  # fmt: skip
isreal = _test("isreal", lambda x: np.isreal(x) if x.dtype.kind == "c" else np.ones(x.shape, np.bool_), "real, its imaginary part 0", "True, True, True, True")


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``; equal infinities are close.

    >>> torch.isclose(torch.tensor([1., 2.]), torch.tensor([1., 3.]))
    tensor([ True, False])
    """
    a, b = as_tensor_argument(input, "isclose"), as_tensor_argument(other, "isclose", "other", 2)
    if a._layout.dtype is not b._layout.dtype:
        raise RuntimeError(f"{_c_name(a)} did not match {_c_name(b)}")
    if not rtol >= 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol}")
    if not atol >= 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol}")
    close = a == b
    floating = a._layout.dtype.category >= dt.FLOAT
    if equal_nan and floating:
        close = close | ((a != a) & (b != b))
    if rtol == 0 and atol == 0:
        return close
    if not floating:
        a, b = a.to(dt.get_default_dtype()), b.to(dt.get_default_dtype())
    error = (a - b).abs()
    return close | (error.isfinite() & (error <= atol + (rtol * b).abs()))


def _c_name(tensor: TensorBase) -> str:
    return tensor._layout.dtype.type_name


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`).

    >>> torch.allclose(torch.ones(2), torch.ones(2) + 1e-7)
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and values.

    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    as_tensor_argument(input, "equal")
    as_tensor_argument(other, "equal", "other", 2)
    if input._layout.shape != other._layout.shape:
        return False
    if ON_META in (input._storage.special, other._storage.special):
        raise NotImplementedError("equal on meta tensors needs their values")
    if input._layout.dtype is not other._layout.dtype:
        return bool((input == other).all())
    return bool(np.array_equal(array_of(input), array_of(other)))


def is_nonzero(input: Tensor) -> bool:
    """Whether a tensor of one element is not zero.

    >>> torch.is_nonzero(torch.tensor([1.]))
    True
    """
    if input._layout.numel != 1:
        raise RuntimeError("Boolean value of Tensor with " + ("no values" if not input._layout.numel else "more than one value") + " is ambiguous")
    return bool(array_of(input).reshape(-1)[0])


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape.

    >>> torch.is_same_size(torch.ones(2), torch.zeros(2))
    True
    """
    return input._layout.shape == other._layout.shape


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one.

    >>> torch.is_floating_point(torch.tensor(1.))
    True
    """
    return input._layout.dtype.is_floating_point


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has a sign.

    >>> torch.is_signed(torch.tensor(1))
    True
    """
    return input._layout.dtype.is_signed


def is_neg(input: Tensor) -> bool:
    """False: negation is never lazy here.

    >>> torch.is_neg(torch.tensor(1))
    False
    """
    return False


def numel(input: Tensor) -> int:
    """The number of elements.

    >>> torch.numel(torch.zeros(2, 3))
    6
    """
    return as_tensor_argument(input, "numel")._layout.numel


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode.

    >>> torch.is_inference(torch.ones(1))
    False
    """
    return as_tensor_argument(input, "is_inference")._inference


def get_device(input: Tensor) -> int:
    """-1, the index of the CPU.

    >>> torch.get_device(torch.ones(1))
    -1
    """
    return as_tensor_argument(input, "get_device").get_device()


def result_type(tensor1: Any, tensor2: Any) -> dt.dtype:
    """The dtype in which an op on these two (tensors or numbers) computes.

    >>> torch.result_type(torch.tensor([1, 2]), 1.5)
    torch.float32
    """
    types = dt.PromotionState()
    for n, value in enumerate((tensor1, tensor2), 1):
        value = as_operand(value, "result_type", f"tensor{n}", n)
        if isinstance(value, TensorBase):
            types.add_tensor(value._layout.dtype, value._layout.ndim)
        else:
            types.add_number(type(value))
    return types.result()


def can_cast(from_: dt.dtype, to: dt.dtype) -> bool:
    """Whether a result of dtype `from_` may be written to a tensor of dtype `to`: not to a lower category.

    >>> torch.can_cast(torch.int64, torch.float32), torch.can_cast(torch.float32, torch.int64)
    (True, False)
    """
    return from_.category <= to.category
