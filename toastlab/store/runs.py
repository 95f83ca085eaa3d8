"""Run folders: written completely or not at all, and named by their settings and data.

    STORE/
        0f3a...c1/              sha256 of config, data and format, 16 hex digits
            config.json         settings, the data's fingerprint, the format
            metrics.csv         one row per epoch
            arrays.safetensors  predictions, medoids, dynamics (with the samples' ids)
            weights.safetensors
            facts.json          software, hardware, threads
            sha256.json         checksums of these files
        .partial-0f3a...c1/     a run under way: its lock, its last two checkpoints

Everything in it is data: JSON, CSV, safetensors; nothing that is loaded can run.
"""

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as array_bytes
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from toastlab.analysis.dynamics import Dynamics
from toastlab.core.errors import BadValue, Stopped, StoreError
from toastlab.data.dataset import Dataset, load
from toastlab.data.ids import pack, unpack
from toastlab.disk.durable import sync_folder
from toastlab.disk.files import showable, try_writing
from toastlab.disk.locks import Lease, clear
from toastlab.store.names import format_of, from_json, run_key, to_json
from toastlab.store.run_files import (
    FILES,
    SUMS,
    as_json,
    inside,
    json_of,
    metrics_of,
    read,
    settings_of,
    write_files,
)
from toastlab.training.config import TrainConfig
from toastlab.training.loop import Result, teacher_config, train
from toastlab.training.models import Maker, own
from toastlab.training.ranks import ALONE, Ranks, here

log = logging.getLogger(__name__)
WAIT = 0.2  # seconds between two looks whether another process is done with a run


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run on disk. Files are read when first asked for, and checked then: `StoreError`
    if one is missing or altered.

    Example:
        >>> import tempfile
        >>> from toastlab import DataConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = TrainConfig(data=DataConfig(name="digits"), epochs=2)
        ...     run = RunStore(folder).get(config, device="cpu")
        ...     epochs = len(run.metrics)
        >>> epochs, sorted(run.last)[0]
        (2, 'carried_share')
    """

    folder: Path
    config: TrainConfig
    fingerprint: str

    @property
    def key(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per epoch, see `Result.metrics`."""
        return read(self.folder / "metrics.csv", metrics_of)

    @cached_property
    def facts(self) -> dict[str, str]:
        """Software and hardware that made it."""
        return read(self.folder / "facts.json", lambda file: dict(json_of(file)))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays, by `group.name`."""
        return dict(read(self.folder / "arrays.safetensors", load_arrays))

    def weights(self) -> dict[str, Tensor]:
        """The network's state dict."""
        # into memory: a file that shrinks while it is mapped would kill the process
        file = self.folder / "weights.safetensors"
        return dict(read(file, lambda whole: load_tensors(whole.read_bytes())))

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Arrays of "predictions", "medoids" or "dynamics", as in `Result`."""
        arrays, prefix = self.arrays.items(), f"{name}."
        return {k.removeprefix(prefix): v for k, v in arrays if k.startswith(prefix)}

    @cached_property
    def dynamics(self) -> Dynamics | None:
        """Per-sample history, if it was recorded."""
        arrays = self.group("dynamics")
        if "ids" in arrays:
            arrays["ids"] = unpack(arrays["ids"])
        return Dynamics(**arrays) if arrays else None

    @property
    def last(self) -> dict[str, float]:
        """Metrics of the last epoch, which is the one that is reported."""
        return {str(k): float(v) for k, v in self.metrics.iloc[-1].items()}


class RunStore:
    """A folder of runs.

    Example:
        >>> import tempfile
        >>> from toastlab import DataConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = TrainConfig(data=DataConfig(name="digits"), epochs=1)
        ...     run = RunStore(folder).get(config, device="cpu")
        ...     again = RunStore(folder).get(config, device="cpu")  # found, not trained
        >>> run.key == again.key, again.config.epochs
        (True, 1)

    Args:
        root: made at the first write, if need be.
    """

    def __init__(self, root: Path | str = "runs") -> None:
        if not str(root).strip():  # which Path takes for the folder one happens to be in
            raise StoreError("the run store has no name; name a folder with --store.")
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"the run store {str(root)!r} is a file; name a folder with --store.")

    def open(self, key: str) -> Run:
        """The run of that name, or of the one name that begins so.

        Raises:
            StoreError: none or several begin so, or the folder does not hold what its name says.
        """
        # Only what can be a key: "../x" or "*" would name what is no run of this store.
        valid = re.fullmatch(r"[0-9a-f]{1,16}", key)
        folders = [p for p in self.root.glob(f"{key}*") if p.is_dir()] if valid else []
        if len(folders) != 1:
            raise StoreError(
                f"{len(folders)} runs in {self.root} begin with {key!r}; "
                "`toastlab runs list` shows what is there."
            )
        return open_run(folders[0])

    def list(self) -> list[Run]:
        """All finished runs, oldest first.

        Raises:
            StoreError: a folder does not hold what its name says.
        """
        files = self.root.glob("[!.]*/config.json")
        return [open_run(p.parent) for p in sorted(files, key=lambda p: p.stat().st_mtime)]

    def find(self, config: TrainConfig, fingerprint: str) -> Run | None:
        """The run with these settings and data, if it is finished."""
        folder = self.root / run_key(config, fingerprint)
        return open_run(folder) if folder.exists() else None

    def get(
        self,
        config: TrainConfig,
        *,
        dataset: Dataset | None = None,
        model: nn.Module | Maker | None = None,
        device: str = "auto",
        on_epoch: Callable[[dict[str, float]], None] | None = None,
        on_step: Callable[[int, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Run:
        """The run, from the store or trained now; arguments and errors as of `train`.

        A run that was interrupted continues after its last finished epoch. While another process
        trains the same run, this one waits for it (`locks`).

        A user's own `model` is a function that makes it, called under `config.seed`. The store
        knows it by `config.model` only: give each network, or way to draw its first weights, a name
        of its own there. Of a network made already a copy is trained, see `models.own`.

        On several ranks, see `TrainConfig.spread`, all call this; only rank 0 reads and writes the
        store.

        Raises:
            Stopped: `should_stop` ended the training, or the wait for another process.
        """
        if model is not None:
            model = own(model, config.model)
        if dataset is None:
            dataset = load(config.data)
        fingerprint, ranks = dataset.fingerprint, here() if config.spread else ALONE
        partial = self.root / f".partial-{run_key(config, fingerprint)}"
        if run := ranks.on_rank_zero(lambda: self.find(config, fingerprint)):
            ranks.on_rank_zero(lambda: clear(partial))  # a process may have been killed before this
            return run
        teacher = None
        if config.method.needs_teacher:  # a run of its own, which other methods may share
            earlier = self.get(
                teacher_config(config),
                dataset=dataset,
                model=model,
                device=device,
                should_stop=should_stop,
            )
            teacher = ranks.on_rank_zero(lambda: (earlier.weights(), earlier.metrics))
        ranks.on_rank_zero(self.check_writable)
        lease = self._lease(partial, ranks, should_stop)
        try:
            # another process may have finished it since
            run = ranks.on_rank_zero(lambda: self.find(config, fingerprint))
            if run is None:
                result = train(
                    config,
                    dataset=dataset,
                    model=model,
                    device=device,
                    checkpoint=partial / "checkpoint.pt",
                    teacher=teacher,
                    on_epoch=on_epoch,
                    on_step=on_step,
                    should_stop=should_stop,
                )
                if result is None:
                    raise Stopped(f"stopped; {partial} has the last checkpoint")
                run = ranks.on_rank_zero(lambda: self._put(result, partial))
            ranks.on_rank_zero(lambda: shutil.rmtree(partial, ignore_errors=True))
            return run
        finally:
            lease.free()

    def _lease(self, partial: Path, ranks: Ranks, should_stop: Callable[[], bool] | None) -> Lease:
        """The right to write there, once no other process has it; or raises `Stopped`."""
        lease, waited = Lease(inside(partial)), False
        try:
            while not ranks.on_rank_zero(lease.take):
                if should_stop is not None and should_stop():
                    raise Stopped(f"stopped while another process trains {partial}")
                if not waited:
                    log.info("another process trains this run; waiting for it (%s)", partial)
                waited = True
                time.sleep(WAIT)
            if lease.sole:
                _clear_unfinished(partial)
        except OSError as error:
            lease.free()
            raise StoreError(
                f"cannot write to {partial}: {error.strerror}; free it, or choose another --store."
            ) from error
        return lease

    def add(self, result: Result) -> Run:
        """Writes a result aside and moves it into place in one go; a run already there stays.

        Raises:
            StoreError: the folder cannot be written.
        """
        self.check_writable()
        return self._put(result, self.root)

    def _put(self, result: Result, parent: Path) -> Run:
        """Writes the result aside in `parent`, and moves it into place."""
        folder = self.root / run_key(result.config, result.fingerprint)
        aside = None
        try:
            parent.mkdir(exist_ok=True)
            aside = parent / f".writing-{folder.name}-{uuid4().hex[:8]}"
            aside.mkdir()  # not by tempfile, whose folders are private whatever the umask says
            write_files(aside, _contents(result))
            aside.rename(folder)
            sync_folder(self.root)
        except OSError as error:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
            if not folder.exists():  # else another process stored the same run before
                raise StoreError(
                    f"cannot write the run to {folder}: {error.strerror or error}. Make room or "
                    "choose another --store; the same command goes on from there."
                ) from error
        return open_run(folder)

    def check_writable(self) -> None:
        """Makes the folder if need be and tries to write there.

        Raises:
            StoreError: that is not possible.
        """
        try:
            try_writing(self.root)
        except OSError as error:
            raise StoreError(
                f"cannot write to the run store {str(self.root)!r} ({error.strerror}); choose "
                "another folder with --store, or free this one."
            ) from error


def _clear_unfinished(partial: Path) -> None:
    """Removes what a killed process was writing there."""
    # A process that has just stored the run removes the folder: then nothing is left to clear, and
    # who looks next finds the run.
    with suppress(FileNotFoundError):
        for path in [*partial.glob("*.new"), *partial.glob(".writing-*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _contents(result: Result) -> Iterator[tuple[str, bytes]]:
    """The files of a run, one at a time, so that they are never in memory together."""
    config = {
        "config": to_json(result.config),
        "data": result.fingerprint,
        "format": format_of(result.config.method.name),
    }
    dynamics = {} if result.dynamics is None else vars(result.dynamics)
    groups = {"predictions": result.predictions, "medoids": result.medoids, "dynamics": dynamics}
    arrays = {
        f"{group}.{name}": np.ascontiguousarray(pack(array))
        for group, named in groups.items()
        for name, array in named.items()
        if array is not None
    }
    # As bytes, which we write: so a full disk is an OSError, and is noticed before the rename.
    yield "config.json", as_json(config)
    yield "facts.json", as_json(result.facts)
    yield "metrics.csv", result.metrics.to_csv(index=False).encode()
    yield "arrays.safetensors", array_bytes(arrays)
    yield "weights.safetensors", tensor_bytes(result.weights)


def open_run(folder: Path) -> Run:
    """The finished run in a folder.

    Raises:
        StoreError: the folder does not hold what its name says.
    """
    try:
        for file in (folder, *(folder / name for name in (*FILES, SUMS))):
            inside(file)
        stored = settings_of(folder)
        form, now = stored["format"], format_of(stored["config"]["method"]["name"])
        if form != now:
            raise BadValue(f"it has format {form}, this toastlab has {now}")
        config = from_json(stored["config"])
        if run_key(config, stored["data"]) != folder.name:
            raise BadValue("its settings are not those that its name stands for")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"the run folder {showable(folder)} cannot be trusted: {showable(error)}. Remove it "
            "and train again."
        ) from error
    return Run(folder, config, stored["data"])
