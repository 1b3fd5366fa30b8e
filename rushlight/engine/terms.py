"""Terms: what a loop computes for each element, as a list of operations.

A card's lowering is a formula over terms: ``lambda k, x: k.exp(x)``, or, over rows, ``e = k.exp_below(x - k.largest(x));
return e / k.sum(e)``. It knows nothing of loops, strides or vectors. Equal operations are one term, so what several entries of a
fused group have in common is computed once.

A term varies along the row (the last dim of the loop nest), or is one value for each row: reductions over the row, numbers,
and what is computed from those alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import dtypes as dt

#: Types of elements in memory and in registers. A dtype that is not here has no native code.
MEMORY = {dt.float32: "float", dt.float64: "double", dt.bool_: "i8", dt.int8: "i8", dt.int16: "i16", dt.int32: "i32", dt.int64: "i64"}
#: Half precision is in memory only: loops read and write its bits, and compute in float32.
HALF = {dt.bfloat16: "bf16", dt.float16: "f16"}
HALF_BITS = frozenset(["from_bf16", "to_bf16", "from_f16", "to_f16"])
LOOP_MEMORY = {**MEMORY, dt.bfloat16: "i16", dt.float16: "i16", dt.uint8: "i8"}
#: uint8 is computed as i16 and cut off after each op.
REGISTER = {**MEMORY, dt.bool_: "i1", dt.bfloat16: "float", dt.float16: "float", dt.uint8: "i16"}
#: The dtypes whose form in memory is not that in a register.
WIDENED = frozenset((*HALF, dt.uint8))

FLOATS = ("float", "double")

#: Those of exact.py.
EXACT_FUNCTIONS = frozenset(["fmod", "quotient", "rest", "nextafter"])
#: Operations whose result IEEE or two's complement fixes: NumPy's bits are the same.
EXACT = frozenset(["load", "number", "constant", "store", "add", "sub", "mul", "div", "neg", "abs", "sqrt", "maximum", "minimum", "floor", "ceil", "rint", "trunc", "and", "or", "xor", "lt", "le", "gt", "ge", "eq", "ne", "select", "convert", "position", "at", "copysign", "shl", "ashr", "from_bf16", "to_bf16", "from_f16", "to_f16", "from_u8", *EXACT_FUNCTIONS])
#: Functions of float32 (functions.py), worth keeping rather than computing twice.
FUNCTIONS = frozenset(["exp", "exp_below", "expm1", "exp2", "log", "log1p", "log2", "log10", "tanh", "erf", "erfc", "sigmoid", "gelu", "gelu_tanh", "silu", "sin", "cos", "tan", "sinh", "cosh", "rsqrt", "pow", "log_sigmoid", "log1p_exp", "mish", "gelu_gradient", "gelu_tanh_gradient", "hypot", "asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh", "lgamma", "digamma", "trigamma", "erfinv"])
#: Those of them that float64 has too (double_functions.py).
DOUBLE_FUNCTIONS = frozenset(["exp", "expm1", "exp2", "log", "log1p", "tanh", "sigmoid", "silu", "log_sigmoid", "log1p_exp", "erf", "erfc", "gelu", "gelu_gradient", "sin", "cos", "hypot"])
REDUCTIONS = frozenset(("sum", "prod", "max", "min", "largest"))


_NO_BOOLS = frozenset(["add", "sub", "mul", "neg", "abs", "lt", "le", "gt", "ge"])


class Node(NamedTuple):
    """One operation. `args` are numbers of terms; `detail` is an operand's number, or a constant."""

    op: str
    args: tuple[int, ...]
    type: str
    detail: int | float = 0


class Term:
    """A value in a formula, with Python's operators."""

    __slots__ = ("terms", "number", "type")

    def __init__(self, terms: Terms, number: int, type: str) -> None:
        self.terms, self.number, self.type = terms, number, type

    def __add__(self, other: Term | float) -> Term:
        return self.terms.apply("add", self, other)

    def __radd__(self, other: float) -> Term:
        return self.terms.apply("add", self.terms.constant(other, self.type), self)

    def __sub__(self, other: Term | float) -> Term:
        return self.terms.apply("sub", self, other)

    def __rsub__(self, other: float) -> Term:
        return self.terms.apply("sub", self.terms.constant(other, self.type), self)

    def __mul__(self, other: Term | float) -> Term:
        return self.terms.apply("mul", self, other)

    def __rmul__(self, other: float) -> Term:
        return self.terms.apply("mul", self.terms.constant(other, self.type), self)

    def __truediv__(self, other: Term | float) -> Term:
        return self.terms.apply("div", self, other)

    def __rtruediv__(self, other: float) -> Term:
        return self.terms.apply("div", self.terms.constant(other, self.type), self)

    def __neg__(self) -> Term:
        return self.terms.apply("neg", self)

    def __gt__(self, other: Term | float) -> Term:
        return self.terms.apply("gt", self, other, type="i1")

    def __lt__(self, other: Term | float) -> Term:
        return self.terms.apply("lt", self, other, type="i1")

    def __ge__(self, other: Term | float) -> Term:
        return self.terms.apply("ge", self, other, type="i1")

    def __le__(self, other: Term | float) -> Term:
        return self.terms.apply("le", self, other, type="i1")


def is_exact(node: Node) -> bool:
    """Whether NumPy's bits are the same: reductions of floats depend on the order, those to an extremum by the signs of zeros."""
    return node.op in EXACT or (node.op in REDUCTIONS and node.type not in FLOATS)


class Unsupported(Exception):
    """A formula that has no native code for these dtypes; the card's NumPy rule runs instead."""


class Terms:
    """The terms of one loop nest, in the order in which they were written: arguments come first."""

    def __init__(self) -> None:
        self.space: Any = None  # what is looped over: lowering.Space
        self.outputs: Sequence[str] = ()  # the types of the results that the formula being written gives
        self.nodes: list[Node] = []
        self.known: dict[Node, int] = {}

    def node(self, op: str, args: tuple[int, ...], type: str, detail: int | float = 0) -> Term:
        node = Node(op, args, type, detail)
        number = self.known.get(node)
        if number is None:
            number = self.known[node] = len(self.nodes)
            self.nodes.append(node)
        return Term(self, number, type)

    def forget(self, first: int) -> None:
        """Take back the terms from number `first` on."""
        for node in self.nodes[first:]:
            del self.known[node]
        del self.nodes[first:]

    def apply(self, op: str, *values: Term | float, type: str = "") -> Term:
        """An operation on terms of one type; Python numbers become constants of it."""
        first = next(v for v in values if isinstance(v, Term))
        if first.type == "i1" and op in _NO_BOOLS:
            raise Unsupported(f"{op} of bools")
        terms = [v if isinstance(v, Term) else self.constant(v, first.type) for v in values]
        if op in FUNCTIONS and first.type != "float" and not (first.type == "double" and op in DOUBLE_FUNCTIONS):
            raise Unsupported(f"{op} of {first.type}")
        return self.node(op, tuple(t.number for t in terms), type or first.type)

    def constant(self, value: float, type: str) -> Term:
        if value == 0 and type in FLOATS and math.copysign(1.0, value) < 0:
            return self.apply("neg", self.constant(0.0, type))  # nodes are compared, and the two zeros are equal
        return self.node("constant", (), type, float(value) if type in FLOATS else int(value))

    def load(self, operand: int, memory: str, register: str) -> Term:
        """The element of an operand at this place."""
        loaded = self.node("load", (), memory, operand)
        return self.convert(loaded, register)

    def number(self, operand: int, type: str) -> Term:
        """An operand that is a number: a double, or an int64 for integer types."""
        return self.node("number", (), type, operand)

    def store(self, operand: int, value: Term, memory: str) -> None:
        self.node("store", (self.convert(value, memory).number,), memory, operand)

    def convert(self, value: Term, type: str) -> Term:
        if value.type in FLOATS and type not in FLOATS and type != "i1":
            raise Unsupported("floats as integers")  # out of range, machines differ
        return value if value.type == type else self.node("convert", (value.number,), type)

    def widen(self, value: Term, dtype: dt.dtype) -> Term:
        """What memory has of a dtype as what a register has: the bits of half precision as a float, those of a uint8 as an i16."""
        if dtype is dt.uint8:
            return self.node("from_u8", (value.number,), "i16")
        return self.node(f"from_{HALF[dtype]}", (value.number,), "float") if dtype in HALF else value

    def narrow(self, value: Term, dtype: dt.dtype) -> Term:
        """A value in a register as `dtype` has it in memory, rounded to half precision."""
        if dtype is dt.uint8:
            return self.convert(value, "i8")
        if dtype not in HALF:
            return self.convert(value, REGISTER[dtype])
        if value.type in ("double", "i32", "i64"):
            raise Unsupported("two roundings")
        return self.node(f"to_{HALF[dtype]}", (self.convert(value, "float").number,), "i16")

    def rounded(self, value: Term, dtype: dt.dtype) -> Term:
        """A value as it would come back from memory of a dtype."""
        return self.widen(self.narrow(value, dtype), dtype)

    # Elementwise

    def sqrt(self, x: Term) -> Term:
        return self.apply("sqrt", x)

    def abs(self, x: Term) -> Term:
        return self.apply("abs", x)

    def maximum(self, x: Term | float, y: Term | float) -> Term:
        return self.apply("maximum", x, y)

    def minimum(self, x: Term | float, y: Term | float) -> Term:
        return self.apply("minimum", x, y)

    def compare(self, condition: str, x: Term, y: Term | float) -> Term:
        """``eq``, ``ne``, ``lt``, ``le``, ``gt`` or ``ge``."""
        return self.apply(condition, x, y, type="i1")

    def select(self, condition: Term, x: Term | float, y: Term | float) -> Term:
        known = x if isinstance(x, Term) else y
        assert isinstance(known, Term)
        x = x if isinstance(x, Term) else self.constant(x, known.type)
        y = y if isinstance(y, Term) else self.constant(y, known.type)
        return self.node("select", (condition.number, x.number, y.number), known.type)

    def function(self, name: str, *values: Term | float) -> Term:
        """One of FUNCTIONS by its name."""
        return self.apply(name, *values)

    def exp(self, x: Term) -> Term:
        return self.apply("exp", x)

    def exp_below(self, x: Term) -> Term:
        """The exponential of what is below 0, or nan, in a sum that has exp(0): what is no normal number may be 0."""
        return self.apply("exp_below" if x.type == "float" else "exp", x)

    def log(self, x: Term) -> Term:
        return self.apply("log", x)

    # Over the row

    def sum(self, x: Term) -> Term:
        return self.node("sum", (x.number,), x.type)

    def prod(self, x: Term) -> Term:
        return self.node("prod", (x.number,), x.type)

    def max(self, x: Term) -> Term:
        return self.node("max", (x.number,), x.type)

    def largest(self, x: Term) -> Term:
        """The maximum of the numbers; nan does not count, and which zero it is stays open."""
        return self.node("largest", (x.number,), x.type)

    def min(self, x: Term) -> Term:
        return self.node("min", (x.number,), x.type)

    def position(self) -> Term:
        """The place along the row, as an i32."""
        return self.node("position", (), "i32")

    def at(self, operand: int, memory: str, place: Term) -> Term:
        """The element of an operand's row at a place that is one for each row."""
        return self.node("at", (place.number,), memory, operand)

    # Over all rows

    def column_sum(self, operand: int, x: Term) -> None:
        """Store in `operand`, which has one row, the sum of `x` over all rows."""
        self.node("column_sum", (x.number,), x.type, operand)
