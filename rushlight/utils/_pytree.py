"""Trees of lists, tuples, dictionaries and what is registered, their leaves and their structure.

>>> from rushlight.utils._pytree import tree_flatten, tree_unflatten
>>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3])})
>>> leaves
[1, 2, 3]
>>> tree_unflatten([leaf * 2 for leaf in leaves], spec)
{'a': 2, 'b': (4, [6])}
"""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..return_types import NamedResult

PyTree = Any
Context = Any
IsLeaf = Callable[[PyTree], bool] | None


class NodeDef(NamedTuple):
    """How a container comes apart into children and a context, and together again."""

    type: type[Any]
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Context]]
    unflatten_fn: Callable[[Iterable[Any], Context], Any]


def _flatten_defaultdict(node: defaultdict[Any, Any]) -> tuple[list[Any], Context]:
    return list(node.values()), [node.default_factory, list(node)]


def _unflatten_defaultdict(values: Iterable[Any], context: Context) -> defaultdict[Any, Any]:
    default_factory, keys = context
    return defaultdict(default_factory, zip(keys, values, strict=True))


def _flatten_dict(node: dict[Any, Any]) -> tuple[list[Any], Context]:
    return list(node.values()), list(node)


_BUILTIN: tuple[NodeDef, ...] = (
    NodeDef(tuple, lambda node: (list(node), None), lambda values, _: tuple(values)),
    NodeDef(list, lambda node: (node, None), lambda values, _: list(values)),
    NodeDef(dict, _flatten_dict, lambda values, keys: dict(zip(keys, values, strict=True))),
    NodeDef(OrderedDict, _flatten_dict, lambda values, keys: OrderedDict(zip(keys, values, strict=True))),
    NodeDef(defaultdict, _flatten_defaultdict, _unflatten_defaultdict),
    NodeDef(deque, lambda node: (list(node), node.maxlen), lambda values, maxlen: deque(values, maxlen=maxlen)),
    # All named tuples come under the function that makes them; the class is the context.
    NodeDef(namedtuple, lambda node: (list(node), type(node)), lambda values, kind: kind(*values)),  # type: ignore[arg-type]
)
SUPPORTED_NODES: dict[Any, NodeDef] = {node.type: node for node in _BUILTIN}
BUILTIN_TYPES = frozenset(SUPPORTED_NODES)
_STANDARD_DICTS = frozenset((dict, OrderedDict, defaultdict))


def register_pytree_node(
    cls: type[Any],
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Context]],
    unflatten_fn: Callable[[Iterable[Any], Context], Any],
) -> None:
    """Take instances of a class as nodes: `flatten_fn` gives their children and a context, which rebuild them.

    >>> from rushlight.utils import _pytree
    >>> class Pair:
    ...     def __init__(self, a, b): self.a, self.b = a, b
    >>> _pytree.register_pytree_node(Pair, lambda p: ((p.a, p.b), None), lambda values, _: Pair(*values))
    >>> _pytree.tree_leaves([Pair(1, 2), 3])
    [1, 2, 3]
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn)


def is_namedtuple(obj: object) -> bool:
    """Whether an object is a named tuple, or the class of one.

    >>> from rushlight.utils._pytree import is_namedtuple
    >>> is_namedtuple((1, 2))
    False
    """
    cls = obj if isinstance(obj, type) else type(obj)
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple) and hasattr(cls, "_make")


def _get_node_type(tree: PyTree) -> Any:
    cls = type(tree)
    if cls in SUPPORTED_NODES:
        return cls
    if issubclass(cls, NamedResult):
        register_pytree_node(cls, lambda node: (list(node), None), lambda values, _: cls(values))
    return namedtuple if is_namedtuple(cls) else cls


def _children(tree: PyTree) -> tuple[list[Any], Context]:
    children, context = SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)
    return list(children), context


def tree_is_leaf(tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether a tree is one leaf: no container, or what `is_leaf` says is one.

    >>> from rushlight.utils._pytree import tree_is_leaf
    >>> tree_is_leaf(None), tree_is_leaf([])
    (True, False)
    """
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


class TreeSpec:
    """The structure of a tree: the kind of each container, its context, and those of its children.

    >>> from rushlight.utils._pytree import tree_structure
    >>> tree_structure([1, {"a": 2}])
    TreeSpec(list, None, [*,
      TreeSpec(dict, ['a'], [*])])
    """

    def __init__(self, type: Any, context: Context, children_specs: list[TreeSpec]) -> None:
        self.type = type
        self._context = context
        self._children = children_specs
        self.num_children = len(children_specs)
        self.num_nodes = 1 + sum(child.num_nodes for child in children_specs)
        self.num_leaves = 1 if type is None else sum(child.num_leaves for child in children_specs)

    @property
    def context(self) -> Context:
        """What is needed beside the children to rebuild the container."""
        return self._context

    def is_leaf(self) -> bool:
        """Whether this is the structure of one leaf.

        >>> from rushlight.utils._pytree import tree_structure
        >>> tree_structure(1).is_leaf(), tree_structure([1]).is_leaf()
        (True, False)
        """
        return self.num_nodes == 1 and self.num_leaves == 1

    def children(self) -> list[TreeSpec]:
        """The structures of the children."""
        return self._children.copy()

    def child(self, index: int) -> TreeSpec:
        """The structure of one child."""
        return self._children[index]

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The parts of a tree that stand where this structure has its leaves. Raises ValueError where it differs.

        >>> from rushlight.utils._pytree import tree_structure
        >>> tree_structure([1, 2]).flatten_up_to([(3, 4), 5])
        [(3, 4), 5]
        """
        if self.is_leaf():
            return [tree]
        return [
            part
            for child, subtree in zip(self._children, self._matching_children(tree), strict=True)
            for part in child.flatten_up_to(subtree)
        ]

    def _matching_children(self, tree: PyTree) -> list[PyTree]:
        node_type = _get_node_type(tree)
        builtin = self.type in BUILTIN_TYPES
        both_dicts = self.type in _STANDARD_DICTS and node_type in _STANDARD_DICTS
        if node_type != self.type and not both_dicts:
            kind = "Node type" if builtin else "Type"
            raise ValueError(f"{kind} mismatch; expected {self.type!r}, but got {node_type!r}.")
        children, context = _children(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if both_dicts:
            keys = self._context[1] if self.type is defaultdict else self._context
            missing, extra = set(keys) - set(tree), set(tree) - set(keys)
            if missing or extra:
                message = f"; missing key(s): {missing}" if missing else ""
                message += f"; extra key(s): {extra}" if extra else ""
                raise ValueError(f"Node keys mismatch{message}.")
            return [tree[key] for key in keys]
        if context != self._context and not builtin:
            raise ValueError(f"Node context mismatch for custom node type {self.type!r}.")
        if context != self._context and self.type is not deque:  # two deques may differ in maxlen
            raise ValueError(
                f"Node context mismatch for node type {self.type!r}; expected {self._context!r}, but got {context!r}."
            )
        return children

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The tree of this structure with these leaves.

        >>> from rushlight.utils._pytree import tree_structure
        >>> tree_structure([1, (2, 3)]).unflatten("abc")
        ['a', ('b', 'c')]
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} "
                f"but the spec refers to a pytree that holds {self.num_leaves} "
                f"items ({self})."
            )
        return self._take(iter(leaves))

    def _take(self, leaves: Iterator[Any]) -> PyTree:
        if self.type is None:
            return next(leaves)
        children = [child._take(leaves) for child in self._children]
        return SUPPORTED_NODES[self.type].unflatten_fn(children, self._context)

    def _shown(self, indent: int) -> str:
        if self.type is None:
            return "*"
        indent += 2
        children = (",\n" + " " * indent).join(child._shown(indent) for child in self._children)
        return f"TreeSpec({self.type.__name__}, {self._context}, [{children}])"

    def __repr__(self) -> str:
        return self._shown(0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (self.type, self._context, self._children) == (other.type, other._context, other._children)

    def __hash__(self) -> int:
        # Contexts may not be hashable.
        return hash((self.type, tuple(self._children)))


class LeafSpec(TreeSpec):
    """The structure of one leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])


PyTreeSpec = TreeSpec
_LEAF = LeafSpec()


def tree_flatten(tree: PyTree, is_leaf: IsLeaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree, and its structure.

    >>> from rushlight.utils._pytree import tree_flatten
    >>> tree_flatten([1, (2, None)])
    ([1, 2, None], TreeSpec(list, None, [*,
      TreeSpec(tuple, None, [*,
        *])]))
    """
    leaves: list[Any] = []

    def spec_of(node: PyTree) -> TreeSpec:
        if tree_is_leaf(node, is_leaf):
            leaves.append(node)
            return _LEAF
        children, context = _children(node)
        return TreeSpec(_get_node_type(node), context, [spec_of(child) for child in children])

    spec = spec_of(tree)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree of a structure with these leaves.

    >>> from rushlight.utils._pytree import tree_structure, tree_unflatten
    >>> tree_unflatten([1, 2], tree_structure({"a": 0, "b": 0}))
    {'a': 1, 'b': 2}
    """
    if not isinstance(treespec, TreeSpec):
        if not isinstance(leaves, TreeSpec):
            raise TypeError(
                f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}."
            )
        leaves, treespec = treespec, leaves
    return treespec.unflatten(leaves)


def tree_iter(tree: PyTree, is_leaf: IsLeaf = None) -> Iterator[Any]:
    """The leaves of a tree, one after the other.

    >>> from rushlight.utils._pytree import tree_iter
    >>> sum(tree_iter({"a": 1, "b": [2, 3]}))
    6
    """
    if tree_is_leaf(tree, is_leaf):
        yield tree
    else:
        for child in _children(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree: PyTree, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree.

    >>> from rushlight.utils._pytree import tree_leaves
    >>> tree_leaves({"a": 1, "b": [2, 3]})
    [1, 2, 3]
    """
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: IsLeaf = None) -> TreeSpec:
    """The structure of a tree.

    >>> from rushlight.utils._pytree import tree_structure
    >>> tree_structure((1, 2)).num_leaves
    2
    """
    return tree_flatten(tree, is_leaf)[1]


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list[Any]:
    """The leaves of all arguments.

    >>> from rushlight.utils._pytree import arg_tree_leaves
    >>> arg_tree_leaves([1], a=2)
    [1, 2]
    """
    return [leaf for tree in (*args, *kwargs.values()) for leaf in tree_iter(tree)]


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None) -> PyTree:
    """The tree of what `func` makes of each leaf, and of what stands there in the other trees.

    >>> from rushlight.utils._pytree import tree_map
    >>> tree_map(lambda a, b: a + b, {"x": 1, "y": [2]}, {"x": 10, "y": [20]})
    {'x': 11, 'y': [22]}
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves, *(spec.flatten_up_to(rest) for rest in rests)]
    return spec.unflatten([func(*row) for row in zip(*columns, strict=True)])


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None) -> PyTree:
    """Call `func` on each leaf for what it does, and give the tree back.

    >>> from rushlight.utils._pytree import tree_map_
    >>> tree_map_(torch.Tensor.zero_, [torch.ones(2)])
    [tensor([0., 0.])]
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    for row in zip(leaves, *(spec.flatten_up_to(rest) for rest in rests), strict=True):
        func(*row)
    return tree


def _predicate(of: Any) -> Callable[[Any], bool]:
    if isinstance(of, (type, tuple, types.UnionType)):
        return lambda leaf: isinstance(leaf, of)
    if callable(of):
        return of
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def map_only(type_or_types_or_pred: Any, /) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Decorate a function of leaves so that it leaves alone those of other types.

    >>> from rushlight.utils._pytree import map_only
    >>> map_only(int)(lambda x: x + 1)("a")
    'a'
    """
    applies = _predicate(type_or_types_or_pred)
    return lambda func: lambda leaf: func(leaf) if applies(leaf) else leaf


def tree_map_only(
    type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """`tree_map` over the leaves of the given types, or for which the predicate holds.

    >>> from rushlight.utils._pytree import tree_map_only
    >>> tree_map_only(int, lambda x: x + 1, [1, "a"])
    [2, 'a']
    """
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(
    type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """`tree_map_` over the leaves of the given types, or for which the predicate holds.

    >>> from rushlight.utils._pytree import tree_map_only_
    >>> tree_map_only_(torch.Tensor, torch.Tensor.zero_, [torch.ones(2), "a"])
    [tensor([0., 0.]), 'a']
    """
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether something holds for all leaves.

    >>> from rushlight.utils._pytree import tree_all
    >>> tree_all(lambda x: x > 0, [1, (2, -3)])
    False
    """
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether something holds for any leaf.

    >>> from rushlight.utils._pytree import tree_any
    >>> tree_any(lambda x: x > 0, [1, (2, -3)])
    True
    """
    return any(map(pred, tree_iter(tree, is_leaf)))
