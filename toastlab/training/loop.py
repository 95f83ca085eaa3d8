"""One training run: the loop, and checkpoints that resume to the bit.

The loop is open: explicit calls, no hooks. Nothing in the step waits for the device; the host reads
results once per epoch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from toastlab.analysis.dynamics import Dynamics
from toastlab.analysis.metrics import METRICS, evaluate
from toastlab.core.errors import BadValue, TrainingDiverged
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, Mixer, pixel_statistics
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.data.splits import DiskSplit, Split
from toastlab.methods import CrossEntropyConfig, Plan
from toastlab.methods.base import Method
from toastlab.training import checkpoint as checkpoints
from toastlab.training import device as devices
from toastlab.training import graphs
from toastlab.training.config import TrainConfig, make_optimizer, make_schedule
from toastlab.training.facts import run_facts
from toastlab.training.mixing import Mixing
from toastlab.training.models import Maker, build, check_model, draw
from toastlab.training.ranks import ALONE, Ranks, here
from toastlab.training.recorder import RunRecorder


@dataclass(frozen=True, eq=False)
class Result:
    """What a run leaves.

    Attributes:
        config: its settings.
        fingerprint: SHA-256 of the data set.
        metrics: one row per epoch: losses, times, and `val_*`, `test_*` of `metrics.evaluate`.
        dynamics: per-sample history of the training split.
        medoids: `index` [E, K] int64 (-1: none), `logits` [E, K, K] float16, `soft` [K, K] float32;
            empty for methods without medoids.
        predictions: `val_logits`, `test_logits` [N, K] float32 of the last epoch, and labels.
        weights: the network's state dict, on the CPU.
        facts: software and hardware.
    """

    config: TrainConfig
    fingerprint: str
    metrics: pd.DataFrame
    dynamics: Dynamics | None
    medoids: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    weights: dict[str, Tensor]
    facts: dict[str, str]


def train(
    config: TrainConfig,
    *,
    dataset: Dataset | None = None,
    model: nn.Module | Maker | None = None,
    device: str = "auto",
    checkpoint: Path | None = None,
    teacher: tuple[dict[str, Tensor], pd.DataFrame] | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result | None:
    """Trains one network.

    Args:
        config: the run.
        dataset: loaded already, or a user's own, on any device; None loads `config.data`.
        model: a user's own: a function that makes it, called under `config.seed`, or the network
            itself, trained in place from the weights it has. None builds `config.model`.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        checkpoint: file written after an epoch, every few seconds, and when the run is stopped; it
            is resumed from if it is there. The one before is kept beside it, for the case that this
            one is damaged.
        teacher: weights and metrics of the run of `teacher_config`, for methods that need one; None
            trains it first. Its time and images count into the first epoch.
        on_epoch: called after every epoch with its row of metrics.
        on_step: called before every step with its number and how many the run has, from 0 on.
        should_stop: asked before every step; True ends the run and `train` returns None. Not on
            several ranks, which might not be of one mind.

    With `config.spread` all ranks of a `ranks.job` call this alike, and get the same.

    Raises:
        TrainingDiverged: the loss turned NaN or infinite; the checkpoint holds the epoch before.
        ValueError: network and data do not fit, or the batch is larger than the training split, or
            the ranks cannot share it.
        StoreError: a checkpoint cannot be written; the ones before are untouched.
        DataError, DeviceError: see there.
    """
    chosen = devices.choose(device)
    ranks = here() if config.spread else ALONE
    ranks.check_device(chosen)
    if ranks.count > 1 and should_stop is not None:
        raise BadValue("should_stop cannot stop a run on several ranks: stop torchrun.")
    if config.method.needs_teacher and teacher is None:
        if isinstance(model, nn.Module):
            raise BadValue("for a teacher of a network of your own, give model=lambda: ...")
        before = train(
            teacher_config(config),
            dataset=dataset,
            model=model,
            device=device,
            should_stop=should_stop,
        )
        if before is None:
            return None
        teacher = (before.weights, before.metrics)
    with devices.reproducible(config.seed, config.threads, chosen):
        dataset = load(config.data, chosen) if dataset is None else dataset.to(chosen)
        ranks.check_equal(dataset.fingerprint, replace(config, data=DataConfig()))
        if chosen.type == "cuda":
            torch.cuda.reset_peak_memory_stats(chosen)
        run = TrainingRun(config, dataset, model, chosen, ranks)
        if teacher is not None:
            run.set_teacher(*teacher)
        first = checkpoints.resume(run, checkpoint, dataset.fingerprint)
        keeper = checkpoints.Keeper(run, checkpoint, dataset.fingerprint)
        try:
            for epoch in range(first, config.epochs):
                row = run.epoch(epoch, on_step, should_stop, checkpoint)
                if row is None:
                    return None
                keeper.keep(epoch + 1, last=epoch + 1 == config.epochs)
                if on_epoch is not None:
                    on_epoch(row)
        finally:
            keeper.flush()  # where it was stopped, or ends in an error
        return run.result()


def teacher_config(config: TrainConfig) -> TrainConfig:
    """The run that a method with a teacher learns from: cross-entropy, the same seed, and of an
    equal-images budget the first half."""
    epochs = max(1, config.epochs // 2) if config.budget == "images" else config.epochs
    warm = min(config.warmup_epochs, epochs)
    return replace(
        config,
        method=CrossEntropyConfig(),
        epochs=epochs,
        warmup_epochs=warm,
        budget="images",  # for cross-entropy both are the same
        record="none",
    )


class TrainingRun:
    """The parts of a run, put together."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        model: nn.Module | Maker | None,
        device: torch.device,
        ranks: Ranks,
        augment: Augment | None = None,
    ) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        split, classes = dataset.train, dataset.num_classes
        self.seed, self.ranks = config.seed, ranks
        batch_size = ranks.local_batch_size(config.batch_size)
        self.shards = ranks.shards(len(split), config.seed, device)
        shard = self.shards[ranks.rank] if ranks.count > 1 else None
        seeds = ranks.seeds(config.seed)
        self.generator = torch.Generator(device).manual_seed(seeds[0])
        drawing = torch.Generator(device).manual_seed(seeds[1])
        self.stream = Stream(split, batch_size, seeds[2], shard, ranks.count)
        self.method: Method = config.method.build(split.labels, classes, batch_size, drawing)
        self.make = None if isinstance(model, nn.Module) else model
        self.model = self._placed(model) if isinstance(model, nn.Module) else self._network()
        if config.compile:
            self.model.compile()
            self.method.compile_loss()
        # another run's, where it has the same images and settings
        self.augment = augment or Augment(config.augment, *_statistics(split))
        self.mixing: Mixing | None = None
        if config.augment.mix != "none":
            mixer = Mixer(config.augment, classes)
            self.mixing = Mixing(mixer, self.method.mixed_carry, self._augment, seeds[3])
        sample = self.augment.evaluate(next(iter(split.batches(2)))[0])
        check_model(self.model, sample, classes)
        mixes = self.mixing is not None
        plan = Plan(config.epochs, config.budget, mixes, config.bank, ranks.count)
        self.method.setup(self.model, sample, plan)
        self.extra = () if self.method.extra is None else (self.method.extra,)
        self.optimizer = make_optimizer(config, self.model, *self.extra)
        self.network = ranks.wrap(self.model, *self.extra)  # what is called in a step
        if ranks.count > 1:
            torch.manual_seed(seeds[4])  # dropout; what was drawn so far is the same on all ranks
        self.steps = self.method.steps(self.stream)
        self.schedule = make_schedule(config, self.optimizer, self.steps)
        self.recorder = RunRecorder(config.record, config.epochs, len(split), classes)
        ours = model is None and isinstance(split, Split)
        self.graphs = graphs.Graphs(config, device, self.steps, ours)
        self.rows: list[dict[str, float]] = []
        self.before = {"train_seconds": 0.0, "passes": 0.0, "gradients": 0.0, "steps": 0.0}

    def _network(self) -> nn.Module:
        """A new network, as the user's function makes it or as the settings have it."""
        config, data = self.config, self.dataset
        if self.make is not None:
            return self._placed(draw(self.make, config.seed))
        return self._placed(
            build(config.model, data.num_classes, data.channels, data.image_size, config.seed)
        )

    def _placed(self, model: nn.Module) -> nn.Module:
        model = model.to(self.device)
        if self.config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def set_teacher(self, weights: dict[str, Tensor], metrics: pd.DataFrame) -> None:
        """Gives the method its teacher, and counts what it cost."""
        teacher = self._network()
        teacher.load_state_dict(weights)
        self.method.set_teacher(teacher)
        self.before = {k: float(metrics[k].sum()) for k in self.before if k in metrics}

    def _augment(self, images: Tensor) -> Tensor:
        return self.augment.train(images, self.generator)

    def autocast(self) -> torch.autocast:
        """The run's precision."""
        bf16 = devices.uses_bf16(self.config.precision, self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16)

    def epoch(
        self,
        epoch: int,
        on_step: Callable[[int, int], None] | None,
        should_stop: Callable[[], bool] | None,
        checkpoint: Path | None,
    ) -> dict[str, float] | None:
        """One epoch: train, evaluate, record. Returns its row of metrics, or None if stopped."""
        started, rate = time.perf_counter(), float(self.schedule.get_last_lr()[0])
        if self.mixing is not None:
            self.mixing.start_epoch()
        self.model.train()
        take = self._step
        self.sums: dict[str, Tensor] = {}
        self.method.start_epoch(self.stream)
        for step in range(self.steps):
            if should_stop is not None and should_stop():
                return None
            if on_step is not None:
                on_step(epoch * self.steps + step, self.steps * self.config.epochs)
            if step == graphs.WRITTEN:
                take = self.graphs.step_of(self)
            take()
            self.schedule.step()
        self.ranks.mean_buffers(self.model, *self.extra)
        self.ranks.merge(self.method, self.shards)
        try:
            self.method.end_epoch()
        except TrainingDiverged as error:  # the medoids of this epoch's logits
            raise self.diverged(epoch, checkpoint) from error
        return self.close(epoch, self.sums, rate, started, checkpoint)

    def close(
        self,
        epoch: int,
        sums: dict[str, Tensor],
        rate: float,
        started: float,
        checkpoint: Path | None,
        together: int = 1,
    ) -> dict[str, float]:
        """What follows the last step of an epoch: its row of metrics, and the record.

        Args:
            sums: name -> [] of each part of the loss, over the steps; "carried": how many were.
            rate: the epoch's learning rate; started: when it began, by `time.perf_counter`.
            together: how many networks were trained as one, see `training.together`.
        """
        # what every rank made of the same bank: from now on that of rank 0, to the bit, whatever
        # their processors are
        self.ranks.broadcast(self.method.states("same", "sum").values())
        count = self.ranks.count
        images_seen = self.steps * self.method.images_per_batch * count
        passes, gradients = self.method.passes * count, self.method.gradients * count
        costs = {"passes": passes, "gradients": gradients, "steps": 1}
        row: dict[str, float] = {"epoch": epoch + 1, "learning_rate": rate}
        # one sum over the ranks and one wait for the device, for all of them
        parts = self.ranks.all_reduce(torch.stack(list(sums.values()))).tolist()
        total, each = dict(zip(sums, parts, strict=True)), self.steps * count
        all_carried = total.pop("carried")
        row |= {name: part / each for name, part in total.items()}
        row |= {"carried_share": all_carried / images_seen, "images": images_seen}
        row |= {name: float(self.steps * cost) for name, cost in costs.items()}
        row["train_seconds"] = time.perf_counter() - started
        if self.device.type == "cuda":
            row["peak_memory"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        if self.config.spread:
            row["ranks"] = count
        if together > 1:
            row["together"] = together
        if epoch == 0:
            row |= {name: row[name] + spent for name, spent in self.before.items()}
        if not (math.isfinite(row["loss"]) and self._finite()):
            raise self.diverged(epoch, checkpoint)
        row |= self.method.report()
        row["under_trained"] = self._under_trained()
        looked = (epoch + 1) % self.config.evaluate_every == 0 or epoch + 1 == self.config.epochs
        for name, split in (("val", self.dataset.val), ("test", self.dataset.test)):
            measures = (
                evaluate(*self.predict(split)) if looked else dict.fromkeys(METRICS, math.nan)
            )
            row |= {f"{name}_{k}": v for k, v in measures.items()}
        self.recorder.add(epoch, self.method)
        self.rows.append(row)
        return row

    def _step(self) -> None:
        """One step, from draw to update; nothing waits for the device."""
        batch = self.method.draw(self.stream)
        images = self._augment(batch.images)
        if self.mixing is not None:
            images = self.mixing(images, batch, self.stream)
        with self.autocast():
            logits = self.method.run_model(self.network, images, batch)
        loss = self.method.loss(logits, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.method.update(logits, batch)
        carried = batch.carried.sum(dtype=torch.float32)
        graphs.add(self.sums, {"loss": loss.total.detach(), **loss.parts, "carried": carried})

    def _under_trained(self) -> float:
        """Share of the samples seen so far that the network got wrong at their last visit."""
        bank = self.method.bank
        wrong = (bank.logits.argmax(1) != self.method.labels) & bank.seen
        return float(wrong.sum() / bank.seen.sum().clamp(min=1))

    def _finite(self) -> bool:
        each = [torch.isfinite(p).all() for p in self.model.parameters()]
        return not each or bool(torch.stack(each).all())  # one wait for all of them

    def diverged(self, epoch: int, checkpoint: Path | None) -> TrainingDiverged:
        kept = f" The state after epoch {epoch} is kept in {checkpoint}."
        return TrainingDiverged(
            f"the loss turned NaN or infinite in epoch {epoch + 1}: lower the learning rate (now "
            f"{self.config.learning_rate:g}) or look for extreme pixels."
            + (kept if checkpoint is not None and checkpoint.exists() else "")
        )

    @torch.no_grad()
    def predict(self, split: Split | DiskSplit) -> tuple[Tensor, Tensor]:
        """Logits [N, K] float32 and labels [N] of a split, in evaluation mode."""
        self.model.eval()
        logits, labels, ranks, n = [], [], self.ranks, len(split)
        for images, truth in split.batches(1024, ranks.part(n)):
            with self.autocast():
                out = self.model(self.augment.evaluate(images))
            logits.append(out.float())
            labels.append(truth)
        return ranks.all_gather(torch.cat(logits), n), ranks.all_gather(torch.cat(labels), n)

    def result(self) -> Result:
        """Everything to keep, on the CPU."""
        predictions: dict[str, np.ndarray] = {}
        for name, split in (("val", self.dataset.val), ("test", self.dataset.test)):
            logits, labels = self.predict(split)
            predictions[f"{name}_logits"] = logits.cpu().numpy()
            predictions[f"{name}_labels"] = labels.cpu().numpy()
        return Result(
            config=self.config,
            fingerprint=self.dataset.fingerprint,
            metrics=pd.DataFrame(self.rows, dtype=np.float64),
            dynamics=self.recorder.dynamics(self.dataset.train),
            medoids=self.recorder.medoids(self.method),
            predictions=predictions,
            weights={
                name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
                for name, tensor in self.model.state_dict().items()
            },
            facts=run_facts(self.config, self.device, self.rows) | self.graphs.facts,
        )


def _statistics(split: Split | DiskSplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel; of a split on disk, over its first 2,048 images."""
    if isinstance(split, Split):
        return pixel_statistics(split.images)
    some = torch.arange(min(2048, len(split)))
    return pixel_statistics(torch.cat([images for images, _ in split.batches(256, some)]))
