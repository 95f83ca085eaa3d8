"""Many networks trained as one: seeds and settings of equal shape, by `torch.func`.

A small network does not fill a GPU: its step is as many launches as a large one's, and they take
most of its time. Here M runs of equal shape share each launch. What a run is made of (network,
method, stream, generators) is made for each as in `loop.train`; for an epoch the tensors of all are
stacked [M, ...], and `vmap` makes one step of M. The methods' own code does the sums, with nothing
changed; afterwards each run has its tensors back, ends its epoch, evaluates and is recorded by
itself, so that its checkpoint and its result are those of any other run. What is drawn per image
(crop, flip, Cutout) is drawn run by run, each from its own generator.

Two things differ from one run alone. Sums are taken in another order, so that results are equal
within floating-point error and not to the bit, and which networks stand beside a run decides about
its last bits: `facts.json` says "together". And `train_seconds` is the run's share of the time.
"""

import copy
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.overrides import TorchFunctionMode

from toastlab.core.errors import BadValue, TrainingDiverged
from toastlab.data.augment import AugmentConfig, Draw
from toastlab.data.dataset import DataConfig, Dataset
from toastlab.data.splits import Split
from toastlab.methods import CONFIGS, CrossEntropyConfig, MethodConfig, Toast, ToastConfig
from toastlab.training import checkpoint as checkpoints
from toastlab.training import device as devices
from toastlab.training import graphs
from toastlab.training.config import TrainConfig, make_optimizer, make_schedule
from toastlab.training.loop import Result, TrainingRun
from toastlab.training.models import build
from toastlab.training.names import MODELS
from toastlab.training.ranks import ALONE

# The methods that can be trained so, and their settings that may differ among networks trained as
# one: those that no step reads on the host, since they act where an epoch ends or lie in a buffer.
# Not here: what draws at random in a step, looks into the network, or has a second one.
_MAY_DIFFER: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cross-entropy", "tf-kd", "ps-kd", "dlb", "selc", "elr"), ()),
    **dict.fromkeys(("zipf", "gce", "sce"), ()),
    "label-smoothing": ("smoothing",),
    "ols": ("weight", "first"),
    "toast": (
        *("medoid_weight", "medoid_temperature", "distance", "scope", "no_candidate"),
        *("refresh_every", "medoid_memory", "prototype", "ramp", "fit_from", "fit_full"),
    ),
}
MAY_DIFFER: dict[type[MethodConfig], tuple[str, ...]] = {
    CONFIGS[name]: settings for name, settings in _MAY_DIFFER.items()
}
SAME_IMAGES = ("noise", "noise_rate", "noise_seed")  # settings of data that change labels only
MOST = 128  # networks trained as one; more bring little and take memory
Pair = tuple[TrainingRun, "Wanted"]


@dataclass(frozen=True, eq=False)
class Wanted:
    """A run to be trained with others.

    Attributes:
        config, dataset: as of `loop.train`.
        checkpoint: its own file, or None.
    """

    config: TrainConfig
    dataset: Dataset
    checkpoint: Path | None = None


def why_alone(config: TrainConfig) -> str:
    """Why such a run cannot be trained together with others, in words; empty: it can."""
    method = config.method
    reasons = {
        f"{method.name} is not among the methods that can": type(method) not in MAY_DIFFER,
        "its carry is drawn at random in every step": (
            getattr(method, "random_carry", False) or getattr(method, "criterion", "") == "random"
        ),
        "a copy of the network is asked in every step": getattr(method, "source", "") == "network",
        "its images are mixed": config.augment.mix != "none",
        "its images are read from disk": config.data.stream,
        "it is compiled": config.compile,
        "it is spread over several processes": config.spread,
        f"{config.model} is a network of your own": config.model not in MODELS,
    }
    why = next((reason for reason, holds in reasons.items() if holds), "")
    if not why and _draws(config.model):
        why = f"{config.model} has dropout, which is drawn in every step"
    return why


@lru_cache
def _draws(model: str) -> bool:
    """Whether the network draws at random in a step."""
    with torch.device("meta"):  # shapes without contents
        modules = list(build(model, 2, 3, 32).modules())
    dropout = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return any(isinstance(m, dropout) and m.p > 0 for m in modules)


def groups(configs: Sequence[TrainConfig]) -> list[list[int]]:
    """Positions of the runs that can be trained as one; those that cannot stand alone."""
    alike: dict[Any, list[int]] = {}
    for i, config in enumerate(configs):
        alike.setdefault(i if why_alone(config) else _shape(config), []).append(i)
    cut = [same[at : at + MOST] for same in alike.values() for at in range(0, len(same), MOST)]
    return sorted(cut)


def _shape(config: TrainConfig) -> Hashable:
    """What runs trained as one have in common."""
    method = config.method
    own = {k: v for k, v in vars(method).items() if k not in MAY_DIFFER[type(method)]}
    if isinstance(method, ToastConfig):  # above 0 each network has its own
        own["past_weight"] = method.past_weight > 0
    before = DataConfig()
    data = replace(config.data, **{name: getattr(before, name) for name in SAME_IMAGES})
    frame = replace(config, seed=0, data=data, method=CrossEntropyConfig())
    return frame, type(method), tuple(own.items())


def train_together(
    wanted: Sequence[Wanted],
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Result | TrainingDiverged]]:
    """Trains runs of equal shape as one; yields the position and the result of each as it ends.

    A run goes on from its checkpoint, whichever way that was made; those that are equally far are
    trained as one. A run that diverges is yielded with its error, and the others go on. Where
    `should_stop` ends it, nothing more is yielded.

    Raises:
        ValueError: a run cannot be trained so, or they are not of equal shape.
        Errors of `loop.train` otherwise.
    """
    for one in wanted:
        if why := why_alone(one.config):
            raise BadValue(f"this run cannot be trained together with others: {why}.")
    if len({_shape(one.config) for one in wanted}) > 1:
        raise BadValue(
            "these runs differ in more than seeds, labels and settings of an epoch's end."
        )
    chosen = devices.choose(device)
    if not wanted:
        return
    first = wanted[0].config
    with devices.reproducible(first.seed, first.threads, chosen):
        runs = _made(wanted, chosen)
        at = [checkpoints.resume(r, w.checkpoint, w.dataset.fingerprint) for r, w in runs]
        for epoch in sorted(set(at)):
            members = [i for i, epochs in enumerate(at) if epochs == epoch]
            yield from _train(members, runs, epoch, should_stop)


def _made(wanted: Sequence[Wanted], device: torch.device) -> list[Pair]:
    """The runs, their images in memory once."""
    runs: list[Pair] = []
    images: Tensor | None = None
    lead: TrainingRun | None = None
    moved = {id(one.dataset): one.dataset.to(device) for one in wanted}
    for one in wanted:
        data = moved[id(one.dataset)]
        train = data.train
        if not isinstance(train, Split):
            raise BadValue("networks are trained together on images in memory: set stream=False.")
        if images is None:
            images = train.images
        elif images.shape != train.images.shape or not torch.equal(images, train.images):
            raise BadValue("networks are trained together on the same images; these differ.")
        data = replace(data, train=replace(train, images=images))
        run = TrainingRun(one.config, data, None, device, ALONE, lead.augment if lead else None)
        lead = lead or run
        run.graphs = lead.graphs  # one memory for the steps of all
        runs.append((run, one))
    return runs


def _train(
    members: list[int], runs: list[Pair], epoch: int, should_stop: Callable[[], bool] | None
) -> Iterator[tuple[int, Result | TrainingDiverged]]:
    """Trains those that have as many epochs behind them to their end."""
    for now in range(epoch, runs[0][1].config.epochs):
        left = []
        for alike in _of_one_path(members, runs):
            shared = _Epoch([runs[i][0] for i in alike])
            if not shared.steps(should_stop):
                return
            for k, i in enumerate(alike):
                run, one = runs[i]
                try:
                    shared.close(k, now, one.checkpoint)
                except TrainingDiverged as error:
                    yield i, error
                    continue
                if one.checkpoint is not None:
                    checkpoints.save(run, one.checkpoint, now + 1, one.dataset.fingerprint)
                left.append(i)
        members = sorted(left)
    for i in members:
        yield i, runs[i][0].result()


def _of_one_path(members: list[int], runs: list[Pair]) -> list[list[int]]:
    """Those whose steps take the same path in the coming epoch: a ramp may have begun or not."""
    alike: dict[bool, list[int]] = {}
    for i in members:
        alike.setdefault(getattr(runs[i][0].method, "distils", True), []).append(i)
    return list(alike.values())


class _Network(nn.Module):
    """All that a step of one run reads and writes, as parameters and buffers; called, it is a step
    without the optimizer's."""

    order: Tensor
    pointer: Tensor
    past_weight: Tensor

    def __init__(self, run: TrainingRun) -> None:
        super().__init__()
        self.model, self.method = run.model, run.method
        self.register_buffer("order", run.stream.order)
        self.register_buffer("pointer", run.stream.pointer)
        if isinstance(self.method, Toast):  # what a ramp made of it differs
            weight = torch.tensor(self.method.past_weight, device=run.stream.order.device)
            self.register_buffer("past_weight", weight)
        self.run = run

    def forward(self, drawn: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss [], and its parts, with how many samples were carried."""
        run, stream = self.run, self.run.stream
        stream.order, stream.pointer = self.order, self.pointer
        if isinstance(self.method, Toast):
            self.method.past_weight = self.past_weight
        batch = self.method.next_batch(stream)
        self.pointer = stream.pointer
        names = ("top", "left", "flip", "centre_y", "centre_x")
        images = run.augment.apply(batch.images, Draw(**{n: drawn.get(n) for n in names}))
        with run.autocast():
            logits = self.method.run_model(self.model, images, batch)
        loss = self.method.loss(logits, batch)
        self.method.update(logits, batch)
        carried = batch.carried.sum(dtype=torch.float32)
        return loss.total, {"loss": loss.total.detach(), **loss.parts, "carried": carried}


class _Stackable(TorchFunctionMode):
    """Operations for which vmap has no rule, so that it would do them network by network, by others
    that are the same: `index_copy_` and `index_add_` along the first axis, `scatter_`, pooling to
    one pixel."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.index_copy_ and args[1] == 0:
            return args[0].index_put_((args[2],), args[3])
        if func is Tensor.index_add_ and args[1] == 0 and not kwargs:
            return args[0].index_put_((args[2],), args[3], accumulate=True)
        if func is Tensor.scatter_:
            return args[0].copy_(args[0].scatter(*args[1:]))
        if func is F.adaptive_avg_pool2d and args[1:] in ((1,), ((1, 1),)):
            return args[0].mean((-2, -1), keepdim=True)
        return func(*args, **(kwargs or {}))


class _Epoch:
    """One epoch of M runs that are equally far: stacked at its begin, and given back at its end."""

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        self.runs, lead = runs, runs[0]
        self.config, self.began = lead.config, time.perf_counter()
        for run in runs:
            run.model.train()
            run.method.start_epoch(run.stream)
        self.networks = [_Network(run) for run in runs]
        parameters, self.buffers = stack_module_state(self.networks)  # type: ignore[arg-type]
        # as the optimizer wants them; the numbers are those that were stacked
        self.parameters: dict[str, Tensor] = {
            name: nn.Parameter(p.detach()) for name, p in parameters.items()
        }
        self.rate = float(lead.schedule.get_last_lr()[0])
        self.optimizer, self.schedule = self._stacked_optimizer(lead)
        # the first network does the arithmetic for all, on tensors that are lent to it
        self.step = torch.vmap(self._one)
        self.sums: dict[str, Tensor] = {}
        self._draws = [run.generator for run in runs if run.config.augment != AugmentConfig()]

    def _one(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], drawn: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """A step of one network: loss, its parts, and the buffers after it."""
        state = {**parameters, **buffers}  # functional_call leaves here what was put in place
        total, parts = functional_call(self.networks[0], state, (drawn,))
        return total, parts, {name: state[name] for name in buffers}

    def _stacked_optimizer(self, lead: TrainingRun) -> tuple[torch.optim.Optimizer, Any]:
        every = nn.ParameterList(list(self.parameters.values()))
        optimizer = make_optimizer(self.config, every, fused=lead.device.type == "cuda")
        each = [[run.optimizer.state[p] for p in _trained(run)] for run in self.runs]
        for j, parameter in enumerate(self.parameters.values()):
            for name, value in each[0][j].items():
                shaped = isinstance(value, Tensor) and value.shape == parameter.shape[1:]
                stacked = [states[j][name] for states in each]
                # a count of steps, say, is the same for all
                optimizer.state[parameter][name] = (
                    torch.stack(stacked) if shaped and name != "step" else copy.deepcopy(value)
                )
        schedule = make_schedule(self.config, optimizer, lead.steps)
        schedule.load_state_dict(lead.schedule.state_dict())
        optimizer.param_groups[0]["lr"] = lead.optimizer.param_groups[0]["lr"]
        return optimizer, schedule

    def steps(self, should_stop: Callable[[], bool] | None) -> bool:
        """All steps of the epoch; False if it was stopped, after which the runs are of no use."""
        lead, take = self.runs[0], self._step
        with _Stackable():
            for i in range(lead.steps):
                if should_stop is not None and should_stop():
                    return False
                if i == graphs.WRITTEN:
                    take = lead.graphs.record(self._in_place, self.optimizer, self._draws) or take
                take()
                self.schedule.step()
        self._give_back()
        devices.wait(lead.device)  # what is still to be done is everybody's time
        self.share = (time.perf_counter() - self.began) / len(self.runs)
        return True

    def _step(self) -> None:
        total, parts, self.buffers = self.step(self.parameters, self.buffers, self._drawn())
        self.optimizer.zero_grad(set_to_none=True)
        total.sum().backward()  # each loss knows its own parameters only
        self.optimizer.step()
        graphs.add(self.sums, parts)

    def _in_place(self) -> None:
        """The same for a graph: see `graphs.InPlace`."""
        before = self.buffers
        try:
            self._step()
            graphs.copy_all(list(before.values()), [self.buffers[name] for name in before])
        finally:
            self.buffers = before

    def _drawn(self) -> dict[str, Tensor]:
        """[M, B] of all that chance decides about the images, from each run's own generator."""
        draws = []
        for run in self.runs:
            some = run.dataset.train.images[:1]  # type: ignore[union-attr]
            batch = some.expand(run.method.images_per_batch, -1, -1, -1)
            draws.append(vars(run.augment.draw(batch, run.generator)))
        names = [name for name, value in draws[0].items() if value is not None]
        return {name: torch.stack([draw[name] for draw in draws]) for name in names}

    @torch.no_grad()
    def _give_back(self) -> None:
        """Each run has its tensors again, as copies: a view would be saved with the whole stack."""
        for k, (run, network) in enumerate(zip(self.runs, self.networks, strict=True)):
            own = dict(network.named_parameters())
            for name, stacked in self.parameters.items():
                own[name].copy_(stacked[k])
            for name, stacked in self.buffers.items():
                path, _, last = name.rpartition(".")
                if name not in ("order", "pointer", "past_weight", "method.labels"):
                    network.get_submodule(path)._buffers[last] = stacked[k].clone()
            run.stream.order = network.order
            run.stream.pointer = self.buffers["pointer"][k].clone()
            for parameter, stacked in zip(_trained(run), self.parameters.values(), strict=True):
                run.optimizer.state[parameter] = {
                    name: value[k].clone()
                    if isinstance(value, Tensor) and value.shape == stacked.shape
                    else copy.deepcopy(value)
                    for name, value in self.optimizer.state[stacked].items()
                }
            run.schedule.load_state_dict(self.schedule.state_dict())
            run.optimizer.param_groups[0]["lr"] = self.optimizer.param_groups[0]["lr"]

    def close(self, k: int, epoch: int, checkpoint: Path | None) -> None:
        """Ends the epoch of the k-th run: medoids, metrics, record; `TrainingDiverged` of it. Its
        time is its share of the steps, and its own end."""
        run, started = self.runs[k], time.perf_counter() - self.share
        try:
            run.method.end_epoch()
        except TrainingDiverged as error:
            raise run.diverged(epoch, checkpoint) from error
        sums = {name: value[k] for name, value in self.sums.items()}
        run.close(epoch, sums, self.rate, started, checkpoint, len(self.runs))


def _trained(run: TrainingRun) -> list[nn.Parameter]:
    """What the optimizer trains, in its order."""
    return [p for group in run.optimizer.param_groups for p in group["params"]]
