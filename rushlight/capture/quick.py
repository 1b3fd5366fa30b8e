"""The quick check: what a walk has found as flat lists, compared by identity in C loops.

Where the lists agree a walk would find what it found before. Where they do not, a walk decides.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, call, is_, itemgetter
from types import BuiltinFunctionType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from ..devices import device
from ..engine.checks import Checks
from ..graph import refresh_view
from ..nn import Module, Parameter, module as nn_module
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from ..shape import Size
from ..tensor import Tensor
from .facts import ATOMS, SCALARS, canonical, history, key_of

_tensor_state = attrgetter("_layout", "_requires_grad", "_node")
_plain_state = attrgetter("__class__", "_layout", "_requires_grad", "_node", "_base", "_inference")
_geometry = attrgetter("shape", "stride", "dtype")
gradient_of = attrgetter("_grad")
_TENSORS = frozenset((Tensor, Parameter))
FIXED = (Module, type, ModuleType, FunctionType, BuiltinFunctionType, Optimizer, LRScheduler, *ATOMS)


def flatten(values: Iterable[Any], tensors: list[Any], rest: list[Any]) -> bool:
    """Tensors, and what else is in arguments, such that equal lists mean equal arguments. False: it takes a walk to tell."""
    for value in values:
        kind = type(value)
        rest.append(kind)
        if kind in _TENSORS:
            tensors.append(value)
        elif kind is float or kind is complex:
            rest.append(canonical(value))
        elif kind in SCALARS:
            rest.append(value)
        elif kind is device:
            rest.append(str(value))
        elif kind is tuple or kind is list or kind is Size:
            rest.append(len(value))
            if not flatten(value, tensors, rest):
                return False
        elif kind is dict:
            rest.append([key_of(key) for key in value])
            if not flatten(value.values(), tensors, rest):
                return False
        elif isinstance(value, FIXED):
            rest.append(id(value))
        else:
            return False
    return True


def picker(names: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    return itemgetter(*names) if len(names) > 1 else itemgetter(names[0], names[0])


class Repeats:
    """Which of some objects, given by their ids, are one."""

    def __init__(self, ids: Sequence[int]) -> None:
        places: dict[int, int] = {}
        self.first = [places.setdefault(its, n) for n, its in enumerate(ids)]
        self.places = list(places.values())
        self.all_differ = len(self.places) == len(self.first)

    def holds(self, ids: Sequence[int]) -> bool:
        """Whether of these the same ones are."""
        return len(set(ids)) == len(self.places) and (self.all_differ or ids == list(map(ids.__getitem__, self.first)))

    def distinct(self, objects: Sequence[Any]) -> list[Any]:
        """Each object once, where this holds of their ids."""
        return list(map(objects.__getitem__, self.places))


def _dictionary(namespace: Any) -> Any:
    """The dictionary behind a class's `__dict__`, which `Checks` can look at; anything else as it is."""
    if type(namespace) is not MappingProxyType:
        return namespace
    behind = gc.get_referents(namespace)
    return behind[0] if len(behind) == 1 and type(behind[0]) is dict else namespace


class Different(Exception):
    """A tensor is not of the state that was recorded."""


class Quick:
    """What a walk has found, as lists to compare. Tensors that cells, globals and attributes hold may be others of the same state."""

    def __init__(self, gradients: bool) -> None:
        self.gradients = gradients
        self.stamp = nn_module.changes[0]
        self.attributes: list[Callable[[], Iterable[Any]]] = []  # of modules: compared where the stamp has changed
        self.attribute_values: list[Any] = []
        self.attribute_dicts: list[dict[str, Any]] = []
        self.checks = Checks()
        self.empty: list[Any] = []  # what `checks` cannot look at
        self.sized: list[Any] = []
        self.reads: list[Callable[[], Iterable[Any]]] = []
        self.values: list[Any] = []
        self.missing: list[Callable[[], bool]] = []
        self.arrays: list[tuple[np.ndarray, bytes]] = []
        self.loose: list[Callable[[], Any]] = []  # read a tensor, which may be another each time
        self.states: list[tuple[Any, ...]] = []  # of tensors of arguments and of `loose`
        self.fixed: list[Any] = []  # tensors that the lists above have shown to be the same; leaves, then others
        self.others: list[Any] = []

    def read(self, getter: Callable[[Any], Iterable[Any]], owner: Any) -> None:
        """Whatever `getter` reads from `owner` must be the same objects."""
        self.reads.append(functools.partial(getter, owner))
        self.values.extend(getter(owner))

    def items(self, namespace: Mapping[str, Any], names: Sequence[str]) -> None:
        """What a namespace has under these names must be the same objects."""
        namespace = _dictionary(namespace)
        if type(namespace) is dict:
            for name in names:
                self.checks.item(namespace, name)
        else:
            self.read(picker(names), namespace)

    def absent(self, namespace: Mapping[str, Any], names: Sequence[str]) -> None:
        """A namespace must not have these names."""
        namespace = _dictionary(namespace)
        if type(namespace) is dict:
            for name in names:
                self.checks.absent(namespace, name)
        else:
            self.missing.append(functools.partial(namespace.keys().isdisjoint, names))

    def none_in(self, container: Any) -> None:
        """A container must stay empty."""
        if isinstance(container, dict):
            self.checks.size(container)
        else:
            self.empty.append(container)

    def as_long(self, container: Any) -> None:
        """A container must stay as long as it is."""
        container = _dictionary(container)
        if isinstance(container, dict):
            self.checks.size(container)
        else:
            self.sized.append(container)

    def contents(self, container: Any, values: Callable[[], Iterable[Any]]) -> None:
        """A container must have the same values in the same order."""
        if type(container) is dict or type(container) is list:
            self.checks.contents(container)
        elif container:
            self.as_long(container)
            self.reads.append(values)
            self.values.extend(values())
        else:
            self.none_in(container)

    def state(self, tensor: Any) -> None:
        self.states.append((type(tensor), tensor._layout, *history(tensor), tensor._inference))

    def finish(self, tensors: Sequence[Any]) -> list[Any]:
        """All sources. `tensors` are those of the arguments."""
        self.attribute_sizes = list(map(len, self.attribute_dicts))
        self.sizes = list(map(len, self.sized))
        leaves = [t for t in self.fixed if history(t)[1]]
        self.others = [(t, t._layout, t._requires_grad) for t in self.fixed if t._node is not None]
        self.views = [t for t in leaves if t._base is not None]
        self.leaves = leaves
        for leaf in leaves:
            for name in ("_layout", "_requires_grad", "_node"):
                self.checks.slot(leaf, name)
        movable = [*tensors, *map(call, self.loose)]
        # Of leaves that are no views, which have a whole state that can be equal.
        self.plain = list(map(_plain_state, movable)) if all(t._node is None and t._base is None for t in movable) else None
        found = [*movable, *leaves, *(t for t, _, _ in self.others)]
        repeats = Repeats(list(map(id, found)))
        self.distinct = None if repeats.all_differ else repeats.places  # whose gradients are looked at
        distinct = repeats.distinct(found)
        gradients: list[Any] = []
        if self.gradients:
            self.gradient_types = list(map(type, map(gradient_of, distinct)))
            gradients = [g for g in map(gradient_of, distinct) if g is not None]
            for gradient in gradients:
                history(gradient)
            self.gradient_states = list(map(_tensor_state, gradients))
        # Those that are fixed differ from each other. Which of the others is one of them, and which of the rest are one, is to be looked at.
        self.fixed_ids = frozenset(map(id, self.fixed))
        ids = [*map(id, movable), *map(id, gradients)]
        self.twins = [n for n, its in enumerate(ids) if its in self.fixed_ids]
        self.twin_ids = [ids[n] for n in self.twins]
        self.free = [n for n, its in enumerate(ids) if its not in self.fixed_ids]
        self.pattern = Repeats([ids[n] for n in self.free])
        self.found = Repeats(list(map(id, [*found, *gradients])))
        self.hold = self.checks.prepared()
        self.only_checks = not (self.views or self.empty or self.sized or self.reads or self.missing or self.arrays)
        return self.found.distinct([*found, *gradients])

    def unchanged(self) -> bool:
        """Whether everything is as it was but for tensors that may be others. Raises what looking at it raises."""
        if self.only_checks and self.stamp == nn_module.changes[0]:
            return self.hold()
        if self.stamp != nn_module.changes[0]:
            stamp = nn_module.changes[0]
            if list(map(len, self.attribute_dicts)) != self.attribute_sizes:
                return False
            if not all(map(is_, chain.from_iterable(map(call, self.attributes)), self.attribute_values)):
                return False
            self.stamp = stamp
        for tensor in self.views:
            refresh_view(tensor)
        if not self.hold():
            return False
        if any(self.empty) or list(map(len, self.sized)) != self.sizes:
            return False
        if self.reads and not all(map(is_, chain.from_iterable(map(call, self.reads)), self.values)):
            return False
        if self.missing and not all(map(call, self.missing)):
            return False
        return all(array.tobytes() == held for array, held in self.arrays) if self.arrays else True

    def sources(self, tensors: list[Any]) -> list[Any] | None:
        """The sources now, or None where something may have changed. `tensors` are those of the arguments.

        Raises `Different` where one of those that may be others is of another state than any that a walk would let pass.
        """
        try:
            if not self.unchanged():
                return None
            found = [*tensors, *map(call, self.loose)]
            same = self.plain is not None and list(map(_plain_state, found)) == self.plain
        except (KeyError, IndexError, AttributeError, ValueError, RuntimeError):
            return None
        if len(found) != len(self.states):
            return None
        for tensor, (kind, layout, requires_grad, is_leaf, inference) in () if same else zip(found, self.states, strict=True):
            if type(tensor) is not kind:
                return None
            if tensor._base is not None:
                refresh_view(tensor)
            if tensor._requires_grad is not requires_grad or (tensor._node is None) is not is_leaf:
                raise Different
            if tensor._layout is not layout:
                if _geometry(tensor._layout) != _geometry(layout):
                    raise Different
                return None
            if tensor._inference is not inference:
                return None
        ids = list(map(id, found))
        found += self.leaves
        for tensor, layout, requires_grad in self.others:
            if tensor._layout is not layout or tensor._requires_grad is not requires_grad or tensor._node is None:
                return None
            found.append(tensor)
        if self.gradients:
            gradients = list(map(gradient_of, found if self.distinct is None else map(found.__getitem__, self.distinct)))
            if list(map(type, gradients)) != self.gradient_types:
                return None
            if self.gradient_states:
                gradients = [g for g in gradients if g is not None]
                if list(map(_tensor_state, gradients)) != self.gradient_states:
                    return None
                ids += map(id, gradients)
                found += gradients
        if self.twins:
            if list(map(ids.__getitem__, self.twins)) != self.twin_ids:
                return None
            ids = list(map(ids.__getitem__, self.free))
        if not self.fixed_ids.isdisjoint(ids) or not self.pattern.holds(ids):
            return None
        return found if self.found.all_differ else self.found.distinct(found)
