"""Whoever adds a public name adds its fuzz case, or says here why there is none."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import toastlab
from tests.properties.fuzz import CASES, COVERED, LONG, name_of

HERE = Path(__file__).parent
PURE = (
    *("core.bank", "core.carry", "core.class_index", "core.losses", "core.stream"),
    *("medoids.exact", "medoids.targets"),
    *("data.augment", "data.dataset", "data.noise", "data.splits"),
    *("analysis.dynamics", "analysis.metrics", "analysis.statistics", "analysis.scores"),
    *("analysis.analyse", "analysis.recorder", "analysis.detection"),
    *("training.mixing", "training.models", "studies.layouts", "studies.space"),
    "widgets.explorer.view",
)
# Of modules that do more than compute: what of them is to be fuzzed.
PARTS = {
    "training.config": ("TrainConfig", "make_optimizer", "make_schedule"),
    "store.names": ("to_json", "from_json", "run_key"),
    "studies.sweep": ("Sweep", "label"),
    "widgets.explorer.places": ("given", "some_epochs"),
}
WITHOUT = {
    "toastlab.core.errors.ToastlabError": "the base of all errors: tests/core/test_errors.py",
    "toastlab.analysis.analyse.Recorded": "says what a run must have: tests/analysis",
    "toastlab.store.folders.analyse_folder": "reads files: tests/store/test_folders.py",
    "toastlab.core.carry.CarryState": "a Carry as buffers: every method with one is fuzzed",
    "toastlab.core.stream.ImageSource": "says what a split must have: tests/data",
    "toastlab.core.stream.Reader": "says what reads for a stream: tests/data",
    "toastlab.data.splits.DiskSplit": "reads files: tests/data",
    "toastlab.studies.layouts.Layouts": "holds what was read: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.layout": "t-SNE, a second a case: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.load": "reads files: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.make": "needs runs: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.steps": "trains and lays out: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.save": "writes files: tests/studies/test_layouts.py",
    "toastlab.studies.layouts.load_layouts": "reads files: tests/studies/test_layouts.py",
    "toastlab.methods.base.MethodConfig": "the base: every config of a method is fuzzed",
    "toastlab.methods.base.Method": "built by every config: build is fuzzed, and each in a loop",
    "toastlab.training.models.draw": "calls the user's: tests/store/test_own_network.py",
    "toastlab.training.models.own": "takes a user's network: tests/store/test_own_network.py",
    "toastlab.methods.toast.Toast": "built by ToastConfig.build",
    "toastlab.store.runs.Run": "a folder on disk: tests/store/test_runs.py",
    "toastlab.store.runs.RunStore": "a folder on disk: tests/store, tests/disk, tests/faults",
}


def public() -> dict[str, Any]:
    found = {}
    for module in PURE:
        room = importlib.import_module(f"toastlab.{module}")
        for name, thing in vars(room).items():
            own = getattr(thing, "__module__", "") == room.__name__ and callable(thing)
            if own and not name.startswith("_") and not inspect.isgeneratorfunction(thing):
                found[name_of(thing)] = thing
    for module, names in PARTS.items():
        room = importlib.import_module(f"toastlab.{module}")
        found |= {name_of(getattr(room, name)): getattr(room, name) for name in names}
    return found | {name_of(getattr(toastlab, name)): name for name in toastlab.__all__}


def load_all() -> None:
    for file in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.properties.{file.stem}")


def test_every_public_name_is_fuzzed() -> None:
    load_all()
    covered = {name for names in COVERED.values() for name in names}
    missing = sorted(public().keys() - covered - WITHOUT.keys())
    assert not missing, f"no fuzz case, see tests/properties/fuzz.py: {missing}"
    assert not WITHOUT.keys() & covered, "fuzzed after all"


def test_number_of_cases() -> None:
    """Each test asserts that it made as many as it says here."""
    load_all()
    assert sum(CASES.values()) >= (10_000 if LONG else 600)
