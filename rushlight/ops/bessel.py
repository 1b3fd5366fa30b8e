"""Bessel functions and the Airy function, by SciPy.

PyTorch gives a gradient for i0, i0e, i1 and i1e; the others count as constants in backward, and so they do here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .define import Function, kernel_for, unary
from .special import from_scipy, scipy_special


def _over_input(value: Any, input: Any) -> Any:
    """``value / input``, and its limit 1/2 at 0."""
    zero = input == 0
    return (value / input.masked_fill(zero, 1.0)).masked_fill(zero, 0.5)


i0 = unary(
    "i0", from_scipy("i0"),
    """The modified Bessel function of the first kind, of order 0.

    >>> torch.i0(torch.tensor([0., 1.]))
    tensor([1.0000, 1.2661])
    """,
    result=kernel_for("i0_vml_cpu", complex=False), grad=lambda g, input: g * i1(input),
)  # fmt: skip
i0e = unary(
    "i0e", from_scipy("i0e"),
    """``exp(-|input|) * i0(input)``.

    >>> torch.special.i0e(torch.tensor([0., 1.]))
    tensor([1.0000, 0.4658])
    """,
    result=kernel_for("i0e_cpu", complex=False), grad=lambda g, input, output: g * (i1e(input) - input.sgn() * output),
    node_name="SpecialI0EBackward0",
)  # fmt: skip
i1 = unary(
    "i1", from_scipy("i1"),
    """The modified Bessel function of the first kind, of order 1.

    >>> torch.special.i1(torch.tensor([0., 1.]))
    tensor([0.0000, 0.5652])
    """,
    result=kernel_for("i1_cpu", complex=False), grad=lambda g, input, output: g * (i0(input) - _over_input(output, input)),
    node_name="SpecialI1Backward0",
)  # fmt: skip
i1e = unary(
    "i1e", from_scipy("i1e"),
    """``exp(-|input|) * i1(input)``.

    >>> torch.special.i1e(torch.tensor([0., 1.]))
    tensor([0.0000, 0.2079])
    """,
    result=kernel_for("i1e_cpu", complex=False),
    grad=lambda g, input, output: g * (i0e(input) - input.sgn() * output - _over_input(output, input)),
    node_name="SpecialI1EBackward0",
)  # fmt: skip


def _constant(name: str, rule: Callable[..., Any], meaning: str, at_one: str) -> Function:
    """A function without gradient, for float32 and float64 alone."""
    return unary(
        name, rule,
        f"""{meaning}.

    >>> torch.special.{name}(torch.tensor([1.]))
    tensor([{at_one}])
    """,
        result=kernel_for(f"{name}_cpu", complex=False, half=False), differentiable=(),
    )  # fmt: skip


bessel_j0 = _constant("bessel_j0", from_scipy("j0"), "The Bessel function of the first kind, of order 0", "0.7652")
bessel_j1 = _constant("bessel_j1", from_scipy("j1"), "The Bessel function of the first kind, of order 1", "0.4401")
bessel_y0 = _constant("bessel_y0", from_scipy("y0"), "The Bessel function of the second kind, of order 0", "0.0883")
bessel_y1 = _constant("bessel_y1", from_scipy("y1"), "The Bessel function of the second kind, of order 1", "-0.7812")
modified_bessel_i0 = _constant("modified_bessel_i0", from_scipy("i0"), "The modified Bessel function of the first kind, of order 0", "1.2661")
modified_bessel_i1 = _constant("modified_bessel_i1", from_scipy("i1"), "The modified Bessel function of the first kind, of order 1", "0.5652")
modified_bessel_k0 = _constant("modified_bessel_k0", from_scipy("k0"), "The modified Bessel function of the second kind, of order 0", "0.4210")
modified_bessel_k1 = _constant("modified_bessel_k1", from_scipy("k1"), "The modified Bessel function of the second kind, of order 1", "0.6019")
scaled_modified_bessel_k0 = _constant("scaled_modified_bessel_k0", from_scipy("k0e"), "``exp(x)`` times the modified Bessel function of the second kind, of order 0", "1.1445")
scaled_modified_bessel_k1 = _constant("scaled_modified_bessel_k1", from_scipy("k1e"), "``exp(x)`` times the modified Bessel function of the second kind, of order 1", "1.6362")
spherical_bessel_j0 = _constant("spherical_bessel_j0", lambda x: np.where(np.isinf(x), x.dtype.type(0), np.sinc(x / x.dtype.type(np.pi))), "The spherical Bessel function of the first kind, of order 0", "0.8415")
airy_ai = _constant("airy_ai", lambda x: scipy_special("airy_ai").airy(x)[0], "The Airy function Ai", "0.1353")
