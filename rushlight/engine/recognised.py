"""A trace that is recognised and run by machine code: the looking of pattern.py, and the collecting of execute.py.

Both walk over the entries' operands as Python holds them, which is what they cost: here it takes some nanoseconds for each. The functions
are one module for all patterns (operand_code.py); each pattern has words that say what its operands are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import llvm
from .memory import address_of
from .objects import builtin
from .operand_code import (
    AGAIN,
    DIFFERENT as DIFFERENT,
    EQUAL,
    KIND_BITS,
    NEW,
    NUMBER,
    OTHER_REFERENCES as OTHER_REFERENCES,
    PLACES,
    SHARED,
    WORDS,
    code_of_operands,
)
from .trace import Fate, Scan

if TYPE_CHECKING:
    from ..storage import Storage
    from .pipeline import Compiled, Segment

_WORD = 8


class Operands:
    """What the operands of a kind of trace are to each other, in words."""

    def __init__(self, sequences: Sequence[Sequence[Any]]) -> None:
        """`sequences` are inputs and outputs of each entry in turn."""
        self.codes: list[int] = []
        self.of_region: dict[Any, int] = {}  # the first object that names it
        self.of_storage: dict[Storage, int] = {}
        self.first: dict[int, int] = {}  # of each object, by its identity
        self.storages: list[int] = []  # of each object
        self.numbers = 0
        self.entries = len(sequences) // 2
        for operands in sequences:
            self.codes.append(len(operands))
            self.codes += [self._code(o) if type(o) is tuple else self._number() for o in operands]

    def _number(self) -> int:
        self.numbers += 1
        return NUMBER

    def _code(self, region: Any) -> int:
        storage = region[0]
        number = self.first.setdefault(id(region), len(self.first))
        if number < len(self.storages):
            return AGAIN | number << KIND_BITS
        known = self.of_region.setdefault(region, number)
        count = len(self.of_storage)
        at = self.of_storage.setdefault(storage, count)
        self.storages.append(at)
        if known != number:
            return EQUAL | known << KIND_BITS
        return NEW if at == count else SHARED | at << KIND_BITS


class Recognised:
    """A kind of trace that is one native call: `look` whether entries are of that kind, `run` them, `references` of their owed storages."""

    __slots__ = ("segment", "look", "_memory", "_tables", "_run")

    def __init__(self, code: llvm.Code, operands: Operands, owed: Sequence[bool], compiled: Compiled, segment: Segment) -> None:
        self.segment = segment
        distinct = [n for n, storage in enumerate(operands.storages) if owed[storage]]
        begins = [(number, 0) for number in operands.of_region.values()]  # of each slot: an object that says it, and how far behind that
        begins += [(-1, offset) for _, offset, _ in compiled.locals]
        for slot, base, offset in compiled.derived:
            begins[slot] = begins[base][0], begins[base][1] + offset
        temporaries = [(*begins[slot], offset, itemsize) for slot, offset, itemsize in segment.temporaries]
        regions = [(*begins[slot], storage, itemsize) for slot, storage, itemsize in segment.regions]
        nothing = [0] * len(owed)
        set_size = 1 << (2 * (len(distinct) + len(owed))).bit_length()
        tables: dict[str, Sequence[Any]] = {
            "codes": operands.codes, "objects": [0] * len(operands.storages), "storages": nothing, "numbers": [0] * operands.numbers,
            "set": [0] * set_size, "distinct": distinct, "owed": owed, "expected": nothing, "found": nothing, "allocated": segment.allocated,
            "values": [0] * segment.program.slots, "temporaries": temporaries, "regions": regions, "arguments": segment.numbers,
        }  # fmt: skip
        words = {
            "entries": operands.entries, "mask": set_size - 1, "distincts": len(distinct), "count": len(owed), "known": 0, "allocations": len(segment.allocated),
            "temporary": len(temporaries), "region": len(regions), "argument": len(segment.numbers), "program": segment.program.address, "driver": segment.program.driver,
            "none": id(None), "tuple": id(tuple), "list": id(list), "float": id(float), "int": id(int), "bool": id(bool),
        }  # fmt: skip
        flat = {name: np.array(table, np.int64).reshape(-1) for name, table in tables.items()}
        self._memory = np.zeros(len(WORDS) + sum(table.size for table in flat.values()), np.int64)
        first: int = self._memory.ctypes.data
        self._tables: dict[str, np.ndarray] = {}
        at = len(WORDS)
        for name, table in flat.items():
            words[name] = first + _WORD * at
            self._tables[name] = self._memory[at : at + table.size]
            self._tables[name][:] = table
            at += table.size
        self._memory[: len(WORDS)] = [words[name] for name in WORDS]
        self.look: Callable[[Sequence[Any]], Any] = builtin(code, "look", self._memory, arguments=1)
        self._run = builtin(code, "run_entries", self._memory, arguments=None)

    def references(self) -> list[int]:
        """How many each owed storage had when `look` was last called."""
        return self._tables["found"].tolist()

    def learn(self, references: Sequence[int]) -> None:
        """Entries whose owed storages have so many references are of this kind."""
        self._tables["expected"][:] = references
        self._memory[PLACES["known"]] = 1

    def run(self, entries: Sequence[Any], arena: int) -> bool:
        """Run entries that `look` has said yes to, and whose results have memory. False, with nothing done, where it takes Python to read a number."""
        ran = self._run(entries, arena)
        while type(ran) is not int:
            if ran.data is None:
                return False
            address_of(ran)
            ran = self._run(entries, arena)
        return ran == 1


def recognised(entries: Sequence[Any], found: Scan, compiled: Compiled) -> Recognised | None:
    """The native form of looking at entries like these; None where there is none for this interpreter, or this trace."""
    segment, code = compiled.only, code_of_operands()
    if segment is None or code is None:
        return None
    operands = Operands([operands for _, outputs, inputs, _ in entries for operands in (inputs, outputs)])
    if list(operands.of_region) != found.regions or list(operands.of_storage) != found.storages:
        return None
    if any(storage >= len(found.storages) for storage in (*segment.allocated, *[storage for _, storage, _ in segment.regions])):
        return None
    return Recognised(code, operands, [fate != Fate.THERE for fate in found.fates], compiled, segment)
