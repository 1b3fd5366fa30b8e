"""Forward passes of Sequential without gradients: captured unasked, and never when the layers would give something else."""

from __future__ import annotations

import copy
import functools
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.engine import llvm
from rushlight.nn.container import PASSES

Tensor = torch.Tensor

pytestmark = pytest.mark.usefixtures("compiled_at_once")

ENOUGH = PASSES + 8


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.tensor(np.random.RandomState(seed + sum(shape)).standard_normal(shape).astype(np.float32).tolist())


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def layer_by_layer(model: Any, x: Tensor) -> Tensor:
    for layer in model:
        x = layer(x)
    return x


def passes(model: nn.Module, make: Callable[[int], Tensor] = lambda n: normal(2, 4, seed=n), count: int = ENOUGH) -> None:
    """Each pass gives what the layers give."""
    with torch.no_grad():
        for n in range(count):
            x = make(n)
            assert torch.equal(model(x), layer_by_layer(model, x))


def recordings(model: Any) -> int:
    return len(model._passes.recordings) if type(model._passes) is not int else 0


def test_passes_that_recur_are_captured() -> None:
    model = mlp()
    passes(model)
    assert recordings(model) == 1
    with torch.no_grad():
        out = model(normal(2, 4))
    assert not out.requires_grad
    assert not llvm.AVAILABLE or (out._storage.data is not None and not tape.pending)


def test_each_shape_has_a_recording_of_its_own() -> None:
    model = mlp()
    passes(model, lambda n: normal(1 + n % 3, 4, seed=n), 60)
    assert recordings(model) == 3
    passes(model, lambda n: normal(1 + n % 40, 4, seed=n), 200)
    assert recordings(model) <= 4


LAYERS = [
    lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)),
    lambda: nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 3), nn.GELU()), nn.AdaptiveAvgPool2d(1), nn.Flatten(1)),
    lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(72), nn.Linear(72, 4), nn.Softmax(-1)),
    lambda: nn.Sequential(nn.Identity()),
    lambda: nn.Sequential(),
]


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_layers_of_many_kinds(make: Any, training: bool) -> None:
    """In training mode too: running statistics are written as by the layers."""
    torch.manual_seed(0)
    model = make().train(training)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for n in range(ENOUGH):
            x = normal(2, 2, 6, 6, seed=n)
            assert torch.equal(model(x), layer_by_layer(twin, x))
    for (name, mine), other in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


def test_dropout_draws_what_it_would_draw() -> None:
    model, twin = (nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    found = []
    for one in (model.forward, functools.partial(layer_by_layer, twin)):
        torch.manual_seed(3)
        with torch.no_grad():
            found.append([one(normal(2, 4, seed=n)).tolist() for n in range(ENOUGH)])
    assert found[0] == found[1]


CHANGES: list[Callable[[Any], Any]] = [
    lambda model: model[0].weight.mul_(2),
    lambda model: setattr(model[0], "weight", nn.Parameter(normal(8, 4, seed=9))),
    lambda model: model[0]._parameters.__setitem__("weight", nn.Parameter(normal(8, 4, seed=8))),
    lambda model: setattr(model[0].weight, "data", normal(8, 4, seed=7)),
    lambda model: model._modules.__setitem__("1", nn.Tanh()),
    lambda model: model.append(nn.Sigmoid()),
    lambda model: model.load_state_dict({k: v * 3 for k, v in model.state_dict().items()}),
    lambda model: setattr(model[0], "bias", None),
    lambda model: model[1].register_forward_hook(lambda module, args, output: output + 1),
    lambda model: model[2].register_forward_pre_hook(lambda module, args: (args[0] * 2,)),
    lambda model: setattr(model[1], "forward", lambda x: x - 1),
    lambda model: nn.utils.parametrizations.weight_norm(model[0]),
    lambda model: model.to(torch.float64),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change: Any) -> None:
    model = mlp()
    passes(model)
    assert recordings(model) == 1
    with torch.no_grad():
        change(model)
    dtype = next(model.parameters()).dtype
    passes(model, lambda n: normal(2, 4, seed=n).to(dtype))


def test_autocast_is_noticed() -> None:
    model = mlp()
    passes(model)
    with torch.no_grad(), torch.autocast("cpu"):
        assert model(normal(2, 4)).dtype is torch.bfloat16


def test_layers_of_the_users_are_called() -> None:
    calls: list[int] = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            return x + len(calls)

    model = nn.Sequential(nn.Linear(4, 4), Counting())
    with torch.no_grad():
        for n in range(ENOUGH):
            assert torch.equal(model(torch.zeros(1, 4)), model[0](torch.zeros(1, 4)) + (n + 1))
    assert len(calls) == ENOUGH and recordings(model) == 0


def test_with_gradients_layers_are_called() -> None:
    model = mlp()
    passes(model)
    for _ in range(3):
        x = normal(2, 4).requires_grad_()
        model(x).sum().backward()
        assert x.grad is not None and x.grad.abs().sum() > 0


def test_an_error_names_the_layer() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    with torch.no_grad():
        for _ in range(ENOUGH):
            model(torch.tensor([1, 4])).tolist()
        assert recordings(model) == 1
        with pytest.raises(IndexError) as caught:
            model(torch.tensor([1, 5]))
        with pytest.raises(RuntimeError):
            mlp()(normal(2, 5))
    assert any("Embedding" in note and "0" in note for note in caught.value.__notes__), caught.value.__notes__


def test_a_sequential_is_saved_and_copied_without_its_recordings() -> None:
    model = mlp()
    passes(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model), loaded):
        assert recordings(other) == 0 and set(vars(other)) == set(vars(model))
        passes(other)
    assert "_passes" not in vars(model)


def test_a_sequential_is_let_go_at_once() -> None:
    """Its recordings do not keep it, or its parameters, until the garbage collector runs."""
    import gc
    import weakref

    model = mlp()
    passes(model)
    assert recordings(model) == 1
    gone = [weakref.ref(each) for each in (model, model[0], model[0].weight)]
    gc.disable()
    try:
        del model
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


def test_threads_share_a_sequential() -> None:
    """Each gets the results of its own inputs, whichever of them records and replays."""
    from concurrent.futures import ThreadPoolExecutor

    model = mlp()
    captured = torch.compile(lambda x: x * 2 + 1)

    def serve(seed: int) -> bool:
        with torch.no_grad():
            for n in range(60):
                x = normal(1 + (n + seed) % 2, 4, seed=100 * seed + n)
                assert torch.equal(model(x), layer_by_layer(model, x))
                assert torch.equal(captured(x), x * 2 + 1)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(serve, range(4)))
