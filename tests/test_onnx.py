"""`torch.onnx.export`: what onnxruntime computes from the file is what the model computes."""

import warnings

import numpy as np
import pytest
from onnx_models import Calls, OneForAll, agrees, check, exported, onnx, onnxruntime

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "linear without bias": (lambda: nn.Linear(4, 3, bias=False), (2, 5, 4)),
    "bilinear": (lambda: OneForAll(nn.Bilinear(4, 4, 2), 2), (2, 4)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, padding=1, stride=2), (2, 2, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 4, (3, 2), padding=(1, 0), dilation=2, groups=2), (1, 2, 8, 8)),
    "conv2d same": (lambda: nn.Conv2d(2, 3, 4, padding="same"), (1, 2, 8, 8)),
    "conv2d reflect": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (1, 2, 8, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 3), (1, 2, 5, 5, 5)),
    "conv without batch": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 5)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), (1, 2, 5)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, groups=2, bias=False), (1, 4, 5, 5)),
    "batch_norm": (lambda: trained(nn.BatchNorm2d(3), 4, 3, 5, 5), (2, 3, 4, 4)),
    "batch_norm1d": (lambda: nn.BatchNorm1d(3, affine=False), (2, 3)),
    "instance_norm": (lambda: nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), (2, 3, 4)),
    "group_norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 5)),
    "rms_norm": (lambda: nn.RMSNorm(4), (2, 4)),
    "local_response_norm": (lambda: nn.LocalResponseNorm(2), (1, 4, 3, 3)),
    "max_pool1d": (lambda: nn.MaxPool1d(3, stride=2), (1, 2, 9)),
    "max_pool2d": (lambda: nn.MaxPool2d(3, stride=2, padding=1), (1, 2, 8, 8)),
    "max_pool2d ceil": (lambda: nn.MaxPool2d(2, stride=2, ceil_mode=True), (1, 2, 7, 7)),
    "avg_pool2d": (lambda: nn.AvgPool2d(2, padding=1), (1, 2, 6, 6)),
    "avg_pool2d exclude": (lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False), (1, 2, 6, 6)),
    "adaptive_avg_pool2d": (lambda: nn.AdaptiveAvgPool2d((2, 1)), (1, 2, 6, 5)),
    "adaptive_avg_pool2d uneven": (lambda: nn.AdaptiveAvgPool2d(3), (1, 2, 7, 8)),
    "adaptive_max_pool2d": (lambda: nn.AdaptiveMaxPool2d(2), (1, 2, 6, 6)),
    "dropout": (lambda: nn.Dropout(0.5), (3, 4)),
    "prelu": (lambda: nn.PReLU(3), (2, 3, 4)),
    "upsample nearest": (lambda: nn.Upsample(scale_factor=2), (1, 2, 3, 4)),
    "upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    "upsample corners": (lambda: nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True), (1, 2, 3, 4)),
    "upsample cubic": (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), (1, 2, 4, 6)),
    "upsample exact": (lambda: nn.Upsample(size=(5, 3), mode="nearest-exact"), (1, 2, 3, 4)),
    "upsample linear": (lambda: nn.Upsample(size=7, mode="linear"), (1, 2, 3)),
    "pixel_unshuffle": (lambda: nn.PixelUnshuffle(2), (2, 1, 4, 6)),
    "channel_shuffle": (lambda: nn.ChannelShuffle(2), (2, 4, 2, 3)),
    "max_pool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
    "adaptive_max_pool2d uneven": (lambda: nn.AdaptiveMaxPool2d(3), (1, 2, 7, 8)),
    "lp_pool": (lambda: nn.LPPool2d(2, 2), (1, 2, 4, 4)),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), (1, 8, 3, 3)),
    "flatten": (lambda: nn.Flatten(), (2, 3, 4)),
    "zero pad": (lambda: nn.ZeroPad2d((1, 0, 2, 1)), (1, 2, 3, 4)),
    "reflection pad": (lambda: nn.ReflectionPad2d(1), (1, 2, 3, 4)),
    "circular pad": (lambda: nn.CircularPad2d(1), (1, 2, 3, 4)),
    "replication pad": (lambda: nn.ReplicationPad1d(2), (1, 2, 4)),
    "softmax": (lambda: nn.Softmax(dim=-1), (2, 3)),
    "lstm": (lambda: nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True), (2, 3, 4)),
    "gru": (lambda: nn.GRU(4, 5), (3, 2, 4)),
    "rnn": (lambda: nn.RNN(4, 5, nonlinearity="relu"), (3, 2, 4)),
    "attention": (lambda: OneForAll(nn.MultiheadAttention(4, 2, batch_first=True), 3), (2, 3, 4)),
    "causal attention": (lambda: Calls(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), (1, 2, 3, 4)),
    "gru bidirectional": (lambda: nn.GRU(4, 5, num_layers=2, bidirectional=True, batch_first=True), (2, 3, 4)),
    "lstm cell": (lambda: nn.LSTMCell(4, 5), (2, 4)),
    "transformer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (2, 3, 4)),
}  # fmt: skip


def trained(layer, *size):
    """The layer after it has seen some inputs, so that its running statistics are not the initial ones."""
    for _ in range(3):
        layer(torch.randn(*size) * 1.3 + 0.7)
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    """Layers of torch.nn, in eval mode."""
    make, size = LAYERS[name]
    check(make(), torch.randn(*size))


def test_embedding():
    """Integer inputs that index a weight."""
    check(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)), torch.tensor([[1, 9], [0, 3]]))
    check(nn.Embedding(10, 4, padding_idx=0), torch.tensor([0, 3]))


class Classifier(nn.Module):
    """A small network of a kind that people export."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(0.2)
        )
        self.head = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x):
        x = self.features(x)
        return F.log_softmax(self.head(x.view(x.size(0), -1)), dim=1)


def test_names_and_dynamic_batch(tmp_path):
    """Names given are kept, weights keep theirs, and the file takes any batch size; the file at a path is replaced whole."""
    model, path = Classifier(), tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.warns(DeprecationWarning, match="legacy TorchScript-based ONNX export"):
        result = torch.onnx.export(
            model,
            torch.randn(2, 1, 8, 8),
            path,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    assert result is None and model.training
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [i.version for i in proto.opset_import] == [17]
    assert [v.name for v in proto.graph.input] == ["image"] and [v.name for v in proto.graph.output] == ["scores"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {"features.0.weight", "head.weight", "head.bias"} <= {w.name for w in proto.graph.initializer}
    for batch in (1, 2, 5):
        agrees(model, path.read_bytes(), torch.randn(batch, 1, 8, 8))
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_two_dynamic_sizes():
    """Sizes that are sums or products of dynamic ones are computed in the graph."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 4)
            self.attend = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

        def forward(self, ids):
            x = self.embed(ids) + torch.arange(ids.size(1)).unsqueeze(-1) * 0.1
            x = self.attend(x)
            start = torch.zeros(ids.size(0), 1, 4)
            flat = torch.cat([start, x], 1).reshape(-1, 4)
            return flat, x.mean(1), x[:, -1], torch.full((x.size(0) * x.size(1),), 0.3)

    model = Model().eval()
    ids = torch.randint(0, 11, (2, 3))
    data = exported(model, ids, dynamic_shapes={"ids": {0: "batch", 1: "length"}})
    for size in ((2, 3), (1, 5), (4, 2)):
        agrees(model, data, torch.randint(0, 11, size))


RECURRENT = {
    "LSTM": lambda **options: nn.LSTM(3, 4, **options),
    "GRU": lambda **options: nn.GRU(3, 4, **options),
    "RNN": lambda **options: nn.RNN(3, 4, **options),
    "RNN relu": lambda **options: nn.RNN(3, 4, nonlinearity="relu", **options),
}
RECURRENT_OPTIONS = (
    {},
    {"bias": False},
    {"num_layers": 2, "dropout": 0.5},
    {"bidirectional": True, "batch_first": True},
    {"num_layers": 2, "bidirectional": True, "bias": False},
)


@pytest.mark.parametrize("options", RECURRENT_OPTIONS, ids=str)
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_of_any_length(name, options):
    """One node for each direction of each layer, with weights that are constants; batch and length follow the input."""
    model = RECURRENT[name](**options).eval()
    data = exported(model, torch.randn(2, 5, 3), dynamic_shapes={"input": {0: "first", 1: "second"}})
    graph = onnx.load_from_string(data).graph
    layers = [node for node in graph.node if node.op_type == name.split()[0]]
    assert len(layers) == model.num_layers * (1 + model.bidirectional)
    weights = {w.name for w in graph.initializer}
    assert all(weights.issuperset(node.input[1 : 3 + model.bias]) for node in layers)
    for size in ((2, 5), (1, 9), (7, 1)):
        agrees(model, data, torch.randn(*size, 3))


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_with_given_states(name):
    """Initial states that are inputs, in batches and without a batch dim; a dynamic length and batch."""
    model = RECURRENT[name](num_layers=2, bidirectional=True)

    def arguments(steps, *batch):
        state = tuple(torch.randn(4, *batch, 4) for _ in range(2))
        return torch.randn(steps, *batch, 3), state if name == "LSTM" else state[0]

    sizes = {0: "length", 1: "batch"}
    states = ({1: "batch"}, {1: "batch"}) if name == "LSTM" else {1: "batch"}
    data = exported(model.eval(), *arguments(5, 2), dynamic_shapes=(sizes, states))
    for size in ((5, 2), (8, 3), (1, 1)):
        agrees(model, data, *arguments(*size))
    data = exported(model, *arguments(5), dynamic_shapes={"input": {0: "length"}})
    agrees(model, data, *arguments(9))


class OfLengths(nn.Module):
    """A recurrent layer over sequences of different lengths."""

    def __init__(self, layer, is_sorted, padding=0.0):
        super().__init__()
        self.layer, self.is_sorted, self.padding = layer, is_sorted, padding

    def forward(self, x, lengths):
        first = self.layer.batch_first
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=self.is_sorted)
        output, state = self.layer(packed)
        return *nn.utils.rnn.pad_packed_sequence(output, batch_first=first, padding_value=self.padding), state


@pytest.mark.parametrize("name", RECURRENT)
def test_packed_sequences(name):
    """The lengths are an input of the graph and of its nodes; sequences in any order, in batches of any size."""
    model = OfLengths(RECURRENT[name](num_layers=2, bidirectional=True, batch_first=True), is_sorted=False).eval()
    sizes = {0: "batch", 1: "length"}
    data = exported(model, torch.randn(2, 5, 3), torch.tensor([2, 5]), dynamic_shapes=(sizes, {0: "batch"}))
    for lengths in ([2, 5], [4, 1, 7], [3]):
        agrees(model, data, torch.randn(len(lengths), max(lengths), 3), torch.tensor(lengths))
    model = OfLengths(RECURRENT[name](bias=False), is_sorted=True, padding=0.7).eval()
    data = exported(model, torch.randn(5, 2, 3), torch.tensor([5, 2]))
    for lengths in ([5, 2], [5, 1]):
        agrees(model, data, torch.randn(5, 2, 3), torch.tensor(lengths))
    with pytest.raises(torch.onnx.OnnxExporterError, match="total_length can only be the length before packing"):
        packed = Calls(lambda x, n: nn.utils.rnn.pad_packed_sequence(nn.utils.rnn.pack_padded_sequence(x, n), total_length=9)[0])
        torch.onnx.export(packed, (torch.randn(5, 2, 3), torch.tensor([5, 2])))


def test_recurrent_layers_in_parts():
    """What has no node of its own, or none that onnxruntime runs, is written step by step: projections, float64, cells."""
    for model, x in (
        (nn.LSTM(3, 4, proj_size=2, bidirectional=True), torch.randn(5, 2, 3)),
        (nn.GRU(3, 4).double(), torch.randn(5, 2, 3).double()),
        (nn.GRUCell(3, 4), torch.randn(2, 3)),
    ):
        check(model, x)


def test_recurrent_weights_that_are_computed():
    """Weights that the model makes when it runs are rearranged in the graph."""
    for layer in (nn.LSTM(3, 4), nn.GRU(3, 4), nn.RNN(3, 4)):
        model = nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
        check(model, torch.randn(5, 2, 3), opset_version=13)
    shared = nn.LSTM(3, 4)
    check(Calls(lambda x: (shared(x)[0], shared(x.flip(0))[0] + shared.weight_ih_l0.sum())), torch.randn(5, 2, 3))


def test_recurrent_weights_left_out():
    """Without weights in the file they are inputs, in the form in which the nodes want them."""
    model, x = nn.LSTM(3, 4).eval(), torch.randn(5, 2, 3)
    proto = torch.onnx.export(model, x, export_params=False).model_proto
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.input}
    assert shapes == {"input": [5, 2, 3], "weight_ih_l0.W": [1, 16, 3], "weight_hh_l0.R": [1, 16, 4], "bias_ih_l0.B": [1, 32]}


class Segmentation(nn.Module):
    """Halves an image twice and doubles it again, by two ways, beside what the halves came from."""

    def __init__(self):
        super().__init__()
        self.down, self.inner, self.out = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(10, 2, 1)
        self.pool, self.up = nn.MaxPool2d(2, return_indices=True), nn.ConvTranspose2d(4, 4, 2, 2)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x):
        first, places = self.pool(F.relu(self.down(x)))
        second = self.inner(self.pool(first)[0])
        grown = F.interpolate(self.up(second), scale_factor=2, mode="bilinear")
        joined = torch.cat([x, grown, self.unpool(first, places)], 1)
        tokens = second.flatten(2).transpose(1, 2)
        batch, channels, height, width = second.shape
        return self.out(joined), tokens.transpose(1, 2).reshape(batch, channels, height, width).permute(0, 2, 3, 1).flatten(1)


def test_images_of_any_size_that_divides():
    """A network that only takes multiples of four is run with such sizes, and halves of sizes are computed."""
    model = Segmentation().eval()
    axes = {0: "batch", 2: "height", 3: "width"}
    data = exported(model, torch.randn(1, 2, 8, 12), dynamic_shapes={"x": axes})
    for batch, height, width in ((1, 8, 12), (3, 16, 4), (2, 12, 20)):
        agrees(model, data, torch.randn(batch, 2, height, width))


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding):
    """Images of any size are read by one node."""
    model = Calls(lambda x, grid: F.grid_sample(x, grid, mode, padding, align_corners=padding == "border"))
    sizes = {"x": {2: "height", 3: "width"}, "grid": {1: "rows"}}
    data = exported(model, torch.randn(1, 2, 4, 4), torch.rand(1, 3, 5, 2), input_names=["x", "grid"], dynamic_axes=sizes)
    assert [node.op_type for node in onnx.load_from_string(data).graph.node] == ["GridSample", "Identity"]
    agrees(model, data, torch.randn(1, 2, 5, 7), torch.rand(1, 8, 5, 2) * 2.4 - 1.2)


def test_a_dynamic_size_at_the_end_of_a_table():
    """The first longer size that is tried, eight, is more than there are positions."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions = nn.Embedding(6, 3)

        def forward(self, x):
            return x + self.positions(torch.arange(x.size(1)))

    model = Model().eval()
    data = exported(model, torch.randn(2, 4, 3), dynamic_shapes={"x": {1: "length"}})
    for length in (1, 4, 6):
        agrees(model, data, torch.randn(2, length, 3))


def test_masks_of_transformers_are_inputs():
    """Padding is zeroed, or not where it cannot be cut off, and a mask that was causal in the export may be any other."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1).eval()
    sizes = {0: "batch", 1: "length"}
    padding = torch.tensor([[False, False, True], [False, False, False]])
    model_of_padding = Calls(lambda x, padding: model(x, src_key_padding_mask=padding))
    data = exported(model_of_padding, torch.randn(2, 3, 4), padding, input_names=["x", "padding"], dynamic_axes={"x": sizes, "padding": sizes})
    for other in (padding, torch.tensor([[False, True, True, True]]), torch.tensor([[False, True, False, True]])):
        agrees(model_of_padding, data, torch.randn(*other.shape, 4), other)
    masked = Calls(lambda x, mask: model(x, mask=mask))
    causal = nn.Transformer.generate_square_subsequent_mask(3)
    data = exported(masked, torch.randn(2, 3, 4), causal)
    agrees(masked, data, torch.randn(2, 3, 4), causal.flip(0, 1))


def test_writes_in_place():
    """In-place writes to views, buffers and whole tensors reach every tensor that shares the memory."""

    def function(x):
        out = torch.zeros(x.size(0), 4)
        out[:, 1:3] = x[:, :2] * 2
        row = out[0]
        out += 1
        row.mul_(3.0)
        grid = x.clone().t()
        grid[1] = 0.7
        x = x.relu_()
        out[0, 0] = x.sum()
        return out, row, grid, x

    model = Calls(function)
    x = torch.randn(2, 3)
    data = exported(model, x.clone(), input_names=["x"], dynamic_axes={"x": {0: "n"}})
    for n in (2, 4):
        x = torch.randn(n, 3)
        session = onnxruntime.InferenceSession(data)
        found = session.run(None, {"x": x.numpy().copy()})
        for a, b in zip(found, function(x.clone()), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-6)


def test_inputs_by_keyword_and_in_containers():
    """Arguments in lists, dicts and keywords become inputs in order; other values are part of the graph."""

    class Model(nn.Module):
        def forward(self, pair, scale=1.0, *, bias):
            return pair[0] * scale + bias - pair[1]

    tensors = [torch.randn(2, 3) for _ in range(3)]
    program = torch.onnx.export(Model(), ((tensors[0], tensors[1]), 0.3), kwargs={"bias": tensors[2]})
    assert [v.name for v in program.model_proto.graph.input] == ["pair_0", "pair_1", "bias"]
    expected = tensors[0] * 0.3 + tensors[2] - tensors[1]
    (found,) = program(*tensors)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


def test_options(tmp_path):
    """Weights outside the file, as inputs, or left out; older opsets; saving from the program."""
    model, x = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.LayerNorm(32)), torch.randn(2, 64)
    model.eval()
    for opset in (11, 13, 17, 18, 20, 22):
        data = exported(model, x, opset_version=opset)
        assert onnx.load_from_string(data).opset_import[0].version == opset
        agrees(model, data, x)
    with pytest.raises(torch.onnx.OnnxExporterError, match="ONNX opset versions from 11 to 23 can be written, not 9"):
        torch.onnx.export(model, x, opset_version=9)
    with pytest.raises(torch.onnx.OnnxExporterError, match="the opset has no such operator"):
        torch.onnx.export(Calls(torch.tril), torch.ones(2, 2), opset_version=13)
    program = torch.onnx.export(model, x)
    program.save(tmp_path / "a.onnx", external_data=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.onnx.data"]
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    np.testing.assert_allclose(
        session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], model(x).detach().numpy(), atol=1e-5
    )
    with_weights = onnx.load_from_string(exported(model, x, keep_initializers_as_inputs=True)).graph
    assert {v.name for v in with_weights.input} == {
        "input",
        *(w.name for w in with_weights.initializer if "." in w.name),
    }
    bare = onnx.load_from_string(exported(model, x, export_params=False)).graph
    assert not [w.name for w in bare.initializer if "." in w.name] and len(bare.input) == 5


def test_is_in_onnx_export():
    """Models can ask whether they are being exported."""
    seen = []
    exported(Calls(lambda x: (seen.append(torch.onnx.is_in_onnx_export()), x + 1)[1]), torch.ones(1))
    assert seen == [True] and not torch.onnx.is_in_onnx_export()


def test_builders_belong_to_cards():
    """A builder whose card has gone or has another name is dead code."""
    from rushlight.onnx.builders import BUILDERS, POINTWISE
    from rushlight.ops.card import CARDS

    packed = {f"packed_{name}" for name in ("lstm_layer", "gru_layer", "rnn_tanh_layer", "rnn_relu_layer")}
    reported_as_a_whole = {"arange", "full", "grid_sampler", "pack_padded_sequence", "pad_packed_sequence", *packed}
    assert {*BUILDERS, *POINTWISE} - reported_as_a_whole <= CARDS.keys()


def test_what_cannot_be_exported(tmp_path):
    """Errors name the operation or the size; a failed export leaves the old file and the model's mode."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    model = nn.Sequential(Calls(lambda x: x.conj_physical())).train()
    with pytest.raises(
        torch.onnx.OnnxExporterError,
        match="Exporting the operator 'aten::conj_physical' to ONNX opset version 20 is not supported",
    ):
        torch.onnx.export(model, (torch.ones(2, dtype=torch.complex64),), path)
    assert path.read_bytes() == b"old" and model.training

    def count(x):
        for _ in range(x.size(0)):
            x = x + 1
        return x

    with pytest.raises(torch.onnx.OnnxExporterError, match="other operations when a dynamic axis has another size"):
        torch.onnx.export(Calls(count), (torch.ones(2),), input_names=["x"], dynamic_axes={"x": [0]})
    with pytest.raises(torch.onnx.OnnxExporterError, match="a size does not grow evenly with 'n', because of a rounded division"):
        pad = Calls(lambda x: F.pad(F.max_pool2d(x, 2), (0, x.size(3) - x.size(3) // 2)))
        torch.onnx.export(pad, (torch.ones(1, 1, 4, 7),), input_names=["x"], dynamic_axes={"x": {3: "n"}})
    for function, message in (
        (lambda x: x / x.size(0) ** 0.5, "not an integer depends on a dynamic size; compute it from torch.full"),
        (lambda x: x + torch.tensor(x.size(0)), "made from a dynamic size is a constant of the graph; use torch.full"),
    ):
        with pytest.raises(torch.onnx.OnnxExporterError, match=message):
            torch.onnx.export(Calls(function), (torch.ones(2),), input_names=["x"], dynamic_axes={"x": [0]})
    whole = Calls(lambda x: x / torch.full((), x.size(0)).sqrt())
    agrees(whole, exported(whole, torch.ones(2), input_names=["x"], dynamic_axes={"x": [0]}), torch.randn(5))
    with (
        pytest.raises(ValueError, match="dynamic shapes through parameter dynamic_axes when dynamo=False"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(nn.ReLU(), (torch.ones(2),), dynamo=False, dynamic_shapes={"input": {0: "n"}})
