"""`torch.distributed` and `DistributedDataParallel`: three processes do together what PyTorch's did when the values here were recorded."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
from rushlight import distributed as dist, multiprocessing as mp, nn
from rushlight.nn.parallel import DistributedDataParallel
from rushlight.utils.data import DataLoader, DistributedSampler, TensorDataset

RANKS = 3


class Branches(nn.Module):
    """Uses one of its layers, or two; never the third."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Any, short: bool) -> Any:
        return self.first(x) if short else self.first(self.second(x))


def collectives(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("SUM", "PRODUCT", "MIN", "MAX", "AVG"):
        for dtype in (torch.float32, torch.bfloat16, torch.int32):
            if name != "AVG" or dtype.is_floating_point:
                values = torch.tensor([1, 2, 3], dtype=dtype) * (rank + 1)
                dist.all_reduce(values, op=getattr(dist.ReduceOp, name))
                found[f"{name} {dtype}"] = values.tolist()
    bits = torch.tensor([1, 2, 3]) + rank
    dist.all_reduce(bits, op=dist.ReduceOp.BOR)
    found["BOR"] = bits.tolist()
    square = torch.full((2, 2), float(rank)).t()
    dist.broadcast(square, 2)
    found["broadcast"] = square.tolist()
    parts = [torch.zeros(2) for _ in range(RANKS)]
    dist.all_gather(parts, torch.tensor([rank, rank * 2.0]))
    found["all_gather"] = [part.tolist() for part in parts]
    whole = torch.zeros(2 * RANKS)
    dist.all_gather_into_tensor(whole, torch.tensor([rank, 1.0]))
    found["all_gather_into_tensor"] = whole.tolist()
    collected = [torch.zeros(1) for _ in range(RANKS)] if rank == 1 else None
    dist.gather(torch.tensor([rank + 0.5]), collected, dst=1)
    found["gather"] = collected and [part.tolist() for part in collected]
    one = torch.zeros(2)
    dist.scatter(one, [torch.full((2,), float(n)) for n in range(RANKS)] if rank == 0 else None, src=0)
    found["scatter"] = one.tolist()
    total = torch.ones(2) * rank
    dist.reduce(total, 0)
    found["reduce"] = total.tolist()
    dist.reduce_scatter(one, [torch.ones(2) * (rank + n) for n in range(RANKS)])
    found["reduce_scatter"] = one.tolist()
    crossed = torch.zeros(RANKS)
    dist.all_to_all_single(crossed, torch.arange(float(RANKS)) + rank * 10)
    found["all_to_all_single"] = crossed.tolist()
    later = torch.ones(3) * rank
    work = dist.all_reduce(later, async_op=True)
    assert work is not None and work.wait() and work.is_completed()
    found["async"] = later.tolist()
    return found


def transfers(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    values = torch.zeros(2)
    if rank == 0:
        dist.send(torch.tensor([3.0, 4.0]), 1)
        dist.send(torch.tensor([5.0, 6.0]), 2, tag=5)
    else:
        found["sender"] = dist.recv(values, 0 if rank == 1 else None, tag=0 if rank == 1 else 5)
    found["received"] = values.tolist()
    around = torch.zeros(1)
    sent, received = dist.isend(torch.tensor([float(rank)]), (rank + 1) % RANKS), dist.irecv(around, (rank - 1) % RANKS)
    assert sent is not None and received is not None
    sent.wait()
    received.wait()
    found["around"] = around.item()
    gathered: list[Any] = [None] * RANKS
    dist.all_gather_object(gathered, {"rank": rank})
    objects = ["x", rank] if rank == 0 else [None, None]
    dist.broadcast_object_list(objects, 0)
    own: list[Any] = [None]
    dist.scatter_object_list(own, ["a", "b", "c"] if rank == 0 else None, 0)
    found["objects"] = [gathered, objects, own]
    found["lists"] = []
    for call in (lambda: dist.gather(values, [values] if rank else None), lambda: dist.scatter(values, [values] if rank else None), lambda: dist.gather_object(1, [None] if rank else None)):
        with pytest.raises(ValueError) as caught:
            call()
        found["lists"].append(str(caught.value))
    outer = dist.new_group([0, 2])
    found["outside"] = []
    if rank == 1:
        for call in (lambda: dist.all_reduce(values, group=outer), lambda: dist.recv(values, 0, outer), lambda: dist.gather_object(1, group=outer)):
            with pytest.warns(UserWarning) as warned:
                found["outside"].append([call(), str(warned[0].message).split()[1]])
    found["outer"] = [dist.get_rank(outer), dist.get_world_size(outer)]
    if rank != 1:
        ranks = torch.ones(1) * rank
        dist.all_reduce(ranks, group=outer)
        found["outer"].append(ranks.item())
    return found


def training(rank: int) -> dict[str, Any]:
    torch.manual_seed(rank)
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    model = DistributedDataParallel(module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(7)
    data = torch.randn(30, 4)
    dataset = TensorDataset(data, (data.sum(1) > 0).long())
    sampler = DistributedSampler(dataset, shuffle=True)
    losses = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for n, (inputs, targets) in enumerate(DataLoader(dataset, 5, sampler=sampler)):
            if n == 0:
                with model.no_sync():
                    nn.functional.cross_entropy(model(inputs), targets).backward()
                continue
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(round(loss.item(), 3))
    found: dict[str, Any] = {"losses": losses, "sums": [round(p.sum().item(), 3) for p in model.parameters()], "keys": list(model.state_dict())[:2]}
    found["running mean"] = [round(v, 3) for v in module[1].running_mean[:2].tolist()]
    torch.manual_seed(0)
    branches = DistributedDataParallel(Branches(), find_unused_parameters=True)
    branches(torch.ones(1, 2), rank == 0).sum().backward()
    found["branches"] = [None if p.grad is None else round(p.grad.sum().item(), 3) for p in branches.parameters()]
    return found


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60))
    found = {**collectives(rank), **transfers(rank), **training(rank)}
    dist.barrier()
    dist.destroy_process_group()
    Path(folder, str(rank)).write_text(json.dumps(found))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("job")
    mp.spawn(work, args=(str(folder),), nprocs=RANKS)
    return [json.loads((folder / str(rank)).read_text()) for rank in range(RANKS)]


EVERYWHERE = {
    "SUM torch.float32": [6.0, 12.0, 18.0], "SUM torch.bfloat16": [6.0, 12.0, 18.0], "SUM torch.int32": [6, 12, 18],
    "PRODUCT torch.float32": [6.0, 48.0, 162.0], "PRODUCT torch.bfloat16": [6.0, 48.0, 162.0], "PRODUCT torch.int32": [6, 48, 162],
    "MIN torch.float32": [1.0, 2.0, 3.0], "MAX torch.int32": [3, 6, 9], "AVG torch.float32": [2.0, 4.0, 6.0], "AVG torch.bfloat16": [2.0, 4.0, 6.0],
    "BOR": [3, 7, 7], "broadcast": [[2.0, 2.0], [2.0, 2.0]], "all_gather": [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]],
    "all_gather_into_tensor": [0.0, 1.0, 1.0, 1.0, 2.0, 1.0], "async": [3.0, 3.0, 3.0],
    "sums": [-0.665, -0.768, 7.961, -0.008, 0.185, -0.208], "keys": ["module.0.weight", "module.0.bias"],
    "branches": [1.758, 2.0, -0.971, -0.486, None, None],
}  # fmt: skip
BY_RANK = {
    "gather": [None, [[0.5], [1.5], [2.5]], None],
    "scatter": [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]],
    "reduce_scatter": [[3.0, 3.0], [6.0, 6.0], [9.0, 9.0]],
    "all_to_all_single": [[0.0, 10.0, 20.0], [1.0, 11.0, 21.0], [2.0, 12.0, 22.0]],
    "sender": [None, 0, 0],
    "received": [[0.0, 0.0], [3.0, 4.0], [5.0, 6.0]],
    "around": [2.0, 0.0, 1.0],
    "objects": [[[{"rank": 0}, {"rank": 1}, {"rank": 2}], ["x", 0], [letter]] for letter in "abc"],
    "lists": [
        ["Argument ``gather_list`` must be specified on destination rank.", "Argument ``scatter_list`` must be specified on source rank.", "Argument ``gather_list`` must be specified on destination rank."],
        *[["Argument ``gather_list`` must NOT be specified on non-destination ranks.", "Argument ``scatter_list`` must NOT be specified on non-source ranks.", "Argument ``gather_list`` must NOT be specified on non-destination ranks."]] * 2,
    ],
    "outside": [[], [[None, "all_reduce"], [-1, "irecv"], [None, "gather_object"]], []],
    "running mean": [[-0.112, -0.091], [-0.134, -0.082], [-0.089, -0.113]],
    "outer": [[0, 2, 2.0], [-1, -1], [1, 2, 2.0]],
}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_all_processes_have_pytorchs_result(results: list[dict[str, Any]], name: str) -> None:
    assert [found[name] for found in results] == [EVERYWHERE[name]] * RANKS


@pytest.mark.parametrize("name", BY_RANK)
def test_each_process_has_pytorchs_result(results: list[dict[str, Any]], name: str) -> None:
    assert [found.get(name) for found in results] == BY_RANK[name]


def test_losses_are_those_of_each_process_own_data(results: list[dict[str, Any]]) -> None:
    assert results[1]["losses"] == [0.866, 0.726]
    assert results[0]["reduce"] == [3.0, 3.0]


def _without_a_rank() -> None:
    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:1")


ERRORS = {
    "no group": (lambda: dist.all_reduce(torch.ones(1)), ValueError, "Default process group has not been initialized, please make sure to call init_process_group."),
    "rank": (_without_a_rank, ValueError, "Error initializing torch.distributed using tcp:// rendezvous: rank parameter missing"),
    "method": (lambda: dist.init_process_group(init_method="foo://"), RuntimeError, "No rendezvous handler for foo://"),
    "nccl": (lambda: dist.init_process_group("nccl", rank=0, world_size=1), RuntimeError, "Distributed package doesn't have NCCL built in"),
    "destroy": (lambda: dist.destroy_process_group(), AssertionError, "Process group cannot be None"),
    "sampler": (lambda: DistributedSampler(TensorDataset(torch.ones(2))), ValueError, "Default process group has not been initialized, please make sure to call init_process_group."),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_before_there_is_a_group(name: str) -> None:
    call, kind, message = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_the_environment_says_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="environment variable RANK expected, but not set"):
        dist.init_process_group("gloo")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)
    dist.init_process_group("gloo")
    try:
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend(), dist.is_initialized()) == (0, 1, "gloo", True)
        assert dist.get_process_group_ranks(dist.group.WORLD) == [0]
        with pytest.raises(ValueError, match="twice"):
            dist.init_process_group("gloo")
        with pytest.raises(RuntimeError, match="invalid root rank: 1"):
            dist.broadcast(torch.ones(1), 1)
        with pytest.raises(RuntimeError, match=r"invalid tensor size at index 0 \(expected \(3\), got \(2\)\)"):
            dist.all_gather([torch.ones(2)], torch.ones(3))
        with pytest.raises(RuntimeError, match="Cannot use ReduceOp.BAND with non-integral dtype"):
            dist.all_reduce(torch.ones(1), op=dist.ReduceOp.BAND)
        with pytest.raises(RuntimeError, match="doesn't have any parameter that requires a gradient"):
            DistributedDataParallel(nn.ReLU())
        model = DistributedDataParallel(Branches())
        model(torch.ones(1, 2), True).sum().backward()
        with pytest.raises(RuntimeError, match="Expected to have finished reduction in the prior iteration"):
            model(torch.ones(1, 2), True)
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()


def test_a_store_counts_waits_and_forgets() -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=0.05))
    store.set("key", "value")
    assert (store.get("key"), store.add("count", 2), store.add("count", 3), store.num_keys()) == (b"value", 2, 5, 2)
    assert store.check(["key", "count"]) and store.delete_key("key") and not store.check(["key"])
    with pytest.raises(dist.DistStoreError, match="wait timeout after 50ms, keys: key"):
        store.get("key")
