"""Op cards: all that is known of an op, in one object, and the one way to apply them.

A card has a type rule, a NumPy rule, gradient rules, and a lowering (its native form). Three kinds:

- `Card`: any computation. ``infer`` gives the output layouts from the operands' layouts, so that the work can wait on
  the tape. Without ``infer`` the op runs at once, because its output shape depends on values.
- `Pointwise`: one value out for each value in, with broadcasting, type promotion and PyTorch's output strides.
- `View`: new metadata over the same storage; nothing runs.

Gradient rules are written in public ops, so second order follows. A rule's parameters say what is kept for it: names of
operands, ``output`` (or the names in ``outputs``), static arguments, ``layouts`` (of the operands; costs nothing).
README.md in this folder shows how to write one.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import autocasting, dtypes as dt, tape
from ..engine import execute
from ..errors import sizes, type_name
from ..graph import (
    VIEW_INFERENCE,
    VIEW_MULTI_OUTPUT,
    VIEW_NO_GRAD,
    CardNode,
    check_in_place,
    edge_of,
    grad_state,
    make_tensor,
    new,
    refresh_view,
    requires_grad,
    set_history,
    tensor_class,
    tracing,
    written,
)
from ..recent import Recent
from ..shape import (
    Layout,
    Shape,
    broadcast_shapes,
    channels_last_strides,
    contiguous,
    contiguous_strides,
    has_internal_overlap,
    is_channels_last,
    is_contiguous,
    layout,
    stride_order,
    strides_in_order,
)
from ..storage import ON_META, SHARED, Storage, TensorBase, storage_of_array
from .gradient import NO_GRADIENT, Gradient, Rule, parameters_of
from .plan import Plan as Plan, Static as Static

if TYPE_CHECKING:
    from ..engine.lowering import Lowering
    from ..tensor import Tensor

#: Every card by name. A name registered twice is refused.
CARDS: dict[str, Card] = {}

_PLANS: Recent[tuple[Any, ...], Plan] = Recent(1 << 12)


def _forget_plans() -> None:
    _PLANS.clear()
    _PLANS.old = {}


# Which dtype integers become is part of what a plan says, and not of its key.
dt.when_default_changes.append(_forget_plans)

#: What records an op whose plan is known, as machine code; None before there is any.
_record: Callable[..., Any] | None = None


def _use_machine_code() -> None:
    """Once traces are compiled, ops are recorded by machine code, too."""
    global _record
    from .record_code import recorder

    _record = recorder(_PLANS)


execute.when_compiled.append(_use_machine_code)

class Card:
    """All rules of one op. See the module's docstring."""

    def __init__(
        self,
        name: str,
        operands: str,
        *,
        numpy: Rule,
        infer: Callable[..., Layout | Sequence[Layout]] | None = None,
        statics: str = "",
        outputs: str = "output",
        differentiable: Sequence[int] | None = None,
        grads: Mapping[str, Rule] | None = None,
        backward: Rule | None = None,
        no_grad_reason: str | None = None,
        node_name: str | Callable[[Plan], str] | None = None,
        variadic: bool = False,
        in_place: bool = False,
        onnx: str | None = None,
        lowering: Lowering | None = None,
        autocast: str | None = None,
        sends: Sequence[int] = (),
    ) -> None:
        """
        operands: names of the operands, separated by spaces; with `variadic`, the last name stands for all the rest, as a tuple.
        statics: names of the hashable static arguments, which become keyword arguments of every rule.
        infer: ``infer(*layouts, **statics)`` gives the output layout or layouts; checks shapes and raises PyTorch's errors.
        numpy: ``numpy(*arrays, **statics)`` gives the result array or a tuple of them.
        grads: for each differentiable operand, ``rule(g, ...)`` giving its gradient.
        backward: instead, one rule giving a sequence of gradients, one per operand; may name ``needs``, a tuple of bools.
        differentiable: which outputs have gradients (floating-point ones when None). With several outputs and more than one
            differentiable, ``g`` is a tuple of gradients, None for those that did not take part.
        lowering: the native form (engine/lowering.py); the same bits wherever it runs.
        no_grad_reason: why there is no gradient, for an op on floats that has none; backward raises it.
        node_name: what PyTorch calls the node, as printed results show it; a function of the plan where operands decide.
        autocast: which list of `torch.autocast` the op is in (autocasting.py).
        sends: the order in which gradients of the first operands are complete, where it is not theirs: hooks on leaves see it.
        in_place: whether all outputs are among the operands and the NumPy rule writes them itself.
        """
        if name in CARDS:
            raise ValueError(f"two cards named {name}")
        CARDS[name] = self
        self.name = name
        self.operands = tuple(operands.split())
        self.statics = tuple(statics.split())
        self.outputs = tuple(outputs.split())
        self.numpy = numpy
        self.infer = infer
        self.grads = dict(grads or {})
        self.joint = backward
        self.no_grad_reason = no_grad_reason
        self.variadic = variadic
        self.in_place = in_place
        self.differentiable = tuple(differentiable) if differentiable is not None else None
        own_name = "".join(part.capitalize() for part in name.split("_")) + "Backward0"
        self.node_name = node_name or (own_name if no_grad_reason is None else NO_GRADIENT)
        self.onnx = onnx
        self.lowering = lowering
        self.autocast = autocast
        self.sends = tuple(sends)
        # Without `infer` the op runs at once; a pointwise card infers by its own rule.
        self.deferred = infer is not None or isinstance(self, Pointwise)
        self.saves_anything = bool(self.named_by_rules() & ({*self.operands} | {*self.outputs}))

    rounds_numbers = True  # of a pointwise card; see there

    def __repr__(self) -> str:
        return f"<card {self.name}>"

    def named_by_rules(self) -> set[str]:
        """What the gradient rules take besides the gradient."""
        rules = [self.joint] if self.joint is not None else self.grads.values()
        return {p for rule in rules for p in parameters_of(rule)}

    def plan(self, operands: Sequence[Any], static: Static, target: Layout | None) -> Plan:
        """Infer the plan for these operands (a first time; `apply` caches it)."""
        layouts = tuple(t._layout if isinstance(t, TensorBase) else type(t) for t in operands)
        assert self.infer is not None
        try:
            outs = self.infer(*(o._layout if isinstance(o, TensorBase) else o for o in operands), **dict(zip(self.statics, static, strict=True)))
        except AttributeError:
            for n, operand in enumerate(operands):
                if not isinstance(operand, TensorBase):
                    raise _wrong_operand(self, n, operand) from None
            raise
        return Plan(self, static, layouts, (outs,) if isinstance(outs, Layout) else tuple(outs))

    def node_name_of(self, plan: Plan) -> str:
        """What PyTorch calls the node of this card on these operands."""
        return self.node_name if isinstance(self.node_name, str) else self.node_name(plan)

    def backward(self, node: CardNode, grads: list[Tensor | None], gradient: Gradient | None = None) -> Sequence[Tensor | None]:
        """Run the gradient rules for the operands that have an edge, or those of a `gradient` for fewer of them."""
        gradient = gradient or node.gradient
        g: Any = self._incoming(grads, node.plan)
        return (None,) * len(gradient.needs) if g is None else gradient.run(node, g)

    def _incoming(self, grads: list[Tensor | None], plan: Plan) -> Any:
        if len(grads) == 1:
            return grads[0]
        if len(plan.flows) == 1:
            return grads[plan.flows[0]]
        return tuple(grads) if any(g is not None for g in grads) else None


_NUMBERS = frozenset((bool, int, float, complex))


def _wrong_operand(card: Card, n: int, value: Any) -> TypeError:
    """PyTorch's error for what is neither a Tensor nor, where that would do, a number."""
    return TypeError(f"{card.name}(): argument '{card.operands[min(n, len(card.operands) - 1)]}' (position {n + 1}) must be Tensor, not {type_name(value)}")


class Pointwise(Card):
    """A card whose output element depends on one element of each operand.

    result: "same" (the promoted dtype), "float" (integers become the default dtype), "bool" (a bool from the promoted
        dtype), "real" (complex becomes real), or a function from the promoted dtype to ``(compute dtype, output dtype)``; it may raise.
    numpy: a ufunc, or a function of arrays in the compute dtype (float32 for half precision).
    unpromoted: operands (by position) that take no part in promotion and are passed to the rule as they are.
    overloads: where PyTorch's nodes are numbered by overload, the numbers for two tensors, a number as the second operand,
        and a number as the first.
    rounds_numbers: whether a Python number or a 0-dim tensor among half-precision operands is rounded to their dtype first.
    """

    def __init__(self, name: str, operands: str, *, numpy: Rule, result: str | Callable[[dt.dtype], tuple[dt.dtype, dt.dtype]] = "same", unpromoted: Sequence[int] = (), rounds_numbers: bool = True, overloads: str = "", **rules: Any) -> None:
        super().__init__(name, operands, numpy=numpy, **rules)
        self.result = result
        self.rounds_numbers = rounds_numbers
        self.overloads = overloads
        self.unpromoted = tuple(unpromoted)

    def plan(self, operands: Sequence[Any], static: Static, target: Layout | None) -> Plan:
        shapes, strides = [], []
        types = dt.PromotionState()
        for n, t in enumerate(operands):
            if isinstance(t, TensorBase):
                shapes.append(t._layout.shape)
                strides.append(t._layout.stride)
                if n not in self.unpromoted:
                    types.add_tensor(t._layout.dtype, t._layout.ndim)
            elif type(t) not in _NUMBERS:
                raise _wrong_operand(self, n, t)
            elif n not in self.unpromoted:
                types.add_number(type(t))
        shape = broadcast_shapes(*shapes)
        common = types.result()
        try:
            compute, result = self.dtypes(common)
        except NotImplementedError:
            if target is not None and not self._compares():
                check_castable(common, target.dtype)
            raise
        if target is not None:
            if target.shape != shape:
                raise RuntimeError(f"output with shape {sizes(target.shape)} doesn't match the broadcast shape {sizes(shape)}")
            check_castable(result, target.dtype)
            if target.dtype.is_complex and result is common.to_real() and result is not common:
                raise RuntimeError(f"In-place {self.name} is not supported for complex tensors.")
            if target.dtype.category == dt.BOOL and common.category != dt.BOOL and result is dt.bool_:
                result = target.dtype
            out = target
        else:
            out = layout(shape, pointwise_strides(shapes, strides, shape), result)
        layouts = tuple(t._layout if isinstance(t, TensorBase) else type(t) for t in operands)
        plan = Plan(self, static, layouts, (out,), dt.float32.numpy if compute in dt.LOW_PRECISION else compute.numpy)
        plan.low = compute.numpy if compute in dt.LOW_PRECISION else None
        plan.uncast = self.unpromoted
        plan.ufunc = isinstance(self.numpy, np.ufunc)
        plan.settled = plan.low is None and all(isinstance(o, Layout) and (n in self.unpromoted or o.dtype is compute) for n, o in enumerate(layouts))
        return plan

    def node_name_of(self, plan: Plan) -> str:
        if not self.overloads:
            return super().node_name_of(plan)
        first, *others = (isinstance(o, Layout) for o in plan.operands)
        return super().node_name_of(plan)[:-1] + self.overloads[2 if not first else 0 if all(others) else 1]

    def _compares(self) -> bool:
        """Whether the output is bool whatever the operands are."""
        for dtype in (dt.int64, dt.float32):
            with contextlib.suppress(NotImplementedError):
                return self.dtypes(dtype)[1] is dt.bool_
        return False

    def dtypes(self, common: dt.dtype) -> tuple[dt.dtype, dt.dtype]:
        """The dtype to compute in and the dtype of the output, for operands of this common dtype."""
        if self.result == "same":
            return common, common
        if self.result == "float":
            common = common if common.category >= dt.FLOAT else dt.get_default_dtype()
            return common, common
        if self.result == "bool":
            return common, dt.bool_
        if self.result == "real":
            return common, common.to_real()
        assert callable(self.result)
        return self.result(common)


def check_castable(result: dt.dtype, target: dt.dtype) -> None:
    if result.category > target.category:
        raise RuntimeError(f"result type {result.type_name} can't be cast to the desired output type {target.type_name}")


def pointwise_strides(shapes: Sequence[Shape], strides: Sequence[Shape], shape: Shape) -> Shape:
    """The strides of a pointwise output: dense, with the dims in the order that the operands have them."""
    if all(s == shape for s in shapes):
        if all(is_contiguous(shape, s) for s in strides):
            return contiguous_strides(shape)  # whatever the operands' strides of dims of size one
        if len(shape) == 4 and all(is_channels_last(shape, s) for s in strides):
            return channels_last_strides(shape)
        first = strides[0]
        if all(s == first for s in strides) and layout(shape, first, dt.float32).dense:
            return first
    return strides_in_order(shape, stride_order(shapes, strides, shape))


def apply(card: Card, operands: Sequence[Any], static: Static = ()) -> Any:
    """Apply a card to tensors and Python numbers: the result is a Tensor, or a tuple of them."""
    modes = grad_state.__dict__
    if _record is not None:
        recorded = _record(card, operands, static, modes, tape.thread.position)
        if recorded is not NotImplemented:
            return recorded
    if modes["autocast"] is not None and card.autocast is not None:
        operands = autocasting.cast(card.autocast, operands)
    if not card.deferred:
        return _apply_now(card, operands, static)
    key: list[Any] = [card, static]
    entered = []
    follow = False
    special = 0
    for t in operands:
        if isinstance(t, TensorBase):
            storage, layout = t._storage, t._layout
            key.append(layout)
            entered.append((storage, t._offset, layout))
            if storage.special:
                special = max(special, storage.special)
            if t._requires_grad or t._base is not None:
                follow = True
        else:
            key.append(type(t))
            entered.append(t)
    found = tuple(key)
    plan = _PLANS.get(found)
    if plan is None:
        plan = _PLANS.recall(found) or _PLANS.remember(found, card.plan(operands, static, None))
    outs = plan.outs
    if len(outs) == 1:
        (out,) = outs
        storage = Storage(out.nbytes)
        # As `make_tensor` does it, without the call and without asking for the modes again.
        result = new(tensor_class[0])
        result._storage, result._offset, result._layout = storage, 0, out
        result._node, result._requires_grad, result._base = None, False, None
        if modes["inference"]:
            result._inference = True
        position = None if special == ON_META else tape.record(plan, ((storage, 0, out),), entered)
        if not special and modes["tracer"] is None:
            if follow and modes["enabled"]:
                _attach(plan, operands, (result,), position)
            return result
        results: tuple[Any, ...] = (result,)
    else:
        results = tuple([make_tensor(Storage(out.nbytes), 0, out) for out in outs])
        position = None
        if special != ON_META:
            position = tape.record(plan, tuple([(r._storage, 0, r._layout) for r in results]), entered)
    if special:
        if special == ON_META:
            for r in results:
                r._storage.special = ON_META
        else:
            flush_if_shared(operands)
    if follow and modes["enabled"]:
        _attach(plan, operands, results, position)
    if modes["tracer"] is not None:
        tracing(card, operands, plan.params, results)
    return results[0] if len(results) == 1 else results


def plan_count() -> int:
    """How many plans are known."""
    return len(_PLANS) + len(_PLANS.old)


def _attach(plan: Plan, operands: Sequence[Any], results: Sequence[Tensor], position: tape.Position = None) -> None:
    """Make the results outputs of a node, if any operand requires grad and the op has a gradient."""
    edges: list[Any] = []
    needs = 0  # a bit for each operand that has an edge
    bit = 1
    inference = False
    for t in operands:
        edge: Any = None
        if isinstance(t, TensorBase):
            if t._base is not None:
                refresh_view(t)
            if t._node is not None:
                edge = (t._node, t._output_nr)
                needs |= bit
            elif t._requires_grad:
                edge = t
                needs |= bit
            elif t._inference:
                inference = True
        edges.append(edge)
        bit += bit
    flows = plan.flows
    if not needs or not flows:
        return
    gradient = plan.gradients.get(needs) or plan.gradient(needs)
    if inference and gradient.saves_anything and not grad_state.inference and not grad_state.transforming:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )
    node = CardNode.of(plan, gradient, edges, operands, position)
    for n in flows:
        result = results[n]
        result._node = node
        result._requires_grad = True
        if n:
            result._output_nr = n
    if gradient.saves_outputs:
        node.save_outputs(results)


def _apply_now(card: Card, operands: Sequence[Any], static: Static) -> Any:
    """Run a card whose output layouts depend on values."""
    arrays = [array_of(t) if isinstance(t, TensorBase) else t for t in operands]
    params = dict(zip(card.statics, static, strict=True))
    with np.errstate(all="ignore"):
        found = card.numpy(*arrays, **params)
    single = not isinstance(found, (tuple, list))
    results = tuple(tensor_of_array(np.asarray(a)) for a in ((found,) if single else found))
    if grad_state.enabled and any(isinstance(t, TensorBase) and requires_grad(t) for t in operands):
        layouts = tuple(t._layout if isinstance(t, TensorBase) else type(t) for t in operands)
        _attach(Plan(card, static, layouts, tuple(r._layout for r in results)), operands, results)
    if grad_state.tracer is not None:
        tracing(card, operands, params, results)
    return results[0] if single else results


def array_of(tensor: TensorBase) -> np.ndarray:
    """The tensor's values as a NumPy array over its own memory. Read only what you do not write."""
    if tensor._storage.special == ON_META:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    return tape.observe(tensor._storage).array(tensor._offset, tensor._layout)


def value_range(tensor: TensorBase) -> tuple[Any, Any]:
    """The least and the largest value of a tensor that has some, looked up again only after a write.

    Indices are checked against it at each call: data that stays the same is not read again, and nothing pending has to run.
    """
    storage = tensor._storage
    key = (tensor._offset, tensor._layout)
    known = storage.__dict__.setdefault("ranges", {})
    found = known.get(key)
    if found is None or found[0] != storage.version or storage.special:
        if storage.data is None or storage.version or storage.untracked or storage.special:
            values = array_of(tensor)
        else:  # nothing pending writes it
            values = storage.array(*key)
        found = known[key] = (storage.version, values.min(), values.max())
    return found[1], found[2]


def checking_values(check: Callable[..., None], *arguments: Any) -> None:
    """Call ``check(*arguments)``, which raises for some values: now, and again whenever a captured function is replayed."""
    if tape.state.capturing is not None and tape.state.capturing.mine():
        tape.state.capturing.check(check, *arguments)
    else:
        check(*arguments)


def tensor_of_array(array: np.ndarray) -> Tensor:
    """A fresh tensor that owns `array`, copied unless the array owns its memory in row-major order."""
    array = np.ascontiguousarray(array) if array.ndim else array
    if not array.flags.owndata or not array.flags.writeable:
        array = array.copy()
    return make_tensor(storage_of_array(array), 0, contiguous(array.shape, dt.from_numpy(array.dtype)))


def write_into(card: Card, target: Any, operands: Sequence[Any], static: Static = (), *, may_overlap: bool = False) -> Any:
    """Apply a card of one output in place: the result is written to `target`, whose layout stays.

    may_overlap: whether one memory location of `target` may stand for several elements.
    """
    storage, here = target._storage, target._layout
    key: list[Any] = [card, static, "in place", here]
    entered = []
    special = storage.special
    follow = target._requires_grad or target._base is not None
    aliased = False
    for t in operands:
        if isinstance(t, TensorBase):
            key.append(t._layout)
            entered.append((t._storage, t._offset, t._layout))
            if t._storage.special > special:
                special = t._storage.special
            if t._requires_grad or t._base is not None:
                follow = True
            if t._storage is storage and t is not target:
                aliased = True
        else:
            key.append(type(t))
            entered.append(t)
    modes = grad_state.__dict__
    needs = follow and modes["enabled"] and any(isinstance(t, TensorBase) and requires_grad(t) for t in (target, *operands))
    check_in_place(target, needs)
    tracer = modes["tracer"]
    if tracer is not None and type(tracer) is not list:
        tracer.before_write(target, operands)
    found = tuple(key)
    plan = _PLANS.get(found)
    if plan is None:
        if not may_overlap and has_internal_overlap(here.shape, here.stride):
            raise overlap_error()
        plan = _PLANS.recall(found) or _PLANS.remember(found, card.plan(operands, static, here))
    if aliased:
        check_overlap_with(target, operands)
    node = None
    if needs and plan.outs[0].dtype.category >= dt.FLOAT:
        edges = [edge_of(t) if isinstance(t, TensorBase) else None for t in operands]
        gradient = plan.gradient(sum(1 << n for n, edge in enumerate(edges) if edge is not None))
        # A gradient rule that wants the old value of the target is given a copy.
        node = CardNode.of(plan, gradient, edges, [target.clone() if t is target and n in gradient.saves else t for n, t in enumerate(operands)])
    if storage.special != ON_META:
        position = tape.record(plan, ((storage, target._offset, here),), entered)
        if node is not None:
            node.position = position
        if special:
            flush_if_shared((target, *operands))
    written(target, node, operands[0] is target)
    if node is not None:
        node.save_outputs((target,))
    if tracer is not None:
        tracing(card, operands, plan.params, (target,))
    return target


_SHARED_WITH_INPUT = "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."


def check_overlap(target: TensorBase, inputs: Sequence[Any], disjoint: bool = False) -> None:
    """Refuse to write to a tensor that overlaps itself or, partly (at all when `disjoint`), one of the inputs."""
    if has_internal_overlap(target._layout.shape, target._layout.stride):
        raise overlap_error()
    check_overlap_with(target, inputs, disjoint)


def check_overlap_with(target: TensorBase, inputs: Sequence[Any], disjoint: bool = False) -> None:
    """Refuse to write to a tensor that overlaps, partly (at all when `disjoint`), one of the inputs."""
    for t in inputs:
        if isinstance(t, TensorBase) and t._storage is target._storage and (overlaps_partially(t, target) or disjoint and not overlaps_nowhere(t, target)):
            raise RuntimeError(_SHARED_WITH_INPUT)


def overlap_error() -> RuntimeError:
    return RuntimeError(
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    )


def overlaps_partially(a: TensorBase, b: TensorBase) -> bool:
    """Whether two tensors over one storage certainly share part, not all, of their memory (ATen's MemoryOverlap.cpp)."""
    if a._offset == b._offset and a._layout.shape == b._layout.shape and a._layout.stride == b._layout.stride:
        return False
    if not (a._layout.dense and b._layout.dense) or not a._layout.numel or not b._layout.numel:
        return False
    if a._offset == b._offset and a._layout.numel == b._layout.numel:
        return a._layout.stride != b._layout.stride
    return a._offset < b._offset + b._layout.extent and b._offset < a._offset + a._layout.extent


def overlaps_nowhere(a: TensorBase, b: TensorBase) -> bool:
    """Whether two tensors over one storage lie apart, as far as is cheap to tell."""
    if a is b or (a._offset == b._offset and a._layout is b._layout):
        return False
    if not (a._layout.dense and b._layout.dense) or not a._layout.numel or not b._layout.numel:
        return True
    return not (a._offset < b._offset + b._layout.extent and b._offset < a._offset + a._layout.extent)


class View(Card):
    """A card that gives new metadata over the same storage.

    geometry: ``geometry(layout, **statics)`` gives ``(layout, offset from the input's first element)``, or a list of them
    for a card with several outputs.
    """

    def __init__(self, name: str, *, geometry: Callable[..., Any], statics: str = "", grads: Mapping[str, Rule] | None = None, backward: Rule | None = None, multi: bool = False, **rules: Any) -> None:
        super().__init__(name, "input", numpy=geometry, infer=geometry, statics=statics, grads=grads, backward=backward, **rules)
        self.multi = multi

    def plan_on(self, layout: Layout, static: Static) -> Plan:
        """What the card does on a layout."""
        assert self.infer is not None
        geometry: Any = self.infer(layout, **dict(zip(self.statics, static, strict=True)))
        pairs = geometry if self.multi else [geometry]
        plan = Plan(self, static, (layout,), tuple(p[0] for p in pairs))
        plan.deltas = tuple(p[1] for p in pairs)
        return plan

    def _incoming(self, grads: list[Tensor | None], plan: Plan) -> Any:
        if not self.multi:
            return grads[0]
        return tuple(grads) if any(g is not None for g in grads) else None


def apply_view(card: View, input: TensorBase, static: Static = ()) -> Any:
    """The view (or the tuple of views) that `card` makes of `input`."""
    key = (card, static, input._layout)
    found = _PLANS.get(key)
    if found is None:
        found = _PLANS.recall(key) or _PLANS.remember(key, card.plan_on(input._layout, static))
    offset = input._offset
    views: tuple[Tensor, ...]
    if card.multi:
        views = tuple([make_view(input, out, offset + delta) for out, delta in zip(found.outs, found.deltas, strict=True)])
    else:
        views = (make_view(input, found.outs[0], offset + found.deltas[0]),)
    base = input._base
    follow = input._requires_grad or base is not None
    modes = grad_state.__dict__
    if not modes["enabled"]:
        needed = follow and requires_grad(input)
        for v in views:
            v._view_kind = VIEW_INFERENCE if modes["inference"] else VIEW_NO_GRAD
            if needed and v._layout.dtype.category >= dt.FLOAT:
                v._requires_grad = True  # a leaf of its own
    else:
        if card.multi:
            for v in views:
                v._view_kind = VIEW_MULTI_OUTPUT
        elif input._view_kind:
            views[0]._view_kind = input._view_kind
        if follow and requires_grad(input):
            node = CardNode.of(found, found.gradients.get(1) or found.gradient(1), (edge_of(input),), (input,))
            for n, v in enumerate(views):
                if v._layout.dtype.category >= dt.FLOAT:
                    set_history(v, node, n)
    if modes["tracer"] is not None:
        tracing(card, (input,), found.params, views)
    return views if card.multi else views[0]


def make_view(input: TensorBase, layout: Layout, offset: int) -> Tensor:
    """A tensor over the storage of `input` that counts as a view of it."""
    out = make_tensor(input._storage, offset, layout)
    base = input._base
    out._base = input if base is None else base
    version = input._storage.version
    if version:
        out._seen_version = version
    if not input._tracks_version:
        out._tracks_version = False
    if input._inference is not out._inference:
        out._inference = input._inference  # also in inference mode, a view of an ordinary tensor is ordinary
    return out


def flush_if_shared(operands: Sequence[Any]) -> None:
    """Run an entry that has just been recorded if the outside can see memory of its operands."""
    storages = [t._storage for t in operands if isinstance(t, TensorBase)]
    for storage in storages:
        if storage.special == SHARED and not _seen_outside(storage):
            storage.special = 0
    if any(storage.special for storage in storages):
        tape.flush("shared")


def _seen_outside(storage: Storage) -> bool:
    """Whether anything but the storage still refers to its memory.

    A program that hands over an array and keeps none, as ``torch.from_numpy(a.copy())`` does, has an ordinary tensor.
    """
    data = storage.data
    assert data is not None
    owner = data if data.base is None else data.base
    if type(owner) is not np.ndarray or not owner.flags.owndata or weakref.getweakrefcount(owner):
        return True
    # Each is referred to by what holds it, by a name here and as the argument; without a base both are one array.
    if owner is data:
        return sys.getrefcount(data) > 4
    return sys.getrefcount(data) > 3 or sys.getrefcount(owner) > 3


def share(tensor: TensorBase) -> np.ndarray:
    """The tensor's memory as a NumPy array that the outside may keep: from now on its storage is never owed."""
    array = array_of(tensor)
    tensor._storage.special = SHARED
    return array
