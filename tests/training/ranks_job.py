"""What `test_ranks.py` has two processes do: `torchrun ... ranks_job.py killed|together ...`."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.helpers import carrying, tiny
from toastlab.cli import main as cli
from toastlab.core.errors import StoreError
from toastlab.core.losses import Loss
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.data.splits import Split
from toastlab.methods import (
    CONFIGS,
    ByotConfig,
    CrossEntropyConfig,
    DlbConfig,
    MethodConfig,
    Plan,
    PsKdConfig,
)
from toastlab.methods.base import Method
from toastlab.methods.ols import Ols
from toastlab.store.runs import RunStore
from toastlab.training import loop as training
from toastlab.training import ranks
from toastlab.training.config import TrainConfig

SMALL = TrainConfig(epochs=2, batch_size=16, spread=True)
DIGITS = TrainConfig(data=DataConfig(name="digits"), epochs=4, batch_size=64, spread=True)
MIXUP = AugmentConfig(crop=1, mix="mixup")
KILLED_AT = 40  # of 4 x 16 steps
RUNS: dict[str, TrainConfig] = {
    **{name: replace(SMALL, method=config()) for name, config in CONFIGS.items()},
    "ps-kd network": replace(SMALL, method=PsKdConfig(source="network")),
    "extra": replace(SMALL, method=carrying(layout="extra", criterion="all"), budget="samples"),
    "memory": replace(SMALL, method=carrying(source="memory", criterion="random")),
    "distilled": replace(SMALL, method=carrying(carried_loss="distilled")),
    "mixed": replace(SMALL, method=carrying(mixed_carry="stored"), augment=MIXUP),
    "repeated": replace(SMALL, method=DlbConfig(), augment=MIXUP),
    "batch norm": replace(SMALL, model="resnet-small", method=CONFIGS["byot"]()),
}


# The hint's weight is 1e-6 by default: too little to see in a gradient.
GRADIENTS: dict[str, MethodConfig] = {
    "cross-entropy": CrossEntropyConfig(),
    "byot": ByotConfig(feature_weight=1.0),
}


def odd() -> Dataset:
    """63 training images, which two ranks cannot share evenly."""
    whole = tiny()
    assert isinstance(whole.train, Split)
    images, labels = whole.train.images[:63], whole.train.labels[:63]
    return replace(whole, train=Split(images, labels, labels), fingerprint="odd")


def watched(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Trains, and tells what this rank has at the end."""
    kept: list[training.TrainingRun] = []
    lots: list[Tensor] = []
    result = training.TrainingRun.result

    def keep(self: training.TrainingRun) -> training.Result:
        kept.append(self)
        lots.append(torch.rand(3))  # from what dropout draws from
        return result(self)

    training.TrainingRun.result = keep  # type: ignore[method-assign]
    found = training.train(config, dataset=dataset, device="cpu")
    training.TrainingRun.result = result  # type: ignore[method-assign]
    assert found is not None
    run, own = kept[0], ("generator", "carry.", "again.")
    state = {k: v for k, v in run.method.state_dict().items() if not k.startswith(own)}
    return {
        "state": state,
        "weights": found.weights,
        "metrics": found.metrics.drop(columns="train_seconds").to_dict("list"),
        "top1": float(found.metrics.test_top1.iloc[-1]),
        "drawn": run.shards[run.ranks.rank] if run.ranks.count > 1 else None,
        "facts": found.facts,
        "dropout": lots[0],
    }


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4))
    model.exits = ("1",)  # type: ignore[assignment]
    return model


def gradients(config: MethodConfig, group: ranks.Ranks) -> list[Tensor]:
    """Of one step on the first 16 images, this rank's share of them."""
    data, size = tiny(), group.local_batch_size(16)
    mine = torch.arange(16).split(size)[group.rank]
    method, model = config.build(data.train.labels, 4, size), network()
    images = next(iter(data.train.batches(64)))[0] / 255
    torch.manual_seed(0)
    method.setup(model, images[:2], Plan(ranks=group.count))
    extra = () if method.extra is None else (method.extra,)
    called = group.wrap(model, *extra)
    batch = method._batch(mine, images[mine])
    loss: Loss = method.loss(method.run_model(called, batch.images, batch), batch)
    loss.total.backward()  # type: ignore[no-untyped-call]
    found = [p.grad for module in (model, *extra) for p in module.parameters()]
    return [g for g in found if g is not None]


def killed(store: str) -> None:
    """`toastlab train`, whose rank 1 kills itself in the third epoch."""
    step, count = training.TrainingRun._step, [0]

    def fatal(self: training.TrainingRun) -> None:
        count[0] += 1
        if count[0] == KILLED_AT and self.ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self)

    training.TrainingRun._step = fatal  # type: ignore[method-assign]
    options = ["--data.name", "digits", "--epochs", "4", "--batch-size", "64", "--device", "cpu"]
    cli.main(["train", "toast", *options, "--store", store])


def together(group: ranks.Ranks, out: Path, folder: str) -> None:
    """Everything else that needs two ranks; each leaves what it has in a file."""
    sums: list[Tensor] = []
    merge = ranks.Ranks.merge

    def noted(self: ranks.Ranks, method: Method, *args: Any) -> None:
        before = [method.counts.clone()] if isinstance(method, Ols) else []
        merge(self, method, *args)
        if isinstance(method, Ols):
            sums.extend([*before, method.counts.clone()])

    ranks.Ranks.merge = noted  # type: ignore[method-assign, assignment]
    found: dict[str, Any] = {name: watched(config, tiny()) for name, config in RUNS.items()}
    found["odd"] = watched(SMALL, odd())
    found["ols sums"] = sums[:2]
    streamed = DataConfig(name="folder", path=folder, stream=True, workers=0)
    found["streamed"] = watched(replace(SMALL, data=streamed), load(streamed))
    digits = load(DIGITS.data)
    found["seeds"] = [watched(replace(DIGITS, seed=s), digits)["top1"] for s in range(3)]
    for name, method in GRADIENTS.items():
        found[f"{name} gradients"] = gradients(method, group)
    for name in ("whole", "interrupted", "grown"):
        run = RunStore(out / name).get(DIGITS, dataset=digits, device="cpu")
        assert run is not None
        found[name] = (run.key, run.facts["ranks"])

    def refuse() -> None:
        raise StoreError(f"said on rank {ranks.here().rank}")

    try:
        group.on_rank_zero(refuse)
    except StoreError as error:
        found["error"] = str(error)
    torch.save(found, out / f"rank{group.rank}.pt")


if __name__ == "__main__":
    if sys.argv[1] == "killed":
        killed(sys.argv[2])
    else:
        with ranks.job() as joined:
            together(joined, Path(sys.argv[2]), sys.argv[3])
