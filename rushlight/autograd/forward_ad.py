"""`torch.autograd.forward_ad`: derivatives along with the values, by dual tensors.

While a level is open, each op that is recorded has the tangents of its outputs computed from those of its operands. There are no rules for
this: an op's gradient is linear in the gradient of its output, and the gradient of that, by it, takes tangents forward. So it holds for
all ops that can be differentiated twice, without grad mode and inside backward passes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import ops
from ..grad_mode import set_grad_enabled
from ..graph import CardNode, grad_state, make_tensor, new
from ..ops.card import CARDS, Card, Plan, View
from ..storage import TensorBase
from . import backward_pass

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """The value and the tangent of a dual tensor; the tangent is None where there is none."""

    primal: Tensor
    tangent: Tensor | None


class DualLevel:
    """An open level. It stands where exporters have the list of all ops that are applied (`graph.tracing`)."""

    def __init__(self) -> None:
        self.written: tuple[Any, Any] | None = None  # the target of a write that is under way, and a tensor with its old values

    def tangent_of(self, tensor: Any) -> Any:
        """The tangent of a tensor, or of the part of its base that it shows."""
        level, tangent = tensor.__dict__.get("_tangent", (None, None))
        if level is self:
            return tangent
        base = tensor._base
        if base is not None:
            tangent = self.tangent_of(base)
            return None if tangent is None else _part(tangent, base, tensor)
        if tensor._node is not None:  # an output that its node has kept comes back as another tensor
            level, tangent = tensor._node.__dict__.get("_tangents", {}).get(tensor._output_nr, (None, None))
        return tangent if level is self else None

    def set(self, tensor: Any, tangent: Any) -> None:
        """Give a tensor its tangent, which lies in memory as the tensor does: then views of both show the same elements."""
        here = tensor._layout
        if tangent._layout.stride != here.stride or tangent._layout.dtype is not here.dtype:
            tangent = _laid_out(tensor).copy_(tangent)
        tensor.__dict__["_tangent"] = self, tangent
        if tensor._node is not None:
            tensor._node.__dict__.setdefault("_tangents", {})[tensor._output_nr] = self, tangent

    def tangents_of(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(self.tangent_of(value) if isinstance(value, TensorBase) else None for value in values)

    def set_by_function(self, outputs: Sequence[Any], jvp: Callable[[], Any]) -> None:
        """Give the outputs of a user's function the tangents that its ``jvp`` answers."""
        with _aside(grad_state.enabled):
            tangents = jvp()
            for output, tangent in zip(outputs, tangents if isinstance(tangents, tuple) else (tangents,), strict=True):
                if isinstance(output, TensorBase) and tangent is not None:
                    self.set(output, tangent)

    # What the recorder of ops calls

    def before_write(self, target: Any, operands: Sequence[Any]) -> None:
        """An op is about to write `target`: what its gradient needs of the old values must be kept."""
        old = target
        if self.tangent_of(target) is not None or any(isinstance(t, TensorBase) and self.tangent_of(t) is not None for t in operands):
            with _aside(grad_state.enabled):
                old = target.clone()
        self.written = target, old

    def append(self, call: tuple[str, Sequence[Any], dict[str, Any], Sequence[Any]]) -> None:
        """An op has been applied."""
        name, operands, params, results = call
        card = CARDS.get(name)
        target, old = self.written or (None, None)
        self.written = None
        if card is None:
            return
        tangents = [self.tangent_of(t) if isinstance(t, TensorBase) else None for t in operands]
        if target is not None:
            if old is not target:
                self._write(card, target, [old if t is target else t for t in operands], params, tangents)
        elif any(t is not None for t in tangents):
            with _aside(self._follows(operands, tangents)):
                if isinstance(card, View):
                    for result in results if card.differentiable is None else ():
                        result.__dict__["_tangent"] = self, _part(tangents[0], operands[0], result)
                else:
                    for result, tangent in zip(results, _forward(card, operands, params, results, tangents), strict=True):
                        if tangent is not None:
                            self.set(result, tangent)

    def _follows(self, operands: Sequence[Any], tangents: Sequence[Any]) -> bool:
        return grad_state.enabled and any(isinstance(t, TensorBase) and t._requires_grad for t in (*operands, *tangents))

    def _write(self, card: Card, target: Any, operands: Sequence[Any], params: dict[str, Any], tangents: Sequence[Any]) -> None:
        """The tangent of what an op has written in place."""
        with _aside(self._follows(operands, tangents)):
            (tangent,) = _forward(card, operands, params, (target,), tangents) if any(t is not None for t in tangents) else (None,)
            if self.tangent_of(target) is None:
                base = target if target._base is None else target._base
                base.__dict__["_tangent"] = self, _laid_out(base)
            if tangent is None:
                self.tangent_of(target).zero_()
            else:
                self.tangent_of(target).copy_(tangent)


def _forward(card: Card, operands: Sequence[Any], params: dict[str, Any], results: Sequence[Any], tangents: Sequence[Any]) -> Sequence[Any]:
    """The tangents of the outputs of an op."""
    static = tuple(params[name] for name in card.statics)
    if card.deferred:
        plan = card.plan(operands, static, results[0]._layout if card.in_place else None)
    else:
        plan = Plan(card, static, tuple(t._layout if isinstance(t, TensorBase) else type(t) for t in operands), tuple(r._layout for r in results))
    if not plan.flows:
        return (None,) * len(results)
    follows = grad_state.enabled
    # Some rules look at which operands require grad.
    operands = [t if tangent is None or t._requires_grad else t.detach().requires_grad_() for t, tangent in zip(operands, tangents, strict=True)]
    gradient = plan.gradient(sum(1 << n for n, t in enumerate(tangents) if t is not None))
    # A node as the op would have had, of which nothing is known but what its gradient rules ask for.
    node: CardNode = new(CardNode)
    node.plan, node.gradient, node.position = plan, gradient, None
    node.edges, node.layouts = (None,) * len(operands), plan.outs
    node.saved = {n: operands[n] for n in gradient.saves} | {-1 - n: results[n] for n in gradient.saves_outputs}
    with set_grad_enabled(True):
        weights = [ops.ones_like(r.detach()).requires_grad_() if n in plan.flows else None for n, r in enumerate(results)]
        found = plan.card.backward(node, list(weights), gradient)
        pairs = [(backward_pass.fit(g, t._layout, node, n), t) for n, (g, t) in enumerate(zip(found, tangents, strict=True)) if g is not None and t is not None]
        pairs = [(g, t) for g, t in pairs if g.requires_grad]
        wanted = [w for w in weights if w is not None]
        given: Sequence[Any] = (None,) * len(wanted)
        if pairs:
            given = backward_pass.grad([g for g, _ in pairs], wanted, [t for _, t in pairs], create_graph=follows, allow_unused=True)
    answers = iter(given)
    return [None if w is None or (t := next(answers)) is None else t for w in weights]


def _laid_out(tensor: Any) -> Any:
    """Zeros that lie in memory as the tensor does."""
    here = tensor._layout
    return ops.zeros(max(here.extent, 1), dtype=here.dtype).as_strided(here.shape, here.stride, 0)


def _part(tangent: Any, tensor: Any, view: Any) -> Any:
    """What a view of `tensor` shows of its tangent."""
    offset, here = tensor._offset, view._layout
    if tensor._layout.dtype is not here.dtype:  # complex numbers as pairs, or the other way round
        tangent = ops.view_as_real(tangent) if tensor._layout.dtype.is_complex else ops.view_as_complex(tangent)
        offset = offset * 2 if tensor._layout.dtype.is_complex else offset // 2
    return tangent.as_strided(here.shape, here.stride, tangent._offset + view._offset - offset)


@contextmanager
def _aside(enabled: bool) -> Iterator[None]:
    """Work of the level's own, which it does not watch."""
    before, grad_state.tracer = grad_state.tracer, None
    try:
        with set_grad_enabled(enabled):
            yield
    finally:
        grad_state.tracer = before


def _level() -> DualLevel | None:
    level = grad_state.tracer
    return level if isinstance(level, DualLevel) else None


def enter_dual_level() -> int:
    """Open a level, in which there can be dual tensors. Answers its number."""
    if _level() is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    if grad_state.tracer is not None:
        raise RuntimeError("forward mode AD cannot be exported")
    grad_state.tracer = DualLevel()  # type: ignore[assignment]
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: no tensor has a tangent any more."""
    if _level() is None:
        raise RuntimeError("Dual level must be a positive number.")
    if level is not None and level != 0:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not supported.")
    grad_state.tracer = None


class dual_level:  # noqa: N801, PyTorch's name
    """A block with a level open.

    >>> with torch.autograd.forward_ad.dual_level():
    ...     x = torch.autograd.forward_ad.make_dual(torch.tensor([1., 2.]), torch.tensor([1., 0.]))
    ...     torch.autograd.forward_ad.unpack_dual(x * x).tangent
    tensor([2., 0.])
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with dual_level():
                return function(*args, **kwargs)

        return inside


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Tensor:
    """A tensor over the memory of `tensor` that has a tangent."""
    here = _level()
    if here is None:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first.")
    for what, value in (("primal", tensor), ("tangent", tangent)):
        if not (value.is_floating_point() or value.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {value.dtype}")
    if tangent._layout.shape != tensor._layout.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(tensor.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )
    if here.tangent_of(tensor) is not None:
        raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not supported.")
    if here.tangent_of(tangent) is not None:
        raise RuntimeError("Setting a forward grad that itself has a forward gradient at the same level0 is not supported.")
    with _aside(grad_state.enabled):
        dual = _same_values(tensor)
        here.set(dual, tangent)
    return dual


def _same_values(tensor: Any) -> Any:
    """Another tensor over the same memory, with the same history, that is no view: it has no tangent of its base's."""
    if not (tensor.requires_grad and grad_state.enabled):
        return make_tensor(tensor._storage, tensor._offset, tensor._layout)
    found = ops.alias_view(tensor)
    found._base = None
    return found


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a tensor without its tangent, and the tangent."""
    here = _level()
    if here is None:
        return UnpackedDualTensor(tensor, None)
    if not isinstance(tensor, TensorBase):
        raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    tangent = here.tangent_of(tensor)
    if tangent is None:
        return UnpackedDualTensor(tensor, None)  # type: ignore[arg-type]
    with _aside(grad_state.enabled):
        return UnpackedDualTensor(_same_values(tensor), tangent)
