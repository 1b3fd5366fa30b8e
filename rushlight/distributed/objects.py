"""Python objects between processes, pickled: only for processes that trust each other."""

from __future__ import annotations

import pickle
from typing import Any

from .collectives import check_list, exchange, joined, rank_in


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Fill the list with the objects of all processes, in the order of their ranks."""
    if (group := joined(group, "all_gather_object")) is None:
        return
    found = exchange(group, group.next_label(), [pickle.dumps(obj)] * group.size())
    object_list[:] = [pickle.loads(part) for part in found]


def gather_object(obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None, group_dst: int | None = None) -> None:
    """Give process `dst` (0) the objects of all."""
    if (group := joined(group, "gather_object")) is None:
        return
    root = rank_in(group, group.ranks[0] if dst is None else dst, group_dst, "dst", "gather")
    check_list("gather_list", object_gather_list, group.rank() == root, "destination")
    label = group.next_label()
    if not object_gather_list:
        group.send(root, label, pickle.dumps(obj))
        return
    object_gather_list[:] = [obj if rank == root else pickle.loads(group.receive(rank, label)) for rank in range(group.size())]


def broadcast_object_list(object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None) -> None:
    """Give all processes the objects of the list that process `src` has."""
    if (group := joined(group, "broadcast_object_list")) is None:
        return
    root, label = rank_in(group, group.ranks[0] if src is None else src, group_src, "src", "broadcast"), group.next_label()
    if group.rank() != root:
        object_list[:] = pickle.loads(group.receive(root, label))
        return
    data = pickle.dumps(object_list)
    for rank in range(group.size()):
        if rank != root:
            group.send(rank, label, data)


def scatter_object_list(scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None, src: int | None = None, group: Any = None, group_src: int | None = None) -> None:
    """Give each process one of the objects that process `src` (0) has, as the first of its output list."""
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    if (group := joined(group, "scatter_object_list")) is None:
        return
    root, label = rank_in(group, group.ranks[0] if src is None else src, group_src, "src", "scatter"), group.next_label()
    if group.rank() != root:
        scatter_object_output_list[0] = pickle.loads(group.receive(root, label))
        return
    for rank, obj in enumerate(scatter_object_input_list or ()):
        if rank == root:
            scatter_object_output_list[0] = obj
        else:
            group.send(rank, label, pickle.dumps(obj))
