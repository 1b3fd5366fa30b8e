"""What a kernel of matrix products is specialised on, and what all of them do alike."""

from __future__ import annotations

from dataclasses import dataclass

from . import llvm
from .elements import memory_type, register_type, store, store_sums
from .emit import BITS, Builder, Value


@dataclass(frozen=True, slots=True)
class Variant:
    """What a product kernel is specialised on."""

    type: str  # of A's and B's elements: "float", "double", "bf16", "f16"
    out: str  # of the output's and the bias's
    pairs: bool  # whether bfloat16 is multiplied in pairs
    rows: tuple[int, ...]  # of A in a block: one size or two
    vectors: int  # in a row of a panel
    tail: int  # vectors in a row of the last panel, if fewer
    a_rows: bool  # whether A's rows are contiguous, otherwise its columns are
    a_packed: bool
    b_rows: bool  # whether B's rows are contiguous, otherwise its columns are, and it is packed
    b_packed: bool
    amx: bool = False  # whether pairs are multiplied in AMX's registers

    @property
    def memory(self) -> str:
        """The type of A's and B's elements in memory."""
        return memory_type(self.type)

    @property
    def a_memory(self) -> str:
        """The same of A's, which may be pairs already."""
        return "i32" if self.a_paired else self.memory

    @property
    def a_paired(self) -> bool:
        """Whether pairs have been made of A's columns before."""
        return self.pairs and not self.a_rows and not self.amx

    @property
    def sum(self) -> str:
        """The type of an accumulator."""
        return register_type(self.type)

    @property
    def packed(self) -> str:
        """The type of what a tile multiplies."""
        return "i32" if self.pairs else self.sum

    @property
    def a_type(self) -> str:
        """The type of A's elements where a tile reads them."""
        return self.packed if self.a_packed else self.a_memory

    @property
    def lanes(self) -> int:
        """Sums in a vector register of the host."""
        return llvm.vector_width() // BITS[self.sum]

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes

    def steps(self, k: Builder, count: Value) -> Value:
        """What so many k are to a tile."""
        return k.lshr(k.add(count, k.constant(1, "i64")), 1) if self.pairs else count


def has_masks() -> bool:
    """Whether reading some lanes of a vector costs no more than reading all."""
    return "avx512f" in llvm.host_features()


def panel_bytes(variant: Variant, steps: int) -> int:
    """The memory of a packed panel."""
    return -(-steps // variant.lanes) * variant.lanes * variant.width * (BITS[variant.packed] // 8)


def smaller(k: Builder, a: Value, b: Value) -> Value:
    return k.intrinsic("smin", a, b)


def masks_of(k: Builder, columns: Value, vectors: int, lanes: int) -> list[Value]:
    """For each vector of a row, which of its lanes are columns."""
    masks = []
    for v in range(vectors):
        numbers = Value("<" + ", ".join(f"i64 {v * lanes + n}" for n in range(lanes)) + ">", "i64", lanes)
        masks.append(k.compare("slt", numbers, k.splat(columns, lanes)))
    return masks


def finish(k: Builder, variant: Variant, total: Value, address: Value, mask: Value) -> None:
    """Write accumulators to the output."""
    if variant.pairs and variant.out == "bf16":
        store_sums(k, total, address, mask)
    else:
        store(k, total, address, variant.out, mask)
