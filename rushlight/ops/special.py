"""Special functions: the error function's family, the gamma function's family, entropies.

The error function is ours (`erf.py`); the others are SciPy's, imported when one first runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..engine.lowering import Loop
from ..engine.terms import Unsupported
from ..storage import TensorBase
from .card import Pointwise, apply
from .define import alias, as_tensor_argument, binary, kernel_for, unary, write_out
from .erf import erf_array, erfc_array

if TYPE_CHECKING:
    from ..tensor import Tensor


def from_scipy(name: str) -> Callable[..., Any]:
    """The rule that calls this function of `scipy.special`."""

    def rule(*arrays: Any) -> Any:
        return getattr(scipy_special(name), name)(*arrays)

    return rule


def scipy_special(wanted: str) -> Any:
    """The module `scipy.special`, or an error that says how to get it for the function `wanted`."""
    try:
        import scipy.special
    except ImportError:
        raise ImportError(f"torch.special's {wanted} needs SciPy: pip install 'rushlight[scipy]' (or pip install scipy)", name="scipy") from None
    return scipy.special


# The error function's family

erf = unary(
    "erf", erf_array,
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t²)`` from 0 to `input`.

    >>> torch.erf(torch.tensor([0., 1.]))
    tensor([0.0000, 0.8427])
    """,
    result=kernel_for("erf_vml_cpu", complex=False), grad=lambda g, input: g * _gauss(input), onnx="Erf", lowering=Loop(lambda k, input: k.function("erf", input)),
)  # fmt: skip
erfc = unary(
    "erfc", erfc_array,
    """``1 - erf(input)``, exact where that would cancel.

    >>> torch.erfc(torch.tensor([0., 1.]))
    tensor([1.0000, 0.1573])
    """,
    result=kernel_for("erfc_vml_cpu", complex=False), grad=lambda g, input: -g * _gauss(input), lowering=Loop(lambda k, input: k.function("erfc", input)),
)  # fmt: skip


def _gauss(x: Tensor) -> Tensor:
    """The derivative of erf."""
    return (-x * x).exp() * (2 / math.sqrt(math.pi))


erfinv = unary(
    "erfinv", from_scipy("erfinv"),
    """The inverse of `erf`; infinite at -1 and 1, nan beyond.

    >>> torch.erfinv(torch.tensor([0., 0.5]))
    tensor([0.0000, 0.4769])
    """,
    result=kernel_for("erfinv_vml_cpu", complex=False), lowering=Loop(lambda k, input: k.function("erfinv", input)),
    grad=lambda g, output: g * (output * output).exp() * (math.sqrt(math.pi) / 2),
)  # fmt: skip
erfcx = unary(
    "erfcx", from_scipy("erfcx"),
    """``exp(input²) * erfc(input)``, without overflow.

    >>> torch.special.erfcx(torch.tensor([0., 10.]))
    tensor([1.0000, 0.0561])
    """,
    result=kernel_for("erfcx_cpu", complex=False, half=False),
    grad=lambda g, input, output: g * (2 * input * output - 2 / math.sqrt(math.pi)),
    node_name="SpecialErfcxBackward0",
)  # fmt: skip
ndtr = unary(
    "ndtr", lambda x: 0.5 * erfc_array(x * x.dtype.type(-math.sqrt(0.5))),
    """The probability that a standard normal number is below `input`.

    >>> torch.special.ndtr(torch.tensor([0., 1.96]))
    tensor([0.5000, 0.9750])
    """,
    result=kernel_for("erf_vml_cpu", complex=False), lowering=Loop(lambda k, input: k.function("erfc", input * -math.sqrt(0.5)) * 0.5),
    grad=lambda g, input: g * (-0.5 * input * input).exp() * (1 / math.sqrt(2 * math.pi)),
)  # fmt: skip
ndtri = unary(
    "ndtri", from_scipy("ndtri"),
    """The inverse of `ndtr`: the quantile of the standard normal distribution.

    >>> torch.special.ndtri(torch.tensor([0.5, 0.975]))
    tensor([0.0000, 1.9600])
    """,
    result=kernel_for("ndtri_cpu", complex=False, half=False),
    grad=lambda g, output: g * (0.5 * output * output).exp() * math.sqrt(2 * math.pi),
    node_name="SpecialNdtriBackward0",
)  # fmt: skip
log_ndtr = unary(
    "log_ndtr", from_scipy("log_ndtr"),
    """``log(ndtr(input))``, without underflow.

    >>> torch.special.log_ndtr(torch.tensor([0., -20.]))
    tensor([  -0.6931, -203.9172])
    """,
    result=kernel_for("log_ndtr_cpu", complex=False, half=False),
    grad=lambda g, input: g / erfcx(input * -math.sqrt(0.5)) * math.sqrt(2 / math.pi),
    node_name="SpecialLogNdtrBackward0",
)  # fmt: skip


# Entropies and logarithms


def _entr_rule(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, -x * np.log(x), np.where(x == 0, x.dtype.type(0), np.where(x < 0, x.dtype.type(-np.inf), x)))


def _entr_terms(k: Any, input: Any) -> Any:
    outside = k.select(k.compare("eq", input, 0), 0, k.select(input < 0, -math.inf, input))
    return k.select(input > 0, -input * k.log(input), outside)


entr = unary(
    "entr", _entr_rule,
    """``-input * log(input)``, 0 at 0 and -inf below.

    >>> torch.special.entr(torch.tensor([0., 0.5]))
    tensor([0.0000, 0.3466])
    """,
    result=kernel_for("entr_cpu", complex=False), lowering=Loop(_entr_terms), grad=lambda g, input: g * (-1 - input.log()),
    node_name="SpecialEntrBackward0",
)  # fmt: skip


def x_times(function: Any) -> Callable[[Any, Any], Any]:
    """The rule ``x * function(y)``, zero where x is zero unless y is nan."""

    def rule(x: Any, y: Any) -> Any:
        return np.where(np.isnan(y), np.nan, np.where(np.equal(x, 0), 0, x * function(y))).astype(np.result_type(x, y))

    return rule


def _zero_where(grad: Tensor, input: Any, below: Any) -> Tensor:
    """`grad`, but 0 where `input` is 0 and the second operand is `below` the domain of the logarithm."""
    return grad.masked_fill((input == 0) & below, 0.0) if isinstance(input, TensorBase) or isinstance(below, TensorBase) else grad


def _times_log_terms(k: Any, input: Any, other: Any, log: str) -> Any:
    return k.select(k.compare("ne", other, other), other, k.select(k.compare("eq", input, 0), 0, input * k.function(log, other)))


xlogy = binary(
    "xlogy", x_times(np.log),
    """``input * log(other)``, 0 where `input` is 0.

    >>> torch.xlogy(torch.tensor([0., 2.]), torch.tensor([0., 1.]))
    tensor([0., 0.])
    """,
    result=kernel_for("xlogy_cpu", complex=False), numbers="either", overloads="021",
    grad_input=lambda g, input, other: _zero_where(xlogy(g, other), input, other <= 0),
    grad_other=lambda g, input, other: g * input / other,
    lowering=Loop(lambda k, input, other: _times_log_terms(k, input, other, "log")),
)  # fmt: skip
xlog1py = binary(
    "xlog1py", x_times(np.log1p),
    """``input * log1p(other)``, 0 where `input` is 0.

    >>> torch.special.xlog1py(torch.tensor([0., 2.]), torch.tensor([-1., 0.]))
    tensor([0., 0.])
    """,
    result=kernel_for("xlog1py_cpu", complex=False), numbers="either", overloads="021",
    grad_input=lambda g, input, other: _zero_where(xlog1py(g, other), input, other <= -1),
    grad_other=lambda g, input, other: g * input / (other + 1),
    node_name="SpecialXlog1PyBackward0", lowering=Loop(lambda k, input, other: _times_log_terms(k, input, other, "log1p")),
)  # fmt: skip


# The gamma function's family

def _lgamma_rule(x: np.ndarray) -> np.ndarray:
    return np.where(np.isneginf(x), np.inf, from_scipy("gammaln")(x))


lgamma = unary(
    "lgamma", _lgamma_rule,
    """The logarithm of the absolute value of the gamma function.

    >>> torch.lgamma(torch.tensor([0.5, 1., 4.]))
    tensor([0.5724, 0.0000, 1.7918])
    """,
    result=kernel_for("lgamma_vml_cpu", complex=False), grad=lambda g, input: g * input.digamma(),
    lowering=Loop(lambda k, input: k.function("lgamma", input)),
)  # fmt: skip


def _digamma_rule(x: np.ndarray) -> np.ndarray:
    found = from_scipy("psi")(x)
    return np.where(x == 0, np.copysign(x.dtype.type(np.inf), -x), found)


digamma = unary(
    "digamma", _digamma_rule,
    """The derivative of `lgamma`.

    >>> torch.digamma(torch.tensor([1., 0.5]))
    tensor([-0.5772, -1.9635])
    """,
    result=kernel_for("digamma", complex=False), grad=lambda g, input: g * polygamma(1, input),
    lowering=Loop(lambda k, input: k.function("digamma", input)),
)  # fmt: skip


def _polygamma_rule(x: np.ndarray, n: int) -> np.ndarray:
    special = scipy_special("polygamma")
    if n == 1:
        # Reflected, as the zeta function of a negative number is not the trigamma function.
        below = x < 0.5
        pi = x.dtype.type(np.pi)
        zeta = special.zeta(x.dtype.type(2), np.where(below, 1 - x, x))
        return np.where(below, (pi / np.sin(pi * x)) ** 2 - zeta, zeta)
    sign = 1.0 if n % 2 else -1.0
    return sign * np.exp(special.gammaln(n + 1.0)) * special.zeta(n + 1.0, x.astype(np.float64))


def _polygamma_terms(k: Any, input: Any, n: int) -> Any:
    if n != 1:
        raise Unsupported("zeta functions")
    return k.function("trigamma", input)


_polygamma = Pointwise(
    "polygamma", "input",
    statics="n", lowering=Loop(_polygamma_terms),
    numpy=_polygamma_rule, result=kernel_for("polygamma", complex=False),
    grads={"input": lambda g, input, n: g * polygamma(n + 1, input)},
)  # fmt: skip


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative number `n` of `digamma`.

    >>> torch.polygamma(1, torch.tensor([1., 0.5]))
    tensor([1.6449, 4.9348])
    """
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    as_tensor_argument(input, "polygamma", "input", 2)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return digamma(input, out=out)
    found = apply(_polygamma, (input,), (n,))
    return found if out is None else write_out(out, found, input)


def tensor_polygamma(self: Tensor, n: int) -> Tensor:
    """The derivative number `n` of `digamma` (`torch.polygamma` with the operands in the method's order).

    >>> torch.tensor([1.0]).polygamma(1)
    tensor([1.6449])
    """
    return polygamma(n, self)


def _zeta_rule(x: Any, q: Any) -> Any:
    found = scipy_special("zeta").zeta(x, q)
    return np.where(np.equal(x, 1), np.inf, found)


zeta = binary(
    "zeta", _zeta_rule,
    """Hurwitz's zeta function: the sum over k >= 0 of ``(k + other) ** -input``.

    >>> torch.special.zeta(torch.tensor([2.]), 1)
    tensor([1.6449])
    """,
    result=kernel_for("zeta_cpu", complex=False, half=False), numbers="either", overloads="021",
    grad_other=lambda g, input, other: g * -input * zeta(input + 1, other),
    node_name="SpecialZetaBackward0",
)  # fmt: skip


def _igamma_slope(input: Any, other: Any) -> Any:
    """The derivative of the lower regularised incomplete gamma function by its second operand."""
    return ((input - 1) * other.log() - other - lgamma(input)).exp()


igamma = binary(
    "igamma", from_scipy("gammainc"),
    """The lower regularised incomplete gamma function of the shape `input` at `other`.

    >>> torch.igamma(torch.tensor([1.]), torch.tensor([2.]))
    tensor([0.8647])
    """,
    result=kernel_for("igamma_cpu", bools="none", integers="none", complex=False), numbers="none",
    grad_other=lambda g, input, other: g * _igamma_slope(input, other),
)  # fmt: skip
igammac = binary(
    "igammac", from_scipy("gammaincc"),
    """The upper regularised incomplete gamma function: ``1 - igamma(input, other)``.

    >>> torch.igammac(torch.tensor([1.]), torch.tensor([2.]))
    tensor([0.1353])
    """,
    result=kernel_for("igammac_cpu", bools="none", integers="none", complex=False), numbers="none",
    grad_other=lambda g, input, other: -g * _igamma_slope(input, other),
)  # fmt: skip


def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`.

    >>> torch.mvlgamma(torch.tensor([3.]), 2)
    tensor([1.5502])
    """
    as_tensor_argument(input, "mvlgamma")
    if input._layout.dtype is dt.bool_:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input._layout.dtype.category == dt.COMPLEX:
        raise NotImplementedError(f"\"lgamma_vml_cpu\" not implemented for '{input._layout.dtype.type_name}'")
    from .creation import arange

    floating = input if input._layout.dtype.category == dt.FLOAT else input.to(dt.get_default_dtype())
    shifts = arange(0, p, dtype=floating.dtype) * -0.5
    found = lgamma(floating.unsqueeze(-1) + shifts).sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
    return found if out is None else write_out(out, found, input)


gammaln, psi, gammainc, gammaincc, multigammaln = alias(lgamma, "gammaln"), alias(digamma, "psi"), alias(igamma, "gammainc"), alias(igammac, "gammaincc"), alias(mvlgamma, "multigammaln")
