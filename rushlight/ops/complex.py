"""Complex numbers: conjugates, parts, and views between complex and real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine.lowering import Loop
from ..shape import Layout, layout
from .card import Pointwise, View, apply, apply_view
from .define import CARD_OF, as_tensor_argument, titled, unary, write_out

if TYPE_CHECKING:
    from ..tensor import Tensor

_conj_physical = unary(
    "conj_physical", np.conjugate,
    "The card of the function below.",
    grad=lambda g: g.conj(), out_dtype="same",
)  # fmt: skip


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate, computed; a real tensor as it is.

    >>> torch.conj_physical(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    as_tensor_argument(input, "conj_physical")
    return input if out is None and not input._layout.dtype.is_complex else _conj_physical(input, out=out)


CARD_OF[conj_physical] = CARD_OF[_conj_physical]


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor as it is.

    >>> torch.conj(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    as_tensor_argument(input, "conj")
    return titled(conj_physical(input), "ConjBackward0") if input._layout.dtype.is_complex else input


def resolve_conj(input: Tensor) -> Tensor:
    """`input`: conjugation is never lazy here.

    >>> torch.resolve_conj(torch.tensor([1j]))
    tensor([0.+1.j])
    """
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """`input`: negation is never lazy here.

    >>> torch.resolve_neg(torch.tensor([1]))
    tensor([1])
    """
    return input


_view_as_real = View(
    "view_as_real",
    geometry=lambda input: (layout((*input.shape, 2), (*(2 * s for s in input.stride), 1), input.dtype.to_real()), 0),
    grads={"input": lambda g: view_as_complex(g.contiguous())},
)
_view_as_complex = View(
    "view_as_complex",
    geometry=lambda input: (layout(input.shape[:-1], tuple(s // 2 for s in input.stride[:-1]), input.dtype.to_complex()), 0),
    grads={"input": lambda g: view_as_real(g)},
)


def view_as_real(input: Tensor) -> Tensor:
    """A view of a complex tensor as pairs of real numbers in a last dim of size two.

    >>> torch.view_as_real(torch.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not input._layout.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    out = apply_view(_view_as_real, input)
    out._offset = input._offset * 2
    return out


@autocasts(SINGLE)
def view_as_complex(input: Tensor) -> Tensor:
    """A view of pairs of real numbers, in a last dim of size two, as complex numbers.

    >>> torch.view_as_complex(torch.tensor([[1., 2.]]))
    tensor([1.+2.j])
    """
    as_tensor_argument(input, "view_as_complex")
    here: Layout = input._layout
    if here.dtype.category != dt.FLOAT or here.dtype in dt.LOW_PRECISION:
        raise RuntimeError(f"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {here.dtype.type_name}")
    if not here.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if here.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if here.stride[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in here.stride[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input._offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    out = apply_view(_view_as_complex, input)
    out._offset = input._offset // 2
    return out


def real(input: Tensor) -> Tensor:
    """The real part, as a view; a real tensor as it is.

    >>> torch.real(torch.tensor([1 + 2j]))
    tensor([1.])
    """
    as_tensor_argument(input, "real")
    return view_as_real(input).select(-1, 0) if input._layout.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part of a complex tensor, as a view.

    >>> torch.imag(torch.tensor([1 + 2j]))
    tensor([2.])
    """
    if not input._layout.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return view_as_real(input).select(-1, 1)


def _complex_dtypes(common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
    return common, common.to_complex()


def _join(real: Any, imag: Any) -> np.ndarray:
    out = np.empty(np.broadcast_shapes(np.shape(real), np.shape(imag)), np.result_type(real, np.complex64))
    out.real, out.imag = real, imag
    return out


def _check_parts(function: str, first: Any, second: Any, out: Any) -> None:
    """Refuse what are not two real float tensors of one dtype, or an `out` that is not complex of their precision."""
    names = ("real", "imag") if function == "complex" else ("abs", "angle")
    a = as_tensor_argument(first, function, names[0])._layout.dtype
    b = as_tensor_argument(second, function, names[1], 2)._layout.dtype
    if any(d.category != dt.FLOAT or d is dt.bfloat16 for d in (a, b)):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {a.type_name} and {b.type_name}")
    if a is not b:
        raise RuntimeError(f"Expected object of scalar type {a.type_name} but got scalar type {b.type_name} for second argument")
    if a is dt.float16:
        raise NotImplementedError("\"polar_cpu\" not implemented for 'Half'") if function == "polar" else TypeError("Got unsupported ScalarType ComplexHalf")
    if out is not None and out._layout.dtype is not a.to_complex():
        raise RuntimeError(f"Expected object of scalar type {a.to_complex().type_name} but got scalar type {out._layout.dtype.type_name} for argument 'out'")


_complex = Pointwise(
    "complex", "real imag",
    numpy=_join, result=_complex_dtypes,
    grads={"real": lambda g: g.real, "imag": lambda g: g.imag},
)  # fmt: skip


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers from their real and imaginary parts.

    >>> torch.complex(torch.tensor([1.]), torch.tensor([2.]))
    tensor([1.+2.j])
    """
    _check_parts("complex", real, imag, out)
    found = apply(_complex, (real, imag))
    return found if out is None else write_out(out, found, real, imag)


_polar = Pointwise(
    "polar", "abs angle",
    numpy=lambda abs, angle: _join(abs * np.cos(angle), abs * np.sin(angle)), result=_complex_dtypes,
    grads={
        "abs": lambda g, output: (g * output.sgn().conj()).real,
        "angle": lambda g, output: (g * (output * 1j).conj()).real,
    },
)  # fmt: skip


@autocasts(SINGLE)
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers from their modulus and angle.

    >>> torch.polar(torch.tensor([2.]), torch.tensor([0.]))
    tensor([2.+0.j])
    """
    _check_parts("polar", abs, angle, out)
    found = apply(_polar, (abs, angle))
    return found if out is None else write_out(out, found, abs, angle)


def sign_rule(x: np.ndarray) -> np.ndarray:
    """-1, 0 or 1; the sign of nan is 0."""
    if x.dtype.kind == "b":
        return x.copy()
    return np.where(x != x, x.dtype.type(0), np.sign(x)) if x.dtype.kind == "f" else np.sign(x)


def sign_terms(k: Any, input: Any) -> Any:
    if input.type == "i1":
        return input
    return k.convert(input > 0, input.type) - k.convert(input < 0, input.type)


def _sgn_rule(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind != "c":
        return sign_rule(x)
    modulus = np.abs(x)
    return np.where(modulus == 0, 0, x / np.where(modulus == 0, 1, modulus))


def _sgn_grad(g: Tensor, input: Tensor) -> Tensor:
    if not input.is_complex():
        return g * 0
    modulus = input.abs()
    unit = input.sgn()
    return ((g - unit * (g * unit.conj()).real) / modulus).masked_fill(modulus == 0, 0)


sgn = unary(
    "sgn", _sgn_rule,
    """The sign of real numbers, the direction ``input / |input|`` of complex ones.

    >>> torch.sgn(torch.tensor([-2., 0., 3.]))
    tensor([-1.,  0.,  1.])
    """,
    grad=_sgn_grad, out_dtype="same", lowering=Loop(lambda k, input: sign_terms(k, input)),
)  # fmt: skip


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex.

    >>> torch.is_complex(torch.tensor(1j))
    True
    """
    return input._layout.dtype.is_complex


def is_conj(input: Tensor) -> bool:
    """False: conjugation is never lazy here.

    >>> torch.is_conj(torch.tensor(1j))
    False
    """
    return False
