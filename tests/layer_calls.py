"""Calls of `torch.nn.functional` on fixed inputs, compared with what PyTorch gave for them.

A recorded case is the source of a call and its outcome: shapes, strides, dtypes, one weighted sum of every output
and of every gradient; or the class and the first line of the exception.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import rushlight as torch

F = torch.nn.functional


def recorded(name: str) -> dict[str, dict[str, Any]]:
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())


def inputs() -> dict[str, Any]:
    """The tensors that the calls name: PyTorch's own draws after `manual_seed(0)`."""
    torch.manual_seed(0)
    shapes = {
        "x1": (2, 4, 9), "x2": (2, 4, 9, 9), "x3": (2, 4, 7, 6, 5), "g2": (2, 5, 6, 2), "g3": (2, 3, 4, 3, 3),
        "w1": (6, 4, 3), "w2": (6, 2, 3, 2), "w3": (6, 4, 2, 3, 2), "t2": (4, 3, 3, 2), "b6": (6,), "c": (4,), "e": (9,),
    }  # fmt: skip
    found: dict[str, Any] = {name: torch.randn(*shape) for name, shape in shapes.items()}
    found["samples"], found["samples3"] = torch.rand(2, 4, 2), torch.rand(2, 4, 3)
    found["cl"] = found["x2"].contiguous(memory_format=torch.channels_last)
    for tensor in found.values():
        tensor.requires_grad_()
    found["u8"] = (found["x2"].detach() * 40 + 120).clamp(0, 255).to(torch.uint8)
    found["i2"] = (found["x2"].detach() * 10).to(torch.int64)
    return found


def weighted_sum(values: Any, wave: Any = np.cos) -> float:
    flat = values.detach().double().reshape(-1).numpy()
    return float((flat * wave(np.arange(flat.size))).sum())


def check_call(source: str, expected: dict[str, Any]) -> None:
    """Make the call and compare its outcome with the recorded one."""
    given = inputs()
    code = compile(source, "<recorded call>", "eval")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = eval(code, {"F": F, "torch": torch}, given)
        except Exception as error:
            assert (type(error).__name__, str(error).split("\n")[0]) == (expected["error"], expected["message"])
            return
    assert "error" not in expected, f"PyTorch raises {expected}"
    outputs = found if isinstance(found, tuple) else (found,)
    assert [list(o.shape) for o in outputs] == expected["shape"]
    assert [list(o.stride()) for o in outputs] == expected["stride"]
    assert [str(o.dtype) for o in outputs] == expected["dtype"]
    loose = 2e-2 if outputs[0].dtype in (torch.float16, torch.bfloat16) else 2e-4
    np.testing.assert_allclose([weighted_sum(o) for o in outputs], expected["values"], rtol=loose, atol=10 * loose)
    check_gradients(outputs[0], given, expected.get("grads", {}), 10 * loose)


def check_gradients(output: Any, given: dict[str, Any], expected: dict[str, float], loose: float) -> None:
    if not expected:
        return
    wave = torch.from_numpy(np.sin(np.arange(output.numel()))).reshape(output.shape)
    leaves = [given[name] for name in expected]
    grads = torch.autograd.grad((output.double() * wave).sum(), leaves, allow_unused=True)
    for (name, wanted), grad in zip(expected.items(), grads, strict=True):
        value = 0.0 if grad is None else weighted_sum(grad)
        np.testing.assert_allclose(value, wanted, rtol=loose, atol=loose, err_msg=f"gradient of {name}")
