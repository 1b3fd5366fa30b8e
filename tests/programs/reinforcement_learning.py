import math
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Bernoulli, Categorical, Independent, MultivariateNormal, Normal, kl_divergence

torch.manual_seed(0)
random.seed(0)
Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class Env:
    def reset(self):
        self.s = torch.zeros(4)
        self.t = 0
        return self.s.tolist()

    def step(self, a):
        self.t += 1
        self.s = self.s * 0.9 + torch.tensor([0.1, -0.1, 0.2, 0.0]) * (1 if a else -1)
        return self.s.tolist(), float(self.s[0] > 0), self.t >= 12


class ReplayMemory:
    def __init__(self, cap):
        self.memory = deque([], maxlen=cap)

    def push(self, *a):
        self.memory.append(Transition(*a))

    def sample(self, n):
        return random.sample(self.memory, n)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(4, 32)
        self.layer2 = nn.Linear(32, 2)

    def forward(self, x):
        return self.layer2(F.relu(self.layer1(x)))


policy, target = DQN(), DQN()
target.load_state_dict(policy.state_dict())
opt = torch.optim.AdamW(policy.parameters(), lr=1e-3, amsgrad=True)
mem = ReplayMemory(100)
steps = 0
env = Env()


def select(state):
    global steps
    eps = 0.05 + 0.85 * math.exp(-1.0 * steps / 50)
    steps += 1
    if random.random() > eps:
        with torch.no_grad():
            return policy(state).max(1).indices.view(1, 1)
    return torch.tensor([[random.randrange(2)]], dtype=torch.long)


def optimize():
    if len(mem) < 8:
        return None
    batch = Transition(*zip(*mem.sample(8)))
    mask = torch.tensor(tuple(map(lambda s: s is not None, batch.next_state)), dtype=torch.bool)
    nn_s = torch.cat([s for s in batch.next_state if s is not None])
    sa = policy(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
    nv = torch.zeros(8)
    with torch.no_grad():
        nv[mask] = target(nn_s).max(1).values
    loss = nn.SmoothL1Loss()(sa, (nv * 0.99 + torch.cat(batch.reward)).unsqueeze(1))
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy.parameters(), 100)
    opt.step()
    return loss.item()


for ep in range(3):
    s = torch.tensor(env.reset(), dtype=torch.float32).unsqueeze(0)
    done = False
    l = None
    while not done:
        a = select(s)
        o, r, done = env.step(a.item())
        ns = None if done else torch.tensor(o).unsqueeze(0)
        mem.push(s, a, ns, torch.tensor([r]))
        s = ns
        l = optimize()
        td, pd = target.state_dict(), policy.state_dict()
        for k in pd:
            td[k] = pd[k] * 0.005 + td[k] * (1 - 0.005)
        target.load_state_dict(td)
    print(ep, l)


class AC(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 2)
        self.c = nn.Linear(4, 1)

    def forward(self, x):
        return F.softmax(self.a(x), dim=-1), self.c(x)


m = AC()
o = torch.optim.Adam(m.parameters(), lr=3e-2)
eps = torch.finfo(torch.float32).eps
for ep in range(4):
    s = env.reset()
    lp, vals, rs, ents = [], [], [], []
    done = False
    while not done:
        p, v = m(torch.tensor(s))
        d = Categorical(p)
        a = d.sample()
        lp.append(d.log_prob(a))
        ents.append(d.entropy())
        vals.append(v)
        s, r, done = env.step(a.item())
        rs.append(r)
    R = 0
    ret = []
    for r in rs[::-1]:
        R = r + 0.99 * R
        ret.insert(0, R)
    ret = torch.tensor(ret)
    ret = (ret - ret.mean()) / (ret.std() + eps)
    pl = [-l * (R - v.item()) for l, R, v in zip(lp, ret, vals)]
    vl = [F.smooth_l1_loss(v, torch.tensor([R])) for v, R in zip(vals, ret)]
    o.zero_grad()
    loss = torch.stack(pl).sum() + torch.stack(vl).sum() - 0.01 * torch.stack(ents).mean()
    loss.backward()
    o.step()
    print(ep, loss.item(), sum(rs))
# PPO gaussian
mu = nn.Linear(3, 2)
ls = nn.Parameter(torch.zeros(2))
obs = torch.randn(16, 3)
with torch.no_grad():
    d = Normal(mu(obs), ls.exp())
    act = d.sample()
    old = d.log_prob(act).sum(-1)
    adv = torch.randn(16)
op = torch.optim.Adam([*mu.parameters(), ls], lr=1e-2)
for i in range(3):
    d = Normal(mu(obs), ls.exp())
    ratio = (d.log_prob(act).sum(-1) - old).exp()
    l = -torch.min(ratio * adv, torch.clamp(ratio, 0.8, 1.2) * adv).mean() - 0.01 * d.entropy().sum(-1).mean()
    op.zero_grad()
    l.backward()
    op.step()
    print(l.item())
z = d.rsample()
t = torch.tanh(z)
print((d.log_prob(z) - torch.log(1 - t.pow(2) + 1e-6)).sum(-1, keepdim=True).mean())
print(
    d,
    Categorical(logits=torch.ones(3)),
    kl_divergence(Normal(0.0, 1.0), Normal(torch.tensor(1.0), 2.0)),
    MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(torch.ones(2)),
    Bernoulli(torch.tensor([0.3])).sample(),
    Independent(Normal(torch.zeros(2), torch.ones(2)), 1).log_prob(torch.ones(2)),
)
try:
    Categorical(probs=torch.tensor([-1.0, 2.0]))
except Exception as e:
    print(type(e).__name__, e)
