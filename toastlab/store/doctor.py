"""Is everything sound: the machine, the embedded data, a store of runs? What can be cleared?"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from toastlab.core.errors import BadValue, Stopped, StoreError
from toastlab.data import sources
from toastlab.data.dataset import from_tensors
from toastlab.disk.locks import clear, held
from toastlab.store.run_files import SUMS
from toastlab.store.runs import open_run
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

DAY = 86_400.0  # seconds after which what is being written is left over
LOW = 2**30  # bytes of free disk below which runs may not fit


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it is sound, what was found."""

    what: str
    sound: bool
    text: str


def examine(
    store: Path | str = "runs", device: str = "auto", repair: bool = False
) -> list[Finding]:
    """Looks at everything.

    Args:
        store: folder of runs; need not be there.
        repair: removes leftovers that no living process holds; never a finished run.
    """
    chosen, root = devices.choose(device), Path(store)
    software = ", ".join(f"{k} {v}" for k, v in devices.facts(chosen).items())
    return [
        Finding("machine", True, software),
        determinism(chosen),
        disk(root),
        embedded_data(),
        *runs(root),
        *leftovers(root, repair),
    ]


def determinism(device: torch.device) -> Finding:
    """Two equal small runs, to the bit."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = random.integers(0, 255, (120, 1, 8, 8), dtype=np.uint8)
    config = TrainConfig(epochs=2, batch_size=16)
    data, weights = from_tensors(images, labels), []
    for _ in range(2):
        result = train(config, dataset=data, device=str(device))
        if result is None:
            raise Stopped("nothing was to stop these two runs.")
        weights.append(result.weights)
    equal = all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    text = "equal to the bit" if equal else "differ: results of this device do not repeat"
    return Finding("two equal runs", equal, text)


def disk(root: Path) -> Finding:
    """Free space where the store is or would be."""
    existing = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    advice = "" if free >= LOW else ": make room, long runs may not fit"
    return Finding("disk", free >= LOW, f"{free / 2**30:.1f} GiB free{advice}")


def embedded_data() -> Finding:
    """The checksums of the data that come with toastlab."""
    try:
        sources.read("fashion-mini")
    except (ValueError, OSError) as error:
        return Finding("embedded data", False, str(error))
    return Finding("embedded data", True, "every checksum holds")


def run_folders(root: Path) -> list[Path]:
    """The folders of finished runs, sound or not."""
    return [p for p in sorted(root.glob("[!.]*")) if p.is_dir() or p.is_symlink()]


def damage(folder: Path) -> str:
    """What is wrong with a finished run, every file of which is read; empty if nothing is."""
    try:
        run = open_run(folder)
        rows, epochs = len(run.metrics), run.config.epochs
        if rows != epochs:
            raise BadValue(f"metrics.csv has {rows} of {epochs} epochs")
        if not (run.facts and run.arrays and run.weights()):
            raise BadValue("a file of it is empty")
    except Exception as error:  # each reader has errors of its own
        return str(error) if isinstance(error, StoreError) else f"{folder}: {error}"
    return ""


def runs(root: Path) -> list[Finding]:
    """Every finished run, opened, and every file of it read and compared with its checksum."""
    folders = run_folders(root)
    texts = {folder: damage(folder) for folder in folders}
    bad = [Finding("run", False, text) for text in texts.values() if text]
    unsigned = sum(not (texts[folder] or (folder / SUMS).exists()) for folder in folders)
    text = f"{len(folders) - len(bad)} of {len(folders)} runs in {root} sound"
    if unsigned:
        text += f"; {unsigned} of them without checksums (made by an older version)"
    return [*bad, Finding("store", not bad, text)]


def leftovers(root: Path, repair: bool) -> list[Finding]:
    """What killed processes left: half-written runs older than a day, unused checkpoints."""
    findings = []
    for folder in sorted(root.glob(".writing-*")):
        if time.time() - folder.lstat().st_mtime > DAY and not folder.is_symlink():
            if repair:
                shutil.rmtree(folder, ignore_errors=True)
            findings.append(_leftover(folder, "was never finished", repair and not folder.exists()))
    for folder in sorted(root.glob(".partial-*")):
        in_use = held(folder)
        if in_use is None:  # no lock file, or no locks
            text = f"{folder}: cannot tell whether a process is at work there; left alone"
            findings.append(Finding("unknown", True, text))
        elif in_use:
            findings.append(Finding("under way", True, f"{folder}: a process trains this run"))
        else:
            what = "is an interrupted run; the same command resumes"
            findings.append(_leftover(folder, what, repair and clear(folder)))
    return findings


def _leftover(folder: Path, what: str, gone: bool) -> Finding:
    return Finding("leftover", gone, f"{folder} {what}" + ("; removed" if gone else ""))
