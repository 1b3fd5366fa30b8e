"""Writing LLVM IR as text: a function, its blocks and its values.

A `Value` is a name or a constant with an element type and a number of lanes (1 for a scalar). Arithmetic on them is
IEEE's, with no fast-math flags, so that an expression has the same bits wherever it stands.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

#: Lanes of every vector in generated code, whatever the machine has: LLVM splits them. Reductions depend on it.
LANES = 16

BITS = {"float": 32, "double": 64, "half": 16, "i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "ptr": 64}
_SUFFIX = {"float": "f32", "double": "f64", "half": "f16"}
INTEGER_OF = {"float": "i32", "double": "i64"}


class Value(NamedTuple):
    """A value of the function being written: ``text`` is ``%name`` or a constant."""

    text: str
    type: str  # of an element: "float", "i32", "ptr", ...
    lanes: int = 1

    @property
    def ir(self) -> str:
        """The LLVM type."""
        return self.type if self.lanes == 1 else f"<{self.lanes} x {self.type}>"

    @property
    def typed(self) -> str:
        return f"{self.ir} {self.text}"

    @property
    def floating(self) -> bool:
        return self.type in _SUFFIX


def literal(value: float, type: str) -> str:
    """A number as LLVM writes it: floats by their bits."""
    if type == "i1":
        return "true" if value else "false"
    if type == "float":
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    if type in ("float", "double"):
        return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"
    return str(int(value))


class Builder:
    """The body of one function, written line by line."""

    def __init__(self, name: str, parameters: Sequence[tuple[str, str]], cold: bool = False) -> None:
        """`parameters` are pairs of LLVM type and name, such as ("ptr", "args"). A `cold` function is compiled quickly: its loops call others."""
        self.cold = cold
        self.name = name
        self.parameters = {p: Value(f"%{p}", type) for type, p in parameters}
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self.declarations: dict[str, None] = {}
        self._next = itertools.count()
        self._head = f"define void @{name}({', '.join(f'{type} noalias %{p}' if type == 'ptr' else f'{type} %{p}' for type, p in parameters)})"

    @property
    def declaration(self) -> str:
        """What another module says that calls the function."""
        return f"declare void @{self.name}({', '.join(p.type for p in self.parameters.values())})"

    def finish(self) -> str:
        """The function's text. `declarations` has what it calls."""
        cold = "noinline optnone " if self.cold else ""
        return "\n".join((f'{self._head} {cold}"prefer-vector-width"="512" "min-legal-vector-width"="512" {{', *self.lines, "  ret void", "}"))

    # Values

    def new(self, instruction: str, type: str, lanes: int = 1) -> Value:
        name = f"%v{next(self._next)}"
        self.lines.append(f"  {name} = {instruction}")
        return Value(name, type, lanes)

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def constant(self, value: float, type: str, lanes: int = 1) -> Value:
        text = literal(value, type)
        return Value(text if lanes == 1 else f"splat ({type} {text})", type, lanes)

    def like(self, value: float, other: Value) -> Value:
        """A constant of the type and lanes of another value."""
        return self.constant(value, other.type, other.lanes)

    def splat(self, value: Value, lanes: int = LANES) -> Value:
        """A scalar in every lane."""
        if value.lanes == lanes:
            return value
        one = self.new(f"insertelement <{lanes} x {value.type}> poison, {value.typed}, i64 0", value.type, lanes)
        return self.new(f"shufflevector {one.typed}, <{lanes} x {value.type}> poison, <{lanes} x i32> zeroinitializer", value.type, lanes)

    def _match(self, a: Value, b: Value) -> tuple[Value, Value]:
        assert a.type == b.type, (a, b)
        lanes = max(a.lanes, b.lanes)
        return self.splat(a, lanes), self.splat(b, lanes)

    # Arithmetic: `add` and its like choose the float or the integer instruction by the type.

    def binary(self, instruction: str, a: Value, b: Value) -> Value:
        a, b = self._match(a, b)
        return self.new(f"{instruction} {a.typed}, {b.text}", a.type, a.lanes)

    def add(self, a: Value, b: Value) -> Value:
        return self.binary("fadd" if a.floating else "add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self.binary("fsub" if a.floating else "sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.binary("fmul" if a.floating else "mul", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """The quotient of floats."""
        return self.binary("fdiv", a, b)

    def neg(self, a: Value) -> Value:
        return self.new(f"fneg {a.typed}", a.type, a.lanes) if a.floating else self.sub(self.like(0, a), a)

    def and_(self, a: Value, b: Value) -> Value:
        return self.binary("and", a, b)

    def or_(self, a: Value, b: Value) -> Value:
        return self.binary("or", a, b)

    def xor(self, a: Value, b: Value) -> Value:
        return self.binary("xor", a, b)

    def shl(self, a: Value, count: int) -> Value:
        return self.binary("shl", a, self.like(count, a))

    def ashr(self, a: Value, count: int) -> Value:
        return self.binary("ashr", a, self.like(count, a))

    def lshr(self, a: Value, count: int) -> Value:
        return self.binary("lshr", a, self.like(count, a))

    def intrinsic(self, name: str, *operands: Value) -> Value:
        """``llvm.<name>`` on values of one type, such as ``fma``, ``sqrt``, ``minnum``, ``smax``."""
        lanes = max(o.lanes for o in operands)
        operands = tuple(self.splat(o, lanes) for o in operands)
        first = operands[0]
        suffix = (f"v{lanes}" if lanes > 1 else "") + (_SUFFIX.get(first.type) or first.type)
        self.declare(f"declare {first.ir} @llvm.{name}.{suffix}({', '.join(o.ir for o in operands)})")
        return self.new(f"call {first.ir} @llvm.{name}.{suffix}({', '.join(o.typed for o in operands)})", first.type, lanes)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c`` rounded once."""
        return self.intrinsic("fma", a, b, c)

    def sqrt(self, a: Value) -> Value:
        return self.intrinsic("sqrt", a)

    def abs(self, a: Value) -> Value:
        if a.floating:
            return self.intrinsic("fabs", a)
        return self.select(self.compare("slt", a, self.like(0, a)), self.neg(a), a)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger one; of two floats nan if either is nan."""
        if not a.floating:
            return self.intrinsic("smax", a, b) if a.type != "i1" else self.or_(a, b)
        # a wins if it is larger or nan; llvm.maximum would also order the zeros, at a price.
        return self.select(self.or_(self.compare("ogt", a, b), self.compare("uno", a, a)), a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller one; of two floats nan if either is nan."""
        if not a.floating:
            return self.intrinsic("smin", a, b) if a.type != "i1" else self.and_(a, b)
        return self.select(self.or_(self.compare("olt", a, b), self.compare("uno", a, a)), a, b)

    def compare(self, condition: str, a: Value, b: Value) -> Value:
        """An i1 by LLVM's condition codes: ``oeq``, ``olt``, ``une``, ``uno`` for floats, ``eq``, ``slt`` for integers."""
        a, b = self._match(a, b)
        return self.new(f"{'fcmp' if a.floating else 'icmp'} {condition} {a.typed}, {b.text}", "i1", a.lanes)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        a, b = self._match(a, b)
        lanes = max(a.lanes, condition.lanes)
        a, b, condition = self.splat(a, lanes), self.splat(b, lanes), self.splat(condition, lanes)
        return self.new(f"select {condition.typed}, {a.typed}, {b.typed}", a.type, lanes)

    def bitcast(self, a: Value, type: str) -> Value:
        """The same bits as another type of the same width."""
        target = type if a.lanes == 1 else f"<{a.lanes} x {type}>"
        return self.new(f"bitcast {a.typed} to {target}", type, a.lanes)

    def convert(self, a: Value, type: str) -> Value:
        """The value as another type: floats are rounded to the nearest, and cut off towards zero on the way to integers."""
        if a.type == type:
            return a
        if type == "i1":
            return self.compare("une" if a.floating else "ne", a, self.like(0, a))
        wide, narrow = BITS[type], BITS[a.type]
        if a.floating and type in _SUFFIX:
            instruction = "fpext" if wide > narrow else "fptrunc"
        elif a.floating:
            instruction = "fptosi"
        elif type in _SUFFIX:
            instruction = "uitofp" if a.type == "i1" else "sitofp"
        elif wide > narrow:
            instruction = "zext" if a.type == "i1" else "sext"
        else:
            instruction = "trunc"
        target = type if a.lanes == 1 else f"<{a.lanes} x {type}>"
        return self.new(f"{instruction} {a.typed} to {target}", type, a.lanes)

    def unsigned(self, a: Value, type: str) -> Value:
        """An integer without a sign as a wider one."""
        target = type if a.lanes == 1 else f"<{a.lanes} x {type}>"
        return self.new(f"zext {a.typed} to {target}", type, a.lanes)

    # Memory

    def address(self, base: Value, index: Value | int, type: str) -> Value:
        """`index` elements of `type` behind `base`."""
        text = index if isinstance(index, int) else index.text
        return self.new(f"getelementptr {type}, ptr {base.text}, i64 {text}", "ptr")

    def load(self, pointer: Value, type: str, lanes: int = 1) -> Value:
        ir = type if lanes == 1 else f"<{lanes} x {type}>"
        return self.new(f"load {ir}, ptr {pointer.text}, align {max(BITS[type] // 8, 1)}", type, lanes)

    def store(self, value: Value, pointer: Value) -> None:
        self.do(f"store {value.typed}, ptr {pointer.text}, align {max(BITS[value.type] // 8, 1)}")

    def prefetch(self, address: Value, writes: bool = False) -> None:
        """Have a line of memory near, to be read or written soon. Any address will do."""
        self.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0({address.typed}, i32 {int(writes)}, i32 3, i32 1)")

    def masked_load(self, pointer: Value, type: str, mask: Value, other: Value) -> Value:
        """The lanes in `mask` from memory, the rest from `other`."""
        ir, n = f"<{mask.lanes} x {type}>", mask.lanes
        suffix = f"v{n}{_SUFFIX.get(type) or type}"
        align = max(BITS[type] // 8, 1)
        self.declare(f"declare {ir} @llvm.masked.load.{suffix}.p0(ptr, <{n} x i1>, {ir})")
        return self.new(f"call {ir} @llvm.masked.load.{suffix}.p0(ptr align {align} {pointer.text}, {mask.typed}, {other.typed})", type, n)

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        n = value.lanes
        suffix = f"v{n}{_SUFFIX.get(value.type) or value.type}"
        align = max(BITS[value.type] // 8, 1)
        self.declare(f"declare void @llvm.masked.store.{suffix}.p0({value.ir}, ptr, <{n} x i1>)")
        self.do(f"call void @llvm.masked.store.{suffix}.p0({value.typed}, ptr align {align} {pointer.text}, {mask.typed})")

    def addresses(self, base: Value, indices: Value, type: str) -> Value:
        """A vector of addresses, `indices` elements behind `base`."""
        return self.new(f"getelementptr {type}, ptr {base.text}, {indices.typed}", "ptr", indices.lanes)

    def gather(self, pointers: Value, type: str, mask: Value | None, other: Value) -> Value:
        """One element from each address; the lanes outside of `mask` from `other`."""
        n = pointers.lanes
        mask = mask or self.constant(1, "i1", n)
        suffix = f"v{n}{_SUFFIX.get(type) or type}.v{n}p0"
        align = max(BITS[type] // 8, 1)
        self.declare(f"declare <{n} x {type}> @llvm.masked.gather.{suffix}(<{n} x ptr>, <{n} x i1>, <{n} x {type}>)")
        return self.new(f"call <{n} x {type}> @llvm.masked.gather.{suffix}(<{n} x ptr> align {align} {pointers.text}, {mask.typed}, {other.typed})", type, n)

    def scatter(self, value: Value, pointers: Value, mask: Value | None) -> None:
        """One element to each address; where addresses are equal, the last lane's stays."""
        n = pointers.lanes
        mask = mask or self.constant(1, "i1", n)
        suffix = f"v{n}{_SUFFIX.get(value.type) or value.type}.v{n}p0"
        align = max(BITS[value.type] // 8, 1)
        self.declare(f"declare void @llvm.masked.scatter.{suffix}({value.ir}, <{n} x ptr>, <{n} x i1>)")
        self.do(f"call void @llvm.masked.scatter.{suffix}({value.typed}, <{n} x ptr> align {align} {pointers.text}, {mask.typed})")

    def compressed_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """The lanes in `mask`, one after another."""
        suffix = f"v{value.lanes}{_SUFFIX.get(value.type) or value.type}"
        self.declare(f"declare void @llvm.masked.compressstore.{suffix}({value.ir}, ptr, {mask.ir})")
        self.do(f"call void @llvm.masked.compressstore.{suffix}({value.typed}, ptr align {BITS[value.type] // 8} {pointer.text}, {mask.typed})")

    def count(self, mask: Value) -> Value:
        """How many lanes are in `mask`, as an i64."""
        type = f"i{mask.lanes}"
        return self.unsigned(self.intrinsic("ctpop", self.new(f"bitcast {mask.typed} to {type}", type)), "i64")

    def shuffle(self, a: Value, lanes: Sequence[int], b: Value | None = None) -> Value:
        """The chosen lanes of a vector, or of two that are numbered on."""
        chosen = ", ".join(f"i32 {n}" for n in lanes)
        return self.new(f"shufflevector {a.typed}, {a.ir} {b.text if b else 'poison'}, <{len(lanes)} x i32> <{chosen}>", a.type, len(lanes))

    def reduced(self, total: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """The lanes of a vector combined in a tree: the upper half with the lower."""
        while total.lanes > 1:
            half = total.lanes // 2
            if half == 1:
                low, high = (self.new(f"extractelement {total.typed}, i64 {n}", total.type) for n in (0, 1))
            else:
                low, high = (self.shuffle(total, range(start, start + half)) for start in (0, half))
            total = combine(low, high)
        return total

    def first_lanes(self, count: Value, lanes: int = LANES) -> Value:
        """A mask of the first `count` (i64) lanes."""
        numbers = Value("<" + ", ".join(f"i64 {n}" for n in range(lanes)) + ">", "i64", lanes)
        return self.compare("ult", numbers, self.splat(count, lanes))

    # Control

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def fresh(self, name: str) -> str:
        return f"{name}{next(self._next)}"

    def jump(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        self.do(f"br i1 {condition.text}, label %{yes}, label %{no}")

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: Value | int = 1, carried: Sequence[Value] = ()) -> Iterator[Loop]:
        """``for index in range(start, stop, step)``, with values carried from one turn to the next.

        In the body, ``loop.index`` and ``loop.carried`` are this turn's; assign ``loop.next`` before its end. Afterwards
        ``loop.results`` has the last ones. A loop may turn not at all.
        """
        head, body, done = self.fresh("head"), self.fresh("body"), self.fresh("done")
        before = self.block
        self.jump(head)
        self.label(head)
        found = Loop(Value(f"%i{next(self._next)}", "i64"), [Value(f"%c{next(self._next)}", c.type, c.lanes) for c in carried])
        at = len(self.lines)
        stop_text = str(stop) if isinstance(stop, int) else stop.text
        more = self.new(f"icmp slt i64 {found.index.text}, {stop_text}", "i1")
        self.branch(more, body, done)
        self.label(body)
        yield found
        step_text = str(step) if isinstance(step, int) else step.text
        following = self.new(f"add nsw i64 {found.index.text}, {step_text}", "i64")
        start_text = str(start) if isinstance(start, int) else start.text
        assert len(found.next) == len(carried), "loop.next must have one value for each carried one"
        phis = [f"  {found.index.text} = phi i64 [{start_text}, %{before}], [{following.text}, %{self.block}]"]
        self.lines[at:at] = [*phis, *self._carry(found, carried, before)]
        self.jump(head)
        self.label(done)

    @contextmanager
    def repeat(self, claim: Callable[[], Value], stop: Value, carried: Sequence[Value] = ()) -> Iterator[Loop]:
        """The same over the numbers that `claim` gives anew for each turn, until one is not less than `stop`: that is `loop.index` afterwards."""
        head, body, done = self.fresh("head"), self.fresh("body"), self.fresh("done")
        before = self.block
        self.jump(head)
        self.label(head)
        at = len(self.lines)
        found = Loop(claim(), [Value(f"%c{next(self._next)}", c.type, c.lanes) for c in carried])
        self.branch(self.compare("slt", found.index, stop), body, done)
        self.label(body)
        yield found
        assert len(found.next) == len(carried), "loop.next must have one value for each carried one"
        self.lines[at:at] = self._carry(found, carried, before)
        self.jump(head)
        self.label(done)

    @contextmanager
    def turns(self, more: Callable[[Sequence[Value]], Value], carried: Sequence[Value]) -> Iterator[Loop]:
        """The same as long as `more` is true of what is carried; there is no `loop.index`."""
        head, body, done = self.fresh("head"), self.fresh("body"), self.fresh("done")
        before = self.block
        self.jump(head)
        self.label(head)
        at = len(self.lines)
        found = Loop(self.constant(0, "i64"), [Value(f"%c{next(self._next)}", c.type, c.lanes) for c in carried])
        self.branch(more(found.carried), body, done)
        self.label(body)
        yield found
        assert len(found.next) == len(carried), "loop.next must have one value for each carried one"
        self.lines[at:at] = self._carry(found, carried, before)
        self.jump(head)
        self.label(done)

    def _carry(self, loop: Loop, carried: Sequence[Value], before: str) -> list[str]:
        """What the head of a loop carries from the block `before` it, or from this one."""
        return [f"  {c.text} = phi {c.ir} [{first.text}, %{before}], [{last.text}, %{self.block}]" for c, first, last in zip(loop.carried, carried, loop.next, strict=True)]

    def rarely(self, mask: Value, usual: Sequence[Value], rare: Callable[[], Sequence[Value]]) -> list[Value]:
        """`rare` in the lanes in `mask` and `usual` elsewhere; nothing of `rare` is computed when the mask is empty."""
        some = mask
        if mask.lanes > 1:
            bits = self.new(f"bitcast {mask.typed} to i{mask.lanes}", f"i{mask.lanes}")
            some = self.compare("ne", bits, Value("0", bits.type))
        before, aside, after = self.block, self.fresh("rare"), self.fresh("after")
        self.branch(some, aside, after)
        self.label(aside)
        chosen = [self.select(mask, a, b) for a, b in zip(rare(), usual, strict=True)]
        end = self.block
        self.jump(after)
        self.label(after)
        return [self.new(f"phi {u.ir} [{u.text}, %{before}], [{c.text}, %{end}]", u.type, u.lanes) for u, c in zip(usual, chosen, strict=True)]

    def declare(self, declaration: str) -> None:
        self.declarations[declaration] = None


class Loop:
    """A loop that is being written. See `Builder.loop`."""

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index = index
        self.carried = carried
        self.next: Sequence[Value] = ()

    @property
    def results(self) -> list[Value]:
        """After the loop: the carried values as its last turn left them."""
        return self.carried


def module(functions: Sequence[Builder], declared: Sequence[str] = ()) -> str:
    """The text of a module with these functions and what they call; `declared` is what they call in others."""
    declarations = dict.fromkeys((*declared, *(d for f in functions for d in f.declarations)))
    return "\n".join((*declarations, *(f.finish() for f in functions), ""))
