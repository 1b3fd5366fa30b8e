import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

torch.manual_seed(3)
text = "the quick brown fox jumps over the lazy dog. " * 6
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
itos = {i: c for c, i in stoi.items()}
data = torch.tensor([stoi[c] for c in text], dtype=torch.long)
print(len(chars), data[:10])


class CharLSTM(nn.Module):
    def __init__(self, v, e=16, h=32, layers=2):
        super().__init__()
        self.h = h
        self.layers = layers
        self.emb = nn.Embedding(v, e)
        self.lstm = nn.LSTM(e, h, layers, batch_first=True, dropout=0.1)
        self.fc = nn.Linear(h, v)

    def forward(self, x, hidden=None):
        o, hidden = self.lstm(self.emb(x), hidden)
        return self.fc(o), hidden

    def init_hidden(self, b):
        w = next(self.parameters()).data
        return (w.new(self.layers, b, self.h).zero_(), w.new_zeros(self.layers, b, self.h))


m = CharLSTM(len(chars))
print(m)
opt = torch.optim.Adam(m.parameters(), lr=0.01)
crit = nn.CrossEntropyLoss()
T, B = 16, 8
hidden = m.init_hidden(B)
for step in range(12):
    ix = torch.randint(len(data) - T - 1, (B,))
    x = torch.stack([data[i : i + T] for i in ix])
    y = torch.stack([data[i + 1 : i + T + 1] for i in ix])
    hidden = tuple(h.detach() for h in hidden)
    out, hidden = m(x, hidden)
    loss = crit(out.reshape(-1, len(chars)), y.view(-1))
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(m.parameters(), 5)
    opt.step()
    if step % 3 == 0:
        print(step, round(loss.item(), 4))


@torch.no_grad()
def sample(start, n=40, temp=0.8, k=5):
    m.eval()
    h = None
    out = start
    x = torch.tensor([[stoi[c] for c in start]])
    for _ in range(n):
        lg, h = m(x, h)
        lg = lg[:, -1] / temp
        v, _ = torch.topk(lg, k)
        lg[lg < v[:, [-1]]] = -float("Inf")
        p = torch.softmax(lg, -1)
        i = torch.multinomial(p, num_samples=1)
        out += itos[i.item()]
        x = i
    return out


print(repr(sample("the ")))


# manual RNN cell
class RNN(nn.Module):
    def __init__(s, i, h, o):
        super().__init__()
        s.hidden_size = h
        s.i2h = nn.Linear(i + h, h)
        s.i2o = nn.Linear(i + h, o)
        s.softmax = nn.LogSoftmax(dim=1)

    def forward(s, x, h):
        c = torch.cat((x, h), 1)
        return s.softmax(s.i2o(c)), torch.tanh(s.i2h(c))


r = RNN(5, 8, 3)
h = torch.zeros(1, 8)
line = torch.zeros(6, 1, 5)
for i in range(6):
    line[i][0][i % 5] = 1
for k in range(3):
    r.zero_grad()
    hh = h
    for i in range(6):
        o, hh = r(line[i], hh)
    l = nn.NLLLoss()(o, torch.tensor([1]))
    l.backward()
    for p in r.parameters():
        p.data.add_(p.grad.data, alpha=-0.1)
    tv, ti = o.topk(1)
    print(l, tv, ti[0].item())
# packing
seqs = [torch.randn(l, 3) for l in (5, 3, 2)]
pad = pad_sequence(seqs, batch_first=True, padding_value=-1)
print(pad.shape, pad[2, :, 0])
pk = pack_padded_sequence(pad, torch.tensor([5, 3, 2]), batch_first=True)
print(pk.batch_sizes, pk.data.shape, type(pk).__name__)
for cls in (nn.GRU, nn.LSTM, nn.RNN):
    rnn = cls(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    o, hn = rnn(pk)
    u, lens = pad_packed_sequence(o, batch_first=True)
    print(cls.__name__, u.shape, lens, u.sum(), (hn[0] if isinstance(hn, tuple) else hn)[-1])
pk2 = pack_padded_sequence(pad[[1, 0, 2]], [3, 5, 2], batch_first=True, enforce_sorted=False)
print(pk2.sorted_indices, pk2.unsorted_indices)
print(pack_sequence(seqs))
c = nn.LSTMCell(3, 4)
hx, cx = c(seqs[0][:2])
hx, cx = c(seqs[0][2:4], (hx, cx))
print(hx, cx)
print(nn.GRUCell(3, 4)(seqs[0][:1]))
print([(n, tuple(p.shape)) for n, p in nn.LSTM(3, 4, 1, bidirectional=True, proj_size=2).named_parameters()])
for f in (
    lambda: nn.LSTM(3, 4)(torch.randn(2, 2, 5)),
    lambda: pack_padded_sequence(pad, [2, 3, 5], batch_first=True),
    lambda: nn.GRU(3, 4)(torch.randn(2, 2, 3), torch.zeros(1, 3, 4)),
    lambda: nn.Embedding(3, 2)(torch.tensor([3])),
    lambda: nn.Embedding(3, 2)(torch.tensor([1.0])),
):
    try:
        print(f())
    except Exception as e:
        print(type(e).__name__, e)
nn.LSTM(3, 4, 1, dropout=0.5)
