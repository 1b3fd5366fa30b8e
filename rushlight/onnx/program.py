"""What `torch.onnx.export` returns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tensor import Tensor

#: What fits in one protobuf message, with room for the graph itself.
_FILE_LIMIT = 2**31 - 2**20


class ONNXProgram:
    """An ONNX model in memory. Calling it runs it with onnxruntime.

    >>> program = torch.onnx.export(nn.ReLU(), (torch.ones(2),))
    >>> program.model_proto.graph.node[0].op_type
    'Relu'
    """

    def __init__(self, model_proto: Any, inputs: Sequence[Tensor]) -> None:
        self.model_proto = model_proto
        self._inputs = list(inputs)
        self._session: Any = None

    def __repr__(self) -> str:
        from onnx import printer

        return f"ONNXProgram(\n{printer.to_text(self.model_proto)}\n)"

    def __call__(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Run the model on tensors, given in the order of its inputs or by name."""
        from .. import ops
        from .trace import tensors_in

        if self._session is None:
            self.initialize_inference_session()
        names = [value.name for value in self._session.get_inputs()]
        feeds = dict(zip(names, (t.detach().numpy() for t in tensors_in(args)), strict=False))
        feeds |= {name: t.detach().numpy() for name, t in kwargs.items()}
        return [ops.from_numpy(array) for array in self._session.run(None, feeds)]

    def initialize_inference_session(self) -> None:
        """Load the model into onnxruntime."""
        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError as error:
            raise ModuleNotFoundError(
                "running an ONNX model needs onnxruntime: pip install 'rushlight[onnx]' (or pip install onnxruntime)",
                name="onnxruntime",
            ) from error
        self._session = onnxruntime.InferenceSession(
            self.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def save(
        self,
        destination: str | os.PathLike[str] | IO[bytes],
        *,
        include_initializers: bool = True,
        keep_initializers_as_inputs: bool = False,
        external_data: bool | None = None,
    ) -> None:
        """Write the model to a path, whole or not at all, or to a file object.

        With `external_data` (or for models over 2 GB) the weights go to a file beside it, ``<name>.data``.

        >>> import io
        >>> file = io.BytesIO()
        >>> torch.onnx.export(nn.ReLU(), (torch.ones(2),)).save(file)
        >>> file.tell() > 0
        True
        """
        model = self._with_options(include_initializers, keep_initializers_as_inputs)
        if not isinstance(destination, (str, os.PathLike)):
            destination.write(model.SerializeToString())
            return
        from ..serialization.files import replacing

        path = os.fspath(destination)
        if external_data is None:
            external_data = model.ByteSize() > _FILE_LIMIT
        if external_data:
            import io

            from onnx import external_data_helper

            located = type(model)()
            located.CopyFrom(model)
            weights = io.BytesIO()
            _move_weights(located, os.path.basename(path) + ".data", weights, external_data_helper)
            if weights.tell():
                with replacing(path + ".data") as file:
                    file.write(weights.getbuffer())
            model = located
        with replacing(path) as file:
            file.write(model.SerializeToString())

    def _with_options(self, include_initializers: bool, keep_as_inputs: bool) -> Any:
        if include_initializers and not keep_as_inputs:
            return self.model_proto
        from onnx import helper

        model = type(self.model_proto)()
        model.CopyFrom(self.model_proto)
        known = {value.name for value in model.graph.input}
        for tensor in model.graph.initializer:
            if tensor.name not in known:
                model.graph.input.append(
                    helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
        if not include_initializers:
            del model.graph.initializer[:]
        return model


def _move_weights(model: Any, location: str, out: IO[bytes], helper: Any) -> None:
    """Move the bytes of large tensors from the model to `out`, each at a multiple of 64 bytes."""
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        if len(data) < 1024:
            continue
        out.write(b"\0" * (-out.tell() % 64))
        offset = out.tell()
        out.write(data)
        helper.set_external_data(tensor, location, offset=offset, length=len(data))
        tensor.ClearField("raw_data")
