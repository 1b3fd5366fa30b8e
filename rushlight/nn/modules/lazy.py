"""Layers whose input size is taken from the first batch they see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ...autograd import no_grad
from ..module import Module
from ..parameter import UninitializedTensorMixin, is_lazy

if TYPE_CHECKING:
    from ...tensor import Tensor


def materialize(tensor: Tensor | None, shape: Sequence[int]) -> None:
    """Give a lazy tensor its shape; others, and None, are left alone."""
    if isinstance(tensor, UninitializedTensorMixin):
        tensor.materialize(shape)


class LazyModuleMixin(Module):
    """Mixin for modules with uninitialized parameters; the first forward gives them their shapes.

    A lazy class lists this mixin before the class it becomes (``cls_to_become``) and defines ``initialize_parameters``,
    which receives the arguments of the first forward.

    >>> layer = nn.LazyLinear(2)
    >>> _ = layer(torch.ones(3, 5))
    >>> layer
    Linear(in_features=5, out_features=2, bias=True)
    """

    cls_to_become: type[Module] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        # Unlike Module's: an uninitialized tensor has nothing to detach from.
        kept = {name: buffer for name, buffer in self._buffers.items() if name not in self._non_persistent_buffers_set}
        for name, tensor in chain(self._parameters.items(), kept.items()):
            if tensor is not None:
                destination[prefix + name] = tensor if is_lazy(tensor) or keep_vars else tensor.detach()

    def _lazy_load_hook(self, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        """Give the lazy tensors the shapes of the loaded ones, so that the ordinary load can copy."""
        for name, tensor in chain(self._parameters.items(), self._buffers.items()):
            loaded = state_dict.get(prefix + name)
            if loaded is not None and not is_lazy(loaded):
                with no_grad():
                    materialize(tensor, loaded.shape)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters for these forward arguments; each lazy class defines it."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module still has no shape."""
        return any(is_lazy(tensor) for tensor in chain(self._parameters.values(), self._buffers.values()))

    def _infer_parameters(
        self, module: LazyModuleMixin, args: tuple[Tensor, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become  # type: ignore[assignment]
