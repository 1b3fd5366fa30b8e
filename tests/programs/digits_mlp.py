import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset, random_split


def seed_everything(seed=42):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


seed_everything()
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
print("Using device:", device)


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for t in self.transforms:
            x = t(x)
        return x


class ToTensor:
    def __call__(self, pic):
        return torch.from_numpy(pic).unsqueeze(0).float().div(255)


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, t):
        return t.sub(self.mean).div(self.std)


class FakeMNIST(Dataset):
    def __init__(self, n, transform=None):
        self.labels = np.random.randint(0, 10, size=n)
        self.images = np.zeros((n, 28, 28), dtype=np.uint8)
        for i, l in enumerate(self.labels):
            self.images[i, 2 * l : 2 * l + 6, 4:24] = 200
            self.images[i] += np.random.randint(0, 50, size=(28, 28)).astype(np.uint8)
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        img = self.images[idx]
        if self.transform:
            img = self.transform(img)
        return img, int(self.labels[idx])


ds = FakeMNIST(600, Compose([ToTensor(), Normalize(0.1307, 0.3081)]))
train_set, val_set = random_split(ds, [500, 100], generator=torch.Generator().manual_seed(0))
print(len(train_set), len(val_set), val_set.indices[:5])
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
val_loader = DataLoader(val_set, batch_size=50)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.bn = nn.BatchNorm1d(128)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = self.drop(F.relu(self.bn(self.fc1(x))))
        return F.log_softmax(self.fc2(x), dim=1)


model = Net().to(device)
print(model)
print("params:", sum(p.numel() for p in model.parameters() if p.requires_grad))
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
print(optimizer)


def train(epoch):
    model.train()
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        if batch_idx % 4 == 0:
            print(
                f"Train Epoch: {epoch} [{batch_idx * len(data)}/{len(train_loader.dataset)} ({100.0 * batch_idx / len(train_loader):.0f}%)]\tLoss: {loss.item():.6f}"
            )


def test():
    model.eval()
    test_loss = 0
    correct = 0
    with torch.no_grad():
        for data, target in val_loader:
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    print(
        f"Test: avg loss {test_loss / len(val_loader.dataset):.4f}, acc {correct}/{len(val_loader.dataset)}"
    )


for e in range(1, 4):
    train(e)
    test()
    scheduler.step()
    print(scheduler.get_last_lr())
conf = torch.zeros(10, 10, dtype=torch.long)
with torch.no_grad():
    for d, t in val_loader:
        for a, b in zip(t.view(-1), model(d).argmax(1).view(-1)):
            conf[a.long(), b.long()] += 1
print(conf)
print(conf.diag() / conf.sum(1).clamp(min=1))
