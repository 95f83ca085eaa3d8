"""The command line: tyro makes the options of the dataclasses; a wrong value gets one line."""

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from tyro.conf import Positional, arg

from toastlab.analysis.statistics import BASELINE
from toastlab.cli.bench import bench
from toastlab.cli.doctor import doctor
from toastlab.cli.notebooks import ablation, claims, dashboard, lab, layouts, peers, regime
from toastlab.cli.recipes import recipe_list, recipe_page, recipe_run
from toastlab.cli.sweep import options_of, sweep
from toastlab.cli.terminal import (
    comparison_table,
    console,
    existing_store,
    fail,
    parse,
    progress,
    show_run,
)
from toastlab.core.errors import (
    RankLost,
    StoreError,
    TrainingDiverged,
    WorkerError,
    one_of,
    some_of,
)
from toastlab.data import sources
from toastlab.data.dataset import DataConfig, load
from toastlab.methods import CONFIGS, MethodConfig
from toastlab.store.runs import Run, RunStore
from toastlab.studies.arms import ARM_OF, Job, plan
from toastlab.studies.report import findings, summary, write
from toastlab.studies.rows import run_table
from toastlab.studies.runner import run_all
from toastlab.training import device as devices
from toastlab.training import ranks
from toastlab.training.config import TrainConfig
from toastlab.training.models import MODELS

NOISY = "20 % of the training labels flipped"
CLEAN = "clean labels"
DEMO_ARMS = (BASELINE, "TOAST stage 1", "TOAST stage 2", "TOAST")


def demo(
    out: str = "demo",
    seeds: int = 3,
    epochs: int = 30,
    model: str = "mlp",
    device: str = "auto",
    workers: int = 0,
) -> None:
    """TOAST against cross-entropy on real images, in a few minutes: a table and an HTML report.

    Trains cross-entropy, each stage of TOAST and both on the embedded Fashion-MNIST subset, with
    20 % flipped labels and with clean ones, at the same number of images through the network.

    Args:
        out: Folder for report, table (CSV) and runs. Runs found there are not repeated.
        seeds: How many seeds, 1 to 1000; the findings need 2 at least.
        epochs: Epochs of each run, 1 to 100000.
        model: Network: mlp takes about 2 minutes in all on two cores, resnet-small longer.
        device: Device: auto, cuda, cuda:1, mps or cpu.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    one_of("model", model, MODELS)
    settings = {NOISY: DataConfig(noise_rate=0.2), CLEAN: DataConfig()}
    jobs = plan(DEMO_ARMS, seeds, TrainConfig(model=model, epochs=epochs), settings)
    command = f"toastlab demo --seeds {seeds} --epochs {epochs} --model {model}"
    _compare(jobs, Path(out), Path(out) / "runs", device, workers, command)


def compare(
    data: DataConfig,
    arms: tuple[str, ...] = tuple(ARM_OF),
    seeds: int = 3,
    model: str = "mlp",
    epochs: int = 30,
    batch_size: int = 128,
    out: str = "comparison",
    store: str = "runs",
    device: str = "auto",
    workers: int = 0,
) -> None:
    """Several methods on one data set, the same seeds: differences to cross-entropy with intervals.

    Args:
        data: The data set and what is done to it.
        arms: Methods to compare; cross-entropy is always among them.
        seeds: How many seeds, 1 to 1000.
        model: Network, see `toastlab train --help`.
        epochs: Epochs of each run, 1 to 100000.
        batch_size: Images in a batch, even, from 2.
        out: Folder for the report and the table as CSV.
        store: Folder of runs; what is there is not trained again.
        device: Device: auto, cuda, cuda:1, mps or cpu.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    some_of("method", arms, ARM_OF)
    chosen = [ARM_OF[arm] for arm in arms]
    one_of("model", model, MODELS)
    names = list(dict.fromkeys([BASELINE, *chosen]))
    base = TrainConfig(data=data, model=model, epochs=epochs, batch_size=batch_size)
    noise = f", {100 * data.noise_rate:g} % {data.noise} noise" if data.noise_rate else ""
    jobs = plan(names, seeds, base, {data.name + noise: data})
    command = shlex.join(["toastlab", *sys.argv[1:]])
    _compare(jobs, Path(out), Path(store), device, workers, command)


def _compare(
    jobs: Sequence[Job], out: Path, store: Path, device: str, workers: int, command: str
) -> None:
    devices.choose(device)
    RunStore(store).check_writable()
    RunStore(out).check_writable()
    done: list[tuple[Job, Run]] = []
    lost: list[Job] = []
    with progress() as bar:
        task = bar.add_task(f"{len(jobs)} runs", total=len(jobs))
        for job, run in run_all(
            jobs, store, device=device, workers=workers, on_diverged=lambda j, e: lost.append(j)
        ):
            done.append((job, run))
            score = f"top-1 {100 * run.last['test_top1']:.1f} %"
            text = f"{len(done)} of {len(jobs)}: {job.arm}, seed {job.config.seed}: {score}"
            bar.update(task, advance=1, description=text)
        bar.update(task, description=f"{len(jobs)} runs done")
    for job in lost:
        text = f"{job.setting}: {job.arm}, seed {job.config.seed}"
        console().print(f"Diverged, left out: {text}. Try a lower learning rate.")
    if not done:
        raise TrainingDiverged("every run diverged: lower the learning rate.")
    place = {job: i for i, job in enumerate(jobs)}
    done.sort(key=lambda pair: place[pair[0]])  # they come in as they end; seeds were outermost
    table = run_table(done)
    table.to_csv(out / "results.csv", index=False)
    page = write(out / "report.html", done, table, command)
    rows, screen = summary(table), console()
    for setting, part in rows.groupby("setting", sort=False):
        screen.print(comparison_table(str(setting), part.drop(columns="setting")))
    screen.print("Difference: top-1 points to cross-entropy, paired over seeds, 95 % t interval.")
    for sentence in findings(table):
        screen.print(f"- {sentence}")
    screen.print(f"\nReport: {page}\nTable:  {out / 'results.csv'}\nRuns:   {store}")


def train(
    method: Annotated[MethodConfig, arg(name="")],
    config: Annotated[TrainConfig, arg(name="")],
    store: str = "runs",
    device: str = "auto",
) -> None:
    """Trains one network with one method and keeps the run; a run that is there is found again.

    On several GPUs: torchrun --nproc-per-node 4 -m toastlab train toast. Each takes its part of
    --batch-size.

    Args:
        method: Settings of the method.
        config: Everything else about the run.
        store: Folder of runs.
        device: Device: auto, cuda, cuda:1, mps or cpu; not part of the run's name.
    """
    one_of("model", config.model, MODELS)
    devices.choose(device)
    spread, group = config.spread or ranks.launched(), ranks.here()
    config, runs, screen = replace(config, method=method, spread=spread), RunStore(store), console()
    dataset = load(config.data)
    screen.print(dataset.note)
    known = group.on_rank_zero(lambda: runs.find(config, dataset.fingerprint))
    if known is not None:
        screen.print(f"This run is in the store already: {known.folder}")
        return None if group.rank else show_run(known)
    group.on_rank_zero(runs.check_writable)  # a store that can only be read gives what it has
    with progress() as bar:
        task, seen = bar.add_task("starting", total=None), ""

        def on_step(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps)

        def on_epoch(row: dict[str, float]) -> None:
            nonlocal seen
            rate = row["images"] / row["train_seconds"]
            if row["val_top1"] == row["val_top1"]:  # NaN in an epoch after which nobody looked
                seen = f", val top-1 {100 * row['val_top1']:.1f} %"
            text = f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}{seen}, {rate:,.0f} images/s"
            bar.update(task, description=text)

        run = runs.get(config, dataset=dataset, device=device, on_epoch=on_epoch, on_step=on_step)
        bar.update(task, completed=bar.tasks[task].total)
    if not group.rank:
        show_run(run)


def data_list() -> None:
    """The data sets: what they are, and whether they are ready on this machine."""
    table = Table("name", "what it is", "state")
    for row in sources.available():
        table.add_row(*row)
    console().print(table)
    console().print(f"Fetched data sets go to {sources.downloads()} (or TOASTLAB_DATA).")


def data_fetch(name: Positional[str]) -> None:
    """Downloads a data set through torchvision and checks it.

    Args:
        name: Data set: fashion-mnist, cifar10 or cifar100.
    """
    place = sources.fetch(name)
    for fact in sources.check(name):
        console().print(fact)
    console().print(f"{name} is ready in {place}.")


def data_check(name: Positional[str], path: str = "") -> None:
    """Reads a data set whole: checksums, every file, labels.

    Args:
        name: Name of a data set, as `toastlab data list` shows it.
        path: Its folder, for idx, folder and tiny-imagenet.
    """
    for fact in sources.check(name, path):
        console().print(fact)
    console().print(f"{name} is sound.")


def runs_list(store: str = "runs") -> None:
    """The finished runs of a store.

    Args:
        store: Folder of runs.
    """
    table = Table("run", "method", "data", "noise", "model", "epochs", "seed", "top-1 %", "NLL")
    for run in RunStore(existing_store(store)).list():
        c, last = run.config, run.last
        table.add_row(
            run.key,
            c.method.name,
            c.data.name,
            f"{c.data.noise_rate:g}",
            c.model,
            str(c.epochs),
            str(c.seed),
            f"{100 * last['test_top1']:.1f}",
            f"{last['test_nll']:.3f}",
        )
    console().print(table if table.row_count else f"No finished runs in {store!r}.")


def runs_show(key: Positional[str], store: str = "runs") -> None:
    """One run: settings, last epoch, where it was made.

    Args:
        key: Name of the run, or how its name begins.
        store: Folder of runs.
    """
    show_run(RunStore(existing_store(store)).open(key))


@dataclass(frozen=True)
class Command:
    """A command: its words, what it does, and whether it has a method as its first word."""

    words: tuple[str, ...]
    call: Callable[..., None]
    takes_method: bool = False

    @property
    def summary(self) -> str:
        """First line of its help."""
        return (self.call.__doc__ or "").splitlines()[0]


COMMANDS = (
    Command(("demo",), demo),
    Command(("train",), train, takes_method=True),
    Command(("compare",), compare),
    Command(("sweep",), sweep, takes_method=True),
    Command(("dashboard",), dashboard),
    Command(("lab",), lab),
    Command(("ablation",), ablation),
    Command(("peers",), peers),
    Command(("claims",), claims),
    Command(("regime",), regime),
    Command(("recipe", "list"), recipe_list),
    Command(("recipe", "run"), recipe_run),
    Command(("recipe", "page"), recipe_page),
    Command(("layouts",), layouts),
    Command(("data", "list"), data_list),
    Command(("data", "fetch"), data_fetch),
    Command(("data", "check"), data_check),
    Command(("runs", "list"), runs_list),
    Command(("runs", "show"), runs_show),
    Command(("doctor",), doctor),
    Command(("bench",), bench),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command. Exit codes: 0 done, 1 the training failed, 2 wrong input, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with ranks.job() as group:
            if group.count > 1 and args[:1] != ["train"]:
                raise ValueError("torchrun can start `toastlab train`, and no other command.")
            _run(args)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept, the same command goes on from there.", 130)
    except (TrainingDiverged, WorkerError, RankLost) as error:
        fail(str(error), 1)
    except StoreError as error:
        fail(str(error), 2)
    except (ValueError, TypeError, OSError) as error:
        if os.environ.get("TOASTLAB_DEBUG"):
            raise
        fail(str(error), 2)


def _run(args: list[str]) -> None:
    if not args or args[0] in ("-h", "--help", "help"):
        return _overview()
    if args[0] == "--version":
        from importlib.metadata import version

        return console().print(f"toastlab {version('toastlab')}")
    first = one_of("command", args[0], {c.words[0] for c in COMMANDS})
    found = [c for c in COMMANDS if c.words[0] == first]
    if len(found[0].words) > 1:
        known = {c.words[1] for c in found}
        if len(args) < 2 or args[1] in ("-h", "--help"):
            return _overview(first)
        second = one_of(f"command after {first!r}", args[1], known)
        found = [c for c in found if c.words[1] == second]
    command = found[0]
    rest = args[len(command.words) :]
    words = list(command.words)
    signature = inspect.signature(command.call)
    if command.takes_method:
        if not rest or rest[0] in ("-h", "--help"):
            return _methods(command)
        if command.call is sweep and rest[0].endswith(".toml"):
            rest = options_of(rest[0]) + rest[1:]
        words.append(one_of("method", rest.pop(0), CONFIGS))
        method = signature.parameters["method"]
        kind: Any = CONFIGS[words[-1]]
        method = method.replace(annotation=Annotated[kind, arg(name="")])
        rows = {**signature.parameters, "method": method}
        signature = signature.replace(parameters=list(rows.values()))
    parse(command.call, signature, "toastlab " + " ".join(words), rest)()


def _methods(command: Command) -> None:
    """What `toastlab train` or `toastlab sweep` says without a method."""
    table, word = Table(box=None, show_header=False, padding=(0, 2)), command.words[0]
    for name, config in CONFIGS.items():
        table.add_row(f"toastlab {word} {name}", (config.__doc__ or "").splitlines()[0])
    if command.call is sweep:
        table.add_row(f"toastlab {word} FILE.toml", "What is to be swept, in a file.")
    screen = console()
    screen.print(command.summary + "\n")
    screen.print(table)
    screen.print(f"\nOptions: toastlab {word} toast --help. Networks:")
    models = Table(box=None, show_header=False, padding=(0, 2))
    for name, (what, smallest, _) in MODELS.items():
        models.add_row(name, what, f"from {smallest} pixels")
    screen.print(models)


def _overview(group: str = "") -> None:
    screen = console()
    if not group:
        screen.print(
            "toastlab: self-knowledge distillation you can see, built around TOAST "
            "(Yin et al., 2024).\n\nStart with: toastlab demo\n"
        )
    table = Table(box=None, show_header=False, padding=(0, 2))
    for command in COMMANDS:
        if not group or command.words[0] == group:
            table.add_row("toastlab " + " ".join(command.words), command.summary)
    screen.print(table)
    screen.print("\nEach command explains itself: toastlab train toast --help")
