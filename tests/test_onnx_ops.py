"""`torch.onnx.export` of single functions: what onnxruntime computes from the file is what they compute."""

import pytest
from onnx_models import Calls, agrees, check, exported

import rushlight as torch
from rushlight.nn import functional as F


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


UNARY = {
    "abs": torch.abs, "ceil": torch.ceil, "floor": torch.floor, "round": torch.round, "trunc": torch.trunc,
    "frac": torch.frac, "neg": torch.neg, "sign": torch.sign, "exp": torch.exp, "exp2": torch.exp2,
    "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "atan": torch.atan,
    "sinh": torch.sinh, "cosh": torch.cosh, "tanh": torch.tanh, "asinh": torch.asinh, "sigmoid": torch.sigmoid,
    "erf": torch.erf, "erfc": torch.erfc, "square": torch.square, "reciprocal": torch.reciprocal,
    "isnan": torch.isnan, "isinf": torch.isinf, "isfinite": torch.isfinite, "nan_to_num": torch.nan_to_num,
    "round 1": lambda x: torch.round(x, decimals=1),
    "clamp": lambda x: x.clamp(-0.5, 0.7), "clamp_min": lambda x: x.clamp(min=0.1), "clamp_max": lambda x: x.clamp(max=0.1),
    "relu": F.relu, "relu6": F.relu6, "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "elu": lambda x: F.elu(x, 1.3),
    "selu": F.selu, "celu": lambda x: F.celu(x, 0.7), "gelu": F.gelu, "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu, "mish": F.mish, "softplus": F.softplus, "softplus 2": lambda x: F.softplus(x, 2.0), "softsign": F.softsign,
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 0.7), "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "hardshrink": F.hardshrink, "softshrink": F.softshrink, "tanhshrink": F.tanhshrink, "logsigmoid": F.logsigmoid,
    "threshold": lambda x: F.threshold(x, 0.1, 7.0), "glu": F.glu, "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(0), "softmin": lambda x: F.softmin(x, 1), "normalize": F.normalize,
    "rrelu": F.rrelu, "logical_not": torch.logical_not, "deg2rad": torch.deg2rad, "isneginf": torch.isneginf,
    "count_nonzero": torch.count_nonzero,
}  # fmt: skip
POSITIVE = {
    "log": torch.log, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p, "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt, "pow": lambda x: x**1.3, "rpow": lambda x: 1.3**x,
}  # fmt: skip
BINARY = {
    "add": torch.add, "add alpha": lambda x, y: torch.add(x, y, alpha=0.3), "sub": torch.sub, "mul": torch.mul,
    "div": torch.div, "floor_divide": torch.floor_divide, "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "remainder": torch.remainder, "fmod": torch.fmod, "maximum": torch.maximum, "minimum": torch.minimum,
    "fmax": torch.fmax, "atan2": torch.atan2, "hypot": torch.hypot, "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le,
    "gt": torch.gt, "ge": torch.ge, "logical_and": torch.logical_and, "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor, "where": lambda x, y: torch.where(x > y, x, 0.3),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3), "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.7),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.7), "masked_fill": lambda x, y: x.masked_fill(y > 0, -1.3),
    "matmul": lambda x, y: x @ y.transpose(-1, -2), "addmm": lambda x, y: torch.addmm(x[:, :3], x, y.t(), beta=0.3, alpha=0.7),
    "cat": lambda x, y: torch.cat([x, y], 1), "stack": lambda x, y: torch.stack([x, y], 1),
    "einsum": lambda x, y: torch.einsum("ij,kj->ik", x, y), "outer": lambda x, y: torch.outer(x[0], y[1]),
    "cosine": F.cosine_similarity, "mse": F.mse_loss, "smooth_l1": lambda x, y: F.smooth_l1_loss(x, y, beta=0.7),
    "huber": lambda x, y: F.huber_loss(x, y, reduction="none", delta=0.7),
    "with logits": lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid(), reduction="sum"),
    "gather": lambda x, y: x.gather(1, (y > 0).long()),
    "masks": lambda x, y: ((x > 0) & (y > 0), (x > 0) | (y > 0), (x > 0) ^ (y > 0)), "rsub": lambda x, y: torch.rsub(x, y),
    "cdist": torch.cdist, "cross": lambda x, y: torch.linalg.cross(x[:, :3], y[:, 1:]),
    "index_add": lambda x, y: x.index_add(1, torch.tensor([1, 1, 3]), y[:, :3], alpha=0.7),
    "index_copy": lambda x, y: x.index_copy(0, torch.tensor([2, 0]), y[:2]),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y.argmax(1), torch.tensor([0.3, 0.7, 1.3, 2.1])),
    "nll_loss": lambda x, y: F.nll_loss(x, y.argmax(1), ignore_index=0, reduction="sum"),
    "bucketize": lambda x, y: torch.bucketize(x, torch.tensor([-0.7, 0.3, 1.3])),
    "searchsorted": lambda x, y: torch.searchsorted(x.sort(1)[0], y, right=True),
}  # fmt: skip
SHAPES = {
    "reshape": lambda x: x.reshape(3, -1), "flatten": lambda x: x.flatten(1), "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(2, 0, 1), "mT": lambda x: x.mT, "unsqueeze": lambda x: x.unsqueeze(1).unsqueeze(-1),
    "squeeze": lambda x: x[:, :1].squeeze(1), "expand": lambda x: x[:, :1].expand(-1, 5, -1), "select": lambda x: x[1, -1],
    "slice": lambda x: x[:, 1:, ::2], "slice end": lambda x: x[:, -2:-1], "newaxis": lambda x: x[None, ..., None],
    "split": lambda x: x.split([1, 2], 1), "chunk": lambda x: x.chunk(2, 2), "unbind": lambda x: x.unbind(1),
    "repeat": lambda x: x.repeat(1, 2, 1), "flip": lambda x: x.flip(0, 2), "roll": lambda x: x.roll(1, 2),
    "tril": lambda x: x.tril(), "triu": lambda x: x.triu(1), "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unfold": lambda x: x.unfold(2, 2, 1), "pad": lambda x: F.pad(x, (1, 2)), "contiguous": lambda x: x.transpose(0, 1).contiguous(),
    "double": lambda x: x.double(), "int": lambda x: x.int(), "bool": lambda x: x.bool(), "index": lambda x: x[:, [2, 0]],
    "two indices": lambda x: x[[1, 0], [0, 2]], "inner indices": lambda x: x[:, [1, 0], [0, 2]],
    "index_select": lambda x: x.index_select(2, torch.tensor([3, 0])), "sum": lambda x: x.sum((0, 2)),
    "sum all": lambda x: x.sum(), "mean": lambda x: x.mean(1, keepdim=True), "prod": lambda x: x.prod(1),
    "amax": lambda x: x.amax((0, 1)), "amin": lambda x: x.amin(2), "max": lambda x: x.max(1), "min": lambda x: x.min(2),
    "max all": lambda x: x.max(), "argmax": lambda x: x.argmax(1), "argmin all": lambda x: x.argmin(), "var": lambda x: x.var(1),
    "std": lambda x: x.std((0, 2), correction=0), "var_mean": lambda x: torch.var_mean(x, 1),
    "logsumexp": lambda x: x.logsumexp(1), "any": lambda x: (x > 1).any(1), "all": lambda x: (x > -1).all(),
    "norm": lambda x: x.norm(dim=1), "cumsum": lambda x: x.cumsum(1), "topk": lambda x: x.topk(2, 2),
    "sort": lambda x: x.sort(1, descending=True), "full_like": lambda x: x + torch.full_like(x, 0.3),
    "cumprod": lambda x: torch.cat([x, x[:1] * 0], 0).cumprod(0), "index_fill": lambda x: x.index_fill(1, torch.tensor([2, 0]), 0.3), "median": lambda x: x.median(2),
    "kthvalue": lambda x: x.kthvalue(2, 1, keepdim=True), "unfold image": lambda x: F.unfold(x, 2, padding=1, stride=2),
    "fold": lambda x: F.fold(x[:, :1].expand(2, 4, 4), (3, 2), 2, stride=(1, 2), padding=(0, 1)),
    "arange": lambda x: x + torch.arange(4), "one_hot": lambda x: F.one_hot((x > 0).long(), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(name):
    """Pointwise functions and those along a dim."""
    check(Calls(UNARY[name]), torch.tensor([[0.3, -0.7, 1.3, -2.1], [0.0, 2.5, -0.5, 0.51]]))


@pytest.mark.parametrize("name", POSITIVE)
def test_functions_of_positive_numbers(name):
    """Logarithms, roots and powers."""
    check(Calls(POSITIVE[name]), torch.rand(3, 4) + 0.3)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors(name):
    """Pointwise functions, comparisons, products and joins."""
    check(Calls(BINARY[name]), torch.randn(3, 4), torch.randn(3, 4))


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_indexing_and_reductions(name):
    """Views, copies, indexing, reductions and casts."""
    check(Calls(SHAPES[name]), torch.randn(2, 3, 4))


DYNAMIC = {
    "sums": lambda x: (x.cumsum(0), x.std(0), x.var((0, 1)), x.softmax(0), x.mean()),
    "places": lambda x: (x.argmax(0), x.topk(2, 0), x.sort(0), x.flip(0), x.roll(1, 0), x.roll(-2, 0)),
    "joins": lambda x: (torch.cat([x, x]), x.repeat(x.size(0), 1), x[1:] - x[:-1], x[::2], x[None].expand(3, -1, -1)),
    "products": lambda x: (x.t() @ x, torch.cdist(x, x), F.cosine_similarity(x[:, None], x[None], -1)),
    "rows": lambda x: (x.index_add(0, torch.arange(x.size(0)), x), x[torch.arange(x.size(0)), x.argmax(1)]),
    "halves": lambda x: x.reshape(x.size(0) // 2, 2, -1).sum(1).reshape(-1, 8).sum(1),
}  # fmt: skip


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_sizes(name):
    """Functions along, over and by the size of a dynamic dim."""
    data = exported(Calls(DYNAMIC[name]), torch.randn(4, 4), input_names=["x"], dynamic_axes={"x": {0: "rows"}})
    for rows in (4, 8, 12):
        agrees(Calls(DYNAMIC[name]), data, torch.randn(rows, 4))


def test_writes_by_mask_and_index():
    """Assignments to masked elements and to places of a dynamic number of rows."""

    def function(x):
        masked, found = x.clone(), torch.zeros(x.size(0), 4)
        masked[x > 0] = 0.3
        found[torch.arange(x.size(0)), x.argmax(1)] = 0.7
        return masked, found

    data = exported(Calls(function), torch.randn(2, 4), input_names=["x"], dynamic_axes={"x": {0: "rows"}})
    agrees(Calls(function), data, torch.randn(5, 4))


def test_integers():
    """Integer arithmetic rounds as in PyTorch, and mixes with floats by PyTorch's promotion."""
    a, b = torch.tensor([7, -7, 5]), torch.tensor([2, 2, -3])
    for function in (
        lambda a, b: (a + b, a * 2, a // b, a % b, a / b, a + 0.3),
        lambda a, b: (a & b, a | b, a ^ b, ~a, a > b),
        lambda a, b: (a.sum(), a.float().mean(), (a > 0).sum(), a.max()),
    ):
        check(Calls(function), a, b)
