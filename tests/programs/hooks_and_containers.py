import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as P
import torch.nn.utils.prune as prune

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 3))
x = torch.randn(2, 1, 8, 8)
feats = {}


def get(name):
    def hook(m, i, o):
        feats[name] = o.detach()
        print(name, m.__class__.__name__, [t.shape for t in i], o.shape)

    return hook


hs = [m.register_forward_hook(get(n)) for n, m in net.named_children()]
net(x)
[h.remove() for h in hs]
net[0].register_forward_pre_hook(lambda m, i: (i[0] * 2,))
h = net[3].register_forward_hook(lambda m, i, o: o * 0 + 1)
print(net(x))
h.remove()
net[3].register_full_backward_hook(
    lambda m, gi, go: print("bwd", [g.shape if g is not None else None for g in gi], go[0].norm())
)
net[3].register_full_backward_pre_hook(lambda m, go: print("pre", go[0].shape))
net(x).sum().backward()


def kw(m, a, k, o):
    print(k)
    return o


class K(nn.Module):
    def forward(s, x, *, scale=1):
        return x * scale


k = K()
k.register_forward_hook(kw, with_kwargs=True)
print(k(torch.ones(1), scale=3))


class GradCAM:
    def __init__(s, m, layer):
        s.m = m
        layer.register_forward_hook(lambda m, i, o: setattr(s, "act", o))
        layer.register_full_backward_hook(lambda m, gi, go: setattr(s, "g", go[0]))

    def __call__(s, x, c):
        s.m.zero_grad()
        o = s.m(x)
        o[:, c].sum().backward()
        w = s.g.mean(dim=(2, 3), keepdim=True)
        cam = F.relu((w * s.act).sum(1))
        return cam / (cam.max() + 1e-8)


n2 = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
print(GradCAM(n2, n2[0])(x, 1)[0, :2])
# saliency / FGSM
xi = x.clone().requires_grad_()
l = F.cross_entropy(n2(xi), torch.tensor([0, 1]))
l.backward()
sal, _ = xi.grad.abs().max(dim=1)
print(sal.shape, sal.mean())
adv = torch.clamp(xi + 0.1 * xi.grad.sign(), -1, 1)
print(adv.sum(), adv.requires_grad)
# KD
T = 4.0
s, t = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5)
kd = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(s / T, 1), F.softmax(t / T, 1)) * T * T
kd.backward()
print(kd, s.grad[0])


class Sym(nn.Module):
    def forward(s, X):
        return X.triu() + X.triu(1).transpose(-1, -2)

    def right_inverse(s, A):
        return A.triu()


l = nn.Linear(3, 3)
P.register_parametrization(l, "weight", Sym())
print(l, l.weight, [n for n, _ in l.named_parameters()], P.is_parametrized(l))
l(torch.ones(1, 3)).sum().backward()
print(l.parametrizations.weight.original.grad)
P.remove_parametrizations(l, "weight")
print(l)
wn = nn.utils.weight_norm(nn.Linear(3, 2))
print(wn, [n for n, _ in wn.named_parameters()], wn.weight)
wp = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2), dim=None)
print(wp, list(wp.state_dict()))
sn = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2))
print(list(sn.state_dict()), sn(torch.ones(1, 3)))
print(nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)).weight.det().abs())
lin = nn.Linear(4, 3)
prune.l1_unstructured(lin, "weight", amount=0.3)
print(lin.weight, list(dict(lin.named_buffers())), [n for n, _ in lin.named_parameters()])
prune.remove(lin, "weight")
print((lin.weight == 0).sum())
v = nn.utils.parameters_to_vector(lin.parameters())
nn.utils.vector_to_parameters(v * 2, lin.parameters())
print(v.shape, nn.utils.parameters_to_vector(lin.parameters()).sum() / v.sum())
m = nn.ModuleDict({"a": nn.Linear(1, 1)})
m["b"] = nn.ReLU()
m.update({"c": nn.Tanh()})
print(list(m), "a" in m, len(m), m.pop("b"), m)
ml = nn.ModuleList([nn.Linear(1, 1)])
ml.append(nn.ReLU())
ml.extend([nn.Tanh()])
ml.insert(0, nn.ELU())
print(ml, ml[1:], len(ml), ml[-1])
del ml[0]
print(ml)
sq = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
sq.append(nn.Linear(2, 1))
sq.insert(1, nn.Tanh())
print(sq, sq[:2], sq[-1], len(sq), sq + nn.Sequential(nn.ReLU()))
pl = nn.ParameterList([nn.Parameter(torch.ones(i)) for i in (1, 2)])
print(pl, pl[0])
pd = nn.ParameterDict({"x": torch.ones(2)})
pd["y"] = nn.Parameter(torch.zeros(1))
print(pd, list(pd.keys()))
net.apply(lambda m: print("apply", m.__class__.__name__))
net.double()
print(net[0].weight.dtype, next(net.parameters()).device)
net.float().half()
print(net[3].bias.dtype)
net.to(torch.float32).requires_grad_(False)
print(any(p.requires_grad for p in net.parameters()))
net.train(False)
print(net[0].training)
print(net.zero_grad(), net.eval() is net)
lz = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
print(lz)
lz(x)
print(lz)
try:
    nn.LazyLinear(2).weight.shape
except Exception as e:
    print(type(e).__name__, e)
for init in (
    lambda w: nn.init.xavier_normal_(w),
    lambda w: nn.init.kaiming_uniform_(w, a=0.1),
    lambda w: nn.init.orthogonal_(w),
    lambda w: nn.init.trunc_normal_(w, std=0.02),
    lambda w: nn.init.sparse_(w, 0.5),
    lambda w: nn.init.eye_(w),
    lambda w: nn.init.uniform_(w),
    lambda w: nn.init.dirac_(w.view(3, 4, 1)),
):
    print(init(torch.empty(3, 4)))
print(nn.init.calculate_gain("leaky_relu", 0.2), nn.init.calculate_gain("tanh"))
a, b = nn.Linear(2, 2), nn.Linear(2, 2)
b.weight = a.weight
both = nn.ModuleList([a, b])
print(len(list(both.parameters())), list(both.state_dict()))
o = torch.optim.SGD(both.parameters(), lr=0.1)
(a(torch.ones(1, 2)) + b(torch.ones(1, 2))).sum().backward()
o.step()
print(a.weight is b.weight, a.weight.grad)
