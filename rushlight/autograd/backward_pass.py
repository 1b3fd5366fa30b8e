"""The backward pass: gradients from the roots through the graph to the leaves.

The pass visits nodes by falling sequence number: every node is newer than those its gradients go to, so a heap is all
the order that is needed, and neither building, walking nor freeing a graph recurses.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from .. import ops
from ..graph import Node, edge_of, grad_state, refresh_view, requires_grad
from ..storage import TensorBase

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

    def __init__(self, create_graph: bool, retain_graph: bool, targets: Sequence[Tensor] | None) -> None:
        self.create_graph, self.retain_graph = create_graph, retain_graph
        self.heap: list[tuple[int, int]] = []
        self.waiting: dict[int, tuple[Node, list[Tensor | None]]] = {}
        self.leaves: dict[int, tuple[Tensor, Tensor]] = {}
        self.wanted_leaves: set[int] | None = None
        self.captured: dict[tuple[int, int], Tensor] = {}
        self.wanted_outputs: dict[tuple[int, int], int] = {}
        self.useful: set[int] | None = None
        if targets is not None:
            self.wanted_leaves = {id(t) for t in targets if t._node is None}
            self.wanted_outputs = {(id(t._node), t._output_nr): n for n, t in enumerate(targets) if t._node is not None}

    def prune(self, roots: Iterable[Node]) -> None:
        """Find the nodes from which some target can be reached; the others need not run."""
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
            if id(node) in seen:
                continue
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((edge[0], False) for edge in node.edges if type(edge) is tuple and id(edge[0]) not in seen)
        self.useful = useful

    def send(self, edge: Any, grad: Tensor) -> None:
        if type(edge) is tuple:
            node, nr = edge
            entry = self.waiting.get(id(node))
            if entry is None:
                entry = self.waiting[id(node)] = (node, [None] * len(node.layouts))
                heapq.heappush(self.heap, (-node.sequence, id(node)))
            slot = entry[1]
            slot[nr] = grad if slot[nr] is None else slot[nr] + grad  # type: ignore[operator]
        else:
            if self.wanted_leaves is not None and id(edge) not in self.wanted_leaves:
                return
            found = self.leaves.get(id(edge))
            self.leaves[id(edge)] = (edge, grad if found is None else found[1] + grad)

    def run(self) -> None:
        while self.heap:
            _, key = heapq.heappop(self.heap)
            node, grads = self.waiting.pop(key)
            if node.capture is not None:
                self._tensor_hooks(node, grads)
            for nr, g in enumerate(grads):
                if g is not None and (key, nr) in self.wanted_outputs:
                    self.captured[key, nr] = g
            if self.useful is not None and key not in self.useful:
                continue
            self.step(node, grads)

    @staticmethod
    def _tensor_hooks(node: Node, grads: list[Tensor | None]) -> None:
        for nr, hooks in node.capture.items():  # type: ignore[union-attr]
            for hook in list(hooks.values()):
                if grads[nr] is not None:
                    replaced = hook(grads[nr])
                    if replaced is not None:
                        grads[nr] = replaced

    def step(self, node: Node, grads: list[Tensor | None]) -> None:
        """Run one node and send its gradients on."""
        if node.prehooks:
            for hook in list(node.prehooks.values()):
                replaced = hook(tuple(grads))
                if replaced is not None:
                    grads = list(replaced) if isinstance(replaced, (tuple, list)) else [replaced]
        try:
            found = node.backward(grads)
        except Exception as error:
            if node.position is not None and not getattr(error, "_located", False):
                error.add_note(f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{node.position}")
                error._located = True  # type: ignore[attr-defined]
            raise
        if grad_state.anomaly:
            self._check_nan(node, found)
        fitted: list[Tensor | None] = []
        for n, (edge, g) in enumerate(zip(node.edges, found, strict=True)):
            if g is not None and edge is not None:
                g = fit(g, edge[0].layouts[edge[1]] if type(edge) is tuple else edge._layout, node, n)
            fitted.append(g)
        if node.hooks:
            for hook in list(node.hooks.values()):
                replaced = hook(tuple(fitted), tuple(grads))
                if replaced is not None:
                    fitted = list(replaced) if isinstance(replaced, (tuple, list)) else [replaced]
        for edge, g in zip(node.edges, fitted, strict=True):
            if edge is not None and g is not None:
                self.send(edge, g)
        if not self.retain_graph:
            node.release()

    @staticmethod
    def _check_nan(node: Node, found: Sequence[Tensor | None]) -> None:
        for n, g in enumerate(found):
            if g is not None and g._layout.dtype.category >= dt.FLOAT and bool(ops.isnan(g).any()):
                error = RuntimeError(f"Function '{node.name()}' returned nan values in its {n}th output.")
                error.add_note(f"Traceback of forward call that caused the error:\n{node.position}")
                raise error


def _roots(tensors: Sequence[Tensor], grad_tensors: Sequence[Tensor | None], is_grads_batched: bool = False) -> list[tuple[Any, Tensor]]:
    found = []
    for n, (t, g) in enumerate(zip(tensors, grad_tensors, strict=True)):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError(f"element {n} of tensors does not require grad and does not have a grad_fn")
        if g is None:
            if t._layout.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if t._layout.dtype.is_complex:
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {t.dtype}")
            g = ops.ones_like(t)
        else:
            if not isinstance(g, TensorBase):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
            if g._layout.shape != t._layout.shape:
                raise RuntimeError(f"Mismatch in shape: grad_output[{n}] has a shape of {g.shape} and output[{n}] has a shape of {t.shape}.")
            if g._layout.dtype.is_complex != t._layout.dtype.is_complex:
                raise RuntimeError(
                    f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: grad_output[{n}] has a dtype of {g.dtype} and output[{n}] has a dtype of {t.dtype}."
                )
        found.append((edge, g))
    return found


def run_backward(tensors: Sequence[Tensor], grad_tensors: Sequence[Tensor | None], retain_graph: bool | None, create_graph: bool, targets: Sequence[Tensor] | None, accumulate: bool) -> _Pass:
    """Send gradients from `tensors` back through the graph."""
    roots = _roots(tensors, grad_tensors)
    run = _Pass(create_graph, create_graph if retain_graph is None else retain_graph, targets)
    if targets is not None:
        run.prune(edge[0] for edge, _ in roots if type(edge) is tuple)
    before = grad_state.enabled
    grad_state.enabled = create_graph
    try:
        for edge, g in roots:
            run.send(edge, g)
        run.run()
        for leaf, g in run.leaves.values():
            hooks = leaf.__dict__.get("_hooks")
            if hooks:
                for hook in list(hooks.values()):
                    replaced = hook(g)
                    if replaced is not None:
                        g = replaced
                run.leaves[id(leaf)] = (leaf, g)
        if accumulate:
            taken = {id(g._storage) for _, g in roots}
            for leaf, g in run.leaves.values():
                accumulate_grad(leaf, g, create_graph, taken)
    finally:
        grad_state.enabled = before
    return run


def accumulate_grad(leaf: Tensor, grad: Tensor, create_graph: bool, taken: set[int]) -> None:
    """Add `grad` to ``leaf.grad``. Memory that somebody else may hold (`taken`) is copied first."""
    have = leaf._grad
    if have is None:
        storage = grad._storage
        owned = id(storage) not in taken and grad._layout.dense and grad._layout.nbytes == storage.nbytes and grad._base is None and not storage.special
        if not owned or grad._layout.stride != leaf._layout.stride and leaf._layout.dense:
            if leaf._layout.dense:
                copy = ops.empty_strided(leaf._layout.shape, leaf._layout.stride, dtype=grad.dtype, device=grad.device)
                grad = copy.copy_(grad) if not create_graph else ops.clone(grad)
            else:
                grad = grad.clone()
        taken.add(id(grad._storage))
        leaf._grad = grad if create_graph or not grad._requires_grad else grad.detach()
    elif create_graph:
        leaf._grad = have + grad
    else:
        if have._requires_grad:
            leaf._grad = have.detach() + grad
        else:
            have.add_(grad)
    after = leaf.__dict__.get("_post_accumulate_hooks")
    if after:
        for hook in list(after.values()):
            hook(leaf)


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False, grad_variables: Any = None, inputs: Any = None) -> None:
    """Accumulate into ``.grad`` of the leaves the gradients of the sum of `tensors`, weighted by `grad_tensors`.

    >>> x = torch.tensor([1., 2.], requires_grad=True)
    >>> torch.autograd.backward((x * x).sum()); x.grad
    tensor([2., 4.])
    """
    outs = (tensors,) if isinstance(tensors, TensorBase) else tuple(tensors)
    grads = _grads_argument(grad_tensors, outs)
    if inputs is not None:
        targets: tuple[Any, ...] | None = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
        if not targets:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    else:
        targets = None
    run = run_backward(outs, grads, retain_graph, create_graph, targets, accumulate=True)
    if targets is not None:
        taken: set[int] = set()
        for t in targets:
            if t._node is not None and (id(t._node), t._output_nr) in run.captured:
                accumulate_grad(t, run.captured[id(t._node), t._output_nr], create_graph, taken)


def _grads_argument(grads: Any, outs: tuple[Any, ...]) -> tuple[Any, ...]:
    if grads is None:
        return (None,) * len(outs)
    found = (grads,) if isinstance(grads, TensorBase) else tuple(grads)
    if len(found) != len(outs):
        raise RuntimeError(f"got {len(outs)} tensors and {len(found)} gradients")
    return found


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`, returned and not accumulated.

    >>> x = torch.tensor(3., requires_grad=True)
    >>> torch.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    outs = (outputs,) if isinstance(outputs, TensorBase) else tuple(outputs)
    targets = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    grads = _grads_argument(grad_outputs, outs)
    if is_grads_batched:
        from ..ops import stack

        count = next(g for g in grads if g is not None).shape[0]
        rows = [
            grad(outs, targets, tuple(g[n] for g in grads), True, create_graph, True, allow_unused, False, materialize_grads)
            for n in range(count)
        ]
        return tuple(None if column[0] is None else stack(column) for column in zip(*rows, strict=True))
    for t in targets:
        if not requires_grad(t):
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        refresh_view(t)
    run = run_backward(outs, grads, retain_graph, create_graph, targets, accumulate=False)
    found: list[Any] = []
    for t in targets:
        if t._node is None:
            entry = run.leaves.get(id(t))
            g = entry[1] if entry is not None else None
        else:
            g = run.captured.get((id(t._node), t._output_nr))
        if g is None:
            if materialize_grads:
                g = ops.zeros_like(t)
            elif not allow_unused:
                raise RuntimeError(
                    "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
                )
        found.append(g)
    return tuple(found)
