"""Trees come apart and together again as PyTorch's do."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import rushlight as torch
from rushlight.utils import _pytree as pytree

Point = namedtuple("Point", "a b")
TREE = {"b": [1, (2, None)], "a": Point(3, OrderedDict(z=1)), "c": deque([1], 4), "d": defaultdict(list, k=2), "e": []}
SHOWN = """\
TreeSpec(dict, ['b', 'a', 'd'], [TreeSpec(list, None, [*,
    TreeSpec(tuple, None, [*,
      *])]),
  TreeSpec(namedtuple, <class 'tests.test_pytree.Point'>, [*,
    TreeSpec(OrderedDict, ['z'], [*])]),
  TreeSpec(defaultdict, [<class 'list'>, ['k']], [*])])"""


def test_a_tree_comes_together_as_it_was() -> None:
    leaves, spec = pytree.tree_flatten(TREE)
    assert leaves == [1, 2, None, 3, 1, 1, 2] and (spec.num_leaves, spec.num_children) == (7, 5)
    back = pytree.tree_unflatten(leaves, spec)
    assert back == TREE and list(back) == list(TREE)
    assert type(back["a"]) is Point and back["c"].maxlen == 4 and back["d"].default_factory is list
    assert spec == pytree.tree_structure(TREE) and hash(spec) == hash(pytree.tree_structure(TREE))
    assert spec != pytree.tree_structure({**TREE, "e": ()})


def test_a_structure_is_shown_as_pytorch_shows_it() -> None:
    spec = pytree.tree_structure({name: TREE[name] for name in "bad"})
    assert repr(spec) == SHOWN.replace("tests.test_pytree", __name__)
    assert repr(pytree.tree_structure(1)) == "*" and isinstance(pytree.tree_structure(1), pytree.LeafSpec)


def test_maps_take_other_trees_by_prefix_and_dictionaries_by_key() -> None:
    have = pytree.tree_map(lambda a, b: (a, b), {"x": 1, "y": [2]}, OrderedDict(y=[{"z": 3}], x=[4]))
    assert have == {"x": (1, [4]), "y": [(2, {"z": 3})]}
    assert pytree.tree_map(len, [(1, 2), {"a": 1}], is_leaf=lambda node: not isinstance(node, list)) == [2, 1]
    x = torch.ones(2)
    assert pytree.tree_map_only(torch.Tensor, lambda t: t + 1, {"x": x, "n": 3})["n"] == 3
    assert pytree.tree_map_only(lambda leaf: leaf == 3, lambda leaf: 4, [x.shape[0], 3]) == [2, 4]
    assert pytree.tree_map_(torch.Tensor.zero_, [x])[0] is x and x.sum() == 0


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ([1], (1,), "Node type mismatch; expected <class 'list'>, but got <class 'tuple'>."),
        ([1], [1, 2], "Node arity mismatch; expected 1, but got 2."),
        ({"a": 1}, {"b": 1}, "Node keys mismatch; missing key(s): {'a'}; extra key(s): {'b'}."),
    ],
)
def test_trees_that_differ_are_refused(tree: object, other: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        pytree.tree_map(lambda a, b: a, tree, other)
    assert str(caught.value) == message


def test_wrong_numbers_of_leaves_and_wrong_arguments_are_refused() -> None:
    spec = pytree.tree_structure([1, 2])
    with pytest.raises(ValueError, match=r"`leaves` has length 1 but the spec refers to a pytree that holds 2"):
        pytree.tree_unflatten([1], spec)
    with pytest.raises(TypeError, match="Expected `treespec` to be an instance of PyTreeSpec"):
        pytree.tree_unflatten([1], [2])
    with pytest.raises(TypeError, match="must be a type, a tuple of types, or a callable"):
        pytree.tree_map_only(3, len, [])
    with pytest.raises(ValueError, match="already registered"):
        pytree.register_pytree_node(list, list, list)


def test_results_with_names_are_nodes() -> None:
    doubled = pytree.tree_map(lambda t: t * 2, torch.tensor([[1, 3]]).max(1))
    assert doubled.values.tolist() == [6] and doubled.indices.tolist() == [2]
