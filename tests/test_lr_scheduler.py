"""Learning-rate schedules and weight averages: PyTorch's rates (recorded in data/lr_scheduler.json) and messages."""

import json
import warnings
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.optim import lr_scheduler, swa_utils

RECORDED = json.loads((Path(__file__).parent / "data" / "lr_scheduler.json").read_text())
FUNCTIONS = {
    "decay": lambda epoch: 0.9**epoch,
    "hyperbola": lambda epoch: 1 / (1 + epoch),
    "constant": lambda epoch: 0.9,
}
FIRST_STEP_WARNING = "ignore:Detected call of `lr_scheduler.step"


def parameter():
    return nn.Parameter(torch.zeros(1))


def sgd(lr=0.1, groups=1):
    return torch.optim.SGD([{"params": [parameter()]} for _ in range(groups)], lr=lr, momentum=0.9)


def two_groups(as_tensors=False):
    rates = [torch.tensor(lr, dtype=torch.float64) if as_tensors else lr for lr in (0.1, 0.05)]
    return torch.optim.SGD([{"params": [parameter()], "lr": lr} for lr in rates], momentum=0.9)


def argument(value, optimizer):
    if isinstance(value, dict):
        return FUNCTIONS[value["function"]]
    if isinstance(value, list):
        return [
            build(item[0], item[1], optimizer) if isinstance(item, list) else argument(item, optimizer)
            for item in value
        ]
    return value


def build(name, options, optimizer):
    arguments = {key: argument(value, optimizer) for key, value in options.items()}
    if name == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(**arguments)
    return getattr(swa_utils if name == "SWALR" else lr_scheduler, name)(optimizer, **arguments)


def follow(scheduler, optimizer, epochs):
    rates, momenta = [], []
    for _ in range(epochs):
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    return rates, momenta


every_schedule = pytest.mark.parametrize(
    "case", RECORDED, ids=lambda case: f"{case['scheduler']}-{case['options']}"[:70]
)


@every_schedule
@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.filterwarnings(FIRST_STEP_WARNING)
def test_rates_are_those_of_pytorch(case, as_tensors):
    optimizer = two_groups(as_tensors)
    lr_before = optimizer.param_groups[0]["lr"]
    scheduler = build(case["scheduler"], case["options"], optimizer)
    rates, momenta = follow(scheduler, optimizer, 10)
    assert rates == [pytest.approx(recorded, rel=1e-9) for recorded in case["rates"]]
    assert momenta == pytest.approx(case.get("momentum", [0.9] * 10))
    assert sorted(scheduler.state_dict()) == case["state_keys"]
    if as_tensors:
        assert optimizer.param_groups[0]["lr"] is lr_before


@every_schedule
@pytest.mark.filterwarnings(FIRST_STEP_WARNING)
def test_a_loaded_state_dict_continues_the_schedule(case):
    optimizer = two_groups()
    scheduler = build(case["scheduler"], case["options"], optimizer)
    follow(scheduler, optimizer, 4)
    other = two_groups()
    loaded = build(case["scheduler"], case["options"], other)
    loaded.load_state_dict(scheduler.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert follow(loaded, other, 5) == follow(scheduler, optimizer, 5)


def test_last_rates_are_copies():
    lr = torch.tensor(0.5)
    scheduler = lr_scheduler.StepLR(sgd(lr), 1)
    scheduler.get_last_lr()[0].fill_(7.0)
    assert lr.item() == 0.5


def test_plateau_waits_reduces_and_cools_down():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=0.2)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        scheduler.step(loss)
        rates += scheduler.get_last_lr()
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2]


@pytest.mark.parametrize(
    ("options", "metrics", "bad_epochs"),
    [
        ({"mode": "max"}, (1.0, 1.00005, 1.2), [0, 1, 0]),
        ({"mode": "min", "threshold_mode": "abs", "threshold": 0.5}, (3.0, 2.6, 2.4), [0, 1, 0]),
        ({"mode": "max", "threshold_mode": "abs", "threshold": 0.5}, (3.0, 3.4, 3.6), [0, 1, 0]),
        ({}, (3.0, 2.9999, 2.9), [0, 1, 0]),
    ],
)
def test_plateau_thresholds(options, metrics, bad_epochs):
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd(), **options)
    counted = []
    for metric in metrics:
        scheduler.step(metric)
        counted.append(scheduler.num_bad_epochs)
    assert counted == bad_epochs


def test_stepping_the_schedule_first_warns_once():
    scheduler = lr_scheduler.StepLR(sgd(), 1)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`"):
        scheduler.step()
    scheduler.step()


def test_a_replaced_step_method_warns():
    optimizer = sgd()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden after learning rate scheduler initialization"):
        scheduler.step()


def test_the_usual_order_does_not_warn():
    optimizer = sgd()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()


def test_epoch_argument_warns_and_jumps():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    optimizer.step()
    with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step\\(\\)` was not necessary"):
        scheduler.step(5)
    assert scheduler.get_last_lr() == [0.25]


def test_get_lr_warns_outside_step():
    scheduler = lr_scheduler.ExponentialLR(sgd(), 0.5)
    with pytest.warns(UserWarning, match="please use `get_last_lr\\(\\)`"):
        scheduler.get_lr()


def test_warm_restarts_take_fractional_epochs():
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd(1.0), T_0=2, T_mult=2)
    seen = []
    for epoch in (0.5, 2, 5.5, 7):
        scheduler.step(epoch)
        seen.append((scheduler.T_cur, scheduler.T_i, scheduler.last_epoch))
    assert seen == [(0.5, 2, 0), (0, 4, 2), (3.5, 4, 5), (1, 8, 7)]


def test_callable_objects_keep_their_attributes_in_the_state_dict():
    class Warmup:
        def __init__(self, epochs):
            self.epochs = epochs

        def __call__(self, epoch):
            return min(1.0, (epoch + 1) / self.epochs)

    saved = lr_scheduler.LambdaLR(sgd(), Warmup(4)).state_dict()
    assert saved["lr_lambdas"] == [{"epochs": 4}]
    scheduler = lr_scheduler.LambdaLR(sgd(), Warmup(9))
    scheduler.load_state_dict(saved)
    assert scheduler.lr_lambdas[0].epochs == 4
    assert lr_scheduler.LambdaLR(sgd(), lambda epoch: 1.0).state_dict()["lr_lambdas"] == [None]


def test_older_programs_derive_from_the_older_name():
    class Halving(lr_scheduler._LRScheduler):
        def get_lr(self):
            return [base_lr * 0.5**self.last_epoch for base_lr in self.base_lrs]

    optimizer = sgd(1.0)
    rates, _ = follow(Halving(optimizer), optimizer, 3)
    assert rates == [[1.0], [0.5], [0.25]]


def test_one_cycle_moves_the_first_beta():
    optimizer = torch.optim.Adam([parameter()], betas=(0.9, 0.99))
    lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=4)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.99)


def plateau_in_chain(optimizer):
    return lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(optimizer)])


def of_another_optimizer(optimizer):
    return lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(sgd(), 1)], [])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (
            lambda o: lr_scheduler.StepLR(o, 1, last_epoch=2),
            KeyError,
            "param 'initial_lr' is not specified in param_gr",
        ),
        (lambda o: lr_scheduler.LambdaLR(o, [abs, abs]), ValueError, "Expected 1 lr_lambdas, but got 2"),
        (lambda o: lr_scheduler.MultiplicativeLR(o, 3), TypeError, "lr_lambda should be a function, but got int"),
        (lambda o: lr_scheduler.ConstantLR(o, 2.0), ValueError, "factor expected to be between 0 and 1."),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, "greater than 0 and less or equal to 1."),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1, mode="x"), ValueError, "mode is invalid and scale_fn is None"),
        (lambda o: lr_scheduler.CyclicLR(o, [1, 2], 1), ValueError, "base_lr must have the same length as"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "You must define either total_steps OR"),
        (
            lambda o: lr_scheduler.OneCycleLR(o, 1.0, 9, anneal_strategy="x"),
            ValueError,
            "'cos' or 'linear', instead got x",
        ),
        (
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0),
            ValueError,
            "Expected positive integer T_0, but got 0",
        ),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown!"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0."),
        (
            lambda o: lr_scheduler.SequentialLR(o, [], []),
            ValueError,
            "expects at least one scheduler, but got no sched",
        ),
        (plateau_in_chain, ValueError, "ChainedScheduler does not support `ReduceLROnPlateau` scheduler"),
        (of_another_optimizer, ValueError, "SequentialLR expects all schedulers to belong to the same optimizer"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(sgd())


def test_one_cycle_ends():
    optimizer = sgd()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=2)
    follow(scheduler, optimizer, 2)
    with pytest.raises(ValueError, match="Tried to step 3 times. The specified number of total steps is 2"):
        scheduler.step()


def constant_model(value):
    model = nn.Linear(2, 1)
    for param in model.parameters():
        param.data.fill_(value)
    return model


@pytest.mark.parametrize(
    ("options", "average"),
    [
        ({}, 2.0),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, 2.0),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)}, 1.53125),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, 1.53125),
    ],
)
def test_averaged_model(options, average):
    """Of models with all parameters 0.5, 2.0 and 3.5."""
    averaged = swa_utils.AveragedModel(constant_model(9.0), **options)
    for value in (0.5, 2.0, 3.5):
        averaged.update_parameters(constant_model(value))
    assert averaged.module.weight.tolist() == [pytest.approx([average] * 2)]
    assert averaged.n_averaged.item() == 3
    assert list(averaged.state_dict()) == ["n_averaged", "module.weight", "module.bias"]


def test_update_bn_computes_the_statistics_anew():
    model = nn.Sequential(nn.BatchNorm1d(1)).eval()
    batches = [torch.tensor([[1.0], [3.0]]), (torch.tensor([[5.0], [9.0]]), "label")]
    swa_utils.update_bn(batches, model)
    assert model[0].running_mean.item() == pytest.approx(4.5)
    assert model[0].running_var.item() == pytest.approx(5.0)
    assert model[0].momentum == 0.1
    assert not model.training


def test_ema_decay_is_checked():
    with pytest.raises(ValueError, match=r"Invalid decay value 3 provided. Please provide a value in \[0,1\] range."):
        swa_utils.get_ema_avg_fn(3)
