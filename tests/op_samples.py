"""Samples for the sweep over op cards: by card name, calls of the public function that applies the card.

A sample is a function of tensors and the tensors. Those of floating point are float64 and are differentiated.
"""

# ruff: noqa: B008  (defaults bind the loop variable)
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import rushlight as torch
import rushlight.nn.functional as F
from rushlight.ops.card import CARDS, apply
from rushlight.ops.optimizer_step import optimizer_step

Tensor = torch.Tensor


class Sample(NamedTuple):
    call: Callable[..., Any]
    tensors: tuple[Tensor, ...]


def real(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> Tensor:
    """Distinct numbers between `low` and `high`, away from both and from zero, in a random order."""
    count = int(np.prod(shape))
    steps = (np.arange(count) + 0.5 + 0.1 / (count + 1)) / max(count, 1)
    numbers = np.random.RandomState(seed + count).permutation(low + (high - low) * steps)
    return torch.tensor(numbers.reshape(shape), dtype=torch.float64)


def whole(*shape: int, high: int = 4, seed: int = 0) -> Tensor:
    """Integers from 0 to `high` - 1."""
    return torch.tensor(np.random.RandomState(seed).randint(0, high, shape), dtype=torch.int64)


def flags(*shape: int) -> Tensor:
    return torch.tensor(np.random.RandomState(1).rand(*shape) > 0.5)


def complex_(*shape: int) -> Tensor:
    return torch.complex(real(*shape), real(*shape, seed=1))


def square(n: int = 3, seed: int = 0) -> Tensor:
    """A well-conditioned matrix with different eigenvalues."""
    return real(n, n, seed=seed) + torch.diag(torch.arange(2.0, 2.0 + 2 * n, 2, dtype=torch.float64))


SAMPLES: dict[str, list[Sample]] = {}


def add(card: str, call: Callable[..., Any], *tensors: Tensor) -> None:
    SAMPLES.setdefault(card, []).append(Sample(call, tensors))


def pointwise() -> None:
    """One or two operands over a domain, plain, broadcast and transposed."""
    anywhere = "neg clone sgn exp abs relu sin cos tan sinh cosh tanh asinh atan ceil floor trunc frac sign square exp2 expm1 sinc deg2rad rad2deg sigmoid angle nan_to_num erf erfc"
    domains = {**dict.fromkeys(anywhere.split(), (-2.0, 2.0)), **dict.fromkeys(["asin", "acos", "atanh"], (-0.9, 0.9))}
    domains |= dict.fromkeys(["log", "sqrt", "reciprocal", "rsqrt", "log2", "log10", "log1p", "lgamma", "digamma"], (0.2, 3.0))
    domains |= {"acosh": (1.2, 4.0), "logit": (0.1, 0.9), "erfinv": (-0.8, 0.8), "round": (-2.0, 2.0)}
    for name, (low, high) in domains.items():
        add(name, getattr(torch, name), real(2, 3, low=low, high=high))
        add(name, getattr(torch, name), real(3, 2, low=low, high=high).t())
    for name in ["isnan", "signbit", "logical_not", "isfinite", "isinf", "isposinf", "isneginf", "isreal"]:
        add(name, getattr(torch, name), real(2, 3))
    activations = "gelu silu mish softplus elu celu leaky_relu hardsigmoid hardswish hardshrink softshrink logsigmoid hardtanh"
    for name in activations.split():
        add(name, getattr(F, name), real(2, 4, low=-4.0, high=4.0))
    add("gelu", lambda t: F.gelu(t, approximate="tanh"), real(2, 4, low=-3.0, high=3.0))
    add("threshold", lambda t: F.threshold(t, 0.1, -2.0), real(2, 4))
    add("prelu", F.prelu, real(2, 3, 4), real(3, seed=1))
    add("rrelu_at_rest", F.rrelu, real(2, 4, low=-3.0, high=3.0))
    add("linalg_cross", torch.linalg.cross, real(4, 3), real(1, 3, seed=1))
    for name in ["entr", "ndtr", "ndtri", "log_ndtr", "erfcx", "i0", "i0e", "i1", "i1e", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1"]:
        add(name, getattr(torch.special, name), real(2, 3, low=0.1, high=0.9))
    binary = "add sub mul div floor_divide remainder fmod maximum minimum fmax fmin eq ne lt le gt ge pow atan2 copysign hypot logaddexp logaddexp2 xlogy logical_and logical_or logical_xor nextafter"
    for name in binary.split():
        function = getattr(torch, name)
        add(name, function, real(2, 3, low=0.5, high=2.0), real(2, 3, low=0.6, high=1.7, seed=1))
        add(name, function, real(2, 1, low=0.5, high=2.0), real(3, low=0.6, high=1.7, seed=1))
        if name not in ("maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "logaddexp", "logaddexp2", "nextafter", "logical_and", "logical_or", "logical_xor"):
            add(name, lambda t, function=function: function(t, 1.3), real(2, 3, low=0.5, high=1.2))
    add("add_scaled", lambda a, b: torch.add(a, b, alpha=0.3), real(2, 3), real(3, seed=1))
    add("sub_scaled", lambda a, b: torch.sub(a, b, alpha=0.3), real(2, 3), real(3, seed=1))
    add("clamp_min", lambda t: torch.clamp_min(t, -0.5), real(2, 5))
    add("clamp_max", lambda t: torch.clamp_max(t, 0.6), real(2, 5))
    add("rsub", lambda t: torch.rsub(t, 2.0), real(2, 3))
    add("trunc_divide", lambda a, b: torch.div(a, b, rounding_mode="trunc"), real(3, low=1, high=5), real(3, low=0.6, high=1.7))
    add("div_floor", lambda a, b: torch.div(a, b, rounding_mode="floor"), real(3, low=1, high=5), real(3, low=0.6, high=1.7))
    for name in ("floor_divide_half", "div_floor_half", "trunc_divide_half"):
        add(name, lambda a, b, name=name: apply(CARDS[name], (a.half(), b.half()), (torch.float16,)), whole(5, high=9), whole(5, seed=1) + 1)
    add("heaviside", torch.heaviside, real(3), real(3, seed=1))
    add("lerp", torch.lerp, real(2, 3), real(2, 3, seed=1), real(3, seed=2))
    for name in ("addcmul", "addcdiv"):
        add(name, lambda a, b, c, f=getattr(torch, name): f(a, b, c, value=0.7), real(2, 3), real(2, 3, seed=1), real(3, low=0.5, seed=2))
    add("clamp", lambda t: torch.clamp(t, -0.5, 0.6), real(2, 5))
    add("clamp", torch.clamp, real(2, 5), real(5, low=-0.8, high=-0.2, seed=1), real(5, low=0.2, high=0.8, seed=2))
    add("complex", torch.complex, real(3), real(3, seed=1))
    add("polar", torch.polar, real(3, low=0.3), real(3, seed=1))
    add("polygamma", lambda t: torch.polygamma(1, t), real(3, low=0.3, high=2.0))
    add("xlog1py", torch.special.xlog1py, real(3, low=0.2), real(3, low=0.2, seed=1))
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm", "bitwise_left_shift", "bitwise_right_shift"):
        add(name, getattr(torch, name), whole(2, 3), whole(3, seed=1))
    add("bitwise_not", torch.bitwise_not, whole(2, 3))
    for name in ("exp", "sin", "abs", "reciprocal", "mul", "conj_physical"):
        add(name, getattr(torch, name), *([complex_(3)] * (1 + (name == "mul"))))


def reductions() -> None:
    t = real(2, 3, 4)
    for name in ["sum", "mean", "prod", "var", "std", "var_mean", "std_mean", "logsumexp", "amax", "amin", "all", "any", "count_nonzero"]:
        function = getattr(torch, name)
        add(name, lambda x, f=function: f(x, dim=1), t)
        add(name, lambda x, f=function: f(x, dim=-1), t)
        if name not in ("count_nonzero",):
            add(name, lambda x, f=function: f(x, dim=(0, 2) if f not in (torch.prod,) else 2, keepdim=True), t)
    for name in ("sum", "mean", "prod"):
        add(f"{name}_all", getattr(torch, name), t)
    for name in ("max", "min", "median", "nanmedian"):
        add(f"{name}_all", getattr(torch, name), real(2, 3))
        add(f"{name}_dim", lambda x, f=getattr(torch, name): f(x, 1), real(2, 3))
    for name in ("argmax", "argmin", "mode", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "softmax", "log_softmax", "sort"):
        add(name, lambda x, f=getattr(torch, name): f(x, 1), real(2, 3))
    add("kthvalue", lambda x: torch.kthvalue(x, 2, 1), real(2, 3))
    add("topk", lambda x: torch.topk(x, 2, 1), real(2, 3))
    for order in (1, 2, 3.5, float("inf")):
        add("vector_norm", lambda x, p=order: torch.linalg.vector_norm(x, p, 1), real(2, 3))
    add("unique", lambda x: torch.unique(x, return_inverse=True, return_counts=True), whole(7))
    add("unique_consecutive", torch.unique_consecutive, whole(7))
    add("searchsorted", torch.searchsorted, torch.arange(5.0, dtype=torch.float64), real(3, high=4))
    add("hash_tensor", lambda x: torch.hash_tensor(x, 1), real(2, 3))
    add("isin", torch.isin, whole(5), whole(2, seed=1))


def views() -> None:
    t = real(2, 3, 4)
    calls: dict[str, Callable[..., Any]] = {
        "as_strided": lambda x: x.as_strided((2, 2), (1, 3), 1),
        "view": lambda x: x.view(6, 4),
        "alias": lambda x: x.as_subclass(torch.Tensor),
        "permute": lambda x: x.permute(2, 0, 1),
        "transpose": lambda x: x.transpose(0, 2),
        "t": lambda x: x[0].t(),
        "unsqueeze": lambda x: x.unsqueeze(1),
        "squeeze": lambda x: x.unsqueeze(1).squeeze(),
        "squeeze_dim": lambda x: x.unsqueeze(1).squeeze(1),
        "squeeze_dims": lambda x: x.unsqueeze(1).unsqueeze(0).squeeze((0, 2)),
        "expand": lambda x: x[:, :1].expand(2, 5, 4),
        "select": lambda x: x.select(1, 2),
        "slice": lambda x: x[:, 1:, ::2],
        "diagonal": lambda x: x.diagonal(1, 1, 2),
        "unfold": lambda x: x.unfold(2, 3, 1),
        "split": lambda x: x.split(2, 1),
        "split_with_sizes": lambda x: x.split((1, 2), 1),
        "unsafe_view": lambda x: x.transpose(0, 1).reshape(-1),
        "unbind": lambda x: x.unbind(1),
        "detach": lambda x: x.detach(),
        "view_dtype": lambda x: x.detach().view(torch.int64),
        "view_as_real": lambda x: torch.view_as_real(torch.complex(x, x)),
        "view_as_complex": lambda x: torch.view_as_complex(x.view(2, 3, 2, 2)),
    }
    for name, call in calls.items():
        add(name, call, t)


def movement() -> None:
    t, index = real(3, 4), whole(2, 4, high=3)
    add("cat", lambda a, b: torch.cat((a, b), 1), real(2, 3), real(2, 2, seed=1))
    add("stack", lambda a, b: torch.stack((a, b), 1), real(2, 3), real(2, 3, seed=1))
    add("where", lambda a, b: torch.where(flags(2, 3), a, b), real(2, 3), real(3, seed=1))
    add("to_copy", lambda x: x.to(torch.complex128), real(3))
    add("to_copy", lambda x: x.to(torch.float64), whole(3))
    add("clone_strided", lambda x: x.clone(memory_format=torch.channels_last), real(1, 2, 2, 3))
    add("index", lambda x: x[whole(2, high=3), whole(2, high=4)], t)
    add("index_put", lambda x, v: x.index_put((torch.tensor([0, 2]),), v), t, real(2, 4, seed=1))
    add("index_put", lambda x, v: x.index_put((torch.tensor([1, 1]),), v, accumulate=True), t, real(2, 4, seed=1))
    add("gather", lambda x: torch.gather(x, 0, index), t)
    add("index_select", lambda x: torch.index_select(x, 1, torch.tensor([3, 0, 3])), t)
    add("index_select", lambda x: torch.index_select(x, 0, torch.tensor([2, 0, 2])), t)
    add("index_add", lambda x, s: torch.index_add(x, 0, torch.tensor([2, 2]), s, alpha=0.5), t, real(2, 4, seed=1))
    add("index_copy", lambda x, s: torch.index_copy(x, 0, torch.tensor([2, 0]), s), t, real(2, 4, seed=1))
    add("index_fill", lambda x: torch.index_fill(x, 0, torch.tensor([1]), 2.0), t)
    add("scatter", lambda x, s: torch.scatter(x, 0, torch.tensor([[0, 1, 2, 0]]), s), t, real(1, 4, seed=1))
    add("scatter_add", lambda x, s: torch.scatter_add(x, 0, index, s), t, real(2, 4, seed=1))
    for reduce in ("sum", "mean", "amax", "prod"):
        add("scatter_reduce", lambda x, s, r=reduce: torch.scatter_reduce(x, 0, index, s, r), t, real(2, 4, low=1.1, high=2, seed=1))
    add("take", lambda x: torch.take(x, torch.tensor([0, 5, 5])), t)
    add("put", lambda x, s: torch.Tensor.put(x, torch.tensor([0, 5]), s), t, real(2, seed=1))
    add("masked_fill", lambda x: x.masked_fill(flags(3, 4), 0.5), t)
    add("masked_select", lambda x: torch.masked_select(x, flags(3, 4)), t)
    add("masked_scatter", lambda x, s: torch.masked_scatter(x, flags(3, 4), s), t, real(12, seed=1))
    add("nonzero", torch.nonzero, whole(3, 3, high=2))
    add("flip", lambda x: x.flip(0, 1), t)
    add("roll", lambda x: x.roll((1, -2), (0, 1)), t)
    add("tril", lambda x: x.tril(1), t)
    add("triu", lambda x: x.triu(-1), t)
    add("as_strided_scatter", lambda x, s: torch.as_strided_scatter(x, s, (2, 2), (4, 1), 1), t, real(2, 2, seed=1))
    add("constant_pad_nd", lambda x: F.pad(x, (1, 2), value=0.5), t)
    for dims in (1, 2, 3):
        x = real(*((1, 2) + (3,) * dims))
        for mode, card in (("reflect", "reflection"), ("replicate", "replication"), ("circular", "circular")):
            add(f"{card}_pad{dims}d", lambda x, m=mode, d=dims: F.pad(x, (1, 2) * d, mode=m), x)
    add("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), real(1, 4, 2, 3))
    add("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), real(1, 1, 4, 2))
    add("channel_shuffle", lambda x: F.channel_shuffle(x, 2), real(1, 4, 2, 1))
    add("im2col", lambda x: F.unfold(x, 2, padding=1), real(1, 2, 3, 3))
    add("col2im", lambda x: F.fold(x, (3, 3), 2), real(1, 8, 4))


def products() -> None:
    for name, a, b in (("mm", (2, 3), (3, 4)), ("bmm", (2, 2, 3), (2, 3, 2)), ("dot", (4,), (4,)), ("mv", (2, 3), (3,))):
        add(name, getattr(torch, name), real(*a), real(*b, seed=1))
    add("addmm", lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2.0), real(4), real(2, 3, seed=1), real(3, 4, seed=2))
    add("addmm", lambda c, a, b: torch.addmm(c, a, b), real(4), real(2, 3, seed=1), real(3, 4, seed=2))
    add("addmm", lambda c, a, b: torch.addmm(c, a, b, beta=0, alpha=0.7), real(2, 1), real(2, 3, seed=1), real(3, 4, seed=2))
    add("linear", F.linear, real(2, 3), real(4, 3, seed=1), real(4, seed=2))
    add("linear", F.linear, real(5, 2, 3), real(4, 3, seed=1))
    add("convolution", lambda x, w, b: F.conv1d(x, w, b, padding=1), real(2, 2, 5), real(3, 2, 3, seed=1), real(3, seed=2))
    add("convolution", lambda x, w: F.conv2d(x, w, stride=2, dilation=1, groups=2), real(1, 2, 4, 5), real(4, 1, 2, 3, seed=1))
    add("convolution_input", lambda x, w: F.conv_transpose2d(x, w, stride=2), real(1, 2, 2, 3), real(2, 2, 2, 2, seed=1))
    add("convolution_input", lambda x, w, b: F.conv_transpose1d(x, w, b, 2), real(2, 2, 3), real(2, 3, 2, seed=1), real(3, seed=2))
    add("euclidean_distances", torch.cdist, real(2, 3), real(4, 3, seed=1))
    for name in ("det", "slogdet", "inv_ex", "lu_factor_ex", "matrix_exp", "pinv", "eigvals", "qr"):
        add(f"linalg_{name}", getattr(torch.linalg, name), square())
    add("linalg_solve_ex", torch.linalg.solve, square(), real(3, 2, seed=1))
    add("linalg_cholesky_ex", lambda a: torch.linalg.cholesky(a @ a.mT), square())
    add("linalg_solve_triangular", lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), square(), real(3, 2, seed=1))
    add("linalg_eigh", lambda a: torch.linalg.eigh(a + a.mT)[0], square())
    add("linalg_svd", lambda a: torch.linalg.svd(a, full_matrices=False)[1], square())
    add("fft_c2c", torch.fft.fft, complex_(4))
    add("fft_r2c", torch.fft.rfft, real(2, 5))
    add("fft_r2c", torch.fft.rfft, real(2, 6))
    add("fft_c2r", torch.fft.irfft, complex_(4))


def layers() -> None:
    x = real(2, 4, 3)
    for mode, padding in (("bilinear", "zeros"), ("bicubic", "reflection")):
        add_card("grid_sampler_2d", (mode, padding, False), real(2, 3, 4, 5), real(2, 3, 2, 2, seed=1))
        add_card("grid_sampler_backward", (mode, padding, False, (True, True)), real(2, 3, 3, 2), real(2, 3, 4, 5), real(2, 3, 2, 2, seed=1))
    add_card("grid_sampler_3d", ("bilinear", "zeros", True), real(1, 2, 3, 4, 3), real(1, 2, 2, 2, 3, seed=1))
    add("layer_norm", lambda x, w, b: F.layer_norm(x, (4, 3), w, b), x, real(4, 3, seed=1), real(4, 3, seed=2))
    add("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), x, real(4, seed=1), real(4, seed=2))
    add("rms_norm", lambda x, w: F.rms_norm(x, (4, 3), w, 1e-5), x, real(4, 3, seed=1))
    add("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, real(4, seed=1), real(4, seed=2))
    mean, spread = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    add("batch_norm_eval", lambda x, w, b: F.batch_norm(x, mean, spread, w, b), x, real(4, seed=1), real(4, seed=2))
    image, volume = real(1, 2, 5, 4), real(1, 1, 4, 4, 3)
    for dims, t in ((2, image), (3, volume)):
        add(f"max_pool{dims}d_with_indices", lambda t, f=getattr(F, f"max_pool{dims}d"): f(t, 2), t)
        add(f"avg_pool{dims}d", lambda t, f=getattr(F, f"avg_pool{dims}d"): f(t, 2, 1, 1), t)
        add(f"adaptive_avg_pool{dims}d", lambda t, f=getattr(F, f"adaptive_avg_pool{dims}d"): f(t, 2), t)
        add(f"adaptive_max_pool{dims}d", lambda t, f=getattr(F, f"adaptive_max_pool{dims}d"): f(t, 2), t)
    add("max_unpool2d", lambda t: F.max_unpool2d(t, torch.tensor([[[[0, 3], [9, 14]]]]), 2), real(1, 1, 2, 2))
    line = real(1, 2, 3)
    for mode, card, t in (
        ("nearest", "nearest1d", line), ("nearest-exact", "nearest_exact1d", line), ("linear", "linear1d", line),
        ("nearest", "nearest2d", image), ("nearest-exact", "nearest_exact2d", image), ("bilinear", "bilinear2d", image), ("bicubic", "bicubic2d", image),
        ("nearest", "nearest3d", volume), ("nearest-exact", "nearest_exact3d", volume), ("trilinear", "trilinear3d", volume),
    ):  # fmt: skip
        add(f"upsample_{card}", lambda t, m=mode: F.interpolate(t, scale_factor=2, mode=m), t)
    add("embedding", lambda w: F.embedding(torch.tensor([[0, 2], [2, 0]]), w, padding_idx=1), real(3, 2))
    for mode in ("sum", "mean"):
        add_card("embedding_bag", (mode, 2, 3), real(5, 4), more=(torch.tensor([1, 0, 2, 4, 1, 2]), torch.tensor([0, 4, 4])))
    named = torch.tensor([1, 0, 2, 4, 1, 2]), torch.tensor([0, 4, 4])
    add("embedding_bag_weighted", lambda w, f: F.embedding_bag(named[0], w, named[1], mode="sum", per_sample_weights=f, padding_idx=2), real(5, 4), real(6, seed=1))
    target = torch.tensor([0, 2, 1])
    for reduction in ("none", "mean", "sum"):
        add("cross_entropy", lambda x, r=reduction: F.cross_entropy(x, target, reduction=r, label_smoothing=0.1), real(3, 4))
        add("cross_entropy", lambda x, r=reduction: F.cross_entropy(x, target, reduction=r), real(3, 4))
        add("nll_loss", lambda x, r=reduction: F.nll_loss(x, target, reduction=r), real(3, 4))
    add("cross_entropy", lambda x, w=real(4, low=0.5, seed=1): F.cross_entropy(x, target, w), real(3, 4))
    for name, low, high in (("mse_loss", -1.0, 1.0), ("smooth_l1_loss", -3.0, 3.0), ("huber_loss", -3.0, 3.0), ("binary_cross_entropy_with_logits", -2.0, 2.0)):
        for reduction in ("none", "mean", "sum"):
            add(name, lambda x, y, f=getattr(F, name), r=reduction: f(x, y, reduction=r), real(3, 4, low=low, high=high), real(3, 4, low=0.1, high=0.9, seed=1))
    add("binary_cross_entropy", lambda x: F.binary_cross_entropy(x, flags(6).double()), real(6, low=0.1, high=0.9))
    add("ctc_loss", lambda x: F.ctc_loss(x.log_softmax(-1), torch.tensor([[1, 2]]), (4,), (2,)), real(4, 1, 3))


def gradients() -> None:
    """Cards that only gradients apply, by themselves: all the operands are independent."""
    g, t, inside = real(2, 4, seed=1), real(2, 4, low=-4.0, high=4.0), real(2, 4, low=0.1, high=0.9)
    for name in ("gelu", "silu", "mish", "softplus", "elu", "leaky_relu", "hardsigmoid", "hardswish", "log_sigmoid", "hardtanh", "threshold", "shrink"):
        static = {"gelu": ("none",), "softplus": (1.3, 2.0), "elu": (0.7, 1.1, 1.2), "leaky_relu": (0.1,), "hardtanh": (-0.7, 1.3), "threshold": (0.3,), "shrink": (0.6,)}
        add_card(f"{name}_backward", static.get(name, ()), g, t)
    add_card("gelu_backward", ("tanh",), g, t)
    for name in ("tanh", "sigmoid"):
        add_card(f"{name}_backward", (), g, inside)
        add_card(f"{name}_backward", (), complex_(3), complex_(3))
    for name in ("softmax", "log_softmax"):
        add_card(f"{name}_backward", (1,), g, inside)
        add_card(f"{name}_backward", (0,), g, inside.log())
    x, w, g = real(2, 4, 3), real(4, seed=1), real(2, 4, 3, seed=2)
    for mask in ((True, True, True), (False, True, False), (True, False, True)):
        add_norm_backward("layer_norm", lambda x: torch.native_layer_norm(x, (4, 3), None, None, 1e-5), (2, 1e-5, mask), g, x, real(4, 3, seed=1))
        add_norm_backward("group_norm", lambda x: torch.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5), (2, 1e-5, mask), g, x, w)
        add_norm_backward("batch_norm", lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5), (1e-5, mask), g, x, w)
        add_card("batch_norm_eval_backward", (1e-5, mask), g, x, w, real(4, seed=3), real(4, low=0.5, high=1.5, seed=4))
    add("rms_norm_backward", rms_norm_backward, g, x, real(4, 3, seed=1))
    for mask in ((True, True, True), (False, True), (False, False, True)):
        add_card("linear_backward", (mask,), real(2, 3, 4, seed=2), real(2, 3, 5), real(4, 5, seed=1))
    add_card("linear_backward", ((True, True, True),), real(3, seed=2), real(3, 5), real(5, seed=1))
    add_card("embedding_dense_backward", (3, 1, False), real(2, 2, 2), more=(torch.tensor([[0, 2], [2, 1]]),))
    g, x, y = real(3, 4, seed=2), real(3, 4, low=-3.0, high=3.0), real(3, 4, low=0.1, high=0.9, seed=1)
    for name, numbers in (("mse_loss", (0.3,)), ("smooth_l1_loss", (0.3, 1.3)), ("huber_loss", (0.3, 1.3)), ("binary_cross_entropy_with_logits", (0.3,))):
        add_card(f"{name}_backward", (), g, x, y, more=numbers)
        add_card(f"{name}_backward", (), real(), x.t(), y.t(), more=numbers)
    add_card("binary_cross_entropy_backward", (), g, real(3, 4, low=0.2, high=0.8), y)
    target, weight = torch.tensor([3, -1, 0]), real(4, low=0.5, high=1.5, seed=3)
    for reduction in ("none", "mean", "sum"):
        g = real(3, seed=1) if reduction == "none" else real()
        for smoothing, weights in ((0.0, ()), (0.0, (weight,)), (0.1, ()), (0.1, (weight,))):
            add_card("cross_entropy_backward", (-1, reduction, smoothing), g, x, more=(target, *weights))
        add_card("nll_loss_backward", (-1, reduction), g, x, more=(target, weight))
        add_card("nll_loss_backward", (-1, reduction), g, x, more=(target,))


def steps() -> None:
    """Optimizer steps, each on copies of the parameter and its buffers."""
    for scalars, counts in (({"lr": 0.3, "momentum": 0.7}, ()), ({"lr": 0.3, "momentum": 0.7, "weight_decay": 0.1}, (3.0,))):
        add("optimizer_step", lambda *tensors, s=scalars, c=counts: momentum_step(tensors, s, c), real(2, 3), real(2, 3, seed=1), real(2, 3, seed=2))


def momentum_step(tensors: tuple[Tensor, ...], scalars: dict[str, float], counts: tuple[float, ...]) -> list[Tensor]:
    def rule(param: Tensor, grad: Tensor, velocity: Tensor, *, lr: float, momentum: float) -> None:
        velocity.lerp_(grad, 1 - momentum)
        param.addcmul_(velocity, velocity, value=-lr)

    with torch.no_grad():
        changed = [*(tensor.clone() for tensor in tensors), *(torch.zeros(()) for _ in counts)]
        optimizer_step(rule, [changed], scalars, counts)
    return changed


def add_card(card: str, static: tuple[Any, ...], *tensors: Tensor, more: tuple[Any, ...] = ()) -> None:
    """A card applied to the tensors and to further operands, which are not differentiated."""
    add(card, lambda *tensors: apply(CARDS[card], (*tensors, *more), static), *tensors)


def rms_norm_backward(g: Tensor, x: Tensor, w: Tensor) -> Any:
    rstd = (x.detach().square().mean((1, 2), keepdim=True) + 1e-5).rsqrt()
    return apply(CARDS["rms_norm_backward"], (g, x, w, rstd), (2, 1e-5, (True, True)))


def add_norm_backward(name: str, forward: Callable[..., Any], static: tuple[Any, ...], *tensors: Tensor) -> None:
    """With the mean and the reciprocal deviation that the op itself gives."""

    def call(g: Tensor, x: Tensor, w: Tensor) -> Any:
        _, mean, rstd = forward(x.detach())
        return apply(CARDS[f"{name}_backward"], (g, x, w, mean, rstd), static)

    add(f"{name}_backward", call, *tensors)


def recurrences() -> None:
    """Layers over sequences and single steps, with and without biases, from either end."""
    for name, gates, states in (("lstm", 4, 2), ("gru", 3, 1), ("rnn_tanh", 1, 1), ("rnn_relu", 1, 1)):
        for sequence, reverse, biased in (((2,), False, True), ((2,), True, False), ((), False, True)):
            weights = [real(gates * 2, 3), real(gates * 2, 2), *([real(gates * 2), real(gates * 2, seed=1)] if biased else [])]
            state = [real(*sequence and (1,), 1, 2, seed=3 + n) for n in range(states)]
            tensors = (real(*sequence, 1, 3), *state, *weights)
            card = f"{name}_layer" if sequence else f"{name}_cell"
            add(card, lambda *tensors, c=card, s=states, r=reverse: recurrent_layer(c, s, r, *tensors)[:-1], *tensors)
            grads = (real(*sequence, 1, 2, seed=6), *(real(*sequence and (1,), 1, 2, seed=7 + n) for n in range(states)))
            call = lambda *tensors, n=name, s=states, r=reverse: recurrent_layer_backward(n, s, r, *tensors)  # noqa: E731
            add(f"{name}_layer_backward", call, *grads, *tensors)


def recurrent_layer(name: str, states: int, reverse: bool, input: Tensor, *others: Tensor) -> Any:
    state, weights = others[:states], others[states:]
    biases = weights[2:] or (0.0, 0.0)
    return apply(CARDS[name], (input, *weights[:2], *biases, *state), (reverse, True))


def recurrent_layer_backward(name: str, states: int, reverse: bool, *tensors: Tensor) -> Any:
    grads, operands = tensors[: states + 1], tensors[states + 1 :]
    (input, *state), weights = operands[: states + 1], operands[states + 1 :]
    saved = recurrent_layer(f"{name}_layer", states, reverse, *(t.detach() for t in operands))[-1]
    biases = weights[2:] or (0.0, 0.0)
    mask = (True, True, True, *[len(weights) > 2] * 2, *[True] * states)
    return apply(CARDS[f"{name}_layer_backward"], (saved, input, *weights[:2], *biases, *state, *grads), (reverse, mask))


for family in (pointwise, reductions, views, movement, products, layers, gradients, recurrences, steps):
    family()
