"""`toastlab sweep`: a search over settings from the command line, or from a small file."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from toastlab.cli.options import Device, Seeds, Store, Together, Workers
from toastlab.cli.terminal import comparison_table, console, progress
from toastlab.core.errors import BadValue, in_range
from toastlab.disk.files import showable
from toastlab.disk.tables import writer
from toastlab.methods import MethodConfig
from toastlab.store.runs import RunStore
from toastlab.studies.options import WORKER_COUNTS
from toastlab.studies.space import parse
from toastlab.studies.sweep import Done, Search, Sweep, ranking, run, sweep_table
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHOWN = 20  # settings of the ranking on the screen; the table has all
DAY = 86400.0


def sweep(
    method: Annotated[MethodConfig, arg(name="")],
    config: Annotated[TrainConfig, arg(name="")],
    axis: Annotated[
        UseAppendAction[tuple[tuple[str, str], ...]],
        arg(metavar="SETTING VALUES", help_behavior_hint="(once per setting)"),
    ] = (),
    seeds: Seeds = 3,
    search: Search = "grid",
    trials: int = 16,
    search_seed: int = 0,
    out: str = "sweep.csv",
    store: Store = "runs",
    device: Device = "auto",
    workers: Workers = 0,
    together: Together = False,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str = "",
) -> None:
    """Searches over any settings x seeds: a table of all runs, the settings ranked.

    toastlab sweep toast --axis medoid-weight 0,0.3,0.6 --axis data.noise-rate 0,0.2

    toastlab sweep toast --axis learning-rate log:0.01..0.3 --search sobol --trials 16

    toastlab sweep FILE.toml --workers 2

    A file holds the same options by the same names, `method = "toast"` among them, data's and
    augment's under [data] and [augment], the axes under [axes]: medoid-weight = [0, 0.3, 0.6].
    Options after the file overrule it.

    Settings are ranked by validation top-1, never by the test split. What is in the store is not
    trained again: the same command goes on where it stopped.

    Args:
        method: Settings of the method.
        config: Everything else about the runs; the seed is the first one.
        axis: What to vary: a setting as it is called here (or `method`), and its values 0,0.3,0.6
            or for random, sobol and optuna a range 0..0.6, even in the logarithm log:0.01..1.
        search: Search: grid (every combination), random, sobol (even cover), optuna (guided: TPE on
            validation top-1).
        trials: Settings to try, 1 to 100000, for all but grid; 16 and later 32 keeps the first 16.
        search_seed: Seed of what is drawn, 0 to 2^31.
        out: The table, one row per run: .csv, or .parquet where pyarrow is installed.
        backend: Where the runs go: loky (this machine) or dask (a cluster). Its workers need one
            thread each (dask worker ADDRESS --nthreads 1) and must see the store under the same
            path.
        scheduler: Address of the dask scheduler, tcp://HOST:8786.
    """
    write = writer(Path(out))
    base = replace(config, method=method)
    # Written as one lists them: which methods there are decides what the other axes may be.
    methods = [v.strip() for name, text in axis if name == "method" for v in text.split(",")]
    what = Sweep(
        base,
        tuple(parse(name, text, base, () if name == "method" else methods) for name, text in axis),
        seeds,
        search,
        trials,
        search_seed,
    )
    if backend == "loky":
        devices.choose(device)
    in_range("workers", workers, *WORKER_COUNTS)
    # the store need not be writable: where all runs are there, none is made
    RunStore(Path(out).parent).check_writable()
    how: dict[str, Any] = {"device": device, "workers": workers, "together": together}
    how |= {"backend": backend, "scheduler": scheduler}
    done = _follow(what, store, how)
    table = sweep_table(done)
    write(table)
    _show(what, done, table, out)


def _follow(what: Sweep, store: str, how: dict[str, Any]) -> list[Done]:
    """Runs it under a bar; runs that were stored before do not count into the time left."""
    done: list[Done] = []
    with progress(DAY) as bar:
        task = bar.add_task(f"{what.size} runs", total=what.size, start=False)
        stored = 0
        for one in run(what, store, **how):
            done.append(one)
            stored += one.stored
            if len(done) - stored == 1 or len(done) == what.size:
                bar.reset(task, completed=len(done) - 1)
            text = f"val top-1 {100 * one.aim:.1f} %" if one.run else f"seed {one.seed} diverged"
            text = f"{stored} stored before" if one.stored else text
            text = f"{len(done)} of {what.size}: {text}"
            bar.update(task, completed=len(done), description=text)
        bar.update(task, description=f"{len(done)} runs, {stored} of them stored before")
    return done


def _show(what: Sweep, done: list[Done], table: Any, out: str) -> None:
    axes, screen = [axis.name for axis in what.axes], console()
    rows = ranking(table, axes)
    shown = rows[axes].astype(str)
    shown["val top-1 %"] = [f"{100 * x:.1f}" if x == x else "diverged" for x in rows["mean"]]
    shown["95 % interval"] = [
        f"[{100 * low:.1f}, {100 * high:.1f}]" if low == low else ""  # NaN: one seed
        for low, high in zip(rows["low"], rows["high"], strict=True)
    ]
    shown["seeds"] = rows["seeds"].astype(str)
    title = f"{len(rows)} settings by mean validation top-1"
    screen.print(comparison_table(title, shown.head(SHOWN)))
    if len(rows) > SHOWN:
        screen.print(f"The other {len(rows) - SHOWN} are in the table.")
    if diverged := sum(one.run is None for one in done):
        screen.print(f"{diverged} runs diverged: lower the learning rate there.")
    screen.print("The best of many is partly luck: confirm it with new seeds, then test it.")
    screen.print(f"Table: {out}, {len(table)} runs")


def options_of(file: str) -> list[str]:
    """The command line that a sweep file stands for: the method, then options.

    So names and values in it are checked where those of the command line are.

    Raises:
        ValueError: it is no TOML, or lacks the method.
    """
    try:
        content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadValue(f"cannot read {file!r}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{file} is not TOML: {showable(error)}.") from error
    if not isinstance(content.get("method"), str):
        raise BadValue(f'{file} does not name its method; begin it with method = "toast".')
    words = [content.pop("method")]
    for name, value in {"axes": content.pop("axes", {}), **content}.items():
        if name == "axes" and not isinstance(value, dict):
            raise BadValue(f"axes in {file} is {value!r}; make it a table: a line [axes].")
        for inner, setting in value.items() if isinstance(value, dict) else [("", value)]:
            if name == "axes":
                values = setting if isinstance(setting, list) else [setting]
                words += ["--axis", inner, ",".join(_text(v) for v in values)]
            else:
                words += _option(f"{name}.{inner}" if inner else name, setting)
    return words


def _option(name: str, value: Any) -> list[str]:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        part, dot, last = name.rpartition(".")
        return [f"--{part}{dot}{'' if value else 'no-'}{last}"]
    return [f"--{name}", _text(value)]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
