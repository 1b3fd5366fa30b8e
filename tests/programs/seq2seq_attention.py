import math
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim

random.seed(0)
torch.manual_seed(0)
SOS, EOS = 0, 1


class Lang:
    def __init__(self):
        self.w2i = {}
        self.i2w = {0: "SOS", 1: "EOS"}
        self.n = 2

    def add(self, s):
        for w in s.split(" "):
            if w not in self.w2i:
                self.w2i[w] = self.n
                self.i2w[self.n] = w
                self.n += 1


pairs = [
    ("je suis ici", "i am here"),
    ("tu es la", "you are there"),
    ("il est grand", "he is tall"),
    ("je suis grand", "i am tall"),
]
a, b = Lang(), Lang()
for s, t in pairs:
    a.add(s)
    b.add(t)


def tens(l, s):
    return torch.tensor([l.w2i[w] for w in s.split(" ")] + [EOS], dtype=torch.long).view(-1, 1)


class Encoder(nn.Module):
    def __init__(self, n, h):
        super().__init__()
        self.hidden_size = h
        self.embedding = nn.Embedding(n, h)
        self.gru = nn.GRU(h, h)

    def forward(self, x, hid):
        return self.gru(self.embedding(x).view(1, 1, -1), hid)

    def initHidden(self):
        return torch.zeros(1, 1, self.hidden_size)


class AttnDecoder(nn.Module):
    def __init__(self, h, n, p=0.1, ml=6):
        super().__init__()
        self.emb = nn.Embedding(n, h)
        self.attn = nn.Linear(h * 2, ml)
        self.comb = nn.Linear(h * 2, h)
        self.dropout = nn.Dropout(p)
        self.gru = nn.GRU(h, h)
        self.out = nn.Linear(h, n)

    def forward(self, x, hid, enc):
        e = self.dropout(self.emb(x).view(1, 1, -1))
        w = F.softmax(self.attn(torch.cat((e[0], hid[0]), 1)), dim=1)
        ap = torch.bmm(w.unsqueeze(0), enc.unsqueeze(0))
        o = F.relu(self.comb(torch.cat((e[0], ap[0]), 1)).unsqueeze(0))
        o, hid = self.gru(o, hid)
        return F.log_softmax(self.out(o[0]), dim=1), hid, w


enc, dec = Encoder(a.n, 16), AttnDecoder(16, b.n)
eo, do = optim.SGD(enc.parameters(), lr=0.05), optim.SGD(dec.parameters(), lr=0.05)
crit = nn.NLLLoss()
ML = 6


def train(s, t):
    eh = enc.initHidden()
    eo.zero_grad()
    do.zero_grad()
    outs = torch.zeros(ML, 16)
    loss = 0
    for i in range(s.size(0)):
        o, eh = enc(s[i], eh)
        outs[i] = o[0, 0]
    di = torch.tensor([[SOS]])
    dh = eh
    tf = random.random() < 0.5
    for i in range(t.size(0)):
        o, dh, w = dec(di, dh, outs)
        loss += crit(o, t[i])
        if tf:
            di = t[i]
        else:
            _, ti = o.topk(1)
            di = ti.squeeze().detach()
            if di.item() == EOS:
                break
    loss.backward()
    eo.step()
    do.step()
    return loss.item() / t.size(0)


for k in range(24):
    s, t = random.choice(pairs)
    l = train(tens(a, s), tens(b, t))
    if k % 4 == 0:
        print(k, "%.4f" % l)


class Attn(nn.Module):
    def __init__(self, method, h):
        super().__init__()
        self.method = method
        if method not in ["dot", "general", "concat"]:
            raise ValueError(method, "is not an appropriate attention method.")
        if method == "general":
            self.attn = nn.Linear(h, h)
        elif method == "concat":
            self.attn = nn.Linear(h * 2, h)
            self.v = nn.Parameter(torch.FloatTensor(h))
            nn.init.uniform_(self.v)

    def forward(self, hid, enc):
        if self.method == "general":
            e = torch.sum(hid * self.attn(enc), dim=2)
        elif self.method == "concat":
            e = torch.sum(self.v * self.attn(torch.cat((hid.expand(enc.size(0), -1, -1), enc), 2)).tanh(), dim=2)
        else:
            e = torch.sum(hid * enc, dim=2)
        return F.softmax(e.t(), dim=1).unsqueeze(1)


h = torch.randn(1, 3, 8)
eo_ = torch.randn(5, 3, 8)
for mth in ("dot", "general", "concat"):
    at = Attn(mth, 8)
    w = at(h, eo_)
    print(mth, w, w.bmm(eo_.transpose(0, 1)).shape)


def mask_nll(inp, tgt, mask):
    n = mask.sum()
    ce = -torch.log(torch.gather(inp, 1, tgt.view(-1, 1)).squeeze(1))
    l = ce.masked_select(mask).mean()
    return l, n.item()


print(
    mask_nll(F.softmax(torch.randn(4, 5), 1), torch.tensor([1, 2, 0, 4]), torch.tensor([1, 1, 0, 1], dtype=torch.bool))
)


class PE(nn.Module):
    def __init__(self, d, dropout=0.1, maxlen=20):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(maxlen, d)
        pos = torch.arange(0, maxlen, dtype=torch.float).unsqueeze(1)
        div = torch.exp(torch.arange(0, d, 2).float() * (-math.log(10000.0) / d))
        pe[:, 0::2] = torch.sin(pos * div)
        pe[:, 1::2] = torch.cos(pos * div)
        self.register_buffer("pe", pe.unsqueeze(0).transpose(0, 1))

    def forward(self, x):
        return self.dropout(x + self.pe[: x.size(0), :])


tr = nn.Transformer(d_model=16, nhead=4, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=32, dropout=0.1)
pe = PE(16)
src, tgt = torch.randn(7, 2, 16), torch.randn(5, 2, 16)
tm = nn.Transformer.generate_square_subsequent_mask(5)
print(tm)
kp = torch.tensor([[False] * 6 + [True], [False] * 7])
o = tr(pe(src), pe(tgt), tgt_mask=tm, src_key_padding_mask=kp)
print(o.shape, o.sum(), o[0, 0, :4])
o.pow(2).mean().backward()
print(tr.encoder.layers[0].self_attn.in_proj_weight.grad.norm())
print(tr)
tr.eval()
with torch.no_grad():
    print(tr(src, tgt, tgt_mask=tm)[0, 0, :5])
el = nn.TransformerEncoder(
    nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu"), 2
)
print(el(src).norm())
mha = nn.MultiheadAttention(16, 4, batch_first=True)
q, w = mha(src, src, src, average_attn_weights=False)
print(q.shape, w.shape, w.sum(-1)[0, 0])
