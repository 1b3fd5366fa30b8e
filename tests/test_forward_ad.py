"""Forward mode: dual tensors through ops, writes, views, backward passes and functions of the user's. Expected values are PyTorch's.

That tangents of all ops agree with their gradients is in test_ops.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import rushlight as torch
import rushlight.autograd.forward_ad as fwad
import rushlight.nn.functional as F
from rushlight import nn


@pytest.fixture
def dual() -> Iterator[Any]:
    """[1, 2, 3] with the tangent [1, 0.5, 2]."""
    with fwad.dual_level():
        yield fwad.make_dual(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 2.0]))


def tangent(tensor: Any) -> Any:
    found = fwad.unpack_dual(tensor).tangent
    return None if found is None else found.tolist()


def test_what_is_shown(dual: Any) -> None:
    assert repr(dual) == "tensor([1., 2., 3.], tangent=tensor([1.0000, 0.5000, 2.0000]))"
    assert repr((dual * dual).sum()) == "tensor(14., tangent=16.0)" and not dual.requires_grad and (dual * 2).grad_fn is None
    primal, found = fwad.unpack_dual(dual * 2)
    assert primal.tolist() == [2, 4, 6] and found.tolist() == [2, 1, 4] and tangent(primal) is None


def test_what_has_a_tangent_and_what_has_none(dual: Any) -> None:
    x = torch.ones(3)
    for none in (x, x.sum(), dual.detach(), dual.data, dual > 1, dual.new_zeros(2), dual.argmax()):
        assert tangent(none) is None
    assert tangent(dual.float()) == [1, 0.5, 2] and fwad.unpack_dual(dual.double()).tangent.dtype is torch.float64
    with torch.no_grad():
        assert tangent(dual * x) == [1, 0.5, 2]
    assert tangent(torch.cat([dual, x])) == [1, 0.5, 2, 0, 0, 0]


def test_writes_and_views(dual: Any) -> None:
    z = torch.zeros(3)
    z[0] = dual[2] * 2
    assert tangent(z) == [4, 0, 0]
    z = torch.ones(2, 3)
    z.t().mul_(dual.unsqueeze(1))
    assert tangent(z) == [[1, 0.5, 2], [1, 0.5, 2]]
    y = dual * 1
    first = y[:1]
    first.mul_(3)
    assert tangent(y) == [3, 0.5, 2] and tangent(first) == [3]
    y[1] = 7
    assert tangent(y) == [3, 0, 2]
    y.mul_(y)
    assert tangent(y) == [18, 0, 12]
    assert tangent(y.zero_()) == [0, 0, 0]
    strided = torch.arange(6.0).reshape(3, 2).t()
    assert tangent(fwad.make_dual(strided, torch.ones(2, 3))[1] * 2) == [2, 2, 2]
    assert tangent((dual * 1).exp_()) == (torch.tensor([1, 0.5, 2]) * torch.exp(torch.tensor([1.0, 2.0, 3.0]))).tolist()


def test_reverse_over_forward(dual: Any) -> None:
    w = torch.ones(3, requires_grad=True)
    fwad.unpack_dual((w * w * dual).sum()).tangent.backward()
    assert w.grad.tolist() == [2, 1, 4]


def test_forward_over_reverse_is_a_product_with_the_hessian() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with fwad.dual_level():
        x = fwad.make_dual(w, torch.tensor([1.0, 10.0]))
        (grad,) = torch.autograd.grad((x**3).sum(), x)
        assert grad.tolist() == [3, 12] and tangent(grad) == [6, 120]


def test_parameters_of_a_module() -> None:
    module = nn.Linear(3, 2)
    with fwad.dual_level():
        for name, parameter in list(module.named_parameters()):
            delattr(module, name)
            setattr(module, name, fwad.make_dual(parameter, torch.ones_like(parameter)))
        assert tangent(module(torch.ones(1, 3))) == [[4, 4]]


def test_random_numbers_are_drawn_once(dual: Any) -> None:
    torch.manual_seed(3)
    value = F.dropout(dual, 0.5)
    torch.manual_seed(3)
    assert F.dropout(torch.tensor([1.0, 2.0, 3.0]), 0.5).tolist() == value.tolist()
    assert torch.equal(fwad.unpack_dual(value).tangent != 0, value != 0)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any, times: float) -> Any:
        ctx.save_for_backward(a)
        ctx.save_for_forward(a)
        ctx.times = times
        return a * a * times


class SquareForward(Square):
    @staticmethod
    def jvp(ctx: Any, a: Any, times: None) -> Any:
        assert times is None
        return ctx.saved_tensors[0] * a * 2 * ctx.times


def test_functions_of_the_users(dual: Any) -> None:
    found = SquareForward.apply(dual, 3.0)
    assert found.tolist() == [3, 12, 27] and tangent(found) == [6, 6, 36]
    with pytest.raises(NotImplementedError, match="You must implement the jvp function for custom autograd.Function to use it with forward mode AD."):
        Square.apply(dual, 3.0)
    assert tangent(Square.apply(torch.ones(3), 3.0)) is None


def test_complex_numbers_and_their_parts() -> None:
    with fwad.dual_level():
        c = fwad.make_dual(torch.tensor([1 + 2j, 3 - 1j]), torch.tensor([1j, 1 + 0j]))
        assert tangent(c * c.conj()) == [4, 6] and tangent(c.real) == [0, 1] and tangent(torch.view_as_real(c)) == [[0, 1], [1, 0]]


def test_levels_end() -> None:
    with fwad.dual_level():
        x = fwad.make_dual(torch.ones(2), torch.ones(2))
        with pytest.raises(RuntimeError, match="Nested forward mode AD is not supported at the moment"):
            fwad.enter_dual_level()
    assert fwad.unpack_dual(x).tangent is None and repr(x) == "tensor([1., 1.])"
    with fwad.dual_level():
        assert fwad.unpack_dual(x * 2).tangent is None
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level"):
        fwad.make_dual(x, x)
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fwad.exit_dual_level()


def test_what_is_refused(dual: Any) -> None:
    x = torch.ones(3)
    for call, error, message in [
        (lambda: fwad.make_dual(torch.ones(3, dtype=torch.int64), x), ValueError, "Expected primal to be floating point or complex, but got: torch.int64"),
        (lambda: fwad.make_dual(x, torch.ones(3, dtype=torch.int64)), ValueError, "Expected tangent to be floating point or complex, but got: torch.int64"),
        (lambda: fwad.make_dual(x, x[:2]), RuntimeError, r"Tensor is of size \[3\] while the given forward gradient is of size \[2\]"),
        (lambda: fwad.make_dual(dual, x), RuntimeError, "already has a forward gradient at the same level 0"),
        (lambda: fwad.make_dual(x, dual), RuntimeError, "Setting a forward grad that itself has a forward gradient"),
        (lambda: fwad.unpack_dual(1), TypeError, r"_unpack_dual\(\): argument 'dual' \(position 1\) must be Tensor, not int"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_gradcheck_compares_tangents() -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([1 + 2j, 0.5j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(torch.sin, (x,), check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda a: a * a.conj(), (c,), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(torch.exp, (x,), check_fwd_over_rev=True)

    class Wrong(Square):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2 * ctx.saved_tensors[0], None

        @staticmethod
        def jvp(ctx: Any, a: Any, times: None) -> Any:
            return ctx.saved_tensors[0] * a * 3

    message = "Jacobian computed with forward mode mismatch for output 0 with respect to input 0,\nnumerical:tensor\\(\\[\\[2.0000, 0.0000\\]"
    with pytest.raises(torch.autograd.GradcheckError, match=message):
        torch.autograd.gradcheck(lambda a: Wrong.apply(a, 1.0), (x,), check_forward_ad=True)
    assert not torch.autograd.gradcheck(lambda a: Wrong.apply(a, 1.0), (x,), check_forward_ad=True, check_backward_ad=False, raise_exception=False)
