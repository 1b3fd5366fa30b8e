"""The walk over a graph as machine code finds what the walk in Python finds, and tells the same graphs apart."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

import rushlight as torch
from rushlight.autograd import graph_code, known_pass
from rushlight.autograd.graph_code import GraphReader
from rushlight.graph import AccumulateGrad

Tensor = torch.Tensor
Make = Callable[[random.Random], Tensor]

pytestmark = [pytest.mark.usefixtures("deferred"), pytest.mark.skipif(graph_code._code() is None, reason="needs machine code that reads Python's objects")]


@pytest.fixture(autouse=True)
def _no_leaf_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccumulateGrad, "in_use", False)


def both(loss: Tensor, reader: GraphReader | None = None) -> tuple[Any, Any]:
    """What machine code and Python find in the graph of a loss."""
    grad = torch.ones(loss.shape)
    region = (grad._storage, grad._offset, grad._layout)
    assert loss._node is not None
    found = (reader or GraphReader(known_pass.NODES_AT_MOST)).read(loss._node, region)
    return found, known_pass._read_in_python(loss._node, loss._output_nr, region)


def agree(loss: Tensor, reader: GraphReader | None = None) -> tuple[bytes, tuple[Any, ...]]:
    """Both keys, where all else is the same."""
    found, expected = both(loss, reader)
    assert found is not None and expected is not None
    key, numbers, nodes, regions, leaves = found
    assert tuple(map(repr, numbers)) == expected.numbers
    assert [id(node) for node in nodes] == [id(node) for node in expected.nodes]
    assert [(id(storage), offset, id(layout)) for storage, offset, layout in regions] == [(id(storage), offset, id(layout)) for storage, offset, layout in expected.regions]
    assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in expected.leaves]
    return key, expected.key


def drawn(draw: random.Random) -> Tensor:
    """The loss of a small program that is put together by chance."""
    tensors = [torch.ones(2, 3, requires_grad=draw.random() < 0.8) for _ in range(3)]
    tensors.append(torch.ones(4, 3, requires_grad=True))
    for _ in range(draw.randrange(2, 9)):
        a, b = draw.choice(tensors), draw.choice(tensors)
        kind = draw.randrange(9)
        if kind == 0:
            tensors.append(a[:2] * b[:2])
        elif kind == 1:
            tensors.append(a[:1] + b[-1:])
        elif kind == 2:
            tensors.append(a * draw.choice((2, 2.5, 3)))
        elif kind == 3:
            tensors.append(a.exp().sum(0, keepdim=True))
        elif kind == 4:
            tensors.append(torch.cat([a, b]))
        elif kind == 5:
            tensors.append(a**draw.choice((2, 3)))
        elif kind == 6:
            tensors.append(a @ b.t() @ b)
        elif kind == 7:
            tensors += [t + 1 for t in a.split(1)][:2]
        else:
            tensors.append(a.max(0, keepdim=True).values)
    return sum((t.sum() for t in tensors if t.requires_grad), torch.zeros(()))


def test_random_graphs_are_read_alike_and_told_apart_alike() -> None:
    reader = GraphReader(known_pass.NODES_AT_MOST)
    kept = []  # keys have addresses of objects
    native: dict[Any, list[int]] = {}
    python: dict[Any, list[int]] = {}
    for n in range(240):
        loss = drawn(random.Random(n % 80 if n < 160 else n))
        kept.append(loss)
        mine, its = agree(loss, reader)
        native.setdefault(mine, []).append(n)
        python.setdefault(its, []).append(n)
    # Python's keys leave out how many edges and values there are, which other words imply.
    assert sorted(native.values()) == sorted(python.values())
    assert 80 <= len(native) < 240


def chain(length: int) -> Tensor:
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(length):
        y = y * x
    return y.sum()


@pytest.mark.parametrize("length", [1, 127, 128, 200, 1000])
def test_a_graph_of_any_length(length: int) -> None:
    agree(chain(length))


def test_a_graph_of_too_many_nodes_is_left_to_python() -> None:
    assert both(chain(9), GraphReader(9))[0] is None
    assert both(chain(8), GraphReader(9))[0] is not None


def test_a_graph_of_which_much_is_under_way_at_once_is_left_to_python() -> None:
    x = torch.ones(2, requires_grad=True)
    few, many = (torch.stack([x * n for n in range(count)]).sum() for count in (250, 260))
    agree(few)
    found, expected = both(many)
    assert found is None and expected is not None


def test_a_graph_with_many_leaves() -> None:
    agree(torch.cat([torch.ones(1, requires_grad=True) for _ in range(3000)]).sum())


def hooked(t: Tensor) -> None:
    t.register_hook(lambda g: g)


CLOSER = {
    "a hook": hooked,
    "a gradient that is retained": lambda t: t.retain_grad(),
    "a note": lambda t: t.grad_fn.metadata.update(mark=1),
    "a class of its own": lambda t: t.grad_fn,
    "what was kept is written": lambda t: t.detach().add_(1),
    "memory that others see": lambda t: t.detach().numpy(),
}


@pytest.mark.parametrize("change", CLOSER)
def test_what_takes_a_closer_look_is_left_to_python(change: str) -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    loss = (y * y).sum()
    agree(loss)
    CLOSER[change](y)  # type: ignore[operator]
    assert both(loss)[0] is None


def test_a_graph_that_was_freed_is_left_to_python() -> None:
    loss = chain(3)
    loss.backward()
    assert both(loss)[0] is None


def test_a_packed_tensor_is_left_to_python() -> None:
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        loss = chain(2)
    assert both(loss)[0] is None


def test_nothing_is_held_or_lost() -> None:
    loss = chain(20)
    reader = GraphReader(known_pass.NODES_AT_MOST)
    node: Any = loss._node
    before = sys.getrefcount(node), sys.getrefcount(node.edges), sys.getrefcount(loss._storage)
    for _ in range(50):
        both(loss, reader)
    gc.collect()
    after = sys.getrefcount(node), sys.getrefcount(node.edges), sys.getrefcount(loss._storage)
    assert before == after


def test_what_stands_in_a_key_by_its_address_lives_as_long_as_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = (torch.ones(3, requires_grad=True) * 2).sum()
    grad = torch.ones(())
    assert loss._node is not None
    graph = known_pass.read((loss._node, 0), grad)
    assert graph is not None and type(graph.key[3]) is bytes
    held = known_pass._Kind(graph).held
    assert held == [[node.gradient for node in graph.nodes], [leaf._layout for leaf in graph.leaves]]
