import copy
import io
import os
import pickle
import tempfile
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.optim as optim

torch.manual_seed(0)
d = tempfile.mkdtemp()
path = os.path.join(d, "ck.pt")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                [("fc1", nn.Linear(4, 8)), ("bn", nn.BatchNorm1d(8)), ("act", nn.ReLU()), ("drop", nn.Dropout(0.3))]
            )
        )
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.features(x))


net = Net()
opt = optim.Adam(net.parameters(), lr=0.01)
sch = optim.lr_scheduler.CosineAnnealingLR(opt, T_max=10)
X, Y = torch.randn(32, 4), torch.randint(0, 2, (32,))
crit = nn.CrossEntropyLoss()


def steps(net, opt, sch, n):
    for _ in range(n):
        net.train()
        l = crit(net(X), Y)
        opt.zero_grad()
        l.backward()
        opt.step()
        sch.step()
    return l.item()


print(steps(net, opt, sch, 3))
torch.save(
    {
        "epoch": 3,
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": opt.state_dict(),
        "sch": sch.state_dict(),
        "rng": torch.get_rng_state(),
        "loss": 0.5,
    },
    path,
)
a = steps(net, opt, sch, 4)
ck = torch.load(path)
print(sorted(ck), ck["epoch"], ck["optimizer_state_dict"]["param_groups"], ck["sch"])
n2 = Net()
o2 = optim.Adam(n2.parameters(), lr=0.5)
s2 = optim.lr_scheduler.CosineAnnealingLR(o2, T_max=10)
print(n2.load_state_dict(ck["model_state_dict"]), o2.load_state_dict(ck["optimizer_state_dict"]))
s2.load_state_dict(ck["sch"])
torch.set_rng_state(ck["rng"])
b = steps(n2, o2, s2, 4)
print(a == b, a, s2.get_last_lr(), o2.state_dict()["state"][0].keys(), o2.state[n2.head.bias]["step"])
print({k: v.shape for k, v in net.state_dict().items()})
sd = torch.load(path, weights_only=True, map_location="cpu")["model_state_dict"]
sd2 = OrderedDict(("module." + k, v) for k, v in sd.items())
new = OrderedDict()
for k, v in sd2.items():
    new[k[7:]] = v
net.load_state_dict(new)
del new["head.bias"]
new["extra"] = torch.ones(1)
try:
    net.load_state_dict(new)
except RuntimeError as e:
    print(e)
print(net.load_state_dict(new, strict=False))
r = net.load_state_dict(new, strict=False)
print(r.missing_keys, r.unexpected_keys)
pre = {k: v for k, v in sd.items() if k in net.state_dict() and v.size() == net.state_dict()[k].size()}
m = net.state_dict()
m.update(pre)
net.load_state_dict(m)
torch.save(net, path)
try:
    torch.load(path)
except Exception as e:
    print(type(e).__name__, str(e)[:200])
n3 = torch.load(path, weights_only=False)
n3.eval()
net.eval()
print(torch.equal(n3(X), net(X)), type(n3).__name__)
n4 = copy.deepcopy(net)
n4.head.weight.data.zero_()
print(net.head.weight.abs().sum() > 0, n4.head.weight.sum())
n5 = pickle.loads(pickle.dumps(net))
print(
    torch.allclose(n5(X), net(X)),
    pickle.loads(pickle.dumps(torch.ones(2, requires_grad=True))),
    copy.copy(torch.ones(1)),
)
buf = io.BytesIO()
torch.save(torch.arange(3), buf)
buf.seek(0)
print(torch.load(buf))
torch.save([torch.ones(1), "a", {"k": (1, 2)}], path)
print(torch.load(path))
try:
    torch.load("/nonexistent/x.pt")
except Exception as e:
    print(type(e).__name__, e)
v = torch.arange(6.0)[2:4]
torch.save({"v": v, "w": v}, path)
q = torch.load(path)
print(q["v"].untyped_storage().nbytes(), q["v"].data_ptr() == q["w"].data_ptr(), q["v"].storage_offset())
try:
    copy.deepcopy(torch.ones(1, requires_grad=True) * 2)
except Exception as e:
    print(type(e).__name__, e)
# freeze + param groups
for p in net.features.parameters():
    p.requires_grad = False
print([n for n, p in net.named_parameters() if p.requires_grad])
o = optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.1)
print(o)
o = optim.SGD(
    [{"params": net.features.parameters()}, {"params": net.head.parameters(), "lr": 1e-2}], lr=1e-3, momentum=0.9
)
print(o, len(o.param_groups), o.state_dict())
o.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 5})
print([g["lr"] for g in o.param_groups], o.param_groups[0].keys())
net.head = nn.Linear(8, 5)
net.features[0] = nn.Identity()
print(net)


class EMA:
    def __init__(s, m, decay):
        s.decay = decay
        s.shadow = {n: p.data.clone() for n, p in m.named_parameters() if p.requires_grad}

    def update(s, m):
        for n, p in m.named_parameters():
            if p.requires_grad:
                assert n in s.shadow
                s.shadow[n] = ((1.0 - s.decay) * p.data + s.decay * s.shadow[n]).clone()


net = Net()
ema = EMA(net, 0.9)
o = optim.Adam(net.parameters())
sw = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
for i in range(3):
    o.zero_grad()
    crit(net(X), Y).backward()
    o.step()
    ema.update(net)
    sw.update_parameters(net)
print(ema.shadow["head.bias"], sw.module.head.bias, sw.n_averaged)


class EarlyStopping:
    def __init__(s, patience=2, delta=0):
        s.p, s.d, s.c, s.best, s.stop = patience, delta, 0, None, False

    def __call__(s, v, m):
        if s.best is None or v < s.best - s.d:
            s.best = v
            torch.save(m.state_dict(), path)
            s.c = 0
        else:
            s.c += 1
            print(f"EarlyStopping counter: {s.c} out of {s.p}")
            s.stop = s.c >= s.p


es = EarlyStopping()
[es(v, net) for v in (1.0, 0.5, 0.6, 0.7)]
print(es.stop)


class MySGD(optim.Optimizer):
    def __init__(s, params, lr=0.1, wd=0.0):
        super().__init__(params, dict(lr=lr, wd=wd))

    @torch.no_grad()
    def step(s, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for g in s.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                st = s.state[p]
                if len(st) == 0:
                    st["step"] = 0
                    st["m"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                st["step"] += 1
                st["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                p.addcdiv_(st["m"], st["m"].abs().sqrt().add_(1e-3), value=-g["lr"])
        return loss


class Warm(optim.lr_scheduler._LRScheduler):
    def __init__(s, o, w, last_epoch=-1):
        s.w = w
        super().__init__(o, last_epoch)

    def get_lr(s):
        return [b * min(1, (s.last_epoch + 1) / s.w) for b in s.base_lrs]


mo = MySGD(net.parameters())
ws = Warm(mo, 4)
print(mo)
for i in range(5):
    mo.zero_grad()
    l = crit(net(X), Y)
    l.backward()
    mo.step()
    ws.step()
    print(round(l.item(), 3), ws.get_last_lr())
for S, kw in (
    (optim.lr_scheduler.LambdaLR, dict(lr_lambda=lambda e: 0.9**e)),
    (optim.lr_scheduler.MultiStepLR, dict(milestones=[1, 3])),
    (optim.lr_scheduler.OneCycleLR, dict(max_lr=1.0, total_steps=6)),
    (optim.lr_scheduler.ExponentialLR, dict(gamma=0.5)),
    (optim.lr_scheduler.CosineAnnealingWarmRestarts, dict(T_0=2)),
    (optim.lr_scheduler.CyclicLR, dict(base_lr=0.1, max_lr=1.0, step_size_up=2)),
    (optim.lr_scheduler.LinearLR, {}),
    (optim.lr_scheduler.PolynomialLR, dict(total_iters=4)),
):
    o = optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
    s = S(o, **kw)
    r = []
    for _ in range(5):
        o.step()
        r.append(o.param_groups[0]["lr"])
        s.step()
    print(S.__name__, r)
rp = optim.lr_scheduler.ReduceLROnPlateau(o, "min", patience=1, factor=0.1)
for v in (1, 1, 1, 1, 0.5):
    rp.step(v)
    print(o.param_groups[0]["lr"], rp.num_bad_epochs)
