"""`toastlab demo` and `toastlab compare`: several methods, the same seeds, one report."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from toastlab.analysis.statistics import BASELINE
from toastlab.cli.options import Device, Epochs, Seeds, Store, Workers
from toastlab.cli.terminal import comparison_table, console, progress
from toastlab.core.errors import TrainingDiverged, in_range, one_of, some_of
from toastlab.data.dataset import DataConfig
from toastlab.store.runs import Run, RunStore
from toastlab.studies.arms import ARM_OF, Job, plan
from toastlab.studies.catalogue import METHOD_NAMES, MethodName
from toastlab.studies.options import WORKER_COUNTS
from toastlab.studies.report import findings, summary, write
from toastlab.studies.rows import run_table
from toastlab.studies.runner import run_all
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.names import MODELS

NOISY = "20 % of the training labels flipped"
CLEAN = "clean labels"
IN_DEMO = (BASELINE, "TOAST stage 1", "TOAST stage 2", "TOAST")


def demo(
    out: str = "demo",
    seeds: Seeds = 3,
    epochs: Epochs = 30,
    model: str = "mlp",
    device: Device = "auto",
    workers: Workers = 0,
) -> None:
    """TOAST against cross-entropy on real images, in minutes: a table and a report.

    Trains cross-entropy, each stage of TOAST and both on the embedded Fashion-MNIST subset, with
    20 % flipped labels and with clean ones, at the same number of images through the network.

    Args:
        out: Folder for the report (HTML), the table (CSV) and the runs, which are not repeated.
        model: Network: mlp takes a minute and a half in all on two cores, resnet-small longer.
    """
    one_of("model", model, MODELS)
    settings = {NOISY: DataConfig(noise_rate=0.2), CLEAN: DataConfig()}
    jobs = plan(IN_DEMO, seeds, TrainConfig(model=model, epochs=epochs), settings)
    command = f"toastlab demo --seeds {seeds} --epochs {epochs} --model {model}"
    _compare(jobs, Path(out), Path(out) / "runs", device, workers, command)


def compare(
    data: DataConfig,
    methods: Annotated[tuple[MethodName, ...], arg(metavar="[METHOD ...]")] = METHOD_NAMES,
    seeds: Seeds = 3,
    model: str = "mlp",
    epochs: Epochs = 30,
    batch_size: int = 128,
    out: str = "comparison",
    store: Store = "runs",
    device: Device = "auto",
    workers: Workers = 0,
) -> None:
    """Compares methods on one data set, with the same seeds and with intervals.

    The table has the differences to cross-entropy, paired over the seeds, and what they allow to
    say.

    toastlab compare --methods toast dlb label-smoothing --data.noise-rate 0.2

    toastlab compare --methods toast-stage-1 toast --data.name digits --seeds 5

    Args:
        data: The data set and what is done to it.
        methods: Methods to compare; cross-entropy is always among them.
        model: Network, see `toastlab train --help`.
        batch_size: Images in a batch, even, from 2.
        out: Folder for the report and the table as CSV.
    """
    some_of("method", methods, ARM_OF)
    one_of("model", model, MODELS)
    RunStore(store)  # has a name
    names = list(dict.fromkeys([BASELINE, *(ARM_OF[name] for name in methods)]))
    base = TrainConfig(data=data, model=model, epochs=epochs, batch_size=batch_size)
    noise = f", {100 * data.noise_rate:g} % {data.noise} noise" if data.noise_rate else ""
    jobs = plan(names, seeds, base, {data.name + noise: data})
    command = shlex.join(["toastlab", *sys.argv[1:]])
    _compare(jobs, Path(out), Path(store), device, workers, command)


def _compare(
    jobs: Sequence[Job], out: Path, store: Path, device: str, workers: int, command: str
) -> None:
    devices.choose(device)
    in_range("workers", workers, *WORKER_COUNTS)
    RunStore(out).check_writable()  # the store need not be: where all runs are there, none is made
    done: dict[Job, Run] = {}
    diverged: list[Job] = []
    with progress() as bar:
        task = bar.add_task(f"{len(jobs)} runs", total=len(jobs))
        for job, run in run_all(
            jobs, store, device=device, workers=workers, on_diverged=lambda j, e: diverged.append(j)
        ):
            done[job] = run
            score = f"top-1 {100 * run.last['test_top1']:.1f} %"
            text = f"{len(done)} of {len(jobs)}: {job.arm}, seed {job.config.seed}: {score}"
            bar.update(task, advance=1, description=text)
        bar.update(task, description=f"{len(jobs)} runs done")
    screen = console()
    for job in diverged:
        text = f"{job.setting}: {job.arm}, seed {job.config.seed}"
        screen.print(f"Diverged, left out: {text}. Try a lower learning rate.")
    if not done:
        raise TrainingDiverged("every run diverged: lower the learning rate.")
    rows = [(job, done[job]) for job in jobs if job in done]  # they come in as they end
    table = run_table(rows)
    table.to_csv(out / "results.csv", index=False)
    report = write(out / "report.html", rows, table, command)
    for setting, part in summary(table).groupby("setting", sort=False):
        screen.print(comparison_table(str(setting), part.drop(columns="setting")))
    screen.print("Difference: top-1 points to cross-entropy, paired over seeds, 95 % t interval.")
    for sentence in findings(table):
        screen.print(f"- {sentence}")
    screen.print(f"\nReport: {report}\nTable:  {out / 'results.csv'}\nRuns:   {store}")
