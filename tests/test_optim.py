"""Optimizers: PyTorch's numbers (recorded in data/optim.json), state dicts, hooks and messages."""

import copy
import json
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    required,
)

RECORDED = json.loads((Path(__file__).parent / "data" / "optim.json").read_text())
START = [[[0.3, -0.7, 1.3], [-1.1, 0.9, 0.2]], [0.7, -0.3, 1.7]]

# By optimizer: options, state of a (2, 3) parameter with shapes, and the options in a parameter group; PyTorch's order.
FORMATS = {
    "SGD": (
        {"momentum": 0.9},
        {"momentum_buffer": (2, 3)},
        "lr momentum dampening weight_decay nesterov maximize foreach differentiable fused",
    ),
    "Adam": (
        {"amsgrad": True},
        {"step": (), "exp_avg": (2, 3), "exp_avg_sq": (2, 3), "max_exp_avg_sq": (2, 3)},
        "lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay",
    ),
    "AdamW": (
        {},
        {"step": (), "exp_avg": (2, 3), "exp_avg_sq": (2, 3)},
        "lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay",
    ),
    "Adamax": (
        {},
        {"step": (), "exp_avg": (2, 3), "exp_inf": (2, 3)},
        "lr betas eps weight_decay foreach maximize differentiable capturable",
    ),
    "NAdam": (
        {},
        {"step": (), "mu_product": (), "exp_avg": (2, 3), "exp_avg_sq": (2, 3)},
        "lr betas eps weight_decay momentum_decay decoupled_weight_decay maximize foreach capturable differentiable",
    ),
    "RAdam": (
        {},
        {"step": (), "exp_avg": (2, 3), "exp_avg_sq": (2, 3)},
        "lr betas eps weight_decay maximize foreach capturable decoupled_weight_decay differentiable",
    ),
    "Adagrad": (
        {},
        {"step": (), "sum": (2, 3)},
        "lr lr_decay eps weight_decay initial_accumulator_value foreach maximize differentiable fused",
    ),
    "Adadelta": (
        {},
        {"step": (), "square_avg": (2, 3), "acc_delta": (2, 3)},
        "lr rho eps weight_decay maximize capturable foreach differentiable",
    ),
    "RMSprop": (
        {"momentum": 0.9, "centered": True},
        {"step": (), "square_avg": (2, 3), "momentum_buffer": (2, 3), "grad_avg": (2, 3)},
        "lr momentum alpha eps centered weight_decay capturable foreach maximize differentiable",
    ),
    "Rprop": (
        {},
        {"step": (), "prev": (2, 3), "step_size": (2, 3)},
        "lr etas step_sizes foreach maximize differentiable capturable",
    ),
    "ASGD": (
        {},
        {"step": (), "eta": (), "mu": (), "ax": (2, 3)},
        "lr lambd alpha t0 weight_decay foreach maximize differentiable capturable",
    ),
    "Adafactor": (
        {},
        {"step": (), "row_var": (2, 1), "col_var": (1, 3)},
        "lr beta2_decay eps d weight_decay foreach maximize",
    ),
    "Muon": (
        {},
        {"momentum_buffer": (2, 3)},
        "lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
    ),
}


def make(name, options, dtype=None):
    params = [nn.Parameter(torch.tensor(values, dtype=dtype)) for values in START]
    if name == "Muon":
        params = params[:1]
    return params, getattr(torch.optim, name)(params, **{"lr": 0.1, **options})


def run(params, optimizer, steps):
    """Steps on a loss whose gradients have varied sizes and signs."""
    for step in steps:

        def closure(step=step):
            for param in params:
                value = param.detach()
                param.grad = (value - 0.3) * 0.7 + 0.1 * step * torch.cos(3 * value)
            return sum(((param.detach() - 0.3) ** 2).sum() for param in params) * 0.35

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()


def numbers(params):
    return [number for param in params for number in param.detach().flatten().tolist()]


def parameter(*values):
    return nn.Parameter(torch.tensor(values or (1.0, 2.0)))


def with_grad(*values):
    param = parameter(*values)
    param.grad = torch.ones_like(param)
    return param


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['optimizer']}-{case['options']}")
def test_parameters_are_those_of_pytorch(case):
    params, optimizer = make(case["optimizer"], case["options"])
    run(params, optimizer, range(5))
    assert numbers(params) == pytest.approx(case["params"], rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_state_dict_has_the_format_of_pytorch(name):
    options, state, group = FORMATS[name]
    params, optimizer = make(name, options)
    run(params, optimizer, range(2))
    state_dict = optimizer.state_dict()
    assert list(state_dict) == ["state", "param_groups"]
    assert [{key: tuple(value.shape) for key, value in state_dict["state"][0].items()}] == [state]
    assert list(state_dict["state"][0]) == list(state)
    assert list(state_dict["param_groups"][0]) == [*group.split(), "params"]
    assert state_dict["param_groups"][0]["params"] == list(range(len(params)))
    if "step" in state:
        assert state_dict["state"][0]["step"].dtype == torch.float32
        assert state_dict["state"][0]["step"].item() == 2


@pytest.mark.parametrize("name", [*FORMATS, "LBFGS"])
def test_a_loaded_state_dict_continues_the_run(name):
    options = FORMATS[name][0] if name in FORMATS else {"max_iter": 3}
    params, optimizer = make(name, options)
    run(params, optimizer, range(3))
    loaded_params, loaded = make(name, options)
    for param, value in zip(loaded_params, params, strict=True):
        param.data.copy_(value.data)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(params, optimizer, range(3, 6))
    run(loaded_params, loaded, range(3, 6))
    assert numbers(loaded_params) == numbers(params)


def test_state_dict_of_pytorch_loads():
    """A dict as torch.load gives it for Adam: the next step continues from step 3, in the parameter's dtype."""
    saved = {
        "state": {
            0: {
                "step": torch.tensor(3.0),
                "exp_avg": torch.tensor([0.5, -0.5]),
                "exp_avg_sq": torch.tensor([0.02, 0.03]),
            }
        },
        "param_groups": [
            {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0, "amsgrad": False, "params": [0]}
        ],
    }
    param = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = torch.optim.Adam([param], lr=1.0)
    optimizer.load_state_dict(saved)
    assert optimizer.state[param]["exp_avg"].dtype == torch.float64
    assert optimizer.param_groups[0]["foreach"] is None
    param.grad = torch.tensor([0.1, 0.2], dtype=torch.float64)
    optimizer.step()
    assert optimizer.state[param]["step"].item() == 4
    assert param.tolist() == pytest.approx([0.9940210694414551, 2.004561498464368], rel=1e-6)


def test_state_dicts_with_a_number_as_step_load():
    param = with_grad()
    optimizer = torch.optim.Adam([param])
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["step"] = 5
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[param]["step"].item() == 6


def test_a_step_count_changed_by_the_user_counts():
    """The count's value is remembered between steps; writing the tensor has to undo that."""
    param = with_grad(1.0)
    optimizer = torch.optim.Adam([param], lr=0.1)
    for _ in range(3):
        optimizer.step()
    optimizer.state[param]["step"].zero_()
    optimizer.step()
    assert optimizer.state[param]["step"].item() == 1


def test_plain_sgd_keeps_no_state():
    param = with_grad()
    optimizer = torch.optim.SGD([param], lr=0.1)
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


def test_parameters_without_gradient_are_left_alone():
    used, unused = with_grad(), parameter()
    optimizer = torch.optim.Adam([used, unused], lr=0.1)
    optimizer.step()
    assert unused.tolist() == [1.0, 2.0]
    assert list(optimizer.state) == [used]


def test_groups_have_their_own_options():
    first, second = with_grad(), with_grad()
    torch.optim.SGD([{"params": [first]}, {"params": second, "lr": 1.0}], lr=0.5).step()
    assert first.tolist() == [0.5, 1.5]
    assert second.tolist() == [0.0, 1.0]


def test_options_that_an_optimizer_does_not_know_are_ignored():
    """Rprop has no weight decay, whatever a group says."""
    plain, other = with_grad(), with_grad()
    torch.optim.Rprop([{"params": [plain]}, {"params": [other], "weight_decay": 9.0}], lr=0.1).step()
    assert plain.tolist() == other.tolist()


def test_learning_rate_may_be_a_tensor_that_changes():
    param, lr = with_grad(), torch.tensor(0.5)
    optimizer = torch.optim.SGD([param], lr=lr)
    optimizer.step()
    lr.fill_(0.25)
    optimizer.step()
    assert param.tolist() == [0.25, 1.25]


def test_complex_parameters_are_pairs_of_reals():
    """Each part moves by about lr under Adam, as real parameters do."""
    param = nn.Parameter(torch.tensor([1 + 2j]))
    param.grad = torch.tensor([3 - 4j])
    torch.optim.Adam([param], lr=0.1).step()
    moved = param.detach() - torch.tensor([1 + 2j])
    assert (moved.real.item(), moved.imag.item()) == pytest.approx((-0.1, 0.1), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("Adafactor", "Muon")])
def test_complex_parameters_take_steps_as_real_ones_do(name):
    """The state stays that of the parameter over several steps."""
    start, slope = torch.tensor([1 + 2j, -0.5j]), torch.tensor([0.3 - 0.4j, 0.7 + 0.1j])
    complex_one, real_one = nn.Parameter(start), nn.Parameter(torch.view_as_real(start).clone())
    optimizers = [getattr(torch.optim, name)([param], lr=0.1, **FORMATS[name][0]) for param in (complex_one, real_one)]
    for step in range(4):
        complex_one.grad, real_one.grad = slope * (step + 1), torch.view_as_real(slope) * (step + 1)
        for optimizer in optimizers:
            optimizer.step()
            assert len(optimizer.state) <= 1 and len(optimizer.state_dict()["state"]) == len(optimizer.state)
    torch.testing.assert_close(torch.view_as_real(complex_one.detach()), real_one.detach())


def test_gradient_strides_do_not_matter():
    param = nn.Parameter(torch.zeros(2, 3))
    param.grad = torch.arange(6.0).reshape(3, 2).T
    torch.optim.SGD([param], lr=1.0, momentum=0.9).step()
    assert param.tolist() == [[-0.0, -2.0, -4.0], [-1.0, -3.0, -5.0]]


def test_closure_is_called_with_grad_and_its_loss_returned():
    param = parameter(3.0)
    optimizer = torch.optim.SGD([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert param.tolist() == pytest.approx([2.4])


def test_differentiable_step_has_gradients():
    """Two steps of momentum SGD on q**2 / 2: PyTorch's gradients for the start and the learning rate."""
    start, lr = parameter(1.0, 3.0), torch.tensor(0.1, requires_grad=True)
    param = start.clone()
    optimizer = torch.optim.SGD([param], lr=lr, differentiable=True)
    for _ in range(2):
        param.grad = param.clone()
        optimizer.step()
    param.sum().backward()
    assert start.grad.tolist() == pytest.approx([0.81, 0.81])
    assert lr.grad.item() == pytest.approx(-7.2)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    param = parameter()
    (param * 2).sum().backward()
    grad = param.grad
    torch.optim.SGD([param]).zero_grad(set_to_none)
    if set_to_none:
        assert param.grad is None
    else:
        assert param.grad is grad
        assert grad.tolist() == [0.0, 0.0]


def test_repr_is_that_of_pytorch():
    assert repr(torch.optim.SGD([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.1}])) == (
        "SGD (\n"
        "Parameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.001\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n"
        "\n"
        "Parameter Group 1\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n"
        ")"
    )


def test_hooks_run_in_order():
    log = []
    optimizer = torch.optim.SGD([with_grad()])
    global_pre = register_optimizer_step_pre_hook(lambda *_: log.append("global pre"))
    global_post = register_optimizer_step_post_hook(lambda *_: log.append("global post"))
    pre = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: log.append(f"pre {len(args)}"))
    optimizer.register_step_post_hook(lambda *_: log.append("post"))
    optimizer.step()
    assert log == ["global pre", "pre 1", "post", "global post"]
    for handle in (global_pre, global_post, pre):
        handle.remove()
    log.clear()
    optimizer.step()
    assert log == ["post"]


def test_pre_hook_may_replace_the_arguments_only_with_a_pair():
    optimizer = torch.optim.SGD([with_grad()])
    handle = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: ((optimizer, lambda: 7), {}))
    assert optimizer.step() == 7
    handle.remove()
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3."):
        optimizer.step()


def test_state_dict_hooks():
    log = []
    optimizer = torch.optim.SGD([parameter()])
    optimizer.register_state_dict_pre_hook(lambda optimizer: log.append("second"))
    optimizer.register_state_dict_pre_hook(lambda optimizer: log.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda optimizer, state_dict: {**state_dict, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda optimizer, state_dict: log.append(sorted(state_dict)))
    optimizer.register_load_state_dict_post_hook(lambda optimizer: log.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert log == ["first", "second", ["extra", "param_groups", "state"], "loaded"]


def test_optimizers_written_by_users_work():
    class SignSGD(torch.optim.Optimizer):
        def __init__(self, params, lr=required):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for param in group["params"]:
                    self.state[param]["steps"] = self.state[param].get("steps", 0) + 1
                    param.data.add_(param.grad.sign(), alpha=-group["lr"])

    param = with_grad()
    optimizer = SignSGD([param], lr=0.5)
    log = []
    optimizer.register_step_post_hook(lambda *_: log.append("post"))
    optimizer.step()
    assert param.tolist() == [0.5, 1.5]
    assert optimizer.state_dict()["state"] == {0: {"steps": 1}}
    assert log == ["post"]
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
        SignSGD([parameter()])


def test_a_subclass_that_calls_step_runs_hooks_once():
    class Noisy(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    optimizer = Noisy([with_grad()], lr=0.1)
    log = []
    optimizer.register_step_post_hook(lambda *_: log.append("post"))
    optimizer.step()
    assert log == ["post"]


def test_copies_are_independent():
    param = with_grad()
    optimizer = torch.optim.Adam([param], lr=0.1)
    optimizer.step()
    other = copy.deepcopy(optimizer)
    other.param_groups[0]["params"][0].grad = torch.ones(2)
    other.step()
    assert param.tolist() == pytest.approx([0.9, 1.9])
    assert other.param_groups[0]["params"][0].tolist() == pytest.approx([0.8, 1.8])


def test_named_parameters_keep_their_names():
    optimizer = torch.optim.SGD([("w", parameter())])
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w"]


def test_duplicate_parameters_warn():
    param = parameter()
    with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters"):
        torch.optim.SGD([param, param])


def test_fused_optimizers_do_the_gradient_scalers_part():
    param = nn.Parameter(torch.tensor([1.0, 2.0]))
    param.grad = torch.full((2,), 8.0)
    optimizer = torch.optim.SGD([param], lr=0.5, fused=True)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
    optimizer.step()
    assert param.tolist() == [0.0, 1.0]
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert param.tolist() == [0.0, 1.0]


def test_lbfgs_finds_the_minimum_of_rosenbrocks_function():
    param = parameter(-1.5, 2.0)
    optimizer = torch.optim.LBFGS([param], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        x, y = param
        loss = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(12.5)
    assert param.tolist() == pytest.approx([1.0, 1.0], abs=1e-3)


def test_the_state_of_lbfgs_is_kept_when_a_step_has_ended():
    """In PyTorch's order, and without what a step that failed has found."""
    param = torch.nn.Parameter(torch.tensor([0.3, -0.7]))
    optimizer = torch.optim.LBFGS([param], max_iter=3)
    calls = []

    def closure():
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("not now")
        optimizer.zero_grad()
        loss = ((param - 1) ** 4).sum()
        loss.backward()
        return loss

    with pytest.raises(ValueError, match="not now"):
        optimizer.step(closure)
    assert list(optimizer.state[param]) == ["func_evals", "n_iter"]
    optimizer.state[param]["n_iter"] = 0
    optimizer.step(closure)
    names = "func_evals n_iter al d t old_dirs old_stps ro H_diag prev_flat_grad prev_loss"
    assert " ".join(optimizer.state[param]) == names == " ".join(optimizer.state_dict()["state"][0])


def test_swapped_parameters_are_stepped_and_the_own_ones_come_back():
    own, other = with_grad(), with_grad(5.0, 6.0)
    optimizer = torch.optim.Adam([own], lr=0.1)
    optimizer.step()
    before = own.tolist()
    with torch.optim.swap_in_optimizer_params_and_state(optimizer, {"w": other}, optimizer.state_dict()):
        optimizer.step()
        assert optimizer.state_dict()["state"][0]["step"].item() == 2
    assert own.tolist() == before
    assert other.tolist() == pytest.approx([4.9, 5.9])
    assert optimizer.param_groups[0]["params"][0] is own


REFUSED_PARAMS = [
    (lambda: 3, TypeError, "'int' object is not iterable"),
    (list, ValueError, "optimizer got an empty parameter list"),
    (lambda: [1], TypeError, "optimizer can only optimize Tensors, but one of the params is int"),
    (lambda: parameter(), TypeError, "iterable of Tensors or dicts, but got torch.FloatTensor"),
    (lambda: [parameter() * 2], ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: [{"params": {parameter()}}], TypeError, "need to be organized in ordered collections"),
    (lambda: [("w", parameter()), parameter()], ValueError, "Some param names are missing"),
    (lambda: [{"params": [PARAM]}, {"params": [PARAM]}], ValueError, "appear in more than one parameter group"),
    (
        lambda: [{"params": [parameter()]}, {"params": [("w", parameter())]}],
        ValueError,
        "cannot add param group with names to the optimizer",
    ),
]
PARAM = parameter()


@pytest.mark.parametrize(("params", "error", "message"), REFUSED_PARAMS, ids=lambda value: getattr(value, "__name__", str(value))[:40])
def test_bad_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        torch.optim.SGD(params())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -0.1}, "Invalid learning rate: -0.1"),
        ("SGD", {"lr": torch.ones(2)}, "Tensor lr must be 1-element"),
        ("SGD", {"momentum": -1}, "Invalid momentum value: -1"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("Adam", {"eps": -1.0}, "Invalid epsilon value: -1.0"),
        ("Adam", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        ("Adam", {"betas": (0, 0.9)}, "betas must be either both floats or both Tensors"),
        ("AdamW", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("NAdam", {"momentum_decay": -1}, "Invalid momentum_decay value: -1"),
        ("Adagrad", {"lr_decay": -1}, "Invalid lr_decay value: -1"),
        ("Adadelta", {"rho": 2}, "Invalid rho value: 2"),
        ("RMSprop", {"alpha": -1}, "Invalid alpha value: -1"),
        ("Rprop", {"etas": (1, 2)}, "Invalid eta values: 1, 2"),
        ("Adafactor", {"d": 0.5}, "Clipping threshold d should be >= 1 but is: 0.5"),
        ("Muon", {"adjust_lr_fn": "x"}, "Adjust learning rate function x is not supported"),
        ("Muon", {}, r"Muon only supports 2D parameters whereas we found a parameter with size: torch.Size\(\[2\]\)"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(torch.optim, name)([parameter()], **options)


def test_capturable_needs_a_device_that_can_capture():
    optimizer = torch.optim.NAdam([with_grad()], capturable=True)
    with pytest.raises(AssertionError, match="If capturable=True, params, mu_products and state_steps must be on"):
        optimizer.step()


def test_loading_other_groups_is_refused():
    one, two = [parameter()], [parameter(), parameter()]
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        torch.optim.SGD(one).load_state_dict(torch.optim.SGD(two).state_dict())
    groups = [{"params": [param]} for param in two]
    with pytest.raises(ValueError, match="has a different number of parameter groups"):
        torch.optim.SGD(one).load_state_dict(torch.optim.SGD(groups).state_dict())


def test_an_option_that_changes_between_steps_is_noticed() -> None:
    """Momentum switched on after steps without: the buffers begin with the gradient, as at a first step."""
    w = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([w], lr=0.5)
    for _ in range(3):
        w.grad = torch.tensor([0.25])
        optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    for _ in range(2):
        w.grad = torch.tensor([0.25])
        optimizer.step()
    assert w.tolist() == [1.0 - 3 * 0.125 - 0.125 - 0.1875]
    assert optimizer.state[w]["momentum_buffer"].tolist() == [0.375]


def test_parameters_of_a_group_may_be_in_a_tuple() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.param_groups[0]["params"] = (weight,)
    for _ in range(4):
        weight.grad = torch.ones(2)
        optimizer.step()
    assert torch.allclose(weight.detach(), torch.full((2,), 0.6))
