"""The backward pass: gradients from the roots through the graph to the leaves.

The pass visits nodes by falling sequence number: every node is newer than those its gradients go to, so a heap is all
the order that is needed, and neither building, walking nor freeing a graph recurses.
"""

from __future__ import annotations

import heapq
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt, ops, tape
from ..graph import (
    AccumulateGrad,
    CardNode,
    Edge,
    GradientEdge,
    Node,
    edge_of,
    grad_state,
    make_tensor,
    refresh_view,
    requires_grad,
    retain_grad,
)
from ..ops.card import tensor_of_array
from ..ops.creation import filled
from ..recent import Recent
from ..shape import Layout, contiguous
from ..storage import TensorBase
from . import known_pass
from .routine_node import OWN_NODES

if TYPE_CHECKING:
    from ..tensor import Tensor


def fit(grad: Tensor, layout: Any, node: Node | None, nr: int) -> Tensor:
    """`grad` summed over broadcast dims and cast, so that it is a gradient of something with `layout`."""
    here = grad._layout
    if here.shape != layout.shape:
        if not ops.is_expandable_to(layout.shape, here.shape):
            name = node.name() if node is not None else "function"
            raise RuntimeError(f"Function {name} returned an invalid gradient at index {nr} - got {list(here.shape)} but expected shape compatible with {list(layout.shape)}")
        grad = ops.sum_to_size(grad, layout.shape)
    if grad._layout.dtype is not layout.dtype:
        if grad._layout.dtype.is_complex and not layout.dtype.is_complex:
            grad = grad.real
        if grad._layout.dtype is not layout.dtype:
            grad = grad.to(layout.dtype)
    return grad


class _Pass:
    """One backward pass: gradients waiting for each node, and where they end."""

    def __init__(self, roots: Sequence[Edge], create_graph: bool, retain_graph: bool, targets: Sequence[Edge] | None, accumulate: bool, since: int) -> None:
        self.roots = roots
        self.since = since  # nodes and leaves from before are for other passes to tell of their gradients
        self.create_graph, self.retain_graph, self.accumulate = create_graph, retain_graph, accumulate
        # Nodes that have been sent something, by their negated sequence number: the newest is the heap's smallest.
        self.heap: list[int] = []
        self.outer = tape.thread.position
        self.position = self.outer or tape.user_position(2)  # of all that gradient rules record
        self.waiting: dict[int, tuple[Node, list[Tensor | None]]] = {}
        self.leaves: dict[int, tuple[Tensor, Tensor]] = {}
        # By id of a leaf, or by (id of a node, output number).
        self.captured: dict[Any, Tensor] = {}
        self.wanted_leaves: set[int] | None = None
        self.wanted_outputs: set[tuple[int, int]] = set()
        self.useful: set[int] | None = None
        # Edges to each leaf still to come, counted only where somebody could see when a leaf's gradient is complete.
        self.uses: dict[int, int] | None = None
        # Storages of gradients that something outside the pass may hold: they must not become a `.grad`.
        self.shared: set[int] = set()
        if targets is not None:
            self.wanted_leaves = {id(t) for t in targets if type(t) is not tuple}
            self.wanted_outputs = {(id(t[0]), t[1]) for t in targets if type(t) is tuple}

    def prune(self, roots: Iterable[Node]) -> None:
        """Find the nodes, of those not made before `since`, from which some target can be reached; the others need not run."""
        useful: set[int] = set()
        targets = {key[0] for key in self.wanted_outputs}
        stack: list[tuple[Node, bool]] = [(r, False) for r in roots]
        seen: set[int] = set()
        while stack:
            node, done = stack.pop()
            if done:
                for edge in node.edges:
                    if edge is None:
                        continue
                    if type(edge) is tuple:
                        if id(edge[0]) in useful or id(edge[0]) in targets:
                            useful.add(id(node))
                    elif id(edge) in self.wanted_leaves:  # type: ignore[operator]
                        useful.add(id(node))
                continue
            if id(node) in seen or node.sequence < self.since:
                continue
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((edge[0], False) for edge in node.edges if type(edge) is tuple and id(edge[0]) not in seen)
        self.useful = useful

    def leads_to_target(self, edge: Edge) -> bool:
        """Whether a gradient along this edge is asked for, in a pass with targets."""
        if type(edge) is tuple:
            assert self.useful is not None
            return id(edge[0]) in self.useful or (id(edge[0]), edge[1]) in self.wanted_outputs
        return edge is not None and id(edge) in self.wanted_leaves  # type: ignore[operator]

    def edges(self) -> Iterator[Edge]:
        """All edges that gradients will go along."""
        stack = list(self.roots)
        seen: set[int] = set()
        while stack:
            edge = stack.pop()
            if edge is None:
                continue
            yield edge
            if type(edge) is tuple:
                key = id(edge[0])
                if key not in seen and (self.useful is None or key in self.useful):
                    seen.add(key)
                    stack.extend(edge[0].edges)

    def count_uses(self) -> None:
        """Count the edges to each leaf, so that `finish` runs its hooks as soon as its gradient is complete."""
        self.uses = dict(Counter(id(edge) for edge in self.edges() if type(edge) is not tuple))

    def reaches(self, edges: Iterable[Edge]) -> int:
        """How many of these edges lead to something whose gradient this pass computes."""
        reached = {id(edge[0]) if type(edge) is tuple else id(edge) for edge in self.edges()}
        if self.wanted_leaves is not None and self.useful is not None:
            reached &= self.wanted_leaves | self.useful | {key[0] for key in self.wanted_outputs}
        return sum((id(edge[0]) if type(edge) is tuple else id(edge)) in reached for edge in edges)

    def send(self, edge: Edge, grad: Tensor | None) -> None:
        """Add a gradient (None where there is none) to what the edge leads to."""
        if type(edge) is tuple:
            node, nr = edge
            turn = -node.sequence
            entry = self.waiting.get(turn)
            if entry is None:
                slots: list[Tensor | None] = [None] * len(node.layouts)
                slots[nr] = grad
                self.waiting[turn] = (node, slots)
                heapq.heappush(self.heap, turn)
            elif grad is not None:
                slots = entry[1]
                have = slots[nr]
                slots[nr] = grad if have is None else have + grad
            return
        key = id(edge)
        if grad is not None and (self.wanted_leaves is None or key in self.wanted_leaves):
            found = self.leaves.get(key)
            self.leaves[key] = (edge, grad if found is None else found[1] + grad)
        if self.uses is not None:
            self.uses[key] -= 1
            if not self.uses[key] and key in self.leaves:
                self.finish(*self.leaves.pop(key))

    def run(self) -> None:
        """Send gradients through all nodes, to the leaves."""
        heap, waiting = self.heap, self.waiting
        while heap:
            node, grads = waiting.pop(heapq.heappop(heap))
            if (node.capture is not None or node.retained is not None) and node.sequence >= self.since:
                self.tell(node, grads)
            if self.wanted_outputs:
                for nr, g in enumerate(grads):
                    if g is not None and (id(node), nr) in self.wanted_outputs:
                        self.captured[id(node), nr] = g
            if self.useful is None or id(node) in self.useful:
                self.step(node, grads)

    def tell(self, node: Node, grads: list[Tensor | None]) -> None:
        """Call the hooks of a node's outputs, and give those their gradients that retain them."""
        for nr, hooks in (node.capture or {}).items():
            if (grad := grads[nr]) is not None:
                grads[nr] = self.call_hooks(hooks, grad)
        for nr, reference in (node.retained or {}).items():
            tensor = reference()
            if tensor is not None and (grad := grads[nr]) is not None:
                tensor._grad = grad.clone() if tensor._grad is None else tensor._grad + grad

    def finish_leaves(self) -> None:
        """All gradients are there: keep them, or add them to ``.grad``."""
        if self.accumulate and not AccumulateGrad.in_use:  # no leaf has a hook
            tape.thread.position = self.position
            try:
                for leaf, grad in self.leaves.values():
                    accumulate_grad(leaf, grad, self.create_graph, self.shared)
            finally:
                tape.thread.position = self.outer
        else:
            for leaf, grad in self.leaves.values():
                self.finish(leaf, grad)

    def call_hooks(self, hooks: dict[int, Any], grad: Tensor) -> Tensor:
        """The gradient after a tensor's hooks."""
        for hook in list(hooks.values()):
            self.shared.add(id(grad._storage))
            replaced = hook(grad)
            if replaced is not None:
                _check_replacement(hook, grad, replaced)
                grad = replaced
        self.shared.add(id(grad._storage))
        return grad

    def step(self, node: Node, grads: list[Tensor | None]) -> None:
        """Run one node and send its gradients on."""
        if (type(node) not in OWN_NODES and not isinstance(node, OWN_NODES)) or node.hooks or node.prehooks or grad_state.anomaly:
            self.step_with_hooks(node, grads)
            return
        tape.thread.position = self.position
        try:
            try:
                wanted = list(map(self.leads_to_target, node.edges)) if self.useful is not None else ()
                if isinstance(node, CardNode) and False in wanted:
                    found = node.backward_to(grads, wanted)
                else:
                    found = node.backward(grads)
            except Exception as error:
                if isinstance(node, CardNode):
                    tape.located(error, f"in the gradient of {tape.describe(node.plan)}", node.position)
                raise
            if not node.fresh_gradients:
                self.shared.update([id(g._storage) for g in found if g is not None])
            if not self.retain_graph:
                node.release()
            turns: Iterable[tuple[int, tuple[Edge, Tensor | None]]] = enumerate(zip(node.edges, found, strict=True))
            if self.uses is not None and isinstance(node, CardNode) and 0 < len(node.plan.card.sends) <= len(node.edges):
                gradients, order = list(turns), node.plan.card.sends
                turns = [*(gradients[nr] for nr in order), *gradients[len(order) :]]
            for nr, (edge, g) in turns:
                if edge is not None and (not wanted or wanted[nr]):
                    self.send(edge, g if g is None else self.fitted(g, edge, node, nr))
        finally:
            tape.thread.position = self.outer

    def step_with_hooks(self, node: Node, grads: list[Tensor | None]) -> None:
        """The same for any node: the user's own, or one that is watched."""
        if node.prehooks:
            for hook in list(node.prehooks.values()):
                grads = list(self.node_hook(hook, grads, (tuple(grads),)))
        try:
            found = self.watched(node, grads) if grad_state.anomaly else node.backward(grads)
        except Exception as error:
            if isinstance(node, CardNode) and not grad_state.anomaly:
                tape.located(error, f"in the gradient of {tape.describe(node.plan)}", node.position)
            raise
        if not node.fresh_gradients:
            self.shared.update([id(g._storage) for g in found if g is not None])
        edges = node.edges
        results: Sequence[Tensor | None] = [
            g if g is None or edge is None else self.fitted(g, edge, node, nr)
            for nr, (edge, g) in enumerate(zip(edges, found, strict=True))
        ]
        for hook in list((node.hooks or {}).values()):
            results = list(self.node_hook(hook, results, (tuple(results), tuple(grads))))
        if not self.retain_graph:
            node.release()
        for edge, g in zip(edges, results, strict=True):
            if edge is not None:
                self.send(edge, g)

    @staticmethod
    def fitted(grad: Tensor, edge: Edge, node: Node, nr: int) -> Tensor:
        """A gradient with the shape and dtype of what the edge leads to."""
        wanted = edge[0].layouts[edge[1]] if type(edge) is tuple else edge._layout
        here = grad._layout
        if here is wanted or (here.shape == wanted.shape and here.dtype is wanted.dtype):
            return grad
        return fit(grad, wanted, node, nr)

    def node_hook(self, hook: Callable[..., Any], values: Sequence[Tensor | None], arguments: tuple[Any, ...]) -> Sequence[Tensor | None]:
        """What a hook on a node makes of `values`."""
        self.shared.update(id(g._storage) for arg in arguments for g in arg if g is not None)
        replaced = hook(*arguments)
        if replaced is None:
            return values
        if not isinstance(replaced, tuple):
            raise TypeError(f"expected tuple, but hook returned '{type(replaced).__name__}'")
        if len(replaced) != len(values):
            raise RuntimeError(f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(replaced)}, but expected {len(values)})")
        for old, new in zip(values, replaced, strict=True):
            if new is not None:
                _check_replacement(hook, old, new)
                self.shared.add(id(new._storage))
        return replaced

    def finish(self, leaf: Tensor, grad: Tensor) -> None:
        """The gradient of a leaf is complete: run its hooks, and keep it or add it to ``.grad``."""
        tape.thread.position = self.outer
        notes = leaf.__dict__
        if "_hooks" in notes and not self.since:
            grad = self.call_hooks(notes["_hooks"], grad)
        node = AccumulateGrad.existing(leaf) if AccumulateGrad.in_use else None
        if not self.accumulate:
            self.captured[id(leaf)] = grad
            return
        if node is not None and node.prehooks:
            for hook in list(node.prehooks.values()):
                (grad,) = self.node_hook(hook, (grad,), ((grad,),))  # type: ignore[assignment]
        post_hooks = list(notes.get("_post_accumulate_hooks", {}).values())
        if post_hooks:
            self.shared.add(id(grad._storage))  # they may write `.grad` while this gradient waits elsewhere too
        accumulate_grad(leaf, grad, self.create_graph, self.shared)
        for hook in post_hooks:
            hook(leaf)
        if node is not None and node.hooks:
            for hook in list(node.hooks.values()):
                hook((), (grad,))

    def watched(self, node: Node, grads: list[Tensor | None]) -> Sequence[Tensor | None]:
        """Run a node in anomaly mode: where it came from is told if it fails or gives nan."""
        try:
            found = node.backward(grads)
            if grad_state.check_nan:
                for n, g in enumerate(found):
                    if g is not None and g._layout.dtype.category >= dt.FLOAT and bool(ops.isnan(g).any()):
                        raise RuntimeError(f"Function '{node.name()}' returned nan values in its {n}th output.")
        except Exception as error:
            if not getattr(error, "_located", False):
                error._located = True  # type: ignore[attr-defined]
                warnings.warn(_where_from(node), stacklevel=5)
            raise
        return found


def _where_from(node: Node) -> str:
    """The forward call that a node came from."""
    if node.traceback is None:
        return f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during forward pass for more information."
    return f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{node.traceback}"


def _name(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def _check_replacement(hook: Callable[..., Any], old: Tensor | None, new: Any) -> None:
    if not isinstance(new, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
    if old is None:
        return
    if new._layout.dtype is not old._layout.dtype:
        was, got = (f"torch.{t._layout.dtype.type_name}Tensor" for t in (old, new))
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was {was} got {got})")
    if new._layout.shape != old._layout.shape:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the size of value")


def _roots(tensors: Sequence[Any], grad_tensors: Sequence[Tensor | None]) -> list[tuple[Edge, Tensor | None]]:
    """Where the pass begins and with which gradients; None is 1."""
    found: list[tuple[Edge, Tensor | None]] = []
    for n, (t, g) in enumerate(zip(tensors, grad_tensors, strict=True)):
        if isinstance(t, GradientEdge):
            edge = t.edge()
            layout = edge[0].layouts[edge[1]] if type(edge) is tuple else edge._layout
        else:
            edge, layout = edge_of(t), t._layout
        if g is None:
            if layout.numel != 1:
                if edge is None:
                    raise RuntimeError(f"element {n} of tensors does not require grad and does not have a grad_fn")
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if layout.dtype.is_complex:
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {layout.dtype}")
        else:
            if not isinstance(g, TensorBase):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
            if g._layout.shape != layout.shape:
                raise RuntimeError(f"Mismatch in shape: grad_output[{n}] has a shape of {g._layout.size} and output[{n}] has a shape of {layout.size}.")
            if g._layout.dtype.is_complex != layout.dtype.is_complex:
                raise RuntimeError(
                    f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: grad_output[{n}] has a dtype of {g.dtype} and output[{n}] has a dtype of {layout.dtype}."
                )
        if edge is None:
            raise RuntimeError(f"element {n} of tensors does not require grad and does not have a grad_fn")
        if g is not None and g._layout.dtype is not layout.dtype:
            g = g.to(layout.dtype)
        found.append((edge, g))
    return found


def _ones(edge: Edge, of: Callable[[Layout], Tensor]) -> Tensor:
    """The gradient of a scalar root for which none is given."""
    layout = edge[0].layouts[edge[1]] if type(edge) is tuple else edge._layout  # type: ignore[union-attr]
    return of(contiguous(layout.shape, layout.dtype))


#: Ones that known passes begin with. They are read and never given away.
_constants: Recent[Layout, Tensor] = Recent(64)


def _fresh_ones(layout: Layout) -> Tensor:
    return filled(layout, 1)


def _constant_ones(layout: Layout) -> Tensor:
    found = _constants.get(layout)
    if found is None:
        found = _constants.recall(layout)
    if found is None:
        found = _constants.remember(layout, tensor_of_array(np.ones(layout.shape, layout.dtype.numpy)))
    return found


def run_backward(
    tensors: Sequence[Any],
    grad_tensors: Sequence[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    targets: Sequence[Edge] | None,
    accumulate: bool,
    since: int = 0,
) -> list[Tensor | None]:
    """Send gradients from `tensors` back through the graph.

    With `accumulate` they are added to the leaves' ``.grad``; without, those of `targets` are returned. Nodes whose sequence
    number is below `since` are sent gradients, but do not run; then no hook of theirs, or of a leaf, is called.
    """
    given = _roots(tensors, grad_tensors)
    retain_graph = create_graph if retain_graph is None else retain_graph
    graph = known = None
    root, grad = given[0] if len(given) == 1 else (None, None)
    if targets is None and not create_graph and type(root) is tuple and known_pass.usable():
        if grad is None:
            # A function that is being captured may not read what is not its own.
            grad = _ones(root, _constant_ones if tape.state.capturing is None else _fresh_ones)
            given = given if tape.state.capturing is None else [(root, grad)]
        graph = known_pass.read(root, grad)
        known = known_pass.recall(graph) if graph is not None else None
        if known is not None and graph is not None and known.routine is not None:
            _replay(known, graph, grad, retain_graph)
            return []
    roots = [(edge, g if g is not None else _ones(edge, _fresh_ones)) for edge, g in given]
    if graph is not None and known is not None:
        graph = known_pass.read(*roots[0])  # with the gradient that the pass is to begin with
    run = _Pass([edge for edge, _ in roots], create_graph, retain_graph, targets, accumulate, since)
    recording = known_pass.Recording() if known is not None and not known.hopeless else None
    if targets is not None:
        run.prune(edge[0] for edge, _ in roots if type(edge) is tuple)
    if AccumulateGrad.in_use and recording is None:  # no leaf of a pass that is recorded is watched
        run.count_uses()
    run.shared.update(id(g._storage) for _, g in roots)
    before = grad_state.enabled, grad_state.backward_pass, grad_state.autocast
    # Gradients are computed in the dtypes that the forward had, also inside a region of autocast.
    grad_state.enabled, grad_state.backward_pass, grad_state.autocast = create_graph, run, None
    try:
        for edge, g in roots:
            run.send(edge, g)
        run.run()
        if recording is not None:
            assert known is not None and graph is not None
            recording.finish(known, graph, list(run.leaves.values()), run.position)
        run.finish_leaves()
    finally:
        grad_state.enabled, grad_state.backward_pass, grad_state.autocast = before
    return [run.captured.get((id(t[0]), t[1]) if type(t) is tuple else id(t)) for t in targets or ()]


def _replay(known: known_pass.Known, graph: known_pass.Graph, grad: Tensor, retain_graph: bool) -> None:
    """A backward pass of a known kind: one entry, and the leaves."""
    outer = tape.thread.position
    position = outer or tape.user_position(3)
    shared = {id(grad._storage), *(id(graph.regions[n][0]) for n in known.returned)}
    enabled, grad_state.enabled = grad_state.enabled, False
    try:
        tape.thread.position = position
        found = known_pass.replay(known, graph, retain_graph)
        for leaf, each in found:
            accumulate_grad(leaf, each, False, shared)
    finally:
        tape.thread.position = outer
        grad_state.enabled = enabled


def accumulate_grad(leaf: Tensor, grad: Tensor, create_graph: bool, shared: set[int]) -> None:
    """Add `grad` to ``leaf.grad``. Memory that somebody else may hold (`shared`) is copied first."""
    have = leaf._grad
    if have is None:
        storage, here, wanted = grad._storage, grad._layout, leaf._layout
        fits = here.stride == wanted.stride if wanted.dense else here.contiguous
        if create_graph or not fits or id(storage) in shared or storage.special or here.nbytes != storage.nbytes or _seen_elsewhere(grad):
            if wanted.dense:
                grad = ops.empty_strided(wanted.shape, wanted.stride, dtype=here.dtype, device=storage.device).copy_(grad)
            else:
                grad = grad.contiguous() if not here.contiguous else grad.clone()
        elif grad._requires_grad or grad._base is not None:
            grad = make_tensor(storage, grad._offset, here)
        shared.add(id(grad._storage))
        leaf._grad = grad
    elif create_graph:
        leaf._grad = have + grad
    else:
        have.add_(grad)


def _seen_elsewhere(grad: Tensor) -> bool:
    """Whether `grad` is a view of a tensor that something other than `grad` refers to."""
    # A gradient that a rule has just reshaped is the only holder of its base: the count is its own and the argument's.
    return grad._base is not None and sys.getrefcount(grad._base) > 2


_warned: set[str] = set()
_CYCLE = (
    "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient which can cause a memory leak. "
    "We recommend using autograd.grad when creating the graph to avoid this. If you have to use this function, make sure to reset the .grad fields "
    "of your parameters to None after use to break the cycle and avoid the leak."
)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulate into ``.grad`` of the leaves the gradients of the sum of `tensors`, weighted by `grad_tensors`.

    With `inputs`, into ``.grad`` of just these.

    >>> x = torch.tensor([1., 2.], requires_grad=True)
    >>> torch.autograd.backward((x * x).sum()); x.grad
    tensor([2., 4.])
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use `grad_tensors`.")
        grad_tensors = grad_variables
    outs = _as_tuple(tensors)
    grads = _grads_argument(grad_tensors, outs)
    targets: list[Edge] | None = None
    if inputs is not None:
        targets = []
        for t in _as_tuple(inputs):
            if isinstance(t, TensorBase):
                if not requires_grad(t):
                    raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
                refresh_view(t)
                if t._node is not None and not t._retains_grad:
                    retain_grad(t)
            targets.append(_target(t))
        if not targets:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    if create_graph and not _warned:
        _warned.add(_CYCLE)
        warnings.warn(_CYCLE, stacklevel=3)
    run_backward(outs, grads, retain_graph, create_graph, targets, accumulate=True)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, (TensorBase, GradientEdge)) else tuple(value)


def _target(value: Any) -> Edge:
    """The edge to a tensor whose gradient is asked for."""
    edge = value.edge() if isinstance(value, GradientEdge) else edge_of(value)
    if edge is None:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    return edge


def _grads_argument(grads: Any, outs: tuple[Any, ...]) -> tuple[Any, ...]:
    if grads is None:
        return (None,) * len(outs)
    found = (grads,) if isinstance(grads, TensorBase) else tuple(grads)[: len(outs)]  # more than are needed do no harm
    if len(found) != len(outs):
        raise RuntimeError(f"got {len(outs)} tensors and {len(found)} gradients")
    return found


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`, returned and not accumulated.

    >>> x = torch.tensor(3., requires_grad=True)
    >>> torch.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    if not only_inputs:
        warnings.warn("only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other parts of the graph, please use torch.autograd.backward.", FutureWarning, stacklevel=2)
    outs, wanted = _as_tuple(outputs), _as_tuple(inputs)
    grads = _grads_argument(grad_outputs, outs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if is_grads_batched:
        if not any(g is not None and g.dim() for g in grads):
            raise ValueError("vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor of dimensionality 0 so expected in_dim to satisfy 0 <= in_dim < 0.")
        count = next(g for g in grads if g is not None).shape[0]
        rows = [
            grad(outs, wanted, tuple(None if g is None else g[n] for g in grads), True, create_graph, True, allow_unused, False, materialize_grads)
            for n in range(count)
        ]
        return tuple(None if column[0] is None else ops.stack(column) for column in zip(*rows, strict=True))
    targets = [_target(t) for t in wanted]
    found = run_backward(outs, grads, retain_graph, create_graph, targets, accumulate=False)
    if materialize_grads:
        return tuple(ops.zeros_like(t) if g is None else g for t, g in zip(wanted, found, strict=True))
    for n, g in enumerate(found):
        if g is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {n} appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
            )
    return tuple(found)
