"""The ablation: stored real runs at once, and any setting trained live, with a Stop that stops."""

import threading
import time
from dataclasses import asdict
from pathlib import Path

import ipywidgets as w
from matplotlib.figure import Figure

from toastlab.core.errors import Stopped
from toastlab.disk.locks import Slots
from toastlab.methods import ToastConfig
from toastlab.plots import ablation_view, describe_ablation_view
from toastlab.store.runs import RunStore
from toastlab.studies.ablation import (
    AXES,
    SEEDS,
    Point,
    config_of,
    grid_data,
    load,
    look_up_each,
    plane,
)
from toastlab.widgets.panel import Panel, choice, slider

MEASURES = [
    ("test top-1", "test_top1"),
    ("test NLL", "test_nll"),
    ("test ECE", "test_ece"),
    ("validation top-1", "val_top1"),
]


class AblationPanel(Panel):
    """Sliders over the grid of stored runs; "Train this setting" trains it while one watches.

    Args:
        store: where live runs go.
        redraw_every: seconds at least between two pictures of a live run.
        trainings: live runs at a time over all processes with this store; 0: any number.
    """

    def __init__(
        self, store: Path | str = "runs", redraw_every: float = 0.5, trainings: int = 0
    ) -> None:
        self.store, self.slots = RunStore(store), Slots(store, trainings)
        self.redraw_every = redraw_every
        self.data = grid_data()
        self.table = load(fingerprints={rate: data.fingerprint for rate, data in self.data.items()})
        self.live: list[dict[str, float]] = []  # metrics per epoch of the live run
        self.live_at: tuple[Point, int] = ({}, 0)  # its setting and seed
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        self.train_button = w.Button(
            description="Train this setting", icon="play", button_style="primary"
        )
        self.stop_button = w.Button(description="Stop", icon="stop", disabled=True)
        self.progress = w.IntProgress(value=0, max=1)
        self.status = w.HTML()
        self._say("No live run.")
        self.train_button.on_click(self.train)
        self.stop_button.on_click(self.stop)
        default = asdict(ToastConfig()) | {"noise_rate": 0.2}
        sliders = {
            "noise_rate": ("label noise", "share of training labels flipped"),
            "medoid_weight": ("medoid weight a", "0 switches stage 1 off"),
            "past_weight": ("past weight b", "0 switches stage 2 off"),
            "medoid_temperature": ("temperature T_m", "of the medoid's soft target"),
        }
        controls = {
            name: slider(label, AXES[name], default[name], hint)
            for name, (label, hint) in sliders.items()
        }
        who = [("the under-trained", False), ("as many at random", True)]
        seeds = [("mean of all", -1), *((str(s), s) for s in SEEDS)]
        controls |= {
            "random_carry": choice("distilled", who, False, "targeted, or the control"),
            "seed": choice("seed", seeds, -1, "one seed, or all of them"),
            "measure": choice("measure", MEASURES, "test_top1", "what is compared"),
        }
        super().__init__(
            controls, "Look-up: stored real runs only, never interpolated. Button: trains for real."
        )

    def extras(self) -> list[w.Widget]:
        """The buttons, the progress bar and the state of the live run."""
        return [w.HBox([self.train_button, self.stop_button, self.progress, self.status])]

    def point(self) -> Point:
        """The grid point of the controls."""
        return {name: self.value(name) for name in AXES}

    def draw(self) -> tuple[Figure, str]:
        """This setting against its parts, the plane of both weights, and the live run if any."""
        point, column, seed = self.point(), self.value("measure"), self.value("seed")
        table = self.table if seed < 0 else self.table[self.table.seed == seed]
        parts = {
            "this setting": point,
            "stage 1 alone": {**point, "past_weight": 0.0},
            "stage 2 alone": {**point, "medoid_weight": 0.0},
            "cross-entropy": {**point, "medoid_weight": 0.0, "past_weight": 0.0},
        }
        found = look_up_each(table, list(parts.values()), column)
        bars = dict(zip(parts, found, strict=True))
        grid = plane(table, point, column)
        chosen = (self.value("medoid_weight"), self.value("past_weight"))
        # a live run is drawn only at its own setting and seed
        live = self.live if (point, max(0, seed)) == self.live_at else []
        figure = ablation_view(bars, grid, chosen, column, live)
        return figure, describe_ablation_view(bars, column)

    @property
    def running(self) -> bool:
        """A live run is under way."""
        return self.thread is not None and self.thread.is_alive()

    def train(self, button: object = None) -> None:
        """Starts a live run of this setting, unless one is under way."""
        if self.running:
            return
        self.live = []
        self.stopping.clear()
        self.train_button.disabled, self.stop_button.disabled = True, False
        self.error.value = ""
        self.live_at = (self.point(), max(0, self.value("seed")))
        self.thread = threading.Thread(
            target=self._train, args=self.live_at, name="toastlab-live", daemon=True
        )
        self.thread.start()

    def stop(self, button: object = None) -> None:
        """Asks the live run to end; it does so before its next step."""
        self.stopping.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for the live run to end; says whether it has."""
        if self.thread is not None:
            self.thread.join(seconds)
        return not self.running

    def _say(self, text: str) -> None:
        self.status.value = f"<small>{text}</small>"

    def _take_slot(self) -> bool:
        """Waits until fewer trainings are under way than may be; False if stopped before."""
        while not self.slots.take():
            n = self.slots.count
            running = f"{n} trainings are running" if n > 1 else "a training is running"
            self._say(f"Waiting: {running}; then this one.")
            if self.stopping.wait(0.3):
                return False
        return not self.stopping.is_set()

    def _train(self, point: Point, seed: int) -> None:
        """The live run, in its thread."""
        config, drawn = config_of(point, seed), 0.0
        a, b = point["medoid_weight"], point["past_weight"]
        where = f"a {a:g}, b {b:g}, noise {100 * point['noise_rate']:g} %, seed {seed}"
        self.progress.value, self.progress.max = 0, config.epochs

        def on_epoch(row: dict[str, float]) -> None:
            nonlocal drawn
            self.live.append(row)
            self.progress.value = int(row["epoch"])
            top1 = f"validation top-1 {100 * row['val_top1']:.1f} %"
            self._say(f"{where}: epoch {row['epoch']:.0f} of {config.epochs}, {top1}")
            if time.monotonic() - drawn > self.redraw_every:
                self.redraw()
                drawn = time.monotonic()

        try:
            if not self._take_slot():
                self._say("Stopped before it began.")
                return
            run = self.store.get(
                config,
                dataset=self.data[float(point["noise_rate"])],
                device="cpu",
                on_epoch=on_epoch,
                should_stop=self.stopping.is_set,
            )
            rows = run.metrics.to_dict("records")
            self.live = [{str(k): float(v) for k, v in row.items()} for row in rows]
            self.progress.value = config.epochs
            top1 = f"test top-1 {100 * self.live[-1]['test_top1']:.1f} %"
            self._say(f"Done: {where}: {top1}; run {run.key} is in the store.")
            self.redraw()
        except Stopped:
            self._say("Stopped; “Train” goes on from the last epoch.")
            self.redraw()
        except Exception as error:  # shown, because a thread's traceback would be lost
            self.show_error(error)
        finally:
            self.slots.free()
            self.train_button.disabled, self.stop_button.disabled = False, True
