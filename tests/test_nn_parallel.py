"""What programs for several devices or processes use of `nn` does the same on one device in one process."""

from __future__ import annotations

import pytest

import rushlight as torch
from rushlight import nn


def test_data_parallel_runs_its_module_and_keeps_checkpoints_names() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    parallel = nn.DataParallel(model, device_ids=[0, 1])
    x = torch.randn(4, 3)
    assert torch.equal(parallel(x), model(x)) and parallel.module is model and parallel.device_ids == []
    assert list(parallel.state_dict()) == ["module.weight", "module.bias"]
    assert repr(parallel) == "DataParallel(\n  (module): Linear(in_features=3, out_features=2, bias=True)\n)"
    parallel(x).sum().backward()
    assert model.weight.grad is not None
    nn.parallel.DataParallel(nn.Linear(3, 2)).load_state_dict(parallel.state_dict())
    with pytest.raises(RuntimeError, match="device type could not be determined"):
        nn.parallel.data_parallel(model, x)


def test_converted_batch_norms_share_parameters_and_compute_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sequential(nn.BatchNorm2d(3, momentum=None)), nn.ReLU())
    x = torch.randn(4, 2, 5, 5)
    model(x)
    norm = model[1][0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model and type(model[1][0]) is nn.SyncBatchNorm
    assert model[1][0].weight is norm.weight and model[1][0].momentum is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    have = model[1][0](x[:, :1].expand(-1, 3, -1, -1))
    plain = nn.BatchNorm2d(3, momentum=None)
    assert torch.equal(have, plain(x[:, :1].expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="expected at least 2D input"):
        nn.SyncBatchNorm(3)(torch.zeros(3))


def test_cross_map_normalization_has_pytorchs_windows_and_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 1, 2, requires_grad=True)
    layer = nn.CrossMapLRN2d(4, 0.7, 0.6, 1.3)
    y = layer(x)
    (y * y).sum().backward()
    assert repr(layer) == "CrossMapLRN2d(4, alpha=0.7, beta=0.6, k=1.3)"
    # fmt: off
    output = [0.8795375823974609, -0.24275267124176025, -1.1868950128555298, 0.4114176332950592, -0.5871564149856567,
              -0.9710720181465149, 0.2629353702068329, 0.5872601270675659, -0.4898492991924286, -0.31980735063552856,
              -0.4100414216518402, 0.15208496153354645]
    gradient = [0.47609248757362366, -0.38419100642204285, -0.4332532584667206, 0.439150869846344, -0.1923236846923828,
                -0.8516561985015869, 0.2079210728406906, 0.5160483121871948, -0.5541340112686157, -0.373203843832016,
                -0.500867486000061, 0.23292338848114014]
    # fmt: on
    torch.testing.assert_close(y.flatten(), torch.tensor(output))
    assert x.grad is not None
    torch.testing.assert_close(x.grad.flatten(), torch.tensor(gradient))
    with pytest.raises(ValueError, match="CrossMapLRN2d: Expected input to be 4D, got 1D instead."):
        layer(torch.zeros(3))
