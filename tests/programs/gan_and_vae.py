import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn

torch.manual_seed(1)
np.random.seed(1)


class G(nn.Module):
    def __init__(self):
        super().__init__()

        def block(i, o, normalize=True):
            layers = [nn.Linear(i, o)]
            if normalize:
                layers.append(nn.BatchNorm1d(o, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(*block(10, 16, False), *block(16, 32), nn.Linear(32, 64), nn.Tanh())

    def forward(self, z):
        return self.model(z).view(z.size(0), 1, 8, 8)


class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2, inplace=True), nn.Linear(32, 1))

    def forward(self, i):
        return self.model(i.view(i.shape[0], -1))


g, d = G(), D()
og = torch.optim.Adam(g.parameters(), lr=2e-3, betas=(0.5, 0.9))
od = torch.optim.Adam(d.parameters(), lr=2e-3, betas=(0.5, 0.9))
Tensor = torch.FloatTensor


def gp(D, real, fake):
    alpha = Tensor(np.random.random((real.size(0), 1, 1, 1)))
    inter = (alpha * real + ((1 - alpha) * fake)).requires_grad_(True)
    di = D(inter)
    f = autograd.Variable(Tensor(real.shape[0], 1).fill_(1.0), requires_grad=False)
    gr = autograd.grad(
        outputs=di, inputs=inter, grad_outputs=f, create_graph=True, retain_graph=True, only_inputs=True
    )[0]
    gr = gr.view(gr.size(0), -1)
    return ((gr.norm(2, dim=1) - 1) ** 2).mean()


real_data = torch.randn(64, 1, 8, 8) * 0.3 + 0.5
for it in range(8):
    real = autograd.Variable(real_data[it * 8 : (it + 1) * 8].type(Tensor))
    od.zero_grad()
    z = autograd.Variable(Tensor(np.random.normal(0, 1, (real.shape[0], 10))))
    fake = g(z)
    p = gp(d, real.data, fake.data)
    dl = -torch.mean(d(real)) + torch.mean(d(fake.detach())) + 10 * p
    dl.backward()
    od.step()
    og.zero_grad()
    if it % 2 == 0:
        gl = -torch.mean(d(g(z)))
        gl.backward()
        og.step()
        print("[it %d] [D loss: %f] [G loss: %f] gp %.4f" % (it, dl.item(), gl.item(), p))


# DCGAN pieces
def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


netG = nn.Sequential(
    nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(True),
    nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(True),
    nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
netD = nn.Sequential(
    nn.utils.spectral_norm(nn.Conv2d(1, 8, 4, 2, 1, bias=False)),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(8, 16, 4, 2, 1, bias=False),
    nn.BatchNorm2d(16),
    nn.LeakyReLU(0.2, True),
    nn.Conv2d(16, 1, 4, 1, 0, bias=False),
    nn.Sigmoid(),
)
netG.apply(weights_init)
netD[2].apply(weights_init)
print(netG, netD)
crit = nn.BCELoss()
fixed = torch.randn(4, 8, 1, 1)
oD = torch.optim.Adam(netD.parameters(), lr=0.002, betas=(0.5, 0.999))
oG = torch.optim.Adam(netG.parameters(), lr=0.002, betas=(0.5, 0.999))
for i in range(4):
    netD.zero_grad()
    real = torch.rand(4, 1, 16, 16)
    label = torch.full((4,), 1.0, dtype=torch.float)
    out = netD(real).view(-1)
    eD = crit(out, label)
    eD.backward()
    Dx = out.mean().item()
    noise = torch.randn(4, 8, 1, 1)
    fake = netG(noise)
    label.fill_(0.0)
    out = netD(fake.detach()).view(-1)
    eF = crit(out, label)
    eF.backward()
    z1 = out.mean().item()
    oD.step()
    netG.zero_grad()
    label.fill_(1.0)
    out = netD(fake).view(-1)
    eG = crit(out, label)
    eG.backward()
    z2 = out.mean().item()
    oG.step()
    print(
        "[%d] Loss_D: %.4f Loss_G: %.4f D(x): %.4f D(G(z)): %.4f / %.4f" % (i, (eD + eF).item(), eG.item(), Dx, z1, z2)
    )
with torch.no_grad():
    im = netG(fixed).detach().cpu()
    print(im.shape, im.mean(), im[0, 0, :2])


# VAE
class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h = torch.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def rep(self, mu, lv):
        std = torch.exp(0.5 * lv)
        eps = torch.randn_like(std)
        return mu + eps * std

    def forward(self, x):
        mu, lv = self.encode(x.view(-1, 64))
        z = self.rep(mu, lv)
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))), mu, lv


v = VAE()
o = torch.optim.Adam(v.parameters(), lr=1e-2)
X = torch.bernoulli(torch.rand(32, 64))
for i in range(5):
    r, mu, lv = v(X)
    bce = nn.functional.binary_cross_entropy(r, X, reduction="sum")
    kld = -0.5 * torch.sum(1 + lv - mu.pow(2) - lv.exp())
    l = bce + kld
    o.zero_grad()
    l.backward()
    o.step()
    print(i, l.item() / len(X), kld)
