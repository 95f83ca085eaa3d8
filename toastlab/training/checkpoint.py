"""What a run needs to go on after an epoch, as it goes to disk and comes back."""

import logging
import math
import time
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
# Seconds between two checkpoints of a run: to write one takes as long as a tenth of a small run's
# epoch, and a killed run loses no more than these seconds.
EVERY = 3.0
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


class Keeper:
    """Writes the checkpoints of a run: the first, the last, and between them one every `EVERY`
    seconds.

    A state that is not written at once is kept in memory, and `flush` writes it where the run ends
    before its last epoch. So who stops a run, or has it end in an error, loses nothing; only what
    kills the process does. On several ranks, whose clocks differ, each epoch's is written.

    Args:
        path: of the file; None: none is written.
        fingerprint: of the data.
    """

    def __init__(self, run: Parts, path: Path | None, fingerprint: str) -> None:
        self.run, self.path, self.fingerprint = run, path, fingerprint
        self._written = -math.inf
        self._held: dict[str, Any] | None = None

    def keep(self, epoch: int, last: bool) -> None:
        """Keeps the state after `epoch` epochs; errors as of `save_checkpoint`.

        Args:
            last: no epoch follows.
        """
        if self.path is None:
            return
        self._held = None
        now = time.monotonic()
        if last or self.run.ranks.count > 1 or now - self._written >= EVERY:
            save(self.run, self.path, epoch, self.fingerprint)
            self._written = time.monotonic()
        else:
            self._held = _copied(_state(self.run, epoch, self.fingerprint))

    def flush(self) -> None:
        """Writes what was not written at once; errors as of `save_checkpoint`."""
        held, self._held = self._held, None
        if held is not None and self.path is not None:
            durable.save_checkpoint(self.path, held)


def _copied(value: Any) -> Any:
    """The same, with tensors and containers of its own."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return value


def save(run: Parts, path: Path, epoch: int, fingerprint: str) -> None:
    """Writes the state after `epoch` epochs; errors as of `save_checkpoint`.

    All ranks call it; rank 0 writes, with what the others have for themselves under "others".
    """
    state = _state(run, epoch, fingerprint)
    run.ranks.on_rank_zero(lambda: durable.save_checkpoint(path, state))


def _state(run: Parts, epoch: int, fingerprint: str) -> dict[str, Any]:
    """What a checkpoint holds; all ranks call it."""
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
    return state


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
