"""A study: a grid of runs, the tables condensed from them, and perhaps a page written from those.

    study = STUDIES["peers"]
    for progress in study.run(study.options(seeds=2), "runs", study.out):
        print(progress.done, progress.total, progress.text)
    table = study.load("rows")

A `Study` is a description, which costs nothing to read. What only this study does lies in its
module: `steps` (which runs, and how they become tables), and where there are such, `load` (the
stored tables), `page` (Markdown) and `results` (what to show at the end).
"""

import errno
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toastlab.core.errors import BadValue, in_range, one_of
from toastlab.disk.files import try_writing
from toastlab.studies.options import WORKER_COUNTS
from toastlab.studies.options import Options as Options

if TYPE_CHECKING:
    import pandas as pd

    from toastlab.store.runs import Run
    from toastlab.studies.arms import Job


@dataclass(frozen=True)
class Progress:
    """How far a study is: `done` of `total`, and the same in words with what is being done."""

    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Study:
    """The description of a study.

    Attributes:
        name: as it is typed.
        question: what it asks, in a sentence.
        duration: how long it takes, in words.
        options: class of its settings; made without arguments it has the defaults of what is
            stored, except that a recipe has to be named.
        tables: names of its stored tables.
        module: where `steps`, `load` and `results` are; page_module: where `page` is, if any.
        out: usual place of its tables: a folder, or the file if there is one table only.
        store: usual folder of its runs.
        device: what "auto" stands for: stored rows were made on the CPU.
        page_out: usual place of its page.
    """

    name: str
    question: str
    duration: str
    options: type[Options]
    tables: tuple[str, ...]
    module: str
    out: str
    store: str = "runs"
    device: str = "cpu"
    page_module: str = ""
    page_out: str = ""

    def run(
        self,
        options: Options,
        store: Path | str,
        out: Path | str = "",
        *,
        device: str = "auto",
        workers: int = 0,
        together: bool = False,
    ) -> Iterator[Progress]:
        """Trains what is missing and writes the tables; yields how far it is.

        What cannot be is refused at once, before the first step.

        Args:
            options: of the class `self.options`.
            store: folder of runs; what is there is not trained again.
            out: folder of the tables, or a file if there is one table only; empty: `self.out`.
            device: auto, cuda, cuda:1, mps or cpu; workers: runs side by side, 0 chooses by cores.
            together: runs of equal shape are trained as one, see `runner.run_all`.

        Raises:
            ValueError: `out` cannot be written, or an option is not possible. And all errors of
            training.
        """
        from toastlab.store.runs import RunStore
        from toastlab.training.device import choose

        RunStore(store)  # has a name
        device = self.device if device == "auto" else device
        choose(device)
        in_range("workers", workers, *WORKER_COUNTS)
        work = Work(Path(store), Path(out or self.out), device, workers, together)
        steps: Iterator[Progress] = self._own().steps(options, work)
        _check_writable(work.out)  # not the store: where all runs are there, none is made
        return steps

    def load(self, which: str = "") -> Any:
        """A stored table, checked; the first one without a name. Layouts are no table but a
        `Layouts`.

        Raises:
            ValueError: there is no such table. DataError: it is missing, cannot be read, lacks a
            column or holds runs of other settings.
        """
        if not self.tables:
            raise BadValue(f"no tables of the study {self.name!r} are stored.")
        return self._own().load(one_of("table", which or self.tables[0], self.tables))

    def page(self) -> str | None:
        """The page written from the stored tables, Markdown; None where there is none."""
        return str(import_module(self.page_module).page()) if self.page_module else None

    def results(
        self, options: Options, out: Path | str = ""
    ) -> "list[str | tuple[str, pd.DataFrame]]":
        """What to show after `run`: sentences, and tables of text with their titles."""
        out = Path(out or self.out)
        show = getattr(self._own(), "results", None)
        return list(show(options, out)) if show else [f"Tables: {out}"]

    def _own(self) -> Any:
        return import_module(self.module)


@dataclass(frozen=True)
class Work:
    """Where and how a study works: its runs go to `store`, its tables to `out`."""

    store: Path
    out: Path
    device: str = "cpu"
    workers: int = 0
    together: bool = False

    def train(
        self, jobs: "Sequence[Job]", text: str, leave_out_diverged: bool = True
    ) -> "Generator[Progress, None, dict[Job, Run]]":
        """Has these runs, each once: yields how far it is and returns them.

        Args:
            leave_out_diverged: a run that diverged is missing, with a warning; else it is an error.
        """
        from toastlab.studies.runner import run_all, warn_diverged

        single, runs = list(dict.fromkeys(jobs)), {}
        for job, run in run_all(
            single,
            self.store,
            device=self.device,
            workers=self.workers,
            together=self.together,
            on_diverged=warn_diverged if leave_out_diverged else None,
        ):
            runs[job] = run
            yield Progress(len(runs), len(single), f"{text}: {len(runs)} of {len(single)} runs")
        return runs

    def path(self, which: str) -> Path:
        """Where a table goes."""
        return table_path(self.out, which)

    def write(self, which: str, rows: "pd.DataFrame") -> None:
        """Writes a table."""
        rows.to_csv(self.path(which), index=False)


def table_path(out: Path, which: str) -> Path:
    """Where the table lies: `out` itself if it names a file, else a file in that folder."""
    return out if out.suffix else out / f"{which}.csv"


def _check_writable(out: Path) -> None:
    """Makes the folder of the tables and tries to write there: better now than after an hour."""
    folder = out.parent if out.suffix else out
    try:
        try_writing(folder)
        if out.suffix and out.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise BadValue(
            f"cannot write {str(out)!r} ({error.strerror}); choose another place with --out."
        ) from error
