"""What PyTorch gives where the obvious answer is another: values, shapes and gradients recorded from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F


def gradients(call: Callable[..., Any], *inputs: Any, weights: Any = None) -> list[Any]:
    """The gradients of a call's (weighted) sum with respect to its inputs."""
    leaves = [torch.tensor(i, requires_grad=True) for i in inputs]
    found = call(*leaves)
    weights = torch.ones_like(found) if weights is None else torch.tensor(weights)
    return list(torch.autograd.grad(found, leaves, weights))


def written(start: Any, write: Callable[..., Any], *others: Any) -> list[Any]:
    """What an in-place op leaves in a tensor, and the gradients of its other operands."""
    target, leaves = torch.tensor(start), [torch.tensor(o, requires_grad=True) for o in others]
    write(target, *leaves)
    return [target, *torch.autograd.grad(target.sum(), leaves)]


def shapes(tensors: Any) -> list[Any]:
    return [[list(t.shape), list(t.stride())] for t in tensors]


def split_and_fill(whole: Any) -> Any:
    torch.unsafe_split(whole, 2)[0].fill_(7)
    return whole


def written_part(whole: Any) -> Any:
    whole.tensor_split(2)[0].add_(1)
    return whole


def made(dtype: Any) -> Any:
    torch.manual_seed(0)
    return torch.testing.make_tensor((2,), dtype=dtype, device="cpu")


def started_before(tensor: Any) -> Any:
    """The gradient of a view of all memory, with weights 1 to 3, of which two places are not the tensor's."""
    (tensor.as_strided((3,), (1,), 0) * torch.arange(1.0, 4.0)).sum().backward()
    return tensor.grad


INF = float("inf")
HASHED = torch.arange(6.0).view(2, 3)
X, Y, Z = torch.arange(2), torch.arange(10, 13), torch.arange(4)

CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "meshgrid, columns first": (lambda: torch.meshgrid(X, Y, indexing="xy"), [[[0, 1], [0, 1], [0, 1]], [[10, 10], [11, 11], [12, 12]]]),
    "meshgrid's strides": (lambda: shapes(torch.meshgrid(X, Y, Z, indexing="xy")), [[[3, 2, 4], [0, 1, 0]], [[3, 2, 4], [1, 0, 0]], [[3, 2, 4], [0, 0, 1]]]),
    "lerp, complex weight": (lambda: gradients(lambda x: torch.lerp(x, torch.tensor([2j, 1 + 1j]), torch.tensor([0.2j, 1 + 0.5j])), [1 + 2j, 3 - 1j]), [[1 + 0.2j, 0.5j]]),
    "addmm, complex factors": (lambda: gradients(lambda x: torch.addmm(x, x.detach(), x.detach(), beta=1 + 2j, alpha=1j), [[1j]]), [[[1 - 2j]]]),
    "conv1d, complex": (
        lambda: gradients(F.conv1d, [[[1 + 1j, 2.0]]], [[[1j, 1 - 1j]]], weights=[[[1 + 2j]]]),
        [[[[2 - 1j, -1 + 3j]]], [[[3 + 1j, 2 + 4j]]]],
    ),
    "conv_transpose1d, complex": (
        lambda: gradients(F.conv_transpose1d, [[[1 + 1j, 2.0]]], [[[1j, 1 - 1j]]], weights=[[[1 + 2j, 1j, 1]]]),
        [[[[1, 2 + 1j]]], [[[3 + 3j, 3 + 1j]]]],
    ),
    "clamp_min_ of a constant": (lambda: written([1.0, 2.0], torch.Tensor.clamp_min_, [1.5, 1.0]), [[1.5, 2.0], [1.0, 0.0]]),
    "ldexp_ of a constant": (lambda: written([1.0, 2.0], torch.Tensor.ldexp_, [1.5, 1.0]), [[2.8284, 4.0], [1.9605, 2.7726]]),
    "index_fill's value, written twice": (lambda: gradients(lambda v: torch.zeros(3).index_fill(0, torch.tensor([1, 1, 2]), v), 2.0), [2.0]),
    "normal of two tensors": (lambda: gradients(torch.normal, [[3.0]], [1.0, 2.0]), [[[0.0]], [0.0, 0.0]]),
    "functions of in-place methods": (lambda: [torch.exp_(torch.zeros(2)), torch.clamp_(torch.ones(2), max=0.5), torch.zero_(input=torch.ones(1))], [[1.0, 1.0], [0.5, 0.5], [0.0]]),
    "vander": (lambda: [torch.vander(torch.tensor([1, 2, 3])), torch.vander(torch.tensor([True, False]), increasing=True)], [[[1, 1, 1], [4, 2, 1], [9, 3, 1]], [[1, 1], [1, 0]]]),
    "vander of few columns": (lambda: [torch.vander(torch.tensor([4.0]), 1), torch.vander(torch.tensor([4.0]), 0)], [[[1.0]], [[]]]),
    "broadcast_shapes": (lambda: [torch.broadcast_shapes((2,), (3, 1), (1, 1, 1)), torch.broadcast_shapes(2, [3, 1]), torch.broadcast_shapes()], [[1, 3, 2], [3, 2], []]),
    "empty_permuted": (lambda: torch.empty_permuted((2, 3, 4), (1, 0, 2)).stride(), [4, 8, 1]),
    "reductions as numbers": (
        lambda: [torch.kl_div(torch.tensor([3.0]), torch.tensor([3.0]), n) for n in (0, 1, 2, 5)] + [torch.embedding(torch.tensor([[1.0], [2.0]]), torch.tensor([1]), 5)],
        [[-5.7042], -5.7042, -5.7042, [-5.7042], [[2.0]]],
    ),
    "reductions as numbers, none where none is given": (
        lambda: [
            torch.kl_div(torch.tensor([3.0, 1.0]), torch.tensor([3.0, 1.0])),
            torch.margin_ranking_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]), torch.ones(2)),
            torch.ctc_loss(torch.tensor([[[-0.5, -1.5], [-0.75, -0.25]]]), torch.tensor([[1], [1]]), (1, 1), (1, 1)),
            torch.binary_cross_entropy_with_logits(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])),
            torch.hinge_embedding_loss(torch.tensor([0.5]), torch.tensor([-1.0])),
            torch.cosine_embedding_loss(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([-1.0])),
            torch.triplet_margin_loss(torch.ones(1, 1), torch.ones(1, 1), torch.full((1, 1), 5.0)),
        ],
        [[-5.7042, -1.0], [2.0, 1.0], [1.5, 0.25], [0.6931, 1.3133], [0.5], [1.0], [0.0]],
    ),
    "map2_": (lambda: torch.ones(2).map2_(torch.tensor(2.0), torch.tensor([3.0, 4.0]), lambda a, b, c: a + b * c), [7.0, 9.0]),
    "linspace of integers rounds its ends first": (lambda: torch.linspace(4.3, 1, 5, dtype=torch.int64), [4, 3, 2, 1, 1]),
    "linspace in bfloat16": (lambda: torch.linspace(4.3, 1, 6, dtype=torch.bfloat16), [4.3125, 3.6562, 2.9844, 2.3281, 1.6641, 1.0]),
    "logspace of integers": (lambda: torch.logspace(4.3, 0, 6, dtype=torch.int64), [10000, 1584, 251, 39, 6, 1]),
    "avg_pool2d, negative divisor of integers": (lambda: F.avg_pool2d(torch.ones(1, 2, 2, dtype=torch.int64), 2, divisor_override=-3), [[[-1]]]),
    "adaptive_avg_pool2d to one complex number": (lambda: F.adaptive_avg_pool2d(torch.tensor([[[1j, 3.0]]]), 1), [[[1.5 + 0.5j]]]),
    "hinge_embedding_loss of integers": (lambda: F.hinge_embedding_loss(torch.tensor([3, 0]), torch.tensor([1, -1]), reduction="none"), [3, 1]),
    "lerp, weight of another dtype": (lambda: torch.lerp(torch.zeros(1), torch.ones(1), torch.tensor(0.5, dtype=torch.float64)), [0.5]),
    "factories take the dtype of out=": (lambda: [torch.zeros(1, out=torch.ones(1).int()), torch.full((2,), 3.5, out=torch.ones(2).int()), torch.eye(1, out=torch.ones(1, 1).long())], [[0], [3, 3], [[1]]]),
    "unravel_index of bytes": (lambda: torch.unravel_index(torch.tensor([200], dtype=torch.uint8), (3, 100)), [[2], [0]]),
    "tensordot, one side broadcast": (lambda: torch.tensordot(torch.ones(1, 2, dtype=torch.uint8), torch.ones(3, 2, dtype=torch.uint8), dims=([0, 1], [0, 1])), 6),
    "logsumexp of complex numbers": (lambda: torch.logsumexp(torch.tensor([1 + 3j, 2 + 3j]), 0), 2.3133 + 3j),
    "parts of unsafe_split are the tensor's own memory": (lambda: split_and_fill(torch.zeros(4)), [7.0, 7.0, 0.0, 0.0]),
    "equal, other dtypes": (lambda: [torch.equal(torch.ones(2), torch.ones(2).long()), torch.equal(torch.tensor([1.5]), torch.tensor([1]))], [True, False]),
    "logaddexp of infinities": (lambda: gradients(torch.logaddexp, [INF, INF, 1.0], [-INF, 1.0, -INF]), [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),
    "max_pool1d of integers, with indices": (lambda: F.max_pool1d_with_indices(torch.tensor([[[1, 3, 2, 5]]]), 2), [[[[3, 5]]], [[[1, 3]]]]),
    "empty rows written in place": (lambda: torch.zeros(3, 1, 0).expand(3, 2, 0).exp_().shape, [3, 2, 0]),
    "batch_norm's weight in a matrix": (lambda: F.batch_norm(torch.ones(1, 2), torch.zeros(2), torch.ones(2), torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), eps=0.0), [[4.0, 6.0]]),
    "linear of two vectors": (lambda: [F.linear(torch.ones(3), torch.ones(3)), *gradients(F.linear, [1.0, 2.0], [3.0, 4.0])], [3.0, [3.0, 4.0], [1.0, 2.0]]),
    "as_strided from before the tensor": (lambda: started_before(torch.arange(4.0)[2:].requires_grad_()), [3.0, 0.0]),
    "transposes of a number": (lambda: [torch.tensor(1.0).mT, torch.tensor(1j).mH, torch.adjoint(torch.tensor(1j))], [1.0, -1j, -1j]),
    "take_along_dim, int32": (lambda: torch.take_along_dim(torch.tensor([1.5, 2.5]), torch.tensor([1, 0], dtype=torch.int32)), [2.5, 1.5]),
    "resolution of floats": (lambda: [1 / torch.finfo(d).resolution for d in (torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2)], [1e6, 1e3, 1e2, 1.0]),
    "limits are equal": (lambda: [torch.finfo(torch.float32) == torch.finfo(torch.complex64), torch.iinfo(torch.int8) == torch.iinfo(torch.uint8)], [True, False]),
    "limits as text": (lambda: [repr(torch.iinfo(torch.int32)), repr(torch.iinfo(torch.uint8))], ["iinfo(min=-2.14748e+09, max=2.14748e+09, dtype=int32)", "iinfo(min=0, max=255, dtype=uint8)"]),
    "set_state gives the generator": (lambda: (g := torch.Generator()).set_state(g.get_state()) is g, True),
    "stack_module_state": (lambda: list(torch.func.stack_module_state([torch.nn.Identity()])), [{}, {}]),
    "buffers print as tensors": (lambda: repr(torch.nn.Buffer(torch.ones(1))), "tensor([1.])"),
    "parts of tensor_split may be written": (lambda: written_part(torch.tensor([1.0, 2.0], requires_grad=True) * 3), [4.0, 6.0]),
    "make_tensor draws as PyTorch's": (lambda: [made(torch.float32), made(torch.int64), made(torch.complex64)], [[-0.0674, 4.828], [6, -5], [-0.0674 + 4.828j, -7.4074 - 6.6235j]]),
    "factors from NumPy": (lambda: [torch.addmm(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1), beta=np.float32(0.5), alpha=np.int64(3)), torch.ones(1).add(torch.ones(1), alpha=np.float32(2.0))], [[[3.5]], [3.0]]),
    "counts from tensors and NumPy": (lambda: [torch.arange(3).chunk(torch.tensor(2)), torch.arange(2).split(torch.tensor(1)), torch.arange(3).roll(np.int64(1), torch.tensor(0)), torch.arange(2).hsplit(np.int64(2))], [[[0, 1], [2]], [[0], [1]], [2, 0, 1], [[0], [1]]]),
    "lstsq, one matrix for several sides": (lambda: torch.linalg.lstsq(torch.eye(2)[None], torch.ones(3, 2, 1), driver="gelsd")[2:], [[2], [[1.0, 1.0]]]),
    "hash_tensor": (
        lambda: [HASHED.hash_tensor(), torch.hash_tensor(HASHED, 1), HASHED.hash_tensor(0, keepdim=True), torch.hash_tensor(HASHED.int(), -1), torch.hash_tensor(torch.tensor([0.3]).bfloat16())],
        [4610560118520545280, [9218868437227405312, 4615063718147915776], [[4613937818241073152, 9214364837600034816, 5629499534213120]], [3, 2], 4599090013219586048],
    ),
    "cross_entropy, negative smoothing": (lambda: F.cross_entropy(torch.ones(1, 3), torch.tensor([0]), label_smoothing=-1.0), 1.0986),
}


def plain(value: Any) -> Any:
    """Tensors as lists of numbers with four decimals."""
    if isinstance(value, torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return complex(round(value.real, 4), round(value.imag, 4)) if isinstance(value, complex) else round(value, 4) if isinstance(value, float) else value


@pytest.mark.parametrize("name", CASES)
def test_result_is_the_one_that_pytorch_gives(name: str) -> None:
    call, expected = CASES[name]
    assert plain(call()) == expected


SQUARE = torch.tensor([[1.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "argmax", "argmin", "all", "any", "std", "var", "logsumexp", "max", "min", "median", "nanmean", "quantile"])
def test_numpys_names_of_arguments(name: str) -> None:
    """`axis` is `dim` and `keepdims` is `keepdim`, in functions and methods."""
    given = (0.5,) if name == "quantile" else ()
    function, method = getattr(torch, name), getattr(SQUARE, name)
    assert plain(method(*given, axis=0)) == plain(function(SQUARE, *given, axis=0)) == plain(function(SQUARE, *given, dim=0))
    assert plain(method(*given, axis=-1, keepdims=True)) == plain(method(*given, dim=-1, keepdim=True))
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        method(*given, axes=0)


def test_numpys_names_where_nothing_is_reduced() -> None:
    assert torch.cat([SQUARE, SQUARE], axis=1).shape == torch.concatenate([SQUARE, SQUARE], axis=1).shape == (2, 4)
    assert torch.stack([SQUARE, SQUARE], axis=1).shape == (2, 2, 2)
    assert SQUARE[None].squeeze(axis=0).shape == SQUARE.shape
    assert plain(torch.linalg.norm(SQUARE, axis=0)) == plain(torch.linalg.norm(SQUARE, dim=0))
    assert plain(torch.diff(SQUARE, axis=0)) == [[2.0, 3.0]]
    assert SQUARE.unsqueeze(axis=1).shape == (2, 1, 2)
    assert plain(SQUARE.softmax(axis=0)) == plain(SQUARE.softmax(0))
    assert plain(torch.cumsum(SQUARE, axis=1)) == [[1.0, 3.0], [3.0, 8.0]]


NAMES: dict[str, Callable[[Any], Any]] = {
    "BinaryCrossEntropyBackward0": lambda x: F.binary_cross_entropy(x, torch.ones_like(x)),
    "BinaryCrossEntropyWithLogitsBackward0": lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x), pos_weight=x.detach()),
    "SqueezeBackward0": lambda x: x.unsqueeze(0).squeeze(),
    "SqueezeBackward1": lambda x: x.unsqueeze(0).squeeze(0),
    "SqueezeBackward2": lambda x: x.unsqueeze(0).squeeze((0,)),
    "BaddbmmBackward0": lambda x: torch.baddbmm(x.reshape(1, 2, 1), torch.ones(1, 2, 1), torch.ones(1, 1, 1)),
    "AddmvBackward0": lambda x: torch.addmv(x, torch.ones(2, 1), torch.ones(1)),
    "DivBackward2": lambda x: torch.div(x, x, rounding_mode="trunc"),
    "FftR2CBackward0": lambda x: torch.fft.rfft(x),
    "GluBackward0": F.glu,
    "DistBackward0": lambda x: torch.dist(x, 2 * x),
    "UnsafeViewBackward0": lambda x: x.expand(2, 2).reshape(4),
    "SplitWithSizesBackward0": lambda x: x.split([1, 1])[0],
    "SliceBackward0": lambda x: x.tensor_split(2)[0],
    "NansumBackward0": torch.nansum,
    "TraceBackward0": lambda x: torch.trace(x.reshape(1, 2)),
}


@pytest.mark.parametrize("name", NAMES)
def test_node_has_the_name_that_pytorch_gives(name: str) -> None:
    """Printing a tensor shows it."""
    found = NAMES[name](torch.tensor([0.5, 0.25], requires_grad=True))
    assert found.grad_fn.name() == name
