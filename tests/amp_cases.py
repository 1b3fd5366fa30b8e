"""Calls whose results' dtypes under `torch.autocast` are recorded: by name, a function of the library and a maker of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = Callable[[Any, Any, Callable[..., Any]], Any]


def _index(torch: Any, *values: int) -> Any:
    return torch.tensor(values)


def _module(build: Callable[[Any], Any], *shape: int) -> Call:
    return lambda torch, F, make: build(torch.nn)(make(*shape))


def _unary(name: str) -> Call:
    return lambda torch, F, make: getattr(torch, name)(make(3, 4))


def _binary(name: str) -> Call:
    return lambda torch, F, make: getattr(torch, name)(make(3, 4), make(3, 4))


def _of_one(name: str, *shape: int, **arguments: Any) -> Call:
    return lambda torch, F, make: getattr(F, name)(make(*shape), **arguments)


def _of_two(name: str, *shape: int, **arguments: Any) -> Call:
    return lambda torch, F, make: getattr(F, name)(make(*shape), make(*shape), **arguments)


CALLS: dict[str, Call] = {
    # Products
    "mm": lambda torch, F, make: torch.mm(make(3, 4), make(4, 5)),
    "matmul": lambda torch, F, make: torch.matmul(make(3, 4), make(4, 5)),
    "matmul vectors": lambda torch, F, make: torch.matmul(make(4), make(4)),
    "matmul batch": lambda torch, F, make: torch.matmul(make(2, 3, 4), make(4, 5)),
    "matmul matrix vector": lambda torch, F, make: torch.matmul(make(3, 4), make(4)),
    "@": lambda torch, F, make: make(2, 3, 4) @ make(2, 4, 5),
    "mv": lambda torch, F, make: torch.mv(make(3, 4), make(4)),
    "bmm": lambda torch, F, make: torch.bmm(make(2, 3, 4), make(2, 4, 5)),
    "addmm": lambda torch, F, make: torch.addmm(make(5), make(3, 4), make(4, 5)),
    "addmv": lambda torch, F, make: torch.addmv(make(3), make(3, 4), make(4)),
    "addr": lambda torch, F, make: torch.addr(make(3, 4), make(3), make(4)),
    "addbmm": lambda torch, F, make: torch.addbmm(make(3, 5), make(2, 3, 4), make(2, 4, 5)),
    "baddbmm": lambda torch, F, make: torch.baddbmm(make(2, 3, 5), make(2, 3, 4), make(2, 4, 5)),
    "addmm method": lambda torch, F, make: make(3, 5).addmm(make(3, 4), make(4, 5)),
    "baddbmm method": lambda torch, F, make: make(2, 3, 5).baddbmm(make(2, 3, 4), make(2, 4, 5)),
    "linear": lambda torch, F, make: F.linear(make(3, 4), make(5, 4), make(5)),
    "linear without bias": lambda torch, F, make: F.linear(make(3, 4), make(5, 4)),
    "linear of integers": lambda torch, F, make: F.linear(torch.ones(3, 4, dtype=torch.int64), torch.ones(5, 4, dtype=torch.int64)),
    "linear of float64": lambda torch, F, make: F.linear(torch.ones(3, 4, dtype=torch.float64), torch.ones(5, 4, dtype=torch.float64)),
    "einsum": lambda torch, F, make: torch.einsum("ij,jk->ik", make(3, 4), make(4, 5)),
    "einsum elementwise": lambda torch, F, make: torch.einsum("ij,ij->ij", make(3, 4), make(3, 4)),
    "tensordot": lambda torch, F, make: torch.tensordot(make(3, 4), make(4, 5), dims=1),
    "dot": lambda torch, F, make: torch.dot(make(4), make(4)),
    "vdot": lambda torch, F, make: torch.vdot(make(4), make(4)),
    "inner": lambda torch, F, make: torch.inner(make(4), make(4)),
    "outer": lambda torch, F, make: torch.outer(make(4), make(4)),
    "chain_matmul": lambda torch, F, make: torch.linalg.multi_dot([make(3, 4), make(4, 5), make(5, 2)]),
    "linalg.vecdot": lambda torch, F, make: torch.linalg.vecdot(make(3, 4), make(3, 4)),
    "linalg.matmul": lambda torch, F, make: torch.linalg.matmul(make(3, 4), make(4, 3)),
    "bilinear": lambda torch, F, make: F.bilinear(make(3, 2), make(3, 4), make(5, 2, 4), make(5)),
    "conv1d": lambda torch, F, make: F.conv1d(make(2, 3, 8), make(4, 3, 3), make(4)),
    "conv2d": lambda torch, F, make: F.conv2d(make(2, 3, 8, 8), make(4, 3, 3, 3), make(4)),
    "conv2d without bias": lambda torch, F, make: F.conv2d(make(2, 3, 8, 8), make(4, 3, 3, 3)),
    "conv2d same": lambda torch, F, make: F.conv2d(make(2, 3, 8, 8), make(4, 3, 3, 3), padding="same"),
    "conv3d": lambda torch, F, make: F.conv3d(make(1, 2, 4, 4, 4), make(3, 2, 2, 2, 2), make(3)),
    "conv_transpose1d": lambda torch, F, make: F.conv_transpose1d(make(2, 3, 8), make(3, 4, 3), make(4)),
    "conv_transpose2d": lambda torch, F, make: F.conv_transpose2d(make(2, 3, 8, 8), make(3, 4, 3, 3), make(4)),
    "conv_transpose3d": lambda torch, F, make: F.conv_transpose3d(make(1, 2, 4, 4, 4), make(2, 3, 2, 2, 2), make(3)),
    "scaled_dot_product_attention": lambda torch, F, make: F.scaled_dot_product_attention(make(2, 2, 5, 8), make(2, 2, 5, 8), make(2, 2, 5, 8)),
    "attention causal": lambda torch, F, make: F.scaled_dot_product_attention(make(2, 2, 5, 8), make(2, 2, 5, 8), make(2, 2, 5, 8), is_causal=True),
    "attention mask": lambda torch, F, make: F.scaled_dot_product_attention(make(2, 2, 5, 8), make(2, 2, 5, 8), make(2, 2, 5, 8), attn_mask=make(5, 5)),
    "prelu": lambda torch, F, make: F.prelu(make(2, 3, 4), make(3)),
    "Linear": _module(lambda nn: nn.Linear(4, 5), 3, 4),
    "Conv2d": _module(lambda nn: nn.Conv2d(3, 4, 3), 2, 3, 8, 8),
    "LSTM": lambda torch, F, make: torch.nn.LSTM(4, 5)(make(6, 2, 4))[0],
    "LSTM cell state": lambda torch, F, make: torch.nn.LSTM(4, 5)(make(6, 2, 4))[1][1],
    "LSTM bidirectional": lambda torch, F, make: torch.nn.LSTM(4, 5, num_layers=2, bidirectional=True)(make(6, 2, 4))[0],
    "LSTM state given": lambda torch, F, make: torch.nn.LSTM(4, 5)(make(6, 2, 4), (make(1, 2, 5), make(1, 2, 5)))[0],
    "GRU": lambda torch, F, make: torch.nn.GRU(4, 5)(make(6, 2, 4))[0],
    "GRU hidden": lambda torch, F, make: torch.nn.GRU(4, 5)(make(6, 2, 4))[1],
    "RNN": lambda torch, F, make: torch.nn.RNN(4, 5)(make(6, 2, 4))[0],
    "RNN relu": lambda torch, F, make: torch.nn.RNN(4, 5, nonlinearity="relu")(make(6, 2, 4))[0],
    "LSTMCell": lambda torch, F, make: torch.nn.LSTMCell(4, 5)(make(2, 4))[0],
    "LSTMCell cell state": lambda torch, F, make: torch.nn.LSTMCell(4, 5)(make(2, 4))[1],
    "GRUCell": lambda torch, F, make: torch.nn.GRUCell(4, 5)(make(2, 4)),
    "RNNCell": lambda torch, F, make: torch.nn.RNNCell(4, 5)(make(2, 4)),
    "RNNCell relu": lambda torch, F, make: torch.nn.RNNCell(4, 5, nonlinearity="relu")(make(2, 4)),
    "MultiheadAttention": lambda torch, F, make: (lambda x: torch.nn.MultiheadAttention(8, 2)(x, x, x)[0])(make(5, 2, 8)),
    "MultiheadAttention weights": lambda torch, F, make: (lambda x: torch.nn.MultiheadAttention(8, 2)(x, x, x)[1])(make(5, 2, 8)),
    "MultiheadAttention eval": lambda torch, F, make: (lambda x: torch.nn.MultiheadAttention(8, 2).eval()(x, x, x, need_weights=False)[0])(make(5, 2, 8)),
    "TransformerEncoderLayer": _module(lambda nn: nn.TransformerEncoderLayer(8, 2, 16), 5, 2, 8),
    "TransformerDecoderLayer": lambda torch, F, make: torch.nn.TransformerDecoderLayer(8, 2, 16)(make(5, 2, 8), make(5, 2, 8)),
    "Bilinear": lambda torch, F, make: torch.nn.Bilinear(4, 4, 2)(make(3, 4), make(3, 4)),
    # Losses
    "mse_loss": _of_two("mse_loss", 3, 4),
    "l1_loss": _of_two("l1_loss", 3, 4),
    "smooth_l1_loss": _of_two("smooth_l1_loss", 3, 4),
    "huber_loss": _of_two("huber_loss", 3, 4),
    "kl_div": _of_two("kl_div", 3, 4, reduction="sum"),
    "poisson_nll_loss": _of_two("poisson_nll_loss", 3, 4),
    "soft_margin_loss": _of_two("soft_margin_loss", 3, 4),
    "binary_cross_entropy_with_logits": _of_two("binary_cross_entropy_with_logits", 3, 4),
    "binary_cross_entropy": _of_two("binary_cross_entropy", 3, 4),
    "gaussian_nll_loss": lambda torch, F, make: F.gaussian_nll_loss(make(3, 4), make(3, 4), make(3, 4)),
    "cross_entropy": lambda torch, F, make: F.cross_entropy(make(3, 4), _index(torch, 0, 1, 2)),
    "cross_entropy probabilities": lambda torch, F, make: F.cross_entropy(make(3, 4), make(3, 4)),
    "cross_entropy smoothed": lambda torch, F, make: F.cross_entropy(make(3, 4), _index(torch, 0, 1, 2), label_smoothing=0.1),
    "nll_loss": lambda torch, F, make: F.nll_loss(make(3, 4), _index(torch, 0, 1, 2)),
    "nll_loss images": lambda torch, F, make: F.nll_loss(make(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)),
    "multi_margin_loss": lambda torch, F, make: F.multi_margin_loss(make(3, 4), _index(torch, 0, 1, 2)),
    "multilabel_margin_loss": lambda torch, F, make: F.multilabel_margin_loss(make(4), _index(torch, 0, 1, -1, 0)),
    "multilabel_soft_margin_loss": _of_two("multilabel_soft_margin_loss", 3, 4),
    "margin_ranking_loss": lambda torch, F, make: F.margin_ranking_loss(make(3), make(3), make(3)),
    "hinge_embedding_loss": _of_two("hinge_embedding_loss", 3),
    "triplet_margin_loss": lambda torch, F, make: F.triplet_margin_loss(make(3, 4), make(3, 4), make(3, 4)),
    "cosine_embedding_loss": lambda torch, F, make: F.cosine_embedding_loss(make(3, 4), make(3, 4), make(3)),
    "ctc_loss": lambda torch, F, make: F.ctc_loss(make(5, 1, 4), torch.tensor([[1, 2]]), _index(torch, 5), _index(torch, 2)),
    # Layers
    **{name: _of_one(name, 2, 3, 8, 8) for name in ("relu", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "mish", "softplus", "softsign", "tanhshrink", "logsigmoid", "relu6", "glu", "hardshrink", "softshrink", "rrelu", "threshold")
       if name not in ("glu", "threshold")},
    "glu": lambda torch, F, make: F.glu(make(2, 4)),
    "softmax": lambda torch, F, make: F.softmax(make(3, 4), -1),
    "log_softmax": lambda torch, F, make: F.log_softmax(make(3, 4), -1),
    "softmin": lambda torch, F, make: F.softmin(make(3, 4), -1),
    "dropout": lambda torch, F, make: F.dropout(make(3, 4), 0.5),
    "layer_norm": lambda torch, F, make: F.layer_norm(make(3, 4), (4,), make(4), make(4)),
    "rms_norm": lambda torch, F, make: F.rms_norm(make(3, 4), (4,), make(4)),
    "group_norm": lambda torch, F, make: F.group_norm(make(2, 4, 3), 2, make(4), make(4)),
    "instance_norm": lambda torch, F, make: F.instance_norm(make(2, 4, 3)),
    "batch_norm": lambda torch, F, make: F.batch_norm(make(3, 4), torch.zeros(4), torch.ones(4), training=True),
    "BatchNorm2d": _module(lambda nn: nn.BatchNorm2d(3), 2, 3, 4, 4),
    "LayerNorm": _module(lambda nn: nn.LayerNorm(4), 3, 4),
    "local_response_norm": lambda torch, F, make: F.local_response_norm(make(2, 4, 3), 2),
    "normalize": lambda torch, F, make: F.normalize(make(3, 4)),
    "max_pool1d": _of_one("max_pool1d", 2, 3, 8, kernel_size=2),
    "max_pool2d": _of_one("max_pool2d", 2, 3, 8, 8, kernel_size=2),
    "max_pool3d": _of_one("max_pool3d", 1, 2, 4, 4, 4, kernel_size=2),
    "avg_pool1d": _of_one("avg_pool1d", 2, 3, 8, kernel_size=2),
    "avg_pool2d": _of_one("avg_pool2d", 2, 3, 8, 8, kernel_size=2),
    "avg_pool3d": _of_one("avg_pool3d", 1, 2, 4, 4, 4, kernel_size=2),
    "adaptive_avg_pool1d": _of_one("adaptive_avg_pool1d", 2, 3, 8, output_size=2),
    "adaptive_avg_pool2d": _of_one("adaptive_avg_pool2d", 2, 3, 8, 8, output_size=2),
    "adaptive_avg_pool3d": _of_one("adaptive_avg_pool3d", 1, 2, 4, 4, 4, output_size=2),
    "adaptive_max_pool2d": _of_one("adaptive_max_pool2d", 2, 3, 8, 8, output_size=2),
    "lp_pool2d": _of_one("lp_pool2d", 2, 3, 8, 8, norm_type=2, kernel_size=2),
    "interpolate nearest": _of_one("interpolate", 2, 3, 8, 8, scale_factor=2),
    "interpolate bilinear": _of_one("interpolate", 2, 3, 8, 8, scale_factor=2, mode="bilinear"),
    "interpolate bicubic": _of_one("interpolate", 2, 3, 8, 8, scale_factor=2, mode="bicubic"),
    "pad constant": _of_one("pad", 2, 3, 8, 8, pad=(1, 1)),
    "pad reflect": _of_one("pad", 2, 3, 8, 8, pad=(1, 1, 1, 1), mode="reflect"),
    "pad replicate": _of_one("pad", 2, 3, 8, 8, pad=(1, 1, 1, 1), mode="replicate"),
    "pad reflect 1d": _of_one("pad", 2, 3, 8, pad=(1, 1), mode="reflect"),
    "pad circular": _of_one("pad", 2, 3, 8, pad=(1, 1), mode="circular"),
    "grid_sample": lambda torch, F, make: F.grid_sample(make(1, 2, 4, 4), make(1, 3, 3, 2), align_corners=False),
    "affine_grid": lambda torch, F, make: F.affine_grid(make(1, 2, 3), [1, 1, 3, 3], align_corners=False),
    "embedding": lambda torch, F, make: F.embedding(_index(torch, 0, 1), make(3, 4)),
    "cosine_similarity": lambda torch, F, make: F.cosine_similarity(make(3, 4), make(3, 4)),
    "pairwise_distance": lambda torch, F, make: F.pairwise_distance(make(3, 4), make(3, 4)),
    "pdist": lambda torch, F, make: F.pdist(make(3, 4)),
    "unfold": _of_one("unfold", 2, 3, 8, 8, kernel_size=2),
    "pixel_shuffle": lambda torch, F, make: F.pixel_shuffle(make(1, 4, 2, 2), 2),
    # Elementwise
    **{name: _unary(name) for name in ("exp", "expm1", "log", "log2", "log10", "log1p", "reciprocal", "rsqrt", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "erf", "erfc", "erfinv", "sigmoid", "abs", "neg", "floor", "sign", "square", "frac", "lgamma", "digamma", "clone", "isnan")},
    **{name: _binary(name) for name in ("add", "sub", "mul", "div", "maximum", "fmod", "atan2", "pow", "hypot", "logaddexp", "eq", "lt")},
    "pow number": lambda torch, F, make: make(3, 4) ** 2,
    "pow number first": lambda torch, F, make: 2.0 ** make(3, 4),
    "add number": lambda torch, F, make: make(3, 4) + 1,
    "addcdiv": lambda torch, F, make: torch.addcdiv(make(3), make(3), make(3)),
    "addcmul": lambda torch, F, make: torch.addcmul(make(3), make(3), make(3)),
    "lerp": lambda torch, F, make: torch.lerp(make(3), make(3), 0.5),
    "where": lambda torch, F, make: torch.where(torch.ones(3, dtype=torch.bool), make(3), make(3)),
    "clamp": lambda torch, F, make: torch.clamp(make(3), 0.1, 0.9),
    "exp_": lambda torch, F, make: make(3).exp_(),
    "add_": lambda torch, F, make: make(3).add_(make(3)),
    # Reductions
    "sum": _unary("sum"),
    "sum dim": lambda torch, F, make: make(3, 4).sum(1),
    "mean": _unary("mean"),
    "mean dim": lambda torch, F, make: make(3, 4).mean(1),
    "prod": _unary("prod"),
    "prod dim": lambda torch, F, make: make(3, 4).prod(1),
    "cumsum": lambda torch, F, make: torch.cumsum(make(3, 4), 1),
    "cumprod": lambda torch, F, make: torch.cumprod(make(3, 4), 1),
    "logsumexp": lambda torch, F, make: torch.logsumexp(make(3, 4), 1),
    "norm": lambda torch, F, make: torch.norm(make(3, 4)),
    "norm dim": lambda torch, F, make: make(3, 4).norm(dim=1),
    "norm p": lambda torch, F, make: torch.norm(make(3, 4), p=1, dim=1),
    "norm frobenius": lambda torch, F, make: torch.norm(make(3, 4), p="fro", dim=(0, 1)),
    "linalg.vector_norm": lambda torch, F, make: torch.linalg.vector_norm(make(3, 4)),
    "linalg.norm": lambda torch, F, make: torch.linalg.norm(make(3, 4)),
    "linalg.matrix_norm": lambda torch, F, make: torch.linalg.matrix_norm(make(3, 4)),
    "var": _unary("var"),
    "std": _unary("std"),
    "amax": _unary("amax"),
    "max dim": lambda torch, F, make: make(3, 4).max(1).values,
    "dist": lambda torch, F, make: torch.dist(make(3), make(3)),
    "cdist": lambda torch, F, make: torch.cdist(make(3, 4), make(5, 4)),
    "renorm": lambda torch, F, make: torch.renorm(make(3, 4), 2, 0, 1.0),
    "trace": lambda torch, F, make: torch.trace(make(3, 3)),
    "quantile": lambda torch, F, make: torch.quantile(make(3, 4), 0.5),
    "nanquantile": lambda torch, F, make: torch.nanquantile(make(3, 4), 0.5),
    "median": lambda torch, F, make: torch.median(make(3)),
    "sort": lambda torch, F, make: torch.sort(make(3)).values,
    "topk": lambda torch, F, make: torch.topk(make(3), 2).values,
    # Several tensors
    "cat": lambda torch, F, make: torch.cat([make(3), make(3)]),
    "stack": lambda torch, F, make: torch.stack([make(3), make(3)]),
    "hstack": lambda torch, F, make: torch.hstack([make(3), make(3)]),
    "index_copy": lambda torch, F, make: make(3).index_copy(0, _index(torch, 0, 1), make(2)),
    "index_put": lambda torch, F, make: make(3).index_put((_index(torch, 0, 1),), make(2)),
    "scatter_add": lambda torch, F, make: make(3).scatter_add(0, _index(torch, 0, 1), make(2)),
    "index_add": lambda torch, F, make: make(3).index_add(0, _index(torch, 0, 1), make(2)),
    "cross": lambda torch, F, make: torch.linalg.cross(make(2, 3), make(2, 3)),
    # Linear algebra and transforms
    "linalg.inv": lambda torch, F, make: torch.linalg.inv(make(3, 3) + torch.eye(3)),
    "inverse": lambda torch, F, make: torch.inverse(make(3, 3) + torch.eye(3)),
    "linalg.svdvals": lambda torch, F, make: torch.linalg.svdvals(make(3, 3)),
    "linalg.solve": lambda torch, F, make: torch.linalg.solve(make(3, 3) + torch.eye(3), make(3, 2)),
    "linalg.det": lambda torch, F, make: torch.linalg.det(make(3, 3)),
    "linalg.qr": lambda torch, F, make: torch.linalg.qr(make(3, 3)).Q,
    "linalg.pinv": lambda torch, F, make: torch.linalg.pinv(make(3, 3)),
    "linalg.cholesky": lambda torch, F, make: torch.linalg.cholesky(make(3, 3) * 0 + torch.eye(3)),
    "cholesky_inverse": lambda torch, F, make: torch.cholesky_inverse(make(3, 3) + torch.eye(3)),
    "fft.fft": lambda torch, F, make: torch.fft.fft(make(8)),
    "fft.rfft": lambda torch, F, make: torch.fft.rfft(make(8)),
    "polar": lambda torch, F, make: torch.polar(make(3), make(3)),
    "view_as_complex": lambda torch, F, make: torch.view_as_complex(make(3, 2)),
}  # fmt: skip


def maker(torch: Any, kind: str, low: Any) -> Callable[..., Any]:
    """Makes the tensors of a call: of float32, of the lower precision, or mixed (the first, or all but the first, of float32)."""
    made = 0

    def make(*shape: int) -> Any:
        nonlocal made
        count = 1
        for n in shape:
            count *= n
        found = ((torch.arange(count, dtype=torch.float32) * 7 % 11 + 1) / 12).reshape(shape)
        first, made = made == 0, made + 1
        single = {"float32": True, "low": False, "first float32": first, "others float32": not first}[kind]
        return found if single else found.to(low)

    return make


KINDS = ("float32", "low", "first float32", "others float32")
LOW = ("bfloat16", "float16")


def outcome(torch: Any, name: str, kind: str, low: str) -> str:
    """The dtype of a call's result under autocast, or the class of the exception that it raises."""
    dtype = getattr(torch, low)
    with torch.autocast("cpu", dtype=dtype):
        try:
            return str(CALLS[name](torch, torch.nn.functional, maker(torch, kind, dtype)).dtype).removeprefix("torch.")
        except Exception as error:
            return type(error).__name__


def weights(torch: Any, model: Any) -> Any:
    """The model with weights that do not depend on random numbers."""
    with torch.no_grad():
        for n, parameter in enumerate(model.parameters()):
            places = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_((torch.sin(places * 1.7 + n) / parameter.shape[-1] ** 0.5).reshape(parameter.shape))
    return model


def mlp(torch: Any) -> Any:
    nn = torch.nn
    return weights(torch, nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)))


def convnet(torch: Any) -> Any:
    nn = torch.nn
    return weights(torch, nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)))


def training(torch: Any, build: Callable[[Any], Any], shape: tuple[int, ...], low: str, steps: int = 12) -> list[float]:
    """The losses of a training loop under autocast."""
    model = build(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=low == "float16")
    count = 1
    for n in shape:
        count *= n
    data = torch.cos(torch.arange(count, dtype=torch.float32) * 0.37).reshape(shape)
    target = torch.arange(shape[0]) % 3
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=getattr(torch, low)):
            loss = torch.nn.functional.cross_entropy(model(data), target)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


TRAININGS = {
    f"{name} {low}": (build, shape, low)
    for name, build, shape in (("mlp", mlp, (8, 6)), ("convnet", convnet, (6, 2, 8, 8)))
    for low in LOW
}


def scaling(torch: Any) -> list[list[float]]:
    """The scale, the growth tracker and a parameter after each step of a loop in which some gradients overflow."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.125)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=3)
    history = []
    for step in range(16):
        optimizer.zero_grad()
        factor = float("inf") if step in (2, 9) else float("nan") if step == 10 else 0.5
        scaler.scale((weight * factor).sum()).backward()
        if step % 2:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        if step == 12:
            scaler.update(32.0)
        else:
            scaler.update()
        state = scaler.state_dict()
        history.append([state["scale"], state["_growth_tracker"], weight.detach()[0].item()])
    return history
