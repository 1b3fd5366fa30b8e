"""Running a model while the engine reports each op, and finding out which numbers depend on dynamic sizes.

A trace is concrete: every shape in it is a number. To learn which of them follow a dynamic axis, the model is run again
with that axis longer, and the traces are compared number by number. What differs becomes a `Varying`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..autograd import no_grad
from ..dtypes import dtype
from ..graph import trace_ops
from ..storage import Storage, TensorBase
from .errors import OnnxExporterError

if TYPE_CHECKING:
    from ..nn.module import Module
    from ..tensor import Tensor


class Varying(int):
    """A number of the trace that depends on dynamic sizes, with what it was in the other runs."""

    others: tuple[int, ...]

    @classmethod
    def of(cls, value: int, others: Sequence[int]) -> Varying:
        found = cls(value)
        found.others = tuple(others)
        return found


@dataclass(frozen=True)
class Symbol:
    """A dynamic size: its name, and the axes of inputs that have it, as (position of the input, axis)."""

    name: str
    axes: tuple[tuple[int, int], ...]


class Region(NamedTuple):
    """Where a tensor's elements are in its storage. Its numbers may be `Varying`."""

    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: dtype
    variation: tuple[Any, ...]  # the numbers in the other runs: regions that differ there are different

    @property
    def numel(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def varies(self) -> bool:
        return any(isinstance(n, Varying) for n in (self.offset, *self.shape, *self.stride))

    def order(self) -> list[int]:
        """The dims from the slowest to the fastest in memory."""
        return sorted(range(len(self.shape)), key=lambda d: -self.stride[d])


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the trace."""

    tensor: Tensor
    region: Region
    others: tuple[Tensor, ...] = ()  # the tensor in the other runs

    @property
    def shape(self) -> tuple[int, ...]:
        return self.region.shape

    @property
    def dtype(self) -> dtype:
        return self.region.dtype

    @property
    def storage(self) -> Storage:
        return self.tensor._storage


@dataclass
class Op:
    """One op of the trace: its card's name, values and numbers in, static arguments, values out."""

    name: str
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    outputs: tuple[Value, ...]


@dataclass
class Trace:
    """What a model did: its ops in order, and what went in and came out."""

    ops: list[Op]
    inputs: list[Value]
    outputs: list[Value]
    steps: dict[str, int]  # by how much each dynamic size was longer in the other runs
    checks: list[tuple[str, int]]  # of the last of the other runs, which size was longer and by how much


@dataclass
class _Run:
    entries: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]]
    inputs: list[Tensor]
    outputs: list[Tensor]

    def is_like(self, other: _Run) -> bool:
        """Whether both did the same operations."""
        names = [[entry[0] for entry in run.entries] for run in (self, other)]
        return names[0] == names[1] and len(self.outputs) == len(other.outputs)


def traced(tensor: TensorBase) -> Value:
    """A tensor whose layout does not vary, such as a weight."""
    return _merge(tensor, [])


def trace_model(model: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], symbols: Sequence[Symbol]) -> Trace:
    """Run `model` once, and once more for each symbol; with several symbols also with all of them changed.

    Where the model takes it, a third run for each symbol shows whether sizes follow it as the second one says.
    """
    base = _run(model, args, kwargs)
    runs: list[_Run] = []
    steps: dict[str, int] = {}
    for symbol in symbols:
        position, axis = symbol.axes[0]
        runs.append(_changed(model, args, kwargs, symbol, int(base.inputs[position].shape[axis]), steps))
    if len(symbols) > 1:
        runs.append(_run(model, *_lengthened(args, kwargs, symbols, steps)))
    for run in runs:
        if not run.is_like(base):
            raise OnnxExporterError(
                "the model does other operations when a dynamic axis has another size; "
                "mark that axis as static, or write the model so that its operations do not depend on it"
            )
    checks: list[tuple[str, int]] = []
    for symbol in symbols:
        further = {symbol.name: 2 * steps[symbol.name]}
        try:
            run = _run(model, *_lengthened(args, kwargs, [symbol], further))
        except Exception:  # a size that the model does not take tells nothing
            continue
        if run.is_like(base):
            runs.append(run)
            checks += further.items()
    return _compare(base, runs, steps, checks)


def _changed(model: Module, args: Any, kwargs: Any, symbol: Symbol, size: int, steps: dict[str, int]) -> _Run:
    """Run the model with one dynamic size longer, and note by how much.

    Networks that halve an image want sizes that they can divide, so the first try adds the largest power of two in the
    size. Where the model refuses that, because a table of positions is too short say, others are tried.
    """
    failure = None
    for step in dict.fromkeys((min(size & -size, _LONGEST_STEP) or 1, 1, 2, 4, 8, 16, _LONGEST_STEP)):
        steps[symbol.name] = step
        try:
            return _run(model, *_lengthened(args, kwargs, [symbol], steps))
        except Exception as error:  # whatever a model may raise for a size that it does not take
            failure = failure or error
    assert failure is not None
    raise failure


_LONGEST_STEP = 32


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(tree, TensorBase):
        return [tree]  # type: ignore[list-item]
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        return [tensor for part in tree for tensor in tensors_in(part)]
    return []


def _run(model: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Run:
    with no_grad(), trace_ops(exporting=True) as entries:
        outputs = model(*args, **kwargs)
    return _Run(list(entries), tensors_in((args, kwargs)), tensors_in(outputs))


def _lengthened(args: Any, kwargs: Any, symbols: Sequence[Symbol], steps: Mapping[str, int]) -> tuple[Any, Any]:
    """The same inputs with the axes of `symbols` longer; what is added repeats the beginning, so that it is valid."""
    from .. import ops

    axes: dict[int, list[tuple[int, int]]] = {}
    for symbol in symbols:
        for position, axis in symbol.axes:
            axes.setdefault(position, []).append((axis, steps[symbol.name]))
    count = -1

    def visit(tree: Any) -> Any:
        nonlocal count
        if isinstance(tree, TensorBase):
            count += 1
            array = tree.detach().numpy()  # type: ignore[attr-defined]
            for axis, step in axes.get(count, ()):
                size = array.shape[axis]
                array = np.take(array, np.arange(size + step) % max(size, 1), axis=axis)
            return ops.tensor(array) if count in axes else tree
        if isinstance(tree, Mapping):
            return type(tree)({key: visit(value) for key, value in tree.items()})  # type: ignore[call-arg]
        if isinstance(tree, (tuple, list)):
            parts = [visit(part) for part in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        return tree

    return visit(tuple(args)), visit(dict(kwargs))


def _compare(base: _Run, runs: Sequence[_Run], steps: dict[str, int], checks: list[tuple[str, int]]) -> Trace:
    ops = []
    for n, (name, inputs, params, outputs) in enumerate(base.entries):
        others = [run.entries[n] for run in runs]
        ops.append(
            Op(
                name,
                tuple(_merge(value, [o[1][i] for o in others]) for i, value in enumerate(inputs)),
                {key: _merge(value, [o[2][key] for o in others]) for key, value in params.items()},
                tuple(_merge(value, [o[3][i] for o in others]) for i, value in enumerate(outputs)),
            )
        )
    return Trace(
        ops,
        [_merge(t, [run.inputs[n] for run in runs]) for n, t in enumerate(base.inputs)],
        [_merge(t, [run.outputs[n] for run in runs]) for n, t in enumerate(base.outputs)],
        steps,
        checks,
    )


def _merge(value: Any, others: Sequence[Any]) -> Any:
    """`value`, with each integer in it that is another one in the other runs made a `Varying`, and tensors made `Value`s."""
    if isinstance(value, TensorBase):
        here, *there = (_place(tensor) for tensor in (value, *others))
        offset, shape, stride = _merge(here, there)
        variation = tuple(there) if any(other != here for other in there) else ()
        return Value(cast("Tensor", value), Region(offset, shape, stride, value._layout.dtype, variation), tuple(others))
    if type(value) is int:
        return value if all(other == value for other in others) else Varying.of(value, others)
    if type(value) is float and any(other != value and other == other for other in others):
        raise OnnxExporterError(
            "a number that is not an integer depends on a dynamic size; compute it from torch.full((), size)"
        )
    if isinstance(value, (tuple, list)):
        if any(len(other) != len(value) for other in others):
            raise OnnxExporterError("the number of dimensions or arguments of an operation depends on a dynamic axis")
        return tuple(_merge(part, [other[n] for other in others]) for n, part in enumerate(value))
    return value


def _place(tensor: TensorBase) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Offset, shape and strides; the stride of a dim of size one says nothing."""
    layout = tensor._layout
    stride = tuple(s if n != 1 else 0 for n, s in zip(layout.shape, layout.stride, strict=True))
    return tensor._offset, tuple(layout.shape), stride
