"""Update programs: an optimizer's formula as a list of elementwise instructions, found by running the formula once.

A formula is written with tensor operations (``exp_avg.lerp_(grad, 1 - beta1)``). `trace` calls it with a `Symbol` in
place of each tensor and a `Number` in place of each Python number, and notes what is done to them. The result, a
`Formula`, has two parts: what happens to elements, an `Update`, which the NumPy rule of `optimizer_step` and native
code carry out; and how the numbers in it follow from the optimizer's, which stays in Python, in double precision.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Scalars = Mapping[str, Any]

#: The operations of an instruction, with their number of operands. All are exactly rounded, none is a fused
#: multiply-add, and ``maximum`` and ``minimum`` give NaN where either operand is. A comparison gives a truth value,
#: which only the first operand of ``select(condition, chosen, other)`` takes.
ARITHMETIC = {"add": 2, "sub": 2, "mul": 2, "div": 2, "maximum": 2, "minimum": 2, "neg": 1, "abs": 1, "sqrt": 1, "select": 3}
COMPARISONS = {"lt": 2, "le": 2, "gt": 2, "ge": 2, "eq": 2, "ne": 2}


class Instruction(NamedTuple):
    op: str
    operands: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Update:
    """What a step does to each element of a parameter: instructions in single-assignment form.

    Values are numbered: the tensors (0 is the parameter, 1 its gradient, then the buffers) as they are before the
    step, then the numbers, then the constants, then one value for each instruction in order. Numbers and constants
    are rounded to the parameter's dtype, in which all is computed, one rounding per instruction, in this order.
    At the end each ``(tensor, value)`` of ``results`` is written; no tensor stands there twice, and the gradient never.
    """

    tensors: int
    numbers: int
    constants: tuple[float, ...]
    instructions: tuple[Instruction, ...]
    results: tuple[tuple[int, int], ...]

    @property
    def first_instruction(self) -> int:
        """The number of the first instruction's value."""
        return self.tensors + self.numbers + len(self.constants)

    def __str__(self) -> str:
        names = ["param", "grad", *(f"buffer{n}" for n in range(self.tensors - 2)), *(f"number{n}" for n in range(self.numbers))]
        names += [*map(repr, self.constants), *(f"v{n}" for n in range(len(self.instructions)))]
        lines = [f"v{n} = {i.op}({', '.join(names[v] for v in i.operands)})" for n, i in enumerate(self.instructions)]
        return "\n".join([*lines, *(f"{names[tensor]} <- {names[value]}" for tensor, value in self.results)])


@dataclass(frozen=True, eq=False)
class Formula:
    """A traced formula: it holds for scalars that take all its branches on numbers the same way."""

    update: Update
    numbers: tuple[Callable[[Scalars], float], ...]
    branches: tuple[Callable[[Scalars], bool], ...]
    outcomes: list[bool]

    def holds(self, scalars: Scalars) -> bool:
        return [branch(scalars) for branch in self.branches] == self.outcomes


class _Value(NamedTuple):
    """A value while tracing: an instruction, or an input with its number as the only operand."""

    op: str
    operands: tuple[Any, ...]  # values, numbers and constants


class _Trace:
    def __init__(self, scalars: Scalars) -> None:
        self.scalars = scalars
        self.values: list[_Value] = []
        self.branches: list[Callable[[Scalars], bool]] = []
        self.outcomes: list[bool] = []

    def value(self, op: str, *operands: Any) -> _Value:
        found = _Value(op, operands)
        self.values.append(found)
        return found

    def branch(self, test: Callable[[Scalars], bool]) -> bool:
        """Which way a branch on a number goes now."""
        self.branches.append(lambda scalars: bool(test(scalars)))
        self.outcomes.append(bool(test(self.scalars)))
        return self.outcomes[-1]


def _number_method(function: Callable[[Any, Any], Any], *, swapped: bool = False, branches: bool = False) -> Callable[[Number, Any], Any]:
    def method(self: Number, other: Any) -> Any:
        if isinstance(other, Symbol):
            return NotImplemented
        mine = self.of
        theirs = other.of if isinstance(other, Number) else lambda _: other
        first, second = (theirs, mine) if swapped else (mine, theirs)

        def of(scalars: Scalars) -> Any:
            return function(first(scalars), second(scalars))

        return self.trace.branch(of) if branches else Number(self.trace, of)

    return method


class Number:
    """A Python number that a formula computes with, as a function of the optimizer's numbers.

    A comparison answers what holds now, and the trace notes that it did.
    """

    __slots__ = ("trace", "of")

    def __init__(self, trace: _Trace, of: Callable[[Scalars], Any]) -> None:
        self.trace = trace
        self.of = of

    def __neg__(self) -> Number:
        return Number(self.trace, lambda scalars: -self.of(scalars))

    def __abs__(self) -> Number:
        return Number(self.trace, lambda scalars: abs(self.of(scalars)))

    def __bool__(self) -> bool:
        return self.trace.branch(self.of)

    __add__, __radd__ = _number_method(operator.add), _number_method(operator.add, swapped=True)
    __sub__, __rsub__ = _number_method(operator.sub), _number_method(operator.sub, swapped=True)
    __mul__, __rmul__ = _number_method(operator.mul), _number_method(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _number_method(operator.truediv), _number_method(operator.truediv, swapped=True)
    __pow__ = _number_method(operator.pow)
    __lt__, __le__ = _number_method(operator.lt, branches=True), _number_method(operator.le, branches=True)
    __gt__, __ge__ = _number_method(operator.gt, branches=True), _number_method(operator.ge, branches=True)
    __eq__, __ne__ = _number_method(operator.eq, branches=True), _number_method(operator.ne, branches=True)  # type: ignore[assignment]
    __hash__ = object.__hash__


def _elementwise(op: str, *, swapped: bool = False) -> Callable[..., Symbol]:
    def method(self: Symbol, *others: Any) -> Symbol:
        return self.apply(op, *reversed((self, *others))) if swapped else self.apply(op, self, *others)

    return method


def _in_place(method: Callable[..., Symbol]) -> Callable[..., Symbol]:
    def changed(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        self.value = method(self, *args, **kwargs).value
        return self

    return changed


def _is_one(number: Any) -> bool:
    return type(number) is int and number == 1


class Symbol:
    """Stands for a tensor while a formula is traced: the tensor operations that formulas use.

    Each expands into the operations of its card's NumPy rule, in the same order, so that the bits are the same.
    """

    __slots__ = ("trace", "value")

    def __init__(self, trace: _Trace, value: _Value) -> None:
        self.trace = trace
        self.value = value

    def apply(self, op: str, *operands: Any) -> Symbol:
        return Symbol(self.trace, self.trace.value(op, *(o.value if isinstance(o, Symbol) else o for o in operands)))

    __neg__ = neg = _elementwise("neg")
    __abs__ = abs = _elementwise("abs")
    sqrt = _elementwise("sqrt")
    __mul__ = mul = _elementwise("mul")
    __rmul__ = _elementwise("mul", swapped=True)
    __truediv__ = div = _elementwise("div")
    __rtruediv__ = _elementwise("div", swapped=True)
    __rsub__ = _elementwise("sub", swapped=True)
    __radd__ = _elementwise("add", swapped=True)
    maximum, minimum = _elementwise("maximum"), _elementwise("minimum")
    __lt__, __le__, __gt__, __ge__ = map(_elementwise, ("lt", "le", "gt", "ge"))
    __eq__, __ne__ = _elementwise("eq"), _elementwise("ne")  # type: ignore[assignment]
    __hash__ = object.__hash__

    def add(self, other: Any, *, alpha: Any = 1) -> Symbol:
        return self.apply("add", self, other if _is_one(alpha) else other * alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Symbol:
        return self.apply("sub", self, other if _is_one(alpha) else other * alpha)

    __add__, __sub__ = add, sub

    def square(self) -> Symbol:
        return self * self

    def lerp(self, end: Symbol, weight: Any) -> Symbol:
        # From the nearer end, so that weight 1 gives `end` exactly.
        if abs(weight) < 0.5:
            return self + (end - self) * weight
        return end - (end - self) * self.apply("sub", 1, weight)

    def addcmul(self, tensor1: Symbol, tensor2: Symbol, *, value: Any = 1) -> Symbol:
        return self + (tensor1 if _is_one(value) else value * tensor1) * tensor2

    def addcdiv(self, tensor1: Symbol, tensor2: Symbol, *, value: Any = 1) -> Symbol:
        quotient = tensor1 / tensor2
        return self + (quotient if _is_one(value) else value * quotient)

    def clamp(self, min: Any, max: Any) -> Symbol:
        return self.maximum(min).minimum(max)

    def masked_fill(self, mask: Symbol, value: Any) -> Symbol:
        return self.apply("select", mask, value, self)

    def sign(self) -> Symbol:
        return self.apply("select", self > 0, 1, self.apply("select", self < 0, -1, 0))

    def detach(self) -> Symbol:
        return Symbol(self.trace, self.value)

    def copy_(self, src: Symbol) -> Symbol:
        self.value = src.value
        return self

    add_, sub_, mul_, div_ = _in_place(add), _in_place(sub), _in_place(mul), _in_place(div)
    lerp_, addcmul_, addcdiv_, clamp_ = _in_place(lerp), _in_place(addcmul), _in_place(addcdiv), _in_place(clamp)


def trace(formula: Callable[..., None], tensors: int, scalars: Scalars) -> Formula:
    """``formula(param, grad, *buffers, **scalars)`` as a program.

    Scalars that are floats or integers become numbers of the program. The others (flags, None) are passed on and so
    decide what the program is.
    """
    tracing = _Trace(scalars)
    inputs = [tracing.value("tensor", n) for n in range(tensors)]
    symbols = [Symbol(tracing, value) for value in inputs]
    arguments = {key: Number(tracing, operator.itemgetter(key)) if is_number(value) else value for key, value in scalars.items()}
    formula(*symbols, **arguments)
    results = [(n, symbol.value) for n, (symbol, value) in enumerate(zip(symbols, inputs, strict=True)) if symbol.value is not value]
    instructions = _needed(tracing.values, [value for _, value in results])
    operands = [o for i in instructions for o in i.operands if not isinstance(o, _Value)]
    numbers = list({id(o): o for o in operands if isinstance(o, Number)}.values())
    constants = list({float(o).hex(): float(o) for o in operands if not isinstance(o, Number)}.values())
    index = {id(v): n for n, v in enumerate([*inputs, *numbers])}
    first_constant = len(index)
    by_bits = {c.hex(): first_constant + n for n, c in enumerate(constants)}
    index |= {id(v): first_constant + len(constants) + n for n, v in enumerate(instructions)}

    def place(operand: Any) -> int:
        return index[id(operand)] if isinstance(operand, _Value | Number) else by_bits[float(operand).hex()]

    update = Update(
        tensors,
        len(numbers),
        tuple(constants),
        tuple(Instruction(i.op, tuple(map(place, i.operands))) for i in instructions),
        tuple((n, place(value)) for n, value in results),
    )
    return Formula(update, tuple(number.of for number in numbers), tuple(tracing.branches), tracing.outcomes)


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _needed(values: Sequence[_Value], results: Sequence[_Value]) -> list[_Value]:
    """The instructions that the results depend on, in order."""
    wanted = {id(value) for value in results}
    for value in reversed(values):
        if id(value) in wanted:
            wanted.update(id(o) for o in value.operands if isinstance(o, _Value))
    return [value for value in values if id(value) in wanted and value.op != "tensor"]
