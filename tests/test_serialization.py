"""`torch.save` and `torch.load`: PyTorch's own files are read, ours have PyTorch's bytes and names, and copies are right."""

import collections
import copy
import importlib
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from torch_files import (
    EXACT_FILE,
    MODULE_FILE,
    MODULE_OUTPUT,
    RARE_FILE,
    STREAM_FILE,
    ZIP_FILE,
    build,
    loaded,
    same,
    saved,
    without_id,
)

import rushlight as torch
from rushlight import nn

# Files that PyTorch wrote


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("data", [ZIP_FILE, STREAM_FILE], ids=["zip", "stream"])
def test_reads_what_pytorch_wrote(data, weights_only):
    """Every dtype, view, parameter, constant and container comes back, from both formats and both unpicklers."""
    found = loaded(data, weights_only=weights_only)
    same(found, build())
    assert found._metadata == {"": {"version": 1}}
    assert found["q"].note == "kept"
    assert found["a"].untyped_storage().data_ptr() == found["view"].untyped_storage().data_ptr()
    found["a"][0, 1] = 9.0
    assert found["view"][0, 0] == 9.0


def test_reads_rare_tensors():
    """Conjugate views are resolved; dtypes without a storage class and meta tensors are kept."""
    found = loaded(RARE_FILE)
    assert found["conj"].tolist() == [1 - 2j]
    assert (found["u16"].dtype, found["u16"].tolist()) == (torch.uint16, [1, 65535])
    assert (found["f8"].dtype, found["f8"].tolist()) == (torch.float8_e4m3fn, [0.3125, 1.25])
    assert (found["meta"].device.type, found["meta"].shape) == ("meta", (2, 3))


def test_reads_a_whole_module():
    """A pickled module of PyTorch's classes becomes one of ours and computes PyTorch's numbers."""
    module = loaded(MODULE_FILE, weights_only=False)
    assert type(module) is nn.Sequential and type(module[0]) is nn.Linear
    with torch.no_grad():
        found = module(torch.tensor([[0.3, 0.7], [1.3, -2.1]]))
    np.testing.assert_allclose(found.numpy(), MODULE_OUTPUT, rtol=1e-6)
    module.train()(torch.randn(4, 2)).sum().backward()
    assert module[0].weight.grad is not None


def test_reads_a_tar_file():
    """The format of PyTorch 0.1: storages, a view of one, tensors over them, and the pickle, in a tar file."""

    def dumps(*values):
        return b"".join(pickle.dumps(v, protocol=2) for v in values)

    def entry(key, location, name):
        return (
            b"\x80\x02(K" + bytes([key]) + b"X" + struct.pack("<I", len(location)) + location.encode()
            + b"ctorch\n" + name + b"\nt."
        )  # fmt: skip

    values = np.array([0.3, 0.7, 1.3, -0.1], np.float32)
    storages = dumps(1) + entry(1, "cpu", b"FloatStorage") + struct.pack("<q", 4) + values.tobytes()
    storages += dumps([(2, 1, 1, 3)])
    tensor = b"\x80\x02(K%cK%cctorch\nFloatTensor\nt."
    tensors = dumps(2)
    tensors += tensor % (3, 1) + struct.pack("<2i5q", 2, 0, 2, 2, 1, 2, 0)
    tensors += tensor % (4, 2) + struct.pack("<2i3q", 1, 0, 2, 1, 1)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return obj[1:] if isinstance(obj, str) and obj.startswith("#") else None

    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump({"m": "#3", "tail": "#4"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for name, content in (("storages", storages), ("tensors", tensors), ("pickle", pickled.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    found = loaded(out.getvalue(), weights_only=False)
    np.testing.assert_array_equal(found["m"].numpy(), values.reshape(2, 2).T)
    np.testing.assert_array_equal(found["tail"].numpy(), values[2:])
    found["m"][0, 1] = 5.0
    assert found["tail"][0] == 5.0
    with pytest.raises(
        RuntimeError, match="Cannot use ``weights_only=True`` with files saved in the legacy .tar format"
    ):
        loaded(out.getvalue())


# Files that we write


def test_writes_the_bytes_that_pytorch_writes():
    """A file of ours equals PyTorch's byte for byte, but for the record with hashes."""
    a = torch.arange(6.0).reshape(2, 3)
    tree = collections.OrderedDict(
        a=a,
        v=a.T,
        b=torch.tensor([True, False]),
        p=nn.Parameter(torch.ones(2)),
        d=torch.float32,
        z=torch.zeros(0),
    )
    assert without_id(saved(tree)) == without_id(EXACT_FILE)


def test_records_are_stored_and_aligned():
    """Each record is uncompressed, begins at a multiple of 64 bytes, and has the checksum that zip tools verify."""
    data = saved({"x": torch.ones(5), "y": torch.zeros(1000, dtype=torch.int16)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [info.filename for info in archive.infolist()] == [
            "archive/" + name
            for name in (
                "data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1", "version",
                ".data/serialization_id",
            )
        ]  # fmt: skip
        for info in archive.infolist():
            name_length, extra_length = struct.unpack_from("<2H", data, info.header_offset + 26)
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0
            assert info.compress_type == zipfile.ZIP_STORED
        assert archive.read("archive/byteorder") == b"little"


@pytest.mark.parametrize(
    "options",
    [{}, {"_use_new_zipfile_serialization": False}, {"_disable_byteorder_record": True}],
    ids=["zip", "stream", "no byteorder"],
)
def test_round_trip(options):
    """What is saved comes back the same, and pickles name nothing of ours but PyTorch's names."""
    data = saved(build(), **options)
    assert b"rushlight" not in data
    for weights_only in (True, False):
        found = loaded(data, weights_only=weights_only)
        same(found, build())
        assert found["q"].note == "kept"
        assert found["a"].untyped_storage().data_ptr() == found["view"].untyped_storage().data_ptr()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol):
    """Any protocol can be written; names are PyTorch's in each."""
    data = saved(build(), pickle_protocol=protocol)
    assert b"rushlight" not in data
    same(loaded(data, weights_only=False), build())


def test_a_view_saves_the_whole_storage_once():
    """Saving a small view keeps the storage that it shows; tensors that share one share it in the file."""
    big = torch.arange(100.0)
    found = loaded(saved([big[:2], big[10:12]]))
    assert found[0].untyped_storage().nbytes() == 400
    assert found[1].storage_offset() == 10
    assert len(zipfile.ZipFile(io.BytesIO(saved([big[:2], big[10:12], big]))).namelist()) == 7


def test_module_and_optimizer_round_trip():
    """State dicts of a model and its optimizer, and the whole model, survive, with PyTorch's names in the file."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    x = torch.randn(8, 3)
    model(x).pow(2).mean().backward()
    optimizer.step()
    checkpoint = loaded(saved({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}))
    assert checkpoint["model"]["1.num_batches_tracked"].shape == ()
    assert checkpoint["model"]._metadata[""] == {"version": 1}

    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    other.load_state_dict(checkpoint["model"])
    torch.optim.Adam(other.parameters(), lr=0.1).load_state_dict(checkpoint["optimizer"])
    whole_file = saved(model)
    assert b"ctorch.nn.modules.container\nSequential\n" in whole_file and b"rushlight" not in whole_file
    whole = loaded(whole_file, weights_only=False)
    assert torch.equal(other.eval()(x), model.eval()(x))
    assert torch.equal(whole.eval()(x), model(x))


#: The classes of PyTorch 2.13 by the module that pickles name.
CLASSES = {
    "torch.distributions.transforms":
    "AbsTransform AffineTransform CatTransform ComposeTransform CorrCholeskyTransform CumulativeDistributionTransform"
    " ExpTransform IndependentTransform LowerCholeskyTransform PositiveDefiniteTransform PowerTransform"
    " ReshapeTransform SigmoidTransform SoftmaxTransform SoftplusTransform StackTransform StickBreakingTransform"
    " TanhTransform Transform",
    "torch.nn.modules.activation":
    "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish"
    " MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus"
    " Softshrink Softsign Tanh Tanhshrink Threshold",
    "torch.nn.modules.adaptive":
    "AdaptiveLogSoftmaxWithLoss",
    "torch.nn.modules.batchnorm":
    "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d",
    "torch.nn.modules.channelshuffle":
    "ChannelShuffle",
    "torch.nn.modules.container":
    "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "torch.nn.modules.conv":
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d"
    " LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d",
    "torch.nn.modules.distance":
    "CosineSimilarity PairwiseDistance",
    "torch.nn.modules.dropout":
    "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "torch.nn.modules.flatten":
    "Flatten Unflatten",
    "torch.nn.modules.fold":
    "Fold Unfold",
    "torch.nn.modules.instancenorm":
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d"
    " LazyInstanceNorm3d",
    "torch.nn.modules.linear":
    "Bilinear Identity LazyLinear Linear",
    "torch.nn.modules.linear_cross_entropy_options":
    "LinearCrossEntropyOptions",
    "torch.nn.modules.loss":
    "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss"
    " HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss"
    " MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss"
    " SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    "torch.nn.modules.module":
    "Module",
    "torch.nn.modules.normalization":
    "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "torch.nn.modules.padding":
    "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d"
    " ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d"
    " ZeroPad2d ZeroPad3d",
    "torch.nn.modules.pixelshuffle":
    "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling":
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d"
    " AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d"
    " LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "torch.nn.modules.rnn":
    "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "torch.nn.modules.sparse":
    "Embedding EmbeddingBag",
    "torch.nn.modules.transformer":
    "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
    "torch.nn.modules.upsampling":
    "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "torch.nn.parameter":
    "Parameter UninitializedBuffer UninitializedParameter",
    "torch.optim":
    "Adafactor Muon",
    "torch.optim.adadelta":
    "Adadelta",
    "torch.optim.adagrad":
    "Adagrad",
    "torch.optim.adam":
    "Adam",
    "torch.optim.adamax":
    "Adamax",
    "torch.optim.adamw":
    "AdamW",
    "torch.optim.asgd":
    "ASGD",
    "torch.optim.lbfgs":
    "LBFGS",
    "torch.optim.lr_scheduler":
    "ChainedScheduler ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR"
    " LRScheduler LambdaLR LinearLR MultiStepLR MultiplicativeLR OneCycleLR PolynomialLR ReduceLROnPlateau"
    " SequentialLR StepLR",
    "torch.optim.nadam":
    "NAdam",
    "torch.optim.optimizer":
    "Optimizer",
    "torch.optim.radam":
    "RAdam",
    "torch.optim.rmsprop":
    "RMSprop",
    "torch.optim.rprop":
    "Rprop",
    "torch.optim.sgd":
    "SGD",
}  # fmt: skip


@pytest.mark.parametrize("module", CLASSES)
def test_classes_have_their_names_of_pytorch(module):
    """Every transform, layer, optimizer and scheduler is saved under the name that PyTorch gives it, and found by it."""
    from rushlight.serialization.names import find_torch_name, torch_name

    if module.startswith("torch.nn"):
        home = nn
    elif module.startswith("torch.optim"):
        home = torch.optim.lr_scheduler if module.endswith("lr_scheduler") else torch.optim
    else:
        home = importlib.import_module(module.replace("torch", "rushlight", 1))
    for name in CLASSES[module].split():
        found = getattr(home, name)
        assert torch_name(found) == (module, name)
        assert find_torch_name(module, name) is found


def test_functions_have_public_names():
    """A function that a module keeps is named by where it is public, and PyTorch's names of compiled ones are understood."""
    from rushlight.serialization.names import find_torch_name

    functional = nn.functional
    for function, name in ((functional.relu, b"ctorch.nn.functional\nrelu\n"), (torch.tanh, b"tanh\n")):
        data = saved(function)
        assert name in data and b"rushlight" not in data
        assert loaded(data, weights_only=False) is function
    assert find_torch_name("torch._C._nn", "gelu") is functional.gelu
    # PyTorch pickles torch.tanh as an attribute of this class.
    assert find_torch_name("torch._C", "_VariableFunctionsClass").tanh is torch.tanh


def test_recurrent_networks_hold_what_pytorch_reads():
    """The state of a recurrent layer has the attributes that PyTorch expects, and ours are computed anew."""
    layer = nn.LSTM(2, 3)
    data = saved(layer)
    assert b"_flat_weights" in data and b"_all_weights" in data
    found = loaded(data, weights_only=False)
    assert "_flat_weights" not in vars(found)
    x = torch.randn(4, 1, 2)
    assert torch.equal(found(x)[0], layer(x)[0])


def test_storages_round_trip():
    """A storage on its own comes back as a storage."""
    found = loaded(saved(torch.tensor([0.3, 0.7]).untyped_storage()))
    assert found.nbytes() == 8


def test_one_storage_cannot_be_two_types():
    """PyTorch's formats hold each storage as one type."""
    x = torch.ones(4)
    for new_format in (True, False):
        with pytest.raises(
            RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different types"
        ):
            saved([x, x.view(torch.int32)], _use_new_zipfile_serialization=new_format)


# Plain pickles and copies


def test_plain_pickle():
    """`pickle` itself carries tensors, parameters, dtypes and modules, with values, grad flags and attributes."""
    same(pickle.loads(pickle.dumps(build())), build())
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    x = torch.randn(3, 2)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    view = torch.arange(6).reshape(2, 3).t()
    assert pickle.loads(pickle.dumps(view)).stride() == (1, 3)


def test_subclasses_keep_class_and_attributes():
    """A user's subclass of Tensor comes back as that class with its attributes."""
    tensor = torch.tensor([0.3]).as_subclass(Marked)
    tensor.label = "x"
    found = pickle.loads(pickle.dumps(tensor))
    assert (type(found), found.label) == (Marked, "x")
    with torch.serialization.safe_globals([Marked]):
        found = loaded(saved(tensor))
    assert (type(found), found.label) == (Marked, "x")


class Marked(torch.Tensor):
    pass


def test_copy_shares_and_deepcopy_does_not():
    """`copy.copy` of a tensor is another tensor over the same memory; `copy.deepcopy` has its own, shared as before."""
    a = torch.arange(3.0)
    shallow, deep = copy.copy(a), copy.deepcopy([a, a[1:]])
    a[1] = 9.0
    assert shallow.tolist() == [0.0, 9.0, 2.0]
    assert [t.tolist() for t in deep] == [[0.0, 1.0, 2.0], [1.0, 2.0]]
    deep[0][2] = 7.0
    assert deep[1].tolist() == [1.0, 7.0]


def test_hooks_are_not_saved():
    """A tensor with a hook warns that the hook is lost."""
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda grad: grad)
    with pytest.warns(UserWarning, match="backward hook .* on tensor will not be serialized."):
        saved(x)
