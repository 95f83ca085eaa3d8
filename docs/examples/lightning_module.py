"""TOAST in Lightning: the method is a submodule, so that its state goes into every checkpoint.

    pip install lightning
    python docs/examples/lightning_module.py

The four lines that make it TOAST are in `__init__`, `training_step` and `on_train_epoch_end`.
"""

from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from toastlab import DataConfig, ToastConfig, load


class Classifier(lightning.LightningModule):
    """A small network trained with TOAST; any network would do."""

    def __init__(self, labels: Tensor, num_classes: int, batch_size: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, num_classes)
        )
        self.toast = ToastConfig().build(labels, num_classes, batch_size)

    def training_step(self, rows: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        batch = self.toast.join(*rows)
        loss: Tensor = self.toast(self.model(batch.images), batch)
        self.log_dict({"loss": loss, **self.toast.parts}, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.toast.end_epoch()

    def test_step(self, rows: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = rows
        logits = self.model(images)
        self.log("test_nll", F.cross_entropy(logits, labels))
        self.log("test_top1", (logits.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)


def main(epochs: int = 10, **options: Any) -> tuple[lightning.Trainer, Classifier, float]:
    """Trains it; returns the trainer, the module and its top-1 on the test split."""
    data = load(DataConfig(noise_rate=0.2))
    every = torch.arange(len(data.train))
    images = data.train.images_at(every).float() / 255
    rows = TensorDataset(images, data.train.labels, every)
    test = TensorDataset(
        data.test.images_at(torch.arange(len(data.test))).float() / 255, data.test.labels
    )
    module = Classifier(data.train.labels, num_classes=10, batch_size=128)
    trainer = lightning.Trainer(max_epochs=epochs, logger=False, **options)
    trainer.fit(module, DataLoader(rows, 128, shuffle=True))
    measures = trainer.test(module, DataLoader(test, 1024), verbose=False)[0]
    return trainer, module, float(measures["test_top1"])


if __name__ == "__main__":
    print(f"test top-1 {100 * main()[2]:.1f} %")
