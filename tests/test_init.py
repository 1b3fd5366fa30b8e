"""nn.init draws PyTorch's numbers. Expected values were recorded from PyTorch 2.13 after ``manual_seed(7)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn

RECORDED: list[tuple[str, tuple[int, ...], dict[str, Any], list[float]]] = [
    ("uniform_", (3,), {"a": -1.0, "b": 2.0}, [0.604768, -0.40359, 0.977635]),
    ("normal_", (3,), {"mean": 1.0, "std": 0.5}, [0.926602, 1.393071, 1.473411]),
    ("normal_", (2, 8), {}, [
        -0.820135, 0.395631, 0.898908, -1.388404, -0.166996, 0.28515, -0.641092, -0.893655,
        0.926543, -0.535512, -1.15972, -0.460157, 0.708539, 1.012755, 0.230397, 1.090165,
    ]),
    ("trunc_normal_", (4,), {"std": 0.5, "a": -0.5, "b": 0.5}, [-0.073398, 0.393071, 0.473411, 0.066403]),
    ("trunc_normal_", (4,), {"a": 2.0, "b": 3.0}, [2.534923, 2.198803, 2.659212, 2.107787]),
    ("xavier_uniform_", (2, 3), {"gain": 2.0}, [0.153023, -1.319778, 0.697631, 0.687459, -1.17098, -0.328364]),
    ("xavier_normal_", (2, 3), {}, [-0.092841, 0.497199, 0.598823, -0.704773, 1.06935, -0.565939]),
    ("kaiming_uniform_", (2, 3), {"a": 0.3}, [0.09461, -0.815985, 0.431327, 0.425038, -0.723987, -0.203019]),
    ("kaiming_normal_", (2, 2, 1, 2), {"mode": "fan_out", "nonlinearity": "relu"}, [
        -0.1038, 0.555886, 0.669504, -0.78796, 1.195569, -0.632739, -0.251465, 0.871428,
    ]),
    ("orthogonal_", (2, 3), {"gain": 2.0}, [-0.236887, 1.268614, 1.527908, -0.978422, 1.264474, -1.201581]),
    ("orthogonal_", (3, 2), {}, [-0.075535, 0.785297, 0.487199, -0.508623, 0.870018, 0.353003]),
    ("sparse_", (3, 2), {"sparsity": 0.5, "std": 1.0}, [0.0, 0.786141, 0.946822, 0.0, 0.0, 0.0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "options", "expected"), RECORDED)
def test_initializers_draw_the_recorded_numbers_without_recording_gradients(
    name: str, shape: tuple[int, ...], options: dict[str, Any], expected: list[float]
) -> None:
    torch.manual_seed(7)
    tensor = torch.empty(shape, requires_grad=True)
    result = getattr(nn.init, name)(tensor, **options)
    assert result is tensor and tensor.is_leaf and tensor.requires_grad
    assert tensor.flatten().tolist() == pytest.approx(expected, abs=2e-6)


def test_a_given_generator_leaves_the_global_one_alone() -> None:
    torch.manual_seed(7)
    nn.init.normal_(torch.empty(3), generator=torch.Generator().manual_seed(1))
    assert nn.init.normal_(torch.empty(3), 1.0, 0.5).tolist() == pytest.approx([0.926602, 1.393071, 1.473411], abs=2e-6)


def test_constants_fill_in_place() -> None:
    assert nn.init.constant_(torch.empty(2), 0.3).tolist() == pytest.approx([0.3, 0.3])
    assert nn.init.ones_(torch.empty(2)).tolist() == [1.0, 1.0]
    assert nn.init.zeros_(torch.empty(2)).tolist() == [0.0, 0.0]
    assert nn.init.eye_(torch.empty(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_dirac_copies_the_channels_of_each_group() -> None:
    weight = nn.init.dirac_(torch.empty(4, 2, 3), groups=2)
    assert weight[:, :, 1].tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    assert weight.sum().item() == 4.0
    assert nn.init.dirac_(torch.empty(1, 1, 3, 5))[0, 0, 1, 2].item() == 1.0


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("conv_transpose3d", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, 2**0.5),
        ("leaky_relu", None, (2 / 1.0001) ** 0.5),
        ("leaky_relu", 2, (2 / 5) ** 0.5),
        ("selu", None, 0.75),
    ],
)
def test_gains(nonlinearity: str, param: float | None, gain: float) -> None:
    assert nn.init.calculate_gain(nonlinearity, param) == pytest.approx(gain)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.init.calculate_gain("swish"), "Unsupported nonlinearity swish"),
        (lambda: nn.init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
        (lambda: nn.init.eye_(torch.empty(2)), "Only tensors with 2 dimensions are supported"),
        (lambda: nn.init.dirac_(torch.empty(2, 2)), "Only tensors with 3, 4, or 5 dimensions are supported"),
        (lambda: nn.init.dirac_(torch.empty(3, 1, 1), groups=2), "dim 0 must be divisible by groups"),
        (
            lambda: nn.init.xavier_normal_(torch.empty(2)),
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
        ),
        (
            lambda: nn.init.kaiming_normal_(torch.empty(2, 2), mode="fan"),
            "Mode fan not supported, please use one of ['fan_in', 'fan_out']",
        ),
        (lambda: nn.init.orthogonal_(torch.empty(2)), "Only tensors with 2 or more dimensions are supported"),
    ],
)
def test_misuse_raises_what_pytorch_raises(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == text


def test_warnings() -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        nn.init.kaiming_uniform_(torch.empty(0, 2))
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        nn.init.trunc_normal_(torch.empty(1), mean=4.0, std=0.5)
    with pytest.warns(FutureWarning, match="`nn.init.constant` is now deprecated in favor of `nn.init.constant_`."):
        assert nn.init.constant(torch.empty(1), 2.0).item() == 2.0
