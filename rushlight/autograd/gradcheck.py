"""Checks of gradients against finite differences, `torch.autograd.gradcheck` and `gradgradcheck`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt, ops
from ..graph import Node, edge_of, requires_grad, set_history
from ..storage import TensorBase
from . import forward_ad
from .backward_pass import grad

if TYPE_CHECKING:
    from ..tensor import Tensor


class GradcheckError(RuntimeError):
    """A gradient is not what finite differences say.

    >>> issubclass(torch.autograd.GradcheckError, RuntimeError)
    True
    """


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of `func` at `inputs` (in float64) are what finite differences say.

    A mismatch raises GradcheckError, or gives False if `raise_exception` is. `fast_mode` compares one random
    projection of the Jacobian. With `check_forward_ad` tangents are compared as well.

    >>> x = torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, (x,))
    True
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    given = _as_tuple(inputs)
    try:
        _check_inputs(given)
        if check_backward_ad:
            _check(func, given, eps, atol, rtol, nondet_tol, check_undefined_grad, check_grad_dtypes, check_batched_grad, fast_mode)
        if check_forward_ad:
            _for_parts(func, given, lambda part, prefix: _compare_tangents(part, given, eps, atol, rtol, prefix))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether the second derivatives of `func` are right: `gradcheck` of its gradients.

    They depend on `inputs` and on `grad_outputs`, which are random numbers unless given.

    >>> x = torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradgradcheck(torch.exp, (x,))
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    given = _as_tuple(inputs)
    if grad_outputs is None:
        weights = tuple(_random_gradient(out, gen_non_contig_grad_outputs) for out in _differentiable(func(*given)))
    else:
        weights = _as_tuple(grad_outputs)
    needed = [isinstance(t, TensorBase) and requires_grad(t) for t in given]

    def gradient(*args: Any) -> tuple[Tensor, ...]:
        values, grads = args[: len(given)], args[len(given) :]
        wanted = [t for t, need in zip(values, needed, strict=True) if need]
        found = grad(_differentiable(func(*values)), wanted, grads, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradient,
        given + weights,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_gradient(output: Tensor, noncontiguous: bool) -> Tensor:
    shape = tuple(output.shape)
    if noncontiguous and shape:
        found = ops.rand((*shape, 2), dtype=output.dtype)[..., 0] * 2 - 1
        return ops.stack((found, found), -1)[..., 0].detach().requires_grad_()
    return (ops.rand(shape, dtype=output.dtype) * 2 - 1).requires_grad_()


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(o for o in _as_tuple(outputs) if o.requires_grad)


def _wanted(inputs: Sequence[Any]) -> list[Tensor]:
    return [t for t in inputs if isinstance(t, TensorBase) and t.requires_grad]  # type: ignore[attr-defined,misc]


def _check(func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, nondet_tol: float, undefined: bool, dtypes: bool, batched: bool, fast: bool) -> None:
    outputs = _as_tuple(func(*inputs))
    compare = _compare_projections if fast and not _any_complex(inputs + outputs) else _compare_jacobians
    _for_parts(func, inputs, lambda part, prefix: compare(part, inputs, eps, atol, rtol, nondet_tol, dtypes, prefix))
    found = _differentiable(func(*inputs))
    if not found:
        return
    if batched:
        _check_batched(found, inputs)
    _check_linear(found, inputs)
    if undefined:
        _check_undefined(func, inputs)


def _for_parts(func: Callable[..., Any], inputs: tuple[Any, ...], check: Callable[[Callable[..., Any], str], None]) -> None:
    """Check a function, or the imaginary and the real parts of one with complex outputs, each with what messages begin with."""
    if any(o.is_complex() for o in _as_tuple(func(*inputs)) if o.requires_grad):
        for part, name in ((ops.imag, "imaginary"), (ops.real, "real")):
            check(_part_of(func, part), f"While considering the {name} part of complex outputs only, ")
    else:
        check(func, "")


def _any_complex(values: tuple[Any, ...]) -> bool:
    return any(isinstance(t, TensorBase) and t._layout.dtype.is_complex for t in values)


def _part_of(func: Callable[..., Any], part: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda *args: tuple(part(o) if o.is_complex() else o for o in _as_tuple(func(*args)))


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    if not _wanted(inputs):
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.")
    for n, t in enumerate(inputs):
        if not isinstance(t, TensorBase) or not t.requires_grad:  # type: ignore[attr-defined]
            continue
        here = t._layout
        if here.dtype not in (dt.float64, dt.complex128):
            warnings.warn(
                f"Input #{n} requires gradient and is not a double precision floating point or complex. "
                "This check will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(here.stride, here.shape, strict=True)):
            raise RuntimeError(
                f"The {n}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to be able to "
                "compute the numerical gradients correctly. You should call .contiguous on the input before passing it to gradcheck."
            )


def _values(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    """The floating-point outputs, as fresh flat tensors."""
    return [o.detach().reshape(-1).clone() for o in _as_tuple(func(*inputs)) if o.is_floating_point() or o.is_complex()]


def _slope(func: Callable[..., Any], inputs: tuple[Any, ...], change: Callable[[float], None], eps: float) -> list[Tensor]:
    """The derivative of the outputs along a change of an input."""
    change(eps)
    after = _values(func, inputs)
    change(-eps)
    before = _values(func, inputs)
    change(0.0)
    return [(a - b) / (2 * eps) for a, b in zip(after, before, strict=True)]


def _numerical(func: Callable[..., Any], inputs: tuple[Any, ...], input: Tensor, eps: float) -> list[Tensor]:
    """For each output the Jacobian by finite differences, one row per element of `input`."""
    data = input.data  # the user's tensor is changed in place: `func` may reach it by another way too
    rows: list[list[Tensor]] = []
    for index in itertools.product(*(range(n) for n in input.shape)):
        original = data[index].clone()

        def change(step: float, along: complex = 1.0, index: Any = index, original: Tensor = original) -> None:
            data[index] = original + step * along

        row = _slope(func, inputs, change, eps)
        if input.is_complex():
            imaginary = _slope(func, inputs, lambda step: change(step, 1j), eps)  # noqa: B023
            row = [ops.complex(real, slope) for real, slope in zip(row, imaginary, strict=True)]
        rows.append(row)
    outputs = _values(func, inputs)
    return [ops.stack([row[n] for row in rows]) if rows else ops.zeros((0, out.numel()), dtype=out.dtype) for n, out in enumerate(outputs)]


def _analytical(output: Tensor, inputs: list[Tensor], dtypes: bool) -> list[Tensor]:
    """For each input the Jacobian by backward passes, one row per element of the input."""
    columns: list[list[Tensor]] = [[] for _ in inputs]
    for element in range(output.numel()):
        weight = ops.zeros(output.numel(), dtype=output.dtype)
        weight[element] = 1
        grads = grad(output, inputs, weight.view(output.shape), retain_graph=True, allow_unused=True)
        for column, g, t in zip(columns, grads, inputs, strict=True):
            if g is None:
                g = ops.zeros_like(t)
            elif g.shape != t.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            elif dtypes and g.dtype is not t.dtype:
                raise GradcheckError("Gradient has dtype mismatch")
            column.append(g.detach().reshape(-1))
    return [ops.stack(column, 1) if column else ops.zeros((t.numel(), 0), dtype=t.dtype) for column, t in zip(columns, inputs, strict=True)]


def _close(a: Tensor, b: Tensor, rtol: float, atol: float) -> bool:
    common = dt.promote(a.dtype, b.dtype)
    return bool(ops.allclose(a.to(common), b.to(common), rtol, atol))


def _mismatch(prefix: str, output: int, input: int, numerical: Tensor, analytical: Tensor) -> GradcheckError:
    return GradcheckError(f"{prefix}Jacobian mismatch for output {output} with respect to input {input},\nnumerical:{numerical}\nanalytical:{analytical}\n")


def _compare_jacobians(func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, nondet_tol: float, dtypes: bool, prefix: str) -> None:
    wanted = _wanted(inputs)
    outputs = [o for o in _as_tuple(func(*inputs)) if o.is_floating_point() or o.is_complex()]
    numerical = [_numerical(func, inputs, t, eps) for t in wanted]
    if not any(o.requires_grad for o in outputs):
        if any(bool((j != 0).any()) for per_input in numerical for j in per_input):
            raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    for position, output in enumerate(outputs):
        if not output.requires_grad:
            continue
        number = sum(o.requires_grad for o in outputs[:position])
        analytical, again = (_analytical(output, wanted, dtypes) for _ in range(2))
        if any(a.numel() and bool((a - b).abs().max() > nondet_tol) for a, b in zip(analytical, again, strict=True)):
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different values, "
                f"although analytical gradient matches numerical gradient.The tolerance for nondeterminism was {nondet_tol}."
            )
        for n, found in enumerate(analytical):
            if not _close(found, numerical[n][position], rtol, atol):
                raise _mismatch(prefix, number, n, numerical[n][position], found)


def _compare_tangents(func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, prefix: str) -> None:
    for n, t in enumerate(_wanted(inputs)):
        for output, numerical in enumerate(_numerical(func, inputs, t, eps)):
            analytical = _along_each_element(func, inputs, t, output, 1)
            if t.is_complex():
                analytical = ops.complex(analytical, _along_each_element(func, inputs, t, output, 1j))
            if not _close(analytical, numerical, rtol, atol):
                raise GradcheckError(f"{prefix}Jacobian computed with forward mode mismatch for output {output} with respect to input {n},\nnumerical:{numerical}\nanalytical:{analytical}\n")


def _along_each_element(func: Callable[..., Any], inputs: tuple[Any, ...], input: Tensor, output: int, step: complex) -> Tensor:
    """The Jacobian of one output by forward mode, one row per element of `input`."""
    rows = []
    for element in range(input.numel()):
        direction = ops.zeros(input.numel(), dtype=input.dtype)
        direction[element] = step
        with forward_ad.dual_level():
            given = [forward_ad.make_dual(t, direction.view(t.shape)) if t is input else t for t in inputs]
            found = [o for o in _as_tuple(func(*given)) if o.is_floating_point() or o.is_complex()][output]
            tangent = forward_ad.unpack_dual(found).tangent
            rows.append((ops.zeros_like(found) if tangent is None else tangent).detach().reshape(-1))
    return ops.stack(rows) if rows else ops.zeros((0, 0), dtype=input.dtype)


def _compare_projections(func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, nondet_tol: float, dtypes: bool, prefix: str) -> None:
    """Compare ``v @ J @ u`` for random unit vectors in place of the Jacobians J."""
    wanted = _wanted(inputs)
    outputs = [o for o in _as_tuple(func(*inputs)) if o.is_floating_point()]
    for n, t in enumerate(wanted):
        direction = _unit(t)
        data, original = t.data, t.detach().clone()

        def change(step: float, data: Tensor = data, original: Tensor = original, direction: Tensor = direction) -> None:
            data.copy_(original + step * direction)

        slopes = _slope(func, inputs, change, eps)
        number = -1
        for output, slope in zip(outputs, slopes, strict=True):
            if not output.requires_grad:
                if bool((slope != 0).any()) and not any(o.requires_grad for o in outputs):
                    raise GradcheckError("Numerical gradient for function expected to be zero")
                continue
            number += 1
            weight = _unit(output)
            (found,) = grad(output, [t], weight, retain_graph=True, allow_unused=True)
            analytical = ops.zeros((), dtype=t.dtype) if found is None else (found.detach() * direction).sum()
            numerical = (slope * weight.reshape(-1)).sum()
            # A projection of a small Jacobian may be tiny: tolerate what the whole could differ by.
            if not _close(analytical, numerical, rtol, atol * float(direction.abs().sum()) * float(weight.abs().sum())):
                raise _mismatch(prefix, number, n, numerical, analytical)


def _unit(like: Tensor) -> Tensor:
    found = ops.rand(tuple(like.shape), dtype=like.dtype)
    return found / found.norm() if found.numel() else found


def _check_linear(outputs: tuple[Tensor, ...], inputs: tuple[Any, ...]) -> None:
    wanted = _wanted(inputs)
    for g in grad(outputs, wanted, [ops.zeros_like(o) for o in outputs], retain_graph=True, allow_unused=True):
        if g is not None and not bool((g == 0).all()):
            raise GradcheckError("backward not multiplied by grad_output")


def _check_batched(outputs: tuple[Tensor, ...], inputs: tuple[Any, ...]) -> None:
    wanted = _wanted(inputs)
    for output in outputs:
        weights = ops.rand((2, *output.shape), dtype=output.dtype)
        together = grad(output, wanted, weights, retain_graph=True, allow_unused=True, is_grads_batched=True)
        for n in range(2):
            for a, b in zip(together, grad(output, wanted, weights[n], retain_graph=True, allow_unused=True), strict=True):
                if a is not None and not _close(a[n], b, 1e-3, 1e-5):
                    raise GradcheckError("For output 0 and input 0, the gradients of a batch differ from those of its elements")


class _UndefinedGrad(Node):
    """Lets no gradient through."""

    __slots__ = ()

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        return (None,)


def _check_undefined(func: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    """Backward must take outputs without a gradient, all or one at a time, as having zero gradient."""
    count = len(_differentiable(func(*inputs)))
    for cut in [set(range(count)), *({n} for n in range(count if count > 1 else 0))]:
        outputs = list(_differentiable(func(*inputs)))
        for n in cut:
            node = _UndefinedGrad((edge_of(outputs[n]),), (outputs[n]._layout,))
            outputs[n] = outputs[n].detach()
            set_history(outputs[n], node)
        try:
            found = grad(outputs, _wanted(inputs), [ops.zeros_like(o) for o in outputs], allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError("Expected backward function to handle undefined output grads. Please look at \"Notes about undefined output gradients\" in \"tools/autograd/derivatives.yaml\"") from error
        if any(g is not None and not bool((g == 0).all()) for g in found):
            raise GradcheckError("Expected all input grads to be undefined or zero when all output grads are undefined or zero. Please look at \"Notes about undefined output gradients\" in \"tools/autograd/derivatives.yaml\"")
