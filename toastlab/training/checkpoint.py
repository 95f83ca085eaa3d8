"""What a run needs to go on after an epoch, as it goes to disk and comes back."""

import logging
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from toastlab.core.errors import BadValue
from toastlab.core.stream import Stream
from toastlab.disk import durable
from toastlab.methods.base import Method
from toastlab.training.mixing import Mixing
from toastlab.training.ranks import Ranks
from toastlab.training.recorder import RunRecorder

log = logging.getLogger(__name__)
# What a checkpoint holds.
CHECKPOINT = (
    *("epoch", "fingerprint", "rows", "model", "optimizer", "schedule"),
    *("method", "stream", "recorder", "generators"),
)


class Parts(Protocol):
    """A run, as far as a checkpoint knows it."""

    seed: int
    ranks: Ranks
    device: torch.device
    rows: list[dict[str, float]]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    method: Method
    stream: Stream
    recorder: RunRecorder
    generator: torch.Generator
    mixing: Mixing | None


def save(run: Parts, path: Path, epoch: int, fingerprint: str) -> None:
    """Keeps the state after `epoch` epochs; errors as of `save_checkpoint`.

    All ranks call it; rank 0 writes, with what the others have for themselves under "others".
    """
    # the tensors themselves, not a copy of a large bank: they are written before anything changes
    live, own_names = run.method.state_dict(keep_vars=True), _own_names(run.method)
    method = {name: tensor.detach() for name, tensor in live.items()}
    mine = {k: v for k, v in method.items() if k in own_names}
    own = {"stream": run.stream.state_dict(), "generators": _generators(run), "method": mine}
    # from the CPU, since a tensor of another rank's GPU would be unpacked on that GPU
    others = run.ranks.all_gather_object(
        {k: {n: t.cpu() for n, t in v.items()} for k, v in own.items()}
    )[1:]
    state: dict[str, Any] = {
        "epoch": epoch,
        "fingerprint": fingerprint,
        "rows": run.rows,
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "schedule": run.schedule.state_dict(),
        "method": method,
        "stream": own["stream"],
        "recorder": run.recorder.state_dict(),
        "generators": own["generators"],
    }
    if others:
        state["others"] = others
    run.ranks.on_rank_zero(lambda: durable.save_checkpoint(path, state))


def resume(run: Parts, path: Path | None, fingerprint: str) -> int:
    """Continues from a checkpoint if there is one; returns the number of finished epochs.

    One of another number of ranks serves too: order, augmentation and all else that is drawn are
    then drawn anew, and no sample is carried at first.

    Raises:
        ValueError: it was made with other data.
    """
    if path is None:
        return 0
    state = run.ranks.on_rank_zero(lambda: durable.load_checkpoint(path, CHECKPOINT))
    if state is None:
        return 0
    if state["fingerprint"] != fingerprint:
        raise BadValue(f"{path} was made with other data; remove it to start afresh.")
    added = {n: run.method.get_buffer(n) for n in run.method.added_states}
    state["method"] = added | state["method"]
    names = {"method": run.method.state_dict(keep_vars=True), "recorder": run.recorder.state_dict()}
    for part, has in names.items():
        if set(state[part]) != set(has):
            log.warning("%s is of another version of toastlab; starting afresh", path)
            return 0
    run.rows = state["rows"]
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.schedule.load_state_dict(state["schedule"])
    run.recorder.load_state_dict(state["recorder"])
    own_names = _own_names(run.method)
    shared = {k: v for k, v in state["method"].items() if k not in own_names}
    run.method.load_state_dict(shared, strict=False)  # the rest comes next
    parts = [state, *state.get("others", ())]
    if len(parts) == run.ranks.count:
        _load_own(run, parts[run.ranks.rank])
    else:
        reseed(run, run.ranks.seeds(run.seed, int(state["epoch"])))
    log.info("resumed from %s after epoch %d", path, state["epoch"])
    return int(state["epoch"])


def reseed(run: Parts, seeds: list[int]) -> None:
    """Draws everything anew from five seeds: augmentation, the method, order, mixes, dropout."""
    run.generator.manual_seed(seeds[0])
    if run.method.generator is not None:
        run.method.generator.manual_seed(seeds[1])
    run.stream.restart(seeds[2])
    if run.mixing is not None:
        run.mixing.generator.manual_seed(seeds[3])
    torch.manual_seed(seeds[4])


def _load_own(run: Parts, part: dict[str, Any]) -> None:
    """Takes back what a rank has for itself."""
    own_names = _own_names(run.method)
    own = {k: v for k, v in part["method"].items() if k in own_names}
    run.method.load_state_dict(own, strict=False)
    run.stream.load_state_dict(part["stream"])
    for name, generator in _generator_list(run).items():
        generator.set_state(part["generators"][name].cpu())
    torch.set_rng_state(part["generators"]["global"].cpu())
    if run.device.type == "cuda":
        torch.cuda.set_rng_state(part["generators"]["cuda"].cpu(), run.device)


def _own_names(method: Method) -> set[str]:
    """Of a method's state, what each rank has for itself."""
    return {"generator", *method.states("own")}


def _generator_list(run: Parts) -> dict[str, torch.Generator]:
    generators = {"augment": run.generator}
    if run.mixing is not None:
        generators["mixing"] = run.mixing.generator
    return generators


def _generators(run: Parts) -> dict[str, Tensor]:
    states = {name: g.get_state() for name, g in _generator_list(run).items()}
    states["global"] = torch.get_rng_state()
    if run.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(run.device)
    return states
