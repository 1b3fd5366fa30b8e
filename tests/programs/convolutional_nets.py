import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inp, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, layers=(1, 1, 1), num_classes=10):
        super().__init__()
        self.inp = 8
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make(8, layers[0])
        self.layer2 = self._make(16, layers[1], 2)
        self.layer3 = self._make(32, layers[2], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(32, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make(self, planes, n, stride=1):
        down = None
        if stride != 1 or self.inp != planes:
            down = nn.Sequential(nn.Conv2d(self.inp, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
        layers = [BasicBlock(self.inp, planes, stride, down)]
        self.inp = planes
        for _ in range(1, n):
            layers.append(BasicBlock(planes, planes))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


net = ResNet()
print(net)
x = torch.randn(4, 3, 32, 32)
y = torch.randint(0, 10, (4,))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for i in range(4):
    loss = F.cross_entropy(net(x), y, label_smoothing=0.1)
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(f"{loss:.4f}")
print(net.bn1.running_mean, net.bn1.num_batches_tracked)
cfg = [8, "M", 16, "M", 16, 16, "M"]


def make_layers(cfg, bn=True):
    layers = []
    c = 3
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(2, 2)]
        else:
            layers += [nn.Conv2d(c, v, 3, padding=1)] + ([nn.BatchNorm2d(v)] if bn else []) + [nn.ReLU(inplace=True)]
            c = v
    return nn.Sequential(*layers)


vgg = make_layers(cfg)
print(vgg, vgg(x).shape, vgg(x).mean().item())


class DoubleConv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(
            nn.Conv2d(i, o, 3, padding=1),
            nn.GroupNorm(2, o),
            nn.SiLU(),
            nn.Conv2d(o, o, 3, padding="same", padding_mode="reflect"),
            nn.InstanceNorm2d(o, affine=True),
            nn.LeakyReLU(0.1),
        )


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.d1 = DoubleConv(3, 8)
        self.d2 = DoubleConv(8, 16)
        self.mid = DoubleConv(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.u2 = DoubleConv(32, 16)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.u1 = DoubleConv(24, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        m = self.mid(F.avg_pool2d(b, 2))
        u = self.u2(torch.cat([self.up2(m), b], 1))
        u = self.u1(torch.cat([self.up1(u), a], dim=1))
        return self.out(u)


un = UNet()
print(un)
mask = (torch.rand(4, 1, 32, 32) > 0.5).float()
opt = torch.optim.SGD(un.parameters(), lr=0.05, momentum=0.9)


def dice(p, t, eps=1.0):
    p = torch.sigmoid(p)
    i = (p * t).sum((1, 2, 3))
    return 1 - ((2 * i + eps) / (p.sum((1, 2, 3)) + t.sum((1, 2, 3)) + eps)).mean()


for i in range(3):
    o = un(x)
    l = F.binary_cross_entropy_with_logits(o, mask) + dice(o, mask)
    opt.zero_grad(set_to_none=True)
    l.backward()
    g = nn.utils.clip_grad_norm_(un.parameters(), 1.0)
    opt.step()
    print(l, g)


class DenseLayer(nn.Module):
    def __init__(self, c, g):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c)
        self.conv1 = nn.Conv2d(c, g, 3, padding=1)
        self.add_module("act", nn.ELU())

    def forward(self, *xs):
        return self.act(self.conv1(self.norm1(torch.cat(xs, 1))))


class DenseBlock(nn.ModuleDict):
    def __init__(self, n, c, g):
        super().__init__()
        for i in range(n):
            self.add_module("denselayer%d" % (i + 1), DenseLayer(c + i * g, g))

    def forward(self, x):
        f = [x]
        for name, layer in self.items():
            f.append(layer(*f))
        return torch.cat(f, 1)


db = DenseBlock(3, 3, 4)
print(db, db(x).shape)
print(db(x).std(), [n for n, _ in db.named_parameters()][:5])


class SE(nn.Module):
    def __init__(self, c, r=2):
        super().__init__()
        self.fc = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(c, c // r),
            nn.ReLU(),
            nn.Linear(c // r, c),
            nn.Hardsigmoid(),
            nn.Unflatten(1, (c, 1, 1)),
        )

    def forward(self, x):
        return x * self.fc(x)


dw = nn.Sequential(
    nn.Conv2d(3, 12, 3, groups=3, padding=1, dilation=1),
    nn.ReLU6(),
    SE(12),
    nn.PixelShuffle(2),
    nn.Hardswish(),
    nn.Dropout2d(0.3),
)
print(dw, dw(x).sum())
print(
    F.adaptive_max_pool2d(x, (3, 5)).shape,
    nn.LocalResponseNorm(2)(x).norm(),
    nn.ZeroPad2d((1, 2, 0, 1))(x).shape,
    F.unfold(x, 3, stride=2).shape,
)
