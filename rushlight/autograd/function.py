"""Functions with a gradient of their own, `torch.autograd.Function`.

The `ctx` that ``forward`` and ``backward`` see is the function's node in the graph.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..grad_mode import no_grad
from ..graph import (
    FREED,
    VIEW_CUSTOM,
    VIEW_MULTI_OUTPUT,
    Edge,
    Node,
    dual_level,
    edge_of,
    forbidden_write,
    grad_state,
    requires_grad,
    save,
    save_output,
    set_history,
    written,
)
from ..shape import Layout
from ..storage import TensorBase

if TYPE_CHECKING:
    from ..tensor import Tensor


class FunctionCtx:
    """What ``forward`` and ``setup_context`` tell autograd about a call."""

    to_save: tuple[Any, ...] | None = None
    dirty_tensors: tuple[Any, ...] | None = None
    non_differentiable: tuple[Any, ...] | None = None
    materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for ``backward``, which finds them in ``ctx.saved_tensors``."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``jvp``, which finds them in ``ctx.saved_tensors``."""
        for tensor in tensors:
            if not (isinstance(tensor, TensorBase) or tensor is None):
                raise AssertionError("save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on ctx.")
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs ``forward`` has written to. It must return them."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs have no gradient; ``backward`` is given zeros for them."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` is given zeros (the default) or None for outputs that took no part."""
        self.materialize_grads = value


class BackwardCFunction(Node, FunctionCtx):
    """The node of one call of a `Function`. Each Function has a subclass of it, named after it."""

    _forward_cls: type[Function]
    needs_input_grad: tuple[bool, ...]
    saved_for_forward: tuple[Any, ...] = ()
    _in_jvp = False

    def __init__(self, inputs: Sequence[Any], recorded: bool) -> None:
        self._is_tensor = tuple(isinstance(value, TensorBase) for value in inputs)
        self.needs_input_grad = tuple(isinstance(value, TensorBase) and requires_grad(value) for value in inputs)
        edges = tuple(edge_of(value) for value in inputs if isinstance(value, TensorBase)) if recorded else ()
        Node.__init__(self, edges, ())
        self._saved: tuple[Any, ...] = ()
        self._released = False

    def __repr__(self) -> str:
        return object.__repr__(self)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        if self._in_jvp:
            return self.saved_for_forward
        if self._released:
            raise RuntimeError(FREED)
        return tuple(None if kept is None else kept.get(self) for kept in self._saved)

    def release(self) -> None:
        self._released = True
        self._saved = ()

    def _save(self) -> None:
        kept: list[Any] = []
        for n, tensor in enumerate(self.to_save or ()):
            if tensor is None:
                kept.append(None)
            elif isinstance(tensor, TensorBase):
                kept.append(save_output(tensor, tensor._output_nr) if tensor._node is self else save(tensor))
            else:
                raise TypeError(f"save_for_backward can only save variables, but argument {n} is of type {type(tensor).__name__}")
        self._saved = tuple(kept)
        self.to_save = None

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        from .. import ops

        if self.materialize_grads:
            grads = [
                ops.zeros(layout.shape, dtype=layout.dtype) if g is None and layout is not None else g
                for g, layout in zip(grads, self.layouts, strict=True)
            ]
        found = self._user_backward()(self, *grads)
        if not isinstance(found, tuple):
            found = (found,)
        expected = len(self._is_tensor)
        if len(found) > expected and all(g is None for g in found[expected:]):
            found = found[:expected]
        name = type(self).__name__
        if len(found) != expected:
            raise RuntimeError(f"function {name} returned an incorrect number of gradients (expected {expected}, got {len(found)})")
        result: list[Tensor | None] = []
        for n, (g, is_tensor) in enumerate(zip(found, self._is_tensor, strict=True)):
            if is_tensor:
                if g is not None and not isinstance(g, TensorBase):
                    raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
                result.append(g)  # type: ignore[arg-type]
            elif g is not None:
                raise RuntimeError(
                    f"function {name} returned a gradient different than None at position {n + 1}, but the corresponding forward input was not a Variable"
                )
        return result

    def _user_backward(self) -> Callable[..., Any]:
        cls = self._forward_cls
        if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
            raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of them.")
        return cls.vjp if cls.vjp is not Function.vjp else cls.backward


class Function:
    """Base class of functions that define their own gradient; call a subclass through ``apply``.

    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         x, = ctx.saved_tensors
    ...         return grad_output * 3 * x ** 2
    >>> x = torch.tensor(2., requires_grad=True)
    >>> torch.autograd.grad(Cube.apply(x), x)
    (tensor(12.),)
    """

    _backward_cls: type[BackwardCFunction]
    generate_vmap_rule = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        members = {"_forward_cls": cls, "__module__": "torch.autograd.function"}
        cls._backward_cls = type(cls.__name__ + "Backward", (BackwardCFunction,), members)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on the class itself. "
            "Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function with static forward method. "
            "(Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value, from ``(ctx, *inputs)``, or from the inputs alone where `setup_context` is overridden."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Called after a ``forward`` that takes no ctx, to save what ``backward`` needs."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient for each input (None where there is none), from one for each output."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD.")

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """One tangent for each output, from one for each input (None where there is none)."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function and record it in the graph."""
        separate = cls.setup_context is not Function.setup_context
        if separate:
            import inspect

            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        inputs = (*args, *kwargs.values())
        recorded = grad_state.enabled and any(isinstance(value, TensorBase) and requires_grad(value) for value in inputs)
        ctx = cls._backward_cls(inputs, recorded)
        level = dual_level()
        tangents = () if level is None else level.tangents_of(inputs)
        if any(t is not None for t in tangents) and cls.jvp is Function.jvp:
            cls.jvp(ctx)
        before, grad_state.enabled = grad_state.enabled, False
        tracer, grad_state.tracer = grad_state.tracer, None if level is not None else grad_state.tracer
        try:
            if separate:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args, **kwargs)
        finally:
            grad_state.enabled, grad_state.tracer = before, tracer
        single = not isinstance(output, tuple)
        outputs = _wrap_outputs(ctx, inputs, (output,) if single else output, recorded, separate)
        if any(t is not None for t in tangents):
            ctx._in_jvp = True
            level.set_by_function(outputs, lambda: cls.jvp(ctx, *tangents))
            ctx._in_jvp = False
        if recorded:
            ctx._save()
        else:
            ctx.to_save = None
        return outputs[0] if single else outputs


def _wrap_outputs(ctx: BackwardCFunction, inputs: tuple[Any, ...], raw: tuple[Any, ...], recorded: bool, separate: bool) -> tuple[Any, ...]:
    """The outputs that the caller gets: with their history, and never an input that was not written."""
    given = {id(value) for value in inputs if isinstance(value, TensorBase)}
    dirty = _ids(ctx.dirty_tensors, "mark_dirty can only accept variables, but argument")
    constant = _ids(ctx.non_differentiable, "mark_non_differentiable only accepts variable arguments, but got argument")
    saved = {id(tensor) for tensor in ctx.to_save or ()}
    if missing := dirty - {id(value) for value in raw}:
        assert missing
        raise RuntimeError("Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified inplace must all be outputs of the Function.")
    ctx.layouts = tuple(value._layout if isinstance(value, TensorBase) else None for value in raw)  # type: ignore[misc]
    outputs: list[Any] = []
    differentiable: list[Any] = []
    for nr, value in enumerate(raw):
        if not isinstance(value, TensorBase):
            outputs.append(value)
            continue
        is_input, is_dirty = id(value) in given, id(value) in dirty
        follows = recorded and id(value) not in constant and value._layout.dtype.category >= dt.FLOAT
        if not follows:
            value = _constant_output(value, is_input, is_dirty)
        elif is_dirty:
            _rebase(ctx, value, nr, is_input, len(raw))
        else:
            if is_input:
                if separate and id(value) in saved:
                    raise RuntimeError("An input that has been returned as-is as output is being saved for backward. This is not supported if you override setup_context. You should return and save a view of the input instead, e.g. with x.view_as(x) or setup ctx inside the forward function itself.")
                value = _view_of_input(value)
            set_history(value, ctx, nr)
            if value._base is not None:
                value._view_kind = VIEW_CUSTOM
        if follows:
            differentiable.append(value)
        outputs.append(value)
    if len(differentiable) > 1:
        for value in differentiable:
            if value._base is not None:
                value._view_kind = VIEW_MULTI_OUTPUT
    ctx.dirty_tensors = ctx.non_differentiable = None
    return tuple(outputs)


def _ids(marked: tuple[Any, ...] | None, complaint: str) -> set[int]:
    for n, value in enumerate(marked or ()):
        if not isinstance(value, TensorBase):
            raise RuntimeError(f"{complaint} {n} is of type {type(value).__name__}")
    return {id(value) for value in marked or ()}


def _view_of_input(value: Any) -> Any:
    before, grad_state.enabled = grad_state.enabled, False
    try:
        return value.view_as(value)
    finally:
        grad_state.enabled = before


def _constant_output(value: Any, is_input: bool, is_dirty: bool) -> Any:
    if is_dirty:
        if value._tracks_version:
            value._storage.version += 1
        return value
    if not requires_grad(value):
        return _view_of_input(value) if is_input else value
    if is_input:
        return value.detach()
    return value if value._base is not None else value.detach_()


def _rebase(ctx: BackwardCFunction, value: Any, nr: int, is_input: bool, outputs: int) -> None:
    """Give an input that was written in place its new history."""
    if value._node is None and value._requires_grad:
        raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
    if not is_input:
        warnings.warn("Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, there is no need to pass it to mark_dirty().", stacklevel=4)
    if value._base is not None and outputs > 1:
        raise RuntimeError(
            "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more than one Tensor. This is not supported by the current autograd engine. "
            "You should either make sure the input is not a view (using .clone() for example) or make your Function only return one Tensor (potentially splitting it into two Functions: "
            "one doing the inplace that returns a single Tensor and a second one that does the other operations). You can ask on the forum https://discuss.pytorch.org/ if you need help to do this change."
        )
    if value._base is not None and value._view_kind:
        raise RuntimeError(forbidden_write(value, "is being"))
    written(value, ctx, True)
    if value._base is None:
        value._output_nr = nr


class _DelayedError(Node):
    """Raises when a gradient reaches it."""

    __slots__ = ("message",)

    def __init__(self, message: str, edges: tuple[Edge, ...], layouts: tuple[Layout, ...]) -> None:
        Node.__init__(self, edges, layouts)
        self.message = message

    def name(self) -> str:
        return "Error"

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        raise RuntimeError(self.message)


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a ``backward`` that is not itself differentiable: differentiating through it raises.

    >>> class Twice(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @torch.autograd.function.once_differentiable
    ...     def backward(ctx, grad_output):
    ...         return grad_output * 2
    >>> x = torch.ones(1, requires_grad=True)
    >>> torch.autograd.grad(Twice.apply(x), x)
    (tensor([2.]),)
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            outputs = fn(ctx, *args, **kwargs)
        if not grad_state.enabled or not any(isinstance(a, TensorBase) and requires_grad(a) for a in args):
            return outputs
        every = outputs if isinstance(outputs, tuple) else (outputs,)
        found = [None if value is None else value.detach() for value in every]
        node = _DelayedError(
            "trying to differentiate twice a function that was marked with @once_differentiable",
            tuple(edge_of(a) for a in args if isinstance(a, TensorBase)),
            tuple(None if value is None else value._layout for value in found),  # type: ignore[misc]
        )
        for nr, value in enumerate(found):
            if value is not None:
                set_history(value, node, nr)
        return tuple(found) if isinstance(outputs, tuple) else found[0]

    return wrapper
