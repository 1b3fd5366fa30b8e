"""`torch.load` with `weights_only`: what it takes, what it refuses, and with which words."""

import io
import os
import pickle

import numpy as np
import pytest
from torch_files import loaded, rewritten, saved

import rushlight as torch
from rushlight import nn


class Custom:
    def __init__(self):
        self.x = 1


def refusal(obj) -> str:
    with pytest.raises(pickle.UnpicklingError) as info:
        loaded(saved(obj))
    return str(info.value)


def test_refuses_unknown_globals():
    """The error is PyTorch's, names the global, and says how to allow it."""
    assert refusal(Custom()) == (
        "Weights only load failed. This file can still be loaded, to do so you have two options, "
        "\x1b[1mdo those steps only if you trust the source of the checkpoint\x1b[0m. \n\t(1) In PyTorch 2.6, we changed the "
        "default value of the `weights_only` argument in `torch.load` from `False` to `True`. Re-running `torch.load` with "
        "`weights_only` set to `False` will likely succeed, but it can result in arbitrary code execution. Do it only if you "
        "got the file from a trusted source.\n\t(2) Alternatively, to load with `weights_only=True` please check the "
        "recommended steps in the following error message.\n\tWeightsUnpickler error: Unsupported global: GLOBAL "
        f"{__name__}.Custom was not an allowed global by default. Please use `torch.serialization.add_safe_globals([{__name__}.Custom])` "
        f"or the `torch.serialization.safe_globals([{__name__}.Custom])` context manager to allowlist this global if you trust "
        "this class/function.\n\nCheck the documentation of torch.load to learn more about types accepted by default with "
        "weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Linear(1, 1), "GLOBAL torch.nn.modules.linear.Linear was not an allowed global"),
        (lambda: np.float64(0.3), "GLOBAL numpy._core.multiarray.scalar was not an allowed global"),
        (lambda: eval, "GLOBAL eval was not an allowed global"),
        (lambda: frozenset([1]), "GLOBAL frozenset was not an allowed global"),
        (lambda: os.system, "Trying to load unsupported GLOBAL posix.system whose module posix is blocked."),
        (
            lambda: torch.tensor([0.3]).untyped_storage().__reduce__()[0],
            "GLOBAL torch.storage._load_from_bytes was not an allowed global",
        ),
        (lambda: 2**3000, "Unsupported operand 139"),
    ],
    ids=["module", "numpy", "eval", "frozenset", "system", "nested file", "long"],
)
def test_refuses(make, said):
    """Classes, functions and instructions outside the list are refused by name."""
    assert said in refusal(make())


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"\x80\x02k.", "Unsupported operand 107"),
        (b"\x80\x02cbuiltins\nset\n)R(K\x01e.", "Can only extend lists, but got <class 'set'>"),
        (
            b"\x80\x02](K\x01K\x02u.",
            "Can only SETITEMS for dict, collections.OrderedDict, collections.Counter, but got <class 'list'>",
        ),
        (b"\x80\x02]N\x81.", "Can only create new object for nn.Parameter or classes allowlisted"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "Trying to call reduce for unrecognized function a"),
        (b"\x80\x02]}b.", "Can only build Tensor, Parameter, OrderedDict or types allowlisted"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "persistent_load id must be tuple or int, but got <class 'str'>"),
        (b"\x80\x02X\x01\x00\x00\x00a\x85Q.", "Only persistent_load of storage is allowed, but got <class 'str'>"),
    ],
)
def test_refuses_programs(program, said):
    """Instructions that are known are refused on what they may not touch."""
    data = rewritten(saved(1), lambda name, content: program if name == "data.pkl" else content)
    with pytest.raises(pickle.UnpicklingError) as info:
        loaded(data)
    assert said in str(info.value)


def test_safe_globals():
    """What the user allows is read, for as long as it is allowed."""
    data = saved(Custom())
    assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == [f"{__name__}.Custom"]
    with torch.serialization.safe_globals([Custom]):
        assert loaded(data).x == 1
        assert torch.serialization.get_safe_globals() == [Custom]
        assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []
    with pytest.raises(pickle.UnpicklingError):
        loaded(data)
    torch.serialization.add_safe_globals([(Custom, f"{__name__}.Custom")])
    assert loaded(data).x == 1
    torch.serialization.clear_safe_globals()
    assert torch.serialization.get_safe_globals() == []
    with torch.serialization.safe_globals([nn.ReLU, set, nn.Linear]):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(saved(nn.Linear(1, 1))))
        assert names == []


def test_numpy_scalars_without_weights_only():
    """Any object that pickles can be in a file that is trusted."""
    found = loaded(saved({"loss": np.float64(0.3), "by": Custom()}), weights_only=False)
    assert type(found["loss"]) is np.float64 and found["loss"] == 0.3 and found["by"].x == 1


def test_weights_only_argument(monkeypatch):
    """A pickle module turns the default off and cannot be combined with it; environment variables decide where it is not given."""
    data = saved(Custom())
    assert loaded(data, pickle_module=pickle).x == 1
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        loaded(data, pickle_module=pickle, weights_only=True)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        assert loaded(data).x == 1
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="Only one of"):
        loaded(data)
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    with pytest.raises(pickle.UnpicklingError):
        loaded(data, weights_only=False)
