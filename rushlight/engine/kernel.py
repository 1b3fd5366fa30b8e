"""Kernels and calls: what lowering makes and the run time runs.

A kernel is a native function ``void name(ptr args, i64 chunk)``. ``args`` points to 64-bit words: addresses, extents,
strides (in elements), and floats as the bits of a double. Chunks number from 0; they run in any order, on any thread,
and the result's bits do not depend on how many there are.

A tail is a function ``void name(ptr args, i64 matrix, i64 row, i64 row_end, i64 column, i64 column_end)`` that another kernel calls
for each box of its result.

A subroutine is a function that many kernels call: it has a module of its own, which is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from .emit import Builder, module

if TYPE_CHECKING:
    from .loops import Nest


class Kernel(NamedTuple):
    """A function in a module of its own. Equal kernels are compiled once."""

    name: str
    source: str  # LLVM IR of the module; see emit.py
    subroutines: tuple[Kernel, ...] = ()  # of these only the modules count


class Subroutine(NamedTuple):
    """A function in a module of its own, and what modules say that call it."""

    kernel: Kernel
    declaration: str

    @property
    def name(self) -> str:
        return self.kernel.name


def subroutine(functions: Sequence[Builder | Subroutine]) -> Subroutine:
    """The first of these functions, with what it calls."""
    first = functions[0]
    assert isinstance(first, Builder)
    return Subroutine(kernel_of(first.name, functions), first.declaration)


def kernel_of(name: str, functions: Iterable[Builder | Subroutine]) -> Kernel:
    """A kernel and what it calls; of functions that have one name, the last one."""
    each = {f.name: f for f in functions}.values()
    subroutines = [f for f in each if isinstance(f, Subroutine)]
    source = module([f for f in each if isinstance(f, Builder)], [s.declaration for s in subroutines])
    return Kernel(name, source, tuple(s.kernel for s in subroutines))


class Pointer(NamedTuple):
    """A word known only when the call runs: the address of an operand plus so many bytes, or a number's bits."""

    operand: int  # among the inputs and then the outputs of the entry; WORKSPACE for scratch memory
    offset: int = 0


#: The operand that stands for scratch memory which lives as long as the entry's calls run.
WORKSPACE = -1


class Result(NamedTuple):
    """What a call writes box by box, each by one job: a matrix, or several; strides in elements. What a tail is for (tails.py).

    The call's words from `word` on are the address of a tail's code, 0 for none, and how many words behind the call's own
    first one the tail's begin.
    """

    pointer: Pointer
    type: str  # of an element in memory
    extents: tuple[int, int, int]  # matrices, rows, columns
    strides: tuple[int, int, int]
    word: int


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel with its arguments."""

    kernel: Kernel
    words: tuple[int | Pointer, ...]
    chunks: int = 1
    nest: Nest | None = None  # what the kernel was made from, if it is a loop nest: for show.py and verify.py
    result: Result | None = None
    tail: Call | None = None  # what the jobs do with each box of the result when they have made it

    def renamed(self, name: Callable[[Pointer], Pointer]) -> Call:
        """The same call with other names for its operands."""
        words = tuple([name(word) if type(word) is Pointer else word for word in self.words])
        result = self.result and self.result._replace(pointer=name(self.result.pointer))
        return Call(self.kernel, words, self.chunks, self.nest, result, self.tail and self.tail.renamed(name))

    def with_tail(self, tail: Call) -> Call:
        return replace(self, tail=tail)

    def pointers(self) -> Iterator[Pointer]:
        """All pointers among its words and its tail's."""
        for word in self.words:
            if isinstance(word, Pointer):
                yield word
        if self.tail is not None:
            yield from self.tail.pointers()


@dataclass(frozen=True, slots=True)
class Lowered:
    """What an entry becomes: calls in order, each a barrier, and the bytes of scratch memory that they need."""

    calls: tuple[Call, ...]
    workspace: int = 0


def joined(parts: Sequence[Lowered]) -> Lowered:
    """Calls one after another, which may use the same workspace."""
    return Lowered(tuple(call for part in parts for call in part.calls), max((p.workspace for p in parts), default=0))
