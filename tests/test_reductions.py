"""Reductions, extrema, scans, norms, softmax and statistics: PyTorch's values, dtypes, gradients and refusals.

What PyTorch gives for every entry of `CALLS` on every entry of `INPUTS` is recorded in data/reductions.json.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import rushlight as torch

RECORDED = json.loads((Path(__file__).parent / "data" / "reductions.json").read_text())
NAN, INF = math.nan, math.inf

INPUTS = {
    "matrix": ([[1.3, -0.7, 0.3, 2.1], [0.9, 0.2, -1.1, 1.7], [-0.3, 1.9, 0.6, -2.3]], "float32 float64 bfloat16 float16"),
    "ties": ([[2, 0, 2, 1], [1, 1, 0, 1], [3, 0, 0, 3]], "float32 int64 int32 uint8"),
    "truth": ([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], "bool uint8"),
    "holes": ([[1.3, NAN, 0.3, INF], [0.9, NAN, 0.2, 1.7], [NAN, NAN, 0.7, NAN]], "float32 float64"),
    "scalar": (0.7, "float32"),
}

CALLS = {
    "sum": lambda t, x: x.sum(),
    "sum dims": lambda t, x: x.sum(-1, keepdim=True),
    "sum dtype": lambda t, x: t.sum(x, 0, dtype=t.float64),
    "prod": lambda t, x: x.prod(),
    "prod dim": lambda t, x: x.prod(-1),
    "mean": lambda t, x: x.mean(0),
    "nansum": lambda t, x: x.nansum(-1),
    "nanmean": lambda t, x: x.nanmean(-1),
    "var": lambda t, x: x.var(-1),
    "var biased": lambda t, x: x.var(0, False),
    "std": lambda t, x: x.std(),
    "std correction": lambda t, x: t.std(x, 0, correction=2, keepdim=True),
    "var_mean": lambda t, x: t.var_mean(x, 0),
    "std_mean": lambda t, x: t.std_mean(x, -1),
    "logsumexp": lambda t, x: x.logsumexp(-1),
    "norm": lambda t, x: x.norm(),
    "norm 1": lambda t, x: x.norm(1, 0),
    "norm 3": lambda t, x: x.norm(3, -1, True),
    "norm 0.5": lambda t, x: x.norm(0.5),
    "norm inf": lambda t, x: x.norm(INF, -1),
    "norm -inf": lambda t, x: x.norm(-INF),
    "norm 0": lambda t, x: x.norm(0),
    "all": lambda t, x: x.all(-1),
    "any": lambda t, x: x.any(0, keepdim=True),
    "all nothing reduced": lambda t, x: t.all(x, dim=()),
    "count_nonzero": lambda t, x: x.count_nonzero(-1),
    "max": lambda t, x: x.max(),
    "max dim": lambda t, x: x.max(-1),
    "min dim": lambda t, x: t.min(x, 0, keepdim=True),
    "max other": lambda t, x: t.max(x, x.flip(0) if x.dim() else x),
    "amax": lambda t, x: x.amax((0, -1)) if x.dim() else x.amax(),
    "amin": lambda t, x: x.amin(0),
    "aminmax": lambda t, x: t.aminmax(x, dim=0),
    "argmax": lambda t, x: x.argmax(),
    "argmin dim": lambda t, x: x.argmin(-1, keepdim=True),
    "maximum": lambda t, x: t.maximum(x, x.roll(1)),
    "fmin": lambda t, x: t.fmin(x, x.roll(1)),
    "median": lambda t, x: x.median(),
    "median dim": lambda t, x: x.median(-1),
    "nanmedian": lambda t, x: x.nanmedian(-1),
    "kthvalue": lambda t, x: x.kthvalue(1, 0),
    "cumsum": lambda t, x: x.cumsum(-1),
    "cumprod": lambda t, x: x.cumprod(0),
    "cummax": lambda t, x: x.cummax(-1),
    "cummin": lambda t, x: x.cummin(0),
    "logcumsumexp": lambda t, x: x.logcumsumexp(-1),
    "diff": lambda t, x: x.diff(dim=0, n=2, prepend=x[:1]),
    "trapezoid": lambda t, x: t.trapezoid(x, dx=0.3, dim=0),
    "cumulative_trapezoid": lambda t, x: t.cumulative_trapezoid(x),
    "gradient": lambda t, x: t.gradient(x, spacing=0.7),
    "softmax": lambda t, x: x.softmax(-1),
    "softmax dtype": lambda t, x: t.softmax(x, 0, dtype=t.float64),
    "log_softmax": lambda t, x: x.log_softmax(0),
    "softmin": lambda t, x: t.nn.functional.softmin(x, -1),
    "dist": lambda t, x: t.dist(x, x.flip(0) if x.dim() else x, 3),
    "renorm": lambda t, x: x.renorm(2, 0, 1.3),
    "cdist": lambda t, x: t.cdist(x, x[:2] * 0.7),
    "cdist 1": lambda t, x: t.cdist(x, x[:2] * 0.7, p=1),
    "quantile": lambda t, x: t.quantile(x, t.tensor([0.3, 0.7], dtype=x.dtype), dim=-1),
    "nanquantile": lambda t, x: x.nanquantile(0.7, interpolation="nearest"),
    "histc": lambda t, x: x.histc(4, 0, 2),
    "histogram": lambda t, x: x.histogram(3, density=True),
    "bincount": lambda t, x: x.reshape(-1).bincount(minlength=6),
    "cov": lambda t, x: x.cov(),
    "corrcoef": lambda t, x: x.corrcoef(),
    "trace": lambda t, x: x.trace(),
}

NOT_DIFFERENTIABLE = [CALLS["histc"], CALLS["histogram"]]
TOLERANCE = {"torch.float32": 1e-5, "torch.float64": 1e-12, "torch.bfloat16": 1e-2, "torch.float16": 2e-3}


def tensors(found):
    """The tensors in a result, tuples in tuples included."""
    return [t for part in found for t in tensors(part)] if isinstance(found, (tuple, list)) else [found]


def plain(tensor):
    return [str(tensor.dtype), list(tensor.shape), tensor.double().tolist()]


def outcome(module, call, values, dtype):
    """What a call gives, in plain values: results and gradients, or the error's class."""
    x = module.tensor(values, dtype=module.float64).to(getattr(module, dtype))
    try:
        found = tensors(call(module, x))
    except Exception as error:
        return {"raises": type(error).__name__}
    result = {"values": [plain(t) for t in found]}
    # Gradients at nan and inf follow from the order of PyTorch's arithmetic, which is not ours.
    if dtype in ("float32", "float64") and np.isfinite(values).all():
        y = x.clone().requires_grad_()
        outputs = [t for t in tensors(call(module, y)) if t.requires_grad]
        if outputs and call not in NOT_DIFFERENTIABLE:
            weights = [module.arange(1, t.numel() + 1, dtype=t.dtype).reshape(t.shape) for t in outputs]
            (grad,) = module.autograd.grad(outputs, y, weights, allow_unused=True)
            result["grad"] = None if grad is None else plain(grad)
    return result


def record(module):
    """Write data/reductions.json anew; `module` is PyTorch."""
    recorded = {
        f"{call} | {name} | {dtype}": outcome(module, CALLS[call], values, dtype)
        for call in CALLS
        for name, (values, dtypes) in INPUTS.items()
        for dtype in dtypes.split()
    }
    (Path(__file__).parent / "data" / "reductions.json").write_text(json.dumps(recorded, separators=(",", ":")))


def assert_same(found, wanted):
    assert found[:2] == wanted[:2]
    tolerance = TOLERANCE.get(wanted[0], 0)
    np.testing.assert_allclose(np.asarray(found[2], float), np.asarray(wanted[2], float), rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("call", CALLS)
def test_results_and_gradients_are_pytorchs(call):
    for key, wanted in RECORDED.items():
        name, source, dtype = key.split(" | ")
        if name != call:
            continue
        found = outcome(torch, CALLS[call], INPUTS[source][0], dtype)
        assert found.keys() == wanted.keys(), key
        assert found.get("raises") == wanted.get("raises"), key
        for mine, theirs in zip(found.get("values", []), wanted.get("values", []), strict=True):
            assert_same(mine, theirs)
        if wanted.get("grad"):
            assert_same(found["grad"], wanted["grad"])


def test_second_derivatives_agree_with_differences():
    x = torch.tensor([0.9, 0.3, 1.3, 0.7], dtype=torch.float64, requires_grad=True)
    with_zero = torch.tensor([0.9, 0.0, 1.3, 0.7], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.3, -0.7, 1.1, 0.2], dtype=torch.float64)
    functions = {
        "prod": lambda t: t.prod(),
        "cumprod": lambda t: (t.cumprod(0) * weights).sum(),
        "std": lambda t: t.std(),
        "norm": lambda t: t.norm(3),
        "softmax": lambda t: (t.softmax(0) * weights).sum(),
        "log_softmax": lambda t: (t.log_softmax(0) * weights).sum(),
        "logsumexp": lambda t: t.logsumexp(0),
        "sort": lambda t: ((t * t).sort().values * weights).sum(),
        "logcumsumexp": lambda t: (t.logcumsumexp(0) * weights).sum(),
    }
    for name, function in functions.items():
        for point in (x, with_zero) if "prod" in name else (x,):
            (grad,) = torch.autograd.grad(function(point), point, create_graph=True)
            (second,) = torch.autograd.grad((grad * weights).sum(), point)
            step = 1e-5
            for n in range(4):
                shifted = [point.detach().clone().requires_grad_() for _ in range(2)]
                shifted[0].data[n] += step
                shifted[1].data[n] -= step
                up, down = (torch.autograd.grad(function(t), t)[0] @ weights for t in shifted)
                assert second[n].item() == pytest.approx(((up - down) / (2 * step)).item(), abs=1e-6), name


def test_equal_maxima_share_the_gradient_and_an_index_does_not():
    x = torch.tensor([1.3, 2.1, 2.1], requires_grad=True)
    for value, expected in ((x.max(), [0, 0.5, 0.5]), (x.amax(0), [0, 0.5, 0.5]), (x.max(0).values, [0, 1, 0])):
        assert torch.autograd.grad(value, x)[0].tolist() == expected


def test_named_results_print_and_unpack_like_pytorchs():
    found = torch.max(torch.tensor([[1, 4], [3, 2]]), 1)
    assert repr(found) == "torch.return_types.max(\nvalues=tensor([4, 3]),\nindices=tensor([1, 0]))"
    values, indices = found
    assert values is found.values and indices is found[1]
    assert type(found) is torch.return_types.max


def test_out_is_resized_filled_and_returned():
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    found = torch.max(torch.tensor([[1.3, 0.7], [0.2, 0.9]]), 1, out=(values, indices))
    assert found.values is values and indices.tolist() == [0, 1]
    total = torch.empty(2)
    assert torch.sum(torch.ones(3, 2, dtype=torch.int64), 0, out=total) is total
    assert total.tolist() == [3.0, 3.0]


def test_empty_tensors():
    empty = torch.empty(0)
    assert empty.sum().item() == 0 and empty.prod().item() == 1 and math.isnan(empty.mean().item())
    assert empty.all().item() is True and empty.any().item() is False
    assert empty.norm().item() == 0 and empty.logsumexp(0).item() == -INF
    assert torch.empty(2, 0).softmax(1).shape == (2, 0)
    assert torch.empty(0, 3).amax(1).shape == (0,)
    assert torch.empty(0, 3).max(1).indices.dtype is torch.int64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.empty(0).max(), RuntimeError, "max(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."),
        (lambda: torch.empty(2, 0).max(1), IndexError, "max(): Expected reduction dim 1 to have non-zero size."),
        (lambda: torch.empty(0).argmax(), IndexError, "argmax(): Expected reduction dim to be specified for input.numel() == 0."),
        (lambda: torch.empty(5, 0, 5).aminmax(dim=1), IndexError, "aminmax: Expected reduction dim 1 to have non-zero size."),
        (lambda: torch.ones(2, 2).sum((0, -2)), RuntimeError, "dim 0 appears multiple times in the list of dims"),
        (lambda: torch.ones(2).cumsum(3), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 3)"),
        (lambda: torch.tensor([1]).mean(), RuntimeError, "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long"),
        (lambda: torch.tensor([1]).std(), RuntimeError, "std and var only support floating point and complex dtypes"),
        (lambda: torch.tensor([1]).softmax(0), NotImplementedError, "\"softmax_lastdim_kernel_impl\" not implemented for 'Long'"),
        (lambda: torch.tensor([1]).norm(), RuntimeError, "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long"),
        (lambda: torch.tensor([1]).cumsum_(0, dtype=torch.float32), RuntimeError, "Bad in-place call: input tensor dtype long int and output tensor dtype float should match"),
        (lambda: torch.maximum(torch.ones(1), 1.0), TypeError, "maximum(): argument 'other' (position 2) must be Tensor, not float"),
        (lambda: torch.quantile(torch.ones(2), 1.5), RuntimeError, "quantile() q must be in the range [0, 1] but got 1.5"),
        (lambda: torch.bincount(torch.tensor([-1])), RuntimeError, "bincount only supports 1-d non-negative integral inputs."),
        (lambda: torch.gradient(torch.ones(2), edge_order=2), RuntimeError, "torch.gradient expected each dimension size to be at least edge_order+1"),
    ],
)  # fmt: skip
def test_messages(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_variance_of_too_few_elements_warns():
    with pytest.warns(UserWarning, match=r"var\(\): degrees of freedom is <= 0"):
        assert math.isnan(torch.ones(1).var().item())


def test_softmax_of_large_values_and_short_rows():
    x = torch.tensor([[1000.0, 1000.3], [-1000.0, -1000.7]])
    expected = [[1 / (1 + math.exp(0.3)), 1 / (1 + math.exp(-0.3))], [1 / (1 + math.exp(-0.7)), 1 / (1 + math.exp(0.7))]]
    np.testing.assert_allclose(x.softmax(1).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(x.log_softmax(1).exp().numpy(), expected, rtol=1e-4)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        assert torch.equal(torch.nn.functional.softmax(x), x.softmax(1))


def test_large_arrays_take_the_same_values_as_small_ones():
    """Selections and extrema change algorithm with the size; the parts of a whole must not notice."""
    values = np.random.default_rng(3).integers(0, 300, (40, 900)).astype(np.float32)
    values[3, 5] = np.nan
    whole, parts = torch.tensor(values), [torch.tensor(row) for row in values]
    for call in (lambda t: t.max(-1), lambda t: t.median(-1), lambda t: t.cummin(-1)):
        for mine, theirs in zip(call(whole), zip(*map(call, parts), strict=True), strict=True):
            np.testing.assert_array_equal(mine.numpy(), torch.stack(theirs).numpy())
    transposed = torch.tensor(values.T.copy())
    np.testing.assert_array_equal(transposed.argmax(0).numpy(), whole.argmax(1).numpy())
    np.testing.assert_array_equal(whole.topk(7).values.numpy(), np.stack([t.topk(7).values.numpy() for t in parts]))
    np.testing.assert_array_equal(whole.kthvalue(450).values.numpy(), np.sort(values, 1)[:, 449])
