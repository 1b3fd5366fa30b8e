"""One sweep over all op cards: type rule, NumPy rule, gradients of both orders, and ways to run must agree."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from op_samples import SAMPLES, Sample

import rushlight as torch
from rushlight import tape
from rushlight.autograd import forward_ad
from rushlight.graph import trace_ops
from rushlight.ops.card import CARDS, Pointwise, View, array_of

CASES = [pytest.param(name, sample, id=f"{name}-{n}") for name, samples in SAMPLES.items() for n, sample in enumerate(samples)]

#: Cards whose results are not functions of their inputs, or that only gradients apply, and the rest still to be sampled.
WITHOUT_SAMPLES_AT_MOST = 80

#: PyTorch's gradient of this one keeps what was written over, and ours is PyTorch's.
WRONG_IN_PYTORCH = {"as_strided_scatter"}

#: No second derivative is asked of these: the first is piecewise constant or has no rule.
ONCE = {"ctc_loss", "max_unpool2d"}


def tensors_of(found: object) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else [t for t in found if isinstance(t, torch.Tensor)]


def differentiable(sample: Sample) -> tuple[torch.Tensor, ...]:
    return tuple(t.detach().clone().requires_grad_(t.is_floating_point() or t.is_complex()) for t in sample.tensors)


def bits(found: object) -> list[bytes]:
    return [np.ascontiguousarray(t.detach().resolve_conj().numpy()).tobytes() for t in tensors_of(found)]


@pytest.fixture
def immediate() -> Iterator[None]:
    before = tape.state.immediate
    yield
    tape.state.immediate = before


def test_every_sample_belongs_to_a_card_and_few_cards_have_none(capsys):
    assert not set(SAMPLES) - set(CARDS)
    missing = sorted(set(CARDS) - set(SAMPLES))
    with capsys.disabled():
        print(f"\n{len(missing)} of {len(CARDS)} cards have no samples: {' '.join(missing)}")
    assert len(missing) <= WITHOUT_SAMPLES_AT_MOST


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_type_rule_agrees_with_numpy_rule(name, sample):
    with torch.no_grad(), trace_ops() as calls:
        sample.call(*sample.tensors)
    mine = [call for call in calls if call[0] == name]
    assert mine, f"the sample applies {sorted({call[0] for call in calls})}"
    card = CARDS[name]
    for _, operands, params, outputs in mine:
        if isinstance(card, View) or card.infer is None and not isinstance(card, Pointwise):
            continue
        arrays = [array_of(o) if isinstance(o, torch.Tensor) else o for o in operands]
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            found = card.numpy(*arrays, **params)
        found = [np.asarray(a) for a in (found if isinstance(found, (tuple, list)) else [found])]
        for array, output in zip(found, outputs, strict=True):
            assert np.broadcast_shapes(array.shape, tuple(output.shape)) == tuple(output.shape)
            if not isinstance(card, Pointwise):
                assert array.shape == tuple(output.shape)
            assert np.can_cast(array.dtype, output.resolve_conj().numpy().dtype, "same_kind")


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_all_modes_give_the_same_bits(name, sample, immediate):
    later = bits(sample.call(*sample.tensors))
    tape.state.immediate = True
    assert bits(sample.call(*sample.tensors)) == later


def gradient_cases() -> Iterator[object]:
    for name, samples in SAMPLES.items():
        card = CARDS[name]
        if (card.grads or card.joint is not None) and name not in WRONG_IN_PYTORCH:
            for n, sample in enumerate(samples):
                if any(t.is_floating_point() or t.is_complex() for t in sample.tensors):
                    yield pytest.param(name, sample, id=f"{name}-{n}")


@pytest.mark.parametrize(("name", "sample"), list(gradient_cases()))
def test_gradients_by_finite_differences(name, sample):
    inputs = differentiable(sample)
    outputs = tensors_of(sample.call(*inputs))
    assert any(o.requires_grad for o in outputs)

    def call(*tensors):
        return tuple(t for t in tensors_of(sample.call(*tensors)) if t.requires_grad)

    assert torch.autograd.gradcheck(call, inputs)
    if name not in ONCE:
        assert torch.autograd.gradgradcheck(call, inputs, atol=1e-4)


@pytest.mark.parametrize(("name", "sample"), list(gradient_cases()))
def test_tangents_agree_with_gradients(name, sample):
    """Forward mode: the product of the gradient with the tangents is the weighted sum of the outputs' tangents."""
    if name in ONCE:
        return
    inputs = differentiable(sample)
    outputs = [t for t in tensors_of(sample.call(*inputs)) if t.requires_grad]
    weights = [torch.ones_like(o) for o in outputs]
    grads = torch.autograd.grad(outputs, inputs, weights, allow_unused=True)
    tangents = [torch.cos(t.detach().abs() + n).to(t.dtype) for n, t in enumerate(inputs)]
    want = sum((g.conj() * t).sum().real for g, t in zip(grads, tangents, strict=True) if g is not None)
    with torch.no_grad(), forward_ad.dual_level():
        duals = [forward_ad.make_dual(t.detach(), v) if t.requires_grad else t for t, v in zip(inputs, tangents, strict=True)]
        found = [t for t in tensors_of(sample.call(*duals)) if t.is_floating_point() or t.is_complex()]
        got = sum((v.sum().real for t in found if (v := forward_ad.unpack_dual(t).tangent) is not None), torch.zeros(()))
    torch.testing.assert_close(got, want, check_dtype=False, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "sample"), list(gradient_cases()))
def test_tangents_of_gradients_agree_with_second_derivatives(name, sample):
    """Forward mode through a backward pass, for the first operand's gradient."""
    inputs = differentiable(sample)
    if name in ONCE or name == "logcumsumexp" or not inputs[0].requires_grad:  # where nothing is summed, its third derivative is nan
        return
    tangents = [torch.cos(t.detach().abs() + n).to(t.dtype) for n, t in enumerate(inputs)]
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, v) if t.requires_grad else t for t, v in zip(inputs, tangents, strict=True)]
        found = gradient_of_first(sample, duals)
        slope = None if found is None else forward_ad.unpack_dual(found).tangent
    if slope is not None:
        wanted = [t for t in inputs if t.requires_grad]
        first = gradient_of_first(sample, inputs, create_graph=True)
        second = torch.autograd.grad(first, wanted, torch.ones_like(first), allow_unused=True) if first.requires_grad else ()
        along = [v for t, v in zip(inputs, tangents, strict=True) if t.requires_grad]
        want = sum(((g.conj() * v).sum().real for g, v in zip(second, along, strict=bool(second)) if g is not None), torch.zeros(()))
        torch.testing.assert_close(slope.sum().real, want, check_dtype=False, rtol=1e-5, atol=1e-6)


def gradient_of_first(sample, inputs, **options):
    outputs = [o for o in tensors_of(sample.call(*inputs)) if o.requires_grad]
    return torch.autograd.grad(outputs, inputs[0], [torch.ones_like(o) for o in outputs], allow_unused=True, **options)[0]


def in_place_cases() -> Iterator[object]:
    """Samples of a function that has an in-place form, where neither shape nor dtype changes."""
    for name, samples in SAMPLES.items():
        for n, sample in enumerate(samples):
            if hasattr(torch.Tensor, f"{name}_") and sample.call is getattr(torch, name, None):
                found, first = sample.call(*sample.tensors), sample.tensors[0]
                if found.shape == first.shape and found.dtype is first.dtype:
                    yield pytest.param(name, sample, id=f"{name}-{n}")


@pytest.mark.parametrize(("name", "sample"), list(in_place_cases()))
def test_in_place_forms_give_the_same(name, sample):
    method, function = getattr(torch.Tensor, f"{name}_"), sample.call
    expected = function(*sample.tensors)
    first, rest = sample.tensors[0].clone(), sample.tensors[1:]
    assert method(first, *rest) is first
    assert bits(first) == bits(expected)
    # Through a view, with gradients: what the base holds depends on the operands as out of place.
    inputs = differentiable(sample)
    if inputs[0].requires_grad and (CARDS[name].grads or CARDS[name].joint is not None):
        wanted = torch.autograd.grad(function(*inputs).abs().sum(), inputs, allow_unused=True)
        base = torch.stack((inputs[0], inputs[0].detach()))
        method(base[0], *inputs[1:])
        found = torch.autograd.grad(base[0].abs().sum(), inputs, allow_unused=True)
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(torch.zeros(()) if a is None else a, torch.zeros(()) if b is None else b, check_dtype=False)
