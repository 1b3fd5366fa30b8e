"""`torch.distributed`: processes that work together, over TCP (PyTorch's "gloo").

A job's processes find each other (`init_process_group`), and then exchange tensors and objects by collectives, such as `all_reduce`.
`nn.parallel.DistributedDataParallel` trains a model in all of them.
"""

from __future__ import annotations

import os

from .collectives import (
    P2POp as P2POp,
    ReduceOp as ReduceOp,
    Work as Work,
    all_gather as all_gather,
    all_gather_into_tensor as all_gather_into_tensor,
    all_reduce as all_reduce,
    all_to_all as all_to_all,
    all_to_all_single as all_to_all_single,
    barrier as barrier,
    batch_isend_irecv as batch_isend_irecv,
    broadcast as broadcast,
    gather as gather,
    irecv as irecv,
    isend as isend,
    monitored_barrier as monitored_barrier,
    recv as recv,
    reduce as reduce,
    reduce_scatter as reduce_scatter,
    reduce_scatter_tensor as reduce_scatter_tensor,
    scatter as scatter,
    send as send,
)
from .errors import (
    DistBackendError as DistBackendError,
    DistError as DistError,
    DistNetworkError as DistNetworkError,
    DistStoreError as DistStoreError,
    QueueEmptyError as QueueEmptyError,
)
from .groups import (
    Backend as Backend,
    GroupMember as GroupMember,
    ProcessGroup as ProcessGroup,
    destroy_process_group as destroy_process_group,
    get_backend as get_backend,
    get_global_rank as get_global_rank,
    get_group_rank as get_group_rank,
    get_node_local_rank as get_node_local_rank,
    get_process_group_ranks as get_process_group_ranks,
    get_rank as get_rank,
    get_world_size as get_world_size,
    group as group,
    init_process_group as init_process_group,
    is_initialized as is_initialized,
    new_group as new_group,
)
from .objects import (
    all_gather_object as all_gather_object,
    broadcast_object_list as broadcast_object_list,
    gather_object as gather_object,
    scatter_object_list as scatter_object_list,
)
from .store import TIMEOUT as default_pg_timeout, TCPStore as TCPStore

__all__ = ["default_pg_timeout"]


class GroupName:
    """The type of a process group's name, for annotations."""


def is_available() -> bool:
    """Whether processes can work together.

    >>> torch.distributed.is_available()
    True
    """
    return True


def is_gloo_available() -> bool:
    """Whether processes can work together over TCP."""
    return True


def is_nccl_available() -> bool:
    """Whether processes can work together over NVIDIA's library: there are no GPUs here."""
    return False


def is_mpi_available() -> bool:
    """Whether processes can work together over MPI."""
    return False


def is_ucc_available() -> bool:
    """Whether processes can work together over UCC."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether a backend of this name is here."""
    return backend.lower() == "gloo"


def is_torchelastic_launched() -> bool:
    """Whether PyTorch's launcher has started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None
