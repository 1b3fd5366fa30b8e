"""What processes of a group do together with tensors and objects.

Each process sends what the others need straight to them. Results are combined in the order of ranks, so all processes have
the same bits. All of them make the same calls in the same order; a call that does not say ``async_op`` returns when it is done.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes as dt
from ..grad_mode import no_grad
from ..ops.card import array_of, tensor_of_array
from ..storage import TensorBase
from ..tensor import Tensor
from .groups import POINT_TO_POINT, GroupMember, ProcessGroup, default_group, the_group
from .mesh import Label


class RedOpType(Enum):
    """How values of several processes become one."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)


class ReduceOp:
    """The ways to reduce: ``ReduceOp.SUM AVG PRODUCT MIN MAX BAND BOR BXOR``."""

    RedOpType = RedOpType
    SUM, AVG, PRODUCT, MIN = RedOpType.SUM, RedOpType.AVG, RedOpType.PRODUCT, RedOpType.MIN
    MAX, BAND, BOR, BXOR = RedOpType.MAX, RedOpType.BAND, RedOpType.BOR, RedOpType.BXOR


_UFUNCS = {
    RedOpType.SUM: np.add, RedOpType.AVG: np.add, RedOpType.PRODUCT: np.multiply, RedOpType.MIN: np.minimum, RedOpType.MAX: np.maximum,
    RedOpType.BAND: np.bitwise_and, RedOpType.BOR: np.bitwise_or, RedOpType.BXOR: np.bitwise_xor,
}  # fmt: skip


class Work:
    """A call that goes on: `wait` for its results, which are not in the tensors before."""

    def __init__(self, job: Callable[[], Any], finish: Callable[[Any], None]) -> None:
        self._job, self._finish = job, finish
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._delivered = False

    def _run(self) -> None:
        try:
            self._found = self._job()
        except BaseException as error:
            self._error = error
        self._done.set()

    def is_completed(self) -> bool:
        return self._done.is_set()

    def is_success(self) -> bool:
        return self._done.is_set() and self._error is None

    def exception(self) -> BaseException | None:
        return self._error

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until the call is done, and have its results in the tensors."""
        if not self._done.wait(None if timeout is None else timeout.total_seconds()):
            raise RuntimeError("Timed out waiting for an operation to complete")
        if self._error is not None:
            raise self._error
        if not self._delivered:
            self._delivered = True
            self._finish(self._found)
        return True


def _start(job: Callable[[], Any], finish: Callable[[Any], None], async_op: bool) -> Work | None:
    if not async_op:
        finish(job())
        return None
    work = Work(job, finish)
    threading.Thread(target=work._run, daemon=True).start()
    return work


def _done(found: Any) -> None:
    """Nothing is left to do."""


# Arguments


def _check_tensor(value: Any, name: str = "tensor") -> None:
    if not isinstance(value, TensorBase):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n             but got {type(value)} instead.")


def _check_tensors(values: Any, name: str) -> None:
    if not isinstance(values, list) or not all(isinstance(value, TensorBase) for value in values):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n             but got {type(values)} instead.")


def joined(group: Any, function: str) -> ProcessGroup | None:
    """The group; None, with a warning, where this process does not belong to it."""
    if group is not GroupMember.NON_GROUP_MEMBER:
        return the_group(group)
    warnings.warn(f"Running {function} on global rank {default_group().rank()} which does not belong to the given group.", stacklevel=3)
    return None


def rank_in(group: ProcessGroup, global_rank: int | None, group_rank: int | None, what: str, function: str) -> int:
    """The rank in the group of the process that an argument names by its rank in the job, or in the group."""
    if group_rank is None and global_rank is None:
        raise ValueError(f"Must specify {what} or group_{what}")
    if group_rank is None:
        if global_rank not in group.ranks:
            raise RuntimeError(f"ProcessGroupGloo::{function}: invalid root rank: {global_rank}")
        group_rank = group.ranks.index(global_rank)
    return group_rank


def check_list(name: str, given: Any, at_root: bool, root: str) -> None:
    """The root gives a list of tensors, nobody else does."""
    if at_root and not given:
        raise ValueError(f"Argument ``{name}`` must be specified on {root} rank.")
    if given and not at_root:
        raise ValueError(f"Argument ``{name}`` must NOT be specified on non-{root} ranks.")


# Tensors as bytes


def _packed(tensor: TensorBase) -> bytes:
    return np.ascontiguousarray(array_of(tensor)).tobytes()


def _unpacked(data: bytes | bytearray, tensor: TensorBase) -> np.ndarray:
    layout = tensor._layout
    if len(data) != layout.numel * layout.dtype.itemsize:
        raise RuntimeError(f"processes disagree about the size of a tensor: {len(data)} bytes came for one of {layout.numel * layout.dtype.itemsize}")
    return np.frombuffer(data, layout.dtype.numpy).reshape(layout.shape)


def _write(tensor: Tensor, values: np.ndarray) -> None:
    with no_grad():
        tensor.detach().copy_(tensor_of_array(values))


def _write_all(tensors: Sequence[Tensor], found: Sequence[np.ndarray]) -> None:
    for tensor, values in zip(tensors, found, strict=True):
        _write(tensor, values)


def exchange(group: ProcessGroup, label: Label, parts: Sequence[bytes]) -> list[bytes | bytearray]:
    """Send ``parts[rank]`` to each process of the group, and return what each has sent here."""
    me = group.rank()
    for rank in range(me + 1, me + group.size()):
        group.send(rank % group.size(), label, parts[rank % group.size()])
    return [parts[me] if rank == me else group.receive(rank, label) for rank in range(group.size())]


def _reduced(parts: Sequence[np.ndarray], op: RedOpType) -> np.ndarray:
    total = parts[0]
    with np.errstate(all="ignore"):
        for part in parts[1:]:
            total = _UFUNCS[op](total, part)
        return (total / len(parts)).astype(parts[0].dtype) if op is RedOpType.AVG else total


def _check_op(op: Any, dtype: dt.dtype) -> None:
    if not isinstance(op, RedOpType):
        raise TypeError(f"incompatible function arguments: expected a ReduceOp, but got {op!r}")
    if op in (RedOpType.BAND, RedOpType.BOR, RedOpType.BXOR) and dtype.category >= dt.FLOAT:
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")


# One tensor


def broadcast(tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None) -> Work | None:
    """Give all processes the tensor that process `src` has."""
    _check_tensor(tensor)
    if (group := joined(group, "broadcast")) is None:
        return None
    root, label = rank_in(group, src, group_src, "src", "broadcast"), group.next_label()
    if group.rank() != root:
        return _start(lambda: _unpacked(group.receive(root, label), tensor), lambda found: _write(tensor, found), async_op)
    data = _packed(tensor)

    def job() -> None:
        for rank in range(group.size()):
            if rank != root:
                group.send(rank, label, data)

    return _start(job, _done, async_op)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Replace the tensor, in all processes, by the sum (or product, ...) of what they have."""
    _check_tensor(tensor)
    if (group := joined(group, "all_reduce")) is None:
        return None
    _check_op(op, tensor._layout.dtype)
    label, data = group.next_label(), _packed(tensor)

    def job() -> np.ndarray:
        return _reduced([_unpacked(part, tensor) for part in exchange(group, label, [data] * group.size())], op)

    return _start(job, lambda found: _write(tensor, found), async_op)


def reduce(tensor: Tensor, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False, group_dst: int | None = None) -> Work | None:
    """`all_reduce` for one process alone; in the others the tensor stays what it is."""
    _check_tensor(tensor)
    if (group := joined(group, "reduce")) is None:
        return None
    _check_op(op, tensor._layout.dtype)
    root, label, data = rank_in(group, dst, group_dst, "dst", "reduce"), group.next_label(), _packed(tensor)
    if group.rank() != root:
        return _start(lambda: group.send(root, label, data), _done, async_op)

    def job() -> np.ndarray:
        return _reduced([_unpacked(data if rank == root else group.receive(rank, label), tensor) for rank in range(group.size())], op)

    return _start(job, lambda found: _write(tensor, found), async_op)


# Lists of tensors


def _check_outputs(function: str, outputs: Sequence[Tensor], group: ProcessGroup, tensor: Tensor) -> None:
    if len(outputs) != group.size():
        raise RuntimeError(f"ProcessGroupGloo::{function}: invalid output tensor list at index 0 (expected length {group.size()}, got {len(outputs)})")
    for output in outputs:
        if output._layout.shape != tensor._layout.shape:
            have, want = (f"({', '.join(map(str, t._layout.shape))})" for t in (output, tensor))
            raise RuntimeError(f"ProcessGroupGloo::{function}: invalid tensor size at index 0 (expected {want}, got {have})")


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Give each process the tensors of all, in the order of their ranks."""
    _check_tensors(tensor_list, "tensor_list")
    _check_tensor(tensor)
    if (group := joined(group, "all_gather")) is None:
        return None
    _check_outputs("allgather", tensor_list, group, tensor)
    return _all_to_all(group, [tensor] * group.size(), tensor_list, async_op)


def all_gather_into_tensor(output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """`all_gather` into parts of one tensor."""
    _check_tensor(input_tensor, "input_tensor")
    _check_tensor(output_tensor, "output_tensor")
    if (group := joined(group, "all_gather_into_tensor")) is None:
        return None
    return _all_to_all(group, [input_tensor] * group.size(), _parts(output_tensor, input_tensor, group), async_op)


def _parts(whole: Tensor, part: Tensor, group: ProcessGroup) -> list[Tensor]:
    """`whole` as as many tensors as there are processes, each like `part`."""
    if whole._layout.numel != part._layout.numel * group.size():
        raise ValueError("output tensor size must be equal to world_size times input tensor size")
    return list(whole.detach().view(group.size(), *part._layout.shape).unbind(0))


def _all_to_all(group: ProcessGroup, sent: Sequence[Tensor], received: Sequence[Tensor], async_op: bool) -> Work | None:
    label, data = group.next_label(), [_packed(tensor) for tensor in sent]

    def job() -> list[np.ndarray]:
        return [_unpacked(part, tensor) for part, tensor in zip(exchange(group, label, data), received, strict=True)]

    return _start(job, lambda found: _write_all(received, found), async_op)


def all_to_all(output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Any = None, async_op: bool = False) -> Work | None:
    """Send one tensor of a list to each process, and receive one from each."""
    _check_tensors(output_tensor_list, "output_tensor_list")
    _check_tensors(input_tensor_list, "input_tensor_list")
    if (group := joined(group, "all_to_all")) is None:
        return None
    return _all_to_all(group, input_tensor_list, output_tensor_list, async_op)


def all_to_all_single(output: Tensor, input: Tensor, output_split_sizes: list[int] | None = None, input_split_sizes: list[int] | None = None, group: Any = None, async_op: bool = False) -> Work | None:
    """`all_to_all` of parts of one tensor along its first dim: equal ones, unless their sizes are given."""
    _check_tensor(output, "output")
    _check_tensor(input, "input")
    if (group := joined(group, "all_to_all_single")) is None:
        return None
    cuts = [sizes or tensor._layout.shape[0] // group.size() for tensor, sizes in ((output, output_split_sizes), (input, input_split_sizes))]
    return _all_to_all(group, input.detach().split(cuts[1]), output.detach().split(cuts[0]), async_op)


def gather(tensor: Tensor, gather_list: list[Tensor] | None = None, dst: int | None = None, group: Any = None, async_op: bool = False, group_dst: int | None = None) -> Work | None:
    """Give process `dst` (0) the tensors of all."""
    _check_tensor(tensor)
    if (group := joined(group, "gather")) is None:
        return None
    root = rank_in(group, group.ranks[0] if dst is None else dst, group_dst, "dst", "gather")
    check_list("gather_list", gather_list, group.rank() == root, "destination")
    if gather_list:
        _check_outputs("gather", gather_list, group, tensor)
    label, data = group.next_label(), _packed(tensor)
    if not gather_list:
        return _start(lambda: group.send(root, label, data), _done, async_op)

    def job() -> list[np.ndarray]:
        return [_unpacked(data if rank == root else group.receive(rank, label), out) for rank, out in enumerate(gather_list)]

    return _start(job, lambda found: _write_all(gather_list, found), async_op)


def scatter(tensor: Tensor, scatter_list: list[Tensor] | None = None, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None) -> Work | None:
    """Give each process one of the tensors that process `src` (0) has."""
    _check_tensor(tensor)
    if (group := joined(group, "scatter")) is None:
        return None
    root = rank_in(group, group.ranks[0] if src is None else src, group_src, "src", "scatter")
    check_list("scatter_list", scatter_list, group.rank() == root, "source")
    label, data = group.next_label(), [_packed(part) for part in scatter_list or ()]

    def job() -> np.ndarray:
        if not data:
            return _unpacked(group.receive(root, label), tensor)
        for rank in range(group.size()):
            if rank != root:
                group.send(rank, label, data[rank])
        return _unpacked(data[root], tensor)

    return _start(job, lambda found: _write(tensor, found), async_op)


def reduce_scatter(output: Tensor, input_list: list[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Reduce a list of tensors over the processes, and give each process one of the results."""
    _check_tensor(output, "output")
    _check_tensors(input_list, "input_list")
    if (group := joined(group, "reduce_scatter")) is None:
        return None
    _check_op(op, output._layout.dtype)
    label, data = group.next_label(), [_packed(part) for part in input_list]

    def job() -> np.ndarray:
        return _reduced([_unpacked(part, output) for part in exchange(group, label, data)], op)

    return _start(job, lambda found: _write(output, found), async_op)


def reduce_scatter_tensor(output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """`reduce_scatter` of parts of one tensor."""
    _check_tensor(output, "output")
    _check_tensor(input, "input")
    if (group := joined(group, "reduce_scatter_tensor")) is None:
        return None
    return reduce_scatter(output, _parts(input, output, group), op, group, async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes of the group have come here."""
    if (group := joined(group, "barrier")) is None:
        return None
    label = group.next_label()
    return _start(lambda: exchange(group, label, [b""] * group.size()), _done, async_op)


def monitored_barrier(group: Any = None, timeout: timedelta | None = None, wait_all_ranks: bool = False) -> None:
    """`barrier`."""
    barrier(group)


# From one process to another


def _check_peer(group: ProcessGroup, peer: int, what: str) -> None:
    if group.ranks[peer] == group.mesh.rank:
        raise ValueError(f"Invalid {what} rank: {what} rank should not be the same as the rank of the current process.")


def isend(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> Work | None:
    """`send` that goes on."""
    _check_tensor(tensor)
    if (group := joined(group, "isend")) is None:
        return None
    peer = rank_in(group, dst, group_dst, "dst", "send")
    _check_peer(group, peer, "destination")
    data = _packed(tensor)
    return _start(lambda: group.send(peer, (group.number, POINT_TO_POINT, tag), data), _done, True)


def send(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send a tensor to process `dst`."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def _receive(tensor: Tensor, src: int | None, group: ProcessGroup, tag: int, group_src: int | None) -> Work:
    """A receipt under way, which notes the rank of the process that has sent."""
    if src is None and group_src is None:
        peers = [rank for rank in group.ranks if rank != group.mesh.rank]
    else:
        peer = rank_in(group, src, group_src, "src", "recv")
        _check_peer(group, peer, "source")
        peers = [group.ranks[peer]]
    label = group.number, POINT_TO_POINT, tag
    work: Any = _start(lambda: group.mesh.receive(peers, label, group.timeout.total_seconds()), lambda found: _take(work, tensor, found), True)
    return work  # type: ignore[no-any-return]


def _take(work: Any, tensor: Tensor, found: tuple[int, bytes]) -> None:
    work.source = found[0]
    _write(tensor, _unpacked(found[1], tensor))


def irecv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> Work | None:
    """`recv` that goes on."""
    _check_tensor(tensor)
    if (group := joined(group, "irecv")) is None:
        return None
    return _receive(tensor, src, group, tag, group_src)


def recv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive a tensor from process `src`, or from any when None; returns the sender's rank."""
    _check_tensor(tensor)
    if (group := joined(group, "irecv")) is None:
        return -1
    work: Any = _receive(tensor, src, group, tag, group_src)
    work.wait()
    return int(work.source)


class P2POp(NamedTuple):
    """One of the transfers of `batch_isend_irecv`: `isend` or `irecv`, a tensor, and the other process."""

    op: Callable[..., Work | None]
    tensor: Tensor
    peer: int | None = None
    group: Any = None
    tag: int = 0
    group_peer: int | None = None


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Start several transfers."""
    works = [each.op(each.tensor, each.peer, each.group, each.tag, each.group_peer) for each in p2p_op_list]
    return [work for work in works if work is not None]
