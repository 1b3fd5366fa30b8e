"""Train a small convolutional network on scikit-learn's handwritten digits. Written for ``import torch`` alone.

    rushlight run examples/digits.py

It prints the test accuracy, saves a checkpoint and draws the loss and the accuracy as a PNG.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm


class Net(nn.Module):
    """Two convolutions and two linear layers for 8 x 8 images."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Dropout(0.25), nn.Linear(64, 10)
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def load(batch_size):
    """The digits, scaled to 0..1, in a loader for training and one for testing."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target, dtype=torch.long)
    train, test = train_test_split(range(len(labels)), test_size=0.25, random_state=0, stratify=digits.target)
    return (
        DataLoader(TensorDataset(images[train], labels[train]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(images[test], labels[test]), batch_size=256),
    )


def evaluate(model, loader):
    """The share of images that the model classifies rightly."""
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return right / len(loader.dataset)


def plot(losses, accuracies, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    epochs = range(1, len(losses) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    left.plot(epochs, losses, marker="o")
    left.set(title="training loss", xlabel="epoch", ylabel="cross entropy")
    right.plot(epochs, accuracies, marker="o", color="tab:green")
    right.set(title="test accuracy", xlabel="epoch", ylabel="share of right answers", ylim=(min(accuracies) - 0.02, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--accuracy", type=float, default=0.97, help="exit with an error below this test accuracy")
    parser.add_argument("--out", type=Path, default=Path("examples/out"))
    args = parser.parse_args()

    torch.manual_seed(0)
    train, test = load(args.batch_size)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=4 * args.lr, epochs=args.epochs, steps_per_epoch=len(train)
    )
    losses, accuracies = [], []
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        bar = tqdm(train, desc=f"epoch {epoch}/{args.epochs}", leave=False, file=sys.stderr)
        for x, y in bar:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(y)
            bar.set_postfix(loss=f"{loss.item():.3f}")
        losses.append(total / len(train.dataset))
        accuracies.append(evaluate(model, test))
        print(f"epoch {epoch:2}  loss {losses[-1]:.4f}  test accuracy {accuracies[-1]:.4f}  lr {schedule.get_last_lr()[0]:.5f}")

    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "digits.pt"
    torch.save({"model": model.state_dict(), "epochs": args.epochs, "accuracy": accuracies[-1]}, checkpoint)
    plot(losses, accuracies, args.out / "digits.png")

    restored = Net()
    restored.load_state_dict(torch.load(checkpoint)["model"])
    accuracy = evaluate(restored, test)
    print(f"test accuracy {accuracy:.4f}, checkpoint {checkpoint}, plot {args.out / 'digits.png'}")
    if accuracy < args.accuracy:
        sys.exit(f"the test accuracy is under {args.accuracy}")


if __name__ == "__main__":
    main()
