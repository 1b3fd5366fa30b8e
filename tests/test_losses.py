"""Losses: values and gradients recorded from PyTorch, in all three reductions, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
from rushlight.nn import functional as F

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "losses.json").read_text())


def array(name: Any) -> Any:
    """The recorded tensor of that name, or the value itself."""
    return torch.tensor(RECORDED["arrays"][name]) if isinstance(name, str) and name in RECORDED["arrays"] else name


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: f"{case['fn']}-{case['reduction']}")
def test_value_and_gradient_are_those_of_pytorch(case: dict[str, Any]) -> None:
    first, *rest = (array(name) for name in case["args"])
    first.requires_grad_(True)
    kwargs = {key: array(value) for key, value in case["kwargs"].items()}
    out = getattr(F, case["fn"])(first, *rest, **kwargs, reduction=case["reduction"])
    torch.testing.assert_close(out.detach(), torch.tensor(case["out"]), rtol=1e-5, atol=1e-6)
    weights = torch.arange(1, out.numel() + 1).reshape(out.shape)
    (grad,) = torch.autograd.grad((out * weights).sum(), first)
    torch.testing.assert_close(grad, torch.tensor(case["grad"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.cross_entropy(x, torch.tensor([0, 5])), IndexError, "Target 5 is out of bounds."),
        (lambda x: F.cross_entropy(x, torch.tensor([0, 1, 2])), ValueError, "Expected input batch_size"),
        (lambda x: F.mse_loss(x, x, reduction="all"), ValueError, "all is not a valid value for reduction"),
        (lambda x: F.binary_cross_entropy(x + 2, x), RuntimeError, "all elements of input should be between 0 and 1"),
        (lambda x: F.multi_margin_loss(x, torch.tensor([0, 1]), weight=x), ValueError, "weight must be one-dimensional"),
        (lambda x: F.triplet_margin_loss(x, x, x, margin=0), ValueError, "margin must be greater than 0"),
    ],
    ids=["class", "batch", "reduction", "probability", "weight", "margin"],
)
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(torch.zeros(2, 3))


def test_the_gradient_of_cross_entropy_has_a_gradient() -> None:
    x = array("x").double().requires_grad_(True)
    assert torch.autograd.gradgradcheck(lambda v: F.cross_entropy(v, array("t")), (x,))


def test_the_loss_with_logits_has_the_dtype_of_the_target():
    logits = torch.tensor([0.3, 0.7])
    for dtype in (torch.float16, torch.float64):
        assert F.binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 1.0], dtype=dtype)).dtype is dtype


def test_ctc_of_samples_together_is_that_of_each_alone() -> None:
    """Samples of several lengths, with repeated labels, no labels, no steps, and more labels than steps."""
    torch.manual_seed(0)
    scores = torch.randn(7, 6, 5).double()
    steps, lengths = [7, 5, 3, 0, 4, 7], [3, 2, 0, 0, 4, 3]
    labels = torch.tensor([[1, 1, 2, 0], [3, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [2, 2, 2, 2], [4, 1, 4, 0]])
    for blank in (0, 2):
        for zero_infinity in (False, True):
            together = scores.clone().requires_grad_()
            losses = F.ctc_loss(together.log_softmax(-1), labels, steps, lengths, blank, "none", zero_infinity)
            losses.sum().backward()
            assert together.grad is not None
            for n, (count, length) in enumerate(zip(steps, lengths, strict=True)):
                if count == 0:
                    assert losses[n] == 0 and not together.grad[:, n].any()
                    continue
                alone = scores[:count, n].clone().requires_grad_()
                loss = F.ctc_loss(alone.log_softmax(-1), labels[n, :length], (count,), (length,), blank, "none", zero_infinity)
                loss.backward()
                assert alone.grad is not None
                torch.testing.assert_close(losses[n], loss.reshape(()), equal_nan=True)
                torch.testing.assert_close(together.grad[:count, n], alone.grad, equal_nan=True)
                assert not together.grad[count:, n].any()
            flat = torch.cat([labels[n, :length] for n, length in enumerate(lengths)])
            assert torch.equal(F.ctc_loss(scores.log_softmax(-1), flat, steps, lengths, blank, "none", zero_infinity), losses.detach())


def test_linear_cross_entropy_says_when_it_cannot_work_in_chunks() -> None:
    options = torch.nn.LinearCrossEntropyOptions()
    rows, weight, target = torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, 1])
    with pytest.warns(UserWarning, match=r"``options`` ignored; .* Got reduction='mean', label_smoothing=0.1, target.dtype=torch.int64, out_features=\(\), tracing=False, linear_bias.shape=None"):
        F.linear_cross_entropy(rows, weight, target, label_smoothing=0.1, options=options)
    F.linear_cross_entropy(rows, weight, target, options=options)  # a warning would be an error


@pytest.mark.parametrize(
    ("loss", "name"),
    [(F.mse_loss, "MseLossBackward0"), (F.smooth_l1_loss, "SmoothL1LossBackward0"), (F.huber_loss, "HuberLossBackward0")],
)
def test_a_loss_goes_by_its_name_also_where_dtypes_differ(loss: Any, name: str) -> None:
    assert loss(torch.ones(3, requires_grad=True), torch.zeros(3, dtype=torch.float64)).grad_fn.name() == name
