"""`torch.compile`: a function that is recorded once for each way it is called, and replayed from then on.

The first call runs under a `Watch`, which learns what code the function is made of. The next one is recorded. A later call whose
guards hold is a replay; one whose guards do not is recorded anew, up to `LIMIT` times. What cannot be replayed runs on the
tape, as it would without `compile`, and `CompiledFunction.refusal` says why.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from .. import tape
from ..nn import Module
from ..optim import Optimizer
from .captured import Captured, Refused, Stale, record, runs_as_it_is
from .guards import Guards, Unsupported, Watch

#: Recordings of one function; more calls that are alike to none of them run on the tape. (torch._dynamo.config.recompile_limit)
LIMIT = 8
#: A function that has been refused so often in a row is no longer recorded.
REFUSALS = 3

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
#: Those that capture, and those that run the function as it is.
BACKENDS = ("inductor", "cudagraphs", "aot_eager", "eager")


#: An attribute of functions that `torch.compiler.disable` has made.
NOT_CAPTURED = "_torchdynamo_disable"
#: All compiled functions there are, for `torch.compiler.reset`.
COMPILED: weakref.WeakSet[CompiledFunction] = weakref.WeakSet()


class CompiledFunction:
    """What `torch.compile` makes of a function.

    `recordings` are tried in turn, the last that fitted first. `refusal` is why the last attempt to record failed.
    """

    def __init__(self, function: Callable[..., Any], fullgraph: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.fullgraph = fullgraph
        self.reset()
        COMPILED.add(self)

    def reset(self) -> None:
        """Forget all recordings."""
        self.recordings: list[Captured] = []
        self.watch = Watch()
        self.refusal: str | None = None
        self.refusals = 0
        self.changed: str | None = None  # what was different when the last recording became necessary
        self.replays = 0

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        # As a decorator of a method: each instance calls it with itself in front.
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        return CompiledFunction, (self.function, self.fullgraph)  # recordings are of this process, and of these objects

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for captured in self.recordings:
            program = captured.straight.program
            if program is not None and not kwargs:
                found = program(args)
                if found is not NotImplemented:
                    self._replayed(captured)
                    return found
        if runs_as_it_is():
            return self.function(*args, **kwargs)
        for captured in tuple(self.recordings):
            again = captured.settling.found(args, kwargs)
            sources = captured.guards.match(args, kwargs, words=False) if again is None else again.sources
            if isinstance(sources, str):
                self.changed = sources
                continue
            try:
                found = captured.replay(sources, again)
                if captured.backward is not None:
                    captured.straight.note(captured, args, kwargs)
                elif again is None:
                    captured.settling.note(captured, args, kwargs, sources)
            except Refused as reason:
                self.changed = str(reason)
                if isinstance(reason, Stale):
                    self.recordings.remove(captured)
                continue
            self._replayed(captured)
            return found
        if not self.changed and self.recordings:
            self.changed = str(self.recordings[-1].guards.match(args, kwargs))
        if self.refusals >= REFUSALS or len(self.recordings) >= LIMIT:
            if len(self.recordings) == LIMIT and self.refusals < REFUSALS:
                self.refusals = REFUSALS
                warnings.warn(f"{self.function!r} has been recorded {LIMIT} times, the last time because of {self.changed}. Further kinds of calls run on the tape.", stacklevel=2)
            return self.function(*args, **kwargs)
        return self._record(args, kwargs)

    def _replayed(self, captured: Captured) -> None:
        self.replays += 1
        tape.state.replays += 1
        if self.recordings[0] is not captured:
            self.recordings = [captured, *[other for other in self.recordings if other is not captured]]

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        position = tape.user_position(3)
        tape.flush("capture")
        seen = self.watch.seen()
        try:
            guards = Guards(self.function, args, kwargs, self.watch, forward_only=isinstance(self.function, Module))
        except Unsupported as reason:
            return self._refused(str(reason), self.function, args, kwargs)
        with self.watch:
            result, found = record(self.function, args, kwargs, guards, position)
        if self.watch.seen() != seen:
            # It is known only now what else the function reads: the next call is recorded. (Some make new code at each call.)
            self.refusals += seen > 0
            self.refusal = "other code ran than before"
            return result
        if isinstance(found, Captured):
            self.recordings.insert(0, found)
            tape.state.recordings += 1
            self.refusals = 0
            return result
        return self._refused(found, lambda: result, (), {})

    def _refused(self, why: str, rest: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.refusal = why
        self.refusals += 1
        if self.fullgraph:
            raise RuntimeError(f"torch.compile with fullgraph=True: {self.function!r} cannot be captured: {why}")
        return rest(*args, **kwargs)


class OptimizedModule(Module):
    """What `torch.compile` makes of a module: its attributes are the module's, and calling it replays the module's call."""

    def __init__(self, module: Module, fullgraph: bool) -> None:
        super().__init__()
        self._modules["_orig_mod"] = module
        self.__dict__["_compiled"] = CompiledFunction(module, fullgraph)
        self.__dict__.pop("training", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["_modules"]["_orig_mod"]
        return module if name == "_orig_mod" else getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" in self.__dict__ and "_orig_mod" in self._modules:
            setattr(self._modules["_orig_mod"], name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._modules["_orig_mod"], name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._modules["_orig_mod"])})

    def train(self, mode: bool = True) -> OptimizedModule:
        """Set the module's training mode."""
        self._orig_mod.train(mode)
        return self


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """A function or module that computes the same, with its work recorded once and then replayed.

    Everything that it reads is guarded: shapes, strides and dtypes of tensors, Python numbers, attributes, closures and
    globals, grad mode. When something has changed, it is recorded anew. What cannot be replayed, such as a branch on
    a tensor's value, runs as without `compile`; with `fullgraph` it raises a RuntimeError that names the line. Kernels
    take sizes at run time, so that `dynamic`, `mode` and `options` have nothing to choose.

    See https://docs.pytorch.org/docs/stable/generated/torch.compile.html

    >>> double = torch.compile(lambda x: x * 2 + 1)
    >>> double(torch.ones(3))
    tensor([3., 3., 3.])
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    if not callable(backend) and backend not in BACKENDS:
        raise RuntimeError(f"Invalid backend: {backend!r}, should be one of: {', '.join(BACKENDS)}")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable)
    if not callable(model):
        raise RuntimeError(f"torch.compile takes a function or a module, not {type(model).__name__}")
    if callable(backend):
        raise RuntimeError("a backend that is a function takes a graph of PyTorch's compiler, which there is none of here")
    if disable or backend in ("eager", "aot_eager") or isinstance(model, (CompiledFunction, OptimizedModule)) or getattr(model, NOT_CAPTURED, False):
        return model
    if isinstance(getattr(model, "__self__", None), Optimizer):
        return model  # an optimizer's step is one entry on the tape already
    return OptimizedModule(model, fullgraph) if isinstance(model, Module) else CompiledFunction(model, fullgraph)
