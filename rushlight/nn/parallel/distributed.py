"""`DistributedDataParallel`: one model in several processes, each of which has a part of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ... import ops
from ...autograd import is_grad_enabled, no_grad
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter


class DistributedDataParallel(Module):
    """A module whose gradients are the means over all processes when `backward` returns.

    Parameters and buffers start as those of the first process; buffers are its own again at each forward pass that follows one whose gradients
    are exchanged. Gradients are exchanged when the
    last parameter of those that the pass is to reach has its own: all of them, or with `find_unused_parameters` those that the output
    depends on. Within `no_sync` gradients stay each process's own and add up.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        from ... import distributed

        super().__init__()
        self.process_group = process_group if process_group is not None else distributed.group.WORLD
        distributed.get_world_size(process_group)  # or its error where nothing has been initialized
        self._averaged = [p for p in module.parameters() if p.requires_grad]
        if not self._averaged:
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient.")
        if device_ids or output_device is not None:
            raise ValueError(
                "DistributedDataParallel device_ids and output_device arguments only work with single-device/multiple-device GPU modules or CPU modules, "
                f"but got device_ids {device_ids}, output_device {output_device}, and module parameters { ({p.device for p in module.parameters()}) }."
            )
        self.module = module
        self.device_ids, self.output_device, self.dim = None, None, dim
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.broadcast_buffers = broadcast_buffers
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._missing: dict[int, Tensor] | None = None  # by id: whose gradients this pass has yet to bring
        self._unused: list[Tensor] = []
        if init_sync:
            self._check_shapes()
            self._broadcast([*module.parameters(), *module.buffers()])
        for parameter in self._averaged:
            parameter.register_post_accumulate_grad_hook(self._has_gradient)

    def _check_shapes(self) -> None:
        from ... import distributed

        shapes = [tuple(p.shape) for p in self.module.parameters()]
        found: list[Any] = [None] * distributed.get_world_size(self.process_group)
        distributed.all_gather_object(found, shapes, self.process_group)
        for rank, theirs in enumerate(found):
            if len(theirs) != len(shapes):
                raise RuntimeError(f"DDP expects same model across all ranks, but Rank {distributed.get_rank(self.process_group)} has {len(shapes)} params, while rank {rank} has inconsistent {len(theirs)} params.")
            for n, (have, want) in enumerate(zip(shapes, theirs, strict=True)):
                if have != want:
                    raise RuntimeError(f"params[{n}] in this process with sizes {list(have)} appears not to match sizes of the same param in process {rank}.")

    def _broadcast(self, tensors: Sequence[Tensor]) -> None:
        from ... import distributed

        for tensor in tensors:
            distributed.broadcast(tensor.detach(), group=self.process_group, group_src=0)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        training = is_grad_enabled() and self.require_backward_grad_sync
        if training and self._missing:
            raise RuntimeError(
                "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has parameters "
                "that were not used in producing loss. You can enable unused parameter detection by passing the keyword argument `find_unused_parameters=True` "
                "to `torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function outputs participate in calculating loss."
            )
        if self.require_forward_param_sync and self.broadcast_buffers:
            self._broadcast(list(self.module.buffers()))
        output = self.module(*inputs, **kwargs)
        self.require_forward_param_sync = training
        if training:
            self._expect(output)
        return output

    def _expect(self, output: Any) -> None:
        self._missing, self._unused = {id(p): p for p in self._averaged}, []
        if self.find_unused_parameters:
            used = _leaves_of(output)
            self._unused = [p for p in self._averaged if id(p) not in used]
            for parameter in self._unused:
                del self._missing[id(parameter)]

    def _has_gradient(self, parameter: Tensor) -> None:
        if not self.require_backward_grad_sync or self._missing is None:
            return
        self._missing.pop(id(parameter), None)
        if not self._missing:
            self._missing = None
            self._average()

    @no_grad()
    def _average(self) -> None:
        """One exchange for all gradients of a dtype. What no process has a gradient for stays without one."""
        from ... import distributed

        count = distributed.get_world_size(self.process_group)
        chosen = self._averaged
        if self.find_unused_parameters:
            present = ops.tensor([p.grad is not None for p in self._averaged]).int()
            distributed.all_reduce(present, group=self.process_group)
            chosen = [p for p, some in zip(self._averaged, present.tolist(), strict=True) if some]
        by_dtype: dict[Any, list[Parameter]] = {}
        for parameter in chosen:
            by_dtype.setdefault(parameter.dtype, []).append(parameter)
        for parameters in by_dtype.values():
            grads = [ops.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            flat = ops.cat([g.reshape(-1) for g in grads]) * (1.0 / count)
            distributed.all_reduce(flat, group=self.process_group)
            for parameter, grad, mean in zip(parameters, grads, flat.split([g.numel() for g in grads]), strict=True):
                grad.copy_(mean.view_as(grad))
                parameter.grad = grad

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Passes within leave gradients to each process; the first one afterwards exchanges their sums."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def _leaves_of(output: Any) -> set[int]:
    """The ids of the leaves that the tensors in `output` depend on."""
    found, seen = set(), set()
    stack = []
    for tensor in _tensors(output):
        if tensor.grad_fn is not None:
            stack.append(tensor.grad_fn)
        elif tensor.requires_grad:
            found.add(id(tensor))
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for edge, _ in node.next_functions:
            if edge is None:
                continue
            leaf = getattr(edge, "variable", None)
            if leaf is not None:
                found.add(id(leaf))
            else:
                stack.append(edge)
    return found
