"""Jacobians, Hessians and their products with vectors, `torch.autograd.functional`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import ops
from ..grad_mode import enable_grad, set_grad_enabled
from ..graph import grad_state
from ..storage import TensorBase
from .backward_pass import grad

if TYPE_CHECKING:
    from ..tensor import Tensor

    Tensors = tuple[Tensor, ...]


def _tensors(value: Any, what: str, function: str) -> tuple[bool, Tensors]:
    """Whether `value` is a tuple, and it as a tuple of Tensors."""
    many = isinstance(value, tuple)
    found = value if many else (value,)
    for n, each in enumerate(found):
        if not isinstance(each, TensorBase):
            which = f"value at index {n}" if many else f"given {what}"
            raise TypeError(f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {which} has type {type(each)}.")
    return many, found


def _fresh(tensors: Tensors, create_graph: bool, needs_grad: bool = True) -> Tensors:
    """New Tensor objects, so that these can be told from the same tensors used inside the user's function."""
    return tuple(t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_(needs_grad) for t in tensors)


def _result(tensors: Any, create_graph: bool) -> Any:
    """The tensors, without their history unless it is asked for."""
    if isinstance(tensors, TensorBase):
        return tensors if create_graph else tensors.detach()  # type: ignore[attr-defined]
    return tuple(_result(t, create_graph) for t in tensors)


def _alone(found: tuple[Any, ...], many: bool) -> Any:
    return found if many else found[0]


def _check_vector(v: Tensors, like: Tensors, many: bool) -> None:
    if len(v) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}." if many else "The given v should contain a single Tensor.")
    for n, (each, other) in enumerate(zip(v, like, strict=True)):
        if each.shape != other.shape:
            raise RuntimeError(f"{f'Entry {n} in ' if many else ''}v has invalid size: should be {other.shape} but got {each.shape}.")


def _vector(v: Any, like: Tensors, many: bool, function: str, create_graph: bool, missing: str) -> Tensors | None:
    """The vector to multiply with; None stands for a single 1."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(missing)
        return None
    found = _fresh(_tensors(v, "v", function)[1], create_graph, needs_grad=False)
    _check_vector(found, like, many)
    return found


_NO_V_FOR_INPUT = "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
_NO_V_FOR_OUTPUT = "The vector v can only be None if the user-provided function returns a single Tensor with a single element."

#: What strict mode says of the n-th of some tensors that do not require grad.
_INDEPENDENT = {
    "outputs": "Output {} of the user-provided function does not require gradients. The outputs must be computed in a differentiable manner from the input when running in strict mode.",
    "grad_inputs": "The gradient with respect to input {} is independent of the inputs of the user-provided function. This is not allowed in strict mode.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is independent of the input. This is not allowed in strict mode. "
    "You should ensure that your function is twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for example).",
    "hessian": "The hessian of the user-provided function with respect to input {} is independent of the input. This is not allowed in strict mode. "
    "You should ensure that your function is thrice differentiable and that the hessian depends on the inputs.",
}


def _check_depends(tensors: Sequence[Tensor | None], kind: str, strict: bool) -> None:
    for n, t in enumerate(tensors if strict else ()):
        if t is None:
            raise RuntimeError(f"The output of the user-provided function is independent of input {n}. This is not allowed in strict mode.")
        if not t.requires_grad:
            raise RuntimeError(_INDEPENDENT[kind].format(n))


def _gradients(outputs: Sequence[Tensor | None], inputs: Tensors, grad_outputs: Tensors | None = None, create_graph: bool = False, retain_graph: bool | None = None) -> tuple[Tensor | None, ...]:
    """`torch.autograd.grad` of those outputs that require grad."""
    given = grad_outputs if grad_outputs is not None else (None,) * len(outputs)
    pairs = [(o, g) for o, g in zip(outputs, given, strict=True) if o is not None and o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return grad([o for o, _ in pairs], inputs, [g for _, g in pairs], retain_graph, create_graph, allow_unused=True)


def _filled(grads: Sequence[Tensor | None], like: Tensors, strict: bool, create_graph: bool, missing: str, subject: str) -> Tensors:
    """Zeros for what did not take part, which strict mode refuses."""
    found = []
    for n, (g, t) in enumerate(zip(grads, like, strict=True)):
        if g is None:
            if strict:
                raise RuntimeError(missing.format(n))
            g = ops.zeros_like(t)
        elif strict and create_graph and not g.requires_grad:
            raise RuntimeError(f"The {subject} of the user-provided function is independent of input {n}. This is not allowed in strict mode when create_graph=True.")
        found.append(g)
    return tuple(found)


_BACK = "The output of the user-provided function is independent of input {}. This is not allowed in strict mode."
_BACK_TRICK = "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the double backward trick to compute forward mode gradients. This is not allowed in strict mode."
_DOUBLE_BACK = "The jacobian of the user-provided function is independent of input {}. This is not allowed in strict mode."
_DOUBLE_BACK_TRICK = (
    "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. This is not allowed in strict mode as it prevents from using the double backward trick to replace forward mode AD."
)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """``(func(*inputs), v @ J)``, with the Jacobian J of `func` at `inputs`.

    >>> torch.autograd.functional.vjp(lambda x: x ** 2, torch.tensor([1., 2.]), torch.tensor([1., 10.]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        many, given = _tensors(inputs, "inputs", "vjp")
        given = _fresh(given, create_graph)
        outputs_many, outputs = _tensors(func(*given), "outputs of the user-provided function", "vjp")
        _check_depends(outputs, "outputs", strict)
        vector = _vector(v, outputs, outputs_many, "vjp", create_graph, _NO_V_FOR_OUTPUT)
    with set_grad_enabled(create_graph or grad_state.enabled):
        grads = _gradients(outputs, given, vector, create_graph)
        found = _filled(grads, given, strict, create_graph, _BACK, "jacobian")
    return _alone(_result(outputs, create_graph), outputs_many), _alone(_result(found, create_graph), many)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """``(func(*inputs), J @ v)``: the derivative of `func` in the direction `v`, by differentiating backward twice.

    >>> torch.autograd.functional.jvp(lambda x: x ** 2, torch.tensor([1., 2.]), torch.tensor([1., 10.]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        many, given = _tensors(inputs, "inputs", "jvp")
        given = _fresh(given, create_graph)
        vector = _vector(v, given, many, "jvp", create_graph, _NO_V_FOR_INPUT)
        outputs_many, outputs = _tensors(func(*given), "outputs of the user-provided function", "jvp")
        _check_depends(outputs, "outputs", strict)
        # The gradient is linear in these, so their values do not matter.
        weights = tuple(ops.zeros_like(out).requires_grad_() for out in outputs)
        grads = _gradients(outputs, given, weights, create_graph=True)
        _check_depends(grads, "grad_inputs", strict)
        found = _filled(_gradients(grads, weights, vector, create_graph), outputs, strict, create_graph, _BACK_TRICK, "jacobian")
    return _alone(_result(outputs, create_graph), outputs_many), _alone(_result(found, create_graph), outputs_many)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func` at `inputs`, of the shape of the output followed by that of the input.

    Tuples of inputs or outputs give tuples (outputs outermost). `vectorize` and `strategy` do not change the result.

    >>> torch.autograd.functional.jacobian(lambda x: x ** 2, torch.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError('torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not supported together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.')
        if strict:
            raise RuntimeError('torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together (yet). Please either set `strict=False` or `strategy="reverse-mode"`.')
        if not vectorize:
            raise NotImplementedError("Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`.")
    with enable_grad():
        many, given = _tensors(inputs, "inputs", "jacobian")
        given = _fresh(given, create_graph)
        outputs_many, outputs = _tensors(func(*given), "outputs of the user-provided function", "jacobian")
        _check_depends(outputs, "outputs", strict)
        if vectorize and strict:
            raise RuntimeError("torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please either set `strict=False` or `vectorize=False`.")
        found = tuple(_jacobian_of(n, out, given, create_graph, strict) for n, out in enumerate(outputs))
    found = _result(found, create_graph)
    return _alone(tuple(_alone(row, many) for row in found), outputs_many)


def _jacobian_of(n: int, output: Tensor, inputs: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobians of one output, by one backward pass for each of its elements."""
    rows: list[list[Tensor]] = [[] for _ in inputs]
    flat = output.reshape(-1)
    for element in range(flat.numel()):
        grads = _gradients((flat[element],), inputs, create_graph=create_graph, retain_graph=True)
        for m, (row, g, t) in enumerate(zip(rows, grads, inputs, strict=True)):
            if g is None:
                if strict:
                    raise RuntimeError(f"Output {n} of the user-provided function is independent of input {m}. This is not allowed in strict mode.")
                g = ops.zeros_like(t)
            elif strict and create_graph and not g.requires_grad:
                raise RuntimeError(f"The jacobian of the user-provided function is independent of input {n}. This is not allowed in strict mode when create_graph=True.")
            row.append(g)
    return tuple(
        ops.stack(row).view(tuple(output.shape) + tuple(t.shape)) if row else ops.zeros(tuple(output.shape) + tuple(t.shape), dtype=t.dtype)
        for row, t in zip(rows, inputs, strict=True)
    )


def _scalar(outputs: Tensors, many: bool, function: str) -> Tensor:
    """The single value of a function whose Hessian is asked for."""
    if many:
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return outputs[0]


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a `func` with one value; ``hessian[i][j]`` for the i-th and j-th of a tuple of inputs.

    >>> torch.autograd.functional.hessian(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    many, given = _tensors(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def single(*values: Tensor) -> Tensor:
        out_many, outputs = _tensors(func(*values), "outputs of the user-provided function", "hessian")
        _check_depends(outputs, "outputs", strict)
        return _scalar(outputs, out_many, "hessian").squeeze()

    def gradient(*values: Tensor) -> Tensors:
        found = jacobian(single, values, create_graph=True)
        _check_depends(found, "jacobian", strict)
        return found

    found = jacobian(gradient, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return _alone(tuple(_alone(row, many) for row in found), many)


def _gradient_for_hessian(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, function: str) -> tuple[bool, Tensors, Tensors, tuple[Tensor | None, ...], Tensors | None]:
    many, given = _tensors(inputs, "inputs", function)
    given = _fresh(given, create_graph)
    vector = _vector(v, given, many, function, create_graph, _NO_V_FOR_INPUT)
    outputs_many, outputs = _tensors(func(*given), "outputs of the user-provided function", function)
    _check_depends(outputs, "outputs", strict)
    _scalar(outputs, outputs_many, function)
    gradient = _gradients(outputs, given, create_graph=True)
    _check_depends(gradient, "jacobian", strict)
    return many, given, outputs, gradient, vector


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """``(func(*inputs), v @ H)``, with the Hessian H of a `func` with one value.

    >>> torch.autograd.functional.vhp(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]), torch.tensor([1., 1.]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, given, outputs, gradient, vector = _gradient_for_hessian(func, inputs, v, create_graph, strict, "vhp")
    with set_grad_enabled(create_graph or grad_state.enabled):
        grads = _gradients(gradient, given, vector, create_graph)
        found = _filled(grads, given, strict, create_graph, _DOUBLE_BACK, "hessian")
    return _result(outputs, create_graph)[0], _alone(_result(found, create_graph), many)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """``(func(*inputs), H @ v)``; for a twice continuously differentiable `func` the same as `vhp`, which is faster.

    >>> torch.autograd.functional.hvp(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]), torch.tensor([1., 1.]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, given, outputs, gradient, vector = _gradient_for_hessian(func, inputs, v, create_graph, strict, "hvp")
        weights = tuple(ops.zeros_like(t).requires_grad_() for t in given)
        twice = _gradients(gradient, given, weights, create_graph=True)
        _check_depends(gradient, "hessian", strict)
    with set_grad_enabled(create_graph or grad_state.enabled):
        grads = _gradients(twice, weights, vector, create_graph)
        found = _filled(grads, given, strict, create_graph, _DOUBLE_BACK_TRICK, "hessian")
    return _result(outputs, create_graph)[0], _alone(_result(found, create_graph), many)
