"""Random tensors: new ones, and draws whose parameters are tensors.

What is new is an empty tensor filled in place (`random_fill.py`). Gradients are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import draws, dtypes as dt
from ..memory_formats import contiguous_format
from ..random import Generator
from ..shape import Layout, broadcast_shapes, contiguous
from ..storage import TensorBase
from .card import Card, apply, write_into
from .creation import dtype_argument, empty, empty_like, zeros_like
from .define import as_leaf, as_tensor_argument, resize, write_out
from .random_fill import (
    BARE_UNSIGNED,
    COMPLEX,
    INTEGERS,
    REAL,
    bernoulli_,
    check_std,
    checked,
    fill_card,
    generator_argument,
    integer_argument,
    normal_,
    normal_rule,
    random_,
    require_dtype,
    uniform_,
    zero_gradient,
)  # fmt: skip

if TYPE_CHECKING:
    from ..tensor import Tensor


def _created(size: tuple[Any, ...], named_size: Any, function: str, out: Tensor | None, dtype: Any, device: Any) -> Tensor:
    """The tensor to fill: `out` resized, or a new one."""
    if named_size is not None:
        size = (named_size,)
    if not size:
        raise TypeError(f"{function}() received an invalid combination of arguments - got (), but expected a tuple of ints size")
    sizes = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    for n in sizes:
        if isinstance(n, float):
            raise TypeError(f"{function}(): argument 'size' (position 1) must be tuple of ints, not {type(size[0]).__name__}")
    if out is None:
        return empty(*size, dtype=dtype, device=device)
    dtype_argument(dtype, function, out)
    shape = empty(*size, dtype=dt.bool_, device="meta")._layout.shape
    if out._layout.shape != shape:
        resize(out, shape)
    return out


def rand(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    found = uniform_(_created(size, _size_argument(named, "rand"), "rand", out, dtype, device), generator=generator)
    return as_leaf(found, requires_grad)


def randn(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Tensor:
    """Standard normal numbers.

    >>> _ = torch.manual_seed(0)
    >>> torch.randn(2)
    tensor([ 1.5410, -0.2934])
    """
    found = normal_(_created(size, _size_argument(named, "randn"), "randn", out, dtype, device), generator=generator)
    return as_leaf(found, requires_grad)


def _size_argument(named: dict[str, Any], function: str) -> Any:
    size = named.pop("size", None)
    if named:
        raise TypeError(f"{function}() got an unexpected keyword argument '{next(iter(named))}'")
    return size


def randint(*args: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers in [low, high), with `low` 0 by default.

    >>> _ = torch.manual_seed(0)
    >>> torch.randint(10, (3,))
    tensor([4, 9, 3])
    """
    low, high, size = _randint_arguments(args, named)
    found = _created((size,), None, "randint", out, dt.int64 if dtype is None and out is None else dtype, device)
    random_(found, low, high, generator=generator)
    return as_leaf(found, requires_grad)


def _randint_arguments(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, int, Sequence[int]]:
    given = list(args)
    position = len(given)
    if "size" in named:
        size, position = named.pop("size"), position + 1
    elif given:
        size = given.pop()
    else:
        raise TypeError("randint() missing required argument 'size'")
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' (position {position}) must be tuple of ints, not {type(size).__name__}")
    names = ["low", "high"] if len(given) == 2 or "high" in named else ["high"]
    bounds = dict(zip(names, given, strict=False)) | named
    if "high" not in bounds or len(bounds) > 2 or bounds.keys() - {"low", "high"}:
        raise TypeError("randint() received an invalid combination of arguments, expected (int high, tuple of ints size) or (int low, int high, tuple of ints size)")
    high = integer_argument(bounds["high"], "randint", "high", len(names))
    return integer_argument(bounds.get("low", 0), "randint", "low", 1), high, size


def rand_like(input: Tensor, *, generator: Generator | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Uniform numbers in [0, 1) with the shape and dtype of `input`.

    >>> torch.rand_like(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    found = uniform_(empty_like(input, dtype=dtype, device=device, memory_format=memory_format), generator=generator)
    return as_leaf(found, requires_grad)


def randn_like(input: Tensor, *, generator: Generator | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Standard normal numbers with the shape and dtype of `input`.

    >>> torch.randn_like(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    found = normal_(empty_like(input, dtype=dtype, device=device, memory_format=memory_format), generator=generator)
    return as_leaf(found, requires_grad)


def randint_like(input: Tensor, low: Any = None, high: Any = None, *, generator: Generator | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """``randint_like(input, high)`` or ``randint_like(input, low, high)``: integers with the shape and dtype of `input`.

    >>> torch.randint_like(torch.zeros(2), 1)
    tensor([0., 0.])
    """
    if high is None:
        low, high = 0, low
    low, high = integer_argument(0 if low is None else low, "randint_like", "low", 2), integer_argument(high, "randint_like", "high", 2)
    found = random_(empty_like(input, dtype=dtype, device=device, memory_format=memory_format), low, high, generator=generator)
    return as_leaf(found, requires_grad)


_randperm = fill_card("randperm", "", lambda generator, numel, dtype: draws.randperm(generator, numel).astype(dt.BY_NAME[dtype].numpy))


def randperm(n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: dt.dtype | None = dt.int64, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A random permutation of the integers from 0 to n - 1.

    >>> _ = torch.manual_seed(0)
    >>> torch.randperm(4)
    tensor([0, 1, 3, 2])
    """
    n = integer_argument(n, "randperm", "n", 1)
    found = _created((n,), None, "randperm", out, dtype, device)
    kind = found._layout.dtype
    require_dtype(kind, REAL | INTEGERS | BARE_UNSIGNED, "randperm")
    if kind in REAL:
        most = 2 ** draws.DIGITS[kind.name] + 1
        if n > most:
            raise RuntimeError(f"n cannot be greater than {most} for {kind.type_name} type.")
    elif n > int(np.iinfo(kind.numpy).max):
        raise RuntimeError(f"value cannot be converted to type {kind.name}_t without overflow")
    write_into(_randperm, found, (found, generator_argument(generator, "randperm")))
    return as_leaf(found, requires_grad)


# Draws with parameters from tensors


def _infer_normal(mean: Any, std: Any, generator: Generator) -> Layout:
    given = [t for t in (mean, std) if isinstance(t, Layout)]
    return contiguous(broadcast_shapes(*(t.shape for t in given)), given[0].dtype)


def _normal_of_rule(mean: Any, std: Any, generator: Generator) -> np.ndarray:
    """Standard normals times `std` plus `mean`, each step rounded to the dtype of the result."""
    kind = mean.dtype if isinstance(mean, np.ndarray) else std.dtype
    dtype = dt.BY_NUMPY[kind]
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    scale = std if isinstance(std, float) else 1.0
    values = normal_rule(np.empty(shape, kind), 0.0, scale, generator)
    if isinstance(std, np.ndarray):
        if std.size and not std.min() >= 0:
            raise RuntimeError("normal expects all elements of std >= 0.0")
        values = (_wide(values, dtype) * _operand(std, dtype)).astype(kind)
    return (_wide(values, dtype) + _operand(mean, dtype)).astype(kind)


def _wide(values: np.ndarray, dtype: dt.dtype) -> np.ndarray:
    return values.astype(np.float32) if dtype in dt.LOW_PRECISION else values


def _operand(value: Any, dtype: dt.dtype) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return value if value.dtype == np.float64 or dtype.is_complex else value.astype(np.float32 if dtype in dt.LOW_PRECISION else dtype.numpy)


def _nothing(g: Tensor, like: Layout) -> Tensor:
    return zeros_like(g).sum_to_size(like.shape)


def _normal_card(kinds: str, node_name: str) -> Card:
    grads = {"mean": lambda g, layouts: _nothing(g, layouts[0]), "std": lambda g, layouts: _nothing(g, layouts[1])}
    return Card(
        f"normal_of_{kinds}", "mean std generator", infer=_infer_normal, numpy=_normal_of_rule, grads=grads, node_name=node_name
    )  # fmt: skip


#: By whether the mean and the standard deviation are tensors.
_NORMAL_OF = {
    (True, False): _normal_card("tensor_float", "NormalBackward1"),
    (False, True): _normal_card("float_tensor", "NormalBackward2"),
    (True, True): _normal_card("tensor_tensor", "NormalBackward3"),
}


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None, dtype: dt.dtype | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """Normal numbers whose mean and standard deviation are tensors (or one a number), or numbers with a `size`.

    >>> torch.normal(torch.tensor([1., 2.]), 0.0)
    tensor([1., 2.])
    """
    chosen = generator_argument(generator, "normal")
    if size is not None:
        found = normal_(_created((size,), None, "normal", out, dtype, device), mean, std, generator=chosen)
        return as_leaf(found, requires_grad)
    if not isinstance(mean, TensorBase) and not isinstance(std, TensorBase):
        raise TypeError(
            f"normal() received an invalid combination of arguments - got ({type(mean).__name__}, {type(std).__name__}), "
            "but expected a Tensor mean, a Tensor std, or a tuple of ints size"
        )
    if isinstance(std, TensorBase):
        if std._layout.dtype.is_complex:
            raise RuntimeError("normal expects standard deviation to be non-complex")
    else:
        std = float(std)
        check_std(std)
    if not isinstance(mean, TensorBase):
        mean = float(mean)
    require_dtype((mean if isinstance(mean, TensorBase) else std)._layout.dtype, REAL | COMPLEX, "normal_kernel_cpu")
    card = _NORMAL_OF[isinstance(mean, TensorBase), isinstance(std, TensorBase)]
    found = checked(apply(card, (mean, std, chosen)))
    return found if out is None else write_out(out, found)


_bernoulli = Card(
    "bernoulli", "input generator", infer=lambda input, generator: contiguous(input.shape, input.dtype),
    numpy=lambda input, generator: draws.bernoulli_each(generator, input.ravel(), dt.BY_NUMPY[input.dtype].name).reshape(input.shape),
    grads={"input": zero_gradient},
)  # fmt: skip


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """Ones with the probability that `input` holds at each place, or with probability `p` everywhere.

    >>> torch.bernoulli(torch.tensor([0., 1.]))
    tensor([0., 1.])
    """
    as_tensor_argument(input, "bernoulli")
    if p is not None:
        found = bernoulli_(empty_like(input, memory_format=contiguous_format), p, generator=generator)
    else:
        require_dtype(input._layout.dtype, REAL, "bernoulli_tensor_cpu_p_")
        found = checked(apply(_bernoulli, (input, generator_argument(generator, "bernoulli"))))
    return found if out is None else write_out(out, found)


def _flat(draw: Callable[[Generator, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, Generator], np.ndarray]:
    return lambda input, generator: draw(generator, input.ravel()).reshape(input.shape)


def _like(input: Layout, *_: Any) -> Layout:
    return contiguous(input.shape, input.dtype)


_poisson = Card("poisson", "input generator", infer=_like, numpy=_flat(draws.poisson), grads={"input": zero_gradient})
def _gamma_derivative_rule(input: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """How `sample`, a quantile of the gamma distribution, moves with the shape `input`: a central difference."""
    try:
        from scipy import special
    except ImportError:
        raise ImportError("the gradient of a gamma sample needs SciPy: pip install 'rushlight[scipy]' (or pip install scipy)") from None
    shape, value = input.astype(np.float64), sample.astype(np.float64)
    below, above = special.gammainc(shape, value), special.gammaincc(shape, value)
    step = 1e-4 * np.minimum(shape, np.sqrt(shape))

    def quantile(shape: np.ndarray) -> np.ndarray:
        return np.where(below < 0.5, special.gammaincinv(shape, below), special.gammainccinv(shape, above))

    return (quantile(shape + step) - quantile(shape - step)) / (2 * step)


_gamma_derivative = Card(
    "standard_gamma_grad", "input sample", infer=_like, numpy=_gamma_derivative_rule,
    no_grad_reason="the second derivative of a gamma sample is not implemented",
)  # fmt: skip
_standard_gamma = Card(
    "standard_gamma", "input generator", infer=_like, numpy=_flat(draws.gamma),
    grads={"input": lambda g, input, output: g * apply(_gamma_derivative, (input, output))},
)  # fmt: skip

def _dirichlet_derivative_rule(concentration: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """How each part of a `sample`, a quantile of a beta distribution, moves with its own concentration, over what is
    left of the whole: a central difference.
    """
    try:
        from scipy import special
    except ImportError:
        raise ImportError("the gradient of a Dirichlet sample needs SciPy: pip install 'rushlight[scipy]' (or pip install scipy)") from None
    own, value = concentration.astype(np.float64), sample.astype(np.float64)
    others = own.sum(-1, keepdims=True) - own
    below, above = special.betainc(own, others, value), special.betaincc(own, others, value)
    step = 1e-4 * np.minimum(own, np.sqrt(own))

    def quantile(own: np.ndarray) -> np.ndarray:
        return np.where(below < 0.5, special.betaincinv(own, others, below), special.betainccinv(own, others, above))

    rest = np.maximum(1 - value, np.finfo(sample.dtype).tiny)
    return (quantile(own + step) - quantile(own - step)) / (2 * step) / rest


def _dirichlet_gradient(g: Tensor, input: Tensor, output: Tensor) -> Tensor:
    return apply(_dirichlet_derivative, (input, output)) * (g - (output * g).sum(-1, True))


_dirichlet_derivative = Card(
    "dirichlet_grad", "concentration sample", infer=_like, numpy=_dirichlet_derivative_rule,
    no_grad_reason="the second derivative of a Dirichlet sample is not implemented",
)  # fmt: skip
_sample_dirichlet = Card(
    "sample_dirichlet", "input generator", infer=_like, numpy=lambda input, generator: draws.dirichlet(generator, input),
    grads={"input": _dirichlet_gradient},
)  # fmt: skip


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson counts with the rates that `input` holds.

    >>> torch.poisson(torch.zeros(2))
    tensor([0., 0.])
    """
    as_tensor_argument(input, "poisson")
    require_dtype(input._layout.dtype, REAL, "poisson_cpu")
    return checked(apply(_poisson, (input, generator_argument(generator, "poisson"))))


def standard_gamma(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Samples of the gamma distribution with the shapes that `input` holds and scale 1 (``torch._standard_gamma``)."""
    require_dtype(input._layout.dtype, frozenset((dt.float32, dt.float64)), "gamma_cpu")
    return apply(_standard_gamma, (input, generator_argument(generator, "_standard_gamma")))


def sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Samples of the Dirichlet distribution for each row of `input` (``torch._sample_dirichlet``)."""
    require_dtype(input._layout.dtype, frozenset((dt.float32, dt.float64)), "dirichlet")
    return apply(_sample_dirichlet, (input, generator_argument(generator, "_sample_dirichlet")))


def _binomial_rule(count: np.ndarray, prob: np.ndarray, generator: Generator) -> np.ndarray:
    count, prob = np.broadcast_arrays(count, prob)
    return draws.binomial(generator, count.ravel(), prob.ravel()).reshape(count.shape)


_binomial = Card(
    "binomial", "count prob generator", numpy=_binomial_rule,
    infer=lambda count, prob, generator: contiguous(broadcast_shapes(count.shape, prob.shape), count.dtype),
    no_grad_reason="derivative for aten::binomial is not implemented",
)  # fmt: skip


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` trials succeed, each with probability `prob`; both broadcast.

    >>> torch.binomial(torch.tensor([3., 4.]), torch.tensor(1.))
    tensor([3., 4.])
    """
    expected, other = count._layout.dtype, prob._layout.dtype
    for name, dtype in (("count", expected), ("prob", other)):
        if not dtype.is_floating_point:
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {dtype.type_name}")
    if other is not expected:
        raise RuntimeError(f"Found dtype {other.type_name} but expected {expected.type_name}")
    require_dtype(expected, frozenset((dt.float32, dt.float64)), "binomial_cpu")
    return apply(_binomial, (count, prob, generator_argument(generator, "binomial")))


def _multinomial_rule(input: np.ndarray, generator: Generator, *, num_samples: int, replacement: bool) -> np.ndarray:
    rows = input[None] if input.ndim == 1 else input
    return draws.multinomial(generator, rows, num_samples, replacement).reshape(*input.shape[:-1], num_samples)


_multinomial = Card(
    "multinomial", "input generator", statics="num_samples replacement", numpy=_multinomial_rule,
    infer=lambda input, generator, num_samples, replacement: contiguous((*input.shape[:-1], num_samples), dt.int64),
)  # fmt: skip


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """`num_samples` indices for each row of `input`, whose values are weights (a vector, or a matrix of rows).

    >>> torch.multinomial(torch.tensor([0., 1., 0.]), 4, replacement=True)
    tensor([1, 1, 1, 1])
    """
    as_tensor_argument(input, "multinomial")
    if isinstance(num_samples, float):
        raise TypeError("multinomial(): argument 'num_samples' (position 2) must be int, not float")
    shape, dtype = input._layout.shape, input._layout.dtype
    if len(shape) not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {dtype.type_name}")
    if out is not None and out._layout.dtype is not dt.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out._layout.dtype.type_name}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if len(shape) == 2 and not shape[0]:
        found = empty(0, num_samples, dtype=dt.int64)
    else:
        found = checked(apply(_multinomial, (input, generator_argument(generator, "multinomial")), (int(num_samples), bool(replacement))))
    return found if out is None else write_out(out, found)
