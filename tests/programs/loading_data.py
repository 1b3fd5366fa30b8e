import warnings

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import *

torch.manual_seed(0)
np.random.seed(0)


def show(*fs):
    for f in fs:
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__, ":", str(e)[:300])


X, Y = torch.arange(20.0).view(10, 2), torch.arange(10) % 3
ds = TensorDataset(X, Y)
print(len(ds), ds[3], ds[:2])
for xb, yb in DataLoader(ds, batch_size=4, shuffle=True, drop_last=True):
    print(xb.tolist(), yb)
g = torch.Generator().manual_seed(5)
print([b[1].tolist() for b in DataLoader(ds, 3, shuffle=True, generator=g)])
w = 1.0 / torch.bincount(Y).float()
s = WeightedRandomSampler(w[Y], 10, replacement=True)
print(list(s))
print([y.tolist() for _, y in DataLoader(ds, batch_size=5, sampler=s)])
print(
    list(BatchSampler(SequentialSampler(ds), 3, False)),
    list(SubsetRandomSampler([1, 5, 7])),
    list(RandomSampler(ds, num_samples=4)),
)


class Seq(Dataset):
    def __getitem__(self, i):
        return {"x": np.arange(i + 1, dtype=np.float32), "n": i, "s": f"item{i}", "t": (i, float(i))}

    def __len__(self):
        return 5


def collate(b):
    return pad_sequence([torch.from_numpy(d["x"]) for d in b], batch_first=True), torch.tensor([len(d["x"]) for d in b])


for a, l in DataLoader(Seq(), 2, collate_fn=collate, num_workers=2):
    print(a, l)


class D2(Seq):
    def __getitem__(self, i):
        d = super().__getitem__(i)
        d["x"] = np.ones(2) * i
        return d


print(next(iter(DataLoader(D2(), 2))))
print(default_collate([{"a": 1, "b": [1.0, 2]}, {"a": 2, "b": [3.0, 4]}]))
show(
    lambda: next(iter(DataLoader(Seq(), 2))),
    lambda: DataLoader(ds, batch_size=0),
    lambda: DataLoader(ds, shuffle=True, sampler=s),
    lambda: random_split(ds, [3, 3]),
    lambda: [len(a) for a in random_split(ds, [0.5, 0.25, 0.25])],
    lambda: len(ConcatDataset([ds, ds])),
    lambda: ConcatDataset([ds, ds])[12],
    lambda: Subset(ds, [1, 2])[1],
    lambda: TensorDataset(X, Y[:3]),
    lambda: default_collate([object()]),
    lambda: len(DataLoader(ds, 3)),
    lambda: DataLoader(ds, num_workers=-1),
    lambda: next(iter(DataLoader([1, 2, None]))),
    lambda: [b for b in DataLoader([1, None], batch_size=2)],
)


class It(IterableDataset):
    def __init__(s, a, b):
        s.a, s.b = a, b

    def __iter__(s):
        info = get_worker_info()
        a, b = s.a, s.b
        if info is not None:
            per = (b - a) // info.num_workers
            a = a + info.id * per
            b = a + per
        return iter(range(a, b))


print(list(DataLoader(It(0, 6), batch_size=2)), list(DataLoader(It(0, 8), num_workers=2, batch_size=2)))


def winit(i):
    np.random.seed(i)


class R(Dataset):
    def __len__(s):
        return 4

    def __getitem__(s, i):
        return np.random.randint(100), torch.randint(100, (1,)).item()


print([b for b in DataLoader(R(), num_workers=2, worker_init_fn=winit)])


class Bad(Dataset):
    def __len__(s):
        return 3

    def __getitem__(s, i):
        raise ValueError("bad item %d" % i)


try:
    list(DataLoader(Bad(), num_workers=1))
except ValueError as e:
    print(str(e).splitlines()[0])
torch.manual_seed(1)
a = torch.rand(2)
st = torch.get_rng_state()
b = torch.rand(2)
torch.set_rng_state(st)
print(torch.equal(b, torch.rand(2)), a)
with torch.random.fork_rng():
    torch.manual_seed(3)
    print(torch.rand(1))
print(
    torch.rand(1),
    torch.randperm(6),
    torch.randint(0, 5, (3,)),
    torch.normal(0.0, 1.0, (2,)),
    torch.rand(2, dtype=torch.float64),
    torch.empty(3).exponential_(),
    torch.empty(2).log_normal_(),
    torch.empty(2).geometric_(0.3),
    torch.poisson(torch.ones(3) * 4),
    torch.empty(2).cauchy_(),
    torch.randn(3, generator=torch.Generator().manual_seed(2)),
    torch.nn.functional.gumbel_softmax(torch.zeros(3)),
    torch.rand_like(X[0]),
    torch.bernoulli(torch.tensor(0.4)),
    torch.nn.functional.dropout(torch.ones(5), 0.5),
    torch.randint_like(Y, 10),
)
with warnings.catch_warnings(record=True) as ws:
    warnings.simplefilter("always")
    torch.nn.functional.softmax(torch.ones(2))
    torch.tensor(torch.ones(1))
    torch.nn.functional.mse_loss(torch.ones(2, 1), torch.ones(2))
    torch.from_numpy(np.broadcast_to(np.ones(2), (2, 2)))
    torch.nn.LSTM(1, 1, dropout=0.5)
    torch.ones(2, 3).T
    o = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    sc = torch.optim.lr_scheduler.StepLR(o, 1)
    sc.step()
    x = torch.ones(1, requires_grad=True)
    (x * 2).grad
    torch.nn.functional.sigmoid(x)
    torch.nn.functional.tanh(x)
    torch.nn.functional.interpolate(torch.ones(1, 1, 2, 2), scale_factor=2, mode="bilinear")
    torch.nn.KLDivLoss()(torch.ones(2), torch.ones(2))
    torch.ones(2).__array__()
    np.asarray([torch.ones(1)])
    torch.nn.init.zeros_(torch.empty(0))
    torch.nn.Linear(0, 2)
    torch.nn.functional.l1_loss(torch.ones(2, 1), torch.ones(2))
    torch.floor_divide(torch.ones(1), 2)
    torch.symeig if hasattr(torch, "symeig") else 0
    torch.nn.utils.clip_grad_norm([x], 1.0)
    torch.nn.init.uniform(torch.empty(1))
    torch.range(0, 3)
for q in ws:
    print(q.category.__name__, str(q.message)[:160])
