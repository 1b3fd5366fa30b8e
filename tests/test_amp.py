"""Autocast: the dtype of every op's result, gradients, the cache of casts, nesting; and the gradient scaler."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import warnings
from pathlib import Path

import amp_cases
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.utils.checkpoint import checkpoint

F = nn.functional
RECORDED = json.loads((Path(__file__).parent / "data" / "amp.json").read_text())

#: Where the dtype is not PyTorch's: `pinv` runs in float32 throughout, and an LSTM's states come in one dtype.
OTHER = {("linalg.pinv", "float32"), ("linalg.pinv", "first float32"), ("LSTM state given", "others float32")}


@pytest.mark.parametrize("name", amp_cases.CALLS)
def test_dtypes_are_those_of_pytorch(name):
    """In both lower precisions, for operands in float32, in the lower precision, and mixed. Where PyTorch raises, anything goes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for low in amp_cases.LOW:
            for kind, want in zip(amp_cases.KINDS, RECORDED["dtypes"][name][low], strict=True):
                if not want.endswith("Error") and (name, kind) not in OTHER:
                    assert (kind, amp_cases.outcome(torch, name, kind, low)) == (kind, want)


@pytest.mark.parametrize("name", amp_cases.TRAININGS)
def test_training_gives_the_losses_of_pytorch(name):
    """Rounding to half precision is the same, so that losses agree far more closely than that precision."""
    found = amp_cases.training(torch, *amp_cases.TRAININGS[name], steps=6)
    assert found == pytest.approx(RECORDED["losses"][name][:6], abs=1e-3 if name.endswith("float16") else 3e-4)


def test_scaler_gives_the_scales_of_pytorch():
    """Growth, backoff, an explicit scale, skipped steps, gradients unscaled beforehand."""
    assert torch.GradScaler is torch.amp.GradScaler
    assert amp_cases.scaling(torch) == RECORDED["scaling"]


def test_gradients_come_in_the_dtype_of_the_parameters():
    layer = nn.Linear(3, 2)
    x = torch.ones(4, 3, requires_grad=True)
    with torch.autocast("cpu"):
        y = layer(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert {t.grad.dtype for t in (layer.weight, layer.bias, x)} == {torch.float32}
    assert torch.equal(layer.weight.grad, torch.full((2, 3), 4.0))


def test_operands_are_rounded_and_products_are_not():
    """The value is that of rounded operands, accumulated in float32."""
    a, b = torch.rand(5, 200), torch.rand(200, 7)
    with torch.autocast("cpu"):
        found = a @ b
    assert torch.equal(found, (a.bfloat16().float() @ b.bfloat16().float()).bfloat16())


def casts(tensor):
    """The nodes that cast a parameter for a product: one while the cache has it."""
    return tensor.grad_fn.next_functions[0][0]


def test_parameters_are_cast_once_in_a_region():
    weight, x = nn.Parameter(torch.rand(3, 3)), torch.rand(2, 3)
    with torch.autocast("cpu"):
        first, again = torch.mm(weight, x.t()), torch.mm(weight, x.t())
        with torch.autocast("cpu", cache_enabled=False):
            uncached = torch.mm(weight, x.t())
        with torch.autocast("cpu", enabled=False), torch.autocast("cpu"):
            nested = torch.mm(weight, x.t())
    with torch.autocast("cpu"):
        later = torch.mm(weight, x.t())
    assert casts(first) is casts(again) is casts(nested)
    assert casts(uncached) is not casts(first)
    assert casts(later) is not casts(first)


def test_a_parameter_that_was_written_is_cast_anew():
    weight, x = nn.Parameter(torch.zeros(2, 2)), torch.ones(2, 2)
    with torch.autocast("cpu"):
        torch.mm(weight, x)
        with torch.no_grad():
            weight.fill_(3.0)
        assert torch.mm(weight, x)[0, 0].item() == 6.0


def test_a_cast_without_gradient_is_not_kept_for_one_with():
    weight = nn.Parameter(torch.ones(2, 2))
    with torch.autocast("cpu"):
        with torch.no_grad():
            torch.mm(weight, weight)
        assert torch.mm(weight, torch.ones(2, 2)).requires_grad


def test_regions_nest():
    a = torch.ones(2, 2)
    with torch.autocast("cpu"):
        assert torch.mm(a, a).dtype == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert torch.mm(a, a).dtype == torch.float32
            with torch.autocast("cpu", dtype=torch.float16):
                assert torch.mm(a, a).dtype == torch.float16
        assert torch.mm(a, a).dtype == torch.bfloat16
    assert torch.mm(a, a).dtype == torch.float32
    assert torch.get_autocast_dtype("cpu") == torch.bfloat16


def test_a_region_ends_with_an_exception():
    with pytest.raises(ValueError, match="inside"), torch.autocast("cpu"):
        raise ValueError("inside")
    assert not torch.is_autocast_enabled("cpu")


def test_decorated_functions_may_call_themselves():
    """An instance keeps what was set before each of its entries."""

    @torch.autocast("cpu")
    def product(depth):
        return product(depth - 1) if depth else torch.mm(torch.ones(2, 2), torch.ones(2, 2))

    assert product(3).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


def test_the_state_is_that_of_a_thread():
    found = []
    with torch.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append(torch.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
    assert found == [False]


def test_backward_inside_a_region_computes_as_the_forward_did():
    a, b = torch.rand(4, 4, requires_grad=True), torch.rand(4, 4)
    (a @ b).sum().backward()
    expected = a.grad
    a.grad = None
    y = a @ b
    with torch.autocast("cpu"):
        y.sum().backward()
    assert torch.equal(a.grad, expected)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_computes_again_under_the_same_autocast(use_reentrant):
    layer, x = nn.Linear(4, 4), torch.rand(2, 4, requires_grad=True)
    seen = []

    def run(value):
        seen.append(torch.is_autocast_enabled("cpu"))
        return layer(value).sin()

    with torch.autocast("cpu"):
        run(x).float().sum().backward()
        expected, x.grad = x.grad, None
        y = checkpoint(run, x, use_reentrant=use_reentrant)
    y.float().sum().backward()
    assert seen == [True] * 3
    assert torch.equal(x.grad, expected)


class Product(torch.autograd.Function):
    """Sees float32 in a region, because it asks for it."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g @ b.t(), a.t() @ g


def test_custom_functions_may_ask_for_float32():
    a, b = torch.rand(2, 2, requires_grad=True), torch.rand(2, 2)
    with torch.autocast("cpu"):
        y = Product.apply(a.bfloat16(), b)
        assert y.dtype == torch.float32
        y.sum().backward()
    assert Product.apply(a, b).dtype == torch.float32


def test_states_of_devices():
    assert [torch.get_autocast_dtype(d) for d in ("cpu", "cuda", "xpu", "hpu")] == [torch.bfloat16, torch.float16, torch.float16, torch.bfloat16]
    assert torch.amp.is_autocast_available("cpu") and not torch.amp.is_autocast_available("meta")
    assert not torch.is_autocast_enabled()
    torch.set_autocast_enabled(True)
    assert torch.is_autocast_enabled() and not torch.is_autocast_enabled("cpu")
    torch.set_autocast_enabled(False)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_autocast_enabled("cpu", True)
    assert torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype == torch.float16
    torch.set_autocast_enabled("cpu", False)
    torch.set_autocast_dtype("cpu", torch.bfloat16)


def test_errors_and_warnings_are_those_of_pytorch():
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got: `<class 'int'>`"):
        torch.autocast(3)
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        torch.autocast("foo")
    with pytest.raises(TypeError, match="requires a callable, but got int"):
        torch.autocast("cpu")(3)
    with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported. Disabling autocast."):
        region = torch.autocast("cpu", dtype=torch.float64)
    with region:
        assert torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype == torch.float32
    with pytest.warns(UserWarning, match="CUDA is not available or torch_xla is imported. Disabling autocast."):
        torch.autocast("cuda")
    with pytest.warns(DeprecationWarning, match="is_autocast_cpu_enabled"):
        torch.is_autocast_cpu_enabled()
    with pytest.warns(FutureWarning, match="torch.cpu.amp.autocast"), torch.cpu.amp.autocast():
        assert torch.is_autocast_enabled("cpu")


def test_the_cuda_names_pass_everything_on():
    with pytest.warns(FutureWarning, match="torch.cuda.amp.GradScaler"), pytest.warns(UserWarning, match="CUDA is not available.  Disabling."):
        scaler = torch.cuda.amp.GradScaler()
    with pytest.warns(FutureWarning, match="torch.cuda.amp.autocast"), pytest.warns(UserWarning, match="Disabling autocast"):
        region = torch.cuda.amp.autocast()
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with region:
        loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (weight.item(), scaler.get_scale(), scaler.state_dict()) == (0.0, 1.0, {})


def overflowing(scaler, optimizer, weight, factor):
    optimizer.zero_grad()
    scaler.scale((weight * factor).sum()).backward()
    scaler.step(optimizer)


def test_a_fused_optimizer_unscales_by_itself():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    overflowing(scaler, optimizer, weight, 1.0)
    scaler.update()
    assert weight[0].item() == 0.5
    overflowing(scaler, optimizer, weight, float("inf"))
    scaler.update()
    assert (weight[0].item(), scaler.get_scale()) == (0.5, 8.0)


def test_the_scaler_refuses_steps_out_of_order():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    overflowing(scaler, optimizer, weight, 1.0)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update\(\)."):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)."):
        scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning"):
        pickle.dumps(scaler)
    scaler.update()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update."):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)


def test_the_state_of_a_scaler_can_be_saved():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=32.0)
    overflowing(scaler, optimizer, weight, float("nan"))
    scaler.update()
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    for each in (other, pickle.loads(pickle.dumps(scaler)), copy.deepcopy(scaler)):
        assert each.state_dict() == {"scale": 16.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        other.load_state_dict({})


def test_scaling_keeps_the_structure_of_outputs():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    found = scaler.scale([torch.ones(()), (torch.ones(()),)])
    assert (type(found), type(found[1]), found[0].item(), found[1][0].item()) == (list, tuple, 2.0, 2.0)
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3)
