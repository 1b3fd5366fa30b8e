"""nn.utils: gradient clipping, parameter vectors, normalizations and parametrizations, sequences, fusion, pruning.

Expected values and messages were recorded from PyTorch 2.13.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.utils import parametrizations, parametrize, prune, rnn, stateless


def message(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__, str(caught.value.args[0])


def with_grads(*grads: list[float]) -> list[Any]:
    parameters = [nn.Parameter(torch.zeros(len(grad))) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = torch.tensor(grad)
    return parameters


# Clipping


def test_total_norm_is_that_of_one_vector() -> None:
    tensors = [torch.tensor([3.0, -1.0]), torch.tensor([[2.0]])]
    assert nn.utils.get_total_norm(tensors).item() == pytest.approx(14**0.5)
    assert nn.utils.get_total_norm(tensors, norm_type=1).item() == pytest.approx(6.0)
    assert nn.utils.get_total_norm(tensors, norm_type=float("inf")).item() == 3.0
    assert nn.utils.get_total_norm([]).item() == 0.0


def test_clipping_scales_gradients_in_place_and_returns_the_old_norm() -> None:
    parameters = [*with_grads([3.0], [0.0, 4.0]), nn.Parameter(torch.zeros(1))]
    grad = parameters[0].grad
    assert nn.utils.clip_grad_norm_(parameters, 1.0).item() == pytest.approx(5.0)
    assert parameters[0].grad is grad and grad.item() == pytest.approx(0.6)
    assert parameters[1].grad.tolist() == pytest.approx([0.0, 0.8])
    nn.utils.clip_grad_norm_(iter(parameters), 10.0)
    assert grad.item() == pytest.approx(0.6)
    (single,) = with_grads([6.0])
    nn.utils.clip_grad_norm_(single, 3.0, norm_type=1)
    assert single.grad.item() == pytest.approx(3.0)


def test_a_non_finite_norm_is_an_error_only_on_request() -> None:
    parameters = with_grads([float("inf")])
    assert nn.utils.clip_grad_norm_(parameters, 1.0).item() == float("inf")
    parameters = with_grads([float("nan")])
    error, text = message(lambda: nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True))
    assert error == "RuntimeError" and text.startswith(
        "The total norm of order 2.0 for gradients from `parameters` is non-finite"
    )


def test_an_empty_generator_of_parameters_warns() -> None:
    with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur."):
        nn.utils.clip_grad_norm_((p for p in []), 1.0)
    with pytest.warns(FutureWarning, match="`torch.nn.utils.clip_grad_norm` is now deprecated"):
        nn.utils.clip_grad_norm(with_grads([1.0]), 1.0)


def test_clipping_by_value_clamps() -> None:
    parameters = with_grads([-3.0, 0.3, 2.0])
    nn.utils.clip_grad_value_(parameters, 1.3)
    assert parameters[0].grad.tolist() == pytest.approx([-1.3, 0.3, 1.3])


# Vectors


def test_parameters_become_one_vector_and_back_sharing_memory() -> None:
    model = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (6,) and vector.requires_grad
    new = torch.arange(6.0)
    nn.utils.vector_to_parameters(new, model.parameters())
    assert model.weight.tolist() == [[0.0, 1.0], [2.0, 3.0]] and model.bias.tolist() == [4.0, 5.0]
    new[0] = 9.0
    assert model.weight[0, 0].item() == 9.0
    assert message(lambda: nn.utils.vector_to_parameters([1.0], model.parameters())) == (
        "TypeError",
        "expected torch.Tensor, but got: list",
    )


# Sequences


def test_packing_interleaves_the_sequences_step_by_step() -> None:
    padded = torch.arange(8.0).view(4, 2).requires_grad_()
    packed = rnn.pack_padded_sequence(padded, [4, 2])
    assert packed.data.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 6.0]
    assert packed.batch_sizes.tolist() == [2, 2, 1, 1] and packed.batch_sizes.dtype == torch.int64
    assert packed.sorted_indices is None and packed.unsorted_indices is None
    (packed.data * torch.arange(1.0, 7.0)).sum().backward()
    assert padded.grad.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 0.0], [6.0, 0.0]]


def test_packing_sorts_and_unpacking_restores_the_order() -> None:
    padded = torch.arange(24.0).view(3, 4, 2)
    packed = rnn.pack_padded_sequence(padded, torch.tensor([1, 4, 2]), batch_first=True, enforce_sorted=False)
    assert packed.sorted_indices.tolist() == [1, 2, 0] and packed.unsorted_indices.tolist() == [2, 0, 1]
    assert packed.data[:, 0].tolist() == [8.0, 16.0, 0.0, 10.0, 18.0, 12.0, 14.0]
    out, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=5)
    assert lengths.tolist() == [1, 4, 2] and out.shape == (3, 5, 2)
    assert out[0, :, 0].tolist() == [0.0, -1.0, -1.0, -1.0, -1.0]
    assert out[2, :, 1].tolist() == [17.0, 19.0, -1.0, -1.0, -1.0]


def test_unpacking_is_differentiable() -> None:
    data = torch.arange(3.0).requires_grad_()
    packed = rnn.PackedSequence(data, torch.tensor([2, 1]))
    out, _ = rnn.pad_packed_sequence(packed)
    (out * torch.tensor([[2.0, 3.0], [5.0, 7.0]])).sum().backward()
    assert out.tolist() == [[0.0, 1.0], [2.0, 0.0]] and data.grad.tolist() == [2.0, 3.0, 5.0]


def test_sequences_survive_a_round_trip() -> None:
    sequences = [torch.tensor([3.0]), torch.tensor([1.0, 2.0])]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[3.0], [1.0, 2.0]]
    double = packed.double()
    assert double.data.dtype == torch.float64 and double.unsorted_indices.dtype == torch.int64
    assert packed.to(torch.float32) is packed and packed.cpu() is packed and not packed.is_cuda
    assert isinstance(copy.deepcopy(packed), rnn.PackedSequence)
    assert pickle.loads(pickle.dumps(packed)).data.tolist() == packed.data.tolist()


def test_padding_on_either_side() -> None:
    sequences = [torch.tensor([1, 2]), torch.tensor([3])]
    assert rnn.pad_sequence(sequences).tolist() == [[1, 3], [2, 0]]
    assert rnn.pad_sequence(sequences, batch_first=True, padding_value=9).tolist() == [[1, 2], [3, 9]]
    assert rnn.pad_sequence(sequences, batch_first=True, padding_side="left").tolist() == [[1, 2], [0, 3]]
    padded = rnn.pad_sequence(sequences, batch_first=True)
    assert [s.tolist() for s in rnn.unpad_sequence(padded, torch.tensor([2, 1]), batch_first=True)] == [[1, 2], [3]]
    x = torch.ones(2, requires_grad=True)
    rnn.pad_sequence([x, torch.ones(3)]).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: rnn.pack_padded_sequence(torch.zeros(3, 2), [3]),
            "RuntimeError",
            "Expected `len(lengths)` to be equal to batch_size, but got 1 (batch_size=2)",
        ),
        (
            lambda: rnn.pack_padded_sequence(torch.zeros(3, 2), [2, 3]),
            "RuntimeError",
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability.",
        ),
        (
            lambda: rnn.pack_padded_sequence(torch.zeros(3, 2), [2, 0]),
            "RuntimeError",
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0",
        ),
        (
            lambda: rnn.pack_padded_sequence(torch.zeros(3, 2), torch.tensor(2)),
            "RuntimeError",
            "'lengths' argument should be a 1D CPU int64 tensor, but got 0D cpu Long tensor",
        ),
        (lambda: rnn.pack_padded_sequence(torch.zeros(0, 2), [1, 1]), "RuntimeError", "Cannot pack empty tensors."),
        (lambda: rnn.pad_sequence([]), "RuntimeError", "received an empty list of sequences"),
        (
            lambda: rnn.pad_sequence(3),
            "RuntimeError",
            "pad_sequence: Expected iterable for input sequences, but got arg of type: <class 'int'>",
        ),
        (
            lambda: rnn.pad_sequence([torch.zeros(2)], padding_side="up"),
            "RuntimeError",
            "Expected padding_side to be one of left or right, but got up.",
        ),
        (
            lambda: rnn.pad_packed_sequence(rnn.pack_sequence([torch.zeros(3)]), total_length=2),
            "ValueError",
            "Expected total_length to be at least the length of the longest sequence in input, but got total_length=2 "
            "and max sequence length being 3",
        ),
    ],
)
def test_misused_sequences_raise_what_pytorch_raises(call: Callable[[], Any], error: str, text: str) -> None:
    assert message(call) == (error, text)


# Parametrizations


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def right_inverse(self, x: Any) -> Any:
        return x / 2


def test_a_parametrized_tensor_is_computed_and_assignable() -> None:
    model = nn.Linear(2, 2)
    weight, before = model.weight, model.weight.tolist()
    assert parametrize.register_parametrization(model, "weight", Doubled()) is model
    assert type(model).__name__ == "ParametrizedLinear" and isinstance(model, nn.Linear)
    assert parametrize.type_before_parametrizations(model) is nn.Linear
    assert list(model.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert model.parametrizations.weight.original is weight
    assert model.weight.tolist() == before
    model.weight = torch.full((2, 2), 6.0)
    assert weight.tolist() == [[3.0, 3.0], [3.0, 3.0]] and model.weight[0, 0].item() == 6.0
    model(torch.ones(2)).sum().backward()
    assert weight.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    duplicate = copy.deepcopy(model)
    duplicate.weight = torch.zeros(2, 2)
    assert model.weight[0, 0].item() == 6.0
    assert message(lambda: pickle.dumps(model))[1].startswith("Serialization of parametrized modules is only supported")
    parametrize.register_parametrization(model, "weight", Doubled())
    assert len(model.parametrizations.weight) == 2 and model.weight[0, 0].item() == 12.0
    parametrize.remove_parametrizations(model, "weight")
    assert type(model) is nn.Linear and model.weight is weight and weight[0, 0].item() == 12.0
    assert not parametrize.is_parametrized(model) and not hasattr(model, "parametrizations")


def test_removal_may_leave_the_original_value() -> None:
    model = parametrize.register_parametrization(nn.Linear(1, 1), "weight", Doubled())
    model.weight = torch.full((1, 1), 6.0)
    parametrize.remove_parametrizations(model, "weight", leave_parametrized=False)
    assert model.weight.item() == 3.0


def test_cached_computes_each_tensor_once() -> None:
    model = parametrize.register_parametrization(nn.Linear(1, 1), "weight", Doubled())
    with parametrize.cached():
        assert model.weight is model.weight
    assert model.weight is not model.weight


class Summed(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.sum()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: parametrize.register_parametrization(nn.Linear(1, 2), "weight", Summed()),
            "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is enabled.\n"
            "unparametrized shape: torch.Size([2, 1])\nparametrized shape: torch.Size([])",
        ),
        (
            lambda: parametrize.register_parametrization(nn.Identity(), "weight", Doubled()),
            "Module 'Identity()' does not have a parameter, a buffer, or a parametrized element with name 'weight'",
        ),
        (
            lambda: parametrize.remove_parametrizations(nn.Identity(), "weight"),
            "Module Identity() does not have a parametrization on weight",
        ),
        (
            lambda: parametrizations.orthogonal(nn.Linear(1, 1), orthogonal_map="qr"),
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: qr',
        ),
        (
            lambda: parametrizations.spectral_norm(nn.Identity()),
            "Module 'Identity()' has no parameter or buffer with name 'weight'",
        ),
    ],
)
def test_misused_parametrizations_raise_what_pytorch_raises(call: Callable[[], Any], text: str) -> None:
    assert message(call) == ("ValueError", text)


def test_parametrizations_transfer_to_another_module() -> None:
    source = parametrizations.weight_norm(nn.Linear(2, 3))
    target = nn.Linear(2, 3)
    parametrize.transfer_parametrizations_and_params(source, target)
    assert target.parametrizations.weight.original0 is source.parametrizations.weight.original0
    assert target.weight.tolist() == source.weight.tolist()


def test_weight_norm_splits_magnitude_and_direction() -> None:
    model = nn.Linear(2, 3)
    before = model.weight.tolist()
    parametrizations.weight_norm(model)
    magnitude = model.parametrizations.weight.original0
    assert magnitude.shape == (3, 1) and model.parametrizations.weight.original1.tolist() == before
    assert model.weight.flatten().tolist() == pytest.approx([v for row in before for v in row])
    with torch.no_grad():
        magnitude.fill_(0.7)
    assert model.weight.norm(dim=1).tolist() == pytest.approx([0.7] * 3)
    state = model.state_dict()
    old = {"bias": state["bias"], "weight_g": magnitude * 2, "weight_v": state["parametrizations.weight.original1"]}
    model.load_state_dict(old)
    assert model.weight.norm(dim=1).tolist() == pytest.approx([1.4] * 3)


def test_old_weight_norm_recomputes_before_forward() -> None:
    model = nn.Linear(2, 3)
    with pytest.warns(FutureWarning, match="`torch.nn.utils.weight_norm` is deprecated in favor of"):
        nn.utils.weight_norm(model, dim=None)
    assert list(model.state_dict()) == ["bias", "weight_g", "weight_v"] and model.weight_g.shape == ()
    with torch.no_grad():
        model.weight_g.fill_(0.3)
    model(torch.ones(2))
    assert model.weight.norm().item() == pytest.approx(0.3)
    nn.utils.remove_weight_norm(model)
    assert isinstance(model.weight, nn.Parameter) and list(model.state_dict()) == ["bias", "weight"]
    assert message(lambda: nn.utils.remove_weight_norm(nn.Identity())) == (
        "ValueError",
        "weight_norm of 'weight' not found in Identity()",
    )


def test_spectral_norms_give_the_recorded_weights() -> None:
    torch.manual_seed(7)
    model = parametrizations.spectral_norm(nn.Linear(2, 3))
    assert model.weight.flatten().tolist() == pytest.approx(
        [0.091454, -0.788767, 0.41694, 0.410861, -0.699838, -0.196248], abs=2e-6
    )
    assert list(model.state_dict()) == [
        "bias",
        "parametrizations.weight.original",
        "parametrizations.weight.0._u",
        "parametrizations.weight.0._v",
    ]
    torch.manual_seed(7)
    model = nn.utils.spectral_norm(nn.Linear(2, 3))
    model(torch.ones(2)).sum().backward()
    assert model.weight.flatten().tolist() == pytest.approx(
        [0.127877, -1.102906, 0.582993, 0.574492, -0.978559, -0.274406], abs=2e-6
    )
    assert model.weight_orig.grad is not None


def test_old_spectral_norm_loads_its_oldest_format_and_can_be_removed() -> None:
    model = nn.utils.spectral_norm(nn.Linear(2, 3)).eval()
    state = model.state_dict()
    assert list(state) == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert state._metadata[""]["spectral_norm"] == {"weight.version": 1}
    model(torch.ones(2))
    oldest = {name: state[name] for name in ("bias", "weight_orig", "weight_u")}
    oldest["weight"] = model.weight.detach().clone()
    before = model.weight.flatten().tolist()
    with torch.no_grad():
        model.weight_v.fill_(0.0)
    assert repr(model.load_state_dict(oldest)) == "<All keys matched successfully>"
    model(torch.ones(2))
    assert model.weight.flatten().tolist() == pytest.approx(before, abs=1e-4)
    nn.utils.remove_spectral_norm(model)
    assert list(model.state_dict()) == ["bias", "weight"] and not model.state_dict()._metadata[""].get("spectral_norm")


def test_orthogonal_gives_the_recorded_weight() -> None:
    torch.manual_seed(7)
    model = parametrizations.orthogonal(nn.Linear(3, 2))
    assert model.weight.flatten().tolist() == pytest.approx(
        [0.101972, -0.879477, 0.464889, 0.57546, -0.329046, -0.748715], abs=2e-6
    )


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (4, 3)])
@pytest.mark.parametrize("use_trivialization", [True, False])
def test_orthogonal_weights_stay_orthogonal_when_trained(
    orthogonal_map: str, shape: tuple[int, int], use_trivialization: bool
) -> None:
    torch.manual_seed(1)
    model = nn.Linear(*shape)
    parametrizations.orthogonal(model, orthogonal_map=orthogonal_map, use_trivialization=use_trivialization)
    original = model.parametrizations.weight.original
    model(torch.ones(shape[0])).square().sum().backward()
    with torch.no_grad():
        original -= 0.1 * original.grad
    weight = model.weight if shape[1] >= shape[0] else model.weight.mT
    assert torch.allclose(weight.mT @ weight, torch.eye(3), atol=1e-5)


# Fusion and construction


def test_a_fused_linear_layer_computes_layer_then_norm() -> None:
    torch.manual_seed(1)
    linear, norm = nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval()
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.3, 1.3)
    x = torch.tensor([0.7, -1.3])
    fused = nn.utils.fuse_linear_bn_eval(linear, norm)
    expected = (linear(x) - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    assert fused is not linear and fused(x).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    weight, bias = nn.utils.fuse_conv_bn_weights(
        torch.ones(2, 1, 1), None, torch.tensor([0.3, 0.7]), torch.ones(2), 0.0, torch.tensor([2.0, 3.0]), None
    )
    assert weight.flatten().tolist() == [2.0, 3.0] and bias.tolist() == pytest.approx([-0.6, -2.1])
    assert message(lambda: nn.utils.fuse_linear_bn_eval(linear.train(), norm)) == (
        "AssertionError",
        "Fusion only for eval!",
    )


def test_skip_init_draws_nothing() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1).item()
    torch.manual_seed(7)
    model = nn.utils.skip_init(nn.Linear, 2, 3, bias=False)
    assert torch.rand(1).item() == expected
    assert model.weight.shape == (3, 2) and model.weight.device.type == "cpu"
    assert message(lambda: nn.utils.skip_init(nn.ReLU)) == (
        "RuntimeError",
        "Module must support a 'device' arg to skip initialization",
    )


def test_a_stateless_call_uses_the_given_tensors_and_restores_its_own() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model[1].weight = model[0].weight
    own = model[0].weight
    tensors = {"0.weight": torch.tensor([[3.0]]), "0.bias": torch.zeros(1), "1.bias": torch.ones(1)}
    with pytest.warns(FutureWarning, match="is deprecated as of PyTorch 2.0"):
        assert stateless.functional_call(model, tensors, torch.ones(1)).item() == 10.0
    assert model[0].weight is own and model[1].weight is own
    assert stateless.call_with_tensors(model, tensors, (torch.ones(1),), strict=True).item() == 10.0
    del tensors["1.bias"]
    tensors["2.bias"] = torch.ones(1)
    assert message(lambda: stateless.call_with_tensors(model, tensors, torch.ones(1), strict=True)) == (
        "RuntimeError",
        "Error(s) in reparametrizing for Sequential:\n\tUnexpected key(s): '2.bias'.\n\tMissing key(s): '1.bias'.",
    )
    unknown = {"bias": torch.ones(1)}
    assert torch.equal(stateless.call_with_tensors(model, unknown, torch.ones(1)), model(torch.ones(1)))
    assert message(lambda: stateless.call_with_tensors(model[0], {"in_features": torch.ones(1)}, torch.ones(1))) == (
        "TypeError",
        "attribute `in_features`: 1 is not an instance of torch.Tensor",
    )
    tied = {"0.weight": torch.zeros(1, 1), "1.weight": torch.ones(1, 1)}
    assert message(lambda: stateless.call_with_tensors(model, tied, torch.ones(1)))[1].startswith(
        "functional_call got multiple values for keys ['0.weight', '1.weight'], which are tied."
    )


# Pruning


def a_layer() -> Any:
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.3, -5.0], [4.0, 0.7], [-1.3, 2.0]]))
    return model


def test_pruned_entries_are_zero_and_get_no_gradient() -> None:
    model = a_layer()
    weight = model.weight
    assert prune.l1_unstructured(model, "weight", amount=0.5) is model
    assert model.weight.tolist() == [[0.0, -5.0], [4.0, 0.0], [0.0, 2.0]]
    assert list(model.state_dict()) == ["bias", "weight_orig", "weight_mask"] and prune.is_pruned(model)
    model(torch.ones(2)).sum().backward()
    assert model.weight_orig.grad.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    assert prune.remove(model, "weight") is model
    assert model.weight is weight and weight.tolist() == [[0.0, -5.0], [4.0, 0.0], [0.0, 2.0]]
    assert not prune.is_pruned(model)
    assert message(lambda: prune.remove(model, "weight"))[1].startswith("Parameter 'weight' of module Linear(")


def test_methods_prune_what_those_before_have_left() -> None:
    model = a_layer()
    prune.l1_unstructured(model, "weight", amount=1)
    prune.ln_structured(model, "weight", amount=1, n=1, dim=0)
    assert model.weight_mask.tolist() == [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    prune.l1_unstructured(model, "weight", amount=2)
    assert model.weight_mask.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    (container,) = model._forward_pre_hooks.values()
    assert isinstance(container, prune.PruningContainer) and len(container) == 3


def test_importance_scores_masks_and_identity_choose_otherwise() -> None:
    model = a_layer()
    scores = torch.arange(6.0).view(3, 2)
    prune.l1_unstructured(model, "weight", amount=2, importance_scores=scores)
    assert model.weight_mask.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    model = a_layer()
    prune.custom_from_mask(model, "bias", torch.tensor([1, 0, 1]))
    assert model.bias[1].item() == 0.0
    prune.identity(model, "weight")
    assert model.weight_mask.sum().item() == 6.0


def test_random_pruning_draws_the_recorded_masks() -> None:
    torch.manual_seed(7)
    model: Any = prune.random_unstructured(nn.Linear(2, 3), "weight", 3)
    assert model.weight_mask.tolist() == [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    torch.manual_seed(7)
    model = prune.random_structured(nn.Linear(2, 3), "weight", 1, dim=0)
    assert model.weight_mask.tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


def test_global_pruning_compares_all_tensors() -> None:
    model = a_layer()
    with torch.no_grad():
        model.bias.copy_(torch.tensor([9.0, 0.1, 0.2]))
    prune.global_unstructured([(model, "weight"), (model, "bias")], prune.L1Unstructured, amount=3)
    assert model.weight_mask.tolist() == [[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    assert model.bias_mask.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: prune.L1Unstructured(amount="a"),
            "TypeError",
            "Invalid type for amount: a. Must be int or float.",
        ),
        (
            lambda: prune.L1Unstructured(amount=1.3),
            "ValueError",
            "amount=1.3 should either be a float in the range [0, 1] or a non-negative integer",
        ),
        (
            lambda: prune.l1_unstructured(a_layer(), "weight", 7),
            "ValueError",
            "amount=7 should be smaller than the number of parameters to prune=6",
        ),
        (
            lambda: prune.random_structured(a_layer(), "bias", 1, dim=0),
            "ValueError",
            "Structured pruning can only be applied to multidimensional tensors. "
            "Found tensor of shape torch.Size([3]) with 1 dims",
        ),
        (
            lambda: prune.ln_structured(a_layer(), "weight", 1, n=2, dim=2),
            "IndexError",
            "Invalid index 2 for tensor of size torch.Size([3, 2])",
        ),
    ],
)
def test_misused_pruning_raises_what_pytorch_raises(call: Callable[[], Any], error: str, text: str) -> None:
    assert message(call) == (error, text)


def test_weight_norm_of_a_vector_has_a_norm_for_each_element() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3), "bias")
    with torch.no_grad():
        bias = layer.bias.clone()
    assert layer.parametrizations.bias.original0.shape == (3,)
    torch.testing.assert_close(layer.parametrizations.bias.original0.detach(), bias.abs())
