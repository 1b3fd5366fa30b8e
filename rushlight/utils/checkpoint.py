"""Activation checkpointing: keep the inputs of a part of the model, and compute what its backward needs a second time.

Source: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

from ..autocasting import casting_to
from ..autograd import Function, backward, enable_grad, is_grad_enabled, no_grad
from ..graph import grad_state, save, trace_ops
from ..random import fork_rng, get_rng_state, set_rng_state
from ..tensor import Tensor

ContextPair = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]

_HINT = (
    "Tip: To see a more detailed error message, either pass `debug=True` to `torch.utils.checkpoint.checkpoint(...)` "
    "or wrap the code block with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to enable "
    "checkpoint-debug mode globally."
)


class CheckpointError(RuntimeError):
    """The second computation did not save the same tensors as the first."""


class _Settings:
    """What the two context managers below override; None leaves it to the argument of `checkpoint`."""

    debug: bool | None = None
    early_stop: bool | None = None
    group: GraphExecGroup | None = None


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """In the block, override the argument ``debug`` of `checkpoint`."""
    outer, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = outer


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """In the block, override the argument ``early_stop`` of `checkpoint`; the backward pass may come later."""
    outer, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = outer


class GraphExecGroup:
    """Several backward calls in one such block compute each checkpointed part again once at most."""

    def __enter__(self) -> Self:
        if _Settings.group is not None:
            raise RuntimeError(
                f"GraphExecGroup contexts cannot be nested. Already inside group {_Settings.group}"
            )
        _Settings.group = self
        return self

    def __exit__(self, *exc: object) -> None:
        _Settings.group = None


class DefaultDeviceType:
    """The device type whose random state is kept besides the CPU's, when no argument is on another device."""

    _default_device_type: str | None = None

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Set the default device type."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        """The default device type."""
        return DefaultDeviceType._default_device_type or "cpu"


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The devices other than the CPU that the arguments are on, and their random states; there are none here."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None) -> None:
    """Restore what `get_device_states` returned."""
    if len(devices):
        raise RuntimeError(f"there are no devices {list(devices)}: tensors are on the CPU")


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn when no input requires grad."""
    if not any(value.requires_grad for value in inputs if isinstance(value, Tensor)):
        import warnings

        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with tensors detached, requiring grad as before.

    >>> x = torch.ones(1, requires_grad=True) * 2
    >>> torch.utils.checkpoint.detach_variable((x, 3))
    (tensor([2.], requires_grad=True), 3)
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple(
        value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value for value in inputs
    )


class CheckpointFunction(Function):
    """The re-entrant kind: forward without a graph, and in backward a second forward with one of its own."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        """Run `run_function` without recording."""
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.rng_state = get_rng_state() if preserve_rng_state else None
        ctx.autocast = grad_state.autocast
        ctx.inputs = [None if isinstance(value, Tensor) else value for value in args]
        ctx.tensor_indices = [index for index, value in enumerate(args) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(args[index] for index in ctx.tensor_indices))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        """Run `run_function` again, recorded, and go back through it."""
        inputs = list(ctx.inputs)
        for index, tensor in zip(ctx.tensor_indices, ctx.saved_tensors, strict=True):
            inputs[index] = tensor
        detached = detach_variable(tuple(inputs))
        with _random_state(ctx.rng_state), casting_to(ctx.autocast), enable_grad():
            outputs = ctx.run_function(*detached)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        pairs = [
            (output, grad)
            for output, grad in zip(outputs, grads, strict=False)
            if isinstance(output, Tensor) and output.requires_grad
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([output for output, _ in pairs], [grad for _, grad in pairs])
        return None, None, *(value.grad if isinstance(value, Tensor) else None for value in detached)


@contextmanager
def _random_state(state: Tensor | None) -> Iterator[None]:
    """In the block, random numbers start from `state`, unless that is None; then they go on as before it."""
    with fork_rng(enabled=state is not None):
        if state is not None:
            set_rng_state(state)
        yield


def noop_context_fn() -> ContextPair:
    """The default of ``context_fn``: two contexts that do nothing."""
    return nullcontext(), nullcontext()


def _describe(tensor: Tensor) -> dict[str, Any]:
    return {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}


_determinism_checks: dict[str, Callable[[Tensor], Any]] = {"default": _describe, "none": lambda tensor: None}


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], ContextPair] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args)``, whose intermediate tensors are not kept for backward but computed again there.

    With ``use_reentrant=False`` (recommended) the graph is recorded and only what it saved is recomputed, up to the last
    tensor needed; keyword arguments and `torch.autograd.grad` work. With True, the function runs unrecorded. The random
    state is restored for the second run unless ``preserve_rng_state=False``.

    >>> x = torch.tensor([0.5], requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=False).backward()
    >>> x.grad
    tensor([0.8776])
    """
    preserve_rng_state = kwargs.pop("preserve_rng_state", True)
    if use_reentrant is None:
        _warn_of_default(
            "torch.utils.checkpoint",
            "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception.",
        )
        use_reentrant = True
    if not use_reentrant:
        rng_state = get_rng_state() if preserve_rng_state else None
        options = (context_fn, determinism_check, debug, early_stop)
        return _checkpoint_recorded(function, args, kwargs, rng_state, *options)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve_rng_state, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a `Sequential` or a list of functions in `segments` parts, all but the last of them checkpointed.

    >>> x = torch.tensor([0.5], requires_grad=True)
    >>> parts = [torch.sin, torch.exp, torch.cos]
    >>> torch.utils.checkpoint.checkpoint_sequential(parts, 3, x, use_reentrant=False).grad_fn
    <CosBackward0 object at 0x...>
    """
    if use_reentrant is None:
        _warn_of_default(
            "torch.utils.checkpoint.checkpoint_sequential",
            "In version 2.9 we will raise an exception if use_reentrant is not passed.",
        )
        use_reentrant = True
    preserve_rng_state = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))

    from ..nn import Sequential

    parts = list(functions.children()) if isinstance(functions, Sequential) else list(functions)

    def run(start: int, stop: int | None) -> Callable[[Any], Any]:
        def forward(input: Any) -> Any:
            for part in parts[start:stop]:
                input = part(input)
            return input

        return forward

    size = len(parts) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(
            run(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return run(size * (segments - 1), None)(input)


def _warn_of_default(name: str, change: str) -> None:
    import warnings

    warnings.warn(
        f"{name}: the use_reentrant parameter should be passed explicitly. {change} use_reentrant=False is "
        "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
        "Refer to docs for more details on the differences between the two variants.",
        stacklevel=3,
    )


# The kind that is not re-entrant. While the function runs, each tensor that the graph saves is replaced by a `_Slot`.
# The first slot that backward asks for runs the function again, whose saves in the same order fill all slots that are
# still alive. A slot is emptied as it is read, so a second backward pass over it computes once more; what a pass did not
# read is there for the next.


@contextmanager
def _saving(pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> Iterator[None]:
    """In the block, the graph keeps what `pack` makes of a tensor; `unpack` gives the tensor back."""
    outer = grad_state.saved_hooks
    grad_state.saved_hooks = (*outer, (pack, unpack))
    try:
        yield
    finally:
        grad_state.saved_hooks = outer


class _Slot:
    """Stands for one saved tensor."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self) -> None:
        self.tensor: Tensor | None = None


class _AllFilled(Exception):
    """Ends the second run when nothing more is needed."""


class _Region:
    """One call of `checkpoint`: the slots, and how to fill them."""

    def __init__(
        self, run: Callable[..., Any], args: tuple[Any, ...], describe: Callable[[Tensor], Any], early_stop: bool
    ) -> None:
        self.run = run
        self.describe = describe
        self.early_stop = early_stop
        self.slots: list[weakref.ref[_Slot]] = []
        self.descriptions: list[Any] = []
        self.completed = False  # the first run is over
        self.logs: list[list[str]] | None = None  # in debug mode, the ops of the first run and of the second
        # Saved as the graph saves: an enclosing checkpoint drops and recomputes them, in-place writes are noticed.
        self.inputs = [_Input(value) if isinstance(value, Tensor) else value for value in args]

    def pack(self, tensor: Tensor) -> _Slot:
        slot = _Slot()
        self.slots.append(weakref.ref(slot))
        self.descriptions.append(self.describe(tensor))
        return slot

    def unpack(self, slot: _Slot) -> Tensor:
        if slot.tensor is None:
            self._fill()
        tensor, slot.tensor = slot.tensor, None
        assert tensor is not None, "the second run fills every slot or raises"
        return tensor

    def _fill(self) -> None:
        inputs = [value.get() if isinstance(value, _Input) else value for value in self.inputs]
        second = _SecondRun(self)
        with contextlib.suppress(_AllFilled), _saving(second.pack, second.unpack), enable_grad():
            self.run(*inputs)
        second.check()

    def error(self, problem: str) -> CheckpointError:
        if self.logs is None:
            return CheckpointError(f"torch.utils.checkpoint: {problem}\n{_HINT}")
        first, second = ("\n".join(ops) for ops in self.logs)
        return CheckpointError(
            f"torch.utils.checkpoint: {problem}\n\nOperations executed during the original forward:\n\n{first}\n\n"
            f"Operations executed during recomputation:\n\n{second}\n"
        )


class _Input:
    """A tensor argument, kept for the second run."""

    def __init__(self, tensor: Tensor) -> None:
        self.saved = save(tensor)
        self.requires_grad = tensor.requires_grad

    def get(self) -> Tensor:
        tensor = self.saved.get(None)  # type: ignore[arg-type]  # the node is needed for outputs only
        if self.requires_grad and not tensor.requires_grad:
            return tensor.detach().requires_grad_()  # an enclosing checkpoint computed it again, without history
        return tensor


class _SecondRun:
    """The hooks of the run that fills the slots."""

    def __init__(self, region: _Region) -> None:
        self.region = region
        self.saved = 0
        self.different: list[str] = []
        self.saved_more = False

    def pack(self, tensor: Tensor) -> Tensor:
        region, index = self.region, self.saved
        tensor = tensor.detach()
        self.saved += 1
        if index >= len(region.slots):
            if region.completed:
                raise region.error(
                    "trying to save more tensors during recomputation than during the original forward pass.\n"
                )
            self.saved_more = True  # backward was called in the function: the first run has not come so far yet
            return tensor
        slot = region.slots[index]()
        if slot is not None:
            slot.tensor = tensor
            self._compare(index, tensor)
        if region.early_stop and self.saved == len(region.slots):
            raise _AllFilled
        return tensor

    @staticmethod
    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    def _compare(self, index: int, tensor: Tensor) -> None:
        before, now = self.region.descriptions[index], self.region.describe(tensor)
        if before != now:
            self.different.append(
                f"tensor at position {index}:\nsaved metadata: {before}\nrecomputed metadata: {now}\n"
            )

    def check(self) -> None:
        if self.saved_more:
            return
        if self.saved != len(self.region.slots):
            raise self.region.error(
                "A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.region.slots)}\n"
                f"Number of tensors saved during recomputation: {self.saved}.\n"
            )
        if self.different:
            raise self.region.error(
                "Recomputed values for the following tensors have different metadata than during the forward pass.\n"
                f"{''.join(self.different)}.\n"
            )


@contextmanager
def _log_ops(log: list[str]) -> Iterator[None]:
    with trace_ops() as calls:
        try:
            yield
        finally:
            for name, operands, params, outputs in calls:
                shapes = ", ".join(str(list(x.shape)) if isinstance(x, Tensor) else repr(x) for x in operands)
                results = ", ".join(str(list(x.shape)) for x in outputs)
                log.append(f"{name}({shapes}{''.join(f', {key}={value}' for key, value in params.items())}) -> {results}")


def _checkpoint_recorded(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    rng_state: Tensor | None,
    context_fn: Callable[[], ContextPair],
    determinism_check: str,
    debug: bool,
    early_stop: bool,
) -> Any:
    logs: list[list[str]] | None = None
    if debug if _Settings.debug is None else _Settings.debug:
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        logs = [[], []]
    if determinism_check not in _determinism_checks:
        raise ValueError(
            f"determinism_check should be one of {list(_determinism_checks)}, but got {determinism_check}"
        )
    first, second = context_fn() if logs is None else (_log_ops(logs[0]), _log_ops(logs[1]))

    low = grad_state.autocast

    def run_again(*args: Any) -> None:
        with _random_state(rng_state), casting_to(low), second:
            function(*args, **kwargs)

    if not is_grad_enabled():
        return function(*args, **kwargs)
    region = _Region(
        run_again,
        args,
        _determinism_checks[determinism_check],
        early_stop if _Settings.early_stop is None else _Settings.early_stop,
    )
    region.logs = logs
    with _saving(region.pack, region.unpack), first:
        result = function(*args, **kwargs)
        region.completed = True
        return result
    raise RuntimeError(
        "torch.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised during the "
        "checkpointed forward. This is not supported because checkpoint cannot return a value for a failed forward."
    )
