"""Kernels and calls: what lowering makes and the run time runs.

A kernel is a native function ``void name(ptr args, i64 chunk)``. ``args`` points to 64-bit words: addresses, extents,
strides (in elements), and floats as the bits of a double. Chunks number from 0; they run in any order, on any thread,
and the result's bits do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .loops import Nest


class Kernel(NamedTuple):
    """A function in a module of its own. Equal kernels are compiled once."""

    name: str
    source: str  # LLVM IR of the module; see emit.py


class Pointer(NamedTuple):
    """A word known only when the call runs: the address of an operand plus so many bytes, or a number's bits."""

    operand: int  # among the inputs and then the outputs of the entry; WORKSPACE for scratch memory
    offset: int = 0


#: The operand that stands for scratch memory which lives as long as the entry's calls run.
WORKSPACE = -1


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel with its arguments."""

    kernel: Kernel
    words: tuple[int | Pointer, ...]
    chunks: int = 1
    nest: Nest | None = None  # what the kernel was made from, if it is a loop nest: for show.py and verify.py

    def renamed(self, name: Callable[[Pointer], Pointer]) -> Call:
        """The same call with other names for its operands."""
        words = tuple([name(word) if type(word) is Pointer else word for word in self.words])
        return Call(self.kernel, words, self.chunks, self.nest)


@dataclass(frozen=True, slots=True)
class Lowered:
    """What an entry becomes: calls in order, each a barrier, and the bytes of scratch memory that they need."""

    calls: tuple[Call, ...]
    workspace: int = 0


def joined(parts: Sequence[Lowered]) -> Lowered:
    """Calls one after another, which may use the same workspace."""
    return Lowered(tuple(call for part in parts for call in part.calls), max((p.workspace for p in parts), default=0))
