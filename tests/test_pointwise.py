"""Pointwise ops against results recorded from PyTorch: values, dtypes, refusals; gradients against differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as torch

RECORDED = json.loads((Path(__file__).parent / "data" / "pointwise.json").read_text())
TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 2e-5, "float64": 1e-7, "complex64": 2e-5, "complex128": 1e-7}


def function(name: str) -> Any:
    found: Any = torch
    for part in name.split("."):
        found = getattr(found, part)
    return found


def tensor(dtype: str, reverse: bool = False) -> Any:
    values = RECORDED["inputs"][dtype]
    values = [complex(*v) for v in values] if dtype == "complex64" else values
    return torch.tensor(values[::-1] if reverse else values, dtype=getattr(torch, dtype))


def agrees(call: Any, want: dict[str, Any], what: str) -> str | None:
    """What differs between a call and its recorded result, if anything."""
    try:
        found = call()
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return None if want.get("error") in kinds else f"{what}: raised {error!r}, expected {want}"
    if "error" in want:
        return f"{what}: accepted, expected {want['error']}: {want['message']}"
    if str(found.dtype) != f"torch.{want['dtype']}":
        return f"{what}: {found.dtype}, expected {want['dtype']}"
    have = np.array(found.flatten().tolist())
    values = np.array([complex(*v) for v in want["values"]] if found.is_complex() else want["values"])
    tolerance = TOLERANCE.get(want["dtype"], 0)
    if not np.allclose(have, values, rtol=tolerance, atol=tolerance / 10, equal_nan=True):
        return f"{what}: {have}, expected {values}"
    return None


def check(differences: list[str | None]) -> None:
    found = [d for d in differences if d]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", RECORDED["unary"])
def test_one_operand_of_each_dtype(name: str) -> None:
    check([agrees(lambda d=d: function(name)(tensor(d)), want, f"{name} of {d}") for d, want in RECORDED["unary"][name].items()])


@pytest.mark.parametrize("name", RECORDED["binary"])
def test_two_operands_of_each_dtype(name: str) -> None:
    differences = []
    for dtypes, want in RECORDED["binary"][name].items():
        if " " in dtypes:
            a, b = (getattr(torch, d) for d in dtypes.split())
            operands = torch.tensor([1, 2, 1]).to(a), torch.tensor([2, 1, 3]).to(b)
        else:
            operands = tensor(dtypes), tensor(dtypes, reverse=True)
        differences.append(agrees(lambda o=operands: function(name)(*o), want, f"{name} of {dtypes}"))
    check(differences)


@pytest.mark.parametrize("name", RECORDED["scalar"])
def test_a_number_as_second_operand(name: str) -> None:
    """Dtypes follow categories, and half precision rounds the number first where PyTorch does."""
    differences = []
    for key, want in RECORDED["scalar"][name].items():
        dtype, number = key.split()
        number = {"True": True, "2": 2, "0.3": 0.3, "1.3": 1.3}[number]
        differences.append(agrees(lambda d=dtype, n=number: function(name)(torch.tensor([3, 5, 7]).to(getattr(torch, d)), n), want, f"{name} of {key}"))
    check(differences)


SMOOTH = ["acos", "asin", "asinh", "atan", "atanh", "cos", "cosh", "deg2rad", "digamma", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "i0", "lgamma", "log", "log10", "log1p", "log2", "logit", "rad2deg", "reciprocal", "rsqrt", "sigmoid", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh", "abs", "special.entr", "special.erfcx", "special.i0e", "special.i1", "special.i1e", "special.ndtr", "special.ndtri", "special.log_ndtr"]
SMOOTH_OF_TWO = ["add", "sub", "mul", "div", "pow", "atan2", "hypot", "logaddexp", "logaddexp2", "xlogy", "rsub", "copysign", "remainder", "fmod", "special.xlog1py"]


def slope(f: Any, operands: list[Any], n: int) -> np.ndarray:
    """The derivative of the sum of f by operand `n`, by central differences."""
    step = 1e-6

    def at(move: float) -> Any:
        return f(*(x + move if m == n else x for m, x in enumerate(operands)))

    return ((at(step) - at(-step)) / (2 * step)).detach().numpy()


def check_gradients(f: Any, operands: list[Any]) -> None:
    found = torch.autograd.grad(f(*operands).sum(), operands, create_graph=True)
    for n, grad in enumerate(found):
        np.testing.assert_allclose(grad.detach().numpy(), slope(f, operands, n), rtol=1e-5, atol=1e-7)
        if grad.requires_grad:

            def first(*xs: Any, n: int = n) -> Any:
                return torch.autograd.grad(f(*xs).sum(), xs[n], create_graph=True)[0]

            (second,) = torch.autograd.grad(grad.sum(), operands[n], retain_graph=True, allow_unused=True)
            if second is not None:
                np.testing.assert_allclose(second.numpy(), slope(first, operands, n), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_one_operand(name: str) -> None:
    """First and second derivatives agree with differences."""
    check_gradients(function(name), [torch.tensor([0.13, 0.37, 0.71, 0.93], dtype=torch.float64, requires_grad=True)])


@pytest.mark.parametrize("name", SMOOTH_OF_TWO)
def test_gradients_of_two_operands(name: str) -> None:
    a = torch.tensor([0.37, 1.73, 2.21], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([1.27, 0.61, 0.83], dtype=torch.float64, requires_grad=True)
    check_gradients(function(name), [a, b])


def test_gradients_of_three_operands() -> None:
    a, b, c = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.3, 1.7], [0.9, -0.4], [1.3, 0.7]))
    check_gradients(lambda a, b, c: torch.addcmul(a, b, c, value=0.3), [a, b, c])
    check_gradients(lambda a, b, c: torch.addcdiv(a, b, c, value=0.3), [a, b, c])
    check_gradients(torch.lerp, [a, b, c])
    check_gradients(torch.clamp, [a, b, c])


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "tan", "acos", "asinh", "acosh", "tanh", "reciprocal", "sigmoid", "sgn", "abs", "angle"])
def test_gradients_of_complex_functions(name: str) -> None:
    """The gradient is that of the real and imaginary parts as two real operands."""
    parts = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.3, -0.7], [0.9, 0.4])]

    def real_and_imaginary(re: Any, im: Any) -> Any:
        out = function(name)(torch.complex(re, im))
        return out.real + 0.3 * out.imag if out.is_complex() else out

    check_gradients(real_and_imaginary, parts)


def test_half_precision_rounds_a_number_in_addition_but_not_in_multiplication() -> None:
    x = torch.tensor([3, 5, 7], dtype=torch.bfloat16)
    assert (x * 0.3).tolist() == [0.8984375, 1.5, 2.09375]
    assert torch.nextafter(torch.ones(1, dtype=torch.bfloat16), torch.full((1,), 2.0, dtype=torch.bfloat16)).item() == 1.0078125


def test_division_of_integers_by_zero_raises_at_the_call() -> None:
    for divide in (torch.floor_divide, torch.remainder, torch.fmod):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            divide(torch.tensor([1, 2]), torch.tensor([1, 0]))
    assert (torch.tensor([-3.0], dtype=torch.float64) // 0.3).item() == -11.0  # by remainders, not floor(a / b)
    assert torch.div(torch.tensor([-7, 7]), 2, rounding_mode="trunc").tolist() == [-3, 3]


def test_out_is_resized_cast_and_refused_as_in_pytorch() -> None:
    x = torch.tensor([0.3, 0.7])
    empty = torch.empty(0)
    assert torch.exp(x, out=empty) is empty and empty.shape == (2,)
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        torch.exp(x, out=torch.empty(3))
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.exp(x, out=torch.empty(2, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="Found dtype Double but expected Float"):
        torch.abs(x, out=torch.empty(2, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        torch.exp(x.requires_grad_(), out=torch.empty(2))


def test_out_refuses_overlapping_memory() -> None:
    x = torch.tensor([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"):
        torch.add(x, x, out=torch.empty(1).expand(4))
    with pytest.raises(RuntimeError, match="some elements of the input tensor and the written-to tensor refer to a single memory location"):
        torch.mul(x[:3], 2, out=x[1:])
    assert torch.mul(x, 2, out=x) is x
    with pytest.raises(RuntimeError, match="some elements of the input tensor and the written-to tensor"):
        torch.gather(x, 0, torch.arange(4), out=x)


def test_in_place_keeps_dtype_and_shape() -> None:
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.tensor([4]).sqrt_()
    with pytest.raises(RuntimeError, match=r"output with shape \[2\] doesn't match the broadcast shape \[3, 2\]"):
        torch.ones(2).add_(torch.ones(3, 2))
    with pytest.raises(RuntimeError, match="In-place abs is not supported for complex tensors"):
        torch.tensor([1j]).abs_()
    with pytest.raises(TypeError, match="argument 'other' .position 1. must be Tensor, not int"):
        torch.ones(2).atan2_(2)
    assert torch.tensor([1.5, 2.5]).lt_(2).tolist() == [1.0, 0.0]


def test_nodes_have_pytorchs_names() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    names = [y.grad_fn.name() for y in (x**2, x**x, 2**x, x % x, x % 2, 1 - x, x.square(), x.log1p(), x.clamp(0, 1), torch.xlogy(x, 2))]
    assert names == ["PowBackward0", "PowBackward1", "PowBackward2", "RemainderBackward1", "RemainderBackward0", "RsubBackward1", "PowBackward0", "Log1PBackward0", "ClampBackward1", "XlogyBackward2"]


def test_other_names_are_the_same_functions() -> None:
    x = torch.tensor([0.3, 0.7])
    for name, other in (("arcsin", "asin"), ("absolute", "abs"), ("negative", "neg"), ("fix", "trunc"), ("arctanh", "atanh")):
        assert torch.equal(getattr(torch, name)(x), getattr(torch, other)(x))
        assert torch.equal(getattr(x, name)(), getattr(x, other)())
        assert torch.equal(getattr(x.clone(), name + "_")(), getattr(x, other)())
    assert torch.equal(torch.swapaxes(torch.ones(2, 3), axis0=0, axis1=1), torch.ones(3, 2))
    assert x.where(x > 0.5, 0).tolist() == [0.0, x[1].item()]


def test_polynomials_take_degrees_by_element() -> None:
    x = torch.tensor([0.5, 2.0, -1.0, 0.3])
    n = torch.tensor([3, 2, 5, -1])
    assert torch.special.chebyshev_polynomial_t(x, n).tolist() == [-1.0, 7.0, -1.0, 0.0]
    assert torch.special.legendre_polynomial_p(torch.tensor([0.5]), 2).item() == -0.125
    assert torch.special.hermite_polynomial_h(torch.tensor([1.0]), 600).isnan().item()


def test_the_error_function_is_accurate_and_saturates() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-8, 8, 40001)
    np.testing.assert_allclose(torch.erf(torch.from_numpy(x)).numpy(), special.erf(x), rtol=2e-15)
    np.testing.assert_allclose(torch.erfc(torch.from_numpy(x)).numpy(), special.erfc(x), rtol=1e-13)
    np.testing.assert_allclose(torch.erf(torch.from_numpy(x).float()).numpy(), special.erf(x.astype(np.float32)), rtol=5e-7)
    assert torch.erf(torch.tensor([4.0, -6.0])).tolist() == [1.0, -1.0]


def test_floor_divide_has_no_gradient_and_division_rounded_down_has_zeros():
    x = torch.tensor([3.0, -7.0], requires_grad=True)
    for found in (x // 2, torch.floor_divide(x, torch.tensor([2.0, 2.0])), x.half() // torch.tensor([2.0, 2.0], dtype=torch.half), (x * 1).floor_divide_(2)):
        assert found.tolist() == [1.0, -4.0] and found.requires_grad and "grad_fn=<NotImplemented>" in repr(found)
        with pytest.raises(RuntimeError, match="derivative for aten::floor_divide is not implemented"):
            found.sum().backward()
    for divisor, name in ((2, "DivBackward3"), (torch.tensor([2.0, 2.0]), "DivBackward2")):
        found = torch.div(x, divisor, rounding_mode="floor")
        assert found.tolist() == [1.0, -4.0] and found.grad_fn.name() == name
        assert torch.autograd.grad(found.sum(), x)[0].tolist() == [0.0, 0.0]
