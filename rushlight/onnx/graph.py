"""The ONNX graph under construction: nodes, constants, and which value each region of memory holds.

Tensors of the trace are views of storages, and in-place writes change storages. ONNX knows values only. So a value is
remembered for a region (storage, offset, shape, strides); a write makes the other regions of its storage stale, and
reading a stale one takes its elements from the value that covers the whole storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..dtypes import dtype
from .errors import OnnxExporterError, UnsupportedOperatorError
from .trace import Region, Symbol, Value, Varying, traced

if TYPE_CHECKING:
    from ..tensor import Tensor

INT64_MAX = 2**63 - 1

#: Second inputs that were attributes before opset 13.
_ATTRIBUTES_BEFORE_13 = {"Squeeze": "axes", "Unsqueeze": "axes", "Split": "split"}


def tensor_type(dtype: dtype) -> int:
    """ONNX's number for a dtype."""
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(dtype.numpy)


class Packed(NamedTuple):
    """What a packed sequence is in the graph: a padded one, with the lengths."""

    padded: str
    lengths: str
    steps: int
    zeroed: bool  # whether it is known to be zero where it is padded


class Graph:
    """Nodes in order, with the constants and named weights that they use."""

    def __init__(self, opset: int, weights: Mapping[str, Tensor], symbols: Sequence[Symbol]) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.weights: dict[str, Tensor] = {}
        self.symbols = symbols
        self.input_names: list[str] = []
        self._weight_names: dict[tuple[int, Region], str] = {}
        for name, tensor in weights.items():
            self._weight_names.setdefault((id(tensor._storage), traced(tensor).region), name)
        self._weight_of = dict(weights)
        self._regions: dict[int, dict[Region, str]] = {}
        self._refused: dict[int, str] = {}
        self._packed: dict[int, Packed] = {}
        self._known_constants: dict[tuple[Any, ...], str] = {}
        self._sizes: dict[tuple[int, ...], str] = {}
        self._count = 0

    # Nodes

    def fresh(self, hint: str) -> str:
        self._count += 1
        return f"{hint}_{self._count}"

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; its output's name, or a tuple of them. An empty name is an input left out."""
        from onnx import defs, helper

        try:
            defs.get_schema(op_type, self.opset, "")
        except defs.SchemaError:
            raise UnsupportedOperatorError(op_type, self.opset, "the opset has no such operator") from None
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        old_name = _ATTRIBUTES_BEFORE_13.get(op_type) if self.opset < 13 else None
        if old_name and len(inputs) == 2:
            attributes[old_name] = self.constants[inputs[1]].tolist()
            inputs = inputs[:1]
        names = [self.fresh(op_type.lower()) for _ in range(outputs)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, inputs, names, name=f"/{names[0]}", **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def constant(self, value: Any, dtype: Any = None) -> str:
        """The name of a constant array; equal small ones are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes()) if array.size <= 64 else (id(array),)
        found = self._known_constants.get(key)
        if found is None:
            found = self._known_constants[key] = self.fresh("constant")
            self.constants[found] = array
        return found

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    # Values of the trace

    def bind(self, value: Value, name: str) -> None:
        """Let `value` be called `name`: an input, or a view of something."""
        self._regions.setdefault(id(value.storage), {})[value.region] = name

    def refuse(self, value: Value, op: str) -> None:
        """Note that the graph does not compute `value`, an output of `op`."""
        self._refused[id(value.storage)] = op

    def pack(self, value: Value, packed: Packed) -> None:
        """Note what stands for a packed sequence, whose rows the graph does not have."""
        self._packed[id(value.storage)] = packed

    def packed(self, value: Any) -> Packed | None:
        return self._packed.get(id(value.storage)) if isinstance(value, Value) else None

    def is_refused(self, value: Value) -> bool:
        return id(value.storage) in self._refused

    def write(self, value: Value, name: str) -> None:
        """Note that the memory of `value` now holds `name`; all else in its storage becomes stale."""
        region, storage = value.region, value.storage
        if region.numel * region.dtype.itemsize == storage.nbytes:
            self._regions[id(storage)] = {region: name}
            return
        whole, flat = self._flat(value)
        # Repeated positions do not occur: in-place writes to overlapping memory are refused when recorded.
        index = self.node("Reshape", self._positions(region), self.integers(-1))
        flat = self.node("ScatterElements", flat, index, self.node("Reshape", name, self.integers(-1)), axis=0)
        self._regions[id(storage)] = {whole: self._unflatten(flat, whole), region: name}

    def read(self, operand: Any, dtype: dtype | None = None) -> str:
        """What a value of the trace is called, or a Python number as `dtype`."""
        if not isinstance(operand, Value):
            return self.number(operand, dtype)
        known = self._regions.get(id(operand.storage))
        if self.is_refused(operand):
            raise UnsupportedOperatorError(self._refused[id(operand.storage)], self.opset, "an output has no ONNX form")
        if known is None:
            return self._outside(operand)
        if operand.region not in known:
            _, flat = self._flat(operand)
            known[operand.region] = self.node("Gather", flat, self._positions(operand.region))
        return known[operand.region]

    def read_as(self, operand: Any, dtype: dtype) -> str:
        """The value of an operand, converted to `dtype`."""
        name = self.read(operand, dtype)
        if isinstance(operand, Value) and operand.dtype is not dtype:
            return self.cast(name, dtype)
        return name

    def number(self, value: Any, dtype: dtype | None) -> str:
        assert dtype is not None, "a number needs a dtype"
        if isinstance(value, Varying):
            return self.cast(self.node("Squeeze", self.size(value), self.integers(0)), dtype)
        return self.constant(value, dtype.numpy)

    def cast(self, name: str, dtype: dtype) -> str:
        return self.node("Cast", name, to=tensor_type(dtype))

    def weight_name(self, value: Value) -> str | None:
        """What the model calls a parameter or buffer that it has not written to; None for all other values."""
        name = self._weight_names.get((id(value.storage), value.region))
        known = self._regions.get(id(value.storage))
        return name if known is None or known.get(value.region) == name else None

    def add_weight(self, name: str, array: np.ndarray) -> str:
        """A weight in another form than the model has it."""
        from ..ops import from_numpy

        self.weights[name] = from_numpy(array)
        return name

    def _outside(self, value: Value) -> str:
        """A tensor that no op of the trace made: a weight, or a constant of the model."""
        name = self._weight_names.get((id(value.storage), value.region))
        if name is None:
            self.static(value.shape, "a tensor made inside the model by other means than arange, zeros, ones or full")
            array = value.tensor.detach().numpy()
            if any(other.detach().numpy().tobytes() != array.tobytes() for other in value.others):
                raise OnnxExporterError("a tensor made from a dynamic size is a constant of the graph; use torch.full((), size)")
            name = self.constant(array)
        else:
            self.weights[name] = self._weight_of[name]
        self.bind(value, name)
        return name

    def _flat(self, value: Value) -> tuple[Region, str]:
        """The region that covers the whole storage of `value`, and its elements in the order of memory."""
        storage = value.storage
        for region, name in self._regions.get(id(storage), {}).items():
            if region.numel * region.dtype.itemsize == storage.nbytes and region.dtype is value.dtype:
                order = region.order()
                ordered = name if order == sorted(order) else self.node("Transpose", name, perm=order)
                return region, self.node("Reshape", ordered, self.integers(-1))
        if id(storage) in self._regions:
            raise OnnxExporterError("a view of part of a tensor, or of another dtype, is used after an in-place write")
        # Weights and constants that the model writes to start from their values.
        size = storage.nbytes // value.dtype.itemsize
        self.static(value.shape, "a constant that the model writes to")
        flat = traced(value.tensor.detach().as_strided((size,), (1,), 0))
        return flat.region, self.constant(flat.tensor.numpy())

    def _unflatten(self, flat: str, region: Region) -> str:
        order = region.order()
        name = self.node("Reshape", flat, self.shape([region.shape[d] for d in order], infer=True))
        if order == sorted(order):
            return name
        return self.node("Transpose", name, perm=[order.index(d) for d in range(len(order))])

    def _positions(self, region: Region) -> str:
        """The place in the storage of each element, as an integer tensor of the region's shape."""
        ndim = len(region.shape)
        if not region.varies:
            found = np.full(region.shape, region.offset, np.int64)
            for axis, (size, stride) in enumerate(zip(region.shape, region.stride, strict=True)):
                found += (np.arange(size) * stride).reshape([-1 if d == axis else 1 for d in range(ndim)])
            return self.constant(found)
        name = self.size(region.offset)
        zero, one = self.constant(0, np.int64), self.constant(1, np.int64)
        for axis, (size, stride) in enumerate(zip(region.shape, region.stride, strict=True)):
            steps = self.node("Range", zero, self.node("Squeeze", self.size(size), self.integers(0)), one)
            steps = self.node("Mul", steps, self.size(stride))
            shape = self.integers(*(-1 if d == axis else 1 for d in range(ndim)))
            name = self.node("Add", name, self.node("Reshape", steps, shape))
        return name

    # Sizes

    def shape(self, sizes: Sequence[int], *, infer: bool = False) -> str:
        """A one-dimensional tensor of sizes. With `infer`, for Reshape, the only varying one may be -1."""
        varying = [n for n in sizes if isinstance(n, Varying)]
        if not varying:
            return self.integers(*sizes)
        if infer and len(varying) == 1 and 0 not in sizes:
            return self.integers(*(-1 if isinstance(n, Varying) else n for n in sizes))
        return self.node("Concat", *(self.size(n) for n in sizes), axis=0)

    def size(self, value: int) -> str:
        """A tensor of one element: a number that may depend on dynamic sizes, computed from the inputs' shapes."""
        if not isinstance(value, Varying):
            return self.integers(value)
        key = (int(value), *value.others)
        if key not in self._sizes:
            self._sizes[key] = self._size_from_symbols(value)
        return self._sizes[key]

    def _size_from_symbols(self, value: Varying) -> str:
        """A sum of multiples of dynamic sizes, or a multiple of their product. Multiples may be fractions, rounded down."""
        count = len(self.symbols)
        changes = [value.others[n] - value for n in range(count)]
        is_sum = value + sum(changes) == value.others[count if count > 1 else 0]
        used = [(symbol, change) for symbol, change in zip(self.symbols, changes, strict=True) if change]
        sizes = [self._symbol_size(symbol) for symbol, _ in used]
        bases = [self.base_sizes[symbol.name] for symbol, _ in used]
        slopes = [Fraction(change, self.steps[symbol.name]) for symbol, change in used]
        self._check_slopes(value, {symbol.name: slope for (symbol, _), slope in zip(used, slopes, strict=True)})
        rest = int(value)
        if is_sum or len(used) == 1:
            found = ""
            for size, base, slope in zip(sizes, bases, slopes, strict=True):
                # What is added before the division makes it exact for the size of the trace.
                added = -base * slope.numerator % slope.denominator
                term = self._multiple(size, slope, added)
                rest -= (base * slope.numerator + added) // slope.denominator
                found = self.node("Add", found, term) if found else term
            return found if not rest else self.node("Add", found, self.integers(rest))
        if any(slope * base != value for base, slope in zip(bases, slopes, strict=True)):
            raise OnnxExporterError("a size is neither a sum nor a product of the dynamic sizes")
        product = sizes[0]
        for size in sizes[1:]:
            product = self.node("Mul", product, size)
        return self._multiple(product, Fraction(rest, int(np.prod(bases))), 0)

    def _check_slopes(self, value: Varying, slopes: Mapping[str, Fraction]) -> None:
        """Compare sizes with those of the runs that are there to check them."""
        for (name, longer), found in zip(reversed(self.checks), reversed(value.others), strict=False):
            if found != value + slopes.get(name, Fraction(0)) * longer:
                raise OnnxExporterError(
                    f"a size does not grow evenly with {name!r}, because of a rounded division say; "
                    f"export with an example whose {name!r} is a power of two, or make that axis static"
                )

    def _multiple(self, size: str, factor: Fraction, added: int) -> str:
        """``(size * numerator + added) // denominator`` of a factor."""
        if factor.numerator != 1:
            size = self.node("Mul", size, self.integers(factor.numerator))
        if added:
            size = self.node("Add", size, self.integers(added))
        return size if factor.denominator == 1 else self.node("Div", size, self.integers(factor.denominator))

    #: The symbols' sizes in the trace, by how much they were longer in its other runs, and in those that check; set by
    #: the exporter.
    base_sizes: Mapping[str, int] = {}
    steps: Mapping[str, int] = {}
    checks: Sequence[tuple[str, int]] = ()

    def _symbol_size(self, symbol: Symbol) -> str:
        position, axis = symbol.axes[0]
        return self.node("Gather", self.node("Shape", self.input_names[position]), self.integers(axis))

    def static(self, value: Any, what: str) -> Any:
        """`value`, which must not depend on a dynamic size."""
        parts = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(part, Varying) for part in parts):
            raise OnnxExporterError(f"{what} depends on a dynamic size")
        return value
