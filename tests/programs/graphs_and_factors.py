import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.parameter import Parameter

torch.manual_seed(4)
np.random.seed(4)


class GraphConvolution(nn.Module):
    def __init__(self, i, o, bias=True):
        super().__init__()
        self.in_features, self.out_features = i, o
        self.weight = Parameter(torch.FloatTensor(i, o))
        if bias:
            self.bias = Parameter(torch.FloatTensor(o))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, x, adj):
        o = torch.mm(adj, torch.mm(x, self.weight))
        return o + self.bias if self.bias is not None else o

    def __repr__(self):
        return self.__class__.__name__ + " (" + str(self.in_features) + " -> " + str(self.out_features) + ")"


N = 12
ei = torch.randint(0, N, (2, 30))
A = torch.zeros(N, N)
A[ei[0], ei[1]] = 1
A = torch.max(A, A.t()) + torch.eye(N)
Dm = torch.diag(A.sum(1).pow(-0.5))
A = Dm @ A @ Dm
X = torch.randn(N, 5)
Y = torch.randint(0, 3, (N,))


class GCN(nn.Module):
    def __init__(s):
        super().__init__()
        s.g1 = GraphConvolution(5, 8)
        s.g2 = GraphConvolution(8, 3, bias=False)

    def forward(s, x, a):
        return F.log_softmax(s.g2(F.dropout(F.relu(s.g1(x, a)), 0.2, training=s.training), a), dim=1)


g = GCN()
print(g)
o = torch.optim.Adam(g.parameters(), lr=0.05, weight_decay=5e-4)
idx = torch.LongTensor(range(8))
for e in range(4):
    g.train()
    o.zero_grad()
    out = g(X, A)
    l = F.nll_loss(out[idx], Y[idx])
    l.backward()
    o.step()
    preds = out.max(1)[1].type_as(Y)
    print(f"{l.item():.4f}", preds.eq(Y).double().sum().item() / len(Y))


class MP(nn.Module):
    def __init__(s, i, o):
        super().__init__()
        s.lin = nn.Linear(i, o)
        s.att = nn.Parameter(torch.empty(1, 2 * o))
        nn.init.xavier_uniform_(s.att, gain=1.414)

    def forward(s, x, ei):
        x = s.lin(x)
        src, dst = ei
        e = F.leaky_relu((torch.cat([x[src], x[dst]], -1) * s.att).sum(-1), 0.2)
        e = (e - e.max()).exp()
        den = torch.zeros(x.size(0)).index_add_(0, dst, e)
        al = e / (den[dst] + 1e-16)
        out = torch.zeros_like(x).scatter_add_(0, dst.unsqueeze(-1).expand(-1, x.size(1)), al.unsqueeze(-1) * x[src])
        mx = torch.full_like(x, float("-inf")).scatter_reduce(
            0, dst[:, None].expand(-1, x.size(1)), x[src], reduce="amax", include_self=False
        )
        return out, mx


mp = MP(5, 4)
a, b = mp(X, ei)
print(a, b)
(a.sum() + b[torch.isfinite(b)].sum()).backward()
print(mp.att.grad, mp.lin.weight.grad)
deg = torch.bincount(ei[1], minlength=N)
print(deg, torch.zeros(N).scatter_(0, ei[0], 1.0))
print(
    torch.zeros(N, dtype=torch.long).index_put_((ei[1],), torch.ones(30, dtype=torch.long), accumulate=True).equal(deg)
)
sp = torch.sparse_coo_tensor(ei, torch.ones(30), (N, N)) if hasattr(torch, "sparse_coo_tensor") else None


class MF(nn.Module):
    def __init__(s, nu, ni, k):
        super().__init__()
        s.u = nn.Embedding(nu, k, sparse=False)
        s.i = nn.Embedding(ni, k)
        s.ub = nn.Embedding(nu, 1)
        s.ib = nn.Embedding(ni, 1)
        s.u.weight.data.uniform_(0, 0.05)
        s.i.weight.data.uniform_(0, 0.05)

    def forward(s, u, i):
        return (s.u(u) * s.i(i)).sum(1) + s.ub(u).squeeze() + s.ib(i).squeeze()


mf = MF(6, 7, 3)
us = torch.LongTensor(np.random.randint(0, 6, 40))
it = torch.LongTensor(np.random.randint(0, 7, 40))
r = torch.FloatTensor(np.random.randint(1, 6, 40))
o = torch.optim.SGD(mf.parameters(), lr=0.1, momentum=0.9, nesterov=True)
for e in range(5):
    l = F.mse_loss(mf(us, it), r)
    o.zero_grad()
    l.backward()
    o.step()
    print(e, l.item())
# skip-gram
corpus = ["we", "are", "what", "we", "repeatedly", "do", "excellence", "then", "is", "not", "an", "act", "but", "a", "habit"]
vocab = sorted(set(corpus))
w2i = {w: i for i, w in enumerate(vocab)}
pairs = [
    (w2i[corpus[i]], w2i[corpus[j]])
    for i in range(len(corpus))
    for j in range(max(0, i - 2), min(len(corpus), i + 3))
    if i != j
]
freq = torch.tensor([corpus.count(w) for w in vocab]).float() ** 0.75


class SG(nn.Module):
    def __init__(s, v, d):
        super().__init__()
        s.i = nn.Embedding(v, d)
        s.o = nn.Embedding(v, d)
        nn.init.uniform_(s.i.weight, -0.5 / d, 0.5 / d)
        nn.init.zeros_(s.o.weight)

    def forward(s, c, p, n):
        vc = s.i(c)
        pos = F.logsigmoid((vc * s.o(p)).sum(1))
        neg = F.logsigmoid(-torch.bmm(s.o(n), vc.unsqueeze(2)).squeeze(2)).sum(1)
        return -(pos + neg).mean()


sg = SG(len(vocab), 8)
o = torch.optim.Adagrad(sg.parameters(), lr=0.5)
for e in range(4):
    t = torch.tensor(pairs)[torch.randperm(len(pairs))]
    n = torch.multinomial(freq, len(t) * 3, replacement=True).view(-1, 3)
    l = sg(t[:, 0], t[:, 1], n)
    o.zero_grad()
    l.backward()
    o.step()
    print(l.item())
W = F.normalize(sg.i.weight.detach())
sim = W @ W.T
sim.fill_diagonal_(-1)
v, i = sim.topk(2, dim=1)
print([vocab[k] for k in i[:, 0]], v[:3])
print(F.cosine_similarity(W[0], W[1], dim=0), torch.cdist(W[:3], W[:2]), torch.pdist(W[:3]))


# style transfer LBFGS
def gram(x):
    a, b, c, d = x.size()
    f = x.view(a * b, c * d)
    return torch.mm(f, f.t()).div(a * b * c * d)


cnn = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3)).eval()
for p in cnn.parameters():
    p.requires_grad_(False)
content, style = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12)
img = content.clone().requires_grad_(True)
opt = torch.optim.LBFGS([img])
run = [0]
while run[0] <= 30:

    def closure():
        with torch.no_grad():
            img.clamp_(0, 1)
        opt.zero_grad()
        f = cnn(img)
        s = F.mse_loss(gram(f), gram(cnn(style)).detach()) * 1e4
        c = F.mse_loss(f, cnn(content).detach())
        l = s + c
        l.backward()
        run[0] += 1
        if run[0] % 10 == 0:
            print(f"run {run}: Style {s.item():4f} Content {c.item():4f}")
        return l

    opt.step(closure)
print(img.detach().mean())
