"""`torch.onnx.export`: from a model and example inputs to an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..storage import TensorBase
from . import layers, pointwise, recurrent, reductions, shapes
from .builders import build
from .errors import OnnxExporterError
from .graph import Graph, tensor_type
from .program import ONNXProgram
from .trace import Symbol, Trace, Value, Varying, tensors_in, trace_model

if TYPE_CHECKING:
    from ..nn.module import Module
    from ..tensor import Tensor

#: The modules whose import fills the table of builders.
BUILDER_MODULES = (layers, pointwise, recurrent, reductions, shapes)

#: The opset that is written unless another is asked for, and the first and last that can be.
DEFAULT_OPSET, LOWEST_OPSET, HIGHEST_OPSET = 20, 11, 23

#: The file format version that came with each opset; older run times refuse newer ones.
_IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}

_exporting = False


def is_in_onnx_export() -> bool:
    """Whether the code that asks is run by `torch.onnx.export`.

    >>> torch.onnx.is_in_onnx_export()
    False
    """
    return _exporting


def require_onnx() -> Any:
    """The onnx package, which writes the files."""
    try:
        import onnx
    except ImportError as error:
        raise ModuleNotFoundError(
            "torch.onnx needs the onnx package: pip install 'rushlight[onnx]' (or pip install onnx)", name="onnx"
        ) from error
    return onnx


def export(
    model: Module,
    args: tuple[Any, ...] | Tensor = (),
    f: str | os.PathLike[str] | IO[bytes] | None = None,
    *,
    kwargs: dict[str, Any] | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = True,
    dynamic_shapes: dict[str, Any] | tuple[Any, ...] | list[Any] | None = None,
    custom_translation_table: dict[Any, Any] | None = None,
    report: bool = False,
    optimize: bool = True,
    verify: bool = False,
    profile: bool = False,
    dump_exported_program: bool = False,
    artifacts_dir: str | os.PathLike[str] = ".",
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    dynamic_axes: Mapping[str, Mapping[int, str]] | Mapping[str, Sequence[int]] | None = None,
    training: Any = None,
    operator_export_type: Any = None,
    do_constant_folding: bool = True,
    custom_opsets: Mapping[str, int] | None = None,
    export_modules_as_functions: bool | Collection[type[Module]] = False,
    autograd_inlining: bool = True,
) -> ONNXProgram | None:
    """Write `model`, as it computes on the example inputs `args` and `kwargs` in eval mode, as an ONNX graph.

    The model is run and its operations are recorded; with `dynamic_axes` (or `dynamic_shapes`) it is run again with those
    axes longer, so that the graph follows their size. Returns an `ONNXProgram`, or None with ``dynamo=False``. Raises
    `OnnxExporterError` for what ONNX cannot express. Options that only concern PyTorch's own exporters have no effect.

    >>> import io
    >>> file = io.BytesIO()
    >>> model = nn.Linear(3, 2)
    >>> program = torch.onnx.export(model, (torch.ones(1, 3),), file, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    >>> program.model_proto.graph.input[0].name
    'x'
    """
    require_onnx()
    if not dynamo:
        if dynamic_shapes:
            raise ValueError(
                "The exporter only supports dynamic shapes through parameter dynamic_axes when dynamo=False."
            )
        _warn_of_legacy_export()
    if isinstance(args, TensorBase):
        args = (args,)
    if kwargs is None and args and isinstance(args[-1], dict):
        # The last of the arguments may be a dict of keyword arguments.
        args, kwargs = args[:-1], args[-1]
    opset = DEFAULT_OPSET if opset_version is None else opset_version
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise OnnxExporterError(
            f"ONNX opset versions from {LOWEST_OPSET} to {HIGHEST_OPSET} can be written, not {opset}"
        )
    own_names = _input_names(model, args, kwargs or {})
    names = _renamed(own_names, input_names)
    if dynamic_shapes:
        symbols = _symbols(own_names, _axes_of_shapes(model, args, kwargs or {}, dynamic_shapes))
    else:
        symbols = _symbols(names, _axes_by_name(names, dynamic_axes))
    with _evaluating(model):
        trace = trace_model(model, tuple(args), kwargs or {}, symbols)
        program = ONNXProgram(
            _build_model(
                model, trace, names, output_names, symbols, opset, dynamic_axes or {},
                export_params=export_params, keep_initializers_as_inputs=keep_initializers_as_inputs,
            ),
            [value.tensor for value in trace.inputs],
        )  # fmt: skip
    if verbose:
        from onnx import printer

        print(printer.to_text(program.model_proto))
    if f is not None:
        program.save(f, external_data=external_data and dynamo)
    return program if dynamo else None


def _warn_of_legacy_export() -> None:
    import warnings

    warnings.warn(
        "You are using the legacy TorchScript-based ONNX export. Starting in PyTorch 2.9, "
        "the new torch.export-based ONNX exporter has become the default. "
        "Learn more about the new export logic: https://docs.pytorch.org/docs/stable/onnx_export.html. "
        "For exporting control flow: "
        "https://pytorch.org/tutorials/beginner/onnx/export_control_flow_model_to_onnx_tutorial.html",
        category=DeprecationWarning,
        stacklevel=3,
    )


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """The model in eval mode, its buffers as they are now, and both put back afterwards."""
    global _exporting
    modes = [(module, module.training) for module in model.modules()]
    before, _exporting = _exporting, True
    model.eval()
    try:
        yield
    finally:
        _exporting = before
        for module, mode in modes:
            module.training = mode


# Names and dynamic sizes


def _parameter_names(model: Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The arguments of `forward`, by name, in the order in which they are given."""
    import inspect

    signature = inspect.signature(model.forward)
    found: list[tuple[str, Any]] = []
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found += [(f"{name}_{n}", part) for n, part in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found += value.items()
        else:
            found.append((name, value))
    return found


def _input_names(model: Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The names of `forward`'s arguments, one for each tensor in them."""
    names: list[str] = []
    for name, value in _parameter_names(model, args, kwargs):
        count = len(tensors_in(value))
        names += [name] if count == 1 else [f"{name}_{n}" for n in range(count)]
    return names


def _renamed(names: Sequence[str], given: Sequence[str] | None) -> list[str]:
    given = list(given or ())
    if len(given) > len(names):
        raise OnnxExporterError(f"{len(given)} input names for {len(names)} inputs")
    return [*given, *names[len(given) :]]


Axes = dict[str, dict[int, str]]


def _axes_by_name(names: Sequence[str], dynamic_axes: Any) -> Axes:
    found: Axes = {}
    for name, axes in (dynamic_axes or {}).items():
        if name in names:
            found[name] = dict(axes) if isinstance(axes, Mapping) else _automatic_names(name, axes)
    return found


def _automatic_names(name: str, axes: Sequence[int]) -> dict[int, str]:
    return {axis: f"{name}_dynamic_axes_{n + 1}" for n, axis in enumerate(axes)}


def _axes_of_shapes(model: Module, args: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any) -> Axes:
    """Axes from a tree like the arguments, whose leaves map axes (or list them all) to sizes."""
    arguments = _parameter_names(model, args, kwargs)
    if isinstance(dynamic_shapes, Mapping):
        leaves = [(name, value, dynamic_shapes.get(name)) for name, value in arguments]
    else:
        leaves = [(name, value, shape) for (name, value), shape in zip(arguments, dynamic_shapes, strict=True)]
    found: Axes = {}

    def visit(name: str, value: Any, shape: Any) -> None:
        if isinstance(value, TensorBase):
            entries = shape.items() if isinstance(shape, Mapping) else enumerate(shape or ())
            chosen = {axis: _size_name(f"{name}_dim_{axis}", size) for axis, size in entries}
            found[name] = {axis % value._layout.ndim: size for axis, size in chosen.items() if size}
        elif isinstance(value, (tuple, list)):
            for n, (part, inner) in enumerate(zip(value, shape or [None] * len(value), strict=True)):
                visit(f"{name}_{n}", part, inner)

    for name, value, shape in leaves:
        visit(name, value, shape)
    return found


def _size_name(default: str, size: Any) -> str | None:
    """The name of a dynamic size: a string, a `Dim`, or a hint that the axis is dynamic; None for a static one."""
    if size is None or isinstance(size, int) and not hasattr(size, "name"):
        return None
    if isinstance(size, str):
        return size
    if isinstance(size, type) or hasattr(size, "min"):
        return getattr(size, "__name__", default)
    return None if getattr(size, "name", "") == "STATIC" else default


def _symbols(names: Sequence[str], axes: Axes) -> list[Symbol]:
    places: dict[str, list[tuple[int, int]]] = {}
    for position, name in enumerate(names):
        for axis, size in axes.get(name, {}).items():
            places.setdefault(size, []).append((position, axis))
    return [Symbol(name, tuple(found)) for name, found in places.items()]


# The model


def _build_model(
    model: Module,
    trace: Trace,
    names: Sequence[str],
    output_names: Sequence[str] | None,
    symbols: Sequence[Symbol],
    opset: int,
    dynamic_axes: Mapping[str, Any],
    *,
    export_params: bool,
    keep_initializers_as_inputs: bool,
) -> Any:
    from onnx import helper, numpy_helper

    graph = Graph(opset, {**dict(model.named_parameters()), **dict(model.named_buffers())}, symbols)
    graph.input_names = list(names)
    graph.base_sizes = {s.name: int(trace.inputs[s.axes[0][0]].shape[s.axes[0][1]]) for s in symbols}
    graph.steps, graph.checks = trace.steps, trace.checks
    for name, value in zip(names, trace.inputs, strict=True):
        graph.bind(value, name)
    for op in trace.ops:
        build(graph, op)
    results = _name_outputs(graph, trace, output_names)
    _drop_unused(graph, [name for name, _ in results])

    inputs = [
        helper.make_tensor_value_info(name, tensor_type(value.dtype), _shape(value.shape, symbols, n))
        for n, (name, value) in enumerate(zip(names, trace.inputs, strict=True))
    ]
    outputs = [
        helper.make_tensor_value_info(name, tensor_type(value.dtype), _output_shape(name, value.shape, dynamic_axes))
        for name, value in results
    ]
    weights = {name: tensor.detach().numpy() for name, tensor in graph.weights.items()}
    initializers = [
        numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), n) for n, a in graph.constants.items()
    ]
    initializers[:0] = [
        numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), n)
        for n, a in weights.items()
        if export_params
    ]
    if keep_initializers_as_inputs or not export_params:
        inputs += [
            helper.make_tensor_value_info(name, tensor_type(graph.weights[name].dtype), array.shape)
            for name, array in weights.items()
        ]
    proto = helper.make_graph(graph.nodes, "main_graph", inputs, outputs, initializers)
    return helper.make_model(
        proto,
        producer_name="rushlight",
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSIONS.get(opset, 10),
    )


def _name_outputs(graph: Graph, trace: Trace, given: Sequence[str] | None) -> list[tuple[str, Value]]:
    """Give each output its name, through an Identity node: one value may be several outputs, an input or a weight."""
    from onnx import helper

    count = len(trace.outputs)
    names = ["output"] if count == 1 else [f"output_{n}" for n in range(count)]
    names[: len(given or ())] = list(given or ())[:count]
    for name, value in zip(names, trace.outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.read(value)], [name], name=f"/{name}"))
    return list(zip(names, trace.outputs, strict=True))


def _drop_unused(graph: Graph, wanted: Sequence[str]) -> None:
    """Remove nodes and constants that no output needs."""
    needed = set(wanted)
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in needed}
    graph.weights = {name: tensor for name, tensor in graph.weights.items() if name in needed}


def _shape(sizes: Sequence[int], symbols: Sequence[Symbol], position: int) -> list[int | str]:
    found: list[int | str] = [int(n) for n in sizes]
    for symbol in symbols:
        for where, axis in symbol.axes:
            if where == position:
                found[axis] = symbol.name
    return found


def _output_shape(name: str, sizes: Sequence[int], dynamic_axes: Mapping[str, Any]) -> list[int | str]:
    axes = dynamic_axes.get(name, {})
    named = dict(axes) if isinstance(axes, Mapping) else _automatic_names(name, axes)
    found: list[int | str] = []
    for axis, size in enumerate(sizes):
        chosen = named.get(axis, named.get(axis - len(sizes)))
        found.append(chosen or (f"{name}_dim_{axis}" if isinstance(size, Varying) else int(size)))
    return found
