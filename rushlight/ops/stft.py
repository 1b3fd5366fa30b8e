"""Short-time Fourier transforms, over windows of a signal, and their inverse."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..errors import sizes
from .card import array_of
from .creation import arange, ones
from .define import as_tensor_argument
from .fft import fft_fft, fft_ifft, fft_irfft, fft_rfft
from .padding import pad

if TYPE_CHECKING:
    from ..tensor import Tensor


def _described(tensor: Tensor | None, brackets: str = "{{{}}}") -> str:
    return "None" if tensor is None else f"torch.{tensor._layout.dtype.type_name}Tensor" + brackets.format(sizes(tensor._layout.shape))


def _as_bit(flag: bool | None) -> str:
    return "None" if flag is None else str(int(flag))


def _centred(window: Tensor | None, win_length: int, n_fft: int, dtype: dt.dtype) -> Tensor | None:
    """The window with zeros on both sides, `n_fft` long."""
    if win_length == n_fft:
        return window
    window = ones(win_length, dtype=dtype) if window is None else window
    left = (n_fft - win_length) // 2
    return pad(window, (left, n_fft - win_length - left))


@autocasts(SINGLE)
def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """The transforms of windows of `n_fft` samples, `hop_length` apart: (..., time) to (..., frequency, frame).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.stft.html

    >>> torch.stft(torch.ones(8), 4, window=torch.ones(4), return_complex=True).shape
    torch.Size([3, 9])
    """
    here = as_tensor_argument(input, "stft")._layout
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    if center:
        shape = (1,) * (3 - here.ndim) + here.shape
        padded = pad(input.reshape(shape), (n_fft // 2, n_fft // 2), mode=pad_mode)
        input = padded.reshape(padded._layout.shape[padded._layout.ndim - here.ndim :])
        here = input._layout
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    call = (
        f"stft({_described(input, '{}')}, n_fft={n_fft}, hop_length={hop}, win_length={length}, window={_described(window)}, "
        f"normalized={int(normalized)}, onesided={_as_bit(onesided)}, return_complex={_as_bit(return_complex)}, align_to_window={_as_bit(align_to_window)}) "
    )
    is_complex = here.dtype.is_complex or (window is not None and window._layout.dtype.is_complex)
    if return_complex is None and not is_complex:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require that return_complex=True in a future PyTorch release.")
    if here.dtype.category < dt.FLOAT:
        raise RuntimeError(call + ": expected a tensor of floating point or complex values")
    if here.ndim not in (1, 2):
        raise RuntimeError(call + ": expected a 1D or 2D tensor")
    aligned = not center and bool(align_to_window)
    samples = here.shape[-1]
    if n_fft <= 0 or n_fft > samples and not aligned:
        raise RuntimeError(call + f": expected 0 < n_fft < {samples}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(call + f": expected hop_length > 0, but got hop_length={hop}")
    if length <= 0 or length > n_fft:
        raise RuntimeError(call + f": expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and window._layout.shape != (length,):
        raise RuntimeError(call + f": expected a 1D window tensor of size equal to win_length={length}, but got window with size {sizes(window._layout.shape)}")
    if window is None and length == n_fft:
        warnings.warn(
            "A window was not provided. A rectangular window will be applied,which is known to cause spectral leakage. Other windows such as torch.hann_window or torch.hamming_window "
            "are recommended to reduce spectral leakage.To suppress this warning and use a rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`.",
            stacklevel=2,
        )
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if aligned:
        input = pad(input, ((n_fft - length) // 2, n_fft - length - (n_fft - length) // 2))
    frames = input.unfold(-1, n_fft, hop)
    shape = _centred(window, length, n_fft, here.dtype.to_real())
    frames = frames if shape is None else frames * shape
    norm = "ortho" if normalized else None
    onesided = not is_complex if onesided is None else onesided
    found = (fft_rfft(frames, norm=norm) if onesided and not is_complex else fft_fft(frames, norm=norm)).transpose(-1, -2)
    if return_complex is False or (return_complex is None and not is_complex):
        from .complex import view_as_real

        return view_as_real(found)
    return found


def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The inverse of `stft`, by adding the overlapping frames (Griffin and Lim, 1984).

    >>> torch.istft(torch.stft(torch.ones(8), 4, window=torch.ones(4), return_complex=True), 4, window=torch.ones(4))
    tensor([1., 1., 1., 1., 1., 1., 1., 1.])
    """
    here = as_tensor_argument(input, "istft")._layout
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    call = (
        f"istft(CPU{here.dtype.type_name}Type{sizes(here.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={win}, window={_described(window)}, center={int(center)}, "
        f"normalized={int(normalized)}, onesided={_as_bit(onesided)}, length={length}, return_complex={int(return_complex)}) "
    )
    if not here.dtype.is_complex:
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with return_complex=True.")
    if here.numel == 0:
        raise RuntimeError(call + ": input tensor cannot be empty.")
    if here.ndim not in (2, 3):
        raise RuntimeError(call + f": expected a tensor with 2 or 3 dimensions, but got {here.ndim}")
    frequencies, frames = here.shape[-2:]
    onesided = frequencies != n_fft if onesided is None else onesided
    if onesided and frequencies != n_fft // 2 + 1:
        raise RuntimeError(call + f": expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when onesided=True, but got {frequencies}")
    if not onesided and frequencies != n_fft:
        raise RuntimeError(call + f": expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when onesided=False, but got {frequencies}")
    if not 0 < hop <= win:
        raise RuntimeError(call + ": expected 0 < hop_length <= win_length")
    if not 0 < win <= n_fft:
        raise RuntimeError(call + ": expected 0 < win_length <= n_fft")
    if window is not None and window._layout.shape != (win,):
        raise RuntimeError(call + ": Invalid window shape. window has to be 1D and length of `win_length`")
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    weights = _centred(window, win, n_fft, here.dtype.to_real())
    weights = ones(n_fft, dtype=here.dtype.to_real()) if weights is None else weights
    norm = "ortho" if normalized else None
    spectra = input.transpose(-1, -2)
    if return_complex:
        pieces = fft_ifft(spectra, norm=norm)
    else:
        pieces = fft_irfft(spectra if onesided else spectra.narrow(-1, 0, n_fft // 2 + 1), n_fft, norm=norm)
    total = n_fft + hop * (frames - 1)
    places = (arange(0, frames) * hop).unsqueeze(1) + arange(0, n_fft)
    signal = _overlapped(pieces * weights, places, total)
    envelope = _overlapped((weights * weights).expand(frames, n_fft), places, total)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - n_fft // 2 if center else total
    kept = min(end, total) - start
    signal, envelope = signal.narrow(-1, start, kept), envelope.narrow(-1, start, kept)
    if not np.abs(array_of(envelope)).min(initial=np.inf) > 1e-11:
        raise RuntimeError(call + "window overlap add min: 1\n[ CPUBoolType{} ]")
    found = signal / envelope
    if end > total:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. Please check your center and hop_length settings.", stacklevel=2)
        found = pad(found, (0, end - total))
    return found


def _overlapped(pieces: Tensor, places: Tensor, total: int) -> Tensor:
    """The sum of frames, each at its place in the signal."""
    *batch, _, _ = pieces._layout.shape
    return pieces.new_zeros((*batch, total)).index_add(-1, places.reshape(-1), pieces.reshape(*batch, -1))
