"""What `test_own_loop.py` has two processes do: a plain loop under DistributedDataParallel."""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from tests.helpers import carrying, tiny
from toastlab.methods import OlsConfig
from toastlab.methods.ols import Ols

EPOCHS = 3


class Watched(Ols):
    """OLS that keeps the counts it has when all ranks' are together."""

    def make_state(self) -> None:
        super().make_state()
        self.merged: list[Tensor] = []

    def _finish_epoch(self) -> None:
        self.merged.append(self.counts.clone())
        super()._finish_epoch()


def main(out: Path) -> None:
    dist.init_process_group("gloo")
    split, rank = tiny().train, dist.get_rank()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
    network = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    every = torch.arange(len(split))
    rows = TensorDataset(split.images_at(every).float() / 255, split.labels, every)
    sampler: DistributedSampler[Any] = DistributedSampler(rows, seed=1)
    loader = DataLoader(rows, 8, sampler=sampler)
    toast = carrying().build(split.labels, 4, 8)
    ols = Watched(split.labels, 4, 8, OlsConfig())
    left: dict[str, Any] = {}
    right = torch.zeros((), dtype=torch.int64)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        right.zero_()
        for images, labels, index in loader:
            batch = toast.join(images, labels, index)
            logits = network(batch.images)
            loss = toast(logits, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            left["toast last"] = _unique(batch.index, logits)
            plain = ols.join(images, labels, index)
            with torch.no_grad():
                said = network(plain.images)
                ols(said, plain)
            right += (said.argmax(1) == labels).sum()
            left["ols last"] = (index, said)
        toast.end_epoch()
        ols.end_epoch()
        left["ols counts"] = ols.merged[-1]
    left["ols right"] = right
    left["state"] = toast.state_dict()
    left["toast bank"], left["ols bank"] = toast.bank.logits, ols.bank.logits
    left["weights"] = [p.detach() for p in model.parameters()]
    torch.save(left, out / f"rank{rank}.pt")
    dist.destroy_process_group()


def _unique(index: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The last batch, without samples that stand in it twice or that another rank saw too."""
    once = (index[:, None] == index).sum(1) == 1
    return index[once], logits.detach()[once]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
