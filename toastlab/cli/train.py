"""`toastlab train`: one run of one method."""

from dataclasses import replace
from typing import Annotated

from tyro.conf import arg

from toastlab.cli.options import Device, Store
from toastlab.cli.terminal import console, progress, show_run
from toastlab.core.errors import one_of
from toastlab.data.dataset import load
from toastlab.methods import MethodConfig
from toastlab.store.runs import RunStore
from toastlab.training import device as devices
from toastlab.training import ranks
from toastlab.training.config import TrainConfig
from toastlab.training.names import MODELS


def train(
    method: Annotated[MethodConfig, arg(name="")],
    config: Annotated[TrainConfig, arg(name="")],
    store: Store = "runs",
    device: Device = "auto",
) -> None:
    """Trains one network with one method and stores the run; a stored run is shown.

    toastlab train toast --data.noise-rate 0.2 --seed 1

    toastlab train toast --medoid-weight 0.6 --model resnet-small --epochs 60

    toastlab train cross-entropy --data.name cifar10 --augment.crop 4 --augment.flip

    On several GPUs: torchrun --nproc-per-node 4 -m toastlab train toast. Each takes its part of
    --batch-size.

    Args:
        method: Settings of the method.
        config: Everything else about the run.
    """
    one_of("model", config.model, MODELS)
    devices.choose(device)
    spread, group = config.spread or ranks.launched(), ranks.here()
    config, runs, screen = replace(config, method=method, spread=spread), RunStore(store), console()
    dataset = load(config.data)
    screen.print(dataset.note)
    stored = group.on_rank_zero(lambda: runs.find(config, dataset.fingerprint))
    if stored is not None:
        screen.print(f"This run is in the store already: {stored.folder}")
        return None if group.rank else show_run(stored)
    group.on_rank_zero(runs.check_writable)  # a store that can only be read gives what it has
    with progress() as bar:
        task, seen = bar.add_task("starting", total=None), ""

        def on_step(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps)

        def on_epoch(row: dict[str, float]) -> None:
            nonlocal seen
            rate = row["images"] / row["train_seconds"]
            if row["val_top1"] == row["val_top1"]:  # NaN after an epoch without validation
                seen = f", val top-1 {100 * row['val_top1']:.1f} %"
            text = f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}{seen}, {rate:,.0f} images/s"
            bar.update(task, description=text)

        run = runs.get(config, dataset=dataset, device=device, on_epoch=on_epoch, on_step=on_step)
        bar.update(task, completed=bar.tasks[task].total)
    if not group.rank:
        show_run(run)
