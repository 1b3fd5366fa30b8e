"""Process groups: which processes work together, and how those of the whole job find each other."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from .mesh import Label, Mesh
from .store import TIMEOUT, TCPStore

COLLECTIVE, POINT_TO_POINT = range(2)


class ProcessGroup:
    """Some processes of the job, each known by its rank here and by its rank in the job."""

    def __init__(self, mesh: Mesh, number: int, ranks: Sequence[int], timeout: timedelta, desc: str) -> None:
        self.mesh, self.number, self.ranks, self.timeout = mesh, number, list(ranks), timeout
        self.group_desc = desc
        self._calls = 0

    def rank(self) -> int:
        return self.ranks.index(self.mesh.rank)

    def size(self) -> int:
        return len(self.ranks)

    def name(self) -> str:
        return "gloo"

    @property
    def group_name(self) -> str:
        return str(self.number)

    def next_label(self) -> Label:
        """The label of the next collective: all processes make the same calls in the same order."""
        self._calls += 1
        return self.number, COLLECTIVE, self._calls

    def send(self, rank: int, label: Label, data: bytes) -> None:
        """Send to a process by its rank in this group."""
        self.mesh.send(self.ranks[rank], label, data)

    def receive(self, rank: int, label: Label) -> bytes | bytearray:
        return self.mesh.receive([self.ranks[rank]], label, self.timeout.total_seconds())[1]


class GroupMember:
    """What stands for a group: the whole job, or a group that this process is not in."""

    WORLD: ClassVar[Any] = None
    NON_GROUP_MEMBER: ClassVar[Any] = -100


class _World:
    """The groups of this process."""

    default: ProcessGroup | None = None
    count = 0


class group:  # noqa: N801
    """`group.WORLD`: the default process group, or None."""

    WORLD: ClassVar[Any] = None


class Backend(str):
    """The name of a backend, in lower case."""

    UNDEFINED = "undefined"
    GLOO = "gloo"
    NCCL = "nccl"
    MPI = "mpi"
    UCC = "ucc"
    backend_list: ClassVar[list[str]] = ["undefined", "gloo", "nccl", "xccl", "ucc", "mpi", "fake"]

    def __new__(cls, name: str) -> Backend:
        return str.__new__(cls, name.lower())


def is_initialized() -> bool:
    """Whether the default process group is there.

    >>> torch.distributed.is_initialized()
    False
    """
    return _World.default is not None


def default_group() -> ProcessGroup:
    if _World.default is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return _World.default


def the_group(wanted: Any) -> ProcessGroup:
    """The group that an argument names; None is the default one."""
    return default_group() if wanted is None else wanted


def _check_backend(backend: str | None) -> None:
    names = [part.partition(":")[2] or part for part in (backend or "gloo").lower().split(",")]
    for name in names:
        if name in ("nccl", "mpi", "ucc", "xccl"):
            if "gloo" not in names:
                raise RuntimeError(f"Distributed package doesn't have {name.upper()} built in")
        elif name != "gloo":
            raise ValueError(f"Unknown c10d backend type {name.upper()}")


def _from_environment(name: str, given: int, unset: int = -1) -> int:
    if given != unset:
        return given
    if name not in os.environ:
        raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set")
    return int(os.environ[name])


def _through_file(path: str, rank: int, world_size: int, timeout: timedelta) -> TCPStore:
    """The first process writes to the file where its store is."""
    if rank == 0:
        store = TCPStore("127.0.0.1", 0, world_size, True, timeout, wait_for_workers=False)
        with open(path + ".new", "w") as file:
            file.write(str(store.port))
        os.replace(path + ".new", path)
        return store
    until = time.monotonic() + timeout.total_seconds()
    while not (os.path.exists(path) and os.path.getsize(path)):
        if time.monotonic() > until:
            raise RuntimeError(f"Timed out waiting for {path}")
        time.sleep(0.02)
    with open(path) as file:
        return TCPStore("127.0.0.1", int(file.read()), world_size, False, timeout, wait_for_workers=False)


def _rendezvous(method: str, rank: int, world_size: int, timeout: timedelta) -> tuple[TCPStore, int, int]:
    scheme, _, rest = method.partition("://")
    if scheme == "env":
        rank, world_size = _from_environment("RANK", rank), _from_environment("WORLD_SIZE", world_size)
        if "MASTER_ADDR" not in os.environ:
            raise ValueError("Error initializing torch.distributed using env:// rendezvous: environment variable MASTER_ADDR expected, but not set")
        host, port = os.environ["MASTER_ADDR"], _from_environment("MASTER_PORT", -1)
    elif scheme in ("tcp", "file"):
        for name, value in (("rank", rank), ("world size", world_size)):
            if value < 0:
                raise ValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: {name} parameter missing")
        if scheme == "file":
            return _through_file(rest, rank, world_size, timeout), rank, world_size
        host, _, number = rest.partition("/")[0].rpartition(":")
        if not host or not number.isdigit():
            raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
        port = int(number)
    else:
        raise RuntimeError(f"No rendezvous handler for {scheme}://")
    return TCPStore(host, port, world_size, rank == 0, timeout, wait_for_workers=False), rank, world_size


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None, world_size: int = -1, rank: int = -1, store: TCPStore | None = None, group_name: str = "", pg_options: Any = None, device_id: Any = None) -> None:
    """Have this process take part in a job of `world_size` processes, as number `rank`.

    They find each other by the environment (``MASTER_ADDR``, ``MASTER_PORT``, ``RANK``, ``WORLD_SIZE``), or by an `init_method`
    ``tcp://host:port`` or ``file:///path``, or by a `store`. The one backend is "gloo": processes on CPUs, over TCP.

    >>> store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    >>> torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> torch.distributed.get_world_size()
    1
    >>> torch.distributed.destroy_process_group()
    """
    if _World.default is not None:
        raise ValueError("trying to initialize the default process group twice!")
    _check_backend(backend)
    timeout = TIMEOUT if timeout is None else timeout
    if store is not None:
        if rank < 0 or world_size < 1:
            raise ValueError("world_size and rank must be positive if using store")
    else:
        store, rank, world_size = _rendezvous(init_method or "env://", rank, world_size, timeout)
    _World.count = 0
    _set_default(ProcessGroup(Mesh(store, rank, world_size), 0, range(world_size), timeout, "default_pg"))


def _set_default(found: ProcessGroup | None) -> None:
    _World.default = GroupMember.WORLD = group.WORLD = found


def new_group(ranks: Sequence[int] | None = None, timeout: timedelta | None = None, backend: str | None = None, pg_options: Any = None, use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None) -> Any:
    """A group of some of the processes. All processes of the job call this, in the same order, also those that are not in it."""
    world = default_group()
    wanted = sorted(range(world.size()) if ranks is None else ranks)
    if len(wanted) > world.size():
        raise ValueError("the new group's world size should be less or equal to the world size set by init_process_group")
    for rank in wanted:
        if not 0 <= rank < world.size():
            raise ValueError(f"Rank {rank} is out of range. Valid ranks are 0 to {world.size() - 1} (world_size={world.size()})")
    _World.count += 1
    if world.mesh.rank not in wanted:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(world.mesh, _World.count, wanted, world.timeout if timeout is None else timeout, group_desc or "undefined")


def destroy_process_group(group: Any = None) -> None:
    """Leave a group, or the job when None."""
    if group is None and _World.default is None:
        raise AssertionError("Process group cannot be None")
    if group is None or group is _World.default:
        default_group().mesh.close()
        _set_default(None)


def get_rank(group: Any = None) -> int:
    """The rank of this process in a group; -1 if it is not in it."""
    default_group()
    return -1 if group is GroupMember.NON_GROUP_MEMBER else the_group(group).rank()


def get_world_size(group: Any = None) -> int:
    """How many processes are in a group; -1 if this one is not in it."""
    default_group()
    return -1 if group is GroupMember.NON_GROUP_MEMBER else the_group(group).size()


def get_backend(group: Any = None) -> Backend:
    """The name of a group's backend."""
    return Backend(the_group(group).name())


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The ranks in the job of a group's processes."""
    return list(the_group(group).ranks)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The rank in `group` of a process that the job knows as `global_rank`."""
    if global_rank not in group.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return group.ranks.index(global_rank)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank in the job of a process that `group` knows as `group_rank`."""
    if not 0 <= group_rank < group.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return group.ranks[group_rank]


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The rank among the processes of this machine, as the launcher gave it."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work, assuming you are not running in a multi-device context and want the code to run locally instead.")
