"""Pruning: zeroing entries of a parameter by a mask that a forward pre-hook applies.

A pruned ``weight`` becomes a plain tensor computed from the parameter ``weight_orig`` and the buffer ``weight_mask``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

from ... import ops
from ...tensor import Tensor
from ..module import Module
from .convert_parameters import parameters_to_vector

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """A way to choose a mask, and the hook that applies it. Subclasses set ``PRUNING_TYPE`` and ``compute_mask``.

    >>> P = nn.utils.prune
    >>> class BelowHalf(P.BasePruningMethod):
    ...     PRUNING_TYPE = "unstructured"
    ...     def compute_mask(self, t, default_mask):
    ...         return default_mask * (t.abs() >= 0.5)
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(layer.weight, 0.3)
    >>> _ = BelowHalf.apply(layer, "weight")
    >>> layer.weight.tolist()
    [[0.0, 0.0]]
    """

    _tensor_name: str
    # What later pruning of the same tensor may choose from: "unstructured" (entries left), "structured" (slices left
    # along `dim`), or "global" (everything).
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for importance scores ``t``, at most ``default_mask``.

        >>> t = torch.tensor([0.3, -1.3])
        >>> nn.utils.prune.L1Unstructured(1).compute_mask(t, torch.ones(2))
        tensor([0., 1.])
        """

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune a module's tensor with this method, after the methods already applied to it.

        >>> layer = nn.Linear(4, 1)
        >>> _ = nn.utils.prune.L1Unstructured.apply(layer, "weight", amount=3)
        >>> layer.weight_mask.sum()
        tensor(1.)
        """
        method = _take_previous(module, name)
        new = cls(*args, **kwargs)
        new._tensor_name = name
        if method is None:
            method = new
        else:
            container = method if isinstance(method, PruningContainer) else PruningContainer(method)
            container.add_pruning_method(new)
            method = container

        original = getattr(module, name)
        if importance_scores is None:
            importance_scores = original
        elif importance_scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {importance_scores.shape} vs {original.shape}"
            )
        first = not isinstance(method, PruningContainer)
        if first:
            module.register_parameter(f"{name}_orig", original)
            del module._parameters[name]
            default_mask = ops.ones_like(original)
        else:
            default_mask = getattr(module, f"{name}_mask").detach().clone()
        try:
            module.register_buffer(f"{name}_mask", method.compute_mask(importance_scores, default_mask))
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if first:
                module.register_parameter(name, getattr(module, f"{name}_orig"))
                del module._parameters[f"{name}_orig"]
            raise
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """``t`` pruned, without a module.

        >>> nn.utils.prune.L1Unstructured(1).prune(torch.tensor([0.3, -1.3]))
        tensor([ 0.0000, -1.3000])
        """
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as tensor t, got {importance_scores.shape} vs {t.shape}"
            )
        default_mask = ops.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(importance_scores, default_mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor the parameter, for good."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(f"{name}_orig")
        assert original is not None
        original.data = weight.data
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


def _take_previous(module: Module, name: str) -> BasePruningMethod | None:
    """Unregister and return the pruning method that acts on a tensor."""
    found = {
        hook_id: hook
        for hook_id, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    }
    if len(found) > 1:
        raise AssertionError(
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer."
        )
    for hook_id, hook in found.items():
        del module._forward_pre_hooks[hook_id]
        return hook
    return None


class PruningContainer(BasePruningMethod):
    """Several methods applied to one tensor in turn, each to what the ones before have left.

    >>> layer = nn.Linear(4, 1)
    >>> _ = nn.utils.prune.l1_unstructured(layer, "weight", 1)
    >>> _ = nn.utils.prune.l1_unstructured(layer, "weight", 1)
    >>> len(next(iter(layer._forward_pre_hooks.values()))), layer.weight_mask.sum()
    (2, tensor(2.))
    """

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add a method that acts on the same tensor name."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                f"PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)  # type: ignore[operator]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The last method's mask over what ``default_mask`` has left for its kind."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        left: Any
        if method.PRUNING_TYPE == "unstructured":
            left = default_mask == 1
        elif method.PRUNING_TYPE == "structured":
            left = _slices_left(method, t, default_mask)
        elif method.PRUNING_TYPE == "global":
            left = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        # `mask` may be the default mask itself, which PyTorch changes too.
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(dtype=mask.dtype)
        return mask


def _slices_left(method: BasePruningMethod, t: Tensor, mask: Tensor) -> tuple[Any, ...]:
    """The index of the slices along the method's dimension that are not zero entirely."""
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.dim() if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    index: list[Any] = [slice(None)] * t.dim()
    index[dim] = mask.sum(dim=[other for other in range(t.dim()) if other != dim]) != 0
    return tuple(index)


class Identity(BasePruningMethod):
    """Prunes nothing: it makes a mask of ones, for a mask that is set by hand.

    >>> nn.utils.prune.Identity().prune(torch.tensor([0.3, -1.3]))
    tensor([ 0.3000, -1.3000])
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Amount(BasePruningMethod):
    """A method with an amount: a number of units, or a fraction of them."""

    amount: float

    def __init__(self, amount: float) -> None:
        if not isinstance(amount, Real):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        if amount < 0 or (not isinstance(amount, Integral) and amount > 1):
            raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
        self.amount = amount

    def _count_to_prune(self, size: int) -> int:
        count = int(self.amount) if isinstance(self.amount, Integral) else round(self.amount * size)
        if isinstance(self.amount, Integral) and count > size:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
        return count


class RandomUnstructured(_Amount):
    """Prunes random entries.

    >>> (nn.utils.prune.RandomUnstructured(0.5).prune(torch.ones(10)) == 0).sum()
    tensor(5)
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._count_to_prune(t.nelement())
        mask = default_mask.clone().contiguous()
        if count:
            mask.view(-1)[ops.rand_like(t).view(-1).topk(count).indices] = 0
        return mask


class L1Unstructured(_Amount):
    """Prunes the entries of smallest magnitude.

    >>> nn.utils.prune.L1Unstructured(0.5).prune(torch.tensor([0.3, -1.3]))
    tensor([ 0.0000, -1.3000])
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._count_to_prune(t.nelement())
        mask = default_mask.clone().contiguous()
        if count:
            mask.view(-1)[t.abs().view(-1).topk(count, largest=False).indices] = 0
        return mask


class _StructuredAmount(_Amount):
    """A method that prunes whole slices along one dimension."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. "
                f"Found tensor of shape {t.shape} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        count = self._count_to_prune(size)
        if count == 0:
            return default_mask
        index: list[Any] = [slice(None)] * t.dim()
        index[self.dim] = self._kept(t, size, count)
        mask = ops.zeros_like(t)
        mask[tuple(index)] = 1
        return mask * default_mask.to(dtype=mask.dtype)

    @abstractmethod
    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        """An index of the slices to keep."""


class RandomStructured(_StructuredAmount):
    """Prunes random slices along ``dim``.

    >>> (nn.utils.prune.RandomStructured(1, dim=0).prune(torch.ones(3, 2)) == 0).all(1).sum()
    tensor(1)
    """

    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        scores = ops.rand(size)
        return scores > ops.kthvalue(scores, count).values


class LnStructured(_StructuredAmount):
    """Prunes the slices along ``dim`` of smallest n-norm.

    >>> nn.utils.prune.LnStructured(1, n=2, dim=0).prune(torch.tensor([[3., 4.], [0., 1.]]))
    tensor([[3., 4.],
            [0., 0.]])
    """

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        dim = self.dim % t.dim()
        norms = ops.norm(t, p=self.n, dim=[other for other in range(t.dim()) if other != dim])
        return norms.topk(size - count).indices


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask given by the user.

    >>> nn.utils.prune.CustomFromMask(torch.tensor([1, 0])).prune(torch.tensor([0.3, -1.3]))
    tensor([0.3000, -0.0000])
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Give a tensor a mask of ones.

    >>> nn.utils.prune.identity(nn.Linear(2, 1), "weight").weight_mask
    tensor([[1., 1.]])
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune ``amount`` random entries: a number, or as a float a fraction.

    >>> nn.utils.prune.random_unstructured(nn.Linear(4, 1), "weight", 0.5).weight_mask.sum()
    tensor(2.)
    """
    RandomUnstructured.apply(module, name, amount=amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prune the ``amount`` entries of smallest magnitude (or of smallest importance).

    >>> layer = nn.Linear(2, 2)
    >>> _ = nn.utils.prune.l1_unstructured(layer, "weight", amount=3)
    >>> int(layer.weight_mask.sum())
    1
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune ``amount`` random slices along ``dim``.

    >>> nn.utils.prune.random_structured(nn.Linear(3, 4), "weight", 1, dim=0).weight_mask.sum()
    tensor(9.)
    """
    RandomStructured.apply(module, name, amount=amount, dim=dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the ``amount`` slices along ``dim`` of smallest ``n``-norm.

    >>> layer = nn.Linear(2, 2)
    >>> layer.weight.data = torch.tensor([[3., 4.], [0., 1.]])
    >>> nn.utils.prune.ln_structured(layer, "weight", 1, n=2, dim=0).weight_mask
    tensor([[1., 1.],
            [0., 0.]])
    """
    LnStructured.apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune by a given mask of zeros and ones.

    >>> layer = nn.utils.prune.custom_from_mask(nn.Linear(2, 1), "weight", torch.tensor([[1, 0]]))
    >>> (layer.weight[0, 1] == 0).item()
    True
    """
    CustomFromMask.apply(module, name, mask=mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several (module, name) tensors as if they were one: the amount is over all of them.

    >>> first, second = nn.Linear(4, 1), nn.Linear(4, 1)
    >>> _ = nn.init.ones_(first.weight), nn.init.zeros_(second.weight)
    >>> P = nn.utils.prune
    >>> P.global_unstructured([(first, "weight"), (second, "weight")], P.L1Unstructured, amount=4)
    >>> first.weight_mask.sum(), second.weight_mask.sum()
    (tensor(4.), tensor(0.))
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    parameters = list(parameters)
    tensors = [getattr(module, name) for module, name in parameters]
    all_scores = parameters_to_vector(
        [scores.get(key, tensor) for key, tensor in zip(parameters, tensors, strict=True)]
    )
    default_mask = parameters_to_vector(
        [
            getattr(module, f"{name}_mask", ops.ones_like(tensor))
            for (module, name), tensor in zip(parameters, tensors, strict=True)
        ]
    )
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. '
            f"Found method {pruning_method} of type {method.PRUNING_TYPE}"
        )
    method._tensor_name = "temp"
    mask = PruningContainer(method).compute_mask(all_scores, default_mask)
    start = 0
    for (module, name), tensor in zip(parameters, tensors, strict=True):
        end = start + tensor.numel()
        custom_from_mask(module, name, mask=mask[start:end].view_as(tensor))
        start = end


def remove(module: Module, name: str) -> Module:
    """Make a pruned tensor a parameter again, with the pruned values.

    >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(4, 1), "weight", 3)
    >>> _ = nn.utils.prune.remove(layer, "weight")
    >>> (layer.weight == 0).sum(), isinstance(layer.weight, nn.Parameter)
    (tensor(3), True)
    """
    for hook_id, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[hook_id]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a tensor of the module or of one below it is pruned.

    >>> layer = nn.Linear(4, 1)
    >>> nn.utils.prune.is_pruned(layer), nn.utils.prune.is_pruned(nn.utils.prune.identity(layer, "weight"))
    (False, True)
    """
    return any(
        isinstance(hook, BasePruningMethod)
        for submodule in module.modules()
        for hook in submodule._forward_pre_hooks.values()
    )
