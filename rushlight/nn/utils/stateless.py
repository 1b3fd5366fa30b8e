"""Calling a module with other tensors in the place of its parameters and buffers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...tensor import Tensor
from ..module import Module

__all__ = ["functional_call"]


def _members(module: Module, path: str) -> tuple[dict[str, Any], str] | None:
    """The dictionary of parameters or buffers that holds the tensor at a dotted path, and its key there; None if there is no such attribute."""
    owner_path, _, name = path.rpartition(".")
    owner = module.get_submodule(owner_path)
    for members in (owner._parameters, owner._buffers):
        if name in members:
            return members, name
    if hasattr(owner, name):
        raise TypeError(f"attribute `{path}`: {getattr(owner, name)} is not an instance of torch.Tensor")
    return None


def _named_tensors(module: Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _with_tied_names(module: Module, replacements: Mapping[str, Any]) -> dict[str, Any]:
    """The replacements, each also under the other names of the tensor that it replaces."""
    tied: dict[int, list[str]] = {}
    named_tensors = _named_tensors(module)
    for name, tensor in named_tensors.items():
        tied.setdefault(id(tensor), []).append(name)
    result = dict(replacements)
    for name in replacements:
        names = tied[id(named_tensors[name])] if name in named_tensors else []
        given = {id(replacements[other]) for other in names if other in replacements}
        if len(given) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, which are tied. "
                "Consider using tie_weights=False"
            )
        result.update(dict.fromkeys(names, replacements[name]))
    return result


def _check_keys(module: Module, replacements: Mapping[str, Any]) -> None:
    names = _named_tensors(module)
    problems = {
        "Unexpected": sorted(name for name in replacements if name not in names),
        "Missing": sorted(name for name in names if name not in replacements),
    }
    messages = [f"{kind} key(s): {', '.join(map(repr, keys))}." for kind, keys in problems.items() if keys]
    if messages:
        raise RuntimeError(
            "Error(s) in reparametrizing for {}:\n\t{}".format(module._get_name(), "\n\t".join(messages))
        )


@contextmanager
def _replaced(module: Module, replacements: Mapping[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    """Within this context the module holds the replacements; what its forward assigns goes back into the mapping."""
    new = _with_tied_names(module, replacements) if tie_weights else dict(replacements)
    if strict:
        _check_keys(module, new)
    old: list[tuple[str, dict[str, Any], str, Any]] = []
    try:
        for path, tensor in new.items():
            found = _members(module, path)
            if found is None:
                continue
            members, name = found
            old.append((path, members, name, members[name]))
            members[name] = tensor
        yield
    finally:
        for path, members, name, tensor in reversed(old):
            if path in replacements and members[name] is not replacements[path]:
                replacements[path] = members[name]  # type: ignore[index]
            members[name] = tensor


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Deprecated by PyTorch for ``torch.func.functional_call``, which does the same."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future "
        "version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call_with_tensors(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


def call_with_tensors(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with the given tensors, by dotted name, in place of its own.

    A tensor that the module holds under several names is replaced under all of them if ``tie_weights``; ``strict`` asks
    for exactly the module's names.
    """
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _replaced(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))
