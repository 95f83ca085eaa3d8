"""TOAST in a plain PyTorch loop: any network, any DataLoader whose data set also yields the index.

    python docs/examples/plain_pytorch.py --epochs 10

With autocast, accumulated gradients, fresh views of the carried images, and a checkpoint that holds
all there is. Needs torch and torchvision; the data come with toastlab.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2

from toastlab import DataConfig, ToastConfig, load


class Indexed(Dataset[tuple[Tensor, Tensor, int]]):
    """Any data set of (image, label), with the sample's index as a third."""

    def __init__(self, inner: Dataset[tuple[Tensor, ...]], size: int) -> None:
        self.inner, self.size = inner, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, int]:
        image, label = self.inner[i]
        return image, label, i


def main(epochs: int, accumulate: int, checkpoint: Path, device: str) -> float:
    """Trains a small network; returns its top-1 on the test split."""
    data = load(DataConfig(noise_rate=0.2))
    labels = data.train.labels
    inner = TensorDataset(data.train.images_at(torch.arange(len(labels))), labels)
    loader = DataLoader(Indexed(inner, len(labels)), batch_size=128, shuffle=True)
    augment = v2.Compose(  # on the device, after join: so carried images are seen afresh
        [v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")
    toast = ToastConfig().build(labels.to(device), num_classes=10, batch_size=128)
    parts: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "scaler": scaler,
        "toast": toast,
    }
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        first = saved.pop("epoch")
        for name, state in saved.items():
            parts[name].load_state_dict(state)
    for epoch in range(first, epochs):
        model.train()
        for step, (images, truth, index) in enumerate(loader, 1):
            batch = toast.join(images.to(device), truth.to(device), index.to(device))
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = toast(model(augment(batch.images)), batch)
            scaler.scale(loss / accumulate).backward()
            if step % accumulate == 0:
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        toast.end_epoch()
        states = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**states, "epoch": epoch + 1}, checkpoint)
    model.eval()
    test = data.test
    with torch.no_grad():
        pixels = test.images_at(torch.arange(len(test))).to(device).float() / 255
        right = model(pixels).argmax(1).cpu() == test.labels
    return float(right.float().mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--accumulate", type=int, default=1, help="batches for each update")
    parser.add_argument("--checkpoint", type=Path, default=Path("toast.pt"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    top1 = main(**vars(parser.parse_args()))
    print(f"test top-1 {100 * top1:.1f} %")
