"""The autograd graph: grad mode, nodes, saved tensors. Walking it backwards is `autograd.py`.

A node is made when an op is recorded with an input that requires grad. It keeps edges to where gradients go and,
of the op's inputs and outputs, just those that the gradient rules of the inputs in question name.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from . import tape
from .shape import Layout
from .storage import Storage, TensorBase

if TYPE_CHECKING:
    from .ops.card import Card, Plan
    from .ops.gradient import Gradient
    from .tensor import Tensor

#: How a view came about, for the checks on in-place writes (`TensorBase._view_kind`).
VIEW_PLAIN, VIEW_NO_GRAD, VIEW_MULTI_OUTPUT, VIEW_INFERENCE, VIEW_CUSTOM = range(5)


class GradState(threading.local):
    """Per thread: whether operations are recorded for the backward pass.

    What is on the path of every call reads `__dict__` once: an attribute of a thread-local costs four times as much.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.inference = False
        self.transforming = False  # inside `torch.func.grad` and its like
        self.saved_hooks: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]], ...] = ()
        self.saved_hooks_error: str | None = None
        self.anomaly = False
        self.check_nan = True
        self.backward_pass: Any = None  # the innermost one that is running
        self.tracer: Any = None  # a list of all ops that are applied, or what else is told of them (autograd/forward_ad.py)
        self.exporting = False  # whether the tracer's list becomes a graph for other inputs
        self.autocast: Any = None  # the lower precision while `torch.autocast` is on (autocasting.py)


grad_state = GradState()
sequence = itertools.count()
new = object.__new__
#: The class Tensor, which tensor.py puts here: ops make Tensors and are imported before it.
tensor_class: list[Any] = []


def make_tensor(storage: Storage, offset: int, layout: Layout) -> Tensor:
    """A tensor that is a leaf and does not require grad."""
    tensor = new(tensor_class[0])
    tensor._storage = storage
    tensor._offset = offset
    tensor._layout = layout
    tensor._node = None
    tensor._requires_grad = False
    tensor._base = None
    if grad_state.inference:
        tensor._inference = True
    return tensor


#: An operand as it was: the tensor (None for an output of the node that keeps it, which would be a cycle), what the
#: tape knows of it, and the version of its storage. A plain tuple, since one is made for nearly every operand.
Kept = tuple[TensorBase | None, tuple[Storage, int, Layout], int]


def restore(kept: Kept, node: Node, output_nr: int) -> Any:
    """The tensor that was kept, unless it has been written since. output_nr: of an output, which; else -1."""
    tensor, (storage, offset, layout), version = kept
    if storage.version != version and (tensor is None or tensor._tracks_version):
        raise RuntimeError(modified_message(node, kept, output_nr))
    if tensor is None:
        found = make_tensor(storage, offset, layout)
        if layout.dtype.category >= 2:  # the indices of an extremum have no history
            found._node, found._requires_grad, found._output_nr = node, True, output_nr
        return found
    if tensor._storage is storage and tensor._layout is layout and tensor._offset == offset:
        return tensor
    # The tensor has been given other data since (`.data = ...`).
    found = make_tensor(storage, offset, layout)
    found._node, found._requires_grad, found._output_nr = tensor._node, tensor._requires_grad, tensor._output_nr
    return found


class Saved:
    """A tensor that somebody other than a card's node keeps for the backward pass."""

    __slots__ = ("kept", "output_nr")

    def __init__(self, tensor: TensorBase, output_nr: int = -1) -> None:
        storage = tensor._storage
        self.kept: Kept = (None if output_nr >= 0 else tensor, (storage, tensor._offset, tensor._layout), storage.version)
        self.output_nr = output_nr

    def get(self, node: Node) -> Any:
        return restore(self.kept, node, self.output_nr)


class Packed:
    """What a `saved_tensors_hooks` pack hook has made of a tensor."""

    __slots__ = ("value", "unpack", "edge")

    def __init__(self, tensor: TensorBase, is_output: bool, output_nr: int) -> None:
        pack, self.unpack = grad_state.saved_hooks[-1]
        # Where the gradient of what comes back goes; for an output that is the node itself, given by its number.
        self.edge: Edge = output_nr if is_output else edge_of(tensor)
        given = make_tensor(tensor._storage, tensor._offset, tensor._layout) if is_output else tensor
        before = given._storage.version
        enabled, grad_state.enabled = grad_state.enabled, False
        try:
            self.value = pack(given)
        finally:
            grad_state.enabled = enabled
        if given._storage.version != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if you need to perform in-place operations on the input to a pack hook."
            )

    def get(self, node: Node) -> Any:
        tape.thread.position = None
        found = self.unpack(self.value)
        if not isinstance(found, TensorBase):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}")
        edge = self.edge
        if edge is None or edge is found or found._layout.dtype.category < 2:
            return found
        if type(edge) is int:
            edge = (node, edge)
        elif type(edge) is not tuple:
            edge = (LeafAlias((edge,), (edge._layout,)), 0)
        if found._node is not edge[0]:
            found = make_tensor(found._storage, found._offset, found._layout)
            set_history(found, *edge)
        return found


def save(tensor: TensorBase) -> Saved | Packed:
    """An operand, kept; through the pack hook if there is one."""
    return Packed(tensor, False, tensor._output_nr) if grad_state.saved_hooks else Saved(tensor)


def save_output(tensor: TensorBase, output_nr: int) -> Saved | Packed:
    """An output, kept by its own node; through the pack hook if there is one."""
    return Packed(tensor, True, output_nr) if grad_state.saved_hooks else Saved(tensor, output_nr)


def modified_message(node: Node, kept: Kept, output_nr: int) -> str:
    tensor, (storage, _, layout), version = kept
    if output_nr >= 0:
        which = f"output {output_nr} of {forward_name(node)}"
    elif tensor is not None and tensor._node is not None:
        which = f"output {tensor._output_nr} of {forward_name(tensor._node)}"
    else:
        which = ""
    hint = (
        "Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable in question was changed in there or anywhere later. Good luck!"
        if grad_state.anomaly
        else "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
    return (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{layout.dtype.type_name}Tensor {list(layout.shape)}]{which and ', which is ' + which + ','} is at version {storage.version}; "
        f"expected version {version} instead. {hint}"
    )


def forward_name(node: Node) -> str:
    """The name of the operation that a node is the gradient of, for messages."""
    return node.name().rstrip("0123456789").removesuffix("Backward")


Edge = Any  # a (Node, output number) pair, a leaf tensor, or None


class Node:
    """One step of the backward pass.

    Subclasses say how gradients of the outputs become gradients of the inputs. `sequence` grows along the forward
    pass, so visiting nodes by falling sequence visits every node after all that consume its outputs.
    """

    __slots__ = ("edges", "sequence", "layouts", "__weakref__", "__dict__")

    #: Whether nothing outside the backward pass can hold the memory of the gradients that it gives.
    fresh_gradients = False

    # Most nodes have none of these; they live in `__dict__` where somebody sets them.
    hooks: dict[int, Any] | None = None
    prehooks: dict[int, Any] | None = None
    capture: dict[int, dict[int, Any]] | None = None  # hooks of output tensors, by output number
    retained: dict[int, weakref.ref[Any]] | None = None  # output tensors that called `retain_grad`
    traceback: str | None = None  # of the forward call, kept while anomaly detection is on

    def __init__(self, edges: Sequence[Edge], layouts: tuple[Layout, ...]) -> None:
        self.edges = edges
        self.layouts = layouts  # of the outputs
        self.sequence = next(sequence)
        if grad_state.anomaly:
            self.traceback = call_stack()

    def name(self) -> str:
        return type(self).__name__

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        raise TypeError(f"{self.name()} has no gradient rule")

    def release(self) -> None:
        """Forget what was saved; called after a backward pass that does not retain the graph."""

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that gradients go to, with the number of their output, as PyTorch lists them."""
        return tuple(
            (None, 0) if edge is None else ((shown(edge[0]), edge[1]) if type(edge) is tuple else (AccumulateGrad.of(edge), 0)) for edge in self.edges
        )

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes on this node."""
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node has run; a result replaces the gradients of the inputs."""
        if self.hooks is None:
            self.hooks = {}
        return self._add_hook(self.hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_outputs)`` before this node runs; a result replaces the gradients of the outputs."""
        if self.prehooks is None:
            self.prehooks = {}
        return self._add_hook(self.prehooks, hook)

    def _add_hook(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> Any:
        from .utils.hooks import RemovableHandle

        tape.not_replayed("a hook is registered")
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def __repr__(self) -> str:
        return f"<{self.name().rpartition('::')[2]} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """Stands for a leaf where somebody asks for the graph's nodes; the backward pass itself goes to the leaf."""

    __slots__ = ("variable",)

    variable: Any  # the leaf

    #: Whether any leaf has had hooks or a node: then the backward pass finishes each leaf as soon as it can.
    in_use = False

    @classmethod
    def of(cls, leaf: Any) -> AccumulateGrad:
        found = cls.existing(leaf)
        if found is None:
            found = cls((), (leaf._layout,))
            found.variable = leaf
            leaf.__dict__["_accumulator"] = weakref.ref(found)
        return found

    @staticmethod
    def existing(leaf: Any) -> AccumulateGrad | None:
        reference = leaf.__dict__.get("_accumulator")
        return reference() if reference is not None else None

    @classmethod
    def is_watched(cls, leaf: Any) -> bool:
        """Whether somebody is to be told when a leaf is given its gradient."""
        return cls.in_use and not _WATCHED.isdisjoint(leaf.__dict__)

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def _add_hook(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> Any:
        AccumulateGrad.in_use = True
        self.variable.__dict__["_accumulator_with_hooks"] = self  # as long as the leaf: nothing else holds this node
        return Node._add_hook(self, hooks, hook)


_WATCHED = frozenset(("_hooks", "_post_accumulate_hooks", "_accumulator_with_hooks"))


class LeafAlias(Node):
    """Leads from another tensor with the values of a leaf to the leaf."""

    __slots__ = ()

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        return grads


class GradientEdge(NamedTuple):
    """One output of a node: what `torch.autograd.grad` takes in place of a tensor."""

    node: Node
    output_nr: int
    ownership_token: Any = None

    def edge(self) -> Edge:
        """The edge of the backward pass."""
        return self.node.variable if isinstance(self.node, AccumulateGrad) else (self.node, self.output_nr)


#: What nodes hold that keep nothing: they can be gone through again.
NOTHING: dict[int, Any] = {}
FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if "
    "you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
)


class CardNode(Node):
    """The gradient of a recorded op, by the rules on its card."""

    fresh_gradients = True

    __slots__ = ("plan", "gradient", "saved", "position", "title")

    title: str  # of the last node of a function made of several ops that PyTorch has as one: its name there
    plan: Plan
    gradient: Gradient  # which rules run, and what they need
    saved: dict[int, Any] | None  # by operand, and by -1 - output: a `Kept`, a `Packed` or a number; None once released
    position: tape.Position  # where the user's program asked for the op

    @staticmethod
    def of(plan: Plan, gradient: Gradient, edges: Sequence[Edge], operands: Sequence[Any], position: tape.Position = None) -> CardNode:
        """A node that keeps those of the operands that its gradient rules name."""
        # No constructor: calling one from Python costs as much as all that is done here.
        node = new(CardNode)
        node.plan, node.gradient, node.position = plan, gradient, position
        node.edges, node.layouts = edges, plan.outs
        node.sequence = next(sequence)
        modes = grad_state.__dict__
        if gradient.saves_anything:
            saved = node.saved = {}
            hooks = modes["saved_hooks"]
            for n in gradient.saves:
                t = operands[n]
                if not isinstance(t, TensorBase):
                    saved[n] = t
                elif hooks:
                    saved[n] = Packed(t, False, t._output_nr)
                else:
                    storage = t._storage
                    saved[n] = (t, (storage, t._offset, t._layout), storage.version)
        else:
            node.saved = NOTHING
        if modes["anomaly"]:
            node.traceback = call_stack()
        return node

    def save_outputs(self, outputs: Sequence[TensorBase]) -> None:
        """Keep the outputs that the gradient rules name; called once they are there."""
        assert self.saved is not None
        for n in self.gradient.saves_outputs:
            t = outputs[n]
            storage = t._storage
            self.saved[-1 - n] = Packed(t, True, n) if grad_state.saved_hooks else (None, (storage, t._offset, t._layout), storage.version)

    def name(self) -> str:
        return getattr(self, "title", None) or self.plan.card.node_name_of(self.plan)

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        if self.saved is None:
            raise RuntimeError(FREED)
        return self.plan.card.backward(self, grads)

    def backward_to(self, grads: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        """`backward` for those edges alone that are wanted."""
        if self.saved is None:
            raise RuntimeError(FREED)
        bits = sum(1 << n for n, each in enumerate(wanted) if each)
        return self.plan.card.backward(self, grads, self.plan.gradients.get(bits) or self.plan.gradient(bits))

    def get(self, index: int) -> Any:
        """What was saved under this index."""
        assert self.saved is not None
        value = self.saved[index]
        if type(value) is tuple:
            return restore(value, self, -1 - index)
        return value.get(self) if type(value) is Packed else value

    def release(self) -> None:
        if self.saved is not NOTHING:
            self.saved = None


_SHOWN: dict[tuple[Card, str], type[CardNode]] = {}


def shown(node: Node) -> Node:
    """The node, as users see it: of a class with PyTorch's name for it and with what is saved as attributes.

    Nodes are made without, which costs nothing at each op, and given it when somebody first looks at them.
    """
    if type(node) is CardNode:
        key = (node.plan.card, node.name())
        found = _SHOWN.get(key)
        if found is None:
            found = _SHOWN[key] = type(key[1], (CardNode,), {"__slots__": (), "__module__": "builtins", **_saved_attributes(key[0])})
        node.__class__ = found
    return node


def _saved_attributes(card: Card) -> dict[str, property]:
    """What a node of the card says was saved: operands and outputs, None for those that its gradients do not need."""
    if card.variadic or not card.saves_anything:
        return {}
    named = card.named_by_rules()
    places = {**{name: n for n, name in enumerate(card.operands)}, **{name: -1 - n for n, name in enumerate(card.outputs)}}
    return {f"_saved_{_PYTORCHS_NAMES.get(name, name)}": property(_saved_at(place)) for name, place in places.items() if name in named}


_PYTORCHS_NAMES = {"input": "self", "output": "result"}


def _saved_at(place: int) -> Callable[[CardNode], Any]:
    def saved(node: CardNode) -> Any:
        if node.saved is None:
            raise RuntimeError(FREED)
        return node.get(place) if place in node.saved else None

    return saved


class AsStridedNode(Node):
    """The gradient of a view of a tensor that an in-place write has given a new history: through as_strided of the base."""

    __slots__ = ("base_layout", "delta")

    def __init__(self, view: TensorBase, base: TensorBase) -> None:
        Node.__init__(self, (edge_of(base),), (view._layout,))
        self.base_layout, self.delta = base._layout, view._offset - base._offset

    def name(self) -> str:
        return "AsStridedBackward0"

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        from .ops.views import as_strided_backward

        return (None if grads[0] is None else as_strided_backward(grads[0], self.base_layout, self.layouts[0], self.delta),)


# As PyTorch calls it, for whoever draws the graph.
AsStridedNode.__name__ = AsStridedNode.__qualname__ = "AsStridedBackward0"


class CopySlices(Node):
    """The history of a base after an in-place write through a view of it.

    The part of the gradient that belongs to the view goes through the write's own node, the rest passes by.
    """

    __slots__ = ("inner", "view_layout", "delta", "reads_view")

    def name(self) -> str:
        return "torch::autograd::CopySlices"

    def __init__(self, base: TensorBase, view: TensorBase, inner: Node, reads_view: bool) -> None:
        # Edge 0 is the base as it was; the others are the write's, except the one of the view as it was.
        Node.__init__(self, (edge_of(base), *inner.edges[reads_view:]), (base._layout,))
        self.inner, self.reads_view = inner, reads_view
        self.view_layout, self.delta = view._layout, view._offset - base._offset

    def backward(self, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        grad = grads[0]
        if grad is None:
            return (None,) * len(self.edges)
        from .ops.views import restride

        rest = restride(grad, self.layouts[0])
        inside = rest.as_strided(self.view_layout.shape, self.view_layout.stride, self.delta)
        inner = self.inner.backward([inside.clone()])
        through = inner[0] if self.reads_view else None
        if through is not None:
            inside.copy_(through)
        else:
            inside.zero_()
        return (rest, *inner[self.reads_view :])

    def release(self) -> None:
        self.inner.release()


def requires_grad(tensor: TensorBase) -> bool:
    if tensor._requires_grad:
        return True
    base = tensor._base
    return base is not None and base._requires_grad and tensor._layout.dtype.category >= 2


def refresh_view(tensor: TensorBase) -> None:
    """Give a view the history that an in-place write elsewhere has given its base."""
    base = tensor._base
    if base is None or tensor._seen_version == tensor._storage.version:
        return
    if base._requires_grad and tensor._layout.dtype.category >= 2:
        if tensor._view_kind:
            raise RuntimeError(forbidden_write(tensor, "its base or another view of its base has been"))
        tensor._seen_version = tensor._storage.version
        tensor._node = AsStridedNode(tensor, base)
        tensor._output_nr = 0
        tensor._requires_grad = True


def forbidden_write(view: TensorBase, what: str) -> str:
    """Why a view of a kind other than VIEW_PLAIN must not have been written, itself or through its base."""
    node, kind = view._node, view._view_kind
    output = f"Output {view._output_nr} of {forward_name(node)} is a view" if node is not None else ""
    if kind in (VIEW_NO_GRAD, VIEW_INFERENCE) or node is None:
        mode = "inference" if kind == VIEW_INFERENCE else "no_grad"
        made = f"{output} of a view which was created in {mode} mode" if output else f"A view was created in {mode} mode"
        when = "in normal mode" if kind == VIEW_INFERENCE else "with grad mode enabled"
        message = f"{made} and {what} modified inplace {when}."
    else:
        message = f"{output} and {what} modified inplace."
    return f"{message} {_WHY_FORBIDDEN[kind]}"


def _ambiguous(block: str) -> str:
    return (
        "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside "
        f"the {block} block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
    )


_WHY_FORBIDDEN = {
    VIEW_NO_GRAD: _ambiguous("no_grad"),
    VIEW_INFERENCE: _ambiguous("inference_mode"),
    VIEW_MULTI_OUTPUT: "This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. "
    "You should replace the inplace operation by an out-of-place one.",
    VIEW_CUSTOM: "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would override "
    "the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.",
}


def edge_of(tensor: TensorBase) -> Edge:
    """Where the gradient of `tensor` goes."""
    if tensor._base is not None:
        refresh_view(tensor)
    if tensor._node is not None:
        return (tensor._node, tensor._output_nr)
    return tensor if tensor._requires_grad else None


def set_history(tensor: TensorBase, node: Node, nr: int = 0) -> None:
    """Make `tensor`, just computed, an output of `node`."""
    tensor._node = node
    tensor._requires_grad = True
    if nr:
        tensor._output_nr = nr


def check_in_place(tensor: TensorBase, needs_grad: bool) -> None:
    """Refuse an in-place write that autograd cannot follow, before anything is written.

    needs_grad: whether some other operand of the write requires grad.
    """
    if tensor._inference and not grad_state.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal tensor before doing inplace update."
            "See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if not grad_state.enabled or not (needs_grad or requires_grad(tensor)):
        return
    base = tensor._base
    if base is not None:
        if tensor._view_kind:
            raise RuntimeError(forbidden_write(tensor, "is being"))
        if base._requires_grad and base._node is None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        refresh_view(tensor)
    elif tensor._requires_grad and tensor._node is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def written(tensor: TensorBase, node: Node | None, reads_target: bool) -> None:
    """Note that `tensor` was written in place, and by which node (None when autograd does not follow).

    reads_target: whether the node's first edge is for the old value of `tensor`.
    """
    if tensor._tracks_version:
        tensor._storage.version += 1
    else:
        tensor._own_version += 1
        tensor._storage.untracked = True
    if node is None:
        return
    base = tensor._base
    if base is None:
        if tensor._retains_grad:
            move_retained(tensor, node)
        tensor._node, tensor._requires_grad, tensor._output_nr = node, True, 0
        return
    slices = CopySlices(base, tensor, node, reads_target)
    if base._retains_grad:
        move_retained(base, slices)
    base._node, base._requires_grad, base._output_nr = slices, True, 0
    tensor._seen_version = -1
    refresh_view(tensor)


def retain_grad(tensor: TensorBase) -> None:
    """Have the backward pass leave the gradient of a tensor that is no leaf in its ``.grad``."""
    assert tensor._node is not None
    tensor._retains_grad = True
    if tensor._node.retained is None:
        tensor._node.retained = {}
    tensor._node.retained[tensor._output_nr] = weakref.ref(tensor)


def move_retained(tensor: TensorBase, node: Node, nr: int = 0) -> None:
    """The tensor becomes an output of another node, and with it where its ``.grad`` comes from."""
    if tensor._node is not None and tensor._node.retained is not None:
        tensor._node.retained.pop(tensor._output_nr, None)
        node.retained = {nr: weakref.ref(tensor)}


def adopt_history(tensor: TensorBase, computed: TensorBase) -> None:
    """Make `tensor`, which has been given the values of `computed` in place, the same output of the same node."""
    assert computed._node is not None
    if tensor._retains_grad:
        move_retained(tensor, computed._node, computed._output_nr)
    tensor._node, tensor._requires_grad, tensor._output_nr = computed._node, True, computed._output_nr


def call_stack() -> str:
    """The user's position, for errors in the backward pass."""
    import os
    import traceback

    package = os.path.dirname(__file__) + os.sep
    frames = traceback.extract_stack()
    while frames and frames[-1].filename.startswith(package):
        frames.pop()
    return "".join(traceback.format_list(frames))


@contextmanager
def trace_ops(exporting: bool = False) -> Iterator[list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]]]:
    """Collect ``(card name, operands, static arguments, outputs)`` of each op applied in the block, for exporters."""
    outer, grad_state.tracer = grad_state.tracer, []
    outside, grad_state.exporting = grad_state.exporting, exporting
    try:
        yield grad_state.tracer
    finally:
        grad_state.tracer, grad_state.exporting = outer, outside


def exported_whole(name: str, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What `compute` gives; to an exporter one op of this name, whatever it is made of."""
    if not grad_state.exporting:
        return compute()
    with trace_ops():
        found = compute()
    assert grad_state.tracer is not None
    grad_state.tracer.append((name, tuple(operands), params, found))
    return found


def tracing(card: Card, operands: Sequence[Any], params: dict[str, Any], outputs: Sequence[Any]) -> None:
    if grad_state.tracer is not None:
        grad_state.tracer.append((card.name, tuple(operands), params, tuple(outputs)))


def dual_level() -> Any:
    """The level of forward mode that is open, None without."""
    tracer = grad_state.tracer
    return None if type(tracer) is list else tracer


def flush() -> None:
    tape.flush()
