"""A step is one entry on the tape, with the bits of the ordinary operations that its formula is written in."""

import itertools

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.graph import trace_ops
from rushlight.ops import optimizer_step as steps
from rushlight.ops.update_program import trace

OPTIONS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}],
    "Adam": [{}, {"amsgrad": True}, {"weight_decay": 0.1, "maximize": True}, {"betas": (0.3, 0.7)}],
    "AdamW": [{}, {"amsgrad": True, "maximize": True}],
    "Adamax": [{}, {"weight_decay": 0.1}],
    "NAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "initial_accumulator_value": 0.3}],
    "Adadelta": [{}, {"rho": 0.7}],
    "RMSprop": [{}, {"momentum": 0.9, "centered": True}, {"centered": True}, {"momentum": 0.7}],
    "Rprop": [{}, {"etas": (0.3, 1.3), "step_sizes": (0.07, 0.13)}],
    "ASGD": [{}, {"t0": 2.0, "weight_decay": 0.1}],
}
CASES = [pytest.param(name, options, id=f"{name}-{n}") for name, several in OPTIONS.items() for n, options in enumerate(several)]

#: Not a multiple of any block or vector; more than one block of the interpreter.
SIZES = [(), (1,), (7,), (3, 5), (steps.BLOCK + 37,)]
STEPS = 8


def values(shape, seed, dtype):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.tensor(drawn, dtype=dtype)


def bits(tensor):
    """The bytes of a tensor, with one bit pattern for all NaNs: IEEE does not say what the sign of one is."""
    array = tensor.detach().numpy()
    return np.where(np.isnan(array), array.dtype.type(np.nan), array).tobytes()


def entries(record):
    """The names of the ops that ``record`` leaves on the tape."""
    tape.flush()
    before, tape.state.immediate = tape.state.immediate, False
    flush, tape.flush = tape.flush, lambda cause="": None
    try:
        record()
        return [entry[0].card.name for entry in tape.pending]
    finally:
        tape.flush, tape.state.immediate = flush, before
        tape.flush()


def run(name, options, dtype, elementwise, sizes=SIZES):
    params = [nn.Parameter(values(shape, n, dtype)) for n, shape in enumerate(sizes)]
    optimizer = getattr(torch.optim, name)(params, lr=0.07, **options)
    optimizer.elementwise = elementwise
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.07 / (1 + step)
        for n, param in enumerate(params):
            grad = values(param.shape, 100 * step + n + 7, dtype)
            if param.numel() > 6:
                grad.view(-1)[:6] = torch.tensor([0.0, -0.0, float("inf"), float("nan"), -1e30, 1e-30], dtype=dtype)
            param.grad = grad
        optimizer.step()
    state = [value for param in params for value in optimizer.state[param].values()]
    return [bits(t) for t in [*params, *state]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_entry_has_the_bits_of_ordinary_operations(name, options, dtype):
    assert run(name, options, dtype, True) == run(name, options, dtype, False)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_step_is_one_entry(name, options):
    params = [nn.Parameter(torch.randn(3, 4)) for _ in range(8)]
    optimizer = getattr(torch.optim, name)(params, **options)
    for param in params:
        param.grad = torch.randn(3, 4)
    optimizer.step()
    assert entries(optimizer.step) == ["optimizer_step"]


def test_many_parameters_are_a_few_entries_and_each_is_updated():
    params = [nn.Parameter(torch.full((2,), float(n))) for n in range(300)]
    optimizer = torch.optim.SGD(params, lr=0.5)
    for param in params:
        param.grad = torch.ones(2)
    assert entries(optimizer.step) == ["optimizer_step"] * 3
    assert [param[0].item() for param in params] == [n - 0.5 for n in range(300)]


def test_a_schedule_makes_no_new_plans():
    param = nn.Parameter(torch.randn(5))
    optimizer = torch.optim.Adam([param], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(60):
        param.grad = torch.randn(5)
        optimizer.step()
        schedule.step()
        if step == 3:
            known = len(steps._PLANS), len(steps._FORMULAS), sum(len(found or ()) for found in steps._FORMULAS.values())
    assert (len(steps._PLANS), len(steps._FORMULAS), sum(len(found or ()) for found in steps._FORMULAS.values())) == known


def test_versions_advance():
    param = nn.Parameter(torch.randn(5))
    optimizer = torch.optim.Adam([param])
    saved = (param * param).sum()
    param.grad = torch.randn(5)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()
    moments, step = optimizer.state[param]["exp_avg"], optimizer.state[param]["step"]
    versions = moments._version, step._version
    optimizer.step()
    assert moments._version > versions[0]
    assert step._version > versions[1]


def stepped(params, grads, **options):
    """The parameters after a step of SGD, as lists."""
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    torch.optim.SGD(params, lr=0.5, **options).step()
    return [param.tolist() for param in params]


def test_parameters_that_share_memory():
    whole = torch.arange(4.0)
    first, second = nn.Parameter(whole[:2]), nn.Parameter(whole[2:])
    assert stepped([first, second], [torch.ones(2), torch.full((2,), 3.0)]) == [[-0.5, 0.5], [0.5, 1.5]]
    assert whole.tolist() == [-0.5, 0.5, 0.5, 1.5]
    # Those that overlap are updated one after the other.
    overlapping = [nn.Parameter(whole[:2]), nn.Parameter(whole[1:3])]
    assert stepped(overlapping, [torch.ones(2), torch.ones(2)]) == [[-1.0, -0.5], [-0.5, 0.0]]


def test_a_gradient_that_is_the_parameter_itself():
    param = nn.Parameter(torch.tensor([1.0, 3.0]))
    assert stepped([param], [param.data], momentum=0.9) == [[0.5, 1.5]]


def test_a_gradient_shared_by_two_parameters():
    params = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))]
    grad = torch.tensor([1.0, 2.0])
    assert stepped(params, [grad, grad]) == [[-0.5, -1.0], [0.5, 0.0]]


def test_memory_that_numpy_sees_is_written_before_the_call_returns():
    array = np.array([1.0, 3.0], np.float32)
    param = nn.Parameter(torch.from_numpy(array))
    param.grad = torch.ones(2)
    torch.optim.SGD([param], lr=0.5).step()
    assert array.tolist() == [0.5, 2.5]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_dense_parameters_in_any_order_of_dims(order):
    make = lambda: torch.arange(24.0).view(2, 3, 4).permute(*order)  # noqa: E731
    param = nn.Parameter(make())
    assert param.stride() == make().stride()
    grad = make() * 3
    expected = (make() - 0.5 * grad).tolist()
    assert stepped([param], [grad], momentum=0.9) == [expected]
    # A gradient in another order takes the ordinary way, beside parameters that do not.
    params = [nn.Parameter(make()), nn.Parameter(torch.ones(2))]
    other = torch.empty(make().shape).copy_(grad)
    assert stepped(params, [other, torch.ones(2)]) == [expected, [0.5, 0.5]]


def test_half_precision_and_complex_parameters_take_the_ordinary_way():
    half = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    single = nn.Parameter(torch.tensor([1.0, 2.0]))
    assert stepped([half, single], [torch.ones(2, dtype=torch.bfloat16), torch.ones(2)]) == [[0.5, 1.5]] * 2
    assert stepped([nn.Parameter(torch.tensor([1 + 2j]))], [torch.tensor([2 - 2j])]) == [[0 + 3j]]


def test_empty_parameters():
    assert stepped([nn.Parameter(torch.empty(0, 3)), nn.Parameter(torch.ones(1))], [torch.empty(0, 3), torch.ones(1)]) == [[], [0.5]]


def test_parameters_of_an_inference_block_are_refused():
    with torch.inference_mode():
        param = torch.ones(2)
    param.grad = None
    param.__dict__["_grad"] = torch.ones(2)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        torch.optim.SGD([param], lr=0.5).step()


def test_tracing_sees_the_entry():
    param = nn.Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    with trace_ops() as calls:
        torch.optim.SGD([param], lr=0.5).step()
    (name, operands, params, outputs) = calls[-1]
    assert name == "optimizer_step"
    assert operands[0] == -0.5
    assert outputs == (param,)
    assert params["counters"] == 0


def test_a_program_reads_as_its_formula():
    def rule(param, grad, average, *, lr, decay):
        average.lerp_(grad, 1 - decay)
        param.add_(average.sqrt(), alpha=-lr)

    formula = trace(rule, 3, {"lr": 0.1, "decay": 0.9})
    assert str(formula.update) == (
        "v0 = sub(grad, buffer0)\nv1 = mul(v0, number0)\nv2 = add(buffer0, v1)\nv3 = sqrt(v2)\nv4 = mul(v3, number1)\nv5 = add(param, v4)\n"
        "param <- v5\nbuffer0 <- v2"
    )
    assert [of({"lr": 0.3, "decay": 0.7}) for of in formula.numbers] == [1 - 0.7, -0.3]
    assert formula.holds({"lr": 0.3, "decay": 0.7})
    # lerp goes from the other end then.
    assert not formula.holds({"lr": 0.3, "decay": 0.2})


def test_results_are_written_at_the_end():
    """A rule that swaps two tensors: each result is computed from what the tensors held before."""

    def swap(param, grad, buffer):
        old = param.detach()
        param.copy_(buffer)
        buffer.copy_(old)

    update = trace(swap, 3, {}).update
    param, grad, buffer = np.array([1.0, 2.0]), np.zeros(2), np.array([3.0, 4.0])
    steps._step_rule(param, grad, buffer, update=update, counters=0)
    assert (param.tolist(), buffer.tolist()) == ([3.0, 4.0], [1.0, 2.0])
