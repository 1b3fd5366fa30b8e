"""Modules that hold modules: in sequence, as a list, as a dictionary."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from ..graph import grad_state
from .module import Module, _addindent

if TYPE_CHECKING:
    from ..capture.inference import Passes

__all__ = ["Container", "ModuleDict", "ModuleList", "Sequential"]

#: From so many passes without gradients on, a Sequential looks whether they are alike.
PASSES = 8


class Container(Module):
    """Deprecated by PyTorch: subclass :class:`Module`. Registers its keyword arguments as submodules."""

    def __init__(self, **kwargs: Module) -> None:
        import warnings

        warnings.warn(
            "`nn.Container` is deprecated. All of its functionality is now implemented in `nn.Module`. "
            "Subclass that instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__()
        for name, module in kwargs.items():
            self.add_module(name, module)


def absolute_index(index: Any, size: int) -> int:
    index = operator.index(index)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of range")
    return index % size


class _ModuleSequence(Module):
    """What Sequential and ModuleList share: submodules named "0", "1", ..."""

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, list(self._modules)[absolute_index(idx, len(self))], module)

    def __delitem__(self, idx: int | slice) -> None:
        names = list(self._modules)
        for name in names[idx] if isinstance(idx, slice) else [names[absolute_index(idx, len(self))]]:
            delattr(self, name)
        self._modules = {str(position): module for position, module in enumerate(self._modules.values())}

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: int | slice) -> Module:
        """Remove and return a module, or with a slice a container of them."""
        module = self[key]  # type: ignore[index]
        del self[key]
        return module

    def _insert(self, index: int, module: Module) -> None:
        for position in range(len(self._modules), index, -1):
            self._modules[str(position)] = self._modules[str(position - 1)]
        self._modules[str(index)] = module


class Sequential(_ModuleSequence):
    """Calls its modules one after the other, each on the result of the one before.

    Takes the modules, or one OrderedDict of them by name.

    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    # What is known of the passes without gradients (capture/inference.py), at first how many there were: no attribute, and no
    # part of a saved module.
    __slots__ = ("_passes",)

    _passes: int | Passes

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(self, "_passes", 0)
        return self

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for position, module in enumerate(args):
                self.add_module(str(position), module)

    def forward(self, input: Any) -> Any:
        if not grad_state.enabled:
            passes = self._passes
            if isinstance(passes, int):
                self._count_passes(passes)
            elif (found := passes.run(self, input)) is not None:
                return found
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _count_passes(self, count: int) -> None:
        passes: int | Passes = count + 1
        if count + 1 == PASSES:
            from ..capture.inference import Passes

            passes = Passes()
        object.__setattr__(self, "_passes", passes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(OrderedDict(list(self._modules.items())[idx]))
        return list(self._modules.values())[absolute_index(idx, len(self))]

    def __add__(self, other: Sequential) -> Sequential:
        self._check_addend(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        self._check_addend(other)
        return self.extend(list(other))

    @staticmethod
    def _check_addend(other: Any) -> None:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")

    def __mul__(self, other: int) -> Sequential:
        self._check_factor(other)
        return Sequential(*list(self) * other)

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        self._check_factor(other)
        return self.extend(list(self) * (other - 1))

    def _check_factor(self, other: Any) -> None:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")

    def insert(self, index: int, module: Module) -> Self:
        """Insert a module before ``index``.

        >>> nn.Sequential(nn.ReLU()).insert(0, nn.Linear(2, 3))
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): ReLU()
        )
        """
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        size = len(self)
        if not -size <= index <= size:
            raise IndexError(f"Index out of range: {index}")
        self._insert(index + size if index < 0 else index, module)
        return self

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Add several modules at the end.

        >>> nn.Sequential(nn.Linear(2, 3)).extend([nn.ReLU(), nn.Linear(3, 1)])[1:]
        Sequential(
          (1): ReLU()
          (2): Linear(in_features=3, out_features=1, bias=True)
        )
        """
        for module in sequential:
            self.append(module)
        return self


class ModuleList(_ModuleSequence):
    """A list of modules, all registered; it has no ``forward``.

    >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(list(self._modules.values())[idx])  # type: ignore[arg-type]
        return self._modules[str(absolute_index(idx, len(self)))]

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def __repr__(self) -> str:
        """Equal neighbours are printed once, with their range and count."""
        blocks: list[tuple[int, int, str]] = []
        for position, text in enumerate(repr(module) for module in self):
            if blocks and blocks[-1][2] == text:
                blocks[-1] = (blocks[-1][0], position, text)
            else:
                blocks.append((position, position, text))
        if not blocks:
            return f"{self._get_name()}()"
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in blocks
        ]
        return f"{self._get_name()}(\n  " + "\n  ".join(_addindent(line, 2) for line in lines) + "\n)"

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before ``index``.

        >>> layers = nn.ModuleList([nn.ReLU()])
        >>> layers.insert(0, nn.Tanh())
        >>> layers[0]
        Tanh()
        """
        self._insert(index, module)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end.

        >>> len(nn.ModuleList([nn.ReLU()]).extend([nn.Tanh(), nn.Identity()]))
        3
        """
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        for position, module in enumerate(modules, len(self)):
            self.add_module(str(position), module)
        return self


def check_pairs(kind: str, pairs: Iterable[Any], method: str) -> Iterator[tuple[str, Any]]:
    """The (key, value) pairs that ``update`` was given as an iterable, each checked when reached."""
    if not isinstance(pairs, Iterable):
        raise TypeError(
            f"{method}.update should be called with an iterable of key/value pairs, but got {type(pairs).__name__}"
        )
    for position, pair in enumerate(pairs):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{kind} update sequence element #{position} should be Iterable; is{type(pair).__name__}")
        if len(pair) != 2:  # type: ignore[arg-type]
            raise ValueError(
                f"{kind} update sequence element #{position} has length {len(pair)}; 2 is required"  # type: ignore[arg-type]
            )
        yield pair[0], pair[1]  # type: ignore[index]


class ModuleDict(Module):
    """A dictionary of modules, all registered, in order of insertion.

    >>> nn.ModuleDict({"act": nn.ReLU()})["act"]
    ReLU()
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules.

        >>> parts = nn.ModuleDict({"act": nn.ReLU()})
        >>> parts.clear()
        >>> len(parts)
        0
        """
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove and return a module.

        >>> nn.ModuleDict({"act": nn.ReLU()}).pop("act")
        ReLU()
        """
        module = self[key]
        del self[key]
        return module

    def keys(self) -> KeysView[str]:
        """The names.

        >>> list(nn.ModuleDict({"act": nn.ReLU()}).keys())
        ['act']
        """
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """The names and modules.

        >>> list(nn.ModuleDict({"act": nn.ReLU()}).items())
        [('act', ReLU())]
        """
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules.

        >>> list(nn.ModuleDict({"act": nn.ReLU()}).values())
        [ReLU()]
        """
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules, from a mapping or from pairs.

        >>> parts = nn.ModuleDict()
        >>> parts.update({"act": nn.ReLU()})
        >>> parts["act"]
        ReLU()
        """
        pairs = modules.items() if isinstance(modules, (ModuleDict, Mapping)) else None
        for key, module in pairs if pairs is not None else check_pairs("ModuleDict", modules, "ModuleDict"):
            self[key] = module
