"""Three lines in a loop of your own, and a table of what it says of every sample.

    python docs/examples/recorder.py

Nothing here is toastlab's but the recorder and what is made of it.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from toastlab import Analysis, DataConfig, Recorder, analyse, load


def main(epochs: int = 10, out: Path = Path("samples.csv"), device: str = "cpu") -> Analysis:
    """Trains a small network on labels of which a fifth is wrong, and writes the table."""
    data = load(DataConfig(noise_rate=0.2)).train
    every = torch.arange(len(data))
    rows = TensorDataset(data.images_at(every).float() / 255, data.labels, every)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    model = model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    recorder = Recorder(num_samples=len(data), num_classes=10)  # 1
    for _ in range(epochs):
        for images, labels, index in DataLoader(rows, 128, shuffle=True):
            logits = model(images.to(device))
            F.cross_entropy(logits, labels.to(device)).backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.add(index, logits)  # 2
        recorder.end_epoch()  # 3
    analysis = analyse(
        recorder, data.labels, ids=data.ids, clean_labels=data.clean_labels, images=data.images_at
    )
    analysis.save(out)
    return analysis


if __name__ == "__main__":
    found = main()
    wrong = found.suspicious(100)["flipped"].mean()
    print(f"Of the 100 most doubtful labels {100 * wrong:.0f} % are wrong.")
