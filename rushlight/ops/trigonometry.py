"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..engine.lowering import Loop
from .card import Pointwise, apply
from .define import alias, binary, kernel_for, unary

if TYPE_CHECKING:
    from ..tensor import Tensor


def _example(name: str, at: float, value: str) -> str:
    return f""">>> torch.{name}(torch.tensor([{at}]))
    tensor([{value}])
    """


def _acosh_slope(x: Tensor) -> Tensor:
    if not x.is_complex():
        return (x * x - 1).rsqrt()
    return ((x - 1).rsqrt() * (x + 1).rsqrt()).conj()


_tanh_backward = Pointwise(
    "tanh_backward", "grad_output output",
    outputs="grad_input",
    numpy=lambda grad_output, output: grad_output * (1 - output * output).conj(),
    lowering=Loop(lambda k, grad_output, output: grad_output * (1 - output * output)),
    grads={
        "grad_output": lambda g, output: apply(_tanh_backward, (g, output.conj())),
        "output": lambda g, grad_output, output: g.conj() * grad_output * (-2 * output.conj()),
    },
)  # fmt: skip

sin = unary("sin", np.sin, "The sine.\n\n    " + _example("sin", 0.5, "0.4794"), result="float", grad=lambda g, input: g * input.cos().conj(), lowering=Loop(lambda k, input: k.function("sin", input)))
cos = unary("cos", np.cos, "The cosine.\n\n    " + _example("cos", 0.5, "0.8776"), result="float", grad=lambda g, input: -g * input.sin().conj(), lowering=Loop(lambda k, input: k.function("cos", input)))
tan = unary("tan", np.tan, "The tangent.\n\n    " + _example("tan", 0.5, "0.5463"), result="float", grad=lambda g, output: g * (1 + output * output).conj(), lowering=Loop(lambda k, input: k.function("tan", input)))
asin = unary("asin", np.arcsin, "The arcsine; nan outside -1..1.\n\n    " + _example("asin", 0.5, "0.5236"), result="float", grad=lambda g, input: g * ((1 - input * input).rsqrt()).conj(), lowering=Loop(lambda k, input: k.function("asin", input)))
acos = unary("acos", np.arccos, "The arccosine; nan outside -1..1.\n\n    " + _example("acos", 0.5, "1.0472"), result="float", grad=lambda g, input: -g * ((1 - input * input).rsqrt()).conj(), lowering=Loop(lambda k, input: k.function("acos", input)))
atan = unary("atan", np.arctan, "The arctangent.\n\n    " + _example("atan", 0.5, "0.4636"), result="float", grad=lambda g, input: g / (input * input + 1).conj(), lowering=Loop(lambda k, input: k.function("atan", input)))
sinh = unary("sinh", np.sinh, "The hyperbolic sine.\n\n    " + _example("sinh", 0.5, "0.5211"), result="float", grad=lambda g, input: g * input.cosh().conj(), lowering=Loop(lambda k, input: k.function("sinh", input)))
cosh = unary("cosh", np.cosh, "The hyperbolic cosine.\n\n    " + _example("cosh", 0.5, "1.1276"), result="float", grad=lambda g, input: g * input.sinh().conj(), lowering=Loop(lambda k, input: k.function("cosh", input)))
tanh = unary("tanh", np.tanh, "The hyperbolic tangent.\n\n    " + _example("tanh", 0.5, "0.4621"), result="float", grad=lambda g, output: apply(_tanh_backward, (g, output)), onnx="Tanh", lowering=Loop(lambda k, input: k.function("tanh", input)))
asinh = unary("asinh", np.arcsinh, "The inverse hyperbolic sine.\n\n    " + _example("asinh", 0.5, "0.4812"), result="float", grad=lambda g, input: g * ((input * input + 1).rsqrt()).conj(), lowering=Loop(lambda k, input: k.function("asinh", input)))
acosh = unary("acosh", np.arccosh, "The inverse hyperbolic cosine; nan below 1.\n\n    " + _example("acosh", 1.5, "0.9624"), result="float", grad=lambda g, input: g * _acosh_slope(input), lowering=Loop(lambda k, input: k.function("acosh", input)))
atanh = unary("atanh", np.arctanh, "The inverse hyperbolic tangent; nan outside -1..1.\n\n    " + _example("atanh", 0.5, "0.5493"), result="float", grad=lambda g, input: g / (1 - input * input).conj(), lowering=Loop(lambda k, input: k.function("atanh", input)))

atan2 = binary(
    "atan2", np.arctan2,
    """The angle of the point (`other`, `input`), between -pi and pi.

    >>> torch.atan2(torch.tensor([1.]), torch.tensor([-1.]))
    tensor([2.3562])
    """,
    result=kernel_for("atan2_cpu", complex=False), numbers="none",
    grad_input=lambda g, input, other: g * _over_square(other, input, other),
    grad_other=lambda g, input, other: -g * _over_square(input, input, other),
    lowering=Loop(lambda k, input, other: k.function("atan2", input, other)),
)  # fmt: skip


def _over_square(numerator: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``numerator / (a² + b²)``, zero at the origin."""
    square = a * a + b * b
    return (numerator / square).masked_fill(square == 0, 0)

arcsin, arccos, arctan = alias(asin, "arcsin"), alias(acos, "arccos"), alias(atan, "arctan")
arcsinh, arccosh, arctanh = alias(asinh, "arcsinh"), alias(acosh, "arccosh"), alias(atanh, "arctanh")
arctan2 = alias(atan2, "arctan2")
