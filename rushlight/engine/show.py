"""What the engine makes of a program, as text: RUSHLIGHT_DEBUG=1 traces and runs, 2 their units, 3 their loops.

Each function gives a string; nothing here is called unless it is asked for. A region is ``%4``, as in the trace's
list; ``%n2`` is a number that is an argument; ``(8)`` after a kernel is its number of chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..shape import Layout
from .fuse import Group
from .kernel import WORKSPACE, Call, Pointer
from .loops import Nest, Pass, Stages, passes
from .lowering import ROW_BLOCK
from .nests import Bound, read_call
from .tails import AnyUnit
from .terms import REDUCTIONS, Node
from .trace import Step, Trace

if TYPE_CHECKING:
    from ..ops.card import Plan
    from .pipeline import Compiled, Draft

_OPERANDS_SHOWN = 10


def _print(text: str) -> None:
    print(text, file=sys.stderr)


#: Where the text goes.
out: Callable[[str], None] = _print


def _layout(layout: Layout) -> str:
    strides = "" if layout.contiguous else f" strides {list(layout.stride)}"
    return f"{layout.dtype.name}{list(layout.shape)}{strides}"


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _times(extents: Sequence[int]) -> str:
    return " x ".join(map(str, extents)) or "1"


def _shortened(words: Sequence[str]) -> str:
    kept = words if len(words) <= _OPERANDS_SHOWN else [*words[: _OPERANDS_SHOWN - 2], f"{len(words) - _OPERANDS_SHOWN + 1} more", words[-1]]
    return ", ".join(kept)


# Level 1: traces and runs


def trace(trace: Trace) -> str:
    """The entries of a trace; a region's layout stands where it is first mentioned."""
    mentioned: set[int] = set()

    def operand(slot: int) -> str:
        if slot >= len(trace.slots):
            return f"%n{slot - len(trace.slots)}"
        if slot in mentioned:
            return f"%{slot}"
        mentioned.add(slot)
        return f"%{slot} {_layout(trace.slots[slot].layout)}"

    lines = [f"trace of {len(trace.steps)} entries: {len(trace.slots)} regions of {len(trace.fates)} storages, {trace.numbers} numbers"]
    for step in trace.steps:
        statics = [f"{name}={value!r}" for name, value in step.plan.params.items() if value is not None and len(repr(value)) < 30]
        inputs = _shortened([*map(operand, step.inputs), *statics])
        lines.append(f"  {step.number:3} {step.plan.card.name}({inputs}) -> {_shortened([*map(operand, step.outputs)])}")
    return "\n".join(lines)


def lookup(entries: int, seen: int, asked: bool) -> str:
    """A trace that is not compiled, or not yet."""
    return f"run of {entries} entries one by one: seen {seen} times{', given to the compiler' if asked else ''}"


def run(compiled: Compiled) -> str:
    """A run of a compiled trace, which follows on its parts."""
    native = sum(not isinstance(part, Step) for part in compiled.parts)
    entries = sum(1 if isinstance(part, Step) else len(part.steps) for part in compiled.parts)
    return f"run of {entries} entries compiled: {native} native parts with {compiled.kernels} kernels, {len(compiled.parts) - native} interpreted"


def timed(kernels: Sequence[tuple[str, int, float]]) -> str:
    """A native part that has run: what each kernel took. One by one they take longer than in one call."""
    each = "".join(f"\n    {took:10.1f} us  {name}{f' ({chunks})' if chunks > 1 else ''}" for name, chunks, took in kernels)
    return f"  {sum(took for _, _, took in kernels):8.1f} us  native part of {len(kernels)} kernels{each}"


def interpreted(plan: Plan, seconds: float) -> str:
    """An entry that has run by its NumPy rule between native parts."""
    return f"  {seconds * 1e6:8.1f} us  {plan.card.name} interpreted"


# Level 2: units


def segment(trace: Trace, draft: Draft, loops: bool = False) -> str:
    """The units of one native part and what each leaves in memory; with their loops."""
    kernels = f"{len(draft.calls)} kernels"
    lines = [f"native part of {sum(len(u.steps) for u in draft.units)} entries: {len(draft.units)} units, {kernels}, arena of {_bytes(draft.arena)}"]
    for n, unit in enumerate(draft.units):
        calls = [call for owner, call in draft.calls if owner == n]
        lines.append(_unit(trace, draft, n, unit, calls))
        if loops:
            for call in calls:
                lines.append(_indented(nest(call) if call.nest is not None else _call(call), "    "))
                if call.tail is not None:
                    lines.append(_indented(f"and {nest(call.tail)}", "      "))
    return "\n".join(lines)


def _unit(trace: Trace, draft: Draft, number: int, unit: AnyUnit, calls: Sequence[Call]) -> str:
    named = {pointer.operand for call in calls for pointer in call.pointers()}
    places: dict[str, list[str]] = {"writes": [], "in the arena": [], "fused away": []}
    for slot in dict.fromkeys(slot for step in unit.steps for slot in step.outputs):
        storage = trace.slots[slot].storage
        place = "fused away" if slot not in named else "writes" if storage in draft.own else "in the arena"
        places[place].append(f"%{slot}" + (f" at {draft.placed[storage]}" if place == "in the arena" else ""))
    if isinstance(unit, Group):
        split = unit.space.split
        shape = unit.space.shape
        kind = f"loops over {_times(shape)}" if split is None else f"loops over {_times(shape[:split])} rows of {_times(shape[split:])}"
    else:
        kind = "calls with a tail" if any(call.tail is not None for call in calls) else "calls"
    ops = ", ".join(f"{step.number} {step.plan.card.name}" for step in unit.steps)
    workspace = f"; workspace {_bytes(draft.workspaces[number])}" if draft.workspaces.get(number) else ""
    written = "".join(f"; {place} {_shortened(slots)}" for place, slots in places.items() if slots)
    return f"  unit {number}, {kind}: {ops}{written}{workspace}"


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.split("\n"))


def _pointer(pointer: Pointer) -> str:
    name = "workspace" if pointer.operand == WORKSPACE else f"%{pointer.operand}"
    return f"{name}+{pointer.offset}" if pointer.offset else name


def _call(call: Call) -> str:
    """A call of a kernel that is no loop nest: all its words."""
    words = [_pointer(word) if isinstance(word, Pointer) else str(word) for word in call.words]
    return f"{call.kernel.name}{f' ({call.chunks})' if call.chunks > 1 else ''}: {' '.join(words)}"


# Level 3: loops


def nest(call: Call) -> str:
    """A loop nest: extents, operands with their strides, and what each pass along the row computes."""
    made = call.nest
    assert made is not None
    read = read_call(call)
    form = read.form
    chunks = ""
    if call.chunks > 1:
        shared = {"outer": "of the outermost loop", "row": "of the row", "blocks": f"of the row's blocks of {ROW_BLOCK}"}[made.shared]
        chunks = f", {call.chunks} chunks of {read.per_chunk} {shared}"
    lines = [f"{call.kernel.name}: {_times(form.outer)} rows of {form.row}{chunks}"]
    lines += ["  " + _bound(n, bound) for n, bound in enumerate(form.operands)]
    return "\n".join([*lines, *("  " + line for line in _formulas(made, form.nodes))])


def _bound(number: int, bound: Bound) -> str:
    if bound.number:
        return f"{_operand(number)} = {_pointer(bound.pointer)} {bound.type}"
    return f"{_operand(number)} = {_pointer(bound.pointer)} {bound.type}, strides {[*bound.outer, bound.along]}"


def _operand(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{number}"


_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "and": "&", "or": "|", "xor": "^"}
_ROW_NAMES = {"sum": "rowsum", "prod": "rowprod", "max": "rowmax", "largest": "rowlargest", "min": "rowmin"}


def _formulas(nest: Nest, nodes: Sequence[Node]) -> list[str]:
    """The terms as formulas. Those used more than once, or kept for a later pass, have names."""
    stages = Stages(nest)
    runs, kept = passes(nest, stages)
    uses = [0] * len(nodes)
    for node in nodes:
        for a in node.args:
            uses[a] += 1
    simple = ("load", "constant", "number", "position")

    def named(n: int) -> bool:
        node = nodes[n]
        return n in kept or node.op in REDUCTIONS or (node.op not in simple and uses[n] > 1)

    def formula(n: int, whole: bool = False) -> str:
        node = nodes[n]
        if named(n) and not whole:
            return f"t{n}"
        enclosed = node.op not in _SIGNS and node.op not in ("neg", "select")  # by a function's parentheses
        return _formula(node, [formula(a, enclosed and not named(a)) for a in node.args], whole)

    lines = []
    for number, run in enumerate(runs):
        label = f"pass {number + 1}: " if len(runs) > 1 else ""
        for n in _shown(nest, stages, run, number):
            node = nodes[n]
            if node.op == "store":
                text = f"{_operand(int(node.detail))} = {formula(node.args[0], not named(node.args[0]))}"
            elif node.op == "column_sum":
                text = f"{_operand(int(node.detail))} += {formula(node.args[0])}, over all rows"
            elif named(n):
                text = f"t{n} = {formula(n, whole=True)}"
            else:
                continue
            lines.append(label + text + (", kept" if n in kept else "") + ("" if stages.along[n] or node.op in REDUCTIONS else ", once a row"))
    return lines


def _shown(nest: Nest, stages: Stages, run: Pass, number: int) -> list[int]:
    """The terms that a pass computes, those that are one for the row among them, in order."""
    once = [n for n, node in enumerate(nest.nodes) if not stages.along[n] and stages.stage[n] == number and node.op not in REDUCTIONS]
    return sorted({*once, *run.needed, *run.targets})


def _formula(node: Node, args: Sequence[str], whole: bool) -> str:
    if node.op == "load":
        return _operand(int(node.detail))
    if node.op == "number":
        return _operand(int(node.detail))
    if node.op == "constant":
        return f"{node.detail:g}"
    if node.op in _SIGNS:
        text = f"{args[0]} {_SIGNS[node.op]} {args[1]}"
        return text if whole else f"({text})"
    if node.op == "neg":
        return f"-{args[0]}"
    if node.op == "select":
        text = f"{args[1]} if {args[0]} else {args[2]}"
        return text if whole else f"({text})"
    if node.op == "convert":
        return f"{node.type}({args[0]})"
    if node.op == "at":
        return f"{_operand(int(node.detail))}[{args[0]}]"
    return f"{_ROW_NAMES.get(node.op, node.op)}({', '.join(args)})"
