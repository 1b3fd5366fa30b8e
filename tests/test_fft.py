"""Fourier transforms and windows. Values recorded from PyTorch 2.13 or by NumPy, gradients by finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

import rushlight as torch

rng = np.random.default_rng(3)


def wave() -> torch.Tensor:
    return torch.arange(12.0).reshape(3, 4).sin()


def close(found: torch.Tensor, expected: object, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(found.detach().resolve_conj().numpy().reshape(-1), np.asarray(expected).reshape(-1), atol=tolerance)


def test_values_are_pytorchs() -> None:
    x = wave()
    close(torch.fft.fft(x[0]), [1.8918883801, -0.9092974067 - 0.7003509402j, -0.0732935667, -0.9092974067 + 0.7003509402j])
    close(torch.fft.rfft(x[1], norm="ortho"), [-0.6690778136, -0.2386935055 + 0.8079554439j, -0.3671401143])
    close(torch.fft.hfft(x[2].to(torch.complex64) * 1j + 1, n=5, norm="forward"), [1.0, 0.0288721472, 0.3038527966, -0.3038527966, -0.0288721770])
    close(torch.fft.ihfft(x[0]), [0.4729720950, -0.2273243517 + 0.1750877351j, -0.0183233917])
    close(
        torch.fft.irfftn(x + 0j, s=(2, 5)),
        [0.0268054660, -0.1848562956, -0.0177470539, -0.0177470539, -0.1848562956, 0.6735019088, -0.0053869723, -0.1421633214, -0.1421633214, -0.0053869723],
    )
    close(
        torch.fft.fftn(x, s=(2, -1), dim=(0, 1)),
        [0.5537327528, -1.3866844177 + 0.9155599475j, -0.8075737953, -1.3866844177 - 0.9155599475j, 3.2300438881, -0.4319103956 - 2.3162617683j, 0.6609866619, -0.4319103956 + 2.3162617683j],
        2e-6,
    )


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("pair", ["fft", "rfft", "hfft", "fft2", "rfft2", "hfft2", "fftn", "rfftn", "hfftn"])
def test_inverses_undo_their_transforms(pair: str, norm: str | None) -> None:
    x = torch.tensor(rng.standard_normal((3, 4, 5)))
    size: dict[str, object] = {"n": 5} if pair.endswith("fft") else {"s": (4, 5), "dim": (1, 2)}
    there, back = (pair, f"i{pair}") if not pair.startswith("hfft") else (f"i{pair}", pair)
    middle = getattr(torch.fft, there)(x, norm=norm, **({} if pair.endswith("fft") else {"dim": (1, 2)}))
    found = getattr(torch.fft, back)(middle, norm=norm, **size)
    close(found.real if found.is_complex() else found, x.numpy(), 1e-12)


def test_precision_follows_the_input() -> None:
    assert torch.fft.fft(torch.ones(4)).dtype is torch.complex64
    assert torch.fft.rfft(torch.ones(4, dtype=torch.float64)).dtype is torch.complex128
    assert torch.fft.irfft(torch.ones(4, dtype=torch.complex64)).dtype is torch.float32
    assert torch.fft.fft(torch.ones(4, dtype=torch.int64)).dtype is torch.complex64


def complex_numbers(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


#: All kinds of passes first and last, lines shorter and longer than vectors, sizes that are NumPy's.
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 20, 27, 30, 32, 40, 45, 60, 64, 75, 81, 100, 250, 224, 256, 343, 400, 1000, 1024, 2048, 3125, 16384, 16385, 20000)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_transforms_of_all_sizes(size: int, precision: str) -> None:
    complex, tolerance = ("complex64", 1e-6) if precision == "float32" else ("complex128", 3e-15)
    for shape in ((size,), (3, size)):
        x = complex_numbers(*shape)
        signal, half = x.real, np.fft.rfft(x.real)
        half[..., 0] += 1j  # which a real signal has not
        pairs = [
            (torch.fft.fft(torch.tensor(x.astype(complex))), np.fft.fft(x)),
            (torch.fft.ifft(torch.tensor(x.astype(complex)), norm="ortho"), np.fft.ifft(x, norm="ortho")),
            (torch.fft.rfft(torch.tensor(signal.astype(precision))), np.fft.rfft(signal)),
            (torch.fft.irfft(torch.tensor(half.astype(complex)), n=size), np.fft.irfft(half, n=size)),
        ]
        for found, expected in pairs:
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("inner", [1, 2, 5, 16, 37, 130])
@pytest.mark.parametrize("size", [2, 5, 6, 7, 16, 24, 90, 128])
def test_transforms_of_dims_that_are_not_the_last_one(size: int, inner: int) -> None:
    x = complex_numbers(2, size, inner)
    given = torch.tensor(x)
    tolerance = 1e-14 * x.size
    close(torch.fft.fft(given, dim=1), np.fft.fft(x, axis=1), tolerance)
    close(torch.fft.ifftn(given, dim=(1, 0)), np.fft.ifftn(x, axes=(1, 0)), tolerance)
    close(torch.fft.rfft2(given.real), np.fft.rfft2(x.real), tolerance)
    close(torch.fft.irfftn(torch.fft.rfftn(given.real), s=x.shape), x.real, tolerance)
    close(torch.fft.rfft(given.real.transpose(1, 2)), np.fft.rfft(x.real.transpose(0, 2, 1)), tolerance)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11, 22, 90, 91])
def test_the_gradients_of_half_transforms_are_their_adjoints(size: int) -> None:
    """``<rfft(x), y> == <x, gradient for y>``, of a real x; the same for irfft; and the second derivatives likewise."""
    x = torch.tensor(rng.standard_normal((2, size, 3))).requires_grad_()
    y = torch.tensor(complex_numbers(2, size // 2 + 1, 3)).requires_grad_()
    for there, back in ((lambda x: torch.fft.rfftn(x, dim=(0, 1)), x), (lambda y: torch.fft.irfftn(y, s=(2, size), dim=(0, 1), norm="ortho"), y)):
        found = there(back)
        g = torch.tensor(complex_numbers(*found.shape) if found.is_complex() else rng.standard_normal(found.shape)).requires_grad_()
        (gradient,) = torch.autograd.grad(found, back, g, create_graph=True)
        inner = (found.conj() * g).real.sum().item()
        assert (back.conj() * gradient).real.sum().item() == pytest.approx(inner, rel=1e-10)
        (again,) = torch.autograd.grad(gradient, g, back)
        np.testing.assert_allclose(again.detach().numpy(), found.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("size", [8, 20, 27, 64, 125])
def test_the_bits_of_a_transform_depend_neither_on_strides_nor_on_neighbours(size: int) -> None:
    x = torch.tensor(complex_numbers(7, size).astype("complex64"))
    for transform in (torch.fft.fft, torch.fft.ifft):
        whole = transform(x)
        assert torch.equal(torch.stack([transform(row) for row in x]), whole)
        assert torch.equal(transform(x.t().contiguous().t()), whole)
        assert torch.equal(transform(x.t().contiguous(), dim=0).t(), whole)
    real = x.real.contiguous()
    assert torch.equal(torch.stack([torch.fft.rfft(row) for row in real]), torch.fft.rfft(real))
    assert torch.equal(torch.fft.fftn(x.t().contiguous().t()), torch.fft.fftn(x))


def test_the_transformed_dims_of_the_result_are_innermost() -> None:
    assert torch.fft.fft(torch.ones(2, 3, 5), dim=1).stride() == (15, 1, 3)
    assert torch.fft.rfft(torch.ones(2, 5, 3), n=8, dim=1).stride() == (15, 1, 5)


TRANSFORMS: dict[str, tuple[Callable[..., torch.Tensor], bool]] = {
    "fft of fewer points": (lambda x: torch.fft.fft(x, n=3, norm="forward"), True),
    "ifftn of more points": (lambda x: torch.fft.ifftn(x, s=(4, 6), norm="ortho"), True),
    "rfft of an odd number": (lambda x: torch.fft.rfft(x, n=5), False),
    "rfftn": (lambda x: torch.fft.rfftn(x, norm="ortho"), False),
    "irfft to an even number": (lambda x: torch.fft.irfft(x), True),
    "irfftn to an odd number": (lambda x: torch.fft.irfftn(x, s=(3, 5), norm="forward"), True),
    "hfftn": (lambda x: torch.fft.hfftn(x, norm="forward"), True),
    "ihfftn": (lambda x: torch.fft.ihfftn(x, norm="ortho"), False),
    "stft": (lambda x: torch.stft(x, 4, window=torch.hann_window(3, dtype=torch.float64), win_length=3, return_complex=True, normalized=True), False),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    transform, complex = TRANSFORMS[name]
    x = rng.standard_normal((3, 4)) + (1j * rng.standard_normal((3, 4)) if complex else 0)

    def loss(values: torch.Tensor) -> torch.Tensor:
        found = transform(values)
        weights = torch.arange(1, found.numel() + 1, dtype=torch.float64).reshape(found.shape)
        return (found.real * weights).sum() + (found.imag * weights**2).sum() / 10 if found.is_complex() else (found * weights).sum()

    values = torch.tensor(x).requires_grad_()
    loss(values).backward()
    expected = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        for unit in (1, 1j) if complex else (1,):
            step = np.zeros_like(x)
            step[place] = unit * 1e-5
            expected[place] += unit * (loss(torch.tensor(x + step)).item() - loss(torch.tensor(x - step)).item()) / 2e-5
    close(values.grad, expected, 1e-6 * max(1, np.abs(expected).max()))


def test_a_transform_has_a_second_derivative() -> None:
    """The energy of a spectrum is n times that of the signal (Parseval), so its second derivative is 2 n."""
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (first,) = torch.autograd.grad((torch.fft.fft(x).abs() ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    close(first, [6.0, 12.0, 18.0], 1e-4)
    close(second, [6.0, 6.0, 6.0], 1e-4)


MESSAGES = [
    (lambda: torch.fft.fft(torch.ones(4), n=0), RuntimeError, "Invalid number of data points (0) specified"),
    (lambda: torch.fft.fft(torch.ones(4), norm="x"), RuntimeError, 'Invalid normalization mode: "x"'),
    (lambda: torch.fft.fft(torch.ones(4).half()), RuntimeError, "Unsupported dtype Half"),
    (lambda: torch.fft.fftn(torch.ones(3, 3), dim=(0, 0)), RuntimeError, "FFT dims must be unique"),
    (lambda: torch.fft.fftn(torch.ones(3, 3), s=(2,), dim=(0, 1)), RuntimeError, "When given, dim and shape arguments must have the same length"),
    (lambda: torch.fft.fftn(torch.ones(3, 3), s=(2, 2, 2)), RuntimeError, "Got shape with 3 values but input tensor only has 2 dimensions."),
    (lambda: torch.fft.rfft(torch.ones(3) * 1j), RuntimeError, "rfft expects a real input tensor, but got ComplexFloat"),
    (lambda: torch.fft.irfftn(torch.ones(3), dim=()), RuntimeError, "irfftn must transform at least one axis"),
    (lambda: torch.fft.fft(torch.tensor(1.0)), IndexError, "Dimension specified as -1 but tensor has no dimensions"),
    (lambda: torch.fft.fftfreq(5, dtype=torch.int64), RuntimeError, "fftfreq requires a floating point or complex dtype"),
    (lambda: torch.stft(torch.ones(20), 8), RuntimeError, "stft requires the return_complex parameter be given for real inputs, and will further require that return_complex=True in a future PyTorch release."),
    (lambda: torch.istft(torch.ones(5, 3), 8), RuntimeError, "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."),
    (
        lambda: torch.stft(torch.ones(20), 8, return_complex=True, window=torch.ones(9)),
        RuntimeError,
        "stft(torch.FloatTensor[28], n_fft=8, hop_length=2, win_length=8, window=torch.FloatTensor{[9]}, normalized=0, onesided=None, return_complex=1, align_to_window=None) "
        ": expected a 1D window tensor of size equal to win_length=8, but got window with size [9]",
    ),
    (lambda: torch.signal.windows.hann(-1), ValueError, "general_cosine requires non-negative window length, got M=-1"),
    (lambda: torch.signal.windows.kaiser(5, dtype=torch.float16), ValueError, "kaiser expects float32 or float64 dtypes, got: torch.float16"),
    (lambda: torch.hann_window(-1), RuntimeError, "hann_window requires non-negative window_length, got window_length=-1"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(MESSAGES)))
def test_errors_are_pytorchs(case: int) -> None:
    call, kind, message = MESSAGES[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_frequencies_and_shifts() -> None:
    close(torch.fft.fftfreq(5, d=0.5), [0.0, 0.4, 0.8, -0.8, -0.4])
    close(torch.fft.rfftfreq(5, d=0.5), [0.0, 0.4, 0.8])
    assert torch.fft.fftshift(torch.arange(6).reshape(2, 3)).tolist() == [[5, 3, 4], [2, 0, 1]]
    assert torch.fft.ifftshift(torch.arange(5)).tolist() == [2, 3, 4, 0, 1]


def test_short_time_transform() -> None:
    found = torch.stft(torch.arange(10.0).sin(), 4, window=torch.hann_window(4), return_complex=True)
    assert found.shape == (3, 11)
    close(
        found.abs()[:, :4],
        [0.8414709568, 1.2961196899, 1.4005929232, 0.2173674554, 0.0, 0.9564406872, 0.9743945003, 0.8449183702, 0.8414709568, 0.3868222535, 0.4180019200, 0.0648725480],
    )


@pytest.mark.parametrize("options", [{}, {"normalized": True}, {"onesided": False}, {"hop_length": 3}], ids=str)
def test_istft_undoes_stft(options: dict[str, object]) -> None:
    x = torch.tensor(rng.standard_normal((2, 30)))
    window = torch.hamming_window(8, dtype=torch.float64)
    spectrum = torch.stft(x, 8, window=window, return_complex=True, **options)
    close(torch.istft(spectrum, 8, window=window, length=27, **options), x[:, :27].numpy(), 1e-10)


def test_stft_without_a_window_warns() -> None:
    with pytest.warns(UserWarning, match="A window was not provided"):
        torch.stft(torch.ones(20), 8, return_complex=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.stft(torch.ones(20), 8, win_length=6, return_complex=True)


SYMMETRIC = {
    "hamming": [0.0800000131, 0.5400000215, 1.0, 0.5400000215, 0.0800000131],
    "blackman": [0.0, 0.3400000334, 1.0, 0.3400000334, 0.0],
    "nuttall": [0.0003627967, 0.2269824296, 1.0, 0.2269824296, 0.0003627967],
    "kaiser": [5.2773437e-05, 0.2156726569, 1.0, 0.2156726569, 5.2773437e-05],
    "gaussian": [0.1353352964, 0.6065306664, 1.0, 0.6065306664, 0.1353352964],
    "exponential": [0.1353352815, 0.3678794503, 1.0, 0.3678794503, 0.1353352815],
    "cosine": [0.3090170026, 0.8090170026, 1.0, 0.8090170026, 0.3090170026],
    "bartlett": [0.0, 0.5, 1.0, 0.5, 0.0],
}
PERIODIC = {
    "hamming": [0.0800000131, 0.3978522122, 0.9121478796, 0.9121478796, 0.3978522122],
    "blackman": [0.0, 0.2007701397, 0.8492298126, 0.8492298126, 0.2007701397],
    "hann": [0.0, 0.3454915285, 0.9045084715, 0.9045084715, 0.3454915285],
    "kaiser": [5.2773437e-05, 0.1017197147, 0.7929394245, 0.7929394245, 0.1017197147],
    "bartlett": [0.0, 0.4, 0.8, 0.8, 0.4],
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_signal_windows_are_pytorchs(name: str) -> None:
    window = getattr(torch.signal.windows, name)
    close(window(5), SYMMETRIC[name])
    if name != "cosine":
        close(window(4, sym=False), SYMMETRIC[name][:4])
    assert window(0).shape == (0,)
    assert window(1).tolist() == [1.0]


@pytest.mark.parametrize("name", PERIODIC)
def test_older_windows_are_periodic_unless_asked(name: str) -> None:
    window = getattr(torch, f"{name}_window")
    close(window(5), PERIODIC[name])
    close(window(6, False)[:3], window(5)[:3].tolist())
    assert window(1).tolist() == [1.0]
    assert window(3, dtype=torch.float64).dtype is torch.float64
