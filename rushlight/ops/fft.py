"""Discrete Fourier transforms, over NumPy's.

Three cards do everything: complex to complex, real to the first half of a complex result, and such a half to real.
Each is linear, so its gradient is its adjoint: the transform the other way with the other scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine import fourier as native
from ..engine.lowering import Calls
from ..shape import Layout, Shape, layout, strides_in_order, wrap_dim
from .card import Card, apply
from .creation import arange
from .define import as_tensor_argument, write_out
from .padding import pad

if TYPE_CHECKING:
    from ..tensor import Tensor

#: The scaling with which a transform's adjoint is the transform the other way.
_ADJOINT = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _resized(shape: Shape, dim: int, size: int) -> Shape:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _infer(input: Layout, dims: Shape, dtype: dt.dtype, size: int | None = None, keep_last: bool = False) -> Layout:
    """The result has the transformed dims innermost, as PyTorch's, and the last of them `size` long."""
    batch = [d for d in range(input.ndim) if d not in dims]
    order = sorted(batch, key=lambda d: -input.stride[d])
    movable, fixed = (dims[:-1], dims[-1:]) if keep_last else (dims, ())
    order += [*sorted(movable, key=lambda d: -input.stride[d]), *fixed]
    shape = input.shape if size is None else _resized(input.shape, dims[-1], size)
    return layout(shape, strides_in_order(shape, order[::-1]), dtype)


def _c2c_rule(input: np.ndarray, dims: Shape, norm: Any, forward: bool) -> np.ndarray:
    transform = np.fft.fftn if forward else np.fft.ifftn
    return transform(input, axes=dims, norm=norm) if input.size else input


_c2c: Card = Card(
    "fft_c2c", "input", node_name="FftC2CBackward0",
    statics="dims norm forward",
    infer=lambda input, dims, norm, forward: _infer(input, dims, input.dtype),
    numpy=_c2c_rule, lowering=Calls(native.complex_to_complex, complex=True),
    grads={"input": lambda g, dims, norm, forward: apply(_c2c, (g,), (dims, _ADJOINT[norm], not forward))},
)  # fmt: skip


def _weights(half: int, size: int, middle: float, like: np.ndarray, dim: int) -> np.ndarray:
    """1 for the first element of a half transform and for the middle one of an even size, `middle` for those that have a conjugate."""
    weights = np.full([half if d == dim else 1 for d in range(like.ndim)], middle, like.real.dtype)
    weights[(slice(None),) * dim + ([0, half - 1] if size % 2 == 0 else 0,)] = 1
    return weights


def _r2c_rule(input: np.ndarray, dims: Shape, norm: Any, doubled: bool) -> np.ndarray:
    found = np.fft.rfftn(input, axes=dims, norm=norm)
    last = dims[-1]
    return found * _weights(found.shape[last], input.shape[last], 2, found, last) if doubled else found


def _c2r_rule(input: np.ndarray, dims: Shape, norm: Any, size: int, doubled: bool) -> np.ndarray:
    last = dims[-1]
    if not doubled:
        input = input * _weights(input.shape[last], size, 0.5, input, last)
    return np.fft.irfftn(input, [*(input.shape[d] for d in dims[:-1]), size], axes=dims, norm=norm)


# An element of half a transform stands for its conjugate too, in a sum over all. The adjoint of taking the half is the sum over it alone, and the
# adjoint of the sum over all a half whose elements count twice: `doubled` says which of each pair it is.
_r2c: Card = Card(
    "fft_r2c", "input", node_name="FftR2CBackward0",
    statics="dims norm doubled",
    infer=lambda input, dims, norm, doubled: _infer(input, dims, input.dtype.to_complex(), input.shape[dims[-1]] // 2 + 1, True),
    numpy=_r2c_rule, lowering=Calls(native.real_to_half, complex=True),
    grads={"input": lambda g, layouts, dims, norm, doubled: apply(_c2r, (g,), (dims, _ADJOINT[norm], layouts[0].shape[dims[-1]], doubled))},
)  # fmt: skip
_c2r: Card = Card(
    "fft_c2r", "input", node_name="FftC2RBackward0",
    statics="dims norm size doubled",
    infer=lambda input, dims, norm, size, doubled: _infer(input, dims, input.dtype.to_real(), size, True),
    numpy=_c2r_rule, lowering=Calls(native.half_to_real, complex=True),
    grads={"input": lambda g, dims, norm, doubled: apply(_r2c, (g,), (dims, _ADJOINT[norm], doubled))},
)  # fmt: skip


# Arguments


def _norm_of(norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in _ADJOINT:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _as_float(input: Tensor) -> Tensor:
    dtype = input._layout.dtype
    if dtype in dt.LOW_PRECISION:
        raise RuntimeError(f"Unsupported dtype {dtype.type_name}")
    return input if dtype.category >= dt.FLOAT else input.to(dt.get_default_dtype())


def _as_complex(input: Tensor) -> Tensor:
    input = _as_float(input)
    return input.to(input._layout.dtype.to_complex())


def _as_real(function: str, input: Tensor) -> Tensor:
    if input._layout.dtype.is_complex:
        names = {"rfftn": f"rfftn expects a real-valued input tensor, but got {input._layout.dtype.type_name}", "ihfftn": f"Only supports floating-point dtypes, but found: {input._layout.dtype.type_name}"}
        raise RuntimeError(names.get(function, f"{function} expects a real input tensor, but got {input._layout.dtype.type_name}"))
    return _as_float(input)


def _check_points(size: int) -> None:
    if size < 1:
        raise RuntimeError(f"Invalid number of data points ({size}) specified")


def _to_size(input: Tensor, dims: Shape, lengths: Sequence[int]) -> Tensor:
    """`input` cut, or padded with zeros at the end, to these lengths."""
    padding = [0, 0] * input._layout.ndim
    for dim, length in zip(dims, lengths, strict=True):
        have = input._layout.shape[dim]
        if length < have:
            input = input.narrow(dim, 0, length)
        else:
            padding[2 * (input._layout.ndim - 1 - dim) + 1] = length - have
    return pad(input, padding) if any(padding) else input


def _dims_and_lengths(input: Tensor, s: Sequence[int] | None, dim: Any) -> tuple[Shape, list[int]]:
    """The dims to transform and their lengths; -1 keeps a length."""
    here = input._layout
    if isinstance(s, int):
        s = (s,)
    if dim is None:
        if s is not None and len(s) > here.ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {here.ndim} dimensions.")
        dims = tuple(range(0 if s is None else here.ndim - len(s), here.ndim))
    else:
        dims = tuple(_one_dim(input, d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
        if len(set(dims)) < len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    lengths = [here.shape[d] for d in dims] if s is None else [here.shape[d] if n == -1 else n for d, n in zip(dims, s, strict=True)]
    return dims, lengths


def _one_dim(input: Tensor, dim: int) -> int:
    ndim = input._layout.ndim
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, ndim)


# Transforms of one dim or several. Those of several dims work on `dim` (by default all of them, or the last ``len(s)``),
# cut or padded to the lengths `s`.


def _whole(input: Tensor, dims: Shape, lengths: Sequence[int], norm: str | None, forward: bool, out: Tensor | None) -> Tensor:
    """Complex to complex."""
    scaling = _norm_of(norm)
    for length in lengths:
        _check_points(length)
    input = _to_size(_as_complex(input), dims, lengths)
    found = apply(_c2c, (input,), (dims, scaling, forward)) if dims else input.clone()
    return found if out is None else write_out(out, found)


def _halved(function: str, input: Tensor, dims: Shape, lengths: Sequence[int], norm: str) -> Tensor:
    """Real to the half of its transform that the rest follows from."""
    input = _as_real(function, input)
    if not dims:
        raise RuntimeError(f"{function} must transform at least one axis")
    for length in lengths:
        _check_points(length)
    return apply(_r2c, (_to_size(input, dims, lengths),), (dims, norm, False))


def _restored(function: str, input: Tensor, dims: Shape, lengths: Sequence[int], keeps_last: bool) -> tuple[Tensor, int]:
    """The half of a transform, cut or padded, and the length of the real result in the last dim."""
    if not dims:
        raise RuntimeError(f"{function} must transform at least one axis")
    size = lengths[-1] if keeps_last else 2 * (input._layout.shape[dims[-1]] - 1)
    for length in (*lengths[:-1], size):
        _check_points(length)
    return _to_size(_as_complex(input), dims, [*lengths[:-1], size // 2 + 1]), size


def _gives_last(s: Any) -> bool:
    return s is not None and (s if isinstance(s, int) else s[-1]) != -1


def _one_length(input: Tensor, n: int | None, dim: int) -> tuple[Shape, list[int]]:
    d = _one_dim(input, dim)
    return (d,), [input._layout.shape[d] if n is None else n]


@autocasts(SINGLE)
def fft_fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The discrete Fourier transform along `dim`, cut or padded to `n` elements.

    `norm` scales by 1 ("backward", the default), 1/n ("forward") or 1/sqrt(n) ("ortho").

    >>> torch.fft.fft(torch.tensor([1., 0., 0., 0.]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    as_tensor_argument(input, "fft_fft")
    return _whole(input, *_one_length(input, n, dim), norm, True, out)


@autocasts(SINGLE)
def fft_ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `fft`.

    >>> torch.fft.ifft(torch.tensor([4., 0., 0., 0.]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    as_tensor_argument(input, "fft_ifft")
    return _whole(input, *_one_length(input, n, dim), norm, False, out)


@autocasts(SINGLE)
def fft_fftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """`fft` over several dims.

    >>> torch.fft.fftn(torch.ones(2, 2))
    tensor([[4.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    as_tensor_argument(input, "fft_fftn")
    return _whole(input, *_dims_and_lengths(input, s, dim), norm, True, out)


@autocasts(SINGLE)
def fft_ifftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `fftn`.

    >>> torch.fft.ifftn(torch.ones(2, 2))
    tensor([[1.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    as_tensor_argument(input, "fft_ifftn")
    return _whole(input, *_dims_and_lengths(input, s, dim), norm, False, out)


@autocasts(SINGLE)
def fft_rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The first half of the transform of a real signal; the rest is its mirrored conjugate.

    >>> torch.fft.rfft(torch.ones(4))
    tensor([4.+0.j, 0.+0.j, 0.+0.j])
    """
    as_tensor_argument(input, "fft_rfft")
    found = _halved("rfft", input, *_one_length(input, n, dim), _norm_of(norm))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_rfftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """`rfft` over several dims, the last of them halved.

    >>> torch.fft.rfftn(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    as_tensor_argument(input, "fft_rfftn")
    found = _halved("rfftn", input, *_dims_and_lengths(input, s, dim), _norm_of(norm))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `rfft`; the signal has `n` elements, by default an even number.

    >>> torch.fft.irfft(torch.tensor([4., 0., 0.]))
    tensor([1., 1., 1., 1.])
    """
    as_tensor_argument(input, "fft_irfft")
    dims, lengths = _one_length(input, n, dim)
    half, size = _restored("irfft", input, dims, lengths, n is not None)
    found = apply(_c2r, (half,), (dims, _norm_of(norm), size, True))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_irfftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `rfftn`; without `s` the last dim of the result has an even size.

    >>> torch.fft.irfftn(torch.ones(2, 3)).shape
    torch.Size([2, 4])
    """
    as_tensor_argument(input, "fft_irfftn")
    dims, lengths = _dims_and_lengths(input, s, dim)
    half, size = _restored("irfftn", input, dims, lengths, _gives_last(s))
    found = apply(_c2r, (half,), (dims, _norm_of(norm), size, True))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The real transform of a signal that is its own mirrored conjugate, given by its first half.

    >>> torch.fft.hfft(torch.ones(3))
    tensor([4., 0., 0., 0.])
    """
    as_tensor_argument(input, "fft_hfft")
    dims, lengths = _one_length(input, n, dim)
    half, size = _restored("hfft", input, dims, lengths, n is not None)
    found = apply(_c2r, (half.conj(),), (dims, _ADJOINT[_norm_of(norm)], size, True))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_hfftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """`hfft` over several dims, the last of them given by its half.

    >>> torch.fft.hfftn(torch.ones(2, 3)).shape
    torch.Size([2, 4])
    """
    as_tensor_argument(input, "fft_hfftn")
    dims, lengths = _dims_and_lengths(input, s, dim)
    half, size = _restored("hfftn", input, dims, lengths, _gives_last(s))
    if len(dims) > 1:
        half = apply(_c2c, (half,), (dims[:-1], _norm_of(norm), True))
    found = apply(_c2r, (half.conj(),), (dims[-1:], _ADJOINT[_norm_of(norm)], size, True))
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `hfft`.

    >>> torch.fft.ihfft(torch.tensor([4., 0., 0., 0.]))
    tensor([1.-0.j, 1.-0.j, 1.-0.j])
    """
    as_tensor_argument(input, "fft_ihfft")
    found = _halved("ihfft", input, *_one_length(input, n, dim), _ADJOINT[_norm_of(norm)]).conj()
    return found if out is None else write_out(out, found)


@autocasts(SINGLE)
def fft_ihfftn(input: Tensor, s: Sequence[int] | None = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `hfftn`.

    >>> torch.fft.ihfftn(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    as_tensor_argument(input, "fft_ihfftn")
    dims, lengths = _dims_and_lengths(input, s, dim)
    input = _as_real("ihfftn", input)
    if not dims:
        raise RuntimeError("ihfftn must transform at least one axis")
    for length in lengths:
        _check_points(length)
    found = apply(_r2c, (_to_size(input, dims, lengths),), (dims[-1:], _ADJOINT[_norm_of(norm)], False)).conj()
    if len(dims) > 1:
        found = apply(_c2c, (found,), (dims[:-1], _norm_of(norm), False))
    return found if out is None else write_out(out, found)


def _of_two_dims(function: Callable[..., Tensor], example: str) -> Callable[..., Tensor]:
    """The transform of two dims, the last two by default."""
    name = function.__name__.removesuffix("n")

    def transform(input: Tensor, s: Sequence[int] | None = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        return function(input, s, dim, norm, out=out)

    transform.__name__ = transform.__qualname__ = name + "2"
    transform.__doc__ = f"`{name[4:]}n` over two dims.\n\n{example}"
    return transform


fft_fft2 = _of_two_dims(fft_fftn, "    >>> torch.fft.fft2(torch.ones(2, 3)).shape\n    torch.Size([2, 3])\n")
fft_ifft2 = _of_two_dims(fft_ifftn, "    >>> torch.fft.ifft2(torch.ones(2, 3)).shape\n    torch.Size([2, 3])\n")
fft_rfft2 = _of_two_dims(fft_rfftn, "    >>> torch.fft.rfft2(torch.ones(2, 4)).shape\n    torch.Size([2, 3])\n")
fft_irfft2 = _of_two_dims(fft_irfftn, "    >>> torch.fft.irfft2(torch.ones(2, 3)).shape\n    torch.Size([2, 4])\n")
fft_hfft2 = _of_two_dims(fft_hfftn, "    >>> torch.fft.hfft2(torch.ones(2, 3)).shape\n    torch.Size([2, 4])\n")
fft_ihfft2 = _of_two_dims(fft_ihfftn, "    >>> torch.fft.ihfft2(torch.ones(2, 4)).shape\n    torch.Size([2, 3])\n")


# Frequencies and their order


def fft_fftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies of the elements of a transform of `n` samples that are `d` apart.

    >>> torch.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    first = arange(0, (n + 1) // 2)
    negative = arange(-(n // 2), 0)
    from .combine import cat

    return _frequencies("fftfreq", cat((first, negative)), n * d, out, dtype, requires_grad)


def fft_rfftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies of the elements of `rfft` of `n` samples that are `d` apart.

    >>> torch.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    return _frequencies("rfftfreq", arange(0, n // 2 + 1), n * d, out, dtype, requires_grad)


def _frequencies(function: str, counts: Tensor, span: float, out: Tensor | None, dtype: dt.dtype | None, requires_grad: bool) -> Tensor:
    dtype = dtype or (out._layout.dtype if out is not None else dt.get_default_dtype())
    if dtype.category < dt.FLOAT:
        raise RuntimeError(f"{function} requires a floating point or complex dtype")
    found = counts.to(dtype) * float(np.divide(1.0, span))
    if requires_grad:
        found.requires_grad_(True)
    return found if out is None else write_out(out, found)


def _shift_dims(input: Tensor, dim: Any) -> list[int]:
    here = input._layout
    dims = range(here.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    return [wrap_dim(d, here.ndim) for d in dims]


def fft_fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The elements with the zero frequency moved to the middle.

    >>> torch.fft.fftshift(torch.tensor([0, 1, -2, -1]))
    tensor([-2, -1,  0,  1])
    """
    as_tensor_argument(input, "fft_fftshift")
    dims = _shift_dims(input, dim)
    return input.roll([input._layout.shape[d] // 2 for d in dims], dims)


def fft_ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> torch.fft.ifftshift(torch.tensor([-2, -1, 0, 1]))
    tensor([ 0,  1, -2, -1])
    """
    as_tensor_argument(input, "fft_ifftshift")
    dims = _shift_dims(input, dim)
    return input.roll([(input._layout.shape[d] + 1) // 2 for d in dims], dims)
