"""The layers: their construction, their forward and their errors, against values recorded from PyTorch 2.13."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.nn.utils.rnn import pack_sequence, pad_packed_sequence

RECORDED = [json.loads(line.rstrip(",")) for line in (Path(__file__).parent / "data/modules.json").read_text().split("\n")[1:-2]]


def wave(*shape):
    """Deterministic values without symmetry, exact in no precision."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).mul(0.7).sin().reshape(shape)


def as_argument(spec):
    if isinstance(spec, list):
        return tuple(spec)
    if not isinstance(spec, dict):
        return spec
    ((kind, value),) = spec.items()
    if kind == "floats":
        return wave(*value)
    if kind == "tuple":
        return tuple(map(as_argument, value))
    return torch.tensor(value, dtype=torch.bool if kind == "bools" else torch.int64)


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors_in(item)] if isinstance(value, (tuple, list)) else []


def close(tensor, recorded):
    values = tensor.detach().double().flatten()
    if len(recorded) != values.numel():  # a long one is recorded as its sum
        values = values.sum().reshape(1)
    return torch.allclose(values, torch.tensor(recorded, dtype=torch.float64), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["module"])
def test_seeded_layer_equals_recorded(case):
    """Same draws, state_dict, repr, random forward and gradients as PyTorch's layer after the same seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lazy layers and the nested-tensor note of the encoder warn
        torch.manual_seed(7)
        args = [as_argument(argument) for argument in case["args"]]
        kwargs = {name: as_argument(argument) for name, argument in case["kwargs"].items()}
        layer = getattr(nn, case["module"])(*args, **kwargs).train(case["training"])
        torch.manual_seed(8)
        outputs = tensors_in(layer(*map(as_argument, case["inputs"])))
    assert repr(layer) == case["repr"]
    state = layer.state_dict()
    assert list(state) == list(case["state"])
    assert [name for name in state if not close(state[name], case["state"][name])] == []
    assert [list(output.shape) for output in outputs] == case["shapes"]
    assert all(map(close, outputs, case["outputs"]))
    if "gradients" in case:
        loss = sum((output * output).sum() for output in outputs if output.requires_grad)
        found = torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True)
        sums = [None if gradient is None else gradient.double().abs().sum().item() for gradient in found]
        assert sums == [None if want is None else pytest.approx(want, rel=1e-3, abs=1e-4) for want in case["gradients"]]


ERRORS = [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same"), ValueError, "padding='same' is not supported for strided convolutions"),
    (lambda: nn.ConvTranspose1d(4, 4, 3, padding_mode="circular"), ValueError, 'Only "zeros" padding mode is supported for ConvTranspose1d'),
    (lambda: nn.ConvTranspose1d(4, 4, 3, stride=2)(wave(2, 4, 5), [20]), ValueError, "requested an output size of [20], but valid sizes range from [11] to [12] (for an input of torch.Size([5]))"),
    (lambda: nn.LazyConv1d(4, 3)(wave(3)), RuntimeError, "Expected 2D (unbatched) or 3D (batched) input to LazyConv1d, but got input of size: torch.Size([3])"),
    (lambda: nn.BatchNorm1d(4)(wave(4)), ValueError, "expected 2D or 3D input (got 1D input)"),
    (lambda: nn.InstanceNorm1d(5, affine=True)(wave(2, 4, 5)), ValueError, "expected input's size at dim=1 to match num_features (5), but got: 4."),
    (lambda: nn.GroupNorm(4, 6), ValueError, "num_channels (6) must be divisible by num_groups (4)"),
    (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    (lambda: nn.Hardtanh(2, 1), AssertionError, "max_val (1) must be greater than min_val (2)"),
    (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "Padding_idx must be within num_embeddings"),
    (lambda: nn.Unflatten(1, (2, "a")), TypeError, "unflattened_size must be tuple of ints, but found element of type str at pos 1"),
    (lambda: nn.FractionalMaxPool2d(2), ValueError, "FractionalMaxPool2d requires specifying either an output size, or a pooling ratio"),
    (lambda: nn.TripletMarginLoss(margin=-1), ValueError, "TripletMarginLoss: expected margin to be greater than 0, got -1 instead"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 9, [3, 6])(wave(1, 8), torch.tensor([9])), RuntimeError, "Target values should be in [0, 8], but values in range [9, 9] were found. "),
    (lambda: nn.LSTM(3, 4, dropout=2), ValueError, "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"),
    (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"),
    (lambda: nn.RNN(3, 4)(wave(5)), ValueError, "RNN: Expected input to be 2D or 3D, got 1D tensor instead"),
    (lambda: nn.LSTM(3, 4)(wave(5, 2, 7)), RuntimeError, "input.size(-1) must be equal to input_size. Expected 3, got 7"),
    (lambda: nn.LSTM(3, 4)(wave(5, 2, 3), (wave(1, 9, 4), wave(1, 2, 4))), RuntimeError, "Expected hidden[0] size (1, 2, 4), got [1, 9, 4]"),
    (lambda: nn.GRU(3, 4)(wave(5, 2, 3), wave(2, 4)), RuntimeError, "For batched 3-D input, hx should also be 3-D but got 2-D tensor"),
    (lambda: nn.GRU(3, 4)(wave(0, 2, 3)), RuntimeError, "Expected sequence length to be larger than 0 in RNN"),
    (lambda: nn.LSTMCell(3, 4)(wave(2, 5)), RuntimeError, "input has inconsistent input_size: got 5 expected 3"),
    (lambda: nn.MultiheadAttention(8, 3), AssertionError, "embed_dim must be divisible by num_heads"),
    (lambda: nn.MultiheadAttention(8, 2)(*[wave(5, 2, 8)] * 3, attn_mask=wave(3, 5)), RuntimeError, "The shape of the 2D attn_mask is torch.Size([3, 5]), but should be (5, 5)."),
    (lambda: nn.Transformer(8, 2, 1, 1, 16)(wave(5, 2, 8), wave(5, 1, 8)), RuntimeError, "the batch number of src and tgt must be equal"),
    (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), RuntimeError, "activation should be relu/gelu, not tanh"),
    (lambda: F.scaled_dot_product_attention(wave(2, 3), wave(2, 3).double(), wave(2, 3)), RuntimeError, "Expected query, key, and value to have the same dtype, but got query.dtype: float key.dtype: double and value.dtype: float instead."),
    (lambda: nn.LinearCrossEntropyOptions(acc_policy="fast"), ValueError, "invalid acc_policy: 'fast'"),
    (lambda: nn.factory_kwargs({"size": 1}), TypeError, "unexpected kwargs {'size'}"),
    (lambda: nn.LSTM(3, 4)(wave(5, 2, 3), wave(1, 2, 4)), IndexError, "index 1 is out of bounds for dimension 0 with size 1"),
    (lambda: nn.LSTM(3, 4)(wave(5, 2, 3), (wave(1, 2, 4),) * 3), RuntimeError, "lstm expects two hidden states"),
    (lambda: nn.LSTMCell(3, 4)(wave(2, 3), wave(2, 4)), TypeError, "lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor"),
    (lambda: nn.ConvTranspose1d(3, 4, 2)(wave(1, 3, 5).double()), RuntimeError, "expected scalar type Double but found Float"),
    (lambda: nn.Conv1d(3, 4, 2, padding="same")(wave(1, 3, 5).double()), RuntimeError, "expected scalar type Double but found Float"),
    (lambda: nn.Bilinear(3, 3, 2)(wave(2, 3).double(), wave(2, 3)), RuntimeError, "All tensors must have the same dtype, got input1: double, input2: float, weight: float, bias: float"),
    (lambda: nn.LayerNorm(3)(torch.ones(2, 3).long()), RuntimeError, "mixed dtype (CPU): all inputs must share same datatype."),
    (lambda: nn.CrossEntropyLoss()(wave(2, 3, 4, 5), torch.zeros(2, 4, 4).long()), RuntimeError, "size mismatch (got input: [2, 3, 4, 5] , target: [2, 4, 4]"),
    (lambda: nn.CrossEntropyLoss(torch.ones(3).double())(wave(2, 3), torch.zeros(2).long()), RuntimeError, "expected scalar type Float but found Double"),
    (lambda: nn.BCEWithLogitsLoss()(wave(2), torch.tensor([0, 1])), RuntimeError, "result type Float can't be cast to the desired output type Long"),
    (lambda: nn.MSELoss()(wave(2, 3), wave(4, 5)), RuntimeError, "The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 1"),
    (lambda: nn.MSELoss()(wave(3), wave(2, 4)), RuntimeError, "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"),
    (lambda: nn.SoftMarginLoss()(wave(2), wave(2).requires_grad_()), RuntimeError, "The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input cannot have requires_grad True."),
    (lambda: nn.CTCLoss()(wave(6, 2, 5), torch.ones(2, 3).long(), [7, 6], [1, 1]), RuntimeError, "Expected input_lengths to have value at most 6, but got value 7 (while checking arguments for ctc_loss_allocate_outputs)"),
    (lambda: nn.CTCLoss()(wave(0, 2, 5), torch.ones(2, 3).long(), [0, 0], [1, 1]), RuntimeError, "log_probs tensor must not be empty"),
    (lambda: nn.FractionalMaxPool3d(2, output_size=3)(wave(1, 2, 4, 4, 4)), RuntimeError, "fractional_max_pool3d_out(): pool time 2 too large relative to input time 4"),
    (lambda: nn.MaxPool1d(3, return_indices=True)(wave(1, 1, 1, 3)), RuntimeError, "Expected 2 to 3 dimensions, but got 4-dimensional tensor for argument #1 'self' (while checking arguments for max_pool1d)"),
    (lambda: F.scaled_dot_product_attention(*[wave(2, 3)] * 3, attn_mask=torch.ones(2, 2).bool(), is_causal=True), RuntimeError, "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[message[:40] for _, _, message in ERRORS])
def test_errors_are_pytorchs(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [(None, True, "mean"), (False, None, "sum"), (False, False, "none"), (True, True, "mean"), (None, False, "none")],
)
def test_deprecated_reduction_arguments(size_average, reduce, reduction):
    message = f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead."
    with pytest.warns(UserWarning) as caught:
        loss = nn.CrossEntropyLoss(size_average=size_average, reduce=reduce)
    assert [str(warning.message) for warning in caught] == [message]
    assert loss.reduction == reduction


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_each_sequence_alone(kind):
    """Every sequence of a packed batch gives what it gives by itself, in both directions and through all layers."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 2, num_layers=2, bidirectional=True)
    sequences = [wave(2, 3), wave(4, 3) + 0.3, wave(4, 3), wave(1, 3)]
    packed, state = layer(pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [2, 4, 4, 1]
    for number, sequence in enumerate(sequences):
        output, alone = layer(sequence)
        assert torch.allclose(padded[: len(sequence), number], output, atol=1e-6)
        for batched, single in zip(tensors_in(state), tensors_in(alone), strict=True):
            assert torch.allclose(batched[:, number], single, atol=1e-6)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_gradients_reach_the_first_step(kind):
    """Backpropagation through time, against finite differences in double precision."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(2, 3, num_layers=2).double()
    x = wave(3, 2, 2).double().requires_grad_()
    layer(x)[0].square().sum().backward()
    step = 1e-6
    shift = torch.zeros_like(x)
    shift[0, 0, 0] = step
    with torch.no_grad():
        change = layer(x + shift)[0].square().sum() - layer(x - shift)[0].square().sum()
    assert x.grad[0, 0, 0].item() == pytest.approx(change.item() / (2 * step), rel=1e-6)


def test_recurrent_parameter_names_and_all_weights():
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2)
    names = [name for name, _ in layer.named_parameters()]
    assert names[:7] == [
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse",
    ]  # fmt: skip
    assert [len(group) for group in layer.all_weights] == [5, 5, 5, 5]
    assert layer.all_weights[1][0] is layer.weight_ih_l0_reverse
    assert layer.flatten_parameters() is None


def test_attention_of_a_row_that_may_see_nothing_is_zero_with_zero_gradient():
    query = wave(2, 3, 4).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    output = F.scaled_dot_product_attention(query, query, query, mask)
    assert torch.equal(output[:, 1], torch.zeros(2, 4))
    output.sum().backward()
    assert torch.isfinite(query.grad).all()


def test_causal_attention_equals_an_explicit_mask_and_ignores_the_future():
    query, key, value = wave(2, 3, 4), wave(2, 5, 4) + 0.3, wave(2, 5, 2)
    lower = torch.ones(3, 5, dtype=torch.bool).tril()
    causal = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert torch.allclose(causal, F.scaled_dot_product_attention(query, key, value, lower))
    assert torch.allclose(causal[:, 0], value[:, 0])


def test_grouped_query_attention_repeats_the_shared_heads():
    query, shared = wave(1, 4, 3, 2), wave(1, 2, 3, 2) + 0.3
    grouped = F.scaled_dot_product_attention(query, shared, shared, enable_gqa=True, scale=0.7)
    heads = shared[:, [0, 0, 1, 1]]
    assert torch.allclose(grouped, F.scaled_dot_product_attention(query, heads, heads, scale=0.7))


def test_sdpa_kernel_allows_and_refuses_backends():
    query, backend = wave(1, 2, 4), nn.attention.SDPBackend
    with nn.attention.sdpa_kernel([backend.CUDNN_ATTENTION, backend.FLASH_ATTENTION]):
        F.scaled_dot_product_attention(query, query, query)
        with (
            nn.attention.sdpa_kernel(backend.CUDNN_ATTENTION),
            pytest.raises(RuntimeError, match="No viable backend for scaled_dot_product_attention was found"),
        ):
            F.scaled_dot_product_attention(query, query, query)
        F.scaled_dot_product_attention(query, query, query)


def test_attention_with_and_without_weights_agree():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = wave(2, 5, 8)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    with_weights, weights = layer(x, x, x, key_padding_mask=padding)
    without, nothing = layer(x, x, x, key_padding_mask=padding, need_weights=False)
    assert nothing is None
    assert torch.allclose(with_weights, without, atol=1e-6)
    assert torch.equal(weights[0, :, 3:], torch.zeros(5, 2))
    assert torch.allclose(weights.sum(-1), torch.ones(2, 5))


def test_encoder_in_inference_gives_zeros_at_padded_positions():
    """PyTorch's nested-tensor path does, and only without gradients and in evaluation."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x, padding = wave(2, 4, 8), torch.tensor([[False, False, True, True], [False] * 4])
    ordinary = encoder(x, src_key_padding_mask=padding)
    with torch.no_grad():
        packed = encoder(x, src_key_padding_mask=padding)
    assert torch.equal(packed[0, 2:], torch.zeros(2, 8))
    assert ordinary[0, 2:].abs().sum() > 0
    assert torch.allclose(packed[1], ordinary[1], atol=1e-5)
    assert torch.allclose(packed[0, :2], ordinary[0, :2], atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["LazyLinear", "LazyConv1d", "LazyBatchNorm1d"])
def test_lazy_layers_become_ordinary_ones_and_load_their_state(name):
    args = {"LazyLinear": (4,), "LazyConv1d": (4, 2), "LazyBatchNorm1d": ()}[name]
    x = wave(2, 3, 5)
    first, second = getattr(nn, name)(*args), getattr(nn, name)(*args)
    assert first.has_uninitialized_params()
    expected = first(x)
    assert type(first) is getattr(nn, name.removeprefix("Lazy"))
    second.load_state_dict(first.state_dict())
    assert not second.has_uninitialized_params()
    if name == "LazyBatchNorm1d":
        first.eval(), second.eval()
        expected = first(x)
        # A loaded layer keeps its lazy class until its first input.
        second.num_features = 3
    assert torch.equal(second(x), expected)


def test_lazy_layers_keep_a_dtype_given_before_their_shape():
    layer = torch.nn.LazyBatchNorm1d().double()
    layer(torch.ones(2, 3, dtype=torch.float64))
    assert layer.running_mean.dtype is torch.float64 and layer.running_mean.shape == (3,)
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in <method 'numel'"):
        sum(parameter.numel() for parameter in torch.nn.LazyLinear(2).parameters())


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.MaxPool1d(3),
        torch.nn.MaxPool2d(3),
        torch.nn.MaxPool3d(3),
        torch.nn.AdaptiveMaxPool2d(2),
        torch.nn.FractionalMaxPool2d(2, output_size=2),
        torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_batch_of_nothing_passes_forward_and_back(layer):
    dims = {"MaxPool1d": 3, "MaxPool3d": 5, "TransformerEncoderLayer": 3}.get(type(layer).__name__, 4)
    x = torch.ones(0, *[4] * (dims - 1), requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == []


def test_a_batch_of_nothing_leaves_running_statistics():
    layer = torch.nn.BatchNorm2d(2)
    layer(torch.ones(0, 2, 3, 3))
    assert layer.running_mean.tolist() == [0.0, 0.0] and layer.running_var.tolist() == [1.0, 1.0]
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_counts_batches_and_loads_files_from_before_the_counter():
    layer = nn.BatchNorm1d(3, momentum=None)
    for scale in (1.0, 3.0):
        layer(wave(4, 3) * scale)
    assert layer.num_batches_tracked.item() == 2
    assert torch.allclose(layer.running_mean, 2 * wave(4, 3).mean(0))  # the plain mean over both batches
    old = {name: value for name, value in layer.state_dict().items() if name != "num_batches_tracked"}
    fresh = nn.BatchNorm1d(3)
    fresh.load_state_dict(old)
    assert torch.equal(fresh.running_mean, layer.running_mean)
    assert fresh.num_batches_tracked.item() == 0


def test_embeddings_from_pretrained_share_and_freeze():
    table = wave(4, 3)
    frozen = nn.Embedding.from_pretrained(table, padding_idx=1)
    assert not frozen.weight.requires_grad
    assert frozen.weight.data_ptr() == table.data_ptr()
    trained = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
    trained(torch.tensor([[1, 1, 2]])).sum().backward()
    assert trained.weight.grad[:, 0].tolist() == [0.0, 2.0, 1.0, 0.0]


def test_adaptive_softmax_is_a_distribution_and_predicts_its_mode():
    torch.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], div_value=2.0)
    x = wave(5, 8) * 4
    log_prob = layer.log_prob(x)
    assert torch.allclose(log_prob.exp().sum(1), torch.ones(5), atol=1e-5)
    target = torch.tensor([0, 4, 7, 11, 2])
    assert torch.allclose(layer(x, target).output, log_prob.gather(1, target.unsqueeze(1)).squeeze(1), atol=1e-5)
    assert torch.equal(layer.predict(x), log_prob.argmax(1))


@pytest.mark.parametrize("build", [lambda: nn.LSTM(2, 3), lambda: nn.BatchNorm1d(2), lambda: nn.TransformerDecoderLayer(4, 2, 8)])
def test_layers_survive_pickling(build):
    torch.manual_seed(0)
    layer = build()
    copy = pickle.loads(pickle.dumps(layer))
    assert repr(copy) == repr(layer)
    assert all(torch.equal(a, b) for a, b in zip(layer.state_dict().values(), copy.state_dict().values(), strict=True))


def test_replaced_recurrent_weight_is_used():
    """A plain tensor in the place of a parameter, as parametrizations set it, takes part in the forward."""
    layer = nn.GRU(2, 3)
    doubled = layer.weight_ih_l0.detach() * 2
    del layer.weight_ih_l0
    layer.weight_ih_l0 = doubled
    reference = nn.GRU(2, 3)
    reference.load_state_dict({**layer.state_dict(), "weight_ih_l0": doubled})
    assert torch.equal(layer(wave(4, 1, 2))[0], reference(wave(4, 1, 2))[0])
