"""What is made of autograd: hooks on what is saved, anomaly detection, `gradcheck`, Jacobians, `torch.func`. Expected values and messages were recorded from PyTorch 2.13."""

from __future__ import annotations

import pytest
from autograd_cases import leaf, raises

import rushlight as torch
from rushlight.autograd import Function

# Hooks on what is saved, anomaly detection, the graph


def test_saved_tensor_hooks_see_and_replace_what_is_saved():
    x = leaf(1.0, 2.0)
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return t.detach().clone()

    def unpack(t):
        unpacked.append(t.tolist())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.exp() * x
    assert len(packed) == 3
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert len(unpacked) == 3
    (second,) = torch.autograd.grad(g.sum(), x)
    expected = (x + 2).exp() * (x + 2) / torch.tensor(2.0).exp()
    torch.testing.assert_close(second, expected.detach())


def test_saved_tensor_hooks_can_be_forbidden():
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        (leaf(1.0) * leaf(2.0)).backward()
        with raises("not here"), torch.autograd.graph.save_on_cpu():
            pass


def test_anomaly_detection():
    x = torch.zeros(1, requires_grad=True)
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        mode = torch.autograd.detect_anomaly()
    with mode:
        y = torch.sqrt(x * 0)
        with pytest.warns(UserWarning, match="Error detected in MulBackward0") as caught, raises("Function 'MulBackward0' returned nan values in its 0th output."):
            y.backward()
        assert "torch.sqrt(x * 0)" in str(caught[0].message)
    assert not torch.is_anomaly_enabled()


def test_gradient_edges_stand_for_tensors():
    x = leaf(1.0, 2.0)
    y = x * 3
    edge, edge_of_leaf = (torch.autograd.graph.get_gradient_edge(t) for t in (y, x))
    assert [g.tolist() for g in torch.autograd.grad((y * y).sum(), [edge, edge_of_leaf])] == [[6.0, 12.0], [18.0, 36.0]]
    torch.autograd.backward(torch.autograd.graph.get_gradient_edge((x * 2).sum()))
    assert x.grad.tolist() == [2.0, 2.0]


def test_inference_tensors():
    x = leaf(1.0, 2.0)
    with torch.inference_mode():
        v = torch.ones(2)
        assert not (x * 2).requires_grad
    assert v.is_inference()
    with raises("Inference tensors cannot be saved for backward."):
        x * v
    with raises("Inplace update to inference tensor outside InferenceMode is not allowed."):
        v.add_(1)
    with raises("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."):
        v.requires_grad_()
    (x * v.clone()).sum().backward()


def test_transforms_keep_inference_tensors():
    """They do not leave a transform's own graph; what leaves the transform cannot keep them still."""
    with torch.inference_mode():
        rows, factor = torch.ones(3, 2) * 2, torch.ones(2)
    ones = torch.ones(2)

    def over_rows(weight):
        return torch.func.vmap(lambda row: (row * weight).sum())(rows).sum()

    for weight in (ones, factor):
        assert torch.func.grad(over_rows)(weight).tolist() == [6.0, 6.0]
        assert torch.func.vmap(torch.func.grad(lambda w, row: (row * w).sum()), in_dims=(None, 0))(weight, rows).tolist() == rows.tolist()
    assert torch.func.jvp(lambda t: (t**3).sum(), (ones,), (factor,))[1].item() == 6.0
    assert torch.func.vjp(lambda t: t**3, ones)[1](factor)[0].tolist() == [3.0, 3.0]
    with raises("Inference tensors cannot be saved for backward."):
        torch.func.vmap(lambda row: row * leaf(1.0, 1.0))(rows)


def test_variable_is_the_old_name_of_tensor():
    v = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert isinstance(v, torch.autograd.Variable)
    assert isinstance(v, torch.Tensor)
    assert v.requires_grad


# gradcheck, functional, func


def test_gradcheck_finds_what_is_wrong():
    class Wrong(Function):
        factor, offset = 3.0, 0.0

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * Wrong.factor + Wrong.offset

    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    with raises("Jacobian mismatch for output 0 with respect to input 0,\nnumerical:", torch.autograd.GradcheckError):
        torch.autograd.gradcheck(Wrong.apply, (x,))
    assert not torch.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    assert not torch.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False, fast_mode=True)
    Wrong.factor, Wrong.offset = 2.0, 0.0
    assert torch.autograd.gradcheck(Wrong.apply, (x,), fast_mode=True)
    Wrong.offset = 1e-9
    with raises("backward not multiplied by grad_output", torch.autograd.GradcheckError):
        torch.autograd.gradcheck(Wrong.apply, (x,))
    with raises("gradcheck expects at least one input tensor to require gradient", ValueError):
        torch.autograd.gradcheck(torch.sin, (x.detach(),))


@pytest.mark.parametrize("function", [lambda a: a * a, lambda a: a.abs(), lambda a: a * a.conj(), lambda a: a.real, lambda a: a.exp()])
def test_gradcheck_of_complex_functions(function):
    z = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(function, (z,))
    assert torch.autograd.gradgradcheck(function, (z,))


def test_functional_products_agree_with_the_matrices():
    functional = torch.autograd.functional
    x = torch.tensor([1.0, 2.0, 3.0])
    v = torch.tensor([1.0, 0.5, -1.0])

    def f(t):
        return torch.stack((t.prod(), t.sum() ** 2))

    jacobian = functional.jacobian(f, x)
    assert jacobian.tolist() == [[6.0, 3.0, 2.0], [12.0, 12.0, 12.0]]
    torch.testing.assert_close(functional.jvp(f, x, v)[1], jacobian @ v)
    torch.testing.assert_close(functional.vjp(f, x, v[:2])[1], v[:2] @ jacobian)
    hessian = functional.hessian(torch.prod, x)
    assert hessian.tolist() == [[0.0, 3.0, 2.0], [3.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
    torch.testing.assert_close(functional.hvp(torch.prod, x, v)[1], hessian @ v)
    torch.testing.assert_close(functional.vhp(torch.prod, x, v)[1], v @ hessian)
    with raises("Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode."):
        functional.jacobian(lambda a, b: a * 2, (x, x), strict=True)
    with raises("The vector v can only be None if"):
        functional.vjp(lambda a: a * 2, x)


def test_func_transforms_nest():
    f = torch.func
    x = torch.tensor([1.0, 2.0])
    assert f.grad(f.grad(torch.sin))(torch.tensor(0.5)).item() == pytest.approx(-0.479425538)
    assert f.hessian(lambda t: (t**3).sum())(x).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    assert f.jvp(lambda t: t * t, (x,), (x,))[1].tolist() == [2.0, 8.0]
    assert torch.vmap(f.grad(lambda w, a: (w * a).sum() ** 2), in_dims=(None, 0))(x, torch.eye(2)).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    w = torch.tensor(2.0, requires_grad=True)
    outer = f.grad(lambda t: w * t * t)(torch.tensor(3.0))
    assert torch.autograd.grad(outer, w)[0].item() == 6.0
    assert not f.grad(lambda t: t * t)(torch.tensor(3.0)).requires_grad


def test_vmap_dims_and_errors():
    assert torch.vmap(lambda a, b: a + b, in_dims=(0, 1), out_dims=1)(torch.ones(2, 3), torch.zeros(3, 2)).shape == (3, 2)
    with raises("vmap: Expected all tensors to have the same size in the mapped dimension, got sizes [2, 3] for the mapped dimension", ValueError):
        torch.vmap(lambda a, b: a)(torch.ones(2), torch.ones(3))
    with raises("vmap: called random operation while in randomness error mode."):
        torch.vmap(lambda a: a + torch.randn(1))(torch.ones(2))
    same = torch.vmap(lambda a: torch.rand(1), randomness="same")(torch.ones(4))
    assert same.unique().numel() == 1


def test_transforms_refuse_inputs_that_can_have_no_gradient():
    n = torch.arange(3)
    for call in (lambda: torch.func.grad(lambda x: x.sum())(n), lambda: torch.func.jacrev(lambda x: x * 2)(n), lambda: torch.func.vjp(lambda x: x * 2, n)):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
            call()
    for call in (lambda: torch.func.jvp(lambda x: x * 2, (n,), (n,)), lambda: torch.func.hessian(lambda x: x.sum())(n)):
        with pytest.raises(ValueError, match="Expected primal to be floating point or complex, but got: torch.int64"):
            call()
    assert torch.func.grad(lambda x, k: (x * k).sum())(torch.ones(3), n).tolist() == [0.0, 1.0, 2.0]
